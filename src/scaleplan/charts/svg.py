"""Draw a chart as SVG: a file of its own, or a part of a web page, with real text that can be selected and searched.

Colours, dashes and fonts are classes. A file brings the style sheet of its theme; inside a page the sheet of the page
defines them (``t0`` … ``t8`` for the tones), so that one picture serves light, dark and print, and values are shown
under the pointer. Both are accessible: a title, and a description that names the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.charts.scene import SIZES, WEIGHTS, lay_out, source_line
from scaleplan.charts.theme import EXTRAPOLATED, TONES
from scaleplan.markup import Markup, element, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.charts.chart import Chart
    from scaleplan.charts.scene import Hit, Lettering, Scene, Stroke
    from scaleplan.charts.theme import Theme

__all__ = ["FONTS", "inline_svg", "svg_file"]

FONTS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif'
"""The fonts of a picture: that of the reader's system."""

_CLASSES = {"run": "shape", "leader": "line leader", "whisker": "line whisker", "ring": "line ring"}
"""The classes of shapes whose role is not their only one; a line has its style besides."""


def inline_svg(chart: Chart, *, ident: str, width: int = 720, height: int = 420, class_: str = "") -> Markup:
    """Return the chart as an ``svg`` element of a class; ``ident`` is a prefix of the ids inside, unique on the page.

    Text is 12 units high, so the picture is best shown at about ``width`` by ``height`` pixels. Title, caption and
    source are left to the page, and are the accessible names.
    """
    scene = lay_out(chart, width, height, titled=False)
    return _svg(chart, scene, ident, f"chart {class_}".strip(), hits=scene.hits)


def svg_file(chart: Chart, theme: Theme, *, width: float, height: float, name: str, values: bool = False) -> str:
    """Return the chart as the text of an SVG file in a theme of this name, with its title, caption and source.

    With ``values`` they are shown under the pointer, which a picture in a page that is no ``img`` can.
    """
    scene = lay_out(chart, width, height)
    class_ = f"scaleplan-{name}"
    paper = element("rect", x=0, y=0, width=width, height=height, class_="paper")
    style = element("style", Markup(_style(theme, class_)))
    return f"{_svg(chart, scene, class_, class_, style, paper, hits=scene.hits if values else (), file=True)}\n"


def _svg(
    chart: Chart, scene: Scene, ident: str, class_: str, *before: Markup, hits: tuple[Hit, ...], file: bool = False
) -> Markup:
    described = " ".join(filter(None, (chart.caption, source_line(chart))))
    return element(
        "svg",
        element("title", chart.title, id=f"{ident}-title"),
        element("desc", described, id=f"{ident}-desc"),
        *before,
        *(_shape(shape) for shape in scene.shapes),
        *(_text(text) for text in scene.texts),
        *(_hit(hit) for hit in hits),
        xmlns="http://www.w3.org/2000/svg" if file else None,
        class_=class_,
        viewBox=f"0 0 {number(scene.width)} {number(scene.height)}",
        width=scene.width if file else None,
        height=scene.height if file else None,
        role="img",
        aria_labelledby=f"{ident}-title",
        aria_describedby=f"{ident}-desc",
    )


def _shape(shape: Stroke) -> Markup:
    tone = "" if shape.tone is None else f"t{shape.tone % TONES}"
    if shape.role == "line":
        class_ = f"line {shape.style} {tone or 'ink'}"
    else:
        class_ = f"{_CLASSES.get(shape.role, shape.role)} {tone}".strip()
    if shape.kind == "circle":
        (x, y), r = shape.spots[0], shape.radius
        return element("circle", cx=x, cy=y, r=r, class_=class_)
    if shape.kind == "line" and len(shape.spots) == 2:
        (x, y), (to_x, to_y) = shape.spots
        return element("line", x1=x, y1=y, x2=to_x, y2=to_y, class_=class_)
    points = " ".join(f"{number(x)},{number(y)}" for x, y in shape.spots)
    return element("polyline" if shape.kind == "line" else "polygon", points=points, class_=class_)


def _text(text: Lettering) -> Markup:
    tone = "" if text.tone is None else f"n{text.tone % TONES}"
    anchor = "" if text.anchor == "start" else text.anchor
    class_ = " ".join(filter(None, (text.role, anchor, tone)))
    return element("text", text.text, x=text.x, y=text.y, class_=class_)


def _hit(hit: Hit) -> Markup:
    return element("circle", element("title", hit.text), cx=hit.x, cy=hit.y, r=8, class_=f"hit t{hit.tone % TONES}")


def _style(theme: Theme, scope: str) -> str:
    """Return the style sheet of a theme, for what is inside a class."""
    return " ".join(f".{scope} {rule}" for rule in _rules(theme))


def _rules(theme: Theme) -> Iterator[str]:
    yield f"text {{ font: 12px {FONTS}; fill: {theme.ink}; }}"
    for role, size in SIZES.items():
        yield f".{role} {{ font-size: {size:g}px; }}"
    for role, weight in WEIGHTS.items():
        yield f".{role} {{ font-weight: {weight}; }}"
    yield f":is(.tick, .name, .note, .caption) {{ fill: {theme.soft}; }}"
    yield ".middle { text-anchor: middle; }"
    yield ".end { text-anchor: end; }"
    halo = f"paint-order: stroke; stroke: {theme.paper}; stroke-width: 4px; stroke-linejoin: round;"
    yield f":is(.value, .note) {{ {halo} }}"
    yield f".paper {{ fill: {theme.paper}; }}"
    yield f".grid {{ stroke: {theme.grid}; }}"
    yield f".axis {{ stroke: {theme.soft}; }}"
    yield f".rule {{ stroke: {theme.soft}; stroke-dasharray: 2 4; }}"
    yield f".fitted {{ fill: {theme.fitted}; }}"
    yield ".line { fill: none; stroke-width: 2; stroke-linejoin: round; }"
    yield f".extrapolated {{ stroke-dasharray: {_dashes(EXTRAPOLATED)}; }}"
    yield ".near_optimal { stroke-width: 7; stroke-opacity: .4; }"
    yield ".leader { stroke-width: 1; }"
    yield ".whisker { stroke-width: 1.5; }"
    yield ".band { fill-opacity: .18; }"
    yield f".mark {{ stroke: {theme.paper}; stroke-width: 1.5; }}"
    yield f".shape {{ stroke: {theme.paper}; stroke-width: .7; }}"
    yield ".hit { fill-opacity: 0; }"
    yield ".hit:hover { fill-opacity: .35; }"
    yield f".line.ink {{ stroke: {theme.ink}; }}"
    for tone in range(TONES):
        colour, dashes = theme.tone(tone), theme.dashes[tone]
        yield f".line.t{tone} {{ stroke: {colour}; }}"
        yield f":is(.shape, .mark, .band, .hit).t{tone} {{ fill: {colour}; }}"
        yield f".n{tone} {{ fill: {theme.text(tone)}; }}"
        if dashes:
            yield f".measured.t{tone} {{ stroke-dasharray: {_dashes(dashes)}; }}"
    yield f".dashed {{ stroke-dasharray: {_dashes(theme.stroke(0, 'dashed'))}; }}"


def _dashes(lengths: tuple[float, ...]) -> str:
    return " ".join(f"{length:g}" for length in lengths)
