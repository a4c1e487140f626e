"""Draw a chart as SVG for a web page: accessible, in the colours of the page, with the values under the pointer.

Colours, dashes and fonts are classes that the style sheet of the page defines (``t0`` … ``t8`` for the tones), so
that one picture serves light, dark and print. Series differ in their markers too, and not in colour alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from scaleplan.charts.chart import scales, tick_texts, value_text
from scaleplan.markup import Markup, element, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.charts.chart import Chart, Mark, Series

__all__ = ["inline_svg"]

TONES = 9
"""The number of tones that the style sheet must define; after that they repeat."""

_Item = TypeVar("_Item")

_CHARACTER, _BOLD = 6.4, 7.4  # mean widths of a character at 12 px, generously
_LINE = 18.0
_HITS = 24  # values under the pointer along a curve
_SHAPES = 6  # markers along a curve


class _Frame:
    """The box of the plot inside the picture, and the places of values in it."""

    def __init__(self, chart: Chart, width: float, height: float, top: float) -> None:
        self.across, self.up = scales(chart)
        self.y_ticks = self.up.ticks(7 if height > 300 else 5)
        self.y_texts = tick_texts(chart.y, self.y_ticks)
        self.left = 12 + _CHARACTER * max(map(len, self.y_texts))
        self.right, self.top, self.bottom = width - 14, top + 22, height - 44
        self.x_ticks = self.across.ticks(max(3, int((self.right - self.left) / 70)))
        self.x_texts = tick_texts(chart.x, self.x_ticks)

    def x(self, value: float) -> float:
        """Return the horizontal place of a value."""
        return self.left + self.across.place(value) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Return the vertical place of a value, from the top."""
        return self.bottom - self.up.place(value) * (self.bottom - self.top)


def inline_svg(chart: Chart, *, ident: str, width: int = 720, height: int = 420, class_: str = "") -> Markup:
    """Return the chart as an ``svg`` element of a class; ``ident`` is a prefix of the ids inside, unique on the page.

    Text is 12 units high, so the picture is best shown at about ``width`` by ``height`` pixels.
    """
    legend, below = _legend(chart, width)
    frame = _Frame(chart, width, height, below)
    return element(
        "svg",
        element("title", chart.title, id=f"{ident}-title"),
        element("desc", chart.caption, id=f"{ident}-desc"),
        legend,
        *_axes(chart, frame),
        *(part for rule in chart.rules for part in _rule(rule.axis, rule.at, rule.label, frame)),
        *(_band(series, frame) for series in chart.series if series.low),
        *(part for series in chart.series for part in _curve(series, frame)),
        *_marks(chart.marks, frame),
        *(hit for series in chart.series for hit in _hits(chart, series, frame)),
        class_=f"chart {class_}".strip(),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_labelledby=f"{ident}-title {ident}-desc",
    )


def _axes(chart: Chart, frame: _Frame) -> Iterator[Markup]:
    left, right, top, bottom = frame.left, frame.right, frame.top, frame.bottom
    if chart.fitted is not None:
        low, high = (min(max(frame.x(value), left), right) for value in chart.fitted)
        if high > low:
            yield element("rect", x=low, y=top, width=high - low, height=bottom - top, class_="fitted")
    for value, text in zip(frame.y_ticks, frame.y_texts, strict=True):
        y = frame.y(value)
        yield element("line", x1=left, x2=right, y1=y, y2=y, class_="grid")
        yield _label(left - 6, y + 4, text, class_="tick end")
    free = 0.0
    for value, text in zip(frame.x_ticks, frame.x_texts, strict=True):
        x, half = frame.x(value), 0.5 * _CHARACTER * len(text)
        yield element("line", x1=x, x2=x, y1=bottom, y2=bottom + 5, class_="axis")
        if x - half >= free and x + half <= right + 14:
            yield _label(x, bottom + 19, text, class_="tick middle")
            free = x + half + 6
    yield element("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis")
    yield _label((left + right) / 2, bottom + 37, chart.x.title, class_="name middle")
    yield _label(4, top - 9, chart.y.title, class_="name")


def _rule(axis: str, at: float, label: str, frame: _Frame) -> Iterator[Markup]:
    if axis == "y":
        y = frame.y(at)
        yield element("line", x1=frame.left, x2=frame.right, y1=y, y2=y, class_="rule")
        yield _label(frame.left + 6, y - 5, label, class_="note")
        return
    x = frame.x(at)
    yield element("line", x1=x, x2=x, y1=frame.top, y2=frame.bottom, class_="rule")
    fits = x + _CHARACTER * len(label) < frame.right
    yield _label(x + (5 if fits else -5), frame.bottom - 7, label, class_="note" if fits else "note end")


def _band(series: Series, frame: _Frame) -> Markup:
    edge = [*zip(series.x, series.high, strict=True), *reversed([*zip(series.x, series.low, strict=True)])]
    return element("polygon", points=_points(edge, frame), class_=f"band t{series.tone % TONES}")


def _curve(series: Series, frame: _Frame) -> Iterator[Markup]:
    tone = f"t{series.tone % TONES}"
    spots = [(x, y) for x, y in zip(series.x, series.y, strict=True) if math.isfinite(frame.up.place(y))]
    if series.style != "points":
        yield element("polyline", points=_points(spots, frame), class_=f"line {series.style} {tone}")
    if series.style == "near_optimal":
        return
    for x, y in _spread(spots, len(spots) if series.style == "points" else _SHAPES):
        yield _shape(series.tone, frame.x(x), frame.y(y), f"shape {tone}")


def _marks(marks: Sequence[Mark], frame: _Frame) -> Iterator[Markup]:
    """Yield each mark, then the labels, moved apart where they would meet."""
    taken: list[tuple[float, float, float]] = []
    for mark in marks:
        yield element("circle", cx=frame.x(mark.x), cy=frame.y(mark.y), r=5, class_=f"mark t{mark.tone % TONES}")
    for mark in marks:
        x, y, width = frame.x(mark.x), frame.y(mark.y), _BOLD * len(mark.label)
        fits = x + 9 + width < frame.right
        start = x + 9 if fits else x - 9 - width
        height = y - 9 if y - 9 > frame.top + 12 else y + 18
        while any(abs(height - at) < 14 and start < end and begin < start + width for begin, end, at in taken):
            height -= 14
        taken.append((start, start + width, height))
        yield _label(x + (9 if fits else -9), height, mark.label, class_="value" if fits else "value end")


def _hits(chart: Chart, series: Series, frame: _Frame) -> Iterator[Markup]:
    if series.style == "near_optimal":
        return
    indices = [i for i, y in enumerate(series.y) if math.isfinite(frame.up.place(y))]
    for i in _spread(indices, len(indices) if series.style == "points" else _HITS):
        place = f"{chart.x.label} {value_text(chart.x, series.x[i])}"
        text = f"{series.label}: {value_text(chart.y, series.y[i])} at {place}"
        if series.low:
            text += f" ({value_text(chart.y, series.low[i])} – {value_text(chart.y, series.high[i])})"
        yield element(
            "circle",
            element("title", text),
            cx=frame.x(series.x[i]),
            cy=frame.y(series.y[i]),
            r=8,
            class_=f"hit t{series.tone % TONES}",
        )


def _legend(chart: Chart, width: float) -> tuple[Markup | None, float]:
    """Return the names of the series and of the signs, in rows, and where they end."""
    names: list[tuple[str, str, int | None]] = []
    names += [(f"t{tone % TONES}", label, tone) for label, tone in chart.labels.items()]
    if len(names) == 1 and not (chart.has("extrapolated") or chart.fitted):
        return None, 0.0
    if chart.has("extrapolated"):
        names.append(("line extrapolated ink", "extrapolated", None))
    if chart.has("near_optimal"):
        names.append(("line near_optimal ink", "near-optimal", None))
    if chart.fitted is not None:
        names.append(("fitted", "fitted range", None))
    parts, x, y = [], 4.0, 12.0
    for class_, label, tone in names:
        length = 34 + _CHARACTER * len(label)
        if x > 4 and x + length > width:
            x, y = 4.0, y + _LINE
        if class_ == "fitted":
            parts.append(element("rect", x=x, y=y - 9, width=22, height=12, class_=class_))
        else:
            line = class_ if tone is None else f"line {class_}"
            parts.append(element("line", x1=x, x2=x + 22, y1=y - 4, y2=y - 4, class_=line))
        if tone is not None:
            parts.append(_shape(tone, x + 11, y - 4, f"shape {class_}"))
        parts.append(_label(x + 28, y, label, class_="key"))
        x += length + 8
    return element("g", *parts, class_="legend"), y + 8


def _shape(tone: int, x: float, y: float, class_: str) -> Markup:
    """Return the marker of a tone: nine shapes of about the same weight."""
    shapes: dict[int, list[tuple[float, float]]] = {
        1: [(-4, -4), (4, -4), (4, 4), (-4, 4)],
        2: [(0, -5), (5, 4), (-5, 4)],
        3: [(0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)],
        4: [(-5, -4), (5, -4), (0, 5)],
        5: [(0, -5), (4.8, -1.5), (3, 4), (-3, 4), (-4.8, -1.5)],
        6: [(-5, -1.5), (5, -1.5), (5, 1.5), (-5, 1.5)],
        7: [(-1.5, -5), (1.5, -5), (1.5, 5), (-1.5, 5)],
        8: [(-4, -5), (5, 0), (-4, 5)],
    }
    corners = shapes.get(tone % TONES)
    if corners is None:
        return element("circle", cx=x, cy=y, r=4, class_=class_)
    points = " ".join(f"{number(x + dx)},{number(y + dy)}" for dx, dy in corners)
    return element("polygon", points=points, class_=class_)


def _label(x: float, y: float, text: str, *, class_: str) -> Markup:
    return element("text", text, x=x, y=y, class_=class_)


def _points(spots: Sequence[tuple[float, float]], frame: _Frame) -> str:
    return " ".join(f"{number(frame.x(x))},{number(frame.y(y))}" for x, y in spots)


def _spread(items: Sequence[_Item], most: int) -> list[_Item]:
    """Return at most ``most`` of the items, evenly spaced, both ends included."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
