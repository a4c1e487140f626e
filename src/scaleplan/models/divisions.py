"""The divisions of a cluster that are worth trying for a model, the simplest first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.models.capacity import NODE
from scaleplan.models.memory import Parallel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.models.architecture import Architecture

__all__ = ["Task", "Wishes", "chunks", "divisions"]

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
