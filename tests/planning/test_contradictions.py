"""Limits that exclude each other, floors within limits, and targets that lead back, for every law."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import scaleplan as sp
from scaleplan.cli.app import execute
from scaleplan.errors import ScaleplanError, UnreachableError, UsageError
from scaleplan.laws.base import Allocation, LossSurface
from scaleplan.planning.context import Context
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import Request
from scaleplan.presets.library import Library
from scaleplan.units.limits import parse_limit

PLANNING = [preset for preset in Library().all() if isinstance(preset.law, LossSurface | Allocation)]

by_id = pytest.mark.parametrize("preset", PLANNING, ids=lambda preset: preset.id)

CLUSTER = {"gpu": "h100-sxm", "gpus": 8, "mfu": 0.4}

CONTRADICTIONS = {
    "a size and its most": {"params": "7B", "limit": ["params <= 1B"]},
    "a size and its least": {"params": "1B", "limit": ["params >= 7B"]},
    "most and least size": {"limit": ["params <= 1B", "params >= 2B"]},
    "tokens and their most": {"tokens": "2T", "limit": ["tokens <= 1T"]},
    "tokens and their least": {"tokens": "1T", "limit": ["tokens >= 2T"]},
    "most and least tokens": {"limit": ["tokens <= 1T", "tokens >= 2T"]},
    "two ratios": {"limit": ["tokens_per_param <= 10", "tokens_per_param >= 20"]},
    "a size, tokens and their ratio": {"params": "1B", "tokens": "1B", "limit": ["tokens_per_param >= 100"]},
    "least size, least tokens, most compute": {
        "limit": ["params >= 10B", "tokens >= 1T", "flops <= 1e21 FLOP"],
    },
    "most and least compute": {"limit": ["flops <= 1e20 FLOP", "flops >= 1e21 FLOP"]},
    "most and least hours": {"limit": ["gpu_hours <= 10", "gpu_hours >= 20"], **CLUSTER},
    "most and least days": {"limit": ["days <= 1", "days >= 2"], **CLUSTER},
    "compute and hours": {"limit": ["gpu_hours <= 10", "flops >= 1e23 FLOP"], **CLUSTER},
    "a size and its memory": {"params": "1T", "limit": ["memory_gb <= 40"], **CLUSTER},
    "least size and memory": {"limit": ["params >= 1T", "memory_gb <= 40"], **CLUSTER},
}


@by_id
@pytest.mark.parametrize("words", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_limits_that_exclude_each_other_have_no_plan_by_any_law(preset, words):
    """Each of the limits is named, and the answer is "no" (exit status 1) whatever the law could make of them."""
    if preset.is_moe and "memory_gb" in str(words):
        pytest.skip("its active parameters say nothing about memory, which is refused as such")
    with pytest.raises(UnreachableError, match="exclude each other") as error:
        sp.optimal(preset=preset, flops=1e23, **words)
    named = [f"{side} = {words[side]}" for side in ("params", "tokens") if side in words]
    for text in [*named, *words["limit"]]:
        quantity = text.partition(" ")[0]
        assert quantity in error.value.message
    assert error.value.exit_status == 1


@by_id
def test_every_way_to_ask_finds_the_contradiction(preset):
    """A budget, a goal, a range and several budgets at once."""
    words = {"preset": preset, "limit": ["params <= 1B", "params >= 2B"]}
    asked = (
        lambda: sp.target(tokens="1T", **words),
        lambda: sp.target(params="1B", **words),
        lambda: sp.target(loss=2.5, **words),
        lambda: sp.sweep(start=1e20, stop=1e22, points=2, **words),
        lambda: sp.optimal(flops=[1e20, 1e22], **words),
        lambda: sp.compare(presets=[preset], flops=1e22, limit=words["limit"]),
    )
    for ask in asked:
        with pytest.raises(UnreachableError, match="exclude each other"):
            ask()


def test_the_command_ends_with_status_one(capsys):
    """As a script sees it: a message and no plan."""
    words = ["--preset", "llama3-2024", "--params", "7B", "--limit", "params <= 1B"]
    assert execute(["optimal", "--flops", "1e22", *words]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert "'params = 7B' and 'params <= 1B' exclude each other" in err


@settings(max_examples=40, deadline=None)
@example(loss=1.90234375, most=9.75, preset="hoffmann-2022-a3")  # takes more tokens than any run has
@given(
    loss=st.floats(1.9, 2.6),
    most=st.floats(8, 11),
    preset=st.sampled_from(["besiroglu-2024", "hoffmann-2022-a3", "muennighoff-2023"]),
)
def test_the_budget_that_a_hint_names_does(loss, most, preset):
    """The least budget is rounded up, so that the hint works when it is typed."""
    words = {"preset": preset, "limit": [f"loss <= {loss}", f"params <= {10**most}"]}
    with pytest.raises(UnreachableError) as error:
        sp.optimal(flops=1e15, **words)
    hint = error.value.hint or ""
    assume("the least budget that would do is " in hint)
    least = hint.partition("would do is ")[2].partition(" FLOP")[0]
    assert sp.optimal(flops=least, **words).loss <= loss * (1 + 1e-9)
    with pytest.raises(UnreachableError):
        sp.optimal(flops=float(least) * (1 - 1e-4), **words)


@pytest.mark.parametrize(
    "words",
    [
        {"params": "7B", "limit": ["params >= 10B"]},
        {"params": "7B", "limit": ["params <= 1B"]},
        {"tokens": "1T", "limit": ["tokens <= 100B"]},
        {"tokens": "1T", "limit": ["tokens >= 2T"]},
    ],
)
@pytest.mark.parametrize("preset", ["besiroglu-2024", "kaplan-2020", "llama3-2024"])
def test_a_goal_that_a_limit_excludes_is_no_other_plan(preset, words):
    """A limit never moves the goal."""
    with pytest.raises(UnreachableError, match="exclude each other"):
        sp.target(preset=preset, **words)


@pytest.mark.parametrize("loss", ["1.0", "2.0"])
@pytest.mark.parametrize("preset", ["kaplan-2020", "henighan-2020-language"])
def test_a_loss_limit_of_a_law_of_the_split_is_kept_or_refused(preset, loss):
    """It was left unread: a plan above the limit is none, and a moved size has no loss to judge."""
    with pytest.raises(UnreachableError, match=f"'loss <= {loss.removesuffix('.0')}' and the budget"):
        sp.optimal(preset=preset, flops=1e20, limit=[f"loss <= {loss}"])
    plan = sp.optimal(preset=preset, flops=1e20, limit=["loss <= 9"])
    assert plan.loss < 9
    with pytest.raises(UsageError, match="no loss to limit"):
        sp.optimal(preset=preset, flops=1e20, limit=["loss <= 9", "params <= 1M"])


def test_the_floor_within_the_limits_is_told():
    """E + A/N^alpha at 100M: 1.8172 + 482.01/1e8^0.3478 = 2.6127 (besiroglu-2024)."""
    with pytest.raises(UnreachableError, match=r"it stays above 2\.6127\d nats/token within these limits"):
        sp.target(loss=2.0, limit=["params <= 100M"])
    with pytest.raises(UnreachableError, match=r"it stays above 1\.8172 nats/token"):
        sp.target(loss=1.8)
    capped = sp.loss(params="1B", tokens="20B").loss
    with pytest.raises(UnreachableError, match=f"stays above {capped:.6g} nats/token within these limits"):
        sp.target(loss=2.4, limit=["params <= 1B", "tokens <= 20B"])


LIMITS = st.lists(
    st.sampled_from(
        [
            "params <= 1B",
            "params >= 5B",
            "params = 3B",
            "tokens <= 100B",
            "tokens >= 500B",
            "tokens = 200B",
            "tokens_per_param <= 10",
            "tokens_per_param >= 100",
            "flops <= 1e21 FLOP",
            "flops <= 3e22 FLOP",
            "loss <= 4",
        ]
    ),
    max_size=3,
    unique=True,
)

CONSTRAINTS = st.sampled_from(
    [{}, {}, {"unique_tokens": "50B"}, {"inference_tokens": "1T"}, {"compute_multiplier": 1.3}]
)


def has_loss(preset):
    """Return whether plans by the law have a loss."""
    return isinstance(preset.law, LossSurface) or preset.law.frontier_loss(1e20) is not None


@pytest.mark.parametrize(
    "preset", [preset for preset in PLANNING if preset.allocates and has_loss(preset)], ids=lambda preset: preset.id
)
@given(limits=LIMITS, words=CONSTRAINTS, flops=st.floats(18, 25).map(lambda power: 10.0**power))
@settings(max_examples=3)
def test_the_loss_of_a_plan_leads_back_to_it(preset, limits, words, flops):
    """``target`` never calls a plan's own loss unreachable, and needs no more compute than the plan."""
    context = Context()
    if isinstance(preset.law, Allocation):  # it has no loss for another size than its own
        limits, words = [], {}
    try:
        planner = Planner.of(Request.of({"limit": limits, "preset": preset, **words}, context), context)
        plan = planner.optimal(flops)
    except ScaleplanError:
        assume(False)
    found = planner.target_loss(plan.loss)
    one = 10 * (1 / plan.params + 1 / plan.tokens)  # what a whole count more or less makes of the compute, with room
    assert found.loss == pytest.approx(plan.loss, rel=1e-9 + one)
    assert found.flops <= plan.flops * (1 + 1e-6 + one)
    again = planner.optimal(planner.cost.flops(float(found.params), float(found.tokens)) * (1 + 1e-9 + one))
    assert again.loss <= plan.loss * (1 + 1e-9)


@pytest.mark.parametrize("preset", [preset for preset in PLANNING if preset.allocates], ids=lambda preset: preset.id)
@given(limits=LIMITS, flops=st.floats(18, 25).map(lambda power: 10.0**power))
@settings(max_examples=2)
def test_a_plan_of_whole_counts_keeps_its_limits_and_its_budget(preset, limits, flops):
    """And its loss is that of the counts it shows."""
    words = {"preset": preset, "limit": limits}
    try:
        plan = sp.optimal(flops=flops, **words)
    except ScaleplanError:
        assume(False)
    assert type(plan.params) is type(plan.tokens) is int
    assert preset.cost.flops(float(plan.params), float(plan.tokens)) <= flops * (1 + 1e-9)
    values = {"params": plan.params, "tokens": plan.tokens, "tokens_per_param": plan.tokens / plan.params}
    values |= {"flops": preset.cost.flops(float(plan.params), float(plan.tokens)), "loss": plan.loss}
    for text in limits:
        for limit in parse_limit(text):
            assert limit.holds(values[limit.quantity])
    if plan.loss is not None and not isinstance(preset.law, Allocation):
        assert sp.loss(preset=preset, params=plan.params, tokens=plan.tokens).loss == plan.loss
