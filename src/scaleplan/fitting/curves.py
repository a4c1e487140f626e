"""Fit a curve: power laws with and without floor, M1 to M4, broken power laws, products of powers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.forms import curve_form
from scaleplan.fitting.numeric import Formula, descend, resample
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.robust import central_interval
from scaleplan.laws.power import MultiplicativePower

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.laws.base import Curve

    Array = NDArray[float64]
    Floats = Array | Sequence[float]

__all__ = ["CurveFit", "fit_curve", "fit_product"]


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
