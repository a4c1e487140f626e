"""One member of a forecast, against the covariance matrices that it never forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from scaleplan.fitting.discrepancy import (
    NO_COMMON,
    Common,
    Kernel,
    Observations,
    Prior,
    Whitened,
    _Estimate,
    _evidence,
    _left_out,
    _Linear,
    fit_members,
    log_law,
)
from scaleplan.laws.additive import ThreeExponent

KERNELS = [Kernel(shape="matern32", length=8.0), Kernel(shape="gauss", length=3.0)]
THETA = np.array([-0.4, -0.1, 0.5, np.log(0.35), np.log(0.3), np.log(0.7)])
PRIOR = Prior(centre=THETA + 0.1, spread=np.array([2.0, 2.0, 0.4, 0.4, 0.4, 0.5]))
GROUPS = np.arange(40) // 5


def observations(commons=(NO_COMMON,), noise=0.01, seed=0):
    """Return 40 runs of the law, with noise and an error that groups of five share."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-2, 2, 40), rng.uniform(-3, 3, 40)
    z = log_law(THETA, x, y)[0] + noise * rng.normal(size=40) + 0.03 * rng.normal(size=8)[GROUPS]
    return Observations(x=x, y=y, z=z, noise=rng.uniform(0.5, 2, 40), commons=commons)


def dense(runs, kernel, *, noise, misfit, common, weights):
    """Return the covariance of the runs about the law."""
    at = (runs.x, runs.y)
    covariance = misfit**2 * kernel.between(at, at) + noise * np.diag(runs.noise * weights)
    if common.groups is not None:
        covariance += noise * common.ratio * (common.groups[:, None] == common.groups)
    return covariance


def test_the_law_is_that_of_three_exponents():
    x, y = np.array([18.0, 22.0, 25.0]), np.array([21.0, 24.0, 29.0])
    law = ThreeExponent(E=1.7, A=300.0, B=2000.0, alpha=0.4, beta=0.5, gamma=0.8)
    outer = np.log([law.gamma * law.alpha, law.gamma * law.beta, law.gamma])
    theta = np.array([law.gamma * np.log(law.A), law.gamma * np.log(law.B), np.log(law.E), *outer])
    assert_allclose(log_law(theta, x, y)[0], np.log(law.loss(np.exp(x), np.exp(y))))


def test_slopes_of_the_law_are_its_differences():
    x, y = np.linspace(-3, 3, 7), np.linspace(2, -4, 7)
    _, slopes = log_law(THETA, x, y)
    step = 1e-6
    for i, move in enumerate(step * np.eye(6)):
        difference = (log_law(THETA + move, x, y)[0] - log_law(THETA - move, x, y)[0]) / (2 * step)
        assert_allclose(slopes[:, i], difference, atol=1e-9)


def test_many_laws_at_once():
    x, y = np.linspace(-3, 3, 7), np.linspace(2, -4, 7)
    several = THETA + np.array([[0.0], [0.2], [-3.0]])
    value, slopes = log_law(several, x, y)
    for i, theta in enumerate(several):
        one = log_law(theta, x, y)
        assert_allclose(value[i], one[0])
        assert_allclose(slopes[i], one[1])


@pytest.mark.parametrize("common", [NO_COMMON, Common(GROUPS, 5.0, 0.0)], ids=["apart", "grouped"])
@pytest.mark.parametrize("kernel", KERNELS, ids=["matern", "gauss"])
def test_the_evidence_is_the_density_of_the_runs(kernel, common):
    runs = observations()
    weights = np.where(np.arange(40) == 7, 9.0, 1.0)
    linear = _Linear.at(THETA, runs, PRIOR)
    base = Whitened.of(kernel.between((runs.x, runs.y), (runs.x, runs.y)), runs.noise, weights, common)
    whitened = base.rows @ np.concatenate([linear.slopes, linear.observed[:, None]], axis=1)
    cases = np.array([[0.01**2, 0.02**2], [0.03**2, 0.005**2]])
    ((found,),) = _evidence([base], whitened[None, None], [PRIOR], (cases[:, 0], cases[:, 1]))
    expected = []
    for noise, misfit in cases:
        covariance = dense(runs, kernel, noise=noise, misfit=misfit**0.5, common=common, weights=weights)
        covariance += linear.slopes * PRIOR.spread**2 @ linear.slopes.T
        expected.append(multivariate_normal(cov=covariance).logpdf(linear.observed))
    assert_allclose(np.diff(found), np.diff(expected), rtol=1e-8)
    assert_allclose(found - 20 * np.log(2 * np.pi), expected, rtol=1e-8)


@pytest.mark.parametrize("kernel", KERNELS, ids=["matern", "gauss"])
def test_what_the_others_say_of_a_run(kernel):
    """Each run is left out and forecast from the other 39."""
    runs = observations()
    runs.z[3] += 0.4
    weights = np.where(np.arange(40) == 3, 16.0, 1.0)
    linear = _Linear.at(THETA, runs, PRIOR)
    base = Whitened.of(kernel.between((runs.x, runs.y), (runs.x, runs.y)), runs.noise, weights, NO_COMMON)
    estimate = _Estimate(evidence=0.0, whitened=base, noise=0.02**2, misfit=0.03, theta=THETA)
    found = _left_out(estimate, linear, runs.noise)
    covariance = dense(runs, kernel, noise=0.02**2, misfit=0.03, common=NO_COMMON, weights=weights)
    covariance += linear.slopes * PRIOR.spread**2 @ linear.slopes.T
    for i in (0, 3, 11):
        rest = np.arange(40) != i
        gain = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, i])
        off = linear.observed[i] - gain @ linear.observed[rest]
        variance = covariance[i, i] - gain @ covariance[rest, i] - 0.02**2 * runs.noise[i] * (weights[i] - 1)
        far = abs(off) / np.sqrt(variance)
        assert found[i] == pytest.approx((max(far / 3, 1) * max(far / 8, 1)) ** 2)
    assert found[3] > 9


@pytest.mark.parametrize("common", [NO_COMMON, Common(GROUPS, 5.0, 0.0)], ids=["apart", "grouped"])
@pytest.mark.parametrize("kernel", KERNELS, ids=["matern", "gauss"])
def test_the_posterior_is_that_of_a_normal_law(kernel, common):
    """Theta and the discrepancy are jointly normal with the runs; conditioning on these is one dense solve."""
    runs = observations(commons=(common,))
    (member,) = fit_members(kernel, runs, [PRIOR], [THETA])
    x, y = np.array([0.5, 2.5, 3.5]), np.array([0.0, 3.0, 6.0])
    at, to = (runs.x, runs.y), (x, y)
    value, slopes = log_law(member.linearised, runs.x, runs.y)
    there, slopes_there = log_law(member.linearised, x, y)
    prior = np.diag(PRIOR.spread**2)
    shift = PRIOR.centre - member.linearised
    covariance = slopes @ prior @ slopes.T + dense(
        runs, kernel, noise=member.noise, misfit=member.misfit, common=common, weights=member.run_weights
    )
    across = slopes_there @ prior @ slopes.T + member.misfit**2 * kernel.between(to, at)
    gain = np.linalg.solve(covariance, across.T).T
    mean = there + slopes_there @ shift + gain @ (runs.z - value - slopes @ shift)
    left = slopes_there @ prior @ slopes_there.T + member.misfit**2 * kernel.between(to, to) - gain @ across.T
    found = member.posterior(x, y)
    assert_allclose(found.mean, mean, atol=1e-9)
    assert_allclose(found.law + found.discrepancy, left, atol=1e-9)
    law, _ = log_law(member.theta, x, y)
    assert_allclose(law + member.discrepancy(x, y), mean, atol=3e-3)  # the law itself, and not its line


def test_a_common_error_is_found():
    ways = (NO_COMMON, *(Common(GROUPS, ratio, 0.0) for ratio in (1.0, 5.0, 25.0)))
    for seed in range(3):
        (member,) = fit_members(KERNELS[0], observations(ways, noise=0.01, seed=seed), [PRIOR], [THETA])
        assert member.common.ratio in {5.0, 25.0}
        assert member.run_noise == pytest.approx(member.noise * (1 + member.common.ratio))
