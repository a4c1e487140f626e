"""Record a run while its log is read: a bounded number of points of each curve, and steps that go back.

A reader of a format gives what it finds to a :class:`Recorder`, in the order of the file and under the names of
:data:`~scaleplan.logs.run_log.QUANTITIES`; the recorder makes the :class:`~scaleplan.logs.run_log.RunLog`.
"""

from __future__ import annotations

from array import array
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from scaleplan.errors import Notice
from scaleplan.logs.run_log import QUANTITIES, LoggedCurve, NonFinite, RunLog, Stated
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scaleplan.arrays import Array, Mask
    from scaleplan.logs.run_log import Ended

__all__ = ["MOST_POINTS", "Recorder"]

MOST_POINTS = 1 << 16
"""Points that are kept of a curve. A longer one is thinned by halves: the mean of two neighbours, at their later
step, of a loss; the later of two for what is counted or set."""

_COUNTED = frozenset({"lr", "tokens", "samples", "seconds", "clock"})
"""Of two neighbours the later counts; of everything else their mean."""

_LOSSES = frozenset({"loss", "val_loss"})

_FEW_REPEATS = 3
"""Late or repeated lines that do not make two runs of one: the last lines of a process that was stopped."""

_LONGEST_PAUSE = 10.0
"""Times the usual time of a step beyond which a gap between two time stamps is a pause and not training."""


class _Buffer:
    """The points of one curve while they are read: at most twice :data:`MOST_POINTS`, at rising steps."""

    __slots__ = (
        *("averaged", "first", "is_shared", "last", "pending_steps", "pending_values", "steps", "stride", "values"),
    )

    def __init__(self, name: str) -> None:
        self.steps, self.values = array("d"), array("d")
        self.is_shared = False  # the steps are those of another curve, too, and copied before they change
        self.averaged, self.stride = name not in _COUNTED, 1
        self.first, self.last = float("inf"), float("-inf")
        self.pending_steps, self.pending_values = array("d"), array("d")  # entries of a point that is not full yet

    @property
    def entries(self) -> int:
        """Entries of the log that the points stand for."""
        return len(self.steps) * self.stride + len(self.pending_steps)

    def extend(self, steps: Array, values: Array) -> None:
        """Append values at rising steps; one at the last step replaces it, one below the last sets the curve back."""
        if not len(steps):
            return
        if steps[0] <= self.last:
            if steps[0] == self.last and self.stride > 1 and not self.pending_steps:
                steps, values = steps[1:], values[1:]  # a point of several entries is not taken apart for one
            else:
                self.back_to(float(steps[0]))
            if not len(steps):
                return
        self.first = min(self.first, float(steps[0]))
        self.last = float(steps[-1])
        most = 2 * MOST_POINTS * self.stride  # entries to the next halving, so that memory stays bounded
        for start in range(0, len(steps), most):
            self._append(steps[start : start + most], values[start : start + most])

    def back_to(self, step: float) -> None:
        """Forget what was read from ``step`` on: the run went back to it."""
        if step > self.last:
            return
        self._own_steps()
        for steps, values in ((self.steps, self.values), (self.pending_steps, self.pending_values)):
            keep = _below(steps, step)
            del steps[keep:], values[keep:]
        self.last = (self.pending_steps or self.steps or (float("-inf"),))[-1]
        if self.first >= step:
            self.first = float("inf")

    def curve(self) -> LoggedCurve:
        """Return the curve so far."""
        steps, values = np.array(self.steps), np.array(self.values)
        if self.pending_steps:
            rest = float(np.mean(self.pending_values)) if self.averaged else self.pending_values[-1]
            steps, values = np.append(steps, self.pending_steps[-1]), np.append(values, rest)
        return LoggedCurve(steps=steps, values=values, stride=self.stride)

    def _append(self, steps: Array, values: Array) -> None:
        if self.stride > 1:
            if self.pending_steps:
                steps = np.concatenate([np.frombuffer(self.pending_steps), steps])
                values = np.concatenate([np.frombuffer(self.pending_values), values])
            full = len(steps) // self.stride * self.stride
            self.pending_steps = array("d", steps[full:].tobytes())
            self.pending_values = array("d", values[full:].tobytes())
            steps, values = self._thinned(steps[:full], values[:full], self.stride)
        self._own_steps()
        self.steps.frombytes(np.ascontiguousarray(steps, dtype=float).tobytes())
        self.values.frombytes(np.ascontiguousarray(values, dtype=float).tobytes())
        while len(self.steps) >= 2 * MOST_POINTS:
            self._halve()

    def _thinned(self, steps: Array, values: Array, size: int) -> tuple[Array, Array]:
        """Return one point for each group of ``size``, at the step of its last."""
        groups = values.reshape(-1, size)
        return steps[size - 1 :: size], groups.mean(axis=1) if self.averaged else groups[:, -1]

    def _halve(self) -> None:
        steps, values = np.array(self.steps), np.array(self.values)
        if odd := len(steps) % 2:  # half a point waits for its other half
            self.pending_steps[:0] = array("d", [steps[-1]] * self.stride)
            self.pending_values[:0] = array("d", [values[-1]] * self.stride)
        steps, values = self._thinned(steps[: len(steps) - odd], values[: len(values) - odd], 2)
        self.steps, self.values = array("d", steps.tobytes()), array("d", values.tobytes())
        self.stride *= 2

    def share_steps(self, other: _Buffer) -> bool:
        """Keep the steps of another curve where they are the same; returns whether they are."""
        if self.steps is other.steps:
            return True
        if len(self.steps) != len(other.steps) or not self.steps or self.steps[0] != other.steps[0]:
            return False
        if not np.array_equal(np.frombuffer(self.steps), np.frombuffer(other.steps)):
            return False
        self.steps = other.steps
        self.is_shared = other.is_shared = True
        return True

    def _own_steps(self) -> None:
        if self.is_shared:
            self.steps, self.is_shared = self.steps[:], False


def _below(steps: array[float], step: float) -> int:
    """Return how many of rising steps lie below one."""
    return int(np.searchsorted(np.frombuffer(steps), step)) if steps else 0


class _Sequence:
    """Curves whose entries stand in the order in which they were written, so that a restart concerns them all."""

    def __init__(self) -> None:
        self.buffers: dict[str, _Buffer] = {}
        self.restarts: list[tuple[float, float, int]] = []
        self.entries = self.late = self.doubled = 0
        self.last = float("-inf")  # the last step of training
        self._held: tuple[float, dict[str, float], int] | None = None  # a row that lies back: late, or a restart

    def record(self, steps: Array, columns: Mapping[str, Array], line_of: Callable[[int], int]) -> None:
        """Record rows in their order; NaN is a value that is not there."""
        training = np.zeros(len(steps), dtype=bool)
        for name, column in columns.items():
            if name != "val_loss" or len(columns) == 1:
                training |= ~np.isnan(column)
        rows = np.flatnonzero(training)
        of_training = steps[rows]
        if self._held is not None and len(rows):
            held, self._held = self._held, None
            if of_training[0] > self.last:
                self.late += 1
            else:
                self._release(*held)
        self.entries += len(rows)
        before = np.concatenate([[self.last], of_training[:-1]])
        begin = 0
        for back in np.flatnonzero(of_training < before).tolist():
            row = int(rows[back])
            trained = max(begin, int(rows[back - 1]) + 1 if back else 0)  # behind it validation alone
            self._append(_part(columns, steps, begin, trained))
            gone_back = np.flatnonzero(steps[trained:row] < self.last)
            kept, trained = trained, trained + int(gone_back[0]) if len(gone_back) else row
            self._append(_part(columns, steps, kept, trained))
            follows = of_training[back + 1] if back + 1 < len(rows) else None
            if follows is not None and follows > self.last:
                self.late += 1
                self._append(_part(columns, steps, trained, row))
            elif follows is not None:
                self._resume(float(steps[row]), line_of(row))
                self._append(_part(columns, steps, trained, row + 1))  # validated before the first step of training
            else:
                self._append(_part(columns, steps, trained, row))
                values = {name: float(column[row]) for name, column in columns.items() if not np.isnan(column[row])}
                self._held = (float(steps[row]), values, line_of(row))
            begin = row + 1
        self._append(_part(columns, steps, begin, len(steps)))

    def finish(self) -> None:
        """Settle the last row of all where it lies back: a restart that had just begun."""
        if self._held is not None:
            held, self._held = self._held, None
            if self.late:  # one more of the late lines before it
                self.late += 1
            else:
                self._release(*held)

    def _release(self, step: float, values: Mapping[str, float], line: int) -> None:
        """Record a row that was held back as the first one after a restart."""
        self._resume(step, line)
        self._append((np.array([step]), {name: np.array([value]) for name, value in values.items()}))

    def _resume(self, step: float, line: int) -> None:
        """Forget what a resumed run repeats."""
        self.restarts.append((self.last, step, line))
        for buffer in self.buffers.values():
            buffer.back_to(step)
        self.last = step

    def _append(self, rows: tuple[Array, Mapping[str, Array]]) -> None:
        """Append rows of which the steps of training do not fall."""
        steps, columns = rows
        for name, column in columns.items():
            there = np.flatnonzero(~np.isnan(column))
            if not len(there):
                continue
            at, values = steps[there], column[there]
            buffer = self.buffers.get(name)
            if buffer is None:
                buffer = self.buffers[name] = _Buffer(name)
            if name == "loss":
                self.doubled += int(np.count_nonzero((at[1:] == at[:-1]) & (values[1:] != values[:-1])))
            if name == "val_loss" and len(columns) > 1:
                pieces = np.flatnonzero(np.diff(at) < 0) + 1
            else:
                pieces = np.array([], dtype=int)
                self.last = max(self.last, float(at[-1]))
            for piece, of_piece in zip(np.split(at, pieces), np.split(values, pieces), strict=True):
                last_of_step = np.append(np.diff(piece) != 0, True)
                buffer.extend(piece[last_of_step], of_piece[last_of_step])


def _part(columns: Mapping[str, Array], steps: Array, begin: int, end: int) -> tuple[Array, Mapping[str, Array]]:
    """Return some rows, of their steps and columns."""
    return steps[begin:end], {name: column[begin:end] for name, column in columns.items()}


class Recorder:
    """The run that a reader is reading.

    ``add`` takes the values of one step, ``extend`` columns of many. A step below the last one of the same quantity
    means that the run was resumed from an earlier checkpoint: what was read from there on is replaced. Where the
    entries of all quantities come in the order in which they were written (``in_order``), what was validated in the
    part that was given up goes too. One line alone that lies back is a late one of another process, and left out.
    Entries at one step are one, and the later values count. ``state`` sets what is stated beside the curves; the
    first statement of a thing stands.
    """

    def __init__(self, name: str, source: str, *, line: int, format_name: str, in_order: bool = False) -> None:
        self.name, self.source, self.line, self.format_name = name, source, line, format_name
        self.label: str | None = None
        self.val_label: str | None = None
        self.ended: Ended | None = None
        self.written: float | None = None
        self._in_order = in_order
        self._sequences: dict[str, _Sequence] = {}
        self._rows: list[tuple[float, Mapping[str, float], int]] = []
        self._stated: dict[str, Any] = {}
        self._notices: list[Notice] = []

    def add(self, step: float, values: Mapping[str, float], *, line: int = 0) -> None:
        """Record the ``values`` of a ``step`` by the names of the quantities; a loss may be NaN or infinite."""
        self._rows.append((step, values, line))
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._flush()

    def extend(
        self,
        steps: Sequence[float] | Array,
        columns: Mapping[str, Sequence[float] | Array],
        *,
        lost: Sequence[bool] | Mask | None = None,
        line_of: Callable[[int], int] | None = None,
    ) -> None:
        """Record columns of values at ``steps``; NaN in a column is a value that is not there.

        ``lost`` tells where a loss was NaN (an infinite one tells itself), ``line_of`` the line of a row.
        """
        self._flush()
        self._record(
            np.asarray(steps, dtype=float),
            {name: np.asarray(column, dtype=float) for name, column in columns.items()},
            np.zeros(len(steps), dtype=bool) if lost is None else np.array(lost, dtype=bool),
            line_of or _no_line,
        )

    def state(self, **stated: object) -> None:
        """Record what the log states, by the fields of ``Stated``; None states nothing."""
        for name, value in stated.items():
            if value is not None:
                self._stated.setdefault(name, value)

    def stated(self, name: str) -> Any:  # noqa: ANN401  as wide as the fields of Stated
        """Return what was stated so far by a name; None where nothing was."""
        return self._stated.get(name)

    def warn(self, code: str, message: str) -> None:
        """Record a warning about the log, once."""
        notice = Notice(code=code, message=message)
        if notice not in self._notices:
            self._notices.append(notice)

    def run(self) -> RunLog:
        """Return what was read."""
        self._flush()
        curves: dict[str, LoggedCurve] = {}
        lost: NonFinite | None = None
        for sequence in self._sequences.values():
            sequence.finish()
            curves.update((name, each.curve()) for name, each in sequence.buffers.items() if each.entries)
            if (of_lost := sequence.buffers.get(_LOST)) is not None and of_lost.entries:
                lost = NonFinite(first=of_lost.first, last=of_lost.last, count=of_lost.entries)
        self._warn_of_order()
        if "seconds" not in curves and (seconds := _seconds(curves)) is not None:
            curves["seconds"] = seconds
        return RunLog(
            name=self.name,
            source=self.source,
            line=self.line,
            format=self.format_name,
            curves={name: curves[name] for name in QUANTITIES if name in curves},
            stated=Stated(**self._stated),
            label=self.label,
            val_label=self.val_label,
            ended=self.ended,
            written=self.written,
            not_finite=lost,
            warnings=tuple(self._notices),
        )

    def _flush(self) -> None:
        """Record the rows that were added one by one."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        names = dict.fromkeys(name for _, values, _ in rows for name in values)
        columns = {name: np.array([values.get(name, np.nan) for _, values, _ in rows], dtype=float) for name in names}
        lost = [
            any(name in _LOSSES and not isfinite(value) for name, value in values.items()) for _, values, _ in rows
        ]
        steps = np.array([step for step, _, _ in rows], dtype=float)
        self._record(steps, columns, np.array(lost), lambda row: rows[row][2])

    def _record(self, steps: Array, columns: dict[str, Array], lost: Mask, line_of: Callable[[int], int]) -> None:
        known = np.isfinite(steps)
        for name in columns.keys() & _LOSSES:
            lost |= np.isinf(columns[name])
        columns = {name: np.where(np.isfinite(column) & known, column, np.nan) for name, column in columns.items()}
        if lost.any():
            columns[_LOST] = np.where(lost & known, 1.0, np.nan)
        parts = {"": columns} if self._in_order else {name: {name: column} for name, column in columns.items()}
        for key, part in parts.items():
            self._sequences.setdefault(key, _Sequence()).record(steps, part, line_of)
        self._share_steps()

    def _share_steps(self) -> None:
        """Keep the steps once of curves that have the same: half the memory of a file of many runs."""
        different: list[_Buffer] = []
        for sequence in self._sequences.values():
            for buffer in sequence.buffers.values():
                if not any(buffer.share_steps(other) for other in different):
                    different.append(buffer)

    def _warn_of_order(self) -> None:
        """Warn of a run that went back, and of lines that more than one run wrote."""
        first = [self._sequences[key] for key in ("", "loss", "val_loss") if key in self._sequences][:1]
        for sequence in first:
            mixed = sequence.late + sequence.doubled
            if mixed > _FEW_REPEATS and 5 * mixed > sequence.entries:
                self.warn(
                    "interleaved",
                    f"two runs or processes wrote into one log: {mixed} of {sequence.entries} entries come late or "
                    f"repeat a step with another loss",
                )
            for last, step, line in sequence.restarts[:1]:
                more = len(sequence.restarts) - 1
                times = f", and {more} more time{'s' if more > 1 else ''}" if more else ""
                place = f" at line {line}" if line else ""
                self.warn(
                    "restarted",
                    f"steps go back from {format_plain(last)} to {format_plain(step)}{place}{times}; the later "
                    "ones count",
                )


_LOST = "lost"
_ROWS_AT_ONCE = 1 << 12
"""Rows that are gathered before they are recorded at once."""


def _no_line(row: int) -> int:  # noqa: ARG001  as line_of
    return 0


def _seconds(curves: Mapping[str, LoggedCurve]) -> LoggedCurve | None:
    """Return the time of training by step, from the time of a step or from time stamps less the pauses."""
    if (each := curves.get("step_seconds")) is not None:
        since = np.diff(each.steps, prepend=min(0.0, each.steps[0]))
        since[0] = since[0] if len(since) < 2 else min(since[0], since[1:].max())
        return LoggedCurve(steps=each.steps, values=np.cumsum(since * each.values), stride=each.stride)
    clock = curves.get("clock")
    if clock is None or len(clock) < 3:
        return None
    pace = np.diff(clock.values) / np.diff(clock.steps)
    forwards = pace > 0
    if 2 * np.count_nonzero(forwards) < len(pace):
        return None  # no clock of this run
    usual = float(np.median(pace[forwards]))
    pace = np.where(forwards & (pace <= _LONGEST_PAUSE * usual), pace, usual)
    values = np.concatenate([[0.0], np.cumsum(pace * np.diff(clock.steps))])
    return LoggedCurve(steps=clock.steps, values=values, stride=clock.stride)
