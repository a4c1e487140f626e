"""The pictures of planning hold the numbers that planning gives."""

from __future__ import annotations

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.charts import planning_plots as curves
from scaleplan.charts import planning_plots as planning
from scaleplan.charts.plots import plot
from scaleplan.errors import UsageError
from scaleplan.planning.context import Context
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import Request
from scaleplan.units import format_flops

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
        parts = [s for s in chart.series if s.tone == mark.tone and s.style != "near_optimal"]
        assert {part.label for part in parts} == {f"{flops:.0e}".replace("+", "") + " FLOP"}
        assert min(min(part.y) for part in parts) == mark.y
        for size, loss in [pair for part in parts for pair in zip(part.x, part.y, strict=True)][::9]:
            assert loss == pytest.approx(planner.preset.law.loss(size, flops / 6 / size), rel=1e-12)


def test_the_near_optimal_part_ends_where_the_plan_says(charts):
    """Its ends are the sizes that cost 5 % more compute."""
    parts = [series for series in charts["isoflop"].series if series.style == "near_optimal"]
    for flops, part in zip((1e20, 1e21, 1e23), parts, strict=True):
        assert (part.x[0], part.x[-1]) == pytest.approx(sp.optimal(flops=flops).near_optimal.params, rel=1e-9)


def test_isoflop_curves_are_dotted_where_any_quantity_leaves_the_range(charts, planner):
    """Besiroglu et al. fitted 57.3M to 16.2B parameters on 245M to 318B tokens, up to 1.3e22 FLOP."""
    known = planner.preset.range
    curves = [series for series in charts["isoflop"].series if series.style != "near_optimal"]
    for flops, label in ((1e20, "1e20 FLOP"), (1e21, "1e21 FLOP"), (1e23, "1e23 FLOP")):
        for series in (each for each in curves if each.label == label):
            for size in series.x[1:-1]:
                tokens = flops / 6 / size
                values = {"params": size, "tokens": tokens, "flops": flops, "tokens_per_param": tokens / size}
                inside = all(
                    low * (1 - 1e-9) <= values[name] <= high * (1 + 1e-9)
                    for name in values
                    for low, high in [getattr(known, name)]
                )
                assert (series.style == "measured") == inside
    assert {series.style for series in curves if series.label == "1e21 FLOP"} == {"measured", "extrapolated"}
    assert {series.style for series in curves if series.label == "1e23 FLOP"} == {"extrapolated"}


@pytest.mark.parametrize("kind", ["loss", "frontier"])
def test_a_caption_says_that_limits_bound_the_optimum(charts, kind):
    """A plan under a limit is no free optimum; without one nothing is said of limits."""
    assert "for each budget within the limits" in plot(kind, limit=["params <= 7B"]).caption
    assert "limits" not in charts[kind].caption


def test_isoflop_curves_are_labelled_by_what_they_spend():
    """Limits that hold compute to 6 * 20B * 200B leave one curve of that, and the part of another that spends all."""
    chart = plot("isoflop", flops=1e24, limit=["tokens <= 200B", "params <= 20B"])
    assert list(chart.labels) == ["2.4e21 FLOP"]
    assert [mark.label for mark in chart.marks] == ["4.35B at 2.4e21 FLOP", "20.0B at 2.4e22 FLOP"]
    sizes = [size for series in chart.series for size in series.x]
    assert min(sizes) >= 2.4e21 / 6 / 200e9 * (1 - 1e-6)  # a smaller model cannot spend it on 200B tokens
    assert "let no plan spend 1e24 FLOP:" in chart.caption  # what was given, and no budget that nobody asked for


def test_kaplan_is_dotted_beyond_the_sizes_of_its_runs(charts):
    """Its runs had up to 1.5B non-embedding parameters; it states no range of compute."""
    kaplan = [series for series in charts["compare"].series if series.label == "kaplan-2020"]
    assert {series.style for series in kaplan} == {"measured", "extrapolated"}
    (solid,) = (series for series in kaplan if series.style == "measured")
    last = sp.optimal(flops=solid.x[-1], preset="kaplan-2020")
    assert last.params <= 1.5e9 < sp.optimal(flops=2 * solid.x[-1], preset="kaplan-2020").params


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
    """One, two and three percent less loss: the increment to the least budget of each, with its interval."""
    start, *steps = charts["cost"].marks
    assert start.x == 1e21
    for share, mark in zip((0.01, 0.02, 0.03), steps, strict=True):
        assert mark.y == pytest.approx(start.y * (1 - share), rel=1e-12)
        assert mark.x == pytest.approx(sp.target(loss=mark.y).flops, rel=1e-9)
        assert mark.label == f"−{share:.0%}: +{format_flops(mark.x - start.x)}".replace("%", " %")
        assert mark.since == start.x
        assert start.x < mark.span[0] < mark.x < mark.span[1]


def test_the_interval_of_an_increment_is_that_of_the_law(planner):
    """As laws drawn from the covariance of the coefficients have it: their middle 90 %, within sampling error."""
    (step, *_) = planning.next_steps(planner, 1e21)
    known = planner.preset.uncertainty
    draws = np.random.default_rng(3).multivariate_normal(planner.preset.centre(), known.covariance, 400)
    found = []
    for draw in draws:
        frontier = planner.frontier_for(planner.preset.law_at(draw.tolist()))
        loss = frontier.best(1e21)[2]
        found.append(frontier.least_flops(loss * 0.99) - 1e21)
    low, high = np.quantile(found, [0.05, 0.95])
    assert step.interval == pytest.approx((low, high), rel=0.05)


def test_percents_that_nothing_reaches_are_named_and_not_promised():
    """A law whose loss cannot fall by three percent any more says so below the picture."""
    chart = plot("cost", flops="1e27")
    floor = 1.8172
    reached = [share for share in (0.01, 0.02, 0.03) if chart.marks[0].y * (1 - share) > floor]
    assert len(chart.marks) == 1 + len(reached) < 4
    assert "No budget reaches" in chart.caption


def test_money_is_the_money_of_a_plan():
    """With hardware the axis is US dollars, as ``optimal`` prices the same compute."""
    chart = plot("cost", flops=1e21, **PRICE)
    assert chart.x.unit == "USD"
    assert chart.marks[0].x == pytest.approx(sp.optimal(flops=1e21, **PRICE).budget.cost, rel=1e-12)
    assert "Price: $2.00/h" in chart.source


def test_money_has_the_range_of_its_hours_and_the_price_its_source_and_date():
    """Of the default utilisation; the money of a given cost is known."""
    hours = sp.optimal(flops=1e21, gpu="h100-sxm").budget
    chart = plot("cost", flops=1e21, gpu="h100-sxm")
    assert chart.marks[0].span == pytest.approx(hours.cost_interval)
    assert hours.price_date in chart.source
    assert "80 %" in chart.source
    alone = plot("cost", flops=1e21, gpu="h100-sxm", mfu=0.4).marks[1]
    both = chart.marks[1]
    ratio = [(mark.span[1] - mark.since) / (mark.span[0] - mark.since) for mark in (alone, both)]
    assert ratio[0] < ratio[1]  # the hours add to what the law leaves open
    assert plot("cost", cost="250k", gpu="h100-sxm").marks[0].span is None


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
