"""Repeated data under a loss between a floor and an uninformed model (arXiv:2605.09189), and loss to loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.laws.base import Curve, Number, Units, coefficient

__all__ = ["LossToLoss", "SaturatingMultiEpoch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaturatingMultiEpoch(Curve):
    """L = E + (L0 - E)*h/(1 + h), h = a/N^alpha + b/T^beta + c*N^gamma/U^delta: over-fitting can raise the loss."""

    form: ClassVar[str] = "saturating_multi_epoch"
    formula: ClassVar[str] = "L = E + (L0 - E)*h/(1 + h), h = a/N^alpha + b/T^beta + c*N^gamma/U^delta"

    E: float = coefficient("irreducible loss", at_least=0)
    L0: float = coefficient("loss of a model that knows nothing", above=0)
    a: float = coefficient("size term at N = 1", above=0)
    alpha: float = coefficient("exponent of the size", above=0)
    b: float = coefficient("data term at T = 1", above=0)
    beta: float = coefficient("exponent of the tokens seen", above=0)
    c: float = coefficient("over-fitting of one parameter on one unique token", at_least=0)
    gamma: float = coefficient("exponent of the size in over-fitting", at_least=0)
    delta: float = coefficient("exponent of the unique tokens in over-fitting", at_least=0)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Parameters, tokens seen, and unique tokens."""
        return ("params", "tokens", "unique_tokens")

    def value(self, **inputs: Number) -> Number:
        """Return the loss of ``params`` on ``tokens``, of which ``unique_tokens`` are distinct."""
        params, unique = inputs["params"], inputs["unique_tokens"]
        share = self.a * params**-self.alpha + self.b * inputs["tokens"] ** -self.beta
        share = share + self.c * params**self.gamma * unique**-self.delta
        return self.E + (self.L0 - self.E) * share / (1.0 + share)

    def in_raw_units(self, units: Units) -> Self:
        """Rescale for sizes and tokens in raw units."""
        return replace(
            self,
            a=self.a * units.params**self.alpha,
            b=self.b * units.tokens**self.beta,
            c=self.c * units.params**-self.gamma * units.tokens**self.delta,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LossToLoss(Curve):
    """L_1 = K*(L_0 - E_0)^kappa + E_1 between two data sets at equal compute (Brandfonbrener et al. 2024)."""

    form: ClassVar[str] = "loss_to_loss"
    formula: ClassVar[str] = "L_1 = K*(L_0 - E_0)^kappa + E_1"

    K: float = coefficient("scale", above=0)
    kappa: float = coefficient("exponent", above=0)
    E_0: float = coefficient("irreducible loss on the first data set", at_least=0)
    E_1: float = coefficient("irreducible loss on the second", at_least=0)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The loss on the first data set."""
        return ("loss",)

    def value(self, **inputs: Number) -> Number:
        """Return the loss on the second data set; the first's must lie above its irreducible loss."""
        return self.K * (inputs["loss"] - self.E_0) ** self.kappa + self.E_1
