"""Find the number a text begins with, and the unit that follows it.

Every amount is a numeral, an optional space and an optional unit. This module reads the numeral, refuses what
is not one with a pointer at the wrong character, and leaves the unit to the parser of the quantity.
"""

from __future__ import annotations

import math
import re
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import QuantityError, quote

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsFloat, TypeVar

    Value = TypeVar("Value")

LONGEST = 100
"""Characters an amount may have: enough for any float with its unit, and a bound on the work."""

_SEPARATED = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+(?:_[0-9]+)*)(?:\.[0-9]*)?|\.[0-9]+"

_MANTISSA = re.compile(_SEPARATED)

_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)")

_POWER = rf"(?:(?P<mantissa>{_SEPARATED}) ?[*x×] ?)?10 ?(?:\^|\*\*) ?(?P<exponent>[0-9]{{1,3}})(?![0-9.,_])"


class Scanned(NamedTuple):
    """A numeral as decimal digits and exponent, and the unit behind it.

    The value stays text until its unit is known, so that ``2.78B`` is exactly the float 2.78e9. ``powered`` is
    whether a power of ten is written out, as in ``1e21`` and ``10^21``.
    """

    text: str
    digits: str
    exponent: int
    start: int
    stop: int
    unit: str
    unit_start: int
    powered: bool = False

    @property
    def numeral(self) -> str:
        """The number as the user wrote it."""
        return self.text[self.start : self.stop]

    def value(self, *, shift: int = 0, factor: float = 1.0, suffix: str | None = None) -> float:
        """Return the number times ``10**shift * factor``; finite and above 0, or refused.

        ``suffix`` is the letter or the word of size that the shift comes from: with a power of ten before it the
        amount could be either of two, a million million times apart (``5e12T`` mostly means 5e12 tokens).
        """
        span = (self.start, self.stop)
        if self.powered and suffix:
            raise self._two_powers(suffix, shift)
        number = float(f"{self.digits}e{self.exponent + shift}") * factor
        if number > 0 and math.isfinite(number):
            return number
        if number > 0:
            raise refuse(self.text, f"{quote(self.text)} is too large", span=span, hint="the largest amount is 1e308")
        if self.digits.strip("0."):
            raise refuse(
                self.text, f"{quote(self.text)} is too small", span=span, hint="the smallest amount is 1e-308"
            )
        raise refuse(self.text, f"{quote(self.text)} is not above 0", span=span)

    def _two_powers(self, suffix: str, shift: int) -> QuantityError:
        space = " " if len(suffix) > 1 else ""
        readings = [f"{self.digits}{space}{suffix}", f"{self.digits}e{self.exponent}"]
        if shift != self.exponent:  # as one amount only where the two do not say the same twice
            readings.append(f"{self.digits}e{self.exponent + shift}")
        message = f"{quote(self.text)} has both a power of ten and the suffix {quote(suffix)}"
        span = (self.start, self.unit_start + len(suffix))
        return refuse(self.text, message, span=span, hint=f"{', '.join(readings[:-1])} or {readings[-1]}?")

    def refuse_unit(self, message: str, *, hint: str | None = None) -> QuantityError:
        """Return the error that points at the unit, or at the number when there is none."""
        span = (self.unit_start, self.unit_start + len(self.unit)) if self.unit else (self.start, self.stop)
        return refuse(self.text, message, span=span, hint=hint)


def refuse(text: str, message: str, *, span: tuple[int, int] | None = None, hint: str | None = None) -> QuantityError:
    """Return the error for a part of ``text``; for all of it without a ``span``."""
    return QuantityError(message, text=text, span=span or (0, len(text)), hint=hint)


def checked(text: str, *, example: str = "1e21") -> str:
    """Return ``text`` if it is short, not empty and plain ASCII (or ×); the constant-time gate of every parser."""
    if len(text) > LONGEST:
        start = text[:LONGEST]
        hint = "write large numbers with an exponent, as in 1e21"
        raise refuse(start, f"{quote(start)} is too long for an amount: {len(text):,} characters", hint=hint)
    for place, character in enumerate(text):
        if not (character.isascii() and character.isprintable()) and character != "×":
            raise _strange(text, place)
    if not text.strip():
        raise refuse(text, f"{quote(text)} is empty where an amount is expected", hint=f"for example {example}")
    return text


def scan(text: str, *, start: int = 0, example: str = "1e21") -> Scanned:
    """Read the numeral of ``text`` from ``start`` on.

    Accepts ``12``, ``1.5``, ``.5``, ``1e21``, ``10^21``, ``3 x 10^21``, ``1_000`` and ``1,000.5``. A comma for a
    decimal point, misplaced separators, signs and other formulas are errors with a suggestion.
    """
    checked(text, example=example)
    begin = start + len(text[start:]) - len(text[start:].lstrip(" "))
    if ("^" in text or "*" in text) and (power := re.compile(_POWER).match(text, begin)):  # few amounts have one
        _refuse_formulas(text, power.end())
        digits = (power["mantissa"] or "1").replace(",", "").replace("_", "")
        return _scanned(text, digits, int(power["exponent"]), begin, power.end(), powered=True)
    _refuse_formulas(text, begin)
    run = re.compile(r"[0-9.,_]+").match(text, begin)
    if run is None:
        raise _no_number(text, begin, example)
    if _MANTISSA.fullmatch(text, begin, run.end()) is None:
        raise _misplaced(text, begin, run.end())
    digits = run[0].replace(",", "").replace("_", "")
    stop, exponent = run.end(), 0
    written = _EXPONENT.match(text, stop)
    if written:
        stop, exponent = written.end(), int(written[1])
        if text[stop : stop + 1] in {".", ",", "_"}:
            raise refuse(text, f"the exponent in {quote(text)} is not a whole number", span=(stop, stop + 1))
    elif re.compile(r"[eE](?![A-Za-z])").match(text, stop):
        hint = f"write {digits}e18, or {digits} EFLOP for compute" if text[stop] == "E" else "for example 1e21"
        raise refuse(text, f"the exponent in {quote(text)} is missing", span=(stop, stop + 1), hint=hint)
    return _scanned(text, digits, exponent, begin, stop, powered=written is not None)


def _scanned(text: str, digits: str, exponent: int, start: int, stop: int, *, powered: bool) -> Scanned:
    """Return a numeral with the unit that follows it."""
    rest = text[stop:]
    unit_start = stop + len(rest) - len(rest.lstrip(" "))
    return Scanned(text, digits, exponent, start, stop, rest.strip(" "), unit_start, powered)


def within(text: str, start: int, stop: int, parse: Callable[[str], Value]) -> Value:
    """Parse a part of ``text``; an error points into the whole of it."""
    try:
        return parse(text[start:stop])
    except QuantityError as error:
        span = (error.span[0] + start, error.span[1] + start)
        raise refuse(text, error.message, span=span, hint=error.hint) from None


def shown(number: float) -> str:
    """Write a number shortly, for a message about it: ``1e16``, ``0.4``."""
    return f"{number:g}".replace("e+", "e")


def convert(value: SupportsFloat) -> float:
    """Return a Python or NumPy number as a float; finite and above 0, or refused with a QuantityError."""
    if isinstance(value, bool) or not isinstance(value, Real):
        text = str(value)[:LONGEST]
        raise refuse(text, f"{quote(text)} is not an amount: expected text or a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        raise refuse("", "the number is too large", hint="the largest amount is 1e308") from None
    if not (math.isfinite(number) and number > 0):
        text = shown(number)
        raise refuse(text, f"{quote(text)} is not a finite number above 0")
    return number


def _strange(text: str, place: int) -> QuantityError:
    character = text[place]
    if character in "€£¥₹":
        hint = "write the code of the currency, as in 250k EUR"
    elif character in "−–—":
        hint = "amounts are above 0"
    elif character.isspace():
        hint = "use a plain space, or none"
    else:
        hint = "amounts are plain text: digits, a point, letters"
    return refuse(text, f"unexpected character in {quote(text)}", span=(place, place + 1), hint=hint)


def _refuse_formulas(text: str, start: int) -> None:
    mark = re.compile(r"[\^*×]|(?<=[0-9])x(?= ?10)").search(text, start)
    if mark is None:
        return
    hint = "write powers of ten with an e, as in 1e21"
    raise refuse(text, f"{quote(text)} is a formula, not a number", span=mark.span(), hint=hint)


def _no_number(text: str, begin: int, example: str) -> QuantityError:
    word = re.compile(r"[+-]?[A-Za-z]*").match(text, begin)
    stop = max(begin + 1, word.end() if word else 0)
    name = text[begin:stop]
    if name.lstrip("+-").casefold() in {"nan", "inf", "infinity"}:
        return refuse(
            text, f"{quote(text)} is not a finite amount", span=(begin, stop), hint=f"for example {example}"
        )
    if name.startswith("-"):
        return refuse(text, f"{quote(text)} is not above 0", span=(begin, stop), hint="amounts have no sign")
    if name.startswith("+"):
        return refuse(text, f"unexpected sign in {quote(text)}", span=(begin, stop), hint="amounts have no sign")
    message = f"{quote(text)} does not start with a number"
    return refuse(text, message, span=(begin, stop), hint=f"for example {example}")


def _misplaced(text: str, begin: int, end: int) -> QuantityError:
    run = text[begin:end]
    good = max((k for k in range(len(run)) if _MANTISSA.fullmatch(run[:k])), default=0)
    hint = "separate thousands with '_' or ',' in groups of three, decimals with one point"
    if european := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{3})*|[0-9]+),([0-9]+)", run):
        hint = f"write {european[1].replace('.', '')}.{european[2]} with a decimal point"
    elif re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{3})+", run):
        hint = f"write {run.replace('.', ',')}"
    return refuse(
        text, f"misplaced {quote(run[good])} in {quote(text)}", span=(begin + good, begin + good + 1), hint=hint
    )
