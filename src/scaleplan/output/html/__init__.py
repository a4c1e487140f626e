"""The report as one HTML page: what it gathers, and how the page shows it."""
