"""Approach 2: a parabola through each budget of an IsoFLOP sweep, and a line through their vertices.

It measures the split only. A parabola is the wrong curve: on a line of equal compute the loss rises like
beta e^(-alpha x) + alpha e^(beta x) with x = ln(N/N*), so that the vertex is displaced even without noise. On n sizes
evenly spaced in ln N from N*/k to N* k the displacement is (alpha - beta) h² (3n² - 7)/(30 (n - 1)²) to third order,
h = ln k; it changes the constant of the allocation, and on grids that drift off centre its exponent as well
(arXiv:2603.22339). With exponents from a surface fit it is taken off, computed for the sizes that were trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.design import isoflop_budgets

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.points import Points
    from scaleplan.laws.additive import Additive

    Array = NDArray[float64]

__all__ = ["Allocation", "Budget", "fit_isoflop", "vertex_bias"]

Quantity = Literal["params", "tokens"]

_LEAST_RUNS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The parabola of one budget.

    ``optimum`` is the size (or tokens) at the vertex after correction, ``error`` the standard error of its
    logarithm, ``bias`` what was taken off the logarithm. ``refused`` says why a budget has no vertex, or is None.
    """

    flops: float
    runs: int
    optimum: float
    error: float
    bias: float
    refused: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """ln(quantity) = exponent * ln C + ln(scale), through the vertices.

    ``interval`` is the 90 % percentile interval of the exponent over resamples within the budgets.
    """

    quantity: Quantity
    exponent: float
    scale: float
    error: float
    interval: tuple[float, float] | None
    budgets: tuple[Budget, ...]

    def at(self, flops: float) -> float:
        """Return the optimal size or tokens for a budget."""
        return self.scale * flops**self.exponent


def vertex_bias(*, alpha: float, beta: float, spread: float, count: int) -> float:
    """Return ln(N̂/N*) of a parabola through ``count`` sizes from N*/spread to N* spread, to third order."""
    return (alpha - beta) * math.log(spread) ** 2 * (3 * count**2 - 7) / (30 * (count - 1) ** 2)


def fit_isoflop(
    points: Points,
    *,
    quantity: Quantity = "params",
    law: Additive | None = None,
    weighted: bool = True,
    window: float | None = 5.0,
    samples: int = 500,
    seed: int = 0,
) -> Allocation:
    """Fit a parabola in ln(quantity) to the loss of each budget, and a line through the vertices.

    Parameters
    ----------
    points
        Runs of an IsoFLOP sweep.
    quantity
        ``"params"`` or ``"tokens"``.
    law
        A surface fit to the same runs, for the correction of the bias; None for plain parabolas.
    window
        Use the runs within this factor of the best run's size (or tokens): a parabola is local, and far sides tilt
        it. None for all runs of a budget.
    weighted
        Weight each vertex by 1/variance; otherwise all alike.
    samples, seed
        Resamples within the budgets for the interval of the exponent; 0 for none.

    Raises
    ------
    UsageError
        When the runs are no IsoFLOP sweep, or fewer than two budgets have a usable vertex.

    """
    labels = isoflop_budgets(points)
    if labels is None:
        raise UsageError(
            "the runs are not an IsoFLOP sweep: parabolas need two or more budgets with four or more sizes each",
            hint="fit the surface instead",
        )
    generator = np.random.Generator(np.random.PCG64(seed))
    budgets, resampled = [], []
    if window is not None and not window > 1:
        raise UsageError(f"a window of {window:g} is not a factor above 1")
    groups = [_near_best(points.select(labels == k), quantity, window) for k in range(int(labels.max()) + 1)]
    noise = _noise(groups, quantity)
    for group in groups:
        values = np.log(getattr(group, quantity))
        bias = 0.0 if law is None else _bias(group, values, law, quantity)
        budgets.append(_budget(group, values, bias=bias, noise=noise))
        if budgets[-1].refused is None and samples:
            runs = len(group)
            weight = generator.multinomial(runs, np.full(runs, 1 / runs), size=samples).astype(np.float64)
            resampled.append(_vertices(values, group.loss, weight) - bias)
    usable = [budget for budget in budgets if budget.refused is None]
    if len(usable) < 2:
        reasons = "; ".join(f"{budget.flops:.2g} FLOP: {budget.refused}" for budget in budgets if budget.refused)
        raise UsageError(f"fewer than two budgets have a usable vertex ({reasons})", hint="fit the surface instead")
    compute = np.log([budget.flops for budget in usable])
    optimum = np.log([budget.optimum for budget in usable])
    weight = np.array([1.0 / max(budget.error, 1e-6) ** 2 if weighted else 1.0 for budget in usable])
    slope, level, error = _line(compute, optimum, weight)
    return Allocation(
        quantity=quantity,
        exponent=slope,
        scale=math.exp(level),
        error=error,
        interval=_interval(compute, np.array(resampled), weight) if samples else None,
        budgets=tuple(budgets),
    )


def _near_best(group: Points, quantity: Quantity, window: float | None) -> Points:
    if window is None:
        return group
    values = np.log(getattr(group, quantity))
    return group.select(np.abs(values - values[np.argmin(group.loss)]) <= math.log(window))


def _parabola(values: Array, loss: Array) -> tuple[Array, Array]:
    """Return (p, q, r) of the parabola in the centred logs, and its residuals."""
    design = _columns(values)
    solution = np.asarray(np.linalg.lstsq(design, loss, rcond=None)[0], dtype=np.float64)
    return solution, loss - design @ solution


def _columns(values: Array) -> Array:
    x = values - np.mean(values)
    return np.stack([x * x, x, np.ones_like(x)], axis=1)


def _noise(groups: list[Points], quantity: Quantity) -> float:
    """Return the variance of the losses about their parabolas, pooled: one budget has too few runs for its own."""
    squares, freedom = 0.0, 0
    for group in groups:
        if len(group) > _LEAST_RUNS - 1:
            rest = _parabola(np.log(getattr(group, quantity)), group.loss)[1]
            squares, freedom = squares + float(rest @ rest), freedom + len(group) - 3
    return squares / max(freedom, 1)


def _budget(group: Points, values: Array, *, bias: float, noise: float) -> Budget:
    refused = f"{len(group)} runs near the best are too few for a parabola" if len(group) < _LEAST_RUNS else None
    vertex = error = math.nan
    if refused is None:
        design = _columns(values)
        (p, q, _), _ = _parabola(values, group.loss)
        vertex = -q / (2 * p) if p > 0 else math.nan
        if p <= 0:
            refused = "the loss has no minimum over the sizes (the parabola opens downwards)"
        elif not np.min(design[:, 1]) <= vertex <= np.max(design[:, 1]):
            refused = "the vertex lies outside the sizes that were trained"
        else:
            slope = np.array([q / (2 * p * p), -1 / (2 * p), 0.0])
            error = math.sqrt(noise * float(slope @ np.linalg.pinv(design.T @ design) @ slope))
    return Budget(
        flops=float(np.exp(np.mean(np.log(group.flops)))),
        runs=len(group),
        optimum=math.exp(vertex + float(np.mean(values)) - bias) if refused is None else math.nan,
        error=error if refused is None else math.nan,
        bias=bias,
        refused=refused,
    )


def _bias(group: Points, values: Array, law: Additive, quantity: Quantity) -> float:
    """Return the displacement of the vertex of a parabola through the law's own losses at the trained sizes."""
    product = float(np.exp(np.mean(np.log(group.params * group.tokens))))
    sizes = np.exp(values) if quantity == "params" else product / np.exp(values)
    vertex = _vertices(values, law.loss(sizes, product / sizes), np.ones((1, len(values))))[0]
    best = math.log(law.best_split(product)[0 if quantity == "params" else 1])
    return float(vertex) - best if math.isfinite(vertex) else 0.0


def _vertices(values: Array, loss: Array, weight: Array) -> Array:
    """Return the vertex of the weighted parabola of each resample (R, n); NaN where it has no minimum."""
    centre = np.mean(values)
    x = values - centre
    design = np.stack([x * x, x, np.ones_like(x)])
    gram = np.einsum("in,rn,jn->rij", design, weight, design)
    solution = np.linalg.pinv(gram, hermitian=True) @ (weight * loss @ design.T)[:, :, None]
    p, q = solution[:, 0, 0], solution[:, 1, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = -q / (2 * p)
    inside = (p > 0) & (vertex >= np.min(x)) & (vertex <= np.max(x))
    return np.where(inside, vertex + centre, np.nan)


def _line(compute: Array, optimum: Array, weight: Array) -> tuple[float, float, float]:
    """Return slope, intercept and the standard error of the slope of a weighted line."""
    total = float(np.sum(weight))
    middle = float(weight @ compute) / total
    moment = float(weight @ (compute - middle) ** 2)
    slope = float(weight @ ((compute - middle) * optimum)) / moment
    level = float(weight @ optimum) / total - slope * middle
    rest = optimum - level - slope * compute
    noise = float(weight @ rest**2) / max(len(compute) - 2, 1)
    return slope, level, math.sqrt(noise / moment)


def _interval(compute: Array, optimum: Array, weight: Array) -> tuple[float, float] | None:
    """Return the 90 % interval of the slope over resamples (budgets, R); a budget without a vertex is left out."""
    known = np.isfinite(optimum)
    counts = np.where(known, weight[:, None], 0.0)
    usable = np.count_nonzero(known, axis=0) >= 2
    counts, values = counts[:, usable], np.where(known, optimum, 0.0)[:, usable]
    if not values.size:
        return None
    middle = (counts * compute[:, None]).sum(axis=0) / counts.sum(axis=0)
    offset = compute[:, None] - middle
    slopes = (counts * offset * values).sum(axis=0) / (counts * offset**2).sum(axis=0)
    low, high = np.quantile(slopes, (0.05, 0.95))
    return float(low), float(high)
