"""Documents: configs in TOML, JSON, YAML, Python and shell, whose values are found with their lines."""
