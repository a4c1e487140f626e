"""The kinds of results that each command gives, known without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANSWERS"]

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
    "design": ("design", "ladder", "pool-design"),
    "ladder status": ("ladder-status",),
    "runs": ("runs",),
    "fit": ("fit", "fleet"),
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
