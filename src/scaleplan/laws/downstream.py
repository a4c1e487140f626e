"""Curves downstream of a loss (accuracy, another loss, a reward), and of repeated, filtered and mixed data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.arrays import exp
from scaleplan.laws.base import Curve, Number, coefficient
from scaleplan.laws.curves import PerInput

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FilteredPool", "LossToLoss", "Mixture", "RewardSigmoid", "SaturatingMultiEpoch", "TaskSigmoid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSigmoid(Curve):
    """accuracy = a/(1 + e^(-k*(L - L0))) + b, the second step of a ladder (Bhagia et al. 2024, arXiv:2412.04403).

    Accuracy falls with the loss: k and a have opposite signs. The first step is an additive law of the task's loss.
    """

    form: ClassVar[str] = "task_sigmoid"
    formula: ClassVar[str] = "accuracy = a/(1 + e^(-k*(L - L0))) + b"
    quantity: ClassVar[str] = "accuracy"
    inputs: ClassVar[tuple[str, ...]] = ("loss",)

    a: float = coefficient("difference of the two levels")
    b: float = coefficient("level at the far end")
    k: float = coefficient("steepness")
    L0: float = coefficient("loss half-way")

    def value(self, **inputs: Number) -> Number:
        """Return the accuracy at a ``loss``."""
        return self.a / (1.0 + exp(-self.k * (inputs["loss"] - self.L0))) + self.b


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSigmoid(Curve):
    """R = R_0 + (A - R_0)/(1 + (C_mid/C)^B) of reinforcement learning (Khatri et al. 2025, arXiv:2510.13786)."""

    form: ClassVar[str] = "rl_sigmoid"
    formula: ClassVar[str] = "R = R_0 + (A - R_0)/(1 + (C_mid/C)^B)"
    quantity: ClassVar[str] = "reward"
    inputs: ClassVar[tuple[str, ...]] = ("flops",)

    A: float = coefficient("ceiling")
    B: float = coefficient("steepness", above=0)
    C_mid: float = coefficient("compute half-way", above=0, raw=lambda law, to: law.C_mid * to.flops)
    R_0: float = coefficient("reward before training")

    def value(self, **inputs: Number) -> Number:
        """Return the reward after ``flops`` (or whatever unit of compute C_mid is in)."""
        return self.R_0 + (self.A - self.R_0) / (1.0 + (self.C_mid / inputs["flops"]) ** self.B)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaturatingMultiEpoch(Curve):
    """L = E + (L0 - E)*h/(1 + h), h = a/N^alpha + b/T^beta + c*N^gamma/U^delta (arXiv:2605.09189).

    Repeated data between a floor and the loss of an uninformed model: over-fitting can raise the loss.
    """

    form: ClassVar[str] = "saturating_multi_epoch"
    formula: ClassVar[str] = "L = E + (L0 - E)*h/(1 + h), h = a/N^alpha + b/T^beta + c*N^gamma/U^delta"
    inputs: ClassVar[tuple[str, ...]] = ("params", "tokens", "unique_tokens")

    E: float = coefficient("irreducible loss", at_least=0)
    L0: float = coefficient("loss of a model that knows nothing", above=0)
    a: float = coefficient("size term at N = 1", above=0, raw=lambda law, to: law.a * to.params**law.alpha)
    alpha: float = coefficient("exponent of the size", above=0)
    b: float = coefficient("data term at T = 1", above=0, raw=lambda law, to: law.b * to.tokens**law.beta)
    beta: float = coefficient("exponent of the tokens seen", above=0)
    c: float = coefficient(
        "over-fitting of one parameter on one unique token",
        at_least=0,
        raw=lambda law, to: law.c * to.params**-law.gamma * to.tokens**law.delta,
    )
    gamma: float = coefficient("exponent of the size in over-fitting", at_least=0)
    delta: float = coefficient("exponent of the unique tokens in over-fitting", at_least=0)

    def value(self, **inputs: Number) -> Number:
        """Return the loss of ``params`` on ``tokens``, of which ``unique_tokens`` are distinct."""
        params, unique = inputs["params"], inputs["unique_tokens"]
        share = self.a * params**-self.alpha + self.b * inputs["tokens"] ** -self.beta
        share = share + self.c * params**self.gamma * unique**-self.delta
        return self.E + (self.L0 - self.E) * share / (1.0 + share)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossToLoss(Curve):
    """L_1 = K*(L_0 - E_0)^kappa + E_1 between two data sets at equal compute (Brandfonbrener et al. 2024)."""

    form: ClassVar[str] = "loss_to_loss"
    formula: ClassVar[str] = "L_1 = K*(L_0 - E_0)^kappa + E_1"
    inputs: ClassVar[tuple[str, ...]] = ("loss",)

    K: float = coefficient("scale", above=0)
    kappa: float = coefficient("exponent", above=0)
    E_0: float = coefficient("irreducible loss on the first data set", at_least=0)
    E_1: float = coefficient("irreducible loss on the second", at_least=0)

    def value(self, **inputs: Number) -> Number:
        """Return the loss on the second data set; the first's must lie above its irreducible loss."""
        return self.K * (inputs["loss"] - self.E_0) ** self.kappa + self.E_1


@dataclass(frozen=True, slots=True, kw_only=True)
class FilteredPool(Curve):
    """The error after passes over one filtered pool (Goyal et al. 2024, arXiv:2404.07177).

    y_k = a * n_1^b_1 * product over j >= 2 of (n_j/n_(j-1))^b_j + d with b_k = b*(1/2)^((k-1)/tau): each pass is
    worth less. The constant d stands outside the product, as in the paper's formula.
    """

    form: ClassVar[str] = "filtered_pool"
    formula: ClassVar[str] = "y_k = a*n_1^b_1*prod_j (n_j/n_(j-1))^b_j + d, b_k = b*2^(-(k-1)/tau)"
    quantity: ClassVar[str] = "error"
    defaults: ClassVar[Mapping[str, float]] = {"pools": 1.0}
    inputs: ClassVar[tuple[str, ...]] = ("samples", "pool")

    a: float = coefficient("error above the floor after one sample", above=0)
    b: float = coefficient("utility of the pool, negative", at_most=0)
    d: float = coefficient("error that remains", at_least=0)
    tau: float = coefficient("passes that halve the utility", above=0)

    def value(self, **inputs: Number) -> Number:
        """Return the error after ``samples`` from a ``pool`` that is one of ``pools`` of equal share; floats only."""
        samples, pool = float(inputs["samples"]), float(inputs["pool"])
        half_life = self.mixed_with(float(inputs.get("pools", 1.0))).tau
        seen = min(samples, pool)
        product = seen**self.b
        passes = 1
        while seen < samples:
            following = min(samples, (passes + 1) * pool)
            product *= (following / seen) ** (self.b * 0.5 ** (passes / half_life))
            seen, passes = following, passes + 1
        return self.a * product + self.d

    def mixed_with(self, pools: float) -> Self:
        """Return the pool as one of several of equal share: its samples come back so many times more rarely."""
        return replace(self, tau=self.tau * pools)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture(PerInput):
    """L = c + k*e^(sum of t_j*r_j) for one validation domain at proportions r (Ye et al. 2024, arXiv:2403.16952).

    A preset writes ``weights = { web = -1.2, code = 0.3 }``; the inputs are the training domains.
    """

    form: ClassVar[str] = "mixture"
    formula: ClassVar[str] = "L = c + k*e^(sum of t_j*r_j)"
    per_input: ClassVar[str] = "weights"
    input_kind: ClassVar[str] = "share"

    c: float = coefficient("loss that no proportion avoids", at_least=0)
    k: float = coefficient("scale of what proportions change", above=0)
    weights: tuple[tuple[str, float], ...] = ()

    def value(self, **inputs: Number) -> Number:
        """Return the loss at the proportion of each domain."""
        (first, weight), *rest = self.weights
        total = weight * inputs[first]
        for name, other in rest:
            total = total + other * inputs[name]
        return self.c + self.k * exp(total)
