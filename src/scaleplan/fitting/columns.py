r"""Recognise the columns of a table of runs: parameters, tokens, compute, loss and further roles.

The user's own mapping comes first. Otherwise recognition is a table of names, tried in order, and nothing else, so
that a choice can be explained: a column with the role's own name (``params`` or ``N``) wins over a usual name
(``n_params``), that over a name of a particular count (``non_emb_params``). A column without a single value is no
candidate, and columns with the same values are one. Every choice among several is a note; a choice that would be a
guess is an error.

A mapping is one of::

    COLUMN              the cells of a column, as they are
    log10(COLUMN)       the cells are logarithms to base 10
    COLUMN*1e9          the cells are in billions
    COLUMN~REGEX        what the group of a regular expression finds inside the text: Name~model-(\d+m)
    20, 7B              no column at all: the same number for every run

A column whose name is exactly the text always wins, so that any name can be written.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import FileError, UnknownNameError, UsageError, escape_control, quote
from scaleplan.fitting.table import to_number, to_numbers, to_text
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from scaleplan.arrays import Array, Mask
    from scaleplan.fitting.table import Cell, RawTable

__all__ = ["LOSS_UNITS", "ColumnMapping", "candidates", "normalised", "read_mapping", "recognise"]

ROLES: dict[str, str] = {
    "params": "parameters",
    "tokens": "training tokens",
    "flops": "training compute in FLOP",
    "loss": "final loss",
    "tokens_per_param": "tokens per parameter",
    "unique_tokens": "distinct tokens available",
    "weight": "weight in the fit",
    "group": "group of runs with a law of its own",
    "name": "name of the run",
    "state": "state of the run",
}
"""What a column can stand for, and what it means."""

LOSS_UNITS: dict[str, str] = {
    "nats": "nats/token",
    "bits": "bits/token",
    "ppl": "perplexity: exp of nats/token",
    "bpb": "bits/byte",
}
"""The units in which a loss column can be written."""

_NAMES = {
    "params": (
        "params, n",
        (
            "n params, num params, nparams, parameters, n parameters, num parameters, model params, "
            "param count, params count, parameter count, model size, size, model parameters"
        ),
        (
            "total params, params total, n total, n params total, total parameters, n all, non emb params, "
            "non embedding params, params non emb, params non embedding, nonemb params, params no emb, "
            "params no embed, n non emb, n non embedding, non embedding parameters, n params non embedding, "
            "n nonemb, active params, n active, params active"
        ),
    ),
    "tokens": (
        "tokens, d",
        (
            "d tokens, train tokens, training tokens, n tokens, num tokens, num token, tokens seen, "
            "total tokens, tokens total, token count, tokens trained, n train tokens, seen tokens, "
            "total train tokens, num train tokens, tokens processed, n training tokens"
        ),
    ),
    "flops": (
        "flops, flop, c",
        (
            "c flops, compute, train flops, training flop, training flops, total flops, train flop, "
            "flops total, n flops, compute budget, training compute, train compute, flops budget, c compute, "
            "total compute, total training flops, total train flops"
        ),
    ),
    "tokens_per_param": (),  # never by name: it only stands in for parameters or tokens on request
    "unique_tokens": ("unique tokens, n unique tokens, num unique tokens, unique d, d unique",),
    "weight": ("weight, weights, fit weight",),
    "group": (),  # never by name: grouping changes what is fitted
    "name": ("name, run, run name, run id, id, key",),
    "state": ("state, status, run state",),
}
"""The names of each role, best first: its own, usual ones, those of a particular count."""

_KNOWN = {role: tuple(frozenset(names.split(", ")) for names in tiers) for role, tiers in _NAMES.items()}

_LOSS_NAMES = {
    "nats": {"loss", "l", "final loss", "nll"},
    "bits": {"bits per token", "bpt", "loss bits"},
    "ppl": {"ppl", "perplexity"},
    "bpb": {"bpb", "bits per byte", "loss bpb"},
}

_LOSS_WORDS = {
    "nats": {"loss", "nll"},
    "bits": {"bpt", "bits"},
    "ppl": {"ppl", "perplexity"},
    "bpb": {"bpb"},
}

_NOT_A_LOSS = frozenset(
    {
        *("aux", "auxiliary", "balance", "balancing", "router", "z", "scale", "scaler", "weight", "coef"),
        *("std", "stderr", "sem", "kl", "count", "step", "steps"),
    }
)

_CAMEL, _NOT_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])"), re.compile(r"[^a-z0-9]+")
_BRACKETS = re.compile(r"[\[(][^\])]*[\])]")


def normalised(name: str) -> str:
    """Return a column name in lower case with single spaces: ``trainTokens`` and ``train_tokens`` are one name."""
    return _NOT_WORD.sub(" ", _CAMEL.sub(" ", name.rpartition("#")[0] or name).lower()).strip()


def candidates(role: str, names: Sequence[str], *, loss_unit: str = "nats") -> dict[str, int]:
    """Return the columns with a name for ``role`` and their rank, best first, else in file order."""
    ranks = {name: _loss_rank(loss_unit, name) if role == "loss" else _rank(role, name) for name in names}
    known = {name: rank for name, rank in ranks.items() if rank is not None}
    return dict(sorted(known.items(), key=lambda item: item[1]))


def _loss_unit(name: str) -> str | None:
    """Return the unit other than nats that a column name contains, or None."""
    parts = set(normalised(name).split())
    for unit in ("ppl", "bpb", "bits"):
        if parts & _LOSS_WORDS[unit] or normalised(name) in _LOSS_NAMES[unit]:
            return unit
    return None


def _listed(names: Sequence[str], *, most: int = 12) -> str:
    """Return column names for a message, shortened when there are many."""
    shown = ", ".join(f"'{escape_control(name)[:60]}'" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _rank(role: str, name: str) -> int | None:
    for tier, known in enumerate(_KNOWN[role]):
        for part, form in enumerate(_forms(name)):
            if form in known:
                return max(tier, min(part, 1))
    return None


def _loss_rank(unit: str, name: str) -> int | None:
    full = normalised(name)
    if full in _LOSS_NAMES[unit]:
        return 0
    parts = set(full.split())
    if parts & _NOT_A_LOSS or (unit == "nats" and _loss_unit(name) is not None):
        return None
    return 1 if parts & _LOSS_WORDS[unit] else None


def _forms(name: str) -> Iterator[str]:
    """Yield the name, then the name without brackets, then the ends of its path: a.b.c, b.c, c."""
    yield normalised(name)
    yield normalised(_BRACKETS.sub(" ", name))
    parts = re.split(r"[./]", name)
    for start in range(1, len(parts)):
        yield normalised(".".join(parts[start:]))


_LOG10 = re.compile(r"log10\((?P<inner>.*)\)")


class ColumnMapping(Record):
    """The source of the values of one role; ``text`` is the user's way to write it."""

    text: str
    column: str | None = None
    pattern: re.Pattern[str] | None = None
    log10: bool = False
    scale: float = 1.0
    constant: float | None = None

    def cells(self, table: RawTable) -> list[Cell]:
        """Return the cells, with the text that the pattern finds where there is a pattern."""
        if self.column is None:
            return [self.constant] * len(table.rows)
        cells = table.column(self.column)
        if self.pattern is None:
            return cells
        matches = [self.pattern.search(to_text(cell)) for cell in cells]
        return [match[1] if match is not None else None for match in matches]

    def numbers(self, table: RawTable) -> tuple[Array, Mapping[int, str]]:
        """Return one number a row, NaN where there is none, and the text of the cells that cannot be read."""
        numbers, unreadable = to_numbers(self.cells(table))
        with np.errstate(over="ignore"):
            return (10.0**numbers if self.log10 else numbers) * self.scale, unreadable


def read_mapping(text: str, table: RawTable, *, role: str) -> ColumnMapping:
    """Read the user's mapping of a role.

    Raises UnknownNameError for a text that is no column of the file and no number, UsageError for a regular
    expression that is invalid or has no group.
    """
    if text in table.names:
        return ColumnMapping(text=text, column=text)
    if match := _LOG10.fullmatch(text.strip()):
        return ColumnMapping(text=text, column=_column(match["inner"], table), log10=True)
    column, tilde, pattern = text.partition("~")
    if tilde:
        return ColumnMapping(text=text, column=_column(column, table), pattern=_pattern(pattern, role))
    column, star, factor = text.rpartition("*")
    if star:
        return ColumnMapping(text=text, column=_column(column, table), scale=_positive(factor, role))
    try:
        return ColumnMapping(text=text, constant=_positive(text, role))
    except UsageError:
        return ColumnMapping(text=text, column=_column(text, table))


def _column(text: str, table: RawTable) -> str:
    name = text.strip()
    if name in table.names:
        return name
    folded = [known for known in table.names if known.casefold() == name.casefold()]
    if len(folded) == 1:
        return folded[0]
    repeated = [known for known in table.names if known.rpartition("#")[0] == name]
    if repeated:
        hint = f"name one of {_listed(repeated)}"
        raise UsageError(f"{table.source} has {len(repeated)} columns called {quote(name)}", hint=hint)
    raise UnknownNameError("column", name, table.names)


def _pattern(text: str, role: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"regular expression {quote(text)} for {role}: {error}") from None
    if pattern.groups < 1:
        hint = "put brackets around the number: model-(\\d+m)"
        raise UsageError(f"regular expression {quote(text)} for {role} has no group", hint=hint)
    return pattern


def _positive(text: str, role: str) -> float:
    try:
        number = to_number(text)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise UsageError(f"{quote(text)} for {role} is not a positive number")
    return number


_EVALUATION = frozenset({"val", "valid", "validation", "eval", "evaluation", "test"})

_SIZE_IN_TEXT = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]+[-_=])\d+(?:\.\d+)?[kmbKMB](?![A-Za-z0-9])")


def recognise(
    table: RawTable, *, mapping: Mapping[str, str], log10: Collection[str], loss_unit: str, needed: Collection[str]
) -> tuple[dict[str, ColumnMapping], list[str]]:
    """Return the mapping of each role that the file has, and notes on choices a reader may want to change.

    Raises UsageError for a role that does not exist or a logarithm of a column that plays no role, FileError when
    several columns could play a role or none plays one that is needed and cannot be derived.
    """
    for role in mapping:
        if role not in ROLES:
            raise UnknownNameError("role", role, ROLES)
    columns = {role: read_mapping(text, table, role=role) for role, text in mapping.items()}
    notes: list[str] = []
    for role in ("loss", "params", "tokens", "flops", "unique_tokens", "weight"):
        if role in columns or (role == "loss" and "loss" not in needed):
            continue
        found = candidates(role, table.names, loss_unit=loss_unit) or candidates(role, table.names)
        used = np.isfinite(columns["loss"].numbers(table)[0]) if "loss" in columns else None
        name, note = _choose(role, found, table, needed=role in needed, used=used)
        if name is not None:
            columns[role] = ColumnMapping(text=name, column=name)
        notes += [note] if note else []
    for role in ("name", "state"):
        for name in candidates(role, table.names):
            columns.setdefault(role, ColumnMapping(text=name, column=name))
    _apply_log10(columns, log10, table)
    if "group" not in columns:
        notes += [
            f"column {quote(name)} may separate groups: --group {quote(name)}"
            for name in table.names
            if normalised(name) == "group"
        ]
    _require(columns, needed, table, loss_unit)
    return columns, notes


def _choose(
    role: str, found: Mapping[str, int], table: RawTable, *, needed: bool, used: Mask | None
) -> tuple[str | None, str | None]:
    """Return the best of the columns found that has values in the ``used`` rows, if any, and a note on the choice."""
    distinct: dict[str, Array] = {}
    for name in found:
        numbers = to_numbers(table.column(name))[0]
        if used is not None:
            numbers = np.where(used, numbers, np.nan)
        repeated = any(np.array_equal(numbers, other, equal_nan=True) for other in distinct.values())
        if np.isfinite(numbers).any() and not repeated:
            distinct[name] = numbers
    if not distinct:
        return None, None
    first, *others = distinct
    best = [name for name in distinct if found[name] == found[first]]
    if len(best) > 1 and not needed:
        return None, f"{len(best)} columns could be {role}, and none is needed: {_listed(best)}"
    if len(best) > 1:
        likely = next((name for name in best if _EVALUATION & set(normalised(name).split())), first)
        hint = f"choose with --map '{role}={escape_control(likely)}'"
        raise FileError(f"{table.source}: {len(best)} columns could be the {ROLES[role]}: {_listed(best)}", hint=hint)
    note = f"{role} is column {quote(first)}; --map {role}=… chooses {_listed(others)} instead" if others else None
    return first, note


def _apply_log10(columns: dict[str, ColumnMapping], log10: Collection[str], table: RawTable) -> None:
    for name in log10:
        column = name if name in table.names else None
        roles = [role for role, mapped in columns.items() if (mapped.column == column if column else role == name)]
        if not roles:
            if column is None:
                raise UnknownNameError("column", name, table.names)
            raise UsageError(
                f"--log10 {quote(name)}: that column plays no role", hint="--map 'tokens=log10(COLUMN)' gives it one"
            )
        for role in roles:
            columns[role] = replace(columns[role], text=f"log10({columns[role].text})", log10=True, scale=1.0)


def _require(columns: Mapping[str, ColumnMapping], needed: Collection[str], table: RawTable, loss_unit: str) -> None:
    if "loss" in needed and "loss" not in columns:
        raise _no_loss(table, loss_unit)
    have = {role for role in ("params", "tokens", "flops", "tokens_per_param") if role in columns}
    lacking = [role for role in ("params", "tokens", "flops") if role in needed and role not in have]
    if not lacking or len(have) >= 2:  # any two give the third
        return
    role = next((role for role in ("params", "tokens") if role not in have), lacking[0])
    problem = f"{table.source}: no column for the {ROLES[role]}"
    pattern = _text_with_sizes(table) if role == "params" else None
    if pattern is not None:
        column, prefix = pattern
        raise FileError(
            f"{problem}; the size seems to be inside the text of column {quote(column)} ('{prefix}…')",
            hint=f"--map 'params={escape_control(column)}~{prefix}([\\d.]+[kmbKMB])' takes it from there",
        )
    needs = "two of params, tokens and flops are needed, the third follows"
    raise FileError(problem, hint=f"{needs}: --map {role}=COLUMN; columns: {_listed(table.names)}")


def _no_loss(table: RawTable, loss_unit: str) -> FileError:
    for name in table.names:
        unit = _loss_unit(name)
        if unit is not None and unit != loss_unit:
            problem = f"no column for the loss in {loss_unit}, {quote(name)} is in {unit}"
            hint = f"--loss-unit {unit} ({LOSS_UNITS[unit]}) reads it, --map loss=COLUMN names another"
            return FileError(f"{table.source}: {problem}", hint=hint)
    hint = f"choose with --map loss=COLUMN; columns: {_listed(table.names)}"
    return FileError(f"{table.source}: no column with values for the final loss", hint=hint)


def _text_with_sizes(table: RawTable) -> tuple[str, str] | None:
    """Return a text column and the word before the size that most of its cells share: ('Name', 'model-')."""
    for name in table.names:
        cells = [to_text(cell) for cell in table.column(name)]
        prefixes = Counter(prefix for cell in cells for prefix in set(_SIZE_IN_TEXT.findall(cell)))
        if prefixes:
            prefix, count = prefixes.most_common(1)[0]
            if 2 * count > len(cells):
                return name, prefix
    return None
