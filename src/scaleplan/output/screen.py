"""The screen that text is written to: its width, messages as its lines, and plain signs where it lacks others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MOST", "USUAL", "message_lines", "plain_signs", "spelled", "width_of"]

LEAST, USUAL, MOST = 60, 80, 200
"""The widths that text keeps within, and the one where nothing is known of a screen."""

_INDENT = "  "


def width_of(stream: TextIO) -> int:
    """Return the columns that text has: ``COLUMNS``, else those of the terminal, else 80; within 60 to 200."""
    given = os.environ.get("COLUMNS", "")
    columns = int(given) if given.isascii() and given.isdigit() and len(given) < 7 else 0
    if not columns:
        try:
            columns = os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError, AttributeError):  # a pipe, a file, or a stream without a number
            columns = 0
    return min(max(columns or USUAL, LEAST), MOST)


def message_lines(text: str, stream: TextIO) -> str:
    """Return a message as it is written: wrapped with a hanging indent on a terminal, one line in a log or a pipe."""
    if not stream.isatty():
        return f"{text}\n"
    width = width_of(stream)
    if len(text) <= width:
        return f"{text}\n"
    from textwrap import wrap  # costs a few milliseconds, and most messages are short

    lines = wrap(text, width, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False)
    return "".join(f"{line}\n" for line in lines)


_SIGNS = {
    "–": "-", "—": "-", "‑": "-", "−": "-", "…": "...", "→": "->", "←": "<-", "↔": "<->", "≤": "<=", "≥": ">=",
    "≠": "!=", "≈": "~", "∝": "~", "×": "x", "÷": "/", "·": ".", "•": "*", "±": "+/-", "∞": "inf", "√": "sqrt",
    "‘": "'", "’": "'", "“": "'", "”": "'", "\u00a0": " ", "²": "^2", "³": "^3", "µ": "u", "°": " deg",
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "Δ": "delta", "σ": "sigma", "λ": "lambda",
    "─": "-", "│": "|", "┌": "+", "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+", "┼": "+",
    "█": "#", "▇": "#", "▆": "#", "▅": "+", "▄": "+", "▃": "-", "▂": "-", "▁": "_", "■": "#", "●": "o", "✓": "yes",
}  # fmt: skip
"""Signs of this program for an encoding that lacks them; none is a quotation mark, which would end a text of JSON."""

_BRAILLE = range(0x2800, 0x2900)
"""The cells of eight dots that charts are drawn with."""

_DENSE = 4  # dots of a cell from which it is drawn as a full one


def _plain_sign(character: str) -> str:
    code = ord(character)
    if code in _BRAILLE:
        dots = (code - _BRAILLE.start).bit_count()
        return " " if dots == 0 else "." if dots < _DENSE else "*"
    if character in _SIGNS:
        return _SIGNS[character]
    from unicodedata import decomposition, normalize

    letters = normalize("NFKD", character).encode("ascii", "ignore").decode() if decomposition(character) else ""
    if letters:
        return letters
    # as JSON has it, so that an object stays one
    return "".join(
        f"\\u{int.from_bytes(pair):04x}" for pair in _pairs(character.encode("utf-16-be", "surrogatepass"))
    )


def _pairs(data: bytes) -> Iterable[bytes]:
    return (data[i : i + 2] for i in range(0, len(data), 2))


def plain_signs(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for the signs that an encoding lacks: a handler of encoding errors."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain_sign, error.object[error.start : error.end])), error.end


def spelled(text: str, encoding: str) -> str:
    """Return a text in which everything that an encoding lacks is spelled by what it has."""
    try:
        return text.encode(encoding).decode(encoding)
    except UnicodeEncodeError:
        return "".join(map(_plain_sign, text))
