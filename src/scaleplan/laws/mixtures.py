"""Laws of mixtures of experts, with one more quantity than size and tokens: experts, granularity or sparsity.

The joint law and the one of fine-grained experts become additive laws once that quantity is chosen. Sizes are active
parameters, because compute and plans are about those, unless a form states otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.arrays import cubic_root, log
from scaleplan.errors import UsageError
from scaleplan.laws.additive import Additive, ReducedSurface
from scaleplan.laws.base import Curve, Number, Relation, VariableSurface, coefficient
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.toml_table import Table

__all__ = [
    "FITTED_FLOPS",
    "Abnar",
    "Clark",
    "ExpertShape",
    "FineGrainedMoE",
    "JointMoE",
    "efficiency_leverage",
]


_LAYER = 12.0  # parameters of a dense layer in units of width^2: 4 of attention, 8 of the feed-forward network

_ATTENTION, _FEED_FORWARD = 4.0, 8.0

_ASPECT = 64.0  # width over layers in the models of both papers, and the width of a head


@dataclass(frozen=True, slots=True, kw_only=True)
class FineGrainedMoE(VariableSurface, ReducedSurface):
    """L = c + (g/G^gamma + a)/N_total^alpha + b/D^beta at granularity G = 4*width/(width of an expert).

    Krajewski et al. 2024 (arXiv:2402.07871). N_total counts all experts without embeddings, 43 times the active
    parameters at the paper's 64 experts.
    """

    form: ClassVar[str] = "fine_grained_moe"
    formula: ClassVar[str] = "L = c + (g/G^gamma + a)/N_total^alpha + b/D^beta"
    variable: ClassVar[str] = "granularity"
    choices: ClassVar[tuple[float, ...]] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)

    a: float = coefficient(
        "size term at N_total = 1 and infinite granularity", above=0, raw=lambda law, to: law.a * to.params**law.alpha
    )
    alpha: float = coefficient("exponent of the size", above=0)
    b: float = coefficient("data term at D = 1", above=0, raw=lambda law, to: law.b * to.tokens**law.beta)
    beta: float = coefficient("exponent of the tokens", above=0)
    g: float = coefficient(
        "what granularity 1 adds to the size term", at_least=0, raw=lambda law, to: law.g * to.params**law.alpha
    )
    gamma: float = coefficient("exponent of the granularity", at_least=0)
    c: float = coefficient("irreducible loss", at_least=0)
    experts: float = coefficient("expansion: parameters of all experts over the active ones", at_least=1)
    routing: float = coefficient("FLOP per routing parameter and token", at_least=0)
    granularity: float = coefficient("granularity; chosen, not fitted", at_least=1, default=8.0)

    @property
    def expansion(self) -> float:
        """Total over active parameters: (8 E + 4)/12."""
        return (_FEED_FORWARD * self.experts + _ATTENTION) / _LAYER

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


def _saturated(value: Number, *, start: float, most: float, first: float = 0.0) -> Number:
    """Return 1/(1/(x - first + 1/(1/start - 1/most)) + 1/most) (Clark et al. 2022, arXiv:2202.01169, equation 6).

    It is ``start`` at x = ``first`` and approaches ``most``; the count of experts has ``first`` = 1.
    """
    return 1 / (1 / (value - first + 1 / (1 / start - 1 / most)) + 1 / most)


_EXPERT = 9.0  # SwiGLU of width 3*d: three matrices of 3*d^2 parameters a layer


@dataclass(frozen=True, slots=True, kw_only=True)
class JointMoE(VariableSurface, ReducedSurface):
    """L = a*X^delta*N^(alpha + gamma*ln X) + b*X^omega*D^(beta + zeta*ln X) + c at a saturating count X of experts.

    Ludziejewski et al. 2025 (arXiv:2502.05172): N is the active parameters, embeddings included; logarithms are
    natural and exponents negative, as printed.
    """

    form: ClassVar[str] = "joint_moe"
    formula: ClassVar[str] = "L = a*X^delta*N^(alpha + gamma*ln X) + b*X^omega*D^(beta + zeta*ln X) + c, X = X(E)"
    variable: ClassVar[str] = "experts"
    choices: ClassVar[tuple[float, ...]] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

    a: float = coefficient(
        "size term of one effective expert at N = 1", above=0, raw=lambda law, to: law.a * to.params**-law.alpha
    )
    alpha: float = coefficient("exponent of the size, negative", at_most=0)
    delta: float = coefficient(
        "exponent of the experts in the size term", raw=lambda law, to: law.delta - law.gamma * math.log(to.params)
    )
    gamma: float = coefficient("change of the size exponent with ln of the experts")
    b: float = coefficient(
        "data term of one effective expert at D = 1", above=0, raw=lambda law, to: law.b * to.tokens**-law.beta
    )
    beta: float = coefficient("exponent of the tokens, negative", at_most=0)
    omega: float = coefficient(
        "exponent of the experts in the data term", raw=lambda law, to: law.omega - law.zeta * math.log(to.tokens)
    )
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

    @property
    def reduced(self) -> Additive:
        """The additive law for this number of experts; its exponents are positive."""
        count = _saturated(self.experts, start=self.E_start, most=self.E_max, first=1.0)
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
        return ExpertShape.of_active(params).total_params(self.experts)

    def elements(self, params: float, *, cached_tokens: float = 0.0) -> float:
        """Return the numbers that a model of ``params`` active parameters and its cache keep in memory."""
        shape = ExpertShape.of_active(params)
        return shape.total_params(self.experts) + shape.cache(cached_tokens)

    def largest(self, elements: float, *, cached_tokens: float = 0.0) -> float:
        """Return the most active parameters that fit ``elements`` numbers of memory, cache included."""

        def room(width: float) -> float:
            shape = ExpertShape(width=width)
            return elements - shape.total_params(self.experts) - shape.cache(cached_tokens)

        low, high = 1.0, 1e6
        for _ in range(200):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if room(middle) >= 0 else (low, middle)
        return ExpertShape(width=low).active_params()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertShape:
    """A model of the authors' family by its width d: d/64 layers, d/64 heads, SwiGLU of width 3*d, tied embedding."""

    width: float
    vocabulary: ClassVar[float] = 50_257.0

    @classmethod
    def of_active(cls, params: float) -> ExpertShape:
        """Return the shape with so many active parameters: the root of 13/64*d^3 + 2*V*d = N."""
        cubic = (_ATTENTION + _EXPERT) / _ASPECT
        return cls(width=cubic_root(cubic=cubic, linear=2 * cls.vocabulary, total=params))

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


_A, _D = 1.23, -0.0761  # the text calls d positive; its table prints it negative, and only that gives EL above 1

_GAMMA, _BETA = 0.0167, -0.117

_START, _MOST = 0.0163, 5.28e16

FITTED_FLOPS = (3e17, 3e20)
"""The compute, in FLOP, of the runs behind the fit."""


def efficiency_leverage(*, activation: float, granularity: float, flops: float) -> float:
    """Return how many times the compute a dense model needs for the loss of this mixture (arXiv:2507.17702).

    EL = C_dense/C_moe = X^(alpha(C) + gamma*(log2 G)^2 + beta*log2 G), alpha(C) = a + d*log10 C, with X the
    saturating transform of the activation ratio A. The paper does not state the bases of its logarithms: base 2 for G
    and 10 for C give its "exceeds 7" at (0.031, 12, 1e22) and its best granularities of 8 to 12; natural ones give
    neither. It gives 0.99 for a dense model, which is 1 by definition.

    ``activation`` is (activated + shared)/(routable + shared) experts, ``granularity`` 2*width/(width of an expert),
    ``flops`` the training compute of the mixture. Raises UsageError for a ratio or a granularity that cannot be.
    """
    if not 0 < activation <= 1:
        raise UsageError(
            f"an activation ratio lies between 0 and 1, not at {format_plain(activation)}",
            hint="it is the active experts over all experts, such as 0.031 for 8 of 256",
        )
    if not (granularity >= 1 and math.isfinite(granularity)):
        raise UsageError(
            f"a granularity is at least 1, not {format_plain(granularity)}", hint="2*width/(width of an expert)"
        )
    log = math.log2(granularity)
    count = _saturated(activation, start=_START, most=_MOST)
    return max(1.0, count ** (_A + _D * math.log10(flops) + _GAMMA * log**2 + _BETA * log))


@dataclass(frozen=True, slots=True, kw_only=True)
class Abnar(Curve):
    """L = a/N^alpha + b/D^beta + c/(1-S)^lam + d/((1-S)^delta*N^gamma) + e; S is the share of inactive experts.

    Abnar et al. 2025 (arXiv:2501.12370), N the parameters in all. Ten parameters on a narrow range extrapolate badly:
    at a held-out sparsity of 0.98 the R^2 falls from 0.99 to 0.68.
    """

    form: ClassVar[str] = "abnar"
    formula: ClassVar[str] = "L = a/N^alpha + b/D^beta + c/(1-S)^lam + d/((1-S)^delta*N^gamma) + e"
    inputs: ClassVar[tuple[str, ...]] = ("params", "tokens", "sparsity")
    kinds: ClassVar[Mapping[str, str]] = {"sparsity": "share"}

    a: float = coefficient("size term at N = 1", at_least=0, raw=lambda law, to: law.a * to.params**law.alpha)
    alpha: float = coefficient("exponent of the size", above=0)
    b: float = coefficient("data term at D = 1", at_least=0, raw=lambda law, to: law.b * to.tokens**law.beta)
    beta: float = coefficient("exponent of the tokens", above=0)
    c: float = coefficient("sparsity term of a dense model", at_least=0)
    lam: float = coefficient("exponent of the share of active experts; negative where the term falls with sparsity")
    d: float = coefficient(
        "joint term at N = 1 and no sparsity", at_least=0, raw=lambda law, to: law.d * to.params**law.gamma
    )
    delta: float = coefficient("exponent of the share of active experts in the joint term")
    gamma: float = coefficient("exponent of the size in the joint term", at_least=0)
    e: float = coefficient("irreducible loss", at_least=0)

    def value(self, **inputs: Number) -> Number:
        """Return the loss of ``params`` in all on ``tokens`` at a ``sparsity`` below 1."""
        params, active = inputs["params"], 1.0 - inputs["sparsity"]
        alone = self.a * params**-self.alpha + self.b * inputs["tokens"] ** -self.beta + self.c * active**-self.lam
        return alone + self.d * active**-self.delta * params**-self.gamma + self.e


_LN_10 = 2.302585092994046


@dataclass(frozen=True, slots=True, kw_only=True)
class Clark(Curve):
    """log10 L = a*log10 N + b*log10 X + c*log10 N*log10 X + d with the saturating count X of experts E.

    Clark et al. 2022 (arXiv:2202.01169), N the parameters that one token sees. It has no tokens (all its runs saw
    130e9), so that it cannot split a budget; its "routing stops helping" beyond some size is an artefact of that.
    The cross term c multiplies log10 N, about 9: coefficients of one or two digits support no ratio with c in it.
    """

    form: ClassVar[str] = "clark"
    formula: ClassVar[str] = "log10 L = a*log10 N + b*log10 X + c*log10 N*log10 X + d, X = X(E)"
    inputs: ClassVar[tuple[str, ...]] = ("params", "experts")

    a: float = coefficient("exponent of the size, negative", at_most=0)
    b: float = coefficient(
        "exponent of the experts, negative", at_most=0, raw=lambda law, to: law.b - law.c * math.log10(to.params)
    )
    c: float = coefficient("how the exponents depend on each other")
    d: float = coefficient(
        "log10 of the loss at N = X = 1", raw=lambda law, to: law.d - law.a * math.log10(to.params)
    )
    E_start: float = coefficient("effective experts of a dense model", above=0)
    E_max: float = coefficient("effective experts of infinitely many", above=0)

    def value(self, **inputs: Number) -> Number:
        """Return the loss of ``params`` (seen by one token) with ``experts``."""
        size, count = log(inputs["params"]) / _LN_10, log(self._count(inputs["experts"])) / _LN_10
        return 10.0 ** (self.a * size + self.b * count + self.c * size * count + self.d)

    def relations(self) -> tuple[Relation, ...]:
        """Return the loss, and the dense size of equal loss."""
        return (*Curve.relations(self), Relation("effective_params", self.inputs, self.effective_params))

    def effective_params(self, params: float, experts: float) -> float:
        """Return the dense size of equal loss: N^(alpha(X)/alpha(E_start)) * (X/E_start)^(b/alpha(E_start))."""
        count = self._count(experts)
        dense = self.a + self.c * math.log10(self.E_start)
        routed = self.a + self.c * math.log10(count)
        return params ** (routed / dense) * (count / self.E_start) ** (self.b / dense)

    def _count(self, experts: Number) -> Number:
        return _saturated(experts, start=self.E_start, most=self.E_max, first=1.0)
