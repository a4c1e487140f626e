"""The public functions about a model: its counts, a shape of a size, its memory.

They are called by the command line and from Python; amounts are texts or numbers.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import Notice, QuantityError, UnknownNameError, UsageError, quote
from scaleplan.files import is_file, is_folder
from scaleplan.hardware.budget import Catalogue
from scaleplan.models.layout import Excess, FixedLayout, LayoutSearch, MemorySummary, Unsaid, Worth, linked_devices
from scaleplan.models.margins import Margins, read_margins
from scaleplan.models.memory import (
    BANDS,
    DEFAULT_STATES,
    WIDE_BANDS,
    Footprint,
    Memory,
    Training,
    driver_context,
    served_by,
    serving_memory,
)
from scaleplan.models.model import DEFAULT_CONTEXT, Model, read_model, training_config_at
from scaleplan.models.quantization import Quantization
from scaleplan.models.sequences import Batch
from scaleplan.models.shape import shape as find_shape
from scaleplan.models.tuning import METHOD, STORED, TARGETS, UPCAST, extremes_of, method_of, names_of_matrix
from scaleplan.models.usual_ways import BF16, LORA, PAGED_IN_BACKWARD, QLORA, options_text
from scaleplan.models.weights import weights_of
from scaleplan.units import parse_count, parse_integer, parse_positive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.models.layout import Layout
    from scaleplan.models.memory import Bands, Parallel
    from scaleplan.models.shape import Shape
    from scaleplan.models.tuning import Method
    from scaleplan.trainers.training_config import TrainingConfig
    from scaleplan.units import Amount

__all__ = [
    "LAYOUT",
    "TrainingSetup",
    "about_config",
    "about_context",
    "about_kernels",
    "best_layout",
    "memory",
    "model",
    "parse_whole",
    "search_of",
    "shape",
    "shown",
    "sized",
    "stated",
    "stated_config",
    "training_setup",
]


_LONGEST_CONTEXT = 1e9  # a hundred times that of any model


def parse_whole(amount: Amount | None, *, what: str) -> int | None:
    """Return a whole number of at least 1 (``"128k"`` is 128,000), None for None; raises UsageError for others."""
    if amount is None:
        return None
    if what != "context":
        return parse_integer(amount)
    tokens = parse_count(amount, what="tokens")
    if tokens % 1 or not 1 <= tokens <= _LONGEST_CONTEXT:
        raise UsageError(f"{what} {quote(amount)} is not a whole number from 1 to 1,000,000,000", hint="8192 or 128k")
    return int(tokens)


def model(
    source: str | Path | Mapping[str, object],
    *,
    arch: str | None = None,
    context: Amount | None = None,
    vocab: Amount | None = None,
) -> Model:
    """Read a model config: exact parameters, training FLOP per token, cache.

    Parameters
    ----------
    source
        A ``config.json``, a folder that holds one, its text, the mapping itself, the training config of a trainer
        that is known, or the name of a published model.
    arch
        The family to read it as, where the config's ``model_type`` is unknown or absent.
    context
        Tokens in a training sequence, for the FLOP of attention.
    vocab
        The vocabulary of a training config that leaves it to the tokenizer.

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
    length, rows = parse_whole(context, what="context"), parse_whole(vocab, what="vocab")
    return read_model(source, arch=arch, context=length, vocab=rows)


def stated_config(source: object, given: Mapping[str, Any]) -> tuple[TrainingConfig | None, dict[str, Any]]:
    """Return the training config at a path, and the options of :func:`memory` that it states; none of another source.

    Devices, context and vocabulary that are ``given`` win over what stands in the file; given states leave out what
    says them too.
    """
    if not isinstance(source, str | Path):
        return None, {}
    known = {"vocab": "vocab", "gpus": "gpus", "sequence": "context"}
    amounts = {name: parse_whole(given.get(option), what=option) for name, option in known.items()}
    found = training_config_at(source, **amounts)
    return (None, {}) if found is None else (found.config, found.options(states=given.get("states") is not None))


def stated(
    source: object,
    *,
    gpus: Amount | None = None,
    context: Amount | None = None,
    vocab: Amount | None = None,
    states: str | None = None,
) -> dict[str, Any]:
    """Return the options of :func:`memory` that a training config states; none of what is no such file.

    With ``states`` given by name, none about what they say too.
    """
    return stated_config(source, {"gpus": gpus, "context": context, "vocab": vocab, "states": states})[1]


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
        vocab=parse_whole(vocab, what="vocab"),
        tied=tied,
        kv_heads=parse_whole(kv_heads, what="kv_heads"),
        tensor_parallel=parse_whole(tensor_parallel, what="tensor_parallel") or 1,
        context=parse_whole(context, what="context"),
        experts=parse_whole(experts, what="experts"),
        experts_per_token=parse_whole(experts_per_token, what="experts_per_token"),
    )


def _bits(amount: Amount | None) -> float | None:
    """Return the bits of a stored value, None for None; raises UsageError for more than any number has."""
    bits = None if amount is None else parse_positive(amount)
    if bits is not None and bits > _MOST_BITS:
        raise UsageError(f"no number has {quote(amount)} bits", hint=f"at most {_MOST_BITS}")
    return bits


_MOST_BITS = 64


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
        return _serving(
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
        options["recompute"] = _USUAL_RECOMPUTE
    held = _training(found, device, training_setup(found, options))
    return replace(held, warnings=(*about_config(config), *held.warnings))


_USUAL_RECOMPUTE = "full"
"""What is recomputed where a way to tune is given, and neither that nor a trainer: the default of TRL, PEFT's
preparation of quantised models, LLaMA-Factory, ms-swift, Unsloth and torchtune's configurations."""


class TrainingSetup(NamedTuple):
    """A training as its options describe it: devices, sequences, and the parts of its layout that are given."""

    gpus: int | None
    sequence: int
    batch_tokens: float | None
    fixed: FixedLayout
    margins: Margins
    trainer: str | None = None
    """Whose habits hold where nothing is said, in other ways to train too."""
    extremes: tuple[Method, Method] | None = None
    """The ways that keep the least and the most, by choices that are not made."""

    @property
    def bands(self) -> Bands:
        """How far published peaks are from answers to such questions."""
        return BANDS if self.extremes is None else WIDE_BANDS


LAYOUT = (
    *("gpus", "context", "batch", "micro_batch", "states", "recompute", "zero"),
    *("tensor", "pipeline", "context_parallel", "expert", "margins"),
)
"""Options of a training that say nothing about its way."""

_WHOLE = ("rank", "trained_layers", "adapter_bits", "galore_rank")


def training_setup(model: Model, options: Mapping[str, Any]) -> TrainingSetup:
    """Read the options of a training: those of :func:`memory` but for the model and the device; None for a default.

    Raises UsageError for ways to train that contradict each other.
    """
    read = {name: parse_whole(options.get(name), what=name) for name in ("gpus", "context", "micro_batch")}
    way = {name: value for name, value in options.items() if name not in LAYOUT}
    way.update({name: parse_whole(way.get(name), what=name) for name in _WHOLE})
    method, recompute = _method(model, way, states=options.get("states"))
    sequence = read["context"] or min(model.architecture.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    batch = options.get("batch")
    tokens = None if batch is None else parse_count(batch, what="tokens")
    if tokens is not None and tokens > (read["gpus"] or 1) * (read["micro_batch"] or 1) * sequence:
        method = method.summing()
    free = read_margins(options.get("margins"))
    if not method.plain and "states" not in (options.get("margins") or ""):
        free = replace(free, states=1.0)  # the work that the share of states leaves room for is counted
    return TrainingSetup(
        gpus=read["gpus"],
        sequence=sequence,
        batch_tokens=tokens,
        fixed=FixedLayout(
            states=options.get("states"),
            recompute=options.get("recompute") or recompute,
            tensor=parse_whole(options.get("tensor"), what="tensor"),
            pipeline=parse_whole(options.get("pipeline"), what="pipeline"),
            context=parse_whole(options.get("context_parallel"), what="context_parallel"),
            expert=parse_whole(options.get("expert"), what="expert"),
            zero=_stage(options.get("zero")),
            micro_batch=read["micro_batch"],
            method=method,
        ),
        margins=free,
        extremes=extremes_of(method, way),
        trainer=options.get("trainer"),
    )


def _method(model: Model, way: dict[str, Any], *, states: str | None) -> tuple[Method, str | None]:
    """Return the way to train a model, and the recomputation of its trainer; raises UsageError where it cannot be."""
    method, recompute = method_of(**way)
    a = model.architecture
    if states is not None and not method.plain:
        raise UsageError(
            "--states say the bytes of a parameter, and so do a way to tune, an optimizer and a precision",
            hint="leave out --states",
        )
    if method.layers is not None and method.layers > a.layers:
        raise UsageError(f"{method.layers} layers cannot be trained: the model has {a.layers}")
    if method.adapts and method.rank > a.width:
        raise UsageError(f"adapters of rank {method.rank} are larger than the model's width, {a.width}")
    if (way.get("galore_rank") or 0) > a.width:
        raise UsageError(f"gradients of rank {way['galore_rank']} are larger than the model's width, {a.width}")
    _require_trained(model, method)
    return method, recompute


def _require_trained(model: Model, method: Method) -> None:
    """Refuse a way that trains nothing of a model: adapters on matrices that it does not have, or all frozen."""
    if not (method.targets or method.frozen) or weights_of(model.architecture, method).trained:
        return
    if not method.adapts:
        raise UsageError("all of the model is frozen, and nothing is trained", hint="leave out some of --freeze")
    labels = {atom.label for _, part in model.architecture.parts() for atom in part.matrices()}
    known = sorted(set().union(*map(names_of_matrix, labels)), key=[*TARGETS].index)
    where = "" if method.layers is None else f" in its last {method.layers} layers"
    raise UsageError(
        f"no matrix of {model.source}{where} is called {' or '.join(method.targets)}, so that nothing is trained",
        hint=f"--targets all, or some of {', '.join(known)}" if known else "--targets all",
    )


def _quantization(name: str) -> Quantization:
    """Return the way to store the weights of a served model; raises UnknownNameError for none of this name."""
    if name not in STORED:
        raise UnknownNameError("way to store weights", name, STORED)
    return Quantization(name, STORED[name])


def _serving(
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
        **_subject(model, device),
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


def search_of(model: Model, device: Accelerator, setup: TrainingSetup) -> LayoutSearch:
    """Return the layouts of a model on a device."""
    return LayoutSearch(
        model.architecture,
        memory_bytes=device.memory_bytes,
        linked=linked_devices(device),
        sequence=setup.sequence,
        fixed=setup.fixed.in_one_memory() if device.unified_memory else setup.fixed,
        margins=setup.margins,
    )


def best_layout(search: LayoutSearch, gpus: int, setup: TrainingSetup) -> Layout | None:
    """Return the preferred layout on so many devices, one sequence each by default; None where none fits."""
    wanted = gpus if setup.batch_tokens is None else setup.batch_tokens / setup.sequence
    return search.best(gpus, Batch(wanted, given=setup.batch_tokens is not None))


def _training(model: Model, device: Accelerator | None, setup: TrainingSetup) -> MemorySummary:
    """Lay the model out on known devices; else divide it by the fixed parts."""
    gpus, sequence, margins = setup.gpus, setup.sequence, setup.margins
    if device is None:
        return _divided(model, setup)
    search = search_of(model, device, setup)
    fixed = search.fixed
    devices = gpus or search.fewest or _MANY
    layout = best_layout(search, devices, setup)
    ways = (
        () if layout is not None else tuple(_ways_out(search, devices, gpus is None, unified=device.unified_memory))
    )
    layout = layout or search.closest(devices)
    footprint = search.feasible.footprint
    return MemorySummary(
        **_subject(model, device),
        purpose="training",
        gpus=devices,
        fits=layout.largest_micro_batch > 0,
        memory=layout.memory,
        sequence=sequence,
        parallel=layout.parallel,
        states=layout.training.states if fixed.method.plain else None,
        recompute=layout.training.recompute,
        micro_batch=layout.training.micro_batch,
        largest_micro_batch=layout.largest_micro_batch or None,
        accumulation=layout.training.accumulation,
        fewest_devices=search.fewest,
        in_flight=layout.in_flight if layout.parallel.pipeline > 1 else None,
        idle_devices=layout.idle,
        tokens_per_step=layout.tokens_per_step,
        margins=margins,
        excess=Excess.of(layout.memory, device.memory_bytes, margins),
        ways_out=ways,
        method=fixed.method,
        worth=tuple(_worth(footprint, layout.training, layout.parallel, device, setup)),
        warnings=(*about_context(model, sequence), *_about_device(device, fixed)),
        unsaid=_unsaid(footprint, layout.training, layout.parallel, setup.extremes),
        bands=setup.bands,
        **shown(layout.memory, footprint.reserved(layout.training, layout.parallel), device, layout.parallel.devices),
    )


_MANY = 1 << 20
"""Devices on which a model is shown that no number of them can train."""


def _divided(model: Model, setup: TrainingSetup) -> MemorySummary:
    """Return the memory of a model divided by the fixed parts, on devices that are not known."""
    sequence, fixed, margins = setup.sequence, setup.fixed, setup.margins
    parallel = fixed.parallel(setup.gpus)
    training = Training(
        sequence=sequence,
        micro_batch=fixed.micro_batch or 1,
        accumulation=parallel.pipeline,
        states=fixed.states or DEFAULT_STATES,
        recompute=fixed.recompute or "none",
        method=fixed.method,
    )
    footprint = Footprint(model.architecture, margins)
    found = footprint.memory(training, parallel)
    return MemorySummary(
        **_subject(model, None),
        purpose="training",
        gpus=parallel.devices,
        fits=None,
        memory=found,
        sequence=sequence,
        parallel=parallel,
        states=training.states if fixed.method.plain else None,
        recompute=training.recompute,
        micro_batch=training.micro_batch,
        accumulation=training.accumulation,
        in_flight=training.filling(parallel.pipeline) if parallel.pipeline > 1 else None,
        idle_devices=0,
        tokens_per_step=parallel.data * training.micro_batch * training.accumulation * sequence,
        margins=margins,
        method=fixed.method,
        worth=tuple(_worth(footprint, training, parallel, None, setup)),
        warnings=tuple(about_context(model, sequence)),
        unsaid=_unsaid(footprint, training, parallel, setup.extremes),
        bands=setup.bands,
        # what a device must have
        **shown(found, footprint.reserved(training, parallel, scarce=True), None, parallel.devices),
    )


_ALTERNATIVES: tuple[dict[str, Any], ...] = (
    BF16,
    PAGED_IN_BACKWARD,
    LORA,
    QLORA,
    {"optimizer": "adamw-8bit"},
    {"loss": "fused"},
    {"recompute": "full"},
    {"offload": "activations"},
)
"""Options whose worth is shown beside an answer."""

_OWN = ("tune", "rank", "quantize", "frozen", "optimizer", "precision", "in_backward")
"""The choices of a way to tune; the others stay as they are."""


def _changed(training: Training, options: Mapping[str, Any], setup: TrainingSetup) -> Training:
    """Return a training with other choices, as the options beside those of the training make it."""
    method, recompute = training.method, options.get("recompute", training.recompute)
    if "tune" in options and setup.fixed.recompute is None:
        recompute = _USUAL_RECOMPUTE if setup.trainer is None else method_of(**options, trainer=setup.trainer)[1]
        recompute = recompute or training.recompute
    if "tune" in options:
        way = method_of(**options, trainer=setup.trainer)[0]
        if method.plain:  # a way to tune brings the habits of its trainer with it
            chosen = {item.name: getattr(method, item.name) for item in fields(METHOD)}
            method = replace(way, **{name: value for name, value in chosen.items() if value != getattr(METHOD, name)})
        else:
            upcast = way.upcast and (method.upcast or method.quantize is None)
            method = replace(method, **{name: getattr(way, name) for name in _OWN}, upcast=upcast)
    elif "recompute" not in options:
        changed: dict[str, Any] = {name: (value,) if name == "offload" else value for name, value in options.items()}
        method = replace(method, **changed)
    if method.optimizer and method.precision is None:
        method = replace(method, precision="mixed")
    return replace(training, method=method, recompute=recompute)


def _unsaid(
    footprint: Footprint, training: Training, parallel: Parallel, extremes: tuple[Method, Method] | None
) -> Unsaid | None:
    """Return what tensors take with other choices where none is made; None where all are, or nothing changes."""
    if extremes is None:
        return None
    least, most = (footprint.memory(replace(training, method=way), parallel).allocated for way in extremes)
    return Unsaid(least=least, most=most, upcast=extremes[1].upcast) if most > least else None


def _worth(
    footprint: Footprint, training: Training, parallel: Parallel, device: Accelerator | None, setup: TrainingSetup
) -> Iterator[Worth]:
    """Yield what other choices need of the same devices, those that change something."""
    now = footprint.memory(training, parallel).total
    for options in _ALTERNATIVES:
        other = _changed(training, options, setup)
        if device is not None and device.unified_memory:
            other = replace(other, method=other.method.in_one_memory())
        held = footprint.memory(other, parallel)
        if held.total != now:
            fits = None if device is None else held.fits(device.memory_bytes, setup.margins)
            yield Worth(options=options_text(options), total=held.total, fits=fits)


def shown(held: Memory, reserved: float, device: Accelerator | None, devices: int = 1) -> dict[str, Any]:
    """Return what programs and drivers show of a memory; an allocator gives blocks back before a device is full."""
    context = driver_context(device.year if device else None, devices)
    if device is not None:
        reserved = min(reserved, device.memory_bytes - context)
    reserved = max(reserved, held.allocated)
    return {
        "allocated": held.allocated,
        "reserved": reserved,
        "device_used": reserved + context,
    }


def _ways_out(search: LayoutSearch, gpus: int, free: bool, *, unified: bool) -> Iterator[str]:
    """Yield the options, each tried, with which the answer would be yes; with ``free`` devices none about them."""

    def fits(**changed: Any) -> bool:  # noqa: ANN401  a part of a layout
        fixed = replace(search.fixed, **changed)
        return search.changed(fixed=fixed.in_one_memory() if unified else fixed).feasible.fits(gpus)

    if search.fewest is not None and not free:
        yield f"--gpus {search.fewest}"
    parts = {"zero": "zero", "tensor": "tensor", "pipeline": "pipeline", "context": "context-parallel"}
    parts |= {"expert": "expert", "recompute": "recompute", "micro_batch": "micro-batch"}
    given = {name: text for name, text in parts.items() if getattr(search.fixed, name) is not None}
    if given and fits(**dict.fromkeys(given)):
        yield f"no {' and no '.join(f'--{text}' for text in given.values())}"
    if search.fixed.method.plain:
        smaller = next((states for states in _SMALLER_STATES if fits(states=states)), None)
        if smaller is not None:
            yield f"--states {smaller}"
    else:
        method = search.fixed.method
        found = next((way for way, value in _SMALLER.items() if fits(method=replace(method, **value))), None)
        if found is not None:
            yield found
    shorter = next(
        (
            length
            for length in (search.sequence // 2**halvings for halvings in range(1, 5))
            if _suits(search, length) and search.changed(sequence=length).feasible.fits(gpus)
        ),
        None,
    )
    if shorter is not None:
        yield f"--context {shorter}"


def _suits(search: LayoutSearch, length: int) -> bool:
    """Whether a shorter sequence is one that trainings have, and is divided as the longer one is."""
    return length >= SHORTEST and length % (search.fixed.context or 1) == 0


_SMALLER_STATES = ("8bit-adam", "offload")
"""The ways to keep smaller states that are suggested where nothing fits, the faster first."""

_SMALLER: dict[str, dict[str, Any]] = {
    "--loss fused": {"loss": "fused"},
    "--optimizer adamw-8bit": {"optimizer": "adamw-8bit"},
    "--offload activations": {"offload": ("activations",)},
    "--offload activations,optimizer": {"offload": ("activations", "optimizer")},
}
"""The choices that are suggested where a way to train does not fit: what they change, the cheaper in time first."""

SHORTEST = 512
"""Tokens of a sequence below which none is suggested; pre-trainings have 512 (BERT) and more."""


def about_context(model: Model, sequence: int) -> Iterator[Notice]:
    """Yield that sequences are longer than the model's positions."""
    longest = model.architecture.context
    if longest is not None and sequence > longest:
        message = f"sequences of {sequence:,} tokens are longer than the {longest:,} that {model.source} states"
        yield Notice(code="beyond_context", message=message)


def about_config(config: TrainingConfig | None) -> Iterator[Notice]:
    """Yield what a training config says that is not counted."""
    if config is not None:
        yield from (Notice(code="config_note", message=f"{config.file}: {note}") for note in config.notes)


_NEEDED = {"bf16": "bf16", "fp8": "fp8", "nvfp4": "fp4"}
"""The precision of which a device must have a peak, by that of a training or the name of its states."""


_BITSANDBYTES = ("nf4", "nf4-dq", "int8")
_ITS_VENDORS = ("NVIDIA", "AMD", "Intel", "Apple")
"""The makers of devices that bitsandbytes supports (huggingface.co/docs/bitsandbytes/v0.50.0/installation)."""


def about_kernels(device: Accelerator, quantize: str | None) -> Iterator[Notice]:
    """Yield that no kernels for quantised weights run on a device."""
    if quantize in _BITSANDBYTES and device.vendor not in _ITS_VENDORS:
        message = f"{quantize} is counted as bitsandbytes stores it, which has no kernels for {device.id}"
        yield Notice(code="no_kernels", message=message)


def _about_device(device: Accelerator, fixed: FixedLayout) -> Iterator[Notice]:
    """Yield that a device does not have the numbers that a training is in, as far as its peaks are published.

    Adapters do not need bf16: they learn in fp16 too, with a scaled loss, which takes as many bytes.
    """
    yield from about_kernels(device, fixed.method.quantize)
    needed = _NEEDED.get(fixed.method.precision or fixed.states or "")
    if needed is None or needed in device.peaks or not device.peaks.keys() & {"fp16", "bf16"}:
        return
    if needed != "bf16" or not fixed.method.adapts:
        message = f"{device.id} has no {needed} in its published rates, and this training is in {needed}"
        yield Notice(code="no_such_precision", message=message)


def _subject(model: Model, device: Accelerator | None) -> dict[str, Any]:
    """Return the fields of a summary that describe the model and the device."""
    known = {"model": model.source, "params": model.params}
    if device is None:
        return {**known, "gpu": None, "memory_bytes": None}
    unified = device.unified_memory
    return {**known, "gpu": device.id, "memory_bytes": device.memory_bytes, "unified_memory": unified}


def _stage(zero: Amount | None) -> int | None:
    """Return a stage of sharing; the only count here that may be 0."""
    if zero is None:
        return None
    for stage in range(4):
        if str(zero).strip() == str(stage):
            return stage
    raise UsageError(f"there is no ZeRO stage {quote(zero)}", hint="stages are 0, 1, 2 and 3; FSDP is 3")


def sized(source: Amount | Path | Mapping[str, object] | Model, vocab: Amount | None = None) -> Model:
    """Return the model of a config, or of a size: a text that reads as a count is one; a model is itself."""
    if isinstance(source, Model):
        return source
    if not isinstance(source, str | int | float):
        return model(source, vocab=vocab)
    try:
        params = parse_count(source, what="params")
    except QuantityError:
        if not isinstance(source, str) or _is_amount(source):
            raise  # a number with a fault in it, and no name of a file
        return model(source, vocab=vocab)
    return replace(find_shape(params).model, source=f"{source} in the llama style")


def _is_amount(text: str) -> bool:
    """Return whether a text is meant as a number: it starts with a digit, and neither is nor looks like a file."""
    path = Path(text)
    named = (
        path.suffix in (".json", ".yaml", ".yml", ".sh", ".py", ".toml")
        or len(path.parts) > 1
        or is_file(path)
        or is_folder(path)
    )
    return text.strip()[:1].isdigit() and not named
