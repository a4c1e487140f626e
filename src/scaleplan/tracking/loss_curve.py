"""The loss of one run along its training, as every method of this package takes it, and its single outliers.

A point that lies off the curve is taken out before anything is compared, and named where the loss rose.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.arrays import Array, Mask
    from scaleplan.logs.learning_rate import LearningRate

__all__ = ["CleanedCurve", "LossCurve", "LossSpike", "averaged", "clean_curve"]


class LossCurve(Record, eq=False):
    """The loss (nats or any one unit, positive) of a run at rising ``steps``, of ``total`` planned ones.

    ``steps`` count optimizer steps or tokens, as ``total`` does; only shares of the run matter but for the schedule,
    which counts the same. ``params`` and ``tokens`` (of the whole run) are None where unknown. ``stride`` is how many
    entries of the log one point averages.
    """

    name: str
    steps: Array
    loss: Array
    total: float
    schedule: LearningRate | None = None
    params: float | None = None
    tokens: float | None = None
    stride: int = 1

    @property
    def seen(self) -> float:
        """The share of the run that was seen."""
        return float(self.steps[-1]) / self.total if len(self.steps) else 0.0

    def until(self, step: float) -> LossCurve:
        """Return the part up to a step."""
        count = int(np.searchsorted(self.steps, step, side="right"))
        return replace(self, steps=self.steps[:count], loss=self.loss[:count])


def averaged(steps: Array, values: Array, most: int) -> tuple[Array, Array, int]:
    """Return at most so many points, each the mean of neighbours, and of how many; the last may be of fewer."""
    group = -(-len(steps) // most)
    if group <= 1:
        return steps, values, 1
    starts = np.arange(0, len(steps), group)
    counts = np.diff(np.append(starts, len(steps)))
    return np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts, group


_MEDIANS = (9, 17, 33, 65)
"""Points of the running medians that spikes are seen against, one after the other: each passes over rises of fewer
than half as many points."""

_PARTS = 4
"""How many times a wider median must fit in the curve: a rise that lasts longer than an eighth of it is no spike."""

_SPIKE = 6.0
"""Robust standard deviations of a spike: of 65,536 normal points one in ten thousand runs has one."""


class LossSpike(Record):
    """A rise of the loss that was over again: the step of its first point, its height as a share, and its points."""

    step: float
    height: float
    points: int


class CleanedCurve(NamedTuple):
    """ln loss with the median of their neighbours in place of single outliers, and those above it."""

    logs: Array
    spikes: tuple[LossSpike, ...]


def clean_curve(steps: Array, logs: Array) -> CleanedCurve:
    """Return ln loss without its spikes; a curve of fewer points than the median takes is returned as it is."""
    if len(logs) <= _MEDIANS[0]:
        return CleanedCurve(logs, ())
    trend = _trend(steps, logs)
    level = cleaned = logs - trend
    for width in _MEDIANS:
        if width > _MEDIANS[0] and len(logs) < _PARTS * width:
            break
        cleaned = _without(cleaned, width, rises=True)
    cleaned = _without(cleaned, _MEDIANS[0], rises=False)  # between a rise and a lasting step the loss seems to dip
    miss = level - cleaned
    spikes = []
    for first, stop in _stretches(miss > 0):
        height = math.expm1(float(miss[first:stop].max()))
        if height >= _SEEN_SPIKE:
            spikes.append(LossSpike(step=float(steps[first]), height=height, points=stop - first))
    return CleanedCurve(cleaned + trend, tuple(spikes))


def _trend(steps: Array, logs: Array) -> Array:
    """Return a cubic of ln step through a curve: what is left of it hardly bends."""
    away = np.log(steps - steps[0] + max(float(np.median(np.diff(steps))), 1e-12))
    away = (away - away.mean()) / max(float(np.ptp(away)), 1e-12)
    powers = np.stack([away**power for power in range(4)], axis=1)
    trend: Array = powers @ np.linalg.solve(powers.T @ powers + 1e-9 * np.eye(4), powers.T @ logs)
    return trend


def _without(logs: Array, width: int, *, rises: bool) -> Array:
    """Return ln loss without the rises, or dips, that lie off its running median and stand out from both sides."""
    half, narrow = width // 2, width == _MEDIANS[0]
    window = np.lib.stride_tricks.sliding_window_view
    around = window(np.pad(logs, half, mode="reflect", reflect_type="odd"), width)
    median = np.partition(around, half, axis=1)[:, half].copy()
    scale = 1.4826 * float(np.median(np.abs(logs - median))) * 1.06  # a median of nine follows its own middle
    limit = max(_SPIKE * scale, _LEAST)
    off = np.flatnonzero((logs - median if rises else median - logs) > limit)
    off = off[(off >= half) & (off < len(logs) - 1)]  # the first have nothing before them, the last may stay
    slope = np.median(np.diff(around[off], axis=1), axis=1)  # of a curve that falls from point to point
    median[off] = np.median(around[off] - slope[:, None] * (np.arange(width) - half), axis=1)
    sides = window(np.pad(logs, width - 1, mode="reflect", reflect_type="odd"), width - 1)
    fall = slope * width / 2  # from the middle of either side to the point
    before, after = np.median(sides[off], axis=1) + fall, np.median(sides[off + width], axis=1) - fall
    # a spike stands out from both sides, a steep fall and a lasting step from one
    clear = limit if narrow else 0.5 * limit  # of many points the mean is what counts, and its noise is less
    if rises:
        outside = (logs[off] > np.maximum(before, after) + clear) & (logs[off] - median[off] > limit)
    else:
        outside = (logs[off] < np.minimum(before, after) - clear) & (median[off] - logs[off] > limit)
    out = np.zeros(len(logs), dtype=bool)
    out[off] = outside
    kept = np.flatnonzero(~out)
    if len(kept) == len(logs):
        return logs
    beside = np.pad(logs[kept], _MEDIANS[0] // 2, mode="reflect", reflect_type="odd")
    level = np.median(window(beside, _MEDIANS[0]), axis=1)  # of what is no spike, unlike the median above
    return np.where(out, np.interp(np.arange(len(logs)), kept, level), logs)


_LEAST = 0.01
"""ln loss that an outlier is off by at least: a smooth curve has hardly any noise to compare with."""

_SEEN_SPIKE = 0.05
"""Height of a spike that is worth a line."""


def _stretches(mask: Mask) -> Iterator[tuple[int, int]]:
    """Yield where each stretch of true values begins and has ended."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
