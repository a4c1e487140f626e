"""Each kind of quantity by name: how its text is read, and written so that nothing is lost.

How many: parameters, tokens, devices, plain numbers, fractions.

How much compute: FLOP, or a rate times a time such as PF-days.

How long: wall-clock time, and the accelerator-hours that a budget counts.

How much money: US dollars, and US dollars per accelerator-hour.

How much energy, carbon dioxide, memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from scaleplan.errors import UnknownNameError, quote
from scaleplan.units.numeral import Scanned, checked, convert, refuse, scan, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import SupportsFloat

    from scaleplan.errors import QuantityError

__all__ = [
    "DAYS_PER_MONTH",
    "DAYS_PER_YEAR",
    "FLOP_PER_PF_DAY",
    "KINDS",
    "SCALES",
    "SCALE_WORDS",
    "SECONDS_PER_DAY",
    "case_hint",
    "exact",
    "parse",
    "parse_count",
    "parse_days",
    "parse_flops",
    "parse_fraction",
    "parse_gigabytes",
    "parse_hours",
    "parse_integer",
    "parse_kilograms",
    "parse_kwh",
    "parse_positive",
    "parse_ratio",
    "parse_seconds",
    "parse_usd",
    "parse_usd_per_hour",
]

SCALES = {"k": 3, "K": 3, "M": 6, "B": 9, "G": 9, "T": 12}
"""Power of ten of each suffix of a count."""

SCALE_WORDS = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
"""Power of ten of each number word."""

_COUNT = (
    r"(?:(?P<letter>[kKMBGT])|(?P<word>(?i:thousand|million|billion|trillion)))?"
    r"[ -]?(?P<noun>(?i:tokens?|params?|parameters?))?"
)

_LARGEST_INTEGER = 2**53  # beyond, floats do not tell neighbouring integers apart


def parse_count(value: str | SupportsFloat, *, what: Literal["params", "tokens"] = "params") -> float:
    """Return a number of parameters or tokens.

    Parameters
    ----------
    value
        ``70B``, ``1.4T tokens``, ``2.5e9``, ``7_000_000``, ``1.5 billion``, or a number.
    what
        What is counted; the other one's unit is refused.

    Raises
    ------
    QuantityError
        For anything else; case matters, and ``7b`` gets the hint ``7B``.

    Examples
    --------
    >>> parse_count("70B")
    70000000000.0

    """
    if not isinstance(value, str):
        return convert(value)
    example = "70B" if what == "params" else "1.4T"
    scanned = scan(value, example=example)
    match = re.fullmatch(_COUNT, scanned.unit)
    counted = "parameters" if what == "params" else "tokens"
    if match is None:
        hint = case_hint(scanned, SCALES) or f"for example {example}"
        raise scanned.refuse_unit(f"{quote(scanned.unit)} in {quote(value)} is not a number of {counted}", hint=hint)
    noun = match["noun"]
    if noun and noun.casefold().startswith("tok") != (what == "tokens"):
        raise scanned.refuse_unit(f"{quote(value)} are {noun.casefold()} where {counted} are expected")
    shift = SCALES[match["letter"]] if match["letter"] else SCALE_WORDS.get((match["word"] or "").casefold(), 0)
    return scanned.value(shift=shift)


def parse_positive(value: str | SupportsFloat) -> float:
    """Return a plain number above 0, without a unit: a ratio, a loss, a number of epochs.

    Raises
    ------
    QuantityError
        For a unit, and for what is not a finite number above 0.

    """
    if not isinstance(value, str):
        return convert(value)
    return _plain_amounts(scan(value, example="2.5")).value()


def parse_integer(value: str | SupportsFloat) -> int:
    """Return a whole number above 0: ``64``, ``1,024``, ``1e3``, ``2k``, ``512 GPUs``.

    Raises
    ------
    QuantityError
        For a fraction, a number above 2**53, and any other unit.

    """
    if isinstance(value, str):
        scanned = scan(value, example="64")
        match = re.fullmatch(r"([kKM])?(?: ?(?i:gpus?|accelerators?|devices?|chips?))?", scanned.unit)
        if match is None:
            message = f"{quote(scanned.unit)} in {quote(value)} is not a unit of a whole number"
            raise scanned.refuse_unit(message, hint=f"write {scanned.numeral}")
        number, text = scanned.value(shift=SCALES.get(match[1] or "", 0)), value
    else:
        number, text = convert(value), str(value)[:100]
    if not number.is_integer():
        hint = f"write {int(number)} or {int(number) + 1}" if 1 <= number < _LARGEST_INTEGER else None
        raise refuse(text, f"{quote(text)} is not a whole number", hint=hint)
    if number > _LARGEST_INTEGER:
        raise refuse(text, f"{quote(text)} is too large for a whole number")
    return int(number)


def parse_fraction(value: str | SupportsFloat) -> float:
    """Return a share of a whole, above 0 and at most 1: ``0.4`` or ``40%``.

    Raises
    ------
    QuantityError
        For more than the whole; ``40`` gets the hint ``40% or 0.4``.

    """
    number = parse_ratio(value)
    if number <= 1:
        return number
    text = str(value)[:100]
    hint = f"{number:g}% or {number / 100:g}?" if number <= 100 and "%" not in text else "at most 1, or 100%"
    raise refuse(text, f"{quote(text)} is not a fraction between 0 and 1", hint=hint)


def parse_ratio(value: str | SupportsFloat) -> float:
    """Return a ratio above 0, which may exceed 1: ``0.05``, ``5%`` or ``250%``.

    Raises
    ------
    QuantityError
        For any other unit, and for what is not a finite number above 0.

    """
    if not isinstance(value, str):
        return convert(value)
    scanned = scan(value, example="0.4")
    return scanned.value(shift=-2) if scanned.unit == "%" else _plain_amounts(scanned).value()


def case_hint(scanned: Scanned, units: Iterable[str]) -> str | None:
    """Return a hint when the unit is one of ``units`` in the wrong case."""
    close = [unit for unit in units if unit.casefold() == scanned.unit.casefold()]
    return f"upper and lower case matter: write {scanned.numeral}{close[-1]}" if close else None


def _plain_amounts(scanned: Scanned) -> Scanned:
    if scanned.unit:
        message = f"unexpected {quote(scanned.unit)} in {quote(scanned.text)}"
        raise scanned.refuse_unit(message, hint=f"a plain number is expected: write {scanned.numeral}")
    return scanned


FLOP_PER_PF_DAY = 8.64e19
"""1e15 FLOP/s for 86,400 s."""

_PREFIXES = {"k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21, "Y": 24, "R": 27}

_LONG_PREFIXES = {
    "kilo": 3,
    "mega": 6,
    "giga": 9,
    "tera": 12,
    "peta": 15,
    "exa": 18,
    "zetta": 21,
    "yotta": 24,
    "ronna": 27,
}

_SECONDS = {"s": 1.0, "h": 3600.0, "d": 86400.0, "y": 365.25 * 86400.0}

_FLOPS = (
    r"(?:(?P<word>(?i:thousand|million|billion|trillion)) )?"
    r"(?:(?P<prefix>[kKMGTPEZYR])|(?P<long>(?i:kilo|mega|giga|tera|peta|exa|zetta|yotta|ronna)))?"
    r"(?P<flop>FLOPS|FLOPs?|flops?|F)(?P<rate>/s(?:ec|econd)?|ps)?"
    r"(?:[- ]?(?P<time>seconds?|hours?|hr?|days?|d|years?|yr?))?"
)


def parse_flops(value: str | SupportsFloat) -> float:
    """Return an amount of compute in FLOP.

    Parameters
    ----------
    value
        ``1e21``, ``3.2 ZFLOP``, ``1 EF``, ``500 PF-days``, ``500 PFLOP/s-days``, or a number. Case matters.

    Raises
    ------
    QuantityError
        For anything else. A rate (``FLOPS``, ``FLOP/s``) is not an amount, and a suffix without its unit
        (``70B``, ``1E``) could mean several things: both are refused with a hint.

    Examples
    --------
    >>> parse_flops("1 PF-day")
    8.64e+19

    """
    if not isinstance(value, str):
        return convert(value)
    scanned = scan(value)
    if not scanned.unit:
        return scanned.value()
    match = re.fullmatch(_FLOPS, scanned.unit)
    if match is None or (match["flop"] == "F" and not (match["prefix"] or match["long"])):
        raise _unknown(scanned)
    time = match["time"]
    plural = match["flop"] == "flops" and match["long"] is not None  # "petaflops" is nearly always said of a rate
    if time is None and (match["rate"] or match["flop"] == "FLOPS" or plural):
        name = f"{match['prefix'] or match['long'] or ''}{match['flop'].rstrip('Ss')}"
        hint = f"write {scanned.numeral} {name} for an amount, or a rate times a time: 500 PFLOP/s-days"
        raise scanned.refuse_unit(f"{quote(value)} is a rate, not an amount of compute", hint=hint)
    shift = (
        SCALE_WORDS.get((match["word"] or "").casefold(), 0)
        + _PREFIXES.get(match["prefix"] or "", 0)
        + _LONG_PREFIXES.get((match["long"] or "").casefold(), 0)
    )
    return scanned.value(shift=shift, factor=_SECONDS[time[0]] if time else 1.0)


def _unknown(scanned: Scanned) -> QuantityError:
    unit, numeral, text = scanned.unit, scanned.numeral, quote(scanned.text)
    if unit in SCALES or unit in _PREFIXES:
        power = {**SCALES, **_PREFIXES}[unit]
        prefix = next(letter for letter in reversed(_PREFIXES) if _PREFIXES[letter] == power)
        hint = f"write {numeral} {prefix}FLOP"
        return scanned.refuse_unit(f"{text} has no unit of compute, only a suffix", hint=hint)
    if re.fullmatch(r"(?i:.*(?:hours?|h|usd|\$))", unit):
        hint = "device time and money become compute with an accelerator, its utilisation and its price"
        return scanned.refuse_unit(f"{text} is not an amount of compute", hint=hint)
    if re.fullmatch(_FLOPS, unit, re.IGNORECASE) and not unit.casefold().startswith("f"):
        hint = f"upper and lower case matter: for example {numeral} PFLOP or {numeral} PF-days"
    else:
        hint = "for example 1e21, 3.2 ZFLOP or 500 PF-days"
    return scanned.refuse_unit(f"{quote(unit)} in {text} is not a unit of compute", hint=hint)


SECONDS_PER_DAY = 86400.0

DAYS_PER_YEAR = 365.25
"""The Julian year."""

DAYS_PER_MONTH = DAYS_PER_YEAR / 12
"""A mean month, 30.4375 days."""

_UNITS_DURATION = {
    "year": DAYS_PER_YEAR * SECONDS_PER_DAY,
    "month": DAYS_PER_MONTH * SECONDS_PER_DAY,
    "week": 7 * SECONDS_PER_DAY,
    "day": SECONDS_PER_DAY,
    "hour": 3600.0,
    "minute": 60.0,
    "second": 1.0,
}

_SHORT_DURATION = {
    "y": "year",
    "yr": "year",
    "mo": "month",
    "w": "week",
    "wk": "week",
    "d": "day",
    "h": "hour",
    "hr": "hour",
    "min": "minute",
    "s": "second",
    "sec": "second",
}

_HOURS = (
    r"(?P<scale>k(?=[A-Z])|(?:[kKMBGT]|(?i:thousand|million|billion|trillion))(?=[ -]|$|h$|(?i:hours?$|hrs?$|gpu)))?"
    r"[ -]?"
    r"(?:(?P<device>[A-Za-z][A-Za-z0-9._]*(?:[-_ ][A-Za-z0-9._]+)*?)"
    r"(?:[ -]|(?<=[0-9])|(?<=(?i:gpu))|(?<=(?i:gpus))))??"
    r"(?P<unit>hours?|hrs?|h|days?)?"
)

_ANY_DEVICE = {"gpu", "gpus", "accelerator", "accelerators", "device", "devices", "chip", "chips"}


def parse_seconds(value: str | SupportsFloat) -> float:
    """Return a wall-clock time in seconds.

    Parameters
    ----------
    value
        ``30d``, ``2 weeks``, ``36h``, ``90 min``, ``1d12h``, or a number of seconds. A month is 30.4375 days and a
        year 365.25 days.

    Raises
    ------
    QuantityError
        For text without a unit, for ``m`` (minutes or months?), and for anything else.

    Examples
    --------
    >>> parse_seconds("1d12h")
    129600.0

    """
    if not isinstance(value, str):
        return convert(value)
    total, smallest, start = 0.0, float("inf"), 0
    while start == 0 or value[start:].strip(" "):
        scanned = scan(value, start=start, example="30d")
        name = re.match(r"[A-Za-z]*", scanned.unit)
        word = name[0] if name else ""
        scanned = scanned._replace(unit=word or scanned.unit)
        if not scanned.unit:
            numeral = scanned.numeral
            raise scanned.refuse_unit(f"{quote(value)} has no unit of time", hint=f"{numeral}d or {numeral}h?")
        if word in {"m", "M"}:
            hint = f"write {scanned.numeral}min or {scanned.numeral}mo"
            raise scanned.refuse_unit(f"{quote(word)} in {quote(value)} could be minutes or months", hint=hint)
        lower = word.casefold()
        unit = _SHORT_DURATION.get(lower) or _SHORT_DURATION.get(lower.removesuffix("s")) or lower.removesuffix("s")
        if unit not in _UNITS_DURATION:
            hint = "for example 30d, 36h, 90min, 2 weeks or 1d12h"
            raise scanned.refuse_unit(f"{quote(scanned.unit)} in {quote(value)} is not a unit of time", hint=hint)
        if _UNITS_DURATION[unit] >= smallest:
            hint = "write each unit once, the largest first: 1d12h"
            raise scanned.refuse_unit(f"{quote(word)} is out of order in {quote(value)}", hint=hint)
        smallest = _UNITS_DURATION[unit]
        total += scanned.value(factor=smallest)
        start = scanned.unit_start + len(word)
    if total == float("inf"):
        raise refuse(value, f"{quote(value)} is too large")
    return total


def parse_days(value: str | SupportsFloat) -> float:
    """Return a wall-clock time in days; a plain number is days, text may have any unit of time.

    Raises
    ------
    QuantityError
        As :func:`parse_seconds`, except that the unit may be left out.

    """
    if not isinstance(value, str):
        return convert(value)
    scanned = scan(value, example="30")
    return parse_seconds(value) / SECONDS_PER_DAY if scanned.unit else scanned.value()


def parse_hours(value: str | SupportsFloat) -> tuple[float, str | None]:
    """Return accelerator-hours, and the accelerator that the text names.

    Parameters
    ----------
    value
        ``5000``, ``2k H100-hours``, ``10k GPUh``, ``100 A100-days``, or a number of hours.

    Returns
    -------
    tuple[float, str | None]
        The hours, and the accelerator as written (``"H100"``); None when the text says ``GPU`` or nothing.

    Raises
    ------
    QuantityError
        For anything else.

    """
    if not isinstance(value, str):
        return convert(value), None
    example = "2k H100-hours or 5000"
    scanned = scan(value, example=example)
    match = re.fullmatch(_HOURS, scanned.unit)
    if match is None or (match["unit"] is None and match["device"]):
        hint = f"for example {example}"
        raise scanned.refuse_unit(f"{quote(scanned.unit)} in {quote(value)} is not accelerator-hours", hint=hint)
    device, unit = match["device"], match["unit"]
    days = unit is not None and unit.startswith("d")
    if days and device is None:
        hint = f"write {scanned.numeral} GPU-days, or give the accelerators and the time"
        raise refuse(value, f"{quote(value)} could be days of one accelerator or of many", hint=hint)
    scale = match["scale"] or ""
    shift = SCALES.get(scale) or SCALE_WORDS.get(scale.casefold(), 0)
    named = None if device is None or device.casefold() in _ANY_DEVICE else device
    return scanned.value(shift=shift, factor=24.0 if days else 1.0), named


_BEFORE = r" *(?:US\$|\$|USD(?= |[0-9.]))"

_AFTER = (
    r"(?:(?P<letter>[kKMBT])|(?P<word>(?i:thousand|million|billion|trillion)))?"
    r" ?(?:US\$|\$|(?i:usd|(?:us )?dollars?))?"
)

_OTHER_CURRENCY = r"(?i)eur(?:os?)?|gbp|pounds?|chf|jpy|yen|cny|rmb|inr|cad|aud|sek|nok|dkk|pln|krw|sgd"

_PER_HOUR = r" ?(?:/|per ) ?(?:(?i:gpu|accelerator|device|chip)[- ]?)?(?:h|hr|hour)"


def parse_usd(value: str | SupportsFloat) -> float:
    """Return an amount of US dollars.

    Parameters
    ----------
    value
        ``250k USD``, ``$250k``, ``250,000``, ``1.2M$``, ``$1.5 million``, or a number.

    Raises
    ------
    QuantityError
        For another currency, which must be converted first, and for anything else.

    Examples
    --------
    >>> parse_usd("$250k")
    250000.0

    """
    if not isinstance(value, str):
        return convert(value)
    example = "250k USD"
    checked(value, example=example)
    if other := re.search(_OTHER_CURRENCY, value):
        hint = f"amounts of money are in US dollars: convert first, and write {example}"
        raise refuse(value, f"{quote(value)} is in another currency", span=other.span(), hint=hint)
    before = re.match(_BEFORE, value)
    scanned = scan(value, start=before.end() if before else 0, example=example)
    match = re.fullmatch(_AFTER, scanned.unit)
    if match is None:
        hint = case_hint(scanned, ("k", "M", "B", "T")) or f"for example {example}"
        message = f"{quote(scanned.unit)} in {quote(value)} is not an amount of US dollars"
        raise scanned.refuse_unit(message, hint=hint)
    shift = SCALES[match["letter"]] if match["letter"] else SCALE_WORDS.get((match["word"] or "").casefold(), 0)
    return scanned.value(shift=shift)


def parse_usd_per_hour(value: str | SupportsFloat) -> float:
    """Return a price in US dollars per accelerator-hour: ``2.95``, ``$2.95/h``, ``2.95 USD/GPU-hour``.

    Raises
    ------
    QuantityError
        For a price per anything else, for another currency, and for what is not an amount of money.

    """
    if not isinstance(value, str):
        return convert(value)
    checked(value, example="$2.95/h")
    stop = len(value.rstrip(" "))
    per = re.search(r" ?(?:/|per )", value)
    if per is None:
        return parse_usd(value)
    if re.fullmatch(_PER_HOUR, value[per.start() : stop]) is None:
        hint = "prices are per hour of one accelerator, as in $2.95/h"
        raise refuse(value, f"{quote(value)} is not a price per hour", span=(per.start(), stop), hint=hint)
    return within(value, 0, per.start(), parse_usd)


_KWH = {"Wh": -3, "kWh": 0, "MWh": 3, "GWh": 6, "TWh": 9}

_KILOGRAMS = {"g": -3, "kg": 0, "t": 3, "kt": 6}

_GIGABYTES = {"B": -9, "kB": -6, "KB": -6, "MB": -3, "GB": 0, "TB": 3, "PB": 6}

_BINARY = {"KiB": 2**10 / 1e9, "MiB": 2**20 / 1e9, "GiB": 2**30 / 1e9, "TiB": 2**40 / 1e9}


def parse_kwh(value: str | SupportsFloat) -> float:
    """Return an energy in kWh: ``800 kWh``, ``1.2 MWh``; a plain number is kWh.

    Raises
    ------
    QuantityError
        For any other unit: a power (``kW``) is not an energy.

    """
    if not isinstance(value, str):
        return convert(value)
    return _decimal(scan(value, example="1.2 MWh"), _KWH, base="kWh", what="energy")


def parse_kilograms(value: str | SupportsFloat) -> float:
    """Return a mass of carbon dioxide in kg: ``500 kg``, ``1.2 t``, ``3 tCO2e``; a plain number is kg.

    Raises
    ------
    QuantityError
        For any other unit.

    """
    if not isinstance(value, str):
        return convert(value)
    scanned = scan(value, example="500 kg")
    bare = re.sub(r"(?<=[gt]) ?CO2(?:eq?)?$", "", scanned.unit)
    return _decimal(scanned._replace(unit=bare), _KILOGRAMS, base="kg", what="mass")


def parse_gigabytes(value: str | SupportsFloat) -> float:
    """Return an amount of memory in GB (1e9 bytes): ``80GB``, ``80 GiB`` (85.9 GB); a plain number is GB.

    Raises
    ------
    QuantityError
        For any other unit.

    """
    if not isinstance(value, str):
        return convert(value)
    scanned = scan(value, example="80GB")
    if scanned.unit in _BINARY:
        return scanned.value(factor=_BINARY[scanned.unit])
    return _decimal(scanned, _GIGABYTES, base="GB", what="memory")


def _decimal(scanned: Scanned, units: Mapping[str, int], *, base: str, what: str) -> float:
    if scanned.unit and scanned.unit not in units:
        hint = case_hint(scanned, units) or f"for example {scanned.numeral} {base}"
        message = f"{quote(scanned.unit)} in {quote(scanned.text)} is not a unit of {what}"
        raise scanned.refuse_unit(message, hint=hint)
    return scanned.value(shift=units[scanned.unit or base])


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
