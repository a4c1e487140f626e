"""Read single values, and the lines on which they stand, from a config in TOML, JSON or YAML.

A key path such as ``trainer.max_steps``, ``data.sources[0].tokens`` or ``"a.b".c`` is a tuple of keys and indices.
The readers of the standard library give no lines: after they have found a text valid, a walk over it collects them.
Of a YAML text only what is looked up is constructed: anchors, aliases and merge keys are followed, and tags other
than YAML's own are never acted on.
"""

from __future__ import annotations

import json
import re
import tomllib
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol

from scaleplan.errors import FileError, UsageError, escape_control, quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["DataDocument", "Document", "Key", "format_key", "json_lines", "parse_document", "parse_key", "toml_lines"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A value of a document and its line, counted from 1; None where that is not known."""

    value: object
    line: int | None


class Document(Protocol):
    """A parsed config file."""

    name: str

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path and its line, None when there is no such key."""

    def names(self, key: Key) -> list[str]:
        """Return the keys of the mapping at a key path, for hints."""


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


def parse_document(text: str, *, name: str) -> Document:
    """Return the document of a text, by the ending of its file's name.

    Raises FileError when the ending is unknown, or the text is not of that format.
    """
    ending = PurePath(name).suffix.casefold()
    if ending == ".toml":
        try:
            return DataDocument(tomllib.loads(text), toml_lines(text), name=name)
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else escape_control(str(error))
            raise FileError(f"{name}: not valid TOML: {reason}") from None
    if ending == ".json":
        try:
            return DataDocument(json.loads(text), json_lines(text), name=name)
        except json.JSONDecodeError as error:
            raise FileError(f"{name}: not valid JSON at line {error.lineno}: {error.msg.lower()}") from None
        except (ValueError, RecursionError):
            raise FileError(f"{name}: not valid JSON: a number too long, or nested too deeply") from None
    if ending in (".yaml", ".yml"):
        return YamlDocument(text, name=name)
    raise FileError(
        f"{name}: not a config that can be read", hint="values come from .toml, .json, .yaml or .yml files"
    )


Key = tuple[str | int, ...]
"""Keys of mappings and indices of lists, from the top of a document."""

_BARE = r"[^.\[\]\"'\s]+(?: +[^.\[\]\"'\s]+)*"
_PART = re.compile(rf"\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>{_BARE})")
_INDEX = re.compile(r"\[(?P<index>\d{1,6})\]")

_PLAIN = re.compile(_BARE)


def parse_key(text: str) -> Key:
    """Read a dotted key path; a key that holds dots or brackets is quoted, an index stands in brackets.

    Raises UsageError for a text that is no key path.

    >>> parse_key('data.sources[0]."train.size"')
    ('data', 'sources', 0, 'train.size')

    """
    parts: list[str | int] = []
    place = 0
    while True:
        part = _PART.match(text, place)
        if part is None:
            raise UsageError(
                f"{quote(text)} is not a key path", hint="for example trainer.max_steps or data[0].tokens"
            )
        parts.append(next(group for group in part.groups() if group is not None))
        place = part.end()
        while (index := _INDEX.match(text, place)) is not None:
            parts.append(int(index["index"]))
            place = index.end()
        if place == len(text):
            return tuple(parts)
        if text[place] != ".":
            raise UsageError(f"{quote(text)} is not a key path", hint='quote keys with special characters: "a[b".c')
        place += 1


def format_key(key: Key) -> str:
    """Write a key path so that :func:`parse_key` reads it back."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if _PLAIN.fullmatch(part) else f"'{part}'" if '"' in part else f'"{part}"'
            text += f".{shown}" if text else shown
    return text


_TOKEN = re.compile(r"(?P<text>\"(?:[^\"\\]|\\.)*\")|(?P<mark>[{}\[\],:])|(?P<break>\n)|[^\s{}\[\],:\"]+")


def json_lines(text: str) -> dict[Key, int]:
    """Return the line, counted from 1, of every key and list item of a valid JSON text; of a key twice, the last."""
    walker = _Walker()
    line = 1
    for token in _TOKEN.finditer(text):
        if token["break"]:
            line += 1
        elif token["mark"]:
            walker.mark(token["mark"], line)
        else:
            walker.value(token["text"], line)
    return walker.lines


class _Walker:
    """Keeps the objects and lists that are open, without recursion: depth costs nothing."""

    def __init__(self) -> None:
        self.lines: dict[Key, int] = {}
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
        elif mark in "]}":
            self._open.pop()
            self._part.pop()
        elif mark == ":":
            self._part[-1] = str(json.loads(self._pending or '""'))
            self.lines[self._here()] = line
        else:
            part = self._part[-1]
            self._part[-1] = part + 1 if isinstance(part, int) else part

    def _here(self) -> Key:
        return (*self._open[-1][0], self._part[-1]) if self._open else ()


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
                self._mark((*key, index), self.place)
                self._value((*key, index))
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


_DEEPEST_MERGE = 20


class YamlDocument:
    """A parsed YAML text of one document; ``name`` is its file as shown to the user.

    Raises FileError when the text is not YAML.
    """

    def __init__(self, text: str, *, name: str) -> None:
        import yaml  # only a project whose configs are YAML pays for it

        self.name = name
        self._problem = yaml.YAMLError
        loader = yaml.SafeLoader(text)
        self._construct = yaml.SafeLoader("").construct_object
        try:
            self._root: Any = loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            line = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise FileError(f"{name}: not valid YAML{line}: {escape_control(str(error.problem))}") from None
        except (yaml.YAMLError, RecursionError, ValueError):
            raise FileError(f"{name}: not valid YAML: unreadable characters, or nested too deeply") from None
        finally:
            loader.dispose()

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path and its line, None when there is no such key."""
        node, line = self._node(key)
        if node is None:
            return None
        if node.id != "scalar":
            return Found(value={} if node.id == "mapping" else [], line=line)
        try:
            return Found(value=self._construct(node), line=line)
        except (self._problem, ValueError) as error:
            raise FileError(f"{self.name}: line {line}: {escape_control(str(error).splitlines()[0])}") from None

    def names(self, key: Key) -> list[str]:
        """Return the keys of the mapping at a key path, for hints."""
        node, _ = self._node(key)
        return [str(name.value) for name, _ in _pairs(node)] if node is not None and node.id == "mapping" else []

    def _node(self, key: Key) -> tuple[Any, int | None]:
        """Return the node at a key path and its line; (None, None) when there is none."""
        node, line = self._root, None
        for part in key:
            if node is None:
                break
            kind, parent = node.id, node
            node = line = None
            if kind == "sequence" and isinstance(part, int) and part < len(parent.value):
                node = parent.value[part]
                line = node.start_mark.line + 1
            elif kind == "mapping":
                for name, value in _pairs(parent):
                    if name.value == str(part):  # of a key given twice the last counts
                        node, line = value, name.start_mark.line + 1
        return node, line


def _pairs(node: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    """Yield the scalar keys of a mapping with their values: merged ones first, so that its own win."""
    own = []
    for name, value in node.value:
        if name.tag == "tag:yaml.org,2002:merge" and depth < _DEEPEST_MERGE:
            merged = reversed(value.value) if value.id == "sequence" else [value]
            for mapping in merged:
                if mapping.id == "mapping":
                    yield from _pairs(mapping, depth + 1)
        elif name.id == "scalar":
            own.append((name, value))
    yield from own
