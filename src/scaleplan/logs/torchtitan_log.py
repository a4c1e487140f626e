"""Logs of torchtitan."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.logs.printed import Entries, LineKind, PrintedLog, Value, clock, whole

if TYPE_CHECKING:
    from scaleplan.logs.recorder import Recorder

__all__ = ["Torchtitan"]

_ANY = rb"([^\s|]+)"
_VALIDATE = re.compile(rb"validate (?=step:)")
_DIVISION = (b"pp", b"dp_replicate", b"dp_shard", b"cp", b"tp")


class Torchtitan(PrintedLog):
    """A loss is that of its step, over all devices; ``tps`` counts the tokens of one device."""

    name = "torchtitan"
    lines = (
        LineKind(
            rb"step: *(\d+) ",
            Value("loss", rb"(?:global_avg_)?loss: " + _ANY),
            Value("grad_norm", rb"grad_norm: " + _ANY),
            Value("device_tokens_per_second", rb"(?:tps|wps): " + _ANY),
            Value("mfu", rb"mfu: ([\d.]+)%", 0.01),
            Value("lr", rb"lr: " + _ANY),
            Value("memory", rb"m?memory: ()[^\s|]+"),
            needs=("memory",),
            before=rb"(?:^|\s)",
        ),
    )
    finished = re.compile(rb"Training completed")

    def entries(self, text: bytes) -> Entries:
        """Return the entries of a piece of the log."""
        entries = super().entries(text)
        columns = entries.columns
        columns.pop("memory", None)
        if "loss" in columns:
            validates = np.isin(entries.places, [found.end() for found in _VALIDATE.finditer(text)])
            loss = np.where(
                columns["loss"] < 0, np.nan, columns["loss"]
            )  # -1: a stage of a pipeline without the loss
            columns["val_loss"] = np.where(validates, loss, np.nan)
            for name in list(columns.keys() - {"val_loss"}):
                columns[name] = np.where(validates, np.nan, loss if name == "loss" else columns[name])
        columns["clock"] = clock(text, entries.places)
        return entries

    def settings(self, text: bytes, run: Recorder) -> None:
        """Record what the text before the first entry of a run states."""
        if found := re.search(
            rb"local batch size:? (\d+), global batch size:? (\d+)(?:, gradient accumulation steps:? \d+)?"
            rb", sequence length:? (\d+), total steps:? (\d+)",
            text,
        ):
            batch, sequence, total = int(found[2]), int(found[3]), int(found[4])
            run.state(
                batch=float(batch), sequence=sequence, tokens_per_step=float(batch * sequence), total_steps=total
            )
        if found := re.search(rb"size: (\d[\d,]*) total parameters", text):
            run.state(params=float(whole(found[1])))
        if found := re.search(rb"(?:CUDA|GPU|XPU|Device) capacity: ([^\n]+?) with", text):
            run.state(gpu=found[1].decode("utf-8", "replace"))
        if found := re.search(rb"device mesh with [^\n]*\], *\[([\d, ]+)\]", text):
            run.state(devices=math.prod(int(size) for size in re.findall(rb"\d+", found[1])))
        elif found := re.search(rb"device mesh with parallelism: ([^\n]+)", text):
            sizes = dict(re.findall(rb"(\w+)=(\d+)", found[1]))
            run.state(
                devices=math.prod(
                    int(sizes.get(name, 1)) for name in (b"pp", b"dp_replicate", b"dp_shard", b"cp", b"tp")
                )
            )
        if found := re.search(rb"[Ss]eed(?: is|:|=) *(\d+)", text):
            run.state(seed=int(found[1]))

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        run.label, run.val_label = "loss", "validate loss"
