"""Read the ``trainer_state.json`` of Hugging Face's Trainer.

``loss`` is the mean since the last entry, rounded by older versions; ``train_loss`` in the last entry of a finished run is
the mean over the whole run and no loss of any step. The learning rate is that of the step, the token count, where the
Trainer was told to count, stands at the end alone or in every entry. Nothing tells the tokens of a step.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from scaleplan.logs.json_lines import rows_as_columns
from scaleplan.logs.metric_rows import BLOCK_ROWS, MetricRun, read_numbers
from scaleplan.logs.metrics import role_of
from scaleplan.logs.naming import run_name
from scaleplan.logs.run_log import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scaleplan.logs.log_file import LogFile

__all__ = ["read", "recognise"]

_MARK = '"log_history"'
_LARGEST = 200_000_000
_OWN = re.compile(r'"(?:global_step|is_world_process_zero|is_local_process_zero|best_model_checkpoint|max_steps)"')


def recognise(file: LogFile) -> bool:
    """Return whether a document is the state of a Trainer."""
    text = file.head_text
    return text.lstrip("\ufeff \r\n\t").startswith("{") and _MARK in text and _OWN.search(text) is not None


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the run of a state."""
    data = bytearray()
    for chunk in file.chunks():
        data += chunk
        if len(data) > _LARGEST:
            break
    text = data.decode("utf-8-sig", errors="replace")
    del data
    state, entries, cut = _parsed(text)
    first_line = text.count("\n", 0, max(0, text.find(_MARK))) + 1
    recorder = Recorder(run_name(file.path), file.source, line=first_line, format_name="hf_trainer_state")
    if cut:
        recorder.warn("cut", "the file is cut off: what is whole of its history was read")
    summary = _summary(entries)
    steps = [entry.get("step") for entry in entries if "loss" in entry]
    _state(recorder, state, [step for step in steps if isinstance(step, int)])
    run = MetricRun(recorder, loss="loss")
    history = [entry for entry in entries if entry is not summary]
    for start in range(0, len(history), BLOCK_ROWS):
        columns = rows_as_columns(history[start : start + BLOCK_ROWS])
        columns.pop("epoch", None)
        _name_evaluations(columns)
        numbers = {name: read_numbers(cells) for name, cells in columns.items() if role_of(name) is not None}
        if "step" in numbers:
            run.extend(numbers, run.steps(numbers), lambda row: row * 0 + first_line)
    if summary is not None:
        recorder.ended = "finished"
    _count_tokens(recorder, state)
    yield recorder


def _parsed(text: str) -> tuple[dict[str, Any], list[dict[str, Any]], bool]:
    """Return the keys of the state, the entries of its history, and whether the text is cut.

    The entries are parsed one by one where the whole cannot be.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return *_parsed_in_part(text), True
    if not isinstance(document, dict):
        return {}, [], False
    history = document.pop("log_history", None)
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    return document, entries, False


def _parsed_in_part(text: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    mark = text.find(_MARK)
    head = text[:mark] if mark >= 0 else text
    decoder = json.JSONDecoder()
    entries: list[dict[str, Any]] = []
    position = text.find("[", mark) + 1 if mark >= 0 else 0
    while position:
        while position < len(text) and text[position] in " \t\r\n,":
            position += 1
        if position >= len(text) or text[position] != "{":
            break
        try:
            entry, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            break
        entries.append(entry)
    rest = text[position:] if mark >= 0 else ""
    state: dict[str, Any] = {}
    for key, value in re.findall(r'"(\w+)": *(-?[\d.eE+-]+)(?=[,\s}])', head + rest):
        try:
            state.setdefault(key, json.loads(value))
        except ValueError:
            continue
    return state, entries


def _summary(entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the entry that a finished training ends with; an evaluation may follow it."""
    for entry in reversed(entries[-8:]):
        if "train_runtime" in entry or ("train_loss" in entry and "total_flos" in entry):
            return entry
    return None


def _state(recorder: Recorder, state: Mapping[str, Any], steps: Sequence[int]) -> None:
    """Record what the state says of the whole run."""
    largest = state.get("max_steps")
    if isinstance(largest, int) and largest > 0:
        recorder.state(total_steps=largest)
    gaps = [right - left for left, right in zip(steps, steps[1:], strict=False) if right > left]
    every = state.get("logging_steps")
    if gaps:
        usual = max(set(gaps), key=gaps.count)
    else:
        usual = int(every) if isinstance(every, int | float) and every >= 1 else 0
    if usual > 1:
        recorder.state(smoothing=f"mean of {usual} steps")
    parameters = state.get("num_parameters")
    if isinstance(parameters, int | float) and parameters > 0:
        recorder.state(params=float(parameters))


def _name_evaluations(columns: dict[str, list[Any]]) -> None:
    """Leave ``train_loss`` to the summary: in an entry of a step it is a copy that a callback wrote."""
    if "loss" in columns:
        columns.pop("train_loss", None)


def _count_tokens(recorder: Recorder, state: Mapping[str, Any]) -> None:
    """Record the tokens of a step, where the state counts the tokens that were seen."""
    seen, step = state.get("num_input_tokens_seen"), state.get("global_step")
    if isinstance(seen, int | float) and isinstance(step, int) and seen > 0 and step > 0:
        recorder.state(tokens_per_step=seen / step)
