"""Reports and CI judgements of a project: its check, the difference between two states of it, and a new file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.output import Fact, Report, ReportTable
from scaleplan.output.ci import Judgement
from scaleplan.output.data import cell, flat
from scaleplan.project.check import amount, bound
from scaleplan.project.project import Location
from scaleplan.units import format_number
from scaleplan.units.limits import parse_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.project.check import Check, CheckedRun, Verdict
    from scaleplan.project.diff import Breach, Change, Difference
    from scaleplan.project.project import NewProject
    from scaleplan.project.saved import SavedResult

__all__ = ["check_cases", "check_report", "diff_cases", "diff_report", "new_project_report", "saved_report"]

_MOST_ROWS = 40

_WORDS = {"pass": "ok", "warn": "WARN", "fail": "FAIL", "error": "ERROR"}


def check_report(result: Check) -> Report:
    """Return the report: every limit that is not kept with its place, then the runs."""
    kept = [verdict for verdict in result.verdicts if verdict.status == "pass"]
    broken = [verdict for verdict in result.verdicts if verdict.status != "pass"]
    shown: Sequence[Verdict] = result.verdicts if len(result.verdicts) <= _MOST_ROWS else broken
    remarks = [_line(verdict) for verdict in broken]
    if len(shown) < len(result.verdicts):
        remarks.append(f"{len(kept):,} limits that are kept are not listed; --format csv lists them")
    return Report(
        title=_title(result),
        grid=_grid(shown) if shown else None,
        remarks=tuple(remarks),
        sections=(_runs(result.runs),) if len(result.runs) <= _MOST_ROWS else (),
    )


def _title(result: Check) -> str:
    runs = _number(len(result.runs), "run")
    if not result.verdicts:
        return f"{runs}, no limits: nothing to judge"
    parts = [f"{runs}, {_number(len(result.verdicts), 'limit')}"]
    parts += [
        f"{count:,} {what}"
        for count, what in (
            (result.failures, "violated"),
            (result.warnings, _number(result.warnings, "warning").split(" ")[1]),
            (result.errors, "not judged"),
        )
        if count
    ]
    return ", ".join(parts if len(parts) > 1 else [*parts, "all kept"])


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _grid(verdicts: Sequence[Verdict]) -> ReportTable:
    rows = []
    for verdict in verdicts:
        if verdict.limit is None or verdict.quantity is None:
            rows.append((_WORDS[verdict.status], verdict.run, "–", "–"))
            continue
        value = "–" if verdict.value is None else amount(verdict.quantity, verdict.value)
        rows.append((_WORDS[verdict.status], verdict.run, _written(verdict.limit), value))
    return ReportTable(columns=("", "run", "limit", "value"), rows=tuple(rows), text=frozenset({"", "run", "limit"}))


def _written(text: str) -> str:
    """Write a limit with its bound as the values beside it are written."""
    (limit,) = parse_limit(text)
    return f"{text.partition(' ')[0]} {limit.op} {bound(limit)}"


def _line(verdict: Verdict) -> str:
    """Return a line that editors and log viewers can follow to the place, with what else there is to say."""
    level = "warning" if verdict.status == "warn" else "error"
    place = verdict.file if verdict.line is None else f"{verdict.file}:{verdict.line}"
    parts = [f"{place}: {level}: {verdict.run}: {verdict.message}"]
    if verdict.note:
        parts.append(verdict.note)
    if verdict.hint:
        parts.append(f"hint: {verdict.hint}")
    if verdict.also:
        parts.append(f"see also {', '.join(f'{at.file}:{at.line}' for at in verdict.also)}")
    return "; ".join(parts)


def _runs(runs: Sequence[CheckedRun]) -> Report:
    names = ("params", "tokens", "flops", "gpu_hours", "cost", "loss")
    rows = []
    for run in runs:
        values = [(name, run.values.get(name)) for name in names]
        rows.append((run.name, *("–" if value is None else amount(name, value) for name, value in values)))
    columns = ("run", "params", "tokens", "compute", "GPU time", "cost", "loss")
    return Report(title="plans", grid=ReportTable(columns=columns, rows=tuple(rows), text=frozenset({"run"})))


def check_cases(result: Check) -> tuple[Judgement, ...]:
    """Return one case a verdict, and for a run without limits one that passes."""
    judged = {verdict.run for verdict in result.verdicts}
    cases = [_case(verdict) for verdict in result.verdicts]
    cases += [
        Judgement(
            suite=run.name, name="no limits", rule="no-limits", status="pass", message="there are no limits to keep"
        )
        for run in result.runs
        if run.name not in judged
    ]
    return tuple(cases)


def _case(verdict: Verdict) -> Judgement:
    details = [verdict.note] if verdict.note else []
    if verdict.hint:
        details.append(f"hint: {verdict.hint}")
    if verdict.policy_line is not None:
        details.append(f"limit at {verdict.policy_file}:{verdict.policy_line}")
    return Judgement(
        suite=verdict.run,
        name=verdict.limit or "plan",
        rule=verdict.quantity or "unreadable",
        status=verdict.status,
        message=verdict.message,
        details=tuple(details),
        locations=(Location(file=verdict.file, line=verdict.line, key=verdict.key), *verdict.also),
    )


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
    return Report(
        title=title, grid=ReportTable(columns=("", "before", "after", "change", "%"), rows=rows, text=_TEXT)
    )


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


def diff_cases(result: Difference) -> tuple[Judgement, ...]:
    """Return one case for every change that was judged."""
    return tuple(
        Judgement(
            suite=breach.run if breach.run is not None else "total",
            name=breach.threshold,
            rule=f"{breach.quantity}-change",
            status=breach.status,
            message=breach.message,
            locations=breach.places,
        )
        for breach in result.judged
    )


def new_project_report(result: NewProject) -> Report:
    """Return where the file was written, and what to do with it."""
    return Report(title=f"{result.file} written", remarks=("describe your runs in it, then: scaleplan check",))


def saved_report(result: SavedResult) -> Report:
    """Return every key that has a value, as a table of CSV has them."""
    values = {key: str(cell(value)) for key, value in flat(result.data)}
    facts = (Fact(label=key, value=text, prose=True) for key, text in values.items() if text and key != "schema")
    return Report(title=result.schema, facts=tuple(facts))
