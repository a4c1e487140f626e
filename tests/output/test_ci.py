"""Tests of the CI formats against rules written from their documentation, with hostile texts everywhere."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

from scaleplan.output.ci import Judgement, render_github, render_junit, render_sarif
from scaleplan.project.project import Location

HOSTILE = (
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m",
    "::error::injected",
    "a\n::error::next line",
    "a\r\nb",
    "=cmd()",
    "50% {0} }{",
    "[link](https://example.org)",
    "\"quoted\" & 'single' ]]>",
    "\x00\x08\x7f\u2028\ud800\ufffe",
    "[bold]markup[/bold]",
    "a,b:c=d",
)


def cases_of(text):
    """Return a case of each status that says a hostile text wherever it can."""
    return [
        Judgement(
            suite=text,
            name=text,
            rule="cost",
            status=status,
            message=text,
            details=(text,),
            locations=(
                Location(file=f"{text}.toml", line=3, key=text),
                Location(file="b.yaml", line=None, key=text),
            ),
        )
        for status in ("pass", "warn", "fail", "error")
    ]


_COMMAND = re.compile(r"::(?P<name>error|warning) (?P<properties>[^:\n]*)::(?P<message>[^\r\n]*)")


def decoded(text):
    """Undo the escapes of a workflow command, in the order in which the runner does."""
    for escape, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escape, character)
    return text


@pytest.mark.parametrize("text", HOSTILE)
def test_github_commands_are_one_line_each_and_read_back(text):
    """Every line is one command, whose parts are what was said with control characters written out."""
    lines = render_github(cases_of(text)).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::warning", "::error", "::error"]
    for line in lines:
        match = _COMMAND.fullmatch(line)
        assert match, line
        properties = dict(part.split("=", 1) for part in match["properties"].split(","))
        assert list(properties) == ["file", "line", "title"]
        assert properties["line"] == "3"
        assert not re.search(r"%(?!25|0A|0D|3A|2C)", match["message"] + match["properties"])
        shown = decoded(match["message"])
        assert shown.split("\n")[0] == decoded(properties["title"])[: len(shown.split("\n")[0])]
        assert all(character.isprintable() or character == "\n" for character in shown)


# The schema that Jenkins' reader documents: which attributes and children each element may have.
_JUNIT = {
    "testsuites": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testcase"}),
    "testcase": ({"classname", "name", "file", "line", "time"}, {"failure", "error", "system-out"}),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
    "system-out": (set(), set()),
}


def check_junit(element):
    """Hold an element to the rules above, and its counts to its children."""
    attributes, children = _JUNIT[element.tag]
    assert set(element.attrib) <= attributes
    assert {child.tag for child in element} <= children
    if element.tag in ("testsuites", "testsuite"):
        cases = list(element.iter("testcase"))
        assert int(element.get("tests")) == len(cases)
        assert int(element.get("failures")) == sum(case.find("failure") is not None for case in cases)
        assert int(element.get("errors")) == sum(case.find("error") is not None for case in cases)
    if element.tag == "testcase":
        assert len(element) <= 1
        assert int(element.get("line", "1")) >= 1
    for child in element:
        check_junit(child)


@pytest.mark.parametrize("text", HOSTILE)
def test_junit_is_well_formed_and_counts_right(text):
    """Any text leaves a document that parses, keeps the schema, and holds the text without its control characters."""
    document = render_junit(cases_of(text))
    assert document.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    root = ET.fromstring(document.encode())
    check_junit(root)
    assert [len(case) for case in root.iter("testcase")] == [0, 1, 1, 1]
    printable = "".join(character for character in text if character.isprintable())
    if printable == text:
        assert root.find("testsuite").get("name") == text
        assert next(root.iter("failure")).get("message") == text


def check_sarif(log):
    """Hold a log to the required properties and value sets of SARIF 2.1.0."""
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "scaleplan"
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    for invocation in run["invocations"]:
        assert isinstance(invocation["executionSuccessful"], bool)
    for result in run["results"]:
        assert result["level"] in ("none", "note", "warning", "error")
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        places = [*result["locations"], *result.get("relatedLocations", [])]
        ids = [place["id"] for place in places if "id" in place]
        assert len(set(ids)) == len(ids)
        for message in [result["message"], *(place["message"] for place in places if "message" in place)]:
            text = message["text"]
            assert text
            assert not re.search(r"\{", text.replace("{{", "").replace("}}", ""))  # no placeholder (3.11.5)
            assert not re.search(r"(?<!\\)\[[^\]]*\]\(", text)  # no embedded link (3.11.6)
        for place in places:
            physical = place["physicalLocation"]
            assert re.fullmatch(r"[A-Za-z0-9._~/%-]+", physical["artifactLocation"]["uri"])  # RFC 3986
            assert not physical["artifactLocation"]["uri"].startswith("/")
            assert physical.get("region", {"startLine": 1})["startLine"] >= 1


@pytest.mark.parametrize("text", HOSTILE)
def test_sarif_keeps_its_rules(text):
    """Any text leaves a log that keeps the standard's rules, and acts as neither placeholder nor link."""
    document = render_sarif(cases_of(text))
    log = json.loads(document)
    check_sarif(log)
    assert [result["level"] for result in log["runs"][0]["results"]] == ["warning", "error", "error"]
    assert log["runs"][0]["invocations"] == [{"executionSuccessful": False}]


def test_what_passes_is_silent_but_counted():
    """Annotations and scan results are for what is wrong; the test report lists what is right too."""
    passing = [case for case in cases_of("a") if case.status == "pass"]
    assert render_github(passing) == ""
    assert json.loads(render_sarif(passing))["runs"][0]["results"] == []
    assert 'tests="1" failures="0"' in render_junit(passing)
