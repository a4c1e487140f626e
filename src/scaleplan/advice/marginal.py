"""Value more compute at the margin: the loss gained per doubling, and the price of the next hundredth of a nat.

Along the compute-optimal frontier ``L(C)`` of a law: the gain of a doubling is ``L(C) - L(2C)``, the local exponent
``-d ln(L - floor) / d ln C`` is how fast it shrinks, and the price of a gain ``g`` is the least compute that
reaches ``L(C) - g``, less ``C``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Unpack

from scaleplan.errors import Notice, UnreachableError, UsageError
from scaleplan.planning.context import Context
from scaleplan.planning.frontier import SolvedFrontier
from scaleplan.planning.on_hardware import budget_at, plan_budget
from scaleplan.planning.planner import Planner, numbers_of
from scaleplan.planning.posterior import gain_interval
from scaleplan.planning.request import Request
from scaleplan.planning.uncertainty import interval
from scaleplan.record import Record, Result
from scaleplan.units import format_flops, parse_integer

if TYPE_CHECKING:
    from scaleplan.hardware.budget import Budget
    from scaleplan.laws.base import Law
    from scaleplan.planning.request import BudgetKeywords
    from scaleplan.presets.preset import LossText
    from scaleplan.units import Amount

__all__ = ["Marginal", "Step", "marginal"]

_PERCENT, _GAIN = 0.01, 0.01
_MOST_DOUBLINGS = 40


class Step(Record):
    """The optimal plan at a multiple of the budget, with the gain in loss and the cost of the last doubling.

    ``gain_interval`` is at the confidence level of the plan. Units as in a plan.
    """

    factor: float
    flops: float
    params: float
    tokens: float
    loss: float
    gain: float | None
    gain_interval: tuple[float, float] | None
    gpu_hours: float | None
    cost: float | None
    extra_cost: float | None
    gpu_hours_interval: tuple[float, float] | None = None
    cost_interval: tuple[float, float] | None = None


class Marginal(Record, Result):
    """The loss that more compute gains from a budget on; ``steps`` are the budget and its doublings.

    ``floor`` is the loss that no compute goes below, None where the law has none; doubling the compute multiplies the
    loss above it by ``2 ** -exponent``, and ``halving_factor`` times the compute halves it. ``gain_per_doubling`` and
    ``gain_of_next_percent`` are gains in loss; ``flops_per_hundredth`` is the compute that a loss lower by 0.01 takes
    beyond the budget, None where no compute reaches it.
    """

    schema: ClassVar[str] = "scaleplan/marginal/1"

    preset: str
    loss_unit: str
    level: float | None
    flops: float
    params: float
    tokens: float
    loss: float
    floor: float | None
    exponent: float | None
    gain_per_doubling: float
    gain_of_next_percent: float
    cost_of_next_percent: float | None
    flops_per_hundredth: float | None
    cost_per_hundredth: float | None
    halving_factor: float | None
    gpu: str | None
    cost: float | None
    currency: str | None
    steps: tuple[Step, ...]
    loss_text: LossText | None = None
    warnings: tuple[Notice, ...]
    cost_of_next_percent_interval: tuple[float, float] | None = None
    cost_per_hundredth_interval: tuple[float, float] | None = None
    budget: Budget | None = None


def marginal(*, doublings: Amount = 6, **options: Unpack[BudgetKeywords]) -> Marginal:
    """Return the gain of more compute beyond a budget, over a number of doublings.

    The keywords are those of :func:`scaleplan.api.optimal`. Raises UsageError when the law has no loss, must not
    choose a size, or the doublings are too many or too few, UnreachableError when no model satisfies the bounds.
    """
    number = int(parse_integer(doublings))
    if not 1 <= number <= _MOST_DOUBLINGS:
        raise UsageError(f"doublings are 1 to {_MOST_DOUBLINGS}, not {number:,}")
    context = Context()
    request = Request.of(options, context)
    planner = Planner.of(request, context)
    planner.require_choice()
    plan = plan_budget(planner, request)
    planner = planner.on(plan.budget)

    flops = plan.flops
    steps = _steps(planner, request, flops, number)
    start = steps[0]
    floor = getattr(planner.preset.law, "floor", 0.0) or None
    here = _best(planner, flops)[2]  # differences of losses are small, and whole counts would be seen in them
    reducible = here - (floor or 0.0)
    above = _best(planner, flops * (1 + _PERCENT))[2]
    slope = (_best(planner, flops * (1 - _PERCENT))[2] - above) / (2 * _PERCENT)  # -dL/d ln C to second order
    with numbers_of(planner.preset):
        hundredth = planner.frontier.least_flops(here - _GAIN)
        halved = planner.frontier.least_flops((floor or 0.0) + reducible / 2)
    more = None if hundredth is None else budget_at(planner, request, hundredth - flops, start.params)
    percent = budget_at(planner, request, _PERCENT * flops, start.params)
    return Marginal(
        preset=plan.preset,
        loss_unit=plan.loss_unit,
        level=plan.interval.level if plan.interval else None,
        flops=flops,
        params=start.params,
        tokens=start.tokens,
        loss=start.loss,
        floor=floor,
        exponent=slope / reducible if reducible > 0 and slope > 0 else None,
        gain_per_doubling=start.loss - steps[1].loss,
        gain_of_next_percent=here - above,
        cost_of_next_percent=percent.cost,
        flops_per_hundredth=None if hundredth is None else hundredth - flops,
        cost_per_hundredth=None if more is None else more.cost,
        halving_factor=None if halved is None else halved / flops,
        gpu=plan.budget.gpu,
        cost=start.cost,
        currency=plan.budget.currency,
        steps=tuple(steps),
        loss_text=planner.preset.loss_text,
        warnings=(*plan.warnings, *_fewer(steps, number)),
        cost_of_next_percent_interval=percent.cost_interval,
        cost_per_hundredth_interval=None if more is None else more.cost_interval,
        budget=None if plan.budget.gpu is None else plan.budget,
    )


def _best(planner: Planner, flops: float) -> tuple[float, float, float]:
    """Return params, tokens and loss of the optimum; UsageError for a law without a loss."""
    params, tokens, loss = planner.best(flops)
    if loss is None:
        raise _no_loss(planner)
    return params, tokens, loss


def _no_loss(planner: Planner) -> UsageError:
    return UsageError(
        f"preset '{planner.preset.id}' has no loss to gain: it was fitted to optimal sizes only",
        hint="choose a preset with a loss, such as besiroglu-2024",
    )


def _steps(planner: Planner, request: Request, flops: float, number: int) -> list[Step]:
    """Return the budget and its doublings, each compared with the one before, as far as limits let them be spent.

    Raises UnreachableError where they allow not even one.
    """
    steps: list[Step] = []
    for factor in (2.0**doubling for doubling in range(number + 1)):
        params, tokens, loss = planner.best_counts(flops * factor)
        if loss is None:
            raise _no_loss(planner)
        if steps and _leaves(planner, flops * factor):
            break
        budget = budget_at(planner, request, flops * factor, params)
        before = steps[-1] if steps else None
        cost_before = before.cost if before else None
        steps.append(
            Step(
                factor=factor,
                flops=flops * factor,
                params=params,
                tokens=tokens,
                loss=loss,
                gain=before.loss - loss if before else None,
                gain_interval=_gain_interval(planner, flops * factor) if before else None,
                gpu_hours=budget.gpu_hours,
                cost=budget.cost,
                extra_cost=None if budget.cost is None or cost_before is None else budget.cost - cost_before,
                gpu_hours_interval=budget.gpu_hours_interval,
                cost_interval=budget.cost_interval,
            )
        )
    if len(steps) == 1:
        raise UnreachableError(
            f"the limits allow no doubling of {format_flops(flops)}: more compute gains nothing",
            hint="widen them: 'scaleplan optimal' says which bind",
        )
    return steps


def _fewer(steps: list[Step], number: int) -> tuple[Notice, ...]:
    allowed = len(steps) - 1
    if allowed == number:
        return ()
    return (Notice(code="doublings_held", message=f"the limits allow {allowed} of {number} doublings"),)


def _leaves(planner: Planner, flops: float) -> bool:
    """Return whether limits leave some of a budget unspent; 1e-9 is what plans are solved to."""
    params, tokens, _ = planner.best(flops)
    return planner.cost.flops(params, tokens) < flops * (1 - 1e-9)


def _gain_interval(planner: Planner, flops: float) -> tuple[float, float] | None:
    """Return the interval of the gain of the doubling that ends at ``flops``; losses at both ends move together.

    None where limits leave no gain: a gain widens in its logarithm, and nothing has none.
    """
    forecast = planner.preset.forecast
    if forecast is not None:
        frontier = planner.frontier
        assert isinstance(frontier, SolvedFrontier)
        before, after = (frontier.problem.counted(*frontier.best(each)[:2]) for each in (flops / 2, flops))
        return gain_interval(forecast, before, after, level=planner.level)

    def outcome(law: Law) -> tuple[float, float, float | None]:
        frontier = planner.frontier_for(law)
        before, (params, tokens, after) = frontier.best(flops / 2)[2], frontier.best(flops)
        return params, tokens, None if before is None or after is None else before - after

    gain = outcome(planner.preset.law)[2]
    if gain is None or gain <= 0:  # nothing is gained where limits bind, or beside a floor that is out of proportion
        return None
    found = interval(planner.preset, outcome, level=planner.level, factor=1.0)
    return found.loss if found is not None else None
