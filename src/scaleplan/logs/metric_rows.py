"""Tell the runs of a file apart: blocks of rows of metrics in, one recorder a run out."""

from __future__ import annotations

import math
from bisect import bisect_right
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scaleplan.logs.metric_run import CALLS, LEAST_ROWS, MetricRun, by_step, seconds_since_1970
from scaleplan.logs.metrics import EVALUATION, TRAINING, metric_names, role_of
from scaleplan.logs.recorder import Recorder
from scaleplan.tables.cells import ColumnCells, Numbers, is_missing, read_numbers, to_text
from scaleplan.tables.headings import normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scaleplan.arrays import Array, Index
    from scaleplan.logs.metrics import Meaning
    from scaleplan.tables.cells import Cell

__all__ = ["BLOCK_ROWS", "MetricRows"]

BLOCK_ROWS = 50_000
"""Rows that are read at once: the memory of a file of any length, and what the choice of metrics is made by."""

_MANY_RUNS = 200
"""Runs that go on in a block from which on its rows wait for the next: a run costs as much
as reading this many rows."""

_WAITING_ROWS = 500_000
"""Rows that wait, of which ten numbers take 45 MB, and as much again when they are joined."""


class MetricRows:
    """The runs of one file, whose rows are given block by block.

    Rows belong to the run that a column names (``run``, ``run_id``, ``name``). Without one, rows with other settings
    (``params``, ``seed``, a column of texts) are other runs, and so are rows whose step returns to the first one.
    """

    def __init__(self, name: str, source: str, format_name: str, *, one_run: bool = False) -> None:
        self._name, self._source, self._format = name, source, format_name
        self._one_run = one_run
        self.rows = 0
        self._written: float | None = None
        self._calls: tuple[float, float] | None = None
        self._runs: dict[tuple[str, int], MetricRun] = {}
        self._latest: dict[str, int] = {}
        self._last_steps: dict[str, float] = {}
        self._keys: list[str] | None = None
        self._pending: dict[str, Cell] = {}
        self._waiting = _Waiting()

    def add(self, columns: Mapping[str, Sequence[Cell]], line_of: Callable[[int], int]) -> None:
        """Take a block of rows as columns of cells; ``line_of`` returns the line of a row."""
        columns = dict(columns)
        count = len(next(iter(columns.values()), ()))
        if not count:
            return
        self.rows += count
        names = metric_names(columns)
        if names.run is not None and _are_splits(columns[names.run]):  # a logger called "train", another "val"
            names = names._replace(run=None, split=names.run)
        if names.metric is not None and names.value is not None:
            _spread(columns, names.metric, names.value)
        elif names.split is not None:
            _split(columns, names.split)
        roles = {name: meaning for name in columns if (meaning := role_of(name)) is not None}
        kinds = {meaning.role for meaning in roles.values()}
        counted = min((meaning.rank for meaning in roles.values() if meaning.role == "step"), default=math.inf)
        numbers = {
            name: _times(columns[name]) if meaning.role == "clock" else read_numbers(columns[name])
            for name, meaning in roles.items()
            if meaning.role != "gpu"
            and not (meaning.role == "clock" and "seconds" in kinds)
            and not (meaning.role == "step" and meaning.rank >= CALLS > counted)
        }
        self._note_time(columns, roles)
        self._note_calls(columns)
        if "Step" in columns and "_step" in columns:
            numbers.setdefault("Step", read_numbers(columns["Step"]))
        if not numbers:
            return
        groups, numbered = self._grouped(columns, numbers, names.run, count)
        known = [key in self._latest for key in groups]
        if numbered is None or sum(known) < _MANY_RUNS or count > _MANY_RUNS * len(groups):
            self._settle()
            self._extend_each(groups, numbered, numbers, columns, line_of)
            return
        # the runs of a table in the order of steps are gathered: each would get a few rows of every block
        texts = {name: columns[name] for name, meaning in roles.items() if meaning.role == "gpu"}
        if not self._waiting.fits(numbers, texts):
            self._settle()
        self._waiting.add(groups, numbered, numbers, texts, line_of)
        if self._waiting.rows >= _WAITING_ROWS:
            self._settle()

    def _settle(self) -> None:
        """Give the rows that wait to their runs."""
        waiting, self._waiting = self._waiting, _Waiting()
        if waiting.rows:
            self._extend_each(*waiting.joined())

    def _extend_each(
        self,
        groups: Sequence[str],
        numbered: Index | None,
        numbers: Mapping[str, Numbers],
        columns: Mapping[str, Sequence[Cell]],
        line_of: Callable[[int], int],
    ) -> None:
        """Give rows to the runs of their groups; all of them to one without numbers of groups."""
        if numbered is None:
            self._extend(groups[0], None, numbers, columns, line_of)
            return
        ends = np.cumsum(np.bincount(numbered))[:-1]
        for key, rows in zip(groups, np.split(np.argsort(numbered, kind="stable"), ends), strict=True):
            self._extend(key, rows, numbers, columns, line_of)

    @property
    def calls(self) -> float:
        """How often W&B's log function was called from the first row to the last; 0 where nothing tells."""
        return 0.0 if self._calls is None or len(self._runs) > 1 else self._calls[1] - self._calls[0] + 1

    def _note_calls(self, columns: Mapping[str, Sequence[Cell]]) -> None:
        """Keep the first and the last count of W&B's calls."""
        cells = columns.get("_step", ())
        ends = read_numbers([cells[0], cells[-1]]).values if cells else np.array([math.nan])
        if np.isfinite(ends).all():
            self._calls = (float(ends[0]) if self._calls is None else self._calls[0], float(ends[-1]))

    def _note_time(self, columns: Mapping[str, Sequence[Cell]], roles: Mapping[str, Meaning]) -> None:
        """Keep the time stamp of the last row, if there is one."""
        name = next((name for name, meaning in roles.items() if meaning.role == "clock"), None)
        if name is not None:
            last = _times(columns[name][-1:]).values
            self._written = seconds_since_1970(float(last[0])) or self._written

    def state(self, settings: Mapping[str, Cell]) -> None:
        """Take settings that are stated beside the rows, of every run."""
        self._pending.update(settings)

    def runs(self) -> Iterator[MetricRun]:
        """Yield the runs that have rows, in the order of the file."""
        self._settle()
        several = len({key for key, _ in self._runs}) > 1
        for (key, number), run in self._runs.items():
            run.state_texts(self._pending)
            named = key or self._name
            if number > 0:
                named = f"{named}#{number + 1}"
            run.recorder.name = named if several or key or number else self._name
            if run.recorder.written is None and not several:
                run.recorder.written = self._written
            if run.rows:
                yield run

    def recorders(self, damaged: Sequence[int] = (), *, cut: bool = False) -> Iterator[Recorder]:
        """Yield the recorders of the runs, with a warning of the lines that could not be read, or were cut."""
        for run in self.runs():
            if damaged:
                more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
                run.recorder.warn("damaged_lines", f"line {damaged[0]}{more} cannot be read, and is left out")
            if cut:
                run.recorder.warn(
                    "cut", "the last line is cut off: the file was being written, or its writer was stopped"
                )
            yield run.recorder

    def _extend(
        self,
        key: str,
        rows: Index | None,
        numbers: Mapping[str, Numbers],
        columns: Mapping[str, Sequence[Cell]],
        line_of: Callable[[int], int],
    ) -> None:
        """Give rows to the run of a key, or to the next one of that key where they begin from the first step."""
        picked = numbers if rows is None else {name: each.take(rows) for name, each in numbers.items()}

        def at(row: int) -> int:
            return line_of(row if rows is None else int(rows[row]))

        run = self._run(key, at(0))
        steps = run.steps(picked)
        order = by_step(picked, steps)
        if order is not None:
            picked = {name: each.take(order) for name, each in picked.items()}
            steps, rows = steps[order], order if rows is None else rows[order]
        for begin, end, is_new in self._pieces(key, steps, run):
            if is_new:
                self._latest[key] += 1
                run = self._run(key, at(begin))
            piece = {name: each.take(slice(begin, end)) for name, each in picked.items()}
            run.extend(piece, steps[begin:end], partial(_shifted, at, begin))
        first = 0 if rows is None else int(rows[0])
        texts = {
            name: columns[name][first]
            for name in columns
            if name not in numbers and (meaning := role_of(name)) is not None and meaning.role == "gpu"
        }
        if texts:
            run.state_texts(texts)

    def _pieces(self, key: str, steps: Array, run: MetricRun) -> list[tuple[int, int, bool]]:
        """Return the rows of each run, and whether it is a new one: its step returned to the first step."""
        count = len(steps)
        known = np.flatnonzero(np.isfinite(steps))
        if self._one_run or not len(known):
            return [(0, count, False)]
        values = steps[known]
        before = np.concatenate([[self._last_steps.get(key, -math.inf)], values[:-1]])
        self._last_steps[key] = float(values[-1])
        begins = [(0, False)]
        first, rows, begun = run.first_step, run.rows, 0
        for fall in np.flatnonzero(values < before).tolist():
            lowest = min(first, float(values[begun])) if fall > begun else first
            if rows + fall - begun >= LEAST_ROWS and values[fall] <= lowest:
                begins.append((int(known[fall]), True))
                first, rows, begun = math.inf, 0, fall
        ends = [begin for begin, _ in begins[1:]] + [count]
        return [(begin, end, is_new) for (begin, is_new), end in zip(begins, ends, strict=True) if begin < end]

    def _run(self, key: str, line: int) -> MetricRun:
        number = self._latest.setdefault(key, 0)
        run = self._runs.get((key, number))
        if run is None:
            recorder = Recorder(self._name, self._source, line=line, format_name=self._format)
            run = self._runs[key, number] = MetricRun(recorder)
            run.state_texts(self._pending)
        return run

    def _grouped(
        self, columns: Mapping[str, Sequence[Cell]], numbers: Mapping[str, Numbers], run: str | None, count: int
    ) -> tuple[list[str], Index | None]:
        """Return the names of the runs, and which of them each row has; None where there is one run alone."""
        if self._one_run:
            return [""], None
        if self._keys is None:
            self._keys = [run] if run is not None else self._settings(columns, numbers, count)
        keys = [name for name in self._keys if name in columns]
        if not keys:
            return [""], None
        groups, numbered = _numbered([columns[name] for name in keys])
        if len(groups) == 1:
            return groups, None
        if "" in groups and len(groups) == 2 and run is not None:  # a line of settings without the name of the run
            return [key for key in groups if key], None
        return groups, numbered

    def _settings(
        self, columns: Mapping[str, Sequence[Cell]], numbers: Mapping[str, Numbers], count: int
    ) -> list[str]:
        """Return the columns whose cells tell runs apart: settings and texts that stay the same for many rows."""
        found = []
        for name, cells in columns.items():
            meaning = role_of(name)
            if meaning is not None and meaning.role not in {
                "params",
                "seed",
                "total_steps",
                "batch",
                "tokens_per_step",
            }:
                continue
            if meaning is None and (normalised(name) in _NO_SETTING or not _is_text(cells) or _are_splits(cells)):
                continue
            different = len(set(map(to_text, cells)))
            if 1 < different <= count / LEAST_ROWS:
                found.append(name)
        counts = [(meaning.rank, name) for name in numbers if (meaning := role_of(name)) is not None]
        counts = [(rank, name) for rank, name in counts if _is_count(name)] if found else []
        if not counts:
            return []
        steps = numbers[min(counts)[1]].values
        together = _falls(steps)
        apart = sum(_falls(steps[rows]) for rows in _by_cell([columns[name] for name in found]).values())
        return found if apart < together else []


class _Waiting:
    """Blocks of rows with the same columns, which are given to their runs at once."""

    def __init__(self) -> None:
        self.rows = 0
        self._groups: dict[str, int] = {}
        self._numbered: list[Index] = []
        self._columns: dict[str, list[Numbers]] = {}
        self._texts: dict[str, list[Cell]] = {}
        self._begins: list[int] = []
        self._lines: list[Callable[[int], int]] = []

    def fits(self, numbers: Mapping[str, Numbers], texts: Mapping[str, Sequence[Cell]]) -> bool:
        """Return whether a block has the columns of those before it."""
        return not self.rows or (self._columns.keys() == numbers.keys() and self._texts.keys() == texts.keys())

    def add(
        self,
        groups: Sequence[str],
        numbered: Index,
        numbers: Mapping[str, Numbers],
        texts: Mapping[str, Sequence[Cell]],
        line_of: Callable[[int], int],
    ) -> None:
        """Take a block of rows; ``numbered`` are the places of their runs in ``groups``."""
        places = np.array([self._groups.setdefault(key, len(self._groups)) for key in groups])
        self._numbered.append(places[numbered])
        for name, column in numbers.items():
            self._columns.setdefault(name, []).append(column)
        for name, cells in texts.items():
            self._texts.setdefault(name, []).extend(cells)
        self._begins.append(self.rows)
        self._lines.append(line_of)
        self.rows += len(numbered)

    def joined(
        self,
    ) -> tuple[list[str], Index, dict[str, Numbers], dict[str, list[Cell]], Callable[[int], int]]:
        """Return all blocks as one, and let go of them."""
        numbers: dict[str, Numbers] = {}
        for name in list(self._columns):
            blocks = self._columns.pop(name)
            numbers[name] = Numbers(*map(np.concatenate, zip(*blocks, strict=True)))
        return list(self._groups), np.concatenate(self._numbered), numbers, self._texts, self._line

    def _line(self, row: int) -> int:
        block = bisect_right(self._begins, row) - 1
        return self._lines[block](row - self._begins[block])


def _numbered(columns: Sequence[Sequence[Cell]]) -> tuple[list[str], Index]:
    """Return the different texts of a column, or of several side by side, as they come, and which each row has."""
    cells = columns[0]
    if len(columns) == 1 and isinstance(cells, ColumnCells):
        texts, places = cells.distinct()
        first = np.full(len(texts), len(places))
        np.minimum.at(first, places, np.arange(len(places)))
        order = [place for place in np.argsort(first, kind="stable").tolist() if first[place] < len(places)]
        groups: dict[str, int] = {}
        numbers = np.zeros(len(texts), np.intp)
        for place in order:
            numbers[place] = groups.setdefault(texts[place].strip(), len(groups))
        return list(groups), numbers[places]
    rows = [_texts(each) for each in columns]
    joined = rows[0] if len(rows) == 1 else [" ".join(filter(None, each)) for each in zip(*rows, strict=True)]
    groups = {text: number for number, text in enumerate(dict.fromkeys(joined))}
    return list(groups), np.fromiter(map(groups.__getitem__, joined), np.intp, len(joined))


def _texts(cells: Sequence[Cell]) -> list[str]:
    """Return the cells of a column as texts."""
    try:
        return list(map(_stripped, cells))
    except TypeError:  # not all of them are texts
        return list(map(to_text, cells))


_stripped = cast("Callable[[Cell], str]", str.strip)
"""Of any cell: of one that is no text it raises."""


def _are_splits(cells: Sequence[Cell]) -> bool:
    """Whether cells name training and validation, and no runs."""
    named = {normalised(text) for text in _numbered([cells])[0]}
    return named <= TRAINING | EVALUATION and not named.isdisjoint(EVALUATION)


def _is_count(name: str) -> bool:
    meaning = role_of(name)
    return meaning is not None and meaning.role in {"step", "tokens", "epoch"}


def _falls(steps: Array) -> int:
    """Return how often steps do not rise."""
    return int(np.count_nonzero(np.diff(steps[np.isfinite(steps)]) <= 0))


def _by_cell(columns: Sequence[Sequence[Cell]]) -> dict[tuple[str, ...], list[int]]:
    """Return the rows with the same cells."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, cells in enumerate(zip(*columns, strict=True)):
        groups.setdefault(tuple(map(to_text, cells)), []).append(row)
    return groups


_NO_SETTING = frozenset(
    {
        *("split", "mode", "phase", "kind", "stage", "event", "level", "message", "msg", "time", "date", "datetime"),
        *("timestamp", "notes", "status", "state", "host", "hostname", "type", "tags", "unit", "logger", "set"),
    }
)
"""Columns of texts that differ within a run."""


def _is_text(cells: Sequence[Cell]) -> bool:
    """Whether the filled cells of a column are texts and no numbers."""
    filled = [cell for cell in cells[:_SAMPLE] if not is_missing(cell)]
    if not filled or not all(isinstance(cell, str) for cell in filled):
        return False
    numbers = read_numbers(filled)
    return bool(numbers.absent.all())


def _shifted(line_of: Callable[[int], int], begin: int, row: int) -> int:
    return line_of(begin + row)


_SAMPLE = 200  # cells that tell whether a column holds texts


def _spread(columns: dict[str, Sequence[Cell]], metric: str, value: str) -> None:
    """Replace the columns of the name and the value of a metric by one column a metric."""
    named, values = [to_text(cell) for cell in columns.pop(metric)], columns.pop(value)
    for name in dict.fromkeys(named):
        plain = f"{name}/loss" if normalised(name) in TRAINING | EVALUATION else name
        if plain not in columns:
            columns[plain] = [cell if other == name else None for cell, other in zip(values, named, strict=True)]


def _split(columns: dict[str, Sequence[Cell]], split: str) -> None:
    """Put the losses of rows that say of themselves to be an evaluation into columns of their own."""
    evaluated = [not EVALUATION.isdisjoint(normalised(to_text(cell)).split()) for cell in columns[split]]
    if not any(evaluated):
        return
    for name in list(columns):
        meaning = role_of(name)
        if meaning is not None and meaning.role == "loss" and TRAINING.isdisjoint(normalised(name).split()):
            cells = columns[name]
            columns[f"validation/{name}"] = [
                cell if of_evaluation else None for cell, of_evaluation in zip(cells, evaluated, strict=True)
            ]
            columns[name] = [
                None if of_evaluation else cell for cell, of_evaluation in zip(cells, evaluated, strict=True)
            ]


def _times(cells: Sequence[Cell]) -> Numbers:
    """Return time stamps as seconds: numbers, or dates as ISO 8601 writes them."""
    first = next((cell for cell in cells if not is_missing(cell)), None)
    if not isinstance(first, str) or _moment(first) is None:
        return read_numbers(cells)
    values = np.fromiter(
        (math.nan if (at := _moment(cell)) is None else at for cell in cells), np.float64, len(cells)
    )
    return Numbers(values, np.isnan(values))


def _moment(cell: Any) -> float | None:  # noqa: ANN401  any value of a JSON object
    """Return the seconds since 1970 of a date; None where a cell holds none."""
    if not isinstance(cell, str) or len(cell) > 40 or "-" not in cell:
        return None
    try:
        return datetime.fromisoformat(cell.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
