"""Fit what repeated data and surplus parameters are worth: R_D* and R_N* over a base law (arXiv:2305.16264)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.numeric import Descent, Formula, descend, resample
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.robust import central_interval
from scaleplan.planning.effective.repetition import worth

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.points import Points
    from scaleplan.laws.additive import Additive

    Array = NDArray[float64]

__all__ = ["RepetitionFit", "fit_repetition"]

_STARTS = (0.3, 1.0, 3.0, 10.0, 30.0, 300.0)
_BOUNDS = (1e-2, 1e9)  # at 1e9 repetitions lose no value within any number of epochs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RepetitionFit:
    """R_D* for repeated tokens and R_N* for surplus parameters.

    ``rivals`` lists other minima within 1 % of the best objective as (tokens_decay, params_decay, score).
    ``draws`` (R, 2) holds both for every resample. Their intervals are wide, often open to infinity: report
    them and not the digits of the estimate.
    """

    tokens_decay: float
    params_decay: float
    score: float
    residuals: Array
    converged: bool
    bounds: tuple[str, ...]
    rivals: tuple[tuple[float, float, float], ...]
    draws: Array

    def interval(self, name: str, *, level: float = 0.95) -> tuple[float, float]:
        """Return the percentile interval of ``tokens_decay`` or ``params_decay``."""
        column = self.draws[:, ("tokens_decay", "params_decay").index(name)]
        return central_interval(column, level)


def fit_repetition(
    points: Points,
    unique_tokens: Array,
    *,
    base: Additive,
    objective: Objective | None = None,
    samples: int = 0,
    seed: int = 0,
) -> RepetitionFit:
    """Fit both decays, with the base law kept.

    Parameters
    ----------
    points
        Runs with repeated data; ``tokens`` counts repeats.
    unique_tokens
        Distinct tokens of each run.
    base
        The law for fresh data.
    objective
        Huber 1e-3 on log loss unless given.
    samples, seed
        Resamples of the runs, and the seed.

    Raises
    ------
    UsageError
        When the columns differ in length or the unique tokens are not positive numbers.

    """
    objective = objective or Objective()
    unique = np.asarray(unique_tokens, dtype=np.float64)
    if unique.shape != points.tokens.shape or not np.all(np.isfinite(unique) & (unique > 0)):
        raise UsageError("unique_tokens needs one positive number for each run")
    unique = np.minimum(unique, points.tokens)
    scale = base.balance ** (1 + base.beta / base.alpha)  # N_opt(U) = G (G U)^(beta/alpha)
    usable = np.minimum(points.params, scale * unique ** (base.beta / base.alpha))
    repeats, surplus = points.tokens / unique - 1.0, points.params / usable - 1.0

    def predict(theta: Array) -> Array:
        tokens = unique * worth(repeats, np.exp(theta[:, :1]))
        params = usable * worth(surplus, np.exp(theta[:, 1:]))
        return base.loss(params, tokens)

    low, high = np.log(_BOUNDS)
    formula = Formula(
        predict=predict,
        observed=points.loss,
        lower=np.array([low, low]),
        upper=np.array([high, high]),
        weight=points.weight,
    )
    best = descend(formula, np.log(np.array(list(product(_STARTS, repeat=2)))), objective=objective, polished=36)
    draws = np.empty((0, 2))
    if samples:
        generator = np.random.Generator(np.random.PCG64(seed))
        count = len(points)
        weight = generator.multinomial(count, np.full(count, 1 / count), size=samples).astype(np.float64)
        draws = np.exp(resample(formula, best, weight, objective=objective)[0])
    names = ("tokens_decay", "params_decay")
    return RepetitionFit(
        tokens_decay=float(np.exp(best.theta[0])),
        params_decay=float(np.exp(best.theta[1])),
        score=best.score,
        residuals=best.residuals,
        converged=best.converged,
        bounds=tuple(name for name, hit in zip(names, best.at_bound, strict=True) if hit),
        rivals=_rivals(best),
        draws=draws,
    )


def _rivals(best: Descent) -> tuple[tuple[float, float, float], ...]:
    """Return the distinct other ends within 1 % of the best objective, lowest first."""
    known, out = [best.theta], []
    for k in np.argsort(best.end_scores, kind="stable"):
        end = best.ends[k]
        if best.end_scores[k] <= 1.01 * best.score and all(np.max(np.abs(end - other)) > 0.02 for other in known):
            known.append(end)
            out.append((float(np.exp(end[0])), float(np.exp(end[1])), float(best.end_scores[k])))
    return tuple(out)
