"""Scaling laws as files: what a preset says, how one is read, and where one is found."""
