"""Charts as SVG inside a page."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from scaleplan.charts.svg import inline_svg

SIZES = [(600, 400), (340, 340)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["frontier", "isoflop", "loss", "compare", "cost"])
def test_every_picture_is_well_formed_named_and_inside_its_frame(charts, kind, size):
    """It has a title and a description, and every coordinate lies in the drawing."""
    width, height = size
    root = ET.fromstring(inline_svg(charts[kind], ident="p", width=width, height=height))
    assert root.get("role") == "img"
    named = root.get("aria-labelledby").split()
    assert [root.find(f"*[@id='{name}']").text for name in named] == [charts[kind].title, charts[kind].caption]
    for shape in root.iter():
        for key, most in (
            ("x1", width),
            ("x2", width),
            ("cx", width),
            ("y1", height),
            ("y2", height),
            ("cy", height),
        ):
            assert 0 <= float(shape.get(key, 0)) <= most
        for pair in shape.get("points", "").split():
            x, y = map(float, pair.split(","))
            assert -1 <= x <= width
            assert -1 <= y <= height


def test_values_are_under_the_pointer(charts):
    """Hovering tells series, value, place and band; the text is that of the plan."""
    svg = inline_svg(charts["loss"], ident="p")
    assert "<title>loss: 3.393 nats/token at training compute 1.4e18 FLOP (3.382" in svg


def test_every_tone_has_a_shape_of_its_own(charts):
    """Series can be told apart without colour."""
    series = charts["loss"].series[0]
    shapes = set()
    for tone in range(9):
        one = replace(charts["loss"], series=(replace(series, tone=tone),), marks=(), rules=(), fitted=None)
        found = ET.fromstring(inline_svg(one, ident="p")).find(f"*[@class='shape t{tone}']")
        x, y = (float(found.get(key, 0)) for key in ("cx", "cy"))
        if found.get("points"):
            corners = [tuple(map(float, pair.split(","))) for pair in found.get("points").split()]
            x, y = corners[0]
            shapes.add(tuple((round(a - x, 1), round(b - y, 1)) for a, b in corners))
        else:
            shapes.add(found.tag)
    assert len(shapes) == 9


def test_hostile_labels_are_inert(charts):
    """Markup in names is text, and control characters are written out."""
    series = replace(charts["loss"].series[0], label='<script>alert("1")</script>\x1b[31m')
    svg = inline_svg(replace(charts["loss"], title="</title><b>", series=(series,)), ident="p")
    ET.fromstring(svg)
    assert "<script" not in svg
    assert "\x1b" not in svg
