"""Fit any formula, the curves of :mod:`scaleplan.laws.curves` among them: robust Newton descent from many starts.

Coordinates are logarithms of positive coefficients and plain values of the others: all of order one to ten.
Derivatives are differences, so that the formula of a law is written once: the law of a whole table of coordinates has
columns as coefficients. Starts are sifted, and resamples refitted, with first differences alone: a third of the work.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.fitting.bootstrap import resample_weights
from scaleplan.fitting.cleaning import CELL_WIDTH
from scaleplan.fitting.noise import require_distinct
from scaleplan.fitting.objective import Objective, central_interval, huber
from scaleplan.fitting.solvers import at_bound, minimise, weights_of
from scaleplan.laws.curves import ALIASES, FITTED, MultiplicativePower, Search
from scaleplan.planning.uncertainty import sigmas_of
from scaleplan.record import Record
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scaleplan.arrays import Array, Floats, Index, Mask
    from scaleplan.laws.base import Curve
    from scaleplan.laws.curves import FittedCurve

__all__ = ["CurveFit", "Formula", "FormulaFit", "descend", "fit_curve", "fit_formula", "fit_product"]

_STEP, _CURVATURE_STEP = 6e-6, 1e-4  # cube and fourth root of the rounding error, for central and second differences
_FORWARD_STEP = 1e-7  # near the square root of the rounding error, for forward differences
_ENOUGH_ROWS = 200  # of as many the spread of resamples is known to a twentieth, and the rest scale it
_ROUGHLY = {"tolerance": 1e-6, "steps": 15}  # a thousandth of what a coefficient's standard error costs 200 rows
_ROUGH_STARTS = 3  # as many starts are sifted for each that is refined
_HUGE = 1e6  # what replaces a residual of a formula that overflows: worse than any that does not


class Formula(Record, eq=False):
    """Predictions (S, n) of coordinates (S, p), the observed values (n,), and the box of the coordinates.

    ``inputs`` are columns (n,) that the predictions take after the coordinates.
    """

    predict: Callable[..., Array]
    inputs: tuple[Array, ...]
    observed: Array
    lower: Array
    upper: Array
    weight: Array | None = None

    def at(self, theta: Array) -> Array:
        """Return the predictions of coordinates for every row."""
        return self.predict(theta, *self.inputs)

    def thinned(self) -> Formula:
        """Return the formula of at most ``_ENOUGH_ROWS``, evenly spaced in order of the first input."""
        if len(self.observed) <= _ENOUGH_ROWS:
            return self
        order = np.argsort(self.inputs[0], kind="stable")
        chosen = order[np.linspace(0, len(order) - 1, _ENOUGH_ROWS).round().astype(np.intp)]
        return replace(
            self,
            inputs=tuple(column[chosen] for column in self.inputs),
            observed=self.observed[chosen],
            weight=None if self.weight is None else self.weight[chosen],
        )


class _Descent(Record, eq=False):
    """The best minimum; ``ends`` (S, p) and ``end_scores`` (S,) are where all refined starts ended."""

    theta: Array
    score: float
    residuals: Array
    converged: bool
    at_bound: Mask
    ends: Array
    end_scores: Array


class _Problem(Record, eq=False):
    """The objective of a formula; one that is not ``exact`` has forward differences and no second derivatives."""

    formula: Formula
    objective: Objective
    weight: Array | None
    exact: bool = True

    def residuals(self, theta: Array) -> Array:
        with np.errstate(all="ignore"):
            residual = self.objective.residuals(self.formula.at(theta), self.formula.observed)
        return np.clip(np.where(np.isfinite(residual), residual, _HUGE), -_HUGE, _HUGE)

    def score(self, theta: Array) -> Array:
        return self.objective.score(self.residuals(theta), self.formula.weight)

    def derivatives(self, theta: Array, index: Index, *, delta: float, majorise: bool) -> tuple[Array, Array, Array]:
        """Return value, gradient and Hessian, with the first and second derivatives of residuals by differences."""
        count, size = theta.shape
        axes = np.eye(size)
        pairs = [(k, l) for k in range(size) for l in range(k, size)] if self.exact and not majorise else []
        step, signs = (_STEP, (1.0, -1.0)) if self.exact else (_FORWARD_STEP, (1.0,))
        moves = [np.zeros(size), *(sign * step * axis for axis in axes for sign in signs)]
        moves += [_CURVATURE_STEP * (axes[k] + axes[l]) for k, l in pairs]
        moves += [_CURVATURE_STEP * axis for axis in axes] if pairs else []
        table = self.residuals((theta[:, None, :] + np.array(moves)).reshape(-1, size)).reshape(count, len(moves), -1)
        residual = table[:, 0]
        if self.exact:
            jacobian = (table[:, 1 : 2 * size : 2] - table[:, 2 : 2 * size + 1 : 2]) / (2 * step)
        else:
            jacobian = (table[:, 1:] - table[:, :1]) / step
        psi, slope, value = huber(residual, delta, majorise=majorise, weight=weights_of(index, self.weight))
        gradient = np.matmul(jacobian, psi[:, :, None])[:, :, 0]
        hessian = np.matmul(jacobian * slope[:, None, :], jacobian.transpose(0, 2, 1))
        first = 2 * size + 1 + len(pairs)
        for position, (k, l) in enumerate(pairs):
            both = table[:, 2 * size + 1 + position]
            bend = (both - table[:, first + k] - table[:, first + l] + residual) / _CURVATURE_STEP**2
            curvature = np.sum(psi * bend, axis=1)
            hessian[:, k, l] += curvature
            if k != l:
                hessian[:, l, k] += curvature
        return value.sum(axis=1), gradient, hessian


def descend(formula: Formula, starts: Array, *, objective: Objective, refined: int = 12) -> _Descent:
    """Sift the best starts roughly, descend from the best of these, and return the best end.

    Many rows are searched by a few of them first. Raises UsageError for too few observations.
    """
    require_distinct(*formula.inputs, coefficients=len(formula.lower))
    few = formula.thinned()
    if few is not formula:
        found = descend(few, starts, objective=objective, refined=refined)
        starts, refined = found.theta[None], 1
    problem = _Problem(
        formula=formula, objective=objective, weight=None if formula.weight is None else formula.weight[None]
    )
    inside = np.clip(starts, formula.lower, formula.upper)
    if len(inside) > refined:
        inside = _best(problem, inside, _ROUGH_STARTS * refined)
        inside, _ = _minimise(replace(problem, exact=False), inside, **_ROUGHLY)
    theta, converged = _minimise(problem, _best(problem, inside, refined))
    scores = problem.score(theta)
    best = int(np.argmin(scores))
    again, ended = _minimise(problem, theta[best : best + 1])
    after = float(problem.score(again)[0])
    final = again[0] if after < scores[best] else theta[best]
    return _Descent(
        theta=final,
        score=min(after, float(scores[best])),
        residuals=problem.residuals(final[None])[0],
        converged=bool(ended[0] or converged[best]),
        at_bound=at_bound(final, formula.lower, formula.upper),
        ends=theta,
        end_scores=scores,
    )


def _best(problem: _Problem, theta: Array, count: int) -> Array:
    """Return the coordinates with the lowest objectives."""
    return theta[np.argsort(problem.score(theta), kind="stable")[:count]]


def _resample(formula: Formula, best: Array, weight: Array, *, objective: Objective) -> Array:
    """Return the coordinates (R, p) of copies with weights (R, n), each refitted from the optimum of all rows."""
    theta = np.empty((len(weight), len(best)))
    block = max(1, 6_000 // len(formula.observed))
    for begin in range(0, len(weight), block):
        part = slice(begin, begin + block)
        rows = weight[part] if formula.weight is None else weight[part] * formula.weight
        problem = _Problem(formula=formula, objective=objective, weight=rows, exact=False)
        theta[part] = _minimise(problem, np.tile(best, (len(rows), 1)), **_ROUGHLY)[0]
    return theta


def _minimise(problem: _Problem, starts: Array, **limits: Any) -> tuple[Array, Mask]:  # noqa: ANN401
    return minimise(
        problem,
        starts,
        lower=problem.formula.lower,
        upper=problem.formula.upper,
        deltas=problem.objective.continuation(problem.residuals(starts[:1])),
        zero=len(problem.formula.observed) * 1e-24,
        **limits,
    )


_Law = TypeVar("_Law")


class FormulaFit(Record, Generic[_Law], eq=False):
    """A fitted formula with its law, its coefficients, and their values ``draws`` (R, p) in every resample.

    ``bounds`` are coefficients that ended on a bound of the search and so are not identified; ``rivals`` are distinct
    other minima within 1 % of the best objective, lowest first: their coefficients and their score.
    """

    law: _Law
    coefficients: Mapping[str, float]
    score: float
    residuals: Array
    converged: bool
    bounds: tuple[str, ...]
    rivals: tuple[tuple[float, ...], ...]
    draws: Array

    @property
    def columns(self) -> dict[str, Any]:
        """The resampled values of each coefficient."""
        return dict(zip(self.coefficients, self.draws.T, strict=True))

    def interval(self, name: str, *, level: float = 0.9) -> tuple[float, float]:
        """Return the percentile interval of a coefficient over the resamples."""
        return central_interval(self.columns[name], level, stretch=self.stretch(level))

    @property
    def freedom(self) -> int:
        """The number of rows beyond the coefficients."""
        return max(len(self.residuals) - len(self.coefficients), 1)

    def stretch(self, level: float) -> float:
        """Return by how much Student's t for the rows left over is wider than the normal."""
        return sigmas_of(level, self.freedom) / sigmas_of(level)


CurveFit = FormulaFit["Curve"]


def fit_formula(
    formula: Formula,
    starts: Array,
    *,
    names: tuple[str, ...],
    coefficients: Callable[[Array], Array],
    law: Callable[[list[float]], _Law],
    objective: Objective,
    samples: int = 0,
    seed: int = 0,
    refined: int = 12,
) -> FormulaFit[_Law]:
    """Fit a formula from the best ``refined`` of the starts, and ``samples`` resamples of its rows.

    Of many rows a few are resampled about their own optimum, and the spread of their optima is made narrower by the
    root of the ratio of rows (Bickel, Goetze and van Zwet 1997: fewer out of many).

    ``coefficients`` turns coordinates (S, p) into the coefficients ``names``, and ``law`` one row of these into the
    law. Raises UsageError unless two more rows differ than there are coefficients.
    """
    best = descend(formula, starts, objective=objective, refined=refined)
    draws = np.empty((0, len(names)))
    if samples:
        few = formula.thinned()
        generator = np.random.Generator(np.random.PCG64(seed))
        weight = resample_weights(len(few.observed), samples=samples, generator=generator).astype(np.float64)
        centre = best.theta
        if few is not formula:
            centre = descend(few, best.theta[None], objective=objective, refined=1).theta
        moved = _resample(few, centre, weight, objective=objective) - centre
        theta = best.theta + moved * np.sqrt(len(few.observed) / len(formula.observed))
        draws = coefficients(np.clip(theta, formula.lower, formula.upper))
    values = coefficients(best.theta[None])[0].tolist()
    return FormulaFit(
        law=law(values),
        coefficients=dict(zip(names, values, strict=True)),
        score=best.score,
        residuals=best.residuals,
        converged=best.converged,
        bounds=tuple(name for name, hit in zip(names, best.at_bound, strict=True) if hit),
        rivals=tuple(
            (*coefficients(best.ends[k : k + 1])[0].tolist(), float(best.end_scores[k])) for k in _rivals(best)
        ),
        draws=draws,
    )


def _rivals(best: _Descent) -> list[int]:
    """Return which ends are distinct from the best and from each other, and within 1 % of the best objective."""
    known, found = [best.theta], []
    for k in np.argsort(best.end_scores, kind="stable").tolist():
        end = best.ends[k]
        if best.end_scores[k] <= 1.01 * best.score and all(np.max(np.abs(end - other)) > 0.02 for other in known):
            known.append(end)
            found.append(k)
    return found


def fit_curve(
    form: str,
    x: Floats,
    y: Floats,
    *,
    objective: Objective | None = None,
    weight: Floats | None = None,
    quantities: tuple[str, str] = ("x", "y"),
    floor: float | None = None,
    samples: int = 0,
    seed: int = 0,
) -> CurveFit:
    """Fit a form of one quantity, by its name in :data:`FITTED` or its alias, to positive columns of equal length.

    The objective is Huber 1e-3 on ln y unless given, ``weight`` is how much a row counts, ``quantities`` are the
    names of x and y in the law, and ``floor`` is held where it is given. Raises UnknownNameError for an unknown form,
    UsageError for columns that are not positive numbers of equal length, too few rows, or a floor that the form does
    not have or that y goes below.
    """
    key = ALIASES.get(form.casefold(), form.casefold())
    if key not in FITTED:
        raise UnknownNameError("form of a curve", form, [*FITTED, *ALIASES])
    inputs, observed = _positive(x, quantities[0]), _positive(y, quantities[1])
    if len(inputs) != len(observed):
        raise UsageError(f"{len(inputs)} values of {quantities[0]} for {len(observed)} of {quantities[1]}")
    template = replace(FITTED[key], x=quantities[0], y=quantities[1])
    search, names = template.search(inputs, observed), tuple(template.coefficients())
    if floor is not None:
        search = _held(search, names, template, floor, least=float(np.min(observed)))

    def coefficients(theta: Array) -> Array:
        columns = [np.exp(theta[..., k]) if log else theta[..., k] for k, log in enumerate(search.logs)]
        return np.stack(columns, axis=-1)

    def law(values: Iterable[Any]) -> Curve:
        return template.with_coefficients(dict(zip(names, values, strict=True)))

    def predict(theta: Array, at: Array) -> Array:
        value = law(coefficients(theta).T[:, :, None]).value(**{template.x: at})
        return np.asarray(value, dtype=np.float64)

    formula = Formula(
        predict=predict,
        inputs=(inputs,),
        observed=observed,
        lower=np.array(search.lower),
        upper=np.array(search.upper),
        weight=None if weight is None else _positive(weight, "weight"),
    )
    found = fit_formula(
        formula,
        np.array(search.starts),
        names=names,
        coefficients=coefficients,
        law=law,
        objective=objective or Objective(),
        samples=samples,
        seed=seed,
    )
    if floor is None:
        return found
    return replace(found, bounds=tuple(name for name in found.bounds if name != template.floor_name))


def _held(search: Search, names: tuple[str, ...], template: FittedCurve, floor: float, *, least: float) -> Search:
    """Return the search with the floor of the form held at a value."""
    if template.floor_name is None:
        raise UsageError(f"form '{template.form}' has no floor to hold", hint="offset_power is a power with one")
    if floor >= least:
        raise UsageError(
            f"a floor of {format_plain(floor)} is not below the least {template.y}, {format_plain(least)}",
            hint="give a lower floor",
        )
    at = names.index(template.floor_name)
    starts = [[*start[:at], floor, *start[at + 1 :]] for start in search.starts]
    lower, upper = ([*bounds[:at], floor, *bounds[at + 1 :]] for bounds in (search.lower, search.upper))
    return Search(search.logs, starts, lower, upper)


def fit_product(
    inputs: Mapping[str, Floats],
    y: Floats,
    *,
    objective: Objective | None = None,
    quantity: str = "y",
    weight: Floats | None = None,
    samples: int = 0,
    seed: int = 0,
) -> CurveFit:
    """Fit y = a * product of x_i^n_i over several columns, such as a learning rate over size and tokens.

    Raises UsageError for columns that are not positive numbers of equal length, or too few rows.
    """
    observed = _positive(y, quantity)
    columns = [_positive(column, name) for name, column in inputs.items()]
    if any(len(column) != len(observed) for column in columns):
        raise UsageError(f"columns of different length: {len(observed)} values of {quantity}")
    logs = np.log(np.stack(columns))
    centre = logs.mean(axis=1)
    around = logs - centre[:, None]
    _require_independent(around, list(inputs))

    def coefficients(theta: Array) -> Array:
        return np.column_stack([np.exp(theta[:, 0] - theta[:, 1:] @ centre), theta[:, 1:]])

    def law(values: list[float]) -> Curve:
        return MultiplicativePower(a=values[0], exponents=tuple(zip(inputs, values[1:], strict=True)), y=quantity)

    start = np.linalg.lstsq(np.vstack([np.ones(len(observed)), around]).T, np.log(observed), rcond=None)[0]
    wide = np.full(len(start), 50.0)
    formula = Formula(
        predict=lambda theta, *at: np.exp(theta[:, :1] + theta[:, 1:] @ (np.log(np.stack(at)) - centre[:, None])),
        inputs=tuple(columns),
        observed=observed,
        lower=start - wide,
        upper=start + wide,
        weight=None if weight is None else _positive(weight, "weight"),
    )
    return fit_formula(
        formula,
        start[None],
        names=("a", *(f"exponents.{name}" for name in inputs)),
        coefficients=coefficients,
        law=law,
        objective=objective or Objective(),
        samples=samples,
        seed=seed,
    )


def _require_independent(around: Array, names: list[str]) -> None:
    """Refuse inputs that change together, whose exponents cannot be told apart; raises UsageError."""
    for name, column in zip(names, around, strict=True):
        if np.ptp(column) <= CELL_WIDTH:
            raise UsageError(
                f"{name} has one value in these rows, so its exponent is not determined", hint="leave it out"
            )
    strength, axes = np.linalg.eigh(np.atleast_2d(np.cov(around)))
    if strength[0] > CELL_WIDTH**2:
        return
    together = [name for name, part in zip(names, axes[:, 0], strict=True) if abs(part) > 0.1]
    raise UsageError(
        f"{' and '.join(together)} change together in these rows, so their exponents cannot be told apart",
        hint=f"fit a curve of one of them, such as --form power --x {together[0]}",
    )


def _positive(values: Floats, name: str) -> Array:
    column = np.asarray(values, dtype=np.float64)
    wrong = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
    if column.ndim != 1 or len(wrong):
        shown = f"{format_plain(column[wrong[0]])} in row {wrong[0] + 1}" if column.ndim == 1 else "a table"
        raise UsageError(f"{name}: {shown} is not a positive number")
    return column
