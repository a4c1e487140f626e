"""How long: wall-clock time, and the accelerator-hours that a budget counts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.errors import quote
from scaleplan.quantities.amounts import SCALE_WORDS, SCALES
from scaleplan.quantities.numeral import convert, refuse, scan

if TYPE_CHECKING:
    from typing import SupportsFloat

__all__ = ["DAYS_PER_MONTH", "DAYS_PER_YEAR", "SECONDS_PER_DAY", "parse_days", "parse_hours", "parse_seconds"]

SECONDS_PER_DAY = 86400.0

DAYS_PER_YEAR = 365.25
"""The Julian year."""

DAYS_PER_MONTH = DAYS_PER_YEAR / 12
"""A mean month, 30.4375 days."""

_UNITS = {
    "year": DAYS_PER_YEAR * SECONDS_PER_DAY,
    "month": DAYS_PER_MONTH * SECONDS_PER_DAY,
    "week": 7 * SECONDS_PER_DAY,
    "day": SECONDS_PER_DAY,
    "hour": 3600.0,
    "minute": 60.0,
    "second": 1.0,
}
_SHORT = {
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
        unit = _SHORT.get(lower) or _SHORT.get(lower.removesuffix("s")) or lower.removesuffix("s")
        if unit not in _UNITS:
            hint = "for example 30d, 36h, 90min, 2 weeks or 1d12h"
            raise scanned.refuse_unit(f"{quote(scanned.unit)} in {quote(value)} is not a unit of time", hint=hint)
        if _UNITS[unit] >= smallest:
            hint = "write each unit once, the largest first: 1d12h"
            raise scanned.refuse_unit(f"{quote(word)} is out of order in {quote(value)}", hint=hint)
        smallest = _UNITS[unit]
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
