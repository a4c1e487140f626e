"""A model, or a shape, for people: sizes first, then what a token costs, then the sizes of its parts.

The memory of a device for people: by what it holds, and how the model is divided.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from scaleplan.output.report import Fact, Report, ReportTable
from scaleplan.units import format_count, format_fraction, format_gigabytes, format_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.models.layout import Needs
    from scaleplan.models.memory import Memory, Parallel
    from scaleplan.models.model import Model
    from scaleplan.models.shape import Shape

__all__ = [
    "memory_facts",
    "memory_report",
    "model_facts",
    "model_report",
    "parallel_text",
    "shape_report",
    "sizes_text",
]


def model_report(model: Model) -> Report:
    """Return the counts of a model, its FLOP per token and its cache."""
    counts, flops = model.counts, model.flops
    facts = [
        Fact(label="parameters", value=f"{counts.params:,}", unit=format_count(counts.params)),
        Fact(label="active", value=f"{counts.active_params:,}", unit=format_count(counts.active_params)),
        Fact(label="non-embedding", value=f"{counts.non_embedding_params:,}"),
        Fact(label="embedding", value=f"{counts.embedding_params:,}", unit=_share(counts.embedding_params, model)),
    ]
    if counts.active_params == counts.params:
        del facts[1]
    costs = [
        ("6N", flops.six_n),
        ("with attention, all pairs", flops.full_attention),
        ("with attention, causal", flops.causal_attention),
        ("selective recomputation", flops.selective_recompute),
        ("full recomputation", flops.full_recompute),
    ]
    rows = tuple((name, format_number(value), format_number(value / flops.six_n)) for name, value in costs)
    return Report(
        title=f"{model.source}: {model.family}, {sizes_text(model)}",
        facts=tuple(facts),
        remarks=tuple(model_facts(model)),
        sections=(
            Report(
                title=f"training FLOP per token, at a context of {flops.context:,}",
                grid=ReportTable(columns=("counted as", "FLOP", "of 6N"), rows=rows, text=frozenset({"counted as"})),
            ),
        ),
    )


def sizes_text(model: Model) -> str:
    """Return depth, width and heads in one line."""
    a = model.architecture
    parts = [f"{a.layers} layers of {a.width}", f"{a.heads} heads of {a.score_size}"]
    if a.kv_heads != a.heads:
        parts.append(f"{a.kv_heads} kv heads")
    if a.ffn_width:
        parts.append(f"inner width {a.ffn_width}")
    if a.experts:
        parts.append(f"{a.experts.count} experts of {a.experts.width}, {a.experts.per_token} used")
    return ", ".join(parts)


def model_facts(model: Model) -> Iterator[str]:
    """Yield what stands below the sizes: vocabulary, cache, notes."""
    a = model.architecture
    yield f"vocabulary of {a.vocab:,}, {'tied to' if a.tied else 'apart from'} the output head"
    if model.kv_bytes_per_token:
        window = f"; {a.windowed_layers} layers keep no more than {a.window:,} tokens" if a.window else ""
        yield f"keys and values: {model.kv_bytes_per_token:,.0f} bytes per token of context at 16 bits{window}"
    yield from model.notes


def _share(part: float, model: Model) -> str:
    return format_fraction(part / model.params)


def shape_report(shape: Shape) -> Report:
    """Return a shape, its alternatives and the nearest published model."""
    rows = [_row("chosen", shape)]
    rows += [_row(name, other) for name, other in (("deeper", shape.deeper), ("wider", shape.wider)) if other]
    columns = ("", "parameters", "off", "layers", "width", "heads", "kv", "inner", "FLOP/token")
    remarks = list(model_facts(shape.model)) + list(shape.notes)
    if shape.published:
        near = shape.published
        remarks.append(
            f"nearest published: {near.name}, {format_count(near.params)}, {near.layers} layers of {near.width}, "
            f"{near.heads} heads ({near.source})"
        )
    return Report(
        title=f"{format_count(shape.target)} {shape.convention.replace('_', '-')} parameters, {shape.style} style",
        grid=ReportTable(columns=columns, rows=tuple(rows), text=frozenset({""})),
        remarks=tuple(remarks),
    )


def _row(name: str, shape: Shape) -> tuple[str, ...]:
    a = shape.model.architecture
    inner = a.experts.width if a.experts else a.ffn_width
    return (
        name,
        f"{shape.params:,}",
        f"{100 * shape.error:+.2f} %",
        str(a.layers),
        str(a.width),
        str(a.heads),
        str(a.kv_heads),
        str(inner),
        format_number(shape.model.flops_per_token),
    )


_GIGA = 1e9

_LABELS = {"gathered": "gathered layers", "cache": "keys and values", "overhead": "framework"}


def memory_facts(memory: Memory) -> Iterator[Fact]:
    """Yield what a device holds, part by part."""
    for item in fields(memory):
        value = getattr(memory, item.name)
        if value and item.name != "total":
            yield Fact(
                label=_LABELS.get(item.name, item.name),
                value=format_gigabytes(value / _GIGA),
                unit=format_fraction(value / memory.total, digits=2),
            )


def parallel_text(parallel: Parallel) -> str:
    """Return how devices divide a model, in words."""
    parts = [f"{parallel.data} data"]
    parts += [
        f"{getattr(parallel, name)} {name}"
        for name in ("tensor", "pipeline", "context", "expert")
        if getattr(parallel, name) > 1
    ]
    if parallel.virtual > 1:
        parts.append(f"{parallel.virtual} chunks a stage")
    sharing = {0: "nothing shared", 1: "optimizer shared (ZeRO 1)", 2: "ZeRO 2", 3: "fully sharded (ZeRO 3)"}
    ways = " x ".join(parts) if parallel.devices > 1 else "one device"
    return f"{ways}, {sharing[parallel.zero]}" if parallel.devices > 1 else ways


def memory_report(needs: Needs) -> Report:
    """Return what training, or serving, a model needs of each device."""
    remarks = []
    if needs.parallel is not None:
        remarks.append(parallel_text(needs.parallel))
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
        facts=tuple(memory_facts(needs.memory)),
        remarks=tuple(remarks),
    )
