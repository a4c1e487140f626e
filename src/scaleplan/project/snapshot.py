"""One side of a comparison: a saved result, a project's file, or what a git revision has of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, ScaleplanError, quote
from scaleplan.files import read_text
from scaleplan.planning.plan import Plan, Plans
from scaleplan.project.check import Check
from scaleplan.project.diff import Snapshot, State
from scaleplan.project.estimate import Estimator, measures, measures_of, sources
from scaleplan.project.project import read_project
from scaleplan.project.saved import read_saved
from scaleplan.project.source import Revision, WorkTree, display_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scaleplan.project.source import Tree

__all__ = ["at_revision", "of_file", "of_projects"]

_LARGEST = 64_000_000  # a check of a thousand runs is 3 MB


def of_file(name: str) -> Snapshot:
    """Return the snapshot of a saved JSON result or of a project's TOML file.

    Raises ScaleplanError when it cannot be read, or a run in it cannot be planned.
    """
    path = Path(name)
    if path.suffix.casefold() == ".toml":
        return of_projects([path])
    shown = display_name(path)
    result = read_saved(read_text(path, what="saved result", limit=_LARGEST), name=shown)
    if isinstance(result, Plan):
        return Snapshot(label=shown, runs={"plan": _state(result)})
    if isinstance(result, Plans):
        return Snapshot(label=shown, runs={f"plan {i}": _state(plan) for i, plan in enumerate(result, start=1)})
    if isinstance(result, Check):
        runs = {
            run.name: State(values=run.values, preset=run.preset) for run in result.runs if run.preset is not None
        }
        return Snapshot(label=shown, runs=runs)
    raise FileError(f"{shown}: holds no plans to compare", hint="compare results of optimal, loss, sweep or check")


def at_revision(name: str, paths: Iterable[Path]) -> Snapshot:
    """Return the snapshot of projects' files as a git revision has them; a file that it lacks has no runs."""
    paths = list(paths)
    revision = Revision(name, folder=paths[0].parent)
    return of_projects([path for path in paths if revision.has(path)], tree=revision, label=name)


def of_projects(paths: Iterable[Path], *, tree: Tree | None = None, label: str | None = None) -> Snapshot:
    """Return the snapshot of the runs of some projects.

    Raises ScaleplanError when a file cannot be read, a run cannot be planned, or two runs share a name.
    """
    estimator = Estimator(tree or WorkTree())
    runs: dict[str, State] = {}
    names = []
    for path in paths:
        project = read_project(path, tree=estimator.tree)
        names.append(project.file)
        for run in project.runs:
            if run.name in runs:
                raise FileError(f"{project.file}: run {quote(run.name)} is in another file too", hint="rename one")
            try:
                estimate = estimator.estimate(run)
            except ScaleplanError as error:
                side = f" at {quote(label)}" if label else ""
                raise FileError(
                    f"{project.file}: run {quote(run.name)}{side} cannot be planned: {error.message}", hint=error.hint
                ) from None
            runs[run.name] = State(
                values=measures(estimate),
                preset=estimate.plan.preset,
                places=sources(estimate, "flops"),
            )
    return Snapshot(label=label or ", ".join(names), runs=runs)


def _state(plan: Plan) -> State:
    return State(values=measures_of(plan), preset=plan.preset)
