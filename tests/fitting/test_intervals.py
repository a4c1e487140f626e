"""What an interval may never be: negative, of no width, set by a flagged run, or drawn out by one budget."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tests.fitting.synthetic import LAWS, isoflop, measured

import scaleplan as sp
from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.fitting.backtest import backtest_points, ladder
from scaleplan.fitting.curve_backtest import backtest_curve
from scaleplan.fitting.curve_fit import fit_curve
from scaleplan.fitting.diagnosed_fit import fit_points
from scaleplan.fitting.fit import fit
from scaleplan.fitting.noise import cells_by_rounding, lack_of_fit, require_distinct, rises
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import Surface, fit_additive
from scaleplan.laws.curves import FITTED, Power
from scaleplan.planning.uncertainty import backtest_rms, sigmas_of
from scaleplan.presets.preset import BacktestRms

LAW = LAWS["even"]


def file_of(path, points):
    """Write points as a file of runs."""
    columns = zip(points.params, points.tokens, points.loss, strict=True)
    rows = [f"{n:.8g},{d:.8g},{loss:.7g}" for n, d, loss in columns]
    path.write_text("\n".join(["params,tokens,loss", *rows]) + "\n")
    return path


def designs():
    """Return sizes and token counts of any shape: grids, rays, sweeps, clouds, few runs, repeats and near repeats."""
    logs = st.lists(
        st.tuples(
            st.sampled_from([7.5, 8.0, 8.003, 8.5, 9.0, 10.0]), st.sampled_from([9.0, 9.5, 10.0, 10.002, 11.5])
        ),
        min_size=4,
        max_size=16,
    )
    return logs.map(lambda pairs: tuple(10 ** np.array(column, dtype=float) for column in zip(*pairs, strict=True)))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(design=designs(), noise=st.sampled_from([0.0, 0.003, 0.1]), wild=st.booleans(), seed=st.integers(0, 9))
def test_any_design_is_refused_or_has_honest_intervals(tmp_path_factory, design, noise, wild, seed):
    """Positive, finite, and of some width where the runs have noise; or a refusal."""
    params, tokens = design
    points = measured(LAW, params, tokens, noise=noise, generator=np.random.default_rng(seed))
    if wild:
        points = Points.of(params, tokens, np.where(np.arange(len(params)) == 1, 3 * points.loss, points.loss))
    path = file_of(tmp_path_factory.mktemp("runs") / "runs.csv", points)
    try:
        found = fit(path, samples=12, seed=seed)
        plan = found.plan()
    except ScaleplanError:
        return
    if plan is None or plan.interval is None:
        return
    for low, high in (plan.interval.params, plan.interval.tokens, plan.interval.loss):
        assert 0 < low <= high < math.inf
    low, high = plan.interval.loss
    assert plan.loss > 0
    assert high / low - 1 > (1e-4 if noise else -1)


@pytest.mark.parametrize("form", FITTED)
def test_as_many_rows_as_coefficients_are_refused(form):
    """Two more are needed, of different inputs; repeats of few inputs are no more rows."""
    needed = len(FITTED[form].coefficients()) + 2
    x = np.geomspace(1e18, 1e22, needed)
    y = 1.6 + 70 * x**-0.09
    with pytest.raises(UsageError, match="too few for"):
        fit_curve(form, x[:-1], y[:-1])
    with pytest.raises(UsageError, match=f"{2 * needed - 2} rows at {needed - 1} different inputs are too few"):
        fit_curve(form, np.tile(x[:-1], 2), np.tile(y[:-1], 2))
    assert fit_curve(form, x, y if form != "sigmoid" else 1 / y).converged is not None


@pytest.mark.parametrize("words, coefficients", [({}, 5), ({"tied": True}, 4), ({"tied": True, "floor": 0}, 3)])
def test_a_surface_needs_two_runs_more_than_coefficients(tmp_path, words, coefficients):
    """Of different sizes or token counts, up to rounding."""
    params, tokens = np.geomspace(1e8, 1e10, 7), np.array([1e10, 1e11, 3e10, 5e11, 2e10, 9e10, 4e11])
    points = Points.of(params, tokens, LAW.loss(params, tokens))
    few = points.select(np.arange(coefficients + 1))
    with pytest.raises(UsageError, match=f"are too few for {coefficients} coefficients"):
        fit(file_of(tmp_path / "few.csv", few), **words)
    assert fit(file_of(tmp_path / "enough.csv", points), samples=0, **words).converged


def test_many_rows_need_no_close_look():
    """Boxes are enough for scattered inputs; one value repeated ten thousand times is still one."""
    scattered = 10 ** np.random.default_rng(0).uniform(18, 22, 10_000)
    require_distinct(scattered, coefficients=9)
    with pytest.raises(UsageError, match="at 1 different inputs"):
        require_distinct(np.full(10_000, 1e20), coefficients=1)


def test_few_runs_widen_by_students_t():
    """The quantile is that of SciPy's distribution; many runs leave the normal's."""
    for freedom in (1, 2, 3, 7, 30, 400):
        for level in (0.5, 0.9, 0.99):
            within = 1 - 2 * stats.t.sf(sigmas_of(level, freedom), freedom)  # ppf of 1.12 has eight digits
            assert within == pytest.approx(level, rel=1e-9)
    assert sigmas_of(0.9) == pytest.approx(stats.norm.ppf(0.95), rel=1e-12)


@pytest.mark.parametrize("robust", ["huber", "none"])
def test_wild_runs_do_not_set_the_band(tmp_path, robust):
    """Three diverged runs of 84: the band of the plan stays near that without them."""
    clean = isoflop(LAW, noise=0.002, seed=1, budgets=(1e18, 1e21, 12))
    worse = clean.loss.copy()
    worse[[10, 33, 70]] *= [1.5, 1.9, 1.3]
    wild = Points.of(clean.params, clean.tokens, worse, flops=clean.flops)
    plans = [
        sp.fit(file_of(tmp_path / f"{name}.csv", points), samples=200, robust=robust).plan()
        for name, points in (("clean", clean), ("wild", wild))
    ]
    widths = [math.log(plan.interval.loss[1] / plan.interval.loss[0]) for plan in plans]
    assert widths[1] == pytest.approx(widths[0], rel=0.35)


def test_rows_that_reading_flags_do_not_widen_the_coefficients():
    """What is doubtful takes part in the fit and in nothing that measures its errors."""
    clean = isoflop(LAW, noise=0.002, seed=2)
    worse = Points.of(clean.params, clean.tokens, np.where(clean.rows == 20, 1.1, 1.0) * clean.loss)
    told, untold = (
        fit_points(worse, objective=Objective(robust="none"), samples=100, doubtful=rows) for rows in ([20], [])
    )
    assert 20 in untold.outliers.rows  # which is as good as doubtful
    spread = [np.ptp(found.resamples.draws[:, 3]) for found in (told, untold)]
    assert spread[0] == pytest.approx(spread[1], rel=1e-9)


def test_three_budgets_of_few_runs_are_forecast_with_wide_intervals():
    """Eight runs of two budgets predict the third, ten times beyond, within their interval."""
    points = isoflop(LAW, noise=0.002, budgets=(1e19, 1e21, 3), sizes=4, seed=1)
    (cut,) = backtest_points(points, fit_additive(points)).cuts
    assert (cut.runs, len(cut.rows)) == (8, 4)
    assert cut.scores.coverage >= 0.75
    assert cut.scores.width > 0.01


def test_every_budget_is_a_cut_even_of_one_run():
    """Six budgets, the last two of two runs and one: all but the first and the last, the gap of ten too."""
    budgets = [1.6e19] * 6 + [5e19] * 6 + [1.6e20] * 6 + [5e20] * 6 + [5e21] * 2 + [1.5e22]
    flops = np.array(budgets) * np.exp(0.002 * np.sin(np.arange(27)))
    params = np.sqrt(flops / 120) * np.array([0.2, 0.4, 0.8, 1.5, 2.8, 5.0] * 4 + [0.8, 1.5, 1.0])
    points = measured(LAW, params, flops / 6 / params, noise=0.002, generator=np.random.default_rng(0))
    assert np.log(ladder(points)) == pytest.approx(np.log([5e19, 1.6e20, 5e20, 5e21]), abs=0.01)


def test_no_slope_is_drawn_from_factors_that_hardly_differ():
    """Errors at 1 and at 1.00015 times the runs are no trend: their difference is that of a doubling."""
    assert backtest_rms((1.0, 1.00015), (0.005, 0.02), 8.0) == pytest.approx(0.02 + 0.015 * 3, rel=1e-3)


def test_a_band_of_any_width_stays_positive_and_finite():
    """An absurd error of backtests, which a published preset may state, widens the loss in its logarithm."""
    known = sp.Library().load("besiroglu-2024")
    absurd = BacktestRms(factors=(1.0, 2.0), rms=(5.0, 900.0))
    plan = sp.optimal(preset=replace(known, uncertainty=replace(known.uncertainty, backtest=absurd)), flops="1e25")
    assert 0 < plan.interval.loss[0] < plan.loss < plan.interval.loss[1] < math.inf


def test_repeated_runs_reject_a_wrong_form():
    """The F test by hand, and by SciPy's tail; without repeats, or without noise, there is none."""
    generator = np.random.default_rng(1)
    points = isoflop(LAW, noise=0.0)
    twice = Points.of(np.tile(points.params, 2), np.tile(points.tokens, 2), np.tile(points.loss, 2))
    noise = np.exp(0.002 * generator.normal(size=len(twice)))
    bent = np.exp(0.004 * np.log(twice.flops / twice.flops.min()) ** 1.5 * np.cos(np.log(twice.params)))
    right, wrong = (
        fit_points(Points.of(twice.params, twice.tokens, twice.loss * noise * bend), samples=0)
        for bend in (1.0, bent)
    )
    assert not right.repeats.rejected
    assert wrong.repeats.rejected
    assert "lack_of_fit" in {flag.code for flag in wrong.flags}
    cells = cells_by_rounding(twice.params, twice.tokens)
    residuals = generator.normal(size=len(twice)) + (cells % 3)
    found = lack_of_fit(cells, residuals, 5)
    means = np.array([residuals[cells == k].mean() for k in cells])
    by_hand = ((means**2).sum() / (42 - 5)) / (((residuals - means) ** 2).sum() / 42)
    assert found.ratio == pytest.approx(by_hand)
    assert found.probability == pytest.approx(stats.f.sf(by_hand, 37, 42), rel=1e-9)
    assert fit_points(points, samples=0).repeats is None


def test_what_rises_gets_no_form_that_falls(tmp_path):
    """An accuracy of compute is refused, the form to use is named and works; noise around a fall is no rise."""
    x = np.geomspace(3e20, 1.6e23, 8)
    accuracy = 0.2 + 0.4 / (1 + (3e21 / x) ** 0.6)
    path = tmp_path / "scores.csv"
    path.write_text(
        "\n".join(["flops,accuracy", *(f"{c:.5g},{a:.5g}" for c, a in zip(x, accuracy, strict=True))]) + "\n"
    )
    for form in ("offset_power", "shifted_power", "chance_power", "bnsl"):
        with pytest.raises(ScaleplanError, match=r"accuracy rises.*only fall") as error:
            sp.fit(path, form=form, y="accuracy")
        assert "--form sigmoid --x flops --y accuracy" in error.value.hint
    with pytest.raises(ScaleplanError, match="can only fall"):
        sp.fit(path, map=["loss=accuracy", "params=1e9"])
    found = sp.fit(path, form="sigmoid", y="accuracy", samples=50, target=1.6e24)
    assert found.values[-1].value > accuracy.max()
    assert found.values[-1].interval[1] <= 1
    generator = np.random.default_rng(0)
    falls = [rises(x, 2 + x**-0.03 + 0.01 * generator.normal(size=8)) for _ in range(50)]
    assert not any(falls)
    assert not rises(np.full(9, 1e20), np.arange(1.0, 10.0))


def test_published_accuracies_rise_on():
    """Ten times beyond the last, the sigmoid stays above what was measured."""
    path = Path(__file__).parents[2].parent / "shared" / "cases" / "k19-rising-accuracy.csv"
    if not path.is_file():
        pytest.skip("the folder with small cases is not here")
    found = sp.fit(path, form="sigmoid", y="accuracy", samples=50)
    assert found.values[-1].value > 0.4818


def test_a_curve_says_how_far_it_reaches_and_widens_with_it(tmp_path):
    """The factor stands among the remarks, and the interval grows with the distance."""
    x = np.geomspace(1e18, 3e20, 8)
    path = tmp_path / "runs.csv"
    loss = (1.6 + 72 * x**-0.09) * np.exp(0.002 * np.cos(5 * np.arange(8)))
    path.write_text("\n".join(["flops,loss", *(f"{c:.5g},{v:.6g}" for c, v in zip(x, loss, strict=True))]) + "\n")
    widths = []
    for target, reach in ((3e21, "10x"), (3e24, "10,000x")):
        found = sp.fit(path, form="offset_power", samples=50, target=target)
        assert f"predicted at {reach} the largest row" in " ".join(found.remarks)
        low, high = found.values[-1].interval
        widths.append(high / low - 1)
    assert 0.004 < widths[0] < widths[1]


def test_the_work_of_many_runs_grows_with_their_number(monkeypatch):
    """Sixteen times the runs take no more than sixteen times the evaluations, and few of them for each run."""
    evaluated = []
    terms = Surface.terms

    def counted(self, full):
        evaluated.append(len(full) * len(self.x))
        return terms(self, full)

    monkeypatch.setattr(Surface, "terms", counted)
    work = []
    for count in (2_000, 32_000):
        generator = np.random.default_rng(0)
        params, tokens = 10 ** generator.uniform([[7.5], [9.0]], [[10.0], [11.5]], (2, count))
        points = measured(LAW, params, tokens, noise=0.003, generator=generator)
        evaluated.clear()
        found = fit_points(points, samples=500)
        work.append(sum(evaluated))
        assert found.law.alpha == pytest.approx(LAW.alpha, abs=0.01)
    assert work[1] < 16 * work[0]
    assert work[1] < 300 * 32_000  # and not 500 resamples of every run


def test_steps_of_many_runs_spread_as_their_refits_do():
    """The spread of exponents by one Newton step is that of full refits, to the error of 150 resamples."""
    generator = np.random.default_rng(0)
    params, tokens = 10 ** generator.uniform([[7.5], [9.0]], [[10.0], [11.5]], (2, 4_000))
    points = measured(LAW, params, tokens, noise=0.01, generator=generator)
    stepped = fit_points(points, samples=150).resamples.draws
    few = fit_points(points.select(np.arange(0, 4_000, 4)), samples=150).resamples.draws
    assert stepped[:, 3:].std(axis=0) == pytest.approx(few[:, 3:].std(axis=0) / 2, rel=0.25)


def power(x, y):
    """Return a power law through the ends of two columns."""
    n = math.log(y[-1] / y[0]) / math.log(x[-1] / x[0])
    return Power(a=float(y[0] * x[0] ** -n), n=n, x="flops", y="loss")


def test_a_curve_of_few_rows_takes_the_error_beyond_them_from_public_sweeps():
    """No cut leaves two rows more than coefficients below it: errors inside the data say nothing of larger rows."""
    x = np.geomspace(1e18, 1e20, 4)
    y = 100 * x**-0.08 * np.exp(0.002 * np.array([0.0, 1.0, -1.0, 0.0]))
    found = backtest_curve(lambda below: power(x[below], y[below]), power(x, y), x, y, coefficients=2)
    assert found.factors == (1.0, 5.0, 23.0, 100.0)
    assert found.rms[0] < 0.005
    assert found.rms[-1] == found.expected(100.0) == pytest.approx(0.07)


def test_errors_of_a_curve_never_fall_with_the_factor():
    """A curve that misses more near by than at the largest rows promises no less there; below 1 it is the scatter."""
    x = np.geomspace(1e18, 1e22, 13)
    y = 100 * x**-0.08 * np.exp(np.where((x > 5e19) & (x < 2e21), 0.02, 0.0))
    found = backtest_curve(lambda below: power(x[below], y[below]), power(x, y), x, y, coefficients=2)
    assert found.factors[0] == 1.0
    assert list(found.factors) == sorted(found.factors)
    assert list(found.rms) == sorted(found.rms)
    assert found.expected(0.5) == found.rms[0]
    assert found.expected(1e6) >= found.rms[-1] > 0.005


def public_sweep(name):
    """Return a public sweep as points, skipping where the folder of public data is absent."""
    path = Path(__file__).parents[3] / "shared" / "data" / name
    if not path.exists():
        pytest.skip("public sweeps are not here")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    size = "params_total" if "params_total" in rows[0] else "params"
    rows = [row for row in rows if row.get("split", "pilot") == "pilot"]
    columns = [np.array([float(row[key]) for row in rows]) for key in (size, "tokens", "loss")]
    return Points.of(*columns)


@pytest.mark.parametrize(
    ("name", "share", "least", "widest"),
    [
        ("chinchilla_epoch.csv", 15, 0.8, 0.06),
        ("chinchilla_isoflop.csv", 15, 0.85, 0.06),
        ("bytes_ladder.csv", 4, 0.85, 0.15),
    ],
)
def test_intervals_of_public_sweeps_hold_their_larger_runs(tmp_path, name, share, least, widest):
    """Fitted below a cut, the 90 % interval of one run covers those above, and is no wider than it must be."""
    points = public_sweep(name)
    below = points.flops <= np.max(points.flops) / share
    preset = str(fit(file_of(tmp_path / "runs.csv", points.select(below)), samples=100).write(tmp_path / "law.toml"))
    ends = np.array(
        [
            sp.loss(preset=preset, params=n, tokens=d).interval.loss
            for n, d in zip(points.params[~below].tolist(), points.tokens[~below].tolist(), strict=True)
        ]
    )
    held = (ends[:, 0] <= points.loss[~below]) & (points.loss[~below] <= ends[:, 1])
    assert np.mean(held) >= least
    assert np.mean((ends[:, 1] - ends[:, 0]) / points.loss[~below]) < widest


def test_three_diverged_runs_of_25_are_outliers(tmp_path):
    """They are named, and the band is that of the others: 3 of 25 had made it 1.67 to 4.64 about 2.57."""
    axes = np.meshgrid(np.geomspace(2e7, 3.2e8, 5), np.geomspace(5e8, 8e9, 5), indexing="ij")
    params, tokens = (axis.ravel() for axis in axes)
    points = measured(LAW, params, tokens, noise=0.002, generator=np.random.default_rng(3))
    points.loss[[15, 20, 24]] = 9.1, 6.9, 7.2
    found = fit(file_of(tmp_path / "runs.csv", points), samples=60)
    assert any("rows 17, 22, 26 stand far" in notice.message for notice in found.warnings)
    low, high = found.plan().interval.loss
    assert low > 0.95 * found.plan().loss
    assert high < 1.05 * found.plan().loss


def test_an_interval_holds_its_estimate(tmp_path):
    """Resamples of two corpora in one file gather beside the fit, which the interval may not leave out."""
    generator = np.random.default_rng(11)
    axes = np.meshgrid(np.geomspace(2e7, 1.6e8, 4), np.geomspace(5e8, 4e9, 4), indexing="ij")
    params, tokens = (np.repeat(axis.ravel(), 2) for axis in axes)
    loss = LAW.loss(params, tokens) * np.exp(0.002 * generator.normal(size=32)) * np.tile([1.0, 1.1], 16)
    found = fit(file_of(tmp_path / "runs.csv", Points.of(params, tokens, loss)), samples=60)
    for value in found.values:
        assert value.interval[0] <= value.value <= value.interval[1]
    plan = found.plan()
    assert plan.interval.params[0] <= plan.params <= plan.interval.params[1]
    assert plan.interval.loss[0] <= plan.loss <= plan.interval.loss[1]


def test_what_no_resample_moves_has_no_interval(tmp_path):
    """A floor that is held, and the share of tied exponents, are no estimates: an interval of no width says so."""
    path = file_of(tmp_path / "runs.csv", isoflop(LAW, noise=0.003, budgets=(1e18, 1e19, 3)))
    for options, held in (({"floor": 1.7}, {"E"}), ({"tied": True}, {"a"})):
        values = {value.name: value.interval for value in fit(path, samples=40, **options).values}
        assert {name for name, ends in values.items() if ends is None} == held
    curve = tmp_path / "curve.csv"
    curve.write_text("flops,loss\n" + "".join(f"1e{k},{1.7 + 3.0 ** (18 - k):.4f}\n" for k in range(18, 26)))
    values = {value.name: value for value in fit(curve, form="offset_power", floor=1.7, samples=40).values}
    assert values["e"].interval is None
    assert values["c"].interval is not None
