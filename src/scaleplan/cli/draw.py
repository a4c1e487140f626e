"""The commands that draw: plot and report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from scaleplan.charts.drawing import draw, picture_path
from scaleplan.charts.plots import PICTURES
from scaleplan.charts.plots import plot as chart_of
from scaleplan.cli.command import Answer, chosen_format, command, single
from scaleplan.cli.fit import ReadingOptions  # noqa: TC001  read at run time, for its options
from scaleplan.cli.options import BoundOptions, BudgetOptions, ConstraintOptions, LawOptions, OutputOptions, keywords
from scaleplan.cli.track import TrackOptions  # noqa: TC001  likewise
from scaleplan.files import require_writable, write_atomic
from scaleplan.output.html.page import page
from scaleplan.output.html.subject import gather

__all__ = ["APPS"]

T = TypeVar("T")

_OF_RUNS = [name for name, picture in PICTURES.items() if picture.need == "runs"]

APPS = {name: single() for name in ("plot", "report")}


@command(
    APPS["plot"],
    examples=[
        "scaleplan plot isoflop --flops 1e21",
        "scaleplan plot frontier -o frontier.pdf",
        "scaleplan plot cost --cost 250k --gpu h100-sxm",
        "scaleplan plot break-even --flops 1e22 --inference-tokens 1T",
        "scaleplan plot forecast runs.csv -o forecast.png",
        "scaleplan plot residuals runs.csv --map loss=eval/loss --best",
        "scaleplan plot track train.log --steps 20000 --plan plan.json -o run.svg",
    ],
)
def plot(
    budget: BudgetOptions,
    law: LawOptions,
    bounds: BoundOptions,
    constraints: ConstraintOptions,
    output: OutputOptions,
    *,
    reading: ReadingOptions,
    tracking: TrackOptions,
    kind: Annotated[str, typer.Argument(metavar="PICTURE", help=f"What to draw: {', '.join(PICTURES)}.")],
    runs: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUNS]",
            help=f"The file of runs, for {', '.join(_OF_RUNS)}; the log of a run, for track.",
        ),
    ] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="AMOUNT", help="The least compute to show.")] = None,
    stop: Annotated[str | None, typer.Option("--to", metavar="AMOUNT", help="The most compute to show.")] = None,
    laws: Annotated[
        list[str] | None, typer.Option("--with", metavar="NAME", help="A law for compare, repeatable.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Draw a .png, .svg or .pdf file instead of text."),
    ] = None,
) -> Answer:
    """Draw a picture, here as text or into a file; --json and --format csv give its points."""
    path = None if file is None else picture_path(file, inputs=(runs, law.preset, tracking.plan, tracking.pilots))
    chart = chart_of(
        kind,
        start=start,
        stop=stop,
        laws=laws or (),
        runs=runs,
        reading=keywords(reading),
        tracking=keywords(tracking),
        **keywords(budget, law, bounds, constraints),
    )
    if path is None:
        return Answer(result=chart, notices=chart.warnings)
    picture = draw(chart, path.suffix[1:].lower())
    write = partial(write_atomic, path, picture)
    return Answer(result=_if_named(chart, output), write=write, notices=chart.warnings)


@command(
    APPS["report"],
    examples=[
        "scaleplan report --flops 1e24 -o report.html",
        "scaleplan report --gpus 512 --gpu h100-sxm --time 60d --limit 'tokens_per_param >= 20' -o plan.html",
    ],
)
def report(
    budget: BudgetOptions,
    law: LawOptions,
    bounds: BoundOptions,
    constraints: ConstraintOptions,
    output: OutputOptions,
    *,
    file: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="The page to write; standard output if not given."),
    ] = None,
) -> Answer:
    """Write one self-contained HTML page: the answer, its pictures, and what moves it; --json gives the plan."""
    path = None if file in (None, "-") else Path(str(file))
    if path is not None:
        require_writable(path, inputs=(law.preset,))
    given = {name: value for name, value in keywords(budget, law, bounds, constraints).items() if value}
    subject = gather(given)
    plan = _if_named(subject.plan, output)
    chunks = iter([page(subject)]) if path is None and plan is None else None
    write = None if path is None else partial(write_atomic, path, page(subject))
    return Answer(result=plan, chunks=chunks, write=write, notices=subject.plan.warnings)


def _if_named(result: T, output: OutputOptions) -> T | None:
    """Return a result beside a picture or a page of it only where a format or a field of it is named."""
    return None if chosen_format(output) == "text" and output.get is None else result
