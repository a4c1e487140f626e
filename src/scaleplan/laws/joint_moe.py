"""The joint law of dense models and mixtures of experts (Ludziejewski et al. 2025, arXiv:2502.05172).

N is the *active* parameters, embeddings included; logarithms are natural and exponents negative, as printed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.laws.additive import Additive
from scaleplan.laws.base import Units, coefficient
from scaleplan.laws.expert_count import saturated
from scaleplan.laws.variable import VariableSurface

if TYPE_CHECKING:
    from scaleplan.records import Table

__all__ = ["JointMoE", "Shape"]

_ASPECT = 64.0  # width over layers, and the width of a head, in all the authors' models
_EXPERT = 9.0  # SwiGLU of width 3*d: three matrices of 3*d^2 parameters a layer
_ATTENTION = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JointMoE(VariableSurface):
    """L = a*X^delta*N^(alpha + gamma*ln X) + b*X^omega*D^(beta + zeta*ln X) + c at a saturating count X of experts.

    At a fixed number of experts it is the additive law :attr:`reduced`, closed forms included.
    """

    form: ClassVar[str] = "joint_moe"
    formula: ClassVar[str] = "L = a*X^delta*N^(alpha + gamma*ln X) + b*X^omega*D^(beta + zeta*ln X) + c, X = X(E)"
    variable: ClassVar[str] = "experts"
    choices: ClassVar[tuple[float, ...]] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

    a: float = coefficient("size term of one effective expert at N = 1", above=0)
    alpha: float = coefficient("exponent of the size, negative", at_most=0)
    delta: float = coefficient("exponent of the experts in the size term")
    gamma: float = coefficient("change of the size exponent with ln of the experts")
    b: float = coefficient("data term of one effective expert at D = 1", above=0)
    beta: float = coefficient("exponent of the tokens, negative", at_most=0)
    omega: float = coefficient("exponent of the experts in the data term")
    zeta: float = coefficient("change of the data exponent with ln of the experts")
    E_start: float = coefficient("effective experts of a dense model", above=0)
    E_max: float = coefficient("effective experts of infinitely many", above=0)
    c: float = coefficient("irreducible loss", at_least=0)
    experts: float = coefficient("experts a layer, one of them active; chosen, not fitted", at_least=1, default=8.0)

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the coefficients; the loss must fall with size and tokens at every number of experts."""
        law = super(JointMoE, cls).from_table(table)
        if law.E_max <= law.E_start:
            raise table.error("E_max", "expected more than E_start")
        for start, change in (("alpha", law.gamma), ("beta", law.zeta)):
            # an exponent is linear in ln X, so that it keeps its sign between the ends
            if any(getattr(law, start) + change * math.log(count) >= 0 for count in (law.E_start, law.E_max)):
                raise table.error(start, "expected an exponent that stays below 0 at every number of experts")
        return law

    def choose(self, value: float) -> Self:
        """Return the law for another number of experts."""
        return replace(self, experts=value)

    @property
    def reduced(self) -> Additive:
        """The additive law for this number of experts; its exponents are positive."""
        count = saturated(self.experts, start=self.E_start, most=self.E_max, first=1.0)
        log = math.log(count)
        return Additive(
            E=self.c,
            A=self.a * count**self.delta,
            alpha=-(self.alpha + self.gamma * log),
            B=self.b * count**self.omega,
            beta=-(self.beta + self.zeta * log),
        )

    def total_params(self, params: float) -> float:
        """Return the parameters of all experts together, for ``params`` active ones, in the authors' shapes."""
        return Shape.of_active(params).total_params(self.experts)

    def elements(self, params: float, *, cached_tokens: float = 0.0) -> float:
        """Return the numbers that a model of ``params`` active parameters and its cache keep in memory."""
        shape = Shape.of_active(params)
        return shape.total_params(self.experts) + shape.cache(cached_tokens)

    def largest(self, elements: float, *, cached_tokens: float = 0.0) -> float:
        """Return the most active parameters that fit ``elements`` numbers of memory, cache included."""

        def room(width: float) -> float:
            shape = Shape(width=width)
            return elements - shape.total_params(self.experts) - shape.cache(cached_tokens)

        low, high = 1.0, 1e6
        for _ in range(200):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if room(middle) >= 0 else (low, middle)
        return Shape(width=low).active_params()

    def in_raw_units(self, units: Units) -> Self:
        """Rescale for raw units: of (N/u)^(p + q*ln X), u^-p goes to a and X^(-q*ln u) to the exponent delta."""
        size, data = math.log(units.params), math.log(units.tokens)
        return replace(
            self,
            a=self.a * units.params**-self.alpha,
            delta=self.delta - self.gamma * size,
            b=self.b * units.tokens**-self.beta,
            omega=self.omega - self.zeta * data,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A model of the authors' family by its width d: d/64 layers, d/64 heads, SwiGLU of width 3*d, tied embedding."""

    width: float
    vocabulary: ClassVar[float] = 50_257.0

    @classmethod
    def of_active(cls, params: float) -> Shape:
        """Return the shape with so many active parameters: the root of 13/64*d^3 + 2*V*d = N."""
        linear, cubic = 2 * cls.vocabulary, (_ATTENTION + _EXPERT) / _ASPECT
        width = min((params / cubic) ** (1 / 3), params / linear)
        for _ in range(100):  # the cubic is convex: from any start all later steps come down to the root from above
            step = (cubic * width**3 + linear * width - params) / (3 * cubic * width**2 + linear)
            width -= step
            if abs(step) <= 1e-15 * width:
                break
        return cls(width=width)

    @property
    def layers(self) -> float:
        """Layers, not rounded to whole ones."""
        return self.width / _ASPECT

    def active_params(self) -> float:
        """Return 2*d*V + 13*layers*d^2."""
        return self.total_params(1.0)

    def total_params(self, experts: float) -> float:
        """Return 2*d*V + (4 + 9*E)*layers*d^2."""
        return 2 * self.width * self.vocabulary + (_ATTENTION + _EXPERT * experts) * self.layers * self.width**2

    def cache(self, tokens: float) -> float:
        """Return the numbers in a cache of keys and values: 2*T*layers*d, by multi-head attention."""
        return 2 * tokens * self.layers * self.width
