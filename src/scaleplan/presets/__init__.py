"""Scaling laws as files: the contents of a preset, reading it, and finding it."""
