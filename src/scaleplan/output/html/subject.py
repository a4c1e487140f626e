"""Gather the content of the HTML report: a request, its plan, and everything that is shown beside it."""

from __future__ import annotations

import platform
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaleplan.advice.sensitivity import sensitivity
from scaleplan.api import COMPARED
from scaleplan.charts.planning_plots import compare_chart
from scaleplan.charts.plots import PICTURES, ChartRequest
from scaleplan.errors import ScaleplanError
from scaleplan.output.html.what_if import what_if
from scaleplan.output.views.bill import power_text, price_text
from scaleplan.planning.context import Context
from scaleplan.planning.on_hardware import plan_budget
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import SWEPT, Request, option_names
from scaleplan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scaleplan.advice.sensitivity import Swing
    from scaleplan.charts.chart import Chart
    from scaleplan.output.html.what_if import WhatIf
    from scaleplan.planning.plan import Plan
    from scaleplan.presets.preset import Preset

__all__ = ["Subject", "gather"]

_HARDWARE = (*option_names("hardware"), "gpus")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Everything that a report shows.

    ``left_out`` has (law, reason) of the laws without a plan; ``sources`` has (figure, origin) of the figures that
    are not the law's; ``versions`` names the programs that computed the page. ``without_layout`` is why a
    plan on GPUs has no layout.
    """

    options: Mapping[str, Any]
    command: str
    plan: Plan
    limits: tuple[str, ...]
    without_layout: str | None
    what_if: WhatIf
    preset: Preset
    charts: tuple[Chart, ...]
    others: tuple[Plan, ...]
    left_out: tuple[tuple[str, str], ...]
    swings: tuple[Swing, ...]
    sources: tuple[tuple[str, str], ...]
    versions: str


def gather(options: Mapping[str, Any], *, typed: Mapping[str, Any] | None = None) -> Subject:
    """Plan the options of :func:`scaleplan.api.optimal`, and gather everything that a report adds.

    ``typed`` are the options as the command line has them, where a file of a model was read for ``options``.
    Raises ScaleplanError when there is no plan.
    """
    words = dict(sorted({**_DEFAULTS, **(typed or options)}.items(), key=_order))
    options = dict(sorted({**_DEFAULTS, **options}.items(), key=_order))
    context = Context()
    request = Request.of(options, context)
    drawn = [name for name in option_names("run", "memory") if name != "model"]
    if request.measured is not None:
        drawn.remove("batch")  # whose tokens are those of a measured step
    plain = request.changed(**{name: getattr(_NOTHING, name) for name in drawn})
    shown = ChartRequest.of(plain, context)
    plan = shown.plan or plan_budget(shown.planner, plain)  # without a budget the latter raises
    plan, without_layout = _with_layout(plan, request, drawn, context)
    others, left_out = _others(plain, plan, context)
    unshaped = {name: value for name, value in options.items() if name not in drawn}
    return Subject(
        options=words,
        command=command_text("report", words),
        plan=plan,
        limits=tuple(limit.text for limit in plain.limits()),
        without_layout=without_layout,
        what_if=what_if(shown.planner, plain, plan, command=_base_command(words, drawn, plain)),
        preset=shown.planner.preset,
        charts=tuple(_charts(shown, [other.preset for other in others])),
        others=others,
        left_out=left_out,
        swings=sensitivity(unshaped, plan, others, context),
        sources=tuple(_sources(plan, context)),
        versions=f"scaleplan {__version__}, Python {platform.python_version()}",
    )


def _base_command(words: Mapping[str, Any], drawn: Sequence[str], request: Request) -> str:
    """Return the command of a plan without what the page changes: the budget, the price, and what is drawn of it."""
    changed = {*drawn, *SWEPT, "price"} - ({"time"} if request.with_deadline().deadline else set())
    return command_text("optimal", {name: value for name, value in words.items() if name not in changed})


def _with_layout(plan: Plan, request: Request, drawn: Sequence[str], context: Context) -> tuple[Plan, str | None]:
    """Return the plan with its training run, or why it has none although it is on GPUs.

    A plan on a number of GPUs has it by default, any other where an option of the run requires it. One that is
    required must be possible; raises ScaleplanError otherwise.
    """
    wanted = any(getattr(request, name) for name in drawn)
    if not wanted and (plan.budget.gpu is None or plan.budget.gpus is None):
        return plan, None
    try:
        run = request.changed(shape=True)
        return plan_budget(Planner.of(run, context), run), None
    except ScaleplanError as error:
        if wanted:
            raise
        return plan, error.message


_NOTHING = Request()

_DEFAULTS = {"level": "0.9", "overhead": "0.05"}
"""Written out, so that the command gives the same answer under any settings."""


def _order(item: tuple[str, object]) -> tuple[int, str]:
    """Put the budget first, then the hardware, then the rest, whatever the order of the options."""
    name = item[0]
    groups = (*((each,) for each in SWEPT), _HARDWARE, ("preset",))
    return next((place for place, group in enumerate(groups) if name in group), len(groups)), name


def command_text(name: str, options: Mapping[str, Any]) -> str:
    """Return the command line of these options, quoted for a shell."""
    parts = ["scaleplan", name]
    for option, value in options.items():
        values = value if isinstance(value, list | tuple) else [value]
        for each in values:
            if each is True:
                parts.append(f"--{option.replace('_', '-')}")
            elif each not in (None, False):
                parts += [f"--{option.replace('_', '-')}", _typed(each)]
    return shlex.join(parts)


def _typed(value: object) -> str:
    """Return a value as it is typed; of a law or a model that was read, the file or the name that it came from."""
    origin = getattr(value, "origin", None) or getattr(value, "source", None)
    if isinstance(value, str | Path) or not isinstance(origin, str):
        return str(value) if isinstance(value, str | Path) else repr(value)
    return origin


def _others(request: Request, plan: Plan, context: Context) -> tuple[tuple[Plan, ...], tuple[tuple[str, str], ...]]:
    """Return the plans of the laws that ``compare`` shows, this one first, and why others are not among them."""
    counted = request.changed(count="total")
    found, left_out = [plan_budget(Planner.of(counted, context), counted)], []
    for preset in (each for each in COMPARED if each != plan.preset):
        try:
            found.append(plan_budget(Planner.of(counted.changed(preset=preset), context), counted))
        except ScaleplanError as error:
            left_out.append((preset, error.message))
    return tuple(found), tuple(left_out)


def _charts(shown: ChartRequest, laws: list[str]) -> Iterator[Chart]:
    """Yield the pictures that this law can give."""
    for kind in ("isoflop", "loss", "frontier", "cost", "compare"):
        try:
            if kind == "compare":
                planners = [shown.planner, *shown.other_laws(laws[1:])]
                yield compare_chart(planners, shown.budgets(), at=shown.flops)
            else:
                yield PICTURES[kind].draw(shown)
        except ScaleplanError:  # a law without a loss has no curves of it
            continue


def _sources(plan: Plan, context: Context) -> Iterator[tuple[str, str]]:
    """Yield where the figures of the hardware come from, with their dates."""
    budget = plan.budget
    if budget.gpu is None:
        return
    device = context.accelerators.get(budget.gpu)
    yield "peak", f"{device.name}, as of {device.as_of}: {'; '.join(device.sources)}"
    if budget.utilisation_source is not None:
        origin = "" if budget.band is None else f"; {context.utilisations.source}"
        yield "utilisation", budget.utilisation_source + origin
    if budget.price_per_hour is not None:
        yield "price", price_text(budget)
    if budget.chip_w is not None:
        measured = f"; {device.power_source}" if device.power_source else ""
        yield "power", power_text(budget) + measured
