"""How a judged amount is written: three digits where they tell the truth, as many as it takes where they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import QuantityError
from scaleplan.quantities import (
    exact,
    format_count,
    format_flops,
    format_fraction,
    format_gigabytes,
    format_hours,
    format_kilograms,
    format_kwh,
    format_number,
    format_usd,
    parse,
)
from scaleplan.quantities.limits import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.quantities.limits import Limit

__all__ = ["NEGATED", "amount", "bound", "telling"]

NEGATED: Mapping[str, str] = {"<=": ">", ">=": "<", "<": ">=", ">": "<=", "=": "≠"}
"""What holds instead where a comparison does not."""

_MOST_DIGITS = 17  # enough for any float to be told from its neighbours


def _whole(value: float, *, digits: int) -> str:  # noqa: ARG001  a whole number is written whole
    return f"{value:,.0f}"


_WRITERS: Mapping[str, Callable[..., str]] = {
    "params": format_count,
    "tokens": format_count,
    "flops": format_flops,
    "number": format_number,
    "ratio": format_fraction,
    "integer": _whole,
    "hours": format_hours,
    "days": format_number,
    "usd": format_usd,
    "kwh": format_kwh,
    "kilograms": format_kilograms,
    "gigabytes": format_gigabytes,
}


def amount(quantity: str, value: float, *, digits: int = 3) -> str:
    """Write a value of a quantity for people; losses with a fourth digit, as every plan shows them."""
    kind = QUANTITIES[quantity]
    least = 4 if quantity == "loss" else 3
    return _WRITERS[kind](value, digits=max(digits, least))


def bound(limit: Limit) -> str:
    """Write the bound of a limit in full, in the form in which :func:`amount` writes values."""
    kind = QUANTITIES[limit.quantity]
    for digits in range(1, _MOST_DIGITS):
        text = _WRITERS[kind](limit.value, digits=digits)
        if _reads_as(kind, text) == limit.value:
            return text
    return exact(kind, limit.value)


def telling(limit: Limit, value: float) -> str:
    """Write a value with the digits it takes for the comparison to be seen: ``70.0001B`` beside a limit of 70B."""
    kind = QUANTITIES[limit.quantity]
    holds = limit.holds(value)
    shown_bound = bound(limit)
    for digits in range(3, _MOST_DIGITS + 1):
        text = amount(limit.quantity, value, digits=digits)
        seen = _reads_as(kind, text)
        if seen is not None and limit.holds(seen) == holds and (holds or text != shown_bound):
            return text
        if seen is None:  # zero and below have no form to be read back: nothing to be told apart
            return text
    return exact(kind, value)


def _reads_as(kind: str, text: str) -> float | None:
    try:
        return parse(kind, text)
    except QuantityError:
        return None
