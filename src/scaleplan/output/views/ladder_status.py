"""Show how far a ladder is: how many runs are done, a row of each, why some are not, what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.logs.run_sizes import names_listed
from scaleplan.output import Fact, Report, ReportTable
from scaleplan.units import (
    counted,
    format_count,
    format_days,
    format_factor,
    format_fraction,
    format_hours,
    format_number,
    format_seconds,
    money_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scaleplan.ladder.status import LadderStatus, PilotStatus

__all__ = ["ladder_status_report"]

_ABSENT = "–"

_COLUMNS: dict[str, Callable[[PilotStatus], str]] = {
    "state": lambda run: run.state,
    "params": lambda run: format_count(run.params),
    "done": lambda run: _shown(run.share, lambda share: format_fraction(share, digits=2)),
    "loss": lambda run: _shown(run.loss, lambda loss: format_number(loss, digits=4)),
    "silent": lambda run: _shown(run.quiet_hours, _silence),
    "took": lambda run: _shown(run.hours, _time),
    "left": lambda run: "" if run.state == "finished" else _shown(run.hours_left, _time),
}


def _shown(value: float | None, written: Callable[[float], str]) -> str:
    return "" if value is None else written(value)


def _time(hours: float) -> str:
    """Write a time in the unit that suits it: runs of a ladder take seconds, and days."""
    return format_seconds(3600 * hours, digits=2)


def _silence(hours: float) -> str:
    """Write how long nothing was written, which is known in whole minutes."""
    seconds = 3600 * hours
    return format_seconds(seconds, digits=2, like=max(seconds, 120.0)) if seconds >= 1.0 else "< 1 minute"


def ladder_status_report(found: LadderStatus) -> Report:
    """Return the report: counts, what is used and left, a row of each run, and why runs are not finished."""
    columns = {name: [cell(run) for run in found.runs] for name, cell in _COLUMNS.items()}
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    names = [run.run for run in found.runs]
    rows = list(zip(names, *([cell or _ABSENT for cell in cells] for cells in kept.values()), strict=True))
    return Report(
        title=_title(found),
        facts=[*_facts(found)],
        grid=ReportTable(("run", *kept), rows=rows, text={"run", "state"}),
        remarks=[*_reasons(found), *_remarks(found)],
    )


def _title(found: LadderStatus) -> str:
    counts = {
        "short": found.short,
        "running": found.running,
        "failed": found.failed,
        "stopped": found.stopped,
        "to run": found.to_run,
    }
    others = ", ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    runs = counted(found.total, "run")
    return f"{found.folder}: {found.finished:,} of {runs} finished{'; ' if others else ''}{others}"


def _facts(found: LadderStatus) -> Iterator[Fact]:
    """Yield what is done, used and left."""
    money = money_in(found.currency)
    yield Fact("compute done", format_fraction(found.share, digits=2))
    if found.gpu_hours is not None:
        cost = "" if found.cost is None else money(found.cost)
        yield Fact("used", format_hours(found.gpu_hours, unit="GPU-hours"), unit=cost)
    if found.finished < found.total and found.gpu_hours_left is not None and found.days_left is not None:
        cost = "" if found.cost_left is None else f"{money(found.cost_left)}, "
        time = f"{format_days(found.days_left)} with {found.at_once:,} at a time"
        yield Fact("left", format_hours(found.gpu_hours_left, unit="GPU-hours"), unit=f"{cost}{time}")


_MOST_REASONS = 12  # that are shown; --json has all


def _reasons(found: LadderStatus) -> Iterator[str]:
    """Yield why runs are not finished, alike reasons once."""
    alike: dict[str, list[str]] = {}
    for run in found.runs:
        if run.reason is not None:
            alike.setdefault(run.reason, []).append(run.run)
    for reason, names in list(alike.items())[:_MOST_REASONS]:
        yield f"{names_listed(names)}: {reason}"
    if len(alike) > _MOST_REASONS:
        yield f"and {len(alike) - _MOST_REASONS:,} other reasons; --fields run,state,reason shows all"


def _remarks(found: LadderStatus) -> Iterator[str]:
    """Yield what the time that is left is by, and what starts the rest."""
    if found.rest is not None:
        how = "" if not found.submit else f": {found.submit}"
        yield f"{found.rest} {'starts' if found.submit else 'lists'} {counted(found.to_start, 'run')}{how}"
    if found.finished < found.total and found.gpu_hours_left is not None:
        by = "as predicted"
        if found.speed_factor is not None:
            by = f"{format_factor(found.speed_factor)} the predicted time, as finished runs took"
        again = "; runs that start again do all of their steps" if found.failed + found.stopped + found.short else ""
        yield f"left: {by}{again}"
    if found.rest is None and found.next_command is not None:
        yield f"{_next(found)}: {found.next_command}"


def _next(found: LadderStatus) -> str:
    """Return what the next command does."""
    if found.finished == found.total:
        return "fit them"
    if found.to_run == found.total:
        return "start them"
    return f"write a file that starts {'the other' if found.to_start == 1 else f'the other {found.to_start:,}'}"
