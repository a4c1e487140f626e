"""The commands that draw: plot and report."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeVar

import typer

from scaleplan.charts.drawing import Look, draw, picture_path, titled
from scaleplan.charts.plots import PICTURES
from scaleplan.charts.plots import plot as chart_of
from scaleplan.charts.theme import THEMES
from scaleplan.cli.command import Answer, chosen_format, command, single
from scaleplan.cli.fit import (  # read at run time, for their options
    ObjectiveOptions,  # noqa: TC001
    ReadingOptions,  # noqa: TC001
    SurfaceOptions,  # noqa: TC001
)
from scaleplan.cli.options import (
    EVERYDAY,
    MORE,
    PANELS,
    BoundOptions,
    BudgetOptions,
    ConstraintOptions,
    LawOptions,
    LawReportOptions,
    OutputOptions,
    RunOptions,
    keywords,
)
from scaleplan.cli.plan import run_keywords
from scaleplan.cli.settings import standing
from scaleplan.cli.track import TrackOptions  # noqa: TC001  likewise
from scaleplan.errors import UsageError
from scaleplan.files import require_writable, with_ending, write_atomic
from scaleplan.output.html.page import page
from scaleplan.output.html.subject import gather

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["APPS"]

T = TypeVar("T")

_OF_RUNS = [name for name, picture in PICTURES.items() if picture.need == "runs" or picture.runs]

_SELDOM = ("gpu_hours", "mfu", "limit", "where", "loss_unit", "best", "form", "pilots", "schedule")
"""Everyday options of other commands, with which a picture is rarely drawn."""

APPS = {name: single() for name in ("plot", "report")}


@dataclass(frozen=True, slots=True, kw_only=True)
class LookOptions:
    """The look of a picture in a file."""

    TITLE: ClassVar[str] = "Look of the file"

    title: Annotated[str | None, typer.Option(metavar="TEXT", help="A title instead of the picture's own.")] = None
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Size of the file: 8x5.4 (inches), 16x10cm, 1200x800px.")
    ] = None
    dpi: Annotated[str | None, typer.Option(metavar="N", help="Dots an inch of a .png; 200 if not given.")] = None
    theme: Annotated[str | None, typer.Option(metavar="NAME", help=f"Colours of the file: {', '.join(THEMES)}.")] = (
        None
    )


@command(
    APPS["plot"],
    shows={**dict.fromkeys(_SELDOM, MORE), "theme": EVERYDAY},
    examples=[
        "scaleplan plot isoflop --flops 1e21",
        "scaleplan plot frontier -o frontier.pdf --theme print",
        "scaleplan plot cost --cost 250k --gpu h100-sxm",
        "scaleplan plot break-even --flops 1e22 --inference-tokens 1T",
        "scaleplan plot isoflop runs.csv --preset my-law.toml",
        "scaleplan plot forecast runs.csv -o forecast.png --size 16x10cm --dpi 300",
        "scaleplan plot residuals runs.csv --map loss=eval/loss --best",
        "scaleplan plot track train.log --steps 20000 --plan plan.json -o run.svg",
    ],
)
def plot(
    budget: BudgetOptions,
    law: LawReportOptions,
    bounds: BoundOptions,
    constraints: ConstraintOptions,
    output: OutputOptions,
    *,
    reading: ReadingOptions,
    objective: ObjectiveOptions,
    surface: SurfaceOptions,
    tracking: TrackOptions,
    look: LookOptions,
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
    presets: Annotated[
        list[str] | None,
        typer.Option("--preset", "-p", "--with", metavar="NAME", help="Scaling law; for compare, repeatable."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Draw a .png, .svg or .pdf file instead of text.",
            rich_help_panel=PANELS["output"],
        ),
    ] = None,
) -> Answer:
    """Draw a picture, here as text or into a file; --json and --format csv give its points."""
    named = presets or []
    path = None if file is None else picture_path(file, inputs=(runs, *named, tracking.plan, tracking.pilots))
    drawn = _look(look, path)
    chart = chart_of(
        kind,
        from_=start,
        to=stop,
        presets=named if kind == "compare" or len(named) > 1 else (),
        preset=standing("preset") if not named else None if kind == "compare" else named[0],
        runs=runs,
        reading={**keywords(reading), **_changed(objective), **_changed(surface)},
        tracking=keywords(tracking),
        **keywords(budget, law, bounds, constraints),
    )
    chart = titled(chart, look.title)
    if path is None or drawn is None:
        return Answer(result=chart, notices=chart.warnings)
    picture = draw(chart, path.suffix[1:].lower(), drawn)
    write = partial(write_atomic, path, picture)
    return Answer(result=_if_named(chart, output), write=write, notices=chart.warnings)


@command(
    APPS["report"],
    examples=[
        "scaleplan report --flops 1e24 -o report.html",
        "scaleplan report --gpus 512 --gpu h100-sxm --time 60d --limit 'tokens_per_param >= 20' -o plan.html",
        "scaleplan report --gpus 64 --gpu h100-sxm --time 30d --region France -o plan.html",
    ],
)
def report(
    budget: BudgetOptions,
    law: LawOptions,
    bounds: BoundOptions,
    constraints: ConstraintOptions,
    *,
    run: RunOptions,
    output: OutputOptions,
    file: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The page to write; standard output if not given.",
            rich_help_panel=PANELS["output"],
        ),
    ] = None,
) -> Answer:
    """Write one self-contained HTML page: the answer, its bill, a live what-if, pictures; --json gives the plan."""
    path = _page_path(file, output)
    if path is not None:
        require_writable(path, inputs=(law.preset,))
    typed = {name: value for name, value in keywords(budget, law, bounds, constraints, run).items() if value}
    read = {name: value for name, value in run_keywords(run).items() if value}
    subject = gather({**typed, **read}, typed=typed)
    plan = _if_named(subject.plan, output)
    chunks = iter([page(subject)]) if path is None and plan is None else None
    write = None if path is None else partial(write_atomic, path, page(subject))
    return Answer(result=plan, chunks=chunks, write=write, notices=subject.plan.warnings)


def _look(look: LookOptions, path: Path | None) -> Look | None:
    """Return the look of a file, before the work of drawing it; raises UsageError for one that text does not have."""
    given = keywords(look)
    if path is not None:
        return Look.of(path.suffix[1:].lower(), size=look.size, dpi=look.dpi, theme=look.theme)
    idle = [name for name in ("size", "dpi", "theme") if given[name] is not None]
    if idle:
        hint = (
            "add -o picture.svg; COLUMNS sets the width of a picture in text"
            if idle[0] == "size"
            else "add -o picture.svg"
        )
        raise UsageError(f"--{idle[0]} is for a file", hint=hint)
    return None


def _changed(group: ObjectiveOptions | SurfaceOptions) -> dict[str, object]:
    """Return the options of a fit that differ from their defaults."""
    usual = keywords(type(group)())
    return {name: value for name, value in keywords(group).items() if value != usual[name]}


def _page_path(file: str | None, output: OutputOptions) -> Path | None:
    """Return the path of a page; None for standard output, which a terminal is only where it is named as ``-``.

    Raises UsageError for an ending that is that of no page.
    """
    if file is None and sys.stdout.isatty() and _if_named(True, output) is None:
        raise UsageError(
            "the page is HTML, which a terminal does not show", hint="-o report.html writes it, -o - prints it here"
        )
    if file in (None, "-"):
        return None
    return with_ending(str(file), (".html", ".htm"), hint="pages are .html files; a browser prints them as PDF")


def _if_named(result: T, output: OutputOptions) -> T | None:
    """Return a result beside a picture or a page of it only where a format or a field of it is named."""
    named = output.get is not None or output.fields is not None
    return result if named or chosen_format(output) != "text" else None
