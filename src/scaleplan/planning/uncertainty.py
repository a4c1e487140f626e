"""Propagate the covariance (or draws) of a law's coefficients to intervals on N, D, D/N and loss.

The coefficients of a law are correlated to three nines, so the full matrix is used, never its diagonal: with
the diagonal alone the interval on N would be twelve times too wide. A plan is re-solved with the coefficients
moved along each column of the matrix's Cholesky factor (the delta method with numerical derivatives, which
serves every law, constraint and solver alike); a law that stores draws is re-solved for each of them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache, reduce
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING, Generic

from scaleplan.arrays import Number, exp, log, maximum, minimum
from scaleplan.errors import UsageError
from scaleplan.record import Record
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scaleplan.laws.base import Law
    from scaleplan.presets.preset import BacktestRms, Preset

__all__ = [
    "Interval",
    "Outcome",
    "add_error",
    "around",
    "backtest_rms",
    "beta_share",
    "cholesky",
    "interval",
    "moved_laws",
    "normal_quantile",
    "require_level",
    "sigmas_of",
]

_MOST_REACH = 230.0  # a factor of 1e100 either way says that nothing is known, and is still a number
_STEP = 0.01  # in standard deviations: truncation error 1e-5 of the result, rounding error below that

Outcome = tuple[Number, Number, Number | None]
"""(params, tokens, loss or None), each a float or an array."""


class Interval(Record, Generic[Number]):
    """Central intervals of a plan's quantities at one confidence level; each is (low, high).

    Of a forecast ``loss`` is that of one run and ``expected_loss`` that of many alike, without the noise of a run;
    the others are None (of an array not a number) where the runs cannot vouch for an optimum. ``flops`` is the
    interval of the least budget of a goal that a forecast reaches, and None of every other plan.
    """

    level: float
    params: tuple[Number, Number] | None
    tokens: tuple[Number, Number] | None
    loss: tuple[Number, Number] | None
    tokens_per_param: tuple[Number, Number] | None
    expected_loss: tuple[Number, Number] | None = None
    flops: tuple[Number, Number] | None = None


def require_level(level: float) -> float:
    """Return a confidence level; raises UsageError unless it lies between 0 and 1."""
    if not 0 < level < 1:
        raise UsageError(f"a confidence level lies between 0 and 1, not at {format_plain(level)}", hint="try 0.9")
    return level


def interval(
    preset: Preset,
    outcome: Callable[[Law], Outcome[Number]],
    *,
    level: float,
    factor: Number,
    signed: bool = False,
) -> Interval[Number] | None:
    """Return the intervals of ``outcome(law)``, or None when the source gives no usable uncertainty.

    All of them widen in the logarithm, so that none reaches zero or below.

    Parameters
    ----------
    preset
        The law with its uncertainty.
    outcome
        Solves the plan for a law with moved coefficients; returns (params, tokens, loss or None).
    level
        Probability inside the interval, between 0 and 1.
    factor
        By how much the plan's compute exceeds the largest the law was fitted on; widens the interval of the
        loss when the preset carries a backtest.
    signed
        Whether the third of the outcome is no loss but a value of any sign, whose interval widens as it is.

    """
    assert preset.forecast is None  # of which the coefficients are no longer the law
    known = preset.uncertainty
    if known is None:
        return None
    if known.draws:
        found = _from_draws([outcome(preset.law_at(draw)) for draw in known.draws], level)
        found = _stretched(found, sigmas_of(level, known.freedom) / sigmas_of(level), signed=signed)
        if known.backtest is not None and not signed:
            found = _widened(found, known.backtest, factor)
        return _holding(found, outcome(preset.law))
    centre = preset.centre()
    stretch = sigmas_of(level, known.freedom) / sigmas_of(level)
    squares: list[list[Number]] = [[], [], [], []]
    for law_above, law_below in moved_laws(preset):
        up = _coordinates(outcome(law_above), signed=signed)
        down = _coordinates(outcome(law_below), signed=signed)
        for terms, above, below in zip(squares, up, down, strict=True):
            terms.append((stretch * (above - below) / (2 * _STEP)) ** 2)
    params, tokens, loss = outcome(preset.law_at(centre))
    if known.backtest is not None and loss is not None and not signed:
        squares[3].append(backtest_rms(known.backtest.factors, known.backtest.rms, factor) ** 2)
    sigmas = sigmas_of(level)
    # added up one by one, as arrays are: from Python 3.12 on, sum() carries more digits of floats
    reach = [sigmas * reduce(add, terms) ** 0.5 for terms in squares]
    return Interval(
        level=level,
        params=around(params, reach[0]),
        tokens=around(tokens, reach[1]),
        tokens_per_param=around(tokens / params, reach[2]),
        loss=None if loss is None else (loss - reach[3], loss + reach[3]) if signed else around(loss, reach[3]),
    )


def moved_laws(preset: Preset) -> Iterator[tuple[Law, Law]]:
    """Yield the laws a small step up and down each direction of the covariance of the coefficients.

    The step is a hundredth of a standard deviation; the directions are independent of each other.
    """
    known, centre = preset.uncertainty, preset.centre()
    assert known is not None
    for column in zip(*cholesky(known.covariance), strict=True):
        up, down = (preset.law_at(_moved(centre, column, step)) for step in (_STEP, -_STEP))
        yield up, down


def backtest_rms(factors: Sequence[float], rms: Sequence[float], factor: Number) -> Number:
    """Return the relative error to expect when extrapolating compute by ``factor``.

    Interpolated linearly in the logarithm of the factor between backtested factors, constant below the first,
    and extended beyond the last with the average slope where that is positive (a guess). Factors that lie closer
    together than 2 tell no slope: their difference is taken to be that of a doubling.
    """
    points = sorted(zip(factors, rms, strict=True))
    edges = [math.log(at) for at, _ in points]
    place = log(factor)
    known = 0.0 * place + points[0][1]
    for i, ((_, low), (_, high)) in enumerate(pairwise(points)):
        # a sum of clipped ramps is the interpolation, for floats and arrays alike
        known = known + (high - low) * _clipped((place - edges[i]) / (edges[i + 1] - edges[i]))
    slope = (points[-1][1] - points[0][1]) / max(edges[-1] - edges[0], math.log(2))
    beyond = 0.5 * (abs(place - edges[-1]) + (place - edges[-1]))
    return known + max(slope, 0.0) * beyond


def _clipped(share: Number) -> Number:
    """Return the share held between 0 and 1."""
    return 0.5 * (abs(share) - abs(share - 1.0) + 1.0)


def normal_quantile(probability: float) -> float:
    """Return the standard normal quantile, by Newton's method on the error function, to double precision."""
    place = 0.0
    for _ in range(60):
        error = 0.5 * math.erfc(-place / math.sqrt(2)) - probability
        move = error * math.sqrt(2 * math.pi) * math.exp(0.5 * place * place)
        place -= max(-1.0, min(1.0, move))
        if abs(move) < 1e-14:
            break
    return place


@lru_cache(maxsize=64)
def sigmas_of(level: float, freedom: int | None = None) -> float:
    """Return how many standard errors an interval reaches; by Student's t where few residuals measured them."""
    probability = 0.5 + level / 2
    return normal_quantile(probability) if freedom is None else t_quantile(probability, freedom)


def cholesky(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the lower factor of a positive semidefinite matrix; a vanishing pivot gives a zero column."""
    size = len(matrix)
    factor = [[0.0] * size for _ in range(size)]
    for j in range(size):
        pivot = matrix[j][j] - sum(value * value for value in factor[j][:j])
        root = math.sqrt(pivot) if pivot > 1e-14 * abs(matrix[j][j]) else 0.0
        factor[j][j] = root
        for i in range(j + 1, size):
            rest = matrix[i][j] - sum(a * b for a, b in zip(factor[i][:j], factor[j][:j], strict=True))
            factor[i][j] = rest / root if root else 0.0
    return factor


def _moved(centre: Sequence[float], direction: Sequence[float], step: float) -> list[float]:
    return [value + step * change for value, change in zip(centre, direction, strict=True)]


def _coordinates(outcome: Outcome[Number], *, signed: bool) -> tuple[Number, Number, Number, Number]:
    params, tokens, value = outcome
    last = 0.0 * params if value is None else value if signed else log(value)
    return log(params), log(tokens), log(tokens / params), last


def around(value: Number, reach: Number) -> tuple[Number, Number]:
    """Return the ends of an interval that reaches so far either way in the logarithm."""
    reach = minimum(reach, _MOST_REACH)
    return value * exp(-reach), value * exp(reach)


def _from_draws(outcomes: list[Outcome[Number]], level: float) -> Interval[Number]:
    losses = [loss for _, _, loss in outcomes if loss is not None]
    return Interval(
        level=level,
        params=_percentiles([params for params, _, _ in outcomes], level),
        tokens=_percentiles([tokens for _, tokens, _ in outcomes], level),
        tokens_per_param=_percentiles([tokens / params for params, tokens, _ in outcomes], level),
        loss=_percentiles(losses, level) if losses else None,
    )


def _stretched(known: Interval[Number], factor: float, *, signed: bool) -> Interval[Number]:
    """Return intervals made wider about their middles, in the logarithm unless a value may have any sign."""
    if factor == 1.0:
        return known

    def wider(ends: tuple[Number, Number] | None) -> tuple[Number, Number] | None:
        if ends is None:
            return None
        low, high = ends
        return around((low * high) ** 0.5, factor * 0.5 * log(high / low))

    value = known.loss
    if value is not None:
        half, middle = 0.5 * factor * (value[1] - value[0]), 0.5 * (value[0] + value[1])
        value = (middle - half, middle + half) if signed else wider(value)
    return Interval(
        level=known.level,
        params=wider(known.params),
        tokens=wider(known.tokens),
        tokens_per_param=wider(known.tokens_per_param),
        loss=value,
    )


def _widened(known: Interval[Number], backtest: BacktestRms, factor: Number) -> Interval[Number]:
    """Add the error of backtests to the interval of the loss, in quadrature on each side of its middle."""
    if known.loss is None:
        return known
    error = backtest_rms(backtest.factors, backtest.rms, factor)
    return replace(known, loss=add_error(known.loss, error, known.level))


def add_error(ends: tuple[Number, Number], error: Number, level: float) -> tuple[Number, Number]:
    """Return an interval of positive ends with a relative error added in quadrature, in the logarithm."""
    low, high = ends
    half = 0.5 * log(high / low)
    return around((low * high) ** 0.5, (half**2 + (sigmas_of(level) * error) ** 2) ** 0.5)


def _holding(known: Interval[Number], estimate: Outcome[Number]) -> Interval[Number]:
    """Return intervals that hold the estimate, from which draws of two populations may gather away."""

    def hull(ends: tuple[Number, Number] | None, value: Number) -> tuple[Number, Number] | None:
        if ends is None:
            return None
        return minimum(ends[0], value), maximum(ends[1], value)

    params, tokens, loss = estimate
    return Interval(
        level=known.level,
        params=hull(known.params, params),
        tokens=hull(known.tokens, tokens),
        tokens_per_param=hull(known.tokens_per_param, tokens / params),
        loss=known.loss if loss is None else hull(known.loss, loss),
    )


def _percentiles(values: list[Number], level: float) -> tuple[Number, Number]:
    tails = (0.5 - level / 2, 0.5 + level / 2)
    if isinstance(values[0], float):
        ordered = sorted(values)
        low, high = (_quantile(ordered, tail) for tail in tails)
        return low, high
    import numpy as np

    low, high = np.quantile(np.stack(values), tails, axis=0)
    return low, high


def _quantile(ordered: list[float], probability: float) -> float:
    place = probability * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t above one half, by bisection on its tail."""
    outside = 2.0 * (1.0 - probability)
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = 0.5 * (low + high)
        beyond = beta_share(freedom / 2, 0.5, freedom / (freedom + middle * middle))
        low, high = (middle, high) if beyond > outside else (low, middle)
    return 0.5 * (low + high)


def beta_share(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if x <= 0.0 or x >= 1.0:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - beta_share(b, a, 1.0 - x)
    scale = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    ahead, behind = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    value = behind
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for term in (even, odd):
            behind = 1.0 / (1.0 + term * behind)
            ahead = 1.0 + term / ahead
            change = ahead * behind
            value *= change
        if abs(change - 1.0) < 1e-14:
            break
    return math.exp(scale) / a * value
