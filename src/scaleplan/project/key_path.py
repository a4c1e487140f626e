"""Key paths into configs, such as ``trainer.max_steps`` or ``data.sources[0].tokens``, and what is found at them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from scaleplan.errors import UsageError, quote

__all__ = ["Document", "Found", "Key", "Location", "Undetermined", "format_key", "parse_key"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The place of a value: the file, its line where that is known, and the key path."""

    file: str
    line: int | None
    key: str


class Undetermined(NamedTuple):
    """In place of a value that a file does not determine by itself: why it does not."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A value of a document and its line, counted from 1; None where that is not known.

    Where the value refers to another key, ``origin`` is that key and its line.
    """

    value: object
    line: int | None
    origin: tuple[Key, int | None] | None = None


class Document(Protocol):
    """A parsed config file."""

    name: str

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path and its line, None when there is no such key."""

    def names(self, key: Key) -> list[str]:
        """Return the keys of the mapping at a key path, for hints."""
