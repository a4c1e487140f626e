"""How many GPUs a deadline takes, and the chance of keeping limits: against brute force, and as properties."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaleplan as sp
from scaleplan.errors import UnreachableError, UsageError
from scaleplan.hardware.budget import Budget, BudgetRequest, Catalogue
from scaleplan.hardware.chances import chance_text, chances_of, limit_chance, percent
from scaleplan.hardware.deadline import MOST_GPUS, least_gpus
from scaleplan.hardware.device_budget import resolve_budget
from scaleplan.units.limits import parse_limit, upper_limit

CATALOGUE = Catalogue()
DAY = 86400.0
MANY = 300

BANDED = Budget(source="plan", gpu_hours=1e4, days=20.0, cost=3e4, energy_kwh=8e3, band=1.6)

levels = st.floats(0.01, 0.99)
ratios = st.floats(0.05, 20.0)


def on(gpus, flops, gpu, params, **more):
    """Return the days that some compute takes on a number of GPUs."""
    request = BudgetRequest(flops=flops, gpu=gpu, gpus=gpus, **more)
    return resolve_budget(CATALOGUE, request, params=params).budget


@settings(max_examples=30, deadline=None)
@given(
    gpu=st.sampled_from(["h100-sxm", "rtx-4090", "tpu-v5e"]),
    params=st.floats(1e8, 1e11),
    gpus=st.floats(0.2, MANY / 2.0),
    days=st.floats(0.5, 300),
)
def test_the_fewest_gpus_are_those_of_a_search_through_all(gpu, params, gpus, days):
    """Of the utilisation that falls with their number, also where a second card costs a third of it."""
    one = on(1, 1e20, gpu, params)
    flops = 1e20 * gpus * days / one.days
    found = resolve_budget(CATALOGUE, BudgetRequest(flops=flops, gpu=gpu, deadline=days * DAY), params=params).budget
    within = [n for n in range(1, 2 * MANY) if on(n, flops, gpu, params).days <= days * (1 + 1e-12)]
    assert found.gpus == found.deadline.gpus == within[0]
    assert found.days == pytest.approx(on(within[0], flops, gpu, params).days, rel=1e-12)
    assert found.deadline.gpus_in_servers == (
        next(n for n in within if n % 8 == 0) if within[0] > found.deadline.server else None
    )
    safe = found.deadline.safe_gpus
    assert on(safe, flops, gpu, params).days * found.band <= days * (1 + 1e-12)
    assert safe == 1 or on(safe - 1, flops, gpu, params).days * found.band > days


@given(hours=st.floats(1e-3, 1e7), most=st.floats(1e-2, 1e5), step=st.sampled_from([1, 8, 72]))
def test_hours_that_no_number_changes_divide_by_the_time(hours, most, step):
    """The closed form: hours over time, rounded up to whole servers."""
    closed = step * math.ceil(hours / most * (1 - 1e-12) / step)
    if closed <= MOST_GPUS:
        assert least_gpus(lambda _: hours, most, step=step) == closed


def test_hours_that_divide_without_a_rest_take_none_more():
    """7,200 hours are 10 GPUs for 30 days, and 7,200.1 hours are 11."""
    assert sp.convert(gpu_hours=7200, gpu="h100-sxm", time="30d").gpus == 10
    assert sp.convert(gpu_hours=7200.1, gpu="h100-sxm", time="30d").gpus == 11


def test_more_gpus_than_there_are_is_a_no():
    """A second for 1e26 FLOP."""
    with pytest.raises(UnreachableError, match="GPUs at once"):
        sp.convert(flops=1e26, gpu="h100-sxm", time="1s")


@given(level=levels, ratio=ratios)
def test_a_limit_at_a_confidence_agrees_with_the_chance(level, ratio):
    """The high end of a range of 80 % is below the limit where the chance is 90 % or more."""
    (limit,) = parse_limit(f"days <= {BANDED.days * ratio!r}")
    high = BANDED.interval_at("days", level)[1]
    chance = limit_chance(BANDED, BANDED.days, [limit])
    if abs(high / limit.value - 1) > 1e-6:
        assert (high <= limit.value) == (chance >= (1 + level) / 2)


@given(first=ratios, second=ratios)
def test_the_chance_rises_with_the_limit(first, second):
    """And is a half at the median, whatever the quantity."""
    low, high = sorted((first, second))
    less, more = (
        chances_of(BANDED, [upper_limit(name, getattr(BANDED, name) * each) for name in ("days", "cost")])
        for each in (low, high)
    )
    assert less["days"].chance <= more["days"].chance
    assert less["days"].chance == pytest.approx(less["cost"].chance)
    at = chances_of(BANDED, [upper_limit("gpu_hours", BANDED.gpu_hours), upper_limit("energy_kwh", 1.6 * 8e3)])
    assert at["gpu_hours"].chance == pytest.approx(0.5)
    assert at["energy_kwh"].chance == pytest.approx(0.9, abs=1e-9)


def test_limits_on_one_quantity_are_kept_together():
    """From half to twice the median is 82 %; without a band, and of an equality, nothing is known."""
    both = [limit for text in ("10 <= days <= 40",) for limit in parse_limit(text)]
    found = chances_of(BANDED, both)["days"]
    one = limit_chance(BANDED, BANDED.days, both[1:])
    assert found.chance == pytest.approx(2 * one - 1)
    assert found.most is None
    assert chance_text({"days": found}) == f"chance of keeping days >= 10 and days <= 40: {percent(found.chance)}"
    assert chances_of(replace(BANDED, band=None), both) == {}
    assert chances_of(BANDED, parse_limit("days = 20")) == {}
    assert chances_of(BANDED, parse_limit("params <= 7B")) == {}


@settings(max_examples=15, deadline=None)
@given(gpus=st.integers(1, 2000), more=st.floats(1.01, 10))
def test_more_gpus_never_lower_the_chance(gpus, more):
    """Of a deadline, for the same run."""
    chances = [
        resolve_budget(
            CATALOGUE, BudgetRequest(flops=1e23, gpu="h100-sxm", gpus=n, deadline=30 * DAY), params=7e9
        ).budget.deadline.chance
        for n in (gpus, math.ceil(gpus * more))
    ]
    assert chances[0] <= chances[1]


def test_the_gpus_of_a_deadline_are_those_of_the_whole_answer():
    """Bill, days and money are those of the number that was found; with it given the answer is the same."""
    found = sp.loss(params="7B", tokens="2T", gpu="h100-sxm", time="30d")
    given_ = sp.loss(params="7B", tokens="2T", gpu="h100-sxm", gpus=found.budget.gpus, time="30d")
    assert found.budget.gpus == found.budget.deadline.gpus == 144
    assert found.budget == given_.budget
    assert found.budget.days <= 30 < sp.loss(params="7B", tokens="2T", gpu="h100-sxm", gpus=143).budget.days
    assert found.chances["days"].chance == found.budget.deadline.chance >= 0.5
    safe = sp.loss(params="7B", tokens="2T", gpu="h100-sxm", gpus=found.budget.deadline.safe_gpus, time="30d")
    assert safe.chances["days"].chance == pytest.approx(0.9, abs=0.01)


def test_the_memory_of_the_model_may_take_more():
    """70B on few tokens: one GPU has the time, 17 the memory; by the path of 'memory'."""
    plan = sp.loss(params="70B", tokens="1B", gpu="h100-sxm", time="60d")
    assert plan.budget.deadline.gpus == 1
    assert plan.budget.gpus == plan.budget.deadline.memory_gpus == sp.memory("70B", gpu="h100-sxm").fewest_devices
    assert plan.budget.days == sp.loss(params="70B", tokens="1B", gpu="h100-sxm", gpus=plan.budget.gpus).budget.days
    assert not any(notice.code == "does_not_fit" for notice in plan.warnings)


@pytest.mark.parametrize(
    "options",
    [{"flops": "1e23"}, {"gpu_hours": "120k"}, {"cost": "350k"}, {"flops": "1e23", "limit": ["cost <= 200k"]}],
)
def test_a_deadline_stands_beside_any_other_budget(options):
    """The days are at most the time, and one GPU less would be late."""
    plan = sp.optimal(gpu="h100-sxm", time="30d", **options)
    assert plan.budget.gpus == math.ceil(plan.budget.gpu_hours / 720 * (1 - 1e-9))
    assert plan.budget.days <= 30 * (1 + 1e-9)
    assert plan.budget.gpus * plan.budget.days * 24 == pytest.approx(plan.budget.gpu_hours)


@pytest.mark.parametrize(
    "ask, error",
    [
        (lambda: sp.target(loss=2.1, time="30d"), "--time says nothing"),
        (lambda: sp.target(loss=2.1, cost="30k"), "--cost says nothing"),
        (lambda: sp.optimal(flops=1e21, time="30d"), "--time says nothing"),
        (lambda: sp.loss(params="7B", tokens="1T", cost="30k", gpu="a40"), "needs a price"),
        (lambda: sp.optimal(flops=1e21, time="30d", gpu="h100-sxm", gpus=8), "more than one budget"),
        (lambda: sp.target(loss=2.1, time="30d", gpu="h100-sxm", limit=["days <= 20"]), "needs --gpus"),
        (lambda: sp.target(loss=2.1, time="30d", gpu="h100-sxm", measured="410k tokens/s at 7B"), "give --gpus"),
    ],
)
def test_what_a_deadline_cannot_mean_is_refused(ask, error):
    """Each with the option to give."""
    with pytest.raises(UsageError) as caught:
        ask()
    assert error in f"{caught.value.message} {caught.value.hint}"
