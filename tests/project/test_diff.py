"""Tests of limits on changes, and of the comparison itself."""

from __future__ import annotations

import pytest

from scaleplan.errors import ScaleplanError
from scaleplan.project.diff import Snapshot, State, compare, parse_threshold


def side(label, **runs):
    """Return a snapshot of runs with a cost."""
    return Snapshot(label=label, runs={name: State(values=values, preset="law") for name, values in runs.items()})


@pytest.mark.parametrize(
    "text, canonical",
    [
        ("cost increase > 10%", "cost increase > 10%"),
        (" total  gpu_hours increase >= 5k ", "total gpu_hours increase >= 5000 h"),
        ("cost increase > 50k USD", "cost increase > 50k USD"),
        ("loss change > 0", "loss change > 0"),
        ("params decrease > 0%", "params decrease > 0%"),
        ("compute_overhead increase > 2.5%", "compute_overhead increase > 2.5%"),
    ],
)
def test_thresholds_are_read_and_written(text, canonical):
    """The canonical text reads as the same threshold."""
    threshold = parse_threshold(text)
    assert threshold.text == canonical
    assert parse_threshold(canonical) == threshold


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cost",
        "cost > 10%",
        "cost increase < 10%",
        "price increase > 1%",
        "total loss increase > 1%",
        "cost increase > -1%",
        "cost increase > x",
        "cost increase > 1" + "0" * 500,
    ],
)
def test_what_is_no_threshold_is_refused(text):
    """Each with an error that a person can act on."""
    with pytest.raises(ScaleplanError):
        parse_threshold(text)


@pytest.mark.parametrize(
    "text, before, after, status, told",
    [
        ("cost increase > 10%", 100.0, 110.0, "pass", "10 % <= 10%"),
        ("cost increase >= 10%", 100.0, 110.0, "fail", "10 % >= 10%"),
        ("cost increase > 10%", 100.0, 110.00001, "fail", "10.00001 % > 10%"),
        ("cost increase > 10%", 100.0, 50.0, "pass", "-50 % <= 10%"),
        ("cost decrease > 10%", 100.0, 50.0, "fail", "50 % > 10%"),
        ("cost change > 10 USD", 100.0, 80.0, "fail", "$20.0 > $10.0"),
        ("cost increase > 0", 100.0, 100.0, "pass", ""),
        ("cost increase > 0", 100.0, 100.0001, "fail", ""),
    ],
)
def test_thresholds_judge_unrounded_changes(text, before, after, status, told):
    """A tenth more is not more than a tenth; what is shown has the digits to see why."""
    result = compare(side("a", r={"cost": before}), side("b", r={"cost": after}), thresholds=[parse_threshold(text)])
    (judged,) = result.judged
    assert (judged.status, result.exit_status) == (status, 1 if status == "fail" else 0)
    assert told in judged.message


def test_added_and_removed_runs_count_for_what_has_a_sum():
    """A new run is an increase from nothing of its cost, and no increase of its loss."""
    before, after = (
        side("a", r={"cost": 5.0, "loss": 2.0}),
        side("b", r={"cost": 5.0, "loss": 2.0}, n={"cost": 9.0, "loss": 3.0}),
    )
    result = compare(
        before, after, thresholds=[parse_threshold("cost increase > 10%"), parse_threshold("loss increase > 0")]
    )
    assert [(each.run, each.threshold[:4], each.status) for each in result.judged] == [
        ("r", "cost", "pass"),
        ("n", "cost", "fail"),
        ("r", "loss", "pass"),
    ]
    total = [change for change in result.changes if change.run is None]
    assert [(change.quantity, change.before, change.after, change.ratio) for change in total] == [
        ("cost", 5.0, 14.0, 1.8)
    ]
    gone = compare(after, before, thresholds=[parse_threshold("total cost decrease > 1 USD")])
    assert {change.status for change in gone.changes if change.run == "n"} == {"removed"}
    assert gone.exit_status == 1


def test_losses_of_two_laws_are_never_subtracted():
    """The comparison says so, and a threshold on the loss cannot be judged."""
    values = {"loss": 2.0, "params": 1e9}
    before = Snapshot(label="a", runs={"r": State(values=values, preset="one")})
    after = Snapshot(label="b", runs={"r": State(values={**values, "loss": 1.9}, preset="two")})
    result = compare(before, after, thresholds=[parse_threshold("loss increase > 0")])
    loss = next(change for change in result.changes if change.quantity == "loss")
    assert (loss.change, loss.ratio) == (None, None)
    assert [notice.code for notice in result.warnings] == ["other_law"]
    assert result.exit_status == 2


def test_a_quantity_that_is_not_known_cannot_be_judged():
    """Neither passes nor fails: exit status 2."""
    result = compare(
        side("a", r={"cost": None}), side("b", r={"cost": 5.0}), thresholds=[parse_threshold("cost increase > 1%")]
    )
    assert (result.judged[0].status, result.exit_status) == ("error", 2)
