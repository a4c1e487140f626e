"""How many devices can a batch feed, how few can train a model, and how much fits one of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError
from scaleplan.models.count import count
from scaleplan.models.memory import STATES_SHARE, Parallel, Training, training_memory
from scaleplan.models.states import states_of

if TYPE_CHECKING:
    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.models.architecture import Architecture

__all__ = ["NODE", "fewest_devices", "largest_micro_batch", "linked_devices", "most_devices"]

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
