"""On which line does each key of a JSON text stand? The standard library's reader does not say."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaleplan.config.keypath import Key

__all__ = ["json_lines"]

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
        """Take a scalar, or a name: the colon after it will tell."""
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
