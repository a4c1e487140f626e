"""The loss along a known schedule: a power of the cumulative rate, less what the decay of the rate has gained.

    L(t) = L0 + P S^-a - g G,   G = sum_k (u_(k-1) - u_k) (1 - (1 + C u_k^-c (S - S_(k-1)))^-b)

is the multi-power law of Luo et al. 2025 (arXiv:2503.12811), with the rate u and its sum S relative to the peak rate
and to a run of ``unit`` steps at it, so that neither the unit of the rate nor that of the step matters. It is linear
in L0, P and g; a, g and C are summed over a grid, which is what tells how far the part seen determines the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from scaleplan.arrays import Array
    from scaleplan.logs.learning_rate import LearningRate
    from scaleplan.tracking.seen_part import SeenPart

__all__ = ["EXPONENTS", "GAINS", "SATURATIONS", "Along", "Cells", "along", "cells"]

_BETA, _GAMMA = 0.59, 0.64
"""Saturation exponents b and c: published 0.583-0.598 and 0.635-0.655 at 25M, 100M and 400M."""

EXPONENTS = np.exp(np.linspace(np.log(0.12), np.log(1.3), 32))
"""Exponents a that are tried: published ones are 0.43 to 0.51; the ends are too slow and too quick to tell."""
GAINS = np.concatenate([[0.0], np.exp(np.linspace(np.log(0.004), np.log(0.3), 60))])
"""Gains g of a full decay as a share of the loss that are tried, 7 % apart; published ones are 0.033-0.058."""
SATURATIONS = 2700.0 * np.exp(np.linspace(-3.6, 2.4, 6))
"""Speeds C of saturation that are tried about the published one, which is 2700 in a unit of 24,000 steps."""

_PIECES = 300  # of the way that the rate travels: a drop of less than a hundredth each
_LEAST_RATE = 1e-3  # of the peak: below it a gain would saturate slower than any run lasts
_LEAST_SUM, _TINY = 1e-9, 1e-200
_QUARTER = 4.0  # the fall of the power term from a quarter of the unit on is what a curve determines, rather than P
_MODEL_ERROR = 5e-4
"""Relative error of the law along a curve, at least: it fits the curves that it was made for to 0.1-0.2 %."""
_CORRELATED = 4.0  # bins that share one error of the law
_CARRIED = 0.1  # of what was seen: the mean residual over it is carried to the end


class Along(Record, eq=False):
    """The terms of the law at the shares of a run, and last at its end: powers (A, n), gains (C, n)."""

    powers: Array
    gains: Array

    def first(self, count: int) -> Along:
        """Return the terms at the first ``count`` shares, and at the end."""
        keep = np.append(np.arange(count), self.powers.shape[1] - 1)
        return Along(powers=self.powers[:, keep], gains=self.gains[:, keep])


class Cells(Record, eq=False):
    """What each cell of the grid (C, g, a) says: ln likelihood, ln loss at the end with its variance, fall, terms."""

    score: Array
    end: Array
    variance: Array
    fall: Array
    floor: Array
    power: Array
    level: float
    residual: Array


def along(schedule: LearningRate | None, shares: Array, *, total: float, unit: float) -> Along:
    """Return the terms at ``shares`` and at the end; without a schedule those of a constant rate."""
    steps = np.append(shares, 1.0) * total
    if schedule is None:
        sums, gains = steps / unit, np.zeros((1, len(steps)))
    else:
        sums = schedule.integral(steps) / (schedule.peak * unit)
        gains = _gains(schedule, steps, sums, unit)
    sums = np.maximum(sums, _LEAST_SUM)
    return Along(powers=sums ** -EXPONENTS[:, None], gains=gains)


def _gains(schedule: LearningRate, steps: Array, sums: Array, unit: float) -> Array:
    """Return G at steps for each speed of saturation; drops of a linear piece are taken at its middle."""
    after = schedule.knots >= schedule.warmup * (1 - 1e-9)
    knots, rates = schedule.knots[after], schedule.rates[after] / schedule.peak
    way = float(np.abs(np.diff(rates)).sum())
    if way <= 0:
        return np.zeros((1, len(steps)))
    pieces = np.ceil(np.abs(np.diff(rates)) / way * _PIECES).astype(int)
    of = np.repeat(np.arange(len(pieces)), pieces)
    inside = np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + 0.5
    drop = -np.diff(rates)[of] / pieces[of]
    middle = knots[of] + inside * np.diff(knots)[of] / pieces[of]
    rate = np.maximum(rates[of] - inside * drop, _LEAST_RATE)
    since = sums[:, None] - schedule.integral(middle) / (schedule.peak * unit)
    pace = np.maximum(since, 0.0) * rate**-_GAMMA
    return np.stack([drop @ (1 - (1 + speed * pace.T) ** -_BETA) for speed in SATURATIONS])


def cells(terms: Along, part: SeenPart, *, fall: tuple[float, float] | None = None, with_gain: bool = True) -> Cells:
    """Fit floor and power in every cell of the grid; ``fall`` is what to expect of ln fall, with its sd."""
    count = len(part.shares)
    loss = np.exp(part.loss)
    level = float(np.mean(loss[-3:]))
    weight = 1.0 / (part.spread**2 + 10 * _MODEL_ERROR**2)
    weight = weight / weight.sum()
    gain = GAINS[None, :, None] if with_gain else np.zeros((1, 1, 1))
    powers, gains = terms.powers[:, :count], terms.gains[:, :count]
    height, mean_power, mean_gain = float(weight @ loss), powers @ weight, gains @ weight
    p, g, y = powers - mean_power[:, None], gains - mean_gain[:, None], loss - height
    pp, gp, gg = np.maximum((p * p) @ weight, _TINY), (g * weight) @ p.T, (g * g) @ weight
    py, gy, yy = p @ (weight * y), g @ (weight * y), float(weight @ y**2)
    lift = gain * level  # what is added back of the gain
    along_power = py + lift * gp[:, None, :]
    rest = yy + 2 * lift * gy[:, None, None] + lift**2 * gg[:, None, None]
    free = max(count / _CORRELATED, 2.0)
    unit_fall = (_QUARTER**EXPONENTS - 1) / level
    variance = np.maximum(rest - along_power**2 / pp, 0.0) / level**2 + _MODEL_ERROR**2
    pull = np.zeros(1)
    if fall is not None:
        expected = np.exp(fall[0]) / unit_fall
        pull = variance * level**2 / free / (fall[1] * expected) ** 2
        power = (along_power + pull * expected) / (pp + pull)
        penalty = ((power / expected - 1) / fall[1]) ** 2
    else:
        power, penalty = along_power / pp, 0.0
    residual_variance = np.maximum(rest - 2 * power * along_power + power**2 * pp, 0.0) / level**2 + _MODEL_ERROR**2
    floor = height - power * mean_power + lift * mean_gain[:, None, None]
    score = -0.5 * free * np.log(residual_variance) - 0.5 * penalty
    score = np.where((floor > 0) & (power > 0), score, -np.inf)
    end = floor + power * terms.powers[:, count] - lift * terms.gains[:, count][:, None, None]
    recent = np.flatnonzero(part.shares >= (1 - _CARRIED) * (1 - 1e-9) * part.shares[-1])
    recent = recent if len(recent) >= 2 else np.arange(max(count - 2, 0), count)
    share = weight[recent] / weight[recent].sum()
    near = loss[recent] @ share
    model = floor + power * (powers[:, recent] @ share) - lift * (gains[:, recent] @ share)[:, None, None]
    residual = near - model
    end = np.maximum(end + residual, 1e-3 * level)
    reach = terms.powers[:, count] - powers[:, recent] @ share
    spread = residual_variance * level**2 / free * (1 + reach**2 / (pp + pull)) / end**2
    return Cells(
        score=score,
        end=np.log(end),
        variance=spread,
        fall=np.log(np.maximum(power * unit_fall, 1e-12)),
        floor=floor,
        power=power,
        level=level,
        residual=residual,
    )
