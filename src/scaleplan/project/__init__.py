"""The runs of a project: ``scaleplan.toml``, and the training configs it points into.

Is this plan allowed, and what did a change do to the bill: runs of a project → verdicts and differences.
"""
