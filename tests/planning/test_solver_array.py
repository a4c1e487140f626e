"""Arrays of budgets against one budget at a time: the same plans."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.errors import UnreachableError
from scaleplan.laws.additive import Additive
from scaleplan.laws.base import Cost
from scaleplan.planning.constraints.recipe import Scaled
from scaleplan.planning.constraints.repetition import RepeatedData
from scaleplan.planning.frontier import frontier_of
from scaleplan.planning.problem import Bounds, Problem, Span
from scaleplan.planning.solver import solve
from scaleplan.planning.solver_array import best_array, solve_array
from scaleplan.presets.library import Library

EPOCH = Additive(A=482.01, B=2085.43, E=1.8172, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024
BUDGETS = np.geomspace(1e14, 1e29, 61)
FEW = settings(max_examples=30)

SAME_PLACE = 1e-6  # in ln N: near a kink a flat minimum is known to half of the digits; the loss agrees to rounding
SAME_LOSS = 1e-13


def compared(problem, budgets):
    """Hold the array solver to the scalar one, budget by budget."""
    params, tokens = solve_array(problem, budgets)
    for flops, size, data in zip(budgets.tolist(), params.tolist(), tokens.tolist(), strict=True):
        one = solve(problem, flops)
        assert problem.reducible(size, data) == pytest.approx(problem.reducible(*one), rel=SAME_LOSS)
        assert (size, data) == pytest.approx(one, rel=SAME_PLACE)
        assert problem.holds(size, data)


def test_the_closed_form_is_the_same_expression():
    """For the default law an array is the formula on an array, bit for bit but for the power function."""
    params, tokens = solve_array(Problem(surface=EPOCH), BUDGETS)
    one = [solve(Problem(surface=EPOCH), flops) for flops in BUDGETS.tolist()]
    assert np.allclose(params, [size for size, _ in one], rtol=1e-14, atol=0)
    assert np.allclose(tokens, [data for _, data in one], rtol=1e-14, atol=0)


def test_without_closed_forms_both_find_the_same(hidden):
    """Scan, refinement and first-order condition on arrays."""
    compared(Problem(surface=hidden(EPOCH)), BUDGETS)


@pytest.mark.parametrize(
    "problem",
    [
        Problem(surface=EPOCH, params=Span(1e8, 1e10)),
        Problem(surface=EPOCH, tokens=Span(1.0, 1e11)),
        Problem(surface=EPOCH, tokens_per_param=Span(20.0, 40.0)),
        Problem(surface=EPOCH, params=Span(1e9, 1e9)),
        Problem(surface=EPOCH, params=Span(1.0, 1e11), tokens=Span(1.0, 1e13), tokens_per_param=Span(5.0)),
        Problem(surface=EPOCH, flops=Span(0.0, 1e24), cost=Cost(per_param=2e12)),
        Problem(surface=EPOCH, cost=Cost(per_token=1e8)),
        Problem(surface=EPOCH, cost=Cost(per_param=1e4)),
        Problem(surface=EPOCH, effective=(Scaled(most=(0.5, 0.7)),)),
        Problem(surface=EPOCH, effective=(RepeatedData(unique_tokens=1e11, path=EPOCH.expansion_path()),)),
        Problem(surface=EPOCH, effective=(RepeatedData(unique_tokens=1e11, path=None),)),
        Problem(
            surface=EPOCH,
            effective=(RepeatedData(unique_tokens=1e11, path=EPOCH.expansion_path()),),
            cost=Cost(per_param=2e10),
            params=Span(1.0, 1e12),
        ),
    ],
    ids=range(12),
)
def test_bounds_terms_and_effective_quantities_are_solved_alike(problem):
    """Every kind of constraint, alone and together, kinks included."""
    budgets = BUDGETS[(BUDGETS > 1e20) & (BUDGETS < 3e25)]  # beyond, repeated data leave a loss too flat for any size
    compared(problem, budgets)


@FEW
@given(low=st.floats(6, 10), width=st.floats(0, 3), ratio=st.floats(-1, 3), which=st.sampled_from(["low", "high"]))
def test_random_bounds_are_solved_alike(low, width, ratio, which, hidden):
    """A window of sizes and a bound on tokens per parameter; where nothing fits, both say so."""
    bound = Span(10.0**ratio) if which == "low" else Span(0.0, 10.0**ratio)
    problem = Problem(surface=hidden(EPOCH), params=Span(10.0**low, 10.0 ** (low + width)), tokens_per_param=bound)
    budgets = np.geomspace(1e17, 1e26, 7)
    try:
        compared(problem, budgets)
    except UnreachableError:
        with pytest.raises(UnreachableError):
            _ = [solve(problem, flops) for flops in budgets.tolist()]


def test_a_budget_that_fits_nothing_is_named():
    """The first of them."""
    with pytest.raises(UnreachableError) as caught:
        solve_array(Problem(surface=EPOCH, params=Span(1e15)), np.array([1e20, 1e15, 1e14]))
    assert "a budget of 1e15 FLOP" in caught.value.message


def test_no_budgets_are_no_plans(hidden):
    """An empty array is an array."""
    for surface in (EPOCH, hidden(EPOCH)):
        params, tokens = solve_array(Problem(surface=surface), np.array([]))
        assert params.shape == tokens.shape == (0,)


@pytest.mark.parametrize(
    "name", ["besiroglu-2024", "kaplan-2020", "llama3-2024", "hunyuan-large-2024", "deepseek-llm-2024"]
)
@pytest.mark.parametrize("bounds", [Bounds(), Bounds(params=Span(1e9, 1e10))], ids=["free", "bounded"])
def test_a_frontier_is_the_same_for_one_budget_and_many(name, bounds):
    """Of surfaces and of laws that measured the split; with its loss, where there is one."""
    preset = Library().load(name)
    frontier = frontier_of(preset.law, preset.cost, bounds)
    params, tokens, loss = best_array(frontier, BUDGETS)
    for place, flops in enumerate(BUDGETS.tolist()):
        size, data, expected = frontier.best(flops)
        assert (params[place], tokens[place]) == pytest.approx((size, data), rel=1e-12)
        if expected is None:
            assert loss is None
        else:
            assert loss[place] == pytest.approx(expected, rel=1e-14)
