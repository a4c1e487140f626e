"""Pages that the tests of the report share, and how a browser would read them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest
from tests.output import chromium

from scaleplan.output.html.page import report

ASKED = {"gpus": "64", "time": "30d", "gpu": "h100-sxm", "limit": ["tokens_per_param >= 20"]}
_VOID = {"meta", "link", "br", "input"}


@dataclass
class Page(HTMLParser):
    """The elements of a page in order, and the text of each kind."""

    text: str
    tags: list = field(default_factory=list)
    open: list = field(default_factory=list)
    content: dict = field(default_factory=dict)

    def __post_init__(self):
        super().__init__()
        self.feed(self.text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"an attribute twice in {tag}"
        self.tags.append((tag, attributes))
        if tag not in _VOID:
            self.open.append((tag, len(self.tags) - 1))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            index = self.open[-1][1]
            self.content[index] = self.content.get(index, "") + data

    def all(self, tag):
        """Return (attributes, own text) of every element of a tag."""
        return [(attrs, self.content.get(i, "")) for i, (name, attrs) in enumerate(self.tags) if name == tag]

    def data(self, ident):
        """Return the JSON that the page carries under an id."""
        return next(json.loads(text) for attrs, text in self.all("script") if attrs.get("id") == ident)


@pytest.fixture(autouse=True, scope="session")
def _bundled_data_only(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALEPLAN_PRESETS", str(tmp_path_factory.mktemp("presets")))
        yield


@pytest.fixture(scope="session")
def asked():
    """Return the question of the shared page."""
    return ASKED


@pytest.fixture(scope="session")
def text():
    """Return the shared page."""
    return report(**ASKED)


@pytest.fixture(scope="session")
def parse():
    """Return how to read a page."""
    return Page


@pytest.fixture(scope="session")
def page(text):
    """Return the shared page, read."""
    return Page(text)


@pytest.fixture(scope="session")
def tab(tmp_path_factory):
    """Return a page in a headless browser."""
    found = chromium.started(tmp_path_factory.mktemp("profile"))
    yield found
    chromium.ended(found)
