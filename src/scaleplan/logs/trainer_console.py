"""What the Trainer of Hugging Face prints: a dictionary at each logging step, between the bars of its progress."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.logs.printed import Entries, PrintedLog, numbers, whole

if TYPE_CHECKING:
    from scaleplan.arrays import Array
    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.recorder import Recorder

__all__ = ["TrainerConsole"]

_ENTRY = re.compile(rb"\{'(?=[^{}\n]*'epoch': )(?=(?:[^{}\n]*')?(?:eval_)?loss': )[^{}\n]*\}")
_NAMED = re.compile(rb"'(loss|eval_loss|learning_rate|grad_norm|step|num_tokens)': '?([^\s,'}]+)")
_BAR = re.compile(rb"\| (\d+)/(\d+) \[")
_SUMMARY = re.compile(rb"\{'(?=[^{}\n]*'?train_runtime': )[^{}\n]*\}")
_QUANTITIES = {
    b"loss": "loss",
    b"eval_loss": "val_loss",
    b"learning_rate": "lr",
    b"grad_norm": "grad_norm",
    b"num_tokens": "tokens",
}


class TrainerConsole(PrintedLog):
    """Steps are those of the bar that is drawn anew behind an entry, or that stood before it.

    Without bars (they go to the error stream), or with output that comes late, entries are counted.
    """

    name = "huggingface-console"
    finished = _SUMMARY

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self._bars: int | None = None  # the last step of the bars of training
        self._counted: bool | None = None  # whether entries are counted, for want of steps
        self._last = self._every = 0.0

    @classmethod
    def recognise(cls, file: LogFile) -> bool:
        """Return whether the opening of a file has an entry."""
        return _ENTRY.search(file.opening) is not None

    def begins(self, text: bytes) -> bool:
        """Return whether the beginning of a line is that of an entry."""
        return re.match(rb"\s*\{'(?:eval_)?loss'", text) is not None

    def entries(self, text: bytes) -> Entries:
        """Return the entries of a piece of the log."""
        found = list(_ENTRY.finditer(text))
        if not found:
            return Entries(np.array([]), np.array([]), {}, np.array([], dtype=bool))
        values = [dict(_NAMED.findall(each[0])) for each in found]
        names = dict.fromkeys(name for each in values for name in each)
        table = {name: numbers([each.get(name, b"") for each in values]) for name in names}
        places = np.array([each.start() for each in found], dtype=float)
        trains = np.array([b"loss" in each for each in values])
        lost = np.array(
            [(each.get(b"loss") or each.get(b"eval_loss") or b"").lower() in _NO_NUMBER for each in values]
        )
        steps = self._steps(text, places, trains, table.pop(b"step", None))
        columns = {_QUANTITIES[name]: column for name, column in table.items()}
        return Entries(places, steps, columns, lost).take(np.isfinite(steps))

    def _steps(self, text: bytes, places: Array, trains: Array, stated: Array | None) -> Array:
        """Return the steps of entries: as they state them, of bars, or counted."""
        if stated is not None and np.isfinite(stated).all():
            return stated
        steps = self._of_bars(text, places, trains)
        of_training = steps[trains]
        if self._counted is None:
            self._counted = (
                _rises(of_training) < _MOSTLY * (len(of_training) - 1) or not np.isfinite(of_training).any()
            )
        if self._counted:
            steps = self._last + np.cumsum(trains)
        elif len(of_training):
            every = np.diff(of_training[np.isfinite(of_training)])
            self._every = float(np.median(every)) if len(every) else self._every
            for row in np.flatnonzero(~np.isfinite(steps)).tolist():  # the bar behind it is in the next piece
                before = steps[row - 1] if row else self._last
                steps[row] = before + self._every * bool(trains[row])
        self._last = float(steps[-1]) if np.isfinite(steps[-1]) else self._last
        return steps

    def _of_bars(self, text: bytes, places: Array, trains: Array) -> Array:
        """Return the steps of the bars of training beside entries; NaN where there is none."""
        bars: dict[int, list[tuple[int, int]]] = {}
        for each in _BAR.finditer(text):
            bars.setdefault(int(each[2]), []).append((each.start(), int(each[1])))
        lines = np.array([text.rfind(b"\n", 0, int(place)) for place in places.tolist()])
        if self._bars is None:  # of evaluations, downloads and training the ones that go on from entry to entry
            likeliest = sorted(bars, key=lambda total: -len(bars[total]))[:_MOST_BARS]
            rises = {total: _rises(_beside(bars[total], lines, places, trains)[trains]) for total in likeliest}
            self._bars = max(rises, key=lambda total: rises[total], default=None)
        return _beside(bars.get(self._bars or 0, []), lines, places, trains)

    def settings(self, text: bytes, run: Recorder) -> None:
        """Record what the text before the first entry of a run states."""
        if found := re.search(rb"Total optimization steps = ([\d,]+)", text):
            run.state(total_steps=whole(found[1]))
        if found := re.search(rb"Total train batch size [^=\n]*= ([\d,]+)", text):
            run.state(batch=float(whole(found[1])))

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        if self._counted:
            run.warn("rows_for_steps", "no count of steps: the entries of the log are counted instead")
        else:
            run.state(total_steps=self._bars)
            if self.spacing and self.spacing > 1:
                run.state(smoothing=f"mean of {self.spacing} steps")
        run.label, run.val_label = "loss", "eval_loss"


def _beside(bars: list[tuple[int, int]], lines: Array, places: Array, trains: Array) -> Array:
    """Return the steps of bars beside entries: of one on the same line, one drawn anew behind, or the last before it.

    ``lines`` are the places where the lines of the entries begin.
    """
    at = np.array([*(place for place, _ in bars), np.inf])
    step = np.array([*(float(step) for _, step in bars), np.nan])
    behind = np.searchsorted(at, places)
    before = np.where(behind > 0, step[behind - 1], np.nan)
    same_line = np.where(behind > 0, at[behind - 1], -np.inf) > lines
    anew = at[behind] < np.append(places[1:], np.inf)
    older = np.greater(before, step[behind])  # a bar of a training that was resumed
    return np.where(np.logical_and.reduce([anew, trains, ~older, ~same_line]), step[behind], before)


def _rises(steps: Array) -> int:
    """Return how often steps that are known rise."""
    return int(np.count_nonzero(np.diff(steps) > 0))


_MOSTLY = 0.8
"""Share of the entries whose steps rise where the bars are those of their steps; a restart or two is between them."""

_MOST_BARS = 8
"""Totals of bars that are looked at, the commonest first: of training, evaluations, data that is prepared."""

_NO_NUMBER = (b"nan", b"inf", b"-inf")
