"""How large a model fits the devices at hand? Model size ↔ memory of each device, without a concrete shape.

A size is given the proportions of published decoders: width over depth 64 (N / 1e8)^0.11 between 40 and 160, blocks
of 8/3 of the width, a vocabulary of 32,000 rows. Sizes and memory then follow each other smoothly.
"""

from __future__ import annotations

import math

from scaleplan.models.architecture import Architecture
from scaleplan.models.memory import Parallel, Training, training_memory
from scaleplan.models.states import DEFAULT_STATES

__all__ = ["device_bytes", "largest_params", "typical"]

_VOCAB = 32_000
_HEAD = 128
_SMALLEST, _LARGEST = 1e5, 1e15
_PRECISE = 1e-6


def typical(params: float) -> Architecture:
    """Return the proportions of a decoder of about so many parameters.

    The widths are those of ``12 L d² + 2 V d`` parameters: every layer has 4 d² in attention and 8 d² in its block.
    """
    aspect = min(160.0, max(40.0, 64 * (params / 1e8) ** 0.11))
    low, high = 1.0, (params * aspect / 12) ** (1 / 3) + 1
    for _ in range(60):
        width = (low + high) / 2
        low, high = (low, width) if 12 * width**3 / aspect + 2 * _VOCAB * width > params else (width, high)
    layers = max(1, round(low / aspect))
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


def device_bytes(params: float, *, gpus: int, sequence: int, linked: int = 1, states: str = DEFAULT_STATES) -> float:
    """Return the least memory of each of ``gpus`` devices that train so many parameters.

    All states are shared, everything is recomputed, one sequence is in work; of ``linked`` devices 1, 2, 4 or 8 may
    share each layer.
    """
    model = typical(params)
    training = Training(sequence=sequence, states=states, recompute="full")
    return min(
        training_memory(model, training, Parallel(data=gpus // ways, tensor=ways, zero=3 if gpus > ways else 0)).total
        for ways in (1, 2, 4, 8)
        if ways <= linked and gpus % ways == 0
    )


def largest_params(
    memory_bytes: float, *, gpus: int, sequence: int, linked: int = 1, states: str = DEFAULT_STATES
) -> float:
    """Return the largest size whose memory on each device is at most ``memory_bytes``; 0 for none.

    The other arguments are those of :func:`device_bytes`.
    """

    def needed(log_params: float) -> float:
        return device_bytes(math.exp(log_params), gpus=gpus, sequence=sequence, linked=linked, states=states)

    low, high = math.log(_SMALLEST), math.log(_LARGEST)
    if needed(low) > memory_bytes:
        return 0.0
    while high - low > _PRECISE:
        middle = (low + high) / 2
        low, high = (middle, high) if needed(middle) <= memory_bytes else (low, middle)
    return math.exp(low)
