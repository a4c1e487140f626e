"""One run as its log tells it: curves by step, what is stated beside them, and what went wrong on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.arrays import Array
    from scaleplan.errors import Notice
    from scaleplan.logs.ladder_run import LadderRunFile

__all__ = ["QUANTITIES", "Ended", "LoggedCurve", "NonFinite", "RunLog", "Stated"]

QUANTITIES: Mapping[str, str] = {
    "loss": "training loss, nats per token",
    "val_loss": "validation loss, nats per token",
    "lr": "learning rate, or what it is multiplied by (``Stated.relative_rate``)",
    "tokens": "tokens trained on so far, by all GPUs",
    "samples": "sequences trained on so far, where the log does not tell how long they are",
    "seconds": "time since the run began, without pauses",
    "tokens_per_second": "speed of all GPUs together",
    "device_tokens_per_second": "speed of one GPU",
    "mfu": "model FLOPs utilisation, 0 to 1",
    "grad_norm": "norm of the gradient",
}
"""The curves of a run and their units.

A reader may also give ``step_seconds``, the time of a step, or ``clock``, a time stamp in seconds of any origin: the
curve ``seconds`` is made of them.
"""

Ended = Literal["finished", "stopped", "crashed"]
"""What a log itself says of its end, ``stopped`` of a job that was ended from outside; None where it just stops."""


class LoggedCurve(Record, eq=False):
    """The values of one quantity at rising steps; ``stride`` is how many entries of the log a point stands for."""

    steps: Array
    values: Array
    stride: int = 1

    def __len__(self) -> int:
        return len(self.steps)


class NonFinite(Record):
    """Where the loss was NaN or infinite, or the trainer skipped every update: steps and how many entries."""

    first: float
    last: float
    count: int


class Stated(Record):
    """What a log, its name or files beside it state of a run, apart from curves; None where nothing does.

    ``total_steps`` is where the run is to end, ``tokens_per_step`` and ``batch`` (sequences a step) of all devices.
    ``smoothing`` says what one value of the training loss is: ``"mean of 10 steps"``, ``"running mean"``; None for a
    plain value of its step. ``digits`` are the significant digits that every number is printed with, where they are
    few.
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
    time (seconds since 1970) of the last entry, of the log's own clock or the file's. The curves are finite:
    ``not_finite`` tells where a loss was not. ``ladder`` is what a ladder keeps of the run beside its log.
    """

    name: str
    source: str
    line: int
    format: str
    curves: Mapping[str, LoggedCurve]
    stated: Stated
    label: str | None = None
    val_label: str | None = None
    ended: Ended | None = None
    written: float | None = None
    not_finite: NonFinite | None = None
    ladder: LadderRunFile | None = None
    warnings: tuple[Notice, ...] = ()

    @property
    def last_step(self) -> float:
        """The largest step of any curve; NaN of an empty log."""
        return max((float(curve.steps[-1]) for curve in self.curves.values() if len(curve)), default=float("nan"))

    @property
    def lost(self) -> bool:
        """Whether the loss was NaN or infinite to the end of the log: no finite one came after."""
        if self.not_finite is None:
            return False
        finite = [float(curve.steps[-1]) for name in ("loss", "val_loss") if (curve := self.curves.get(name))]
        return self.not_finite.last >= max(finite, default=float("-inf"))
