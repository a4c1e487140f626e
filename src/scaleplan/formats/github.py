"""Judgements as GitHub workflow commands, which become annotations at the file and line they name.

Documented under "Workflow commands for GitHub Actions": ``::error file=…,line=…,title=…::message``, with ``%``, CR
and LF escaped in both parts, and ``:`` and ``,`` in the properties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import inert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scaleplan.formats.cases import Case

__all__ = ["render_github"]

_COMMANDS = {"warn": "warning", "fail": "error", "error": "error"}
_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def render_github(cases: Iterable[Case]) -> str:
    """Return one command a line for every case that did not pass."""
    return "".join(f"{_command(case)}\n" for case in cases if case.status in _COMMANDS)


def _command(case: Case) -> str:
    properties = {}
    if case.locations:
        place = case.locations[0]
        properties["file"] = place.file
        if place.line is not None:
            properties["line"] = str(place.line)
    properties["title"] = f"{case.suite}: {case.name}"
    written = ",".join(f"{name}={inert(value).translate(_PROPERTY)}" for name, value in properties.items())
    also = [f"also {place.file}:{place.line}" for place in case.locations[1:] if place.line is not None]
    text = "\n".join(map(inert, (case.message, *case.details, *also)))
    return f"::{_COMMANDS[case.status]} {written}::{text.translate(_DATA)}"
