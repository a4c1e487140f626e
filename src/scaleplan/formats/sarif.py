"""Judgements as SARIF 2.1.0, the OASIS format that code scanning reads.

In a message braces are doubled (section 3.11.5), and the brackets of what looks like a link are escaped (3.11.6),
so that no text can act as a placeholder or a link; a path is a URI reference relative to the repository (3.4.4).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scaleplan import __version__
from scaleplan.errors import inert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.formats.cases import Case, Location

__all__ = ["render_sarif"]

_LEVELS = {"warn": "warning", "fail": "error", "error": "error"}
_PLACEHOLDER = str.maketrans({"{": "{{", "}": "}}"})
_LINK = str.maketrans({"[": "\\[", "]": "\\]"})


def render_sarif(cases: Sequence[Case]) -> str:
    """Return a log with one run and one result for every case that did not pass."""
    rules = sorted({case.rule for case in cases})
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "scaleplan",
                        "version": __version__,
                        "rules": [
                            {"id": rule, "shortDescription": {"text": f"limit on {_message(rule)}"}} for rule in rules
                        ],
                    }
                },
                "invocations": [{"executionSuccessful": all(case.status != "error" for case in cases)}],
                "columnKind": "unicodeCodePoints",
                "results": [_result(case, rules) for case in cases if case.status in _LEVELS],
            }
        ],
    }
    return json.dumps(log, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def _result(case: Case, rules: list[str]) -> dict[str, object]:
    text = ". ".join((f"{case.suite}: {case.message}", *case.details))
    result: dict[str, object] = {
        "ruleId": case.rule,
        "ruleIndex": rules.index(case.rule),
        "level": _LEVELS[case.status],
        "message": {"text": _message(text)},
    }
    if case.locations:
        result["locations"] = [_location(case.locations[0])]
    if case.locations[1:]:
        result["relatedLocations"] = [
            {"id": number, **_location(place), **({"message": {"text": _message(place.what)}} if place.what else {})}
            for number, place in enumerate(case.locations[1:], start=1)
        ]
    return result


def _location(place: Location) -> dict[str, object]:
    from urllib.parse import quote

    physical: dict[str, object] = {"artifactLocation": {"uri": quote(inert(place.file)), "uriBaseId": "%SRCROOT%"}}
    if place.line is not None:
        physical["region"] = {"startLine": place.line}
    return {"physicalLocation": physical}


def _message(text: str) -> str:
    plain = inert(text).translate(_PLACEHOLDER)
    return plain.translate(_LINK) if "](" in plain else plain
