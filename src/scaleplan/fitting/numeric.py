"""Fit any formula: robust Newton descent from many starts, with derivatives by differences.

The formula is given as a law built from columns of coordinates, so that what is fitted is what plans. Coordinates are
logarithms of positive coefficients and plain values of the others: all of order one to ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.newton import minimise
from scaleplan.fitting.objective import huber

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy import bool_, float64, intp
    from numpy.typing import NDArray

    from scaleplan.fitting.objective import Objective

    Array = NDArray[float64]
    Index = NDArray[intp]

__all__ = ["Descent", "Formula", "descend", "resample"]

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
