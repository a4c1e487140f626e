"""Text of users and files is inert in every format: nothing hides, steers, mentions or links."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scaleplan.errors import escape_control, is_visible
from scaleplan.markup import element
from scaleplan.output import Fact, Report, ReportTable
from scaleplan.output.ci import Judgement, render_github, render_junit, render_sarif
from scaleplan.output.data import encode, plain, render_csv, render_json, render_jsonl, render_tsv
from scaleplan.output.text import render_markdown, render_text

HIDDEN = [
    *("\u202a", "\u202e", "\u2066", "\u2069", "\u200e", "\u061c"),  # directions
    *("\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u180e"),  # of no width
    *("\x00", "\x07", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"),  # controls, ends of lines
    *("\U000e0041", "\ufe0f", "\U000e0101", "\u3164", "\u2800", "\u115f", "\ud800", "\ue000"),  # tags, fillers, …
]


def report(text):
    return Report(
        title=text,
        lines=[text],
        drawing=[text],
        facts=[Fact(text, text, low=text, high=text, unit=text), Fact("x", text, prose=True)],
        level=text,
        grid=ReportTable([text, "y"], [[text, text]], text=[text]),
        remarks=[text],
    )


def judgements(text):
    return [Judgement(suite=text, name=text, rule=text, status="fail", message=text, details=(text,))]


FORMATS = {
    "text": lambda text: render_text(report(text)),
    "markdown": lambda text: render_markdown(report(text)),
    "json": lambda text: render_json({text: [text]}),
    "jsonl": lambda text: render_jsonl([{text: [text]}]),
    "csv": lambda text: render_csv([{text: text, "list": [text]}]),
    "tsv": lambda text: render_tsv([{text: text, "list": [text]}]),
    "value": plain,
    "github": lambda text: render_github(judgements(text)),
    "junit": lambda text: render_junit(judgements(text)),
    "sarif": lambda text: render_sarif(judgements(text)),
    "html": lambda text: element("p", text, title=text),
}


@pytest.mark.parametrize("form", FORMATS)
@given(st.text() | st.text(st.sampled_from([*HIDDEN, "a", "é", "\n", "🙂"])))
@example("".join(HIDDEN))
def test_no_format_has_a_character_that_does_not_show(form, text):
    """Whatever a text holds, the lines that are written are visible."""
    between = "\t" if form == "tsv" else "\n"
    assert all(is_visible(line) for line in FORMATS[form](text).replace(between, "\n").split("\n"))


@given(st.text() | st.text(st.sampled_from(HIDDEN)))
def test_json_says_the_same_text(text):
    """What is spelt out is read back as it was; other letters stay as they are."""
    assert json.loads(encode({text: text})) == {text: text}
    assert encode("Zoë 🙂 –") == '"Zoë 🙂 –"'


@pytest.mark.parametrize("text", HIDDEN, ids=lambda text: f"{ord(text):04x}")
def test_everything_hidden_is_spelt_out(text):
    """In a message as in a cell."""
    assert not is_visible(text)
    assert escape_control(f"a{text}b").isprintable()
    (row,) = csv.DictReader(io.StringIO(render_csv([{"name": f"a{text}b"}])))
    assert row["name"] == escape_control(f"a{text}b")


LIVE = {
    "mention": (["@team", "see @org/team.", "(@me)"], r"(?<![\w@])@\w"),
    "address": (["https://x.org", "HTTP://x", "ftp://x", "www.x.org", "a.b@x.org"], r"\w://|www\.\w|\w@\w+\."),
    "reference": (["#12", "org/repo#12", "GH-12", "!12"], r"[#!]\d|GH-\d"),
    "list": (["- [ ] x", "* x", "+ x", "1. x", "12) x"], r"^\s*([-+*]|\d+[.)])\s|(?<!\\)\["),
    "heading": (["# x", "---", "==="], r"^(#|-+$|=+$)"),
    "table": (["a|b"], r"(?<!\\)\|"),
    "html": (["<img src=x>", "&lt;", "<!--"], r"<(?!!-- -->)|&(?!(lt|gt|amp);)"),
    "code": (["`x`", "$x$", "~x~", "_x_", "**x**"], r"(?<!\\)[`$~_*]"),
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, (texts, _) in LIVE.items() for text in texts])
def test_markdown_shows_text_as_text(kind, text):
    """GitHub and GitLab find nothing to act on; a reader sees the text as it was."""
    written = render_markdown(Report(lines=[text]))
    assert not re.search(LIVE[kind][1], written.strip(), re.MULTILINE), written
    seen = re.sub(r"\\([^a-z\s])", r"\1", written.replace("<!-- -->", "")).strip()
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        seen = seen.replace(entity, character)
    assert seen == text


def test_a_limit_and_a_share_stay_readable_in_markdown():
    """What only looks a little like a mention or a list is left alone."""
    for text in ("loss@90% <= 2.09".replace("<", "≤"), "-3 %", "1.5B", "7B – 13B"):
        assert render_markdown(Report(lines=[text])) == f"{text}\n"
