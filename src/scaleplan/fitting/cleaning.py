"""Which rows are not measurements that a law should be fitted to, and why.

A *cell* is a set of runs whose sizes, tokens and distinct tokens agree within 1.5 %: rounding to three digits
moves a value by up to 0.5 %, and no sweep varies sizes by as little. The rules on loss are deliberately coarse: a
poorly tuned run is a measurement, a run at 1.5 times the loss of its neighbours is a failure.


Which rows of a file become runs?  Each rule in turn takes rows out, with a reason and the particulars.

The order matters: what is no run is gone before duplicates are looked for, and what is no measurement before a run
is compared with its neighbours.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import escape_control
from scaleplan.fitting.objective import typical_deviation
from scaleplan.fitting.table import is_missing, to_number, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

    from numpy import bool_, float64, int64
    from numpy.typing import NDArray

    from scaleplan.fitting.table import Cell, RawTable

__all__ = [
    "CELL_WIDTH",
    "DIVERGED_RATIO",
    "DIVERGED_Z",
    "REASONS",
    "ROUNDING",
    "Finding",
    "Measured",
    "RowFilter",
    "beaten_by_smaller",
    "best_of_cells",
    "cells_of",
    "far_above_cell",
    "repeats",
    "screen",
]

CELL_WIDTH = 0.015
"""Spread of the logarithm of a size inside a cell."""

ROUNDING = 0.0051
"""Largest difference in the logarithm that writing a size with three digits makes: 1.005 as 1.00."""

DIVERGED_Z = 8.0
"""Robust z of the log loss inside its cell above which a run stands apart: eight scaled median deviations."""

DIVERGED_RATIO = 1.5
"""Loss over the median of its cell above which a run that stands apart counts as diverged."""

_LEAST_IN_CELL = 4  # runs below which a median says little about the others

_LEAST_DEVIATION = 0.01  # of log loss: seeds of one run differ by 0.1-0.5 %, so a smaller spread is luck

_WITNESSES = 3

_MOST_BEATEN = 0.1  # of the runs; beyond, the file mixes tasks or metrics and no single run is to blame

REASONS: dict[str, str] = {
    "filtered": "does not meet a condition",
    "heading": "no run: a section row or the header again",
    "unreadable": "a cell holds no number",
    "missing_loss": "no loss",
    "missing_size": "too little known of params, tokens and flops",
    "missing_value": "no value in a column that the fit uses",
    "bad_value": "a size or weight that is not a positive number, or one that no run can have",
    "zero_loss": "a loss of 0 or below: still running or never evaluated",
    "crashed": "its state says that it did not finish",
    "duplicate": "the same row again",
    "small": "below the least compute asked for",
    "diverged": "loss far above the other runs of its size",
    "not_best": "another run of its sweep is better",
    "same_point": "same sizes and loss as another row, under another name or setting",
    "outlier": "loss stands apart from the other runs of its size",
    "worse_than_smaller": "smaller models on fewer tokens have far lower losses",
}
"""Why a row is dropped or flagged, and what that means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row that was dropped or deserves a look: its number in the file, a key of ``REASONS``, the particulars."""

    row: int
    reason: str
    detail: str


@dataclass(slots=True, kw_only=True)
class RowFilter:
    """Takes rows out one reason at a time and keeps the record; a reason in ``keep`` only flags."""

    rows: Sequence[int]
    keep: Collection[str] = ()
    alive: NDArray[bool_] = field(init=False)
    dropped: list[Finding] = field(default_factory=list)
    flagged: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alive = np.ones(len(self.rows), dtype=bool)

    def drop(self, mask: NDArray[bool_], reason: str, detail: Callable[[int], str]) -> None:
        """Drop the rows of ``mask`` that are still there; ``detail`` words the particulars of a position."""
        if reason in self.keep:
            self.flag(mask, reason, detail)
            return
        hit = self.alive & mask
        self.dropped += self._findings(hit, reason, detail)
        self.alive &= ~hit

    def flag(self, mask: NDArray[bool_], reason: str, detail: Callable[[int], str]) -> None:
        """Remark on the rows of ``mask`` that are still there."""
        self.flagged += self._findings(self.alive & mask, reason, detail)

    def _findings(self, mask: NDArray[bool_], reason: str, detail: Callable[[int], str]) -> list[Finding]:
        positions = np.flatnonzero(mask).tolist()
        return [Finding(row=self.rows[i], reason=reason, detail=detail(i)) for i in positions]


def repeats(records: Sequence[Hashable], alive: NDArray[bool_]) -> dict[int, int]:
    """Return for each repeated record the position of the first one like it."""
    first: dict[Hashable, int] = {}
    found = {}
    for position in np.flatnonzero(alive).tolist():
        key = records[position]
        if first.setdefault(key, position) != position:
            found[position] = first[key]
    return found


def cells_of(codes: NDArray[int64], *sizes: NDArray[float64], width: float = CELL_WIDTH) -> NDArray[int64]:
    """Return a number for each run's cell: same code, and every log size within ``width`` of the cell's smallest."""
    cells = codes
    for values in sizes:
        with np.errstate(all="ignore"):
            logs = np.nan_to_num(np.log(values), nan=-1.0, posinf=-1.0, neginf=-1.0)
        order = np.lexsort((logs, cells))
        finer = np.empty(len(logs), dtype=np.int64)
        start, code, number = -math.inf, None, -1
        for position, log, cell in zip(order.tolist(), logs[order].tolist(), cells[order].tolist(), strict=True):
            if cell != code or log > start + width:
                start, code, number = log, cell, number + 1
            finer[position] = number
        cells = finer
    return cells


def far_above_cell(
    loss: NDArray[float64], cells: NDArray[int64], alive: NDArray[bool_]
) -> dict[int, tuple[float, int]]:
    """Return ``{position: (loss / median of its cell, runs in it)}`` for runs that stand apart from their cell.

    A run stands apart when its log loss is more than ``DIVERGED_Z`` robust deviations (1.4826 times the median
    absolute deviation, at least 1 %) above the median of a cell of at least four runs.
    """
    found = {}
    for members in _members(cells, alive):
        if len(members) < _LEAST_IN_CELL:
            continue
        logs = np.log(loss[members])
        middle = np.median(logs)
        deviation = max(typical_deviation(logs - middle), _LEAST_DEVIATION)
        for position in members[logs - middle > DIVERGED_Z * deviation].tolist():
            found[position] = (float(loss[position] / np.exp(middle)), len(members))
    return found


def best_of_cells(loss: NDArray[float64], cells: NDArray[int64], alive: NDArray[bool_]) -> dict[int, int]:
    """Return for each run that is not the best of its cell the position of the best; the first of equals is best."""
    found = {}
    for members in _members(cells, alive):
        best = int(members[np.argmin(loss[members])])
        found.update({position: best for position in members.tolist() if position != best})
    return found


def beaten_by_smaller(
    params: NDArray[float64],
    tokens: NDArray[float64],
    loss: NDArray[float64],
    codes: NDArray[int64],
    alive: NDArray[bool_],
) -> dict[int, int] | None:
    """Return ``{position: witnesses}`` for runs that at least three smaller or equal runs beat by ``DIVERGED_RATIO``.

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
            witnesses = int(np.sum(no_larger & (loss[members] * DIVERGED_RATIO < loss[position])))
            if witnesses >= _WITNESSES:
                found[position] = witnesses
    return found


def _suspects(
    members: NDArray[int64], params: NDArray[float64], tokens: NDArray[float64], loss: NDArray[float64]
) -> list[int]:
    """Return the runs that at least one run no larger beats: one pass with the frontier of (tokens, least loss)."""
    suspects = []
    frontier_tokens: list[float] = []
    frontier_loss: list[float] = []
    for position in members[np.lexsort((loss[members], tokens[members], params[members]))].tolist():
        seen, own = float(tokens[position]), float(loss[position])
        place = bisect_right(frontier_tokens, seen)
        if place and frontier_loss[place - 1] <= own:
            if frontier_loss[place - 1] * DIVERGED_RATIO < own:
                suspects.append(position)
            continue
        end = place
        while end < len(frontier_loss) and frontier_loss[end] >= own:
            end += 1
        frontier_tokens[place:end] = [seen]
        frontier_loss[place:end] = [own]
    return suspects


def _members(cells: NDArray[int64], alive: NDArray[bool_]) -> list[NDArray[int64]]:
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

_LEAST_SIZE, _MOST_SIZE = 1e-3, 1e40  # sizes may be in billions


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the columns say about each row: numbers by role, NaN where there is none."""

    loss: NDArray[float64] | None
    sizes: Mapping[str, NDArray[float64]]  # every size that the fit needs
    weights: Mapping[str, NDArray[float64]]  # the weight, where the file has one
    others: Mapping[str, NDArray[float64]]  # every further column that the fit uses
    distinct: NDArray[float64] | None  # tokens available, where the file says so
    unreadable: Mapping[int, str]
    size_columns: Collection[str]  # columns that hold a size in any count, written with any number of digits
    states: Sequence[Cell] | None
    named: bool  # whether a column names the runs
    codes: NDArray[int64]  # the group of each row

    def size(self, role: str) -> NDArray[float64]:
        """Return one size, or ones where it is not needed."""
        return self.sizes.get(role, np.ones(len(self.codes)))


def screen(
    grid: RawTable,
    measured: Measured,
    *,
    conditions: Mapping[str, NDArray[bool_]],
    min_flops: float | None,
    best: bool,
    keep: Collection[str],
) -> tuple[RowFilter, list[str]]:
    """Return the sieve with what is left, dropped and flagged, and notes for the reader."""
    sieve = RowFilter(rows=grid.rows, keep=keep)
    notes: list[str] = []
    for text, meets in conditions.items():
        sieve.drop(~meets, "filtered", _always(f"not {escape_control(text)}"))
    _drop_unmeasured(sieve, grid, measured)
    if measured.states is not None:
        notes += _drop_unfinished(sieve, measured.states)
    again = repeats(_records(grid, measured), sieve.alive)
    sieve.drop(_mask(again, sieve), "duplicate", lambda i: f"the same as row {grid.rows[again[i]]}")
    if min_flops is not None:
        flops = measured.size("flops")
        sieve.drop(flops < min_flops, "small", lambda i: f"{flops[i]:.3g} FLOP, below {min_flops:.3g}")
    if measured.loss is not None:
        notes += _compare(sieve, grid, measured, measured.loss, best=best)
    return sieve, notes


def _drop_unmeasured(sieve: RowFilter, grid: RawTable, measured: Measured) -> None:
    loss, sizes, unreadable = measured.loss, measured.sizes, measured.unreadable
    count = len(grid.rows)
    names = set(grid.names)
    header = np.array(
        [not names.isdisjoint(record) and _repeats_header(record, grid.names) for record in grid.records], dtype=bool
    )
    sieve.drop(header, "heading", lambda _: "the column names again")
    sieve.drop(_mask(unreadable, sieve), "unreadable", unreadable.__getitem__)
    no_loss = np.zeros(count, dtype=bool) if loss is None else np.isnan(loss)
    unknown = {role: np.isnan(values) for role, values in sizes.items()}
    no_size = np.logical_or.reduce([np.zeros(count, dtype=bool), *unknown.values()])

    def lacking(position: int) -> str:
        return ", ".join(role for role, mask in unknown.items() if mask[position]) + " not given"

    sieve.drop(no_loss & no_size, "heading", lambda i: f"neither a loss nor the size: {lacking(i)}")
    sieve.drop(no_loss, "missing_loss", lambda _: "the loss is empty or NaN")
    if loss is not None:
        sieve.drop(loss <= 0, "zero_loss", lambda i: f"loss {loss[i]:g}")
    for name, values in {**sizes, **measured.weights}.items():
        wrong = np.isinf(values) | (values <= 0)
        if name in sizes:  # beyond these no count of anything can be, and the fit would overflow
            wrong |= (values < _LEAST_SIZE) | (values > _MOST_SIZE)
        sieve.drop(wrong, "bad_value", _telling(name, values))
    sieve.drop(no_size, "missing_size", lacking)
    for name, values in {**measured.others, **measured.weights}.items():
        sieve.drop(np.isnan(values), "missing_value", _always(f"no value in '{escape_control(name)}'"))
    if loss is not None:
        sieve.drop(np.isinf(loss), "diverged", lambda _: "the loss is infinite")


def _always(text: str) -> Callable[[int], str]:
    return lambda _: text


def _telling(name: str, values: NDArray[float64]) -> Callable[[int], str]:
    return lambda i: f"{name} is {values[i]:g}"


def _records(grid: RawTable, measured: Measured) -> list[tuple[Hashable, ...]]:
    """Return each row as what it says: numbers by value, the rest as text.

    Sizes are the same up to rounding when a name says that it is the same run: exports write one run in two ways.
    """
    loss = np.zeros(len(grid.rows)) if measured.loss is None else measured.loss
    cells = cells_of(measured.codes, *measured.sizes.values(), width=ROUNDING if measured.named else 0.0)
    kept = [position for position, name in enumerate(grid.names) if name not in measured.size_columns]
    known: dict[Cell, float | str | None] = {}
    columns = [[_value(record[position], known) for record in grid.records] for position in kept]
    return list(zip(cells.tolist(), loss.tolist(), *columns, strict=True))


def _value(cell: Cell, known: dict[Cell, float | str | None]) -> float | str | None:
    if not isinstance(cell, str):
        return None if is_missing(cell) else cell
    if cell not in known:
        try:
            known[cell] = None if is_missing(cell) else to_number(cell)
        except ValueError:
            known[cell] = to_text(cell)
    return known[cell]


def _repeats_header(record: Sequence[Cell], names: Sequence[str]) -> bool:
    filled = [(cell, name) for cell, name in zip(record, names, strict=True) if not is_missing(cell)]
    return len(filled) > 1 and all(isinstance(cell, str) and cell.strip() == name for cell, name in filled)


def _drop_unfinished(sieve: RowFilter, states: Sequence[Cell]) -> list[str]:
    """Drop runs that did not finish; when no run of the file did, the column says nothing and only flags."""
    words = [to_text(cell).casefold() for cell in states]
    unfinished = np.array([word in _UNFINISHED for word in words], dtype=bool)
    finished = np.array([word in _FINISHED for word in words], dtype=bool)

    def detail(position: int) -> str:
        return f"state '{escape_control(words[position])}'"

    if finished.any():
        sieve.drop(unfinished, "crashed", detail)
        return []
    count = int(np.sum(unfinished & sieve.alive))
    sieve.flag(unfinished, "crashed", detail)
    return [f"no run is marked finished: {count} runs with another state are kept"] if count else []


def _compare(
    sieve: RowFilter, grid: RawTable, measured: Measured, loss: NDArray[float64], *, best: bool
) -> list[str]:
    """Compare runs of the same size, then larger runs with smaller ones."""
    rows = grid.rows
    params, tokens = measured.size("params"), measured.size("tokens")
    codes = measured.codes if measured.distinct is None else cells_of(measured.codes, measured.distinct)
    cells = cells_of(codes, params, tokens)
    apart = far_above_cell(loss, cells, sieve.alive)

    def detail(position: int) -> str:
        factor, count = apart[position]
        return f"loss {loss[position]:.4g} is {factor:.2f} times the median of the {count} runs of that size"

    diverged = {position: item for position, item in apart.items() if item[0] > DIVERGED_RATIO}
    sieve.drop(_mask(diverged, sieve), "diverged", detail)
    same = repeats(
        list(zip(codes.tolist(), params.tolist(), tokens.tolist(), loss.tolist(), strict=True)), sieve.alive
    )
    if best:
        better = best_of_cells(loss, cells, sieve.alive)
        sieve.drop(_mask(better, sieve), "not_best", lambda i: f"row {rows[better[i]]} has {loss[better[i]]:.4g}")
    sieve.flag(_mask(same, sieve), "same_point", lambda i: f"sizes and loss of row {rows[same[i]]}")
    sieve.flag(_mask({i: item for i, item in apart.items() if i not in diverged}, sieve), "outlier", detail)
    beaten = beaten_by_smaller(params, tokens, loss, codes, sieve.alive)
    if beaten is None:
        return ["many runs have a far higher loss than smaller ones; if the file mixes tasks, --group separates them"]
    worse = f"have a loss at least {DIVERGED_RATIO:g} times lower"
    sieve.flag(_mask(beaten, sieve), "worse_than_smaller", lambda i: f"{beaten[i]} runs no larger {worse}")
    return []


def _mask(positions: Collection[int], sieve: RowFilter) -> NDArray[bool_]:
    mask = np.zeros(len(sieve.rows), dtype=bool)
    mask[list(positions)] = True
    return mask
