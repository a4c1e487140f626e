"""A year of computing: 365.25 days, in a time and in an amount of compute."""

from __future__ import annotations

import pytest

from scaleplan.units import parse_flops, parse_seconds


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("1 PFLOP/s-year", 365.25 * 86_400),
        ("1 PFLOP/s-day", 86_400),
        ("1 PFLOP/s-hour", 3600),
        ("1 PF-year", 31_557_600),
    ],
)
def test_a_rate_times_a_time_is_compute(text, seconds):
    """1e15 FLOP a second for so many seconds."""
    assert parse_flops(text) == pytest.approx(1e15 * seconds, rel=1e-15)


@pytest.mark.parametrize("text, seconds", [("1y", 31_557_600), ("1mo", 31_557_600 / 12), ("2 weeks", 14 * 86_400)])
def test_times_have_the_julian_year(text, seconds):
    """A month is a twelfth of it."""
    assert parse_seconds(text) == pytest.approx(seconds, rel=1e-15)
