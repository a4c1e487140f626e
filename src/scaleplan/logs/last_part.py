"""What came out of a run: the loss over the last part of its curve, and how the run ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.arrays import Array
    from scaleplan.logs.logged_run import RunState
    from scaleplan.logs.run_log import LoggedCurve, RunLog

__all__ = [
    "DIVERGED",
    "FinalLoss",
    "final_loss",
    "has_risen",
    "is_growing",
    "last_entry",
    "lowest",
    "reaches",
    "rise",
    "state_of",
    "step_text",
]

_LAST_PART = 0.02
"""The share of the steps that a final loss is taken over: the loss falls by less than 0.2 % within it, at an exponent
of 0.1 of the steps, and its noise is averaged."""

_LEAST_ENTRIES, _LONGEST_PART = 10, 0.05
"""A log with fewer entries in that part is read further back, for this many, and at most over this share."""

DIVERGED = 1.2
"""A training loss above its lowest by this factor is that of a run that came apart: at L = 1.8 + 0.7 (D/D_end)^-0.3,
that of a run at its end, it has lost what six of seven of its tokens had brought."""

_RISEN = 1.05
"""One above by this factor is worth a warning: the noise of an average over a last part is a tenth of it."""

_NOTHING = 1e-3
"""A rate below this share of its peak: a cosine has it in its last 2 %, in which it moves the loss by nothing."""

_FEW_BLOCKS = 4  # a curve of fewer last parts has no lowest to compare with

_MINUTES = 5.0
"""A log that was written to within these minutes may be written to still: trainers print every few seconds to every
few minutes."""

_CREATED = 2.0
"""Seconds: a file that is copied or unpacked is written as soon as its name appears in the folder."""

_CLOCKS = 15 * 3600.0
"""Seconds: the clock of a log may be that of any time zone."""

_MOST_FILES = 1000  # of a folder that are looked at for the time of writing


_EXACT = 2.0**53
"""Whole numbers above it are not all numbers of double precision: their digits say nothing."""


class FinalLoss(NamedTuple):
    """A loss, what it is the median of, and how many entries of the curve that is."""

    value: float
    smoothing: str
    entries: int


def step_text(step: float) -> str:
    """Return a step as text: ``1500``, ``1500.5``, ``1e+300``."""
    return f"{step:.0f}" if float(step).is_integer() and abs(step) < _EXACT else format_plain(step)


def final_loss(curve: LoggedCurve, smoothed: str | None = None) -> FinalLoss:
    """Return the median of the last part of a curve with at least one entry.

    ``smoothed`` says what an entry of the log is already: of a running mean the last one stands.
    """
    end = float(curve.steps[-1])
    count = int(np.count_nonzero(curve.steps >= end * (1 - _LAST_PART)))
    if count < _LEAST_ENTRIES:
        count = min(_LEAST_ENTRIES, int(np.count_nonzero(curve.steps >= end * (1 - _LONGEST_PART))))
    running = smoothed is not None and "running" in smoothed
    count = 1 if running else max(count, 1)
    steps, values = curve.steps[-count:], curve.values[-count:]
    each = "" if smoothed is None or stride_text(curve) else f", each the {smoothed}"
    if count == 1:
        what = f", a {smoothed}" if running else f", the {smoothed}" if smoothed else ""
        return FinalLoss(float(values[0]), f"last entry, step {step_text(steps[0])}{what}", 1)
    span = f"steps {step_text(steps[0])} to {step_text(steps[-1])}"
    text = f"median of the last {count} entries, {span}{each}{stride_text(curve)}"
    return FinalLoss(float(np.median(values)), text, count)


def stride_text(curve: LoggedCurve) -> str:
    """Return what an entry of a long curve is; nothing of one that was kept as it is."""
    return "" if curve.stride == 1 else f", each the mean of {curve.stride} entries of the log"


def last_entry(curve: LoggedCurve | None) -> tuple[float, float] | None:
    """Return step and value of the last entry."""
    return None if curve is None else (float(curve.steps[-1]), float(curve.values[-1]))


def lowest(curve: LoggedCurve | None) -> tuple[float, float] | None:
    """Return step and value of the lowest entry, the first of equals."""
    if curve is None:
        return None
    at = int(np.argmin(curve.values))
    return float(curve.steps[at]), float(curve.values[at])


def rise(curve: LoggedCurve, final: FinalLoss) -> float:
    """Return the factor by which a curve ends above its lowest part, of parts with as many entries as its last."""
    values = curve.values
    blocks = len(values) // final.entries
    if blocks < _FEW_BLOCKS:
        return 1.0
    parts: Array = np.median(values[len(values) - blocks * final.entries :].reshape(blocks, -1), axis=1)
    least = float(np.min(parts))
    return final.value / least if least > 0 else 1.0


def has_risen(factor: float) -> bool:
    """Return whether a loss that ends above its lowest part by a factor is worth a warning."""
    return factor > _RISEN


def state_of(run: RunLog, *, total: float | None, growing: bool) -> RunState | None:
    """Return how a run ended; None where its log does not tell.

    ``total`` is the step at which it was to end, None where that is not known.
    """
    train = run.curves.get("loss")  # a validation loss rises where data repeat
    if run.lost or (train is not None and rise(train, final_loss(train, run.stated.smoothing)) > DIVERGED):
        return "diverged"
    if run.ended == "crashed":
        return "crashed"
    at_end = (total is not None and reaches(total, run)) or _has_decayed(run.curves.get("lr"))
    if at_end or (run.ended == "finished" and total is None):
        return "finished"
    if growing and run.ended is None:
        return "running"
    return "stopped" if total is not None and run.curves else None


def _has_decayed(rates: LoggedCurve | None) -> bool:
    """Return whether a rate has fallen to nothing, from where no training leads on.

    One that is printed with a few decimals is nothing in print long before.
    """
    if rates is None or not 0 <= rates.values[-1] <= _NOTHING * (peak := float(rates.values.max())) > 0:
        return False
    levels = rates.values[rates.values > 0]
    repeated = np.count_nonzero(levels == levels.min()) > 1  # a unit of the last decimal
    return not (repeated and 0.5 * float(levels.min()) > _NOTHING * peak)


def reaches(total: float, run: RunLog) -> bool:
    """Return whether the entry after the last one would lie beyond the end.

    Trainers that count from 0 have their last step at total - 1, and the last entry of every k steps at total - k.
    """
    missing = total - run.last_step
    longest = max(run.curves.values(), key=len, default=None)
    if longest is None or len(longest) < 2:
        return missing <= 1
    interval = float(np.median(np.diff(longest.steps[-20:])))
    return missing <= 1 or missing < interval or (missing <= interval and float(longest.steps[0]) == 0)


def is_growing(run: RunLog, *, now: float) -> bool:
    """Return whether the log of a run has just been written to by a trainer.

    A file that was copied is new too: the folder, which changes when a file appears in it, is as new as that.
    """
    if run.source == "-" or (run.written is not None and abs(now - run.written) > _CLOCKS):
        return False
    path = Path(run.source)
    try:
        folder = path if path.is_dir() else path.parent
        created = folder.stat().st_mtime
        written = max(_times(path), default=float("-inf"))
    except (OSError, ValueError):
        return False
    return now - 60 * _MINUTES <= written <= now + _CREATED and written > created + _CREATED


def _times(path: Path) -> Iterator[float]:
    """Yield when a file, or each file of a folder, was last written."""
    if not path.is_dir():
        yield path.stat().st_mtime
        return
    with os.scandir(path) as entries:
        for _, entry in zip(range(_MOST_FILES), entries, strict=False):
            if entry.is_file():
                yield entry.stat().st_mtime
