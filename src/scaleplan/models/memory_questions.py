"""The public function about memory: its options are those of a training, or of serving."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.hardware.budget import Catalogue
from scaleplan.models.margins import read_margins
from scaleplan.models.memory_to_serve import memory_to_serve
from scaleplan.models.memory_to_train import memory_to_train
from scaleplan.models.quantization import Quantization
from scaleplan.models.questions import parse_whole, sized
from scaleplan.models.sequences import DEFAULT_CONTEXT
from scaleplan.models.training_setup import USUAL_RECOMPUTE, about_config, stated_config, training_setup
from scaleplan.models.tuning import STORED
from scaleplan.units import parse_positive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scaleplan.models.memory_summary import MemorySummary
    from scaleplan.models.model import Model
    from scaleplan.units import Amount

__all__ = ["memory"]


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
    trainer: str | None = None,
    tune: str | None = None,
    rank: Amount | None = None,
    targets: str | None = None,
    trained_layers: Amount | None = None,
    freeze: str | None = None,
    quantize: str | None = None,
    adapter_bits: Amount | None = None,
    optimizer: str | None = None,
    galore_rank: Amount | None = None,
    precision: str | None = None,
    loss: str | None = None,
    attention: str | None = None,
    kernels: str | None = None,
    offload: str | None = None,
    also: str | None = None,
    margins: str | None = None,
    vocab: Amount | None = None,
    data: Catalogue | None = None,
) -> MemorySummary:
    """Return the memory that each device needs to train a model, or with ``serve`` to serve it.

    What does not fit is an answer too: ``fits`` is False, the layout is the nearest to fitting, ``excess`` says what
    is too large of it by how much, and ``ways_out`` with which options the answer is yes.

    Parameters
    ----------
    source
        A size (``"7B"``: the llama shape of it), a model, or what :func:`model` reads. A training config also states
        devices, batch and layout, as far as these are not given here.
    gpu, gpus
        The devices. With both, the preferred layout that fits is found, which may leave some idle; without a number,
        for the fewest devices.
    context, batch, micro_batch
        Tokens of a sequence and of a step, and sequences that a device takes at once.
    states, recompute, zero, tensor, pipeline, context_parallel, expert
        The parts of the layout that must be as given.
    serve, sequences, weight_bits, cache_bits
        For serving: sequences at once, bits of a weight (by the config's ``quantization_config``, else 16) and of a
        cached value (16).
    trainer
        A trainer whose defaults hold for what is not given: ``torchtune``, ``litgpt``, ``huggingface``, …
    tune, rank, targets, adapter_bits, quantize
        ``full``, ``lora``, ``qlora``, ``dora`` or ``qdora``; the adapters' rank, the matrices that have one
        (``"q,v"``, ``"all"``), the bits of their weights, and how frozen matrices are stored (``nf4``, ``int8``, …).
    trained_layers, freeze
        The last layers that are trained, and the parts that are not (``"embeddings"``, ``"norms"``, …).
    optimizer, galore_rank, precision
        Instead of ``states``: the optimizer (``adamw-8bit``, ``muon``, …), the numbers (``bf16``, ``autocast``, …).
    loss, attention, kernels, offload, also
        What keeps logits, attention scores and intermediate results; what is in host memory; other habits.
    margins
        What is left free of each device: ``"states=80%, activations=1, reserve=2GB, usable=92%"``, or some of it.
    vocab
        The vocabulary of a training config that leaves it to the tokenizer.
    data
        The data files; read anew by default.

    Raises
    ------
    UsageError
        For ways to train that contradict each other, or parts of a layout that cannot divide the model, or need more
        devices.

    Examples
    --------
    >>> import scaleplan as sp
    >>> sp.memory("7B", gpu="h100-sxm").gpus
    2

    """
    found = sized(source, vocab)
    way: dict[str, Any] = {
        "trainer": trainer,
        "tune": tune,
        "rank": rank,
        "targets": targets,
        "trained_layers": trained_layers,
        "freeze": freeze,
        "adapter_bits": adapter_bits,
        "optimizer": optimizer,
        "galore_rank": galore_rank,
        "precision": precision,
        "loss": loss,
        "attention": attention,
        "kernels": kernels,
        "offload": offload,
        "also": also,
    }
    layout: dict[str, Any] = {
        "batch": batch,
        "micro_batch": micro_batch,
        "states": states,
        "recompute": recompute,
        "zero": zero,
        "tensor": tensor,
        "pipeline": pipeline,
        "context_parallel": context_parallel,
        "expert": expert,
    }
    device = None if gpu is None else (data or Catalogue()).accelerators.get(gpu)
    if serve:
        if any(value is not None for value in (*layout.values(), *way.values())):
            raise UsageError(
                "serving has no training layout", hint="give --gpus, --sequences, bits and --quantize only"
            )
        if quantize is not None and weight_bits is not None:
            raise UsageError("--quantize and --weight-bits both say how weights are stored", hint="give one of them")
        return memory_to_serve(
            found,
            device,
            gpus=parse_whole(gpus, what="gpus") or 1,
            sequence=parse_whole(context, what="context") or found.architecture.context or DEFAULT_CONTEXT,
            sequences=parse_whole(sequences, what="sequences") or 1,
            weight_bits=_bits(weight_bits),
            cache_bits=_bits(cache_bits) or 16.0,
            stored=found.quantization if quantize is None else _quantization(quantize),
            margins=read_margins(margins),
        )
    if any(value is not None for value in (sequences, weight_bits, cache_bits)):
        raise UsageError("sequences and bits belong to serving", hint="add --serve")
    options = {**layout, **way, "quantize": quantize, "gpus": gpus, "context": context, "margins": margins}
    config, run = stated_config(source, {"gpus": gpus, "context": context, "vocab": vocab, "states": states})
    options.update({name: value for name, value in run.items() if options[name] is None})
    if options["tune"] is not None and options["trainer"] is None and options["recompute"] is None:
        options["recompute"] = USUAL_RECOMPUTE
    held = memory_to_train(found, device, training_setup(found, options))
    return replace(held, warnings=(*about_config(config), *held.warnings))


def _bits(amount: Amount | None) -> float | None:
    """Return the bits of a stored value, None for None; raises UsageError for more than any number has."""
    bits = None if amount is None else parse_positive(amount)
    if bits is not None and bits > _MOST_BITS:
        raise UsageError(f"no number has {quote(amount)} bits", hint=f"at most {_MOST_BITS}")
    return bits


_MOST_BITS = 64


def _quantization(name: str) -> Quantization:
    """Return the way to store the weights of a served model; raises UnknownNameError for none of this name."""
    if name not in STORED:
        raise UnknownNameError("way to store weights", name, STORED)
    return Quantization(name, STORED[name])
