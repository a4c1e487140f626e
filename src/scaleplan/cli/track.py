"""The command about a running training: track."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan.charts.drawing import draw, picture_path
from scaleplan.charts.track_plots import track_chart
from scaleplan.cli.command import Answer, chosen_format, command, single
from scaleplan.cli.options import (
    EVERYDAY,
    MORE,
    PANELS,
    DeviceOptions,
    OutputOptions,
    keywords,
)
from scaleplan.cli.streaming import LineStyle, plan_chunks
from scaleplan.errors import UsageError
from scaleplan.files import write_atomic
from scaleplan.output.views.track import track_line
from scaleplan.tracking.stopping import StoppedError
from scaleplan.tracking.track import tracked, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.tracking.tracked_run import Tracked, Tracking

__all__ = ["APPS", "TrackOptions"]

APPS = {"track": single()}

_EVERY = "60s"

_JOBS = "Watching, and stopping a job"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackOptions:
    """What is known of a run beside its log."""

    TITLE = "Tracked run"

    plan: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The plan: saved with --json, or a registered forecast."),
        EVERYDAY,
    ] = None
    pilots: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Smaller runs of the same recipe: a table or logs."),
        EVERYDAY,
    ] = None
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Learning rate, if the log lacks it: cosine, wsd, …. For example 'cosine:end=10%', 'wsd:decay=20%'.",
        ),
        EVERYDAY,
    ] = None
    steps: Annotated[
        str | None, typer.Option(metavar="N", help="Steps at the end of the run, if the log does not say."), EVERYDAY
    ] = None
    run: Annotated[str | None, typer.Option(metavar="NAME", help="Which run, of a log that holds several.")] = None
    loss: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which loss to track: val or train; chosen if not given."),
    ] = None


@command(
    APPS["track"],
    examples=[
        "scaleplan track train.log --steps 20000",
        "scaleplan track train.log --plan plan.json --pilots pilots/ --gpu h100-sxm --gpus 64",
        "scaleplan track train.log --preset my-law.toml --params 7B --fail-on 'loss > 2.1@90%' --json",
        "scaleplan track trainer_state.json --watch --fail-on 'verdict = diverging'",
    ],
)
def track(
    options: TrackOptions,
    devices: DeviceOptions,
    output: OutputOptions,
    *,
    log: Annotated[
        str, typer.Argument(metavar="LOG", help="Log of the run: a file of any trainer, or its folder; - for stdin.")
    ],
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            "-p",
            metavar="NAME",
            rich_help_panel=TrackOptions.TITLE,
            help="Law to judge by: a .toml file that 'fit' wrote.",
        ),
    ] = None,
    params: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            rich_help_panel=TrackOptions.TITLE,
            help="Parameters of the model: 7B; by the log or a config.json beside it.",
        ),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="D",
            rich_help_panel=TrackOptions.TITLE,
            help="Tokens at the end of the run, if the log does not say: 5T.",
        ),
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            rich_help_panel=_JOBS,
            help="Exit status 1 where it holds, repeatable: 'loss > 2.1@90%', 'verdict = worse', 'days_left > 3'.",
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            rich_help_panel=_JOBS,
            help="Follow the log until the run ends, or a condition of --fail-on holds.",
        ),
    ] = False,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", rich_help_panel=_JOBS, help="Least time between two looks: 30s; 60s if not given."
        ),
        MORE,
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Draw the run as a .png, .svg or .pdf file too.",
            rich_help_panel=PANELS["output"],
        ),
    ] = None,
) -> Answer:
    """Forecast the final loss of a running training from its log, and judge it by what was planned.

    A plan, a law of your own or smaller runs judge it; --gpu and --gpus tell its MFU and the money left. The exit
    status is 1 where a condition of --fail-on holds.
    """
    path = None if file is None else picture_path(file, inputs=(log, options.plan, options.pilots, preset))
    given = keywords(options, devices) | {"preset": preset, "params": params, "tokens": tokens}
    given["fail_on"] = fail_on or ()
    if watch:
        if path is not None:
            raise UsageError("--watch draws no file", hint="leave out -o, or look once")
        looks = watched(log, every=every or _EVERY, spent=time.process_time(), **given)
        return Answer(chunks=_watching(looks, output))
    if every is not None:
        raise UsageError("--every is the time between the looks of --watch", hint="add --watch, or leave it out")
    found = tracked(log, **given)
    result = found.tracking
    write = None
    if path is not None:
        write = partial(write_atomic, path, draw(track_chart(found), path.suffix[1:].lower()))
    return Answer(result=result, notices=result.warnings, write=write, failure=_failure(result))


def _failure(result: Tracking) -> StoppedError | None:
    """Return the error of a run that must stop."""
    return StoppedError("; ".join(result.stopped_by)) if result.stopped_by else None


def _watching(looks: Iterator[Tracked], output: OutputOptions) -> Iterator[str]:
    """Yield one line a look, in place on a terminal; raises StoppedError at the end of a run that must stop."""
    last: list[Tracking] = []

    def results() -> Iterator[Tracking]:
        for each in looks:
            last[:] = [each.tracking]
            yield each.tracking

    name = chosen_format(output)
    if name == "text" and output.get is None and output.fields is None:
        yield from _lines(results(), in_place=sys.stdout.isatty())
    else:
        yield from plan_chunks(results(), LineStyle.of(output, name))
    failure = _failure(last[0]) if last else None
    if failure is not None:
        raise failure


def _lines(results: Iterator[Tracking], *, in_place: bool) -> Iterator[str]:
    for result in results:
        yield f"\r{track_line(result)}\x1b[K" if in_place else f"{track_line(result)}\n"
    if in_place:
        yield "\n"
