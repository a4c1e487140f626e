"""Which rows of a file become runs?  Each rule in turn takes rows out, with a reason and the particulars.

The order matters: what is no run is gone before duplicates are looked for, and what is no measurement before a run
is compared with its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import inert
from scaleplan.fitting.cells import is_missing, to_number, to_text
from scaleplan.fitting.quality import (
    DIVERGED_RATIO,
    ROUNDING,
    Sieve,
    beaten_by_smaller,
    best_of_cells,
    cells_of,
    far_above_cell,
    repeats,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

    from numpy import bool_, float64, int64
    from numpy.typing import NDArray

    from scaleplan.fitting.cells import Cell
    from scaleplan.fitting.tables import Grid

__all__ = ["Measured", "screen"]

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
    grid: Grid,
    measured: Measured,
    *,
    conditions: Mapping[str, NDArray[bool_]],
    min_flops: float | None,
    best: bool,
    keep: Collection[str],
) -> tuple[Sieve, list[str]]:
    """Return the sieve with what is left, dropped and flagged, and notes for the reader."""
    sieve = Sieve(rows=grid.rows, keep=keep)
    notes: list[str] = []
    for text, meets in conditions.items():
        sieve.drop(~meets, "filtered", _always(f"not {inert(text)}"))
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


def _drop_unmeasured(sieve: Sieve, grid: Grid, measured: Measured) -> None:
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
        sieve.drop(np.isnan(values), "missing_value", _always(f"no value in '{inert(name)}'"))
    if loss is not None:
        sieve.drop(np.isinf(loss), "diverged", lambda _: "the loss is infinite")


def _always(text: str) -> Callable[[int], str]:
    return lambda _: text


def _telling(name: str, values: NDArray[float64]) -> Callable[[int], str]:
    return lambda i: f"{name} is {values[i]:g}"


def _records(grid: Grid, measured: Measured) -> list[tuple[Hashable, ...]]:
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


def _drop_unfinished(sieve: Sieve, states: Sequence[Cell]) -> list[str]:
    """Drop runs that did not finish; when no run of the file did, the column says nothing and only flags."""
    words = [to_text(cell).casefold() for cell in states]
    unfinished = np.array([word in _UNFINISHED for word in words], dtype=bool)
    finished = np.array([word in _FINISHED for word in words], dtype=bool)

    def detail(position: int) -> str:
        return f"state '{inert(words[position])}'"

    if finished.any():
        sieve.drop(unfinished, "crashed", detail)
        return []
    count = int(np.sum(unfinished & sieve.alive))
    sieve.flag(unfinished, "crashed", detail)
    return [f"no run is marked finished: {count} runs with another state are kept"] if count else []


def _compare(sieve: Sieve, grid: Grid, measured: Measured, loss: NDArray[float64], *, best: bool) -> list[str]:
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


def _mask(positions: Collection[int], sieve: Sieve) -> NDArray[bool_]:
    mask = np.zeros(len(sieve.rows), dtype=bool)
    mask[list(positions)] = True
    return mask
