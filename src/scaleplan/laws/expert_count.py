"""The saturating count of experts that routed laws share (Clark et al. 2022, arXiv:2202.01169, equation 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaleplan.elementary import Number

__all__ = ["saturated"]


def saturated(value: Number, *, start: float, most: float, first: float = 0.0) -> Number:
    """Return 1/(1/(x - first + 1/(1/start - 1/most)) + 1/most).

    It is ``start`` at x = ``first`` and approaches ``most``; the count of experts has ``first`` = 1.
    """
    return 1 / (1 / (value - first + 1 / (1 / start - 1 / most)) + 1 / most)
