"""The folder of a ladder's run: the file that says what the run is, so that its log need not, and how it ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import FileError, quote
from scaleplan.files import beginning_of, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "ALIVE",
    "EXIT",
    "LOG",
    "MANIFEST",
    "PAST_LIMIT",
    "RUN_FILE",
    "RUN_FILE_KEYS",
    "STARTED",
    "STOPPED",
    "LadderRunFile",
    "exit_status_in",
    "read_run_file",
    "run_file",
]

RUN_FILE = "run.json"

MANIFEST = "ladder.json"
"""The file in the folder of a ladder that says what it holds."""

LOG, STARTED, EXIT = "output.log", "started", "exit"
"""Files in the folder of a run: what its command printed, when it last started (seconds since 1970), and the exit
status that it ended with. A run without the last is running, or was killed before it could be written."""

ALIVE = "alive"
"""The file into which the shell of a run writes the time each minute while its command runs; removed at the end."""

PAST_LIMIT, STOPPED = 124, 143
"""Exit statuses of a run that its shell stopped at its limit of time, and of one that a signal to the shell stopped:
the engine's limit or preemption, or a person. Neither has ended; one that is started again may go on."""

_SCHEMA = "scaleplan/ladder-run/1"

_MARK = "scaleplan/ladder-run/"
"""What a ``run.json`` of a ladder has in it, of whatever version; trackers have files of this name, too."""

_LARGEST = 1 << 16  # bytes of the file of a run; real ones have 200

_MOST = 2**63
"""Above every count of a run, and what other programs can read."""


class LadderRunFile(NamedTuple):
    """What the file of a run holds, and the ``source`` that it was read from."""

    name: str
    params: int
    tokens: int
    batch: int
    context: int
    steps: int
    seed: int
    lr: float
    source: str = RUN_FILE


RUN_FILE_KEYS = tuple(name for name in LadderRunFile._fields if name != "source")
"""The keys of the file of a run, after its schema."""


def run_file(run: LadderRunFile) -> Mapping[str, object]:
    """Return what the file of a run holds."""
    return {"schema": _SCHEMA, **{key: getattr(run, key) for key in RUN_FILE_KEYS}}


def read_run_file(folder: Path) -> LadderRunFile | None:
    """Return what the file of a run in a folder says; None where none of a ladder is there.

    Raises FileError for one that does not hold what :func:`run_file` writes.
    """
    path = folder / RUN_FILE
    if not _is_of_ladder(path):
        return None
    try:
        found = json.loads(read_text(path, what="run of a ladder", limit=_LARGEST))
    except (ValueError, RecursionError):
        raise _wrong(path, "is no JSON") from None
    if not isinstance(found, dict) or found.get("schema") != _SCHEMA:
        stated = found.get("schema") if isinstance(found, dict) else None
        raise _wrong(path, f"has the schema {quote(stated)}, not {_SCHEMA}")
    values = {key: found.get(key) for key in RUN_FILE_KEYS}
    for key, value in values.items():
        _require(path, key, value)
    return LadderRunFile(**values, source=str(path))  # type: ignore[arg-type]  # required above


def _require(path: Path, key: str, value: object) -> None:
    """Refuse a value that no run of a ladder has."""
    if key == "name":
        if not isinstance(value, str) or not value.strip():
            raise _wrong(path, "has no name")
        return
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    least = 0 if key == "seed" else 1e-300 if key == "lr" else 1
    whole = key == "lr" or isinstance(number, int)
    if number is None or not whole or not least <= number < _MOST:
        what = "a positive number" if key == "lr" else f"a whole number of at least {least}"
        raise _wrong(path, f"has {key} {quote(json.dumps(value))}, not {what}")


def _wrong(path: Path, what: str) -> FileError:
    return FileError(f"{quote(path)} {what}", file=str(path))


def _is_of_ladder(path: Path) -> bool:
    """Return whether a file says in its beginning that it is one of a ladder's run."""
    return _MARK.encode() in (beginning_of(path, _BEGINNING) or b"")


_BEGINNING = 512  # bytes within which the schema stands, which is the first key


def exit_status_in(folder: Path) -> int | None:
    """Return the exit status that a run ended with; None where none is there, or none that can be read."""
    text = (beginning_of(folder / EXIT, _BEGINNING) or b"").decode("ascii", errors="replace").strip()
    return int(text) if text.isdecimal() and len(text) < 4 else None
