"""Models: the exact counts and costs of a config.json, and a config.json for a size."""

from scaleplan.models.architecture import Architecture, Atom, Experts, Part, Stack
from scaleplan.models.count import Count, TrainingFlops
from scaleplan.models.model import Model, describe, read_model

__all__ = [
    "Architecture",
    "Atom",
    "Count",
    "Experts",
    "Model",
    "Part",
    "Stack",
    "TrainingFlops",
    "describe",
    "read_model",
]
