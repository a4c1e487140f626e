"""Find the basin of an additive fit: every pair of exponents on a grid, solved for E, A and B at once.

Variable projection: for fixed (alpha, beta) the law is linear in (E, A, B), and the weighted normal equations of a
whole grid are a few matrix products. Weights 1/L² make linear residuals approximate log residuals. The
non-negative solution of each three-variable problem is the best feasible one of its active sets.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Array = NDArray[float64]

__all__ = ["EXPONENTS", "basins", "profile"]

EXPONENTS: tuple[float, float] = (0.02, 1.25)
"""The range of exponents that the grid covers; published laws lie between 0.05 and 0.8."""

_SINGULAR = 1e-13


def exponent_grid(count: int) -> Array:
    """Return ``count`` log-spaced exponents over :data:`EXPONENTS`."""
    return np.geomspace(*EXPONENTS, count)


def profile(
    x: Array, y: Array, loss: Array, weight: Array, *, count: int, tied: bool = False, floor: float | None = None
) -> tuple[Array, Array]:
    """Return the residual sums and the solutions of every node of the grid, for every row of weights.

    Parameters
    ----------
    x, y
        Centred logs of parameters and tokens (n,).
    loss
        Losses (n,).
    weight
        Weights (R, n): one row for each resample.
    count
        Values per exponent.
    tied
        Only the diagonal alpha = beta.
    floor
        E when it is given; None when it is fitted.

    Returns
    -------
    tuple
        Sums (R, K) and solutions (R, K, 5) in the order ln A', alpha, ln B', beta, E, with A' and B' the terms at
        the centre of the logs.

    """
    exponents = exponent_grid(count)
    u, v = np.exp(-np.outer(exponents, x)), np.exp(-np.outer(exponents, y))
    target = loss if floor is None else loss - floor
    if tied:
        alpha = beta = exponents
        product = u * v
        pick_u = pick_v = np.arange(count)
    else:
        pick_u, pick_v = (axis.ravel() for axis in np.indices((count, count)))
        alpha, beta = exponents[pick_u], exponents[pick_v]
        product = u[pick_u] * v[pick_v]
    weighted = weight * target
    ones = weight.sum(axis=1)[:, None]
    gram = {
        (0, 0): ones,
        (0, 1): (weight @ u.T)[:, pick_u],
        (0, 2): (weight @ v.T)[:, pick_v],
        (1, 1): (weight @ (u * u).T)[:, pick_u],
        (1, 2): weight @ product.T,
        (2, 2): (weight @ (v * v).T)[:, pick_v],
    }
    moment = [weighted.sum(axis=1)[:, None], (weighted @ u.T)[:, pick_u], (weighted @ v.T)[:, pick_v]]
    total = (weighted * target).sum(axis=1)[:, None]
    rss, level = _non_negative(gram, moment, total, free=(0, 1, 2) if floor is None else (1, 2))
    nodes = np.empty((*rss.shape, 5))
    tiny = 1e-6 * np.mean(loss)  # a term that the grid drops starts the polish small, not at minus infinity
    nodes[..., 0] = np.log(np.maximum(level[1], tiny))
    nodes[..., 1] = alpha
    nodes[..., 2] = np.log(np.maximum(level[2], tiny))
    nodes[..., 3] = beta
    nodes[..., 4] = level[0] if floor is None else floor
    return rss, nodes


def basins(rss: Array, nodes: Array, *, count: int, tied: bool, most: int) -> Array:
    """Return the solutions at the ``most`` lowest local minima of one grid (K,), best first."""
    if tied:
        padded = np.pad(rss, 1, constant_values=np.inf)
        local = (rss <= padded[:-2]) & (rss <= padded[2:])
    else:
        table = rss.reshape(count, count)
        padded = np.pad(table, 1, constant_values=np.inf)
        local = np.ones_like(table, dtype=bool)
        for i in range(3):
            for j in range(3):
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
        product = gram[i, i] * gram[j, j]
        determinant = _regular(product - gram[i, j] ** 2, product)
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


def _regular(determinant: Array, product: Array) -> Array:
    """Return the determinant where it is more than rounding of the product of the diagonal, else NaN."""
    return np.where(determinant > _SINGULAR * product, determinant, np.nan)
