"""A log on the disk or on standard input, read forwards in pieces: its head to recognise it by, then its lines."""

from __future__ import annotations

import codecs
import gzip
import re
import sys
import zlib
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from scaleplan.errors import FileError, UsageError, quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["HEAD_BYTES", "LogFile", "plain"]

HEAD_BYTES = 1 << 16
"""What is read of a file to recognise it; a printed log is looked at further (:attr:`LogFile.opening`)."""

_OPENING_BYTES = 1 << 22
"""Bytes within which a printed log has its first entry: source code, settings and the warnings of a thousand
processes come before it."""

_LONGEST_LINE = 1 << 20
"""Bytes of a line that are read at once; a longer one is a trainer's dump of its settings."""

_ANSI = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")

_FEW_COLOURS = 32
"""Different codes that are taken out one by one, which is faster than all at once."""

_GZIP = b"\x1f\x8b"

_ENCODINGS = ((codecs.BOM_UTF8, ""), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
"""Marks at the beginning of a file, and what it has to be decoded from to become UTF-8: Windows shells write them."""


def plain(data: bytes) -> bytes:
    """Return text without the colours of a terminal, its lines ended by a line feed.

    A carriage return ends a line too: progress bars write over their own.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for _ in range(_FEW_COLOURS):
        if (found := _ANSI.search(data)) is None:
            return data
        data = data.replace(found.group(), b"")
    return _ANSI.sub(b"", data)


class LogFile:
    """A file of one or more runs; ``path`` is None for standard input. A file compressed by gzip is read as its text.

    Raises FileError where the file cannot be read.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.name = "standard input" if path is None else path.name
        self.source = "-" if path is None else str(path)
        self._standard_input = _StandardInput()

    @property
    def stem(self) -> str:
        """The name of the file without its endings, of which a compressed one has two."""
        name = self.name.removesuffix(".gz")
        return name.rsplit(".", 1)[0] if "." in name[1:] else name

    @cached_property
    def head(self) -> bytes:
        """The first :data:`HEAD_BYTES` of the file, as they are."""
        return self._first(HEAD_BYTES)

    @cached_property
    def opening(self) -> bytes:
        """The beginning of a text as whole lines of UTF-8 without colours; nothing of a file that is no text."""
        if not self._is_text:
            return b""
        text = b"".join(self._decoded(iter([self._first(_OPENING_BYTES)])))
        whole = len(text) < _OPENING_BYTES - 2 or text.endswith(b"\n")
        return plain(text if whole else text[: text.rfind(b"\n") + 1])

    @cached_property
    def head_text(self) -> str:
        """The head as text without colours, of which the last line may be cut."""
        return plain(b"".join(self._decoded(iter([self.head])))).decode("utf-8", errors="replace")

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield the number and text of each line, without its end and without colours."""
        number = 0
        for chunk in self.chunks():
            for line in chunk.removesuffix(b"\n").split(b"\n"):
                number += 1
                yield number, line.decode("utf-8", errors="replace")

    def chunks(self, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield the text of the file in pieces of whole lines, of about ``size`` bytes, as :func:`plain` makes it.

        Only the last piece of all may end without a line feed: a line that was cut, or never ended.
        """
        rest = b""
        with self._handle() as handle:
            for piece in self._decoded(self._pieces(handle, size)):
                end = piece.rfind(b"\n") + 1
                if not end and len(rest) < _LONGEST_LINE:
                    rest += piece
                    continue
                yield plain(rest + piece[:end])
                rest = piece[end:]
        if rest:
            yield plain(rest)

    def raw(self, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield the file as it is, in pieces of ``size`` bytes: what is no text."""
        with self._handle() as handle:
            yield from self._pieces(handle, size)

    @property
    def _is_text(self) -> bool:
        """Whether few bytes are zero; a crash of a file system leaves some in a text."""
        marked = any(self.head.startswith(mark) for mark, encoding in _ENCODINGS if encoding)
        return marked or 10 * self.head.count(b"\0") < max(len(self.head), 1)

    def _decoded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield pieces as UTF-8, without a mark of the encoding."""
        first = next(pieces, b"")
        for mark, encoding in _ENCODINGS:
            if first.startswith(mark):
                first = first[len(mark) :]
                if encoding:
                    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
                    yield decoder.decode(first).encode("utf-8", errors="replace")
                    for piece in pieces:
                        yield decoder.decode(piece).encode("utf-8", errors="replace")
                    return
        yield first
        yield from pieces

    def _pieces(self, handle: BinaryIO, size: int) -> Iterator[bytes]:
        """Yield what a file holds; what cannot be unpacked ends it, as a file that was cut."""
        try:
            while piece := handle.read(size):
                yield piece
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return
        except OSError as error:
            raise _unreadable(self.path, error) from None

    def _first(self, size: int) -> bytes:
        with self._handle() as handle:
            return next(self._pieces(handle, size), b"")

    def _handle(self) -> BinaryIO:
        """Return the file from its beginning."""
        if self.path is None:
            return cast("BinaryIO", self._standard_input.from_start())
        try:
            handle = self.path.open("rb")
            packed = handle.read(len(_GZIP)) == _GZIP
            handle.seek(0)
            if packed:
                handle.close()
                return cast("BinaryIO", gzip.open(self.path))
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, error) from None
        return handle


class _StandardInput:
    """Standard input, of which what was read to recognise it is kept: it can be read once."""

    def __init__(self) -> None:
        self._kept = b""
        self._at = 0

    def from_start(self) -> Self:
        """Return to the beginning."""
        self._at = 0
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer than ``size`` only at the end."""
        if sys.stdin is None:
            raise UsageError("standard input is closed", hint="name a file")
        piece = self._kept[self._at : self._at + size]
        more = sys.stdin.buffer.read(size - len(piece))
        if len(self._kept) < _OPENING_BYTES:
            self._kept += more
        self._at += len(piece) + len(more)
        return piece + more


def _unreadable(path: Path | None, error: Exception) -> FileError:
    reason: str = getattr(error, "strerror", None) or "not a usable path"
    return FileError(f"cannot read {quote(path or 'standard input')}: {reason.lower()}")
