"""Take the model of a run, and whatever else it does not state, from the training config that it names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.documents.document import DataDocument
from scaleplan.errors import FileError
from scaleplan.models.config import DESCRIBES_A_MODEL, is_description
from scaleplan.models.model import Model, model_of_config, read_model
from scaleplan.models.trained import model_fields, require_trained
from scaleplan.project.configs import Given
from scaleplan.trainers.registry import read_training_config
from scaleplan.trainers.training_config import NOT_GIVEN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from scaleplan.documents.key_path import Document, Location
    from scaleplan.trainers.settings import Setting
    from scaleplan.trainers.training_config import RunGiven, TrainingConfig

    Find = Callable[[str], Document | None]

__all__ = ["model_of", "training_config", "values_of"]

_PRECISIONS = ("fp8",)
"""The precisions of a config that change the rate of a device: it computes in 16 bits otherwise."""


def training_config(document: Document, given: RunGiven, find: Find) -> TrainingConfig:
    """Return what the training config in a document says; raises FileError for a file of another kind."""
    return require_trained(read_training_config(document, given, beside=find), document)


def model_of(document: Document, given: RunGiven = NOT_GIVEN, find: Find = lambda _: None) -> Model:
    """Return the model that a file describes: a config.json, or the training config of a trainer.

    Raises FileError where the file does not determine it, at the line that comes nearest.
    """
    data = document.data if isinstance(document, DataDocument) else None
    if isinstance(data, dict) and is_description(data):
        return _described(_with_config(data, find), document.name, given)
    if isinstance(data, dict):
        if DESCRIBES_A_MODEL & data.keys():
            return _described(data, document.name, given)
        found = read_training_config(document, given, beside=find)
        if found is None and document.name.endswith(".json"):
            return _described(data, document.name, given)  # says which fields a config.json needs
    else:
        found = read_training_config(document, given, beside=find)
    config = require_trained(found, document)
    return model_of_config(config, model_fields(config, find), context=given.sequence)


def _with_config(data: Mapping[str, object], find: Find) -> Mapping[str, object]:
    """Return a description with the fields of the config beside it that it names, if it names one."""
    named = data.get("config")
    beside = find(named) if isinstance(named, str) else None
    return {**data, "config": beside.data} if isinstance(beside, DataDocument) else data


def _described(data: Mapping[str, object], name: str, given: RunGiven) -> Model:
    """Return the model of the fields of a config.json that stand in a file of this name."""
    try:
        return replace(read_model(data, context=given.sequence, vocab=given.vocab), source=name)
    except FileError as error:
        message = error.message.removeprefix("config")
        raise FileError(f"{name}{message}", hint=error.hint, file=name) from None


def values_of(config: TrainingConfig, path: str, *, given: Collection[str]) -> dict[str, Given]:
    """Return the values that a run takes from its training config, which lies at a path, where it gives none itself.

    Raises FileError where the tokens are neither given nor determined by the file.
    """
    found: dict[str, Given] = {}
    if not {"params", "model"} & set(given):
        places = config.sizes or config.places()[:1]
        texts = tuple(_text(config, place) for place in places)
        found["model"] = Given(value=path, places=places, texts=texts, taken=True)
    if not {"tokens", *_BUDGETS} & set(given):
        if "tokens" not in config.values:
            raise config.missing("tokens")
        found["tokens"] = _given(config, config.values["tokens"])
    if "gpu" in given and "gpus" not in given and "gpus" in config.values:
        found["gpus"] = _given(config, config.values["gpus"])
    precision = config.values.get("precision")
    if "precision" not in given and precision is not None and precision.value in _PRECISIONS:
        found["precision"] = _given(config, precision)
    return found


_BUDGETS = ("flops", "gpu_hours", "time", "cost")


def _given(config: TrainingConfig, setting: Setting) -> Given:
    places = setting.places or config.places()[:1]
    texts = tuple(_text(config, place) for place in places)
    return Given(value=setting.value, places=places, texts=texts, foreign=True, taken=True)


def _text(config: TrainingConfig, place: Location) -> str | float:
    value = config.read.get(place)
    return "" if value is None else value
