"""The answer about the memory of each device, and what it says alike of training and serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from scaleplan.errors import Notice
from scaleplan.models.layout import Excess  # noqa: TC001  the types of a record are resolved
from scaleplan.models.margins import Margins  # noqa: TC001  the types of a record are resolved
from scaleplan.models.memory import Bands, Memory, Parallel, driver_context
from scaleplan.models.tuning import Method  # noqa: TC001  the types of a record are resolved
from scaleplan.record import Record, Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.models.model import Model

__all__ = ["SHORTEST", "MemorySummary", "Unsaid", "Worth", "about_context", "shown", "subject"]


class Worth(Record):
    """Another way to train, by the options that ask for it, and what a device needs then."""

    options: str
    total: float
    fits: bool | None


class Unsaid(Record):
    """Bytes of tensors by choices of a trainer that are not made: fused kernels and loss, or neither."""

    least: float
    most: float
    upcast: bool
    """Whether what is not quantised may be in fp32, too."""


class MemorySummary(Record, Result):
    """The memory of each GPU in bytes, by what it holds; None where it does not apply or is not known.

    A layout that does not fit is the one that needs the least, and ``excess`` is what is too large of it by how much;
    ``ways_out`` are options with which the same question is answered with a yes.
    """

    schema: ClassVar[str] = "scaleplan/memory/1"

    model: str
    params: int
    purpose: str
    gpu: str | None
    gpus: int
    memory_bytes: float | None
    fits: bool | None
    memory: Memory
    sequence: int
    sequences: int | None = None
    parallel: Parallel | None = None
    states: str | None = None
    recompute: str | None = None
    micro_batch: int | None = None
    largest_micro_batch: int | None = None
    accumulation: int | None = None
    fewest_devices: int | None = None
    weight_bits: float | None = None
    """Bits of a served weight, its share of the scales included."""
    quantization: str | None = None
    """How the config stores its weights, where that decided the bits."""
    in_flight: int | None = None
    idle_devices: int | None = None
    tokens_per_step: int | None = None
    margins: Margins | None = None
    excess: Excess | None = None
    ways_out: tuple[str, ...] = ()
    unified_memory: bool | None = None
    """Whether the processor and the system take their part of the memory of the device."""
    method: Method | None = None
    """What is trained, and how; None to serve."""
    allocated: float | None = None
    """Bytes of tensors at the peak, as ``max_memory_allocated`` has them."""
    reserved: float | None = None
    """Bytes that the allocator takes of the device for them, as ``max_memory_reserved`` has them."""
    device_used: float | None = None
    """Bytes that the driver shows: what is reserved, and its own context."""
    bands: Bands | None = None
    """By what share measured peaks scatter around each of these three: four of five are within."""
    unsaid: Unsaid | None = None
    """Between what ``allocated`` is, by the trainer; None where one is named, or every choice is."""
    worth: tuple[Worth, ...] = ()
    """What other ways to train the model would need on the same devices."""
    warnings: tuple[Notice, ...] = ()


def subject(model: Model, device: Accelerator | None) -> dict[str, Any]:
    """Return the fields of a summary that describe the model and the device."""
    known = {"model": model.source, "params": model.params}
    if device is None:
        return {**known, "gpu": None, "memory_bytes": None}
    unified = device.unified_memory
    return {**known, "gpu": device.id, "memory_bytes": device.memory_bytes, "unified_memory": unified}


def shown(held: Memory, reserved: float, device: Accelerator | None, devices: int = 1) -> dict[str, Any]:
    """Return what programs and drivers show of a memory; an allocator gives blocks back before a device is full."""
    context = driver_context(device.year if device else None, devices)
    if device is not None:
        reserved = min(reserved, device.memory_bytes - context)
    reserved = max(reserved, held.allocated)
    return {
        "allocated": held.allocated,
        "reserved": reserved,
        "device_used": reserved + context,
    }


def about_context(model: Model, sequence: int) -> Iterator[Notice]:
    """Yield that sequences are longer than the model's positions."""
    longest = model.architecture.context
    if longest is not None and sequence > longest:
        message = f"sequences of {sequence:,} tokens are longer than the {longest:,} that {model.source} states"
        yield Notice(code="beyond_context", message=message)


SHORTEST = 512
"""Tokens of a sequence below which none is suggested; pre-trainings have 512 (BERT) and more."""
