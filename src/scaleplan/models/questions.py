"""The public functions about a model: its counts, a shape of a size, its memory.

They are called by the command line and from Python; amounts are texts or numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scaleplan.errors import QuantityError, UsageError, quote
from scaleplan.hardware.budget import Catalogue
from scaleplan.models.layout import FixedLayout, MemorySummary, fewest_devices, find_layout, linked_devices
from scaleplan.models.memory import DEFAULT_STATES, USABLE, Training, serving_memory, training_memory
from scaleplan.models.model import DEFAULT_CONTEXT, Model, read_model
from scaleplan.models.shape import shape as find_shape
from scaleplan.units import parse_count, parse_integer, parse_positive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.models.shape import Shape
    from scaleplan.units import Amount

__all__ = ["memory", "model", "shape", "whole"]


_LONGEST_CONTEXT = 10**9  # tokens, as for the fields of a config: a hundred times the longest that was announced


def whole(amount: Amount | None, *, what: str) -> int | None:
    """Return a whole number of at least 1 (``"128k"`` is 128,000), None for None; raises UsageError for others."""
    if amount is None:
        return None
    if what != "context":
        return parse_integer(amount)
    tokens = parse_count(amount, what="tokens")
    if tokens % 1:
        raise UsageError(f"{what} {quote(amount)} is not a whole number of at least 1", hint="for example 4096 or 8k")
    if tokens > _LONGEST_CONTEXT:
        raise UsageError(f"{what} {quote(amount)} is longer than any model's", hint="for example 4096 or 8k")
    return int(tokens)


def model(
    source: str | Path | Mapping[str, object], *, arch: str | None = None, context: Amount | None = None
) -> Model:
    """Read a model config: exact parameters, training FLOP per token, cache.

    Parameters
    ----------
    source
        A ``config.json``, a folder that holds one, its text, or the mapping itself.
    arch
        The family to read it as, where the config's ``model_type`` is unknown or absent.
    context
        Tokens in a training sequence, for the FLOP of attention.

    Raises
    ------
    FileError
        When the config cannot be read, or fields are missing, malformed or contradictory.

    Examples
    --------
    >>> import scaleplan as sp
    >>> sizes = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}
    >>> sp.model({**sizes, "n_positions": 1024}).params
    124439808

    """
    return read_model(source, arch=arch, context=whole(context, what="context"))


def shape(
    params: Amount,
    *,
    style: str = "llama",
    count: str = "total",
    vocab: Amount | None = None,
    tied: bool | None = None,
    kv_heads: Amount | None = None,
    tensor_parallel: Amount = 1,
    context: Amount | None = None,
    experts: Amount | None = None,
    experts_per_token: Amount | None = None,
) -> Shape:
    """Return a hardware-aligned architecture of a size; see :func:`scaleplan.models.shape.shape`.

    ``count`` is ``total`` where ``params`` counts everything, ``non_embedding`` where it leaves tables and head out.

    Examples
    --------
    >>> import scaleplan as sp
    >>> found = sp.shape("7B")
    >>> abs(found.params / 7e9 - 1) < 0.01
    True

    """
    return find_shape(
        parse_count(params, what="params"),
        style=style,
        convention=count,
        vocab=whole(vocab, what="vocab"),
        tied=tied,
        kv_heads=whole(kv_heads, what="kv_heads"),
        tensor_parallel=whole(tensor_parallel, what="tensor_parallel") or 1,
        context=whole(context, what="context"),
        experts=whole(experts, what="experts"),
        experts_per_token=whole(experts_per_token, what="experts_per_token"),
    )


def memory(
    source: Amount | Path | Mapping[str, object] | Model,
    *,
    gpu: str | None = None,
    gpus: Amount | None = None,
    context: Amount | None = None,
    batch: Amount | None = None,
    micro_batch: Amount | None = None,
    states: str | None = None,
    recompute: str | None = None,
    zero: Amount | None = None,
    tensor: Amount | None = None,
    pipeline: Amount | None = None,
    context_parallel: Amount | None = None,
    expert: Amount | None = None,
    serve: bool = False,
    sequences: Amount | None = None,
    weight_bits: Amount | None = None,
    cache_bits: Amount | None = None,
) -> MemorySummary:
    """Return the memory that each device needs to train a model, or with ``serve`` to serve it.

    Parameters
    ----------
    source
        A size (``"7B"``: the llama shape of it), a model, or what :func:`model` reads.
    gpu, gpus
        The devices. With both, the preferred layout that fits is found; without a number, for the fewest devices.
    context, batch, micro_batch
        Tokens of a sequence and of a step, and sequences that a device takes at once.
    states, recompute, zero, tensor, pipeline, context_parallel, expert
        The parts of the layout that must be as given.
    serve, sequences, weight_bits, cache_bits
        For serving: sequences at once, bits of a weight and of a cached value (16).

    Raises
    ------
    UnreachableError
        When nothing fits the devices.

    Examples
    --------
    >>> import scaleplan as sp
    >>> sp.memory("7B", gpu="h100-sxm").gpus
    2

    """
    found = source if isinstance(source, Model) else _sized(source)
    device = None if gpu is None else Catalogue().accelerators.get(gpu)
    devices, length = whole(gpus, what="gpus"), whole(context, what="context")
    if serve:
        layout = (batch, micro_batch, states, recompute, zero, tensor, pipeline, context_parallel, expert)
        if any(value is not None for value in layout):
            raise UsageError("serving has no training layout", hint="give --gpus, --sequences and bits only")
        return _serving(
            found,
            device,
            gpus=devices or 1,
            sequence=length or found.architecture.context or DEFAULT_CONTEXT,
            sequences=whole(sequences, what="sequences") or 1,
            weight_bits=16.0 if weight_bits is None else parse_positive(weight_bits),
            cache_bits=16.0 if cache_bits is None else parse_positive(cache_bits),
        )
    if any(value is not None for value in (sequences, weight_bits, cache_bits)):
        raise UsageError("sequences and bits belong to serving", hint="add --serve")
    return _training(
        found,
        device,
        gpus=devices,
        sequence=length or min(found.architecture.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT),
        batch_tokens=None if batch is None else parse_count(batch, what="tokens"),
        fixed=FixedLayout(
            states=states,
            recompute=recompute,
            tensor=whole(tensor, what="tensor"),
            pipeline=whole(pipeline, what="pipeline"),
            context=whole(context_parallel, what="context_parallel"),
            expert=whole(expert, what="expert"),
            zero=_stage(zero),
            micro_batch=whole(micro_batch, what="micro_batch"),
        ),
    )


def _serving(
    model: Model,
    device: Accelerator | None,
    *,
    gpus: int,
    sequence: int,
    sequences: int,
    weight_bits: float,
    cache_bits: float,
) -> MemorySummary:
    held = serving_memory(
        model.architecture,
        context=sequence,
        sequences=sequences,
        devices=gpus,
        weight_bytes=weight_bits / 8,
        cache_bytes=cache_bits / 8,
    )
    return MemorySummary(
        **_subject(model, device),
        purpose="serving",
        gpus=gpus,
        fits=held.total <= USABLE * device.memory_bytes if device else None,
        memory=held,
        sequence=sequence,
        sequences=sequences,
    )


def _training(
    model: Model,
    device: Accelerator | None,
    *,
    gpus: int | None,
    sequence: int,
    batch_tokens: float | None,
    fixed: FixedLayout,
) -> MemorySummary:
    """Lay the model out on known devices, one sequence each by default; else divide it by the fixed parts."""
    largest = fewest = None
    if device is None:
        parallel = fixed.parallel(gpus)
        training = Training(
            sequence=sequence,
            micro_batch=fixed.micro_batch or 1,
            accumulation=parallel.pipeline,
            states=fixed.states or DEFAULT_STATES,
            recompute=fixed.recompute or "none",
        )
    else:
        memory, linked = device.memory_bytes, linked_devices(device)
        try:
            fewest = fewest_devices(model.architecture, memory_bytes=memory, linked=linked, sequence=sequence)
        except UsageError:  # one sequence is too long for any number of them
            if gpus is None:
                raise
        devices = gpus or fewest or 1
        layout = find_layout(
            model.architecture,
            gpus=devices,
            memory_bytes=memory,
            linked=linked,
            sequence=sequence,
            batch_tokens=batch_tokens or devices * sequence,
            fixed=fixed,
        )
        training, parallel, largest = layout.training, layout.parallel, layout.largest_micro_batch
    held = training_memory(model.architecture, training, parallel)
    return MemorySummary(
        **_subject(model, device),
        purpose="training",
        gpus=parallel.devices,
        fits=held.fits(device.memory_bytes) if device else None,
        memory=held,
        sequence=sequence,
        parallel=parallel,
        states=training.states,
        recompute=training.recompute,
        micro_batch=training.micro_batch,
        largest_micro_batch=largest,
        accumulation=training.accumulation,
        fewest_devices=fewest,
    )


def _subject(model: Model, device: Accelerator | None) -> dict[str, Any]:
    """Return the fields of a summary that describe the model and the device."""
    gpu, memory = (device.id, device.memory_bytes) if device else (None, None)
    return {"model": model.source, "params": model.params, "gpu": gpu, "memory_bytes": memory}


def _stage(zero: Amount | None) -> int | None:
    """Return a stage of sharing; the only count here that may be 0."""
    if zero is None:
        return None
    for stage in range(4):
        if str(zero).strip() == str(stage):
            return stage
    raise UsageError(f"there is no ZeRO stage {quote(zero)}", hint="stages are 0, 1, 2 and 3; FSDP is 3")


def _sized(source: Amount | Path | Mapping[str, object]) -> Model:
    """Return the model of a config, or of a size: a text that reads as a count is one."""
    if not isinstance(source, str | int | float):
        return read_model(source)
    try:
        params = parse_count(source, what="params")
    except QuantityError:
        if not isinstance(source, str):
            raise
        return read_model(source)
    return replace(find_shape(params).model, source=f"{source} in the llama style")
