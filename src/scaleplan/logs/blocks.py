"""Logs whose entries are blocks of lines, one value each: Composer and OLMo-core."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scaleplan.logs.printed import Entries, PrintedLog, clock, numbers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.recorder import Recorder

__all__ = ["ComposerLog", "OlmoCore"]


class _Blocks(PrintedLog):
    """Values by name, below or behind a head with their step (and the last one)."""

    head: ClassVar[re.Pattern[bytes]]
    value: ClassVar[re.Pattern[bytes]]
    """Of two groups, the name and the value."""
    quantities: ClassVar[Mapping[str, tuple[str, float]]]
    """The quantity and scale of a name, by what it begins with."""

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self._step = self._last = self._tokens_a_step = float("nan")
        self._chosen: dict[str, bytes] = {}  # the name that counts as a loss: the first of equal rank

    @classmethod
    def recognise(cls, file: LogFile) -> bool:
        """Return whether the opening of a file has a head, and a loss after it."""
        found = cls.head.search(file.opening)
        values = [] if found is None else cls.value.finditer(file.opening, found.start())
        return any(cls._quantity(each[1])[0] in ("loss", "val_loss") for each in values)

    @classmethod
    def _quantity(cls, name: bytes) -> tuple[str, float]:
        text = name.decode("utf-8", "replace")
        return next((of for begin, of in cls.quantities.items() if text.startswith(begin)), ("", 1.0))

    def entries(self, text: bytes) -> Entries:
        """Return the entries of a piece of the log."""
        heads = list(self.head.finditer(text))
        values = list(self.value.finditer(text))
        places = np.array([each.start() for each in values], dtype=float)
        at = np.array([-1.0, *(each.start() for each in heads)])
        steps = np.concatenate([[self._step], numbers([each[1] for each in heads])])
        lasts = np.concatenate([[self._last], numbers([each[2] or b"" for each in heads])])
        of_head = np.searchsorted(at, places, side="right") - 1
        self._step, self._last = float(steps[-1]), float(lasts[-1])
        names = [each[1] for each in values]
        for name in dict.fromkeys(names):
            self._choose(name)
        known = {name: self._of(name) for name in dict.fromkeys(names)}
        given = numbers([each[2] for each in values])
        columns: dict[str, np.ndarray] = {"total": lasts[of_head]}
        by_name: dict[bytes, list[int]] = {}
        for row, name in enumerate(names):
            by_name.setdefault(name, []).append(row)
        lost = np.zeros(len(values), dtype=bool)
        for name, (quantity, scale) in known.items():
            if not quantity:
                continue
            rows = np.array(by_name[name])
            column = columns.setdefault(quantity, np.full(len(values), np.nan))
            column[rows] = given[rows] * scale
            if quantity in ("loss", "val_loss"):
                lost[rows] |= ~np.isfinite(given[rows])
        columns["clock"] = clock(text, at[of_head] if values else places)
        entries = Entries(places, steps[of_head], columns, lost)
        return entries.take(np.isfinite(entries.steps))

    def begins(self, text: bytes) -> bool:
        """Return whether the beginning of a line is that of an entry."""
        return any(begin.encode() in text for begin in self.quantities)

    def _choose(self, name: bytes) -> None:
        """Take a name as that of a loss: the first one, unless another ranks above it."""
        quantity, _ = self._quantity(name)
        if quantity in ("loss", "val_loss") and self._ranks_above(name, self._chosen.setdefault(quantity, name)):
            self._chosen[quantity] = name

    def _of(self, name: bytes) -> tuple[str, float]:
        """Return the quantity of a name, nothing of a loss beside the one that counts."""
        quantity, scale = self._quantity(name)
        return ("", 1.0) if self._chosen.get(quantity, name) != name else (quantity, scale)

    @staticmethod
    def _ranks_above(name: bytes, chosen: bytes) -> bool:  # noqa: ARG004  for subclasses
        return False

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        run.label, run.val_label = (
            self._chosen[name].decode("utf-8", "replace") if name in self._chosen else None
            for name in ("loss", "val_loss")
        )
        if np.isfinite(self._tokens_a_step):
            run.state(tokens_per_step=self._tokens_a_step)


class ComposerLog(_Blocks):
    """The file and the console of Composer, which print four decimals."""

    name = "composer"
    head = re.compile(rb"\[batch=(\d+)(?:/(\d+))?\]")
    value = re.compile(
        rb"(loss/train/total|metrics/(?:train|eval)/[^:\s]*CrossEntropy[^:\s]*|lr-[^:\s]+/group0|time/token|time/batch"
        rb"|time/train|wall_clock/train|throughput/(?:device/)?(?:tokens_per_sec|mfu)|l2_norm/grad/global"
        rb"|trainer/global_train_batch_size): +([^\s]+)(?=\s)"
    )
    quantities: ClassVar = {
        "loss/train/total": ("loss", 1.0),
        "metrics/train/": ("loss", 1.0),
        "metrics/eval/": ("val_loss", 1.0),
        "lr-": ("lr", 1.0),
        "time/token": ("tokens", 1.0),
        "time/batch": ("counted", 1.0),
        "time/train": ("seconds", 3600.0),
        "wall_clock/train": ("seconds", 1.0),
        "throughput/tokens_per_sec": ("tokens_per_second", 1.0),
        "throughput/device/tokens_per_sec": ("device_tokens_per_second", 1.0),
        "throughput/device/mfu": ("mfu", 1.0),
        "l2_norm/grad/global": ("grad_norm", 1.0),
    }
    finished = re.compile(rb"\btrain: Done\.|Training complete")

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self._counted = float("nan")

    @staticmethod
    def _ranks_above(name: bytes, chosen: bytes) -> bool:
        return name.startswith(b"metrics/") and not chosen.startswith(b"metrics/")

    def settings(self, text: bytes, run: Recorder) -> None:
        """Record what the text before the first entry of a run states."""
        for name, pattern in (
            ("sequence", rb"\bmax_seq_len: *(\d+)"),
            ("seed", rb"(?m)(?:\bseed|rank_zero_seed): *(\d+)"),
        ):
            if found := re.search(pattern, text):
                run.state(**{name: int(found[1])})
        if found := re.search(rb"\bglobal_train_batch_size: *(\d+)", text):
            run.state(batch=float(found[1]))
        nodes, each = (
            re.search(pattern, text) for pattern in (rb"\bnum_nodes: *(\d+)", rb"\bnum_gpus_per_node: *(\d+)")
        )
        if nodes and each:
            run.state(devices=int(nodes[1]) * int(each[1]))
        if found := re.search(rb"\bn_params: *(\d+)", text):
            run.state(params=float(found[1]))

    def record(self, entries: Entries, run: Recorder) -> Entries:
        """Turn values of the trainer's own names into quantities and statements."""
        tokens, counted = entries.columns.get("tokens"), entries.columns.pop("counted", None)
        if tokens is None or counted is None:
            return entries
        # The console counts tokens and batches before the batch, the file after it: the log tells which.
        batches = _latest(counted, self._counted)
        self._counted = float(batches[-1]) if len(batches) else self._counted
        rows = np.flatnonzero(np.isfinite(tokens) & (batches > 0))
        each = tokens[rows] / batches[rows]
        if len(rows):
            self._tokens_a_step = float(each[-1])
        at_end = np.full(len(tokens), np.nan)
        at_end[rows] = tokens[rows] + each * np.clip(entries.steps[rows] - batches[rows], 0.0, 1.0)
        entries.columns["tokens"] = at_end
        return entries


def _latest(values: np.ndarray, before: float) -> np.ndarray:
    """Return values, each missing one the last that was there."""
    filled = np.concatenate([[before], values])
    index = np.maximum.accumulate(np.where(np.isfinite(filled), np.arange(len(filled)), 0))
    latest: np.ndarray = filled[index][1:]
    return latest


class OlmoCore(_Blocks):
    """The console of OLMo-core, whose numbers have four decimals or separators of thousands."""

    name = "olmo-core"
    head = re.compile(rb"\[step=(\d[\d,]*)(?:/(\d[\d,]*|\?+))?(?:,epoch=|,eta=|\])")
    value = re.compile(
        rb"[ \t](train/CE loss|train/CrossEntropyLoss|eval/[^=\n]*(?:CE loss|CrossEntropyLoss)"
        rb"|[^=\s]*(?:eval|val)[^=\n]*/CE loss|optim/LR[^=\n]*|optim/learning_rate_group0|optim/total[ _]grad[ _]norm"
        rb"|throughput/total[ _]tokens|throughput/device/(?:TPS|MFU|tokens_per_second)[^=\n]*)=([^\s]+)(?=\s)"
    )
    quantities: ClassVar = {
        "train/CE loss": ("loss", 1.0),
        "train/CrossEntropyLoss": ("loss", 1.0),  # OLMo, before OLMo-core
        "optim/LR": ("lr", 1.0),
        "optim/learning_rate": ("lr", 1.0),
        "optim/total": ("grad_norm", 1.0),
        "throughput/total": ("tokens", 1.0),
        "throughput/device/TPS": ("device_tokens_per_second", 1.0),
        "throughput/device/tokens_per_second": ("device_tokens_per_second", 1.0),
        "throughput/device/MFU": ("mfu", 0.01),
        "eval/": ("val_loss", 1.0),
    }
    finished = re.compile(rb"Training complete")

    @classmethod
    def _quantity(cls, name: bytes) -> tuple[str, float]:
        of = super()._quantity(name)
        if name.startswith((b"optim/LR", b"throughput/device/")) and b"(" in name:
            return of if b"group 0" in name or b"avg" in name else ("", 1.0)
        return ("val_loss", 1.0) if not of[0] and name.endswith(b"/CE loss") else of

    def record(self, entries: Entries, run: Recorder) -> Entries:
        """Turn values of the trainer's own names into quantities and statements."""
        tokens = entries.columns.get("tokens")
        if tokens is not None:
            known = np.flatnonzero(np.isfinite(tokens) & (entries.steps > 0))
            if len(known):
                each = tokens[known] / entries.steps[known]
                exact = each[each == np.round(each)]  # a count of billions is rounded to a few digits
                self._tokens_a_step = float(exact[-1] if len(exact) else each[-1])
        return entries
