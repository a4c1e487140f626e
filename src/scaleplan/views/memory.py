"""The memory of a device for people: by what it holds, and how the model is divided."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from scaleplan.formats.report import Fact, Report
from scaleplan.quantities import format_fraction, format_gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.models.memory import Memory, Parallel
    from scaleplan.models.needs import Needs

__all__ = ["memory_facts", "memory_report", "parallel_text"]

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
