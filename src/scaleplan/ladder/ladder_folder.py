"""The folder of a ladder: written whole into a new place, and read back strictly."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, is_visible, quote
from scaleplan.files import is_file, is_folder, read_text, require_new_folder, write_folder
from scaleplan.ladder.engines import ENGINES, engine_of
from scaleplan.ladder.ladder import Ladder
from scaleplan.logs.ladder_run import MANIFEST
from scaleplan.project.saved import MAX_SAVED_BYTES, read_located
from scaleplan.project.source import display_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.ladder.ladder import LadderRun

__all__ = ["NEW_FOLDER", "read_ladder", "require_place", "vocabulary_of", "write_ladder"]

NEW_FOLDER = "name a new or an empty folder with -o; 'scaleplan ladder status FOLDER' continues a ladder"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*", re.ASCII)


def require_place(folder: str) -> None:
    """Refuse a folder that a ladder cannot be written into, before the work; raises FileError."""
    require_new_folder(Path(folder), hint=NEW_FOLDER)


def write_ladder(ladder: Ladder) -> tuple[Path, ...]:
    """Write the file of the engine and the manifest, both or none, and return their paths.

    Raises FileError where the folder of the ladder holds anything.
    """
    script = engine_of(ladder.engine).write(ladder, ladder.runs)
    manifest = json.dumps(ladder.to_dict(), indent=2, allow_nan=False) + "\n"
    return write_folder(Path(ladder.folder), {ladder.file: script, MANIFEST: manifest}, hint=NEW_FOLDER)


def read_ladder(folder: str | Path) -> Ladder:
    """Return the ladder of a folder.

    Raises FileError where there is none, or its manifest is not what :func:`write_ladder` writes.
    """
    place = Path(folder)
    path = place / MANIFEST
    if is_folder(place) and os.access(place, os.X_OK) and not os.path.lexists(path):
        raise FileError(
            f"folder {quote(place)} is no ladder: there is no {MANIFEST} in it",
            hint="'scaleplan design … --format slurm -o FOLDER' writes one",
        )
    if place.name == MANIFEST and place.is_file():
        raise FileError(f"{quote(place)} is a file", hint=f"name its folder: {quote(place.parent)}")
    text = read_text(path, what="ladder", limit=MAX_SAVED_BYTES)
    try:
        found = read_located(text, name=display_name(path))
    except FileError as error:
        raise FileError(error.message, hint=_AGAIN, file=error.file, line=error.line) from None
    if not isinstance(found, Ladder):
        raise FileError(f"{quote(path)} is no ladder, but a result of schema {quote(found.schema)}", hint=_AGAIN)
    wrong = next(_wrong(found), None)
    if wrong is not None:
        raise FileError(f"{quote(path)}: {wrong}", hint=_AGAIN)
    return found


def vocabulary_of(folder: str | Path) -> int | None:
    """Return the entries of the vocabulary of a ladder's runs; None for what is no folder of a ladder.

    Raises FileError as :func:`read_ladder` does.
    """
    return read_ladder(folder).runs[0].vocab if is_file(Path(folder) / MANIFEST) else None


_AGAIN = "restore the file as 'scaleplan design' wrote it, or design the ladder again into another folder"


_MOST = 2**63  # above every count of a run, and what shells and other programs can read

_TEXTS = ("folder", "command", "rule", "style", "gpu", "currency", "image", "storage", "vendor")

_COUNTS = (
    "params", "tokens", "layers", "width", "heads", "kv_heads", "head_width", "ffn_width", "vocab", "context",
    "batch", "batch_sequences", "steps",
)  # fmt: skip


def _wrong(ladder: Ladder) -> Iterator[str]:
    """Yield what is wrong with a ladder that was read: values that no ladder is written with."""
    if ladder.engine not in ENGINES or ladder.file != ENGINES[ladder.engine].file:
        yield f"engine {quote(ladder.engine)} with file {quote(ladder.file)} is none"
    if not ladder.runs:
        yield "runs: there are none"
    if not (1 <= ladder.gpus < _MOST and 1 <= ladder.at_once < _MOST):
        yield "gpus and at_once are whole numbers from 1 on"
    if ladder.price is not None and not ladder.price > 0:
        yield "price is not above 0"
    for key in _TEXTS:
        text = getattr(ladder, key)
        if text is not None and not (text.strip() and is_visible(text)):
            yield f"{key} {quote(text)} is not one that a ladder is written with"
    names = [run.name for run in ladder.runs]
    if len(set(names)) < len(names):
        yield "runs: two have one name"
    for run in ladder.runs:
        yield from (f"run {quote(run.name)}: {reason}" for reason in _wrong_run(run))


def _wrong_run(run: LadderRun) -> Iterator[str]:
    if not _NAME.fullmatch(run.name):
        yield "a name has letters, digits, dots and hyphens"
    counts = [getattr(run, key) for key in _COUNTS]
    if min(counts) < 1 or run.seed < 0 or not (run.flops > 0 and run.lr > 0):
        yield "a size, a rate or an amount is not above 0"
    elif max(*counts, run.seed) >= _MOST:
        yield "a size is larger than any"
    elif run.batch != run.batch_sequences * run.context or run.tokens != run.batch * run.steps:
        yield "its tokens are not its steps of its batch, or its batch not whole sequences"
    if not run.words or not all(map(is_visible, (*run.words, run.out))) or not run.out.endswith(f"/{run.name}"):
        yield "its command or its folder is not one that a ladder is written with"
    if (run.hours is None) != (run.limit_hours is None):
        yield "it has hours without a limit, or a limit without hours"
    elif run.hours is not None and run.limit_hours is not None and not 0 < run.hours <= run.limit_hours:
        yield "its hours are not above 0 and within its limit"
