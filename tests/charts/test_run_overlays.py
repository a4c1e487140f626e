"""Runs of one's own on the curves of a law."""

from __future__ import annotations

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.charts.plots import plot
from scaleplan.errors import UsageError


@pytest.fixture(scope="module")
def runs():
    """Return an IsoFLOP sweep of three budgets with a known law and 0.2 % noise."""
    generator, found = np.random.default_rng(11), {"params": [], "tokens": [], "loss": []}
    for flops in (1e18, 3e18, 1e19, 3e19):
        for size in (flops / 6 / 20) ** 0.5 * np.geomspace(0.3, 3, 7):
            tokens = flops / 6 / size
            loss = (1.8 + 420 / size**0.34 + 1300 / tokens**0.345) * (1 + 0.002 * generator.standard_normal())
            for key, value in zip(found, (size, tokens, loss), strict=True):
                found[key].append(float(value))
    return found


@pytest.fixture(scope="module")
def fitted(runs):
    """Return the isoFLOP picture of the runs with the law fitted to them."""
    return plot("isoflop", runs=runs)


def points(chart):
    return [series for series in chart.series if series.style == "points"]


def test_runs_have_the_colour_of_their_budget(fitted, runs):
    """One group a budget, of the tone of its curve, all runs as they are in the file."""
    assert [series.label for series in points(fitted)] == ["1e18 FLOP", "3e18 FLOP", "1e19 FLOP", "3e19 FLOP"]
    assert [len(series.x) for series in points(fitted)] == [7] * 4
    for series in points(fitted):
        curve = next(each for each in fitted.series if each.label == series.label and each.style != "points")
        assert series.tone == curve.tone
    shown = sorted((x, y) for series in points(fitted) for x, y in zip(series.x, series.y, strict=True))
    assert shown == sorted(zip(runs["params"], runs["loss"], strict=True))
    assert "28 runs" in fitted.caption


def test_a_named_law_is_drawn_as_it_is(runs):
    """Its curves at the budgets of the runs; nothing is fitted."""
    chart = plot("isoflop", runs=runs, preset="besiroglu-2024", reading={"where": ["loss < 10"]})
    assert "arXiv:2404.10102" in chart.source
    assert chart.marks[0].x == pytest.approx(sp.optimal(flops=1e18, preset="besiroglu-2024").params, rel=1e-6)
    assert sum(len(series.x) for series in points(chart)) == 28


def test_losses_and_sizes_take_runs_too(runs):
    """The best of each budget apart from the others, and their sizes among the laws."""
    loss = plot("loss", runs=runs, preset="besiroglu-2024")
    assert {series.label for series in points(loss)} == {"best runs by compute", "other runs"}
    sizes = plot("compare", runs=runs, preset="besiroglu-2024", presets=["kaplan-2020"])
    (best,) = points(sizes)
    assert set(best.y) <= set(runs["params"])
    assert list(sizes.labels)[:2] == ["besiroglu-2024", "kaplan-2020"]


def test_losses_of_another_unit_are_not_drawn_beside_a_law(runs):
    """Bits a byte are no nats a token."""
    with pytest.raises(UsageError, match="bits/byte"):
        plot("loss", runs=runs, preset="besiroglu-2024", reading={"loss_unit": "bpb"})


def test_options_of_a_fit_need_one(runs):
    """They say nothing of a law that is fitted already; the form is that of the curve otherwise."""
    with pytest.raises(UsageError, match="--floor"):
        plot("loss", runs=runs, preset="besiroglu-2024", reading={"floor": 1.7})
    with pytest.raises(UsageError, match="takes no file"):
        plot("frontier", runs=runs)


def test_runs_off_every_budget_say_how_far(runs):
    """Without a sweep there are a few curves, and the caption has the largest distance."""
    shifted = {**runs, "tokens": [t * f for t, f in zip(runs["tokens"], np.geomspace(0.4, 2.5, 28), strict=True)]}
    chart = plot("isoflop", runs=shifted, preset="besiroglu-2024")
    assert "differs by up to" in chart.caption
