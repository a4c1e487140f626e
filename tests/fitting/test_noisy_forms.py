"""Curves, products, allocations, repetition and groups with noise: against NumPy's regressions and a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fitting.synthetic import LADDERS, LAWS, isoflop, joined, repeats

from scaleplan.fitting.approaches import fit_allocation, fit_isoflop
from scaleplan.fitting.curve_fit import fit_curve, fit_product
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.other_surfaces import fit_grouped, fit_kaplan, fit_repetition
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import Coordinates, fit_surface
from scaleplan.laws.additive import Additive
from scaleplan.laws.curves import BNSL, Break, ChancePower, OffsetPower, Power, ShiftedPower
from scaleplan.laws.kaplan import KaplanSurface

SQUARES = Objective(robust="none")

CURVES = {
    "M1": Power(a=30.0, n=-0.25, x="x", y="y"),
    "M2": OffsetPower(a=30.0, c=0.3, e=0.7, x="x", y="y"),
    "M3": ShiftedPower(a=20.0, g=1e-7, c=0.35, e=0.4, x="x", y="y"),
    "M4": ChancePower(a=900.0, c=0.6, e=0.3, y0=2.3, k=0.8, x="x", y="y"),
    "bnsl": BNSL(a=0.4, b=3.0, c0=0.05, breaks=(Break(c=0.4, d=3e5, f=0.4),), x="x", y="y"),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", CURVES)
def test_noise_hardly_moves_what_a_curve_says_next(form, seed):
    """With errors of 0.5 % at 40 places the value at twice the largest is within 3 % of the truth."""
    law = CURVES[form]
    x = np.geomspace(1e3, 1e7, 40)
    y = law.value(x=x) * np.exp(0.005 * np.random.default_rng(seed).normal(size=40))
    found = fit_curve(form, x, y, objective=SQUARES)
    assert found.law.value(x=2e7) == pytest.approx(law.value(x=2e7), rel=0.03)
    truth = np.sqrt(np.mean(np.log(law.value(x=x) / y) ** 2))
    assert np.sqrt(np.mean(found.residuals**2)) <= truth * (1 + 1e-6)  # the truth itself is one of the candidates


@pytest.mark.parametrize("seed", range(3))
def test_a_power_law_is_the_line_of_numpy(seed):
    """Least squares on logarithms."""
    generator = np.random.default_rng(seed)
    x = np.exp(generator.uniform(0, 9, 50))
    y = 4.0 * x**-0.21 * np.exp(0.1 * generator.normal(size=50))
    slope, level = np.polyfit(np.log(x), np.log(y), 1)
    found = fit_curve("power", x, y, objective=SQUARES).law.coefficients()
    assert (found["n"], np.log(found["a"])) == pytest.approx((slope, level), rel=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_product_is_the_plane_of_numpy(seed):
    """Least squares on logarithms of two columns."""
    generator = np.random.default_rng(seed)
    params, tokens = 10 ** generator.uniform([[8], [9.5]], [[9.5], [11]], (2, 40))
    rate = 1.79 * params**-0.713 * tokens**0.307 * np.exp(0.1 * generator.normal(size=40))
    columns = np.stack([np.ones(40), np.log(params), np.log(tokens)], axis=1)
    level, size, data = np.linalg.lstsq(columns, np.log(rate), rcond=None)[0]
    law = fit_product({"params": params, "tokens": tokens}, rate, quantity="lr", objective=SQUARES).law
    found = law.coefficients()
    expected = (level, size, data)
    assert (np.log(found["a"]), found["exponents.params"], found["exponents.tokens"]) == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("name", LAWS)
def test_an_allocation_through_optima_has_the_exponents_of_the_law(name):
    """Exact optima of both quantities; a and b add up to one."""
    law, flops = LAWS[name], np.geomspace(1e18, 1e22, 9)
    params, tokens = law.best_split(flops / 6)
    found = fit_allocation(flops, params=params, tokens=tokens).law
    share = law.beta / (law.alpha + law.beta)
    assert (found.params_exponent, found.tokens_exponent) == pytest.approx((share, 1 - share), rel=1e-9)


@pytest.mark.parametrize("name", LAWS)
def test_an_allocation_through_the_vertices_of_a_sweep_is_its_line(name):
    """The optima of parabolas, fitted as measured optima, give the exponent that the parabolas gave."""
    points = isoflop(LAWS[name], noise=0.002, seed=3)
    line = fit_isoflop(points, weighted=False, samples=0)
    flops, optima = (np.array([getattr(budget, key) for budget in line.budgets]) for key in ("flops", "optimum"))
    assert fit_allocation(flops, params=optima).law.params_exponent == pytest.approx(line.exponent, rel=1e-9)


@pytest.mark.parametrize("tokens_decay, params_decay", [(12.0, 4.0), (15.4, 5.3), (5.0, 20.0)])
def test_the_worth_of_repeated_tokens_is_recovered(tokens_decay, params_decay):
    """Noise-free runs with 1 to 60 epochs give both decays back; noise of 0.2 % moves them by less than a half."""
    base = LAWS["even"]
    for noise, room in ((0.0, 1e-5), (0.002, 0.5)):
        points, unique = repeats(base, tokens_decay=tokens_decay, params_decay=params_decay, noise=noise, seed=1)
        found = fit_repetition(points, unique, base=base)
        assert found.coefficients["tokens_decay"] == pytest.approx(tokens_decay, rel=room)
        assert found.coefficients["params_decay"] == pytest.approx(params_decay, rel=room)


def test_intervals_of_repeated_data_hold_the_truth():
    """Both of them, at 95 %, from 100 resamples."""
    base = LAWS["even"]
    points, unique = repeats(base, tokens_decay=15.0, params_decay=5.0, noise=0.004, seed=2)
    found = fit_repetition(points, unique, base=base, samples=100)
    for name, truth in (("tokens_decay", 15.0), ("params_decay", 5.0)):
        low, high = found.interval(name, level=0.95)
        assert low < truth < high


@pytest.mark.parametrize("ladder", LADDERS)
def test_groups_share_exponents_and_keep_their_levels(ladder):
    """Three corpora with one pair of exponents: each has its own floor and scales, and sharing is supported."""
    laws = {
        name: Additive(E=floor, A=size, B=data, alpha=0.34, beta=0.31)
        for name, floor, size, data in (
            ("web", 1.7, 400.0, 900.0),
            ("code", 0.9, 250.0, 500.0),
            ("mail", 2.3, 600.0, 700.0),
        )
    }
    parts = [LADDERS[ladder](law, noise=0.001, seed=seed) for seed, law in enumerate(laws.values())]
    labels = [name for name, part in zip(laws, parts, strict=True) for _ in range(len(part))]
    found = fit_grouped(joined(*parts), labels)
    assert len({law.alpha for law in found.laws.values()}) == len({law.beta for law in found.laws.values()}) == 1
    for name, law in laws.items():
        assert pytest.approx(law.E, abs=0.05) == found.laws[name].E
        assert found.laws[name].alpha == pytest.approx(0.34, abs=0.02)
        assert found.laws[name].beta == pytest.approx(0.31, abs=0.02)
        assert found.laws[name].loss(1e10, 2e11) == pytest.approx(law.loss(1e10, 2e11), rel=0.01)
    assert found.aicc_excess < 10


@pytest.mark.parametrize("ladder", LADDERS)
def test_groups_of_different_exponents_are_not_supported(ladder):
    """Sharing exponents that differ by a half costs far more than the coefficients it saves."""
    parts = [LADDERS[ladder](LAWS[name], noise=0.001, seed=1) for name in ("steep", "floor-heavy")]
    labels = ["a"] * len(parts[0]) + ["b"] * len(parts[1])
    assert fit_grouped(joined(*parts), labels).aicc_excess > 20


@pytest.mark.parametrize(
    "law",
    [
        KaplanSurface(N_c=8.8e13, D_c=5.4e13, alpha_N=0.076, alpha_D=0.095),
        KaplanSurface(N_c=1e11, D_c=3e12, alpha_N=0.15, alpha_D=0.12),
    ],
)
def test_kaplan_surfaces_are_recovered_with_noise(law):
    """Errors of 0.1 % move the loss at ten times the largest run by less than a half per cent."""
    params, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e6, 1e9, 7), np.geomspace(1e8, 2e10, 7)))
    error = 0.001 * np.random.default_rng(0).normal(size=len(params))
    found = fit_kaplan(Points.of(params, tokens, law.loss(params, tokens) * np.exp(error))).law
    assert found.loss(3e9, 6e10) == pytest.approx(law.loss(3e9, 6e10), rel=0.005)
    assert found.alpha_N == pytest.approx(law.alpha_N, rel=0.05)
    assert found.alpha_D == pytest.approx(law.alpha_D, rel=0.05)


@pytest.mark.parametrize("floor", [0.0, 0.5, 1.7])
def test_a_kept_floor_leaves_the_rest_to_the_runs(floor):
    """Runs of a law with this floor give its other four coefficients back."""
    law = Additive(E=floor, A=300.0, B=800.0, alpha=0.33, beta=0.3)
    found = fit_surface(isoflop(law), Coordinates(floor=floor))
    assert found.law.coefficients() == pytest.approx(law.coefficients(), rel=1e-7)
