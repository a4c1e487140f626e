"""Read a loss as people quote it: a number in the law's unit, a perplexity, nats or bits per token or byte."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError, quote
from scaleplan.tables.loss_units import LOSS_UNITS, LossUnit, unit_in_name
from scaleplan.units import format_plain, parse_positive
from scaleplan.units.numeral import scan

if TYPE_CHECKING:
    from scaleplan.presets.preset import Conventions
    from scaleplan.units import Amount

__all__ = ["parse_loss"]

_UNITS = "12 perplexity, 2.1 nats/token, 3.0 bits/token or 0.95 bits/byte"


def parse_loss(value: Amount, conventions: Conventions) -> float:
    """Return a loss in the unit of a law, which a text without a unit is in: ``2.1``, ``12 ppl``, ``0.95 bpb``.

    Raises QuantityError for a text that is no loss, and UsageError for a unit that the law's own does not follow
    from, as that of bytes from tokens without the bytes of a token.
    """
    scanned = scan(value, example="2.1") if isinstance(value, str) else None
    if scanned is None or not scanned.unit:
        return parse_positive(value)
    given = _unit_of(scanned.unit)
    if given is None:
        message = f"{quote(scanned.unit)} in {quote(scanned.text)} is no unit of a loss"
        raise scanned.refuse_unit(message, hint=f"write {_UNITS}")
    own = _unit_of(conventions.loss)
    if own is None:
        raise UsageError(f"the unit of this law's loss is {conventions.loss}", hint="give the loss as a plain number")
    amount = scanned.value()
    if given.scale == "ppl" and amount <= 1:
        raise scanned.refuse_unit(f"a perplexity is above 1, not {format_plain(amount)}", hint=f"write {_UNITS}")
    nats = math.log(amount) if given.scale == "ppl" else amount * (math.log(2) if given.scale == "bits" else 1.0)
    if given.per != own.per:
        nats *= _ratio(given.per, own.per, conventions, scanned.text)
    return nats / math.log(2) if own.scale == "bits" else nats


def _unit_of(text: str) -> LossUnit | None:
    """Return the unit that a text names; of a token where it says nothing of what it is per."""
    if text in LOSS_UNITS:
        return LOSS_UNITS[text]
    scale, per = unit_in_name(text)
    return None if scale is None else LossUnit(scale, per or "token")


def _ratio(given: str, own: str, conventions: Conventions, text: str) -> float:
    """Return how many of what the loss is given for are in one of what the law's loss is per."""
    size = conventions.bytes_per_token
    problem = f"{quote(text)} is per {given}, and the law's loss is {conventions.loss}"
    if {given, own} != {"token", "byte"}:
        raise UsageError(problem, hint=f"write {_UNITS}")
    if size is None and own == "byte":  # the bytes of a token can be stated for laws per token alone
        raise UsageError(problem, hint=f"give it in {conventions.loss}")
    if size is None:
        raise UsageError(problem, hint="--bytes-per-token states the bytes of a token, such as 4.3")
    return size if own == "token" else 1 / size
