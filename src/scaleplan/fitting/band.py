"""The loss to expect far out, with both kinds of error: too few runs, and a law that is wrong there.

The relative variance of a prediction is the resampling variance plus (backtest rms at a comparable factor)².
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.additive import fit_additive
from scaleplan.fitting.backtest import Backtest, backtest
from scaleplan.fitting.bootstrap import Bootstrap, bootstrap
from scaleplan.fitting.design import isoflop_budgets
from scaleplan.planning.uncertainty import normal_quantile

if TYPE_CHECKING:
    from scaleplan.fitting.objective import Objective
    from scaleplan.fitting.points import Points

__all__ = ["Band", "Holdout", "band", "hold_out"]

_LEAST_RUNS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A predicted loss with both kinds of error; ``guess`` when the factor exceeds what was backtested."""

    loss: float
    low: float
    high: float
    resampling: float
    misfit: float
    guess: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """The largest runs held out, predicted with bands from the smaller ones alone.

    ``coverage`` is the share of held-out runs inside the combined band, ``resampling_coverage`` that inside the
    resampling interval, ``width`` the mean relative width of the combined band.
    """

    rows: tuple[int, ...]
    factor: float
    bias: float
    rms: float
    coverage: float
    resampling_coverage: float
    width: float


def band(
    resamples: Bootstrap, tested: Backtest, *, params: float, tokens: float, factor: float, level: float = 0.9
) -> Band:
    """Return the loss at (params, tokens) with its combined interval.

    The variance of ln L is that of the resamples, from the width of their percentile interval, plus the square of
    the backtested relative error at ``factor`` times the largest compute of the fit. Beyond the largest tested
    factor that error is extended linearly in ln(factor), and the band is marked as a guess.
    """
    sigmas = normal_quantile(0.5 + level / 2)
    low, high = resamples.interval(lambda law: np.log(law.loss(params, tokens)), level=level)
    resampling = 0.5 * (high - low) / sigmas
    misfit, guess = tested.expected(factor)
    reach = sigmas * math.hypot(resampling, misfit)
    loss = float(resamples.law.loss(params, tokens))
    return Band(
        loss=loss,
        low=loss * math.exp(-reach),
        high=loss * math.exp(reach),
        resampling=resampling,
        misfit=misfit,
        guess=guess,
    )


def hold_out(
    points: Points,
    *,
    objective: Objective | None = None,
    tied: bool = False,
    floor: float | None = None,
    samples: int = 200,
    seed: int = 0,
    level: float = 0.9,
) -> Holdout:
    """Hold out the top budget (the top fifth of the runs without budgets) and predict it from the rest.

    Raises
    ------
    UsageError
        When too few runs are left below.

    """
    labels = isoflop_budgets(points)
    top = (
        points.flops > np.quantile(points.flops, 0.8)
        if labels is None
        else points.flops > np.max(points.flops[labels == labels.max() - 1])
    )
    rest = points.select(~top)
    if len(rest) < _LEAST_RUNS:
        raise UsageError(f"{len(rest)} runs below the largest budget are too few to predict it")
    base = fit_additive(rest, objective=objective, tied=tied, floor=floor)
    resamples = bootstrap(rest, base, samples=samples, seed=seed)
    tested = backtest(rest, base, samples=0)
    held = points.select(top)
    largest = float(np.max(rest.flops))
    bands = [
        band(resamples, tested, params=float(n), tokens=float(d), factor=float(c) / largest, level=level)
        for n, d, c in zip(held.params, held.tokens, held.flops, strict=True)
    ]
    sigmas = normal_quantile(0.5 + level / 2)
    error = np.array([item.loss for item in bands]) / held.loss - 1.0
    reach = np.array([math.log(item.high / item.loss) for item in bands])
    narrow = np.array([sigmas * item.resampling for item in bands])
    off = np.abs(np.log1p(error))
    return Holdout(
        rows=tuple(int(row) for row in held.rows),
        factor=float(np.exp(np.mean(np.log(held.flops / largest)))),
        bias=float(np.mean(error)),
        rms=float(np.sqrt(np.mean(error**2))),
        coverage=float(np.mean(off <= reach)),
        resampling_coverage=float(np.mean(off <= narrow)),
        width=float(np.mean(2.0 * reach)),
    )
