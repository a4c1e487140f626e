"""Advice, constraints and projects with a fitted preset: what they say of its forecast."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tests.laws.forecasts import fitted, preset_text, stored

import scaleplan as sp
from scaleplan.__main__ import run
from scaleplan.advice.marginal import marginal
from scaleplan.advice.sensitivity import sensitivity
from scaleplan.planning.context import Context
from scaleplan.planning.uncertainty import sigmas_of

SURFACE = stored("isoflop")
LARGEST = 6 * math.exp(SURFACE.span[1]) / 100


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in a folder with the preset."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(preset_text(SURFACE), encoding="utf-8")
    return tmp_path


@pytest.fixture
def shell(folder, capsys):
    """Return how to run a command: its status, output and errors."""

    def command(*words):
        status = run(list(words))
        return (status, *capsys.readouterr())

    return command


def test_a_gain_has_the_interval_of_the_mixture_until_the_span_ends(folder):
    """The difference of two losses by their joint covariance, to 10 %; none beyond, where it would vanish."""
    result = marginal(preset="mine.toml", flops=LARGEST)
    spans = [step.gain_interval for step in result.steps[1:]]
    for step, before, span in zip(result.steps[1:], result.steps, spans, strict=False):
        if LARGEST * step.factor > 100 * LARGEST:
            assert span is None
            continue
        sizes, tokens = np.array([before.params, step.params], float), np.array([before.tokens, step.tokens], float)
        mean, covariance = fitted("isoflop").log_loss(sizes, tokens)
        slope = np.exp(mean) * [1, -1]
        error = math.sqrt(slope @ covariance @ slope) / step.gain
        half = 0.5 * math.log(span[1] / span[0])
        assert half == pytest.approx(sigmas_of(0.9) * error, rel=0.1)
    far = marginal(preset="mine.toml", flops=200 * LARGEST)
    assert all(step.gain_interval is None for step in far.steps)
    widths = [math.log(span[1] / span[0]) for span in spans if span]
    assert widths == sorted(widths)


def test_values_have_the_interval_of_one_run(folder):
    found = sp.evaluate("mine.toml", params="7B", tokens="200B")
    plan = sp.loss(preset="mine.toml", params="7B", tokens="200B")
    assert found.value == plan.loss
    assert found.interval.value == plan.interval.loss


WORDS = [
    ("--bits-weights", "4"),
    ("--fp-format", "E4M3"),
    ("--ptq-bits", "4"),
    ("--compute-multiplier", "1.3"),
    ("--moe-leverage", "0.031,12"),
    ("--unique-tokens", "20B"),
    ("--inference-tokens", "1T"),
    ("--unique-tokens", "20B", "--inference-tokens", "1T", "--limit", "params <= 3B"),
    ("--gpu", "h100-sxm", "--gpus", "64", "--limit", "memory_gb <= 40"),
]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_every_constraint_plans_by_a_forecast(shell, words):
    """Finite numbers, with intervals that hold them."""
    budget = ("--time", "20 days") if "--gpu" in words else ("--flops", repr(10 * LARGEST))
    status, out, err = shell("optimal", *budget, *words, "--preset", "mine.toml", "--json")
    assert status == 0, err
    plan = json.loads(out)
    for name in ("params", "tokens", "loss"):
        low, high = plan["interval"][name]
        assert 0 < low <= plan[name] <= high
    low, high = plan["interval"]["expected_loss"]
    assert plan["interval"]["loss"][0] < low < plan["loss"] < high < plan["interval"]["loss"][1]


@pytest.mark.parametrize("word", ["--experts", "--granularity"])
def test_what_the_runs_do_not_tell_is_refused(shell, word):
    status, _, err = shell("optimal", "--flops", "1e22", word, "8", "--preset", "mine.toml")
    assert status == 2
    assert err.startswith("error: ")


def test_repeated_data_count_from_the_vertex_of_the_forecast():
    """Where the size for which unique tokens suffice lies on the path of the surface and not of the law inside."""
    size, power = SURFACE.expansion_path()
    for factor in (1, 100):
        params, tokens = SURFACE.best_split(LARGEST / 6 * factor)
        assert size * tokens**power == pytest.approx(params, rel=1e-9)


ADVICE = [
    ("marginal", "--flops", "1e22"),
    ("break-even", "--loss", "2.1"),
    ("sweep", "--from", "1e20", "--to", "1e26"),
    ("compare", "--flops", "1e22", "--presets", "mine.toml,besiroglu-2024"),
    ("hyperparameters", "--flops", "1e22"),
    ("precisions", "--gpu", "h100-sxm", "--gpus", "64", "--time", "20 days"),
    ("vocab", "--flops", "1e22"),
]


@pytest.mark.parametrize("words", ADVICE, ids=" ".join)
def test_advice_ends_in_an_answer_or_one_error(shell, words):
    own = () if words[0] == "compare" else ("--preset", "mine.toml")
    status, out, err = shell(*words, *own, "--json")
    assert status in (0, 2)
    if status == 0:
        json.loads(out, parse_constant=pytest.fail)
    else:
        assert json.loads(err)["code"] != "internal"


@pytest.mark.parametrize("factor", [10, 1e4])
def test_assumptions_move_what_has_an_interval(folder, factor):
    """Beyond a hundredfold the coefficients move the loss alone."""
    options = {"preset": "mine.toml", "flops": factor * LARGEST}
    plan = sp.optimal(**options)
    (swing,) = [
        each for each in sensitivity(options, plan, [], Context()) if each.assumption.startswith("the forecast")
    ]
    own = sp.optimal(**options, level=float(swing.assumption.split()[-2]) / 100)
    for i, end in enumerate((swing.low, swing.high)):
        assert end.params == (None if own.interval.params is None else own.interval.params[i])
        assert end.loss == own.interval.loss[i]


# ---- projects ---------------------------------------------------------------------------------------------------


def judged(shell, folder, policy, run_lines):
    """Return the verdict of one rule about one run."""
    lines = [
        "[[run]]",
        'name = "it"',
        'preset = "mine.toml"',
        *run_lines,
        "[policy]",
        f"error = [{json.dumps(policy)}]",
    ]
    (folder / "scaleplan.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")
    status, out, _ = shell("check", "--json")
    (verdict,) = json.loads(out)["verdicts"] if "verdicts" in json.loads(out) else json.loads(out)["results"]
    return status, verdict


def test_a_policy_judges_a_loss_by_the_interval_of_one_run(shell, folder):
    plan = sp.optimal(preset="mine.toml", flops=10 * LARGEST)
    high = plan.interval.loss[1]
    for bound, status in ((high + 1e-3, 0), (high - 1e-3, 1)):
        found, verdict = judged(shell, folder, f"loss@0.9 <= {bound:.6f}", [f"flops = {10 * LARGEST!r}"])
        assert found == status
        assert verdict["high"] == pytest.approx(high)


def test_a_policy_cannot_judge_a_size_without_an_interval(shell, folder):
    status, verdict = judged(shell, folder, "params@0.9 <= 1e15", [f"flops = {1e4 * LARGEST!r}"])
    assert status == 2
    assert verdict["status"] == "error"
    assert "params has no interval" in verdict["message"]
    assert "loss" in verdict["hint"]


def test_two_plans_differ_in_the_expected_loss(shell, folder):
    for name, factor in (("a", 1), ("b", 2000)):
        out = shell("optimal", "--flops", repr(factor * LARGEST), "--preset", "mine.toml", "--json")[1]
        (folder / f"{name}.json").write_text(out, encoding="utf-8")
    status, out, err = shell("diff", "a.json", "b.json", "--json")
    assert status in (0, 1), err
    assert json.loads(out)["status"] in ("within", "changed", "beyond")
    assert shell("diff", "a.json", "a.json")[0] == 0
