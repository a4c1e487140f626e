"""A small share of the fuzzer in every run of the tests; ``python -m tests.fuzz CASES SEED`` tries more."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from pathlib import Path

import pytest
from tests.fuzz import __main__ as fuzz
from tests.fuzz import grammar, harness, oracles
from tests.fuzz.grammar import Case
from tests.fuzz.shrinking import shrunk

SEED = 2026
CASES = 500 if os.environ.get("SCALEPLAN_FUZZ") == "long" else 6
"""How many of each command."""
QUESTIONS = 150 if os.environ.get("SCALEPLAN_FUZZ") == "long" else 3
"""How many to each oracle."""


@pytest.fixture(scope="module")
def sandbox():
    """Return the place where cases run, with everything imported that any of them needs."""
    with harness.Sandbox() as place:
        fuzz.canaries(place)
        yield place


def described(findings):
    """Return findings as text, or nothing."""
    return "\n".join(f"{each.kind}: {each.cause}: {each.detail}" for each in findings)


@pytest.mark.parametrize("command", grammar.commands())
def test_any_command_line_is_answered_or_refused(command, sandbox):
    """Options, files, streams and surroundings, sound and broken: the contract holds."""
    for index in range(CASES):
        case = grammar.case(SEED, index, only=command)
        found = fuzz.tried(sandbox, case)
        assert not found, f"{described(found)}\n{fuzz.reproduction(case)}"


@pytest.mark.parametrize("oracle", oracles.ORACLES, ids=lambda oracle: oracle.__name__)
def test_answers_are_those_known_in_another_way(oracle, sandbox):
    """By brute force, by the inverse question, or by another door."""
    for index in range(QUESTIONS):
        found = oracles.consulted(sandbox, oracle, SEED, index)
        assert not found, described(found)


def test_no_call_changes_the_answer_to_another(sandbox):
    """Between two looks at the same questions stand calls of every command."""
    before = fuzz.canaries(sandbox)
    for index in range(25):
        sandbox.call(grammar.case(SEED + 1, index))
    assert fuzz.canaries(sandbox) == before


def test_a_case_follows_from_its_seed_and_index():
    """So that every finding can be repeated."""
    cases = [grammar.case(SEED, index) for index in range(50)]
    assert cases == [grammar.case(SEED, index) for index in range(50)]
    assert len({case.arguments for case in cases}) > 45
    assert cases != [grammar.case(SEED + 1, index) for index in range(50)]


def test_every_option_of_every_command_is_tried():
    """The grammar is made of the program's own tables, so a new option is tried without another word."""
    for words, command in grammar.commands().items():
        flags = {flag: option.name for option in command.options.values() for flag in option.flags}
        unseen = (
            {name for name, option in command.options.items() if not option.is_argument}
            - grammar.RARE
            - grammar.ENDLESS
        )
        for index in range(1000):
            if not unseen:
                break
            arguments = grammar.case(SEED, index, only=words).arguments
            unseen -= {flags.get(word.partition("=")[0], "") for word in arguments}
        assert not unseen, words


UNHINTED = '{"schema": "scaleplan/error/1", "code": "usage", "message": "x", "hint": null}\n'


def broken(**changes):
    """Return an entry point that does one thing wrong."""

    def entry(_):
        if "writes" in changes:
            Path("left.json").write_text("{}")
        if "warns" in changes:
            warnings.warn("careful", RuntimeWarning, stacklevel=1)
        if "leaks" in changes:
            os.environ["LEFT"] = "behind"
        if "threads" in changes:
            threading.Thread(target=changes["threads"].wait).start()
        if "raises" in changes:
            raise changes["raises"]
        sys.stdout.write(changes.get("out", ""))
        sys.stderr.write(changes.get("err", ""))
        return changes.get("status", 0)

    return entry


@pytest.mark.parametrize(
    ("kind", "options", "changes"),
    [
        ("internal error", "", {"status": 70, "err": "error: internal error: KeyError: 'x'\nhint: report it\n"}),
        ("traceback", "", {"raises": KeyError("x")}),
        ("traceback", "", {"status": 2, "err": "Traceback (most recent call last):\nhint: x\n"}),
        ("exit status", "", {"status": 3, "err": "error: x\nhint: y\n"}),
        ("exit 2 without a hint", "", {"status": 2, "err": "error: x\n"}),
        ("exit 2 without a hint", "", {"status": 2, "err": UNHINTED}),
        ("failure without a word", "", {"status": 1}),
        ("result that does not parse", "--json", {"out": '{"loss": NaN}\n'}),
        ("result that does not parse", "--json", {"out": '{"loss": 1e999}\n'}),
        ("result that does not parse", "--json", {"out": '{"loss": 2\n'}),
        ("result that does not parse", "--format=csv", {"out": "a,b\n1\n"}),
        ("result that does not parse", "--format=csv", {"out": "a,b\n1,inf\n"}),
        ("a number that is none", "", {"out": "  loss   nan – 2.3\n"}),
        ("hidden character in the result", "--json", {"out": '{"a": "\u202e"}\n'}),
        ("hidden character on standard error", "", {"err": "warning: \x1b[31m\n"}),
        ("stray line on standard error", "", {"err": "/usr/lib/x.py:3: RuntimeWarning: overflow\n"}),
        ("library warning", "", {"warns": True}),
        ("state leak", "", {"leaks": True}),
        ("file left by a failure", "", {"writes": True, "status": 2, "err": "error: x\nhint: y\n"}),
        ("a failure blamed on the output", "", {"status": 2, "err": "error: cannot write the result: x\n"}),
    ],
)  # fmt: skip
def test_the_harness_notices(kind, options, changes, sandbox, monkeypatch):
    """Each breach of the contract is found, as what it is."""
    monkeypatch.setattr(harness, "execute", broken(raises=KeyError("x")))
    case = Case(name="broken", arguments=("optimal", *options.split()))
    outcome = sandbox.call(case, broken(**changes))
    assert kind in {each.kind for each in harness.judged(sandbox, case, outcome)}


def test_a_thread_that_is_left_is_noticed_and_one_of_another_thread_is_not(sandbox):
    """As those of a cluster that other tests of this process share."""
    case, end, begin, begun = Case(name="broken", arguments=("optimal",)), *(threading.Event() for _ in range(3))

    def cluster():
        begin.wait()
        threading.Thread(target=end.wait).start()
        begun.set()

    def quiet(_):
        begin.set()
        begun.wait()
        return 0

    threading.Thread(target=cluster).start()
    try:
        assert sandbox.call(case, quiet).leaked == ()
        assert sandbox.call(case, broken(threads=end)).leaked == ("threads",)
    finally:
        end.set()


def test_a_right_answer_is_no_finding(sandbox):
    """Neither is a refusal with its reason and its hint."""
    for words in (("optimal", "--flops", "1e21", "--json"), ("optimal", "--flops", "x"), ("target", "--loss", "1")):
        assert not fuzz.tried(sandbox, Case(name="right", arguments=words))


def test_a_failing_case_becomes_small():
    """What it does not need to fail is taken away."""
    case = Case(
        name="long", arguments=("optimal", "--flops", "1e21", "--json", "--level", "0.9"),
        files={"a.csv": b"a\nb\nc\nd\n", "b": b""}, environment={"X": "1"}, given=b"1e21",
    )  # fmt: skip
    small = shrunk(case, lambda each: "--json" in each.arguments and b"c" in each.files.get("a.csv", b""))
    assert small == Case(name="long", arguments=("optimal", "--json"), files={"a.csv": b"c"})


def test_the_fuzzer_runs_from_the_command_line(capsys, monkeypatch):
    """And its exit status says whether anything was found."""
    monkeypatch.setattr(fuzz.resource, "setrlimit", lambda *_: None)
    assert fuzz.main(["2", "1", "--only", "gpus show", "--from", "3"]) in (0, 1)
    assert "2 cases of seed 1 from 3" in capsys.readouterr().out


def test_the_harness_notices_what_surroundings_change(sandbox):
    """The width of a terminal is nothing to JSON."""
    case = Case(name="narrow", arguments=("optimal", "--flops", "1e21", "--json"), environment={"COLUMNS": "7"})
    assert not fuzz.tried(sandbox, case)
    for kind, changes in (("result", {"out": "{}\n"}), ("answer", {"status": 1, "err": "error: x\n"})):
        found = harness.judged(sandbox, case, sandbox.call(case, broken(**changes)))
        assert f"surroundings change the {kind}" in {each.kind for each in found}
