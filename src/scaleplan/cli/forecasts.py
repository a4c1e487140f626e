"""The commands about registered forecasts: register, resolve, forecasts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scaleplan.charts.drawing import draw, picture_path
from scaleplan.charts.track_plots import calibration_chart
from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.fit import Level  # noqa: TC001  read at run time
from scaleplan.cli.options import (
    PANELS,
    BoundOptions,
    BudgetOptions,
    ConstraintOptions,
    LawOptions,
    RunOptions,
    keywords,
)
from scaleplan.errors import FileError, UsageError, quote
from scaleplan.files import require_writable, write_atomic
from scaleplan.output.data import render_json
from scaleplan.project.kept_forecasts import forecasts as read_forecasts
from scaleplan.project.kept_forecasts import outcome_path
from scaleplan.project.kept_forecasts import register as register_forecast
from scaleplan.project.kept_forecasts import resolve as resolve_forecast

__all__ = ["APPS"]

APPS = {name: single() for name in ("register", "resolve", "forecasts")}

_Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


@command(
    APPS["register"],
    examples=[
        "scaleplan register --preset my-law.toml --params 7B --tokens 140B -o forecasts/big.json",
        "scaleplan register --flops 1e24 --preset my-law.toml --name big -o forecasts/big.json",
    ],
)
def register(
    budget: BudgetOptions,
    law: LawOptions,
    bounds: BoundOptions,
    constraints: ConstraintOptions,
    run: RunOptions,
    *,
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the run is called; its size if not given.")
    ] = None,
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="A remark to keep with the forecast.")] = None,
    file: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The .json file to write it to.")],
    force: _Force = False,
) -> Answer:
    """Write down a forecast before its run: the question, the law with its hash, the loss with its intervals.

    Of --params with --tokens it is the loss of that run, of a budget that of its optimum. The hash that is printed
    covers the whole file: keep it elsewhere too, and nobody can change the forecast unseen.
    """
    path = _new_file(file, force=force, inputs=(law.preset,))
    found = register_forecast(name=name, note=note, **keywords(budget, law, bounds, constraints, run))
    return Answer(
        result=found,
        notices=found.warnings,
        write=partial(write_atomic, path, render_json(found.to_dict())),
    )


def _new_file(file: str, *, force: bool, inputs: tuple[str | None, ...]) -> Path:
    """Return the path of a forecast or an outcome to write, which replaces none unless it must."""
    path = Path(file)
    if path.suffix != ".json":
        raise UsageError(f"output {quote(file)} does not end in .json", hint="forecasts are .json files")
    require_writable(path, inputs=inputs)
    if path.exists() and not force:
        raise FileError(f"{quote(path)} exists already", hint="--force replaces it")
    return path


@command(
    APPS["resolve"],
    examples=[
        "scaleplan resolve forecasts/big.json --loss 2.234",
        "scaleplan resolve forecasts/big.json runs/big/main.log",
    ],
)
def resolve(
    *,
    forecast: Annotated[str, typer.Argument(metavar="FORECAST", help="The file that was registered.")],
    log: Annotated[
        str | None, typer.Argument(metavar="[LOG]", help="The log of the run, in any format that 'runs' reads.")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(metavar="L", help="The final loss of the run, in the unit of the forecast.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to keep the outcome; beside the forecast.",
            rich_help_panel=PANELS["output"],
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Score it, and keep nothing.")] = False,
    force: _Force = False,
) -> Answer:
    """Score a registered forecast by what came out, and keep the outcome beside it as NAME.outcome.json."""
    path = None if dry_run else _new_file(file or str(outcome_path(forecast)), force=force, inputs=(forecast, log))
    outcome = resolve_forecast(forecast, log, loss=loss)
    write = None if path is None else partial(write_atomic, path, render_json(outcome.to_dict()))
    return Answer(result=outcome, notices=outcome.warnings, write=write)


@command(
    APPS["forecasts"], examples=["scaleplan forecasts forecasts/", "scaleplan forecasts . -o calibration.svg --json"]
)
def forecasts(
    *,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Where the forecasts and outcomes are.")] = ".",
    file: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Draw the calibration as a .png, .svg or .pdf file.",
            rich_help_panel=PANELS["output"],
        ),
    ] = None,
    level: Level = "0.9",
) -> Answer:
    """Show the record of registered forecasts: how often the intervals of each level held.

    The exit status is 2 where a forecast was changed after it was registered.
    """
    path = None if file is None else picture_path(file, inputs=())
    record = read_forecasts(folder, level=level)
    write = None
    if path is not None:
        write = partial(write_atomic, path, draw(calibration_chart(record), path.suffix[1:].lower()))
    return Answer(result=record, notices=record.warnings, write=write, exit_status=2 if record.changed else 0)
