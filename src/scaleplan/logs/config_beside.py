"""Find the model and the settings of a run in the files beside its log: a config.json, or a training config.

Looked into are the folder of the log, the one above it, and the folders of checkpoints in either. Nothing is run, and
no size is guessed: of several training configs in a folder the one with the name of the run counts, or none.
"""

from __future__ import annotations

import os
from dataclasses import field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from scaleplan.documents.document import ENDINGS
from scaleplan.errors import ScaleplanError
from scaleplan.files import is_file, is_folder
from scaleplan.logs.formats import format_of
from scaleplan.logs.log_file import LogFile
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from scaleplan.models.model import Model
    from scaleplan.models.trained import TrainedFile

__all__ = ["ConfigBeside", "ConfigsBeside", "read_config_of_run"]

_MODELS = ("config.json", "model_config.json")
"""What trainers call the config of a model that they write beside a log or into a checkpoint."""

_CHECKPOINT = ("checkpoint", "ckpt", "step", "global_step", "iter", "epoch")
"""How the names of folders with checkpoints begin."""

_MOST_FILES = 200  # of a folder: one with more is no folder of a run
_MOST_CONFIGS = 20
_LARGEST = 1_000_000  # bytes; real ones are kilobytes


_READERS = {"model": "scaleplan.models.model:read_model", "training": "scaleplan.models.trained:trained_file"}
"""What reads each kind of config, imported for the first one: the families cost more than a short log."""


def _reader(kind: str) -> Callable[..., Any]:
    module, _, name = _READERS[kind].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


class ConfigBeside(Record):
    """What a file beside a log tells: ``model`` is counted by it, ``values`` are of the training config.

    ``params`` are counted without a model, in the file of a ladder's run. ``problem`` says why a file that is there
    gave no model, and ``source`` names it.
    """

    source: str
    model: Model | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None
    params: float | None = None

    @property
    def counted(self) -> float | None:
        """The parameters of the model."""
        return self.params if self.model is None else float(self.model.params)


def read_config_of_run(path: str | Path, *, vocab: int | None = None) -> ConfigBeside:
    """Return what a config of a model, or of a training, says.

    Raises FileError for a file that is neither, and for a name that is not known.
    """
    trained = _reader("training")(path, vocab=vocab)
    if trained is None:
        return ConfigBeside(source=str(path), model=_reader("model")(path, vocab=vocab))
    return _of_training(trained, vocab)


def _of_training(trained: TrainedFile, vocab: int | None) -> ConfigBeside:
    values = {name: setting.value for name, setting in trained.config.values.items()}
    try:
        model = _reader("model")(trained.path, vocab=vocab)
    except ScaleplanError as error:
        hint = "--vocab gives it" if "vocab" in trained.config.open and vocab is None else error.hint
        way = f"; {hint}" if hint else ""
        return ConfigBeside(source=str(trained.path), values=values, problem=f"{error.message}{way}")
    return ConfigBeside(source=str(trained.path), model=model, values=values)


class ConfigsBeside:
    """The configs of folders, each looked into once."""

    def __init__(self, *, vocab: int | None = None) -> None:
        self._vocab = vocab
        self._models: dict[Path, ConfigBeside | None] = {}
        self._trained: dict[Path, list[TrainedFile]] = {}

    def of(self, log: Path, run: str, *, top: Path | None = None) -> tuple[ConfigBeside, ...]:
        """Return the config of the model and the training config of a run, of those that there are.

        ``top`` is the folder of the run, above which are files of other runs.
        """
        folder = log if is_folder(log) else log.parent
        folders = [folder, folder.resolve().parent if folder.parent == folder else folder.parent]
        if top is not None and folder.resolve() == top.resolve():
            folders.pop()
        model = trained = None
        for each in folders:
            model = model or self._model(each)
            trained = trained or self._training(each, {run, log.stem})
        return tuple(found for found in (model, trained) if found is not None)

    def _model(self, folder: Path) -> ConfigBeside | None:
        """Return the config of a model in a folder, else that of a checkpoint in it; the last of several."""
        if folder not in self._models:
            checkpoints = [path for path in _entries(folder, folders=True) if path.name.startswith(_CHECKPOINT)]
            self._models[folder] = next(
                (
                    self._read(place / name)
                    for place in (folder, *reversed(checkpoints))
                    for name in _MODELS
                    if is_file(place / name)
                ),
                None,
            )
        return self._models[folder]

    def _read(self, path: Path) -> ConfigBeside:
        try:
            return read_config_of_run(path, vocab=self._vocab)
        except ScaleplanError as error:
            way = f"; {error.hint}" if error.hint else ""
            return ConfigBeside(source=str(path), problem=f"{error.message}{way}")

    def _training(self, folder: Path, names: set[str]) -> ConfigBeside | None:
        """Return the training config of a folder: the only one, or that with the name of the run."""
        if folder not in self._trained:
            self._trained[folder] = [*self._trainings(folder)]
        found = self._trained[folder]
        own = [trained for trained in found if trained.path.stem in names]
        chosen = own or found
        if len(chosen) == 1:
            return _of_training(chosen[0], self._vocab)
        if chosen:
            listed = ", ".join(trained.path.name for trained in chosen[:3])
            return ConfigBeside(
                source=str(folder),
                problem=f"{folder}: {len(chosen)} training configs, none with the name of the run: {listed}; "
                "--model names one",
            )
        return None

    def _trainings(self, folder: Path) -> Iterator[TrainedFile]:
        candidates = [path for path in _entries(folder) if path.suffix in ENDINGS and path.name not in _MODELS]
        for path in candidates[:_MOST_CONFIGS]:
            try:
                if path.stat().st_size > _LARGEST or format_of(LogFile(path)) is not None:
                    continue
                trained = _reader("training")(path, vocab=self._vocab)
            except (ScaleplanError, OSError, ValueError, RecursionError):  # of another kind, or not to be read
                continue
            if trained is not None:
                yield trained


def _entries(folder: Path, *, folders: bool = False) -> list[Path]:
    """Return the files of a folder, or the folders, by name; none of one with too many."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  half the time of iterdir
    except (OSError, ValueError):
        return []
    if len(names) > _MOST_FILES and not folders:
        return []
    paths = [folder / name for name in sorted(names, key=lambda name: (len(name), name))]
    return [path for path in paths if (is_folder(path) if folders else is_file(path))]
