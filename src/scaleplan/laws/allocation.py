"""Laws of the compute-optimal split alone: the size, the tokens or both as powers of the budget.

Hoffmann et al. 2022 (Approaches 1 and 2) and Porian et al. 2024 give N, Llama 3 gives D, DeepSeek gives
non-embedding FLOP per token and D, Hunyuan-Large gives activated parameters and D. Henighan et al. 2020 give N and
the loss of each modality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.laws.base import Allocation, Number, Relation, coefficient

if TYPE_CHECKING:
    from scaleplan.toml_table import Table

__all__ = ["Modality", "PowerAllocation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerAllocation(Allocation):
    """N = params_scale * C^params_exponent and/or D = tokens_scale * C^tokens_exponent, and the loss along them.

    Where a source fits both, the two do not spend exactly C (rounded digits, or exponents that do not add up
    to one), and a plan must: the size comes from the law and the tokens from the budget. The law's own tokens
    remain available as :meth:`tokens_by_law`. A source that also fits the loss of its optima gives
    L = E + loss_scale * C^-loss_exponent.
    """

    form: ClassVar[str] = "power_allocation"
    formula: ClassVar[str] = (
        "N = params_scale*C^params_exponent, D = tokens_scale*C^tokens_exponent, L = E + loss_scale*C^-loss_exponent"
    )

    params_scale: float | None = coefficient(
        "optimal size at C = 1",
        above=0,
        optional=True,
        raw=lambda law, to: law.params_scale * to.params * to.flops**-law.params_exponent,
    )
    params_exponent: float | None = coefficient("exponent of the optimal size", above=0, optional=True)
    tokens_scale: float | None = coefficient(
        "optimal tokens at C = 1",
        above=0,
        optional=True,
        raw=lambda law, to: law.tokens_scale * to.tokens * to.flops**-law.tokens_exponent,
    )
    tokens_exponent: float | None = coefficient("exponent of the optimal tokens", above=0, optional=True)

    E: float | None = coefficient("loss that the optimum approaches", at_least=0, optional=True)
    loss_scale: float | None = coefficient(
        "loss of the optimum above E at C = 1",
        above=0,
        optional=True,
        raw=lambda law, to: law.loss_scale * to.flops**law.loss_exponent,
    )
    loss_exponent: float | None = coefficient("rate at which the loss of the optimum falls", above=0, optional=True)

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the coefficients; each scale needs its exponent, and one side at least must be there."""
        law = super(PowerAllocation, cls).from_table(table)
        if law.E is not None and law.loss_scale is None:
            raise table.error(
                "loss_scale", "this key is missing", hint="E needs it: L = E + loss_scale*C^-loss_exponent"
            )
        for side in ("params", "tokens", "loss"):
            scale, exponent = f"{side}_scale", f"{side}_exponent"
            for key, other in ((scale, exponent), (exponent, scale)):
                if key in table and other not in table:
                    raise table.error(other, "this key is missing", hint=f"{key} needs it")
        if law.params_scale is None and law.tokens_scale is None:
            raise table.error("params_scale", "expected the size, the tokens or both as powers of the compute")
        return law

    @property
    def floor(self) -> float:
        """The loss that the optimum approaches; 0 where the source gives none."""
        return self.E or 0.0

    def frontier_loss(self, flops: Number) -> Number | None:
        """Return E + loss_scale*C^-loss_exponent; None where the source gives the split alone."""
        if self.loss_scale is None or self.loss_exponent is None:
            return None
        return self.floor + self.loss_scale * flops**-self.loss_exponent

    def relations(self) -> tuple[Relation, ...]:
        """Return the split, and the tokens by the source's own power law where they are not those of the budget."""
        if self.params_scale is None or self.tokens_scale is None:
            return Allocation.relations(self)
        return (*Allocation.relations(self), Relation("tokens_by_law", ("flops",), self.tokens_by_law))

    def params_by_law(self, flops: Number) -> Number | None:
        """Return the size by the source's own power law; None when it gives tokens only."""
        if self.params_scale is None or self.params_exponent is None:
            return None
        return self.params_scale * flops**self.params_exponent

    def tokens_by_law(self, flops: Number) -> Number | None:
        """Return the tokens by the source's own power law; None when it gives the size only."""
        if self.tokens_scale is None or self.tokens_exponent is None:
            return None
        return self.tokens_scale * flops**self.tokens_exponent

    def split(self, flops: Number) -> tuple[Number, Number]:
        """Return the measured side by its power law and the other side by the compute convention."""
        params = self.params_by_law(flops)
        if params is not None:
            return params, self.cost.tokens(params, flops)
        tokens = self.tokens_by_law(flops)
        assert tokens is not None  # from_table requires one side
        return self.cost.params(tokens, flops), tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Modality(Allocation):
    """N_opt(C) = (C/k0)^p with L(C) = L_C + (C0/C)^alpha_C, and L(N) = L_N + (N0/N)^alpha_N at convergence.

    Henighan et al. 2020 (arXiv:2010.14701), one law a modality.
    """

    form: ClassVar[str] = "modality"
    formula: ClassVar[str] = "N = (C/k0)^p, L(C) = L_C + (C0/C)^alpha_C, L(N) = L_N + (N0/N)^alpha_N"

    k0: float = coefficient(
        "compute whose optimal size is one parameter",
        above=0,
        raw=lambda law, to: law.k0 * to.flops * to.params ** (-1 / law.p),
    )
    p: float = coefficient("exponent of the optimal size", above=0)
    L_C: float = coefficient("irreducible loss, from the compute trend", at_least=0)
    C0: float = coefficient(
        "compute at which the reducible loss is 1", above=0, raw=lambda law, to: law.C0 * to.flops
    )
    alpha_C: float = coefficient("exponent of the compute trend", above=0)
    L_N: float = coefficient("irreducible loss, from the size trend", at_least=0)
    N0: float = coefficient("size at which the reducible loss is 1", above=0, raw=lambda law, to: law.N0 * to.params)
    alpha_N: float = coefficient("exponent of the size trend", above=0)

    def relations(self) -> tuple[Relation, ...]:
        """Return the split, its loss, and the loss of a size at convergence."""
        return (*Allocation.relations(self), Relation("loss", ("params",), self.converged_loss))

    def split(self, flops: Number) -> tuple[Number, Number]:
        """Return the optimal size and the tokens that the rest of the budget buys."""
        params = (flops / self.k0) ** self.p
        return params, self.cost.tokens(params, flops)

    @property
    def floor(self) -> float:
        """The irreducible loss of the compute trend."""
        return self.L_C

    def frontier_loss(self, flops: Number) -> Number:
        """Return L_C + (C0/C)^alpha_C."""
        return self.L_C + (self.C0 / flops) ** self.alpha_C

    def converged_loss(self, params: Number) -> Number:
        """Return L_N + (N0/N)^alpha_N, the loss of a size trained to convergence."""
        return self.L_N + (self.N0 / params) ** self.alpha_N
