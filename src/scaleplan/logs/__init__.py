"""Training logs of every trainer and tracker, read as runs with curves."""
