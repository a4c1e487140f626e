"""The GitHub action, the pre-commit hook and the documented snippets, run as far as goes without the services."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import scaleplan
from scaleplan.cli.app import COMMANDS

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github/actions/scaleplan/action.yml"
DOCUMENT = (ROOT / "docs/guides/ci.md").read_text()


@pytest.fixture
def tools(tmp_path):
    """Return a folder with a ``scaleplan`` command, and the environment of a runner that has it."""
    tools = tmp_path / "tools/scaleplan/bin"
    tools.mkdir(parents=True)
    command = tools / "scaleplan"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m scaleplan "$@"\n')
    command.chmod(0o755)
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
        "PYTHONPATH": str(Path(scaleplan.__file__).parents[1]),
        "RUNNER_TEMP": str(tmp_path / "tools"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }
    return tmp_path, environment


def step(name):
    """Return a step of the action."""
    (found,) = [each for each in yaml.safe_load(ACTION.read_text())["runs"]["steps"] if each["name"] == name]
    return found


def run_step(name, environment, **inputs):
    """Run a step as the runner does: a file given to bash with these options, and inputs in the environment."""
    assert set(step(name)["env"]) == set(inputs), "a step reads its inputs from the environment"
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step(name)["run"]]
    return subprocess.run(command, env={**environment, **inputs}, capture_output=True, text=True, check=False)


def test_the_action_is_what_a_composite_action_must_be():
    """The keys that its reference demands; no input is pasted into a script, where it could act as one."""
    action = yaml.safe_load(ACTION.read_text())
    assert {"name", "description", "runs"} <= set(action)
    assert action["runs"]["using"] == "composite"
    for each in action["runs"]["steps"]:
        assert each["shell"] == "bash"
        assert "${{" not in each["run"]
    assert all(each["description"] for each in (*action["inputs"].values(), *action["outputs"].values()))
    used = set(re.findall(r"inputs\.([a-z-]+)", ACTION.read_text()))
    assert used == set(action["inputs"])


def test_the_action_annotates_summarises_and_fails(changed, tools):
    """After a change that breaks the policy: annotations, a summary, an output, SARIF, and exit status 1."""
    folder, environment = tools
    done = run_step("Check", environment, PATHS="scaleplan.toml .", SARIF="scan.sarif")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("::error file=configs/train.yaml,line=3,")
    assert "| FAIL | base |" in (folder / "summary").read_text()
    assert (folder / "output").read_text() == "status=violated\n"
    assert '"version": "2.1.0"' in Path("scan.sarif").read_text()


def test_the_action_is_content_when_the_policy_is_kept(repository, tools):
    """Exit status 0, and no annotation."""
    folder, environment = tools
    done = run_step("Check", environment, PATHS=".", SARIF="")
    assert (done.returncode, done.stdout) == (0, "")
    assert (folder / "output").read_text() == "status=within\n"


def test_the_action_says_what_cannot_be_read(repository, tools):
    """Exit status 2, with the reason in the log."""
    folder, environment = tools
    done = run_step("Check", environment, PATHS="none.toml; touch mark", SARIF="")
    assert (done.returncode, "does not exist" in done.stderr) == (2, True)
    assert (folder / "output").read_text() == "status=unreadable\n"
    assert not Path("mark").exists()


GOOD = '[[run]]\nname = "r"\nparams = "1B"\ntokens = "20B"\n[policy]\nerror = ["params <= 7B"]\n'
BAD = GOOD.replace('"1B"', '"8B"')


@pytest.mark.parametrize(
    "paths, status",
    [
        ("a.toml\r\nc.toml\r\n", "within"),
        ("a.toml\nb.toml", "violated"),
        ("*.toml", "violated"),
        ("", "unreadable"),
        (" \n\t", "unreadable"),
        ("-h", "unreadable"),
        ("--limit=params<=9B a.toml", "unreadable"),
        ("a.toml\nnone.toml", "unreadable"),
        ("a.toml folder none-*.toml", "unreadable"),
    ],
)
def test_the_action_judges_every_path_or_none_is_within(paths, status, tools):
    """Lines and blanks separate paths, a pattern is its files, and what is no file is unreadable."""
    folder, environment = tools
    for name, text in (("a.toml", GOOD), ("b.toml", BAD), ("c.toml", GOOD)):
        Path(name).write_text(text)
    Path("folder").mkdir()
    done = run_step("Check", environment, PATHS=paths, SARIF="")
    assert (folder / "output").read_text() == f"status={status}\n"
    assert done.returncode == {"within": 0, "violated": 1, "unreadable": 2}[status], done.stderr
    assert ("::error " in done.stdout) is (status != "within")


@pytest.mark.parametrize("paths, code", [("a.toml\nb.toml", 1), ("-h", 2), ("", 2)])
def test_the_action_compares_every_path(paths, code, tools, git):
    """The second line is compared too, and what is no file is unreadable."""
    folder, environment = tools
    for name in ("a.toml", "b.toml"):
        Path(name).write_text(GOOD)
    git("init", "-q", "-b", "main", ".")
    git("add", ".")
    git("commit", "-q", "-m", "as it was")
    Path("b.toml").write_text(BAD)
    done = run_step("Compare", environment, PATHS=paths, BASE="main", FAIL_ON="flops increase > 1%")
    assert (folder / "output").read_text() == f"status={['within', 'violated', 'unreadable'][code]}\n"
    assert done.returncode == code


@pytest.mark.parametrize(
    "name, body, code",
    [
        ("Check", "exit 0", 2),  # help, a version, nothing at all
        ("Check", "echo '{}'", 2),
        ("Check", 'printf \'{\\n  "status": "within",\\n\'', 2),  # cut off
        ("Check", 'printf \'{\\n  "status": "within",\\n}\'; exit 1', 2),
        ("Check", "exit 1", 2),
        ("Check", "exit 70", 70),
        ("Check", "exit 124", 124),
        ("Check", "kill -9 $$", 137),
        ("Compare", "exit 0", 2),
        ("Compare", "kill -9 $$", 137),
    ],
)
def test_a_program_that_does_not_answer_is_unreadable(name, body, code, tools):
    """Whatever its exit status, without a whole result that says so nothing is within."""
    folder, environment = tools
    program = Path(environment["RUNNER_TEMP"]) / "scaleplan/bin/scaleplan"
    real = program.with_name("real")
    program.rename(real)
    show = f'exec {shlex.quote(str(real))} "$@"' if "status" in body else "exit 2"  # what is no result is not shown
    program.write_text(f'#!/bin/sh\ncase "$1" in show) {show} ;; esac\n{body}\n')
    program.chmod(0o755)
    Path("scaleplan.toml").write_text(GOOD)
    inputs = {"Check": {"SARIF": ""}, "Compare": {"BASE": "main", "FAIL_ON": ""}}[name]
    done = run_step(name, environment, PATHS=".", **inputs)
    assert (folder / "output").read_text() == "status=unreadable\n"
    assert done.returncode == code
    assert "::error " in done.stdout


@pytest.mark.parametrize("name", ["Check", "Compare"])
def test_a_program_that_is_not_there_is_unreadable(name, tools):
    """So is one that is not installed, or may not be run."""
    folder, environment = tools
    Path("scaleplan.toml").write_text(GOOD)
    (Path(environment["RUNNER_TEMP"]) / "scaleplan/bin/scaleplan").unlink()
    inputs = {"Check": {"SARIF": ""}, "Compare": {"BASE": "main", "FAIL_ON": ""}}[name]
    done = run_step(name, environment, PATHS=".", **inputs)
    assert (done.returncode, (folder / "output").read_text()) == (127, "status=unreadable\n")


def test_a_report_that_cannot_be_written_is_unreadable(tools):
    """A scan that was asked for and is not there would pass at the service that reads it."""
    folder, environment = tools
    Path("scaleplan.toml").write_text(GOOD)
    done = run_step("Check", environment, PATHS=".", SARIF="no/such/folder/scan.sarif")
    assert (done.returncode, (folder / "output").read_text()) == (2, "status=unreadable\n")


def test_a_project_without_limits_does_not_pass_the_action(tools):
    """Nothing was judged, which is not within."""
    folder, environment = tools
    Path("scaleplan.toml").write_text(GOOD.partition("[policy]")[0])
    done = run_step("Check", environment, PATHS=".", SARIF="")
    assert (done.returncode, (folder / "output").read_text()) == (2, "status=unreadable\n")
    assert "no limits" in done.stdout


def test_a_step_that_is_killed_leaves_no_status_within(tools):
    """A runner that stops the step finds no status, or one that is not within."""
    folder, environment = tools
    program = Path(environment["RUNNER_TEMP"]) / "scaleplan/bin/scaleplan"
    program.write_text("#!/bin/sh\nkill -9 $PPID\n")
    program.chmod(0o755)
    Path("scaleplan.toml").write_text(GOOD)
    done = run_step("Check", environment, PATHS=".", SARIF="")
    output = folder / "output"
    assert done.returncode != 0
    assert not output.exists() or "within" not in output.read_text()


def test_a_base_that_is_repaired_leaves_the_comparison_green(tools, git):
    """The check judges the work tree, and the comparison warns of the base."""
    folder, environment = tools
    Path("scaleplan.toml").write_text("x = [\n")
    git("init", "-q", "-b", "main", ".")
    git("add", ".")
    git("commit", "-q", "-m", "broken")
    Path("scaleplan.toml").write_text(GOOD)
    done = run_step("Compare", environment, PATHS=".", BASE="main", FAIL_ON="flops increase > 1%\n")
    assert (done.returncode, (folder / "output").read_text()) == (0, "status=within\n")
    assert done.stdout.startswith("::warning ")
    assert "main cannot be read in full" in (folder / "summary").read_text()


@pytest.mark.parametrize("fail_on, code", [(" \n\r\n", 0), ("flops increase > 10%\r\n", 1), ("nonsense", 2)])
def test_lines_of_changes_are_read_whatever_ends_them(fail_on, code, tools, git):
    """A blank line is none, and one that cannot be read is unreadable."""
    folder, environment = tools
    Path("scaleplan.toml").write_text(GOOD)
    git("init", "-q", "-b", "main", ".")
    git("add", ".")
    git("commit", "-q", "-m", "as it was")
    Path("scaleplan.toml").write_text(GOOD.replace("20B", "30B"))
    done = run_step("Compare", environment, PATHS=".", BASE="main", FAIL_ON=fail_on)
    assert done.returncode == code
    assert (folder / "output").read_text() == f"status={['within', 'violated', 'unreadable'][code]}\n"


@pytest.mark.parametrize("base", ["no-such-branch", "-x"])
def test_a_base_that_git_does_not_know_is_unreadable(base, tools, git):
    """It is not a base without runs."""
    folder, environment = tools
    Path("scaleplan.toml").write_text(GOOD)
    git("init", "-q", "-b", "main", ".")
    git("add", ".")
    git("commit", "-q", "-m", "as it was")
    done = run_step("Compare", environment, PATHS=".", BASE=base, FAIL_ON="")
    assert (done.returncode, (folder / "output").read_text()) == (2, "status=unreadable\n")


@pytest.mark.parametrize("check", ["within", "violated", "unreadable", "", None])
@pytest.mark.parametrize("compare", ["within", "violated", "unreadable", "", None])
@pytest.mark.parametrize("base", ["", "origin/main"])
def test_the_output_of_the_action_is_the_worse_of_its_steps(check, compare, base):
    """Its expression, with the values of the steps put in: within only where every step that was to run says so."""
    text = yaml.safe_load(ACTION.read_text())["outputs"]["status"]["value"]
    expression = re.fullmatch(r"\$\{\{(.*)\}\}", text.strip(), re.DOTALL)[1]
    for name, value in (
        ("steps.check.outputs.status", check),
        ("steps.compare.outputs.status", compare),
        ("inputs.base", base),
    ):
        expression = expression.replace(name, repr(value or ""))
    found = eval(expression.replace("&&", " and ").replace("||", " or "))  # the operators mean the same
    parts = [check, compare] if base else [check]
    known = all(part in ("within", "violated") for part in parts) and (base or compare in ("", None, "within"))
    if known:
        assert found == ("violated" if "violated" in parts else "within")
    elif all(part in ("within", "violated") for part in parts):
        assert found in (
            "violated",
            "within",
        )  # a comparison that was not to run has no say that could make it better
        assert found == "violated" or compare != "violated"
    else:
        assert found == "unreadable"


def test_the_action_compares_with_the_base(changed, tools):
    """A change that is too much fails the step; one line of the input is one limit."""
    folder, environment = tools
    fail_on = "cost increase > 10%\n\ntotal cost increase > 1M USD\n"
    done = run_step("Compare", environment, PATHS=".", BASE="main", FAIL_ON=fail_on)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("::error ") == 1
    assert "main → scaleplan.toml" in (folder / "summary").read_text()
    assert run_step("Compare", environment, PATHS=".", BASE="main", FAIL_ON="").returncode == 0
    assert run_step("Compare", environment, PATHS=".", BASE="--output=mark", FAIL_ON="").returncode == 2
    assert not Path("mark").exists()


def test_the_action_installs_the_project_that_carries_it():
    """The path it installs is the one of this project."""
    where = step("Install")["env"]["ROOT"].replace("${{ github.action_path }}", str(ACTION.parent))
    assert tomllib.loads((Path(where) / "pyproject.toml").read_text())["project"]["name"] == "scaleplan"


def test_the_hook_runs_on_the_files_that_matter(changed, cli):
    """Its entry is a command of ours that fails after the change; its pattern meets configs and nothing else."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert {"id", "name", "entry", "language"} <= set(hook)
    program, *words = shlex.split(hook["entry"])
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert hook["pass_filenames"] is False
    assert hook["always_run"] is True, "a run may read a script or any other file, whose change is a change too"
    assert cli(*words).status == 1
    assert cli(*words, "--help").status == 2, "what is added to the entry is a path"
    for name, wanted in {
        "scaleplan.toml": True,
        "a/b.yml": True,
        "c.json": True,
        "d.py": False,
        "toml": False,
    }.items():
        assert (re.search(hook["files"], name) is not None) is wanted


def snippets(language):
    """Return the code blocks of the document in a language."""
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def test_the_documented_snippets_are_yaml_and_name_what_exists():
    """The workflow uses the action with inputs that it has, the hook's id exists, every command is one of ours."""
    workflow, hooks, gitlab = map(yaml.safe_load, snippets("yaml"))
    uses = workflow["jobs"]["scaleplan"]["steps"][-1]
    assert (ROOT / uses["uses"].partition("@")[0].split("/", 2)[2] / "action.yml").is_file()
    assert set(uses["with"]) <= set(yaml.safe_load(ACTION.read_text())["inputs"])
    offered = [hook["id"] for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())]
    assert [hook["id"] for hook in hooks["repos"][0]["hooks"]] == offered
    named = re.findall(
        r"^scaleplan ([a-z]+)", "\n".join(snippets("sh") + gitlab["scaleplan"]["script"]), re.MULTILINE
    )
    assert named
    assert set(named) <= set(COMMANDS)


@pytest.mark.parametrize("state, status", [("repository", 0), ("changed", 1)])
def test_the_gitlab_job_reports_and_fails(state, status, request, tools):
    """Its script leaves the JUnit report where the job says, and exits with the verdict."""
    request.getfixturevalue(state)
    _, environment = tools
    job = yaml.safe_load(snippets("yaml")[2])["scaleplan"]
    script = "\n".join(line for line in job["script"] if not line.startswith("pip "))
    done = subprocess.run(["sh", "-ec", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert Path(job["artifacts"]["reports"]["junit"]).read_text().startswith("<?xml")


def test_the_documented_project_file_is_valid(repository, cli):
    """The example of the document plans its run from the repository's configs."""
    text = (
        snippets("toml")[0].replace("configs/config.json", "configs/model.json").replace("gpus_per_node", "devices")
    )
    Path("documented.toml").write_text(text)
    assert cli("check", "documented.toml").status == 0


def test_every_key_of_a_run_is_documented():
    """The table of the document knows each key, except those of constraints, which it refers to."""
    from scaleplan.project.project import AMOUNTS, TEXTS

    table = "\n".join(line for line in DOCUMENT.splitlines() if line.startswith("| `"))
    assert [key for key in (*AMOUNTS, *TEXTS) if f"`{key}`" not in table] == []
