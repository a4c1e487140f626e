"""Read ``--each``: the columns whose values separate groups, those that are fitted in turn, and the groups."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scaleplan.errors import UnknownNameError, UsageError, escape_control, is_visible, quote
from scaleplan.fitting.cleaning import number_in
from scaleplan.fitting.fit_request import CURVES
from scaleplan.fitting.mapping import column_called
from scaleplan.tables.cells import is_missing, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.arrays import Index
    from scaleplan.fitting.fit_request import FitRequest
    from scaleplan.fitting.table import RawTable
    from scaleplan.tables.cells import Cell

__all__ = ["FleetGroup", "FleetMetric", "columns_of_each", "positions_by_code", "split_rows"]


class FleetMetric(NamedTuple):
    """A role and the column that plays it in turn; both are empty where the usual columns do."""

    role: str = ""
    column: str = ""

    def request(self, request: FitRequest) -> FitRequest:
        """Return the request for the fit of this metric."""
        return replace(request, y=self.column) if self.role == "y" else request


class FleetGroup(NamedTuple):
    """The values of a group by column, and the positions of its rows."""

    values: dict[str, str]
    positions: Index

    @property
    def conditions(self) -> list[str]:
        """The conditions that the rows of the group meet, as ``--where`` takes them."""
        return [_condition(column, value) for column, value in self.values.items()]


def _condition(column: str, value: str) -> str:
    """Return the condition for rows with a value, by a pattern where the value has characters that do not show."""
    if is_visible(value):
        return f"{column} = {value}"
    pattern = "".join(re.escape(c) if is_visible(c) else escape_control(c) for c in value)
    return rf"{column} ~ ^{pattern}\Z"


def columns_of_each(
    texts: Sequence[str], table: RawTable, request: FitRequest, reading: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[FleetMetric, ...]]:
    """Return the columns that separate groups, and the metrics, of the texts of ``--each``."""
    columns: dict[str, None] = {}
    metrics: dict[FleetMetric, None] = {}
    for text in texts:
        if text in table.names:
            columns[text] = None
            continue
        role, sign, rest = (part.strip() for part in text.partition("="))
        if sign:
            _require_role(role, text, request, reading)
            metrics |= dict.fromkeys(FleetMetric(role, name) for name in _matching(rest, table))
            continue
        names = [part for part in text.split(",") if part.strip()]
        if not names:
            raise UsageError(f"--each {quote(text)} names no column", hint=_WAY)
        columns |= {column_called(part, table): None for part in names}
    if len({metric.role for metric in metrics}) > 1:
        raise UsageError("--each names columns of both loss and y", hint="name those of one of them")
    return tuple(columns), tuple(metrics) or (FleetMetric(),)


def _require_role(role: str, text: str, request: FitRequest, reading: Mapping[str, Any]) -> None:
    """Refuse columns of a role that cannot be fitted in turn, or that is given otherwise too."""
    if "," in role:
        names, _, last = role.rpartition(",")
        way = f"--each {escape_control(names)} --each '{escape_control(last + text[len(role) :])}'"
        raise UsageError(f"--each {quote(text)} mixes columns of groups and of a role", hint=way)
    if role not in ("loss", "y"):
        what = f"no role {quote(role)} to fit columns as" if role else "no role before '='"
        raise UsageError(f"--each {quote(text)}: there is {what}", hint=_WAY)
    if role == "y" and request.form not in CURVES:
        raise UsageError(f"--each y is for curves, and form '{request.form}' has its own columns", hint=_WAY)
    if role == "loss" and "loss" not in request.needed_roles:
        way = "'y=COLUMNS' fits each as the y of the curve" if request.form in CURVES else "leave the columns out"
        raise UsageError(f"--each {quote(text)}: this fit has no loss", hint=way)
    if "loss" in reading.get("mapping", {}) if role == "loss" else request.y != "loss":
        raise UsageError(f"the column of the {role} is given twice, by --each {quote(text)} too", hint="give one")


_WAY = "'loss=COLUMNS' fits each column as the loss, COLUMN each value of a column"


def _matching(text: str, table: RawTable) -> list[str]:
    """Return the columns that a list with commas names, of which ``*`` stands for any letters."""
    if text in table.names:
        return [text]
    found: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part in table.names or "*" not in part:
            found.append(column_called(part, table))
            continue
        pattern = re.compile(".*".join(map(re.escape, part.split("*"))), re.DOTALL)
        names = [name for name in table.names if pattern.fullmatch(name)]
        if not names:
            raise UnknownNameError("column", part, table.names)
        found += names
    if not found:
        raise UsageError("--each names a role without columns", hint=_WAY)
    return found


def split_rows(table: RawTable, columns: Sequence[str]) -> tuple[list[FleetGroup], list[int]]:
    """Return the groups in the order of their first rows, and the number of each row's group, -1 for none."""
    if not columns:
        return [FleetGroup({}, np.arange(len(table.rows)))], [0] * len(table.rows)
    keys = [_keys(table.column(name)) for name in columns]
    numbers: dict[tuple[object, ...], int] = {}
    codes = [-1 if None in key else numbers.setdefault(key, len(numbers)) for key in zip(*keys, strict=True)]
    groups = []
    for positions in positions_by_code(np.array(codes, dtype=np.intp), len(numbers)):
        record = table.records[int(positions[0])]
        values = {name: to_text(record[table.names.index(name)]) for name in columns}
        groups.append(FleetGroup(values, positions))
    return groups, codes


def positions_by_code(codes: Index, count: int) -> tuple[Index, ...]:
    """Return the positions of each code from 0 to ``count``, in order."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(count + 1))
    return tuple(order[start:end] for start, end in pairwise(starts))


def _keys(cells: Sequence[Cell]) -> list[object]:
    """Return what tells the value of each cell from others, as a condition with ``=`` does; None for no value.

    A cell that says "none" is a value, of a setting that a run does not have.
    """
    known: dict[tuple[type, Cell], object] = {}
    found: list[object] = []
    for cell in cells:
        place = type(cell), cell
        if place not in known:
            text = to_text(cell)
            number = number_in(cell)
            missing = is_missing(cell) and text.casefold() != "none"
            known[place] = None if missing else text if number is None else number
        found.append(known[place])
    return found
