"""What a change did to the bill, for people and for CI services: the total first, then each run that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.cases import Case, Location
from scaleplan.formats.report import Grid, Report
from scaleplan.policy.wording import amount
from scaleplan.quantities import format_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.policy.difference import Breach, Change, Difference

__all__ = ["diff_cases", "diff_report"]

_LABELS = {
    "params": "parameters",
    "tokens": "tokens",
    "unique_tokens": "unique tokens",
    "flops": "compute",
    "tokens_per_param": "tokens/param",
    "excess_loss": "excess loss",
    "compute_overhead": "compute overhead",
    "gpus": "GPUs",
    "gpu_hours": "GPU time",
    "energy_kwh": "energy",
    "carbon_kg": "carbon",
    "memory_gb": "memory",
}
_TEXT = frozenset({""})
_SAME = 5e-13  # relative; what rounding in the last places does to a number is no change


def diff_report(result: Difference) -> Report:
    """Return the report: verdicts, then a table for the total and for every run that changed."""
    runs = list(dict.fromkeys(change.run for change in result.changes if change.run is not None))
    by_run = {name: [change for change in result.changes if change.run == name] for name in runs}
    total = [change for change in result.changes if change.run is None]
    shown = [name for name in runs if by_run[name][0].status != "same"]
    sections = [_section("total", total)] if total and shown else []
    sections += [_section(_titled(name, by_run[name]), by_run[name]) for name in shown]
    remarks = [_verdict(breach) for breach in result.judged]
    unchanged = len(runs) - len(shown)
    if unchanged and shown:
        remarks.append(f"{unchanged:,} {'run is' if unchanged == 1 else 'runs are'} unchanged")
    change = "nothing changed" if not shown else _count(len(shown), len(runs))
    return Report(
        title=f"{result.before} → {result.after}: {change}", remarks=tuple(remarks), sections=tuple(sections)
    )


def _count(changed: int, runs: int) -> str:
    return "the run changed" if runs == 1 else f"{changed:,} of {runs:,} runs changed"


def _titled(name: str, changes: Sequence[Change]) -> str:
    status = changes[0].status
    return name if status == "changed" else f"{name} ({status})"


def _section(title: str, changes: Sequence[Change]) -> Report:
    rows = tuple(_row(change) for change in changes if not _still(change))
    return Report(title=title, grid=Grid(columns=("", "before", "after", "change", "%"), rows=rows, text=_TEXT))


def _still(change: Change) -> bool:
    if change.before is None or change.after is None:
        return False
    return abs(change.after - change.before) <= _SAME * abs(change.before)


def _row(change: Change) -> tuple[str, ...]:
    quantity = change.quantity
    label = _LABELS.get(quantity, quantity)
    before = "–" if change.before is None else amount(quantity, change.before)
    after = "–" if change.after is None else amount(quantity, change.after)
    if change.change is None:
        return label, before, after, "", ""
    if before == after:  # a change too small for three digits is shown with as many as it takes
        digits = next(
            (d for d in range(4, 18) if _differ(quantity, change.before, change.after, digits=d)),
            17,
        )
        before, after = (amount(quantity, value or 0.0, digits=digits) for value in (change.before, change.after))
    sign = "+" if change.change > 0 else "-"
    size = abs(change.change)
    moved = format_number(100 * size) + " points" if quantity == "compute_overhead" else amount(quantity, size)
    moved = sign + moved
    return label, before, after, moved, "" if change.ratio is None else _percent(change.ratio)


def _differ(quantity: str, before: float | None, after: float | None, *, digits: int) -> bool:
    return amount(quantity, before or 0.0, digits=digits) != amount(quantity, after or 0.0, digits=digits)


def _percent(ratio: float) -> str:
    return f"{'+' if ratio > 0 else '-'}{format_number(100 * abs(ratio))} %"


def _verdict(breach: Breach) -> str:
    word = {"pass": "ok", "fail": "FAIL", "error": "ERROR"}[breach.status]
    run = f"{breach.run}: " if breach.run is not None else ""
    return f"{word}: {run}{breach.message}"


def diff_cases(result: Difference) -> tuple[Case, ...]:
    """Return one case for every change that was judged."""
    return tuple(
        Case(
            suite=breach.run if breach.run is not None else "total",
            name=breach.threshold,
            rule=f"{breach.quantity}-change",
            status=breach.status,
            message=breach.message,
            locations=tuple(Location(file=at.file, line=at.line, what=at.key) for at in breach.places),
        )
        for breach in result.judged
    )
