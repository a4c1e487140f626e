"""An array of plans as text, one a line: the same bytes as plan by plan, many times faster."""

from __future__ import annotations

import csv
import io
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from scaleplan.arrays import whole
from scaleplan.hardware.budget import Budget
from scaleplan.output.data import Template, cell, encode, flat
from scaleplan.output.fields import declared, names_in, resolve_all, take
from scaleplan.planning import plan as notices
from scaleplan.planning.constraints import NONE
from scaleplan.planning.plan import Plan
from scaleplan.presets.conventions import NATS, bits_per_byte, perplexity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scaleplan.planning.planner import Planner
    from scaleplan.planning.solver_array import PlanArray

__all__ = ["csv_rows", "json_lines", "supports", "table_rows"]

_ENDS = {"0": "low", "1": "high"}
_OTHER = 2.7  # another budget, as a factor: any will do
_LARGE = 1e40  # FLOP; from here on the other budget is the smaller


def supports(planner: Planner) -> bool:
    """Whether plans of this kind differ in their numbers only, so that one serves as the template of all."""
    plain = not planner.limits and planner.constraints == NONE and planner.count is None
    return plain and planner.frontier.scale_free and planner.may_choose


def json_lines(plans: PlanArray, names: Sequence[str] | None = None) -> Iterator[str]:
    """Yield each plan, or the fields of it that some names stand for, as one line of JSON."""
    columns: dict[str, Sequence[object]] = dict(_numbers(plans))
    kinds = dict.fromkeys(columns, "number") | {"warnings": "json"}
    columns["warnings"] = [
        f"[{', '.join(found)}]"
        for found in _warnings(plans, lambda code, text: encode({"code": code, "message": text}))
    ]
    record = _sample(plans, columns)
    if names is not None:
        record = {name: take(record, name) for name in _resolved(record, names)}
        flat_columns = {_flat_key(key): values for key, values in columns.items()}
        kinds = {_flat_key(key): kind for key, kind in kinds.items()}
        columns = {name: flat_columns[name] for name in record if name in flat_columns}
    return Template(record, {key: kinds[key] for key in columns}).lines(list(columns.values()), len(plans))


def csv_rows(plans: PlanArray, *, delimiter: str, header: bool, names: Sequence[str] | None = None) -> str:
    """Return the plans, or some fields of them, as rows of CSV, with or without the header."""
    columns = _cells(plans, names)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    if header:
        writer.writerow(columns)
    written = [values if varies else repeat(cell(values), len(plans)) for varies, values in columns.values()]
    writer.writerows(zip(*written, strict=True))
    return out.getvalue()


def table_rows(plans: PlanArray, names: Sequence[str]) -> Iterator[dict[str, object]]:
    """Yield the values of some fields of each plan, for a table to read."""
    columns = _cells(plans, names)
    values = [found if varies else repeat(found, len(plans)) for varies, found in columns.values()]
    for row in zip(*values, strict=True):
        yield dict(zip(columns, row, strict=True))


def _cells(plans: PlanArray, names: Sequence[str] | None) -> dict[str, tuple[bool, Any]]:
    """Return by dotted name whether a field varies, and its values, or the one of all plans."""
    numbers = dict(_numbers(plans))
    columns: dict[str, Sequence[object]] = {_flat_key(key): values for key, values in numbers.items()}
    columns["warnings"] = [" ".join(found) for found in _warnings(plans, lambda code, _: code)]
    record = dict(flat(_sample(plans, numbers)))
    chosen = record if names is None else _resolved(record, names)
    return {name: (True, columns[name]) if name in columns else (False, record.get(name)) for name in chosen}


def _resolved(record: dict[str, object], names: Sequence[str]) -> tuple[str, ...]:
    return resolve_all(names, names_in(record), lambda: declared(Plan.schema)[0])


def _sample(plans: PlanArray, columns: Iterable[str]) -> dict[str, object]:
    """Return the record of the first plan; every key that differs in another one must have a column.

    Raises AssertionError for a key without one, whose first value would be repeated for all plans.
    """
    first = float(plans.flops[0])
    second = first * _OTHER if first < _LARGE else first / _OTHER
    record, other = (
        plans.planner.optimal(flops, budget=Budget(source="flops")).to_dict() for flops in (first, second)
    )
    varies = {key for (key, value), (_, again) in zip(flat(record), flat(other), strict=True) if value != again}
    forgotten = varies - {_flat_key(key) for key in columns} - {"warnings"}
    if forgotten:
        msg = f"plans differ in '{min(forgotten)}', which has no column"
        raise AssertionError(msg)
    return record


def _flat_key(key: str) -> str:
    stem, _, last = key.rpartition(".")
    return f"{stem}.{_ENDS[last]}" if last in _ENDS else key


_COUNTS = ("params", "tokens")


def _numbers(plans: PlanArray) -> Iterator[tuple[str, Sequence[float | None]]]:
    """Yield the columns that vary, by dotted key, as Python numbers; counts as whole ones."""
    columns = {
        "flops": plans.flops,
        "params": plans.params,
        "tokens": plans.tokens,
        "loss": plans.loss,
        "tokens_per_param": plans.tokens_per_param,
    }
    if plans.interval is not None:
        for name in ("params", "tokens", "loss", "tokens_per_param"):
            columns[f"interval.{name}.0"], columns[f"interval.{name}.1"] = getattr(plans.interval, name)
    if plans.near_optimal_params is not None:
        columns["near_optimal.params.0"], columns["near_optimal.params.1"] = plans.near_optimal_params
    for key, values in columns.items():
        if values is not None:
            count = key.removesuffix(".0").removesuffix(".1").endswith(_COUNTS)
            yield key, [*map(whole, values.tolist())] if count else values.tolist()
    yield from _other_forms(plans)


def _other_forms(plans: PlanArray) -> Iterator[tuple[str, list[float | None]]]:
    """Yield the columns of a loss in other units, one by one: exponentials of arrays differ in their last digit."""
    conventions = plans.planner.preset.conventions
    if plans.loss is None or conventions.loss != NATS:
        return
    ends = None if plans.interval is None else plans.interval.loss
    size = conventions.bytes_per_token
    forms: dict[str, Callable[[float], float | None]] = {"perplexity": lambda loss: perplexity(loss, NATS)}
    if size is not None:
        forms["bits_per_byte"] = lambda loss: bits_per_byte(loss, NATS, size)
    for name, form in forms.items():
        for key, losses in (
            (name, plans.loss),
            *((f"{name}_interval.{i}", each) for i, each in enumerate(ends or ())),
        ):
            yield key, [form(loss) for loss in losses.tolist()]


def _warnings(plans: PlanArray, written: Callable[[str, str], str]) -> list[list[str]]:
    """Return each plan's warnings; ``written`` makes the text of one from its code and its message."""
    preset = plans.planner.preset
    fixed = [
        written(notice.code, notice.message) for notice in notices.always(preset, has_loss=plans.loss is not None)
    ]
    found: list[list[str]] = [[] for _ in range(len(plans))]
    for edge in notices.edges(preset):
        template = written(edge.code, edge.template)
        slots = "%" in template
        values = getattr(plans, edge.name)
        for place in np.flatnonzero(values > edge.value if edge.above else values < edge.value).tolist():
            found[place].append(template % edge.slots(float(values[place])) if slots else template)
    return [texts + fixed for texts in found] if fixed else found
