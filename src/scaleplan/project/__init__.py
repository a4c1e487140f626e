"""The runs of a project: read from ``scaleplan.toml`` and training configs, checked by a policy, compared."""
