"""Which single runs decide the fit: outliers, what leaving them out changes, and the pull of every run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.additive import fit_additive, refit_additive
from scaleplan.fitting.robust import typical_deviation

if TYPE_CHECKING:
    from numpy import bool_, float64, intp
    from numpy.typing import NDArray

    from scaleplan.fitting.additive import Solution
    from scaleplan.fitting.points import Points
    from scaleplan.laws.additive import Additive

    Array = NDArray[float64]

__all__ = ["Influence", "Outliers", "find_outliers", "leave_one_out"]

_OUTLIER = 12.0  # robust standard deviations; log residuals of a careful sweep are heavy-tailed and reach 10
_ROUNDS = 6
_MOST_OUT = 0.1  # more than a tenth of the runs is another population, not outliers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outliers:
    """Runs far from the fit of the others, by row, and the fit without them.

    ``deviations`` are residuals (fitted minus observed) in robust standard deviations of the runs that stay.
    ``without`` is the solution without all of them; None when there are none.
    """

    rows: tuple[int, ...]
    deviations: tuple[float, ...]
    without: Solution | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Influence:
    """What leaving out each single run changes.

    ``shift`` (n, 5) is the change of (ln A, ln B, E, alpha, beta) without the run.
    """

    rows: NDArray[intp]
    shift: Array

    def strongest(self, coefficient: str, *, most: int = 5) -> tuple[tuple[int, float], ...]:
        """Return (row, change) of the runs that move ``E``, ``alpha`` or ``beta`` most."""
        column = self.shift[:, {"E": 2, "alpha": 3, "beta": 4}[coefficient]]
        order = np.argsort(-np.abs(column), kind="stable")[:most]
        return tuple((int(self.rows[i]), float(column[i])) for i in order)


def find_outliers(points: Points, base: Solution) -> Outliers:
    """Find runs far from the fit of the others; refit without those found until the set stays the same.

    Outliers with leverage pull the fit towards themselves and hide each other, which is why one look at the
    residuals of the full fit is not enough.
    """
    law: Additive = base.law
    without: Solution | None = None
    out: NDArray[bool_] = np.zeros(len(points), dtype=bool)
    for _ in range(_ROUNDS):
        residual = base.objective.residuals(law.loss(points.params, points.tokens), points.loss)
        spread = typical_deviation(residual[~out])
        deviation = residual / max(spread, 1e-12)
        now = np.abs(deviation) > _OUTLIER
        if np.array_equal(now, out) or not 0 < np.count_nonzero(now) <= _MOST_OUT * len(points):
            break
        out = now
        coordinates = base.coordinates
        rest = points.select(~out)
        without = fit_additive(rest, objective=base.objective, tied=coordinates.tied, floor=coordinates.floor)
        law = without.law
    residual = base.objective.residuals(law.loss(points.params, points.tokens), points.loss)
    spread = max(typical_deviation(residual[~out]), 1e-12)
    return Outliers(
        rows=tuple(int(row) for row in points.rows[out]),
        deviations=tuple(float(value) for value in residual[out] / spread),
        without=without if out.any() else None,
    )


def leave_one_out(points: Points, base: Solution) -> Influence:
    """Refit without each run in turn, all at once."""
    weight = 1.0 - np.eye(len(points))
    raw = refit_additive(points, weight, base=base).raw()
    law = base.law
    centre = np.array([np.log(law.A), np.log(law.B), law.E, law.alpha, law.beta])
    return Influence(rows=points.rows, shift=raw - centre)
