"""What may change: ``cost increase > 10%``, ``total gpu_hours increase > 5000``, ``params change >= 1B``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import QuantityError, UnknownNameError, UsageError, quote
from scaleplan.policy.measure import ADDITIVE
from scaleplan.policy.wording import amount
from scaleplan.quantities import exact, format_fraction, parse
from scaleplan.quantities.limits import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Threshold", "parse_threshold"]

_GRAMMAR = re.compile(
    r"\s*(?P<total>total\s+)?(?P<quantity>[A-Za-z_]\w*)\s+(?P<way>increase|decrease|change)\s*(?P<op>>=|>)\s*(?P<amount>.+?)\s*"
)
_NOTHING = re.compile(r"0+(?:\.0*)?\s*%?")
_EXAMPLE = "for example 'cost increase > 10%' or 'total gpu_hours increase > 5000'"
_TOLERANCE = 1e-9  # relative; a tenth more is 1.1 times as much only to the last place
_MOST_DIGITS = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A change that is too much.

    Parameters
    ----------
    quantity
        The name of the quantity.
    way
        ``increase``, ``decrease``, or ``change`` for either.
    op
        ``>`` or ``>=``.
    value
        The amount in the base unit of the quantity, or the fraction of what was before if ``relative``.
    relative
        Whether it is a fraction.
    total
        Whether the sum over all runs is meant, rather than each run.
    text
        The canonical form.

    """

    quantity: str
    way: str
    op: str
    value: float
    relative: bool
    total: bool
    text: str

    def size(self, before: float, after: float) -> float | None:
        """Return the change as it is compared; None for a fraction of nothing, which is beyond any."""
        change = {"increase": after - before, "decrease": before - after, "change": abs(after - before)}[self.way]
        if not self.relative:
            return change
        return change / abs(before) if before else None if change > 0 else 0.0

    def exceeded(self, size: float | None) -> bool:
        """Return whether a change of this size is too much."""
        if size is None:
            return True
        slack = _TOLERANCE * self.value
        return size > self.value + slack if self.op == ">" else size >= self.value - slack

    def written(self, size: float | None) -> str:
        """Write the size of a change with the digits it takes to see on which side it is."""
        if size is None:
            return "from nothing"
        for digits in range(3, _MOST_DIGITS):
            text = self._amount(size, digits)
            if size <= 0 or self._amount(self.value, _MOST_DIGITS - 1) == text:
                continue
            seen = self._read(text)
            if seen is not None and self.exceeded(seen) == self.exceeded(size):
                return text
        return self._amount(size, 3)

    def _amount(self, size: float, digits: int) -> str:
        return format_fraction(size, digits=digits) if self.relative else amount(self.quantity, size, digits=digits)

    def _read(self, text: str) -> float | None:
        try:
            return parse("ratio" if self.relative else QUANTITIES[self.quantity], text)
        except QuantityError:
            return None


def parse_threshold(text: str, *, quantities: Mapping[str, str] = QUANTITIES) -> Threshold:
    """Read what may not change by so much.

    Parameters
    ----------
    text
        ``[total] QUANTITY increase|decrease|change > AMOUNT``, or ``>=``; an amount in percent is relative.
    quantities
        The names that exist, each with its kind.

    Raises
    ------
    UsageError
        For a text of another shape, an amount that cannot be read, and totals that mean nothing.
    UnknownNameError
        For a quantity that does not exist.

    Examples
    --------
    >>> parse_threshold("cost increase > 10%").value
    0.1

    """
    match = _GRAMMAR.fullmatch(text) if len(text) <= 200 else None
    if match is None:
        raise UsageError(f"{quote(text)} is not a limit on a change", hint=_EXAMPLE)
    quantity, total = match["quantity"], match["total"] is not None
    if quantity not in quantities:
        raise UnknownNameError("quantity", quantity, quantities)
    if total and quantity not in ADDITIVE:
        raise UsageError(f"the {quantity} of several runs has no total", hint=f"totals: {', '.join(ADDITIVE)}")
    relative = match["amount"].endswith("%")
    kind = "ratio" if relative else quantities[quantity]
    value = 0.0 if _NOTHING.fullmatch(match["amount"]) else parse(kind, match["amount"])
    shown = (
        "0%"
        if relative and not value
        else f"{value * 100:.12g}%"
        if relative
        else exact(kind, value)
        if value
        else "0"
    )
    prefix = "total " if total else ""
    return Threshold(
        quantity=quantity,
        way=match["way"],
        op=match["op"],
        value=value,
        relative=relative,
        total=total,
        text=f"{prefix}{quantity} {match['way']} {match['op']} {shown}",
    )
