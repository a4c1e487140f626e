"""The forecast from runs: the mixture against a reference, and what every forecast must keep."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.chebyshev import chebvander
from numpy.testing import assert_allclose
from tests.fitting import synthetic
from tests.laws.forecasts import reference_implementation

from scaleplan.fitting.forecaster import MOST_RUNS, fit_forecast
from scaleplan.fitting.runs import Points

ONE_FLOOR = ((0.65, 0.5),)
LAW = synthetic.LAWS["even"]


@pytest.fixture(scope="module")
def reference():
    """Return the reference implementation."""
    return reference_implementation()


SETS = [
    ("chinchilla_isoflop.csv", {}),
    ("gadre.csv", {"dataset": "rpj"}),
    ("porian_isoflop.csv", {"group": "rw/tuned/short/const/standard/val"}),
]


@pytest.mark.parametrize(("name", "where"), SETS, ids=[name for name, _ in SETS])
def test_one_floor_is_near_the_reference(name, where, public, reference):
    """Which takes the mode of noise and misfit on a grid, after four linearisations, where we take means."""
    points = public(name, where=where)
    below = points.select(points.flops < np.quantile(points.flops, 0.6))
    far = points.select(points.flops > np.quantile(points.flops, 0.8))
    expected = reference.fit(below.params, below.tokens, below.loss)
    found = fit_forecast(below, floors=ONE_FLOOR)
    mean, sd = expected.predict(far.params, far.tokens)
    ours = found.predict(far.params, far.tokens)
    assert np.all(np.abs(ours[0] - mean) < 0.3 * sd)
    assert np.all((ours[1] / sd > 0.6) & (ours[1] / sd < 1.6))


@pytest.fixture(scope="module")
def forecaster():
    """Return a forecast from 42 runs of six budgets."""
    return fit_forecast(synthetic.isoflop(LAW, noise=0.004, seed=1))


TARGETS = np.array([2e9, 1e10]), np.array([4e10, 2e11])


def test_a_run_has_noise_beyond_its_expectation(forecaster):
    mean, expected = forecaster.predict(*TARGETS, noise=False)
    _, run = forecaster.predict(*TARGETS)
    assert_allclose(run**2 - expected**2, forecaster.noise**2)
    assert_allclose(mean, np.log(LAW.loss(*TARGETS)), atol=3 * expected.max())
    assert forecaster.noise == pytest.approx(0.004, rel=0.3)


def test_shares_add_to_one(forecaster):
    shares = forecaster.shares(*TARGETS)
    assert_allclose(sum(shares), 1.0)
    assert np.all(np.array(shares) >= 0)


def test_members_make_the_forecast(forecaster):
    members = forecaster.member_forecasts(*TARGETS)
    assert len({(member.kernel, member.floor) for member in members}) == 9
    weights = np.array([member.weight for member in members])
    assert weights.sum() == pytest.approx(1)
    means, sds = np.array([member.mean for member in members]), np.array([member.sd for member in members])
    mean, sd = forecaster.predict(*TARGETS, noise=False)
    assert_allclose(weights @ means, mean)
    assert_allclose(weights @ (sds**2 + (means - mean) ** 2), sd**2)


def test_sums_over_places_have_the_covariance_of_the_places(forecaster):
    """As the whole covariance gives it, to rounding."""
    generator = np.random.default_rng(0)
    params, tokens = np.exp(generator.uniform(19, 25, 30)), np.exp(generator.uniform(22, 28, 30))
    rows = generator.normal(size=(4, 30))
    mean, covariance = forecaster.log_loss(params, tokens)
    summed = forecaster._summed(params, tokens, rows)
    assert_allclose(summed[0], mean, rtol=1e-12)
    assert_allclose(summed[1], rows @ covariance @ rows.T, rtol=1e-9, atol=1e-12 * np.trace(covariance))


def test_an_outlier_carries_more_noise():
    points = synthetic.isoflop(LAW, noise=0.003, seed=2)
    loss = points.loss.copy()
    loss[17] *= 1.2
    forecaster = fit_forecast(Points.of(points.params, points.tokens, loss))
    at = int(np.flatnonzero(forecaster.used == 17)[0])
    assert forecaster.run_weights[at] > 100
    assert np.median(forecaster.run_weights) == 1
    assert forecaster.predict(*TARGETS)[1].max() < 0.03


def test_weights_of_the_user_say_which_runs_count():
    points = synthetic.isoflop(LAW, noise=0.004, seed=4)
    doubtful = np.arange(len(points)) % 2 == 1
    loss = np.where(doubtful, points.loss * 1.05, points.loss)
    weighted = Points.of(points.params, points.tokens, loss, weight=np.where(doubtful, 1e-4, 1.0))
    mean, _ = fit_forecast(weighted).predict(*TARGETS)
    alone, _ = fit_forecast(points.select(~doubtful)).predict(*TARGETS)
    equal, _ = fit_forecast(Points.of(points.params, points.tokens, loss)).predict(*TARGETS)
    assert_allclose(mean, alone, atol=0.004)
    assert np.all(equal - alone > 0.005)


def test_many_runs_are_taken_evenly_in_compute():
    points = synthetic.cloud(LAW, noise=0.005, count=5000)
    forecaster = fit_forecast(points)
    assert len(forecaster.used) == MOST_RUNS
    order = np.argsort(np.argsort(points.params * points.tokens))
    assert_allclose(np.sort(order[forecaster.used]), np.linspace(0, 4999, MOST_RUNS), atol=1)


def test_the_stored_surface_is_the_forecast(forecaster):
    stored = forecaster.surface()
    rng = np.random.default_rng(0)
    product = rng.uniform(forecaster.box[1], stored.span[1], 200)
    ratio = rng.uniform(stored.span[2], stored.span[3], 200)
    params, tokens = np.exp(0.5 * (product - ratio)), np.exp(0.5 * (product + ratio))
    s = (2 * product - stored.span[0] - stored.span[1]) / (stored.span[1] - stored.span[0])
    t = (2 * ratio - stored.span[2] - stored.span[3]) / (stored.span[3] - stored.span[2])
    along, across = chebvander(s, 8), chebvander(t, 7)
    basis = np.stack([along[:, i] * across[:, j] for i, j in stored.terms], axis=1)
    root = np.array([[*row, *[0.0] * (len(stored.terms) - len(row))] for row in stored.root])
    mean, sd = forecaster.predict(params, tokens)
    kept = np.log(stored.base.loss(params, tokens)) + basis @ np.array(stored.weights)
    assert_allclose(kept, mean, atol=0.1 * sd.min())
    assert_allclose(np.hypot(np.linalg.norm(basis @ root, axis=1), stored.noise), sd, rtol=0.03)


POWERS = st.floats(-2.0, 2.0)
RUNS = st.lists(st.tuples(POWERS, POWERS, st.floats(0.98, 1.02)), min_size=1, max_size=12)


def points_of(runs, *, spread=1.0, unit=1.0, weight=None):
    """Return runs of sizes around 1e8 parameters and 3e9 tokens, with factors of their losses."""
    x, y, factor = np.array(runs).T
    params, tokens = 1e8 * np.exp(spread * x), 3e9 * np.exp(spread * y)
    return Points.of(params, tokens, unit * factor * LAW.loss(params, tokens), weight=weight)


def forecast(points, groups=None, *, store=False):
    """Return the mean and the covariance at some sizes, without a word from NumPy."""
    with np.errstate(all="raise", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        forecaster = fit_forecast(points, groups)
        far = np.geomspace(0.1, 1e4, 6)
        mean, covariance = forecaster.log_loss(1e8 * far, 3e9 * far)
        if store:
            stored = forecaster.surface()
            numbers = [*stored.span, *stored.weights, stored.noise, *stored.base.coefficients().values()]
            assert np.all(np.isfinite([*numbers, *(value for row in stored.root for value in row)]))
    return mean, covariance


def alike(one, other):
    """Hold two forecasts to a thousandth of their standard deviations."""
    sd = np.sqrt(np.diag(one[1]))
    assert np.all(np.abs(other[0] - one[0]) < 1e-3 * sd)
    assert np.all(np.abs(other[1] - one[1]) < 1e-3 * np.outer(sd, sd))


@settings(max_examples=15)
@given(RUNS, st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 5.0]))
def test_any_runs_have_a_forecast(runs, spread):
    mean, covariance = forecast(points_of(runs, spread=spread), store=True)
    assert np.all(np.isfinite(mean))
    values = np.linalg.eigvalsh(covariance)
    assert values[0] > -1e-10 * values[-1]


@settings(max_examples=8)
@given(RUNS, st.randoms(use_true_random=False))
def test_the_order_of_the_runs_says_nothing(runs, random):
    shuffled = random.sample(runs, len(runs))
    for one, other in zip(forecast(points_of(runs)), forecast(points_of(shuffled)), strict=True):
        assert np.array_equal(one, other)


@settings(max_examples=8)
@given(RUNS, st.sampled_from([1e-6, 1 / np.log(2), 1e9]))
def test_the_unit_of_the_loss_is_a_factor(runs, unit):
    mean, covariance = forecast(points_of(runs, unit=unit))
    alike(forecast(points_of(runs)), (mean - np.log(unit), covariance))


@settings(max_examples=8)
@given(RUNS)
def test_rounding_moves_nothing(runs):
    points = points_of(runs)
    moved = Points.of(points.params * (1 + 1e-12), points.tokens, points.loss * (1 - 1e-12))
    alike(forecast(points), forecast(moved))


@settings(max_examples=5)
@given(RUNS, st.floats(0.1, 1e6))
def test_equal_weights_are_none(runs, weight):
    given_ = forecast(points_of(runs, weight=np.full(len(runs), weight)))
    for one, other in zip(forecast(points_of(runs)), given_, strict=True):
        assert np.array_equal(one, other)


GRID = np.geomspace(1e7, 1e9, 6).repeat(4), np.tile(np.geomspace(1e9, 1e11, 4), 6)
ONE = np.ones(24)
ODD = {
    "one size": (1e8 * ONE, GRID[1], 1),
    "one number of tokens": (GRID[0], 1e10 * ONE, 1),
    "one ray": (GRID[0], 20 * GRID[0], 1),
    "one budget": (GRID[0], 1e18 / GRID[0], 1),
    "one cell": (1e8 * ONE, 1e10 * ONE, 1),
    "losses near zero": (*GRID, 1e-250),
    "huge losses": (*GRID, 1e250),
    "sizes far apart": (np.geomspace(1e3, 1e15, 24), np.roll(np.geomspace(1e3, 1e15, 24), 7), 1),
}


@pytest.mark.parametrize("noise", [0.0, 0.005])
@pytest.mark.parametrize("name", ODD)
def test_odd_designs(name, noise):
    params, tokens, unit = ODD[name]
    loss = LAW.loss(params, tokens) * np.exp(noise * np.random.default_rng(1).normal(size=24))
    forecast(Points.of(params, tokens, unit * loss), store=True)


@pytest.mark.parametrize(
    "loss", [3.0 * ONE, np.geomspace(1, 1e6, 24), GRID[0] ** 0.3], ids=["flat", "wild", "rising"]
)
def test_losses_of_no_law(loss):
    forecast(Points.of(*GRID, loss), store=True)


@pytest.mark.parametrize("factor", [100.0, 0.01, 1e100, 1e-100])
def test_an_absurd_loss_changes_little(factor):
    points = synthetic.isoflop(LAW, noise=0.004, seed=5)
    loss = points.loss.copy()
    loss[11] *= factor
    mean, sd = fit_forecast(Points.of(points.params, points.tokens, loss)).predict(*TARGETS)
    without, _ = fit_forecast(points).predict(*TARGETS)
    assert np.all(np.abs(mean - without) < sd)
    assert sd.max() < 0.02


def test_runs_of_a_law_are_forecast_by_it():
    points = synthetic.isoflop(LAW)
    mean, sd = fit_forecast(points).predict(*TARGETS)
    assert_allclose(mean, np.log(LAW.loss(*TARGETS)), atol=1e-3)
    assert sd.max() < 3e-3


def test_few_runs_do_not_look_exact():
    points = synthetic.isoflop(LAW, budgets=(1e19, 1e20, 2), sizes=3)
    assert fit_forecast(points).predict(*TARGETS)[1].min() > 0.003


def test_checkpoints_of_a_few_sizes_share_an_error_unnamed():
    points, groups = synthetic.trunks(LAW, noise=0.002, common=0.008, seed=6)
    named, unnamed = fit_forecast(points, groups), fit_forecast(points)
    assert all(member.common.ratio >= 5 for member in unnamed.members)
    assert_allclose(unnamed.predict(*TARGETS), named.predict(*TARGETS), atol=1e-6)


def test_sizes_that_are_met_again_share_no_error():
    """A sweep of budgets has the same sizes at each: what the law misses in N is its misfit."""
    points = synthetic.grid(LAW, noise=0.005, seed=2)
    bent = points.loss * np.exp(0.01 * np.square(np.log(points.params / 4e8) / 2))
    for loss in (points.loss, bent):
        forecaster = fit_forecast(Points.of(points.params, points.tokens, loss))
        assert all(member.common.groups is None for member in forecaster.members)


def test_repeats_of_a_cell_share_an_error():
    points = synthetic.isoflop(LAW, noise=0.01, seed=7)
    params, tokens, loss = (values.repeat(4) for values in (points.params, points.tokens, points.loss))
    loss *= np.exp(0.001 * np.random.default_rng(8).normal(size=len(loss)))
    forecaster = fit_forecast(Points.of(params, tokens, loss))
    once = fit_forecast(points)
    assert all(member.common.ratio == 25 for member in forecaster.members)
    assert_allclose(forecaster.predict(*TARGETS)[1], once.predict(*TARGETS)[1], rtol=0.35)


def test_the_largest_budget_of_the_ladder_of_bytes(columns):
    table = columns("bytes_ladder.csv")
    chosen = table["split"] == "pilot"
    params, tokens, loss, flops = (
        table[name][chosen].astype(float) for name in ("params_total", "tokens", "loss", "flops_6nd")
    )
    points = Points.of(params, tokens, loss)
    mean, sd = fit_forecast(points.select(flops < 4e14)).predict(params[flops > 4e14], tokens[flops > 4e14])
    assert np.all(np.abs(np.log(loss[flops > 4e14]) - mean) < 1.645 * sd)


def test_many_rows_take_seconds(cpu_seconds):
    points = synthetic.cloud(LAW, noise=0.005, count=50_000)
    assert cpu_seconds(lambda: fit_forecast(points, (points.rows % 20).tolist())) < 5


@pytest.mark.parametrize("floor", [0.0, 1.2, 1.75])
def test_a_known_floor_is_held_in_every_member(floor):
    """To a hundredth of itself, and zero as next to nothing; far out the forecasts of different floors part."""
    points = synthetic.isoflop(LAW, noise=0.004, seed=1)
    forecaster = fit_forecast(points, floor=floor)
    found = [math.exp(member.theta[2]) for member in forecaster.members]
    assert len(found) == 3
    assert found == pytest.approx([floor] * 3, rel=0.03, abs=0.01)
    far = [np.array([1e12]), np.array([2e13])]
    free, own = (each.predict(*far)[0][0] for each in (fit_forecast(points), forecaster))
    assert (own < free) == (floor < 1.5)
