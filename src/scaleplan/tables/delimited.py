"""Read the outline of delimited text: comments, delimiter, rows of names, and the kind of its commas.

Lines that begin with ``#`` are comments, unless one is the only row of names; a comma is the decimal one where a
column or the file proves it (``4,4675``), or where semicolons separate the cells.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING

from scaleplan.tables.cells import is_missing, is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.tables.cells import Cell

__all__ = [
    "DELIMITERS",
    "SPACES",
    "delimiter_of",
    "is_second_header",
    "merged_headers",
    "read_decimal_commas",
    "unique_names",
    "without_comments",
]

DELIMITERS = (",", "\t", ";", "|")

SPACES = " "  # runs of blanks, as NumPy's savetxt and aligned tables write them


def without_comments(text: str) -> tuple[str, int]:
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
        names = marked if bare[:1] in DELIMITERS else bare
        if _is_commented_header(names, lines[first].strip()):
            return "".join([f"{names}\n", *lines[last + 1 :]]), last
    return "".join(lines[first:]), first


_SEPARATOR = re.compile(r"(?i)sep=.\r?\n")


def _is_commented_header(comment: str, first: str) -> bool:
    delimiter = delimiter_of(first + "\n" + first)
    names, cells = (line.split(None if delimiter == SPACES else delimiter) for line in (comment, first))
    return (
        len(names) == len(cells) > 1
        and any(is_number(cell) for cell in cells)
        and not any(is_number(name) for name in names)
    )


def delimiter_of(text: str) -> str:
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

    best = max(DELIMITERS, key=width)
    words = line.split()
    if width(best) == 1 and 1 < len(words) == len(second) and any(is_number(word) for word in second):
        return SPACES
    return best


_COMMA = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})*,\d+(?:[eE][+-]?\d+)?\s*[kKmMgGbBtT%]?|[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_NOT_THOUSANDS = re.compile(r"[+-]?(?:0,|\d{4,},|\d+,(?:\d{1,2}|\d{4,})(?!\d)|\d+(?:\.\d{3})+,)")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3}){2,}|(?:,\d{3})+\.\d*)")
_DOTTED = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+")


def read_decimal_commas(names: Sequence[str], records: Sequence[list[Cell]], delimiter: str) -> frozenset[str]:
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


def is_second_header(names: Sequence[str], record: Sequence[str]) -> bool:
    """Whether a row continues the header: texts only, under empty or repeated cells of a span."""
    filled = [position for position, cell in enumerate(record) if cell.strip()]
    spans = [k for k, cell in enumerate(names) if not cell.strip() or (k > 0 and cell == names[k - 1])]
    return (
        len(filled) > 1
        and any(position in filled for position in spans if position > 0)
        and not any(is_number(record[position]) or is_missing(record[position]) for position in filled)
    )


def merged_headers(names: Sequence[str], record: Sequence[str]) -> list[str]:
    """Return ``first/second`` for two header rows, where an empty cell of the first continues the one before it."""
    merged: list[str] = []
    span = ""
    for first, second in zip_longest(names, record, fillvalue=""):
        span = first.strip() or span
        merged.append(f"{span}/{second.strip()}" if second.strip() else span)
    return merged


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that differ: a repeated one is numbered ``loss#1``, ``loss#2``; an empty one is ``column 3``."""
    named = [name.strip() or f"column {position}" for position, name in enumerate(names, 1)]
    counts = Counter(named)
    seen: Counter[str] = Counter()
    unique = []
    for name in named:
        seen[name] += 1
        unique.append(f"{name}#{seen[name]}" if counts[name] > 1 else name)
    return tuple(unique)
