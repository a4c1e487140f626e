"""Read the runs of an MLflow file store: a folder a run, with a file a metric, a parameter and a tag.

A line of a metric is its time stamp, its value and its step; the oldest files have no step, newer ones a data set and
its digest behind, those of a model the run. Names of metrics with slashes are folders.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import FileError
from scaleplan.files import is_file, read_text
from scaleplan.logs.log_file import LogFile, read_settings, run_name
from scaleplan.logs.metric_run import MetricRun
from scaleplan.logs.metrics import role_of
from scaleplan.logs.recorder import Recorder
from scaleplan.tables.cells import Numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scaleplan.arrays import Array

__all__ = ["is_deleted", "metric_of", "read", "read_run", "recognise", "run_folder"]

_LINE = re.compile(
    rb"\d{9,19}(?:\.\d+)? +(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?nan|[+-]?inf(?:inity)?)"
    rb"(?: +-?\d+(?: +\S+){0,3})?",
    re.IGNORECASE,
)
_STATES = {"1": "running", "2": "scheduled", "3": "finished", "4": "failed", "5": "killed"}
_LONGEST_SETTING = 10_000


def recognise(file: LogFile) -> bool:
    """Return whether a file is a metric: lines of a time stamp, a value and mostly a step."""
    lines = [line for line in file.head.split(b"\n") if line.strip()]
    if len(file.head) == len(b"\n".join(lines)) and len(lines) > 1:
        lines.pop()  # may be cut
    return bool(lines) and all(_LINE.fullmatch(line.strip()) for line in lines[:50])


def metric_of(path: Path) -> str:
    """Return the name of the metric of a file: the folders below ``metrics`` belong to it."""
    parts = path.absolute().parts
    places = [i for i, part in enumerate(parts[:-1]) if part == "metrics"]
    return "/".join(parts[places[-1] + 1 :]) if places else path.name


def run_folder(path: Path) -> Path | None:
    """Return the folder of the run of a metric; None where it lies in no ``metrics`` folder."""
    return next((folder.parent for folder in path.absolute().parents if folder.name == "metrics"), None)


def is_deleted(folder: Path) -> bool:
    """Return whether the run in a folder was deleted: MLflow keeps its files, and shows it no more."""
    return read_settings(folder / "meta.yaml").get("lifecycle_stage") == "deleted"


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the run of one metric, with the other metrics that lie beside it."""
    folder = None if file.path is None else run_folder(file.path)
    if file.path is None or folder is None:
        recorder = Recorder(run_name(file.path), file.source, line=1, format_name="mlflow")
        name = "loss" if file.path is None or role_of(file.path.name) is None else file.path.name
        _fill(MetricRun(recorder, loss=name), {name: file})
        yield recorder
        return
    yield read_run(folder, named=metric_of(file.path), source=file.source)


def read_run(folder: Path, *, named: str | None = None, source: str | None = None) -> Recorder:
    """Return the run in a folder; ``named`` is the metric that the user means by the loss."""
    metrics = folder / "metrics"
    files: dict[str, LogFile] = {}
    for path in sorted(metrics.rglob("*")):
        name = path.relative_to(metrics).as_posix()
        if is_file(path) and (role_of(name) is not None or name == named):
            files[name] = LogFile(path)
    meta = read_settings(folder / "meta.yaml")
    settings = {**_values(folder / "tags"), **_values(folder / "params")}
    title = settings.get("mlflow.runName") or meta.get("run_name") or meta.get("name") or folder.name
    recorder = Recorder(str(title), source or str(folder), line=1, format_name="mlflow")
    status = str(meta.get("status", "")).lower()
    status = _STATES.get(status, status)
    if status == "finished":
        recorder.ended = "finished"
    elif status in {"failed", "killed"}:
        recorder.ended = "crashed"
    run = MetricRun(recorder, loss=named)
    run.state_texts({key: value for key, value in settings.items() if not key.startswith("mlflow.")})
    _fill(run, files, unnamed=named if named is not None and role_of(named) is None else None)
    return recorder


def _values(folder: Path) -> dict[str, str]:
    """Return the content of the files of a folder by their names."""
    found: dict[str, str] = {}
    if not folder.is_dir():
        return found
    for path in sorted(folder.rglob("*")):
        if is_file(path):
            try:
                found[path.relative_to(folder).as_posix()] = read_text(
                    path, what="setting", limit=_LONGEST_SETTING
                ).strip()
            except FileError:
                continue
    return found


def _fill(run: MetricRun, files: Mapping[str, LogFile], *, unnamed: str | None = None) -> None:
    """Give the metrics of a run to its recorder, brought together by their steps."""
    series: dict[str, tuple[Array, Array]] = {}
    latest = -math.inf
    for name, file in files.items():
        times, values, steps, damaged = _columns(file)
        if damaged:
            run.recorder.warn("damaged_lines", f"{damaged} lines of metric '{name}' cannot be read, and are left out")
        if len(times):
            latest = max(latest, float(times.max()))
        if np.isnan(steps).all() and len(steps):
            run.recorder.warn("logged_calls", f"metric '{name}' has no steps: its lines are counted instead")
            steps = np.arange(1.0, len(steps) + 1)
        order = np.argsort(steps, kind="stable")  # a restarted run repeats steps: of one step the later counts
        steps, values = steps[order], values[order]
        last = np.append(np.diff(steps) != 0, True)
        label = "loss" if name == unnamed else name
        series[label] = steps[last], values[last]
    if not series:
        return
    every = np.unique(np.concatenate([steps for steps, _ in series.values()]))
    every = every[np.isfinite(every)]
    numbers: dict[str, Numbers] = {}
    for name, (steps, values) in series.items():
        column, absent = np.full(len(every), np.nan), np.ones(len(every), dtype=bool)
        known = np.isfinite(steps)
        places = np.searchsorted(every, steps[known])
        column[places], absent[places] = values[known], False
        numbers[name] = Numbers(column, absent)
    run.extend(numbers, every, lambda row: row + 1)
    if unnamed is not None and run.recorder.label == "loss":
        run.recorder.label = unnamed
    if math.isfinite(latest):
        run.recorder.written = latest / 1000.0


def _columns(file: LogFile) -> tuple[Array, Array, Array, int]:
    """Return time stamps, values and steps of a metric (NaN where there are none), and how many lines are damaged."""
    times: list[Array] = []
    values: list[Array] = []
    steps: list[Array] = []
    damaged = 0
    for chunk in file.chunks():
        lines = chunk.split(b"\n")
        fields = [line.split(b" ") for line in lines if line.strip()]
        width = len(fields[0]) if fields else 0
        try:
            if width < 2 or any(len(each) != width for each in fields):
                raise ValueError  # noqa: TRY301  lines of several lengths are read one by one
            columns = list(zip(*fields, strict=True))
            found = [np.fromiter(map(float, columns[k]), np.float64, len(fields)) for k in range(min(width, 3))]
            if width == 2:
                found.append(np.full(len(fields), np.nan))
        except ValueError:
            rows = [row for each in fields if (row := _row(each)) is not None]
            damaged += len(fields) - len(rows)
            found = list(np.array(rows, dtype=float).reshape(-1, 3).T)
        if not chunk.endswith(b"\n") and len(found[2]) and _is_back(found[2], steps[-1:]):
            found, damaged = [column[:-1] for column in found], damaged + 1  # a line that is being written
        times.append(found[0])
        values.append(found[1])
        steps.append(found[2])
    if not times:
        return np.empty(0), np.empty(0), np.empty(0), 0
    return np.concatenate(times), np.concatenate(values), np.concatenate(steps), damaged


def _is_back(steps: Array, before: list[Array]) -> bool:
    """Whether the last step is not above the one before it, or not there though that one is."""
    earlier = np.concatenate([*before, steps[:-1]])
    return bool(len(earlier)) and bool(np.isfinite(earlier[-1])) and not steps[-1] > earlier[-1]


def _row(fields: list[bytes]) -> tuple[float, float, float] | None:
    fields = [field for field in fields if field]
    try:
        return float(fields[0]), float(fields[1]), float(fields[2]) if len(fields) > 2 else math.nan
    except (ValueError, IndexError):
        return None
