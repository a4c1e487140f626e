"""Read a delimited file of metrics in blocks of columns, from its head to any length."""

from __future__ import annotations

import csv
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.logs.metric_rows import BLOCK_ROWS
from scaleplan.tables.cells import is_missing, is_number
from scaleplan.tables.delimited import (
    delimiter_of,
    is_second_header,
    merged_headers,
    read_decimal_commas,
    unique_names,
    without_comments,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.logs.log_file import LogFile
    from scaleplan.tables.cells import Cell

__all__ = ["CsvBlock", "csv_blocks", "csv_names", "csv_sample"]

_SAMPLE_ROWS = 200
_CHUNK = 1 << 22
_MOST_COLUMNS = 5000


class CsvBlock(NamedTuple):
    """Rows of a file as columns; ``lines[i]`` is the line of row i, ``damaged`` are the lines that are no rows.

    ``cut`` tells that a last row without an end of its line was left out: a row that was being written.
    """

    columns: dict[str, list[Cell]]
    lines: list[int]
    damaged: tuple[int, ...]
    cut: bool


def csv_names(file: LogFile) -> tuple[str, ...]:
    """Return the names of the columns of a delimited file; none of a file that is none."""
    outline = _outline(file)
    return () if outline is None else outline[0]


def csv_sample(file: LogFile) -> dict[str, list[Cell]]:
    """Return the first rows of a delimited file as columns."""
    outline = _outline(file)
    if outline is None:
        return {}
    names, delimiter, _, text = outline
    reader = _reader(iter(text.splitlines(keepends=True)[:-1] or [text]), delimiter)
    records = [record[: len(names)] + [""] * (len(names) - len(record)) for record in _records(reader, _SAMPLE_ROWS)]
    table: list[list[Cell]] = [list(record) for record in records if any(record)]
    if _may_have_commas(delimiter, text):
        read_decimal_commas(names, table, delimiter)
    return {name: [record[j] for record in table] for j, name in enumerate(names)}


def csv_blocks(file: LogFile) -> Iterator[CsvBlock]:
    """Yield the rows of a delimited file in blocks.

    A file that another process appends to repeats its row of names at times: such rows are left out, as comments are.
    """
    outline = _outline(file)
    if outline is None:
        return
    names, delimiter, skipped, text = outline
    commas = _may_have_commas(delimiter, text)
    source = _Lines(file, skipped)
    reader = _reader(iter(source), delimiter)
    width = len(names)
    shortest = 0  # of the last cells so far
    while True:
        records: list[list[str]] = []
        lines: list[int] = []
        damaged: list[int] = []
        try:
            for record in islice(reader, BLOCK_ROWS):
                records.append(record)
                lines.append(reader.line_num + skipped)
        except csv.Error:  # a cell of more characters than a cell has: a quote that nothing closes
            damaged.append(reader.line_num + skipped)
        if not records and not damaged:
            return
        cut = source.unended and bool(records) and _is_cut(records, width, shortest)
        if cut:
            del records[-1], lines[-1]
        shortest = min((len(record[-1]) for record in records if record), default=shortest)
        if set(map(len, records)) != {width} or any(record[0][:1] == "#" for record in records):
            kept = []
            for position, record in enumerate(records):
                line = lines[position]
                if not any(record) or record[0].startswith("#"):
                    continue
                extra = record[width:]
                if any(extra):
                    damaged.append(line)
                    continue
                kept.append((record[:width] + [""] * (width - len(record)), line))
            records, lines = [record for record, _ in kept], [line for _, line in kept]
        table: list[list[Cell]] = records  # type: ignore[assignment]  texts are cells
        heads = [i for i, record in enumerate(records) if record[0] == names[0] and tuple(record) == names]
        for i in reversed(heads):
            del table[i], lines[i]
        if commas:
            read_decimal_commas(names, table, delimiter)
        columns = dict(zip(names, map(list, zip(*table, strict=True)), strict=True)) if table else {}
        yield CsvBlock(columns, lines, tuple(damaged), cut)


def _reader(lines: Iterator[str], delimiter: str) -> csv._reader:  # type: ignore[name-defined]  its type has no public name
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def _records(reader: Iterator[list[str]], most: int) -> list[list[str]]:
    found = []
    try:
        for record in islice(reader, most):
            found.append(record)  # noqa: PERF402  what was read before an error counts
    except csv.Error:
        pass
    return found


def _may_have_commas(delimiter: str, text: str) -> bool:
    """Whether numbers may have decimal commas: where a comma does not separate the cells, or cells are quoted."""
    return delimiter != "," or '"' in text


def _outline(file: LogFile) -> tuple[tuple[str, ...], str, int, str] | None:
    """Return the names, the delimiter, the lines before the rows, and the rows of the head; None for no table."""
    text = file.head_text
    if "\x00" in text or text.lstrip()[:1] in {"", "{", "["}:
        return None
    table, skipped = without_comments(text)
    if not table.strip():
        return None
    delimiter = delimiter_of(table)
    reader = csv.reader(iter(table.splitlines(keepends=True)), delimiter=delimiter, skipinitialspace=True)
    names: list[str] = []
    try:
        while not any(names):
            names = next(reader)
        line = reader.line_num
        second = next(reader, [])
    except (csv.Error, StopIteration):
        return None
    if (
        len(names) == 1
        or len(names) > _MOST_COLUMNS
        or all(is_number(cell) for cell in names if not is_missing(cell))
    ):
        return None
    if second and is_second_header(names, second):
        names, line = merged_headers(names, second), reader.line_num
    rest = "".join(table.splitlines(keepends=True)[line:])
    return unique_names(names), delimiter, skipped + line, rest


class _Lines:
    """The lines of a file below its names; ``unended`` once the last one came without an end."""

    def __init__(self, file: LogFile, skipped: int) -> None:
        self._file, self._skipped = file, skipped
        self.unended = False

    def __iter__(self) -> Iterator[str]:
        rest, number = "", 0
        for chunk in self._file.chunks(_CHUNK):
            lines = (rest + chunk.decode("utf-8", errors="replace")).splitlines(keepends=True)
            rest = lines.pop() if lines and not lines[-1].endswith(("\n", "\r")) else ""
            for line in lines:
                number += 1
                if number > self._skipped:
                    yield line.replace("\x00", "") if "\x00" in line else line
        if rest and number >= self._skipped:
            self.unended = True
            yield rest.replace("\x00", "")


def _is_cut(records: Sequence[Sequence[str]], width: int, shortest: int) -> bool:
    """Whether a row without the end of its line is one that was being written.

    It lacks cells that the row before has, or its last number has fewer digits than any before.
    """
    last, before = records[-1], records[-_COMPARED - 1 : -1]
    if len(last) < width and any(len(record) == width for record in before):
        return True
    lengths = [len(record[-1]) for record in before if record and record[-1]]
    if len(last) != width or not last[-1] or len(lengths) < _LEAST_COMPARED:
        return False
    return len(last[-1]) < min(min(lengths), shortest or len(last[-1]) + 1)


_COMPARED, _LEAST_COMPARED = 1000, 5  # rows, and the least with a number, that the length of the last is judged by
