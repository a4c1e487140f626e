"""Find the logs below paths, and read them as runs, one after the other.

A folder is searched for files of the formats in :data:`~scaleplan.logs.formats.FORMATS`; those that belong to one
run (event files after a restart, the metrics of an MLflow run, the checkpoints of a Trainer) are one. A run is given
on as soon as it is read: a gigabyte of logs is never in memory at once.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import FileError, Notice, quote
from scaleplan.files import is_file, is_folder
from scaleplan.logs import event_file
from scaleplan.logs.formats import FORMATS, format_of
from scaleplan.logs.log_file import LogFile, run_name
from scaleplan.logs.metrics import split_named
from scaleplan.logs.mlflow import is_deleted, read_run, run_folder
from scaleplan.logs.tensorboard_scalars import metric_in_name, read_scalars
from scaleplan.tables.arrow_files import is_arrow
from scaleplan.tables.frames import is_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scaleplan.logs.formats import LogFormat
    from scaleplan.logs.recorder import Recorder
    from scaleplan.logs.run_log import RunLog
    from scaleplan.tables.frames import TableLike

__all__ = ["is_log", "read_logs"]

_NO_LOGS = frozenset(
    {
        *(
            ".py",
            ".pyc",
            ".ipynb",
            ".sh",
            ".yaml",
            ".yml",
            ".toml",
            ".md",
            ".rst",
            ".html",
            ".css",
            ".js",
            ".c",
            ".cu",
        ),
        *(".pt", ".pth", ".bin", ".safetensors", ".npy", ".npz", ".pkl", ".pickle", ".parquet", ".arrow", ".h5"),
        *(".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf", ".zip", ".tar", ".tgz", ".xz", ".bz2", ".so", ".ckpt"),
        *(".distcp", ".model", ".idx", ".onnx", ".mp4", ".wav", ".lock", ".pid", ".db", ".sqlite", ".tiktoken"),
    }
)
"""Endings of files that lie beside logs and are none; a file that is named itself is read, whatever its ending."""

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


TABLES = frozenset({"curve-table"})
"""Formats that a fit reads as tables: nothing in them says that a trainer or a tracker wrote them."""


class _Source(NamedTuple):
    """The files of one run, or one file of any number of runs, and their format."""

    paths: tuple[Path, ...]
    known: LogFormat


def is_log(path: TableLike, *, tables: bool = True) -> bool:
    """Return whether a path is a log of training runs, or a folder; ``-`` and tables of final results are not.

    With ``tables`` a plain table of curves (columns such as step or tokens, and loss) is a log, too.
    """
    if is_path(path):
        found = Path(str(path))
        if is_folder(found):
            return True
        if not is_file(found):
            return False
    known = format_of(LogFile.of(path))
    return known is not None and (tables or known.name not in TABLES)


def read_logs(
    paths: Sequence[TableLike], *, tables: bool = True, skipped: Callable[[Notice], None] | None = None
) -> Iterator[RunLog]:
    """Yield the runs of logs and of folders of logs, in the order of the paths and, within a folder, of names.

    ``tables`` tells whether plain tables of curves inside folders count. A file inside a folder that cannot be read
    is left out: ``skipped`` gets the notice, else the next run has it among its warnings.

    Raises FileError for a path that cannot be read or is no log, and for a folder without any.
    """
    for path in paths:
        if not is_path(path) or str(path) == "-" or not is_folder(Path(str(path))):
            yield from _read_file(LogFile.of(path))
        else:
            yield from _read_folder(Path(str(path)), tables=tables, skipped=skipped)


def _read_file(file: LogFile) -> Iterator[RunLog]:
    known = format_of(file)
    if known is None:
        raise _no_log(file)
    count = 0
    for recorder in known.read(file):
        run = _named(recorder.run(), file)
        if _has_loss(run):
            count += 1
            yield run
    if not count:
        raise FileError(f"{file.name}: no loss in this log yet ({known.title})", file=file.source)


def _named(run: RunLog, file: LogFile) -> RunLog:
    """Return a run under the name of its folder where its file is called like that of every other run."""
    name, mark, number = run.name.partition("#") if file.stem != run.name else (run.name, "", "")
    return replace(run, name=f"{run_name(file.path)}{mark}{number}") if name == file.stem else run


def _has_loss(run: RunLog) -> bool:
    return "loss" in run.curves or "val_loss" in run.curves or run.not_finite is not None


def _no_log(file: LogFile) -> FileError:
    if not file.head:
        return FileError(f"{file.name} is empty", hint="a log is read as soon as its first entry is written")
    if is_arrow(file.head):
        hint = "name the file: it cannot be read as it comes"
        raise FileError(f"{file.name}: a Parquet or Arrow file", hint=hint)
    titles = ", ".join(known.title for known in FORMATS)
    return FileError(f"{file.name}: no training log of a known format", hint=f"these are read: {titles}")


def _read_folder(folder: Path, *, tables: bool, skipped: Callable[[Notice], None] | None) -> Iterator[RunLog]:
    notices: list[Notice] = []
    tell = notices.append if skipped is None else skipped
    count = 0
    names: Counter[str] = Counter()
    for source in _sources(folder, tables=tables, tell=tell):
        file = LogFile(source.paths[0])
        try:
            for recorder in _recorders(source, file):
                run = _named(recorder.run(), file)
                if not _has_loss(run):
                    continue
                count += 1
                names[run.name] += 1
                if names[run.name] > 1:
                    run = replace(run, name=_distinct(run, source.paths[0], folder, names))
                if notices:
                    run = replace(run, warnings=(*run.warnings, *notices))
                    notices.clear()
                yield run
        except FileError as error:
            tell(Notice(code="unreadable_log", message=error.message))
    if not count:
        reasons = f"; {notices[0].message}" if notices else ""
        raise FileError(
            f"no training log in {quote(folder)} or the folders below{reasons}",
            hint="name the file of a log; "
            + ("hidden folders are not searched" if not tables else "a table needs a step or tokens beside its loss"),
        )


def _recorders(source: _Source, file: LogFile) -> Iterator[Recorder]:
    """Yield the runs of a source."""
    path = source.paths[0]
    if source.known.name == _EVENTS:
        return event_file.read_files([LogFile(each) for each in source.paths])
    if source.known.name == _SCALARS and len(source.paths) > 1:
        return read_scalars([LogFile(each) for each in source.paths])
    if source.known.name == _MLFLOW and (folder := run_folder(path)) is not None:
        if is_deleted(folder):
            return iter(())
        return iter((read_run(folder, source=str(path.parents[len(path.absolute().relative_to(folder).parts) - 1])),))
    return source.known.read(file)


_EVENTS, _SCALARS, _MLFLOW = "tensorboard-events", "tensorboard-scalars", "mlflow"


def _joined(known: LogFormat, path: Path) -> str | None:
    """Return what the files of one run have in common; None for a format with a file a run."""
    if known.name == _EVENTS:
        return str(path.parent.parent if _is_split(path.parent) else path.parent)
    if known.name == _SCALARS:
        run, metric = metric_in_name(path.stem)
        return f"{path.parent}/{run}" if metric is not None else None
    if known.name == _MLFLOW and (folder := run_folder(path)) is not None:
        return str(folder)
    return None


def _is_split(folder: Path) -> bool:
    """Return whether the event files of a folder are of one part of a run's data.

    Keras writes training and validation into folders of their own; PyTorch those of one picture (``add_scalars``)
    below the file of the others: ``loss_val``.
    """
    if split_named(folder.name) is None:
        return False
    return split_named(folder.name) == folder.name.lower() or any(folder.parent.glob("events.out.tfevents.*"))


def _distinct(run: RunLog, path: Path, folder: Path, names: Counter[str]) -> str:
    """Return a name that no run before has: with the folders below the one that is read."""
    inner = path.relative_to(folder).parent.as_posix()
    named = f"{inner}/{run.name}" if inner not in {"", "."} else f"{path.name}: {run.name}"
    names[named] += 1
    return named if names[named] == 1 else f"{run.name} ({names[run.name]})"


def _sources(folder: Path, *, tables: bool, tell: Callable[[Notice], None]) -> list[_Source]:
    """Return what is to be read in a folder and those below it."""
    found: dict[tuple[str, str], list[Path]] = {}
    formats: dict[str, LogFormat] = {}
    for place, names in _folders(folder, tell):
        for name in names:
            path = place / name
            if path.suffix.lower() in _NO_LOGS or not is_file(path):
                continue
            try:
                known = format_of(LogFile(path))
            except FileError as error:
                tell(Notice(code="unreadable_log", message=error.message))
                continue
            if known is not None and (tables or known.name not in TABLES):
                formats[known.name] = known
                found.setdefault((known.name, _joined(known, path) or str(path)), []).append(path)
    return [_Source(tuple(paths), formats[name]) for (name, _), paths in found.items()]


def _folders(folder: Path, tell: Callable[[Notice], None]) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and those below it with the names of their files, each once, in the order of names.

    Of the checkpoints of a Trainer the last has the history of all; where the run's own folder has it, none counts.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            found = place.stat()
            entries = sorted(os.scandir(place), key=lambda entry: _natural(entry.name))
        except OSError as error:
            reason = (error.strerror or "not readable").lower()
            tell(Notice(code="unreadable_log", message=f"cannot read {quote(place)}: {reason}"))
            continue
        if (found.st_dev, found.st_ino) in seen:
            continue
        seen.add((found.st_dev, found.st_ino))
        entries = [entry for entry in entries if not entry.name.startswith(".")]
        inner: list[str] = []
        files: list[str] = []
        for entry in entries:
            try:
                (inner if entry.is_dir() else files).append(entry.name)
            except OSError:
                continue
        if "trainer_state.json" in files:
            inner = [name for name in inner if not _CHECKPOINT.fullmatch(name)]
        else:
            numbered = [name for name in inner if _has_state(place / name)]
            last = max(numbered, key=lambda name: int(name.rpartition("-")[2]), default=None)
            inner = [name for name in inner if name == last or name not in numbered]
        yield place, files
        waiting += [place / name for name in reversed(inner)]


def _has_state(path: Path) -> bool:
    return _CHECKPOINT.fullmatch(path.name) is not None and is_file(path / "trainer_state.json")


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return the key of an order in which ``run_2`` stands before ``run_10``."""
    return [
        (part.isdigit(), int(part) if part.isdigit() and len(part) < 20 else 0, part)
        for part in re.split(r"(\d+)", name)
    ]
