"""Read the text of an amount: a numeral, and a unit that belongs to the kind of quantity.

Every parser takes a text, or a number in the base unit of its kind (a count, FLOP, seconds, hours, US dollars, kWh,
kg, GB), and returns a finite number above 0 in that unit. Anything else is a QuantityError that points at the wrong
part of the text and suggests what to write. Upper and lower case matter where a letter is a factor.
"""

from __future__ import annotations

import re
from functools import partial, wraps
from typing import TYPE_CHECKING, Literal, NamedTuple

from scaleplan.errors import UnknownNameError, quote
from scaleplan.units.numeral import Scanned, checked, convert, refuse, scan, shown, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import SupportsFloat

    from scaleplan.errors import QuantityError

    Parser = Callable[[str | SupportsFloat], float]

Amount = str | float
"""An amount as given: ``"1e21"``, ``"2.5 ZFLOP"``, or a number in the base unit."""

_SCALES = {"k": 3, "K": 3, "m": 6, "M": 6, "b": 9, "B": 9, "G": 9, "t": 12, "T": 12}

_WORDS = {"": 0, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "mn": 6, "bn": 9, "tn": 12}

_WORD = r"(?i:thousand|million|billion|trillion|mn|bn|tn)"

# a small b or m is 1e9 or 1e6 of what is counted (pythia-70m), but a time, a memory and a rate have other units of it
_SCALE, _MONEY_SCALE = (rf"(?:(?P<letter>[{letters}])|(?P<word>{_WORD}))?" for letters in ("kKmMbBGtT", "kKmMbBT"))

MOST_COUNT = 1e16
"""More parameters or tokens than any run will have: the largest corpora have 1e14 tokens, and text has about 3e15."""

LEAST_COUNT = 1e3
"""Fewer parameters or tokens than any language model has: one layer of width 8 has as many."""

_LARGEST_INTEGER = 2**53  # beyond, neighbouring integers are one float

SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86400.0

GIGA = 1e9
"""Bytes of a gigabyte, which is decimal everywhere here."""

DAYS_PER_YEAR = 365.25
"""The Julian year; a month is a twelfth of it, 30.4375 days."""

_SECONDS = {
    **dict.fromkeys(("y", "yr", "year"), DAYS_PER_YEAR * SECONDS_PER_DAY),
    **dict.fromkeys(("mo", "month"), DAYS_PER_YEAR / 12 * SECONDS_PER_DAY),
    **dict.fromkeys(("w", "wk", "week"), 7 * SECONDS_PER_DAY),
    **dict.fromkeys(("d", "day"), SECONDS_PER_DAY),
    **dict.fromkeys(("h", "hr", "hour"), SECONDS_PER_HOUR),
    **dict.fromkeys(("min", "minute"), 60.0),
    **dict.fromkeys(("s", "sec", "second"), 1.0),
}


def _numbers_too(read: Callable[[str], float]) -> Parser:
    """Let a parser of text take numbers in the base unit as well."""

    @wraps(read)
    def parser(value: str | SupportsFloat) -> float:
        return read(value) if isinstance(value, str) else convert(value)

    return parser


def _shift(match: re.Match[str]) -> int:
    """Return the power of ten of a scale, a letter or a word."""
    return _SCALES[match["letter"]] if match["letter"] else _WORDS[(match["word"] or "").casefold()]


def _suffix(match: re.Match[str]) -> str | None:
    """Return the letter or the word of a scale; None where there is none."""
    return match["letter"] or match["word"]


def _case_hint(scanned: Scanned, units: Iterable[str]) -> str | None:
    """Return a hint when the unit is one of ``units`` in the wrong case."""
    close = [unit for unit in units if unit.casefold() == scanned.unit.casefold()]
    return f"upper and lower case matter: write {scanned.numeral}{close[-1]}" if close else None


def parse_count(
    value: str | SupportsFloat, *, what: Literal["params", "tokens"] = "params", most: float = MOST_COUNT
) -> float:
    """Return a number of parameters or tokens: ``70B``, ``7b``, ``1.4T tokens``, ``7_000_000``, ``1.5 billion``.

    One above ``most`` is refused: more often than not it is a suffix too many.
    """
    example, counted = ("70B", "parameters") if what == "params" else ("1.4T", "tokens")
    if isinstance(value, str):
        number, text = _count(value, what, example, counted), value
    else:
        number, text = convert(value), shown(value) if isinstance(value, float) else str(value)[:100]
    if number > most:
        hint = f"at most {shown(most)}; for example {example}"
        raise refuse(text, f"{quote(text)} is more {counted} than any run has", hint=hint)
    return number


def _count(value: str, what: str, example: str, counted: str) -> float:
    scanned = scan(value, example=example)
    match = re.fullmatch(rf"{_SCALE}[ -]?(?P<noun>(?i:tokens?|params?|parameters?))?", scanned.unit)
    if match is None:
        hint = _case_hint(scanned, _SCALES) or f"for example {example}"
        raise scanned.refuse_unit(f"{quote(scanned.unit)} in {quote(value)} is not a number of {counted}", hint=hint)
    noun = match["noun"]
    if noun and noun.casefold().startswith("tok") != (what == "tokens"):
        raise scanned.refuse_unit(f"{quote(value)} are {noun.casefold()} where {counted} are expected")
    if match["letter"] == "t" and what == "tokens" and not noun:
        hint = f"{scanned.numeral}T or {scanned.numeral} tokens?"
        raise scanned.refuse_unit(f"'t' in {quote(value)} could be trillions or tokens", hint=hint)
    return scanned.value(shift=_shift(match), suffix=_suffix(match))


@_numbers_too
def parse_positive(value: str) -> float:
    """Return a plain number, without a unit: a ratio, a loss, a number of epochs."""
    return _plain(scan(value, example="2.5"))


def _plain(scanned: Scanned) -> float:
    if scanned.unit:
        message = f"unexpected {quote(scanned.unit)} in {quote(scanned.text)}"
        raise scanned.refuse_unit(message, hint=f"a plain number is expected: write {scanned.numeral}")
    return scanned.value()


def parse_integer(value: str | SupportsFloat) -> int:
    """Return a whole number of at most 2**53: ``64``, ``1,024``, ``1e3``, ``2k``, ``512 GPUs``."""
    if isinstance(value, str):
        scanned = scan(value, example="64")
        match = re.fullmatch(r"([kKM])?(?: ?(?i:gpus?|accelerators?|devices?|chips?))?", scanned.unit)
        if match is None:
            message = f"{quote(scanned.unit)} in {quote(value)} is not a unit of a whole number"
            raise scanned.refuse_unit(message, hint=f"write {scanned.numeral}")
        number, text = scanned.value(shift=_SCALES.get(match[1] or "", 0), suffix=match[1]), value
    else:
        number, text = convert(value), str(value)[:100]
    if not number.is_integer():
        hint = f"write {int(number)} or {int(number) + 1}" if 1 <= number < _LARGEST_INTEGER else None
        raise refuse(text, f"{quote(text)} is not a whole number", hint=hint)
    if number > _LARGEST_INTEGER:
        raise refuse(text, f"{quote(text)} is too large for a whole number")
    return int(number)


def parse_fraction(value: str | SupportsFloat) -> float:
    """Return a share of a whole, at most 1: ``0.4`` or ``40%``."""
    number = parse_ratio(value)
    if number <= 1:
        return number
    text = str(value)[:100]
    meant = number <= 100 and "%" not in text
    hint = f"{shown(number)}% or {shown(number / 100)}?" if meant else "at most 1, or 100%"
    raise refuse(text, f"{quote(text)} is not a fraction between 0 and 1", hint=hint)


@_numbers_too
def parse_ratio(value: str) -> float:
    """Return a ratio, which may exceed 1: ``0.05``, ``5%`` or ``250%``."""
    scanned = scan(value, example="0.4")
    return scanned.value(shift=-2) if scanned.unit == "%" else _plain(scanned)


FLOP_PER_PF_DAY = 8.64e19
"""1e15 FLOP/s for 86,400 s."""

_PREFIXES = {"k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21, "Y": 24, "R": 27}

_LONG_PREFIXES = {
    name: 3 * place
    for place, name in enumerate("kilo mega giga tera peta exa zetta yotta ronna".split(), start=1)  # noqa: SIM905
}

_FLOPS = (
    rf"(?:(?P<word>{_WORD}) )?"
    rf"(?:(?P<prefix>[kKMGTPEZYR])|(?P<long>(?i:{'|'.join(_LONG_PREFIXES)})))?"
    r"(?P<flop>FLOPS|FLOPs?|flops?|F)(?P<rate>/s(?:ec|econd)?|ps)?"
    r"(?:[- ]?(?P<time>seconds?|hours?|hr?|days?|d|years?|yr?))?"
)


@_numbers_too
def parse_flops(value: str) -> float:
    """Return compute in FLOP: ``1e21``, ``3.2 ZFLOP``, ``1 EF``, ``500 PF-days``, ``500 PFLOP/s-days``.

    A rate (``FLOPS``, ``FLOP/s``) is not an amount, and a suffix without its unit (``70B``, ``1E``) could mean
    several things: both are refused.
    """
    scanned = scan(value)
    if not scanned.unit:
        return scanned.value()
    match = re.fullmatch(_FLOPS, scanned.unit)
    if match is None or (match["flop"] == "F" and not (match["prefix"] or match["long"])):
        raise _no_flops(scanned)
    time = match["time"]
    plural = match["flop"] == "flops" and match["long"] is not None  # "petaflops" nearly always means a rate
    if time is None and (match["rate"] or match["flop"] == "FLOPS" or plural):
        name = f"{match['prefix'] or match['long'] or ''}{match['flop'].rstrip('Ss')}"
        hint = f"write {scanned.numeral} {name} for an amount, or a rate times a time: 500 PFLOP/s-days"
        raise scanned.refuse_unit(f"{quote(value)} is a rate, not an amount of compute", hint=hint)
    shift = _WORDS[(match["word"] or "").casefold()]
    if match["prefix"] or match["long"]:
        shift += _PREFIXES[match["prefix"]] if match["prefix"] else _LONG_PREFIXES[match["long"].casefold()]
    return scanned.value(shift=shift, factor=_SECONDS[time[0]] if time else 1.0, suffix=match["word"])


def _no_flops(scanned: Scanned) -> QuantityError:
    unit, numeral, text = scanned.unit, scanned.numeral, quote(scanned.text)
    if unit in _SCALES or unit in _PREFIXES:
        power = {**_SCALES, **_PREFIXES}[unit]
        prefix = next(letter for letter in reversed(_PREFIXES) if _PREFIXES[letter] == power)
        hint = f"write {numeral} {prefix}FLOP"
        return scanned.refuse_unit(f"{text} has no unit of compute, only a suffix", hint=hint)
    if re.fullmatch(r"(?i:.*(?:hours?|h|usd|\$))", unit):
        hint = "GPU-hours and money become compute with a GPU, its utilisation and its price"
        return scanned.refuse_unit(f"{text} is not an amount of compute", hint=hint)
    if re.fullmatch(_FLOPS, unit, re.IGNORECASE) and not unit.casefold().startswith("f"):
        hint = f"upper and lower case matter: for example {numeral} PFLOP or {numeral} PF-days"
    else:
        hint = "for example 1e21, 3.2 ZFLOP or 500 PF-days"
    return scanned.refuse_unit(f"{quote(unit)} in {text} is not a unit of compute", hint=hint)


@_numbers_too
def parse_seconds(value: str) -> float:
    """Return a wall-clock time in seconds: ``30d``, ``2 weeks``, ``36h``, ``90 min``, ``1d12h``.

    Text needs its unit, and ``m`` is refused (minutes or months?).
    """
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
        seconds = _SECONDS.get(lower) or _SECONDS.get(lower.removesuffix("s"))
        if seconds is None:
            hint = "for example 30d, 36h, 90min, 2 weeks or 1d12h"
            raise scanned.refuse_unit(f"{quote(scanned.unit)} in {quote(value)} is not a unit of time", hint=hint)
        if seconds >= smallest:
            hint = "write each unit once, the largest first: 1d12h"
            raise scanned.refuse_unit(f"{quote(word)} is out of order in {quote(value)}", hint=hint)
        smallest = seconds
        total += scanned.value(factor=smallest)
        start = scanned.unit_start + len(word)
    if total == float("inf"):
        raise refuse(value, f"{quote(value)} is too large")
    return total


@_numbers_too
def parse_days(value: str) -> float:
    """Return a wall-clock time in days; without a unit the text is days too."""
    scanned = scan(value, example="30")
    return parse_seconds(value) / SECONDS_PER_DAY if scanned.unit else scanned.value()


_HOURS = (
    rf"(?:(?P<letter>k(?=[A-Z])|[kKMBGT](?=[ -]|$|h$|(?i:hours?$|hrs?$|gpu)))|"
    rf"(?P<word>{_WORD}(?=[ -]|$|h$|(?i:hours?$|hrs?$|gpu))))?"
    r"[ -]?"
    r"(?:(?P<device>[A-Za-z][A-Za-z0-9._]*(?:[-_ ][A-Za-z0-9._]+)*?)"
    r"(?:[ -]|(?<=[0-9])|(?<=(?i:gpu))|(?<=(?i:gpus))))??"
    r"(?P<unit>hours?|hrs?|h|days?)?"
)

_ANY_DEVICE = {"gpu", "gpus", "accelerator", "accelerators", "device", "devices", "chip", "chips"}


def parse_hours(value: str | SupportsFloat) -> tuple[float, str | None]:
    """Return GPU-hours (``5000``, ``2k H100-hours``, ``10k GPUh``, ``100 A100-days``) and the accelerator.

    The accelerator is as written (``"H100"``); None for ``GPU`` or nothing.
    """
    if not isinstance(value, str):
        return convert(value), None
    example = "2k H100-hours or 5000"
    scanned = scan(value, example=example)
    match = re.fullmatch(_HOURS, scanned.unit)
    if match is None or (match["unit"] is None and match["device"]):
        hint = f"for example {example}"
        raise scanned.refuse_unit(f"{quote(scanned.unit)} in {quote(value)} is not GPU-hours", hint=hint)
    device, unit = match["device"], match["unit"]
    days = unit is not None and unit.startswith("d")
    if days and device is None:
        hint = f"write {scanned.numeral} GPU-days, or give the GPUs and the time"
        raise refuse(value, f"{quote(value)} could be days of one GPU or of many", hint=hint)
    named = None if device is None or device.casefold() in _ANY_DEVICE else device
    return scanned.value(shift=_shift(match), factor=24.0 if days else 1.0, suffix=_suffix(match)), named


def _hours(value: str | SupportsFloat) -> float:
    """Return GPU-hours of no accelerator in particular."""
    hours, accelerator = parse_hours(value)
    if accelerator is not None:
        text = str(value)
        place = text.find(accelerator)
        message = f"{quote(text)} names a GPU where hours of any are counted"
        raise refuse(text, message, span=(place, place + len(accelerator)), hint="write GPU-hours")
    return hours


_CURRENCY = r" ?(?:US\$|\$|(?i:usd|(?:us )?dollars?))?"

_PER_HOUR = r" ?(?:/|per ) ?(?:(?i:gpu|accelerator|device|chip)[- ]?)?(?:h|hr|hour)"

_PER_KWH = r" ?(?:/|per ) ?(?i:kwh)"

USD = "USD"
"""The currency of prices in files, and of amounts of money that name none."""

_CODES: Mapping[str, str] = {
    "eur": "EUR",
    "euro": "EUR",
    "euros": "EUR",
    "gbp": "GBP",
    "pound": "GBP",
    "pounds": "GBP",
    "jpy": "JPY",
    "yen": "JPY",
    "cny": "CNY",
    "rmb": "CNY",
    **{code.casefold(): code for code in ("CHF", "INR", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN", "KRW", "SGD")},
    **{code.casefold(): code for code in ("HKD", "TWD", "BRL", "ILS", "ZAR", "AED", "SAR", "CZK")},
}
"""The currencies other than US dollars that an amount may name, by what it may write; the longest word first."""

_OTHER_CURRENCY = re.compile("|".join(sorted(_CODES, key=len, reverse=True)), re.IGNORECASE)


class ExchangeRate(NamedTuple):
    """What one unit of another currency is worth in US dollars, by a rate that the user states.

    The whole answer to a question with a rate is in its currency: whatever is read in dollars is divided by the rate.
    """

    currency: str
    usd: float

    def __str__(self) -> str:
        return f"1 {self.currency} = {self.usd:g} USD"

    def of_usd(self, value: float) -> float:
        """Return an amount of dollars in the currency of the rate."""
        return value / self.usd


def parse_exchange_rate(value: str | ExchangeRate) -> ExchangeRate:
    """Return a rate between US dollars and another currency: ``1 EUR = 1.08 USD``, ``1 USD = 0.93 EUR``."""
    if isinstance(value, ExchangeRate):
        return value
    hint = "for example '1 EUR = 1.08 USD'"
    if not isinstance(value, str):
        raise refuse(str(value)[:100], f"{str(value)[:100]} does not name two currencies", hint=hint)
    checked(value, example="1 EUR = 1.08 USD")
    left, equals, right = value.partition("=")
    if not equals or not right.strip():
        raise refuse(value, f"{quote(value)} is no exchange rate", hint=hint)
    sides = [within(value, 0, len(left), stated_money), within(value, len(left) + 1, len(value), stated_money)]
    if {USD} & {sides[0][1], sides[1][1]} and sides[0][1] != sides[1][1] and None not in (sides[0][1], sides[1][1]):
        (other, code), (usd, _) = sorted(sides, key=lambda side: side[1] == USD)
        if 0 < usd / other < float("inf"):
            return ExchangeRate(str(code), usd / other)
    raise refuse(value, f"{quote(value)} is no rate between US dollars and another currency", hint=hint)


def stated_money(value: str) -> tuple[float, str | None]:
    """Return an amount of money and the currency that it names; None for one that names none."""
    example = "250k USD"
    checked(value, example=example)
    other = _OTHER_CURRENCY.search(value)
    plain = value if other is None else value[: other.start()] + " " * len(other[0]) + value[other.end() :]
    before = re.match(r" *(?:US\$|\$|USD(?= |[0-9.]))", plain)
    scanned = scan(plain, start=before.end() if before else 0, example=example)._replace(text=value)
    match = re.fullmatch(_MONEY_SCALE + _CURRENCY, scanned.unit)
    if match is None:
        hint = _case_hint(scanned, ("k", "M", "B", "T")) or f"for example {example}"
        message = f"{quote(scanned.unit)} in {quote(value)} is not an amount of money"
        raise scanned.refuse_unit(message, hint=hint)
    in_dollars = before is not None or not re.fullmatch(_MONEY_SCALE, scanned.unit)
    if other is not None and in_dollars:
        raise refuse(value, f"{quote(value)} names two currencies", span=other.span(), hint="name one of them")
    code = _CODES[other[0].casefold()] if other else USD if in_dollars else None
    return scanned.value(shift=_shift(match), suffix=_suffix(match)), code


def stated_currency(word: str) -> str | None:
    """Return the currency that a word of an amount names, as in ``EUR 2.50``; None where it names none."""
    other = _OTHER_CURRENCY.fullmatch(word)
    return _CODES[other[0].casefold()] if other else USD if word == USD else None


def in_currency(
    value: float, stated: str | None, rate: ExchangeRate | None, *, text: str, span: tuple[int, int] | None = None
) -> float:
    """Return an amount of money in the currency of the question: that of the rate, or US dollars without one.

    Raises QuantityError for another currency than those two, and with a rate for an amount that names none.
    """
    if rate is None:
        if stated in (None, USD):
            return value
        hint = f"state what it is worth with --exchange-rate '1 {stated} = X USD', X the rate of your day"
        raise refuse(text, f"{quote(text)} is in another currency", span=span, hint=hint)
    if stated == rate.currency:
        return value
    if stated == USD:
        return rate.of_usd(value)
    if stated is None:
        message = f"{quote(text)} could be {rate.currency} or US dollars beside an exchange rate"
        raise refuse(text, message, span=span, hint=f"write {text.strip()} {rate.currency} or {text.strip()} USD")
    hint = f"amounts are in US dollars or {rate.currency}, by the rate {rate}"
    raise refuse(text, f"{quote(text)} is in another currency", span=span, hint=hint)


def parse_usd(value: str | SupportsFloat, rate: ExchangeRate | None = None) -> float:
    """Return US dollars, or an amount in the currency of a rate.

    US dollars are ``250k USD``, ``$250k``, ``1.2M$``, ``$1.5 million``, and without a rate ``250,000``; ``250k EUR``
    needs a rate.
    """
    if not isinstance(value, str):
        number = convert(value)
        return number if rate is None else in_currency(number, None, rate, text=f"{number:.15g}")
    amount, stated = stated_money(value)
    other = _OTHER_CURRENCY.search(value)
    return in_currency(amount, stated, rate, text=value, span=other.span() if other else None)


def parse_usd_per_hour(value: str | SupportsFloat, rate: ExchangeRate | None = None) -> float:
    """Return a price per accelerator-hour in US dollars, or in the currency of a rate: ``2.95``, ``$2.95/h``."""
    return _money_per(value, rate, _PER_HOUR, "prices are per hour of one accelerator, as in $2.95/h", "hour")


def parse_usd_per_kwh(value: str | SupportsFloat, rate: ExchangeRate | None = None) -> float:
    """Return a price of power in US dollars, or in the currency of a rate: ``0.08``, ``0.12 USD/kWh``."""
    return _money_per(value, rate, _PER_KWH, "prices of power are per kWh, as in 0.08 USD/kWh", "kWh")


def _money_per(value: str | SupportsFloat, rate: ExchangeRate | None, unit: str, hint: str, noun: str) -> float:
    if not isinstance(value, str):
        return parse_usd(value, rate)
    checked(value, example=hint.rpartition(" in ")[2])
    stop = len(value.rstrip(" "))
    per = re.search(r" ?(?:/|per )", value)
    if per is None:
        return parse_usd(value, rate)
    if re.fullmatch(unit, value[per.start() : stop]) is None:
        raise refuse(value, f"{quote(value)} is not a price per {noun}", span=(per.start(), stop), hint=hint)
    return within(value, 0, per.start(), partial(parse_usd, rate=rate))


@_numbers_too
def parse_kwh(value: str) -> float:
    """Return an energy in kWh: ``800 kWh``, ``1.2 MWh``; a power (``kW``) is not an energy."""
    units = {"Wh": -3, "kWh": 0, "MWh": 3, "GWh": 6, "TWh": 9}
    return _decimal(scan(value, example="1.2 MWh"), units, base="kWh", what="energy")


@_numbers_too
def parse_kilograms(value: str) -> float:
    """Return a mass of carbon dioxide in kg: ``500 kg``, ``1.2 t``, ``3 tCO2e``."""
    scanned = scan(value, example="500 kg")
    bare = re.sub(r"(?<=[gt]) ?CO2(?:eq?)?$", "", scanned.unit)
    return _decimal(scanned._replace(unit=bare), {"g": -3, "kg": 0, "t": 3, "kt": 6}, base="kg", what="mass")


_LEAST_BYTES = 1e6
"""No memory that a plan is about is smaller: ``80B`` is far more often 80 GB than 80 bytes."""

_BINARY = {"KiB": 2**10 / 1e9, "MiB": 2**20 / 1e9, "GiB": 2**30 / 1e9, "TiB": 2**40 / 1e9}


@_numbers_too
def parse_gigabytes(value: str) -> float:
    """Return memory in GB (1e9 bytes): ``80GB``, ``80gb``, ``80 GiB`` (85.9 GB); a letter alone is no unit of it."""
    scanned = scan(value, example="80GB")
    for unit, factor in _BINARY.items():
        if scanned.unit.casefold() == unit.casefold():
            return scanned.value(factor=factor)
    units = {"B": -9, "kB": -6, "KB": -6, "MB": -3, "GB": 0, "TB": 3, "PB": 6, "mb": -3, "gb": 0, "tb": 3}
    if scanned.unit in {"b", "B"} and (scanned.unit == "b" or scanned.value() < _LEAST_BYTES):
        hint = f"{scanned.numeral} GB, or {scanned.numeral} bytes?"
        raise scanned.refuse_unit(f"{quote(value)} could be bytes or billions of them", hint=hint)
    return _decimal(scanned, units, base="GB", what="memory")


def _decimal(scanned: Scanned, units: Mapping[str, int], *, base: str, what: str) -> float:
    if scanned.unit and scanned.unit not in units:
        hint = _case_hint(scanned, units) or f"for example {scanned.numeral} {base}"
        message = f"{quote(scanned.unit)} in {quote(scanned.text)} is not a unit of {what}"
        raise scanned.refuse_unit(message, hint=hint)
    return scanned.value(shift=units[scanned.unit or base])


KINDS: Mapping[str, Parser] = {
    "params": parse_count,
    "tokens": partial(parse_count, what="tokens"),
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
    "usd_per_kwh": parse_usd_per_kwh,
    "kwh": parse_kwh,
    "kilograms": parse_kilograms,
    "gigabytes": parse_gigabytes,
}
"""The parser of every kind, by name."""


def parse(kind: str, value: str | SupportsFloat) -> float:
    """Return an amount of the named kind, in its base unit; UnknownNameError when there is no such kind."""
    if kind not in KINDS:
        raise UnknownNameError("kind of quantity", kind, KINDS)
    return KINDS[kind](value)
