"""The problem of planning: what is minimised, at which cost, within which bounds; and where its corners are.

Minimise ``reducible(effective(N, D))`` subject to ``cost(N, D) <= C`` and bounds on N, D, D/N and the training part
of the cost. In (ln N, ln D) every bound is a line, so the sizes that leave room for tokens form an interval whose
ends are known in closed form, and so are the corners where one bound takes over from another. The same lines serve
one budget and an array of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from scaleplan.cost import Cost
from scaleplan.elementary import greater, lesser
from scaleplan.errors import UnreachableError
from scaleplan.record import Record

if TYPE_CHECKING:
    from numpy import bool_
    from numpy.typing import NDArray

    from scaleplan.laws.base import LossSurface, Number

    Truth = bool | NDArray[bool_]

__all__ = ["ANY", "COUNT", "EDGE", "UNLIMITED_FLOPS", "Effective", "Problem", "Span"]

UNLIMITED_FLOPS = 1e60
"""More than can ever be spent: a budget that bounds nothing."""

EDGE = 1e-12
"""The relative room for rounding at a bound."""


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


@dataclass(frozen=True, slots=True)
class Span:
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


class Problem(Record):
    """What is minimised, at which cost, within which bounds; ``flops`` bounds the training part of the cost."""

    surface: LossSurface
    cost: Cost = field(default_factory=Cost)
    effective: tuple[Effective, ...] = ()
    params: Span = COUNT
    tokens: Span = COUNT
    tokens_per_param: Span = ANY
    flops: Span = ANY

    def reducible(self, params: Number, tokens: Number) -> Number:
        """Return the loss above the floor at nominal quantities."""
        for quantity in self.effective:
            params, tokens = quantity.apply(params, tokens)
        return self.surface.reducible(params, tokens)

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return the loss at nominal quantities."""
        return self.surface.floor + self.reducible(params, tokens)

    @property
    def free(self) -> bool:
        """Whether only the budget bounds the plan, and it is spent as k*N*D on nominal quantities."""
        return not self.effective and self.cost.is_product and not self.bounded

    @property
    def bounded(self) -> bool:
        """Whether anything but the budget bounds the plan."""
        return not (
            self.params == COUNT and self.tokens == COUNT and self.tokens_per_param == ANY and self.flops == ANY
        )

    def closed_form(self, flops: Number) -> tuple[Number, Number] | None:
        """Return the unbounded optimum in closed form, where the law has it and all effective quantities at most.

        With effective quantities it is the optimum only where :meth:`undiminished` says so.
        """
        if not self.cost.is_product:
            return None
        size, data = self._most()
        split = self.surface.best_split(flops / self.cost.per_param_token * (size * data))
        return None if split is None else (split[0] / size, split[1] / data)

    def undiminished(self, params: Number, tokens: Number) -> Truth:
        """Whether nominal quantities count for the most they can; elementwise for arrays."""
        size, data = self._most()
        counted_params, counted_tokens = params, tokens
        for quantity in self.effective:
            counted_params, counted_tokens = quantity.apply(counted_params, counted_tokens)
        enough = counted_params >= params * (size * (1 - EDGE))
        return enough & (counted_tokens >= tokens * (data * (1 - EDGE)))

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
        tokens = lesser(self.cost.tokens(params, flops), self.tokens.high)
        if self.tokens_per_param.high < math.inf:
            tokens = lesser(tokens, self.tokens_per_param.high * params)
        if self.flops.high < math.inf:
            tokens = lesser(tokens, self.cost.training.tokens(params, self.flops.high))
        return greater(tokens, self.tokens.low)  # at the edge of a budget rounding may leave less

    def foot(self) -> float:
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

    def top(self, flops: Number) -> Number:
        """Return the largest size that the bounds and a budget allow; below :meth:`foot` where there is none."""
        tokens, ratio, training = self.tokens, self.tokens_per_param, self.cost.training
        size = lesser(self.cost.params(tokens.low, flops), self.params.high)
        if ratio.low > 0:
            size = lesser(size, self.cost.params_at_ratio(ratio.low, flops))
            size = lesser(size, tokens.high / ratio.low)
        if self.flops.high < math.inf:
            size = lesser(size, training.params(tokens.low, self.flops.high))
            if ratio.low > 0:
                size = lesser(size, training.params_at_ratio(ratio.low, self.flops.high))
        if self.flops.low > 0:
            # what the budget must leave for training; without another term it either does or does not
            rest = flops - self.flops.low * (1 - 0.5 * EDGE)
            size = lesser(size, rest / self.cost.per_param if self.cost.per_param else rest * math.inf)
        return size

    def sizes(self, flops: float) -> tuple[float, float]:
        """Return the interval of sizes for which the bounds and the budget leave some number of tokens.

        Raises
        ------
        UnreachableError
            When it is empty.

        """
        foot, top = self.foot(), self.top(flops)
        if not foot <= top * (1 + EDGE):
            raise UnreachableError(
                "no model satisfies the limits within this budget", hint="raise the budget or relax a limit"
            )
        return foot, max(foot, top)

    def least_cost(self) -> float | None:
        """Return the least budget in FLOP that leaves a model within the bounds; None where none does."""
        foot = self.foot()
        if foot > self.top(UNLIMITED_FLOPS) * (1 + EDGE):
            return None
        tokens = max(self.tokens.low, self.tokens_per_param.low * foot)
        if self.flops.low > 0:
            tokens = max(tokens, self.cost.training.tokens(foot, self.flops.low))
        return self.cost.flops(foot, tokens)

    def corners(self, flops: Number) -> list[Number]:
        """Return the sizes at which another bound, or a kink, takes over along the most tokens; some may lie outside.

        At them the objective has kinks, so an optimum often lies exactly there.
        """
        cost, ratio = self.cost, self.tokens_per_param.high
        fixed, levels = self._fixed_corners()
        sizes = [size + 0.0 * flops for size in fixed]
        sizes += [cost.params(level, flops) for level in levels]
        if ratio < math.inf:
            sizes.append(cost.params_at_ratio(ratio, flops))
        if self.flops.high < math.inf and cost.per_param:
            sizes.append((flops - self.flops.high) / cost.per_param)
        if self.effective:
            # effective quantities may have a kink along the law's own optimum, as repetition has
            split = replace(self, cost=cost.training).closed_form(lesser(flops, self.flops.high))
            sizes += [] if split is None else [split[0]]
        return sizes

    def _fixed_corners(self) -> tuple[list[float], list[float]]:
        """Return the corners that no budget moves, and the numbers of tokens at which one may lie."""
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
