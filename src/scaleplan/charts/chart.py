"""A picture as data: named series on two axes, with their scales, ticks and how values are written.

:mod:`terminal`, :mod:`figure` and :mod:`svg` draw a chart; each reads the same numbers, and ``to_dict``
writes them for programs.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from scaleplan.record import Result
from scaleplan.units import (
    USD,
    format_count,
    format_factor,
    format_flops,
    format_fraction,
    format_hours,
    format_number,
    format_plain,
    format_power,
    format_usd,
    money_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from scaleplan.errors import Notice

__all__ = ["Axis", "Chart", "GuideLine", "Mark", "Scale", "Series", "Style", "scales", "tick_texts", "value_text"]

Style = Literal["measured", "extrapolated", "dashed", "near_optimal", "points"]
"""How a series looks: a line inside the range its law was fitted on, a dotted line outside it, a dashed line
whose label says what it is, a thick line where sizes are near-optimal, separate points."""

Kind = Literal["flops", "count", "number", "usd", "hours", "percent", "factor"]
"""The kind of quantity on an axis, which decides how its values are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis: its label and unit, and whether equal steps are equal factors (log) or differences."""

    label: str
    kind: Kind
    unit: str = ""
    scale: Literal["log", "linear"] = "log"

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points that belong together; ``low`` and ``high`` are a band around them, or empty.

    Series with the same ``label`` are one thing in several styles and share a ``tone``, the number of their colour,
    dashes and marker.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    style: Style = "measured"
    tone: int = 0

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or len(self.low) != len(self.high) or len(self.low) not in (0, len(self.x)):
            msg = f"series {self.label}: {len(self.x)} x, {len(self.y)} y, {len(self.low)} low, {len(self.high)} high"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One labelled point: a plan, or a run among others (``sign``).

    ``span`` is the interval of its ``x``; ``since`` is where an increment begins that ends at ``x``.
    """

    x: float
    y: float
    label: str
    tone: int = 0
    sign: Literal["plan", "run"] = "plan"
    span: tuple[float, float] | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuideLine:
    """A line across the picture at one value of an axis."""

    axis: Literal["x", "y"]
    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart(Result):
    """A picture as data, of the ``kind`` that ``scaleplan plot`` takes.

    Series, marks and rules are painted in this order from the bottom up. ``fitted`` is the (low, high) of the
    horizontal axis that the law was fitted on; None where that is unknown. The caption describes the picture, the
    source names the laws and prices behind it with their ranges and dates, and warnings are those of the fit that it
    shows.
    """

    schema: ClassVar[str] = "scaleplan/chart/1"

    kind: str
    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    rules: tuple[GuideLine, ...] = ()
    fitted: tuple[float, float] | None = None
    caption: str = ""
    warnings: tuple[Notice, ...] = ()
    source: str = ""

    @property
    def labels(self) -> dict[str, int]:
        """The labels of the series in order, each with its tone."""
        found: dict[str, int] = {}
        for series in self.series:
            found.setdefault(series.label, series.tone)
        return found

    def has(self, style: Style) -> bool:
        """Return whether any series has a style."""
        return any(series.style == style for series in self.series)

    def values(self, axis: Literal["x", "y"]) -> Iterator[float]:
        """Yield every value that an axis must hold."""
        for series in self.series:
            yield from series.x if axis == "x" else chain(series.y, series.low, series.high)
        for mark in self.marks:
            yield getattr(mark, axis)
            if axis == "x":
                yield from mark.span or ()
                yield from () if mark.since is None else (mark.since,)
        yield from (rule.at for rule in self.rules if rule.axis == axis)

    @property
    def points(self) -> list[dict[str, object]]:
        """One record a point: its series, style, x, y and band."""
        return [
            {
                "series": series.label,
                "style": series.style,
                "x": series.x[i],
                "y": series.y[i],
                "low": series.low[i] if series.low else None,
                "high": series.high[i] if series.high else None,
            }
            for series in self.series
            for i in range(len(series.x))
        ]

    def save(
        self,
        path: str | Path,
        *,
        size: str | tuple[float, float] | None = None,
        dpi: float | None = None,
        theme: str | None = None,
        title: str | None = None,
    ) -> Path:
        """Draw the picture into a ``.png``, ``.svg`` or ``.pdf`` file, and return its path.

        Parameters
        ----------
        path
            The file; its ending says of which kind.
        size
            Width and height in inches, or a text: ``"8x5"``, ``"16x10cm"``, ``"1200x800px"``.
        dpi
            Dots an inch of a ``.png``, 200 unless given.
        theme
            ``"light"``, ``"dark"`` or ``"print"``.
        title
            A title instead of the picture's own.

        """
        saved: Path = _drawer("save")(self, path, size=size, dpi=dpi, theme=theme, title=title)
        return saved

    def show(self) -> None:
        """Show the picture: in a notebook as a drawing, elsewhere as text on standard output."""
        if "IPython" in sys.modules and (shown := _notebook()) is not None:
            shown(self)
            return
        sys.stdout.write("\n".join((self.title, "", *_drawer("text")(self), "")) + "\n")

    def _repr_svg_(self) -> str:
        """Return the drawing that a notebook shows for the last value of a cell."""
        text: str = _drawer("notebook")(self)
        return text

    _repr_html_ = _repr_svg_  # which notebooks prefer to a drawing, and which shows the report of other results


_DRAWERS = {
    "save": "scaleplan.charts.drawing:save",
    "notebook": "scaleplan.charts.drawing:embedded",
    "text": "scaleplan.charts.terminal:chart_lines",
}
"""What draws a chart, which knows none of them: each draws what it reads here."""


def _drawer(name: str) -> Callable[..., Any]:
    module, _, function = _DRAWERS[name].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def _notebook() -> Callable[[object], None] | None:
    """Return the function of a notebook that displays a value; None outside of one."""
    ipython: Any = sys.modules["IPython"]
    shell = ipython.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):  # the shell in a terminal shows no drawings
        return None
    display: Callable[[object], None] = import_module("IPython.display").display
    return display


_ROOM = 0.04  # of the length, left free at both ends
_SAME = 1e-12  # relative; values that differ by less have no round values between them
_MANTISSAS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """An axis with its ends: values become places between 0 and 1."""

    axis: Axis
    low: float
    high: float

    @classmethod
    def of(cls, axis: Axis, values: Iterable[float]) -> Self:
        """Return the scale that holds all values, with some room at both ends."""
        known = [value for value in values if math.isfinite(value) and (axis.scale == "linear" or value > 0)]
        low, high = (min(known), max(known)) if known else (1.0, 10.0)
        if axis.scale == "log":
            room = max(_ROOM * math.log(high / low), 0.02)
            return cls(axis=axis, low=low * math.exp(-room), high=high * math.exp(room))
        apart = high - low > _SAME * max(abs(low), abs(high))
        room = _ROOM * (high - low) if apart else max(abs(high), 1.0) * 0.01
        return cls(axis=axis, low=low - room, high=high + room)

    def place(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high; NaN where a logarithm has none."""
        if self.axis.scale == "linear":
            return (value - self.low) / (self.high - self.low)
        ratio = value / self.low  # may be 0 where the value is not
        return math.log(ratio) / math.log(self.high / self.low) if ratio > 0 else math.nan

    def ticks(self, most: int) -> list[float]:
        """Return at most ``most`` round values to mark (at least two where there are that many)."""
        candidates = [self._linear(most)] if self.axis.scale == "linear" else self._logarithmic()
        fitting = [ticks for ticks in candidates if 2 <= len(ticks) <= most]
        if not fitting:  # less than a factor of about two: round differences serve better than round factors
            fitting = [self._linear(most)]
        return max(fitting, key=len)

    def _logarithmic(self) -> list[list[float]]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        found = [
            [power for n in range(first, last + 1, step) if self.low <= (power := float(f"1e{n}")) <= self.high]
            for step in range(1, max(2, last - first + 1))
        ]
        for mantissas in _MANTISSAS[1:]:
            values = (float(f"{mantissa}e{n}") for n in range(first, last + 1) for mantissa in mantissas)
            found.append([value for value in values if self.low <= value <= self.high])
        return found

    def _linear(self, most: int) -> list[float]:
        span = self.high - self.low
        power = 10.0 ** math.floor(math.log10(span / most))
        for step in (power * factor for factor in (1, 2, 2.5, 5, 10, 20, 50)):
            first, last = math.ceil(self.low / step), math.floor(self.high / step)
            if last - first + 1 <= most:
                break
        # dividing by the step's inverse keeps 0.1 + 0.2 from becoming 0.30000000000000004
        ticks = (round(n * step, 12 - math.floor(math.log10(abs(step)))) for n in range(first, last + 1))
        return [min(max(tick, self.low), self.high) for tick in ticks]


def scales(chart: Chart) -> tuple[Scale, Scale]:
    """Return the horizontal and the vertical scale of a chart."""
    return Scale.of(chart.x, chart.values("x")), Scale.of(chart.y, chart.values("y"))


_LONGEST_TICK = 14  # characters, of which a picture of 80 columns has room for its lines beside


def tick_texts(axis: Axis, values: Sequence[float]) -> list[str]:
    """Write round values shortly: ``1e21``, ``10B``, ``$1M``; on a linear axis with the same decimals for all."""
    if axis.scale == "linear" and axis.kind in ("number", "percent"):
        factor, sign = (100.0, " %") if axis.kind == "percent" else (1.0, "")
        texts = [format_plain(factor * value) for value in values]
        decimals = max((len(text.partition(".")[2]) for text in texts if "e" not in text), default=0)
        written = [f"{factor * value:,.{decimals}f}" for value in values]
        largest = format_plain(factor * max(map(abs, values), default=0.0))
        if "e-" in largest or max(map(len, written), default=0) > _LONGEST_TICK:  # 0 for all, or hundreds of digits
            written = [format_power(factor * value) for value in values]
        return [f"{text}{sign}" for text in written]
    return [_tick_text(axis, value) for value in values]


def _tick_text(axis: Axis, value: float) -> str:
    if axis.kind == "flops":
        return format_flops(value).removesuffix(" FLOP")
    if axis.kind == "factor":
        return f"{format_plain(value)}x"
    if axis.kind in ("number", "percent"):
        return format_fraction(value, digits=4) if axis.kind == "percent" else format_plain(value)
    text = _WRITERS[axis.kind](value)
    return _without_zeros(text.removeprefix("$") if axis.kind == "usd" and axis.unit not in ("", USD) else text)


def value_text(axis: Axis, value: float) -> str:
    """Write a value with the digits that a reader can use, and its unit."""
    if axis.kind == "usd":
        return money_in(axis.unit or None)(value)
    return _WRITERS[axis.kind](value) + (f" {axis.unit}" if axis.unit and axis.kind in ("number", "count") else "")


def _without_zeros(text: str) -> str:
    """Drop the zeros that a round value does not need: ``10.0B`` is 10B, ``$1.00M`` is $1M."""
    number = text.rstrip("kMBT")
    suffix = text[len(number) :]
    return (number.rstrip("0").rstrip(".") if "." in number else number) + suffix


_WRITERS: dict[Kind, Callable[[float], str]] = {
    "flops": format_flops,
    "count": format_count,
    "number": lambda value: format_number(value, digits=4),
    "usd": format_usd,
    "hours": lambda value: format_hours(value, unit="").strip(),
    "percent": format_fraction,
    "factor": format_factor,
}
