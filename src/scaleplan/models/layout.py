"""Lay a model out on devices: of all divisions that fit, the one that practice prefers.

Whether anything fits is settled by :mod:`scaleplan.models.feasibility`; speed only ranks what does. First come the
usual layouts, which use every device and hide their traffic: full sharding alone, in groups of up to 512 devices
where each has enough tokens a step to hide the gathering; else tensor parallelism within the linked devices, then
pipeline stages (and context parallelism for long sequences); with the least recomputation that fits. Then come the
others by their work: idle devices, recomputation and the bubble of a pipeline.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.models.feasibility import NODE, Feasibility, FixedLayout
from scaleplan.models.margins import MARGINS, Margins
from scaleplan.models.memory import (
    FULL,
    RECOMPUTE,
    Division,
    Memory,
    Parallel,
    Training,
)
from scaleplan.record import Record
from scaleplan.units import GIGA, format_fraction, format_gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.models.architecture import Architecture
    from scaleplan.models.sequences import Batch

__all__ = [
    "Excess",
    "FixedLayout",
    "Layout",
    "LayoutSearch",
    "linked_devices",
]

_LINKED = 250e9  # bytes/s; bridges between two cards and PCIe are below, all server fabrics above

_SHARDED_DEVICES = 512
"""Devices up to which full sharding keeps its traffic hidden on usual networks."""

_TOKENS_TO_HIDE = 4096
"""Tokens of a step on each replica that hide the gathering of weights at 400 Gb/s."""

_MOST_BUBBLE = 0.25
"""Idle share of a pipeline, relative to its work, that is accepted; 0.2 to 0.3 is usual."""

_LONG_CONTEXT = 32_768
"""Tokens of a sequence from which it is worth dividing."""

_CONTEXTS = (1, 2, 4, 8, 16)
"""The ways to divide a sequence that are in use: 16 for the 131,072 tokens of Llama 3.1."""

_MOST_STAGES, _MOST_EXPERT_WAYS = 64, 1024

PARTS = {"gathered": "gathered layers", "cache": "keys and values", "overhead": "the framework"}
"""What the parts of a memory hold, where the name of the field does not say it."""

_WORK = {"none": 1.0, "selective": 7 / 6, "full": 4 / 3}
"""Work by recomputation: a forward pass is a third of a step, and half of its products are a sixth."""


def linked_devices(accelerator: Accelerator) -> int:
    """Return how many devices share a fast link: those of a node, or 1 for cards on PCIe or bridges of two."""
    fabric = accelerator.link_bandwidth is not None and accelerator.link_bandwidth >= _LINKED
    return accelerator.link_devices if fabric or "ICI" in accelerator.link else 1


class Layout(Record):
    """A division of the work on ``gpus`` devices, some of which may stay idle.

    ``largest_micro_batch`` is what would fit, 0 for a layout that does not.
    """

    parallel: Parallel
    training: Training
    memory: Memory
    largest_micro_batch: int
    gpus: int

    @property
    def idle(self) -> int:
        """Devices that have no part in it."""
        return self.gpus - self.parallel.devices

    @property
    def sequences_per_step(self) -> int:
        """Sequences of one optimizer step."""
        return self.parallel.data * self.training.micro_batch * self.training.accumulation

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimizer step."""
        return self.sequences_per_step * self.training.sequence

    @property
    def in_flight(self) -> int:
        """Micro-batches that a pipeline works on at once."""
        return self.training.filling(self.parallel.pipeline)

    @property
    def bubble(self) -> float:
        """Idle over working time: ``(p - 1) / (m v)`` for p stages, m micro-batches and v chunks a stage.

        A pipeline that drains after fewer micro-batches idles as often.
        """
        filling, stages = self.in_flight, self.parallel.pipeline
        between = self.training.accumulation if filling == min(stages, self.training.accumulation) else filling
        return (stages - 1) / (between * self.parallel.virtual)


class Excess(Record):
    """By how much a layout is too large: ``limit`` is ``states`` or ``total``, in bytes as the others.

    ``part`` is the largest of what is limited.
    """

    limit: str
    allowed: float
    needed: float
    over: float
    part: str
    part_bytes: float
    share: float

    @property
    def text(self) -> str:
        """What is too large and by how much, as a clause."""
        needed, over, allowed, part = (
            format_gigabytes(value / GIGA) for value in (self.needed, self.over, self.allowed, self.part_bytes)
        )
        share = format_fraction(self.share, digits=2)
        if self.limit == "states":
            return f"the states need {needed}, {over} more than the {share} of a GPU ({allowed}) that they may take"
        return (
            f"all parts need {needed}, {over} more than the {share} of a GPU ({allowed}) that can be used; "
            f"the largest is {PARTS.get(self.part, self.part)}, {part}"
        )

    @classmethod
    def of(cls, memory: Memory, memory_bytes: float, margins: Margins) -> Excess | None:
        """Return the excess of a memory over a device of so many nominal bytes; None where it fits."""
        if memory.fits(memory_bytes, margins):
            return None
        limits = {
            "states": (margins.states * memory_bytes, memory.states),
            "total": (margins.usable * memory_bytes, memory.total),
        }
        limit = max(limits, key=lambda name: limits[name][1] / limits[name][0])
        allowed, needed = limits[limit]
        states = ("weights", "gradients", "optimizer")
        names = states if limit == "states" else (*states, "activations", "logits", "gathered", "cache", "overhead")
        part = max(names, key=lambda name: getattr(memory, name))
        return cls(
            limit=limit,
            allowed=allowed,
            needed=needed,
            over=needed - allowed,
            part=part,
            part_bytes=getattr(memory, part),
            share=margins.states if limit == "states" else margins.usable,
        )


class _Candidate(NamedTuple):
    """A division to try: on how many replicas, whether it is a usual one, and whether its pipeline drains early."""

    division: Division
    data: int
    zero: int
    groups: int = 1
    recompute: str = "none"
    usual: bool = False
    drained: bool = False

    @property
    def share(self) -> int:
        """Devices that share the states of a part of the model."""
        return self.data * self.division.context // self.groups

    @property
    def parallel(self) -> Parallel:
        """The record of the division."""
        division = self.division
        return Parallel(
            data=self.data,
            tensor=division.tensor,
            pipeline=division.pipeline,
            context=division.context,
            expert=division.expert,
            zero=self.zero,
            virtual=division.virtual,
            groups=self.groups,
        )


class LayoutSearch:
    """The layouts of a model on devices of ``memory_bytes`` nominal bytes, of which ``linked`` share a fast link.

    ``fixed`` are the parts of a layout that must be as given. Raises UsageError where they cannot divide the model.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        memory_bytes: float,
        linked: int,
        sequence: int,
        fixed: FixedLayout | None = None,
        margins: Margins = MARGINS,
    ) -> None:
        self.model = architecture
        self.fixed = fixed or FixedLayout()
        self.memory_bytes = memory_bytes
        self.margins = margins
        self.linked = linked
        self.sequence = sequence
        self.feasible = Feasibility(
            architecture,
            memory_bytes=memory_bytes,
            sequence=sequence,
            fixed=self.fixed,
            margins=margins,
            node=max(NODE, linked),
        )

    def changed(
        self,
        *,
        architecture: Architecture | None = None,
        fixed: FixedLayout | None = None,
        sequence: int | None = None,
    ) -> LayoutSearch:
        """Return the same search for another model, other fixed parts, or sequences of another length."""
        return LayoutSearch(
            architecture or self.model,
            memory_bytes=self.memory_bytes,
            linked=self.linked,
            sequence=sequence or self.sequence,
            fixed=fixed or self.fixed,
            margins=self.margins,
        )

    @property
    def fewest(self) -> int | None:
        """The fewest devices that can train the model; None where no number of them can."""
        return self.feasible.fewest

    def best(self, gpus: int, batch: Batch) -> Layout | None:
        """Return the preferred layout on at most so many devices; None where none fits.

        Each replica has at least one sequence of a step: a batch that feeds too few of them is raised, a given one
        only where nothing fits with it. Raises UsageError where the fixed parts need more devices.
        """
        self.fixed.require_devices(gpus)
        if not self.feasible.fits(gpus):
            return None
        raised = batch._replace(sequences=max(batch.sequences, gpus))
        usual, others = self._usual, self._others
        tries = [(usual, batch), (usual, raised), (others, batch), (others, raised)]
        if batch.given:
            tries[1:3] = reversed(tries[1:3])
        for candidates, wanted in dict.fromkeys(tries):  # a batch may feed all devices as it is
            for candidate in candidates(gpus, wanted):
                found = self._filled(candidate, gpus, wanted)
                if found is not None:
                    return found
        return self._at_the_limit(gpus, batch)

    def closest(self, gpus: int) -> Layout:
        """Return the layout on at most so many devices that needs the least of each, whether it fits or not."""
        least = self.feasible.least(gpus)
        return Layout(
            parallel=least.parallel, training=least.training, memory=least.memory, largest_micro_batch=0, gpus=gpus
        )

    def excess(self, gpus: int) -> Excess:
        """Return what is too large of the nearest layout, by how much, on devices that nothing fits."""
        found = Excess.of(self.closest(gpus).memory, self.memory_bytes, self.margins)
        assert found is not None
        return found

    # ---- in the order of preference -------------------------------------------------------------------------

    def _kinds(self) -> tuple[str, ...]:
        return (self.fixed.recompute,) if self.fixed.recompute else RECOMPUTE

    def _usual(self, gpus: int, batch: Batch) -> Iterator[_Candidate]:
        """Yield the layouts of practice: sharding alone before everything else, then by recomputation and size."""
        found = [
            candidate
            for candidate in self._divisions(gpus, batch)
            if self.fixed.keeps(candidate.division, zero=candidate.zero) and self._holds_states(candidate)
        ]
        for alone in (True, False):
            for recompute in self._kinds():
                for candidate in found:
                    if (candidate.division.replica == 1) is alone:
                        yield candidate._replace(recompute=recompute)

    def _divisions(self, gpus: int, batch: Batch) -> Iterator[_Candidate]:
        """Yield the divisions of all devices that keep each of them busy, by the devices of a replica."""
        sizes = sorted(
            (context * tensor * pipeline, pipeline, context, tensor)
            for context in (_CONTEXTS if self.sequence >= _LONG_CONTEXT else (1,))
            for tensor in self.feasible.tensors
            for pipeline in range(1, min(self.model.layers, _MOST_STAGES) + 1)
            if gpus % (context * tensor * pipeline) == 0 and tensor <= self.linked and self.sequence % context == 0
        )
        for replica, pipeline, context, tensor in sizes:
            data = gpus // replica
            if data > batch.sequences or (pipeline > 1 and batch.each(data, None) < pipeline):
                continue
            virtual = _chunks(self.model.layers, pipeline, batch.each(data, None))
            if virtual is None or not self.feasible.has_room_to_work(Division(tensor, pipeline, context)):
                continue
            for zero, groups in self._sharding(data * context, replica, pipeline, batch.sequences / data):
                for expert in self._expert_ways(data * context // groups):
                    division = Division(tensor, pipeline, context, expert, virtual=virtual)
                    yield _Candidate(division, data, zero, groups, usual=True)

    def _sharding(self, share: int, replica: int, pipeline: int, sequences: float) -> Iterator[tuple[int, int]]:
        """Yield the ZeRO stages whose traffic is hidden, and the groups that share states on their own.

        Sharded weights need tokens to hide behind, and no pipeline.
        """
        if share == 1:
            yield 0, 1
            return
        yield 1, 1
        hidden = sequences * self.sequence >= _TOKENS_TO_HIDE or share <= NODE
        if pipeline > 1 or not hidden:
            return
        if share <= _SHARDED_DEVICES:
            yield 3, 1
        elif replica == 1:
            group = next(n for n in range(_SHARDED_DEVICES, 0, -1) if share % n == 0)
            if group > 1:
                yield 3, share // group

    def _expert_ways(self, share: int) -> list[int]:
        """Return the expert-parallel ways: none, then within the linked devices, then beyond."""
        most = min(share, _MOST_EXPERT_WAYS)
        ways = [n for n in self.feasible.experts if n <= most and share % n == 0]
        return sorted(ways, key=lambda n: (n > 1, n > self.linked, n))

    def _others(self, gpus: int, batch: Batch) -> Iterator[_Candidate]:
        """Yield the layouts that are slower than usual, the least slow first.

        They are ranked by the devices left idle, in powers of two; then by whether replicas are single devices,
        linked ones, or neither; then by whether a pipeline drains early; then by the work of a step.
        """
        ranked = []
        for division in self._slow_divisions(gpus):
            most = min(gpus // division.replica, math.floor(max(batch.sequences, 1)))
            step = division.expert // math.gcd(division.expert, division.context)
            data = most - most % step
            if not data:
                continue
            share = data * division.context
            for zero in (1, 2, 3) if share > 1 else (0,):
                candidate = _Candidate(division, data, zero)
                if not self.fixed.keeps(division, zero=zero) or not self._holds_states(candidate):
                    continue
                idle = gpus / (data * division.replica)
                reach = 0 if division.replica == 1 else 1 if self._near(division) else 2
                bubble = (division.pipeline - 1) / batch.each(data, None)
                for recompute in self._kinds():
                    work = idle * (1 + bubble) * _WORK[recompute]
                    for drained in (False, True) if division.pipeline > 1 else (False,):
                        rank = (math.floor(math.log2(idle)), reach, drained, work, RECOMPUTE.index(recompute))
                        # weights are gathered for each micro-batch
                        sharing = zero if division.pipeline > 1 else -zero
                        rest = (division.replica, division.pipeline, division.context, division.expert, sharing)
                        ranked.append((rank, rest, candidate, recompute, drained))
        for *_, candidate, recompute, drained in sorted(ranked):
            yield candidate._replace(recompute=recompute, drained=drained)

    def _near(self, division: Division) -> bool:
        """Whether tensor parallelism has fast links, and sequences are divided only where they are long."""
        return division.tensor <= self.linked and (division.context == 1 or self.sequence >= _LONG_CONTEXT)

    def _slow_divisions(self, gpus: int) -> Iterator[Division]:
        fixed = self.fixed
        for tensor in [fixed.tensor] if fixed.tensor else self.feasible.tensors:
            for pipeline in [fixed.pipeline] if fixed.pipeline else self.feasible.stages:
                for context in [fixed.context] if fixed.context else _CONTEXTS:
                    replica = Division(tensor, pipeline, context)
                    if replica.replica > gpus or self.sequence % context:
                        continue
                    if not self.feasible.has_room_to_work(replica):
                        continue
                    ways = self._expert_ways(gpus // replica.replica * context)
                    for expert in [fixed.expert] if fixed.expert else sorted({1, *ways[1:2], *ways[-1:]}):
                        yield replica._replace(expert=expert)

    def _holds_states(self, candidate: _Candidate) -> bool:
        """Whether a device can hold the states and what they need, whatever the work."""
        feasible, division = self.feasible, candidate.division
        division = Division(division.tensor, division.pipeline, division.context, division.expert)
        loads = next(iter(feasible.loads(division).values()))  # states are the same in all
        still = [load._replace(activations=0.0, logits=0.0) for load in loads]
        return feasible.demand(still, zero=candidate.zero, share=candidate.share, expert=division.expert) <= FULL

    # ---- a candidate in full --------------------------------------------------------------------------------

    def _filled(self, candidate: _Candidate, gpus: int, batch: Batch) -> Layout | None:
        """Return the layout with the largest micro-batch that fits and divides the step; None when none fits.

        A pipeline that may be drained early has as many micro-batches in flight as fit.
        """
        footprint, division, wanted = self.feasible.footprint, candidate.division, self.fixed.micro_batch
        each, stages = batch.each(candidate.data, wanted), division.pipeline
        training = Training(
            sequence=self.sequence,
            accumulation=each,
            states=self.feasible.states,
            recompute=candidate.recompute,
            method=self.fixed.method,
            in_flight=1 if candidate.drained else None,
        )
        loads = footprint.stages(training, division._replace(virtual=1))
        demand = self.feasible.demand(loads, zero=candidate.zero, share=candidate.share, expert=division.expert)
        if demand > FULL:
            return None
        parallel = candidate.parallel
        largest = footprint.largest_micro_batch(training, parallel, memory_bytes=self.memory_bytes)
        most = min(largest, each // stages if candidate.usual else max(1, each // stages))
        if wanted is not None:
            most = wanted if wanted <= largest else 0
        elif candidate.drained:
            most = min(most, 1)
        for size in range(most, 0, -1) if wanted is None else [wanted] * bool(most):
            if each % size:
                continue
            virtual = _chunks(self.model.layers, stages, each // size) if candidate.usual else 1
            if virtual is None:
                continue
            filled = replace(training, micro_batch=size, accumulation=each // size)
            chunked = replace(parallel, virtual=virtual)
            for in_flight in range(min(stages, each // size), 0, -1) if candidate.drained else [None]:
                filled = replace(filled, in_flight=in_flight)
                memory = footprint.memory(filled, chunked)
                if memory.fits(self.memory_bytes, self.margins):
                    return Layout(
                        parallel=chunked,
                        training=filled,
                        memory=memory,
                        largest_micro_batch=max(largest, size),
                        gpus=gpus,
                    )
        return None

    def _at_the_limit(self, gpus: int, batch: Batch) -> Layout:
        """Return the layout that fits the fewest devices, on as many replicas as there are devices for."""
        least, footprint = self.feasible.fewest_layout, self.feasible.footprint
        assert least is not None
        training, division = least.training, Division.of(least.parallel)
        step = division.expert // math.gcd(division.expert, division.context)
        most = gpus // division.replica
        fed = min(most, math.floor(max(batch.sequences, 1)))  # the batch is kept where that feeds enough of them
        for data in (fed - fed % step, most - most % step, least.parallel.data):
            wanted = batch._replace(sequences=max(batch.sequences, data))
            slow = _Candidate(division, max(data, step), least.parallel.zero, recompute=training.recompute)
            for candidate in (slow, slow._replace(drained=True)):
                found = self._filled(candidate, gpus, wanted)
                if found is not None:
                    return found
        each = wanted.each(least.parallel.data, training.micro_batch)
        training = replace(training, accumulation=each // training.micro_batch)
        memory = footprint.memory(training, least.parallel)
        largest = footprint.largest_micro_batch(training, least.parallel, memory_bytes=self.memory_bytes)
        return Layout(
            parallel=least.parallel, training=training, memory=memory, largest_micro_batch=largest, gpus=gpus
        )


def _chunks(layers: int, pipeline: int, micro_batches: int) -> int | None:
    """Return the fewest chunks a stage that keep the bubble small; None when none do."""
    if pipeline == 1:
        return 1
    needed = math.ceil((pipeline - 1) / (micro_batches * _MOST_BUBBLE))
    return needed if pipeline * needed <= layers else None
