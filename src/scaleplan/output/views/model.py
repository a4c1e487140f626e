"""Show a model, a shape, the memory of a device, and the training run of a plan."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from scaleplan.output import Fact, Report, ReportTable
from scaleplan.output.views.bill import bill_section
from scaleplan.units import (
    GIGA,
    counted,
    format_count,
    format_fraction,
    format_gigabytes,
    format_number,
    format_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.hardware.budget import Budget
    from scaleplan.models.layout import MemorySummary
    from scaleplan.models.margins import Margins
    from scaleplan.models.memory import Memory, Parallel
    from scaleplan.models.model import ModelBody, ModelSummary
    from scaleplan.models.shape import ShapeSizes, ShapeSummary
    from scaleplan.planning.training_run import TrainingRun

__all__ = ["body_report", "memory_report", "model_report", "run_sections", "shape_report"]

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
        remarks=(*_remarks(model), *_state(model), *model.notes),
        sections=(
            Report(
                title=f"training FLOP per token, at a context of {model.context:,}",
                grid=ReportTable(("counted as", "FLOP", "of 6N"), rows=rows, text={"counted as"}),
            ),
        ),
    )


def body_report(model: ModelBody) -> Report:
    """Return the counts of a model without its vocabulary."""
    facts = [
        Fact("non-embedding", f"{model.non_embedding_params:,}", unit=format_count(model.non_embedding_params)),
        Fact("active non-embedding", f"{model.active_non_embedding_params:,}"),
        Fact("each row of the vocabulary adds", f"{model.table_params_per_row:,}"),
    ]
    if model.active_non_embedding_params == model.non_embedding_params:
        del facts[1]
    head = "tied to" if model.tied_embeddings else "apart from"
    remarks = [f"the vocabulary is not known; its table is {head} the output head", *model.notes]
    return Report(title=f"{model.source}: {model.family}, {_dimensions(model)}", facts=facts, remarks=remarks)


def _dimensions(model: ModelSummary | ModelBody) -> str:
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


def _state(model: ModelSummary) -> Iterator[str]:
    """Yield the states that do not grow with the sequence, if there are any."""
    if model.state_bytes_per_sequence:
        yield f"states: {model.state_bytes_per_sequence:,.0f} bytes per sequence of any length at 16 bits"


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
                format_gigabytes(value / GIGA),
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
    groups = f" within each of {parallel.groups} groups" if parallel.groups > 1 else ""
    return f"{' x '.join(parts)}, {sharing[parallel.zero]}{groups}"


def memory_report(needs: MemorySummary) -> Report:
    """Return what training, or serving, a model needs of each device."""
    return Report(title=_memory_title(needs), facts=[*_memory_facts(needs.memory)], remarks=[*_memory_remarks(needs)])


def _memory_title(needs: MemorySummary) -> str:
    """Return the answer in one line: on how many devices it fits, or not."""
    held = format_gigabytes(needs.memory.total / GIGA)
    of = f" of {format_gigabytes(needs.memory_bytes / GIGA)}" if needs.memory_bytes else ""
    purpose = "to train" if needs.parallel is not None else "to serve"
    if needs.fits is None:
        return f"{needs.model} {purpose}: {held}{of} on each device"
    devices = f"{needs.gpus:,} x {needs.gpu}"
    fewest = needs.fewest_devices
    if not needs.fits:
        need = f"it needs {fewest:,}" if fewest and fewest > needs.gpus else ""
        never = "no number of them is enough" if needs.parallel is not None and fewest is None else ""
        why = f"; {need or never}" if need or never else ""
        nearest = "the nearest layout needs " if needs.parallel is not None else ""
        return f"{needs.model} does not fit {devices} {purpose}{why}: {nearest}{held}{of} on each device"
    if fewest == needs.gpus and fewest > 1:
        return (
            f"{needs.model} needs {devices} {purpose}, it does not fit on {fewest - 1:,}: {held}{of} on each device"
        )
    if needs.idle_devices:
        devices = f"{needs.gpus - needs.idle_devices:,} of {devices}"
    return f"{needs.model} fits on {devices} {purpose}: {held}{of} on each device"


def _memory_remarks(needs: MemorySummary) -> Iterator[str]:
    if needs.parallel is not None:
        idle = f"; {needs.idle_devices:,} idle" if needs.idle_devices else ""
        yield f"{_parallel_text(needs.parallel)}{idle}"
    if needs.micro_batch is not None:
        most = _room(needs.largest_micro_batch, needs.micro_batch, before=", ")
        flight = f", {needs.in_flight} in flight" if needs.in_flight else ""
        yield (
            f"micro-batch of {needs.micro_batch} x {needs.sequence:,} tokens{most}{flight}; "
            f"recomputation: {needs.recompute}; states: {needs.states}"
        )
    if needs.gpu is not None and needs.tokens_per_step is not None and needs.fits:
        sequences = needs.tokens_per_step // needs.sequence
        yield f"a step: {counted(sequences, 'sequence')}, {format_count(needs.tokens_per_step)} tokens"
    if needs.fewest_devices is not None:
        yield f"fewest devices that hold these states, by any layout: {needs.fewest_devices:,}"
    if needs.weight_bits is not None:
        stored = f" ({needs.quantization} of the config; tables, norms and head 16)" if needs.quantization else ""
        yield f"weights of {needs.weight_bits:.3g} bits{stored}"
    if needs.excess is not None:
        yield f"too large: {needs.excess.text}"
    if needs.ways_out:
        yield f"it fits with {', or '.join(needs.ways_out)}"
    if needs.unified_memory:
        yield f"the memory of {needs.gpu} is shared with the processor and the system; --margins leaves them room"
    if needs.excess is not None and needs.margins is not None:
        yield _margins_text(needs.margins, serving=needs.parallel is None)


def _room(largest: int | None, micro_batch: int, *, before: str) -> str:
    """Return up to how many sequences a device could take at once, where that is more than it takes."""
    return f"{before}up to {largest} would fit" if largest and largest > micro_batch else ""


def _margins_text(margins: Margins, *, serving: bool) -> str:
    """Return the margins of a check of memory, with the option that sets them."""
    states, usable = (format_fraction(share, digits=2) for share in (margins.states, margins.usable))
    reserve = f"{format_gigabytes(margins.reserve / GIGA)} for the framework; --margins sets them"
    if serving:
        return f"margins: all parts up to {usable} of a device, {reserve}"
    return (
        f"margins: states up to {states} of a device, all parts up to {usable}, activations counted x "
        f"{margins.activations:g}, {reserve}"
    )


def run_sections(run: TrainingRun, budget: Budget) -> Iterator[Report]:
    """Yield the sections of a run: its schedule, the memory of a device, the bill."""
    yield Report(title="the run", facts=[*_schedule(run)])
    if run.layout is not None:
        layout = run.layout
        use = f"{format_gigabytes(layout.memory.total / GIGA)} of {format_gigabytes(layout.memory_bytes / GIGA)}"
        many = layout.parallel.devices
        who = "the device" if many == 1 else f"each of {many:,} devices"
        yield Report(title=f"{who} holds {use}", facts=[*_memory_facts(layout.memory)])
    elif run.closest is not None:
        layout = run.closest
        use = f"{format_gigabytes(layout.memory.total / GIGA)} of {format_gigabytes(layout.memory_bytes / GIGA)}"
        yield Report(
            title=f"no layout fits: the nearest needs {use} on each device",
            facts=[*_memory_facts(layout.memory)],
            remarks=[
                f"{_parallel_text(layout.parallel)}; recomputation: {layout.recompute}; states: {layout.states}"
            ],
        )
    if run.bill is not None:
        yield bill_section(budget, run.bill)


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
        idle = f"; {layout.idle_devices:,} idle" if layout.idle_devices else ""
        yield Fact("layout", f"{_parallel_text(layout.parallel)}{idle}", prose=True)
        flight = f", {layout.in_flight} in flight" if layout.in_flight else ""
        micro = f"{layout.micro_batch} of {run.sequence:,} tokens, {layout.accumulation} a step{flight}"
        most = _room(layout.largest_micro_batch, layout.micro_batch, before="; ")
        yield Fact("micro-batch", f"{micro}{most}", prose=True)
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
