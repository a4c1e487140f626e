"""Intervals against the closed-form gradients of the additive law, published spreads, and draws."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.planning.uncertainty import backtest_rms, cholesky, interval, normal_quantile
from scaleplan.presets.library import Library
from scaleplan.presets.preset import BacktestRms, Uncertainty

EPOCH = Library().load("besiroglu-2024")
Z90 = 1.6448536269514722  # the 95 % quantile of the normal distribution
SPREADS = {1e19: 0.028, 1e20: 0.041, 1e21: 0.083, 5.76e23: 0.208, 1e25: 0.265, 3.8e25: 0.292}
LOSS_SPREADS = {1e19: 0.0020, 1e21: 0.0035, 5.76e23: 0.013, 3.8e25: 0.018}


def planned(product):
    def outcome(law):
        params, tokens = law.best_split(product)
        return params, tokens, law.loss(params, tokens)

    return outcome


def spread(pair):
    """Return the standard deviation of the logarithm that a 90 % interval stands for."""
    return math.log(pair[1] / pair[0]) / (2 * Z90)


def found(preset, flops, **words):
    return interval(preset, planned(flops / 6), **{"level": 0.9, "factor": 1.0, **words})


def gradients(flops, law):
    """Return the gradients of ln N* and of L* with respect to (ln A, ln B, ln E, alpha, beta).

    ln N* = ln G + a ln x with G = (alpha A / (beta B))^(1/s), s = alpha + beta, x = C/6; the loss by the envelope
    theorem.
    """
    alpha, beta, s = law.alpha, law.beta, law.alpha + law.beta
    params, tokens = law.best_split(flops / 6)
    log_balance, log_product = math.log(law.balance), math.log(flops / 6)
    size = [
        1 / s,
        -1 / s,
        0.0,
        1 / (alpha * s) - log_balance / s - beta * log_product / s**2,
        -1 / (beta * s) - log_balance / s + alpha * log_product / s**2,
    ]
    by_size, by_data = law.A * params**-alpha, law.B * tokens**-beta
    loss = [by_size, by_data, law.E, -by_size * math.log(params), -by_data * math.log(tokens)]
    return np.array(size), np.array(loss)


@pytest.mark.parametrize("flops", [1e15, *SPREADS, 1e29])
def test_intervals_are_the_delta_method_of_the_closed_form(flops):
    """The moved coefficients give the gradients that the formula has."""
    covariance = np.array(EPOCH.uncertainty.covariance)
    size, loss = gradients(flops, EPOCH.law_at(EPOCH.centre()))
    sure = found(EPOCH, flops)
    assert spread(sure.params) == pytest.approx(math.sqrt(size @ covariance @ size), rel=1e-4)
    assert spread(sure.tokens) == pytest.approx(math.sqrt(size @ covariance @ size), rel=1e-4)  # D = x/N
    middle = math.sqrt(sure.loss[0] * sure.loss[1])  # the interval widens in ln L
    assert spread(sure.loss) * middle == pytest.approx(math.sqrt(loss @ covariance @ loss), rel=1e-4)
    assert spread(sure.tokens_per_param) == pytest.approx(2 * spread(sure.params), rel=1e-4)


def test_intervals_have_the_published_spreads():
    """Standard deviations printed for the bootstrap of Besiroglu et al., to their two or three digits."""
    for flops, expected in SPREADS.items():
        assert spread(found(EPOCH, flops).params) == pytest.approx(expected, rel=0.04)
    for flops, expected in LOSS_SPREADS.items():
        low, high = found(EPOCH, flops).loss
        assert (high - low) / 2 / Z90 == pytest.approx(expected, rel=0.06)


def test_the_diagonal_alone_would_be_twelve_times_too_wide():
    """sd(ln N*) = 1.03 at 1e21 FLOP in place of 0.083: why the full matrix is used and standard errors are not."""
    covariance = np.array(EPOCH.uncertainty.covariance)
    diagonal = tuple(map(tuple, np.diag(np.diag(covariance)).tolist()))
    alone = replace(EPOCH, uncertainty=replace(EPOCH.uncertainty, covariance=diagonal))
    assert spread(found(alone, 1e21).params) == pytest.approx(1.03, rel=0.02)
    assert spread(found(alone, 1e21).params) > 12 * spread(found(EPOCH, 1e21).params)


def test_a_law_without_uncertainty_has_no_interval():
    """None, rather than a guess from standard errors."""
    assert found(replace(EPOCH, uncertainty=None), 1e21) is None


def test_a_higher_level_is_a_wider_interval():
    """In proportion to the quantile of the normal distribution."""
    widths = {level: spread(found(EPOCH, 1e23, level=level).params) for level in (0.5, 0.9, 0.99)}
    for level, width in widths.items():
        assert width / widths[0.9] == pytest.approx(NormalDist().inv_cdf(0.5 + level / 2) / Z90, rel=1e-12)


def drawn(preset, number=2000):
    """Return the preset with draws from its covariance in place of it."""
    known = preset.uncertainty
    rng = np.random.default_rng(7)
    draws = rng.multivariate_normal(preset.centre(), np.array(known.covariance), size=number)
    stated = Uncertainty(parameters=known.parameters, draws=tuple(map(tuple, draws.tolist())), method="test")
    return replace(preset, uncertainty=stated)


def test_draws_give_percentiles_and_agree_with_the_covariance():
    """Of 2000 draws the percentiles are those of NumPy, and within Monte Carlo error of the delta method."""
    preset = drawn(EPOCH)
    sure, smooth = found(preset, 1e23), found(EPOCH, 1e23)
    splits = [preset.law_at(draw).best_split(1e23 / 6) for draw in preset.uncertainty.draws]
    assert sure.params == pytest.approx(tuple(np.quantile([params for params, _ in splits], [0.05, 0.95])), rel=1e-12)
    assert spread(sure.params) == pytest.approx(spread(smooth.params), rel=0.1)
    assert sure.loss[1] - sure.loss[0] == pytest.approx(smooth.loss[1] - smooth.loss[0], rel=0.1)


@pytest.mark.parametrize("preset", [EPOCH, drawn(EPOCH, 50)], ids=["covariance", "draws"])
def test_arrays_have_the_intervals_of_their_elements(preset):
    """One call for many budgets gives the numbers of many calls."""
    flops = np.geomspace(1e16, 1e28, 5)
    many = interval(preset, planned(flops / 6), level=0.8, factor=np.ones_like(flops))
    for place, budget in enumerate(flops.tolist()):
        one = found(preset, budget, level=0.8)
        for name in ("params", "tokens", "loss", "tokens_per_param"):
            assert [float(edge[place]) for edge in getattr(many, name)] == pytest.approx(
                getattr(one, name), rel=1e-10
            )


def test_a_backtest_widens_the_loss_and_nothing_else():
    """The relative error to expect at the factor of extrapolation is added in quadrature, in ln L."""
    backtest = BacktestRms(factors=(2.0, 8.0), rms=(0.01, 0.02))
    tested = replace(EPOCH, uncertainty=replace(EPOCH.uncertainty, backtest=backtest))
    plain, wide = found(EPOCH, 1e24), found(tested, 1e24, factor=4.0)
    assert spread(wide.loss) == pytest.approx(math.hypot(spread(plain.loss), 0.015), rel=1e-9)
    assert wide.params == plain.params


def test_backtested_errors_are_interpolated_in_the_logarithm_of_the_factor():
    """At the knots, between them, below the first, and beyond the last with the average slope."""
    factors, rms = (8.0, 2.0, 32.0), (0.02, 0.01, 0.05)
    for factor, expected in (
        (2, 0.01),
        (8, 0.02),
        (32, 0.05),
        (4, 0.015),
        (16, 0.035),
        (1, 0.01),
        (0.1, 0.01),
        (128, 0.07),
    ):
        assert backtest_rms(factors, rms, float(factor)) == pytest.approx(expected, rel=1e-12)
    assert backtest_rms(factors, rms, np.array([4.0, 128.0])) == pytest.approx([0.015, 0.07])
    assert backtest_rms((2.0,), (0.01,), 100.0) == 0.01
    assert backtest_rms((2.0, 8.0), (0.02, 0.01), 100.0) == pytest.approx(
        0.01
    )  # errors that fall are not extrapolated


@given(probability=st.floats(1e-12, 1 - 1e-5))
def test_the_normal_quantile_is_that_of_the_standard_library(probability):
    """As far as levels go; closer to 1 a probability itself has too few digits."""
    assert normal_quantile(probability) == pytest.approx(NormalDist().inv_cdf(probability), rel=1e-9, abs=1e-9)


def test_the_factor_of_a_matrix_gives_the_matrix_back():
    """As NumPy does for a positive definite one; a singular one has a zero column."""
    covariance = np.array(EPOCH.uncertainty.covariance)
    assert np.array(cholesky(covariance.tolist())) == pytest.approx(
        np.linalg.cholesky(covariance), rel=1e-9, abs=1e-12
    )
    singular = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 9.0]])
    factor = np.array(cholesky(singular.tolist()))
    assert factor @ factor.T == pytest.approx(singular)
    assert not factor[:, 1].any()
