"""Fit several groups of runs together: shared exponents, own levels.

Families of models (other data, another optimizer) often share alpha and beta and differ in A, B and E. Each then
needs only a few runs. The profile grid is the sum of the groups' grids; the polish couples them by the exponents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.additive import fit_additive, law_at
from scaleplan.fitting.grid import profile
from scaleplan.fitting.likelihood import aicc
from scaleplan.fitting.newton import minimise
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.surface import Coordinates, Surface

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy import float64, intp
    from numpy.typing import NDArray

    from scaleplan.fitting.points import Points
    from scaleplan.laws.additive import Additive

    Array = NDArray[float64]

__all__ = ["GroupedFit", "fit_grouped"]

_NODES = 28


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupedFit:
    """One law for each group, all with the same exponents.

    ``aicc_excess`` is the AICc of the shared fit less that of separate fits: negative means that sharing is
    supported; None where a group has too few runs for a fit of its own.
    """

    laws: Mapping[str, Additive]
    score: float
    residuals: Array
    converged: bool
    aicc_excess: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Coupled:
    """The sum of the groups' objectives in (alpha, beta, then a, b, E of each group)."""

    surface: Surface
    groups: int

    def matrices(self) -> Array:
        """Return (groups, 5, p): each group's (a, alpha, b, beta, E) of the joint coordinates."""
        out = np.zeros((self.groups, 5, 2 + 3 * self.groups))
        out[:, 1, 0] = out[:, 3, 1] = 1.0
        for g in range(self.groups):
            out[g, [0, 2, 4], 2 + 3 * g + np.arange(3)] = 1.0
        return out

    def full(self, theta: Array) -> Array:
        full: Array = np.einsum("gkp,p->gk", self.matrices(), theta)
        return full

    def derivatives(
        self, theta: Array, index: NDArray[intp], *, delta: float, majorise: bool
    ) -> tuple[Array, Array, Array]:
        matrices = self.matrices()
        every = np.arange(self.groups)
        value, gradient, hessian = [], [], []
        for row in theta:
            parts = self.surface.derivatives(self.full(row), every, delta=delta, majorise=majorise)
            value.append(parts[0].sum())
            gradient.append(np.einsum("gk,gkp->p", parts[1], matrices))
            hessian.append(np.einsum("gkp,gkl,glq->pq", matrices, parts[2], matrices, optimize=True))
        return np.array(value), np.array(gradient), np.array(hessian)


def fit_grouped(points: Points, groups: Sequence[str], *, objective: Objective | None = None) -> GroupedFit:
    """Fit L = E_g + A_g/N^alpha + B_g/D^beta with the exponents shared over the groups.

    Raises
    ------
    UsageError
        When there is not a label for each run, fewer than two groups, or fewer than three runs in one.

    """
    objective = objective or Objective()
    if len(groups) != len(points):
        raise UsageError(f"{len(groups)} group labels for {len(points)} runs")
    names = list(dict.fromkeys(groups))
    code = np.array([names.index(name) for name in groups])
    counts = np.bincount(code)
    if len(names) < 2:
        raise UsageError("a grouped fit needs two groups or more", hint="without groups fit the runs together")
    if counts.min() < 3:
        short = names[int(np.argmin(counts))]
        raise UsageError(f"group '{short}' has {counts.min()} runs; its A, B and E need three or more")
    member = (code == np.arange(len(names))[:, None]).astype(np.float64)
    weight = member if points.weight is None else member * points.weight
    x, y = points.logs
    surface = Surface(x=x, y=y, loss=points.loss, objective=objective, coordinates=Coordinates(), weight=weight)
    coupled = _Coupled(surface=surface, groups=len(names))
    rows = weight / points.loss**2 if objective.is_log else weight
    rss, nodes = profile(x, y, points.loss, rows, count=_NODES)
    start = nodes[:, int(np.argmin(rss.sum(axis=0)))]
    lower, upper = (_joint(bound, len(names)) for bound in Coordinates().bounds(points.loss))
    theta = np.concatenate([start[0, [1, 3]], start[:, [0, 2, 4]].ravel()])
    spread = 2.0 * float(np.median(np.abs(_residuals(surface, coupled.full(theta), code))))
    end = minimise(
        coupled,
        theta[None],
        lower=lower,
        upper=upper,
        deltas=objective.continuation(spread),
        zero=len(points) * 1e-31,
    )
    full = coupled.full(end.theta[0])
    residuals = _residuals(surface, full, code)
    score = float(objective.score(residuals, points.weight))
    return GroupedFit(
        laws={name: law_at(full[g], points.centre) for g, name in enumerate(names)},
        score=score,
        residuals=residuals,
        converged=bool(end.converged[0]),
        aicc_excess=_excess(points, code, score, objective),
    )


def _joint(bound: Array, groups: int) -> Array:
    return np.concatenate([bound[[1, 3]], np.tile(bound[[0, 2, 4]], groups)])


def _residuals(surface: Surface, full: Array, code: NDArray[intp]) -> Array:
    rows: Array = surface.residuals(full)[code, np.arange(len(code))]
    return rows


def _excess(points: Points, code: NDArray[intp], score: float, objective: Objective) -> float | None:
    """Return AICc(shared) - AICc(separate), both with one scale of the noise."""
    groups = int(code.max()) + 1
    if np.bincount(code).min() < 5:
        return None
    separate = sum(fit_additive(points.select(code == g), objective=objective).score for g in range(groups))
    runs = len(points)
    own = aicc(separate, runs=runs, coefficients=5 * groups, objective=objective)
    shared = aicc(score, runs=runs, coefficients=2 + 3 * groups, objective=objective)
    return shared - own
