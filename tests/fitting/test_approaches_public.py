"""Parabolas, their bias, the envelope, and the three approaches side by side."""

import math

import numpy as np
import pytest

from scaleplan.errors import UsageError
from scaleplan.fitting.approaches import compare_methods, fit_envelope, fit_isoflop
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import fit_additive
from scaleplan.laws.additive import Additive


def vertex_bias(*, alpha, beta, spread, count):
    """Return ln(N̂/N*) of a parabola through ``count`` sizes from N*/spread to N* spread, to third order."""
    return (alpha - beta) * math.log(spread) ** 2 * (3 * count**2 - 7) / (30 * (count - 1) ** 2)


@pytest.mark.parametrize(
    ("exponents", "spread", "percent"),
    [
        # error of D in per cent without noise, 15 sizes (arXiv:2603.22339; the formula is third order)
        ((0.34, 0.28), 2, (-0.33, -0.33)),
        ((0.34, 0.28), 4, (-1.30, -1.30)),
        ((0.34, 0.28), 8, (-2.90, -2.90)),
        ((0.34, 0.28), 16, (-5.10, -5.10)),
        ((0.465, 0.155), 2, (-1.67, -1.68)),
        ((0.465, 0.155), 4, (-6.50, -6.54)),
        ((0.465, 0.155), 8, (-13.9, -14.1)),
        ((0.465, 0.155), 16, (-23.1, -23.7)),
    ],
)
def test_the_bias_of_a_parabola_is_that_of_the_paper(isoflop, exponents, spread, percent):
    """Plain parabolas through noise-free losses miss by the published amounts; the correction removes them."""
    (alpha, beta), (exact, formula) = exponents, percent
    law = Additive(E=1.69, A=406.4, B=410.7, alpha=alpha, beta=beta)
    points = isoflop(law, factor=spread, sizes=15, budgets=(1e18, 1e20, 2))
    best = law.best_split(1e19 / 6)[0]
    plain = fit_isoflop(points, window=None, weighted=False, samples=0)
    assert 100 * (best / plain.at(1e19) - 1) == pytest.approx(exact, abs=0.06)
    bias = vertex_bias(alpha=alpha, beta=beta, spread=spread, count=15)
    assert 100 * (math.exp(-bias) - 1) == pytest.approx(formula, abs=0.06)
    corrected = fit_isoflop(points, law=law, window=None, samples=0)
    assert corrected.at(1e19) == pytest.approx(best, rel=1e-9)
    assert corrected.exponent == pytest.approx(law.params_exponent, rel=1e-9)


def test_the_tokens_of_llama_3(public):
    """Parabolas in ln D through all points give D = 0.299 C^0.537; the third digit is 2 % of 16.55T."""
    line = fit_isoflop(public("llama3_isoflop.csv"), quantity="tokens", window=None, weighted=False, samples=0)
    assert line.exponent == pytest.approx(0.5368, abs=1e-4)
    assert line.scale == pytest.approx(0.2994, abs=5e-4)
    assert line.at(3.8e25) == pytest.approx(16.55e12, rel=0.03)


PORIAN = [
    # published N exponents (arXiv:2406.19146); plain parabolas stay within 0.03 of them
    ("rw/base/long/kaplan/kaplan/train", 0.8338),
    ("rw/base/long/kaplan/standard/val", 0.7009),
    ("rw/base/short/kaplan/standard/val", 0.6035),
    ("rw/base/short/chinchilla/standard/val", 0.5714),
    ("rw/tuned/short/const/standard/val", 0.497),
    ("owt2/base/long/kaplan/kaplan/train", 0.87),
    ("owt2/base/long/kaplan/standard/val", 0.7),
    ("owt2/base/short/kaplan/standard/val", 0.6016),
    ("owt2/base/short/chinchilla/standard/val", 0.5689),
    ("owt2/tuned/short/const/standard/val", 0.5184),
    ("rw/base/long/kaplan/attention/train", 0.7159),
    ("rw/base/short/kaplan/attention/train", 0.624),
    ("rw/base/short/chinchilla/attention/train", 0.5778),
    ("rw/tuned/short/const/attention/train", 0.5041),
    ("rw/tuned/long/const/kaplan/train", 0.7081),
]


def test_the_exponents_of_porian(public):
    """Within 0.03 of the published exponents on every setting, and the interval has a width."""
    lines = {
        group: fit_isoflop(public("porian_isoflop.csv", where={"group": group}), weighted=False, samples=200)
        for group, _ in PORIAN
    }
    assert {group: line.exponent for group, line in lines.items()} == pytest.approx(dict(PORIAN), abs=0.03)
    for line in lines.values():
        low, high = line.interval
        assert low < high < low + 0.2


@pytest.mark.parametrize(("quantity", "exponent"), [("params", 0.518), ("tokens", 0.478)])
def test_the_exponents_of_the_chinchilla_sweep(public, quantity, exponent):
    """An independent fit of parabolas has 0.518 and 0.478 (95 % intervals 0.06 wide)."""
    line = fit_isoflop(public("chinchilla_isoflop.csv"), quantity=quantity, weighted=False, samples=0)
    assert line.exponent == pytest.approx(exponent, abs=0.01)


def test_budgets_without_a_minimum_are_refused_by_name(isoflop):
    """A vertex outside the sizes and a parabola that opens downwards are no optimum."""
    points = isoflop(budgets=(1e18, 1e21, 4))
    loss = points.loss.copy()
    loss[:7] = np.linspace(3.0, 2.9, 7) ** 2  # falls along all sizes
    loss[7:14] = 3.0 - 0.01 * (np.arange(7) - 3.0) ** 2
    line = fit_isoflop(Points.of(points.params, points.tokens, loss), window=None, samples=0)
    reasons = [budget.refused for budget in line.budgets]
    assert "outside the sizes" in reasons[0]
    assert "opens downwards" in reasons[1]
    assert reasons[2:] == [None, None]
    loss[14:21] = loss[:7]
    with pytest.raises(UsageError, match="fewer than two budgets have a usable vertex"):
        fit_isoflop(Points.of(points.params, points.tokens, loss), window=None, samples=0)


def test_runs_that_are_no_sweep_are_refused(sweep, isoflop):
    """A grid of sizes and tokens has no budgets; a window is a factor above one."""
    with pytest.raises(UsageError, match="not an IsoFLOP sweep"):
        fit_isoflop(sweep(sizes=(5e7, 3e9, 5), tokens=(1e9, 5.1e10, 5)))
    with pytest.raises(UsageError, match="a window of 1 is not a factor above 1"):
        fit_isoflop(isoflop(), window=1.0)


def test_the_envelope_takes_the_best_of_each_bin(isoflop):
    """Without noise the best of dense sizes lie at the optimum; with noise the lucky ones are taken."""
    law = Additive(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    points = isoflop(law, sizes=41, budgets=(1e18, 1e21, 12))
    line = fit_envelope(points, bins_per_decade=4)
    assert len(line.rows) == 12
    assert line.exponent == pytest.approx(law.params_exponent, abs=0.01)
    assert line.at(1e20) == pytest.approx(law.best_split(1e20 / 6)[0], rel=0.1)
    with pytest.raises(UsageError, match="too few for an envelope"):
        fit_envelope(points.select(points.flops < 2e18))
    with pytest.raises(UsageError, match="a positive number is needed"):
        fit_envelope(points, bins_per_decade=0)


def test_the_three_approaches_stand_side_by_side(public, chinchilla_240):
    """Each has an exponent or says why not, and each says what sets it apart."""
    found = {item.name: item for item in compare_methods(public("chinchilla_isoflop.csv"), flops=5.76e23)}
    assert list(found) == ["surface", "parabolas", "plain parabolas", "envelope"]
    assert found["surface"].exponent == pytest.approx(0.3928 / (0.3777 + 0.3928), abs=1e-3)
    assert all(item.exponent and item.remark for item in found.values())
    assert "1 refused" in found["parabolas"].remark
    cloud = {item.name: item for item in compare_methods(chinchilla_240, flops=5.76e23)}
    assert cloud["parabolas"].exponent is None
    assert cloud["parabolas"].remark.startswith("not possible: the runs are not an IsoFLOP sweep")
    assert cloud["surface"].params == pytest.approx(fit_additive(chinchilla_240).law.best_split(5.76e23 / 6)[0])
