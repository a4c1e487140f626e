"""Spell signs in ASCII, for terminals and files whose encoding lacks them."""

from __future__ import annotations

import codecs
from unicodedata import normalize

__all__ = ["replace_unencodable", "spelled"]

_SIGNS = {
    "→": "->", "←": "<-", "↔": "<->", "–": "-", "—": "-", "−": "-", "…": "...", "·": "*", "•": "*", "×": "x",
    "±": "+-", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "∝": "~", "√": "sqrt", "∞": "inf", "÷": "/", "●": "o",
    "²": "^2", "³": "^3", "½": "1/2", "¼": "1/4", "α": "alpha", "β": "beta", "γ": "gamma", "’": "'", "‘": "'",
    "“": "'", "”": "'", "€": "EUR", "£": "GBP", "¥": "JPY", "\N{NO-BREAK SPACE}": " ", "\N{THIN SPACE}": " ",
    "─": "-", "│": "|", "┤": "+", "├": "+", "┬": "+", "└": "+",
}  # fmt: skip
"""What stands for a sign; none has a quotation mark, which would end a text of JSON."""

_BRAILLE = range(0x2801, 0x2900)  # what pictures are drawn with


def spelled(text: str, encoding: str) -> str:
    """Return a text in which everything that an encoding lacks is spelled by what it has."""
    return text.encode(encoding, errors="scaleplan").decode(encoding)


def replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be encoded, as an error handler of :mod:`codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(character: str) -> str:
    """Return what stands for a character: the letter of one with an accent, a question mark for what is unknown."""
    if character in _SIGNS:
        return _SIGNS[character]
    if ord(character) in _BRAILLE:
        return "."
    letter = normalize("NFKD", character)[:1]
    return letter if letter.isascii() and letter.isalnum() else "?"


codecs.register_error("scaleplan", replace_unencodable)
