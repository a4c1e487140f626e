"""The report of each kind of result."""
