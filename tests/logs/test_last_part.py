"""The loss over the last part of a curve, and how a run ended."""

import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.logs.last_part import final_loss, is_growing, lowest, rise, state_of
from scaleplan.logs.recorder import Recorder
from scaleplan.logs.run_log import LoggedCurve

EPOCH = 1_800_000_000.0


def curve(losses, *, every=10, start=10):
    steps = start + every * np.arange(len(losses), dtype=float)
    return LoggedCurve(steps=steps, values=np.asarray(losses, dtype=float))


def logged(losses, *, every=10, start=10, ended=None, source="none.log", **stated):
    recorder = Recorder("run", source, line=1, format_name="hand-made", in_order=True)
    recorder.state(**stated)
    for i, loss in enumerate(losses):
        recorder.add(start + every * i, {"loss": loss})
    recorder.ended = ended
    return recorder.run()


def state(losses, *, total=None, growing=False, **more):
    return state_of(logged(losses, **more), total=total, growing=growing)


def falling(count, noise=0.01, seed=0):
    steps = np.arange(1, count + 1)
    return (2 + 3 / steps**0.3) * np.exp(noise * np.random.default_rng(seed).standard_normal(count))


@given(st.integers(1, 400), st.sampled_from([1, 10, 250]), st.integers(0, 50))
def test_a_final_loss_is_a_loss_of_the_last_twentieth(count, every, start):
    """Between the lowest and the highest entry of what it says, which is the end of the curve."""
    found = curve(falling(count), every=every, start=start + every)
    final = final_loss(found)
    last = found.values[-final.entries :]
    assert last.min() <= final.value <= last.max()
    assert found.steps[-final.entries] >= 0.95 * found.steps[-1] or final.entries == 1
    assert f"{found.steps[-1]:.0f}" in final.smoothing


@given(st.integers(60, 3000), st.floats(2, 50))
def test_a_spike_at_the_end_does_not_move_it(count, factor):
    """One entry of the last part is no outcome."""
    losses = falling(count, noise=0)
    plain = final_loss(curve(losses)).value
    losses[-2] *= factor
    assert final_loss(curve(losses)).value == pytest.approx(plain, rel=0.02)


def test_what_a_loss_is_of_is_said():
    """Entries and steps; what an entry is already; a running mean is taken as it is."""
    losses = falling(200)
    assert final_loss(curve(losses)).smoothing == "median of the last 10 entries, steps 1910 to 2000"
    each = final_loss(curve(losses), "mean of 10 steps").smoothing
    assert each == "median of the last 10 entries, steps 1910 to 2000, each the mean of 10 steps"
    assert final_loss(curve(losses), "running mean") == (losses[-1], "last entry, step 2000, a running mean", 1)
    assert final_loss(curve([3.5])) == (3.5, "last entry, step 10", 1)
    long = LoggedCurve(steps=np.arange(1.0, 10_001), values=falling(10_000), stride=4)
    assert final_loss(long).smoothing == (
        "median of the last 201 entries, steps 9800 to 10000, each the mean of 4 entries of the log"
    )


@given(st.integers(1, 2000), st.floats(0, 0.03), st.integers(0, 20))
def test_a_healthy_run_has_not_diverged(count, noise, seed):
    """With the noise of training, from one entry on."""
    assert state(falling(count, noise, seed)) is None
    assert state(falling(count, noise, seed), total=10 * count) == "finished"


@given(st.integers(50, 1000), st.floats(1.4, 4))
def test_a_loss_that_went_up_and_stayed_has_diverged(count, factor):
    """Whatever the log says of its end."""
    losses = falling(count)
    losses[int(0.7 * count) :] = factor * losses.min()
    assert state(losses, total=10 * count) == "diverged"
    assert rise(curve(losses), final_loss(curve(losses))) > 1.2


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([4, 3, math.nan, 2.8, 2.7], "stopped"),  # recovered
        ([4, 3, 2.8, math.nan, math.nan], "diverged"),
        ([4, 3, 2.8, math.inf], "diverged"),
        ([math.nan], "diverged"),
        ([3.9], "stopped"),
        ([], None),
    ],
)
def test_a_loss_that_is_no_number(losses, expected):
    """On the way it is passed over; at the end the run has diverged, and an empty log tells nothing."""
    assert state(losses, total=1000) == expected


@pytest.mark.parametrize(
    ("every", "start", "last", "total", "expected"),
    [
        (10, 10, 1000, 1000, "finished"),
        (10, 10, 1000, 1005, "finished"),  # the next entry would lie beyond the end
        (10, 10, 990, 1000, "stopped"),
        (10, 0, 990, 1000, "finished"),  # counted from 0, the last of 1000 is 999
        (1, 0, 999, 1000, "finished"),
        (1, 1, 998, 1000, "stopped"),
        (10, 10, 500, 1000, "stopped"),
        (10, 10, 1010, 1000, "finished"),
    ],
)
def test_a_run_is_finished_at_its_last_entry(every, start, last, total, expected):
    """Trainers count from 0 or 1 and log every few steps."""
    losses = falling((last - start) // every + 1)
    assert state(losses, every=every, start=start, total=total) == expected


def test_what_the_log_says_of_its_end():
    """A crash is one wherever it is; one that finished before its last step was stopped."""
    losses = falling(50)
    assert state(losses, ended="crashed", total=500) == "crashed"
    assert state(losses, ended="finished") == "finished"
    assert state(losses, ended="finished", total=5000) == "stopped"
    assert state(losses, growing=True, total=5000) == "running"
    assert state(losses, growing=True, total=500) == "finished"
    assert state(losses, growing=True, ended="crashed") == "crashed"
    assert state(losses) is None


@pytest.mark.parametrize(
    ("written", "created", "expected"),
    [(-60, -3600, True), (-3600, -7200, False), (-60, -60, False), (-1, -1.5, False), (60, -3600, False)],
)
def test_a_log_grows_while_it_is_written_to(tmp_path, written, created, expected):
    """Not one that was copied a minute ago: the folder changed with it."""
    path = tmp_path / "main.log"
    path.write_text("x")
    os.utime(path, (EPOCH + written, EPOCH + written))
    os.utime(tmp_path, (EPOCH + created, EPOCH + created))
    run = logged([3.0], source=str(path))
    assert is_growing(run, now=EPOCH) is expected
    assert not is_growing(logged([3.0], source="-"), now=EPOCH)
    assert not is_growing(logged([3.0], source=str(tmp_path / "gone")), now=EPOCH)


def test_the_clock_of_a_log_says_that_it_is_old(tmp_path):
    """Whatever the time of its file."""
    path = tmp_path / "main.log"
    path.write_text("x")
    os.utime(path, (EPOCH - 60, EPOCH - 60))
    os.utime(tmp_path, (EPOCH - 3600, EPOCH - 3600))
    recorder = Recorder("run", str(path), line=1, format_name="hand-made")
    recorder.add(1, {"loss": 3.0})
    recorder.written = EPOCH - 30 * 86400
    assert not is_growing(recorder.run(), now=EPOCH)
    recorder.written = EPOCH - 7 * 3600
    assert is_growing(recorder.run(), now=EPOCH)


def test_the_lowest_of_equals_is_the_first():
    """With its step."""
    assert lowest(curve([3, 2, 2, 2.5])) == (20, 2)


def test_a_step_beyond_all_counting_is_written_short():
    assert "steps 9.5e301 to 9.9e301" in final_loss(curve([3.0] * 100, every=1e300, start=0)).smoothing
    assert "step 1500" in final_loss(curve([3.0], start=1500)).smoothing


def test_a_rate_of_few_decimals_is_nothing_in_print_before_the_end():
    def ended(rates):
        recorder = Recorder("run", "none.log", line=1, format_name="hand-made", in_order=True)
        for step, rate in enumerate(rates):
            recorder.add(step, {"loss": 3.0, "lr": rate})
        return state_of(recorder.run(), total=1000, growing=False)

    falls = 6e-4 * (1 - np.linspace(0, 1, 50))
    assert ended(falls) == "finished"
    assert ended(np.round(falls, 4)) == "stopped"
