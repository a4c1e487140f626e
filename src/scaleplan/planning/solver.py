"""Find the split of a budget with the least loss: one problem, one budget, plain Python floats.

A law with a closed form answers directly. Everything else is scanned on a grid of ln N to which the problem's
breakpoints are added (the objective may have several valleys, and kinks only there), refined in the best cells, and
polished with the first-order condition, because the loss is so flat at its minimum that comparing losses
alone finds N only to half the digits.

The minimiser and the root finders are written out because a plan imports neither NumPy nor SciPy, which would take
longer to load than all else together. :mod:`scaleplan.planning.solver_array` solves the same problem for arrays of
budgets.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.arrays import log
from scaleplan.planning.problem import EDGE, UNLIMITED_FLOPS, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["bisect", "crossing", "least_budget", "least_flops", "minimum", "solve"]

_STEP = 0.25  # of the scan in ln N: laws bend over a unit or more of it

_LEAST_FLOPS = 1e2  # far below anything that can be trained

_GOLDEN = (math.sqrt(5) - 1) / 2

_ROUNDING = 4e-16

_ROUGH, _FINE = 1e-3, 1e-9  # widths in ln N at which Newton's method takes over, and at which nothing needs to

_NEAR = 1e-5  # in ln N, where a minimum that is smooth shows that it is one

_SETTLED = 1e-8  # the last Newton step of a minimum that is smooth, a hundred times above the noise

_NEARBY = 1.5  # how far in ln N an optimum is followed when the problem changes a little


def solve(problem: Problem, flops: float, *, near: float | None = None, likely: bool = True) -> tuple[float, float]:
    """Return (params, tokens) with the least loss within ``flops``.

    ``near`` is the optimal size of a problem that differs a little, and limits the search to the same valley;
    ``likely`` limits it to the tokens per parameter that the law names. An optimum on such an edge is searched again.

    Raises UnreachableError when no model satisfies the bounds within the budget.
    """
    split = problem.closed_form(flops)
    if split is not None and problem.holds(*split) and (not problem.effective or problem.undiminished(*split)):
        return split
    low, high = problem.sizes(flops)

    def aim(params: float) -> float:
        return problem.aim(params, problem.most_tokens(params, flops))

    start, stop = low, high
    if near is not None and low < near < high:
        start, stop = max(low, near * math.exp(-_NEARBY)), min(high, near * math.exp(_NEARBY))
    elif likely:
        least, most = problem.surface.likely_ratios
        if most < math.inf:
            start, stop = (problem.cost.params_at_ratio(ratio, flops) for ratio in (most, least))
            start, stop = min(max(start, low), high), max(min(stop, high), low)
    breakpoints = [size for size in problem.breakpoints(flops) if start < size < stop]
    params = math.exp(minimum(lambda place: aim(math.exp(place)), log(start), log(stop), map(log, breakpoints)))
    if (start > low and params < start * 1.001) or (stop < high and params > stop / 1.001):
        return solve(problem, flops, likely=near is not None)  # not the same valley after all
    params = min(max(params, low), high)
    least = aim(params)
    for exact in (low, high, *breakpoints):  # an optimum at a breakpoint is exactly that
        if abs(log(exact / params)) < 1e-6 and aim(exact) <= least * (1 + _ROUNDING):
            params, least = exact, aim(exact)
    return params, problem.most_tokens(params, flops)


def least_budget(problem: Problem, loss: float) -> float | None:
    """Return the least budget in FLOP whose best split reaches ``loss``; None if none up to 1e60 does."""
    goal = loss - problem.surface.floor + math.ulp(loss)  # where it hardly falls the last bit is a large budget
    bottom = problem.least_cost()
    if loss <= problem.surface.floor or bottom is None:
        return None
    if problem.free:
        product = problem.surface.least_product(loss)
        if product is not None:
            return product * problem.cost.per_param_token
    # within limits the loss may end on a level, where the last bits decide whether it is reached
    found = _least_log_flops(problem, goal, bottom)
    found = _least_log_flops(problem, goal * (1 + EDGE), bottom) if found is None else found
    return None if found is None else math.exp(found)


def _least_log_flops(problem: Problem, goal: float, bottom: float) -> float | None:
    """Return the logarithm of the least budget whose best split has a reducible loss of ``goal``."""
    last: tuple[float, float] | None = None

    def excess(log_flops: float) -> float:
        nonlocal last
        near = last[1] if last is not None and abs(last[0] - log_flops) < 1 else None
        split = solve(problem, math.exp(log_flops), near=near)
        last = log_flops, split[0]
        return log(goal / problem.reducible(*split))

    start = log(max(bottom * (1 + 1e-12), _LEAST_FLOPS))
    if excess(start) >= 0:
        return start
    low, high = start, max(start, math.log(1e18))
    while excess(high) < 0:
        if high > math.log(UNLIMITED_FLOPS):
            return None
        low, high = high, high + 7.0
    return crossing(excess, low, high)


def least_flops(reached: Callable[[float], bool]) -> float | None:
    """Return the least budget in FLOP for which ``reached`` holds, to the last bits; None if none up to 1e60 does.

    ``reached`` must be monotone: once true, true for every larger budget.
    """
    low, high = math.log(_LEAST_FLOPS), math.log(UNLIMITED_FLOPS)
    if not reached(UNLIMITED_FLOPS):
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


def crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where an increasing, nearly straight function crosses zero, in few evaluations: secants in a bracket.

    The place returned is on the side where the function is not negative.
    """
    at_low, at_high = function(low), function(high)
    for turn in range(200):
        width = high - low
        if width <= 2e-15 * max(1.0, abs(high)) or at_high <= 0:
            break
        # every third step halves the bracket, so that a function that is not straight still ends
        share = 0.5 if turn % 3 == 2 or at_low >= 0 else at_low / (at_low - at_high)
        inside = min(0.5, max(1e-9, 1e-15 * max(1.0, abs(high)) / width))  # a step that rounding would lose
        middle = low + width * min(max(share, inside), 1 - inside)
        if not low < middle < high:
            break
        value = function(middle)
        if value < 0:
            low, at_low = middle, value
        else:
            high, at_high = middle, value
    return high


def minimum(objective: Callable[[float], float], low: float, high: float, nodes: Iterable[float] = ()) -> float:
    """Return the place of the least value on [low, high]: scan, refine the best cells, first-order condition.

    ``nodes`` are places at which the objective may have a kink; they are scanned exactly.
    """
    if high - low < 1e-15 * max(1.0, abs(low)):
        return low
    number = max(16, math.ceil((high - low) / _STEP))
    step = (high - low) / number
    places = sorted([low + i * step for i in range(number)] + [high, *nodes])
    values = [objective(place) for place in places]
    last = len(places) - 1
    valleys = sorted(
        (i for i in range(last + 1) if values[i] <= min(values[max(i - 1, 0)], values[min(i + 1, last)])),
        key=values.__getitem__,
    )
    best, best_value = places[valleys[0]], values[valleys[0]]
    for i in valleys[:4]:  # valleys nearly as deep on the grid may swap order once refined
        if places[i] in (low, high) and i != valleys[0]:
            continue
        cell = places[max(i - 1, 0)], places[min(i + 1, last)]
        place = _stationary(objective, _golden(objective, *cell, _ROUGH), *cell)
        value = math.inf if place is None else objective(place)
        if value > values[i]:  # no smooth minimum, or none below the place that was scanned
            place = _golden(objective, *cell, _FINE)
            value = objective(place)
        if place is not None and value < best_value:
            best, best_value = place, value
    return best


def _golden(objective: Callable[[float], float], low: float, high: float, width: float) -> float:
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = objective(left), objective(right)
    while high - low > width:
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


def _stationary(objective: Callable[[float], float], place: float, low: float, high: float) -> float | None:
    """Polish a minimum with Newton steps on a derivative good to fourth order; None at a kink or an edge."""
    width = min(2e-3, 0.25 * (place - low), 0.25 * (high - place))
    if width < 1e-6:
        return None
    for _ in range(6):
        above, below = objective(place + width), objective(place - width)
        far = objective(place + 2 * width) - objective(place - 2 * width)
        slope = (8 * (above - below) - far) / (12 * width)
        bend = (above - 2 * objective(place) + below) / width**2
        if not bend > 0:
            return None
        move = slope / bend
        if abs(move) > width:
            return None
        place -= move
        if abs(move) < 1e-12:
            break
    smooth = min(objective(place - _NEAR), objective(place + _NEAR)) > objective(place)
    return place if smooth and abs(move) < _SETTLED else None
