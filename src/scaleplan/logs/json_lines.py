"""Read JSON logs: one object a line, flat or nested, or one document with the history of a run.

Numbers may be bare ``NaN`` and ``Infinity``, as Python writes them; the last line may be cut, lines of settings may
stand between the others, and the lines of several runs may be mixed where a key names the run.
"""

from __future__ import annotations

import json
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

from scaleplan.logs.metric_rows import BLOCK_ROWS, MetricRows
from scaleplan.logs.metrics import EVALUATION, STATED, TRAINING, metric_names, role_of
from scaleplan.logs.naming import run_name
from scaleplan.tables.cells import to_number, to_text
from scaleplan.tables.headings import normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.run_log import Recorder
    from scaleplan.tables.cells import Cell

__all__ = ["flattened", "is_history", "read", "recognise", "rows_as_columns", "wandb_format", "warn_of_sampling"]

_DEEPEST = 8  # levels of nesting; trainers write two or three
_HEAD_LINES = 200
_CHUNK = 1 << 22
_LEAST_OF_SIZED = 3  # rows of a run in a table that has the sizes of runs
_MOSTLY = 0.8  # of the rows of a run its count rises in: processes and runs whose name nothing gives mix
_COMPUTE = frozenset({"flops", "flop", "compute"})
_SETTINGS = frozenset({"params", "seed", "total_steps", "batch", "tokens_per_step"})


def recognise(file: LogFile) -> bool:
    """Return whether a file has an object a line, some with a step and a loss."""
    return is_history(head_objects(file))


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the runs of a file with an object a line."""
    known = [key for item in head_objects(file) for key in item]
    rows = MetricRows(run_name(file.path), file.source, wandb_format(known) or "json-lines")
    damaged: list[int] = []
    cut = False
    for numbers, objects, bad, cut_here in _blocks(file):
        damaged += bad
        cut = cut_here
        add_objects(rows, objects, numbers)
    for run in rows.runs():
        warn_of_sampling(run.recorder, rows)
        if damaged:
            more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
            run.recorder.warn("damaged-lines", f"line {damaged[0]}{more} cannot be read, and is left out")
        if cut:
            run.recorder.warn(
                "cut", "the last line is cut off: the file was being written, or its writer was stopped"
            )
        yield run.recorder


def wandb_format(names: Iterable[str]) -> str | None:
    """Return the format of a history of W&B, by the names of its own columns; None for others."""
    return "wandb-history" if {"_step", "_runtime", "_timestamp"} & set(names) else None


def warn_of_sampling(recorder: Recorder, rows: MetricRows) -> None:
    """Warn of a history of W&B with far fewer rows than calls of its log function: a sample of them."""
    if rows.calls > _SPARSE * rows.rows:
        recorder.warn(
            "sampled",
            f"{rows.rows} rows of {rows.calls:.0f} logged: run.history() draws a sample, scan_history() gives all",
        )


_SPARSE = 1.5  # calls of the logger to a row, above which rows were left out


def head_objects(file: LogFile) -> list[dict[str, Any]]:
    """Return the objects of the first whole lines; none where those are no objects."""
    text = file.head_text
    if '{"' not in text:
        return []
    lines = text.split("\n")
    if len(lines) > 1:
        lines = lines[:-1]
    found, bad = [], 0
    for line in lines[:_HEAD_LINES]:
        stripped = line.strip()
        if not stripped:
            continue
        item = _parsed(stripped[max(0, stripped.find('{"')) :])
        if isinstance(item, dict):
            found.append(item)
        else:
            bad += 1
    return found if len(found) > bad else []


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


def _blocks(file: LogFile) -> Iterator[tuple[list[int], list[dict[str, Any]], list[int], bool]]:
    """Yield objects with the numbers of their lines, the lines that cannot be read, and whether the last was cut."""
    line = 1
    rest = False
    for chunk in file.chunks(_CHUNK):
        lines = chunk.split(b"\n")
        whole = lines[-1] == b""
        if whole:
            lines.pop()
        for start in range(0, len(lines), BLOCK_ROWS):
            part = lines[start : start + BLOCK_ROWS]
            numbers, objects, bad = _parse_lines(part, line + start)
            last = line + len(lines) - 1
            rest = not whole and bool(bad) and bad[-1] == last
            yield numbers, objects, [each for each in bad if not (rest and each == last)], rest
        line += len(lines)


def _parse_lines(lines: list[bytes], first: int) -> tuple[list[int], list[dict[str, Any]], list[int]]:
    """Return the objects of lines, the number of each, and the numbers of the lines that hold none.

    An object may stand behind what a logger writes; lines without one are what a trainer prints beside its metrics.
    """
    numbers: Sequence[int] = range(first, first + len(lines))
    found = _parsed_at_once(lines)
    if found is not None:
        return list(numbers), found, []
    holding = [(number, line, line.find(b"{")) for number, line in zip(numbers, lines, strict=True)]
    holding = [each for each in holding if each[2] >= 0 and (each[2] == 0 or b'{"' in each[1])]
    texts = [line[at if at == 0 else line.find(b'{"') :] for _, line, at in holding]
    return _parse_by_halves(texts, [number for number, _, _ in holding])


def _parsed_at_once(lines: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """Return the objects of lines that each hold one; None where one of them does not."""
    found = _parsed((b"[" + b",".join(lines).replace(b"\x00", b"") + b"]").decode("utf-8", errors="replace"))
    return found if isinstance(found, list) and len(found) == len(lines) and set(map(type, found)) <= {dict} else None


def _parse_by_halves(
    lines: Sequence[bytes], numbers: Sequence[int]
) -> tuple[list[int], list[dict[str, Any]], list[int]]:
    """Return what :func:`_parse_lines` does, of lines among which few are damaged."""
    found = _parsed_at_once(lines)
    if found is not None:
        return list(numbers), found, []
    if len(lines) == 1:
        return [], [], list(numbers)
    middle = len(lines) // 2
    left, right = (_parse_by_halves(lines[part], numbers[part]) for part in (slice(middle), slice(middle, None)))
    return left[0] + right[0], left[1] + right[1], left[2] + right[2]


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_RUNLESS = frozenset({"log history", "history", "logs", "metrics", "train", "training", "validation", "val", "eval"})
"""Keys of a document that name its part and no run."""


def is_part(name: str) -> bool:
    """Return whether a key of a document is the name of a part of one run."""
    return normalised(name) in _RUNLESS
