"""Where the data lives: the folder that ships with the package, the user's own beside it, and how it is read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scaleplan.errors import FileError, inert, quote
from scaleplan.files import read_text
from scaleplan.records import Table

__all__ = ["data_folder", "read_table", "user_folder"]


def data_folder() -> Path:
    """Return the folder of the bundled presets: inside an installed package, else the checkout's ``presets``."""
    package = Path(__file__).parent
    installed = package / "presets_data"
    return installed if installed.is_dir() else package.parents[1] / "presets"


def user_folder() -> Path:
    """Return the user's own preset folder, which need not exist.

    ``SCALEPLAN_PRESETS`` names it; otherwise it is ``scaleplan/presets`` in the platform's folder for
    configuration (``XDG_CONFIG_HOME`` or ``~/.config``, ``~/Library/Application Support``, ``%APPDATA%``).
    """
    named = os.environ.get("SCALEPLAN_PRESETS")
    if named:
        return Path(named)
    home = os.path.expanduser("~")  # noqa: PTH111  unlike Path.home() it does not raise where there is no home
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or f"{home}/AppData/Roaming"
    elif sys.platform == "darwin":
        base = f"{home}/Library/Application Support"
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return Path(base) / "scaleplan" / "presets"


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
