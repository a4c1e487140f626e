"""One question, one answer: the command line, Python, a project, a chart and a report agree to the last digit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import product

import pytest

import scaleplan as sp
from scaleplan.planning.context import Context
from scaleplan.planning.on_hardware import plan_budget, plan_run
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import Request

DENSE = {
    "model_type": "llama", "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22,
    "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 32000, "max_position_embeddings": 2048,
}  # fmt: skip
MIXTURE = {
    "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000, "num_local_experts": 8,
    "num_experts_per_tok": 2, "max_position_embeddings": 32768,
}  # fmt: skip
CONFIGS = {"dense": DENSE, "mixture": MIXTURE}

BUDGETS = {
    "a plain budget": {"flops": "1e21"},
    "hours": {"gpu_hours": "20k", "gpu": "h100-sxm"},
    "a cluster": {"gpus": 64, "time": "30d", "gpu": "h100-sxm"},
    "money": {"cost": "250k USD", "gpu": "a100-sxm-80"},
    "a price, a precision and a utilisation": {
        "cost": "50k", "gpu": "h100-sxm", "gpus": 16, "price": 2, "precision": "fp8", "mfu": 0.3, "goodput": 0.9
    },
    "an allocation law": {"flops": "1e22", "preset": "llama3-2024"},
    "a data limit": {"flops": "1e22", "unique_tokens": "20B"},
    "inference": {"flops": "1e22", "inference_tokens": "1T"},
    "inference in money": {"cost": "1M", "gpu": "h100-sxm", "inference_tokens": "1T", "inference_mfu": "5%"},
    "limits": {"flops": "1e22", "limit": ["tokens_per_param >= 40", "params <= 5B"]},
    "limits of hardware": {
        "flops": "1e22", "gpu": "h100-sxm", "gpus": 64, "limit": ["days <= 10", "memory_gb <= 20"]
    },
    "a mixture law": {"flops": "1e21", "preset": "joint-moe-2025", "experts": 8},
    "the best number of experts": {"flops": "1e21", "experts": "auto", "max_memory": "80GB"},
    "fewer bits": {"gpus": 8, "time": "10d", "gpu": "h100-sxm", "precision": "fp8", "train_bits": 8},
    "a fixed size": {"flops": "1e22", "params": "3B"},
}  # fmt: skip
RUNS = {
    "a size": {"params": "7B", "tokens": "1T"},
    "a size on hardware": {"params": "7B", "tokens": "1T", "gpu": "h100-sxm", "gpus": 128},
    "a size on repeated data": {"params": "2B", "tokens": "300B", "unique_tokens": "50B", "gpu": "a100-sxm-80"},
    "a dense model": {"model": "dense", "tokens": "100B", "gpu": "rtx-4090", "gpus": 8},
    "a mixture without hardware": {"model": "mixture", "tokens": "2T"},
    "a mixture": {"model": "mixture", "tokens": "2T", "gpu": "h100-sxm", "gpus": 256},
    "a mixture and an allocation law": {"model": "mixture", "tokens": "2T", "preset": "kaplan-2020"},
}  # fmt: skip
NUMBERS = ("params", "tokens", "flops", "loss", "tokens_per_param", "excess_loss", "compute_overhead")
HARDWARE = ("gpu_hours", "days", "cost", "energy_kwh")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder that holds the configs of the two models."""
    for name, config in CONFIGS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(cli):
    """Return how to run a command line that succeeds and prints JSON."""

    def run(*words):
        done = cli(*words, "--json", "--quiet")
        assert done.status == 0, done.err
        return done.json

    return run


def options(words):
    """Return a question as options of the command line."""
    for name, value in words.items():
        text = f"{value}.json" if name == "model" else value
        for each in text if isinstance(text, list) else [text]:
            yield from (f"--{name.replace('_', '-')}", str(each))


def keywords(words):
    return words | ({"model": CONFIGS[words["model"]]} if "model" in words else {})


def numbers(plan):
    """Return what every door says of a plan."""
    return {name: plan[name] for name in NUMBERS} | {name: plan["budget"][name] for name in HARDWARE}


def project(folder, words):
    """Write the question as the run of a project."""
    lines = ["[[run]]", 'name = "it"']
    for name, value in words.items():
        lines.append(f"{name} = {json.dumps(f'{value}.json' if name == 'model' else value)}")
    (folder / "scaleplan.toml").write_text("\n".join(lines) + '\n[policy]\nerror = ["flops <= 1e30"]\n')


@pytest.mark.parametrize(
    ("kind", "words"),
    [*product(["optimal"], BUDGETS.values()), *product(["loss"], RUNS.values())],
    ids=[*BUDGETS, *RUNS],
)
def test_every_door_gives_the_same_numbers(kind, words, folder, command, cli):
    """To the last digit: Python, the planner itself, a saved plan, a project's check, its diff, and a report."""
    plan = command(kind, *options(words))
    expected = numbers(plan)
    assert numbers(getattr(sp, kind)(**keywords(words)).to_dict()) == expected

    context = Context()
    request = Request.of(keywords(words), context)
    answer = plan_run(request, context) if kind == "loss" else plan_budget(Planner.of(request, context), request)
    assert numbers(answer.to_dict()) == expected

    (folder / "plan.json").write_text(json.dumps(plan))
    assert command("show", "plan.json") == plan
    project(folder, words)
    (run,) = command("check")["runs"]
    assert {name: run["values"][name] for name in (*NUMBERS, *HARDWARE)} == expected
    (folder / "check.json").write_text(json.dumps(command("check")))
    changes = command("diff", "check.json", "scaleplan.toml")["changes"]
    assert changes
    assert {change["before"] == change["after"] for change in changes} == {True}
    if kind == "optimal":
        assert numbers(command("report", *options(words), "--output", "page.html")) == expected


@pytest.mark.parametrize("words", [{"flops": "1e22"}, {"gpus": 64, "time": "30d", "gpu": "h100-sxm"}], ids=str)
def test_charts_and_advice_ask_the_same_planner(words, command):
    """The marked optimum of a chart, the first step of marginal and the sweep's own budget are the plan."""
    plan = command("optimal", *options(words))
    marginal = command("marginal", *options(words))
    assert {name: marginal[name] for name in ("flops", "params", "tokens", "loss", "cost")} == {
        name: plan[name] for name in ("flops", "params", "tokens", "loss")
    } | {"cost": plan["budget"]["cost"]}
    chart = sp.plot("loss", **words)
    assert (chart.marks[0].x, chart.marks[0].y) == (plan["flops"], plan["loss"])
    compared = command("compare", *options(words), "--preset", "besiroglu-2024")
    assert numbers(compared["plans"][0]) == numbers(plan)


def test_a_mixture_computes_with_its_active_parameters_and_fills_memory_with_all(folder, command):
    """Whatever asks: 6 FLOP for each parameter that a token uses, and memory for all of them."""
    words = RUNS["a mixture"]
    model = sp.model(MIXTURE)
    plan = command("loss", *options(words))
    assert plan["flops"] == 6 * model.active_params * 2e12
    project(folder, words)
    (run,) = command("check")["runs"]
    assert run["values"]["flops"] == plan["flops"]
    assert run["values"]["cost"] == plan["budget"]["cost"]
    states = 16 * model.params / 256 / 1e9  # 16 bytes a parameter, shared by all devices
    assert states < run["values"]["memory_gb"] < states + 10
    drawn = sp.loss(**keywords(words), shape=True)
    assert drawn.blueprint.architecture["params"] == model.params


def test_a_run_that_leaves_experts_open_is_not_advised_what_optimal_refuses(folder, cli):
    """The law of mixtures is not carried over to a dense one."""
    project(folder, {"flops": "1e21", "experts": "auto", "max_memory": "80GB"})
    checked = cli("check").err
    assert "the law is joint-moe-2025" in checked
    for preset in re.findall(r"--preset ([\w-]+)", checked):
        assert cli("optimal", "--flops", "1e21", "--experts", "auto", "--preset", preset).status == 0


COUNTING = """
import sys, tomllib
from collections import Counter
read, loads = Counter(), tomllib.loads
def counted(text, **words):
    read[text] += 1
    return loads(text, **words)
tomllib.loads = counted
from scaleplan.__main__ import run
status = run(sys.argv[1:])
print(status, len(read), max(read.values()), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("sweep", "--from", "1e20", "--to", "1e22", "--points", "20", "--gpu", "h100-sxm"), ""),
        (("optimal", "-", "--gpu", "h100-sxm", "--gpus", "8"), "1e20\n1e21\n1e22\n"),
        (("compare", "--cost", "1M", "--gpu", "h100-sxm"), ""),
        (("marginal", "--cost", "1M", "--gpu", "h100-sxm"), ""),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_process_parses_each_data_file_once(words, given, process):
    """Whatever the number of plans."""
    _, environment = process()
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, *words, "--format", "csv", "--quiet"],
        input=given, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    status, files, most = map(int, done.stderr.split())
    assert (status, most) == (0, 1)
    assert files >= 4


@pytest.mark.parametrize("error", [ValueError, ZeroDivisionError, KeyError])
def test_a_bug_is_not_told_as_a_fault_of_a_preset(cli, monkeypatch, error):
    """What goes wrong outside a law's arithmetic is an internal error, with its own status."""

    def broken(*_):
        raise error("of ours")

    monkeypatch.setattr("scaleplan.planning.planner.plan_notices", broken)
    done = cli("optimal", "--flops", "1e21")
    assert done.status == 70
    assert "of ours" in done.err
