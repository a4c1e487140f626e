"""Over-trained models (Gadre et al. 2024, arXiv:2403.08540): loss at any tokens per parameter, and task error."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.laws.base import Curve, LossSurface, Number, Units, coefficient

__all__ = ["Overtraining", "TaskError"]


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
