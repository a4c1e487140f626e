"""The picture of inference: two bills that meet where the plan pays back."""

from __future__ import annotations

import pytest

import scaleplan as sp
from scaleplan.charts.plots import plot
from scaleplan.errors import UsageError

ASKED = {"flops": 1e22, "inference_tokens": "1T"}


def test_the_bills_meet_where_the_plan_pays_back():
    """Training plus 2 FLOP a parameter and token served (Sardana et al. 2024), equal at the crossing."""
    chart, plan = plot("break-even", **ASKED), sp.optimal(**ASKED)
    other = plan.constraints["training_only"]
    ours, theirs = (dict(zip(s.x, s.y, strict=True)) for s in chart.series)
    meeting = other.pays_back_at_tokens
    assert ours[meeting] == pytest.approx(theirs[meeting], rel=1e-9)
    assert ours[1e12] == pytest.approx(plan.flops + 2 * plan.params * 1e12, rel=1e-12)
    assert theirs[1e12] == pytest.approx(other.flops + 2 * other.params * 1e12, rel=1e-12)
    assert chart.marks[0].x == meeting


def test_a_model_trained_beyond_the_runs_of_the_law_is_dotted():
    """The smaller model on more tokens than any run of the law had; the other one is within them."""
    asked = {**ASKED, "inference_tokens": "2T"}
    chart, plan = plot("break-even", **asked), sp.optimal(**asked)
    assert plan.tokens > 318e9 > plan.constraints["training_only"].tokens
    assert [series.style for series in chart.series] == ["extrapolated", "measured"]


def test_inference_counted_in_money_is_drawn_in_money():
    """At the demand the bill is the plan's own total."""
    asked = {**ASKED, "gpu": "h100-sxm", "mfu": 0.4, "price": 2.0, "inference_mfu": 0.1}
    chart, plan = plot("break-even", **asked), sp.optimal(**asked)
    ours = dict(zip(chart.series[0].x, chart.series[0].y, strict=True))
    assert chart.y.unit == "USD"
    assert ours[1e12] == pytest.approx(plan.total_cost, rel=1e-9)


def test_without_a_demand_there_is_nothing_to_draw():
    """The hint names the option."""
    with pytest.raises(UsageError, match="needs a demand"):
        plot("break-even", flops=1e22)
