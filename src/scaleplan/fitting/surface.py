"""The objective of an additive law and its derivatives, for many resamples at once.

With x, y the centred logs of parameters and tokens the law is L = E + e^(a - alpha x) + e^(b - beta y). In
(a, alpha, b, beta, E) the Gauss-Newton matrix has a condition number of thousands, where A, B at N = D = 1 give
1e14. E itself and not its logarithm is a coordinate, so that a floor of zero is a bound that can be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.objective import huber

if TYPE_CHECKING:
    from numpy import float64, intp
    from numpy.typing import NDArray

    from scaleplan.fitting.objective import Objective

    Array = NDArray[float64]
    Index = NDArray[intp]

__all__ = ["Coordinates", "Surface"]

_EXPONENT_BOUNDS = (1e-3, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinates:
    """Which of (a, alpha, b, beta, E) are fitted: all, with tied exponents, or with a fixed floor."""

    tied: bool = False
    floor: float | None = None

    @property
    def count(self) -> int:
        """The number of free coefficients."""
        return 5 - self.tied - (self.floor is not None)

    def matrix(self) -> Array:
        """Return M (5, count) with full = M free, plus the fixed floor."""
        columns = {"a": [0], "alpha": [1, 3] if self.tied else [1], "b": [2]}
        if not self.tied:
            columns["beta"] = [3]
        if self.floor is None:
            columns["E"] = [4]
        matrix = np.zeros((5, len(columns)))
        for k, rows in enumerate(columns.values()):
            matrix[rows, k] = 1.0
        return matrix

    def free(self, full: Array) -> Array:
        """Return the free coordinates of full ones (..., 5)."""
        keep = [0, 1, 2] + ([] if self.tied else [3]) + ([4] if self.floor is None else [])
        return full[..., keep]

    def full(self, free: Array) -> Array:
        """Return (a, alpha, b, beta, E) of free coordinates."""
        out: Array = free @ self.matrix().T
        if self.floor is not None:
            out[..., 4] = self.floor
        return out

    def bounds(self, loss: Array) -> tuple[Array, Array]:
        """Return the box of the free coordinates."""
        level = float(np.log(np.mean(loss)))
        low, high = _EXPONENT_BOUNDS
        lower = np.array([level - 25.0, low, level - 25.0, low, 0.0])
        upper = np.array([level + 12.0, high, level + 12.0, high, float(np.max(loss))])
        return self.free(lower), self.free(upper)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """One data set, a row of weights for each resample (or None), and what is minimised."""

    x: Array
    y: Array
    loss: Array
    objective: Objective
    coordinates: Coordinates
    weight: Array | None = None

    def terms(self, full: Array) -> tuple[Array, Array, Array]:
        """Return the size term, the data term and the law's loss at every run, (R, n) each."""
        size = np.exp(full[:, 0, None] - full[:, 1, None] * self.x)
        data = np.exp(full[:, 2, None] - full[:, 3, None] * self.y)
        return size, data, size + data + full[:, 4, None]

    def residuals(self, full: Array) -> Array:
        """Return the residuals (R, n) of coordinates (R, 5)."""
        return self.objective.residuals(self.terms(full)[2], self.loss)

    def jacobian(self, full: Array) -> Array:
        """Return the derivatives (R, 5, n) of the residuals by (a, alpha, b, beta, E)."""
        size, data, law = self.terms(full)
        return self._jacobian(size, data, 1.0 / law if self.objective.is_log else np.ones_like(law))

    def _jacobian(self, size: Array, data: Array, scale: Array) -> Array:
        out = np.empty((len(size), 5, len(self.x)))
        np.multiply(size, scale, out=out[:, 0])
        np.multiply(out[:, 0], -self.x, out=out[:, 1])
        np.multiply(data, scale, out=out[:, 2])
        np.multiply(out[:, 2], -self.y, out=out[:, 3])
        out[:, 4] = scale
        return out

    def derivatives(self, theta: Array, index: Index, *, delta: float, majorise: bool) -> tuple[Array, Array, Array]:
        """Return value, gradient and Hessian of the sum of Huber(r; delta)/delta, or of r²/2 for no delta.

        For f = ln L the second derivatives are L''/L - f'f'ᵀ, so that the curvature of log residuals is the
        linear one with psi taken off the weights (and L''/L instead of L'').
        """
        matrix = self.coordinates.matrix()
        size, data, law = self.terms(self.coordinates.full(theta))
        residual = self.objective.residuals(law, self.loss)
        jacobian = self._jacobian(size, data, 1.0 / law if self.objective.is_log else np.ones_like(law))
        weight = None if self.weight is None else self.weight[index if len(self.weight) > 1 else slice(None)]
        psi, slope, value = huber(residual, delta, majorise=majorise)
        if weight is not None:
            psi, slope, value = psi * weight, slope * weight, value * weight
        gradient = np.matmul(jacobian, psi[:, :, None])[:, :, 0]
        if not majorise and self.objective.is_log:
            slope = slope - psi
        hessian = np.matmul(jacobian * slope[:, None, :], jacobian.transpose(0, 2, 1))
        if not majorise:
            for k, centred in ((0, self.x), (2, self.y)):
                curvature = psi * jacobian[:, k]
                first = curvature @ centred
                hessian[:, k, k] += curvature.sum(axis=1)
                hessian[:, k, k + 1] -= first
                hessian[:, k + 1, k] -= first
                hessian[:, k + 1, k + 1] += curvature @ (centred * centred)
        if matrix.shape[1] < 5:
            gradient = gradient @ matrix
            hessian = matrix.T @ hessian @ matrix
        return value.sum(axis=1), gradient, hessian
