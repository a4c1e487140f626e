"""The additive law, L = E + A/N^alpha + B/D^beta (Hoffmann et al. 2022, arXiv:2203.15556, equation 2).

The additive law under an outer exponent, L = E + (A/N^alpha + B/D^beta)^gamma (Busbridge et al. 2025).

Over-trained models (Gadre et al. 2024, arXiv:2403.08540): loss at any tokens per parameter, and task error.

Loss by size, tokens and the shape of the model (Bian et al. 2025, arXiv:2501.18107).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.laws.base import Curve, LossSurface, Number, Units, coefficient

__all__ = ["Additive", "Overtraining", "ShapedLoss", "TaskError", "ThreeExponent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Additive(LossSurface):
    """L = E + A/N^alpha + B/D^beta, with closed forms for everything.

    With G = (alpha*A / (beta*B))^(1/(alpha+beta)) the optimum at N*D = x is
    N = G x^(beta/(alpha+beta)), D = x^(alpha/(alpha+beta)) / G, and the loss falls as
    E + K x^-gamma with gamma = alpha*beta/(alpha+beta) and K = A/G^alpha + B*G^beta.
    """

    form: ClassVar[str] = "additive"
    formula: ClassVar[str] = "L = E + A/N^alpha + B/D^beta"

    E: float = coefficient("irreducible loss", at_least=0)
    A: float = coefficient("size term at N = 1", above=0)
    B: float = coefficient("data term at D = 1", above=0)
    alpha: float = coefficient("exponent of the size term", above=0)
    beta: float = coefficient("exponent of the data term", above=0)

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

    def tokens_for(self, loss: Number, params: Number) -> Number:
        """Return (B/(L - E - A/N^alpha))^(1/beta); infinity when the size alone keeps the loss above L."""
        return _inverse_power(self.B, loss - self.E - self.A * params**-self.alpha, self.beta)

    def params_for(self, loss: Number, tokens: Number) -> Number:
        """Return (A/(L - E - B/D^beta))^(1/alpha); infinity when the data alone keep the loss above L."""
        return _inverse_power(self.A, loss - self.E - self.B * tokens**-self.beta, self.alpha)

    def in_raw_units(self, units: Units) -> Self:
        """Rescale A and B: a law in N/u has A*u^alpha for raw N."""
        return replace(self, A=self.A * units.params**self.alpha, B=self.B * units.tokens**self.beta)


def _inverse_power(scale: float, rest: Number, exponent: float) -> Number:
    if isinstance(rest, float):
        return (scale / rest) ** (1 / exponent) if rest > 0 else float("inf")
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rest > 0, (scale / rest) ** (1 / exponent), np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreeExponent(LossSurface):
    """L = E + (A/N^alpha + B/D^beta)^gamma, the supervised law of arXiv:2502.08606.

    The outer power rises, so that the optimum is that of the additive law inside.
    """

    form: ClassVar[str] = "three_exponent"
    formula: ClassVar[str] = "L = E + (A/N^alpha + B/D^beta)^gamma"

    E: float = coefficient("irreducible loss", at_least=0)
    A: float = coefficient("size term at N = 1", above=0)
    B: float = coefficient("data term at D = 1", above=0)
    alpha: float = coefficient("exponent of the size term", above=0)
    beta: float = coefficient("exponent of the data term", above=0)
    gamma: float = coefficient("outer exponent", above=0)

    @property
    def inner(self) -> Additive:
        """The additive law inside the outer exponent."""
        return Additive(E=0.0, A=self.A, B=self.B, alpha=self.alpha, beta=self.beta)

    @property
    def floor(self) -> float:
        """The irreducible loss E."""
        return self.E

    def reducible(self, params: Number, tokens: Number) -> Number:
        """Return the inner sum to the outer exponent."""
        return self.inner.reducible(params, tokens) ** self.gamma

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return the loss of ``params`` on ``tokens``."""
        return self.E + self.reducible(params, tokens)

    def best_split(self, product: Number) -> tuple[Number, Number]:
        """Return (params, tokens) of least loss at ``params * tokens = product``."""
        return self.inner.best_split(product)

    def least_product(self, loss: Number) -> Number:
        """Return the least ``params * tokens`` that reaches a loss above E."""
        return self.inner.least_product(self._inside(loss))

    def tokens_for(self, loss: Number, params: Number) -> Number:
        """Return the tokens with which ``params`` reach ``loss``."""
        return self.inner.tokens_for(self._inside(loss), params)

    def params_for(self, loss: Number, tokens: Number) -> Number:
        """Return the parameters with which ``tokens`` reach ``loss``."""
        return self.inner.params_for(self._inside(loss), tokens)

    def size_overhead(self, factor: float) -> float:
        """Return the compute that a size ``factor`` times the optimum wastes, at every budget."""
        return self.inner.size_overhead(factor)

    def _inside(self, loss: Number) -> Number:
        return (loss - self.E) ** (1 / self.gamma)

    def in_raw_units(self, units: Units) -> Self:
        """Rescale for sizes and tokens in raw units."""
        return replace(self, A=self.A * units.params**self.alpha, B=self.B * units.tokens**self.beta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtraining(LossSurface):
    """L(C, M) = E + (a*M^eta + b*M^-eta) * C^-eta with M = D/N and C = 6*N*D.

    The additive law with both exponents equal to 2*eta, so that the reducible losses
    at two fixed M differ by a factor at every budget.
    """

    form: ClassVar[str] = "overtraining"
    formula: ClassVar[str] = "L = E + (a*M^eta + b*M^-eta)*C^-eta, M = D/N, C = 6*N*D"

    E: float = coefficient("irreducible loss", at_least=0)
    a: float = coefficient("weight of the size term", above=0)
    b: float = coefficient("weight of the data term", above=0)
    eta: float = coefficient("exponent of compute", above=0)

    @property
    def floor(self) -> float:
        """The irreducible loss E."""
        return self.E

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

    def in_raw_units(self, units: Units) -> Self:
        """Rescale both weights: the size term varies as N^(-2 eta), the data term as D^(-2 eta)."""
        return replace(
            self,
            a=self.a * units.params ** (2 * self.eta),
            b=self.b * units.tokens ** (2 * self.eta),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError(Curve):
    """Err(L) = epsilon - k*exp(-gamma*L), the average top-1 error on a set of tasks."""

    form: ClassVar[str] = "task_error"
    formula: ClassVar[str] = "Err = epsilon - k*exp(-gamma*L)"

    epsilon: float = coefficient("error of a model that knows nothing", above=0, at_most=1)
    k: float = coefficient("reducible error at L = 0", above=0)
    gamma: float = coefficient("rate at which the error falls with the loss", above=0)

    @property
    def inputs(self) -> tuple[str, ...]:
        """A loss."""
        return ("loss",)

    def value(self, **inputs: Number) -> Number:
        """Return the error for ``loss``, in the unit of the law it belongs to."""
        return self.epsilon - self.k * math.e ** (-self.gamma * inputs["loss"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapedLoss(Curve):
    """L = (E + A/N^alpha + B/D^beta)*(1 + epsilon*R^gamma) with R = width/layers; the authors tie the exponents."""

    form: ClassVar[str] = "shape"
    formula: ClassVar[str] = "L = (E + A/N^alpha + B/D^beta)*(1 + epsilon*R^gamma)"

    E: float = coefficient("irreducible loss", at_least=0)
    A: float = coefficient("size term at N = 1", above=0)
    B: float = coefficient("data term at D = 1", above=0)
    alpha: float = coefficient("exponent of the size term", above=0)
    beta: float = coefficient("exponent of the data term", above=0)
    epsilon: float = coefficient("what an aspect ratio of 1 adds", at_least=0)
    gamma: float = coefficient("exponent of the aspect ratio")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Parameters, tokens and width over layers."""
        return ("params", "tokens", "aspect_ratio")

    def value(self, **inputs: Number) -> Number:
        """Return the loss of ``params`` with an ``aspect_ratio`` on ``tokens``."""
        plain = self.E + self.A * inputs["params"] ** -self.alpha + self.B * inputs["tokens"] ** -self.beta
        return plain * (1.0 + self.epsilon * inputs["aspect_ratio"] ** self.gamma)

    def in_raw_units(self, units: Units) -> Self:
        """Rescale for sizes and tokens in raw units."""
        return replace(self, A=self.A * units.params**self.alpha, B=self.B * units.tokens**self.beta)
