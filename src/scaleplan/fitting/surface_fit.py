"""Fit L = E + (A/N^alpha + B/D^beta)^gamma, additive (gamma = 1) or with gamma free, by robust Newton steps.

:func:`fit_surface` fits once, :func:`refit_surface` fits thousands of reweighted copies of the same runs. A profile
grid finds the basin of the additive law; with gamma free the descent starts from its optimum and from others around.

With x, y the centred logs of parameters and tokens the law is L = E + e^(a - alpha x) + e^(b - beta y). In
(a, alpha, b, beta, E) the Gauss-Newton matrix has a condition number of thousands, where A, B at N = D = 1 give
1e14. E itself and not its logarithm is a coordinate, so that a floor of zero is a bound that can be reached.

With gamma free the coordinates are those of the two terms far from each other, where either stands alone:
L = E + (S^(1/gamma) + T^(1/gamma))^gamma with S = e^(a - alpha x) and T = e^(b - beta y). Here gamma bends only the
ground where both terms matter, while A, alpha, B and beta of the printed form all run along with it.

The grid is variable projection: for fixed (alpha, beta) the law is linear in (E, A, B), and the weighted normal
equations of a whole grid are a few matrix products. Weights 1/L² make linear residuals approximate log residuals. The
non-negative solution of each three-variable problem is the best feasible one of its active sets: 784 nodes take
1.4 ms, one call of ``scipy.optimize.nnls`` for each 5.8 ms, and every resample has a grid of its own.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import combinations, product
from typing import TYPE_CHECKING, Self

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.objective import Objective, huber
from scaleplan.fitting.parallel import ALONE, Jobs, spread
from scaleplan.fitting.solvers import at_bound, minimise, newton_copies, refine_l1, weights_of
from scaleplan.laws.additive import Additive, ThreeExponent
from scaleplan.record import Record
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy import uint16
    from numpy.typing import NDArray

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.fitting.runs import Points

    _Weights = Array | NDArray[uint16]
    _Block = tuple[Array, Mask, Array]

__all__ = [
    "EXPONENT_BOUNDS",
    "GAMMA_BOUNDS",
    "MANY_RUNS",
    "Coordinates",
    "Refits",
    "Solution",
    "Surface",
    "SurfaceLaw",
    "additive_at",
    "basins",
    "fit_additive",
    "fit_surface",
    "law_at",
    "refit_by_steps",
    "refit_surface",
]

SurfaceLaw = Additive | ThreeExponent
"""The laws that are fitted here."""

_NAMES = ("A", "alpha", "B", "beta", "E", "gamma")
EXPONENT_BOUNDS = (1e-3, 4.0)
"""Between which a fit looks for exponents; with gamma free for those far from the other term, alpha*gamma."""
_STEEPEST_OUTER = 2.0  # with gamma free: A and B stay floats down to the least gamma
GAMMA_BOUNDS = (0.1, 2.0)
"""Between which a fit looks for gamma: at 0.1 the sum is within 2^0.1 = 7 % of its larger term."""
_BENT_STARTS = ((1.0, 1.0), (0.5, 1.0), (0.5, 0.5), (0.25, 0.0))
"""Gamma, and the floor as a share of the additive one: fits of public sweeps give 0.2 to 1, and less with less floor.

Of 60 random starts 85 to 100 % reach the best optimum known, on nine public sets by Huber's function and by squares.
"""
_MOST_LOG = 700.0  # the logarithm of nearly the largest float
_GRID_EXPONENTS = (0.02, 1.25)  # published laws lie between 0.05 and 0.8
_NODES, _RESAMPLE_NODES, _BASINS = 28, 16, 3
_SINGULAR = 1e-13
MANY_RUNS = 1000
"""Runs that are searched, and up to which every resample is refitted: more leave no kinks."""
_LONG_STEP = 0.5  # in exponents, gamma among them, and logarithms of terms at the centre of the runs
_BLOCK = 24_000  # numbers in one array of a block of resamples: what stays in cache
_TOGETHER = 8  # blocks that are sent to another process at once: a tenth of a second of work
_PARTS = 32  # and into how many parts the work is divided at least, so that processes end together


class Coordinates(Record):
    """The choice of (a, alpha, b, beta, E) to fit: all, with alpha = beta (``tied``), or with E at a fixed ``floor``.

    With ``outer`` the exponent gamma of the sum of both terms is a sixth coordinate; without it is 1.
    """

    tied: bool = False
    floor: float | None = None
    outer: bool = False

    @property
    def _kept(self) -> list[int]:
        floor, outer = [4] if self.floor is None else [], [5] if self.outer else []
        return [0, 1, 2, *([] if self.tied else [3]), *floor, *outer]

    @property
    def width(self) -> int:
        """The number of full coordinates."""
        return 6 if self.outer else 5

    @property
    def count(self) -> int:
        """The number of free coefficients."""
        return len(self._kept)

    def matrix(self) -> Array:
        """Return M (width, count) with full = M free, plus the fixed floor."""
        matrix: Array = np.eye(self.width)[:, self._kept]
        if self.tied:
            matrix[3, 1] = 1.0
        return matrix

    def free(self, full: Array) -> Array:
        """Return the free coordinates of full ones (..., width)."""
        return full[..., self._kept]

    def full(self, free: Array) -> Array:
        """Return (a, alpha, b, beta, E), and gamma where it is free, of free coordinates."""
        out: Array = free @ self.matrix().T
        if self.floor is not None:
            out[..., 4] = self.floor
        return out

    def bounds(self, loss: Array) -> tuple[Array, Array]:
        """Return the box of the free coordinates."""
        level = float(np.log(np.mean(loss)))
        low, high = EXPONENT_BOUNDS[0], _STEEPEST_OUTER if self.outer else EXPONENT_BOUNDS[1]
        lower = np.array([level - 25.0, low, level - 25.0, low, 0.0, GAMMA_BOUNDS[0]])
        upper = np.array([level + 12.0, high, level + 12.0, high, float(np.max(loss)), GAMMA_BOUNDS[1]])
        return self.free(lower), self.free(upper)

    def at_bound(self, full: Array, loss: Array) -> Mask:
        """Return which of full coordinates (R, width) lie on the box."""
        hit = at_bound(self.free(full), *self.bounds(loss)).astype(np.float64)
        out: Mask = (hit @ self.matrix().T) > 0
        return out

    def widened(self, additive: Array) -> Array:
        """Return the full coordinates of an additive law's (..., 5): with gamma = 1 where it is free."""
        if not self.outer:
            return additive
        out: Array = np.concatenate([additive, np.ones((*additive.shape[:-1], 1))], axis=-1)
        return out


class Surface(Record, eq=False):
    """The objective of a law and its derivatives, for many resamples of one data set at once.

    ``weight`` has a row for each resample, or is None for one row of ones.
    """

    x: Array
    y: Array
    loss: Array
    objective: Objective
    coordinates: Coordinates
    weight: Array | None = None

    @classmethod
    def of(
        cls, points: Points, objective: Objective, coordinates: Coordinates, *, weight: Array | None = None
    ) -> Self:
        """Return the surface of runs with rows of weights, which are the runs' own weights unless given."""
        (x, y), own = points.logs, None if points.weight is None else points.weight[None]
        rows = own if weight is None else weight
        return cls(x=x, y=y, loss=points.loss, objective=objective, coordinates=coordinates, weight=rows)

    def thinned(self, order: Index) -> Surface:
        """Return the surface of about a thousand runs, evenly spaced in an order of all of them."""
        chosen = order[:: -(-len(order) // MANY_RUNS)]
        weight = None if self.weight is None else self.weight[:, chosen]
        return replace(self, x=self.x[chosen], y=self.y[chosen], loss=self.loss[chosen], weight=weight)

    def terms(self, full: Array) -> tuple[Array, Array, Array]:
        """Return what the loss gains by a and by b, and the law's loss, at every run: (R, n) each.

        Both add up to the loss above the floor. Of an additive law they are the term of size and the term of data.
        """
        log_size, log_data = self._logs(full)
        if not self.coordinates.outer:
            size, data = np.exp(log_size), np.exp(log_data)
            return size, data, size + data + full[:, 4, None]
        gamma = full[:, 5, None]
        top = np.maximum(log_size, log_data)
        size, data = np.exp((log_size - top) / gamma), np.exp((log_data - top) / gamma)
        both = size + data
        above = np.exp(top) * both**gamma
        return above * size / both, above * data / both, above + full[:, 4, None]

    def _logs(self, full: Array) -> tuple[Array, Array]:
        return full[:, 0, None] - full[:, 1, None] * self.x, full[:, 2, None] - full[:, 3, None] * self.y

    def residuals(self, full: Array) -> Array:
        """Return the residuals (R, n) of full coordinates (R, width)."""
        return self.objective.residuals(self.terms(full)[2], self.loss)

    def score(self, full: Array) -> Array:
        """Return the objective (R,) of full coordinates (R, width)."""
        return self.objective.score(self.residuals(full), self.weight)

    def jacobian(self, full: Array) -> Array:
        """Return the derivatives (R, width, n) of the residuals by the full coordinates."""
        return self._jacobian(full, *self.terms(full))

    def _jacobian(self, full: Array, size: Array, data: Array, law: Array) -> Array:
        out = np.empty((len(size), self.coordinates.width, len(self.x)))
        out[:, 4] = 1.0 / law if self.objective.is_log else 1.0
        np.multiply(size, out[:, 4], out=out[:, 0])
        np.multiply(out[:, 0], -self.x, out=out[:, 1])
        np.multiply(data, out[:, 4], out=out[:, 2])
        np.multiply(out[:, 2], -self.y, out=out[:, 3])
        if self.coordinates.outer:
            log_size, log_data = self._logs(full)
            above = size + data
            # by gamma ln(loss - E) changes by the entropy of the shares of the two terms
            entropy = (np.log(above) - (size * log_size + data * log_data) / above) / full[:, 5, None]
            np.multiply(above * entropy, out[:, 4], out=out[:, 5])
        return out

    def derivatives(self, theta: Array, index: Index, *, delta: float, majorise: bool) -> tuple[Array, Array, Array]:
        """Return value, gradient and Hessian of the sum of Huber(r; delta)/delta, or of r²/2 for no delta.

        For f = ln L the second derivatives are L''/L - f'f'ᵀ, so that the curvature of log residuals is the
        linear one with psi taken off the weights (and L''/L instead of L''). Those of R = L - E are R g gᵀ with g the
        slopes of ln R, and R times the second derivatives of ln R; with gamma = 1 each term bends by itself.
        """
        matrix = self.coordinates.matrix()
        full = self.coordinates.full(theta)
        size, data, law = self.terms(full)
        residual = self.objective.residuals(law, self.loss)
        jacobian = self._jacobian(full, size, data, law)
        psi, slope, value = huber(residual, delta, majorise=majorise, weight=weights_of(index, self.weight))
        gradient = np.matmul(jacobian, psi[:, :, None])[:, :, 0]
        if not majorise and self.objective.is_log:
            slope = slope - psi
        joint = self.coordinates.outer and not majorise
        bend = psi / (jacobian[:, 0] + jacobian[:, 2]) if joint else None
        with np.errstate(over="ignore", invalid="ignore"):  # such a step is not an improvement, and is not taken
            both = slope if bend is None else slope + bend
            hessian = np.matmul(jacobian * both[:, None, :], jacobian.transpose(0, 2, 1))
        if bend is not None:
            floor = np.matmul(jacobian, (bend * jacobian[:, 4])[:, :, None])[:, :, 0]  # E does not bend the rest
            hessian[:, 4] -= floor
            hessian[:, :, 4] -= floor
            hessian[:, 4, 4] += floor[:, 4]
            hessian += self._mixture(full, psi, jacobian)
        elif not majorise:
            for k, centred in ((0, self.x), (2, self.y)):
                curvature = psi * jacobian[:, k]
                first = curvature @ centred
                hessian[:, k, k] += curvature.sum(axis=1)
                hessian[:, k, k + 1] -= first
                hessian[:, k + 1, k] -= first
                hessian[:, k + 1, k + 1] += curvature @ (centred * centred)
        if matrix.shape[1] < self.coordinates.width:
            gradient = gradient @ matrix
            hessian = matrix.T @ hessian @ matrix
        return value.sum(axis=1), gradient, hessian

    def _mixture(self, full: Array, psi: Array, jacobian: Array) -> Array:
        """Return the sum over runs of psi R times the second derivatives of ln R; R/L of log residuals, R = L - E.

        With w the share of the term of size in R, and u and v the logarithms of the terms, those by (u, v, gamma) are
        q z zᵀ with q = w (1 - w)/gamma and z = (1, -1, -(u - v)/gamma). All of z is linear in (1, x, y), so that the
        moments of these three serve every coordinate.
        """
        a, alpha, b, beta, _, gamma = full.T
        weight = psi * jacobian[:, 0] * jacobian[:, 2] / ((jacobian[:, 0] + jacobian[:, 2]) * gamma[:, None])
        runs = np.stack([np.ones_like(self.x), self.x, self.y])
        pairs = (runs[:, None] * runs).reshape(9, -1)
        moments = (weight @ pairs.T).reshape(-1, 3, 3)
        across = np.zeros((len(full), 6, 3))
        across[:, 0, 0], across[:, 1, 1], across[:, 2, 0], across[:, 3, 2] = 1.0, -1.0, -1.0, 1.0
        across[:, 5] = np.stack([b - a, alpha, -beta], axis=1) / gamma[:, None]
        out: Array = across @ moments @ across.transpose(0, 2, 1)
        return out

    def profile(self, count: int) -> tuple[Array, Array]:
        """Solve for (E, A, B) at ``count`` x ``count`` exponents (alpha = beta when tied), for every row of weights.

        Returns the residual sums (R, K) and the solutions (R, K, width) of additive laws.
        """
        x, y, loss, tied, floor = self.x, self.y, self.loss, self.coordinates.tied, self.coordinates.floor
        weight = np.ones((1, len(loss))) if self.weight is None else self.weight
        if self.objective.is_log:
            weight = weight / loss**2
        exponents = np.geomspace(*_GRID_EXPONENTS, count)
        u, v = np.exp(-np.outer(exponents, x)), np.exp(-np.outer(exponents, y))
        target = loss if floor is None else loss - floor
        if tied:
            alpha = beta = exponents
            both = u * v
            pick_u = pick_v = np.arange(count)
        else:
            pick_u, pick_v = (axis.ravel() for axis in np.indices((count, count)))
            alpha, beta = exponents[pick_u], exponents[pick_v]
            both = u[pick_u] * v[pick_v]
        weighted = weight * target
        ones = weight.sum(axis=1)[:, None]
        gram = {
            (0, 0): ones,
            (0, 1): (weight @ u.T)[:, pick_u],
            (0, 2): (weight @ v.T)[:, pick_v],
            (1, 1): (weight @ (u * u).T)[:, pick_u],
            (1, 2): weight @ both.T,
            (2, 2): (weight @ (v * v).T)[:, pick_v],
        }
        moment = [weighted.sum(axis=1)[:, None], (weighted @ u.T)[:, pick_u], (weighted @ v.T)[:, pick_v]]
        total = (weighted * target).sum(axis=1)[:, None]
        rss, level = _non_negative(gram, moment, total, free=(0, 1, 2) if floor is None else (1, 2))
        nodes = np.empty((*rss.shape, 5))
        tiny = 1e-6 * np.mean(loss)  # a term that the grid drops starts the refinement small, not at minus infinity
        nodes[..., 0] = np.log(np.maximum(level[1], tiny))
        nodes[..., 1] = alpha
        nodes[..., 2] = np.log(np.maximum(level[2], tiny))
        nodes[..., 3] = beta
        nodes[..., 4] = level[0] if floor is None else floor
        return rss, self.coordinates.widened(nodes)


def basins(rss: Array, nodes: Array, *, count: int, tied: bool, most: int) -> Array:
    """Return the solutions at the ``most`` lowest local minima of one grid (K,), best first."""
    if tied:
        padded = np.pad(rss, 1, constant_values=np.inf)
        local = (rss <= padded[:-2]) & (rss <= padded[2:])
    else:
        table = rss.reshape(count, count)
        padded = np.pad(table, 1, constant_values=np.inf)
        local = np.ones_like(table, dtype=bool)
        for i, j in product(range(3), repeat=2):
            local &= table <= padded[i : i + count, j : j + count]
        local = local.ravel()
    candidates = np.flatnonzero(local)
    order = candidates[np.argsort(rss[candidates], kind="stable")][:most]
    return nodes[order]


def _non_negative(
    gram: dict[tuple[int, int], Array], moment: list[Array], total: Array, *, free: tuple[int, ...]
) -> tuple[Array, list[Array]]:
    """Solve min |target - sum level_k column_k|² with level >= 0 at every node, over all active sets."""
    shape = np.broadcast_shapes(gram[1, 2].shape, total.shape)
    best = np.broadcast_to(total, shape).copy()
    level = [np.zeros(shape) for _ in range(3)]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for size in range(1, len(free) + 1):
            for chosen in combinations(free, size):
                solution = _solve(gram, moment, chosen)
                gain = sum((moment[k] * s for k, s in zip(chosen, solution, strict=True)), start=np.zeros(()))
                rss = total - gain
                feasible = rss < best
                for s in solution:
                    feasible &= s >= 0
                best = np.where(feasible, rss, best)
                for k in range(3):
                    part = solution[chosen.index(k)] if k in chosen else 0.0
                    level[k] = np.where(feasible, part, level[k])
    return best, level


def _solve(gram: dict[tuple[int, int], Array], moment: list[Array], chosen: tuple[int, ...]) -> list[Array]:
    """Solve the normal equations of one active set by cofactors; NaN where they are singular in floating point."""
    if len(chosen) == 1:
        (i,) = chosen
        return [moment[i] / gram[i, i]]
    if len(chosen) == 2:
        i, j = chosen
        diagonal = gram[i, i] * gram[j, j]
        determinant = _regular(diagonal - gram[i, j] ** 2, diagonal)
        return [
            (moment[i] * gram[j, j] - moment[j] * gram[i, j]) / determinant,
            (moment[j] * gram[i, i] - moment[i] * gram[i, j]) / determinant,
        ]
    a, b, c = gram[0, 0], gram[0, 1], gram[0, 2]
    d, e, f = gram[1, 1], gram[1, 2], gram[2, 2]
    cofactors = (d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b)
    determinant = _regular(a * cofactors[0] + b * cofactors[1] + c * cofactors[2], a * d * f)
    p, q, r = moment
    return [
        (cofactors[0] * p + cofactors[1] * q + cofactors[2] * r) / determinant,
        (cofactors[1] * p + cofactors[3] * q + cofactors[4] * r) / determinant,
        (cofactors[2] * p + cofactors[4] * q + cofactors[5] * r) / determinant,
    ]


def _regular(determinant: Array, diagonal: Array) -> Array:
    """Return the determinant where it is more than rounding of the product of the diagonal, else NaN."""
    return np.where(determinant > _SINGULAR * diagonal, determinant, np.nan)


def _refine(surface: Surface, start: Array, *, stages: int | None = None) -> tuple[Array, Mask]:
    """Descend from each start, through all stages of delta or the last few."""
    lower, upper = surface.coordinates.bounds(surface.loss)
    deltas = surface.objective.continuation(surface.residuals(start[:1]))
    theta, converged = minimise(
        surface,
        surface.coordinates.free(start),
        lower=lower,
        upper=upper,
        deltas=deltas if stages is None else deltas[-stages:],
        zero=len(surface.loss) * 1e-31,
        projected=True,
    )
    return surface.coordinates.full(theta), converged


def _search(surface: Surface) -> tuple[Array, Mask, int]:
    """Return local optima (K, width), whether their descents converged, and how many basins were refined.

    With gamma free the optimum of the additive law is among them, so that no fit is worse than its simpler form.
    """
    coordinates = surface.coordinates
    if coordinates.outer:
        inner = replace(surface, coordinates=replace(coordinates, outer=False))
        rows, ended, count = _search(inner)
        best = int(np.argmin(inner.score(rows)))
        start = _bent(surface, rows[best])
        known = coordinates.widened(rows[best : best + 1]), ended[best : best + 1]
        theta, converged = _refine(surface, start)
        theta, converged = np.concatenate([known[0], theta]), np.concatenate([known[1], converged])
    else:
        rss, nodes = surface.profile(_NODES)
        start = basins(rss[0], nodes[0], count=_NODES, tied=coordinates.tied, most=_BASINS)
        count = len(start)
        theta, converged = _refine(surface, start)
    best = int(np.argmin(surface.score(theta)))
    again, ended = _refine(surface, _neighbours(surface, theta[best]), stages=2)
    return np.concatenate([theta, again]), np.concatenate([converged, ended]), count


def _bent(surface: Surface, additive: Array) -> Array:
    """Return starts with other gammas and lower floors than an additive optimum (5,), each with its losses in level.

    What a floor gives up its terms take over, by a factor, and fall the more slowly for it.
    """
    coordinates = surface.coordinates
    held, starts = coordinates.floor is not None, []
    for gamma, part in _BENT_STARTS:
        share = 1.0 if held else part
        a, alpha, b, beta, floor = additive.tolist()
        above = surface.loss - share * floor
        slower = float(np.mean(surface.loss - floor) / np.mean(above)) if np.mean(surface.loss) > floor else 1.0
        start = np.array([[a, alpha * slower, b, beta * slower, share * floor, gamma]])
        size, data, _ = surface.terms(start)
        start[0, [0, 2]] += float(np.log(np.sum(above)) - np.log(np.sum(size + data)))
        starts.append(start[0])
    lower, upper = coordinates.bounds(surface.loss)
    return coordinates.full(np.clip(coordinates.free(np.array(starts)), lower, upper))


def _neighbours(surface: Surface, theta: Array) -> Array:
    """Return starts one and two standard errors away along the two least determined directions.

    A sum of nearly absolute deviations has many shallow minima along a flat valley of few runs.
    """
    coordinates = surface.coordinates
    jacobian = surface.jacobian(theta[None])[0].T @ coordinates.matrix()
    scale = np.maximum(np.sqrt(np.sum(jacobian * jacobian, axis=0)), 1e-300)
    information = (jacobian / scale).T @ (jacobian / scale)
    strength, axes = np.linalg.eigh(information)
    error = 1.5 * float(np.median(np.abs(surface.residuals(theta[None]))))
    steps = [
        sign * size * error * axes[:, k] / np.sqrt(max(strength[k], 1e-12)) / scale
        for k in (0, 1)
        for size in (1.0, 2.0)
        for sign in (-1.0, 1.0)
    ]
    return coordinates.full(np.clip(coordinates.free(theta) + np.array(steps), *coordinates.bounds(surface.loss)))


def _least_deviations(surface: Surface, theta: Array) -> Array:
    """Finish least absolute deviations exactly, in the coordinates that are not on a bound."""
    coordinates = surface.coordinates
    lower, upper = coordinates.bounds(surface.loss)
    start = coordinates.free(theta)
    loose = (start > lower) & (start < upper)

    def full(part: Array) -> Array:
        free = start.copy()
        free[loose] = np.clip(part, lower[loose], upper[loose])
        return coordinates.full(free[None])

    part = refine_l1(
        start[loose],
        residuals=lambda part: surface.residuals(full(part))[0],
        jacobian=lambda part: (coordinates.matrix().T @ surface.jacobian(full(part))[0])[loose],
        weight=np.ones(len(surface.loss)) if surface.weight is None else surface.weight[0],
    )
    return full(part)[0]


class Solution(Record, eq=False):
    """The optimum of one objective on one set of runs.

    ``theta`` is (a, alpha, b, beta, E) in centred logs: a = ln A - alpha*centre[0], b = ln B - beta*centre[1]; with
    gamma as a sixth the first four are gamma times those of the law. ``residuals`` are fitted minus observed, in log
    loss or loss. ``converged`` is whether the descent ended at a stationary point, ``bounds`` names the coefficients
    that ended on a bound of the search, and ``basins`` counts the local minima of the grid that were refined.
    """

    theta: Array
    centre: tuple[float, float]
    score: float
    residuals: Array
    converged: bool
    bounds: tuple[str, ...]
    basins: int
    objective: Objective
    coordinates: Coordinates

    @property
    def law(self) -> SurfaceLaw:
        """The fitted law in raw units."""
        return law_at(self.theta, self.centre)

    @property
    def slopes(self) -> Array:
        """The exponents of size and data where either term stands alone."""
        return self.theta[[1, 3]]

    def about(self, centre: tuple[float, float]) -> Solution:
        """Return the same law in logs about another centre."""
        a, alpha, b, beta, *rest = self.theta.tolist()
        a, b = a + alpha * (self.centre[0] - centre[0]), b + beta * (self.centre[1] - centre[1])
        return replace(self, theta=np.array([a, alpha, b, beta, *rest]), centre=centre)

    def refit(self, points: Points) -> Solution:
        """Fit other runs with the same objective and form."""
        return fit_surface(points, self.coordinates, objective=self.objective)


class Refits(Record, eq=False):
    """The optima of many reweighted copies of the same runs: one row each.

    ``draws`` (R, width) are ln A, ln B, E, alpha and beta in raw units, and gamma where it is free; ``at_bound``
    (R, width) marks A, alpha, B, beta, E and gamma on a bound; ``converged`` (R,) the descents that ended at a
    stationary point.
    """

    draws: Array
    score: Array
    converged: Mask
    at_bound: Mask

    @classmethod
    def of(cls, theta: Array, points: Points, base: Solution, *, score: Array, converged: Mask) -> Self:
        """Return the optima at centred coordinates (R, width)."""
        a, alpha, b, beta, floor, *outer = theta.T
        gamma = outer[0] if outer else 1.0
        (x, y), inner = points.centre, (a, b, alpha, beta)
        a, b, alpha, beta = (each / gamma for each in inner)
        draws = np.stack([a + alpha * x, b + beta * y, floor, alpha, beta, *outer], axis=1)
        at_bound = base.coordinates.at_bound(theta, points.loss)
        return cls(draws=draws, score=score, converged=converged, at_bound=at_bound)


def law_at(theta: Array, centre: tuple[float, float]) -> SurfaceLaw:
    """Return the law of centred coordinates, six of which make one with gamma."""
    if len(theta) == 5:
        return additive_at(theta, centre)
    gamma, floor = float(theta[5]), float(theta[4])
    inner = additive_at(theta[:5] / gamma, centre)
    return ThreeExponent(E=floor, A=inner.A, B=inner.B, alpha=inner.alpha, beta=inner.beta, gamma=gamma)


def additive_at(theta: Array, centre: tuple[float, float]) -> Additive:
    """Return the additive law of five centred coordinates."""
    a, alpha, b, beta, floor = theta.tolist()
    return Additive(
        E=floor,
        A=math.exp(min(a + alpha * centre[0], _MOST_LOG)),
        B=math.exp(min(b + beta * centre[1], _MOST_LOG)),
        alpha=alpha,
        beta=beta,
    )


def fit_additive(points: Points, *, objective: Objective | None = None) -> Solution:
    """Fit the additive law to runs, with all of its coefficients.

    >>> import numpy as np
    >>> from scaleplan.fitting.runs import Points
    >>> params, tokens = (grid.ravel() for grid in np.meshgrid([1e8, 1e9, 1e10], [1e10, 1e11, 1e12]))
    >>> fit = fit_additive(Points.of(params, tokens, 1.7 + 400 / params**0.34 + 410 / tokens**0.28))
    >>> round(fit.law.alpha, 6), round(fit.law.beta, 6)
    (0.34, 0.28)

    """
    return fit_surface(points, Coordinates(), objective=objective)


def fit_surface(points: Points, coordinates: Coordinates, *, objective: Objective | None = None) -> Solution:
    """Fit a law to runs, at least as many as free coefficients.

    The objective is Huber 1e-3 on log loss unless given. Raises UsageError for too few runs, or a fixed floor that is
    negative or above the smallest loss.
    """
    objective = objective or Objective()
    _check(points, coordinates)
    surface = Surface.of(points, objective, coordinates)
    few = surface if len(points) <= MANY_RUNS else surface.thinned(np.argsort(points.flops, kind="stable"))
    theta, converged, count = _search(few)
    if few is not surface:
        best = int(np.argmin(few.score(theta)))
        theta, converged = _refine(surface, theta[best : best + 1])
    best = int(np.argmin(surface.score(theta)))
    optimum = theta[best] if objective.robust != "l1" else _least_deviations(surface, theta[best])
    residuals = surface.residuals(optimum[None])[0]
    stuck = coordinates.at_bound(optimum[None], points.loss)[0]
    return Solution(
        theta=optimum,
        centre=points.centre,
        score=float(objective.score(residuals, points.weight)),
        residuals=residuals,
        converged=bool(converged[best]),
        bounds=tuple(name for name, hit in zip(_NAMES[: coordinates.width], stuck, strict=True) if hit),
        basins=count,
        objective=objective,
        coordinates=coordinates,
    )


def refit_surface(
    points: Points,
    weight: _Weights,
    *,
    base: Solution,
    jobs: Jobs = ALONE,
    progress: Callable[[int], None] | None = None,
) -> Refits:
    """Fit copies of the same runs with other weights, ``weight`` (R, n), in blocks.

    Each copy starts from the better of its own grid and the solution ``base`` of the unweighted runs, with the
    objective and the form of ``base``. ``progress`` is called with the number of copies done after each block. Blocks
    do not depend on each other: ``jobs`` share them, with the same result for any number.
    """
    block = max(1, min(150, _BLOCK // max(1, len(points))))
    together = max(1, min(_TOGETHER, len(weight) // (_PARTS * block))) * block
    parts = [weight[begin : begin + together] for begin in range(0, len(weight), together)]
    found: list[_Block] = []
    for number, results in enumerate(spread(partial(_refit_blocks, points, base, block), parts, jobs=jobs), start=1):
        found += results
        if progress is not None:
            progress(min(number * together, len(weight)))
    theta, converged, score = (np.concatenate(column) for column in zip(*found, strict=True))
    return Refits.of(theta, points, base, score=score, converged=converged)


def refit_by_steps(points: Points, groups: Index, weight: _Weights, *, base: Solution) -> Refits | None:
    """Fit copies in which each group of runs counts as ``weight`` (R, G) says, by one Newton step from ``base``.

    None where the steps are too long for the objective to be a parabola: runs that do not determine the law.
    """
    coordinates = base.coordinates
    surface = Surface.of(points, base.objective, coordinates)
    free = newton_copies(
        coordinates.free(base.theta),
        coordinates.matrix().T @ surface.jacobian(base.theta[None])[0],
        base.residuals,
        groups=groups,
        copies=weight,
        objective=base.objective,
        weight=points.weight,
        box=coordinates.bounds(points.loss),
    )
    theta = coordinates.full(free)
    if not np.max(np.abs(np.delete(theta - base.theta, 4, axis=1))) < _LONG_STEP:
        return None
    score, converged = np.full(len(theta), base.score), np.full(len(theta), base.converged)
    return Refits.of(theta, points, base, score=score, converged=converged)


def _refit_blocks(points: Points, base: Solution, block: int, weight: _Weights) -> list[_Block]:
    """Return what comes of each block of copies."""
    return [_refit_block(points, base, weight[begin : begin + block]) for begin in range(0, len(weight), block)]


def _refit_block(points: Points, base: Solution, weight: _Weights) -> _Block:
    """Return the parameters, whether they converged, and the scores of a block of copies."""
    coordinates = base.coordinates
    rows = np.asarray(weight, dtype=np.float64)  # a block at a time: all of them as floats are 8 times larger
    rows = rows if points.weight is None else rows * points.weight
    surface = Surface.of(points, base.objective, coordinates, weight=rows)
    rss, nodes = surface.profile(_RESAMPLE_NODES)
    best = np.argmin(rss, axis=1)
    own = coordinates.free(nodes[np.arange(len(best)), best])
    own = coordinates.full(np.clip(own, *coordinates.bounds(points.loss)))
    common = np.broadcast_to(base.theta, own.shape)
    start = np.where((surface.score(common) <= surface.score(own))[:, None], common, own)
    theta, converged = _refine(surface, start)
    return theta, converged, surface.score(theta)


def _check(points: Points, coordinates: Coordinates) -> None:
    if len(points) < coordinates.count:
        raise UsageError(
            f"{len(points)} runs cannot determine {coordinates.count} coefficients",
            hint="at least 8 runs with 3 sizes and 3 token counts are needed for an interval",
        )
    floor = coordinates.floor
    if floor is not None and not 0 <= floor < float(np.min(points.loss)):
        raise UsageError(
            f"a floor of {format_plain(floor)} is not between 0 and the smallest loss "
            f"{format_plain(np.min(points.loss))}"
        )
