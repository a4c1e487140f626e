"""Result logs of MLPerf training, of benchmarks of language models."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scaleplan.logs.printed import Entries, PrintedLog

if TYPE_CHECKING:
    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.recorder import Recorder
    from scaleplan.logs.run_log import Ended

__all__ = ["MlperfLog"]

_LINE = re.compile(
    rb':::MLLOG (?:\{"namespace": "[^"]*", "time_ms": (\d+), "event_type": "\w+", "key": "'
    rb'(train_loss|eval_loss|eval_accuracy)", "value": (-?[\d.eE+-]+), "metadata": \{([^{}\n]*)\}\}|(\{[^\n]*\}))'
)
"""A line as the library of the benchmark writes it, or any other."""

_ENTRIES = frozenset({"train_loss", "eval_loss", "eval_accuracy"})
_MARKS = _ENTRIES | {"run_start", "run_stop", "submission_benchmark", "global_batch_size"}
_PLACE = re.compile(rb'"(samples_count|step_num|step|epoch_num)": ?([\d.eE+]+)')
_RATE = re.compile(rb'"lr": ?([\d.eE+-]+)')
_LANGUAGE = re.compile(r"gpt|llama|llm|mixtral|moe|deepseek|qwen|mistral", re.IGNORECASE)
_SETTINGS = {  # max_steps is only a bound: a run of the benchmark ends where it reaches its target
    "global_batch_size": "batch",
    "max_sequence_length": "sequence",
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
        self._in_tokens: bool | None = None  # whether an epoch_num counts tokens: the first of a log tells it of all

    @classmethod
    def recognise(cls, file: LogFile) -> bool:
        """Return whether the opening of a file has a line that a run or an evaluation prints."""
        return any(each[2] or _load(each[5]).get("key") in _MARKS for each in _LINE.finditer(file.opening))

    def entries(self, text: bytes) -> Entries:
        """Return the entries of a piece of the log, in samples until the batch is known to be stated."""
        found = list(_LINE.finditer(text))
        rows = [row for each in found if (row := _row(each, self._given)) is not None]
        if not rows:
            return Entries(np.array([]), np.array([]), {}, np.array([], dtype=bool))
        columns = list(zip(*rows, strict=True))
        places, times, values, at, rates = (np.array(column, dtype=float) for column in columns[1:6])
        keys, named = columns[0], columns[6]
        per_step = {name: self._per_step(name) for name in set(named)}
        steps = at * np.array([per_step[name] for name in named])
        if "epoch_num" in named:
            epochs = np.array([name == "epoch_num" for name in named])
            if self._in_tokens is None and (told := at[epochs & (at > 0)]).size:
                self._in_tokens = self._counts_tokens(float(told[0]))
            if self._in_tokens:
                steps = np.where(epochs, steps / self._setting("max_sequence_length"), steps)
        trains = np.array([key == "train_loss" for key in keys], dtype=bool)
        accuracy = np.array([key == "eval_accuracy" for key in keys], dtype=bool)
        known = ~accuracy | np.array([self._is_loss(value) for value in values.tolist()], dtype=bool)
        loss, validation = np.where(trains, values, np.nan), np.where(trains, np.nan, values)
        given = {"loss": loss, "val_loss": validation, "lr": rates, "clock": times}
        if {"max_sequence_length", "global_batch_size"} <= self._given.keys():
            given["tokens"] = steps * self._setting("global_batch_size") * self._setting("max_sequence_length")
        return Entries(places, steps, given, ~np.isfinite(values)).take(known & np.isfinite(steps))

    def begins(self, text: bytes) -> bool:
        """Return whether the beginning of a line is that of an entry."""
        return b":::MLLOG" in text

    def _per_step(self, name: str) -> float:
        """Return the steps of one unit of what places an entry."""
        return 1.0 if name in ("step", "step_num") else 1.0 / self._setting("global_batch_size")

    def _counts_tokens(self, at: float) -> bool:
        """Return whether the first ``epoch_num`` counts tokens, not samples: a whole number of batches of them."""
        batch, length = self._setting("global_batch_size"), self._setting("max_sequence_length")
        return length > 1 and at >= batch * length and at % length == 0

    def _setting(self, name: str) -> float:
        """Return a setting that counts something; 1 where the log states none."""
        value = _float(self._given.get(name))
        return value if 1.0 <= value < float("inf") else 1.0

    def _is_loss(self, value: float) -> bool:
        benchmark = self._given.get("submission_benchmark")
        return bool(_LANGUAGE.search(str(benchmark))) if benchmark else not value <= 1.0

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""
        for key, name in _SETTINGS.items():
            value = _float(self._given.get(key))
            if 0 < value < float("inf"):
                run.state(**{name: value if name == "batch" else int(value)})
        batch, length = run.stated("batch"), run.stated("sequence")
        if batch and length:
            run.state(tokens_per_step=batch * length)
        if not batch:
            run.warn("steps", "no global batch size in the log: its samples are counted as steps")
        run.label, run.val_label = "train_loss", "eval_accuracy"

    def ending(self, text: bytes) -> Ended | None:
        """Return what the text after the last entry of a run says of its end."""
        for found in _LINE.finditer(text):
            data = _load(found[5]) if found[5] and b'"run_stop"' in found[5] else {}
            if data.get("key") == "run_stop":
                status = (data.get("metadata") or {}).get("status")
                return "finished" if status == "success" else "stopped"
        return super().ending(text)


def _load(line: bytes) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


_Row: TypeAlias = "tuple[str, float, float, float, float, float, str]"


def _row(found: re.Match[bytes], given: dict[str, Any]) -> _Row | None:
    """Return key, place, time, value, position, learning rate and what gives the position; a setting is kept."""
    if found[2]:
        name, at = _position(found[4])
        rate = _RATE.search(found[4])
        key, value = found[2].decode(), _float(found[3])
        return key, found.start(), float(found[1]) / 1e3, value, at, _float(rate[1]) if rate else np.nan, name
    data = _load(found[5])
    key = str(data.get("key"))
    if key not in _ENTRIES:
        given[key] = data.get("value")
        return None
    of = data.get("metadata")
    name, at = _position(json.dumps(of).encode())
    rate = of.get("lr") if isinstance(of, dict) else None
    return key, found.start(), _float(data.get("time_ms")) / 1e3, _float(data.get("value")), at, _float(rate), name


def _position(metadata: bytes) -> tuple[str, float]:
    """Return what places an entry: a step, or the samples or tokens that were seen."""
    places = _PLACE.findall(metadata)
    if len(places) == 1:
        name, at = places[0]
        return name.decode(), float(at) if at.isdigit() else _float(at)
    found = dict(places)
    name = next((name for name in (b"step", b"step_num", b"samples_count", b"epoch_num") if name in found), None)
    return (name.decode(), _float(found[name])) if name else ("", np.nan)


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
