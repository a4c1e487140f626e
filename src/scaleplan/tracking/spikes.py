"""Single points of a loss curve that lie off it: taken out before anything is compared, and named where they rose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.arrays import Array, Mask

__all__ = ["CleanedCurve", "LossSpike", "clean_curve"]

_MEDIAN_OF = 9
"""Points of the running median that spikes are seen against: it passes over up to four points in a row."""

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
    if len(logs) <= _MEDIAN_OF:
        return CleanedCurve(logs, ())
    half = _MEDIAN_OF // 2
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(logs, half, mode="reflect", reflect_type="odd"), _MEDIAN_OF
    )
    falls = np.diff(around, axis=1)
    slope = np.median(falls, axis=1)
    bent = np.diff(logs, 2)
    noise = 1.4826 * float(np.median(np.abs(bent))) / math.sqrt(6)
    slope = np.where(np.abs(slope) > 2 * noise, slope, 0.0)  # a fall that shows from point to point is taken out
    median: Array = np.median(around - slope[:, None] * (np.arange(_MEDIAN_OF) - half), axis=1)
    miss = logs - median
    scale = 1.4826 * float(np.median(np.abs(miss))) * 1.06  # a median of nine follows its own middle
    out = np.abs(miss) > max(_SPIKE * scale, _LEAST)
    sides = np.pad(logs, _MEDIAN_OF - 1, mode="reflect", reflect_type="odd")
    medians = np.median(np.lib.stride_tricks.sliding_window_view(sides, _MEDIAN_OF - 1), axis=1)
    before, after = medians[: len(logs)], medians[_MEDIAN_OF : _MEDIAN_OF + len(logs)]
    # a spike stands out from both sides; the steep beginning of a curve from one
    out &= (logs > np.maximum(before, after)) | (logs < np.minimum(before, after))
    out[:half] = False  # nothing lies before them that they could be off from
    out[-1] = False  # may be the first of a new level
    spikes = []
    for first, stop in _stretches(out & (miss > 0)):
        height = math.expm1(float(miss[first:stop].max()))
        if height >= _SEEN_SPIKE:
            spikes.append(LossSpike(step=float(steps[first]), height=height, points=stop - first))
    return CleanedCurve(np.where(out, median, logs), tuple(spikes))


_LEAST = 0.01
"""ln loss that an outlier is off by at least: a smooth curve has hardly any noise to compare with."""

_SEEN_SPIKE = 0.05
"""Height of a spike that is worth a line."""


def _stretches(mask: Mask) -> Iterator[tuple[int, int]]:
    """Yield where each stretch of true values begins and has ended."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
