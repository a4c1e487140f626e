"""What a fit says of itself, on runs made for it: outliers, pull, digits, simpler forms, what the runs determine."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t
from tests.fitting.synthetic import LADDERS, LAWS, cloud, isoflop, ray, with_outliers

from scaleplan.fitting.diagnosed_fit import fit_points
from scaleplan.fitting.diagnosis import (
    Information,
    describe,
    find_outliers,
    information,
    isoflop_budgets,
    leave_one_out,
    repeats_test,
)
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import fit_additive
from scaleplan.laws.additive import Additive
from scaleplan.units import format_measured


@pytest.fixture(scope="module")
def whole():
    """Return the fit to scattered runs of which five are wrong."""
    return fit_points(with_outliers(cloud(LAWS["even"], noise=0.004, seed=2)), samples=200)


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.2])
@pytest.mark.parametrize("ladder", LADDERS)
def test_wrong_rows_are_named_and_left_out_of_a_second_fit(ladder, factor):
    """The fit without them is the fit to the other rows, and it is the better law."""
    law, rows = LAWS["even"], (3, 17, 40)
    points = with_outliers(LADDERS[ladder](law, noise=0.003, seed=4), rows=rows, factor=factor)
    found = find_outliers(points, fit_additive(points))
    assert found.rows == rows
    assert all((deviation < 0) == (factor > 1) for deviation in found.deviations)  # fitted minus observed
    rest = fit_additive(points.select(~np.isin(points.rows, rows)))
    assert found.without.score == pytest.approx(rest.score, rel=1e-6)
    assert found.without.law.loss(1e10, 2e11) == pytest.approx(law.loss(1e10, 2e11), rel=0.01)


@pytest.mark.parametrize("ladder", LADDERS)
def test_heavy_tails_are_no_outliers(ladder):
    """Normal errors of 1 %, and Student's t with five degrees of freedom, are how careful runs are."""
    points = LADDERS[ladder](LAWS["even"], noise=0.01, seed=1)
    assert find_outliers(points, fit_additive(points)).rows == ()
    scattered = cloud(LAWS["even"], noise=0.01, seed=1, tails=5)
    assert find_outliers(scattered, fit_additive(scattered)).without is None


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [20, 40])
def test_wrong_runs_at_two_corners_do_not_hide_each_other(count, seed):
    """The fit to all of few runs follows both, and its scatter makes neither an outlier."""
    points = cloud(LAWS["even"], noise=0.003, seed=seed, count=count)
    ratios = points.tokens / points.params
    wrong = np.array([np.argmin(ratios), np.argmax(ratios)])
    loss = points.loss.copy()
    loss[wrong] *= (1.3, 3.0)
    bad = Points.of(points.params, points.tokens, loss)
    found = find_outliers(bad, fit_additive(bad))
    assert set(bad.rows[wrong].tolist()) <= set(found.rows)
    assert find_outliers(points, fit_additive(points)).rows == ()


def repeated(seeds, *, scatter, digits, seed=0):
    """Return cells of a true law with repeats, with losses to some decimal places."""
    generator = np.random.default_rng(seed)
    cells = isoflop(LAWS["even"], budgets=(1e18, 1e20, 5), sizes=6)
    params, tokens, loss = (np.repeat(values, seeds) for values in (cells.params, cells.tokens, cells.loss))
    return Points.of(params, tokens, np.round(loss * np.exp(scatter * generator.normal(size=len(loss))), digits))


@pytest.mark.parametrize("scatter", [0.0, 0.0003, 0.002])
@pytest.mark.parametrize("digits", [1, 2, 3, 4])
def test_rounded_losses_reject_no_true_law(scatter, digits):
    """Repeats that agree to the digits of the file scatter by no less than its rounding."""
    for seed in range(3):
        points = repeated(3, scatter=scatter, digits=digits, seed=seed)
        found = repeats_test(points, fit_additive(points))
        assert found is None or found.probability > 1e-3


@pytest.mark.parametrize("copies", [2, 10])
def test_copies_of_a_run_are_no_repeats(copies):
    """A file that lists runs twice under two names says nothing of their noise."""
    points = isoflop(LAWS["even"], noise=0.003)
    twice = Points.of(*(np.repeat(values, copies) for values in (points.params, points.tokens, points.loss)))
    assert repeats_test(twice, fit_additive(twice)) is None


@pytest.mark.parametrize("ladder", LADDERS)
def test_leaving_out_a_run_is_a_refit_without_it(ladder):
    """The strongest pull on each coefficient is what a fit to the other runs says."""
    points = with_outliers(LADDERS[ladder](LAWS["even"], noise=0.003, seed=4), rows=(8,), factor=0.9)
    base = fit_additive(points, objective=Objective(robust="none"))
    influence = leave_one_out(points, base)
    for name in ("E", "alpha", "beta"):
        row, change = influence.strongest(name)[0]
        without = fit_additive(points.select(points.rows != row), objective=base.objective)
        assert change == pytest.approx(getattr(without.law, name) - getattr(base.law, name), rel=1e-4)


@pytest.mark.parametrize("exponent", [0.25, 0.35, 0.45])
def test_a_form_as_simple_as_the_truth_is_not_rejected(exponent):
    """With equal exponents in the truth the AICc of the tied form is lower, by its penalty, or nearly so."""
    law = Additive(E=1.5, A=0.4 * 1e9**exponent, B=0.4 * 2e10**exponent, alpha=exponent, beta=exponent)
    points = cloud(law, noise=0.004, seed=6)
    excess = {item.name: item.aicc_excess for item in fit_points(points, samples=0).alternatives}
    assert excess["alpha = beta"] < 2
    assert excess["E = 0"] > 30


@pytest.mark.parametrize("ladder", LADDERS)
def test_a_form_simpler_than_the_truth_is_rejected(ladder):
    """Slopes of 0.22 and 0.40, and a floor of 2.1, are in the runs to be seen."""
    points = LADDERS[ladder](LAWS["floor-heavy"], noise=0.002, seed=6)
    found = fit_points(points, samples=0)
    excess = {item.name: item.aicc_excess for item in found.alternatives}
    assert all(excess[name] > 5 for name in ("alpha = beta", "E = 0", "alpha = beta, E = 0"))
    assert all(item.score >= found.solution.score * (1 - 1e-9) for item in found.alternatives)


def test_residuals_are_summarised(whole):
    """Moments by NumPy of fitted minus observed log loss, and the row that is farthest off."""
    points, summary = whole.points, whole.residuals
    values = np.log(whole.law.loss(points.params, points.tokens) / points.loss)
    centred = values - values.mean()
    assert summary.rms == pytest.approx(np.sqrt((values**2).mean()), rel=1e-9)
    assert summary.spread == pytest.approx(1.4826 * np.median(np.abs(values)), rel=1e-9)
    assert summary.inside == pytest.approx(np.mean(np.abs(values) <= 1e-3))
    assert summary.skewness == pytest.approx((centred**3).mean() / (centred**2).mean() ** 1.5, rel=1e-6)
    assert summary.kurtosis == pytest.approx((centred**4).mean() / (centred**2).mean() ** 2, rel=1e-6)
    assert summary.largest[0] == points.rows[np.abs(values).argmax()]
    assert summary.largest[0] in whole.outliers.rows


def test_coefficients_carry_errors_and_intervals_of_their_draws(whole):
    """By NumPy from the resamples; a text has the digits that its error justifies, and reads back near its value."""
    by_name = {item.name: item for item in whole.coefficients()}
    draws = whole.resamples.draws
    for name, column in (("E", draws[:, 2]), ("alpha", draws[:, 3]), ("beta", draws[:, 4])):
        item = by_name[name]
        assert item.value == getattr(whole.law, name)
        assert item.error == pytest.approx(np.std(column, ddof=1), rel=1e-9)
        low, high = np.quantile(column, [0.05, 0.95])  # wider by Student's t, in the logarithm
        half = (
            0.5 * np.log(high / low) * t.ppf(0.95, len(whole.points) - len(whole.outliers.rows) - 5) / norm.ppf(0.95)
        )
        middle = np.sqrt(low * high)
        assert item.interval == pytest.approx((middle * np.exp(-half), middle * np.exp(half)))
        assert float(format_measured(item.value, item.error).partition(" ± ")[0].replace(",", "")) == pytest.approx(
            item.value, abs=0.5 * item.error
        )
    assert by_name["A"].value == pytest.approx(whole.law.A)
    assert by_name["a"].value == pytest.approx(whole.law.beta / (whole.law.alpha + whole.law.beta))


@pytest.mark.parametrize("ladder", LADDERS)
@pytest.mark.parametrize("name", LAWS)
def test_the_intervals_of_a_good_ladder_hold_the_truth(name, ladder):
    """At 99 % each of alpha, beta and E, within a law that is identified."""
    law = LAWS[name]
    found = fit_points(LADDERS[ladder](law, noise=0.003, seed=7), samples=150)
    assert found.identified
    assert found.refusal is None
    by_name = {item.name: item for item in found.coefficients(level=0.99)}
    for coefficient in ("alpha", "beta", "E"):
        item, truth = by_name[coefficient], getattr(law, coefficient)
        low, high = item.interval
        assert low - item.error < truth < high + item.error


@pytest.mark.parametrize("ladder", LADDERS)
def test_information_is_that_of_the_scaled_jacobian(ladder):
    """Columns of length one: eigenvalues of their products by NumPy, which sum to the number of columns."""
    points = LADDERS[ladder](LAWS["even"], noise=0.003, seed=1)
    solution = fit_additive(points)
    law, known = solution.law, information(points, solution)
    x, y = (np.log(column) - np.log(column).mean() for column in (points.params, points.tokens))
    size, data = law.A * points.params**-law.alpha, law.B * points.tokens**-law.beta
    columns = np.stack([size, -size * x, data, -data * y, np.ones(len(points))])
    columns = columns / law.loss(points.params, points.tokens)
    columns /= np.linalg.norm(columns, axis=1)[:, None]
    values = np.linalg.eigvalsh(columns @ columns.T)
    assert known.eigenvalues == pytest.approx(tuple(values), rel=1e-5, abs=1e-9)
    assert sum(known.eigenvalues) == pytest.approx(5)
    assert known.condition == pytest.approx(values[-1] / values[0], rel=1e-5)


@pytest.mark.parametrize("ratio, said", [(5.0, "5.00"), (20.0, "20.0"), (200.0, "200")])
def test_runs_at_one_ratio_are_one_ray(ratio, said):
    """The ratio is named, and the split is refused."""
    points = ray(LAWS["even"], ratio=ratio, noise=0.003)
    assert describe(points).ratio == pytest.approx(ratio)
    found = fit_points(points, samples=50)
    assert found.flags[0].code == "one_ray"
    assert not found.identified
    assert f"line of {said} tokens per parameter" in found.refusal
    assert "nowhere else" in found.refusal


@pytest.mark.parametrize("count", [4, 6, 9])
def test_budgets_are_found_and_numbered(count):
    """In the order of their compute, whatever the order of the rows; scattered runs have none."""
    points = isoflop(LAWS["even"], budgets=(1e19, 1e21, count), noise=0.002)
    assert describe(points).budgets == count
    order = np.random.default_rng(0).permutation(len(points))
    assert isoflop_budgets(points.select(order)).tolist() == np.repeat(np.arange(count), 7)[order].tolist()
    assert isoflop_budgets(cloud(LAWS["even"])) is None


@pytest.mark.parametrize("ladder", LADDERS)
def test_a_design_is_described_by_its_ranges(ladder):
    """By NumPy."""
    points = LADDERS[ladder](LAWS["even"])
    found = describe(points)
    for name, column in (
        ("params", points.params),
        ("tokens", points.tokens),
        ("flops", points.flops),
        ("tokens_per_param", points.tokens / points.params),
    ):
        assert getattr(found, name) == (column.min(), column.max())
    assert found.runs == len(points)
    assert found.ratio is None


def test_a_singular_information_has_no_condition_number():
    """It is infinite, which the JSON writes as null, and not a number that only the smallest float makes."""
    known = Information(eigenvalues=(0.0, 2.0, 3.0), covariance=np.zeros((3, 3)), log_params_error=1.0)
    assert known.condition == math.inf


def test_losses_that_hardly_differ_are_no_floor_at_zero():
    """E ends on its upper bound, at the losses."""
    points = isoflop(LAWS["even"])
    level = Points.of(points.params, points.tokens, np.full(len(points), 2.5))
    found = fit_points(level, samples=0)
    assert "E" in fit_additive(level).bounds
    assert "floor_zero" not in [flag.code for flag in found.flags]
