"""Judgements as JUnit XML, which most CI services show as tests: a suite for each run, a case for each limit.

The elements and attributes are those that Jenkins' and GitLab's readers document: ``testsuites``, ``testsuite``,
``testcase``, ``failure``, ``error`` and ``system-out``, in this order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import inert

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.formats.cases import Case

__all__ = ["render_junit"]

_SPECIAL = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"})


def render_junit(cases: Sequence[Case]) -> str:
    """Return an XML document; a warning is a passing case that says so in its output."""
    suites: dict[str, list[Case]] = {}
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


def _counts(cases: Sequence[Case]) -> str:
    failures = sum(case.status == "fail" for case in cases)
    errors = sum(case.status == "error" for case in cases)
    return f'tests="{len(cases)}" failures="{failures}" errors="{errors}" skipped="0" time="0"'


def _testcase(case: Case) -> Iterator[str]:
    place = ""
    if case.locations:
        place = f' file="{_escape(case.locations[0].file)}"'
        if case.locations[0].line is not None:
            place += f' line="{case.locations[0].line}"'
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
    return inert(text).translate(_SPECIAL).replace("::", "&#58;:")
