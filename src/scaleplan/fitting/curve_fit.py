"""Fit a curve: power laws with and without floor, M1 to M4, broken power laws, products of powers.

The curves that can be fitted: how each turns coordinates into its law, and where to start.

Coordinates are logarithms of positive coefficients and plain values of the others. The law of a whole table of
coordinates has columns as coefficients, so that the formula of :mod:`scaleplan.laws` is the only one.


Fit any formula: robust Newton descent from many starts, with derivatives by differences.

The formula is given as a law built from columns of coordinates, so that what is fitted is what plans. Coordinates are
logarithms of positive coefficients and plain values of the others: all of order one to ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.fitting.newton import minimise
from scaleplan.fitting.objective import Objective, central_interval, huber
from scaleplan.laws.curves import BNSL, Break, ChancePower, MultiplicativePower, OffsetPower, Power, ShiftedPower

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy import bool_, float64, intp
    from numpy.typing import NDArray

    from scaleplan.laws.base import Curve

    Array = NDArray[float64]
    Index = NDArray[intp]
    Floats = Array | Sequence[float]

__all__ = [
    "CURVES",
    "CurveFit",
    "CurveForm",
    "Descent",
    "Formula",
    "bnsl_form",
    "curve_form",
    "descend",
    "fit_curve",
    "fit_product",
    "resample",
]

_RATES = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6)

_FLOORS = (0.0, 0.3, 0.6, 0.85, 0.95, 0.99)

_MOST_LOG, _MOST_RATE = 300.0, 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveForm:
    """One form of a curve of one quantity.

    Attributes
    ----------
    names
        Names of the coefficients, in the order of the coordinates.
    logs
        Which coordinates are logarithms.
    build
        The law for coefficients in that order (floats, or columns of them) and the names of x and y.
    starts, bounds
        Starts (S, p) and the box, in coordinates, for data (x, y).

    """

    name: str
    names: tuple[str, ...]
    logs: tuple[bool, ...]
    build: Callable[[Sequence[Array | float], str, str], Curve]
    starts: Callable[[Array, Array], Array]
    bounds: Callable[[Array, Array], tuple[Array, Array]]

    def coefficients(self, theta: Array) -> list[Array]:
        """Return the coefficients (S,) of coordinates (S, p)."""
        return [np.exp(theta[..., k]) if log else theta[..., k] for k, log in enumerate(self.logs)]

    def law(self, theta: Array, x: str, y: str) -> Curve:
        """Return the law of one row of coordinates."""
        return self.build([float(value) for value in self.coefficients(theta)], x, y)

    def predict(self, theta: Array, x: Array) -> Array:
        """Return y (S, n) of coordinates (S, p)."""
        columns = [value[:, None] for value in self.coefficients(theta)]
        return np.asarray(self.build(columns, "x", "y").value(x=x), dtype=np.float64)


def curve_form(name: str) -> CurveForm:
    """Return a form by its name, or by M1, M2, M3, M4, or ``bnsl2`` for the number of breaks.

    Raises
    ------
    UnknownNameError
        When there is no such form.

    """
    key = _ALIASES.get(name.casefold(), name.casefold())
    if key not in CURVES:
        raise UnknownNameError("form of a curve", name, [*CURVES, *_ALIASES])
    return CURVES[key]


def _power_starts(x: Array, y: Array) -> Array:
    slope, level = np.polyfit(np.log(x), np.log(y), 1)
    return np.array([[level, slope]])


def _floor_starts(x: Array, y: Array) -> Array:
    """Put the scale such that the curve passes through the middle of the data, for each rate and floor."""
    middle_x, middle_y = float(np.median(np.log(x))), float(np.median(y))
    least = float(np.min(y))
    return np.array(
        [
            [np.log(max(middle_y - share * least, 1e-9 * middle_y)) + rate * middle_x, rate, share * least]
            for rate, share in product(_RATES, _FLOORS)
        ]
    )


def _shifted_starts(x: Array, y: Array) -> Array:
    ends = np.log(1.0 / np.max(x)) + np.array([-4.0, -1.0, 1.0])
    plain = _floor_starts(x, y)
    middle = np.exp(-np.median(np.log(x)))
    rows = []
    for a, c, e in plain:
        level = a + c * np.log(middle)
        rows += [[level - c * np.log(middle + np.exp(g)), g, c, e] for g in ends]
    return np.array(rows)


def _chance_starts(x: Array, y: Array) -> Array:
    top = float(np.max(y))
    rows = []
    for _, c, e in _floor_starts(x, y):
        for excess, k in product((1.02, 1.3), (0.3, 1.0, 2.5)):
            chance = top * excess
            at = np.argsort(y)[len(y) // 2]
            level = np.log(max(y[at] - e, 1e-9)) - k * np.log(chance - y[at])
            rows.append([level + c * np.log(x[at]), c, e, np.log(chance), np.log(k)])
    return np.array(rows)


def _bnsl_starts(breaks: int) -> Callable[[Array, Array], Array]:
    def starts(x: Array, y: Array) -> Array:
        places = np.quantile(np.log(x), (0.15, 0.35, 0.5, 0.65, 0.85))
        least, rows = float(np.min(y)), []
        chosen = [(places[k],) for k in range(5)] if breaks == 1 else list(product(places, repeat=breaks))
        for where in chosen:
            if list(where) != sorted(set(where)):
                continue
            for share, width, change in product((0.0, 0.5, 0.9), (-3.0, -1.5, 0.0), (-0.3, 0.3, 1.5)):
                for c0 in (0.02, 0.2, 0.6):
                    level = np.log(max(float(np.max(y)) - share * least, 1e-9)) + c0 * np.log(np.min(x))
                    row = [share * least, level, c0]
                    for at in where:
                        row += [change, at, width]
                    rows.append(row)
        return np.array(rows)

    return starts


def _box(lower: Sequence[float], upper: Sequence[float]) -> tuple[Array, Array]:
    return np.array(lower), np.array(upper)


def bnsl_form(breaks: int) -> CurveForm:
    """Return the broken power law with a number of breaks."""
    parts = tuple(f"{part}{number}" for number in range(1, breaks + 1) for part in ("c", "d", "f"))

    def build(values: Sequence[Array | float], x: str, y: str) -> Curve:
        bends = tuple(Break(c=values[k], d=values[k + 1], f=values[k + 2]) for k in range(3, 3 + 3 * breaks, 3))  # type: ignore[arg-type]
        return BNSL(a=values[0], b=values[1], c0=values[2], breaks=bends, x=x, y=y)  # type: ignore[arg-type]

    def bounds(x: Array, y: Array) -> tuple[Array, Array]:
        low, high = float(np.min(np.log(x))), float(np.max(np.log(x)))
        span = high - low
        lower, upper = [0.0, -_MOST_LOG, -2.0], [float(np.min(y)), _MOST_LOG, _MOST_RATE]
        for _ in range(breaks):
            lower += [-20.0, low - 0.5 * span, np.log(0.005)]
            upper += [20.0, high + 0.5 * span, np.log(10.0)]
        return _box(lower, upper)

    return CurveForm(
        name="bnsl",
        names=("a", "b", "c0", *parts),
        logs=(False, True, False, *((False, True, True) * breaks)),
        build=build,
        starts=_bnsl_starts(breaks),
        bounds=bounds,
    )


CURVES = {
    "power": CurveForm(
        name="power",
        names=("a", "n"),
        logs=(True, False),
        build=lambda v, x, y: Power(a=v[0], n=v[1], x=x, y=y),  # type: ignore[arg-type]
        starts=_power_starts,
        bounds=lambda _x, _y: _box([-_MOST_LOG, -_MOST_RATE], [_MOST_LOG, _MOST_RATE]),
    ),
    "offset_power": CurveForm(
        name="offset_power",
        names=("a", "c", "e"),
        logs=(True, False, False),
        build=lambda v, x, y: OffsetPower(a=v[0], c=v[1], e=v[2], x=x, y=y),  # type: ignore[arg-type]
        starts=_floor_starts,
        bounds=lambda _x, y: _box([-_MOST_LOG, 1e-4, 0.0], [_MOST_LOG, _MOST_RATE, float(np.min(y))]),
    ),
    "shifted_power": CurveForm(
        name="shifted_power",
        names=("a", "g", "c", "e"),
        logs=(True, True, False, False),
        build=lambda v, x, y: ShiftedPower(a=v[0], g=v[1], c=v[2], e=v[3], x=x, y=y),  # type: ignore[arg-type]
        starts=_shifted_starts,
        bounds=lambda x, y: _box(
            [-_MOST_LOG, -float(np.max(np.log(x))) - 20.0, 1e-4, 0.0],
            [_MOST_LOG, -float(np.min(np.log(x))), _MOST_RATE, float(np.min(y))],
        ),
    ),
    "chance_power": CurveForm(
        name="chance_power",
        names=("a", "c", "e", "y0", "k"),
        logs=(True, False, False, True, True),
        build=lambda v, x, y: ChancePower(a=v[0], c=v[1], e=v[2], y0=v[3], k=v[4], x=x, y=y),  # type: ignore[arg-type]
        starts=_chance_starts,
        bounds=lambda _x, y: _box(
            [-_MOST_LOG, 1e-4, 0.0, float(np.log(np.max(y))) + 1e-6, -6.0],
            [_MOST_LOG, _MOST_RATE, float(np.min(y)), float(np.log(np.max(y))) + 3.0, 4.0],
        ),
    ),
    **{"bnsl" if breaks == 1 else f"bnsl{breaks}": bnsl_form(breaks) for breaks in (1, 2, 3)},
}
"""The forms by name; ``bnsl2`` and ``bnsl3`` have two and three breaks."""

_ALIASES = {"m1": "power", "m2": "offset_power", "m3": "shifted_power", "m4": "chance_power"}

_STEP, _CURVATURE_STEP = 6e-6, 1e-4  # cube and fourth root of the rounding error, for first and second differences

_HUGE = 1e6  # what replaces a residual of a formula that overflows: worse than any that does not


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Formula:
    """Predictions (S, n) of coordinates (S, p), the observed values (n,), and the box of the coordinates."""

    predict: Callable[[Array], Array]
    observed: Array
    lower: Array
    upper: Array
    weight: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Descent:
    """The best of all starts.

    ``ends`` (S, p) and ``end_scores`` (S,) are where all polished starts ended.
    """

    theta: Array
    score: float
    residuals: Array
    converged: bool
    at_bound: NDArray[bool_]
    ends: Array
    end_scores: Array

    @property
    def rivals(self) -> int:
        """How many starts ended within 1 % of the best objective; few mean a hard landscape."""
        return int(np.count_nonzero(self.end_scores <= np.min(self.end_scores) * 1.01))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Problem:
    formula: Formula
    objective: Objective
    weight: Array | None

    def residuals(self, theta: Array) -> Array:
        with np.errstate(all="ignore"):
            residual = self.objective.residuals(self.formula.predict(theta), self.formula.observed)
        return np.clip(np.where(np.isfinite(residual), residual, _HUGE), -_HUGE, _HUGE)

    def derivatives(self, theta: Array, index: Index, *, delta: float, majorise: bool) -> tuple[Array, Array, Array]:
        """Differences of the residuals give the gradient; second differences their own curvature."""
        count, size = theta.shape
        moves = [np.zeros(size)]
        moves += [sign * _STEP * row for row in np.eye(size) for sign in (1.0, -1.0)]
        pairs = [(k, l) for k in range(size) for l in range(k, size)] if not majorise else []
        moves += [_CURVATURE_STEP * (np.eye(size)[k] + np.eye(size)[l]) for k, l in pairs]
        moves += [_CURVATURE_STEP * row for row in np.eye(size)] if pairs else []
        table = self.residuals((theta[:, None, :] + np.array(moves)).reshape(-1, size)).reshape(count, len(moves), -1)
        residual = table[:, 0]
        jacobian = (table[:, 1 : 2 * size : 2] - table[:, 2 : 2 * size + 1 : 2]) / (2 * _STEP)
        psi, slope, value = huber(residual, delta, majorise=majorise)
        if self.weight is not None:
            weight = self.weight[index if len(self.weight) > 1 else slice(None)]
            psi, slope, value = psi * weight, slope * weight, value * weight
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


def descend(formula: Formula, starts: Array, *, objective: Objective, polished: int = 12) -> Descent:
    """Take the best starts, descend from each, and return the best end.

    Raises
    ------
    UsageError
        When there are fewer observations than coordinates.

    """
    size = len(formula.lower)
    if len(formula.observed) < size:
        raise UsageError(f"{len(formula.observed)} rows cannot determine {size} coefficients")
    problem = _Problem(
        formula=formula, objective=objective, weight=None if formula.weight is None else formula.weight[None]
    )
    inside = np.clip(starts, formula.lower, formula.upper)
    scores = objective.score(problem.residuals(inside), formula.weight)
    chosen = inside[np.argsort(scores, kind="stable")[:polished]]
    theta, converged = _minimise(problem, chosen)
    scores = objective.score(problem.residuals(theta), formula.weight)
    best = int(np.argmin(scores))
    again, settled = _minimise(problem, theta[best : best + 1])
    after = float(objective.score(problem.residuals(again), formula.weight)[0])
    final = again[0] if after < scores[best] else theta[best]
    width = 1e-9 * (formula.upper - formula.lower)
    return Descent(
        theta=final,
        score=min(after, float(scores[best])),
        residuals=problem.residuals(final[None])[0],
        converged=bool(settled[0] or converged[best]),
        at_bound=(final <= formula.lower + width) | (final >= formula.upper - width),
        ends=theta,
        end_scores=scores,
    )


def resample(formula: Formula, best: Descent, weight: Array, *, objective: Objective) -> tuple[Array, NDArray[bool_]]:
    """Refit copies with other weights (R, n), each from the optimum of all rows: coordinates (R, p), converged."""
    theta = np.empty((len(weight), len(best.theta)))
    converged = np.empty(len(weight), dtype=bool)
    block = max(1, 6_000 // len(formula.observed))
    for begin in range(0, len(weight), block):
        part = slice(begin, begin + block)
        rows = weight[part] if formula.weight is None else weight[part] * formula.weight
        problem = _Problem(formula=formula, objective=objective, weight=rows)
        theta[part], converged[part] = _minimise(problem, np.tile(best.theta, (len(rows), 1)))
    return theta, converged


def _minimise(problem: _Problem, starts: Array) -> tuple[Array, NDArray[bool_]]:
    spread = 2.0 * float(np.median(np.abs(problem.residuals(starts[:1]))))
    end = minimise(
        problem,
        starts,
        lower=problem.formula.lower,
        upper=problem.formula.upper,
        deltas=problem.objective.continuation(spread),
        zero=len(problem.formula.observed) * 1e-24,
    )
    return end.theta, end.converged


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CurveFit:
    """A fitted curve.

    Attributes
    ----------
    law
        The curve, ready to predict and to be written to a preset.
    names, draws
        The coefficients, and their values in every resample (R, p); no rows without resampling.
    bounds
        Coefficients that ended on a bound of the search: not identified.
    rivals
        How many starts ended within 1 % of the best objective.

    """

    law: Curve
    score: float
    residuals: Array
    converged: bool
    names: tuple[str, ...]
    bounds: tuple[str, ...]
    rivals: int
    draws: Array

    @property
    def rms(self) -> float:
        """The root mean square of the residuals."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    def interval(self, name: str, *, level: float = 0.9) -> tuple[float, float]:
        """Return the percentile interval of a coefficient over the resamples."""
        column = self.draws[:, self.names.index(name)]
        return central_interval(column, level)


def fit_curve(
    form: str,
    x: Floats,
    y: Floats,
    *,
    objective: Objective | None = None,
    weight: Floats | None = None,
    quantities: tuple[str, str] = ("x", "y"),
    samples: int = 0,
    seed: int = 0,
) -> CurveFit:
    """Fit a form of one quantity: ``power`` (M1), ``offset_power`` (M2), ``shifted_power`` (M3), ``chance_power``
    (M4), or ``bnsl`` (``bnsl2``, ``bnsl3`` with more breaks).

    Parameters
    ----------
    form
        Name of the form.
    x, y
        Positive columns of equal length.
    objective
        Huber 1e-3 on ln y unless given.
    weight
        How much a row counts.
    quantities
        Names of x and y in the law.
    samples, seed
        Resamples of the rows, and the seed.

    Raises
    ------
    UnknownNameError
        For an unknown form.
    UsageError
        For columns that are not positive numbers of equal length, or too few rows.

    """  # noqa: D205  the forms do not fit on one line
    chosen, objective = curve_form(form), objective or Objective()
    inputs, observed = _positive(x, quantities[0]), _positive(y, quantities[1])
    if len(inputs) != len(observed):
        raise UsageError(f"{len(inputs)} values of {quantities[0]} for {len(observed)} of {quantities[1]}")
    lower, upper = chosen.bounds(inputs, observed)
    formula = Formula(
        predict=lambda theta: chosen.predict(theta, inputs),
        observed=observed,
        lower=lower,
        upper=upper,
        weight=None if weight is None else _positive(weight, "weight"),
    )
    best = descend(formula, chosen.starts(inputs, observed), objective=objective)
    draws = np.empty((0, len(chosen.names)))
    if samples:
        theta, _ = resample(formula, best, _counts(len(observed), samples, seed), objective=objective)
        draws = np.stack(chosen.coefficients(theta), axis=1)
    return CurveFit(
        law=chosen.law(best.theta, *quantities),
        score=best.score,
        residuals=best.residuals,
        converged=best.converged,
        names=chosen.names,
        bounds=tuple(name for name, hit in zip(chosen.names, best.at_bound, strict=True) if hit),
        rivals=best.rivals,
        draws=draws,
    )


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

    Raises
    ------
    UsageError
        For columns that are not positive numbers of equal length, or too few rows.

    """
    objective, observed = objective or Objective(), _positive(y, quantity)
    names = tuple(inputs)
    columns = [_positive(column, name) for name, column in inputs.items()]
    if any(len(column) != len(observed) for column in columns):
        raise UsageError(f"columns of different length: {len(observed)} values of {quantity}")
    logs = np.log(np.stack(columns))
    centre = logs.mean(axis=1)
    around = logs - centre[:, None]

    def law(row: Array) -> MultiplicativePower:
        scale = float(np.exp(row[0] - row[1:] @ centre))
        exponents = tuple((name, float(value)) for name, value in zip(names, row[1:], strict=True))
        return MultiplicativePower(a=scale, exponents=exponents, y=quantity)

    start = np.linalg.lstsq(np.vstack([np.ones(len(observed)), around]).T, np.log(observed), rcond=None)[0]
    wide = np.full(len(start), 50.0)
    formula = Formula(
        predict=lambda theta: np.exp(theta[:, :1] + theta[:, 1:] @ around),
        observed=observed,
        lower=start - wide,
        upper=start + wide,
        weight=None if weight is None else _positive(weight, "weight"),
    )
    best = descend(formula, start[None], objective=objective)
    draws = np.empty((0, len(start)))
    if samples:
        draws, _ = resample(formula, best, _counts(len(observed), samples, seed), objective=objective)
        draws = np.column_stack([np.exp(draws[:, 0] - draws[:, 1:] @ centre), draws[:, 1:]])
    return CurveFit(
        law=law(best.theta),
        score=best.score,
        residuals=best.residuals,
        converged=best.converged,
        names=("a", *(f"exponents.{name}" for name in names)),
        bounds=(),
        rivals=best.rivals,
        draws=draws,
    )


def _positive(values: Floats, name: str) -> Array:
    column = np.asarray(values, dtype=np.float64)
    wrong = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
    if column.ndim != 1 or len(wrong):
        shown = f"{column[wrong[0]]:g} in row {wrong[0] + 1}" if column.ndim == 1 else "a table"
        raise UsageError(f"{name}: {shown} is not a positive number")
    return column


def _counts(rows: int, samples: int, seed: int) -> Array:
    generator = np.random.Generator(np.random.PCG64(seed))
    return generator.multinomial(rows, np.full(rows, 1 / rows), size=samples).astype(np.float64)
