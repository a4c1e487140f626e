"""The additive law under an outer exponent, L = E + (A/N^alpha + B/D^beta)^gamma (Busbridge et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.laws.additive import Additive
from scaleplan.laws.base import LossSurface, Number, Units, coefficient

__all__ = ["ThreeExponent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreeExponent(LossSurface):
    """L = E + (A/N^alpha + B/D^beta)^gamma, the supervised law of arXiv:2502.08606.

    The outer power rises, so that the optimum is that of the additive law inside.
    """

    form: ClassVar[str] = "three_exponent"
    formula: ClassVar[str] = "L = E + (A/N^alpha + B/D^beta)^gamma"

    E: float = coefficient("irreducible loss", at_least=0)
    A: float = coefficient("size term at N = 1", above=0)
    B: float = coefficient("data term at D = 1", above=0)
    alpha: float = coefficient("exponent of the size term", above=0)
    beta: float = coefficient("exponent of the data term", above=0)
    gamma: float = coefficient("outer exponent", above=0)

    @property
    def inner(self) -> Additive:
        """The additive law inside the outer exponent."""
        return Additive(E=0.0, A=self.A, B=self.B, alpha=self.alpha, beta=self.beta)

    @property
    def floor(self) -> float:
        """The irreducible loss E."""
        return self.E

    def reducible(self, params: Number, tokens: Number) -> Number:
        """Return the inner sum to the outer exponent."""
        return self.inner.reducible(params, tokens) ** self.gamma

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return the loss of ``params`` on ``tokens``."""
        return self.E + self.reducible(params, tokens)

    def best_split(self, product: Number) -> tuple[Number, Number]:
        """Return (params, tokens) of least loss at ``params * tokens = product``."""
        return self.inner.best_split(product)

    def least_product(self, loss: Number) -> Number:
        """Return the least ``params * tokens`` that reaches a loss above E."""
        return self.inner.least_product(self._inside(loss))

    def tokens_for(self, loss: Number, params: Number) -> Number:
        """Return the tokens with which ``params`` reach ``loss``."""
        return self.inner.tokens_for(self._inside(loss), params)

    def params_for(self, loss: Number, tokens: Number) -> Number:
        """Return the parameters with which ``tokens`` reach ``loss``."""
        return self.inner.params_for(self._inside(loss), tokens)

    def size_overhead(self, factor: float) -> float:
        """Return the compute that a size ``factor`` times the optimum wastes, at every budget."""
        return self.inner.size_overhead(factor)

    def _inside(self, loss: Number) -> Number:
        return (loss - self.E) ** (1 / self.gamma)

    def in_raw_units(self, units: Units) -> Self:
        """Rescale for sizes and tokens in raw units."""
        return replace(self, A=self.A * units.params**self.alpha, B=self.B * units.tokens**self.beta)
