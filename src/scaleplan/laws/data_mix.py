"""Laws of the data themselves: filtered pools that wear out, and proportions of domains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.elementary import exp
from scaleplan.laws.base import Curve, Number, coefficient
from scaleplan.laws.power import quantity_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.records import Table

__all__ = ["FilteredPool", "Mixture"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilteredPool(Curve):
    """The error after passes over one filtered pool (Goyal et al. 2024, arXiv:2404.07177).

    y_k = a * n_1^b_1 * product over j >= 2 of (n_j/n_(j-1))^b_j + d with b_k = b*(1/2)^((k-1)/tau): each pass is
    worth less. The constant d stands outside the product, as in the paper's formula.
    """

    form: ClassVar[str] = "filtered_pool"
    formula: ClassVar[str] = "y_k = a*n_1^b_1*prod_j (n_j/n_(j-1))^b_j + d, b_k = b*2^(-(k-1)/tau)"

    a: float = coefficient("error above the floor after one sample", above=0)
    b: float = coefficient("utility of the pool, negative", at_most=0)
    d: float = coefficient("error that remains", at_least=0)
    tau: float = coefficient("passes that halve the utility", above=0)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Samples seen, and samples in the pool."""
        return ("samples", "pool")

    def value(self, **inputs: Number) -> Number:
        """Return the error after ``samples`` from a pool of ``pool``; plain floats only."""
        samples, pool = float(inputs["samples"]), float(inputs["pool"])
        seen = min(samples, pool)
        product = seen**self.b
        passes = 1
        while seen < samples:
            following = min(samples, (passes + 1) * pool)
            product *= (following / seen) ** (self.b * 0.5 ** (passes / self.tau))
            seen, passes = following, passes + 1
        return self.a * product + self.d

    def mixed_with(self, pools: int) -> Self:
        """Return the pool as one of several of equal share: its samples come back so many times more rarely."""
        return replace(self, tau=self.tau * pools)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture(Curve):
    """L = c + k*e^(sum of t_j*r_j) for one validation domain at proportions r (Ye et al. 2024, arXiv:2403.16952).

    A preset writes ``weights = { web = -1.2, code = 0.3 }``.
    """

    form: ClassVar[str] = "mixture"
    formula: ClassVar[str] = "L = c + k*e^(sum of t_j*r_j)"

    c: float = coefficient("loss that no proportion avoids", at_least=0)
    k: float = coefficient("scale of what proportions change", above=0)
    weights: tuple[tuple[str, float], ...] = ()

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the constants and the weight of each training domain."""
        listed = table.table("weights")
        weights = tuple((name, listed.number(name)) for name in quantity_names(table, "weights"))
        return replace(super(Mixture, cls).from_table(table), weights=weights)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The training domains."""
        return tuple(name for name, _ in self.weights)

    def coefficients(self) -> dict[str, float]:
        """Return the constants and, as ``weights.NAME``, the weights."""
        return {"c": self.c, "k": self.k, **{f"weights.{name}": value for name, value in self.weights}}

    def with_coefficients(self, values: Mapping[str, float]) -> Self:
        """Return the law with some of the constants and weights changed."""
        weights = tuple((name, values.get(f"weights.{name}", value)) for name, value in self.weights)
        return replace(self, c=values.get("c", self.c), k=values.get("k", self.k), weights=weights)

    def value(self, **inputs: Number) -> Number:
        """Return the loss at the proportion of each domain."""
        (first, weight), *rest = self.weights
        total = weight * inputs[first]
        for name, other in rest:
            total = total + other * inputs[name]
        return self.c + self.k * exp(total)
