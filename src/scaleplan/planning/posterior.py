"""Intervals of a plan by a forecast: from its posterior, not by moving coefficients.

:mod:`scaleplan.planning.uncertainty` propagates the errors of a law's coefficients. A forecast
(:class:`scaleplan.laws.forecast.Forecast`) holds the covariance of its logarithm everywhere, so the error of a loss
is read, and that of an optimum follows by the delta method, in closed form and for arrays alike.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.arrays import Number, choose, log, maximum
from scaleplan.errors import Notice
from scaleplan.planning.uncertainty import Interval, around, sigmas_of
from scaleplan.units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.laws.forecast import Forecast
    from scaleplan.planning.problem import Problem
    from scaleplan.planning.uncertainty import Outcome

__all__ = ["forecast_doubts", "forecast_interval", "gain_interval", "loss_intervals", "other_optimum", "rises"]

_ASIDE = 1e-3  # in ln N, between which slopes are measured; the bend of a budget line changes over a unit of it
_AT_BOUND = 1e-6  # relative: what solving for a split leaves, with room
_SCAN = 0.5  # of the ln N over which a surface is averaged either way: it does not bend twice within it


def forecast_interval(
    problem: Problem, outcome: Outcome[Number], *, level: float, spent: Number | None
) -> Interval[Number]:
    """Return the intervals of a plan by the posterior of a fit (:class:`scaleplan.laws.forecast.Forecast`).

    By the delta method: the vertex on the line of a budget moves by the error of the slope over the bend, where the
    bend is never less than that of the law alone. Where a bound holds the plan it does not move.

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
    sigmas = sigmas_of(level)
    one_run, expected = loss_intervals(surface, place, loss, level=level)
    along, moves = (0.0 * params, 0.0 * params) if spent is None else _vertex_error(problem, outcome, spent)
    known = surface.vouches(*place) | (moves == 0.0)  # beyond, the slope of an edge has no error, and means nothing
    sizes, data, ratios = (
        around(value, sigmas * choose(known, slope * moves, math.nan + moves))
        for value, slope in ((params, 1.0 + 0.0 * along), (tokens, abs(along)), (tokens / params, abs(along - 1.0)))
    )
    return Interval(
        level=level,
        params=None if known is False else sizes,
        tokens=None if known is False else data,
        tokens_per_param=None if known is False else ratios,
        loss=one_run,
        expected_loss=expected,
    )


def loss_intervals(
    surface: Forecast, place: tuple[Number, Number], loss: Number, *, level: float
) -> tuple[tuple[Number, Number], tuple[Number, Number]]:
    """Return the interval of the loss of one run of (params, tokens), and that of the mean of many alike."""
    sigmas, error = sigmas_of(level), surface.deviation(*place)
    return around(loss, sigmas * (error * error + surface.noise**2) ** 0.5), around(loss, sigmas * error)


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


def _vertex_error(problem: Problem, outcome: Outcome[Number], spent: Number) -> tuple[Number, Number]:
    """Return how ln D moves with ln N along the budget at a plan, and the standard error of its ln N."""
    surface: Forecast = problem.surface  # type: ignore[assignment]  # as above
    params = outcome[0]
    ways = []
    for shift in (-_ASIDE, 0.0, _ASIDE):
        size = params * math.exp(shift)
        ways.append((size, problem.most_tokens(size, spent)))
    laws, corrections = zip(*(surface.averaged(*problem.counted(*way)) for way in ways), strict=True)
    bends = [
        (below - 2 * here + above) / _ASIDE**2
        for below, here, above in (laws, [law + more for law, more in zip(laws, corrections, strict=True)])
    ]
    bend = maximum(maximum(bends[0], bends[1]), surface.least_bend)
    first, last = (surface.averaged_basis(*problem.counted(*ways[i])) for i in (0, 2))
    error = surface.spread([(b - a) / (2 * _ASIDE) for a, b in zip(first, last, strict=True)]) / bend
    return log(ways[2][1] / ways[0][1]) / (2 * _ASIDE), error * (1.0 - _held(problem, params, spent))


def _held(problem: Problem, params: Number, spent: Number) -> Number:
    """Return 1 where a bound or a kink holds the size of a plan, which may be a whole count; 0 elsewhere."""
    held = 0.0 * params
    sizes: list[Number] = problem.breakpoints(spent)
    sizes += [problem.min_params() + held, problem.max_params(spent)]
    for size in sizes:
        held = choose(abs(size - params) <= 1.0 + _AT_BOUND * params, 1.0 + 0.0 * held, held)
    return held


def other_optimum(problem: Problem, params: float, spent: float) -> float | None:
    """Return about which other size is an optimum of a forecast on the line of a budget; None where none is.

    Along the line the averaged surface falls and rises more than once then, within the sizes that the runs vouch for.
    """
    surface: Forecast = problem.surface  # type: ignore[assignment]  # as above
    smallest, largest = problem.sizes(spent)
    start, stop = (problem.cost.params_at_ratio(ratio, spent) for ratio in reversed(surface.vouched_ratios))
    step = _SCAN * surface.half
    count = math.ceil(log(stop / start) / step) + 2  # one place more at either end shows whether the first is a least
    sizes = [size for i in range(-1, count) if smallest < (size := start * math.exp(i * step)) < largest]
    aims = [surface.aim(size, problem.most_tokens(size, spent)) for size in sizes]
    lows = [
        size
        for size, (before, here, after) in zip(sizes[1:-1], zip(aims, aims[1:], aims[2:], strict=False), strict=False)
        if here < before and here <= after
    ]
    others = [size for size in lows if abs(log(size / params)) > surface.half]
    return others[0] if len(lows) > 1 and others else None


def rises(surface: Forecast, product: float) -> bool:
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
    if rises(surface, math.exp(math.log(params) + math.log(tokens))):
        yield _RISING
    if intervals.params is None:
        yield _NOT_VOUCHED
    elif intervals.params[0] < intervals.params[1]:
        other = other_optimum(problem, outcome[0], spent)
        if other is not None:
            message = (
                "the runs allow two optima of this budget: this one, which the forecast's mean puts lower, and "
                f"another near {format_count(other)} parameters"
            )
            yield Notice(code="two_optima", message=message)


_NOT_VOUCHED = Notice(
    code="not_vouched",
    message="this optimum is beyond what the runs of the law can vouch for (more than 100 times the largest of them, "
    "below the smallest, or far from their tokens per parameter): a point without an interval",
)

_RISING = Notice(
    code="loss_rises",
    message="by these runs half of this compute would reach no higher a loss, which nobody has seen: doubt the runs, "
    "and fit again without those that disagree with the others",
)
