"""From a file of runs to a preset and a plan, for each way to buy runs; at the command line too."""

from __future__ import annotations

import io
import json
import math
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
from tests.fitting.synthetic import LADDERS, LAWS, cloud, ray, table, with_outliers

import scaleplan as sp
from scaleplan.__main__ import run
from scaleplan.laws.forecast import HALF
from scaleplan.planning.solver import bisect


def written(folder, points, **columns):
    path = folder / "runs.csv"
    path.write_text(table(points, **columns), encoding="utf-8")
    return path


def answered(*arguments):
    """Run the command line in this process; return its status and what it wrote to both streams."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = run([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("ladder", LADDERS)
@pytest.mark.parametrize("name", LAWS)
def test_a_preset_of_exact_runs_plans_as_the_law_does(tmp_path, name, ladder):
    """The vertex of the law itself, where twice and half the size do equally well, at 100 times the runs."""
    law = LAWS[name]
    fitted = sp.fit(written(tmp_path, LADDERS[ladder](law)), samples=0)
    preset = str(fitted.write(tmp_path / "law.toml"))
    plan = sp.optimal(preset=preset, flops=1e23)

    def slope(size):
        return math.log(law.loss(size * math.exp(HALF), 1e23 / 6 / size * math.exp(-HALF))) - math.log(
            law.loss(size * math.exp(-HALF), 1e23 / 6 / size * math.exp(HALF))
        )

    near = law.best_split(1e23 / 6)[0]
    params = math.exp(bisect(lambda place: slope(math.exp(place)), math.log(near) - 1, math.log(near) + 1))
    assert plan.params == pytest.approx(params, rel=0.03)  # runs are taken to have a noise of 0.02 % at least
    assert plan.loss == pytest.approx(law.loss(params, 1e23 / 6 / params), rel=1e-3)
    assert plan.interval.params[0] < params < plan.interval.params[1]


@pytest.mark.parametrize("ladder", LADDERS)
def test_a_preset_holds_its_uncertainty_range_and_source(tmp_path, ladder):
    """The covariance of the draws, the ranges of the runs and the forecast come back."""
    points = LADDERS[ladder](LAWS["even"], noise=0.004, seed=5)
    fitted = sp.fit(written(tmp_path, points), samples=100, seed=3)
    read = sp.Library().load(str(fitted.write(tmp_path / "law.toml")))
    assert read.published.coefficients() == fitted.law.coefficients()
    assert read.uncertainty.covariance == pytest.approx(
        np.cov(fitted.diagnosis.resamples.coordinates(), rowvar=False)
    )
    assert read.range.params == (points.params.min(), points.params.max())
    assert read.range.tokens == (points.tokens.min(), points.tokens.max())
    assert read.range.flops == pytest.approx((points.flops.min(), points.flops.max()))
    assert read.forecast == fitted.forecast
    assert (read.fit["rows_used"], read.fit["seed"]) == (len(points), 3)


@pytest.mark.parametrize("ladder", LADDERS)
def test_the_interval_of_a_plan_holds_the_truth(tmp_path, ladder):
    """Of size, tokens, ratio and loss at 30 times the largest run, at 99 %."""
    law = LAWS["even"]
    path = written(tmp_path, LADDERS[ladder](law, noise=0.004, seed=5))
    preset = str(sp.fit(path, samples=150).write(tmp_path / "law.toml"))
    plan = sp.optimal(preset=preset, flops=3e22, level=0.99)
    params, tokens = law.best_split(3e22 / 6)
    for name, truth in (
        ("params", params),
        ("tokens", tokens),
        ("tokens_per_param", tokens / params),
        ("loss", law.loss(params, tokens)),
    ):
        low, high = getattr(plan.interval, name)
        assert low < truth < high


@pytest.mark.parametrize("ladder", LADDERS)
def test_a_column_of_weights_counts_runs(tmp_path, ladder):
    """Weights of 2 in a file are the rows twice: the same law, and nearly the same errors of its resamples."""
    points = LADDERS[ladder](LAWS["even"], noise=0.004, seed=5)
    weight = np.where(np.arange(len(points)) % 2 == 0, 2, 1)
    weighted = sp.fit(written(tmp_path, points, weight=weight), samples=0)
    twice = points.select(np.repeat(np.arange(len(points)), weight))
    doubled = sp.fit(
        written(tmp_path, twice, name=[f"r{i}" for i in range(len(twice))]), samples=0, keep=["duplicate"]
    )
    assert len(doubled.runs) == len(twice)
    assert weighted.score == pytest.approx(doubled.score, rel=1e-6)
    assert weighted.law.best_split(1e23 / 6) == pytest.approx(doubled.law.best_split(1e23 / 6), rel=1e-3)


def test_noisy_rows_of_little_weight_leave_the_errors_of_the_others(tmp_path):
    """Through the file and the command: standard errors are those of the clean half of the rows alone.

    By least squares the noisy half, counted in full, makes them several times as large.
    """
    clean, noisy = (cloud(LAWS["even"], noise=noise, seed=2) for noise in (0.002, 0.04))
    half = clean.rows % 2 == 0
    mixed = type(clean).of(clean.params, clean.tokens, np.where(half, clean.loss, noisy.loss))

    def error(points, **columns):
        path = written(tmp_path, points, **columns)
        status, out, err = answered("fit", path, "--robust", "none", "--samples", "150", "--json", "--quiet")
        assert status == 0, err
        return json.loads(out)["errors"]["alpha"]

    alone = error(mixed.select(half))
    assert error(mixed, weight=np.where(half, 1.0, 1e-6)) == pytest.approx(alone, rel=0.35)
    assert error(mixed) > 3 * alone


@pytest.mark.parametrize("ladder", LADDERS)
def test_the_command_line_names_wrong_rows_and_fits_without_them(tmp_path, ladder):
    """Rows count from the header, so the third run is row 4; the second fit is near the truth."""
    law, rows = LAWS["even"], (3, 17, 40)
    points = with_outliers(LADDERS[ladder](law, noise=0.003, seed=4), rows=rows)
    path = written(tmp_path, points)
    status, out, err = answered("fit", path, "--samples", "0", "--json")
    assert status == 0
    answer = json.loads(out)
    assert answer["outliers"]["rows"] == [row + 1 for row in rows]
    assert "rows 4, 18, 41 stand far from the fit of the others" in err
    assert answer["outliers"]["without"]["alpha"] == pytest.approx(law.alpha, abs=0.03)


@pytest.mark.parametrize("ladder", LADDERS)
def test_the_command_line_backtests_a_ladder(tmp_path, ladder):
    """Cuts in rising compute, each with the runs below it and those that it predicts."""
    points = LADDERS[ladder](LAWS["even"], noise=0.003, seed=4)
    status, out, err = answered("backtest", written(tmp_path, points), "--samples", "40", "--json")
    assert status == 0, err
    answer = json.loads(out)
    cuts = answer["cuts"]
    assert [cut["flops"] for cut in cuts] == sorted(cut["flops"] for cut in cuts)
    for cut in cuts:
        assert cut["runs"] == np.count_nonzero(points.flops <= cut["flops"] * (1 + 1e-9))
        assert cut["predicted"] == len(points) - cut["runs"]
        assert cut["rms"] == pytest.approx(np.sqrt(np.mean(np.square(cut["errors"]))))
    assert answer["overall"]["coverage"] >= 0.8


@pytest.mark.parametrize("ratio, said", [(5.0, "5.00"), (20.0, "20.0"), (200.0, "200")])
def test_one_ratio_is_refused_and_still_predicted_along(tmp_path, ratio, said):
    """The preset does not choose tokens per parameter, and gives the loss at that of its runs and at no other."""
    law = LAWS["even"]
    path = written(tmp_path, ray(law, ratio=ratio, noise=0.003, seed=1))
    preset = str(sp.fit(path, samples=100).write(tmp_path / "law.toml"))
    with pytest.raises(sp.ScaleplanError, match="must not choose"):
        sp.optimal(preset=preset, flops=1e22)
    plan = sp.loss(preset=preset, params=1e10, tokens=ratio * 1e10)
    assert plan.interval.loss[0] < law.loss(1e10, ratio * 1e10) < plan.interval.loss[1]
    with pytest.raises(sp.ScaleplanError, match=f"the line of {said} tokens per parameter"):
        sp.loss(preset=preset, params=1e10, tokens=2 * ratio * 1e10)


@pytest.mark.parametrize("ladder", LADDERS)
def test_the_same_command_writes_the_same_bytes(tmp_path, ladder):
    """Twice, whatever the ladder."""
    path = written(tmp_path, LADDERS[ladder](LAWS["low-floor"], noise=0.004, seed=5))
    texts = []
    for name in ("a.toml", "b.toml"):
        assert answered("fit", path, "--id", "mine", "-o", tmp_path / name, "--samples", "60")[0] == 0
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("factor", [0.5, 1.04, 2.0])
def test_compute_that_is_not_six_times_both_sizes_leaves_a_law_that_plans(tmp_path, factor):
    """A column of compute by another count: the forecast's reach is by N*D, and the file reads back."""
    points = LADDERS["grid"](LAWS["even"], noise=0.004, seed=2)
    rows = zip(points.params, points.tokens, factor * points.flops, points.loss, strict=True)
    lines = [",".join(map(repr, map(float, row))) for row in rows]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["params,tokens,flops,loss", *lines]) + "\n")
    preset = sp.fit(path).write(tmp_path / "law.toml")
    assert sp.optimal(preset=str(preset), flops=1e22).interval.loss is not None
