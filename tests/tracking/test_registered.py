"""The hash of a registered forecast, the score of its intervals, and the record of several."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.tracking.registered import (
    LossInterval,
    RegisteredForecast,
    content_hash,
    score,
    scored,
    track_record,
)


def forecast(name="big", *, loss=2.0, half=0.1, registered="2026-01-01T00:00:00Z"):
    """Return a forecast with intervals at two levels, and its hash."""
    made = RegisteredForecast(
        name=name,
        registered=registered,
        version="0",
        question={"params": "7B"},
        preset="law",
        preset_sha256="0" * 64,
        runs=None,
        runs_sha256=None,
        form="additive",
        flops=6e20,
        params=1e9,
        tokens=1e11,
        params_convention="total",
        flops_convention="6ND",
        loss_unit="nats/token",
        tokenizer=None,
        corpus=None,
        loss=loss,
        intervals=(
            LossInterval(level=0.5, loss=(loss - half / 2, loss + half / 2)),
            LossInterval(level=0.9, loss=(loss - half, loss + half)),
        ),
    )
    return replace(made, sha256=content_hash(made.to_dict()))


def test_a_hash_is_of_the_content_and_not_of_how_it_is_written():
    """Whole numbers with and without a point, another order of keys, and JSON read back have one hash."""
    content = {"a": 7_000_000_000, "b": [1.5, None, True], "c": {"x": "ü"}}
    assert content_hash(content) == content_hash({"c": {"x": "ü"}, "b": [1.5, None, True], "a": 7e9, "sha256": "any"})
    assert content_hash(json.loads(json.dumps(content, indent=3))) == content_hash(content)
    made = forecast()
    assert made.unchanged
    assert content_hash(json.loads(json.dumps(made.to_dict()))) == made.sha256


LEAVES = {
    "name": "other",
    "registered": "2026-01-02T00:00:00Z",
    "loss": 2.0000001,
    "params": 1.1e9,
    "note": "",
    "intervals": (),
    "preset_sha256": "1" * 64,
    "question": {"params": "7B", "tokens": "1T"},
}


@pytest.mark.parametrize("key", LEAVES)
def test_no_value_changes_unseen(key):
    """Every key is covered."""
    assert not replace(forecast(), **{key: LEAVES[key]}).unchanged


def test_a_true_value_is_no_number_one():
    """JSON's true and 1 are two things, though Python's are equal."""
    assert content_hash({"a": True}) != content_hash({"a": 1})


@given(low=st.floats(1, 3), width=st.floats(0.001, 1), outcome=st.floats(0.5, 5), level=st.floats(0.5, 0.99))
def test_the_score_is_the_width_and_a_penalty_outside(low, width, outcome, level):
    """By its definition: (high - low) + 2/alpha (low - x) below + 2/alpha (x - high) above, alpha = 1 - level."""
    high, alpha = low + width, 1 - level
    expected = high - low
    if outcome < low:
        expected += 2 / alpha * (low - outcome)
    if outcome > high:
        expected += 2 / alpha * (outcome - high)
    assert score((low, high), level, outcome) == pytest.approx(expected, rel=1e-12)


def test_an_outcome_has_the_sign_of_a_run_that_came_out_worse():
    """A loss above the forecast is a positive error; the ends of an interval are inside."""
    outcome = scored(forecast(), 2.1, resolved="2026-02-01T00:00:00Z", source="stated")
    assert outcome.error == pytest.approx(0.1)
    assert outcome.relative_error == pytest.approx(0.05)
    assert [each.inside for each in outcome.intervals] == [False, True]
    assert outcome.intervals[1].score == pytest.approx(0.2)
    assert outcome.intervals[0].score == pytest.approx(0.1 + 2 / 0.5 * 0.05)


def record(losses, **keywords):
    """Return the record of forecasts of 2.0 with these outcomes, None for an open one."""
    made = {f"{i}.json": forecast(f"run {i}") for i in range(len(losses))}
    outcomes = [
        scored(each, loss, resolved="", source="stated")
        for each, loss in zip(made.values(), losses, strict=True)
        if loss is not None
    ]
    return track_record("folder", made, outcomes, level=0.9, **keywords)


def test_a_record_counts_what_is_resolved():
    """Coverage by level, bias and rms over the resolved; an open forecast stands in the rows alone."""
    found = record([2.0, 2.08, 2.3, None])
    assert [(each.level, each.inside, each.resolved) for each in found.coverage] == [(0.5, 1, 3), (0.9, 2, 3)]
    errors = [0.0, 0.04, 0.15]
    assert found.bias == pytest.approx(sum(errors) / 3)
    assert found.rms == pytest.approx(math.sqrt(sum(error**2 for error in errors) / 3))
    assert [each.status for each in found.forecasts] == ["resolved", "resolved", "resolved", "open"]
    scores = [0.2 / 2.0, 0.2 / 2.08, (0.2 + 20 * 0.2) / 2.3]
    assert found.score == pytest.approx(sum(scores) / 3)
    assert record([None]).bias is None
    assert record([None]).coverage == ()


def test_the_interval_of_a_share_is_wilsons():
    """Its ends are the shares p from which nine of ten lie z = 1.645 of their sd away; never beyond 0 and 1."""
    found = record([2.0] * 9 + [3.0]).coverage[1]
    for end in found.interval:
        assert abs(0.9 - end) / math.sqrt(end * (1 - end) / 10) == pytest.approx(1.6448536, rel=1e-6)
    whole = record([2.0] * 4).coverage[1]
    assert whole.interval[1] == 1.0
    assert 0.5 < whole.interval[0] < 0.7


def test_a_changed_forecast_counts_for_nothing():
    """It stays in the rows, as changed."""
    made = {"a.json": replace(forecast(), loss=2.2), "b.json": forecast("other")}
    outcomes = [scored(each, 2.2, resolved="", source="stated") for each in made.values()]
    found = track_record("folder", made, outcomes, level=0.9)
    assert [each.status for each in found.forecasts] == ["changed", "resolved"]
    assert found.changed == 1
    assert found.coverage[0].resolved == 1


def test_an_outcome_is_scored_anew():
    """What an outcome claims of its intervals is not believed, only its loss."""
    made = forecast()
    outcome = scored(made, 2.5, resolved="", source="stated")
    embellished = replace(outcome, intervals=tuple(replace(each, inside=True) for each in outcome.intervals))
    found = track_record("folder", {"a.json": made}, [embellished], level=0.9)
    assert found.forecasts[0].inside is False
