"""Loss by size, tokens and the shape of the model (Bian et al. 2025, arXiv:2501.18107)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.laws.base import Curve, Number, Units, coefficient

__all__ = ["ShapedLoss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapedLoss(Curve):
    """L = (E + A/N^alpha + B/D^beta)*(1 + epsilon*R^gamma) with R = width/layers; the authors tie the exponents."""

    form: ClassVar[str] = "shape"
    formula: ClassVar[str] = "L = (E + A/N^alpha + B/D^beta)*(1 + epsilon*R^gamma)"

    E: float = coefficient("irreducible loss", at_least=0)
    A: float = coefficient("size term at N = 1", above=0)
    B: float = coefficient("data term at D = 1", above=0)
    alpha: float = coefficient("exponent of the size term", above=0)
    beta: float = coefficient("exponent of the data term", above=0)
    epsilon: float = coefficient("what an aspect ratio of 1 adds", at_least=0)
    gamma: float = coefficient("exponent of the aspect ratio")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Parameters, tokens and width over layers."""
        return ("params", "tokens", "aspect_ratio")

    def value(self, **inputs: Number) -> Number:
        """Return the loss of ``params`` with an ``aspect_ratio`` on ``tokens``."""
        plain = self.E + self.A * inputs["params"] ** -self.alpha + self.B * inputs["tokens"] ** -self.beta
        return plain * (1.0 + self.epsilon * inputs["aspect_ratio"] ** self.gamma)

    def in_raw_units(self, units: Units) -> Self:
        """Rescale for sizes and tokens in raw units."""
        return replace(self, A=self.A * units.params**self.alpha, B=self.B * units.tokens**self.beta)
