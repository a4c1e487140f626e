"""Find the logs below paths, and read them as runs, one after the other.

A folder is searched for files of the formats in :data:`~scaleplan.logs.registry.FORMATS`; those that belong to one
run (event files after a restart, the metrics of an MLflow run) are one. A run is given on as soon as it is read: a
gigabyte of logs is never in memory at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.logs.log_file import LogFile
from scaleplan.logs.registry import format_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.logs.run_log import RunLog

__all__ = ["is_log", "read_logs"]


def is_log(path: str | Path) -> bool:
    """Return whether a path is a log of training runs, or a folder; ``-`` and tables of runs are not."""
    found = Path(path)
    return found.is_dir() or (found.is_file() and format_of(LogFile(found)) is not None)


def read_logs(paths: Sequence[str | Path]) -> Iterator[RunLog]:
    """Yield the runs of logs and of folders of logs, in the order of the paths and, within a folder, of names.

    Raises FileError for a path that cannot be read or is no log, and for a folder without any.
    """
    for path in paths:
        file = LogFile(None if str(path) == "-" else Path(path))
        known = format_of(file)
        if known is not None:
            for recorder in known.read(file):
                yield recorder.run()
