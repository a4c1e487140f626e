"""Backtests on runs that the project makes itself: of a right law, of laws that bend, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.fitting.synthetic import LADDERS, LAWS, cloud, isoflop

from scaleplan.fitting.backtest import backtest_points, band, hold_out, ladder
from scaleplan.fitting.bootstrap import bootstrap
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import fit_additive


def bent(points, curvature):
    """Return the runs with a loss that keeps bending in ln C, which no additive law has."""
    far = np.log(points.flops / points.flops.min())
    return Points.of(points.params, points.tokens, points.loss * np.exp(-curvature * far**2))


@pytest.mark.parametrize("kind", LADDERS)
@pytest.mark.parametrize("name", LAWS)
def test_the_combined_band_holds_the_largest_runs(name, kind):
    """Over five sweeps at least 80 % of those held out lie in the 90 % band, which is no wider than it need be."""
    results = [hold_out(LADDERS[kind](LAWS[name], noise=0.005, seed=seed), samples=40) for seed in range(5)]
    assert np.mean([result.coverage for result in results]) >= 0.8
    for result in results:
        assert result.width < 0.1
        assert result.rms < 0.02
        assert result.factor > 1


@pytest.mark.parametrize("kind", ["isoflop", "cloud"])
def test_the_band_holds_runs_of_a_law_that_bends(kind):
    """Where the law is wrong resampling alone is too sure of itself; with the backtest the band holds most runs."""
    result = hold_out(bent(LADDERS[kind](LAWS["even"], noise=0.001, seed=3), 0.001), samples=60)
    assert result.resampling_coverage < 0.4
    assert result.coverage > result.resampling_coverage + 0.3
    assert result.bias > 0


@pytest.mark.parametrize("kind", ["isoflop", "cloud"])
@pytest.mark.parametrize("curvature", [0.001, -0.001])
def test_a_law_that_bends_errs_on_one_side(kind, curvature):
    """Losses that fall ever faster are over-predicted at every cut, and those that level off under-predicted."""
    points = bent(LADDERS[kind](LAWS["even"]), curvature)
    tested = backtest_points(points, fit_additive(points), samples=0)
    assert tested.one_sided
    assert all(math.copysign(1, item.bias) == math.copysign(1, curvature) for item in tested.bins)


@pytest.mark.parametrize("kind", LADDERS)
def test_a_right_law_without_noise_has_no_error(kind):
    """At no cut, at no factor."""
    points = LADDERS[kind](LAWS["even"])
    tested = backtest_points(points, fit_additive(points), samples=0)
    assert tested.cuts
    assert max(np.abs(cut.error).max() for cut in tested.cuts) < 1e-6
    assert not tested.one_sided


@pytest.mark.parametrize("kind", LADDERS)
def test_the_errors_of_a_cut_are_those_of_a_fit_to_the_runs_below(kind):
    """Each cut by hand: fit below, predict above, compare; the factor is the compute over the largest below."""
    points = LADDERS[kind](LAWS["even"], noise=0.005, seed=8)
    tested = backtest_points(points, fit_additive(points), samples=0)
    assert len(tested.cuts) == len(ladder(points)) >= 3
    for cut in tested.cuts:
        lower, upper = points.select(points.flops <= cut.flops), points.select(points.flops > cut.flops)
        law = fit_additive(lower).law
        assert cut.runs == len(lower)
        assert cut.rows == tuple(upper.rows)
        assert cut.error == pytest.approx(law.loss(upper.params, upper.tokens) / upper.loss - 1, abs=1e-9)
        assert cut.factor == pytest.approx(upper.flops / lower.flops.max(), rel=1e-12)


@pytest.mark.parametrize("kind", LADDERS)
def test_bins_are_the_means_of_their_errors(kind):
    """Bias and root mean square over all cuts of the runs between the edges of a bin, none twice, none lost."""
    points = LADDERS[kind](LAWS["even"], noise=0.005, seed=8)
    tested = backtest_points(points, fit_additive(points), samples=0)
    factor = np.concatenate([cut.factor for cut in tested.cuts])
    error = np.concatenate([cut.error for cut in tested.cuts])
    for item in tested.bins:
        low, high = item.factors
        inside = (factor >= low) & (factor <= high)
        assert item.runs == np.count_nonzero(inside) >= 3
        assert item.bias == pytest.approx(error[inside].mean(), rel=1e-9)
        assert item.rms == pytest.approx(np.sqrt((error[inside] ** 2).mean()), rel=1e-9)
        assert math.log(item.middle) == pytest.approx(np.log(factor[inside]).mean(), rel=1e-9)
    assert sum(item.runs for item in tested.bins) >= len(factor) - 2 * 7  # a bin of one or two runs is left out


@pytest.mark.parametrize("kind", LADDERS)
def test_errors_by_factor_never_fall_and_are_a_guess_beyond_the_last(kind):
    """The error inside the runs comes first; what was not tested says so."""
    points = bent(LADDERS[kind](LAWS["even"], noise=0.002, seed=5), 0.0005)
    base = fit_additive(points)
    tested = backtest_points(points, base, samples=0)
    assert tested.factors[0] == 1.0
    assert list(tested.rms) == sorted(tested.rms)
    missed = np.abs(base.law.loss(points.params, points.tokens) / points.loss - 1)
    assert tested.inside == pytest.approx(np.sqrt(np.mean(missed**2)), rel=1e-9)
    held = np.minimum(missed, 5 * 1.4826 * np.median(missed))  # no run counts for more than five deviations
    assert tested.rms[0] == pytest.approx(np.sqrt(np.sum(held**2) / (len(points) - 5)), rel=1e-9)
    near, guess = tested.expected(1.0)
    assert (near, guess) == (pytest.approx(tested.rms[0]), False)
    far, guess = tested.expected(1e6)
    assert guess
    assert far >= tested.rms[-1]


def test_a_lucky_bin_far_out_promises_no_more_than_one_near_by():
    """Runs that miss by 1 % in the middle, and none at the top: a bin's error falls, that to expect does not."""
    points = isoflop(LAWS["even"], budgets=(1e18, 1.3e21, 7), sizes=9)
    middle = (points.flops > 8e18) & (points.flops < 5e20)
    noise = np.where(middle, 0.01, 0.0) * np.where(points.rows % 2 == 0, 1, -1)
    uneven = Points.of(points.params, points.tokens, points.loss * np.exp(noise))
    tested = backtest_points(uneven, fit_additive(uneven), samples=0)
    errors = [item.spread for item in tested.bins]
    assert errors != sorted(errors)
    assert tested.rms[1:] == pytest.approx(np.maximum(np.maximum.accumulate(errors), tested.scatter))


@pytest.mark.parametrize("kind", LADDERS)
def test_the_band_adds_both_variances(kind):
    """Half its width is z times the root of the resampling variance plus the backtested one."""
    points = LADDERS[kind](LAWS["even"], noise=0.005, seed=2)
    base = fit_additive(points)
    drawn, tested = bootstrap(points, base, samples=100), backtest_points(points, base, samples=0)
    result = band(drawn, tested, params=7e9, tokens=1.4e11, factor=5.0, level=0.9)
    assert result.misfit == tested.expected(5.0)[0]
    reach = 1.6448536 * math.hypot(result.resampling, result.misfit)
    assert math.log(result.high / result.loss) == pytest.approx(reach, rel=1e-6)
    assert result.low * result.high == pytest.approx(result.loss**2)


def test_scattered_runs_have_up_to_eight_cuts():
    """Evenly spaced in ln C, a quarter of the runs below the first and three above the last."""
    points = cloud(LAWS["even"], noise=0.005)
    cuts = ladder(points)
    assert 5 <= len(cuts) <= 8
    below = [np.count_nonzero(points.flops <= cut) for cut in cuts]
    assert below[0] >= len(points) / 4
    assert below[-1] <= len(points) - 3
    gaps = np.diff(np.log(cuts))
    assert gaps.max() < 2 * gaps.min()


@pytest.mark.parametrize("budgets", [5, 6, 9])
def test_an_isoflop_sweep_is_cut_between_its_budgets(budgets):
    """Three of them at least are fitted, and the last is always predicted."""
    points = isoflop(LAWS["even"], budgets=(1e19, 1e21, budgets))
    assert np.log(ladder(points)) == pytest.approx(np.log(np.geomspace(1e19, 1e21, budgets)[2:-1]))


@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_resampling_intervals_of_a_right_law_cover_what_is_above_a_cut(noise):
    """Coverage of the law's own interval, without the noise of a run, falls below 90 % but not to nothing."""
    points = isoflop(LAWS["even"], noise=noise, seed=4)
    tested = backtest_points(points, fit_additive(points), samples=60)
    for item in tested.bins:
        assert 0.2 < item.coverage <= 1
        assert f"{round(item.coverage * item.runs)}/{item.runs}" in str(item)
