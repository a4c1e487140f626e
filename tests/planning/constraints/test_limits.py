"""Limits: which bind, what they cost, and which conflict."""

from __future__ import annotations

import pytest

import scaleplan as sp
from scaleplan.errors import UnreachableError, UsageError
from scaleplan.planning.problem import RULES
from scaleplan.units.limits import QUANTITIES

H100 = {"gpu": "h100-sxm", "mfu": 0.4}
H100_FLOPS_PER_HOUR = 989.4e12 * 0.4 * 3600


def test_every_rule_is_a_quantity_of_limits():
    """The grammar knows every quantity that can bound a plan."""
    assert set(RULES) <= set(QUANTITIES)


@pytest.mark.parametrize(
    "text, name, value",
    [
        ("params <= 1B", "params", 1e9),
        ("params >= 10B", "params", 1e10),
        ("params = 3B", "params", 3e9),
        ("tokens <= 50B", "tokens", 5e10),
        ("tokens = 1T", "tokens", 1e12),
        ("tokens_per_param >= 100", "tokens_per_param", 100),
        ("tokens_per_param <= 5", "tokens_per_param", 5),
        ("flops <= 1e20 FLOP", "flops", 1e20),
    ],
)
def test_a_limit_that_binds_is_met_exactly_and_named(text, name, value):
    """The plan lies on the limit, and it is among those that bind with what it costs."""
    plan = sp.optimal(flops=1e21, limit=[text])
    assert getattr(plan, name) == pytest.approx(value, rel=1e-14)
    (binding,) = plan.binding
    assert (binding.limit, binding.quantity) == (text, name)
    free = sp.optimal(flops=1e21)
    assert binding.excess_loss == pytest.approx(plan.loss - free.loss, rel=1e-7)


@pytest.mark.parametrize(
    "text, flops, extra",
    [
        ("gpu_hours <= 1000 h", 1000 * H100_FLOPS_PER_HOUR, {}),
        ("days <= 30", 30 * 24 * 8 * H100_FLOPS_PER_HOUR, {"gpus": 8}),
        ("cost <= 2k USD", 1000 * H100_FLOPS_PER_HOUR, {"price": 2}),
    ],
)
def test_limits_by_hardware_bound_the_training_compute(text, flops, extra):
    """Hours, days and money become FLOP at the rates of the hardware: hours * 3600 * peak * utilisation."""
    plan = sp.optimal(flops=1e25, limit=[text], **H100, **extra)
    assert plan.flops == pytest.approx(flops, rel=1e-12)
    assert plan.budget.gpu_hours == pytest.approx(flops / H100_FLOPS_PER_HOUR, rel=1e-12)
    assert [each.limit for each in plan.binding] == [text]
    assert "budget_left" in {each.code for each in plan.warnings}


def test_a_limit_on_energy_bounds_the_energy():
    """The plan's own energy is the limit."""
    plan = sp.optimal(flops=1e25, limit=["energy_kwh <= 10 MWh"], **H100)
    assert plan.budget.energy_kwh == pytest.approx(10_000, rel=1e-9)


def test_a_default_utilisation_is_that_of_the_limited_plan():
    """Days are counted at the utilisation of the size that they pay for."""
    plan = sp.optimal(flops=1e25, gpu="h100", gpus=64, limit=["days <= 10"])
    assert plan.budget.days == pytest.approx(10, rel=1e-9)
    same = sp.loss(params=plan.params, tokens=plan.tokens, gpu="h100", gpus=64)
    assert same.budget.utilisation == plan.budget.utilisation


def test_epochs_bound_the_tokens():
    """4 epochs of 25B unique tokens are 100B tokens, and one epoch is any number up to 25B."""
    assert sp.optimal(flops=1e22, unique_tokens="25B", limit=["epochs <= 4"]).tokens == 1e11
    assert sp.optimal(flops=1e22, unique_tokens="25B", limit=["epochs = 1"]).tokens == 2.5e10
    assert sp.optimal(flops=1e20, unique_tokens="25B", limit=["epochs = 1"]).tokens < 2.5e10


def test_two_limits_each_tell_what_they_alone_cost():
    """Without one of them the plan keeps the other."""
    limits = ["params <= 5B", "tokens_per_param <= 60"]
    plan = sp.optimal(flops=1e22, limit=limits)
    for binding, other in zip(plan.binding, reversed(limits), strict=True):
        freer = sp.optimal(flops=1e22, limit=[other])
        assert binding.excess_loss == pytest.approx(plan.loss - freer.loss, rel=1e-9)
        reached = sp.target(loss=plan.loss, limit=[other])
        assert binding.compute_overhead == pytest.approx(plan.flops / reached.flops - 1, rel=1e-6, abs=1e-9)


def test_a_slack_limit_does_not_bind():
    """It leaves the answer of the unlimited question, digit by digit."""
    plan, free = sp.optimal(flops=1e21, limit=["params <= 70B", "loss <= 3"]), sp.optimal(flops=1e21)
    assert plan.binding == ()
    assert (plan.params, plan.tokens, plan.loss) == (free.params, free.tokens, free.loss)


@pytest.mark.parametrize(
    "limits, named, least",
    [
        (["params <= 1B", "tokens <= 1T", "params >= 2B"], ["params <= 1B", "params >= 2B"], None),
        (["params >= 7B", "tokens_per_param = 20", "loss <= 3"], ["params >= 7B", "tokens_per_param = 20"], 5.88e21),
        (["loss <= 2.2", "params <= 100B"], ["loss <= 2.2"], 3.91825e21),
        (["flops >= 1e22 FLOP", "params <= 1B"], ["flops >= 1e22 FLOP"], 1e22),
        (["loss <= 1.8"], ["loss <= 1.8"], None),
    ],
)  # fmt: skip
def test_a_conflict_names_the_smallest_set_and_the_least_budget(limits, named, least):
    """Limits that play no part are not named; the hint gives a budget with which all hold."""
    with pytest.raises(UnreachableError) as caught:
        sp.optimal(flops=1e21, limit=limits)
    error = caught.value
    assert [text for text in limits if f"'{text}'" in error.message] == named
    assert error.exit_status == 1
    if least is None:
        assert "no budget" in error.hint
        return
    assert f"{least:g}".replace("e+", "e") in error.hint
    sp.optimal(flops=least * (1 + 1e-5), limit=limits)
    with pytest.raises(UnreachableError):
        sp.optimal(flops=least * (1 - 1e-5), limit=limits)


@pytest.mark.parametrize(
    "limit, words, why",
    [
        ("days <= 30", {}, "needs --gpu"),
        ("days <= 30", H100, "needs --gpus"),
        ("epochs <= 4", {}, "needs --unique-tokens"),
        ("epochs <= 0.5", {"unique_tokens": 1e9}, "less than one epoch"),
        ("memory_gb <= 80", {}, "needs --gpu and --gpus"),
        ("loss >= 2", {}, "no less than a loss"),
        ("loss@90% <= 2", {}, "at a confidence"),
        ("carbon_kg <= 5", {}, "cannot bound a plan"),
    ],
)
def test_a_limit_that_cannot_be_kept_says_why(limit, words, why):
    """What it lacks is named."""
    with pytest.raises(UsageError, match=why):
        sp.optimal(flops=1e21, limit=[limit], **words)


def test_a_target_keeps_limits():
    """The least budget for a loss with a small model is more than without."""
    plan, free = sp.target(loss=2.1, limit=["params <= 7B"]), sp.target(loss=2.1)
    assert plan.params == pytest.approx(7e9, rel=1e-12)
    assert plan.loss == pytest.approx(2.1, rel=1e-12)
    assert plan.flops > free.flops


def test_laws_without_a_loss_are_left_out_of_a_constrained_comparison():
    """Those that measured the split only cannot trade it, and the warning says so."""
    for words in ({"unique_tokens": 2.5e10}, {"limit": ["tokens_per_param >= 50"]}):
        found = sp.compare(flops=1e22, **words)
        assert "besiroglu-2024" in {plan.preset for plan in found}
        said = [each.message for each in found.warnings if each.code == "left_out"]
        assert any("hoffmann-2022-a1 is left out" in message for message in said)
        assert all(plan.loss is not None for plan in found)
    with pytest.raises(UsageError, match="none of these laws"):
        sp.compare(flops=1e22, unique_tokens=1e10, presets=["llama3-2024"])


def test_a_limit_on_the_loss_holds_for_every_budget_of_an_array():
    """One budget that does not reach it is refused, as it is alone."""
    assert len(sp.optimal_array([1e23, 1e24], limit=["loss <= 2.1"])) == 2
    with pytest.raises(UnreachableError, match=r"loss <= 2\.1"):
        sp.optimal_array([1e20, 1e24], limit=["loss <= 2.1"])


def test_a_limit_on_compute_holds_to_the_last_digit_beside_much_inference():
    """Training is a ten-thousandth of this cost, and what whole counts leave of the rest is no part of it."""
    plan = sp.optimal(cost="2.96e6", gpu="h100-sxm", inference_tokens="7.22e13", limit=["flops <= 3.422e18"])
    assert plan.flops <= 3.422e18 * (1 + 1e-12)
    assert plan.flops == pytest.approx(6 * plan.params * plan.tokens, rel=1e-5)
