"""The fit of L = E + (A/N^alpha + B/D^beta)^gamma: its optimum, its derivatives, its diagnosis, and its preset."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fitting.errors import interval

import scaleplan as sp
from scaleplan.errors import UsageError
from scaleplan.fitting.backtest import backtest_points
from scaleplan.fitting.bootstrap import bootstrap
from scaleplan.fitting.diagnosed_fit import fit_points
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.runs import Points
from scaleplan.fitting.solvers import minimise
from scaleplan.fitting.surface_fit import GAMMA_BOUNDS, Coordinates, Surface, fit_additive, fit_surface, refit_surface
from scaleplan.laws.additive import Additive, ThreeExponent
from scaleplan.presets.library import Library, read_preset

OUTER = Coordinates(outer=True)
SQUARES = Objective(robust="none")
BUSBRIDGE = ThreeExponent(E=1.220, A=3355.0, alpha=0.408, B=18186.0, beta=0.431, gamma=0.452)


def runs(law=BUSBRIDGE, *, noise=0.0, seed=0, sizes=(5e7, 3e9, 8), tokens=(1e9, 6e10, 8)):
    params, data = (axis.ravel() for axis in np.meshgrid(np.geomspace(*sizes), np.geomspace(*tokens)))
    error = noise * np.random.default_rng(seed).normal(size=len(params))
    return Points.of(params, data, law.loss(params, data) * np.exp(error))


@pytest.fixture
def openeurollm(columns):
    """Return the 45 runs up to 1B parameters."""
    table = columns("oellm_best.csv")
    params, tokens, loss = (table[name].astype(float) for name in ("params", "tokens", "loss"))
    return Points.of(params, tokens, loss).select(params < 1.05e9)


@pytest.fixture
def farseer(columns):
    return Points.of(*(columns("pools/farseer_train.csv")[name].astype(float) for name in ("N", "D", "loss")))


def rms(fit):
    return float(np.sqrt(np.mean(fit.residuals**2)))


def test_the_refits_of_public_runs(openeurollm, farseer):
    """An independent fit from 60 starts, to the 6 digits and more that it prints; and the presets are these fits."""
    found, other = fit_surface(openeurollm, OUTER), fit_surface(farseer, OUTER)
    assert found.law.coefficients() == pytest.approx(
        {"E": 1.074313, "A": 27042.26, "alpha": 0.511193, "B": 6385.786, "beta": 0.372783, "gamma": 0.400621},
        rel=2e-6,
    )
    assert other.law.coefficients() == pytest.approx(
        {"E": 0.265469, "A": 105.440, "alpha": 0.391537, "B": 784.638, "beta": 0.425310, "gamma": 0.471677}, rel=3e-6
    )
    assert (rms(found), rms(other)) == (pytest.approx(0.0018, abs=5e-5), pytest.approx(0.0025, abs=5e-5))
    additive = fit_additive(openeurollm)
    assert additive.law.coefficients() == pytest.approx(
        {"E": 1.489058, "A": 143.7546, "alpha": 0.278429, "B": 202.2762, "beta": 0.270446}, rel=3e-6
    )
    assert rms(additive) == pytest.approx(0.0075, abs=5e-5)
    for name, fit in (("openeurollm-2026", found), ("farseer-2025-refit", other)):
        assert Library().load(name).law.coefficients() == pytest.approx(fit.law.coefficients(), rel=1e-7)


PUBLIC = (
    ("chinchilla_isoflop.csv", {}),
    ("gadre.csv", {"dataset": "c4_original"}),
    ("datablations.csv", {"epochs": "1"}),
    ("misfitting_final.csv", {}),
    ("llama3_isoflop.csv", {}),
)


@pytest.mark.parametrize("objective", [Objective(), SQUARES], ids=lambda objective: objective.robust)
def test_no_start_of_many_ends_lower(public, objective):
    """Twelve random starts a set, from gammas of 0.15 to 1.8 and floors up to the least loss."""
    generator = np.random.default_rng(0)
    for name, where in PUBLIC:
        points = public(name, where=where)
        fit = fit_surface(points, OUTER, objective=objective)
        level, least = math.log(float(np.mean(points.loss))) - 1, float(np.min(points.loss))
        draws = generator.uniform([-1, 0.05, -1, 0.05, 0, 0.15], [1, 0.8, 1, 0.8, 0.98, 1.8], size=(12, 6))
        starts = draws * [1, 1, 1, 1, least, 1] + [level, 0, level, 0, 0, 0]
        surface = Surface.of(points, objective, OUTER)
        (lower, upper), deltas = OUTER.bounds(points.loss), objective.continuation(surface.residuals(starts[:1]))
        ends, _ = minimise(surface, starts, lower=lower, upper=upper, deltas=deltas, zero=0.0)
        found = surface.score(ends)
        assert fit.score <= found.min() * (1 + 1e-6), (name, where)
        assert fit.score <= fit_additive(points, objective=objective).score, name


laws = st.builds(
    lambda floor, size, data, alpha, beta, gamma: ThreeExponent(
        E=floor,
        A=math.exp((size + alpha * 20) / gamma),
        B=math.exp((data + beta * 23) / gamma),
        alpha=alpha / gamma,
        beta=beta / gamma,
        gamma=gamma,
    ),
    st.floats(0.5, 2.0),
    st.floats(-1.0, 0.5),
    st.floats(-1.0, 0.5),
    st.floats(0.1, 0.5),
    st.floats(0.1, 0.5),
    st.floats(0.3, 1.6),
)


@settings(max_examples=25, deadline=None)
@given(laws, st.sampled_from(["log", "linear"]))
def test_runs_without_noise_give_their_law_back(law, residual):
    """The predictions everywhere, and the coefficients as closely as so flat a valley lets them be."""
    points = runs(law, sizes=(2e7, 2e10, 9), tokens=(1e8, 1e12, 9))
    found = fit_surface(points, OUTER, objective=Objective(residual=residual))
    assert np.abs(found.residuals).max() < 1e-5
    assert found.law.gamma == pytest.approx(law.gamma, rel=1e-2)
    assert pytest.approx(law.E, rel=1e-2) == found.law.E


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.15, 1.9),
    st.sampled_from([OUTER, Coordinates(outer=True, tied=True), Coordinates(outer=True, floor=1.1)]),
    st.sampled_from(["log", "linear"]),
)
def test_derivatives_are_those_of_the_objective(gamma, form, residual):
    """Gradient and Hessian by central differences of the value and of the gradient."""
    surface = Surface.of(runs(noise=0.01), Objective(residual=residual, robust="none"), form)
    full = np.array([[0.1, 0.2, -0.2, 0.2 if form.tied else 0.17, 1.1, gamma]])
    theta, index = form.free(full), np.array([0])

    def at(place):
        return surface.derivatives(place, index, delta=math.inf, majorise=False)

    _, gradient, hessian = at(theta)
    for k, step in enumerate(1e-6 * np.eye(form.count)):
        above, below = at(theta + step), at(theta - step)
        assert (above[0] - below[0])[0] / 2e-6 == pytest.approx(gradient[0, k], abs=1e-6 * np.abs(gradient).max())
        slope = (above[1] - below[1])[0] / 2e-6
        np.testing.assert_allclose(slope, hessian[0, k], atol=1e-6 * np.abs(hessian).max())


def test_the_simpler_forms_are_nested(chinchilla_240):
    """Each coefficient that is held costs; with gamma = 1 the objective is that of the additive law."""
    free = fit_surface(chinchilla_240, OUTER)
    for form in (Coordinates(), Coordinates(tied=True, outer=True), Coordinates(floor=1.5, outer=True)):
        assert free.score < fit_surface(chinchilla_240, form).score
    tied = fit_surface(chinchilla_240, Coordinates(tied=True, outer=True)).law
    assert tied.alpha == pytest.approx(tied.beta, rel=1e-12)
    assert fit_surface(chinchilla_240, Coordinates(floor=1.5, outer=True)).law.E == 1.5
    surface = Surface.of(chinchilla_240, Objective(), OUTER)
    additive = fit_additive(chinchilla_240)
    same = surface.score(OUTER.widened(additive.theta[None]))[0]
    assert same == pytest.approx(additive.score, rel=1e-12)


def test_units_do_not_change_the_fit():
    """Other units of size and loss give the same law in them."""
    points = runs(noise=0.003)
    law = fit_surface(points, OUTER).law
    other = fit_surface(Points.of(points.params / 1e6, points.tokens, points.loss / math.log(2)), OUTER).law
    assert pytest.approx(law.E / math.log(2), rel=1e-4) == other.E
    assert (other.alpha, other.gamma) == (pytest.approx(law.alpha, rel=1e-4), pytest.approx(law.gamma, rel=1e-4))


def test_weights_count_as_repeats():
    """A run of weight 2 is two runs, in the fit and in the copies of the bootstrap."""
    points = runs(noise=0.005)
    weight = np.where(np.arange(len(points)) % 3 == 0, 2.0, 1.0)
    expanded = fit_surface(points.select(np.repeat(np.arange(len(points)), weight.astype(int))), OUTER)
    weighted = fit_surface(Points.of(points.params, points.tokens, points.loss, weight=weight), OUTER)
    assert weighted.law.coefficients() == pytest.approx(expanded.law.coefficients(), rel=1e-4)
    copies = refit_surface(points, weight[None], base=fit_surface(points, OUTER))
    assert copies.draws[0, 5] == pytest.approx(expanded.law.gamma, rel=1e-4)
    assert copies.draws[0, 0] == pytest.approx(math.log(expanded.law.A), rel=1e-4)


def test_absolute_deviations_pass_through_as_many_runs_as_coefficients():
    """Six runs lie on the optimum exactly."""
    fit = fit_surface(runs(noise=0.005), OUTER, objective=Objective(robust="l1"))
    assert np.count_nonzero(np.abs(fit.residuals) < 1e-10) == 6


def test_intervals_of_resamples_hold_the_truth():
    """Of 12 sets of 64 runs with 0.5 % noise, 90 % intervals of gamma and of ln N* hold it in 8 or more."""
    held = np.zeros(2)
    for seed in range(12):
        points = runs(noise=0.005, seed=seed)
        drawn = bootstrap(points, fit_surface(points, OUTER), samples=200, seed=seed)
        truths = (BUSBRIDGE.gamma, math.log(BUSBRIDGE.best_split(1e22 / 6)[0]))
        for k, quantity in enumerate((lambda law: law.gamma, lambda law: np.log(law.best_split(1e22 / 6)[0]))):
            low, high = interval(drawn, quantity)
            held[k] += low <= truths[k] <= high
    assert held.min() >= 8  # below with a chance of 0.4 % at 90 %


def test_resamples_have_the_coefficients_of_their_law():
    """Draws, laws and losses agree; coordinates are named, and the covariance is of these."""
    points = runs(noise=0.005)
    drawn = bootstrap(points, fit_surface(points, OUTER), samples=40)
    assert drawn.names == ("ln A", "ln B", "E", "alpha", "beta", "gamma")
    assert drawn.covariance().shape == (6, 6)
    single = ThreeExponent(**{name: float(value[3]) for name, value in drawn.laws().coefficients().items()})
    assert drawn.log_losses(np.array([1e9]), np.array([1e11]))[3, 0] == pytest.approx(
        math.log(single.loss(1e9, 1e11))
    )
    moved = drawn.moved_to(BUSBRIDGE)
    low, high = interval(moved, lambda law: law.gamma)
    assert low < BUSBRIDGE.gamma < high


def test_many_runs_are_resampled_by_steps():
    """More than a thousand runs, one Newton step each: half the spread of a fourth as many."""
    few, many = (runs(noise=0.005, sizes=(5e7, 3e9, side), tokens=(1e9, 6e10, side)) for side in (18, 36))
    spreads = [np.std(bootstrap(p, fit_surface(p, OUTER), samples=200).draws[:, 5]) for p in (few, many)]
    assert spreads[0] / spreads[1] == pytest.approx(2.0, rel=0.4)


def test_what_the_runs_do_not_determine_is_said():
    """Gamma near one ratio of tokens to parameters, and E with more noise; nothing of the kind on a wide grid."""

    def ridge(ratios, noise, seed):
        params = np.repeat(np.geomspace(1e8, 2e9, 6), len(ratios))
        tokens = params * np.tile(ratios, 6)
        error = noise * np.random.default_rng(seed).normal(size=len(params))
        found = diagnosed(Points.of(params, tokens, BUSBRIDGE.loss(params, tokens) * np.exp(error)))
        return next(flag.message for flag in found.flags if flag.code == "ridge")

    assert ridge([12.0, 20.0, 30.0], 0.002, 0).startswith("gamma is not determined (")
    assert ridge([5.0, 20.0, 80.0], 0.008, 2).startswith("E and gamma are not determined (")
    wide = diagnosed(runs(noise=0.001, sizes=(5e7, 5e9, 9), tokens=(1e9, 1e12, 9)))
    assert (wide.identified, wide.flags) == (True, ())


def diagnosed(points):
    return fit_points(points, coordinates=OUTER, samples=0)


def test_gamma_on_a_bound_is_said_and_leaves_the_split_alone():
    """The larger term alone decides: gamma ends at its least, and N* is where the terms are equal."""
    params, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(5e7, 3e9, 9), np.geomspace(1e9, 6e10, 9)))
    loss = 1.5 + np.maximum(400 * params**-0.34, 1000 * tokens**-0.34)
    found = diagnosed(Points.of(params, tokens, loss))
    assert found.law.gamma == pytest.approx(GAMMA_BOUNDS[0])
    assert found.solution.bounds == ("gamma",)
    assert found.identified
    assert [flag.code for flag in found.flags] == ["ridge"]
    assert "bound" in found.flags[0].message


def test_two_sizes_do_not_identify_it():
    """With tied exponents the additive law needs two; gamma takes a third."""
    points = runs(sizes=(1e8, 1e9, 2), noise=0.002)
    assert not diagnosed(points).identified
    tied = fit_points(points, coordinates=Coordinates(outer=True, tied=True), samples=0)
    assert "few_levels" in {flag.code for flag in tied.flags}


def test_the_simpler_forms_of_a_fit_and_what_is_held_out():
    """Gamma = 1 is among them; held-out errors stand only where AICc does not speak against the form."""
    found = diagnosed(runs(noise=0.002))
    names = [item.name for item in found.alternatives]
    assert names == ["gamma = 1", "alpha = beta", "E = 0", "gamma = 1, alpha = beta", "alpha = beta, E = 0"]
    assert all(item.score >= found.solution.score * (1 - 1e-9) for item in found.alternatives)
    assert isinstance(found.alternatives[0].law, Additive)
    for item in found.alternatives:
        assert (item.held_out_excess is None) == (item.aicc_excess >= 2)
    even = Additive(E=1.7, A=460.0, B=1500.0, alpha=0.34, beta=0.35)
    plain = diagnosed(runs(even, noise=0.004)).alternatives[0]
    assert plain.name == "gamma = 1"
    assert plain.aicc_excess < 2
    assert abs(plain.held_out_excess) < 0.01


def test_the_backtest_refits_the_same_form():
    """Every cut has a gamma; the held-out runs of a law without noise are hit."""
    points = runs()
    tested = backtest_points(points, fit_surface(points, OUTER))
    assert all(isinstance(cut.law, ThreeExponent) for cut in tested.cuts)
    assert tested.bins[-1].scores.law_rms < 1e-3
    additive = backtest_points(points, fit_additive(points))
    assert additive.bins[-1].scores.law_rms > 10 * tested.bins[-1].scores.law_rms


@pytest.fixture
def file(tmp_path):
    points = runs(noise=0.003)
    rows = zip(points.params.tolist(), points.tokens.tolist(), points.loss.tolist(), strict=True)
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n" + "".join(f"{n},{d},{loss}\n" for n, d, loss in rows))
    return path


def test_from_runs_to_a_plan(file, tmp_path):
    """The preset has the form, its coefficients in full and their uncertainty; the plan is that of the fit."""
    fitted = sp.fit(file, form="three_exponent", samples=200)
    path = fitted.write(tmp_path / "law.toml")
    preset = read_preset(path)
    assert (preset.form, preset.published) == ("three_exponent", fitted.law)
    assert set(preset.uncertainty.parameters) >= {"ln A", "ln B", "alpha", "beta", "gamma"}
    plan, again = fitted.plan(), sp.optimal(preset=str(path), flops=fitted.target_flops)
    assert (again.params, again.loss) == (plan.params, plan.loss)
    assert again.interval.params == plan.interval.params
    truth = BUSBRIDGE.best_split(fitted.target_flops / 6)[0]
    assert plan.interval.params[0] < truth < plan.interval.params[1]
    assert [value.name for value in fitted.values] == ["E", "alpha", "beta", "gamma", "a", "A", "B"]
    assert dict(fitted.checklist())["form"].endswith("6 free parameters")
    assert fitted.variations()[1].name == "gamma = 1"


def test_without_resamples_there_is_no_uncertainty(file):
    """And no error beside a coefficient."""
    fitted = sp.fit(file, form="three_exponent", samples=0)
    assert fitted.preset.uncertainty is None
    assert all(value.error is None for value in fitted.values)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"method": "isoflop"}, "--method is for the additive form"),
        ({"method": "all"}, "--method is for the additive form"),
        ({"group": "params"}, "groups share the exponents of the additive surface"),
        ({"x": "flops"}, "--x is for curves"),
        ({"floor": 99}, "a floor of 99 is not between"),
    ],
)
def test_what_it_does_not_take_is_refused(file, keywords, message):
    """Each with what it is for."""
    with pytest.raises(UsageError, match=message):
        sp.fit(file, form="three_exponent", samples=0, **keywords)


@pytest.mark.parametrize(
    "function", [sp.backtest, lambda runs, **rest: sp.design(runs, flops=1e20, target=1e24, **rest)]
)
def test_backtest_and_design_take_surfaces_alone(file, function):
    """Any other form is none for them, and they say which are."""
    with pytest.raises(UsageError, match="form 'kaplan' is none for this"):
        function(file, form="kaplan")


def test_backtest_and_design_of_the_form(file, tmp_path):
    """A backtest's laws have gamma; a design from runs or from the preset is made with it."""
    tested = sp.backtest(file, form="three_exponent", samples=0)
    assert isinstance(tested.law, ThreeExponent)
    assert json.loads(json.dumps(tested.to_dict()))["cuts"][0]["coefficients"]["gamma"] > 0
    made = sp.design(file, form="three_exponent", flops=1e20, target=1e24)
    assert made.after.log_params < made.before.log_params
    sp.fit(file, form="three_exponent", samples=0).write(tmp_path / "law.toml")
    guess = sp.design(preset=str(tmp_path / "law.toml"), flops=1e20, target=1e24)
    assert guess.spent <= 1e20
    with pytest.raises(UsageError, match="--form needs a file of runs"):
        sp.design(form="three_exponent", flops=1e20, target=1e24)
