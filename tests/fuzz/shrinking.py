"""Make a failing case small: fewer arguments, shorter files, ordinary surroundings, while it fails alike."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fuzz.grammar import Case

__all__ = ["reproduction", "shrunk"]

_TRIES = 400  # calls of a few milliseconds, so the few resamples of a fit are kept: without them it makes thousands


def shrunk(case: Case, fails: Callable[[Case], bool]) -> Case:
    """Return a smaller case that still fails; ``fails`` tells whether one does."""
    left, found = _TRIES, True
    while found:
        found = False
        for smaller in _smaller(case):
            if not left:
                return case
            left -= 1
            if fails(smaller):
                case, found = smaller, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Yield cases that lack a part of this one, the largest parts first."""
    for name, ordinary in (("surroundings", ""), ("given", b""), ("environment", {}), ("committed", {})):
        if getattr(case, name) != ordinary:
            changed: dict[str, Any] = {name: ordinary}
            yield replace(case, **changed)
    for name in case.files:
        yield replace(case, files={key: content for key, content in case.files.items() if key != name})
    words = case.arguments
    for length in (4, 2, 1):
        for start in range(1, len(words) - length + 1):
            if not any(word.startswith("--samples") for word in words[start : start + length]):
                yield replace(case, arguments=(*words[:start], *words[start + length :]))
    for place, word in enumerate(words):
        if len(word) > 30:
            yield replace(case, arguments=(*words[:place], word[: len(word) // 2], *words[place + 1 :]))
    for part in _parts(case.given or b""):
        yield replace(case, given=part)
    for name, content in case.files.items():
        for part in _parts(content):
            yield replace(case, files={**case.files, name: part})


def _parts(content: bytes) -> Iterator[bytes]:
    """Yield a file without some of its lines, or without some of its bytes where it has one line."""
    pieces = content.splitlines(keepends=True)
    if len(pieces) == 1:
        step = max(1, len(content) // 16)
        pieces = [content[i : i + step] for i in range(0, len(content), step)]
    length = len(pieces) // 2
    while length >= 1:
        for start in range(0, len(pieces), length):
            yield b"".join([*pieces[:start], *pieces[start + length :]])
        length //= 2


def reproduction(case: Case, *, shown: int = 300) -> str:
    """Write a case as a person would type it: the command line, and what else it depends on, so many characters."""
    words = " ".join(word if re.fullmatch(r"[\w./=-]+", word, re.ASCII) else ascii(word) for word in case.arguments)
    lines = [f"scaleplan {words}"]
    lines += [f"  {name}={value!r}" for name, value in case.environment.items()]
    lines += [f"  with {case.surroundings}"] if case.surroundings else []
    lines += (
        ["  standard input closed"]
        if case.given is None
        else [f"  input {_short(case.given, shown)}"]
        if case.given
        else []
    )
    lines += [f"  committed {name}: {_short(content, shown)}" for name, content in case.committed.items()]
    lines += [f"  {name}: {_short(content, shown)}" for name, content in case.files.items()]
    return "\n".join(lines)


def _short(content: bytes, shown: int) -> str:
    text = ascii(content)
    return text if len(text) <= shown else f"{text[:shown]}… ({len(content)} bytes)"
