"""The schedule of a learning rate: its formula, its text, and what of it a log shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.errors import FileError, ScaleplanError, UsageError
from scaleplan.logs import schedule_recognition
from scaleplan.logs.learning_rate import parse_schedule, schedule_of, tabled_schedule
from scaleplan.logs.schedule_recognition import recognise_schedule


def formula(steps, kind, *, total, peak, end, warmup, decay_from=None, shape=None):
    """Write the schedule out again, step by step, as trainers compute it."""
    start = warmup if decay_from is None else decay_from
    share = np.clip((steps - start) / max(total - start, 1e-9), 0, 1)
    left = {
        "constant": np.ones_like(share),
        "linear": 1 - share,
        "cosine": 0.5 * (1 + np.cos(np.pi * share)),
        "1-sqrt": 1 - np.sqrt(share),
        "1-square": 1 - share**2,
    }
    if kind == "inverse_sqrt":
        rate = peak * np.sqrt(warmup / np.maximum(steps, warmup))
    elif "exponential" in (kind, shape):
        rate = peak * (end / peak) ** share
    else:
        rate = end + (peak - end) * left[shape or kind]
    return np.where(steps < warmup, peak * steps / max(warmup, 1), rate)


SCHEDULES = [
    {"kind": "cosine", "end": 0.1},
    {"kind": "linear", "end": 0.0},
    {"kind": "exponential", "end": 0.01},
    {"kind": "inverse_sqrt", "end": 0.0},
    *[
        {"kind": "wsd", "end": 0.05, "shape": shape, "decay_from": 800.0}
        for shape in ("linear", "cosine", "1-sqrt", "1-square", "exponential")
    ],
]


@pytest.mark.parametrize("stated", SCHEDULES, ids=lambda each: f"{each['kind']}-{each.get('shape', '')}")
class TestShapes:
    def test_the_rates_and_their_sum_are_those_of_the_formula(self, stated):
        known = {"total": 1000.0, "peak": 1.0, "warmup": 50.0, **stated}
        schedule = schedule_of(**known)
        fine = (np.arange(100_000) + 0.5) / 100
        rates = formula(fine, **known)
        assert schedule.at(fine) == pytest.approx(rates, abs=2e-3)
        for place in (30, 400, 850, 1000):
            brute = rates[: place * 100].sum() / 100
            assert float(schedule.integral(np.array([float(place)]))[0]) == pytest.approx(brute, rel=1e-4)

    @pytest.mark.parametrize("printed", [lambda r: r, np.float32, lambda r: np.array([float(f"{x:.6e}") for x in r])])
    @pytest.mark.parametrize("every", [1, 10])
    def test_a_finished_log_tells_it(self, stated, printed, every):
        known = {"total": 1000.0, "peak": 3e-4, "warmup": 50.0, **stated, "end": stated["end"] * 3e-4}
        steps = np.arange(every, 1001.0, every)
        found = recognise_schedule(steps, printed(formula(steps, **known)).astype(float), 1000)
        assert (found.kind, found.known) == (stated["kind"], True)
        assert found.peak == pytest.approx(3e-4, rel=1e-3)
        fine = np.arange(60.0, 1001)
        assert np.abs(found.at(fine) - formula(fine, **known)).max() < 0.05 * 3e-4

    def test_the_rest_follows_from_the_part_seen(self, stated):
        known = {"total": 1000.0, "peak": 3e-4, "warmup": 50.0, **stated, "end": stated["end"] * 3e-4}
        steps = np.arange(5, 901.0, 5)
        found = recognise_schedule(steps, formula(steps, **known), 1000)
        assert (found.kind, found.known) == (stated["kind"], True)
        assert found.end == pytest.approx(formula(np.array([1000.0]), **known)[0], abs=0.01 * 3e-4)


@settings(max_examples=12, deadline=None)
@given(
    total=st.integers(500, 50_000),
    warm=st.sampled_from([0.0, 0.01, 0.05]),
    end=st.sampled_from([0.0, 0.05, 0.1, 0.3]),
    peak=st.sampled_from([1e-3, 6e-4, 3e-4, 1.5e-4]),
    seen=st.floats(0.3, 1.0),
    offset=st.sampled_from([0, 1]),
)
def test_the_beginning_of_a_cosine_tells_its_end(*, total, warm, end, peak, seen, offset):
    warmup = round(warm * total)
    steps = np.arange(0.0, seen * total + 1, max(1, total // 100))
    rates = formula(
        steps + (offset if warmup else 0), "cosine", total=total, peak=peak, end=end * peak, warmup=warmup
    )
    found = recognise_schedule(steps, rates, total)
    assert (found.kind, found.known) == ("cosine", True)
    assert found.end / peak == pytest.approx(end, abs=0.02)
    assert found.decay_from == pytest.approx(warmup, abs=max(3, total / 100))


@pytest.mark.parametrize("decimals", [6, 5])
def test_few_decimals_tell_a_cosine(decimals):
    steps = np.arange(0.0, 701)
    rates = formula(steps, "cosine", total=1000, peak=1e-3, end=1e-4, warmup=20)
    found = recognise_schedule(steps, np.round(rates, decimals), 1000)
    assert (found.kind, found.known) == ("cosine", True)
    assert found.end == pytest.approx(1e-4, abs=2e-5)


def test_six_decimals_tell_a_straight_fall_without_its_end():
    steps = np.arange(1.0, 301)
    rates = formula(steps, "linear", total=600, peak=1e-3, end=0.0, warmup=12)
    found = recognise_schedule(steps, np.round(rates, 6))
    assert (found.kind, found.total, found.warmup) == ("linear", 600, pytest.approx(12, abs=0.1))


def test_three_significant_digits_tell_a_decay():
    steps = np.arange(10.0, 901, 10)
    rates = formula(steps, "wsd", total=1000, peak=3e-4, end=0.0, warmup=20, decay_from=800, shape="linear")
    found = recognise_schedule(steps, np.array([float(f"{rate:.2e}") for rate in rates]), 1000)
    assert (found.kind, found.shape, found.known) == ("wsd", "linear", True)
    assert (found.decay_from, found.end) == (pytest.approx(800, abs=2), pytest.approx(0, abs=3e-6))


@pytest.mark.parametrize("printed", [float, lambda rate: float(np.float32(rate)), lambda rate: float(f"{rate:.6e}")])
@pytest.mark.parametrize(("warm", "every"), [(12, 10), (37, 10), (63, 50), (40, 10)])
def test_the_peak_before_a_straight_fall_may_lie_between_two_entries(warm, every, printed):
    steps = np.arange(float(every), 601, every)
    rates = formula(steps, "linear", total=1000, peak=6e-4, end=0.0, warmup=warm)
    found = recognise_schedule(steps, np.array([printed(rate) for rate in rates]), 1000)
    assert (found.kind, found.peak, found.warmup) == (
        "linear",
        pytest.approx(6e-4, rel=1e-5),
        pytest.approx(warm, abs=0.1),
    )


@pytest.mark.parametrize("warm", [0, 4])
def test_a_straight_fall_begins_at_the_roundest_peak_before_the_first_entry(warm):
    steps = np.arange(10.0, 601, 10)
    found = recognise_schedule(steps, formula(steps, "linear", total=600, peak=1e-4, end=0.0, warmup=warm), 600)
    assert (found.kind, found.peak, found.warmup) == (
        "linear",
        pytest.approx(1e-4, rel=1e-6),
        pytest.approx(warm, abs=0.1),
    )
    late = np.arange(300.0, 601, 10)  # of a log that begins there nothing tells the peak
    found = recognise_schedule(late, formula(late, "linear", total=600, peak=1e-4, end=0.0, warmup=0), 600)
    assert found.peak == pytest.approx(5e-5)


def test_while_the_rate_is_constant_nothing_tells_of_a_decay():
    steps = np.arange(10.0, 501, 10)
    found = recognise_schedule(steps, np.minimum(steps / 30, 1.0) * 6e-4, 1000)
    assert (found.kind, found.known, found.known_to) == ("constant", False, 500)
    assert found.warmup == pytest.approx(30)
    assert recognise_schedule(np.arange(10.0, 1001, 10), np.full(100, 1e-3), 1000).known


def test_a_step_is_put_at_a_round_place_and_the_rest_is_not_known():
    steps = np.arange(2176.0, 14_000, 128)
    found = recognise_schedule(steps, np.where(steps < 8000, 3e-4, 9e-5), 16_000)
    assert (found.kind, found.decay_from, found.known) == ("steps", 8000, False)


def test_no_shape_is_a_table():
    steps = np.arange(0.0, 1000, 10)
    found = recognise_schedule(steps, 1e-3 * (1 + 0.3 * np.sin(steps / 50)), 2000)
    assert (found.kind, found.known_to) == ("table", 990)
    assert found.at(np.array([500.0])) == pytest.approx(1e-3 * (1 + 0.3 * np.sin(10)), rel=1e-6)


def test_a_damaged_rate_is_passed_over():
    steps = np.arange(1.0, 101)
    rates = formula(steps, "cosine", total=100, peak=1e-3, end=0.0, warmup=0)
    rates[40] = 1e200
    found = recognise_schedule(steps, rates, 100)
    assert (found.kind, found.peak) == ("cosine", pytest.approx(1e-3, rel=1e-3))


def test_nothing_to_recognise():
    assert recognise_schedule(np.array([1.0]), np.array([1e-3])) is None
    assert recognise_schedule(np.arange(5.0), np.zeros(5)) is None
    assert recognise_schedule(np.arange(3.0), np.full(3, np.nan)) is None


class TestText:
    @pytest.mark.parametrize(
        "text, kind, end, decay_from",
        [
            ("constant", "constant", 1.0, 1000),
            ("cosine", "cosine", 0.0, 100),
            ("cosine:end=10%", "cosine", 0.1, 100),
            ("Linear:end=0.2,warmup=5%", "linear", 0.2, 50),
            ("wsd", "wsd", 0.0, 800),
            ("wsd:decay=300,end=0,shape=1-sqrt", "wsd", 0.0, 700),
            ("wsd:cooldown=10%", "wsd", 0.0, 900),
            ("warmup-stable-decay:decay=0.3", "wsd", 0.0, 700),
            ("exponential:end=1%", "exponential", 0.01, 100),
            ("inverse_sqrt", "inverse_sqrt", 0.1**0.5, 100),
            ("steps:80%=31.6%,900=10%", "steps", 0.1, 800),
        ],
    )
    def test_is_read(self, text, kind, end, decay_from):
        schedule = parse_schedule(text, total=1000, warmup=100)
        assert (schedule.kind, schedule.stated, schedule.known) == (kind, True, True)
        assert (schedule.end, schedule.decay_from) == (pytest.approx(end), pytest.approx(decay_from))

    def test_a_peak_is_taken_from_the_log_or_the_text(self):
        assert parse_schedule("cosine:end=10%", total=100, peak=3e-4).end == pytest.approx(3e-5)
        assert parse_schedule("cosine:end=10%,peak=6e-4", total=100, peak=3e-4).end == pytest.approx(6e-5)

    @pytest.mark.parametrize(
        "text, named",
        [
            ("", "unknown schedule"),
            ("cosin", "unknown schedule"),
            ("cosine:end", "NAME=VALUE"),
            ("cosine:end=2", "fraction"),
            ("cosine:decay=20%", "unknown setting"),
            ("cosine:end=1%,end=2%", "twice"),
            ("wsd:decay=2000", "does not fit"),
            ("wsd:shape=round", "shape"),
            ("wsd:shape=exponential", "ends at"),
            ("cosine:warmup=1000", "warm-up"),
            ("exponential", "ends at"),
            ("inverse_sqrt", "warm-up"),
            ("steps", "points"),
            ("steps:90%=1%,80%=2%", "points"),
            ("table", "file"),
            ("cosine:peak=-1", "peak"),
        ],
    )
    def test_bad_text_is_one_clear_error(self, text, named):
        with pytest.raises(UsageError, match=named):
            parse_schedule(text, total=1000)

    @settings(max_examples=50, deadline=None)
    @given(st.text(alphabet="cosinewdlratpbhx:=,.%-0123456789 e_", max_size=40))
    def test_any_text_is_read_or_refused(self, text):
        try:
            schedule = parse_schedule(text, total=1000)
        except ScaleplanError:
            return
        assert np.isfinite(schedule.at(np.arange(1001.0))).all()

    @pytest.mark.parametrize(
        "content",
        [
            "step,lr\n0,0\n100,1e-3\n1000,1e-4\n",
            "tokens,step,learning_rate\n0,0,0\n9,100,1e-3\n90,1000,1e-4\n",
            "iteration\trate\n0\t0\n100\t1e-3\n1000\t1e-4\n",
        ],
    )
    def test_a_table_is_read(self, tmp_path, content):
        (tmp_path / "rates.csv").write_text(content)
        schedule = parse_schedule("table rates.csv", total=1000, folder=tmp_path)
        assert (schedule.kind, schedule.known) == ("table", True)
        assert schedule.at(np.array([550.0])) == pytest.approx(5.5e-4)

    @pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "step,lr\n1,x\n", "step,lr\n2,1\n1,1\n", "step,lr\n1,1\n"])
    def test_a_table_without_rates_is_refused(self, tmp_path, content):
        (tmp_path / "rates.csv").write_text(content)
        with pytest.raises(FileError, match=r"rates\.csv"):
            parse_schedule("table rates.csv", total=1000, folder=tmp_path)


def test_a_table_holds_its_first_and_last_rate():
    schedule = tabled_schedule(np.array([10.0, 20.0]), np.array([2.0, 1.0]), total=100)
    assert schedule.integral(np.array([10.0, 20.0, 100.0])) == pytest.approx([20, 35, 115])


class TestWork:
    """How much is computed until a shape is known: a table has thousands of runs."""

    @pytest.mark.parametrize("stated", SCHEDULES, ids=lambda each: f"{each['kind']}-{each.get('shape', '')}")
    @pytest.mark.parametrize("every", [1, 10])
    def test_a_cosine_is_searched_where_a_few_rates_allow_one(self, monkeypatch, stated, every):
        searched, compared = [], []
        refined, ends = schedule_recognition._refined, schedule_recognition._ends
        monkeypatch.setattr(
            schedule_recognition, "_refined", lambda *given, **more: searched.append(1) or refined(*given, **more)
        )
        monkeypatch.setattr(schedule_recognition, "_ends", lambda *given: compared.append(1) or ends(*given))
        steps = np.arange(0.0, 10_000 + 1, every)
        if "decay_from" in stated:
            stated = {**stated, "decay_from": 8000.0}
        rates = formula(steps, total=10_000.0, peak=1.0, warmup=100.0, **stated)
        found = recognise_schedule(steps, rates)
        assert found is not None
        assert (found.kind, found.shape or "") == (stated["kind"], stated.get("shape") or found.shape or "")
        cosine = "cosine" in (stated["kind"], stated.get("shape"))
        assert len(searched) == (1 if cosine else 0)
        assert len(compared) <= (4 if cosine else 0)

    @settings(deadline=None, max_examples=60)
    @given(
        places=st.tuples(st.floats(-500, 0), st.floats(10, 5000)),
        ends=st.tuples(st.floats(0.2, 2), st.floats(0, 0.15)),
        digits=st.integers(1, 12),
    )
    def test_five_points_of_a_cosine_never_speak_against_it(self, places, ends, digits):
        (start, length), (peak, end) = places, ends
        at = np.arange(5) * length / 4.5
        share = np.clip((at - start) / (length - start), 0, 1)
        rates = end + (peak - end) * 0.5 * (1 + np.cos(np.pi * share))
        slack = np.full(5, 0.5 * 10.0**-digits)
        assert not schedule_recognition._is_bent(np.round(rates, digits)[None], slack[None] + 1e-12)[0]
