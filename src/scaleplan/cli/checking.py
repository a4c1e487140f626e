"""The command that judges: check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.judging import JudgingOptions  # noqa: TC001  the command's options are read from its signature
from scaleplan.cli.settings import project_file
from scaleplan.errors import FileError
from scaleplan.files import is_folder
from scaleplan.formats import Rendering

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.formats.report import Report
    from scaleplan.notices import Notice
    from scaleplan.policy.verdict import Check

__all__ = ["APPS", "check_rendering", "project_paths"]

APPS = {"check": single()}


@command(
    APPS["check"],
    examples=[
        "scaleplan check",
        "scaleplan check scaleplan.toml --format github",
        "scaleplan check --limit 'cost <= 250k USD' --format markdown >> \"$GITHUB_STEP_SUMMARY\"",
    ],
)
def check(
    output: JudgingOptions,  # noqa: ARG001  what writes the answer reads it
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
    from scaleplan.config.project import read_project
    from scaleplan.policy.judge import check as judged

    result = judged([read_project(path) for path in project_paths(paths or [])], limits=limit or ())
    return Answer(rendering=check_rendering(result), notices=_notices(result), exit_status=result.exit_status)


def _notices(result: Check) -> Iterator[Notice]:
    """Yield what the plans warn of: each kind once, of the first run that it concerns; the JSON has them all."""
    from scaleplan.notices import Notice

    said: dict[str, Notice] = {}
    for run in result.runs:
        for notice in run.warnings:
            said.setdefault(notice.code, Notice(code=notice.code, message=f"{run.name}: {notice.message}"))
    yield from said.values()


def project_paths(names: Sequence[str]) -> list[Path]:
    """Return the project files of some paths; of a folder the one inside; by default the nearest upwards.

    Raises
    ------
    FileError
        When there is none.

    """
    if not names:
        found = project_file(Path.cwd())
        if found is None:
            raise FileError("there is no scaleplan.toml here or above", hint="'scaleplan init' writes one")
        return [found]
    paths = []
    for name in names:
        path = Path(name)
        if is_folder(path):
            inside = [path / "scaleplan.toml", path / "pyproject.toml"]
            path = next((file for file in inside if file.is_file()), inside[0])
        if path not in paths:
            paths.append(path)
    return paths


def check_rendering(result: Check) -> Rendering:
    """Return a check on its way to a format."""
    from scaleplan.views.check import check_cases

    def report() -> Report:
        from scaleplan.views.check import check_report

        return check_report(result)

    return Rendering(
        result.to_dict(),
        records=[verdict.to_dict() for verdict in result.verdicts],
        report=report,
        cases=check_cases(result),
    )
