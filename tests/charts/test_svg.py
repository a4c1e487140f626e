"""Charts as SVG inside a page."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from scaleplan.charts.scene import marker
from scaleplan.charts.svg import inline_svg

SIZES = [(600, 400), (340, 340)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", ["frontier", "isoflop", "loss", "compare", "cost"])
def test_every_picture_is_well_formed_named_and_inside_its_frame(charts, kind, size):
    """It has a title and a description, and every coordinate lies in the drawing."""
    width, height = size
    root = ET.fromstring(inline_svg(charts[kind], ident="p", width=width, height=height))
    assert root.get("role") == "img"
    title, described = (
        root.find(f"*[@id='{root.get(key)}']").text for key in ("aria-labelledby", "aria-describedby")
    )
    assert title == charts[kind].title
    assert described.startswith(charts[kind].caption)
    assert "arXiv:2404.10102" in described
    for shape in root.iter():
        for keys, most in ((("x1", "x2", "cx"), width), (("y1", "y2", "cy"), height)):
            assert all(0 <= float(shape.get(key, 0)) <= most for key in keys)
        for pair in shape.get("points", "").split():
            x, y = map(float, pair.split(","))
            assert -1 <= x <= width
            assert -1 <= y <= height


def test_values_are_under_the_pointer(charts):
    """Hovering tells series, value, place and band; the text is that of the plan."""
    svg = inline_svg(charts["loss"], ident="p")
    assert "<title>loss: 3.393 nats/token at training compute 1.4e18 FLOP (3.382" in svg


def test_every_tone_has_a_shape_of_its_own():
    """Runs can be told apart without colour."""
    shapes = {marker(tone, 0, 0)._replace(tone=0) for tone in range(9)}
    assert len(shapes) == 9


def test_hostile_labels_are_inert(charts):
    """Markup in names is text, and control characters are written out."""
    series = replace(charts["loss"].series[0], label='<script>alert("1")</script>\x1b[31m')
    svg = inline_svg(replace(charts["loss"], title="</title><b>", series=(series,)), ident="p")
    ET.fromstring(svg)
    assert "<script" not in svg
    assert "\x1b" not in svg
