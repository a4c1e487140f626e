"""Read the settings of a run that a tracker keeps beside its metrics, as names with scalars.

``hparams.yaml`` and ``meta.yaml`` are dumps of flat or nested keys, with tags of Python objects in between that no
reader of YAML accepts: each line with a plain key and a scalar is taken for itself, and everything else passed over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.errors import ScaleplanError
from scaleplan.files import is_file, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scaleplan.tables.cells import Cell

__all__ = ["read_settings"]

_LINE = re.compile(r"( *)([A-Za-z_][\w ./-]*?): *(.*?) *(?:#.*)?")


def read_settings(path: Path) -> Mapping[str, Cell]:
    """Return the settings in a YAML file under dotted names; none where no such file can be read."""
    if not is_file(path):
        return {}
    try:
        text = read_text(path, what="settings")
    except ScaleplanError:
        return {}
    found: dict[str, Cell] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        indent, key, value = len(match[1]), match[2], match[3]
        while above and above[-1][0] >= indent:
            above.pop()
        if not value or value.startswith(("!", "&", "|", ">", "{", "[")):
            above.append((indent, key))
            continue
        found[".".join([*(name for _, name in above), key])] = value.strip("'\"")
    return found
