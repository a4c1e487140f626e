"""Read a file of training runs into checked arrays in raw units.

:func:`read_runs` recognises columns, reads numbers as they are written, converts the loss, derives the size that is
missing, and accounts for every row: it is in the arrays, or in ``dropped`` with a reason.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import FileError, UnknownNameError, UsageError, escape_control, quote
from scaleplan.fitting.cleaning import clean, read_condition
from scaleplan.fitting.columns import LOSS_UNITS, candidates, read_mapping, recognise
from scaleplan.fitting.runs import REASONS, Runs
from scaleplan.fitting.table import read_table, to_text
from scaleplan.laws.base import Cost
from scaleplan.units import parse_flops, parse_positive

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from scaleplan.arrays import Array, Mask
    from scaleplan.fitting.columns import ColumnMapping
    from scaleplan.fitting.runs import Finding
    from scaleplan.fitting.table import RawTable
    from scaleplan.units import Amount

__all__ = ["read_runs"]

_LEAST = {"params": 100.0, "tokens": 100.0, "flops": 1e6}
"""A median below is a logarithm or a multiple of another unit."""

_SIZES = ("params", "tokens", "flops")

_KEEPABLE = frozenset({"crashed", "duplicate", "diverged"})  # judgements; the other reasons leave nothing to fit


def read_runs(
    source: Path | str,
    *,
    mapping: Mapping[str, str] | None = None,
    where: Sequence[str] = (),
    group: str | None = None,
    extra: Sequence[str] = (),
    loss_unit: str = "nats",
    tokens_per_byte: Amount | None = None,
    log10: Collection[str] = (),
    flops_convention: str = "6ND",
    best: bool = False,
    min_flops: Amount | None = None,
    keep: Collection[str] = (),
    needed: Collection[str] = (*_SIZES, "loss"),
) -> Runs:
    """Read training runs from a CSV, TSV, JSON or JSON Lines file, or from standard input (``-``).

    ``mapping`` gives the column of a role, such as ``{"loss": "eval/openlm/loss"}``, in the grammar of
    :mod:`scaleplan.fitting.columns`; other roles are recognised by name. A row must meet every condition of
    ``where``, such as ``"lr <= 1e-3"``. ``group`` is the column whose values separate runs with laws of their own,
    ``extra`` are further columns to read as numbers, ``log10`` columns or roles that hold logarithms. Bits per byte
    are converted by nats/token = bits/byte * ln 2 / (tokens/byte). ``flops_convention`` is how compute is counted
    where a size is derived (``Cost.from_convention``). ``best`` keeps the lowest loss of each
    sweep: of runs of one group with the same sizes within 1.5 %. Runs below ``min_flops`` are left out; reasons in
    ``keep`` flag instead of drop. ``needed`` is what every run must have, of params, tokens, flops and loss.

    Raises UsageError for an option that is wrong or contradicts another, FileError when the file cannot be read, a
    column is missing or ambiguous, or no row is usable.
    """
    cost = Cost.from_convention(flops_convention)
    if cost is None:
        raise UsageError(f"unknown compute convention {quote(flops_convention)}", hint="for example 6ND or MD")
    bytes_ratio = None if tokens_per_byte is None else parse_positive(tokens_per_byte)
    _check_choices(loss_unit, bytes_ratio, keep)
    least = None if min_flops is None else parse_flops(min_flops)
    table = read_table(source)
    mapped = {**(mapping or {}), **({} if group is None else {"group": group})}
    columns, notes = recognise(table, mapping=mapped, log10=log10, loss_unit=loss_unit, needed=needed)
    more = {name: read_mapping(name, table, role="extra") for name in extra}
    texts = {role: column.text for role, column in columns.items()}
    roles = (*_SIZES, "tokens_per_param", "loss", "unique_tokens", "weight")
    read = {role: columns[role].numbers(table) for role in roles if role in columns}
    given = {role: numbers for role, (numbers, _) in read.items()}
    further = {name: column.numbers(table) for name, column in more.items()}
    _require_raw_units(given, columns=texts, source=table.source)
    sizes, derived = _complete(given, count=len(table.rows), cost=cost, convention=flops_convention)
    loss, unit = _converted(given.get("loss"), loss_unit, bytes_ratio)
    runs = Runs(
        name=table.source,
        sha256=table.sha256,
        params=sizes["params"],
        tokens=sizes["tokens"],
        flops=sizes["flops"],
        loss=np.full(len(table.rows), np.nan) if loss is None else loss,
        rows=np.array(table.rows, dtype=np.intp),
        loss_unit=unit,
        flops_convention=flops_convention,
        weight=given.get("weight"),
        unique_tokens=given.get("unique_tokens"),
        extra={name: numbers for name, (numbers, _) in further.items()},
        group=_texts(columns.get("group"), table),
        labels=_texts(columns.get("name"), table),
        columns=texts,
    )
    rows, remarks = clean(
        table,
        runs,
        needed=needed,
        unreadable={
            position: f"{role} is {quote(text)}, not a number"
            for role, (_, cells) in (*further.items(), *read.items())
            for position, text in cells.items()
        },
        size_columns={
            *(column.column for role in _SIZES if (column := columns.get(role)) is not None and column.column),
            *(name for role in _SIZES for name in candidates(role, table.names)),
        },
        states=columns["state"].cells(table) if "state" in columns else None,
        conditions=_conditions(where, table, runs, with_loss=loss is not None),
        min_flops=least,
        best=best,
        keep=keep,
    )
    dropped = _by_row(rows.dropped)
    if not rows.alive.any():
        raise _nothing_left(table, dropped)
    used = runs.select(rows.alive)
    left = set(used.rows.tolist())
    flagged = _by_row(finding for finding in rows.flagged if finding.row in left)
    return replace(used, dropped=dropped, flagged=flagged, notes=(*notes, *derived, *remarks))


def _texts(column: ColumnMapping | None, table: RawTable) -> tuple[str, ...] | None:
    return None if column is None else tuple(to_text(cell) for cell in column.cells(table))


def _by_row(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.row))


def _check_choices(loss_unit: str, tokens_per_byte: float | None, keep: Collection[str]) -> None:
    if loss_unit not in LOSS_UNITS:
        raise UnknownNameError("loss unit", loss_unit, LOSS_UNITS)
    if tokens_per_byte is not None and loss_unit != "bpb":
        raise UsageError(f"tokens per byte convert bits per byte, and the loss unit is '{loss_unit}'")
    for reason in keep:
        if reason not in _KEEPABLE:
            raise UnknownNameError("reason to keep", reason, sorted(_KEEPABLE))


def _converted(loss: Array | None, unit: str, tokens_per_byte: float | None) -> tuple[Array | None, str]:
    """Return the loss in nats/token, or in bits/byte when that cannot be converted."""
    if unit == "bpb" and tokens_per_byte is None:
        return loss, LOSS_UNITS["bpb"]
    if loss is None or unit == "nats":
        return loss, LOSS_UNITS["nats"]
    if unit == "ppl":
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(loss), LOSS_UNITS["nats"]
    return loss * (math.log(2) / (tokens_per_byte or 1.0)), LOSS_UNITS["nats"]


def _complete(
    given: Mapping[str, Array], *, count: int, cost: Cost, convention: str
) -> tuple[dict[str, Array], list[str]]:
    """Return params, tokens and flops of ``count`` rows, NaN where unknown, and how derived ones came about.

    Any two of the three and ``tokens_per_param`` give the others by the convention, C = k N D + c D, in floating
    point: products of 64-bit integers overflow at the sizes of today's runs.
    """
    missing = np.full(count, np.nan)
    params, tokens, flops, ratio = (given.get(role, missing) for role in (*_SIZES, "tokens_per_param"))
    k, c = cost.per_param_token, cost.per_token
    with np.errstate(all="ignore"):
        by_flops = (flops / tokens - c) / k
        by_both = (np.sqrt((c * ratio) ** 2 + 4 * k * ratio * flops) - c * ratio) / (
            2 * k * ratio
        )  # C = (kN + c) r N
        full_params = _first(params, by_flops, tokens / ratio, by_both)
        full_tokens = _first(tokens, cost.tokens(full_params, flops), full_params * ratio)
        counted = cost.flops(full_params, full_tokens)
    full = {"params": full_params, "tokens": full_tokens, "flops": _first(flops, counted)}
    notes = [
        f"{role} derived from the other sizes (C = {convention}) for {derived} of {count} rows"
        for role, values in full.items()
        if (derived := int(np.sum(np.isnan(given.get(role, missing)) & np.isfinite(values))))
    ]
    all_given = (params > 0) & (tokens > 0) & (flops > 0) & np.isfinite(flops) & np.isfinite(counted)
    if all_given.any():
        factor = flops[all_given] / counted[all_given]
        if np.abs(np.log(factor)).max() > 0.02:  # more than rounding to two or three digits explains
            notes.append(f"the given flops are {factor.min():.3g} to {factor.max():.3g} times {convention}")
    return full, notes


def _require_raw_units(given: Mapping[str, Array], *, columns: Mapping[str, str], source: str) -> None:
    """Refuse sizes whose median is below what any training run has: logarithms, billions, PF-days."""
    for role, least in _LEAST.items():
        values = given.get(role)
        if values is None or not np.isfinite(values).any():
            continue
        middle = float(np.median(values[np.isfinite(values)]))
        if middle < least:
            column = escape_control(columns[role])
            unit = "8.64e19 (PF-days)" if role == "flops" else "1e9 (billions)"
            raise FileError(
                f"{source}: {role} in {quote(column)} are around {middle:.3g}, too few to be a count",
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
