"""A run's weight counts as so many runs, in a fit and in each of its resamples."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fitting.errors import standard_errors

from scaleplan.fitting.bootstrap import bootstrap
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import fit_additive, refit_surface


def weighted(points, weight):
    """Return the same runs with weights."""
    return Points.of(points.params, points.tokens, points.loss, weight=weight)


@pytest.fixture
def mixed(sweep):
    """Return 64 runs whose second half is ten times as noisy."""
    clean, noisy = sweep(noise=0.002, seed=3), sweep(noise=0.02, seed=4)
    half = np.arange(len(clean)) % 2 == 0
    return Points.of(clean.params, clean.tokens, np.where(half, clean.loss, noisy.loss)), half


def test_a_resample_with_weights_is_that_of_the_runs_repeated(mixed):
    """Weight 3 in a resample that draws a run twice is that run six times: the same refit, to its tolerance."""
    points, half = mixed
    weight = np.where(half, 3.0, 1.0)
    drawn = np.random.default_rng(1).multinomial(len(points), np.full(len(points), 1 / len(points)), size=6)
    base = fit_additive(weighted(points, weight))
    found = refit_surface(weighted(points, weight), drawn.astype(float), base=base)
    expected = refit_surface(points, drawn * weight, base=base)
    assert found.draws == pytest.approx(expected.draws, rel=1e-9)
    plain = refit_surface(points, drawn.astype(float), base=base)
    assert np.abs(found.draws - plain.draws).max() > 1e-3  # the weights do matter here


def test_runs_of_little_weight_widen_an_interval_little(mixed):
    """Runs that hardly count in the fit hardly count in its resamples: the errors are those of the others alone.

    By least squares, where noisy runs that count in full make every error several times as wide.
    """
    points, half = mixed
    squares = Objective(robust="none")

    def error(runs):
        found = bootstrap(runs, fit_additive(runs, objective=squares), samples=200, seed=2)
        return standard_errors(found)["alpha"]

    alone = error(points.select(half))
    assert error(weighted(points, np.where(half, 1.0, 1e-6))) == pytest.approx(alone, rel=0.35)
    assert error(points) > 3 * alone
