"""Notice the columns that tell runs of one law from runs of several: sweeps of a setting, groups, and seeds.

A column is judged by what it does. Where several runs share their size and tokens, the columns that differ among
them were swept (a learning rate, a batch), separate groups (a corpus, a tokenizer, a context), or name repeats of one
run (a seed). Elsewhere a column with few values separates groups when the loss at equal sizes shifts with its value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import Notice, quote
from scaleplan.fitting.columns import ROLES, candidates
from scaleplan.record import Record
from scaleplan.tables.cells import is_missing, to_number, to_text
from scaleplan.tables.headings import normalised
from scaleplan.tables.loss_units import unit_in_name
from scaleplan.units import format_fraction

if TYPE_CHECKING:
    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.fitting.runs import Runs
    from scaleplan.fitting.table import RawTable
    from scaleplan.tables.cells import Cell

__all__ = ["unlike_runs"]

_SWEPT = frozenset(
    {
        *("lr", "learning", "rate", "warmup", "wd", "decay", "batch", "bsz", "gbs", "gbsz", "bs", "beta", "beta1"),
        *("beta2", "betas", "dropout", "momentum", "clip", "clipping", "schedule", "scheduler", "optimizer", "optim"),
        *("eps", "epsilon", "cooldown", "init", "std", "adam", "muon", "ema", "warm"),
    }
)
"""Words in the names of settings whose best value is looked for."""

_GROUPING = frozenset(
    {
        *("group", "corpus", "dataset", "data", "mixture", "tokenizer", "tokeniser", "vocab", "vocabulary"),
        *("context", "ctx", "seq", "sequence", "block", "family", "arch", "architecture", "shape", "aspect"),
        *("language", "domain", "recipe", "setup", "epochs", "precision", "dtype", "task", "kind", "type"),
        *("experts", "expert"),
    }
)
"""Words in the names of what runs of one law have in common."""

_REPEATED = frozenset({"seed", "seeds", "replicate", "replica", "repeat", "trial", "fold", "rng", "rep"})

_SCORES = frozenset({"acc", "accuracy", "score", "stderr"})
"""Words in the names of results whatever else they say: ``acc_lsat_lr`` is the accuracy of a task."""

_MEASURED = frozenset(
    {
        *("loss", "acc", "accuracy", "score", "error", "stderr", "std", "se", "time", "runtime", "seconds"),
        *("hours", "grad", "norm", "created", "updated", "timestamp", "date", "tflops", "mfu", "throughput"),
        *("speed", "memory", "gpu", "gpus", "notes", "tags", "user", "host", "id", "url", "path", "weight"),
        *("tokens", "params", "flops", "samples", "step", "steps", "iteration", "iterations", "epoch"),
    }
)
"""Words in the names of results, of books kept, and of sizes in other words."""

_SHAPE = frozenset({"layers", "layer", "heads", "width", "depth", "dim", "hidden", "ffn", "mlp", "embd"})
"""Words in the names of a shape, which says something beside the size at equal sizes alone."""

_SIGNIFICANT = 3.3  # one-sided normal deviate: a chance of 0.0005, for a few columns tried
_LEAST_SHIFT = 0.005  # of the loss: seeds of one run differ by 0.1 to 0.5 %
_MOST_LEVELS = 16  # of a group; more are names, not groups
_LEAST_IN_LEVEL = 3
_MOST_REPEATED = 0.01  # of the loss: twice the most that seeds of one run differ by
_LEAST_SHARED = 0.1  # of the runs; fewer of equal sizes are chance, or repeats
_LEAST_RUNS = 12  # for a surface of six terms beside the levels
_MOST_NAMED = 3


class _Setting(Record, eq=False):
    """A column with few values, coded by value from 0."""

    name: str
    codes: Index
    levels: int
    numeric: bool


def unlike_runs(table: RawTable, runs: Runs, *, positions: Index, cells: Index) -> tuple[Notice, ...]:
    """Return a warning for swept settings and one for groups among runs; empty for runs of one law.

    ``runs`` are those that are used, at ``positions`` of the table; ``cells`` has one code for those of equal sizes.
    """
    if len(runs) < 2:
        return ()
    logs = np.log(runs.loss)
    shared = np.bincount(cells)[cells] > 1
    if np.mean(shared) < _LEAST_SHARED:
        shared[:] = False
    swept: list[_Setting] = []
    grouping: list[tuple[float, _Setting]] = []
    for item in _settings(table, runs, positions):
        kind, shift = _kind(item, runs, logs, cells=cells, shared=shared)
        if kind == "sweep":
            swept.append(item)
        elif kind == "groups":
            grouping.append((shift, item))
    # a name made of the settings refines them, and is no group
    grouping = [(shift, item) for shift, item in grouping if not any(_determines(item, other) for other in swept)]
    notices = []
    if grouping:
        shift, first = max(grouping, key=lambda pair: pair[0])
        message = (
            f"the loss at equal sizes differs by {format_fraction(math.expm1(shift))} between the "
            f"{first.levels} values of "
            f"{quote(first.name)}: no one law; --group {quote(first.name)} fits each apart"
        )
        notices.append(Notice(code="groups", message=message))
    if (
        not swept
        and not grouping
        and shared.any()
        and (apart := _apart(logs[shared], cells[shared])) > _MOST_REPEATED
    ):
        notices.append(
            _unexplained(
                f"{int(shared.sum())} of {len(runs)} runs",
                format_fraction(math.expm1(apart)),
                seeds=_repeated_by_seed(table, positions[shared], cells[shared]),
            )
        )
    if swept:
        named = ", ".join(quote(item.name) for item in swept[:_MOST_NAMED])
        more = f" and {len(swept) - _MOST_NAMED} more" if len(swept) > _MOST_NAMED else ""
        message = f"{int(shared.sum())} of {len(runs)} runs share their sizes with others and differ in {named}{more}"
        notices.append(Notice(code="sweep", message=f"{message}: a sweep; --best keeps the best run of each"))
    return tuple(notices)


def _unexplained(which: str, apart: str, *, seeds: bool) -> Notice:
    """Return a warning of runs of equal sizes whose losses differ by more than seeds do, and no setting says why."""
    if seeds:  # of which the least is no better run, but the luckier one
        message = (
            f"{which} repeat others with another seed, and their losses differ by {apart} (rms), more than seeds of "
            "well-tuned runs do: their learning rate may be too high, or something else differs"
        )
        return Notice(code="noisy_seeds", message=message)
    message = f"{which} share their sizes with others, and their losses differ by {apart} (rms), more than seeds do"
    return Notice(code="sweep", message=f"{message}: a sweep; --best keeps the best run of each")


def _repeated_by_seed(table: RawTable, positions: Index, cells: Index) -> bool:
    """Whether a column of seeds tells all runs of equal sizes apart."""
    for j, name in enumerate(table.names):
        if not set(normalised(name).split()) & _REPEATED:
            continue
        seeds = [_value(table.records[i][j]) for i in positions.tolist()]
        if None not in seeds and len(set(zip(cells.tolist(), seeds, strict=True))) == len(seeds):
            return True
    return False


def _kind(item: _Setting, runs: Runs, logs: Array, *, cells: Index, shared: Mask) -> tuple[str | None, float]:
    """Return what a setting does to runs of equal sizes, and by how much of the log loss."""
    full = normalised(item.name)
    words = set(full.split()) | ({"width"} if full.endswith("d model") else set())
    if words & _REPEATED:
        return None, 0.0
    if shared.any() and _differs(item.codes[shared], cells[shared]):
        shift, deviate = _within(logs[shared], item.codes[shared], cells[shared])
        real = deviate > _SIGNIFICANT and shift > _LEAST_SHIFT
        if words & _SWEPT or (real and item.numeric and not words & (_GROUPING | _SHAPE)):
            return "sweep", shift
        if real and item.levels <= _MOST_LEVELS:
            return "groups", shift
    if words & (_SWEPT | _SHAPE) or item.levels > _MOST_LEVELS:
        return None, 0.0
    shift, deviate = _across(runs, logs, item)
    return ("groups" if deviate > _SIGNIFICANT and shift > _LEAST_SHIFT else None), shift


def _settings(table: RawTable, runs: Runs, positions: Index) -> list[_Setting]:
    """Return the columns that could be settings: no role, no size or result in other words, and several values."""
    used = {text for role, text in runs.columns.items() if role in ROLES} | set(runs.extra)
    used |= {name for role in ("params", "tokens", "flops") for name in candidates(role, table.names)}
    found: list[_Setting] = []
    seen: set[bytes] = set()
    for j, name in enumerate(table.names):
        words = set(normalised(name).split())
        setting = words & (_SWEPT | _GROUPING | _REPEATED) and not words & _SCORES
        if name in used or unit_in_name(name)[0] is not None or (words & _MEASURED and not setting):
            continue
        values = [_value(table.records[i][j]) for i in positions.tolist()]
        order = {value: code for code, value in enumerate(dict.fromkeys(values))}
        if not 1 < len(order) <= max(2, len(values) // 2 if not words & _SWEPT else len(values)):
            continue
        codes = np.array([order[value] for value in values], dtype=np.intp)
        if codes.tobytes() not in seen:
            seen.add(codes.tobytes())
            numeric = all(isinstance(value, float) for value in order)
            found.append(_Setting(name=name, codes=codes, levels=len(order), numeric=numeric))
    return found


def _value(cell: Cell) -> float | str | None:
    if is_missing(cell):
        return None
    try:
        return to_number(cell)
    except ValueError:
        return to_text(cell)


def _differs(codes: Index, cells: Index) -> bool:
    """Whether runs of one cell differ in a setting, in more than one cell."""
    pairs = np.unique(cells * (int(codes.max()) + 1) + codes)
    return bool(np.sum(np.bincount(pairs // (int(codes.max()) + 1)) > 1) > 1)


def _apart(logs: Array, cells: Index) -> float:
    """Return the root mean square of the log losses about the mean of their cell, per degree of freedom."""
    _, cells = np.unique(cells, return_inverse=True)
    count = np.bincount(cells)
    rest = logs - (np.bincount(cells, weights=logs) / count)[cells]
    return float(np.sqrt(np.sum(rest**2) / max(1, len(logs) - len(count))))


def _determines(item: _Setting, other: _Setting) -> bool:
    """Whether each value of one setting goes with one value of the other."""
    return len(np.unique(item.codes * other.levels + other.codes)) == item.levels


def _within(logs: Array, codes: Index, cells: Index) -> tuple[float, float]:
    """Return how far the log loss shifts with the value of a setting inside cells, and the deviate of a test."""
    _, cells = np.unique(cells, return_inverse=True)
    _, codes = np.unique(codes, return_inverse=True)
    count = np.bincount(cells)
    rest = logs - (np.bincount(cells, weights=logs) / count)[cells]
    members = np.bincount(codes)
    means = np.bincount(codes, weights=rest) / members
    between = float(np.sum(members * means**2))
    total = float(np.sum(rest**2))
    freedom = len(logs) - len(count) - len(members) + 1
    return _spread(means, members), _deviate(between, len(members) - 1, total - between, freedom)


def _across(runs: Runs, logs: Array, item: _Setting) -> tuple[float, float]:
    """Return the same by a quadratic surface in ln N and ln D with a level for each value of a setting.

    A setting whose values are ranges of the size, the tokens, the compute or their ratio says nothing beside them.
    """
    members = np.bincount(item.codes, minlength=item.levels)
    size, data = np.log(runs.params), np.log(runs.tokens)
    large = members >= _LEAST_IN_LEVEL
    kept = large[item.codes]
    if len(logs) < _LEAST_RUNS or large.sum() < 2 or not np.isfinite(size + data).all():
        return 0.0, 0.0
    if any(_is_range(values[kept], item.codes[kept]) for values in (size, data, size + data, data - size)):
        return 0.0, 0.0
    _, codes = np.unique(item.codes[kept], return_inverse=True)
    n, d, y = (values[kept] - values[kept].mean() for values in (size, data, logs))
    base = [np.ones_like(n), n, d, n * n, d * d, n * d]
    if runs.group is not None:
        groups = np.unique(np.array(runs.group, dtype=object)[kept].astype(str), return_inverse=True)[1]
        base += [(groups == code).astype(float) for code in range(1, int(groups.max()) + 1)]
    levels = [(codes == code).astype(float) for code in range(1, int(codes.max()) + 1)]
    plain = np.stack(base, axis=1)
    full = np.stack([*base, *levels], axis=1)
    flat, _, rank, _ = np.linalg.lstsq(plain, y, rcond=None)
    solution, _, full_rank, _ = np.linalg.lstsq(full, y, rcond=None)
    without, within = (float(np.sum((y - matrix @ fit) ** 2)) for matrix, fit in ((plain, flat), (full, solution)))
    shifts = np.concatenate([[0.0], solution[len(base) :]])
    deviate = _deviate(without - within, int(full_rank - rank), within, len(y) - int(full_rank))
    return float(np.ptp(shifts)), deviate


def _is_range(values: Array, codes: Index) -> bool:
    """Whether each value of a setting is a range of a size that no other one overlaps."""
    order = np.argsort(values, kind="stable")
    changes = int(np.sum(np.diff(codes[order]) != 0))
    return changes <= len(np.unique(codes)) - 1 or _function_of(values, codes)


def _function_of(values: Array, codes: Index) -> bool:
    """Whether a setting follows from a size, value by value, with about as many values as sizes."""
    sizes = np.unique(np.round(values, 6), return_inverse=True)[1]
    pairs = len(np.unique(sizes * (int(codes.max()) + 1) + codes))
    return pairs == int(sizes.max()) + 1 and 2 * len(np.unique(codes)) > int(sizes.max()) + 1


def _spread(means: Array, members: Index) -> float:
    enough = means[members >= min(_LEAST_IN_LEVEL, int(members.max()))]
    return float(np.ptp(enough)) if len(enough) > 1 else 0.0


def _deviate(between: float, levels: int, within: float, freedom: int) -> float:
    """Return the normal deviate of an F ratio (Paulson 1942, from the cube root of chi-square)."""
    if levels < 1 or freedom < 3 or between <= 0:
        return 0.0
    if within <= 1e-12 * between:
        return math.inf
    ratio = ((between / levels) / (within / freedom)) ** (1 / 3)
    one, two = 2 / (9 * levels), 2 / (9 * freedom)
    return ((1 - two) * ratio - (1 - one)) / math.sqrt(two * ratio**2 + one)
