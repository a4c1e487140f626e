"""The documentation stays in step: a short README, its translation with the same commands, links that lead on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"

pytestmark = pytest.mark.skipif(not (ROOT / "docs" / "index.md").is_file(), reason="the pages lie in the repository")

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"^((?:\w+/)?[\w-]+)$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")


def pages():
    return [README, CHINESE, *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_readme_is_short():
    lines = README.read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 130
    assert "Chinchilla" in " ".join(lines[:10])


def test_the_translation_has_the_same_code_and_leads_to_the_same_pages():
    english, chinese = (page.read_text(encoding="utf-8") for page in (README, CHINESE))

    assert _BLOCK.findall(chinese) == _BLOCK.findall(english)
    assert [link for link in _links(chinese) if link != "README.md"] == [
        link for link in _links(english) if link != "README.zh-CN.md"
    ]
    assert len(re.findall("^#", chinese, re.MULTILINE)) == len(re.findall("^#", english, re.MULTILINE))


def _links(text: str) -> list[str]:
    return [one or other for one, other in _LINK.findall(_CODE.sub("", text))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page):
    for link in _links(page.read_text(encoding="utf-8")):
        target = link.partition("#")[0]
        if target and "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), f"{page.name} links to {link}"


def test_every_page_is_reached_from_the_index():
    docs = ROOT / "docs"
    listed = _NAME.findall((docs / "index.md").read_text(encoding="utf-8"))

    assert {str(page.relative_to(docs).with_suffix("")) for page in docs.rglob("*.md")} <= {*listed, "index"}
