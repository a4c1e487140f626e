"""Write results for programs: JSON, one object or one a line; CSV and TSV, nested keys joined by dots.

Every digit is kept, and there is never a NaN. :class:`Template` writes many alike plans from columns: what is the
same in every plan is encoded once, and the bytes are those that encoding each by itself would give.
"""

from __future__ import annotations

import csv
import io
import json
from itertools import repeat
from typing import TYPE_CHECKING

from scaleplan.errors import escape_control, is_visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "Template",
    "cell",
    "encode",
    "flat",
    "plain",
    "render_csv",
    "render_delimited",
    "render_header",
    "render_json",
    "render_jsonl",
    "render_rows",
    "render_tsv",
]

_LINE = json.JSONEncoder(allow_nan=False, ensure_ascii=False)

_PAGE = json.JSONEncoder(allow_nan=False, ensure_ascii=False, indent=2)


def encode(value: object) -> str:
    """Return a value as JSON on one line; ValueError for a number that JSON does not have."""
    return _visible(_LINE.encode(value))


def render_json(result: object) -> str:
    """Return an indented JSON value, ending in a newline."""
    return _visible(_PAGE.encode(result)) + "\n"


def _visible(text: str) -> str:
    """Spell out, as JSON does it, the characters of its texts that do not show."""
    if is_visible(text.replace("\n", "")):
        return text
    return "".join(c if c == "\n" or is_visible(c) else _spelt(c) for c in text)


def _spelt(character: str) -> str:
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def render_jsonl(records: Iterable[dict[str, object]]) -> str:
    """Return one compact JSON object a line."""
    return "".join(encode(record) + "\n" for record in records)


def render_csv(records: Sequence[Mapping[str, object]]) -> str:
    """Return a header and one row a record, separated by commas."""
    return render_delimited(records, delimiter=",")


def render_tsv(records: Sequence[Mapping[str, object]]) -> str:
    """Return a header and one row a record, separated by tabs."""
    return render_delimited(records, delimiter="\t")


_ACTIVE_STARTS = ("=", "+", "-", "@", "\t", "\r", "::")  # formulas of spreadsheets, commands of CI runners


def render_delimited(records: Sequence[Mapping[str, object]], *, delimiter: str) -> str:
    """Return a header and one row a record; a text that a spreadsheet would run as a formula gets a quote."""
    columns = list(dict.fromkeys(key for record in records for key, _ in flat(record)))
    return render_header(columns, delimiter=delimiter) + render_rows(records, columns, delimiter=delimiter)


def render_header(columns: Sequence[str], *, delimiter: str) -> str:
    """Return the row of the names of some columns."""
    return _delimited([columns], delimiter)


def render_rows(records: Sequence[Mapping[str, object]], columns: Sequence[str], *, delimiter: str) -> str:
    """Return one row a record with what it has in each of some columns, without a header."""
    rows = [dict(flat(record)) for record in records]
    return _delimited([[row.get(column) for column in columns] for row in rows], delimiter)


def _delimited(rows: Iterable[Iterable[object]], delimiter: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(map(cell, row) for row in rows)
    return out.getvalue()


_ENDS = ("params", "tokens", "tokens_per_param", "expected_loss", "flops")
"""What an interval may lack in one plan and have in the next: its columns stay the two of a pair."""


def flat(record: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the scalars of a record by dotted key; a pair of numbers becomes ``.low`` and ``.high``."""
    for key, value in record.items():
        name = prefix + key
        if isinstance(value, dict):
            yield from flat(value, f"{name}.")
        elif value is None and key in _ENDS and name.endswith(f"interval.{key}"):
            yield f"{name}.low", None
            yield f"{name}.high", None
        elif isinstance(value, list) and len(value) == 2 and all(isinstance(item, int | float) for item in value):
            yield f"{name}.low", value[0]
            yield f"{name}.high", value[1]
        elif key == "warnings" and isinstance(value, list):
            yield name, " ".join(str(item["code"]) for item in value)
        elif isinstance(value, list):
            yield name, encode(value)
        else:
            yield name, value


def plain(value: object) -> str:
    """Return a scalar as text with every digit: a boolean as JSON has it, a text without quotes."""
    if isinstance(value, str):
        return escape_control(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def cell(value: object) -> object:
    """Return a value as a cell: text that cannot act as a formula, nothing for null."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = escape_control(value)
        return f"'{text}" if text.startswith(_ACTIVE_STARTS) else text
    return "" if value is None else value


class Template:
    """A record of plain mappings and lists with slots: the dotted keys that vary from record to record.

    Each slot has the way its value is written: ``"number"`` for a float, ``"json"`` for text that is JSON already.
    """

    def __init__(self, record: Mapping[str, object], slots: Mapping[str, str]) -> None:
        self.keys = tuple(slots)
        marks = {f"\x00{key}\x00": kind for key, kind in slots.items()}
        text = encode(_marked(record, set(slots), "")).replace("%", "%%")
        for mark, kind in marks.items():
            text = text.replace(encode(mark), "%r" if kind == "number" else "%s")
        self.text = text + "\n"

    def lines(self, columns: Sequence[Sequence[object]], number: int) -> Iterator[str]:
        """Yield one line for each of a ``number`` of records; ``columns`` are in the order of ``keys``."""
        rows = zip(*columns, strict=True) if columns else repeat((), number)
        return map(self.text.__mod__, rows)


def _marked(value: object, slots: set[str], path: str) -> object:
    if path in slots:
        return f"\x00{path}\x00"
    if isinstance(value, dict):
        return {key: _marked(item, slots, f"{path}.{key}" if path else key) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item, slots, f"{path}.{i}") for i, item in enumerate(value)]
    return value
