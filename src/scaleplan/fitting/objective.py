"""The objective that a fit minimises, and robust statistics of its residuals and resamples.

The default is Hoffmann et al. 2022 (arXiv:2203.15556, section 3.3): the sum of Huber terms with delta = 1e-3 on
differences of log loss. Log residuals of real sweeps are 2e-3 to 1e-2, so that most points sit in the linear part
and the estimator is close to least absolute deviations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from scaleplan.errors import UsageError, quote

if TYPE_CHECKING:
    from scaleplan.arrays import Array

__all__ = [
    "Objective",
    "central_interval",
    "half_width",
    "huber",
    "rms",
    "robust_rms",
    "typical_deviation",
]

Residual = Literal["log", "linear"]
Robust = Literal["huber", "l1", "none"]

_L1_DELTA = 1e-2  # where the continuation towards absolute deviations stops, as a multiple of a usual residual


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The sum over runs of a robust function of the residuals.

    ``residual`` is ``"log"`` (differences of log loss: multiplicative noise) or ``"linear"`` (differences of loss:
    additive noise). ``robust`` is ``"huber"``, ``"l1"`` or ``"none"`` (least squares); ``delta`` is where Huber's
    function turns from quadratic to linear, in the unit of the residuals. Raises UsageError for an unknown choice or
    a delta that is not a positive number.
    """

    residual: Residual = "log"
    robust: Robust = "huber"
    delta: float = 1e-3

    def __post_init__(self) -> None:
        if self.residual not in {"log", "linear"}:
            raise UsageError(f"unknown residual {quote(self.residual)}", hint="known: log, linear")
        if self.robust not in {"huber", "l1", "none"}:
            raise UsageError(f"unknown robust function {quote(self.robust)}", hint="known: huber, l1, none")
        if not (math.isfinite(self.delta) and self.delta > 0):
            raise UsageError(f"delta {quote(self.delta)} is not a positive number")

    @property
    def is_log(self) -> bool:
        """Whether residuals are differences of log loss."""
        return self.residual == "log"

    def residuals(self, predicted: Array, loss: Array) -> Array:
        """Return predicted minus observed, in log loss or loss."""
        return np.log(predicted) - np.log(loss) if self.is_log else predicted - loss

    def score(self, residuals: Array, weight: Array | None = None) -> Array:
        """Return the reported objective, summed over the last axis.

        Huber's function is r²/2 inside delta and delta*(|r| - delta/2) outside; ``l1`` sums |r|; ``none`` sums r².
        """
        size = np.abs(residuals)
        if self.robust == "none":
            terms = residuals * residuals
        elif self.robust == "l1":
            terms = size
        else:
            inner = np.minimum(size, self.delta)
            terms = inner * (size - 0.5 * inner)
        total: Array = np.sum(terms if weight is None else terms * weight, axis=-1)
        return total

    def share_inside(self, residuals: Array) -> float | None:
        """Return the share of points in the quadratic part, or None where there is no such part."""
        return float(np.mean(np.abs(residuals) <= self.delta)) if self.robust == "huber" else None

    def continuation(self, residuals: Array) -> tuple[float, ...]:
        """Return the deltas to minimise through, from twice the typical residual at the start down to the target.

        Each stage starts where the last ended, so that the kinks of the final objective are met only near its
        optimum. Least squares needs no stages: its delta is infinite.
        """
        if self.robust == "none":
            return (math.inf,)
        spread = 2.0 * float(np.median(np.abs(residuals)))
        stages = [self.delta if self.robust == "huber" else max(_L1_DELTA * spread, 1e-12)]
        while stages[-1] < spread:
            stages.append(stages[-1] * 4.0)
        return tuple(reversed(stages))


def huber(
    residual: Array, delta: float, *, majorise: bool, weight: Array | None = None
) -> tuple[Array, Array, Array]:
    """Return psi, its slope (or the majoriser's weight) and the value of Huber's function over delta, weighted."""
    if np.isfinite(delta):
        psi = np.minimum(np.maximum(residual, -delta), delta)
        size = np.abs(residual)
        value = psi * (residual - 0.5 * psi) / delta
        slope = 1.0 / np.maximum(size, delta) if majorise else (size <= delta) / delta
        psi = psi / delta
    else:
        psi, slope, value = residual, np.ones_like(residual), 0.5 * residual * residual
    return (psi, slope, value) if weight is None else (psi * weight, slope * weight, value * weight)


_MAD_TO_SD = 1.4826  # of a normal distribution
_WILD = 5.0
_ONE_SIGMA = (0.1587, 0.8413)


def rms(values: Array) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def central_interval(draws: Array, level: float, *, stretch: float = 1.0) -> tuple[float, float]:
    """Return the percentiles between which the central share ``level`` of the draws lies, made wider by ``stretch``.

    Positive ones widen in the logarithm, and none that is not negative becomes so.
    """
    low, high = (float(end) for end in np.quantile(draws, (0.5 - level / 2, 0.5 + level / 2)))
    if stretch == 1.0:
        return low, high
    if low > 0:
        middle, half = math.sqrt(low) * math.sqrt(high), 0.5 * stretch * math.log(high / low)
        return middle * math.exp(-min(half, 300.0)), middle * math.exp(min(half, 300.0))
    middle, half = 0.5 * (low + high), 0.5 * stretch * (high - low)
    return middle - half if low < 0 else 0.0, middle + half


def half_width(draws: Array) -> float:
    """Return half the central 68 %: one standard error, also of draws whose standard deviation may be infinite."""
    low, high = np.quantile(draws, _ONE_SIGMA)
    return 0.5 * float(high - low)


def typical_deviation(residuals: Array, *, coefficients: int = 0) -> float:
    """Return the standard deviation of the normal distribution with this median of absolute residuals.

    A fit close to absolute deviations passes through as many runs as it has coefficients: all but one of these
    smallest residuals are left out, as in MATLAB's ``robustfit`` (McKean and Schrader 1987).
    """
    size = np.sort(np.abs(residuals))
    return _MAD_TO_SD * float(np.median(size[min(max(coefficients - 1, 0), len(size) - 1) :]))


def robust_rms(values: Array) -> float:
    """Return the root mean square with no value counted as more than five typical deviations.

    A thousand normal errors reach 3.3 and the heavy tails of careful sweeps 10: what lies farther out is a run that
    went wrong, which must not set what to expect of the others. Errors of one sign count in full.
    """
    return rms(np.clip(np.abs(values), 0.0, _WILD * typical_deviation(values)))
