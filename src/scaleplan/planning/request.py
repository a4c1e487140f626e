"""A question in the words of the options → typed requests: texts become numbers, limits are read.

The command line and the Python API ask in the same words; an amount may be a text (``"1e21"``) or a number.


The words in which questions are asked, the same on the command line and in Python, typed and in groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from scaleplan.errors import UsageError, quote
from scaleplan.hardware.budget import BudgetRequest
from scaleplan.planning.problem import RULES
from scaleplan.record import Record
from scaleplan.units import (
    exact,
    parse,
    parse_flops,
    parse_fraction,
    parse_hours,
    parse_integer,
    parse_seconds,
    parse_usd,
    parse_usd_per_hour,
)
from scaleplan.units.limits import Limit, parse_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from scaleplan.models import Model
    from scaleplan.presets.preset import Preset

__all__ = [
    "SWEPT",
    "Amount",
    "ArrayWords",
    "BoundWords",
    "BudgetWords",
    "ChosenWords",
    "ConstraintWords",
    "ConversionWords",
    "GoalWords",
    "HardwareRequest",
    "HardwareWords",
    "LawWords",
    "PointWords",
    "RunWords",
    "Words",
    "limits_of",
    "request_of",
    "split_words",
]

Amount = str | float
"""An amount as a person gives it: ``"1e21"``, ``"2.5 ZFLOP"``, or a number in the base unit."""


class HardwareRequest(Record):
    """What the compute runs on, as asked for; see :class:`scaleplan.hardware.budget.BudgetRequest`."""

    gpu: str | None = None
    gpus: Amount | None = None
    mfu: Amount | None = None
    goodput: Amount | None = None
    precision: str | None = None
    profile: str | None = None
    price: Amount | None = None


def request_of(
    hardware: HardwareRequest,
    *,
    flops: Amount | None = None,
    gpu_hours: Amount | None = None,
    time: Amount | None = None,
    cost: Amount | None = None,
) -> BudgetRequest:
    """Return the budget with every text read.

    Raises
    ------
    QuantityError
        For an amount that cannot be read.
    UsageError
        When the accelerator-hours name another accelerator than ``gpu``.

    """
    gpu = hardware.gpu
    hours: float | None = None
    if gpu_hours is not None:
        hours, named = parse_hours(gpu_hours)
        if named is not None and gpu is not None and _differ(named, gpu):
            raise UsageError(f"{quote(gpu_hours)} names {named}, and --gpu names {gpu}", hint="name one accelerator")
        gpu = gpu or named
    return BudgetRequest(
        flops=_read(parse_flops, flops),
        gpu_hours=hours,
        gpus=_read(parse_integer, hardware.gpus),
        seconds=_read(parse_seconds, time),
        cost_usd=_read(parse_usd, cost),
        price=_price(hardware.price),
        gpu=gpu,
        mfu=_read(parse_fraction, hardware.mfu),
        precision=hardware.precision,
        profile=hardware.profile,
        goodput=_read(parse_fraction, hardware.goodput),
    )


def _differ(one: str, other: str) -> bool:
    from scaleplan.hardware.accelerators import Accelerators

    known = Accelerators()
    return known.get(one).id != known.get(other).id


def _read(parser: Callable[[Amount], float], amount: Amount | None) -> float | None:
    return None if amount is None else parser(amount)


def _price(price: Amount | None) -> float | str | None:
    """Return a price per hour, or the name of one: a text that starts with a letter names a price preset."""
    if isinstance(price, str) and price.strip()[:1].isalpha():
        return price
    return _read(parse_usd_per_hour, price)


def limits_of(
    *, params: Amount | None = None, tokens: Amount | None = None, limits: Sequence[str] = ()
) -> tuple[Limit, ...]:
    """Return the limits on a plan; a fixed quantity is an equality.

    Raises
    ------
    UsageError
        For a limit on a quantity that cannot bound a plan, or at a confidence.

    """
    found = []
    for name, amount in (("params", params), ("tokens", tokens)):
        if amount is not None:
            value = parse(name, amount)
            found.append(Limit(name, "=", value, None, f"{name} = {exact(name, value)}"))
    for text in limits:
        for limit in parse_limit(text):
            if limit.quantity not in RULES:
                raise UsageError(
                    f"{quote(text)} cannot bound a plan", hint=f"quantities that can: {', '.join(RULES)}"
                )
            if limit.level is not None:
                raise UsageError(f"{quote(text)} is a limit at a confidence", hint="a plan is bounded by estimates")
            found.append(limit)
    return tuple(found)


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


def split_words(words: Mapping[str, Any]) -> tuple[HardwareRequest, dict[str, Any], dict[str, Any]]:
    """Return the words of a question in parts: the hardware, the law and its bounds, the budget."""
    rest = dict(words)
    hardware = {name: rest.pop(name) for name in HardwareWords.__annotations__ if name in rest}
    budget = {name: rest.pop(name) for name in SWEPT if name in rest}
    return HardwareRequest(**hardware), rest, budget
