"""Choose what to get: fields by name in every format, streams on a terminal, and files that are written."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from scaleplan.cli.answers import ANSWERS
from scaleplan.cli.app import COMMANDS, build
from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.output.data import flat
from scaleplan.output.declared import names_of
from scaleplan.output.fields import OPEN, resolve, take
from scaleplan.output.views.fields import written

OPTIMAL = ("optimal", "--flops", "1e21")
ON_HARDWARE = ("optimal", "--gpus", "8", "--gpu", "h100-sxm", "--time", "10d", "-q")
SWEEP = ("sweep", "--from", "1e18", "--to", "1e20", "--points", "3", "-q")


def test_fields_in_every_format(cli):
    """Only what is named, in the order given; JSON keeps its nesting, all others have one column a field."""
    whole = cli(*OPTIMAL, "--json").json
    words = (*OPTIMAL, "--fields", "loss,interval.loss.low,level,params")
    names = ["loss", "interval.loss.low", "interval.level", "params"]
    values = [whole["loss"], whole["interval"]["loss"][0], 0.9, whole["params"]]
    assert cli(*words, "--json").json == {
        "loss": whole["loss"],
        "interval": {"loss": whole["interval"]["loss"], "level": 0.9},
        "params": whole["params"],
    }
    assert cli(*words, "--format", "jsonl").json == dict(zip(names, values, strict=True))
    for form, delimiter in (("csv", ","), ("tsv", "\t")):
        rows = [*csv.reader(io.StringIO(cli(*words, "--format", form).out), delimiter=delimiter)]
        assert rows == [names, [str(value) for value in values]]
    head, row = cli(*words).out.splitlines()
    assert head.split() == names
    assert [cell.strip() for cell in row.split("  ") if cell.strip()] == [
        "2.306", "2.298", "90 %", "2.78B",
    ]  # fmt: skip
    assert (
        cli(*words, "--format", "markdown").out.splitlines()[0]
        == "| loss | interval.loss.low | interval.level | params |"
    )


def test_fields_of_rows_and_beside_rows(cli):
    """A row a plan; of an answer with rows its own values, or those of the rows with its own beside them."""
    found = cli(*SWEEP, "--fields", "flops,params", "--json").json
    assert [row["flops"] for row in found] == pytest.approx([1e18, 1e19, 1e20])
    assert all([*row] == ["flops", "params"] for row in found)
    assert len(cli(*SWEEP, "--fields", "flops").out.splitlines()) == 4
    marginal = ("marginal", "--flops", "1e21", "--doublings", "2", "-q")
    assert cli(*marginal, "--fields", "loss,exponent", "--json").json.keys() == {"loss", "exponent"}
    rows = cli(*marginal, "--fields", "factor,loss,exponent", "--json").json
    assert [row["factor"] for row in rows] == [1, 2, 4]
    assert len({row["exponent"] for row in rows}) == 1
    ids = cli("gpus", "list", "--fields", "id,name", "--format", "csv").out.splitlines()
    assert ids[0] == "id,name"


def test_fields_of_a_saved_result_are_those_of_its_command(cli):
    """``show`` chooses as the command does."""
    Path("plan.json").write_text(cli(*SWEEP, "--json").out)
    for form in ("text", "json", "csv", "markdown"):
        words = ("--fields", "params,loss", "--format", form)
        assert cli("show", "plan.json", *words).out == cli(*SWEEP, *words).out


def test_money_has_the_currency_of_the_answer(cli):
    """In a table of fields as in a report."""
    words = ("optimal", "--cost", "20k EUR", "--gpu", "h100-sxm", "--exchange-rate", "1 EUR = 1.08 USD", "-q")
    row = cli(*words, "--fields", "cost,cost_interval.low,params").out.splitlines()[1]
    assert row.split()[:2] == ["20,000", "EUR"]
    assert row.split()[3] == "EUR"
    assert "$" not in row


def test_many_fields_of_one_record_stand_one_a_line(cli):
    """Where a table would be wider than the screen; rows stay rows."""
    lines = cli(*OPTIMAL, "--fields", "interval").out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["interval.level", "interval.params.low"]
    assert max(map(len, lines)) <= 80


def test_short_names_find_the_only_field_that_ends_so(cli):
    """``--get gpu_hours`` is ``budget.gpu_hours``; an ambiguous one names what it could be."""
    budget = cli(*ON_HARDWARE, "--json").json["budget"]
    for name in ("gpu_hours", "days", "cost", "price_per_hour"):
        assert json.loads(cli(*ON_HARDWARE, "--get", name).out) == budget[name]
    assert cli(*OPTIMAL, "--get", "loss.low").out == cli(*OPTIMAL, "--get", "interval.loss.low").out
    refused = cli(*OPTIMAL, "--get", "params.low")
    assert refused.status == 2
    assert "'params.low' is the name of several fields" in refused.err
    assert "interval.params.low, near_optimal.params.low" in refused.err
    assert cli(*OPTIMAL, "--fields", "params.low").err == refused.err
    assert cli(*OPTIMAL, "--get", "gpu_hours").status == 1  # it is null: not available for this answer


def test_what_is_null_in_an_answer_is_a_field_all_the_same(cli):
    """Of a law without a loss there is no interval of it: nothing in a table, a no for one bare value."""
    words = ("optimal", "--flops", "1e21", "--preset", "llama3-2024", "-q")
    assert cli(*words, "--fields", "loss.low,params", "--format", "csv").out.splitlines()[1].startswith(",")
    assert cli(*words, "--get", "loss.low").status == 1
    assert cli(*words, "--get", "interval.nosuch").status == 2


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (("--fields", "parms"), "unknown field 'parms'", "did you mean 'params'?"),
        (("--fields", "params,,loss"), "empty name", "params,tokens,loss"),
        (("--fields", "params", "--get", "loss"), "--get and --fields exclude each other", "--fields a table"),
    ],
)
def test_wrong_fields_are_refused(cli, options, message, hint):
    """With the name, and a way out."""
    found = cli(*OPTIMAL, *options)
    assert (found.status, found.out) == (2, "")
    assert message in found.err
    assert hint in found.err


def test_a_group_stands_for_its_fields():
    """In the order of the result; a name in full comes before one that ends so."""
    names = ["loss", "interval.level", "interval.loss.low", "interval.loss.high"]
    assert resolve("interval", names) == tuple(names[1:])
    assert resolve("loss", names) == ("loss",)
    assert resolve("interval.loss", names) == tuple(names[2:])
    assert resolve("level", names) == ("interval.level",)
    assert resolve("days", ["budget.days", "chances.days.limit"]) == ("budget.days",)
    assert resolve("loss.low", ["a.loss.low.x", "a.loss.low.y"]) == ("a.loss.low.x", "a.loss.low.y")
    assert resolve("x.any", ["loss"], lambda: ["x.*"]) == ("x.any",)
    with pytest.raises(UsageError, match="several"):
        resolve("a", ["b.a", "c.a"])
    with pytest.raises(UnknownNameError):
        resolve("evel", names)


def test_every_field_is_found_by_its_name(cli):
    """Whatever a table has as a column can be taken from the record."""
    record = cli(*ON_HARDWARE, "--json").json
    for name, value in flat(record):
        if not isinstance(value, str) and name != "warnings":
            assert take(record, name) == value, name


def test_streams_choose_fields_too(cli, monkeypatch):
    """The fast path of many budgets, and one plan at a time, in every format of lines."""

    def piped(*words, given):
        out, into = os.pipe()
        os.write(into, given.encode())
        os.close(into)
        with os.fdopen(out) as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            return cli(*words).out

    for more in ((), ("--gpu", "h100-sxm")):
        words = ("optimal", "-", *more, "-q", "--fields", "params,flops,interval.loss,warnings")
        for form in ("text", "csv", "tsv", "jsonl", "json"):
            budgets = "1e18\n1e21\n3e23\n"
            found = piped(*words, "--format", form, given=budgets).splitlines()
            if form in ("json", "jsonl"):
                assert [*json.loads(found[0])] == [
                    "params", "flops", "interval.loss.low", "interval.loss.high", "warnings",
                ]  # fmt: skip
                one = cli("optimal", "--flops", "3e23", *more, "-q", "--json").json
                last = json.loads(found[2])
                assert (last["params"], last["warnings"]) == (one["params"], one["warnings"])
            else:
                assert len(found) == 4
                assert found[0].replace("\t", ",") == "params,flops,interval.loss.low,interval.loss.high,warnings"
        assert piped("optimal", "-", *more, "--get", "level", given="1e18\n").strip() == "0.9"


def on_terminal(*words, given=""):
    """Return what a command writes to a terminal, and its exit status."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "scaleplan", *words], stdin=subprocess.PIPE, stdout=follower,
                               stderr=follower)  # fmt: skip
    os.close(follower)
    process.stdin.write(given.encode())
    process.stdin.close()
    parts = []
    try:
        while part := os.read(leader, 1 << 16):
            parts.append(part)
    except OSError:
        pass
    os.close(leader)
    return b"".join(parts).decode().replace("\r\n", "\n"), process.wait()


def test_a_stream_on_a_terminal_is_a_table(cli):
    """Aligned, in human numbers, the header once; by hours, time or money these come first."""
    out, status = on_terminal("optimal", "-", given="1e18\n2e20\n3e23\n")
    head, *rows = out.splitlines()
    assert (status, len(rows)) == (0, 3)
    assert head.split() == ["compute", "parameters", "tokens", "tokens/param", "loss"]
    assert rows[1].split() == ["2e20", "FLOP", "1.22B", "27.4B", "22.5", "2.468"]
    assert len({len(row) for row in rows}) == 1
    out, _ = on_terminal("optimal", "--cost", "-", "--gpu", "h100-sxm", "-q", given="10\n20k\n")
    assert out.splitlines()[0].split()[:2] == ["cost", "compute"]
    assert max(map(len, out.splitlines())) <= 80
    out, _ = on_terminal("optimal", "-", "--fields", "params,preset", given="1e18\n")
    assert [line.split() for line in out.splitlines()] == [["params", "preset"], ["80.5M", "besiroglu-2024"]]


def test_a_report_does_not_flood_a_terminal(cli):
    """It is refused with the way to a file; a pipe gets the page."""
    out, status = on_terminal("report", *OPTIMAL[1:])
    assert status == 2
    assert "-o report.html" in out
    assert cli("report", *OPTIMAL[1:]).out.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("by", "first", "title"), [("time", "10d", "time"), ("cost", "10k", "cost"), ("gpu_hours", "1k", "GPU-hours")]
)
def test_a_sweep_shows_first_what_it_ranges_over(cli, by, first, title):
    """Days, money or GPU-hours before the compute that they buy."""
    words = (
        "sweep",
        "--by",
        by,
        "--from",
        first,
        "--to",
        f"9{first}",
        "--points",
        "2",
        "--gpu",
        "h100-sxm",
        "--gpus",
        "8",
    )
    lines = cli(*words, "-q").out.splitlines()
    head = next(line for line in lines if "compute" in line)
    assert head.split()[:2] == [title, "compute"]
    assert len(head) <= 80


@pytest.mark.parametrize(
    "words",
    [
        ("report", *OPTIMAL[1:], "-o", "page.html"),
        ("shape", "1B", "-o", "config.json"),
        ("init",),
        ("plot", "frontier", "-o", "picture.svg"),
        ("register", *OPTIMAL[1:], "-o", "forecast.json"),
    ],
)
def test_a_file_that_is_written_is_named_with_its_size(cli, words):
    """One line on standard error; none with --quiet."""
    name = words[-1] if "-o" in words else "scaleplan.toml"
    found = cli(*words)
    size = Path(name).stat().st_size
    assert found.err.splitlines()[0].startswith(f"wrote {name} (")
    assert ("kB)" in found.err) == (1000 <= size < 1e6)
    Path(name).unlink()
    assert "wrote" not in cli(*words, "--quiet").err


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (("report", *OPTIMAL[1:], "-o", "report.pdf"), ".html"),
        (("plot", "frontier", "-o", "x.jpg"), "svg"),
        (("shape", "1B", "-o", "config.yaml"), ".json"),
        (("init", "scaleplan.yaml"), ".toml"),
        (("register", *OPTIMAL[1:], "-o", "x.toml"), ".json"),
    ],
)
def test_an_ending_that_is_not_written_is_refused(cli, words, ending):
    """Before any work, with the endings that are."""
    found = cli(*words)
    assert (found.status, found.out) == (2, "")
    assert ending in found.err
    assert not Path(words[-1]).exists()


def test_the_results_of_every_command_are_known_with_their_fields(cli):
    """What an answer has is among them."""
    leaves = set()
    for name in COMMANDS:
        leaves |= {f"{name} {inner}" for inner in getattr(build(name), "commands", {})} or {name}
    assert leaves - {"show"} == set(ANSWERS)
    known = names_of("scaleplan/plan/1")[0]
    for name in [name for name, _ in flat(cli(*ON_HARDWARE, "--json").json)]:
        is_open = any(each.endswith(OPEN) and name.startswith(each.removesuffix("*")) for each in known)
        assert is_open or any(f"{each}.".startswith(f"{name}.") for each in known), name


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("budget.days", 10.0, "10.0 days"),
        ("budget.cost_interval.low", 1234.0, "$1,230"),
        ("interval.params.high", 2.78e9, "2.78B"),
        ("memory_bytes", 8e10, "80.0 GB"),
        ("level", 0.9, "90 %"),
        ("year", 2026, "2026"),
        ("loss", 2.30551, "2.306"),
        ("fits", True, "yes"),
        ("gone", None, "–"),
        ("aliases", ["a", "b"], "a, b"),
    ],
)
def test_a_field_is_written_in_its_unit(name, value, text):
    """By the last part of its name, as reports write it."""
    assert written(name, value) == text
