"""The broken neural scaling law (Caballero et al. 2022, arXiv:2210.14891, equation 1): a power law that bends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.elementary import exp, log, softplus
from scaleplan.laws.base import Curve, Number, coefficient
from scaleplan.laws.power import named_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.records import Table

__all__ = ["BNSL", "Break"]

_PARTS = ("c", "d", "f")


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One bend: the slope changes by ``c`` around x = ``d``, over a width of ``f`` in ln x; ``c`` may be negative."""

    c: float
    d: float
    f: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BNSL(Curve):
    """y = a + b x^-c0 times (1 + (x/d_i)^(1/f_i))^(-c_i f_i) for each break; the slope is -c0 before the first.

    A preset writes the breaks as ``c1, d1, f1, c2, d2, f2, ...``.
    """

    form: ClassVar[str] = "bnsl"
    formula: ClassVar[str] = "y = a + b*x^-c0 * product of (1 + (x/d_i)^(1/f_i))^(-c_i*f_i)"

    a: float = coefficient("what y approaches", at_least=0)
    b: float = coefficient("scale of the fall", above=0)
    c0: float = coefficient("rate of the fall before the first break")
    breaks: tuple[Break, ...] = ()
    x: str = "x"
    y: str = "y"

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the coefficients and the breaks, numbered from 1 without gaps."""
        x, y = named_quantity(table, "x"), named_quantity(table, "y")
        breaks: list[Break] = []
        while any(f"{part}{len(breaks) + 1}" in table for part in _PARTS):
            number = len(breaks) + 1
            breaks.append(
                Break(
                    c=table.number(f"c{number}"),
                    d=table.number(f"d{number}", above=0),
                    f=table.number(f"f{number}", above=0),
                )
            )
        return replace(super(BNSL, cls).from_table(table), breaks=tuple(breaks), x=x, y=y)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantity that ``x`` names."""
        return (self.x,)

    def coefficients(self) -> dict[str, float]:
        """Return a, b, c0 and the parts of every break."""
        parts = {
            f"{part}{number}": getattr(bend, part)
            for number, bend in enumerate(self.breaks, start=1)
            for part in _PARTS
        }
        return {"a": self.a, "b": self.b, "c0": self.c0, **parts}

    def with_coefficients(self, values: Mapping[str, float]) -> Self:
        """Return the law with some of the coefficients changed."""
        known = {**self.coefficients(), **values}
        breaks = tuple(
            Break(c=known[f"c{number}"], d=known[f"d{number}"], f=known[f"f{number}"])
            for number in range(1, len(self.breaks) + 1)
        )
        return replace(self, a=known["a"], b=known["b"], c0=known["c0"], breaks=breaks)

    def value(self, **inputs: Number) -> Number:
        """Return y, with the breaks computed in logarithms: (x/d)^(1/f) overflows for a sharp one."""
        place = log(inputs[self.x])
        power = -self.c0 * place
        for bend in self.breaks:
            power = power - bend.c * bend.f * softplus((place - log(bend.d)) / bend.f)
        return self.a + self.b * exp(power)
