"""Budgets to splits and back, and what a wrong size costs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.errors import UsageError
from scaleplan.laws.additive import Additive
from scaleplan.laws.base import Cost
from scaleplan.planning.frontier import SolvedFrontier, frontier_of
from scaleplan.planning.problem import UNBOUNDED, Bounds, Span
from scaleplan.presets.library import Library

EPOCH = Additive(A=482.01, B=2085.43, E=1.8172, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024
HOFFMANN = Additive(A=406.4, B=410.7, E=1.69, alpha=0.3392, beta=0.2849)  # Hoffmann et al. 2022, the script's digits
BUDGETS = st.floats(14, 28).map(lambda power: 10.0**power)
FEW = settings(max_examples=25)


def frontier(law, bounds=UNBOUNDED, cost=None):
    return frontier_of(law, cost or Cost(), bounds)


@pytest.mark.parametrize(
    ("law", "factor", "wasted"),
    [
        (EPOCH, 0.5, 0.1841),
        (EPOCH, 2.0, 0.1858),
        (EPOCH, 4.0, 0.944),
        (HOFFMANN, 0.5, 0.1626),
        (HOFFMANN, 2.0, 0.1583),
    ],
)
def test_a_wrong_size_wastes_what_was_published(law, factor, wasted, hidden):
    """h(f)^(1/gamma) - 1, with and without the closed form, at any budget."""
    for surface in (law, hidden(law)):
        for flops in (1e19, 1e24):
            # four printed digits
            assert frontier(surface).overhead_of_size(flops, factor) == pytest.approx(
                wasted, abs=6e-5 + 4e-4 * (factor == 4)
            )


@FEW
@given(flops=BUDGETS, overhead=st.floats(1e-3, 5))
def test_the_edges_of_the_near_optimal_range_need_exactly_the_overhead(flops, overhead, hidden):
    """The loss of an edge is what 1/(1 + overhead) of the compute buys at its own optimum."""
    for surface in (EPOCH, hidden(EPOCH)):
        found = frontier(surface)
        low, high = found.near_optimal(flops, overhead)
        best = found.best(flops)[0]
        assert low < best < high
        for params in (low, high):
            needed = EPOCH.least_product(EPOCH.loss(params, flops / 6 / params)) * 6
            assert flops / needed - 1 == pytest.approx(overhead, rel=1e-6)
            assert found.overhead_of_size(flops, params / best) == pytest.approx(overhead, rel=1e-6)


def test_the_near_optimal_range_ends_at_a_bound():
    """Where a size beyond it is not allowed."""
    low, high = frontier(EPOCH, Bounds(params=Span(2.5e9, 1e12))).near_optimal(1e21, 0.05)
    assert low == pytest.approx(2.5e9, rel=1e-12)
    assert high == pytest.approx(4.02e9, rel=2e-3)  # the unbounded range is 1.92e9 to 4.02e9


def test_a_scale_free_frontier_knows_it():
    """The additive law, as long as nothing bounds the plan."""
    assert frontier(EPOCH).scale_free
    assert not frontier(EPOCH, Bounds(params=Span(1.0, 1e9))).scale_free
    assert not frontier(EPOCH, cost=Cost(per_token=1e8)).scale_free


@FEW
@given(flops=BUDGETS)
def test_a_goal_leads_back_to_its_budget(flops, hidden):
    """By loss, by size and by tokens: the budget whose optimum has them."""
    for surface in (EPOCH, hidden(EPOCH)):
        found = frontier(surface)
        params, tokens, loss = found.best(flops)
        assert found.least_flops(loss) == pytest.approx(flops, rel=1e-9)
        assert found.flops_where(0, params) == pytest.approx(flops, rel=3e-7)  # the size is known to 1e-8 in ln N
        assert found.flops_where(1, tokens) == pytest.approx(flops, rel=3e-7)


@FEW
@given(flops=BUDGETS, more=st.floats(1.01, 100))
def test_more_compute_is_a_larger_model_more_tokens_and_less_loss(flops, more, hidden):
    """Along the frontier everything moves one way."""
    for surface in (EPOCH, hidden(EPOCH)):
        here, there = frontier(surface).best(flops), frontier(surface).best(flops * more)
        assert there[0] > here[0]
        assert there[1] > here[1]
        assert there[2] < here[2]


def test_goals_out_of_reach_have_no_budget():
    """A loss at the floor, a size beyond a bound."""
    assert frontier(EPOCH).least_flops(EPOCH.E) is None
    assert frontier(EPOCH, Bounds(params=Span(1.0, 1e9))).flops_where(0, 2e9) is None


def test_a_measured_split_is_believed_and_has_no_neighbours():
    """Hoffmann's Approach 1: no loss, no near-optimal range, no cost of another size."""
    preset = Library().load("hoffmann-2022-a1")
    found = frontier_of(preset.law, preset.cost, UNBOUNDED)
    params, tokens, loss = found.best(5.76e23)
    assert (params, tokens) == preset.law.split(5.76e23)
    assert loss is None
    assert found.near_optimal(5.76e23, 0.05) is None
    assert found.overhead_of_size(5.76e23, 2.0) is None
    assert found.least_flops(2.0) is None
    assert found.flops_where(0, params) == pytest.approx(5.76e23, rel=1e-12)


def test_a_measured_split_can_be_moved_by_its_size_only():
    """Along the budget, without a loss; a bound on tokens has nothing to trade."""
    preset = Library().load("llama3-2024")
    params, tokens, loss = frontier_of(preset.law, preset.cost, Bounds(params=Span(1.0, 1e9))).best(1e24)
    assert (params, loss) == (1e9, None)
    assert preset.cost.flops(params, tokens) == pytest.approx(1e24, rel=1e-14)
    with pytest.raises(UsageError, match="only the size can be bounded"):
        frontier_of(preset.law, preset.cost, Bounds(tokens=Span(1.0, 1e12))).best(1e24)


def test_kaplans_frontier_has_its_own_loss():
    """The law measured the split and the loss along it: 1e24 FLOP and back."""
    preset = Library().load("kaplan-2020")
    found = frontier_of(preset.law, preset.cost, UNBOUNDED)
    loss = found.best(1e24)[2]
    assert found.has_loss
    assert found.least_flops(loss) == pytest.approx(1e24, rel=1e-9)


def test_a_curve_cannot_plan():
    """A law without size and tokens says so."""
    preset = Library().load("cerebras-gpt-2023")
    with pytest.raises(UsageError, match="says nothing about model size"):
        frontier_of(preset.law, preset.cost, UNBOUNDED)


def test_the_walk_and_the_closed_form_agree_on_the_range(hidden):
    """And the loss at an edge is what the budget buys without the overhead."""
    closed = frontier(EPOCH).near_optimal(1e21, 0.05)
    walked = frontier(hidden(EPOCH)).near_optimal(1e21, 0.05)
    assert walked == pytest.approx(closed, rel=1e-7)
    assert isinstance(frontier(EPOCH), SolvedFrontier)
    assert EPOCH.loss(closed[0], 1e21 / 6 / closed[0]) == pytest.approx(frontier(EPOCH).best(1e21 / 1.05)[2])


def test_a_budget_beyond_all_numbers_reaches_nothing():
    """Exponents near zero: the loss falls so slowly that no number of FLOP halves it."""
    flat = Additive(E=1.0, A=2.0, B=2.0, alpha=1e-4, beta=1e-4)
    assert frontier_of(flat, Cost(), UNBOUNDED).least_flops(1.01) is None
