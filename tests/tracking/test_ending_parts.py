"""The parts of a forecast of the end: the cleaned curve, the law along a schedule, and the trend of a few runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.tracking.ending_curves import schedule

from scaleplan.laws.curves import MultiPower
from scaleplan.logs.learning_rate import LearningRate
from scaleplan.tracking.annealing import EXPONENTS, SATURATIONS, along
from scaleplan.tracking.kriging import heavier_tail, krige
from scaleplan.tracking.loss_curve import LossCurve
from scaleplan.tracking.seen_part import level_at_end, noise_beside, seen_part


def falling(points, *, noise=0.0, seed=0, first=0.01):
    """Return ln loss of a power law with a floor at even shares, with noise."""
    shares = np.linspace(first, 1.0, points)
    loss = np.log(2.5 + 0.2 * shares**-0.5) + np.random.default_rng(seed).normal(0, noise, points)
    return LossCurve(name="run", steps=shares * 1e4, loss=np.exp(loss), total=1e4)


@pytest.mark.parametrize("points", [30, 200, 1500])
@pytest.mark.parametrize("noise", [0.001, 0.01])
def test_the_noise_of_one_value_is_told_from_the_fall(points, noise):
    found = np.median([seen_part(falling(points, noise=noise, seed=seed)).noise for seed in range(9)])
    assert found == pytest.approx(noise, rel=0.35)


def test_a_smooth_curve_has_hardly_any_noise():
    assert seen_part(falling(25)).noise < 5e-4


def test_the_level_at_the_end_is_as_exact_as_the_noise_allows():
    truth = math.log(2.7)
    errors = []
    for seed in range(20):
        level, sd = level_at_end(seen_part(falling(1000, noise=0.01, seed=seed)))
        assert 0.0005 < sd < 0.005
        errors.append((level - truth) / sd)
    assert np.sqrt(np.mean(np.square(errors))) < 1.6


def test_a_sparse_log_ends_at_its_last_value():
    curve = falling(12, noise=0.003)
    assert level_at_end(seen_part(curve))[0] == pytest.approx(math.log(curve.loss[-1]))


def test_steps_that_repeat_and_values_past_the_end_leave_one_value_a_step():
    curve = falling(50)
    twice = LossCurve(
        name="run", steps=np.repeat(curve.steps, 2), loss=np.repeat(curve.loss, 2), total=curve.total * 0.9
    )
    part = seen_part(twice)
    assert np.all(np.diff(part.shares) > 0)
    assert part.last == 1.0


@pytest.mark.parametrize("kind", ["constant", "cosine", "linear", "wsd"])
def test_the_terms_are_those_of_the_multi_power_law_step_by_step(kind):
    """The pieces of the schedule stand for thousands of steps: a difference of the sums of hundredths of the gain."""
    total = 4000
    plan = schedule(kind, total, warmup=0.01, floor=0.1, knots=1000)
    steps = np.array([0.3, 0.7, 0.9, 0.97]) * total
    terms = along(plan, steps / total, total=total, unit=total)
    law = MultiPower(L0=0.0, A=1.0, alpha=float(EXPONENTS[16]), B=1.0, C=float(SATURATIONS[3]), beta=0.59, gamma=0.64)
    rates = plan.at(np.arange(total) + 0.5)
    after = plan.warmup / total
    for k, step in enumerate([*steps, total]):
        until = rates[: round(step)].copy()
        # the law in units of the run: S = 1 is the whole run at the peak; its warm-up gains nothing once it is past
        power = (until.sum() / total) ** -law.alpha
        late = np.concatenate([np.full(round(after * total), 1.0), until[round(after * total) :]])
        scaled = MultiPower(L0=0.0, A=1e-9, alpha=1.0, B=1.0, C=law.C / total, beta=law.beta, gamma=law.gamma)
        gain = -scaled.value(rates=late) + 1e-9 / late.sum()
        row = 0 if kind == "constant" else 3
        assert terms.powers[16, k] == pytest.approx(power, rel=1e-3)
        assert terms.gains[row, k] == pytest.approx(gain, abs=0.01)


def test_a_schedule_of_many_knots_gives_the_terms_of_one_of_few():
    fine, coarse = (schedule("cosine", 70_000, knots=knots) for knots in (20_000, 200))
    shares = np.linspace(0.05, 1, 50)
    one, other = (along(plan, shares, total=70_000, unit=70_000) for plan in (fine, coarse))
    assert one.gains == pytest.approx(other.gains, abs=2e-3)


def test_a_step_down_of_the_rate_gains_after_it_only():
    plan = LearningRate(
        kind="steps",
        peak=1.0,
        end=0.2,
        total=100.0,
        warmup=0.0,
        decay_from=50.0,
        knots=np.array([0.0, 50.0, 50.1, 100.0]),
        rates=np.array([1.0, 1.0, 0.2, 0.2]),
    )
    terms = along(plan, np.array([0.2, 0.49, 0.6, 0.9]), total=100.0, unit=100.0)
    assert np.all(terms.gains[:, :2] == 0)
    assert np.all(np.diff(terms.gains[:, 1:], axis=1) > 0)
    assert np.all(terms.gains < 0.8)


def test_a_trend_is_followed_beyond_the_runs_as_far_as_they_agree():
    size = np.log(np.array([1e8, 3e8, 1e9, 3e9]))
    values = 1.0 + 0.1 * (size - size[0])
    target = np.log(1e10)
    away = (target - size)[:, None]
    found = krige(values, np.full(4, 1e-8), away, trend_sd=np.array([0.05]), scatter=0.02)
    assert found.mean == pytest.approx(1.0 + 0.1 * (target - size[0]), abs=0.03)
    assert found.weights.sum() == pytest.approx(1)
    noisy = krige(values, np.full(4, 0.2**2), away, trend_sd=np.array([0.05]), scatter=0.02)
    assert noisy.sd > 3 * found.sd


def test_one_run_predicts_itself_with_what_runs_have_of_their_own():
    near = krige(np.array([1.0]), np.zeros(1), np.zeros((1, 2)), trend_sd=np.array([0.04, 0.1]), scatter=0.02)
    far = krige(np.array([1.0]), np.zeros(1), np.array([[4.0, 4.0]]), trend_sd=np.array([0.04, 0.1]), scatter=0.02)
    assert near.mean == far.mean == pytest.approx(1.0)
    assert 0.01 < near.sd < far.sd


@pytest.mark.parametrize(("freedom", "quantile"), [(3, 2.3534), (5, 2.0150), (10, 1.8125), (30, 1.6973)])
def test_the_tail_of_few_trials_is_that_of_student(freedom, quantile):
    assert 1.64485 * (1 + heavier_tail(freedom)) == pytest.approx(quantile, rel=0.02)


def test_a_bend_that_runs_of_the_recipe_share_is_no_noise():
    shares = np.linspace(0.08, 1.0, 12)

    def bent(seed):
        losses = 3.0 - 0.3 * np.sqrt(shares) - np.maximum(shares - 0.7, 0)
        losses = losses * np.exp(np.random.default_rng(seed).normal(0, 3e-4, 12))
        return seen_part(LossCurve(name="bent", steps=shares, loss=losses, total=1.0))

    runs = [bent(seed) for seed in range(5)]
    assert np.median([run.noise for run in runs]) > 1e-3
    beside = [noise_beside(run, [other for other in runs if other is not run]) for run in runs]
    assert np.median(beside) == pytest.approx(4e-4, rel=0.4)
    assert noise_beside(runs[0], []) == runs[0].noise
