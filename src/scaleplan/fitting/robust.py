"""Widths of samples that a few wild values, or heavy tails, cannot spoil."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Array = NDArray[float64]

__all__ = ["central_interval", "half_width", "typical_deviation"]

_MAD_TO_SD = 1.4826  # of a normal distribution
_ONE_SIGMA = (0.1587, 0.8413)


def central_interval(draws: Array, level: float) -> tuple[float, float]:
    """Return the percentiles between which the central share ``level`` of the draws lies."""
    low, high = np.quantile(draws, (0.5 - level / 2, 0.5 + level / 2))
    return float(low), float(high)


def half_width(draws: Array) -> float:
    """Return half the central 68 %: one standard error, also of draws whose standard deviation may be infinite."""
    low, high = np.quantile(draws, _ONE_SIGMA)
    return 0.5 * float(high - low)


def typical_deviation(residuals: Array) -> float:
    """Return the standard deviation of the normal distribution with this median of absolute residuals."""
    return _MAD_TO_SD * float(np.median(np.abs(residuals)))
