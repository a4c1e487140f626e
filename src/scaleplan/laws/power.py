"""Power laws between named quantities: y = a*x^n, y = a*x^-c + e, and y = a * product of x_i^n_i."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.laws.base import Curve, Number, Units, coefficient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.records import Table

__all__ = ["MultiplicativePower", "OffsetPower", "OneInput", "Power", "named_quantity", "quantity_names", "unit_of"]

_QUANTITY = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OneInput(Curve):
    """A curve of one quantity; ``x`` and ``y`` name the input and the output."""

    x: str = "x"
    y: str = "y"

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the coefficients, and the names of the input and the output."""
        x, y = named_quantity(table, "x"), named_quantity(table, "y")
        return replace(super(OneInput, cls).from_table(table), x=x, y=y)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantity that ``x`` names."""
        return (self.x,)

    def _input(self, inputs: Mapping[str, Number]) -> Number:
        return inputs[self.x]


@dataclass(frozen=True, slots=True, kw_only=True)
class Power(OneInput):
    """y = a*x^n."""

    form: ClassVar[str] = "power"
    formula: ClassVar[str] = "y = a*x^n"

    a: float = coefficient("y at x = 1", above=0)
    n: float = coefficient("exponent")

    def value(self, **inputs: Number) -> Number:
        """Return a*x^n for the input that ``x`` names."""
        return self.a * self._input(inputs) ** self.n

    def in_raw_units(self, units: Units) -> Self:
        """Rescale a: (y/v) = a*(x/u)^n has a*v*u^-n for raw x and y."""
        return replace(self, a=self.a * unit_of(units, self.y) * unit_of(units, self.x) ** -self.n)


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetPower(OneInput):
    """y = a*x^-c + e."""

    form: ClassVar[str] = "offset_power"
    formula: ClassVar[str] = "y = a*x^-c + e"

    a: float = coefficient("y above the offset at x = 1", above=0)
    c: float = coefficient("rate of the fall, positive", above=0)
    e: float = coefficient("what y approaches", at_least=0)

    def value(self, **inputs: Number) -> Number:
        """Return a*x^-c + e for the input that ``x`` names."""
        return self.a * self._input(inputs) ** -self.c + self.e

    def in_raw_units(self, units: Units) -> Self:
        """Rescale a and e: (y/v) = a*(x/u)^-c + e has a*v*u^c and e*v for raw x and y."""
        y = unit_of(units, self.y)
        return replace(self, a=self.a * y * unit_of(units, self.x) ** self.c, e=self.e * y)


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplicativePower(Curve):
    """y = a * product of x_i^n_i; a preset writes ``exponents = { params = -0.7, tokens = 0.3 }``."""

    form: ClassVar[str] = "multiplicative_power"
    formula: ClassVar[str] = "y = a * product of x_i^n_i"

    a: float = coefficient("y where every input is 1", above=0)
    exponents: tuple[tuple[str, float], ...] = ()
    y: str = "y"

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the scale, the exponent of each input, and the name of the output."""
        y = named_quantity(table, "y")
        listed = table.table("exponents")
        exponents = tuple((name, listed.number(name)) for name in quantity_names(table, "exponents"))
        return replace(super(MultiplicativePower, cls).from_table(table), exponents=exponents, y=y)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantities that have an exponent."""
        return tuple(name for name, _ in self.exponents)

    def coefficients(self) -> dict[str, float]:
        """Return the scale and, as ``exponents.NAME``, the exponents."""
        return {"a": self.a, **{f"exponents.{name}": value for name, value in self.exponents}}

    def with_coefficients(self, values: Mapping[str, float]) -> Self:
        """Return the law with some of the scale and the ``exponents.NAME`` changed."""
        exponents = tuple((name, values.get(f"exponents.{name}", value)) for name, value in self.exponents)
        return replace(self, a=values.get("a", self.a), exponents=exponents)

    def value(self, **inputs: Number) -> Number:
        """Return the product for the inputs that ``exponents`` names."""
        (first, exponent), *rest = self.exponents
        product = self.a * inputs[first] ** exponent
        for name, power in rest:
            product = product * inputs[name] ** power
        return product

    def in_raw_units(self, units: Units) -> Self:
        """Rescale a by the unit of each input to its exponent."""
        a = self.a * unit_of(units, self.y)
        for name, exponent in self.exponents:
            a *= unit_of(units, name) ** -exponent
        return replace(self, a=a)


def named_quantity(table: Table, key: str) -> str:
    """Return the name of a quantity that a file gives at ``key``."""
    name = table.text(key)
    if not _QUANTITY.fullmatch(name):
        raise table.error(key, "expected the name of a quantity in lower case, such as flops or loss")
    return name


def quantity_names(table: Table, key: str) -> tuple[str, ...]:
    """Return the names of the quantities that a file gives numbers for in the table at ``key``."""
    names = tuple(table.table(key).data)
    if not names or not all(_QUANTITY.fullmatch(name) for name in names):
        raise table.error(key, "expected a number for each quantity, such as { params = -0.7 }")
    return names


def unit_of(units: Units, name: str) -> float:
    """Return the unit of a quantity by name; 1 for one that is never rescaled, such as a loss."""
    return float(getattr(units, name)) if name in {item.name for item in fields(units)} else 1.0
