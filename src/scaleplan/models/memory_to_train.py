"""The memory to train a model: laid out on known devices, or divided as given; what else would fit, and ways out."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from scaleplan.errors import Notice
from scaleplan.models.layout import Excess, LayoutSearch, linked_devices
from scaleplan.models.memory import DEFAULT_STATES, Footprint, Training
from scaleplan.models.memory_summary import SHORTEST, MemorySummary, Unsaid, Worth, about_context, shown, subject
from scaleplan.models.sequences import Batch
from scaleplan.models.training_setup import USUAL_RECOMPUTE
from scaleplan.models.tuning import METHOD, method_of
from scaleplan.models.usual_ways import BF16, LORA, PAGED_IN_BACKWARD, QLORA, options_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.models.feasibility import FixedLayout
    from scaleplan.models.layout import Layout
    from scaleplan.models.memory import Parallel
    from scaleplan.models.model import Model
    from scaleplan.models.training_setup import TrainingSetup
    from scaleplan.models.tuning import Method

__all__ = ["about_kernels", "best_layout", "memory_to_train", "search_of"]


def memory_to_train(model: Model, device: Accelerator | None, setup: TrainingSetup) -> MemorySummary:
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
        **subject(model, device),
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
        **subject(model, None),
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


def _changed(training: Training, options: Mapping[str, Any], setup: TrainingSetup) -> Training:
    """Return a training with other choices, as the options beside those of the training make it."""
    method, recompute = training.method, options.get("recompute", training.recompute)
    if "tune" in options and setup.fixed.recompute is None:
        recompute = USUAL_RECOMPUTE if setup.trainer is None else method_of(**options, trainer=setup.trainer)[1]
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
        message = f"no {needed} rate of {device.id} is published, and this training is in {needed}"
        yield Notice(code="no_such_precision", message=message)
