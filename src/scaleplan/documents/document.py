"""Read single values, and the lines on which they stand, from a config, by the ending of its file's name.

The readers of the standard library for TOML and JSON give no lines: after they have found a text valid, a walk over
it collects them. YAML and scripts are read by documents of their own. The work is bounded by the size of the text.
"""

from __future__ import annotations

import json
import re
import tomllib
from bisect import bisect_right
from contextlib import suppress
from pathlib import PurePath
from typing import TYPE_CHECKING

from scaleplan.documents.key_path import Found, Location, format_key, parse_key
from scaleplan.documents.python_document import PythonDocument
from scaleplan.documents.shell_document import ShellDocument
from scaleplan.documents.yaml_document import YamlDocument
from scaleplan.errors import FileError, UsageError, escape_control, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.documents.key_path import Document, Key

__all__ = [
    "ENDINGS",
    "DataDocument",
    "format_key",
    "json_lines",
    "leaves",
    "located",
    "parse_document",
    "parse_key",
    "toml_lines",
]


class DataDocument:
    """A document whose data was parsed whole, with a table of lines."""

    def __init__(self, data: object, lines: Mapping[Key, int], *, name: str) -> None:
        self.data = data
        self.lines = lines
        self.name = name

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path and its line, None when there is no such key."""
        value = self.data
        for part in key:
            if isinstance(value, dict) and str(part) in value:
                value = value[str(part)]
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return Found(value=value, line=self.lines.get(key))

    def names(self, key: Key) -> list[str]:
        """Return the keys of the mapping at a key path, for hints."""
        found = self.find(key)
        return list(found.value) if found is not None and isinstance(found.value, dict) else []


_MOST_CHARACTERS = 500_000  # a project of a thousand runs has 150,000; the slowest text of this size takes 2 s

_DEEPEST = 32
"""Parts of a key path up to which lines are kept: with more, the paths would outgrow the text."""


def parse_document(text: str, *, name: str, ending: str | None = None) -> Document:
    """Return the document of a text, by the ending of its file's name unless ``ending`` gives another.

    Raises FileError when the ending is unknown, or the text is not of that format.
    """
    ending = PurePath(name).suffix.casefold() if ending is None else ending
    if ending not in _READERS:
        raise FileError(
            f"{name}: not a config that can be read",
            hint=f"values come from files that end with {', '.join(_READERS)}",
            file=name,
        )
    if len(text) > _MOST_CHARACTERS:
        raise FileError(f"{name}: larger than {_MOST_CHARACTERS:,} characters", file=name)
    return _READERS[ending](text, name=name)


def read_toml(text: str, *, name: str) -> DataDocument:
    """Return the document of a TOML text; raises FileError for what is none."""
    if (line := _line_of_long_key(text)) is not None:
        raise FileError(f"{name}: not valid TOML: a key of too many parts (at line {line})", file=name, line=line)
    try:
        return DataDocument(tomllib.loads(text), toml_lines(text), name=name)
    except RecursionError:
        raise FileError(f"{name}: not valid TOML: nested too deeply", file=name) from None
    except (ValueError, ArithmeticError) as error:
        reason = escape_control(str(error))
        at = re.search(r"\(at line (\d+)", reason)
        raise FileError(f"{name}: not valid TOML: {reason}", file=name, line=int(at[1]) if at else None) from None


def read_json(text: str, *, name: str) -> DataDocument:
    """Return the document of a JSON text; raises FileError for what is none."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"{name}: not valid JSON at line {error.lineno}: {error.msg.lower()}"
        raise FileError(message, file=name, line=error.lineno) from None
    except (ValueError, RecursionError):
        raise FileError(f"{name}: not valid JSON: a number too long, or nested too deeply", file=name) from None
    walker = _walk(text)
    if walker.refused is not None:
        reason, line = walker.refused
        raise FileError(f"{name}: not valid JSON at line {line}: {reason}", file=name, line=line)
    return DataDocument(data, walker.lines, name=name)


def leaves(document: Document) -> dict[Location, str | float | None]:
    """Return the scalars of a document that was parsed whole, by place; none of other documents."""
    found: dict[Location, str | float | None] = {}
    if not isinstance(document, DataDocument):
        return found
    waiting: list[tuple[Key, object]] = [((), document.data)]
    while waiting and len(found) < _MOST_LEAVES:
        key, value = waiting.pop()
        if isinstance(value, dict | list) and len(key) < _DEEPEST:
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [((*key, name), item) for name, item in items]
        elif value is None or isinstance(value, str | int | float):
            place = Location(file=document.name, line=document.lines.get(key), key=escape_control(format_key(key)))
            found[place] = value
    return found


_MOST_LEAVES = 1000  # scalars of a law or a model's config that are compared one by one

_READERS: Mapping[str, Callable[..., Document]] = {
    ".toml": read_toml,
    ".json": read_json,
    ".yaml": YamlDocument,
    ".yml": YamlDocument,
    ".py": PythonDocument,
    ".sh": ShellDocument,
    ".bash": ShellDocument,
    ".slurm": ShellDocument,
    ".sbatch": ShellDocument,
}
"""The reader of every format, by the ending of a file's name."""

ENDINGS = tuple(_READERS)
"""The endings of files that can be read."""

_PARTS = r"(?<![A-Za-z0-9_.-])(?:(?:[A-Za-z0-9_-]++|\"[^\"]*+\"|'[^']*+')[ \t]*+\.[ \t]*+){100}"


def _line_of_long_key(text: str) -> int | None:
    """Return the line of a dotted key of over 100 parts, on which TOML's reader takes quadratic time."""
    long = re.compile(_PARTS)
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") >= 100 and long.search(line):
            return number
    return None


def located(error: FileError, *, name: str, lines: Mapping[Key, int]) -> FileError:
    """Return an error on a key of a file, ``NAME: KEY: …``, with the line of that key."""
    where, separator, rest = error.message.removeprefix(f"{name}: ").partition(": ")
    if error.line is not None or not separator or not error.message.startswith(f"{name}: "):
        return error
    try:
        key = parse_key(where.strip("'"))
    except UsageError:
        return error
    while key and key not in lines:  # of a key that is missing, the table that lacks it
        key = key[:-1]
    if not key:
        return error
    line = lines[key]
    return FileError(f"{name}:{line}: {where}: {rest}", hint=error.hint, file=name, line=line)


_TOKEN = re.compile(r"(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<mark>[{}\[\],:])|(?P<break>\n)|[^\s{}\[\],:\"]+")


def json_lines(text: str) -> dict[Key, int]:
    """Return the line, counted from 1, of every key and list item of a valid JSON text; of a key twice, the last."""
    return _walk(text).lines


def _walk(text: str) -> _Walker:
    walker = _Walker()
    line = 1
    for token in _TOKEN.finditer(text):
        if token["break"]:
            line += 1
        elif token["mark"]:
            walker.mark(token["mark"], line)
        else:
            walker.value(token["text"], line)
            if token[0] in ("NaN", "Infinity", "-Infinity"):  # Python reads and writes these
                walker.refuse(f"{token[0]} is not a JSON number", line)
    return walker


class _Walker:
    """Keeps the objects and lists that are open, without recursion: depth costs nothing.

    ``refused`` is the first thing that Python's reader of JSON takes and we do not, and its line.
    """

    def __init__(self) -> None:
        self.lines: dict[Key, int] = {}
        self.refused: tuple[str, int] | None = None
        self._names: list[set[str]] = []  # of each that is open
        self._open: list[tuple[Key, bool]] = []  # the key of each, and whether it is a list
        self._part: list[str | int] = []  # where we are in each: a name or an index
        self._pending: str | None = None  # a text that may turn out to be a name

    def value(self, text: str | None, line: int) -> None:
        """Take a scalar, or a name, which a colon follows."""
        self._pending = text
        if self._open and self._open[-1][1]:
            self.lines[self._here()] = line

    def mark(self, mark: str, line: int) -> None:
        """Take a bracket, a comma or a colon."""
        if mark in "[{":
            self.value(None, line)
            self._open.append((self._here(), mark == "["))
            self._part.append(0 if mark == "[" else "")
            self._names.append(set())
        elif mark in "]}":
            self._open.pop()
            self._part.pop()
            self._names.pop()
        elif mark == ":":
            name = self._part[-1] = str(json.loads(self._pending or '""'))
            self.lines[self._here()] = line
            if name in self._names[-1]:
                self.refuse(f"the key {quote(name)} appears twice", line)
            self._names[-1].add(name)
        else:
            part = self._part[-1]
            self._part[-1] = part + 1 if isinstance(part, int) else part

    def refuse(self, reason: str, line: int) -> None:
        """Keep the first reason to refuse the text."""
        self.refused = self.refused or (reason, line)

    def _here(self) -> Key:
        if not self._open:
            return ()
        key = self._open[-1][0]
        return key if len(key) >= _DEEPEST else (*key, self._part[-1])


_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(
    r"[ \t]*(?:\"(?P<basic>(?:[^\"\\\n]|\\.)*)\"|'(?P<literal>[^'\n]*)'|(?P<bare>[A-Za-z0-9_-]+))[ \t]*"
)

_TEXT = re.compile(r"\"\"\"(?:[^\\]|\\.)*?\"{3,5}|'''.*?'{3,5}|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}\n#]*")


def toml_lines(text: str) -> dict[Key, int]:
    """Return the line, counted from 1, of every key, header and list item of a valid TOML text."""
    walker = _TomlLinesWalker(text)
    with suppress(RecursionError):  # nested beyond reason: the places found so far are all there are
        walker.document()
    return walker.lines


class _TomlLinesWalker:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.lines: dict[Key, int] = {}
        self._breaks = [match.start() for match in re.finditer("\n", text)]
        self._tables: dict[Key, int] = {}  # how many tables each array of tables has so far

    def document(self) -> None:
        prefix: Key = ()
        while self._skip():
            if self.text[self.place] == "[":
                prefix = self._header()
            else:
                self._pair(prefix)

    def _skip(self) -> bool:
        """Pass blanks and comments; whether anything follows."""
        match = _BLANK.match(self.text, self.place)
        self.place = match.end() if match else self.place
        return self.place < len(self.text)

    def _mark(self, key: Key, place: int) -> None:
        if len(key) <= _DEEPEST:
            self.lines.setdefault(key, bisect_right(self._breaks, place - 1) + 1)

    def _names(self) -> tuple[str, ...]:
        """Read a dotted key."""
        names = []
        while (match := _KEY.match(self.text, self.place)) is not None:
            basic = match["basic"]
            names.append(_unescaped(basic) if basic is not None else match["literal"] or match["bare"] or "")
            self.place = match.end()
            if not self.text.startswith(".", self.place):
                break
            self.place += 1
        return tuple(names)

    def _header(self) -> Key:
        start = self.place
        array = self.text.startswith("[[", start)
        brackets = 2 if array else 1
        self.place += brackets
        names = self._names()
        self.place += brackets
        key: Key = ()
        for position, name in enumerate(names):
            key = (*key, name)
            if array and position == len(names) - 1:
                self._mark(key, start)
                self._tables[key] = self._tables.get(key, 0) + 1
            if key in self._tables:
                key = (*key, self._tables[key] - 1)
            self._mark(key, start)
        return key

    def _pair(self, prefix: Key) -> None:
        start = self.place
        names = self._names()
        for count in range(1, len(names) + 1):
            self._mark((*prefix, *names[:count]), start)
        self.place += 1  # past the equals sign
        self._value((*prefix, *names))

    def _value(self, key: Key) -> None:
        while self._at(" \t"):
            self.place += 1
        if self._at("["):
            self.place += 1
            index = 0
            while self._skip() and not self._at("]"):
                item = (*key, index) if len(key) <= _DEEPEST else key
                self._mark(item, self.place)
                self._value(item)
                index += 1
                self._comma()
            self.place += 1
        elif self._at("{"):
            self.place += 1
            while self._skip() and not self._at("}"):
                self._pair(key)
                self._comma()
            self.place += 1
        else:
            match = _TEXT.match(self.text, self.place) or _SCALAR.match(self.text, self.place)
            self.place = match.end() if match else len(self.text)

    def _at(self, characters: str) -> bool:
        return self.place < len(self.text) and self.text[self.place] in characters

    def _comma(self) -> None:
        if self._skip() and self._at(","):
            self.place += 1


def _unescaped(text: str) -> str:
    """Read the escapes of a basic string; TOML's own reader does it, in the few keys that have any."""
    if "\\" not in text:
        return text
    return str(tomllib.loads(f'key = "{text}"')["key"])
