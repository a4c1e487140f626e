"""Clean the rows of a file of runs: drop or flag those that no law should be fitted to, each with a reason.

Each rule in turn takes rows out, with a reason and the particulars. The order matters: rows that are no run are gone
before duplicates are looked for, and failed runs before a run is compared with its neighbours.

A *cell* is a set of runs whose sizes, tokens and distinct tokens agree within 1.5 %: rounding to three digits
moves a value by up to 0.5 %, and no sweep varies sizes by as little. The rules on loss are deliberately coarse: a
poorly tuned run is a measurement, a run at 1.5 times the loss of its neighbours is a failure.
"""

from __future__ import annotations

import math
import operator
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UnknownNameError, UsageError, escape_control, quote
from scaleplan.fitting.logged import is_logged
from scaleplan.fitting.objective import typical_deviation
from scaleplan.fitting.runs import Finding
from scaleplan.record import Record
from scaleplan.tables.cells import is_missing, to_number, to_text
from scaleplan.units import format_flops, format_number, format_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.fitting.runs import Runs
    from scaleplan.fitting.table import RawTable
    from scaleplan.tables.cells import Cell

    Detail = str | Callable[[int], str]

__all__ = [
    "CELL_WIDTH",
    "ROUNDING",
    "any_finished",
    "beaten_by_smaller",
    "best_of_cells",
    "cells_of",
    "clean",
    "far_above_cell",
    "number_in",
    "read_condition",
    "repeats",
]

CELL_WIDTH = 0.015
"""The spread of the logarithm of a size inside a cell."""

ROUNDING = 0.0051  # largest difference in the logarithm that writing a size with three digits makes: 1.005 as 1.00
_DIVERGED_Z = 8.0  # a run of a higher log loss, in scaled median deviations from that of its cell, stands apart
_DIVERGED_RATIO = 1.5  # a run that stands apart with a higher loss, over the median of its cell, has diverged
_LEAST_IN_CELL = 4  # with fewer runs a median is no measure of the others
_LEAST_DEVIATION = 0.01  # of log loss: seeds of one run differ by 0.1-0.5 %, so a smaller spread is chance
_WITNESSES = 3
_MOST_BEATEN = 0.1  # of the runs; beyond, the file mixes tasks or metrics and no single run is to blame


@dataclass(slots=True, kw_only=True)
class RowFilter:
    """Takes rows out one reason at a time and keeps the record.

    A reason in ``keep`` only flags, and a flag in ``leave_out`` drops.
    """

    rows: Sequence[int]
    keep: Collection[str] = ()
    leave_out: Collection[str] = ()
    alive: Mask = field(init=False)
    dropped: list[Finding] = field(default_factory=list)
    flagged: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alive = np.ones(len(self.rows), dtype=bool)

    def drop(self, mask: Mask, reason: str, detail: Detail) -> None:
        """Drop the rows of ``mask`` that are left; ``detail`` gives the particulars, or those of a position."""
        if reason in self.keep and reason not in self.leave_out:
            self.flag(mask, reason, detail)
            return
        hit = self.alive & mask
        self.dropped += self._findings(hit, reason, detail)
        self.alive &= ~hit

    def flag(self, mask: Mask, reason: str, detail: Detail) -> None:
        """Flag the rows of ``mask`` that are left."""
        if reason in self.leave_out:
            self.drop(mask, reason, detail)
            return
        self.flagged += self._findings(self.alive & mask, reason, detail)

    def mask(self, positions: Collection[int]) -> Mask:
        """Return positions as a mask over the rows."""
        mask = np.zeros(len(self.rows), dtype=bool)
        mask[list(positions)] = True
        return mask

    def _findings(self, mask: Mask, reason: str, detail: Detail) -> list[Finding]:
        return [
            Finding(row=self.rows[i], reason=reason, detail=detail if isinstance(detail, str) else detail(i))
            for i in np.flatnonzero(mask).tolist()
        ]


def repeats(records: Sequence[Hashable], alive: Mask) -> dict[int, int]:
    """Return for each repeated record the position of the first one like it."""
    first: dict[Hashable, int] = {}
    found = {}
    for position in np.flatnonzero(alive).tolist():
        key = records[position]
        if first.setdefault(key, position) != position:
            found[position] = first[key]
    return found


def cells_of(codes: Index, *sizes: Array, width: float = CELL_WIDTH) -> Index:
    """Return a number for each run's cell: same code, and every log size within ``width`` of the cell's smallest."""
    cells = codes
    for values in sizes:
        with np.errstate(all="ignore"):
            logs = np.nan_to_num(np.log(values), nan=-1.0, posinf=-1.0, neginf=-1.0)
        order = np.lexsort((logs, cells))
        finer = np.empty(len(logs), dtype=np.intp)
        start, code, number = -math.inf, None, -1
        for position, log, cell in zip(order.tolist(), logs[order].tolist(), cells[order].tolist(), strict=True):
            if cell != code or log > start + width:
                start, code, number = log, cell, number + 1
            finer[position] = number
        cells = finer
    return cells


def _living_cells(alive: Mask, codes: Index, *sizes: Array, width: float = CELL_WIDTH) -> Index:
    """Return the cells of the rows that are left, which do not depend on those that are not; -1 for the latter."""
    cells = np.full(len(alive), -1, dtype=np.intp)
    cells[alive] = cells_of(codes[alive], *(values[alive] for values in sizes), width=width)
    return cells


def far_above_cell(loss: Array, cells: Index, alive: Mask) -> dict[int, tuple[float, int]]:
    """Return ``{position: (loss / median of its cell, runs in it)}`` for runs that stand apart from their cell."""
    found = {}
    for members in _members(cells, alive):
        if len(members) < _LEAST_IN_CELL:
            continue
        logs = np.log(loss[members])
        middle = np.median(logs)
        deviation = max(typical_deviation(logs - middle), _LEAST_DEVIATION)
        for position in members[logs - middle > _DIVERGED_Z * deviation].tolist():
            found[position] = (float(loss[position] / np.exp(middle)), len(members))
    return found


def best_of_cells(loss: Array, cells: Index, alive: Mask) -> dict[int, int]:
    """Return for each run that is not the best of its cell the position of the best; the first of equals is best."""
    found = {}
    for members in _members(cells, alive):
        best = int(members[np.argmin(loss[members])])
        found.update({position: best for position in members.tolist() if position != best})
    return found


def beaten_by_smaller(
    params: Array,
    tokens: Array,
    loss: Array,
    codes: Index,
    alive: Mask,
) -> dict[int, int] | None:
    """Return ``{position: witnesses}`` for runs that at least three smaller or equal runs beat by a factor of 1.5.

    A witness has the same code, no more parameters, no more tokens, and a loss lower by that factor. None
    when more than a tenth of the runs are beaten by one: then no single run is to blame.
    """
    found = {}
    groups = [(members, _suspects(members, params, tokens, loss)) for members in _members(codes, alive)]
    if sum(len(suspects) for _, suspects in groups) > _MOST_BEATEN * alive.sum():
        return None
    for members, suspects in groups:
        for position in suspects:
            no_larger = (params[members] <= params[position]) & (tokens[members] <= tokens[position])
            witnesses = int(np.sum(no_larger & (loss[members] * _DIVERGED_RATIO < loss[position])))
            if witnesses >= _WITNESSES:
                found[position] = witnesses
    return found


def _suspects(members: Index, params: Array, tokens: Array, loss: Array) -> list[int]:
    """Return the runs that at least one run no larger beats: one pass with the frontier of (tokens, least loss)."""
    suspects = []
    frontier_tokens: list[float] = []
    frontier_loss: list[float] = []
    for position in members[np.lexsort((loss[members], tokens[members], params[members]))].tolist():
        seen, own = float(tokens[position]), float(loss[position])
        place = bisect_right(frontier_tokens, seen)
        if place and frontier_loss[place - 1] <= own:
            if frontier_loss[place - 1] * _DIVERGED_RATIO < own:
                suspects.append(position)
            continue
        end = place
        while end < len(frontier_loss) and frontier_loss[end] >= own:
            end += 1
        frontier_tokens[place:end] = [seen]
        frontier_loss[place:end] = [own]
    return suspects


def _members(cells: Index, alive: Mask) -> list[Index]:
    """Return the positions of the living runs of each cell, in file order."""
    positions = np.flatnonzero(alive)
    order = positions[np.argsort(cells[positions], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(cells[order])) + 1) if len(order) else []


_FINISHED = frozenset({"finished", "completed", "complete", "done", "success", "succeeded", "ok"})

_UNFINISHED = frozenset(
    {
        *("crashed", "failed", "killed", "running", "preempted", "preempting", "pending", "queued", "aborted"),
        *("cancelled", "canceled", "timeout", "error", "diverged", "interrupted", "stopped"),
    }
)

_FAILED = frozenset({"crashed", "diverged"})

_LEAST_SIZE, _MOST_SIZE = 1e-3, 1e40  # sizes may be in billions

_LEAST_LOSS, _MOST_LOSS = 1e-12, 1e12  # no run's loss lies beyond, and squares of what lies far beyond overflow


def clean(
    table: RawTable,
    runs: Runs,
    *,
    needed: Collection[str],
    unreadable: Mapping[int, str],
    size_columns: Collection[str],
    states: Sequence[Cell] | None,
    finishes: bool,
    conditions: Mapping[str, Mask],
    left_out: Mapping[int, str],
    marked: Mapping[int, str],
    differing: Mask,
    min_flops: float | None,
    best: bool,
    keep: Collection[str],
    drop: Collection[str],
) -> tuple[RowFilter, list[str]]:
    """Return the filter with what is left, dropped and flagged of the runs of a table, and notes for the reader.

    ``runs`` holds what the columns hold for each row, NaN where a cell has no number; ``unreadable`` explains
    by position which rows hold a text for a number; ``size_columns`` hold a needed size in any count, written with
    any number of digits; ``conditions`` are the rows that meet each condition of the user; ``left_out`` and
    ``marked`` explain by position which rows the user leaves out by number, and a column of the file marks;
    ``differing`` are those whose compute does not follow from their sizes. The other keywords are those of
    :func:`scaleplan.fitting.reading.read_runs`.
    """
    rows = RowFilter(rows=table.rows, keep=keep, leave_out=drop)
    sizes = {role: getattr(runs, role) for role in ("params", "tokens", "flops") if role in needed}
    for text, meets in conditions.items():
        rows.drop(~meets, "filtered", f"not {escape_control(text)}")
    rows.drop(rows.mask(left_out), "left_out", left_out.__getitem__)
    _drop_unmeasured(rows, table, runs, sizes=sizes, with_loss="loss" in needed, unreadable=unreadable)
    notes = [] if states is None else _drop_unfinished(rows, states, finishes=finishes, logged=is_logged(table))
    rows.flag(rows.mask(marked), "marked", marked.__getitem__)
    rows.flag(differing, "compute_differs", "its flops do not follow from its params and tokens")
    groups = runs.group or ("",) * len(runs)
    codes = np.unique(groups, return_inverse=True)[1]
    width = 0.0 if runs.labels is None else ROUNDING  # exports write a run of one name in two ways
    records = zip(
        _living_cells(rows.alive, codes, *sizes.values(), width=width).tolist(),
        runs.loss.tolist() if "loss" in needed else [0.0] * len(runs),
        *_comparable(table, left_out=size_columns),
        strict=True,
    )
    again = repeats(list(records), rows.alive)
    rows.drop(rows.mask(again), "duplicate", lambda i: f"the same as row {table.rows[again[i]]}")
    ones = np.ones(len(runs))
    if min_flops is not None:
        flops = sizes.get("flops", ones)
        rows.drop(flops < min_flops, "small", lambda i: f"{format_flops(flops[i])}, below {format_flops(min_flops)}")
    if "loss" in needed and (sizes or best):
        # what makes a run larger: its two sizes, or for a curve the one quantity that it is over; whatever else a
        # curve varies with tells its rows apart
        params, tokens = [*sizes.values(), ones, ones][:2]
        unique = () if runs.unique_tokens is None else (runs.unique_tokens,)
        codes = _living_cells(rows.alive, codes, *unique, *runs.extra.values())
        notes += _compare(rows, runs.loss, params=params, tokens=tokens, codes=codes, best=best)
    return rows, notes


def _drop_unmeasured(
    rows: RowFilter,
    table: RawTable,
    runs: Runs,
    *,
    sizes: Mapping[str, Array],
    with_loss: bool,
    unreadable: Mapping[int, str],
) -> None:
    names = set(table.names)
    header = [not names.isdisjoint(record) and _repeats_header(record, table.names) for record in table.records]
    rows.drop(np.array(header, dtype=bool), "heading", "the column names again")
    rows.drop(rows.mask(unreadable), "unreadable", unreadable.__getitem__)
    loss = runs.loss if with_loss else np.ones(len(runs))
    no_loss = np.isnan(loss)
    unknown = {role: np.isnan(values) for role, values in sizes.items()}
    no_size = np.logical_or.reduce([np.zeros(len(runs), dtype=bool), *unknown.values()])

    def lacking(position: int) -> str:
        return ", ".join(role for role, mask in unknown.items() if mask[position]) + " not given"

    rows.drop(no_loss & no_size, "heading", lambda i: f"neither a loss nor the size: {lacking(i)}")
    rows.drop(no_loss, "missing_loss", "the loss is empty or NaN")
    rows.drop(loss <= 0, "zero_loss", lambda i: f"loss {format_plain(loss[i])}")
    beyond = np.isfinite(loss) & ((loss < _LEAST_LOSS) | (loss > _MOST_LOSS))
    rows.drop(beyond, "bad_value", _value_of("loss", loss))
    weights = {} if runs.weight is None else {"weight": runs.weight}
    for name, values in {**sizes, **weights}.items():
        wrong = np.isinf(values) | (values <= 0)
        if name in sizes:  # beyond these no count of anything can be, and the fit would overflow
            wrong |= (values < _LEAST_SIZE) | (values > _MOST_SIZE)
        rows.drop(wrong, "bad_value", _value_of(name, values))
    rows.drop(no_size, "missing_size", lacking)
    for name, values in {**runs.extra, **weights}.items():
        rows.drop(np.isnan(values), "missing_value", f"no value in '{escape_control(name)}'")
    rows.drop(np.isinf(loss), "diverged", "the loss is infinite")


def _value_of(name: str, values: Array) -> Callable[[int], str]:
    return lambda i: f"{name} is {format_plain(values[i])}"


def _comparable(table: RawTable, *, left_out: Collection[str]) -> list[list[float | str | None]]:
    """Return the columns with numbers by value and the rest as text: exports write one run in two ways."""

    @cache
    def read(cell: str) -> float | str | None:
        try:
            return None if is_missing(cell) else to_number(cell)
        except ValueError:
            return to_text(cell)

    def value(cell: Cell) -> float | str | None:
        if isinstance(cell, str):
            return read(cell)
        return None if is_missing(cell) else cell

    kept = [position for position, name in enumerate(table.names) if name not in left_out]
    return [[value(record[position]) for record in table.records] for position in kept]


def _repeats_header(record: Sequence[Cell], names: Sequence[str]) -> bool:
    filled = [(cell, name) for cell, name in zip(record, names, strict=True) if not is_missing(cell)]
    return len(filled) > 1 and all(isinstance(cell, str) and cell.strip() == name for cell, name in filled)


def any_finished(states: Sequence[Cell]) -> bool:
    """Return whether any run has finished by its state."""
    return any(to_text(cell).casefold() in _FINISHED for cell in states)


def _drop_unfinished(rows: RowFilter, states: Sequence[Cell], *, finishes: bool, logged: bool) -> list[str]:
    """Drop runs that did not finish; when no run of the file did, the column only flags.

    What a log shows to have failed (``logged``) is no outcome in any case.
    """
    texts = [to_text(cell).casefold() for cell in states]
    unfinished = np.array([text in _UNFINISHED for text in texts], dtype=bool)

    def detail(position: int) -> str:
        return f"state '{escape_control(texts[position])}'"

    if logged:
        rows.drop(np.array([text in _FAILED for text in texts], dtype=bool), "crashed", detail)
    if finishes:
        rows.drop(unfinished, "crashed", detail)
        return []
    count = int(np.sum(unfinished & rows.alive))
    rows.flag(unfinished, "crashed", detail)
    return [f"no run is marked finished: {count} runs with another state are kept"] if count else []


def _compare(
    rows: RowFilter,
    loss: Array,
    *,
    params: Array,
    tokens: Array,
    codes: Index,
    best: bool,
) -> list[str]:
    """Compare runs of the same size, then larger runs with smaller ones."""
    numbers = rows.rows
    cells = _living_cells(rows.alive, codes, params, tokens)
    apart = far_above_cell(loss, cells, rows.alive)

    def detail(position: int) -> str:
        factor, count = apart[position]
        return (
            f"loss {format_number(loss[position], digits=4)} is {format_number(factor)}x the median of the "
            f"{count} runs of that size"
        )

    diverged = {position: item for position, item in apart.items() if item[0] > _DIVERGED_RATIO}
    rows.drop(rows.mask(diverged), "diverged", detail)
    same = repeats(
        list(zip(codes.tolist(), params.tolist(), tokens.tolist(), loss.tolist(), strict=True)), rows.alive
    )
    if best:
        better = best_of_cells(loss, cells, rows.alive)
        rows.drop(
            rows.mask(better),
            "not_best",
            lambda i: f"row {numbers[better[i]]} has {format_number(loss[better[i]], digits=4)}",
        )
    rows.flag(rows.mask(same), "same_point", lambda i: f"sizes and loss of row {numbers[same[i]]}")
    rows.flag(rows.mask(apart.keys() - diverged.keys()), "outlier", detail)
    beaten = beaten_by_smaller(params, tokens, loss, codes, rows.alive)
    if beaten is None:
        return ["many runs have a far higher loss than smaller ones; if the file mixes tasks, --group separates them"]
    worse = f"have a loss at least {format_plain(_DIVERGED_RATIO)} times lower"
    rows.flag(rows.mask(beaten), "worse_than_smaller", lambda i: f"{beaten[i]} runs no larger {worse}")
    return []


_OPERATORS = re.compile(r"==|!=|<=|>=|=|<|>|~")

_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class Condition(Record):
    """A condition on a column or a role: ``lr <= 1e-3``, ``group = rw``, ``State != crashed``, ``name ~ ^rw_``.

    Two numbers are compared as numbers, anything else as text. A row without a value in the column meets ``!=`` and
    nothing else.
    """

    column: str
    operator: str
    value: str

    def meets(self, cells: Sequence[Cell]) -> list[bool]:
        """Return for each cell whether it meets the condition."""
        if self.operator == "~":
            pattern = re.compile(self.value)
            return [pattern.search(to_text(cell)) is not None for cell in cells]
        wanted = number_in(self.value)
        if self.operator in _COMPARE:
            compare = _COMPARE[self.operator]
            return [
                wanted is not None and (n := number_in(cell)) is not None and compare(n, wanted) for cell in cells
            ]
        number = math.nan if wanted is None else wanted  # equal to no cell
        equal = [to_text(cell) == self.value or number_in(cell) == number for cell in cells]
        return [not item for item in equal] if self.operator == "!=" else equal


def read_condition(text: str, *, columns: Collection[str]) -> Condition:
    """Read a condition whose left side is one of ``columns``.

    Raises UsageError when there is no operator, a text is compared by order, or a regular expression is invalid,
    UnknownNameError when the left side is no column.
    """
    matches = list(_OPERATORS.finditer(text))
    if not matches:
        hint = "write COLUMN OPERATOR VALUE with one of = != < <= > >= ~, as in 'lr <= 1e-3'"
        raise UsageError(f"condition {quote(text)} has no operator", hint=hint)
    known = [match for match in matches if text[: match.start()].strip() in columns]
    if not known:
        raise UnknownNameError("column", text[: matches[0].start()].strip(), columns)
    match = known[-1]  # the longest name: a column may be called 'a=b'
    sign = "=" if match[0] == "==" else match[0]
    value = text[match.end() :].strip()
    if sign in _COMPARE and number_in(value) is None:
        raise UsageError(f"condition {quote(text)}: {quote(value)} is not a number, and '{sign}' compares numbers")
    if sign == "~":
        try:
            re.compile(value)
        except re.error as error:
            raise UsageError(f"condition {quote(text)}: invalid regular expression: {error}") from None
    return Condition(column=text[: match.start()].strip(), operator=sign, value=value)


def number_in(cell: Cell) -> float | None:
    """Return the number of a cell as conditions compare it, None for a cell without one."""
    if is_missing(cell) or isinstance(cell, bool):
        return None
    try:
        return to_number(cell)
    except ValueError:
        return None
