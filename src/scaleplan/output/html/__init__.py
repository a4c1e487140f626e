"""The report as one HTML page: what it gathers, its sections, its style; import from the modules."""
