"""The report of a choice from a pool: the candidates to train, and what they and other lists are expected to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.output import Report, ReportTable
from scaleplan.units import counted, format_flops, format_fraction, format_number, format_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.fitting.candidate_pool import PoolDesign, PoolRival

__all__ = ["pool_report"]

_CALLED = frozenset({"name", "run", "id", "run_name"})  # columns that name a candidate, which are no input

_MOST_COLUMNS = 8  # of the file, beside number and cost: what fits a terminal; csv and json have all


def pool_report(design: PoolDesign) -> Report:
    """Return the report of one choice."""
    names = [name for name in design.runs[0].cells if name not in design.ignored] if design.runs else []
    called = [name for name in (design.runs[0].cells if design.runs else ()) if name.lower() in _CALLED]
    shown = [*called, *(name for name in names if name not in called)][:_MOST_COLUMNS]
    rows = [
        (
            str(run.row),
            *(_cell(run.cells[name], is_name=name in called) for name in shown),
            _cost(design, run.cost),
        )
        for run in design.runs
    ]
    best = ("this list", str(len(design.runs)), _cost(design, design.spent), _error(design.error))
    compared = [
        best,
        *((item.name, str(item.runs), _cost(design, item.cost), _error(item.error)) for item in design.rivals),
    ]
    if design.before is not None:
        compared.insert(0, ("the runs that are there", "", "", _error(design.before)))
    share = format_fraction(design.spent / design.pool_cost, digits=2)
    return Report(
        title=f"{counted(len(design.runs), 'run')} of {design.candidates:,} candidates, for "
        f"{_cost(design, design.spent)}, {share} of the cost of all",
        grid=ReportTable(("row", *shown, "cost"), rows=rows, text=set(called)),
        sections=(
            Report(
                title="expected relative error of the loss at the targets, each list for the same budget",
                grid=ReportTable(("list", "runs", "cost", "error"), rows=compared, text={"list"}),
                remarks=[*_remarks(design)],
            ),
        ),
    )


def _cell(value: str | float | bool | None, *, is_name: bool) -> str:
    """Return a cell of the file: a name as it stands, a number as numbers are written here."""
    if value is None or is_name or isinstance(value, bool):
        return "" if value is None else str(value)
    try:
        return format_plain(float(value))
    except ValueError:
        return str(value)


def _cost(design: PoolDesign, value: float) -> str:
    return format_flops(value) if design.in_flops else format_number(value)


def _error(value: float) -> str:
    return format_fraction(value, digits=2)


def _remarks(design: PoolDesign) -> Iterator[str]:
    yield f"targets: {design.targets}"
    yield (
        f"inputs: {', '.join(design.inputs)}; cost by {design.cost_by}; errors by {design.model}, with noise of "
        f"{format_fraction(design.noise, digits=2)}, whatever the losses of the pool are"
    )
    for rival in design.better_rivals():
        yield f"{rival.name}: a smaller expected error{_reason(design, rival)}"


def _reason(design: PoolDesign, rival: PoolRival) -> str:
    if rival.bounded:
        return ""
    return f" by {rival.runs:,} runs, where a list has at most {design.most_runs}: --most-runs {rival.runs}"
