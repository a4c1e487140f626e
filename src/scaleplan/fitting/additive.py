"""Fit L = E + A/N^alpha + B/D^beta: profile grid for the basin, robust polish for the optimum.

The method of the grid is variable projection, that of the polish damped Newton with continuation in delta; see
:mod:`scaleplan.fitting.grid` and :mod:`scaleplan.fitting.newton`. :func:`fit_additive` fits once,
:func:`refit_additive` fits thousands of reweighted copies of the same runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.grid import basins, profile
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.polish import neighbours, pass_through, polish
from scaleplan.fitting.surface import Coordinates, Surface
from scaleplan.laws.additive import Additive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy import bool_, float64, uint16
    from numpy.typing import NDArray

    from scaleplan.fitting.points import Points

    Array = NDArray[float64]

__all__ = ["Refits", "Solution", "fit_additive", "refit_additive"]

_NODES, _BASINS = 28, 3
_EXPLORED = 1000  # runs up to which the neighbourhood of the optimum is searched; more runs leave no kinks
_RESAMPLE_NODES = 16
_BLOCK = 24_000  # numbers in one array of a block of resamples: what stays in cache

_Part = TypeVar("_Part")
_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """The optimum of one objective on one set of runs.

    Attributes
    ----------
    theta
        (a, alpha, b, beta, E) in centred logs: a = ln A - alpha*centre[0], b = ln B - beta*centre[1].
    score
        The objective as :meth:`Objective.score` reports it.
    residuals
        Fitted minus observed, in log loss or loss.
    converged
        Whether the descent ended at a stationary point.
    bounds
        The coefficients that ended on a bound of the search: ``"alpha"``, ``"E"``, ...
    start_score
        The objective at the best node of the grid, never below ``score``.
    basins
        How many local minima of the grid were polished.

    """

    theta: Array
    centre: tuple[float, float]
    score: float
    residuals: Array
    converged: bool
    bounds: tuple[str, ...]
    start_score: float
    basins: int
    objective: Objective
    coordinates: Coordinates

    @property
    def law(self) -> Additive:
        """The fitted law in raw units."""
        return law_at(self.theta, self.centre)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refits:
    """The optima of many reweighted copies of the same runs: one row each.

    ``theta`` (R, 5) is in the coordinates of :class:`Solution`; ``at_bound`` (R, 5) marks coefficients on a
    bound; ``converged`` (R,) the descents that ended at a stationary point.
    """

    theta: Array
    centre: tuple[float, float]
    score: Array
    converged: NDArray[bool_]
    at_bound: NDArray[bool_]

    def raw(self) -> Array:
        """Return rows of (ln A, ln B, E, alpha, beta) in raw units."""
        a, alpha, b, beta, floor = self.theta.T
        return np.stack([a + alpha * self.centre[0], b + beta * self.centre[1], floor, alpha, beta], axis=1)


def law_at(theta: Array, centre: tuple[float, float]) -> Additive:
    """Return the law of centred coordinates."""
    a, alpha, b, beta, floor = (float(value) for value in theta)
    return Additive(
        E=floor,
        A=float(np.exp(a + alpha * centre[0])),
        B=float(np.exp(b + beta * centre[1])),
        alpha=alpha,
        beta=beta,
    )


def fit_additive(
    points: Points, *, objective: Objective | None = None, tied: bool = False, floor: float | None = None
) -> Solution:
    """Fit the additive law to runs.

    Parameters
    ----------
    points
        At least as many runs as free coefficients.
    objective
        Huber 1e-3 on log loss unless given.
    tied
        Fit with alpha = beta.
    floor
        Keep E at this value (0 for a law without a floor); fitted when None.

    Raises
    ------
    UsageError
        For too few runs, or a fixed floor that is negative or above the smallest loss.

    Examples
    --------
    >>> import numpy as np
    >>> from scaleplan.fitting.points import Points
    >>> params, tokens = (grid.ravel() for grid in np.meshgrid([1e8, 1e9, 1e10], [1e10, 1e11, 1e12]))
    >>> fit = fit_additive(Points.of(params, tokens, 1.7 + 400 / params**0.34 + 410 / tokens**0.28))
    >>> round(fit.law.alpha, 6), round(fit.law.beta, 6)
    (0.34, 0.28)

    """
    objective = objective or Objective()
    coordinates = Coordinates(tied=tied, floor=floor)
    _check(points, coordinates)
    surface = _surface(points, objective, coordinates)
    rss, nodes = _profile(points, objective, coordinates, points.weight, count=_NODES)
    start = basins(rss[0], nodes[0], count=_NODES, tied=tied, most=_BASINS)
    first = objective.score(surface.residuals(start), points.weight)
    theta, converged = polish(surface, start)
    if len(points) <= _EXPLORED:
        best = int(np.argmin(objective.score(surface.residuals(theta), points.weight)))
        again, settled = polish(surface, neighbours(surface, theta[best]), stages=2)
        theta, converged = np.concatenate([theta, again]), np.concatenate([converged, settled])
    scores = objective.score(surface.residuals(theta), points.weight)
    best = int(np.argmin(scores))
    lower, upper = coordinates.bounds(points.loss)
    if objective.robust == "l1":
        theta[best] = pass_through(surface, theta[best], lower, upper)
        scores[best] = objective.score(surface.residuals(theta[best : best + 1])[0], points.weight)
    return Solution(
        theta=theta[best],
        centre=points.centre,
        score=float(scores[best]),
        residuals=surface.residuals(theta[best : best + 1])[0],
        converged=bool(converged[best]),
        bounds=_names(_on_bound(theta[best : best + 1], coordinates, lower, upper)[0]),
        start_score=float(np.min(first)),
        basins=len(start),
        objective=objective,
        coordinates=coordinates,
    )


def refit_additive(
    points: Points,
    weight: Array | NDArray[uint16],
    *,
    base: Solution,
    jobs: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Refits:
    """Fit copies of the same runs with other weights, ``weight`` (R, n), in blocks.

    Each copy starts from the better of its own grid and the solution ``base`` of the unweighted runs, with the
    objective and the form of ``base``. ``progress`` is called with the number of copies done after each block. Blocks
    do not depend on each other: ``jobs`` processes share them, with the same result for any number.
    """
    block = max(1, min(150, _BLOCK // max(1, len(points))))
    parts = [weight[begin : begin + block] for begin in range(0, len(weight), block)]
    found: list[tuple[Array, NDArray[bool_], Array]] = []
    for result in _each(partial(_refit_block, points, base), parts, jobs=jobs):
        found.append(result)
        if progress is not None:
            progress(min(len(found) * block, len(weight)))
    theta, converged, score = (np.concatenate(column) for column in zip(*found, strict=True))
    coordinates = base.coordinates
    return Refits(
        theta=theta,
        centre=points.centre,
        score=score,
        converged=converged,
        at_bound=_on_bound(theta, coordinates, *coordinates.bounds(points.loss)),
    )


def _each(task: Callable[[_Part], _Done], parts: Iterable[_Part], *, jobs: int) -> Iterator[_Done]:
    """Yield the task done for each part, in order, by ``jobs`` processes."""
    if jobs == 1:
        yield from map(task, parts)
        return
    import signal  # one job need not pay for these
    from concurrent.futures import ProcessPoolExecutor

    # an interrupt is for this process, which then ends the others
    pool = ProcessPoolExecutor(jobs, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    try:
        yield from pool.map(task, parts)
    finally:
        pool.shutdown(cancel_futures=True)


def _refit_block(
    points: Points, base: Solution, weight: Array | NDArray[uint16]
) -> tuple[Array, NDArray[bool_], Array]:
    """Return the parameters, whether they converged, and the scores of a block of copies."""
    objective, coordinates = base.objective, base.coordinates
    lower, upper = coordinates.bounds(points.loss)
    rows = np.asarray(weight, dtype=np.float64)  # a block at a time: all of them as floats are 8 times larger
    rows = rows if points.weight is None else rows * points.weight
    surface = _surface(points, objective, coordinates, weight=rows)
    rss, nodes = _profile(points, objective, coordinates, rows, count=_RESAMPLE_NODES)
    best = np.argmin(rss, axis=1)
    own = coordinates.full(np.clip(coordinates.free(nodes[np.arange(len(best)), best]), lower, upper))
    common = np.broadcast_to(base.theta, own.shape)
    own_score = objective.score(surface.residuals(own), rows)
    common_score = objective.score(surface.residuals(common), rows)
    start = np.where((common_score <= own_score)[:, None], common, own)
    theta, converged = polish(surface, start)
    return theta, converged, objective.score(surface.residuals(theta), rows)


def _check(points: Points, coordinates: Coordinates) -> None:
    if len(points) < coordinates.count:
        raise UsageError(
            f"{len(points)} runs cannot determine {coordinates.count} coefficients",
            hint="at least 8 runs with 3 sizes and 3 token counts are needed for an interval",
        )
    floor = coordinates.floor
    if floor is not None and not 0 <= floor < float(np.min(points.loss)):
        raise UsageError(f"a floor of {floor:g} is not between 0 and the smallest loss {np.min(points.loss):g}")


def _surface(
    points: Points, objective: Objective, coordinates: Coordinates, *, weight: Array | None = None
) -> Surface:
    x, y = points.logs
    rows = weight if weight is not None else None if points.weight is None else points.weight[None]
    return Surface(x=x, y=y, loss=points.loss, objective=objective, coordinates=coordinates, weight=rows)


def _profile(
    points: Points, objective: Objective, coordinates: Coordinates, weight: Array | None, *, count: int
) -> tuple[Array, Array]:
    x, y = points.logs
    rows = np.ones((1, len(points))) if weight is None else np.atleast_2d(weight)
    if objective.is_log:
        rows = rows / points.loss**2
    return profile(x, y, points.loss, rows, count=count, tied=coordinates.tied, floor=coordinates.floor)


def _on_bound(theta: Array, coordinates: Coordinates, lower: Array, upper: Array) -> NDArray[bool_]:
    free = coordinates.free(theta)
    width = 1e-9 * (upper - lower)
    hit = ((free <= lower + width) | (free >= upper - width)).astype(np.float64)
    out: NDArray[bool_] = (hit @ coordinates.matrix().T) > 0
    return out


def _names(at_bound: NDArray[bool_]) -> tuple[str, ...]:
    return tuple(name for name, hit in zip(("A", "alpha", "B", "beta", "E"), at_bound, strict=True) if hit)
