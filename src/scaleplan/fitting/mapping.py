r"""Map a role to its source in a table, as the user writes it.

A mapping is one of::

    COLUMN              the cells of a column, as they are
    log10(COLUMN)       the cells are logarithms to base 10
    COLUMN*1e9          the cells are in billions
    steps*batch*2048    products and quotients of columns and numbers: samples*seq_len, flops/6/params
    COLUMN~REGEX        what the group of a regular expression finds inside the text: Name~model-(\d+m)
    20, 7B              no column at all: the same number for every run

A column whose name is exactly the text always wins, so that any name can be written. A unit in a heading, as in
``Model Size (B)``, ``params_M`` or ``FLOPs (1E21)``, scales the numbers below it that have no suffix of their own.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.record import Record
from scaleplan.tables.cells import to_number, to_numbers, to_text
from scaleplan.tables.headings import SIZE_ROLES, Heading, headings, listed
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.arrays import Array
    from scaleplan.fitting.table import RawTable
    from scaleplan.tables.cells import Cell

__all__ = ["ColumnMapping", "column_called", "read_mapping", "with_heading"]

_LOG10 = re.compile(r"log10\((?P<inner>.*)\)")


class ColumnMapping(Record):
    """The source of the values of one role; ``text`` is the user's way to write it.

    ``factors`` are what a product multiplies (exponent 1) or divides by (-1); then ``column`` is None. ``heading`` is
    the unit in the column's heading, which scales the cells that have no suffix of their own.
    """

    text: str
    column: str | None = None
    pattern: re.Pattern[str] | None = None
    log10: bool = False
    scale: float = 1.0
    constant: float | None = None
    factors: tuple[tuple[ColumnMapping, int], ...] = ()
    heading: float = 1.0

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the file that the values come from."""
        if self.factors:
            return tuple(name for factor, _ in self.factors for name in factor.columns)
        return () if self.column is None else (self.column,)

    def texts(self, table: RawTable) -> list[str]:
        """Return the cells as texts."""
        return [to_text(cell) for cell in self.cells(table)]

    def cells(self, table: RawTable) -> list[Cell]:
        """Return the cells, with the text that the pattern finds where there is a pattern."""
        if self.factors:
            return [*self.numbers(table)[0].tolist()]
        if self.column is None:
            return [self.constant] * len(table.rows)
        cells = table.column(self.column)
        if self.pattern is None:
            return cells
        matches = [self.pattern.search(to_text(cell)) for cell in cells]
        return [match[1] if match is not None else None for match in matches]

    def numbers(self, table: RawTable) -> tuple[Array, Mapping[int, str]]:
        """Return one number a row, NaN where there is none, and the text of the cells that cannot be read."""
        if self.factors:
            return self._product(table)
        cells = self.cells(table)
        numbers, unreadable = to_numbers(cells)
        with np.errstate(all="ignore"):
            values = (10.0**numbers if self.log10 else numbers) * self.scale
            if self.heading != 1.0:
                values = np.where([_has_suffix(cell) for cell in cells], values, values * self.heading)
            return values, unreadable

    def _product(self, table: RawTable) -> tuple[Array, Mapping[int, str]]:
        values = np.ones(len(table.rows))
        unreadable: dict[int, str] = {}
        for factor, exponent in self.factors:
            numbers, texts = factor.numbers(table)
            with np.errstate(all="ignore"):
                values = values * numbers if exponent > 0 else values / numbers
            unreadable |= texts
        return values, unreadable


def _has_suffix(cell: Cell) -> bool:
    """Whether a cell says itself that it is in thousands, millions, billions or a prefix of FLOP."""
    return isinstance(cell, str) and re.search(r"(?i)\d\s*(?:[kmgbt]|[kmgtpezy]?flops?)", cell) is not None


def read_mapping(text: str, table: RawTable, *, role: str) -> ColumnMapping:
    """Read the user's mapping of a role.

    Raises UnknownNameError for a text that is no column of the file and no number, UsageError for a regular
    expression that is invalid or has no group.
    """
    if text in table.names:
        return with_heading(ColumnMapping(text=text, column=text), role)
    if match := _LOG10.fullmatch(text.strip()):
        return ColumnMapping(text=text, column=column_called(match["inner"], table), log10=True)
    column, tilde, pattern = text.partition("~")
    if tilde:
        return ColumnMapping(text=text, column=column_called(column, table), pattern=_pattern(pattern, role))
    if _OPERATOR.search(text) and _find(text, table) is None:
        return _product(text, table, role)
    try:
        return ColumnMapping(text=text, constant=_positive(text, role))
    except UsageError:
        return with_heading(ColumnMapping(text=text, column=column_called(text, table)), role)


_OPERATOR = re.compile(r"[*/×]")


def _product(text: str, table: RawTable, role: str) -> ColumnMapping:
    """Read a product or quotient of columns and numbers, of the longest column names that the file has."""
    pieces = re.split(r"([*/×])", text)
    factors: list[tuple[ColumnMapping, int]] = []
    start, sign = 0, 1
    while start < len(pieces):
        for end in range(len(pieces), start, -2):  # a name may hold the signs: 'eval/tokens'
            part = "".join(pieces[start:end])
            factor = _factor(part, table)
            if factor is not None:
                break
        else:
            if not pieces[start].strip():
                raise UsageError(f"{role}={quote(text)} lacks a factor", hint="write COLUMN*COLUMN, COLUMN/NUMBER")
            # a misspelt 'eval/los' is one name
            raise UnknownNameError("column", pieces[start].strip() if "*" in text else text.strip(), table.names)
        factors.append((factor, sign))
        if end < len(pieces):
            sign = -1 if pieces[end] == "/" else 1
        start = end + 1
    if len(factors) == 2 and factors[0][0].column and factors[1][0].constant:
        (column, _), (number, exponent) = factors
        return replace(column, text=text, scale=float(number.constant or 1.0) ** exponent)
    return ColumnMapping(text=text, factors=tuple(factors))


def _factor(text: str, table: RawTable) -> ColumnMapping | None:
    """Return a column or a positive number as a factor; None for anything else."""
    if match := _LOG10.fullmatch(text.strip()):
        name = _find(match["inner"], table)
        return None if name is None else ColumnMapping(text=text, column=name, log10=True)
    name = _find(text, table)
    if name is not None:
        return ColumnMapping(text=text, column=name)
    try:
        return ColumnMapping(text=text, constant=_positive(text.strip(), "a factor"))
    except UsageError:
        return None


def with_heading(mapped: ColumnMapping, role: str) -> ColumnMapping:
    """Return the mapping of a whole column with the unit in its heading, for a role that is a size."""
    if role not in SIZE_ROLES or mapped.column is None:
        return mapped
    found = next(headings(mapped.column, role), Heading(mapped.column))
    if found.log10:
        return replace(mapped, text=f"log10({mapped.column})", log10=True)
    if found.factor == 1.0:
        return mapped
    return replace(mapped, text=f"{mapped.column}*{format_plain(found.factor)}", heading=found.factor)


def _find(text: str, table: RawTable) -> str | None:
    """Return the column that a text names, in any case of letters; None for none or several."""
    name = text.strip()
    if name in table.names:
        return name
    folded = [known for known in table.names if known.casefold() == name.casefold()]
    return folded[0] if len(folded) == 1 else None


def column_called(text: str, table: RawTable) -> str:
    """Return the column that a text names; raises UsageError for none or several."""
    name, found = text.strip(), _find(text, table)
    if found is not None:
        return found
    repeated = [known for known in table.names if known.rpartition("#")[0] == name]
    if repeated:
        hint = f"name one of {listed(repeated)}"
        raise UsageError(f"{table.source} has {len(repeated)} columns called {quote(name)}", hint=hint)
    raise UnknownNameError("column", name, table.names)


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
