"""Fit other surfaces: groups of runs with shared exponents, the worth of repetition, and Kaplan's L(N, D).

Families of models (other data, another optimizer) often share alpha and beta and differ in A, B and E. Each then
needs only a few runs. The profile grid is the sum of the groups' grids; the refinement couples them by the exponents.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.curve_fit import Formula, FormulaFit, fit_formula
from scaleplan.fitting.diagnosis import aicc
from scaleplan.fitting.noise import require_distinct
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.solvers import minimise
from scaleplan.fitting.surface_fit import Coordinates, Surface, additive_at, fit_additive
from scaleplan.laws.additive import worth
from scaleplan.laws.kaplan import KaplanSurface
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.arrays import Array, Index
    from scaleplan.fitting.runs import Points
    from scaleplan.laws.additive import Additive

__all__ = ["fit_grouped", "fit_kaplan", "fit_repetition"]

_NODES = 28
_LEAST_OF_GROUP = 4
_REPETITION_STARTS = (0.3, 1.0, 3.0, 10.0, 30.0, 300.0)
_REPETITION_BOUNDS = (1e-2, 1e9)  # at 1e9 repetitions lose no value within any number of epochs
_KAPLAN_EXPONENTS = (0.03, 0.06, 0.1, 0.2, 0.4)
_KAPLAN_BOUNDS = (1e-3, 4.0)


class GroupedFit(Record, eq=False):
    """One law for each group, all with the same exponents.

    ``aicc_excess`` is the AICc of the shared fit less that of separate fits: negative supports sharing, and None is
    for a group with too few runs for a fit of its own.
    """

    laws: Mapping[str, Additive]
    score: float
    residuals: Array
    converged: bool
    aicc_excess: float | None


class _Coupled(Record, eq=False):
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

    def derivatives(self, theta: Array, index: Index, *, delta: float, majorise: bool) -> tuple[Array, Array, Array]:
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

    Raises UsageError unless there is a label for each run, and two groups or more of four runs or more.
    """
    objective = objective or Objective()
    if len(groups) != len(points):
        raise UsageError(f"{len(groups)} group labels for {len(points)} runs")
    names = list(dict.fromkeys(groups))
    code = np.array([names.index(name) for name in groups])
    counts = np.bincount(code)
    if len(names) < 2:
        raise UsageError("a grouped fit needs two groups or more", hint="without groups fit the runs together")
    if counts.min() < _LEAST_OF_GROUP:
        short = names[int(np.argmin(counts))]
        raise UsageError(
            f"group '{short}' has {counts.min()} runs, too few for its A, B and E",
            hint=f"{_LEAST_OF_GROUP} or more leave one to judge the noise by",
        )
    require_distinct(points.params, points.tokens, code + 1.0, coefficients=2 + 3 * len(names))
    member = (code == np.arange(len(names))[:, None]).astype(np.float64)
    weight = member if points.weight is None else member * points.weight
    surface = Surface.of(points, objective, Coordinates(), weight=weight)
    coupled = _Coupled(surface=surface, groups=len(names))
    rss, nodes = surface.profile(_NODES)
    start = nodes[:, int(np.argmin(rss.sum(axis=0)))]
    lower, upper = (_joint(bound, len(names)) for bound in Coordinates().bounds(points.loss))
    theta = np.concatenate([start[0, [1, 3]], start[:, [0, 2, 4]].ravel()])
    ends, converged = minimise(
        coupled,
        theta[None],
        lower=lower,
        upper=upper,
        deltas=objective.continuation(_residuals(surface, coupled.full(theta), code)),
        zero=len(points) * 1e-31,
    )
    full = coupled.full(ends[0])
    residuals = _residuals(surface, full, code)
    score = float(objective.score(residuals, points.weight))
    return GroupedFit(
        laws={name: additive_at(full[g], points.centre) for g, name in enumerate(names)},
        score=score,
        residuals=residuals,
        converged=bool(converged[0]),
        aicc_excess=_excess(points, code, score, objective),
    )


def _joint(bound: Array, groups: int) -> Array:
    return np.concatenate([bound[[1, 3]], np.tile(bound[[0, 2, 4]], groups)])


def _residuals(surface: Surface, full: Array, code: Index) -> Array:
    rows: Array = surface.residuals(full)[code, np.arange(len(code))]
    return rows


def _excess(points: Points, code: Index, score: float, objective: Objective) -> float | None:
    """Return AICc(shared) - AICc(separate), both with one scale of the noise."""
    groups = int(code.max()) + 1
    if np.bincount(code).min() < 7:  # what a fit of its own needs
        return None
    separate = sum(fit_additive(points.select(code == g), objective=objective).score for g in range(groups))
    own = aicc(separate, runs=len(points), coefficients=5 * groups, objective=objective)
    return aicc(score, runs=len(points), coefficients=2 + 3 * groups, objective=objective) - own


def fit_repetition(
    points: Points,
    unique_tokens: Array,
    *,
    base: Additive,
    objective: Objective | None = None,
    samples: int = 0,
    seed: int = 0,
) -> FormulaFit[None]:
    """Fit R_D* of repeated tokens and R_N* of surplus parameters over a law for fresh data (arXiv:2305.16264).

    ``tokens`` of the points count repeats, ``unique_tokens`` do not. The intervals of the coefficients
    ``tokens_decay`` and ``params_decay`` are wide, often open to infinity: report them and not the digits of the
    estimate. Raises UsageError when the columns differ in length or the unique tokens are not positive numbers.
    """
    unique = np.asarray(unique_tokens, dtype=np.float64)
    if unique.shape != points.tokens.shape or not np.all(np.isfinite(unique) & (unique > 0)):
        raise UsageError("unique_tokens needs one positive number for each run")
    unique = np.minimum(unique, points.tokens)
    scale = base.balance ** (1 + base.beta / base.alpha)  # N_opt(U) = G (G U)^(beta/alpha)

    def predict(theta: Array, params: Array, tokens: Array, unique: Array) -> Array:
        usable = np.minimum(params, scale * unique ** (base.beta / base.alpha))
        counted = unique * worth(tokens / unique - 1.0, np.exp(theta[:, :1]))
        return base.loss(usable * worth(params / usable - 1.0, np.exp(theta[:, 1:])), counted)

    lower, upper = np.log(_REPETITION_BOUNDS)[:, None].repeat(2, axis=1)
    inputs = (points.params, points.tokens, unique)
    formula = Formula(
        predict=predict, inputs=inputs, observed=points.loss, lower=lower, upper=upper, weight=points.weight
    )
    return fit_formula(
        formula,
        np.log(np.array(list(product(_REPETITION_STARTS, repeat=2)))),
        names=("tokens_decay", "params_decay"),
        coefficients=np.exp,
        law=lambda _: None,
        objective=objective or Objective(),
        samples=samples,
        seed=seed,
        refined=36,
    )


def fit_kaplan(points: Points, *, objective: Objective | None = None) -> FormulaFit[KaplanSurface]:
    """Fit L(N, D) = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D, which has no floor.

    The coordinates are the logarithms of both terms at the centre of the data and the exponents, because N_c and
    D_c lie far outside it. Raises UsageError for fewer than six different runs.
    """
    (x, y), level = points.centre, float(np.log(np.mean(points.loss)))

    def coefficients(theta: Array) -> Array:
        size, alpha_n, data, alpha_d = theta.T
        return np.stack([np.exp(x + size / alpha_n), alpha_n, np.exp(y + data / alpha_d), alpha_d], axis=-1)

    def law(values: Sequence[Array] | list[float]) -> KaplanSurface:
        n_c, alpha_n, d_c, alpha_d = values
        return KaplanSurface(N_c=n_c, alpha_N=alpha_n, D_c=d_c, alpha_D=alpha_d)  # type: ignore[arg-type]

    starts = [
        [level + a, alpha_n, level + b, alpha_d]
        for a, alpha_n, b, alpha_d in product((-1.5, -0.3), _KAPLAN_EXPONENTS, (-1.5, -0.3), _KAPLAN_EXPONENTS)
    ]
    low, high = _KAPLAN_BOUNDS
    formula = Formula(
        predict=lambda theta, *sizes: law(list(coefficients(theta).T[:, :, None])).loss(*sizes),
        inputs=(points.params, points.tokens),
        observed=points.loss,
        lower=np.array([level - 25.0, low, level - 25.0, low]),
        upper=np.array([level + 5.0, high, level + 5.0, high]),
        weight=points.weight,
    )
    return fit_formula(
        formula,
        np.array(starts),
        names=("N_c", "alpha_N", "D_c", "alpha_D"),
        coefficients=coefficients,
        law=law,
        objective=objective or Objective(),
    )
