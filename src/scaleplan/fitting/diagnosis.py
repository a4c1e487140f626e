"""Diagnose the fit of a surface: what the runs determine, which of them decide it, and how simpler forms compare.

Simpler nested forms are compared by AICc = -2 ln(likelihood) + 2k + 2k(k+1)/(n-k-1), where k counts the scale of the
noise (Hurvich & Tsai 1989, Biometrika 76:297). The scale is profiled out: Gaussian for least squares, Laplace for
absolute deviations, and for Huber's function the density proportional to exp(-huber(r)/tau).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.bootstrap import COORDINATES, Bootstrap, coordinates_of, law_of
from scaleplan.fitting.noise import BUDGET_GAP, cells_by_rounding, lack_of_fit, last_digit
from scaleplan.fitting.objective import central_interval, rms, typical_deviation
from scaleplan.fitting.surface_fit import Surface, law_at, refit_surface
from scaleplan.laws.additive import ThreeExponent
from scaleplan.planning.uncertainty import sigmas_of
from scaleplan.presets.preset import Line
from scaleplan.record import Record
from scaleplan.units import format_fraction, format_number, format_power

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.fitting.noise import LackOfFit
    from scaleplan.fitting.objective import Objective
    from scaleplan.fitting.runs import Points
    from scaleplan.fitting.surface_fit import Coordinates, Solution, SurfaceLaw

__all__ = [
    "Design",
    "Flag",
    "Influence",
    "Information",
    "Outliers",
    "aicc",
    "below_largest_budget",
    "describe",
    "deviance",
    "diagnose",
    "distinct_budgets",
    "find_line",
    "find_outliers",
    "find_strip",
    "information",
    "isoflop_budgets",
    "leave_one_out",
    "repeats_test",
]

_NO_FLOOR = 0.5  # of the least loss: E ends on a bound at zero, or near the losses of runs that hardly differ
_WIDE = math.log(3.0)  # a standard error of ln N* beyond which an allocation is no advice
_COLLINEAR = 1e9  # the condition number of the scaled information
_THIN_LINE = 0.1  # runs within 10 % of one line in (ln N, ln D)
_FEW_RUNS, _FEW_VALUES = 8, 3
_NARROW = 4.0  # a ratio of the largest to the smallest D/N
_OFTEN = 0.05  # a share of resamples
_OUTLIER = 12.0  # robust standard deviations; log residuals of a careful sweep are heavy-tailed and reach 10
_ROUNDS = 6
_COPIED = 1e-5  # of the loss: seeds differ by 0.1 %, and hardly two of a file agree to it
_LEAST_HIDDEN, _MOST_HIDDEN = 12, 60  # runs: with fewer any one halves the scatter, with more no few hide each other
_HIDES, _LEAST_SCATTER = 0.5, 0.01  # of ln L: seeds scatter by less, so that no run is hidden
_MOST_OUT = 0.2  # more than a fifth of the runs is another population, not outliers
_BEYOND, _POINTS = 4, 17  # runs beyond the coefficients of a curve; points that write it
_RAY = 1.3  # D/N within ±14 %: one ratio, up to rounding of step counts
_BUDGET_WIDTH = 0.35  # in ln C: of all runs of one budget; more is a spread of compute
_SAME = 0.01  # in the logarithm: a size or token count up to rounding
_RUNS_PER_BUDGET, _SHARE_IN_BUDGETS = 4, 0.8


class Flag(Record):
    """A reservation about a fit; ``code`` is stable for scripts.

    ``unidentified`` means that the split between size and data is not determined: the law must not choose D/N.
    """

    code: str
    message: str
    unidentified: bool = False


class Information(Record, eq=False):
    """The information matrix of the free coefficients, each column scaled to length one.

    ``eigenvalues`` ascend and sum to the number of coefficients; one near zero belongs to a combination of
    coefficients that the runs do not determine. ``covariance`` of the free coordinates and ``log_params_error``, the
    standard error of ln N* at the largest compute of the runs, are those of the delta method with a robust scale of
    the residuals.
    """

    eigenvalues: tuple[float, ...]
    covariance: Array
    log_params_error: float

    @property
    def condition(self) -> float:
        """The ratio of the largest to the smallest eigenvalue."""
        if not self.eigenvalues:  # every coefficient ended on a bound
            return math.inf
        smallest, largest = self.eigenvalues[0], self.eigenvalues[-1]
        return largest / smallest if smallest > 0 else math.inf


def information(points: Points, solution: Solution) -> Information:
    """Return the scaled information of a solution, without the coordinates that ended on a bound."""
    coordinates = solution.coordinates
    surface = Surface.of(points, solution.objective, coordinates)
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
        eigenvalues=tuple(np.maximum(values, 0.0).tolist()),
        covariance=covariance,
        log_params_error=_log_params_error(points, solution, covariance),
    )


def diagnose(
    points: Points,
    solution: Solution,
    *,
    design: Design,
    known: Information,
    resamples: Bootstrap | None = None,
    repeats: LackOfFit | None = None,
) -> tuple[Flag, ...]:
    """Return the reservations about a fit, gravest first."""
    flags = [
        Flag(code=code, message=text, unidentified=True)
        for code, text in _unidentified(design, solution, known).items()
    ]

    def warn(code: str, message: str, *, unidentified: bool = False) -> None:
        flags.append(Flag(code=code, message=message, unidentified=unidentified))

    if repeats is not None and repeats.rejected:
        warn("lack_of_fit", f"repeated runs reject this law: {repeats}")
    fitted_floor = solution.coordinates.floor is None and design.along is None
    floor, least = solution.law.E, _NO_FLOOR * float(np.min(points.loss))
    if fitted_floor and "E" in solution.bounds and floor < least:
        warn(
            "floor_zero",
            "the floor E ran to zero: the runs show no sign of levelling off, so extrapolated losses are too low",
        )
    elif fitted_floor and resamples is not None and resamples.floor_at_zero > _OFTEN:
        low, high = central_interval(resamples.draws[:, 2], 0.9)
        share = f"{format_fraction(resamples.floor_at_zero, digits=2)} of resamples"
        warn(
            "floor_zero",
            f"E is zero in {share}; its 90 % interval is {format_number(low, digits=2)} to {format_number(high)}",
        )
    if resamples is not None and resamples.exponents_at_bound > _OFTEN and design.along is None:
        share = f"{format_fraction(resamples.exponents_at_bound, digits=2)} of resamples"
        warn("resamples_at_bound", f"an exponent runs to its bound in {share}", unidentified=True)
    if resamples is not None and resamples.failed > _OFTEN * resamples.samples:
        warn("resamples_failed", f"{resamples.failed} resamples did not converge")
    few = design.along is None and min(design.sizes, design.token_counts) < _FEW_VALUES
    if len(points) < _FEW_RUNS or few:
        counts = f"{len(points)} runs, {design.sizes} sizes, {design.token_counts} token counts"
        warn("few_runs", f"{counts}: a fit needs at least 8 runs, 3 sizes, 3 token counts")
    low, high = design.tokens_per_param
    if design.along is None and high < _NARROW * low:
        span = f"only {format_number(low)} to {format_number(high)}"
        warn("narrow_ratios", f"tokens per parameter span {span}; a factor of 16 or more determines the split")
    if solution.slopes.max() > 1.25 and design.along is None:
        warn("steep", "an exponent above 1.25 is outside what published laws show")
    return tuple(flags) if design.along is not None else (*flags, *_ridge(solution, known))


def _ridge(solution: Solution, known: Information) -> tuple[Flag, ...]:
    """Return the reservation that E or gamma is not determined: its 90 % interval reaches zero.

    A lower gamma bends the law between its terms much as a lower floor does: runs near one ratio of tokens to
    parameters, or of few budgets, tell them apart least.
    """
    form, law = solution.coordinates, solution.law
    if not isinstance(law, ThreeExponent):
        return ()
    if "gamma" in solution.bounds:
        reason = (
            f"gamma ended on a bound of the search, {format_number(law.gamma)}: how the two terms combine is "
            "not determined"
        )
        return (Flag(code="ridge", message=reason),)
    errors = np.sqrt(np.maximum(np.diag(form.matrix() @ known.covariance @ form.matrix().T), 0.0))
    fitted = {"E": (law.E, errors[4]), "gamma": (law.gamma, errors[5])}
    if form.floor is not None or "E" in solution.bounds:
        del fitted["E"]
    doubtful = {name: pair for name, pair in fitted.items() if sigmas_of(0.9) * pair[1] >= pair[0]}
    if not doubtful:
        return ()
    verb, them = ("are", "them") if len(doubtful) == 2 else ("is", "it")
    values = ", ".join(
        f"{format_number(value)} ± {format_number(error, digits=2)}" for value, error in doubtful.values()
    )
    doubt = f"{' and '.join(doubtful)} {verb} not determined ({values})"
    reason = f"{doubt}: the loss near the runs hardly depends on {them}, far extrapolations do"
    return (Flag(code="ridge", message=reason),)


def _unidentified(design: Design, solution: Solution, known: Information) -> dict[str, str]:
    """Return the reasons, by code, why the split between size and data is not determined."""
    reasons = {}
    levels = _levels(solution.coordinates)
    if design.along is not None:
        code = "one_ray" if design.ratio is not None else "one_line"
        reasons[code] = f"all runs lie on {design.along}: the law is determined there and nowhere else"
    elif min(design.sizes, design.token_counts) < levels:
        few = f"{design.sizes} sizes" if design.sizes < levels else f"{design.token_counts} token counts"
        reasons["few_levels"] = (
            f"{few} do not tell the floor from the term that they vary: {levels} or more are needed"
        )
    stuck = [name for name in solution.bounds if name not in {"E", "gamma"}]
    if design.along is not None:  # what follows from it is no reason of its own
        stuck = []
    if stuck:
        reasons["bound"] = f"{', '.join(stuck)} ended on a bound of the search: not identified; try tied exponents"
    if not solution.converged and design.along is None:
        reasons["not_converged"] = "the descent did not reach a stationary point"
    if not reasons and known.condition > _COLLINEAR:
        condition = format_power(known.condition, digits=1)
        reasons["collinear"] = f"the coefficients are collinear (condition number {condition}): not identified"
    elif not reasons and known.log_params_error > _WIDE:
        factor = format_number(math.exp(min(known.log_params_error, 50.0)), digits=2)
        reasons["wide"] = (
            f"the law alone leaves the optimal size within the data uncertain by a factor of {factor}: its "
            "coefficients do not tell the split"
        )
    return reasons


def _noise(solution: Solution, runs: int, coefficients: int) -> float:
    """Return the scale whose square multiplies the inverse information.

    For least squares the residual standard deviation; for estimators close to absolute deviations that of the
    median, sqrt(pi/2) times a normal standard deviation estimated from the median of |r|.
    """
    small = math.sqrt(runs / max(runs - coefficients, 1))
    if solution.objective.robust == "none":
        return small * rms(solution.residuals)
    return small * math.sqrt(math.pi / 2) * typical_deviation(solution.residuals, coefficients=coefficients)


def _log_params_error(points: Points, solution: Solution, covariance: Array) -> float:
    coordinates = solution.coordinates
    product = float(np.max(points.params * points.tokens))
    theta = coordinates.free(solution.theta)

    def optimum(free: Array) -> float:
        law = law_at(coordinates.full(free[None])[0], solution.centre)
        # ln N* = (ln(alpha A/(beta B)) + beta ln(N D))/(alpha + beta), in logarithms: exponents near 0 overflow
        balance = math.log(law.alpha) + math.log(law.A) - math.log(law.beta) - math.log(law.B)
        return (balance + law.beta * math.log(product)) / (law.alpha + law.beta)

    slope = np.zeros(len(theta))
    for k in range(len(theta)):
        step = np.zeros(len(theta))
        step[k] = 1e-6
        inside = np.maximum(theta - step, coordinates.bounds(points.loss)[0])
        slope[k] = (optimum(theta + step) - optimum(inside)) / (theta + step - inside)[k]
    if not np.all(np.isfinite(slope)):
        return math.inf
    return math.sqrt(max(float(slope @ covariance @ slope), 0.0))


def repeats_test(points: Points, solution: Solution) -> LackOfFit | None:
    """Test the form of a solution against the scatter of runs of one size and token count, by least squares."""
    step = last_digit(points.loss)
    if step <= _COPIED * float(np.median(points.loss)):  # an equal loss to so many digits is the same run again
        runs = np.stack([points.params, points.tokens, points.loss])
        points = points.select(np.sort(np.unique(runs, axis=1, return_index=True)[1]))
    cells = cells_by_rounding(points.params, points.tokens)
    count = solution.coordinates.count
    if not count < int(cells.max()) + 1 < len(cells):
        return None
    fit = replace(solution, objective=replace(solution.objective, robust="none")).refit(points)
    weight = 1.0 if points.weight is None else np.sqrt(points.weight)
    return lack_of_fit(cells, fit.residuals * weight, count, rounding=float(np.mean(weight * step / points.loss)))


class Outliers(Record, eq=False):
    """Runs far from the fit of the others, by row, and the fit ``without`` all of them; None when there are none.

    ``deviations`` are residuals (fitted minus observed) in robust standard deviations of the runs that stay.
    """

    rows: tuple[int, ...]
    deviations: tuple[float, ...]
    without: Solution | None


class Influence(Record, eq=False):
    """The change ``shift`` (n, p) of (ln A, ln B, E, alpha, beta, gamma) without each single run."""

    rows: Index
    shift: Array

    def strongest(self, coefficient: str, *, most: int = 5) -> tuple[tuple[int, float], ...]:
        """Return (row, change) of the runs that move ``E``, ``alpha``, ``beta`` or ``gamma`` most."""
        column = self.shift[:, COORDINATES.index(coefficient)]
        order = np.argsort(-np.abs(column), kind="stable")[:most]
        return tuple((int(self.rows[i]), float(column[i])) for i in order)


def find_outliers(points: Points, base: Solution) -> Outliers:
    """Find runs far from the fit of the others; refit without those found until the set stays the same.

    Outliers with leverage pull the fit towards themselves and hide each other, which is why one look at the
    residuals of the full fit is not enough. Least squares follows them all the way, and is refitted robustly first;
    of few runs even a robust fit follows one at a corner, so the search starts without those that hide the others.
    """
    if base.objective.robust == "none":
        base = replace(base, objective=replace(base.objective, robust="huber")).refit(points)
    out = _hiding(points, base)
    without = base.refit(points.select(~out)) if out.any() else None

    def deviations() -> Array:
        law = (base if without is None else without).law
        residual = base.objective.residuals(law.loss(points.params, points.tokens), points.loss)
        return residual / max(typical_deviation(residual[~out], coefficients=base.coordinates.count), 1e-12)

    for _ in range(_ROUNDS):
        far = np.abs(deviations()) > _OUTLIER
        if np.array_equal(far, out) or not 0 < np.count_nonzero(far) <= _MOST_OUT * len(points):
            break
        out = far
        without = base.refit(points.select(~out))
    return Outliers(
        rows=tuple(points.rows[out].tolist()),
        deviations=tuple(deviations()[out].tolist()),
        without=without,
    )


def _hiding(points: Points, base: Solution) -> Mask:
    """Return the runs without which, one after the other, the others scatter by less than half about their fit."""
    out: Mask = np.zeros(len(points), dtype=bool)
    if not _LEAST_HIDDEN <= len(points) <= _MOST_HIDDEN:
        return out

    def scatter_of(law: SurfaceLaw, runs: Points) -> float:
        residuals = base.objective.residuals(law.loss(runs.params, runs.tokens), runs.loss)
        return typical_deviation(residuals, coefficients=base.coordinates.count)

    scatter = scatter_of(base.law, points)
    while scatter > _LEAST_SCATTER and np.count_nonzero(out) + 1 <= _MOST_OUT * len(points):
        stay = np.flatnonzero(~out)
        single = 1.0 - np.eye(len(stay))
        draws = refit_surface(points.select(stay), single, base=base).draws
        left = [
            scatter_of(law_of(draw), points.select(stay[keep > 0])) for draw, keep in zip(draws, single, strict=True)
        ]
        best = int(np.argmin(left))
        if left[best] > _HIDES * scatter:
            break
        out[stay[best]], scatter = True, left[best]
    return out


def leave_one_out(points: Points, base: Solution) -> Influence:
    """Refit without each run in turn, all at once."""
    weight = 1.0 - np.eye(len(points))
    draws = refit_surface(points, weight, base=base).draws
    return Influence(rows=points.rows, shift=draws - coordinates_of(base.law))


def aicc(score: float, *, runs: int, coefficients: int, objective: Objective) -> float:
    """Return AICc of a fit with the objective ``score``; infinite where there are too few runs for it."""
    k = coefficients + 1
    if runs - k - 1 <= 0:
        return math.inf
    return deviance(score, runs=runs, objective=objective) + 2.0 * k + 2.0 * k * (k + 1) / (runs - k - 1)


def deviance(score: float, *, runs: int, objective: Objective) -> float:
    """Return -2 ln(likelihood) at the best scale of the noise, up to a constant for all forms."""
    score = max(score, 1e-300)
    if objective.robust == "none":
        return runs * math.log(score / runs)
    if objective.robust == "l1":
        return 2.0 * runs * math.log(score / runs)
    return _huber_deviance(score, runs, objective.delta)


def _huber_deviance(score: float, runs: int, delta: float) -> float:
    """Minimise 2 S/tau + 2 n ln Z(tau) over tau by golden section in ln tau; convex there.

    Z = sqrt(2 pi tau) erf(delta/sqrt(2 tau)) + (2 tau/delta) exp(-delta²/(2 tau)). Every default fit needs this one
    minimum: ``scipy.optimize`` would add an import of 0.22 s to a command that takes 1.8 s with 2,000 resamples.
    """

    def value(log_tau: float) -> float:
        tau = math.exp(log_tau)
        inner = math.sqrt(2 * math.pi * tau) * math.erf(delta / math.sqrt(2 * tau))
        outer = 2 * tau / delta * math.exp(-delta * delta / (2 * tau))
        return 2 * score / tau + 2 * runs * math.log(inner + outer)

    middle = math.log(score / runs)
    low, high = middle - 8.0, middle + 8.0
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > 1e-10:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if value(left) < value(right) else (left, high)
    return value(0.5 * (low + high))


class Design(Record):
    """Ranges (low, high) over the runs, and the shape of the sweep.

    ``sizes`` and ``token_counts`` count values that differ by more than 1 %, ``budgets`` those of an IsoFLOP sweep.
    ``ratio`` is the D/N of a design on one ray, or None; ``line`` is the standard deviation of the runs across the
    line that fits them best in (ln N, ln D). ``along`` is the line or curve that all runs lie on, or None.
    """

    runs: int
    params: tuple[float, float]
    tokens: tuple[float, float]
    flops: tuple[float, float]
    tokens_per_param: tuple[float, float]
    sizes: int
    token_counts: int
    ratio: float | None
    line: float
    budgets: int
    along: Line | None = None


def describe(points: Points) -> Design:
    """Return the ranges and the shape of the runs."""
    x, y = points.logs
    ratios = points.tokens / points.params
    low, high = _span(ratios)
    spread = np.linalg.eigvalsh(np.cov(np.stack([x, y]))) if len(points) > 1 else np.zeros(2)
    labels = isoflop_budgets(points)
    return Design(
        runs=len(points),
        params=_span(points.params),
        tokens=_span(points.tokens),
        flops=_span(points.flops),
        tokens_per_param=(low, high),
        sizes=_distinct(x),
        token_counts=_distinct(y),
        ratio=math.exp(float(np.mean(np.log(ratios)))) if high <= low * _RAY else None,
        line=math.sqrt(max(float(spread[0]), 0.0)),
        budgets=0 if labels is None else len(set(labels.tolist()) - {-1}),
        along=find_line(points),
    )


def find_line(points: Points) -> Line | None:
    """Return the line or the smooth curve in (ln N, ln D) that all runs lie on within a tenth, or None.

    Lines of one size, one token count and one ratio are found exactly; a curve is a parabola or a cubic over the
    longest direction of the runs, if there are four runs more than it has coefficients.
    """
    logs = np.stack([np.log(points.params), np.log(points.tokens)])
    middle = logs.mean(axis=1)
    spread = logs - middle[:, None]
    with np.errstate(all="ignore"):
        ends = {
            "size": (np.ptp(logs[0]), (logs[0].mean(), logs[1].min()), (logs[0].mean(), logs[1].max())),
            "data": (np.ptp(logs[1]), (logs[0].min(), logs[1].mean()), (logs[0].max(), logs[1].mean())),
            "ratio": (np.ptp(logs[1] - logs[0]), *(_on_ray(spread, middle, end) for end in (np.min, np.max))),
        }
    for width, first, last in ends.values():
        if width <= math.log(_RAY):
            return _line_through(np.array([first, last]), width)
    _, axes = np.linalg.eigh(np.cov(spread))
    along, across = axes[:, 1] @ spread, axes[:, 0] @ spread
    scaled = along / max(float(np.max(np.abs(along))), 1e-300)
    for degree in (1, 2, 3):
        if degree > 1 and len(points) < degree + 1 + _BEYOND:
            return None
        powers = np.vander(scaled, degree + 1)
        fitted = np.linalg.lstsq(powers, across, rcond=None)[0]
        rest = across - powers @ fitted
        deviation = math.sqrt(float(rest @ rest) / max(len(points) - degree - 1, 1))
        if deviation < _THIN_LINE:
            count = 2 if degree == 1 else _POINTS
            places = np.linspace(scaled.min(), scaled.max(), count)
            longest = places * np.max(np.abs(along))
            curve = (
                middle + np.outer(longest, axes[:, 1]) + np.outer(np.vander(places, degree + 1) @ fitted, axes[:, 0])
            )
            return _line_through(curve, 2 * float(np.max(np.abs(rest))))
    return None


def _levels(form: Coordinates) -> int:
    """Return how many sizes, and token counts, tell the floor from the term that they vary.

    E and B/D^beta are one number at one D, two at two; gamma is another number in both directions.
    """
    return 2 if (form.tied or form.floor is not None) and not form.outer else 3


def find_strip(points: Points, form: Coordinates) -> Line | None:
    """Return the strip between the sizes, or token counts, that are too few for the form, or None.

    Between two sizes the loss is held by both; beyond them a floor and an exponent share two numbers, and any of
    many pairs does: in trials the 90 % interval of such a fit held the truth in 6 to 7 of 10 plans.
    """
    logs = np.log(np.stack([points.params, points.tokens]))
    for k in (0, 1):
        if _distinct(logs[k]) < _levels(form):
            low, high = (float(end(logs[k])) for end in (np.min, np.max))
            ends = np.stack([logs.min(axis=1), logs.max(axis=1)])
            ends[:, k] = 0.5 * (low + high)
            return _line_through(ends, high - low)
    return None


def _on_ray(spread: Array, middle: Array, end: Callable[[Array], float]) -> tuple[float, float]:
    """Return the point at one end of runs of one ratio, whose logarithms lie at ``spread`` about the ``middle``."""
    place = end(0.5 * (spread[0] + spread[1]))
    return middle[0] + place, middle[1] + place


def _line_through(logs: Array, width: float) -> Line | None:
    """Return the line through points in the logarithms, of runs within half ``width`` of it."""
    if np.ptp(logs, axis=0).max() <= math.log(_RAY):  # runs of one size on one token count are nearly a point
        logs = logs.mean(axis=0) + _THIN_LINE * np.array([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]])
    params, tokens = np.array([[float(f"{value:.12g}") for value in pair] for pair in np.exp(logs)]).T
    within = math.exp(max(_THIN_LINE, 0.5 * width))
    return Line(params=tuple(params.tolist()), tokens=tuple(tokens.tolist()), within=within)


def isoflop_budgets(points: Points) -> Index | None:
    """Return the budget of each run, numbered from the smallest with -1 for runs of none, or None.

    A budget is a set of at least four sizes with nearly equal compute; a sweep has at least two budgets that
    hold four fifths of the runs.
    """
    logs = np.log(points.flops)
    order = np.argsort(logs, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(logs[order]) > BUDGET_GAP) + 1, len(order))
    labels = np.full(len(points), -1, dtype=np.intp)
    begin, found = 0, 0
    for end in ends.tolist():
        members = order[begin:end]
        narrow = np.ptp(logs[members]) <= _BUDGET_WIDTH
        if narrow and _distinct(points.logs[0][members]) >= _RUNS_PER_BUDGET:
            labels[members] = found
            found += 1
        begin = end
    inside = np.count_nonzero(labels >= 0)
    return labels if found >= 2 and inside >= _SHARE_IN_BUDGETS * len(points) else None


def distinct_budgets(points: Points) -> Index | None:
    """Return the budget of each run, numbered from the smallest, or None where compute is spread evenly.

    Budgets of any number of runs count; runs of one differ in compute by rounding and by whole steps.
    """
    logs = np.log(points.flops)
    order = np.argsort(logs, kind="stable")
    labels = np.empty(len(points), dtype=np.intp)
    labels[order] = np.concatenate([[0], np.cumsum(np.diff(logs[order]) > BUDGET_GAP)])
    count = int(labels.max()) + 1
    wide = any(np.ptp(logs[labels == k]) > _BUDGET_WIDTH for k in range(count))
    return None if wide or 2 * count > len(points) else labels


def below_largest_budget(points: Points) -> Mask:
    """Return which runs lie below the largest budget, or below the largest fifth of runs without budgets."""
    labels = distinct_budgets(points)
    if labels is None or labels.max() == 0:
        return np.asarray(points.flops <= np.quantile(points.flops, 0.8))
    return np.asarray(labels < labels.max())


def _span(values: Array) -> tuple[float, float]:
    return float(np.min(values)), float(np.max(values))


def _distinct(logs: Array) -> int:
    """Count the values that differ by more than 1 %: of scattered ones as many as have room."""
    ordered = np.sort(logs)
    ends = np.flatnonzero(np.diff(ordered) > _SAME)
    spans = ordered[np.append(ends, len(ordered) - 1)] - ordered[np.append(0, ends + 1)]
    return int(np.sum(1 + np.floor(spans / (2 * _SAME))))
