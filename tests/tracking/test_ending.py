"""Forecasts of the loss at the end of a run, on simulated curves and on public ones that are read where they are."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.tracking import ending_curves
from tests.tracking.ending_curves import annealed, cut, drifting_ladder, end_of, ladder, schedule, smaller

from scaleplan.tracking.ending import forecast_end
from scaleplan.tracking.loss_curve import LossCurve

public = pytest.mark.skipif(not ending_curves.DATA.is_dir(), reason="the shared data are not beside this repository")


def miss(ending, loss):
    """Return the relative error of a forecast."""
    return math.log(ending.loss / loss)


def one_run(kind, *, points=400, noise=1e-3, exponent=0.45, gain=0.8, known=True, seed=0, total=20_000.0):
    """Return one run whose power term falls from far above to 0.25 above a floor of 2.6, and its loss at the end."""
    plan = schedule(kind, total)
    steps = np.linspace(0, total, points + 1)[1:]
    loss = 2.6 + 0.25 * annealed(plan, steps, exponent=exponent, gain=gain)
    noisy = loss * np.exp(np.random.default_rng(seed).normal(0, noise, points))
    curve = LossCurve(name=kind, steps=steps, loss=noisy, total=total, schedule=plan if known else None)
    return curve, float(loss[-1])


@pytest.mark.parametrize("kind", ["constant", "cosine", "linear", "wsd"])
@pytest.mark.parametrize("seen", [0.3, 0.5, 0.8])
def test_a_known_schedule_tells_what_its_decay_will_gain(kind, seen):
    curve, loss = one_run(kind)
    ending = forecast_end(cut(curve, seen))
    assert abs(miss(ending, loss)) < {0.3: 0.02, 0.5: 0.01, 0.8: 0.01}[seen]  # of gains of up to 0.07
    assert ending.interval[0] <= loss <= ending.interval[1]
    assert not ending.upper_bound


@pytest.mark.parametrize("kind", ["cosine", "wsd"])
def test_without_a_schedule_the_forecast_is_an_upper_bound_that_allows_for_a_decay(kind):
    curve, loss = one_run(kind, known=False)
    ending = forecast_end(cut(curve, 0.5))
    assert ending.upper_bound
    assert ending.loss > loss
    assert ending.interval[0] <= loss <= ending.interval[1]
    assert ending.loss - ending.interval[0] > ending.interval[1] - ending.loss


def test_a_constant_rate_that_nobody_stated_to_the_end_is_an_upper_bound_too():
    curve, _ = one_run("constant")
    part = cut(curve, 0.5)
    assert not forecast_end(part).upper_bound
    assert forecast_end(replace(part, schedule=replace(part.schedule, stated=False))).upper_bound


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", ["cosine", "wsd"])
def test_runs_of_the_recipe_tell_the_end_of_a_larger_one(kind, known):
    errors = []
    for seed in range(3):
        curves, ends = ladder(seed, kind=kind, known=known)
        ending = forecast_end(cut(curves["1.3e+10"], 0.3), smaller(curves, "1.3e+10"))
        errors.append(abs(miss(ending, ends["1.3e+10"])))
        assert not ending.upper_bound
        assert sum(method.weight for method in ending.methods) == pytest.approx(1)
    assert np.median(errors) < 0.006
    assert max(errors) < 0.02


def test_intervals_hold_as_often_as_they_say():
    inside, count = 0, 0
    for seed in range(10):
        curves, ends = ladder(
            seed, kind=["cosine", "linear", "wsd"][seed % 3], points=[20, 60, 150][seed % 3], noise=0.004
        )
        for name in ("2.8e+09", "6.9e+09", "1.3e+10"):
            for seen in (0.3, 0.5, 0.8):
                ending = forecast_end(cut(curves[name], seen), smaller(curves, name))
                inside += ending.interval[0] <= ends[name] <= ending.interval[1]
                count += 1
    assert 0.82 <= inside / count <= 0.99


def regression(seen, references):
    """Return ln loss at the end by ln ratio = a + b ln N + c ln D/N over the references, from the last value seen."""
    share = seen.steps[-1] / seen.total
    ratios = [math.log(one.loss[-1] / np.interp(share * one.total, one.steps, one.loss)) for one in references]
    terms = np.array([[1, math.log(one.params), math.log(one.tokens / one.params)] for one in (seen, *references)])
    return math.log(seen.loss[-1]) + terms[0] @ np.linalg.lstsq(terms[1:], ratios, rcond=None)[0]


def test_ladders_that_drift_end_where_the_smaller_runs_let_expect():
    """Beside three smaller runs or more, better than a regression of the ratios, and with intervals that hold."""
    errors, plain, inside = {0.2: [], 0.3: [], 0.5: [], 0.8: []}, [], []
    for seed in range(1000, 1018):
        curves, ends, traits = drifting_ladder(seed, most_noise=1e-3)
        if traits["drift"] > 0.001:  # of which no method can know
            continue
        name = list(curves)[-1]
        references = smaller(curves, name)
        for seen, found in errors.items():
            part = cut(curves[name], seen)
            if len(part.steps) < 2:
                continue
            ending = forecast_end(part, references)
            found.append(abs(miss(ending, ends[name])))
            plain.append(abs(regression(part, references) - math.log(ends[name])))
            inside.append(ending.interval[0] <= ends[name] <= ending.interval[1])
    medians = [float(np.median(found)) for found in errors.values()]
    assert all(found < most for found, most in zip(medians, (0.009, 0.0045, 0.0025, 0.0015), strict=True))
    assert np.median(np.concatenate(list(errors.values()))) < 0.8 * np.median(plain)
    assert 0.82 <= np.mean(inside) <= 0.99


def test_a_run_that_goes_like_its_reference_is_known_better_than_one_that_does_not():
    """One reference tells nothing of the scatter; what the run has done so far does."""
    curve, _ = one_run("cosine", points=60, noise=2e-4, known=False)
    reference, _ = one_run("cosine", points=60, noise=2e-4, known=False, seed=1)
    swaying = replace(curve, loss=curve.loss * np.exp(0.004 * np.sin(12 * curve.steps / curve.total)))
    like, unlike = (forecast_end(cut(run, 0.5), [reference]) for run in (curve, swaying))
    assert [method.name for method in like.methods] == ["shape"]
    assert like.sd < 0.8 * unlike.sd


def test_the_trend_in_size_is_what_makes_the_references_right():
    """The mean of the references' ratios misses by far more than what each run has of its own."""
    curves, ends = ladder(1, kind="cosine", noise=1e-4, scatter=0.0)
    seen = cut(curves["1.3e+10"], 0.3)
    references = smaller(curves, "1.3e+10")
    median = np.median([one.loss[-1] / np.interp(0.3 * one.total, one.steps, one.loss) for one in references])
    naive = abs(math.log(seen.loss[-1] * median / ends["1.3e+10"]))
    assert abs(miss(forecast_end(seen, references), ends["1.3e+10"])) < 0.25 * naive


def test_references_may_count_other_tokens_and_other_units_of_progress():
    curves, ends = ladder(2, kind="cosine")
    target = cut(curves["1.3e+10"], 0.5)
    references = smaller(curves, "1.3e+10")
    by_tokens = forecast_end(target, references)
    in_steps = [replace(one, steps=one.steps / 1e6, total=one.total / 1e6) for one in references]
    assert forecast_end(target, in_steps).loss == pytest.approx(by_tokens.loss, rel=1e-9)
    assert abs(miss(by_tokens, ends["1.3e+10"])) < 0.01


def test_a_reference_of_another_schedule_teaches_the_law_only():
    wsd, loss = one_run("wsd")
    others = [replace(one_run(kind, seed=k)[0], params=1e8) for k, kind in enumerate(("cosine", "linear"), start=1)]
    ending = forecast_end(cut(replace(wsd, params=1e8), 0.6), others)
    assert [method.name for method in ending.methods] == ["law"]
    alone = forecast_end(cut(wsd, 0.6))
    assert ending.sd < alone.sd
    assert abs(miss(ending, loss)) < 0.01


def test_references_that_were_not_seen_to_their_end_still_help():
    curves, ends = ladder(3, kind="cosine")
    target, references = cut(curves["1.3e+10"], 0.3), smaller(curves, "1.3e+10")
    partly = [*references[:-2], *(cut(one, 0.7) for one in references[-2:])]
    ending = forecast_end(target, partly)
    assert abs(miss(ending, ends["1.3e+10"])) < 0.02
    assert ending.interval[0] <= ends["1.3e+10"] <= ending.interval[1]
    assert [method.name for method in forecast_end(target, [cut(one, 0.5) for one in references]).methods] == [
        "power"
    ]


@pytest.mark.parametrize("known", [True, False])
def test_spikes_and_values_that_are_no_loss_change_little(known):
    curve, _ = one_run("cosine", points=800)
    part = cut(curve if known else replace(curve, schedule=None), 0.6)
    clean = forecast_end(part)
    loss = part.loss.copy()
    loss[[100, 250, 251, 252, 430]] *= 1.3
    loss[-1] *= 1.2
    loss[[50, 300]] = np.nan
    loss[310] = np.inf
    loss[320] = 0.0
    spiked = forecast_end(replace(part, loss=loss))
    assert abs(math.log(spiked.loss / clean.loss)) < 0.002
    assert spiked.noise < 1.5 * clean.noise


def test_a_transient_at_the_start_changes_little():
    curve, loss = one_run("cosine", points=800)
    part = cut(curve, 0.5)
    early = part.steps < 0.01 * part.total
    slow = replace(part, loss=part.loss + np.where(early, 3.0 * (1 - part.steps / (0.01 * part.total)), 0.0))
    assert abs(miss(forecast_end(slow), loss)) < 0.01


def test_too_little_seen_is_no_forecast():
    curve, _ = one_run("cosine")
    assert forecast_end(cut(curve, 0.04)) is None
    part = cut(curve, 0.5)
    few = replace(part, steps=part.steps[-3:], loss=part.loss[-3:])
    assert forecast_end(few) is None
    assert forecast_end(replace(part, loss=np.full(len(part.loss), np.nan))) is None
    assert forecast_end(replace(part, steps=part.steps[:0], loss=part.loss[:0])) is None
    assert forecast_end(replace(part, total=math.inf, schedule=None)) is None


def test_a_few_points_do_beside_references():
    curves, ends = ladder(4, points=10, noise=1e-3)
    ending = forecast_end(cut(curves["1.3e+10"], 0.2), smaller(curves, "1.3e+10"))
    assert abs(miss(ending, ends["1.3e+10"])) < 0.03


def test_the_path_leads_from_the_last_step_seen_to_the_end():
    curves, _ = ladder(5)
    part = cut(curves["1.3e+10"], 0.4)
    for references in ((), smaller(curves, "1.3e+10")):
        ending = forecast_end(part, references)
        steps, loss, low, high = (np.array(column) for column in zip(*ending.path, strict=True))
        assert len(steps) > 30
        assert steps[0] == pytest.approx(part.steps[-1])
        assert steps[-1] == pytest.approx(part.total)
        assert np.all(np.diff(steps) > 0)
        assert (loss[-1], low[-1], high[-1]) == pytest.approx((ending.loss, *ending.interval))
        assert np.all((low <= loss) & (loss <= high))
        assert high[0] - low[0] < high[-1] - low[-1]


def test_a_run_that_is_over_is_known_to_its_noise():
    curve, loss = one_run("cosine")
    ending = forecast_end(curve)
    assert abs(miss(ending, loss)) < 0.002
    assert ending.sd < 0.003


def test_a_higher_level_is_wider_and_the_forecast_is_the_same_each_time():
    curves, _ = ladder(6)
    part, references = cut(curves["1.3e+10"], 0.4), smaller(curves, "1.3e+10")
    narrow, wide = (forecast_end(part, references, level=level) for level in (0.5, 0.95))
    assert narrow.loss == wide.loss
    assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]
    assert forecast_end(part, references) == forecast_end(part, references)


@settings(max_examples=40)
@given(
    units=st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e9)),
    seen=st.floats(0.06, 1.0),
    points=st.integers(5, 300),
    kind=st.sampled_from(["constant", "cosine", "linear", "wsd"]),
    known=st.booleans(),
)
@example(units=(1.0, 13743895.42986161), seen=1.0, points=170, kind="constant", known=False)  # a share on an edge
def test_units_of_loss_and_of_progress_do_not_matter(units, seen, points, kind, known):
    nats, step = units
    curve, _ = one_run(kind, points=points, known=known)
    part = cut(curve, seen)
    ending = forecast_end(part)
    plan = curve.schedule
    if plan is not None:
        plan = replace(plan, total=plan.total * step, warmup=plan.warmup * step, knots=plan.knots * step)
    changed = forecast_end(
        replace(part, steps=part.steps * step, loss=part.loss * nats, total=part.total * step, schedule=plan)
    )
    assert (ending is None) == (changed is None)
    if ending is not None:
        assert changed.loss == pytest.approx(ending.loss * nats, rel=1e-6)
        assert changed.sd == pytest.approx(ending.sd, rel=1e-3)
        assert 0 < ending.interval[0] <= ending.loss <= ending.interval[1] < math.inf


SHAPES = {
    "flat": lambda x: np.full(len(x), 2.5),
    "rising": lambda x: 2 + 3 * x,
    "falling": lambda x: 2.5 + 0.3 * np.maximum(x, 1e-3) ** -0.4,
    "zero": lambda x: np.zeros(len(x)),
    "wild": lambda x: np.exp(40 * np.sin(1e3 * x)),
    "jump": lambda x: np.where(x > 0.3, 5.0, 2.0),
}


@st.composite
def any_curve(draw):
    """Draw a curve as no run should be: of any shape, with values that are no loss and senseless schedules."""
    points, total = draw(st.sampled_from([0, 1, 2, 3, 5, 15, 60, 400])), draw(st.floats(1.0, 1e12))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    shares = np.sort(rng.uniform(0, draw(st.sampled_from([0.1, 0.5, 1.0, 1.3])), points))
    loss = SHAPES[draw(st.sampled_from(sorted(SHAPES)))](shares)
    if points and draw(st.booleans()):
        loss[rng.integers(points, size=points // 5 + 1)] = draw(st.sampled_from([math.nan, math.inf, -1.0, 0.0]))
    kind = draw(st.sampled_from(["none", "constant", "cosine", "wsd", "no rates", "random"]))
    plan = None
    if kind != "none":
        warmup, floor = draw(st.sampled_from([0.0, 0.01, 0.99])), draw(st.sampled_from([0.0, 0.1, 1.0]))
        plan = schedule(kind if kind in ("constant", "wsd") else "cosine", total, warmup=warmup, floor=floor)
        if kind in ("no rates", "random"):
            plan = replace(plan, rates=rng.uniform(0, kind == "random", len(plan.rates)))
    params, tokens = draw(st.sampled_from([None, 1e8, 1e9])), draw(st.sampled_from([None, 1e9, 1e11]))
    return LossCurve(
        name="any", steps=shares * total, loss=loss, total=total, schedule=plan, params=params, tokens=tokens
    )


@settings(max_examples=150)
@given(curve=any_curve(), references=st.lists(any_curve(), max_size=4))
def test_whatever_a_log_holds_there_is_a_forecast_in_numbers_or_none(curve, references):
    ending = forecast_end(curve, references)
    if ending is not None:
        assert np.all(np.isfinite([ending.loss, *ending.interval, ending.sd, *np.ravel(ending.path)]))
        assert 0 < ending.interval[0] <= ending.loss <= ending.interval[1]


def test_the_module_loads_nothing_of_scipy():
    code = "import sys, scaleplan.tracking.ending; sys.exit(any(name.startswith('scipy') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@public
@pytest.mark.parametrize(
    "plan", ["constant_24000", "cosine_24000", "cosine_72000", "wsd_20000_24000", "wsdld_20000_24000"]
)
def test_public_runs_end_where_one_smaller_run_of_their_schedule_lets_expect(plan):
    curves = ending_curves.multi_power()
    for seen, most in ((0.3, 0.01), (0.5, 0.008), (0.8, 0.005)):
        for size, below in (("100M", "25M"), ("400M", "100M")):
            curve = curves[f"{size}/{plan}"]
            ending = forecast_end(cut(curve, seen), [curves[f"{below}/{plan}"]])
            loss = end_of(curve)
            assert abs(miss(ending, loss)) < most
            assert ending.interval[0] <= loss <= ending.interval[1]


@public
def test_seeds_of_one_recipe_end_within_a_thousandth():
    curves = list(ending_curves.speedrun("unet_1480").values())
    errors = [
        miss(forecast_end(cut(one, 0.8), [other for other in curves if other is not one][:8]), one.loss[-1])
        for one in curves[:10]
    ]
    assert np.median(np.abs(errors)) < 1e-3
