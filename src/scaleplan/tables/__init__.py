"""Tables as people and trackers write them: cells, headings, units of losses, delimiters."""
