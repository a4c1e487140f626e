"""Finish a fit of least absolute deviations exactly: an optimum passes through as many runs as it has coefficients.

The residuals are linearised, the linear problem is solved by exchanging the runs that the fit passes through
(Barrodale & Roberts 1973, SIAM J. Numer. Anal. 10:839), and the step is taken as far as the true sum falls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy import float64
    from numpy.typing import NDArray

    Array = NDArray[float64]

__all__ = ["least_deviations", "refine_l1"]

_ROUNDS, _HALVINGS = 40, 8


def refine_l1(
    theta: Array, *, residuals: Callable[[Array], Array], jacobian: Callable[[Array], Array], weight: Array
) -> Array:
    """Return coordinates with a sum of weighted absolute residuals that no linearised step lowers.

    ``residuals`` gives (n,) and ``jacobian`` (p, n) at coordinates (p,); ``weight`` is (n,).
    """
    residual = residuals(theta)
    score = float(weight @ np.abs(residual))
    for _ in range(_ROUNDS):
        try:
            step = least_deviations(jacobian(theta), residual, weight)
        except np.linalg.LinAlgError:  # the runs nearest to the fit do not determine it
            return theta
        for halving in range(_HALVINGS):
            trial = theta + step * 0.5**halving
            moved = residuals(trial)
            new = float(weight @ np.abs(moved))
            if new < score:
                break
        else:
            return theta
        gained = score - new
        theta, residual, score = trial, moved, new
        if gained <= 1e-14 * score:
            return theta
    return theta


def least_deviations(columns: Array, residual: Array, weight: Array) -> Array:
    """Return the step d that minimises sum(weight * |residual + columnsᵀ d|), with ``columns`` (p, n)."""
    basis = _basis(columns, residual)
    count = len(columns)
    step: Array = np.zeros(count)
    for _ in range(20 * count + len(residual)):
        step = np.asarray(np.linalg.solve(columns[:, basis].T, -residual[basis]), dtype=np.float64)
        rest = residual + step @ columns
        rest[basis] = 0.0
        inverse = np.linalg.inv(columns[:, basis])
        pull = -inverse @ (columns @ (weight * np.sign(rest)))
        excess = np.abs(pull) - weight[basis]
        leaving = int(np.argmax(excess))
        if excess[leaving] <= 1e-9 * weight[basis[leaving]]:
            break
        direction = np.sign(pull[leaving]) * inverse[leaving] @ columns
        direction[basis] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = np.where(rest * direction < 0, -rest / direction, np.inf)
        order = np.argsort(crossing, kind="stable")
        slope = -excess[leaving] + 2.0 * np.cumsum((weight * np.abs(direction))[order])
        entering = order[int(np.searchsorted(slope, 0.0))] if slope[-1] > 0 else -1
        if entering < 0 or not np.isfinite(crossing[entering]):
            break
        basis[leaving] = entering
    return step


def _basis(columns: Array, residual: Array) -> NDArray[np.intp]:
    """Return the runs of smallest residual whose columns are independent."""
    scaled = columns / np.maximum(np.linalg.norm(columns, axis=1), 1e-300)[:, None]
    left = scaled.copy()
    length = np.linalg.norm(scaled, axis=0)
    chosen: list[int] = []
    for index in np.argsort(np.abs(residual), kind="stable"):
        rest = left[:, index]
        size = np.linalg.norm(rest)
        if size > 1e-3 * length[index]:
            chosen.append(int(index))
            unit = rest / size
            left = left - np.outer(unit, unit @ left)
            if len(chosen) == len(columns):
                return np.array(chosen, dtype=np.intp)
    raise np.linalg.LinAlgError
