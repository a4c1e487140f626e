"""The screen that text is written to: its width, and messages in its lines."""

from __future__ import annotations

import os
from typing import TextIO

__all__ = ["MOST", "USUAL", "message_lines", "width_of"]

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
