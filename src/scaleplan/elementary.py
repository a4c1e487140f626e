"""Logarithm, exponential and minimum for a Python float or a NumPy array, whichever comes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaleplan.laws.base import Number

__all__ = ["exp", "lesser", "log"]


def log(value: Number) -> Number:
    """Return the natural logarithm."""
    if isinstance(value, float):
        return math.log(value)
    import numpy as np

    return np.log(value)


def exp(value: Number) -> Number:
    """Return e to the power of the value."""
    if isinstance(value, float):
        return math.exp(value)
    import numpy as np

    return np.exp(value)


def lesser(value: Number, other: Number | float) -> Number:
    """Return the smaller of the two."""
    if isinstance(value, float) and isinstance(other, float):
        return min(value, other)
    import numpy as np

    return np.minimum(value, other)


def softplus(value: Number) -> Number:
    """Return ln(1 + e^value) without overflow."""
    size = abs(value)
    return 0.5 * (value + size) + log(1.0 + exp(-size))
