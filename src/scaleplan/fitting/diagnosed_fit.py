"""Fit a surface to runs with its diagnosis: what the runs determine, how precisely, and by other choices."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scaleplan.errors import UnreachableError
from scaleplan.fitting.bootstrap import bootstrap
from scaleplan.fitting.diagnosis import (
    aicc,
    below_largest_budget,
    describe,
    diagnose,
    find_line,
    find_outliers,
    information,
    isoflop_budgets,
    leave_one_out,
    repeats_test,
)
from scaleplan.fitting.noise import count_distinct, require_distinct
from scaleplan.fitting.objective import central_interval, half_width, rms, typical_deviation
from scaleplan.fitting.parallel import ALONE, Jobs
from scaleplan.fitting.runs import row_text
from scaleplan.fitting.surface_fit import Coordinates, fit_surface
from scaleplan.planning.planner import Planner
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from scaleplan.arrays import Mask
    from scaleplan.fitting.bootstrap import Bootstrap
    from scaleplan.fitting.diagnosis import Design, Flag, Influence, Information, Outliers
    from scaleplan.fitting.noise import LackOfFit
    from scaleplan.fitting.objective import Objective
    from scaleplan.fitting.runs import Points
    from scaleplan.fitting.surface_fit import Solution, SurfaceLaw
    from scaleplan.presets.preset import Preset

__all__ = ["Coefficient", "DiagnosedFit", "Variation", "fit_points", "variations"]

_AS_WELL = 2.0  # differences of AICc below are noise
_LEAST_RUNS = 12  # from which a plain law, which has no prior, is tried on others
_EVERY_RUN = 1000  # runs up to which each is left out in turn
_COEFFICIENTS = {name: name for name in ("E", "alpha", "beta", "gamma")} | {
    "a": "params_exponent",
    "A": "A",
    "B": "B",
}


class Coefficient(Record):
    """A fitted number, its standard error, and its percentile interval over the resamples; None without resamples."""

    name: str
    value: float
    error: float | None = None
    interval: tuple[float, float] | None = None


class Alternative(Record):
    """A simpler form fitted to the same runs; ``aicc_excess`` is its AICc less that of the fit.

    Negative: the simpler form explains the runs as well. Differences under 2 are noise, and AICc says little of runs
    beyond the data: in 81 real splits it chose the best extrapolator of four forms in 28 %, where chance is 25 %.
    ``held_out_excess`` is therefore how much more it misses the largest runs by, fitted to the rest, than the fit's
    own form does: a difference of relative errors (rms), None where AICc speaks against it or the rest is too few.
    """

    name: str
    law: SurfaceLaw
    score: float
    aicc_excess: float
    held_out_excess: float | None = None


class Residuals(Record):
    """Residuals in the unit of the objective (log loss, or loss): fitted minus observed.

    ``spread`` is the robust standard deviation (1.4826 times the median of |r|); ``inside`` the share within delta
    (None without delta); ``largest`` the row and the residual of the run farthest from the law.
    """

    rms: float
    spread: float
    inside: float | None
    kurtosis: float
    skewness: float
    largest: tuple[int, float]


class DiagnosedFit(Record, eq=False):
    """A surface fitted to runs, and its diagnosis.

    ``flags`` are reservations, gravest first. ``repeats`` is the test by repeated runs, None without such.
    ``influence`` is None above 1,000 runs, ``resamples`` where the bootstrap was left out.
    """

    points: Points
    solution: Solution
    design: Design
    known: Information
    flags: tuple[Flag, ...]
    outliers: Outliers
    influence: Influence | None
    alternatives: tuple[Alternative, ...]
    repeats: LackOfFit | None
    resamples: Bootstrap | None

    @property
    def law(self) -> SurfaceLaw:
        """The fitted law in raw units."""
        return self.solution.law

    @property
    def identified(self) -> bool:
        """Whether the runs determine the size term apart from the data term."""
        return not any(flag.unidentified for flag in self.flags)

    @property
    def refusal(self) -> str | None:
        """Why the law must not choose D/N, or None where it may."""
        reasons = [flag.message for flag in self.flags if flag.unidentified]
        return "; ".join(reasons) or None

    @property
    def residuals(self) -> Residuals:
        """A summary of the residuals."""
        values = self.solution.residuals
        centred = values - np.mean(values)
        variance = float(np.mean(centred**2))
        scaled = centred / math.sqrt(variance) if variance > 0 else 0 * centred  # a law through every run
        far = int(np.argmax(np.abs(values)))
        return Residuals(
            rms=rms(values),
            spread=typical_deviation(values),
            inside=self.solution.objective.share_inside(values),
            kurtosis=float(np.mean(scaled**4)),
            skewness=float(np.mean(scaled**3)),
            largest=(int(self.points.rows[far]), float(values[far])),
        )

    def coefficients(self, *, level: float = 0.9) -> tuple[Coefficient, ...]:
        """Return E, alpha, beta, gamma, a = beta/(alpha + beta), A and B, with errors where there are resamples.

        An additive law has no gamma. A and B are correlated with their exponents to three nines: their own errors
        mean little.
        """
        laws = None if self.resamples is None else self.resamples.laws()
        found = []
        for name, field in _COEFFICIENTS.items():
            if not hasattr(self.law, field):
                continue
            value = getattr(self.law, field)
            if laws is None or self.resamples is None:
                found.append(Coefficient(name=name, value=value))
                continue
            draws = np.asarray(getattr(laws, field))
            if np.ptp(draws) == 0:  # held by the user, or on a bound in each: no width is no knowledge
                found.append(Coefficient(name=name, value=value))
                continue
            # the draws of A and B are log-normal
            error = half_width(draws) if name in {"A", "B"} else float(np.std(draws, ddof=1))
            low, high = central_interval(draws, level, stretch=self.resamples.stretch(level))
            # resamples of two populations may gather away from the estimate, which no interval may leave out
            held = (min(low, value), max(high, value))
            found.append(Coefficient(name=name, value=value, error=error, interval=held))
        return tuple(found)


def fit_points(
    points: Points,
    *,
    coordinates: Coordinates | None = None,
    objective: Objective | None = None,
    samples: int = 2000,
    seed: int = 0,
    clusters: Sequence[object] | None = None,
    doubtful: Collection[int] = (),
    jobs: Jobs = ALONE,
    progress: Callable[[int], None] | None = None,
) -> DiagnosedFit:
    """Fit a surface to runs, the additive law unless ``coordinates`` say otherwise, and diagnose the fit.

    The objective is that of :func:`scaleplan.fitting.surface_fit.fit_surface`, the resamples (0 for none) those of
    :func:`scaleplan.fitting.bootstrap.bootstrap`, which keep the number of runs per budget of an IsoFLOP sweep.

    The rows ``doubtful`` and the outliers of the fit take part in the fit and in nothing that measures its errors:
    neither the resamples nor the test by repeats, unless too few runs are left.

    Raises UsageError unless two more runs differ than the form has coefficients.
    """
    form = coordinates or Coordinates()
    require_distinct(points.params, points.tokens, coefficients=form.count)
    solution = fit_surface(points, form, objective=objective)
    design, known = describe(points), information(points, solution)
    outliers = find_outliers(points, solution)
    sound, clean, kept = _sound(points, solution, outliers, doubtful)
    if clusters is not None:
        clusters = [clusters[k] for k in np.flatnonzero(kept).tolist()]
    resamples = None
    if samples:
        budgets = isoflop_budgets(sound) if clusters is None else None
        resamples = bootstrap(
            sound,
            clean,
            samples=samples,
            seed=seed,
            clusters=clusters,
            strata=None if budgets is None else budgets.tolist(),
            jobs=jobs,
            progress=progress,
        ).moved_to(solution.law)
    repeats = repeats_test(sound, clean)
    return DiagnosedFit(
        points=points,
        solution=solution,
        design=design,
        known=known,
        flags=diagnose(points, solution, design=design, known=known, resamples=resamples, repeats=repeats),
        outliers=outliers,
        influence=leave_one_out(points, solution) if len(points) <= _EVERY_RUN else None,
        alternatives=() if design.along is not None else _alternatives(points, solution),
        repeats=repeats,
        resamples=resamples,
    )


def _sound(
    points: Points, solution: Solution, outliers: Outliers, doubtful: Collection[int]
) -> tuple[Points, Solution, Mask]:
    """Return the runs that measure errors, their own fit, and which they are."""
    kept: Mask = ~np.isin(points.rows, [*outliers.rows, *doubtful])
    sound = points.select(kept)
    few = count_distinct(sound.params, sound.tokens) < solution.coordinates.count + 2
    if few or kept.all():
        return points, solution, np.ones(len(points), dtype=bool)
    return sound, solution.refit(sound), kept


_SIMPLER: tuple[dict[str, Any], ...] = (
    {"outer": False},
    {"tied": True},
    {"floor": 0.0},
    {"outer": False, "tied": True},
    {"tied": True, "floor": 0.0},
)
_NAMES = {"outer": "gamma = 1", "tied": "alpha = beta", "floor": "E = 0"}


def _alternatives(points: Points, solution: Solution) -> tuple[Alternative, ...]:
    """Fit the simpler nested forms: without gamma, with tied exponents, no floor, and two of these at once."""
    form, objective = solution.coordinates, solution.objective

    def criterion(fit: Solution) -> float:
        return aicc(fit.score, runs=len(points), coefficients=fit.coordinates.count, objective=objective)

    own, out, missed = criterion(solution), [], _held_out(points, solution)
    for changes in _SIMPLER:
        simpler = replace(form, **changes)
        if simpler.count != form.count - len(changes):  # one of them is so already, or is held at another value
            continue
        other = fit_surface(points, simpler, objective=objective)
        its = criterion(other)
        excess = its - own if math.isfinite(its) else math.inf
        held = {"outer": form.outer and not simpler.outer, "tied": simpler.tied, "floor": simpler.floor == 0}
        name = ", ".join(_NAMES[change] for change, is_held in held.items() if is_held)
        its_own = _held_out(points, other) if excess < _AS_WELL else None
        further = None if missed is None or its_own is None else its_own - missed
        alternative = Alternative(
            name=name, law=other.law, score=other.score, aicc_excess=excess, held_out_excess=further
        )
        out.append(alternative)
    return tuple(out)


def _held_out(points: Points, solution: Solution) -> float | None:
    """Return the relative error (rms) of the largest runs as a form predicts them from the rest, or None."""
    below = below_largest_budget(points)
    rest, held = points.select(below), points.select(~below)
    if len(rest) < _LEAST_RUNS or not len(held) or find_line(rest) is not None:
        return None
    return rms(solution.refit(rest).law.loss(held.params, held.tokens) / held.loss - 1.0)


class Variation(Record):
    """The fit by another choice; ``params`` and ``loss`` are the optimum's at the target budget."""

    name: str
    E: float
    alpha: float
    beta: float
    params: float
    loss: float


def variations(found: DiagnosedFit, preset: Preset, *, flops: float) -> tuple[Variation, ...]:
    """Fit by simpler forms, without outliers, to the other kind of residuals, and without the largest budget.

    ``flops`` is the budget of the optima, and ``preset`` the fit's own, whose cost they take.
    """
    points, base = found.points, found.solution
    objective, coordinates = base.objective, base.coordinates
    refit = partial(fit_surface, coordinates=coordinates, objective=objective)
    solutions = {"as fitted": base}
    if found.outliers.without is not None:
        solutions[f"without rows {row_text(found.outliers.rows)}"] = found.outliers.without
    for change, value in (("outer", False), ("tied", True)):
        if getattr(coordinates, change) != value:
            solutions[_NAMES[change]] = refit(points, coordinates=replace(coordinates, **{change: value}))
    middle = float(np.median(points.loss))  # a step of log loss is a step of loss over the loss
    other = replace(
        objective,
        residual="linear" if objective.is_log else "log",
        delta=objective.delta * middle if objective.is_log else objective.delta / middle,
    )
    name = "raw-loss residuals" if objective.is_log else "log-loss residuals"
    solutions[name] = refit(points, objective=other)
    rest = points.select(below_largest_budget(points))
    if len(rest) >= coordinates.count:
        solutions["without the largest budget"] = refit(rest)
    planner = Planner(preset=preset)
    found_by = []
    for name, solution in solutions.items():
        law = solution.law
        try:
            params, _, loss = planner.frontier_for(law).best(flops)
        except (ArithmeticError, UnreachableError):  # a choice whose law ran off has no optimum to show
            continue
        assert loss is not None  # a surface has one
        found_by.append(Variation(name=name, E=law.E, alpha=law.alpha, beta=law.beta, params=params, loss=loss))
    return tuple(found_by)
