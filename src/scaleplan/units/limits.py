"""Limits that a plan must keep: ``params <= 70B``, ``1B <= params <= 7B``, ``loss@90% <= 2.0``.

A limit compares one named quantity with an amount of its kind. Which names exist is a table of the caller,
name to kind; the grammar is the same on the command line and in files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from scaleplan.errors import QuantityError, UnknownNameError, quote
from scaleplan.units.format import exact
from scaleplan.units.numeral import checked, refuse, scan, within
from scaleplan.units.parse import USD, in_currency, parse, parse_positive, parse_ratio, stated_money

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.units.parse import ExchangeRate

Operator = Literal["<=", ">=", "<", ">", "="]

QUANTITIES: Mapping[str, str] = {
    "params": "params",
    "tokens": "tokens",
    "unique_tokens": "tokens",
    "flops": "flops",
    "tokens_per_param": "number",
    "epochs": "number",
    "loss": "number",
    "excess_loss": "number",
    "compute_overhead": "ratio",
    "gpus": "integer",
    "gpu_hours": "hours",
    "days": "days",
    "cost": "usd",
    "energy_kwh": "kwh",
    "carbon_kg": "kilograms",
    "memory_gb": "gigabytes",
}
"""The quantities that a plan has, each with its kind."""

_OPERATOR = re.compile(r"[<>]=?|!=|=[<>]|==?")

_NAME = re.compile(r" *(?P<name>[A-Za-z_][A-Za-z0-9_]*) *(?:@(?P<level>[^@]*))?")

_MIRRORED: Mapping[Operator, Operator] = {"<=": ">=", ">=": "<=", "<": ">", ">": "<", "=": "="}

_TOLERANCE = 1e-9  # relative; a solver that stops on a bound returns it within a few units in the last place

_EXAMPLE = "params <= 70B, days <= 30, 1B <= params <= 7B"


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on one quantity, in the base unit of its kind.

    ``level`` is the confidence that the comparison must hold with, between 0 and 1 (``loss@90%``); None for the
    estimate itself. ``text`` is the canonical form, which parses to this same limit. ``money`` is an amount of
    the stated ``currency``, None where none is stated.
    """

    quantity: str
    op: Operator
    value: float
    level: float | None
    text: str
    currency: str | None = None
    money: bool = False

    def counted_in(self, rate: ExchangeRate | None) -> Limit:
        """Return the limit with its money in the currency of a rate, or US dollars without one.

        Raises QuantityError for another currency, and with a rate for a limit on money that states none.
        """
        if not self.money:
            return self
        text = self.text if self.currency else self.text.removesuffix(f" {USD}")  # as it was given
        return replace(self, value=in_currency(self.value, self.currency, rate, text=text))

    def holds(self, value: float) -> bool:
        """Return whether ``value`` keeps the limit, to 1e-9 of the bound for ``<=``, ``>=`` and ``=``."""
        slack = _TOLERANCE * abs(self.value)
        return {
            "<=": value <= self.value + slack,
            ">=": value >= self.value - slack,
            "<": value < self.value,
            ">": value > self.value,
            "=": abs(value - self.value) <= slack,
        }[self.op]


def upper_limit(quantity: str, most: float, *, currency: str | None = None) -> Limit:
    """Return the limit that a quantity is at most some amount, in the base unit of its kind or a ``currency``."""
    written = exact(QUANTITIES[quantity], most)
    if currency is not None:
        written = written.replace(USD, currency)
    return Limit(quantity, "<=", most, None, f"{quantity} <= {written}", currency=currency)


def parse_limit(text: str, *, quantities: Mapping[str, str] = QUANTITIES) -> tuple[Limit, ...]:
    """Read one limit, or the two of a range, the lower bound first.

    A limit is ``name <= amount`` with any of ``<= >= < > = ==`` (or ≤ ≥), or the mirrored ``amount >= name``; a range
    is ``low <= name <= high``. A name may carry a confidence: ``loss@90% <= 2.0``. Raises QuantityError for text that
    is not a limit or an amount of the wrong kind; the caret points into ``text`` and UnknownNameError for a name that
    is not in ``quantities``.

    >>> [limit.text for limit in parse_limit("1e9 <= params <= 7B")]
    ['params >= 1B', 'params <= 7B']
    """
    plain = text.replace("≤", "<=").replace("≥", ">=") if len(text) <= 100 else text
    if plain == text:
        return _limits(text, quantities)
    try:
        return _limits(plain, quantities)
    except QuantityError as error:
        span = _original(text, error.span[0]), _original(text, error.span[1])
        raise refuse(text, error.message, span=span, hint=error.hint) from None


def _limits(text: str, quantities: Mapping[str, str]) -> tuple[Limit, ...]:
    checked(text, example=_EXAMPLE)
    operators = list(_OPERATOR.finditer(text))
    for mark in operators:
        if mark[0] in {"!=", "=<", "=>"}:
            hint = "a limit is an upper or a lower bound" if mark[0] == "!=" else f"write {mark[0][::-1]}"
            raise refuse(text, f"{quote(mark[0])} is not a comparison", span=mark.span(), hint=hint)
    if not operators:
        raise refuse(text, f"{quote(text)} compares nothing", hint=f"for example {_EXAMPLE}")
    if len(operators) > 2:
        message = f"{quote(text)} has too many comparisons"
        raise refuse(text, message, span=operators[2].span(), hint="give each limit on its own")
    edges = [0, *(edge for mark in operators for edge in mark.span()), len(text)]
    sides = list(zip(edges[::2], edges[1::2], strict=True))
    compared = [cast("Operator", "=" if mark[0] == "==" else mark[0]) for mark in operators]
    if len(operators) == 1:
        if _NAME.fullmatch(text, *sides[0]):
            return (_limit(text, sides[0], compared[0], sides[1], quantities),)
        return (_limit(text, sides[1], _MIRRORED[compared[0]], sides[0], quantities),)
    if "=" in compared or compared[0][0] != compared[1][0]:
        message = f"{quote(text)} is not a range"
        raise refuse(text, message, span=operators[1].span(), hint="for example 1B <= params <= 7B")
    first = _limit(text, sides[1], _MIRRORED[compared[0]], sides[0], quantities)
    second = _limit(text, sides[1], compared[1], sides[2], quantities)
    low, high = (first, second) if first.op[0] == ">" else (second, first)
    if low.value > high.value or (low.value == high.value and {low.op, high.op} != {">=", "<="}):
        raise refuse(
            text, f"the range {quote(text)} is empty", hint="the smaller bound comes first: 1B <= params <= 7B"
        )
    return low, high


def _limit(
    text: str, name_at: tuple[int, int], op: Operator, value_at: tuple[int, int], quantities: Mapping[str, str]
) -> Limit:
    match = _NAME.fullmatch(text, *name_at)
    if match is None:
        message = f"{quote(text)} does not name one quantity"
        raise refuse(text, message, span=_visible(text, *name_at), hint=f"for example {_EXAMPLE}")
    name, level = match["name"], None
    if name not in quantities:
        raise UnknownNameError("quantity", name, quantities)
    if match["level"] is not None:
        if not match["level"].strip():
            message = f"the confidence after '@' is missing in {quote(text)}"
            raise refuse(text, message, span=(match.start("level") - 1, match.end()), hint=f"for example {name}@90%")
        level = within(text, *_visible(text, *match.span("level")), _level)
    start, stop = value_at
    kind = quantities[name]
    if not text[start:stop].strip():
        place = (max(0, start - 1), stop) if start else (0, max(1, stop))
        raise refuse(text, f"{quote(text)} has no amount", span=place, hint=f"for example {name} <= {_amount(kind)}")
    currency = None
    if kind == "usd":
        value, currency = within(text, *_visible(text, start, stop), stated_money)
    else:
        read = _loss if name == "loss" else lambda part: float(parse(kind, part))
        value = within(text, *_visible(text, start, stop), read)
    shown = name if level is None else f"{name}@{_percent(level)}"
    written = exact(kind, value) if currency is None else exact(kind, value).replace(USD, currency)
    text = f"{shown} {op} {written}"
    return Limit(quantity=name, op=op, value=value, level=level, text=text, currency=currency, money=kind == "usd")


def _loss(text: str) -> float:
    """Return a loss without a unit: a limit does not know that of the law, and the number alone would be another."""
    scanned = scan(text, example="2.1")
    if scanned.unit:
        raise scanned.refuse_unit(
            f"unexpected {quote(scanned.unit)} in {quote(text.strip())}",
            hint="write a plain number in the unit of the law's loss; of nats/token, ln of a perplexity",
        )
    return parse_positive(text)


def _level(text: str) -> float:
    level = parse_ratio(text)
    if level >= 1:
        hint = f"{level:g}% or {level / 100:g}?" if 1 < level < 100 and "%" not in text else "for example 90%"
        raise refuse(text, f"{quote(text.strip())} is not a confidence between 0 and 1", hint=hint)
    return level


def _percent(level: float) -> str:
    """Write a confidence as a percentage when that loses nothing: 0.9 is 90%."""
    text = f"{100 * level:.12g}%"
    return text if parse_ratio(text) == level else exact("ratio", level)


def _amount(kind: str) -> str:
    amounts = {
        "days": 30.0,
        "params": 70e9,
        "tokens": 1.4e12,
        "flops": 1e21,
        "usd": 250e3,
        "integer": 64,
        "ratio": 0.1,
    }
    return exact(kind, amounts.get(kind, 20.0))


def _visible(text: str, start: int, stop: int) -> tuple[int, int]:
    part = text[start:stop]
    if not part.strip():
        return max(0, start - 1), max(1, stop)
    return start + len(part) - len(part.lstrip()), stop - len(part) + len(part.rstrip())


def _original(text: str, place: int) -> int:
    """Return where a place in the text with ``<=`` lies in the text with ≤."""
    position = seen = 0
    while seen < place and position < len(text):
        seen += 2 if text[position] in "≤≥" else 1
        position += 1
    return position
