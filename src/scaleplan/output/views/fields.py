"""A table of chosen fields, each written in its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan.errors import escape_control
from scaleplan.output import USUAL, Fact, Report, ReportTable
from scaleplan.output.data import encode, plain
from scaleplan.output.fields import take
from scaleplan.output.text import render_markdown, render_text
from scaleplan.output.views.plan import format_loss, plan_columns
from scaleplan.project.check import amount
from scaleplan.units import (
    format_count,
    format_days,
    format_flops,
    format_fraction,
    format_gigabytes,
    format_hours,
    format_kilograms,
    format_kwh,
    format_number,
    format_seconds,
    format_usd,
    money_in,
)
from scaleplan.units.limits import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scaleplan.output.fields import Choice

__all__ = ["StreamTable", "fields_table", "written"]

_ENDS = ("low", "high")
"""The names of the ends of a pair, which are written as the pair is."""

_FRACTIONS = frozenset(
    {
        *("coverage", "goodput", "interval_level", "level", "mfu", "planned_mfu", "relative_error", "saving"),
        *("share", "utilisation", "within"),
    }
)

_UNITS: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("params", format_count),
    ("tokens", format_count),
    ("flops", format_flops),
    ("usd_per_hour", format_usd),
    ("gpu_hours", lambda value: format_hours(value, unit="").strip()),  # the name has the unit
    ("days", format_days),
    ("seconds", format_seconds),
    ("kwh", format_kwh),
    ("kg", format_kilograms),
    ("gb", format_gigabytes),
    ("bytes", lambda value: format_gigabytes(value / 1e9)),
    ("loss", format_loss),
    *((name, str) for name in ("line", "row", "seed", "year")),  # whole numbers that count nothing
)
"""How a field is written, by the end of its name, where it is none of the quantities that limits know."""

_OWN = ("gpu_hours", "days")  # a column has their unit in its name, or each value its own

_OTHER_DAYS = ("pf_days",)  # of compute, not of time

_MISSING = "–"

_LONGEST_COUNT = 1_000_000  # a whole number below it is written with every digit


def fields_table(choice: Choice, form: str, width: int | None = None) -> str:
    """Return the chosen fields as a table and nothing else; those of one record one a line if it is too wide."""
    values = [[take(record, name) for name in choice.names] for record in choice.records]
    text = {
        name for i, name in enumerate(choice.names) if any(isinstance(row[i], str | list | dict) for row in values)
    }
    rows = [
        [written(name, value, _currency_of(record, name)) for name, value in zip(choice.names, row, strict=True)]
        for record, row in zip(choice.records, values, strict=True)
    ]
    report = Report(grid=ReportTable(choice.names, rows=rows, text=text))
    if form == "markdown":
        return render_markdown(report).removeprefix("\n")
    width = USUAL if width is None else width
    if choice.single and sum(map(_column_width, zip(choice.names, rows[0], strict=True))) > width:
        facts = [Fact(name, cell, prose=name in text) for name, cell in zip(choice.names, rows[0], strict=True)]
        report = Report(facts=facts)
    return render_text(report, width=width).removeprefix("\n")


def _column_width(cells: Iterable[str]) -> int:
    return len("  ") + max(map(len, cells))


def _currency_of(record: Mapping[str, Any], name: str) -> str | None:
    """Return the currency of an amount of money: that beside it, or the one of the record, or of its budget."""
    parts = name.split(".")
    around = [".".join((*parts[:end], "currency")) for end in range(len(parts) - 1, -1, -1)]
    places = (take(record, place) for place in (*around, "budget.currency"))
    return next((found for found in places if isinstance(found, str)), None)


def written(name: str, value: Any, currency: str | None = None) -> str:  # noqa: ANN401  of any field
    """Write the value of a field for a reader, in the unit that its name tells; money in a currency."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        stem, _, last = name.rpartition(".")
        quantity = (stem.rpartition(".")[2] if last in _ENDS and stem else last).removesuffix("_interval")
        return _number(quantity, value, currency)
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return ", ".join(map(str, value))
    return _MISSING if value is None else plain(value) if isinstance(value, str) else encode(value)


def _number(quantity: str, value: float, currency: str | None) -> str:
    """Write a number by the name of what it is."""
    if quantity in ("cost", "price_per_hour") or quantity.endswith("_cost"):
        return money_in(currency)(value)
    if quantity in QUANTITIES and quantity not in _OWN:
        return amount(quantity, value)
    if quantity in _FRACTIONS:
        return format_fraction(value)
    is_rate = "_per_" in quantity and quantity != "usd_per_hour" and not quantity.endswith("_usd_per_hour")
    for end, write in () if is_rate or quantity in _OTHER_DAYS else _UNITS:
        if quantity == end or quantity.endswith(f"_{end}"):
            return write(value)
    is_count = isinstance(value, int) and abs(value) < _LONGEST_COUNT
    return f"{value:,}" if is_count else format_number(value)


_WIDTHS = {"flops": 12, "days": 12, "tokens": 7, "loss": 6, "preset": 16}
"""The widest usual value of a field; a wider one moves the rest of its row."""

_WIDTH = 8  # of other numbers, and of short texts


class StreamTable:
    """A table to read that is written row by row, each as soon as it is known; the header comes before the first.

    ``by`` is the form of the budgets of plans, whose usual columns are shown; without it each row brings its fields.
    """

    def __init__(self, by: str | None, *, hardware: bool) -> None:
        titles = {} if by is None else plan_columns(by, hardware=hardware)
        self._titles = {name: title for name, title in titles.items() if name != "preset"}  # there is one
        self._columns: list[tuple[str, int, bool]] = []

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the usual columns."""
        return tuple(self._titles)

    def line(self, row: Mapping[str, object], currency: str | None = None) -> str:
        """Return a row as a line, the first one below the header."""
        head = ""
        if not self._columns:
            titles = [self._titles.get(name, name) for name in row]
            self._columns = [
                (name, max(len(title), _WIDTHS.get(name.rpartition(".")[2], _WIDTH)), isinstance(value, str))
                for (name, value), title in zip(row.items(), titles, strict=True)
            ]
            head = self._joined(titles)
        return head + self._joined([written(name, row[name], currency) for name, _, _ in self._columns])

    def _joined(self, cells: list[str]) -> str:
        padded = (
            cell.ljust(width) if is_text else cell.rjust(width)
            for cell, (_, width, is_text) in zip(map(escape_control, cells), self._columns, strict=True)
        )
        return f"  {'  '.join(padded)}".rstrip() + "\n"
