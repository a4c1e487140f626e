"""The commands about a project and its results: check, diff, show, init."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan.cli.command import Answer, chosen_format, command, single
from scaleplan.cli.options import JudgingOptions  # noqa: TC001  options are read from the signature
from scaleplan.cli.settings import project_file
from scaleplan.errors import FileError, Notice, UsageError, quote
from scaleplan.files import decoded, is_file, is_folder, read_input, require_writable, with_ending, write_atomic
from scaleplan.output import FORMATS
from scaleplan.project.check import check as judge
from scaleplan.project.diff import compare, compare_with_revision, of_file, parse_threshold
from scaleplan.project.project import NewProject, read_projects
from scaleplan.project.saved import MAX_SAVED_BYTES, read_located, read_saved_file
from scaleplan.project.source import display_name
from scaleplan.project.starting import find_configs, starter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.project.check import Check
    from scaleplan.project.diff import Difference, Snapshot

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
    result = judge(read_projects(_project_paths(paths or [])), limits=limit or ())
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


def _project_paths(names: Sequence[str]) -> list[Path]:
    """Return the project files of some paths; of a folder the one inside; by default the nearest upwards.

    Raises FileError when there is none.
    """
    if not names:
        found = project_file()
        if found is None:
            raise FileError("there is no scaleplan.toml here or above", hint="'scaleplan init' writes one")
        return [found]
    paths: dict[str, Path] = {}
    for name in names:
        if not name.strip():
            raise UsageError(f"{quote(name)} is not a path", hint="name a project's file, or a folder with one")
        path = Path(name)
        if is_folder(path):
            inside = [path / "scaleplan.toml", path / "pyproject.toml"]
            path = next((file for file in inside if is_file(file)), inside[0])
        paths.setdefault(_real(path), path)
    return list(paths.values())


def _real(path: Path) -> str:
    """Return the one name of a file that may be given by several; what is no path is refused when it is opened."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return str(path)


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
    thresholds = [parse_threshold(text) for text in fail_on or ()]
    if base is not None:
        result = compare_with_revision(base, _project_paths(files or []), thresholds=thresholds)
    else:
        result = compare(*_sides(files or []), thresholds=thresholds)
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


def _sides(files: list[str]) -> tuple[Snapshot, Snapshot]:
    if len(files) != 2:
        raise UsageError(
            f"two files are compared, not {len(files)}",
            hint="name what was before and after, or give --base REVISION",
        )
    return of_file(files[0], side="before"), of_file(files[1], side="after")


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
    result = read_saved_file(Path(file)) if text is None else read_located(decoded(text, name), name=name)
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
    hint = "projects are .toml files"
    target = Path(path) / "scaleplan.toml" if is_folder(Path(path)) else with_ending(path, (".toml",), hint=hint)
    require_writable(target)
    if target.exists() and not force:
        raise FileError(f"{quote(target)} exists already", hint="--force replaces it")
    found = find_configs(target.parent)
    result = NewProject(file=str(target), configs=tuple(each.path for each in found))
    return Answer(result=result, write=partial(write_atomic, target, starter(found)))
