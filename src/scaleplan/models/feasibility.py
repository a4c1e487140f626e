"""Prove what fits: the fewest devices that can train a model, and the layout that needs the least of each.

Every layout that exists is covered: states shared at any ZeRO stage, within groups or over all devices; tensor
parallelism within a node, pipeline stages, context and expert parallelism, any recomputation, a micro-batch of one.
Not each is computed, for memory falls with the devices that share states: for each way to divide a replica (a *cell*)
the fewest that do follow from what its device holds besides. Of the pipelines with as many layers a stage the
shortest has the most devices left to share states, and one micro-batch in flight takes the least; hybrid sharding and
chunked stages only take more. A rule about speed has no part in it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UsageError
from scaleplan.models.margins import MARGINS, Margins
from scaleplan.models.memory import (
    DEFAULT_STATES,
    FULL,
    RECOMPUTE,
    Division,
    Footprint,
    Memory,
    Parallel,
    Room,
    Training,
    divides,
    states_of,
    typical,
)
from scaleplan.models.tuning import METHOD, Method
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from scaleplan.models.architecture import Architecture
    from scaleplan.models.memory import StageLoad

__all__ = ["NODE", "Feasibility", "FixedLayout", "LeastLayout", "device_bytes", "divisors", "largest_params"]

NODE = 8
"""Devices of a usual server: a node, within which tensor parallelism stays."""

_TOP_STAGES = (3, 2)
"""The ZeRO stages that can need the least: lower ones share less and gather nothing either."""


_LEAN = ("selective", "full")
"""The kinds of recomputation that can need the least: selective keeps a part of what none keeps."""


_MOST_CONTEXT_WAYS = 1 << 16
"""Devices among which a sequence is divided at most; more than any cluster has."""


def divisors(number: int, *, most: int = 1 << 20) -> list[int]:
    """Return the divisors of a whole number up to ``most``, rising."""
    low = [n for n in range(1, min(math.isqrt(number), most) + 1) if number % n == 0]
    return sorted({*low, *(number // n for n in low if number // n <= most)})


def _whole(number: float) -> float:
    """Return the whole part of a number, which may be infinite."""
    return number if number == math.inf else math.floor(number)


class FixedLayout(Record):
    """The parts of a layout that must be as given; None where the search may choose."""

    states: str | None = None
    recompute: str | None = None
    tensor: int | None = None
    pipeline: int | None = None
    context: int | None = None
    expert: int | None = None
    zero: int | None = None
    micro_batch: int | None = None
    method: Method = METHOD
    """What is trained, and how; ``states`` name the bytes of a parameter where it does not."""

    def in_one_memory(self) -> FixedLayout:
        """Return the same on devices whose memory is the host's: nothing is kept elsewhere."""
        states = "mixed" if self.states == "offload" else self.states
        return replace(self, states=states, method=self.method.in_one_memory())

    def parallel(self, gpus: int | None) -> Parallel:
        """Return the division that these parts describe, the rest data-parallel."""
        tensor, pipeline, context = self.tensor or 1, self.pipeline or 1, self.context or 1
        replica = tensor * pipeline * context
        devices = gpus or replica
        if devices % replica:
            raise UsageError(
                f"{devices} GPUs cannot be divided into replicas of {replica}",
                hint=f"give a multiple of {replica} with --gpus, or --gpu for a layout that may leave some idle",
            )
        data = devices // replica
        zero = self.zero if self.zero is not None else 3 if data * context > 1 and pipeline == 1 else 1
        return Parallel(
            data=data, tensor=tensor, pipeline=pipeline, context=context, expert=self.expert or 1, zero=zero
        )

    def require_devices(self, gpus: int | None) -> None:
        """Refuse a division that needs more devices than there are; raises UsageError."""
        replica = (self.tensor or 1) * (self.pipeline or 1) * (self.context or 1)
        least = max(replica, (self.tensor or 1) * (self.pipeline or 1) * (self.expert or 1))
        if gpus is not None and gpus < least:
            raise UsageError(
                f"this division needs {least:,} GPUs, and there {'is' if gpus == 1 else 'are'} {gpus:,}",
                hint="divide it less, or give more --gpus",
            )

    def keeps(self, division: Division, *, zero: int) -> bool:
        """Whether a division and its ZeRO stage are as given."""
        pairs = (
            (self.tensor, division.tensor),
            (self.pipeline, division.pipeline),
            (self.context, division.context),
            (self.expert, division.expert),
            (self.zero, zero),
        )
        return all(fixed is None or fixed == value for fixed, value in pairs)


class LeastLayout(NamedTuple):
    """A layout on some devices, and what it needs of what margins leave of each: more than 1 does not fit."""

    demand: float
    parallel: Parallel
    training: Training
    memory: Memory


class _Cell(NamedTuple):
    """A way to divide a replica, the stages that share its states, and what its devices hold besides."""

    division: Division
    zero: int
    recompute: str
    loads: tuple[StageLoad, ...]

    @property
    def step(self) -> int:
        """The number whose multiples of replicas hold whole sets of experts."""
        return self.division.expert // math.gcd(self.division.expert, self.division.context)


class Feasibility:
    """What devices of ``memory_bytes`` nominal bytes can train a model in sequences of a length.

    ``fixed`` are the parts of a layout that must be as given; ``node`` devices share a link. Raises UsageError where
    they cannot divide the model.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        memory_bytes: float,
        sequence: int,
        fixed: FixedLayout | None = None,
        margins: Margins = MARGINS,
        node: int = NODE,
    ) -> None:
        self.model = architecture
        self.node = node
        self.fixed = fixed or FixedLayout()
        self.memory_bytes = memory_bytes
        self.margins = margins
        self.sequence = sequence
        self.states = self.fixed.states or DEFAULT_STATES
        self.footprint = Footprint(architecture, margins)
        self._trainings: dict[str, Training] = {}
        self.bytes_per_param = self.footprint.states(self.training("none"))
        self.room = Room.of(memory_bytes, margins)
        self._loads: dict[Division, dict[str, tuple[StageLoad, ...]]] = {}
        self._check()

    def _check(self) -> None:
        """Refuse fixed parts that divide no model of these dimensions, whatever the devices; raises UsageError."""
        fixed = self.fixed
        parallel = Parallel(
            data=fixed.expert or 1,
            tensor=fixed.tensor or 1,
            pipeline=fixed.pipeline or 1,
            context=fixed.context or 1,
            expert=fixed.expert or 1,
        )
        self.footprint.memory(self.training(fixed.recompute or "none"), parallel)

    def training(self, recompute: str) -> Training:
        """Return the work that takes the least: a micro-batch of one where none is given, one of them in flight."""
        if recompute not in self._trainings:
            self._trainings[recompute] = Training(
                sequence=self.sequence,
                micro_batch=self.fixed.micro_batch or 1,
                states=self.states,
                recompute=recompute,
                method=self.fixed.method,
                in_flight=1,
            )
        return self._trainings[recompute]

    # ---- what may be chosen ---------------------------------------------------------------------------------

    @cached_property
    def tensors(self) -> Sequence[int]:
        """The tensor-parallel ways within a node."""
        return [ways for ways in range(1, self.node + 1) if divides(self.model, ways)]

    @cached_property
    def stages(self) -> Sequence[int]:
        """The pipelines that are the shortest with as many layers a stage."""
        found, layers = [1], self.model.layers
        while found[-1] < layers:
            held = -(-layers // found[-1])
            found.append(-(-layers // (held - 1)))  # the shortest with fewer layers a stage
        return found

    @cached_property
    def contexts(self) -> Sequence[int]:
        """The ways to divide a sequence evenly."""
        return divisors(self.sequence, most=_MOST_CONTEXT_WAYS)

    @cached_property
    def experts(self) -> Sequence[int]:
        """The ways to divide the experts evenly."""
        return [1] if self.model.experts is None else divisors(self.model.experts.count)

    def loads(self, division: Division) -> dict[str, tuple[StageLoad, ...]]:
        """Return what devices hold at the least, by the kinds of recomputation that can need the least."""
        if division not in self._loads:
            # where gradients are freed, states are the fewer the more activations there are
            lean = _LEAN if self.fixed.method.plain else RECOMPUTE
            kinds = (self.fixed.recompute,) if self.fixed.recompute else lean
            self._loads[division] = {kind: self.footprint.stages(self.training(kind), division) for kind in kinds}
        return self._loads[division]

    def demand(self, loads: Iterable[StageLoad], *, zero: int, share: float, expert: int) -> float:
        """Return what the heaviest of some stages needs of what margins leave of a device; above 1 none fits."""
        states, room = self.bytes_per_param, self.room
        return max(load.demand(states, zero=zero, share=share, expert=expert, room=room) for load in loads)

    def has_room_to_work(self, division: Division) -> bool:
        """Whether devices could hold the activations and logits of a division, if they held nothing else."""
        return any(
            all(
                load.activations + load.logits + load.copies + self.room.reserve <= FULL * self.room.total
                for load in loads
            )
            for loads in self.loads(division).values()
        )

    # ---- what fits ------------------------------------------------------------------------------------------

    @cached_property
    def fewest(self) -> int | None:
        """The fewest devices that can train the model; None where no number of them can."""
        return None if self._fewest is None else self._fewest[0]

    @cached_property
    def fewest_layout(self) -> LeastLayout | None:
        """A layout on the fewest devices."""
        if self._fewest is None:
            return None
        _, cell, data = self._fewest
        return self.layout(cell, data)

    def fits(self, gpus: int) -> bool:
        """Whether any layout fits at most so many devices."""
        return next(self._fitting(gpus), None) is not None

    @cached_property
    def _fewest(self) -> tuple[int, _Cell, int] | None:
        found = None
        for fewer in self._fitting(math.inf):
            found = fewer
        return found

    def _fitting(self, most: float) -> Iterator[tuple[int, _Cell, int]]:
        """Yield layouts that fit at most so many devices, each on fewer than before; the last is on the fewest."""
        for tensor, pipeline in self._pairs():
            if tensor * pipeline > most or self._bound(tensor, pipeline, most) > FULL:
                continue
            for context in self._contexts():
                replica = Division(tensor, pipeline, context)
                if replica.replica > most:
                    break
                alone = self._alone(replica)
                if alone is not None:
                    most = replica.replica - 1
                    yield replica.replica, alone, 1
                    break
                for bound in self._bounds(replica):
                    for cell in self._cells(bound):
                        cap = _whole(most / replica.replica)
                        share = max(self._share_needed(load, cell) for load in cell.loads)
                        if cap < 1 or share > cap * context:  # and less divided experts need no fewer devices
                            break
                        data = self._replicas_needed(cell, share, cap)
                        if data is not None:
                            most = replica.replica * data - 1
                            yield replica.replica * data, cell, data

    def least(self, gpus: int) -> LeastLayout:
        """Return the layout on at most so many devices that needs the least of each: the nearest to fitting.

        Raises UsageError where the fixed parts need more devices.
        """
        self.fixed.require_devices(gpus)
        best: tuple[float, _Cell, int] | None = None
        pairs = [(tensor, pipeline) for tensor, pipeline in self._pairs() if tensor * pipeline <= gpus]
        for bound, tensor, pipeline in sorted((self._bound(*pair, gpus), *pair) for pair in pairs):
            if best is not None and bound >= best[0]:
                break
            for context in self._contexts():
                most = gpus // (tensor * pipeline * context)
                if not most:
                    break
                for limit in self._bounds(Division(tensor, pipeline, context)):
                    for data in {most, 1}:
                        for cell in self._cells(limit):
                            if best is not None and self._demand(cell, data) >= best[0]:
                                break  # nor do less divided experts take less
                            whole = data - data % cell.step
                            demand = self._demand(cell, whole) if whole else math.inf
                            if best is None or demand < best[0]:
                                best = (demand, cell, whole)
        assert best is not None
        return self.layout(best[1], best[2])

    def layout(self, cell: _Cell, data: int) -> LeastLayout:
        """Return the layout of a cell on so many replicas."""
        division = cell.division
        parallel = Parallel(
            data=data,
            tensor=division.tensor,
            pipeline=division.pipeline,
            context=division.context,
            expert=division.expert,
            zero=cell.zero if data * division.context > 1 or self.fixed.zero is not None else 0,
        )
        training = self.training(cell.recompute)
        memory = self.footprint.memory(training, parallel)
        return LeastLayout(memory.demand(self.memory_bytes, self.margins), parallel, training, memory)

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the tensor-parallel ways with the pipeline stages, the fewer devices first."""
        fixed = self.fixed
        pairs = [
            (tensor, pipeline)
            for tensor in ([fixed.tensor] if fixed.tensor else self.tensors)
            for pipeline in ([fixed.pipeline] if fixed.pipeline else self.stages)
        ]
        yield from sorted(pairs, key=lambda pair: (pair[0] * pair[1], pair))

    def _contexts(self) -> Sequence[int]:
        return [self.fixed.context] if self.fixed.context else self.contexts

    def _bound(self, tensor: int, pipeline: int, most: float) -> float:
        """Return a demand that no layout with these ways and stages undercuts on at most so many devices.

        All devices share the states, and a sequence is divided among as many as can be.
        """
        share = _whole(most / (tensor * pipeline))
        context = max((ways for ways in self._contexts() if ways <= share), default=1)
        cells = self._bounds(Division(tensor, pipeline, context))
        found = min(self._shared_demand(cell, share) for cell in cells)
        if self.fixed.method.plain or self.fixed.expert not in {None, 1} or share < 1:
            return found
        # a device that shares with none holds gradients or activations, and may need less than one that shares
        alone = self._bounds(Division(tensor, pipeline), expert=1)
        return min(found, *(self._shared_demand(cell, 1) for cell in alone))

    def _bounds(self, replica: Division, expert: int | None = None) -> Iterator[_Cell]:
        """Yield the ways to keep states and activations in a division, experts divided as far as they can be.

        No way to divide the experts takes less of each device; but others may need fewer of them.
        """
        fixed = self.fixed
        division = replica._replace(expert=expert or fixed.expert or self.experts[-1])
        for recompute, loads in self.loads(division).items():
            for zero in _TOP_STAGES if fixed.zero is None else (fixed.zero,):
                yield _Cell(division, zero, recompute, loads)

    def _cells(self, bound: _Cell) -> Iterator[_Cell]:
        """Yield a way to keep states and activations with experts divided in every way, the furthest first."""
        yield bound
        for expert in reversed(self.experts[:-1]) if self.fixed.expert is None else ():
            division = bound.division._replace(expert=expert)
            yield bound._replace(division=division, loads=self.loads(division)[bound.recompute])

    def _alone(self, replica: Division) -> _Cell | None:
        """Return a way for one replica whose states nobody shares, so that none are gathered either."""
        if replica.context > 1 or self.fixed.expert not in {None, 1}:
            return None
        return next((cell for cell in self._bounds(replica, expert=1) if self._demand(cell, 1) <= FULL), None)

    def _demand(self, cell: _Cell, data: int) -> float:
        return self._shared_demand(cell, data * cell.division.context)

    def _shared_demand(self, cell: _Cell, share: float) -> float:
        return self.demand(cell.loads, zero=cell.zero, share=share, expert=cell.division.expert)

    def _replicas_needed(self, cell: _Cell, share: float, most: float) -> int | None:
        """Return the fewest replicas that have ``share`` devices to hold a cell; None where that is too many."""
        division, step = cell.division, cell.step
        if share == math.inf:
            return None
        data = step * max(1, math.ceil(share / (division.context * step)))
        if data > step and self._demand(cell, data - step) <= FULL:  # the last digits of a quotient
            data -= step
        while data <= most and self._demand(cell, data) > FULL:
            if data * division.context > 2 * share + 2 * step * division.context:
                return None
            data += step
        return data if data <= most else None

    def _share_needed(self, load: StageLoad, cell: _Cell) -> float:
        """Return the devices that must share the states of a stage; infinity where none are enough."""
        held = self.bytes_per_param
        kept = sum(held.shared(cell.zero, math.inf))
        apart = kept * (load.plain + load.routed)
        shared = (held.total - kept) * (load.plain + load.routed * cell.division.expert)
        if cell.zero >= 3:
            shared += load.frozen + load.frozen_routed * cell.division.expert
        else:
            apart += load.frozen + load.frozen_routed
        work = load.copies + self.room.reserve + (load.gathered if cell.zero >= 3 else 0.0)
        active = load.activations + load.logits
        room = min(self.room.states - apart, self.room.total - apart - work - active)
        if not load.step:
            return _ways_to_share(shared, room)
        # activations have gone when the optimizer makes its copies
        copied = load.step * (load.plain + load.routed * cell.division.expert)
        late = self.room.total - apart - work
        if not cell.zero:
            return _ways_to_share(shared, min(room, late - copied))
        return max(_ways_to_share(shared, room), _ways_to_share(shared + copied, late))


def _ways_to_share(shared: float, room: float) -> float:
    """Return the devices that must share some bytes so that each has room; infinity where none are enough."""
    if not shared:
        return 1.0 if room >= 0 else math.inf
    return math.ceil(shared / room * (1 - 1e-12)) if room > 0 else math.inf


def device_bytes(params: float, *, gpus: int, sequence: int, margins: Margins = MARGINS, node: int = NODE) -> float:
    """Return the least memory of each of ``gpus`` devices, or fewer, that train so many parameters.

    Of all layouts of a model of usual proportions it is the one that needs the least, states in mixed precision.
    """
    alone = replace(margins, states=math.inf, usable=1.0)  # all bytes count alike, and a device has one
    return (
        Feasibility(typical(params), memory_bytes=1.0, sequence=sequence, margins=alone, node=node).least(gpus).demand
    )


def largest_params(
    memory_bytes: float, *, gpus: int, sequence: int, margins: Margins | None = None, node: int = NODE
) -> float:
    """Return the largest size that any layout fits on devices of so many bytes, to 1e-4; 0 for none.

    All bytes may be used for anything without ``margins``; the other arguments are those of :func:`device_bytes`.
    """
    margins = margins or Margins(states=math.inf, usable=1.0)
    room = Room.of(memory_bytes, margins)

    def fits(params: float) -> bool:
        model = typical(params)
        return Feasibility(model, memory_bytes=memory_bytes, sequence=sequence, margins=margins, node=node).fits(gpus)

    # the states of no more than this fit, and what fits is within some factors of two of it
    high = gpus * min(room.states, room.total) / states_of(DEFAULT_STATES).total
    low = high / 2
    while low >= _LEAST_PARAMS and not fits(low):
        low, high = low / 2, low
    if low < _LEAST_PARAMS:
        return 0.0
    while high > low * (1 + 1e-4):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


_LEAST_PARAMS = 1e5  # below it there is no model to speak of
