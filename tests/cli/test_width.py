"""Text goes to the width of the screen, from 60 to 200 columns, wherever words can be parted."""

from __future__ import annotations

import io
import os
import pty
import shlex
import subprocess
from pathlib import Path

import pytest

from scaleplan.errors import Notice
from scaleplan.output import Fact, Rendering, Report, ReportTable
from scaleplan.output.text import message_lines, render_text, width_of
from scaleplan.planning.context import Context
from scaleplan.planning.plan import edges, one_a_cause

WIDTHS = (60, 80, 120, 200)

COMMANDS = [
    "presets list",
    "presets show kaplan-2020",
    "gpus list",
    "gpus show h100-sxm",
    "gpus show tpu-v4",
    "families list",
    "families show mixtral",
    "models list",
    "models show llama-3.1-8b",
    "optimal --flops 1e21",
    "optimal --gpus 1 --gpu rtx-4090 --time 3y --shape",
    "optimal --flops 1e22 --limit 'params <= 7B' --limit 'tokens_per_param >= 20'",
    "optimal --flops 1e21 --granularity auto",
    "loss --params 7B --tokens 2T --gpus 256 --gpu h100-sxm",
    "target --loss 2.1 --gpu h100-sxm --time 30d",
    "sweep --from 10k --to 1M --by cost --gpu h100-sxm --points 3",
    "compare --flops 1e24",
    "marginal --flops 1e21",
    "break-even --params 7B",
    "convert --flops 1e24 --gpu h100-sxm --gpus 512 --region USA",
    "hyperparameters --params 7B --tokens 1.4T --gpu h100-sxm --gpus 512",
    "precisions --gpus 64 --gpu h100-sxm --time 30d",
    "vocab --params 7B",
    "evaluate besiroglu-2024 params=7B tokens=2T",
    "memory 13B --gpu a100-sxm-40 --gpus 7 --margins states=85%",
    "model llama-3.1-8b",
    "shape 7B",
    "plot isoflop --flops 1e21",
    "check a.toml",
    "diff a.toml b.toml",
]

PROJECT = """[policy]
error = ["cost <= 250k USD", "loss <= 2.1", "days <= 90"]

[[run]]
name = "the-run-of-the-large-model"
params = "{size}"
tokens = "1T"
gpu = "h100-sxm"
gpus = 64
region = "France"
"""


@pytest.fixture
def report_of(cli, monkeypatch):
    """Return how to get the report of a command line, which is then written at any width."""
    found = []
    write = Rendering.write

    def kept(self, name, **given):
        found.append(self.report())
        return write(self, name, **given)

    monkeypatch.setattr(Rendering, "write", kept)

    def report(line):
        for name, size in (("a.toml", "7B"), ("b.toml", "13B")):
            Path(name).write_text(PROJECT.format(size=size), encoding="utf-8")
        result = cli(*shlex.split(line), "--quiet")
        assert found, result.err
        return found[-1]

    return report


@pytest.mark.parametrize("line", COMMANDS)
def test_no_line_is_wider_than_the_screen(report_of, line):
    """At every width, titles, facts, tables and prose alike; only a word such as a path may be wider."""
    report = report_of(line)
    for width in WIDTHS:
        for text in render_text(report, width=width).splitlines():
            longest = max(map(len, text.split()), default=0)
            indent = len(text) - len(text.lstrip())
            assert len(text) <= max(width, indent + longest), (width, text)


def test_a_wide_table_folds_its_texts_and_parts_no_number():
    """Columns of text are narrowed as far as their longest words; every word of a row stays in its column."""
    long = "the quick brown fox jumps over the lazy dog " * 3
    grid = ReportTable(("name", "about", "price"), rows=[("a" * 40, long, "1,234,567")], text={"name", "about"})
    lines = render_text(Report(grid=grid), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines if "a" * 40 in line] == ["a" * 40]
    assert " ".join(lines[2:]).replace("a" * 40, "").replace("1,234,567", "").split() == long.split()
    assert sum("1,234,567" in line for line in lines) == 1


def test_a_table_that_no_folding_fits_goes_on_below():
    """Each part has the first column, and every number stands once."""
    numbers = [f"{n}00,000,000" for n in range(1, 9)]
    grid = ReportTable(("run", *(f"column {n}" for n in range(1, 9))), rows=[("small", *numbers)], text={"run"})
    text = render_text(Report(grid=grid), width=60)
    assert max(map(len, text.splitlines())) <= 60
    assert all(text.count(number) == 1 for number in numbers)
    assert text.count("small") == text.count("run") > 1


def test_headings_fold_before_numbers():
    """A long heading over short numbers takes two lines, next to its column."""
    names = [f"a heading of column {n}" for n in range(5)]
    lines = render_text(Report(grid=ReportTable(names, rows=[["12"] * 5])), width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[-1].split() == ["12"] * 5
    assert lines[-2].split() == [str(n) for n in range(5)]


def test_intervals_stand_below_their_values_where_the_screen_is_narrow():
    """And beside them where it is not; no number is lost."""
    fact = Fact("a label of some length", "1,234,567", low="1,000,000", high="1,500,000", unit="nats/token")
    report = Report(facts=(fact,), level="90 %")
    wide, narrow = (render_text(report, width=width).splitlines() for width in (80, 60))
    assert [len(wide), len(narrow)] == [2, 3], wide
    assert narrow[2].strip() == "1,000,000 – 1,500,000 (90 %)"
    assert max(map(len, narrow)) <= 60


def test_a_table_that_cannot_be_narrowed_stays_whole():
    """Numbers and paths are worth more than the width."""
    grid = ReportTable(("path", "n"), rows=[("/a" * 60, "12")], text={"path"})
    assert "/a" * 60 + "  12" in render_text(Report(grid=grid))


def test_no_line_is_broken_before_a_unit():
    """A number stands with its unit."""
    report = Report(title="title", remarks=[" ".join([*["word"] * n, "12 % of 3 FLOP"]) for n in range(10, 22)])
    lines = render_text(report).splitlines()
    assert not [line for line in lines if line.strip().startswith(("%", "FLOP"))]
    assert all("\N{NO-BREAK SPACE}" not in line for line in lines)


@pytest.mark.parametrize(
    "columns, width", [("100", 100), ("20", 60), ("5000", 200), ("", 80), ("0", 80), ("wide", 80), ("-5", 80)]
)
def test_columns_are_the_width_within_bounds(monkeypatch, columns, width):
    """A stream that is no terminal has 80 columns where none are given."""
    monkeypatch.setenv("COLUMNS", columns)
    assert width_of(io.StringIO()) == width


def test_a_pipe_and_a_file_get_the_same_text(cli, monkeypatch):
    """What is saved does not depend on the terminal of whoever saves it, unless COLUMNS says so."""
    monkeypatch.delenv("COLUMNS")
    text = cli("optimal", "--flops", "1e21").out
    monkeypatch.setenv("COLUMNS", "80")
    assert cli("optimal", "--flops", "1e21").out == text
    monkeypatch.setenv("COLUMNS", "60")
    assert cli("optimal", "--flops", "1e21").out != text


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_message_wraps_on_a_terminal_only(monkeypatch):
    """With a hanging indent; in a log of CI a warning is one line."""
    monkeypatch.setenv("COLUMNS", "60")
    text = f"warning: {'word ' * 30}end"
    lines = message_lines(text, _Terminal()).splitlines()
    assert len(lines) > 2
    assert all(len(line) <= 60 for line in lines)
    assert [line[:2] for line in lines] == ["wa", *["  "] * (len(lines) - 1)]
    assert message_lines(text, io.StringIO()) == f"{text}\n"


def on_a_terminal(command, environment):
    """Return what a command writes to a terminal."""
    terminal, end = pty.openpty()
    with subprocess.Popen(command, env=environment, stdout=end, stderr=end, stdin=subprocess.DEVNULL) as done:
        os.close(end)
        written = b""
        while True:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # it is over
                break
            if not part:
                break
            written += part
        done.wait()
    os.close(terminal)
    return written.decode()


def test_a_plan_on_a_narrow_terminal(process):
    """Text and warnings keep to its columns, and TERM=dumb has no colours."""
    words = ("optimal", "--gpus", "64", "--gpu", "h100-sxm", "--time", "30d")
    command, environment = process(*words, COLUMNS="64", TERM="dumb")
    environment.pop("FORCE_COLOR", None)
    text = on_a_terminal(command, environment)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 64
    assert text.count("warning:") == 1


@pytest.mark.parametrize(
    "settings, line", [({"LC_ALL": "C"}, "optimal --flops 1e21"), ({"PYTHONIOENCODING": "ascii"}, "plot loss")]
)
def test_an_ascii_locale_gets_plain_signs(process, settings, line):
    """Never a crash, nor a question mark in place of a sign."""
    command, environment = process(*line.split())
    for name in ("PYTHONUTF8", "PYTHONIOENCODING", "LC_ALL"):
        environment.pop(name, None)
    done = subprocess.run(command, env=environment | settings, capture_output=True, check=True)
    text = done.stdout.decode("ascii")
    assert "?" not in text
    assert " - " in text or "+-" in text


def beyond(name, value, factor, side="above the largest"):
    """Return the warning of a plan that leaves the range of its law."""
    message = (
        f"{name} of {value} is {factor} {side} this law was fitted on (1): extrapolated, so see what other laws say "
        "with 'scaleplan compare'"
    )
    return Notice(code=f"extrapolated_{name}", message=message)


def test_what_leaves_the_range_of_a_law_does_so_in_one_line():
    """Compute, size and tokens are one cause, above and below; whatever else is said stays in its place."""
    other = Notice(code="caveat", message="another thing")
    both = (other, beyond("compute", "4e22 FLOP", "3.0x"), beyond("model size", "18.0B", "1.1x"), other)
    found = one_a_cause((*both, beyond("tokens", "1.00B", "2.0x", "below the smallest")))
    assert [notice.code for notice in found] == ["caveat", "extrapolated_compute", "caveat"]
    assert found[1].message == (
        "beyond what this law was fitted on: 3.0x the compute and 1.1x the size of the largest run, "
        "2.0x below the tokens of the smallest; 'scaleplan compare' shows other laws"
    )
    assert one_a_cause((other, both[1])) == (other, both[1])


def test_what_leaves_a_range_of_any_law_is_put_together():
    """Whatever its quantities and ends: a message that is not read would stand beside the others."""
    for preset in Context().library.all():
        found = [
            Notice(code=edge.code, message=edge.template % edge.slots(edge.value * (3.0 if edge.above else 1 / 3)))
            for edge in edges(preset)
        ]
        together = one_a_cause(found)
        assert len(together) == min(len(found), 1)
        if len(found) > 1:
            assert together[0].message.count("3.0x") == len(found), preset.id


@pytest.mark.parametrize(
    "words",
    [
        ("optimal", "--gpus", "64", "--gpu", "h100-sxm", "--time", "30d"),
        ("optimal", "--flops", "1e16"),
        ("loss", "--params", "7B", "--tokens", "2T"),
        ("loss", "--params", "1T", "--tokens", "100M"),
        ("marginal", "--flops", "1e24"),
        ("hyperparameters", "--flops", "1e24", "--quiet"),
    ],
)
def test_a_question_far_from_the_runs_has_one_warning_about_it(cli, words):
    """While JSON has a code for each quantity, for scripts."""
    found = cli(*words)
    assert found.err.count("fitted on") == (0 if "--quiet" in words else 1), found.err
    if words[0] in ("optimal", "loss"):
        codes = [notice["code"] for notice in cli(*words, "--json").json["warnings"]]
        assert sum(code.startswith("extrapolated_") for code in codes) > 1
