"""Inference demand in FLOP and in money, the table of demands, and the recipe multiplier."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from itertools import pairwise

import pytest

import scaleplan as sp
from scaleplan.errors import UsageError

H100 = {"gpu": "h100-sxm", "mfu": 0.4, "price": 2}
PEAK = 989.4e12


def codes(plan):
    return {each.code for each in plan.warnings}


def test_the_first_order_condition_holds():
    """At the optimum eps_N/eps_D = 1 + D_inf/(3 D) (Sardana et al., in elasticities of the reducible loss)."""
    law = sp.Library().load("besiroglu-2024").law
    plan = sp.optimal(flops=1e23, inference_tokens="3T")
    sizes, data = law.alpha * law.A * plan.params**-law.alpha, law.beta * law.B * plan.tokens**-law.beta
    assert sizes / data == pytest.approx(1 + 3e12 / (3 * plan.tokens), rel=1e-7)
    assert plan.total_flops == pytest.approx(1e23, rel=1e-12)


def test_money_weighs_each_side_by_its_own_utilisation_and_price():
    """Dollars: 6ND/(peak*0.4)*2 + 2N D_inf/(peak*0.05)*3, minimised at the budget."""
    plan = sp.optimal(cost=1e6, inference_tokens=1e12, inference_mfu=0.05, inference_price=3, **H100)
    training = 6 * plan.params * plan.tokens / (PEAK * 0.4 * 3600) * 2
    inference = 2 * plan.params * 1e12 / (PEAK * 0.05 * 3600) * 3
    assert plan.total_cost == pytest.approx(training + inference, rel=1e-12)
    assert plan.total_cost == pytest.approx(1e6, rel=1e-9)
    assert plan.inference_cost == pytest.approx(inference, rel=1e-12)
    assert plan.budget.cost == pytest.approx(training, rel=1e-9)
    weight = 0.4 / 0.05 * 3 / 2
    same = sp.optimal(flops=1e6 / 2 * PEAK * 0.4 * 3600, inference_tokens=weight * 1e12)
    assert (plan.params, plan.tokens) == pytest.approx((same.params, same.tokens), rel=1e-9)


def test_it_pays_back_where_it_says():
    """At that demand the plan and the training optimum cost the same."""
    only = (plan := sp.target(loss=2.1, inference_tokens="1T")).training_only
    demand = only.pays_back_at_tokens
    assert plan.flops + 2 * plan.params * demand == pytest.approx(only.flops + 2 * only.params * demand, rel=1e-9)
    assert 0 < demand < 1e12


def test_a_cost_limit_is_on_the_whole_bill():
    """Training and inference together keep to it, and a least one is refused."""
    words = {"inference_tokens": 1e12, "inference_mfu": 0.05, **H100}
    plan = sp.optimal(cost=1e6, limit=["cost <= 200k USD"], **words)
    assert plan.total_cost == pytest.approx(200e3, rel=1e-9)
    with pytest.raises(UsageError, match="a least cost"):
        sp.optimal(cost=1e6, limit=["cost >= 200k USD"], **words)


@pytest.mark.parametrize(
    "words, why",
    [
        ({"inference_mfu": 0.1}, "without a demand"),
        ({"inference_tokens": 1e12, "inference_price": 2}, "needs --inference-mfu"),
        ({"inference_tokens": 1e12, "inference_mfu": 0.1}, "needs --gpu"),
        ({"inference_tokens": 1e12, "preset": "llama3-2024"}, "no loss to trade"),
    ],
)
def test_a_demand_that_cannot_be_counted_says_why(words, why):
    """What it lacks is named."""
    with pytest.raises(UsageError, match=why):
        sp.optimal(flops=1e21, **words)


def test_leaving_the_range_of_tokens_per_parameter_is_said():
    """Besiroglu's runs have at most 341 tokens per parameter; a huge demand leaves that."""
    assert "extrapolated_tokens_per_param" in codes(sp.target(loss=2.3, inference_tokens="100T"))


def test_the_table_of_demands_rises_and_ends_at_the_last():
    """More demand, a smaller model on more tokens, and a larger saving."""
    plans = list(sp.break_even(params="7B", start="10B", stop="10T", points=4))
    assert [plan.inference_tokens for plan in plans] == pytest.approx([1e10, 1e11, 1e12, 1e13], rel=1e-12)
    assert plans[-1].inference_tokens == 1e13
    for before, after in pairwise(plans):
        assert before.params > after.params
        assert before.training_only.saving < after.training_only.saving
    assert plans[0].training_only.params == pytest.approx(7e9, rel=1e-6)


@pytest.mark.parametrize("words", [{}, {"loss": 2, "params": 1e9}, {"loss": 2, "start": 1e12, "stop": 1e11}])
def test_a_table_without_a_loss_or_a_range_is_refused(words):
    """One loss, and a range that rises."""
    with pytest.raises(UsageError):
        sp.break_even(**words)


def test_a_multiplier_moves_the_budget():
    """With exponents alike (Muennighoff's law) the plan is that of the same budget, its loss that of the larger."""
    law = {"preset": "muennighoff-2023"}
    plan, same, larger = (
        sp.optimal(flops=1e21, compute_multiplier=1.4, **law),
        *(sp.optimal(flops=flops, **law) for flops in (1e21, 1.4e21)),
    )
    assert (plan.params, plan.tokens) == pytest.approx((same.params, same.tokens), rel=1e-12)
    assert plan.loss == pytest.approx(larger.loss, rel=1e-12)
    assert "assumed_multiplier" in codes(plan)
    assert plan.excess_loss == 0


def test_the_law_follows_the_data_constraint_unless_one_is_named():
    """Repetition was measured on muennighoff-2023; another law is used when asked for, and flagged."""
    own, carried = (
        sp.optimal(flops=1e21, unique_tokens=1e10),
        sp.optimal(flops=1e21, unique_tokens=1e10, preset="besiroglu-2024"),
    )
    assert own.preset == "muennighoff-2023"
    assert "preset_switched" in codes(own)
    assert "carried_over" not in codes(own)
    assert carried.preset == "besiroglu-2024"
    assert "carried_over" in codes(carried)
    assert carried.interval.params[0] < carried.params < carried.interval.params[1]


@pytest.mark.parametrize(
    "unique, code", [("20B", "data_repeated"), ("4B", "data_worn"), ("1B", "data_exhausted"), ("80B", None)]
)
def test_epochs_warn_by_how_many_they_are(unique, code):
    """Above 4, 16 and 40 epochs (Muennighoff et al., section 5)."""
    said = codes(sp.loss(params="1B", tokens="81B", unique_tokens=unique))
    assert said & {"data_repeated", "data_worn", "data_exhausted"} == ({code} if code else set())


def test_twice_the_data_is_worth_what_it_says():
    """The loss of the same budget with twice the unique tokens."""
    plan, more = (sp.optimal(flops=1e22, unique_tokens=unique) for unique in (2.5e10, 5e10))
    assert plan.loss_if_data_doubled == pytest.approx(more.loss, rel=1e-12)


def test_a_kink_is_met_exactly():
    """Where one epoch is the best the tokens are the unique ones, not nearly."""
    plan = sp.optimal(flops=1e21, unique_tokens=5.7e10)
    assert plan.epochs == 1 or not math.isclose(plan.epochs, 1, rel_tol=1e-6)


def test_a_constrained_plan_loads_neither_numpy_nor_scipy():
    """One budget with every constraint is solved in plain floats."""
    code = (
        "import sys, scaleplan as sp\n"
        "sp.optimal(flops=1e22, unique_tokens=5e10, inference_tokens=1e12, compute_multiplier=1.1, "
        "limit=['params <= 5B', 'epochs <= 4'])\n"
        "print(sorted({'numpy', 'scipy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_lines_agree_with_python():
    """Target with a demand, and the table, as JSON."""
    run = [sys.executable, "-m", "scaleplan"]
    words = ["target", "--loss", "2.2", "--inference-tokens", "1T", "--limit", "params <= 3B", "--json"]
    plan = json.loads(subprocess.run([*run, *words], capture_output=True, text=True, check=True).stdout)
    same = sp.target(loss=2.2, inference_tokens=1e12, limit=["params <= 3B"])
    assert plan == json.loads(json.dumps(same.to_dict()))
    words = ["break-even", "--loss", "2.2", "--from", "1T", "--to", "2T", "--points", "2"]
    wide = {**os.environ, "COLUMNS": "120"}
    text = subprocess.run([*run, *words], capture_output=True, text=True, check=True, env=wide).stdout
    assert "pays back at" in text
    assert "best for training alone" in text
