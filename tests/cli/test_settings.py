"""Where settings come from, and when there is colour."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scaleplan.planning.request import SETTINGS

OPTIMAL = ("optimal", "--flops", "1e21")


def test_settings_win_in_order(cli, monkeypatch):
    """Flag over environment over the project's file over the user's over the default."""

    def level(*words):
        return float(cli(*OPTIMAL, *words, "--get", "interval.level").out)

    assert level() == 0.9
    user = Path(os.environ["XDG_CONFIG_HOME"]) / "scaleplan"
    user.mkdir(parents=True)
    (user / "config.toml").write_text("[defaults]\nlevel = 0.5\n")
    assert level() == 0.5
    Path("scaleplan.toml").write_text("[defaults]\nlevel = 0.6\n")
    assert level() == 0.6
    monkeypatch.setenv("SCALEPLAN_LEVEL", "0.7")
    assert level() == 0.7
    assert level("--level", "0.8") == 0.8


def test_the_project_file_is_found_upwards_and_in_pyproject(cli, monkeypatch):
    """The nearest folder that has one wins; a pyproject.toml of somebody else does not count."""
    Path("pyproject.toml").write_text("[tool.scaleplan.defaults]\npreset = 'kaplan-2020'\n")
    Path("deep/deeper").mkdir(parents=True)
    monkeypatch.chdir("deep/deeper")
    Path("pyproject.toml").write_text("[tool.other]\n")
    assert cli(*OPTIMAL, "--get", "preset").out == "kaplan-2020\n"
    Path("scaleplan.toml").write_text("[defaults]\npreset = 'llama3-2024'\n")
    assert cli(*OPTIMAL, "--get", "preset").out == "llama3-2024\n"


def test_hardware_settings_wait_for_a_question_about_hardware(cli, monkeypatch):
    """A standing ``mfu`` does not disturb a plan from FLOP, and counts once there is an accelerator."""
    monkeypatch.setenv("SCALEPLAN_MFU", "0.25")
    assert cli(*OPTIMAL).status == 0
    cluster = ("optimal", "--gpus", "8", "--gpu", "h100-sxm", "--time", "1d")
    assert cli(*cluster, "--get", "budget.mfu").out == "0.25\n"


def test_verbose_says_where_each_setting_came_from(cli, monkeypatch):
    """On standard error, and the answer stays the same."""
    Path("scaleplan.toml").write_text("[defaults]\npreset = 'kaplan-2020'\n")
    monkeypatch.setenv("SCALEPLAN_LEVEL", "0.5")
    found = cli(*OPTIMAL, "--verbose", "--json")
    said = dict(re.findall(r"setting: (\w+) = .* \((.+)\)", found.err))
    assert said["flops"] == "command line"
    assert said["preset"] == "settings file"
    assert said["level"] == "environment"
    assert said["overhead"] == "default"
    assert found.out == cli(*OPTIMAL, "--json").out


def test_the_format_may_be_set_and_json_still_wins(cli, monkeypatch):
    """``SCALEPLAN_FORMAT`` is a default like any other, and errors follow it."""
    monkeypatch.setenv("SCALEPLAN_FORMAT", "csv")
    assert cli(*OPTIMAL).out.startswith("schema,")
    assert cli(*OPTIMAL, "--json").out.startswith("{")
    monkeypatch.setenv("SCALEPLAN_FORMAT", "json")
    assert cli("optimal").error["code"] == "usage"


def test_settings_hold_inside_a_group(cli, monkeypatch):
    """``presets list`` and its like take the format of the settings as any command does."""
    Path("scaleplan.toml").write_text("[defaults]\nformat = 'json'\n")
    assert cli("presets", "list").json["schema"] == "scaleplan/presets/1"
    monkeypatch.setenv("SCALEPLAN_FORMAT", "csv")
    assert cli("gpus", "show", "h100-sxm").out.startswith("schema,")


def test_errors_follow_the_format_of_the_settings_file(cli):
    """A project that speaks JSON gets its errors in JSON."""
    Path("scaleplan.toml").write_text("[defaults]\nformat = 'json'\n")
    assert cli("optimal").error["code"] == "usage"
    assert cli("optimal", "--format", "text").err.startswith("error: ")


def test_colour_follows_option_then_environment_then_terminal(cli, monkeypatch):
    """``--color`` over NO_COLOR over FORCE_COLOR over whether it is a terminal; the words never differ."""
    plain = cli(*OPTIMAL).out
    assert "\x1b" not in plain
    assert "\x1b[" in cli(*OPTIMAL, "--color", "always").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = cli(*OPTIMAL).out
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
    assert cli(*OPTIMAL, "--color", "never").out == plain
    assert cli(*OPTIMAL, "--no-color").out == plain
    assert "\x1b" not in cli(*OPTIMAL, "--json").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert cli(*OPTIMAL).out == plain
    assert "\x1b[" in cli(*OPTIMAL, "--color", "always").out


def test_colour_is_forced_even_without_a_terminal_of_its_own(cli, monkeypatch):
    """``--color always`` and ``FORCE_COLOR`` also where TERM is missing or says dumb."""
    for term in ("dumb", ""):
        monkeypatch.setenv("TERM", term)
        assert "\x1b[" in cli(*OPTIMAL, "--color", "always").out


def test_a_terminal_gets_colour_and_the_same_words(process):
    """A pseudo-terminal is a terminal; ``NO_COLOR`` is kept there."""
    pty = pytest.importorskip("pty")

    def shown(**environment):
        command, variables = process(*OPTIMAL, TERM="xterm-256color", **environment)
        main, side = pty.openpty()
        with subprocess.Popen(command, env=variables, stdout=side, stderr=subprocess.PIPE) as child:
            os.close(side)
            written = b""
            try:
                while block := os.read(main, 4096):
                    written += block
            except OSError:  # how the end of a terminal is told
                pass
            os.close(main)
            assert child.stderr.read() == b""
        assert child.returncode == 0
        return written.decode().replace("\r\n", "\n")

    coloured = shown()
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == shown(NO_COLOR="1")


@pytest.mark.parametrize("home", ["", "/dev/null", "/proc/1/nowhere", "x" * 300, "a/" * 3000, "loop"])
def test_a_home_that_is_none_holds_no_settings(cli, monkeypatch, home):
    """Unset, a file, no folder, no possible path: the answer is that without settings."""
    usual = cli(*OPTIMAL, "--gpu", "h100-sxm").out
    Path("loop").symlink_to("loop")
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, home)
    found = cli(*OPTIMAL, "--gpu", "h100-sxm")
    assert (found.status, found.out, found.err) == (0, usual, "")
    assert cli("presets", "list").status == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("closed", ["home", "settings", "project", "presets"])
def test_what_a_user_may_not_read_is_no_setting_of_theirs(cli, closed):
    """Their home, their settings, a project's file: nothing is said, and nothing is read."""
    Path.cwd().chmod(0o755)
    home = Path(os.environ["XDG_CONFIG_HOME"])
    (home / "scaleplan" / "presets").mkdir(parents=True)
    (home / "scaleplan" / "config.toml").write_text("[defaults]\nlevel = 0.5\n")
    Path("scaleplan.toml").write_text("[defaults]\nlevel = 0.6\n")
    places = {
        "home": home,
        "settings": home / "scaleplan" / "config.toml",
        "project": Path("scaleplan.toml"),
        "presets": home / "scaleplan" / "presets",
    }
    for folder in (*home.parents[:-1], Path.cwd(), *Path.cwd().parents[:-1]):
        folder.chmod(folder.stat().st_mode | 0o055)
    places[closed].chmod(0)
    os.seteuid(65534)
    try:
        found = cli(*OPTIMAL, "--gpu", "h100-sxm", "--get", "interval.level")
    finally:
        os.seteuid(0)
    assert (found.status, found.out, found.err) == (0, "0.5\n" if closed == "project" else "0.6\n", "")


def test_a_working_folder_that_is_gone_is_no_error(cli, monkeypatch):
    """There are no settings in it, and what is named by its whole path is still found."""
    usual = cli(*OPTIMAL, "--json").out
    Path("plan.json").write_text(usual)
    saved = Path("plan.json").absolute()
    gone = saved.parent / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert cli(*OPTIMAL, "--json").out == usual
    assert cli("show", saved, "--json").out == usual
    assert cli("diff", saved, saved).status == 0
    for words in (("check",), ("init",), ("show", "plan.json"), ("fit", "runs.csv"), ("diff", "--base", "main")):
        found = cli(*words)
        assert (found.status, found.out) == (2, "")
        assert found.err.startswith("error: ")
        assert "internal" not in found.err
        assert "write the result" not in found.err


@pytest.mark.parametrize("key", [*SETTINGS, "overhead", "nosuch"])
@pytest.mark.parametrize("value", ["5", "true", "[]", "{}", "-1", "nan", "1979-05-27", "''", "5e-324", "9" * 400])
def test_a_setting_of_any_type_is_taken_or_refused(cli, key, value):
    """Of the user and of the project: an answer, or one error; a bug never."""
    user = Path(os.environ["XDG_CONFIG_HOME"]) / "scaleplan"
    user.mkdir(parents=True)
    for file, more in ((user / "config.toml", ""), (Path("scaleplan.toml"), RUN)):
        file.write_text(f"[defaults]\n{key} = {value}\n{more}")
        for words in ((*OPTIMAL, "--gpu", "h100-sxm"), ("check",)):
            found = cli(*words)
            assert found.status in (0, 1, 2)
            assert found.status != 2 or words == ("check",) or found.err.startswith(("error: ", "{"))
        file.unlink()


RUN = "[[run]]\nname = 'a'\nparams = '7B'\ntokens = '2T'\n[policy]\nerror = ['params <= 70B']\n"


def test_warnings_of_libraries_never_reach_a_user(process):
    """Unless they ask Python for them."""
    _, environment = process()
    program = (
        "import sys, warnings; from scaleplan import __main__\n"
        "__main__.run = lambda _: warnings.warn('of a library') or 0\n__main__.main()"
    )
    for options, said in (((), False), (("-W", "default"), True)):
        command = [sys.executable, *options, "-c", program]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert ("of a library" in done.stderr) is said
