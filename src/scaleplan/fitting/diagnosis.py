"""Is a fit what it seems: what the runs determine, what ended on a bound, and what must not be asked of the law."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.additive import law_at
from scaleplan.fitting.robust import central_interval, typical_deviation
from scaleplan.fitting.surface import Surface

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.additive import Solution
    from scaleplan.fitting.bootstrap import Bootstrap
    from scaleplan.fitting.design import Design
    from scaleplan.fitting.points import Points

    Array = NDArray[float64]

__all__ = ["Flag", "Information", "diagnose", "information"]

_WIDE = math.log(3.0)  # a standard error of ln N* beyond which an allocation is no advice
_COLLINEAR = 1e9
_THIN_LINE = 0.1  # runs within 10 % of one line in (ln N, ln D)
_FEW_RUNS, _FEW_VALUES = 8, 3
_NARROW = 4.0
_OFTEN = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Something a reader of the fit must know.

    ``code`` is stable for scripts. ``unidentified`` says that the split between size and data is not determined,
    so that the law must not choose D/N.
    """

    code: str
    message: str
    unidentified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Information:
    """The information matrix of the free coefficients, each column scaled to length one.

    Attributes
    ----------
    eigenvalues
        In ascending order; they sum to the number of coefficients, and one near zero is a combination of
        coefficients that the runs do not determine.
    covariance
        Delta-method covariance of the free coordinates, with a robust scale of the residuals.
    log_params_error
        Delta-method standard error of ln N* at the largest compute of the runs.

    """

    eigenvalues: tuple[float, ...]
    covariance: Array
    log_params_error: float

    @property
    def condition(self) -> float:
        """The ratio of the largest to the smallest eigenvalue."""
        return self.eigenvalues[-1] / max(self.eigenvalues[0], 1e-300)


def information(points: Points, solution: Solution) -> Information:
    """Return the scaled information of a solution, without the coordinates that ended on a bound."""
    coordinates = solution.coordinates
    x, y = points.logs
    surface = Surface(x=x, y=y, loss=points.loss, objective=solution.objective, coordinates=coordinates)
    columns = surface.jacobian(solution.theta[None])[0].T @ coordinates.matrix()
    if points.weight is not None:
        columns = columns * np.sqrt(points.weight)[:, None]
    theta = coordinates.free(solution.theta)
    lower, upper = coordinates.bounds(points.loss)
    loose = (theta > lower) & (theta < upper)
    length = np.where(loose, np.linalg.norm(columns, axis=0), np.inf)
    scaled = columns / np.maximum(length, 1e-300)
    values, axes = np.linalg.eigh(scaled[:, loose].T @ scaled[:, loose])
    inverse = np.zeros((len(theta), len(theta)))
    inverse[np.ix_(loose, loose)] = (axes / np.maximum(values, 1e-15)) @ axes.T
    variance = _noise(solution, len(points), coordinates.count) ** 2
    covariance = variance * inverse / np.outer(length, length)
    return Information(
        eigenvalues=tuple(float(value) for value in np.maximum(values, 0.0)),
        covariance=covariance,
        log_params_error=_log_params_error(points, solution, covariance),
    )


def diagnose(
    points: Points, solution: Solution, *, design: Design, known: Information, resamples: Bootstrap | None = None
) -> tuple[Flag, ...]:
    """Return what is wrong or weak, gravest first; empty for a fit without reservations."""
    flags = [*_unidentified(design, solution, known)]
    law = solution.law
    if solution.coordinates.floor is None and "E" in solution.bounds:
        message = (
            "the floor E ran to zero: the runs show no sign of levelling off, so extrapolated losses are too low"
        )
        flags.append(Flag(code="floor_zero", message=message))
    elif resamples is not None and solution.coordinates.floor is None and resamples.floor_at_zero > _OFTEN:
        low, high = central_interval(resamples.draws[:, 2], 0.9)
        share = f"{resamples.floor_at_zero:.0%} of resamples"
        flags.append(
            Flag(code="floor_zero", message=f"E is zero in {share}; its 90 % interval is {low:.2g} to {high:.3g}")
        )
    if resamples is not None and resamples.exponents_at_bound > _OFTEN:
        share = f"{resamples.exponents_at_bound:.0%} of resamples"
        flags.append(
            Flag(code="resamples_at_bound", message=f"an exponent runs to its bound in {share}", unidentified=True)
        )
    if resamples is not None and resamples.failed > _OFTEN * resamples.samples:
        flags.append(Flag(code="resamples_failed", message=f"{resamples.failed} resamples did not converge"))
    if len(points) < _FEW_RUNS or design.sizes < _FEW_VALUES or design.token_counts < _FEW_VALUES:
        counts = f"{len(points)} runs, {design.sizes} sizes, {design.token_counts} token counts"
        flags.append(Flag(code="few_runs", message=f"{counts}: a fit needs at least 8 runs, 3 sizes, 3 token counts"))
    low, high = design.tokens_per_param
    if not design.one_ray and high < _NARROW * low:
        message = (
            f"tokens per parameter span only {low:.3g} to {high:.3g}; a factor of 16 or more determines the split"
        )
        flags.append(Flag(code="narrow_ratios", message=message))
    if max(law.alpha, law.beta) > 1.25:
        flags.append(Flag(code="steep", message="an exponent above 1.25 is outside what published laws show"))
    return tuple(flags)


def _unidentified(design: Design, solution: Solution, known: Information) -> list[Flag]:
    flags = []
    if design.ratio is not None:
        message = (
            f"all runs have about {design.ratio:.3g} tokens per parameter: size and data terms cannot be told apart; "
            "the loss is predicted along that ratio, and no other ratio can be advised"
        )
        flags.append(Flag(code="one_ray", message=message, unidentified=True))
    elif design.line < _THIN_LINE:
        message = "all runs lie on one line in (ln N, ln D): the law is determined along it and nowhere else"
        flags.append(Flag(code="one_line", message=message, unidentified=True))
    stuck = [name for name in solution.bounds if name != "E"]
    if stuck:
        message = f"{', '.join(stuck)} ended on a bound of the search: not identified; try tied exponents"
        flags.append(Flag(code="bound", message=message, unidentified=True))
    if not solution.converged:
        flags.append(
            Flag(code="not_converged", message="the descent did not reach a stationary point", unidentified=True)
        )
    if not flags and known.condition > _COLLINEAR:
        message = f"the coefficients are collinear (condition number {known.condition:.0e}): not identified"
        flags.append(Flag(code="collinear", message=message, unidentified=True))
    elif not flags and known.log_params_error > _WIDE:
        factor = math.exp(min(known.log_params_error, 50.0))
        message = (
            f"the optimal size is uncertain by a factor of {factor:.2g} within the data: the split is not identified"
        )
        flags.append(Flag(code="wide", message=message, unidentified=True))
    return flags


def _noise(solution: Solution, runs: int, coefficients: int) -> float:
    """Return the scale whose square multiplies the inverse information.

    For least squares the residual standard deviation; for estimators close to absolute deviations that of the
    median, sqrt(pi/2) times a normal standard deviation estimated from the median of |r|.
    """
    small = math.sqrt(runs / max(runs - coefficients, 1))
    if solution.objective.robust == "none":
        return small * float(np.sqrt(np.mean(solution.residuals**2)))
    return small * math.sqrt(math.pi / 2) * typical_deviation(solution.residuals)


def _log_params_error(points: Points, solution: Solution, covariance: Array) -> float:
    coordinates = solution.coordinates
    product = float(np.max(points.params * points.tokens))
    theta = coordinates.free(solution.theta)

    def optimum(free: Array) -> float:
        law = law_at(coordinates.full(free[None])[0], solution.centre)
        return math.log(law.best_split(product)[0])

    slope = np.zeros(len(theta))
    for k in range(len(theta)):
        step = np.zeros(len(theta))
        step[k] = 1e-6
        inside = np.maximum(theta - step, coordinates.bounds(points.loss)[0])
        slope[k] = (optimum(theta + step) - optimum(inside)) / (theta + step - inside)[k]
    return math.sqrt(max(float(slope @ covariance @ slope), 0.0))
