"""Read the defaults of options: the project's file, then the user's, below flags and the environment.

A project has ``[defaults]`` in ``scaleplan.toml``, or ``[tool.scaleplan.defaults]`` in ``pyproject.toml``, of the
nearest folder upwards that has one. The user's own file is ``config.toml`` in their configuration folder.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from scaleplan.errors import FileError
from scaleplan.files import config_folder, is_readable, project_file, read_table
from scaleplan.planning.request import SETTINGS

if TYPE_CHECKING:
    from scaleplan.toml_table import Table

__all__ = ["from_environment", "load_defaults", "standing", "variable"]


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"SCALEPLAN_{name.upper()}"


def from_environment() -> dict[str, str]:
    """Return the settings of the environment.

    They are read here because the lowest version of the parser that we support does not read them.
    """
    found = {name: os.environ.get(variable(name), "") for name in (*SETTINGS, "overhead")}
    return {name: value for name, value in found.items() if value}


def load_defaults() -> dict[str, str]:
    """Return the settings of the project's and the user's files, as the texts of the options they stand for.

    What this user may not read is no setting of theirs. Raises FileError for a settings file that is none, or names
    an unknown setting.
    """
    found: dict[str, str] = {}
    user = config_folder() / "config.toml"
    if is_readable(user):
        found |= _defaults(read_table(user, what="settings file").table("defaults"))
    project = project_file()
    if project is not None and is_readable(project):
        top = read_table(project, what="settings file")
        if project.name == "pyproject.toml":
            top = top.table("tool").table("scaleplan")
        found |= _defaults(top.table("defaults"))
    return found


def standing(name: str) -> str | None:
    """Return a setting, for a command whose own option of that name means more than the setting."""
    return {**load_defaults(), **from_environment()}.get(name)


def _defaults(table: Table) -> dict[str, str]:
    found = {}
    for key in SETTINGS:
        value = table.raw(key)  # known, whether it is there or not: the hint on an unknown key lists it
        if key in table:
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise table.error(key, "expected a text or a number")
            table.text(key) if isinstance(value, str) else table.number(key)
            found[key] = str(value)
    try:
        table.done()
    except FileError as error:
        error.hint = error.hint or f"settings: {', '.join(SETTINGS)}"
        raise
    return found
