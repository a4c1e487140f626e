"""The solver against closed forms, against brute force, and on objectives that are neither smooth nor convex."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scaleplan.errors import UnreachableError
from scaleplan.laws.additive import Additive
from scaleplan.laws.base import Cost, LossSurface
from scaleplan.planning.constraints.recipe import Scaled
from scaleplan.planning.problem import Problem, Span
from scaleplan.planning.solver import bisect, crossing, least_budget, least_flops, minimum, solve

EPOCH = Additive(A=482.01, B=2085.43, E=1.8172, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024
LAWS = st.builds(
    Additive,
    A=st.floats(10, 1e4),
    B=st.floats(10, 1e4),
    E=st.floats(0, 3),
    alpha=st.floats(0.1, 0.8),
    beta=st.floats(0.1, 0.8),
)
BUDGETS = st.floats(12, 30).map(lambda power: 10.0**power)
FEW = settings(max_examples=60)

SAME_PLACE = 1e-8  # in ln N: a minimum this flat is known only through its first-order condition
NEAR_A_BOUND = 1e-6  # where there is no room for that condition, the loss itself knows half of the digits
SAME_LOSS = 1e-13


def scanned(problem, flops, number=20_001):
    """Return the least reducible loss on a dense grid of sizes, by brute force."""
    low, high = problem.sizes(flops)
    params = np.geomspace(low, high, number)
    return float(np.min(problem.reducible(params, problem.most_tokens(params, flops))))


@FEW
@given(law=LAWS, flops=BUDGETS)
def test_the_solver_finds_the_closed_form(law, flops, hidden):
    """Without its closed forms a law is solved to the same split, and no grid finds a better one."""
    params, tokens = law.best_split(flops / 6)
    assume(10 < params < flops / 60)
    problem = Problem(surface=hidden(law))
    found = solve(problem, flops)
    assert found[0] == pytest.approx(params, rel=SAME_PLACE)
    assert 6 * found[0] * found[1] == pytest.approx(flops, rel=1e-14)
    assert problem.reducible(*found) == pytest.approx(law.reducible(params, tokens), rel=SAME_LOSS)
    assert problem.reducible(*found) <= scanned(problem, flops, 2001) * (1 + SAME_LOSS)
    assert solve(Problem(surface=law), flops) == (params, tokens)


@FEW
@given(law=LAWS, flops=BUDGETS, off=st.floats(-1.4, 1.4))
def test_a_known_neighbour_leads_to_the_same_optimum(law, flops, off, hidden):
    """``near`` saves work and changes nothing, right or wrong."""
    problem = Problem(surface=hidden(law))
    there = solve(problem, flops)
    for near in (there[0] * math.exp(off), there[0] * math.exp(20 * off)):
        found = solve(problem, flops, near=near)
        assert problem.reducible(*found) == pytest.approx(problem.reducible(*there), rel=SAME_LOSS)


@FEW
@given(
    flops=st.floats(16, 26).map(lambda power: 10.0**power),
    low=st.floats(-3, 3),
    width=st.floats(0, 4),
    which=st.sampled_from(["params", "tokens", "tokens_per_param"]),
)
def test_a_bounded_optimum_is_the_nearest_that_the_bounds_allow(flops, low, width, which, hidden):
    """Along the budget the loss of the additive law has one valley, so bounds clip the closed form."""
    params, tokens = EPOCH.best_split(flops / 6)
    centre = {"params": params, "tokens": tokens, "tokens_per_param": tokens / params}[which]
    span = Span(centre * math.exp(low), centre * math.exp(low + width))
    expected = {
        "params": lambda: min(max(params, span.low), span.high),
        "tokens": lambda: min(max(params, flops / 6 / span.high), flops / 6 / span.low),
        "tokens_per_param": lambda: min(max(params, (flops / 6 / span.high) ** 0.5), (flops / 6 / span.low) ** 0.5),
    }[which]()
    for surface in (EPOCH, hidden(EPOCH)):
        problem = Problem(surface=surface, **{which: span})
        found = solve(problem, flops)
        assert found[0] == pytest.approx(expected, rel=NEAR_A_BOUND)
        assert problem.holds(*found)
        assert problem.reducible(*found) <= scanned(problem, flops, 2001) * (1 + SAME_LOSS)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"params": Span(7e9, 7e9)}, (7e9, 1e21 / 6 / 7e9)),
        ({"tokens": Span(1e12, 1e12)}, (1e21 / 6e12, 1e12)),
        ({"params": Span(7e9, 7e9), "tokens": Span(1.0, 1e10)}, (7e9, 1e10)),
        ({"tokens_per_param": Span(20.0, 20.0)}, ((1e21 / 120) ** 0.5, 20 * (1e21 / 120) ** 0.5)),
    ],
)
def test_a_fixed_quantity_is_kept_to_the_last_digits(bounds, expected):
    """One side fixed, or their ratio; where both are bounded some of the budget is left."""
    assert solve(Problem(surface=EPOCH, **bounds), 1e21) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    "bounds",
    [
        {"params": Span(1e18)},
        {"tokens": Span(1e18), "params": Span(1e3)},
        {"tokens_per_param": Span(1e9), "params": Span(1e7)},
        {"params": Span(2e9, 1e9)},
    ],
)
def test_bounds_that_no_model_satisfies_are_told(bounds):
    """Within this budget, or within any."""
    with pytest.raises(UnreachableError):
        solve(Problem(surface=EPOCH, **bounds), 1e18)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wavy(LossSurface):
    """The additive law with ripples in ln N, which give several valleys along a budget."""

    form: ClassVar[str] = "wavy"
    formula: ClassVar[str] = "(A/N^alpha + B/D^beta) * (1 + height*sin(pace*ln N))"

    height: float
    pace: float

    def loss(self, params, tokens):
        ripple = np.sin if isinstance(params, np.ndarray) else math.sin
        logs = np.log(params) if isinstance(params, np.ndarray) else math.log(params)
        return EPOCH.reducible(params, tokens) * (1 + self.height * ripple(self.pace * logs))


@FEW
@given(height=st.floats(0, 0.5), pace=st.floats(0.2, 6), flops=BUDGETS)
def test_the_deepest_of_several_valleys_is_found(height, pace, flops):
    """A wave as short as one unit of ln N: the scan is four times finer."""
    problem = Problem(surface=Wavy(height=height, pace=pace))
    assert problem.reducible(*solve(problem, flops)) <= scanned(problem, flops) * (1 + 1e-10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leontief(LossSurface):
    """The larger of two terms: an objective with a kink at its minimum."""

    form: ClassVar[str] = "leontief"
    formula: ClassVar[str] = "max(A/N^alpha, B/D^beta)"

    def loss(self, params, tokens):
        size, data = 482.01 * params**-0.3478, 2085.43 * tokens**-0.3658
        return np.maximum(size, data) if isinstance(params, np.ndarray) else max(size, data)


@FEW
@given(flops=BUDGETS)
def test_a_minimum_at_a_kink_is_found(flops):
    """Where both terms are equal: N^(alpha+beta) = (A/B) x^beta with x = N*D."""
    params = (482.01 / 2085.43 * (flops / 6) ** 0.3658) ** (1 / (0.3478 + 0.3658))
    assume(1 < params < flops / 6)
    assert solve(Problem(surface=Leontief()), flops)[0] == pytest.approx(params, rel=1e-7)


@FEW
@given(flops=st.floats(16, 28).map(lambda power: 10.0**power), per_token=st.floats(6, 11), inference=st.floats(8, 14))
def test_other_costs_than_the_product_are_minimised(flops, per_token, inference, hidden):
    """A term per token (attention) and one per parameter (inference): no closed form, and brute force agrees."""
    cost = Cost(per_token=10.0**per_token, per_param=2 * 10.0**inference)
    assume(flops > 1e4 * cost.per_param + 1e3 * cost.per_token)
    problem = Problem(surface=EPOCH, cost=cost)
    found = solve(problem, flops)
    assert cost.flops(*found) == pytest.approx(flops, rel=1e-12)
    assert problem.reducible(*found) <= scanned(problem, flops, 5001) * (1 + SAME_LOSS)


@FEW
@given(flops=BUDGETS, size=st.floats(0.2, 1), data=st.floats(0.2, 1))
def test_constant_effective_quantities_are_a_change_of_units(flops, size, data, hidden):
    """N counts for ``size*N`` and D for ``data*D``: the optimum is that of ``size*data*C``, scaled back."""
    quantity = Scaled(most=(size, data))
    params, tokens = EPOCH.best_split(flops / 6 * size * data)
    assume(params / size > 10)
    for surface in (EPOCH, hidden(EPOCH)):
        found = solve(Problem(surface=surface, effective=(quantity,)), flops)
        assert found == pytest.approx((params / size, tokens / data), rel=SAME_PLACE)


@FEW
@given(law=LAWS, flops=st.floats(14, 28).map(lambda power: 10.0**power))
def test_the_least_budget_inverts_the_optimum(law, flops, hidden):
    """In closed form and without, to the digits that the loss carries."""
    params, tokens = law.best_split(flops / 6)
    assume(100 < params < flops / 600)
    loss = law.loss(params, tokens)
    digits = 4e-16 * loss / law.reducible(params, tokens) / law.loss_exponent
    assert least_budget(Problem(surface=law), loss) == pytest.approx(flops, rel=1e-12 + 4 * digits)
    assert least_budget(Problem(surface=hidden(law)), loss) == pytest.approx(flops, rel=1e-9 + 4 * digits)


def test_a_loss_at_or_below_the_floor_needs_no_budget_that_exists(hidden):
    """Also one so close above it that no budget up to 1e60 FLOP reaches it."""
    for surface in (EPOCH, hidden(EPOCH)):
        assert least_budget(Problem(surface=surface), 1.8172) is None
        assert least_budget(Problem(surface=surface), 1.0) is None
    assert least_budget(Problem(surface=hidden(EPOCH)), 1.8172 * (1 + 1e-15)) is None


def test_the_least_budget_within_bounds_is_larger():
    """A size below the optimum must make up with tokens: L - E - A/N^alpha is what they must reach."""
    loss = 2.1
    free = least_budget(Problem(surface=EPOCH), loss)
    small = least_budget(Problem(surface=EPOCH, params=Span(1.0, 3e9)), loss)
    tokens = (2085.43 / (loss - 1.8172 - 482.01 * 3e9**-0.3478)) ** (1 / 0.3658)
    assert small == pytest.approx(6 * 3e9 * tokens, rel=1e-9)
    assert small > free
    assert least_budget(Problem(surface=EPOCH, params=Span(1.0, 1e6)), loss) is None


@FEW
@given(place=st.floats(-5, 5), low=st.floats(0.1, 9), high=st.floats(0.1, 9), power=st.sampled_from([0.5, 1.0, 3.0]))
def test_roots_are_found_to_the_last_bits(place, low, high, power):
    """By halving, and by secants in a bracket, for slopes of every kind."""

    def function(x):
        return math.copysign(abs(x - place) ** power, x - place)

    for method in (bisect, crossing):
        found = method(function, place - low, place + high)
        assert found == pytest.approx(place, rel=1e-13, abs=1e-13)
        assert function(found) >= 0 or method is bisect


def test_the_least_budget_of_a_condition_is_its_edge():
    """To the last bits; None where the condition never holds."""
    assert least_flops(lambda flops: flops >= 1e21) == pytest.approx(1e21, rel=1e-13)
    assert least_flops(lambda _: False) is None


@given(place=st.floats(0, 1))
def test_a_minimum_at_a_node_is_exactly_the_node(place):
    """A kink that is named is not searched for."""
    assert minimum(lambda x: abs(x - place), 0.0, 1.0, [place]) == place


def test_an_interval_of_one_point_is_its_own_minimum():
    """Nothing is evaluated outside it."""
    assert minimum(lambda _: math.nan, 2.0, 2.0) == 2.0
