"""The unified law of routed models (Clark et al. 2022, arXiv:2202.01169): loss by size and experts at fixed data.

It has no tokens (all its runs saw 130e9), so that it cannot split a budget; its "routing stops helping" beyond some
size is an artefact of that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log10
from typing import ClassVar, Self

from scaleplan.elementary import log
from scaleplan.laws.base import Curve, Number, Units, coefficient
from scaleplan.laws.expert_count import saturated

__all__ = ["Clark"]

_LN_10 = 2.302585092994046


@dataclass(frozen=True, slots=True, kw_only=True)
class Clark(Curve):
    """log10 L = a*log10 N + b*log10 X + c*log10 N*log10 X + d with the saturating count X of experts E.

    The cross term c multiplies log10 N, about 9: coefficients of one or two digits support no ratio with c in it.
    """

    form: ClassVar[str] = "clark"
    formula: ClassVar[str] = "log10 L = a*log10 N + b*log10 X + c*log10 N*log10 X + d, X = X(E)"

    a: float = coefficient("exponent of the size, negative", at_most=0)
    b: float = coefficient("exponent of the experts, negative", at_most=0)
    c: float = coefficient("how the exponents depend on each other")
    d: float = coefficient("log10 of the loss at N = X = 1")
    E_start: float = coefficient("effective experts of a dense model", above=0)
    E_max: float = coefficient("effective experts of infinitely many", above=0)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Parameters that one token sees, and experts a layer."""
        return ("params", "experts")

    def value(self, **inputs: Number) -> Number:
        """Return the loss of ``params`` (seen by one token) with ``experts``."""
        size, count = log(inputs["params"]) / _LN_10, log(self._count(inputs["experts"])) / _LN_10
        return 10.0 ** (self.a * size + self.b * count + self.c * size * count + self.d)

    def effective_params(self, params: float, experts: float) -> float:
        """Return the dense size of equal loss: N^(alpha(X)/alpha(E_start)) * (X/E_start)^(b/alpha(E_start))."""
        count = self._count(experts)
        dense = self.a + self.c * log10(self.E_start)
        routed = self.a + self.c * log10(count)
        return params ** (routed / dense) * (count / self.E_start) ** (self.b / dense)

    def _count(self, experts: Number) -> Number:
        return saturated(experts, start=self.E_start, most=self.E_max, first=1.0)

    def in_raw_units(self, units: Units) -> Self:
        """Rescale for sizes in raw units: log10 of the unit moves from a to d and from c to b."""
        unit = log10(units.params)
        return replace(self, d=self.d - self.a * unit, b=self.b - self.c * unit)
