"""Charts as files, by matplotlib."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from scaleplan.charts import figure
from scaleplan.errors import UsageError

pytest.importorskip("matplotlib")


@pytest.mark.parametrize("kind", ["frontier", "isoflop", "loss", "compare", "cost"])
def test_a_png_decodes_and_is_not_blank(charts, kind):
    """1400 by 920 pixels of which some are ink."""
    from matplotlib.image import imread

    data = figure.draw(charts[kind], "png")
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1400, 920)
    assert 0.02 < (imread(io.BytesIO(data))[:, :, :3].min(axis=2) < 0.95).mean() < 0.8


def test_svg_and_pdf_are_what_they_say(charts):
    """A well-formed SVG and a PDF, neither with a date."""
    svg = figure.draw(charts["loss"], "svg")
    ET.fromstring(svg)
    assert b"dc:date" not in svg
    pdf = figure.draw(charts["loss"], "pdf")
    assert pdf[:5] == b"%PDF-"
    assert b"CreationDate" not in pdf


@pytest.mark.parametrize("extension", figure.EXTENSIONS)
def test_the_same_chart_gives_the_same_bytes(charts, extension):
    """Whatever the person's own settings are."""
    import matplotlib as mpl

    first = figure.draw(charts["isoflop"], extension)
    with mpl.rc_context({"font.size": 20, "svg.hashsalt": None, "axes.grid": True}):
        assert figure.draw(charts["isoflop"], extension) == first
        assert mpl.rcParams["font.size"] == 20


def test_names_are_not_read_as_formulas(charts):
    """A dollar or a backslash in a label is itself; matplotlib would stop at the unfinished formula."""
    from dataclasses import replace

    assert figure.draw(replace(charts["loss"], title=r"$\frac{ $250k for $1M"), "svg")


def test_without_matplotlib_the_error_says_the_way_out(monkeypatch):
    """Before anything is computed."""
    monkeypatch.setattr(figure, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as caught:
        figure.require_matplotlib()
    assert "scaleplan[plot]" in caught.value.hint


@pytest.mark.parametrize(
    "arguments",
    [["plot", "isoflop", "--flops", "1e21"], ["report", "--flops", "1e21"], ["optimal", "--flops", "1e21"]],
)
def test_matplotlib_is_imported_only_to_draw_a_file(arguments):
    """Text, HTML and plans do without."""
    code = (
        "import sys; from scaleplan.__main__ import run; "
        f"assert run({arguments!r}) == 0; assert not any(m.split('.')[0] == 'matplotlib' for m in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
