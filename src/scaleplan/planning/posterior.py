"""Intervals of a plan by a forecast: from its posterior, not by moving coefficients.

:mod:`scaleplan.planning.uncertainty` propagates the errors of a law's coefficients. A forecast
(:class:`scaleplan.laws.forecast.Forecast`) holds the covariance of its logarithm everywhere, so the error of a loss
is read, and that of an optimum follows by the delta method, in closed form and for arrays alike.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, NamedTuple

from scaleplan.arrays import Number, choose, log, maximum, minimum, somewhere
from scaleplan.errors import Notice, UnreachableError
from scaleplan.laws.forecast import HALF, REACH
from scaleplan.planning.uncertainty import Interval, around, sigmas_of
from scaleplan.units import format_count, format_factor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scaleplan.laws.forecast import Forecast
    from scaleplan.planning.problem import Problem
    from scaleplan.planning.uncertainty import Outcome

__all__ = [
    "LEAST_BEND",
    "budget_interval",
    "forecast_doubts",
    "forecast_interval",
    "gain_interval",
    "loss_intervals",
]

LEAST_BEND = 1e-4
"""Of ln L, per square of ln N: a flatter budget line has no optimum to speak of."""

_ASIDE = 1e-3  # in ln N, between which slopes are measured; the bend of a budget line changes over a unit of it
_AT_BOUND = 1e-6  # relative: what solving for a split leaves, with room
_LEAST_SIZE = 1e-3  # below any
_NEARBY = 0.1  # in ln C, between which the fall of the loss along the best splits is measured
_LEAST_SLOPE = 1e-3  # of ln L by ln C: a loss that falls more slowly tells no budget
_SCAN = 0.5  # of the ln N over which a surface is averaged either way: it does not bend twice within it


def forecast_interval(
    problem: Problem, outcome: Outcome[Number], *, level: float, spent: Number | None
) -> Interval[Number]:
    """Return the intervals of a plan by the posterior of a fit (:class:`scaleplan.laws.forecast.Forecast`).

    By the delta method: the vertex on the line of a budget moves by the error of the slope over the bend, where the
    bend is never less than that of the law alone. Where a bound holds the plan, it moves away from the bound by what
    the error is more than the slope; it never moves beyond a bound.

    Parameters
    ----------
    problem
        The question, whose surface is the forecast.
    outcome
        Its plan: (params, tokens, loss).
    level
        Probability inside the interval, between 0 and 1.
    spent
        The budget whose split the plan chooses; None for a size and tokens that are given.

    """
    surface: Forecast = problem.surface  # type: ignore[assignment]  # the caller knows
    params, tokens, loss = outcome
    assert loss is not None  # a surface has one
    place = problem.counted(params, tokens)
    one_run, expected = loss_intervals(surface, place, loss, level=level)
    found = Interval(
        level=level, params=None, tokens=None, tokens_per_param=None, loss=one_run, expected_loss=expected
    )
    given = replace(found, params=(params,) * 2, tokens=(tokens,) * 2, tokens_per_param=(tokens / params,) * 2)
    if spent is None:
        return given
    smallest, largest = problem.min_params() + 0.0 * params, problem.max_params(spent)
    fixed = largest <= smallest * (1.0 + _AT_BOUND)
    if fixed is True:
        return given
    known = surface.vouches(*place) | fixed  # beyond, the slope of an edge has no error, and means nothing
    if known is False:
        return found
    # slopes go on beyond the fewest tokens of a bound as if it were none
    path = replace(problem, tokens=problem.tokens._replace(low=0.0))
    kinks = [maximum(kink, _LEAST_SIZE) + 0.0 * params for kink in problem.breakpoints(spent)]  # some lie outside
    around_plan, sigmas = _slope(path, params, spent, middle=0.0), sigmas_of(level)
    low, high = (_end(path, params, spent, kinks, around_plan, side=side, sigmas=sigmas) for side in (-1, 1))
    unknown = choose(known, 0.0 * params, math.nan + params)
    sizes = maximum(low, minimum(smallest, params)) + unknown, minimum(high, maximum(largest, params)) + unknown
    data = [tokens * (problem.most_tokens(size, spent) / problem.most_tokens(params, spent)) for size in sizes]
    ratios = [amount / size for amount, size in zip(data, sizes, strict=True)]
    return replace(found, params=sizes, tokens=_ordered(*data), tokens_per_param=_ordered(*ratios))


def loss_intervals(
    surface: Forecast, place: tuple[Number, Number], loss: Number, *, level: float
) -> tuple[tuple[Number, Number], tuple[Number, Number]]:
    """Return the interval of the loss of one run of (params, tokens), and that of the mean of many alike."""
    sigmas, error = sigmas_of(level), surface.deviation(*place)
    return around(loss, sigmas * (error * error + surface.noise**2) ** 0.5), around(loss, sigmas * error)


def budget_interval(
    best: Callable[[float], Outcome[float]], flops: float, expected_loss: tuple[float, float]
) -> tuple[float, float] | None:
    """Return the interval of the least budget that reaches a loss: the delta method on that of the expected loss.

    The error of ln C is that of ln L over the slope of ln L along the best splits, ``best`` of a budget. None where
    the loss hardly falls: then any budget would do.
    """
    low, high = expected_loss
    try:
        less, more = (best(flops * math.exp(shift))[2] or math.inf for shift in (-_NEARBY, _NEARBY))
    except UnreachableError:  # where limits leave one budget alone
        return None
    slope = math.log(less / more) / (2 * _NEARBY)
    if slope < _LEAST_SLOPE:
        return None
    return around(flops, 0.5 * math.log(high / low) / slope)


def gain_interval(
    surface: Forecast, before: tuple[float, float], after: tuple[float, float], *, level: float
) -> tuple[float, float] | None:
    """Return the interval of what the expected loss falls from one place to another.

    None where it does not fall, and beyond the span of the forecast, where both places share the same correction and
    its error would vanish from their difference.
    """
    if not (surface.covers(*before) and surface.covers(*after)):
        return None
    losses = surface.loss(*before), surface.loss(*after)
    gain = losses[0] - losses[1]
    if gain <= 0:
        return None
    rows = zip(surface.basis(*before), surface.basis(*after), strict=True)
    error = surface.spread([losses[0] * one - losses[1] * other for one, other in rows])
    return around(gain, sigmas_of(level) * error / gain)


class _Slope(NamedTuple, Generic[Number]):
    """How the surface goes on along a budget: its slope, the error of it, and its bend."""

    slope: Number
    error: Number
    bend: Number


def _reach(known: _Slope[Number], side: int, sigmas: float) -> Number:
    """Return how far in ln N an optimum may lie on a side: what the error exceeds the slope by, over the bend."""
    return maximum(sigmas * known.error - maximum(side * known.slope, 0.0), 0.0) / known.bend


def _slope(problem: Problem, params: Number, spent: Number, *, middle: float) -> _Slope[Number]:
    """Return the slope at a size, as measured about a place ``middle`` from it in ln N."""
    surface: Forecast = problem.surface  # type: ignore[assignment]  # as above
    shifts = [middle + shift for shift in (-_ASIDE, 0.0, _ASIDE)]
    sizes = [params * math.exp(shift) for shift in shifts]
    places = [problem.counted(size, problem.most_tokens(size, spent)) for size in sizes]
    laws, corrections = zip(*(surface.averaged(*place) for place in places), strict=True)
    means = [law + more for law, more in zip(laws, corrections, strict=True)]
    bends = [(below - 2 * here + above) / _ASIDE**2 for below, here, above in (laws, means)]
    first, last = (surface.averaged_basis(*places[i]) for i in (0, 2))
    return _Slope(
        slope=(means[2] - means[0]) / (2 * _ASIDE) - middle * bends[1],
        error=surface.spread([(b - a) / (2 * _ASIDE) for a, b in zip(first, last, strict=True)]),
        bend=maximum(maximum(bends[0], bends[1]), LEAST_BEND),
    )


def _end(
    problem: Problem,
    params: Number,
    spent: Number,
    kinks: list[Number],
    known: _Slope[Number],
    *,
    side: int,
    sigmas: float,
) -> Number:
    """Return the size up to which an optimum may lie on one side of a plan.

    A kink that holds the plan, or lies on this side, holds the optimum wherever the surface rises beyond it by more
    than its error.
    """
    place, reach = params, _reach(known, side, sigmas)
    for kink in kinks:
        near = abs(log(kink / params)) <= 2 * _ASIDE
        if somewhere(near):  # slopes are not measured across one
            ahead = choose(side * log(kink / params) > 0, kink, params)
            beyond = _slope(problem, ahead, spent, middle=side * _ASIDE)
            place, reach = choose(near, ahead, place), choose(near, _reach(beyond, side, sigmas), reach)
    end = around(place, reach)[side > 0]
    for kink in kinks:
        between = (side * log(kink / place) > 0) & (side * log(end / kink) > 0)
        if somewhere(between):
            beyond = _slope(problem, kink, spent, middle=side * _ASIDE)
            end = choose(between & (_reach(beyond, side, sigmas) <= 0), kink, end)
    return end


def _ordered(one: Number, other: Number) -> tuple[Number, Number]:
    """Return two ends of an interval, the lower first."""
    return minimum(one, other), maximum(one, other)


def _other_optimum(problem: Problem, params: float, spent: float) -> float | None:
    """Return about which other size is an optimum of a forecast on the line of a budget; None where none is.

    Along the line the averaged surface falls and rises more than once then, within the sizes that the runs vouch for.
    """
    surface: Forecast = problem.surface  # type: ignore[assignment]  # as above
    smallest, largest = problem.sizes(spent)
    start, stop = (problem.cost.params_at_ratio(ratio, spent) for ratio in reversed(surface.vouched_ratios))
    step = _SCAN * HALF
    count = math.ceil(log(stop / start) / step) + 2  # one place more at either end shows whether the first is a least
    sizes = [size for i in range(-1, count) if smallest < (size := start * math.exp(i * step)) < largest]
    aims = [surface.aim(size, problem.most_tokens(size, spent)) for size in sizes]
    lows = [
        size
        for size, (before, here, after) in zip(sizes[1:-1], zip(aims, aims[1:], aims[2:], strict=False), strict=False)
        if here < before and here <= after
    ]
    others = [size for size in lows if abs(log(size / params)) > HALF]
    return others[0] if len(lows) > 1 and others else None


def _rises(surface: Forecast, product: float) -> bool:
    """Whether half of the compute of a ``params * tokens`` reaches as low a loss by a forecast."""
    half, whole = (surface.loss(*surface.best_split(share * product)) for share in (0.5, 1.0))
    return whole >= half


def forecast_doubts(
    problem: Problem, outcome: Outcome[float], intervals: Interval[float], spent: float | None
) -> Iterator[Notice]:
    """Yield the warnings about an optimum that the runs cannot vouch for, that is one of two, or that is absurd.

    ``spent`` is the budget whose split the plan chooses; a size and tokens that are given have no such warning.
    """
    if spent is None:
        return
    surface: Forecast = problem.surface  # type: ignore[assignment]  # as above
    params, tokens = problem.counted(*outcome[:2])
    if _rises(surface, math.exp(math.log(params) + math.log(tokens))):
        yield _RISING
    if intervals.params is not None and surface.far(params, tokens):
        yield _FAR
    if intervals.params is None:
        yield _not_vouched(surface.reach)
    elif intervals.params[0] < intervals.params[1]:
        other = _other_optimum(problem, outcome[0], spent)
        if other is not None:
            message = (
                "the runs allow two optima of this budget: this one, which the forecast's mean puts lower, and "
                f"another near {format_count(other)} parameters"
            )
            yield Notice(code="two_optima", message=message)


def _not_vouched(reach: float) -> Notice:
    return Notice(
        code="not_vouched",
        message="this optimum is beyond what the runs of the law can vouch for (more than "
        f"{format_factor(reach)} the largest of them, below the smallest, or far from their tokens per parameter): a "
        "point without an interval",
    )


_FAR = Notice(
    code="far_beyond",
    message=f"this optimum is more than {format_factor(REACH)} the largest run: its interval is that of the model, "
    "and no "
    "record says how often such ones hold",
)

_RISING = Notice(
    code="loss_rises",
    message="by these runs half of this compute would reach no higher a loss, which nobody has seen: doubt the runs, "
    "and fit again without those that disagree with the others",
)
