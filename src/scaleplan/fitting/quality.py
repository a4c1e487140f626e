"""Which rows are not measurements that a law should be fitted to, and why.

A *cell* is a set of runs whose sizes, tokens and distinct tokens agree within 1.5 %: rounding to three digits
moves a value by up to 0.5 %, and no sweep varies sizes by as little. The rules on loss are deliberately coarse: a
poorly tuned run is a measurement, a run at 1.5 times the loss of its neighbours is a failure.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.robust import typical_deviation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Sequence

    from numpy import bool_, float64, int64
    from numpy.typing import NDArray

__all__ = [
    "CELL_WIDTH",
    "DIVERGED_RATIO",
    "DIVERGED_Z",
    "REASONS",
    "ROUNDING",
    "Finding",
    "Sieve",
    "beaten_by_smaller",
    "best_of_cells",
    "cells_of",
    "far_above_cell",
    "repeats",
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
class Sieve:
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
