"""A table of chosen fields, each written in its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan.output import Report, ReportTable
from scaleplan.output.data import encode, plain
from scaleplan.output.fields import take
from scaleplan.output.text import render_markdown, render_text
from scaleplan.project.check import amount
from scaleplan.units import (
    format_count,
    format_flops,
    format_fraction,
    format_gigabytes,
    format_hours,
    format_kilograms,
    format_kwh,
    format_number,
    format_seconds,
    format_usd,
)
from scaleplan.units.limits import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.output.fields import Choice

__all__ = ["fields_table", "written"]

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
    ("cost", format_usd),
    ("usd_per_hour", format_usd),
    ("price_per_hour", format_usd),
    ("gpu_hours", format_hours),
    ("seconds", format_seconds),
    ("kwh", format_kwh),
    ("kg", format_kilograms),
    ("gb", format_gigabytes),
    ("bytes", lambda value: format_gigabytes(value / 1e9)),
    ("loss", lambda value: format_number(value, digits=4)),
)
"""How a field is written, by the end of its name, where it is none of the quantities that limits know."""

_BARE = ("line", "row", "seed", "year")  # whole numbers that count nothing

_LONGEST_COUNT = 1_000_000  # a whole number below it is written with every digit


def fields_table(choice: Choice, form: str) -> str:
    """Return the chosen fields as a table of text or of Markdown, without anything else."""
    values = [[take(record, name) for name in choice.names] for record in choice.records]
    text = {
        name
        for i, name in enumerate(choice.names)
        if any(isinstance(row[i], str | list | dict) for row in values)
    }
    rows = [[written(name, value) for name, value in zip(choice.names, row, strict=True)] for row in values]
    report = Report(grid=ReportTable(choice.names, rows=rows, text=text))
    return (render_text if form == "text" else render_markdown)(report).removeprefix("\n")


def written(name: str, value: Any) -> str:  # noqa: ANN401  of any field
    """Write the value of a field for a reader, in the unit that its name tells."""
    if value is None:
        return "–"
    if isinstance(value, list):
        simple = all(isinstance(item, str | int) for item in value)
        return ", ".join(map(str, value)) if simple else encode(value)
    if isinstance(value, dict):
        return encode(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return plain(value)
    stem, _, last = name.rpartition(".")
    quantity = (stem.rpartition(".")[2] if last in _ENDS and stem else last).removesuffix("_interval")
    if quantity in QUANTITIES:
        return amount(quantity, value)
    if quantity in _FRACTIONS:
        return format_fraction(value)
    for end, write in _UNITS:
        if quantity == end or quantity.endswith(f"_{end}"):
            return write(value)
    if quantity in _BARE:
        return str(value)
    is_count = isinstance(value, int) and abs(value) < _LONGEST_COUNT
    return f"{value:,}" if is_count else format_number(value)
