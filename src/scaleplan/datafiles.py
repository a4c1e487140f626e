"""Where the data lives: the folder that ships with the package, the user's own beside it, and how it is read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, inert, quote
from scaleplan.files import read_text
from scaleplan.records import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DATA_FILES", "config_folder", "data_folder", "read_data", "read_table", "user_folder"]

DATA_FILES = frozenset({"accelerators.toml", "grid_carbon.toml", "prices.toml", "shapes.toml", "utilisation.toml"})
"""The files of a preset folder that are not laws."""

_SCHEMA = 1


def data_folder() -> Path:
    """Return the folder of the bundled presets: inside an installed package, else the checkout's ``presets``."""
    package = Path(__file__).parent
    installed = package / "presets_data"
    return installed if installed.is_dir() else package.parents[1] / "presets"


def config_folder() -> Path:
    """Return the user's own folder for this program, which need not exist.

    It is ``scaleplan`` in the platform's folder for configuration (``XDG_CONFIG_HOME`` or ``~/.config``,
    ``~/Library/Application Support``, ``%APPDATA%``).
    """
    home = os.path.expanduser("~")  # noqa: PTH111  unlike Path.home() it does not raise where there is no home
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or f"{home}/AppData/Roaming"
    elif sys.platform == "darwin":
        base = f"{home}/Library/Application Support"
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return Path(base) / "scaleplan"


def user_folder() -> Path:
    """Return the user's own preset folder: ``SCALEPLAN_PRESETS``, or ``presets`` in their configuration folder."""
    named = os.environ.get("SCALEPLAN_PRESETS")
    return Path(named) if named else config_folder() / "presets"


def read_table(path: Path, *, what: str) -> Table:
    """Return the TOML file at ``path`` as a table whose errors name the file and the key.

    Raises
    ------
    FileError
        When it cannot be read or is not TOML; ``what`` says in the message what it was meant to be.

    """
    import tomllib  # 8 ms, and a plan from FLOP alone may not need it

    try:
        return Table(tomllib.loads(read_text(path, what=what)), source=inert(str(path)))
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:  # a whole number of thousands of digits, an impossible date
        reason = str(error)
    raise FileError(f"{what} {quote(path)} is not valid TOML: {inert(reason)}")


def read_data(name: str, folders: Iterable[Path] | None = None) -> list[Table]:
    """Return the data file ``name`` of each folder that has one: the bundled, then the user's own.

    Raises
    ------
    FileError
        When one of them is unreadable, invalid, or of another schema than 1.

    """
    tables = []
    for folder in (data_folder(), user_folder()) if folders is None else folders:
        path = folder / name
        if not _absent(path):
            table = read_table(path, what="data file")
            if table.integer("schema") != _SCHEMA:
                raise table.error("schema", f"expected {_SCHEMA}")
            tables.append(table)
    return tables


def _absent(path: Path) -> bool:
    """Return whether there is no such file; one that cannot be looked at is not absent, and is reported."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False
