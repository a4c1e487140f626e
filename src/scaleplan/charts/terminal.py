"""Draw a chart as text: braille dots for lines, letters for their names, readable at 80 columns and without colour.

Every cell of a braille picture holds two by four dots. Lines beyond the fitted range are dotted, bands show their
edges in sparse dots, and a letter names each line in the legend: in the margin where all lines end at the right edge,
at its end otherwise. Runs are dots, or the letter of what they belong to; plans are diamonds, or numbers if several.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from scaleplan.charts.chart import scales, tick_texts
from scaleplan.charts.placing import spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.charts.chart import Chart, Scale, Series

__all__ = ["CHART_WIDTH", "chart_lines"]

CHART_WIDTH = 118
"""The widest picture: beyond it the eye loses the lines."""

_USUAL, _HEIGHT, _TALL = 78, 20, 27

_NARROWEST = 8  # cells between the axes, however narrow the terminal: lines that wrap are better than none

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column of a cell
_BLANK = 0x2800

_DASHES = {
    "measured": (1, 0),
    "extrapolated": (1, 3),
    "dashed": (1, 3),
    "near_optimal": (1, 0),
    "band": (1, 7),
    "rule": (1, 5),
}
"""Numbers of dots set and left out, in turn."""

_MARK, _POINT = "◆", "•"

_EDGE = 0.93  # from here on, as a share of the width, a line ends at the right edge


class _Canvas:
    """A grid of braille cells, some of which hold a letter instead."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.dots = [[0] * width for _ in range(height)]
        self.letters: dict[tuple[int, int], str] = {}

    def dot(self, x: int, y: int) -> None:
        """Set one dot, counted from the top left; outside is nowhere."""
        if 0 <= x < 2 * self.width and 0 <= y < 4 * self.height:
            self.dots[y // 4][x // 2] |= _DOTS[y % 4][x % 2]

    def polyline(
        self, points: Sequence[tuple[float, float]], dashes: tuple[int, int], *, thick: bool = False
    ) -> None:
        """Draw straight lines between places from 0 to 1, both from the bottom left."""
        on, off = dashes
        walked = 0
        spots = [(x * (2 * self.width - 1), (1 - y) * (4 * self.height - 1)) for x, y in points]
        for (x0, y0), (x1, y1) in pairwise(spots):
            steps = max(1, math.ceil(max(abs(x1 - x0), abs(y1 - y0))))
            for step in range(steps):
                if walked % (on + off) < on:
                    x, y = round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps)
                    self.dot(x, y)
                    if thick:
                        self.dot(x, y - 1)
                walked += 1
        if spots and off == 0:
            self.dot(round(spots[-1][0]), round(spots[-1][1]))

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Return the (row, column) of a place."""
        row = min(self.height - 1, max(0, round((1 - y) * (4 * self.height - 1)) // 4))
        return row, min(self.width - 1, max(0, round(x * (2 * self.width - 1)) // 2))

    def rows(self) -> Iterator[str]:
        """Yield the picture from the top."""
        for row in range(self.height):
            cells = (
                self.letters.get((row, column)) or (chr(_BLANK + dots) if dots else " ")
                for column, dots in enumerate(self.dots[row])
            )
            yield "".join(cells)


def chart_lines(chart: Chart, *, width: int = _USUAL, height: int | None = None) -> tuple[str, ...]:
    """Return the chart as lines of at most ``width`` characters, from some 30 on; a wide one is higher too."""
    height = height or (_HEIGHT if width < (_USUAL + CHART_WIDTH) // 2 else _TALL)
    across, up = scales(chart)
    ticks = up.ticks(max(3, height // 3))
    labels = tick_texts(chart.y, ticks)
    margin = max(map(len, labels))
    beside = _named_beside(chart, across, up)
    canvas = _Canvas(max(_NARROWEST, width - margin - 2 - (3 if beside else 0)), height)
    _draw(canvas, chart, across, up, inside=not beside)
    at_row = {canvas.cell(0.0, up.place(value))[0]: label for value, label in zip(ticks, labels, strict=True)}
    names = _margin(beside, height)
    rows = [
        f"{at_row.get(row, '').rjust(margin)} {'┤' if row in at_row else '│'}{cells} {names.get(row, '')}".rstrip()
        for row, cells in enumerate(canvas.rows())
    ]
    indent = " " * (margin + 1)
    return (
        f"{indent}{chart.y.title}",
        *rows,
        f"{indent}└{_axis_line(chart, across, canvas.width)}",
        f"{indent} {_axis_labels(across, canvas.width)}".rstrip(),
        f"{indent} {chart.x.title.center(canvas.width)}".rstrip(),
        "",
        *_legend(chart, width),
    )


def _draw(canvas: _Canvas, chart: Chart, across: Scale, up: Scale, *, inside: bool) -> None:
    for rule in chart.rules:
        if rule.axis == "y":
            canvas.polyline([(0.0, up.place(rule.at)), (1.0, up.place(rule.at))], _DASHES["rule"])
        else:
            canvas.polyline([(across.place(rule.at), 0.0), (across.place(rule.at), 1.0)], _DASHES["rule"])
    for series in chart.series:
        for edge in (series.low, series.high):
            canvas.polyline(_places(series.x, edge, across, up), _DASHES["band"])
        spots = _places(series.x, series.y, across, up)
        if series.style == "points":
            for x, y in spots:
                canvas.letters[canvas.cell(x, y)] = _letter(chart, series.label) if len(chart.labels) > 1 else _POINT
        else:
            canvas.polyline(spots, _DASHES[series.style], thick=series.style == "near_optimal")
    _set_marks(canvas, chart, across, up)
    if inside and len(chart.labels) > 1:
        for label in chart.labels:
            _name(canvas, [s for s in chart.series if s.label == label], _letter(chart, label), across, up)


def _set_marks(canvas: _Canvas, chart: Chart, across: Scale, up: Scale) -> None:
    """Set the signs of marks, with their intervals and increments."""
    for number, mark in enumerate(chart.marks):
        x, y = across.place(mark.x), up.place(mark.y)
        if mark.since is not None:
            canvas.polyline([(across.place(mark.since), y), (x, y)], _DASHES["extrapolated"])
        if mark.span is not None:
            canvas.polyline([(across.place(end), y) for end in mark.span], _DASHES["measured"])
        canvas.letters[canvas.cell(x, y)] = _sign(chart, number)


def _sign(chart: Chart, number: int) -> str:
    """Return the sign of a mark: a number where there are several."""
    return str(number + 1) if 1 < len(chart.marks) <= _DIGITS else _MARK


_DIGITS = 9


def _named_beside(chart: Chart, across: Scale, up: Scale) -> list[tuple[str, float]]:
    """Return (letter, height) of the ends of lines, if all end at the right edge; else none."""
    if len(chart.labels) < 2:
        return []
    found = []
    for label in chart.labels:
        lines = [s for s in chart.series if s.label == label and s.style != "points" and s.x]
        if lines:
            if not across.place(lines[-1].x[-1]) >= _EDGE:
                return []
            found.append((_letter(chart, label), up.place(lines[-1].y[-1])))
    return [(letter, place) for letter, place in found if math.isfinite(place)]


def _margin(names: Sequence[tuple[str, float]], height: int) -> dict[int, str]:
    """Return the letters of lines by row, each in one of its own as far as there are rows."""
    rows = spread([(1 - place) * (height - 1) for _, place in names], 1.0, 0.0, height - 1.0)
    found: dict[int, str] = {}
    for (letter, _), row in sorted(zip(names, rows, strict=True), key=lambda each: each[1]):
        found[round(row)] = found.get(round(row), "") + letter
    return found


def _name(canvas: _Canvas, parts: list[Series], letter: str, across: Scale, up: Scale) -> None:
    """Put the letter of a line at its right end, or further left where another letter is already."""
    spots = []
    for part in parts:
        places = _places(part.x, part.y, across, up) if part.style != "points" else []
        for (x0, y0), (x1, y1) in pairwise(places):
            steps = max(1, round(abs(x1 - x0) * canvas.width))
            spots += [(x1 + (x0 - x1) * i / steps, y1 + (y0 - y1) * i / steps) for i in range(steps + 1)]
    for x, y in sorted(spots, reverse=True):
        row, column = canvas.cell(x, y)
        if all((row, column + near) not in canvas.letters for near in (-1, 0, 1)):
            canvas.letters[row, column] = letter
            return


def _places(x: Sequence[float], y: Sequence[float], across: Scale, up: Scale) -> list[tuple[float, float]]:
    spots = [(across.place(a), up.place(b)) for a, b in zip(x, y, strict=False)]
    return [(a, b) for a, b in spots if math.isfinite(a) and math.isfinite(b)]


def _letter(chart: Chart, label: str) -> str:
    return chr(ord("a") + list(chart.labels).index(label) % 26)


def _axis_line(chart: Chart, across: Scale, width: int) -> str:
    line = ["─"] * width
    for value in across.ticks(max(2, width // 9)):
        line[_column(across.place(value), width)] = "┬"
    if chart.fitted is not None:
        for value, bracket in zip(chart.fitted, "[]", strict=True):
            if across.low <= value <= across.high:
                line[_column(across.place(value), width)] = bracket
    return "".join(line)


def _axis_labels(across: Scale, width: int) -> str:
    line = [" "] * width
    free = 0
    ticks = across.ticks(max(2, width // 9))
    for value, text in zip(ticks, tick_texts(across.axis, ticks), strict=True):
        start = min(max(_column(across.place(value), width) - len(text) // 2, 0), width - len(text))
        if start >= free:
            line[start : start + len(text)] = text
            free = start + len(text) + 1
    return "".join(line)


def _column(place: float, width: int) -> int:
    return min(width - 1, max(0, round(place * (width - 1))))


def _legend(chart: Chart, width: int) -> Iterator[str]:
    names = [f"{_letter(chart, label)} {label}" for label in chart.labels] if len(chart.labels) > 1 else []
    signs = []
    if chart.has("near_optimal"):
        signs.append("thick: near-optimal")
    if any(series.low for series in chart.series):
        signs.append("sparse dots: interval")
    if chart.has("extrapolated"):
        signs.append("dotted: beyond the fitted runs")
    if chart.fitted is not None:
        signs.append("[ ] compute of the fitted runs")
    if {s.label for s in chart.series if s.style == "points"} & {
        s.label for s in chart.series if s.style != "points"
    }:
        signs.append("letters: runs")
    marks = [f"{_sign(chart, number)} {mark.label}" for number, mark in enumerate(chart.marks)] + [
        rule.label for rule in chart.rules if rule.label
    ]
    for items in (names, marks, signs):
        yield from _flow(items, width)


def _flow(items: Sequence[str], width: int) -> Iterator[str]:
    line = ""
    for item in items:
        if line and len(line) + 3 + len(item) > width:
            yield line
            line = ""
        line = f"{line}   {item}" if line else f"  {item}"
    if line:
        yield line
