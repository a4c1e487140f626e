"""Help, examples and version."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

import scaleplan
from scaleplan.cli.app import COMMANDS, PAGES, SECTIONS, build
from scaleplan.cli.help import DOCUMENTATION
from scaleplan.cli.options import OLD_NAMES, PANELS

CORE = ("optimal", "loss", "target", "sweep", "compare", "convert", "gpus", "presets")
WORDS = [
    [name, *rest] for name in COMMANDS for rest in ([[each] for each in getattr(build(name), "commands", ())] or [[]])
]


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """Read the help in the columns of a usual terminal."""
    monkeypatch.setenv("COLUMNS", "80")


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


@pytest.mark.parametrize("group", ["presets", "gpus"])
def test_a_group_without_a_command_shows_its_help(cli, group):
    """On standard error, since standard output carries results only."""
    found = cli(group)
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith(f"Usage: scaleplan {group} COMMAND [OPTIONS]")
    assert "\n\nCommands:\n" in found.err


def test_alone_it_prints_a_few_lines_to_begin_with(cli):
    """What it is, three commands that can be pasted, and where the help is; that is no error."""
    found = cli()
    assert (found.status, found.err) == (0, "")
    lines = [line for line in found.out.splitlines() if line]
    assert len(lines) == 5
    assert len([line for line in lines if line.startswith("  scaleplan ")]) == 3
    assert max(map(len, lines)) <= 80
    assert "scaleplan --help" in lines[-1]


def test_the_top_help_has_a_line_for_each_command(cli):
    """Grouped by job, none wrapped, and the address of the documentation at the end: one screen."""
    lines = cli("--help").out.splitlines()
    assert len(lines) <= 65
    titles = [line[:-1] for line in lines if re.fullmatch(r"\w[\w ]+:", line)]
    assert titles == [
        "Plan",
        "Models and machines",
        "Your own runs",
        "Projects and CI",
        "Look up",
        "Options",
        "Examples",
    ]
    rows = re.findall(r"^  ([a-z][\w-]+)  +(\S.*)$", "\n".join(lines), re.MULTILINE)
    assert [name for name, _ in rows if name != "scaleplan"] == list(COMMANDS)
    assert [text for name, text in rows if name in COMMANDS and text != COMMANDS[name][1]] == []
    assert lines[-1] == f"Docs: {DOCUMENTATION}"


def test_the_everyday_options_of_a_plan_fit_a_screen(cli):
    """The form of the budget stands first; the rest is counted, and shown by another option."""
    lines = cli("optimal", "--help").out.splitlines()
    assert len(lines) <= 60
    assert lines.index("Budget, in one form:") < lines.index("GPUs:") < lines.index("Law:") < lines.index("Output:")
    hidden = next(int(line.split()[0]) for line in lines if "more options" in line)
    everything = cli("optimal", "--help-all").out
    assert len(_options(everything)) == len(_options("\n".join(lines))) + hidden + 2  # of the help itself
    assert "SCALEPLAN_GPU" in everything
    assert "SCALEPLAN_GPU" not in "\n".join(lines)


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_every_command_has_everyday_options_in_panels_of_one_order(cli, words):
    """Required ones first; whatever a panel is called, those that commands share stand in the same order."""
    short, whole = cli(*words, "--help").out, cli(*words, "--help-all").out
    assert len(short.splitlines()) <= 75
    assert "--json" in _options(short)
    assert set(_options(short)) <= set(_options(whole))
    assert _options(whole)[-1] == "--help-all"
    for text in (short, whole):
        titles = re.findall(r"^(\w[\w, ]+):$", text.partition("Examples:")[0], re.MULTILINE)
        shared = [title for title in titles if title in PANELS.values()]
        assert shared == [title for title in dict.fromkeys(PANELS.values()) if title in shared]
        assert len(titles) == len(set(titles))
    assert ("more options:" in short) == (len(_options(whole)) > len(_options(short)))


def test_the_pages_of_commands_are_in_the_documentation(cli):
    """Each in its table of contents, which a test of the documentation holds against the files."""
    index = (Path(__file__).parents[2] / "docs" / "index.md").read_text(encoding="utf-8").splitlines()
    for words in WORDS:
        address = cli(*words, "--help").out.splitlines()[-1].removeprefix(f"Docs: {DOCUMENTATION}/page/")
        assert address.removesuffix(".html") in index, words


def _options(text):
    """Return the long names of the options that a help lists."""
    lines = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text.partition("Examples:")[0], re.MULTILINE)
    assert len(lines) == len(set(lines))
    return lines


@pytest.mark.parametrize("words", [["optimal"], ["presets"], ["presets", "list"], ["help"], []], ids=" ".join)
def test_help_is_a_command_too(cli, words):
    """It shows what the option shows; all options where they are wanted."""
    assert cli("help", *words) == cli(*words, "--help")
    assert cli("help", *words, "--help-all").status == 0


def test_help_on_an_unknown_command_says_what_is_meant(cli):
    """As where the command is run."""
    for words, hint in ((["optmal"], "optimal"), (["presets", "lst"], "list"), (["helpp"], "help")):
        found = cli("help", *words)
        assert (found.status, found.out) == (2, "")
        assert f"hint: did you mean '{hint}'?" in found.err
    assert cli("helpp").err == cli("help", "helpp").err


@pytest.mark.parametrize("command", COMMANDS)
def test_old_names_are_accepted_and_shown_nowhere(command):
    """Each beside another name, which is the one that the help, completion and corrections have."""
    built = build(command)
    for each in getattr(built, "commands", {command: built}).values():
        assert not OLD_NAMES & {name for option in each.params for name in option.opts}


def test_an_old_name_means_the_new_one(cli):
    """In the answer, and in what is said about it."""
    new = cli("compare", "--flops", "1e21", "--preset", "chinchilla", "--verbose")
    old = cli("compare", "--flops", "1e21", "--with", "chinchilla", "--verbose")
    assert old == new
    assert "setting: preset = " in old.err
    assert "--with" not in cli("compare", "--help-all").out
    assert "did you mean '--region'" in cli("convert", "--flops", "1e21", "--regoin", "France").err


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_help_keeps_to_the_width(cli, monkeypatch, columns):
    """All but examples, which are to be pasted, and addresses."""
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in ((), ("optimal",), ("memory",), ("fit",), ("presets", "show")):
        lines = cli(*words, "--help-all").out.splitlines()
        wide = [line for line in lines if len(line) > columns]
        assert [line for line in wide if not line.startswith(("  scaleplan ", "  N=$(", "Docs: "))] == []
        assert max(map(len, lines)) > min(columns, 100) - 20


def test_help_is_readable_in_ascii(cli, process):
    """Signs are spelled, and nothing fails."""
    command, environment = process("--help", PYTHONIOENCODING="ascii")
    found = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (found.returncode, found.stderr) == (0, b"")
    assert found.stdout.decode("ascii") == cli("--help").out.replace("↔", "<->").replace("→", "->")


@pytest.mark.parametrize("words", [words for words in WORDS if words[0] in CORE], ids=" ".join)
def test_the_examples_of_the_help_run(cli, words):
    """Each is a command line that works as it stands."""
    shown = [line.strip() for line in cli(*words, "--help").out.splitlines()]
    examples = [line.removeprefix("N=$(").rstrip(")") for line in shown if line.startswith(("scaleplan ", "N=$("))]
    assert examples
    for example in examples:
        if not any(file in example for file in ("my-law.toml", "config.json", "accelerators.toml")):
            assert cli(*shlex.split(example)[1:]).status == 0, example


def test_version_is_printed(cli):
    """By both spellings."""
    assert cli("--version").out == cli("-V").out == f"scaleplan {scaleplan.__version__}\n"


def test_every_section_begins_with_a_command():
    """And the pages of commands are those of commands that there are."""
    assert set(SECTIONS) <= set(COMMANDS)
    assert set(PAGES) <= set(COMMANDS)


@pytest.mark.parametrize("name", ["track", "optimal", "plot", "fit"])
def test_what_all_commands_have_stands_last(cli, name):
    """After the options of the question."""
    options = re.findall(
        r"^  (?:-\w, )?(--[\w-]+)", cli(name, "--help-all").out.partition("Examples:")[0], re.MULTILINE
    )
    common = ["--format", "--json", "--get", "--fields", "--color", "--no-color", "--quiet", "--verbose", "--debug"]
    common += ["--help", "--help-all"]
    assert options[-len(common) :] == common


def test_the_options_of_memory_stand_in_sections(cli):
    """The devices, the comparison, one way, the layout and serving, each option once; the answer is last."""
    text = cli("memory", "--help-all").out.partition("Examples:")[0]
    heads = re.findall(r"^(\w[\w, ]+):$", text, re.MULTILINE)
    assert heads[:4] == ["Arguments", "GPUs and batch", "Every way, compared", "One way to train or tune"]
    assert heads[-2:] == ["Output", "General"]
    assert len(heads) == 9
    assert len(_options(text)) > 50
    assert text.index("One way to train") < text.index("--tune") < text.index("Serving:") < text.index("--cache-bits")


def test_help_of_what_no_command_has_is_refused(cli):
    """With where the help is, and no empty list of names."""
    found = cli("help", "optimal", "extra")
    assert found.status == 2
    assert found.err.splitlines() == [
        "error: 'scaleplan optimal' has no commands of its own",
        "hint: 'scaleplan help optimal' shows it",
    ]
    assert "known: list, show" in cli("help", "gpus", "nosuch").err
