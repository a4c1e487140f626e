"""Read a list of named values, as in ``states=80%, reserve=2GB``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError, quote

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["read_pairs"]

_COMMA = re.compile(r",(?![0-9]{3}(?:[^0-9]|$))")  # but not one between thousands: price=30,000


def read_pairs(text: str, names: Collection[str], *, noun: str, example: str) -> dict[str, str]:
    """Return the texts of the values by name; raises UsageError for a name that is unknown or given twice.

    ``noun`` is what each value is, and ``example`` a list to show in the hint.

    >>> read_pairs("price=30,000, years=4", ("price", "years"), noun="part of a price", example="")
    {'price': '30,000', 'years': '4'}
    """
    values: dict[str, str] = {}
    for part in _COMMA.split(text):
        name, mark, written = (piece.strip() for piece in part.partition("="))
        if not mark or name not in names or name in values:
            raise UsageError(
                f"{quote(part.strip())} is no {noun}, or is given twice", hint=f"write some of '{example}'"
            )
        values[name] = written
    return values
