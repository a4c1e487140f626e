"""The memory to serve a model: weights as they are stored, and the cache of its sequences."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.models.layout import Excess
from scaleplan.models.memory import BANDS, served_by, serving_memory
from scaleplan.models.memory_summary import SHORTEST, MemorySummary, about_context, shown, subject
from scaleplan.models.tuning import UPCAST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.models.margins import Margins
    from scaleplan.models.memory import Memory
    from scaleplan.models.model import Model
    from scaleplan.models.quantization import Quantization

__all__ = ["memory_to_serve"]


def memory_to_serve(
    model: Model,
    device: Accelerator | None,
    *,
    gpus: int,
    sequence: int,
    sequences: int,
    weight_bits: float | None,
    cache_bits: float,
    stored: Quantization | None,
    margins: Margins,
) -> MemorySummary:
    """Serve by ``weight_bits`` for every weight; as they are stored when None."""
    stored = stored if weight_bits is None else None
    bits = stored.bits if stored else weight_bits or 16.0

    def needs(devices: int, weight_bytes: float, context: int = sequence) -> Memory:
        return serving_memory(
            model.architecture,
            context=context,
            sequences=sequences,
            devices=devices,
            weight_bytes=weight_bytes,
            cache_bytes=cache_bits / 8,
            unpacks=stored is not None and stored.method in UPCAST,
            margins=margins,
        )

    def excess(held: Memory) -> Excess | None:
        # weights alone may fill a device: what training leaves free of states is for its activations
        return Excess.of(held, device.memory_bytes, replace(margins, states=math.inf)) if device else None

    def ways_out() -> Iterator[str]:
        possible = (
            many for many in range(gpus + 1, model.architecture.heads + 1) if served_by(model.architecture, many)
        )
        more = next((many for many in possible if excess(needs(many, stored_bytes)) is None), None)
        if more is not None:
            yield f"--gpus {more}"
        halves = (sequence // 2**halvings for halvings in range(1, sequence.bit_length()))
        shorter = next((few for few in halves if excess(needs(gpus, stored_bytes, few)) is None), None)
        if shorter is not None and shorter >= SHORTEST:
            yield f"--context {shorter}"
        fewer = next((few for few in _SERVED_BITS if few < bits and excess(needs(gpus, few / 8)) is None), None)
        if fewer is not None:
            yield f"--weight-bits {fewer}"

    stored_bytes = stored.weight_bytes(model.counts) if stored else bits / 8
    held = needs(gpus, stored_bytes)
    over = excess(held)
    return MemorySummary(
        **subject(model, device),
        purpose="serving",
        gpus=gpus,
        fits=None if device is None else over is None,
        memory=held,
        sequence=sequence,
        sequences=sequences,
        margins=margins,
        excess=over,
        ways_out=() if over is None else tuple(ways_out()),
        weight_bits=bits,
        quantization=stored.method if stored else None,
        warnings=tuple(about_context(model, sequence)),
        bands=BANDS,
        **shown(held, held.allocated, device, gpus),
    )


_SERVED_BITS = (8, 4)
"""The bits of a weight to which served models are usually quantised, the closer first."""
