"""Help, examples, version and shell completion."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest

import scaleplan
from scaleplan.cli.app import COMMANDS, build

CORE = ("optimal", "loss", "target", "sweep", "compare", "convert", "gpus", "presets")
WORDS = [
    [name, *rest] for name in COMMANDS for rest in ([[each] for each in getattr(build(name), "commands", ())] or [[]])
]


@pytest.mark.parametrize("words", [[], *WORDS], ids=lambda words: " ".join(words) or "scaleplan")
def test_help_shows_examples(cli, words):
    """``-h`` and ``--help`` alike, on standard output, at status 0, readable at 80 columns."""
    found = cli(*words, "--help")
    assert (found.status, found.err) == (0, "")
    assert "Examples" in found.out
    assert f"Usage: {' '.join(['scaleplan', *words])} " in found.out
    assert cli(*words, "-h").out == found.out
    assert "\x1b" not in found.out
    assert all(len(line) <= 80 for line in found.out.splitlines() if not line.strip().startswith(("scaleplan", "N=")))


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_every_option_says_what_it_is(words):
    """A command and each of its options has a line of help."""
    command = build(words[0])
    for word in words[1:]:
        command = command.commands[word]
    assert command.help
    assert [option.name for option in command.params if not getattr(option, "help", None)] == []


@pytest.mark.parametrize("words", [[], ["presets"], ["gpus"]], ids=lambda words: " ".join(words) or "scaleplan")
def test_without_a_command_the_help_is_shown(cli, words):
    """As it is, on standard error, since standard output carries results only."""
    found = cli(*words)
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith("Usage: scaleplan")
    assert "\n\nOptions:\n" in found.err


@pytest.mark.parametrize("words", [words for words in WORDS if words[0] in CORE], ids=" ".join)
def test_the_examples_of_the_help_run(cli, words):
    """Each is a command line that works as it stands."""
    shown = [line.strip() for line in cli(*words, "--help").out.splitlines()]
    examples = [line.removeprefix("N=$(").rstrip(")") for line in shown if line.startswith(("scaleplan ", "N=$("))]
    assert examples
    for example in examples:
        if not any(file in example for file in ("my-law.toml", "config.json")):
            assert cli(*shlex.split(example)[1:]).status == 0, example


def test_version_is_printed(cli):
    """By both spellings."""
    assert cli("--version").out == cli("-V").out == f"scaleplan {scaleplan.__version__}\n"


def test_the_commands_stand_in_sections(cli):
    """Each once, in the order of the table; those of a run in the order in which one needs them."""
    text = cli("--help").out.partition("Examples:")[0].partition("Options:")[2]
    assert re.findall(r"^  ([a-z][\w-]+)  ", text, re.MULTILINE) == list(COMMANDS)
    section = text.partition("The life of a run")[2].partition("Pictures")[0]
    names = re.findall(r"^  ([a-z][\w-]+)  ", section, re.MULTILINE)
    assert names == ["design", "runs", "fit", "backtest", "register", "track", "resolve", "forecasts"]


@pytest.mark.parametrize("name", ["track", "optimal", "plot", "fit"])
def test_what_all_commands_have_stands_last(cli, name):
    """After the options of the question."""
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)", cli(name, "--help").out.partition("Examples:")[0], re.MULTILINE)
    common = ["--format", "--json", "--get", "--color", "--no-color", "--quiet", "--verbose", "--debug", "--help"]
    assert options[-len(common) :] == common


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_generated(process, shell):
    """For the shells that people use; the script asks back by the variable that the next test answers."""
    command, environment = process(_SCALEPLAN_COMPLETE=f"source_{shell}")
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    assert "_SCALEPLAN_COMPLETE=complete" in found.stdout


def test_completion_answers_with_commands_and_options(process):
    """What bash asks on the tab key."""
    for words, place, expected in (("scaleplan op", 1, "optimal"), ("scaleplan optimal --fl", 2, "--flops")):
        command, environment = process(_SCALEPLAN_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(place))
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert found.returncode == 0
        assert expected in found.stdout.split()


def test_the_options_of_memory_stand_in_sections(cli):
    """Devices, the comparison, one way, the layout and serving, each option once; what all commands have is last."""
    text = cli("memory", "--help").out.partition("Examples:")[0]
    heads = re.findall(r"^(\w[\w, ]+):$", text, re.MULTILINE)
    assert heads[0] == "Arguments"
    assert heads[1] == "GPUs"
    assert heads[-1] == "Options"
    assert len(heads) == 8
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)
    assert len(options) == len(set(options)) > 50
    assert (
        text.index("Every way, compared:")
        < text.index("--ways")
        < text.index("One way to train")
        < text.index("--tune")
    )
    assert text.index("Serving:") < text.index("--cache-bits") < text.index("\nOptions:") < text.index("--json")
