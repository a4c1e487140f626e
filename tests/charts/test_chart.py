"""Axes: places, round values and how they are written."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scaleplan.charts.chart import Axis, Scale, Series, tick_texts, value_text

POSITIVE = st.floats(1e-3, 1e30)


@example(0.1, 0.1, "linear", 3)
@given(POSITIVE, POSITIVE, st.sampled_from(["log", "linear"]), st.integers(3, 12))
def test_ticks_lie_on_the_axis_and_are_few(one, other, scale, most):
    """Never more than asked for, in rising order, between the ends."""
    axis = Scale.of(Axis(label="x", kind="number", scale=scale), [one, other])
    ticks = axis.ticks(most)
    assert len(ticks) <= most
    assert ticks == sorted(set(ticks))
    assert all(axis.low <= tick <= axis.high for tick in ticks)


@given(POSITIVE, st.floats(1.01, 1e9), st.sampled_from(["log", "linear"]))
def test_values_lie_inside_their_axis(low, factor, scale):
    """With room at both ends."""
    axis = Scale.of(Axis(label="x", kind="number", scale=scale), [low, low * factor])
    assert 0 < axis.place(low) < axis.place(low * factor) < 1


def test_equal_factors_are_equal_distances_on_a_log_axis():
    """A decade is a decade."""
    axis = Scale.of(Axis(label="x", kind="flops"), [1e18, 1e24])
    steps = [axis.place(10.0 ** (n + 1)) - axis.place(10.0**n) for n in range(18, 24)]
    assert steps == pytest.approx([steps[0]] * 6)
    assert axis.ticks(9) == [1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24]


def test_a_logarithm_has_no_place_for_zero():
    """What cannot be placed is nowhere, and is not drawn."""
    axis = Scale.of(Axis(label="x", kind="number"), [0.0, 1.0, 10.0])
    assert axis.low > 0
    assert math.isnan(axis.place(0.0))


@pytest.mark.parametrize(
    ("kind", "scale", "values", "texts"),
    [
        ("flops", "log", [1e18, 3e18], ["1e18", "3e18"]),
        ("count", "log", [1e8, 1e10, 3e12], ["100M", "10B", "3T"]),
        ("usd", "log", [1e5, 2e6], ["$100,000", "$2M"]),
        ("number", "linear", [2.0, 2.25, 2.5], ["2.00", "2.25", "2.50"]),
        ("percent", "linear", [-0.05, 0.0, 0.05], ["-5 %", "0 %", "5 %"]),
        ("factor", "log", [1.0, 30.0], ["1x", "30x"]),
    ],
)
def test_ticks_are_written_shortly(kind, scale, values, texts):
    """Without zeros that say nothing; a linear axis has the same decimals throughout."""
    assert tick_texts(Axis(label="x", kind=kind, scale=scale), values) == texts


def test_values_carry_their_unit():
    """What is under the pointer can be read on its own."""
    assert value_text(Axis(label="loss", kind="number", unit="nats/token"), 2.30612) == "2.306 nats/token"
    assert value_text(Axis(label="C", kind="flops", unit="FLOP"), 1e21) == "1e21 FLOP"
    assert value_text(Axis(label="cost", kind="usd", unit="USD"), 2.5e6) == "$2.50M"


def test_a_series_of_unequal_lengths_is_a_bug():
    """It is found when it is made and not when it is drawn."""
    with pytest.raises(ValueError, match="2 x, 1 y"):
        Series(label="s", x=(1.0, 2.0), y=(1.0,))
