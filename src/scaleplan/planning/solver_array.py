"""Solve many budgets at once: the same problem on NumPy arrays, and plans as columns.

The same formulas as :mod:`scaleplan.planning.solver` and the same three steps (scan, refine, first-order
condition), on a whole array of budgets. Columns that cost more than the split itself are computed when first read.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex, overload

import numpy as np

from scaleplan.errors import UnreachableError, UsageError
from scaleplan.planning.frontier import MeasuredFrontier, SolvedFrontier
from scaleplan.planning.plan import Plans
from scaleplan.planning.planner import out_of_range, require_budget, require_loss
from scaleplan.planning.posterior import forecast_interval
from scaleplan.planning.problem import EDGE, UNLIMITED_FLOPS
from scaleplan.planning.uncertainty import interval
from scaleplan.record import Result
from scaleplan.units import format_flops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy import float64
    from numpy.typing import ArrayLike, NDArray

    from scaleplan.laws.base import Law
    from scaleplan.planning.frontier import Frontier
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.planner import Planner
    from scaleplan.planning.problem import Problem
    from scaleplan.planning.uncertainty import Interval, Outcome

    Floats = NDArray[float64]
    Rows = NDArray[np.intp]
    Objective = Callable[[Floats, Rows], Floats]
    """The loss at places in ln N of the budgets of some rows."""

__all__ = ["PlanArray", "best_array", "plan_array", "solve_array"]

_SHOWN = 10  # plans of an array in its report

_GRID = 80  # cells of the scan; breakpoints are scanned besides, and between them the objective is smooth

_BLOCK = 2048  # budgets solved together: the scan holds _BLOCK x _GRID numbers, 1.3 MB

_GOLDEN = 0.6180339887498949

_ROUNDING = 4e-16

_SAME = 1e-12  # places closer than this are one

_ASIDE, _NEAR = 1e-6, 1e-5  # where a minimum at a breakpoint, and a smooth one, show that they are

_ROUGH, _FINE = 3e-3, 1e-9  # widths at which Newton's method takes over, and at which nothing needs to

_SETTLED = 1e-8  # the last Newton step of a minimum that is smooth, a hundred times above the noise


class _Exact(np.ndarray):
    """Budgets whose powers, logarithms and exponentials are those of Python's floats, to the last digit.

    NumPy has its own functions for these, and one in twenty powers ends in another digit: a plan of a stream would
    differ from the same plan alone. Whatever is computed from such an array by operators is one too.
    """

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Apply a function element by element where Python has its own, and NumPy's to plain arrays elsewhere."""
        plain = [item.view(np.ndarray) if isinstance(item, _Exact) else item for item in inputs]
        if "out" in kwargs:
            kwargs["out"] = tuple(
                item.view(np.ndarray) if isinstance(item, _Exact) else item for item in kwargs["out"]
            )
        own = _ELEMENTWISE.get(ufunc) if method == "__call__" and not kwargs else None
        found = None
        if own is not None:
            shape = np.broadcast_shapes(*map(np.shape, plain))
            columns = [
                repeat(float(item)) if np.ndim(item) == 0 else np.broadcast_to(item, shape).ravel().tolist()
                for item in plain
            ]
            with suppress(ArithmeticError, ValueError):  # out of a function's domain: NumPy has its infinities there
                found = np.fromiter(map(own, *columns), float, math.prod(shape)).reshape(shape)
        if found is None:
            found = getattr(ufunc, method)(*plain, **kwargs)
        return found.view(_Exact) if isinstance(found, np.ndarray) and found.dtype == float else found

    def __pow__(self, exponent: Any, /) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Return the power; NumPy's operator makes other functions of some exponents."""
        return np.power(self, exponent)


def _plain(arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(item.view(np.ndarray) if isinstance(item, _Exact) else item for item in arrays)


_ELEMENTWISE: dict[np.ufunc, Callable[..., float]] = {np.power: math.pow, np.log: math.log, np.exp: math.exp}


def best_array(frontier: Frontier, flops: Floats) -> tuple[Floats, Floats, Floats | None]:
    """Return (params, tokens, loss or None) of each budget, as :meth:`Frontier.best` does for one.

    Raises UnreachableError when a budget leaves no model within the bounds.
    """
    if isinstance(frontier, SolvedFrontier):
        params, tokens = solve_array(frontier.problem, flops)
        return params, tokens, frontier.problem.loss(params, tokens)
    assert isinstance(frontier, MeasuredFrontier)
    low, high = frontier.region.min_params(), frontier.region.max_params(flops)
    _require(low <= high * (1 + EDGE), flops)
    return frontier.split(flops, low, high)


def solve_array(problem: Problem, flops: Floats) -> tuple[Floats, Floats]:
    """Return (params, tokens) with the least loss within each budget; the array form of :func:`solver.solve`.

    Raises UnreachableError when a budget leaves no model within the bounds.
    """
    split = problem.closed_form(flops)
    if split is not None and problem.free:
        return split
    done = np.zeros(len(flops), dtype=bool)
    params, tokens = np.empty_like(flops), np.empty_like(flops)
    if split is not None:
        done = np.asarray(problem.holds(*split) & problem.undiminished(*split))
        params[done], tokens[done] = split[0][done], split[1][done]
    rest = np.flatnonzero(~done)
    for start in range(0, len(rest), _BLOCK):
        part = rest[start : start + _BLOCK]
        params[part], tokens[part] = _solve_block(problem, flops[part])
    return params, tokens


def _solve_block(problem: Problem, flops: Floats) -> tuple[Floats, Floats]:
    low, max_params = np.full_like(flops, problem.min_params()), problem.max_params(flops)
    _require(low <= max_params * (1 + EDGE), flops)
    high = np.maximum(low, max_params)

    def objective(places: Floats, rows: Rows) -> Floats:
        params, budget = np.exp(places), flops[rows]
        return problem.aim(params, problem.most_tokens(params, budget if places.ndim == 1 else budget[:, None]))

    inside = [np.where((size > low) & (size < high), size, low) for size in problem.breakpoints(flops)]
    exact = [low, high, *inside]
    place = _minimum(objective, np.log(low), np.log(high), np.log(np.stack(exact, axis=1)))
    params = np.clip(np.exp(place), low, high)
    for size in exact:  # what the logarithm has rounded
        params = np.where(np.abs(size / params - 1) < EDGE, size, params)
    return params, problem.most_tokens(params, flops)


def _minimum(objective: Objective, low: Floats, high: Floats, nodes: Floats) -> Floats:
    """Return the place of the least value on each [low, high]: scan, refine the two best valleys."""
    step = (high - low) / _GRID
    places = np.sort(np.concatenate([low[:, None] + step[:, None] * np.arange(1, _GRID), nodes], axis=1), axis=1)
    rows = np.arange(len(low))
    values = objective(places, rows)
    first = np.argmin(values, axis=1)
    sides = np.pad(values, ((0, 0), (1, 1)), constant_values=np.inf)
    valley = (values <= sides[:, :-2]) & (values <= sides[:, 2:])
    valley &= np.abs(places - places[rows, first][:, None]) > _SAME  # breakpoints may coincide
    second = np.argmin(np.where(valley, values, np.inf), axis=1)
    best, least = _refined(objective, places, first, rows)
    rivals = rows[valley[rows, second]]  # valleys nearly as deep on the grid may swap order once refined
    if len(rivals):
        other, value = _refined(objective, places[rivals], second[rivals], rivals)
        better = value < least[rivals]
        best[rivals] = np.where(better, other, best[rivals])
    return best


def _refined(objective: Objective, places: Floats, cell: Rows, rows: Rows) -> tuple[Floats, Floats]:
    """Return the least place between the neighbours of a scanned one, and its value.

    Most kinks lie at scanned places. So either the scanned place is the minimum itself, or the objective is smooth
    at the minimum and Newton's method finds it; both are seen by their surroundings, and the rest are halved down to.
    """
    at, last = np.arange(len(rows)), places.shape[1] - 1
    best = places[at, cell].copy()
    least = objective(best, rows)
    reach = [_neighbour(places, cell, step, last) for step in (-1, 1)]
    lower = np.minimum(
        objective(np.maximum(best - _ASIDE, reach[0]), rows), objective(np.minimum(best + _ASIDE, reach[1]), rows)
    )
    todo = np.flatnonzero(lower < least)
    for width in (_ROUGH, _FINE):
        if not len(todo):
            break
        low, high = reach[0][todo], reach[1][todo]
        place = _golden(objective, low, high, rows[todo], width)
        settled = np.zeros(len(todo), dtype=bool)
        if width == _ROUGH:
            place, settled = _stationary(objective, place, low, high, rows[todo])
        value = objective(place, rows[todo])
        settled &= np.minimum(objective(place - _NEAR, rows[todo]), objective(place + _NEAR, rows[todo])) > value
        better = value <= least[todo] * (1 + _ROUNDING)
        best[todo], least[todo] = np.where(better, place, best[todo]), np.where(better, value, least[todo])
        todo = todo[~(settled & better)]
    return best, least


def _neighbour(places: Floats, cell: Rows, step: int, last: int) -> Floats:
    """Return the next place that differs from a scanned one, on one side; the place itself at the end."""
    at, own = np.arange(len(cell)), places[np.arange(len(cell)), cell]
    for _ in range(last + 1):
        cell = np.clip(cell + step, 0, last)
        same = (np.abs(places[at, cell] - own) <= _SAME) & (cell > 0) & (cell < last)
        if not same.any():
            break
        cell = np.where(same, cell, cell - step)
    return places[at, cell]


def _golden(objective: Objective, low: Floats, high: Floats, rows: Rows, width: float) -> Floats:
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = objective(left, rows), objective(right, rows)
    while np.max(high - low) > width:
        go_left = at_left <= at_right
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
        fresh = np.where(go_left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_fresh = objective(fresh, rows)
        left, right = np.where(go_left, fresh, right), np.where(go_left, left, fresh)
        at_left, at_right = np.where(go_left, at_fresh, at_right), np.where(go_left, at_left, at_fresh)
    ends = np.stack([low, high, 0.5 * (low + high)])
    values = np.stack([objective(end, rows) for end in ends])
    return ends[np.argmin(values, axis=0), np.arange(len(low))]


def _stationary(
    objective: Objective, place: Floats, low: Floats, high: Floats, rows: Rows
) -> tuple[Floats, NDArray[np.bool_]]:
    """Polish minima with Newton steps on a derivative good to fourth order; return which of them converged."""
    start = place
    width = np.minimum(2e-3, 0.05 * np.minimum(place - low, high - place))  # a budget's edge may be near and steep
    usable = width > 1e-6
    width = np.where(usable, width, 1.0)
    move = np.full_like(place, np.inf)
    for _ in range(5):
        above, below = objective(place + width, rows), objective(place - width, rows)
        near, far = above - below, objective(place + 2 * width, rows) - objective(place - 2 * width, rows)
        slope = (8 * near - far) / (12 * width)
        bend = (above - 2 * objective(place, rows) + below) / width**2
        with np.errstate(divide="ignore", invalid="ignore"):
            move = slope / bend
        usable &= (bend > 0) & (np.abs(move) <= _ROUGH)
        place = np.where(usable, place - np.where(usable, move, 0.0), start)
    return place, usable & (np.abs(move) < _SETTLED)


def _require(feasible: NDArray[np.bool_], flops: Floats) -> None:
    if not np.all(feasible):
        raise UnreachableError(
            f"no model satisfies the limits within a budget of {format_flops(float(flops[~feasible][0]))}",
            hint="raise the budgets or relax a limit",
        )


@dataclass(frozen=True, kw_only=True)
class PlanArray(Result):
    """Optimal plans for an array of budgets; attributes named like the keys of a plan are arrays of its length.

    ``params`` and ``tokens`` are whole numbers. ``interval`` and ``near_optimal_params`` hold pairs of arrays
    (low, high) and are computed when first read.
    ``loss`` is None where the law has none. Iterating gives single plans.
    """

    schema: ClassVar[str] = "scaleplan/plans/1"

    planner: Planner
    flops: Floats
    params: Floats
    tokens: Floats
    loss: Floats | None

    def __len__(self) -> int:
        return len(self.flops)

    def __iter__(self) -> Iterator[Plan]:
        return (self.planner.optimal(float(flops)) for flops in self.flops)

    @overload
    def __getitem__(self, place: SupportsIndex) -> Plan: ...

    @overload
    def __getitem__(self, place: slice) -> PlanArray: ...

    def __getitem__(self, place: SupportsIndex | slice) -> Plan | PlanArray:
        """Return the plan of one budget, or those of a slice."""
        if not isinstance(place, slice):
            return self.planner.optimal(float(self.flops[place]))
        loss = None if self.loss is None else self.loss[place]
        return PlanArray(
            planner=self.planner,
            flops=self.flops[place],
            params=self.params[place],
            tokens=self.tokens[place],
            loss=loss,
        )

    def viewed(self) -> Plans:
        """Return the first plans, which the views of several plans show."""
        return Plans(plans=tuple(self[:_SHOWN]))

    @property
    def preset(self) -> str:
        """The law's id."""
        return self.planner.preset.id

    @property
    def tokens_per_param(self) -> Floats:
        """Training tokens for each parameter."""
        return self.tokens / self.params

    @cached_property
    def interval(self) -> Interval[Floats] | None:
        """Central intervals, each a pair of arrays; None when the source gives no usable uncertainty."""
        planner = self.planner
        fitted = planner.preset.range.flops

        def solve(law: Law) -> Outcome[Floats]:
            return best_array(planner.frontier_for(law), np.minimum(self.flops, planner.bounds.total.high))

        beyond = self.flops / fitted[1] if fitted else np.ones_like(self.flops)
        with np.errstate(all="ignore"):  # what overflows is refused below
            found = self._forecast or interval(planner.preset, solve, level=planner.level, factor=beyond)
        if found is None or found.params is None or found.tokens is None:
            return None
        if planner.preset.forecast is None:  # by which some are not known
            _require_finite(planner, *found.params, *found.tokens, *(found.tokens_per_param or ()))
        _require_finite(planner, *(found.loss or ()))
        low, high = found.params
        fewest, most = found.tokens
        return replace(found, params=(np.rint(low), np.rint(high)), tokens=(np.rint(fewest), np.rint(most)))

    @property
    def _forecast(self) -> Interval[Floats] | None:
        """The intervals of a forecast; None for another law."""
        planner = self.planner
        frontier = planner.frontier
        if planner.preset.forecast is None or not isinstance(frontier, SolvedFrontier):
            return None
        outcome, spent = (self.params, self.tokens, self.loss), np.minimum(self.flops, planner.bounds.total.high)
        return forecast_interval(frontier.problem, outcome, level=planner.level, spent=spent)

    @cached_property
    def near_optimal_params(self) -> tuple[Floats, Floats] | None:
        """The smallest and the largest near-optimal size of each budget; None where the law has none."""
        frontier, overhead = self.planner.frontier, self.planner.overhead
        if isinstance(frontier, SolvedFrontier) and frontier.scale_free:
            smaller, larger = frontier.near_optimal_factors(overhead)
            params, _, _ = best_array(frontier, self.flops)
            return np.rint(params * smaller), np.rint(params * larger)
        found = [
            sizes for flops in self.flops if (sizes := frontier.near_optimal(float(flops), overhead)) is not None
        ]
        if len(found) < len(self):
            return None
        return np.rint([low for low, _ in found]), np.rint([high for _, high in found])

    def to_dict(self) -> dict[str, object]:
        """Return ``{"schema": …, "plans": [...]}``, the form of several single plans."""
        return {"schema": self.schema, "plans": [plan.to_dict() for plan in self], "warnings": []}


def plan_array(planner: Planner, flops: ArrayLike) -> PlanArray:
    """Return the optimal plans of an array of FLOP budgets.

    Raises UsageError when the budgets are not a one-dimensional array of numbers from 1 to 1e60, or overflow by this
    law.
    """
    planner.require_consistent()
    planner.require_choice()
    try:
        budgets = np.asarray(flops, dtype=float)
    except (TypeError, ValueError):
        raise UsageError(
            "an array of budgets holds numbers of FLOP", hint="read texts with parse_flops first"
        ) from None
    if budgets.ndim != 1:
        raise UsageError(f"an array of budgets has one dimension, not {budgets.ndim}", hint="flatten it first")
    for beyond in budgets[~((budgets >= 1) & (budgets <= UNLIMITED_FLOPS))][:1]:
        require_budget(float(beyond))
    budgets = budgets.view(_Exact)
    frontier, spent = planner.frontier, np.minimum(budgets, planner.bounds.total.high)
    with np.errstate(all="ignore"):  # what overflows is refused below
        found = best_array(frontier, spent)
        if found[2] is not None:
            for refused in budgets[found[2] > planner.bounds.loss.high][:1]:
                planner.best(float(refused))  # raises where the loss is too high, and names the limits that conflict
        params, tokens, loss = frontier.whole(found, spent)
    _require_finite(planner, params, tokens, *([] if loss is None else [loss]))
    low, high = planner.supported_ratios
    for place in np.flatnonzero((tokens < low * params) | (tokens > high * params)).tolist():
        planner.require_supported(float(params[place]), float(tokens[place]))
    outermost = {place for column in (params, tokens) if len(column) for place in (column.argmin(), column.argmax())}
    for place in sorted(outermost):
        planner.require_plausible(float(params[place]), float(tokens[place]))
    if loss is not None and len(loss):
        require_loss(planner.preset, float(loss.min()))
    return PlanArray(planner=planner, flops=budgets, params=params, tokens=tokens, loss=loss)


def _require_finite(planner: Planner, *columns: Floats) -> None:
    if not all(np.isfinite(column).all() for column in columns):
        raise out_of_range(planner.preset)
