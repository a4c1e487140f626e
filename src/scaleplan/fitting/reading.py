"""Read a file of training runs into checked arrays in raw units.

:func:`read_runs` recognises columns, reads numbers as they are written, converts the loss, derives the size that is
missing, and accounts for every row: it is in the arrays, or in ``dropped`` with a reason.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scaleplan.errors import FileError, Notice, UnknownNameError, UsageError, escape_control, quote
from scaleplan.fitting.cleaning import ROUNDING, any_finished, cells_of, clean, read_condition
from scaleplan.fitting.columns import candidates, recognise
from scaleplan.fitting.compute import own_count
from scaleplan.fitting.histories import final_rows
from scaleplan.fitting.ladders import ladder_doubts
from scaleplan.fitting.logged import logged_doubts, logged_names
from scaleplan.fitting.mapping import read_mapping
from scaleplan.fitting.row_choice import dropped_reasons, earlier_steps, marked_rows, rows_by_number
from scaleplan.fitting.runs import REASONS, Finding, Runs
from scaleplan.fitting.sweeps import unlike_runs
from scaleplan.fitting.table_source import open_table
from scaleplan.laws.base import Cost
from scaleplan.presets.conventions import NATS
from scaleplan.record import Record
from scaleplan.tables.cells import to_numbers
from scaleplan.tables.loss_units import LOSS_UNITS, stated_unit
from scaleplan.units import format_number, format_plain, parse_flops, parse_positive

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.fitting.compute import OwnCount
    from scaleplan.fitting.mapping import ColumnMapping
    from scaleplan.fitting.table import History, RawTable
    from scaleplan.logs.logged_run import LoggedRuns
    from scaleplan.tables.cells import Cell
    from scaleplan.tables.frames import TableLike
    from scaleplan.units import Amount

    Recognised = tuple[dict[str, ColumnMapping], list[str]]
    Column = tuple[Array, Mapping[int, str]]

__all__ = ["RunRows", "check_choices", "read_runs", "rows_of"]

_LEAST = {"params": 100.0, "tokens": 100.0, "flops": 1e6}
"""A median below is a logarithm or a multiple of another unit."""

_SIZES = ("params", "tokens", "flops")

_KEEPABLE = frozenset({"crashed", "duplicate", "diverged"})  # judgements; the other reasons leave nothing to fit


def read_runs(
    source: TableLike | LoggedRuns | RawTable,
    *,
    mapping: Mapping[str, str] | None = None,
    where: Sequence[str] = (),
    group: str | None = None,
    extra: Sequence[str] = (),
    loss_unit: str = "nats",
    tokens_per_byte: Amount | None = None,
    log10: Collection[str] = (),
    flops_convention: str | None = None,
    best: bool = False,
    last: bool = False,
    min_flops: Amount | None = None,
    keep: Collection[str] = (),
    drop: Collection[str] = (),
    drop_rows: Collection[str] = (),
    needed: Collection[str] = (*_SIZES, "loss"),
) -> Runs:
    """Read training runs from a file (CSV, TSV, JSON, Parquet, Arrow), standard input (``-``), logs, or a data frame.

    ``mapping`` gives the column of a role, such as ``{"loss": "eval/openlm/loss"}``, in the grammar of
    :mod:`scaleplan.fitting.columns`; other roles are recognised by name. A row must meet every condition of
    ``where``, such as ``"lr <= 1e-3"``. ``group`` is the column whose values separate runs with laws of their own,
    ``extra`` are further columns to read as numbers, ``log10`` columns or roles that hold logarithms. Bits per byte
    are converted by nats/token = bits/byte * ln 2 / (tokens/byte). ``flops_convention`` is how compute is counted
    (``Cost.from_convention``); when None, as the file's own compute is a function of its sizes, or by 6ND. ``best``
    keeps the lowest loss of each sweep: of runs of one group with the same sizes within 1.5 %, ``last`` the final row
    of each run of a history by step. Runs below ``min_flops`` are left out; reasons in ``keep`` flag instead of drop;
    ``drop`` leaves out the rows with a flag, by its reason or by the column of the file that marks them,
    ``drop_rows``
    those with a number, as in ``"492-494"``. ``needed`` is what every run must have, of params, tokens, flops, loss.

    Raises UsageError for an option that is wrong or contradicts another, FileError when the file cannot be read, a
    column is missing or ambiguous, or no row is usable.
    """
    check_choices(
        loss_unit=loss_unit,
        tokens_per_byte=tokens_per_byte,
        flops_convention=flops_convention,
        min_flops=min_flops,
        keep=keep,
    )
    mapped = {**(mapping or {}), **({} if group is None else {"group": group})}
    reading: dict[str, Any] = {"mapping": mapped, "log10": log10, "loss_unit": loss_unit, "needed": needed}
    table, found = open_table(
        source,
        partial(recognise, **reading, carried=last),
        by_step=last or "params" not in needed,
        reduced=partial(final_rows, **reading) if last else None,
    )
    rows = rows_of(
        table,
        found,
        where=where,
        extra=extra,
        loss_unit=loss_unit,
        tokens_per_byte=tokens_per_byte,
        flops_convention=flops_convention,
        best=best,
        last=last,
        min_flops=min_flops,
        keep=keep,
        drop=drop,
        drop_rows=drop_rows,
        needed=needed,
    )
    return rows.cleaned()


def rows_of(
    table: RawTable,
    recognised: Recognised,
    *,
    where: Sequence[str] = (),
    extra: Sequence[str] = (),
    loss_unit: str = "nats",
    tokens_per_byte: Amount | None = None,
    flops_convention: str | None = None,
    best: bool = False,
    last: bool = False,
    min_flops: Amount | None = None,
    keep: Collection[str] = (),
    drop: Collection[str] = (),
    drop_rows: Collection[str] = (),
    needed: Collection[str] = (*_SIZES, "loss"),
    apart: Sequence[object] | None = None,
) -> RunRows:
    """Return the rows of a table whose columns have been ``recognised``, of a history the final ones.

    ``apart`` has a value for each row by which runs of one name are told apart. The other keywords are those of
    :func:`read_runs`.
    """
    bytes_ratio = None if tokens_per_byte is None else parse_positive(tokens_per_byte)
    least = None if min_flops is None else parse_flops(min_flops)
    columns, notes = recognised[0], [*recognised[1]]
    more = {name: read_mapping(name, table, role="extra") for name in extra}
    texts = {role: column.text for role, column in columns.items()}
    roles = (*_SIZES, "tokens_per_param", "loss", "unique_tokens", "weight")
    read = {role: columns[role].numbers(table) for role in roles if role in columns}
    among: Sequence[int] = table.rows if table.history is None else range(2, table.history.end + 1)
    not_last: dict[int, Finding] = {}
    places = np.arange(len(table.rows))
    if last or table.history is not None:  # what an earlier step has is no run, and judges none
        table, read, not_last, places = _final_steps(table, columns, read, apart)
        notes += [] if table.history is None else [_reduced(table.history, len(table.rows))]
    given = {role: numbers for role, (numbers, _) in read.items() if role in needed or not _too_small(role, numbers)}
    further = {name: column.numbers(table) for name, column in more.items()}
    _require_raw_units(given, columns=columns, source=table.source)
    missing, numbers = np.full(len(table.rows), np.nan), np.array(table.rows, dtype=np.intp)
    three = (given.get(role, missing) for role in _SIZES)
    own = own_count(*three, stated=flops_convention, rows=numbers)
    sizes, derived = _complete(given, count=len(table.rows), own=own)
    loss, unit = _converted(given.get("loss"), loss_unit, bytes_ratio)
    runs = Runs(
        name=table.source,
        sha256=table.sha256,
        params=sizes["params"],
        tokens=sizes["tokens"],
        flops=sizes["flops"],
        loss=np.full(len(table.rows), np.nan) if loss is None else loss,
        rows=numbers,
        loss_unit=unit,
        flops_convention=own.convention,
        weight=given.get("weight"),
        unique_tokens=given.get("unique_tokens"),
        extra={name: numbers for name, (numbers, _) in further.items()},
        group=_texts(columns.get("group"), table),
        labels=_texts(columns.get("name"), table),
        columns=texts,
    )
    compared = [role for role in _SIZES if role in needed]  # rows of other sizes are other runs, of a curve too
    states = columns["state"].cells(table) if "state" in columns else None
    return RunRows(
        table=table,
        runs=runs,
        places=places,
        not_last=not_last,
        needed=frozenset(needed),
        loss_unit=loss_unit,
        tokens_per_byte=bytes_ratio,
        unreadable={
            position: f"{role} is {quote(text)}, not a number"
            for role, (_, cells) in (*further.items(), *read.items())
            for position, text in cells.items()
        },
        size_columns=frozenset(
            {
                *(name for role in compared if (column := columns.get(role)) is not None for name in column.columns),
                *(name for role in compared for name in candidates(role, table.names)),
            }
        ),
        states=states,
        finishes=states is not None and any_finished(states),
        conditions=_conditions(where, table, runs, with_loss=loss is not None),
        left_out=rows_by_number(drop_rows, table, among=among),
        marked=marked_rows(table, drop),
        differing=own.jumps,
        min_flops=least,
        best=best,
        keep=tuple(keep),
        drop=frozenset(dropped_reasons(drop, table)),
        notes=tuple(notes),
        derived=tuple(derived),
        warnings=(*table.notices, *own.warnings, *_doubtful_unit(table, columns.get("loss"), loss_unit)),
    )


class RunRows(Record, eq=False):
    """All rows of a table, or some of them, with what its columns hold for each, before any is left out.

    ``runs`` has an entry for each row, NaN where a cell has no number, and ``places`` the position of each in the
    table that was given, of which ``not_last`` are the earlier steps by their positions there. Other mappings explain
    by position among these rows, and the other attributes are those of :func:`scaleplan.fitting.cleaning.clean`.
    ``elsewhere`` are ranges of the numbers of further rows of the file, which ``notes`` and ``warnings`` are about.
    """

    table: RawTable
    runs: Runs
    places: Index
    not_last: Mapping[int, Finding]
    needed: frozenset[str]
    loss_unit: str
    tokens_per_byte: float | None
    unreadable: Mapping[int, str]
    size_columns: frozenset[str]
    states: Sequence[Cell] | None
    finishes: bool
    conditions: Mapping[str, Mask]
    left_out: Mapping[int, str]
    marked: Mapping[int, str]
    differing: Mask
    min_flops: float | None
    best: bool
    keep: tuple[str, ...]
    drop: frozenset[str]
    notes: tuple[str, ...]
    derived: tuple[str, ...]
    warnings: tuple[Notice, ...]
    elsewhere: tuple[tuple[int, int], ...] = ()

    def part(
        self, positions: Index, *, not_last: Mapping[int, Finding], elsewhere: tuple[tuple[int, int], ...]
    ) -> RunRows:
        """Return the rows at some positions, with their earlier steps, as if a condition had left out the others."""
        places = positions.tolist()
        explained: dict[str, Any] = {
            name: {new: found[old] for new, old in enumerate(places) if old in found}
            for name in ("unreadable", "left_out", "marked")
            if (found := getattr(self, name))
        }
        return replace(
            self,
            table=replace(self.table.take(places), history=None),
            runs=self.runs.select(positions),
            places=self.places[positions],
            not_last=not_last,
            states=None if self.states is None else [self.states[i] for i in places],
            conditions={text: meets[positions] for text, meets in self.conditions.items()},
            differing=self.differing[positions],
            elsewhere=elsewhere,
            **explained,
        )

    def cleaned(self) -> Runs:
        """Return the runs that are left once all rows that no law should be fitted to are out.

        Raises FileError when no row is usable, UsageError where those of logs are in another unit.
        """
        table, needed = self.table, self.needed
        rows, remarks = clean(
            table,
            self.runs,
            needed=needed,
            unreadable=self.unreadable,
            size_columns=self.size_columns,
            states=self.states,
            finishes=self.finishes,
            conditions=self.conditions,
            left_out=self.left_out,
            marked=self.marked,
            differing=self.differing,
            min_flops=self.min_flops,
            best=self.best,
            keep=self.keep,
            drop=self.drop,
        )
        if not rows.alive.any():
            raise _nothing_left(table, _by_row(rows.dropped))
        dropped = _by_row([*rows.dropped, *self.not_last.values()])
        positions = np.flatnonzero(rows.alive)
        used = self.runs.select(rows.alive)
        size, told = _bytes_per_token(table, used, positions, self.tokens_per_byte)
        used = replace(used, bytes_per_token=size)
        left = set(used.rows.tolist())
        flagged = _by_row(finding for finding in rows.flagged if finding.row in left)
        notes, warnings = [*self.notes], self.warnings
        warnings += logged_doubts(table, positions, loss_unit=self.loss_unit if "loss" in needed else None)
        if needed >= {"params", "tokens", "loss"}:
            used, repeated, doubts = _repeats(table, used, positions, counted="unique_tokens" not in needed)
            notes += repeated
            warnings += (*_too_large(used, self.loss_unit), *doubts)
        notes += [*self.derived, *remarks, *told, *logged_names(table, [each.row for each in dropped])]
        return replace(
            used,
            dropped=dropped,
            flagged=flagged,
            notes=tuple(notes),
            warnings=warnings,
            elsewhere=self.elsewhere,
        )


def _repeats(
    table: RawTable, used: Runs, positions: Index, *, counted: bool
) -> tuple[Runs, list[str], tuple[Notice, ...]]:
    """Return the runs with which of them repeat one another, a note of it, and warnings of what sets them apart.

    Where repeated data is ``counted`` as new, that is one.
    """
    warnings = _repeated(used) if counted else ()
    notes = []
    codes = np.unique(used.group or ("",) * len(used), return_inverse=True)[1]
    if used.unique_tokens is not None:
        codes = cells_of(codes, used.unique_tokens)
    cells = cells_of(codes, used.params, used.tokens)
    alike = cells_of(codes, used.params, used.tokens, width=ROUNDING)
    if (different := len(np.unique(alike))) < len(used):
        used = replace(used, replicates=alike)
        notes.append(f"{len(used)} runs have {different} pairs of sizes; the others repeat them")
    warnings += unlike_runs(table, used, positions=positions, cells=cells)
    return used, notes, (*warnings, *ladder_doubts(table, used, positions))


def _final_steps(
    table: RawTable,
    columns: Mapping[str, ColumnMapping],
    read: Mapping[str, Column],
    apart: Sequence[object] | None,
) -> tuple[RawTable, dict[str, Column], dict[int, Finding], Index]:
    """Return the table of the final rows of its runs, what its columns hold there, and what became of the others.

    Of a table that was reduced before, the others are what recognising its columns and carrying sizes needed. What
    comes last are the positions of the final rows.
    """
    earlier = earlier_steps(table, columns, {role: numbers for role, (numbers, _) in read.items()}, apart=apart)
    kept = [position for position in range(len(table.rows)) if position not in earlier]
    place = {position: new for new, position in enumerate(kept)}
    final: dict[str, Column] = {
        role: (numbers[kept], {place[i]: text for i, text in texts.items() if i in place})
        for role, (numbers, texts) in read.items()
    }
    others = earlier if table.history is None else {}
    findings = {i: Finding(row=table.rows[i], reason="not_last", detail=detail) for i, detail in others.items()}
    return table.take(kept), final, findings, np.array(kept, dtype=np.intp)


def _reduced(history: History, runs: int) -> str:
    return f"{history.count:,} rows of steps hold {runs:,} runs, of which the final rows are read"


_MOST_EPOCHS = 4.5  # up to 4 epochs are nearly as good as new data (arXiv:2305.16264)
_UNIFORM = math.log(1e6)  # nats per token of a uniform guess over a vocabulary of four times the largest known
_LARGEST_TOKEN = 5.0  # bytes: tokenizers make 3.5 to 4.8 of a token of English, a word and its space have 5 to 6


def _doubtful_unit(table: RawTable, loss: ColumnMapping | None, loss_unit: str) -> tuple[Notice, ...]:
    """Return a warning for a perplexity that is per word by the bits per byte beside it."""
    beside = next((name for name in table.names if stated_unit(name) == "bpb"), None)
    if loss_unit != "ppl" or loss is None or beside is None:
        return ()
    with np.errstate(all="ignore"):
        size = np.log2(loss.numbers(table)[0]) / to_numbers(table.column(beside))[0]
    size = size[np.isfinite(size)]
    if not len(size) or np.median(size) <= _LARGEST_TOKEN:
        return ()
    message = (
        f"what {quote(loss.text)} is per has {format_number(float(np.median(size)))} bytes by {quote(beside)}, "
        "more than a token"
    )
    return (Notice(code="loss_unit", message=f"{message}; --loss-unit word_ppl reads a perplexity per word"),)


_SAME_TEXT = 0.02  # relative: of one text both losses have one ratio, to the digits in which tables have them


def _bytes_per_token(
    table: RawTable, runs: Runs, positions: Index, tokens_per_byte: float | None
) -> tuple[float | None, list[str]]:
    """Return the bytes of a token, given or by bits per byte beside a loss per token, with a note of the latter."""
    if runs.loss_unit != NATS:
        return None, []
    if tokens_per_byte is not None:
        return 1 / tokens_per_byte if tokens_per_byte <= 1 else None, []
    beside = next((name for name in table.names if stated_unit(name) == "bpb"), None)
    if beside is None or beside == runs.columns.get("loss"):
        return None, []
    with np.errstate(all="ignore"):
        ratios = runs.loss / (to_numbers(table.column(beside))[0][positions] * math.log(2))
    ratios = ratios[np.isfinite(ratios)]
    if not len(ratios) or not 1 <= np.min(ratios) <= np.max(ratios) <= (1 + _SAME_TEXT) * np.min(ratios):
        return None, []
    size = float(np.median(ratios))
    return size, [f"a token has {format_number(size)} bytes, by {quote(beside)}"]


def _too_large(runs: Runs, loss_unit: str) -> tuple[Notice, ...]:
    """Return a warning for losses that a uniform guess beats, which are perplexities or sums."""
    known = LOSS_UNITS[loss_unit]
    middle = float(np.median(runs.loss))
    if known.per != "token" or known.scale == "ppl" or middle <= _UNIFORM:
        return ()
    message = (
        f"losses in {quote(runs.columns['loss'])} are around {format_number(middle)} {runs.loss_unit}, and a uniform "
        "guess costs less"
    )
    return (Notice(code="loss_unit", message=f"{message}; --loss-unit ppl reads perplexities"),)


def _repeated(runs: Runs) -> tuple[Notice, ...]:
    """Return a warning for runs that repeat their data more than a law for fresh data can overlook."""
    if runs.unique_tokens is None:
        return ()
    with np.errstate(all="ignore"):
        epochs = runs.tokens / runs.unique_tokens
    many = (epochs > _MOST_EPOCHS) & np.isfinite(epochs)  # no unique tokens at all are a gap of the file
    if not many.any():
        return ()
    most = format_plain(float(np.max(epochs[many])), digits=3)
    message = (
        f"{int(many.sum())} of {len(runs)} runs repeat their data, up to {most} times, and "
        "this form counts repeats as new; --form data_constrained --base PRESET fits them"
    )
    return (Notice(code="data_repeated", message=message),)


def _texts(column: ColumnMapping | None, table: RawTable) -> tuple[str, ...] | None:
    return None if column is None else tuple(column.texts(table))


def _by_row(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.row))


def check_choices(
    *,
    loss_unit: str = "nats",
    tokens_per_byte: Amount | None = None,
    flops_convention: str | None = None,
    min_flops: Amount | None = None,
    keep: Collection[str] = (),
    **_: object,
) -> None:
    """Refuse, by a UsageError, choices of :func:`read_runs` that are wrong in any table."""
    if flops_convention is not None and Cost.from_convention(flops_convention) is None:
        raise UsageError(f"unknown compute convention {quote(flops_convention)}", hint="for example 6ND or MD")
    ratio = None if tokens_per_byte is None else parse_positive(tokens_per_byte)
    if loss_unit not in LOSS_UNITS:
        raise UnknownNameError("loss unit", loss_unit, LOSS_UNITS)
    if ratio is not None and LOSS_UNITS[loss_unit].per != "byte":
        raise UsageError(f"tokens per byte convert a loss per byte, and the loss unit is '{loss_unit}'")
    for reason in keep:
        if reason not in _KEEPABLE:
            raise UnknownNameError("reason to keep", reason, sorted(_KEEPABLE))
    if min_flops is not None:
        parse_flops(min_flops)


def _converted(loss: Array | None, unit: str, tokens_per_byte: float | None) -> tuple[Array | None, str]:
    """Return the loss and the unit in which it is kept: nats/token where the unit or tokens per byte give it."""
    known = LOSS_UNITS[unit]
    if tokens_per_byte is not None:  # of what is per byte
        factor = (math.log(2) if known.scale == "bits" else 1.0) / tokens_per_byte
        kept = LOSS_UNITS["nats"].kept
    else:
        factor, kept = known.factor, known.kept
    if loss is None:
        return None, kept
    if known.scale == "ppl":
        with np.errstate(divide="ignore", invalid="ignore"):
            loss = np.log(loss)
    return loss * factor, kept


def _complete(given: Mapping[str, Array], *, count: int, own: OwnCount) -> tuple[dict[str, Array], list[str]]:
    """Return params, tokens and flops of ``count`` rows, NaN where unknown, and how derived ones came about.

    Any two of the three and ``tokens_per_param`` give the others by the convention, C = k N^p D + c D, in floating
    point: products of 64-bit integers overflow at the sizes of today's runs. Compute that does not follow from the
    sizes is counted from them, so that all of it is in one unit.
    """
    missing = np.full(count, np.nan)
    params, tokens, flops, ratio = (given.get(role, missing) for role in (*_SIZES, "tokens_per_param"))
    cost = own.cost
    k, c, p = cost.per_param_token, cost.per_token, cost.exponent
    with np.errstate(all="ignore"):
        by_flops = ((flops / tokens - c) / k) ** (1 / p)
        by_both = cost.params_at_ratio(ratio, flops)
        full_params = _first(params, by_flops, tokens / ratio, by_both)
        full_tokens = _first(tokens, cost.tokens(full_params, flops), full_params * ratio)
        counted = cost.flops(full_params, full_tokens)
    full = {
        "params": full_params,
        "tokens": full_tokens,
        "flops": _first(np.where(own.counted, counted, flops), counted),
    }
    notes = [
        f"{role} derived from the other sizes (C = {own.convention}) for {derived} of {count} rows"
        for role, values in full.items()
        if (derived := int(np.sum(np.isnan(given.get(role, missing)) & np.isfinite(values))))
    ]
    return full, notes


_MOST = {"params": 1e13, "tokens": 1e15, "flops": 1e30}
"""A median above, by the unit in a heading, is a count that needs no unit: the largest known runs are 20 to 1,000
times smaller."""


def _too_small(role: str, values: Array) -> bool:
    """Whether the median of a size is below what any training run has; such a column that is not needed is left."""
    known = values[np.isfinite(values)]
    return role in _LEAST and len(known) > 0 and float(np.median(known)) < _LEAST[role]


def _require_raw_units(given: Mapping[str, Array], *, columns: Mapping[str, ColumnMapping], source: str) -> None:
    """Refuse sizes whose median no training run has: logarithms, billions, or counts below a heading in billions."""
    for role in _LEAST:
        values = given.get(role)
        if values is None or not np.isfinite(values).any():
            continue
        middle = float(np.median(values[np.isfinite(values)]))
        mapped = columns[role]
        column = escape_control(mapped.column or mapped.text)
        if mapped.heading != 1.0 and middle > _MOST[role]:
            raise FileError(
                f"{source}: {role} in {quote(column)} are around {format_plain(middle, digits=3)} by the "
                "unit in the heading",
                hint=f"--map '{role}={column}*1' reads counts, '{role}={column}*FACTOR' another unit",
            )
        if _too_small(role, values):
            unit = "8.64e19 (PF-days)" if role == "flops" else "1e9 (billions)"
            raise FileError(
                f"{source}: {role} in {quote(column)} are around {format_plain(middle, digits=3)}, too few to be "
                "a count",
                hint=f"--map '{role}=log10({column})' reads logarithms, '{role}={column}*FACTOR' units like {unit}",
            )


def _first(*values: Array) -> Array:
    """Return, row by row, the first value that is not NaN."""
    result = values[0]
    for other in values[1:]:
        result = np.where(np.isnan(result), other, result)
    return result


def _conditions(where: Sequence[str], table: RawTable, runs: Runs, *, with_loss: bool) -> dict[str, Mask]:
    """Return for each condition the rows that meet it; a column of the file wins over a role of its name."""
    with np.errstate(all="ignore"):
        ratio = runs.tokens / runs.params
    roles = {"params": runs.params, "tokens": runs.tokens, "flops": runs.flops, "tokens_per_param": ratio}
    if with_loss:
        roles["loss"] = runs.loss
    met = {}
    for text in where:
        condition = read_condition(text, columns=[*table.names, *roles])
        name = condition.column
        cells = table.column(name) if name in table.names else roles[name].tolist()
        met[text] = np.array(condition.meets(cells), dtype=bool)
    return met


def _nothing_left(table: RawTable, dropped: Sequence[Finding]) -> FileError:
    counts = Counter(finding.reason for finding in dropped)
    reasons = ", ".join(f"{count} {reason} ({REASONS[reason]})" for reason, count in counts.most_common(3))
    first = dropped[0]
    return FileError(
        f"{table.source}: none of {len(table.rows)} rows is a usable run: {reasons}",
        hint=f"row {first.row}, the first of them: {first.detail}",
    )
