"""What a plan must stay within: limits by the one grammar → bounds of the problem.

:data:`RULES` says of each quantity of a limit which span of the problem it bounds, and how. Days, hours, money and
energy bound the training compute at the rates of the hardware.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError, quote
from scaleplan.planning.problem import ANY, COUNT, Span
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scaleplan.hardware.budget import Budget
    from scaleplan.quantities.limits import Limit

__all__ = ["HARDWARE", "RULES", "UNBOUNDED", "Bound", "Bounds", "Situation", "bounds_of_limits"]

_SECONDS_PER_HOUR = 3600.0


class Situation(Record):
    """What is known beside the law when limits become bounds.

    ``budget`` carries the rates of the hardware, ``priced`` says that the money of a budget pays for more than
    training, and ``sizes_in_memory`` gives the largest size for so many GB of memory.
    """

    budget: Budget | None = None
    unique_tokens: float | None = None
    priced: bool = False
    sizes_in_memory: Callable[[float], float] | None = None

    def flops_per_hour(self, quantity: str) -> float:
        """Return the FLOP of one accelerator-hour of training."""
        budget = self.budget
        if budget is None or budget.peak_flops_per_s is None or budget.utilisation is None:
            raise UsageError(
                f"a limit on {quantity} needs --gpu", hint="name the accelerator, or limit flops instead"
            )
        return budget.peak_flops_per_s * budget.utilisation * _SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Bound:
    """One limit as the problem sees it: ``span`` is the interval of the field ``name`` of :class:`Bounds`."""

    text: str
    quantity: str
    name: str
    span: Span


class Bounds(Record):
    """What a plan must stay within; a fixed quantity is a span of one value.

    ``flops`` is training compute, ``total`` all that the budget pays for, both in FLOP; ``loss`` is a demand on
    the result. ``parts`` are the limits it was made of.
    """

    params: Span = COUNT
    tokens: Span = COUNT
    tokens_per_param: Span = ANY
    flops: Span = ANY
    total: Span = ANY
    loss: Span = ANY
    parts: tuple[Bound, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, parts: Sequence[Bound]) -> Bounds:
        """Return what all of some bounds leave; spans are empty where bounds exclude each other."""
        spans = dict(_SPANS)
        for part in parts:
            spans[part.name] = spans[part.name].within(part.span)
        return cls(**spans, parts=tuple(parts))

    @property
    def free(self) -> bool:
        """Whether nothing is bounded."""
        return self == UNBOUNDED

    @property
    def fixed(self) -> bool:
        """Whether one side of the split is given, so that no law has to choose it."""
        return self.params.low == self.params.high or self.tokens.low == self.tokens.high

    def without(self, *left_out: Bound) -> Bounds:
        """Return the bounds without some of their parts."""
        return Bounds.of([part for part in self.parts if part not in left_out])


UNBOUNDED = Bounds()
"""No bounds at all."""

_SPANS: Mapping[str, Span] = {
    item.name: getattr(UNBOUNDED, item.name) for item in fields(Bounds) if item.name != "parts"
}


def _interval(limit: Limit, unit: float = 1.0) -> Span:
    """Return the interval that a limit leaves, in multiples of ``unit``; a strict one includes its end."""
    value = limit.value * unit
    return Span(value if limit.op[0] in ">=" else 0.0, value if limit.op[0] in "<=" else math.inf)


def _epochs(limit: Limit, situation: Situation) -> tuple[str, Span]:
    if situation.unique_tokens is None:
        raise UsageError(f"{quote(limit.text)} needs --unique-tokens", hint="say how many distinct tokens there are")
    span = _interval(limit)
    if span.high < 1:
        raise UsageError(f"{quote(limit.text)} asks for less than one epoch", hint="limit tokens instead")
    # one epoch is seen of any number of tokens up to the unique ones
    low = span.low * situation.unique_tokens if span.low > 1 else 0.0
    return "tokens", Span(low, span.high * situation.unique_tokens)


def _hours(limit: Limit, situation: Situation) -> tuple[str, Span]:
    return "flops", _interval(limit, situation.flops_per_hour(limit.quantity))


def _days(limit: Limit, situation: Situation) -> tuple[str, Span]:
    per_hour = situation.flops_per_hour(limit.quantity)
    gpus = situation.budget.gpus if situation.budget is not None else None
    if gpus is None:
        raise UsageError(f"{quote(limit.text)} needs --gpus", hint="say how many accelerators work at once")
    return "flops", _interval(limit, per_hour * gpus * 24)


def _money(limit: Limit, situation: Situation) -> tuple[str, Span]:
    per_hour = situation.flops_per_hour(limit.quantity)
    price = situation.budget.price_per_hour if situation.budget is not None else None
    if price is None:
        raise UsageError(f"{quote(limit.text)} needs --price", hint="give the price of an accelerator-hour")
    span = _interval(limit, per_hour / price)
    if not situation.priced:
        return "flops", span
    if span.low > 0:
        raise UsageError(
            f"{quote(limit.text)} sets a least cost on training and inference together",
            hint="only the most can be limited; or limit gpu_hours, which are those of training",
        )
    return "total", span


def _energy(limit: Limit, situation: Situation) -> tuple[str, Span]:
    per_hour = situation.flops_per_hour(limit.quantity)
    budget = situation.budget
    if budget is None or budget.energy_kwh is None or not budget.gpu_hours:
        raise UsageError(f"{quote(limit.text)} needs the power of the accelerator", hint="limit gpu_hours instead")
    return "flops", _interval(limit, per_hour / (budget.energy_kwh / budget.gpu_hours))


def _loss(limit: Limit, _: Situation) -> tuple[str, Span]:
    span = _interval(limit)
    if span.low > 0:
        raise UsageError(
            f"{quote(limit.text)} asks for no less than a loss", hint="give 'loss <= L', or aim with 'target --loss'"
        )
    return "loss", span


def _memory(limit: Limit, situation: Situation) -> tuple[str, Span]:
    if situation.sizes_in_memory is None:
        raise UsageError(
            f"{quote(limit.text)} needs --gpu and --gpus",
            hint="say what the model is divided over, or limit params instead",
        )
    span = _interval(limit)
    if span.low > 0:
        raise UsageError(f"{quote(limit.text)} is a least memory", hint="only the most can be limited")
    return "params", Span(high=situation.sizes_in_memory(span.high))


def _plain(name: str) -> Callable[[Limit, Situation], tuple[str, Span]]:
    return lambda limit, _: (name, _interval(limit))


HARDWARE = frozenset({"gpu_hours", "days", "cost", "energy_kwh", "memory_gb"})
"""The quantities whose limits depend on the hardware."""

RULES: Mapping[str, Callable[[Limit, Situation], tuple[str, Span]]] = {
    "params": _plain("params"),
    "tokens": _plain("tokens"),
    "tokens_per_param": _plain("tokens_per_param"),
    "epochs": _epochs,
    "flops": _plain("flops"),
    "days": _days,
    "gpu_hours": _hours,
    "cost": _money,
    "energy_kwh": _energy,
    "loss": _loss,
    "memory_gb": _memory,
}
"""How each quantity that can bound a plan does: which span of the problem, and what of it."""


def bounds_of_limits(limits: Sequence[Limit], situation: Situation) -> Bounds:
    """Return the bounds that limits set.

    Raises
    ------
    UsageError
        For a limit on a quantity that cannot bound a plan, or that lacks what it depends on.

    """
    parts = []
    for limit in limits:
        name, span = RULES[limit.quantity](limit, situation)
        parts.append(Bound(limit.text, limit.quantity, name, span))
    return Bounds.of(parts)
