"""Find the model of a training config: its fields as those of a config.json, or the public model that it names."""

from __future__ import annotations

import posixpath
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.documents.document import ENDINGS, DataDocument, parse_document
from scaleplan.errors import FileError, did_you_mean, quote
from scaleplan.files import is_file, read_text
from scaleplan.models.config import DESCRIBES_A_MODEL, is_description
from scaleplan.models.public_models import PublicModels
from scaleplan.trainers.elsewhere import elsewhere
from scaleplan.trainers.registry import TRAINERS, read_training_config
from scaleplan.trainers.settings import SIZES_HINT, Settings
from scaleplan.trainers.training_config import RunGiven

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.documents.key_path import Document
    from scaleplan.trainers.training_config import TrainingConfig

__all__ = [
    "TrainedFile",
    "beside",
    "memory_options",
    "model_fields",
    "require_trained",
    "trained_file",
]


class TrainedFile(NamedTuple):
    """A training config in a file."""

    path: Path
    config: TrainingConfig

    def fields(self) -> Mapping[str, object]:
        """Return the fields of a config.json for its model; raises FileError where it does not determine them."""
        return model_fields(self.config, partial(beside, self.path))

    def options(self, *, states: bool) -> dict[str, object]:
        """Return the options of ``memory`` that it states, as :func:`memory_options` has them."""
        return memory_options(self.config, states=states)


def trained_file(
    source: str | Path, *, vocab: int | None = None, gpus: int | None = None, sequence: int | None = None
) -> TrainedFile | None:
    """Return the training config at a path with what the user gives beside it.

    None for a config.json, a folder, a text, and what is no file.

    Raises FileError for a file of another kind that is no config.json either.
    """
    path = Path(source)
    config = _config_at(path, str(source), RunGiven(vocab, gpus, sequence))
    return None if config is None else TrainedFile(path, config)


def _config_at(path: Path, text: str, given: RunGiven) -> TrainingConfig | None:
    """Return the training config at a path, or None; ``text`` is the path as it was given."""
    ending = path.suffix.casefold()
    if text.lstrip().startswith(("{", "[")) or ending not in ENDINGS or not is_file(path):
        return None
    if ending not in (".json", ".toml"):
        document = parse_document(read_text(path, what="training config"), name=str(path))
        found = read_training_config(document, given, beside=partial(beside, path))
        return require_trained(found, document)
    document = parse_document(read_text(path, what="model config"), name=str(path))
    data = document.data if isinstance(document, DataDocument) else None
    if not isinstance(data, dict) or DESCRIBES_A_MODEL & data.keys() or (ending == ".toml" and is_description(data)):
        return None
    found = read_training_config(document, given, beside=partial(beside, path))
    return found if ending == ".json" else require_trained(found, document)


def beside(path: Path, name: str) -> Document | None:
    """Return the document of another file that a config names, if it lies beside or below it."""
    normal = posixpath.normpath(name.replace("\\", "/"))
    if normal.startswith(("/", "..")) or not is_file(path.parent / normal):
        return None
    other = path.parent / normal
    return parse_document(read_text(other, what="config"), name=str(other))


_OPTIONS = {
    "gpus": "gpus",
    "sequence": "context",
    "batch_tokens": "batch",
    "micro_batch": "micro_batch",
    "recompute": "recompute",
    "zero": "zero",
    "tensor": "tensor",
    "pipeline": "pipeline",
    "context_parallel": "context_parallel",
    "expert": "expert",
}
"""The options of ``memory`` that values of a run become, by name of the value."""

_WAYS = {"adapter": "tune", "lora_rank": "rank", "lora_targets": "targets", "optimizer": "optimizer"}
"""The options about the way to train, likewise; they are left out where the user gives the states by name."""

_OPTIMIZERS = {
    "adamw_8bit": "adamw-8bit",
    "paged_adamw": "paged-adamw",
    "paged_adamw_8bit": "paged-adamw-8bit",
    "galore_adamw": "galore",
    "galore_adamw_8bit": "galore-8bit",
    "lion_8bit": "lion-8bit",
    **{name: name for name in ("adafactor", "lion", "muon", "sgd")},
}
"""The optimizers whose states are not those of Adam in full, which are the default."""

_QUANTIZED = {4: "nf4", 8: "int8"}

_TRAINERS = {
    "Hugging Face Trainer": "huggingface",
    "axolotl": "axolotl",
    "litgpt": "litgpt",
    "torchtitan": "torchtitan",
}
"""The trainers whose habits in memory are known."""


def memory_options(config: TrainingConfig, *, states: bool = False) -> dict[str, object]:
    """Return the options of ``memory`` that a training config states; with ``states`` none that say these again."""
    found = {option: config.values[name].value for name, option in _OPTIONS.items() if name in config.values}
    if states:
        return found
    found |= {option: config.values[name].value for name, option in _WAYS.items() if name in config.values}
    optimizer = _OPTIMIZERS.get(str(found.pop("optimizer", "")))
    if optimizer is not None:
        found["optimizer"] = optimizer
    if "tune" not in found:
        found.pop("rank", None)
        found.pop("targets", None)
    elif found["tune"] != "qlora" and "weight_bits" in config.values:
        found["quantize"] = _QUANTIZED.get(config.values["weight_bits"].value)
    if "offload" in config.values:
        found["offload"] = "optimizer"
    kept = config.values.get("kept")
    if kept is not None and "tune" not in found:
        found["precision"] = "autocast" if kept.value == "fp32" else "bf16"
    if config.trainer in _TRAINERS:
        found["trainer"] = _TRAINERS[config.trainer]
    return {option: value for option, value in found.items() if value is not None}


def require_trained(found: TrainingConfig | None, document: Document) -> TrainingConfig:
    """Return a config that is of a trainer; raises FileError for none, at a key about a model if there is one."""
    if found is not None:
        return found
    document.find(("model",))  # a tag that is not acted on is an error of its own
    if (other := elsewhere(document)) is not None:
        raise other
    known = ", ".join(trainer.name for trainer in TRAINERS)
    settings = Settings(document, file=document.name, sections=("", "model", "model_config", "model.model_config"))
    for mark in _MARKS:
        if settings.any(mark):
            message = (
                "the size of the model is not determined by this file alone, which is of no trainer that is known"
            )
            raise settings.error(message, mark, hint=f"{SIZES_HINT}; known are {known}")
    raise FileError(
        f"{document.name}: there is no model in this file: it is no config.json, and of no trainer that is known",
        hint=f"{SIZES_HINT}; known are {known}",
        file=document.name,
    )


_MARKS = (
    *("hidden_size", "d_model", "n_embd", "hidden_dim", "dim", "base_emb_dim", "depth", "num_layers"),
    *("model_name", "base_model", "pretrained_model_name_or_path", "model_name_or_path", "flavor", "name"),
)
"""Keys that are about a model, for the line of a file of no known trainer."""


def model_fields(config: TrainingConfig, find: Callable[[str], Document | None]) -> Mapping[str, object]:
    """Return the fields of a config.json for the model that a training config describes or names.

    Raises FileError where the file does not determine it.
    """
    if config.fields is not None:
        return config.fields
    if config.reference is None:
        if config.unsized is not None:
            raise config.unsized
        raise config.missing("model")
    name = str(config.reference.value)
    for path in (f"{name.rstrip('/')}/config.json", name if name.endswith(".json") else ""):
        document = find(path) if path else None
        if isinstance(document, DataDocument) and isinstance(document.data, dict):
            return document.data
    known = PublicModels()
    found = known.find(name)
    document = find("config.json") if found is None else None
    data = document.data if isinstance(document, DataDocument) else None
    if isinstance(data, dict) and DESCRIBES_A_MODEL & data.keys():
        return data
    if found is None:
        place = config.reference.places[0]
        at = f"{config.file}:{place.line}" if place.line else config.file
        close = did_you_mean(name, known.ids())
        meant = f"did you mean {quote(close)}? " if close is not None else ""
        raise FileError(
            f"{at}: {place.key}: no public model that is known by this name",
            hint=f"{meant}give model, the path of its config.json",
            file=config.file,
            line=place.line,
        )
    return found.config
