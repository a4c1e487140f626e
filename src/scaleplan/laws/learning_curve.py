"""Learning curves that bend: M3 and M4 of Alabdulmohsin et al. 2022 (arXiv:2209.06640).

M1 is a power law (form ``power``) and M2 one with a floor (form ``offset_power``). M3 levels off at small x as
well; M4 starts from the loss of chance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.elementary import exp, log, softplus
from scaleplan.laws.base import Curve, Number, coefficient
from scaleplan.laws.power import named_quantity

if TYPE_CHECKING:
    from scaleplan.records import Table

__all__ = ["ChancePower", "ShiftedPower"]

_HALVINGS = 100  # of an interval in the logit between floor and chance, to double precision


@dataclass(frozen=True, slots=True, kw_only=True)
class _LearningCurve(Curve):
    x: str = "x"
    y: str = "y"

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the coefficients, and the names of the input and the output."""
        x, y = named_quantity(table, "x"), named_quantity(table, "y")
        return replace(super(_LearningCurve, cls).from_table(table), x=x, y=y)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantity that ``x`` names."""
        return (self.x,)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedPower(_LearningCurve):
    """M3: y = a (1/x + g)^c + e."""

    form: ClassVar[str] = "shifted_power"
    formula: ClassVar[str] = "y = a*(1/x + g)^c + e"

    a: float = coefficient("scale of the fall", above=0)
    g: float = coefficient("1/x at which the fall ends", at_least=0)
    c: float = coefficient("rate of the fall, positive", above=0)
    e: float = coefficient("offset of y", at_least=0)

    def value(self, **inputs: Number) -> Number:
        """Return a*(1/x + g)^c + e."""
        return self.a * (1.0 / inputs[self.x] + self.g) ** self.c + self.e


@dataclass(frozen=True, slots=True, kw_only=True)
class ChancePower(_LearningCurve):
    """M4: (y - e)/(y0 - y)^k = a x^-c, between the floor e and the loss of chance y0; k = 0 gives M2."""

    form: ClassVar[str] = "chance_power"
    formula: ClassVar[str] = "(y - e)/(y0 - y)^k = a*x^-c"

    a: float = coefficient("scale of the fall", above=0)
    c: float = coefficient("rate of the fall, positive", above=0)
    e: float = coefficient("what y approaches", at_least=0)
    y0: float = coefficient("y of chance, above e", above=0)
    k: float = coefficient("how long y stays near chance", at_least=0)

    def value(self, **inputs: Number) -> Number:
        """Return the root y between e and y0, by bisection in the logit of (y - e)/(y0 - e).

        With t the logit the equation is ln s(t) - k ln s(-t) = ln a - c ln x + (k - 1) ln(y0 - e), s the logistic
        function; its left side rises with t.
        """
        span = self.y0 - self.e
        wanted = log(self.a) - self.c * log(inputs[self.x]) + (self.k - 1.0) * log(span)
        reach = (abs(wanted) + 40.0) * (1.0 + 1.0 / (self.k + 0.01))  # the left side goes like t below and k*t above
        place = 0.0 * reach
        for _ in range(_HALVINGS):
            reach = 0.5 * reach
            left = -softplus(-place) + self.k * softplus(place)
            place = place + reach * _sign(wanted - left)
        return self.e + span / (1.0 + exp(-_within(place)))


def _within(value: Number) -> Number:
    """Hold a logit where its exponential neither overflows nor matters."""
    return 0.5 * (abs(value + 700.0) - abs(value - 700.0))


def _sign(value: Number) -> Number:
    """Return 1 or -1 (0 at 0)."""
    size = abs(value)
    return value / (size + 1e-300)
