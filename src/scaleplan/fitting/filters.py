"""Which rows does the user want? ``lr <= 1e-3``, ``group = rw``, ``State != crashed``, ``name ~ ^rw_``.

A condition is a column (or a role: params, tokens, flops, loss …), an operator and a value. Two numbers are compared
as numbers, anything else as text. A row without a value in the column meets ``!=`` and nothing else.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.fitting.cells import is_missing, to_number, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from scaleplan.fitting.cells import Cell

__all__ = ["Condition", "read_condition"]

_OPERATORS = re.compile(r"==|!=|<=|>=|=|<|>|~")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition on the cells of a column; ``text`` is how the user wrote it."""

    text: str
    column: str
    operator: str
    value: str

    def meets(self, cells: Sequence[Cell]) -> list[bool]:
        """Return for each cell whether it meets the condition."""
        if self.operator == "~":
            pattern = re.compile(self.value)
            return [pattern.search(to_text(cell)) is not None for cell in cells]
        wanted = _number(self.value)
        if self.operator in _COMPARE:
            compare = _COMPARE[self.operator]
            return [wanted is not None and (n := _number(cell)) is not None and compare(n, wanted) for cell in cells]
        equal = [self._equals(cell, wanted) for cell in cells]
        return [not item for item in equal] if self.operator == "!=" else equal

    def _equals(self, cell: Cell, wanted: float | None) -> bool:
        if to_text(cell) == self.value:
            return True
        return wanted is not None and _number(cell) == wanted


def read_condition(text: str, *, columns: Collection[str]) -> Condition:
    """Read a condition whose left side is one of ``columns``.

    Raises
    ------
    UsageError
        When there is no operator, an order is asked of a text, or a regular expression is invalid.
    UnknownNameError
        When the left side is no column.

    """
    matches = list(_OPERATORS.finditer(text))
    if not matches:
        hint = "write COLUMN OPERATOR VALUE with one of = != < <= > >= ~, as in 'lr <= 1e-3'"
        raise UsageError(f"condition {quote(text)} has no operator", hint=hint)
    known = [match for match in matches if text[: match.start()].strip() in columns]
    if not known:
        raise UnknownNameError("column", text[: matches[0].start()].strip(), columns)
    match = known[-1]  # the longest name: a column may be called 'a=b'
    sign = "=" if match[0] == "==" else match[0]
    value = text[match.end() :].strip()
    if sign in _COMPARE and _number(value) is None:
        raise UsageError(f"condition {quote(text)}: {quote(value)} is not a number, and '{sign}' compares numbers")
    if sign == "~":
        try:
            re.compile(value)
        except re.error as error:
            raise UsageError(f"condition {quote(text)}: invalid regular expression: {error}") from None
    return Condition(text=text, column=text[: match.start()].strip(), operator=sign, value=value)


def _number(cell: Cell) -> float | None:
    if is_missing(cell) or isinstance(cell, bool):
        return None
    try:
        return to_number(cell)
    except ValueError:
        return None
