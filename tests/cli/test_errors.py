"""One clear error for every mistake: its text, its JSON, its exit status, and nothing on standard output."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from scaleplan.cli.app import build
from scaleplan.files import data_folder

OPTIMAL = ("optimal", "--flops", "1e21")
CLUSTER = ("--gpus", "64", "--gpu", "h100-sxm", "--time", "30d")
GOOD = (data_folder() / "laws" / "besiroglu-2024.toml").read_text(encoding="utf-8")


def shown(value):
    return " ".join(value)[:60] if isinstance(value, tuple) else None


def refused(cli, *words, status=2):
    """Run in text and in JSON, check all that holds for every error, and return its text."""
    text, data = cli(*words), cli(*words, "--json")
    assert (text.status, text.out, data.status, data.out) == (status, "", status, "")
    lines = [line for line in text.err.splitlines() if not line.startswith("  ")]  # without the caret below an amount
    assert lines[0].startswith("error: ")
    if status == 2 or len(lines) > 1:  # what is wrong with a request comes with what to do
        assert len(lines) == 2
        assert lines[1].startswith("hint: ")
        assert len(lines[1]) > len("hint: ")
    error = data.error
    assert list(error) == ["schema", "code", "message", "hint"]
    assert error["schema"] == "scaleplan/error/1"
    assert lines[0] == f"error: {error['message']}"
    assert not error["message"].endswith(".")
    return text.err


@pytest.mark.parametrize(
    "amount",
    ["nan", "inf", "-inf", "-1", "0", "-0.0", "", " ", "1e400", "1" + "0" * 400, "1e-400", "1e21 FLOPS", "1E",
     "7 days", "1e21e1", "abc", "½", "1,00", "1e21\x1b[31m", "5e-324", "1e-3", "1e300"],
    ids=lambda amount: amount[:10].encode("unicode_escape").decode(),
)  # fmt: skip
def test_an_impossible_budget_is_refused(cli, amount):
    """Not a number, not above 0, no budget, out of any range."""
    refused(cli, "optimal", f"--flops={amount}")


@pytest.mark.parametrize(
    "words",
    [
        ("loss", "--params", "1e-3", "--tokens", "1T"),
        ("loss", "--params", "7B", "--tokens", "5e-324"),
        ("loss", "--params", "1e200", "--tokens", "1e200"),
        ("optimal", "--cost", "1e-300", "--gpu", "h100"),
        ("optimal", "--gpu-hours", "1e300", "--gpu", "h100", "--preset", "kaplan"),
    ],
    ids=shown,
)
def test_quantities_beyond_any_model_are_refused(cli, words):
    """Less than one parameter or token, or more compute than there can be."""
    refused(cli, *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("optimal",), "no budget"),
        (("optimal", "--flops", "1e21", "--gpu-hours", "1k", "--gpu", "h100"), "--flops and --gpu-hours"),
        (("optimal", "--flops", "1e21", *CLUSTER), "--flops and --gpus with --time"),
        (("optimal", "--gpu-hours", "1k"), "--gpu"),
        (("optimal", "--time", "30d", "--gpu", "h100"), "--gpus"),
        (("optimal", "--gpus", "8", "--gpu", "h100"), "--time"),
        (("optimal", "--cost", "1k", "--gpu", "h10"), "'h10'"),
        (("optimal", "--gpu-hours", "1k H100-hours", "--gpu", "a100"), "a100"),
        ((*OPTIMAL, "--mfu", "0.4"), "--gpu"),
        (("optimal", *CLUSTER, "--mfu", "40"), "40"),
        (("optimal", *CLUSTER, "--precision", "fp7"), "'fp7'"),
        (("optimal", *CLUSTER, "--profile", "best"), "'best'"),
        (("optimal", "--gpus", "1.5", "--time", "1d", "--gpu", "h100"), "1.5"),
        ((*OPTIMAL, "--level", "1.5"), "1.5"),
        (("loss", "--params", "7B", "--tokens", "2T", "--gpu", "h100", "--goodput", "5e-324"), "4.94066e-324"),
        (
            (
                "loss",
                "--params",
                "7B",
                "--tokens",
                "2T",
                "--gpu",
                "h100",
                "--gpus",
                "8",
                "--shape",
                "--context",
                "1e308",
            ),
            "1e308",
        ),
        ((*OPTIMAL, "--level", "0"), "0"),
        ((*OPTIMAL, "--overhead", "-1"), "-1"),
        ((*OPTIMAL, "--preset", "gadre-2024-c4"), "must not choose"),
        ((*OPTIMAL, "--limit", "params"), "params"),
        ((*OPTIMAL, "--limit", "size <= 7B"), "size"),
        ((*OPTIMAL, "--color", "maybe"), "'maybe'"),
        ((*OPTIMAL, "extra"), "extra"),
        (("loss", "--params", "7B"), "--tokens"),
        (("loss", "--params", "7B", "--tokens", "1T", "--preset", "llama3-2024"), "no loss"),
        (("target",), "no goal"),
        (("target", "--loss", "2.1", "--params", "7B"), "--loss and --params"),
        (("target", "--loss", "2.1", "--preset", "llama3-2024"), "no loss"),
        (("sweep", "--from", "1e24", "--to", "1e18"), "empty"),
        (("sweep", "--from", "1e18", "--to", "1e24", "--points", "1"), "2 to"),
        (("sweep", "--from", "1e18", "--to", "1e24", "--by", "params"), "'params'"),
        (("compare", "--flops", "1e21", "--preset", "nosuch"), "'nosuch'"),
        (("compare", "--flops", "1e21", "--count", "active"), "'active'"),
        (("convert",), ""),
        (("presets", "show", "nosuch"), "'nosuch'"),
        (("presets", "list", "--form", "nosuch"), "'nosuch'"),
        (("gpus", "show", "nosuch"), "'nosuch'"),
        (("nosuch",), "'nosuch'"),
        (("optimal", "-", "--flops", "1e21"), "two budgets"),
        (("optimal", "--flops", "-", "--cost", "-", "--gpu", "h100"), "more than one budget"),
        ((*OPTIMAL, "--shape", "--batch", "1e-300"), "1e-300"),
        (("target", "--params", "1e-300"), "1e-300"),
        (("target", "--tokens", "0.5"), "0.5"),
        (("break-even", "--loss", "2.1", "--from", "1e-300"), "1e-300"),
        (("vocab", "--params", "1e300"), "1e300"),
        (("vocab", "--params", "7B", "--flops", "1e-300"), "1e-300"),
        (("check", "x" * 3000), "too long"),
        (("init", "x" * 3000), "too long"),
    ],
    ids=shown,
)
def test_a_wrong_request_is_refused_with_the_reason(cli, words, said):
    """One clear error that repeats what was wrong."""
    assert said in refused(cli, *words)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ((*OPTIMAL, "--preset", "besiroglu-2042"), "besiroglu-2024"),
        ((*OPTIMAL, "--preset", "chinchila"), "chinchilla"),
        (("optimal", "--cost", "1M", "--gpu", "h100-smx"), "h100-sxm"),
        (("optimal", "--flop", "1e21"), "--flops"),
        ((*OPTIMAL, "--format", "jsn"), "json"),
        ((*OPTIMAL, "--get", "tokns"), "tokens"),
        ((*OPTIMAL, "--get", "interval.los.low"), "interval.loss.low"),
        (("compare", "--flops", "1e21", "--preset", "kaplan-2002"), "kaplan-2020"),
        (("optimall", "--flops", "1e21"), "optimal"),
        (("presets", "lst"), "list"),
    ],
    ids=shown,
)
def test_a_misspelt_name_is_met_with_the_closest(cli, words, meant):
    """Commands, options, presets, accelerators, formats and fields."""
    found = cli(*words)
    assert (found.status, found.out) == (2, "")
    hint = found.err.splitlines()[-1]
    assert re.match(r"hint: .*did you mean", hint, re.IGNORECASE)
    assert f"'{meant}'" in hint or f"{meant}?" in hint


def test_a_wrong_format_and_an_option_without_its_value_are_refused(cli):
    """What JSON cannot be asked together with."""
    for words, said in (((*OPTIMAL, "--format", "xml"), "'xml'"), ((*OPTIMAL, "--params"), "--params")):
        found = cli(*words)
        assert (found.status, found.out) == (2, "")
        assert said in found.err


@pytest.mark.parametrize("words", [("--format", "sarif"), ("--format", "jsn"), ("--color", "maybe")], ids=shown)
def test_no_file_is_written_by_a_request_that_is_refused(cli, words):
    """How the answer is to be written is looked at before the work."""
    assert cli("init", *words).status == 2
    assert cli("shape", "1B", "-o", "config.json", *words).status == 2
    assert [*Path().iterdir()] == []


@pytest.mark.parametrize("value", ["1e999", "NaN", "9" * 400, '"many"', "{}"])
@pytest.mark.parametrize("key", ["params", "epochs"])
def test_a_saved_plan_with_a_value_that_is_no_number_is_refused(cli, key, value):
    """Where it is shown, and where it would be subtracted."""
    plan = cli(*OPTIMAL, "--unique-tokens", "10B", "--json").json
    text = json.dumps(plan | {key: "here"}).replace('"here"', value)
    Path("plan.json").write_text(text, encoding="utf-8")
    refused(cli, "show", "plan.json")
    refused(cli, "diff", "plan.json", "plan.json")


def test_no_is_status_one(cli):
    """A loss that no budget reaches, and limits that no model satisfies within the budget, are answers."""
    assert "1.8172" in refused(cli, "target", "--loss", "1.5", status=1)  # the floor of the default law
    refused(cli, "optimal", "--flops", "1e12", "--limit", "params >= 1T", status=1)
    both = refused(cli, *OPTIMAL, "--limit", "params <= 1B", "--limit", "params >= 2B", status=1)
    assert "params <= 1B" in both
    assert "params >= 2B" in both


def test_a_bug_of_ours_is_status_seventy(cli, monkeypatch):
    """One line, where to go from here, and no traceback."""

    def broken(**_):
        raise RuntimeError("\x1b[31mboom")

    monkeypatch.setattr("scaleplan.api.optimal", broken)
    found = cli(*OPTIMAL)
    assert (found.status, found.out) == (70, "")
    assert "internal error: RuntimeError" in found.err
    assert "--debug" in found.err
    assert "\x1b" not in found.err
    assert "Traceback" not in found.err


def test_debug_shows_the_traceback(process):
    """Of errors of the user as well: that is what it is for."""
    command, environment = process("optimal", "--flops", "nan", "--debug")
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode != 0
    assert found.stdout == ""
    assert "Traceback" in found.stderr


def test_a_caret_points_at_what_cannot_be_read(cli):
    """Under the offending characters of the amount, behind its option, since '0' alone may be any."""
    lines = cli("optimal", "--flops", "1e21 FLOPS").err.splitlines()
    assert lines[1:3] == ["  --flops 1e21 FLOPS", "               ^^^^^"]
    assert cli("design", "--flops=1e18", "--target=0").err.splitlines()[1:3] == ["  --target 0", "           ^"]


def test_a_caret_names_no_option_that_may_not_be_meant(cli):
    """Two options have the text; a value of a list is only a part of one."""
    both = cli("loss", "--params", "0", "--tokens", "0").err.splitlines()
    assert both[1:3] == ["  0", "  ^"]


@pytest.mark.parametrize(
    "text",
    ["\x1b[31mred\x1b[0m", "[bold red]x[/]", "a\nb", "\u202e7B", "x" * 5000, "\ud800", "\x00"],
    ids=lambda text: text[:10].encode("unicode_escape").decode(),
)
def test_hostile_texts_come_back_inert(cli, text):
    """Nothing that a person or a file says steers the terminal, and no message is as long as its cause."""
    for words in (
        ("optimal", "--flops", text),
        (*OPTIMAL, "--preset", text),
        (*OPTIMAL, "--get", text),
        (*OPTIMAL, "--limit", text),
        (*OPTIMAL, "--format", text),
        (*OPTIMAL, f"--{text}"),
        ("optimal", "--cost", "1", "--gpu", text),
        (text,),
    ):
        found = cli(*words)
        assert (found.status, found.out) == (2, "")
        assert all(line.isprintable() for line in found.err.splitlines())
        assert len(found.err) < 1000
        found.err.encode()


BAD = """
loss --model 7B --tokens 1T                 | --params 7B
model 7B                                    | scaleplan shape 7B
model confg.json                            | did you mean 'config.json'
fit rusn.csv                                | did you mean 'runs.csv'
fit nodir/runs.csv                          | there is no folder 'nodir'
fit runs.csv --tokens-per-step 524288       | 'scaleplan runs LOGS --tokens-per-step … -o runs.csv' takes it
backtest absent.csv                         | looked for in this folder
show absent.json                            | looked for
diff absent.json absent.json                | looked for
optimal --flops 1e21 --preset ./absent.toml | looked for
optimal --flops 1e21 --json --format jsonl  | give one of them
optimal --flops 1e21 --json --format text   | give one of them
presets list --json --format csv            | give one of them
optimal --flops 1e21 --no-color --color auto | give one of them
marginal --flops 1e21 --get factor          | --format csv
marginal --flops 1e21 --doublings 1000      | scaleplan marginal --help
sweep --from 1e18 --to 1e20 --points 0      |
fit runs.csv --where 'params ~ ['           |
fit runs.csv --where 'params < x'           |
fit runs.csv --map 'params=x'               |
fit runs.csv --delta -1                     |
fit runs.csv --title ''                     |
fit runs.csv --target 1e22 --form power --x params |
fit empty.csv                               |
fit heads.csv                               |
model broken.json                           |
model empty.json                            |
memory 7B --gpus 1.5                        |
memory 7B --tensor 3 --gpus 8               |
shape 7B --kv-heads 0                       |
shape 7B --experts 4 --experts-per-token 8  |
vocab --params 0                            |
hyperparameters                             |
precisions                                  |
evaluate besiroglu-2024                     |
evaluate besiroglu-2024 params=7B,8B tokens=2T |
convert --flops 1e21 --to carbon            |
plot residuals                              |
plot frontier -o nowhere/x.png              |
report --flops 1e21 -o nowhere/x.html       |
init nowhere/scaleplan.toml                 |
check broken.toml                           |
design --flops 1e20 --target 1e22 --seeds 0 |
design --flops 1e20 --target 1e22 --limit 'params <= 1' |
break-even                                  |
optimal --flops 1e21 --experts 1.5 --preset joint-moe-2025 |
optimal --flops 1e21 --train-bits 64        |
optimal --gpus 0.5 --time 1d --gpu h100-sxm |
presets validate                            |
gpus show                                   |
""".strip().splitlines()


@pytest.mark.parametrize("line", BAD, ids=lambda line: line.partition("|")[0].strip())
def test_every_refusal_says_what_to_do(cli, line):
    """A hint with each error of a request or a file, in text and as JSON."""
    for name, text in {
        "config.json": "{}", "empty.json": "", "broken.json": "{", "broken.toml": "[", "empty.csv": "",
        "heads.csv": "params,tokens,loss\n", "runs.csv": "params,tokens,loss\n1e7,1e8,3\n2e7,1e8,2.9\n",
    }.items():  # fmt: skip
        Path(name).write_text(text)
    words, _, hint = (part.strip() for part in line.partition("|"))
    text, data = cli(*shlex.split(words)), cli(*shlex.split(words), "--format", "json")
    assert (text.status, text.out) == (2, "")
    assert hint in text.err.splitlines()[-1]
    if "--json" in words:
        assert text.error["hint"]
        return
    assert text.err.splitlines()[-1].startswith("hint: ")
    assert hint in data.error["hint"]


def test_one_of_several_is_written_as_one(cli):
    """Never ``1 devices``: in the words of plans and of lists."""
    for words in (
        ("optimal", "--gpus", "1", "--gpu", "h100-sxm", "--time", "1d"),
        ("sweep", "--from", "1e18", "--to", "1e19", "--points", "2"),
        ("presets", "list", "--form", "kaplan"),
        ("presets", "validate", "x.toml"),
        ("convert", "--gpu-hours", "24", "--gpu", "h100-sxm", "--gpus", "1"),
    ):
        found = cli(*words)
        assert not re.search(r"(?<![\d.,])1 (?!x )[a-z]+s\b", found.out), found.out


ASKED = {
    "optimal": "--gpus 8 --gpu h100-sxm --time 30d --shape",
    "loss": "--params 7B --tokens 2T --gpu h100-sxm --gpus 64 --shape",
    "target": "--params 7B --gpu h100-sxm --gpus 8",
    "sweep": "--from 1e18 --to 1e20 --points 3",
    "compare": "--flops 1e22 --preset kaplan",
    "break-even": "--params 7B --points 2",
    "hyperparameters": "--flops 1e21",
    "precisions": "--cost 250k --gpu b200",
    "vocab": "--params 7B",
    "convert": "--flops 1e24 --gpu h100-sxm --gpus 512",
    "shape": "1B",
    "marginal": "--flops 1e21",
    "memory": "1B --gpu h100-sxm --gpus 8",
}


@pytest.mark.parametrize("command", ASKED)
@pytest.mark.filterwarnings("error")
def test_no_number_however_small_or_large_is_a_bug(cli, command):
    """Each option with a value, at the ends of what a float holds and beyond: an answer without NaN, or an error."""
    values = ["5e-324", "1e-300", "2e-16", "1e155", "1e308", "1e400", "nan", "-1", "0"]
    for number, option in enumerate(build(command).params):
        if option.param_type_name != "option" or option.is_flag or option.name in ("format", "color", "get"):
            continue
        name = max(option.opts, key=len)
        words = shlex.split(ASKED[command])
        if name in words:
            del words[words.index(name) : words.index(name) + 2]
        for value in (values[number % 9], values[(number + 4) % 9]):
            found = cli(command, *words, f"{name}={value}", "--json")
            assert found.status in (0, 1, 2), (name, value, found.err)
            assert "internal" not in found.err
            if found.out:
                assert found.json


# ---- files -----------------------------------------------------------------------------------------------------


def law_file(text, name="law.toml"):
    Path(name).write_text(text, encoding="utf-8")
    return f"./{name}"


def test_a_preset_file_by_path_is_used(cli):
    """With its own id, and markup in its texts shown as it stands."""
    text = GOOD.replace('id = "besiroglu-2024"', 'id = "mine"').replace('title = "', 'title = "[bold]x[/] ')
    found = cli(*OPTIMAL, "--preset", law_file(text), "--json")
    assert found.json["preset"] == "mine"
    assert found.json["params"] == cli(*OPTIMAL, "--json").json["params"]
    assert "[bold]x[/]" in cli("presets", "show", "./law.toml", "--color", "always").out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('form = "additive"', 'form = "aditive"', "did you mean 'additive'"),
        ('form = "additive"\n', "", "form"),
        ("schema = 1", "schema = 3", "schema"),
        ("schema = 1", 'schema = "1"', "schema"),
        ("\nalpha = ", "\nalpah = ", "alpha"),
        ("\nalpha = 0.3478", '\nalpha = "0.3478"', "coefficients.alpha"),
        ("\nalpha = 0.3478", "\nalpha = -0.3478", "coefficients.alpha"),
        ("\nalpha = 0.3478", "\nalpha = nan", "coefficients.alpha"),
        ("\nalpha = 0.3478", "\nalpha = inf", "coefficients.alpha"),
        ("\nalpha = 0.3478", "\nalpha = true", "coefficients.alpha"),
        ("[coefficients]", "[coefficients]\nomega = 1.0", "omega"),
        ("[conventions]", "[conventions", "TOML"),
        ("[conventions]", "[konventions]", "conventions"),
        ('params = "total"', 'params = "all"', "conventions.params"),
        ('flops = "6ND"', 'flops = "6NDD"', "conventions.flops"),
        ("schema = 1", "schema = 1\nschema = 1", "TOML"),
        ("schema = 1", "schema = 1\ncolour = 'red'", "colour"),
        ('title = "', 'title = "\\u001b[31m', "title"),
        ('id = "besiroglu-2024"', 'id = "\\u001b[31m"', "id"),
    ],
)
def test_a_wrong_preset_file_is_refused_with_the_key(cli, old, new, said):
    """Wrong types, missing and unknown keys, values out of their domain, broken TOML."""
    assert old in GOOD
    message = refused(cli, *OPTIMAL, "--preset", law_file(GOOD.replace(old, new, 1)))
    assert said in message
    assert "law.toml" in message


@pytest.mark.parametrize("alpha", ["1e9", "300.0"])
def test_coefficients_beyond_the_range_of_numbers_are_refused(cli, alpha):
    """In the domain of the form, and still of no use: an error, and neither infinity nor a bug."""
    text = GOOD.replace("\nalpha = 0.3478", f"\nalpha = {alpha}")
    message = refused(cli, *OPTIMAL, "--preset", law_file(text))
    assert "range" in message or "no run is like that" in message


def test_what_is_no_preset_file_is_refused(cli):
    """A directory, nothing, a huge sparse file, binary, a device."""
    Path("folder.toml").mkdir()
    with Path("huge.toml").open("wb") as stream:
        stream.truncate(1_000_000_000)
    Path("binary.toml").write_bytes(bytes(range(256)))
    Path("empty.toml").write_bytes(b"")
    for name in (
        "./folder.toml",
        "./huge.toml",
        "binary.toml",
        "empty.toml",
        "absent.toml",
        "/dev/zero",
        "./",
        "a/b",
    ):
        refused(cli, *OPTIMAL, "--preset", name)


def test_validate_names_each_file_and_its_problem(cli):
    """Exit status 2 if any is invalid; the verdicts are the result, on standard output."""
    good, bad = law_file(GOOD, "good.toml"), law_file(GOOD.replace("\nalpha", "\nalpah"), "bad.toml")
    found = cli("presets", "validate", good, bad, "--json")
    assert found.status == 2
    assert [entry["valid"] for entry in found.json["files"]] == [True, False]
    assert cli("presets", "validate", good).status == 0


@pytest.mark.parametrize(
    "words", [OPTIMAL, ("presets", "list"), ("gpus", "list"), ("model", "gpt2"), ("families", "list")]
)
def test_a_file_is_no_folder_of_presets(cli, monkeypatch, words):
    """``SCALEPLAN_PRESETS`` names a folder; a file would be passed over, and so would what it is meant to add."""
    law_file(GOOD, "mine.toml")
    monkeypatch.setenv("SCALEPLAN_PRESETS", "mine.toml")
    found = cli(*words)
    assert (found.status, found.out) == (2, "")
    assert "SCALEPLAN_PRESETS names 'mine.toml', which is a file" in found.err
    assert "name the folder" in found.err


def test_the_users_own_folder_is_searched(cli, monkeypatch):
    """``SCALEPLAN_PRESETS`` holds further laws, by the names of their files; a broken one hides no other."""
    Path("laws").mkdir()
    own = re.sub(r"(?m)^aliases = .*$", 'aliases = ["ours"]', GOOD.replace('id = "besiroglu-2024"', 'id = "mine"'))
    law_file(own, "laws/mine.toml")
    monkeypatch.setenv("SCALEPLAN_PRESETS", "laws")
    assert cli(*OPTIMAL, "--preset", "mine", "--get", "preset").out == "mine\n"
    assert cli(*OPTIMAL, "--preset", "ours", "--get", "preset").out == "mine\n"
    assert "mine" in cli("presets", "list", "--get", "id").out.split()
    law_file("nonsense", "laws/broken.toml")
    assert cli(*OPTIMAL, "--preset", "ours", "--get", "preset").out == "mine\n"
    assert cli(*OPTIMAL).status == 0


@pytest.mark.parametrize(
    "text",
    ["[defaults]\nprest = 'kaplan'", "[defaults", "[defaults]\nlevel = true", "defaults = 1",
     "[defaults]\nlevel = 'x'", "[defaults]\nformat = 'xml'", "[defaults]\npreset = 'nosuch'",
     "[defaults]\nlevel = nan", "[defaults]\nlevel = []", "\x00"],
)  # fmt: skip
def test_a_wrong_settings_file_is_refused(cli, text):
    """Also when nothing else is wrong with the request."""
    Path("scaleplan.toml").write_text(text)
    found = cli(*OPTIMAL)
    assert (found.status, found.out) == (2, "")
    assert found.err.startswith("error: ")


def test_a_settings_file_that_cannot_be_read_is_refused(cli):
    """A directory in the user's own place is not taken for settings, and a huge file is not read."""
    place = Path(os.environ["XDG_CONFIG_HOME"]) / "scaleplan"
    place.mkdir(parents=True)
    with (place / "config.toml").open("wb") as stream:
        stream.truncate(1_000_000_000)
    assert "larger than" in refused(cli, *OPTIMAL)


@pytest.mark.parametrize(
    "question",
    [
        "init new.toml",
        "shape 7B -o config.json",
        "fit runs.csv --samples 0 -o law.toml",
        "plot isoflop --flops 1e21 -o picture.svg",
        "report --flops 1e21 -o page.html",
    ],
)
def test_a_field_that_there_is_not_is_refused_before_a_file_is_written(cli, question):
    """With an answer that can be shown the file is there, and the answer too."""
    sizes = [(n, k * n) for n in (1e7, 2e7, 4e7, 8e7) for k in (5, 20, 80)]
    rows = [f"{n:g},{d:g},{1.8 + 400 / n**0.34 + 1000 / d**0.34}" for n, d in sizes]
    Path("runs.csv").write_text("\n".join(["params,tokens,loss", *rows]))
    words = question.split()
    file = Path(words[-1])
    found = cli(*words, "--get", "nosuch")
    assert (found.status, found.out) == (2, "")
    assert "unknown field 'nosuch'" in found.err
    assert not file.exists()
    assert cli(*words, "--json").json["schema"].startswith("scaleplan/")
    assert file.exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("optimal", "--flops"), "--flops AMOUNT: total training compute: 1e21, 2.5 ZFLOP, 500 PF-days"),
        (("gpus", "compare", "--owned"), "--owned LIST: hardware of your own"),
        (("optimal", "--flops", "1e21", "-f"), "--format NAME: text, json, "),
        (("plot",), "PICTURE: what to draw: frontier, isoflop"),
        (("loss", "--params", "7B"), "--tokens D: training tokens: 2T"),
        (("version",), "did you mean '--version'?"),
        (("gpus", "nothing"), "'scaleplan gpus --help' lists the commands"),
        (("--gpus", "8"), "the command comes first: 'scaleplan optimal --gpus …'"),
        (("gpus", "compare", "--currency", "EUR"), "did you mean '--exchange-rate'?"),
        (("memory", "7B", "--time", "14d"), "did you mean '--hours'?"),
        (("optimal", "--time", "14d", "--gpu", "rtx-4090"), "such as --gpus 1"),
        (("optimal", "--loss", "2", "--flops", "1e21"), "it is an option of target, break-even, plot"),
        (("presets", "list", "--with", "x"), "'scaleplan presets list --help-all' lists the options"),
        (("report", "--params", "7B", "--tokens", "2T"), "'scaleplan loss' answers for them"),
        (("report", "--params", "7B", "--tokens", "2T"), "such as --flops 8.4e22"),
        (("optimal", "--gpu", "3060", "--gpus", "1", "--time", "2w"), "'scaleplan gpus list' lists them"),
    ],
    ids=lambda value: shown(value) or "",
)
def test_a_hint_says_what_goes_there(cli, words, hint):
    """A value or a word that is missing is explained in place, and what other tools call a thing leads to it."""
    done = cli(*words)
    assert done.status == 2
    assert f"hint: {hint}" in done.err or hint in done.err.split("hint: ")[1]
