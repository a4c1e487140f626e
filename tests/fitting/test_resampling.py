"""Resamples of runs that the project makes itself: errors of theory, covariances, intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, t
from tests.fitting.errors import log_loss, log_params, standard_errors
from tests.fitting.synthetic import LADDERS, LAWS, isoflop

from scaleplan.fitting.backtest import backtest_points
from scaleplan.fitting.bootstrap import bootstrap, law_of
from scaleplan.fitting.diagnosed_fit import fit_points
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.surface_fit import fit_additive, refit_surface

SQUARES = Objective(robust="none")


@pytest.fixture(scope="module", params=LADDERS)
def drawn(request):
    """Return a ladder with noise, its fit, and 300 resamples."""
    points = LADDERS[request.param](LAWS["even"], noise=0.004, seed=11)
    base = fit_additive(points)
    return points, base, bootstrap(points, base, samples=300, seed=1)


@pytest.mark.parametrize("ladder", LADDERS)
def test_standard_errors_are_those_of_least_squares_theory(ladder):
    """The roots of the diagonal of s² (J'J)^-1, where s is the noise that was put in; 300 resamples know 4 %.

    Resampling runs does not need equal errors, so with 42 to 160 runs it agrees to about a quarter.
    """
    law, noise = LAWS["even"], 0.004
    points = LADDERS[ladder](law, noise=noise, seed=11)
    size, data = law.A * points.params**-law.alpha, law.B * points.tokens**-law.beta
    slopes = size, data, np.ones(len(points)), -size * np.log(points.params), -data * np.log(points.tokens)
    jacobian = np.stack(slopes, axis=1) / law.loss(points.params, points.tokens)[:, None]
    theory = noise * np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)))
    errors = standard_errors(bootstrap(points, fit_additive(points, objective=SQUARES), samples=300, seed=1))
    for name, expected in zip(("ln A", "ln B", "E", "alpha", "beta"), theory, strict=True):
        assert errors[name] == pytest.approx(expected, rel=0.35)


def test_the_covariance_is_that_of_the_draws(drawn):
    """By NumPy, in ln A, ln B, ln E, alpha, beta; a scale and its exponent are correlated to 0.98 and more."""
    _, _, found = drawn
    assert found.parameters == ("ln A", "ln B", "ln E", "alpha", "beta")
    columns = found.draws.copy()
    columns[:, 2] = np.log(columns[:, 2])
    matrix = found.covariance()
    assert matrix == pytest.approx(np.cov(columns, rowvar=False), rel=1e-9)
    for scale, exponent in ((0, 3), (1, 4)):
        assert matrix[scale, exponent] / np.sqrt(matrix[scale, scale] * matrix[exponent, exponent]) > 0.98


def test_standard_errors_are_those_of_the_draws(drawn):
    """Standard deviations with one degree of freedom less, of a = beta/(alpha + beta) too."""
    points, _, _ = drawn
    found = fit_points(points, samples=300, seed=1)
    errors, draws = {item.name: item.error for item in found.coefficients()}, found.resamples.draws
    assert errors["E"] == pytest.approx(np.std(draws[:, 2], ddof=1), rel=1e-12)
    alpha, beta = draws[:, 3], draws[:, 4]
    assert errors["a"] == pytest.approx(np.std(beta / (alpha + beta), ddof=1), rel=1e-12)


def test_intervals_grow_with_the_distance_from_the_runs(drawn):
    """Extrapolation costs precision, of the size and of the loss."""
    _, _, found = drawn
    for quantity in (log_params, log_loss):
        widths = [np.subtract(*quantity(found, flops)[::-1]) for flops in (1e21, 1e24, 1e27)]
        assert widths[0] < widths[1] < widths[2]


def test_intervals_are_centred_on_the_prediction_with_the_width_of_the_percentiles():
    """By NumPy's percentiles of the resamples' own losses, as much wider as Student's t is than the normal."""
    points, level = isoflop(LAWS["even"], noise=0.005, seed=3), 0.5
    base = fit_additive(points)
    covered = []
    for cut in backtest_points(points, base, samples=40, seed=1, level=level).cuts:
        lower, upper = points.select(points.flops <= cut.flops), points.select(points.flops > cut.flops)
        own = bootstrap(lower, base.refit(lower), samples=40, seed=1)
        losses = np.log([law_of(draw).loss(upper.params, upper.tokens) for draw in own.draws])
        low, high = np.quantile(losses, [0.5 - level / 2, 0.5 + level / 2], axis=0)
        wider = t.ppf(0.5 + level / 2, own.freedom) / norm.ppf(0.5 + level / 2)
        assert own.stretch(level) == pytest.approx(wider)
        half = wider * (high - low) / 2
        assert cut.covered.tolist() == (np.abs(np.log(cut.law_loss / cut.loss)) <= half).tolist()
        covered += cut.covered.tolist()
    assert 0.2 < np.mean(covered) < 0.8


def test_a_resample_is_the_fit_to_its_runs(drawn):
    """A run drawn three times counts as three runs: refits equal fits to the runs written out."""
    points, base, _ = drawn
    weight = np.random.default_rng(2).multinomial(len(points), np.full(len(points), 1 / len(points)), size=4)
    found = refit_surface(points, weight.astype(float), base=base)
    for row in range(4):
        written_out = fit_additive(points.select(np.repeat(np.arange(len(points)), weight[row])))
        assert found.score[row] == pytest.approx(written_out.score, rel=1e-4)


def test_refits_of_equal_weights_return_the_fit(drawn):
    """A resample in which every run counts once is the fit itself."""
    points, base, _ = drawn
    refits = refit_surface(points, np.ones((3, len(points))), base=base)
    assert refits.score == pytest.approx([base.score] * 3, rel=1e-9)
    assert refits.converged.all()


def test_equal_seeds_give_equal_draws(drawn):
    """To the bit; another seed gives others."""
    points, base, found = drawn
    assert np.array_equal(bootstrap(points, base, samples=300, seed=1).draws, found.draws)
    assert not np.array_equal(bootstrap(points, base, samples=300, seed=2).draws, found.draws)


@pytest.mark.parametrize("ladder", LADDERS)
def test_nothing_varies_without_noise(ladder):
    """Every resample of runs on a law is that law."""
    law = LAWS["floor-heavy"]
    points = LADDERS[ladder](law)
    draws = bootstrap(points, fit_additive(points), samples=20).draws
    assert np.ptp(draws[:, 2:], axis=0) == pytest.approx(np.zeros(3), abs=1e-6)


@pytest.mark.parametrize("ladder", LADDERS)
def test_errors_are_in_proportion_to_the_noise(ladder):
    """By least squares, twice the noise of the same draws is twice the errors, to second order."""
    errors = []
    for noise in (0.001, 0.002):
        points = LADDERS[ladder](LAWS["even"], noise=noise, seed=4)
        errors.append(standard_errors(bootstrap(points, fit_additive(points, objective=SQUARES), samples=100)))
    for name in ("alpha", "beta", "E", "a"):
        assert errors[1][name] == pytest.approx(2 * errors[0][name], rel=0.05)


@pytest.mark.parametrize("ladder", LADDERS)
def test_most_intervals_hold_the_truth(ladder):
    """Of 40 sweeps the 90 % interval of ln N* at 100 times the largest budget holds the truth in 31 or more.

    With a coverage of 90 % fewer than 31 have a probability of 0.5 %; 80 % of 40 would be 32.
    """
    law, flops = LAWS["even"], 1e23
    truth = np.log(law.best_split(flops / 6)[0])
    held = 0
    for seed in range(40):
        points = LADDERS[ladder](law, noise=0.005, seed=seed)
        low, high = log_params(bootstrap(points, fit_additive(points), samples=100, seed=seed), flops)
        held += low <= truth <= high
    assert held >= 31
