"""Read a pool of candidate runs from a file, and choose those to train within a budget.

A pool is a table as ``fit`` reads it, with a row a run that could be trained. Its inputs are the sizes that are
recognised and every further column of numbers or of a few words; losses are outcomes, and the choice never looks at
them. The choice itself is :mod:`~scaleplan.fitting.pool_choice`.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Unpack

import numpy as np

from scaleplan.errors import FileError, Notice, UnknownNameError, UnreachableError, UsageError, quote
from scaleplan.files import is_folder
from scaleplan.fitting.fit_request import ReadingKeywords, reading_arguments
from scaleplan.fitting.histories import final_rows, is_large
from scaleplan.fitting.logged import logged_table, opened
from scaleplan.fitting.mapping import read_mapping
from scaleplan.fitting.pool_choice import NOISE, PoolInputs, PoolModel, cheapest, choose, dearest, random_runs, spread
from scaleplan.fitting.reading import read_runs
from scaleplan.fitting.runs import REASONS, group_codes
from scaleplan.fitting.table import RawTable, read_table
from scaleplan.laws.additive import Additive, ThreeExponent
from scaleplan.logs.logged_run import LoggedRuns
from scaleplan.planning.context import Context
from scaleplan.presets.library import DEFAULT_PRESET
from scaleplan.record import Record, Result
from scaleplan.tables.arrow_files import arrow_parts
from scaleplan.tables.cells import is_missing, to_numbers, to_text
from scaleplan.tables.headings import listed, normalised
from scaleplan.tables.loss_units import unit_in_name
from scaleplan.units import (
    counted,
    format_flops,
    format_number,
    format_plain,
    parse_flops,
    parse_fraction,
    parse_integer,
)
from scaleplan.units.limits import parse_limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.fitting.runs import Runs
    from scaleplan.presets.preset import Preset
    from scaleplan.tables.cells import Cell
    from scaleplan.tables.frames import TableLike
    from scaleplan.units import Amount

__all__ = ["ChosenRun", "PoolDesign", "PoolRival", "choose_runs"]

_MOST_RUNS, _LARGEST_LIST = 48, 500  # the first as for pilots without a pool; beyond the second nobody trains a list
_MOST_CANDIDATES = 5000  # each step compares all with all targets: a minute for the whole choice
_MOST_TARGETS = 300  # evenly spaced in the order of cost: neighbours say the same
_LARGEST = 0.8  # the dearest fifth of the pool stands for the runs that all of it is for
_MOST_CLASSES = 20  # of a column of words: more are names
_DRAWS = 10  # random lists, of which the mean error is shown
_LIMITED = {"params": "params", "tokens": "tokens", "tokens_per_param": "number", "flops": "flops"}
_SIZES = ("params", "tokens", "unique_tokens")
_NO_INPUTS = ("flops", "name", "state", "weight")
_OF_LOSSES = ("best", "last", "keep", "tokens_per_byte", "loss_unit")  # ways to read what a candidate does not have
_LAW_NOISE = 0.005  # as without a pool: seeds of well-tuned runs differ by 0.1 to 0.5 %
_LEAST_NOISE = 1e-4  # runs are rounded, and a repeated one is no second fact
_LOGARITHM = 2.0  # positive numbers whose span is at least this factor count by their logarithms

_AMOUNTS = frozenset(
    f"{count}{what}".strip()
    for count in ("", "num ", "n ", "total ", "train ", "training ", "number of ")
    for what in ("characters", "chars", "bytes", "words", "samples", "examples", "sequences", "images", "steps")
)
"""What an amount of training data is called that is no number of tokens."""

_OUTCOMES = frozenset(
    {
        *("accuracy", "acc", "error", "score", "brier", "auc", "metric", "reward", "grad", "throughput", "mfu"),
        *("time", "seconds", "minutes", "hours", "days", "cost", "price", "usd", "dollars", "energy", "kwh"),
    }
)
"""Words of what comes out of a run or is paid for it."""

_LABELS = frozenset({"seed", "random seed", "index", "idx", "row", "rank", "number", "no", "unnamed 0", ""})
"""Columns that number runs."""


class ChosenRun(Record):
    """A candidate to train: its row in the file, its cost, and the cells of the file as they stand."""

    row: int
    cost: float
    cells: Mapping[str, str | int | float | bool | None]

    def to_dict(self) -> dict[str, object]:
        """Return the row of a table: number and cells, with the file's own names."""
        number = "row" if "row" not in self.cells else "pool_row"
        return {number: self.row, **self.cells}


class PoolRival(Record):
    """Another list from the same pool: its runs, what they cost, and the predicted error at the targets.

    ``bounded`` says whether it keeps to the most runs of a list.
    """

    name: str
    runs: int
    cost: float
    error: float
    bounded: bool = True


class PoolDesign(Record, Result):
    """The candidates to train, and other lists for the same budget.

    ``cost_by`` says how the cost of a candidate is counted, and ``in_flops`` whether that is FLOP; ``pool_cost`` is
    that of all ``candidates``, ``budget`` what the list may cost, ``spent`` what it does. ``error`` is the predicted
    relative error of the loss at the ``targets``, ``before`` the same with the runs that are there alone, None
    without any; ``model`` says by what it is predicted. ``inputs`` are the columns that tell candidates apart,
    ``ignored`` those that do not count.
    """

    schema: ClassVar[str] = "scaleplan/pool-design/1"

    pool: str
    candidates: int
    inputs: tuple[str, ...]
    ignored: tuple[str, ...]
    cost_by: str
    in_flops: bool
    pool_cost: float
    budget: float
    spent: float
    targets: str
    noise: float
    model: str
    most_runs: int
    runs: tuple[ChosenRun, ...]
    before: float | None
    error: float
    rivals: tuple[PoolRival, ...]
    warnings: tuple[Notice, ...] = ()

    def better_rivals(self) -> list[PoolRival]:
        """Return the rivals that the model expects to predict better, by more than rounding."""
        return [rival for rival in self.rivals if rival.error < self.error * (1 - 1e-6)]


class _Pool(NamedTuple):
    """Candidates as they were read: the file, its rows that count, their sizes."""

    table: RawTable
    runs: Runs
    at: Index

    def cells(self, name: str) -> list[Cell]:
        """Return the cells of a column in the rows that count; raises FileError where the file has none."""
        if name not in self.table.names:
            raise FileError(f"{self.table.source}: no column {quote(name)}, an input of the pool")
        column = self.table.column(name)
        return [column[i] for i in self.at.tolist()]

    def size(self, role: str) -> Array | None:
        """Return the sizes of a role, None unless every candidate has one."""
        values: Array | None = getattr(self.runs, role)
        return values if values is not None and _whole(values) else None

    def numbers(self, text: str, role: str) -> Array:
        """Return the numbers of a column or a product of columns."""
        mapped = read_mapping(text, self.table, role=role)
        return mapped.numbers(self.table)[0][self.at]

    def select(self, where: Mask) -> _Pool:
        """Return some of the candidates."""
        return _Pool(self.table, self.runs.select(where), self.at[where])


def _whole(values: Array) -> bool:
    return bool(len(values) and np.all(np.isfinite(values) & (values > 0)))


class _Cost(NamedTuple):
    """What each candidate costs, how that is counted, and whether it is FLOP."""

    values: Array
    by: str
    in_flops: bool
    warning: str | None = None


class _Column(NamedTuple):
    """An input: where it comes from, and how its values become numbers or classes."""

    name: str
    role: str | None
    classes: tuple[str, ...] | None = None
    log: bool = False
    middle: float = 0.0
    half: float = 1.0

    def read(self, pool: _Pool) -> Array:
        """Return the values as the model takes them; raises FileError where one is missing."""
        if self.classes is not None:
            texts = [to_text(cell) for cell in pool.cells(self.name)]
            known = {text: code for code, text in enumerate(self.classes)}
            return np.array([known.get(text, len(known)) for text in texts], dtype=np.float64)
        values = pool.size(self.role) if self.role else to_numbers(pool.cells(self.name))[0]
        if values is None or not np.all(np.isfinite(values)) or (self.log and np.min(values) <= 0):
            raise FileError(f"{pool.table.source}: a row has no number in {quote(self.name)}, an input of the pool")
        return ((np.log(values) if self.log else values) - self.middle) / self.half

    def scaled_to(self, values: Array) -> _Column:
        """Return the column with the scale of these values."""
        log = bool(np.min(values) > 0 and np.max(values) >= _LOGARITHM * np.min(values))
        numbers = np.log(values) if log else values
        low, high = float(np.min(numbers)), float(np.max(numbers))
        return self._replace(log=log, middle=0.5 * (low + high), half=max(0.5 * (high - low), 1e-300))


@np.errstate(all="ignore")
def choose_runs(
    pool: TableLike | LoggedRuns,
    *,
    flops: Amount,
    target: Amount | None = None,
    target_runs: TableLike | LoggedRuns | None = None,
    runs: TableLike | LoggedRuns | None = None,
    inputs: str | Sequence[str] | None = None,
    pool_cost: str | None = None,
    preset: str | Preset | None = None,
    noise: Amount | None = None,
    most_runs: Amount = _MOST_RUNS,
    limit: Sequence[str] | None = None,
    **keywords: Unpack[ReadingKeywords],
) -> PoolDesign:
    """Choose from a file of candidate runs those that let the loss at targets be predicted best.

    Parameters
    ----------
    pool
        A table with a row a candidate, read as for :func:`scaleplan.fit`. Losses in it are not looked at.
    flops
        What the list may cost: FLOP, or a share of the cost of the whole pool, such as ``"5%"``.
    target
        The compute of the runs whose loss is to be predicted, in FLOP: the dearest fifth of the pool brought to it.
        All candidates if not given, of which the dearest fifth counts as much as the others.
    target_runs
        A table of the runs to predict, with the columns of the pool, in place of ``target``.
    runs
        A table of the runs that are there already, with the columns of the pool; they cost nothing. A candidate
        with the inputs of one of them counts as that run and is not offered again.
    inputs
        The columns that tell candidates apart, of all that could.
    pool_cost
        The column, or product of columns, that a candidate costs, or a number for all; compute if not given.
    preset
        The additive or three-exponent law to guess with, where candidates differ in parameters and tokens alone;
        besiroglu-2024 if not given. With any further input no law is assumed.
    noise
        Relative standard deviation of a loss; 0.5 % if not given, or 1 % where no law is assumed.
    most_runs
        How many runs the list may have.
    limit
        Bounds of the candidates, such as ``"params <= 1B"``.

    Raises
    ------
    UsageError
        When a keyword is wrong, or contradicts another.
    FileError
        When a file cannot be read, or holds no cost or no inputs.
    UnreachableError
        When no candidate can be paid.

    """
    if target is not None and target_runs is not None:
        raise UsageError("a target and target runs both say what to predict", hint="give one of them")
    most = int(parse_integer(most_runs))
    if most > _LARGEST_LIST:
        raise UsageError(f"{most} runs", hint=f"{_LARGEST_LIST} are the most, a few dozen are usual")
    candidates = _read(pool, keywords)
    candidates = _limited(candidates, limit or ())
    cost = _cost_of(candidates, pool_cost)
    total = float(np.sum(cost.values))
    budget = _budget(flops, cost, total)
    _require_paid(cost.values, budget, total)
    columns, ignored = _inputs(candidates, inputs, pool_cost)
    own = _values(columns, candidates)
    others: dict[str, _Pool] = {}
    if target_runs is not None:
        others["targets"] = _read(target_runs, {**keywords, "where": None, "drop_rows": None})
    aims, weights, targets = _targets(columns, candidates, cost, target=target, named=others.get("targets"))
    there = own[:0]
    offered = cost.values
    if runs is not None:
        others["runs"] = _read(runs, keywords)
        there = _values(columns, others["runs"])
        offered = np.where(_trained(own, there), np.inf, offered)
        _require_paid(offered, budget, total, done=others["runs"])
    everything = np.concatenate([own, there, aims])
    model, by = _model(columns, everything, weights, noise, preset)
    known = list(range(len(own), len(own) + len(there)))
    paid = np.concatenate([offered, np.full(len(there), np.inf)])
    rivals = _rival_lists(own[:, [column.classes is None for column in columns]], offered, budget, most)
    chosen = choose(model, paid, budget, most=most, there=known, starts=[one for _, one in rivals])
    order = sorted(chosen, key=lambda i: (float(cost.values[i]), i))
    return PoolDesign(
        pool=candidates.table.source,
        candidates=len(own),
        inputs=tuple(column.name for column in columns),
        ignored=ignored,
        cost_by=cost.by,
        in_flops=cost.in_flops,
        pool_cost=total,
        budget=budget,
        spent=float(np.sum(cost.values[order])),
        targets=targets,
        noise=model.noise,
        model=by,
        most_runs=most,
        runs=tuple(_chosen(candidates, cost, i) for i in order),
        before=model.error(known) if known else None,
        error=model.error([*known, *order]),
        rivals=_rivals(model, offered, budget, most=most, known=known, lists=rivals),
        warnings=_warnings(candidates, cost, ignored, list(others.values())),
    )


def _read(source: TableLike | LoggedRuns, keywords: ReadingKeywords) -> _Pool:
    """Return the candidates of a file; a row that is there twice is offered twice."""
    for name in _OF_LOSSES:
        if keywords.get(name, "nats") not in (None, False, "nats", [], ()):
            raise UsageError(f"--{name.replace('_', '-')} is about losses, which a pool of candidates does not need")
    arguments = {**reading_arguments(keywords), "keep": ("crashed", "duplicate", "diverged")}
    table = _table(source, arguments)
    found = read_runs(table, needed=(), **arguments)
    # sizes that some rows have are those of all: a row without them is no candidate, and no reason to forget them
    roles = ("params", "tokens", "flops")
    sized = [role for role in roles if role in found.columns or np.isfinite(getattr(found, role)).any()]
    runs = read_runs(table, needed=sized, **arguments)
    if len(runs) > _MOST_CANDIDATES:
        raise UsageError(
            f"{len(runs):,} candidates in {quote(runs.name)}", hint=f"--where leaves at most {_MOST_CANDIDATES:,}"
        )
    places = {row: place for place, row in enumerate(table.rows)}
    return _Pool(table, runs, np.array([places[row] for row in runs.rows.tolist()], dtype=np.intp))


def _table(source: TableLike | LoggedRuns, arguments: Mapping[str, Any]) -> RawTable:
    """Return the table of the candidates; of a large history its final rows, where they are wanted."""
    if arguments.get("last") and not isinstance(source, LoggedRuns) and is_large(source):
        reading = {name: arguments[name] for name in ("mapping", "log10") if name in arguments}
        return final_rows(source, needed=(), **reading)
    table = opened(source)
    if isinstance(table, RawTable):
        return table
    path = Path(table)
    return logged_table(table) if is_folder(path) and not arrow_parts(path) else read_table(table)


def _limited(pool: _Pool, limits: Sequence[str]) -> _Pool:
    """Return the candidates within limits of their sizes."""
    for text in limits:
        for limit in parse_limit(text, quantities=_LIMITED):
            ratio = limit.quantity == "tokens_per_param"
            values = pool.runs.tokens / pool.runs.params if ratio else getattr(pool.runs, limit.quantity)
            if not _whole(values):
                raise UsageError(
                    f"not every candidate has a number of {limit.quantity}, which {quote(text)} is about",
                    hint="--where compares the columns of the file",
                )
            within = np.array([limit.holds(value) for value in values.tolist()])
            if not within.any():
                raise UnreachableError(f"no candidate is within {quote(text)}")
            pool = pool.select(within)
    return pool


def _cost_of(pool: _Pool, given: str | None) -> _Cost:
    """Return the cost of the candidates: as given, their compute, or what stands for it."""
    if given is not None:
        values = pool.numbers(given, "pool cost")
        if not _whole(values):
            row = int(pool.runs.rows[np.flatnonzero(~(np.isfinite(values) & (values > 0)))[0]])
            raise FileError(f"{pool.table.source}: row {row} has no positive cost by {quote(given)}")
        return _Cost(values, given, in_flops=False)
    flops, params = pool.size("flops"), pool.size("params")
    if flops is not None:
        return _Cost(flops, pool.runs.flops_convention, in_flops=True)
    amount = next((name for name in pool.table.names if normalised(name) in _AMOUNTS), None)
    data = None if amount is None else to_numbers(pool.cells(amount))[0]
    way = "--pool-cost COLUMN or COLUMN*COLUMN counts it otherwise"
    if params is not None and data is not None and _whole(data):
        by = f"{pool.runs.columns['params']}*{amount}"
        return _Cost(params * data, by, False, f"no tokens in the pool: a candidate costs by {by}; {way}")
    if params is not None:
        by = pool.runs.columns["params"]
        return _Cost(params, by, False, f"no tokens in the pool, so that all see as many: cost by {by}; {way}")
    raise FileError(
        f"{pool.table.source}: no column for what a candidate costs",
        hint="--pool-cost COLUMN says it, --pool-cost 1 counts runs; --map params=COLUMN names a size",
    )


def _budget(flops: Amount, cost: _Cost, total: float) -> float:
    if isinstance(flops, str) and flops.strip().endswith("%"):
        return parse_fraction(flops) * total
    if not cost.in_flops:
        raise UsageError(
            f"the pool has no compute in FLOP, but a cost by {quote(cost.by)}",
            hint="give a share of the pool's cost: --flops 5%",
        )
    return parse_flops(flops)


def _require_paid(offered: Array, budget: float, total: float, done: _Pool | None = None) -> None:
    """Raise UnreachableError unless the budget pays a candidate that is not among the runs already ``done``."""
    least = float(np.min(offered))
    if done is not None and not math.isfinite(least):
        raise UnreachableError(f"every candidate is already among the runs of {done.table.source}")
    if budget < least:
        what = "candidate" if done is None else "candidate that is left"
        raise UnreachableError(
            f"the cheapest {what} costs {format_number(least)}, more than the budget of {format_number(budget)}",
            hint=f"--flops {format_plain(math.ceil(1e4 * least / total) / 100)}% of the pool's cost pays it",
        )


def _trained(own: Array, there: Array) -> Mask:
    """Return which candidates are trained already: as many of equal inputs as there are such runs."""
    left = Counter(_places(there))
    found = np.zeros(len(own), dtype=bool)
    for i, place in enumerate(_places(own)):
        if left[place] > 0:
            left[place] -= 1
            found[i] = True
    return found


def _places(values: Array) -> list[tuple[float, ...]]:
    return [tuple(row) for row in (np.round(values, 6) + 0.0).tolist()]  # numbers are rounded; + 0: no minus zero


def _is_outcome(name: str) -> bool:
    words = set(normalised(name).split())
    return unit_in_name(name)[0] is not None or bool(words & _OUTCOMES)


def _inputs(
    pool: _Pool, given: str | Sequence[str] | None, pool_cost: str | None
) -> tuple[tuple[_Column, ...], tuple[str, ...]]:
    """Return the columns that tell candidates apart, scaled to the pool, and those that do not count."""
    table, columns = pool.table, pool.runs.columns
    sizes = [role for role in _SIZES if pool.size(role) is not None]
    if pool.size("flops") is not None and "params" not in sizes and "tokens" not in sizes:
        sizes.append("flops")
    named = {role: read_mapping(text, table, role=role).columns for role, text in columns.items()}
    if given is None:
        taken = {name for role, names in named.items() if role in (*sizes, *_NO_INPUTS) for name in names}
        others = [name for name in table.names if name not in {*taken, pool_cost} and not _is_outcome(name)]
        others = [name for name in others if normalised(name) not in _LABELS]
    else:
        wanted = [part.strip() for part in (given.split(",") if isinstance(given, str) else given)]
        for name in wanted:
            if name not in table.names and name not in sizes:
                raise UnknownNameError("column", name, table.names)
        sizes = [role for role in sizes if role in wanted or columns.get(role) in wanted]
        others = [name for name in wanted if name not in sizes and name not in {columns.get(role) for role in sizes}]
    found = [_Column(columns.get(role, role), role) for role in sizes]
    read = [(name, _further(pool, name)) for name in others]
    if given is not None and (without := [name for name, column in read if column is None]):
        raise UsageError(f"column {quote(without[0])} cannot be an input: a row has no number, or it holds names")
    scaled = _distinct(pool, [*found, *(column for _, column in read if column is not None)])
    if not scaled:
        raise FileError(
            f"{table.source}: no column tells its candidates apart",
            hint="sizes, or other columns of numbers, are what a run is chosen by; --inputs COLUMN,COLUMN names them",
        )
    used = {name for column in scaled for name in (column.name, *named.get(column.role or "", ()))}
    return scaled, tuple(name for name in table.names if name not in used)


def _distinct(pool: _Pool, columns: Sequence[_Column]) -> tuple[_Column, ...]:
    """Return the columns that vary, scaled to the pool; of those with the same numbers in other units the first."""
    kept: list[_Column] = []
    seen: list[Array] = []
    for column in columns:
        if column.classes is not None:
            kept.append(column)
            continue
        values = pool.size(column.role) if column.role else to_numbers(pool.cells(column.name))[0]
        assert values is not None  # or it would be no column of numbers
        if np.ptp(values) <= 0:
            continue
        scaled = column.scaled_to(values)
        numbers = scaled.read(pool)
        if not any(np.allclose(numbers, other, atol=1e-9) for other in seen):
            kept.append(scaled)
            seen.append(numbers)
    return tuple(kept)


def _further(pool: _Pool, name: str) -> _Column | None:
    """Return a column as an input: of numbers, or of a few words; None for any other."""
    cells = pool.cells(name)
    if any(is_missing(cell) for cell in cells):
        return None
    numbers, unread = to_numbers(cells)
    if not unread and np.all(np.isfinite(numbers)):
        return _Column(name, None)
    texts = sorted({to_text(cell) for cell in cells})
    if 2 <= len(texts) <= min(_MOST_CLASSES, len(cells) // 2):
        return _Column(name, None, classes=tuple(texts))
    return None


def _values(columns: Sequence[_Column], pool: _Pool) -> Array:
    return np.stack([column.read(pool) for column in columns], axis=1)


def _model(
    columns: Sequence[_Column], values: Array, weights: Array, noise: Amount | None, preset: str | Preset | None
) -> tuple[PoolModel, str]:
    """Return the model of candidates, runs that are there and targets, and what it is in words."""
    given = None if noise is None else max(parse_fraction(noise), _LEAST_NOISE)
    roles = {column.role for column in columns}
    if roles != {"params", "tokens"} or not all(column.log for column in columns):
        if preset is not None:
            raise UsageError(
                "a law is guessed with where candidates differ in parameters and tokens, and in nothing else",
                hint=f"leave out --preset, or choose --inputs; they differ in {listed([c.name for c in columns])}",
            )
        return PoolModel.of(_as_inputs(columns, values), weights, given or NOISE), "a smooth model without a law"
    sizes = {
        column.role: np.exp(column.middle + column.half * z) for column, z in zip(columns, values.T, strict=True)
    }
    found = Context().preset(DEFAULT_PRESET if preset is None else preset)
    found.require_everywhere()
    law = found.published.in_raw_units(found.units)
    if not isinstance(law, Additive | ThreeExponent):
        raise UsageError(
            f"preset {quote(found.id)} has form {found.form}; a design needs an additive or three-exponent law",
            hint=f"{DEFAULT_PRESET} is one",
        )
    return PoolModel.by_law(law, sizes["params"], sizes["tokens"], weights, given or _LAW_NOISE), found.id


def _as_inputs(columns: Sequence[_Column], values: Array) -> PoolInputs:
    words = np.array([column.classes is not None for column in columns])
    codes = [group_codes(values[:, i].tolist()) for i in np.flatnonzero(words).tolist()]
    classes = np.stack(codes, axis=1) if codes else np.zeros((len(values), 0), dtype=np.intp)
    return PoolInputs(numbers=values[:, ~words], classes=classes)


def _targets(
    columns: Sequence[_Column],
    pool: _Pool,
    cost: _Cost,
    *,
    target: Amount | None,
    named: _Pool | None,
) -> tuple[Array, Array, str]:
    """Return the runs to predict, their weights, and what they are in words."""
    if named is not None:
        values = _values(columns, named)
        kept = _evenly(np.arange(len(values)))
        return values[kept], np.ones(len(kept)), f"{counted(len(values), 'run')} of {named.table.source}"
    order = np.argsort(cost.values, kind="stable")
    values = _values(columns, pool)
    large = order[min(int(_LARGEST * len(order)), len(order) - 1) :]
    if target is None:
        kept = _evenly(order)
        among = np.isin(kept, large)
        weights = np.where(among, 1.0 / max(int(np.sum(among)), 1), 1.0 / max(int(np.sum(~among)), 1))
        return values[kept], weights, "all candidates, of which the dearest fifth counts as much as the others"
    goal = parse_flops(target)
    scaled = [i for i, column in enumerate(columns) if column.role in ("params", "tokens", "flops")]
    if not cost.in_flops or not scaled:
        raise UsageError(
            "a target in FLOP needs candidates with parameters and tokens", hint="--target-runs FILE names runs"
        )
    kept = _evenly(large)
    further = values[kept]
    for i in scaled:
        moved = np.log(goal / cost.values[kept]) / len(scaled)
        if not columns[i].log:
            raise UsageError(
                f"{quote(columns[i].name)} hardly varies in the pool, which tells nothing of another size",
                hint="--target-runs FILE names runs of the sizes of the pool",
            )
        further[:, i] += moved / columns[i].half
    return further, np.ones(len(kept)), f"the dearest fifth of the pool, brought to {format_flops(goal)}"


def _evenly(order: Index) -> Index:
    if len(order) <= _MOST_TARGETS:
        return order
    return order[np.linspace(0, len(order) - 1, _MOST_TARGETS).round().astype(np.intp)]


def _rival_lists(numbers: Array, cost: Array, budget: float, most: int) -> list[tuple[str, list[int]]]:
    """Return the lists that one would choose without a model, within the bounds of the design."""
    lists = [
        ("the cheapest", cheapest(cost, budget)),
        ("the most expensive", dearest(cost, budget, most)),
        ("spread over the inputs", spread(numbers, cost, budget, most)),
    ]
    return [(name, found) for name, found in lists if found]


def _rivals(
    model: PoolModel,
    cost: Array,
    budget: float,
    *,
    most: int,
    known: Sequence[int],
    lists: Sequence[tuple[str, list[int]]],
) -> tuple[PoolRival, ...]:
    """Return what the rivals are expected to tell; random lists by their mean."""
    rivals = [
        PoolRival(
            name=name,
            runs=len(found),
            cost=float(np.sum(cost[found])),
            error=model.error([*known, *found]),
            bounded=len(found) <= most,
        )
        for name, found in lists
    ]
    drawn = [random_runs(cost, budget, most, seed) for seed in range(_DRAWS)]
    rivals.append(
        PoolRival(
            name=f"at random, mean of {_DRAWS}",
            runs=round(float(np.mean([len(found) for found in drawn]))),
            cost=float(np.mean([np.sum(cost[found]) for found in drawn])),
            error=float(np.sqrt(np.mean([model.error([*known, *found]) ** 2 for found in drawn]))),
        )
    )
    return tuple(rivals)


def _chosen(pool: _Pool, cost: _Cost, i: int) -> ChosenRun:
    record = pool.table.records[int(pool.at[i])]
    return ChosenRun(
        row=int(pool.runs.rows[i]),
        cost=float(cost.values[i]),
        cells=dict(zip(pool.table.names, record, strict=True)),
    )


def _warnings(pool: _Pool, cost: _Cost, ignored: Sequence[str], others: Sequence[_Pool]) -> tuple[Notice, ...]:
    found = [Notice(code="pool_cost", message=cost.warning)] if cost.warning else []
    outcomes = [name for name in pool.table.names if unit_in_name(name)[0] is not None]
    if any(not is_missing(cell) for name in outcomes for cell in pool.cells(name)):
        message = (
            f"losses of the pool are not looked at ({listed(outcomes, most=3)}); --runs names runs that are there"
        )
        found.append(Notice(code="pool_losses", message=message))
    for name in ignored:
        missing = [is_missing(cell) for cell in pool.cells(name)]
        if any(missing) and not all(missing) and not _is_outcome(name):
            row = int(pool.runs.rows[missing.index(True)])
            message = f"column {quote(name)} is no input of the choice: row {row} has no value in it"
            found.append(Notice(code="pool_gap", message=message))
    for read in (pool, *others):
        if read.runs.dropped:
            first = read.runs.dropped[0]
            rows = f"{counted(len(read.runs.dropped), 'row')} of {'the pool' if read is pool else read.table.source}"
            message = f"{rows} left out, the first row {first.row}: {first.detail or REASONS[first.reason]}"
            found.append(Notice(code="pool_rows", message=message))
    return tuple(found)
