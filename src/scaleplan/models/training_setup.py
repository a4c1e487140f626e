"""Read the options of a training, with what its training config states: devices, sequences, layout and way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import Notice, UsageError, quote
from scaleplan.models.feasibility import FixedLayout
from scaleplan.models.margins import Margins, read_margins
from scaleplan.models.memory import BANDS, WIDE_BANDS
from scaleplan.models.model import training_config_at
from scaleplan.models.questions import parse_whole
from scaleplan.models.sequences import DEFAULT_CONTEXT
from scaleplan.models.tuning import TARGETS, extremes_of, method_of, names_of_matrix
from scaleplan.models.weights import weights_of
from scaleplan.units import parse_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.models.memory import Bands
    from scaleplan.models.model import Model
    from scaleplan.models.tuning import Method
    from scaleplan.trainers.training_config import TrainingConfig
    from scaleplan.units import Amount

__all__ = [
    "LAYOUT",
    "USUAL_RECOMPUTE",
    "TrainingSetup",
    "about_config",
    "stated",
    "stated_config",
    "training_setup",
]

LAYOUT = (
    *("gpus", "context", "batch", "micro_batch", "states", "recompute", "zero"),
    *("tensor", "pipeline", "context_parallel", "expert", "margins"),
)
"""Options of a training that say nothing about its way."""

_WHOLE = ("rank", "trained_layers", "adapter_bits", "galore_rank")

USUAL_RECOMPUTE = "full"
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


def training_setup(model: Model, options: Mapping[str, Any]) -> TrainingSetup:
    """Read the options of a training: all of :func:`scaleplan.memory` but the model and the device.

    None stands for a default. Raises UsageError for ways to train that contradict each other.
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


def _stage(zero: Amount | None) -> int | None:
    """Return a stage of sharing; the only count here that may be 0."""
    if zero is None:
        return None
    for stage in range(4):
        if str(zero).strip() == str(stage):
            return stage
    raise UsageError(f"there is no ZeRO stage {quote(zero)}", hint="stages are 0, 1, 2 and 3; FSDP is 3")


def stated_config(source: object, given: Mapping[str, Any]) -> tuple[TrainingConfig | None, dict[str, Any]]:
    """Return the training config at a path, and the options of :func:`scaleplan.memory` that it states.

    None and no options of another source. Devices, context and vocabulary that are ``given`` win over what stands in
    the file; given states leave out what says them too.
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
    """Return the options of :func:`scaleplan.memory` that a training config states; none of what is no such file.

    With ``states`` given by name, none about what they say too.
    """
    return stated_config(source, {"gpus": gpus, "context": context, "vocab": vocab, "states": states})[1]


def about_config(config: TrainingConfig | None) -> Iterator[Notice]:
    """Yield what a training config says that is not counted."""
    if config is not None:
        yield from (Notice(code="config_note", message=f"{config.file}: {note}") for note in config.notes)
