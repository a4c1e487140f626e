"""How many: parameters, tokens, devices, plain numbers, fractions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from scaleplan.errors import quote
from scaleplan.quantities.numeral import Scanned, convert, refuse, scan

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import SupportsFloat

__all__ = [
    "SCALES",
    "SCALE_WORDS",
    "case_hint",
    "parse_count",
    "parse_fraction",
    "parse_integer",
    "parse_positive",
    "parse_ratio",
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
    return _plain(scan(value, example="2.5")).value()


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
    return scanned.value(shift=-2) if scanned.unit == "%" else _plain(scanned).value()


def case_hint(scanned: Scanned, units: Iterable[str]) -> str | None:
    """Return a hint when the unit is one of ``units`` in the wrong case."""
    close = [unit for unit in units if unit.casefold() == scanned.unit.casefold()]
    return f"upper and lower case matter: write {scanned.numeral}{close[-1]}" if close else None


def _plain(scanned: Scanned) -> Scanned:
    if scanned.unit:
        message = f"unexpected {quote(scanned.unit)} in {quote(scanned.text)}"
        raise scanned.refuse_unit(message, hint=f"a plain number is expected: write {scanned.numeral}")
    return scanned
