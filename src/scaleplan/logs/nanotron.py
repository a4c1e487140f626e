"""Logs of nanotron, which prints every number with three digits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.logs.printed import Entries, LineKind, PrintedLog, Value, amount, roundest

if TYPE_CHECKING:
    from scaleplan.arrays import Array
    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.recorder import Recorder

__all__ = ["Nanotron"]

_ANY = rb"([^\s|]+)"
_DIGITS = 3


class Nanotron(PrintedLog):
    """One line an iteration, of which the tokens are known to three digits."""

    name = "nanotron"
    lines = (
        LineKind(
            rb"iteration: (\d+) / (\d+) \|",
            Value("tokens", rb"consumed_tokens: " + _ANY),
            Value("step_seconds", rb"(?:elapsed_)?time_per_iteration_ms: " + _ANY, 1e-3),
            Value("tokens_per_second", rb"tokens_per_sec: " + _ANY),
            Value("device_tokens_per_second", rb"tokens_per_sec_per_gpu: " + _ANY),
            Value("batch", rb"global_batch_size: " + _ANY),
            Value("loss", rb"lm_loss: " + _ANY),
            Value("lr", rb"lr: " + _ANY),
            Value("grad_norm", rb"grad_norm: " + _ANY),
            Value("val_loss", rb"(?:val|validation)_loss: " + _ANY),
            before=rb"(?:^|\|)",
            alone=True,
        ),
    )
    finished = re.compile(rb"Training (?:is )?(?:done|finished|complete)")

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self._tokens_a_step = (0.0, float("inf"))
        self._batch = (0.0, float("inf"))
        self._devices: list[float] = []

    def settings(self, text: bytes, run: Recorder) -> None:
        """Record what the text before the first entry of a run states."""
        if found := re.search(
            rb"mbs: (\d+) \| grad_accum: (\d+) \|(?: cp: \d+ \|)? sequence_length: (\d+) \| global_batch_size: (\d+)",
            text,
        ):
            sequence, batch = int(found[3]), int(found[4])
            run.state(sequence=sequence, batch=float(batch), tokens_per_step=float(sequence * batch))
        if found := re.search(rb"[Tt]otal number of parameters: ([\d.]+[KMBT]?)", text):
            run.state(params=amount(found[1]))

    def record(self, entries: Entries, run: Recorder) -> Entries:
        """Turn values of the trainer's own names into quantities and statements."""
        tokens, batch = entries.columns.get("tokens"), entries.columns.pop("batch", None)
        if tokens is not None:
            known = np.isfinite(tokens) & (tokens > 0) & (entries.steps > 0)
            self._tokens_a_step = _narrowed(self._tokens_a_step, tokens[known], entries.steps[known])
        if batch is not None:
            known = np.isfinite(batch) & (batch > 0)
            self._batch = _narrowed(self._batch, batch[known][-1:], np.ones(1))
        total, each = entries.columns.get("tokens_per_second"), entries.columns.get("device_tokens_per_second")
        if total is not None and each is not None and len(self._devices) < _DIGITS:
            known = np.isfinite(total) & (each > 0)
            self._devices += (total[known] / each[known])[:_DIGITS].tolist()
        return entries

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        (low, high), (least, most) = self._tokens_a_step, self._batch
        if least > 0 and (low > high or low > most or high < least) and not _LEAST_SEQUENCE * most < low:
            low, high = least, most  # a run with another batch before this log; older versions count sequences
        elif least > 0 and max(low, least) <= min(high, most):
            low, high = max(low, least), min(high, most)
        if 0 < low <= high < float("inf"):
            run.state(tokens_per_step=roundest(low, high) or 0.5 * (low + high))
        if self._devices:
            devices = float(np.median(self._devices))
            if abs(devices / max(1.0, round(devices)) - 1.0) < _TOLERANCE and round(devices) * _TOLERANCE < 0.5:
                run.state(devices=round(devices))
        run.state(digits=_DIGITS)
        run.label, run.val_label = "lm_loss", "val_loss"


_TOLERANCE = 0.01
"""What the ratio of two numbers of three digits can be off by."""


_LEAST_SEQUENCE = 32
"""Tokens that every sequence has more of: what tells a batch in tokens from one in sequences."""


def _narrowed(limits: tuple[float, float], values: Array, steps: Array) -> tuple[float, float]:
    """Return what rounded values leave of the limits of their ratio to steps."""
    if not len(values):
        return limits
    half = 0.5 * 10.0 ** (np.floor(np.log10(values)) - _DIGITS + 1)
    low, high = float(np.max((values - half) / steps)), float(np.min((values + half) / steps))
    return max(limits[0], low), min(limits[1], high)
