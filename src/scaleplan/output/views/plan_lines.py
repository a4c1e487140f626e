"""An array of plans as text, one a line: the same bytes as plan by plan, many times faster."""

from __future__ import annotations

import csv
import io
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.arrays import whole
from scaleplan.hardware.budget import Budget
from scaleplan.output.data import Template, cell, encode, flat
from scaleplan.planning import plan as notices
from scaleplan.planning.constraints import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scaleplan.planning.planner import Planner
    from scaleplan.planning.solver_array import PlanArray

__all__ = ["csv_rows", "json_lines", "supports"]

_ENDS = {"0": "low", "1": "high"}
_OTHER = 2.7  # another budget, as a factor: any will do
_LARGE = 1e40  # FLOP; from here on the other budget is the smaller


def supports(planner: Planner) -> bool:
    """Whether plans of this kind differ in their numbers only, so that one serves as the template of all."""
    plain = not planner.limits and planner.constraints == NONE and planner.count is None
    return plain and planner.frontier.scale_free and planner.may_choose


def json_lines(plans: PlanArray) -> Iterator[str]:
    """Yield each plan as one line of JSON."""
    columns: dict[str, Sequence[object]] = dict(_numbers(plans))
    kinds = dict.fromkeys(columns, "number") | {"warnings": "json"}
    columns["warnings"] = [
        f"[{', '.join(found)}]"
        for found in _warnings(plans, lambda code, text: encode({"code": code, "message": text}))
    ]
    return Template(_sample(plans, columns), kinds).lines(list(columns.values()))


def csv_rows(plans: PlanArray, *, delimiter: str, header: bool) -> str:
    """Return the plans as rows of CSV, with or without the header."""
    numbers = dict(_numbers(plans))
    columns: dict[str, Sequence[object]] = {_flat_key(key): values for key, values in numbers.items()}
    columns["warnings"] = [" ".join(found) for found in _warnings(plans, lambda code, _: code)]
    record = dict(flat(_sample(plans, numbers)))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    if header:
        writer.writerow(record)
    cells = [columns.get(key) or repeat(cell(value), len(plans)) for key, value in record.items()]
    writer.writerows(zip(*cells, strict=True))
    return out.getvalue()


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


def _numbers(plans: PlanArray) -> Iterator[tuple[str, list[float]]]:
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
