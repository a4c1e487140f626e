"""Backtests of forecasts on public runs: the intervals hold what a plain law misses, at every cut."""

import numpy as np
import pytest

from scaleplan.fitting.backtest import backtest_points, check_forecast, ladder
from scaleplan.fitting.surface_fit import fit_additive

TESTED = [
    ("chinchilla_isoflop.csv", {}),
    ("llama3_isoflop.csv", {}),
    ("gadre.csv", {"dataset": "c4_original"}),
    ("gadre.csv", {"dataset": "rpj"}),
    ("gadre.csv", {"dataset": "rw_original"}),
    ("datablations.csv", {"epochs": "1"}),
    ("porian_isoflop.csv", {"group": "rw/base/short/kaplan/standard/val"}),
    ("porian_isoflop.csv", {"group": "rw/tuned/short/const/standard/val"}),
    ("porian_isoflop.csv", {"group": "owt2/base/long/kaplan/kaplan/train"}),
]


@pytest.mark.parametrize(("name", "where"), TESTED)
def test_the_check_of_a_fit_holds_on_public_runs(public, name, where):
    """At least 85 % of the larger runs of each set lie in the 90 % interval that its smaller half gives."""
    points = public(name, where=where)
    scores = check_forecast(points, fit_additive(points)).scores
    assert scores.coverage >= 0.85
    assert scores.width <= scores.score < 0.45
    assert scores.rms < 0.1


@pytest.mark.parametrize("place", [0, 3, 6])
def test_intervals_hold_above_every_cut_of_public_runs(public, place):
    """Over all cuts of a sweep, of scattered runs, and of the hardest set at least 80 % lie inside."""
    name, where = TESTED[place]
    points = public(name, where=where)
    assert backtest_points(points, fit_additive(points)).scores.coverage >= 0.8


def test_resampling_alone_covers_little(chinchilla_240):
    """Of the largest Chinchilla points few lie in the interval of resampling, and nine of ten in the other."""
    tested = backtest_points(chinchilla_240, fit_additive(chinchilla_240), samples=20)
    held = tested.holdout.scores
    assert held.resampling_coverage < 0.3
    assert held.coverage > 0.85
    assert held.rms < held.law_rms
    assert tested.inside == pytest.approx(0.0075, abs=5e-4)  # the law fitted to all, by an independent fit
    for item in tested.bins:
        assert 0 <= item.scores.resampling_coverage <= 1


def test_a_cloud_of_runs_has_a_ladder_too(chinchilla_240):
    """Without budgets there are up to eight cuts, evenly spaced in ln C, each with a quarter of the runs below."""
    cuts = ladder(chinchilla_240)
    assert 5 <= len(cuts) <= 8
    below = [np.count_nonzero(chinchilla_240.flops <= cut) for cut in cuts]
    assert below[0] >= 60
    assert below[-1] <= 0.95 * 240
