"""Read a delimited file of metrics in blocks of columns, from its head to any length."""

from __future__ import annotations

import csv
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scaleplan.logs.metric_rows import BLOCK_ROWS
from scaleplan.logs.metrics import role_of
from scaleplan.tables.arrow_cells import ArrowCells, column_blocks, text_columns
from scaleplan.tables.cells import is_missing, is_number
from scaleplan.tables.delimited import (
    SPACES,
    delimiter_of,
    is_second_header,
    merged_headers,
    read_decimal_commas,
    unique_names,
    without_comments,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from scaleplan.arrays import Index
    from scaleplan.logs.log_file import LogFile
    from scaleplan.tables.arrow_files import ArrowTable
    from scaleplan.tables.cells import Cell

__all__ = ["CsvBlock", "csv_blocks", "csv_names", "csv_sample", "csv_sample_of_runs"]

_SAMPLE_ROWS = 200
_MOST_LOOKED = 1_000_000  # rows of a Parquet or Arrow file in which more rows of these are looked for
_CHUNK = 1 << 22
_MOST_COLUMNS = 5000
_LONGEST_QUOTED = 1 << 24  # characters of a piece that a quote is looked for in


class CsvBlock(NamedTuple):
    """Rows of a file as columns; ``lines[i]`` is the line of row i, ``damaged`` are the lines that are no rows.

    ``cut`` tells that a last row without an end of its line was left out: a row that was being written.
    """

    columns: Mapping[str, Sequence[Cell]]
    lines: Sequence[int]
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
    lines = text.split("\n")[:-1] or [text]
    records, _, _, _ = _records(lines[:_SAMPLE_ROWS], 1, len(names), delimiter, unended=False)
    table: list[list[Cell]] = [list(record) for record in records if any(record)]
    if delimiter != "," or '"' in text:
        read_decimal_commas(names, table, delimiter)
    return {name: [record[j] for record in table] for j, name in enumerate(names)}


def csv_sample_of_runs(file: LogFile, column: str, runs: Collection[str]) -> dict[str, list[Cell]]:
    """Return the first rows of some runs as columns, from further on in the file than a sample goes.

    Of text, they are looked for in its opening.
    """
    if file.table is not None and column in file.table.names:
        return _rows_of_runs(file.table, column, runs)
    outline = _outline(file)
    assert outline is not None  # it has a sample
    names, delimiter, skipped, _ = outline
    lines = file.opening.decode("utf-8", errors="replace").replace("\x00", "").split("\n")[skipped:-1]
    records, _, _, _ = _records(lines, 1, len(names), delimiter, unended=False)
    place = names.index(column)
    table: list[list[Cell]] = [
        list(record) for record in islice((each for each in records if each[place].strip() in runs), _SAMPLE_ROWS)
    ]
    if delimiter != ",":
        read_decimal_commas(names, table, delimiter)
    return {name: [record[j] for record in table] for j, name in enumerate(names)}


def _rows_of_runs(table: ArrowTable, column: str, runs: Collection[str]) -> dict[str, list[Cell]]:
    """Return the first rows of runs as columns of a Parquet or Arrow file."""
    found: dict[str, list[Cell]] = {name: [] for name in table.names}
    looked = 0
    for _, batch in table.batches():
        cells, places = ArrowCells(batch.column(batch.schema.get_field_index(column))).distinct()
        wanted = np.array([cell.strip() in runs for cell in cells])
        rows = np.flatnonzero(wanted[places])[: _SAMPLE_ROWS - len(found[column])]
        for name, array in zip(table.names, batch.columns, strict=True):
            found[name] += list(ArrowCells(array.take(rows)))
        looked += batch.num_rows
        if looked >= _MOST_LOOKED or len(found[column]) >= _SAMPLE_ROWS:
            break
    return found


def csv_blocks(file: LogFile) -> Iterator[CsvBlock]:
    """Yield the rows of a delimited file in blocks, and those of a Parquet or Arrow file without making them text.

    A file that another process appends to repeats its row of names at times: such rows are left out, as comments are.
    """
    outline = _outline(file)
    if outline is None:
        return
    if file.table is not None and outline[0] == file.table.names and _is_typed(file.table):
        for first, columns in column_blocks(file.table, BLOCK_ROWS):
            count = len(next(iter(columns.values())))
            yield CsvBlock(columns, range(first, first + count), (), cut=False)
        return
    names, delimiter, skipped, head = outline
    commas = delimiter != "," or '"' in head  # else a comma ends a cell, and no number has one
    shortest = before = 0
    for text, line in _texts(file):
        lines = text.split("\n")
        unended = lines[-1] != ""
        if not unended:
            del lines[-1]
        if line <= skipped:
            drop = min(len(lines), skipped + 1 - line)
            del lines[:drop]
            line += drop  # noqa: PLW2901
            text = "\n".join(lines)  # noqa: PLW2901
        else:
            text = text if unended else text[:-1]  # noqa: PLW2901
        split = _split(text, len(names), delimiter)
        ending = (unended, shortest, before)
        table, numbers, damaged, cut = _table(lines, split, line, names, delimiter, ending=ending)
        before += len(numbers)
        if table:
            shortest = min((len(cell) for cell in table[-1] if isinstance(cell, str) and cell), default=shortest)
        without = split is not None and (delimiter == "," or "," not in text)  # no cell has a comma
        if commas and not without and any("," in "".join(map(str, column)) for column in table):
            records = [list(row) for row in zip(*table, strict=True)]
            read_decimal_commas(names, records, delimiter)
            table = [list(column) for column in zip(*records, strict=True)]
        yield CsvBlock(dict(zip(names, table, strict=False)), numbers, damaged, cut)


def _is_typed(table: ArrowTable) -> bool:
    """Return whether the numbers of a table are numbers, rather than texts that only a whole column makes clear."""
    meanings = map(role_of, text_columns(table))
    return all(meaning is None or meaning.role in {"gpu", "clock"} for meaning in meanings)


def _texts(file: LogFile) -> Iterator[tuple[str, int]]:
    """Yield the text of a file in pieces that break no quoted cell, and the number of the first line of each."""
    line, kept = 1, ""
    for chunk in file.chunks(_CHUNK):
        text = kept + chunk.decode("utf-8", errors="replace").replace("\x00", "")
        kept = ""
        if text.count('"') % 2 and len(text) < _LONGEST_QUOTED:
            kept = text
            continue
        yield text, line
        line += text.count("\n")
    if kept:
        yield kept, line


def _table(
    lines: list[str],
    columns: list[list[Cell]] | None,
    first: int,
    names: tuple[str, ...],
    delimiter: str,
    *,
    ending: tuple[bool, int, int],
) -> tuple[list[list[Cell]], Sequence[int], tuple[int, ...], bool]:
    """Return lines as columns with the line of each row, the lines that are no rows, and whether the last was cut.

    ``columns`` are those of the lines where no reader of CSV is needed.
    """
    numbers: Sequence[int] = range(first, first + len(lines))
    damaged: tuple[int, ...] = ()
    cut = False
    table = columns or []
    if columns is None:
        records, rows, damaged, cut = _records(
            lines, first, len(names), delimiter, unended=ending[0] and ending[2] > 0
        )
        numbers = rows
        table = [list(column) for column in zip(*records, strict=True)]
    if not table:
        return [], [], damaged, cut
    if ending[0] and not cut and _is_short(table[-1], ending[1], ending[2]):
        table, numbers, cut = [column[:-1] for column in table], numbers[:-1], True
    if names[0] in table[0]:  # the row of names, once more
        rows_kept = [row for row, cell in enumerate(table[0]) if cell != names[0]]
        table = [[column[row] for row in rows_kept] for column in table]
        numbers = [numbers[row] for row in rows_kept]
    return table, numbers, damaged, cut


def _split(text: str, width: int, delimiter: str) -> list[list[Cell]] | None:
    """Return the columns of lines with as many cells each, of which some may stand in quotes.

    None where a reader of CSV is needed: a comment, a line with other cells, a quote within a cell or, beside quotes,
    a space before a cell, an empty row, or a line too long.
    """
    if delimiter == SPACES or text.startswith("#") or "\n#" in text:
        return None
    data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    at_end, at_mark = data == ord("\n"), data == ord(delimiter)
    ends = np.append(np.flatnonzero(at_end), len(data))
    if (np.diff(np.searchsorted(np.flatnonzero(at_mark), ends), prepend=0) != width - 1).any():
        return None
    has_quotes = '"' in text
    if has_quotes:
        longest = int(np.diff(ends, prepend=-1).max())
        if text.startswith(" ") or "\n " in text or f"{delimiter} " in text or longest > csv.field_size_limit():
            return None
        if not _are_whole(np.flatnonzero(data == ord('"')), np.flatnonzero(at_end | at_mark), len(data)):
            return None
        text = text.replace('"', "")
    cells = text.replace("\n", delimiter).split(delimiter)
    table: list[list[Cell]] = [list(cells[j::width]) for j in range(width)]
    if has_quotes and (any(str(cell).startswith("#") for cell in table[0]) or all("" in column for column in table)):
        return None
    return table


def _are_whole(quotes: Index, bounds: Index, length: int) -> bool:
    """Return whether quotes stand in pairs around whole cells, which are between ``bounds`` of a text."""
    opening, closing = quotes[::2], quotes[1::2]
    if len(opening) != len(closing):
        return False
    begins, ends = np.append(-1, bounds), np.append(bounds, length)
    cell = np.searchsorted(bounds, opening)  # how many bounds lie before the quote
    return bool((begins[cell] + 1 == opening).all() and (ends[cell] - 1 == closing).all())


def _records(
    lines: list[str], first: int, width: int, delimiter: str, *, unended: bool
) -> tuple[list[list[str]], list[int], tuple[int, ...], bool]:
    """Return the rows of lines that need a reader of CSV, filled up to one width."""
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, skipinitialspace=True)
    records: list[list[str]] = []
    numbers: list[int] = []
    damaged: list[int] = []
    short = False
    while True:
        try:
            record = next(reader)
        except StopIteration:
            break
        except csv.Error:  # a cell of more characters than a cell has: a quote that nothing closes
            damaged.append(first + reader.line_num - 1)
            continue
        if not any(record) or record[0].startswith("#"):
            continue
        if any(record[width:]):
            damaged.append(first + reader.line_num - 1)
            continue
        short = len(record) < width
        records.append(record[:width] + [""] * (width - len(record)))
        numbers.append(first + reader.line_num - 1)
    if unended and short:
        return records[:-1], numbers[:-1], tuple(damaged), True
    return records, numbers, tuple(damaged), False


def _is_short(cells: Sequence[Cell], shortest: int, before: int) -> bool:
    """Whether the last cell of a row without the end of its line has fewer characters than any before."""
    lengths = [len(str(cell)) for cell in cells[-_COMPARED - 1 : -1] if cell]
    least = min([*lengths, *([shortest] if shortest else [])], default=0)
    return bool(cells[-1]) and len(lengths) + before >= _LEAST_COMPARED and len(str(cells[-1])) < least


_COMPARED, _LEAST_COMPARED = 1000, 5  # rows, and the least with a number, that the length of the last is judged by


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
