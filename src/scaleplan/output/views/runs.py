"""Show the runs of logs: one in full, several as a table that fits a narrow terminal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from scaleplan.output import Fact, Report, ReportTable
from scaleplan.units import (
    counted,
    format_count,
    format_days,
    format_flops,
    format_fraction,
    format_number,
    format_plain,
    format_power,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scaleplan.logs.logged_run import LoggedRun, LoggedRuns

__all__ = ["runs_report"]

_WIDTH = 80
_LEAST_NAME = 12  # characters of a name that tell runs apart
_ABSENT = "–"

_SOURCES = {
    "config.json": "counted by the config.json beside the log", "log": "as the log states", "name": "by the name",
    "run.json": "of the ladder",
}  # fmt: skip


def _loss(value: float) -> str:
    return format_number(value, digits=4)


def _rate(value: float) -> str:
    return format_power(value)


_COLUMNS: dict[str, Callable[[LoggedRun], str]] = {
    "state": lambda run: run.state or "",
    "params": lambda run: _shown(run.params, format_count),
    "tokens": lambda run: _shown(run.tokens, format_count),
    "loss": lambda run: _shown(run.loss, _loss),
    "val": lambda run: _shown(run.val_loss, _loss),
    "lr": lambda run: _shown(run.lr, _rate),
    "schedule": lambda run: "" if run.schedule == "unknown" else run.schedule,
    "steps": lambda run: _shown(run.steps, format_count),
}


def _shown(value: float | None, written: Callable[[float], str]) -> str:
    return "" if value is None else written(value)


def runs_report(found: LoggedRuns) -> Report:
    """Return the report of one run, or the table of several, without the columns that none of them has."""
    if len(found.runs) == 1:
        return _one(found.runs[0])
    columns = {name: [cell(run) for run in found.runs] for name, cell in _COLUMNS.items()}
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    width = 2 + sum(2 + max(len(name), *map(len, cells)) for name, cells in kept.items()) if found.runs else 0
    names = [_shortened(run.run, max(_LEAST_NAME, _WIDTH - width)) for run in found.runs]
    rows = list(zip(names, *([cell or _ABSENT for cell in cells] for cells in kept.values()), strict=True))
    return Report(
        title=_title(found.runs),
        grid=ReportTable(("run", *kept), rows=rows, text={"run", "state", "schedule"}) if rows else None,
        remarks=[*_remarks(found.runs)],
    )


def _shortened(name: str, width: int) -> str:
    """Return a name without its middle: runs of a sweep differ at either end."""
    if len(name) <= width:
        return name
    end = (width - 1) // 2
    return f"{name[: width - 1 - end]}…{name[-end:]}"


def _title(runs: Sequence[LoggedRun]) -> str:
    states = Counter(run.state or "of unknown end" for run in runs)
    listed = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return f"{counted(len(runs), 'run')}{': ' if listed else ''}{listed}"


def _remarks(runs: Sequence[LoggedRun]) -> Iterator[str]:
    """Yield what the losses are, and what the parameters are from."""
    parts = []
    if any(run.loss is not None for run in runs):
        parts.append("loss: training, the median of the last part of each run")
    if any(run.val_loss is not None for run in runs):
        parts.append("val: the last validation loss")
    if parts:
        yield "; ".join(parts)
    sources = Counter(run.params_from.rpartition("/")[2] for run in runs if run.params_from is not None)
    if sources:
        listed = ", ".join(f"{_SOURCES.get(source, source)} ({count})" for source, count in sources.most_common(3))
        yield f"params: {listed}{', …' if len(sources) > 3 else ''}"


def _one(run: LoggedRun) -> Report:
    """Return the report of one run."""
    seen = "no step" if run.steps is None else f"step {_step(run.steps)}"
    end = "" if run.total_steps is None else f" of {_step(run.total_steps)}"
    title = f"{run.state} at {seen}{end}" if run.state else f"{seen}{end}, how it ended is not known"
    return Report(title=f"{run.run}: {title}", facts=[*_facts(run)], remarks=[f"{run.format}, {_place(run)}"])


def _place(run: LoggedRun) -> str:
    return f"{run.source}:{run.line}" if run.line > 1 else run.source


def _step(value: float) -> str:
    return f"{value:,.0f}" if abs(value) < _EXACT else format_plain(value)


_EXACT = 2.0**53
"""Whole numbers above it are not all numbers of double precision: their digits say nothing."""


def _facts(run: LoggedRun) -> Iterator[Fact]:
    """Yield what is known of a run, with what it is from."""
    by = {None: "", "given": "given"}
    for label, value, written, note in (
        ("parameters", run.params, format_count, by.get(run.params_from, f"from {run.params_from}")),
        ("tokens", run.tokens, format_count, run.tokens_from or ""),
        ("compute", run.flops, format_flops, ""),
        ("training loss", run.loss, _loss, run.smoothing or ""),
        ("validation loss", run.val_loss, _loss, _at(run.val_step)),
        ("best validation loss", _unless(run.best_val_loss, run.val_loss), _loss, _at(run.best_val_step)),
        ("learning rate", run.lr, _rate, _schedule(run)),
        ("tokens per step", run.tokens_per_step, format_count, ""),
        ("tokens a second", run.tokens_per_second, format_count, ""),
        ("MFU", run.mfu, format_fraction, ""),
        ("time", run.days, format_days, ""),
    ):
        if value is not None:
            yield Fact(label, written(value), unit=note)
    if run.lr is None and run.schedule != "unknown":
        yield Fact("schedule", _schedule(run), prose=True)


def _unless(value: float | None, other: float | None) -> float | None:
    return None if value == other else value


def _at(step: float | None) -> str:
    return "" if step is None else f"step {_step(step)}"


def _schedule(run: LoggedRun) -> str:
    parts = [run.schedule if run.schedule != "unknown" else "schedule unknown"]
    parts += [f"warm-up of {_step(run.warmup)} steps"] if run.warmup else []
    parts += [] if run.end_lr is None else [f"ends at {_rate(run.end_lr)}"]
    return ", ".join(parts)
