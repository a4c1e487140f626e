"""The results that each command gives, and the names of their fields, known without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.output.declared import names_of
from scaleplan.output.fields import OPEN

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANSWERS", "fields_of"]

ANSWERS: Mapping[str, tuple[str, ...]] = {
    "optimal": ("plan",),
    "loss": ("plan",),
    "target": ("plan",),
    "sweep": ("plans",),
    "compare": ("plans",),
    "marginal": ("marginal",),
    "break-even": ("plans",),
    "convert": ("conversion",),
    "hyperparameters": ("hyperparameters",),
    "precisions": ("precisions",),
    "vocab": ("vocabulary",),
    "evaluate": ("evaluation",),
    "model": ("model", "model-body"),
    "memory": ("memory", "ways"),
    "shape": ("shape",),
    "design": ("design", "pool-design"),
    "runs": ("runs",),
    "fit": ("fit",),
    "backtest": ("backtest",),
    "register": ("forecast",),
    "track": ("track",),
    "resolve": ("outcome",),
    "forecasts": ("forecasts",),
    "plot": ("chart",),
    "report": ("plan",),
    "check": ("check",),
    "diff": ("diff",),
    "init": ("init",),
    "presets list": ("presets",),
    "presets show": ("preset",),
    "presets validate": ("validation",),
    "presets path": ("paths",),
    "gpus list": ("gpus",),
    "gpus show": ("gpu",),
    "gpus compare": ("gpu-comparison",),
    "gpus validate": ("gpu-validation",),
    "gpus path": ("paths",),
    "families list": ("families",),
    "families show": ("family",),
    "families validate": ("family-validation",),
    "models list": ("models",),
    "models show": ("public-model",),
    "schema": ("schemas",),
}
"""The names of the schemas of what each command answers; ``show`` shows any result."""


def fields_of(command: str) -> list[str]:
    """Return the names that ``--get`` and ``--fields`` of a command take: those of rows first, then of the result.

    A name stands in full, such as ``budget.gpu_hours``. Empty for a command whose result is not known beforehand.
    """
    found: dict[str, None] = {}
    for name in ANSWERS.get(command, ()):
        own, rows = names_of(f"scaleplan/{name}/1")
        found |= dict.fromkeys(each for each in (*rows, *own) if not each.endswith(OPEN))
    return list(found)
