"""Elementary functions of a Python float or a NumPy array alike, and the types of arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import bool_, float64, intp
    from numpy.typing import NDArray

__all__ = [
    "Array",
    "Floats",
    "Index",
    "Mask",
    "Number",
    "ceil",
    "choose",
    "cubic_root",
    "exceeds",
    "exp",
    "floor",
    "log",
    "maximum",
    "minimum",
    "nearest",
    "softplus",
    "somewhere",
    "whole",
]

Number = TypeVar("Number", float, "NDArray[float64]")
"""A Python float or a NumPy array of floats: what every formula accepts and returns."""

Array: TypeAlias = "NDArray[float64]"
Index: TypeAlias = "NDArray[intp]"
Mask: TypeAlias = "NDArray[bool_]"
Floats: TypeAlias = "NDArray[float64] | Sequence[float]"


def _elementwise(function: str, *values: Any) -> Any:  # noqa: ANN401  arrays, and one of their kind
    """Apply a function of NumPy, which is imported only where there is an array."""
    import numpy as np

    return getattr(np, function)(*values)


def log(value: Number) -> Number:
    """Return the natural logarithm."""
    if isinstance(value, float | int):
        try:
            return math.log(value)
        except ValueError:  # a number out of a formula's domain is arithmetic, and no fault of an argument
            msg = f"there is no logarithm of {value:g}"
            raise ArithmeticError(msg) from None
    return _elementwise("log", value)


def exp(value: Number) -> Number:
    """Return e to the power of the value."""
    if isinstance(value, float | int):
        return math.exp(value)
    return _elementwise("exp", value)


def minimum(value: Number, other: Number | float) -> Number:
    """Return the smaller of a value and another of its kind, or a number."""
    if isinstance(value, float | int):
        return min(value, other)
    return _elementwise("minimum", value, other)


def choose(condition: bool | Mask, value: Number, other: Number) -> Number:
    """Return the value where a condition holds and the other elsewhere, element by element."""
    if isinstance(value, float | int):
        return value if condition else other
    return _elementwise("where", condition, value, other)


def maximum(value: Number, other: Number | float) -> Number:
    """Return the larger of a value and another of its kind, or a number."""
    if isinstance(value, float | int):
        return max(value, other)
    return _elementwise("maximum", value, other)


def floor(value: Number) -> Number:
    """Return the largest whole number that is not above the value; an infinity is itself."""
    if isinstance(value, float | int):
        return float(math.floor(value)) if math.isfinite(value) else value
    return _elementwise("floor", value)


def ceil(value: Number) -> Number:
    """Return the smallest whole number that is not below the value; an infinity is itself."""
    return -floor(-value)


def nearest(value: Number) -> Number:
    """Return the nearest whole number, the even one of two; an infinity is itself."""
    if isinstance(value, float | int):
        return float(round(value)) if math.isfinite(value) else value
    return _elementwise("rint", value)


def exceeds(value: Number, limit: float) -> bool:
    """Whether the size of any value is above the limit; one that is not a number is not."""
    if isinstance(value, float | int):
        return abs(value) > limit
    return bool(_elementwise("any", _elementwise("abs", value) > limit))


def somewhere(condition: bool | Mask) -> bool:
    """Whether a condition holds for any element."""
    return condition if isinstance(condition, bool) else bool(condition.any())


def whole(count: float) -> int | float:
    """Return a count as the nearest integer; itself where that needs more than 64 bits, or it is infinite."""
    return round(count) if abs(count) < _LARGEST else count


_LARGEST = 2.0**63


def softplus(value: Number) -> Number:
    """Return ln(1 + e^value) without overflow."""
    size = abs(value)
    return 0.5 * (value + size) + log(1.0 + exp(-size))


def cubic_root(*, cubic: float, linear: float, total: float) -> float:
    """Return the positive x with cubic*x^3 + linear*x = total, by Newton's method; all three are positive."""
    root = min((total / cubic) ** (1 / 3), total / linear)
    for _ in range(100):  # the cubic is convex: from any start all later steps come down to the root from above
        step = (cubic * root**3 + linear * root - total) / (3 * cubic * root**2 + linear)
        root -= step
        if abs(step) <= 1e-15 * root:
            break
    return root
