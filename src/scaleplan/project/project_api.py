"""The Python API of a project: judge its runs, compare two sides, read a saved result, write its first file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import FileError, UsageError, quote
from scaleplan.files import is_file, is_folder, project_file, require_writable, with_ending, write_atomic
from scaleplan.project.check import check as judge
from scaleplan.project.diff import compare, compare_with_revision, of_file, parse_threshold
from scaleplan.project.project import NewProject, read_projects
from scaleplan.project.saved import read_saved_file
from scaleplan.project.starting import find_configs, starter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.project.check import Check
    from scaleplan.project.diff import Difference
    from scaleplan.project.saved import ResultRecord

__all__ = ["check", "diff", "init", "load", "new_project"]


def check(*paths: str | Path, limit: Sequence[str] = ()) -> Check:
    """Judge the runs of a project by its policy.

    Parameters
    ----------
    paths
        Files such as ``scaleplan.toml`` or ``pyproject.toml``, or folders with one; the nearest at or above the
        current folder if none is given.
    limit
        Further limits on every run, such as ``"cost <= 250k USD"``.

    Raises
    ------
    ScaleplanError
        When there is no project, or a file cannot be read.

    """
    return judge(read_projects(_project_paths(paths)), limits=tuple(limit))


def diff(*files: str | Path, base: str | None = None, fail_on: Sequence[str] = ()) -> Difference:
    """Compare plans, or any other two results, before and after a change.

    Parameters
    ----------
    files
        Two saved JSON results or project files, before and after; with ``base`` the project files.
    base
        A git revision to compare the work tree with.
    fail_on
        What is too much of a change: ``"cost increase > 10%"``.

    Raises
    ------
    ScaleplanError
        When a side cannot be read, or is no result.

    """
    thresholds = [parse_threshold(text) for text in fail_on]
    if base is not None:
        return compare_with_revision(base, _project_paths(files), thresholds=thresholds)
    if len(files) != 2:
        raise UsageError(
            f"two files are compared, not {len(files)}",
            hint="name what was before and after, or give --base REVISION",
        )
    before, after = map(str, files)
    return compare(of_file(before, side="before"), of_file(after, side="after"), thresholds=thresholds)


def load(file: str | Path) -> ResultRecord:
    """Return the result that a JSON file holds, as the function gave it that ``--json`` or ``to_dict`` is from.

    Raises FileError for a file that cannot be read, or holds no result.
    """
    return read_saved_file(Path(file))


class _Start(NamedTuple):
    result: NewProject
    path: Path
    text: str


def new_project(path: str | Path, *, force: bool) -> _Start:
    """Return a project of the training configs below a path, and its file, which is not written yet.

    Raises FileError where the file is there already, unless with ``force``, or cannot be written.
    """
    hint = "projects are .toml files"
    target = Path(path) / "scaleplan.toml" if is_folder(Path(path)) else with_ending(str(path), (".toml",), hint=hint)
    require_writable(target)
    if target.exists() and not force:
        raise FileError(f"{quote(target)} exists already", hint="--force replaces it")
    found = find_configs(target.parent)
    result = NewProject(file=str(target), configs=tuple(each.path for each in found))
    return _Start(result, target, starter(found))


def init(path: str | Path = "scaleplan.toml", *, force: bool = False) -> NewProject:
    """Write a commented ``scaleplan.toml`` with a run for each training config below it, and a policy.

    Parameters
    ----------
    path
        Where to write it: a file, or a folder.
    force
        Replace a file that is there.

    """
    started = new_project(path, force=force)
    write_atomic(started.path, started.text)
    return started.result


def _project_paths(names: Sequence[str | Path]) -> list[Path]:
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
        if not str(name).strip():
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
