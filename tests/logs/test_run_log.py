"""The recorder of a run: order, restarts, thinning, values that are no numbers, and time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.logs.recorder import MOST_POINTS, Recorder


def recorder(*, in_order: bool = False) -> Recorder:
    return Recorder("run", "run.log", line=1, format_name="test", in_order=in_order)


def test_a_restart_replaces_what_it_repeats_and_is_told_with_its_line() -> None:
    run = recorder(in_order=True)
    for step in range(1, 11):
        run.add(step, {"loss": 5.0 - 0.1 * step, "lr": 1e-3}, line=step)
    run.add(10, {"val_loss": 4.5}, line=11)
    for step in range(6, 9):
        run.add(step, {"loss": 3.0, "lr": 2e-3}, line=step + 6)
    log = run.run()
    assert log.curves["loss"].steps.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert log.curves["loss"].values[5:].tolist() == [3.0] * 3
    assert log.curves["lr"].values.tolist() == [1e-3] * 5 + [2e-3] * 3
    assert "val_loss" not in log.curves  # of the part that was given up
    (notice,) = log.warnings
    assert notice.code == "restarted"
    assert "from 10 to 6 at line 12" in notice.message


def test_quantities_that_come_one_after_the_other_are_not_restarts() -> None:
    run = recorder()
    run.extend(range(1, 6), {"loss": [5.0, 4.0, 3.0, 2.0, 1.0]})
    run.extend(range(1, 6), {"lr": [1e-3] * 5})
    run.extend([2, 4], {"val_loss": [4.5, 2.5]})
    log = run.run()
    assert {name: len(curve) for name, curve in log.curves.items()} == {"loss": 5, "val_loss": 2, "lr": 5}
    assert log.warnings == ()


def test_validation_before_the_first_step_after_a_restart_stays() -> None:
    run = recorder(in_order=True)
    for step in range(1, 8):
        run.add(step, {"loss": 5.0})
    run.add(5, {"val_loss": 4.0})
    run.add(5, {"loss": 4.0})
    run.add(6, {"loss": 4.0})
    log = run.run()
    assert log.curves["val_loss"].steps.tolist() == [5.0]
    assert log.curves["loss"].values.tolist() == [5.0] * 4 + [4.0] * 2


def test_one_late_line_is_left_out() -> None:
    run = recorder(in_order=True)
    for step in (1, 2, 3, 2, 4, 5):
        run.add(step, {"loss": 5.0 - step})
    log = run.run()
    assert log.curves["loss"].steps.tolist() == [1, 2, 3, 4, 5]
    assert log.warnings == ()


def test_a_late_line_and_a_restart_hold_over_the_pieces_of_a_log() -> None:
    for pieces in ([[1, 2, 3, 2], [4, 5]], [[1, 2, 3], [2], [3, 4, 5]], [[1, 2, 3], [2, 3], [4, 5]]):
        run = recorder(in_order=True)
        for piece in pieces:
            run.extend(piece, {"loss": [5.0 - step for step in piece]})
        log = run.run()
        assert log.curves["loss"].steps.tolist() == [1, 2, 3, 4, 5]
        assert bool(log.warnings) == (pieces != [[1, 2, 3, 2], [4, 5]])


def test_a_log_that_ends_with_the_first_line_after_a_restart() -> None:
    run = recorder(in_order=True)
    run.extend([1, 2, 3, 4, 2], {"loss": [5.0, 4.0, 3.0, 2.0, 4.5]})
    log = run.run()
    assert log.curves["loss"].steps.tolist() == [1, 2]
    assert log.curves["loss"].values.tolist() == [5.0, 4.5]


def test_an_entry_of_the_same_step_counts_once_and_the_later_value() -> None:
    run = recorder()
    run.extend([1, 1, 2, 2], {"loss": [5.0, 4.0, 3.0, 2.0]})
    run.extend([2, 3], {"loss": [1.0, 0.5]})
    assert run.run().curves["loss"].values.tolist() == [4.0, 1.0, 0.5]


def test_a_long_curve_is_thinned_to_means_at_later_steps() -> None:
    run = recorder()
    count = 5 * MOST_POINTS + 3
    steps = np.arange(1.0, count + 1)
    for start in range(0, count, 10_007):
        part = steps[start : start + 10_007]
        run.extend(part, {"loss": part, "lr": part})
    log = run.run()
    loss, rate = log.curves["loss"], log.curves["lr"]
    assert loss.stride == rate.stride == 4
    assert MOST_POINTS <= len(loss) < 2 * MOST_POINTS
    assert log.last_step == count
    np.testing.assert_allclose(loss.values[:-1], loss.steps[:-1] - 1.5)  # the mean of four
    np.testing.assert_array_equal(rate.values, rate.steps)
    assert float(np.mean(loss.values[:-1])) == pytest.approx(np.mean(steps[: 4 * (len(loss) - 1)]))


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 90_000), min_size=1, max_size=5),
    back=st.floats(0.0, 1.0),
    more=st.integers(2, 50_000),
)
def test_thinning_and_restarts_keep_steps_rising_and_the_values_of_their_steps(sizes, back, more) -> None:
    run = recorder(in_order=True)
    start = 0
    for size in sizes:
        steps = np.arange(start + 1.0, start + size + 1)
        run.extend(steps, {"loss": 2.0 * steps, "tokens": steps * 7})
        start += size
    resumed = max(1, int(back * start))
    steps = np.arange(float(resumed), float(resumed + more))
    run.extend(steps, {"loss": 2.0 * steps, "tokens": steps * 7})
    log = run.run()
    for curve in log.curves.values():
        assert (np.diff(curve.steps) > 0).all()
        assert len(curve) <= 2 * MOST_POINTS
    loss, tokens = log.curves["loss"], log.curves["tokens"]
    assert log.last_step == steps[-1]
    np.testing.assert_array_equal(tokens.values, 7 * tokens.steps)
    assert (np.abs(loss.values - 2.0 * loss.steps) <= 2 * loss.stride).all()
    assert (loss.values <= 2.0 * loss.steps).all()


def test_what_is_no_number_is_told_and_never_averaged() -> None:
    run = recorder(in_order=True)
    for step in range(1, 6):
        run.add(
            step,
            {"loss": float("nan") if step == 3 else float("inf") if step == 4 else 2.0, "grad_norm": float("nan")},
        )
    log = run.run()
    assert log.curves["loss"].steps.tolist() == [1, 2, 5]
    assert "grad_norm" not in log.curves
    assert log.not_finite is not None
    assert (log.not_finite.first, log.not_finite.last, log.not_finite.count) == (3.0, 4.0, 2)
    assert not log.lost
    run = recorder()
    run.extend([1, 2, 3], {"loss": [2.0, np.nan, np.inf]}, lost=[False, True, False])
    log = run.run()
    assert log.lost
    assert log.not_finite is not None
    assert log.not_finite.first == 2.0
    run = recorder()
    run.extend([1, 2, 3], {"loss": [2.0, np.nan, 1.0]})  # no value at step 2
    assert run.run().not_finite is None


def test_a_restart_before_a_loss_that_was_lost_forgets_it() -> None:
    run = recorder(in_order=True)
    run.extend([1, 2, 3, 4], {"loss": [2.0, 2.0, np.nan, np.nan], "lr": [1.0] * 4}, lost=[False, False, True, True])
    run.extend([2, 3, 4], {"loss": [2.0, 1.9, 1.8], "lr": [1.0] * 3})
    log = run.run()
    assert log.not_finite is None
    assert log.curves["loss"].values.tolist() == [2.0, 2.0, 1.9, 1.8]


def test_time_from_the_time_of_steps_or_from_a_clock_without_pauses() -> None:
    run = recorder(in_order=True)
    run.extend([10, 20, 30], {"loss": [3.0, 2.0, 1.0], "step_seconds": [2.0, 2.0, 4.0]})
    assert run.run().curves["seconds"].values.tolist() == [20.0, 40.0, 80.0]
    run = recorder(in_order=True)  # a log that begins late counts from its beginning
    run.extend([5010, 5020, 5030], {"loss": [3.0, 2.0, 1.0], "step_seconds": [2.0, 2.0, 4.0]})
    assert run.run().curves["seconds"].values.tolist() == [20.0, 40.0, 80.0]
    run = recorder(in_order=True)  # an hour's pause, and a clock that was set back
    run.extend([1, 2, 3, 4, 5, 6], {"loss": [3.0] * 6, "clock": [100.0, 110.0, 3710.0, 3720.0, 3000.0, 3010.0]})
    assert run.run().curves["seconds"].values.tolist() == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]


def test_an_empty_run_has_no_curves() -> None:
    log = recorder().run()
    assert dict(log.curves) == {}
    assert np.isnan(log.last_step)
    assert not log.lost
