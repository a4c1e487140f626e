"""Counts in answers: whole numbers that agree wherever they are read, and none that no run has."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaleplan as sp
from scaleplan.cli.app import execute
from scaleplan.errors import UnreachableError, UsageError

COUNTS = ("params", "tokens", "experts", "unique_tokens", "inference_tokens", "total_params", "steps", "vocabulary")
"""Keys that count things, as the last part of a dotted key."""


def leaves(value, path=""):
    """Yield (dotted key, value) for everything inside a JSON value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, path)
    else:
        yield path, value


def answer(capsys, *words):
    """Return what a command prints, which must succeed."""
    assert execute([*words, "-q"]) == 0
    return capsys.readouterr().out


COMMANDS = [
    ("optimal", "--flops", "1e21"),
    ("optimal", "--gpus", "64", "--gpu", "h100-sxm", "--time", "30d"),
    ("optimal", "--flops", "1e22", "--preset", "kaplan-2020"),
    ("optimal", "--flops", "1e22", "--unique-tokens", "30B"),
    ("optimal", "--flops", "1e22", "--inference-tokens", "2T"),
    ("optimal", "--flops", "1e22", "--experts", "auto", "--max-memory", "80GB"),
    ("optimal", "--flops", "1e22", "--limit", "tokens_per_param >= 33"),
    ("loss", "--params", "7B", "--tokens", "2T"),
    ("target", "--loss", "2.1"),
    ("sweep", "--from", "1e20", "--to", "1e22", "--points", "3"),
    ("compare", "--flops", "1e24"),
    ("break-even", "--params", "7B", "--points", "2"),
    ("marginal", "--flops", "1e21"),
    ("vocab", "--params", "7B"),
    ("evaluate", "kaplan-2020", "flops=1e21", "--quantity", "steps"),
    ("evaluate", "besiroglu-2024", "params=7B", "tokens=2T"),
    ("plot", "frontier", "--flops", "1e21"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_counts_are_whole_numbers_in_json(words, capsys):
    """An integer of JSON and of Python, so that ``$((N/2))`` works."""
    found = [(key, value) for key, value in leaves(json.loads(answer(capsys, *words, "--json"))) if value is not None]
    counts = {key: value for key, value in found if key.rpartition(".")[2] in COUNTS}
    assert counts or words[0] in ("plot", "evaluate")
    assert {type(value) for value in counts.values()} <= {int}


def test_one_bare_count_is_a_whole_number(capsys):
    """In every way that a script reads it."""
    for words in (
        ("optimal", "--flops", "1e21"),
        ("marginal", "--flops", "1e21"),
        ("sweep", "--from", "1e21", "--to", "2e21"),
    ):
        for line in answer(capsys, *words, "--get", "params").splitlines():
            assert int(line) > 1e9
    low = answer(capsys, "optimal", "--flops", "1e21", "--get", "interval.params.low")
    assert int(low) < 2.778e9
    assert isinstance(sp.optimal(flops=1e21).params, int)
    assert isinstance(sp.optimal(flops=1e21).interval.tokens[1], int)
    assert isinstance(sp.optimal(flops=1e21).near_optimal.params[0], int)


def test_every_format_writes_the_same_counts(capsys):
    """JSON, lines of JSON, CSV and TSV; a long sweep, which is solved as arrays, writes the same."""
    words = ("sweep", "--from", "1e20", "--to", "1e22", "--points", "5")
    plans = json.loads(answer(capsys, *words, "--json"))["plans"]
    lines = [json.loads(line) for line in answer(capsys, *words, "--format", "jsonl").splitlines()]
    assert lines == plans
    for name, mark in (("csv", ","), ("tsv", "\t")):
        rows = list(csv.DictReader(io.StringIO(answer(capsys, *words, "--format", name)), delimiter=mark))
        assert [(int(row["params"]), int(row["tokens"])) for row in rows] == [
            (plan["params"], plan["tokens"]) for plan in plans
        ]
    many = sp.optimal(flops=[plan["flops"] for plan in plans])
    assert many.params.tolist() == [plan["params"] for plan in plans]
    assert many.loss.tolist() == pytest.approx([plan["loss"] for plan in plans], rel=1e-15)


@given(power=st.floats(14, 27))
@settings(max_examples=30)
def test_the_loss_is_that_of_the_counts_that_are_printed(power):
    """``loss`` of the printed plan gives the printed loss, ``target`` of that the budget, and 6ND is within it."""
    flops = 10.0**power
    plan = sp.optimal(flops=flops)
    assert sp.loss(params=plan.params, tokens=plan.tokens).loss == plan.loss
    assert 0 <= flops * (1 + 1e-12) - 6 * plan.params * plan.tokens <= 6 * plan.params + 2e-12 * flops
    one = 10 * (1 / plan.params + 1 / plan.tokens)  # what a count more or less makes of the compute, with room
    assert sp.target(loss=plan.loss).flops == pytest.approx(flops, rel=1e-9 + one)


@pytest.mark.parametrize(
    "words",
    [
        {"by": "flops", "start": 1e18, "stop": 1e24, "points": 7},
        {"by": "flops", "start": "3e20", "stop": "7e23", "points": 4, "limit": ["params <= 1B"]},
        {"by": "cost", "start": "7k", "stop": "3M", "points": 3, "gpu": "b200"},
        {"by": "gpu_hours", "start": "1000", "stop": "1M", "points": 4, "gpu": "h100-sxm"},
        {"by": "time", "start": "3d", "stop": "7d", "points": 3, "gpu": "b200", "gpus": 7},
    ],
)
def test_the_ends_of_a_sweep_are_those_that_were_typed(words):
    """To the last digit, whatever it ranges over; and powers of ten between them are powers of ten."""
    plans = sp.sweep(**words).plans
    key = {"flops": "flops", "cost": "cost", "gpu_hours": "gpu_hours", "time": "days"}[words["by"]]
    ends = [plan.flops if key == "flops" else getattr(plan.budget, key) for plan in (plans[0], plans[-1])]
    typed = {"flops": (1e18, 1e24), "cost": (7000, 3e6), "gpu_hours": (1000, 1e6), "days": (3, 7)}[key]
    assert ends == ([3e20, 7e23] if "limit" in words else list(typed))
    if words["points"] == 7:
        assert [plan.flops for plan in plans] == [1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24]


BEYOND = [
    lambda: sp.optimal(flops=1e36),
    lambda: sp.optimal(flops=[1e21, 1e36]),
    lambda: sp.optimal(flops=1e8),
    lambda: sp.sweep(start=1e21, stop=1e36, points=2),
    lambda: sp.compare(flops=1e36),
    lambda: sp.loss(params="7B", tokens="5e22"),
    lambda: sp.loss(params=5e22, tokens="1T"),
    lambda: sp.loss(params=7, tokens="2T"),
    lambda: sp.loss(params="7B", tokens=2),
    lambda: sp.target(params="7e18"),
    lambda: sp.target(tokens=7),
    lambda: sp.evaluate("besiroglu-2024", params="7B", tokens="5e22"),
    lambda: sp.optimal(flops=1e21, limit=["tokens <= 5e22"]),
    lambda: sp.optimal(flops=1e21, params="7e9B"),
    lambda: sp.optimal(flops=1e21, unique_tokens="5e12T"),
    lambda: sp.optimal(flops=1e40, preset="kaplan-2020"),
]


@pytest.mark.parametrize("ask", BEYOND)
def test_a_run_that_nobody_trains_is_refused(ask):
    """More than 1e16 parameters or tokens, or fewer than 1,000: a suffix too many or too few."""
    with pytest.raises(UsageError) as caught:
        ask()
    assert caught.value.hint


def test_a_loss_that_only_such_a_run_reaches_is_not_reached():
    """The request is right, and the answer is no."""
    with pytest.raises(UnreachableError, match=r"a loss of 1\.8173 takes"):
        sp.target(loss=1.8173)


def test_all_that_a_model_serves_may_be_more():
    """Inference is no training: its tokens are those of every request of a lifetime."""
    assert sp.optimal(flops=1e26, inference_tokens="20000T").inference_tokens == 2e16


@pytest.mark.parametrize("experts, reason", [("1e308", "up to 1,000,000"), ("1e9", "up to 1,000,000")])
def test_the_experts_of_a_layer_are_bounded(experts, reason):
    """More than any layer has are a slip."""
    with pytest.raises(UsageError, match=reason):
        sp.target(loss=2.5, preset="joint-moe-2025", experts=experts)


def test_all_parameters_of_a_mixture_are_bounded_too():
    """A size of which a token uses a plausible part is none that anybody trains."""
    with pytest.raises(UsageError, match="parameters, above"):
        sp.loss(params="100T", tokens="1000T", preset="joint-moe-2025", experts=100_000)


@pytest.mark.parametrize("size, meant", [(7, "7B"), (1.5, "1.5B"), ("0.5", "0.5B")])
def test_a_lost_suffix_is_suggested(size, meant):
    """A size of 7 is one of 7B; the number is the one that was typed."""
    with pytest.raises(UsageError) as caught:
        sp.loss(params=size, tokens="2T")
    assert caught.value.hint == f"a suffix may be lost: {meant}?"
    assert sp.loss(params=meant, tokens="2T").params == float(meant[:-1]) * 1e9
