"""The loss along any schedule of learning rates, for one size of model (Luo et al. 2025, arXiv:2503.12811)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from scaleplan.laws.base import Curve, Number, coefficient

__all__ = ["MultiPower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiPower(Curve):
    """L(t) = L0 + A*S(t)^-alpha + B*sum_k (eta_k - eta_(k-1))*(1 - (1 + C*eta_k^-gamma*(S(t) - S(k-1)))^-beta).

    S is the cumulative learning rate, warm-up included. The sum runs over the steps of the schedule and is negative
    while the rate decays; the first step has no gap. Neither size nor tokens: it chooses a schedule, not a split.
    """

    form: ClassVar[str] = "multi_power"
    formula: ClassVar[str] = (
        "L = L0 + A*S^-alpha + B*sum_k (eta_k - eta_(k-1))*(1 - (1 + C*eta_k^-gamma*(S - S_(k-1)))^-beta)"
    )

    L0: float = coefficient("irreducible loss of this size", at_least=0)
    A: float = coefficient("scale of the power of the cumulative rate", above=0)
    alpha: float = coefficient("exponent of the cumulative rate", above=0)
    B: float = coefficient("scale of the gain by decay", at_least=0)
    C: float = coefficient("scale of the saturation of the gain", above=0)
    beta: float = coefficient("exponent of the saturation", above=0)
    gamma: float = coefficient("exponent of the rate in the saturation")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The learning rates of all steps."""
        return ("rates",)

    def value(self, **inputs: Number) -> Number:
        """Return the loss after the last of the steps with these ``rates``, an array of positive numbers."""
        import numpy as np

        rates = np.asarray(inputs["rates"], dtype=float)
        cumulative = np.cumsum(rates)
        since = cumulative[-1] - cumulative[:-1]
        gaps, later = np.diff(rates), np.maximum(rates[1:], np.finfo(float).tiny)
        gain = gaps * (1 - (1 + self.C * later**-self.gamma * since) ** -self.beta)
        loss: Any = float(self.L0 + self.A * cumulative[-1] ** -self.alpha + self.B * gain.sum())
        return loss
