"""Many budgets at once: the solver's problem on NumPy arrays, and plans as columns.

The same formulas as :mod:`scaleplan.solver` and the same three steps (scan, refine, first-order condition), on
a whole array of budgets. Columns that cost more than the split itself are computed when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UnreachableError
from scaleplan.frontier import MeasuredFrontier, SolvedFrontier
from scaleplan.solver import EDGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.frontier import Frontier
    from scaleplan.solver import Problem

    Floats = NDArray[float64]

__all__ = ["best_array", "solve_array"]

_GRID = 240
_BLOCK = 4096  # budgets solved together: the scan holds _BLOCK x _GRID numbers, 8 MB
_GOLDEN = 0.6180339887498949


def best_array(frontier: Frontier, flops: Floats) -> tuple[Floats, Floats, Floats | None]:
    """Return (params, tokens, loss or None) of each budget, as :meth:`Frontier.best` does for one.

    Raises
    ------
    UnreachableError
        When a budget leaves no model within the bounds.

    """
    if isinstance(frontier, SolvedFrontier):
        params, tokens = solve_array(frontier.problem, flops)
        return params, tokens, frontier.problem.loss(params, tokens)
    assert isinstance(frontier, MeasuredFrontier)
    params, tokens = frontier.law.split(flops)
    if frontier.bounds.free:
        return params, tokens, frontier.law.frontier_loss(flops)
    params = np.clip(params, frontier.bounds.params.low, frontier.bounds.params.high)
    tokens = frontier.cost.tokens(params, flops)
    _require(tokens >= frontier.bounds.tokens.low, flops)
    return params, tokens, None


def solve_array(problem: Problem, flops: Floats) -> tuple[Floats, Floats]:
    """Return (params, tokens) with the least loss within each budget; the array form of :func:`solver.solve`.

    Raises
    ------
    UnreachableError
        When a budget leaves no model within the bounds.

    """
    split = problem.closed_form(flops)
    if split is not None and problem.free:
        return split
    params, tokens = np.empty_like(flops), np.empty_like(flops)
    for start in range(0, len(flops), _BLOCK):
        part = slice(start, start + _BLOCK)
        params[part], tokens[part] = _solve_block(problem, flops[part])
    if split is not None:
        spans = zip(
            (problem.params, problem.tokens, problem.tokens_per_param), (*split, split[1] / split[0]), strict=True
        )
        inside = np.logical_and.reduce(
            [(span.low * (1 - EDGE) <= value) & (value <= span.high * (1 + EDGE)) for span, value in spans]
        )
        params, tokens = np.where(inside, split[0], params), np.where(inside, split[1], tokens)
    return params, tokens


def _solve_block(problem: Problem, flops: Floats) -> tuple[Floats, Floats]:
    low, high = _sizes(problem, flops)
    log_low, log_high = np.log(low), np.log(high)

    def tokens_at(params: Floats) -> Floats:
        budget = flops if params.ndim == 1 else flops[:, None]
        bought = problem.cost.tokens(params, budget)
        return np.minimum(np.minimum(problem.tokens.high, problem.tokens_per_param.high * params), bought)

    def objective(log_params: Floats) -> Floats:
        params = np.exp(log_params)
        return problem.reducible(params, tokens_at(params))

    place = _minimum(objective, log_low, log_high)
    params = np.clip(np.exp(place), low, high)
    return params, tokens_at(params)


def _minimum(objective: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    """Return the place of the least value on each [low, high]: scan, refine the two best cells, polish."""
    step = (high - low) / _GRID
    places = low[:, None] + step[:, None] * np.arange(_GRID + 1)
    places[:, -1] = high
    values = objective(places)
    rows = np.arange(len(low))
    first = np.argmin(values, axis=1)
    valleys = np.pad(values, ((0, 0), (1, 1)), constant_values=np.inf)
    is_valley = (values <= valleys[:, :-2]) & (values <= valleys[:, 2:])
    is_valley[rows, first] = False
    second = np.argmin(np.where(is_valley, values, np.inf), axis=1)
    best, best_value = places[rows, first], values[rows, first]
    for cell in (first, second):  # valleys nearly as deep on the grid may swap order once refined
        place = _golden(objective, places[rows, np.maximum(cell - 1, 0)], places[rows, np.minimum(cell + 1, _GRID)])
        value = objective(place)
        better = value < best_value
        best, best_value = np.where(better, place, best), np.where(better, value, best_value)
    polished = _stationary(objective, best, low, high)
    # at a kink or an edge there is no stationary point, and the loss says so
    return np.where(objective(polished) <= best_value * (1 + 4e-16), polished, best)


def _golden(objective: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = objective(left), objective(right)
    while np.max(high - low) > 1e-9:
        go_left = at_left <= at_right
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
        fresh = np.where(go_left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_fresh = objective(fresh)
        left, right = np.where(go_left, fresh, right), np.where(go_left, left, fresh)
        at_left, at_right = np.where(go_left, at_fresh, at_right), np.where(go_left, at_left, at_fresh)
    ends = np.stack([low, high, 0.5 * (low + high)])
    values = np.stack([objective(end) for end in ends])
    return ends[np.argmin(values, axis=0), np.arange(len(low))]


def _stationary(objective: Callable[[Floats], Floats], place: Floats, low: Floats, high: Floats) -> Floats:
    """Polish minima with Newton steps on a derivative good to fourth order; leave those without room for it."""
    start = place
    width = np.minimum(2e-3, 0.25 * np.minimum(place - low, high - place))
    usable = width > 1e-6
    width = np.where(usable, width, 1.0)
    for _ in range(4):
        above, below = objective(place + width), objective(place - width)
        near, far = above - below, objective(place + 2 * width) - objective(place - 2 * width)
        slope = (8 * near - far) / (12 * width)
        bend = (above - 2 * objective(place) + below) / width**2
        with np.errstate(divide="ignore", invalid="ignore"):
            move = slope / bend
        usable &= (bend > 0) & (np.abs(move) <= width)
        place = np.where(usable, place - np.where(usable, move, 0.0), start)
    return place


def _sizes(problem: Problem, flops: Floats) -> tuple[Floats, Floats]:
    """Return the interval of sizes that leave room for tokens, for each budget; see :meth:`Problem.sizes`."""
    foot = np.full_like(flops, max(problem.params.low, 1.0, problem.tokens.low / problem.tokens_per_param.high))
    ceiling = np.minimum(problem.params.high, np.maximum(flops, foot))

    def room(params: Floats) -> Floats:
        most = np.minimum(
            np.minimum(problem.tokens.high, problem.tokens_per_param.high * params),
            problem.cost.tokens(params, flops),
        )
        return most - np.maximum(problem.tokens.low, problem.tokens_per_param.low * params) * (1 - EDGE)

    _require((foot <= ceiling) & (room(foot) >= 0), flops)
    low, high = np.log(foot), np.log(ceiling)
    whole = room(ceiling) >= 0
    for _ in range(60):
        middle = 0.5 * (low + high)
        enough = room(np.exp(middle)) >= 0
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    return foot, np.where(whole, ceiling, np.maximum(foot, np.exp(low)))


def _require(feasible: NDArray[np.bool_], flops: Floats) -> None:
    if not np.all(feasible):
        raise UnreachableError(
            f"no model satisfies the limits within a budget of {float(flops[~feasible][0]):g} FLOP",
            hint="raise the budgets or relax a limit",
        )
