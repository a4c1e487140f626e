"""What cannot be read or judged is never "within": check, diff, and every format that a service reads."""

from __future__ import annotations

import io
import json
import os
import subprocess
import xml.etree.ElementTree as ET
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaleplan.__main__ import run as execute

CASES = Path(__file__).parents[2].parent / "shared" / "cases"
RUN = '[[run]]\nname = "r"\nparams = "1B"\ntokens = "20B"\n'
POLICY = '[policy]\nerror = ["params <= 7B"]\n'
FORMATS = ("text", "json", "jsonl", "csv", "tsv", "markdown", "github", "junit", "sarif")


def write(text, name="scaleplan.toml"):
    """Write a file, and the folder that it is in."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def status(result):
    """Return the status in a JSON answer; None where there is no answer."""
    return json.loads(result.out)["status"] if result.out else None


@pytest.mark.parametrize(
    "arguments",
    [
        ["none.toml"],
        ["scaleplan.toml", "none.toml"],
        ["none.toml", "scaleplan.toml"],
        [""],
        [" "],
        ["scaleplan.toml", ""],
        ["--", "-h"],
        ["--", "--help"],
        ["*.yaml"],
        ["folder"],
        ["scaleplan.toml", "empty.toml"],
        ["scaleplan.toml", "broken.toml"],
        ["broken.toml", "scaleplan.toml"],
        ["train.yaml"],
        ["a\0b"],
        ["x" * 5000],
        ["scaleplan.toml", "--limit", "cost <= nan"],
        ["scaleplan.toml", "--limit", "cost <= 1 USD"],
        ["scaleplan.toml", "--limit", "memory_gb <= 80"],
        ["scaleplan.toml", "--limit", "params <= inf"],
        ["scaleplan.toml", "--limit", "parms <= 7B"],
        ["scaleplan.toml", "--limit", ""],
        ["scaleplan.toml", "--limit", "flops@90% <= 1e30"],
        ["scaleplan.toml", "--format", "xml"],
        ["scaleplan.toml", "--bogus"],
    ],
)
@pytest.mark.parametrize("shown", ["json", "github"])
def test_check_of_what_cannot_be_judged_exits_with_2(cli, arguments, shown):
    """No path, option or limit turns into a pass, and a path beside a good one is not dropped."""
    write(RUN + POLICY)
    write("", "empty.toml")
    write("x = [", "broken.toml")
    write("a: 1\n", "train.yaml")
    Path("folder").mkdir()
    result = cli("check", *([] if "--format" in arguments else ["--format", shown]), *arguments)
    assert result.status == 2
    if shown == "json" and result.out:
        assert status(result) == "unreadable"
    assert result.out or result.err


@pytest.mark.parametrize(
    "text, told",
    [
        (RUN + "[policy]\nlimits = ['params <= 7B']\n", "known keys: error, warn"),
        (RUN + "[policy]\nerrors = ['params <= 7B']\n", "did you mean 'error'?"),
        (RUN + "[polcy]\nerror = ['params <= 7B']\n", "did you mean 'policy'?"),
        (RUN + "[gates]\nerror = []\n", "known keys: defaults, policy, run"),
        (RUN + "quux = 1\n" + POLICY, "known keys: "),
        (RUN + "parms = 1\n" + POLICY, "did you mean 'params'?"),
        ("[defaults]\nquux = 1\n" + RUN + POLICY, "known keys: color, "),
        (RUN + "[policy]\nerror = [{ limit = 'params <= 7B', severity = 'warn' }]\n", "known keys: limit, message"),
    ],
)
def test_an_unknown_key_is_refused_with_the_known_ones(cli, text, told):
    """A policy under a misspelt key would judge nothing."""
    write(text)
    result = cli("check")
    assert (result.status, result.out) == (2, "")
    assert told in result.err
    assert "scaleplan.toml" in result.err


@pytest.mark.parametrize(
    "key, value",
    [
        *(("gpu", each) for each in ("5", "true", "[1]", "{}", "nan", "1979-05-27")),
        *(("preset", each) for each in ("5", "[]", "inf")),
        *(("mfu", each) for each in ("true", "[0.4]", "nan", "'x'", "{}")),
        *(("price", each) for each in ("false", "[1]", "-1")),
        *(("format", each) for each in ("5", "true")),
        *(("level", each) for each in ("[]", "true")),
    ],
)
def test_a_setting_of_the_wrong_type_is_an_error_of_the_file(cli, key, value):
    """Never an internal error, and never a pass."""
    write(f"[defaults]\ngpu = 'h100-sxm'\n{key} = {value}\n{RUN}{POLICY}".replace("gpu = 'h100-sxm'\ngpu", "gpu"))
    result = cli("check", "--json")
    assert result.status == 2
    assert "mfu" in result.out or key in result.err or key in result.out


@pytest.mark.parametrize(
    "key", ["name", "from", "policy", "limit", "params", "tokens", "gpus", "gpu", "model", "region"]
)
@pytest.mark.parametrize(
    "value", ["5.5", "true", "[1]", "{a=1}", "nan", "1979-05-27", "{key=5}", "{key='a'}", '"\\u0000"']
)
def test_a_key_of_a_run_of_the_wrong_type_is_an_error(cli, key, value):
    """Whatever stands there, the run is planned or it is an error with exit status 2."""
    lines = {"name": '"r"', "params": '"1B"', "tokens": '"20B"', "gpu": '"h100-sxm"', key: value}
    if key == "model":
        del lines["params"]
    write("[[run]]\n" + "".join(f"{name} = {text}\n" for name, text in lines.items()) + POLICY)
    # a name is any text, a file that nothing points into is not read, and a number stands for itself
    planned = {("name", '"\\u0000"'), ("from", '"\\u0000"')}
    planned |= {(name, value) for name in ("params", "tokens", "gpus") for value in ("5.5", "{key=5}")}
    assert cli("check", "-q", "--json").status in ((0, 2) if (key, value) in planned else (2,))


def test_every_project_is_judged_though_one_cannot_be_read(cli):
    """The broken one is a row with its file and line, the others have their verdicts, and nothing is within."""
    write(RUN + POLICY, "a.toml")
    write("[[run]]\nname = 5\n", "b.toml")
    write(RUN.replace('"r"', '"s"').replace('"1B"', '"8B"') + POLICY, "c.toml")
    result = cli("check", "a.toml", "b.toml", "c.toml", "--json", "-q")
    data = json.loads(result.out)
    rows = [(each["run"], each["status"], each["file"], each["line"]) for each in data["verdicts"]]
    assert rows == [("r", "pass", "a.toml", 3), ("b.toml", "error", "b.toml", 2), ("s", "fail", "c.toml", 3)]
    assert (result.status, data["status"]) == (2, "unreadable")


def test_runs_of_one_name_are_shown_with_their_files(cli, git):
    """Two runs called "base" in two files can be told apart, by check and by diff alike."""
    write(RUN + POLICY, "a/scaleplan.toml")
    write(RUN.replace('"1B"', '"8B"') + POLICY, "b/scaleplan.toml")
    result = cli("check", "a", "b", "--json", "-q")
    names = ["r (a/scaleplan.toml)", "r (b/scaleplan.toml)"]
    data = json.loads(result.out)
    assert [each["run"] for each in data["verdicts"]] == [each["name"] for each in data["runs"]] == names
    assert all(name in cli("check", "a", "b", "-q").out for name in names)
    git("init", "-q", "-b", "main", ".")
    git("add", ".")
    git("commit", "-q", "-m", "as it was")
    write(RUN.replace('"1B"', '"9B"') + POLICY, "b/scaleplan.toml")
    data = json.loads(cli("diff", "a", "b", "--base", "main", "--json", "--fail-on", "params increase > 1%").out)
    assert [(each["run"], each["status"]) for each in data["judged"]] == [(names[0], "pass"), (names[1], "fail")]


def test_one_file_under_two_names_is_one_project(cli):
    """It is not judged twice."""
    write(RUN + POLICY)
    result = cli("check", ".", "scaleplan.toml", str(Path("scaleplan.toml").resolve()), "--json", "-q")
    assert len(json.loads(result.out)["verdicts"]) == 1


@pytest.mark.parametrize("policy", ["", "[policy]\n", "[policy]\nerror = []\n", "[policy]\nwarn = []\n"])
def test_a_project_without_limits_is_not_within(cli, policy):
    """Its status says that nothing was judged, in one line on standard error, and in an annotation."""
    write(RUN + policy)
    result = cli("check", "--json")
    assert (result.status, status(result)) == (0, "unjudged")
    assert "scaleplan.toml: the project has no limits, so nothing was judged" in result.err
    assert cli("check", "--format", "github", "-q").out.startswith("::warning file=scaleplan.toml,line=1,")


def test_a_project_without_limits_beside_one_with_some_is_not_within(cli):
    """Each project that is named is to be judged; a run may have none where others of its project have some."""
    write(RUN + POLICY, "a.toml")
    write(RUN, "b.toml")
    write(RUN + 'policy.error = ["params <= 7B"]\n' + RUN.replace('"r"', '"s"'), "c.toml")
    assert status(cli("check", "a.toml", "b.toml", "--json")) == "unjudged"
    assert status(cli("check", "a.toml", "c.toml", "--json")) == "within"
    assert status(cli("check", "b.toml", "--limit", "params <= 7B", "--json")) == "within"
    write(RUN.replace('"1B"', '"8B"') + POLICY, "a.toml")
    assert status(cli("check", "a.toml", "b.toml", "--json")) == "violated"


def test_the_judged_value_is_shown(cli):
    """A limit at a confidence is judged by the end of the interval: that is the value beside it, everywhere."""
    write(RUN + "[policy]\nerror = ['loss@90% <= 2.532']\n")
    verdict = json.loads(cli("check", "--json", "-q").out)["verdicts"][0]
    assert verdict["value"] < 2.532 < verdict["high"] == verdict["judged"]
    shown = f"{verdict['high']:.4f}"  # with a digit more than usual: 2.532 would look like the limit
    text = cli("check", "-q").out
    row = next(line for line in text.splitlines() if "FAIL" in line)
    assert row.split()[-1] == shown
    assert f"{verdict['value']:.4f}" not in row
    for name in ("markdown", "github", "junit", "sarif", "csv"):
        assert shown in cli("check", "--format", name, "-q").out


def test_the_shown_value_has_the_digits_that_show_the_comparison(cli):
    """FAIL params <= 1B beside 1.00B would contradict itself."""
    write(RUN.replace('"1B"', '"1.0001B"') + "[policy]\nerror = ['params <= 1B']\n")
    row = next(line for line in cli("check", "-q").out.splitlines() if "FAIL" in line)
    assert row.split()[-1] == "1.0001B"


def test_what_was_not_judged_shows_no_value(cli):
    """The estimate beside an error would read as the value that was judged."""
    write(
        "[[run]]\nname = 'r'\nparams = '1B'\ntokens = '20B'\npreset = 'muennighoff-2023'\nunique_tokens = '20B'\n"
        "[policy]\nerror = ['loss@90% <= 9']\n"
    )
    result = cli("check", "-q")
    row = next(line for line in result.out.splitlines() if "ERROR" in line)
    assert (result.status, row.split()[-1]) == (2, "–")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_what_was_not_judged(cli, name):
    """An annotation, a test that errs, an unsuccessful execution: never silence."""
    write(RUN + '[[run]]\nname = "y"\nfrom = "none.yaml"\nparams = "1B"\ntokens = { key = "a" }\n' + POLICY)
    result = cli("check", "--format", name, "-q")
    assert result.status == 2
    assert "none.yaml" in result.out
    if name == "sarif":
        assert json.loads(result.out)["runs"][0]["invocations"][0]["executionSuccessful"] is False
    if name == "junit":
        assert ET.fromstring(result.out).attrib["errors"] == "1"
    if name == "github":
        assert result.out.startswith("::error file=scaleplan.toml,line=5,")


# --- a comparison


@pytest.fixture
def base(git):
    """Return a function that commits files as the branch main."""

    def commit(**files):
        for name, text in files.items():
            write(text, name.replace("_", "."))
        git("init", "-q", "-b", "main", ".")
        git("add", ".")
        git("commit", "-q", "-m", "as it was")

    return commit


@pytest.mark.parametrize(
    "broken",
    [
        "x = [\n",
        "[policy]\nlimits = []\n",
        RUN + "parms = 1\n",
        RUN.replace('"1B"', '"5e12B"'),
        RUN + "gpu = 'h1000'\n",
    ],
)
def test_a_change_that_repairs_the_base_goes_green(cli, base, broken):
    """The base is named as what is broken; the work tree alone is judged, by its policy."""
    base(scaleplan_toml=broken)
    write(RUN + POLICY)
    assert cli("check", "-q").status == 0
    result = cli("diff", "--base", "main", "--fail-on", "cost increase > 1%", "--json")
    data = json.loads(result.out)
    assert (result.status, data["status"]) == (0, "base_unreadable")
    assert [problem["side"] for problem in data["problems"]] == ["before"]
    assert data["problems"][0]["message"].startswith("at 'main': ")
    assert {each["status"] for each in data["judged"]} == {"warn", "pass"}
    text = cli("diff", "--base", "main")
    assert "main cannot be read in full" in text.out
    annotation = cli("diff", "--base", "main", "--format", "github").out
    assert annotation.startswith("::warning title=")


def test_beside_a_broken_base_the_policy_decides(cli, base):
    """A repair that breaks the policy is red, and one that cannot be read itself is unreadable."""
    base(scaleplan_toml="x = [\n")
    write(RUN.replace('"1B"', '"8B"') + POLICY)
    result = cli("diff", "--base", "main", "--json")
    assert (result.status, status(result)) == (1, "violated")
    write("y = [\n")
    assert cli("diff", "--base", "main", "--json").status == 2
    write(RUN.replace('"1B"', '"nonsense"') + POLICY)
    result = cli("diff", "--base", "main", "--json")
    assert (result.status, status(result)) == (2, "unreadable")


@pytest.mark.parametrize("name", FORMATS)
def test_one_unreadable_run_hides_no_other(cli, base, name):
    """The other is compared and judged; the unreadable one is an error, and nothing is within."""
    base(scaleplan_toml=RUN)
    unreadable = '[[run]]\nname = "y"\nfrom = "missing.yaml"\nparams = "1B"\ntokens = { key = "a" }\n'
    write(RUN.replace('"20B"', '"40B"') + unreadable)
    result = cli("diff", "--base", "main", "--fail-on", "flops increase > 10%", "--format", name)
    assert result.status == 2
    if name in ("json", "text", "github", "junit", "sarif", "markdown"):
        assert "missing.yaml" in result.out
        assert "100 %" in result.out.replace("%25", "%")
    if name == "json":
        data = json.loads(result.out)
        assert data["status"] == "unreadable"
        assert [(each["side"], each["run"]) for each in data["problems"]] == [("after", "y")]
        assert [(each["run"], each["status"]) for each in data["judged"]] == [("r", "fail"), ("y", "error")]


def test_a_run_that_is_unreadable_on_the_base_alone_is_excused(cli, base):
    """Its change cannot be judged; the others' are, and a total is not known."""
    other = RUN.replace('"r"', '"s"')
    base(scaleplan_toml=RUN.replace('"1B"', '"nonsense"') + other)
    write(RUN + other + POLICY)
    change = ("--fail-on", "flops increase > 10%", "--fail-on", "total flops increase > 10%")
    result = cli("diff", "--base", "main", *change, "--json")
    data = json.loads(result.out)
    judged = [(each["run"], each["status"]) for each in data["judged"] if "increase" in each["threshold"]]
    assert (result.status, data["status"]) == (0, "base_unreadable")
    assert judged == [("r", "warn"), ("s", "pass"), (None, "warn")]
    write(RUN + other.replace('"20B"', '"40B"') + POLICY)
    assert cli("diff", "--base", "main", *change).status == 1


def test_a_base_that_git_cannot_give_is_not_excused(cli, base):
    """A partial clone lacks its content; no change repairs that, so nothing may pass because of it."""
    base(scaleplan_toml=RUN + POLICY)
    listing = ["git", "rev-parse", "main:scaleplan.toml"]
    found = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.strip()
    Path(".git/objects", found[:2], found[2:]).unlink()
    write(RUN.replace('"20B"', '"40B"') + POLICY)
    result = cli("diff", "--base", "main", "--fail-on", "flops increase > 10%", "--json")
    assert (result.status, result.out) == (2, "")
    assert "git cannot give 'scaleplan.toml' at 'main'" in result.err


def test_a_config_in_a_submodule_is_not_excused(cli, git):
    """The base is whole; what it has there is in another repository."""
    write("a: 20e9\n", "apart/t.yaml")
    os.chdir("apart")
    for words in (["init", "-q", "-b", "main", "."], ["add", "."], ["commit", "-q", "-m", "as it was"]):
        git(*words)
    os.chdir("..")
    Path("top").mkdir()
    os.chdir("top")
    write('[[run]]\nname = "r"\nfrom = "sub/t.yaml"\nparams = "1B"\ntokens = { key = "a" }\n' + POLICY)
    git("init", "-q", "-b", "main", ".")
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", "../apart", "sub")
    git("add", ".")
    git("commit", "-q", "-m", "as it was")
    write("a: 90e9\n", "sub/t.yaml")
    result = cli("diff", "--base", "main", "--fail-on", "flops increase > 10%")
    assert (result.status, result.out) == (2, "")
    assert "sub/t.yaml" in result.err


@pytest.mark.parametrize("then, now", [("link", "file"), ("file", "link"), ("link", "link"), ("folder", "folder")])
def test_a_link_is_read_as_each_side_has_it(cli, git, then, now):
    """A file that became a link, or the reverse, does not make the base look broken or absent."""

    def put(kind, text):
        for name in ("scaleplan.toml", "runs"):
            Path(name).unlink(missing_ok=True)
        write(text, "real/scaleplan.toml" if kind != "file" else "scaleplan.toml")
        if kind == "link":
            Path("scaleplan.toml").symlink_to("real/scaleplan.toml")
        if kind == "folder":
            Path("runs").symlink_to("real")

    put(then, RUN + POLICY)
    git("init", "-q", "-b", "main", ".")
    git("add", ".")
    git("commit", "-q", "-m", "as it was")
    put(now, RUN.replace('"1B"', '"2B"') + POLICY)
    paths = ["runs"] if now == "folder" else []
    result = cli("diff", "--base", "main", "--fail-on", "params increase > 10%", "--json", *paths)
    assert (result.status, status(result)) == (1, "violated")


def test_another_name_does_not_hide_a_change(cli, base):
    """Of a run that is new where another is gone, a change of what has no sum cannot be judged."""
    other = RUN.replace('"r"', '"s"')
    base(scaleplan_toml=RUN + other)
    write(RUN.replace('"r"', '"t"').replace('"1B"', '"8B"') + other)
    change = ("--fail-on", "params increase > 10%", "--json")
    result = cli("diff", "--base", "main", *change)
    judged = [(each["run"], each["status"]) for each in json.loads(result.out)["judged"]]
    assert (result.status, judged) == (2, [("t", "error"), ("s", "pass")])
    write(RUN + other + RUN.replace('"r"', '"t"'))
    assert cli("diff", "--base", "main", *change).status == 0, "a run that is added has nothing to be compared with"


def test_two_files_have_no_base_to_excuse(cli):
    """Of two files that were named, one that cannot be planned is an error on either side."""
    write(RUN, "a.toml")
    write(RUN.replace('"1B"', '"nonsense"'), "b.toml")
    for files in (("a.toml", "b.toml"), ("b.toml", "a.toml")):
        result = cli("diff", *files, "--json")
        assert (result.status, status(result)) == (2, "unreadable")


def test_a_saved_check_with_an_unreadable_run_is_compared_as_that(cli):
    """It is not taken for a run that came or went."""
    write(RUN + RUN.replace('"r"', '"y"').replace('"1B"', '"nonsense"'))
    Path("a.json").write_text(cli("check", "--json", "-q").out)
    write(RUN + RUN.replace('"r"', '"y"'))
    Path("b.json").write_text(cli("check", "--json", "-q").out)
    result = cli("diff", "a.json", "b.json", "--json", "--fail-on", "flops increase > 10%")
    data = json.loads(result.out)
    assert (result.status, data["status"]) == (2, "unreadable")
    assert {each["run"] for each in data["changes"]} == {"r"}


def test_a_run_with_another_name_is_a_change(cli):
    """Two projects with one run each: the name is what changed."""
    write(RUN, "a.toml")
    write(RUN.replace('"r"', '"s"'), "b.toml")
    result = cli("diff", "a.toml", "b.toml")
    assert "another name" in result.out
    assert "nothing changed" not in result.out
    assert {each["status"] for each in json.loads(cli("diff", "a.toml", "b.toml", "--json").out)["changes"]} == {
        "renamed"
    }


def test_a_threshold_that_no_run_can_be_judged_by_is_an_error(cli):
    """Two runs renamed at once have no loss that rose or fell, and no pass either."""
    write(RUN + RUN.replace('"r"', '"s"'), "a.toml")
    write(RUN.replace('"r"', '"t"') + RUN.replace('"r"', '"u"'), "b.toml")
    result = cli("diff", "a.toml", "b.toml", "--fail-on", "loss increase > 1%", "--json")
    assert (result.status, status(result)) == (2, "unreadable")


def test_projects_without_runs_cannot_be_compared(cli):
    """Nothing on both sides is not "nothing changed"."""
    write("", "a.toml")
    result = cli("diff", "a.toml", "a.toml")
    assert (result.status, "no run" in result.err) == (2, True)


@pytest.mark.parametrize(
    "before, after, place",
    [
        ('gpu = "a100-sxm4-80gb"\n', 'gpu = "h100-sxm"\n', ("scaleplan.toml", 5)),
        ('gpu = "h100-sxm"\nmfu = 0.5\n', 'gpu = "h100-sxm"\nmfu = 0.4\n', ("scaleplan.toml", 6)),
        ("", "", ("train.yaml", 3)),
    ],
)
def test_a_comparison_points_at_the_key_that_changed(cli, base, before, after, place):
    """Not at the first of those that the quantity follows from."""
    tokens = '{ batch = "a", sequence = "b", steps = "c", from = "train.yaml" }'
    run = f'[[run]]\nname = "r"\nparams = "1B"\ntokens = {tokens}\n'
    base(scaleplan_toml=run + before, train_yaml="a: 8\nb: 4096\nc: 1000\n")
    write(run + after)
    if before == after:
        write("a: 8\nb: 4096\nc: 2000\n", "train.yaml")
    quantity = "gpu_hours" if before != after else "flops"
    result = cli("diff", "--base", "main", "--fail-on", f"{quantity} change > 0", "--json")
    first = json.loads(result.out)["judged"][0]["places"][0]
    assert (first["file"], first["line"]) == place
    first_line = cli("diff", "--base", "main", "--fail-on", f"{quantity} change > 0", "--format", "github").out
    assert first_line.startswith(f"::error file={place[0]},line={place[1]},")


def test_a_run_that_moved_in_its_file_is_not_a_change(cli, base):
    """A new run above it does not make every key of it look changed."""
    run = '[[run]]\nname = "r"\nparams = "1B"\ntokens = "20B"\ngpu = "h100-sxm"\nmfu = 0.5\n'
    base(scaleplan_toml=run)
    write(RUN.replace('"r"', '"s"') + run.replace("mfu = 0.5", "mfu = 0.4"))
    data = json.loads(cli("diff", "--base", "main", "--json", "--fail-on", "gpu_hours change > 0").out)
    (judged,) = [each for each in data["judged"] if each["run"] == "r"]
    assert (judged["places"][0]["line"], judged["places"][0]["key"]) == (10, "run[1].mfu")


@pytest.mark.parametrize("name", ["k13-broken-base.sh", "k13-one-unreadable-run.sh"])
def test_the_scripts_of_a_broken_base_end_as_they_should(cli, name, tmp_path, monkeypatch):
    """The commands up to the last git commit and the last project file, then ours."""
    if not CASES.is_dir():
        pytest.skip("the shared folder is not here")
    lines = [line for line in (CASES / name).read_text().splitlines() if not line.startswith("scaleplan ")]
    subprocess.run(["sh", "-ec", "\n".join(lines)], check=True, capture_output=True)
    checked = cli("check", "--json", "-q")
    compared = cli("diff", "--base", "main", "--fail-on", "cost increase > 10%", "--json")
    if "broken" in name:
        assert (checked.status, compared.status, status(compared)) == (0, 0, "base_unreadable")
    else:
        assert (checked.status, compared.status, status(compared)) == (2, 2, "unreadable")
        assert [each["run"] for each in json.loads(compared.out)["judged"]] == ["x", "y"]


# --- what a saved check may hold


def saved_check(cli):
    """Return the JSON of a check."""
    write('[defaults]\ngpu = "h100-sxm"\n' + RUN + POLICY)
    return json.loads(cli("check", "--json", "-q").out)


@pytest.mark.parametrize(
    "path, value",
    [
        (("runs", 0, "values", "cost"), "x"),
        (("runs", 0, "values", "cost"), -1),
        (("runs", 0, "values", "cost"), 1e308),
        (("runs", 0, "values", "params"), True),
        (("runs", 0, "preset"), 5),
        (("runs", 0, "line"), "3"),
        (("verdicts", 0, "also"), 5),
        (("verdicts", 0, "line"), 2.5),
    ],
)
def test_a_damaged_value_of_a_saved_check_is_named_with_its_line(cli, path, value):
    """Exit status 2, with the value, its key, the file and the line; the check beside it is whole."""
    whole = saved_check(cli)
    Path("whole.json").write_text(json.dumps(whole, indent=2))
    place = whole
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    text = json.dumps(whole, indent=2)
    Path("damaged.json").write_text(text)
    result = cli("diff", "damaged.json", "whole.json")
    assert result.status == 2
    key = str(path[-1])
    line = next(i for i, each in enumerate(text.splitlines(), 1) if f'"{key}": {json.dumps(value)}' in each)
    assert f"damaged.json:{line}: " in result.err
    assert key in result.err
    assert str(value)[:3] in result.err


JUNK = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**30)
    | st.floats()
    | st.text(max_size=3)
    | st.just([])
    | st.just({})
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_to_a_saved_check_is_a_bug_of_ours(cli, data):
    """Whatever replaces a value anywhere, diff and show answer or refuse."""
    if not Path("whole.json").exists():
        Path("whole.json").write_text(json.dumps(saved_check(cli)))
    document = json.loads(Path("whole.json").read_text())
    place, key = document, data.draw(st.sampled_from(sorted(document)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(JUNK)
    Path("damaged.json").write_text(json.dumps(document))
    for arguments in (
        ("diff", "damaged.json", "whole.json", "--fail-on", "cost increase > 1%"),
        ("diff", "whole.json", "damaged.json", "--json"),
    ):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            assert execute(list(arguments)) in (0, 1, 2), err.getvalue()
        assert "Infinity" not in out.getvalue()


# --- what a run may read


SECRET = "Hunter2-of_Another File"  # names are looked up in lower case, and would be quoted so


@pytest.fixture
def secrets(tmp_path, git):
    """Return names of files with a secret, outside the project and reached from inside it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.yaml").write_text(f"password: {SECRET}\nn: 7\n")
    (outside / "config.json").write_text(json.dumps({"model_type": SECRET}))
    (outside / "law.toml").write_text(f'form = "{SECRET}"\n')
    git("init", "-q", ".")
    Path("linked.yaml").symlink_to(outside / "secret.yaml")
    Path("folder").symlink_to(outside)
    Path("inside.yaml").write_text((outside / "secret.yaml").read_text())
    Path("model.json").write_text(json.dumps({"model_type": SECRET, "hidden_size": SECRET}))
    Path(".git/x.toml").write_text(f'password = "{SECRET}"\nn = 7\n')
    return outside


@pytest.mark.parametrize(
    "name", ["../outside/secret.yaml", "linked.yaml", "folder/secret.yaml", "{}/secret.yaml", ".git/x.toml"]
)
def test_a_run_reads_nothing_outside_its_repository(cli, secrets, name):
    """Not by a relative or absolute path, not through a link, and not what git keeps."""
    name = name.format(secrets)
    write(RUN.replace('"20B"', f'{{ key = "n", from = "{name}" }}') + POLICY)
    result = cli("check", "--format", "github", "-q")
    assert (result.status, "outside the project" in result.out) == (2, True)


@pytest.mark.parametrize(
    "line", ['model = "../outside/config.json"', 'model = "folder"', 'params = "1B"\npreset = "../outside/law.toml"']
)
def test_neither_do_its_model_and_its_law_come_from_outside(cli, secrets, line):
    """They are files of the repository too."""
    write(f'[[run]]\nname = "r"\ntokens = "20B"\n{line}\n' + POLICY)
    result = cli("check", "--format", "github", "-q")
    assert (result.status, "outside the project" in result.out) == (2, True)


def test_a_project_in_a_folder_reads_the_repository_around_it(cli, git):
    """The configs may lie beside the folder of the project's file, as long as a repository holds both."""
    write("n: 20_000_000_000\n", "configs/train.yaml")
    write(RUN.replace('"20B"', '{ key = "n", from = "../configs/train.yaml" }') + POLICY, "plans/scaleplan.toml")
    assert cli("check", "plans", "-q").status == 2
    git("init", "-q", ".")
    assert cli("check", "plans", "-q").status == 0


@pytest.mark.parametrize(
    "option",
    [
        "unique_tokens",
        "gpus",
        "region",
        "precision",
        "price",
        "mfu",
        "preset",
        "gpu",
        "profile",
        "measured",
        "goodput",
    ],
)
@pytest.mark.parametrize("name", ["text", "json", "github", "sarif"])
def test_the_value_of_another_file_is_never_quoted(cli, secrets, option, name):
    """A message names the file, the line and the key, in every format and on standard error."""
    lines = {"gpu": '"h100-sxm"', "gpus": "8", option: '{ key = "password", from = "inside.yaml" }'}
    write(RUN + "".join(f"{key} = {value}\n" for key, value in lines.items()) + POLICY)
    result = cli("check", "--format", name)
    assert result.status == 2
    assert "another" not in (result.out + result.err).casefold()
    assert "inside.yaml" in result.out
    assert "password" in result.out


@pytest.mark.parametrize("model", ['"model.json"', '{ key = "password", from = "inside.yaml" }'])
def test_neither_is_what_a_model_s_file_holds(cli, secrets, model):
    """Nor the name of a model that stands in a config."""
    write(f'[[run]]\nname = "r"\ntokens = "20B"\nmodel = {model}\n' + POLICY)
    result = cli("check", "--format", "github")
    assert result.status == 2
    assert "another" not in (result.out + result.err).casefold()


def test_an_amount_that_is_badly_written_is_quoted(cli):
    """What is an amount is no secret, and the person who mends it needs to see it."""
    write("max_duration: 50e9T\n", "train.yaml")
    write(RUN.replace('"20B"', '{ key = "max_duration", from = "train.yaml" }') + POLICY)
    result = cli("check", "--format", "github", "-q")
    assert result.status == 2
    assert result.out.startswith("::error file=train.yaml,line=1,")
    assert "'50e9T'" in result.out
    assert "50T" in result.out
    assert "50e9" in result.out


@pytest.mark.parametrize("amount", ["5e12T", "2e12T", "5 e12T", "5e12 T", "1e3B", "1e17", "20000T", "1" + "0" * 17])
@pytest.mark.parametrize("option", ["params", "tokens"])
@pytest.mark.parametrize("ending", ["toml", "yaml", "json"])
def test_an_amount_that_could_be_two_or_is_absurd_is_refused_wherever_it_stands(cli, amount, option, ending):
    """In the project's file and in a training config alike."""
    quoted = json.dumps(amount)
    text = {"toml": f"n = {quoted}\n", "yaml": f"n: {quoted}\n", "json": f'{{"n": {quoted}}}'}[ending]
    write(text, f"c.{ending}")
    old = {"params": '"1B"', "tokens": '"20B"'}[option]
    for value in (quoted, f'{{ key = "n", from = "c.{ending}" }}'):
        write(RUN.replace(old, value))
        result = cli("check", "--json", "-q")
        assert (result.status, status(result)) == (2, "unreadable")
        verdict = json.loads(result.out)["verdicts"][0]
        assert (verdict["file"], verdict["line"]) == (
            (f"c.{ending}", 1) if "key" in value else ("scaleplan.toml", 3 if option == "params" else 4)
        )


def test_the_home_folder_and_the_environment_open_no_gate(cli, monkeypatch):
    """Settings of a person do not make a project pass."""
    write(RUN.replace('"1B"', '"8B"') + POLICY)
    for name, value in (("FORMAT", "json"), ("PRESET", "kaplan-2020"), ("GPU", "h100-sxm")):
        monkeypatch.setenv(f"SCALEPLAN_{name}", value)
    assert cli("check").status == 1
    assert os.environ["SCALEPLAN_GPU"]


@pytest.mark.parametrize("name", ["jsonl", "csv", "tsv"])
def test_rows_of_changes_leave_no_unread_run_unsaid(cli, name):
    """Rows have no place for a run that cannot be planned: it is said beside them, and not by a status alone."""
    for file in ("before.toml", "after.toml"):
        write(RUN + 'bits_weights = "C4"\n', file)
    result = cli("diff", "before.toml", "after.toml", "--format", name)
    assert (result.status, result.out.strip()) == (2, "")
    first, second = result.err.splitlines()
    assert first.startswith("warning: before: run 'r' cannot be planned: ")
    assert "; hint: " in first
    assert second.startswith("warning: after: run 'r' cannot be planned: ")


def test_a_folder_whose_name_is_no_text_is_compared_all_the_same(cli, git, tmp_path, monkeypatch):
    """Git answers with the bytes of the name, which need be in no encoding."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/odd-\xe9")
    try:
        Path(folder).mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    monkeypatch.chdir(folder)
    write(RUN + POLICY)
    git("init", "-q", "-b", "main", ".")
    git("add", ".")
    git("commit", "-q", "-m", "as it was")
    write(RUN.replace("20B", "40B") + POLICY)
    result = cli("diff", "--base", "main", "--fail-on", "tokens increase > 10%", "--json")
    assert (result.status, status(result)) == (1, "violated")
