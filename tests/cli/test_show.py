"""What ``show`` and ``diff`` read back: everything that ``--json`` writes, of every schema."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from scaleplan.errors import is_visible
from scaleplan.output import REPORTS
from scaleplan.project.saved import RESULTS, read_saved

CONFIG = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "intermediate_size": 11008, "vocab_size": 32000,
}  # fmt: skip
PROJECT = """
[[run]]
name = "base"
params = "7B"
tokens = "2T"
[policy]
error = ["tokens_per_param >= 20", "params <= 70B"]
warn = ["tokens <= 1T"]
"""
ASKED = {
    "plan": "optimal --flops 1e21",
    "shape of a plan": "optimal --flops 1e21 --gpu h100-sxm --shape",
    "constraints": "optimal --flops 1e22 --inference-tokens 1T --train-bits 8 --fp-format E4M3 --ptq-bits 4",
    "experts": "optimal --flops 1e22 --preset joint-moe-2025 --experts auto",
    "loss": "loss --params 7B --tokens 2T --unique-tokens 1T",
    "sweep": "sweep --from 1e18 --to 1e20 --points 3",
    "compare": "compare --flops 1e22",
    "one law": "compare --flops 1e22 --with kaplan",
    "break-even": "break-even --params 7B --points 3",
    "marginal": "marginal --flops 1e21",
    "conversion": "convert --flops 1e24 --gpu h100-sxm --gpus 512",
    "memory": "memory 7B --gpus 8",
    "serving": "memory 7B --gpus 8 --serve",
    "design": "design --flops 1e20 --target 1e22",
    "hyperparameters": "hyperparameters --flops 1e21",
    "precisions": "precisions --cost 250k --gpu b200",
    "vocabulary": "vocab --params 7B",
    "chart": "plot isoflop --flops 1e21",
    "report": "report --flops 1e21",
    "check": "check",
    "diff": "diff scaleplan.toml scaleplan.toml --fail-on 'cost increase > 10%'",
    "preset": "presets show chinchilla",
    "presets": "presets list",
    "gpu": "gpus show h100",
    "gpus": "gpus list",
    "paths": "presets path",
    "validation": "presets validate scaleplan.toml",
    "evaluation": "evaluate besiroglu-2024 params=7B tokens=2T",
    "model": "model config.json",
    "shape": "shape 7B",
}


@pytest.fixture
def folder(apart):
    """Fill the working folder with what the questions read."""
    Path("scaleplan.toml").write_text(PROJECT)
    Path("config.json").write_text(json.dumps(CONFIG))


@pytest.mark.parametrize("name", ASKED)
def test_a_saved_result_is_shown_as_it_was(cli, folder, name):
    """Byte for byte in every format; text too, where the record holds all that the text shows."""
    import shlex

    question = shlex.split(ASKED[name])
    saved = cli(*question, "--json").out
    Path("saved.json").write_text(saved)
    assert cli("show", "saved.json", "--json").out == saved
    formats = {"csv", "tsv", "jsonl", "markdown"} | ({"text"} if name != "report" else set())
    for form in formats:
        assert cli("show", "saved.json", "--format", form).out == cli(*question, "--format", form).out, form


@pytest.mark.parametrize("options", [(), ("--gpu", "h100-sxm", "--shape")], ids=["plain", "shape"])
def test_a_saved_plan_is_no_different_from_itself(cli, options):
    """``diff`` reads the same files as ``show``."""
    Path("p.json").write_text(cli("optimal", "--flops", "1e21", *options, "--json").out)
    same = cli("diff", "p.json", "p.json")
    assert (same.status, same.out) == (0, "p.json → p.json: nothing changed\n")


def test_lines_of_plans_are_read_as_several_plans(cli):
    """What ``--format jsonl`` writes is shown as the sweep that it came from."""
    sweep = ("sweep", "--from", "1e18", "--to", "1e20", "--points", "3")
    Path("plans.jsonl").write_text(cli(*sweep, "--format", "jsonl").out)
    assert cli("show", "plans.jsonl").out == cli(*sweep).out


def test_a_fit_is_kept_as_its_json(cli, folder):
    """Its JSON is unchanged; its text has the coefficients, but not the prediction, which is not in the JSON."""
    rows = [f"{n:g},{20 * n:g},{1.7 + 400 / n**0.34 + 2000 / (20 * n) ** 0.36}" for n in (1e7, 3e7, 1e8, 3e8, 1e9)]
    Path("runs.csv").write_text(
        "\n".join(["flops,loss,x", *(f"{6e18 * 4**i:g},{row.split(',')[2]},1" for i, row in enumerate(rows))])
    )
    saved = cli("fit", "runs.csv", "--form", "power", "--samples", "0", "--json")
    assert saved.status == 0, saved.err
    Path("saved.json").write_text(saved.out)
    assert cli("show", "saved.json", "--json").out == saved.out
    direct = cli("fit", "runs.csv", "--form", "power", "--samples", "0").out.splitlines()
    shown = cli("show", "saved.json").out.splitlines()
    assert shown[0] == direct[0]
    assert [line.split() for line in shown if line.startswith("  ")] == [
        line.split() for line in direct if line.startswith("  ") and "FLOP " not in line
    ]


@pytest.mark.parametrize("command", ["fit", "backtest"])
def test_a_saved_fit_or_backtest_of_a_surface_reads_like_a_new_one(cli, folder, command):
    """Coefficients, the plan at the target, the runs, the errors of the cuts: all of it is in the JSON."""
    sizes = [1e7 * 2**i for i in range(6)]
    rows = [
        f"{n},{r * n},{6 * n * r * n},{1.7 + 400 / n**0.34 + 2000 / (r * n) ** 0.36}"
        for n in sizes
        for r in (5, 20, 80)
    ]
    Path("runs.csv").write_text("\n".join(["params,tokens,flops,loss", *rows]))
    asked = (command, "runs.csv", "--samples", "0")
    direct = cli(*asked)
    assert direct.status == 0, direct.err
    Path("saved.json").write_text(cli(*asked, "--json").out)
    assert cli("show", "saved.json").out == direct.out


@pytest.mark.parametrize("schema", ["fit", "backtest"])
def test_a_saved_fit_that_lacks_keys_is_refused(cli, folder, schema):
    """An error of the user, and no traceback."""
    Path("saved.json").write_text(json.dumps({"schema": f"scaleplan/{schema}/1"}))
    shown = cli("show", "saved.json")
    assert (shown.status, shown.out) == (2, "")
    assert shown.err == f"error: a saved result of scaleplan/{schema}/1 has missing or wrong values\n"


def test_every_result_that_is_read_has_a_view():
    """One schema, one class, one view: a forgotten entry is found here."""
    for schema, place in RESULTS.items():
        if place is None:
            continue
        module, _, name = place.partition(":")
        assert getattr(import_module(module), name).schema == schema
        assert name in REPORTS
    for view in REPORTS.values():
        for place in filter(None, (view.report, view.judgements)):
            module, _, name = place.partition(":")
            assert callable(getattr(import_module(f"scaleplan.output.{module}"), name))


@pytest.mark.parametrize("schema", [name for name, place in RESULTS.items() if place is not None])
def test_a_result_without_its_keys_names_the_first_that_is_missing(schema):
    """The file, the key, and no traceback."""
    from scaleplan.errors import FileError

    with pytest.raises(FileError, match=r"^it: \w+: this key is missing$"):
        read_saved(json.dumps({"schema": schema}), name="it")


@pytest.mark.parametrize(
    ("command", "change"),
    [
        (("optimal", "--flops", "1e21"), {"params_convention": "x"}),
        (("model", "config.json"), {"flops_per_token": 0}),
        (("precisions", "--gpus", "8", "--gpu", "h100-sxm", "--time", "10d"), {"best": "x"}),
        (("presets", "show", "besiroglu-2024"), {"coefficients": {"E": [1]}}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_values_that_no_result_has_are_refused(cli, tmp_path, command, change):
    """A saved file that somebody changed is the user's, not a bug."""
    sizes = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2, "vocab_size": 100, "n_positions": 64}
    Path("config.json").write_text(json.dumps(sizes))
    saved = cli(*command, "--json", "--quiet").json | change
    (tmp_path / "s.json").write_text(json.dumps(saved))
    done = cli("show", tmp_path / "s.json")
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") <= 2


def test_names_of_files_and_laws_are_spelt_out(cli):
    """Where they come from outside: the file of runs and its columns, a preset, an error as JSON."""
    name = "a\u202eb\x9b.csv"
    rows = [f"{n:g},{20 * n:g},{1.8 + 400 / n**0.34 + 1000 / (20 * n) ** 0.34}" for n in (1e7, 2e7, 4e7, 8e7, 2e8)]
    Path(name).write_text("\n".join(["params,tokens,loss", *rows]))
    for words in (("fit", name, "--json"), ("fit", name), ("fit", name, "--format", "csv"), ("show", name, "--json")):
        found = cli(*words)
        assert all(is_visible(line) for line in (found.out + found.err).split("\n"))
    assert json.loads(cli("show", f"{name}\u2066", "--json").err)["code"] == "file"
