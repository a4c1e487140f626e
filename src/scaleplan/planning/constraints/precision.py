"""The worth of parameters trained at few bits (Kumar et al. 2024, arXiv:2411.04330).

N_eff = N * f_w(P_w) * f_a(P_a) * f_kv(P_kv) with f(P) = 1 - exp(-P/gamma + n). The biases n stand in an appendix only
and are essential: with them the best training precision is 7.0 bits (7 to 8 in the paper), without them 3.5.
What low precision gains, speed, is a matter of the hardware: ``--precision fp8``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from scaleplan.errors import Notice, UsageError
from scaleplan.planning.constraints.base import EffectiveQuantity
from scaleplan.planning.constraints.recipe import Scaled
from scaleplan.units import format_plain, parse_positive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.laws.base import LossSurface
    from scaleplan.planning.constraints.base import Point
    from scaleplan.presets.preset import Preset

__all__ = ["TrainingPrecision", "effective_fraction"]

REFERENCE_BITS = 16.0
"""The bits of bf16, at which other laws were measured."""

_PARTS = {"weights": (2.6745, 0.3037), "activations": (2.2102, 1.4072), "kv": (0.9578, 2.4185)}  # gamma, n

_LEAST = {"weights": 3.0, "activations": 4.0, "kv": 4.0}  # runs below diverged, or were not made

_OWN = "kumar-2024"


def effective_fraction(
    *, weights: float = REFERENCE_BITS, activations: float = REFERENCE_BITS, kv: float = REFERENCE_BITS
) -> float:
    """Return N_eff/N for bits of weights, activations and key-value cache, between 0 and 1."""
    bits = {"weights": weights, "activations": activations, "kv": kv}
    return math.prod(max(0.0, 1 - math.exp(-bits[part] / gamma + bias)) for part, (gamma, bias) in _PARTS.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPrecision(EffectiveQuantity):
    """Training with so many bits in each of the three parts of the matrix products.

    ``own`` is whether the law is the one of the study, whose size is the effective one: there 16 bits too lose a
    little (0.6 %). Other laws were measured at 16 bits, and few bits are set against those.
    """

    weights: float = REFERENCE_BITS
    activations: float = REFERENCE_BITS
    kv: float = REFERENCE_BITS
    own: bool = False

    @classmethod
    def from_options(cls, options: Mapping[str, str | float | None]) -> Self:
        """Read bits for all parts or for each.

        Raises UsageError for bits beyond 16, and for so few that training diverged.
        """
        every = options.get("train_bits")
        bits = {}
        for part in _PARTS:
            own = options.get(f"bits_{part}")
            amount = every if own is None else own
            value = REFERENCE_BITS if amount is None else parse_positive(amount)
            if value < _LEAST[part]:
                raise UsageError(
                    f"{part} of {format_plain(value)} bits are below what trains: runs diverged under "
                    f"{format_plain(_LEAST[part])}",
                    hint=f"use at least {format_plain(_LEAST[part])} bits for the {part}",
                )
            if value > REFERENCE_BITS:
                raise UsageError(f"{part} of {format_plain(value)} bits: 16, bf16, is the most that was measured")
            bits[part] = value
        return cls(weights=bits["weights"], activations=bits["activations"], kv=bits["kv"])

    @property
    def worth(self) -> float:
        """N_eff at these bits over N beside the study's own law, and over N_eff at 16 bits beside any other."""
        fraction = effective_fraction(weights=self.weights, activations=self.activations, kv=self.kv)
        return fraction if self.own else fraction / effective_fraction()

    def adapted(self, preset: Preset) -> Self:
        """Return the bits for a law: as published for the study's own."""
        return replace(self, own=preset.id == _OWN)

    def on(self, surface: LossSurface) -> Scaled:
        """Return the map: fewer effective parameters, the same tokens."""
        return Scaled(most=(self.worth, 1.0))

    def facts(self, point: Point) -> dict[str, object]:
        """Return the bits and what a parameter is worth with them."""
        return {
            "params_worth": self.worth,
            "bits_weights": self.weights,
            "bits_activations": self.activations,
            "bits_kv": self.kv,
        }

    def notices(self, point: Point) -> tuple[Notice, ...]:
        """Warn of constants that are carried over to another law."""
        if self.worth == 1 or point.preset.id == _OWN:
            return ()
        message = (
            f"the cost of few bits is carried over from {_OWN} to {point.preset.id}: integer formats, up to 1.7B "
            "parameters on 26B tokens; its authors do not expect the constants to transfer"
        )
        return (Notice(code="carried_over", message=message),)
