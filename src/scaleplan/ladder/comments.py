"""The comments in which an engine's file says what it is, what its runs take, and how they are submitted."""

from __future__ import annotations

from itertools import starmap
from textwrap import wrap
from typing import TYPE_CHECKING

from scaleplan.errors import escape_control
from scaleplan.ladder.spending import facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.ladder.ladder import Ladder, LadderRun

__all__ = ["comments"]

_WIDTH = 100
"""Characters of a line of notes."""


def comments(ladder: Ladder, runs: Sequence[LadderRun], what: str, notes: Mapping[str, str]) -> str:
    """Return lines that begin with ``#``: what the file is, what its runs take, how it is submitted, and notes.

    Characters that do not show are spelt out, since a line break of Unicode would end a comment.
    """
    lines = [what, "", *starmap(_named, facts(ladder, runs)), "", _named("submit", ladder.submit)]
    for name, text in notes.items():
        first, *more = wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
        lines += [_named(name, first), *(_named("", line) for line in more)]
    return "".join(f"# {escape_control(line)}".rstrip() + "\n" for line in lines)


def _named(name: str, line: str) -> str:
    return f"{name + ':' if name else '':9}{line}"
