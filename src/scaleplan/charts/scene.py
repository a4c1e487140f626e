"""Lay out a chart: every line, marker and text of the picture with its place, before anything draws it.

Units are CSS pixels, 96 an inch, with y downwards. :mod:`svg` and :mod:`figure` draw the same scene. Lines that end
at the right edge are named in the margin beside their ends, others where the search of :mod:`placing` finds room;
what cannot be named so is in the legend. Markers are for runs alone: a law has lines, and a plan a diamond.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

from scaleplan.charts.chart import scales, tick_texts, value_text
from scaleplan.charts.lettering import text_width, wrapped
from scaleplan.charts.placing import Box, Ink, LabelPlace, around, placed, spread
from scaleplan.errors import UsageError
from scaleplan.units import format_range
from scaleplan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.charts.chart import Chart, GuideLine, Series

__all__ = ["SIZES", "WEIGHTS", "Hit", "Lettering", "Scene", "Stroke", "lay_out", "source_line"]

Spot = tuple[float, float]

SIZES = {"title": 15.0, "caption": 11.0, "source": 11.0}
"""The sizes of text by its role, in px; 12 for all others."""

WEIGHTS = {"title": 650, "value": 600}
"""The weights of text by its role; 400 for all others."""

_TEXT = 12.0
_LINE = 18.0
_SMALL = 15.0  # height of a line of the caption
_PAD = 14.0
_KEY = 24.0  # length of a line in the legend
_EDGE = 0.93  # from here on, as a share of the width, a line ends at the right edge
_APART = 1e-6  # of the height, between the ends of lines that can be named there
_MARGIN = 0.27  # of the width, at most, for names
_LONGEST = 22  # letters of a name that is written inside the picture
_LEAST = (200.0, 110.0)  # px of the frame in which something can be seen
_HITS = 24
_MARK, _RUN, _RING = 6.0, 4.2, 8.0


class Stroke(NamedTuple):
    """A line, a closed polygon, or a circle: one spot and a radius. A line has a style too."""

    kind: Literal["line", "polygon", "circle"]
    spots: tuple[Spot, ...]
    role: str
    tone: int | None = None
    style: str = ""
    radius: float = 0.0


class Lettering(NamedTuple):
    """A line of text; ``y`` is that of its baseline."""

    x: float
    y: float
    text: str
    role: str
    anchor: Literal["start", "middle", "end"] = "start"
    tone: int | None = None

    @property
    def size(self) -> float:
        """The size of the letters."""
        return SIZES.get(self.role, _TEXT)

    @property
    def box(self) -> Box:
        """The room that it takes, in a wide font."""
        width = text_width(self.text, self.size, bold=self.role in WEIGHTS)
        left = self.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor] * width
        return Box(left, self.y - 0.8 * self.size, left + width, self.y + 0.25 * self.size)


class Hit(NamedTuple):
    """A place of a curve whose value is shown under the pointer."""

    x: float
    y: float
    tone: int
    text: str


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture that is laid out; shapes are painted in this order, and texts above them."""

    width: float
    height: float
    frame: Box
    shapes: tuple[Stroke, ...]
    texts: tuple[Lettering, ...]
    hits: tuple[Hit, ...]


class _Sheet:
    """A picture in the making: the box of the plot, the places of values in it, and what is drawn so far."""

    def __init__(
        self, chart: Chart, shapes: list[Stroke], texts: list[Lettering], *, pad: float, width: float
    ) -> None:
        self.chart, self.shapes, self.texts, self.pad, self.width = chart, shapes, texts, pad, width
        self.across, self.up = scales(chart)
        self.ink = Ink()
        self.box = Box(0.0, 0.0, 1.0, 1.0)

    def x(self, value: float) -> float:
        """Return the horizontal place of a value."""
        return self.box.left + self.across.place(value) * (self.box.right - self.box.left)

    def y(self, value: float) -> float:
        """Return the vertical place of a value, from the top."""
        return self.box.bottom - self.up.place(value) * (self.box.bottom - self.box.top)

    def spots(self, x: Sequence[float], y: Sequence[float]) -> list[Spot]:
        """Return the places of points, of those that have one."""
        found = [(self.x(a), self.y(b)) for a, b in zip(x, y, strict=True)]
        return [spot for spot in found if math.isfinite(spot[0]) and math.isfinite(spot[1])]

    def line(self, spots: Sequence[Spot], role: str, tone: int | None = None, style: str = "") -> None:
        """Draw a line that labels keep off."""
        self.shapes.append(Stroke("line", tuple(spots), role, tone, style))
        self.ink.line(spots)

    def interval(self, one: Spot, other: Spot, tone: int) -> None:
        """Draw an interval: a line with caps at both ends."""
        (x, y), (to_x, to_y) = one, other
        cap_x, cap_y = (0.0, 4.0) if y == to_y else (4.0, 0.0)
        ends = [((a - cap_x, b - cap_y), (a + cap_x, b + cap_y)) for a, b in (one, other)]
        self.line((*ends[0], (x, y), (to_x, to_y), *ends[1]), "whisker", tone)


def lay_out(chart: Chart, width: float, height: float, *, titled: bool = True) -> Scene:
    """Return the scene of a chart.

    ``titled`` scenes hold their title, caption and source; a page writes those beside a picture without them.
    Raises UsageError where the size leaves no room for the curves.
    """
    texts: list[Lettering] = []
    shapes: list[Stroke] = []
    y = 4.0
    pad = _PAD if titled else 4.0
    if titled:
        y = _PAD
        for line in wrapped(chart.title, width - 2 * pad, SIZES["title"], bold=True):
            texts.append(Lettering(pad, y + 13, line, "title"))
            y += 21
        y += 3
    sheet = _Sheet(chart, shapes, texts, pad=pad, width=width)
    named = _named(chart, width)
    top = _legend(sheet, named.legend, Box(pad, y, width - pad, height)) + _TEXT + 10
    lines = int((height - 44 - 16 - top - _LEAST[1]) / _SMALL)
    below = _below(chart, width - 2 * pad, lines) if titled else []
    bottom = height - 44 - (len(below) * _SMALL + 16 if titled else 0)
    ticks = sheet.up.ticks(7 if bottom - top > 230 else 5)
    tick_names = tick_texts(chart.y, ticks)
    left = pad + 8 + max(text_width(text, _TEXT) for text in tick_names)
    sheet.box = Box(left, top, width - pad - named.margin, bottom)
    lacking = [least - side for least, side in zip(_LEAST, (sheet.box.right - left, bottom - top), strict=True)]
    if max(lacking) > 0:
        wide, high = (side + max(0.0, more) for side, more in zip((width, height), lacking, strict=True))
        raise UsageError(
            f"a picture of {_inches(width)} by {_inches(height)} inches has no room for its curves",
            hint=f"--size {_inches(wide)}x{_inches(high)} has",
        )
    for number, line in enumerate(below):
        texts.append(Lettering(pad, bottom + 62 + number * _SMALL, line, "caption"))
    _axes(sheet, list(zip(ticks, tick_names, strict=True)))
    _curves(sheet)
    _points(sheet)
    _labels(sheet, named)
    hits = tuple(hit for series in chart.series for hit in _hits(series, sheet))
    return Scene(width, height, sheet.box, tuple(shapes), tuple(texts), hits)


def _inches(pixels: float) -> str:
    return f"{math.ceil(pixels / 9.6) / 10:g}"


def source_line(chart: Chart) -> str:
    """Return what the picture stands on, and the program that drew it."""
    return f"{chart.source} Drawn by scaleplan {__version__}.".strip()


def _below(chart: Chart, width: float, most: int) -> list[str]:
    """Return the lines of the caption and the source, shortened where there is room for fewer."""
    room, found = 0.97 * width, []  # hinted letters are a little wider
    for texts in _shorter(chart):
        found = [line for text in texts for line in wrapped(text, room, SIZES["caption"])]
        if len(found) <= most:
            break
    return found


_DESCRIBED = "Source and ranges: in the description of this file."
"""Where the text stands that a small picture, one column of a paper, has no room for: every kind of file has it."""


def _shorter(chart: Chart) -> Iterator[tuple[str, str]]:
    """Yield the caption and the source, in full first; what the intervals are of is never left out."""
    yield chart.caption, source_line(chart)
    law = re.match(r"Law: [^,]+", chart.source)
    short = f"{law[0]}. {_DESCRIBED}" if law else _DESCRIBED
    yield chart.caption, short
    first, *others = re.split(r"(?<=\.) (?=[A-Z])", chart.caption)
    yield " ".join((first, *(each for each in others if "interval" in each))), short


class _Named(NamedTuple):
    """Where the names of series stand: in the margin, inside the picture, or in the legend."""

    margin: float
    beside: dict[str, int]
    inside: dict[str, int]
    legend: dict[str, int]


def _named(chart: Chart, width: float) -> _Named:
    labels = chart.labels
    of_lines = {s.label: labels[s.label] for s in chart.series if s.style != "points"}
    if len(labels) < 2:
        return _Named(0.0, {}, {}, {})
    legend = {label: tone for label, tone in labels.items() if label not in of_lines}
    across, up = scales(chart)
    ends = []
    for label in of_lines:
        part = [s for s in chart.series if s.label == label and s.style != "points" and s.x][-1]
        ends.append((across.place(part.x[-1]), up.place(part.y[-1])))
    heights = sorted(end[1] for end in ends)
    apart = all(b - a > _APART for a, b in pairwise(heights))
    if of_lines and apart and all(math.isfinite(x) and math.isfinite(y) for x, y in ends):
        margin = max(text_width(label, _TEXT) for label in of_lines) + 20
        if min(end[0] for end in ends) >= _EDGE:
            if margin <= _MARGIN * width:
                return _Named(margin, of_lines, {}, legend)
        elif max(map(len, of_lines)) <= _LONGEST:
            return _Named(0.0, {}, of_lines, legend)
    return _Named(0.0, {}, {}, labels)


class _Entry(NamedTuple):
    """An entry of the legend: what its sign is made of, its name and its tone."""

    signs: frozenset[str]
    name: str
    tone: int | None = None


def _entries(chart: Chart, names: dict[str, int]) -> Iterator[_Entry]:
    """Yield the series that are named in the legend, and the signs that need a word."""
    kinds = (
        ("band", {s.label for s in chart.series if s.low and s.style != "points"}),
        ("line", {s.label for s in chart.series if s.style != "points"}),
        ("run", {s.label for s in chart.series if s.style == "points"}),
    )
    for name, tone in names.items():
        yield _Entry(frozenset(kind for kind, labels in kinds if name in labels), name, tone)
    if chart.has("extrapolated"):
        yield _Entry(frozenset({"extrapolated"}), "beyond the fitted runs")
    if chart.has("near_optimal"):
        yield _Entry(frozenset({"near_optimal"}), "near-optimal")
    if kinds[0][1] - names.keys():
        yield _Entry(frozenset({"band"}), "interval", 8)
    if chart.fitted is not None:
        yield _Entry(frozenset({"fitted"}), "compute of the fitted runs")


def _legend(sheet: _Sheet, names: dict[str, int], room: Box) -> float:
    """Add the names of series and of signs in rows, and return where they end."""
    entries = [*_entries(sheet.chart, names)]
    if not entries:
        return room.top
    x, y = room.left, room.top
    for signs, name, tone in entries:
        length = _KEY + 7 + text_width(name, _TEXT)
        if x > room.left and x + length > room.right:
            x, y = room.left, y + _LINE
        middle = y + 8.0
        corners = ((x, middle - 6), (x + _KEY, middle - 6), (x + _KEY, middle + 6), (x, middle + 6))
        sheet.shapes += [Stroke("polygon", corners, role, tone) for role in ("band", "fitted") if role in signs]
        for kind in ("extrapolated", "near_optimal", "line"):
            if kind in signs:
                style = _style(sheet.chart, name) if kind == "line" else kind
                sheet.shapes.append(Stroke("line", ((x, middle), (x + _KEY, middle)), "line", tone, style))
        if "run" in signs:
            sheet.shapes.append(marker(tone or 0, x + _KEY / 2, middle))
        sheet.texts.append(Lettering(x + _KEY + 7, middle + 4, name, "key"))
        x += length + 16
    return y + _LINE + 2


def _style(chart: Chart, label: str) -> str:
    """Return the style that stands for a series: its own where it has one throughout, unbroken otherwise."""
    styles = {s.style for s in chart.series if s.label == label and s.style not in ("points", "near_optimal")}
    return "dashed" if styles == {"dashed"} else "measured"


def _axes(sheet: _Sheet, y_ticks: Sequence[tuple[float, str]]) -> None:
    """Add the fitted range, the grid, the ticks and the names of the axes."""
    (left, top, right, bottom), chart, texts = sheet.box, sheet.chart, sheet.texts
    if chart.fitted is not None:
        ends = [min(max(sheet.x(value), left), right) for value in chart.fitted]
        if ends[1] > ends[0]:
            corners = ((ends[0], top), (ends[1], top), (ends[1], bottom), (ends[0], bottom))
            sheet.shapes.append(Stroke("polygon", corners, "fitted"))
    for value, text in y_ticks:
        y = sheet.y(value)
        sheet.shapes.append(Stroke("line", ((left, y), (right, y)), "grid"))
        texts.append(Lettering(left - 8, y + 4, text, "tick", "end"))
    x_ticks = sheet.across.ticks(max(3, int((right - left) / 76)))
    free = 0.0
    for value, text in zip(x_ticks, tick_texts(chart.x, x_ticks), strict=True):
        x, half = sheet.x(value), 0.5 * text_width(text, _TEXT)
        sheet.shapes.append(Stroke("line", ((x, bottom), (x, bottom + 5)), "axis"))
        if x - half >= free and x + half <= sheet.width - 2:
            texts.append(Lettering(x, bottom + 19, text, "tick", "middle"))
            free = x + half + 8
    sheet.shapes.append(Stroke("line", ((left, bottom), (right, bottom)), "axis"))
    half = 0.5 * text_width(chart.x.title, _TEXT)
    texts.append(Lettering(max((left + right) / 2, sheet.pad + half), bottom + 37, chart.x.title, "name", "middle"))
    texts.append(Lettering(sheet.pad, top - 9, chart.y.title, "name"))


def _curves(sheet: _Sheet) -> None:
    """Add rules, bands and lines."""
    left, top, right, bottom = sheet.box
    for rule in sheet.chart.rules:
        at = sheet.y(rule.at) if rule.axis == "y" else sheet.x(rule.at)
        sheet.line(((left, at), (right, at)) if rule.axis == "y" else ((at, top), (at, bottom)), "rule")
    lines = [series for series in sheet.chart.series if series.style != "points"]
    for series in lines:
        if series.low:
            edge = [*sheet.spots(series.x, series.high), *reversed(sheet.spots(series.x, series.low))]
            sheet.shapes.append(Stroke("polygon", tuple(edge), "band", series.tone))
    for series in lines:
        spots = sheet.spots(series.x, series.y)
        if len(spots) > 1:
            sheet.line(spots, "line", series.tone, series.style)


def _points(sheet: _Sheet) -> None:
    """Add runs and marks."""
    for series in sheet.chart.series:
        if series.style != "points":
            continue
        for x, low, high in zip(series.x, series.low, series.high, strict=False):
            sheet.interval((sheet.x(x), sheet.y(low)), (sheet.x(x), sheet.y(high)), series.tone)
        for x, y in sheet.spots(series.x, series.y):
            sheet.shapes.append(marker(series.tone, x, y))
            sheet.ink.run(Box.of(x, y, 2 * _RUN + 1, 2 * _RUN + 1))
    for mark in sheet.chart.marks:
        x, y = sheet.x(mark.x), sheet.y(mark.y)
        if mark.since is not None:
            sheet.line(((sheet.x(mark.since), y), (x, y)), "leader", mark.tone)
        if mark.span is not None:
            sheet.interval((sheet.x(mark.span[0]), y), (sheet.x(mark.span[1]), y), mark.tone)
        if mark.sign == "run":
            sheet.shapes.append(Stroke("circle", ((x, y),), "ring", mark.tone, radius=_RING))
        else:
            corners = ((x, y - _MARK), (x + _MARK, y), (x, y + _MARK), (x - _MARK, y))
            sheet.shapes.append(Stroke("polygon", corners, "mark", mark.tone))
        half = _RING if mark.sign == "run" else _MARK
        sheet.ink.points.append(Box.of(x, y, 2 * half + 1, 2 * half + 1))


def _labels(sheet: _Sheet, named: _Named) -> None:
    """Add the labels of marks, rules and lines, each where there is room, with a line to what they name if far."""
    _names_beside(sheet, named.beside)
    wanted: list[tuple[str, str, int | None, Spot | None, list[LabelPlace]]] = []
    for mark in sheet.chart.marks:
        if mark.label:
            at = sheet.x(mark.x), sheet.y(mark.y)
            width = text_width(mark.label, _TEXT, bold=True)
            wanted.append((mark.label, "value", mark.tone, at, list(around(*at, width, _HIGH))))
    for name, shade in named.inside.items():
        width = text_width(name, _TEXT, bold=True)
        wanted.append((name, "value", shade, None, list(_along(sheet, name, width))))
    wanted += [
        (rule.label, "note", None, None, list(_beside_rule(rule, sheet))) for rule in sheet.chart.rules if rule.label
    ]
    boxes = placed([places for *_, places in wanted], sheet.ink, sheet.box)
    for (label, role, tone, spot, _), box in zip(wanted, boxes, strict=True):
        if spot is not None:
            near = box.nearest(spot)
            if math.dist(near, spot) > _FAR:
                sheet.shapes.append(Stroke("line", (_towards(spot, near, _MARK + 1), near), "leader", tone))
        sheet.texts.append(Lettering(box.left, box.bottom - 0.25 * _TEXT, label, role, tone=tone))


_HIGH = 1.05 * _TEXT  # of a line, from the tops of its letters to below them

_FAR = 16.0  # px from a point to its label, beyond which a line leads there


def _towards(spot: Spot, other: Spot, distance: float) -> Spot:
    share = distance / math.dist(spot, other)
    return spot[0] + (other[0] - spot[0]) * share, spot[1] + (other[1] - spot[1]) * share


def _names_beside(sheet: _Sheet, names: dict[str, int]) -> None:
    """Add the names of lines in the margin, apart from each other, with a line to each end."""
    ends = []
    for label in names:
        part = [s for s in sheet.chart.series if s.label == label and s.style != "points" and s.x][-1]
        ends.append((sheet.x(part.x[-1]), sheet.y(part.y[-1])))
    heights = spread([y for _, y in ends], _TEXT * 1.25, sheet.box.top + 2, sheet.box.bottom - 4)
    for (label, tone), (x, y), height in zip(names.items(), ends, heights, strict=True):
        right = sheet.box.right
        sheet.shapes.append(Stroke("line", ((x + 1, y), (right + 2, y), (right + 11, height)), "leader", tone))
        sheet.texts.append(Lettering(right + 14, height + 4, label, "series", tone=tone))


def _along(sheet: _Sheet, label: str, width: float) -> Iterator[LabelPlace]:
    """Yield places for the name of a line: around its ends, the right one first, and around places between."""
    spots = [
        spot
        for s in sheet.chart.series
        if s.label == label and s.style not in ("points", "near_optimal")
        for spot in sheet.spots(s.x, s.y)
    ]
    for share, cost in ((1.0, 0.0), (0.0, 12.0), (0.85, 25.0), (0.15, 30.0), (0.7, 40.0), (0.3, 45.0)):
        x, y = spots[round(share * (len(spots) - 1))]
        for box, own, _ in around(x, y, width, _HIGH):
            yield LabelPlace(box, own * 2 + cost)


def _beside_rule(rule: GuideLine, sheet: _Sheet) -> Iterator[LabelPlace]:
    """Yield places for the label of a rule, along it on both sides."""
    width = text_width(rule.label, _TEXT)
    left, top, right, bottom = sheet.box
    if rule.axis == "y":
        y, x = sheet.y(rule.at), left + 6 + width / 2
        while x + width / 2 <= right or x == left + 6 + width / 2:
            for side, cost in ((-1, 0.0), (1, 3.0)):
                box = Box.of(x, y + side * (_HIGH / 2 + 3), width, _HIGH)
                yield LabelPlace(box, (x - left) / 8 + cost)
            x += 12
        return
    x, y = sheet.x(rule.at), bottom - 10
    while y - _HIGH > top:
        for side, cost in ((1, 0.0), (-1, 3.0)):
            yield LabelPlace(Box.of(x + side * (width / 2 + 5), y, width, _HIGH), (bottom - y) / 8 + cost)
        y -= 8


def _hits(series: Series, sheet: _Sheet) -> Iterator[Hit]:
    if series.style == "near_optimal":
        return
    chart = sheet.chart
    indices = [i for i, y in enumerate(series.y) if math.isfinite(sheet.up.place(y))]
    most = len(indices) if series.style == "points" else _HITS
    if len(indices) > most:
        indices = [indices[round(i * (len(indices) - 1) / (most - 1))] for i in range(most)]
    for i in indices:
        place = f"{chart.x.label} {value_text(chart.x, series.x[i])}"
        text = f"{series.label}: {value_text(chart.y, series.y[i])} at {place}"
        if series.low:
            text += f" ({format_range(series.low[i], series.high[i], partial(value_text, chart.y))})"
        yield Hit(sheet.x(series.x[i]), sheet.y(series.y[i]), series.tone, text)


_MARKERS: tuple[tuple[Spot, ...], ...] = (
    (),
    ((-3.7, -3.7), (3.7, -3.7), (3.7, 3.7), (-3.7, 3.7)),
    ((0, -4.8), (4.6, 3.6), (-4.6, 3.6)),
    ((0, -5.2), (5.2, 0), (0, 5.2), (-5.2, 0)),
    ((-4.6, -3.6), (4.6, -3.6), (0, 4.8)),
    ((0, -4.8), (4.6, -1.5), (2.8, 3.9), (-2.8, 3.9), (-4.6, -1.5)),
    ((-4.8, -1.6), (4.8, -1.6), (4.8, 1.6), (-4.8, 1.6)),
    ((-1.6, -4.8), (1.6, -4.8), (1.6, 4.8), (-1.6, 4.8)),
    ((-3.6, -4.6), (4.8, 0), (-3.6, 4.6)),
)
"""The outline of the marker of each tone around its point, all of about the same weight; the first is a circle."""


def marker(tone: int, x: float, y: float) -> Stroke:
    """Return the marker of a run."""
    corners = _MARKERS[tone % len(_MARKERS)]
    if not corners:
        return Stroke("circle", ((x, y),), "run", tone, radius=_RUN)
    return Stroke("polygon", tuple((x + dx, y + dy) for dx, dy in corners), "run", tone)
