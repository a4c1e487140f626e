"""The surface of a forecast in plain floats: its optimum, its targets, and how surely it is known."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tests.fitting import synthetic
from tests.laws.forecasts import BASE, RUNS, SPAN, fitted, made, reference_implementation, stored, with_two_optima

from scaleplan.fitting.forecaster import fit_forecast
from scaleplan.laws.forecast import HALF, Forecast
from scaleplan.toml_table import Table

SEEDS = st.integers(0, 10**6)
PLACES = st.tuples(st.floats(SPAN[0] - 3, SPAN[1] + 8), st.floats(SPAN[2] - 3, SPAN[3] + 3))


def sizes(u, v):
    """Return (params, tokens) of ln N*D and ln D/N."""
    return math.exp(0.5 * (u - v)), math.exp(0.5 * (u + v))


def tilt(surface, params, tokens):
    """Return how much more ln L twice the size has than half of it, by a factor of e^0.7 either way."""
    far = math.exp(HALF)
    return surface.log_loss(params * far, tokens / far) - surface.log_loss(params / far, tokens * far)


@pytest.mark.parametrize("name", RUNS)
def test_the_loss_is_the_law_times_the_chebyshev_series(name):
    surface = stored(name)
    rng = np.random.default_rng(1)
    low_u, high_u, low_v, high_v = surface.span
    grid = np.zeros((9, 8))
    for (i, j), weight in zip(surface.terms, surface.weights, strict=True):
        grid[i, j] = weight
    for u, v in zip(rng.uniform(low_u - 2, high_u + 2, 50), rng.uniform(low_v - 2, high_v + 2, 50), strict=True):
        s, t = (2 * u - low_u - high_u) / (high_u - low_u), (2 * v - low_v - high_v) / (high_v - low_v)
        correction = np.polynomial.chebyshev.chebval2d(np.clip(s, -1, 1), np.clip(t, -1, 1), grid)
        params, tokens = sizes(u, v)
        assert surface.log_loss(params, tokens) == pytest.approx(
            math.log(surface.base.loss(params, tokens)) + float(correction), abs=1e-12
        )


@given(seed=SEEDS, place=PLACES)
def test_the_aim_is_the_mean_over_half_to_twice_the_size(seed, place):
    """The rule of five points, and where all of the span is within it one polynomial, against 20,000 points."""
    surface = made(seed)
    params, tokens = sizes(*place)
    shift = HALF * (2 * (np.arange(20_000) + 0.5) / 20_000 - 1)
    exact = float(np.mean(surface.log_loss(params * np.exp(shift), tokens / np.exp(shift))))
    low, high = SPAN[2] + 2 * HALF, SPAN[3] - 2 * HALF
    within = 1e-9 if low <= place[1] <= high else 2e-4  # a kink at the edge of the span
    assert math.log(surface.aim(params, tokens)) == pytest.approx(exact, abs=within)


@given(seed=SEEDS, u=st.floats(SPAN[0] - 3, SPAN[1] + 8))
def test_half_and_twice_the_best_size_do_equally_well(seed, u):
    surface = made(seed)
    params, tokens = surface.best_split(math.exp(u))
    assert params * tokens == pytest.approx(math.exp(u), rel=1e-14)
    assert tilt(surface, params, tokens) == pytest.approx(0, abs=1e-13)
    assert tilt(surface, params * 1.01, tokens / 1.01) > 0


@given(seed=SEEDS, u=st.floats(SPAN[0], SPAN[1]))
def test_no_size_within_the_span_has_a_lower_aim(seed, u):
    surface = made(seed)
    params, tokens = surface.best_split(math.exp(u))
    if not surface.vouches(params, tokens):
        return
    best = surface.aim(params, tokens)
    for v in np.linspace(SPAN[2] + 2 * HALF, SPAN[3] - 2 * HALF, 400):
        assert surface.aim(*sizes(u, float(v))) >= best * (1 - 1e-13)


@pytest.mark.parametrize("name", RUNS)
def test_arrays_have_the_optima_of_their_elements(name):
    surface = stored(name)
    products = np.exp(np.linspace(surface.span[0] - 4, surface.span[1] + 15, 80))
    params, tokens = surface.best_split(products)
    for product, size, data in zip(products.tolist(), params, tokens, strict=True):
        assert surface.best_split(product) == pytest.approx((float(size), float(data)), rel=1e-11)


def test_arrays_of_one_and_of_two_optima_go_together():
    """Below, the hump is outweighed; the array has lines of both kinds."""
    surface = with_two_optima(lean=1e-3)
    products = np.exp(np.linspace(30, 90, 61))
    params, _ = surface.best_split(products)
    assert_allclose(params, [surface.best_split(float(each))[0] for each in products], rtol=1e-11)


@pytest.mark.parametrize("lean", [-0.02, -1e-4, 1e-4, 0.02])
def test_of_two_optima_the_lower_one_is_taken(lean):
    surface = with_two_optima(lean)
    params, tokens = surface.best_split(math.exp(46.0))
    ratio = math.log(tokens / params)
    assert ratio * lean < 0  # without the lean both do equally well
    assert abs(ratio) > 2
    assert tilt(surface, params, tokens) == pytest.approx(0, abs=1e-13)
    assert surface.aim(params, tokens) < surface.aim(tokens, params)


@given(seed=SEEDS, u=st.floats(SPAN[0], SPAN[1]))
def test_a_loss_gives_its_product_back(seed, u):
    surface = made(seed, size=0.01)
    split = surface.best_split(math.exp(u))
    frontier = [surface.loss(*surface.best_split(math.exp(k))) for k in np.linspace(SPAN[0] - 5, SPAN[1] + 5, 100)]
    assume(max(np.diff(frontier)) < 0)
    product = surface.least_product(surface.loss(*split))
    assert product is not None
    assert surface.loss(*surface.best_split(product)) == pytest.approx(surface.loss(*split), rel=1e-13)
    assert product <= math.exp(u) * (1 + 1e-9)


def test_a_loss_that_no_product_reaches_has_none():
    surface = stored("isoflop")
    assert surface.least_product(0.5 * surface.base.E) is None


# ---- how surely it is known -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_deviations_are_those_of_the_mixture(name):
    """From the largest run to a hundredfold, over the D/N of the runs: 4 % of the deviation, 0.15 sd of the mean."""
    mixture, surface = fitted(name), stored(name)
    rng = np.random.default_rng(2)
    u = rng.uniform(mixture.box[1], surface.span[1], 60)
    v = rng.uniform(mixture.box[2], mixture.box[3], 60)
    params, tokens = np.exp(0.5 * (u - v)), np.exp(0.5 * (u + v))
    mean, sd = mixture.predict(params, tokens, noise=False)
    found = np.array([surface.deviation(*each) for each in zip(params.tolist(), tokens.tolist(), strict=True)])
    assert_allclose(found, sd, rtol=0.04)
    assert np.max(np.abs(surface.log_loss(params, tokens) - mean) / sd) < 0.15
    assert surface.noise == pytest.approx(mixture.noise, rel=1e-4)
    assert_allclose(surface.deviation(params, tokens), found, rtol=1e-12)


def beyond(surface, way, steps):
    """Return the deviations on a straight way out from the corner of the runs to far beyond the span."""
    u, v = surface.span[1] - math.log(100), 0.5 * (surface.span[2] + surface.span[3])
    return [surface.deviation(*sizes(u + way[0] * step, v + way[1] * step)) for step in steps]


@settings(max_examples=60)
@given(seed=SEEDS, angle=st.floats(-math.pi, math.pi))
def test_deviations_never_fall_beyond_the_span(seed, angle):
    """In every direction, of whatever covariance, however rough."""
    surface = made(seed)
    u, v = 0.5 * (SPAN[0] + SPAN[1]), 0.5 * (SPAN[2] + SPAN[3])
    way = math.cos(angle), math.sin(angle)
    out = min(6.0 / max(abs(each), 1e-9) for each in way)
    found = [
        surface.deviation(*sizes(u + way[0] * step, v + way[1] * step)) for step in np.linspace(out, 5 * out, 60)
    ]
    assert all(after >= before * (1 - 1e-12) for before, after in pairwise(found))
    assert found[-1] > found[0]


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("way", [(1, 0), (1, 0.3), (1, -0.3), (1, 1), (1, -1), (0, 1), (0, -1)])
def test_deviations_grow_from_the_runs_outward(name, way):
    surface = stored(name)
    start = 0.0 if way[0] else 0.25 * (surface.span[3] - surface.span[2])
    found = beyond(surface, way, np.linspace(start, 25, 200))
    assert all(after >= before * (1 - 1e-3) for before, after in pairwise(found))
    assert found[-1] > 2 * found[0]


def test_an_optimum_is_vouched_for_where_both_sizes_that_measure_it_are():
    surface = stored("isoflop")
    low_u, high_u, low_v, high_v = surface.span
    for u, v, inside in (
        (high_u - 1e-9, low_v + 2 * HALF + 1e-9, True),
        (high_u + 1e-6, 3.0, False),
        (low_u - 1e-6, 3.0, False),
        (high_u - 1, low_v + 2 * HALF - 1e-6, False),
        (high_u - 1, high_v - 2 * HALF + 1e-6, False),
        (low_u + 1e-9, high_v - 2 * HALF - 1e-9, True),
    ):
        assert surface.vouches(*sizes(u, v)) is inside


# ---- numbers that nobody has ------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", [1.0, 1e3, 1e16, 1e150])
@pytest.mark.parametrize("tokens", [1.0, 1e3, 1e16, 1e150])
def test_extreme_sizes_have_finite_losses(params, tokens):
    for name in RUNS:
        surface = stored(name)
        for value in (surface.loss, surface.aim, surface.deviation):
            assert 0 < value(params, tokens) < math.inf


@pytest.mark.parametrize("product", [1.0, 1e5, 1e58, 1e140])
def test_extreme_products_have_a_split(product):
    for name in RUNS:
        params, tokens = stored(name).best_split(product)
        assert params * tokens == pytest.approx(product)


def test_a_law_beyond_all_numbers_is_an_arithmetic_error():
    steep = BASE.with_coefficients({"alpha": 90.0})
    surface = Forecast(base=steep, span=SPAN, terms=((0, 0),), weights=(0.0,), root=((0.01,),), noise=0.01)
    with pytest.raises(ArithmeticError):
        surface.loss(1e-9, 1e9)


def test_a_table_gives_the_same_surface():
    surface = stored("cloud")
    again = Forecast.from_table(Table(surface.to_table(), source="it", path="forecast"))
    assert again == surface


@pytest.fixture(scope="module")
def planner():
    """Return the planner of the reference implementation, which reads what a preset keeps."""
    module = reference_implementation()
    return lambda surface: module.Planner(
        surface.to_table() | {"root": [list(row) for row in surface.root], "span": list(surface.span)}
    )


@pytest.mark.parametrize("name", RUNS)
def test_losses_and_optima_are_those_of_the_reference(name, planner):
    surface = stored(name)
    other = planner(surface)
    for u in np.linspace(surface.span[1] - 5, surface.span[1] - 1e-6, 12).tolist():
        params, tokens = surface.best_split(math.exp(u))
        place, low, _ = other.optimum(6 * math.exp(u))
        assert math.log(params) == pytest.approx(place, abs=1e-7)
        assert (low > -math.inf) == surface.vouches(params, tokens)
        mean, sd = other.loss(params, tokens, noise=False)
        assert surface.log_loss(params, tokens) == pytest.approx(mean, abs=1e-12)
        assert surface.deviation(params, tokens) == pytest.approx(sd, rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("count", "fall"), [(8, 0.05), (20, 0.0), (60, 0.0)])
def test_any_ladder_leaves_deviations_that_grow_outward(seed, count, fall):
    """From the largest run in compute, and from the ends of the runs in D/N; of eight runs the mixture itself falls.

    There it falls by up to 1.4 % a step, before it grows.
    """
    law = synthetic.LAWS[sorted(synthetic.LAWS)[seed % 4]]
    points = synthetic.cloud(law, noise=0.005, seed=seed, count=count)
    surface = fit_forecast(points).surface()
    u, last = surface.span[1] - math.log(100), int(np.argmax(points.params * points.tokens))
    ratio = math.log(points.tokens[last] / points.params[last])
    for way, v in (((1, 0), ratio), ((0, 1), surface.span[3] - 2), ((0, -1), surface.span[2] + 2)):
        found = [surface.deviation(*sizes(u + way[0] * x, v + way[1] * x)) for x in np.linspace(0, 20, 100)]
        greatest = np.maximum.accumulate(found)
        assert np.all(np.array(found) >= greatest * (1 - fall)), way
        assert found[-1] > 1.5 * found[0]
