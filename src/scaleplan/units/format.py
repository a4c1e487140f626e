"""Write numbers and amounts: the style guide of everything that is printed, or the exact text that parses back.

Whoever prints a number takes a function of this module. The rules are:

* Three significant digits, zeros included: ``2.78B``, ``60.0B``, ``0.0123``. A loss has four, a factor two.
* A number below a million is written out with commas, ``46,100``; above it a power of ten stands after an ``e``
  without a sign or zeros, ``2.31e9``; below 0.0001 too, ``6.5e-5``.
* Counts of parameters and tokens have k, M, B or T, ``23.7B``, in warnings as in tables; compute is ``1e21 FLOP``.
* Whole numbers of things are written out, and agree with their noun: ``1 GPU``, ``2,000 GPUs``.
* A time has the unit that suits it, ``16.8 seconds``, ``30.0 days``, ``3.01 years``; so have energy, memory and mass.
* Money has cents below $100: ``$2.95``, ``$12.30/h``, ``$136``, ``$1.23M``.
* Percent has a space: ``90 %``, ``38.5 %``; a change has its sign, ``+0.12 %``.
* A factor ends in an x, ``3.2x``, and is above 1 where words beside it can say the direction: ``3.2x below``, not
  ``1/3.2x``. A band is ``1.6x either way``.
* A range has a dash between spaces and its unit once, ``28,800 – 73,700 h``.
* A value with its error, ``93 ± 50``, has the digits that the error justifies.

``docs/reference/units-and-numbers.md`` has the same for users, and what they may type.
"""

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

_CENTS, _LEAST = 99.995, 0.01
"""Dollars from which no cents are written, and below which they would be too many zeros."""

_WITH_CENTS = 4
"""Significant digits up to which an amount below $100 has its two decimals."""

_WRITTEN_OUT = 6
"""The power of ten from which numbers are not written out."""


def counted(number: float | str, noun: str) -> str:
    """Write a number of things: ``1 GPU``, ``2,000 GPUs``; a text is a number that is written already."""
    text = number if isinstance(number, str) else f"{number:,.0f}"
    return f"{text} {noun}" if text == "1" else f"{text} {noun}s"


def format_number(value: float, *, digits: int = 3) -> str:
    """Write a number with ``digits`` significant digits: ``21.6``, ``1,230``, ``2.31e9``, ``0.0123``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, power = _rounded(value, digits)
    if not -4 <= power < _WRITTEN_OUT:
        return f"{mantissa}e{power}"
    return f"{float(f'{mantissa}e{power}'):,.{max(0, digits - 1 - power)}f}"


def plain_digits(value: float) -> str:
    """Write a number above 0 in full and without commas, as every program and YAML reads it: ``0.00123``, ``60000``.

    The digits are those that ``float()`` reads back exactly.
    """
    return str(value) if isinstance(value, int) else _point(*_shortest(value))


def format_plain(value: float, *, digits: int = 6) -> str:
    """Write a number with as many of ``digits`` as it needs: a setting, what was typed: ``0.4``, ``64``, ``1e21``."""
    text = f"{value:.{digits}g}"
    mantissa, mark, power = text.partition("e")
    if not math.isfinite(value) or abs(value) < 1000:
        return f"{mantissa}e{int(power)}" if mark else text
    if float(text) < 10.0**_WRITTEN_OUT:
        decimals = 0 if mark else len(text.partition(".")[2])
        return f"{float(text):,.{decimals}f}"
    mantissa, exponent = _rounded(value, digits)
    return f"{_trimmed(mantissa)}e{exponent}"


def format_power(value: float, *, digits: int = 3) -> str:
    """Write a small or large number by its power of ten whatever that is, as learning rates are: ``3.00e-4``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, power = _rounded(value, digits)
    return f"{mantissa}e{power}"


def format_signed(value: float, *, digits: int = 3) -> str:
    """Write a difference with its sign: ``+0.0123``, ``-2.31``."""
    return f"{'+' if value > 0 else ''}{format_number(value, digits=digits)}"


def format_measured(value: float, error: float) -> str:
    """Write a value and its standard error with the digits that the error justifies: ``0.347 ± 0.015``, ``93 ± 50``.

    The rule of the Particle Data Group (Review of Particle Physics, section 5.3): the error keeps two digits when its
    three leading ones are 100 to 354, one digit from 355 to 949, and is rounded up to 1000 above; the value is
    rounded to the same place.

    >>> format_measured(0.347310, 0.0149), format_measured(2143.4, 880.2)
    ('0.347 ± 0.015', '2,100 ± 900')

    """
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return f"{format_plain(value)} ± {format_number(error, digits=2)}"
    exponent = math.floor(math.log10(error))
    leading = round(error / 10.0 ** (exponent - 2))
    if leading >= 1000:  # 9.996 rounds into the next decade
        exponent, leading = exponent + 1, leading // 10
    place = exponent - 1 if leading <= 354 else exponent
    if leading >= 950:
        error = 10.0 ** (exponent + 1)
    return f"{_at(value, place)} ± {_at(error, place)}"


def _at(number: float, place: int) -> str:
    """Return a number rounded to a power of ten, without digits below it."""
    shown = round(number, -place)
    if -6 <= place < _WRITTEN_OUT and abs(shown) < 10.0**_WRITTEN_OUT:
        return f"{shown:,.{max(0, -place)}f}"
    mantissa, power = _rounded(shown, max(0, math.floor(math.log10(abs(shown))) - place) + 1) if shown else ("0", 0)
    return f"{mantissa}e{power}"


def format_factor(value: float, *, digits: int = 2) -> str:
    """Write a ratio of two amounts: ``3.2x``, ``12x``, ``1,300x``; the words beside it say which is the larger."""
    return f"{format_number(value, digits=digits)}x"


def format_band(factor: float) -> str:
    """Write how far a value may lie to both sides: ``1.6x either way``."""
    return f"{format_plain(factor, digits=2)}x either way"


def format_range(low: float, high: float, written: Callable[[float], str], *, sign: str = "–") -> str:
    """Write a range, with its unit once, or one number where both ends read the same: ``28,800 – 73,700 h``."""
    first, last = written(low), written(high)
    return first if first == last else f"{bare_end(first, last)} {sign} {last}"


def bare_end(first: str, last: str) -> str:
    """Return the lower end of a range without the unit, where that stands after the upper end: ``18.8``."""
    number, space, unit = first.rpartition(" ")
    return number if space and last.endswith(f" {unit}") else first


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


_TIMES = (
    ("years", 2 * DAYS_PER_YEAR * SECONDS_PER_DAY, DAYS_PER_YEAR * SECONDS_PER_DAY),
    ("days", SECONDS_PER_DAY, SECONDS_PER_DAY),
    ("hours", 3600.0, 3600.0),
    ("minutes", 120.0, 60.0),
    ("seconds", 0.0, 1.0),
)
"""The units of a time, each with the seconds from which it suits, and its seconds."""


def format_seconds(value: float, *, digits: int = 3, like: float | None = None) -> str:
    """Write a time, given in seconds, in the unit that suits it: ``30.0 days``, ``3.20 hours``, ``90.0 seconds``.

    The ends of a range are written in the unit of the value that they lie around: ``like`` it.
    """
    unit, _, seconds = next((each for each in _TIMES if (value if like is None else like) >= each[1]), _TIMES[-1])
    return f"{format_number(value / seconds, digits=digits)} {unit}"


def format_days(value: float, *, digits: int = 3, like: float | None = None) -> str:
    """Write a time, given in days, in the unit that suits it, or that suits another one."""
    return format_seconds(
        value * SECONDS_PER_DAY, digits=digits, like=None if like is None else like * SECONDS_PER_DAY
    )


def format_hours(value: float, *, unit: str = "h", digits: int = 3) -> str:
    """Write GPU-hours: ``800 h``, ``12,300 h``, ``2.79M h``; ``unit`` may be ``GPU-hours``."""
    return f"{_scaled(value, _LARGE, digits)} {unit}"


def format_usd(value: float, *, digits: int = 3) -> str:
    """Write US dollars, with cents below $100: ``$2.95``, ``$12.30``, ``$2,950``, ``$1.23M``."""
    if 1.0 <= value < _CENTS and digits <= _WITH_CENTS:
        return f"${value:.2f}"
    if _LEAST <= value < 1.0:
        text = format_number(value, digits=digits)
        return f"${text.rstrip('0').ljust(len('0.00'), '0')}"
    return f"${_scaled(value, _LARGE, digits)}"


def money_in(currency: str | None) -> Callable[..., str]:
    """Return what writes money of a currency: ``$1.23M``, ``1.23M EUR``; None stands for US dollars."""
    if currency in (None, USD):
        return format_usd

    def written(value: float, *, digits: int = 3) -> str:
        return f"{format_usd(value, digits=digits).removeprefix('$')} {currency}"

    return written


def format_usd_per_hour(value: float, *, digits: int = 3) -> str:
    """Write a price of a GPU-hour: ``$2.95/h``."""
    return f"{format_usd(value, digits=digits)}/h"


def format_fraction(value: float, *, digits: int = 3) -> str:
    """Write a fraction or a ratio in percent: ``40 %``, ``38.5 %``."""
    text = format_number(100 * value, digits=digits)
    return f"{_trimmed(text) if 'e' not in text else text} %"


def format_fractions(low: float, high: float, *, digits: int = 3) -> str:
    """Write a range of fractions in percent, with one sign: ``18 – 19 %``."""
    return format_range(low, high, lambda value: format_fraction(value, digits=digits))


def format_change(value: float, *, digits: int = 3) -> str:
    """Write a relative difference in percent, with its sign: ``+3.2 %``, ``-0.12 %``."""
    return f"{'+' if value > 0 else ''}{format_fraction(value, digits=digits)}"


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
