"""Departures of a run: found when they are there, and only then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scaleplan.logs.learning_rate import parse_schedule
from scaleplan.tracking.alarm import check_course
from scaleplan.tracking.loss_curve import LossCurve
from scaleplan.tracking.recipe_alarm import excess_over, student_tail

TOTAL = 10_000.0


def run(rng, *, points=300, noise=0.003, fault=0.0, at=0.4, schedule=None, level=0.0, seen=1.0):
    steps = np.linspace(TOTAL / points, TOTAL, points)
    loss = (2 + 6 * steps**-0.35) * np.exp(noise * rng.normal(size=points) + level)
    if schedule is not None:
        loss -= 0.15 * (1 - schedule.at(steps)) * (steps > 0.02 * TOTAL)
    loss *= np.where(steps >= at * TOTAL, 1 + fault, 1.0)
    kept = steps <= seen * TOTAL
    return LossCurve(name="run", steps=steps[kept], loss=loss[kept], total=TOTAL, schedule=schedule)


class TestAlone:
    @pytest.mark.parametrize("schedule", [None, "constant", "cosine:end=10%", "wsd:decay=20%"])
    def test_healthy_runs_are_not_flagged(self, schedule):
        rng = np.random.default_rng(0)
        known = schedule and parse_schedule(schedule, total=TOTAL, warmup=100)
        assert sum(check_course(run(rng, points=150, schedule=known)).alarm is not None for _ in range(12)) <= 1

    def test_noise_that_forgets_slowly_is_no_departure(self):
        rng = np.random.default_rng(10)
        flagged = 0
        for _ in range(8):
            curve, shocks = run(rng, points=100, noise=0.0), rng.normal(size=100)
            for index in range(1, 100):
                shocks[index] = 0.8 * shocks[index - 1] + 0.6 * shocks[index]
            flagged += check_course(replace(curve, loss=curve.loss * np.exp(0.005 * shocks))).alarm is not None
        assert flagged <= 1

    @pytest.mark.parametrize("fault", [0.01, 0.03])
    def test_a_step_up_is_worse(self, fault):
        rng = np.random.default_rng(1)
        alarms = [check_course(run(rng, fault=fault)).alarm for _ in range(6)]
        found = [each for each in alarms if each is not None and each.kind == "worse"]
        assert len(found) >= 5
        assert np.median([each.size for each in found]) == pytest.approx(fault, rel=0.15)
        assert np.median([abs(each.since - 0.4 * TOTAL) for each in found]) <= 0.02 * TOTAL
        assert all(each.found >= each.since for each in found)

    def test_a_step_down_is_better_only_where_the_schedule_is_known(self):
        rng = np.random.default_rng(2)
        constant = parse_schedule("constant", total=TOTAL, warmup=100)
        assert check_course(run(rng, fault=-0.03, schedule=constant)).alarm.kind == "better"
        assert check_course(run(rng, fault=-0.03)).alarm is None

    def test_or_where_two_references_do_not_have_it(self):
        rng = np.random.default_rng(2)
        decayed = [run(rng, fault=-0.03, level=level) for level in (0.2, 0.1)]
        alarm = check_course(run(rng, fault=-0.03), [run(rng, level=level) for level in (0.2, 0.1)]).alarm
        assert alarm.kind == "better"
        assert alarm.since == pytest.approx(0.4 * TOTAL, abs=0.02 * TOTAL)
        assert check_course(run(rng, fault=-0.03), decayed).alarm is None
        assert check_course(run(rng), decayed[:1]).alarm is None

    def test_a_fall_of_the_rate_that_is_known_of_is_no_departure(self):
        rng = np.random.default_rng(3)
        known = parse_schedule("steps:50%=10%", total=TOTAL, warmup=100)
        assert check_course(run(rng, schedule=known, noise=0.001)).alarm is None

    @pytest.mark.parametrize(("points", "width"), [(300, 6), (300, 16), (1000, 30)])
    def test_a_spike_of_many_points_neither_alarms_nor_hides_a_step(self, points, width):
        for seed in range(4):
            for fault, since in ((0.0, None), (0.05, 0.6 * TOTAL)):
                curve = run(np.random.default_rng(seed), points=points, fault=fault, at=0.6)
                curve.loss[points // 2 : points // 2 + width] += np.linspace(1.5, 0, width, endpoint=False)
                checked = check_course(curve)
                assert (checked.alarm and checked.alarm.since) == (since and pytest.approx(since, abs=0.02 * TOTAL))
                assert max(checked.spikes, key=lambda spike: spike.points).points == pytest.approx(width, abs=3)

    def test_a_spike_that_recovers_is_named_and_no_alarm(self):
        curve = run(np.random.default_rng(4))
        loss = curve.loss.copy()
        loss[150:153] *= 1.6
        checked = check_course(LossCurve(name="run", steps=curve.steps, loss=loss, total=TOTAL))
        assert checked.alarm is None
        (spike,) = checked.spikes
        assert (spike.step, spike.points) == (curve.steps[150], 3)
        assert spike.height == pytest.approx(0.6, abs=0.05)

    def test_few_points_allow_no_conclusion(self):
        checked = check_course(run(np.random.default_rng(5), points=20, fault=0.05))
        assert (checked.alarm, checked.conclusive) == (None, False)
        assert not check_course(LossCurve(name="run", steps=np.zeros(0), loss=np.zeros(0), total=TOTAL)).conclusive

    def test_a_long_curve_is_fast(self, cpu_seconds):
        curve = run(np.random.default_rng(6), points=65_536, noise=0.01)
        assert check_course(curve).alarm is None
        assert min(cpu_seconds(lambda: check_course(curve)) for _ in range(3)) < 0.5  # 0.06 s on an idle core


class TestDiverging:
    def test_no_number_that_stays(self):
        curve = run(np.random.default_rng(0), points=100)
        loss = curve.loss.copy()
        loss[80:] = np.nan
        alarm = check_course(LossCurve(name="run", steps=curve.steps, loss=loss, total=TOTAL)).alarm
        assert (alarm.kind, alarm.since) == ("diverging", curve.steps[80])

    def test_no_number_that_recovers(self):
        curve = run(np.random.default_rng(0), points=100)
        loss = curve.loss.copy()
        loss[50] = np.inf
        loss[70] = np.nan
        assert check_course(LossCurve(name="run", steps=curve.steps, loss=loss, total=TOTAL)).alarm is None

    def test_a_climbing_loss(self):
        curve = run(np.random.default_rng(0), points=100)
        loss = curve.loss * np.exp(0.05 * np.maximum(np.arange(100) - 80, 0))
        alarm = check_course(LossCurve(name="run", steps=curve.steps, loss=loss, total=TOTAL)).alarm
        assert alarm.kind == "diverging"
        assert curve.steps[78] <= alarm.since <= curve.steps[86]


class TestReferences:
    def recipe(self, rng, count, *, level=0.002, **more):
        runs = [run(rng, points=60, noise=0.001, level=level * rng.normal()) for _ in range(count)]
        return run(rng, points=60, noise=0.001, level=level * rng.normal(), **more), runs

    def test_healthy_runs_are_not_flagged(self):
        rng = np.random.default_rng(7)
        assert sum(check_course(*self.recipe(rng, 5)).alarm is not None for _ in range(15)) <= 1

    @pytest.mark.parametrize("fault", [0.01, -0.01])
    def test_a_step_is_found_soon(self, fault):
        rng = np.random.default_rng(8)
        alarms = [check_course(*self.recipe(rng, 5, fault=fault, seen=0.42)).alarm for _ in range(8)]
        kinds = [each.kind for each in alarms if each is not None and each.against == "references"]
        assert kinds.count("worse" if fault > 0 else "better") == 8

    @pytest.mark.parametrize("drift", [0.0, 0.01])
    def test_a_step_is_dated_to_the_point_beside_a_drift(self, drift):
        rng = np.random.default_rng(11)
        curve, runs = self.recipe(rng, 5, fault=0.05, at=0.25)
        drifted = [
            replace(one, loss=one.loss * np.exp(drift * rng.normal() * one.steps / TOTAL)) for one in (curve, *runs)
        ]
        alarm = check_course(drifted[0], drifted[1:]).alarm
        assert alarm.since == alarm.found == curve.steps[curve.steps >= 0.25 * TOTAL][0]
        assert alarm.size == pytest.approx(0.05, abs=0.01)

    def test_references_of_another_schedule_tell_nothing(self):
        rng = np.random.default_rng(12)
        curve, runs = self.recipe(rng, 5)
        flat, falling = (parse_schedule(text, total=TOTAL, warmup=100) for text in ("constant", "cosine"))
        runs = [replace(one, schedule=falling) for one in runs]
        assert check_course(replace(curve, schedule=flat), runs).against == "itself"
        assert check_course(replace(curve, schedule=falling), runs).against == "references"

    def test_one_reference_tells_nothing_of_a_sparse_run(self):
        rng = np.random.default_rng(9)
        curve, runs = self.recipe(rng, 1, seen=0.3)
        assert not check_course(curve, runs).conclusive


@pytest.mark.parametrize("value, freedom, chance", [(12.706, 1, 0.025), (2.776, 4, 0.025), (1.812, 10, 0.05)])
def test_student(value, freedom, chance):
    assert student_tail(value, freedom) == pytest.approx(chance, rel=2e-3)


def test_a_run_that_has_only_begun_has_no_excess_over_others():
    """Its first fiftieth is compared with nothing."""
    rng = np.random.default_rng(0)
    begun, others = run(rng, seen=0.01), [run(rng), run(rng)]
    assert len(begun.steps) > 1
    assert excess_over(begun, np.asarray(begun.steps), np.log(begun.loss), others) is None
