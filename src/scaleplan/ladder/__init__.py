"""A ladder of pilot runs in files: what starts each on an engine, and how far all of them are."""
