"""A log on the disk or on standard input, read forwards in pieces: its head to recognise it by, then its lines.

Its run is named by the file, or by the folders where every run's file is called the same; trackers keep a run's
settings in a file beside it.
"""

from __future__ import annotations

import codecs
import gzip
import io
import re
import sys
import zlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, cast

import numpy as np

from scaleplan.errors import FileError, ScaleplanError, UsageError, escape_control, quote, system_reason
from scaleplan.files import is_file, read_text
from scaleplan.tables.arrow_files import ArrowTable, csv_stream, is_arrow
from scaleplan.tables.frames import FRAME, is_path, text_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.tables.cells import Cell
    from scaleplan.tables.frames import TableLike

__all__ = ["HEAD_BYTES", "LogFile", "plain", "read_settings", "run_name"]

HEAD_BYTES = 1 << 16
"""What is read of a file to recognise it; a printed log is looked at further (:attr:`LogFile.opening`)."""

_OPENING_BYTES = 1 << 22
"""Bytes within which a printed log has its first entry: source code, settings and the warnings of a thousand
processes come before it."""

_LONGEST_LINE = 1 << 20
"""Bytes of a line that are read at once; a longer one is a trainer's dump of its settings."""

_ANSI = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_ANSI_START = b"\x1b["

_LONGEST_CODE = 16
"""Bytes of a code that are looked through at once for all codes of a text; longer ones are no colours."""

_PARAMETERS = np.isin(np.arange(256), np.frombuffer(b"0123456789;?", dtype=np.uint8))
_LETTERS = np.isin(np.arange(256) | 32, np.arange(ord("a"), ord("z") + 1)) & (np.arange(256) < 128)

_GZIP = b"\x1f\x8b"
_MARK_BYTES = 8  # by which Parquet and Arrow files are recognised

_ENCODINGS = ((codecs.BOM_UTF8, ""), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
"""Marks at the beginning of a file, and what it has to be decoded from to become UTF-8: Windows shells write them."""


def plain(data: bytes) -> bytes:
    """Return text without the colours of a terminal, its lines ended by a line feed.

    A carriage return ends a line too: progress bars write over their own.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data if (code := _ANSI.search(data)) is None else _without_codes(data, code.start())


def _without_codes(data: bytes, first: int) -> bytes:
    """Return text without the codes of a terminal, of which the first is at a place: each byte of all at once."""
    text = np.frombuffer(data, dtype=np.uint8)
    padded = np.append(text, np.zeros(_LONGEST_CODE + 1, dtype=np.uint8))
    keep = np.ones(len(padded), dtype=bool)
    at = first + np.flatnonzero(text[first:] == _ANSI_START[0])
    at = at[padded[at + 1] == _ANSI_START[1]]
    for length in range(2, _LONGEST_CODE):
        byte = padded[at + length]
        ended = at[_LETTERS[byte]]
        for place in range(length + 1):
            keep[ended + place] = False
        at = at[_PARAMETERS[byte]]
        if not len(at):
            return text[keep[: len(text)]].tobytes()
    return _ANSI.sub(b"", data)


class LogFile:
    """A file of one or more runs; ``path`` is None for standard input, ``data`` what is in memory.

    A file compressed by gzip is read as its text.

    Raises FileError where the file cannot be read.
    """

    def __init__(self, path: Path | None, *, data: bytes | None = None) -> None:
        self.path = path
        self.name = "standard input" if path is None else path.name
        self.source = "-" if path is None else str(path)
        self._data = data
        self._stream: _Stream | None = None
        self._table: ArrowTable | None = None

    @property
    def table(self) -> ArrowTable | None:
        """The table that a Parquet or Arrow file is; None of any other file."""
        return self._table if self.head else None

    @classmethod
    def of(cls, source: TableLike) -> Self:
        """Return the log at a path, on standard input (``-``), or in a table in memory: the CSV file it would be."""
        if not is_path(source):
            return cls(Path(FRAME), data=text_table(source).csv())
        return cls(None if str(source) == "-" else Path(str(source)))

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Return the log that the Parquet and Arrow files of a folder are together."""
        file = cls(folder)
        file._table = ArrowTable.of_folder(folder, escape_control(folder.name or str(folder)))
        return file

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
        if self._stream is not None:
            return cast("BinaryIO", self._stream.from_start())
        if self._data is not None:
            return io.BytesIO(self._data)
        if self._table is not None:
            return csv_stream(self._table)
        if self.path is None:
            if sys.stdin is None:
                raise UsageError("standard input is closed", hint="name a file")
            self._stream = _Stream(sys.stdin.buffer)
            return cast("BinaryIO", self._stream)
        try:
            handle = self.path.open("rb")
            if not handle.seekable():  # a pipe, as a shell makes of <(command)
                self._stream = _Stream(handle, owned=True)
                return cast("BinaryIO", self._stream)
            head = handle.read(_MARK_BYTES)
            handle.seek(0)
            if head.startswith(_GZIP):
                handle.close()
                return cast("BinaryIO", gzip.open(self.path))
            if is_arrow(head):  # Parquet, too: as the CSV file that it would be
                handle.close()
                self._table = ArrowTable(self.name, [(self.path, {})])
                return csv_stream(self._table)
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, error) from None
        return handle


class _Stream:
    """What can be read once, of which what was read to recognise it is kept: standard input, and a pipe."""

    def __init__(self, handle: BinaryIO, *, owned: bool = False) -> None:
        self._handle: BinaryIO | None = handle
        self._owned = owned  # and closed at its end
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
        piece = self._kept[self._at : self._at + size]
        missing = size - len(piece)
        more = self._handle.read(missing) if self._handle is not None and missing else b""
        if self._owned and self._handle is not None and len(more) < missing:
            self._handle.close()
            self._handle = None
        if len(self._kept) < _OPENING_BYTES:
            self._kept += more
        self._at += len(piece) + len(more)
        return piece + more


def _unreadable(path: Path | None, error: Exception) -> FileError:
    reason = system_reason(error, "not a usable path")
    return FileError(f"cannot read {quote(path or 'standard input')}: {reason}")


_GENERIC = re.compile(
    r"(?i)(?:main|log|logs?_?\d*|metrics?(?:[_-](?:log|history))?|trainer_state|history|train(?:ing)?|events|scalars?|data"
    r"|output|out|std(?:out|err)|train(?:ing)?[_-](?:log|logs|metrics|loss|history|stats)|run|loss(?:es)?|wandb-history"
    r"|wandb_history|console|trainer_log|results?|run[_-](?:history|log)|log_history|tracker_metrics|curves?|nohup"
    r"|events\.out\.tfevents\..*)"
)
"""Names of files that say what a file is, not of which run."""

_PLUMBING = re.compile(
    r"(?i)(?:checkpoint-\d+|logs?|metrics|params|tags|files|tb|tensorboard|tb_logs|runs|wandb|outputs?|train|csv_logs"
    r"|lightning_logs|checkpoints?|ckpts?|mlruns|artifacts|results|latest-run|0)"
)
"""Names of folders that a trainer makes for every run."""

_NUMBERED = re.compile(r"(?i)(?:version|trial|seed|rank|fold)?[_-]?\d+")


def run_name(path: Path | None) -> str:
    """Return the name of the run of a file: its own without the ending, or that of a folder around it."""
    if path is None:
        return "standard input"
    stem = path.name if path.name.startswith("events.out.") else path.stem
    if path.is_dir():
        stem = ""
    if stem and not _GENERIC.fullmatch(stem):
        return stem
    absolute = path.absolute()
    parts = list((absolute if path.is_dir() else absolute.parent).parts[1:])
    while parts and _PLUMBING.fullmatch(parts[-1]):
        parts.pop()
    if not parts:
        return stem or path.name or str(path)
    if _NUMBERED.fullmatch(parts[-1]):  # version_0 of what?
        above = [part for part in parts[:-1] if not _PLUMBING.fullmatch(part)]
        if above:
            return f"{above[-1]}/{parts[-1]}"
    return parts[-1]


_SETTING = re.compile(r"( *)([A-Za-z_][\w ./-]*?): *(.*?) *(?:#.*)?")


def read_settings(path: Path) -> Mapping[str, Cell]:
    """Return the settings in a YAML file under dotted names; none where no such file can be read.

    What trackers keep beside metrics are dumps of flat or nested keys, with tags of Python objects in between that no
    reader of YAML accepts: each line with a plain key and a scalar is taken for itself, and all else passed over.
    """
    if not is_file(path):
        return {}
    try:
        text = read_text(path, what="settings")
    except ScaleplanError:
        return {}
    found: dict[str, Cell] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = _SETTING.fullmatch(line)
        if match is None:
            continue
        indent, key, value = len(match[1]), match[2], match[3]
        while above and above[-1][0] >= indent:
            above.pop()
        if not value or value.startswith(("!", "&", "|", ">", "{", "[")):
            above.append((indent, key))
            continue
        found[".".join([*(name for _, name in above), key])] = value.strip("'\"")
    return found
