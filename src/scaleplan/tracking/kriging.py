"""Predict a quantity of one run from those of others and its trend: a Gaussian process on few points."""

from __future__ import annotations

from itertools import product
from math import erf, sqrt
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from scaleplan.arrays import Array

__all__ = ["Predicted", "heavier_tail", "krige", "mixed_sd"]

_TREND_SCALES, _TREND_LN_SD = (0.5, 1.0, 2.0), 0.5  # what families' trends differ by is measured to half of it
_SCATTERS, _SCATTER_LN_SD = (0.06, 0.18, 0.55, 1.7, 5.0), 1.0
"""Multiples of the scales to expect that are tried, and the sd of their logarithms: families differ by that much."""
_GRID = np.array(list(product(_TREND_SCALES, _SCATTERS)))
_GRID_PRIOR = -0.5 * (np.log(_GRID[:, 0]) / _TREND_LN_SD) ** 2 - 0.5 * (np.log(_GRID[:, 1]) / _SCATTER_LN_SD) ** 2
_DRIFT = 0.5
"""Of the scatter for each e-fold of size: a trend is straight only near by, so that the nearest runs count most."""

_CENTRAL, _CENTRAL_REACH = 0.9, 1.6448536269514722
_HALVINGS, _ROOT, _NEGLIGIBLE = 14, sqrt(2.0), 1e-4
_UNKNOWN = 1e4  # variance of a value, relative to its size, that tells nothing


class Predicted(Record, eq=False):
    """A prediction with its sd; ``weights`` are those of the runs, ``scatter`` what a run has of its own.

    ``evidence`` is the logarithm of how well the values agree with what was expected of them.
    """

    mean: float
    sd: float
    weights: Array
    scatter: float
    evidence: float


def krige(values: Array, variance: Array, away: Array, *, trend_sd: Array, scatter: float) -> Predicted:
    """Predict the value of a run from the ``values`` (n,) of others with their ``variance`` of measurement.

    ``away`` (n, p) is how far the run lies from the others in what the trend depends on, and the expected trend is
    already taken from the values; ``trend_sd`` (p,) is how far the true one may differ from it, ``scatter`` what each
    run has of its own. Both are scaled by what the values speak for (restricted likelihood), averaged over a grid.
    """
    pull = (away * trend_sd**2) @ away.T + (_DRIFT * scatter) ** 2 * _common_way(away[:, 0])
    own = (_GRID[:, 1] * scatter) ** 2
    variance = np.minimum(variance, _UNKNOWN)
    covariance = _GRID[:, 0, None, None] ** 2 * pull + np.eye(len(values)) * (own[:, None] + variance)[:, None, :]
    inverse = np.linalg.inv(covariance)
    weights = inverse.sum(axis=1)
    totals = weights.sum(axis=1)
    weights = weights / totals[:, None]
    means = weights @ values
    rest = values - means[:, None]
    agree = np.einsum("gi,gij,gj->g", rest, inverse, rest)
    scores = _GRID_PRIOR - 0.5 * (np.linalg.slogdet(covariance)[1] + np.log(totals) + agree)
    best = float(scores.max())
    chance = np.exp(scores - best)
    evidence = best + float(np.log(chance.sum()))
    chance = chance / chance.sum()
    mean = float(chance @ means)
    return Predicted(
        mean=mean,
        sd=mixed_sd(chance, means, np.sqrt(1 / totals + own), mean),
        weights=chance @ weights,
        scatter=float(np.sqrt(chance @ own)),
        evidence=evidence,
    )


def _common_way(away: Array) -> Array:
    """Return how far two runs lie on one way from the target: what a random walk along it shares."""
    length = np.abs(away)
    common = np.minimum(length[:, None], length[None, :])
    return np.where(away[:, None] * away[None, :] > 0, common, 0.0)


def mixed_sd(chance: Array, means: Array, sds: Array, mean: float) -> float:
    """Return the sd of the normal distribution whose central 90 % about ``mean`` hold as much of the mixture."""
    counts = chance > _NEGLIGIBLE
    chance, means, sds = chance[counts], means[counts], sds[counts]
    low, high = 0.0, 3 * float(np.max(np.abs(means - mean) + sds))
    reach = np.abs(means - mean)
    for _ in range(_HALVINGS):
        half = 0.5 * (low + high)
        upper, lower = (half - reach) / (sds * _ROOT), (-half - reach) / (sds * _ROOT)
        inside = sum(
            part * 0.5 * (erf(up) - erf(down))
            for part, up, down in zip(chance.tolist(), upper.tolist(), lower.tolist(), strict=True)
        )
        low, high = (half, high) if inside < _CENTRAL else (low, half)
    return half / _CENTRAL_REACH


def heavier_tail(freedom: float) -> float:
    """Return by how much the 95 % quantile of Student's t exceeds the normal one, as a share of it.

    The expansion by Cornish and Fisher to the second order, which is right to 2 % from three degrees of freedom on.
    """
    z = _CENTRAL_REACH
    return (z**2 + 1) / (4 * freedom) + (5 * z**4 + 16 * z**2 + 3) / (96 * freedom**2)
