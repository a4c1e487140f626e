"""Standard input, closed pipes, full disks and Ctrl-C: the command line as a process among others."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from scaleplan.output.data import encode
from scaleplan.output.views.plan_lines import json_lines
from scaleplan.planning.context import Context
from scaleplan.planning.on_hardware import plan_budget
from scaleplan.planning.plan import Plan
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import Request
from scaleplan.planning.solver_array import plan_array

SWEEP = ("sweep", "--from", "1e18", "--to", "1e24")


@pytest.fixture
def streaming(process):
    """Start a command line with pipes; it is ended when the test is over."""
    children = []

    def start(*words):
        command, environment = process(*words)
        pipe = subprocess.PIPE
        child = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe)
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            with suppress(OSError):
                pipe.close()


@pytest.fixture
def piped(process):
    """Run a command line to its end on some standard input."""

    def run(text, *words):
        command, environment = process(*words)
        return subprocess.run(command, env=environment, input=text, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize(
    "words",
    [("optimal", "-"), ("optimal", "-", "--get", "params"), ("optimal", "--flops", "-", "--preset", "kaplan")],
    ids=" ".join,
)
def test_standard_input_is_answered_line_by_line(streaming, words):
    """An answer comes while the input is still open; empty lines are passed over."""
    child = streaming(*words, "--format", "jsonl")
    for amount in (b"1e21\n", b"\n2.5 ZFLOP\n"):
        child.stdin.write(amount)
        child.stdin.flush()
        assert child.stdout.readline().endswith(b"\n")
    child.stdin.close()
    assert child.stdout.read() == b""
    assert child.wait(10) == 0


@pytest.mark.parametrize("format_name", ["jsonl", "tsv"])
def test_lines_before_a_bad_one_are_answered(piped, format_name):
    """A wrong line ends the stream with its number; what stood before it has its answer, though all came at once."""
    found = piped("1e20\n1e21\nfoo\n1e22\n", "optimal", "-", "--format", format_name)
    assert found.returncode == 2
    assert "line 3 of standard input" in found.stderr
    assert len(found.stdout.splitlines()) == 2 + (format_name == "tsv")


@pytest.mark.parametrize("preset", ["besiroglu-2024", "kaplan-2020", "llama3-2024", "hunyuan-large-2024"])
def test_a_stream_answers_as_single_questions_do(cli, piped, preset):
    """The same numbers to rounding, the same words; a last line without an end counts."""
    amounts = ["1e18", "500 PF-days", "1e24"]
    found = piped("\n".join(amounts), "optimal", "-", "--preset", preset, "--format", "jsonl")
    assert (found.returncode, found.stderr) == (0, "")
    plans = [json.loads(line) for line in found.stdout.splitlines()]
    for amount, plan in zip(amounts, plans, strict=True):
        single = cli("optimal", "--flops", amount, "--preset", preset, "--json").json
        assert list(plan) == list(single)
        assert same(plan, single)


def same(found, expected):
    """Whether two JSON values agree, numbers to rounding."""
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return found == pytest.approx(expected, rel=1e-11)
    return found == expected


def test_a_long_sweep_is_streamed_with_the_plans_of_a_short_one(cli):
    """More points than one batch take another path to the same plans: jsonl and csv."""
    words = (*SWEEP, "--points", "8193")
    lines = cli(*words, "--format", "jsonl").out.splitlines()
    rows = list(csv.DictReader(io.StringIO(cli(*words, "--format", "csv").out)))
    assert len(lines) == len(rows) == 8193
    for place in (0, 4096, 8192):
        plan, row = json.loads(lines[place]), rows[place]
        single = cli("optimal", "--flops", repr(plan["flops"]), "--json").json
        assert same(plan, single)
        assert float(row["interval.loss.high"]) == plan["interval"]["loss"][1]
        assert row["warnings"] == " ".join(warning["code"] for warning in plan["warnings"])


def test_money_and_hours_can_be_streamed_too(piped):
    """``-`` in place of the amount of any form of the budget."""
    found = piped("10k\n1M\n", "optimal", "--cost", "-", "--gpu", "h100-sxm", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(found.stdout)))
    assert [float(row["budget.cost"]) for row in rows] == pytest.approx([1e4, 1e6])


def test_a_wrong_line_is_named(piped):
    """By its number; exit status 2."""
    found = piped("1e21\n\nx\n", "optimal", "-", "--format", "jsonl")
    assert found.returncode == 2
    assert "line 3" in json.loads(found.stderr)["message"]
    assert "Traceback" not in found.stderr
    assert all(json.loads(line) for line in found.stdout.splitlines())


@pytest.mark.parametrize("text", ["nan\n", "1e400\n", "-1\n", "1e21\x00\n", "1" * 200_000, "1e-30\n"])
def test_hostile_input_is_refused(piped, text):
    """One error and no answer."""
    found = piped(text, "optimal", "-")
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("error: ")
    assert len(found.stderr) < 500


def test_no_input_is_no_answer(piped):
    """An empty stream is answered with nothing."""
    for words in (("--format", "jsonl"), ("--get", "params")):
        found = piped("", "optimal", "-", *words)
        assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_a_closed_standard_input_is_an_error(process):
    """Where there is nothing to read from at all."""
    command, environment = process("optimal", "-")
    closed = f"exec {' '.join(command)} <&-"
    found = subprocess.run(["/bin/sh", "-c", closed], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.startswith("error: standard input is closed")


def test_a_page_cannot_be_streamed(cli):
    """Markdown has no lines."""
    found = cli("optimal", "-", "--format", "markdown")
    assert (found.status, found.out) == (2, "")


@pytest.mark.parametrize(
    "words",
    [
        (*SWEEP, "--points", "200k", "--format", "jsonl"),
        (*SWEEP, "--points", "200k", "--format", "csv"),
        ("presets", "list"),
    ],
    ids=lambda words: words[-1],
)
def test_a_closed_pipe_is_fine(process, words):
    """``| head -1``: status 0 and silence, for a stream and for a page."""
    command, environment = process(*words)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0


def test_a_no_to_a_closed_pipe_stays_a_no(process, tmp_path):
    """A gate is not opened by whoever reads its report."""
    project = tmp_path / "over.toml"
    project.write_text('[[run]]\nname = "r"\nparams = "8B"\ntokens = "20B"\n[policy]\nerror = ["params <= 7B"]\n')
    command, environment = process("check", str(project))
    reading, writing = os.pipe()
    os.close(reading)
    found = subprocess.run(command, env=environment, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (found.returncode, found.stderr) == (1, b"")


def test_a_pipe_into_head_is_fine(process):
    """As a shell writes it, with the status of every part."""
    command, environment = process(*SWEEP, "--points", "100k", "--format", "csv")
    line = f"set -o pipefail; {' '.join(command)} | head -1"
    found = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("schema,preset,")


def test_a_full_disk_is_told(process):
    """A result that could not be written is not taken for success, nor for a bug."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    for words in (("optimal", "--flops", "1e21"), (*SWEEP, "--points", "20k", "--format", "csv")):
        command, environment = process(*words)
        with Path("/dev/full").open("wb") as full:
            found = subprocess.run(
                command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert found.returncode == 2
        assert found.stderr == "error: cannot write the result: no space left on device\n"


@pytest.mark.parametrize("words", [("optimal", "-"), (*SWEEP, "--points", "5M")], ids=lambda words: words[0])
def test_ctrl_c_ends_it_without_a_traceback(streaming, words):
    """While it waits, and while it works: exit status 130."""
    child = streaming(*words, "--format", "jsonl")
    if words[-1] == "-":
        child.stdin.write(b"1e21\n")
        child.stdin.flush()
    assert child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=240)
    assert child.returncode == 130
    assert err == b""


@pytest.mark.parametrize("closed", ["", "<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_and_a_poor_encoding_are_no_bugs(process, closed):
    """A stream that is not there holds and takes nothing; what ASCII cannot say becomes a question mark."""
    command, environment = process("optimal", "--flops", "1e21")
    line = f"{shlex.join(command)} {closed}"
    environment = environment | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_table_says_once_how_many_plans_are_extrapolated(cli):
    """Beyond the fitted compute of 1.3e22 one line stands for all; inside it nothing is said."""
    assert cli("sweep", "--from", "1e20", "--to", "1e25", "--points", "3").err.count("warning:") == 1
    assert "2 of 3 plans" in cli("sweep", "--from", "1e20", "--to", "1e25", "--points", "3").err
    assert cli("sweep", "--from", "1e19", "--to", "1e21", "--points", "3").err == ""


def test_a_key_that_varies_and_has_no_column_is_an_error(cli, monkeypatch):
    """The value of the first plan is never repeated for the others."""
    monkeypatch.setattr(Plan, "to_dict", lambda plan, whole=Plan.to_dict: whole(plan) | {"new_key": plan.flops})
    done = cli("sweep", "--from", "1e18", "--to", "1e24", "--points", "10000", "--format", "csv")
    assert (done.status, done.out) == (70, "")
    assert "plans differ in 'new_key', which has no column" in done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("sink", ["2>/dev/full", "2> >(exec true)", "2>&-"])
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("optimal", "--flops", "1e25"), 0),
        (("optimal", "--flops", "x"), 2),
        (("target", "--loss", "1"), 1),
        (("gpus",), 2),
    ],
    ids=["warned", "refused", "no", "help"],
)
def test_standard_error_never_changes_the_answer(process, sink, words, status):
    """A warning or an error that cannot be written is lost, and the result and the exit status stay."""
    command, environment = process(*words)
    usual = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert usual.returncode == status
    assert usual.stderr
    line = f"{shlex.join(command)} {sink}"
    found = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (status, usual.stdout)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_help_that_cannot_be_written_is_an_error(process):
    """Standard output is full for help as for a plan."""
    command, environment = process("optimal", "--help")
    with Path("/dev/full").open("wb") as full:
        found = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (found.returncode, found.stderr) == (2, "error: cannot write the result: no space left on device\n")


READING_STANDARD_INPUT = [
    "optimal -", "optimal --cost - --gpu h100-sxm", "fit -", "backtest -", "design - --flops 1e20 --target 1e22",
    "model -", "memory -", "loss --model - --tokens 1T", "optimal --flops 1e21 --model -", "show -",
    "plot residuals -", "plot backtest -",
]  # fmt: skip


@pytest.mark.parametrize("question", READING_STANDARD_INPUT)
def test_standard_input_that_is_closed_or_no_text_is_one_error(cli, question, monkeypatch):
    """Closed, not readable, not UTF-8: exit status 2, with what to do."""

    class Unreadable:
        buffer = property(lambda self: self)

        def read(self, size):
            raise OSError(5, "Input/output error")

        def isatty(self):
            return False

        def fileno(self):
            return 10_000

    class Binary(Unreadable):
        def read(self, size):
            return b"\xff\xfe\xfd"[:size]

        def fileno(self):
            raise OSError(9, "Bad file descriptor")

    for stream in (None, Unreadable(), Binary()):
        monkeypatch.setattr("sys.stdin", stream)
        found = cli(*shlex.split(question))
        assert (found.status, found.out) == (2, "")
        assert found.err.startswith("error: ")
        assert "internal" not in found.err
        assert "\nhint: " in found.err


@pytest.mark.parametrize("preset", ["besiroglu-2024", "hoffmann-2022", "kaplan-2020"])
def test_a_stream_has_the_digits_of_single_plans(preset):
    """All of them, although one works with arrays and the other with Python's numbers."""
    context = Context()
    options = {"preset": preset, "bytes_per_token": "4.3"} if preset == "hoffmann-2022" else {"preset": preset}
    request = Request.of(options, context)
    planner = Planner.of(request, context)
    budgets = [1.3**i * 1e18 for i in range(60)]
    for flops, line in zip(budgets, json_lines(plan_array(planner, budgets)), strict=True):
        assert line == encode(plan_budget(planner, request.changed(flops=flops)).to_dict()) + "\n"
