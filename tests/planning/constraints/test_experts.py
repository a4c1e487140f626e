"""Mixtures of experts in plans: total and active parameters, memory, and the best number of experts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan import api
from scaleplan.advice.batch import advise_batch
from scaleplan.errors import UnreachableError, UsageError
from scaleplan.laws.base import Cost
from scaleplan.presets.library import Library

# arXiv:2502.05172, Table 2: memory in GB, and the best experts for 1e21, 1e22, 1e23 and 1e24 FLOP with 16k cached
# tokens. Where the published coefficients give a neighbour, it stands second: their losses differ by less than 0.007.
TABLE_2 = {
    "24GB": [(16, 32), (4,), (1,), (1,)],
    "80GB": [(32,), (16,), (8, 4), (1,)],
    "640GB": [(32,), (32,), (32,), (16, 8)],
}


def codes(plan):
    return {notice.code for notice in plan.warnings}


@pytest.mark.parametrize("memory", TABLE_2)
def test_the_best_number_of_experts_by_budget_and_memory(memory):
    """Nine of the paper's twelve cells exactly, the other three next to it."""
    for power, expected in zip((21, 22, 23, 24), TABLE_2[memory], strict=True):
        plan = api.optimal(flops=10.0**power, experts="auto", max_memory=memory, kv_tokens="16k")
        assert plan.experts == expected[-1]
        assert plan.memory_gb <= float(memory.removesuffix("GB")) * (1 + 1e-9)
        asked = {"preset": "joint-moe-2025", "max_memory": memory, "kv_tokens": "16k", "flops": 10.0**power}
        assert api.optimal(experts=expected[0], **asked).loss - plan.loss < 0.007


def test_total_and_active_parameters_are_both_told():
    """The size is the active one; compute counts it, memory counts all."""
    plan = api.optimal(flops=1e22, preset="joint-moe-2025", experts=8)
    law = Library().load("joint-moe-2025").law.choose(8.0)
    assert plan.params_convention == "active"
    assert 6 * plan.params * plan.tokens == pytest.approx(1e22)
    assert plan.total_params == pytest.approx(law.total_params(plan.params))
    assert plan.total_params > 5 * plan.params
    assert plan.memory_gb == pytest.approx(2 * plan.total_params / 1e9)
    assert plan.to_dict()["total_params"] == plan.total_params


def test_a_dense_law_has_neither():
    """The keys are there, and null."""
    found = api.optimal(flops=1e22).to_dict()
    assert {found["experts"], found["total_params"], found["granularity"]} == {None}


def test_what_is_assumed_is_said():
    """Eight experts when none are named; the law of mixtures when none is named."""
    assert "experts_assumed" in codes(api.optimal(flops=1e20, preset="joint-moe-2025"))
    named = api.optimal(flops=1e20, experts=4)
    assert named.preset == "joint-moe-2025"
    assert "experts_assumed" not in codes(named)
    assert "experts_unbounded" in codes(api.optimal(flops=1e20, experts="auto"))
    assert "extrapolated_experts" in codes(api.optimal(flops=1e20, experts=128))


def test_a_memory_that_binds_is_named_with_what_it_costs():
    """It is a limit like others."""
    plan = api.optimal(flops=1e22, experts=16, max_memory="24GB")
    (binding,) = plan.binding
    assert "memory" in binding.limit
    assert binding.excess_loss > 0
    assert plan.memory_gb == pytest.approx(24, rel=1e-6)


@settings(max_examples=15)
@given(st.floats(19, 24), st.floats(16, 1000), st.sampled_from([None, 1e12]))
def test_no_number_of_experts_beats_the_best(power, memory, served):
    """Auto is the least loss over its choices, inference demand included."""
    asked = {"flops": 10**power, "max_memory": memory, "inference_tokens": served}
    best = api.optimal(experts="auto", **asked)
    for experts in (1, 2, 4, 8, 16, 32):
        try:
            assert api.optimal(experts=experts, **asked).loss >= best.loss * (1 - 1e-12)
        except UnreachableError:
            continue


def test_a_target_takes_the_cheapest_number_of_experts():
    """The least budget over the choices, which then is optimal there."""
    plan = api.target(loss=2.2, experts="auto", max_memory="80GB")
    assert plan.loss == pytest.approx(2.2, rel=1e-9)
    for experts in (1, 2, 4, 8, 16, 32):
        assert api.target(loss=2.2, experts=experts, max_memory="80GB").flops >= plan.flops * (1 - 1e-9)
    with pytest.raises(UsageError, match="for each number of experts"):
        api.target(params="7B", experts="auto")


def test_a_point_and_a_sweep_choose_too():
    """The loss of a given model, and one choice for each budget."""
    assert api.loss(params="2B", tokens="100B", experts="auto").experts == 32
    sweep = api.sweep(start=1e21, stop=1e24, points=4, experts="auto", max_memory="80GB")
    assert [plan.experts for plan in sweep] == [32, 16, 4, 1]


def test_a_given_size_that_does_not_fit_is_said():
    """The loss of a chosen model is told whatever its memory, with a warning; an optimum is refused."""
    asked = {"params": "7B", "experts": 8, "max_memory": "24GB"}
    assert "memory_exceeded" in codes(api.loss(tokens="1T", **asked))
    with pytest.raises(UnreachableError, match="memory"):
        api.optimal(flops=1e22, **asked)
    assert api.optimal(flops=1e22, **{**asked, "experts": "auto"}).experts == 2  # 11.6B in all take 23.2 GB
    with pytest.raises(UnreachableError, match="memory"):
        api.optimal(flops=1e24, params="70B", experts="auto", max_memory="24GB")


def test_money_and_hardware_reach_a_mixture():
    """A default utilisation is settled with the active size of the best mixture."""
    plan = api.optimal(gpus=64, time="30d", gpu="h100-sxm", experts="auto", max_memory="80GB")
    assert plan.budget.gpus == 64
    assert 6 * plan.params * plan.tokens == pytest.approx(plan.flops)


def test_granularity_has_an_optimum_because_routing_costs():
    """arXiv:2402.07871, Table 2: 1.93e20 FLOP → 1B active on 28.94B tokens at granularity 16."""
    plan = api.optimal(flops=1.93e20, granularity="auto")
    assert plan.granularity == 16
    assert (plan.params, plan.tokens) == pytest.approx((1e9, 28.94e9), rel=0.03)
    assert plan.total_params == pytest.approx(43 * plan.params)
    assert plan.flops_convention == "6ND + routing"
    assert 6 * plan.params * plan.tokens < 0.95 * plan.flops
    assert api.optimal(flops=1.93e20, granularity=64).loss > plan.loss


@given(st.floats(7, 12), st.floats(8, 13))
def test_a_cost_with_routing_is_undone(size, data):
    """Tokens for a size, size for tokens, and size at a ratio invert the cost, routing included."""
    cost = Cost(routing=900.0, per_param=1e9)
    params, tokens = 10**size, 10**data
    flops = cost.flops(params, tokens)
    assert flops == pytest.approx((6 * params + 900 * params ** (2 / 3)) * tokens + 1e9 * params)
    assert cost.tokens(params, flops) == pytest.approx(tokens, rel=1e-6)
    assert cost.params(tokens, flops) == pytest.approx(params, rel=1e-9)
    assert cost.params_at_ratio(tokens / params, flops) == pytest.approx(params, rel=1e-9)
    assert cost.params(tokens, -flops) < 0


def test_rules_for_mixtures_advise_on_a_mixture():
    """The plan's experts and active size enter the rule of the joint law's own runs."""
    plan = api.optimal(flops=1e21, experts=8)
    found = {answer.rule: answer for answer in advise_batch(plan).rules}["ludziejewski-2025"]
    assert found.asked_with == {"params": plan.params, "experts": 8}


@pytest.mark.parametrize(
    "words, message",
    [
        ({"experts": 0.5}, "fewer than one"),
        ({"experts": 2.5}, "whole"),
        ({"granularity": "0"}, "0"),
        ({"experts": 8, "preset": "chinchilla"}, "knows no experts"),
        ({"granularity": 8, "preset": "joint-moe-2025"}, "knows no granularity"),
        ({"max_memory": "80GB", "preset": "chinchilla"}, "--max-memory says nothing"),
    ],
)
def test_what_does_not_go_together_is_refused(words, message):
    """A dense law has no experts, and numbers must be possible."""
    with pytest.raises(UsageError, match=message):
        api.optimal(flops=1e21, **words)
