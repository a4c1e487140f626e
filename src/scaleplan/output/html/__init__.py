"""The report as one HTML page: its content, gathered, and the page."""
