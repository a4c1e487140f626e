"""Errors, each with a message, a hint and a code, and the warnings of results.

::

    ScaleplanError              every error a user can cause or meet (exit status 2)
    ├── UsageError              the request is wrong: options, names, combinations
    │   ├── QuantityError       an amount that cannot be read; points at the place with a caret
    │   └── UnknownNameError    a preset, accelerator, field … that does not exist; did you mean
    ├── FileError               a file is unreadable or invalid; names the file and the key
    └── UnreachableError        the request is right and the answer is "no" (exit status 1)

The command line is the only place that prints them, and the warnings, each a :class:`Notice`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FileError",
    "Notice",
    "QuantityError",
    "ScaleplanError",
    "UnknownNameError",
    "UnreachableError",
    "UsageError",
    "did_you_mean",
    "escape_control",
    "is_visible",
    "quote",
]

_LONGEST_QUOTE = 80


_INVISIBLE = frozenset(
    map(
        chr,
        (
            *(0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),  # joiner, fillers, vowels, a blank
            *(*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),  # variations
        ),
    )
)
"""Letters and marks that show nothing (Default_Ignorable_Code_Point of Unicode), and the blank among the Braille."""


def is_visible(text: str) -> bool:
    """Return whether every character shows: no control, direction mark, zero width, tag or surrogate."""
    return text.isprintable() and (text.isascii() or _INVISIBLE.isdisjoint(text))


def escape_control(text: str) -> str:
    """Spell out what does not show, so that no text of a user or a file can steer a terminal, a log or a reader."""
    if is_visible(text):
        return text
    return "".join(c if is_visible(c) else c.encode("unicode_escape").decode() for c in text)


def quote(value: object) -> str:
    """Write foreign text for a message: printable, shortened, in single quotes; of a path the end is kept."""
    text = escape_control(str(value))
    if len(text) > _LONGEST_QUOTE:
        is_path = hasattr(value, "__fspath__")
        text = "…" + text[1 - _LONGEST_QUOTE :] if is_path else text[: _LONGEST_QUOTE - 1] + "…"
    return f"'{text}'"


def did_you_mean(name: str, choices: Iterable[str]) -> str | None:
    """Return the closest of ``choices`` to ``name``, or None when nothing is close."""
    from difflib import get_close_matches  # 5 ms, and only a mistake needs it

    known = {choice.casefold(): choice for choice in choices}
    close = get_close_matches(name.casefold()[:100], known, n=1, cutoff=0.6)
    return known[close[0]] if close else None


class ScaleplanError(Exception):
    """The root of all errors raised on purpose.

    ``message`` names the problem in the user's own text, in lower case and without a full stop; ``hint`` is what to
    do about it. Scripts rely on ``code``.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def to_dict(self) -> dict[str, object]:
        """Return the machine-readable form, ``scaleplan/error/1``."""
        return {"schema": "scaleplan/error/1", "code": self.code, "message": self.message, "hint": self.hint}


class UsageError(ScaleplanError):
    """The request is wrong: a missing, contradictory or impossible option."""

    code = "usage"


class QuantityError(UsageError):
    """An amount cannot be read; ``span`` is where the wrong part of ``text`` begins and where it has ended."""

    code = "quantity"

    def __init__(self, message: str, *, text: str, span: tuple[int, int], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.text = text
        self.span = span

    def caret(self) -> str | None:
        """Return two lines, the text and a marker under the offending part; None if it does not fit."""
        shown = escape_control(self.text)
        if len(shown) != len(self.text) or not 0 < len(shown) <= _LONGEST_QUOTE:
            return None
        start, stop = self.span
        return f"{shown}\n{' ' * start}{'^' * max(1, stop - start)}"


class UnknownNameError(UsageError):
    """A name that is not among the ``choices`` of its ``kind`` (``"preset"``, ``"field"``).

    ``listing`` is the command that lists them.
    """

    code = "unknown_name"

    def __init__(self, kind: str, name: str, choices: Iterable[str], *, listing: str | None = None) -> None:
        known = list(choices)
        close = did_you_mean(name, known)
        hints = []
        if close is not None:
            hints.append(f"did you mean '{escape_control(close)}'?")
        if listing is not None:
            hints.append(f"'{listing}' lists them")
        elif close is None and len(known) <= 40:
            hints.append(f"known: {', '.join(map(escape_control, known))}")
        super().__init__(f"unknown {kind} {quote(name)}", hint=" ".join(hints) or None)


class FileError(ScaleplanError):
    """A file cannot be read, or its content is invalid."""

    code = "file"


class UnreachableError(ScaleplanError):
    """The request is right, and the answer is no: the target cannot be reached, the limits conflict."""

    code = "unreachable"
    exit_status = 1


class Notice(Record):
    """A warning that belongs to a result: a code for scripts and a sentence for readers."""

    code: str
    message: str
