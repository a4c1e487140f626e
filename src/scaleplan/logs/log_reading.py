"""Find the logs below paths, and read them as runs, one after the other.

A folder is searched for files of the formats in :data:`~scaleplan.logs.formats.FORMATS`; those that belong to one
run (event files after a restart, the metrics of an MLflow run, the checkpoints of a Trainer) are one. The folder of a
ladder's run is one run, whatever logs lie in it. A run is given on as soon as it is read: a gigabyte of logs is never
in memory at once.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import FileError, Notice, quote, system_reason
from scaleplan.files import is_file, is_folder
from scaleplan.logs import event_file
from scaleplan.logs.csv_rows import csv_names
from scaleplan.logs.formats import FORMATS, format_of
from scaleplan.logs.ladder_run import LOG, PAST_LIMIT, RUN_FILE, STOPPED, exit_status_in, read_run_file
from scaleplan.logs.log_file import LogFile, run_name
from scaleplan.logs.metrics import metric_names, split_named
from scaleplan.logs.mlflow import is_deleted, read_run, run_folder
from scaleplan.logs.run_sizes import last_step, names_listed
from scaleplan.logs.tensorboard_scalars import metric_in_name, read_scalars
from scaleplan.tables.arrow_files import arrow_parts, is_arrow
from scaleplan.tables.frames import is_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scaleplan.logs.formats import LogFormat
    from scaleplan.logs.ladder_run import LadderRunFile
    from scaleplan.logs.recorder import Recorder
    from scaleplan.logs.run_log import Ended, RunLog
    from scaleplan.tables.frames import TableLike

__all__ = ["is_log", "read_logs", "read_run_folder"]

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
    """The files of one run, or one file of any number of runs, and their format.

    ``place`` is the folder of a ladder's run that they are in.
    """

    paths: tuple[Path, ...]
    known: LogFormat
    place: Path | None = None


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
    found = _in_file(file, known)
    about = None if file.path is None or not is_file(file.path) else _about(file.path.absolute().parent)
    if about is not None:
        last = _last_start(found)
        found = iter(() if last is None else (_of_ladder(last, *about),))
    count = 0
    for count, run in enumerate(found, 1):  # noqa: B007  counted for the error
        yield run
    if not count:
        raise FileError(f"{file.name}: no loss in this log yet ({known.title})", file=file.source)


def _in_file(file: LogFile, known: LogFormat) -> Iterator[RunLog]:
    """Yield the runs of a file that have a loss."""
    return filter(_has_loss, (_named(recorder.run(), file) for recorder in known.read(file)))


def _about(folder: Path) -> tuple[Path, LadderRunFile] | None:
    """Return the folder of a ladder's run that a folder is, or lies in, and what its file says."""
    for each in (folder, *folder.parents)[:_DEEPEST]:
        try:
            about = read_run_file(each)
        except FileError:
            return None
        if about is not None:
            return each, about
    return None


_DEEPEST = 4
"""Folders from the log up to that of its run: ``lightning_logs/version_0`` are two."""


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
    found = _search(folder, tables=tables, tell=tell)
    in_tables = tables and not found.sources and not found.ladder
    for run, path in _in_tables(folder, tell) if in_tables else _each_run(found, tell):
        count += 1
        names[run.name] += 1
        name = run.name if names[run.name] == 1 else _distinct(run, path, folder, names)
        warnings = (*run.warnings, *notices)
        notices.clear()
        yield replace(run, name=name, warnings=warnings)
    if not count:
        reasons = f"; {notices[0].message}" if notices else ""
        if found.ladder:
            raise FileError(
                f"{_without_log([*found.ladder.values()])}{reasons}",
                hint="'scaleplan ladder status FOLDER' shows what has started",
            )
        if not reasons and not tables and arrow_parts(folder):
            raise FileError(
                f"{quote(folder)} holds Parquet or Arrow files, which are read as logs where they are named",
                hint="name the files, each of whole runs: FOLDER/*.parquet",
            )
        raise FileError(
            f"no training log in {quote(folder)} or the folders below{reasons}",
            hint="name the file of a log; "
            + ("hidden folders are not searched" if not tables else "a table needs a step or tokens beside its loss"),
        )


def _in_tables(folder: Path, tell: Callable[[Notice], None]) -> Iterator[tuple[RunLog, Path]]:
    """Yield the runs of a folder that holds Parquet and Arrow files alone, each with its file.

    They are one table where its rows or its folders tell of which run they are, and a log each where nothing does.
    """
    parts = arrow_parts(folder)
    if not parts:
        return
    whole = LogFile.of_folder(folder)
    is_one = metric_names(csv_names(whole)).run is not None or any("=" in path.parent.name for path in parts)
    for file in [whole] if is_one else map(LogFile, parts):
        try:
            known = format_of(file)
            for run in () if known is None else _in_file(file, known):
                yield run, file.path or folder
        except FileError as error:
            tell(Notice(code="unreadable_log", message=error.message))


def _each_run(found: _Found, tell: Callable[[Notice], None]) -> Iterator[tuple[RunLog, Path]]:
    """Yield the runs of what was found in a folder, each with its file; the folder of a ladder's run is one."""
    without = list(found.ladder)
    for place, sources in found.groups():
        if place is None:
            for source in sources:
                for run in _runs_of(source, tell):
                    yield run, source.paths[0]
        elif (chosen := _chosen(sources, place, found.ladder[place], tell)) is not None:
            without.remove(place)
            yield chosen, place / RUN_FILE
    if without and len(without) < len(found.ladder):
        tell(Notice(code="run_without_log", message=_without_log([found.ladder[place] for place in without])))


def _without_log(runs: Sequence[LadderRunFile]) -> str:
    """Return what is said of runs of a ladder whose logs cannot be read."""
    where = "its folder" if len(runs) == 1 else "their folders"
    return f"{names_listed([run.name for run in runs])}: no log that can be read in {where}"


def _runs_of(
    source: _Source, tell: Callable[[Notice], None], opened: Callable[[Path], LogFile] = LogFile
) -> Iterator[RunLog]:
    """Yield the runs of a source that have a loss; ``tell`` gets what cannot be read."""
    try:
        file = opened(source.paths[0])
        for recorder in _recorders(source, file):
            run = _named(recorder.run(), file)
            if _has_loss(run):
                yield run
    except FileError as error:
        tell(Notice(code="unreadable_log", message=error.message))


def read_run_folder(
    folder: Path,
    about: LadderRunFile,
    *,
    opened: Callable[[Path], LogFile] = LogFile,
    tell: Callable[[Notice], None],
) -> RunLog | None:
    """Return the run in the folder of a ladder's run, by the log that counts; None without one that can be read.

    ``opened`` opens a file, maybe without its middle.
    """
    found = _search(folder, tables=True, tell=tell, opened=opened, most=_MOST_OF_A_RUN)
    own = [source for source in found.sources if source.place in (None, folder)]
    return _chosen(own, folder, about, tell, opened)


_MOST_OF_A_RUN = 2000
"""Files of a run's folder that are looked at for its log, which takes up to a second; checkpoints do not count.
Beyond these lies what no trainer logs: a cache of data, a copy of the program, a link to a whole disk."""


def _chosen(
    sources: Sequence[_Source],
    place: Path,
    about: LadderRunFile,
    tell: Callable[[Notice], None],
    opened: Callable[[Path], LogFile] = LogFile,
) -> RunLog | None:
    """Return the one run of several logs, which are all of it.

    The log that has come furthest counts; of those that are as far, one of training and validation losses, then one
    that the trainer wrote itself, since what it printed is rounded, and then the first.
    """
    furthest: dict[tuple[int, bool], tuple[float, RunLog]] = {}
    for source in sources:
        run = _last_start(_runs_of(source, tell, opened))
        if run is None:
            continue
        kind = sum(name in run.curves for name in ("loss", "val_loss")), Path(run.source).name != LOG
        share = _share(run, about)
        if kind not in furthest or share > furthest[kind][0]:
            furthest[kind] = share, run
    if not furthest:
        return None
    most = max(share for share, _ in furthest.values())
    best = max(kind for kind, (share, _) in furthest.items() if share >= most - _AS_FAR)
    return _of_ladder(furthest[best][1], place, about)


_AS_FAR = 0.02
"""Share of the steps by which logs that are as far may differ: one is written more often than the other."""


def _share(run: RunLog, about: LadderRunFile) -> float:
    """Return how far a log is; 0 for one that counts something else than the steps."""
    step = last_step(run)
    share = 0.0 if math.isnan(step) else step / about.steps
    return min(share, 1.0) if share <= _BEYOND else 0.0


_BEYOND = 1.05
"""Times the steps of a run beyond which a log counts something else, such as batches of one GPU."""


def _last_start(runs: Iterator[RunLog]) -> RunLog | None:
    """Return the last of the runs of a file: a run that was started again prints into the log of its first start."""
    last, count = None, 0
    for count, last in enumerate(runs, 1):  # noqa: B007  the last one
        pass
    if last is None or count == 1:
        return last
    notice = Notice(
        code="started_again",
        message=f"{Path(last.source).name} holds {count} runs, each from its first step; the last one counts",
    )
    return replace(last, warnings=(*last.warnings, notice))


def _of_ladder(run: RunLog, folder: Path, about: LadderRunFile) -> RunLog:
    """Return a run as one of a ladder, under its name there, ended as the exit status says where its log does not."""
    ended = run.ended or _ended_by(exit_status_in(folder))
    return replace(run, name=about.name, ladder=about, ended=ended)


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


_FROM_OUTSIDE = frozenset({PAST_LIMIT, STOPPED, 137})
"""Exit statuses of a run that was ended: at its limit, by a signal to stop, or by signal 9, which none catches."""


def _ended_by(status: int | None) -> Ended | None:
    """Return how a run ended by its exit status."""
    if status is None:
        return None
    return "finished" if status == 0 else "stopped" if status in _FROM_OUTSIDE else "crashed"


class _Found(NamedTuple):
    """What is to be read in a folder and those below it; ``ladder`` has the folders of a ladder's runs."""

    sources: list[_Source]
    ladder: dict[Path, LadderRunFile]

    def groups(self) -> Iterator[tuple[Path | None, list[_Source]]]:
        """Yield what is to be read, that of one run of a ladder at once, with its folder."""
        together: dict[Path, list[_Source]] = {}
        for source in self.sources:
            if source.place is not None:
                together.setdefault(source.place, []).append(source)
        for source in self.sources:
            if source.place is None:
                yield None, [source]
            elif (own := together.pop(source.place, None)) is not None:
                yield source.place, own


def _search(
    folder: Path,
    *,
    tables: bool,
    tell: Callable[[Notice], None],
    opened: Callable[[Path], LogFile] = LogFile,
    most: float = math.inf,
) -> _Found:
    """Return what is to be read in a folder and those below it, of the first ``most`` files, after a warning."""
    left = most
    found: dict[tuple[str, str], list[Path]] = {}
    formats: dict[str, LogFormat] = {}
    ladder: dict[Path, LadderRunFile] = {}
    above = _about(folder.absolute().parent)
    if above is not None:
        ladder[above[0]] = above[1]
    owners: dict[Path, Path | None] = {folder.parent: None if above is None else above[0]}
    for place, names in _folders(folder, tell):
        about = None
        try:
            about = read_run_file(place) if RUN_FILE in names else None
        except FileError as error:
            tell(Notice(code="unreadable_run_file", message=error.message))
        if about is not None:
            ladder[place] = about
        owners[place] = owners.get(place.parent) if about is None else place
        logs = [name for name in names if Path(name).suffix.lower() not in _NO_LOGS]
        left -= len(logs)
        if left < 0:
            logs = logs[: int(left)]
            message = f"{quote(folder)} has more than {most:,} files: no log is looked for among the others"
            tell(Notice(code="many_files", message=message))
        for path, known in _logs_in(place, logs, tell, opened):
            if tables or known.name not in TABLES:
                formats[known.name] = known
                found.setdefault((known.name, _joined(known, path) or str(path)), []).append(path)
        if left < 0:
            break
    sources = [_Source(tuple(paths), formats[name], owners[paths[0].parent]) for (name, _), paths in found.items()]
    return _Found(sources, ladder)


def _logs_in(
    place: Path, names: Sequence[str], tell: Callable[[Notice], None], opened: Callable[[Path], LogFile]
) -> Iterator[tuple[Path, LogFormat]]:
    """Yield the files of a folder that are logs, with their formats."""
    for name in names:
        path = place / name
        if not is_file(path):
            continue
        try:
            known = format_of(opened(path))
        except FileError as error:
            tell(Notice(code="unreadable_log", message=error.message))
            continue
        if known is not None:
            yield path, known


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
            tell(Notice(code="unreadable_log", message=f"cannot read {quote(place)}: {system_reason(error)}"))
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
