"""Properties of plans that hold for every preset and budget, and what a plan says of itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaleplan as sp
from scaleplan.errors import ScaleplanError, UnknownNameError, UnreachableError, UsageError
from scaleplan.laws.base import Allocation, LossSurface
from scaleplan.planning.planner import Planner
from scaleplan.planning.solver_array import plan_array
from scaleplan.presets.library import Library
from scaleplan.units.limits import parse_limit

PRESETS = [preset for preset in Library().all() if isinstance(preset.law, LossSurface | Allocation)]
CHOOSING = [preset for preset in PRESETS if preset.allocates]
SURFACES = [preset for preset in CHOOSING if not isinstance(preset.law, Allocation)]
REFUSING = [preset for preset in PRESETS if not preset.allocates]
BUDGETS = st.floats(14, 25).map(lambda power: 10.0**power)  # at which every law plans a run that may be
FEW = settings(max_examples=5)

by_id = pytest.mark.parametrize("preset", CHOOSING, ids=lambda preset: preset.id)
surface_by_id = pytest.mark.parametrize("preset", SURFACES, ids=lambda preset: preset.id)


def limits(*texts):
    return tuple(limit for text in texts for limit in parse_limit(text))


@by_id
@given(flops=BUDGETS)
@FEW
def test_a_plan_spends_its_budget(preset, flops):
    """By the law's own compute convention, k*N*D for most, to the last whole token."""
    plan = Planner(preset=preset).optimal(flops)
    assert type(plan.params) is type(plan.tokens) is int
    left = flops - preset.cost.flops(plan.params, plan.tokens)
    assert -1e-12 * flops <= left <= preset.cost.flops(float(plan.params), 1.0) + 1e-12 * flops
    assert plan.flops == flops
    assert plan.tokens_per_param in (None, pytest.approx(plan.tokens / plan.params))


@surface_by_id
@given(flops=BUDGETS)
@FEW
def test_no_other_split_is_better(preset, flops):
    """Neither a neighbour nor any of a dense scan of sizes from one parameter to one token."""
    plan, law = Planner(preset=preset).optimal(flops), preset.law
    sizes = np.concatenate(
        [plan.params * np.array([0.999, 1.001]), np.geomspace(1.0, preset.cost.params(1.0, flops), 3001)]
    )
    tokens = preset.cost.tokens(sizes, flops)
    lost = law.reducible(plan.params, plan.tokens - 1) / law.reducible(plan.params, plan.tokens) - 1  # of one token
    assert np.min(law.reducible(sizes, tokens)) >= law.reducible(plan.params, plan.tokens) * (1 - 1e-12 - 2 * lost)


@by_id
@given(flops=BUDGETS)
@FEW
def test_a_target_leads_back_to_the_budget(preset, flops):
    """By its loss, its size or its tokens, as closely as whole counts can."""
    planner = Planner(preset=preset)
    plan = planner.optimal(flops)
    one = 10 * (1 / plan.params + 1 / plan.tokens)  # what a count more or less makes of the compute, with room
    assert planner.target_params(plan.params).flops == pytest.approx(flops, rel=1e-6 + one)
    assert planner.target_tokens(plan.tokens).flops == pytest.approx(flops, rel=1e-6 + one)
    if plan.loss is not None:
        law = preset.law
        floor = law.floor if isinstance(law, LossSurface) else 0.0
        more = planner.optimal(flops * 1.01).loss
        digits = 4e-16 * plan.loss / (plan.loss - more) * 0.01  # how many the loss has left above its floor
        assert plan.loss > floor
        assert planner.target_loss(plan.loss).flops == pytest.approx(flops, rel=1e-9 + 4 * digits + one)


@by_id
@given(flops=BUDGETS, more=st.floats(1.1, 100))
@FEW
def test_more_compute_is_never_worse(preset, flops, more):
    """A larger model, more tokens, less loss."""
    planner = Planner(preset=preset)
    here, there = planner.optimal(flops), planner.optimal(flops * more)
    assert there.params > here.params
    assert there.tokens > here.tokens
    assert here.loss is None or there.loss < here.loss


@by_id
def test_an_array_of_budgets_has_the_plans_of_each(preset):
    """To twelve digits: size, tokens, loss, intervals, near-optimal range, bounded and free."""
    budgets = np.geomspace(1e17, 1e24, 4)
    for bounded in ((), limits("params <= 5B", "params >= 1M")):
        planner = Planner(preset=preset, limits=bounded)
        many = plan_array(planner, budgets)
        assert len(many) == 4
        for place, flops in enumerate(budgets.tolist()):
            one = planner.optimal(flops)
            assert many.params[place] == pytest.approx(one.params, rel=1e-12)
            assert many.tokens[place] == pytest.approx(one.tokens, rel=1e-12)
            assert (many.loss is None) == (one.loss is None)
            assert many.loss is None or many.loss[place] == pytest.approx(one.loss, rel=1e-12)
            assert (many.interval is None) == (one.interval is None)
            if one.interval is not None:
                edges = [float(edge[place]) for edge in many.interval.params]
                assert edges == pytest.approx(one.interval.params, rel=1e-7)  # a numerical derivative of 0.01 sd


@pytest.mark.parametrize(
    "preset", [preset for preset in PRESETS if not preset.allocates], ids=lambda preset: preset.id
)
def test_a_law_that_must_not_choose_refuses_to(preset):
    """With its reason; where one side is fixed nothing is left to choose."""
    with pytest.raises(UsageError, match="must not choose a model size"):
        Planner(preset=preset).optimal(1e21)
    if isinstance(preset.law, LossSurface):
        plan = Planner(preset=preset, limits=limits("params = 1B")).optimal(1e21)
        assert plan.params == 1e9
        assert plan.optimum is None


EPOCH = Library().load("besiroglu-2024")


def test_a_plan_away_from_the_optimum_says_how_far():
    """7B on 20B tokens: excess loss and compute overhead against the optimum at the same compute."""
    plan = Planner(preset=EPOCH).loss(7e9, 20e9)
    best = Planner(preset=EPOCH).optimal(plan.flops)
    assert plan.flops == 6 * 7e9 * 20e9
    assert (plan.optimum.params, plan.optimum.tokens, plan.optimum.loss) == (best.params, best.tokens, best.loss)
    assert plan.excess_loss == pytest.approx(plan.loss - best.loss)
    needed = Planner(preset=EPOCH).target_loss(plan.loss).flops
    assert plan.compute_overhead == pytest.approx(plan.flops / needed - 1)
    assert plan.near_optimal is None


def test_the_optimum_is_no_excess_and_knows_its_neighbours():
    """Half and twice the size waste 18.4 and 18.6 % of the compute (h(f)^(1/gamma) - 1)."""
    plan = Planner(preset=EPOCH).optimal(1e21)
    assert (plan.excess_loss, plan.compute_overhead, plan.optimum) == (0.0, 0.0, None)
    assert plan.size_errors.half == pytest.approx(0.1841, abs=5e-5)
    assert plan.size_errors.double == pytest.approx(0.1858, abs=5e-5)
    assert plan.near_optimal.params[0] < plan.params < plan.near_optimal.params[1]
    assert plan.interval.params[0] < plan.params < plan.interval.params[1]
    assert plan.interval.loss[0] < plan.loss < plan.interval.loss[1]


def test_limits_move_a_plan_and_are_told():
    """A bound is kept, the loss rises, and what it costs is measured against the free optimum."""
    free = Planner(preset=EPOCH).optimal(1e23)
    plan = Planner(preset=EPOCH, limits=limits("params <= 10B")).optimal(1e23)
    assert plan.params == 1e10
    assert plan.loss > free.loss
    assert plan.optimum.params == free.params
    assert plan.excess_loss == pytest.approx(plan.loss - free.loss)
    assert plan.compute_overhead > 0


def test_a_budget_that_the_limits_leave_unspent_is_told():
    """Both sides fixed: the plan costs what it costs."""
    plan = Planner(preset=EPOCH, limits=limits("params <= 1B", "tokens <= 20B")).optimal(1e21)
    assert (plan.params, plan.tokens) == (1e9, 2e10)
    assert plan.flops == pytest.approx(1.2e20)
    assert "budget_left" in [notice.code for notice in plan.warnings]


def test_every_edge_of_the_fitted_range_is_watched():
    """Inside there is no warning; outside there is one for each quantity, with its factor."""
    assert Planner(preset=EPOCH).optimal(1e21).warnings == ()
    plan = Planner(preset=EPOCH).optimal(1.296e24)
    messages = {notice.code: notice.message for notice in plan.warnings}
    assert "100x above the largest" in messages["extrapolated_flops"]
    assert {"extrapolated_params", "extrapolated_tokens"} <= set(messages)
    below = {notice.code for notice in Planner(preset=EPOCH).optimal(1e16).warnings}
    assert {"extrapolated_flops", "extrapolated_params", "extrapolated_tokens"} <= below


def test_a_missing_loss_is_told_and_not_invented():
    """An allocation-only law: null, and the reason."""
    plan = Planner(preset=Library().load("llama3-2024")).optimal(3.8e25)
    assert (plan.loss, plan.interval, plan.near_optimal, plan.size_errors) == (None, None, None, None)
    assert "loss_unavailable" in [notice.code for notice in plan.warnings]
    assert plan.params == pytest.approx(402e9, rel=0.04)  # the paper's own plan, which rounds: 402B on 16.55T


def test_sizes_are_converted_where_that_is_known():
    """Kaplan's non-embedding count in total parameters, by Pearce and Song; FLOP per token cannot be."""
    kaplan = Planner(preset=Library().load("kaplan-2020"), count="total").optimal(1e21)
    assert kaplan.converted.params > kaplan.params
    same = Planner(preset=EPOCH, count="total").optimal(1e21)
    assert same.converted.params == same.params
    deepseek = Planner(preset=Library().load("deepseek-llm-2024"), count="total").optimal(1e21)
    assert deepseek.converted.params is None
    assert "not convertible" in deepseek.converted.method


@pytest.mark.parametrize(
    ("words", "error"),
    [({"level": 0.0}, UsageError), ({"level": 1.0}, UsageError), ({"overhead": 0.0}, UsageError),
     ({"overhead": 11.0}, UsageError), ({"count": "active"}, UnknownNameError)],
)  # fmt: skip
def test_a_planner_refuses_what_makes_no_sense(words, error):
    """Levels outside 0 and 1, overheads outside 0 and 10, conventions that nothing converts to."""
    with pytest.raises(error):
        Planner(preset=EPOCH, **words)


@pytest.mark.parametrize("flops", [0.0, -1.0, 5e-324, 0.5, 1e61, float("inf"), float("nan")])
def test_budgets_beyond_any_run_are_refused(flops):
    """By every law, one at a time and as arrays."""
    for name in ("besiroglu-2024", "kaplan-2020", "llama3-2024"):
        planner = Planner(preset=Library().load(name))
        with pytest.raises(UsageError):
            planner.optimal(flops)
        with pytest.raises(UsageError):
            plan_array(planner, [1e21, flops])


def test_targets_that_nothing_reaches_are_answered_with_no():
    """A loss below the floor, a size that no budget makes optimal; and a law without a loss is asked in vain."""
    with pytest.raises(UnreachableError, match=r"1\.8172"):
        Planner(preset=EPOCH).target_loss(1.8)
    with pytest.raises(UnreachableError, match=r"takes .*, above 1e"):
        Planner(preset=EPOCH).target_loss(1.8173)
    with pytest.raises(UsageError, match="no run has"):
        Planner(preset=EPOCH).target_params(1e55)
    with pytest.raises(UsageError, match="no loss to aim for"):
        Planner(preset=Library().load("llama3-2024")).target_loss(2.0)


@pytest.mark.parametrize("budgets", [[[1e21]], 1e21, ["x"], [None]])
def test_what_is_no_array_of_budgets_is_refused(budgets):
    """One dimension, numbers."""
    with pytest.raises(ScaleplanError):
        plan_array(Planner(preset=EPOCH), budgets)


@pytest.mark.parametrize(
    "preset, words",
    [
        ("kaplan-2020", "'scaleplan loss' gives that of any size"),
        ("henighan-2020-language", "knows the loss of its own optimal sizes only"),
        ("llama3-2024", "was fitted to optimal sizes only and has no loss"),
    ],
)
def test_a_plan_without_a_loss_says_which_losses_there_are(preset, words):
    """Of a law that has one for its optimal sizes, or by another equation, it is not said that it has none."""
    plan = sp.optimal(flops="1e21", preset=preset, params="1B")
    assert plan.loss is None
    assert [words in notice.message for notice in plan.warnings if notice.code == "loss_unavailable"] == [True]
    if preset == "kaplan-2020":
        assert sp.loss(params=plan.params, tokens=plan.tokens, preset=preset).loss > 0
