"""How should a cluster divide a model? A layout that fits, its micro-batch and schedule; or how few devices could.

The order of preference is that of practice: full sharding alone on up to 512 devices, where each has enough tokens a
step to hide the gathering; else tensor parallelism within the linked devices, then pipeline stages (and context
parallelism for long sequences); the least recomputation that fits, then smaller optimizer states.


The divisions of a cluster that are worth trying for a model, the simplest first.

How many devices can a batch feed, how few can train a model, and how much fits one of them.

What memory does this model need on these devices, to train or to serve it? One record for both answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import UnreachableError, UsageError
from scaleplan.models.count import count
from scaleplan.models.memory import (
    DEFAULT_STATES,
    RECOMPUTE,
    STATES_SHARE,
    USABLE,
    Memory,
    Parallel,
    Training,
    serving_memory,
    states_of,
    training_memory,
)
from scaleplan.models.model import DEFAULT_CONTEXT
from scaleplan.toml_table import as_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.models.architecture import Architecture
    from scaleplan.models.model import Model

__all__ = [
    "NODE",
    "Layout",
    "MemorySummary",
    "Task",
    "Wishes",
    "chunks",
    "divisions",
    "fewest_devices",
    "find_layout",
    "largest_micro_batch",
    "linked_devices",
    "most_devices",
    "serving_needs",
    "training_needs",
]

NODE = 8
"""Devices of a server."""

_LINKED = 250e9  # bytes/s; bridges between two cards and PCIe are below, all server fabrics above


def linked_devices(accelerator: Accelerator) -> int:
    """Return how many devices share a fast link: the 8 of a server, or 1 for cards on PCIe or bridges of two."""
    fabric = accelerator.link_bandwidth is not None and accelerator.link_bandwidth >= _LINKED
    return NODE if fabric or "ICI" in accelerator.link else 1


def most_devices(*, batch_tokens: float, sequence: int, replica: int, micro_batches: int = 1) -> float:
    """Return the devices that a batch can feed: ``t p c * B / (T m)`` with m micro-batches of one sequence."""
    return replica * batch_tokens / sequence / micro_batches


def largest_micro_batch(a: Architecture, training: Training, parallel: Parallel, *, memory_bytes: float) -> int:
    """Return the sequences that a device can take at once: activations and logits grow in proportion; 0 for none."""
    one = training_memory(a, replace(training, micro_batch=1), parallel)
    if not one.fits(memory_bytes):
        return 0
    high = 1
    while high < 1 << 20 and training_memory(a, replace(training, micro_batch=2 * high), parallel).fits(memory_bytes):
        high *= 2
    low = high
    high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        fits = training_memory(a, replace(training, micro_batch=middle), parallel).fits(memory_bytes)
        low, high = (middle, high) if fits else (low, middle)
    return low


def fewest_devices(
    architecture: Architecture,
    *,
    memory_bytes: float,
    linked: int,
    sequence: int,
    states: str = "mixed",
    recompute: str = "full",
) -> int:
    """Return the fewest devices that can train a model with full sharding: 1, 2, 4, or a multiple of 8.

    Raises
    ------
    UsageError
        When the activations of one sequence do not fit any number of devices.

    """
    least = count(architecture).params * states_of(states).total / (STATES_SHARE * memory_bytes)
    training = Training(sequence=sequence, states=states, recompute=recompute)
    candidates = [n for n in (1, 2, 4) if n >= least]
    start = NODE * max(1, math.ceil(least / NODE))
    candidates += [start + NODE * i for i in range(64)] + [start * 2**i for i in range(2, 8)]
    for devices in candidates:
        for tensor in (t for t in (1, 2, 4, 8) if t <= linked and devices % t == 0 and architecture.heads % t == 0):
            zero = 3 if devices > tensor else 0
            parallel = Parallel(data=devices // tensor, tensor=tensor, zero=zero)
            if training_memory(architecture, training, parallel).fits(memory_bytes):
                return devices
    raise UsageError(
        f"one sequence of {sequence:,} tokens does not fit {memory_bytes / 1e9:g} GB, however many devices there are",
        hint="shorten the sequence, or take devices with more memory",
    )


SHARDED_DEVICES = 512
"""Devices up to which full sharding keeps its traffic hidden on usual networks."""

TOKENS_TO_HIDE = 4096
"""Tokens of a step on each replica that hide the gathering of weights at 400 Gb/s."""

MOST_BUBBLE = 0.25
"""Idle share of a pipeline, relative to its work, that is accepted; 0.2 to 0.3 is usual."""

LONG_CONTEXT = 32_768
"""Tokens of a sequence from which it is worth dividing."""

_MOST_STAGES = 64

_MOST_EXPERT_WAYS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person insists on; None where the search may choose."""

    states: str | None = None
    recompute: str | None = None
    tensor: int | None = None
    pipeline: int | None = None
    context: int | None = None
    expert: int | None = None
    zero: int | None = None
    micro_batch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A model, the devices that train it, and the sequences of a step."""

    model: Architecture
    gpus: int
    memory_bytes: float
    linked: int
    sequence: int
    sequences: int
    wishes: Wishes


def divisions(task: Task) -> Iterator[Parallel]:
    """Yield the divisions of the cluster that are worth trying, by the devices of a replica."""
    a, sequence, sequences, wanted = task.model, task.sequence, task.sequences, task.wishes
    contexts = [wanted.context] if wanted.context else [1, 2, 4, 8, 16] if sequence >= LONG_CONTEXT else [1]
    tensors = [wanted.tensor] if wanted.tensor else [t for t in (1, 2, 4, 8) if t <= task.linked]
    stages = [wanted.pipeline] if wanted.pipeline else range(1, min(a.layers, _MOST_STAGES) + 1)
    sizes = sorted(
        (context * tensor * pipeline, pipeline, context, tensor)
        for context in contexts
        for tensor in tensors
        for pipeline in stages
        if task.gpus % (context * tensor * pipeline) == 0 and a.heads % tensor == 0
    )
    for replica, pipeline, context, tensor in sizes:
        data = task.gpus // replica
        if data > sequences or (pipeline > 1 and sequences // data < pipeline):
            continue
        virtual = chunks(a.layers, pipeline, sequences // data)
        if virtual is None:
            continue
        for zero in _stages_of_sharding(data * context, pipeline, sequences * sequence / data, wanted.zero):
            for expert in _expert_ways(a, data * context, task.linked, wanted.expert):
                yield Parallel(
                    data=data,
                    tensor=tensor,
                    pipeline=pipeline,
                    context=context,
                    expert=expert,
                    zero=zero,
                    virtual=virtual,
                )


def chunks(layers: int, pipeline: int, micro_batches: int) -> int | None:
    """Return the fewest chunks a stage that keep the bubble small; None when none do."""
    if pipeline == 1:
        return 1
    needed = math.ceil((pipeline - 1) / (micro_batches * MOST_BUBBLE))
    return needed if pipeline * needed <= layers else None


def _stages_of_sharding(share: int, pipeline: int, tokens: float, wanted: int | None) -> tuple[int, ...]:
    """Return the ZeRO stages worth trying: sharded weights need tokens to hide behind, and no pipeline."""
    if wanted is not None:
        return (wanted,)
    if share == 1:
        return (0,)
    hidden = tokens >= TOKENS_TO_HIDE or share <= NODE
    return (1, 3) if pipeline == 1 and share <= SHARDED_DEVICES and hidden else (1,)


def _expert_ways(a: Architecture, share: int, linked: int, wanted: int | None) -> Iterator[int]:
    """Yield the expert-parallel ways: none, then within the linked devices, then beyond."""
    if wanted is not None:
        if share % wanted == 0:
            yield wanted
        return
    yield 1
    if a.experts is None:
        return
    ways = [
        n
        for n in range(2, min(a.experts.count, share, _MOST_EXPERT_WAYS) + 1)
        if a.experts.count % n == 0 and share % n == 0
    ]
    yield from sorted(ways, key=lambda n: (n > linked, n))


FALLBACKS = ("mixed", "8bit-adam", "offload")
"""Ways to keep the states, in the order they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A division of the work that fits, and what each device holds.

    ``largest_micro_batch`` is what would fit; ``bubble`` is the idle time of the pipeline over its working time.
    """

    parallel: Parallel
    training: Training
    memory: Memory
    largest_micro_batch: int

    @property
    def sequences_per_step(self) -> int:
        """Sequences of one optimizer step."""
        return self.parallel.data * self.training.micro_batch * self.training.accumulation

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimizer step."""
        return self.sequences_per_step * self.training.sequence

    @property
    def bubble(self) -> float:
        """``(p - 1) / (m v)`` for p stages, m micro-batches and v chunks a stage."""
        return (self.parallel.pipeline - 1) / (self.training.accumulation * self.parallel.virtual)


def find_layout(
    architecture: Architecture,
    *,
    gpus: int,
    memory_bytes: float,
    linked: int,
    sequence: int,
    batch_tokens: float,
    wishes: Wishes | None = None,
) -> Layout:
    """Return the preferred layout that fits.

    Parameters
    ----------
    architecture
        The model.
    gpus, memory_bytes, linked
        The devices, the nominal memory of each, and how many share a fast link.
    sequence, batch_tokens
        Tokens of a sequence and of an optimizer step; a step has at least one sequence a replica.
    wishes
        What must be as given.

    Raises
    ------
    UnreachableError
        When no layout fits.

    """
    step = max(1, round(batch_tokens / sequence))
    task = Task(
        model=architecture,
        gpus=gpus,
        memory_bytes=memory_bytes,
        linked=linked,
        sequence=sequence,
        sequences=step,
        wishes=wishes or Wishes(),
    )
    for states in (task.wishes.states,) if task.wishes.states else FALLBACKS:
        for sequences in (step, max(step, gpus)):  # a larger step only where the wanted one feeds too few devices
            found = _search(replace(task, sequences=sequences), states)
            if found is not None:
                return found
    fewest = fewest_devices(architecture, memory_bytes=memory_bytes, linked=linked, sequence=sequence)
    raise UnreachableError(
        f"no layout of {count(architecture).params / 1e9:.3g}B parameters fits {gpus:,} x {memory_bytes / 1e9:g} GB",
        hint=f"take {fewest:,} such devices or more, a shorter sequence, or a smaller model",
    )


def _search(task: Task, states: str) -> Layout | None:
    """Return the first layout that fits, in the order of preference."""
    kinds = (task.wishes.recompute,) if task.wishes.recompute else RECOMPUTE
    candidates = list(divisions(task))
    alone = [parallel for parallel in candidates if parallel.replica == 1]
    shared = [parallel for parallel in candidates if parallel.replica > 1]
    for group in (alone, shared):
        for recompute in kinds:
            for parallel in group:
                found = _filled(task, Training(sequence=task.sequence, states=states, recompute=recompute), parallel)
                if found is not None:
                    return found
    return None


def _filled(task: Task, training: Training, parallel: Parallel) -> Layout | None:
    """Return the layout with the largest micro-batch that fits and divides the step; None when none fits."""
    each = max(1, round(task.sequences / parallel.data))  # sequences of a replica in a step
    training = replace(training, accumulation=each)
    largest = largest_micro_batch(task.model, training, parallel, memory_bytes=task.memory_bytes)
    most = min(largest, each // parallel.pipeline)
    wanted = task.wishes.micro_batch
    sizes = range(most, 0, -1) if wanted is None else [wanted] if wanted <= most else []
    for size in sizes:
        virtual = chunks(task.model.layers, parallel.pipeline, each // size)
        if each % size or virtual is None:
            continue
        filled = replace(training, micro_batch=size, accumulation=each // size)
        division = replace(parallel, virtual=virtual)
        memory = training_memory(task.model, filled, division)
        if memory.fits(task.memory_bytes):
            return Layout(parallel=division, training=filled, memory=memory, largest_micro_batch=largest)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySummary:
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
) -> MemorySummary:
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
) -> MemorySummary:
    memory = training_memory(model.architecture, training, parallel)
    return MemorySummary(
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
) -> MemorySummary:
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
    return MemorySummary(
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
