"""Read small text files safely, and write files whole or not at all."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, quote

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_TEXT_BYTES", "is_folder", "read_bytes", "read_text", "require_writable", "write_atomic"]

MAX_TEXT_BYTES = 4_000_000  # presets and configurations are kilobytes; more is a mistake or an attack


def read_text(path: Path, *, what: str, limit: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a file of at most ``limit`` bytes.

    Raises
    ------
    FileError
        When there is no such file, it is not a regular file (or pipe), too large, or not UTF-8 text.

    """
    try:
        return read_bytes(path, what=what, limit=limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{what} {quote(path)} is not UTF-8 text (byte {error.start})") from None


def read_bytes(path: Path, *, what: str, limit: int = MAX_TEXT_BYTES) -> bytes:
    """Return the content of a file of at most ``limit`` bytes.

    Raises
    ------
    FileError
        When there is no such file, it is not a regular file (or pipe), or too large.

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
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise FileError(f"cannot read {what} {quote(path)}: {reason.lower()}") from None
    if len(data) > limit:
        raise FileError(f"{what} {quote(path)} is larger than {limit:,} bytes")
    return data


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; what is no path at all is none, and whoever opens it says why."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def require_writable(path: Path) -> None:
    """Refuse a path that a file cannot be written to, before the work that would fill it.

    Raises
    ------
    FileError
        When it is a directory, or its folder does not exist or cannot be written.

    """
    try:
        if path.is_dir():
            raise FileError(f"cannot write {quote(path)}: it is a directory", hint="name a file inside it")
        if not path.parent.is_dir():
            raise FileError(f"cannot write {quote(path)}: there is no folder {quote(path.parent)}")
        replaced = path.is_file() or not os.access(
            path, os.F_OK
        )  # a device or pipe is written to, and its folder left alone
        writable = os.access(path.parent if replaced else path, os.W_OK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise FileError(f"cannot write {quote(path)}: {reason.lower()}") from None
    if not writable:
        raise FileError(f"cannot write {quote(path)}: permission denied")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write text or bytes to ``path`` whole or not at all: a temporary neighbour, then a rename.

    Raises
    ------
    FileError
        When the folder does not exist or cannot be written.

    """
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
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise FileError(f"cannot write {quote(path)}: {reason.lower()}") from None
