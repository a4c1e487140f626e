"""Find the assumption that moves a plan most: plan again with each one varied over its plausible range.

The ranges have sources: the spread of the published laws, the law's own interval, the factor within which real
device-hours lie (``utilisation.toml``), and the listed prices of the accelerator (``prices.toml``). How much data can
be had is the one range without a source; half of the plan's tokens is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan.api import optimal
from scaleplan.errors import ScaleplanError
from scaleplan.record import Record
from scaleplan.units import exact, format_count, format_fraction, format_plain, format_usd_per_hour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.planning.context import Context
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.uncertainty import Interval

__all__ = ["QUANTITIES", "Scenario", "Swing", "sensitivity"]

QUANTITIES = ("params", "tokens", "loss", "flops", "cost")
"""The quantities of a plan that are compared."""

_NOTHING = 1e-6  # relative: rounding of the solver


class Scenario(Record):
    """One end of an assumption's range: what it assumes, and the plan's quantities; None where not comparable."""

    assumed: str
    params: float | None = None
    tokens: float | None = None
    loss: float | None = None
    flops: float | None = None
    cost: float | None = None


class Swing(Record):
    """An assumption, the plan's own case, and the two ends of its range; ``why`` is the source of the range."""

    assumption: str
    why: str
    low: Scenario
    high: Scenario

    def factor(self, quantity: str) -> float:
        """Return the ratio of the larger to the smaller value of a quantity; 1 where it is not known to move."""
        ends = (getattr(self.low, quantity), getattr(self.high, quantity))
        if None in ends or min(ends) <= 0:
            return 1.0
        ratio = max(ends) / min(ends)
        return ratio if ratio > 1 + _NOTHING else 1.0


def sensitivity(
    options: Mapping[str, Any], plan: Plan, others: Sequence[Plan], context: Context
) -> tuple[Swing, ...]:
    """Return how far each assumption moves the plan that ``optimal(**options)`` gives, the largest first.

    ``others`` are the plans of other laws, with sizes converted to the same convention.
    """
    options = {**options, "data": context}
    found = [
        swing
        for swing in (
            _laws(plan, others),
            _coefficients(plan),
            _utilisation(options, plan),
            _price(options, plan, context),
            _data(options, plan),
        )
        if swing is not None and any(swing.factor(quantity) > 1 for quantity in QUANTITIES)
    ]
    return tuple(sorted(found, key=lambda swing: -max(map(swing.factor, QUANTITIES))))


def _case(assumed: str, plan: Plan) -> Scenario:
    return Scenario(
        assumed=assumed,
        params=plan.params,
        tokens=plan.tokens,
        loss=plan.loss,
        flops=plan.flops,
        cost=plan.budget.cost,
    )


def _again(options: Mapping[str, Any], assumed: str, **changed: object) -> Scenario | None:
    """Return the scenario of the plan with some options changed; None where there is no such plan."""
    try:
        return _case(assumed, optimal(**{**options, **changed}))
    except ScaleplanError:
        return None


def _laws(plan: Plan, others: Sequence[Plan]) -> Swing | None:
    """Return the smallest and the largest optimal size of the laws; their losses cannot be compared."""
    sizes = [
        (other.converted.params, other)
        for other in others
        if other.converted is not None and other.converted.params is not None
        if other.preset == plan.preset or not _corrected(other)
    ]
    if not any(other.preset != plan.preset for _, other in sizes):
        return None
    low, high = min(sizes, key=lambda pair: pair[0]), max(sizes, key=lambda pair: pair[0])
    return Swing(
        assumption="the law",
        why=f"{len(sizes)} laws with a count that can be converted, without those that later work corrects",
        low=Scenario(assumed=low[1].preset, params=low[0], tokens=low[1].tokens),
        high=Scenario(assumed=high[1].preset, params=high[0], tokens=high[1].tokens),
    )


def _corrected(plan: Plan) -> bool:
    """Return whether a law warns of itself, as Kaplan's does: it is no end of what is plausible."""
    return any(notice.code == "caveat" for notice in plan.warnings)


def _uncertain(interval: Interval[float]) -> str:
    """Return what the interval of a plan is of."""
    return "law's coefficients" if interval.expected_loss is None else "forecast"


def _coefficients(plan: Plan) -> Swing | None:
    """Return the plan's own interval, at its level alone: another level is the same cause."""
    interval = plan.interval
    if interval is None:
        return None
    low, high = (
        Scenario(
            assumed=assumed,
            params=None if interval.params is None else interval.params[i],
            tokens=None if interval.tokens is None else interval.tokens[i],
            loss=None if interval.loss is None else interval.loss[i],
        )
        for i, assumed in enumerate(("low", "high"))
    )
    return Swing(
        assumption=f"the {_uncertain(interval)}, {format_fraction(interval.level)}",
        why="the uncertainty that comes with the law, at this level",
        low=low,
        high=high,
    )


def _utilisation(options: Mapping[str, Any], plan: Plan) -> Swing | None:
    mfu, goodput, band = plan.budget.mfu, plan.budget.goodput, plan.budget.band
    if mfu is None or band is None:
        return None
    # interruptions say the share of the time that trains again
    options = {**options, "profile": None, "goodput": None if options.get("interruptions") else goodput}
    ends = [
        _again(options, f"{format_fraction(value)} MFU", mfu=value) for value in (mfu / band, min(1.0, mfu * band))
    ]
    return _swing(
        "the utilisation", f"real GPU-hours lie within a factor of {format_plain(band)}, four times in five", ends
    )


def _price(options: Mapping[str, Any], plan: Plan, context: Context) -> Swing | None:
    if plan.budget.gpu is None or plan.budget.price_per_hour is None:
        return None
    listed = context.prices.listed(plan.budget.gpu)
    if not listed:
        return None
    ends = []
    for choose in (min, max):
        price = choose(listed, key=lambda price: price.usd_per_hour)
        assumed = f"{format_usd_per_hour(price.usd_per_hour)}, {price.commitment} {price.date}"
        rented = {**options, "owned": None, "power_price": None}
        ends.append(_again(rented, assumed, price=f"{price.usd_per_hour!r} USD"))
    return _swing("the price", f"the cheapest and the dearest of {len(listed)} listed prices", ends)


def _data(options: Mapping[str, Any], plan: Plan) -> Swing | None:
    half = plan.tokens / 2
    limits = [*(options.get("limit") or ()), f"tokens <= {exact('tokens', half)}"]
    case = _again({**options, "limit": limits}, f"only {format_count(half)} tokens to train on")
    return _swing("the data", "half of the tokens that the plan asks for", [case, _case("as planned", plan)])


def _swing(assumption: str, why: str, ends: Sequence[Scenario | None]) -> Swing | None:
    low, high = ends
    if low is None or high is None:
        return None
    return Swing(assumption=assumption, why=why, low=low, high=high)
