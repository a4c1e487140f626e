"""Results as CSV and TSV: the keys of the JSON, nested ones joined by dots, one record a row."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from scaleplan.errors import inert
from scaleplan.formats.structured import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["cell", "flat", "render_delimited"]

_ACTIVE_STARTS = ("=", "+", "-", "@", "\t", "\r", "::")  # formulas of spreadsheets, commands of CI runners


def render_delimited(records: Sequence[Mapping[str, object]], *, delimiter: str, header: bool = True) -> str:
    """Return a header and one row a record; a text that a spreadsheet would run as a formula gets a quote."""
    rows = [dict(flat(record)) for record in records]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows([cell(row.get(column)) for column in columns] for row in rows)
    return out.getvalue()


def flat(record: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the scalars of a record by dotted key; a pair of numbers becomes ``.low`` and ``.high``."""
    for key, value in record.items():
        name = prefix + key
        if isinstance(value, dict):
            yield from flat(value, f"{name}.")
        elif isinstance(value, list) and len(value) == 2 and all(isinstance(item, int | float) for item in value):
            yield f"{name}.low", value[0]
            yield f"{name}.high", value[1]
        elif key == "warnings" and isinstance(value, list):
            yield name, " ".join(str(item["code"]) for item in value)
        elif isinstance(value, list):
            yield name, encode(value)
        else:
            yield name, value


def cell(value: object) -> object:
    """Return a value as a cell: text that cannot act as a formula, nothing for null."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = inert(value)
        return f"'{text}" if text.startswith(_ACTIVE_STARTS) else text
    return "" if value is None else value
