"""Fit Kaplan's L(N, D) = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D to runs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.numeric import Formula, descend
from scaleplan.fitting.objective import Objective
from scaleplan.laws.kaplan_surface import KaplanSurface

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.points import Points

    Array = NDArray[float64]

__all__ = ["KaplanFit", "fit_kaplan"]

_NAMES = ("N_c", "alpha_N", "D_c", "alpha_D")
_EXPONENTS = (0.03, 0.06, 0.1, 0.2, 0.4)
_BOUNDS = (1e-3, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KaplanFit:
    """The fitted surface; ``bounds`` names coefficients that ended on a bound of the search."""

    law: KaplanSurface
    score: float
    residuals: Array
    converged: bool
    bounds: tuple[str, ...]


def fit_kaplan(points: Points, *, objective: Objective | None = None) -> KaplanFit:
    """Fit the four coefficients; the law has no floor, so compare its AICc with an additive fit.

    The coordinates are the logarithms of both terms at the centre of the data and the exponents, because N_c and
    D_c lie far outside it.

    Raises
    ------
    UsageError
        For fewer than four runs.

    """
    objective = objective or Objective()
    (x, y), level = points.centre, float(np.log(np.mean(points.loss)))

    def law(theta: Array) -> KaplanSurface:
        size, alpha_n, data, alpha_d = theta
        return KaplanSurface(
            N_c=np.exp(x + size / alpha_n), alpha_N=alpha_n, D_c=np.exp(y + data / alpha_d), alpha_D=alpha_d
        )

    starts = [
        [level + a, alpha_n, level + b, alpha_d]
        for a, alpha_n, b, alpha_d in product((-1.5, -0.3), _EXPONENTS, (-1.5, -0.3), _EXPONENTS)
    ]
    low, high = _BOUNDS
    formula = Formula(
        predict=lambda theta: law(theta.T[:, :, None]).loss(points.params, points.tokens),
        observed=points.loss,
        lower=np.array([level - 25.0, low, level - 25.0, low]),
        upper=np.array([level + 5.0, high, level + 5.0, high]),
        weight=points.weight,
    )
    best = descend(formula, np.array(starts), objective=objective)
    return KaplanFit(
        law=KaplanSurface(**{name: float(value) for name, value in law(best.theta).coefficients().items()}),
        score=best.score,
        residuals=best.residuals,
        converged=best.converged,
        bounds=tuple(name for name, hit in zip(_NAMES, best.at_bound, strict=True) if hit),
    )
