"""The table of runs that logs amount to, read like any other: what ``runs`` writes, from its file or at once.

Such a table has two losses of a run, and tells how the run ended: which loss is fitted, and which of them are no
final ones, is decided here.
"""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaleplan.errors import FileError, Notice, UsageError, escape_control, quote
from scaleplan.fitting.table import RawTable, frame_table
from scaleplan.logs.logged_run import AT_END, LoggedRuns
from scaleplan.record import as_mapping
from scaleplan.tables.cells import is_missing, to_numbers, to_text
from scaleplan.tables.frames import is_path, source_name
from scaleplan.tables.headings import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Index, Mask
    from scaleplan.tables.frames import TableLike

__all__ = [
    "is_log",
    "is_logged",
    "logged_doubts",
    "logged_loss",
    "logged_names",
    "logged_table",
    "opened",
    "unknown_size",
]

_MARKS = frozenset({"run", "state", "smoothing", "val_step", "format", "source", "line"})
"""Columns that the table of ``runs`` has, and no other has all of."""

_DECAYING = frozenset({"cosine", "linear", "wsd", "exponential", "steps"})
"""Schedules whose end lowers the loss: before it a loss is no final one."""

_FAILED = frozenset({"crashed", "diverged", "running"})


_READERS = {"runs": "scaleplan.logs.collect", "is_log": "scaleplan.logs.log_reading"}
"""The functions that read logs, imported where there is one: they know every trainer and every family of models."""


def _reader(name: str) -> Any:  # noqa: ANN401  functions of two signatures
    return getattr(import_module(_READERS[name]), name)


def is_log(source: TableLike, *, tables: bool) -> bool:
    """Return whether a file is a log; with ``tables`` a plain table of curves is one, too."""
    found: bool = _reader("is_log")(source, tables=tables)
    return found


def is_logged(table: RawTable) -> bool:
    """Return whether a table is one that ``runs`` makes."""
    return _MARKS.issubset(table.names)


def opened(source: TableLike | LoggedRuns | RawTable) -> str | Path | RawTable:
    """Return what runs are read from: a path, or the table that is in memory."""
    if isinstance(source, LoggedRuns):
        return _table_of(source, "logged runs")
    if isinstance(source, RawTable) or is_path(source):
        return source
    return frame_table(source)


def logged_table(source: TableLike) -> RawTable:
    """Return the table of the runs of a log or a folder of logs, with the row numbers of the CSV file it would be."""
    name = escape_control(Path(source_name(source)).name or str(source))
    return _table_of(_reader("runs")(source), name)


def _table_of(found: LoggedRuns, name: str) -> RawTable:
    """Return the table that ``runs`` has made, under a name."""
    if not found.runs:
        raise FileError(f"{quote(name)} holds no run", hint="name a log, a folder of logs, or a table of runs")
    records = [{name: _cell(value) for name, value in _row(run).items()} for run in found.runs]
    names = tuple(records[0])
    digest = hashlib.sha256(json.dumps(records, sort_keys=True).encode()).hexdigest()
    return RawTable(
        source=name,
        sha256=digest,
        names=names,
        records=[[record[name] for name in names] for record in records],
        rows=tuple(range(2, len(records) + 2)),
        notices=tuple(map(_with_its_command, found.warnings)),
    )


def _with_its_command(notice: Notice) -> Notice:
    """Return a notice whose options are those of ``runs`` with the command that takes them."""
    message = notice.message.replace("; give --", "; in 'scaleplan runs -o runs.csv' give --")
    return Notice(code=notice.code, message=message)


def _row(run: object) -> dict[str, object]:
    row = as_mapping(run)
    assert isinstance(row, dict)
    return row


def _cell(value: object) -> str | int | float | bool | None:
    if isinstance(value, list):  # its warnings: their codes, as in a CSV file
        return " ".join(str(item["code"]) for item in value)
    assert value is None or isinstance(value, str | int | float | bool)
    return value


def logged_loss(table: RawTable) -> tuple[str, str]:
    """Return the column of the loss to fit and a note: validation at the end where every run has it, or training."""
    states = [to_text(cell) for cell in table.column("state")]
    finished = "finished" in states
    counted = [i for i, state in enumerate(states) if (state == "finished" if finished else state not in _FAILED)]
    val, at, steps, train = (to_numbers(table.column(name))[0] for name in ("val_loss", "val_step", "steps", "loss"))
    with np.errstate(invalid="ignore"):
        measured: Mask = np.isfinite(val) & (at >= AT_END * steps)
    lacking = [to_text(table.column("run")[i]) for i in counted if not measured[i]]
    if counted and not lacking:
        return "val_loss", "loss is 'val_loss', the last validation loss; --map loss=loss takes the training loss"
    if not np.isfinite(train[counted]).any():
        return "val_loss", "loss is 'val_loss', the last validation loss: no run has a training loss"
    some = f"not every run has a validation loss at its end ({listed(lacking, most=3)})"
    why = some if len(lacking) < len(counted) else "no run has a validation loss at its end"
    way = "; --map loss=val_loss takes the last ones" if np.isfinite(val).any() else ""
    return "loss", f"loss is 'loss', the training loss over the last part: {why}{way}"


def logged_doubts(table: RawTable, positions: Index, *, loss_unit: str | None) -> tuple[Notice, ...]:
    """Return a warning for runs in use that ended before their learning rate had decayed; none of another table.

    Raises UsageError where their losses are in another unit than the user states, where one is used at all.
    """
    if not is_logged(table):
        return ()
    if loss_unit is not None:
        _require_unit(table, loss_unit, positions)
    return _undecayed(table, positions)


def logged_names(table: RawTable, dropped: Sequence[int]) -> tuple[str, ...]:
    """Return a note with the names of the runs in dropped rows: of logs, rows are those of no file."""
    if not dropped or not is_logged(table):
        return ()
    names = dict(zip(table.rows, map(to_text, table.column("run")), strict=True))
    return (f"runs dropped: {listed([names[row] for row in dropped], most=6)}",)


def _require_unit(table: RawTable, loss_unit: str, positions: Index) -> None:
    column = table.column("loss_unit")
    units = {to_text(column[i]) for i in positions.tolist() if not is_missing(column[i])} or {loss_unit}
    if len(units) > 1:
        raise UsageError(
            f"the losses of {table.source} are in {' and '.join(sorted(units))}",
            hint=f"--where 'loss_unit = {min(units)}' keeps those of one unit",
        )
    (unit,) = units
    if unit != loss_unit:
        raise UsageError(
            f"the losses of {table.source} are in {quote(unit)}, not in {loss_unit}",
            hint=f"--loss-unit {unit} reads them",
        )


def _undecayed(table: RawTable, positions: Index) -> tuple[Notice, ...]:
    columns = {name: table.column(name) for name in ("run", "state", "schedule")}
    names = [
        to_text(columns["run"][i])
        for i in positions.tolist()
        if to_text(columns["state"][i]) in ("stopped", "running") and to_text(columns["schedule"][i]) in _DECAYING
    ]
    if not names:
        return ()
    message = (
        f"{len(names)} of {len(positions)} runs ended before their learning rate had decayed "
        f"({listed(names, most=3)}): that is not the loss of a whole run on their tokens; "
        "--where 'state = finished' leaves them out"
    )
    return (Notice(code="not_decayed", message=message),)


def unknown_size(table: RawTable, role: str) -> FileError:
    """Return the error for logs that do not tell the parameters or the tokens of any run."""
    first = to_text(table.column("run")[0])
    if role == "params":
        return FileError(
            f"{table.source}: no log tells the parameters of its run, and no config beside it does",
            hint="--map params=125M holds for all runs; 'scaleplan runs PATH "
            f"--params {quote(first)[1:-1]}=125M -o runs.csv' for one",
        )
    return FileError(
        f"{table.source}: no log tells the tokens of its run",
        hint="--map 'tokens=steps*524288' multiplies its steps by the tokens of a step; 'scaleplan runs PATH "
        "--tokens-per-step 524288 -o runs.csv' does too",
    )
