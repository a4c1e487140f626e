"""The folder of a ladder, read back."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from scaleplan.errors import FileError, quote
from scaleplan.files import read_text
from scaleplan.ladder.ladder import MANIFEST, Ladder, LadderRun

__all__ = ["read_ladder"]


def read_ladder(folder: str | Path) -> Ladder:
    """Return the ladder of a folder; raises FileError where there is none."""
    place = Path(folder)
    path = place / MANIFEST
    if place.is_dir() and not path.exists():
        raise FileError(
            f"folder {quote(place)} is no ladder: there is no {MANIFEST} in it",
            hint="'scaleplan design … --format slurm -o FOLDER' writes one",
        )
    try:
        found = json.loads(read_text(path, what="ladder"))
        runs = tuple(LadderRun(**{**run, "words": tuple(run["words"])}) for run in found["runs"])
        known = {item.name for item in fields(Ladder)}
        return Ladder(**{key: value for key, value in found.items() if key in known} | {"runs": runs, "warnings": ()})
    except (ValueError, TypeError, KeyError):
        raise FileError(f"{quote(path)} is no ladder") from None
