"""Predict a quantity of one run from those of others and its trend: a Gaussian process on few points."""

from __future__ import annotations

from itertools import product
from math import erf, sqrt
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from scaleplan.arrays import Array

__all__ = ["Predicted", "krige", "mixed_sd"]

_TREND_SCALES, _TREND_LN_SD = (0.5, 1.0, 2.0), 0.7
_SCATTERS, _SCATTER_LN_SD = (0.06, 0.18, 0.55, 1.7, 5.0), 1.2
"""Multiples of the scales to expect that are tried, and the sd of their logarithms: families differ by that much."""
DRIFT = 0.5

_CENTRAL, _CENTRAL_REACH = 0.9, 1.6448536269514722
_HALVINGS, _ROOT = 14, sqrt(2.0)


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
    scores, found = [], []
    pull = (away * trend_sd**2) @ away.T + (DRIFT * scatter) ** 2 * _common_way(away[:, 0])
    for stretch, many in product(_TREND_SCALES, _SCATTERS):
        own = (many * scatter) ** 2
        covariance = stretch**2 * pull + np.diag(own + variance)
        inverse = np.linalg.inv(covariance)
        total = float(inverse.sum())
        weight = inverse.sum(axis=0) / total
        mean = float(weight @ values)
        rest = values - mean
        score = -0.5 * (float(np.linalg.slogdet(covariance)[1]) + np.log(total) + float(rest @ inverse @ rest))
        prior = -0.5 * (np.log(stretch) / _TREND_LN_SD) ** 2 - 0.5 * (np.log(many) / _SCATTER_LN_SD) ** 2
        scores.append(score + prior)
        found.append((mean, 1 / total + own, own, weight))
    best = max(scores)
    chance = np.exp(np.array(scores) - best)
    evidence = best + float(np.log(chance.sum()))
    chance = chance / chance.sum()
    means, variances, owns, weights = (np.array(column) for column in zip(*found, strict=True))
    mean = float(chance @ means)
    return Predicted(
        mean=mean,
        sd=mixed_sd(chance, means, np.sqrt(variances), mean),
        weights=chance @ weights,
        scatter=float(np.sqrt(chance @ owns)),
        evidence=evidence,
    )


def _common_way(away: Array) -> Array:
    """Return how far two runs lie on one way from the target: what a random walk along it shares."""
    length = np.abs(away)
    common = np.minimum(length[:, None], length[None, :])
    return np.where(away[:, None] * away[None, :] > 0, common, 0.0)


def mixed_sd(chance: Array, means: Array, sds: Array, mean: float) -> float:
    """Return the sd of the normal distribution whose central 90 % about ``mean`` hold as much of the mixture."""
    low, high = 0.0, 3 * float(np.max(np.abs(means - mean) + sds))
    reach = np.abs(means - mean)
    for _ in range(_HALVINGS):
        half = 0.5 * (low + high)
        upper, lower = (half - reach) / (sds * _ROOT), (-half - reach) / (sds * _ROOT)
        inside = sum(
            float(part) * 0.5 * (erf(up) - erf(down))
            for part, up, down in zip(chance, upper.tolist(), lower.tolist(), strict=True)
        )
        low, high = (half, high) if inside < _CENTRAL else (low, half)
    return half / _CENTRAL_REACH
