"""Parabolas, the envelope and the surface on sweeps of a known law, and each against NumPy's own regression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.fitting.synthetic import LADDERS, LAWS, cloud, isoflop

from scaleplan.fitting.approaches import compare_methods, fit_envelope, fit_isoflop
from scaleplan.fitting.surface_fit import fit_additive

BUDGETS = np.geomspace(6e18, 1e21, 6)


def vertices(points, quantity):
    """Return the budgets and the minimum of NumPy's parabola through all runs of each."""
    found = []
    for flops in BUDGETS:
        inside = np.isclose(points.flops, flops, rtol=1e-6)
        values = np.log(getattr(points, quantity)[inside])
        p, q, _ = np.polyfit(values - values.mean(), points.loss[inside], 2)
        found.append(values.mean() - q / (2 * p))
    return np.log(BUDGETS), np.array(found)


@pytest.mark.parametrize("quantity", ["params", "tokens"])
@pytest.mark.parametrize("name", LAWS)
def test_corrected_parabolas_give_the_exponent_of_the_law(name, quantity):
    """Without noise N* = G (C/6)^a to rounding; a = beta/(alpha + beta), and 1 - a for the tokens."""
    law = LAWS[name]
    share = law.beta / (law.alpha + law.beta)
    line = fit_isoflop(isoflop(law), quantity=quantity, law=law, window=None, samples=0)
    assert line.exponent == pytest.approx(share if quantity == "params" else 1 - share, rel=1e-8)
    assert line.at(1e23) == pytest.approx(law.best_split(1e23 / 6)[0 if quantity == "params" else 1], rel=1e-6)


@pytest.mark.parametrize("quantity", ["params", "tokens"])
@pytest.mark.parametrize("seed", range(3))
def test_plain_parabolas_are_those_of_numpy(seed, quantity):
    """A parabola through all runs of each budget and an unweighted line through the vertices, with its error."""
    points = isoflop(LAWS["even"], noise=0.003, seed=seed)
    line = fit_isoflop(points, quantity=quantity, window=None, weighted=False, samples=0)
    compute, found = vertices(points, quantity)
    (slope, level), covariance = np.polyfit(compute, found, 1, cov=True)
    assert np.log([budget.optimum for budget in line.budgets]) == pytest.approx(found, rel=1e-9)
    assert line.exponent == pytest.approx(slope, rel=1e-9)
    assert np.log(line.scale) == pytest.approx(level, rel=1e-7)
    assert line.error == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-6)


@pytest.mark.parametrize("name", LAWS)
def test_noise_moves_an_exponent_by_its_error(name):
    """Over 12 sweeps the corrected exponent is within three standard errors of the truth, and its interval covers."""
    law = LAWS[name]
    truth, held = law.beta / (law.alpha + law.beta), 0
    for seed in range(12):
        points = isoflop(law, noise=0.002, seed=seed)
        line = fit_isoflop(points, law=fit_additive(points).law, samples=100, seed=seed)
        low, high = line.interval
        held += low <= truth <= high
        assert abs(line.exponent - truth) < 0.05
    assert held >= 8  # intervals of seven runs a budget are a little narrow


@pytest.mark.parametrize("factor", [4.0, 8.0, 16.0])
def test_a_window_keeps_the_runs_near_the_best(factor):
    """Runs within five times the best size are used: a parabola is local."""
    points = isoflop(LAWS["even"], sizes=15, factor=factor)
    line = fit_isoflop(points, samples=0)
    for flops, budget in zip(BUDGETS, line.budgets, strict=True):
        inside = np.isclose(points.flops, flops, rtol=1e-6)
        sizes, loss = points.params[inside], points.loss[inside]
        near = np.abs(np.log(sizes / sizes[loss.argmin()])) <= np.log(5)
        p, q, _ = np.polyfit(np.log(sizes[near]), loss[near], 2)
        assert np.log(budget.optimum) == pytest.approx(-q / (2 * p), rel=1e-9)


@pytest.mark.parametrize("name", LAWS)
def test_the_envelope_is_the_line_through_the_best_of_each_bin(name):
    """By NumPy: the run of least loss in each eighth of a decade."""
    points = cloud(LAWS[name], noise=0.002)
    line = fit_envelope(points)
    place = np.floor(8 * (np.log10(points.flops) - np.log10(points.flops.min())))
    best = [np.flatnonzero(place == k)[points.loss[place == k].argmin()] for k in np.unique(place)]
    slope, level = np.polyfit(np.log(points.flops[best]), np.log(points.params[best]), 1)
    assert line.rows == tuple(points.rows[best])
    assert (line.exponent, np.log(line.scale)) == pytest.approx((slope, level))


def test_runs_of_one_budget_share_a_bin_though_rounding_parts_them():
    """One best run a budget, though the edge of a bin, ten times the least compute, lies within the second."""
    points = isoflop(LAWS["even"], sizes=5, budgets=(1e18, 1e20, 3))
    scale = np.where(np.arange(len(points)) % 2, 1.001, 0.999)
    scale[points.flops < 2e18] = 1.0
    rounded = replace(points, flops=points.flops * scale)
    assert len(fit_envelope(rounded).rows) == 3


@pytest.mark.parametrize("name", LAWS)
def test_dense_sizes_without_noise_bring_the_envelope_to_the_law(name):
    """The best of 41 sizes of a budget is within half a step of the optimum."""
    law = LAWS[name]
    line = fit_envelope(isoflop(law, sizes=41, budgets=(1e18, 1e21, 12)), bins_per_decade=4)
    assert line.exponent == pytest.approx(law.params_exponent, abs=0.01)
    assert line.at(1e20) == pytest.approx(law.best_split(1e20 / 6)[0], rel=0.06)


@pytest.mark.parametrize("ladder", LADDERS)
def test_the_approaches_stand_side_by_side(ladder):
    """The surface is the fit to all runs; parabolas need budgets and say so; each says what sets it apart."""
    points = LADDERS[ladder](LAWS["even"], noise=0.002)
    found = {item.name: item for item in compare_methods(points, flops=1e23)}
    law = fit_additive(points).law
    assert found["surface"].exponent == pytest.approx(law.beta / (law.alpha + law.beta))
    assert found["surface"].params == pytest.approx(law.best_split(1e23 / 6)[0])
    assert all(item.remark for item in found.values())
    if ladder == "isoflop":
        assert list(found) == ["surface", "parabolas", "plain parabolas", "envelope"]
        line = fit_isoflop(points, window=None, weighted=False, samples=0)
        assert found["plain parabolas"].params == pytest.approx(line.at(1e23))
    if ladder == "cloud":  # the diagonals of an even grid are budgets too
        assert found["parabolas"].exponent is None
        assert found["parabolas"].remark.startswith("not possible: the runs are not an IsoFLOP sweep")
