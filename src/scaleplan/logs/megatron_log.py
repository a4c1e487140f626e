"""Logs of Megatron-LM and Megatron-DeepSpeed, and of what is built on them."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.logs.printed import Entries, LineKind, PrintedLog, Value, joined

if TYPE_CHECKING:
    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.recorder import Recorder

__all__ = ["MegatronLog"]

_ANY = rb"([^\s|]+)"
_VALIDATION = re.compile(rb" (?:loss|results) at iteration (\d+)([^|\n]*)\| *lm[ _]loss value: *([^\s|]+)(?=[ |\n])")
_ARGUMENT = rb"[ \t]%s \.+ ([^\s]+)"
"""A setting, as Megatron lists them all."""

_DIVISION = ("tensor_model_parallel_size", "pipeline_model_parallel_size")
_PARAMETERS = re.compile(rb"number of parameters on \(tensor, pipeline\) model parallel rank (\(\d+, \d+\)): (\d+)")


class MegatronLog(PrintedLog):
    """One line an interval; a loss is the mean of the iterations since the last line."""

    name = "megatron"
    lines = (
        LineKind(
            rb"iteration +(\d+)/ *(\d+|infinity)",
            Value("samples", rb"consumed samples: " + _ANY),
            Value("tokens", rb"consumed tokens: " + _ANY),
            Value("step_seconds", rb"elapsed time per iteration \(ms\): ([\d.eE+-]+)[^\s|]*", 1e-3),
            Value("step_seconds", rb"elapsed time per iteration \(s\): ([\d.eE+-]+)[^\s|]*"),
            Value("lr", rb"learning rate: " + _ANY),
            Value("batch", rb"global batch size: " + _ANY),
            Value("loss", rb"(?:lm[ _])?loss: " + _ANY),
            Value("sequence", rb"actual seqlen: " + _ANY),
            Value("grad_norm", rb"grad norm: " + _ANY),
            Value("skipped", rb"number of skipped iterations: " + _ANY, spare=True),
            Value("nan", rb"number of nan iterations: " + _ANY, spare=True),
            Value("device_tokens_per_second", rb"tokens per gpu per second \(tgs\): " + _ANY),
            Value("device_tokens_per_second", rb"tokens per GPU \(tokens/s/GPU\): ([\d.eE+-]+)[^\s|]*"),
            Value("device_tokens_per_second", rb"tokens-per-second-per-gpu: " + _ANY),
            Value("device_tokens_per_second", rb"tokens/sec/GPU: " + _ANY),
            needs=("loss", "skipped", "lr"),
            before=rb"\|",
            alone=True,
        ),
    )
    finished = re.compile(rb"\[after training is done\]|after training is done")

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self._validated_on: float | None = None  # which of several sets counts: the first
        self._batch = self._tokens_per_step = float("nan")

    def entries(self, text: bytes) -> Entries:
        """Return the entries of a piece of the log."""
        found = [
            each
            for each in _VALIDATION.finditer(text)
            if b"test" not in each[2]
            and text[max(0, each.start() - 10) : each.start()].endswith((b"valid", b"validation"))
        ]
        sets = np.array([float(zlib.crc32(each[2].strip())) for each in found])
        if self._validated_on is None and found:
            self._validated_on = float(sets[0])
        kept = [each for each, of in zip(found, sets.tolist(), strict=True) if of == self._validated_on]
        values = np.array([float(each[3]) for each in kept if _is_number(each[3])])
        kept = [each for each in kept if _is_number(each[3])]
        validation = Entries(
            np.array([float(each.start()) for each in kept]),
            np.array([float(each[1]) for each in kept]),
            {"val_loss": values},
            ~np.isfinite(values),
        )
        return joined([*(kind.entries(text) for kind in self.kinds), validation])

    def settings(self, text: bytes, run: Recorder) -> None:
        """Record what the text before the first entry of a run states."""
        given = {}
        for name in ("seq_length", "world_size", "seed", *_DIVISION):
            found = re.search(_ARGUMENT % name.encode(), text)
            if found and found[1].isdigit():
                given[name] = int(found[1])
        run.state(sequence=given.get("seq_length"), devices=given.get("world_size"), seed=given.get("seed"))
        counted = dict(_PARAMETERS.findall(text))
        if list(counted) == [b"(0, 0)"] and all(given.get(name, 1) == 1 for name in _DIVISION):
            run.state(params=float(counted[b"(0, 0)"]))

    def record(self, entries: Entries, run: Recorder) -> Entries:
        """Turn values of the trainer's own names into quantities and statements."""
        columns = entries.columns
        unset = np.full(len(entries.steps), np.nan)
        skipped, nan = columns.pop("skipped", unset), columns.pop("nan", unset)
        samples, batch = columns.pop("samples", unset), columns.pop("batch", unset)
        sequence = columns.pop("sequence", unset)
        if len(known := sequence[np.isfinite(sequence)]):
            run.state(sequence=int(known[-1]))
        length = run.stated("sequence")
        if "tokens" not in columns and np.isfinite(samples).any():
            columns |= {"tokens": samples * length} if length else {"samples": samples}
        if len(known := batch[np.isfinite(batch)]):
            self._batch = float(known[-1])
        tokens = columns.get("tokens", unset)
        there = np.flatnonzero(np.isfinite(tokens))[-2:]
        if len(there) == 2 and entries.steps[there[1]] > entries.steps[there[0]]:
            self._tokens_per_step = float(np.diff(tokens[there])[0] / np.diff(entries.steps[there])[0])
        loss = columns.get("loss", unset)
        lost = entries.lost | (np.isnan(loss) & ((skipped > 0) | (nan > 0)))
        return entries._replace(lost=lost)

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        if np.isfinite(self._batch):
            run.state(batch=self._batch)
            if length := run.stated("sequence"):
                run.state(tokens_per_step=self._batch * length)
        if np.isfinite(self._tokens_per_step):
            run.state(tokens_per_step=self._tokens_per_step)
        if self.spacing and self.spacing > 1:
            run.state(smoothing=f"mean of {self.spacing} steps")
        run.label, run.val_label = "lm loss", "lm loss value"


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
