"""Show a model, a shape, the memory of a device, and the training run of a plan."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from scaleplan.output import Fact, Report, ReportTable
from scaleplan.units import (
    counted,
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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scaleplan.hardware.budget import Bill, Budget
    from scaleplan.models.layout import MemorySummary
    from scaleplan.models.memory import Memory, Parallel
    from scaleplan.models.model import ModelSummary
    from scaleplan.models.shape import ShapeSizes, ShapeSummary
    from scaleplan.planning.training_run import TrainingRun

__all__ = ["memory_report", "model_report", "run_sections", "shape_report"]

_GIGA = 1e9

_LABELS = {"gathered": "gathered layers", "cache": "keys and values", "overhead": "framework"}


def model_report(model: ModelSummary) -> Report:
    """Return the counts of a model, its FLOP per token and its cache."""
    embedding_share = format_fraction(model.embedding_params / model.params)
    facts = [
        Fact("parameters", f"{model.params:,}", unit=format_count(model.params)),
        Fact("active", f"{model.active_params:,}", unit=format_count(model.active_params)),
        Fact("non-embedding", f"{model.non_embedding_params:,}"),
        Fact("embedding", f"{model.embedding_params:,}", unit=embedding_share),
    ]
    if model.active_params == model.params:
        del facts[1]
    costs = [
        ("6N", model.flops_per_token),
        ("with attention, all pairs", model.flops_per_token_full_attention),
        ("with attention, causal", model.flops_per_token_causal_attention),
        ("selective recomputation", model.flops_per_token_selective_recompute),
        ("full recomputation", model.flops_per_token_full_recompute),
    ]
    rows = tuple((name, format_number(value), format_number(value / model.flops_per_token)) for name, value in costs)
    return Report(
        title=f"{model.source}: {model.family}, {_dimensions(model)}",
        facts=facts,
        remarks=(*_remarks(model), *model.notes),
        sections=(
            Report(
                title=f"training FLOP per token, at a context of {model.context:,}",
                grid=ReportTable(("counted as", "FLOP", "of 6N"), rows=rows, text={"counted as"}),
            ),
        ),
    )


def _dimensions(model: ModelSummary) -> str:
    parts = [
        f"{counted(model.layers, 'layer')} of {model.width}",
        f"{counted(model.heads, 'head')} of {model.head_size}",
    ]
    if model.kv_heads != model.heads:
        parts.append(f"{model.kv_heads} kv heads")
    if model.ffn_width:
        parts.append(f"inner width {model.ffn_width}")
    if model.experts:
        parts.append(f"{counted(model.experts, 'expert')} of {model.expert_width}, {model.experts_per_token} used")
    return ", ".join(parts)


def _remarks(model: ModelSummary | ShapeSummary) -> Iterator[str]:
    """Yield vocabulary and cache."""
    yield f"vocabulary of {model.vocab:,}, {'tied to' if model.tied_embeddings else 'apart from'} the output head"
    if model.kv_bytes_per_token:
        layers = "layers with local attention" if model.windowed_layers is None else f"{model.windowed_layers} layers"
        window = f"; {layers} keep no more than {model.window:,} tokens" if model.window else ""
        yield f"keys and values: {model.kv_bytes_per_token:,.0f} bytes per token of context at 16 bits{window}"


def shape_report(shape: ShapeSummary) -> Report:
    """Return a shape, its alternatives and the nearest published model."""
    shapes = {"chosen": shape, "deeper": shape.deeper, "wider": shape.wider}
    columns = ("", "parameters", "off", "layers", "width", "heads", "kv", "inner", "FLOP/token")
    remarks = [*_remarks(shape), *shape.notes]
    if shape.nearest:
        near = shape.nearest
        remarks.append(
            f"nearest published: {near.name}, {format_count(near.params)}, {counted(near.layers, 'layer')} "
            f"of {near.width}, {counted(near.heads, 'head')} ({near.source})"
        )
    rows = [_row(name, sizes) for name, sizes in shapes.items() if sizes]
    return Report(
        title=f"{format_count(shape.target)} {shape.params_convention.replace('_', '-')} parameters, "
        f"{shape.style} style",
        grid=ReportTable(columns, rows=rows, text={""}),
        remarks=remarks,
    )


def _row(name: str, shape: ShapeSizes) -> tuple[str, ...]:
    inner = shape.ffn_width if shape.expert_width is None else shape.expert_width
    dimensions = (shape.layers, shape.width, shape.heads, shape.kv_heads, inner)
    return (
        name,
        f"{shape.params:,}",
        f"{100 * shape.error:+.2f} %",
        *map(str, dimensions),
        format_number(shape.flops_per_token),
    )


def _memory_facts(memory: Memory) -> Iterator[Fact]:
    """Yield the memory of a device, part by part."""
    for item in fields(memory):
        value = getattr(memory, item.name)
        if value and item.name != "total":
            yield Fact(
                _LABELS.get(item.name, item.name),
                format_gigabytes(value / _GIGA),
                unit=format_fraction(value / memory.total, digits=2),
            )


def _parallel_text(parallel: Parallel) -> str:
    """Return how devices divide a model, in one line."""
    if parallel.devices == 1:
        return "one device"
    ways = {name: getattr(parallel, name) for name in ("tensor", "pipeline", "context", "expert")}
    parts = [f"{parallel.data} data", *(f"{many} {name}" for name, many in ways.items() if many > 1)]
    if parallel.virtual > 1:
        parts.append(f"{parallel.virtual} chunks a stage")
    sharing = ("nothing shared", "optimizer shared (ZeRO 1)", "ZeRO 2", "fully sharded (ZeRO 3)")
    return f"{' x '.join(parts)}, {sharing[parallel.zero]}"


def memory_report(needs: MemorySummary) -> Report:
    """Return what training, or serving, a model needs of each device."""
    remarks = []
    if needs.parallel is not None:
        remarks.append(_parallel_text(needs.parallel))
    if needs.micro_batch is not None:
        most = f", up to {needs.largest_micro_batch} would fit" if needs.largest_micro_batch else ""
        remarks.append(
            f"micro-batch of {needs.micro_batch} x {needs.sequence:,} tokens{most}; "
            f"recomputation: {needs.recompute}; states: {needs.states}"
        )
    if needs.fewest_devices is not None:
        remarks.append(f"fewest devices, everything shared and recomputed: {needs.fewest_devices:,}")
    fits = "" if needs.fits is None else "; it fits" if needs.fits else "; it does not fit"
    of = f" of {format_gigabytes(needs.memory_bytes / _GIGA)}" if needs.memory_bytes else ""
    what = "to train" if needs.parallel is not None else "to serve"
    return Report(
        title=f"{needs.model} {what}: {format_gigabytes(needs.memory.total / _GIGA)}{of} on each device{fits}",
        facts=[*_memory_facts(needs.memory)],
        remarks=remarks,
    )


def run_sections(run: TrainingRun, budget: Budget) -> Iterator[Report]:
    """Yield the sections of a run: its schedule, the memory of a device, the bill."""
    yield Report(title="the run", facts=[*_schedule(run)])
    if run.layout is not None:
        layout = run.layout
        use = f"{format_gigabytes(layout.memory.total / _GIGA)} of {format_gigabytes(layout.memory_bytes / _GIGA)}"
        yield Report(title=f"each device holds {use}", facts=[*_memory_facts(layout.memory)])
    if run.bill is not None:
        band = f" (x/÷ {run.bill.factor:g})" if run.bill.factor else ""
        yield Report(title=f"the bill{band}", facts=[*_bill(budget, run.bill)], remarks=[*_dates(run.bill)])


def _schedule(run: TrainingRun) -> Iterator[Fact]:
    a = run.architecture
    groups = f", {a['kv_heads']} kv heads" if a["kv_heads"] != a["heads"] else ""
    sizes = f"{a['family']}, {a['layers']} layers of {a['width']}, {a['heads']} heads{groups}"
    yield Fact("architecture", f"{sizes}, inner width {a['expert_width'] or a['ffn_width']}", prose=True)
    params = a["params"]
    assert isinstance(params, int)
    yield Fact("parameters", f"{params:,}, vocabulary {a['vocab']}", prose=True)
    if run.layout is not None:
        layout = run.layout
        yield Fact("layout", _parallel_text(layout.parallel), prose=True)
        micro = f"{layout.micro_batch} of {run.sequence:,} tokens, {layout.accumulation} a step"
        yield Fact("micro-batch", f"{micro}; up to {layout.largest_micro_batch} would fit", prose=True)
        yield Fact("recomputation", f"{layout.recompute}; states: {layout.states}", prose=True)
    elif run.fits is False and run.fewest_devices is not None:
        yield Fact("layout", f"none fits; {counted(run.fewest_devices, 'device')} would do", prose=True)
    elif run.fewest_devices is not None:
        yield Fact("devices", f"{run.fewest_devices:,} or more", prose=True)
    step = f" of {format_seconds(run.step_seconds)}" if run.step_seconds is not None else ""
    per_step = format_count(run.tokens_per_step)
    yield Fact("steps", f"{run.steps:,}{step}, {per_step} tokens each", prose=True)
    yield Fact("", f"batch: {run.batch_source}", prose=True)
    least = run.least_time
    if least is not None:
        devices = f"; the batch feeds {counted(least.most_devices, 'device')}"
        yield Fact(
            "least time", f"{counted(format_number(least.days), 'day')}, by {least.binds}{devices}", prose=True
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
            yield Fact.of(label, value, written, span if bill.factor else None)
    if bill.carbon_kg is not None:
        yield Fact("carbon", format_kilograms(bill.carbon_kg))
    if budget.utilisation is not None and budget.goodput is not None and budget.mfu is not None:
        shares = f"{format_fraction(budget.mfu)} while training, {format_fraction(budget.goodput)} of the time"
        yield Fact("utilisation", format_fraction(budget.utilisation), unit=shares)


def _dates(bill: Bill) -> Iterator[str]:
    if bill.utilisation_date is not None:
        yield f"utilisation: defaults of {bill.utilisation_date}"
    if bill.price_date is not None:
        yield f"price: default of {bill.price_date}"
    if bill.grid is not None:
        yield f"carbon: {bill.grid}, {bill.grid_g_co2_per_kwh:g} g CO2e/kWh in {bill.grid_year}, location-based"
