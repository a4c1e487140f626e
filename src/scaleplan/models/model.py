"""Read a model config and derive everything that follows exactly: counts, FLOP per token, cache."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from scaleplan.errors import FileError, UsageError, quote
from scaleplan.files import is_file, read_text
from scaleplan.models.config import DESCRIBES_A_MODEL, MAX_CONFIG_BYTES, is_description, read_config
from scaleplan.models.count import (
    Count,
    TrainingFlops,
    count,
    executed_params,
    kv_bytes_per_token,
    state_bytes,
    training_flops,
)
from scaleplan.models.families.finding import architecture_of
from scaleplan.models.families.multimodal import text_part
from scaleplan.models.quantization import Quantization, quantization_of
from scaleplan.models.sequences import DEFAULT_CONTEXT
from scaleplan.record import Result
from scaleplan.trainers.stated_run import StatedRun  # noqa: TC001  saved results are read by the types of fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.models.architecture import Architecture
    from scaleplan.models.public_models import PublicModel
    from scaleplan.models.trained import TrainedFile
    from scaleplan.trainers.training_config import TrainingConfig

__all__ = [
    "Model",
    "ModelBody",
    "ModelSizes",
    "ModelSummary",
    "VocabularyError",
    "describe",
    "model_of_config",
    "read_model",
    "training_config_at",
]

_ENCODER_DECODER = (
    "encoder-decoder: 6N is no count of its FLOP, which depend on the lengths of input and output; "
    "the cache is that of one token of each"
)

_CONVENTIONS = ("full_attention", "causal_attention", "selective_recompute", "full_recompute")

_DIMENSIONS = ("layers", "width", "heads", "kv_heads", "head_size", "ffn_width", "vocab", "window")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Result):
    """A model as its configuration describes it, with everything that follows from that exactly."""

    schema: ClassVar[str] = "scaleplan/model/1"

    source: str
    architecture: Architecture
    counts: Count
    flops: TrainingFlops
    notes: tuple[str, ...] = ()
    quantization: Quantization | None = None
    """How the config stores the weights; None for 16 bits."""
    training: StatedRun | None = None
    """The run of the training config that the model is from."""

    @property
    def family(self) -> str:
        """The ``model_type`` by which the config was read."""
        return self.architecture.family

    @property
    def params(self) -> int:
        """All trainable parameters."""
        return self.counts.params

    @property
    def active_params(self) -> int:
        """Parameters that a token uses, token tables included."""
        return self.counts.active_params

    @property
    def non_embedding_params(self) -> int:
        """Parameters without tables and output head."""
        return self.counts.non_embedding_params

    @property
    def embedding_params(self) -> int:
        """Parameters of tables and output head."""
        return self.counts.embedding_params

    @property
    def flops_per_token(self) -> float:
        """Training FLOP per token, 6 times the active parameters; ``flops`` has the other conventions."""
        return self.flops.six_n

    @property
    def kv_bytes_per_token(self) -> float:
        """Bytes of keys and values per token of context, at 16 bits a value."""
        return kv_bytes_per_token(self.architecture)

    def params_as(self, convention: str) -> float:
        """Return the parameters by the convention of a law; raises UsageError for one that is not known.

        ``flops_per_token`` is DeepSeek's M: non-embedding FLOP per token with full attention at the model's context.
        """
        c = self.counts
        known: dict[str, float] = {
            "total": c.params,
            "active": c.active_params,
            "non_embedding": c.non_embedding_params,
            "total_minus_input_embedding": c.params - c.input_embedding_params,
            "flops_per_token": self.flops.full_attention
            - 6.0 * (self.flops.flop_params - c.active_non_embedding_params),
        }
        if convention not in known:
            raise UsageError(
                f"unknown parameter convention {quote(convention)}", hint=f"known: {', '.join(sorted(known))}"
            )
        return known[convention]

    def sizes(self) -> dict[str, Any]:
        """Return the values of the fields of :class:`ModelSizes`."""
        a, f = self.architecture, self.flops
        return {
            "family": self.family,
            **asdict(self.counts),
            "tied_embeddings": a.tied,
            "flops_per_token": self.flops_per_token,
            "flop_params": f.flop_params,
            "context": f.context,
            **{f"flops_per_token_{convention}": getattr(f, convention) for convention in _CONVENTIONS},
            "kv_bytes_per_token": self.kv_bytes_per_token,
            **{name: getattr(a, name) for name in _DIMENSIONS},
            "max_context": a.context,
            "experts": a.experts.count if a.experts else None,
            "experts_per_token": a.experts.per_token if a.experts else None,
            "expert_width": a.experts.width if a.experts else None,
        }

    def viewed(self) -> ModelSummary:
        """Return the summary, whose views show this."""
        return self.summary()

    def summary(self) -> ModelSummary:
        """Return the record that ``--json`` prints."""
        return ModelSummary(
            source=self.source,
            **self.sizes(),
            notes=self.notes,
            windowed_layers=self.architecture.windowed_layers,
            training=self.training,
            executed_params=executed_params(self.architecture),
            state_bytes_per_sequence=state_bytes(self.architecture),
        )

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return self.summary().to_dict()


# The fields of a dataclass begin with those of its last base: in this order they are the keys of the JSON.


@dataclass(frozen=True, kw_only=True)
class _Family:
    family: str


@dataclass(frozen=True, kw_only=True)
class _Source:
    source: str


@dataclass(frozen=True, kw_only=True)
class ModelSizes(Count, _Family):
    """A config in numbers: family, counts, training FLOP per token, cache, dimensions."""

    tied_embeddings: bool
    flops_per_token: float
    """6 times the active parameters."""
    flop_params: int
    context: int
    """Tokens of a training sequence, by which the FLOP of attention are counted."""
    flops_per_token_full_attention: float
    flops_per_token_causal_attention: float
    flops_per_token_selective_recompute: float
    flops_per_token_full_recompute: float
    kv_bytes_per_token: float
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    ffn_width: int
    vocab: int
    max_context: int | None
    experts: int | None
    experts_per_token: int | None
    expert_width: int | None
    window: int | None


@dataclass(frozen=True, kw_only=True)
class ModelSummary(Result, ModelSizes, _Source):
    """The exact counts of a model: the fields are the keys of the JSON."""

    schema: ClassVar[str] = "scaleplan/model/1"

    notes: tuple[str, ...] = ()
    windowed_layers: int | None = None
    """None in a result that was saved before there was this key."""
    training: StatedRun | None = None
    """The run that a training config states."""
    executed_params: int | None = None
    """Weights that multiply each token: a shared part as often as it runs, the head, tied or not, and no norms."""
    state_bytes_per_sequence: float = 0.0
    """Recurrent and convolution states at 16 bits, which a sequence of any length takes."""


@dataclass(frozen=True, kw_only=True)
class ModelBody(Result):
    """A model whose vocabulary is not known: what does not depend on it."""

    schema: ClassVar[str] = "scaleplan/model-body/1"

    source: str
    family: str
    non_embedding_params: int
    active_non_embedding_params: int
    table_params_per_row: int
    """Parameters that each row of the vocabulary adds: one width where the head is tied, two where it is not."""
    tied_embeddings: bool
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_size: int
    ffn_width: int
    kv_bytes_per_token: float
    experts: int | None
    experts_per_token: int | None
    expert_width: int | None
    max_context: int | None
    notes: tuple[str, ...] = ()
    training: StatedRun | None = None

    @classmethod
    def of(cls, model: Model, larger: Model) -> ModelBody:
        """Return what two models that differ by one row of the vocabulary have in common."""
        sizes = model.sizes()
        taken = {name: sizes[name] for name in cls.__dataclass_fields__ if name in sizes}
        taken |= {"notes": model.notes, "training": model.training}
        return cls(source=model.source, table_params_per_row=larger.params - model.params, **taken)


class VocabularyError(FileError):
    """The vocabulary of a model is not in the file that describes it; ``body`` is the rest."""

    def __init__(self, error: FileError, body: ModelBody) -> None:
        super().__init__(error.message, hint=error.hint, file=error.file, line=error.line)
        self.body = body


def model_of_config(config: TrainingConfig, fields: Mapping[str, object], *, context: int | None = None) -> Model:
    """Return the model of a training config from its fields; raises VocabularyError where that alone lacks."""
    sequence = config.values.get("sequence")
    length = context if context is not None else None if sequence is None else int(sequence.value)

    def counted(**more: int) -> Model:
        try:
            model = read_model({**fields, **more}, context=length)
        except FileError as error:
            message = error.message.removeprefix("config")
            raise FileError(f"{config.file}{message}", hint=error.hint, file=config.file) from None
        notes = (*model.notes, *config.notes)
        return replace(model, source=config.file, notes=notes, training=config.stated())

    if "vocab_size" in fields or config.fields is None:
        return counted()
    body = ModelBody.of(counted(vocab_size=1), counted(vocab_size=2))
    raise VocabularyError(config.missing("vocab"), body)


_OF_A_MODEL = re.compile(rf'"(?:{"|".join(sorted(DESCRIBES_A_MODEL))})"\s*:')


def _describes_a_model(path: Path) -> bool:
    """Whether a JSON file has a field that every config.json has and no trainer's config."""
    return _OF_A_MODEL.search(read_text(path, what="model config", limit=MAX_CONFIG_BYTES)) is not None


def training_config_at(source: str | Path, **given: int | None) -> TrainedFile | None:
    """Return the training config of a trainer at a path, with what is given beside it; None for anything else."""
    path = Path(source)
    if not path.suffix or (path.suffix == ".json" and (not is_file(path) or _describes_a_model(path))):
        return None
    from scaleplan.models.trained import trained_file  # parsers of other formats, only for files

    return trained_file(source, **given)


def read_model(
    source: str | Path | Mapping[str, object] | PublicModel,
    *,
    arch: str | None = None,
    context: int | None = None,
    vocab: int | None = None,
) -> Model:
    """Read a model config (a file, its folder, its text, a mapping, a published model or the name of one).

    Everything that follows from it is derived.

    ``arch`` is the family to read it as, for configs whose ``model_type`` is unknown or absent. ``context`` is the
    tokens in a training sequence, for the FLOP of attention; ``DEFAULT_CONTEXT``, or the model's own if that is
    shorter, when None. Raises FileError when the config cannot be read, or fields are missing, malformed or
    contradictory, and UsageError for a context that is not at least 1.

    A file may also be the training config of a trainer, with whose sequence FLOP are counted; ``vocab`` is its
    vocabulary where the tokenizer has it, without which VocabularyError is raised.
    """
    if arch is None and isinstance(source, str | Path):
        found = training_config_at(source, vocab=vocab)
        if found is not None:
            return model_of_config(found.config, found.fields(), context=context)
    data, name = read_config(source)
    if vocab is not None:
        data = _with_vocabulary(data, vocab, name)
    architecture = architecture_of(data, source=name, arch=arch)
    config = data.get("config", {}) if is_description(data) else data
    stored = quantization_of(text_part(config, name).data, source=name) if isinstance(config, dict) else None
    return describe(architecture, source=name, context=context, notes=architecture.notes, quantization=stored)


def _shared_note(a: Architecture) -> tuple[str, ...]:
    """Return the line about parts that have one set of weights and run several times."""
    runs: dict[str, int] = {}
    for many, part in a.parts():
        if part.shared:
            runs[part.name] = runs.get(part.name, 0) + many
    plain = {part.name for _, part in a.parts() if not part.shared}
    shared = [
        f"{name} in {many} more layers" if name in plain else f"{name} {many} times"
        for name, many in runs.items()
        if name in plain or many > 1
    ]
    if not shared:
        return ()
    return (
        f"one set of weights runs several times: {', '.join(shared)}; a token multiplies with {executed_params(a):,}",
    )


def _with_vocabulary(data: dict[str, object], vocab: int, name: str) -> dict[str, object]:
    """Return the fields of a config that states no vocabulary with one."""
    if text_part(data, name).data.get("vocab_size") is not None:
        raise UsageError(f"{name} states its vocabulary: vocab cannot be another", hint="leave out the vocabulary")
    return {**data, "vocab_size": vocab}


def describe(
    architecture: Architecture,
    *,
    source: str,
    context: int | None = None,
    notes: tuple[str, ...] = (),
    quantization: Quantization | None = None,
) -> Model:
    """Derive everything that follows from an architecture; arguments as in :func:`read_model`."""
    if context is not None and (isinstance(context, bool) or context < 1):
        raise UsageError(f"context {quote(context)} is not a whole number of at least 1")
    a = architecture
    if a.extra_params:
        notes += ("multi-token-prediction blocks are left out of the counts; extra_params is their size",)
    notes += _shared_note(a)
    if a.causal and any(stack.encoder for stack in a.stacks):
        notes += (_ENCODER_DECODER,)
    if not a.causal and a.tied and not any(atom.label.endswith("head") for atom in a.atoms):
        notes += ("counted as the bare encoder; architectures in the config selects a head",)
    return Model(
        source=source,
        architecture=a,
        counts=count(a),
        flops=training_flops(a, context=context or min(a.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)),
        notes=notes,
        quantization=quantization,
    )
