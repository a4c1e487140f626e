"""Random combinations of constraints: feasible, best, monotone, and nothing when slack."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import UnreachableError
from scaleplan.planning.context import Context
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import Request
from scaleplan.planning.solver_array import best_array

CONTEXT = Context()


def planner_of(**words):
    """Return the planner of a question in the words of the options."""
    return Planner.of(Request.of(words, CONTEXT), CONTEXT)


amount = {
    "params": st.floats(7, 12),
    "tokens": st.floats(8, 14),
    "tokens_per_param": st.floats(-1, 4),
    "flops": st.floats(17, 26),
    "epochs": st.floats(0, 2),
}


@st.composite
def limits(draw):
    names = draw(st.lists(st.sampled_from(sorted(amount)), max_size=3))
    return [f"{name} {draw(st.sampled_from(['<=', '>=']))} {10 ** draw(amount[name])!r}" for name in names]


questions = st.fixed_dictionaries(
    {
        "preset": st.sampled_from(["besiroglu-2024", "muennighoff-2023", "hoffmann-2022-a3", "gadre-2024-c4"]),
        "unique_tokens": st.none() | st.floats(8, 13).map(lambda power: 10**power),
        "inference_tokens": st.none() | st.floats(9, 14).map(lambda power: 10**power),
        "compute_multiplier": st.none() | st.floats(0.8, 2),
        "limit": limits(),
    }
)
budgets = st.floats(18, 26).map(lambda power: 10**power)


def asked(question):
    """A limit on epochs needs to know the data."""
    unique = question["unique_tokens"]
    kept = [text for text in question["limit"] if unique is not None or not text.startswith("epochs")]
    return planner_of(**(question | {"limit": kept}))


def feasible(planner, params, tokens, flops, *, room=0.0):
    """Whether splits keep every limit and the budget, with relative room at their edges."""
    problem = planner.frontier.problem
    training = problem.cost.training.flops(params, tokens)
    within = problem.cost.flops(params, tokens) <= flops * (1 + max(room, 1e-14))
    for span, value in (
        (problem.params, params),
        (problem.tokens, tokens),
        (problem.tokens_per_param, tokens / params),
        (problem.flops, training),
    ):
        within = within & (span.low * (1 - room) <= value) & (value <= span.high * (1 + room))
    return within


@given(question=questions, flops=budgets)
def test_no_point_of_a_grid_is_feasible_and_better(question, flops):
    """The plan keeps its limits, and no feasible point of a dense grid has a loss lower by 1e-9 of itself."""
    planner = asked(question)
    params, tokens = np.meshgrid(np.geomspace(1, 1e16, 400), np.geomspace(1, 1e18, 450))
    problem = planner.frontier.problem
    try:
        size, data, loss = planner.best(flops)
    except UnreachableError:
        assert not np.any(feasible(planner, params, tokens, flops))
        return
    assert feasible(planner, size, data, flops, room=1e-11)
    # the grid, and the budget's own line, where most optima lie
    line = np.geomspace(1, 1e16, 20_000)
    edge = problem.most_tokens(line, flops)
    for sizes, counts in ((params.ravel(), tokens.ravel()), (line[edge >= 1], edge[edge >= 1])):
        kept = feasible(planner, sizes, counts, flops)
        if kept.any():
            assert loss <= problem.loss(sizes[kept], counts[kept]).min() * (1 + 1e-9)


@given(question=questions, flops=budgets, name=st.sampled_from(sorted(amount)), data=st.data())
def test_a_further_limit_never_lowers_the_loss(question, flops, name, data):
    """Whatever else is asked, one limit more gives the same loss, a higher one, or no plan."""
    unique = question["unique_tokens"]
    text = f"{name} {data.draw(st.sampled_from(['<=', '>=']))} {10 ** data.draw(amount[name])!r}"
    if name == "epochs" and unique is None:
        return
    kept = [text for text in question["limit"] if unique is not None or not text.startswith("epochs")]
    try:
        loss = planner_of(**(question | {"limit": [*kept, text]})).best(flops)[2]
    except UnreachableError:
        return
    assert loss >= planner_of(**(question | {"limit": kept})).best(flops)[2] * (1 - 1e-12)


@given(question=questions, flops=budgets, factor=st.floats(1, 10))
def test_more_budget_never_raises_the_loss(question, flops, factor):
    """Nothing forces a plan to spend what harms it."""
    planner = asked(question)
    try:
        loss = planner.best(flops)[2]
        more = planner.best(flops * factor)[2]
    except UnreachableError:
        return
    assert more <= loss * (1 + 1e-12)


@given(flops=budgets, preset=st.sampled_from(["besiroglu-2024", "muennighoff-2023", "hoffmann-2022-a3"]))
def test_slack_constraints_change_nothing(flops, preset):
    """With limits that leave room, data enough and a multiplier of 1, the answer is the free one, to rounding."""
    plain = planner_of(preset=preset).best(flops)
    limits = ["params <= 1e16", "tokens >= 1", "tokens_per_param >= 1e-20", "flops <= 1e40", "epochs <= 4"]
    assert planner_of(preset=preset, unique_tokens=1e16, limit=limits).best(flops) == pytest.approx(plain, rel=1e-14)
    assert planner_of(preset=preset, compute_multiplier=1, limit=limits[:4]).best(flops) == pytest.approx(
        plain, rel=1e-14
    )


@given(question=questions, log_flops=st.lists(st.floats(18, 26), min_size=1, max_size=5))
def test_an_array_of_budgets_gives_what_each_gives(question, log_flops):
    """The array path refuses what one budget refuses, and reaches the same loss elsewhere."""
    flops = [10**power for power in log_flops]
    planner = asked(question)
    try:
        single = [planner.best(each)[2] for each in flops]
    except UnreachableError:
        with pytest.raises(UnreachableError):
            best_array(planner.frontier, np.array(flops))
        return
    # where nearly all goes to inference the tokens are a difference, of which few digits are left
    assert best_array(planner.frontier, np.array(flops))[2] == pytest.approx(np.array(single), rel=1e-8)


@given(question=questions, loss=st.floats(1.95, 4))
def test_a_target_is_the_least_budget(question, loss):
    """The budget for a loss reaches it, and a little less does not."""
    frontier = asked(question).frontier
    needed = frontier.least_flops(loss)
    if needed is None:
        return
    assert frontier.best(needed * (1 + 1e-9))[2] <= loss * (1 + 1e-9)
    try:
        below = frontier.best(needed * (1 - 1e-6))[2]
    except UnreachableError:
        return  # the limits alone need this budget
    assert below >= loss * (1 - 1e-12)
    assert math.isfinite(below)
