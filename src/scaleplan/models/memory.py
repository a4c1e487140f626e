"""How much memory does each device need? By what it holds, to train a model or to serve it.

Training needs weights, gradients and optimizer states (:mod:`~scaleplan.models.states`), activations and logits
(:mod:`~scaleplan.models.activations`), the layers that full sharding gathers, and what the framework takes. With a
pipeline the first stage has the most micro-batches in flight and the last one the logits; the heavier one counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError
from scaleplan.models.activations import MARGIN, layer_activations, logits_bytes
from scaleplan.models.cache import kv_bytes
from scaleplan.models.count import count, layer_params
from scaleplan.models.states import DEFAULT_STATES, states_of

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture

__all__ = ["OVERHEAD_BYTES", "USABLE", "Memory", "Parallel", "Training", "serving_memory", "training_memory"]

OVERHEAD_BYTES = 2e9
"""Context of the driver and buffers of communication: 1 to 2 GB."""

USABLE = 0.92
"""Share of the nominal memory that can be used: fragmentation takes 5 to 10 %."""

STATES_SHARE = 0.8
"""Share of the nominal memory that states may take, so that a step has room to work: N parameters in mixed precision
need at least 16 N / (0.8 memory) devices, 18 of 80 GB for 70B and 102 for 405B."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """How the devices divide a model and its data; one number of each kind of neighbours.

    ``expert`` devices are part of the ``data`` and ``context`` ones; ``virtual`` is the number of chunks of layers
    of a pipeline stage (an interleaved schedule); ``zero`` is the stage of :mod:`~scaleplan.models.states`.
    """

    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    expert: int = 1
    zero: int = 1
    virtual: int = 1

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name != "zero" and (isinstance(value, bool) or value != int(value) or value < 1):
                raise UsageError(f"{item.name} parallelism is a whole number of at least 1, not {value}")
        if (self.data * self.context) % self.expert:
            raise UsageError(
                f"{self.expert} expert-parallel devices do not divide {self.data * self.context} data-parallel ones"
            )

    @property
    def devices(self) -> int:
        """All devices."""
        return self.data * self.replica

    @property
    def replica(self) -> int:
        """Devices that work on one sequence."""
        return self.tensor * self.pipeline * self.context


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What each device does in a step.

    Parameters
    ----------
    sequence
        Tokens of a sequence.
    micro_batch
        Sequences that a device (or the devices of a replica) takes at once.
    accumulation
        Micro-batches in a step, which fill a pipeline.
    states
        A way to train of :data:`~scaleplan.models.states.STATES`.
    recompute
        ``none``, ``selective`` or ``full``.
    margin
        Factor on the listed activations; see :data:`~scaleplan.models.activations.MARGIN`.
    flash, dropout, sequence_parallel, fused_loss
        Fused attention; dropout masks; norms split along the sequence; no gradient of the logits.

    """

    sequence: int
    micro_batch: int = 1
    accumulation: int = 1
    states: str = DEFAULT_STATES
    recompute: str = "none"
    margin: float = MARGIN
    flash: bool = True
    dropout: bool = False
    sequence_parallel: bool = True
    fused_loss: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on the fullest device, by what they hold; ``cache`` is for serving."""

    weights: float
    gradients: float = 0.0
    optimizer: float = 0.0
    activations: float = 0.0
    logits: float = 0.0
    gathered: float = 0.0
    cache: float = 0.0
    overhead: float = OVERHEAD_BYTES
    total: float = field(init=False)

    def __post_init__(self) -> None:
        parts = (getattr(self, item.name) for item in fields(self) if item.init)
        object.__setattr__(self, "total", math.fsum(parts))

    @property
    def states(self) -> float:
        """Weights, gradients and optimizer states."""
        return self.weights + self.gradients + self.optimizer

    def fits(self, memory_bytes: float) -> bool:
        """Whether a device of so many nominal bytes can hold it."""
        return self.total <= USABLE * memory_bytes and self.states <= STATES_SHARE * memory_bytes


def training_memory(architecture: Architecture, training: Training, parallel: Parallel) -> Memory:
    """Return the memory of the fullest device in training.

    Raises
    ------
    UsageError
        When the parallelism does not suit the model.

    """
    _check(architecture, parallel)
    stages = [_stage(architecture, training, parallel, last=False)]
    if parallel.pipeline > 1:
        stages.append(_stage(architecture, training, parallel, last=True))
    return max(stages, key=lambda memory: memory.total)


def _check(a: Architecture, parallel: Parallel) -> None:
    if parallel.pipeline * parallel.virtual > a.layers:
        raise UsageError(f"{a.layers} layers cannot be divided among {parallel.pipeline * parallel.virtual} chunks")
    if a.heads % parallel.tensor:
        raise UsageError(f"{a.heads} heads cannot be divided among {parallel.tensor} tensor-parallel devices")
    if parallel.expert > 1 and (a.experts is None or a.experts.count % parallel.expert):
        many = a.experts.count if a.experts else 0
        raise UsageError(f"{many} experts cannot be divided among {parallel.expert} devices")


def _stage(a: Architecture, training: Training, parallel: Parallel, *, last: bool) -> Memory:
    """Return the memory of the first or the last stage; the only one is both."""
    only = parallel.pipeline == 1
    plain, routed = _params(a, parallel, last=last)
    states = states_of(training.states)
    share = parallel.data * parallel.context
    held = [
        plain * dense + routed * expert
        for dense, expert in zip(
            states.shared(parallel.zero, share),
            states.shared(parallel.zero, share / parallel.expert),
            strict=True,
        )
    ]
    tokens = training.micro_batch * training.sequence / parallel.context
    layer = layer_activations(
        a,
        sequence=training.sequence,
        recompute=training.recompute,
        tensor=parallel.tensor,
        sequence_parallel=training.sequence_parallel,
        flash=training.flash,
        dropout=training.dropout,
    )
    activations = tokens * (layer.kept * _layers_in_flight(a, training, parallel, last=last) + layer.working)
    return Memory(
        weights=held[0],
        gradients=held[1],
        optimizer=held[2],
        activations=training.margin * activations,
        logits=tokens * logits_bytes(a, fused=training.fused_loss) / parallel.tensor if last or only else 0.0,
        gathered=_gathered(a, states.weights, parallel),
    )


def _params(a: Architecture, parallel: Parallel, *, last: bool) -> tuple[float, float]:
    """Return the parameters of one device before sharing: plain ones and those of routed experts."""
    counts = count(a)
    share = math.ceil(a.layers / parallel.pipeline) / a.layers
    expert = counts.expert_params * share / (parallel.tensor * parallel.expert)
    if parallel.pipeline == 1:
        tables = counts.embedding_params
    elif last:
        tables = a.vocab * a.table_width  # a tied table is held by the last stage too
    else:
        tables = counts.embedding_params - counts.output_embedding_params
    plain = (counts.non_embedding_params - counts.expert_params) * share + tables
    return plain / parallel.tensor, expert


def _layers_in_flight(a: Architecture, training: Training, parallel: Parallel, *, last: bool) -> float:
    """Return how many layers' activations a device holds: micro-batches in flight times layers of the stage.

    In a one-forward-one-backward schedule the first of p stages has p micro-batches in flight, the last one has 1;
    with v chunks of layers in each stage the first one holds 1 + (p - 1)/(p v) times as much.
    """
    stages, held = parallel.pipeline, math.ceil(a.layers / parallel.pipeline)
    if stages == 1:
        return float(held)
    if last:
        return float(held)
    inflight: float = min(training.accumulation, stages)
    if parallel.virtual > 1 and training.accumulation >= stages:
        inflight *= 1 + (stages - 1) / (stages * parallel.virtual)
    return held * inflight


def _gathered(a: Architecture, weight_bytes: float, parallel: Parallel) -> float:
    """Return the bytes of the two layers that full sharding has gathered at a time, in 16 bits at most."""
    if parallel.zero < 3 or parallel.data * parallel.context == 1:
        return 0.0
    e = a.experts
    routed = e.count * a.ffn_matrices * a.width * e.width if e else 0
    largest = layer_params(a) - routed + routed / parallel.expert
    return 2 * min(weight_bytes, 2.0) * largest / parallel.tensor


def serving_memory(
    architecture: Architecture,
    *,
    context: int,
    sequences: int = 1,
    devices: int = 1,
    weight_bytes: float = 2.0,
    cache_bytes: float = 2.0,
) -> Memory:
    """Return the memory of each of ``devices`` tensor-parallel devices that serve a model.

    Parameters
    ----------
    architecture
        The model.
    context
        Tokens that each sequence may grow to.
    sequences
        Sequences at once.
    devices
        Devices that share the weights; the cache is shared by as many as there are key-value heads, and a latent
        cache by none.
    weight_bytes, cache_bytes
        Bytes of a weight (2 for 16 bits, 1 for 8, 0.5 for 4) and of a cached value.

    """
    a = architecture
    ways = 1 if a.latent else min(devices, a.kv_heads)
    tokens = sequences  # one new token of each sequence at a time
    return Memory(
        weights=count(a).params * weight_bytes / devices,
        cache=sequences * kv_bytes(a, context=context, bytes_per_value=cache_bytes) / ways,
        logits=tokens * logits_bytes(a, fused=True) / devices,
    )
