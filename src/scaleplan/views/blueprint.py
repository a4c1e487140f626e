"""The run of a plan for people: architecture, layout, schedule and bill, below the plan itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.formats.report import Fact, Report
from scaleplan.quantities import (
    format_count,
    format_fraction,
    format_gigabytes,
    format_hours,
    format_kilograms,
    format_kwh,
    format_number,
    format_seconds,
    format_usd,
)
from scaleplan.views.memory import memory_facts, parallel_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scaleplan.hardware.bill import Bill
    from scaleplan.hardware.budget import Budget
    from scaleplan.planning.blueprint import Blueprint
    from scaleplan.planning.plan import Plan

__all__ = ["with_blueprint"]

_GIGA = 1e9


def with_blueprint(report: Report, plan: Plan) -> Report:
    """Return the report of a plan with the sections of its run."""
    blueprint = plan.blueprint
    assert blueprint is not None
    sections = [Report(title="the run", facts=tuple(_schedule(blueprint)))]
    if blueprint.layout is not None:
        layout = blueprint.layout
        use = f"{format_gigabytes(layout.memory.total / _GIGA)} of {format_gigabytes(layout.memory_bytes / _GIGA)}"
        sections.append(Report(title=f"each device holds {use}", facts=tuple(memory_facts(layout.memory))))
    if blueprint.bill is not None:
        facts = tuple(_bill(plan.budget, blueprint.bill))
        band = f" (x/÷ {blueprint.bill.factor:g})" if blueprint.bill.factor else ""
        sections.append(Report(title=f"the bill{band}", facts=facts, remarks=tuple(_dates(blueprint.bill))))
    return replace(report, sections=(*report.sections, *sections))


def _schedule(blueprint: Blueprint) -> Iterator[Fact]:
    a = blueprint.architecture
    groups = f", {a['kv_heads']} kv heads" if a["kv_heads"] != a["heads"] else ""
    sizes = f"{a['family']}, {a['layers']} layers of {a['width']}, {a['heads']} heads{groups}"
    yield Fact(label="architecture", value=f"{sizes}, inner width {a['expert_width'] or a['ffn_width']}", prose=True)
    params = a["params"]
    assert isinstance(params, int)
    yield Fact(label="parameters", value=f"{params:,}, vocabulary {a['vocab']}", prose=True)
    if blueprint.layout is not None:
        layout = blueprint.layout
        yield Fact(label="layout", value=parallel_text(layout.parallel), prose=True)
        micro = f"{layout.micro_batch} of {blueprint.sequence:,} tokens, {layout.accumulation} a step"
        yield Fact(label="micro-batch", value=f"{micro}; up to {layout.largest_micro_batch} would fit", prose=True)
        yield Fact(label="recomputation", value=f"{layout.recompute}; states: {layout.states}", prose=True)
    elif blueprint.fits is False and blueprint.fewest_devices is not None:
        yield Fact(label="layout", value=f"none fits; {blueprint.fewest_devices:,} devices would do", prose=True)
    elif blueprint.fewest_devices is not None:
        yield Fact(label="devices", value=f"{blueprint.fewest_devices:,} or more", prose=True)
    step = f" of {format_seconds(blueprint.step_seconds)}" if blueprint.step_seconds is not None else ""
    per_step = format_count(blueprint.tokens_per_step)
    yield Fact(label="steps", value=f"{blueprint.steps:,}{step}, {per_step} tokens each", prose=True)
    yield Fact(label="", value=f"batch: {blueprint.batch_source}", prose=True)
    least = blueprint.least_time
    if least is not None:
        devices = f"; the batch feeds {least.most_devices:,.0f} devices"
        yield Fact(
            label="least time", value=f"{format_number(least.days)} days, by {least.binds}{devices}", prose=True
        )


def _bill(budget: Budget, bill: Bill) -> Iterator[Fact]:
    rows: list[tuple[str, float | None, tuple[float, float] | None, Callable[[float], str]]] = [
        ("accelerator-hours", budget.gpu_hours, bill.gpu_hours, format_hours),
        ("days", budget.days, bill.days, format_number),
        ("money", budget.cost, bill.cost, format_usd),
        ("energy", budget.energy_kwh, bill.energy_kwh, format_kwh),
    ]
    for label, value, span, written in rows:
        if value is not None:
            low, high = (written(end) for end in span) if span and bill.factor else ("", "")
            yield Fact(label=label, value=written(value), low=low, high=high)
    if bill.carbon_kg is not None:
        yield Fact(label="carbon", value=format_kilograms(bill.carbon_kg))
    if budget.utilisation is not None and budget.goodput is not None and budget.mfu is not None:
        shares = f"{format_fraction(budget.mfu)} while training, {format_fraction(budget.goodput)} of the time"
        yield Fact(label="utilisation", value=format_fraction(budget.utilisation), unit=shares)


def _dates(bill: Bill) -> Iterator[str]:
    if bill.utilisation_date is not None:
        yield f"utilisation: defaults of {bill.utilisation_date}"
    if bill.price_date is not None:
        yield f"price: default of {bill.price_date}"
    if bill.grid is not None:
        yield f"carbon: {bill.grid}, {bill.grid_g_co2_per_kwh:g} g CO2e/kWh in {bill.grid_year}, location-based"
