"""Widths of samples, against the normal distribution that they stand in for."""

import numpy as np
import pytest

from scaleplan.fitting.objective import central_interval, half_width, typical_deviation

NORMAL = np.random.default_rng(0).normal(3.0, 2.0, 100_000)


def test_the_central_interval_holds_its_share_of_the_draws():
    """As many draws lie below it as above."""
    assert central_interval(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))


def test_the_half_width_is_the_standard_deviation_of_normal_draws():
    """Half the central 68.26 % is one sigma; 100,000 draws know it to half a percent."""
    assert half_width(NORMAL) == pytest.approx(2.0, rel=0.01)


def test_the_typical_deviation_ignores_a_wild_value():
    """The median of absolute residuals estimates sigma, and a single value cannot move it."""
    residuals = NORMAL - 3.0
    assert typical_deviation(residuals) == pytest.approx(2.0, rel=0.01)
    assert typical_deviation(np.append(residuals, 1e9)) == pytest.approx(typical_deviation(residuals), rel=1e-3)
