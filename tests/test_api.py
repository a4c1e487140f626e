"""The Python API: the words of the options, typed results, and arrays."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from itertools import pairwise

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.errors import QuantityError, ScaleplanError, UnknownNameError, UnreachableError, UsageError


def test_texts_and_numbers_are_the_same_question():
    """Amounts as a person writes them, or in base units."""
    assert sp.optimal(flops="1e21") == sp.optimal(flops=1e21) == sp.optimal(flops="1 ZFLOP")
    assert sp.loss(params="7B", tokens="2T") == sp.loss(params=7e9, tokens=2e12)
    cluster = {"gpu": "h100-sxm", "mfu": 0.4}
    assert sp.optimal(gpus=64, time="30d", **cluster) == sp.optimal(gpus="64", time=30 * 86400.0, **cluster)
    assert sp.optimal(cost="250k USD", **cluster) == sp.optimal(cost=250_000, **cluster)


def test_a_result_is_frozen_and_has_the_keys_of_the_json():
    """Attributes are keys; ``to_dict`` is what ``--json`` prints."""
    plan = sp.optimal(flops="1e21")
    data = plan.to_dict()
    assert data["schema"] == "scaleplan/plan/1"
    assert all(data[name] == getattr(plan, name) for name in ("params", "tokens", "loss", "preset", "flops"))
    assert data["interval"]["params"] == list(plan.interval.params)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    with pytest.raises(FrozenInstanceError):
        plan.params = 1.0


def test_the_budget_says_how_it_came_about():
    """The derivation is part of the result."""
    plan = sp.optimal(gpu_hours="10k H100-hours", mfu="40%")
    assert plan.budget.source == "gpu_hours"
    assert plan.budget.gpu == "h100-sxm"
    assert plan.flops == pytest.approx(1e4 * 3600 * plan.budget.peak_flops_per_s * plan.budget.utilisation)


def test_a_default_utilisation_agrees_with_the_size_it_pays_for():
    """The utilisation depends on the size, and the size on the budget: asking with the answer gives the answer."""
    plan = sp.optimal(gpus=512, gpu="h100-sxm", time="30d")
    again = sp.optimal(gpus=512, gpu="h100-sxm", time="30d", mfu=plan.budget.mfu, goodput=plan.budget.goodput)
    assert again.params == pytest.approx(plan.params, rel=1e-12)


def test_a_target_says_what_its_compute_costs_on_the_hardware():
    """Hours, days and money of the least budget."""
    plan = sp.target(loss=2.2, gpu="h100-sxm", gpus=64, mfu=0.4, goodput=1.0, price=2.0)
    hours = plan.flops / (plan.budget.peak_flops_per_s * 0.4 * 3600)
    assert plan.budget.gpu_hours == pytest.approx(hours)
    assert plan.budget.days == pytest.approx(hours / 64 / 24)
    assert plan.budget.cost == pytest.approx(2 * hours)


def test_a_sweep_is_even_in_the_logarithm_and_holds_both_ends():
    """Thirteen budgets by default."""
    plans = sp.sweep(start="1e18", stop="1e24")
    flops = [plan.flops for plan in plans]
    assert (len(plans), flops[0], flops[-1]) == (13, 1e18, 1e24)
    assert all(high / low == pytest.approx(10**0.5) for low, high in pairwise(flops))
    assert plans.to_dict()["schema"] == "scaleplan/plans/1"


def test_a_sweep_over_money_is_a_sweep_of_budgets():
    """Any form of the budget can be ranged over."""
    plans = sp.sweep(start="10k", stop="1M", points=3, by="cost", gpu="h100-sxm")
    assert [plan.budget.cost for plan in plans] == pytest.approx([1e4, 1e5, 1e6])


def test_a_comparison_leaves_out_what_cannot_answer_and_says_so():
    """One law that chooses, and one that must not."""
    plans = sp.compare(flops="1e21", presets=["chinchilla", "gadre-2024-c4"])
    assert [plan.preset for plan in plans] == ["besiroglu-2024"]
    assert [notice.code for notice in plans.warnings] == ["left_out"]


def test_an_array_of_budgets_gives_arrays():
    """Columns with the names of the keys, single plans when iterated."""
    many = sp.optimal_array(np.geomspace(1e18, 1e24, 7))
    assert len(many) == 7
    assert many.preset == "besiroglu-2024"
    for name in ("flops", "params", "tokens", "loss", "tokens_per_param"):
        assert getattr(many, name).shape == (7,)
    assert many.tokens_per_param == pytest.approx(many.tokens / many.params)
    assert many.interval.level == 0.9
    assert np.all(many.interval.params[0] < many.params)
    assert np.all(many.near_optimal_params[1] > many.params)
    plans = list(many)
    assert [plan.params for plan in plans] == pytest.approx(many.params.tolist(), rel=1e-12)
    assert plans[0].near_optimal.params == pytest.approx([edge[0] for edge in many.near_optimal_params], rel=1e-12)
    assert many.to_dict()["plans"][3] == sp.optimal(flops=float(many.flops[3])).to_dict() | {
        "budget": plans[3].to_dict()["budget"]
    }


def test_arrays_keep_limits_and_take_lists():
    """The words of ``optimal``."""
    many = sp.optimal_array([1e21, 1e23], limit=["params <= 1B"], preset="chinchilla")
    assert many.params.tolist() == [1e9, 1e9]
    assert sp.optimal_array([], preset="kaplan").params.shape == (0,)


@pytest.mark.parametrize(
    "limit", ["params <= 5B", "tokens <= 1T", "tokens_per_param >= 30", "flops <= 1e20", "loss <= 2.4"]
)
def test_every_limit_means_the_same_for_one_budget_and_many(limit):
    """Also those on compute and on the loss."""
    for flops in (1e20, 1e22, 1e24):
        try:
            one = sp.optimal(flops=flops, limit=[limit])
        except UnreachableError:
            with pytest.raises(UnreachableError):
                sp.optimal_array([flops], limit=[limit])
            continue
        many = sp.optimal_array([flops], limit=[limit])
        assert many.params[0] == pytest.approx(one.params, rel=1e-9)
        assert many.tokens[0] == pytest.approx(one.tokens, rel=1e-9)


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (sp.optimal, UsageError),
        (lambda: sp.optimal(flops="1e21", cost="1M", gpu="h100"), UsageError),
        (lambda: sp.optimal(flops="1e21 FLOPS"), QuantityError),
        (lambda: sp.optimal(flops=float("nan")), ScaleplanError),
        (lambda: sp.optimal(flops=True), ScaleplanError),
        (lambda: sp.optimal(flops=10**400), ScaleplanError),
        (lambda: sp.optimal(flops=1e21, preset="nosuch"), UnknownNameError),
        (lambda: sp.optimal(flops=1e21, level=2), ScaleplanError),
        (lambda: sp.optimal(flops=1e21, batch_regime="small"), UsageError),
        (lambda: sp.optimal(flops=1e21, preset="kaplan", batch_regime="tiny"), UnknownNameError),
        (sp.target, UsageError),
        (lambda: sp.target(loss=2, params="7B"), UsageError),
        (lambda: sp.target(loss=1.0), UnreachableError),
        (lambda: sp.sweep(start=1e24, stop=1e18), UsageError),
        (lambda: sp.sweep(start=1e18, stop=1e24, points=1), UsageError),
        (lambda: sp.sweep(start=1e18, stop=1e24, by="loss"), UsageError),
        (lambda: sp.optimal_array(["1e21"], preset="gadre-2024-c4"), UsageError),
    ],
)  # fmt: skip
def test_wrong_questions_raise_errors_of_one_root(ask, error):
    """With a message and mostly a hint; none of them is a ValueError."""
    with pytest.raises(error) as caught:
        ask()
    assert isinstance(caught.value, sp.ScaleplanError)
    assert not isinstance(caught.value, ValueError)
    assert caught.value.message


def test_an_unknown_word_is_pythons_own_error():
    """As for any function."""
    with pytest.raises(TypeError, match="flopz"):
        sp.optimal(flopz="1e21")


def test_the_facade_names_what_it_has():
    """Every public name can be imported, and another one cannot."""
    assert all(hasattr(sp, name) for name in sp.__all__)
    assert set(sp.__all__) <= set(dir(sp))
    with pytest.raises(AttributeError, match="nosuch"):
        _ = sp.nosuch


def test_a_preset_may_be_an_object():
    """Loaded once, asked often."""
    preset = sp.Library().load("chinchilla")
    assert sp.optimal(flops=1e21, preset=preset) == sp.optimal(flops=1e21)


def test_several_budgets_in_the_same_call_give_arrays():
    """A list or an array of FLOP is answered by columns, equal to the single plans."""
    budgets = [1e19, 1e21, 1e23]
    plans = sp.optimal(flops=budgets, preset="hoffmann")
    assert plans.params.shape == (3,)
    for flops, params in zip(budgets, plans.params, strict=True):
        assert params == pytest.approx(sp.optimal(flops=flops, preset="hoffmann").params, rel=1e-12)
