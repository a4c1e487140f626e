"""Write judgements for CI services: GitHub workflow commands, JUnit XML and SARIF 2.1.0.

GitHub documents ``::error file=…,line=…,title=…::message``, with ``%``, CR and LF escaped in both parts, and ``:``
and ``,`` in the properties. Of JUnit's XML the elements and attributes are those that Jenkins' and GitLab's readers
document. In a message of SARIF braces are doubled (section 3.11.5) and the brackets of what looks like a link are
escaped (3.11.6); a path is a URI reference relative to the repository (3.4.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from scaleplan.errors import escape_control
from scaleplan.output.data import render_json
from scaleplan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from scaleplan.documents.key_path import Location

__all__ = ["Judgement", "render_github", "render_junit", "render_sarif"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One judgement of a run, the ``suite``, by a limit, the ``name``.

    ``rule`` is a stable id of the kind of judgement, such as the quantity. ``status`` is ``pass``; ``warn`` or
    ``fail`` where the limit is not kept; ``error`` where that could not be judged. ``message`` is the finding in one
    line, ``details`` are further lines, and the first of the ``locations`` is the one to point at.
    """

    suite: str
    name: str
    rule: str
    status: str
    message: str
    details: tuple[str, ...] = ()
    locations: tuple[Location, ...] = ()


_LEVELS = {"warn": "warning", "fail": "error", "error": "error"}

_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = _DATA | str.maketrans({":": "%3A", ",": "%2C"})


def render_github(cases: Iterable[Judgement]) -> str:
    """Return one command a line for every case that did not pass."""
    return "".join(f"{_command(case)}\n" for case in cases if case.status in _LEVELS)


def _command(case: Judgement) -> str:
    properties = {}
    for place in case.locations[:1]:
        properties["file"] = place.file
        if place.line is not None:
            properties["line"] = str(place.line)
    properties["title"] = f"{case.suite}: {case.name}"
    written = ",".join(f"{name}={escape_control(value).translate(_PROPERTY)}" for name, value in properties.items())
    also = [f"also {place.file}:{place.line}" for place in case.locations[1:] if place.line is not None]
    text = "\n".join(map(escape_control, (case.message, *case.details, *also)))
    return f"::{_LEVELS[case.status]} {written}::{text.translate(_DATA)}"


_SPECIAL = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"})


def render_junit(cases: Sequence[Judgement]) -> str:
    """Return an XML document; a warning is a passing case with a line of output."""
    suites: dict[str, list[Judgement]] = {}
    for case in cases:
        suites.setdefault(case.suite, []).append(case)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="scaleplan" {_counts(cases)}>']
    for suite, members in suites.items():
        lines.append(f'  <testsuite name="{_escape(suite)}" {_counts(members)}>')
        for case in members:
            lines += _testcase(case)
        lines.append("  </testsuite>")
    lines.append("</testsuites>")
    return "\n".join(lines) + "\n"


def _counts(cases: Sequence[Judgement]) -> str:
    failures = sum(case.status == "fail" for case in cases)
    errors = sum(case.status == "error" for case in cases)
    return f'tests="{len(cases)}" failures="{failures}" errors="{errors}" skipped="0" time="0"'


def _testcase(case: Judgement) -> Iterator[str]:
    place = ""
    for first in case.locations[:1]:
        place = f' file="{_escape(first.file)}"' + (f' line="{first.line}"' if first.line is not None else "")
    opening = f'    <testcase classname="{_escape(case.suite)}" name="{_escape(case.name)}"{place} time="0"'
    if case.status == "pass":
        yield f"{opening}/>"
        return
    yield f"{opening}>"
    where = [f"{at.file}:{at.line}" for at in case.locations if at.line is not None]
    text = "\n".join(_escape(line) for line in (case.message, *case.details, *where))
    if case.status == "warn":
        yield f"      <system-out>warning: {text}</system-out>"
    else:
        element = "failure" if case.status == "fail" else "error"
        yield f'      <{element} message="{_escape(case.message)}" type="{_escape(case.rule)}">{text}</{element}>'
    yield "    </testcase>"


def _escape(text: str) -> str:
    """Escape markup, and what a CI runner acts on in a log; control characters, which XML lacks, are spelt out."""
    return escape_control(text).translate(_SPECIAL).replace("::", "&#58;:")


_PLACEHOLDER = str.maketrans({"{": "{{", "}": "}}"})
_LINK = str.maketrans({"[": "\\[", "]": "\\]"})


def render_sarif(cases: Sequence[Judgement]) -> str:
    """Return a log with one run and one result for every case that did not pass."""
    rules = sorted({case.rule for case in cases})
    described = [{"id": rule, "shortDescription": {"text": f"limit on {_message(rule)}"}} for rule in rules]
    run = {
        "tool": {"driver": {"name": "scaleplan", "version": __version__, "rules": described}},
        "invocations": [{"executionSuccessful": all(case.status != "error" for case in cases)}],
        "columnKind": "unicodeCodePoints",
        "results": [_result(case, rules) for case in cases if case.status in _LEVELS],
    }
    log: dict[str, object] = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return render_json(log)


def _result(case: Judgement, rules: list[str]) -> dict[str, object]:
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
            {"id": number, **_location(place), **({"message": {"text": _message(place.key)}} if place.key else {})}
            for number, place in enumerate(case.locations[1:], start=1)
        ]
    return result


def _location(place: Location) -> dict[str, object]:
    uri = quote(escape_control(place.file))
    physical: dict[str, object] = {"artifactLocation": {"uri": uri, "uriBaseId": "%SRCROOT%"}}
    if place.line is not None:
        physical["region"] = {"startLine": place.line}
    return {"physicalLocation": physical}


def _message(text: str) -> str:
    plain = escape_control(text).translate(_PLACEHOLDER)
    return plain.translate(_LINK) if "](" in plain else plain
