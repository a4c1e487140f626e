"""Backtest an additive fit: how well earlier, smaller runs would have predicted the later, larger ones.

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
from scaleplan.fitting.diagnosis import isoflop_budgets
from scaleplan.fitting.objective import rms
from scaleplan.fitting.surface_fit import fit_additive
from scaleplan.planning.uncertainty import backtest_rms, normal_quantile
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.arrays import Array, Mask
    from scaleplan.fitting.runs import Points
    from scaleplan.fitting.surface_fit import Solution
    from scaleplan.laws.additive import Additive

__all__ = ["Backtest", "Cut", "Holdout", "backtest_points", "band", "below_largest_budget", "hold_out", "ladder"]

_EDGES = (1.0, 2.0, 5.0, 10.0, 30.0, 100.0, 300.0, math.inf)
_LEAST_RUNS, _LEAST_SHARE, _LEAST_BUDGETS, _LEAST_ABOVE = 12, 0.25, 3, 3
_MOST_CUTS = 8
_ROUNDING = 1e-9  # errors of a fit without noise


class Cut(Record, eq=False):
    """A fit to the runs at or below ``flops``, and its errors on those above.

    ``error`` is the relative error (predicted - observed)/observed of each run above, ``factor`` its compute
    over the cut, ``covered`` whether the resampling interval of the law held the run (None without resampling).
    """

    flops: float
    runs: int
    law: Additive
    rows: tuple[int, ...]
    factor: Array
    error: Array
    covered: Mask | None


class Bin(Record):
    """The errors of all cuts at comparable factors of extrapolation, ``factors`` = (least, largest)."""

    factors: tuple[float, float]
    middle: float
    runs: int
    bias: float
    rms: float
    coverage: float | None

    def __str__(self) -> str:
        text = f"at ×{self.middle:.3g} beyond the data: bias {self.bias:+.1%}, rms {self.rms:.1%}"
        return text if self.coverage is None else f"{text}, coverage {round(self.coverage * self.runs)}/{self.runs}"


class Backtest(Record, eq=False):
    """The ladder of cuts, and its errors by factor of extrapolation.

    ``inside`` is the root mean square of the relative residuals of the fit to all runs: the error at factor 1.
    """

    cuts: tuple[Cut, ...]
    bins: tuple[Bin, ...]
    inside: float
    level: float

    @property
    def factors(self) -> tuple[float, ...]:
        """The factors of :attr:`rms`: 1, then the geometric middle of each bin."""
        return (1.0, *(item.middle for item in self.bins))

    @property
    def rms(self) -> tuple[float, ...]:
        """The relative error to expect at each factor, which never falls with distance.

        A bin of few runs with small errors by chance must not promise more far out than near by.
        """
        return tuple(np.maximum.accumulate([self.inside, *(item.rms for item in self.bins)]).tolist())

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
    progress: Callable[[int], None] | None = None,
) -> Backtest:
    """Fit below and predict above each cut of the ladder, with the objective and the form of ``base``.

    ``samples`` resamples for each cut give the coverage of the resampling interval; 0 leaves it out. Points with
    equal labels in ``clusters`` are resampled together. ``progress`` is called with the number of cuts done.
    """
    cuts = []
    for done, flops in enumerate(ladder(points), start=1):
        below = points.flops <= flops
        kept = None if clusters is None else [clusters[k] for k in np.flatnonzero(below).tolist()]
        cuts.append(_cut(points, below, base, samples=samples, seed=seed, level=level, clusters=kept))
        if progress is not None:
            progress(done)
    fitted = base.law.loss(points.params, points.tokens)
    return Backtest(cuts=tuple(cuts), bins=_bins(cuts), inside=rms(fitted / points.loss - 1.0), level=level)


def ladder(points: Points) -> tuple[float, ...]:
    """Return the cuts: the budgets of an IsoFLOP sweep, or up to eight evenly spaced in ln C.

    Below each cut are at least 12 runs and a quarter of all (three budgets of a sweep), above it at least three.
    """
    values = np.sort(points.flops)
    labels = isoflop_budgets(points)
    if labels is not None:
        largest = [float(np.max(points.flops[labels == k])) for k in range(labels.max() + 1)]
        wanted = np.array(largest[_LEAST_BUDGETS - 1 : -1])
    else:
        least = max(_LEAST_RUNS, math.ceil(_LEAST_SHARE * len(values)))
        if len(values) < least + _LEAST_ABOVE:
            return ()
        grid = np.geomspace(values[least - 1], values[-_LEAST_ABOVE - 1], _MOST_CUTS)
        wanted = values[np.searchsorted(values, grid * (1 + 1e-12), side="right") - 1]
    below = np.searchsorted(values, wanted, side="right")
    kept = (below >= _LEAST_RUNS) & (len(values) - below >= _LEAST_ABOVE)
    return tuple(np.unique(wanted[kept]).tolist())


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
        laws = bootstrap(lower, fit, samples=samples, seed=seed, clusters=clusters).draws[:, :, None]
        floor = laws[:, 2] + np.exp(laws[:, 0] - laws[:, 3] * np.log(upper.params))
        resampled = np.log(floor + np.exp(laws[:, 1] - laws[:, 4] * np.log(upper.tokens)))
        low, high = np.quantile(resampled, (0.5 - level / 2, 0.5 + level / 2), axis=0)
        off = np.abs(np.log(law.loss(upper.params, upper.tokens)) - np.log(upper.loss))
        covered = off <= 0.5 * (high - low)
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
    inside = [(factor >= low) & (factor < high) for low, high in pairwise(_EDGES)]
    return tuple(
        Bin(
            factors=(float(np.min(factor[members])), float(np.max(factor[members]))),
            middle=float(np.exp(np.mean(np.log(factor[members])))),
            runs=int(np.count_nonzero(members)),
            bias=float(np.mean(error[members])),
            rms=rms(error[members]),
            coverage=None if covered is None else float(np.mean(covered[members])),
        )
        for members in inside
        if np.count_nonzero(members) >= _LEAST_ABOVE
    )


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
    sigmas = normal_quantile(0.5 + level / 2)
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
    labels = isoflop_budgets(points)
    cut = np.quantile(points.flops, 0.8) if labels is None else np.max(points.flops[labels == labels.max() - 1])
    return np.asarray(points.flops <= cut)


def hold_out(
    points: Points, base: Solution | None = None, *, samples: int = 200, seed: int = 0, level: float = 0.9
) -> Holdout:
    """Hold out the largest runs and predict them from the rest, with the objective and the form of ``base``.

    Raises UsageError when too few runs are left below.
    """
    below = below_largest_budget(points)
    rest, held = points.select(below), points.select(~below)
    if len(rest) < _LEAST_RUNS:
        raise UsageError(f"{len(rest)} runs below the largest budget are too few to predict it")
    fit = fit_additive(rest) if base is None else base.refit(rest)
    resamples = bootstrap(rest, fit, samples=samples, seed=seed)
    backtest = backtest_points(rest, fit, samples=0)
    largest = float(np.max(rest.flops))
    bands = [
        band(resamples, backtest, params=float(n), tokens=float(d), factor=float(c) / largest, level=level)
        for n, d, c in zip(held.params, held.tokens, held.flops, strict=True)
    ]
    sigmas = normal_quantile(0.5 + level / 2)
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
