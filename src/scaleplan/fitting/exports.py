"""Recognise by its shape a file that is no table of runs, and name the right way.

Trackers export the *chart* of a metric (a column a run), a *scalar* (one metric of one run), or the *history* of a
run (a row a step); trainers print *logs*. None of them holds the sizes of the runs beside their final losses.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, escape_control
from scaleplan.logs.metrics import role_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CURVE",
    "ONE_ROW_A_RUN",
    "SCALAR",
    "NotRunsError",
    "chart_or_scalar",
    "counts_up",
    "is_printed_log",
    "log_error",
    "step_column",
]


class NotRunsError(FileError):
    """A file holds the curves of runs, not a row for each."""


ONE_ROW_A_RUN = "write one row a run: its params, tokens and final loss"

CURVE = "or fit the curve of this run"

SCALAR = ("Wall time", "Step", "Value")
"""The columns of a scalar that TensorBoard exports, in a CSV file or as a list of lists."""

_STEPS = frozenset(
    {
        *("step", "steps", "global step", "trainer global step", "iteration", "iter", "batch", "epoch"),
        *("relative time process", "relative time wall", "wall time"),
    }
)

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PROGRESS = re.compile(r"(?i)(?<![a-z])(?:global[ _]?step|steps?|iter(?:ation)?s?|batch|epoch|s)\s*[\[:=#]?\s*\d")
_MEASURED = re.compile(r"(?i)(?:loss|perplexity|ppl|cross ?entropy|tel|trl)[\w/.\]\)]*\s*[:=]?\s*-?\d*\.?\d")
_BARE = re.compile(r"\d+ (?:train|val|valid|eval|test) \d+\.\d+")  # build-nanogpt: "250 val 3.9"
_PUNCTUATED = re.compile(r"[:=\[]|[a-z] \d", re.IGNORECASE)
_FIRST_LINES = 5000
_LEAST = 2


def is_printed_log(text: str) -> bool:
    """Whether a text is what a trainer prints: lines that name a step and a loss, each with its number."""
    found = 0
    steps = losses = 0
    for line in text.split("\n", _FIRST_LINES)[:_FIRST_LINES]:
        bare = _ANSI.sub("", line).strip()
        if _BARE.fullmatch(bare):
            found += 1
            continue
        if not _PUNCTUATED.search(bare):
            continue
        step, loss = _PROGRESS.search(bare) is not None, _MEASURED.search(bare) is not None
        found, steps, losses = found + (step and loss), steps + step, losses + loss
    return found >= _LEAST or min(steps, losses) >= _LEAST


def log_error(name: str) -> NotRunsError:
    """Return the error for the log of a run that is of no format that is known."""
    return NotRunsError(f"{name}: this is the log of a training run, not a table of runs", hint=ONE_ROW_A_RUN)


def chart_or_scalar(names: Sequence[str]) -> tuple[str, str] | None:
    """Return what the export of a chart or a scalar is and the right way, by its column names; None for others."""
    plain = [_plain(name) for name in names]
    if set(plain) == {_plain(name) for name in SCALAR}:
        return (
            "a scalar export of TensorBoard, one metric of one run by step",
            f"{ONE_ROW_A_RUN} (the last Value)",
        )
    ranges = [name for name in names if name.endswith(("__MIN", "__MAX"))]
    suffixes = [name.rpartition(" - ")[2] for name in names if " - " in name]
    wide = len(suffixes) > 1 and len(set(suffixes)) == 1 and len(suffixes) == len(names) - 1
    if (ranges or wide) and plain and plain[0] in _STEPS:
        runs = len({name.rpartition(" - ")[0] for name in names if " - " in name})
        what = f"the export of a chart, one metric of {runs} runs by step, without their sizes"
        return what, f"export the table of runs instead (W&B: Runs, then CSV), or {ONE_ROW_A_RUN}"
    return None


def step_column(names: Sequence[str]) -> str | None:
    """Return the column that counts the steps of a history, epochs where none does; None where there is none."""
    roles = {name: meaning for name in names if (meaning := role_of(name)) is not None}
    counts = [name for name, meaning in roles.items() if meaning.role in {"step", "epoch"}]
    return min(counts, key=lambda name: (roles[name].role != "step", roles[name].rank), default=None)


def counts_up(step: Sequence[float]) -> bool:
    """Whether rows are the steps of one run: a count of steps that never falls."""
    counted = [value for value in step if value == value]  # noqa: PLR0124  NaN differs from itself
    rising = all(left <= right for left, right in pairwise(counted))
    return len(counted) > _LEAST and rising and counted[0] < counted[-1]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]+", " ", escape_control(name).lower()).strip()
