"""Recognise the columns of a table of runs: parameters, tokens, compute, loss and further roles.

The user's own mapping comes first. Otherwise recognition is a table of names, tried in order, and nothing else, so
that a choice can be explained: a column with the role's own name (``params`` or ``N``) wins over a usual name
(``n_params``), that over a name of a particular count (``non_emb_params``). A column without a single value is no
candidate, and columns with the same values are one. Every choice among several is a note; a choice that would be a
guess is an error.

The user's way to write a mapping is that of :mod:`scaleplan.fitting.mapping`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import FileError, UnknownNameError, UsageError, escape_control, quote
from scaleplan.fitting.exports import CURVE, ONE_ROW_A_RUN, NotRunsError, chart_or_scalar, counts_up, step_column
from scaleplan.fitting.logged import is_logged, logged_loss, unknown_size
from scaleplan.fitting.mapping import ColumnMapping, read_mapping, with_heading
from scaleplan.logs.metrics import EVALUATION, stated_names
from scaleplan.tables.cells import to_numbers, to_text
from scaleplan.tables.headings import SIZE_ROLES, forms, headings, listed, normalised
from scaleplan.tables.loss_units import LOSS_UNITS, NOT_A_LOSS, contradicted_unit, stated_unit, unit_in_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from scaleplan.arrays import Array, Mask
    from scaleplan.fitting.table import RawTable

__all__ = ["ROLES", "candidates", "recognise"]

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


_NAMES = {
    "params": (
        "params, n",
        (
            "n params, num params, nparams, parameters, parameter, n parameters, num parameters, model params, "
            "param count, params count, parameter count, model size, size, model parameters, trainable params, "
            "trainable parameters, n model params, num model params, number of parameters, number of params, "
            "dense parameter count, dense params, param size, dense parameters"
        ),
        (
            "total params, params total, n total, n params total, total parameters, n all, non emb params, "
            "non embedding params, params non emb, params non embedding, nonemb params, params no emb, "
            "params no embed, n non emb, n non embedding, non embedding parameters, n params non embedding, "
            "n nonemb, active params, n active, params active, non vocab parameters, non vocab params, "
            "non embedding param size, non emb param size"
        ),
    ),
    "tokens": (
        "tokens, d",
        (
            "d tokens, train tokens, training tokens, n tokens, num tokens, num token, tokens seen, "
            "total tokens, tokens total, token count, tokens trained, n train tokens, seen tokens, "
            "total train tokens, num train tokens, tokens processed, n training tokens, dataset tokens, "
            "data tokens, pretraining tokens, pretrain tokens, consumed tokens, tokens consumed, "
            "number of tokens, number of training tokens, num tokens seen, num input tokens seen, "
            "pretraining data size, training data size, train data size, data size, dataset size"
        ),
    ),
    "flops": (
        "flops, flop, c",
        (
            "c flops, compute, train flops, training flop, training flops, total flops, train flop, "
            "flops total, n flops, compute budget, training compute, train compute, flops budget, c compute, "
            "total compute, total training flops, total train flops, total flos, pretraining flops, "
            "pretrain flops, pretraining compute"
        ),
    ),
    "tokens_per_param": (),  # never by name: it only stands in for parameters or tokens on request
    "unique_tokens": ("unique tokens, n unique tokens, num unique tokens, unique d, d unique",),
    "weight": ("weight, weights, fit weight",),
    "group": (),  # never by name: grouping changes what is fitted
    "name": (
        "name, run, run name, run id, id, key",
        "display name, job name, job, exp name, experiment, experiment name, exp",
    ),
    "state": ("state, status, run state",),
}
"""The names of each role, best first: its own, usual ones, those of a particular count."""

_KNOWN = {role: tuple(frozenset(names.split(", ")) for names in tiers) for role, tiers in _NAMES.items()}

_LOSS_NAMES = frozenset(
    {
        *("loss", "l", "final loss", "nll", "cross entropy", "ppl", "perplexity", "bpb", "bits per byte", "bpc"),
        *("bits per character", "bits per token", "bpt", "loss bits", "loss bpb", "word perplexity"),
        "byte perplexity",
    }
)
"""What a column of the loss, in any unit, is called by itself; longer names contain one of the words below."""


def candidates(role: str, names: Sequence[str], *, loss_unit: str = "nats") -> dict[str, int]:
    """Return the columns with a name for ``role`` and their rank, best first, else in file order."""
    ranks = {name: _loss_rank(loss_unit, name) if role == "loss" else _rank(role, name) for name in names}
    known = {name: rank for name, rank in ranks.items() if rank is not None}
    return dict(sorted(known.items(), key=lambda item: item[1]))


def _rank(role: str, name: str) -> int | None:
    rank = _plain_rank(role, name)
    if rank is not None or role not in SIZE_ROLES:
        return rank
    ranks = (_plain_rank(role, found.bare) for found in headings(name, role))
    rank = next((rank for rank in ranks if rank is not None), None)
    return None if rank is None else max(rank, 1)


_SHORT_WORDS = re.compile(r"\btoks?\b")


def _plain_rank(role: str, name: str) -> int | None:
    for tier, known in enumerate(_KNOWN[role]):
        for part, form in enumerate(forms(name)):
            if form in known or _SHORT_WORDS.sub("tokens", form) in known:
                return max(tier, min(part, 1))
    return None


def _loss_rank(unit: str, name: str) -> int | None:
    full, known = normalised(name), LOSS_UNITS[unit]
    if full == "l":
        return 0 if unit == "nats" else None
    scale, per = unit_in_name(name)
    words = set(full.split())
    is_short = scale is None and "ce" in words  # cross-entropy; a name that is spelt out wins over it
    if (known.scale if is_short else scale) != known.scale or per not in {None, known.per}:
        return None
    if words & NOT_A_LOSS or name.endswith(("__MIN", "__MAX")) or (is_short and unit != "nats"):
        return None
    return 2 if is_short else 0 if full in _LOSS_NAMES else 1


_SIZE_IN_TEXT = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]+[-_=])\d+(?:\.\d+)?[kmbKMB](?![A-Za-z0-9])")


def recognise(
    table: RawTable,
    *,
    mapping: Mapping[str, str],
    log10: Collection[str],
    loss_unit: str,
    needed: Collection[str],
    carried: bool = False,
    losses: Collection[str] = (),
) -> tuple[dict[str, ColumnMapping], list[str]]:
    """Return the mapping of each role that the file has, and notes on choices a reader may want to change.

    A column without a value where there is a loss plays no role, unless sizes are ``carried`` from row to row. The
    column that is mapped as the loss plays no other, nor do ``losses``, which are so elsewhere: ``eval/c`` is no
    compute then.

    Raises UsageError for a role that does not exist or a logarithm of a column that plays no role, FileError when
    several columns could play a role or none plays one that is needed and cannot be derived.
    """
    for role in mapping:
        if role not in ROLES:
            raise UnknownNameError("role", role, ROLES)
    columns = {role: read_mapping(text, table, role=role) for role, text in mapping.items()}
    _require_runs(columns, needed, table, loss_unit)
    notes: list[str] = []
    if is_logged(table) and "loss" in needed and "loss" not in columns:
        chosen, why = logged_loss(table)
        columns["loss"] = ColumnMapping(text=chosen, column=chosen)
        notes.append(why)
    taken = {*losses, *(columns["loss"].columns if "loss" in mapping else ())}
    for role in ("loss", "params", "tokens", "flops", "unique_tokens", "weight"):
        if role in columns or (role == "loss" and "loss" not in needed):
            continue
        found = {name: rank for name, rank in _found(role, table.names, loss_unit).items() if name not in taken}
        used = _rows_with_loss(columns["loss"], table) if "loss" in columns and not carried else None
        name, note = _choose(role, found, table, needed=role in needed, used=used)
        if name is not None:
            columns[role] = with_heading(ColumnMapping(text=name, column=name), role)
        notes += [note] if note else []
    for role in ("name", "state"):
        for name in candidates(role, table.names):
            columns.setdefault(role, ColumnMapping(text=name, column=name))
    _apply_log10(columns, log10, table)
    notes += [
        f"column {quote(name)} may separate groups: --group {quote(name)}"
        for name in table.names
        if normalised(name) == "group" and "group" not in columns
    ]
    scaled = {role: mapped for role, mapped in columns.items() if mapped.heading != 1.0 and role not in mapping}
    notes += [f"{role} is {quote(mapped.text)}, by the unit in its heading" for role, mapped in scaled.items()]
    _require(columns, needed, table, loss_unit)
    for role, mapped in columns.items():
        _require_unambiguous(role, mapped, table)
    return columns, notes


def _found(role: str, names: Sequence[str], loss_unit: str) -> dict[str, int]:
    """Return the candidates for a role; a plain 'loss' is in the unit that the user states."""
    found = candidates(role, names, loss_unit=loss_unit)
    if role != "loss" or found:
        return found
    per = {None, LOSS_UNITS[loss_unit].per}
    return {name: rank for name, rank in candidates(role, names).items() if unit_in_name(name)[1] in per}


def _require_runs(
    columns: Mapping[str, ColumnMapping], needed: Collection[str], table: RawTable, loss_unit: str
) -> None:
    """Refuse a loss in another unit than stated, the export of a chart, and the steps of one run without its size."""
    if "loss" in columns:
        _require_unit(columns["loss"], loss_unit)
    elif "loss" in needed and (export := chart_or_scalar(table.names)) is not None:
        what, way = export
        raise NotRunsError(f"{table.source}: this is {what}", hint=way)
    known = {role for role in SIZE_ROLES if role in columns or candidates(role, table.names)}
    sized = "params" in known or known >= {"tokens", "flops"} or "tokens_per_param" in columns
    step = None if sized or "params" not in needed else step_column(table.names)
    if step is not None and counts_up(to_numbers(table.column(step))[0].tolist()):
        raise NotRunsError(
            f"{table.source}: this is the history of one run by {quote(step)}, not a table of runs",
            hint=f"{ONE_ROW_A_RUN}; {CURVE}: --form offset_power --x {quote(step)}",
        )


def _require_unit(mapped: ColumnMapping, loss_unit: str) -> None:
    """Refuse a column of the loss whose name states another unit than the user."""
    for name in mapped.columns:
        unit = contradicted_unit(name, loss_unit)
        if unit is not None:
            raise UsageError(
                f"{quote(name)} is in {LOSS_UNITS[unit].meaning} by its name, not in {LOSS_UNITS[loss_unit].meaning}",
                hint=f"--loss-unit {unit} reads it",
            )


def _require_unambiguous(role: str, mapped: ColumnMapping, table: RawTable) -> None:
    """Refuse a column whose cells are like ``4,467`` where nothing tells a decimal comma from thousands."""
    for name in mapped.columns:
        if name not in table.ambiguous or role in {"name", "state", "group"}:
            continue
        cell = next(to_text(cell) for cell in table.column(name) if "," in to_text(cell))
        point, none = cell.replace(",", "."), cell.replace(",", "")
        raise FileError(
            f"{table.source}: {quote(cell)} in column {quote(name)} may be {point} or {none}",
            hint="write decimal points, or no commas in thousands",
        )


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
        return None, f"{len(best)} columns could be {role}, and none is needed: {listed(best)}"
    if len(best) > 1:
        likely = next((name for name in best if EVALUATION & set(normalised(name).split())), first)
        hint = f"choose with --map '{role}={escape_control(likely)}'"
        raise FileError(f"{table.source}: {len(best)} columns could be the {ROLES[role]}: {listed(best)}", hint=hint)
    note = f"{role} is column {quote(first)}; --map {role}=… chooses {listed(others)} instead" if others else None
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
            columns[role] = replace(
                columns[role], text=f"log10({columns[role].text})", log10=True, scale=1.0, heading=1.0
            )


def _require(columns: Mapping[str, ColumnMapping], needed: Collection[str], table: RawTable, loss_unit: str) -> None:
    have = {role for role in ("params", "tokens", "flops", "tokens_per_param") if role in columns}
    lacking = [role for role in ("params", "tokens", "flops") if role in needed and role not in have]
    if len(have) >= 2:  # any two give the third
        lacking = []
    absent = [role for role in ("params", "tokens") if lacking and role not in have][: 2 - len(have)]
    if "loss" in needed and "loss" not in columns:
        raise _no_loss(table, loss_unit, absent)
    if not lacking:
        return
    role = next((role for role in ("params", "tokens") if role not in have), lacking[0])
    if is_logged(table):
        raise unknown_size(table, role)
    unread = _without_numbers(role, table)
    if unread is not None:
        raise unread
    problem = f"{table.source}: no column for the {ROLES[role]}"
    pattern = _text_with_sizes(table) if role == "params" else None
    if pattern is not None:
        column, prefix = pattern
        raise FileError(
            f"{problem}; the size seems to be inside the text of column {quote(column)} ('{prefix}…')",
            hint=f"--map 'params={escape_control(column)}~{prefix}([\\d.]+[kmbKMB])' takes it from there",
        )
    product = _tokens_product(table) if role == "tokens" else None
    if product is not None:
        raise FileError(problem, hint=f"--map {quote(f'tokens={product}')} multiplies them")
    needs = "two of params, tokens and flops are needed, the third follows"
    curve = "".join(f"; a curve needs one: --form offset_power --x {known}" for known in have if "loss" in columns)
    also = "".join(f", nor for the {ROLES[other]}" for other in absent if other != role)
    maps = " ".join(f"--map {name}=COLUMN" for name in dict.fromkeys((role, *absent)))
    raise FileError(f"{problem}{also}", hint=f"{needs}: {maps}; columns: {listed(table.names)}{curve}")


def _no_loss(table: RawTable, loss_unit: str, absent: Sequence[str]) -> FileError:
    """Return the error for a table without a loss; sizes that are ``absent`` too are named at once."""
    units = {name: unit for name in table.names if (unit := stated_unit(name)) is not None and unit != loss_unit}
    units = {name: unit for name, unit in units.items() if np.isfinite(to_numbers(table.column(name))[0]).any()}
    if units:
        named = ", ".join(f"{quote(name)} is in {LOSS_UNITS[unit].meaning}" for name, unit in units.items())
        # what is per byte can be compared across tokenizers, so it is named before the others
        order = sorted(set(units.values()), key=lambda unit: (unit != "bpb", list(LOSS_UNITS).index(unit)))
        hint = " or ".join(f"--loss-unit {unit}" for unit in order[:3])
        problem = f"no column for the loss in {LOSS_UNITS[loss_unit].meaning}; {named}"
        return FileError(
            f"{table.source}: {problem}", hint=f"{hint} reads {'it' if len(units) == 1 else 'one of them'}"
        )
    unread = _without_numbers("loss", table, loss_unit=loss_unit)
    if unread is not None:
        return unread
    sizes = [role for role in absent if not is_logged(table)]
    also = "".join(f", nor for the {ROLES[role]}" for role in sizes)
    maps = " ".join(f"--map {role}=COLUMN" for role in ("loss", *sizes))
    hint = f"choose with {maps}; columns: {listed(table.names)}"
    return FileError(f"{table.source}: no column with values for the final loss{also}", hint=hint)


def _rows_with_loss(loss: ColumnMapping, table: RawTable) -> Mask:
    """Return which rows have a loss; raises FileError for texts alone, with which no other column has a use."""
    numbers, unread = loss.numbers(table)
    used = np.isfinite(numbers)
    if unread and not used.any():
        position, text = next(iter(unread.items()))
        problem = f"{quote(text)} in {quote(loss.text)} is no number, and no row has a loss"
        raise FileError(
            f"{table.source}: row {table.rows[position]}: {problem}", hint="--map loss=COLUMN names another"
        )
    return used


def _without_numbers(role: str, table: RawTable, *, loss_unit: str = "nats") -> FileError | None:
    """Return the error for a column that has a name for the role and no number, with an example; None for none."""
    for name in candidates(role, table.names, loss_unit=loss_unit):
        numbers, unread = to_numbers(table.column(name))
        if unread and not np.isfinite(numbers).any():
            position, text = next(iter(unread.items()))
            problem = f"{quote(text)} in column {quote(name)} is no number"
            return FileError(
                f"{table.source}: row {table.rows[position]}: {problem}", hint=f"--map {role}=COLUMN names another"
            )
    return None


_SAMPLES = (
    "train samples, consumed samples, num samples, n samples, samples seen, total samples, samples, n sequences, "
    "num sequences, sequences, training samples"
)
_STEPS = (
    "max steps, steps, train steps, training steps, num steps, n steps, total steps, num train steps, iterations, "
    "train iters, iters, max iters, num iterations, n iters, total iters, iteration, step, global step, updates, "
    "num updates"
)
_FACTORS: dict[str, Sequence[str]] = {
    "batch in tokens": stated_names("tokens_per_step"),
    "samples": _SAMPLES.split(", "),
    "batch": (*stated_names("batch"), *stated_names("batch_maybe"), "batch"),
    "steps": _STEPS.split(", "),
    "length": (*stated_names("sequence"), "max length"),
}
"""The names of what training tokens are a product of."""


def _tokens_product(table: RawTable) -> str | None:
    """Return the product of columns that gives the training tokens, by their names; None where there is none."""

    def column(known: Sequence[str]) -> str | None:
        found = [(known.index(form), name) for name in table.names for form in forms(name) if form in known]
        numeric = [name for _, name in sorted(found) if np.isfinite(to_numbers(table.column(name))[0]).any()]
        return numeric[0] if numeric else None

    in_tokens, samples, batch, steps, length = map(column, _FACTORS.values())
    for product in ((steps, in_tokens), (samples, length), (steps, batch, length), (steps, "TOKENS_A_STEP")):
        if all(product):
            return "*".join(name for name in product if name is not None)
    return None


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
