"""Show the memory of a device: what takes it, what other ways to train would need."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from scaleplan.output import Fact, Report, ReportTable
from scaleplan.units import (
    GIGA,
    counted,
    format_count,
    format_factor,
    format_fraction,
    format_gigabytes,
    format_plain,
    format_range,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.models.margins import Margins
    from scaleplan.models.memory import Memory, Parallel
    from scaleplan.models.memory_summary import MemorySummary, Unsaid

__all__ = ["memory_facts", "memory_report", "parallel_text", "room_text"]

_LABELS = {"gathered": "gathered layers", "cache": "keys and values", "copies": "copies", "overhead": "framework"}
"""What the parts of a memory are called where the name of the field does not say it; they are shown last."""


_MEASURED = {"allocated": "allocated", "reserved": "reserved", "device_used": "as a driver shows it"}
"""What programs and drivers tell, by the fields of an answer."""


_UPCAST = ", norms and stream in fp32 or not"


def memory_facts(memory: Memory) -> Iterator[Fact]:
    """Yield the memory of a device, part by part."""
    names = [item.name for item in fields(memory) if item.name not in {"total", *_LABELS}]
    for name in (*names, *_LABELS):
        value = getattr(memory, name)
        if value:
            yield Fact(
                _LABELS.get(name, name),
                format_gigabytes(value / GIGA),
                unit=format_fraction(value / memory.total, digits=2),
            )


def parallel_text(parallel: Parallel) -> str:
    """Return how devices divide a model, in one line."""
    if parallel.devices == 1:
        return "one GPU"
    ways = {name: getattr(parallel, name) for name in ("tensor", "pipeline", "context", "expert")}
    parts = [f"{parallel.data} data", *(f"{many} {name}" for name, many in ways.items() if many > 1)]
    if parallel.virtual > 1:
        parts.append(f"{parallel.virtual} chunks a stage")
    sharing = ("nothing shared", "optimizer shared (ZeRO 1)", "ZeRO 2", "fully sharded (ZeRO 3)")
    groups = f" within each of {parallel.groups} groups" if parallel.groups > 1 else ""
    return f"{' x '.join(parts)}, {sharing[parallel.zero]}{groups}"


def memory_report(needs: MemorySummary) -> Report:
    """Return what training, or serving, a model needs of each device."""
    return Report(
        title=_memory_title(needs),
        facts=[*memory_facts(needs.memory)],
        remarks=[*_memory_remarks(needs)],
        sections=[_worth_section(needs)] if needs.worth else [],
    )


def _worth_section(needs: MemorySummary) -> Report:
    """Return what other ways to train would need of the same devices."""
    columns: tuple[str, ...] = ("with", "each GPU", "fits")
    rows: list[tuple[str, ...]] = [
        (way.options, format_gigabytes(way.total / GIGA), "yes" if way.fits else "no") for way in needs.worth
    ]
    if needs.fits is None:
        rows, columns = [row[:2] for row in rows], columns[:2]
    more = "" if needs.gpu is None else "; --ways compares all that are usual, with hours and cost"
    table = ReportTable(columns, rows=rows, text={"with", "fits"})
    return Report(title=f"the same layout and micro-batch with other choices{more}", grid=table)


def _memory_title(needs: MemorySummary) -> str:
    """Return the answer in one line: on how many devices it fits, or not."""
    held = format_gigabytes(needs.memory.total / GIGA)
    of = f" of {format_gigabytes(needs.memory_bytes / GIGA)}" if needs.memory_bytes else ""
    purpose = "to train" if needs.parallel is not None else "to serve"
    if needs.fits is None:
        return f"{needs.model} {purpose}: {held}{of} on each GPU"
    devices = f"{needs.gpus:,} x {needs.gpu}"
    fewest = needs.fewest_devices
    if not needs.fits:
        need = f"it needs {fewest:,}" if fewest and fewest > needs.gpus else ""
        never = "no number of them is enough" if needs.parallel is not None and fewest is None else ""
        why = f"; {need or never}" if need or never else ""
        nearest = "the nearest layout needs " if needs.parallel is not None else ""
        return f"{needs.model} does not fit {devices} {purpose}{why}: {nearest}{held}{of} on each GPU"
    if fewest == needs.gpus and fewest > 1:
        return f"{needs.model} needs {devices} {purpose}, it does not fit on {fewest - 1:,}: {held}{of} on each GPU"
    if needs.idle_devices:
        devices = f"{needs.gpus - needs.idle_devices:,} of {devices}"
    return f"{needs.model} fits on {devices} {purpose}: {held}{of} on each GPU"


def _unsaid_remark(unsaid: Unsaid) -> Iterator[str]:
    """Yield between what the answer is, where choices that are not made change what is shown of it."""
    between = format_range(unsaid.least / GIGA, unsaid.most / GIGA, format_gigabytes)
    if between != format_gigabytes(unsaid.least / GIGA):
        yield (
            f"{between} allocated by the trainer: kernels and loss fused or not"
            f"{_UPCAST if unsaid.upcast else ''}; --trainer says which, or --kernels and --loss"
        )


def _memory_remarks(needs: MemorySummary) -> Iterator[str]:
    if needs.parallel is not None:
        yield from _training_remarks(needs, needs.parallel)
    if needs.sequences is not None:
        yield f"{counted(needs.sequences, 'sequence')} of {needs.sequence:,} tokens at once; --context, --sequences"
    if needs.weight_bits is not None:
        stored = f" ({needs.quantization}; tables, norms and head 16)" if needs.quantization else ""
        yield f"weights of {format_plain(needs.weight_bits, digits=3)} bits{stored}"
    if needs.bands is not None:
        known = {name: getattr(needs, name) for name in _MEASURED}
        yield (
            ", ".join(
                f"{format_gigabytes(value / GIGA)} {_MEASURED[name]} "
                f"(±{format_fraction(getattr(needs.bands, name), digits=2)})"
                for name, value in known.items()
                if value is not None
            )
            + "; four of five within"
        )
    if needs.unsaid is not None:
        yield from _unsaid_remark(needs.unsaid)
    if needs.excess is not None:
        yield f"too large: {needs.excess.text}"
    if needs.ways_out:
        yield f"it fits with {', or '.join(needs.ways_out)}"
    if needs.unified_memory:
        shared = f"the memory of {needs.gpu} is shared with the processor and the system"
        yield f"{shared}: offloading frees nothing, and --margins leaves them room"
    if needs.excess is not None and needs.margins is not None:
        yield _margins_text(needs.margins, serving=needs.parallel is None)


def _training_remarks(needs: MemorySummary, parallel: Parallel) -> Iterator[str]:
    """Yield the layout of a training, and what is trained."""
    idle = f"; {needs.idle_devices:,} idle" if needs.idle_devices else ""
    yield f"{parallel_text(parallel)}{idle}"
    if needs.micro_batch is not None:
        most = room_text(needs.largest_micro_batch, needs.micro_batch, before=", ")
        flight = f", {needs.in_flight} in flight" if needs.in_flight else ""
        states = f"; states: {needs.states}" if needs.states else ""
        yield (
            f"micro-batch of {needs.micro_batch} x {needs.sequence:,} tokens{most}{flight}; "
            f"recomputation: {needs.recompute}{states}"
        )
    if needs.method is not None and needs.states is None:
        yield f"trained: {needs.method.text}"
    if needs.gpu is not None and needs.tokens_per_step is not None and needs.fits:
        sequences = needs.tokens_per_step // needs.sequence
        yield f"a step: {counted(sequences, 'sequence')}, {format_count(needs.tokens_per_step)} tokens"
    if needs.fewest_devices is not None:
        yield f"fewest GPUs that hold these states, by any layout: {needs.fewest_devices:,}"


def room_text(largest: int | None, micro_batch: int, *, before: str) -> str:
    """Return up to how many sequences a device could take at once, where that is more than it takes."""
    return f"{before}up to {largest} would fit" if largest and largest > micro_batch else ""


def _margins_text(margins: Margins, *, serving: bool) -> str:
    """Return the margins of a check of memory, with the option that sets them."""
    states, usable = (format_fraction(share, digits=2) for share in (margins.states, margins.usable))
    reserve = f"{format_gigabytes(margins.reserve / GIGA)} for the framework; --margins sets them"
    if serving:
        return f"margins: all parts up to {usable} of a GPU, {reserve}"
    return (
        f"margins: states up to {states} of a GPU, all parts up to {usable}, activations counted "
        f"{format_factor(margins.activations, digits=3)}, {reserve}"
    )
