"""Read small files safely, write files whole or not at all, and find the folders of data."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, escape_control, quote
from scaleplan.toml_table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TEXT_BYTES = 4_000_000  # presets and configurations are kilobytes; more is a mistake or an attack


def read_text(path: Path, *, what: str, limit: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a file as :func:`read_bytes` reads it; raises FileError also for what is not UTF-8."""
    try:
        return read_bytes(path, what=what, limit=limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{what} {quote(path)} is not UTF-8 text (byte {error.start})") from None


def read_bytes(path: Path, *, what: str, limit: int = MAX_TEXT_BYTES) -> bytes:
    """Return the content of a file of at most ``limit`` bytes.

    Raises FileError when there is no such file, it is not a regular file (or pipe), or too large.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise FileError(f"{what} {quote(path)} is a directory", hint="name a file inside it")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise FileError(f"{what} {quote(path)} is not a regular file")
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except FileNotFoundError:
        raise FileError(f"{what} {quote(path)} does not exist") from None
    except (OSError, ValueError) as error:
        raise _failed(f"read {what} {quote(path)}", error) from None
    if len(data) > limit:
        raise FileError(f"{what} {quote(path)} is larger than {limit:,} bytes")
    return data


def _failed(doing: str, error: Exception) -> FileError:
    reason: str = getattr(error, "strerror", None) or "not a usable path"
    return FileError(f"cannot {doing}: {reason.lower()}")


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; what is no path at all is refused where it is opened."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def require_writable(path: Path) -> None:
    """Refuse, by a FileError, a path that a file cannot be written to, before the work that would fill it."""
    try:
        if path.is_dir():
            raise FileError(f"cannot write {quote(path)}: it is a directory", hint="name a file inside it")
        if not path.parent.is_dir():
            raise FileError(f"cannot write {quote(path)}: there is no folder {quote(path.parent)}")
        # a device or pipe is written to, and its folder left alone
        replaced = path.is_file() or not os.access(path, os.F_OK)
        writable = os.access(path.parent if replaced else path, os.W_OK)
    except (OSError, ValueError) as error:
        raise _failed(f"write {quote(path)}", error) from None
    if not writable:
        raise FileError(f"cannot write {quote(path)}: permission denied")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write ``path`` whole or not at all: a temporary neighbour, then a rename; raises FileError if that fails."""
    data = content.encode() if isinstance(content, str) else content
    try:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        if path.is_dir():
            raise FileError(f"cannot write {quote(path)}: it is a directory")
        if path.exists() and not path.is_file():  # a device or pipe cannot be replaced by a rename
            path.write_bytes(data)
            return
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise _failed(f"write {quote(path)}", error) from None


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
    """Return the TOML file at ``path`` as a table; ``what`` is the kind of file in the message of a FileError."""
    import tomllib  # 8 ms, and a plan from FLOP alone may not need it

    try:
        return Table(tomllib.loads(read_text(path, what=what)), source=escape_control(str(path)))
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:  # no TOML, a whole number of thousands of digits, an impossible date
        reason = str(error)
    raise FileError(f"{what} {quote(path)} is not valid TOML: {escape_control(reason)}")


def read_data(name: str, folders: Iterable[Path] | None = None) -> list[Table]:
    """Return the data file ``name`` of each folder that has one: the bundled, then the user's own.

    Raises FileError when one of them is unreadable, invalid, or of another schema.
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
