"""The forecast from runs: the mixture against a reference, and what every forecast must keep."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebvander
from numpy.testing import assert_allclose
from scipy.optimize import least_squares
from tests.fitting import synthetic

from scaleplan.fitting.forecaster import MOST_RUNS, fit_floors, fit_forecast
from scaleplan.fitting.runs import Points

REFERENCE = Path(__file__).parents[2].parent / "shared" / "tools" / "forecast_reference.py"
ONE_FLOOR = ((0.65, 0.5),)
LAW = synthetic.LAWS["even"]


@pytest.fixture(scope="module")
def reference():
    """Return the reference implementation, its starts refined to the end: there are 60 evaluations in it."""
    if not REFERENCE.is_file():
        pytest.skip("the folder with the reference implementation is not here")
    spec = importlib.util.spec_from_file_location("forecast_reference", REFERENCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def refined(*arguments, max_nfev, **options):
        return least_squares(*arguments, max_nfev=5000, ftol=1e-13, xtol=1e-13, gtol=1e-13, **options)

    module.least_squares = refined
    return module


SETS = [
    ("chinchilla_isoflop.csv", {}),
    ("gadre.csv", {"dataset": "rpj"}),
    ("porian_isoflop.csv", {"group": "rw/tuned/short/const/standard/val"}),
]


@pytest.mark.parametrize(("name", "where"), SETS, ids=[name for name, _ in SETS])
def test_one_floor_is_the_reference(name, where, public, reference):
    points = public(name, where=where)
    below = points.select(points.flops < np.quantile(points.flops, 0.6))
    far = points.select(points.flops > np.quantile(points.flops, 0.8))
    expected = reference.fit(below.params, below.tokens, below.loss)
    found = fit_floors(below, None, floors=ONE_FLOOR)
    for noise in (True, False):
        mean, sd = expected.predict(far.params, far.tokens, noise=noise)
        ours = found.predict(far.params, far.tokens, noise=noise)
        assert_allclose(ours[0], mean, atol=1e-6)
        assert_allclose(ours[1], sd, rtol=1e-4)


def test_groups_are_those_of_the_reference(reference):
    points, groups = synthetic.trunks(LAW, noise=0.003, common=0.012, seed=3)
    expected = reference.fit(points.params, points.tokens, points.loss, groups=groups)
    found = fit_floors(points, groups, floors=ONE_FLOOR)
    assert {member.common.ratio for member in found.members} == {25.0}
    mean, sd = expected.predict(10 * points.params, 10 * points.tokens, noise=False)
    ours = found.predict(10 * points.params, 10 * points.tokens, noise=False)
    assert_allclose(ours[0], mean, atol=1e-6)
    assert_allclose(ours[1], sd, rtol=1e-4)


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
    assert np.all(equal - alone > 0.008)


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
