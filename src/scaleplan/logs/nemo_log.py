"""Logs of NeMo 2, as its progress printer writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaleplan.logs.printed import Entries, LineKind, PrintedLog, Value

if TYPE_CHECKING:
    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.recorder import Recorder

__all__ = ["NemoLog"]

_ANY = rb"([^\s|]+)"


class NemoLog(PrintedLog):
    """One line an iteration; steps count from 0, and a validation loss stands on every line until the next one."""

    name = "nemo"
    lines = (
        LineKind(
            rb"Training epoch \d+, iteration (\d+)/(\d+)",
            Value("global_step", rb"global_step: " + _ANY),
            Value("loss", rb"reduced_train_loss: " + _ANY),
            Value("val_loss", rb"val_loss: " + _ANY),
            Value("lr", rb"lr: " + _ANY),
            Value("batch", rb"global_batch_size: " + _ANY),
            Value("samples", rb"consumed_samples: " + _ANY),
            Value("step_seconds", rb"train_step_timing in s: " + _ANY),
            before=rb"\|",
            alone=True,
        ),
    )

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self._validated = float("nan")

    def entries(self, text: bytes) -> Entries:
        """Return the entries of a piece of the log."""
        entries = super().entries(text)
        columns = entries.columns
        if "total" in columns:
            columns["total"] = columns["total"] + 1  # the last iteration, of those that count from 0
        step = columns.pop("global_step", None)
        if step is None:
            return entries
        return entries._replace(steps=np.where(np.isfinite(step), step, entries.steps))  # iterations are of an epoch

    def record(self, entries: Entries, run: Recorder) -> Entries:
        """Turn values of the trainer's own names into quantities and statements."""
        columns = entries.columns
        batch = columns.pop("batch", np.array([]))
        if len(known := batch[np.isfinite(batch)]):
            run.state(batch=float(known[-1]))
        if (validated := columns.get("val_loss")) is not None:
            columns["val_loss"] = np.where(
                validated == np.concatenate([[self._validated], validated[:-1]]), np.nan, validated
            )
            self._validated = float(validated[-1])
        return entries

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        run.label, run.val_label = "reduced_train_loss", "val_loss"
