"""From a file as people have it to checked arrays in raw units.

:func:`read_runs` recognises columns, reads numbers as they are written, converts the loss, derives the size that is
missing, and accounts for every row: it is in the arrays, or in ``dropped`` with a reason.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.cost import Cost
from scaleplan.errors import FileError, UnknownNameError, UsageError, quote
from scaleplan.fitting.bindings import read_binding
from scaleplan.fitting.cells import to_text
from scaleplan.fitting.columns import LOSS_UNITS, candidates
from scaleplan.fitting.filters import read_condition
from scaleplan.fitting.quality import REASONS
from scaleplan.fitting.recognition import recognise
from scaleplan.fitting.runs import Runs
from scaleplan.fitting.screening import Measured, screen
from scaleplan.fitting.sizes import Sizes, complete, require_raw_units
from scaleplan.fitting.tables import read_grid
from scaleplan.quantities import parse_flops, parse_positive

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from numpy import bool_, float64
    from numpy.typing import NDArray

    from scaleplan.fitting.bindings import Binding
    from scaleplan.fitting.quality import Finding
    from scaleplan.fitting.tables import Grid

    Array = NDArray[float64]

__all__ = ["NEEDED", "read_runs"]

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
        Column of a role, for example ``{"loss": "eval/openlm/loss"}``; :mod:`scaleplan.fitting.bindings` has the
        grammar, :data:`scaleplan.fitting.columns.ROLES` the roles. Roles that are not mapped are recognised by name.
    where
        Conditions that a row must meet, such as ``"lr <= 1e-3"`` (:mod:`scaleplan.fitting.filters`).
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
    bindings: Mapping[str, Binding],
    grid: Grid,
    *,
    sizes: Sizes,
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


def _conditions(where: Sequence[str], grid: Grid, sizes: Sizes, loss: Array | None) -> dict[str, NDArray[bool_]]:
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


def _nothing_left(grid: Grid, dropped: Sequence[Finding]) -> FileError:
    counts = Counter(finding.reason for finding in dropped)
    said = ", ".join(f"{count} {reason} ({REASONS[reason]})" for reason, count in counts.most_common(3))
    first = dropped[0]
    return FileError(
        f"{grid.source}: none of {len(grid.rows)} rows is a usable run: {said}",
        hint=f"row {first.row}, the first of them: {first.detail}",
    )
