"""The list of a ladder's runs as a CSV file, for a scheduler or a script of one's own: a row a run, with its command.

A command is one text, quoted for a POSIX shell: ``sh -c "$command"`` starts the run.
"""

from __future__ import annotations

import csv
import io
import shlex
from typing import TYPE_CHECKING

from scaleplan.ladder.command import PLACEHOLDERS
from scaleplan.units.format import plain_digits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.ladder.ladder import Ladder, LadderRun

__all__ = ["ACTIVE_STARTS", "list_of_runs"]

ACTIVE_STARTS = ("=", "+", "-", "@")
"""Beginnings of what a spreadsheet runs as a formula; none of them begins a word in quotation marks."""


def list_of_runs(ladder: Ladder, runs: Sequence[LadderRun], _again: Mapping[str, str] | None = None) -> str:
    """Return a header and a row for each run: what a command can name, hours, limit, cost, and the command."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*PLACEHOLDERS, "hours", "limit_hours", "cost", "command"])
    for run in runs:
        cost = ladder.cost_of(None if run.hours is None else run.hours * ladder.gpus)
        row = [_cell(each) for each in (*run.values(ladder.gpus).values(), run.hours, run.limit_hours, cost)]
        writer.writerow([*row, _command(run.words)])
    return text.getvalue()


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else plain_digits(value) if value else "0"


def _command(words: Sequence[str]) -> str:
    """Return a program and its arguments, quoted for a shell, the first word always where it looks like a formula."""
    text = shlex.join(words)
    if not text.startswith(ACTIVE_STARTS):
        return text
    return " ".join([f"'{words[0]}'", *map(shlex.quote, words[1:])])
