"""Result logs of MLPerf training, of benchmarks of language models."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from scaleplan.logs.printed import Entries, PrintedLog

if TYPE_CHECKING:
    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.run_log import Ended, Recorder

__all__ = ["MlperfLog"]

_LINE = re.compile(rb":::MLLOG (\{[^\n]*\})")
_ENTRY = re.compile(rb'"key": ?"(?:train_loss|eval_accuracy|eval_loss|run_start)"')
_FAST = re.compile(
    rb'\{"namespace": "[^"]*", "time_ms": (\d+), "event_type": "\w+", "key": "(\w+)", "value": (-?[\d.eE+-]+|NaN|null),'
    rb' "metadata": \{([^{}]*)\}\}'
)
_PLACE = re.compile(rb'"(samples_count|step_num|step|epoch_num)": ?([\d.eE+]+)')
_RATE = re.compile(rb'"lr": ?([\d.eE+-]+)')
_LANGUAGE = re.compile(r"gpt|llama|llm|mixtral|moe|deepseek|qwen|mistral", re.IGNORECASE)
_SETTINGS = {
    "global_batch_size": "batch",
    "max_sequence_length": "sequence",
    "max_steps": "total_steps",
    "seed": "seed",
}


class MlperfLog(PrintedLog):
    """Lines of ``:::MLLOG`` and JSON; ``eval_accuracy`` is a loss in the benchmarks of language models.

    Entries are placed by the samples (or tokens) that were seen: a step is a global batch of them.
    """

    name = "mlperf"

    def __init__(self, file: LogFile) -> None:
        super().__init__(file)
        self._given: dict[str, Any] = {}

    @classmethod
    def recognise(cls, file: LogFile) -> bool:
        """Return whether the opening of a file has a line that a run or an evaluation prints."""
        return any(_load(each[1]) is not None for each in _first(file.opening))

    def entries(self, text: bytes) -> Entries:
        places: list[int] = []
        rows: list[tuple[float, float, float, float, float]] = []
        for found in _LINE.finditer(text):
            line = found[1]
            if not _ENTRY.search(line):
                if b'"value"' in line and (data := _load(line)):
                    self._given[str(data.get("key"))] = data.get("value")
                continue
            row = _row(line)
            if row is None:
                continue
            key, time, value, at, rate = row
            if key == "run_start":
                continue
            step = self._step(*at)
            if step is None or (key == "eval_accuracy" and not self._is_loss(value)):
                continue
            places.append(found.start())
            rows.append(
                (step, value if key == "train_loss" else np.nan, np.nan if key == "train_loss" else value, rate, time)
            )
        table = np.array(rows, dtype=float).reshape(-1, 5)
        training = np.array([not np.isnan(row[1]) for row in rows], dtype=bool)
        columns = {"loss": table[:, 1], "val_loss": table[:, 2], "lr": table[:, 3], "clock": table[:, 4]}
        lost = ~np.isfinite(np.where(training, table[:, 1], table[:, 2]))
        if length := self._given.get("max_sequence_length"):
            batch = self._given.get("global_batch_size") or 1
            columns["tokens"] = table[:, 0] * float(batch) * float(length)
        return Entries(np.array(places, dtype=float), table[:, 0], columns, lost)

    def _is_loss(self, value: float) -> bool:
        benchmark = self._given.get("submission_benchmark")
        return bool(_LANGUAGE.search(str(benchmark))) if benchmark else not value <= 1.0

    def _step(self, name: str, at: float) -> float | None:
        """Return the step of an entry from what places it."""
        if not name:
            return None
        if name in ("step", "step_num"):
            return at
        batch = float(self._given.get("global_batch_size") or 1)
        length = float(self._given.get("max_sequence_length") or 0)
        if name == "epoch_num" and length and at >= batch * length and at % length == 0:
            return at / (batch * length)  # tokens
        return at / batch

    def finish(self, run: Recorder) -> None:
        for key, name in _SETTINGS.items():
            value = self._given.get(key)
            if isinstance(value, (int, float)) and value > 0:
                run.state(**{name: float(value) if name == "batch" else int(value)})
        batch, length = run.stated("batch"), run.stated("sequence")
        if batch and length:
            run.state(tokens_per_step=batch * length)
        if not batch:
            run.warn("steps", "no global batch size in the log: its samples are counted as steps")
        run.label, run.val_label = "train_loss", "eval_accuracy"

    def ending(self, text: bytes) -> Ended | None:
        for found in _LINE.finditer(text):
            if b'"run_stop"' in found[1] and (data := _load(found[1])):
                status = (data.get("metadata") or {}).get("status")
                return "finished" if status == "success" else "stopped"
        return super().ending(text)


def _first(text: bytes) -> list[re.Match[bytes]]:
    return [each for each in _LINE.finditer(text) if _ENTRY.search(each[1])][:20]


def _load(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _row(line: bytes) -> tuple[str, float, float, tuple[str, float], float] | None:
    """Return the key of an entry, its time, value, place and learning rate."""
    if fast := _FAST.match(line):
        found = {name.decode(): float(at) for name, at in _PLACE.findall(fast[4])}
        rate = _RATE.search(fast[4])
        value = float(fast[3]) if fast[3] != b"null" else np.nan
        return fast[2].decode(), float(fast[1]) / 1e3, value, _placed(found), float(rate[1]) if rate else np.nan
    if (data := _load(line)) is None:
        return None
    try:
        of = data.get("metadata") or {}
        value = data.get("value")
        value = value if value is None or not isinstance(value, dict) else next(iter(value.values()), None)
        return (
            str(data["key"]),
            float(data.get("time_ms", np.nan)) / 1e3,
            np.nan if value is None else float(value),
            _placed({name: float(at) for name, at in of.items() if isinstance(at, (int, float))}),
            float(of.get("lr", np.nan)),
        )
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _placed(found: dict[str, float]) -> tuple[str, float]:
    return next(
        ((name, found[name]) for name in ("step", "step_num", "samples_count", "epoch_num") if name in found),
        ("", 0.0),
    )
