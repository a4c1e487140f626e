"""Does a simpler form explain the runs as well: AICc of nested fits, by the noise model of the objective.

AICc = -2 ln(likelihood) + 2k + 2k(k+1)/(n-k-1), where k counts the scale of the noise (Hurvich & Tsai 1989,
Biometrika 76:297). The scale is profiled out: Gaussian for least squares, Laplace for absolute deviations, and for
Huber's function the density proportional to exp(-huber(r)/tau).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaleplan.fitting.objective import Objective

__all__ = ["aicc", "deviance"]


def aicc(score: float, *, runs: int, coefficients: int, objective: Objective) -> float:
    """Return AICc of a fit with the objective ``score``; infinite where there are too few runs for it."""
    k = coefficients + 1
    if runs - k - 1 <= 0:
        return math.inf
    return deviance(score, runs=runs, objective=objective) + 2.0 * k + 2.0 * k * (k + 1) / (runs - k - 1)


def deviance(score: float, *, runs: int, objective: Objective) -> float:
    """Return -2 ln(likelihood) at the best scale of the noise, up to a constant for all forms."""
    score = max(score, 1e-300)
    if objective.robust == "none":
        return runs * math.log(score / runs)
    if objective.robust == "l1":
        return 2.0 * runs * math.log(score / runs)
    return _huber_deviance(score, runs, objective.delta)


def _huber_deviance(score: float, runs: int, delta: float) -> float:
    """Minimise 2 S/tau + 2 n ln Z(tau) over tau by golden section in ln tau; convex there.

    Z = sqrt(2 pi tau) erf(delta/sqrt(2 tau)) + (2 tau/delta) exp(-delta²/(2 tau)).
    """

    def value(log_tau: float) -> float:
        tau = math.exp(log_tau)
        inner = math.sqrt(2 * math.pi * tau) * math.erf(delta / math.sqrt(2 * tau))
        outer = 2 * tau / delta * math.exp(-delta * delta / (2 * tau))
        return 2 * score / tau + 2 * runs * math.log(inner + outer)

    middle = math.log(score / runs)
    low, high = middle - 8.0, middle + 8.0
    ratio = (math.sqrt(5) - 1) / 2
    while high - low > 1e-10:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if value(left) < value(right) else (left, high)
    return value(0.5 * (low + high))
