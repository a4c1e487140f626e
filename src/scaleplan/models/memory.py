"""Estimate the memory of each device by what it holds, to train a model or to serve it.

Training keeps weights, gradients and optimizer states, activations and logits, the layers that full sharding
gathers, and what the framework takes. With a pipeline the first stage has the most micro-batches in flight and the
last one the logits; the heavier one counts.

ZeRO (Rajbhandari et al. 2019, arXiv:1910.02054) shares the states over n data-parallel devices in stages: 1 the
optimizer states, 2 also the gradients, 3 (what FSDP does) also the weights. With bytes (w, g, o) a parameter takes
w + g + o, w + g + o/n, w + (g + o)/n, or (w + g + o)/n.

What a layer keeps for the backward pass is listed by :mod:`scaleplan.models.activations`, from its tensors and the
way to train; for full heads, a block of 4 d, two matrices, fused kernels and dropout it is the 34 d bytes of
Korthikanti et al. 2022 (arXiv:2205.05198, section 4).

All parts count at once, save where gradients are freed after each step, on one device or shared out: there either all
activations are alive, at the start of the backward pass, or all gradients, at its end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.models.activations import (
    RECOMPUTE,
    backward_bytes,
    check_recompute,
    freed_bytes,
    layer_kept,
    loss_bytes,
)
from scaleplan.models.count import count, kv_bytes, layer_params
from scaleplan.models.families.parts import plain
from scaleplan.models.margins import MARGINS, Margins
from scaleplan.models.styles import aspect_for, usual_width
from scaleplan.models.tuning import METHOD, Method
from scaleplan.models.weights import States, Weights, trained_layers, weights_of
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scaleplan.models.architecture import Architecture

__all__ = [
    "BANDS",
    "DEFAULT_STATES",
    "FULL",
    "RECOMPUTE",
    "STATES",
    "WIDE_BANDS",
    "Bands",
    "Division",
    "Footprint",
    "Memory",
    "Parallel",
    "Room",
    "StageLoad",
    "States",
    "Training",
    "divides",
    "driver_context",
    "served_by",
    "serving_memory",
    "states_of",
    "training_memory",
    "typical",
]

DEFAULT_STATES = "mixed"

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
class Parallel:
    """The division of a model and its data over devices.

    ``expert`` devices are part of the ``data`` and ``context`` ones; ``virtual`` is the number of chunks of layers
    of a pipeline stage (an interleaved schedule); ``zero`` is the stage of sharing. States are shared within each of
    ``groups`` of the data-parallel devices, which hold the same: more than one is hybrid sharding.
    """

    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    expert: int = 1
    zero: int = 1
    virtual: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name != "zero" and (isinstance(value, bool) or value != int(value) or value < 1):
                raise UsageError(f"{item.name} parallelism is a whole number of at least 1, not {value}")
        if (self.data * self.context) % self.expert:
            raise UsageError(
                f"{self.expert} expert-parallel GPUs do not divide {self.data * self.context} data-parallel ones"
            )
        if (self.data * self.context) % (self.groups * self.expert):
            raise UsageError(
                f"{self.data * self.context} data-parallel GPUs are not {self.groups} groups of all experts"
            )

    @property
    def share(self) -> int:
        """Devices that share the states of a part of the model."""
        return self.data * self.context // self.groups

    @property
    def devices(self) -> int:
        """All devices."""
        return self.data * self.replica

    @property
    def replica(self) -> int:
        """Devices that work on one sequence."""
        return self.tensor * self.pipeline * self.context


class Training(Record):
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
    method: Method = METHOD
    """What is trained, and how; ``states`` say the bytes of a parameter where it names no precision or optimizer."""
    in_flight: int | None = None
    """Micro-batches that a pipeline works on before it drains; None for as many as it has stages."""

    def filling(self, pipeline: int) -> int:
        """Return the micro-batches that the first of some stages works on at once."""
        return min(self.accumulation, self.in_flight or pipeline, pipeline)


FULL = 1 + 1e-9
"""The demand that still fits: 1, and what sums in different orders differ by."""


class Memory(Record):
    """Bytes on the fullest device, by what they hold; ``cache`` is for serving.

    ``copies`` are matrices in other bits that live for a while: of autocast, of quantised weights, of gradients that
    are used at once.
    """

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    gathered: float
    cache: float
    overhead: float
    total: float
    copies: float = 0.0

    @classmethod
    def of(cls, **parts: float) -> Memory:
        """Return the memory of these parts and the framework; a part that is not named is 0."""
        names = [item.name for item in fields(cls) if item.name != "total"]
        held = {**dict.fromkeys(names, 0.0), "overhead": MARGINS.reserve, **parts}
        return cls(**held, total=math.fsum(held.values()))

    @property
    def states(self) -> float:
        """Weights, gradients and optimizer states."""
        return self.weights + self.gradients + self.optimizer

    @property
    def allocated(self) -> float:
        """What tensors take: all but the framework."""
        return self.total - self.overhead

    def demand(self, memory_bytes: float, margins: Margins = MARGINS) -> float:
        """Return how much it needs of what margins leave of a device's nominal bytes: more than 1 does not fit."""
        return max(self.total / (margins.usable * memory_bytes), self.states / (margins.states * memory_bytes))

    def fits(self, memory_bytes: float, margins: Margins = MARGINS) -> bool:
        """Whether a device of so many nominal bytes can hold it."""
        return self.demand(memory_bytes, margins) <= FULL


_MOST_SEQUENCES = 1 << 20  # at once on a device; what fits more is no model


class Division(NamedTuple):
    """The devices among which one replica is divided, and the ways in which experts are."""

    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    expert: int = 1
    virtual: int = 1

    @classmethod
    def of(cls, parallel: Parallel) -> Division:
        """Return the division of a replica in all of the parallelism."""
        return cls(parallel.tensor, parallel.pipeline, parallel.context, parallel.expert, parallel.virtual)

    @property
    def replica(self) -> int:
        """Devices that work on one sequence."""
        return self.tensor * self.pipeline * self.context


class Room(NamedTuple):
    """The bytes of a device that margins leave: for states, for everything, and of it for the framework."""

    states: float
    total: float
    reserve: float

    @classmethod
    def of(cls, memory_bytes: float, margins: Margins) -> Room:
        """Return the room on a device of so many nominal bytes."""
        return cls(margins.states * memory_bytes, margins.usable * memory_bytes, margins.reserve)


_BLOCKS, _STREAMS = 1.05, 1.15
"""What the allocator holds of what a step works with: blocks of rounded sizes that do not all fit again; on several
devices also those that a stream of communication has not yet given back. From pairs of figures of the same runs, what
tensors take and what the driver shows (fms-acceleration, ``scripts/benchmarks/refs``)."""

_USUAL_LENGTH = 2048.0
"""Tokens of long examples of fine-tuning. Where lengths differ, logits of as many leave blocks that suit no other."""

_COMMUNICATION = 1e9
"""Bytes of a communication library on each of several devices, by the same pairs."""


class Bands(Record):
    """Shares of an estimate within which four of five published peaks are, by what programs show of them."""

    allocated: float
    reserved: float
    device_used: float


BANDS = Bands(allocated=0.12, reserved=0.20, device_used=0.20)
"""How far the peaks in ``docs/guides/memory.md`` scatter, also those that no constant was chosen by: tensors alone;
with an allocator; with a driver."""

WIDE_BANDS = Bands(allocated=0.20, reserved=0.25, device_used=0.25)
"""The same where neither a trainer nor its choices are known."""

_GIBI = 2.0**30

_CONTEXTS = ((2018, 1.3), (2021, 0.5), (2023, 0.6), (math.inf, 0.8))
"""GiB that a driver's context and libraries take, by the last year of a generation of devices: before kernels were
loaded when first called (CUDA 11.7) 1.3 on a V100, since then less, but more on larger devices."""


def driver_context(year: float | None, devices: int = 1) -> float:
    """Return the bytes of a driver's context on a device of a year; of today's where it is not known.

    Several devices hold what their communication needs besides.
    """
    return next(size for last, size in _CONTEXTS if (year or 2022) <= last) * _GIBI + _COMMUNICATION * (devices > 1)


class StageLoad(NamedTuple):
    """What a device of a stage holds, whatever the number of devices that share its states.

    ``plain`` and ``routed`` are its trained parameters before sharing, those of routed experts apart; the others are
    bytes: ``frozen`` and ``frozen_routed`` of weights that are not trained, ``gathered`` those of the layers that
    sharded weights are gathered in, ``copies`` on each device. Activations have gone when the optimizer copies
    ``step`` bytes of each trained parameter; with ``apart`` a device that shares all or nothing has gradients only
    then.
    """

    plain: float
    routed: float
    activations: float
    logits: float
    gathered: float
    frozen: float = 0.0
    frozen_routed: float = 0.0
    copies: float = 0.0
    step: float = 0.0
    apart: bool = False
    freed: float = 0.0
    """Bytes of blocks that logits have left, and that are too large, or of other lengths, for what follows."""

    def demand(self, states: States, *, zero: int, share: float, expert: int, room: Room) -> float:
        """Return :meth:`Memory.demand` of :meth:`memory` at once, for searches."""
        held = self.plain * sum(states.shared(zero, share))
        if self.routed:
            held += self.routed * sum(states.shared(zero, share / expert))
        work = self.activations + self.logits + self.copies + room.reserve
        if zero >= 3 and share > 1:
            work += self.gathered
            held += self.frozen / share + self.frozen_routed * expert / share
        else:
            held += self.frozen + self.frozen_routed
        if self.step or self.apart:
            gradients, copied = self.late(states, zero=zero, share=share, expert=expert)
            if self.activations + self.logits > gradients + copied:
                held -= gradients
            else:
                work += copied - self.activations - self.logits
        return max((held + work) / room.total, held / room.states)

    def memory(self, states: States, *, zero: int, share: int, expert: int, margins: Margins) -> Memory:
        """Return the memory with states shared by so many devices at a ZeRO stage."""
        weights, gradients, optimizer = self._held(states, zero=zero, share=share, expert=expert)
        activations, logits, copies = self.activations, self.logits, self.copies
        freed, copied = self.late(states, zero=zero, share=share, expert=expert)
        if activations + logits > freed + copied:
            gradients -= freed
        elif freed or copied:
            activations = logits = 0.0
            copies += copied
        return Memory.of(
            weights=weights,
            gradients=gradients,
            optimizer=optimizer,
            activations=activations,
            logits=logits,
            gathered=self.gathered if zero >= 3 and share > 1 else 0.0,
            copies=copies,
            overhead=margins.reserve,
        )

    def reserved(self, states: States, *, zero: int, share: int, expert: int, scarce: bool = False) -> float:
        """Return what an allocator takes of the device: a block that has been needed once is not given back.

        With ``scarce`` memory blocks that suit nothing are.
        """
        work = self.activations + self.logits + self.copies
        work += self.gathered if zero >= 3 and share > 1 else 0.0
        blocks = _STREAMS if share > 1 else _BLOCKS
        _, copied = self.late(states, zero=zero, share=share, expert=expert)
        held = self._held(states, zero=zero, share=share, expert=expert)
        freed = 0.0 if scarce else self.freed
        return sum(held) + max(blocks * work + freed, self.copies + copied)

    def _held(self, states: States, *, zero: int, share: int, expert: int) -> tuple[float, float, float]:
        """Return the bytes of weights, frozen ones among them, of gradients and of optimizer states."""
        weights, gradients, optimizer = (
            self.plain * dense + self.routed * routed
            for dense, routed in zip(states.shared(zero, share), states.shared(zero, share / expert), strict=True)
        )
        ways = share if zero >= 3 else 1
        frozen = self.frozen / ways + self.frozen_routed * (expert if zero >= 3 and share > 1 else 1) / ways
        return weights + frozen, gradients, optimizer

    def late(self, states: States, *, zero: int, share: float, expert: int) -> tuple[float, float]:
        """Return the bytes that come when activations have gone: freed gradients, and the optimizer's copies."""
        gradients = 0.0
        if self.apart and (share == 1 or zero >= 3):  # buckets of whole gradients stay where they are not shared
            dense, routed = states.shared(zero, share)[1], states.shared(zero, share / expert)[1]
            gradients = self.plain * dense + self.routed * routed
        if not self.step:
            return gradients, 0.0
        ways = share if zero >= 1 else 1.0
        return gradients, self.step * (self.plain + self.routed * (expert if ways > 1 else 1)) / ways


class Footprint:
    """The memory of one architecture in training, however it is divided; counts are made once."""

    def __init__(self, architecture: Architecture, margins: Margins = MARGINS) -> None:
        self.architecture = architecture
        self.margins = margins
        self._counts = count(architecture)
        self._layer = layer_params(architecture)
        self._routed = max(
            (part.experts.count * part.experts.params for _, part in architecture.parts() if part.experts), default=0
        )
        self._ways: dict[tuple[Method, str], _Way] = {}
        self._last: _Way | None = None
        self._layers: dict[tuple[int, str, int, int], _Layers] = {}

    @property
    def params(self) -> int:
        """All parameters."""
        return self._counts.params

    def states(self, training: Training) -> States:
        """Return the bytes of a trained parameter."""
        return self._way(training).states

    def _way(self, training: Training) -> _Way:
        last = self._last  # a search has one
        if last is None or last.method is not training.method or last.name != training.states:
            key = (training.method, training.states)
            if key not in self._ways:
                self._ways[key] = _Way.of(self.architecture, training, self._counts.params)
            last = self._last = self._ways[key]
        return last

    def memory(self, training: Training, parallel: Parallel) -> Memory:
        """Return the memory of the fullest device; raises UsageError for unsuitable parallelism."""
        _check(self.architecture, training.sequence, parallel)
        states = self.states(training)
        found = [
            stage.memory(
                states, zero=parallel.zero, share=parallel.share, expert=parallel.expert, margins=self.margins
            )
            for stage in self.stages(training, Division.of(parallel))
        ]
        return max(found, key=lambda memory: memory.demand(1.0, self.margins))

    def reserved(self, training: Training, parallel: Parallel, *, scarce: bool = False) -> float:
        """Return what the allocator takes of the fullest device; with ``scarce`` memory, what it must take."""
        states, zero = self.states(training), parallel.zero
        return max(
            stage.reserved(states, zero=zero, share=parallel.share, expert=parallel.expert, scarce=scarce)
            for stage in self.stages(training, Division.of(parallel))
        )

    def largest_micro_batch(self, training: Training, parallel: Parallel, *, memory_bytes: float) -> int:
        """Return the sequences that a device can take at once: activations and logits grow in proportion; 0 for none.

        The micro-batches in flight are those of ``training``.
        """
        room, states = Room.of(memory_bytes, self.margins), self.states(training)
        found = _MOST_SEQUENCES
        for load in self.stages(replace(training, micro_batch=1), Division.of(parallel)):
            still = load._replace(activations=0.0, logits=0.0)
            held = still.memory(
                states, zero=parallel.zero, share=parallel.share, expert=parallel.expert, margins=self.margins
            )
            if held.states > FULL * room.states or held.total > FULL * room.total:
                return 0
            each = load.activations + load.logits
            late = load.late(states, zero=parallel.zero, share=parallel.share, expert=parallel.expert)
            free = room.total * FULL - held.total + sum(late)
            found = min(found, math.floor(free / each) if each else found)
        return max(0, found)

    def stages(self, training: Training, division: Division) -> tuple[StageLoad, ...]:
        """Return the first and the last stage; the only one is both."""
        if division.pipeline == 1:
            return (self._stage(training, division, first=True, last=True),)
        return tuple(self._stage(training, division, first=first, last=not first) for first in (True, False))

    def _stage(self, training: Training, division: Division, *, first: bool, last: bool) -> StageLoad:
        a, way = self.architecture, self._way(training)
        w, tensor = way.weights, division.tensor
        held = math.ceil(a.layers / division.pipeline)
        tables = w.first if first else 0.0
        if last:  # a tied table is held by the last stage too
            tables += w.last if first or not way.tied else way.table if w.first else 0.0
        tokens = training.micro_batch * training.sequence / division.context
        layer = self._activations(training, tensor, way)
        own, share = held, held / a.layers
        if layer.trained < a.layers:  # the last layers are trained
            own = min(layer.trained, held) if last else max(0, layer.trained - (a.layers - held))
            share = own / layer.trained if layer.trained else 0.0
        layers = float(own) if last else _layers_in_flight(own, training, division)
        logits = way.logits / tensor if last else 0.0
        kept = layer.kept * layers
        if own and layer.working > logits:  # a layer works when the logits have gone
            kept += layer.working - logits
        largest = self._layer - self._routed * (1 - 1 / division.expert)
        # tables are gathered one at a time: that of words before the layers, the head after them
        gathered = (min(held, 2) * way.stored + way.reduced) * largest + way.wide * way.table
        load = StageLoad(
            (w.layers * share + tables) / tensor,
            w.routed * share / (tensor * division.expert),
            self.margins.activations * tokens * kept,
            tokens * logits,
            gathered / tensor,
        )
        if way.freed or way.varied:
            others = min(1.0, _USUAL_LENGTH / training.sequence) if way.varied else 0.0
            blocks = way.freed / tensor if last else 0.0
            load = load._replace(freed=tokens * (blocks + others * (logits + blocks)))
        if w.states is None and not way.whole:
            return load
        frozen_tables = w.frozen_first if first else 0.0
        if last:
            frozen_tables += w.frozen_last if first or not way.tied else w.frozen_first
        still = held / a.layers
        if not way.adapts and layer.trained < a.layers:
            still = (held - own) / (a.layers - layer.trained)
        return load._replace(
            gathered=way.whole * held / a.layers / tensor if way.whole else load.gathered,
            frozen=(w.frozen_layers * still + frozen_tables) / tensor,
            frozen_routed=w.frozen_routed * still / (tensor * division.expert),
            copies=(w.still + w.copied * share) / tensor,
            step=way.step,
            apart=way.apart,
        )

    def _activations(self, training: Training, tensor: int, way: _Way) -> _Layers:
        key = (training.sequence, training.recompute, tensor, id(way))  # ways are kept, and so are their ids
        found = self._layers.get(key)
        if found is None:
            found = self._layers[key] = _layers(self.architecture, training, tensor)
        return found


class _Way(NamedTuple):
    """What follows from a way to train a model, however it is divided."""

    method: Method
    name: str
    """That of the states, where they have one."""
    weights: Weights
    states: States
    logits: float
    """Bytes of a token's logits."""
    table: float
    """Weights of the word table."""
    tied: bool
    wide: float
    """Bytes in which tables are gathered."""
    stored: float
    """Bytes in which layers are."""
    reduced: float
    """Bytes of a parameter of a layer whose gradients are whole until they are shared out."""
    whole: float
    """Bytes of all weights where they are gathered at once, else 0."""
    step: float
    """Bytes of a parameter that a step of the optimizer copies."""
    adapts: bool
    apart: bool
    varied: bool
    freed: float
    """Bytes of a token's logits whose blocks stay with the allocator."""

    @classmethod
    def of(cls, a: Architecture, training: Training, params: int) -> _Way:
        """Return what follows from the way of a training."""
        method = training.method
        weights = weights_of(a, method)
        states = weights.states or states_of(training.states)
        wide = min(states.weights, 2.0)
        return cls(
            method=method,
            name=training.states,
            weights=weights,
            states=states,
            logits=loss_bytes(a, method),
            table=float(a.vocab * a.table_width),
            tied=a.tied and not method.untied,
            wide=wide,
            stored=weights.matrix_bits / 8 if method.adapts else wide,
            reduced=0.0 if method.adapts else wide + (states.gradients if states.gradients > wide else 0.0),
            whole=2.0 * params if method.gathers_all else 0.0,
            step=weights.step,
            adapts=method.adapts,
            apart=weights.states is not None and not method.accumulates,
            varied=not method.packed,
            freed=freed_bytes(a, method),
        )


class _Layers(NamedTuple):
    """Bytes of a token: what a trained layer keeps in the mean, and what one works with besides."""

    kept: float
    working: float
    trained: int
    """Layers that are trained, and so keep something: the last ones."""


def _layers(a: Architecture, training: Training, tensor: int) -> _Layers:
    """Return what the layers of a model keep of a token."""
    check_recompute(training.recompute)
    kind, method = RECOMPUTE.index(training.recompute), training.method
    kept = working = 0.0
    trained = 0
    for stack, own in zip(a.stacks, trained_layers(a, method), strict=True):
        if own:
            found = layer_kept(a, stack, method, sequence=training.sequence, tensor=tensor)
            each = found[kind]
            kept += own * each
            trained += own
            # one layer is recomputed at a time
            again = found[0] - (each if kind < len(RECOMPUTE) - 1 else 0.0)
            working = max(working, again + backward_bytes(stack, method, tensor=tensor))
    mean = kept / trained if trained else 0.0
    if "activations" in method.offload:  # two layers are on their way to the host or back
        return _Layers(0.0, working + 2 * mean, trained)
    return _Layers(mean, working, trained)


def training_memory(
    architecture: Architecture, training: Training, parallel: Parallel, margins: Margins = MARGINS
) -> Memory:
    """Return the memory of the fullest device in training; raises UsageError for unsuitable parallelism."""
    return Footprint(architecture, margins).memory(training, parallel)


def divides(a: Architecture, tensor: int) -> bool:
    """Whether so many tensor-parallel devices can share a layer: whole heads, and even blocks.

    Key-value heads are shared evenly, or each is held by the same number of devices.
    """
    for _, part in a.parts():
        keys = part.kv_heads or part.heads or 1
        widths = (part.heads, part.inner, part.experts.width if part.experts else 0)
        if any(width % tensor for width in widths) or (part.heads and keys % tensor and tensor % keys):
            return False
    return True


def _check(a: Architecture, sequence: int, parallel: Parallel) -> None:
    if parallel.pipeline * parallel.virtual > a.layers:
        raise UsageError(
            f"{a.layers} layers cannot be divided among {parallel.pipeline * parallel.virtual} chunks",
            hint=f"at most {a.layers} stages have a layer each",
        )
    if not divides(a, parallel.tensor):
        keys = "" if a.kv_heads == a.heads else f", {a.kv_heads} of keys and values,"
        raise UsageError(
            f"{a.heads} heads{keys} cannot be divided among {parallel.tensor} tensor-parallel GPUs"
            if a.heads % parallel.tensor or keys
            else f"blocks of {a.ffn_width} cannot be divided among {parallel.tensor} tensor-parallel GPUs",
            hint=_ways(ways for ways in range(1, _SHOWN + 1) if divides(a, ways)),
        )
    if sequence % parallel.context:
        raise UsageError(
            f"a sequence of {sequence:,} tokens cannot be divided among {parallel.context} context-parallel GPUs",
            hint=_ways(ways for ways in range(1, _SHOWN + 1) if sequence % ways == 0),
        )
    if parallel.expert > 1 and (a.experts is None or a.experts.count % parallel.expert):
        many = a.experts.count if a.experts else 0
        raise UsageError(
            f"{many} experts cannot be divided among {parallel.expert} GPUs",
            hint=_ways(ways for ways in range(1, _SHOWN + 1) if many % ways == 0) if many else "it has no experts",
        )


_SHOWN = 16  # ways that a hint lists; servers have eight devices, and larger divisions are rare


def _ways(found: Iterable[int]) -> str:
    """Return the hint of the ways to divide something."""
    return f"ways that divide it: {', '.join(map(str, found))}"


def _layers_in_flight(held: int, training: Training, division: Division) -> float:
    """Return how many layers' activations the first stage holds: micro-batches in flight times its layers.

    In a one-forward-one-backward schedule the first of p stages has p micro-batches in flight, the last one has 1;
    with v chunks of layers in each stage the first one holds 1 + (p - 1)/(p v) times as much. A pipeline that is
    drained after fewer micro-batches, as when each is a step's accumulation of its own, holds only those.
    """
    stages, filling = division.pipeline, training.filling(division.pipeline)
    if division.virtual > 1 and filling == stages:
        return held * filling * (1 + (stages - 1) / (stages * division.virtual))
    return float(held * filling)


def serving_memory(
    architecture: Architecture,
    *,
    context: int,
    sequences: int = 1,
    devices: int = 1,
    weight_bytes: float = 2.0,
    cache_bytes: float = 2.0,
    unpacks: bool = False,
    margins: Margins = MARGINS,
) -> Memory:
    """Return the memory of each of ``devices`` tensor-parallel devices that serve ``sequences`` of a model at once.

    Where quantised weights are unpacked to multiply many tokens, as bitsandbytes does for a prompt, the largest
    matrix is there in 16 bits, too.

    Each sequence may grow to ``context`` tokens. The devices share the weights; the cache is shared by as many as
    there are key-value heads, and a latent cache by none. Raises UsageError for a number of devices that no engine
    can divide the heads by.
    """
    a = architecture
    if not served_by(a, devices):
        heads = f"{a.heads} heads" + (f" ({a.kv_heads} for keys and values)" if a.kv_heads != a.heads else "")
        possible = [n for n in range(1, a.heads + 1) if served_by(a, n)]
        near = [*[n for n in possible if n < devices][-1:], *[n for n in possible if n > devices][:1]]
        raise UsageError(
            f"{devices:,} GPUs cannot share {heads}: each takes whole ones",
            hint=f"serve on {' or '.join(map(str, near))}",
        )
    ways = min(devices, _cache_heads(a))
    return Memory.of(
        weights=count(a).params * weight_bytes / devices,
        cache=sequences * kv_bytes(a, context=context, bytes_per_value=cache_bytes) / ways,
        logits=sequences * 6.0 * a.vocab / devices,  # one new token of each sequence at a time
        copies=2.0 * _largest_matrix(a) / devices if unpacks else 0.0,
        overhead=margins.reserve,
    )


def _largest_matrix(a: Architecture) -> int:
    """Return the weights of the largest matrix of a layer."""
    atoms = [atom for _, part in a.parts() for atom in (*part.atoms, *(part.experts.atoms if part.experts else ()))]
    return max((atom.params for atom in atoms if atom.kind == "matrix"), default=0)


def served_by(a: Architecture, devices: int) -> bool:
    """Return whether each device gets the same whole heads; keys and values may be kept more than once."""
    for _, part in a.parts():
        if part.heads % devices:
            return False
        if part.kv_heads and part.cache >= part.keys and part.kv_heads % devices and devices % part.kv_heads:
            return False
    return True


def _cache_heads(a: Architecture) -> int:
    """Return the devices that can share a cache: as many as key-value heads, one where it is compressed."""
    shared = [(part.kv_heads or 1) if part.cache >= part.keys else 1 for _, part in a.parts() if part.cache]
    return min(shared, default=1)


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
    return plain(
        family="typical",
        layers=layers,
        width=whole,
        heads=heads,
        kv_heads=heads,
        head_size=max(1, round(whole / heads)),
        ffn_width=8 * max(1, round(whole / 3)),
        vocab=_VOCAB,
    )
