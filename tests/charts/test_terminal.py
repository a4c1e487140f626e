"""Charts as text."""

from __future__ import annotations

import pytest

from scaleplan.charts.chart import Axis, Chart, GuideLine, Mark, Series
from scaleplan.charts.terminal import chart_lines
from scaleplan.output import Rendering

SMALL = Chart(
    kind="test",
    title="A straight line",
    x=Axis(label="compute", kind="flops", unit="FLOP"),
    y=Axis(label="loss", kind="number", unit="nats", scale="linear"),
    series=(
        Series(label="one", x=(1e18, 1e20), y=(3.0, 2.0)),
        Series(label="one", x=(1e20, 1e22), y=(2.0, 1.0), style="extrapolated"),
        Series(label="two", x=(1e18, 1e22), y=(1.0, 1.0), tone=1),
    ),
    marks=(Mark(x=1e20, y=2.0, label="here"),),
    rules=(GuideLine(axis="y", at=1.5, label="a floor"),),
    fitted=(1e18, 1e20),
)

GOLDEN = """\
  loss (nats)
3 ┤ ⠐⠤⢄⡀
  │    ⠈⠉⠒⠤⢄⡀
  │         ⠈⠉⠒⠤⢄⡀
  │              ⠈⠉⠒⠤⢄⡀
2 ┤                   ⠈⠉⠒◆⢀
  │                         ⠐ ⠠
  │⠄  ⠄  ⠄  ⠄  ⠄  ⠄  ⠄  ⠄  ⠄  ⠄ ⠈⠄⠐ ⢄  ⠄  ⠄  ⠄
  │                                   ⠐ ⠠       a
1 ┤ ⠠⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠬⠤⠴⠄  b
  └──[─────────┬─────────]────────┬────────────
             1e19               1e21
                  compute (FLOP)

  a one   b two
  ◆ here   a floor
  dotted: beyond the fitted runs
  [ ] compute of the fitted runs
"""


def test_a_small_chart_in_full():
    """Lines, dots where it extrapolates, letters, marks, the range on the axis, and the legend."""
    assert "".join(f"{line}\n" for line in chart_lines(SMALL, width=50, height=9)) == GOLDEN


def test_every_picture_fits_a_terminal_of_80_columns(charts):
    """No line is longer, and each line of the legend says what a sign means."""
    for chart in charts.values():
        lines = chart_lines(chart)
        assert max(map(len, lines)) <= 78
        assert any(chart.x.title in line for line in lines)
        assert lines[0].strip() == chart.y.title
        for label in chart.labels if len(chart.labels) > 1 else ():
            assert any(label in line for line in lines)


def test_markdown_keeps_the_columns():
    """The drawing is a code block, and no text in it can end the block."""
    hostile = Chart(
        kind="test",
        title="```\n<script>",
        x=Axis(label="``` x", kind="number"),
        y=SMALL.y,
        series=(Series(label="s", x=(1.0, 10.0), y=(1.0, 2.0)),),
    )
    text = Rendering(hostile).write("markdown")
    assert text.count("```") == 2
    assert "<script>" not in text


@pytest.mark.parametrize("top", [1e-300, 1e-9, 1.0, 1e6, 1e12, 1e302])
@pytest.mark.parametrize("width", [118, 78, 40, 5, 1, -3])
def test_any_amount_leaves_room_for_the_picture(top, width):
    """A share in a damaged file may have hundreds of digits, and a terminal a width of 0."""
    axis = Axis(label="share", kind="percent", scale="linear")
    series = (Series(label="held", x=(0.0, 1.0), y=(0.0, top), style="points"),)
    lines = chart_lines(Chart(kind="calibration", title="", x=axis, y=axis, series=series, caption=""), width=width)
    labels = {line.partition("┤")[0].strip() for line in lines if "┤" in line}
    assert len(labels) > 1, "all ticks read alike"
    assert width < 40 or max(map(len, lines)) <= width
