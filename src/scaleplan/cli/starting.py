"""The command that writes a project's file to start from: init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scaleplan.cli.command import Answer, command, single
from scaleplan.errors import FileError, quote
from scaleplan.files import is_folder, read_text, require_writable, write_atomic
from scaleplan.formats import Rendering
from scaleplan.formats.report import Report

__all__ = ["APPS", "starter"]

APPS = {"init": single()}


def starter() -> str:
    """Return the commented project file that ``init`` writes; it keeps its own policy."""
    return read_text(Path(__file__).parents[1] / "config" / "starter.toml", what="template")


@command(
    APPS["init"], examples=["scaleplan init", "scaleplan init training/scaleplan.toml", "scaleplan init --force"]
)
def init(
    *,
    path: Annotated[str, typer.Argument(metavar="[FILE]", help="Where to write it.")] = "scaleplan.toml",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> Answer:
    """Write a commented scaleplan.toml: a run, a policy, and what else they may say."""
    target = Path(path) / "scaleplan.toml" if is_folder(Path(path)) else Path(path)
    require_writable(target)
    if target.exists() and not force:
        raise FileError(f"{quote(target)} exists already", hint="--force replaces it")
    write_atomic(target, starter())

    def report() -> Report:
        return Report(title=f"{target} written", remarks=("describe your runs in it, then: scaleplan check",))

    return Answer(rendering=Rendering({"schema": "scaleplan/init/1", "file": str(target)}, report=report))
