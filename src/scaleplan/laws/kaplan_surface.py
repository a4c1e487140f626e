"""L(N, D) of Kaplan et al. 2020 (arXiv:2001.08361, equation 1.5) with its four coefficients alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.laws.base import LossSurface, Number, Units, coefficient

__all__ = ["KaplanSurface"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KaplanSurface(LossSurface):
    """L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D; it has no floor."""

    form: ClassVar[str] = "kaplan_surface"
    formula: ClassVar[str] = "L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D"

    N_c: float = coefficient("size scale", above=0)
    D_c: float = coefficient("data scale", above=0)
    alpha_N: float = coefficient("exponent of the size", above=0)
    alpha_D: float = coefficient("exponent of the data", above=0)

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D."""
        size = (self.N_c / params) ** (self.alpha_N / self.alpha_D)
        return (size + self.D_c / tokens) ** self.alpha_D

    def in_raw_units(self, units: Units) -> Self:
        """Rescale N_c and D_c."""
        return replace(self, N_c=self.N_c * units.params, D_c=self.D_c * units.tokens)
