"""Objects as rows of metrics: their columns, whether they are the history of a run, and what they state of it.

So come JSON lines, the items of a JSON document and, to be recognised, the first rows of a table.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

from scaleplan.logs.metrics import EVALUATION, STATED, TRAINING, metric_names, role_of
from scaleplan.tables.cells import to_number, to_text
from scaleplan.tables.headings import normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scaleplan.logs.metric_rows import MetricRows
    from scaleplan.logs.recorder import Recorder
    from scaleplan.tables.cells import Cell

__all__ = [
    "add_objects",
    "are_in_turn",
    "first_runs",
    "flattened",
    "is_history",
    "parsed_json",
    "rows_as_columns",
    "wandb_format",
    "warn_of_sampling",
    "whole_items",
]

_DEEPEST = 8  # levels of nesting; trainers write two or three
_LEAST_OF_SIZED = 3  # rows of a run in a table that has the sizes of runs
_MOSTLY = 0.8  # of the rows of a run its count rises in: processes and runs whose name nothing gives mix
_COMPUTE = frozenset({"flops", "flop", "compute"})
_SETTINGS = frozenset({"params", "seed", "total_steps", "batch", "tokens_per_step"})


def parsed_json(text: str) -> object:
    """Return what a JSON text holds; None for nothing, and where it cannot be read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def whole_items(text: str) -> tuple[list[Any], str, bool]:
    """Return the whole items at the beginning of a list, what follows them, and whether the list ends there."""
    decoder = json.JSONDecoder()
    found: list[Any] = []
    position = 0
    while True:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        if text[position : position + 1] == "]":
            return found, text[position + 1 :], True
        try:
            item, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return found, text[position:], False
        found.append(item)


def is_history(objects: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether objects are the steps of runs: a step (or tokens) that rises within a run, and losses.

    A table of final results, a row a run, is none: no two of its rows are of one run.
    """
    columns = rows_as_columns(objects)
    roles = {name: meaning.role for name in columns if (meaning := role_of(name)) is not None}
    names = metric_names(columns)
    metrics = columns[names.metric] if names.metric is not None and names.value is not None else []
    meant = {meaning.role for cell in dict.fromkeys(map(_metric, metrics)) if (meaning := role_of(cell)) is not None}
    if {"loss", "val_loss"}.isdisjoint(meant | set(roles.values())):
        return False
    counts = [name for name, role in roles.items() if role == "step"]
    words = {word for name in columns for word in normalised(name).split()}
    sized = "params" in roles.values() or "n" in map(normalised, columns) or (not counts and bool(words & _COMPUTE))
    if not counts and (not sized or names.run is not None):
        counts = [name for name, role in roles.items() if role in {"tokens", "epoch"}]
    if not counts:
        return False
    settings = [columns[name] for name, role in roles.items() if role in _SETTINGS]
    if names.run is not None:
        settings = [columns[names.run]]
    settings += [metrics] if metrics else []
    runs: dict[tuple[str, ...], list[float]] = {}
    for row in range(len(objects)):
        for name in counts:
            try:
                value = to_number(columns[name][row])
            except ValueError:
                continue
            if isfinite(value):
                runs.setdefault((name, *(str(cells[row]) for cells in settings)), []).append(value)
    rising = [values for values in runs.values() if _rises(values)]
    if not sized:
        return bool(rising)
    # of a sweep a few runs may have the same settings; the steps of a run are many
    return sum(len(values) for values in rising if len(values) >= _LEAST_OF_SIZED) > len(objects) / 2


def first_runs(columns: Mapping[str, Sequence[Cell]]) -> tuple[str, frozenset[str]] | None:
    """Return the column of the names of runs, and the first of many in the first rows of a table of curves.

    None of other tables, by the names of their columns, and where the runs are few: their rows tell what they are.
    """
    run = metric_names(columns).run
    roles = {meaning.role for name in columns if (meaning := role_of(name)) is not None}
    has_losses = not roles.isdisjoint({"loss", "val_loss"}) or metric_names(columns).metric is not None
    if run is None or not has_losses or roles.isdisjoint({"step", "tokens", "epoch"}):
        return None
    runs = [text for text in dict.fromkeys(map(to_text, columns[run])) if text][:_RUNS_IN_TURN]
    return (run, frozenset(runs)) if len(runs) == _RUNS_IN_TURN else None


_RUNS_IN_TURN = 40
"""Runs of which the first 200 rows have five each where they take turns."""


def are_in_turn(objects: Sequence[Mapping[str, Any]], run: str) -> bool:
    """Return whether objects are the steps of runs, most of which come again."""
    come_again = Counter(map(to_text, rows_as_columns(objects).get(run, ()))).values()
    return 2 * sum(count > 1 for count in come_again) > len(come_again) and is_history(objects)


def _metric(cell: Cell) -> str:
    """Return the name of a metric that a cell holds; of a split alone its loss is meant."""
    name = to_text(cell)
    return f"{name}/loss" if normalised(name) in TRAINING | EVALUATION else name


def _rises(values: Sequence[float]) -> bool:
    """Whether a count goes up, but for restarts and rows of one step."""
    pairs = list(pairwise(values))
    return any(left < right for left, right in pairs) and _MOSTLY * len(pairs) <= sum(
        left <= right for left, right in pairs
    )


def add_objects(rows: MetricRows, objects: Sequence[Mapping[str, Any]], lines: Sequence[int]) -> None:
    """Give objects to the runs, and what settings among them state."""
    columns = rows_as_columns(objects)
    settings = {
        name: next((cell for cell in cells if cell is not None), None)
        for name, cells in columns.items()
        if (meaning := role_of(name)) is not None and meaning.role in STATED and _is_setting(cells)
    }
    if settings:
        rows.state(settings)
        columns = {name: cells for name, cells in columns.items() if name not in settings}
    rows.add(columns, lines.__getitem__)


def _is_setting(cells: Sequence[Cell]) -> bool:
    """Whether a thing is stated once, on a line of its own."""
    return len(cells) - cells.count(None) == 1


def rows_as_columns(objects: Sequence[Mapping[str, Any]], prefix: str = "", depth: int = 0) -> dict[str, list[Cell]]:
    """Return objects as columns of scalars; nested keys are joined by dots, and lists left out."""
    columns: dict[str, list[Cell]] = {}
    keys: dict[str, None] = {}
    shapes = dict.fromkeys(map(tuple, objects))
    for shape in shapes:
        keys.update(dict.fromkeys(shape))
    for key in keys:
        cells = [item.get(key) for item in objects]
        name = f"{prefix}.{key}" if prefix else str(key)
        kinds = set(map(type, cells))
        if dict in kinds:
            if depth < _DEEPEST:
                inner = [cell if isinstance(cell, dict) else {} for cell in cells]
                for each, column in rows_as_columns(inner, name, depth + 1).items():
                    columns.setdefault(each, column)
            if len(kinds) == 1:
                continue
            cells = [None if isinstance(cell, dict) else cell for cell in cells]
            if all(cell is None for cell in cells):
                continue
        if list in kinds:
            cells = [None if isinstance(cell, list) else cell for cell in cells]
            if all(cell is None for cell in cells):
                continue
        columns[name] = cells
    return columns


def flattened(item: Mapping[str, Any]) -> dict[str, Cell]:
    """Return the scalars of one object under dotted names."""
    return {name: cells[0] for name, cells in rows_as_columns([item]).items()}


def wandb_format(names: Iterable[str]) -> str | None:
    """Return the format of a history of W&B, by the names of its own columns; None for others."""
    return "wandb-history" if {"_step", "_runtime", "_timestamp"} & set(names) else None


def warn_of_sampling(recorder: Recorder, rows: MetricRows) -> None:
    """Warn of a history of W&B with far fewer rows than calls of its log function: a sample of them."""
    if rows.calls > _SPARSE * rows.rows:
        recorder.warn(
            "sampled",
            f"{rows.rows} rows of {rows.calls:,.0f} logged: run.history() draws a sample, scan_history() gives all",
        )


_SPARSE = 1.5  # calls of the logger to a row, above which rows were left out
