"""Tests of limits on changes, and of the comparison itself."""

from __future__ import annotations

import pytest

from scaleplan.documents.key_path import paired_values
from scaleplan.errors import ScaleplanError
from scaleplan.output.views.check import diff_report
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
        ("cost change > 10 USD", 100.0, 80.0, "fail", "$20.00 > $10.00"),
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


def test_items_are_paired_by_name_where_they_have_one():
    """An item in front of a list, or another order, is no change of the others; without names the position counts."""
    h100, h200 = {"schema": "x", "id": "h100", "tdp": 700}, {"schema": "x", "id": "h200", "tdp": 700}
    b200 = {"schema": "x", "id": "b200", "tdp": 1000}
    changed = {key: (old, new) for key, old, new in paired_values([h100, h200], [b200, h200, h100]) if old != new}
    assert changed == {
        (name, key): (None, value)
        for name, key, value in (("b200", "schema", "x"), ("b200", "id", "b200"), ("b200", "tdp", 1000))
    }
    assert [*paired_values({"a": [h100]}, {"a": [b200]})][1] == (("a", 0, "id"), "h100", "b200")
    same = [{"code": "range", "factor": 2}, {"code": "range", "factor": 3}]
    assert [
        key for key, old, new in paired_values(same, [same[0], {"code": "range", "factor": 4}]) if old != new
    ] == [(1, "factor")]
    assert [*paired_values([1.0, 2.0], [1.0])] == [((0,), 1.0, 1.0), ((1,), 2.0, None)]
    assert [*paired_values({"a": {"b": 1}}, {"a": None})] == [(("a", "b"), 1, None)]


def values(label, **held):
    """Return a saved result without runs."""
    return Snapshot(label=label, runs={"thing": State()}, kind="thing", values=held)


def test_a_comparison_of_values_has_what_differs_alone():
    """Numbers with their change, other values with what they were; what is null is not there."""
    result = compare(
        values("a", n=64, x=2.0, b=True, one=1, t="up", gone=1.5, same={"deep": [1, "x"]}, none=None),
        values("b", n=80, x=2.0, b=False, one=True, t="down", gone=None, same={"deep": [1, "x"]}, new="n", none=[]),
    )
    assert (result.kind, result.status) == ("thing", "within")
    assert [
        (each.quantity, each.status, each.before, each.after, each.change, each.ratio) for each in result.changes
    ] == [
        ("n", "changed", 64, 80, 16, 0.25),
        ("b", "changed", True, False, None, None),
        ("one", "changed", 1, True, None, None),
        ("t", "changed", "up", "down", None, None),
        ("gone", "removed", 1.5, None, None, None),
        ("new", "added", None, "n", None, None),
    ]
    report = diff_report(result)
    assert report.title == "a → b: 6 values changed"
    assert report.grid.rows == [
        ("n", "64", "80", "+16", "+25 %"),
        ("b", "true", "false", "", ""),
        ("one", "1", "true", "", ""),
        ("gone", "1.50", "–", "", ""),
    ]
    assert list(report.remarks) == ["t: 'up' → 'down'", "new: 'n' added"]


def test_long_texts_are_shown_where_they_differ():
    """And more changes than a screen has are counted."""
    before, after = "word " * 60 + "before", "word " * 60 + "after"
    (remark,) = diff_report(compare(values("a", note=before), values("b", note=after))).remarks
    assert remark == "note: '…d word word before' → '…d word word after'"
    many = diff_report(compare(values("a", y=[0.0] * 100), values("b", y=[1.0] * 100)))
    assert (len(many.grid.rows), list(many.remarks)) == (
        40,
        ["60 further values changed; --format csv lists all"],
    )


def test_a_ratio_beyond_numbers_is_none():
    """The change itself is a number still."""
    (change,) = compare(values("a", x=1e-300), values("b", x=1e300)).changes
    assert (change.change, change.ratio) == (1e300, None)
