"""Read the table in a file of runs (CSV, TSV, JSON or JSON Lines), as untouched cells and as numbers.

Rows keep the number that a spreadsheet or an editor shows: the header of a CSV file is row 1, and a line of a JSON
Lines file is its row. Of JSON are read a list of objects, an object of columns, an object with one list of objects,
an object of runs by name, and one object a line; nested keys become dotted paths: ``config.data.train_tokens``.

Numbers are read as they are written: ``26450112``, ``529M``, ``1,439,795,200``, ``4.116163e+08``, ``263.4344e9``; a
value that is not there is an empty cell, ``-``, ``NaN`` or ``?``. Cells are read more leniently than options, because
an export cannot be retyped; an unreadable cell is reported with its text and never guessed.

Of a delimited file, lines that begin with ``#`` are comments, unless one is the only row of names; a comma is the
decimal one where a column or the file proves it (``4,4675``), or where semicolons separate the cells. Cells that hold
a JSON object or a Python dictionary become nested columns: ``summary.val/loss``.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import json
import re
import sys
import warnings
from collections import Counter
from functools import cache
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import FileError, UsageError, escape_control, quote
from scaleplan.files import read_bytes, read_input
from scaleplan.fitting.exports import ONE_ROW_A_RUN, SCALAR, chart_or_scalar, is_log, log_error
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scaleplan.arrays import Array

__all__ = ["MAX_BYTES", "Cell", "RawTable", "is_missing", "read_table", "to_number", "to_numbers", "to_text"]

Cell = str | int | float | bool | None
"""One value of a table: the text of a delimited file, or a scalar of a JSON document."""

_MAX_CELLS = 10_000_000
"""The largest table, rows times columns: a few short lines can claim thousands of columns each."""

_LONGEST = 60  # characters of a number with a unit; anything longer is prose
_DEEPEST = 20  # levels of nesting; trackers write four or five
_MISSING = frozenset(
    {"", "-", "--", "–", "—", "?", "nan", "na", "n/a", "#n/a", "#div/0!", "#value!", "#ref!", "null", "none"}
)
_WRITTEN = re.compile(
    r"(?P<sign>[+-]?)(?P<digits>\d{1,3}(?:,\d{3})+|\d+)?(?P<fraction>\.\d*)?(?P<exponent>[eE][+-]?\d+)?\s*"
    r"(?:(?P<percent>%)|(?P<suffix>[kKmMgGbBtT]|[tT]housand|[mM]illion|[bB]illion|[tT]rillion)?"
    r"\s*(?:params?|parameters|tokens?|toks?)?"
    r"|(?P<prefix>[kKMGTPEZY]?)\s*FLOPs?)",
)

_GROUPED = re.compile(r"(?<=\d)[\u00a0\u2009\u202f '’](?=\d{3}(?!\d))")  # 1 000 000, 1'000'000
_TIMES_TEN = re.compile(r"\s*[x×*]\s*10(?:\^|\*\*)\{?([+-]?\d{1,3})\}?")  # 2.1 × 10^9
_SUFFIXES = {"k": 3, "m": 6, "g": 9, "b": 9, "t": 12}
_PREFIXES = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21, "Y": 24}


def is_missing(cell: Cell) -> bool:
    """Whether a cell stands for no value."""
    if isinstance(cell, str):
        return cell.strip().casefold() in _MISSING
    return cell is None or cell != cell  # noqa: PLR0124  NaN is the value that differs from itself


def to_text(cell: Cell) -> str:
    """Return a cell as text: what a name or a filter compares with."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return "" if cell is None else str(cell).strip()


def to_number(cell: Cell) -> float:
    """Return the number in a cell, NaN for one without a value; raise ValueError for anything else."""
    if isinstance(cell, str):
        try:
            return float(cell)
        except ValueError:
            return _written(cell)
    if cell is None:
        return float("nan")
    if isinstance(cell, bool):
        raise ValueError(cell)  # noqa: TRY004  a cell of a file is a value, whatever its type
    try:
        return float(cell)
    except OverflowError:
        return float("inf") if cell > 0 else float("-inf")


def to_numbers(cells: Sequence[Cell]) -> tuple[Array, Mapping[int, str]]:
    """Return the numbers of a column, NaN where a cell cannot be read, and the text of such cells by position."""
    numbers = np.full(len(cells), np.nan)
    unreadable: dict[int, str] = {}
    read = cache(to_number)  # of texts alone: True equals 1, which is a number
    for position, cell in enumerate(cells):
        try:
            numbers[position] = read(cell) if isinstance(cell, str) else to_number(cell)
        except ValueError:
            unreadable[position] = to_text(cell)
    return numbers, unreadable


def _written(text: str) -> float:
    stripped = text.strip()
    if stripped.casefold() in _MISSING:
        return float("nan")
    plain = _TIMES_TEN.sub(r"e\1", _GROUPED.sub("", stripped)) if len(stripped) <= _LONGEST else stripped
    match = _WRITTEN.fullmatch(plain) if len(stripped) <= _LONGEST else None
    if match is None or not (match["digits"] or len(match["fraction"] or "") > 1):
        raise ValueError(text)
    power = int((match["exponent"] or "e0")[1:])
    if match["percent"]:
        power -= 2
    elif match["suffix"]:
        power += _SUFFIXES[match["suffix"][0].lower()]
    elif match["prefix"]:
        power += _PREFIXES[match["prefix"]]
    digits = (match["digits"] or "0").replace(",", "")
    return float(f"{match['sign']}{digits}{match['fraction'] or ''}e{power}")  # as text: 2.81B is 2810000000 exactly


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
    if len(tables) == 1:
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
        raise FileError(f"{source}: this is {export[0]}", hint=export[1])


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

_DELIMITERS = (",", "\t", ";", "|")

_SPACES = " "  # runs of blanks, as NumPy's savetxt and aligned tables write them

_WHAT = "run file"


class RawTable(Record):
    """A table as it stands in a file: ``records[i][j]`` is the cell of row ``rows[i]`` in column ``names[j]``.

    ``ambiguous`` are the columns with cells such as ``4,467``, which nothing tells to be 4.467 or 4467.
    """

    source: str
    sha256: str
    names: tuple[str, ...]
    records: Sequence[Sequence[Cell]]
    rows: tuple[int, ...]
    ambiguous: frozenset[str] = frozenset()

    def column(self, name: str) -> list[Cell]:
        """Return all cells of one column."""
        position = self.names.index(name)
        return [record[position] for record in self.records]


def read_table(source: Path | str) -> RawTable:
    """Read the table in a file, or on standard input when ``source`` is ``-``.

    Raises FileError for a file that is missing, too large, no text, or no table, with the row where one is to blame.
    """
    name, data = _read(source)
    suffix = "" if str(source) == "-" else Path(source).suffix.lower()
    if suffix == ".toml":
        what = f"{name}: this is a TOML file, as laws and plans are, not a table of runs"
        raise FileError(what, hint="--preset takes a law; runs are read from CSV, TSV, JSON or JSON Lines")
    text = _decode(data, name)
    start = text.lstrip()[:1]
    if not start:
        raise FileError(f"{_WHAT} {quote(name)} is empty")
    if suffix not in _TABLES and is_log(text):
        raise log_error(name)
    ambiguous: frozenset[str] = frozenset()
    try:
        if suffix not in {".csv", ".tsv"} and (suffix in _TABLES or start in "{["):
            names, records, rows = _read_objects(text, source=name, lines=suffix in {".jsonl", ".ndjson"})
        else:
            (names, records, rows), delimiter = _read_delimited(text, name)
            if is_log(text) and not any(_HEADING.search(column) for column in names):
                raise log_error(name)
            ambiguous = _read_decimal_commas(names, records, delimiter)
    except FileError:
        if suffix in _TABLES and is_log(text):
            raise log_error(name) from None
        raise
    if not records:
        raise FileError(f"{name}: there are no rows below the column names")
    names, records = _unnested(names, records, where=name)
    digest = hashlib.sha256(data).hexdigest()
    return RawTable(source=name, sha256=digest, names=names, records=records, rows=rows, ambiguous=ambiguous)


_TABLES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson"})

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
        if b"brain.Event:" in data[:64]:
            raise FileError(f"{name}: these are the events of one TensorBoard run", hint=ONE_ROW_A_RUN) from None
        raise FileError(f"{name}: row {row}: not UTF-8 text", hint="save the file as CSV in UTF-8") from None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise FileError(f"{name}: row {row}: this is a binary file", hint="CSV, TSV, JSON and JSON Lines are read")
    return text


def _read_delimited(text: str, name: str) -> tuple[Rows, str]:
    """Return the table and the delimiter of its cells."""
    text, skipped = _without_comments(text)
    if not text.strip():
        raise FileError(f"{name}: there are only comments", hint="add a row of column names, and a row a run")
    delimiter = _delimiter(text)
    records: list[list[Cell]] = []
    rows: list[int] = []
    names: list[str] = []
    spaces = delimiter == _SPACES
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=spaces)
    row = skipped
    try:
        for row, record in enumerate(reader, skipped + 1):
            if not any(record) or (names and record[0].startswith("#")):
                continue
            if not names:
                names = record
            elif not rows and _is_second_header(names, record):
                names = _merged(names, record)
            else:
                if len(names) * len(rows) > _MAX_CELLS:
                    raise FileError(f"{name}: row {row}: more than {_MAX_CELLS:,} cells")
                records.append(_padded(record, names, where=f"{name}: row {row}"))
                rows.append(row)
    except csv.Error as error:
        raise FileError(f"{name}: row {row + 1}: {str(error).lower()}") from None
    if all(_is_number(cell) for cell in names if not is_missing(cell)):
        raise FileError(f"{name}: the first row holds numbers, not column names", hint="add a row of column names")
    return (_unique(names), records, tuple(rows)), delimiter


def _without_comments(text: str) -> tuple[str, int]:
    """Return the text without the comments before the table, and how many lines they are.

    The last of them is the row of names where it alone can be: it has the cells of the first row, which holds a
    number, and none itself. A line whose first cell is no more than ``#`` is a row of names, too.
    """
    if _SEPARATOR.match(text):  # Excel's word for the delimiter
        return text[text.index("\n") + 1 :], 1
    if not text.lstrip().startswith("#"):
        return text, 0
    lines = list(io.StringIO(text))
    first = next(
        (i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), len(lines)
    )
    last = max((i for i in range(first) if lines[i].strip()), default=first)
    if first < len(lines):
        marked = lines[last].strip()
        bare = marked.lstrip("#").lstrip(" ")
        names = marked if bare[:1] in _DELIMITERS else bare
        if _is_commented_header(names, lines[first].strip()):
            return "".join([f"{names}\n", *lines[last + 1 :]]), last
    return "".join(lines[first:]), first


_SEPARATOR = re.compile(r"(?i)sep=.\r?\n")


def _is_commented_header(comment: str, first: str) -> bool:
    delimiter = _delimiter(first + "\n" + first)
    names, cells = (line.split(None if delimiter == _SPACES else delimiter) for line in (comment, first))
    return (
        len(names) == len(cells) > 1
        and any(_is_number(cell) for cell in cells)
        and not any(_is_number(name) for name in names)
    )


def _delimiter(text: str) -> str:
    """Return the delimiter that splits the first row into most cells; the comma when none does.

    Blanks are one where no other is found and the second row has as many words, one of them a number.
    """
    lines = (line for line in io.StringIO(text) if line.strip())
    line, second = next(lines), next(lines, "").split()

    def width(delimiter: str) -> int:
        try:
            return len(next(csv.reader([line], delimiter=delimiter)))
        except csv.Error:
            return 0

    best = max(_DELIMITERS, key=width)
    words = line.split()
    if width(best) == 1 and 1 < len(words) == len(second) and any(_is_number(word) for word in second):
        return _SPACES
    return best


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

_COMMA = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})*,\d+(?:[eE][+-]?\d+)?\s*[kKmMgGbBtT%]?|[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_NOT_THOUSANDS = re.compile(r"[+-]?(?:0,|\d{4,},|\d+,(?:\d{1,2}|\d{4,})(?!\d)|\d+(?:\.\d{3})+,)")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3}){2,}|(?:,\d{3})+\.\d*)")
_DOTTED = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+")


def _read_decimal_commas(names: Sequence[str], records: Sequence[list[Cell]], delimiter: str) -> frozenset[str]:
    """Rewrite numbers with a decimal comma in place, and return the columns whose commas may be of either kind.

    Thousands have groups of three digits: ``4,4675`` proves a decimal comma for its column, and for columns of the
    file that prove nothing; ``1,439,795,200`` proves the other kind. Between semicolons a comma is a decimal one
    unless the file proves the contrary, which is why such files have them.
    """
    if not any("," in cell for record in records for cell in record if isinstance(cell, str)):
        return frozenset()
    columns = {j: [str(record[j]).strip() for record in records] for j in range(len(names))}
    commas = {j: [cell for cell in cells if _COMMA.fullmatch(cell)] for j, cells in columns.items()}
    decimal = {j for j, cells in commas.items() if any(_NOT_THOUSANDS.match(cell) for cell in cells)}
    thousands = {j for j, cells in columns.items() if any(_THOUSANDS.match(cell) for cell in cells)}
    unproven = {j for j, cells in commas.items() if cells} - decimal - thousands
    both = decimal & thousands
    decimal -= both
    if (decimal and not thousands) or (delimiter == ";" and not thousands):
        decimal |= unproven
        unproven = set()
    elif thousands and not decimal:
        unproven = set()
    if not decimal:
        return frozenset(names[j] for j in unproven | both)
    dotted = {
        j
        for j, cells in columns.items()
        if j not in decimal and all(_DOTTED.fullmatch(cell) or is_missing(cell) for cell in cells)
    }
    for record in records:
        for j in decimal:
            cell = str(record[j]).strip()
            if _COMMA.fullmatch(cell):
                record[j] = cell.replace(".", "").replace(",", ".")
            elif _DOTTED.fullmatch(cell) and cell.count(".") > 1:
                record[j] = cell.replace(".", "")
        for j in dotted:
            record[j] = str(record[j]).replace(".", "")
    return frozenset(names[j] for j in unproven | both)


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
    return _unique(spread), rows


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


def _is_second_header(names: Sequence[str], record: Sequence[str]) -> bool:
    """Whether a row continues the header: texts only, under empty or repeated cells of a span."""
    filled = [position for position, cell in enumerate(record) if cell.strip()]
    spans = [k for k, cell in enumerate(names) if not cell.strip() or (k > 0 and cell == names[k - 1])]
    return (
        len(filled) > 1
        and any(position in filled for position in spans if position > 0)
        and not any(_is_number(record[position]) or is_missing(record[position]) for position in filled)
    )


def _merged(names: Sequence[str], record: Sequence[str]) -> list[str]:
    """Return ``first/second`` for two header rows, where an empty cell of the first continues the one before it."""
    merged: list[str] = []
    span = ""
    for first, second in zip_longest(names, record, fillvalue=""):
        span = first.strip() or span
        merged.append(f"{span}/{second.strip()}" if second.strip() else span)
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
