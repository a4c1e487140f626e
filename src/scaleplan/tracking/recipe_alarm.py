"""Compare a run with others of its recipe at the same share of the run.

What the run's ln loss exceeds theirs by is compared with what each of them exceeds the others by: its level, and its
change against what it was shortly before. Both are Student deviates along the run; how often the largest of all looks
exceeds a value follows from Rice's formula for level crossings, averaged over Student's spread, with the correlation
of neighbouring looks that the references show.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scaleplan.tracking.loss_curve import clean_curve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Array, Index
    from scaleplan.tracking.loss_curve import LossCurve

__all__ = ["FEWEST_FOR_SHAPE", "RecipeComparison", "compare_recipe", "excess_over"]

FALSE_ALARMS = 0.05
"""Share of healthy runs that may be flagged at any look over their whole length, either way, by all tests."""

SMALLEST_STEP = 0.005
"""Share of the loss below which a departure is no alarm: seeds, the order of the data, and what lies between the
points of a curve that are compared move a healthy loss by up to half of that."""

_MOST_LOOKS = 256
"""Points that a run is averaged to: a change is placed to four thousandths of the run."""

_WIDTHS = (1, 2, 4, 8, 16)
"""Looks that are averaged: few for a large change, many for one below the noise of a single look."""

_LEVEL_WIDTHS = (1, 8)
"""Likewise for the level, in which runs differ by more than noise: more looks hardly tell it better."""

_BEGIN = 0.02
"""Share of the run before which it is not compared: the warm-up."""

_NEARBY = 0.25
"""Share of the run on either side over which the spread of the references is pooled."""

_SAME_SIZE = 0.05
"""Difference of ln N below which sizes count as one."""

_SAME_RATES = 0.06
"""Root mean square difference of two schedules, relative to the peak, below which they are one."""

_FEWEST_REFERENCES = 3
"""References below which their spread has a single degree of freedom: it tells nothing."""

_FEWEST_FOR_TREND = 4
"""References of several sizes below which their trend in ln N leaves less than two degrees of freedom."""


class RecipeComparison(NamedTuple):
    """Whether the references allow a conclusion, and the departure, if any: size of ln loss, since, found when."""

    conclusive: bool
    size: float | None = None
    since: float | None = None
    found: float | None = None


class _Series(NamedTuple):
    """Excess of ln loss along the run: of the run as far as seen, and of each reference over the others.

    ``freedom`` are the degrees of freedom of the references, and ``stretch`` how much wider than theirs the run's
    deviation is expected to be. ``level`` tells whether the excess itself should be zero, or only constant.
    """

    run: Array
    others: Array
    freedom: float
    stretch: float
    level: bool


def compare_recipe(curve: LossCurve, steps: Array, logs: Array, references: Sequence[LossCurve]) -> RecipeComparison:
    """Compare a run, by its steps and cleaned ln loss, with references that were seen to their end."""
    shares = steps / curve.total
    inside = shares >= _BEGIN
    shares, logs, steps = shares[inside], logs[inside], steps[inside]
    if len(shares) < 2:
        return RecipeComparison(conclusive=False)
    spacing = float(np.median(np.diff(shares)))
    size = max(1, round(1 / (_MOST_LOOKS * spacing)))
    count = len(shares) // size
    lead = len(shares) - count * size
    looks = shares[lead:].reshape(count, size).mean(axis=1)
    values = logs[lead:].reshape(count, size).mean(axis=1)
    at = steps[lead:].reshape(count, size)
    rest = np.arange(looks[-1] + size * spacing, 1.0 + 1e-9, size * spacing)
    along = np.concatenate([looks, rest])
    kept = [
        (each, row)
        for each in references
        if _one_schedule(curve, each) and (row := _at_looks(each, along, size * spacing)) is not None
    ]
    if len(kept) < _FEWEST_REFERENCES:
        return RecipeComparison(conclusive=False)
    series = _excess(curve, values, [each for each, _ in kept], np.stack([row for _, row in kept]))
    if series is None:
        return RecipeComparison(conclusive=False)
    widths = [width for width in _WIDTHS if width == 1 or 8 * width <= len(along)]
    tests = [(width, True) for width in widths]
    if series.level:
        tests += [(width, False) for width in widths if width in _LEVEL_WIDTHS]
    crossings = [
        (look, width if change else 0, sign)
        for width, change in tests
        for look, sign in _crossings(series, along, width, change=change, chance=FALSE_ALARMS / len(tests))
    ]
    for look, width, sign in sorted(crossings):
        begin, size_of = _began(series, look, width)
        if size_of * sign > SMALLEST_STEP and _stays(series, look, begin, size_of):
            return RecipeComparison(
                conclusive=True, size=size_of, since=float(at[begin, 0]), found=float(at[look, -1])
            )
    return RecipeComparison(conclusive=True)


def _one_schedule(curve: LossCurve, reference: LossCurve) -> bool:
    """Return whether both had one schedule by the share of the run so far; those that are not known are shared."""
    if curve.schedule is None or reference.schedule is None:
        return True
    shares = np.linspace(0.0, min(max(curve.seen, _BEGIN), 1.0), 65)[1:]
    shares = shares[shares > max(each.schedule.warmup / each.total for each in (curve, reference) if each.schedule)]
    one, other = (
        each.schedule.at(shares * each.total) / max(each.schedule.peak, 1e-300)
        for each in (curve, reference)
        if each.schedule
    )
    return not len(shares) or float(np.sqrt(((one - other) ** 2).mean())) < _SAME_RATES


FEWEST_FOR_SHAPE = 2
"""References whose mean is taken for the course of the recipe: one may have a step of its own."""


def excess_over(curve: LossCurve, steps: Array, logs: Array, references: Sequence[LossCurve]) -> Array | None:
    """Return by how much ln loss exceeds the mean of references at the same share; None of too few or too early."""
    shares = steps / curve.total
    if len(shares) < 2:
        return None
    spacing, looks = float(np.median(np.diff(shares))), shares[shares >= _BEGIN]
    if not len(looks):
        return None
    found = (_at_looks(each, looks, spacing) for each in references)
    rows = [row for row in found if row is not None]
    if len(rows) < FEWEST_FOR_SHAPE:
        return None
    excess: Array = logs - np.concatenate([np.full(len(logs) - len(rows[0]), np.nan), np.mean(rows, axis=0)])
    first = len(logs) - len(rows[0])
    excess[:first] = excess[first]
    return excess


def _at_looks(reference: LossCurve, looks: Array, spacing: float) -> Array | None:
    """Return a reference's ln loss at shares of the run; None where it does not reach over them."""
    steps, loss = np.asarray(reference.steps, dtype=float), np.asarray(reference.loss, dtype=float)
    fine = np.isfinite(loss) & (loss > 0)
    shares, loss = steps[fine] / reference.total, loss[fine]
    if len(shares) < 2:
        return None
    own = float(np.median(np.diff(shares)))
    if shares[0] > looks[0] + own or shares[-1] < min(looks[-1], 1.0) - 2 * max(own, spacing):
        return None
    logs = np.log(loss)
    logs = clean_curve(steps[fine], logs).logs
    size = max(1, int(spacing / own))
    if size > 1:
        count = len(logs) // size
        lead = len(logs) - count * size
        shares = shares[lead:].reshape(count, size).mean(axis=1)
        logs = logs[lead:].reshape(count, size).mean(axis=1)
    fit: Array = np.interp(np.log(looks), np.log(np.maximum(shares, 1e-9)), logs)  # nearly straight in ln share
    return fit


def _excess(curve: LossCurve, values: Array, references: Sequence[LossCurve], rows: Array) -> _Series | None:
    """Return the excess of the run and of each reference over what the others let expect.

    References of several sizes predict by their trend in ln N; too few of them, or of one size that is not the
    run's, say nothing of its level, only how it changes.
    """
    count = len(references)
    sizes = [each.params for each in (curve, *references)]
    own = 0.0
    design = np.ones((count, 1))
    level, stretch = True, 1.0
    if all(size is not None and size > 0 for size in sizes):
        logs = np.log(np.array(sizes, dtype=float))
        own, rest = float(logs[0] - logs[1:].mean()), logs[1:] - logs[1:].mean()
        spread = float(np.ptp(rest))
        if spread > _SAME_SIZE and count >= _FEWEST_FOR_TREND:
            design = np.stack([np.ones(count), rest], axis=1)
        elif spread > _SAME_SIZE or abs(own) > _SAME_SIZE:
            level = False
            if spread > _SAME_SIZE:
                stretch = max(1.0, abs(own) / float(np.sqrt((rest**2).mean())))
    freedom = count - design.shape[1]
    if freedom < 1:
        return None
    inverse = np.linalg.inv(design.T @ design)
    hat = design @ inverse @ design.T
    place = np.array([1.0, own])[: design.shape[1]]
    others = rows - hat @ rows  # their squares add up to the variance of one run times ``freedom``
    predicted = place @ inverse @ design.T @ rows
    spare = math.sqrt(1 + float(place @ inverse @ place))
    return _Series(values - predicted[: len(values)], others, freedom, spare * stretch, level)


def _levels(excess: Array, width: int) -> Array:
    """Return the mean of the last looks; NaN where there are too few."""
    sums = np.concatenate([np.zeros((len(excess), 1)), np.cumsum(excess, axis=1)], axis=1)
    out = np.full(excess.shape, np.nan)
    out[:, width - 1 :] = (sums[:, width:] - sums[:, :-width]) / width
    return out


def _changes(excess: Array, width: int, before: int, *, sloping: bool, along: Array) -> Array:
    """Return what the mean of the last looks exceeds that of those before by, or the line through them."""
    count = excess.shape[1]
    stop = np.arange(3 if sloping else min(2, before), count - width + 1)  # where the looks before end
    first = np.maximum(stop - before, 0)
    looks = np.log(along)
    looks = looks - looks.mean()

    def mean(values: Array, low: Index, high: Index) -> Array:
        sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
        means: Array = (sums[:, high] - sums[:, low]) / (high - low)
        return means

    past = mean(excess, first, stop)
    change = mean(excess, stop, stop + width) - past
    if sloping:
        at = mean(looks[None, :], first, stop)
        square = mean(looks[None, :] ** 2, first, stop) - at**2
        slope = (mean(excess * looks, first, stop) - past * at) / np.maximum(square, 1e-12)
        change = change - slope * (mean(looks[None, :], stop, stop + width) - at)
    out = np.full(excess.shape, np.nan)
    out[:, stop + width - 1] = change
    return out


def _crossings(series: _Series, along: Array, width: int, *, change: bool, chance: float) -> list[tuple[int, float]]:
    """Return the looks at which the run begins to deviate more than healthy ones do at any, and the signs."""
    count = len(series.run)
    both = np.vstack([series.others, np.append(series.run, np.full(len(along) - count, np.nan))])
    if change:
        longer = max(8, 2 * width)
        options = [(max(2, width), False), (longer, False), (4 * longer, False), (longer, True), (4 * longer, True)]
        tried = [_changes(both, width, before, sloping=sloping, along=along) for before, sloping in options]
        common = np.isfinite(np.stack([each[:-1] for each in tried])).all(axis=(0, 1))
        if common.sum() < 2:
            return []
        # what the references move least by shows a step best; early looks, where all move most, count no more
        spreads = [float(np.log((each[:-1, common] ** 2).sum(axis=0) + 1e-16).mean()) for each in tried]
        deviations = tried[int(np.argmin(spreads))]
    else:
        deviations = _levels(both, width)
    usable = np.flatnonzero(np.isfinite(deviations[:-1]).all(axis=0))
    if len(usable) < 2:
        return []
    others, run = deviations[:-1, usable], deviations[-1, usable]
    variance = (others**2).sum(axis=0) / series.freedom
    pooled, nearby = _pooled(variance, along[usable])
    pooled = np.maximum(pooled, 1e-16)
    scaled = others / np.sqrt(pooled)
    norm = (scaled**2).sum()
    correlation = 1 - ((scaled[:, 1:] - scaled[:, :-1]) ** 2).sum() / max(2 * norm, 1e-300)
    length = (len(usable) - 1) * math.sqrt(max(2 * (1 - correlation), 0.0))
    freedom = series.freedom
    if change:  # a level has no more draws than there are references; changes are drawn anew along the run
        freedom *= _independent(scaled, nearby)
    limit = _limit(length, freedom, chance) * series.stretch
    seen = usable < count
    deviates = np.abs(run[seen] / np.sqrt(pooled[seen]))
    if change:
        deviates = deviates / _own(deviates, width, series.stretch)
    over = deviates > limit
    begins = np.flatnonzero(over & ~np.concatenate([[False], over[:-1]]))
    return [(int(usable[at]), math.copysign(1.0, float(run[at]))) for at in begins.tolist()]


def _own(deviates: Array, width: int, stretch: float) -> Array:
    """Return by how much the run's own changes so far are larger than the references', 1 where they are not."""
    out = np.ones(len(deviates))
    for at in range(_OWN_LOOKS, len(deviates)):
        past = deviates[: at - width + 1]
        if len(past) >= _OWN_LOOKS:
            ratio = float(np.median(past)) / (_MEDIAN_DEVIATE * stretch)
            out[at] = max(1.0, ratio * (1 - 1 / math.sqrt(len(past) / width)))
    return out


_OWN_LOOKS = 12
"""Looks from which on the run's own changes tell whether it is noisier than its references."""

_MEDIAN_DEVIATE = 0.6745
"""What half of normal deviates stay below, either way."""


def _independent(scaled: Array, count: int) -> float:
    """Return how many independent squares as many neighbours are worth, by the squares of their correlations."""
    whole = float((scaled**2).mean())
    lags = range(1, min(count, scaled.shape[1] - 1))
    squares = [(float((scaled[:, lag:] * scaled[:, :-lag]).mean()) / whole) ** 2 for lag in lags] if whole > 0 else []
    return count / (1 + 2 * sum(square * (1 - lag / count) for lag, square in zip(lags, squares, strict=False)))


def _pooled(variance: Array, along: Array) -> tuple[Array, int]:
    """Return the mean variance over nearby looks, and of how many it usually is.

    They are a quarter of the run away at most, and not before half or beyond twice the share.
    """
    sums = np.concatenate([[0.0], np.cumsum(variance)])
    low = np.searchsorted(along, np.maximum(along - _NEARBY, along / 2) * (1 - 1e-9))
    high = np.searchsorted(along, np.minimum(along + _NEARBY, along * 2) * (1 + 1e-9))
    mean: Array = (sums[high] - sums[low]) / (high - low)
    return mean, int(np.median(high - low))


def _limit(length: float, freedom: float, chance: float) -> float:
    """Return what the largest of a Student process exceeds, either way, with a chance.

    ``length`` is that of the path in units of its correlation: the root of twice one minus the correlation of
    neighbours, summed. The chance is that of the first look and of an upcrossing at any later one, both averaged over
    the estimate of the spread that all looks share.
    """
    low, high = 0.0, 1e4
    for _ in range(60):
        tried = 0.5 * (low + high)
        crossing = length / (2 * math.pi) * (1 + tried**2 / freedom) ** (-freedom / 2)
        if 2 * (student_tail(tried, freedom) + crossing) > chance:
            low = tried
        else:
            high = tried
    return high


def student_tail(value: float, freedom: float) -> float:
    """Return the chance that Student's t exceeds a value that is not negative."""
    angle = np.linspace(math.atan2(value, math.sqrt(freedom)), math.pi / 2, 513)
    density = np.cos(angle) ** max(freedom - 1, 0.0)  # t = √ν tan θ
    mean = (0.5 * (density[1:] + density[:-1])).sum() * (angle[1] - angle[0])
    return float(mean) * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)


def _began(series: _Series, look: int, width: int) -> tuple[int, float]:
    """Return the look at which a departure that is found at ``look`` began, and its size.

    A change of ``width`` looks began where two levels describe the excess around it best, since it may drift before
    and after. A departure of the level (no width) is looked for over the whole run, and one that was off from the
    first look began there.
    """
    begin = max(0, look + 1 - 3 * width - _BEFORE) if width else 0
    stop = min(len(series.run), look + 1 + width) if width else len(series.run)
    run = series.run[begin:stop]
    count = len(run)
    sums = np.cumsum(run)
    parts = np.arange(1, count)
    before, after = sums[:-1] / parts, (sums[-1] - sums[:-1]) / (count - parts)
    gain = parts * (count - parts) / count * (after - before) ** 2
    gain[look - begin :] = -1.0  # it had begun when it was found
    if width:
        gain[: max(0, look - begin - 2 * width)] = -1.0
    if look == 0 or not len(gain) or gain.max() < 0:
        return 0, float(run.mean())
    split = int(np.argmax(gain))
    step = float(after[split] - before[split])
    if not width and abs(before[split]) > abs(step):
        return 0, float(run.mean())
    return begin + split + 1, step


_BEFORE = 8
"""Looks before a change that show the level that it left."""


def _stays(series: _Series, look: int, begin: int, size: float) -> bool:
    """Return whether the departure is still there: half of it at least, over the last looks."""
    last = series.run[max(look, len(series.run) - max(1, len(series.run) // 20)) :]
    base = float(series.run[max(0, begin - _BEFORE) : begin].mean()) if begin else 0.0
    return (float(last.mean()) - base) / size > 0.5
