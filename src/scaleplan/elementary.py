"""Logarithm and exponential for a Python float or a NumPy array, whichever comes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaleplan.laws.base import Number

__all__ = ["exp", "log"]


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
