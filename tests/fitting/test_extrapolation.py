"""Backtests on runs that the project makes itself: of a right law, of laws that bend, and by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fitting.synthetic import LADDERS, LAWS, cloud, isoflop, joined, measured, ray, table

import scaleplan as sp
from scaleplan.fitting.backtest import backtest_points, check_forecast, interval_score, ladder
from scaleplan.fitting.forecaster import fit_forecast
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import fit_additive

Z90 = 1.6448536269514722


def bent(points, curvature):
    """Return the runs with a loss that keeps bending in ln C, which no additive law has."""
    far = np.log(points.flops / points.flops.min())
    return Points.of(points.params, points.tokens, points.loss * np.exp(-curvature * far**2))


def backtested(points, **settings):
    """Return the backtest of runs beside the additive law."""
    return backtest_points(points, fit_additive(points), **settings)


@pytest.mark.parametrize("kind", LADDERS)
@pytest.mark.parametrize("name", LAWS)
def test_intervals_hold_the_runs_of_a_right_law(name, kind):
    """Of nine in ten promised at least eight hold over three sweeps, and no forecast is far off."""
    results = [check_forecast(p := LADDERS[kind](LAWS[name], noise=0.005, seed=s), fit_additive(p)) for s in range(3)]
    assert np.mean([result.scores.coverage for result in results]) >= 0.8
    for result in results:
        assert [cut.share for cut in result.cuts] == [0.5, 0.7]
        assert result.scores.width < 0.2
        assert result.scores.rms < 0.05


@pytest.mark.parametrize("kind", LADDERS)
@pytest.mark.parametrize("curvature", [0.0005, -0.0005])
def test_intervals_hold_runs_of_a_law_that_bends(kind, curvature):
    """The loss bends by 2.5 % over the runs: eight in ten intervals hold, and are no wider than 3 %."""
    sweeps = [bent(LADDERS[kind](LAWS["even"], noise=0.003, seed=seed), curvature) for seed in range(4)]
    found = [check_forecast(points, fit_additive(points)).scores for points in sweeps]
    assert np.mean([scores.coverage for scores in found]) >= 0.8
    assert np.mean([scores.width for scores in found]) < 0.03


def test_resampling_a_law_that_bends_is_too_sure_of_itself():
    """Twice the bend, little noise: intervals of the law's resamples hold few runs, those of forecasts most."""
    found = backtested(bent(cloud(LAWS["even"], noise=0.001, seed=3, count=80), 0.001), samples=20).scores
    assert found.resampling_coverage < 0.4
    assert found.coverage > found.resampling_coverage + 0.3


def test_forecasts_that_err_in_one_direction_say_so():
    """Above every cut the runs lie lower than any smooth continuation, by more than they scatter."""
    points = isoflop(LAWS["even"], noise=0.001, seed=1)
    far = np.log(points.flops / points.flops.min())
    falling = Points.of(points.params, points.tokens, points.loss * np.exp(-0.01 * np.maximum(far - 1.5, 0) ** 2))
    found = backtested(falling)
    assert found.one_sided
    assert found.scores.bias > 0
    assert not backtested(points).one_sided


@pytest.mark.parametrize("kind", ["isoflop", "cloud"])
def test_a_cut_repeats_the_whole_procedure_on_the_runs_below(kind):
    """Each cut by hand: forecast and law from the runs below, their predictions of those above, and the interval."""
    points = LADDERS[kind](LAWS["even"], noise=0.005, seed=8)
    found = backtested(points)
    assert [cut.flops for cut in found.cuts] == list(ladder(points))
    assert len(found.cuts) >= 4
    for cut in found.cuts[:: len(found.cuts) - 1]:
        lower, upper = points.select(points.flops <= cut.flops), points.select(points.flops > cut.flops)
        mean, deviation = fit_forecast(lower).predict(upper.params, upper.tokens)
        assert (cut.runs, cut.rows) == (len(lower), tuple(upper.rows))
        np.testing.assert_allclose(cut.error, np.exp(mean) / upper.loss - 1, rtol=1e-9)
        np.testing.assert_allclose(np.log(cut.high / cut.low), 2 * Z90 * deviation, rtol=1e-9)
        np.testing.assert_allclose(cut.law_loss, fit_additive(lower).law.loss(upper.params, upper.tokens), rtol=1e-9)
        np.testing.assert_allclose(cut.factor, upper.flops / lower.flops.max(), rtol=1e-12)
        assert cut.gap == cut.factor.min() > 1


@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["grid", "isoflop"]), grouped=st.booleans())
@settings(max_examples=4, deadline=None)
def test_nothing_above_a_cut_changes_what_is_predicted_from_below(seed, kind, grouped):
    """Losses above are changed beyond recognition: forecast, interval and law at the cut stay to the last digit."""
    points = LADDERS[kind](LAWS["even"], noise=0.004, seed=seed % 50)
    base = fit_additive(points)
    groups = [f"run {i // 3}" for i in range(len(points))] if grouped else None
    first = check_forecast(points, base, groups=groups).cuts[seed % 2]
    generator = np.random.default_rng(seed)
    worse = points.loss * np.where(points.flops > first.flops, generator.uniform(0.5, 2.0, len(points)), 1.0)
    changed = Points.of(points.params, points.tokens, worse)
    second = check_forecast(changed, fit_additive(changed), groups=groups).cuts[seed % 2]
    assert first.flops == second.flops
    for name in ("forecast", "low", "high", "law_loss", "factor"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_the_score_of_an_interval_by_hand():
    """Its width where it holds the run, and 2/(1 - level) = 20 times the miss where not."""
    measured_losses, low, high = [2.0, 2.5, 1.0], [1.9, 2.0, 1.5], [2.2, 2.4, 1.75]
    assert interval_score(measured_losses, low, high, level=0.9) == pytest.approx([0.3, 0.4 + 2.0, 0.25 + 10.0])
    assert interval_score([2.5], [2.0], [2.4], level=0.5) == pytest.approx([0.4 + 0.4])


@pytest.mark.parametrize("kind", ["isoflop", "cloud"])
def test_scores_are_the_means_of_their_predictions(kind):
    """By factor and over all: no prediction is lost or counted twice, and each number is that of its definition."""
    found = backtested(LADDERS[kind](LAWS["even"], noise=0.005, seed=8), level=0.5)
    every = {
        name: np.concatenate([getattr(cut, name) for cut in found.cuts])
        for name in ("factor", "error", "inside", "low", "high", "loss", "law_loss")
    }
    miss = np.maximum(every["low"] - every["loss"], 0) + np.maximum(every["loss"] - every["high"], 0)
    width = every["high"] - every["low"]
    boxes = [(item.scores, item.factors) for item in found.bins]
    for scores, (low, high) in [*boxes, (found.scores, (1.0, math.inf))]:
        chosen = (every["factor"] >= low * (1 - 1e-9)) & (every["factor"] <= high * (1 + 1e-9))
        assert scores.runs == np.count_nonzero(chosen) >= 3
        assert scores.bias == pytest.approx(every["error"][chosen].mean())
        assert scores.rms == pytest.approx(np.sqrt((every["error"][chosen] ** 2).mean()))
        assert scores.coverage == pytest.approx(every["inside"][chosen].mean())
        assert scores.width == pytest.approx((width / every["loss"])[chosen].mean())
        assert scores.score == pytest.approx(((width + 4 * miss) / every["loss"])[chosen].mean())
        wrong = every["law_loss"] / every["loss"] - 1
        assert scores.law_rms == pytest.approx(np.sqrt((wrong[chosen] ** 2).mean()))
        assert scores.resampling_coverage is None
    assert sum(item.scores.runs for item in found.bins) == found.scores.runs == len(every["factor"])
    last = found.cuts[-1]
    assert found.holdout.rows == last.rows
    assert found.holdout.scores == last.scores


def test_equal_runs_give_equal_backtests():
    """Twice the same numbers; in another order of the rows the same up to rounding."""
    points = isoflop(LAWS["low-floor"], noise=0.004, seed=2)
    found = backtested(points)
    assert found.scores == backtested(points).scores
    shuffled = backtested(points.select(np.random.default_rng(0).permutation(len(points))))
    assert shuffled.scores.score == pytest.approx(found.scores.score, rel=1e-6)
    assert [cut.flops for cut in shuffled.cuts] == [cut.flops for cut in found.cuts]


def test_scattered_runs_have_up_to_eight_cuts():
    """Evenly spaced in ln C, a quarter of the runs below the first and a twentieth above the last."""
    points = cloud(LAWS["even"], noise=0.005)
    cuts = ladder(points)
    assert 5 <= len(cuts) <= 8
    below = [np.count_nonzero(points.flops <= cut) for cut in cuts]
    assert below[0] >= len(points) / 4
    assert below[-1] <= 0.95 * len(points)
    gaps = np.diff(np.log(cuts))
    assert gaps.max() < 2 * gaps.min()


def test_so_many_scattered_runs_that_none_stand_apart_have_a_ladder():
    """Of 20,000 runs over seven ln units no two neighbours differ by 1 %; a thousand above each cut are predicted."""
    points = cloud(LAWS["even"], noise=0.005, count=20_000)
    cuts = ladder(points)
    assert len(cuts) == 8
    found = check_forecast(points, fit_additive(points))
    assert [len(cut.rows) for cut in found.cuts] == [1000, 1000]
    assert found.scores.coverage > 0.8


@pytest.mark.parametrize("budgets", [3, 5, 9])
def test_every_budget_of_an_isoflop_sweep_is_a_cut(budgets):
    """But the first, whose runs lie on a line, and the last, above which there is none."""
    points = isoflop(LAWS["even"], budgets=(1e19, 1e21, budgets))
    assert np.log(ladder(points)) == pytest.approx(np.log(np.geomspace(1e19, 1e21, budgets)[1:-1]))


def test_the_gap_where_anyone_would_cut_is_a_cut():
    """Scattered runs and three far above them; and below it too few to forecast are no cut."""
    small = cloud(LAWS["even"], noise=0.003, count=30, budgets=(1e18, 1e20))
    large = cloud(LAWS["even"], noise=0.003, count=3, budgets=(5e21, 9e21), seed=1)
    assert float(small.flops.max()) in ladder(joined(small, large))
    assert ladder(joined(small.select(np.arange(5)), large)) == ()


def test_six_different_runs_below_a_cut_are_enough_and_five_are_not():
    """Two budgets of three sizes predict the third; repeats of a size are no different runs."""
    three = isoflop(LAWS["even"], noise=0.003, budgets=(1e19, 1e21, 3), sizes=3)
    assert len(ladder(three)) == 1
    assert backtested(three).cuts[0].runs == 6
    repeated = three.select(np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 6, 7, 8]))
    assert ladder(repeated) == ()


def test_runs_on_a_line_are_cut_where_all_lie_on_it():
    """One ratio is forecast along it at every cut; a ray that begins a wider design is no cut of it."""
    points = ray(LAWS["even"], noise=0.003, seed=1)
    found = backtested(points)
    assert len(found.cuts) >= 5
    assert found.scores.coverage >= 0.8
    wide = isoflop(LAWS["even"], noise=0.003, budgets=(1e22, 1e23, 2))
    below = [cut for cut in ladder(joined(points, wide)) if cut <= points.flops.max() * (1 + 1e-9)]
    assert below == []


def test_budgets_that_differ_by_rounding_are_not_parted():
    """Neither by the ladder nor by the check at half the range, which a budget lies on."""
    generator = np.random.default_rng(3)
    flops = np.repeat([1e19, 3.2e19, 1e20, 3.2e20, 1e21], 6) * np.exp(1e-3 * generator.normal(size=30))
    params = np.sqrt(flops / 120) * np.tile([0.4, 1.0, 2.5], 10)
    points = measured(LAWS["even"], params, flops / 6 / params, noise=0.004, generator=generator)
    assert len(ladder(points)) == 3
    for found in (backtested(points), check_forecast(points, fit_additive(points))):
        for cut in found.cuts:
            assert cut.gap > 2
            assert cut.runs % 6 == 0


def test_duplicate_rows_are_backtested():
    """A file with every run twice has the same cuts, and finite numbers."""
    points = isoflop(LAWS["even"], noise=0.004, seed=2)
    twice = joined(points, points)
    assert ladder(twice) == ladder(points)
    found = backtested(twice)
    assert found.scores.runs == 2 * backtested(points).scores.runs
    assert found.scores.coverage >= 0.7
    assert math.isfinite(found.scores.score)


def test_too_few_runs_have_no_cut():
    """The backtest says so; and the command names what is needed."""
    points = isoflop(LAWS["even"], noise=0.01, budgets=(1e19, 1e20, 2), sizes=5)
    found = check_forecast(points.select(np.arange(5)), fit_additive(points))
    assert (found.cuts, found.bins, found.scores, found.holdout, found.largest_factor) == ((), (), None, None, 1.0)
    assert str(found) == "too few runs to hold any out"
    assert not found.one_sided


# ---- the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path):
    """Return a file of runs of an IsoFLOP sweep."""
    path = tmp_path / "runs.csv"
    path.write_text(table(isoflop(LAWS["even"], noise=0.004, seed=3)))
    return path


def test_the_numbers_of_a_backtest_agree_with_each_other(runs):
    """By cut, by factor, over all and for the largest runs, from the errors and the intervals of each run."""
    answer = sp.backtest(runs).to_dict()
    assert answer["samples"] == 0
    losses = dict(zip(range(2, 44), np.loadtxt(runs, delimiter=",", skiprows=1)[:, 2], strict=True))
    inside = predicted = 0
    for cut in answer["cuts"]:
        errors = np.array(cut["errors"])
        held = [low <= losses[row] <= high for row, (low, high) in zip(cut["rows"], cut["intervals"], strict=True)]
        assert cut["coverage"] == pytest.approx(np.mean(held))
        assert cut["rms"] == pytest.approx(np.sqrt((errors**2).mean()))
        assert cut["width"] <= cut["score"]
        assert cut["resampling_coverage"] is None
        inside, predicted = inside + sum(held), predicted + len(held)
    overall = answer["overall"]
    assert (overall["runs"], overall["coverage"]) == (predicted, pytest.approx(inside / predicted))
    assert sum(row["runs"] for row in answer["by_factor"]) == predicted
    last = answer["cuts"][-1]
    for name in ("bias", "rms", "coverage", "width", "score", "law_rms"):
        assert answer["holdout"][name] == last[name]
    assert answer["holdout"]["rows"] == last["rows"]


def test_a_level_and_resamples_are_those_of_the_request(runs):
    """A higher level widens by the quantile and holds no fewer; resamples add the coverage of the plain law alone."""
    usual, wider = sp.backtest(runs), sp.backtest(runs, level=0.99, samples=30)
    for cut, other in zip(usual.ladder.cuts, wider.ladder.cuts, strict=True):
        ratio = np.log(other.high / other.low) / np.log(cut.high / cut.low)
        np.testing.assert_allclose(ratio, 2.5758293035489 / Z90, rtol=1e-9)
        assert cut.scores.coverage <= other.scores.coverage
    assert usual.to_dict()["by_factor"][0]["resampling_coverage"] is None
    assert 0 <= wider.to_dict()["by_factor"][0]["resampling_coverage"] <= 1


def test_names_of_runs_are_the_groups_of_a_forecast(runs):
    """Runs of one name share an error here: with names the intervals are others than without."""
    names = [f"r{i % 14}" for i in range(42)]
    points = isoflop(LAWS["even"], noise=0.002, seed=3)
    shared = 0.02 * np.random.default_rng(0).normal(size=14)[np.arange(42) % 14]
    points = Points.of(points.params, points.tokens, points.loss * np.exp(shared))
    runs.write_text(table(points, name=names))
    named = sp.backtest(runs).ladder
    assert named.scores == backtested(points, groups=names).scores
    assert named.scores != backtested(points).scores


def test_a_fit_checks_its_own_forecast(runs):
    """Below 50 % and 70 % of the range of ln C, as a line of its report and as numbers of its JSON."""
    found = sp.fit(runs)
    answer = json.loads(json.dumps(found.to_dict()))["backtest"]
    assert [cut["share"] for cut in answer["cuts"]] == [0.5, 0.7]
    for cut, budgets in zip(answer["cuts"], (3, 4), strict=True):
        assert (cut["runs"], cut["predicted"]) == (7 * budgets, 7 * (6 - budgets))
    expected = check_forecast(found.runs.points(), found.diagnosis.solution)
    assert answer["overall"]["score"] == pytest.approx(expected.scores.score)
    rows = answer["by_factor"]
    assert {"factor", "factors", "runs", "bias", "rms", "coverage", "width", "score"} <= rows[0].keys()
