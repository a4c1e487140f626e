"""Learning curves that bend: M3 and M4 of Alabdulmohsin et al. 2022 (arXiv:2209.06640).

M1 is a power law (form ``power``) and M2 one with a floor (form ``offset_power``). M3 levels off at small x as
well; M4 starts from the loss of chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scaleplan.elementary import exp, log, softplus
from scaleplan.laws.base import Number, coefficient
from scaleplan.laws.power import OneInput

__all__ = ["ChancePower", "ShiftedPower"]

_FAR = 700.0
_STEPS = 20  # of Newton's method, which doubles the digits: three times what smooth curves need


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedPower(OneInput):
    """M3: y = a (1/x + g)^c + e."""

    form: ClassVar[str] = "shifted_power"
    formula: ClassVar[str] = "y = a*(1/x + g)^c + e"

    a: float = coefficient("scale of the fall", above=0)
    g: float = coefficient("1/x at which the fall ends", at_least=0)
    c: float = coefficient("rate of the fall, positive", above=0)
    e: float = coefficient("offset of y", at_least=0)

    def value(self, **inputs: Number) -> Number:
        """Return a*(1/x + g)^c + e."""
        return self.a * (1.0 / self._input(inputs) + self.g) ** self.c + self.e


@dataclass(frozen=True, slots=True, kw_only=True)
class ChancePower(OneInput):
    """M4: (y - e)/(y0 - y)^k = a x^-c, between the floor e and the loss of chance y0; k = 0 gives M2."""

    form: ClassVar[str] = "chance_power"
    formula: ClassVar[str] = "(y - e)/(y0 - y)^k = a*x^-c"

    a: float = coefficient("scale of the fall", above=0)
    c: float = coefficient("rate of the fall, positive", above=0)
    e: float = coefficient("what y approaches", at_least=0)
    y0: float = coefficient("y of chance, above e", above=0)
    k: float = coefficient("how long y stays near chance", at_least=0)

    def value(self, **inputs: Number) -> Number:
        """Return the root y between e and y0, by Newton's method in the logit of (y - e)/(y0 - e).

        With t the logit the equation is ln s(t) - k ln s(-t) = ln a - c ln x + (k - 1) ln(y0 - e), s the logistic
        function. Its left side rises with t and bends one way only, so that the steps converge from anywhere.
        """
        span = self.y0 - self.e
        wanted = log(self.a) - self.c * log(self._input(inputs)) + (self.k - 1.0) * log(span)
        place = 0.0 * wanted
        for _ in range(_STEPS):
            below, above = softplus(-place), softplus(place)
            slope = exp(-above) + self.k * exp(-below)
            place = _within(place + (wanted + below - self.k * above) / (slope + 1e-300))
        return self.e + span / (1.0 + exp(-place))


def _within(value: Number) -> Number:
    """Hold a logit where its exponential neither overflows nor matters."""
    return 0.5 * (abs(value + _FAR) - abs(value - _FAR))
