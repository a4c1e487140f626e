"""Open a long log without its middle, for how far its run is: the first lines tell what it is, the last where."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, quote, system_reason
from scaleplan.logs.formats import format_of
from scaleplan.logs.log_file import LogFile

if TYPE_CHECKING:
    from pathlib import Path

    from scaleplan.logs.formats import LogFormat

__all__ = ["ends_of"]

_LONG = 1 << 22
"""Bytes from which on the middle of a log is left out: shorter ones are read in a fraction of a second."""

_HEADS = (1 << 18, 1 << 22)
"""Bytes of the beginning that are kept, more of a log whose first entry comes late."""

_TAIL = 1 << 20
"""Bytes of the end that are kept: thousands of lines, of which a final loss is the median."""

_WHOLE = frozenset(
    {"tensorboard-events", "huggingface", "mlflow", "tensorboard-scalars", "wandb-chart", "json-history"}
)
"""Formats that are not lines of entries in the order in which they were written."""

_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b")
"""How files begin whose end cannot be read alone: UTF-16, and what gzip has compressed."""


def ends_of(path: Path) -> LogFile:
    """Return a log with its first and last lines, or as it is where it is short, or cannot be read so.

    Raises FileError where it cannot be read.
    """
    whole = LogFile(path)
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        return whole
    if size < _LONG or whole.head.startswith(_MARKS):
        return whole
    known = format_of(whole)
    if known is None or known.name in _WHOLE:
        return whole
    for length in _HEADS:
        if length + _TAIL >= size:
            return whole
        head, tail = _read(path, length, size)
        cut = LogFile(path, data=head + tail)
        if known.recognises(cut):
            # nothing but warnings in the last lines, or a start from the first step: the middle has the last step
            return cut if _last_step(cut, known) > _last_step(LogFile(path, data=head), known) else whole
    return whole


def _read(path: Path, length: int, size: int) -> tuple[bytes, bytes]:
    """Return the first and the last lines of a file."""
    try:
        with path.open("rb") as file:
            head = file.read(length)
            file.seek(size - _TAIL)
            tail = file.read()
    except OSError as error:
        raise FileError(f"cannot read {quote(path)}: {system_reason(error)}") from None
    ends = [place for end in (b"\n", b"\r") if (place := tail.find(end)) >= 0]
    return head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1], tail[min(ends, default=-1) + 1 :]


def _last_step(file: LogFile, known: LogFormat) -> float:
    """Return the last step of the last run in a log; -1 of none."""
    step = -1.0
    for recorder in known.read(file):
        run = recorder.run()
        lost = -1.0 if run.not_finite is None else run.not_finite.last
        step = max(lost, -1.0 if math.isnan(run.last_step) else run.last_step)
    return step
