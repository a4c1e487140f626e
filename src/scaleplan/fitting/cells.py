"""The number that a cell of a table of runs holds.

People write sizes as ``26450112``, ``529M``, ``1,439,795,200``, ``4.116163e+08`` or ``263.4344e9``, and a value that
is not there as an empty cell, ``-``, ``NaN`` or ``?``. Cells are read more leniently than options, because nobody
can retype an export; what cannot be read is reported with its text and never guessed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy import float64
    from numpy.typing import NDArray

__all__ = ["MAX_CELLS", "Cell", "is_missing", "to_number", "to_numbers", "to_text"]

Cell = str | int | float | bool | None
"""One value of a table: the text of a delimited file, or a scalar of a JSON document."""

MAX_CELLS = 10_000_000
"""The largest table, rows times columns: a few short lines can claim thousands of columns each."""

_LONGEST = 60  # characters of a number with a unit; anything longer is prose
_MISSING = frozenset(
    {"", "-", "--", "–", "—", "?", "nan", "na", "n/a", "#n/a", "#div/0!", "#value!", "#ref!", "null", "none"}
)
_WRITTEN = re.compile(
    r"(?P<sign>[+-]?)(?P<digits>\d{1,3}(?:,\d{3})+|\d+)?(?P<fraction>\.\d*)?(?P<exponent>[eE][+-]?\d+)?\s*"
    r"(?:(?P<percent>%)|(?P<suffix>[kKmMgGbBtT])?\s*(?:params?|parameters|tokens?|toks?)?"
    r"|(?P<prefix>[kKMGTPEZY]?)\s*FLOPs?)",
)
_SUFFIXES = {"k": 3, "m": 6, "g": 9, "b": 9, "t": 12}
_PREFIXES = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21, "Y": 24}


def is_missing(cell: Cell) -> bool:
    """Whether a cell says that there is no value."""
    if isinstance(cell, str):
        return cell.strip().casefold() in _MISSING
    return cell is None or cell != cell  # noqa: PLR0124  NaN is the value that differs from itself


def to_text(cell: Cell) -> str:
    """Return a cell as text: what a name or a filter compares with."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return "" if cell is None else str(cell).strip()


def to_number(cell: Cell) -> float:
    """Return the number in a cell, NaN when it says that there is none.

    Raises
    ------
    ValueError
        When the cell holds anything else.

    """
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


def to_numbers(cells: Sequence[Cell]) -> tuple[NDArray[float64], Mapping[int, str]]:
    """Return the numbers of a column, and the text of each cell that holds none, by position.

    A cell that cannot be read is NaN in the array.
    """
    numbers = np.full(len(cells), np.nan)
    unreadable: dict[int, str] = {}
    known: dict[Cell, float] = {}
    for position, cell in enumerate(cells):
        try:
            number = known[cell] if isinstance(cell, str) and cell in known else to_number(cell)
        except ValueError:
            unreadable[position] = to_text(cell)
            continue
        if isinstance(cell, str):
            known[cell] = number
        numbers[position] = number
    return numbers, unreadable


def _written(text: str) -> float:
    stripped = text.strip()
    if stripped.casefold() in _MISSING:
        return float("nan")
    match = _WRITTEN.fullmatch(stripped) if len(stripped) <= _LONGEST else None
    if match is None or not (match["digits"] or len(match["fraction"] or "") > 1):
        raise ValueError(text)
    power = int((match["exponent"] or "e0")[1:])
    if match["percent"]:
        power -= 2
    elif match["suffix"]:
        power += _SUFFIXES[match["suffix"].lower()]
    elif match["prefix"]:
        power += _PREFIXES[match["prefix"]]
    digits = (match["digits"] or "0").replace(",", "")
    return float(f"{match['sign']}{digits}{match['fraction'] or ''}e{power}")  # as text: 2.81B is 2810000000 exactly
