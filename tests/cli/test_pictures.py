"""``plot`` and ``report`` on the command line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

import scaleplan as sp
from scaleplan.charts.plots import PICTURES


@pytest.mark.parametrize("kind", [kind for kind, picture in PICTURES.items() if picture.need not in ("runs", "log")])
def test_every_picture_is_drawn_as_text(cli, kind):
    """On standard output, within 80 columns but for the caption, without colour."""
    extra = ["--inference-tokens", "1T"] if kind == "break-even" else []
    found = cli("plot", kind, "--flops", "1e21", *extra)
    assert (found.status, found.err) == (0, "")
    assert any("⠤" in line or "⠒" in line for line in found.out.splitlines())
    assert "\x1b" not in found.out


def test_json_and_csv_give_the_points(cli):
    """Full digits, and one row a point."""
    chart = cli("plot", "loss", "--flops", "1e21", "--json").json
    assert chart["schema"] == "scaleplan/chart/1"
    rows = list(csv.DictReader(io.StringIO(cli("plot", "loss", "--flops", "1e21", "--format", "csv").out)))
    assert [float(row["y"]) for row in rows] == [y for series in chart["series"] for y in series["y"]]
    mark = chart["marks"][0]
    assert (mark["x"], mark["y"]) == (1e21, sp.optimal(flops=1e21).loss)


@pytest.mark.parametrize("kind", [kind for kind, picture in PICTURES.items() if picture.need == "runs"])
def test_runs_are_fitted_and_drawn(cli, kind):
    """From a file of runs as people have it."""
    lines = ["params,tokens,loss"]
    for i in range(30):
        params, tokens = 1e8 * 1.25 ** (i % 15), 1e9 * 1.4 ** (i // 2)
        lines.append(f"{params},{tokens},{1.8 + 400 / params**0.35 + 2000 / tokens**0.37 + 0.002 * (-1) ** i}")
    Path("runs.csv").write_text("\n".join(lines), encoding="utf-8")
    found = cli("plot", kind, "runs.csv")
    assert found.status == 0
    assert found.err == cli("fit", "runs.csv").err  # whose doubts are those of the picture
    assert "needs a file of runs" in cli("plot", kind).err


def test_the_doubts_of_a_fit_stand_beside_its_picture(cli):
    """In the warnings of the terminal and of JSON: here models so small that forecasts of such have missed."""
    lines = ["params,tokens,loss"]
    for i in range(30):
        params, tokens = 1e5 * 1.25 ** (i % 15), 1e7 * 1.4 ** (i // 2)
        lines.append(f"{params},{tokens},{1.2 + 8 / params**0.25 + 90 / tokens**0.3 + 0.002 * (-1) ** i}")
    Path("runs.csv").write_text("\n".join(lines), encoding="utf-8")
    found = cli("plot", "forecast", "runs.csv", "--json")
    assert "small_models" in [warning["code"] for warning in found.json["warnings"]]
    assert all(warning["message"] in found.err for warning in found.json["warnings"])
    assert cli("plot", "loss", "--flops", "1e21", "--json").json["warnings"] == []


def test_the_look_of_a_file_is_chosen(cli):
    """Size, theme and title, of the file; text has a title, and no other look."""
    found = cli("plot", "loss", "-o", "a.svg", "--size", "600x400px", "--theme", "dark", "--title", "Ours & theirs")
    assert found.status == 0
    text = Path("a.svg").read_text(encoding="utf-8")
    assert 'viewBox="0 0 600 400"' in text
    assert "Ours &amp; theirs" in text
    assert "#16191d" in text
    assert cli("plot", "loss", "--title", "Ours").out.startswith("Ours\n")
    for look in (["--size", "8x5"], ["--dpi", "100"], ["--theme", "dark"]):
        refused = cli("plot", "loss", *look)
        assert (refused.status, look[0] in refused.err) == (2, True)
    assert "print" in cli("plot", "loss", "-o", "b.svg", "--theme", "prnt").err


def test_runs_are_drawn_beside_a_law(cli):
    """With the columns and conditions that ``fit`` takes; without --preset beside the law fitted to them."""
    lines = ["N,toks,val,lr"]
    for flops in (1e18, 1e19, 1e20):
        for factor in (0.4, 0.6, 1.0, 1.6, 2.5):
            params = factor * (flops / 120) ** 0.5
            tokens = flops / 6 / params
            lines.append(f"{params},{tokens},{1.8 + 420 / params**0.34 + 1300 / tokens**0.345:.4f},1e-3")
    lines.append("1e9,1e9,9.0,1e-1")
    Path("runs.csv").write_text("\n".join(lines), encoding="utf-8")
    reading = ["--map", "params=N", "--map", "tokens=toks", "--map", "loss=val", "--where", "lr <= 1e-2"]
    for law in ([], ["--preset", "besiroglu-2024"]):
        chart = cli("plot", "isoflop", "runs.csv", *reading, *law, "--json").json
        points = [series for series in chart["series"] if series["style"] == "points"]
        assert [series["label"] for series in points] == ["1e18 FLOP", "1e19 FLOP", "1e20 FLOP"]
        assert sum(len(series["x"]) for series in points) == 15
    refused = cli("plot", "loss", "runs.csv", *reading, "--preset", "besiroglu-2024", "--floor", "1.7")
    assert (refused.status, "--floor" in refused.err) == (2, True)


@pytest.mark.parametrize("extension", ["png", "svg", "pdf", "PNG"])
def test_a_file_is_drawn_whole(cli, extension):
    """One line says so, and nothing else is left behind."""
    pytest.importorskip("matplotlib")
    found = cli("plot", "frontier", "-o", f"picture.{extension}")
    assert (found.status, found.out) == (0, "")
    assert found.err.startswith(f"wrote picture.{extension} (")
    assert found.err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == [f"picture.{extension}"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frontier", "-o", "picture"], "does not say which kind"),
        (["frontier", "-o", "picture.gif"], "unknown kind of picture 'gif'"),
        (["frontier", "-o", "nowhere/picture.png"], "there is no folder 'nowhere'"),
        (["frontyer"], "did you mean 'frontier'?"),
        (["cost"], "needs a budget"),
        (["frontier", "runs.csv"], "takes no file of runs"),
        (["loss", "--with", "kaplan", "--preset", "chinchilla"], "shows one law"),
        (["loss", "--from", "1e22", "--to", "1e20"], "is empty"),
        (["break-even", "--flops", "1e22"], "needs a demand"),
        (["isoflop", "--preset", "llama3-2024"], "no isoFLOP curves"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_drawn_is_refused(cli, arguments, said):
    """Status 2, one error, a hint, and no file."""
    pytest.importorskip("matplotlib")
    found = cli("plot", *arguments)
    assert (found.status, found.out) == (2, "")
    assert said in found.err
    assert list(Path().iterdir()) == []


def test_a_report_goes_to_the_file_or_to_standard_output(cli):
    """The same page; --json gives the plan beside it."""
    found = cli("report", "--flops", "1e21")
    assert found.out.startswith("<!DOCTYPE html>")
    written = cli("report", "--flops", "1e21", "-o", "report.html", "--json")
    assert Path("report.html").read_text(encoding="utf-8") == found.out
    assert written.json == cli("optimal", "--flops", "1e21", "--json").json
    assert (
        cli("report", "--flops", "1e21", "--get", "params").out
        == cli("optimal", "--flops", "1e21", "--get", "params").out
    )


def test_a_report_is_refused_before_the_work(cli):
    """A path that cannot be written, and a question without a budget."""
    assert "there is no folder" in cli("report", "--flops", "1e21", "-o", "nowhere/report.html").err
    assert "there is no budget" in cli("report", "-o", "report.html").err
    assert list(Path().iterdir()) == []
