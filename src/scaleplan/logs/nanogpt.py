"""Logs of nanoGPT and of the trainers that grew from it: llm.c, build-nanogpt, modded-nanogpt and nanochat."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.logs.printed import Entries, LineKind, PrintedLog, Value, amount, joined, numbers, roundest, whole

if TYPE_CHECKING:
    from scaleplan.arrays import Array
    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.recorder import Recorder

__all__ = ["BuildNanogpt", "LlmC", "ModdedNanogpt", "Nanochat", "Nanogpt"]

_ANY = rb"([^\s|,]+)"


class LlmC(PrintedLog):
    """``main.log`` of llm.c, and its console: steps count from 0, a loss is that of the batch before its update.

    A line of the console counts its own update, and a validation loss stands behind the last update that it is of.
    """

    name = "llm.c"
    lines = (
        LineKind(
            rb"(?m)^s:(\d+) ",
            Value("loss", rb"trl:" + _ANY),
            Value("lr", rb"lr:" + _ANY),
            Value("grad_norm", rb"norm:" + _ANY),
            Value("val_loss", rb"tel:" + _ANY),
            needs=("loss", "val_loss"),
        ),
        LineKind(
            rb"step +(\d+)/(\d+) \|",
            Value("loss", rb"(?:train )?loss ([\d.]+|-?nan|inf)"),
            Value("lr", rb"lr ([\d.e+-]+)"),
            Value("grad_norm", rb"norm ([\d.]+|-?nan|inf)"),
            Value("step_seconds", rb"([\d.]+) ms", 1e-3),
            Value("mfu", rb"([\d.]+)% (?:\w+ )?MFU", 0.01),
            Value("tokens_per_second", rb"(\d+) tok/s"),
            before=rb"(?:^|\|)",
        ),
    )
    _validated = re.compile(rb"(?m)^val loss ([\d.]+|-?nan|inf)$")

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self._console = False
        self._updates = 0.0  # so far, of the console

    def entries(self, text: bytes) -> Entries:
        """Return the entries of a piece of the log."""
        entries = super().entries(text)
        self._console = self._console or "total" in entries.columns
        if not self._console:
            return entries
        updates = np.concatenate([[self._updates], entries.steps])
        self._updates = float(updates[-1])
        validated = _validations(self._validated, text, entries.places, updates)
        return joined([entries._replace(steps=entries.steps - 1.0), validated])

    def settings(self, text: bytes, run: Recorder) -> None:
        """Record what the text before the first entry of a run states."""
        if found := re.search(rb"num_parameters[ :|]+(\d+)", text):
            run.state(params=float(found[1]))
        if found := re.search(rb"total_batch_size=(\d+)", text):
            run.state(tokens_per_step=float(found[1]))

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        run.label, run.val_label = ("loss", "val loss") if self._console else ("trl", "tel")


class BuildNanogpt(PrintedLog):
    """``log.txt`` of build-nanogpt, and what it prints: a validation loss before the step that it is of."""

    name = "build-nanogpt"
    lines = (
        LineKind(
            rb"(?m)^(\d+) ",
            Value("loss", rb"train ([\d.]+|nan|inf)"),
            Value("val_loss", rb"val ([\d.]+|nan|inf)"),
            needs=("loss", "val_loss"),
            before=rb"^",
        ),
        LineKind(
            rb"step *(\d+) *\|",
            Value("loss", rb"loss: " + _ANY),
            Value("lr", rb"lr:? " + _ANY),
            Value("grad_norm", rb"norm: " + _ANY),
            Value("step_seconds", rb"dt: ([\d.]+)ms", 1e-3),
            Value("tokens_per_second", rb"tok/s(?:ec)?: " + _ANY),
            before=rb"(?:^|\|)",
        ),
    )
    _validated = re.compile(rb"(?m)^validation loss: ([\d.]+|nan|inf)$")
    _line = re.compile(rb"\d+ (?:train|val|hella) (?:\d+\.\d+|nan|inf)$")

    @classmethod
    def recognise(cls, file: LogFile) -> bool:
        """Return whether most of the first lines are of this format: its words are those of any text."""
        lines = [line.strip() for line in file.opening[: 1 << 14].splitlines()[:-1] if line.strip()][:20]
        like = [line for line in lines if cls._line.match(line)]
        if 2 * len(like) > len(lines):
            return super().recognise(file)
        return cls.lines[1].first(file.opening) is not None

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self._console = False

    def entries(self, text: bytes) -> Entries:
        """Return the entries of a piece of the log."""
        entries = super().entries(text)
        validated = self._validated.search(text)
        self._console = self._console or validated is not None or "step_seconds" in entries.columns
        if not self._console or not len(entries.steps):
            return entries
        following = np.concatenate([entries.steps, [entries.steps[-1] + 1.0]])
        return joined([entries, _validations(self._validated, text, entries.places, following)])

    def settings(self, text: bytes, run: Recorder) -> None:
        """Record what the text before the first entry of a run states."""
        if found := re.search(rb"total desired batch size: (\d+)", text):
            run.state(tokens_per_step=float(found[1]))

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        run.label, run.val_label = ("loss", "validation loss") if self._console else ("train", "val")


def _validations(pattern: re.Pattern[bytes], text: bytes, places: Array, steps: Array) -> Entries:
    """Return the losses of lines that name no step, with the steps by how many entries stand before each."""
    found = list(pattern.finditer(text))
    at = np.array([float(each.start()) for each in found])
    values = numbers([each[1] for each in found]) if found else np.array([])
    of = steps[np.searchsorted(places, at)] if found else np.array([])
    return Entries(at, of, {"val_loss": values}, ~np.isfinite(values))


class Nanogpt(PrintedLog):
    """What nanoGPT prints, and a line of LitGPT."""

    name = "nanogpt"
    lines = (
        LineKind(
            rb"iter (\d+):",
            Value("loss", rb"loss ([^\s,]+)"),
            Value("step_seconds", rb"time ([\d.]+)ms", 1e-3),
            Value("mfu", rb"mfu (-?[\d.]+)%", 0.01),
        ),
        LineKind(rb"step (\d+):", Value("val_loss", rb"val loss " + _ANY), needs=("val_loss",)),
        LineKind(
            rb"iter \d+ step (\d+) \|",
            Value("loss", rb"loss train: " + _ANY),
            Value("val_loss", rb"val: ([\d.]+|nan|inf)"),
        ),
    )

    def settings(self, text: bytes, run: Recorder) -> None:
        """Record what the text before the first entry of a run states."""
        if found := re.search(rb"tokens per iteration will be: (\d[\d,]*)", text):
            run.state(tokens_per_step=float(whole(found[1])))
        if found := re.search(rb"number of parameters: ([\d.]+M)", text):
            run.state(params=amount(found[1]))
        if totals := re.findall(rb"(?m)^(?:Overriding: )?max_iters *= *(\d+)", text):
            run.state(total_steps=int(totals[-1]))

    def record(self, entries: Entries, run: Recorder) -> Entries:
        """Turn values of the trainer's own names into quantities and statements."""
        if (mfu := entries.columns.get("mfu")) is not None:
            entries.columns["mfu"] = np.where(mfu > 0, mfu, np.nan)  # -100 % before it is known
        last_of_step = np.append(np.diff(entries.steps) != 0, True)
        for column in entries.columns.values():  # LitGPT prints every micro-batch: the last of a step counts
            last_of_step[:-1] |= np.isfinite(column[:-1]) & ~np.isfinite(column[1:])
        return entries.take(last_of_step | entries.lost)

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        run.label, run.val_label = "loss", "val loss"


class ModdedNanogpt(PrintedLog):
    """Logs of modded-nanogpt, which begin with the source code; in later ones training prints no loss.

    A training line counts the updates including its own: its loss is that of one update less, where validation has
    its step.
    """

    name = "modded-nanogpt"
    lines = (
        LineKind(
            rb"step:(\d+)/(\d+) ",
            Value("loss", rb"train_loss:([^\s,]+)"),
            Value("val_loss", rb"val_loss:([^\s,]+)"),
            Value("seconds", rb"train_time:([\d.]+)ms", 1e-3),
            Value("seconds", rb"train_time:([\d.]+)s"),
            Value("seconds", rb"train_time:([\d.]+)m", 60.0),
            Value("lr", rb"lr:" + _ANY),
            needs=("loss", "val_loss", "seconds"),
            alone=True,
        ),
    )
    finished = re.compile(rb"peak memory (?:consumption|allocated)")

    def settings(self, text: bytes, run: Recorder) -> None:
        """Record what the text before the first entry of a run states."""
        cards = dict(re.findall(rb"\|\s+(\d+)\s+(NVIDIA [^|]+?)\s+(?:On|Off)\s*\|", text))
        if found := re.search(rb"world_size[ =:]+(\d+)", text):
            run.state(devices=int(found[1]))
        if cards:
            run.state(devices=len(cards), gpu=next(iter(cards.values())).decode("ascii", "replace"))

    def record(self, entries: Entries, run: Recorder) -> Entries:
        """Turn values of the trainer's own names into quantities and statements."""
        loss = entries.columns.get("loss")
        if loss is None:
            return entries
        validates = np.isfinite(entries.columns.get("val_loss", np.full(len(loss), np.nan)))
        trains = (np.isfinite(loss) | entries.lost) & ~validates
        return entries._replace(steps=np.where(trains, entries.steps - 1.0, entries.steps))

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        run.label, run.val_label = "train_loss", "val_loss"


class Nanochat(PrintedLog):
    """Logs of nanochat: the loss is a running mean, the rate a multiplier of the rates of each group."""

    name = "nanochat"
    lines = (
        LineKind(
            rb"step (\d+)(?:/(\d+))? \([\d.]+%\)",
            Value("loss", rb"loss: " + _ANY),
            Value("lr", rb"lrm: " + _ANY),
            Value("step_seconds", rb"dt: ([\d.]+)ms", 1e-3),
            Value("tokens_per_second", rb"tok/s(?:ec)?: ([^\s|]+)"),
            Value("mfu", rb"(?:bf16_)?mfu: ([\d.]+)%?", 0.01),
            before=rb"\|",
            alone=True,
        ),
        LineKind(rb"Step (\d+)", Value("val_loss", rb"Validation loss: " + _ANY), needs=("val_loss",)),
    )
    finished = re.compile(rb"Total training time:|Peak memory usage:")

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self._tokens_a_step = (0.0, float("inf"))
        self._in_bits = False

    def entries(self, text: bytes) -> Entries:
        """Return the entries of a piece of the log."""
        self._in_bits = self._in_bits or b"| Validation bpb: " in text
        return super().entries(text)

    def settings(self, text: bytes, run: Recorder) -> None:
        """Record what the text before the first entry of a run states."""
        if found := re.search(rb"Total batch size:? (\d[\d,]*)", text):
            run.state(tokens_per_step=float(whole(found[1])))
        if found := re.search(rb"Number of parameters: (\d[\d,]*)", text):
            run.state(params=float(whole(found[1])))
        if found := re.search(rb"Total number of training tokens: (\d[\d,]*)", text):
            run.state(total_tokens=float(whole(found[1])))
        if found := re.search(rb"GPU: (NVIDIA [^|\n]+?) *(?:\||\n)", text):
            run.state(gpu=found[1].decode("ascii", "replace"))

    def record(self, entries: Entries, run: Recorder) -> Entries:
        """Turn values of the trainer's own names into quantities and statements."""
        speed, time = entries.columns.get("tokens_per_second"), entries.columns.get("step_seconds")
        if speed is not None and time is not None:  # both are rounded: the speed down, the time by 1/200 ms or more
            known = np.flatnonzero(np.isfinite(speed) & np.isfinite(time) & (time > 0))[:_ENOUGH]
            if len(known):
                half = 0.5e-3 if np.all(time[known] * 1e3 % 1 == 0) else 0.5e-5
                low, high = self._tokens_a_step
                low = max(low, float(np.max(speed[known] * (time[known] - half))))
                high = min(high, float(np.min((speed[known] + 1) * (time[known] + half))))
                self._tokens_a_step = low, high
        return entries

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        low, high = self._tokens_a_step
        if run.stated("tokens_per_step") is None and 0 < low < high < float("inf"):
            run.state(tokens_per_step=roundest(low, high) or 0.5 * (low + high))
        run.state(relative_rate=True, smoothing="running mean")
        if self._in_bits:
            run.warn("other_unit", "'Validation bpb' is in bits per byte, and left out beside 'loss'")
        run.label, run.val_label = "loss", "Validation loss"


_ENOUGH = 1 << 10
"""Lines of a piece that narrow down a number that none states exactly."""
