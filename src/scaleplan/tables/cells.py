"""Read cells of a table as numbers, as texts, or as nothing.

Numbers are read as they are written: ``26450112``, ``529M``, ``1,439,795,200``, ``4.116163e+08``, ``263.4344e9``; a
value that is not there is an empty cell, ``-``, ``NaN`` or ``?``. Cells are read more leniently than options, because
an export cannot be retyped; an unreadable cell is reported with its text and never guessed.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from itertools import repeat
from operator import is_
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.arrays import Array, Index, Mask

__all__ = [
    "Cell",
    "ColumnCells",
    "Numbers",
    "is_missing",
    "is_number",
    "read_numbers",
    "to_number",
    "to_numbers",
    "to_text",
]

Cell = str | int | float | bool | None
"""One value of a table: the text of a delimited file, or a scalar of a JSON document."""

_LONGEST = 60  # characters of a number with a unit; anything longer is prose
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


class ColumnCells(ABC, Sequence[Cell]):
    """A column that is no list of cells, and can be read at once."""

    @abstractmethod
    def numbers(self) -> Numbers | None:
        """Return the cells as numbers; None where they are to be read one by one."""

    @abstractmethod
    def distinct(self) -> tuple[list[str], Index]:
        """Return different cells as texts, of which few may be alike, and which of them each cell is."""


class Numbers(NamedTuple):
    """A column as numbers: ``values`` (NaN where there is none) and which cells are ``absent`` rather than NaN."""

    values: Array
    absent: Mask

    def there(self) -> Mask:
        """Return where there is a finite value."""
        return np.isfinite(self.values)

    def take(self, rows: Index | slice) -> Numbers:
        """Return some rows, in their order."""
        return Numbers(self.values[rows], self.absent[rows])


_float = cast("Callable[[Cell], float]", float)
"""Of any cell: of one that is no number it raises."""


def read_numbers(cells: Sequence[Cell]) -> Numbers:
    """Return the numbers of a column of any length; a cell that cannot be read is absent."""
    if isinstance(cells, ColumnCells):
        numbers = cells.numbers()
        if numbers is not None:
            return numbers
        cells = list(cells)
    count = len(cells)
    try:
        values = np.fromiter(map(_float, cells), np.float64, count)
    except (TypeError, ValueError, OverflowError):
        pass
    else:
        return Numbers(values, np.zeros(count, dtype=bool))
    try:
        return Numbers(np.array(cells, dtype=float), np.fromiter(map(is_, cells, repeat(None)), bool, count))
    except (TypeError, ValueError, OverflowError):
        pass
    empty = [cell is None or cell == "" for cell in cells]
    try:
        filled = (math.nan if none else _float(cell) for cell, none in zip(cells, empty, strict=True))
        return Numbers(np.fromiter(filled, np.float64, count), np.array(empty))
    except (TypeError, ValueError, OverflowError):
        pass
    values, unreadable = to_numbers([cell if isinstance(cell, str | int | float) else None for cell in cells])
    absent = np.isnan(values)
    for position in np.flatnonzero(absent).tolist():
        absent[position] = position in unreadable or not _is_nan(cells[position])
    return Numbers(values, absent)


def _is_nan(cell: Cell) -> bool:
    """Whether a cell says that a value was computed and is no number."""
    return cell.strip().lower() in {"nan", "-nan", "+nan"} if isinstance(cell, str) else isinstance(cell, float)


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


def is_number(cell: Cell) -> bool:
    """Whether a cell holds a number."""
    try:
        return not is_missing(cell) and bool(to_number(cell) == to_number(cell))
    except ValueError:
        return False
