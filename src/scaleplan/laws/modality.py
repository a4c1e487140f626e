"""The laws of one modality by Henighan et al. 2020 (arXiv:2010.14701): loss and size along the compute frontier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.laws.base import Allocation, Number, Units, coefficient

__all__ = ["Modality"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Modality(Allocation):
    """N_opt(C) = (C/k0)^p with L(C) = L_C + (C0/C)^alpha_C, and L(N) = L_N + (N0/N)^alpha_N at convergence."""

    form: ClassVar[str] = "modality"
    formula: ClassVar[str] = "N = (C/k0)^p, L(C) = L_C + (C0/C)^alpha_C, L(N) = L_N + (N0/N)^alpha_N"

    k0: float = coefficient("compute whose optimal size is one parameter", above=0)
    p: float = coefficient("exponent of the optimal size", above=0)
    L_C: float = coefficient("irreducible loss, from the compute trend", at_least=0)
    C0: float = coefficient("compute at which the reducible loss is 1", above=0)
    alpha_C: float = coefficient("exponent of the compute trend", above=0)
    L_N: float = coefficient("irreducible loss, from the size trend", at_least=0)
    N0: float = coefficient("size at which the reducible loss is 1", above=0)
    alpha_N: float = coefficient("exponent of the size trend", above=0)

    def split(self, flops: Number) -> tuple[Number, Number]:
        """Return the optimal size and the tokens that the rest of the budget buys."""
        params = (flops / self.k0) ** self.p
        return params, self.cost.tokens(params, flops)

    def frontier_loss(self, flops: Number) -> Number:
        """Return L_C + (C0/C)^alpha_C."""
        return self.L_C + (self.C0 / flops) ** self.alpha_C

    def converged_loss(self, params: Number) -> Number:
        """Return L_N + (N0/N)^alpha_N, the loss of a size trained to convergence."""
        return self.L_N + (self.N0 / params) ** self.alpha_N

    def in_raw_units(self, units: Units) -> Self:
        """Rescale the two compute scales and the size scale; k0 also absorbs the unit of the size."""
        return replace(
            self,
            k0=self.k0 * units.flops * units.params ** (-1 / self.p),
            C0=self.C0 * units.flops,
            N0=self.N0 * units.params,
        )
