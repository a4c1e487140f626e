"""How loss falls over the run of a recipe, learnt from reference runs and their trend in size and tokens.

f(x) = ln L(x) - ln L(1), what is left to fall at a share x of the run, is alike in all runs of a recipe. It grows
with the size and falls with the tokens of the run,

    f(x) = f0(x) N^n D^-d (1 + e),    e = c a + e',

with e what a run has of its own; c is how much of it shows in a, the excess of its fall over the later half of the
part seen. The expected f is a weighted sum of those of the references (kriging with a trend).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.record import Record
from scaleplan.tracking.kriging import krige, mixed_sd
from scaleplan.tracking.seen_part import level_at_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Array
    from scaleplan.tracking.seen_part import SeenPart

__all__ = ["TREND", "TREND_SD", "RecipeRun", "ShapeForecast", "forecast_by_shape"]

TREND = np.array([0.11, -0.3])
TREND_SD = np.array([0.06, 0.1])
"""d ln f / d ln N and d ln f / d ln D to expect. Measured: 0.10 to 0.19 and -0.56 to -0.14 (constant rates the
steepest, the last fifth of a decay the least) on public families of 25M-400M by constant, cosine and WSD schedules
and 12M-1B by cosine; 0 to 0.13 with the size on 125M-175B by linear decay. L = E + A/N^a + g(x) B/D^b gives
a A N^-a / L, which is 0.1 at 100M and 0.05 at 10B, and -b."""

PLAIN_TREND = np.array([0.04, -0.3])
"""Likewise of a difference of losses: the loss itself falls by 0.07 with ln N on these families."""

_SCATTER = 0.02  # of e to expect: 0.01-0.02 within one recipe, 0.1-0.2 where learning rates differ (same families)
_CARRIES = ((0.0, 0.25), (0.5, 0.4), (1.0, 0.35))
"""Values of c and their chances; fitted ones on the same families lie between 0 and 1.3, most near 0.7."""
_PACE_FROM, _PACE_POINTS = 0.5, 4
_DRIFTING = 4.0  # independent values in what a run strays from the shape there, which it does smoothly
_ANCHOR = 0.1  # of the part seen, at most, is what a curve's own level is taken from
_LEAST_LEFT = 1e-6


class RecipeRun(Record, eq=False):
    """A run of the recipe: its part, ln loss at its end with the sd, and ln N and ln D (or fewer where unknown)."""

    part: SeenPart
    end: float
    end_sd: float
    features: Array


class ShapeForecast(Record, eq=False):
    """ln loss at the end, its sd, ln loss at later shares, and the ln evidence of the references.

    ``leap`` is the part of the sd that comes of the trend, which runs that lie elsewhere cannot try.
    """

    loss: float
    sd: float
    way: Array
    evidence: float
    leap: float


def forecast_by_shape(
    part: SeenPart, references: Sequence[RecipeRun], features: Array, shares: Array
) -> ShapeForecast | None:
    """Forecast the end of ``part`` of a run by the shape of the references, and the way there at ``shares``.

    f is a difference of logarithms or of losses, whichever has the straighter trend. None where a reference begins
    after the part seen ends.
    """
    ratio = _forecast(part, references, features, shares, trend=TREND)
    if ratio is None:
        return None
    plain = [
        RecipeRun(
            part=_plain(one.part),
            end=float(np.exp(one.end)),
            end_sd=one.end_sd * float(np.exp(one.end)),
            features=one.features,
        )
        for one in references
    ]
    difference = _forecast(_plain(part), plain, features, shares, trend=PLAIN_TREND)
    if difference is None:
        return ratio
    level = max(difference.loss, 1e-3 * float(np.exp(part.loss[-1])))
    logs = ShapeForecast(
        loss=float(np.log(level)),
        sd=difference.sd / level,
        way=np.log(np.maximum(difference.way, 1e-3 * level)),
        evidence=difference.evidence,
        leap=difference.leap / level,
    )
    weights = np.exp(np.array([ratio.evidence, logs.evidence]) - max(ratio.evidence, logs.evidence))
    weights = weights / weights.sum()
    loss = float(weights @ (ratio.loss, logs.loss))
    return ShapeForecast(
        loss=loss,
        sd=mixed_sd(weights, np.array([ratio.loss, logs.loss]), np.array([ratio.sd, logs.sd]), loss),
        way=weights[0] * ratio.way + weights[1] * logs.way,
        evidence=ratio.evidence,
        leap=float(weights @ (ratio.leap, logs.leap)),
    )


def _plain(part: SeenPart) -> SeenPart:
    """Return the part with losses in place of their logarithms."""
    loss = np.exp(part.loss)
    return replace(part, loss=loss, spread=part.spread * loss, noise=part.noise * float(loss[-1]))


def _forecast(
    part: SeenPart, references: Sequence[RecipeRun], features: Array, shares: Array, *, trend: Array
) -> ShapeForecast | None:
    """Forecast with f the difference of what the parts hold; None where a reference begins too late."""
    begin = max(float(one.part.shares[0]) for one in references)
    inside = part.after(begin)
    if not len(inside.shares):
        return None
    seen = float(inside.shares[-1])
    away = features - np.array([one.features for one in references])
    count = away.shape[1]
    scale = np.exp(away @ trend[:count])
    left = scale[:, None] * np.array([one.part.at(inside.shares) - one.end for one in references])
    unit = max(float(np.mean(left[:, -1])), _LEAST_LEFT)
    noise = scale * np.array(
        [np.hypot(one.end_sd, np.interp(seen, one.part.shares, one.part.spread) / np.sqrt(2)) for one in references]
    )
    pace = _pace(inside, left, scale * np.array([one.part.noise for one in references]), begin)
    values, variance = left[:, -1] / unit, (noise / unit) ** 2
    alone = krige(values, variance, away, trend_sd=TREND_SD[:count], scatter=_SCATTER)
    options = [(_CARRIES[0][1], alone, 0.0)]
    if pace is not None:
        own = alone.scatter**2
        for carry, chance in _CARRIES[1:]:
            share = carry * own / (own + pace.mine_sd**2 + float(np.mean(pace.excess_sd**2)))
            kriged = krige(
                values - share * (pace.excess - pace.mine),
                variance + (share * pace.excess_sd) ** 2,
                away,
                trend_sd=TREND_SD[:count],
                scatter=_SCATTER,
            )
            options.append((chance, kriged, (share * pace.mine_sd) ** 2 + (carry - share) ** 2 * own))
    best = max(kriged.evidence for _, kriged, _ in options)
    weights = np.array([chance * np.exp(kriged.evidence - best) for chance, kriged, _ in options])
    evidence = best + float(np.log(weights.sum()))
    weights = weights / weights.sum()
    means = np.array([kriged.mean for _, kriged, _ in options])
    sds = np.sqrt([kriged.sd**2 + blur for _, kriged, blur in options])
    mean = float(weights @ means)
    sd = mixed_sd(weights, means, sds, mean)
    mixed = weights @ np.array([kriged.weights for _, kriged, _ in options])
    shape = mixed @ left
    stretch = float(np.clip(mean * unit / max(shape[-1], _LEAST_LEFT), 0.25, 4.0))
    flat = replace(inside, loss=inside.loss - stretch * shape)
    level, level_sd = level_at_end(flat, sloping=False, reach=_ANCHOR)
    ahead = scale[:, None] * np.array([one.part.at(shares) - one.end for one in references])
    return ShapeForecast(
        loss=level,
        sd=float(np.hypot(level_sd, sd * unit)),
        way=level + stretch * (mixed @ ahead),
        evidence=evidence,
        leap=float(np.linalg.norm(mixed @ away * TREND_SD[:count])) * abs(mean) * unit,
    )


class _Pace(Record, eq=False):
    """By how much each reference, and the run itself, falls quicker than their mean over the later half seen."""

    excess: Array
    excess_sd: Array
    mine: float
    mine_sd: float


def _pace(inside: SeenPart, left: Array, noise: Array, begin: float) -> _Pace | None:
    """Return the pace of all runs; None of too few points or of references that do not fall there."""
    seen = float(inside.shares[-1])
    recent = inside.shares >= max(_PACE_FROM * seen, begin) * (1 - 1e-9)
    if recent.sum() < _PACE_POINTS or inside.shares[recent][0] > (1 + _PACE_FROM) / 2 * seen:
        return None
    fall = left[:, recent].mean(axis=0)
    fall = fall - fall.mean()
    power = float(fall @ fall)
    if power <= 0:
        return None
    levels = np.vstack([inside.loss[recent], left[:, recent]])
    levels = levels - levels.mean(axis=1, keepdims=True)
    pace = levels @ fall / power
    drift = np.std(levels - np.outer(pace, fall), axis=1) * np.sqrt(max(recent.sum() / _DRIFTING, 1.0))
    sds = np.hypot(np.append(inside.noise, noise), drift) / np.sqrt(power)
    return _Pace(excess=pace[1:] - 1.0, excess_sd=sds[1:], mine=float(pace[0]) - 1.0, mine_sd=float(sds[0]))
