"""How precisely a set of runs would determine a law, before they are trained: local linearisation.

Runs of relative noise s with Jacobian rows j of ln L give the information F = F_prior + sum(j jᵀ)/s²; the standard
error of a quantity with gradient g is sqrt(gᵀ F⁻¹ g). The coordinates are (ln A, ln B, E, alpha, beta).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.laws.additive import Additive

    Array = NDArray[float64]

__all__ = ["Knowledge", "Precision", "Target", "jacobian"]

_PRIOR = (10.0, 10.0, 1.0, 0.15, 0.15)
"""Standard deviations before any run: scales within e^10, exponents as published laws differ (0.05 to 0.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Standard errors of ln N* and ln L at the target, and of a in N* ∝ C^a."""

    log_params: float
    log_loss: float
    exponent: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """The gradients of ln N* and ln L at the optimum of a budget, and of a: what the runs are bought for."""

    log_params: Array
    log_loss: Array
    exponent: Array

    @classmethod
    def of(cls, law: Additive, product: float) -> Self:
        """Return the gradients at the optimum of ``params * tokens = product``.

        ln N* = (ln(alpha A) - ln(beta B) + beta ln product)/(alpha + beta); the loss at the optimum does not feel
        its displacement to first order.
        """
        params, tokens = law.best_split(product)
        total, place = law.alpha + law.beta, math.log(params)
        size = np.array([1.0, -1.0, 0.0, 1 / law.alpha - place, math.log(product) - 1 / law.beta - place]) / total
        exponent = np.array([0.0, 0.0, 0.0, -law.beta, law.alpha]) / total**2
        return cls(
            log_params=size, log_loss=jacobian(law, np.array([params]), np.array([tokens]))[0], exponent=exponent
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Knowledge:
    """What is known of a law: the covariance (5, 5) of its coordinates, given runs of relative ``noise``."""

    covariance: Array
    noise: float

    @classmethod
    def prior(cls, noise: float) -> Self:
        """Return what is known before any run."""
        return cls(covariance=np.diag(np.square(_PRIOR)), noise=noise)

    def with_runs(self, rows: Array) -> Knowledge:
        """Return the knowledge after runs with the Jacobian ``rows`` (n, 5), one rank-one update each."""
        covariance = self.covariance
        for row in rows:
            moved = covariance @ row
            covariance = covariance - np.outer(moved, moved) / (self.noise**2 + row @ moved)
        return Knowledge(covariance=0.5 * (covariance + covariance.T), noise=self.noise)

    def gain(self, rows: Array, gradient: Array) -> Array:
        """Return by how much each run would lower the variance of the quantity with this gradient."""
        moved = rows @ self.covariance
        gained: Array = (moved @ gradient) ** 2 / (self.noise**2 + np.sum(moved * rows, axis=1))
        return gained

    def precision(self, target: Target) -> Precision:
        """Return the standard errors of the target's quantities."""

        def error(gradient: Array) -> float:
            return math.sqrt(max(float(gradient @ self.covariance @ gradient), 0.0))

        return Precision(
            log_params=error(target.log_params), log_loss=error(target.log_loss), exponent=error(target.exponent)
        )


def jacobian(law: Additive, params: Array, tokens: Array) -> Array:
    """Return the derivatives (n, 5) of ln L by (ln A, ln B, E, alpha, beta)."""
    size, data = law.A * params**-law.alpha, law.B * tokens**-law.beta
    columns = (size, data, np.ones_like(size), -size * np.log(params), -data * np.log(tokens))
    rows: Array = np.stack(columns, axis=1) / (law.E + size + data)[:, None]
    return rows
