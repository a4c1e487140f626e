"""The commands about a project and its results: check, diff, show, init."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan.cli.command import Answer, chosen_format, command, single
from scaleplan.cli.options import JudgingOptions  # noqa: TC001  options are read from the signature
from scaleplan.errors import Notice
from scaleplan.files import decoded, read_input, write_atomic
from scaleplan.output import FORMATS
from scaleplan.project import project_api
from scaleplan.project.saved import MAX_SAVED_BYTES, read_located
from scaleplan.project.source import display_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.project.check import Check
    from scaleplan.project.diff import Difference

__all__ = ["APPS"]

APPS = {name: single() for name in ("check", "diff", "show", "init")}


@command(
    APPS["check"],
    examples=[
        "scaleplan check",
        "scaleplan check scaleplan.toml --format github",
        "scaleplan check --limit 'cost <= 250k USD' --format markdown >> \"$GITHUB_STEP_SUMMARY\"",
    ],
)
def check(
    output: JudgingOptions,  # noqa: ARG001  the writer of the answer reads it
    *,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="scaleplan.toml, pyproject.toml, or a folder with one."),
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="LIMIT", help="A further limit on every run, repeatable.")
    ] = None,
) -> Answer:
    """Judge the runs of a project by its policy: exit status 0 within, 1 violated, 2 unreadable.

    The answer depends on the files alone: neither the environment nor a user's own settings change it.
    """
    result = project_api.check(*(paths or ()), limit=limit or ())
    return Answer(result=result, notices=_notices(result), exit_status=result.exit_status)


def _notices(result: Check) -> Iterator[Notice]:
    """Yield the warnings of the plans: each kind once, of the first run that it concerns; the JSON has them all."""
    found: dict[str, Notice] = {}
    if result.unlimited:
        files = ", ".join(result.unlimited)
        message = f"{files}: the project has no limits, so nothing was judged: give it a [policy]"
        yield Notice(code="no_limits", message=message)
    for run in result.runs:
        for notice in run.warnings:
            found.setdefault(notice.code, Notice(code=notice.code, message=f"{run.name}: {notice.message}"))
    yield from found.values()


@command(
    APPS["diff"],
    examples=[
        "scaleplan diff --base main --format markdown",
        "scaleplan diff before.json after.json",
        "scaleplan diff --base origin/main --fail-on 'total cost increase > 10%'",
    ],
)
def diff(
    output: JudgingOptions,
    *,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BEFORE AFTER]", help="Saved JSON results, or project files; with --base, the latter."
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="REVISION", help="A git revision to compare the work tree with.")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(metavar="CHANGE", help="'cost increase > 10%', 'total gpu_hours increase > 5000'; repeatable."),
    ] = None,
) -> Answer:
    """Compare plans, or any other two results, before and after a change; exit status 1 for too much of it."""
    result = project_api.diff(*(files or ()), base=base, fail_on=fail_on or ())
    chosen = FORMATS.get(chosen_format(output, judges=True))
    chosen_fields = output.get is not None or output.fields is not None
    of_rows = chosen_fields or (chosen is not None and chosen.part == "records")
    notices = (*result.warnings, *_unread(result)) if of_rows else result.warnings
    return Answer(result=result, notices=notices, exit_status=result.exit_status)


def _unread(result: Difference) -> Iterator[Notice]:
    """Yield what could not be read or judged as warnings: rows of changes have no place for it."""
    for problem in result.problems:
        hint = "" if problem.hint is None else f"; hint: {problem.hint}"
        yield Notice(code="unreadable", message=f"{problem.side}: {problem.message}{hint}")
    yield from (Notice(code="unreadable", message=each.message) for each in result.judged if each.status == "error")


@command(
    APPS["show"],
    examples=[
        "scaleplan show plan.json --format markdown",
        "scaleplan check --json | scaleplan show - --format junit",
    ],
)
def show(
    output: JudgingOptions,  # noqa: ARG001  the writer of the answer reads it
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A saved JSON result; - is standard input.")],
) -> Answer:
    """Show a saved JSON result in any format; a saved check keeps its verdict but not its exit status."""
    name = "standard input" if file == "-" else display_name(Path(file))
    text = read_input(MAX_SAVED_BYTES, hint="name the file of a saved result") if file == "-" else None
    result = project_api.load(file) if text is None else read_located(decoded(text, name), name=name)
    return Answer(result=result, source=name)


@command(
    APPS["init"], examples=["scaleplan init", "scaleplan init training/scaleplan.toml", "scaleplan init --force"]
)
def init(
    *,
    path: Annotated[str, typer.Argument(metavar="[FILE]", help="Where to write it.")] = "scaleplan.toml",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> Answer:
    """Write a commented scaleplan.toml: a run for each training config below it, a policy, and what else there is."""
    started = project_api.new_project(path, force=force)
    return Answer(result=started.result, write=partial(write_atomic, started.path, started.text))
