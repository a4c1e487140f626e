"""The optimisation problem of a plan: objective, cost and bounds, and the breakpoints between them.

Minimise ``aim(effective(N, D))`` subject to ``cost(N, D) <= C`` and bounds on N, D, D/N and the training part
of the cost. In (ln N, ln D) every bound is a line, so the sizes that leave room for tokens form an interval whose
ends are known in closed form, and so are the breakpoints where one bound takes over from another. The same
lines serve one budget and an array of them.

Limits become bounds by :data:`RULES`: which span of the problem each quantity bounds, and how. Days, hours, money and
energy bound the training compute at the rates of the hardware.
"""

from __future__ import annotations

import math
from dataclasses import field, fields, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from scaleplan.arrays import ceil, floor, maximum, minimum, nearest
from scaleplan.errors import UnreachableError, UsageError, quote
from scaleplan.laws.base import Cost
from scaleplan.record import Record
from scaleplan.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy import bool_
    from numpy.typing import NDArray

    from scaleplan.arrays import Floats
    from scaleplan.hardware.budget import Budget
    from scaleplan.laws.base import LossSurface, Number
    from scaleplan.units.limits import Limit

    Truth = bool | NDArray[bool_]

__all__ = [
    "ANY",
    "COUNT",
    "EDGE",
    "HARDWARE",
    "RULES",
    "UNBOUNDED",
    "UNLIMITED_FLOPS",
    "Bound",
    "Bounds",
    "Effective",
    "EffectiveSource",
    "Problem",
    "Region",
    "Situation",
    "Span",
    "bounds_of_limits",
]

UNLIMITED_FLOPS = 1e60
"""More than can ever be spent: a budget that bounds nothing."""

EDGE = 1e-12
"""The relative room for rounding at a bound."""


_TOUCH = 1e-9
"""How near to a bound a solution is on it: what solving for the split leaves, with room."""


class Effective(Protocol):
    """A map from nominal to effective quantities, put in front of any law; it rises with both."""

    @property
    def most(self) -> tuple[float, float]:
        """The most that (params, tokens) can count for, in multiples of themselves."""
        ...

    def apply(self, params: Number, tokens: Number) -> tuple[Number, Number]:
        """Return (effective params, effective tokens)."""
        ...

    def kinks(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the sizes, and the numbers of tokens, at which the map has a kink."""
        ...


class EffectiveSource(Protocol):
    """A source of an effective map, which depends on the law."""

    def on(self, surface: LossSurface) -> Effective:
        """Return the map in front of this law."""
        ...


class Span(NamedTuple):
    """A closed interval of positive numbers."""

    low: float = 0.0
    high: float = math.inf

    def holds(self, value: Number) -> Truth:
        """Whether the value lies inside, with room for rounding at the edges; elementwise for an array."""
        return (self.low * (1 - EDGE) <= value) & (value <= self.high * (1 + EDGE))

    def within(self, other: Span) -> Span:
        """Return what both hold; empty (low above high) where they exclude each other."""
        return Span(max(self.low, other.low), min(self.high, other.high))


COUNT = Span(1.0)
"""A count that nothing bounds: at least one parameter, one token."""

ANY = Span()
"""A positive number that nothing bounds."""


class Region(Record):
    """The sizes and tokens that a cost and bounds leave, whatever the law; ``flops`` bounds the training part."""

    cost: Cost = field(default_factory=Cost)
    params: Span = COUNT
    tokens: Span = COUNT
    tokens_per_param: Span = ANY
    flops: Span = ANY

    @property
    def bounded(self) -> bool:
        """Whether anything but the budget bounds the plan."""
        return not (
            self.params == COUNT and self.tokens == COUNT and self.tokens_per_param == ANY and self.flops == ANY
        )

    def holds(self, params: Number, tokens: Number) -> Truth:
        """Whether a split keeps the bounds, to rounding; elementwise for arrays."""
        return (
            self.params.holds(params)
            & self.tokens.holds(tokens)
            & self.tokens_per_param.holds(tokens / params)
            & self.flops.holds(self.cost.training.flops(params, tokens))
        )

    def most_tokens(self, params: Number, flops: Number) -> Number:
        """Return the most tokens the bounds and the budget allow for this size."""
        tokens = minimum(self.cost.tokens(params, flops), self.tokens.high)
        if self.tokens_per_param.high < math.inf:
            tokens = minimum(tokens, self.tokens_per_param.high * params)
        if self.flops.high < math.inf:
            tokens = minimum(tokens, self.cost.training.tokens(params, self.flops.high))
        return maximum(tokens, self.tokens.low)  # at the edge of a budget rounding may leave less

    def min_params(self) -> float:
        """Return the smallest size that the bounds allow; infinite where they exclude each other."""
        tokens, ratio, flops, training = self.tokens, self.tokens_per_param, self.flops, self.cost.training
        if any(span.low > span.high * (1 + EDGE) for span in (self.params, tokens, ratio, flops)):
            return math.inf
        sizes = [self.params.low, 1.0, tokens.low / ratio.high]
        if flops.low > 0:
            if tokens.high < math.inf:
                size = training.params(tokens.high, flops.low)
                sizes.append(size if size > 0 else 1.0)
            if ratio.high < math.inf:
                sizes.append(training.params_at_ratio(ratio.high, flops.low))
        return max(sizes)

    def max_params(self, flops: Number) -> Number:
        """Return the largest size that the bounds and a budget allow; below the smallest where there is none."""
        tokens, ratio, training = self.tokens, self.tokens_per_param, self.cost.training
        size = minimum(self.cost.params(tokens.low, flops), self.params.high)
        if ratio.low > 0:
            size = minimum(size, self.cost.params_at_ratio(ratio.low, flops))
            size = minimum(size, tokens.high / ratio.low)
        if self.flops.high < math.inf:
            size = minimum(size, training.params(tokens.low, self.flops.high))
            if ratio.low > 0:
                size = minimum(size, training.params_at_ratio(ratio.low, self.flops.high))
        if self.flops.low > 0:
            # what the budget must leave for training; without another term it either does or does not
            rest = flops - self.flops.low * (1 - 0.5 * EDGE)
            size = minimum(size, rest / self.cost.per_param if self.cost.per_param else rest * math.inf)
        return size

    def possible(self, flops: float) -> bool:
        """Return whether the bounds and a budget leave any size and tokens."""
        return self.min_params() <= self.max_params(flops) * (1 + EDGE)

    def sizes(self, flops: float) -> tuple[float, float]:
        """Return the interval of sizes for which the bounds and the budget leave some number of tokens.

        Raises UnreachableError when it is empty.
        """
        if not self.possible(flops):
            raise UnreachableError(
                "no model satisfies the limits within this budget", hint="raise the budget or relax a limit"
            )
        min_params = self.min_params()
        return min_params, max(min_params, self.max_params(flops))

    def least_cost(self) -> float | None:
        """Return the least budget in FLOP that leaves a model within the bounds; None where none does."""
        if not self.possible(UNLIMITED_FLOPS):
            return None
        min_params = self.min_params()
        tokens = max(self.tokens.low, self.tokens_per_param.low * min_params)
        if self.flops.low > 0:
            tokens = max(tokens, self.cost.training.tokens(min_params, self.flops.low))
        return self.cost.flops(min_params, tokens)

    def least_tokens(self, params: Number) -> Number:
        """Return the least tokens that the bounds ask of this size."""
        least = maximum(self.tokens_per_param.low * params, self.tokens.low)
        return least if self.flops.low == 0 else maximum(least, self.cost.training.tokens(params, self.flops.low))

    def whole(self, params: Number, tokens: Number, flops: Number) -> tuple[Number, Number]:
        """Return the whole size nearest to one within the bounds, and the whole tokens that it leaves room for.

        Where a bound and not the budget sets the tokens, the size is the one below, with which they still meet it.
        """
        below, size = floor(params * (1 + EDGE)), nearest(params)
        held = self.most_tokens(below, flops) < self.cost.tokens(below, flops)
        size = minimum(size + held * (below - size), floor(self.max_params(flops) * (1 + EDGE)))
        size = maximum(size, math.ceil(min(self.min_params(), UNLIMITED_FLOPS) * (1 - EDGE)))
        most, least = self.most_tokens(size, flops), self.least_tokens(size)
        least = maximum(nearest(least), ceil(least * (1 - EDGE)))
        count = minimum(nearest(most), floor(most * (1 + EDGE)))
        lowest = tokens <= self.least_tokens(params) * (1 + _TOUCH)
        return size, maximum(count + lowest * (least - count), least)


class Problem(Region):
    """The loss to minimise, within a region.

    ``require`` refuses the effective quantities at which the loss may not be read, those off the line of a law that
    is determined on a line alone; None for a law that holds everywhere.
    """

    surface: LossSurface
    effective: tuple[Effective, ...] = ()
    require: Callable[[Floats | float, Floats | float], None] | None = None

    def counted(self, params: Number, tokens: Number) -> tuple[Number, Number]:
        """Return the effective quantities that the law sees of nominal ones."""
        for quantity in self.effective:
            params, tokens = quantity.apply(params, tokens)
        return params, tokens

    def reducible(self, params: Number, tokens: Number) -> Number:
        """Return the loss above the floor at nominal quantities."""
        return self.surface.reducible(*self.counted(params, tokens))

    def aim(self, params: Number, tokens: Number) -> Number:
        """Return what the best split makes least, at nominal quantities."""
        return self.surface.aim(*self.counted(params, tokens))

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return the loss at nominal quantities; UsageError where the law is not determined."""
        if self.require is not None:
            self.require(*self.counted(params, tokens))
        return self.surface.floor + self.reducible(params, tokens)

    @property
    def free(self) -> bool:
        """Whether only the budget bounds the plan, and it is spent as k*N*D on nominal quantities."""
        return not self.effective and self.cost.is_product and not self.bounded

    def closed_form(self, flops: Number) -> tuple[Number, Number] | None:
        """Return the unbounded optimum in closed form, where the law has it and all effective quantities at most.

        With effective quantities it is the optimum only where :meth:`undiminished` holds.
        """
        if not self.cost.is_product:
            return None
        size, data = self._most()
        split = self.surface.best_split(flops / self.cost.per_param_token * (size * data))
        return None if split is None else (split[0] / size, split[1] / data)

    def undiminished(self, params: Number, tokens: Number) -> Truth:
        """Whether nominal quantities count for the most they can; elementwise for arrays."""
        size, data = self._most()
        counted_params, counted_tokens = self.counted(params, tokens)
        enough = counted_params >= params * (size * (1 - EDGE))
        return enough & (counted_tokens >= tokens * (data * (1 - EDGE)))

    def breakpoints(self, flops: Number) -> list[Number]:
        """Return the sizes at which another bound, or a kink, takes over along the most tokens; some may lie outside.

        At them the objective has kinks, so an optimum often lies exactly there.
        """
        cost, ratio = self.cost, self.tokens_per_param.high
        fixed, levels = self._fixed_breakpoints()
        sizes = [size + 0.0 * flops for size in fixed]
        sizes += [cost.params(level, flops) for level in levels]
        if ratio < math.inf:
            sizes.append(cost.params_at_ratio(ratio, flops))
        if self.flops.high < math.inf and cost.per_param:
            sizes.append((flops - self.flops.high) / cost.per_param)
        if self.effective:
            # effective quantities may have a kink along the law's own optimum, as repetition has
            split = replace(self, cost=cost.training).closed_form(minimum(flops, self.flops.high))
            sizes += [] if split is None else [split[0]]
        return sizes

    def _fixed_breakpoints(self) -> tuple[list[float], list[float]]:
        """Return the breakpoints that no budget moves, and the numbers of tokens at which one may lie."""
        training, ratio, most = self.cost.training, self.tokens_per_param.high, self.flops.high
        sizes: list[float] = []
        levels = [self.tokens.high] if self.tokens.high < math.inf else []
        for quantity in self.effective:
            params, tokens = quantity.kinks()
            sizes += params
            levels += tokens
        if ratio < math.inf:
            sizes += [level / ratio for level in levels]
        if most < math.inf:
            sizes += [training.params(level, most) for level in levels]
        if ratio < math.inf and most < math.inf:
            sizes.append(training.params_at_ratio(ratio, most))
        return sizes, levels

    def _most(self) -> tuple[float, float]:
        size = data = 1.0
        for quantity in self.effective:
            size, data = size * quantity.most[0], data * quantity.most[1]
        return size, data


class Situation(Record):
    """The facts beside the law that limits need to become bounds.

    ``budget`` carries the rates of the hardware, ``priced`` is whether the money of a budget pays for more than
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
            raise UsageError(f"a limit on {quantity} needs --gpu", hint="name the GPU, or limit flops instead")
        return budget.peak_flops_per_s * budget.utilisation * SECONDS_PER_HOUR


class Bound(NamedTuple):
    """One limit as the problem sees it: ``span`` is the interval of the field ``name`` of :class:`Bounds`."""

    text: str
    quantity: str
    name: str
    span: Span


class Bounds(Record):
    """The bounds that a plan must keep; a fixed quantity is a span of one value.

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

    @property
    def without_loss(self) -> Bounds:
        """The bounds on the split, without demands on its result."""
        return self if self.loss == ANY else self.without(*(part for part in self.parts if part.name == "loss"))

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
        raise UsageError(f"{quote(limit.text)} needs --gpus", hint="say how many GPUs work at once")
    return "flops", _interval(limit, per_hour * gpus * 24)


def _money(limit: Limit, situation: Situation) -> tuple[str, Span]:
    per_hour = situation.flops_per_hour(limit.quantity)
    price = situation.budget.price_per_hour if situation.budget is not None else None
    if price is None:
        raise UsageError(f"{quote(limit.text)} needs --price", hint="give the price of a GPU-hour")
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
        raise UsageError(f"{quote(limit.text)} needs the power of the GPU", hint="limit gpu_hours instead")
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

    Raises UsageError for a limit on a quantity that cannot bound a plan, or that lacks what it depends on.
    """
    parts = []
    for limit in limits:
        name, span = RULES[limit.quantity](limit, situation)
        parts.append(Bound(limit.text, limit.quantity, name, span))
    return Bounds.of(parts)
