"""The run that a training config states, as part of a result."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StatedRun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedRun:
    """The run that a training config states; None for what it leaves open, which ``open`` names with the reasons."""

    trainer: str
    sequence: int | None = None
    sequences_per_step: float | None = None
    tokens_per_step: float | None = None
    steps: int | None = None
    samples: int | None = None
    tokens: float | None = None
    epochs: float | None = None
    gpus: int | None = None
    data_parallel: int | None = None
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    context_parallel: int | None = None
    expert_parallel: int | None = None
    micro_batch: int | None = None
    accumulation: int | None = None
    zero: int | None = None
    precision: str | None = None
    kept: str | None = None
    optimizer: str | None = None
    recompute: str | None = None
    offload: str | None = None
    adapter: str | None = None
    lora_rank: int | None = None
    lora_targets: str | None = None
    weight_bits: int | None = None
    open: tuple[str, ...] = ()
