"""The words in which questions are asked, the same on the command line and in Python, typed and in groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from scaleplan.planning.asking import Hardware

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scaleplan.models import Model
    from scaleplan.planning.asking import Amount
    from scaleplan.presets.preset import Preset

__all__ = [
    "SWEPT",
    "ArrayWords",
    "BoundWords",
    "BudgetWords",
    "ChosenWords",
    "ConstraintWords",
    "ConversionWords",
    "GoalWords",
    "HardwareWords",
    "LawWords",
    "PointWords",
    "RunWords",
    "Words",
    "split_words",
]

SWEPT = {"flops": "flops", "gpu_hours": "hours", "time": "seconds", "cost": "usd"}
"""The words of a budget, which ``sweep`` can range over, each with its kind of quantity."""


class ConstraintWords(TypedDict, total=False):
    """The constraints that come with the program; a registered one adds its own words."""

    unique_tokens: Amount | None
    compute_multiplier: Amount | None
    inference_tokens: Amount | None
    inference_mfu: Amount | None
    inference_price: Amount | None
    train_bits: Amount | None
    bits_weights: Amount | None
    bits_activations: Amount | None
    bits_kv: Amount | None
    ptq_bits: Amount | None
    fp_format: str | None
    quant_block: Amount | None
    moe_leverage: str | None
    experts: Amount | None
    max_memory: Amount | None
    kv_tokens: Amount | None
    granularity: Amount | None


class LawWords(ConstraintWords, total=False):
    """Which law, what stands between it and the plan, and how its answer is told."""

    preset: str | Preset | None
    level: Amount
    overhead: Amount
    batch_regime: str | None
    count: str | None


class BoundWords(TypedDict, total=False):
    """What a plan must stay within."""

    params: Amount | None
    tokens: Amount | None
    limit: Sequence[str] | None


class HardwareWords(TypedDict, total=False):
    """What the compute runs on."""

    gpu: str | None
    gpus: Amount | None
    mfu: Amount | None
    goodput: Amount | None
    precision: str | None
    profile: str | None
    price: Amount | None


class PointWords(LawWords, HardwareWords, total=False):
    """What accompanies a chosen model."""


class RunWords(TypedDict, total=False):
    """A concrete model, and how a plan is drawn out to a run."""

    model: Model | str | Path | Mapping[str, object] | None
    shape: bool
    style: str | None
    context: Amount | None
    batch: Amount | None
    region: str | None


class ChosenWords(PointWords, RunWords, total=False):
    """What accompanies a model on its tokens."""


class GoalWords(PointWords, total=False):
    """What accompanies a goal."""

    limit: Sequence[str] | None


class Words(PointWords, BoundWords, total=False):
    """What accompanies a budget."""


class ConversionWords(HardwareWords, total=False):
    """An amount to convert, and the hardware."""

    flops: Amount | None
    gpu_hours: Amount | None
    time: Amount | None
    cost: Amount | None


class ArrayWords(LawWords, BoundWords, total=False):
    """What accompanies an array of budgets in FLOP."""


class BudgetWords(Words, RunWords, total=False):
    """A budget and what accompanies it."""

    flops: Amount | None
    gpu_hours: Amount | None
    time: Amount | None
    cost: Amount | None


def split_words(words: Mapping[str, Any]) -> tuple[Hardware, dict[str, Any], dict[str, Any]]:
    """Return the words of a question in parts: the hardware, the law and its bounds, the budget."""
    rest = dict(words)
    hardware = {name: rest.pop(name) for name in HardwareWords.__annotations__ if name in rest}
    budget = {name: rest.pop(name) for name in SWEPT if name in rest}
    return Hardware(**hardware), rest, budget
