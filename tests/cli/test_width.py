"""Text for people keeps to 100 columns wherever words can be parted."""

from __future__ import annotations

import pytest

from scaleplan.output import Report, ReportTable
from scaleplan.output.text import render_text

WIDTH = 100


@pytest.mark.parametrize(
    "words",
    [
        ("presets", "list"),
        ("gpus", "list"),
        ("gpus", "show", "h100-sxm"),
        ("gpus", "show", "tpu-v4"),
        ("presets", "show", "kaplan-2020"),
        ("memory", "13B", "--gpu", "a100-sxm-40", "--gpus", "7", "--margins", "states=85%"),
        ("optimal", "--gpus", "1", "--gpu", "rtx-4090", "--time", "3y", "--shape", "--quiet"),
        ("hyperparameters", "--params", "7B", "--tokens", "1.4T", "--gpu", "h100-sxm", "--gpus", "512"),
    ],
)
def test_commands_keep_to_the_width(cli, words):
    """Titles, tables and prose alike."""
    assert max(map(len, cli(*words).out.splitlines())) <= WIDTH


def test_a_wide_table_folds_its_texts_and_parts_no_number():
    """Columns of text are narrowed as far as their longest words; every word of a row stays in its column."""
    long = "the quick brown fox jumps over the lazy dog " * 3
    grid = ReportTable(("name", "about", "price"), rows=[("a" * 40, long, "1,234,567")], text={"name", "about"})
    lines = render_text(Report(grid=grid)).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert [line.split()[0] for line in lines if "a" * 40 in line] == ["a" * 40]
    assert " ".join(lines[2:]).replace("a" * 40, "").replace("1,234,567", "").split() == long.split()
    assert sum("1,234,567" in line for line in lines) == 1


def test_a_table_that_cannot_be_narrowed_stays_whole():
    """Numbers and paths are worth more than the width."""
    grid = ReportTable(("path", "n"), rows=[("/a" * 60, "12")], text={"path"})
    assert "/a" * 60 + "  12" in render_text(Report(grid=grid))


def test_no_line_is_broken_before_a_unit():
    """A number stands with its unit."""
    report = Report(title="title", remarks=[" ".join([*["word"] * n, "12 % of 3 FLOP"]) for n in range(15, 22)])
    lines = render_text(report).splitlines()
    assert not [line for line in lines if line.strip().startswith(("%", "FLOP"))]
    assert all("\N{NO-BREAK SPACE}" not in line for line in lines)
