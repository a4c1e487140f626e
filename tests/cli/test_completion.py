"""Completion of commands, options and values: what is proposed, and that real shells take it."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from scaleplan.cli.answers import ANSWERS
from scaleplan.cli.app import COMMANDS, build
from scaleplan.cli.completion import VALUES, candidates, values_of
from scaleplan.output.declared import names_of

WORDS = [
    " ".join([name, *rest])
    for name in COMMANDS
    for rest in ([[each] for each in getattr(build(name), "commands", ())] or [[]])
]

FREE = {"ID", "KIND", "NAME", "NAMES", "LIST", "UNIT", "WHEN", "FIELD", "FLAG", "REASON", "PICTURE", "PRESET"}
"""What a value is called that is one of some names."""

COLUMNS = {"log10", "each", "group", "x", "y", "inputs", "pool_cost"}
"""Options whose values are in a file."""

OWN = {"id", "run", "quantity", "margins", "owned", "interruptions"}
"""Names that only the user knows, and lists of settings."""


@pytest.fixture
def complete(cli, monkeypatch):
    """Return what is proposed for a line, as a shell asks for it; the last word is the one that is completed."""

    def proposed(line):
        words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
        monkeypatch.setenv("_SCALEPLAN_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        found = cli()
        monkeypatch.delenv("_SCALEPLAN_COMPLETE")
        assert found.err == ""
        return found.out.split()

    return proposed


def test_commands_options_and_values_are_proposed(complete):
    """Where something can be typed, and nothing else."""
    assert complete("scaleplan op") == ["optimal"]
    assert complete("scaleplan hel") == ["help"]
    assert complete("scaleplan ")[:2] == ["optimal", "loss"]
    assert complete("scaleplan presets ") == ["list", "show", "validate", "path"]
    assert complete("scaleplan help presets ") == ["list", "show", "validate", "path"]
    assert complete("scaleplan --ver") == ["--version"]
    assert complete("scaleplan optimal --fl") == ["--flops"]
    assert complete("scaleplan optimal --preset besiroglu-2024-") == [
        "besiroglu-2024-converged",
        "besiroglu-2024-notebook",
    ]
    assert "chinchilla" in complete("scaleplan optimal -p chin")  # an alias
    assert complete("scaleplan memory 7B --gpu rtx-409") == ["rtx-4090"]
    assert complete("scaleplan convert --region Fr") == ["France"]
    assert complete("scaleplan plot tr") == ["track"]
    assert complete("scaleplan memory llama-3.1-8") == ["llama-3.1-8b"]
    assert complete("scaleplan optimal --get budget.gpu_h") == [
        "budget.gpu_hours",
        "budget.gpu_hours_interval.low",
        "budget.gpu_hours_interval.high",
    ]
    assert complete("scaleplan sweep --fields params,loss,tokens_per_q") == []
    assert "params,loss,tokens" in complete("scaleplan sweep --fields params,loss,to")
    assert complete("scaleplan check --format gi") == ["github"]
    assert complete("scaleplan optimal --format gi") == []


def test_old_names_and_files_are_not_proposed(complete):
    """Files are left to the shell, which gets nothing to choose from."""
    assert complete("scaleplan compare --wi") == []
    assert complete("scaleplan convert --gr") == []
    for line in ("fit ", "track ", "runs ", "show ", "fit runs.csv -o ", "plot track --plan ", "optimal --flops "):
        assert complete(f"scaleplan {line}") == []


def test_everyday_options_are_proposed_first(complete):
    """A command has dozens; with two dashes there are all."""
    few, every = complete("scaleplan optimal "), complete("scaleplan optimal --")
    assert {"--flops", "--gpu", "--json"} <= set(few) < set(every)
    assert "--ptq-bits" in set(every) - set(few)


def test_columns_of_a_table_are_proposed(complete):
    """Of the file that was named before."""
    Path("runs.csv").write_text("model size,params,tokens,eval/loss\n", encoding="utf-8")
    assert complete("scaleplan fit runs.csv --y ") == ["params", "tokens", "eval/loss"]


@pytest.fixture(scope="module")
def options():
    """Return the parameters of every command, by the words that name it."""
    found = {}
    for words in WORDS:
        command = build(words.split()[0])
        for word in words.split()[1:]:
            command = command.commands[word]
        found[words] = command.params
    return found


def test_every_name_can_be_completed(options):
    """An option that takes one of some names says where they come from; no source is left over."""
    lacking = [
        f"{words} {each.name}"
        for words, parameters in options.items()
        for each in parameters
        if (each.metavar or "").strip("[]").removesuffix("...") in FREE and each.name not in OWN
        if values_of(each.name, words) is None
    ]
    assert lacking == []
    known = {name for words in options for each in options[words] for name in (each.name, f"{words} {each.name}")}
    assert set(VALUES) <= known


def test_values_are_words_that_a_shell_does_not_part(options):
    """At least one for each option, none with a space or a colon."""
    tried = set()
    for words, parameters in options.items():
        for each in parameters:
            source = values_of(each.name, words)
            if source and each.param_type_name == "option" and each.name not in COLUMNS and source not in tried:
                tried |= {source} if each.name not in {"get", "fields"} else set()
                context = SimpleNamespace(command_path=f"scaleplan {words}")
                found = [found.value for found in candidates(source, context)]
                assert found or words == "show", (words, each.name)
                assert not {" ", ":"} & set("".join(found)), (words, each.name)


@pytest.mark.parametrize("words", ["optimal", "sweep", "memory", "gpus list", "check", "fit"])
def test_the_fields_that_are_proposed_are_those_of_the_answer(complete, words):
    """As its schema declares them: none that the answer cannot have."""
    found = complete(f"scaleplan {words} --get ")
    kinds = (names_of(f"scaleplan/{kind}/1") for kind in ANSWERS[words])
    declared = {name for names in kinds for group in names for name in group}
    assert len(found) > 5
    assert [name for name in found if not any(f"{each}.".startswith(f"{name}.") for each in declared)] == []


def test_a_prompt_shows_no_error(complete):
    """Whatever is broken: a file of settings, of a law, or the line that is typed."""
    Path("scaleplan.toml").write_text("[defaults\n", encoding="utf-8")
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "scaleplan" / "presets"
    folder.mkdir(parents=True)
    (folder / "broken.toml").write_bytes(b"\xff\xfe title")
    (folder / "gpus.toml").write_text("x", encoding="utf-8")
    assert "besiroglu-2024" in complete("scaleplan optimal --preset ")
    for line in ("nothing ", "optimal --nothing ", "optimal -- ", "help nothing ", "optimal 'a ", "presets x y --"):
        complete(f"scaleplan {line}" if "'" not in line else "scaleplan optimal a")


HOSTILE = """schema = 1
[[accelerator]]
id = "h100-$(touch ran)"
name = 'a \\$(touch ran) name'
vendor = "NVIDIA"
year = 2026
memory_gb = 80
bandwidth_gbs = 1000
sources = ["nobody"]
[[accelerator]]
id = "h100-own"
name = 'a \\$(touch ran) name'
vendor = "NVIDIA"
year = 2026
memory_gb = 80
bandwidth_gbs = 1000
sources = ["nobody"]
"""
"""In TOML's single quotes a backslash stands for itself, so that it would undo the one that typer puts before a $."""


def test_nothing_that_a_file_says_is_run(complete, cli, monkeypatch, tmp_path):
    """A value that a shell would expand is not put into the line, and no backslash undoes the marks of a help."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCALEPLAN_PRESETS", str(tmp_path))
    Path("accelerators.toml").write_text(HOSTILE, encoding="utf-8")
    Path("runs.csv").write_text("$(touch ran),`touch ran`,a;b,*,it's,loss,kind\n", encoding="utf-8")
    assert "h100-own" in complete("scaleplan optimal --gpu h100-")
    assert not [each for each in complete("scaleplan optimal --gpu h100-") if "$" in each]
    assert complete("scaleplan fit runs.csv --group ") == ["loss", "kind"]
    monkeypatch.setenv("_SCALEPLAN_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "scaleplan optimal --gpu h100-o")
    assert '"h100-own":"a  \\$(touch ran) name"' in cli().out


def test_a_pipe_holds_up_no_prompt(complete, monkeypatch, tmp_path):
    """Its columns are not known before something is written into it."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("runs.csv")
    assert complete("scaleplan fit runs.csv --group ") == []


def test_completion_imports_little(process):
    """Neither arrays nor what renders text, as the shell waits for it."""
    command, environment = process(
        _SCALEPLAN_COMPLETE="complete_fish",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
        _TYPER_COMPLETE_ARGS="scaleplan optimal --preset chin",
    )
    command[1:1] = ["-X", "importtime"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines()}
    assert "chinchilla\tChinchilla" in found.stdout
    assert not {"rich.text", "rich.markup", "numpy"} & modules


# --- in real shells -----------------------------------------------------------------------------------------------


@pytest.fixture
def installed(process, tmp_path):
    """Return how to make the script for a shell, with an environment in whose path the program is."""
    command, environment = process()
    program = tmp_path / "bin" / "scaleplan"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    environment["PATH"] = f"{program.parent}{os.pathsep}{environment['PATH']}"

    def script(shell):
        if shutil.which(shell) is None:
            pytest.skip(f"there is no {shell} here")
        asked = environment | {"_SCALEPLAN_COMPLETE": f"source_{shell}"}
        found = subprocess.run([program], env=asked, capture_output=True, text=True, check=True)
        assert found.stderr == ""
        (tmp_path / shell).write_text(found.stdout, encoding="utf-8")
        return tmp_path / shell, environment

    Path("runs.csv").write_text("params,tokens,loss\n", encoding="utf-8")
    return script


def test_bash(installed):
    """Its function answers; where it has nothing, the shell completes files."""
    script, environment = installed("bash")
    lines = ("optimal --preset = chinchilla-a", "fit runs", "optimal --fields params,tok")  # "=" is a word of its own
    asked = [
        f"COMP_WORDS=(scaleplan {line}); COMP_CWORD={len(line.split())}; _scaleplan_completion scaleplan; "
        'echo "${COMPREPLY[@]}"'
        for line in lines
    ]
    text = "\n".join([f"source {script}", "complete -p scaleplan", *asked])
    found = subprocess.run(
        ["bash", "--norc", "-c", text], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stderr == ""
    registered, *answers = found.stdout.splitlines()
    assert "-o default" in registered
    assert answers[0].split() == ["chinchilla-a1", "chinchilla-a2", "chinchilla-a3"]
    assert answers[1] == ""
    assert answers[2].split() == ["params,tokens", "params,tokens_per_param"]


def test_fish(installed):
    """With what each is beside it."""
    script, environment = installed("fish")
    lines = ("scaleplan optimal --preset chinchilla-a", "scaleplan fit runs")
    text = "; ".join([f"source {script}", *(f"complete -C '{line}'" for line in lines)])
    found = subprocess.run(
        ["fish", "--no-config", "-c", text], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stderr == ""
    names, files = found.stdout.splitlines()[:3], found.stdout.splitlines()[3:]
    assert [name.partition("\t")[0] for name in names] == ["chinchilla-a1", "chinchilla-a2", "chinchilla-a3"]
    assert "IsoFLOP" in names[1]
    assert files == ["runs.csv"]


def test_zsh(installed):
    """On a terminal, as it completes nowhere else."""
    pty = pytest.importorskip("pty")
    script, environment = installed("zsh")
    terminal, end = pty.openpty()
    # the first of a session gets the terminal that it opens; nothing runs in a fork of the tests, which have threads
    opened = ["sh", "-c", 'exec zsh -f -i <> "$0" >&0 2>&0', os.ttyname(end)]
    zsh = subprocess.Popen(opened, env=environment | {"TERM": "xterm", "COLUMNS": "100"}, start_new_session=True)

    def answer(typed, until):
        os.write(terminal, typed.encode())
        text, limit = "", time.monotonic() + 120
        while not re.search(until, text):
            assert time.monotonic() < limit, text
            if select.select([terminal], [], [], 0.1)[0]:
                text += os.read(terminal, 65536).decode(errors="replace")
        return text

    try:
        answer("autoload -Uz compinit; compinit -u -D; PS1='> '; echo REA''DY\n", r"READY")
        answer(f"source {script}; echo SOUR''CED\n", r"SOURCED")
        shown = answer("scaleplan optimal --preset chinchilla-a\t", r"chinchilla-a3[^\n]*parametric fit")
        assert re.search(r"chinchilla-a2 +-- Chinchilla, Approach 2: IsoFLOP profiles", shown)
        answer("\x15scaleplan fit run\t", r"runs\.csv")
    finally:
        zsh.kill()
        zsh.wait()
        os.close(terminal)
        os.close(end)
