"""Read the scalars that TensorBoard exports: one metric of one run, in a CSV file or a JSON list of lists.

The file names the run and the metric, or nothing does: the numbers are the training loss then.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.logs.csv_rows import csv_blocks, csv_names
from scaleplan.logs.log_file import run_name
from scaleplan.logs.metric_rows import BLOCK_ROWS
from scaleplan.logs.metric_run import MetricRun
from scaleplan.logs.metrics import role_of
from scaleplan.logs.recorder import Recorder
from scaleplan.logs.row_objects import parsed_json, whole_items
from scaleplan.tables.cells import read_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scaleplan.logs.log_file import LogFile
    from scaleplan.tables.cells import Cell

__all__ = ["metric_in_name", "read", "read_scalars", "recognise"]

_COLUMNS = {"wall time", "step", "value"}
_LARGEST = 100_000_000
_TAGGED = re.compile(r"(?:run-)?(?P<run>.*?)-?tag-(?P<tag>.+)")


def recognise(file: LogFile) -> bool:
    """Return whether a file is a scalar export."""
    text = file.head_text.lstrip("\ufeff \n")
    if text.startswith("[["):
        found = re.match(r"\[\[\s*([^\]]*)\]", text)
        return found is not None and found[1].count(",") == len(_COLUMNS) - 1 and '"' not in found[1]
    return {name.strip().lower().replace("_", " ") for name in csv_names(file)} == _COLUMNS


def metric_in_name(stem: str) -> tuple[str, str | None]:
    """Return the run and the metric that the name of a file holds: ``run-a-tag-train_loss``, ``a_train_loss``.

    The metric is the end of the name that is the plainest one; None where no end is.
    """
    match = _TAGGED.fullmatch(stem)
    if match:
        return match["run"].strip("-_."), match["tag"]
    starts = [0, *(found.end() for found in re.finditer(r"[_\-. ]", stem))]
    ranked = [
        (meaning.rank, start)
        for start in starts
        if (meaning := role_of(stem[start:])) is not None and meaning.role in _ROLES
    ]
    if not ranked:
        return stem, None
    _, start = min(ranked)
    return stem[:start].strip("_-. "), stem[start:]


_ROLES = frozenset({"loss", "val_loss", "lr", "relative_lr", "grad_norm", "tokens", "mfu", "tokens_per_second"})


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the run of a scalar."""
    yield from read_scalars([file])


def read_scalars(files: Sequence[LogFile]) -> Iterator[Recorder]:
    """Yield one run from the scalars of it, each in a file of its own."""
    first = files[0]
    stem = "standard input" if first.path is None else first.path.stem
    named, _ = metric_in_name(stem)
    named = run_name(first.path.with_name(f"{named}.csv") if first.path is not None and named else first.path)
    recorder = Recorder(named, first.source, line=2, format_name="tensorboard-scalars")
    merged: dict[float, dict[str, float]] = {}
    if len(files) == 1:
        _read_one(first, recorder)
        yield recorder
        return
    for file in files:
        tag = _tag(file)
        meaning = role_of(tag)
        for columns, _ in _columns(file):
            times, steps, values = (read_numbers(columns[name]).values for name in ("wall time", "step", "value"))
            for time, step, value in zip(times.tolist(), steps.tolist(), values.tolist(), strict=True):
                if step == step:  # noqa: PLR0124  NaN differs from itself
                    merged.setdefault(step, {})[tag] = value
                    if meaning is not None and meaning.role != "val_loss":
                        merged[step]["wall_time"] = time
    run = MetricRun(recorder)
    order = sorted(merged)
    tags = dict.fromkeys(tag for cells in merged.values() for tag in cells)
    numbers = {tag: read_numbers([merged[step].get(tag) for step in order]) for tag in tags}
    numbers["step"] = read_numbers(order)
    run.extend(numbers, run.steps(numbers), lambda row: row + 2)
    yield recorder


def _tag(file: LogFile) -> str:
    stem = "" if file.path is None else file.path.stem
    tag = metric_in_name(stem)[1]
    return tag if tag is not None and role_of(tag) is not None else "loss"


def _read_one(file: LogFile, recorder: Recorder) -> None:
    stem = "" if file.path is None else file.path.stem
    tag = metric_in_name(stem)[1]
    if tag is None or role_of(tag) is None:
        recorder.warn(
            "unnamed_metric", "nothing names the metric of these scalars: they are taken for the training loss"
        )
        tag = "loss"
    run = MetricRun(recorder)
    for columns, line_of in _columns(file):
        numbers = {
            "step": read_numbers(columns["step"]),
            "wall_time": read_numbers(columns["wall time"]),
            tag: read_numbers(columns["value"]),
        }
        run.extend(numbers, run.steps(numbers), line_of)


def _columns(file: LogFile) -> Iterator[tuple[dict[str, Sequence[Cell]], Callable[[int], int]]]:
    """Yield the columns of a scalar, by their names in lower case, in blocks."""
    if not file.head_text.lstrip("\ufeff \n").startswith("["):
        for block in csv_blocks(file):
            columns: dict[str, Sequence[Cell]] = {
                name.strip().lower().replace("_", " "): cells for name, cells in block.columns.items()
            }
            if columns:
                yield columns, block.lines.__getitem__
        return
    text = bytearray()
    for chunk in file.chunks():
        text += chunk
        if len(text) > _LARGEST:
            break
    rows = _rows(text.decode("utf-8", errors="replace"))
    for start in range(0, len(rows), BLOCK_ROWS):
        block_rows = rows[start : start + BLOCK_ROWS]
        times, steps, values = zip(*block_rows, strict=True)
        yield {"wall time": times, "step": steps, "value": values}, lambda row, start=start: start + row + 1  # type: ignore[misc]


def _rows(text: str) -> list[tuple[Cell, ...]]:
    """Return the rows of a list of lists, of which the end may be cut."""
    found = parsed_json(text)
    if not isinstance(found, list):
        found = whole_items(text[text.find("[") + 1 :])[0]
    return [tuple(row) for row in found if isinstance(row, list) and len(row) == len(_COLUMNS)]
