"""The additive law, L = E + A/N^alpha + B/D^beta (Hoffmann et al. 2022, arXiv:2203.15556, equation 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.laws.base import LossSurface, Number, Units, coefficient

__all__ = ["Additive"]


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
