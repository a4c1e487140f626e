"""Loss by size, tokens and sparsity of a mixture (Abnar et al. 2025, arXiv:2501.12370).

Ten parameters on a narrow range extrapolate badly: at a held-out sparsity of 0.98 the R^2 falls from 0.99 to 0.68.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.laws.base import Curve, Number, Units, coefficient

__all__ = ["Abnar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Abnar(Curve):
    """L = a/N^alpha + b/D^beta + c/(1-S)^lam + d/((1-S)^delta*N^gamma) + e; S is the share of inactive experts."""

    form: ClassVar[str] = "abnar"
    formula: ClassVar[str] = "L = a/N^alpha + b/D^beta + c/(1-S)^lam + d/((1-S)^delta*N^gamma) + e"

    a: float = coefficient("size term at N = 1", at_least=0)
    alpha: float = coefficient("exponent of the size", above=0)
    b: float = coefficient("data term at D = 1", at_least=0)
    beta: float = coefficient("exponent of the tokens", above=0)
    c: float = coefficient("sparsity term of a dense model", at_least=0)
    lam: float = coefficient("exponent of the share of active experts; negative where the term falls with sparsity")
    d: float = coefficient("joint term at N = 1 and no sparsity", at_least=0)
    delta: float = coefficient("exponent of the share of active experts in the joint term")
    gamma: float = coefficient("exponent of the size in the joint term", at_least=0)
    e: float = coefficient("irreducible loss", at_least=0)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Total parameters, tokens, and the share of inactive experts."""
        return ("params", "tokens", "sparsity")

    def value(self, **inputs: Number) -> Number:
        """Return the loss of ``params`` in all on ``tokens`` at a ``sparsity`` below 1."""
        params, active = inputs["params"], 1.0 - inputs["sparsity"]
        alone = self.a * params**-self.alpha + self.b * inputs["tokens"] ** -self.beta + self.c * active**-self.lam
        return alone + self.d * active**-self.delta * params**-self.gamma + self.e

    def in_raw_units(self, units: Units) -> Self:
        """Rescale for sizes and tokens in raw units."""
        return replace(
            self,
            a=self.a * units.params**self.alpha,
            b=self.b * units.tokens**self.beta,
            d=self.d * units.params**self.gamma,
        )
