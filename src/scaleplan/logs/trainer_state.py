"""Read the ``trainer_state.json`` of Hugging Face's Trainer.

``loss`` is the mean since the last entry, rounded by older versions; ``train_loss`` in the last entry of a finished
run is the mean over the whole run and no loss of any step. The tokens of a step are known
only where the Trainer was set to count what it has seen.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from scaleplan.logs.log_file import run_name
from scaleplan.logs.metric_run import MetricRun
from scaleplan.logs.metrics import role_of
from scaleplan.logs.recorder import Recorder
from scaleplan.logs.row_objects import parsed_json, rows_as_columns, whole_items
from scaleplan.tables.cells import read_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scaleplan.logs.log_file import LogFile

__all__ = ["read", "recognise"]

_MARK = re.compile(r'"log_history"\s*:\s*\[')
_CHUNK = 1 << 22
_OWN = re.compile(r'"(?:global_step|is_world_process_zero|is_local_process_zero|best_model_checkpoint|max_steps)"')


def recognise(file: LogFile) -> bool:
    """Return whether a document is the state of a Trainer."""
    text = file.head_text
    return (
        text.lstrip("\ufeff \r\n\t").startswith("{")
        and _MARK.search(text) is not None
        and _OWN.search(text) is not None
    )


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the run of a state."""
    history = _History(file)
    recorder = Recorder(run_name(file.path), file.source, line=1, format_name="huggingface")
    run = MetricRun(recorder, loss="loss")
    spacing: Counter[int] = Counter()
    for entries in history:
        recorder.line = max(recorder.line, history.first_line)
        if _summary(entries) is not None:
            recorder.ended = "finished"
        logged = [entry for entry in entries if not _is_summary(entry)]
        steps = [step for entry in logged if "loss" in entry and isinstance(step := entry.get("step"), int)]
        spacing.update(right - left for left, right in pairwise(steps) if right > left)
        columns = rows_as_columns(logged)
        columns.pop("epoch", None)
        if "loss" in columns:
            columns.pop("train_loss", None)  # a copy that a callback wrote
        numbers = {name: read_numbers(cells) for name, cells in columns.items() if role_of(name) is not None}
        if "step" in numbers:
            run.extend(numbers, run.steps(numbers), lambda _: history.first_line)
    _state(recorder, history.state, spacing)
    if history.cut:
        recorder.warn("cut", "the file is cut off: what is whole of its history was read")
    yield recorder


class _History:
    """The entries of the history in a file, in blocks; beside them its other keys, once they are read."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self.state: dict[str, Any] = {}
        self.cut = False
        self.first_line = 1

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        text, outside, inside, ended = "", "", False, False
        for chunk in self._file.chunks(_CHUNK):
            text += chunk.decode("utf-8", errors="replace")
            if not inside and not ended:
                begin = _MARK.search(text)
                if begin is None:
                    continue
                inside = True
                self.first_line = text.count("\n", 0, begin.end()) + 1
                outside, text = text[: begin.start()], text[begin.end() :]
            if inside:
                end = text.rfind("},") + 1
                entries = parsed_json(f"[{text[:end]}]") if end else []
                if isinstance(entries, list):  # else the list ends in this piece
                    text = text[end:].lstrip(" \t\r\n,")
                else:
                    entries, text, ended = whole_items(text)
                    inside = not ended
                yield [entry for entry in entries if isinstance(entry, dict)]
        if inside:
            entries, text, ended = whole_items(text)
            yield [entry for entry in entries if isinstance(entry, dict)]
        rest = text if ended else ""
        self.cut = not ended or not rest.rstrip().endswith("}")
        document = parsed_json(
            f"{outside.rstrip().rstrip(',')}{rest}" if outside.strip() != "{" else "{" + rest.lstrip(", \n")
        )
        self.state = document if isinstance(document, dict) else _scalars(outside + rest)


def _scalars(text: str) -> dict[str, Any]:
    """Return the numbers of keys in a text that is no whole document."""
    found: dict[str, Any] = {}
    for key, value in re.findall(r'"(\w+)": *(-?[\d.eE+-]+)(?=[,\s}])', text):
        number = parsed_json(value)
        if number is not None:
            found.setdefault(key, number)
    return found


def _is_summary(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is the last one of a finished training, of the whole run."""
    return "train_runtime" in entry or ("train_loss" in entry and "total_flos" in entry)


def _summary(entries: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the summary among the last entries; an evaluation may follow it."""
    return next((entry for entry in reversed(entries[-8:]) if _is_summary(entry)), None)


def _state(recorder: Recorder, state: Mapping[str, Any], spacing: Counter[int]) -> None:
    """Record what the state says of the whole run."""
    largest = state.get("max_steps")
    if isinstance(largest, int) and largest > 0:
        recorder.state(total_steps=largest)
    every = state.get("logging_steps")
    usual = int(every) if isinstance(every, int | float) and every >= 1 else 0
    if spacing:
        usual = spacing.most_common(1)[0][0]
    if usual > 1:
        recorder.state(smoothing=f"mean of {usual} steps")
    seen, step = state.get("num_input_tokens_seen"), state.get("global_step")
    if isinstance(seen, int | float) and isinstance(step, int) and seen > 0 and step > 0:
        recorder.state(tokens_per_step=seen / step)
    parameters = state.get("num_parameters")
    if isinstance(parameters, int | float) and parameters > 0:
        recorder.state(params=float(parameters))
