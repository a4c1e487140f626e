"""Backtest the fit of a surface: how well earlier, smaller runs would have predicted the later, larger ones.

For a ladder of cuts the law is fitted to the runs at or below the cut and predicts every run above it. Signed errors
that agree across cuts mean that the law is wrong there, which no resampling of runs can show: on six public sweeps
the bootstrap interval of a hundredfold extrapolation missed every held-out run. The band of a prediction has both:
its relative variance is the resampling variance plus (backtest rms at a comparable factor)².
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.bootstrap import Bootstrap, bootstrap
from scaleplan.fitting.diagnosis import distinct_budgets, find_line
from scaleplan.fitting.noise import cells_by_rounding
from scaleplan.fitting.objective import rms, robust_rms
from scaleplan.fitting.surface_fit import fit_additive
from scaleplan.planning.uncertainty import backtest_rms, sigmas_of
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.fitting.runs import Points
    from scaleplan.fitting.surface_fit import Solution
    from scaleplan.laws.base import Curve, Law

__all__ = [
    "LEAST_RUNS",
    "Backtest",
    "Cut",
    "Holdout",
    "backtest_curve",
    "backtest_points",
    "band",
    "below_largest_budget",
    "hold_out",
    "ladder",
]

_EDGES = (1.0, 2.0, 5.0, 10.0, 30.0, 100.0, 300.0, math.inf)
LEAST_RUNS = 12
"""Runs below a cut, of which fewer predict nothing."""
_LEAST_SHARE, _LEAST_BUDGETS, _LEAST_ABOVE = 0.25, 3, 3
_MOST_CUTS, _MOST_CURVE_CUTS = 8, 4
_NATURAL = math.log(2.0)  # a gap in ln C among scattered runs where anyone would cut
_APART = 0.01  # in ln C: compute that differs by less is one value, up to rounding
_ROUNDING = 1e-9  # errors of a fit without noise

_PUBLIC = ((5.0, 0.012), (23.0, 0.019), (100.0, 0.07))
"""How far this law misses at factors beyond the runs: the middle of six public sweeps, cut at every budget.

They stand in where no cut of the runs themselves is possible: a fit inside its own data says nothing of this.
"""


class Cut(Record, eq=False):
    """A fit to the runs at or below ``flops``, and its errors on those above.

    ``error`` is the relative error (predicted - observed)/observed of each run above, ``factor`` its compute
    over the cut, ``covered`` whether the resampling interval of the law held the run (None without resampling).
    """

    flops: float
    runs: int
    law: Law
    rows: tuple[int, ...]
    factor: Array
    error: Array
    covered: Mask | None


class Bin(Record):
    """The errors of all cuts at comparable factors of extrapolation, ``factors`` = (least, largest).

    ``spread`` is the root mean square ``rms`` without what single wild runs add to it.
    """

    factors: tuple[float, float]
    middle: float
    runs: int
    bias: float
    rms: float
    coverage: float | None
    spread: float = 0.0

    def __str__(self) -> str:
        text = f"at ×{self.middle:.3g} beyond the data: bias {self.bias:+.1%}, rms {self.rms:.1%}"
        return text if self.coverage is None else f"{text}, coverage {round(self.coverage * self.runs)}/{self.runs}"


class Backtest(Record, eq=False):
    """The ladder of cuts, and its errors by factor of extrapolation.

    ``inside`` is the root mean square of the relative residuals of the fit to all runs, and ``scatter`` the error to
    expect at factor 1: without what single wild runs add, and with what the coefficients took from the residuals.
    """

    cuts: tuple[Cut, ...]
    bins: tuple[Bin, ...]
    inside: float
    scatter: float
    level: float

    @property
    def _known(self) -> list[tuple[float, float]]:
        """Factors beyond 1 with their errors: of the runs, and of public sweeps where these show fewer than three."""
        own = [(item.factors[0], item.spread) for item in self.bins]
        return own if sum(item.runs for item in self.bins) >= _LEAST_ABOVE else sorted([*own, *_PUBLIC])

    @property
    def factors(self) -> tuple[float, ...]:
        """The factors of :attr:`rms`: 1, then the least of each bin.

        An error stands for its bin from there on: up to the middle of the first bin it would else be mixed with the
        scatter inside the data, which on public sweeps promised less than runs just beyond a cut showed.
        """
        return (1.0, *(factor for factor, _ in self._known))

    @property
    def rms(self) -> tuple[float, ...]:
        """The relative error to expect at each factor, which never falls with distance.

        A bin of few runs with small errors by chance must not promise more far out than near by.
        """
        return tuple(np.maximum.accumulate([self.scatter, *(error for _, error in self._known)]).tolist())

    @property
    def largest_factor(self) -> float:
        """The largest factor that was tested."""
        return self.bins[-1].factors[1] if self.bins else 1.0

    @property
    def one_sided(self) -> bool:
        """Whether the cuts err in one direction by more than their scatter: the law, not noise."""
        means = [float(np.mean(cut.error)) for cut in self.cuts]
        agree = all(mean > 0 for mean in means) or all(mean < 0 for mean in means)
        return len(means) >= 3 and agree and abs(float(np.mean(means))) > max(self.inside, _ROUNDING)

    def expected(self, factor: float) -> tuple[float, bool]:
        """Return the relative error to expect at a factor, and whether it is extrapolated beyond what was tested."""
        return backtest_rms(self.factors, self.rms, max(factor, 1.0)), factor > self.largest_factor


def backtest_points(
    points: Points,
    base: Solution,
    *,
    samples: int = 200,
    seed: int = 0,
    level: float = 0.9,
    clusters: Sequence[object] | None = None,
    every: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Backtest:
    """Fit below and predict above each cut of the ladder, with the objective and the form of ``base``.

    ``samples`` resamples for each cut give the coverage of the resampling interval; 0 leaves it out. Points with
    equal labels in ``clusters`` are resampled together. ``every`` cuts between all budgets of a sweep, however many.
    ``progress`` is called with the number of cuts done.
    """
    cuts = []
    for done, flops in enumerate(ladder(points, every=every), start=1):
        below = points.flops <= flops
        kept = None if clusters is None else [clusters[k] for k in np.flatnonzero(below).tolist()]
        cuts.append(_cut(points, below, base, samples=samples, seed=seed, level=level, clusters=kept))
        if progress is not None:
            progress(done)
    missed = base.law.loss(points.params, points.tokens) / points.loss - 1.0
    return _backtest(cuts, missed, coefficients=base.coordinates.count, level=level)


def _backtest(cuts: list[Cut], missed: Array, *, coefficients: int, level: float) -> Backtest:
    """Return the backtest of some cuts, with the relative errors of the fit to all runs."""
    taken = math.sqrt(len(missed) / max(len(missed) - coefficients, 1))
    return Backtest(
        cuts=tuple(cuts), bins=_bins(cuts), inside=rms(missed), scatter=taken * robust_rms(missed), level=level
    )


def ladder(points: Points, *, every: bool = False) -> tuple[float, ...]:
    """Return the cuts, ascending: between the budgets of a sweep, or evenly spaced in ln C and at wide gaps.

    Below each are at least 12 runs, of three budgets (two in a sweep of three) or a quarter of scattered runs, that
    determine more than a line. No cut parts runs of one budget. Of more than eight those at the largest gaps are
    kept, unless ``every`` one is wanted.
    """
    order = np.argsort(points.flops, kind="stable")
    values = points.flops[order]
    gaps = np.diff(np.log(values))
    labels = distinct_budgets(points)
    last = np.arange(1, len(values))  # the number of runs below the cut at each gap
    if labels is not None:
        budgets = labels[order][:-1]
        wanted = (np.diff(labels[order]) > 0) & (budgets + 1 >= min(_LEAST_BUDGETS, int(labels.max())))
    else:
        least = math.ceil(_LEAST_SHARE * len(values))
        inside = (last >= max(least, LEAST_RUNS)) & (last <= len(values) - _LEAST_ABOVE) & (gaps > _APART)
        wanted = inside & (gaps > _NATURAL)
        if inside.any():
            places = values[last[inside] - 1]
            grid = np.geomspace(places[0], places[-1], _MOST_CUTS) * (1 + 1e-12)
            even = last[inside][np.unique(np.searchsorted(places, grid, side="right") - 1)]
            wanted[even - 1] = True
    chosen = np.flatnonzero(wanted & (last >= LEAST_RUNS))
    if not every:
        chosen = chosen[np.argsort(-gaps[chosen], kind="stable")[:_MOST_CUTS]]
    cuts = values[np.sort(chosen)]
    return tuple(cut for cut in cuts.tolist() if find_line(points.select(points.flops <= cut)) is None)


def backtest_curve(
    refit: Callable[[Mask], Curve], base: Curve, x: Array, observed: Array, *, coefficients: int, level: float = 0.9
) -> Backtest:
    """Fit a curve below and predict above each of four cuts in x, those at the largest gaps.

    ``refit`` fits the rows of a mask, of which there are two more below a cut than ``coefficients``, and one above.
    """
    cells = cells_by_rounding(x)
    values = np.array([np.max(x[cells == k]) for k in range(int(cells.max()) + 1)])
    last = np.arange(1, len(values))
    usable = last[last >= coefficients + 2]
    chosen = usable[np.argsort(-np.diff(np.log(values))[usable - 1], kind="stable")[:_MOST_CURVE_CUTS]]
    cuts = []
    for most in np.sort(values[chosen - 1]).tolist():
        below = x <= most
        law = refit(below)
        cuts.append(
            Cut(
                flops=most,
                runs=int(np.count_nonzero(below)),
                law=law,
                rows=tuple((np.flatnonzero(~below) + 1).tolist()),
                factor=x[~below] / most,
                error=_missed(law, x[~below], observed[~below]),
                covered=None,
            )
        )
    return _backtest(cuts, _missed(base, x, observed), coefficients=coefficients, level=level)


def _missed(law: Curve, x: Array, observed: Array) -> Array:
    """Return the relative errors of a curve of one input."""
    (name,) = law.inputs
    errors: Array = np.asarray(law.value(**{name: x})) / observed - 1.0
    return errors


def _cut(
    points: Points,
    below: Mask,
    base: Solution,
    *,
    samples: int,
    seed: int,
    level: float,
    clusters: list[object] | None,
) -> Cut:
    lower, upper = points.select(below), points.select(~below)
    fit = base.refit(lower)
    law = fit.law
    covered = None
    if samples:
        resamples = bootstrap(lower, fit, samples=samples, seed=seed, clusters=clusters)
        resampled = resamples.log_losses(upper.params, upper.tokens)
        low, high = np.quantile(resampled, (0.5 - level / 2, 0.5 + level / 2), axis=0)
        off = np.abs(np.log(law.loss(upper.params, upper.tokens)) - np.log(upper.loss))
        covered = off <= 0.5 * resamples.stretch(level) * (high - low)
    return Cut(
        flops=float(np.max(lower.flops)),
        runs=len(lower),
        law=law,
        rows=tuple(upper.rows.tolist()),
        factor=upper.flops / np.max(lower.flops),
        error=law.loss(upper.params, upper.tokens) / upper.loss - 1.0,
        covered=covered,
    )


def _bins(cuts: list[Cut]) -> tuple[Bin, ...]:
    if not cuts:
        return ()
    factor, error = np.concatenate([cut.factor for cut in cuts]), np.concatenate([cut.error for cut in cuts])
    hits = [cut.covered for cut in cuts if cut.covered is not None]
    covered = np.concatenate(hits) if hits else None
    return tuple(
        Bin(
            factors=(float(np.min(factor[members])), float(np.max(factor[members]))),
            middle=float(np.exp(np.mean(np.log(factor[members])))),
            runs=int(np.count_nonzero(members)),
            bias=float(np.mean(error[members])),
            rms=rms(error[members]),
            coverage=None if covered is None else float(np.mean(covered[members])),
            spread=robust_rms(error[members]),
        )
        for members in _comparable(factor)
    )


def _comparable(factor: Array) -> list[Mask]:
    """Return the members of each bin; one with fewer than three is joined to the next, the last to the one before."""
    parts = [np.flatnonzero((factor >= low) & (factor < high)) for low, high in pairwise(_EDGES)]
    bins: list[Index] = [np.empty(0, dtype=np.intp)]
    for part in parts:
        if len(bins[-1]) >= _LEAST_ABOVE and len(part):
            bins.append(part)
        else:
            bins[-1] = np.concatenate([bins[-1], part])
    if len(bins) > 1 and len(bins[-1]) < _LEAST_ABOVE:
        few = bins.pop()
        bins[-1] = np.concatenate([bins[-1], few])
    return [np.isin(np.arange(len(factor)), members) for members in bins if len(members)]


class Band(Record):
    """A predicted loss with both kinds of error; ``guess`` when the factor exceeds what was backtested."""

    loss: float
    low: float
    high: float
    resampling: float
    misfit: float
    guess: bool


class Holdout(Record):
    """The largest runs held out, predicted with bands from the smaller ones alone.

    ``coverage`` is the share of held-out runs inside the combined band, ``resampling_coverage`` that inside the
    resampling interval, ``width`` the mean relative width of the combined band.
    """

    rows: tuple[int, ...]
    factor: float
    bias: float
    rms: float
    coverage: float
    resampling_coverage: float
    width: float


def band(
    resamples: Bootstrap, backtest: Backtest, *, params: float, tokens: float, factor: float, level: float = 0.9
) -> Band:
    """Return the loss at (params, tokens) with its combined interval.

    The variance of ln L is that of the resamples, from the width of their percentile interval, plus the square of
    the backtested relative error at ``factor`` times the largest compute of the fit. Beyond the largest tested
    factor that error is extended linearly in ln(factor), and the band is marked as a guess.
    """
    sigmas = sigmas_of(level)
    low, high = resamples.interval(lambda law: np.log(law.loss(params, tokens)), level=level)
    resampling = 0.5 * (high - low) / sigmas
    misfit, guess = backtest.expected(factor)
    reach = sigmas * math.hypot(resampling, misfit)
    loss = float(resamples.law.loss(params, tokens))
    return Band(
        loss=loss,
        low=loss * math.exp(-reach),
        high=loss * math.exp(reach),
        resampling=resampling,
        misfit=misfit,
        guess=guess,
    )


def below_largest_budget(points: Points) -> Mask:
    """Return which runs lie below the largest budget, or below the largest fifth of runs without budgets."""
    labels = distinct_budgets(points)
    if labels is None or labels.max() == 0:
        return np.asarray(points.flops <= np.quantile(points.flops, 0.8))
    return np.asarray(labels < labels.max())


def hold_out(
    points: Points,
    base: Solution | None = None,
    *,
    samples: int = 200,
    seed: int = 0,
    level: float = 0.9,
    clusters: Sequence[object] | None = None,
) -> Holdout:
    """Hold out the largest runs and predict them from the rest, with the objective and the form of ``base``.

    Points with equal labels in ``clusters`` are resampled together.

    Raises UsageError when too few runs are left below.
    """
    below = below_largest_budget(points)
    rest, held = points.select(below), points.select(~below)
    if len(rest) < LEAST_RUNS:
        raise UsageError(f"{len(rest)} runs below the largest budget are too few to predict it")
    fit = fit_additive(rest) if base is None else base.refit(rest)
    kept = None if clusters is None else [clusters[k] for k in np.flatnonzero(below).tolist()]
    resamples = bootstrap(rest, fit, samples=samples, seed=seed, clusters=kept)
    backtest = backtest_points(rest, fit, samples=0)
    largest = float(np.max(rest.flops))
    bands = [
        band(resamples, backtest, params=float(n), tokens=float(d), factor=float(c) / largest, level=level)
        for n, d, c in zip(held.params, held.tokens, held.flops, strict=True)
    ]
    sigmas = sigmas_of(level)
    error = np.array([item.loss for item in bands]) / held.loss - 1.0
    reach = np.array([math.log(item.high / item.loss) for item in bands])
    narrow = np.array([sigmas * item.resampling for item in bands])
    off = np.abs(np.log1p(error))
    return Holdout(
        rows=tuple(held.rows.tolist()),
        factor=float(np.exp(np.mean(np.log(held.flops / largest)))),
        bias=float(np.mean(error)),
        rms=rms(error),
        coverage=float(np.mean(off <= reach)),
        resampling_coverage=float(np.mean(off <= narrow)),
        width=float(np.mean(2.0 * reach)),
    )
