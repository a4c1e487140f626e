"""Fine-grained mixtures of experts, by granularity (Krajewski et al. 2024, arXiv:2402.07871).

The paper counts *total* non-embedding parameters; here ``params`` are the active ones, 43 times fewer at its 64
experts, because compute and plans are about those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.laws.additive import Additive
from scaleplan.laws.base import Units, coefficient
from scaleplan.laws.variable import VariableSurface

__all__ = ["FineGrainedMoE"]

_LAYER = 12.0  # parameters of a dense layer in units of width^2: 4 of attention, 8 of the feed-forward network
_ATTENTION, _EXPERT = 4.0, 8.0
_ASPECT = 64.0  # width over layers in the paper's models


@dataclass(frozen=True, slots=True, kw_only=True)
class FineGrainedMoE(VariableSurface):
    """L = c + (g/G^gamma + a)/N_total^alpha + b/D^beta at granularity G = 4*width/(width of an expert)."""

    form: ClassVar[str] = "fine_grained_moe"
    formula: ClassVar[str] = "L = c + (g/G^gamma + a)/N_total^alpha + b/D^beta"
    variable: ClassVar[str] = "granularity"
    choices: ClassVar[tuple[float, ...]] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)

    a: float = coefficient("size term at N_total = 1 and infinite granularity", above=0)
    alpha: float = coefficient("exponent of the size", above=0)
    b: float = coefficient("data term at D = 1", above=0)
    beta: float = coefficient("exponent of the tokens", above=0)
    g: float = coefficient("what granularity 1 adds to the size term", at_least=0)
    gamma: float = coefficient("exponent of the granularity", at_least=0)
    c: float = coefficient("irreducible loss", at_least=0)
    experts: float = coefficient("expansion: parameters of all experts over the active ones", at_least=1)
    routing: float = coefficient("FLOP per routing parameter and token", at_least=0)
    granularity: float = coefficient("granularity; chosen, not fitted", at_least=1, default=8.0)

    def choose(self, value: float) -> Self:
        """Return the law for another granularity."""
        return replace(self, granularity=value)

    @property
    def expansion(self) -> float:
        """Total over active parameters: (8 E + 4)/12."""
        return (_EXPERT * self.experts + _ATTENTION) / _LAYER

    @property
    def reduced(self) -> Additive:
        """The additive law of active parameters and tokens for this granularity."""
        size = (self.g / self.granularity**self.gamma + self.a) * self.expansion**-self.alpha
        return Additive(E=self.c, A=size, alpha=self.alpha, B=self.b, beta=self.beta)

    @property
    def routing_flops(self) -> float:
        """FLOP per token of the routers of a model of one active parameter; they grow with N^(2/3).

        A router costs width*E*G parameters a layer, and with width/64 layers of 12*width^2 parameters the width is
        (64 N/12)^(1/3).
        """
        return self.routing * self.experts * self.granularity / _ASPECT * (_ASPECT / _LAYER) ** (2 / 3)

    def total_params(self, params: float) -> float:
        """Return the non-embedding parameters of all experts together."""
        return params * self.expansion

    def in_raw_units(self, units: Units) -> Self:
        """Rescale for sizes and tokens in raw units."""
        size = units.params**self.alpha
        return replace(self, a=self.a * size, g=self.g * size, b=self.b * units.tokens**self.beta)
