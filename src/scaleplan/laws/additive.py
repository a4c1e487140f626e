"""The additive law of Hoffmann et al. 2022, L = E + A/N^alpha + B/D^beta, and the laws built on it."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from scaleplan.arrays import exp
from scaleplan.laws.base import Curve, Law, LossSurface, Number, Relation, coefficient

__all__ = [
    "Additive",
    "DataConstrained",
    "Overtraining",
    "ReducedSurface",
    "ShapedLoss",
    "TaskError",
    "ThreeExponent",
    "worth",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _TwoTerms(Law):
    """The coefficients of E + A/N^alpha + B/D^beta."""

    E: float = coefficient("irreducible loss", at_least=0)
    A: float = coefficient("size term at N = 1", above=0, raw=lambda law, to: law.A * to.params**law.alpha)
    B: float = coefficient("data term at D = 1", above=0, raw=lambda law, to: law.B * to.tokens**law.beta)
    alpha: float = coefficient("exponent of the size term", above=0)
    beta: float = coefficient("exponent of the data term", above=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Additive(_TwoTerms, LossSurface):
    """L = E + A/N^alpha + B/D^beta (arXiv:2203.15556, equation 2), with closed forms for everything.

    With G = (alpha*A / (beta*B))^(1/(alpha+beta)) the optimum at N*D = x is
    N = G x^(beta/(alpha+beta)), D = x^(alpha/(alpha+beta)) / G, and the loss falls as
    E + K x^-gamma with gamma = alpha*beta/(alpha+beta) and K = A/G^alpha + B*G^beta.
    """

    form: ClassVar[str] = "additive"
    formula: ClassVar[str] = "L = E + A/N^alpha + B/D^beta"

    @property
    def floor(self) -> float:
        """The irreducible loss E."""
        return self.E

    @property
    def balance(self) -> float:
        """G, the factor between N* and the power of the budget."""
        return (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))

    @property
    def params_exponent(self) -> float:
        """The exponent a in N* ∝ C^a."""
        return self.beta / (self.alpha + self.beta)

    @property
    def loss_exponent(self) -> float:
        """Gamma, the rate at which the reducible loss of the optimum falls with compute."""
        return self.alpha * self.beta / (self.alpha + self.beta)

    @property
    def loss_scale(self) -> float:
        """K, the reducible loss of the optimum at N*D = 1."""
        return self.A * self.balance**-self.alpha + self.B * self.balance**self.beta

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return E + A/N^alpha + B/D^beta."""
        return self.E + self.reducible(params, tokens)

    def reducible(self, params: Number, tokens: Number) -> Number:
        """Return A/N^alpha + B/D^beta."""
        return self.A * params**-self.alpha + self.B * tokens**-self.beta

    def best_split(self, product: Number) -> tuple[Number, Number]:
        """Return the optimum at ``params * tokens = product`` in closed form."""
        params = self.balance * product**self.params_exponent
        return params, product / params

    def least_product(self, loss: Number) -> Number:
        """Return (K/(L-E))^(1/gamma), the inverse of the loss along the optimum; needs L > E."""
        return (self.loss_scale / (loss - self.E)) ** (1 / self.loss_exponent)

    def size_overhead(self, factor: float) -> float:
        """Return h(f)^(1/gamma) - 1 with h(f) = (beta f^-alpha + alpha f^beta)/(alpha+beta), the rise of L - E."""
        rise = (self.beta * factor**-self.alpha + self.alpha * factor**self.beta) / (self.alpha + self.beta)
        return rise ** (1 / self.loss_exponent) - 1

    def expansion_path(self) -> tuple[float, float]:
        """Return (G^(1+beta/alpha), beta/alpha), from equal elasticities alpha*A/N^alpha = beta*B/D^beta."""
        power = self.beta / self.alpha
        return self.balance ** (1 + power), power


class ReducedSurface(LossSurface):
    """A law that reduces to an additive one: the same losses, or others in the same order."""

    __slots__ = ()

    @property
    @abstractmethod
    def reduced(self) -> Additive:
        """The additive law whose optima are this law's."""

    def reduced_loss(self, loss: Number) -> Number:
        """Return the loss of the additive law where this one has ``loss``."""
        return loss

    @property
    def floor(self) -> float:
        """The irreducible loss."""
        return self.reduced.floor

    def reducible(self, params: Number, tokens: Number) -> Number:
        """Return the terms of size and tokens."""
        return self.reduced.reducible(params, tokens)

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return the loss of ``params`` on ``tokens``."""
        return self.floor + self.reducible(params, tokens)

    def best_split(self, product: Number) -> tuple[Number, Number]:
        """Return the additive law's optimum."""
        return self.reduced.best_split(product)

    def least_product(self, loss: Number) -> Number:
        """Return the additive law's least product at its own loss."""
        return self.reduced.least_product(self.reduced_loss(loss))

    def size_overhead(self, factor: float) -> float:
        """Return the additive law's overhead."""
        return self.reduced.size_overhead(factor)

    def expansion_path(self) -> tuple[float, float] | None:
        """Return the additive law's path."""
        return self.reduced.expansion_path()


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreeExponent(_TwoTerms, ReducedSurface):
    """L = E + (A/N^alpha + B/D^beta)^gamma, the supervised law of Busbridge et al. 2025 (arXiv:2502.08606)."""

    form: ClassVar[str] = "three_exponent"
    formula: ClassVar[str] = "L = E + (A/N^alpha + B/D^beta)^gamma"

    gamma: float = coefficient("outer exponent", above=0)

    @property
    def reduced(self) -> Additive:
        """The sum inside the outer exponent, which rises with it."""
        return Additive(E=0.0, A=self.A, B=self.B, alpha=self.alpha, beta=self.beta)

    @property
    def params_exponent(self) -> float:
        """The exponent a in N* ∝ C^a."""
        return self.reduced.params_exponent

    def reduced_loss(self, loss: Number) -> Number:
        """Return the sum inside the outer exponent at a loss above E."""
        return (loss - self.E) ** (1 / self.gamma)

    @property
    def floor(self) -> float:
        """The irreducible loss E."""
        return self.E

    def reducible(self, params: Number, tokens: Number) -> Number:
        """Return the inner sum to the outer exponent."""
        return self.reduced.reducible(params, tokens) ** self.gamma


def worth(repetitions: Number, decay: Number | float) -> Number:
    """Return what ``repetitions`` passes beyond the first are worth, with the first, in unique sets.

    Muennighoff et al. 2023 (arXiv:2305.16264, equation 5): 1 + R*(1 - e^(-r/R)).
    """
    return 1.0 + decay * (1.0 - exp(-repetitions / decay))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConstrained(_TwoTerms, ReducedSurface):
    """L = E + A/N'^alpha + B/D'^beta, where repeated tokens and surplus parameters count for less (arXiv:2305.16264).

    As a surface it is the law of fresh data; how fast repetition wears off, ``R_D`` and ``R_N``, is what a plan with
    few unique tokens takes from it in place of the published values.
    """

    form: ClassVar[str] = "data_constrained"
    formula: ClassVar[str] = "L = E + A/N'^alpha + B/D'^beta, D' = U + U*R_D*(1 - e^(-(D/U - 1)/R_D)), N' with R_N"

    R_D: float = coefficient("repetitions of tokens after which their worth has fallen to 1/e", above=0)
    R_N: float = coefficient("the same of parameters beyond those that the unique tokens can use", above=0)

    @property
    def reduced(self) -> Additive:
        """The law of fresh data."""
        return Additive(E=self.E, A=self.A, B=self.B, alpha=self.alpha, beta=self.beta)

    def relations(self) -> tuple[Relation, ...]:
        """Return the loss on fresh data, and on so many distinct tokens."""
        return (
            *LossSurface.relations(self),
            Relation("loss", ("params", "tokens", "unique_tokens"), self.repeated_loss),
        )

    def repeated_loss(self, *, params: float, tokens: float, unique_tokens: float) -> float:
        """Return the loss of ``params`` on ``tokens``, of which ``unique_tokens`` are distinct."""
        unique = min(tokens, unique_tokens)
        scale, power = self.reduced.expansion_path()
        usable = min(params, scale * unique**power)
        return self.loss(
            usable * worth(params / usable - 1.0, self.R_N), unique * worth(tokens / unique - 1.0, self.R_D)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtraining(LossSurface):
    """L(C, M) = E + (a*M^eta + b*M^-eta) * C^-eta with M = D/N and C = 6*N*D (Gadre et al. 2024, arXiv:2403.08540).

    The additive law with both exponents equal to 2*eta, so that the reducible losses
    at two fixed M differ by a factor at every budget.
    """

    form: ClassVar[str] = "overtraining"
    formula: ClassVar[str] = "L = E + (a*M^eta + b*M^-eta)*C^-eta, M = D/N, C = 6*N*D"

    E: float = coefficient("irreducible loss", at_least=0)
    a: float = coefficient("weight of the size term", above=0, raw=lambda law, to: law.a * to.params ** (2 * law.eta))
    b: float = coefficient("weight of the data term", above=0, raw=lambda law, to: law.b * to.tokens ** (2 * law.eta))
    eta: float = coefficient("exponent of compute", above=0)

    @property
    def floor(self) -> float:
        """The irreducible loss E."""
        return self.E

    def relations(self) -> tuple[Relation, ...]:
        """Return the loss, also by compute and tokens per parameter."""
        return (*LossSurface.relations(self), Relation("loss", ("flops", "tokens_per_param"), self.loss_at))

    @property
    def best_ratio(self) -> float:
        """The M with the least loss at every budget, (b/a)^(1/(2*eta)); an extrapolation, see the presets."""
        return (self.b / self.a) ** (0.5 / self.eta)

    def loss_at(self, flops: Number, tokens_per_param: Number) -> Number:
        """Return L(C, M) for compute in FLOP and a ratio of tokens to parameters."""
        power = tokens_per_param**self.eta
        return self.E + (self.a * power + self.b / power) * flops**-self.eta

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return the loss of ``params`` on ``tokens``."""
        return self.E + self.reducible(params, tokens)

    def reducible(self, params: Number, tokens: Number) -> Number:
        """Return the two terms above E, written in N and D."""
        root = 6**-self.eta
        return root * (self.a * params ** (-2 * self.eta) + self.b * tokens ** (-2 * self.eta))

    def best_split(self, product: Number) -> tuple[Number, Number]:
        """Return the optimum at ``params * tokens = product``: a constant ratio."""
        params = (product / self.best_ratio) ** 0.5
        return params, product / params

    def least_product(self, loss: Number) -> Number:
        """Return the least ``params * tokens`` that reaches ``loss``, along the best ratio; needs L > E."""
        return (2 * math.sqrt(self.a * self.b) / (loss - self.E)) ** (1 / self.eta) / 6

    def expansion_path(self) -> tuple[float, float]:
        """Return the constant ratio of size to tokens."""
        return 1 / self.best_ratio, 1.0

    def size_overhead(self, factor: float) -> float:
        """Return cosh(2 eta ln f)^(1/eta) - 1, the additive law's figure for equal exponents."""
        return math.cosh(2 * self.eta * math.log(factor)) ** (1 / self.eta) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError(Curve):
    """Err(L) = epsilon - k*exp(-gamma*L), the average top-1 error on a set of tasks (arXiv:2403.08540)."""

    form: ClassVar[str] = "task_error"
    formula: ClassVar[str] = "Err = epsilon - k*exp(-gamma*L)"
    quantity: ClassVar[str] = "error"
    inputs: ClassVar[tuple[str, ...]] = ("loss",)

    epsilon: float = coefficient("error of a model that knows nothing", above=0, at_most=1)
    k: float = coefficient("reducible error at L = 0", above=0)
    gamma: float = coefficient("rate at which the error falls with the loss", above=0)

    def value(self, **inputs: Number) -> Number:
        """Return the error for ``loss``, in the unit of the law it belongs to."""
        return self.epsilon - self.k * math.e ** (-self.gamma * inputs["loss"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapedLoss(_TwoTerms, Curve):
    """L = (E + A/N^alpha + B/D^beta)*(1 + epsilon*R^gamma) with R = width/layers.

    Bian et al. 2025 (arXiv:2501.18107); the authors tie the exponents.
    """

    form: ClassVar[str] = "shape"
    formula: ClassVar[str] = "L = (E + A/N^alpha + B/D^beta)*(1 + epsilon*R^gamma)"
    inputs: ClassVar[tuple[str, ...]] = ("params", "tokens", "aspect_ratio")

    epsilon: float = coefficient("what an aspect ratio of 1 adds", at_least=0)
    gamma: float = coefficient("exponent of the aspect ratio")

    def value(self, **inputs: Number) -> Number:
        """Return the loss of ``params`` with an ``aspect_ratio`` on ``tokens``."""
        plain = self.E + self.A * inputs["params"] ** -self.alpha + self.B * inputs["tokens"] ** -self.beta
        return plain * (1.0 + self.epsilon * inputs["aspect_ratio"] ** self.gamma)
