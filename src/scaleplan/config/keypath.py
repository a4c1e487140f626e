"""Where in a config: ``trainer.max_steps``, ``data.sources[0].tokens``, ``"a.b".c`` ↔ a tuple of keys and indices."""

from __future__ import annotations

import re

from scaleplan.errors import UsageError, quote

__all__ = ["Key", "format_key", "parse_key"]

Key = tuple[str | int, ...]
"""Keys of mappings and indices of lists, from the top of a document."""

_BARE = r"[^.\[\]\"'\s]+(?: +[^.\[\]\"'\s]+)*"
_PART = re.compile(rf"\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>{_BARE})")
_INDEX = re.compile(r"\[(?P<index>\d{1,6})\]")
_PLAIN = re.compile(_BARE)


def parse_key(text: str) -> Key:
    """Read a dotted key path; a key that holds dots or brackets is quoted, an index stands in brackets.

    Raises
    ------
    UsageError
        For a text that is no key path.

    Examples
    --------
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
