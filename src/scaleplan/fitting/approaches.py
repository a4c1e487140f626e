"""Fit an allocation: parabolas through IsoFLOP budgets, the envelope of the best runs, lines through measured optima.

Parabolas measure the split only. A parabola is the wrong curve: on a line of equal compute the loss rises like
beta e^(-alpha x) + alpha e^(beta x) with x = ln(N/N*), so that the vertex is displaced even without noise. On n sizes
evenly spaced in ln N from N*/k to N* k the displacement is (alpha - beta) h² (3n² - 7)/(30 (n - 1)²) to third order,
h = ln k; it changes the constant of the allocation, and on grids that drift off centre its exponent as well
(arXiv:2603.22339). With exponents from a surface fit it is taken off, computed for the sizes that were trained.

The envelope needs dense curves and picks favourable noise: the best of many runs is the one with the luckiest error.
Use it to look at runs, not to plan.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.bootstrap import resample_weights
from scaleplan.fitting.curve_fit import fit_curve
from scaleplan.fitting.diagnosis import distinct_budgets, isoflop_budgets
from scaleplan.fitting.objective import Objective, central_interval
from scaleplan.fitting.surface_fit import fit_additive
from scaleplan.laws.additive import Additive
from scaleplan.laws.allocation import PowerAllocation
from scaleplan.record import Record
from scaleplan.units import format_factor, format_flops, format_number, format_plain

if TYPE_CHECKING:
    from scaleplan.arrays import Array, Floats
    from scaleplan.fitting.curve_fit import CurveFit
    from scaleplan.fitting.runs import Points

__all__ = ["Approach", "compare_methods", "fit_allocation", "fit_envelope", "fit_isoflop"]

Quantity = Literal["params", "tokens"]

_LEAST_RUNS = 4


class IsoflopBudget(Record):
    """The parabola of one budget.

    ``optimum`` is the size (or tokens) at the vertex after correction, ``error`` the standard error of its logarithm,
    ``refused`` why a budget has no vertex, or None.
    """

    flops: float
    optimum: float = math.nan
    error: float = math.nan
    refused: str | None = None


class _Line(Record):
    """ln(quantity) = exponent * ln C + ln(scale)."""

    exponent: float
    scale: float

    def at(self, flops: float) -> float:
        """Return the optimal size or tokens for a budget."""
        return self.scale * flops**self.exponent


class MeasuredAllocation(_Line):
    """A line through the vertices of the budgets' parabolas.

    ``interval`` is the 90 % percentile interval of the exponent over resamples within the budgets.
    """

    error: float
    interval: tuple[float, float] | None
    budgets: tuple[IsoflopBudget, ...]


class Envelope(_Line):
    """A line through the sizes of the best runs, ``rows``, of the compute bins."""

    rows: tuple[int, ...]


def fit_isoflop(
    points: Points,
    *,
    quantity: Quantity = "params",
    law: Additive | None = None,
    weighted: bool = True,
    window: float | None = 5.0,
    samples: int = 500,
    seed: int = 0,
) -> MeasuredAllocation:
    """Fit a parabola in ln(quantity) to the loss of each budget of an IsoFLOP sweep, and a line through the vertices.

    ``law`` is a surface fit to the same runs, for the correction of the bias, or None for plain parabolas. Only the
    runs within the factor ``window`` of the best run's size (or tokens) are used, because a parabola is local and far
    sides tilt it; None uses all. ``weighted`` weights each vertex by 1/variance. ``samples`` resamples within the
    budgets give the interval of the exponent. Raises UsageError when the runs are no IsoFLOP sweep, or fewer than two
    budgets have a usable vertex.
    """
    if window is not None and not window > 1:
        raise UsageError(f"a window of {format_plain(window)} is not a factor above 1")
    labels = isoflop_budgets(points)
    if labels is None:
        raise UsageError(
            "the runs are not an IsoFLOP sweep: parabolas need two or more budgets with four or more sizes each",
            hint="fit the surface instead",
        )
    generator = np.random.Generator(np.random.PCG64(seed))
    budgets, resampled = [], []
    groups = [_near_best(points.select(labels == k), quantity, window) for k in range(int(labels.max()) + 1)]
    noise = _noise(groups, quantity)
    for group in groups:
        values = np.log(getattr(group, quantity))
        bias = 0.0 if law is None else _bias(group, values, law, quantity)
        budgets.append(_budget(group, values, bias=bias, noise=noise))
        if budgets[-1].refused is None and samples:
            weight = resample_weights(len(group), samples=samples, generator=generator).astype(np.float64)
            resampled.append(_vertices(values, group.loss, weight) - bias)
    usable = [budget for budget in budgets if budget.refused is None]
    if len(usable) < 2:
        reasons = "; ".join(f"{format_flops(budget.flops)}: {budget.refused}" for budget in budgets if budget.refused)
        raise UsageError(f"fewer than two budgets have a usable vertex ({reasons})", hint="fit the surface instead")
    compute = np.log([budget.flops for budget in usable])
    optimum = np.log([budget.optimum for budget in usable])
    weight = np.array([1.0 / max(budget.error, 1e-6) ** 2 if weighted else 1.0 for budget in usable])
    slope, level, error = _line(compute, optimum, weight, known=weighted)
    return MeasuredAllocation(
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


def _budget(group: Points, values: Array, *, bias: float, noise: float) -> IsoflopBudget:
    flops = float(np.exp(np.mean(np.log(group.flops))))
    if len(group) < _LEAST_RUNS:
        return IsoflopBudget(flops=flops, refused=f"{len(group)} runs near the best are too few for a parabola")
    design = _columns(values)
    (p, q, _), _ = _parabola(values, group.loss)
    if p <= 0:
        reason = "the loss has no minimum over the sizes (the parabola opens downwards)"
        return IsoflopBudget(flops=flops, refused=reason)
    vertex = -q / (2 * p)
    if not np.min(design[:, 1]) <= vertex <= np.max(design[:, 1]):
        return IsoflopBudget(flops=flops, refused="the vertex lies outside the sizes that were trained")
    slope = np.array([q / (2 * p * p), -1 / (2 * p), 0.0])
    return IsoflopBudget(
        flops=flops,
        optimum=math.exp(vertex + float(np.mean(values)) - bias),
        error=math.sqrt(noise * float(slope @ np.linalg.pinv(design.T @ design) @ slope)),
    )


def _bias(group: Points, values: Array, law: Additive, quantity: Quantity) -> float:
    """Return the displacement of the vertex of a parabola through the law's own losses at the trained sizes.

    The optimum is that along the line of the budget in ln N and ln D, of slope -1 where C = kND: of
    A N^-alpha + B e^(-beta u) N^(beta v) on ln D = u - v ln N.
    """
    sizes, data = np.log(group.params), np.log(group.tokens)
    slope = -float(np.polyfit(sizes - sizes.mean(), data, 1)[0]) if np.ptp(sizes) > 0 else 0.0
    if slope <= 0:  # no trade of size against tokens
        return 0.0
    level = float(np.mean(data + slope * sizes))
    vertex = _vertices(values, law.loss(group.params, np.exp(level - slope * sizes)), np.ones((1, len(values))))[0]
    balance = math.log(law.alpha * law.A / (slope * law.beta * law.B)) + law.beta * level
    best = balance / (law.alpha + slope * law.beta)
    best = best if quantity == "params" else level - slope * best
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


def _line(compute: Array, optimum: Array, weight: Array, *, known: bool) -> tuple[float, float, float]:
    """Return slope, intercept and the standard error of the slope of a line weighted by 1/variance.

    The error is the larger of what the errors of the points make and what their scatter shows (the scale factor of
    the Particle Data Group): two points scatter about no line.
    """
    total = float(np.sum(weight))
    middle = float(weight @ compute) / total
    moment = float(weight @ (compute - middle) ** 2)
    slope = float(weight @ ((compute - middle) * optimum)) / moment
    level = float(weight @ optimum) / total - slope * middle
    rest = optimum - level - slope * compute
    noise = max(float(weight @ rest**2) / max(len(compute) - 2, 1), 1.0 if known else 0.0)
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
    return central_interval(slopes, 0.9)


def fit_envelope(points: Points, *, bins_per_decade: float = 8.0) -> Envelope:
    """Take the run of least loss in each bin of ln C and regress ln N on ln C.

    Runs of one budget, which differ by rounding, are in one bin: that of their middle.

    Raises UsageError when fewer than three bins hold runs, or the bins are not positive.
    """
    if not bins_per_decade > 0:
        raise UsageError(f"{format_plain(bins_per_decade)} bins per decade of compute: a positive number is needed")
    compute = np.log10(points.flops)
    budgets = distinct_budgets(points)
    if budgets is not None:
        middles = [np.median(compute[budgets == k]) for k in range(int(budgets.max()) + 1)]
        compute = np.array(middles)[budgets]
    bins = np.floor((compute - np.min(compute)) * bins_per_decade)
    best = [
        int(members[np.argmin(points.loss[members])])
        for members in (np.flatnonzero(bins == k) for k in np.unique(bins))
    ]
    if len(best) < 3:
        raise UsageError(
            f"the runs fill {len(best)} bins of compute, too few for an envelope",
            hint="more bins per decade, or fit the surface instead",
        )
    slope, level = np.polyfit(np.log(points.flops[best]), np.log(points.params[best]), 1)
    return Envelope(
        exponent=float(slope),
        scale=float(np.exp(level)),
        rows=tuple(int(points.rows[i]) for i in best),
    )


class Approach(Record):
    """The result of one method, N* = scale * C^exponent, or in ``remark`` why there is none.

    ``error`` is the standard error of the exponent where the method gives one; ``params`` is N* at the compute
    where the methods are compared; ``remark`` is what sets the method apart on these runs.
    """

    name: str
    exponent: float | None = None
    error: float | None = None
    params: float | None = None
    remark: str


def compare_methods(points: Points, *, flops: float, objective: Objective | None = None) -> tuple[Approach, ...]:
    """Fit the surface, the parabolas (corrected and plain) and the envelope to the same runs.

    ``flops`` is the budget at which their sizes are compared.
    """
    law = fit_additive(points, objective=objective).law
    assert isinstance(law, Additive)
    try:
        params = law.best_split(flops / 6)[0]
    except ArithmeticError:
        raise UsageError(
            "the losses hardly change: they put the optimum beyond any number",
            hint="leave out --method to see the fit",
        ) from None
    remark = f"uses all {len(points)} runs and five coefficients; the reference for the others"
    approaches = [Approach(name="surface", exponent=law.params_exponent, params=params, remark=remark)]
    try:
        approaches += _parabolas(points, law, flops, params)
    except UsageError as error:
        approaches.append(Approach(name="parabolas", remark=f"not possible: {error.message}"))
    try:
        envelope = fit_envelope(points)
    except UsageError as error:
        approaches.append(Approach(name="envelope", remark=f"not possible: {error.message}"))
    else:
        size = envelope.at(flops)
        share = f"{len(envelope.rows)} of {len(points)} runs"
        remark = f"uses the luckiest {share}, so that noise chooses the sizes; {_apart(size, params)}"
        approaches.append(Approach(name="envelope", exponent=envelope.exponent, params=size, remark=remark))
    return tuple(approaches)


def _parabolas(points: Points, law: Additive, flops: float, params: float) -> list[Approach]:
    corrected = fit_isoflop(points, law=law, samples=0)
    plain = fit_isoflop(points, window=None, weighted=False, samples=0)
    refused = sum(budget.refused is not None for budget in corrected.budgets)
    left = f", {refused} refused" if refused else ""
    size, plain_size = corrected.at(flops), plain.at(flops)
    remark = (
        f"spends three coefficients on each of {len(corrected.budgets) - refused} budgets{left}; runs far from the "
        f"best, the bias of a parabola and unequal errors are accounted for; {_apart(size, params)}"
    )
    plain_remark = (
        f"all runs of each budget alike: far runs and the bias of a parabola multiply N* by "
        f"{format_number(plain_size / size)}; {_apart(plain_size, params)}"
    )
    return [
        Approach(name=name, exponent=fit.exponent, error=fit.error, params=fit.at(flops), remark=text)
        for name, fit, text in (("parabolas", corrected, remark), ("plain parabolas", plain, plain_remark))
    ]


def _apart(params: float, reference: float) -> str:
    return f"{format_factor(params / reference)} the size that the surface gives"


class AllocationFit(Record, eq=False):
    """N and/or D as powers of the compute; each side with its own fit, None where it was not given."""

    law: PowerAllocation
    params: CurveFit | None
    tokens: CurveFit | None


def fit_allocation(
    flops: Floats,
    *,
    params: Floats | None = None,
    tokens: Floats | None = None,
    log_error: Floats | None = None,
    samples: int = 0,
    seed: int = 0,
) -> AllocationFit:
    """Fit powers of the compute to the measured optimal sizes and/or token counts of budgets.

    ``log_error`` holds standard errors of the logarithms of the optima, each of which then counts 1/error². The
    objective is least squares on logarithms: optima are few, and each was measured with care. Raises UsageError when
    neither side is given, or a column is not of positive numbers of equal length.
    """
    if params is None and tokens is None:
        raise UsageError("an allocation needs the optimal params or the optimal tokens of each budget")
    weight = None if log_error is None else 1.0 / np.asarray(log_error, dtype=np.float64) ** 2

    def power(name: str, column: Floats | None) -> CurveFit | None:
        if column is None:
            return None
        return fit_curve(
            "power",
            flops,
            column,
            objective=Objective(robust="none"),
            weight=weight,
            quantities=("flops", name),
            samples=samples,
            seed=seed,
        )

    size, data = power("params", params), power("tokens", tokens)
    law = PowerAllocation(
        params_scale=size.coefficients["a"] if size else None,
        params_exponent=size.coefficients["n"] if size else None,
        tokens_scale=data.coefficients["a"] if data else None,
        tokens_exponent=data.coefficients["n"] if data else None,
    )
    return AllocationFit(law=law, params=size, tokens=data)
