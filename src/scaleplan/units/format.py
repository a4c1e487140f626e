"""Write an amount: three significant digits and a unit for a reader, or the exact text that parses back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError
from scaleplan.units.numeral import convert
from scaleplan.units.parse import DAYS_PER_YEAR, FLOP_PER_PF_DAY, KINDS, SECONDS_PER_DAY, USD

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsFloat

_COUNT = (("", 0), ("k", 3), ("M", 6), ("B", 9), ("T", 12))

_LARGE = (("", 0), ("M", 6), ("B", 9), ("T", 12))


def counted(number: float | str, noun: str) -> str:
    """Write a number of things: ``1 GPU``, ``2,000 GPUs``; a text is a number that is written already."""
    text = number if isinstance(number, str) else f"{number:,.0f}"
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"


def format_number(value: float, *, digits: int = 3) -> str:
    """Write a number with ``digits`` significant digits: ``21.6``, ``1,230``, ``2.31e9``, ``0.0123``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, power = _rounded(value, digits)
    if not -4 <= power < 6:
        return f"{mantissa}e{power}"
    return f"{float(f'{mantissa}e{power}'):,.{max(0, digits - 1 - power)}f}"


def format_count(value: float, *, digits: int = 3) -> str:
    """Write a number of parameters or tokens: ``2.78B``, ``60.0B``, ``517k``, ``1.40T``."""
    return _scaled(value, _COUNT, digits)


def format_flops(value: float, *, digits: int = 3) -> str:
    """Write compute in FLOP: ``1e21 FLOP``, ``3.17e23 FLOP``; see also :func:`format_pf_days`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} FLOP"
    mantissa, power = _rounded(value, digits)
    return f"{_trimmed(mantissa)}e{power} FLOP"


def format_pf_days(value: float, *, digits: int = 3) -> str:
    """Write compute, given in FLOP, in PF-days of 8.64e19 FLOP: ``11.6 PF-days``."""
    return f"{format_number(value / FLOP_PER_PF_DAY, digits=digits)} PF-days"


def format_seconds(value: float, *, digits: int = 3) -> str:
    """Write a time, given in seconds, in the unit that suits it: ``30.0 days``, ``3.20 hours``, ``90.0 seconds``."""
    for unit, least, seconds in (
        ("years", 2 * DAYS_PER_YEAR * SECONDS_PER_DAY, DAYS_PER_YEAR * SECONDS_PER_DAY),
        ("days", SECONDS_PER_DAY, SECONDS_PER_DAY),
        ("hours", 3600.0, 3600.0),
        ("minutes", 120.0, 60.0),
    ):
        if value >= least:
            return f"{format_number(value / seconds, digits=digits)} {unit}"
    return f"{format_number(value, digits=digits)} seconds"


def format_hours(value: float, *, unit: str = "h", digits: int = 3) -> str:
    """Write GPU-hours: ``800 h``, ``12,300 h``, ``2.79M h``; ``unit`` may be ``GPU-hours``."""
    return f"{_scaled(value, _LARGE, digits)} {unit}"


def format_usd(value: float, *, digits: int = 3) -> str:
    """Write US dollars: ``$2.95``, ``$2,950``, ``$1.23M``."""
    return f"${_scaled(value, _LARGE, digits)}"


def money_in(currency: str | None) -> Callable[..., str]:
    """Return what writes money of a currency: ``$1.23M``, ``1.23M EUR``; None stands for US dollars."""
    if currency in (None, USD):
        return format_usd

    def written(value: float, *, digits: int = 3) -> str:
        return f"{_scaled(value, _LARGE, digits)} {currency}"

    return written


def format_usd_per_hour(value: float, *, digits: int = 3) -> str:
    """Write a price of a GPU-hour: ``$2.95/h``."""
    return f"{format_usd(value, digits=digits)}/h"


def format_fraction(value: float, *, digits: int = 3) -> str:
    """Write a fraction or a ratio in percent: ``40 %``, ``38.5 %``."""
    text = format_number(100 * value, digits=digits)
    return f"{_trimmed(text) if 'e' not in text else text} %"


def format_kwh(value: float, *, digits: int = 3) -> str:
    """Write an energy, given in kWh: ``800 kWh``, ``1.20 MWh``, ``3.40 GWh``."""
    return _scaled(value, (("kWh", 0), ("MWh", 3), ("GWh", 6)), digits, space=" ")


def format_kilograms(value: float, *, digits: int = 3) -> str:
    """Write a mass, given in kg: ``500 kg``, ``1.20 t``."""
    return _scaled(value, (("kg", 0), ("t", 3)), digits, space=" ")


def format_gigabytes(value: float, *, digits: int = 3) -> str:
    """Write memory, given in GB of 1e9 bytes: ``80.0 GB``, ``1.50 TB``."""
    return _scaled(value, (("GB", 0), ("TB", 3)), digits, space=" ")


def format_bytes(value: float, *, digits: int = 3) -> str:
    """Write the size of a file: ``812 B``, ``412 kB``, ``1.20 MB``."""
    return _scaled(value, (("B", 0), ("kB", 3), ("MB", 6), ("GB", 9)), digits, space=" ")


def _rounded(value: float, digits: int) -> tuple[str, int]:
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    return mantissa, int(power)


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scaled(value: float, units: tuple[tuple[str, int], ...], digits: int, *, space: str = "") -> str:
    """Write a number in the largest unit that leaves at least 1 after rounding."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}{space}{units[0][0]}"
    mantissa, power = _rounded(value, digits)  # round first: 999.6M is 1.00B, not 1,000M
    name, shift = next((unit for unit in reversed(units) if unit[1] <= power), units[0])
    if power - shift >= 6:  # a power of ten and a suffix together would be read as either
        name, shift = units[0]
    return f"{format_number(float(f'{mantissa}e{power - shift}'), digits=digits)}{space}{name}"


_SCALED_KINDS = {"params", "tokens", "usd"}

_UNITS = {
    "flops": " FLOP",
    "seconds": " s",
    "hours": " h",
    "usd": " USD",
    "usd_per_hour": " USD/h",
    "usd_per_kwh": " USD/kWh",
    "kwh": " kWh",
    "kilograms": " kg",
    "gigabytes": " GB",
}


def exact(kind: str, value: SupportsFloat) -> str:
    """Return the short text that ``parse(kind, text)`` reads back as exactly ``value``.

    Raises QuantityError when ``value`` is not a finite number above 0 and UnknownNameError when there is no such
    kind.

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
        for suffix, shift in reversed(_COUNT[1:]):
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
