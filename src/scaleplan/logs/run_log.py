"""One run as its log tells it: curves by step, what is stated beside them, and what went wrong on the way.

A reader of a format gives what it finds to a :class:`Recorder`, in the order of the file and under the names of
:data:`QUANTITIES`; the recorder keeps a bounded number of points of each curve, notices steps that go back, and makes
the :class:`RunLog`.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scaleplan.errors import Notice
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scaleplan.arrays import Array

__all__ = ["MOST_POINTS", "QUANTITIES", "Curve", "Ended", "Recorder", "RunLog", "Stated"]

QUANTITIES: Mapping[str, str] = {
    "loss": "training loss, nats per token",
    "val_loss": "validation loss, nats per token",
    "lr": "learning rate, or what it is multiplied by (``Stated.relative_rate``)",
    "tokens": "tokens trained on so far, by all devices",
    "seconds": "time since the run began, without pauses",
    "tokens_per_second": "speed of all devices together",
    "device_tokens_per_second": "speed of one device",
    "mfu": "model FLOPs utilisation, 0 to 1",
    "grad_norm": "norm of the gradient",
}
"""The curves of a run and their units."""

MOST_POINTS = 1 << 16
"""Points that are kept of a curve. A longer one is thinned by halves: the mean of two neighbours, at their later
step, of a loss; the later of two for what is counted or set."""

_AVERAGED = frozenset({"loss", "val_loss", "grad_norm", "tokens_per_second", "device_tokens_per_second", "mfu"})

Ended = Literal["finished", "crashed"]
"""What a log itself says of its end; None where it just stops."""


class Curve(Record, eq=False):
    """The values of one quantity at rising steps; ``stride`` is how many entries of the log a point stands for."""

    steps: Array
    values: Array
    stride: int = 1

    def __len__(self) -> int:
        return len(self.steps)


class Stated(Record):
    """What a log, its name or files beside it state of a run, apart from curves; None where nothing does.

    ``total_steps`` is where the run is to end, ``tokens_per_step`` and ``batch`` (sequences a step) of all devices.
    ``smoothing`` says what one value of the training loss is: ``"mean of 10 steps"``, ``"running mean"``; None for a
    plain value of its step. ``digits`` are the significant digits that a loss is printed with, where they are few.
    """

    params: float | None = None
    total_steps: int | None = None
    total_tokens: float | None = None
    tokens_per_step: float | None = None
    batch: float | None = None
    sequence: int | None = None
    devices: int | None = None
    gpu: str | None = None
    seed: int | None = None
    smoothing: str | None = None
    digits: int | None = None
    loss_unit: str = "nats"
    relative_rate: bool = False


class RunLog(Record, eq=False):
    """One run: its ``name``, the ``source`` and first ``line`` it was read from, its ``format`` and its curves.

    ``label`` is what the source calls the training loss: ``"metrics/train/LanguageCrossEntropy"``; ``val_label``
    likewise. ``ended`` is what the log says of its end, ``last_step`` the largest step of any curve, ``written`` the
    time (seconds since 1970) of the last entry, of the log's own clock or the file's.
    """

    name: str
    source: str
    line: int
    format: str
    curves: Mapping[str, Curve]
    stated: Stated
    label: str | None = None
    val_label: str | None = None
    ended: Ended | None = None
    written: float | None = None
    warnings: tuple[Notice, ...] = ()

    @property
    def last_step(self) -> float:
        """The largest step of any curve; NaN of an empty log."""
        return max((float(curve.steps[-1]) for curve in self.curves.values() if len(curve)), default=float("nan"))


class _Buffer:
    """The points of one curve while they are read: at most twice :data:`MOST_POINTS`, at rising steps."""

    __slots__ = ("averaged", "pending", "steps", "stride", "values")

    def __init__(self, name: str) -> None:
        self.steps, self.values = array("d"), array("d")
        self.averaged, self.stride = name in _AVERAGED, 1
        self.pending: list[tuple[float, float]] = []  # entries of a point that is not full yet

    def add(self, step: float, value: float) -> None:
        """Append a value; ``step`` is not below the last one."""
        if self.stride > 1:
            self.pending.append((step, value))
            if len(self.pending) < self.stride:
                return
            step, value = self._point()
        self.steps.append(step)
        self.values.append(value)
        if len(self.steps) >= 2 * MOST_POINTS:
            self._halve()

    def back_to(self, step: float) -> None:
        """Forget what was read from ``step`` on: the run went back to it."""
        self.pending = [(at, value) for at, value in self.pending if at < step]
        keep = int(np.searchsorted(np.frombuffer(self.steps), step)) if len(self.steps) else 0
        del self.steps[keep:], self.values[keep:]

    def curve(self) -> Curve:
        """Return the curve so far."""
        steps, values = np.array(self.steps), np.array(self.values)
        if self.pending:
            step, value = self._point(keep=True)
            steps, values = np.append(steps, step), np.append(values, value)
        return Curve(steps=steps, values=values, stride=self.stride)

    def _point(self, *, keep: bool = False) -> tuple[float, float]:
        step, value = self.pending[-1]
        if self.averaged:
            value = sum(each for _, each in self.pending) / len(self.pending)
        if not keep:
            self.pending.clear()
        return step, value

    def _halve(self) -> None:
        steps, values = np.array(self.steps), np.array(self.values)
        pairs = len(steps) // 2 * 2
        later = values[1:pairs:2]
        kept = 0.5 * (values[0:pairs:2] + later) if self.averaged else later
        self.steps, self.values = array("d", steps[1:pairs:2].tobytes()), array("d", kept.tobytes())
        self.stride *= 2


class Recorder:
    """The run that a reader is reading.

    ``add`` takes the values of one step, ``extend`` columns of many; a step below the last of the same quantity means
    that the run was resumed from an earlier checkpoint: what was read from there on is replaced. ``state`` sets what
    is stated beside the curves; the first statement of a thing stands.
    """

    def __init__(self, name: str, source: str, *, line: int, format_name: str) -> None:
        self.name, self.source, self.line, self.format_name = name, source, line, format_name
        self.label: str | None = None
        self.val_label: str | None = None
        self.ended: Ended | None = None
        self.written: float | None = None
        self._buffers: dict[str, _Buffer] = {}
        self._last: dict[str, float] = {}
        self._stated: dict[str, Any] = {}
        self._notices: list[Notice] = []
        self._restarts: list[tuple[float, float, int]] = []

    def add(self, step: float, values: Mapping[str, float], *, line: int = 0) -> None:
        """Record the ``values`` of a ``step``, by the names of :data:`QUANTITIES`."""
        for name, value in values.items():
            buffer = self._buffers.get(name)
            if buffer is None:
                buffer = self._buffers[name] = _Buffer(name)
            last = self._last.get(name, float("-inf"))
            if step <= last:
                self._went_back(name, last, step, line)
            self._last[name] = step
            buffer.add(step, value)

    def extend(self, steps: Iterable[float], columns: Mapping[str, Iterable[float]]) -> None:
        """Record columns of values at ``steps``; NaN in a column is a value that is not there."""
        steps = list(steps)
        for name, column in columns.items():
            for step, value in zip(steps, column, strict=True):
                if value == value:  # noqa: PLR0124  NaN differs from itself
                    self.add(step, {name: value})

    def state(self, **stated: object) -> None:
        """Record what the log states, by the fields of :class:`Stated`; None states nothing."""
        for name, value in stated.items():
            if value is not None:
                self._stated.setdefault(name, value)

    def warn(self, code: str, message: str) -> None:
        """Record a warning about the log, once."""
        notice = Notice(code=code, message=message)
        if notice not in self._notices:
            self._notices.append(notice)

    def run(self) -> RunLog:
        """Return what was read."""
        for last, step, line in self._restarts[:1]:
            times = f", and {len(self._restarts) - 1} more times" if len(self._restarts) > 1 else ""
            place = f" at line {line}" if line else ""
            self.warn("restarted", f"steps go back from {last:g} to {step:g}{place}{times}; the later ones count")
        return RunLog(
            name=self.name,
            source=self.source,
            line=self.line,
            format=self.format_name,
            curves={name: self._buffers[name].curve() for name in QUANTITIES if name in self._buffers},
            stated=Stated(**self._stated),
            label=self.label,
            val_label=self.val_label,
            ended=self.ended,
            written=self.written,
            warnings=tuple(self._notices),
        )

    def _went_back(self, name: str, last: float, step: float, line: int) -> None:
        """Forget what a resumed run repeats; a step logged twice is no restart."""
        self._buffers[name].back_to(step)
        if step < last and name in ("loss", "val_loss") and (not self._restarts or self._restarts[-1][1] != step):
            self._restarts.append((last, step, line))
