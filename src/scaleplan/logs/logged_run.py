"""The table of runs: what the log of each tells of it, as ``runs`` prints it and ``fit`` reads it."""

from __future__ import annotations

from typing import ClassVar, Literal

from scaleplan.errors import Notice  # noqa: TC001  saved results are read by the types of fields
from scaleplan.record import Record, Result

__all__ = ["AT_END", "LoggedRun", "LoggedRuns", "RunState"]

RunState = Literal["finished", "stopped", "crashed", "diverged", "running"]
"""How a run ended. ``stopped``: before it was to end, and the log says no more; ``diverged``: its loss is no number,
or far above what it had reached."""


AT_END = 0.99
"""A validation loss from this share of the steps on is that of the end: the last percent of a run moves it by about a
thousandth."""


class LoggedRun(Record):
    """One run: a row of the table, None for what neither its log nor a file beside it tells.

    ``loss`` is the training loss over the last part, as ``smoothing`` says; ``val_loss`` the last validation loss, at
    ``val_step``. ``lr`` is the peak of the learning rate, ``end_lr`` its value at the end of the schedule. ``steps``
    is the last step that the log has, ``total_steps`` where the run was to end. ``params_from`` and ``tokens_from``
    name what the sizes are from: the log, a file beside it, an option. ``line`` is where the run begins in
    ``source``.
    """

    run: str
    state: RunState | None = None
    params: float | None = None
    tokens: float | None = None
    flops: float | None = None
    loss: float | None = None
    smoothing: str | None = None
    val_loss: float | None = None
    val_step: float | None = None
    best_val_loss: float | None = None
    best_val_step: float | None = None
    lr: float | None = None
    schedule: str = "unknown"
    warmup: float | None = None
    end_lr: float | None = None
    steps: float | None = None
    total_steps: float | None = None
    tokens_per_step: float | None = None
    batch: float | None = None
    sequence: int | None = None
    seed: int | None = None
    gpu: str | None = None
    devices: int | None = None
    tokens_per_second: float | None = None
    mfu: float | None = None
    days: float | None = None
    loss_unit: str = "nats"
    loss_label: str | None = None
    val_label: str | None = None
    params_from: str | None = None
    tokens_from: str | None = None
    format: str
    source: str
    line: int
    warnings: tuple[Notice, ...] = ()

    @property
    def validated_at_end(self) -> bool:
        """Whether the last validation loss is that of the end, or so near it that it makes no difference."""
        if self.val_loss is None or self.val_step is None or self.steps is None:
            return False
        return self.val_step >= AT_END * self.steps


class LoggedRuns(Record, Result):
    """The runs of logs, one row each, in the order in which they were read."""

    schema: ClassVar[str] = "scaleplan/runs/1"

    runs: tuple[LoggedRun, ...]
    warnings: tuple[Notice, ...] = ()
