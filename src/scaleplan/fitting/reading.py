"""From a file of training runs to checked arrays in raw units.

:func:`read_runs` recognises columns, reads numbers as they are written, converts the loss, derives the size that is
missing, and accounts for every row: it is in the arrays, or in ``dropped`` with a reason.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.cost import Cost
from scaleplan.errors import FileError, UnknownNameError, UsageError, escape_control, quote
from scaleplan.fitting.cleaning import REASONS, Measured, screen
from scaleplan.fitting.columns import LOSS_UNITS, candidates, read_binding, read_condition, recognise
from scaleplan.fitting.runs import Runs
from scaleplan.fitting.table import read_grid, to_text
from scaleplan.units import parse_flops, parse_positive

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from numpy import bool_, float64
    from numpy.typing import NDArray

    from scaleplan.fitting.cleaning import Finding
    from scaleplan.fitting.columns import ColumnMapping
    from scaleplan.fitting.table import RawTable

    Array = NDArray[float64]

__all__ = ["NEEDED", "RunSizes", "complete", "read_runs", "require_raw_units"]

_LEAST = {
    "params": 100.0,
    "tokens": 100.0,
    "flops": 1e6,
}  # a median below is a logarithm or a multiple of another unit


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSizes:
    """Parameters, tokens and FLOP of each row, NaN where unknown, and how the derived ones came about."""

    params: NDArray[float64]
    tokens: NDArray[float64]
    flops: NDArray[float64]
    notes: tuple[str, ...]


def complete(given: Mapping[str, NDArray[float64]], *, count: int, cost: Cost, convention: str) -> RunSizes:
    """Return all three sizes of ``count`` rows from those that are given, and ``tokens_per_param`` if it is."""
    missing = np.full(count, np.nan)
    params = given.get("params", missing)
    tokens = given.get("tokens", missing)
    flops = given.get("flops", missing)
    ratio = given.get("tokens_per_param", missing)
    k, c = cost.per_param_token, cost.per_token
    with np.errstate(all="ignore"):
        by_flops = (flops / tokens - c) / k
        by_both = (np.sqrt((c * ratio) ** 2 + 4 * k * ratio * flops) - c * ratio) / (
            2 * k * ratio
        )  # C = (kN + c) r N
        full_params = _first(params, by_flops, tokens / ratio, by_both)
        full_tokens = _first(tokens, cost.tokens(full_params, flops), full_params * ratio)
        counted = cost.flops(full_params, full_tokens)
    full_flops = _first(flops, counted)
    notes = [
        f"{role} derived from the other sizes (C = {convention}) for {derived} of {count} rows"
        for role, before, after in (
            ("params", params, full_params),
            ("tokens", tokens, full_tokens),
            ("flops", flops, full_flops),
        )
        if (derived := int(np.sum(np.isnan(before) & np.isfinite(after))))
    ]
    all_given = (params > 0) & (tokens > 0) & (flops > 0) & np.isfinite(flops) & np.isfinite(counted)
    if all_given.any():
        factor = flops[all_given] / counted[all_given]
        if np.abs(np.log(factor)).max() > 0.02:  # more than rounding to two or three digits explains
            notes.append(f"the given flops are {factor.min():.3g} to {factor.max():.3g} times {convention}")
    return RunSizes(params=full_params, tokens=full_tokens, flops=full_flops, notes=tuple(notes))


def require_raw_units(given: Mapping[str, NDArray[float64]], *, columns: Mapping[str, str], source: str) -> None:
    """Refuse sizes that cannot be counts: logarithms, billions, PF-days.

    Raises
    ------
    FileError
        When the median of a size is below what any training run has.

    """
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


def _first(*values: NDArray[float64]) -> NDArray[float64]:
    """Return, row by row, the first value that is not NaN."""
    result = values[0]
    for other in values[1:]:
        result = np.where(np.isnan(result), other, result)
    return result


NEEDED = ("params", "tokens", "flops", "loss")
"""What a fit of a loss surface needs of every run; a curve over one column needs less."""

_KEEPABLE = frozenset({"crashed", "duplicate", "diverged"})  # judgements; the other reasons leave nothing to fit

_SIZES = ("params", "tokens", "flops")


def read_runs(
    source: Path | str,
    *,
    mapping: Mapping[str, str] | None = None,
    where: Sequence[str] = (),
    group: str | None = None,
    extra: Sequence[str] = (),
    loss_unit: str = "nats",
    tokens_per_byte: float | None = None,
    log10: Collection[str] = (),
    flops_convention: str = "6ND",
    best: bool = False,
    min_flops: float | str | None = None,
    keep: Collection[str] = (),
    needed: Collection[str] = NEEDED,
) -> Runs:
    """Read training runs from a CSV, TSV, JSON or JSON Lines file, or from standard input (``-``).

    Parameters
    ----------
    source
        Path of the file; its format is recognised from the content.
    mapping
        Column of a role, for example ``{"loss": "eval/openlm/loss"}``; :mod:`scaleplan.fitting.columns` has the
        grammar, :data:`scaleplan.fitting.columns.ROLES` the roles. Roles that are not mapped are recognised by name.
    where
        Conditions that a row must meet, such as ``"lr <= 1e-3"`` (:mod:`scaleplan.fitting.columns`).
    group
        Column whose values separate runs with laws of their own.
    extra
        Further columns to read as numbers.
    loss_unit
        ``nats`` or ``bits`` per token, ``ppl`` (perplexity) or ``bpb`` (bits per byte) as written in the file.
    tokens_per_byte
        Converts bits per byte: nats/token = bits/byte * ln 2 / (tokens/byte).
    log10
        Columns, or roles, that hold logarithms to base 10.
    flops_convention
        How compute is counted where a size is derived, such as ``6ND`` (:meth:`scaleplan.cost.Cost.from_convention`).
    best
        Keep the lowest loss of each sweep: of runs of one group with the same sizes within 1.5 %.
    min_flops
        Leave out runs below this compute.
    keep
        Reasons that flag instead of drop: ``crashed``, ``duplicate``, ``diverged``.
    needed
        What every run must have, of params, tokens, flops and loss.

    Raises
    ------
    UsageError
        When an option is wrong or contradicts another.
    FileError
        When the file cannot be read, a column is missing or ambiguous, or no row is usable.

    """
    cost = Cost.from_convention(flops_convention)
    if cost is None:
        raise UsageError(f"unknown compute convention {quote(flops_convention)}", hint="for example 6ND or MD")
    _check_choices(loss_unit, tokens_per_byte, keep)
    least = None if min_flops is None else parse_flops(min_flops)
    grid = read_grid(source)
    mapping = dict(mapping or {})
    if group is not None:
        mapping["group"] = group
    bindings, notes = recognise(grid, mapping=mapping, log10=log10, loss_unit=loss_unit, needed=needed)
    roles = ("params", "tokens", "flops", "tokens_per_param", "loss", "unique_tokens", "weight")
    asked = {name: read_binding(name, grid, role="extra") for name in extra}
    read = {role: bindings[role].numbers(grid) for role in roles if role in bindings}
    further = {name: binding.numbers(grid) for name, binding in asked.items()}
    given = {role: numbers for role, (numbers, _) in read.items()}
    used = {role: bound.text for role, bound in bindings.items()}
    require_raw_units(given, columns=used, source=grid.source)
    sizes = complete(given, count=len(grid.rows), cost=cost, convention=flops_convention)
    loss, unit = _converted(given.get("loss"), loss_unit, tokens_per_byte)
    groups = [to_text(cell) for cell in bindings["group"].cells(grid)] if "group" in bindings else None
    measured = _measured(
        bindings, grid, sizes=sizes, loss=loss, groups=groups, read=read, further=further, needed=needed
    )
    sieve, remarks = screen(
        grid,
        measured,
        conditions=_conditions(where, grid, sizes, loss),
        min_flops=least,
        best=best,
        keep=keep,
    )
    dropped = tuple(sorted(sieve.dropped, key=lambda finding: finding.row))
    if not sieve.alive.any():
        raise _nothing_left(grid, dropped)
    left = {row for row, alive in zip(grid.rows, sieve.alive.tolist(), strict=True) if alive}
    flagged = (finding for finding in sieve.flagged if finding.row in left)
    runs = Runs(
        name=grid.source,
        sha256=grid.sha256,
        params=sizes.params,
        tokens=sizes.tokens,
        flops=sizes.flops,
        loss=np.full(len(grid.rows), np.nan) if loss is None else loss,
        rows=np.array(grid.rows, dtype=np.int64),
        loss_unit=unit,
        flops_convention=flops_convention,
        weight=given.get("weight"),
        unique_tokens=given.get("unique_tokens"),
        extra={name: numbers for name, (numbers, _) in further.items()},
        group=None if groups is None else tuple(groups),
        labels=tuple(map(to_text, bindings["name"].cells(grid))) if "name" in bindings else None,
        columns=used,
        dropped=dropped,
        flagged=tuple(sorted(flagged, key=lambda finding: finding.row)),
        notes=(*notes, *sizes.notes, *remarks),
    )
    return runs.select(sieve.alive)


def _check_choices(loss_unit: str, tokens_per_byte: float | None, keep: Collection[str]) -> None:
    if loss_unit not in LOSS_UNITS:
        raise UnknownNameError("loss unit", loss_unit, LOSS_UNITS)
    if tokens_per_byte is not None:
        parse_positive(tokens_per_byte)
        if loss_unit != "bpb":
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


def _measured(
    bindings: Mapping[str, ColumnMapping],
    grid: RawTable,
    *,
    sizes: RunSizes,
    loss: Array | None,
    groups: Sequence[str] | None,
    read: Mapping[str, tuple[Array, Mapping[int, str]]],
    further: Mapping[str, tuple[Array, Mapping[int, str]]],
    needed: Collection[str],
) -> Measured:
    unreadable = {
        position: f"{role} is {quote(text)}, not a number"
        for role, (_, cells) in (*further.items(), *read.items())
        for position, text in cells.items()
    }
    codes = {name: code for code, name in enumerate(dict.fromkeys(groups or ()))}
    return Measured(
        loss=loss if "loss" in needed else None,
        sizes={role: getattr(sizes, role) for role in _SIZES if role in needed},
        others={name: numbers for name, (numbers, _) in further.items()},
        weights={"weight": read["weight"][0]} if "weight" in read else {},
        distinct=read["unique_tokens"][0] if "unique_tokens" in read else None,
        unreadable=unreadable,
        size_columns={
            *(bound.column for role in _SIZES if (bound := bindings.get(role)) is not None and bound.column),
            *(candidate.name for role in _SIZES for candidate in candidates(role, grid.names)),
        },
        named="name" in bindings,
        states=bindings["state"].cells(grid) if "state" in bindings else None,
        codes=np.array([codes[name] for name in groups] if groups else [0] * len(grid.rows), dtype=np.int64),
    )


def _conditions(
    where: Sequence[str], grid: RawTable, sizes: RunSizes, loss: Array | None
) -> dict[str, NDArray[bool_]]:
    """Return for each condition the rows that meet it; a column of the file goes before a role of the same name."""
    roles = {role: getattr(sizes, role) for role in _SIZES}
    with np.errstate(all="ignore"):
        roles["tokens_per_param"] = sizes.tokens / sizes.params
    if loss is not None:
        roles["loss"] = loss
    met = {}
    for text in where:
        condition = read_condition(text, columns=[*grid.names, *roles])
        name = condition.column
        cells = grid.column(name) if name in grid.names else roles[name].tolist()
        met[text] = np.array(condition.meets(cells), dtype=bool)
    return met


def _nothing_left(grid: RawTable, dropped: Sequence[Finding]) -> FileError:
    counts = Counter(finding.reason for finding in dropped)
    said = ", ".join(f"{count} {reason} ({REASONS[reason]})" for reason, count in counts.most_common(3))
    first = dropped[0]
    return FileError(
        f"{grid.source}: none of {len(grid.rows)} rows is a usable run: {said}",
        hint=f"row {first.row}, the first of them: {first.detail}",
    )
