"""The parts of the engine against other solvers: grid, derivatives, vertex, objective."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, nnls

from scaleplan.fitting.curve_fit import Formula, descend
from scaleplan.fitting.objective import Objective, huber
from scaleplan.fitting.solvers import least_deviations, minimise
from scaleplan.fitting.surface_fit import Coordinates, Surface, basins


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), tied=st.booleans(), fixed=st.booleans())
def test_every_node_is_the_non_negative_least_squares_solution(seed, tied, fixed):
    """The active sets agree with Lawson and Hanson's algorithm at each pair of exponents."""
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(2, 15))
    loss = generator.uniform(1.5, 5.0, 15)
    weight = generator.uniform(0.5, 2.0, (2, 15))
    floor = 0.4 if fixed else None
    coordinates = Coordinates(tied=tied, floor=floor)
    objective = Objective(residual="linear")
    surface = Surface(x=x, y=y, loss=loss, objective=objective, coordinates=coordinates, weight=weight)
    rss, nodes = surface.profile(5)
    for row in range(2):
        root = np.sqrt(weight[row])
        for k in range(rss.shape[1]):
            _, alpha, _, beta, _ = nodes[row, k]
            columns = [np.exp(-alpha * x), np.exp(-beta * y)] + ([] if fixed else [np.ones(15)])
            _, norm = nnls(np.stack(columns, axis=1) * root[:, None], (loss - (floor or 0.0)) * root)
            # cofactors lose digits where columns are nearly parallel: 1e-13 of them is the limit of the solver
            assert rss[row, k] == pytest.approx(norm**2, rel=1e-6)


def test_basins_are_local_minima_in_order():
    """Two separated minima of a table are both returned, the lower first."""
    rss = np.ones((6, 6))
    rss[1, 1], rss[4, 4] = 0.5, 0.2
    nodes = np.arange(36.0)[:, None] * np.ones(5)
    found = basins(rss.ravel(), nodes, count=6, tied=False, most=2)
    assert found[:, 0].tolist() == [28.0, 7.0]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    residual=st.sampled_from(["log", "linear"]),
    delta=st.sampled_from([math.inf, 0.05, 0.5]),
    tied=st.booleans(),
    weighted=st.booleans(),
)
def test_derivatives_agree_with_differences(seed, residual, delta, tied, weighted):
    """Gradient and Hessian of the surface are those of its value."""
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(2, 12))
    loss = generator.uniform(2.0, 3.0, 12)
    coordinates = Coordinates(tied=tied)
    surface = Surface(
        x=x,
        y=y,
        loss=loss,
        objective=Objective(residual=residual),
        coordinates=coordinates,
        weight=generator.uniform(0.5, 2.0, (1, 12)) if weighted else None,
    )
    theta = coordinates.free(np.array([[-0.5, 0.3, -0.4, 0.4, 1.2]]) + generator.normal(size=(1, 5)) * 0.05)
    index = np.array([0])

    def at(point):
        return surface.derivatives(point, index, delta=delta, majorise=False)

    _, gradient, hessian = at(theta)
    step = 1e-6
    for k in range(coordinates.count):
        move = np.zeros_like(theta)
        move[0, k] = step
        above, below = at(theta + move), at(theta - move)
        assert (above[0] - below[0])[0] / (2 * step) == pytest.approx(gradient[0, k], rel=1e-5, abs=1e-6)
        if math.isinf(delta):  # with kinks a difference may straddle one
            assert (above[1] - below[1])[0] / (2 * step) == pytest.approx(hessian[0, k], rel=1e-4, abs=1e-5)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_least_deviations_agree_with_a_linear_program(seed):
    """The dual program reaches the same sum as the primal one, with split residuals."""
    generator = np.random.default_rng(seed)
    count, size = 25, 4
    columns, residual = generator.normal(size=(size, count)), generator.normal(size=count)
    weight = generator.uniform(0.2, 3.0, count)
    step = least_deviations(columns, residual, weight)
    mine = weight @ np.abs(residual + step @ columns)
    equal = np.hstack([columns.T, -np.eye(count), np.eye(count)])
    cost = np.concatenate([np.zeros(size), weight, weight])
    bounds = [(None, None)] * size + [(0, None)] * (2 * count)
    other = linprog(cost, A_eq=equal, b_eq=-residual, bounds=bounds).fun
    assert mine == pytest.approx(other, rel=1e-9)


def test_the_reported_scores_are_their_definitions():
    """Huber r²/2 inside and delta(|r| - delta/2) outside, sums of |r| and of r², each weighted."""
    residuals, weight = np.array([0.5, -2.0]), np.array([1.0, 3.0])
    assert Objective(delta=1.0).score(residuals) == pytest.approx(0.125 + 1.5)
    assert Objective(delta=1.0).score(residuals, weight) == pytest.approx(0.125 + 4.5)
    assert Objective(robust="l1").score(residuals, weight) == pytest.approx(6.5)
    assert Objective(robust="none").score(residuals, weight) == pytest.approx(12.25)
    assert Objective(delta=1.0).share_inside(residuals) == 0.5
    assert Objective(robust="none").share_inside(residuals) is None


def test_the_continuation_ends_at_the_target():
    """Stages fall from the size of the residuals to delta; least squares has one stage without end."""
    stages = Objective(delta=1e-3).continuation(np.array([-0.025, 0.025]))
    assert stages[-1] == 1e-3
    assert stages[0] >= 0.05
    assert list(stages) == sorted(stages, reverse=True)
    assert Objective(robust="none").continuation(np.array([-0.025, 0.025])) == (math.inf,)


def test_the_majoriser_lies_above():
    """The curvature of reweighted least squares is never below that of Huber's function."""
    residual = np.linspace(-3, 3, 25)
    above = huber(residual, 1.0, majorise=True)[1]
    assert np.all(above >= huber(residual, 1.0, majorise=False)[1])


def test_any_formula_reaches_the_optimum_of_another_library():
    """A formula fitted with differences ends where Levenberg-Marquardt with many starts ends."""
    from scipy.optimize import least_squares

    x = np.linspace(0.2, 4.0, 30)
    observed = 1.0 + 2.0 * np.exp(-1.3 * x) + 0.02 * np.sin(9 * x)
    formula = Formula(
        predict=lambda theta, at: theta[:, :1] + theta[:, 1:2] * np.exp(-theta[:, 2:] * at),
        inputs=(x,),
        observed=observed,
        lower=np.array([0.0, 0.0, 0.0]),
        upper=np.array([5.0, 9.0, 9.0]),
    )
    best = descend(
        formula, np.array([[0.5, 1.0, 0.5], [1.5, 3.0, 3.0]]), objective=Objective(residual="linear", robust="none")
    )
    other = least_squares(
        lambda t: t[0] + t[1] * np.exp(-t[2] * x) - observed, [1.0, 2.0, 1.0], xtol=1e-14, ftol=1e-14
    )
    assert best.score == pytest.approx(2 * other.cost, rel=1e-8)
    assert best.theta == pytest.approx(other.x, rel=1e-5)
    assert best.converged


class Parabola:
    """A parabola about ``centre`` with the curvature ``bend``, the same for every problem of a batch."""

    def __init__(self, centre, bend):
        self.centre, self.bend = centre, bend

    def derivatives(self, theta, index, *, delta, majorise):
        off = theta - self.centre
        slope = off @ self.bend
        return 1.0 + 0.5 * np.sum(off * slope, axis=1), slope, np.broadcast_to(self.bend, (len(index), 3, 3))


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_a_projected_step_reaches_the_minimum_on_a_bound_at_once(seed):
    """A narrow valley that leads out of the box: eight steps are enough, which clipped ones often are not."""
    generator = np.random.default_rng(seed)
    axes = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    bend = axes @ np.diag([1.0, 1e2, 1e4]) @ axes.T
    centre = np.array([-0.5, 0.2, -0.1])
    rest = centre[1:] + np.linalg.solve(bend[1:, 1:], -bend[1:, 0] * 0.5)  # the best of the others at 0
    box = np.array([0.0, -50.0, -50.0]), np.array([50.0, 50.0, 50.0])
    start = np.array([[0.4, 0.0, 0.0]])
    found, ended = minimise(
        Parabola(centre, bend), start, lower=box[0], upper=box[1], deltas=(1.0,), zero=0.0, steps=8, projected=True
    )
    assert ended.all()
    np.testing.assert_allclose(found[0], [0.0, *rest], atol=1e-6)
