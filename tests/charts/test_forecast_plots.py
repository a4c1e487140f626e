"""The pictures of a forecast hold the runs, the forecast that plans are made by, and what the law misses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.charts.chart import Series
from scaleplan.charts.drawing import draw
from scaleplan.charts.forecast_plots import discrepancy_chart, forecast_chart
from scaleplan.charts.planning_plots import frontier_chart, loss_chart, parted
from scaleplan.charts.plots import plot
from scaleplan.charts.svg import inline_svg
from scaleplan.charts.terminal import chart_lines
from scaleplan.errors import UsageError
from scaleplan.laws.additive import Additive
from scaleplan.planning.planner import Planner

LAW = Additive(E=1.8, A=400.0, B=2000.0, alpha=0.35, beta=0.37)
SMALLEST, LARGEST = 1e18, 1e21


def written(path, rows):
    """Write (params, tokens, loss) to a file of runs."""
    lines = ["params,tokens,loss", *(",".join(map(repr, map(float, row))) for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def isoflop():
    """Return runs of six sizes at each of seven budgets."""
    rng = np.random.default_rng(5)
    for flops in np.geomspace(SMALLEST, LARGEST, 7):
        for ratio in (3.0, 8.0, 20.0, 50.0, 120.0, 300.0):
            params = (flops / 6 / ratio) ** 0.5
            yield params, params * ratio, LAW.loss(params, params * ratio) * math.exp(rng.normal(0, 0.003))


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    """Return a fit to isoFLOP curves."""
    return sp.fit(written(tmp_path_factory.mktemp("runs") / "runs.csv", isoflop()))


@pytest.fixture(scope="module")
def cone(fit):
    """Return the picture of its forecast."""
    return forecast_chart(fit)


def named(chart, label):
    """Return the points of the series of a label, as (x, y, low, high)."""
    return [
        (series.x[i], series.y[i], *((series.low[i], series.high[i]) if series.low else ()))
        for series in chart.series
        if series.label == label
        for i in range(len(series.x))
    ]


def test_the_cone_is_what_plans_say(fit, cone):
    """The loss of the optimum at each budget, with the intervals of one run and of the expected loss."""
    one, expected = named(cone, "forecast of one run"), named(cone, "forecast of the expected loss")
    assert len(one) == len(expected) > 40
    for (flops, loss, *band), (_, _, *narrower) in list(zip(one, expected, strict=True))[::9]:
        plan = sp.optimal(flops=flops, preset=fit.preset)
        assert loss == pytest.approx(plan.loss, rel=1e-9)
        assert band == pytest.approx(plan.interval.loss, rel=1e-9)
        assert narrower == pytest.approx(plan.interval.expected_loss, rel=1e-9)
        assert band[0] < narrower[0] < loss < narrower[1] < band[1]


def test_the_cone_reaches_from_the_smallest_run_to_a_hundred_times_the_largest(cone):
    """It is dashed exactly beyond the runs, and widens there."""
    one = [series for series in cone.series if series.label == "forecast of one run"]
    assert [series.style for series in one] == ["measured", "extrapolated"]
    ends = [end for series in one for end in (series.x[0], series.x[-1])]
    assert ends == pytest.approx([SMALLEST, LARGEST, LARGEST, 100 * LARGEST])
    width = [math.log(high / low) for low, high in zip(one[1].low, one[1].high, strict=True)]
    assert width == sorted(width)
    assert width[-1] > 2 * width[0]


def test_the_law_alone_is_the_formula_along_its_own_optimum(fit, cone):
    """Without the correction, and without a band."""
    plain = replace(fit.preset, law=fit.law, forecast=None)
    for flops, loss in named(cone, "law alone")[::9]:
        assert loss == pytest.approx(Planner(preset=plain).optimal(flops).loss, rel=1e-6)


def test_runs_are_points_and_the_best_of_each_budget_stands_out(fit, cone):
    """One best run a budget; of the others those within the picture, and the caption counts the rest."""
    best, others = named(cone, "best runs by compute"), named(cone, "other runs")
    runs = fit.runs
    least = [float(np.min(runs.loss[np.isclose(runs.flops, flops)])) for flops, _ in best]
    assert [loss for _, loss in best] == least
    assert len(best) == 7
    left_out = 42 - len(best) - len(others)
    assert left_out > 0
    assert f"{left_out} runs of higher loss are left out" in cone.caption
    top = max(max(*series.y, *series.high) for series in cone.series if series.style != "points")
    assert all(loss <= top for _, loss in others)


def test_the_target_is_marked(fit, cone):
    """Ten times the largest run, with the loss that the fit states there."""
    plan = fit.plan()
    assert cone.marks[0].x == pytest.approx(10 * LARGEST)
    assert cone.marks[0].y == pytest.approx(plan.loss, rel=1e-9)


def test_beyond_a_hundred_times_the_largest_run_a_line_says_so(fit, cone):
    """A loss still has an interval there, which goes on widening."""
    assert cone.rules == ()
    far = forecast_chart(fit, high=1e4 * LARGEST)
    assert [rule.at for rule in far.rules] == pytest.approx([100 * LARGEST])
    last, at_end = named(far, "forecast of one run")[-1], named(cone, "forecast of one run")[-1]
    assert math.log(last[3] / last[2]) > math.log(at_end[3] / at_end[2])


def test_runs_on_a_ray_are_forecast_along_it(tmp_path):
    """At their tokens per parameter, since they determine no optimum; the caption says so."""
    rng = np.random.default_rng(1)
    sizes = np.geomspace(1e7, 1e9, 12)
    rows = [(n, 20 * n, LAW.loss(n, 20 * n) * math.exp(rng.normal(0, 0.002))) for n in sizes]
    fit = sp.fit(written(tmp_path / "ray.csv", rows))
    chart = forecast_chart(fit)
    assert "along the line of the runs" in chart.caption
    for flops, loss, low, high in named(chart, "forecast of one run")[::9]:
        params = (flops / 120) ** 0.5
        plan = sp.loss(params=params, tokens=20 * params, preset=fit.preset)
        assert (loss, low, high) == pytest.approx((plan.loss, *plan.interval.loss), rel=1e-4)


def test_runs_of_one_budget_have_no_cone(tmp_path):
    """The refusal names the picture that they do have."""
    rng = np.random.default_rng(1)
    sizes = np.geomspace(1e7, 5e8, 12)
    rows = [(n, 3e16 / n, LAW.loss(n, 3e16 / n) * math.exp(rng.normal(0, 0.002))) for n in sizes]
    fit = sp.fit(written(tmp_path / "budget.csv", rows))
    with pytest.raises(UsageError, match="no curve of the loss") as refused:
        forecast_chart(fit)
    assert "discrepancy" in refused.value.hint
    points = [series for series in discrepancy_chart(fit).series if series.style == "points"]
    assert [len(series.x) for series in points] == [12]


def test_what_the_law_misses_is_the_forecast_over_it(fit):
    """Every run relative to the law, and the forecast between the budgets of its part."""
    chart = discrepancy_chart(fit)
    points = [
        point for series in chart.series if series.style == "points" for point in zip(series.x, series.y, strict=True)
    ]
    wrong = fit.runs.loss / plain_law(fit).loss(fit.runs.params, fit.runs.tokens) - 1
    assert sorted(y for _, y in points) == pytest.approx(sorted(wrong.tolist()))
    line = chart.series[0]
    flops = math.exp(float(np.mean(np.log(fit.runs.flops[fit.runs.flops < 5e18]))))
    assert line.label in chart.labels
    params = np.sqrt(flops / 6 / np.array(line.x))
    mean, error = fit.forecaster.predict(params, params * np.array(line.x), noise=False)
    off = np.log(plain_law(fit).loss(params, params * np.array(line.x)))
    assert np.log1p(line.y) == pytest.approx(mean - off, abs=1e-9)
    assert np.log1p(line.high) - np.log1p(line.y) == pytest.approx(1.6448536 * error, rel=1e-5)


def plain_law(fit):
    """Return the plain law of a fit."""
    return fit.preset.published


def test_a_bend_that_the_law_cannot_follow_is_seen(fit, tmp_path):
    """A rise of 3 % at 20 tokens per parameter: runs and forecast stand above the law there, and only there."""

    def bump(chart):
        line = chart.series[1]
        middle, end = np.interp(np.log([20.0, 100.0]), np.log(line.x), line.y)
        return middle - end

    rows = [(n, d, loss * (1 + 0.03 * math.exp(-(math.log(d / n / 20) ** 2)))) for n, d, loss in isoflop()]
    assert 0.01 < bump(discrepancy_chart(sp.fit(written(tmp_path / "bent.csv", rows)))) < 0.04
    assert abs(bump(discrepancy_chart(fit))) < 0.005


def test_bands_end_where_no_interval_is_known(fit):
    """Beyond a hundred times the largest run, in every format: no value is not a number, and the line goes on."""
    planner = Planner(preset=fit.preset)
    budgets = [float(flops) for flops in np.geomspace(LARGEST, 1e4 * LARGEST, 17)]
    chart = frontier_chart(planner, budgets)
    for label in ("parameters", "tokens"):
        banded = [point for point in named(chart, label) if len(point) == 4]
        bare = [point for point in named(chart, label) if len(point) == 2]
        assert banded[-1][0] == pytest.approx(100 * LARGEST)
        assert bare[0][0] == banded[-1][0]  # without a gap
        assert bare[-1][0] == budgets[-1]
    assert chart.rules[0].at == pytest.approx(100 * LARGEST)
    assert all(math.isfinite(value) for axis in ("x", "y") for value in chart.values(axis))
    json.dumps(chart.to_dict(), allow_nan=False)
    for text in (inline_svg(chart, ident="p"), "\n".join(chart_lines(chart))):
        assert "nan" not in text.lower()
    wide = loss_chart(planner, budgets)
    assert all(series.low for series in wide.series)
    assert "interval of one run" in wide.caption


@pytest.mark.parametrize(
    ("known", "parts"),
    [
        ("111111", ["0-5"]),
        ("111000", ["0-2", "2-5"]),
        ("000111", ["0-3", "3-5"]),
        ("110011", ["0-1", "1-4", "4-5"]),
        ("100000", ["0-5"]),
        ("001000", ["0-2", "2-5"]),
        ("000000", ["0-5"]),
    ],
)
def test_a_line_is_whole_whatever_its_band(known, parts):
    """Parts with and without a band meet, and a band of a single point is none."""
    ends = tuple(1.0 if each == "1" else math.nan for each in known)
    line = Series(label="a", x=(0, 1, 2, 3, 4, 5), y=(1,) * 6, low=ends, high=ends)
    found = parted(line, [False] * 6)
    assert [f"{part.x[0]:g}-{part.x[-1]:g}" for part in found] == parts
    assert all(math.isfinite(value) for part in found for value in part.low)


@pytest.mark.parametrize("kind", ["forecast", "discrepancy"])
def test_every_format_draws_them(tmp_path, kind):
    """Text, SVG in a page, and files, from a file of runs."""
    chart = plot(kind, runs=written(tmp_path / "runs.csv", isoflop()))
    assert chart.kind == kind
    assert "nan" not in inline_svg(chart, ident="p")
    assert len(chart_lines(chart)) > 20
    pytest.importorskip("matplotlib")
    assert draw(chart, "png")[:4] == b"\x89PNG"


def test_the_cone_takes_a_target_a_level_and_a_range(tmp_path):
    """As the options of the command line; options without a use are refused."""
    runs = written(tmp_path / "runs.csv", isoflop())
    wide = plot("forecast", runs=runs, flops="5e21", level=0.9, stop="1e22")
    narrow = plot("forecast", runs=runs, level=0.5)
    assert wide.marks[0].x == pytest.approx(5e21)
    assert max(wide.series[-3].x) <= 1e22
    at = {chart: named(chart, "forecast of one run")[0] for chart in (wide, narrow)}
    assert at[wide][3] - at[wide][2] == pytest.approx(2.44 * (at[narrow][3] - at[narrow][2]), rel=0.01)
    for options, option in (({"gpu_hours": "10k"}, "gpu-hours"), ({"params": "1B"}, "params")):
        with pytest.raises(UsageError, match=f"no use for --{option}"):
            plot("forecast", runs=runs, **options)
    with pytest.raises(UsageError, match="no use for --flops"):
        plot("residuals", runs=runs, flops=1e21)
    with pytest.raises(UsageError, match="no use for --to"):
        plot("discrepancy", runs=runs, stop=1e21)


def test_runs_are_read_as_by_a_fit(tmp_path):
    """Rows, columns and units are chosen for a picture too; other pictures have no use for such an option."""
    path = Path(written(tmp_path / "runs.csv", isoflop()))
    head, *rows = path.read_text().splitlines()
    path.write_text(
        "\n".join([head.replace("loss", "bpt") + ",kind", *(f"{row},{i % 2}" for i, row in enumerate(rows))])
    )
    chart = plot(
        "residuals", runs=str(path), reading={"map": ["loss=bpt"], "where": ["kind = 1"], "loss_unit": "bits"}
    )
    assert sum(len(series.x) for series in chart.series) == len(rows) // 2
    with pytest.raises(UsageError, match="frontier has no use for --where"):
        plot("frontier", reading={"where": ["kind = 1"]})
