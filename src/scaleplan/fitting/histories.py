"""Reduce a table of any length with a row for each step to the final rows of its runs, in batches of rows.

A history of millions of rows is never whole in memory: one pass finds for each run the rows that
:func:`scaleplan.fitting.row_choice.earlier_steps` would keep, another takes them out of the file as they are written.
What comes out is a small table, which is read like any other. It has, beside the final rows, those that carry a size
which a final row lacks, and those that tell one column from another where columns are recognised.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scaleplan.errors import FileError, UnknownNameError, quote
from scaleplan.files import is_file
from scaleplan.fitting.batch_columns import (
    Batch,
    distinct_cells,
    numbers_of,
    plain_column,
    plain_numbers,
    text_rows,
    texts_of,
)
from scaleplan.fitting.columns import ROLES, candidates, recognise
from scaleplan.fitting.csv_batches import CsvTable, is_csv
from scaleplan.fitting.exports import step_column
from scaleplan.fitting.mapping import ColumnMapping, read_mapping
from scaleplan.fitting.row_choice import CARRIED, final_row, ordered_runs, run_labels
from scaleplan.fitting.table import (
    MAX_BYTES,
    History,
    RawTable,
    arrow_table,
    file_digest,
    frame_table,
    read_table,
    runs_of,
    text_records,
)
from scaleplan.record import Record
from scaleplan.tables.arrow_files import FrameTable, has_library, library
from scaleplan.tables.frames import MOST_CELLS, TextTable, TooLargeError, collected, is_path, table_shape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.tables.frames import TableLike

__all__ = ["final_rows", "headings_of", "is_large"]

_WHOLE_CELLS = 1_000_000
"""The largest Parquet or Arrow table or data frame that is read whole: the texts of more cells take 100 MB."""

_WHOLE_BYTES = 8_000_000  # of a stream, which does not tell how many rows it has

_PROBE = 1000
"""Rows by which columns are recognised, beside those that tell columns apart further on."""

_SIZE_ROLES = ("loss", *CARRIED, "weight")


class Batches(Protocol):
    """A table that is read in batches of rows."""

    name: str
    names: tuple[str, ...]

    @property
    def columnwise(self) -> bool:
        """Whether a batch may be as large as the file, so that it is better read column by column."""

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[Index, Batch]]:
        """Yield the numbers of rows, which rise, and the batch of them with the columns that are named."""


class _Reading(Record):
    """How the columns of a history are read: what :func:`recognise` takes, and what tells rows apart."""

    mapping: Mapping[str, str]
    loss_unit: str
    log10: Collection[str]
    needed: Collection[str]
    keys: tuple[str, ...]
    losses: tuple[str, ...]

    def roles(self, table: RawTable) -> _Roles:
        """Return the columns of a table that a reduction reads."""
        first = {"loss": self.losses[0]} if self.losses else {}
        columns, _ = recognise(
            table,
            mapping={**self.mapping, **first},
            log10=self.log10,
            loss_unit=self.loss_unit,
            needed=self.needed,
            carried=True,
            losses=self.losses,
        )
        for key in self.keys:
            if key not in table.names:
                raise UnknownNameError("column", key, table.names)
        losses: dict[str, ColumnMapping] = {}
        if "loss" in columns:
            losses[columns["loss"].text] = columns["loss"]
        for text in self.losses[1:]:
            losses[text] = read_mapping(text, table, role="loss")
        return _Roles(
            columns=columns,
            labels=tuple(columns[role] for role in ("name", "group") if role in columns)
            + tuple(map(plain_column, self.keys)),
            losses=losses,
            sizes={role: columns[role] for role in CARRIED if role in columns},
            step=step_column(table.names),
        )


class _Roles(Record):
    """The columns that a reduction reads: ``losses`` by the text of their mapping, ``sizes`` by their role."""

    columns: Mapping[str, ColumnMapping]
    labels: tuple[ColumnMapping, ...]
    losses: Mapping[str, ColumnMapping]
    sizes: Mapping[str, ColumnMapping]
    step: str | None

    def names(self, *, sizes: bool = True) -> list[str]:
        """Return the names of the columns, in the order of first use."""
        mapped = [*self.labels, *self.losses.values(), *(self.sizes.values() if sizes else ())]
        names = [name for each in mapped for name in each.columns]
        return list(dict.fromkeys([*names, *([] if self.step is None else [self.step])]))


def is_large(source: TableLike | RawTable) -> bool:
    """Return whether a table is reduced in batches, rather than read whole, where its final rows are wanted."""
    if isinstance(source, RawTable):
        return False
    if not is_path(source):
        cells = math.prod(table_shape(source))
        return cells > (_WHOLE_CELLS if has_library() else MOST_CELLS)
    if str(source) == "-":
        return False
    arrow = arrow_table(source)
    if arrow is not None:
        if arrow.count is None:
            return arrow.size > _WHOLE_BYTES
        return arrow.count * len(arrow.names) > _WHOLE_CELLS
    path = Path(source)
    return is_csv(path) and is_file(path) and path.stat().st_size > MAX_BYTES


def final_rows(
    source: TableLike | RawTable,
    *,
    mapping: Mapping[str, str] | None = None,
    loss_unit: str = "nats",
    log10: Collection[str] = (),
    needed: Collection[str] = ("params", "tokens", "flops", "loss"),
    keys: Sequence[str] = (),
    losses: Sequence[str] = (),
    batched: bool | None = None,
) -> RawTable:
    """Return the final rows of the runs of a history, with whatever rows reading them takes.

    ``keys`` are columns that tell rows apart beside the name of the run (and the group of ``mapping``): there is a
    final row for each combination of their values. ``losses`` are the columns of several metrics, or mappings of
    them: each has the last row of a run with a value of it. The other keywords are those of
    :func:`scaleplan.fitting.reading.read_runs`, which takes the table, or some of its rows
    (:meth:`~scaleplan.fitting.table.RawTable.take`), with any of the losses mapped. A table that is too large to be
    read whole is read in batches of rows; ``batched`` decides it.

    Raises UsageError without a column of names, FileError for what cannot be read.
    """
    reading = _Reading(
        mapping=mapping or {},
        loss_unit=loss_unit,
        log10=log10,
        needed=needed,
        keys=tuple(keys),
        losses=tuple(losses),
    )
    if isinstance(source, RawTable):
        return _marked(source, reading)
    source = source if is_path(source) else collected(source)
    if not (is_large(source) if batched is None else batched):
        try:
            return _marked(read_table(source) if is_path(source) else frame_table(source), reading)
        except TooLargeError:
            if batched is not None or (is_path(source) and not is_file(Path(source))):
                raise
    table = _batches(source)
    digest = file_digest(source) if is_path(source) else None
    return _Reduction(table, reading).reduced(digest)


def _marked(table: RawTable, reading: _Reading) -> RawTable:
    """Return a table that is whole with the final rows of its runs."""
    roles = reading.roles(table)
    runs = ordered_runs(table, run_labels(table, roles.columns, reading.keys))
    finals = {"": frozenset(table.rows[ordered[-1]] for ordered in runs)}
    for text, mapped in roles.losses.items():
        numbers, cells = mapped.numbers(table)[0], mapped.cells(table)
        finals[text] = frozenset(table.rows[final_row(ordered, numbers, cells)] for ordered in runs)
    return replace(table, history=History(finals=finals, count=len(table.rows), end=table.rows[-1]))


def headings_of(source: TableLike | RawTable) -> RawTable:
    """Return a table without its rows, of which the columns alone are read."""
    if isinstance(source, RawTable):
        return replace(source, records=[], rows=())
    table = _batches(source)
    return RawTable(source=table.name, sha256="", names=table.names, records=[], rows=())


def _batches(source: TableLike) -> Batches:
    if not is_path(source):
        return FrameTable(source)
    arrow = arrow_table(source)
    if arrow is not None:
        return arrow
    path = Path(source)
    if not is_csv(path):
        hint = "write it as CSV, Parquet or Arrow, of which --last reads files of any size; or " + runs_of(path)
        raise TooLargeError(f"{quote(path.name)} is larger than {MAX_BYTES // 10**6} MB", hint=hint)
    return CsvTable(path)


class _Last:
    """The last row of each run among those that it is shown: by step, and of equal steps by its number."""

    def __init__(self) -> None:
        self.order = np.empty(0)
        self.row = np.empty(0, dtype=np.int64)

    def grow(self, count: int) -> None:
        """Make room for more runs."""
        if count > len(self.row):
            more = max(count, 2 * len(self.row)) - len(self.row)
            self.order = np.append(self.order, np.full(more, -math.inf))
            self.row = np.append(self.row, np.full(more, -1, dtype=np.int64))

    def see(self, codes: Index, order: Array, rows: Index, shown: Mask) -> None:
        """Look at rows that are sorted by run, step and number, where ``shown``."""
        places = np.flatnonzero(shown)
        if not len(places):
            return
        ends = np.append(codes[places][1:] != codes[places][:-1], True)
        places = places[ends]
        runs = codes[places]
        later = (self.row[runs] < 0) | (order[places] >= self.order[runs])
        places, runs = places[later], runs[later]
        self.order[runs], self.row[runs] = order[places], rows[places]

    def at(self, count: int) -> tuple[Array, Index]:
        """Return the step and the number of the last row of each run; the number is -1 where it has none."""
        self.grow(count)
        return self.order[:count], self.row[:count]


class _LossSeen:
    """What is known of one column of losses: the last rows with a number, and with a NaN that is written."""

    def __init__(self) -> None:
        self.measured, self.written = _Last(), _Last()
        self.nans = np.zeros(0, dtype=np.int64)

    def final(self, rows: Index, last: _Last) -> tuple[Array, Index]:
        """Return the step and number of the final row of each run, by how many ``rows`` each has."""
        count = len(rows)
        order, row = last.at(count)
        measured_order, measured = self.measured.at(count)
        written_order, written = self.written.at(count)
        usual = (2 * self.nans[:count] < rows) & (written >= 0)  # a NaN in most rows is no measurement
        has = measured >= 0
        later = usual & (
            ~has | (written_order > measured_order) | ((written_order == measured_order) & (written > measured))
        )
        order = np.where(later, written_order, np.where(has, measured_order, order))
        row = np.where(later, written, np.where(has, measured, row))
        return order, row


_HALF = 31  # bits: of no column or run are there more values than cells can be


class _Labels:
    """Numbers for the runs of a history, by the texts of the columns that tell them apart."""

    def __init__(self, labels: Sequence[ColumnMapping]) -> None:
        self._labels = labels
        self._ids: list[dict[str, int]] = [{} for _ in labels]
        self._pairs: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._pairs if len(self._ids) > 1 else self._ids[0])

    def of(self, batch: Batch) -> tuple[Index, Mask]:
        """Return the number of the run of each row, and which rows have no label at all."""
        parts = []
        blank = np.ones(batch.num_rows, dtype=bool)
        for label, ids in zip(self._labels, self._ids, strict=True):
            texts, places = texts_of(label, batch)
            known = np.array([ids.setdefault(text, len(ids)) for text in texts], dtype=np.int64)
            parts.append(known[places])
            blank &= np.array([not text for text in texts], dtype=bool)[places]
        if len(parts) == 1:
            return parts[0], blank
        joined = parts[0]
        for part in parts[1:]:  # a number for each pair, which is that of the run so far
            pairs, places = np.unique(joined << _HALF | part, return_inverse=True)
            numbers = [self._pairs.setdefault(pair, len(self._pairs)) for pair in pairs.tolist()]
            joined = np.array(numbers, dtype=np.int64)[places.reshape(-1)]
        return joined, blank


class _Scan:
    """The pass over a history that finds the final rows of its runs."""

    def __init__(self, roles: _Roles) -> None:
        self.labels = _Labels(roles.labels)
        self.count = 0
        self.end = 1
        self._roles = roles
        self._last = _Last()
        self._losses = {text: _LossSeen() for text in roles.losses}
        self._counts = np.zeros(0, dtype=np.int64)

    def sorted(self, rows: Index, batch: Batch) -> tuple[Index, Array, Index, Index, Mask]:
        """Return run, step and number of rows in this order, the order itself, and which rows have no label."""
        codes, blank = self.labels.of(batch)
        order = _order(self._roles.step, batch, rows)
        sort = _sorted(codes, order)
        return codes[sort], order[sort], rows[sort], sort, blank[sort]

    def see(self, rows: Index, batch: Batch) -> None:
        """Look at a batch of rows."""
        self.end = int(rows[-1])
        codes, order, numbers, sort, blank = self.sorted(rows, batch)
        losses = {}
        for text, mapped in self._roles.losses.items():
            values, written = numbers_of(mapped, batch)
            losses[text] = ~np.isnan(values[sort]), written[sort]
        if blank.any():  # an empty line is no row
            blank &= np.isneginf(order)
            for measured, written in losses.values():
                blank &= ~measured & ~written
            for mapped in self._roles.sizes.values():
                blank &= np.isnan(numbers_of(mapped, batch)[0][sort])
        there = ~blank
        self._grow(len(self.labels))
        self.count += int(there.sum())
        self._counts += np.bincount(codes[there], minlength=len(self._counts))
        self._last.see(codes, order, numbers, there)
        for text, seen in self._losses.items():
            measured, written = losses[text]
            seen.measured.see(codes, order, numbers, there & measured)
            if written.any():
                seen.written.see(codes, order, numbers, there & written)
                seen.nans += np.bincount(codes[there & written], minlength=len(seen.nans))

    def finals(self) -> dict[str, tuple[Array, Index]]:
        """Return for each loss, and for none, the step and the number of the final row of each run."""
        count = len(self.labels)
        found = {text: seen.final(self._counts[:count], self._last) for text, seen in self._losses.items()}
        return {"": self._last.at(count), **found}

    def _grow(self, count: int) -> None:
        """Make room for more runs."""
        if count <= len(self._counts):
            return
        more = np.zeros(max(count, 2 * len(self._counts)) - len(self._counts), dtype=np.int64)
        self._counts = np.append(self._counts, more)
        self._last.grow(len(self._counts))
        for seen in self._losses.values():
            seen.nans = np.append(seen.nans, more)
            seen.measured.grow(len(self._counts))
            seen.written.grow(len(self._counts))


class _Witnesses:
    """The rows that columns are recognised by: of each candidate a number, of two of a role one where they differ."""

    def __init__(self, names: Sequence[str], loss_unit: str) -> None:
        roles = {role: [*candidates(role, names, loss_unit=loss_unit)] for role in _SIZE_ROLES if role in ROLES}
        roles["loss"] = list(dict.fromkeys([*roles["loss"], *candidates("loss", names)]))
        self._unseen = {name for found in roles.values() for name in found}
        self._alike = {
            (first, second) for found in roles.values() for k, first in enumerate(found) for second in found[k + 1 :]
        }
        self.rows: set[int] = set()

    @property
    def columns(self) -> list[str]:
        """The columns of which something is still open."""
        return sorted(self._unseen | {name for pair in self._alike for name in pair})

    def see(self, rows: Index, numbers: Mapping[str, Array]) -> None:
        """Look at rows, by what their columns hold as numbers."""
        for name in sorted(self._unseen):
            known = np.isfinite(numbers[name])
            if known.any():
                self.rows.add(int(rows[np.argmax(known)]))
                self._unseen.discard(name)
        for pair in sorted(self._alike):
            first, second = (numbers[name] for name in pair)
            differs = ~((first == second) | (np.isnan(first) & np.isnan(second)))
            if differs.any():
                self.rows.add(int(rows[np.argmax(differs)]))
                self._alike.discard(pair)


class _Reduction:
    """The reduction of one table."""

    def __init__(self, table: Batches, reading: _Reading) -> None:
        self._table = table
        self._reading = reading

    def reduced(self, digest: str | None) -> RawTable:
        """Return the reduced table, which is that of a file with this digest, or of what is in memory."""
        first = next((rows for rows, _ in self._table.batches(self._table.names[:1]) if len(rows)), None)
        if first is None:
            raise FileError(f"{self._table.name} has no rows", hint="give one row for each run")
        probe = set(first[:_PROBE].tolist())
        witnesses = _Witnesses(self._table.names, self._reading.loss_unit)
        table = self._rows(probe)
        try:
            roles = self._checked(table)
        except FileError:
            self._look(witnesses)
            table = self._rows(probe | witnesses.rows)
            roles = self._checked(table)
        while True:
            finals = self._finals(roles, witnesses)
            rows = {row for _, found in finals.values() for row in found.tolist() if row >= 0}
            rows |= probe | witnesses.rows
            table = self._rows(rows)
            found = self._checked(table)
            if found == roles:
                break
            roles = found
        table = self._carried(table, roles, finals, rows)
        history = History(
            finals={text: frozenset(found[found >= 0].tolist()) for text, (_, found) in finals.items()},
            count=self._scan.count,
            end=self._scan.end,
        )
        if digest is None:
            digest = hashlib.sha256(repr((table.names, table.rows, table.records)).encode()).hexdigest()
        return replace(table, sha256=digest, history=history)

    def _checked(self, table: RawTable) -> _Roles:
        """Return the roles of columns, each of which is one of the file."""
        roles = self._reading.roles(table)
        run_labels(table, roles.columns)  # without names there are no runs
        inside = [name for name in roles.names() if name not in self._table.names]
        if inside:
            hint = "write its keys as columns"
            raise FileError(f"{table.source}: {quote(inside[0])} is inside the text of another column", hint=hint)
        return roles

    def _look(self, witnesses: _Witnesses) -> None:
        """Look for the rows that tell columns apart in the whole table, and for texts in the place of numbers."""
        unread = set(witnesses.columns)
        for rows, batch in self._table.batches(witnesses.columns):
            open_columns = witnesses.columns
            witnesses.see(rows, {name: plain_numbers(name, batch) for name in open_columns})
            for name in sorted(unread.intersection(open_columns)):
                texts, places = distinct_cells(plain_column(name), batch.column(name))
                wrong = [position in plain_column(name).numbers(texts)[1] for position in range(len(texts.rows))]
                found = np.array(wrong, dtype=bool)[places]
                if found.any():
                    witnesses.rows.add(int(rows[np.argmax(found)]))
                    unread.discard(name)

    def _finals(self, roles: _Roles, witnesses: _Witnesses) -> dict[str, tuple[Array, Index]]:
        """Return for each loss, and for none, the step and the number of the final row of each run."""
        scan = self._scan = _Scan(roles)
        columns = list(dict.fromkeys([*roles.names(), *witnesses.columns]))
        for rows, batch in self._table.batches(columns):
            if not len(rows):
                continue
            if witnesses.columns:
                witnesses.see(rows, {name: plain_numbers(name, batch) for name in witnesses.columns})
            scan.see(rows, batch)
            self._require_few(len(scan.labels))
        return scan.finals()

    def _require_few(self, runs: int) -> None:
        if runs * len(self._table.names) > MOST_CELLS:
            what = f"{self._table.name} has more than {runs:,} runs of {len(self._table.names)} columns"
            raise FileError(what, hint="--map name=COLUMN says which rows are one run")

    def _carried(
        self, table: RawTable, roles: _Roles, finals: Mapping[str, tuple[Array, Index]], rows: set[int]
    ) -> RawTable:
        """Return the table with the rows that have a size which a final row lacks."""
        final = {row for _, found in finals.values() for row in found.tolist()}
        wanted = np.array([row in final for row in table.rows], dtype=bool)
        lacking = [role for role, mapped in roles.sizes.items() if np.isnan(mapped.numbers(table)[0][wanted]).any()]
        if not lacking:
            return table
        states = {(text, role): _Last() for text in finals for role in lacking}
        for state in states.values():
            state.grow(len(self._scan.labels))
        for batch_rows, batch in self._table.batches(roles.names()):
            if not len(batch_rows):
                continue
            codes, order, numbers, sort, _ = self._scan.sorted(batch_rows, batch)
            sized = {role: ~np.isnan(numbers_of(roles.sizes[role], batch)[0])[sort] for role in lacking}
            for text, (final_order, final_row_of) in finals.items():
                limit, end = final_order[codes], final_row_of[codes]
                before = (order < limit) | ((order == limit) & (numbers <= end))
                for role in lacking:
                    states[text, role].see(codes, order, numbers, before & sized[role])
        more = {row for state in states.values() for row in state.row.tolist() if row >= 0}
        return table if more <= set(table.rows) else self._rows(rows | more)

    def _rows(self, wanted: set[int]) -> RawTable:
        """Return the table of the rows with these numbers."""
        names = self._table.names
        numbers = np.array(sorted(wanted))
        groups = [[name] for name in names] if self._table.columnwise else [list(names)]
        taken: list[list[list[str]]] = []
        for group in groups:
            records: list[list[str]] = []
            for rows, batch in self._table.batches(group):
                if not len(rows):
                    continue
                first, end = np.searchsorted(numbers, (rows[0], rows[-1] + 1))
                places = np.searchsorted(rows, numbers[first:end])
                if len(places):
                    records += text_rows(batch.take(library().array(places)))
                if end == len(numbers):
                    break
            taken.append(records)
        joined = (
            taken[0]
            if len(taken) == 1
            else [[cell for part in row for cell in part] for row in zip(*taken, strict=True)]
        )
        return text_records(TextTable(names, joined), self._table.name, "", rows=numbers.tolist())


def _sorted(codes: Index, order: Array) -> Index:
    """Return the order of rows by run, step and number."""
    later = codes[1:] > codes[:-1]
    if (later | ((codes[1:] == codes[:-1]) & (order[1:] >= order[:-1]))).all():
        return np.arange(len(codes))
    return np.lexsort((order, codes))


def _order(step: str | None, batch: Batch, rows: Index) -> Array:
    """Return what the rows of a run are in the order of: their steps, those without one first, or their numbers."""
    if step is None:
        return rows.astype(np.float64)
    order = plain_numbers(step, batch)
    return np.where(np.isfinite(order), order, -math.inf)
