"""What memory does this model need on these devices, to train or to serve it? One record for both answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import UsageError
from scaleplan.models.capacity import fewest_devices, linked_devices
from scaleplan.models.divisions import Wishes
from scaleplan.models.layout import find_layout
from scaleplan.models.memory import USABLE, Memory, Parallel, Training, serving_memory, training_memory
from scaleplan.models.model import DEFAULT_CONTEXT
from scaleplan.models.states import DEFAULT_STATES
from scaleplan.records import as_record

if TYPE_CHECKING:
    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.models.model import Model

__all__ = ["Needs", "serving_needs", "training_needs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The memory of each device in bytes, by what it holds; None where it was not asked or is not known."""

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

    def to_dict(self) -> dict[str, object]:
        """Return the flat mapping that ``--json`` prints."""
        return as_record(self)


def training_needs(
    model: Model,
    *,
    accelerator: Accelerator | None = None,
    gpus: int | None = None,
    sequence: int | None = None,
    batch_tokens: float | None = None,
    wishes: Wishes | None = None,
) -> Needs:
    """Return what training needs: with the preferred layout on known devices, else as the wishes divide it.

    Parameters
    ----------
    model
        The model.
    accelerator, gpus
        The devices; without a number, the fewest that can hold it, or one where the device is not known either.
    sequence, batch_tokens
        Tokens of a sequence and of a step; one sequence a device by default.
    wishes
        What must be as given.

    Raises
    ------
    UnreachableError
        When no layout fits the devices.
    UsageError
        When the devices cannot be divided as wished.

    """
    wanted = wishes or Wishes()
    length = sequence or min(model.architecture.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    if accelerator is None:
        parallel = _wished(wanted, gpus)
        training = Training(
            sequence=length,
            micro_batch=wanted.micro_batch or 1,
            accumulation=parallel.pipeline,
            states=wanted.states or DEFAULT_STATES,
            recompute=wanted.recompute or "none",
        )
        return _needs(model, None, training, parallel)
    memory, linked = accelerator.memory_bytes, linked_devices(accelerator)
    try:
        fewest = fewest_devices(model.architecture, memory_bytes=memory, linked=linked, sequence=length)
    except UsageError:
        if gpus is None:
            raise
        fewest = None
    devices = gpus or fewest or 1
    layout = find_layout(
        model.architecture,
        gpus=devices,
        memory_bytes=memory,
        linked=linked,
        sequence=length,
        batch_tokens=batch_tokens or devices * length,
        wishes=wanted,
    )
    largest = layout.largest_micro_batch
    return _needs(model, accelerator, layout.training, layout.parallel, largest=largest, fewest=fewest)


def _wished(wanted: Wishes, gpus: int | None) -> Parallel:
    """Return the division that the wishes describe, the rest data-parallel."""
    tensor, pipeline, context = wanted.tensor or 1, wanted.pipeline or 1, wanted.context or 1
    replica = tensor * pipeline * context
    devices = gpus or replica
    if devices % replica:
        raise UsageError(f"{devices} devices cannot be divided into replicas of {replica}")
    data = devices // replica
    zero = wanted.zero if wanted.zero is not None else 3 if data * context > 1 and pipeline == 1 else 1
    return Parallel(
        data=data, tensor=tensor, pipeline=pipeline, context=context, expert=wanted.expert or 1, zero=zero
    )


def _needs(
    model: Model,
    accelerator: Accelerator | None,
    training: Training,
    parallel: Parallel,
    *,
    largest: int | None = None,
    fewest: int | None = None,
) -> Needs:
    memory = training_memory(model.architecture, training, parallel)
    return Needs(
        model=model.source,
        params=model.params,
        purpose="training",
        gpu=accelerator.id if accelerator else None,
        gpus=parallel.devices,
        memory_bytes=accelerator.memory_bytes if accelerator else None,
        fits=memory.fits(accelerator.memory_bytes) if accelerator else None,
        memory=memory,
        sequence=training.sequence,
        parallel=parallel,
        states=training.states,
        recompute=training.recompute,
        micro_batch=training.micro_batch,
        largest_micro_batch=largest,
        accumulation=training.accumulation,
        fewest_devices=fewest,
    )


def serving_needs(
    model: Model,
    *,
    accelerator: Accelerator | None = None,
    gpus: int | None = None,
    sequence: int | None = None,
    sequences: int = 1,
    weight_bits: float = 16.0,
    cache_bits: float = 16.0,
) -> Needs:
    """Return what serving needs: weights and the keys and values of so many sequences, shared by the devices.

    Parameters
    ----------
    model
        The model.
    accelerator, gpus
        The devices that share it; one by default.
    sequence, sequences
        Tokens that each sequence may grow to, and how many there are at once.
    weight_bits, cache_bits
        Bits of a weight and of a cached value.

    """
    length = sequence or model.architecture.context or DEFAULT_CONTEXT
    memory = serving_memory(
        model.architecture,
        context=length,
        sequences=sequences,
        devices=gpus or 1,
        weight_bytes=weight_bits / 8,
        cache_bytes=cache_bits / 8,
    )
    nominal = accelerator.memory_bytes if accelerator else None
    return Needs(
        model=model.source,
        params=model.params,
        purpose="serving",
        gpu=accelerator.id if accelerator else None,
        gpus=gpus or 1,
        memory_bytes=nominal,
        fits=None if nominal is None else memory.total <= USABLE * nominal,
        memory=memory,
        sequence=length,
        sequences=sequences,
    )
