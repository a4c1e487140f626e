"""Find the table that runs are read from: a file, a data frame, logs, or the final rows of a long history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scaleplan.errors import FileError
from scaleplan.files import is_file, is_folder
from scaleplan.fitting.exports import CURVE, NotRunsError
from scaleplan.fitting.histories import is_large
from scaleplan.fitting.logged import is_log, logged_table, opened
from scaleplan.fitting.table import RawTable, read_table
from scaleplan.logs.logged_run import LoggedRuns
from scaleplan.tables.arrow_files import ENDINGS, arrow_parts
from scaleplan.tables.frames import TooLargeError, collected, is_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.tables.frames import TableLike

    Reduced = Callable[[TableLike | RawTable], RawTable]

__all__ = ["open_table"]

T = TypeVar("T")


def open_table(
    given: TableLike | LoggedRuns | RawTable,
    recognised: Callable[[RawTable], T],
    *,
    by_step: bool,
    reduced: Reduced | None,
) -> tuple[RawTable, T]:
    """Return the table of a file with what is ``recognised`` in it; of a log or a folder, the table of its runs.

    With ``by_step`` the rows of a history are what the user wants, and ``reduced`` gives the final ones where they
    are too many. Raises FileError for what is neither.
    """
    source = _opened(given, reduced)
    if isinstance(source, RawTable):
        return source, recognised(source)
    folder = is_folder(Path(source))
    if folder and not arrow_parts(Path(source)):
        table = logged_table(source)
        return table, recognised(table)
    text = not folder and Path(source).suffix.lower() not in {".csv", ".tsv", *ENDINGS}
    try:
        table = read_table(source)
        return table, recognised(table)
    except TooLargeError as error:
        if reduced is None:
            raise
        if not is_file(Path(source)):  # a pipe, and a history is read twice
            raise TooLargeError(error.message, hint="name its file: more than this is read from no pipe") from None
        table = reduced(source)
        return table, recognised(table)
    except FileError as error:
        curves = isinstance(error, NotRunsError)
        if curves and not by_step and str(source) == "-":  # which cannot be read twice
            hint = "name its file, or make a table of it: scaleplan runs - -o runs.csv"
            raise NotRunsError(error.message, hint=hint) from None
        if by_step or str(source) == "-" or not ((curves or text) and is_log(source, tables=curves)):
            raise
        cause = error
    table = logged_table(source)
    try:
        return table, recognised(table)
    except FileError as error:
        way = "" if CURVE not in (cause.hint or "") else f"; {CURVE}{(cause.hint or '').partition(CURVE)[2]}"
        raise FileError(error.message, hint=f"{error.hint}{way}") from None


def _opened(source: TableLike | LoggedRuns | RawTable, reduced: Reduced | None) -> str | Path | RawTable:
    """Return what runs are read from; ``reduced`` gives the final rows of a history that is large."""
    if reduced is None or isinstance(source, LoggedRuns | RawTable):
        return opened(source)
    source = source if is_path(source) else collected(source)
    if is_large(source):
        return reduced(source)
    try:
        return opened(source)
    except TooLargeError:
        return reduced(source)
