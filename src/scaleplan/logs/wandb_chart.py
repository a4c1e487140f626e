"""Read a chart of W&B as its panel exports it: a column a run, with the least and the largest value beside it.

The names are ``RUN - METRIC``, ``RUN - METRIC__MIN`` and ``RUN - METRIC__MAX``; of a group of runs they are those of
the group, and the value is a mean. The first column counts what the x-axis of the chart does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaleplan.logs.csv_rows import csv_blocks, csv_names
from scaleplan.logs.metric_run import MetricRun
from scaleplan.logs.metrics import role_of
from scaleplan.logs.recorder import Recorder
from scaleplan.tables.cells import read_numbers
from scaleplan.tables.headings import normalised

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.logs.log_file import LogFile

__all__ = ["read", "recognise"]

_AXES = frozenset({"relative time process", "relative time wall", "wall time", "epoch", "date", "timestamp"})
_BETWEEN = " - "


def recognise(file: LogFile) -> bool:
    """Return whether a file is the chart of a metric: an axis, then columns called after a run and the metric."""
    names = csv_names(file)
    if len(names) < 2 or not _is_axis(names[0]):
        return False
    named = [name for name in names[1:] if _BETWEEN in name]
    return len(named) == len(names) - 1 and any(_metric(name) is not None for name in named)


def _is_axis(name: str) -> bool:
    meaning = role_of(name)
    return (
        name == "Step"
        or normalised(name) in _AXES
        or (meaning is not None and meaning.role in {"step", "tokens", "epoch", "seconds", "clock"})
    )


def _metric(name: str) -> tuple[str, str] | None:
    """Return the run and the metric of a column; None for a bound, or a metric that plays no role."""
    if name.endswith(("__MIN", "__MAX")):
        return None
    run, _, metric = name.rpartition(_BETWEEN)
    return (run, metric) if role_of(metric) is not None and metric != "_step" else None


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the runs of a chart."""
    names = csv_names(file)
    axis = names[0]
    columns = {name: found for name in names[1:] if (found := _metric(name)) is not None}
    runs: dict[str, MetricRun] = {}
    for block in csv_blocks(file):
        if not block.columns:
            continue
        axis_numbers = read_numbers(block.columns[axis])
        steps = axis_numbers.values
        for run in dict.fromkeys(run for run, _ in columns.values()):
            numbers = {
                metric: read_numbers(block.columns[name])
                for name, (of_run, metric) in columns.items()
                if of_run == run
            }
            here = np.flatnonzero(
                np.isfinite(steps) & np.logical_or.reduce([~each.absent for each in numbers.values()])
            )
            if not len(here):
                continue
            if run not in runs:
                recorder = Recorder(run, file.source, line=block.lines[int(here[0])], format_name="wandb-chart")
                _describe(recorder, axis)
                runs[run] = MetricRun(recorder)
            picked = {name: each.take(here) for name, each in numbers.items()}
            runs[run].extend(picked, steps[here] * _factor(axis), _Lines(block.lines, here.tolist()))
    for each in runs.values():
        yield each.recorder


class _Lines:
    """The lines of some rows."""

    def __init__(self, lines: Sequence[int], rows: Sequence[int]) -> None:
        self._lines, self._rows = lines, rows

    def __call__(self, row: int) -> int:
        return self._lines[self._rows[row]]


def _factor(axis: str) -> float:
    meaning = role_of(axis)
    return meaning.factor if meaning is not None and meaning.role == "tokens" else 1.0


def _describe(recorder: Recorder, axis: str) -> None:
    """Say what the axis counts, where it is not the steps of training."""
    meaning = role_of(axis)
    if axis == "Step":
        recorder.warn(
            "logged_calls",
            "'Step' of a chart counts calls of the logger, unless the chart's x-axis is the trainer's step",
        )
    elif meaning is not None and meaning.role == "tokens":
        recorder.state(tokens_per_step=1.0)
    elif meaning is None or meaning.role != "step":
        recorder.warn("other_axis", f"the chart is by '{axis}', not by steps")
