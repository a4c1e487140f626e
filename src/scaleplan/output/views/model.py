"""Show a model, a shape, the memory of a device, and the training run of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.output import Fact, Report, ReportTable
from scaleplan.output.views.bill import bill_section
from scaleplan.output.views.memory import memory_facts, parallel_text, room_text
from scaleplan.units import (
    GIGA,
    counted,
    format_change,
    format_count,
    format_days,
    format_fraction,
    format_gigabytes,
    format_number,
    format_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.models.model import ModelBody, ModelSummary
    from scaleplan.models.shape import ShapeSizes, ShapeSummary
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.training_run import TrainingRun
    from scaleplan.trainers.stated_run import StatedRun

__all__ = ["body_report", "model_report", "run_sections", "shape_report"]


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
        remarks=(*_remarks(model), *_state(model), *stated_run(model.training), *model.notes),
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
    remarks = [f"the vocabulary is not known; its table is {head} the output head", *stated_run(model.training)]
    remarks += model.notes
    return Report(title=f"{model.source}: {model.family}, {_dimensions(model)}", facts=facts, remarks=remarks)


def stated_run(run: StatedRun | None) -> Iterator[str]:
    """Yield what a training config says about its run: a step, the length, the devices, and what is open."""
    if run is None:
        return
    many = f"{run.sequences_per_step:,.0f} " if run.sequences_per_step else ""
    step = [f"{many}sequences" if many or run.sequence else ""]
    step += [f"of {run.sequence:,} tokens" if run.sequence else ""]
    step += [f"({format_count(run.tokens_per_step)} tokens a step)" if run.tokens_per_step else ""]
    length = [f"{run.steps:,} steps" if run.steps else "", f"{format_count(run.tokens)} tokens" if run.tokens else ""]
    degrees = {"data": run.data_parallel, "tensor": run.tensor_parallel, "pipeline": run.pipeline_parallel}
    shares = [f"{degree} {name}" for name, degree in degrees.items() if degree and degree > 1]
    devices = f"{run.gpus:,} GPUs" + (f" ({' x '.join(shares)})" if shares else "") if run.gpus else ""
    parts = [" ".join(filter(None, step)), *length, devices]
    if any(parts):
        yield f"{run.trainer}: {', '.join(filter(None, parts))}"
    yield from run.open


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
        format_change(shape.error),
        *map(str, dimensions),
        format_number(shape.flops_per_token),
    )


def run_sections(run: TrainingRun, plan: Plan) -> Iterator[Report]:
    """Yield the sections of the run of a plan: its schedule, the memory of a device, the bill."""
    yield Report(title="the run", facts=[*_schedule(run)])
    if run.layout is not None:
        layout = run.layout
        use = f"{format_gigabytes(layout.memory.total / GIGA)} of {format_gigabytes(layout.memory_bytes / GIGA)}"
        many = layout.parallel.devices
        who = "the GPU" if many == 1 else f"each of {many:,} GPUs"
        yield Report(title=f"{who} holds {use}", facts=[*memory_facts(layout.memory)])
    elif run.closest is not None:
        layout = run.closest
        use = f"{format_gigabytes(layout.memory.total / GIGA)} of {format_gigabytes(layout.memory_bytes / GIGA)}"
        yield Report(
            title=f"no layout fits: the nearest needs {use} on each GPU",
            facts=[*memory_facts(layout.memory)],
            remarks=[f"{parallel_text(layout.parallel)}; recomputation: {layout.recompute}; states: {layout.states}"],
        )
    if run.bill is not None:
        yield bill_section(plan.budget, run.bill, chances=plan.chances)


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
        yield Fact("layout", f"{parallel_text(layout.parallel)}{idle}", prose=True)
        flight = f", {layout.in_flight} in flight" if layout.in_flight else ""
        micro = f"{layout.micro_batch} of {run.sequence:,} tokens, {layout.accumulation} a step{flight}"
        most = room_text(layout.largest_micro_batch, layout.micro_batch, before="; ")
        yield Fact("micro-batch", f"{micro}{most}", prose=True)
        yield Fact("recomputation", f"{layout.recompute}; states: {layout.states}", prose=True)
    elif run.fits is False and run.fewest_devices is not None:
        yield Fact("layout", f"none fits; {counted(run.fewest_devices, 'GPU')} would do", prose=True)
    elif run.fewest_devices is not None:
        yield Fact("GPUs", f"{run.fewest_devices:,} or more", prose=True)
    step = f" of {format_seconds(run.step_seconds)}" if run.step_seconds is not None else ""
    per_step = format_count(run.tokens_per_step)
    yield Fact("steps", f"{run.steps:,}{step}, {per_step} tokens each", prose=True)
    yield Fact("", f"batch: {run.batch_source}", prose=True)
    least = run.least_time
    if least is not None:
        devices = f"; the batch feeds {counted(least.most_devices, 'GPU')}"
        yield Fact("least time", f"{format_days(least.days)}, by {least.binds}{devices}", prose=True)
