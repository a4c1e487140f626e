"""Find the split of a budget with the least loss: one problem, one budget, plain Python floats.

The problem: minimise ``reducible(effective(N, D))`` subject to ``cost(N, D) <= C`` and bounds on N, D and D/N.
A law with a closed form answers directly. Everything else is scanned on a grid of ln N (the objective may have
several valleys, and kinks), refined in the best cells, and polished with the first-order condition, because
the loss is so flat at its minimum that comparing losses alone finds N only to half the digits.

:mod:`scaleplan.bulk` solves the same problem for arrays of budgets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from scaleplan.cost import Cost
from scaleplan.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.laws.base import LossSurface, Number

__all__ = ["ANY", "COUNT", "EDGE", "Effective", "Problem", "Span", "bisect", "least_flops", "solve"]

_GRID = 240
_LEAST_FLOPS, _MOST_FLOPS = 1e2, 1e60  # far outside anything that can be trained, either way
EDGE = 1e-12
"""The relative room for rounding at a bound."""

_GOLDEN = (math.sqrt(5) - 1) / 2


class Effective(Protocol):
    """A map from nominal to effective quantities, put in front of any law."""

    def apply(self, params: Number, tokens: Number) -> tuple[Number, Number]:
        """Return (effective params, effective tokens)."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """A closed interval of positive numbers."""

    low: float = 0.0
    high: float = math.inf

    def holds(self, value: float) -> bool:
        """Whether the value lies inside, with room for rounding at the edges."""
        return self.low * (1 - EDGE) <= value <= self.high * (1 + EDGE)


COUNT = Span(1.0)
"""A count that nothing bounds: at least one parameter, one token."""
ANY = Span()
"""A positive number that nothing bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is minimised, at which cost, within which bounds."""

    surface: LossSurface
    cost: Cost = field(default_factory=Cost)
    effective: tuple[Effective, ...] = ()
    params: Span = COUNT
    tokens: Span = COUNT
    tokens_per_param: Span = ANY

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
        return (
            not self.effective
            and self.cost.is_product
            and self.params == COUNT
            and self.tokens == COUNT
            and self.tokens_per_param == ANY
        )

    def closed_form(self, flops: Number) -> tuple[Number, Number] | None:
        """Return the unbounded optimum where the law has it in closed form and nothing stands in front of it."""
        if self.effective or not self.cost.is_product:
            return None
        return self.surface.best_split(flops / self.cost.per_param_token)

    def holds(self, params: float, tokens: float) -> bool:
        """Whether a split keeps the bounds, to rounding."""
        return (
            self.params.holds(params) and self.tokens.holds(tokens) and self.tokens_per_param.holds(tokens / params)
        )

    def least_tokens(self, params: float) -> float:
        """Return the fewest tokens the bounds allow for this size."""
        return max(self.tokens.low, self.tokens_per_param.low * params)

    def most_tokens(self, params: float, flops: float) -> float:
        """Return the most tokens the bounds and the budget allow for this size."""
        return min(self.tokens.high, self.tokens_per_param.high * params, self.cost.tokens(params, flops))

    def sizes(self, flops: float) -> tuple[float, float]:
        """Return the interval of sizes for which the bounds and the budget leave some number of tokens.

        Raises
        ------
        UnreachableError
            When it is empty.

        """

        def room(params: float) -> float:
            return self.most_tokens(params, flops) - self.least_tokens(params) * (1 - EDGE)

        # the sizes that leave room form an interval: its foot comes from the bounds, its top from the budget
        foot = max(self.params.low, 1.0, self.tokens.low / self.tokens_per_param.high)
        ceiling = min(self.params.high, max(flops, foot))
        if foot > ceiling or room(foot) < 0:
            raise UnreachableError(
                "no model satisfies the limits within this budget", hint="raise the budget or relax a limit"
            )
        if room(ceiling) >= 0:
            return foot, ceiling
        top = bisect(lambda place: -room(math.exp(place)), math.log(foot), math.log(ceiling))
        return foot, max(foot, math.exp(top) * (1 - 1e-15))


def solve(problem: Problem, flops: float) -> tuple[float, float]:
    """Return (params, tokens) with the least loss within ``flops``.

    Raises
    ------
    UnreachableError
        When no model satisfies the bounds within the budget.

    """
    split = problem.closed_form(flops)
    if split is not None and problem.holds(*split):
        return split
    low, high = problem.sizes(flops)

    def objective(log_params: float) -> float:
        params = math.exp(log_params)
        return problem.reducible(params, problem.most_tokens(params, flops))

    log_params = minimum(objective, math.log(low), math.log(high))
    params = min(max(math.exp(log_params), low), high)
    return params, problem.most_tokens(params, flops)


def least_flops(reached: Callable[[float], bool]) -> float | None:
    """Return the least budget in FLOP for which ``reached`` holds, to the last bits; None if none up to 1e60 does.

    ``reached`` must be monotone: once true, true for every larger budget.
    """
    low, high = math.log(_LEAST_FLOPS), math.log(_MOST_FLOPS)
    if not reached(_MOST_FLOPS):
        return None
    return math.exp(bisect(lambda place: 1.0 if reached(math.exp(place)) else -1.0, low, high))


def bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where an increasing function crosses zero, to the last bit of the interval's middle."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return high


def minimum(objective: Callable[[float], float], low: float, high: float) -> float:
    """Return the place of the least value on [low, high]: scan, refine the best cells, first-order condition."""
    if high - low < 1e-15 * max(1.0, abs(low)):
        return low
    step = (high - low) / _GRID
    places = [low + i * step for i in range(_GRID)] + [high]
    values = [objective(place) for place in places]
    valleys = sorted(
        (i for i in range(_GRID + 1) if values[i] <= min(values[max(i - 1, 0)], values[min(i + 1, _GRID)])),
        key=values.__getitem__,
    )
    best, best_value = places[valleys[0]], values[valleys[0]]
    for i in valleys[:3]:  # valleys nearly as deep on the grid may swap order once refined
        place = _golden(objective, places[max(i - 1, 0)], places[min(i + 1, _GRID)])
        value = objective(place)
        if value < best_value:
            best, best_value = place, value
    polished = _stationary(objective, best, low, high)
    # at a kink or an edge there is no stationary point, and the loss says so
    return polished if objective(polished) <= best_value * (1 + 4e-16) else best


def _golden(objective: Callable[[float], float], low: float, high: float) -> float:
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = objective(left), objective(right)
    while high - low > 1e-9:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = objective(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = objective(right)
    ends = (low, high, 0.5 * (low + high))
    return min(ends, key=objective)


def _stationary(objective: Callable[[float], float], place: float, low: float, high: float) -> float:
    """Polish a minimum with Newton steps on a derivative good to fourth order."""
    width = min(2e-3, 0.25 * (place - low), 0.25 * (high - place))
    if width < 1e-6:
        return place
    start = place
    for _ in range(6):
        above, below = objective(place + width), objective(place - width)
        far = objective(place + 2 * width) - objective(place - 2 * width)
        slope = (8 * (above - below) - far) / (12 * width)
        bend = (above - 2 * objective(place) + below) / width**2
        if not bend > 0:
            return start
        move = slope / bend
        if abs(move) > width:
            return start
        place -= move
        if abs(move) < 1e-12:
            break
    return place
