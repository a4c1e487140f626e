"""Tell whether a running training has left the course that its own past, or runs of its recipe, let expect.

Alone, a run is its own yardstick: a step of ln loss at any place and scale, against a cubic of ln step around it.
With runs of the recipe the yardstick is their spread at the same share of the run (:mod:`.recipe_alarm`). Either way
the threshold follows from how often a healthy run may be flagged at any of the looks of its whole length.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from scaleplan.logs.last_part import DIVERGED
from scaleplan.record import Record
from scaleplan.tracking.loss_curve import LossSpike, clean_curve
from scaleplan.tracking.recipe_alarm import SMALLEST_STEP, compare_recipe, excess_over

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.arrays import Array, Index
    from scaleplan.logs.learning_rate import LearningRate
    from scaleplan.tracking.loss_curve import LossCurve

__all__ = ["FEWEST_POINTS", "SMALLEST_STEP", "Alarm", "CourseCheck", "check_course"]

FEWEST_POINTS = 25
"""Points below which a curve alone cannot show a step of a few percent: the check is not conclusive then."""


class Alarm(Record):
    """A departure: what it is, ``since`` which step, and by how much the loss departs, as a share (+0.01: higher).

    ``since`` estimates where it began; at the step ``found`` it could first be seen. ``against`` names the yardstick.
    """

    kind: Literal["worse", "better", "diverging"]
    since: float
    size: float
    found: float = math.nan
    against: Literal["itself", "references"] = "itself"


class CourseCheck(Record):
    """What the part seen of a run shows: the alarm, if any, and spikes that were over again.

    It is ``conclusive`` unless the points are too few to show anything: no alarm means nothing then. ``against``
    names the yardstick.
    """

    alarm: Alarm | None
    conclusive: bool
    spikes: tuple[LossSpike, ...] = ()
    against: Literal["itself", "references"] = "itself"


def check_course(curve: LossCurve, references: Sequence[LossCurve] = ()) -> CourseCheck:
    """Return what the part seen of a run shows, over all looks so far.

    With references the pooled spread of their log ratio is the yardstick; without any, the run's own local trend.
    """
    steps, loss = np.asarray(curve.steps, dtype=float), np.asarray(curve.loss, dtype=float)
    diverging = _gone(steps, loss)
    kept = np.isfinite(loss) & (loss > 0)
    steps, loss = steps[kept], loss[kept]
    if diverging is not None:
        return CourseCheck(alarm=diverging, conclusive=True)
    cleaned = clean_curve(steps, np.log(loss))
    diverging = _climbing(steps, cleaned.logs)
    if diverging is not None:
        return CourseCheck(alarm=diverging, conclusive=True, spikes=cleaned.spikes)
    against: Literal["itself", "references"] = "itself"
    if references:
        found = compare_recipe(curve, steps, cleaned.logs, references)
        if found.conclusive:
            alarm, against = None, "references"
            if found.size is not None and found.since is not None and found.found is not None:
                alarm = Alarm(
                    kind="worse" if found.size > 0 else "better",
                    since=found.since,
                    size=math.expm1(found.size),
                    found=found.found,
                    against="references",
                )
            if alarm is not None or len(steps) < FEWEST_POINTS:
                return CourseCheck(alarm=alarm, conclusive=True, spikes=cleaned.spikes, against=against)
    if len(steps) < FEWEST_POINTS:
        return CourseCheck(alarm=None, conclusive=False, spikes=cleaned.spikes)
    alarm, recovered = _alone(curve, steps, cleaned.logs, downwards=curve.schedule is not None)
    if alarm is None and curve.schedule is None and references:
        excess = excess_over(curve, steps, cleaned.logs, references)
        if excess is not None:  # a decay that is not known of is in theirs too: a step down is none
            alarm, _ = _alone(curve, steps, excess, downwards=True)
    return CourseCheck(alarm=alarm, conclusive=True, spikes=(*cleaned.spikes, *recovered), against=against)


# --- divergence --------------------------------------------------------------------------------------------------

_GONE_POINTS = 3
"""Losses in a row at the end that are no numbers: one or two are skipped steps."""

_CLIMB = math.log(DIVERGED)
"""Rise of ln loss above its best that no change of the data or the precision makes: at an exponent of 0.05 it undoes
97 % of the compute."""


def _gone(steps: Array, loss: Array) -> Alarm | None:
    """Return the alarm of a loss that is no number any more."""
    fine = np.flatnonzero(np.isfinite(loss) & (loss > 0))
    first = int(fine[-1]) + 1 if len(fine) else 0
    if len(loss) - first < _GONE_POINTS:
        return None
    found = float(steps[first + _GONE_POINTS - 1])
    return Alarm(kind="diverging", since=float(steps[first]), size=math.inf, found=found)


def _climbing(steps: Array, logs: Array) -> Alarm | None:
    """Return the alarm of a loss that is far above its best, and stays there or climbs on."""
    width = max(5, len(logs) // 100)
    if len(logs) < 3 * width:
        return None
    blocks = len(logs) // width
    level = np.median(logs[len(logs) - blocks * width :].reshape(blocks, width), axis=1)
    best = np.minimum.accumulate(level)
    over = level - best > _CLIMB
    if not (over[-1] and logs[-3:].min() - best[-1] > _CLIMB):
        return None
    first = blocks - 1 - int(np.argmin(over[::-1])) + 1  # the first block of the last stretch
    offset = len(logs) - blocks * width
    start = offset + width * first
    low = best[first]
    while start > 0 and logs[start - 1] - low > 0.5 * _CLIMB:
        start -= 1
    size = math.expm1(float(level[-1] - best[-1]))
    return Alarm(kind="diverging", since=float(steps[start]), size=size, found=float(steps[offset + width * first]))


# --- alone --------------------------------------------------------------------------------------------------------

_MOST_BLOCKS = 256
"""Blocks that a run is averaged to: four of them show a large step within two hundredths of the run."""

_SIDES = ((8, 4), (16, 4), (16, 8), (32, 4), (32, 8), (32, 16), (32, 32))
"""Blocks before and after a step at each scale; each scale has blocks twice as long. The shorter the part after it,
the sooner a large step is found; the shorter the part before, the less it matters what the loss did early."""

_SIDE = 32
_LEAST_BEFORE, _LEAST_AFTER = 8, 4
_USUAL_DEVIATE = 0.3853
"""Size that 30 % of normal deviates stay below."""
_DEGREE = 3

_WIDEST = 10.0
"""Ratio of the last step of a window to its first. Over it a cubic of ln step leaves 0.17 % of a power law with a
floor (exponents 0.2 to 1, a floor of 30 to 70 % of the loss) to a step: a third of :data:`SMALLEST_STEP`."""


class _Windows(NamedTuple):
    """A step tried at each place: its size, its normal deviate, the block after it, and where the window lies."""

    size: Array
    deviate: Array
    place: Index
    first: Index
    stop: Index


class _Step(NamedTuple):
    """A step of ln loss: the number of the point after it, that of the point that tells it, and its size."""

    point: int
    found: int
    size: float


def _alone(curve: LossCurve, steps: Array, logs: Array, *, downwards: bool) -> tuple[Alarm | None, list[LossSpike]]:
    """Return the alarm of a run against its own trend, and humps that were over again."""
    begin = max(0.02 * curve.total, 1.5 * (curve.schedule.warmup if curve.schedule else 0.0))
    inside = steps >= begin
    if inside.sum() < FEWEST_POINTS:
        inside = np.arange(len(steps)) >= len(steps) - max(FEWEST_POINTS, int(inside.sum()))
    steps, logs = steps[inside], logs[inside]
    bends = _bends(curve.schedule, curve.total) if curve.schedule is not None else []
    threshold = _threshold(len(steps) / max(min(curve.seen, 1.0), 1e-3))
    changes: list[_Step] = []
    moved = logs.copy()
    for _ in range(_MOST_STEPS):
        step = _largest_step(steps, moved, bends, threshold)
        if step is None:
            break
        changes.append(step)
        if not downwards and step.size < 0:  # perhaps a fall of the learning rate: the trend begins anew
            bends = sorted([*bends, float(steps[step.point])])
        else:
            moved[step.point :] -= step.size
    return _verdict(steps, sorted(changes), downwards=downwards)


_MOST_STEPS = 3
"""Steps of one run that are distinguished: a hump is two."""


def _verdict(steps: Array, changes: list[_Step], *, downwards: bool) -> tuple[Alarm | None, list[LossSpike]]:
    """Return what remains of steps up and down, and the humps that are over.

    Without a schedule a step down may be the beginning of a decay: it counts only where it undoes a step up.
    """
    level = 0.0
    since: _Step | None = None
    spikes = []
    for change in changes:
        before, after = level, level + change.size
        if not downwards and change.size < 0 and abs(after) > 0.5 * before:
            continue
        level = after
        if abs(level) < SMALLEST_STEP or abs(level) < 0.3 * abs(before):
            if since is not None and before > 0:
                points = change.point - since.point
                spikes.append(LossSpike(step=float(steps[since.point]), height=math.expm1(before), points=points))
            level, since = 0.0, None
        elif since is None or (before > 0) != (level > 0):
            since = change
    if since is None:
        return None, spikes
    return (
        Alarm(
            kind="worse" if level > 0 else "better",
            since=float(steps[since.point]),
            size=math.expm1(level),
            found=float(steps[since.found]),
        ),
        spikes,
    )


def _bends(schedule: LearningRate, total: float) -> list[float]:
    """Return the steps where the learning rate jumps, or begins or ends to fall: the trend of the loss breaks."""
    slopes = np.diff(schedule.rates) / np.diff(schedule.knots) * total / max(schedule.peak, 1e-300)
    sharp = np.flatnonzero(np.abs(np.diff(slopes)) > 1.0) + 1  # by the whole peak over a run
    bends: list[float] = []
    for place in schedule.knots[sharp].tolist():
        if not bends or place - bends[-1] > 0.01 * total:
            bends.append(place)
    return [place for place in bends if place > schedule.warmup * 1.01]


def _largest_step(steps: Array, logs: Array, bends: list[float], threshold: float) -> _Step | None:
    """Return the clearest step that the curve shows beyond the threshold; None where there is none."""
    best: tuple[float, _Step] | None = None
    edges = [0, *np.searchsorted(steps, bends).tolist(), len(steps)]
    for start, stop in pairwise(edges):
        if stop - start < _LEAST_BEFORE + _LEAST_AFTER:
            continue
        origin = 0.0 if start == 0 else float(steps[start - 1]) * (1 - 1e-9)
        memory = 0.0
        for lead, size, x, y in _scales(steps[start:stop] - origin, logs[start:stop]):
            lead += start  # noqa: PLW2901
            tried, memory = _try_steps(x, y, memory=memory)
            over = (tried.deviate > threshold) & (np.abs(tried.size) > SMALLEST_STEP)
            for index in np.argsort(-np.where(over, tried.deviate, 0.0))[: min(3, int(over.sum()))].tolist():
                if best is not None and tried.deviate[index] <= best[0]:
                    break
                place, stop_at = int(tried.place[index]), int(tried.stop[index])
                window = slice(int(tried.first[index]), stop_at)
                if not _is_step(x[window], y[window], place - window.start):
                    continue
                same = over & (np.abs(tried.place - place) <= 2) & (tried.size * tried.size[index] > 0)
                found = lead + int(tried.stop[same].min()) * size - 1
                best = float(tried.deviate[index]), _Step(lead + place * size, found, float(tried.size[index]))
                break
    return None if best is None else best[1]


def _scales(steps: Array, logs: Array) -> Iterator[tuple[int, int, Array, Array]]:
    """Yield means of blocks, each time twice as long: the first point, points of a block, ln step, ln loss."""
    count = len(logs)
    size = max(1, -(-count // _MOST_BLOCKS))
    longest = count // (_LEAST_BEFORE + _LEAST_AFTER)
    while size <= longest:
        blocks = count // size
        lead = count - blocks * size  # blocks end with the last point, that a new one is seen at once
        y = logs[lead:].reshape(blocks, size).mean(axis=1)
        yield lead, size, np.log(np.maximum(steps[lead:], 1e-9)).reshape(blocks, size).mean(axis=1), y
        size *= 2


_SMOOTHED = 17
"""Points that a cubic goes through when the memory of the noise is measured by what it leaves."""

_CLIP = 2.5
"""Robust standard deviations to which what it leaves is clipped: a step or a bend touches few places."""

_GRID = np.linspace(0.0, 0.95, 20)


@lru_cache(maxsize=1)
def _smoother() -> tuple[Array, Array]:
    """Return the weights of the cubic's middle, and the correlation that it leaves of each one on the grid.

    What is left of noise whose neighbours correlate correlates less: the slow part of it goes with the cubic.
    """
    at = np.arange(_SMOOTHED) - _SMOOTHED // 2
    powers = np.stack([(at / (_SMOOTHED // 2)) ** power for power in range(_DEGREE + 1)], axis=1)
    kernel = powers[_SMOOTHED // 2] @ np.linalg.pinv(powers)
    rest = -np.append(kernel, 0.0)
    rest[_SMOOTHED // 2] += 1.0
    later = np.roll(rest, 1)
    apart = np.abs(np.subtract.outer(np.arange(_SMOOTHED + 1), np.arange(_SMOOTHED + 1)))
    left = [rest @ memory**apart @ later / (rest @ memory**apart @ rest) for memory in _GRID]
    return kernel[::-1], np.array(left)


def _memory(values: Array) -> float:
    """Return the correlation of neighbours that the noise may have: the estimate and its standard error.

    It is that of noise that forgets by the same factor from point to point, as a running mean does.
    """
    kernel, left = _smoother()
    half = _SMOOTHED // 2
    if len(values) < _SMOOTHED + 4:
        return 0.0
    rest = values[half : len(values) - half] - np.convolve(values, kernel, mode="valid")
    scale = 1.4826 * float(np.median(np.abs(rest)))
    if scale <= 0:
        return 0.0
    rest = np.clip(rest, -_CLIP * scale, _CLIP * scale)
    seen = float(rest[1:] @ rest[:-1]) / max(float(rest @ rest), 1e-300) + _ERRORS / math.sqrt(len(rest))
    return float(np.interp(seen, left, _GRID))


_ERRORS = 1.5
"""Standard errors of the correlation seen that are added to it."""


_WIDENED = (8, 12, 16, 24, 32)
"""Points before a step for which that is worked out; between them it is interpolated."""


@lru_cache(maxsize=1024)
def _widening(left: int, right: int, memory: float) -> float:
    """Return by how much noise with a memory widens the deviate of a step, with ``left`` points before it."""
    count = left + right
    at = np.linspace(-1.0, 1.0, count)
    design = np.stack([*[at**power for power in range(_DEGREE + 1)], np.arange(count) >= left], axis=1)
    basis, _ = np.linalg.qr(design)
    weights = np.linalg.pinv(design)[-1]
    covariance = memory ** np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    spread = (count - float(np.einsum("ij,jk,ik->", basis.T, covariance, basis.T))) / (count - _DEGREE - 2)
    return math.sqrt(float(weights @ covariance @ weights) / float(weights @ weights) / spread)


def all_windows(steps: Array, logs: Array) -> Iterator[_Windows]:
    """Yield the steps that are tried at each scale of a curve without bends of its schedule."""
    memory = 0.0
    for _, _, x, y in _scales(steps, logs):
        tried, memory = _try_steps(x, y, memory=memory)
        yield tried


def _try_steps(x: Array, y: Array, *, memory: float) -> tuple[_Windows, float]:
    """Try a step at each place against a cubic of ``x``, with windows of several lengths.

    The standard error is that of the window's residuals, no smaller than the second differences of the whole curve
    allow, and that of noise with the memory that the curve shows when its clearest step is taken out. Student's t
    becomes a normal deviate by Wallace's approximation. Where deviates are still larger than usual, the cubic misses
    the trend, or the noise is of another kind: they are measured in what is usual at other places.
    """
    count = len(y)
    bent = (y[1:-1] - 0.5 * (y[2:] + y[:-2])) / math.sqrt(1.5)
    noise = 1.4826 * float(np.median(np.abs(bent - np.median(bent)))) if len(bent) else 0.0
    results = []
    for left, right in _SIDES:
        place = np.arange(_LEAST_BEFORE, count - right + 1)
        stop = place + right
        first = np.maximum(place - left, 0)
        first = np.maximum(first, np.searchsorted(x, x[stop - 1] - math.log(_WIDEST)))
        usable = place - first >= _LEAST_BEFORE
        place, first, stop = place[usable], first[usable], stop[usable]
        if len(place):
            results.append(_fit_windows(x, y, place, first, stop, noise=noise))
    if not results:
        empty = np.zeros(0, dtype=int)
        return _Windows(np.zeros(0), np.zeros(0), empty, empty, empty), memory
    clearest = max(results, key=lambda each: float(each.deviate.max()))
    at = int(clearest.deviate.argmax())
    without = y - clearest.size[at] * (np.arange(count) >= clearest.place[at])
    memory = (
        round(20 * max(_memory(without), memory * (1 + memory) / 2)) / 20
    )  # of blocks twice as long as those before
    usual = 1.0
    for number, tried in enumerate(results):
        before, after = tried.place - tried.first, tried.stop - tried.place
        widths = [_widening(size, int(after[0]), memory) for size in _WIDENED]
        deviate = tried.deviate / np.maximum(np.interp(before, _WIDENED, widths), 1.0)
        # a step there is touches as many places as it has blocks around: of few blocks most of them
        if len(deviate) > int(before.max() + after[0]) * (1 if count >= 2 * _SIDE else 2):
            usual = max(usual, float(np.quantile(deviate, 0.3)) / _USUAL_DEVIATE)
        results[number] = tried._replace(deviate=deviate / usual)
    return _Windows(*(np.concatenate(parts) for parts in zip(*results, strict=True))), memory


def _fit_windows(x: Array, y: Array, place: Index, first: Index, stop: Index, *, noise: float) -> _Windows:
    """Fit a cubic and a step in each window, all at once: windows are padded with points of no weight."""
    width = int((stop - first).max())
    index = first[:, None] + np.arange(width)
    weight = (index < stop[:, None]).astype(float)
    index = np.minimum(index, len(y) - 1)
    left, right = x[first], x[stop - 1]
    t = ((x[index] - 0.5 * (left + right)[:, None]) / np.maximum(0.5 * (right - left), 1e-12)[:, None]) * weight
    after = (index >= place[:, None]) * weight
    base = y[place][:, None]
    design = np.stack([weight, t, t * t, t**3, after], axis=2)
    target = (y[index] - base) * weight
    turned = design.transpose(0, 2, 1)
    inverse = np.linalg.inv(turned @ design + 1e-10 * np.eye(_DEGREE + 2))
    solution = (inverse @ (turned @ target[:, :, None]))[:, :, 0]
    missed = target - (design @ solution[:, :, None])[:, :, 0]
    freedom = weight.sum(axis=1) - (_DEGREE + 2)
    spread = np.maximum((missed**2).sum(axis=1) / freedom, noise**2)
    student = solution[:, -1] / np.sqrt(np.maximum(inverse[:, -1, -1] * spread, 1e-30))
    shrink = (8 * freedom + 1) / (8 * freedom + 3)
    deviate = shrink * np.sqrt(freedom * np.log1p(student**2 / freedom))
    return _Windows(solution[:, -1], deviate, place, first, stop)


def _is_step(x: Array, y: Array, place: int) -> bool:
    """Return whether a step describes a window better than a bend at any of its points does.

    Where a decay of the learning rate begins that is not known of, the loss bends, and no level changes.
    """
    t = (x - x.mean()) / max(float(np.ptp(x)) / 2, 1e-12)
    powers = np.stack([t**power for power in range(_DEGREE + 1)], axis=1)
    basis, _ = np.linalg.qr(powers)
    rest = y - basis @ (basis.T @ y)

    def explained(column: Array) -> float:
        column = column - basis @ (basis.T @ column)
        length = float(column @ column)
        return float(column @ rest) ** 2 / length if length > 1e-12 else 0.0

    step = explained((np.arange(len(x)) >= place).astype(float))
    return all(step > explained(np.maximum(t - knot, 0.0)) for knot in t[1:-1])


def _threshold(points: float) -> float:
    """Return the normal deviate that few healthy runs of so many points exceed at any of their looks.

    Few are 5 % of runs simulated with the same search, a third of them each with white noise and with noise that
    correlates at 0.7 and 0.9 from point to point: at most 2.5 %, 7 % and 11 % of these at any of four looks. Fewer
    of them exceed 0.5 % of the loss too, which an alarm needs.
    """
    blocks = min(max(points, FEWEST_POINTS), 4 * _MOST_BLOCKS)
    return float(np.interp(math.log(blocks), [math.log(each) for each in _LENGTHS], _DEVIATES))


_LENGTHS = (25, 50, 100, 200, 400, 1000)
_DEVIATES = (2.8, 3.52, 3.47, 3.45, 3.45, 3.45)
# python -m tests.benchmarks.alarm_scores --null 200, seed 1: what 5 % and (in brackets) 2.5 % exceed
#   points       25          50          100         200         400         1000
#   white        2.12 (2.25) 2.68 (2.80) 2.95 (3.01) 3.21 (3.24) 3.30 (3.37) 3.35 (3.45)
#   r = 0.7      2.81 (2.97) 3.60 (3.76) 3.37 (3.59) 3.44 (3.62) 3.45 (3.65) 3.35 (3.48)
#   r = 0.9      3.00 (3.20) 3.67 (3.97) 3.83 (4.03) 3.72 (3.86) 3.65 (3.77) 3.53 (3.62)
