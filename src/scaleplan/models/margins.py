"""The margins of a check of memory: what it leaves free of a device, and how they are written."""

from __future__ import annotations

from dataclasses import fields, replace

from scaleplan.errors import QuantityError, UsageError
from scaleplan.record import Record
from scaleplan.units import GIGA, format_plain, parse_fraction, parse_gigabytes, parse_positive
from scaleplan.units.pairs import read_pairs

__all__ = ["MARGINS", "Margins", "read_margins"]


class Margins(Record):
    """What an estimate leaves room for: shares of the nominal memory, a factor, and bytes."""

    states: float = 0.8
    """Share that states may take, so that a step has room to work: N parameters in mixed precision need at least
    16 N / (0.8 memory) devices, 18 of 80 GB for 70B and 102 for 405B."""
    activations: float = 1.0
    """Factor on the listed activations: they are all that is kept, and were held against what frameworks keep."""
    reserve: float = 2e9
    """Context of the driver and buffers of communication: 1 to 2 GB."""
    usable: float = 0.92
    """Share that can be used at all: fragmentation takes 5 to 10 %."""


MARGINS = Margins()
"""The margins where none are given."""

_MARGIN_NAMES = tuple(item.name for item in fields(Margins))


def read_margins(text: str | None) -> Margins:
    """Read margins such as ``states=90%, activations=1.1, reserve=1GB, usable=95%``; what is not named stays.

    Raises UsageError for a name that is no margin, or a value out of its domain.
    """
    if text is None:
        return MARGINS
    example = "states=80%, activations=1, reserve=2GB, usable=92%"
    written = read_pairs(text, _MARGIN_NAMES, noun="margin", example=example)
    return replace(MARGINS, **{name: _margin(name, value) for name, value in written.items()})


def _margin(name: str, written: str) -> float:
    if name == "reserve":
        return 0.0 if written in {"0", "0GB"} else parse_gigabytes(written) * GIGA
    if name == "activations":
        value = parse_positive(written)
        if not _LEAST_FACTOR <= value <= _MOST_FACTOR:
            raise UsageError(
                f"activations={written} is no factor on the listed activations",
                hint=f"from {format_plain(_LEAST_FACTOR)} to {format_plain(_MOST_FACTOR)}; 1 is the list as it is",
            )
        return value
    try:
        return parse_fraction(written)
    except QuantityError:
        raise UsageError(f"{name}={written} is no share of the memory", hint=f"{name}=80%, for example") from None


_LEAST_FACTOR, _MOST_FACTOR = 0.1, 10.0  # beyond them it is a slip of the pen
