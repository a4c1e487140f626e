"""The report of a ladder: each run with its model and tuning, what all of them take, and how they are submitted."""

from __future__ import annotations

import shlex
from itertools import groupby
from typing import TYPE_CHECKING

from scaleplan.output import Fact, Report, ReportTable
from scaleplan.units import (
    counted,
    format_count,
    format_days,
    format_flops,
    format_hours,
    format_number,
    format_power,
    money_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.ladder.ladder import Ladder, LadderRun

__all__ = ["ladder_report"]


def ladder_report(ladder: Ladder) -> Report:
    """Return the report of a ladder, with a row for the seeds of a run together."""
    timed = ladder.gpu_hours is not None
    rows = [_row(list(seeds), timed=timed) for _, seeds in groupby(ladder.runs, key=_same)]
    columns = ("parameters", "tokens", "seeds", "shape", "batch", "steps", "rate")
    return Report(
        title=f"{counted(len(ladder.runs), 'pilot run')} for {format_flops(ladder.flops)} in {ladder.folder}/, "
        "longest first",
        facts=[*_facts(ladder)],
        grid=ReportTable((*columns, *(("hours", "limit") if timed else ())), rows=rows),
        remarks=[*_remarks(ladder)],
    )


def _same(run: LadderRun) -> tuple[float, ...]:
    """Return what runs have in common that differ by their seed alone."""
    return run.params, run.tokens, run.layers, run.width, run.batch, run.lr, run.hours or 0.0


def _row(seeds: list[LadderRun], *, timed: bool) -> tuple[str, ...]:
    run = seeds[0]
    times = (run.hours, run.limit_hours) if timed else ()
    return (
        format_count(run.params),
        format_count(run.tokens),
        str(len(seeds)),
        f"{run.layers} x {run.width}",
        format_count(run.batch),
        f"{run.steps:,}",
        format_power(run.lr),
        *("–" if each is None else format_number(each) for each in times),
    )


def _facts(ladder: Ladder) -> Iterator[Fact]:
    """Yield what all runs take: as predicted, and at most by their limits of time."""
    money = money_in(ladder.currency)
    for label, value, most, written in (
        ("GPU-hours", ladder.gpu_hours, ladder.most_gpu_hours, format_hours),
        ("time", ladder.days, ladder.most_days, format_days),
        ("cost", ladder.cost, ladder.most_cost, money),
    ):
        if value is not None:
            yield Fact(label, written(value), unit="" if most is None else f"at most {written(most)} by the limits")


def _head(ladder: Ladder) -> str:
    """Return how the vocabulary stands to the output head, which a program must do alike to have the parameters."""
    apart = [run.params for run in ladder.runs if run.tied_embeddings is False]
    if any(run.tied_embeddings is None for run in ladder.runs):
        return ""  # a ladder that an earlier version wrote
    if not apart:
        return ", tied to the output head"
    return ", apart from the output head" + (
        "" if len(apart) == len(ladder.runs) else f" from {format_count(min(apart))} parameters on, tied to it below"
    )


def _remarks(ladder: Ladder) -> Iterator[str]:
    """Yield what the numbers stand on, and how the runs are submitted."""
    yield (
        f"for {format_flops(ladder.target)} by {ladder.law}; shape: layers x width, {ladder.style} style, "
        f"vocabulary of {ladder.runs[0].vocab:,}{_head(ladder)}; batch in tokens and learning rate by {ladder.rule}"
    )
    machine = f"{counted(ladder.gpus, 'GPU')} each" if ladder.gpu is None else f"{ladder.gpus} x {ladder.gpu} each"
    price = "" if ladder.price is None else f" at {money_in(ladder.currency)(ladder.price)} per GPU-hour"
    time = "no time or cost: --gpu predicts them" if ladder.gpu_hours is None else "waiting in a queue is not counted"
    yield f"{counted(ladder.at_once, 'run')} at once on {machine}{price}; {time}"
    if ladder.submit:
        yield f"nothing is submitted yet; submit them: {ladder.submit}"
    else:
        yield f"nothing is started: {ladder.folder}/{ladder.file} has the command of each run"
    copied = f", once their folders are copied from {ladder.storage}" if ladder.storage is not None else ""
    yield f"how far they are{copied}: scaleplan ladder status {shlex.quote(ladder.folder)}"
