"""Forecast by the law of :mod:`scaleplan.tracking.annealing`, with what the references of a recipe tell of its terms.

Each reference narrows the exponent, the fall of its power term and its gain by decay; those of another run follow
from their trend in size (and tokens, where the references are compared at the same share of their runs), and for the
gain in the shape of the schedule too: gains of one law differ by a fifth between cosine and WSD schedules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaleplan.record import Record
from scaleplan.tracking.annealing import EXPONENTS, GAINS, SATURATIONS, along, cells
from scaleplan.tracking.kriging import krige
from scaleplan.tracking.recipe_shape import TREND, TREND_SD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Array
    from scaleplan.logs.learning_rate import LearningRate
    from scaleplan.tracking.seen_part import SeenPart

__all__ = ["LawForecast", "Summary", "forecast_by_law", "outline", "summarise"]

_LN_GAINS, _LN_SPEEDS, _LN_EXPONENTS = np.log(np.maximum(GAINS, 0.003)), np.log(SATURATIONS), np.log(EXPONENTS)

_EXPONENT, _EXPONENT_SD = np.log(0.45), 0.25
_SPEED, _SPEED_SD = np.log(2700.0), 1.5
_FALL, _FALL_SD = np.log(0.08), 0.7
_GAIN_TO_FALL, _GAIN_TO_FALL_SD = np.log(0.75), 0.4
"""What to expect without references, from the published constants at 25M, 100M and 400M in units of 24,000 and 72,000
steps: exponents 0.43-0.51, falls of the power term by 0.05-0.09 of the loss after a quarter of the unit, and gains of
0.55-1.0 times that."""

_EXPONENT_TREND_SD, _EXPONENT_SCATTER = 0.05, 0.06
_SCATTER = 0.05
_SHAPE_SD = 0.5  # of ln gain at schedules that differ by one peak rate throughout
_OUTLINE = 8


class Summary(Record, eq=False):
    """What one run tells of the law for each speed of saturation: evidence, and mean and variance of three logs."""

    evidence: Array
    gain: Array
    gain_variance: Array
    fall: Array
    fall_variance: Array
    exponent: Array
    exponent_variance: Array
    features: Array
    outline: Array


class LawForecast(Record, eq=False):
    """ln loss at the end, its sd, ln loss at later shares of the run, and the fall after a quarter of the unit."""

    loss: float
    sd: float
    path: Array
    fall: float


def outline(schedule: LearningRate, length: float) -> Array:
    """Return the relative rates along ``length`` steps, scaled so that a distance is the rms difference."""
    at = (np.arange(_OUTLINE) + 0.5) / _OUTLINE * length
    rates = np.where(at < schedule.warmup, schedule.peak, schedule.at(at))  # warm-ups differ and hardly matter
    return rates / (schedule.peak * np.sqrt(_OUTLINE))


def summarise(
    part: SeenPart, schedule: LearningRate, *, total: float, unit: float, length: float, features: Array
) -> Summary:
    """Return what a run tells of the law."""
    found = cells(along(schedule, part.shares, total=total, unit=unit), part)
    score = found.score + _expected(found.score.shape[0], found.fall)
    score = np.where(np.isfinite(score), score, -1e9)
    evidence = np.empty(len(score))
    moments = np.empty((6, len(score)))
    for k, one in enumerate(score):
        best = float(one.max())
        chance = np.exp(one - best)
        evidence[k] = best + float(np.log(chance.sum()))
        chance = chance / chance.sum()
        for row, values in enumerate((_LN_GAINS[:, None], found.fall[k], _LN_EXPONENTS[None, :])):
            mean = float((chance * values).sum())
            moments[2 * row : 2 * row + 2, k] = mean, float((chance * (values - mean) ** 2).sum())
    if len(score) == 1:  # a constant rate tells nothing of the gain, whatever its speed
        evidence, moments = np.repeat(evidence, len(SATURATIONS)), np.repeat(moments, len(SATURATIONS), axis=1)
    gain, gain_variance, fall, fall_variance, exponent, exponent_variance = moments
    return Summary(
        evidence=evidence,
        gain=gain,
        gain_variance=gain_variance,
        fall=fall,
        fall_variance=fall_variance,
        exponent=exponent,
        exponent_variance=exponent_variance,
        features=features,
        outline=outline(schedule, length),
    )


def forecast_by_law(
    part: SeenPart,
    schedule: LearningRate | None,
    references: Sequence[Summary],
    shares: Array,
    *,
    total: float,
    unit: float,
    features: Array,
    length: float,
) -> LawForecast | None:
    """Forecast the end of ``part`` of a run of ``total`` steps along its schedule; None where nothing fits.

    Without a schedule the rate is taken as constant to the end.
    """
    terms = along(schedule, np.concatenate([part.shares, shares]), total=total, unit=unit)
    if references and schedule is not None:
        prior, fall = _learnt(references, features, outline(schedule, length))
    else:
        prior, fall = None, None
    seen_terms = terms.first(len(part.shares))
    found = cells(seen_terms, part, fall=fall, with_gain=schedule is not None)
    count = found.score.shape[0]
    score = found.score + (_expected(count, found.fall) if prior is None else prior[:count])
    best = float(score.max())
    if not np.isfinite(best):
        return None
    chance = np.exp(score - best)
    chance = chance / chance.sum()
    mean = float((chance * found.end).sum())
    sd = float(np.sqrt((chance * (found.variance + (found.end - mean) ** 2)).sum()))
    floor, power = float((chance * (found.floor + found.residual)).sum()), (chance * found.power).sum(axis=(0, 1))
    gains = (chance * GAINS[None, : chance.shape[1], None]).sum(axis=(1, 2)) * found.level
    later = slice(len(part.shares), len(part.shares) + len(shares))
    path = floor + power @ terms.powers[:, later] - gains @ terms.gains[:, later]
    return LawForecast(
        loss=mean,
        sd=sd,
        path=np.log(np.maximum(path, 1e-3 * found.level)),
        fall=float(np.exp((chance * found.fall).sum())),
    )


def _expected(count: int, fall: Array) -> Array:
    """Return the ln chance of the cells as far as published constants tell."""
    speed = -0.5 * ((_LN_SPEEDS - _SPEED) / _SPEED_SD) ** 2
    exponent = -0.5 * ((_LN_EXPONENTS - _EXPONENT) / _EXPONENT_SD) ** 2 - 0.5 * ((fall - _FALL) / _FALL_SD) ** 2
    if fall.shape[1] == 1:
        return speed[:count, None, None] + exponent
    ratio = -0.5 * ((_LN_GAINS[:, None] - fall - _GAIN_TO_FALL) / _GAIN_TO_FALL_SD) ** 2
    return speed[:count, None, None] + ratio + exponent


def _learnt(references: Sequence[Summary], features: Array, shape: Array) -> tuple[Array, tuple[float, float]]:
    """Return the ln chance of the cells by the references, and ln fall to expect with its sd."""
    away = features - np.array([one.features for one in references])
    count = away.shape[1]
    shift, spread = away @ TREND[:count], TREND_SD[:count]
    evidence = np.sum([one.evidence for one in references], axis=0)
    chance = np.exp(evidence - evidence.max())
    chance = chance / chance.sum()

    def stacked(name: str) -> Array:
        return np.array([getattr(one, name) for one in references])

    fall = krige(
        stacked("fall") @ chance + shift, stacked("fall_variance") @ chance, away, trend_sd=spread, scatter=_SCATTER
    )
    exponent = krige(
        stacked("exponent") @ chance,
        stacked("exponent_variance") @ chance,
        away,
        trend_sd=np.full(count, _EXPONENT_TREND_SD),
        scatter=_EXPONENT_SCATTER,
    )
    around = np.hstack([away, shape - stacked("outline")])
    around_sd = np.concatenate([spread, np.full(_OUTLINE, _SHAPE_SD)])
    gain, gain_variance = stacked("gain"), stacked("gain_variance")
    chances = -0.5 * ((_LN_EXPONENTS - exponent.mean) / exponent.sd) ** 2
    by_speed = []
    for k in range(len(SATURATIONS)):
        one = krige(gain[:, k] + shift, gain_variance[:, k], around, trend_sd=around_sd, scatter=_SCATTER)
        by_speed.append(-0.5 * ((_LN_GAINS - one.mean) / one.sd) ** 2 - np.log(one.sd) + evidence[k] - evidence.max())
    return np.array(by_speed)[:, :, None] + chances, (fall.mean, fall.sd)
