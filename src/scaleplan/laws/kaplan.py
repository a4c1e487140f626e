"""The laws of Kaplan et al. 2020 (arXiv:2001.08361): losses, allocation, critical batch and learning rate.

N counts non-embedding parameters. The compute trends use C_min, the compute of a run in the limit of small
batches; a run at the critical batch takes twice that, which :attr:`Kaplan.regime` chooses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.laws.base import Allocation, LossSurface, Number, Relation, coefficient

__all__ = ["Kaplan", "KaplanSurface"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KaplanSurface(LossSurface):
    """L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D (equation 1.5); it has no floor."""

    form: ClassVar[str] = "kaplan_surface"
    formula: ClassVar[str] = "L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D"

    N_c: float = coefficient("size scale", above=0, raw=lambda law, to: law.N_c * to.params)
    D_c: float = coefficient("data scale", above=0, raw=lambda law, to: law.D_c * to.tokens)
    alpha_N: float = coefficient("exponent of the size", above=0)
    alpha_D: float = coefficient("exponent of the data", above=0)

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D."""
        size = (self.N_c / params) ** (self.alpha_N / self.alpha_D)
        return (size + self.D_c / tokens) ** self.alpha_D


@dataclass(frozen=True, slots=True, kw_only=True)
class Kaplan(Allocation, LossSurface):
    """The allocation of Table 6, the losses of Tables 2, 3 and 5, and the rules of the same paper.

    As a surface it is L(N, D) of equation 1.5, which describes early-stopped training of many epochs; the
    allocation is *not* its optimum at 6ND (that would give N in proportion to C^0.575, not C^0.73).
    """

    form: ClassVar[str] = "kaplan"
    regimes: ClassVar[tuple[str, ...]] = ("critical", "small")  # C = 2 C_min at the critical batch, C_min far below
    formula: ClassVar[str] = (
        "N = N_scale*C_min^N_exponent, L(C_min) = (C_c/C_min)^alpha_C, "
        "L(N, D) = ((N_c_ND/N)^(alpha_N_ND/alpha_D_ND) + D_c_ND/D)^alpha_D_ND"
    )

    N_scale: float = coefficient(
        "optimal size at C_min = 1 (Table 6)",
        above=0,
        raw=lambda law, to: law.N_scale * to.params * to.flops**-law.N_exponent,
    )
    N_exponent: float = coefficient("exponent of the optimal size (Table 6)", above=0)
    D_scale: float = coefficient(
        "tokens at C_min = 1 (Table 6)",
        above=0,
        raw=lambda law, to: law.D_scale * to.tokens * to.flops**-law.D_exponent,
    )
    D_exponent: float = coefficient("exponent of the tokens (Table 6)", above=0)
    B_scale: float = coefficient(
        "batch in tokens at C_min = 1 (Table 6)", above=0, raw=lambda law, to: law.B_scale * to.flops**-law.B_exponent
    )
    B_exponent: float = coefficient("exponent of the batch (Table 6)", above=0)
    S_scale: float = coefficient(
        "steps at C_min = 1 (Table 6)", above=0, raw=lambda law, to: law.S_scale * to.flops**-law.S_exponent
    )
    S_exponent: float = coefficient("exponent of the steps (Table 6)", above=0)
    C_c: float = coefficient("compute scale of L(C_min) (Table 5)", above=0, raw=lambda law, to: law.C_c * to.flops)
    alpha_C: float = coefficient("exponent of L(C_min) (Table 5)", above=0)
    N_c: float = coefficient("size scale of L(N) (Table 5)", above=0, raw=lambda law, to: law.N_c * to.params)
    alpha_N: float = coefficient("exponent of L(N) (Table 5)", above=0)
    D_c: float = coefficient("data scale of L(D) (Table 5)", above=0, raw=lambda law, to: law.D_c * to.tokens)
    alpha_D: float = coefficient("exponent of L(D) (Table 5)", above=0)
    N_c_ND: float = coefficient(
        "size scale of L(N, D) (Table 2)", above=0, raw=lambda law, to: law.N_c_ND * to.params
    )
    D_c_ND: float = coefficient(
        "data scale of L(N, D) (Table 2)", above=0, raw=lambda law, to: law.D_c_ND * to.tokens
    )
    alpha_N_ND: float = coefficient("size exponent of L(N, D) (Table 2)", above=0)
    alpha_D_ND: float = coefficient("data exponent of L(N, D) (Table 2)", above=0)
    N_c_NS: float = coefficient(
        "size scale of L(N, S) (Table 3)", above=0, raw=lambda law, to: law.N_c_NS * to.params
    )
    S_c: float = coefficient("step scale of L(N, S) (Table 3)", above=0)
    alpha_N_NS: float = coefficient("size exponent of L(N, S) (Table 3)", above=0)
    alpha_S: float = coefficient("step exponent of L(N, S) (Table 3)", above=0)
    B_star: float = coefficient("critical batch in tokens at L = 1 (Table 5)", above=0)
    alpha_B: float = coefficient("exponent of the critical batch (Table 5)", above=0)
    lr_intercept: float = coefficient(
        "learning rate at ln N = 0 (appendix D)",
        above=0,
        raw=lambda law, to: law.lr_intercept + law.lr_slope * math.log(to.params),
    )
    lr_slope: float = coefficient("fall of the learning rate per unit of ln N (appendix D)", above=0)
    regime: str = "critical"

    def relations(self) -> tuple[Relation, ...]:
        """Return all that the paper gives; ``flops`` is the compute of the run and ``steps`` the least possible."""
        return (
            *LossSurface.relations(self),
            *Allocation.relations(self),
            Relation("batch_tokens", ("flops",), lambda flops: self.optimal_batch_tokens(self.c_min(flops))),
            Relation("steps", ("flops",), lambda flops: self.optimal_steps(self.c_min(flops))),
            Relation("tokens_by_law", ("flops",), lambda flops: self.optimal_tokens(self.c_min(flops))),
            Relation("loss", ("params",), self.loss_of_params),
            Relation("loss", ("tokens",), self.loss_of_tokens),
            Relation("loss", ("params", "steps"), self.loss_of_steps),
            Relation("critical_batch_tokens", ("loss",), self.critical_batch_tokens),
            Relation("learning_rate", ("params",), self.learning_rate),
        )

    def with_regime(self, regime: str) -> Self:
        """Return the law for training at the critical batch or far below it."""
        return replace(self, regime=regime)

    def c_min(self, flops: Number) -> Number:
        """Return C_min for a budget: C/(1 + B/B_crit), half of it at the critical batch."""
        return flops / 2 if self.regime == "critical" else flops

    def split(self, flops: Number) -> tuple[Number, Number]:
        """Return N of Table 6 at C_min, and the tokens that the whole budget buys for it."""
        params = self.optimal_params(self.c_min(flops))
        return params, self.cost.tokens(params, flops)

    def frontier_loss(self, flops: Number) -> Number:
        """Return (C_c/C_min)^alpha_C."""
        return self.loss_of_compute(self.c_min(flops))

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D (equation 1.5)."""
        surface = KaplanSurface(N_c=self.N_c_ND, D_c=self.D_c_ND, alpha_N=self.alpha_N_ND, alpha_D=self.alpha_D_ND)
        return surface.loss(params, tokens)

    def optimal_params(self, c_min: Number) -> Number:
        """Return the optimal size for C_min (Table 6)."""
        return self.N_scale * c_min**self.N_exponent

    def optimal_tokens(self, c_min: Number) -> Number:
        """Return the tokens of Table 6 for C_min, that is at the smallest number of serial steps times the batch."""
        return self.D_scale * c_min**self.D_exponent

    def optimal_batch_tokens(self, c_min: Number) -> Number:
        """Return the batch, in tokens, for C_min (Table 6)."""
        return self.B_scale * c_min**self.B_exponent

    def optimal_steps(self, c_min: Number) -> Number:
        """Return S_min, the steps in the limit of large batches, for C_min (Table 6)."""
        return self.S_scale * c_min**self.S_exponent

    def loss_of_compute(self, c_min: Number) -> Number:
        """Return (C_c/C_min)^alpha_C (equation 1.3)."""
        return (self.C_c / c_min) ** self.alpha_C

    def loss_of_params(self, params: Number) -> Number:
        """Return (N_c/N)^alpha_N, the loss at convergence (equation 1.1)."""
        return (self.N_c / params) ** self.alpha_N

    def loss_of_tokens(self, tokens: Number) -> Number:
        """Return (D_c/D)^alpha_D, the early-stopped loss of a large model (equation 1.2)."""
        return (self.D_c / tokens) ** self.alpha_D

    def loss_of_steps(self, params: Number, steps: Number) -> Number:
        """Return (N_c/N)^alpha_N + (S_c/S_min)^alpha_S (equation 1.6)."""
        return (self.N_c_NS / params) ** self.alpha_N_NS + (self.S_c / steps) ** self.alpha_S

    def critical_batch_tokens(self, loss: Number) -> Number:
        """Return B_star/L^(1/alpha_B) in tokens (equation 1.4)."""
        return self.B_star / loss ** (1 / self.alpha_B)

    def learning_rate(self, params: float) -> float:
        """Return lr_intercept - lr_slope*ln N (appendix D); the authors stop at 1e10, beyond it turns negative."""
        return self.lr_intercept - self.lr_slope * math.log(params)
