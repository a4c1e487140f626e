"""Reports and CI judgements of a project: its check, the difference between two states of it, and a new file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from scaleplan.documents.key_path import Location
from scaleplan.errors import quote
from scaleplan.hardware.budget import band_text
from scaleplan.hardware.chances import percent
from scaleplan.output import Report, ReportTable
from scaleplan.output.ci import Judgement
from scaleplan.output.data import plain
from scaleplan.output.views.bill import band_remarks
from scaleplan.project.check import amount, bound, decisive_amount
from scaleplan.units import USD, counted, format_days, format_fraction, format_number, format_range
from scaleplan.units.limits import QUANTITIES, parse_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from scaleplan.documents.key_path import Value
    from scaleplan.project.check import Check, CheckedRun, Verdict
    from scaleplan.project.diff import Breach, Change, Difference, Unreadable
    from scaleplan.project.project import NewProject

__all__ = ["check_cases", "check_report", "diff_cases", "diff_report", "new_project_report"]

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
        grid=_grid(shown, {run.name: run for run in result.runs}) if shown else None,
        remarks=remarks,
        sections=(_runs(result.runs),) if len(result.runs) <= _MOST_ROWS else (),
    )


def _title(result: Check) -> str:
    runs = counted(len(result.runs), "run")
    if not result.verdicts:
        return f"{runs}, no limits: nothing to judge"
    parts = [f"{runs}, {counted(len(result.verdicts), 'limit')}"]
    parts += [
        f"{count:,} {what}"
        for count, what in (
            (result.failures, "violated"),
            (result.warnings, "warning" if result.warnings == 1 else "warnings"),
            (result.errors, "not judged"),
        )
        if count
    ]
    return ", ".join(parts if len(parts) > 1 else [*parts, "all kept"])


def _grid(verdicts: Sequence[Verdict], runs: Mapping[str, CheckedRun]) -> ReportTable:
    rows = []
    for verdict in verdicts:
        if verdict.limit is None or verdict.quantity is None:
            rows.append((_WORDS[verdict.status], verdict.run, "–", "–"))
            continue
        (limit,) = parse_limit(verdict.limit)
        judged = verdict.judged
        if judged is None and verdict.status != "error":
            judged = verdict.value  # of a check that was saved before there was this key
        value = "–" if judged is None else decisive_amount(limit, judged)
        run = runs.get(verdict.run)
        if run is not None and verdict.status != "error" and (span := run.intervals.get(verdict.quantity)):
            usd = 1.0  # the range is in US dollars, and the verdict in the currency of its limit
            if run.budget is not None and limit.currency not in (None, USD):
                usd = run.budget.exchange_rate or 1.0
            written_in = partial(amount, limit.quantity, currency=limit.currency)
            ends = format_range(span[0] / usd, span[1] / usd, written_in)
            chance = "" if verdict.chance is None else f"; {percent(verdict.chance)} chance to keep it"
            value += f" ({ends}{chance})"
        written = f"{verdict.limit.partition(' ')[0]} {limit.op} {bound(limit)}"
        rows.append((_WORDS[verdict.status], verdict.run, written, value))
    return ReportTable(("", "run", "limit", "value"), rows=rows, text={"", "run", "limit", "value"})


def _line(verdict: Verdict) -> str:
    """Return a line that editors and log viewers can follow to the place, with note, hint and further places."""
    level = "warning" if verdict.status == "warn" else "error"
    place = verdict.file if verdict.line is None else f"{verdict.file}:{verdict.line}"
    parts = (
        f"{place}: {level}: {verdict.run}: {_without(place, verdict.message)}",
        verdict.note,
        f"hint: {verdict.hint}" if verdict.hint else "",
        _also(place, [f"{at.file}:{at.line}" for at in verdict.also]),
    )
    return "; ".join(filter(None, parts))


def _without(place: str, message: str) -> str:
    """Return a message without the place that its line begins with."""
    return message.replace(f": {place}: ", ": ", 1)


_FEW = 3
"""Further places that a line names; a value of a training config may come from twenty."""


def _also(place: str, others: Iterable[str]) -> str:
    """Return further places once each, of many the first few."""
    found = [other for other in dict.fromkeys(others) if other != place]
    if len(found) <= _FEW + 1:
        return f"see also {', '.join(found)}" if found else ""
    return f"see also {', '.join(found[:_FEW])} and {len(found) - _FEW} lines more"


def _runs(runs: Sequence[CheckedRun]) -> Report:
    names = ("params", "tokens", "flops", "gpu_hours", "cost", "loss")
    rows = []
    for run in runs:
        values = [(name, run.values.get(name)) for name in names]
        rows.append((run.name, *("–" if value is None else amount(name, value) for name, value in values)))
    columns = ("run", "params", "tokens", "compute", "GPU-hours", "cost", "loss")
    budgets = [run.budget for run in runs if run.budget is not None]
    remarks = band_remarks(budgets, what="GPU-hours, days, cost, energy and carbon")
    return Report(title="plans", grid=ReportTable(columns, rows=rows, text={"run"}), remarks=[*remarks])


def check_cases(result: Check) -> tuple[Judgement, ...]:
    """Return one case a verdict, and for a run without limits one that passes, or warns where no run has any."""
    judged = {verdict.run for verdict in result.verdicts}
    unlimited = (
        Judgement(
            suite=run.name,
            name="no limits",
            rule="no-limits",
            status="warn" if run.file in result.unlimited else "pass",
            message="there are no limits to keep",
            locations=(Location(file=run.file, line=run.line, key=""),),
        )
        for run in result.runs
        if run.name not in judged
    )
    return (*map(_case, result.verdicts), *unlimited)


def _case(verdict: Verdict) -> Judgement:
    details = (
        verdict.note,
        f"hint: {verdict.hint}" if verdict.hint else "",
        "" if verdict.policy_line is None else f"limit at {verdict.policy_file}:{verdict.policy_line}",
    )
    return Judgement(
        suite=verdict.run,
        name=verdict.limit or "plan",
        rule=verdict.quantity or "unreadable",
        status=verdict.status,
        message=verdict.message,
        details=tuple(filter(None, details)),
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
    "gpu_hours": "GPU-hours",
    "days": "time",
    "energy_kwh": "energy",
    "carbon_kg": "carbon",
    "memory_gb": "least memory",
}

_MOST_DIGITS = 17

_SAME = 5e-13  # relative; what rounding in the last places does to a number is no change


def diff_report(result: Difference) -> Report:
    """Return the report: verdicts, then a table for the total and for every run that changed."""
    if result.kind is not None:
        return _value_report(result)
    runs = list(dict.fromkeys(change.run for change in result.changes if change.run is not None))
    by_run = {name: [change for change in result.changes if change.run == name] for name in runs}
    total = [change for change in result.changes if change.run is None]
    status = {name: by_run[name][0].status for name in runs}
    shown = [name for name in runs if status[name] != "same"]
    sections = [_section("total", total)] if total and shown else []
    for name in shown:
        if status[name] == "renamed":
            continue
        title = name if status[name] == "changed" else f"{name} ({status[name]})"
        sections.append(_section(title, by_run[name]))
    remarks = [*_problems(result)]
    remarks += [_verdict(breach) for breach in result.judged]
    if shown and result.band is not None:
        remarks.append(
            f"GPU-hours, days, cost, energy and carbon of each side: {band_text(result.band)} (default utilisation); "
            "the same error moves both sides"
        )
    renamed = [name for name in shown if status[name] == "renamed"]
    unchanged = len(runs) - len(shown)
    if unchanged and shown:
        remarks.append(f"{unchanged:,} {'run is' if unchanged == 1 else 'runs are'} unchanged")
    change = "nothing else changed" if result.problems else "nothing changed"
    if result.status == "base_unreadable":
        change = f"{result.before} cannot be read in full; {result.after} keeps its policy"
    elif renamed:
        change = "the run has another name, and the same values"
    elif shown:
        change = "the run changed" if len(runs) == 1 else f"{len(shown):,} of {len(runs):,} runs changed"
    return Report(title=f"{result.before} → {result.after}: {change}", remarks=remarks, sections=sections)


def _value_report(result: Difference) -> Report:
    """Return the report of two results without runs: verdicts, what changed in numbers, then in texts."""
    changes = [change for change in result.changes if not _still(change)]
    shown = changes[:_MOST_ROWS]
    texts = [change for change in shown if isinstance(change.before, str) or isinstance(change.after, str)]
    numbers = [change for change in shown if change not in texts]
    remarks = [_verdict(breach) for breach in result.judged]
    remarks += [f"{change.quantity}: {_texts(change)}" for change in texts]
    if len(changes) > len(shown):
        remarks.append(f"{counted(len(changes) - len(shown), 'further value')} changed; --format csv lists all")
    rows = [_row(change, change.quantity) for change in numbers]
    change = f"{counted(len(changes), 'value')} changed" if changes else "nothing changed"
    return Report(
        title=f"{result.before} → {result.after}: {change}", grid=_compared(rows) if rows else None, remarks=remarks
    )


_SHARED = 12  # characters before the first difference of two texts that are shown where all that they share is not


def _texts(change: Change) -> str:
    before, after = (None if value is None else plain(value) for value in (change.before, change.after))
    if before is None or after is None:
        return f"{quote(before or after)} {change.status}"
    if quote(before) == quote(after):
        pairs = enumerate(zip(before, after, strict=False))
        first = next((i for i, (old, new) in pairs if old != new), min(len(before), len(after)))
        start = max(0, first - _SHARED)
        before, after = f"…{before[start:]}", f"…{after[start:]}"
    return f"{quote(before)} → {quote(after)}"


def _section(title: str, changes: Sequence[Change]) -> Report:
    rows = [_row(change, _LABELS.get(change.quantity, change.quantity)) for change in changes if not _still(change)]
    return Report(title=title, grid=_compared(rows))


def _compared(rows: Sequence[tuple[str, ...]]) -> ReportTable:
    return ReportTable(("", "before", "after", "change", "%"), rows=rows, text={""})


def _still(change: Change) -> bool:
    same = change.before == change.after and isinstance(change.before, bool) == isinstance(change.after, bool)
    return same or (change.ratio is not None and abs(change.ratio) <= _SAME)


def _row(change: Change, label: str) -> tuple[str, ...]:
    quantity = change.quantity
    before, after = (_written(quantity, value) for value in (change.before, change.after))
    digits = 4
    while change.change is not None and before == after and digits <= _MOST_DIGITS:
        # a change too small for three digits shows as many as it takes
        before, after = (_written(quantity, value, digits=digits) for value in (change.before, change.after))
        digits += 1
    if change.change is None:
        return label, before, after, "", ""
    size = abs(change.change)
    moved = format_number(100 * size) + " points" if quantity == "compute_overhead" else _written(quantity, size)
    percent = "" if change.ratio is None else format_fraction(abs(change.ratio))
    sign = "+" if change.change > 0 else "-"
    return label, before, after, sign + moved, percent and sign + percent


_LONGEST_COUNT = 1_000_000  # a whole number below it is written with every digit


def _written(quantity: str, value: Value, *, digits: int = 3) -> str:
    """Write a value of a quantity in its unit, and any other as it is."""
    if value is None:
        return "–"
    if isinstance(value, str | bool):
        return plain(value)
    if quantity == "days":
        return format_days(value, digits=digits)
    if quantity in QUANTITIES:
        return amount(quantity, value, digits=digits)
    is_count = isinstance(value, int) and abs(value) < _LONGEST_COUNT
    return f"{value:,}" if is_count else format_number(value, digits=digits)


def _problems(result: Difference) -> Iterator[str]:
    """Yield what could not be read; what could not on either side for the same reason once."""
    reasons = {(problem.run, problem.message) for problem in result.problems if problem.side == "after"}
    twice = set()
    for problem in result.problems:
        reason = (problem.run, problem.message.removeprefix(f"at {quote(result.before)}: "))
        if problem.side == "before" and reason in reasons:
            twice.add(reason)
        else:
            yield _problem(problem, result) + (", on both sides" if reason in twice else "")


def _problem(problem: Unreadable, result: Difference) -> str:
    word, place = "error" if _stops(problem, result) else "warning", problem.file
    if problem.line is not None:
        place = f"{problem.file}:{problem.line}"
    hint = f"; hint: {problem.hint}" if problem.hint else ""
    return f"{place}: {word}: {_without(place, problem.message)}{hint}"


def _stops(problem: Unreadable, result: Difference) -> bool:
    """Return whether something unreadable fails the comparison: the base alone does not, where the rest is judged."""
    return problem.side == "after" or result.status == "unreadable"


def _verdict(breach: Breach) -> str:
    word = _WORDS[breach.status]
    run = f"{breach.run}: " if breach.run is not None else ""
    return f"{word}: {run}{breach.message}"


def diff_cases(result: Difference) -> tuple[Judgement, ...]:
    """Return one case for everything that could not be read, and for every change that was judged."""
    unread = tuple(
        Judgement(
            suite=problem.run
            if problem.run is not None
            else result.before
            if problem.side == "before"
            else result.after,
            name="plan" if problem.run is not None else "file",
            rule="unreadable",
            status="error" if _stops(problem, result) else "warn",
            message=problem.message,
            details=(f"hint: {problem.hint}",) if problem.hint else (),
            # the lines of another revision are not those of the files at hand
            locations=(Location(file=problem.file, line=problem.line, key=""),) if problem.side == "after" else (),
        )
        for problem in result.problems
    )
    return unread + tuple(
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
    """Return what the new file has, and what to do with it."""
    if not result.configs:
        return Report(title=result.file, remarks=("describe your runs in it, then: scaleplan check",))
    runs = counted(len(result.configs), "training config")
    remarks = (
        f"{runs} found, with a run each: {', '.join(result.configs)}",
        "judge them by its policy: scaleplan check",
        "in CI: scaleplan diff --base main --fail-on 'total cost increase > 50%'",
    )
    return Report(title=result.file, remarks=remarks)
