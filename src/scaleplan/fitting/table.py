"""Read the table in a file of runs (CSV, TSV, JSON, JSON Lines, Parquet, Arrow), as untouched cells and as numbers.

Rows keep the number that a spreadsheet or an editor shows: the header of a CSV file is row 1, and a line of a JSON
Lines file is its row. Of JSON are read a list of objects, an object of columns, an object with one list of objects,
an object of runs by name, and one object a line; nested keys become dotted paths: ``config.data.train_tokens``.

Cells that hold a JSON object or a Python dictionary become nested columns: ``summary.val/loss``.
"""

from __future__ import annotations

import ast
import csv
import gzip
import hashlib
import io
import json
import re
import shlex
import sys
import warnings
import zlib
from dataclasses import replace
from itertools import compress, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

from scaleplan.errors import FileError, UsageError, escape_control, quote
from scaleplan.files import is_file, is_folder, read_bytes, read_input
from scaleplan.fitting.exports import ONE_ROW_A_RUN, SCALAR, NotRunsError, chart_or_scalar, is_printed_log, log_error
from scaleplan.record import Record
from scaleplan.tables.arrow_files import ENDINGS, ArrowTable, arrow_kind, arrow_parts
from scaleplan.tables.cells import Cell, is_missing, is_number
from scaleplan.tables.delimited import (
    SPACES,
    delimiter_of,
    is_second_header,
    merged_headers,
    read_decimal_commas,
    unique_names,
    without_comments,
)
from scaleplan.tables.frames import FRAME, MOST_CELLS, TOO_LARGE, TooLargeError, text_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scaleplan.errors import Notice
    from scaleplan.tables.frames import TextTable

__all__ = [
    "KINDS",
    "MAX_BYTES",
    "History",
    "RawTable",
    "arrow_table",
    "delimited_rows",
    "file_digest",
    "frame_table",
    "read_table",
    "runs_of",
    "text_records",
]

_MAX_CELLS = MOST_CELLS
"""The largest table: a few short lines can claim thousands of columns each."""

_DEEPEST = 20  # levels of nesting; trackers write four or five
_SHAPES = "a list of objects, an object of columns, or one object a line is read"

Rows = tuple[tuple[str, ...], list[list[Cell]], tuple[int, ...]]
"""Column names, records, and the number of each row."""


def _read_objects(text: str, *, source: str, lines: bool) -> Rows:
    """Return column names, records and row numbers of a JSON document, or of one object a line."""
    if lines or _starts_with_whole_object(text):
        return _read_lines(text, source)
    return _tabulated(enumerate(_objects(_parse(text, where=source), source), 1), source)


def _starts_with_whole_object(text: str) -> bool:
    """Whether the first line is an object by itself and something follows: JSON Lines without the suffix."""
    first, _, rest = text.lstrip().partition("\n")
    if not (first.startswith("{") and first.rstrip().endswith("}") and rest.strip()):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _read_lines(text: str, source: str) -> Rows:
    found = []
    for row, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        value = _parse(line, where=f"{source}: row {row}")
        if not isinstance(value, dict):
            raise FileError(f"{source}: row {row}: expected an object, found {_kind(value)}")
        found.append((row, value))
    return _tabulated(found, source)


def _parse(text: str, *, where: str) -> object:
    try:
        return json.loads(text)
    except RecursionError:
        raise FileError(f"{where}: nested too deeply") from None
    except json.JSONDecodeError as error:
        line = f"row {error.lineno}, " if error.lineno > 1 else ""
        raise FileError(f"{where}: not valid JSON ({line}character {error.colno}: {error.msg.lower()})") from None
    except ValueError:  # an integer of more digits than Python converts
        raise FileError(f"{where}: a number has too many digits") from None


def _objects(document: object, source: str) -> list[Mapping[str, object]]:
    """Return one mapping a run from any of the shapes that are read."""
    if isinstance(document, list):
        _refuse_scalar(document, source)
        for row, item in enumerate(document, 1):
            if not isinstance(item, dict):
                raise FileError(f"{source}: row {row}: expected an object, found {_kind(item)}", hint=_SHAPES)
        return document
    if not isinstance(document, dict):
        raise FileError(f"{source}: this JSON document is {_kind(document)}", hint=_SHAPES)
    tables = [
        value for value in document.values() if isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    if len(tables) == 1 or str(document.get("schema")) == "scaleplan/runs/1":  # which has its warnings, too
        return _objects(tables[0], source)
    values = list(document.values())
    if values and all(isinstance(value, list) for value in values):
        return _from_columns(document, source)
    if values and all(isinstance(value, dict) for value in values):
        keys = [tuple(value) for value in values]
        if len(set(keys)) == 1 and all(key.isdigit() for key in keys[0]):  # pandas' to_json
            return _from_columns({name: list(column.values()) for name, column in document.items()}, source)
        return [{"key": key, **value} for key, value in document.items()]
    if len(values) > 1 and not any(isinstance(value, list | dict) for value in values):
        return [{"key": key, "value": value} for key, value in document.items()]
    raise FileError(f"{source}: this JSON document is not a table of runs", hint=_SHAPES)


def _refuse_scalar(document: list[object], source: str) -> None:
    """Refuse the scalar that TensorBoard exports as a list of (wall time, step, value)."""
    export = chart_or_scalar(SCALAR)
    if document and export and all(isinstance(item, list) and len(item) == len(SCALAR) for item in document):
        raise NotRunsError(f"{source}: this is {export[0]}", hint=export[1])


def _from_columns(columns: Mapping[str, list[object]], source: str) -> list[Mapping[str, object]]:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        longest, shortest = max(lengths, key=lengths.__getitem__), min(lengths, key=lengths.__getitem__)
        sizes = f"{quote(longest)} has {lengths[longest]} values, {quote(shortest)} has {lengths[shortest]}"
        raise FileError(f"{source}: the columns differ in length: {sizes}")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _tabulated(objects: Iterable[tuple[int, Mapping[str, object]]], source: str) -> Rows:
    positions: dict[str, int] = {}
    flat: list[tuple[int, dict[str, Cell]]] = []
    for row, item in objects:
        cells: dict[str, Cell] = {}
        _flatten(item, "", cells, depth=0, where=f"{source}: row {row}")
        for name in cells:
            positions.setdefault(name, len(positions))
        if len(positions) * (len(flat) + 1) > _MAX_CELLS:
            raise FileError(f"{source}: row {row}: more than {_MAX_CELLS:,} cells, counting every key for every row")
        flat.append((row, cells))
    records = [[cells.get(name) for name in positions] for _, cells in flat]
    return tuple(positions), records, tuple(row for row, _ in flat)


def _flatten(item: Mapping[str, object], prefix: str, cells: dict[str, Cell], *, depth: int, where: str) -> None:
    """Collect the scalars of nested objects under dotted paths; lists inside a run are histories, not values."""
    if depth > _DEEPEST:
        raise FileError(f"{where}: nested more than {_DEEPEST} levels deep")
    for key, value in item.items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            _flatten(value, path, cells, depth=depth + 1, where=where)
        elif value is None or isinstance(value, str | int | float):
            if path in cells:
                raise FileError(f"{where}: two keys are called {quote(path)} once nested keys are joined by dots")
            cells[path] = value


def _kind(value: object) -> str:
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


MAX_BYTES = 32_000_000
"""The largest input, in bytes: 32 MB hold 300,000 runs, and a larger file is a log of training steps."""

_WHAT = "run file"


class History(Record):
    """What a table of a row a step was reduced to: ``finals`` are the numbers of the final rows of its runs.

    They are given by the text of the mapping of the loss, and under an empty text by steps alone: of several columns
    of losses each has its own. ``count`` is how many rows the table had, ``end`` the number of the last.
    """

    finals: Mapping[str, frozenset[int]]
    count: int
    end: int


class RawTable(Record):
    """A table as it stands in a file: ``records[i][j]`` is the cell of row ``rows[i]`` in column ``names[j]``.

    ``ambiguous`` are the columns with cells such as ``4,467``, which nothing tells to be 4.467 or 4467, ``notices``
    what is doubtful about the rows of logs. ``history`` tells that these are a few rows of a larger table.
    """

    source: str
    sha256: str
    names: tuple[str, ...]
    records: Sequence[Sequence[Cell]]
    rows: tuple[int, ...]
    ambiguous: frozenset[str] = frozenset()
    notices: tuple[Notice, ...] = ()
    history: History | None = None

    def column(self, name: str) -> list[Cell]:
        """Return all cells of one column."""
        position = self.names.index(name)
        return [record[position] for record in self.records]

    def take(self, positions: Sequence[int]) -> RawTable:
        """Return the table of some rows, in their order."""
        records = [self.records[position] for position in positions]
        return replace(self, records=records, rows=tuple(self.rows[position] for position in positions))


def read_table(source: Path | str) -> RawTable:
    """Read the table in a file, in a folder of Parquet files, or on standard input when ``source`` is ``-``.

    Raises FileError for a file that is missing, too large, no text, or no table, with the row where one is to blame.
    """
    arrow = arrow_table(source)
    if arrow is not None:
        return text_records(arrow.text(), arrow.name, file_digest(source))
    name, data = _read(source)
    if arrow_kind(data[:_HEAD]) is not None:
        return text_records(ArrowTable(name, [(data, {})]).text(), name, hashlib.sha256(data).hexdigest())
    path = Path("" if str(source) == "-" else source)
    suffix, digest = path.suffix.lower(), hashlib.sha256(data).hexdigest()
    if data.startswith(_GZIP):
        data, suffix = _unpacked(data, name), Path(path.stem).suffix.lower()
    if suffix == ".toml":
        what = f"{name}: this is a TOML file, as laws and plans are, not a table of runs"
        raise FileError(what, hint=f"--preset takes a law; runs are read from {KINDS}")
    try:
        text = _decode(data, name)
    except FileError:
        if suffix not in ENDINGS:
            raise
        raise FileError(f"{name}: this is no Parquet or Arrow file", hint=f"{KINDS} are read") from None
    return _read_text(text, name, suffix, digest=digest)


def _read_text(text: str, name: str, suffix: str, *, digest: str) -> RawTable:
    """Return the table in a text, by the ending of its file and by what it holds."""
    start = text.lstrip()[:1]
    if not start:
        raise FileError(f"{_WHAT} {quote(name)} is empty")
    if suffix not in _TABLES and is_printed_log(text):
        raise log_error(name)
    ambiguous: frozenset[str] = frozenset()
    try:
        if suffix not in {".csv", ".tsv"} and (suffix in _TABLES or start in "{["):
            names, records, rows = _read_objects(text, source=name, lines=suffix in {".jsonl", ".ndjson"})
        else:
            (names, records, rows), delimiter = _read_delimited(text, name)
            if is_printed_log(text) and not any(_HEADING.search(column) for column in names):
                raise log_error(name)
            ambiguous = read_decimal_commas(names, records, delimiter)
    except FileError:
        if suffix in _TABLES and is_printed_log(text):
            raise log_error(name) from None
        raise
    if not records:
        raise FileError(f"{name}: there are no rows below the column names")
    names, records = _unnested(names, records, where=name)
    return RawTable(source=name, sha256=digest, names=names, records=records, rows=rows, ambiguous=ambiguous)


def frame_table(value: object) -> RawTable:
    """Return a table in memory as the one in the CSV file that it would be.

    Raises UsageError for what is no table, FileError for a table without rows or names.
    """
    found = text_table(value)
    data = found.csv()
    if len(data) > MAX_BYTES:
        raise _too_large(FRAME)
    return text_records(found, FRAME, hashlib.sha256(data).hexdigest())


def text_records(found: TextTable, name: str, digest: str, rows: Sequence[int] | None = None) -> RawTable:
    """Return the table whose cells are texts; ``rows`` are their numbers, without which the header is row 1.

    Raises FileError where no row has a value.
    """
    names, records = tuple(found.names), cast("list[list[Cell]]", found.rows)
    ambiguous = read_decimal_commas(names, records, ",")
    numbers = tuple(range(2, len(records) + 2) if rows is None else rows)
    filled = [any(record) for record in found.rows]  # an empty line is no run
    records, numbers = [*compress(records, filled)], (*compress(numbers, filled),)
    if not records:
        what = f"the {name}" if name == FRAME else name
        raise FileError(f"{what} has no values", hint="give one row for each run")
    names, records = _unnested(names, records, where=name)
    return RawTable(source=name, sha256=digest, names=names, records=records, rows=numbers, ambiguous=ambiguous)


def arrow_table(source: Path | str) -> ArrowTable | None:
    """Return the Parquet or Arrow table at a path, or in the files of a folder; None for anything else.

    A pipe can be read once, and is none here. Raises FileError for a file that is damaged.
    """
    path = Path(source)
    if str(source) == "-":
        return None
    name = escape_control(path.name or str(path))
    if is_folder(path):
        return ArrowTable.of_folder(path, name) if arrow_parts(path) else None
    if not is_file(path):
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None  # the reader of files has the error
    try:
        found = arrow_kind(head)
    except FileError as error:
        raise FileError(f"{name}: {error.message}", hint=error.hint) from None
    return None if found is None else ArrowTable(name, [(path, {})])


def file_digest(source: Path | str) -> str:
    """Return the hash of a file, or of the files of a folder one after the other."""
    path = Path(source)
    found = hashlib.sha256()
    for part in arrow_parts(path) if is_folder(path) else [path]:
        with part.open("rb") as file:
            while piece := file.read(1 << 20):
                found.update(piece)
    return found.hexdigest()


def _unpacked(data: bytes, name: str) -> bytes:
    """Return the content of a file that gzip has compressed."""
    try:
        with gzip.open(io.BytesIO(data)) as file:
            found = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise FileError(f"{name}: the compressed file is damaged, or not whole") from None
    if len(found) > MAX_BYTES:
        raise _too_large(f"{_WHAT} {quote(name)}")
    return found


def _too_large(name: str) -> FileError:
    return TooLargeError(f"{name} is larger than {MAX_BYTES // 10**6} MB", hint=TOO_LARGE)


def runs_of(path: Path) -> str:
    """Return the command that makes a table of the runs of a history."""
    return f"'scaleplan runs {shlex.quote(str(path))} -o runs.csv' makes a table of its runs"


_HEAD = 8  # bytes by which Parquet and Arrow files are recognised
_GZIP = b"\x1f\x8b"

KINDS = "CSV, TSV, JSON, JSON Lines, Parquet and Arrow files"
"""The kinds of files that hold a table of runs."""

_OBJECTS = frozenset({".json", ".jsonl", ".ndjson"})
_TABLES = _OBJECTS | {".csv", ".tsv"}

_HEADING = re.compile(
    r"(?i)^[^\d:=]*(?:params?|parameters|size|tokens?|loss|flops?|compute|ppl|perplexity|bpb)[^\d:=]*$"
)
"""A cell of a row of names; logs have a number beside each name."""


def _read(source: Path | str) -> tuple[str, bytes]:
    if str(source) == "-":
        hint = "pipe a file in, or name one"
        if sys.stdin is not None and sys.stdin.isatty():
            raise UsageError("no runs on standard input", hint=hint)
        data = read_input(MAX_BYTES + 1, hint=hint)
        name = "standard input"
    else:
        path = Path(source)
        name = escape_control(path.name)
        if is_file(path) and path.stat().st_size > MAX_BYTES:
            if path.suffix.lower() in _OBJECTS:  # which --last does not read in batches
                hint = f"keep one row for each run, with its final loss; of a history, {runs_of(path)}"
                raise TooLargeError(f"{_WHAT} {quote(name)} is larger than {MAX_BYTES // 10**6} MB", hint=hint)
            raise _too_large(f"{_WHAT} {quote(name)}")
        data = read_bytes(path, what=_WHAT, limit=MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise _too_large(f"{_WHAT} {quote(name)}")
    return name, data


def _decode(data: bytes, name: str) -> str:
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"  # spreadsheets write both
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        if b"brain.Event:" in data[:64]:
            raise NotRunsError(f"{name}: these are the events of one TensorBoard run", hint=ONE_ROW_A_RUN) from None
        raise FileError(f"{name}: row {row}: not UTF-8 text", hint="save the file as CSV in UTF-8") from None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise FileError(f"{name}: row {row}: this is a binary file", hint=f"{KINDS} are read")
    return text


def _read_delimited(text: str, name: str) -> tuple[Rows, str]:
    """Return the table and the delimiter of its cells."""
    text, skipped = without_comments(text)
    if not text.strip():
        raise FileError(f"{name}: there are only comments", hint="add a row of column names, and a row a run")
    delimiter = delimiter_of(text)
    (names, records, rows), _ = delimited_rows(text, name, delimiter, before=skipped)
    if all(is_number(cell) for cell in names if not is_missing(cell)):
        raise FileError(f"{name}: the first row holds numbers, not column names", hint="add a row of column names")
    return (unique_names(names), records, rows), delimiter


def delimited_rows(
    text: str, name: str, delimiter: str, *, before: int, names: Sequence[str] = ()
) -> tuple[Rows, int]:
    """Return the names, records and numbers of the rows of a text, and how many rows there have been.

    ``before`` are those before the text, and ``names`` those of the columns, where they come before it.
    """
    records: list[list[Cell]] = []
    rows: list[int] = []
    names = list(names)
    begun = bool(names)
    spaces = delimiter == SPACES
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=spaces)
    row = before
    try:
        for row, record in enumerate(reader, before + 1):
            if not any(record) or (names and record[0].startswith("#")):
                continue
            if not names:
                names = record
            elif not rows and not begun and is_second_header(names, record):
                names = merged_headers(names, record)
            else:
                if len(names) * len(rows) > _MAX_CELLS:
                    raise TooLargeError(f"{name}: row {row}: more than {_MAX_CELLS:,} cells", hint=TOO_LARGE)
                records.append(_padded(record, names, where=f"{name}: row {row}"))
                rows.append(row)
    except csv.Error as error:
        raise FileError(f"{name}: row {row + 1}: {str(error).lower()}") from None
    return (tuple(names), records, tuple(rows)), row


def _padded(record: list[str], names: Sequence[str], *, where: str) -> list[Cell]:
    """Return a record with one cell for each column; cells that exports cut off at the end are empty."""
    extra = record[len(names) :]
    if any(extra):
        problem = f"{where}: {len(record)} cells, but {len(names)} column names"
        pairs = pairwise(record)
        split = [f"{left},{right}" for left, right in pairs if _WHOLE.fullmatch(left) and _DIGITS.fullmatch(right)]
        if len(split) >= len(extra):
            cause = f"{problem}; decimal commas, as in {quote(split[-1])}?"
            raise FileError(cause, hint="save it with decimal points, or with semicolons between the cells")
        hint = "a comma inside a cell needs quotes around the cell: '\"1,000\"'"
        raise FileError(problem, hint=hint)
    return [*record[: len(names)], *[""] * (len(names) - len(record))]


_WHOLE, _DIGITS = re.compile(r"\s*[+-]?\d{1,3}"), re.compile(r"\d+\s*")

_NUMPY = re.compile(r"\b(?:np|numpy|torch|tensor)?\.?\w+\((-?[\d.eE+-]+|nan|-?inf)(?:, dtype=[\w.]+)?\)")
_PLAIN = {"nan": "None", "inf": "1e999", "null": "None", "true": "True", "false": "False"}
_OUTSIDE_TEXT = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\b(nan|inf|null|true|false)\b""")


def _unnested(
    names: tuple[str, ...], records: list[list[Cell]], *, where: str
) -> tuple[tuple[str, ...], list[list[Cell]]]:
    """Return the table with the columns whose cells hold objects spread over a column for each nested key."""
    nested = [
        j
        for j in range(len(names))
        if next((_is_object(record[j]) for record in records if not is_missing(record[j])), False)
    ]
    if not nested:
        return names, records
    paths: dict[int, dict[str, None]] = {}
    values: dict[int, list[dict[str, Cell]]] = {}
    for j in nested:
        values[j], paths[j] = [], {}
        for record in records:
            cells: dict[str, Cell] = {}
            found = _object_in(record[j])
            if found is not None:
                _flatten(found, names[j], cells, depth=0, where=where)
            values[j].append(cells)
            paths[j].update(dict.fromkeys(cells))
        if not paths[j]:
            del values[j], paths[j]
    if sum(map(len, paths.values())) * len(records) > _MAX_CELLS:
        raise FileError(f"{where}: more than {_MAX_CELLS:,} cells, counting every nested key for every row")
    spread = [path for j, name in enumerate(names) for path in paths.get(j, {name: None})]
    rows: list[list[Cell]] = []
    for i, record in enumerate(records):
        row: list[Cell] = []
        for j, cell in enumerate(record):
            row += [values[j][i].get(path) for path in paths[j]] if j in paths else [cell]
        rows.append(row)
    return unique_names(spread), rows


def _is_object(cell: Cell) -> bool:
    return isinstance(cell, str) and cell.lstrip().startswith("{") and cell.rstrip().endswith("}")


def _object_in(cell: Cell) -> Mapping[str, object] | None:
    """Return the object that a cell holds as JSON or as a Python literal; None where it holds none."""
    if not isinstance(cell, str) or not _is_object(cell):
        return None
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        found = _literal(cell)
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else None


def _literal(text: str) -> object:
    plain = _OUTSIDE_TEXT.sub(lambda match: match[1] or _PLAIN[match[2]], _NUMPY.sub(r"\1", text.strip()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler, about the text of a file
        try:
            return ast.literal_eval(plain)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return None
