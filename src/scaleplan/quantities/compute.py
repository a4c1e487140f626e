"""How much compute: FLOP, or a rate times a time such as PF-days."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.errors import quote
from scaleplan.quantities.amounts import SCALE_WORDS, SCALES
from scaleplan.quantities.numeral import Scanned, convert, scan

if TYPE_CHECKING:
    from typing import SupportsFloat

    from scaleplan.errors import QuantityError

__all__ = ["FLOP_PER_PF_DAY", "parse_flops"]

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
