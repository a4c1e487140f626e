"""Tests of the marginal view against the closed form of the additive law."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest

from scaleplan.advice.marginal import marginal
from scaleplan.api import loss
from scaleplan.errors import ScaleplanError, UnreachableError
from scaleplan.files import data_folder
from scaleplan.presets.library import Library

PRESET = "besiroglu-2024"


def test_the_loss_above_the_floor_is_a_power_of_compute():
    """L - E ~ C^-(alpha beta / (alpha + beta)) on the frontier (Hoffmann et al. 2022, eq. 4), so a doubling's gain
    is a fixed part of what is left, and halving that takes 2^(1/exponent) of the compute."""
    law = Library().load(PRESET).published.coefficients()
    exponent = law["alpha"] * law["beta"] / (law["alpha"] + law["beta"])
    result = marginal(preset=PRESET, flops=1e21)
    left = result.loss - result.floor
    assert result.floor == pytest.approx(law["E"], rel=1e-12)
    assert result.exponent == pytest.approx(exponent, rel=1e-4)  # the central difference over 1 % is of second order
    assert result.gain_per_doubling == pytest.approx(left * (1 - 2**-exponent), rel=1e-9)
    assert result.gain_of_next_percent == pytest.approx(left * (1 - 1.01**-exponent), rel=1e-9)
    assert result.halving_factor == pytest.approx(2 ** (1 / exponent), rel=1e-9)
    assert result.flops_per_hundredth == pytest.approx(
        1e21 * ((left / (left - 0.01)) ** (1 / exponent) - 1), rel=1e-7
    )


def test_each_step_is_the_optimum_of_its_budget_and_gains_diminish():
    """Every doubling gains the same part of the one before, and its loss is that of its own plan."""
    result = marginal(preset=PRESET, flops=1e21, doublings=8)
    gains = [step.gain for step in result.steps[1:]]
    ratios = [later / earlier for earlier, later in pairwise(gains)]
    assert len(result.steps) == 9
    assert ratios == pytest.approx([2**-result.exponent] * 7, rel=1e-4)
    for step in result.steps:
        assert step.loss == pytest.approx(loss(preset=PRESET, params=step.params, tokens=step.tokens).loss, rel=1e-12)


def test_the_gain_is_surer_than_the_losses_it_lies_between():
    """Both ends move together with the coefficients, so the interval of the gain is far inside that of the loss."""
    result = marginal(preset=PRESET, flops=1e21)
    step = result.steps[1]
    low, high = step.gain_interval
    interval = loss(preset=PRESET, params=step.params, tokens=step.tokens).interval.loss
    assert low < step.gain < high
    assert high - low < 0.5 * (interval[1] - interval[0])


def test_money_follows_the_compute():
    """With a price, 1 % more costs 1 % more, and each doubling costs what all before it cost."""
    result = marginal(preset=PRESET, cost=1e6, gpu="h100-sxm", mfu=0.4, price=2.5)
    assert result.cost == pytest.approx(1e6, rel=1e-12)
    assert result.cost_of_next_percent == pytest.approx(1e4, rel=1e-12)
    assert result.cost_per_hundredth == pytest.approx(1e6 * result.flops_per_hundredth / result.flops, rel=1e-12)
    assert [step.extra_cost for step in result.steps[1:3]] == pytest.approx([1e6, 2e6], rel=1e-12)


def test_without_a_floor_nothing_is_below_reach():
    """Kaplan's law goes to zero: no floor is claimed, and a gain of 0.01 has its price."""
    result = marginal(preset="kaplan-2020", flops=1e20)
    assert result.floor is None
    assert result.flops_per_hundredth > 0


def test_a_gain_beyond_the_floor_has_no_price():
    """Close to the irreducible loss no compute buys another hundredth."""
    result = marginal(preset=PRESET, flops=4e30, doublings=1)
    assert result.loss - result.floor < 0.01
    assert result.flops_per_hundredth is None
    assert result.cost_per_hundredth is None


@pytest.mark.parametrize(
    "words",
    [
        {"flops": 1e21, "doublings": 0},
        {"flops": 1e21, "doublings": 1000},
        {"flops": 1e21, "preset": "llama3-2024"},
        {},
        {"flops": 1e21, "cost": 5},
    ],
)
def test_what_cannot_be_answered_is_refused(words):
    """Too few or too many doublings, a law without a loss, no budget, two budgets."""
    with pytest.raises(ScaleplanError):
        marginal(**words)


def test_the_result_is_plain_and_finite():
    """Its mapping has the schema first, and no number that JSON lacks."""
    data = marginal(preset=PRESET, flops=1e21).to_dict()
    assert next(iter(data.items())) == ("schema", "scaleplan/marginal/1")
    assert all(math.isfinite(value) for value in data.values() if isinstance(value, float))


@pytest.mark.parametrize("flops", [6e21, 1e24])
def test_limits_that_hold_the_compute_leave_nothing_to_gain(flops):
    """1B parameters on 1T tokens take 6e21 FLOP: no budget above it is spent, so none has a price or a gain."""
    with pytest.raises(UnreachableError, match="no doubling of 6e21 FLOP") as caught:
        marginal(flops=flops, limit=["tokens <= 1T", "params <= 1B"])
    assert caught.value.hint


def test_doublings_end_where_limits_hold_the_compute():
    """8B parameters on 1T tokens take 4.8e22 FLOP, which three doublings of 5e21 keep to and a fourth does not."""
    result = marginal(flops=5e21, limit=["tokens <= 1T", "params <= 8B"])
    assert [step.flops for step in result.steps] == [5e21, 1e22, 2e22, 4e22]
    assert "the limits allow 3 of 6 doublings" in [notice.message for notice in result.warnings]


def test_a_gain_too_small_for_a_number_has_no_interval(tmp_path):
    """A law so steep that a doubling changes no digit of the loss gains 0, whose logarithm there is not."""
    text = (data_folder() / "laws" / "besiroglu-2024-converged.toml").read_text(encoding="utf-8")
    law = tmp_path / "steep.toml"
    law.write_text(re.sub(r"^(alpha|beta) = .*$", r"\1 = 4.0", text, flags=re.MULTILINE))
    assert [step.gain_interval for step in marginal(preset=str(law), flops=1e21, doublings=1).steps] == [None, None]
