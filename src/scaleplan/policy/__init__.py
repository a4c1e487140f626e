"""Is this plan allowed, and what did a change do to the bill: runs of a project → verdicts and differences."""
