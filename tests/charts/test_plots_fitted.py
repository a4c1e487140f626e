"""The pictures of fitted laws hold the residuals and errors of the fit."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.charts import plots as fitted
from scaleplan.errors import UsageError
from scaleplan.fitting.backtest import Backtest, backtest_points
from scaleplan.fitting.diagnosed_fit import fit_points
from scaleplan.fitting.runs import Points
from scaleplan.laws.additive import Additive

LAW = Additive(E=1.8, A=400.0, B=2000.0, alpha=0.35, beta=0.37)


@pytest.fixture(scope="module")
def result():
    """Return a fit to noisy runs over four decades of compute."""
    rng = np.random.default_rng(5)
    flops = np.geomspace(1e18, 1e22, 48)
    params = (flops / 120) ** 0.5 * np.tile([0.3, 1.0, 3.0], 16)
    tokens = flops / 6 / params
    loss = LAW.loss(params, tokens) * np.exp(rng.normal(0, 0.003, 48))
    return fit_points(Points.of(params, tokens, loss), samples=0)


def test_residuals_are_fitted_over_observed(result):
    """One point a run, and the farthest is marked with its row."""
    chart = fitted.residuals_chart(result)
    points, series = result.points, chart.series[0]
    wrong = result.law.loss(points.params, points.tokens) / points.loss - 1
    assert sorted(series.y) == pytest.approx(sorted(wrong.tolist()))
    assert sorted(series.x) == pytest.approx(sorted(points.flops.tolist()))
    far = int(np.argmax(np.abs(wrong)))
    assert chart.marks[0].label == f"row {points.rows[far]}"
    assert chart.marks[0].y == pytest.approx(wrong[far])


def test_a_backtest_shows_every_prediction_and_the_interval(result):
    """Points inside their interval and outside it, over a band of the mean width at each factor."""
    tested = backtest_points(result.points, result.solution, level=0.5)
    chart = fitted.backtest_chart(tested)
    band, *points = chart.series
    assert [series.label for series in points] == ["inside the 50 % interval", "outside the 50 % interval"]
    assert [len(series.x) for series in points] == [tested.scores.inside, tested.scores.runs - tested.scores.inside]
    errors = np.concatenate([cut.error for cut in tested.cuts])
    assert sorted(points[0].y + points[1].y) == pytest.approx(sorted(errors.tolist()))
    assert band.x[1:-1] == tuple(item.middle for item in tested.bins)
    assert band.high[1:-1] == tuple(0.5 * item.scores.width for item in tested.bins)
    assert (band.x[0], band.x[-1]) == (min(points[0].x + points[1].x), max(points[0].x + points[1].x))
    assert band.low == tuple(-value for value in band.high)


def test_too_few_runs_have_no_backtest():
    """The error says how many are needed."""
    with pytest.raises(UsageError, match="too few to backtest") as error:
        fitted.backtest_chart(Backtest(cuts=(), bins=(), inside=0.01, level=0.9))
    assert "six different runs" in error.value.hint
