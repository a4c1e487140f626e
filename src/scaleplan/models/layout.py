"""Lay a model out on devices: find the preferred division that fits, or the fewest devices that could.

The order of preference is that of practice: full sharding alone on up to 512 devices, where each has enough tokens a
step to hide the gathering; else tensor parallelism within the linked devices, then pipeline stages (and context
parallelism for long sequences); the least recomputation that fits, then smaller optimizer states.
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
    Memory,
    Parallel,
    Training,
    states_of,
    training_memory,
)
from scaleplan.record import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.models.architecture import Architecture

__all__ = [
    "FixedLayout",
    "Layout",
    "MemorySummary",
    "fewest_devices",
    "find_layout",
    "largest_micro_batch",
    "linked_devices",
]

_NODE = 8  # devices of a server

_LINKED = 250e9  # bytes/s; bridges between two cards and PCIe are below, all server fabrics above

_SHARDED_DEVICES = 512
"""Devices up to which full sharding keeps its traffic hidden on usual networks."""

_TOKENS_TO_HIDE = 4096
"""Tokens of a step on each replica that hide the gathering of weights at 400 Gb/s."""

_MOST_BUBBLE = 0.25
"""Idle share of a pipeline, relative to its work, that is accepted; 0.2 to 0.3 is usual."""

_LONG_CONTEXT = 32_768
"""Tokens of a sequence from which it is worth dividing."""

_MOST_STAGES, _MOST_EXPERT_WAYS = 64, 1024

_FALLBACKS = ("mixed", "8bit-adam", "offload")
"""Ways to keep the states, in the order they are tried."""


def linked_devices(accelerator: Accelerator) -> int:
    """Return how many devices share a fast link: the 8 of a server, or 1 for cards on PCIe or bridges of two."""
    fabric = accelerator.link_bandwidth is not None and accelerator.link_bandwidth >= _LINKED
    return _NODE if fabric or "ICI" in accelerator.link else 1


def largest_micro_batch(a: Architecture, training: Training, parallel: Parallel, *, memory_bytes: float) -> int:
    """Return the sequences that a device can take at once: activations and logits grow in proportion; 0 for none."""

    def fits(sequences: int) -> bool:
        return training_memory(a, replace(training, micro_batch=sequences), parallel).fits(memory_bytes)

    if not fits(1):
        return 0
    low = 1
    while low < 1 << 20 and fits(2 * low):
        low *= 2
    high = 2 * low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def fewest_devices(architecture: Architecture, *, memory_bytes: float, linked: int, sequence: int) -> int:
    """Return the fewest devices that can train a model, everything shared and recomputed: 1, 2, 4, or 8 n.

    Raises UsageError when the activations of one sequence do not fit any number of devices.
    """
    least = count(architecture).params * states_of(DEFAULT_STATES).total / (STATES_SHARE * memory_bytes)
    training = Training(sequence=sequence, recompute="full")
    candidates = [n for n in (1, 2, 4) if n >= least]
    start = _NODE * max(1, math.ceil(least / _NODE))
    candidates += [start + _NODE * i for i in range(64)] + [start * 2**i for i in range(2, 8)]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedLayout:
    """The parts of a layout that must be as given; None where the search may choose."""

    states: str | None = None
    recompute: str | None = None
    tensor: int | None = None
    pipeline: int | None = None
    context: int | None = None
    expert: int | None = None
    zero: int | None = None
    micro_batch: int | None = None

    def parallel(self, gpus: int | None) -> Parallel:
        """Return the division that these parts describe, the rest data-parallel."""
        tensor, pipeline, context = self.tensor or 1, self.pipeline or 1, self.context or 1
        replica = tensor * pipeline * context
        devices = gpus or replica
        if devices % replica:
            raise UsageError(f"{devices} devices cannot be divided into replicas of {replica}")
        data = devices // replica
        zero = self.zero if self.zero is not None else 3 if data * context > 1 and pipeline == 1 else 1
        return Parallel(
            data=data, tensor=tensor, pipeline=pipeline, context=context, expert=self.expert or 1, zero=zero
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A division of the work that fits; ``largest_micro_batch`` is what would fit."""

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
        """Idle over working time: ``(p - 1) / (m v)`` for p stages, m micro-batches and v chunks a stage."""
        return (self.parallel.pipeline - 1) / (self.training.accumulation * self.parallel.virtual)


def find_layout(
    architecture: Architecture,
    *,
    gpus: int,
    memory_bytes: float,
    linked: int,
    sequence: int,
    batch_tokens: float,
    fixed: FixedLayout | None = None,
) -> Layout:
    """Return the preferred layout that fits devices of ``memory_bytes`` nominal bytes, ``linked`` ones in a server.

    An optimizer step has ``batch_tokens``, but at least one sequence a replica. Raises UnreachableError when no
    layout fits.
    """
    step = max(1, round(batch_tokens / sequence))
    fixed = fixed or FixedLayout()
    for states in (fixed.states,) if fixed.states else _FALLBACKS:
        for sequences in (step, max(step, gpus)):  # a larger step only where the wanted one feeds too few devices
            search = _LayoutSearch(architecture, gpus, memory_bytes, linked, sequence, sequences, fixed)
            found = search.first(states)
            if found is not None:
                return found
    fewest = fewest_devices(architecture, memory_bytes=memory_bytes, linked=linked, sequence=sequence)
    raise UnreachableError(
        f"no layout of {count(architecture).params / 1e9:.3g}B parameters fits {gpus:,} x {memory_bytes / 1e9:g} GB",
        hint=f"take {fewest:,} such devices or more, a shorter sequence, or a smaller model",
    )


@dataclass(frozen=True, slots=True)
class _LayoutSearch:
    """A model, the devices that train it, the length and number of the sequences of a step, and what is fixed."""

    model: Architecture
    gpus: int
    memory_bytes: float
    linked: int
    sequence: int
    sequences: int
    fixed: FixedLayout

    def first(self, states: str) -> Layout | None:
        """Return the first layout that fits, in the order of preference."""
        kinds = (self.fixed.recompute,) if self.fixed.recompute else RECOMPUTE
        candidates = list(self.divisions())
        for alone in (True, False):
            for recompute in kinds:
                training = Training(sequence=self.sequence, states=states, recompute=recompute)
                for parallel in candidates:
                    if (parallel.replica == 1) is alone:
                        found = self.filled(training, parallel)
                        if found is not None:
                            return found
        return None

    def divisions(self) -> Iterator[Parallel]:
        """Yield the divisions of the devices that are worth trying, by the devices of a replica."""
        a, fixed = self.model, self.fixed
        contexts = [fixed.context] if fixed.context else [1, 2, 4, 8, 16] if self.sequence >= _LONG_CONTEXT else [1]
        tensors = [fixed.tensor] if fixed.tensor else [t for t in (1, 2, 4, 8) if t <= self.linked]
        stages = [fixed.pipeline] if fixed.pipeline else range(1, min(a.layers, _MOST_STAGES) + 1)
        sizes = sorted(
            (context * tensor * pipeline, pipeline, context, tensor)
            for context in contexts
            for tensor in tensors
            for pipeline in stages
            if self.gpus % (context * tensor * pipeline) == 0 and a.heads % tensor == 0
        )
        for replica, pipeline, context, tensor in sizes:
            data = self.gpus // replica
            if data > self.sequences or (pipeline > 1 and self.sequences // data < pipeline):
                continue
            virtual = _chunks(a.layers, pipeline, self.sequences // data)
            if virtual is None:
                continue
            for zero in self._sharding(data * context, pipeline, self.sequences * self.sequence / data):
                for expert in self._expert_ways(data * context):
                    yield Parallel(
                        data=data,
                        tensor=tensor,
                        pipeline=pipeline,
                        context=context,
                        expert=expert,
                        zero=zero,
                        virtual=virtual,
                    )

    def _sharding(self, share: int, pipeline: int, tokens: float) -> tuple[int, ...]:
        """Return the ZeRO stages worth trying: sharded weights need tokens to hide behind, and no pipeline."""
        if self.fixed.zero is not None:
            return (self.fixed.zero,)
        if share == 1:
            return (0,)
        hidden = tokens >= _TOKENS_TO_HIDE or share <= _NODE
        return (1, 3) if pipeline == 1 and share <= _SHARDED_DEVICES and hidden else (1,)

    def _expert_ways(self, share: int) -> list[int]:
        """Return the expert-parallel ways: none, then within the linked devices, then beyond."""
        if self.fixed.expert is not None:
            return [self.fixed.expert] if share % self.fixed.expert == 0 else []
        if self.model.experts is None:
            return [1]
        routed = self.model.experts.count
        most = min(routed, share, _MOST_EXPERT_WAYS)
        ways = [n for n in range(2, most + 1) if routed % n == 0 and share % n == 0]
        return [1, *sorted(ways, key=lambda n: (n > self.linked, n))]

    def filled(self, training: Training, parallel: Parallel) -> Layout | None:
        """Return the layout with the largest micro-batch that fits and divides the step; None when none fits."""
        each = max(1, round(self.sequences / parallel.data))  # sequences of a replica in a step
        training = replace(training, accumulation=each)
        largest = largest_micro_batch(self.model, training, parallel, memory_bytes=self.memory_bytes)
        most, wanted = min(largest, each // parallel.pipeline), self.fixed.micro_batch
        for size in range(most, 0, -1) if wanted is None else [wanted] if wanted <= most else []:
            virtual = _chunks(self.model.layers, parallel.pipeline, each // size)
            if each % size or virtual is None:
                continue
            filled = replace(training, micro_batch=size, accumulation=each // size)
            division = replace(parallel, virtual=virtual)
            memory = training_memory(self.model, filled, division)
            if memory.fits(self.memory_bytes):
                return Layout(parallel=division, training=filled, memory=memory, largest_micro_batch=largest)
        return None


def _chunks(layers: int, pipeline: int, micro_batches: int) -> int | None:
    """Return the fewest chunks a stage that keep the bubble small; None when none do."""
    if pipeline == 1:
        return 1
    needed = math.ceil((pipeline - 1) / (micro_batches * _MOST_BUBBLE))
    return needed if pipeline * needed <= layers else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySummary(Result):
    """The memory of each device in bytes, by what it holds; None where it does not apply or is not known."""

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
