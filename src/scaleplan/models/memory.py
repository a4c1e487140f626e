"""Estimate the memory of each device by what it holds, to train a model or to serve it.

Training keeps weights, gradients and optimizer states, activations and logits, the layers that full sharding
gathers, and what the framework takes. With a pipeline the first stage has the most micro-batches in flight and the
last one the logits; the heavier one counts.

ZeRO (Rajbhandari et al. 2019, arXiv:1910.02054) shares the states over n data-parallel devices in stages: 1 the
optimizer states, 2 also the gradients, 3 (what FSDP does) also the weights. With bytes (w, g, o) a parameter takes
w + g + o, w + g + o/n, w + (g + o)/n, or (w + g + o)/n.

Korthikanti et al. 2022 (arXiv:2205.05198, section 4) list the tensors that a layer saves for the backward pass in
16 bits: 34 d bytes a token and 5 a s for standard attention. The same list for any heads and blocks, with sequence s,
width d, a query and k key-value heads of size q and inner width f, reads::

    norms and inputs   8 d            kept whole by every tensor-parallel rank, unless the sequence is split too
    dropout masks      2 d            (only with dropout)
    attention          4 a q + 4 k q  queries, keys, values, input of the output matrix
    block              4 f or 8 f     two or three matrices; a recomputed product saves 2 f of the 8
    scores             5 a s          (only standard attention; fused kernels do not store them)

which is 34 d for full heads, f = 4d, two matrices and dropout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.models.architecture import Architecture
from scaleplan.models.count import count, kv_bytes, layer_params
from scaleplan.models.styles import aspect_for, usual_width

__all__ = [
    "DEFAULT_STATES",
    "RECOMPUTE",
    "STATES",
    "STATES_SHARE",
    "USABLE",
    "Memory",
    "Parallel",
    "Training",
    "device_bytes",
    "largest_params",
    "layer_activations",
    "logits_bytes",
    "serving_memory",
    "states_of",
    "training_memory",
    "typical",
]

DEFAULT_STATES = "mixed"

RECOMPUTE = ("none", "selective", "full")
"""Nothing; the attention core and the product inside gated blocks; everything but the input of each layer."""

_MARGIN = 1.3
"""Factor on the listed activations: real frameworks keep more, 28 copies of the hidden state for Llama-3.1-8B, where
the list has 17 to 20. Between formula and measurement."""

_OVERHEAD_BYTES = 2e9
"""Context of the driver and buffers of communication: 1 to 2 GB."""

USABLE = 0.92
"""Share of the nominal memory that can be used: fragmentation takes 5 to 10 %."""

STATES_SHARE = 0.8
"""Share of the nominal memory that states may take, so that a step has room to work: N parameters in mixed precision
need at least 16 N / (0.8 memory) devices, 18 of 80 GB for 70B and 102 for 405B."""


@dataclass(frozen=True, slots=True)
class States:
    """Bytes per parameter of one way to train."""

    weights: float
    gradients: float
    optimizer: float

    @property
    def total(self) -> float:
        """Bytes per parameter on one device that shares nothing."""
        return self.weights + self.gradients + self.optimizer

    def shared(self, stage: int, devices: float) -> tuple[float, float, float]:
        """Return the bytes of weights, gradients and optimizer states a parameter on each device at a ZeRO stage."""
        if stage not in {0, 1, 2, 3}:
            raise UsageError(f"there is no ZeRO stage {stage}", hint="stages are 0, 1, 2 and 3; FSDP is 3")
        return (
            self.weights / (devices if stage >= 3 else 1),
            self.gradients / (devices if stage >= 2 else 1),
            self.optimizer / (devices if stage >= 1 else 1),
        )


STATES = {
    "mixed": States(2, 2, 12),  # 16-bit weights and gradients, fp32 master and Adam; ZeRO, arXiv:1910.02054, 3.1
    "mixed-fp32-grads": States(2, 4, 12),  # 16-bit weights, the rest in fp32; Megatron-LM, distributed optimizer
    "mixed-fp16-megatron": States(2, 2, 16),  # fp16 weights and gradients with fp32 copies of both; Megatron-LM
    "fp32": States(4, 4, 8),  # two fp32 moments of Adam beside fp32 weights and gradients
    "bf16": States(2, 2, 4),  # all in bf16, Adam without a master copy
    "8bit-adam": States(2, 2, 6),  # as mixed, with 8-bit moments; Dettmers et al. 2021, arXiv:2110.02861
    "momentum": States(2, 2, 8),  # as mixed, with one fp32 moment instead of Adam's two: SGD or Muon
    "fp8": States(1, 4, 8),  # fp8 weights, fp32 gradients and master, bf16 moments; arXiv:2412.19437, 3.3
    "offload": States(2, 2, 0),  # as mixed, the optimizer in host memory (slow); ZeRO-Offload, arXiv:2101.06840
}
"""The ways to train, by name, with the sources of their bytes."""


def states_of(name: str) -> States:
    """Return the bytes per parameter of a way to train; raises UnknownNameError when there is none of this name."""
    if name not in STATES:
        raise UnknownNameError("way to keep the training states", name, STATES)
    return STATES[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activations:
    """Bytes of one layer and one token: what stays until the backward pass, and what one layer works with."""

    kept: float
    working: float


def layer_activations(
    architecture: Architecture,
    *,
    sequence: int,
    recompute: str = "none",
    tensor: int = 1,
    sequence_parallel: bool = True,
    flash: bool = True,
    dropout: bool = False,
) -> Activations:
    """Return the bytes of activations per token in one layer, on one of ``tensor`` devices that share it.

    With ``sequence_parallel`` they split the norms and the residual stream too, along the sequence. Without ``flash``
    (fused attention) the scores with all tokens of the ``sequence`` are stored; with ``dropout`` its masks are.
    Raises UnknownNameError for an unknown kind of recomputation.
    """
    if recompute not in RECOMPUTE:
        raise UnknownNameError("recomputation", recompute, RECOMPUTE)
    a = architecture
    whole = (10.0 if dropout else 8.0) * a.width
    split = _attention(a) + _block(a, lean=recompute == "selective")
    if not flash and recompute != "selective":
        split += 5.0 * a.heads * sequence
    kept = whole / (tensor if sequence_parallel else 1) + split / tensor
    if recompute != "full":
        return Activations(kept=kept, working=0.0)
    return Activations(kept=2.0 * a.width / (tensor if sequence_parallel else 1), working=kept)


def _attention(a: Architecture) -> float:
    """Return 4 a q + 4 k q, or the same with the ranks of latent attention."""
    keys = a.heads if a.latent else a.kv_heads
    ranks = (a.latent.query_rank or 0) + a.latent.kv_rank + a.latent.rope if a.latent else 0
    return 2.0 * (a.heads + keys) * (a.score_size + a.value_size) + 2.0 * ranks


def _block(a: Architecture, *, lean: bool) -> float:
    """Return the bytes of the largest feed-forward block: all experts that a token uses, or the dense one."""
    each = 4.0 if a.ffn_matrices == 2 else 6.0 if lean else 8.0
    if a.experts:
        # each expert has its own copy of the token, there and back
        copies = 4.0 * a.experts.per_token * a.width
        return each * (a.experts.per_token * a.experts.width + a.experts.shared_width) + copies
    return each * a.ffn_width


def logits_bytes(architecture: Architecture, *, fused: bool = False) -> float:
    """Return the bytes of one token's logits: 16 bits, an fp32 copy, and its gradient unless the loss is fused."""
    return (6.0 if fused else 10.0) * architecture.vocab


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """The division of a model and its data over devices.

    ``expert`` devices are part of the ``data`` and ``context`` ones; ``virtual`` is the number of chunks of layers
    of a pipeline stage (an interleaved schedule); ``zero`` is the stage of sharing.
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
    """The work of each device in a step."""

    sequence: int
    """Tokens of a sequence."""
    micro_batch: int = 1
    """Sequences that a device (or the devices of a replica) takes at once."""
    accumulation: int = 1
    """Micro-batches in a step, which fill a pipeline."""
    states: str = DEFAULT_STATES
    """A way to train, of :data:`STATES`."""
    recompute: str = "none"
    """One of :data:`RECOMPUTE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on the fullest device, by what they hold; ``cache`` is for serving."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    gathered: float
    cache: float
    overhead: float
    total: float

    @classmethod
    def of(cls, **parts: float) -> Memory:
        """Return the memory of these parts and the framework; a part that is not named is 0."""
        names = [item.name for item in fields(cls) if item.name != "total"]
        held = {**dict.fromkeys(names, 0.0), "overhead": _OVERHEAD_BYTES, **parts}
        return cls(**held, total=math.fsum(held.values()))

    @property
    def states(self) -> float:
        """Weights, gradients and optimizer states."""
        return self.weights + self.gradients + self.optimizer

    def fits(self, memory_bytes: float) -> bool:
        """Whether a device of so many nominal bytes can hold it."""
        return self.total <= USABLE * memory_bytes and self.states <= STATES_SHARE * memory_bytes


def training_memory(architecture: Architecture, training: Training, parallel: Parallel) -> Memory:
    """Return the memory of the fullest device in training; raises UsageError for unsuitable parallelism."""
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
    plain, routed = _params(a, parallel, last=last)
    states = states_of(training.states)
    share = parallel.data * parallel.context
    held = [
        plain * dense + routed * expert
        for dense, expert in zip(
            states.shared(parallel.zero, share), states.shared(parallel.zero, share / parallel.expert), strict=True
        )
    ]
    tokens = training.micro_batch * training.sequence / parallel.context
    layer = layer_activations(a, sequence=training.sequence, recompute=training.recompute, tensor=parallel.tensor)
    activations = tokens * (layer.kept * _layers_in_flight(a, training, parallel, last=last) + layer.working)
    return Memory.of(
        weights=held[0],
        gradients=held[1],
        optimizer=held[2],
        activations=_MARGIN * activations,
        logits=tokens * logits_bytes(a) / parallel.tensor if last or parallel.pipeline == 1 else 0.0,
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
    if stages == 1 or last:
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
    """Return the memory of each of ``devices`` tensor-parallel devices that serve ``sequences`` of a model at once.

    Each sequence may grow to ``context`` tokens. The devices share the weights; the cache is shared by as many as
    there are key-value heads, and a latent cache by none. Raises UsageError for a number of devices that no engine
    can divide the heads by.
    """
    a = architecture
    if not _divides_heads(a, devices):
        heads = f"{a.heads} heads" + (f" ({a.kv_heads} for keys and values)" if a.kv_heads != a.heads else "")
        possible = [n for n in range(1, a.heads + 1) if _divides_heads(a, n)]
        near = [*[n for n in possible if n < devices][-1:], *[n for n in possible if n > devices][:1]]
        raise UsageError(
            f"{devices:,} devices cannot share {heads}: each takes whole ones",
            hint=f"serve on {' or '.join(map(str, near))}",
        )
    ways = 1 if a.latent else min(devices, a.kv_heads)
    return Memory.of(
        weights=count(a).params * weight_bytes / devices,
        cache=sequences * kv_bytes(a, context=context, bytes_per_value=cache_bytes) / ways,
        logits=sequences * logits_bytes(a, fused=True) / devices,  # one new token of each sequence at a time
    )


def _divides_heads(a: Architecture, devices: int) -> bool:
    """Return whether each device gets the same whole heads; keys and values may be kept more than once."""
    return a.heads % devices == 0 and (a.latent is not None or a.kv_heads % devices == 0 or devices % a.kv_heads == 0)


_VOCAB = 32_000

_HEAD = 128


def typical(params: float) -> Architecture:
    """Return a decoder of about so many parameters in the proportions of published ones, blocks of 8/3 of the width.

    The widths are those of ``12 L d² + 2 V d`` parameters: every layer has 4 d² in attention and 8 d² in its block.
    Sizes and memory follow each other smoothly.
    """
    aspect = aspect_for(params)
    layers = max(1, round(usual_width(params, aspect=aspect, per_square=12, tables=2 * _VOCAB) / aspect))
    # the depth is whole, so the width makes up for it
    width = (math.sqrt((2 * _VOCAB) ** 2 + 48 * layers * params) - 2 * _VOCAB) / (24 * layers)
    whole = max(1, round(width))
    heads = 8 * max(1, round(whole / (8 * _HEAD)))  # so that two, four and eight devices can share a layer
    return Architecture(
        family="typical",
        layers=layers,
        width=whole,
        heads=heads,
        kv_heads=heads,
        head_size=max(1, round(whole / heads)),
        ffn_width=max(1, round(8 * whole / 3)),
        ffn_matrices=3,
        vocab=_VOCAB,
        tied=False,
    )


def device_bytes(params: float, *, gpus: int, sequence: int, linked: int = 1) -> float:
    """Return the least memory of each of ``gpus`` devices that train so many parameters.

    All states are shared, everything is recomputed, one sequence is in work; of ``linked`` devices 1, 2, 4 or 8 may
    share each layer.
    """
    model = typical(params)
    training = Training(sequence=sequence, recompute="full")
    return min(
        training_memory(model, training, Parallel(data=gpus // ways, tensor=ways, zero=3 if gpus > ways else 0)).total
        for ways in (1, 2, 4, 8)
        if ways <= linked and gpus % ways == 0
    )


def largest_params(memory_bytes: float, *, gpus: int, sequence: int, linked: int = 1) -> float:
    """Return the largest size whose memory on each device is at most ``memory_bytes``; 0 for none.

    The other arguments are those of :func:`device_bytes`.
    """

    def needed(log_params: float) -> float:
        return device_bytes(math.exp(log_params), gpus=gpus, sequence=sequence, linked=linked)

    low, high = math.log(1e5), math.log(1e15)
    if needed(low) > memory_bytes:
        return 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if needed(middle) <= memory_bytes else (low, middle)
    return math.exp(low)
