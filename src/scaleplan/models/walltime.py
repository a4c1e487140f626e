"""Estimate the least wall-clock time of a run by its model, batch and device, and what limits it.

A step cannot be shorter than its compute on as many devices as the batch feeds, than the chain of kernels and
collectives that depend on each other, or than the movement of weights, states and gradients. Erdil and
Schneider-Joseph 2024 (arXiv:2411.01137) treat these limits in full; this is the estimate for one given batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import Notice
from scaleplan.models.count import count
from scaleplan.units import SECONDS_PER_DAY, format_days, format_flops

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture
    from scaleplan.models.memory import Parallel

__all__ = ["LeastTime", "Machine", "beyond_utilisation", "least_time", "most_devices", "step_latency"]


_LIMIT_FLOPS, _LIMIT_DAYS = 1e28, 90.0


_COLLECTIVE, _KERNEL, _KERNELS, _UPDATE = 15e-6, 4.5e-6, 8, 3e-3


def step_latency(layers: int) -> float:
    """Return the seconds of a step that no bandwidth shortens: ``2 L (2 collective + kernels * kernel) + update``.

    Forward and backward, two tensor-parallel collectives a layer (10 to 20 us in a server), 6 to 10 kernels of 4 to
    5 us, and 1 to 5 ms for the update; 10 to 20 ms for 100 layers.
    """
    return 2 * layers * (2 * _COLLECTIVE + _KERNELS * _KERNEL) + _UPDATE


def most_devices(*, batch_tokens: float, sequence: int, replica: int, micro_batches: int = 1) -> float:
    """Return the devices that a batch can feed: ``t p c * B / (T m)`` with m micro-batches of one sequence."""
    return replica * batch_tokens / sequence / micro_batches


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One device, and its share of the network."""

    flops_per_second: float
    """What it achieves: peak times utilisation while training."""
    bandwidth: float
    """Bytes per second of its memory."""
    network: float = 50e9
    """Bytes per second between servers, each way; 50 GB/s is a 400 Gb/s port for each device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeastTime:
    """The least time of a run, and what sets it.

    ``binds`` is ``compute`` (more devices would help), ``batch`` (they would not), ``latency`` or ``movement``. The
    three times are those of a step on the devices in use; ``most_devices`` is what the batch feeds.
    """

    days: float
    binds: str
    steps: int
    most_devices: int
    devices: int
    compute_seconds: float
    latency_seconds: float
    movement_seconds: float


def least_time(
    architecture: Architecture,
    machine: Machine,
    *,
    flops: float,
    tokens: float,
    batch_tokens: float,
    sequence: int,
    parallel: Parallel,
    gpus: float | None = None,
) -> LeastTime:
    """Return the least time of a run of ``flops`` on ``tokens``, in steps of ``batch_tokens``.

    A replica takes at least one sequence; the ``data`` of ``parallel`` plays no part. ``gpus`` are the devices at
    hand, None for as many as the batch feeds.

    """
    steps = tokens / batch_tokens
    most = most_devices(batch_tokens=batch_tokens, sequence=sequence, replica=parallel.replica)
    most = max(most, float(parallel.replica))
    devices = most if gpus is None else min(gpus, most)
    compute = flops / steps / (devices * machine.flops_per_second)
    waits = step_latency(architecture.layers)
    moved = _movement(architecture, machine, parallel, devices)
    slowest = max(compute, waits, moved)
    if slowest == compute:
        binds = "compute" if gpus is not None and gpus < most else "batch"
    else:
        binds = "latency" if slowest == waits else "movement"
    return LeastTime(
        days=steps * slowest / SECONDS_PER_DAY,
        binds=binds,
        steps=math.ceil(steps),
        most_devices=math.floor(most),
        devices=math.floor(devices),
        compute_seconds=compute,
        latency_seconds=waits,
        movement_seconds=moved,
    )


def _movement(a: Architecture, machine: Machine, parallel: Parallel, devices: float) -> float:
    """Return the seconds in which a device moves its share: from its memory, and gradients over the network.

    The weights are read forward and backward, the gradients written once, 16 bits each; the 12 bytes of optimizer
    states, shared over the replicas, are read and written. Gradients are reduced and weights gathered over the
    replicas, 2 bytes each way a parameter.
    """
    share = count(a).params / (parallel.tensor * parallel.pipeline)
    replicas = max(1.0, devices / parallel.replica)
    memory = share * (3 * 2 + 2 * 12 / replicas) / machine.bandwidth
    network = share * 2 * 2 * (1 - 1 / replicas) / machine.network
    return max(memory, network)


def beyond_utilisation(flops: float, days: float) -> Notice | None:
    """Warn of a run that no present cluster keeps busy: more than 1e28 FLOP in three months, or as much a day.

    Erdil and Schneider-Joseph 2024 find that utilisation starts to fall there, and 1e31 out of reach.
    """
    scaled = flops * _LIMIT_DAYS / days
    if scaled <= _LIMIT_FLOPS:
        return None
    return Notice(
        code="beyond_utilisation",
        message=f"{format_flops(flops)} in {format_days(days)} is beyond {format_flops(_LIMIT_FLOPS)} in "
        f"{format_days(_LIMIT_DAYS, digits=2)}, "
        "where moving data makes utilisation fall: take more time, or a lower --mfu",
    )
