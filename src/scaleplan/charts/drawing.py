"""Draw a chart as a file or on the screen: which kind of file, its size, resolution, theme and title."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from scaleplan.charts.figure import figure_file, require_matplotlib
from scaleplan.charts.svg import svg_file
from scaleplan.charts.theme import theme_of
from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.files import require_writable, write_atomic
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scaleplan.charts.chart import Chart

__all__ = ["EXTENSIONS", "Look", "draw", "embedded", "picture_path", "save", "titled"]

EXTENSIONS = ("png", "svg", "pdf")
"""The files that can be drawn, by the extension of their name."""

_INCHES = (8.0, 5.4)
_DPI = 200.0
_PER_INCH = 96.0  # CSS pixels
_UNITS = {"": _PER_INCH, "in": _PER_INCH, "cm": _PER_INCH / 2.54, "mm": _PER_INCH / 25.4}
_MOST_PIXELS = 20_000.0  # a side; beyond it a PNG takes gigabytes
_DPIS = (30.0, 1200.0)

_SIZE = re.compile(r"\s*([0-9.]+)\s*[x×*]\s*([0-9.]+)\s*(px|in|cm|mm|)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The look of a drawn picture: width and height in CSS pixels, dots an inch, the theme by name."""

    width: float = _INCHES[0] * _PER_INCH
    height: float = _INCHES[1] * _PER_INCH
    dpi: float = _DPI
    theme: str = "light"

    @classmethod
    def of(
        cls,
        extension: str,
        *,
        size: str | tuple[float, float] | None = None,
        dpi: float | str | None = None,
        theme: str | None = None,
    ) -> Self:
        """Return the look of a file: ``size`` as text (``8x5``, ``16x10cm``, ``1200x800px``), or in inches.

        Pixels are those of a PNG, and of 96 an inch in an SVG or PDF. Raises UsageError for what cannot be drawn.
        """
        theme_of(theme or "light")
        dots = _DPI if dpi is None else _number(dpi, "dpi", "a number of dots an inch, such as 300")
        if not _DPIS[0] <= dots <= _DPIS[1]:
            raise UsageError(
                f"{format_plain(dots)} dots an inch",
                hint=f"from {format_plain(_DPIS[0])} to {_DPIS[1]:,.0f}; 200 is usual",
            )
        if dpi is not None and extension != "png":
            raise UsageError(f"a .{extension} file has no dots", hint="--dpi is for .png files")
        per_dot = _PER_INCH / dots if extension == "png" else 1.0
        width, height = (_INCHES[0] * _PER_INCH, _INCHES[1] * _PER_INCH) if size is None else _sides(size, per_dot)
        if max(width, height) / per_dot > _MOST_PIXELS:
            raise UsageError(
                f"a picture of more than {_MOST_PIXELS:,.0f} pixels a side", hint="a lower --dpi or --size"
            )
        return cls(width=width, height=height, dpi=dots, theme=theme or "light")


def _sides(size: str | tuple[float, float], per_dot: float) -> tuple[float, float]:
    """Return a size in CSS pixels."""
    if isinstance(size, str):
        found = _SIZE.fullmatch(size)
        if found is None:
            raise UsageError(f"size {quote(size)}", hint="write WIDTHxHEIGHT: 8x5 (inches), 16x10cm or 1200x800px")
        unit = per_dot if found[3] == "px" else _UNITS[found[3]]
        sides = [_number(found[side], "size", "WIDTHxHEIGHT, as in 8x5") * unit for side in (1, 2)]
    else:
        try:
            width, height = size
        except (TypeError, ValueError):
            raise UsageError(f"size {size!r}", hint="a (width, height) in inches, or a text such as '8x5'") from None
        sides = [_number(side, "size", "(width, height) in inches") * _PER_INCH for side in (width, height)]
    return sides[0], sides[1]


def _number(value: float | str, name: str, wanted: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"{name} {quote(str(value))} is no positive number", hint=f"write {wanted}")
    return number


def picture_path(file: str, *, inputs: Iterable[str | None] = ()) -> Path:
    """Return the path of a picture, and refuse one that cannot be drawn before the work of drawing it.

    Raises UsageError for an ending that is no picture, FileError where it cannot be written.
    """
    path = Path(file)
    extension = path.suffix[1:].lower()
    if not extension:
        raise UsageError(
            f"{quote(file)} does not say which kind of picture", hint=f"end it in .{', .'.join(EXTENSIONS)}"
        )
    if extension not in EXTENSIONS:
        raise UnknownNameError("kind of picture", extension, EXTENSIONS)
    if extension != "svg":
        require_matplotlib()
    require_writable(path, inputs=inputs)
    return path


def draw(chart: Chart, extension: str, look: Look | None = None) -> bytes:
    """Return the chart as the content of a file of this extension, with caption, source and range inside."""
    look = look or Look()
    theme = theme_of(look.theme)
    if extension == "svg":
        return svg_file(chart, theme, width=look.width, height=look.height, name=look.theme).encode()
    return figure_file(chart, extension, theme, width=look.width, height=look.height, dpi=look.dpi)


def titled(chart: Chart, title: str | None) -> Chart:
    """Return the chart under another title."""
    if title is None:
        return chart
    if not title.strip() or not title.isprintable():
        raise UsageError(f"title {quote(title)} is not one line of printable text")
    return replace(chart, title=title)


def save(chart: Chart, path: str | Path, *, title: str | None = None, **look: Any) -> Path:  # noqa: ANN401
    """Write a chart into a file and return its path; see :meth:`scaleplan.charts.chart.Chart.save`."""
    file = picture_path(str(path))
    extension = file.suffix[1:].lower()
    write_atomic(file, draw(titled(chart, title), extension, Look.of(extension, **look)))
    return file


def embedded(chart: Chart) -> str:
    """Return the SVG that a notebook shows, with values under the pointer."""
    look = Look()
    return svg_file(chart, theme_of(look.theme), width=look.width, height=look.height, name=look.theme, values=True)
