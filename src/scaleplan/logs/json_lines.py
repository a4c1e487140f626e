"""Read logs with a JSON object a line, flat or nested.

Numbers may be bare ``NaN`` and ``Infinity``, as Python writes them; the last line may be cut, lines of settings may
stand between the others, and the lines of several runs may be mixed where a key names the run.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from scaleplan.logs.log_file import run_name
from scaleplan.logs.metric_rows import BLOCK_ROWS, MetricRows
from scaleplan.logs.row_objects import (
    add_objects,
    are_in_turn,
    first_runs,
    flattened,
    is_history,
    parsed_json,
    rows_as_columns,
    wandb_format,
    warn_of_sampling,
)
from scaleplan.tables.cells import to_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.recorder import Recorder

__all__ = ["read", "recognise"]

_HEAD_LINES = 200
_CHUNK = 1 << 22


def recognise(file: LogFile) -> bool:
    """Return whether a file has an object a line, some with a step and a loss."""
    objects = _head_objects(file)
    if is_history(objects):
        return True
    found = first_runs(rows_as_columns(objects))
    return found is not None and are_in_turn(_of_runs(file, *found), found[0])


def _of_runs(file: LogFile, key: str, runs: Collection[str]) -> list[dict[str, Any]]:
    """Return the first objects of some runs in the opening of a file."""
    lines = file.opening.decode("utf-8", errors="replace").split("\n")[:-1]
    items = (parsed_json(line[line.find('{"') :]) for line in lines if '{"' in line)
    own = (item for item in items if isinstance(item, dict) and to_text(flattened(item).get(key)) in runs)
    return list(islice(own, _HEAD_LINES))


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the runs of a file with an object a line."""
    known = [key for item in _head_objects(file) for key in item]
    rows = MetricRows(run_name(file.path), file.source, wandb_format(known) or "json-lines")
    damaged: list[int] = []
    cut = False
    for numbers, objects, bad, cut_here in _blocks(file):
        damaged += bad
        cut = cut_here
        add_objects(rows, objects, numbers)
    for run in rows.recorders(damaged, cut=cut):
        warn_of_sampling(run, rows)
        yield run


def _head_objects(file: LogFile) -> list[dict[str, Any]]:
    """Return the objects of the first whole lines that begin one; none where most are damaged."""
    text = file.head_text
    if '{"' not in text:
        return []
    lines = text.split("\n")
    if len(lines) > 1:
        lines = lines[:-1]
    found, bad = [], 0
    for line in [line for line in lines if '{"' in line][:_HEAD_LINES]:  # others stand between them
        item = parsed_json(line[line.find('{"') :].strip())
        if isinstance(item, dict):
            found.append(item)
        else:
            bad += 1
    return found if len(found) > bad else []


def _blocks(file: LogFile) -> Iterator[tuple[list[int], list[dict[str, Any]], list[int], bool]]:
    """Yield objects with the numbers of their lines, the lines that cannot be read, and whether the last was cut."""
    line = 1
    rest = False
    for chunk in file.chunks(_CHUNK):
        lines = chunk.split(b"\n")
        whole = lines[-1] == b""
        if whole:
            lines.pop()
        for start in range(0, len(lines), BLOCK_ROWS):
            part = lines[start : start + BLOCK_ROWS]
            numbers, objects, bad = _parse_lines(part, line + start)
            last = line + len(lines) - 1
            rest = not whole and bool(bad) and bad[-1] == last
            yield numbers, objects, [each for each in bad if not (rest and each == last)], rest
        line += len(lines)


def _parse_lines(lines: list[bytes], first: int) -> tuple[list[int], list[dict[str, Any]], list[int]]:
    """Return the objects of lines, the number of each, and the numbers of the lines that hold none.

    An object may stand behind what a logger writes; lines without one are what a trainer prints beside its metrics.
    """
    numbers: Sequence[int] = range(first, first + len(lines))
    found = _parsed_at_once(lines)
    if found is not None:
        return list(numbers), found, []
    holding = [(number, line, line.find(b"{")) for number, line in zip(numbers, lines, strict=True)]
    holding = [each for each in holding if each[2] >= 0 and (each[2] == 0 or b'{"' in each[1])]
    texts = [line[at if at == 0 else line.find(b'{"') :] for _, line, at in holding]
    return _parse_by_halves(texts, [number for number, _, _ in holding])


def _parsed_at_once(lines: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """Return the objects of lines that each hold one; None where one of them does not."""
    found = parsed_json((b"[" + b",".join(lines).replace(b"\x00", b"") + b"]").decode("utf-8", errors="replace"))
    return found if isinstance(found, list) and len(found) == len(lines) and set(map(type, found)) <= {dict} else None


def _parse_by_halves(
    lines: Sequence[bytes], numbers: Sequence[int]
) -> tuple[list[int], list[dict[str, Any]], list[int]]:
    """Return what :func:`_parse_lines` does, of lines among which few are damaged."""
    found = _parsed_at_once(lines)
    if found is not None:
        return list(numbers), found, []
    if len(lines) == 1:
        return [], [], list(numbers)
    middle = len(lines) // 2
    left, right = (_parse_by_halves(lines[part], numbers[part]) for part in (slice(middle), slice(middle, None)))
    return left[0] + right[0], left[1] + right[1], left[2] + right[2]
