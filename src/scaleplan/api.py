"""The Python API of planning: the commands as functions with keyword arguments.

Amounts are texts (``"1e21"``, ``"7B"``, ``"30d"``) or numbers in base units (FLOP, counts, hours, seconds, US
dollars). Results are frozen records whose attributes are the JSON keys, with ``to_dict()``. Each call reads the data
files that it needs once; ``data`` lets several calls share them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Unpack, overload

from scaleplan.errors import UsageError, either, quote, unexpected_keyword
from scaleplan.planning.constraints import constraint_options
from scaleplan.planning.context import Context
from scaleplan.planning.on_hardware import plan_budget, plan_goal, plan_run
from scaleplan.planning.plan import Plans, left_out
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import SWEPT, Request, option_names, parse_budget
from scaleplan.units import (
    SECONDS_PER_DAY,
    format_plain,
    parse_count,
    parse_days,
    parse_integer,
    parse_kilograms,
    parse_kwh,
    parse_positive,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy import float64
    from numpy.typing import ArrayLike, NDArray

    from scaleplan.hardware.convert import Conversion
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.request import (
        ArrayKeywords,
        BudgetKeywords,
        ChosenKeywords,
        ConversionKeywords,
        GoalKeywords,
        SweepKeywords,
    )
    from scaleplan.planning.solver_array import PlanArray
    from scaleplan.presets.preset import Preset
    from scaleplan.units import Amount, ExchangeRate

    Budgets = list[float] | tuple[float, ...] | NDArray[float64]

__all__ = [
    "COMPARED",
    "compare",
    "convert",
    "evenly_spaced",
    "loss",
    "optimal",
    "optimal_array",
    "spaced",
    "sweep",
    "target",
]

COMPARED = (
    "besiroglu-2024",
    "hoffmann-2022-a1",
    "hoffmann-2022-a2",
    "hoffmann-2022-a3",
    "muennighoff-2023",
    "llama3-2024",
    "deepseek-llm-2024",
    "porian-2024-rw-tuned",
    "kaplan-2020",
)
"""The laws that ``compare`` shows when none is named: one of each way to have measured the split."""

_MOST_POINTS = 10_000_000


@overload
def optimal(*, data: Context | None = None, **options: Unpack[BudgetKeywords]) -> Plan: ...


@overload
def optimal(*, flops: Budgets, **options: Unpack[ArrayKeywords]) -> PlanArray: ...


def optimal(
    *, flops: Amount | Budgets | None = None, data: Context | None = None, **options: Any
) -> Plan | PlanArray:
    """Return the compute-optimal plan for a budget; for several budgets in FLOP, their plans as arrays.

    Parameters
    ----------
    data
        The data files; read anew by default.
    options
        The budget: exactly one of ``flops``, ``gpu_hours``, ``time`` (with ``gpus``) and ``cost``, all but the
        first with ``gpu``. The law and its bounds (``preset``, ``level``, ``overhead``, ``params``, ``tokens``,
        ``limit``, ``batch_regime``, ``count``), the constraints (``unique_tokens``, ``inference_tokens``,
        ``inference_mfu``, ``inference_price``, ``compute_multiplier``) and the hardware (``gpu``, ``gpus``,
        ``mfu``, ``goodput``, ``precision``, ``profile``, ``measured``, ``price``, ``pue``,
        ``owned``, ``power_price``, ``exchange_rate``, ``interruptions``). A concrete ``model``
        fixes the size, by the law's own way of counting. With ``shape`` the plan has a ``blueprint``: architecture
        (of a ``style``), layout, micro-batch, steps (of ``batch`` tokens and sequences of ``context``), and the bill
        (carbon by ``region``).

    Raises
    ------
    ScaleplanError
        When the request is wrong, or no model satisfies it.

    Examples
    --------
    >>> import scaleplan as sp
    >>> plan = sp.optimal(flops="1e21")
    >>> f"{plan.params:.4g} parameters on {plan.tokens:.4g} tokens, loss {plan.loss:.4g}"
    '2.778e+09 parameters on 5.999e+10 tokens, loss 2.306'

    """
    if not isinstance(flops, str | float | int | None):
        return optimal_array(flops, **options)
    context = data or Context()
    request = Request.of({**options, "flops": flops}, context)
    return plan_budget(Planner.of(request, context), request)


def optimal_array(flops: ArrayLike, **options: Unpack[ArrayKeywords]) -> PlanArray:
    """Return the compute-optimal plans of an array of budgets in FLOP, as arrays.

    Parameters
    ----------
    flops
        One-dimensional array-like of budgets, in FLOP.
    options
        The law and its bounds, as for :func:`optimal`.

    """
    from scaleplan.planning.solver_array import plan_array

    plain = {*option_names("law", "python", "limits", "sides"), *(option.name for option in constraint_options())}
    for name in options:
        if name not in plain:
            raise unexpected_keyword(name, plain)
    context = Context()
    return plan_array(Planner.of(Request.of(options, context), context), flops)


def loss(
    *,
    params: Amount | None = None,
    tokens: Amount,
    data: Context | None = None,
    **options: Unpack[ChosenKeywords],
) -> Plan:
    """Return the plan of training a size or a ``model`` on ``tokens``: its loss, its distance from the optimum.

    On a ``gpu``, ``time`` is a deadline: the plan has the GPUs that finish in it, or with ``gpus`` the chance that
    these do; ``cost`` is money, and the plan has the chance that the run keeps it.

    Parameters
    ----------
    params
        The model size: ``"7B"``; or give ``model``.
    tokens
        The training tokens: ``"2T"``.
    data
        The data files; read anew by default.
    options
        As for :func:`optimal`.

    """
    context = data or Context()
    return plan_run(Request.of({**options, "params": params, "tokens": tokens}, context), context)


def target(
    *,
    loss: Amount | None = None,
    params: Amount | None = None,
    tokens: Amount | None = None,
    data: Context | None = None,
    **options: Unpack[GoalKeywords],
) -> Plan:
    """Return the plan with the least budget that reaches a loss, or whose optimum is this size or these tokens.

    On a ``gpu``, ``time`` and ``cost`` are what the run is to keep, as for :func:`loss`.

    Parameters
    ----------
    loss, params, tokens
        The goal, exactly one of them: the loss to reach, in the law's unit; the size, or the training tokens, that
        are to be optimal.
    data
        The data files; read anew by default.
    options
        As for :func:`optimal`.

    """
    goals = {"--loss": loss, "--params": params, "--tokens": tokens}
    given = [name for name, goal in goals.items() if goal is not None]
    if len(given) != 1:
        what = f"more than one goal: {' and '.join(given)}" if given else "there is no goal"
        raise UsageError(what, hint="give exactly one of --loss, --params or --tokens")
    context = data or Context()
    request = Request.of(options, context)
    planner = Planner.of(request, context)
    if loss is not None:
        from scaleplan.planning.loss_amounts import parse_loss  # a budget has no loss to read

        goal = parse_loss(loss, planner.preset.conventions)
        return plan_goal(planner, request, lambda on: on.target_loss(goal))
    if params is not None:
        size = planner.law_params(parse_count(params, what="params"))
        return plan_goal(planner, request.changed(params=size), lambda on: on.target_params(size))
    assert tokens is not None
    count = parse_count(tokens, what="tokens")
    return plan_goal(planner, request, lambda on: on.target_tokens(count))


def sweep(
    *,
    from_: Amount | None = None,
    to: Amount | None = None,
    points: Amount = 13,
    by: str = "flops",
    start: Amount | None = None,
    stop: Amount | None = None,
    **options: Unpack[SweepKeywords],
) -> Plans:
    """Return optimal plans for budgets evenly spaced in the logarithm, both ends included.

    Parameters
    ----------
    from_, to
        The smallest and the largest budget.
    points
        How many budgets, at least 2.
    by
        What the budgets are: ``flops``, ``gpu_hours``, ``time`` (with ``gpus``) or ``cost``.
    start, stop
        Earlier names of ``from_`` and ``to``.
    options
        As for :func:`optimal`.

    Raises
    ------
    UsageError
        For a range without a beginning or an end, or what else is no range.

    """
    low: Amount | None = either("from_", from_, "start", start)
    high: Amount | None = either("to", to, "stop", stop)
    if low is None or high is None:
        raise UsageError("a sweep goes from one budget to another", hint="give from_ and to")
    context = Context()
    request = Request.of(options, context)
    budgets = spaced(low, high, points=points, by=by, rate=request.exchange_rate)
    planner = Planner.of(request, context)
    return Plans(plans=tuple(plan_budget(planner, request.changed(**{by: budget})) for budget in budgets))


def spaced(
    start: Amount, stop: Amount, *, points: Amount, by: str, rate: ExchangeRate | None = None
) -> Iterator[float]:
    """Return budgets from ``start`` to ``stop``, evenly spaced in the logarithm; money in the currency of a rate.

    Raises
    ------
    UsageError
        For a range that is empty or backwards, or fewer than two points.

    """
    if by not in SWEPT:
        raise UsageError(f"cannot sweep over {quote(by)}", hint=f"choose one of {', '.join(SWEPT)}")
    low, high = (parse_budget(by, end, rate) for end in (start, stop))
    number = int(parse_integer(points))
    if not low < high:
        raise UsageError(
            f"the range from {format_plain(low)} to {format_plain(high)} is empty",
            hint="the first budget must be the smaller",
        )
    if not 2 <= number <= _MOST_POINTS:
        raise UsageError(f"a sweep has 2 to {_MOST_POINTS:,} points, not {number:,}")
    return evenly_spaced(low, high, number)


def evenly_spaced(low: float, high: float, number: int) -> Iterator[float]:
    """Yield a number of values from ``low`` to ``high``, both exact, evenly spaced in the logarithm.

    Those between are rounded to twelve digits, so that a power of ten among them is one.
    """
    step = math.log(high / low) / (number - 1)
    yield low
    yield from (float(f"{low * math.exp(step * i):.11e}") for i in range(1, number - 1))
    yield high


def compare(*, presets: Sequence[str | Preset] = COMPARED, **options: Unpack[BudgetKeywords]) -> Plans:
    """Return the plans of one budget under several laws, sizes converted to one convention where that is known.

    Laws that cannot answer are left out, with the reason among the warnings of the result. Losses of different
    laws stand on different text and tokenizers: they are shown, never ranked.

    Parameters
    ----------
    presets
        The laws to show, by default one of each way to have measured the split.
    options
        As for :func:`optimal`.

    """
    plans, notices = [], []
    context = Context()
    request = Request.of({**options, "count": options.get("count") or "total"}, context)
    for preset in presets:
        planner = Planner.of(request.changed(preset=preset), context)
        if not planner.by_hardware:  # whose limits are known with the budget only
            planner.require_consistent()
        if not planner.may_choose:
            notices.append(left_out(planner.preset.id, f"it must not choose a model size ({planner.preset.refusal})"))
            continue
        if not planner.may_trade:
            notices.append(left_out(planner.preset.id, "it has no loss to weigh limits and constraints by"))
            continue
        plans.append(plan_budget(planner, request))
    if not plans:
        raise UsageError(
            "none of these laws can answer", hint=notices[0].message if notices else "name one with --preset"
        )
    return Plans(plans=tuple(plans), warnings=tuple(notices))


def convert(
    *,
    pf_days: Amount | None = None,
    days: Amount | None = None,
    energy: Amount | None = None,
    carbon: Amount | None = None,
    params: Amount | None = None,
    region: str | None = None,
    to: str | None = None,
    grid: str | None = None,
    model_params: Amount | None = None,
    **options: Unpack[ConversionKeywords],
) -> Conversion:
    """Convert exactly one amount of compute into every other unit; see :func:`scaleplan.hardware.convert.convert`.

    Beside another amount, ``time`` is a deadline: how many GPUs finish in it, or how likely ``gpus`` do.

    Parameters
    ----------
    pf_days, days, energy, carbon
        The amount, unless it is ``flops``, ``gpu_hours``, ``time`` or ``cost``: PF-days, days on ``gpus``, kWh
        from the grid, kg CO2e by ``region``.
    params
        The model's size, on which the default utilisation depends.
    region
        Country or cloud region whose carbon intensity counts.
    to
        A quantity that must be part of the result.
    grid, model_params
        Earlier names of ``region`` and ``params``.
    options
        The other amounts, and the hardware as for :func:`optimal`.

    """
    from scaleplan.hardware.convert import convert as convert_amount

    for name in options:
        if name not in option_names("hardware", "budget"):
            raise UsageError(f"{name} says nothing about a conversion")
    size: Amount | None = either("params", params, "model_params", model_params)
    context = Context()
    request = Request.of(options, context)
    amounts = {
        "flops": request.flops,
        "pf_days": None if pf_days is None else parse_positive(pf_days),
        "gpu_hours": request.gpu_hours,
        "days": parse_days(days) if days is not None else None,
        "cost": request.cost,
        "energy_kwh": None if energy is None else parse_kwh(energy),
        "carbon_kg": None if carbon is None else parse_kilograms(carbon),
    }
    hardware = request.paying(None)
    if request.time is not None:
        if days is None and any(amount is not None for amount in amounts.values()):
            hardware = hardware.changed(deadline=request.time)
        else:
            amounts["days"] = request.time / SECONDS_PER_DAY
    return convert_amount(
        context,
        amounts,
        hardware,
        params=None if size is None else parse_count(size, what="params"),
        grid=either("region", region, "grid", grid),
        to=to,
    )
