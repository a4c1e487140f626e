"""Plans by a fitted preset: its averaged surface through every path, and the intervals of its posterior."""

from __future__ import annotations

import csv
import io
import json
import math
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tests.laws.forecasts import RUNS, SPAN, fitted, made, preset_text, stored, with_two_optima

import scaleplan as sp
from scaleplan.__main__ import run
from scaleplan.errors import FileError, UnreachableError
from scaleplan.laws.base import Cost
from scaleplan.laws.forecast import HALF, Forecast
from scaleplan.planning.planner import ImplausibleError
from scaleplan.planning.problem import Problem, Span
from scaleplan.planning.solver import solve
from scaleplan.planning.solver_array import solve_array
from scaleplan.planning.uncertainty import sigmas_of
from scaleplan.presets.library import preset_of, read_preset
from scaleplan.toml_table import Table

SEEDS = st.integers(0, 10**6)
LEVEL = 0.9


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """Return the preset of each ladder of runs, and of two optima, as read from their files."""
    folder = tmp_path_factory.mktemp("presets")
    surfaces = {name: stored(name) for name in RUNS} | {"two": with_two_optima(-0.004)}
    files = {}
    for name, surface in surfaces.items():
        files[name] = folder / f"{name}.toml"
        files[name].write_text(preset_text(surface), encoding="utf-8")
    return {name: read_preset(file) for name, file in files.items()}


@pytest.fixture
def mine(presets):
    """Return the preset of the budgets."""
    return presets["isoflop"]


def budget(forecast, factor):
    """Return a budget by its factor of that of the largest run."""
    return 6 * math.exp(forecast.span[1]) / 100 * factor


# ---- the optimum ------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(seed=SEEDS, u=st.floats(SPAN[0], SPAN[1]))
def test_the_solver_finds_the_vertex(seed, u):
    """A cost that is all but a product has no closed form; brute force on the aim has neither's tricks."""
    surface, flops = made(seed), 6 * math.exp(u)
    params, tokens = surface.best_split(math.exp(u))
    assume(surface.vouches(params, tokens))
    nearly = Problem(surface=surface, cost=Cost(per_token=1e-3))
    assert not nearly.cost.is_product
    found, _ = solve(nearly, flops)
    assume(surface.vouches(found, math.exp(u) / found))  # where clamping ends, a kink may be a hollow of its own
    least = min(
        surface.aim(math.exp(0.5 * (u - v)), math.exp(0.5 * (u + v))) for v in np.linspace(SPAN[2], SPAN[3], 500)
    )
    assert surface.aim(found, math.exp(u) / found) <= least * (1 + 1e-13)
    assert surface.aim(params, tokens) == pytest.approx(surface.aim(found, math.exp(u) / found), rel=1e-12)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("factor", [0.3, 1, 10, 99])
def test_a_bound_that_does_not_bind_moves_nothing(presets, name, factor):
    preset = presets[name]
    flops = budget(preset.forecast, factor)
    free = sp.optimal(preset=preset, flops=flops)
    loose = sp.optimal(preset=preset, flops=flops, limit=["params <= 1e14", "tokens_per_param <= 1e6"])
    paid = sp.optimal(preset=preset, flops=flops, inference_tokens=1.0)
    for other in (loose, paid):
        assert other.params == pytest.approx(free.params, rel=1e-7)
        assert other.loss == pytest.approx(free.loss, rel=1e-12)
        assert other.interval.params == pytest.approx(free.interval.params, rel=1e-5)


def problems(surface):
    """Return problems of every kind of bound and cost."""
    return [
        Problem(surface=surface, params=Span(1.0, 3e9)),
        Problem(surface=surface, tokens=Span(1.0, 5e10)),
        Problem(surface=surface, tokens_per_param=Span(30.0, math.inf)),
        Problem(surface=surface, cost=Cost(per_param=2e12)),
        Problem(surface=surface, cost=Cost(per_param=2e12), flops=Span(0.0, 1e21)),
        Problem(surface=surface, cost=Cost(per_token=2e8)),
    ]


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("name", RUNS)
def test_arrays_solve_what_floats_solve(name, index):
    problem = problems(stored(name))[index]
    budgets = np.geomspace(3e20, 3e23, 13)
    params, tokens = solve_array(problem, budgets)
    for flops, size, data in zip(budgets.tolist(), params.tolist(), tokens.tolist(), strict=True):
        one = solve(problem, flops)
        assert problem.aim(size, data) == pytest.approx(problem.aim(*one), rel=1e-12)
        assert size == pytest.approx(one[0], rel=2e-6)


@pytest.mark.parametrize("index", range(6))
def test_no_size_within_the_bounds_has_a_lower_aim(index):
    problem = problems(stored("isoflop"))[index]
    for flops in (1e21, 1e22, 1e23):
        best = problem.aim(*solve(problem, flops))
        low, high = problem.sizes(flops)
        for size in np.geomspace(low, high, 3000)[1:-1].tolist():
            assert problem.aim(size, problem.most_tokens(size, flops)) >= best * (1 - 1e-13)


def test_arrays_are_their_plans(presets):
    for preset in presets.values():
        budgets = budget(preset.forecast, 1) * np.array([0.2, 1.0, 7.0, 60.0, 3000.0])
        for options in ({}, {"limit": ["params <= 2B"]}, {"params": "1B"}):
            together = sp.optimal(preset=preset, flops=budgets, **options)
            for i, flops in enumerate(budgets.tolist()):
                one = sp.optimal(preset=preset, flops=flops, **options)
                assert together.params[i] == pytest.approx(one.params, rel=1e-9)
                assert together.loss[i] == pytest.approx(one.loss, rel=1e-12)
                for name in ("params", "tokens", "tokens_per_param", "loss", "expected_loss"):
                    ends = np.array([end[i] for end in getattr(together.interval, name)])
                    own = getattr(one.interval, name)
                    assert np.all(np.isnan(ends)) if own is None else np.allclose(ends, own, rtol=1e-5), (name, i)


def test_targets_give_the_budget_back(mine):
    for factor in (0.5, 3, 50):
        flops = budget(mine.forecast, factor)
        plan = sp.optimal(preset=mine, flops=flops)
        assert sp.target(preset=mine, loss=plan.loss).flops == pytest.approx(flops, rel=1e-7)
        assert sp.target(preset=mine, params=plan.params).flops == pytest.approx(flops, rel=1e-7)
        assert sp.target(preset=mine, tokens=plan.tokens).flops == pytest.approx(flops, rel=1e-7)
        limits = ["params <= 4B"]
        plan = sp.optimal(preset=mine, flops=flops, limit=limits)
        assert sp.target(preset=mine, loss=plan.loss, limit=limits).flops == pytest.approx(flops, rel=1e-7)


def test_a_loss_beyond_a_hundredfold_is_not_reached(mine):
    edge = sp.optimal(preset=mine, flops=budget(mine.forecast, 100) * (1 - 1e-9))
    assert edge.interval.params is not None
    assert sp.target(preset=mine, loss=edge.loss + 1e-6).flops < budget(mine.forecast, 100)
    with pytest.raises(UnreachableError, match="not reached within 100x the largest run"):
        sp.target(preset=mine, loss=edge.loss - 1e-4)
    with pytest.raises(UnreachableError):
        sp.target(preset=mine, loss=1e-3)


def test_sizes_off_the_optimum_waste_compute(mine):
    flops = budget(mine.forecast, 10)
    plan = sp.optimal(preset=mine, flops=flops)
    low, high = plan.near_optimal.params
    assert low < plan.params < high
    reference = sp.optimal(preset=mine, flops=flops / 1.05)
    for size in (low, high):
        assert sp.optimal(preset=mine, flops=flops, params=size).loss == pytest.approx(reference.loss, rel=1e-9)
    wrong = sp.optimal(preset=mine, flops=flops, params=2 * plan.params)
    assert wrong.compute_overhead == pytest.approx(plan.size_errors.double, rel=1e-6)
    assert sp.target(preset=mine, loss=wrong.loss).flops * (1 + wrong.compute_overhead) == pytest.approx(flops)
    given = sp.loss(preset=mine, params=wrong.params, tokens=wrong.tokens)
    assert given.loss == wrong.loss


def test_a_size_that_is_given_has_no_interval_of_its_own(mine):
    flops = budget(mine.forecast, 10)
    best = sp.optimal(preset=mine, flops=flops)
    for options in ({"params": best.params}, {"tokens": best.tokens}, {"limit": ["params <= 1B"]}):
        plan = sp.optimal(preset=mine, flops=flops, **options)
        assert plan.interval.params == (plan.params, plan.params)
        assert plan.interval.loss[0] < plan.interval.expected_loss[0] < plan.loss
    plan = sp.loss(preset=mine, params="7B", tokens="1T")
    assert plan.interval.params == (plan.params, plan.params)
    assert plan.interval.loss[0] < plan.loss < plan.interval.loss[1]


# ---- intervals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("share", [0.98, 0.9999, 1.0001, 1.02])
@pytest.mark.parametrize("limited", ["params", "tokens", "tokens_per_param"])
@pytest.mark.parametrize("end", ["<=", ">="])
def test_a_limit_near_the_optimum_cuts_its_interval(presets, name, share, limited, end):
    """Where the runs leave the optimum open on the side that is allowed, no limit makes it surely known."""
    preset = presets[name]
    flops = budget(preset.forecast, 10)
    free = sp.optimal(preset=preset, flops=flops)
    at = share * getattr(free, limited)
    plan = sp.optimal(preset=preset, flops=flops, limit=[f"{limited} {end} {at!r}"])
    low, high = getattr(free.interval, limited)
    ends = max(low, at if end == ">=" else low), min(high, at if end == "<=" else high)
    # fewer tokens than the limit leave another surface to the left of a kink, whose bend is its own
    assert getattr(plan.interval, limited) == pytest.approx(ends, rel=0.02 if limited == "tokens" else 2e-3)
    assert all(
        low <= getattr(plan, key) <= high
        for key, (low, high) in (
            (key, getattr(plan.interval, key)) for key in ("params", "tokens", "tokens_per_param")
        )
    )


def test_a_limit_far_from_the_optimum_holds_it_surely(mine):
    flops = budget(mine.forecast, 10)
    free = sp.optimal(preset=mine, flops=flops)
    low, high = free.interval.params
    for limit, size in ((f"params <= {0.7 * low!r}", 0.7 * low), (f"params >= {1.5 * high!r}", 1.5 * high)):
        plan = sp.optimal(preset=mine, flops=flops, limit=[limit])
        assert plan.interval.params == pytest.approx((size, size), rel=1e-6)


@pytest.mark.parametrize("name", RUNS)
def test_what_bounds_an_optimum_that_nobody_vouches_for_is_not_known(presets, name):
    preset = presets[name]
    flops = budget(preset.forecast, 1000)
    best = sp.optimal(preset=preset, flops=flops).params
    plan = sp.optimal(preset=preset, flops=flops, limit=[f"params <= {0.5 * best!r}"])
    assert plan.interval.params is None
    assert "not_vouched" in [notice.code for notice in plan.warnings]
    assert sp.optimal(preset=preset, flops=flops, params=0.5 * best).interval.params is not None


@settings(max_examples=40)
@given(seed=SEEDS, share=st.floats(-1.0, 1.0), factor=st.floats(1.0, 90.0))
def test_intervals_keep_the_limits(seed, share, factor):
    surface = made(seed, size=0.01)
    preset = preset_of(Table(tomllib.loads(preset_text(surface)), source="it"))
    flops = budget(surface, factor)
    try:
        size = sp.optimal(preset=preset, flops=flops).params
        limits = [f"params <= {size * math.exp(share)!r}", f"tokens_per_param >= {math.exp(2 * share)!r}"]
        plan = sp.optimal(preset=preset, flops=flops, limit=limits)
    except (UnreachableError, ImplausibleError):
        assume(False)
    if plan.interval.params is not None:
        assert plan.interval.params[1] <= size * math.exp(share) * (1 + 1e-6) + 1
        assert plan.interval.tokens_per_param[0] >= math.exp(2 * share) * (1 - 1e-5)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("factor", [1, 8, 60])
def test_losses_have_the_intervals_of_the_mixture(presets, name, factor):
    """Within 0.01 % of the loss, and 4 % of the width."""
    preset = presets[name]
    plan = sp.optimal(preset=preset, flops=budget(preset.forecast, factor), level=LEVEL)
    at = np.array([plan.params], float), np.array([plan.tokens], float)
    for noise, ends in ((True, plan.interval.loss), (False, plan.interval.expected_loss)):
        mean, sd = fitted(name).predict(*at, noise=noise)
        assert math.log(plan.loss) == pytest.approx(float(mean[0]), abs=0.15 * float(sd[0]))
        half = 0.5 * math.log(ends[1] / ends[0])
        assert half == pytest.approx(sigmas_of(LEVEL) * float(sd[0]), rel=0.04)
        assert math.sqrt(ends[0] * ends[1]) == pytest.approx(plan.loss, rel=1e-12)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("factor", [1, 8, 60])
def test_the_best_size_has_the_interval_of_the_mixture(presets, name, factor):
    """By its vertex: the slope's error by the covariance of half and twice the size, over the bend of the mean.

    A half width to 23 % is what a polynomial keeps of it at the worst.
    """
    preset, mixture = presets[name], fitted(name)
    flops = budget(preset.forecast, factor)
    plan = sp.optimal(preset=preset, flops=flops)
    far = math.exp(HALF)
    sizes = np.array([plan.params / far, plan.params, plan.params * far])
    mean, covariance = mixture.log_loss(sizes, flops / 6 / sizes)
    laws = np.log(preset.forecast.base.loss(sizes, flops / 6 / sizes))
    bend = max((each[0] - 2 * each[1] + each[2]) / HALF**2 for each in (mean, laws))
    error = math.sqrt(covariance[0, 0] + covariance[2, 2] - 2 * covariance[0, 2]) / (2 * HALF) / bend
    half = 0.5 * math.log(plan.interval.params[1] / plan.interval.params[0])
    assert half == pytest.approx(sigmas_of(LEVEL) * error, rel=0.23)
    assert abs(mean[2] - mean[0]) / (2 * HALF) / bend < 0.05


def moved(surface, step):
    """Yield the surface with its weights moved along each column of the root, up and down."""
    for j in range(len(surface.root)):
        column = [row[j] if j < len(row) else 0.0 for row in surface.root]
        yield tuple(
            replace(
                surface,
                weights=tuple(w + sign * step * c for w, c in zip(surface.weights, column, strict=True)),
            )
            for sign in (1, -1)
        )


@pytest.mark.parametrize("name", RUNS)
def test_the_interval_of_the_size_is_the_delta_method_by_re_solving(name, presets):
    """The vertex moved along each direction of the posterior, to 2 %; or the bend is that of the law."""
    surface, step = stored(name), 1e-3
    plan = sp.optimal(preset=presets[name], flops=budget(surface, 10))
    product = plan.flops / 6
    squares = [
        (math.log(up.best_split(product)[0] / down.best_split(product)[0]) / (2 * step)) ** 2
        for up, down in moved(surface, step)
    ]
    half = 0.5 * math.log(plan.interval.params[1] / plan.interval.params[0])
    expected = sigmas_of(LEVEL) * math.sqrt(sum(squares))
    assert half <= expected * 1.02  # a bend that is never less than the law's makes it no wider
    assert half >= expected * 0.8


def test_inference_moves_tokens_by_its_own_line(mine):
    """Re-solving the whole problem with moved weights, for N, D and D/N, where the budget line is no product."""
    surface, step = mine.forecast, 1e-3
    flops = budget(surface, 10)
    plan = sp.optimal(preset=mine, flops=flops, inference_tokens="3T")
    cost = Cost(per_param=2 * 3e12)
    squares = np.zeros(3)
    for up, down in moved(surface, step):
        ends = [solve(Problem(surface=each, cost=cost), flops) for each in (up, down)]
        logs = [np.log([params, tokens, tokens / params]) for params, tokens in ends]
        squares += ((logs[0] - logs[1]) / (2 * step)) ** 2
    expected = sigmas_of(LEVEL) * np.sqrt(squares)
    interval = plan.interval
    halves = [0.5 * math.log(b / a) for a, b in (interval.params, interval.tokens, interval.tokens_per_param)]
    assert_allclose(halves, expected, rtol=0.1)


@settings(max_examples=40)
@given(
    seed=SEEDS,
    factor=st.floats(1e-3, 1e6),
    level=st.floats(0.05, 0.999),
    options=st.sampled_from([{}, {"limit": ["params <= 2B"]}, {"inference_tokens": "1T"}, {"unique_tokens": "30B"}]),
)
def test_a_loss_always_has_an_interval_that_holds_that_of_the_mean(seed, factor, level, options):
    surface = made(seed, size=0.01)
    preset = preset_of(Table(tomllib.loads(preset_text(surface)), source="it"))
    try:
        plan = sp.optimal(preset=preset, flops=budget(surface, factor), level=level, **options)
    except (UnreachableError, ImplausibleError):
        assume(False)
    one, mean = plan.interval.loss, plan.interval.expected_loss
    assert one[0] < mean[0] < plan.loss < mean[1] < one[1]
    for name in ("params", "tokens", "tokens_per_param"):
        ends = getattr(plan.interval, name)
        codes = [notice.code for notice in plan.warnings]
        assert ("not_vouched" in codes) == (ends is None)
        if ends is not None:
            assert ends[0] <= getattr(plan, name) <= ends[1]


@pytest.mark.parametrize("name", RUNS)
def test_an_optimum_beyond_the_runs_is_a_point_with_a_sentence(presets, name):
    preset = presets[name]
    for factor, vouched in ((1, True), (99.99, True), (100.1, False), (1e4, False)):
        plan = sp.optimal(preset=preset, flops=budget(preset.forecast, factor))
        warned = [notice.message for notice in plan.warnings if notice.code == "not_vouched"]
        assert len(warned) == (not vouched)
        assert (plan.interval.params is None) == (plan.interval.tokens is None) == (not vouched)
        assert plan.interval.loss is not None
        assert not any("\n" in message for message in warned)


@pytest.mark.parametrize("name", RUNS)
def test_a_fit_for_a_target_reaches_it_and_says_how_far_that_is(tmp_path, name):
    """Its plans have the intervals of the mixture there, and a sentence beyond a hundredfold; farther, none."""
    mixture = fitted(name)
    largest = math.exp(mixture.box[1])
    surface = mixture.surface(3000 * largest)
    file = tmp_path / "mine.toml"
    file.write_text(preset_text(surface), encoding="utf-8")
    preset = read_preset(file)
    assert preset.forecast.reach == surface.reach == pytest.approx(3030)
    for factor, far in ((90, False), (110, True), (3000, True)):
        plan = sp.optimal(preset=preset, flops=6 * largest * factor)
        assert ("far_beyond" in [notice.code for notice in plan.warnings]) == far
        assert plan.interval.params[0] < plan.params < plan.interval.params[1]
        mean, deviation = mixture.predict([plan.params], [plan.tokens], noise=False)
        assert math.log(plan.loss) == pytest.approx(float(mean[0]), abs=0.1 * float(deviation[0]))
        assert surface.deviation(plan.params, plan.tokens) == pytest.approx(float(deviation[0]), rel=0.1)
    beyond = sp.optimal(preset=preset, flops=6 * largest * 4000)
    assert beyond.interval.params is None
    (said,) = [notice.message for notice in beyond.warnings if notice.code == "not_vouched"]
    assert "more than 3,000x the largest" in said
    assert mixture.surface(50 * largest) == mixture.surface() == stored(name)
    assert mixture.surface(1e9 * largest).reach == 1e5


def test_a_forecast_of_more_reach_than_a_fit_gives_is_refused(tmp_path):
    """The reach is that of a target, at most 100,000 times the largest run, and the span has to agree with it."""
    surface = stored("isoflop")
    for reach in (1e6, 50):
        with pytest.raises(FileError, match=r"forecast\.reach"):
            preset_of(Table(tomllib.loads(preset_text(surface, reach=reach)), source="it"))
    farther = replace(surface, reach=1000.0)
    shorter = preset_text(farther, span=[*surface.span[:1], surface.span[1] + 20, *surface.span[2:]])
    file = tmp_path / "mine.toml"
    file.write_text(shorter, encoding="utf-8")
    with pytest.raises(FileError, match="reaches farther than the runs"):
        read_preset(file)


@pytest.mark.parametrize("name", RUNS)
def test_intervals_widen_with_the_budget(presets, name):
    preset = presets[name]
    widths = []
    for factor in np.geomspace(1, 1e5, 40):
        plan = sp.optimal(preset=preset, flops=budget(preset.forecast, factor))
        widths.append([math.log(high / low) for low, high in (plan.interval.loss, plan.interval.expected_loss)])
    assert np.all(np.diff(widths, axis=0) > 0)


def test_a_plan_beyond_the_runs_is_warned_of_compute_and_ratio_alone(mine):
    """Size and tokens follow from these; the intervals hold the extrapolation, so that no other law is called for."""
    for plan, expected in (
        (sp.optimal(preset=mine, flops=budget(mine.forecast, 0.5)), []),
        (sp.optimal(preset=mine, flops=budget(mine.forecast, 20)), ["extrapolated_flops"]),
        (sp.loss(preset=mine, params="100M", tokens="20T"), ["extrapolated_flops", "extrapolated_tokens_per_param"]),
    ):
        found = [notice for notice in plan.warnings if notice.code.startswith("extrapolated")]
        assert [notice.code for notice in found] == expected
        assert all(notice.message.endswith("extrapolated, which widens the intervals") for notice in found)


def test_doubts_about_coefficients_do_not_follow_the_plans_by_a_forecast(tmp_path):
    """Repeats that reject the law are a note of its preset; too few runs are a warning of every plan."""
    axes = np.meshgrid(np.geomspace(1e8, 1.6e9, 5), np.geomspace(2e9, 3.2e10, 5), indexing="ij")
    params, tokens = (np.tile(axis.ravel(), 2) for axis in axes)
    wave = 0.01 * np.sin(2 * np.log(params)) * np.sin(2 * np.log(tokens))
    loss = (1.8 + 400 / params**0.34 + 2000 / tokens**0.36) * np.exp(wave)
    loss *= np.exp(0.001 * np.random.default_rng(0).standard_normal(50))
    path = tmp_path / "runs.csv"
    np.savetxt(path, np.stack((params, tokens, loss), 1), delimiter=",", header="params,tokens,loss", comments="")
    found = sp.fit(path)
    assert "lack_of_fit" in {notice.code for notice in found.warnings}
    assert any("repeated runs reject this law" in note for note in found.preset.notes)
    assert "caveat" not in {notice.code for notice in sp.optimal(preset=found.preset, flops=1e21).warnings}


# ---- two optima -------------------------------------------------------------------------------------------------


def two_optima(plan):
    """Return the messages about two optima."""
    return [notice.message for notice in plan.warnings if notice.code == "two_optima"]


def test_two_optima_are_warned_of_in_one_line(presets):
    plan = sp.optimal(preset=presets["two"], flops=budget(presets["two"].forecast, 10))
    (message,) = two_optima(plan)
    assert "two optima" in message
    assert "\n" not in message
    assert plan.tokens_per_param > 1
    other = sp.optimal(
        preset=presets["two"], flops=plan.flops, limit=["tokens_per_param <= 1", "tokens_per_param >= 0.001"]
    )  # the other hollow by itself
    assert other.loss > plan.loss
    assert two_optima(other) == []
    named = float(message.rpartition("near ")[2].split("B")[0]) * 1e9
    assert math.log(named / other.params) == pytest.approx(0, abs=0.5 * HALF)


@pytest.mark.parametrize("name", RUNS)
def test_one_optimum_is_not_warned_of(presets, name):
    for factor in np.geomspace(0.1, 90, 12):
        for options in ({}, {"inference_tokens": "1T"}, {"unique_tokens": "50B"}):
            plan = sp.optimal(preset=presets[name], flops=budget(presets[name].forecast, factor), **options)
            assert two_optima(plan) == []


def test_a_given_size_has_no_two_optima(presets):
    flops = budget(presets["two"].forecast, 10)
    assert two_optima(sp.optimal(preset=presets["two"], flops=flops, params="1B")) == []
    assert two_optima(sp.loss(preset=presets["two"], params="1B", tokens="20B")) == []


# ---- how much work ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({}, 600),
        ({"params": "5B"}, 600),
        ({"limit": ["params <= 5B"]}, 900),
        ({"unique_tokens": "50B"}, 1000),
        ({"inference_tokens": "1T"}, 900),
    ],
)
def test_a_plan_takes_few_evaluations(mine, monkeypatch, options, most):
    """Evaluations of the law inside the forecast, and of its covariance, which counts for forty of them."""
    counted = {"_laws": 0, "spread": 0}
    for name in counted:
        original = getattr(Forecast, name)

        def counting(*arguments, name=name, original=original):
            counted[name] += 1
            return original(*arguments)

        monkeypatch.setattr(Forecast, name, counting)
    sp.optimal(preset=mine, flops=budget(mine.forecast, 10), **options)
    assert 0 < counted["_laws"] < most
    assert counted["spread"] <= 2


# ---- the same everywhere ----------------------------------------------------------------------------------------


@pytest.fixture
def shell(mine, tmp_path, monkeypatch, capsys):
    """Return how to run a command with the preset in a folder of its own: the exit status, output and errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(preset_text(mine.forecast), encoding="utf-8")

    def command(*words):
        status = run(list(words))
        caught = capsys.readouterr()
        return status, caught.out, caught.err

    return command


QUESTIONS = [
    ("optimal", "--flops", "1e22"),
    ("optimal", "--flops", "1e25"),
    ("optimal", "--flops", "1e22", "--limit", "params <= 5B"),
    ("optimal", "--gpu", "h100-sxm", "--gpus", "64", "--time", "20 days"),
    ("optimal", "--flops", "1e22", "--unique-tokens", "50B"),
    ("target", "--loss", "2.1"),
    ("loss", "--params", "7B", "--tokens", "200B"),
]


@pytest.mark.parametrize("words", QUESTIONS, ids=" ".join)
def test_json_csv_and_a_saved_result_agree(shell, words):
    status, out, err = shell(*words, "--preset", "mine.toml", "--json")
    assert status == 0, err
    plan = json.loads(out)
    _, table, _ = shell(*words, "--preset", "mine.toml", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(table))
    for name in ("params", "loss", "expected_loss"):
        for end, index in (("low", 0), ("high", 1)):
            ends = plan["interval"][name]
            assert row.get(f"interval.{name}.{end}", "") == (
                "" if ends is None else repr(ends[index]).replace("+", "+")
            )
    Path("saved.json").write_text(out, encoding="utf-8")
    for form in ("text", "json", "csv"):
        direct = shell(*words, "--preset", "mine.toml", "--format", form)
        assert shell("show", "saved.json", "--format", form)[:2] == direct[:2]


def test_text_has_the_mean_beside_one_run(shell):
    _, text, _ = shell("optimal", "--flops", "1e22", "--preset", "mine.toml")
    (line,) = [line for line in text.splitlines() if "mean of many" in line]
    plan = json.loads(shell("optimal", "--flops", "1e22", "--preset", "mine.toml", "--json")[1])
    low, high = plan["interval"]["expected_loss"]
    assert f"{low:.3f} – {high:.3f}" in line
    assert "mean of many" not in shell("optimal", "--flops", "1e22")[1]


def test_a_budget_of_hardware_is_one_in_flop(shell):
    words = ("optimal", "--preset", "mine.toml", "--json")
    bought = json.loads(shell(*words, "--gpu", "h100-sxm", "--gpus", "64", "--time", "20 days", "--mfu", "0.4")[1])
    plain = json.loads(shell(*words, "--flops", repr(bought["flops"]))[1])
    assert (bought["params"], bought["loss"], bought["interval"]) == (
        plain["params"],
        plain["loss"],
        plain["interval"],
    )


def test_a_sweep_and_a_stream_are_their_plans(shell, monkeypatch):
    status, out, _ = shell(
        "sweep", "--from", "1e21", "--to", "1e24", "--points", "4", "--preset", "mine.toml", "--json"
    )
    assert status == 0
    for plan in json.loads(out)["plans"]:
        one = json.loads(shell("optimal", "--flops", repr(plan["flops"]), "--preset", "mine.toml", "--json")[1])
        assert (plan["params"], plan["loss"], plan["interval"]) == (one["params"], one["loss"], one["interval"])
    Path("budgets.txt").write_text("1e21\n1e23\n", encoding="utf-8")
    with Path("budgets.txt").open(encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        status, out, err = shell("optimal", "--flops", "-", "--preset", "mine.toml", "--format", "jsonl")
    assert status == 0, err
    for line in out.splitlines():
        plan = json.loads(line)
        one = json.loads(shell("optimal", "--flops", repr(plan["flops"]), "--preset", "mine.toml", "--json")[1])
        assert (plan["params"], plan["loss"], plan["interval"]) == (one["params"], one["loss"], one["interval"])


@pytest.mark.parametrize("budgets", ["1e21 1e26 1e22", "1e26 1e21"])
@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_a_stream_keeps_its_columns_where_an_interval_is_missing(shell, monkeypatch, budgets, form):
    Path("budgets.txt").write_text(budgets.replace(" ", "\n"), encoding="utf-8")
    with Path("budgets.txt").open(encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        _, out, _ = shell("optimal", "--flops", "-", "--preset", "mine.toml", "--format", form)
    rows = list(csv.DictReader(io.StringIO(out), delimiter="," if form == "csv" else "\t"))
    for flops, row in zip(budgets.split(), rows, strict=True):
        plan = json.loads(shell("optimal", "--flops", flops, "--preset", "mine.toml", "--json")[1])
        assert None not in row
        for name in ("params", "tokens", "tokens_per_param", "loss", "expected_loss"):
            ends = plan["interval"][name] or ("", "")
            assert [row[f"interval.{name}.{end}"] for end in ("low", "high")] == [str(end) for end in ends]
        assert float(row["near_optimal.compute_overhead"]) == 0.05


def test_python_is_the_command_line(shell):
    plan = sp.optimal(preset="mine.toml", flops="1e22", unique_tokens="50B")
    out = shell("optimal", "--flops", "1e22", "--unique-tokens", "50B", "--preset", "mine.toml", "--json")[1]
    assert json.loads(json.dumps(plan.to_dict())) == json.loads(out)


@pytest.mark.parametrize(("slope", "codes"), [(0.9, ["loss_rises"]), (-0.1, [])])
def test_a_forecast_that_rises_with_compute_is_warned_of(slope, codes):
    """Such runs contradict each other; a plan says so, and names no size that is nearly as good."""
    surface = replace(stored("isoflop"), terms=((1, 0),), weights=(slope,), root=((0.01,),))
    preset = preset_of(Table(tomllib.loads(preset_text(surface)), source="it"))
    plan = sp.optimal(preset=preset, flops=budget(surface, 10))
    assert [notice.code for notice in plan.warnings if notice.code == "loss_rises"] == codes
    assert (plan.near_optimal is None) == bool(codes)
    assert all("\n" not in notice.message for notice in plan.warnings)


# ---- the budget of a goal ---------------------------------------------------------------------------------------


def test_the_budget_of_a_goal_has_the_interval_in_which_the_mean_loss_crosses_it(mine):
    """Where errors are small: at its ends the expected loss is the goal, moved by its own error."""
    sharp = replace(mine.forecast, root=tuple(tuple(0.05 * value for value in row) for row in mine.forecast.root))
    preset = replace(mine, law=sharp, forecast=sharp)
    goal = sp.optimal(preset=preset, flops=budget(sharp, 5)).loss
    plan = sp.target(preset=preset, loss=goal)
    low, high = plan.interval.flops
    assert low < plan.flops < high
    reach = sigmas_of(LEVEL) * sharp.deviation(float(plan.params), float(plan.tokens))
    for end, sign in ((low, 1), (high, -1)):
        moved = sp.optimal(preset=preset, flops=end).loss
        assert math.log(moved / goal) == pytest.approx(sign * reach, rel=0.05)


def test_only_the_budget_of_a_goal_has_an_interval(mine):
    """One that is given is known, and a limit that allows one budget alone leaves none to be uncertain."""
    assert sp.optimal(preset=mine, flops=budget(mine.forecast, 5)).interval.flops is None
    goal = sp.optimal(preset=mine, flops=budget(mine.forecast, 2)).loss
    assert sp.target(preset=mine, loss=goal).to_dict()["interval"]["flops"] is not None
    assert sp.target(preset=mine, params="1B").interval.flops is None
