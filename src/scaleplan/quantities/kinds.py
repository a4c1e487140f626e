"""Each kind of quantity by name: how its text is read, and written so that nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError, quote
from scaleplan.quantities.amounts import parse_count, parse_fraction, parse_integer, parse_positive, parse_ratio
from scaleplan.quantities.compute import parse_flops
from scaleplan.quantities.duration import parse_days, parse_hours, parse_seconds
from scaleplan.quantities.money import parse_usd, parse_usd_per_hour
from scaleplan.quantities.numeral import convert, refuse
from scaleplan.quantities.physical import parse_gigabytes, parse_kilograms, parse_kwh

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import SupportsFloat

__all__ = ["KINDS", "exact", "parse"]


def _params(value: str | SupportsFloat) -> float:
    return parse_count(value, what="params")


def _tokens(value: str | SupportsFloat) -> float:
    return parse_count(value, what="tokens")


def _hours(value: str | SupportsFloat) -> float:
    hours, accelerator = parse_hours(value)
    if accelerator is not None:
        text = str(value)
        place = text.find(accelerator)
        message = f"{quote(text)} names an accelerator where hours of any are counted"
        raise refuse(text, message, span=(place, place + len(accelerator)), hint="write GPU-hours")
    return hours


KINDS: Mapping[str, Callable[[str | SupportsFloat], float]] = {
    "params": _params,
    "tokens": _tokens,
    "flops": parse_flops,
    "number": parse_positive,
    "integer": parse_integer,
    "fraction": parse_fraction,
    "ratio": parse_ratio,
    "seconds": parse_seconds,
    "days": parse_days,
    "hours": _hours,
    "usd": parse_usd,
    "usd_per_hour": parse_usd_per_hour,
    "kwh": parse_kwh,
    "kilograms": parse_kilograms,
    "gigabytes": parse_gigabytes,
}
"""The parser of every kind, by name."""

_SHORT = ("T", 12), ("B", 9), ("M", 6), ("k", 3)
_SCALED_KINDS = {"params", "tokens", "usd"}
_UNITS = {
    "flops": " FLOP",
    "seconds": " s",
    "hours": " h",
    "usd": " USD",
    "usd_per_hour": " USD/h",
    "kwh": " kWh",
    "kilograms": " kg",
    "gigabytes": " GB",
}


def parse(kind: str, value: str | SupportsFloat) -> float:
    """Return an amount of the named kind, in its base unit.

    Raises
    ------
    QuantityError
        When ``value`` is not such an amount.
    UnknownNameError
        When there is no such kind.

    """
    if kind not in KINDS:
        raise UnknownNameError("kind of quantity", kind, KINDS)
    return KINDS[kind](value)


def exact(kind: str, value: SupportsFloat) -> str:
    """Return the short text that ``parse(kind, text)`` reads back as exactly ``value``.

    Raises
    ------
    QuantityError
        When ``value`` is not a finite number above 0.
    UnknownNameError
        When there is no such kind.

    Examples
    --------
    >>> exact("params", 70e9), exact("flops", 1e21), exact("seconds", 129600)
    ('70B', '1e21 FLOP', '129600 s')

    """
    if kind not in KINDS:
        raise UnknownNameError("kind of quantity", kind, KINDS)
    digits, power = _shortest(convert(value))
    return f"{_plain(digits, power, scaled=kind in _SCALED_KINDS)}{_UNITS.get(kind, '')}"


def _shortest(number: float) -> tuple[str, int]:
    """Return the fewest digits that make ``number``, and the power of ten of the last one."""
    mantissa, _, power = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    stripped = digits.rstrip("0")
    return stripped, int(power or 0) - len(fraction) + len(digits) - len(stripped)


def _plain(digits: str, power: int, *, scaled: bool) -> str:
    """Place the point among ``digits * 10**power`` without any arithmetic that rounds."""
    leading = len(digits) - 1 + power
    if scaled:
        for suffix, shift in _SHORT:
            if shift <= leading < shift + 3 and power >= shift - 3:
                return _point(digits, power - shift) + suffix
    if -5 <= leading < 15:
        return _point(digits, power)
    return f"{_point(digits, 1 - len(digits))}e{leading}"


def _point(digits: str, power: int) -> str:
    if power >= 0:
        return digits + "0" * power
    padded = digits.rjust(1 - power, "0")
    return f"{padded[:power]}.{padded[power:]}"
