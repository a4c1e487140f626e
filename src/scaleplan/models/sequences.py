"""The sequences of an optimizer step, as replicas of a model and their micro-batches share them evenly."""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["DEFAULT_CONTEXT", "Batch", "round_number"]

DEFAULT_CONTEXT = 2048
"""Tokens in a training sequence when neither the user nor the config states one."""

_ROUNDED = 0.01
"""A step of whole sequences may differ that much from the wanted one to be divided more evenly."""


class Batch(NamedTuple):
    """The sequences of an optimizer step that are wanted; ``given`` ones are kept where anything fits with them."""

    sequences: float
    given: bool = False

    def each(self, data: int, micro_batch: int | None) -> int:
        """Return the sequences of each of some replicas in a step: whole, at least one, in whole micro-batches."""
        wanted = self.sequences / data
        if not self.given:
            each = round_number(wanted)
        elif wanted == int(wanted):
            each = int(wanted)
        else:
            each = _most_even(wanted)
        return each if micro_batch is None else micro_batch * max(1, round(each / micro_batch))


def _most_even(wanted: float) -> int:
    """Return the whole number within 1 % of another that the largest power of two divides; else the nearest one."""
    unit = 1 << max(0, math.floor(math.log2(max(wanted, 1.0))))
    while unit > 1:
        nearest = unit * round(wanted / unit)
        if abs(nearest - wanted) <= _ROUNDED * wanted:
            return nearest
        unit //= 2
    return max(1, round(wanted))


def round_number(wanted: float) -> int:
    """Return the power of two, or three times one, nearest to a number in the logarithm: 1, 2, 3, 4, 6, 8, 12.

    The rules for a batch differ by more than such a step, and it divides by devices and by micro-batches.
    """
    power = 1 << max(0, math.floor(math.log2(max(wanted, 1.0))))
    return min((power, 3 * power // 2, 2 * power), key=lambda n: abs(math.log(n / max(wanted, 1.0))))
