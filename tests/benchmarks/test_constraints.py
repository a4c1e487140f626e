"""How fast constraints are solved: pytest tests/benchmarks/test_constraints.py (not part of the normal run)."""

from __future__ import annotations

import time

import numpy as np
import pytest

import scaleplan as sp

QUESTIONS = {
    "limits": {"limit": ["params <= 5B", "tokens_per_param <= 600"]},
    "repetition": {"unique_tokens": 2.5e10},
    "carried_over": {"unique_tokens": 2.5e10, "preset": "besiroglu-2024"},
    "inference": {"inference_tokens": 1e12},
    "all": {"unique_tokens": 2.5e10, "inference_tokens": 1e12, "limit": ["epochs <= 40"]},
}


def seconds(action, *, times=1):
    """Return the least time of one call, over ``times`` tries."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return min(found)


@pytest.mark.parametrize("name", QUESTIONS)
def test_ten_thousand_budgets_are_fifty_times_faster_than_one_by_one(name):
    """The array path against single plans, of which a sample stands for all."""
    words, budgets = QUESTIONS[name], np.geomspace(1e19, 1e25, 10_000)
    sp.optimal_array(budgets[:10], **words)
    together = seconds(lambda: sp.optimal_array(budgets, **words), times=2)
    alone = seconds(lambda: [sp.optimal(flops=each, **words) for each in budgets[::200]]) * 200
    assert alone > 50 * together, f"{together:.3f} s together, {alone:.1f} s one by one"


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_constraint_adds_at_most_thirty_milliseconds(name):
    """One plan, over the unconstrained one."""
    free = seconds(lambda: sp.optimal(flops=1e22), times=20)
    constrained = seconds(lambda: sp.optimal(flops=1e22, **QUESTIONS[name]), times=20)
    assert constrained - free < 0.030
