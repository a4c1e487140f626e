"""The models that trainers know by name: of litgpt and MaxText, flavors of torchtitan, factories of OLMo-core."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from scaleplan.errors import did_you_mean, quote
from scaleplan.files import preset_folders, read_data

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scaleplan.errors import FileError
    from scaleplan.trainers.settings import Settings

__all__ = ["named_models", "named_sizes", "sources"]

FILE = "trainer_models.toml"


def named_models(trainer: str) -> Mapping[str, Mapping[str, object]]:
    """Return the sizes of each model that a trainer knows by name, in the trainer's own words."""
    return _read(preset_folders())[0].get(trainer, {})


def sources() -> Mapping[str, str]:
    """Return the repository and file that the models of each trainer were taken from."""
    return _read(preset_folders())[1]


@cache
def _read(folders: tuple[Path, ...]) -> tuple[dict[str, dict[str, Mapping[str, object]]], dict[str, str]]:
    models: dict[str, dict[str, Mapping[str, object]]] = {}
    found: dict[str, str] = {}
    for table in read_data(FILE, folders):
        for trainer in table.table("trainer").data:
            own = table.table("trainer").table(trainer)
            found[trainer] = own.text("source")
            known = models.setdefault(trainer, {})
            for model in own.tables("model"):
                sizes = {key: value for key, value in model.data.items() if key != "names"}
                known.update(dict.fromkeys(model.texts("names"), sizes))
    return models, found


def named_sizes(trainer: str, name: str, settings: Settings, *keys: str) -> Mapping[str, object]:
    """Return the sizes of a model by its name; raises FileError at the place of one that is not known."""
    known = named_models(trainer)
    found = known.get(name)
    if found is None:
        folded = {each.casefold(): sizes for each, sizes in known.items()}
        found = folded.get(name.casefold())
    if found is None:
        raise _unknown(name, known, settings, *keys)
    return found


def _unknown(name: str, known: Mapping[str, object], settings: Settings, *keys: str) -> FileError:
    close = did_you_mean(name, known)
    hint = f"did you mean {quote(close)}? " if close is not None else ""
    return settings.error(
        "a model that is not known by this name", *keys, hint=f"{hint}give params or model in the project's file"
    )
