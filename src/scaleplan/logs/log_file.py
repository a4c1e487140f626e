"""A log on the disk or on standard input, read forwards in pieces: its head to recognise it by, then its lines."""

from __future__ import annotations

import io
import re
import sys
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from scaleplan.errors import FileError, UsageError, quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["HEAD_BYTES", "LogFile", "plain"]

HEAD_BYTES = 1 << 16
"""What is read of a file to recognise it: beyond the source code and settings that some trainers print first, a
format may look on (:meth:`LogFile.lines`)."""

_LONGEST_LINE = 1 << 20
"""Bytes of a line that are read; the rest is a trainer's dump of its settings."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def plain(text: str) -> str:
    """Return text without the colours of a terminal."""
    return _ANSI.sub("", text) if "\x1b" in text else text


class LogFile:
    """A file of one or more runs; ``path`` is None for standard input.

    Raises FileError where the file cannot be read.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.name = "standard input" if path is None else path.name
        self.source = "-" if path is None else str(path)

    @cached_property
    def head(self) -> bytes:
        """The first :data:`HEAD_BYTES` of the file."""
        return self._start

    @cached_property
    def head_text(self) -> str:
        """The head as text without colours, of which the last line may be cut."""
        return plain(self.head.decode("utf-8-sig", errors="replace")).replace("\r\n", "\n").replace("\r", "\n")

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield the number and text of each line, without its end and without colours.

        A carriage return ends a line too: progress bars write over their own.
        """
        number = 0
        for raw in self._handle():
            for text in raw.decode("utf-8", errors="replace").rstrip("\n").split("\r"):
                number += 1
                yield number, plain(text)

    def chunks(self, size: int = 1 << 22) -> Iterator[bytes]:
        """Yield the file in pieces of whole lines, of about ``size`` bytes."""
        handle = self._handle()
        while piece := handle.read(size):
            yield piece + handle.readline(_LONGEST_LINE)

    @cached_property
    def _start(self) -> bytes:
        if self.path is None:
            if sys.stdin is None:
                raise UsageError("standard input is closed", hint="name a file")
            return sys.stdin.buffer.read(HEAD_BYTES)
        try:
            with self.path.open("rb") as handle:
                return handle.read(HEAD_BYTES)
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, error) from None

    def _handle(self) -> BinaryIO:
        """Return the file from its beginning; standard input can be read once."""
        if self.path is None:
            return io.BytesIO(self._start + sys.stdin.buffer.read())
        try:
            return self.path.open("rb")
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, error) from None


def _unreadable(path: Path, error: Exception) -> FileError:
    reason: str = getattr(error, "strerror", None) or "not a usable path"
    return FileError(f"cannot read {quote(path)}: {reason.lower()}")
