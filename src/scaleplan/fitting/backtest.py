"""Backtest a forecast: how well earlier, smaller runs would have predicted the later, larger ones.

At each cut the whole procedure is repeated on the runs at or below it: the law with its discrepancy, the groups, the
weights of outliers (:mod:`~scaleplan.fitting.forecaster`). It predicts every run above, with the interval of one run,
and nothing that it sees depends on these. The plain law is fitted beside it, so that its errors show what the
discrepancy brings.

An interval is judged by how often it holds the runs, and by the interval score of Gneiting and Raftery (2007,
Strictly proper scoring rules, prediction, and estimation, JASA 102, 359-378): its width, and 2/(1 - level) times the
distance of a run outside. Neither a wide interval that always holds nor a narrow one that misses scores well.

Runs below a cut may lie on a line though all runs do not. Such a forecast is that of another, poorer design, with
intervals as wide as the priors off the line, and says nothing of the forecast from all runs: these cuts are left
out. Where all runs lie on a line, it is the same design, and its cuts are kept.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.bootstrap import bootstrap
from scaleplan.fitting.diagnosis import distinct_budgets, find_line
from scaleplan.fitting.forecaster import fit_forecast
from scaleplan.fitting.noise import count_distinct
from scaleplan.fitting.objective import rms
from scaleplan.planning.uncertainty import sigmas_of
from scaleplan.record import Record
from scaleplan.units import counted, format_fraction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from scaleplan.arrays import Array, Floats, Index, Mask
    from scaleplan.fitting.bootstrap import Bootstrap
    from scaleplan.fitting.runs import Points
    from scaleplan.fitting.surface_fit import Solution, SurfaceLaw

__all__ = [
    "Backtest",
    "Bin",
    "Cut",
    "Holdout",
    "Scores",
    "backtest_points",
    "check_forecast",
    "comparable",
    "interval_score",
    "ladder",
]

_LEAST_DISTINCT = 6  # different (N, D) below a cut: as many as the law of a forecast has coefficients
_EDGES = (1.0, 2.0, 5.0, 10.0, 30.0, 100.0, 300.0, math.inf)  # of bins of the factor of extrapolation
_FEW = 3  # predictions: a bin with fewer is joined to the next
_LEAST_SHARE, _LEAST_ABOVE = 0.25, 3  # of scattered runs: the share below the first cut, the runs above the last
_EVEN_CUTS, _SHARE_ABOVE = 8, 0.05  # of scattered runs: cuts even in ln C, and the share above the last of these
_NATURAL = math.log(2.0)  # a gap in ln C among scattered runs where anyone would cut
_APART = 0.01  # in ln C: compute that differs by less is one value, up to rounding
_MOST_PREDICTED = 1000  # runs above a cut: coverage is then known to 1 %
_CHECKED = (0.5, 0.7)  # shares of the range of ln C below which a fit checks its own forecast
_ROUNDING = 1e-9  # errors of a fit without noise


class Cut(Record, eq=False):
    """The forecast from the runs at or below ``flops``, beside what the runs above it turned out to be.

    For each run above, in the order of ``rows``: ``factor`` is its compute over the cut, ``loss`` the measured loss,
    ``forecast`` the predicted one, ``low`` and ``high`` its interval of one run at ``level``. ``law`` is the plain
    law fitted to the same runs, with what it predicts, and ``covered`` whether the interval of its resamples held the
    run (None without resamples). ``share`` is the part of the range of ln C below the cut where that chose it.
    """

    flops: float
    runs: int
    level: float
    rows: tuple[int, ...]
    factor: Array
    loss: Array
    forecast: Array
    low: Array
    high: Array
    law: SurfaceLaw
    law_loss: Array
    covered: Mask | None = None
    share: float | None = None

    @property
    def error(self) -> Array:
        """The relative errors of the forecast: predicted over measured loss, minus 1."""
        return self.forecast / self.loss - 1.0

    @property
    def inside(self) -> Mask:
        """Which runs lie inside their interval."""
        return (self.low <= self.loss) & (self.loss <= self.high)

    @property
    def gap(self) -> float:
        """The least compute above the cut, over that of the cut."""
        return float(np.min(self.factor))

    @property
    def scores(self) -> Scores:
        """How the forecast met the runs above."""
        return Scores.of([self])


class Scores(Record):
    """How predictions met the runs: numbers relative to the measured loss.

    ``bias`` and ``rms`` are the mean and the root mean square of the errors, ``coverage`` the share of runs inside
    their interval, ``width`` and ``score`` the means of the width of the interval and of its score (which is the
    width where the run is inside). ``law_rms`` is the rms of the plain law, and ``resampling_coverage`` the share of
    runs inside the interval of its resamples, None without these.
    """

    runs: int
    bias: float
    rms: float
    coverage: float
    width: float
    score: float
    law_rms: float
    resampling_coverage: float | None = None

    @property
    def inside(self) -> int:
        """The number of runs inside their interval."""
        return round(self.coverage * self.runs)

    @classmethod
    def of(cls, cuts: Sequence[Cut], where: Mask | None = None) -> Scores:
        """Return the scores of the predictions of some cuts, one after the other, or of those of them ``where``."""

        def joined(values: Iterable[Array | Mask]) -> Array:
            every = np.concatenate([*values])
            return every if where is None else every[where]

        errors = joined(cut.error for cut in cuts)
        widths = joined((cut.high - cut.low) / cut.loss for cut in cuts)
        scores = joined(interval_score(cut.loss, cut.low, cut.high, level=cut.level) / cut.loss for cut in cuts)
        resampled = [cut.covered for cut in cuts if cut.covered is not None]
        return cls(
            runs=len(errors),
            bias=float(np.mean(errors)),
            rms=rms(errors),
            coverage=float(np.mean(joined(cut.inside for cut in cuts))),
            width=float(np.mean(widths)),
            score=float(np.mean(scores)),
            law_rms=rms(joined(cut.law_loss / cut.loss - 1.0 for cut in cuts)),
            resampling_coverage=float(np.mean(joined(resampled))) if len(resampled) == len(cuts) else None,
        )


class Bin(Record):
    """The predictions of all cuts at comparable factors of extrapolation, ``factors`` = (least, largest)."""

    factors: tuple[float, float]
    middle: float
    scores: Scores


class Holdout(Record):
    """The largest runs, as predicted from all others: those above the last cut; ``factor`` is their middle one."""

    rows: tuple[int, ...]
    factor: float
    scores: Scores


class Backtest(Record, eq=False):
    """The cuts, ascending, and their predictions by factor of extrapolation.

    ``inside`` is the root mean square of the relative residuals of the plain law fitted to all runs.
    """

    cuts: tuple[Cut, ...]
    bins: tuple[Bin, ...]
    inside: float
    level: float

    def __str__(self) -> str:
        scores = self.scores
        if scores is None:
            return "too few runs to hold any out"
        level = format_fraction(self.level)
        return f"of {counted(scores.runs, 'prediction')} {scores.inside:,} inside the {level} interval of one run"

    @property
    def scores(self) -> Scores | None:
        """How all predictions met the runs; a run above several cuts counts for each. None without cuts."""
        return Scores.of(self.cuts) if self.cuts else None

    @property
    def holdout(self) -> Holdout | None:
        """The last cut, above which the largest budget or the largest scattered runs lie; None without cuts."""
        if not self.cuts:
            return None
        last = self.cuts[-1]
        return Holdout(rows=last.rows, factor=_middle(last.factor), scores=last.scores)

    @property
    def largest_factor(self) -> float:
        """The largest factor that was tested."""
        return self.bins[-1].factors[1] if self.bins else 1.0

    @property
    def one_sided(self) -> bool:
        """Whether the forecasts of all cuts err in one direction by more than the scatter of the runs."""
        means = [float(np.mean(cut.error)) for cut in self.cuts]
        agree = all(mean > 0 for mean in means) or all(mean < 0 for mean in means)
        return len(means) >= 2 and agree and abs(float(np.mean(means))) > max(self.inside, _ROUNDING)


def interval_score(measured: Floats, low: Floats, high: Floats, *, level: float) -> Array:
    """Return the interval score of each interval: the smaller the better, in the unit of the numbers.

    >>> interval_score([2.0, 2.5, 1.0], [1.9, 1.9, 1.9], [2.1, 2.1, 2.1], level=0.9).round(6).tolist()
    [0.2, 8.2, 18.2]

    """
    seen, bottom, top = (np.asarray(values, dtype=np.float64) for values in (measured, low, high))
    miss = np.maximum(bottom - seen, 0.0) + np.maximum(seen - top, 0.0)
    return top - bottom + 2.0 / (1.0 - level) * miss


def backtest_points(
    points: Points,
    base: Solution,
    *,
    level: float = 0.9,
    groups: Sequence[object] | None = None,
    samples: int = 0,
    seed: int = 0,
    clusters: Sequence[object] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Backtest:
    """Forecast from the runs below every cut of the ladder, and compare with those above.

    ``base`` is the plain law fitted to all runs, whose objective and form the cuts take; runs of equal ``groups`` may
    share an error, as in :func:`~scaleplan.fitting.forecaster.fit_forecast`. ``samples`` resamples of the plain law
    for each cut give the coverage of their interval, where points with equal labels in ``clusters`` are resampled
    together; 0 leaves it out. ``progress`` is called with the number of cuts done.
    """

    def resampled(below: Mask, lower: Points, fit: Solution) -> Bootstrap:
        return bootstrap(lower, fit, samples=samples, seed=seed, clusters=_labels_of(clusters, below))

    cuts = []
    for done, flops in enumerate(ladder(points), start=1):
        cuts.append(_cut(points, flops, base, level=level, groups=groups, resampled=resampled if samples else None))
        if progress is not None:
            progress(done)
    return _backtest(points, base, cuts, level=level)


def check_forecast(
    points: Points, base: Solution, *, level: float = 0.9, groups: Sequence[object] | None = None
) -> Backtest:
    """Forecast from the runs in the lowest 50 % and 70 % of the range of ln C: the check of a fit, two forecasts.

    ``base`` and ``groups`` are as for :func:`backtest_points`.
    """
    places = _checked_cuts(points)
    cuts = [_cut(points, flops, base, level=level, groups=groups, share=share) for flops, share in places.items()]
    return _backtest(points, base, cuts, level=level)


def _backtest(points: Points, base: Solution, cuts: list[Cut], *, level: float) -> Backtest:
    missed = base.law.loss(points.params, points.tokens) / points.loss - 1.0
    return Backtest(cuts=tuple(cuts), bins=_bins(cuts), inside=rms(missed), level=level)


def ladder(points: Points) -> tuple[float, ...]:
    """Return the cuts, ascending: between the budgets of a sweep, or evenly spaced in ln C and at wide gaps.

    Below each are runs of at least six different (N, D) that lie on no line, unless all runs do; of scattered runs
    they are at least a quarter. No cut parts runs of one budget.
    """
    order, values, between = _ordered(points)
    wanted = between
    if distinct_budgets(points) is None:
        last = np.arange(1, len(values))  # the number of runs below the cut at each gap
        least = max(math.ceil(_LEAST_SHARE * len(values)), _LEAST_DISTINCT)
        inside = between & (last >= least) & (last <= len(values) - _LEAST_ABOVE)
        wanted = inside & (np.diff(np.log(values)) > _NATURAL)
        inside &= last <= (1.0 - _SHARE_ABOVE) * len(values)
        if inside.any():
            places = values[last[inside] - 1]
            grid = np.geomspace(places[0], places[-1], _EVEN_CUTS) * (1 + 1e-12)
            even = last[inside][np.unique(np.searchsorted(places, grid, side="right") - 1)]
            wanted[even - 1] = True
    return _determined(points, order, np.flatnonzero(wanted))


def _checked_cuts(points: Points) -> dict[float, float]:
    """Return the cuts of the check with the share of the range of ln C below each; none parts runs of one budget."""
    order, values, between = _ordered(points)
    logs = np.log(values)
    found: dict[float, float] = {}
    for share in _CHECKED:
        places = np.flatnonzero(between & (logs[:-1] <= logs[0] + share * (logs[-1] - logs[0]) + _APART))
        found |= dict.fromkeys(_determined(points, order, places[-1:]), share)
    return found


def _ordered(points: Points) -> tuple[Index, Array, Mask]:
    """Return the order of the runs by compute, their compute in it, and between which of them a cut may lie.

    It lies between budgets, or between scattered runs that differ by more than rounding; where so many runs are
    scattered that neighbours hardly differ, between any two of different compute.
    """
    order = np.argsort(points.flops, kind="stable")
    values = points.flops[order]
    labels = distinct_budgets(points)
    if labels is not None:
        return order, values, np.diff(labels[order]) > 0
    gaps = np.diff(np.log(values))
    return order, values, gaps > (_APART if np.sum(gaps) > _APART * len(values) else 0.0)


def _determined(points: Points, order: Index, places: Index) -> tuple[float, ...]:
    """Return the compute at places in the order of the runs, where those up to there have a forecast to test."""
    on_line = find_line(points) is not None
    found = []
    for place in places.tolist():
        below = points.select(order[: place + 1])
        distinct = count_distinct(below.params, below.tokens)
        if distinct >= _LEAST_DISTINCT and (on_line or find_line(below) is None):
            found.append(float(points.flops[order[place]]))
    return tuple(found)


def _cut(
    points: Points,
    flops: float,
    base: Solution,
    *,
    level: float,
    groups: Sequence[object] | None,
    resampled: Callable[[Mask, Points, Solution], Bootstrap] | None = None,
    share: float | None = None,
) -> Cut:
    """Return the forecast from the runs at or below a compute beside the others, and the ``resampled`` plain law."""
    below = points.flops <= flops
    lower, upper = points.select(below), points.select(_predicted(points, below))
    fit = base.refit(lower)
    forecast = fit_forecast(lower, _labels_of(groups, below), floor=base.coordinates.floor)
    mean, deviation = forecast.predict(upper.params, upper.tokens)
    reach = sigmas_of(level) * deviation
    return Cut(
        flops=flops,
        runs=len(lower),
        level=level,
        rows=tuple(upper.rows.tolist()),
        factor=upper.flops / np.max(lower.flops),
        loss=upper.loss,
        forecast=np.exp(mean),
        low=np.exp(mean - reach),
        high=np.exp(mean + reach),
        law=fit.law,
        law_loss=np.asarray(fit.law.loss(upper.params, upper.tokens)),
        covered=None if resampled is None else _covered(resampled(below, lower, fit), upper, level=level),
        share=share,
    )


def _covered(resamples: Bootstrap, upper: Points, *, level: float) -> Mask:
    """Return which runs above a cut the interval of the plain law's resamples holds, about its prediction."""
    resampled = resamples.log_losses(upper.params, upper.tokens)
    low, high = np.quantile(resampled, (0.5 - level / 2, 0.5 + level / 2), axis=0)
    off = np.abs(np.log(resamples.law.loss(upper.params, upper.tokens)) - np.log(upper.loss))
    return np.asarray(off <= 0.5 * resamples.stretch(level) * (high - low))


def _predicted(points: Points, below: Mask) -> Index:
    """Return the positions of the runs to predict, in their order: of very many those evenly spaced in compute."""
    above = np.flatnonzero(~below)
    if len(above) <= _MOST_PREDICTED:
        return above
    order = above[np.argsort(points.flops[above], kind="stable")]
    return np.sort(order[np.linspace(0, len(order) - 1, _MOST_PREDICTED).round().astype(np.intp)])


def _labels_of(labels: Sequence[object] | None, below: Mask) -> list[object] | None:
    """Return the labels of the runs below a cut."""
    return None if labels is None else [labels[k] for k in np.flatnonzero(below).tolist()]


def _bins(cuts: Sequence[Cut]) -> tuple[Bin, ...]:
    if not cuts:
        return ()
    factor = np.concatenate([cut.factor for cut in cuts])
    return tuple(
        Bin(
            factors=(float(np.min(factor[members])), float(np.max(factor[members]))),
            middle=_middle(factor[members]),
            scores=Scores.of(cuts, members),
        )
        for members in comparable(factor)
    )


def _middle(factors: Array) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(factors))))


def comparable(factor: Array) -> list[Mask]:
    """Return the members of each bin; one with fewer than three is joined to the next, the last to the one before."""
    up_to_rounding = factor * (1.0 + 1e-6)  # budgets a factor of ten apart belong together
    parts = [np.flatnonzero((up_to_rounding >= low) & (up_to_rounding < high)) for low, high in pairwise(_EDGES)]
    bins: list[Index] = [np.empty(0, dtype=np.intp)]
    for part in parts:
        if len(bins[-1]) >= _FEW and len(part):
            bins.append(part)
        else:
            bins[-1] = np.concatenate([bins[-1], part])
    if len(bins) > 1 and len(bins[-1]) < _FEW:
        few = bins.pop()
        bins[-1] = np.concatenate([bins[-1], few])
    return [np.isin(np.arange(len(factor)), members) for members in bins if len(members)]
