"""Compare GPUs for a budget, a run or a loss: what each takes or buys, side by side, each by its own whole plan."""

from __future__ import annotations

import re
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from scaleplan.api import loss as loss_of
from scaleplan.api import optimal, target
from scaleplan.errors import Notice, ScaleplanError, UnknownNameError, UsageError
from scaleplan.hardware.bill import carbon_of
from scaleplan.planning.context import Context
from scaleplan.planning.placement import holding
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import Request
from scaleplan.record import Record, Result
from scaleplan.units import SECONDS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.hardware.chances import LimitChance
    from scaleplan.planning.placement import Holding
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.request import BudgetKeywords
    from scaleplan.units import Amount

__all__ = ["SORTS", "GpuChoice", "GpuComparison", "compare_gpus"]

SORTS = ("cost", "days", "gpu_hours", "energy_kwh", "carbon_kg", "loss")
"""What a comparison can be sorted by; what is not known comes last."""

_ROUNDS = 4  # until the size that a budget buys on some GPUs is one that takes them

_ANOTHER_ORDER = "choose another order"

_KNOWN_BY = {"carbon_kg": "give --region", "cost": "give --price in USD per GPU-hour"}
"""The option that makes a quantity known to sort by."""

_ALIKE = ("utilisation_thin_evidence", "no_price", "power_unknown")
"""Warnings that are one cause of several GPUs."""


class GpuChoice(Record):
    """What a plan takes on one GPU, or what a budget buys there; None where it is not known.

    ``gpus`` are those ``given``, those that the ``deadline`` takes, or the fewest whose ``memory`` holds the model,
    by ``gpus_source``; ``fits`` is whether they hold it. Intervals are at the level of the comparison, and units as
    of a plan and its budget.
    """

    gpu: str
    gpus: int | None
    gpus_source: str | None
    fits: bool | None
    fewest_gpus: int | None
    memory_bytes: float
    flops: float
    params: float
    tokens: float
    loss: float | None
    gpu_hours: float | None
    gpu_hours_interval: tuple[float, float] | None
    days: float | None
    days_interval: tuple[float, float] | None
    cost: float | None
    cost_interval: tuple[float, float] | None
    currency: str | None
    energy_kwh: float | None
    energy_kwh_interval: tuple[float, float] | None
    carbon_kg: float | None
    carbon_kg_interval: tuple[float, float] | None
    price_per_hour: float | None
    price_source: str | None
    price_date: str | None
    utilisation: float | None
    utilisation_source: str | None
    peak_flops_per_s: float | None
    precision: str | None
    profile: str | None
    band: float | None
    bought_flops_interval: tuple[float, float] | None
    chances: Mapping[str, LimitChance] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()


class GpuComparison(Result, Record):
    """GPUs side by side for one ``goal``: a ``run``, a ``loss`` or a ``budget``, sorted by ``sort``.

    ``budget`` is the form of the budget that each GPU spends, None for a goal that each reaches. ``deadline_days`` is
    the time that the number of GPUs was found for. ``budget_amount`` is how much there is to spend: FLOP, GPU-hours,
    days, or money in the currency of the rows.
    """

    schema: ClassVar[str] = "scaleplan/gpu-comparison/1"

    goal: str
    preset: str
    loss_unit: str
    budget: str | None
    sort: str
    deadline_days: float | None
    interval_level: float | None
    grid: str | None
    grid_g_co2_per_kwh: float | None
    grid_year: int | None
    compared: tuple[GpuChoice, ...]
    warnings: tuple[Notice, ...] = ()
    budget_amount: float | None = None


def compare_gpus(
    names: Sequence[str] | str = (),
    *,
    vendor: str | None = None,
    sort: str | None = None,
    loss: Amount | None = None,
    data: Context | None = None,
    **options: Unpack[BudgetKeywords],
) -> GpuComparison:
    """Return what a run, a loss or a budget comes to on several GPUs, each with its days, money, energy and memory.

    Parameters
    ----------
    names
        Ids or aliases of GPUs, or one; without any, those with a default price and a published peak.
    vendor
        Only GPUs of this vendor, where none are named.
    sort
        One of :data:`SORTS`; by default the cost of a run, and the loss that a budget reaches.
    loss
        The loss to reach. Otherwise the question is the run of ``tokens`` with ``params`` or a ``model``, or else a
        budget: ``flops``, ``gpu_hours``, ``cost``, or ``gpus`` for some ``time``.
    data
        The data files; read anew by default.
    options
        As for :func:`optimal`, without ``gpu``. Beside a run or a loss, ``time`` is a deadline and ``cost`` money to
        keep. Without a number of GPUs or a deadline each plan has the fewest that hold its model.

    """
    names = (names,) if isinstance(names, str) else names
    if sort is not None and sort not in SORTS:
        raise UnknownNameError("order", sort, SORTS)
    context = data or Context()
    given = {**options, **({} if loss is None else {"loss": loss})}
    goal = _goal(given)
    question = _Question(given, context, goal=goal, function=_ANSWER[goal])
    devices = _devices(names, vendor, context, priced=isinstance(options.get("price"), int | float))
    if options.get("measured") is not None and len(devices) > 1:
        raise UsageError("--measured is the speed of one GPU", hint="name that GPU alone, or give --mfu for all")
    found: list[tuple[Plan, GpuChoice]] = []
    left_out: list[Notice] = []
    errors: list[ScaleplanError] = []
    for device in devices:
        try:
            found.append(question.answer(device))
        except ScaleplanError as error:
            errors.append(error)
            left_out.append(Notice(code="left_out", message=f"{device.id} is left out: {error.message}"))
    if not found:
        raise errors[0]
    return _comparison(question, found, left_out, sort)


def _devices(names: Sequence[str], vendor: str | None, context: Context, *, priced: bool) -> list[Accelerator]:
    """Return the GPUs to compare: those named, or those with a price and a peak, of a vendor or of all."""
    if names:
        if vendor is not None:
            raise UsageError("--vendor chooses among all GPUs, and some are named", hint="give one of them")
        return list({device.id: device for device in map(context.accelerators.get, names)}.values())
    usable = [device for device in context.accelerators.of_vendor(vendor) if device.peaks]
    with_price = [device for device in usable if context.prices.has_price(device.id)]
    found = usable if priced and vendor is not None else with_price or usable
    if not found:
        raise UsageError(f"no GPU of {vendor} has a published peak", hint="name GPUs, such as h100-sxm")
    return found


_ANSWER: Mapping[str, Callable[..., Plan]] = {"run": loss_of, "loss": target, "budget": optimal}
"""The function that answers for one GPU, by the goal."""

_BESIDE = {
    "run": ("--params with --tokens", ("flops", "gpu_hours", "limit")),
    "loss": ("--loss", ("flops", "gpu_hours", "params", "tokens", "model")),
    "budget": ("a budget", ()),
}
"""What a question is by its options, and those that would make it another one."""


def _goal(options: Mapping[str, Any]) -> str:
    """Return the goal of the options: a ``run``, a ``loss`` or a ``budget``; raises UsageError for two of them."""
    given = {name for name, value in options.items() if value not in (None, False, ())}
    for name in ("gpu", "shape", "style", "batch"):
        if name in given:
            raise UsageError(f"--{name} says nothing about a comparison of GPUs", hint="leave it out")
    run = "tokens" in given and not given.isdisjoint(("params", "model"))
    goal = "loss" if "loss" in given else "run" if run else "budget"
    what, others = _BESIDE[goal]
    for name in others:
        if name in given:
            raise UsageError(f"--{name.replace('_', '-')} is another question beside {what}", hint="give one of them")
    return goal


_LEFT = ("region", "context", "margins", "model")
"""The options that mean something only with devices or a model, or are no part of a plan."""


class _Question:
    """The question that each GPU answers: a run, a loss to reach, or a budget to spend."""

    def __init__(
        self, options: dict[str, Any], context: Context, *, goal: str, function: Callable[..., Plan]
    ) -> None:
        self.options, self.context, self.goal, self._function = options, context, goal, function
        self.request = Request.of({name: value for name, value in options.items() if name != "loss"}, context)
        self.model = Planner.of(self.request, context).model
        self.grid = None if self.request.region is None else context.grids.get(self.request.region)
        spent = ("flops", "gpu_hours", "cost", "time")
        forms = [form for form in spent if getattr(self.request, form) is not None]
        self.budget = None if goal != "budget" or not forms else forms[0]
        amount: float | None = None if self.budget is None else getattr(self.request, self.budget)
        if amount is not None and self.budget == "time":
            amount /= SECONDS_PER_DAY
        self.budget_amount = amount

    def plan(self, device: Accelerator, gpus: int | None) -> Plan:
        """Return the plan on a GPU: on some of them, or on as many as the question says."""
        options = {name: value for name, value in self.options.items() if name not in _LEFT}
        if self.model is not None:
            options |= {"model": self.model, "context": self.options.get("context")}
        if gpus is not None:
            options["gpus"] = gpus
        if options.get("gpus") is not None or options.get("time") is not None:
            options["margins"] = self.options.get("margins")
        return self._function(**options, gpu=device.id, data=self.context)

    def answer(self, device: Accelerator) -> tuple[Plan, GpuChoice]:
        """Return the plan on a GPU and its row; raises ScaleplanError where there is none."""
        source: str | None = "given"
        plan = self.plan(device, None)
        held = self._held(plan)
        if self.request.gpus is None and plan.budget.deadline is not None:
            source = "deadline" if plan.budget.deadline.memory_gpus is None else "memory"
        if plan.budget.gpus is None:
            source = None
            for _ in range(_ROUNDS):
                if held is None or held.fewest is None or held.fewest == plan.budget.gpus:
                    break
                source, plan = "memory", self.plan(device, held.fewest)
                held = self._held(plan)
        return plan, self._row(plan, device, held, source)

    def _held(self, plan: Plan) -> Holding | None:
        return holding(plan, self.request, self.model, self.context)

    def _row(self, plan: Plan, device: Accelerator, held: Holding | None, source: str | None) -> GpuChoice:
        budget = plan.budget
        known = {item.name: getattr(budget, item.name) for item in fields(GpuChoice) if hasattr(budget, item.name)}
        carbon = {name: value for name, value in carbon_of(budget, self.grid).items() if name.startswith("carbon")}
        fits = None if held is None else held.fits
        if held is not None and held.fewest is None:
            fits = False
        return GpuChoice(
            **{**known, **carbon},
            gpus_source=source,
            fits=fits,
            fewest_gpus=None if held is None else held.fewest,
            memory_bytes=device.memory_bytes,
            flops=plan.flops,
            params=plan.params,
            tokens=plan.tokens,
            loss=plan.loss,
            chances=plan.chances,
            warnings=plan.warnings,
        )


def _comparison(
    question: _Question, found: list[tuple[Plan, GpuChoice]], left_out: list[Notice], sort: str | None
) -> GpuComparison:
    """Return the comparison of the answers, sorted."""
    buys = question.budget not in (None, "flops")
    usual = ("loss", "cost") if buys else ("cost", "gpu_hours")
    order = sort or next((name for name in usual if any(getattr(row, name) is not None for _, row in found)), "cost")

    def place(row: GpuChoice) -> tuple[bool, float]:
        value = getattr(row, order)
        return value is None, value or 0.0

    if sort is not None and all(getattr(row, sort) is None for _, row in found):
        raise UsageError(
            f"--sort {sort} needs what is known of no GPU here", hint=_KNOWN_BY.get(sort, _ANOTHER_ORDER)
        )
    first, grid = found[0][0], question.grid
    rows = sorted((row for _, row in found), key=place)
    deadline, level = first.budget.deadline, first.budget.interval_level
    return GpuComparison(
        goal=question.goal,
        preset=first.preset,
        loss_unit=first.loss_unit,
        budget=question.budget,
        sort=order,
        deadline_days=None if deadline is None else deadline.days,
        interval_level=level,
        grid=None if grid is None else grid.code,
        grid_g_co2_per_kwh=None if grid is None else grid.g_co2_per_kwh,
        grid_year=None if grid is None else grid.year,
        compared=tuple(rows),
        warnings=(*left_out, *_together(rows)),
        budget_amount=question.budget_amount,
    )


def _together(rows: Sequence[GpuChoice]) -> Iterator[Notice]:
    """Yield the warnings of several GPUs, each cause once; that a model does not fit stands in its row."""
    causes: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for notice in row.warnings:
            if notice.code != "does_not_fit":
                causes.setdefault(notice.code, {}).setdefault(notice.message, []).append(row.gpu)
    for code, messages in causes.items():
        of_some = {message: those for message, those in messages.items() if len(those) < len(rows)}
        yield from (Notice(code=code, message=message) for message in messages if message not in of_some)
        if not of_some:
            continue
        (message, those), *others = of_some.items()
        if code in _ALIKE and others:
            several = ", ".join(dict.fromkeys(gpu for those in of_some.values() for gpu in those))
            name = rf"(?<![\w-]){re.escape(those[0])}(?![\w-])"  # an id may be a part of other words
            yield Notice(code=code, message=several.join(re.split(name, message)))
        elif others:
            also = ", ".join(dict.fromkeys(gpu for _, gpus in others for gpu in gpus))
            yield Notice(code=code, message=f"{', '.join(those)}: {message} (similar on {also})")
        else:
            yield Notice(code=code, message=message)
