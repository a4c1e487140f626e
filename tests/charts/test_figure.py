"""Charts as files: their size, their text, and what they say of their source."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from scaleplan.charts import drawing, figure
from scaleplan.charts.drawing import Look
from scaleplan.errors import UnknownNameError, UsageError

pytest.importorskip("matplotlib")

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def files(charts):
    """Return one picture as a file of each kind."""
    return {extension: drawing.draw(charts["isoflop"], extension) for extension in drawing.EXTENSIONS}


def chunks(png):
    """Return the texts of a PNG by their keys."""
    at, found = 8, {}
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        if kind in (b"tEXt", b"iTXt", b"zTXt"):
            key, _, value = data.partition(b"\0")
            found[key.decode()] = value.lstrip(b"\0").decode("utf-8", "replace" if kind == b"iTXt" else "strict")
        at += 12 + length
    return found


def test_a_png_is_not_blank_and_holds_its_source(files, charts):
    """Of 8 by 5.4 inches at 200 dots an inch; title, caption, law, range and version are in its texts."""
    from matplotlib.image import imread

    data = files["png"]
    assert struct.unpack(">II", data[16:24]) == (1600, 1080)
    assert 0.02 < (imread(io.BytesIO(data))[:, :, :3].min(axis=2) < 0.95).mean() < 0.8
    found = chunks(data)
    assert (found["Title"], found["Description"]) == (charts["isoflop"].title, charts["isoflop"].caption)
    assert "arXiv:2404.10102" in found["Source"]
    assert found["Software"].startswith("scaleplan ")


def test_a_pdf_holds_its_source_and_its_fonts(files):
    """As information of the document; fonts are TrueType (type 42), and no date is written."""
    data = files["pdf"]
    assert data[:5] == b"%PDF-"
    assert b"CreationDate" not in data
    for key in (b"/Title", b"/Subject", b"/Keywords", b"/Producer"):
        assert key in data
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL)
    plain = b"".join(zlib.decompress(each) for each in streams if each[:1] == b"x")
    assert b"/Type3" not in data + plain
    assert b"/FontFile2" in data + plain


def test_an_svg_has_real_text_and_names_for_readers(files, charts):
    """Every word can be selected and searched; role, title and description are there, and no date."""
    root = ET.fromstring(files["svg"])
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert charts["isoflop"].title in texts
    assert "1e21 FLOP" in texts
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == charts["isoflop"].title
    assert "arXiv:2404.10102" in root.find(f"{SVG}desc").text
    assert "sans-serif" in root.find(f"{SVG}style").text
    assert b"date" not in files["svg"]


@pytest.mark.parametrize("extension", drawing.EXTENSIONS)
def test_the_same_chart_gives_the_same_bytes(charts, files, extension):
    """Whatever the user's own settings are."""
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 20, "svg.hashsalt": None, "axes.grid": True}):
        assert drawing.draw(charts["isoflop"], extension) == files[extension]
        assert mpl.rcParams["font.size"] == 20


def test_names_are_not_read_as_formulas(charts):
    """A dollar or a backslash in a label is itself; matplotlib would stop at the unfinished formula."""
    assert drawing.draw(replace(charts["loss"], title=r"$\frac{ $250k for $1M"), "pdf")


@pytest.mark.parametrize(
    ("extension", "size", "dpi", "pixels"),
    [
        ("png", "8x5", 100, (768, 480)),
        ("svg", "1200x800px", None, (1200, 800)),
        ("png", "1200x800px", 200, (576, 384)),
        ("pdf", "25.4x12.7cm", None, (960, 480)),
        ("svg", (6, 4), None, (576, 384)),
    ],
)
def test_sizes_are_inches_lengths_or_pixels(extension, size, dpi, pixels):
    """In CSS pixels; those of a PNG are its own."""
    look = Look.of(extension, size=size, dpi=dpi)
    assert (look.width, look.height) == pytest.approx(pixels)


@pytest.mark.parametrize(
    ("extension", "words", "message"),
    [
        ("png", {"size": "8"}, "size"),
        ("png", {"size": "0x5"}, "positive"),
        ("png", {"size": (1, 2, 3)}, "size"),
        ("png", {"dpi": "many"}, "dpi"),
        ("png", {"dpi": 5}, "dots"),
        ("svg", {"dpi": 300}, "no dots"),
        ("png", {"size": "90x90", "dpi": 1200}, "pixels a side"),
    ],
)
def test_looks_that_no_file_has_are_refused(extension, words, message):
    """With the value, before any work."""
    with pytest.raises(UsageError, match=message):
        Look.of(extension, **words)


def test_python_saves_and_shows(charts, tmp_path, capsys):
    """``chart.save`` by the ending of the file, in a theme, under a title; ``show`` prints text elsewhere."""
    chart = charts["loss"]
    path = chart.save(tmp_path / "loss.svg", size="10x6", theme="dark", title="My loss")
    root = ET.fromstring(path.read_bytes())
    assert root.get("viewBox") == "0 0 960 576"
    assert root.find(f"{SVG}title").text == "My loss"
    assert "#16191d" in root.find(f"{SVG}style").text
    with pytest.raises(UnknownNameError):
        chart.save(tmp_path / "loss.gif")
    chart.show()
    assert capsys.readouterr().out.startswith(chart.title)
    for shown in (chart._repr_svg_(), chart._repr_html_()):
        assert ET.fromstring(shown).find(f"{SVG}circle/{SVG}title").text.startswith("loss: ")


def test_without_matplotlib_an_svg_is_drawn_all_the_same(charts, monkeypatch, tmp_path):
    """Of the others the error says the way out, before anything is computed."""
    monkeypatch.setattr(figure, "find_spec", lambda name: None)
    assert charts["loss"].save(tmp_path / "loss.svg").exists()
    with pytest.raises(UsageError, match="not installed") as caught:
        drawing.picture_path("loss.pdf")
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
