"""Lengths of training with units, as Composer and OLMo write them: ``63900ba``, ``26e9tok``, ``2e12T``, ``1ep``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import QuantityError
from scaleplan.units import parse_count

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DURATION", "OPEN_UNITS", "UNITS", "Duration", "read_duration"]

DURATION = re.compile(r"(?P<numeral>[0-9][0-9_,.]*(?:[eE][+-]?[0-9]+)?) ?(?P<unit>[A-Za-z]+)")

UNITS: Mapping[str, str] = {"ba": "steps", "tok": "tokens", "sp": "samples"}
"""The units of a length of training that are amounts, by Composer's abbreviations (llm-foundry, OLMo)."""

OPEN_UNITS: Mapping[str, str] = {
    "ep": "passes over the data, whose size is not in this file",
    "dur": "a share of the training's own length",
    "iter": "iterations, whose length is not in this file",
    **dict.fromkeys(("s", "sec", "min", "h", "hr", "d"), "a time, in which the tokens depend on the speed"),
}
"""The units that leave the length open, and why."""


class Duration(NamedTuple):
    """A length of training: what it counts and how many, or why that is open."""

    unit: str = ""
    number: float = 0
    reason: str = ""


def read_duration(value: object, *, units: Mapping[str, str] = UNITS) -> Duration | None:
    """Return a length with one of some units, of which an empty one stands for none; None for what is no length."""
    text = str(value).strip()
    match = DURATION.fullmatch(text)
    unit = match["unit"] if match is not None else ""
    if unit not in units and unit not in OPEN_UNITS:
        return None
    try:
        number = parse_count((match["numeral"] if match is not None else text).replace("_", ""), what="tokens")
    except QuantityError:
        return None
    if unit in OPEN_UNITS:
        return Duration(reason=OPEN_UNITS[unit], unit="epochs" if unit == "ep" else "", number=number)
    return Duration(unit=units[unit], number=int(number)) if number == number // 1 else None
