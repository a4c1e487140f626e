"""The report: one page that needs nothing, runs nothing but its own script, and says what the plan says."""

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
from scaleplan.errors import UsageError
from scaleplan.output.data import flat
from scaleplan.output.html.page import report
from scaleplan.planning.context import Context

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


def test_nothing_else_can_run(page):
    """The only script is the page's own, let in by its hash like the one style sheet; all others are data."""
    scripts = page.all("script")
    own = [text for attributes, text in scripts if attributes.get("type") != "application/json"]
    assert len(own) == 1
    assert not {"</script", "<!--"} & {mark for mark in ("</script", "<!--") if mark in own[0]}
    for word in ("eval(", "new Function", "fetch(", "XMLHttpRequest", "innerHTML", "import(", "http"):
        assert word not in own[0]
    policy = next(a["content"] for a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    for kind, text in (("style", page.all("style")[0][1]), ("script", own[0])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_without_a_script_the_page_is_complete_but_for_what_it_computes(page):
    """The section and the link to it are hidden until the script shows them."""
    hidden = [(tag, attributes) for tag, attributes in page.tags if "hidden" in attributes]
    assert [tag for tag, _ in hidden] == ["li", "section"]
    assert hidden[1][1]["id"] == "what-if"


def test_a_law_that_the_page_cannot_compute_has_no_script(parse):
    """In one line it says why; the policy lets no script in."""
    page = parse(report(flops="1e24", preset="llama3-2024"))
    assert {attributes.get("type") for attributes, _ in page.all("script")} == {"application/json"}
    policy = next(a["content"] for a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "script-src" not in policy
    assert any(text.startswith("This page cannot plan again by itself: llama3-2024") for _, text in page.all("p"))


def test_the_policy_stands_before_what_it_governs(page):
    """A policy counts from where it stands."""
    names = [tag for tag, _ in page.tags]
    policy = next(i for i, (_, a) in enumerate(page.tags) if a.get("http-equiv"))
    assert policy < min(names.index("style"), names.index("link"))


def test_the_json_of_the_page_is_the_plan(page, asked):
    """Bit for bit what ``optimal --json`` says."""
    plan = json.loads(json.dumps(sp.optimal(**asked, shape=True).to_dict()))
    assert page.data("plan") == plan
    assert page.data("comparison")["plans"][0]["params"] == plan["params"]


def test_every_value_on_the_page_is_that_of_the_json(page):
    """The values that carry a key are complete, and each reads back as it is."""
    shown = {a["data-key"]: a["value"] for a, _ in page.all("data") if a.get("data-key")}
    wanted = dict(flat(page.data("plan")))
    assert {key for key, value in wanted.items() if value is not None} == set(shown)
    for key, value in shown.items():
        exact = json.dumps(wanted[key]) if isinstance(wanted[key], int | float) else wanted[key]
        assert value == exact


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
    command = next(text for _, text in page.all("code") if text.startswith("scaleplan report"))
    assert "'tokens_per_param >= 20'" in command
    words = shlex.split(command)
    assert words[:2] == ["scaleplan", "report"]
    monkeypatch.chdir(tmp_path)
    assert run([*words[1:], "-o", "again.html", "--quiet"]) == 0
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == text


def test_a_law_and_a_model_that_were_read_are_named_in_the_command(parse, tmp_path):
    """Whatever their Python objects look like."""
    config = tmp_path / "config.json"
    sizes = {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 1376}
    config.write_text(json.dumps({"model_type": "llama", "vocab_size": 32000, **sizes}), encoding="utf-8")
    page = parse(report(flops="1e19", preset=Context().preset("besiroglu-2024"), model=config))
    command = next(text for _, text in page.all("code") if text.startswith("scaleplan report"))
    assert f"--model {config}" in command
    assert "Preset(" not in command


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
    assert [a.get("type") for a, _ in page.all("script")] == ["application/json"] * 3 + [None]
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
        {"flops": "1e21", "shape": True, "style": "gpt2"},
        {"flops": "1e21", "gpu": "h100-sxm", "gpus": "8", "model": "llama-3-8b"},
        {"gpu_hours": "10k", "gpu": "h100-sxm", "region": "France", "limit": ["params <= 7B"]},
    ],
    ids=str,
)
def test_every_kind_of_question_has_a_report(words, parse):
    """Laws without a loss or an interval have fewer pictures, and no empty section."""
    page = parse(report(**words))
    sections = [a["id"] for a, _ in page.all("section")]
    assert {"answer", "what-if", "budget", "pictures", "laws", "provenance", "reproduce", "values"} <= set(sections)
    assert ("layout" in sections) == bool(words.keys() & {"shape", "region", "gpus"})
    assert ("limits" in sections) == bool(words.keys() & {"limit", "params"})
    assert [a["href"][1:] for a, _ in page.all("a")[1:]] == sections


def test_the_bill_has_its_ranges_sources_and_chances(page, text):
    """Hours, days and money with their range; the price with source and date; how much is enough how surely."""
    plan = page.data("plan")
    low, high = plan["budget"]["days_interval"]
    assert f"80 %: {low:.1f} – {high:.1f} days" in text
    cells = [found for _, found in page.all("td")]
    assert f"{high:.1f} days" in cells  # of nine in ten, the upper end of the range
    assert any("2026" in found and found.startswith("Price: $2.95/h") for _, found in page.all("p"))


def test_a_deadline_leaves_the_gpus_open_and_the_what_if_to_compute(parse):
    """The bill says how many GPUs it takes and how surely; the page plans in FLOP alone."""
    page = parse(report(flops="1e22", gpu="h100-sxm", time="30d"))
    deadline = page.data("plan")["budget"]["deadline"]
    paragraphs = [text for _, text in page.all("p")]
    assert any(text.startswith(f"30.0 days take {deadline['gpus']} x h100-sxm") for text in paragraphs)
    assert any("the number of GPUs follows from the deadline" in text for text in paragraphs)
    assert [text for _, text in page.all("option")] == ["FLOP"]


def test_money_is_in_the_currency_of_the_question(parse):
    """In the tables, and in the labels and choices of the what-if."""
    page = parse(report(cost="50k EUR", gpu="h100-sxm", exchange_rate="1 EUR = 1.08 USD"))
    assert "Price of a GPU-hour (h100-sxm), in EUR" in [text for _, text in page.all("label")]
    assert [text for _, text in page.all("option")] == ["FLOP", "GPU-hours", "EUR"]
    assert page.data("question")["currency"] == "EUR"


def test_limits_say_which_bind_and_what_they_cost(parse):
    """One row a limit, in the words of the question."""
    limits = ["tokens_per_param >= 40", "params <= 900B"]
    page = parse(report(flops="1e22", limit=limits))
    start = next(i for i, (tag, a) in enumerate(page.tags) if tag == "section" and a["id"] == "limits")
    cells = [page.content.get(i, "") for i, (tag, _) in enumerate(page.tags) if i > start and tag in ("th", "td")][
        4:12
    ]
    (each,) = page.data("plan")["binding"]
    assert cells[0] == limits[0]
    assert cells[1] == "yes"
    assert float(cells[2].removesuffix(" lower")) == pytest.approx(each["excess_loss"], rel=5e-3)
    assert cells[4:7] == [limits[1], "no", "the same"]


def test_the_layout_is_that_of_the_plan(page):
    """Steps, micro-batch and the memory of a GPU, and no carbon without a region."""
    told = {name: value for (_, name), (_, value) in zip(page.all("dt"), page.all("dd"), strict=True)}
    run = page.data("plan")["blueprint"]
    assert told["steps"].startswith(f"{run['steps']:,} of ")
    assert told["architecture"].startswith(f"llama, {run['architecture']['layers']} layers")
    assert "carbon" not in told


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_text_stands_out_from_its_paper(page, theme):
    """WCAG: 4.5 to 1 for text, 3 to 1 for the edge of a control, computed from the colours of the style sheet."""
    style = page.all("style")[0][1]
    parts = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", parts[0]))
    colours |= dict(re.findall(r"--([\w-]+): (#\w+)", parts[("light", "dark", "print").index(theme)]))

    def luminance(name):
        digits = colours[name][1:]
        digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
        channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(one, other):
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    for text, paper in (
        *((ink, paper) for ink in ("ink", "soft", "accent", "alarm") for paper in ("paper", "panel")),
        ("ink", "alarm-panel"),
        ("ink", "fitted"),
        ("soft", "fitted"),
    ):
        assert contrast(text, paper) >= 4.5, (text, paper)
    assert contrast("control", "paper") >= 3


def test_the_page_is_one_small_file(text):
    """With all its pictures and values."""
    assert len(text.encode()) < 1_000_000


def test_a_region_without_a_gpu_is_refused():
    """There is no energy to count the carbon of."""
    with pytest.raises(UsageError, match="--region says nothing"):
        report(flops="1e21", region="France")
