"""Families of models, described in ``presets/families``: how the fields of a config make its layers."""
