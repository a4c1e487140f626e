"""The report in a real browser, without a screen."""

from __future__ import annotations

import base64
import io
import re

import pytest
from tests.output import chromium

pytestmark = [pytest.mark.skipif(chromium.PROGRAM is None, reason=chromium.MISSING), pytest.mark.slow]

WIDTHS = (320, 400, 800, 1200, 1920)


@pytest.fixture(scope="module")
def watch(tab, tmp_path_factory):
    """Return how to open a page, and see what it says and asks for: (console, addresses).

    What is expected is waited for, on a busy machine for longer than the moment after which there is nothing.
    """

    def watched(text, expected=lambda said, asked: True):
        path = tmp_path_factory.mktemp("page") / "report.html"
        path.write_text(text, encoding="utf-8")
        tab.open(path.as_uri())
        for _ in range(200):
            tab.run("new Promise((done) => setTimeout(done, 200))")
            said = [e["params"] for e in tab.events if e["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled")]
            asked = {e["params"]["request"]["url"] for e in tab.events if e["method"] == "Network.requestWillBeSent"}
            asked -= {path.as_uri(), "data:,"}
            if expected(said, asked):
                break
        return said, asked

    return watched


@pytest.fixture
def shown(tab, watch, text):
    """Return the browser at the shared page, at rest, as it was before for the next test."""
    watch(text)
    yield tab
    tab.ask("Emulation.clearDeviceMetricsOverride")
    tab.ask("Emulation.setEmulatedMedia", media="", features=[])


def test_the_page_says_and_asks_for_nothing(watch, text):
    """No message on the console, nothing that the policy had to refuse, and no request but that of the page."""
    assert watch(text) == ([], set())


def test_a_page_that_breaks_the_rules_is_noticed(watch, text):
    """The test above can fail: a refused script is seen, and an image once the policy is gone."""
    spoiled = text.replace("<main>", '<main><img src="http://127.0.0.1:9/x.png"><script>1</script>')
    assert len(watch(spoiled, lambda said, _: len(said) >= 2)[0]) >= 2
    lawless = re.sub(r"<meta http-equiv[^>]*>", "", spoiled)
    address = "http://127.0.0.1:9/x.png"
    assert address in watch(lawless, lambda _, asked: address in asked)[1]


def test_values_read_back_from_the_page_equal_the_json(shown, page):
    """What the browser shows is what the plan says, every key."""
    values = shown.run(
        "Object.fromEntries([...document.querySelectorAll('data[data-key]')].map((e) => [e.dataset.key, e.value]))"
    )
    plan = page.data("plan")
    for key in ("params", "tokens", "loss", "flops", "tokens_per_param"):
        assert float(values[key]) == plan[key]
    assert float(values["interval.loss.low"]) == plan["interval"]["loss"][0]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_runs_over_the_right_edge(shown, width):
    """What is too wide scrolls inside its own box; no text is cut off by the edge of its tile."""
    shown.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    assert shown.run("document.documentElement.scrollWidth") == width
    wide = "[...document.querySelectorAll('.tiles > div')].filter((e) => e.scrollWidth > e.clientWidth + 1).length"
    assert shown.run(wide) == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_is_drawn_in_light_and_dark(shown, dark):
    """The paper is light or dark, and the largest text on it is the other."""
    image = pytest.importorskip("matplotlib.image")
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    shown.ask("Emulation.setEmulatedMedia", media="", features=[scheme])
    shot = base64.b64decode(shown.ask("Page.captureScreenshot")["data"])
    pixels = image.imread(io.BytesIO(shot))[:, :, :3].mean(axis=2)
    assert pixels[2, 2] < 0.2 if dark else pixels[2, 2] > 0.9
    assert pixels.max() > 0.85 if dark else pixels.min() < 0.2


def lowest_text(page):
    """Return the lowest line of a page of a PDF file, whatever the order in which it is drawn."""
    lines = {}

    def seen(text, outer, inner, *_):
        if text.strip():
            height = round(inner[4] * outer[1] + inner[5] * outer[3] + outer[5])
            lines[height] = lines.get(height, "") + text.strip("\n")

    page.extract_text(visitor_text=seen)
    return lines[min(lines)].strip()


@pytest.mark.parametrize("paper", [(8.27, 11.69), (8.5, 11.0)], ids=["A4", "Letter"])
def test_no_heading_is_left_alone_at_the_foot_of_a_printed_page(shown, paper):
    """On paper, every heading and every head of a table is followed by what it heads."""
    pypdf = pytest.importorskip("pypdf")
    printed = shown.ask("Page.printToPDF", paperWidth=paper[0], paperHeight=paper[1])
    pages = pypdf.PdfReader(io.BytesIO(base64.b64decode(printed["data"]))).pages
    heads = set(shown.run("[...document.querySelectorAll('h2, h3, caption')].map((e) => e.textContent)"))
    last = [lowest_text(page) for page in pages]
    assert len(pages) > 3
    assert all(last)
    assert not [text for text in last if text in heads]
    assert "Back to the plan" not in "".join(page.extract_text() for page in pages)
