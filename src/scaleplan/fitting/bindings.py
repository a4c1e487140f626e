r"""How a user says where the values of a role are, and which values those are.

::

    COLUMN              the cells of a column, as they are
    log10(COLUMN)       the cells are logarithms to base 10
    COLUMN*1e9          the cells are in billions
    COLUMN~REGEX        what the group of a regular expression finds inside the text: Name~model-(\d+m)
    20, 7B              no column at all: the same number for every run

A column whose name is exactly the text always wins, so that any name can be written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.fitting.cells import to_number, to_numbers, to_text
from scaleplan.fitting.columns import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.cells import Cell
    from scaleplan.fitting.tables import Grid

__all__ = ["Binding", "read_binding"]

_LOG10 = re.compile(r"log10\((?P<inner>.*)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where the values of one role come from; ``text`` says it as the user would."""

    text: str
    column: str | None = None
    pattern: re.Pattern[str] | None = None
    log10: bool = False
    scale: float = 1.0
    constant: float | None = None

    def cells(self, grid: Grid) -> list[Cell]:
        """Return the cells, with the text that the pattern finds where there is a pattern."""
        if self.column is None:
            return [self.constant] * len(grid.rows)
        cells = grid.column(self.column)
        if self.pattern is None:
            return cells
        matches = [self.pattern.search(to_text(cell)) for cell in cells]
        return [match[1] if match is not None else None for match in matches]

    def numbers(self, grid: Grid) -> tuple[NDArray[float64], Mapping[int, str]]:
        """Return one number a row, NaN where there is none, and the text of the cells that cannot be read."""
        numbers, unreadable = to_numbers(self.cells(grid))
        with np.errstate(over="ignore"):
            return (10.0**numbers if self.log10 else numbers) * self.scale, unreadable


def read_binding(text: str, grid: Grid, *, role: str) -> Binding:
    """Read what the user wrote for a role.

    Raises
    ------
    UnknownNameError
        When the text names no column of the file and is no number.
    UsageError
        When the regular expression is invalid or has no group.

    """
    if text in grid.names:
        return Binding(text=text, column=text)
    if match := _LOG10.fullmatch(text.strip()):
        return Binding(text=text, column=_column(match["inner"], grid), log10=True)
    column, tilde, pattern = text.partition("~")
    if tilde:
        return Binding(text=text, column=_column(column, grid), pattern=_pattern(pattern, role))
    column, star, factor = text.rpartition("*")
    if star:
        return Binding(text=text, column=_column(column, grid), scale=_positive(factor, role))
    try:
        return Binding(text=text, constant=_positive(text, role))
    except UsageError:
        return Binding(text=text, column=_column(text, grid))


def _column(text: str, grid: Grid) -> str:
    name = text.strip()
    if name in grid.names:
        return name
    folded = [known for known in grid.names if known.casefold() == name.casefold()]
    if len(folded) == 1:
        return folded[0]
    repeated = [known for known in grid.names if known.rpartition("#")[0] == name]
    if repeated:
        hint = f"name one of {listed(repeated)}"
        raise UsageError(f"{grid.source} has {len(repeated)} columns called {quote(name)}", hint=hint)
    raise UnknownNameError("column", name, grid.names)


def _pattern(text: str, role: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"regular expression {quote(text)} for {role}: {error}") from None
    if pattern.groups < 1:
        hint = "put brackets around the number: model-(\\d+m)"
        raise UsageError(f"regular expression {quote(text)} for {role} has no group", hint=hint)
    return pattern


def _positive(text: str, role: str) -> float:
    try:
        number = to_number(text)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise UsageError(f"{quote(text)} for {role} is not a positive number")
    return number
