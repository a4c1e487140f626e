"""Plans by a fitted preset take at most 10 ms of work, whatever bounds them.

Run on demand: ``pytest -s tests/benchmarks/test_bench_forecast_plans.py``; times are the best of several tries.
"""

from __future__ import annotations

import math
import tomllib
from time import perf_counter

import pytest
from tests.laws.forecasts import preset_text, stored

import scaleplan as sp
from scaleplan.presets.library import preset_of
from scaleplan.toml_table import Table

SURFACE = stored("isoflop")
FLOPS = 6 * math.exp(SURFACE.span[1]) / 10
QUESTIONS = {
    "free": {},
    "a size": {"params": "5B"},
    "a limit": {"limit": ["params <= 5B"]},
    "tokens for each parameter": {"limit": ["tokens_per_param >= 20"]},
    "unique tokens": {"unique_tokens": "50B"},
    "inference": {"inference_tokens": "1T"},
}


def best(action, *, tries=30):
    """Return the least time of one call in milliseconds."""
    times = []
    for _ in range(tries):
        start = perf_counter()
        action()
        times.append(1e3 * (perf_counter() - start))
    return min(times)


@pytest.fixture(scope="module")
def preset():
    """Return the preset."""
    return preset_of(Table(tomllib.loads(preset_text(SURFACE)), source="it"))


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_plan(question, preset):
    """With its intervals, near-optimal sizes and its distance from the optimum."""
    took = best(lambda: sp.optimal(preset=preset, flops=FLOPS, **QUESTIONS[question]))
    print(f"\n{question}: {took:.1f} ms")
    assert took < 10


def test_a_plan_that_solves_for_another_budget(preset):
    """What training alone would need for the same loss of repeated data is another search, of many plans: 40 ms."""
    took = best(lambda: sp.optimal(preset=preset, flops=FLOPS, unique_tokens="50B", inference_tokens="1T"), tries=10)
    print(f"\nunique tokens and inference: {took:.1f} ms")
    assert took < 40


def test_a_target(preset):
    loss = sp.optimal(preset=preset, flops=FLOPS).loss
    took = best(lambda: sp.target(preset=preset, loss=loss))
    print(f"\na loss: {took:.1f} ms")
    assert took < 10


def test_a_file():
    """Reading 20 kB."""
    text = preset_text(SURFACE)
    took = best(lambda: preset_of(Table(tomllib.loads(text), source="it")))
    print(f"\nreading a preset: {took:.1f} ms")
    assert took < 20
