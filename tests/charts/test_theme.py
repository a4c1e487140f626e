"""The colours of pictures: contrast by the formula of WCAG 2.2, and greys that dashes tell apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import scaleplan
from scaleplan.charts.theme import THEMES, TONES, contrast, theme_of
from scaleplan.errors import UnknownNameError


def test_contrast_is_that_of_the_guideline():
    """Black on white is 21:1; #767676 is the lightest grey with 4.5:1 on white, as WCAG's own examples have it."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") >= 4.5 > contrast("#777777", "#ffffff")


@pytest.mark.parametrize("name", THEMES)
def test_lines_and_text_can_be_seen_on_their_paper(name):
    """Lines 3:1 (1.4.11), in the fitted range too; text 4.5:1 (1.4.3)."""
    theme = THEMES[name]
    for tone in range(TONES):
        for paper in (theme.paper, theme.fitted):
            assert contrast(theme.tone(tone), paper) >= 3
        assert contrast(theme.text(tone), theme.paper) >= 4.5
    for ink in (theme.ink, theme.soft):
        assert min(contrast(ink, theme.paper), contrast(ink, theme.fitted)) >= 4.5


def test_pictures_of_a_page_have_the_same_colours():
    """The style sheet of the report defines the tones of light and dark as the files have them."""
    sheet = (Path(scaleplan.__file__).parent / "output/html/style.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--(t\d): (#\w+)", part)) for part in sheet.split("@media", 2)[:2])
    for found, name in ((light, "light"), (dark, "dark")):
        assert tuple(found[f"t{tone}"] for tone in range(TONES)) == THEMES[name].tones


def test_in_print_lines_differ_without_colour():
    """Only greys, and no two tones with the same grey and the same dashes."""
    theme = THEMES["print"]
    assert all(len({tone[1:3], tone[3:5], tone[5:7]}) == 1 for tone in theme.tones)
    assert len({(theme.tone(tone), theme.stroke(tone, "measured")) for tone in range(TONES)}) == TONES
    assert theme.stroke(1, "extrapolated") not in theme.dashes


def test_an_unknown_theme_is_refused():
    """With the nearest one."""
    with pytest.raises(UnknownNameError, match="drak"):
        theme_of("drak")
