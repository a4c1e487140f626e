"""A quantity that changes in proportion to the logarithm of another, y = a + b*ln x."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.elementary import log
from scaleplan.laws.base import Curve, Number, Units, coefficient
from scaleplan.laws.power import named_quantity, unit_of

if TYPE_CHECKING:
    from scaleplan.records import Table

__all__ = ["Logarithmic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Logarithmic(Curve):
    """y = a + b*ln x; ``x`` and ``y`` name the input and the output."""

    form: ClassVar[str] = "logarithmic"
    formula: ClassVar[str] = "y = a + b*ln x"

    a: float = coefficient("y at x = 1")
    b: float = coefficient("change of y per unit of ln x")
    x: str = "x"
    y: str = "y"

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the coefficients, and the names of the input and the output."""
        x, y = named_quantity(table, "x"), named_quantity(table, "y")
        return replace(super(Logarithmic, cls).from_table(table), x=x, y=y)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantity that ``x`` names."""
        return (self.x,)

    def value(self, **inputs: Number) -> Number:
        """Return a + b*ln x for the input that ``x`` names."""
        return self.a + self.b * log(inputs[self.x])

    def in_raw_units(self, units: Units) -> Self:
        """Move a by the unit of x and scale both by that of y."""
        y = unit_of(units, self.y)
        return replace(self, a=(self.a - self.b * math.log(unit_of(units, self.x))) * y, b=self.b * y)
