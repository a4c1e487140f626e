"""What a picture looks like before it is drawn: no label lies on another, on a marked point or on a run."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from scaleplan.charts.chart import Axis, Chart, GuideLine, Mark, Series
from scaleplan.charts.lettering import text_width, wrapped
from scaleplan.charts.placing import Box, spread
from scaleplan.charts.plots import plot
from scaleplan.charts.scene import lay_out
from scaleplan.charts.svg import svg_file
from scaleplan.charts.theme import THEMES
from scaleplan.errors import UsageError

SIZES = [(768, 518, True), (600, 400, False), (340, 340, False), (1200, 800, True)]


@pytest.fixture(scope="module")
def all_charts(charts):
    """Return many pictures: those of planning, and some under limits, of money and of inference."""
    more = (
        plot("cost", cost="250k", gpu="h100-sxm"),
        plot("isoflop", flops=1e24, limit=["tokens <= 200B", "params <= 20B"]),
        plot("break-even", flops=1e22, inference_tokens="1T"),
        plot("compare", flops=1e19),
        plot("cost", flops=1e22, gpu="h100-sxm", preset="kaplan-2020"),
        plot("isoflop", preset="gemstones-2025-hot"),
        plot("loss", from_=1e18, to=1e27, flops=1e24),
    )
    return [*charts.values(), *more]


def clashes(scene):
    """Yield the pairs of texts that overlap, and the texts that lie on a mark, on a run or outside."""
    boxes = [(text.text, text.box) for text in scene.texts]
    for (one, box), (other, beside) in combinations(boxes, 2):
        if box.meets(beside):
            yield one, other
    points = [shape for shape in scene.shapes if shape.role in ("mark", "run", "ring")]
    for text, box in boxes:
        if not Box(-1, -1, scene.width + 1, scene.height + 1).holds(box):
            yield text, "outside"
        for shape in points:
            x, y = np.mean(shape.spots, axis=0)
            if box.meets(Box.of(x, y, 7, 7)):
                yield text, shape.role


@pytest.mark.parametrize(("width", "height", "titled"), SIZES)
def test_no_label_lies_on_another_or_on_a_point(all_charts, width, height, titled):
    """By the bounding boxes of every text, at several sizes, with and without title and caption."""
    for chart in all_charts:
        assert list(clashes(lay_out(chart, width, height, titled=titled))) == [], chart.title


def test_labels_keep_off_curves(charts):
    """The labels of optima and budgets cover no curve, since there is room beside all of them."""
    scene = lay_out(charts["isoflop"], 768, 518)
    curves = [np.array(shape.spots) for shape in scene.shapes if shape.role == "line" and len(shape.spots) > 2]
    for text in (text for text in scene.texts if text.role == "value"):
        for curve in curves:
            x = np.linspace(curve[0, 0], curve[-1, 0], 500)
            y = np.interp(x, curve[:, 0], curve[:, 1])
            inside = (text.box.left < x) & (x < text.box.right) & (text.box.top < y) & (y < text.box.bottom)
            assert not inside.any(), text.text


def test_crowded_marks_and_runs_still_leave_labels_apart():
    """Nine marks on one another, two rules and a thousand runs."""
    generator = np.random.default_rng(5)
    x, y = generator.uniform(1, 100, 1000), generator.uniform(2.0, 3.0, 1000)
    chart = Chart(
        kind="isoflop",
        title="A crowd",
        x=Axis(label="parameters", kind="count"),
        y=Axis(label="loss", kind="number", scale="linear"),
        series=(Series(label="runs", x=tuple(x), y=tuple(y), style="points"),),
        marks=tuple(Mark(x=50 + 2 * n, y=4.5 + 0.02 * n, label=f"mark number {n}") for n in range(9)),
        rules=(GuideLine(axis="x", at=50, label="one"), GuideLine(axis="y", at=5.0, label="two")),
    )
    scene = lay_out(chart, 768, 518)
    assert [pair for pair in clashes(scene) if "run" not in pair] == []
    assert {text.text for text in scene.texts} >= {"one", "two", *(f"mark number {n}" for n in range(9))}


def test_only_runs_have_markers(all_charts):
    """The curves of laws are lines; a plan is a diamond."""
    for chart in all_charts:
        shapes = lay_out(chart, 768, 518).shapes
        assert not [shape for shape in shapes if shape.role == "run"]
        assert sum(shape.role == "mark" for shape in shapes) == len(chart.marks)


def test_caption_and_source_stand_below(charts):
    """Every word of both, and the version of the program."""
    chart = charts["loss"]
    scene = lay_out(chart, 768, 518)
    below = " ".join(text.text for text in scene.texts if text.role == "caption")
    assert below.startswith(chart.caption)
    assert "Besiroglu et al. 2024" in below
    assert "fitted to runs of 1.4e18" in below
    assert "scaleplan 0." in below


@pytest.mark.parametrize("name", ["isoflop", "frontier", "loss"])
def test_a_column_of_a_paper_has_the_source_in_the_description(charts, name):
    """A picture of 5 by 3.5 inches names its law and the level of its intervals; the file has every word."""
    chart = charts[name]
    scene = lay_out(chart, 480, 336)
    below = " ".join(text.text for text in scene.texts if text.role == "caption")
    assert "Law: besiroglu-2024. Source and ranges: in the description of this file." in below
    assert ("90 % interval" in below) == ("90 % interval" in chart.caption)
    assert "fitted to runs of 1.4e18" in svg_file(chart, THEMES["light"], width=480, height=336, name="light")


def test_a_size_without_room_says_which_has_it(charts):
    """And that one has."""
    with pytest.raises(UsageError, match="no room") as caught:
        lay_out(charts["compare"], 240, 200)
    width, _, height = caught.value.hint.removeprefix("--size ").removesuffix(" has").partition("x")
    assert float(width) >= 2.5
    assert float(height) > 2.1


def test_hostile_names_stay_inside(charts):
    """A name as long as the picture is in the legend, not in the margin."""
    series = replace(charts["frontier"].series[0], label="W" * 40)
    scene = lay_out(replace(charts["frontier"], series=(series, *charts["frontier"].series)), 768, 518)
    assert scene.frame.right > 700


def test_heights_are_spread_as_little_as_can_be():
    """Neighbours that would meet share what they want, the others stay; the ends hold."""
    assert spread([10, 11, 50], 10, 0, 100) == pytest.approx([5.5, 15.5, 50])
    assert spread([100, 100], 10, 0, 100) == pytest.approx([90, 100])
    assert spread([5, 5, 5], 10, 0, 10) == pytest.approx([0, 5, 10])


def test_text_is_as_wide_as_the_font_sets_it():
    """By matplotlib's own measure of DejaVu Sans, within the rounding of hinting."""
    pytest.importorskip("matplotlib")
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans")
    for text in ("fitted to runs of 1.4e18 – 1.3e22 FLOP", "Wide WORDS, 12 %"):
        right = TextPath((0, 0), text, size=100, prop=font).get_extents().x1
        assert right <= text_width(text, 100) <= 1.06 * right
    assert list(wrapped("one two three", text_width("one two", 12), 12)) == ["one two", "three"]
