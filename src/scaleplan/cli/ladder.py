"""The commands about a ladder of pilot runs that has been started: how far it is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import scaleplan
from scaleplan.cli.command import Answer, command, group
from scaleplan.cli.options import PANELS
from scaleplan.errors import Notice, quote
from scaleplan.files import is_file, require_writable, write_atomic
from scaleplan.ladder.status import look_at

if TYPE_CHECKING:
    from scaleplan.ladder.status import LadderStatus

__all__ = ["APPS"]

APPS = {"ladder": group("A ladder of pilot runs that 'design' wrote: how far it is, and what starts the rest.")}


@command(
    APPS["ladder"],
    "status",
    examples=[
        "scaleplan ladder status pilots/",
        "scaleplan ladder status pilots/ -o rest.sh && sbatch rest.sh",
        "scaleplan ladder status pilots/ --fields run,state,share,loss --format csv",
        "scaleplan ladder status pilots/ --get gpu_hours_left",
    ],
)
def status(
    *,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="The folder that 'design' wrote.")],
    output_file: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            "--rest",
            metavar="FILE",
            help="Write the engine's file that starts the runs that are neither finished nor running.",
            rich_help_panel=PANELS["output"],
        ),
    ] = None,
) -> Answer:
    """Tell how far each run of a ladder is; the exit status is 0 once all are finished, 1 before.

    With -o it is 0 where a file of the rest is written, and 1 where nothing is left to start.
    """
    if output_file is None:
        found = scaleplan.ladder_status(folder)  # imported when it is called
        return Answer(result=found, notices=found.warnings, exit_status=0 if found.finished == found.total else 1)
    looked = look_at(folder)
    found, rest = looked.status(), looked.rest(output_file)
    if rest is None:
        return Answer(result=found, notices=(*found.warnings, _nothing(found, output_file)), exit_status=1)
    path = Path(output_file)
    require_writable(path)
    replaced = (Notice(code="replaced", message=f"replaced {quote(output_file)}"),) if is_file(path) else ()
    shown = replace(found, rest=output_file, submit=rest.submit or None, next_command=rest.submit or None)
    notices = (*found.warnings, *rest.notices, *replaced)
    return Answer(result=shown, notices=notices, write=partial(write_atomic, path, rest.text))


def _nothing(found: LadderStatus, file: str) -> Notice:
    why = "every run is finished" if found.finished == found.total else "the others are running"
    return Notice(code="nothing_left", message=f"{quote(file)} is not written: nothing is left to start, {why}")
