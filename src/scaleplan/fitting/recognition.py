"""Where a file keeps each role, and how that is explained.

The user's own mapping comes first, then the names that :mod:`scaleplan.fitting.columns` knows. A column without a
single value is no candidate, and columns with the same values are one. Every choice among several is a note; a
choice that would be a guess is an error.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import FileError, UnknownNameError, UsageError, inert, quote
from scaleplan.fitting.bindings import Binding, read_binding
from scaleplan.fitting.cells import to_text
from scaleplan.fitting.columns import LOSS_UNITS, ROLES, candidates, listed, loss_unit_of, words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy import bool_, float64
    from numpy.typing import NDArray

    from scaleplan.fitting.columns import Candidate
    from scaleplan.fitting.tables import Grid

__all__ = ["recognise"]

_EVALUATION = frozenset({"val", "valid", "validation", "eval", "evaluation", "test"})
_SIZE_IN_TEXT = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]+[-_=])\d+(?:\.\d+)?[kmbKMB](?![A-Za-z0-9])")


def recognise(
    grid: Grid, *, mapping: Mapping[str, str], log10: Collection[str], loss_unit: str, needed: Collection[str]
) -> tuple[dict[str, Binding], list[str]]:
    """Return the binding of each role that the file has, and notes on choices a reader may want to change.

    Raises
    ------
    UsageError
        For a role that does not exist, or a logarithm of a column that plays no role.
    FileError
        When several columns could play a role, or none plays one that is needed and cannot be derived.

    """
    for role in mapping:
        if role not in ROLES:
            raise UnknownNameError("role", role, ROLES)
    bindings = {role: read_binding(text, grid, role=role) for role, text in mapping.items()}
    notes: list[str] = []
    if "loss" not in bindings and "loss" in needed:
        _add(bindings, notes, "loss", found=_loss_candidates(grid, loss_unit), grid=grid, needed=True)
    with_loss = np.isfinite(bindings["loss"].numbers(grid)[0]) if "loss" in bindings else None
    for role in ("params", "tokens", "flops", "unique_tokens", "weight"):
        if role not in bindings:
            _add(
                bindings,
                notes,
                role,
                found=candidates(role, grid.names),
                grid=grid,
                needed=role in needed,
                with_loss=with_loss,
            )
    for role in ("name", "state"):
        found = candidates(role, grid.names)
        if role not in bindings and found:
            bindings[role] = Binding(text=found[0].name, column=found[0].name)
    _apply_log10(bindings, log10, grid)
    if "group" not in bindings:
        notes += [
            f"column {quote(name)} may separate groups: --group {quote(name)}"
            for name in grid.names
            if words(name) == "group"
        ]
    _require(bindings, needed, grid, loss_unit)
    return bindings, notes


def _loss_candidates(grid: Grid, loss_unit: str) -> list[Candidate]:
    found = candidates("loss", grid.names, loss_unit=loss_unit)
    return found or (candidates("loss", grid.names) if loss_unit != "nats" else [])


def _add(
    bindings: dict[str, Binding],
    notes: list[str],
    role: str,
    *,
    found: Sequence[Candidate],
    grid: Grid,
    needed: bool,
    with_loss: NDArray[bool_] | None = None,
) -> None:
    """Bind a role to the best of its candidates that has values in rows with a loss."""
    distinct: list[tuple[Candidate, Binding]] = []
    seen: list[NDArray[float64]] = []
    for candidate in found:
        binding = Binding(text=candidate.name, column=candidate.name)
        numbers = binding.numbers(grid)[0]
        if with_loss is not None:
            numbers = np.where(with_loss, numbers, np.nan)
        if np.isfinite(numbers).any() and not any(np.array_equal(numbers, other, equal_nan=True) for other in seen):
            distinct.append((candidate, binding))
            seen.append(numbers)
    if not distinct:
        return
    best = [candidate.name for candidate, _ in distinct if candidate.rank == distinct[0][0].rank]
    if len(best) > 1 and not needed:
        notes.append(f"{len(best)} columns could be {role}, and none is needed: {listed(best)}")
        return
    if len(best) > 1:
        likely = next((name for name in best if _EVALUATION & set(words(name).split())), best[0])
        hint = f"choose with --map '{role}={inert(likely)}'"
        raise FileError(f"{grid.source}: {len(best)} columns could be the {ROLES[role]}: {listed(best)}", hint=hint)
    bindings[role] = distinct[0][1]
    others = [candidate.name for candidate, _ in distinct[1:]]
    if others:
        notes.append(f"{role} is column {quote(best[0])}; --map {role}=… chooses {listed(others)} instead")


def _apply_log10(bindings: dict[str, Binding], log10: Collection[str], grid: Grid) -> None:
    for name in log10:
        column = name if name in grid.names else None
        roles = [role for role, bound in bindings.items() if (bound.column == column if column else role == name)]
        if not roles:
            if column is None:
                raise UnknownNameError("column", name, grid.names)
            raise UsageError(
                f"--log10 {quote(name)}: that column plays no role", hint="--map 'tokens=log10(COLUMN)' gives it one"
            )
        for role in roles:
            old = bindings[role]
            bindings[role] = Binding(text=f"log10({old.text})", column=old.column, pattern=old.pattern, log10=True)


def _require(bindings: Mapping[str, Binding], needed: Collection[str], grid: Grid, loss_unit: str) -> None:
    if "loss" in needed and "loss" not in bindings:
        raise _no_loss(grid, loss_unit)
    have = {role for role in ("params", "tokens", "flops", "tokens_per_param") if role in bindings}
    lacking = [role for role in ("params", "tokens", "flops") if role in needed and role not in have]
    if not lacking or len(have) >= 2:  # any two give the third
        return
    role = next((role for role in ("params", "tokens") if role not in have), lacking[0])
    said = f"{grid.source}: no column for the {ROLES[role]}"
    pattern = _text_with_sizes(grid) if role == "params" else None
    if pattern is not None:
        column, prefix = pattern
        raise FileError(
            f"{said}; the size seems to be inside the text of column {quote(column)} ('{prefix}…')",
            hint=f"--map 'params={inert(column)}~{prefix}([\\d.]+[kmbKMB])' takes it from there",
        )
    needs = "two of params, tokens and flops are needed, the third follows"
    raise FileError(said, hint=f"{needs}: --map {role}=COLUMN; columns: {listed(grid.names)}")


def _no_loss(grid: Grid, loss_unit: str) -> FileError:
    for name in grid.names:
        unit = loss_unit_of(name)
        if unit is not None and unit != loss_unit:
            said = f"no column for the loss in {loss_unit}, {quote(name)} is in {unit}"
            hint = f"--loss-unit {unit} ({LOSS_UNITS[unit]}) reads it, --map loss=COLUMN names another"
            return FileError(f"{grid.source}: {said}", hint=hint)
    hint = f"choose with --map loss=COLUMN; columns: {listed(grid.names)}"
    return FileError(f"{grid.source}: no column with values for the final loss", hint=hint)


def _text_with_sizes(grid: Grid) -> tuple[str, str] | None:
    """Return a text column and the word before the size that most of its cells share: ('Name', 'model-')."""
    for name in grid.names:
        cells = [to_text(cell) for cell in grid.column(name)]
        prefixes = Counter(prefix for cell in cells for prefix in set(_SIZE_IN_TEXT.findall(cell)))
        if prefixes:
            prefix, count = prefixes.most_common(1)[0]
            if 2 * count > len(cells):
                return name, prefix
    return None
