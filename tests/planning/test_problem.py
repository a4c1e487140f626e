"""The best plan within bounds that meet: against closed forms, and against every point of a fine grid."""

from __future__ import annotations

import math

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.errors import UnreachableError

# besiroglu-2024: arXiv:2404.10102, the coefficients of the abstract's refit
E, A, B, ALPHA, BETA = 1.8172, 482.01, 2085.43, 0.3478, 0.3658


def law(params, tokens):
    """Return the loss by the published formula."""
    return E + A / params**ALPHA + B / tokens**BETA


def test_a_ratio_and_a_most_tokens_meet_at_their_corner():
    """At least 20 tokens a parameter, and at most 10B: nothing larger than 0.5B keeps both, and 0.5B is best."""
    plan = sp.optimal(flops="1e21", limit=["tokens_per_param >= 20", "tokens <= 10B"])
    assert plan.params == pytest.approx(10e9 / 20, rel=1e-12)
    assert plan.tokens == pytest.approx(10e9, rel=1e-12)
    assert plan.tokens_per_param == pytest.approx(20, rel=1e-12)
    assert plan.loss == pytest.approx(law(0.5e9, 10e9), rel=1e-4)  # the published coefficients are rounded


@pytest.mark.parametrize("ratio, most", [(20, 1e10), (100, 1e10), (4, 3e10), (1000, 2e11)])
def test_no_point_of_a_grid_keeps_a_ratio_and_a_most_tokens_and_is_better(ratio, most):
    """Brute force over sizes and tokens: the plan keeps both limits, and nothing that does has a lower loss."""
    flops = 1e22
    plan = sp.optimal(flops=flops, limit=[f"tokens_per_param >= {ratio}", f"tokens <= {most:g}"])
    assert plan.tokens_per_param >= ratio * (1 - 1e-9)
    assert plan.tokens <= most * (1 + 1e-9)
    assert 6 * plan.params * plan.tokens <= flops * (1 + 1e-9)
    params, tokens = np.meshgrid(np.geomspace(1e6, 1e12, 2001), np.geomspace(1e8, 1e13, 2001))
    kept = (tokens / params >= ratio) & (tokens <= most) & (6 * params * tokens <= flops)
    best = law(params[kept], tokens[kept]).min()
    assert law(plan.params, plan.tokens) <= best * (1 + 1e-12)
    assert law(plan.params, plan.tokens) == pytest.approx(best, rel=2e-3)  # a step of the grid is 0.7 %


@pytest.mark.parametrize("least, unique", [(4, 5e10), (2.5, 4e10), (10, 1e10)])
def test_a_least_number_of_epochs_is_a_least_number_of_tokens(least, unique):
    """At least k epochs of U unique tokens are kU tokens; where the free optimum has fewer, exactly those."""
    flops = 1e21
    free = sp.optimal(flops=flops, unique_tokens=unique)
    assert free.tokens < least * unique  # otherwise the limit would ask for nothing
    plan = sp.optimal(flops=flops, unique_tokens=unique, limit=[f"epochs >= {least}"])
    assert plan.tokens == pytest.approx(least * unique, rel=1e-12)
    assert plan.epochs == pytest.approx(least, rel=1e-12)
    assert plan.params == math.floor(flops / 6 / (least * unique))
    assert [each.limit for each in plan.binding] == [f"epochs >= {least}"]


def test_one_epoch_at_least_asks_for_nothing():
    """One epoch is seen of any number of tokens up to the unique ones."""
    free = sp.optimal(flops="1e20", unique_tokens="500B")
    plan = sp.optimal(flops="1e20", unique_tokens="500B", limit=["epochs >= 1"])
    assert plan.tokens == pytest.approx(free.tokens, rel=1e-9)


@pytest.mark.parametrize("ratio, least", [(5, 1e12), (2, 3e11), (10, 2e12)])
def test_a_least_tokens_and_a_most_ratio_meet_at_their_corner(ratio, least):
    """At least D tokens and at most r of them a parameter: nothing below D/r parameters keeps both."""
    flops = 6 * least * least / ratio * 1.2  # a little more than the corner itself takes
    plan = sp.optimal(flops=flops, limit=[f"tokens_per_param <= {ratio}", f"tokens >= {least:g}"])
    assert plan.params >= least / ratio * (1 - 1e-9)
    assert plan.tokens >= least * (1 - 1e-9)
    assert plan.tokens_per_param <= ratio * (1 + 1e-9)
    params, tokens = np.meshgrid(np.geomspace(1e10, 1e13, 1501), np.geomspace(1e11, 1e14, 1501))
    kept = (tokens / params <= ratio) & (tokens >= least) & (6 * params * tokens <= flops)
    assert law(plan.params, plan.tokens) <= law(params[kept], tokens[kept]).min() * (1 + 1e-12)


@pytest.mark.parametrize("ratio, least", [(5, 1e12), (2, 3e11), (10, 2e12)])
def test_a_budget_below_the_corner_is_refused_with_what_the_corner_takes(ratio, least):
    """6 (D/r) D FLOP is the least that trains D tokens at most r times the parameters."""
    needed = 6 * least * least / ratio
    limits = [f"tokens_per_param <= {ratio}", f"tokens >= {least:g}"]
    with pytest.raises(UnreachableError, match="exclude each other") as caught:
        sp.optimal(flops=0.99 * needed, limit=limits)
    assert f"{needed:g}".replace("e+", "e") in caught.value.hint
    plan = sp.optimal(flops=needed * (1 + 1e-6), limit=limits)
    assert (plan.params, plan.tokens) == pytest.approx((least / ratio, least), rel=1e-5)


# Muennighoff et al. 2023, arXiv:2305.16264: R_D* and R_N*, and the coefficients of their law for fresh data
R_TOKENS, R_PARAMS = 15.387756, 5.309743


def test_repeated_tokens_are_worth_what_the_study_measured():
    """D' = U (1 + R* (1 - exp(-R/R*))) for R repetitions, and the same for parameters beyond what U can use."""
    unique = 10e9
    plan = sp.loss(params="7B", tokens="80B", unique_tokens=unique)
    repetitions = 80e9 / unique - 1
    worth = 1 + R_TOKENS * (1 - math.exp(-repetitions / R_TOKENS))
    assert plan.epochs == pytest.approx(8)
    assert plan.effective_tokens == pytest.approx(unique * worth, rel=1e-9)
    fresh = sp.Library().load("muennighoff-2023").law
    # the best size for the unique tokens alone: equal elasticities, alpha A / N^alpha = beta B / U^beta
    usable = (fresh.alpha * fresh.A / (fresh.beta * fresh.B) * unique**fresh.beta) ** (1 / fresh.alpha)
    assert usable < 7e9
    size = usable * (1 + R_PARAMS * (1 - math.exp(-(7e9 / usable - 1) / R_PARAMS)))
    assert plan.effective_params == pytest.approx(size, rel=1e-9)
    assert plan.loss == pytest.approx(fresh.loss(size, unique * worth), rel=1e-12)
