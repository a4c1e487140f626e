"""Choose rows as the user asks for them: by number, by a flag, or the final row of each run of a history."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.fitting.exports import step_column
from scaleplan.tables.cells import to_numbers, to_text
from scaleplan.tables.headings import normalised

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence

    from scaleplan.arrays import Array
    from scaleplan.fitting.mapping import ColumnMapping
    from scaleplan.fitting.table import RawTable
    from scaleplan.tables.cells import Cell

__all__ = [
    "CARRIED",
    "dropped_reasons",
    "earlier_steps",
    "final_row",
    "is_written_nan",
    "marked_rows",
    "ordered_runs",
    "rows_by_number",
    "run_labels",
]

CARRIED = ("params", "tokens", "flops", "tokens_per_param", "unique_tokens")
"""What a tracker may write in another row than the loss."""

_FLAGS = frozenset(
    {
        *("diverged", "diverge", "nan", "failed", "crashed", "exclude", "excluded", "outlier", "invalid", "bad"),
        *("ignore", "skip", "drop", "flag", "flagged", "is diverged", "has diverged", "is outlier", "is nan"),
        *("broken",),
    }
)
"""What a column that marks failed runs is called."""

_TRUE = frozenset({"true", "yes", "y", "1", "1.0", "x", "t"})

_DROPPABLE = ("outlier", "worse_than_smaller", "same_point", "compute_differs", "crashed", "marked")
_FAILED = {"diverged": ("worse_than_smaller", "diverged")}
"""The flags that a word of the user stands for, beside its own."""


def dropped_reasons(drop: Collection[str], table: RawTable) -> set[str]:
    """Return the reasons whose flags drop a row; a column of the file that marks rows is one more."""
    known = {name: _FAILED.get(name, (name,)) for name in (*_DROPPABLE, *_FAILED)}
    reasons = {reason for name in drop for reason in known.get(name, ())}
    return reasons | ({"marked"} if any(_columns_called(name, table) for name in drop) else set())


def _columns_called(name: str, table: RawTable) -> list[str]:
    return [column for column in table.names if name in (column, normalised(column))]


def marked_rows(table: RawTable, drop: Collection[str]) -> dict[int, str]:
    """Return what marks each row that a column of flags marks, of those that the user names or that are called so.

    Raises UnknownNameError for a name that is neither a reason nor a column.
    """
    named: list[str] = []
    for name in drop:
        columns = _columns_called(name, table)
        if not columns and name not in (*_DROPPABLE, *_FAILED):
            flags = [column for column in table.names if normalised(column) in _FLAGS]
            raise UnknownNameError("flag", name, [*_FAILED, *_DROPPABLE, *flags])
        named += columns
    named = named or [column for column in table.names if normalised(column) in _FLAGS]
    found: dict[int, str] = {}
    for column in named:
        cells = [to_text(cell).casefold() for cell in table.column(column)]
        found |= {i: f"column {quote(column)} is {quote(cells[i])}" for i in range(len(cells)) if cells[i] in _TRUE}
    return found


def rows_by_number(texts: Collection[str], table: RawTable, *, among: Sequence[int]) -> dict[int, str]:
    """Return the positions of rows that are given by number or range: ``492-494``, ``7,9``.

    ``among`` are the numbers of all rows of the file, of which the table may have some.

    Raises UsageError for a text that is no range of rows, or a row that the file does not have.
    """
    positions = {row: position for position, row in enumerate(table.rows)}
    found: dict[int, str] = {}
    for text in (part.strip() for item in ([texts] if isinstance(texts, str) else texts) for part in item.split(",")):
        match = re.fullmatch(r"(\d{1,9})(?:\s*[-–]\s*(\d{1,9}))?", text)
        if match is None:
            raise UsageError(f"{quote(text)} is no row or range of rows", hint="--drop-rows 492-494,501")
        first, end = int(match[1]), int(match[2] or match[1])
        if end < first or not any(first <= row <= end for row in among):
            spans = f"rows {among[0]} to {among[-1]} hold runs"
            raise UsageError(f"{table.source} has no row {text}", hint=f"{spans}; the header of a CSV file is row 1")
        found |= {positions[row]: f"row {row}" for row in table.rows if first <= row <= end}
    return found


def run_labels(
    table: RawTable, columns: Mapping[str, ColumnMapping], keys: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """Return what tells for each row which run it is of: its name and group, and the values of ``keys``.

    Raises UsageError for a table without names.
    """
    if "name" not in columns:
        hint = "--map name=COLUMN says which rows are one run"
        raise UsageError("--last needs a column with the names of runs", hint=hint)
    missing = [""] * len(table.rows)
    parts = [columns[role].texts(table) if role in columns else missing for role in ("name", "group")]
    parts += [[to_text(cell) for cell in table.column(key)] for key in keys]
    return [*zip(*parts, strict=True)]


def ordered_runs(table: RawTable, labels: Sequence[Hashable]) -> list[list[int]]:
    """Return the positions of the rows of each run, in the order of their steps, or of the file."""
    step = step_column(table.names)
    order = np.arange(len(table.rows), dtype=np.float64) if step is None else to_numbers(table.column(step))[0]
    runs: dict[Hashable, list[int]] = {}
    for position, label in enumerate(labels):
        runs.setdefault(label, []).append(position)
    place = np.where(np.isfinite(order), order, -math.inf)  # no run has an infinite step
    return [sorted(members, key=lambda i: (place[i], i)) for members in runs.values()]


def final_row(ordered: Sequence[int], loss: Array, cells: Sequence[Cell]) -> int:
    """Return the final row of a run that has a loss, of its rows in order; the last where none has.

    A loss that is written as NaN is a measurement, of a run that diverged, unless most of its rows have it.
    """
    nans = [i for i in ordered if math.isnan(loss[i]) and is_written_nan(to_text(cells[i]))]
    written = set(nans) if 2 * len(nans) < len(ordered) else set()
    measured = [i for i in ordered if not math.isnan(loss[i]) or i in written]
    return (measured or ordered)[-1]


def is_written_nan(text: str) -> bool:
    """Return whether a cell says that its number is NaN, rather than nothing."""
    return text.casefold().strip("+-") == "nan"


def earlier_steps(
    table: RawTable,
    columns: Mapping[str, ColumnMapping],
    given: Mapping[str, Array],
    *,
    apart: Sequence[object] | None = None,
) -> dict[int, str]:
    """Return the rows of each run but its final one with a loss, and carry the sizes of its earlier rows forward.

    Rows of one name (and group, and value of ``apart``) are one run, in the order of their steps, or of the file. Of
    a table that was reduced to such rows the final ones are known. Raises UsageError without names.
    """
    finals = None if table.history is None else _known_finals(table, columns)
    loss = given.get("loss", np.full(len(table.rows), np.nan))
    cells = columns["loss"].cells(table) if "loss" in columns else [None] * len(table.rows)
    sizes = [given[role] for role in CARRIED if role in given]
    earlier: dict[int, str] = {}
    labels = run_labels(table, columns)
    known_apart = [""] * len(labels) if apart is None else apart
    for ordered in ordered_runs(table, [*zip(labels, known_apart, strict=True)]):
        for values in sizes:
            known = math.nan
            for i in ordered:
                known = values[i] = known if math.isnan(values[i]) else values[i]
        kept = [i for i in ordered if finals is not None and table.rows[i] in finals]
        if finals is None:
            kept = [final_row(ordered, loss, cells)]
        detail = f"row {table.rows[kept[-1]]} is the final one" if kept else "another row is the final one"
        earlier |= {i: detail for i in sorted(ordered) if i not in kept}
    return earlier


def _known_finals(table: RawTable, columns: Mapping[str, ColumnMapping]) -> frozenset[int]:
    assert table.history is not None
    text = columns["loss"].text if "loss" in columns else ""
    found = table.history.finals.get(text)
    if found is None:
        known = ", ".join(quote(name) for name in table.history.finals if name)
        raise UsageError(f"the rows of {table.source} were reduced for the loss {known}, not for {quote(text)}")
    return found
