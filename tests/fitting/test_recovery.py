"""Fits to runs of a known law: the truth comes back, errors are those of theory, other solvers end no lower."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares, minimize
from tests.fitting.synthetic import LADDERS, LAWS, joined

from scaleplan.fitting.objective import Objective
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import Coordinates, fit_additive, fit_surface
from scaleplan.laws.additive import Additive

SQUARES = Objective(robust="none")


def coordinates(law):
    """Return (ln A, ln B, E, alpha, beta)."""
    return np.array([np.log(law.A), np.log(law.B), law.E, law.alpha, law.beta])


def jacobian(law, points):
    """Return the derivatives of ln L with respect to :func:`coordinates`, one column each, by the formula."""
    size, data = law.A * points.params**-law.alpha, law.B * points.tokens**-law.beta
    slopes = size, data, np.ones(len(points)), -size * np.log(points.params), -data * np.log(points.tokens)
    return np.stack(slopes, axis=1) / law.loss(points.params, points.tokens)[:, None]


@pytest.mark.parametrize("ladder", LADDERS)
@pytest.mark.parametrize("name", LAWS)
def test_runs_without_noise_give_their_law_back(name, ladder):
    """Whatever the truth and however the runs were bought."""
    law = LAWS[name]
    found = fit_additive(LADDERS[ladder](law))
    assert found.law.coefficients() == pytest.approx(law.coefficients(), rel=1e-6)
    assert found.law.best_split(1e25 / 6) == pytest.approx(law.best_split(1e25 / 6), rel=1e-6)
    assert found.converged
    assert found.bounds == ()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ladder", LADDERS)
def test_noise_moves_a_fit_by_what_theory_says(ladder, seed):
    """Gauss: with errors s of log loss the coefficients have covariance s² (J'J)^-1, so d' J'J d / s² is chi-squared.

    With 5 degrees of freedom it lies between 0.2 and 26 in all but 1 of 1,000 sweeps. Huber's function with a delta
    below the noise has the variance of a median, pi/2 times as large.
    """
    law, noise = LAWS["even"], 0.004
    points = LADDERS[ladder](law, noise=noise, seed=seed)
    weighed = jacobian(law, points) / noise
    for objective, variance in ((SQUARES, 1.0), (Objective(), np.pi / 2)):
        moved = weighed @ (coordinates(fit_additive(points, objective=objective).law) - coordinates(law))
        assert 0.2 * variance < moved @ moved < 26 * variance


@pytest.mark.parametrize("residual", ["log", "linear"])
@pytest.mark.parametrize("ladder", LADDERS)
def test_least_squares_end_where_those_of_another_library_end(ladder, residual):
    """A trust-region method from the truth finds the same sum of squares and the same coefficients."""
    law = LAWS["floor-heavy"]
    points = LADDERS[ladder](law, noise=0.01, seed=5)

    def residuals(theta):
        size, data = theta[0] - theta[3] * np.log(points.params), theta[1] - theta[4] * np.log(points.tokens)
        fitted = theta[2] + np.exp(size) + np.exp(data)
        return np.log(fitted / points.loss) if residual == "log" else fitted - points.loss

    other = least_squares(residuals, coordinates(law), x_scale="jac", xtol=1e-14, ftol=1e-14, gtol=1e-14)
    found = fit_additive(points, objective=Objective(robust="none", residual=residual))
    assert found.score == pytest.approx(2 * other.cost, rel=1e-9)
    assert coordinates(found.law) == pytest.approx(other.x, rel=1e-4)


@pytest.mark.parametrize("ladder", LADDERS)
def test_no_direct_search_from_the_truth_ends_below_the_huber_optimum(ladder):
    """Nelder and Mead's simplex, started at the truth and at the optimum, finds nothing better."""
    law, delta = LAWS["even"], 1e-3
    points = LADDERS[ladder](law, noise=0.006, seed=2)
    found = fit_additive(points)

    def objective(theta):
        fitted = Additive(
            E=abs(theta[2]), A=np.exp(theta[0]), B=np.exp(theta[1]), alpha=abs(theta[3]), beta=abs(theta[4])
        )
        off = np.abs(np.log(fitted.loss(points.params, points.tokens) / points.loss))
        return np.where(off < delta, off**2 / 2, delta * (off - delta / 2)).sum() / found.score

    for start in (coordinates(law), coordinates(found.law)):
        other = minimize(objective, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-9})
        assert other.fun >= 1 - 1e-9


@pytest.mark.parametrize("ladder", LADDERS)
def test_least_absolute_deviations_pass_through_as_many_runs_as_there_are_coefficients(ladder):
    """A vertex: five residuals vanish, and no small step in any of 200 directions lowers the sum."""
    points = LADDERS[ladder](LAWS["even"], noise=0.006, seed=1)
    found = fit_additive(points, objective=Objective(robust="l1"))
    assert np.count_nonzero(np.abs(found.residuals) < 1e-11) == 5
    own = np.abs(found.residuals).sum()
    assert found.score == pytest.approx(own, rel=1e-12)
    axes = np.linalg.pinv(jacobian(found.law, points))  # steps that move the residuals by about as much
    for direction in np.random.default_rng(0).normal(size=(200, len(points))):
        theta = coordinates(found.law) + 1e-4 * axes @ direction
        law = Additive(E=theta[2], A=np.exp(theta[0]), B=np.exp(theta[1]), alpha=theta[3], beta=theta[4])
        assert np.abs(np.log(law.loss(points.params, points.tokens) / points.loss)).sum() > own


@pytest.mark.parametrize("ladder", LADDERS)
def test_the_order_of_the_runs_does_not_matter(ladder):
    """A shuffled file has the same optimum."""
    points = LADDERS[ladder](LAWS["low-floor"], noise=0.005, seed=3)
    shuffled = points.select(np.random.default_rng(0).permutation(len(points)))
    first, second = fit_additive(points), fit_additive(shuffled)
    assert second.score == pytest.approx(first.score, rel=1e-9)
    assert coordinates(second.law) == pytest.approx(coordinates(first.law), rel=1e-5)


@pytest.mark.parametrize("ladder", LADDERS)
def test_wild_runs_hardly_move_a_robust_fit(ladder):
    """Every tenth loss is doubled: least squares are led astray, Huber's function is not."""
    law = LAWS["even"]
    points = LADDERS[ladder](law, noise=0.002, seed=6)
    wild = Points.of(points.params, points.tokens, points.loss * np.where(points.rows % 10 == 0, 2.0, 1.0))
    robust, squares = fit_additive(wild), fit_additive(wild, objective=SQUARES)
    off = [abs(np.log(fit.law.loss(1e10, 2e11) / law.loss(1e10, 2e11))) for fit in (robust, squares)]
    assert off[0] < 0.01
    assert off[1] > 3 * off[0]


@pytest.mark.parametrize("exponent", [0.2, 0.35, 0.5])
def test_tied_exponents_of_a_tied_law_are_recovered(exponent):
    """With alpha = beta in the truth the smaller form has nothing to lose."""
    law = Additive(E=1.5, A=0.4 * 1e9**exponent, B=0.3 * 2e10**exponent, alpha=exponent, beta=exponent)
    found = fit_surface(LADDERS["grid"](law), Coordinates(tied=True))
    assert found.law.coefficients() == pytest.approx(law.coefficients(), rel=1e-7)


@pytest.mark.parametrize("ladder", LADDERS)
def test_two_ladders_of_one_law_are_better_than_one(ladder):
    """More runs know more: over eight seeds the error at a far target is smaller."""
    law = LAWS["even"]
    errors = []
    for seed in range(8):
        one, two = (LADDERS[ladder](law, noise=0.01, seed=100 * seed + part) for part in (0, 1))
        errors.append([np.log(fit_additive(runs).law.best_split(1e21 / 6)[0]) for runs in (one, joined(one, two))])
    truth = np.log(law.best_split(1e21 / 6)[0])
    alone, both = np.sqrt(np.mean((np.array(errors) - truth) ** 2, axis=0))
    assert both < alone
