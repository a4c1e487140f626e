"""The names that a project's file may use: settings for every command, and what a run is described by."""

from __future__ import annotations

__all__ = ["AMOUNTS", "BUDGETS", "HARDWARE", "SETTINGS", "TEXTS"]

SETTINGS = ("preset", "gpu", "mfu", "goodput", "precision", "profile", "price", "level", "format", "color")
"""The options that ``[defaults]`` may set, by their long names."""

BUDGETS = ("flops", "gpu_hours", "time", "cost")
"""The forms of a budget that a run may give in place of its size or its tokens."""

HARDWARE = ("gpu", "gpus", "mfu", "goodput", "precision", "profile", "price")
"""What a run may say of the hardware."""

AMOUNTS = (*BUDGETS, "params", "tokens", "gpus", "mfu", "goodput", "price")
"""What a run gives as an amount, beside the words of constraints."""

TEXTS = ("model", "preset", "gpu", "precision", "profile", "grid", "batch_regime")
"""What a run gives as a name."""
