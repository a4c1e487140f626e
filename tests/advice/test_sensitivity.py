"""What moves the answer: plans again, one assumption at a time."""

from __future__ import annotations

import pytest

import scaleplan as sp
from scaleplan.advice.sensitivity import sensitivity
from scaleplan.hardware.prices import Prices
from scaleplan.planning.context import Context

ASKED = {"gpus": 64, "time": "30d", "gpu": "h100-sxm"}


@pytest.fixture(autouse=True, scope="module")
def _bundled_data_only(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALEPLAN_PRESETS", str(tmp_path_factory.mktemp("presets")))
        yield


@pytest.fixture(scope="module")
def swings():
    """Return the swings of a cluster's plan, by assumption."""
    found = sensitivity(ASKED, sp.optimal(**ASKED), sp.compare(**ASKED).plans, Context())
    return {swing.assumption: swing for swing in found}


def test_each_case_is_the_plan_with_that_assumption(swings):
    """Utilisation by the band of the default either way, data by half."""
    plan = sp.optimal(**ASKED)
    low = sp.optimal(**ASKED, mfu=plan.budget.mfu / plan.budget.band, goodput=plan.budget.goodput)
    assert (swings["the utilisation"].low.params, swings["the utilisation"].low.loss) == (low.params, low.loss)
    half = sp.optimal(**ASKED, limit=[f"tokens <= {plan.tokens / 2!r}"])
    assert swings["the data"].low.loss == pytest.approx(half.loss)


def test_the_price_ranges_over_the_listed_ones(swings):
    """It moves the cost of a cluster and not its model."""
    listed = [price.usd_per_hour for price in Prices().listed("h100-sxm")]
    swing = swings["the price"]
    hours = sp.optimal(**ASKED).budget.gpu_hours
    assert (swing.low.cost, swing.high.cost) == pytest.approx((hours * min(listed), hours * max(listed)))
    assert swing.factor("params") == 1


def test_with_a_budget_in_money_the_price_moves_the_model():
    """Dearer hours buy a smaller model."""
    asked = {"cost": "250k", "gpu": "h100-sxm"}
    found = {s.assumption: s for s in sensitivity(asked, sp.optimal(**asked), (), Context())}
    assert found["the price"].low.params > found["the price"].high.params
    assert found["the price"].factor("cost") == 1


def test_a_law_that_later_work_corrects_is_no_end_of_the_laws():
    """Kaplan's, which warns of itself, would put 132B beside 29B; of its own plan it is an end all the same."""
    for preset in (None, "kaplan-2020"):
        asked = {"flops": 1e23, "preset": preset}
        found = {
            s.assumption: s for s in sensitivity(asked, sp.optimal(**asked), sp.compare(flops=1e23).plans, Context())
        }
        ends = {found["the law"].low.assumed, found["the law"].high.assumed}
        assert ("kaplan-2020" in ends) == (preset == "kaplan-2020")


def test_a_cause_is_ranked_once(swings):
    """The interval of the law at 99 % is no cause beside that at 90 %."""
    assert [name for name in swings if name.startswith("the law's")] == ["the law's coefficients, 90 %"]


def test_losses_of_other_laws_are_not_among_the_cases(swings):
    """They stand on other text."""
    assert swings["the law"].low.loss is None
    assert swings["the law"].factor("params") > 1.5


def test_the_largest_swing_comes_first():
    """In whatever quantity it moves."""
    found = sensitivity(ASKED, sp.optimal(**ASKED), sp.compare(**ASKED).plans, Context())
    sizes = [max(s.factor(name) for name in ("params", "tokens", "loss", "flops", "cost")) for s in found]
    assert sizes == sorted(sizes, reverse=True)


def test_without_hardware_neither_price_nor_utilisation_matters():
    """A budget in FLOP rests on the law alone."""
    found = sensitivity({"flops": 1e21}, sp.optimal(flops=1e21), sp.compare(flops=1e21).plans, Context())
    assert {swing.assumption for swing in found} == {
        "the law",
        "the law's coefficients, 90 %",
        "the data",
    }
