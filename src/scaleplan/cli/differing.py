"""The command that compares: diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan.cli.checking import project_paths
from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.judging import JudgingOptions  # noqa: TC001  the command's options are read from its signature
from scaleplan.errors import UsageError
from scaleplan.formats import Rendering

if TYPE_CHECKING:
    from scaleplan.formats.report import Report
    from scaleplan.policy.difference import Difference, Snapshot

__all__ = ["APPS", "diff_rendering"]

APPS = {"diff": single()}


@command(
    APPS["diff"],
    examples=[
        "scaleplan diff --base main --format markdown",
        "scaleplan diff before.json after.json",
        "scaleplan diff --base origin/main --fail-on 'total cost increase > 10%'",
    ],
)
def diff(
    output: JudgingOptions,  # noqa: ARG001  what writes the answer reads it
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
    """Compare plans before and after a change: sizes, compute, money and loss; exit status 1 for too much of it."""
    from scaleplan.policy.change import parse_threshold
    from scaleplan.policy.difference import compare

    thresholds = [parse_threshold(text) for text in fail_on or ()]
    before, after = _sides(files or [], base)
    result = compare(before, after, thresholds=thresholds)
    return Answer(rendering=diff_rendering(result), notices=result.warnings, exit_status=result.exit_status)


def _sides(files: list[str], base: str | None) -> tuple[Snapshot, Snapshot]:
    from scaleplan.policy.snapshot import at_revision, of_file, of_projects

    if base is not None:
        paths = project_paths(files)
        return at_revision(base, paths), of_projects(paths)
    if len(files) != 2:
        raise UsageError(
            f"two files are compared, not {len(files)}",
            hint="name what was before and after, or give --base REVISION",
        )
    return of_file(files[0]), of_file(files[1])


def diff_rendering(result: Difference) -> Rendering:
    """Return a comparison on its way to a format."""
    from scaleplan.records import as_mapping
    from scaleplan.views.diff import diff_cases

    def report() -> Report:
        from scaleplan.views.diff import diff_report

        return diff_report(result)

    rows = as_mapping(result.changes)
    assert isinstance(rows, list)
    return Rendering(result.to_dict(), records=rows, report=report, cases=diff_cases(result))
