"""Follow the log of a running training: look again when it has grown, for less than a hundredth of a core."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from scaleplan.errors import FileError, UsageError
from scaleplan.logs.run_log import LoggedCurve, RunLog, Stated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["continued", "looks"]

_SHARE = 0.01
"""The share of a core that watching may take: after a look that took some time of the processor, the next is not
before a hundred times as much has passed."""

_MOST_FILES = 1000  # of a folder whose changes are watched

T = TypeVar("T")

Signature = tuple[tuple[int, int, int], ...]


def looks(
    log: str | Path,
    read: Callable[[], RunLog],
    answer: Callable[[RunLog], T],
    done: Callable[[T], bool],
    *,
    every: float,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.process_time,
    spent: float = 0.0,
) -> Iterator[T]:
    """Yield the answer now, and again each time that the log has changed, until one of them is the last.

    A log that was rotated or truncated goes on from what was read before. While it is gone, or cannot be read because
    it is being written, the last answer stands.

    Parameters
    ----------
    log
        The file or the folder.
    read, answer
        Read the log anew, and answer for what was read.
    done
        Whether an answer is the last: the run has ended, or must stop.
    every
        Seconds between two looks at least.
    sleep, clock
        Wait for some seconds, and the processor time so far; others in tests.
    spent
        Processor time before the first look that watching took too: that of the start of a program.

    """
    path = Path(log)
    if str(log) == "-":
        raise UsageError("standard input cannot be watched", hint="name the file that the run writes")
    before: RunLog | None = None
    older: RunLog | None = None  # of a log that was replaced, what was read until then
    seen: Signature = ()
    while True:
        began = clock()
        now = _signature(path)
        if now != seen or before is None:
            found = _read(read, first=before is None)
            if found is not None:
                if _replaced(seen, now):
                    older = before
                if older is not None:
                    found = continued(older, found)
                before, seen = found, now
                given = answer(found)
                yield given
                if done(given):
                    return
        sleep(max(every, (clock() - began + spent) / _SHARE))
        spent = 0.0


def _read(read: Callable[[], RunLog], *, first: bool) -> RunLog | None:
    """Read the log; None where it cannot be read just now."""
    try:
        return read()
    except FileError:
        if first:
            raise
        return None


def _signature(path: Path) -> Signature:
    """Return what changes when a log grows or is replaced: identity, size and time of its files."""
    try:
        files = sorted(each for each in path.rglob("*") if each.is_file())[:_MOST_FILES] if path.is_dir() else [path]
        found = [each.stat() for each in files]
    except OSError:
        return ()
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)


def _replaced(before: Signature, now: Signature) -> bool:
    """Return whether the one file of a log is another, or shorter, than it was."""
    if len(before) != 1 or len(now) != 1:
        return False
    return before[0][0] != now[0][0] or now[0][1] < before[0][1]


def continued(before: RunLog, after: RunLog) -> RunLog:
    """Return a run whose log was begun anew: what was read before, up to where the new log begins.

    A log that begins where the old one did is that of a new run, or was written anew as a whole.
    """
    first = min((float(curve.steps[0]) for curve in after.curves.values() if len(curve)), default=float("nan"))
    start = min((float(curve.steps[0]) for curve in before.curves.values() if len(curve)), default=float("nan"))
    if not first > start:
        return after
    curves = {}
    for name in dict.fromkeys((*before.curves, *after.curves)):
        old, new = before.curves.get(name), after.curves.get(name)
        if old is None or new is None or not len(new):
            curves[name] = old if new is None or not len(new) else new
            continue
        kept = old.steps < new.steps[0]
        values = new.values
        if name == "seconds" and kept.any() and len(values) and values[0] < old.values[kept][-1]:
            values = values - values[0] + old.values[kept][-1]  # a clock that began anew
        curves[name] = LoggedCurve(
            steps=np.append(old.steps[kept], new.steps),
            values=np.append(old.values[kept], values),
            stride=max(old.stride, new.stride),
        )
    stated = {
        item.name: getattr(before.stated if getattr(after.stated, item.name) is None else after.stated, item.name)
        for item in fields(Stated)
    }
    return replace(
        after,
        curves={name: curve for name, curve in curves.items() if curve is not None},
        stated=Stated(**stated),
        label=after.label or before.label,
        val_label=after.val_label or before.val_label,
        warnings=tuple(dict.fromkeys((*before.warnings, *after.warnings))),
    )
