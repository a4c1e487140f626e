"""Key paths into configs, such as ``trainer.max_steps`` or ``data.sources[0].tokens``, and what is found at them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from scaleplan.errors import UsageError, quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "Document",
    "Found",
    "Key",
    "Location",
    "Undetermined",
    "Value",
    "format_key",
    "paired_values",
    "parse_key",
]


Key = tuple[str | int, ...]
"""Keys of mappings and indices of lists, from the top of a document."""

Value = bool | float | str | None
"""A value of JSON that holds no others."""

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


def paired_values(old: object, new: object, key: Key = ()) -> Iterator[tuple[Key, Value, Value]]:
    """Yield the values of two JSON documents by key path; None for one that is null or not there.

    Items of two lists are paired by name where they are objects with names of their own, as laws and accelerators
    are, and such a name stands in the path; all others are paired by position.
    """
    named = _named(old, new) if isinstance(old, list) and isinstance(new, list) else None
    olds, news = named or (_members(old), _members(new))
    for part in dict.fromkeys((*olds, *news)):
        yield from paired_values(olds.get(part), news.get(part), (*key, part))
    before, after = (value if isinstance(value, bool | int | float | str) else None for value in (old, new))
    if before is not None or after is not None:
        yield key, before, after


def _members(value: object) -> dict[str | int, object]:
    return dict(enumerate(value)) if isinstance(value, list) else value if isinstance(value, dict) else {}


def _named(old: Sequence[object], new: Sequence[object]) -> list[dict[str | int, object]] | None:
    """Return the items of two lists by their first text, None unless that is a name: another for each of a list."""
    items = [item for item in (*old, *new) if isinstance(item, dict)]
    if not items or len(items) < len(old) + len(new):
        return None
    texts = (key for key in items[0] if key != "schema" and all(isinstance(item.get(key), str) for item in items))
    name = next(texts, None)
    named: list[dict[str | int, object]]
    named = [{str(item.get(name)): item for item in each} for each in (items[: len(old)], items[len(old) :])]
    is_name = list(map(len, named)) == [len(old), len(new)] and not named[0].keys().isdisjoint(named[1])
    return named if name is not None and is_name else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """The place of a value: the file, its line where that is known, and the key path."""

    file: str
    line: int | None
    key: str


class Undetermined(NamedTuple):
    """In place of a value that a file does not determine by itself: why it does not.

    ``given`` is true for a flag that stands there, where the word after it is not known: a switch is on all the same.
    """

    reason: str
    given: bool = False


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
