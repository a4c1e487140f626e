"""On which line does each key of a TOML text stand? The standard library's reader does not say.

The text has been read by :mod:`tomllib` before, so it is valid; this walks over it once and keeps places, not
values.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaleplan.config.keypath import Key

__all__ = ["toml_lines"]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(
    r"[ \t]*(?:\"(?P<basic>(?:[^\"\\\n]|\\.)*)\"|'(?P<literal>[^'\n]*)'|(?P<bare>[A-Za-z0-9_-]+))[ \t]*"
)
_TEXT = re.compile(
    r"\"\"\"(?:[^\\]|\\.)*?\"{3,5}|'''.*?'{3,5}|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]*")


def toml_lines(text: str) -> dict[Key, int]:
    """Return the line, counted from 1, of every key, header and list item of a valid TOML text."""
    walker = _Walker(text)
    with suppress(RecursionError):  # nested beyond reason: the places found so far are all there are
        walker.document()
    return walker.lines


class _Walker:
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

    def _mark(self, key: Key) -> None:
        self.lines.setdefault(key, bisect_right(self._breaks, self.place - 1) + 1)

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
        self.place += 2 if array else 1
        names = self._names()
        self.place, after = start, self.place + (2 if array else 1)
        key: Key = ()
        for position, name in enumerate(names):
            key = (*key, name)
            last = position == len(names) - 1
            if array and last:
                self._mark(key)
                self._tables[key] = self._tables.get(key, 0) + 1
            if key in self._tables:
                key = (*key, self._tables[key] - 1)
            self._mark(key)
        self.place = max(after, start + 1)
        return key

    def _pair(self, prefix: Key) -> None:
        start = self.place
        names = self._names()
        after, self.place = self.place, start
        for count in range(1, len(names) + 1):
            self._mark((*prefix, *names[:count]))
        self.place = max(after + 1, start + 1)  # past the equals sign
        self._value((*prefix, *names))

    def _value(self, key: Key) -> None:
        while self._at(" \t"):
            self.place += 1
        if self._at("["):
            self.place += 1
            index = 0
            while self._skip() and not self._at("]"):
                self._mark((*key, index))
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
    import tomllib

    return str(tomllib.loads(f'key = "{text}"')["key"])
