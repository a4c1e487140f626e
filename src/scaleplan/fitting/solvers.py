"""Minimise robust objectives: many small problems at once by Newton steps, or one of absolute deviations exactly.

:func:`minimise` takes damped, bounded Newton steps with continuation in delta. Every array has the problem (start or
resample) as its leading axis. A step is computed in scaled coordinates from the eigenvalues of the Hessian, so that
negative curvature cannot send it uphill, and is accepted only when the objective falls. Problems that have converged
leave the batch. SciPy's optimisers take one problem at a time. Measured on one core, with the same Huber objective
and equal optima: 2,000 resamples of 240 runs take 0.47 s here and 3.5 s by ``scipy.optimize.least_squares`` with the
same Jacobian, in a command that takes 1.8 s; the twelve starts of a broken power law 0.07 s against 2.1 s, those of
``chance_power`` 0.4 s against 14 s.

:func:`refine_l1` uses that an optimum of least absolute deviations passes through as many runs as it has
coefficients: the residuals are linearised, the linear problem is solved as a linear program, and the step is taken as
far as the true sum falls. SciPy's HiGHS solves the program; only ``--robust l1`` pays for its import (0.2 s).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from scaleplan.fitting.objective import huber

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy import uint16
    from numpy.typing import NDArray

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.fitting.objective import Objective

__all__ = ["at_bound", "least_deviations", "minimise", "newton_copies", "refine_l1", "weights_of"]

_MAJORISER_STEPS, _STAGE_STEPS, _LAST_STEPS = 3, 4, 120
_TOLERANCE = 1e-13  # predicted decrease, relative to the current objective
_L1_ROUNDS, _L1_HALVINGS = 40, 8
_REACH = (
    0.3  # of the box at a step, so that a coordinate that hardly matters here cannot spoil the step of the others
)
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-12, 1e7


class SmoothProblem(Protocol):
    """A batch of objectives with derivatives."""

    def derivatives(self, theta: Array, index: Index, *, delta: float, majorise: bool) -> tuple[Array, Array, Array]:
        """Return value (R,), gradient (R, p) and Hessian (R, p, p) of the problems ``index`` at ``theta`` (R, p).

        With ``majorise`` the Hessian is the positive one of iteratively reweighted least squares.
        """
        ...


def at_bound(theta: Array, lower: Array, upper: Array) -> Mask:
    """Return which coordinates (..., p) lie on the box, up to rounding."""
    width = 1e-9 * (upper - lower)
    return np.asarray((theta <= lower + width) | (theta >= upper - width))


def weights_of(index: Index, weight: Array | None) -> Array | None:
    """Return the rows of weights of the problems ``index``; a single row serves all of them."""
    return weight if weight is None or len(weight) == 1 else weight[index]


def minimise(
    problem: SmoothProblem,
    start: Array,
    *,
    lower: Array,
    upper: Array,
    deltas: Sequence[float],
    zero: float,
    tolerance: float = _TOLERANCE,
    steps: int = _LAST_STEPS,
    projected: bool = False,
) -> tuple[Array, Mask]:
    """Return the minimum inside the box from each row of ``start``, and whether the last stage converged.

    The descent goes through the stages ``deltas``. ``zero`` is the objective at which a fit is exact in floating
    point and there is nothing left to gain, ``tolerance`` the predicted decrease, relative to the objective, at which
    the last stage ends, and ``steps`` the most that it takes. ``projected`` steps stop at a bound with the others
    adjusted to it, which suits a valley that leads there, as to a floor of zero; a curve with many valleys is better
    searched by steps that are clipped.
    """
    theta = np.clip(start, lower, upper)
    for stage, delta in enumerate(deltas):
        last = stage == len(deltas) - 1
        theta, converged = _descend(
            problem,
            theta,
            (lower, upper),
            delta=delta,
            majorised=_MAJORISER_STEPS if stage == 0 else 0,
            steps=steps if last else _STAGE_STEPS + (_MAJORISER_STEPS if stage == 0 else 0),
            tolerance=tolerance if last else max(tolerance, 1e-5),
            zero=zero,
            projected=projected,
        )
    return theta, converged


def _descend(
    problem: SmoothProblem,
    start: Array,
    box: tuple[Array, Array],
    *,
    delta: float,
    majorised: int,
    steps: int,
    tolerance: float,
    zero: float,
    projected: bool,
) -> tuple[Array, Mask]:
    lower, upper = box
    count, reach = len(start), _REACH * (upper - lower)
    best = start.copy()
    done = np.zeros(count, dtype=bool)
    index: Index = np.arange(count)
    theta = start
    value, gradient, hessian = problem.derivatives(theta, index, delta=delta, majorise=majorised > 0)
    damping = np.full(count, _FIRST_DAMPING)
    for taken in range(1, steps + 1):
        step, decrease = _step(theta, gradient, hessian, damping=damping, box=box, projected=projected)
        finished = (decrease <= tolerance * value) | (value <= zero) | (damping > _MOST_DAMPING)
        if taken <= majorised:
            finished[:] = False
        if finished.any():
            best[index[finished]] = theta[finished]
            done[index[finished]] = True
            keep = ~finished
            index, theta, value, damping = index[keep], theta[keep], value[keep], damping[keep]
            if not len(index):
                return best, done
            gradient, hessian, step = gradient[keep], hessian[keep], step[keep]
        trial = np.minimum(np.maximum(theta + np.clip(step, -reach, reach), lower), upper)
        new = problem.derivatives(trial, index, delta=delta, majorise=taken < majorised)
        better = new[0] < value
        if better.all():
            theta, (value, gradient, hessian) = trial, new
            damping = np.maximum(damping * 0.15, _LEAST_DAMPING)
        else:
            theta = np.where(better[:, None], trial, theta)
            value = np.where(better, new[0], value)
            gradient = np.where(better[:, None], new[1], gradient)
            hessian = np.where(better[:, None, None], new[2], hessian)
            damping = np.where(better, np.maximum(damping * 0.15, _LEAST_DAMPING), damping * 8.0)
    best[index] = theta
    return best, done


def _step(
    theta: Array,
    gradient: Array,
    hessian: Array,
    *,
    damping: Array,
    box: tuple[Array, Array],
    projected: bool = False,
) -> tuple[Array, Array]:
    """Return the damped step and the decrease that an undamped one predicts; coordinates held at a bound rest.

    Of a ``projected`` step, one that would cross its bound goes to it, and the others take the step that is best with
    it there: clipped alone it would leave them on their way to a minimum outside the box, and the descent in small
    steps.
    """
    lower, upper = box
    held = ((theta <= lower) & (gradient > 0)) | ((theta >= upper) & (gradient < 0))
    scale = np.sqrt(np.maximum(np.abs(np.diagonal(hessian, axis1=1, axis2=2)), 1e-300))
    slope = gradient / scale
    matrix = hessian / (scale[:, :, None] * scale[:, None, :])
    if held.any():
        slope = np.where(held, 0.0, slope)
        matrix = np.where(held[:, :, None] | held[:, None, :], np.eye(theta.shape[1]), matrix)
    step, decrease = _damped(slope, matrix, damping, scale)
    if not projected:
        return step, decrease
    crossing = (theta + step < lower) | (theta + step > upper)
    rows = np.flatnonzero(crossing.any(axis=1))
    if len(rows):
        crossed, part = crossing[rows], matrix[rows]
        move = np.where(crossed, np.clip(theta[rows] + step[rows], lower, upper) - theta[rows], 0.0)
        pull = slope[rows] + np.matmul(part, (move * scale[rows])[:, :, None])[:, :, 0]
        part = np.where(crossed[:, :, None] | crossed[:, None, :], np.eye(theta.shape[1]), part)
        rest, _ = _damped(np.where(crossed, 0.0, pull), part, damping[rows], scale[rows])
        step[rows] = np.where(crossed, move, rest)
    return step, decrease


def _damped(slope: Array, matrix: Array, damping: Array, scale: Array) -> tuple[Array, Array]:
    """Return the damped Newton step with positive curvatures, and the decrease that an undamped one predicts."""
    curvature, axes = np.linalg.eigh(matrix)
    curvature = np.maximum(np.abs(curvature), 1e-14)
    along = np.matmul(slope[:, None, :], axes)[:, 0, :]
    with np.errstate(over="ignore"):  # an infinite prediction only keeps the problem in the batch
        decrease = 0.5 * np.sum(along * along / curvature, axis=1)
        step: Array = -np.matmul(axes, (along / (curvature + damping[:, None]))[:, :, None])[:, :, 0] / scale
    return step, decrease


def newton_copies(
    theta: Array,
    jacobian: Array,
    residuals: Array,
    *,
    groups: Index,
    copies: Array | NDArray[uint16],
    objective: Objective,
    weight: Array | None,
    box: tuple[Array, Array],
) -> Array:
    """Return the optima (R, p) of reweighted copies of many rows, one Newton step from their own ``theta`` (p,).

    ``copies`` (R, G) says how often each copy takes each of the ``groups`` (n,) of rows. Of many rows the objective
    is a parabola as far as copies differ. The Hessian is that of Gauss and Newton from ``jacobian`` (p, n), with the
    density of residuals near zero from those inside delta, or within a fifth of the median for absolute deviations.
    """
    delta = {"huber": objective.delta, "none": np.inf, "l1": 0.2 * float(np.median(np.abs(residuals)))}
    psi, slope, _ = huber(residuals, delta[objective.robust], majorise=False, weight=weight)
    size, count = len(theta), int(groups.max()) + 1
    gradient = np.stack([np.bincount(groups, weights=row * psi, minlength=count) for row in jacobian])
    curvature = np.stack(
        [np.bincount(groups, weights=one * other * slope, minlength=count) for one in jacobian for other in jacobian]
    )
    rows = np.asarray(copies, dtype=np.float64)
    pull = rows @ (gradient - gradient.mean(axis=1, keepdims=True)).T  # none where all groups count alike
    start = np.broadcast_to(theta, (len(rows), size))
    step, _ = _step(start, pull, (rows @ curvature.T).reshape(-1, size, size), damping=np.zeros(len(rows)), box=box)
    return np.clip(start + step, *box)


def refine_l1(
    theta: Array, *, residuals: Callable[[Array], Array], jacobian: Callable[[Array], Array], weight: Array
) -> Array:
    """Return coordinates with a sum of weighted absolute residuals that no linearised step lowers.

    ``residuals`` gives (n,) and ``jacobian`` (p, n) at coordinates (p,); ``weight`` is (n,).
    """
    residual = residuals(theta)
    score = float(weight @ np.abs(residual))
    for _ in range(_L1_ROUNDS):
        step = least_deviations(jacobian(theta), residual, weight)
        for halving in range(_L1_HALVINGS):
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
    """Return the step d that minimises sum(weight * |residual + columnsᵀ d|), with ``columns`` (p, n).

    The dual program has a bounded variable for each run and an equation for each coefficient: it maximises
    residual · u with columns u = 0 and |u| <= weight, and the multipliers of its equations are d. The runs whose u
    lies between the bounds are those that the solution passes through. No step where the program has no solution.
    """
    from scipy.optimize import linprog

    length = np.maximum(np.linalg.norm(columns, axis=1), 1e-300)
    scale = max(float(np.median(np.abs(residual))), 1e-300)  # the tolerances of the solver are absolute
    found = linprog(
        -residual / scale,
        A_eq=columns / length[:, None],
        b_eq=np.zeros(len(columns)),
        bounds=np.stack([-weight, weight], axis=1),
        method="highs-ds",
    )
    if not found.success:
        return np.zeros(len(columns))
    step: Array = found.eqlin.marginals * scale / length
    return step
