"""The pictures of planning hold the numbers that planning gives."""

from __future__ import annotations

import pytest

import scaleplan as sp
from scaleplan.charts import planning_plots as curves
from scaleplan.charts import planning_plots as planning
from scaleplan.errors import UsageError
from scaleplan.planning.context import Context
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import Request

CONTEXT = Context()


def planner_of(**words):
    """Return the planner of a question in the words of the options."""
    return Planner.of(Request.of(words, CONTEXT), CONTEXT)


PRICE = {"gpu": "h100-sxm", "mfu": 0.4, "price": 2.0}


def test_every_point_of_the_frontier_is_a_plan(charts):
    """Parameters, tokens and their intervals are those of ``optimal`` at the same budget."""
    chart = charts["frontier"]
    for series in chart.series:
        name = {"parameters": "params", "tokens": "tokens"}[series.label]
        for i in range(0, len(series.x), 7):
            plan = sp.optimal(flops=series.x[i])
            assert series.y[i] == pytest.approx(getattr(plan, name), rel=1e-12)
            low, high = getattr(plan.interval, name)
            assert (series.low[i], series.high[i]) == pytest.approx((low, high), rel=1e-9)


def test_a_curve_is_dashed_exactly_outside_the_fitted_range(charts):
    """Solid and dashed parts meet at the ends of the range, which belong to both."""
    for kind in ("frontier", "loss"):
        chart = charts[kind]
        low, high = chart.fitted
        for series in chart.series:
            if series.style == "measured":
                assert (series.x[0], series.x[-1]) == (low, high)
            else:
                assert series.x[0] == high
                assert series.x[-1] == pytest.approx(1e24)


def test_isoflop_curves_spend_their_budget_and_are_lowest_at_the_optimum(charts, planner):
    """Each point's loss is that of the size on all the tokens its budget buys, by C = 6ND."""
    chart = charts["isoflop"]
    for flops, mark in zip((1e20, 1e21, 1e23), chart.marks, strict=True):
        best = sp.optimal(flops=flops)
        assert (mark.x, mark.y) == pytest.approx((best.params, best.loss), rel=1e-9)
        curve = next(s for s in chart.series if s.tone == mark.tone and s.style != "near_optimal")
        assert min(curve.y) == mark.y
        for size, loss in list(zip(curve.x, curve.y, strict=True))[::9]:
            assert loss == pytest.approx(planner.preset.law.loss(size, flops / 6 / size), rel=1e-12)


def test_the_near_optimal_part_ends_where_the_plan_says(charts):
    """Its ends are the sizes that cost 5 % more compute."""
    parts = [series for series in charts["isoflop"].series if series.style == "near_optimal"]
    for flops, part in zip((1e20, 1e21, 1e23), parts, strict=True):
        assert (part.x[0], part.x[-1]) == pytest.approx(sp.optimal(flops=flops).near_optimal.params, rel=1e-9)


def test_the_curve_beyond_the_fitted_compute_is_extrapolated(charts):
    """1e23 FLOP lies outside the law's range, 1e20 and 1e21 inside."""
    curves = [series for series in charts["isoflop"].series if series.style != "near_optimal"]
    assert [series.style for series in curves] == ["measured", "measured", "extrapolated"]


def test_the_loss_never_meets_its_floor(charts):
    """The rule is E of the law (1.8172, Besiroglu et al. 2024), below every point."""
    chart = charts["loss"]
    assert chart.rules[0].at == 1.8172
    assert min(chart.values("y")) == 1.8172


def test_laws_are_compared_in_total_parameters(charts):
    """Kaplan's non-embedding count is converted; each law is dashed by its own range."""
    chart = charts["compare"]
    wanted = {plan.preset: plan.converted.params for plan in sp.compare(flops=1e23)}
    for label in chart.labels:
        found = [y for s in chart.series if s.label == label for x, y in zip(s.x, s.y, strict=True) if x == 1e23]
        assert found[0] == pytest.approx(wanted[label], rel=1e-9)
    assert "kaplan-2020" in chart.labels


def test_a_law_sized_in_flop_per_token_is_named_and_not_drawn():
    """DeepSeek's M is no number of parameters."""
    laws = [planner_of(preset=name) for name in ("besiroglu-2024", "deepseek-llm-2024")]
    chart = planning.compare_chart(laws, [1e20, 1e21])
    assert list(chart.labels) == ["besiroglu-2024"]
    assert "deepseek-llm-2024" in chart.caption


def test_the_next_percent_costs_what_target_says(charts):
    """One, two and three percent less loss, each at the least budget that reaches it."""
    start, *steps = charts["cost"].marks
    assert start.x == 1e21
    for share, mark in zip((0.01, 0.02, 0.03), steps, strict=True):
        assert mark.y == pytest.approx(start.y * (1 - share), rel=1e-12)
        assert mark.x == pytest.approx(sp.target(loss=mark.y).flops, rel=1e-9)


def test_money_is_the_money_of_a_plan():
    """With hardware the axis is US dollars, as ``optimal`` prices the same compute."""
    from scaleplan.charts.plots import plot

    chart = plot("cost", flops=1e21, **PRICE)
    assert chart.x.unit == "USD"
    assert chart.marks[0].x == pytest.approx(sp.optimal(flops=1e21, **PRICE).budget.cost, rel=1e-12)


def test_budgets_that_leave_no_model_are_left_out():
    """A frontier of at least 20B parameters starts where such a model can be trained at all."""
    planner = planner_of(limit=["params >= 20B", "tokens >= 20B"])
    chart = planning.frontier_chart(planner, [1e18, 1e20, 1e22, 1e23, 1e24])
    assert min(chart.values("x")) == 1e22


def test_a_law_without_a_surface_has_no_isoflop_curves():
    """The refusal names a law that has them."""
    with pytest.raises(UsageError, match="no loss for a chosen size"):
        planning.isoflop_chart(planner_of(preset="llama3-2024"), [1e21])


def test_an_empty_range_is_refused(planner):
    """The ends must be in order."""
    with pytest.raises(UsageError, match="is empty"):
        curves.budgets_around(planner.preset, low=1e22, high=1e20)
