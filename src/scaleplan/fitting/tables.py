"""The rows and columns in a file of runs.

Reads CSV, TSV, JSON and JSON Lines from a file or standard input into one :class:`Grid` of untouched cells. Rows
keep the number that a spreadsheet or an editor shows: the header of a CSV file is row 1, and a line of a JSON Lines
file is its row.
"""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, UsageError, inert, quote
from scaleplan.files import read_bytes
from scaleplan.fitting.cells import MAX_CELLS, Cell, is_missing, to_number
from scaleplan.fitting.objects import read_objects

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_BYTES", "Grid", "read_grid"]

MAX_BYTES = 32_000_000
"""The largest input, in bytes: 32 MB hold 300,000 runs, and what is larger is a log of training steps."""

_DELIMITERS = (",", "\t", ";", "|")
_WHAT = "run file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table as it stands in a file: ``records[i][j]`` is the cell of row ``rows[i]`` in column ``names[j]``."""

    source: str
    sha256: str
    names: tuple[str, ...]
    records: Sequence[Sequence[Cell]]
    rows: tuple[int, ...]

    def column(self, name: str) -> list[Cell]:
        """Return all cells of one column."""
        position = self.names.index(name)
        return [record[position] for record in self.records]


def read_grid(source: Path | str) -> Grid:
    """Read the table in a file, or on standard input when ``source`` is ``-``.

    Raises
    ------
    FileError
        When there is no such file, it is too large, no text, or no table; with the row where one is to blame.

    """
    name, data = _read(source)
    text = _decode(data, name)
    suffix = "" if str(source) == "-" else Path(source).suffix.lower()
    start = text.lstrip()[:1]
    if not start:
        raise FileError(f"{_WHAT} {quote(name)} is empty")
    if suffix not in {".csv", ".tsv"} and (suffix in {".json", ".jsonl", ".ndjson"} or start in "{["):
        names, records, rows = read_objects(text, source=name, lines=suffix in {".jsonl", ".ndjson"})
    else:
        names, records, rows = _read_delimited(text, name)
    if not records:
        raise FileError(f"{name}: there are no rows below the column names")
    return Grid(source=name, sha256=hashlib.sha256(data).hexdigest(), names=names, records=records, rows=rows)


def _read(source: Path | str) -> tuple[str, bytes]:
    if str(source) == "-":
        if sys.stdin.isatty():
            raise UsageError("no runs on standard input", hint="pipe a file in, or name one")
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
        name = "standard input"
    else:
        path = Path(source)
        name = inert(path.name)
        data = read_bytes(path, what=_WHAT, limit=MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        hint = "keep one row for each run: the final loss, not every training step"
        raise FileError(f"{_WHAT} {quote(name)} is larger than {MAX_BYTES // 10**6} MB", hint=hint)
    return name, data


def _decode(data: bytes, name: str) -> str:
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"  # spreadsheets write both
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise FileError(f"{name}: row {row}: not UTF-8 text", hint="save the file as CSV in UTF-8") from None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise FileError(f"{name}: row {row}: this is a binary file", hint="CSV, TSV, JSON and JSON Lines are read")
    return text


def _read_delimited(text: str, name: str) -> tuple[tuple[str, ...], list[list[Cell]], tuple[int, ...]]:
    delimiter = _delimiter(text)
    records: list[list[Cell]] = []
    rows: list[int] = []
    names: list[str] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    row = 0
    try:
        for row, record in enumerate(reader, 1):
            if not any(record):
                continue
            if not names:
                names = record
            elif not rows and _is_second_header(names, record):
                names = _merged(names, record)
            else:
                if len(names) * len(rows) > MAX_CELLS:
                    raise FileError(f"{name}: row {row}: more than {MAX_CELLS:,} cells")
                records.append(_fitted(record, names, where=f"{name}: row {row}"))
                rows.append(row)
    except csv.Error as error:
        raise FileError(f"{name}: row {row + 1}: {str(error).lower()}") from None
    if all(_is_number(cell) for cell in names if not is_missing(cell)):
        raise FileError(f"{name}: the first row holds numbers, not column names", hint="add a row of column names")
    return _unique(names), records, tuple(rows)


def _delimiter(text: str) -> str:
    """Return the delimiter that splits the first row into most cells; the comma when none does."""
    line = next(line for line in io.StringIO(text) if line.strip())

    def width(delimiter: str) -> int:
        try:
            return len(next(csv.reader([line], delimiter=delimiter)))
        except csv.Error:
            return 0

    return max(_DELIMITERS, key=width)


def _fitted(record: list[str], names: Sequence[str], *, where: str) -> list[Cell]:
    """Return a record with one cell for each column; cells that exports cut off at the end are empty."""
    extra = record[len(names) :]
    if any(extra):
        hint = "a comma inside a cell needs quotes around the cell: '\"1,000\"'"
        raise FileError(f"{where}: {len(record)} cells, but {len(names)} column names", hint=hint)
    return [*record[: len(names)], *[""] * (len(names) - len(record))]


def _is_second_header(names: Sequence[str], record: Sequence[str]) -> bool:
    """Whether a row continues the header: words only, standing where the first row left cells of a span empty."""
    words = [position for position, cell in enumerate(record) if cell.strip()]
    spans = [position for position, cell in enumerate(names) if not cell.strip()]
    return (
        len(words) > 1
        and any(position in words for position in spans if position > 0)
        and not any(_is_number(record[position]) or is_missing(record[position]) for position in words)
    )


def _merged(names: Sequence[str], record: Sequence[str]) -> list[str]:
    """Return ``top/bottom`` for two header rows, where an empty top cell continues the one before it."""
    merged = []
    top = ""
    for position in range(max(len(names), len(record))):
        top = (names[position].strip() if position < len(names) else "") or top
        bottom = record[position].strip() if position < len(record) else ""
        merged.append(f"{top}/{bottom}" if bottom else top)
    return merged


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that differ: a repeated one is numbered ``loss#1``, ``loss#2``; an empty one is ``column 3``."""
    named = [name.strip() or f"column {position}" for position, name in enumerate(names, 1)]
    counts = Counter(named)
    seen: Counter[str] = Counter()
    unique = []
    for name in named:
        seen[name] += 1
        unique.append(f"{name}#{seen[name]}" if counts[name] > 1 else name)
    return tuple(unique)


def _is_number(cell: str) -> bool:
    try:
        return not is_missing(cell) and bool(to_number(cell) == to_number(cell))
    except ValueError:
        return False
