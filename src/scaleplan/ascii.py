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
    "─": "-", "│": "|", "┤": "+", "├": "+", "┬": "+", "┴": "+", "┼": "+", "└": "+", "┌": "+", "┐": "+", "┘": "+",
    "█": "#", "▇": "#", "▆": "#", "▅": "+", "▄": "+", "▃": "-", "▂": "-", "▁": "_", "■": "#", "✓": "v",
    "σ": "sigma", "δ": "delta", "Δ": "delta", "λ": "lambda", "µ": "u", "°": " deg",
}  # fmt: skip
"""What stands for a sign; none has a quotation mark, which would end a text of JSON."""

_BRAILLE = range(0x2800, 0x2900)  # cells of eight dots, what pictures are drawn with

_DENSE = 4  # dots from which a cell is drawn as a full one


def spelled(text: str, encoding: str) -> str:
    """Return a text in which everything that an encoding lacks is spelled by what it has."""
    return text.encode(encoding, errors="scaleplan").decode(encoding)


def replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be encoded, as an error handler of :mod:`codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(character: str) -> str:
    """Return what stands for a character: the letter of one with an accent, else its code as JSON has it."""
    if character in _SIGNS:
        return _SIGNS[character]
    if ord(character) in _BRAILLE:
        dots = (ord(character) - _BRAILLE.start).bit_count()
        return " " if dots == 0 else "." if dots < _DENSE else "*"
    letter = normalize("NFKD", character)[:1]
    if letter.isascii() and letter.isalnum():
        return letter
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


codecs.register_error("scaleplan", replace_unencodable)
