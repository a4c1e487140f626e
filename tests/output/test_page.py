"""The report: one page that needs nothing, runs nothing, and says what the plan says."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections import Counter
from itertools import pairwise

import pytest

import scaleplan as sp
from scaleplan.__main__ import run
from scaleplan.output.data import flat
from scaleplan.output.html.page import report

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>\"' -->]]>"


def test_the_page_refers_to_nothing_outside(page, text):
    """No address, no source, no import: only places on the page, and data."""
    for tag, attributes in page.tags:
        for key in ("src", "href", "action", "data", "poster", "srcset", "background", "xlink:href"):
            value = attributes.get(key)
            assert value is None or value.startswith("#") or value == "data:,", (tag, key, value)
        assert not any(key.startswith("on") or key == "style" for key in attributes)
    style = page.all("style")[0][1]
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"https?://", text)


def test_nothing_can_run(page):
    """The only scripts are data; the policy lets in one style sheet, by its hash."""
    assert {attributes.get("type") for attributes, _ in page.all("script")} == {"application/json"}
    policy = next(a["content"] for a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.all("style")[0][1].encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy


def test_the_policy_stands_before_what_it_governs(page):
    """A policy counts from where it stands."""
    names = [tag for tag, _ in page.tags]
    policy = next(i for i, (_, a) in enumerate(page.tags) if a.get("http-equiv"))
    assert policy < min(names.index("style"), names.index("link"))


def test_the_json_of_the_page_is_the_plan(page, asked):
    """Bit for bit what ``optimal --json`` says."""
    plan = json.loads(json.dumps(sp.optimal(**asked).to_dict()))
    assert page.data("plan") == plan
    assert page.data("comparison")["plans"][0]["params"] == plan["params"]


def test_every_value_on_the_page_is_that_of_the_json(page):
    """The values that carry a key are complete, and each reads back as it is."""
    shown = {a["data-key"]: a["value"] for a, _ in page.all("data") if a.get("data-key")}
    wanted = dict(flat(page.data("plan")))
    assert {key for key, value in wanted.items() if value is not None} == set(shown)
    for key, value in shown.items():
        assert value == (repr(wanted[key]) if isinstance(wanted[key], int | float) else wanted[key])


def test_values_written_for_people_keep_their_digits(page):
    """The text of a value is its rounding."""
    values = {text: a["value"] for a, text in page.all("data")}
    assert float(values["989.4 TFLOP/s"]) == 989.4e12
    assert float(values["$2.95/h"]) == 2.95


def test_headings_and_landmarks_make_an_outline(page):
    """One h1, no level skipped; header, main, footer and a named navigation."""
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    names = [tag for tag, _ in page.tags]
    for landmark in ("header", "nav", "main", "footer"):
        assert names.count(landmark) == 1
    assert page.tags[names.index("html")][1]["lang"] == "en"


def test_ids_are_unique_and_references_lead_somewhere(page):
    """Links, labels and descriptions alike."""
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert ids.most_common(1)[0][1] == 1
    for _, attributes in page.tags:
        wanted = [*attributes.get("aria-labelledby", "").split(), *attributes.get("href", "").split("#")[1:]]
        assert set(wanted) <= set(ids)


def test_tables_say_what_their_cells_are(page):
    """A caption, and headers with a scope."""
    names = [tag for tag, _ in page.tags]
    assert names.count("table") == names.count("caption") > 5
    assert all(attributes.get("scope") in ("col", "row") for attributes, _ in page.all("th"))


def test_what_scrolls_can_be_reached_by_keyboard_and_has_a_name(page):
    """Regions with a label and a place in the order of focus."""
    regions = [attributes for _, attributes in page.tags if attributes.get("class") == "scroll"]
    assert regions
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-label"] for a in regions)


def test_every_picture_has_a_title_a_description_and_its_values(page):
    """Two drawings of each, for wide and for narrow screens, and one table."""
    kinds = ("isoflop", "loss", "frontier", "cost", "compare")
    drawn = [a for a, _ in page.all("svg") if a.get("class", "").startswith("chart")]
    assert [a["aria-labelledby"].split("-title")[0] for a in drawn] == [
        f"picture-{kind}-{form}" for kind in kinds for form in ("wide", "narrow")
    ]
    summaries = [text for _, text in page.all("summary")]
    assert all(f"Values of this picture ({kind})" in summaries for kind in kinds)


def test_the_command_asks_the_same_question(page, text, tmp_path, monkeypatch):
    """Quoted for a shell, it gives the same page."""
    command = next(text for _, text in page.all("code"))
    assert "'tokens_per_param >= 20'" in command
    words = shlex.split(command)
    assert words[:2] == ["scaleplan", "report"]
    monkeypatch.chdir(tmp_path)
    assert run([*words[1:], "-o", "again.html", "--quiet"]) == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_the_same_question_gives_the_same_bytes(text, asked):
    """No date, no chance."""
    assert report(**asked) == text


def test_a_hostile_preset_is_inert(tmp_path, parse):
    """Markup in the names of a preset is text wherever it turns up."""
    from scaleplan.files import data_folder

    source = (data_folder() / "laws" / "besiroglu-2024.toml").read_text(encoding="utf-8")
    quoted = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    lines = [
        f'{line.split(" = ")[0]} = "{quoted}"' if line.startswith(("title", "source", "tokenizer", "text")) else line
        for line in source.splitlines()
    ]
    path = tmp_path / "besiroglu-2024.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    page = parse(report(flops="1e21", preset=str(path)))
    names = {tag for tag, _ in page.tags}
    assert "img" not in names
    assert {a.get("type") for a, _ in page.all("script")} == {"application/json"}
    assert any(HOSTILE in text for _, text in page.all("dd"))


def test_words_of_the_person_are_inert(parse):
    """A limit is repeated in the question and in the command, as text."""
    page = parse(report(flops="1e21", limit=["params <= 70B"]))
    assert any("params <= 70B" in text for _, text in page.all("code"))


@pytest.mark.parametrize(
    "words",
    [
        {"flops": "1e21"},
        {"cost": "250k", "gpu": "h100-sxm"},
        {"gpu_hours": "10k", "gpu": "a100", "preset": "kaplan"},
        {"flops": "1e24", "preset": "llama3-2024"},
        {"flops": "1e22", "unique_tokens": "50B"},
        {"flops": "1e22", "inference_tokens": "1T"},
        {"flops": "1e21", "params": "7B"},
    ],
    ids=str,
)
def test_every_kind_of_question_has_a_report(words, parse):
    """Laws without a loss or an interval have fewer pictures, and no empty section."""
    page = parse(report(**words))
    sections = [a["id"] for a, _ in page.all("section")]
    assert {"answer", "budget", "pictures", "laws", "provenance", "reproduce", "values"} <= set(sections)
    assert [a["href"][1:] for a, _ in page.all("a")[1:]] == sections
