"""A fit as a diagnosis: status, outliers, reservations, simpler forms, digits."""

import math
import subprocess
import sys

import numpy as np
import pytest

from scaleplan.fitting.diagnosed_fit import fit_points
from scaleplan.fitting.diagnosis import (
    aicc,
    describe,
    deviance,
    find_outliers,
    information,
    isoflop_budgets,
    leave_one_out,
)
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import fit_additive
from scaleplan.laws.additive import Additive
from scaleplan.units import format_measured


@pytest.fixture(scope="module")
def whole(chinchilla):
    """Return the fit to all 245 Chinchilla points."""
    return fit_points(chinchilla, samples=400)


@pytest.fixture
def ray():
    """Return 42 runs at 20 tokens per parameter."""
    params = np.geomspace(3e7, 3e9, 14).repeat(3)
    law = Additive(E=1.8, A=400.0, B=2000.0, alpha=0.34, beta=0.37)
    error = np.random.default_rng(0).normal(size=42) * 0.004
    return Points.of(params, 20 * params, law.loss(params, 20 * params) * np.exp(error))


def codes(result):
    return [flag.code for flag in result.flags]


def test_the_five_outliers_are_named_with_what_they_change(whole):
    """Rows 2 to 6 of the file are the five points that the published fits leave out."""
    assert whole.outliers.rows == (2, 3, 4, 5, 6)
    assert all(deviation < -12 for deviation in whole.outliers.deviations)
    assert whole.law.beta == pytest.approx(0.453, abs=1e-3)
    assert whole.outliers.without.law.beta == pytest.approx(0.36717, abs=1e-4)


def test_no_outlier_is_found_where_there_is_none(chinchilla_240, sweep):
    """The published 240 points have residuals of ten robust standard deviations, and that is how they are."""
    assert find_outliers(chinchilla_240, fit_additive(chinchilla_240)).rows == ()
    assert find_outliers(sweep(noise=0.01), fit_additive(sweep(noise=0.01))).without is None


def test_leaving_out_a_run_is_a_refit_without_it(chinchilla):
    """The strongest pull on beta is that of row 2, and the shift is that of a fit to the other 244 points."""
    base = fit_additive(chinchilla)
    row, change = leave_one_out(chinchilla, base).strongest("beta")[0]
    assert row == 2
    without = fit_additive(chinchilla.select(chinchilla.rows != 2))
    assert change == pytest.approx(without.law.beta - base.law.beta, rel=1e-3)


def test_a_good_sweep_is_identified(isoflop):
    """Without reservations the status says so and there is no refusal."""
    result = fit_points(isoflop(noise=0.003), samples=200)
    assert result.identified
    assert result.refusal is None
    assert result.flags == ()
    assert result.design.budgets == 6
    assert result.resamples.strata == 6


def test_one_ray_is_not_identified_but_predicts_along_itself(ray):
    """At one D/N the law must not choose D/N; the loss of a ten times larger run on the ray is right within 2 %."""
    result = fit_points(ray, samples=100)
    assert codes(result)[0] == "one_ray"
    assert not result.identified
    assert "20.0 tokens per parameter" in result.refusal
    truth = Additive(E=1.8, A=400.0, B=2000.0, alpha=0.34, beta=0.37)
    assert result.law.loss(1e10, 2e11) == pytest.approx(truth.loss(1e10, 2e11), rel=0.02)


def test_a_public_grid_at_one_ratio_is_not_identified(public):
    """A hyper-parameter sweep at D = 20 N."""
    points = public("gadre_grid.csv")
    design = describe(points)
    assert design.ratio == pytest.approx(20, rel=1e-3)
    assert design.ratio is not None


def test_one_budget_is_one_line():
    """A single IsoFLOP budget says nothing about other budgets."""
    params = np.geomspace(3e8, 3e9, 14)
    law = Additive(E=1.8, A=400.0, B=2000.0, alpha=0.34, beta=0.37)
    tokens = 1e20 / 6 / params
    result = fit_points(Points.of(params, tokens, law.loss(params, tokens)), samples=0)
    assert codes(result)[0] == "one_line"
    assert not result.identified


def test_a_floor_that_runs_to_zero_is_said_with_its_interval(sweep):
    """At the bound the flag says so; near it the share of resamples and the interval are given."""
    zero = fit_points(sweep(Additive(E=0.0, A=400.0, B=400.0, alpha=0.3, beta=0.3)), samples=0)
    assert codes(zero) == ["floor_zero"]
    near = fit_points(sweep(Additive(E=0.05, A=400.0, B=400.0, alpha=0.3, beta=0.3), noise=0.02, seed=1), samples=200)
    flag = next(flag for flag in near.flags if flag.code == "floor_zero")
    assert near.law.E == 0 or "% of resamples; its 90 % interval is 0 to" in flag.message


def test_an_exponent_on_its_bound_is_not_identified():
    """A loss that does not depend on the size leaves A or alpha at a bound."""
    params, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e8, 1e10, 6), np.geomspace(1e9, 1e11, 6)))
    loss = 2.0 + 500 * tokens**-0.3
    result = fit_points(Points.of(params, tokens, loss), samples=0)
    assert not result.identified
    assert {"bound", "wide", "collinear"} & set(codes(result))


def test_few_runs_and_narrow_ratios_are_said(sweep):
    """Seven runs, two sizes: a fit, but hardly."""
    points = sweep(sizes=(1e8, 2e8, 2), tokens=(1e9, 1.5e9, 4), noise=0.001)
    result = fit_points(points.select(np.arange(7)), samples=0)
    assert "few_runs" in codes(result)
    assert "narrow_ratios" in codes(result)


def test_simpler_forms_are_compared(public, whole):
    """On the IsoFLOP points equal exponents are as good (AICc falls); dropping E never is."""
    result = fit_points(public("chinchilla_isoflop.csv"), samples=0)
    excess = {item.name: item.aicc_excess for item in result.alternatives}
    assert excess["alpha = beta"] < 0
    assert excess["E = 0"] > 100
    assert {item.name: item.aicc_excess for item in whole.alternatives}["alpha = beta"] > 2


def test_coefficients_carry_errors_and_digits(whole):
    """Text is rounded to what the error justifies."""
    by_name = {item.name: item for item in whole.coefficients()}
    assert format_measured(by_name["alpha"].value, by_name["alpha"].error).startswith("0.349 ± ")
    assert by_name["alpha"].error == pytest.approx(0.017, abs=0.003)
    low, high = by_name["E"].interval
    assert low < whole.law.E < high
    assert by_name["a"].value == pytest.approx(whole.law.params_exponent)


def test_residuals_are_summarised(whole):
    """15 % of the points lie inside delta, and the largest residual is that of row 3."""
    summary = whole.residuals
    assert summary.inside == pytest.approx(0.15, abs=0.01)
    assert summary.rms == pytest.approx(0.0238, abs=1e-4)
    assert summary.largest[0] == 3
    assert summary.skewness < -2
    assert summary.kurtosis > 17


def test_information_of_the_chinchilla_points(chinchilla_240):
    """Scaled eigenvalues sum to the number of coefficients; in centred logs the condition is about 1e3."""
    known = information(chinchilla_240, fit_additive(chinchilla_240))
    assert sum(known.eigenvalues) == pytest.approx(5)
    assert 300 < known.condition < 5000


def test_the_delta_method_agrees_with_least_squares_theory(sweep):
    """For Gaussian noise and least squares the error of ln N* is the scatter over 60 repeated sweeps."""
    objective = Objective(robust="none")
    fits = [(sweep(noise=0.005, seed=seed), seed) for seed in range(60)]
    found, errors = [], []
    for points, _ in fits:
        solution = fit_additive(points, objective=objective)
        product = float(np.max(points.params * points.tokens))
        found.append(math.log(solution.law.best_split(product)[0]))
        errors.append(information(points, solution).log_params_error)
    # a standard deviation from 60 values is known to 9 %
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.3)


def test_budgets_are_found_and_numbered(public, isoflop, sweep):
    """Nine budgets of the Chinchilla sweep, ten of Llama 3; a grid has none."""
    assert describe(public("chinchilla_isoflop.csv")).budgets == 9
    assert describe(public("llama3_isoflop.csv")).budgets == 10
    assert isoflop_budgets(isoflop()).tolist() == np.repeat(np.arange(6), 7).tolist()
    assert isoflop_budgets(sweep(sizes=(5e7, 3e9, 5), tokens=(1e9, 5.1e10, 5))) is None


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        # the three examples of the Review of Particle Physics, section 5.3
        (0.827, 0.119, "0.83 ± 0.12"),
        (0.827, 0.367, "0.8 ± 0.4"),
        (0.827, 0.952, "0.8 ± 1.0"),
        (1.81722, 0.02516, "1.817 ± 0.025"),
        (477.8, 124.9, "480 ± 120"),
        (1e12, 3e11, "1.00e12 ± 3.0e11"),
        (2.0, float("nan"), "2 ± nan"),
        (2.0, 0.9996, "2.0 ± 1.0"),
    ],
)
def test_digits_follow_the_error(value, error, text):
    """Two digits of the error from 100 to 354, one from 355 to 949."""
    assert format_measured(value, error) == text


def test_aicc_is_that_of_the_noise_model():
    """Least squares gives n ln(RSS/n) + penalties; sharp Huber tends to Laplace, blunt Huber to Gauss."""
    squares, runs, k = 2.0, 30, 6
    penalty = 2 * k + 2 * k * (k + 1) / (runs - k - 1)
    found = aicc(squares, runs=runs, coefficients=5, objective=Objective(robust="none"))
    assert found == pytest.approx(runs * math.log(squares / runs) + penalty)
    assert aicc(squares, runs=7, coefficients=5, objective=Objective()) == math.inf

    def change(objective, factor):
        return deviance(factor, runs=runs, objective=objective) - deviance(1.0, runs=runs, objective=objective)

    sharp, blunt = Objective(delta=1e-6), Objective(delta=1e4)
    assert change(sharp, 1.3) == pytest.approx(change(Objective(robust="l1"), 1.3), rel=1e-3)
    assert change(blunt, 1.3) == pytest.approx(change(Objective(robust="none"), 1.3), rel=1e-3)


@pytest.mark.parametrize(("robust", "modules"), [("huber", []), ("none", []), ("l1", ["scipy.optimize"])])
def test_scipy_is_imported_for_absolute_deviations_alone(robust, modules):
    """Its linear programming finishes that fit; the default leaves the library, a fifth of a second, alone."""
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from scaleplan.fitting.diagnosed_fit import fit_points\n"
        "from scaleplan.fitting.objective import Objective\n"
        "from scaleplan.fitting.runs import Points\n"
        "n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e8, 1e10, 5), np.geomspace(1e9, 1e11, 5)))\n"
        "points = Points.of(n, d, 1.8 + 480 / n**0.35 + 2100 / d**0.37)\n"
        "fit_points(points, objective=Objective(robust=sys.argv[1]), samples=10)\n"
        "print(sorted({'.'.join(name.split('.')[:2]) for name in sys.modules if name.split('.')[0] == 'scipy'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, robust], capture_output=True, text=True, check=True)
    assert all(repr(name) in done.stdout for name in modules)
    assert modules or done.stdout.strip() == "[]"
