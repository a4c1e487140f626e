"""A check for people and for CI services: what is not kept first, where it comes from, and what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.cases import Case, Location
from scaleplan.formats.report import Grid, Report
from scaleplan.policy.wording import amount, bound
from scaleplan.quantities.limits import parse_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.policy.verdict import Check, CheckedRun, Verdict

__all__ = ["check_cases", "check_report"]

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


def _grid(verdicts: Sequence[Verdict]) -> Grid:
    rows = []
    for verdict in verdicts:
        if verdict.limit is None or verdict.quantity is None:
            rows.append((_WORDS[verdict.status], verdict.run, "–", "–"))
            continue
        value = "–" if verdict.value is None else amount(verdict.quantity, verdict.value)
        rows.append((_WORDS[verdict.status], verdict.run, _written(verdict.limit), value))
    return Grid(columns=("", "run", "limit", "value"), rows=tuple(rows), text=frozenset({"", "run", "limit"}))


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
    return Report(title="plans", grid=Grid(columns=columns, rows=tuple(rows), text=frozenset({"run"})))


def check_cases(result: Check) -> tuple[Case, ...]:
    """Return one case a verdict, and for a run without limits one that passes."""
    judged = {verdict.run for verdict in result.verdicts}
    cases = [_case(verdict) for verdict in result.verdicts]
    cases += [
        Case(suite=run.name, name="no limits", rule="no-limits", status="pass", message="there are no limits to keep")
        for run in result.runs
        if run.name not in judged
    ]
    return tuple(cases)


def _case(verdict: Verdict) -> Case:
    details = [verdict.note] if verdict.note else []
    if verdict.hint:
        details.append(f"hint: {verdict.hint}")
    if verdict.policy_line is not None:
        details.append(f"limit at {verdict.policy_file}:{verdict.policy_line}")
    also = (Location(file=at.file, line=at.line, what=at.key) for at in verdict.also)
    return Case(
        suite=verdict.run,
        name=verdict.limit or "plan",
        rule=verdict.quantity or "unreadable",
        status=verdict.status,
        message=verdict.message,
        details=tuple(details),
        locations=(Location(file=verdict.file, line=verdict.line, what=verdict.key), *also),
    )
