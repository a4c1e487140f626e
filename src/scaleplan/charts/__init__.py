"""Pictures: chart data first, then one module for each way to draw it; import from the modules."""
