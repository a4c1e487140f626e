"""The colours and strokes of pictures: light, dark, and for print.

Colours of light and dark are those of Okabe and Ito 2008 (Color Universal Design), which people with any of the
common forms of colour blindness can tell apart; where one has too little contrast on its paper it is darkened or
lightened within its hue. Contrast is that of WCAG 2.2: at least 3:1 for lines (1.4.11) and 4.5:1 for text (1.4.3).
For print lines are told apart by grey and by dashes.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EXTRAPOLATED", "THEMES", "TONES", "Theme", "contrast", "theme_of"]

TONES = 9
"""The number of tones; after that they repeat."""

EXTRAPOLATED = (2.0, 3.5)
"""Lengths of dashes and gaps outside the fitted range, in every theme: short, and unlike the dashes of a tone."""

_TEXT = 4.5  # WCAG 2.2, 1.4.3
_STEP = 0.02


class Theme(NamedTuple):
    """A theme: colours as ``#rrggbb``, and the dashes of each tone, empty for an unbroken line."""

    paper: str
    ink: str
    soft: str
    grid: str
    fitted: str
    tones: tuple[str, ...]
    dashes: tuple[tuple[float, ...], ...] = ((),) * TONES

    def tone(self, number: int) -> str:
        """Return the colour of a line or a marker."""
        return self.tones[number % TONES]

    def text(self, number: int) -> str:
        """Return the colour of text in a tone: moved towards the ink until it can be read on the paper."""
        colour, share = self.tone(number), 0.0
        while contrast(colour, self.paper) < _TEXT:
            share += _STEP
            colour = _between(self.tone(number), self.ink, share)
        return colour

    def stroke(self, number: int, style: str) -> tuple[float, ...]:
        """Return the dashes of a line of a tone in a style."""
        if style == "extrapolated":
            return EXTRAPOLATED
        if style == "dashed":
            return (7.0, 4.0)
        return () if style == "near_optimal" else self.dashes[number % TONES]


THEMES: Mapping[str, Theme] = MappingProxyType(
    {
        "light": Theme(
            paper="#ffffff",
            ink="#16191d",
            soft="#565d66",
            grid="#e4e6e8",
            fitted="#f1f1ea",
            tones=(
                "#0072b2",
                "#d55e00",
                "#009e73",
                "#c76a9c",
                "#16191d",
                "#b87f00",
                "#388fc5",
                "#6f7a00",
                "#7f7f7f",
            ),
        ),
        "dark": Theme(
            paper="#16191d",
            ink="#e8eaed",
            soft="#aab1ba",
            grid="#2e343b",
            fitted="#22272c",
            tones=(
                "#56b4e9",
                "#f0854a",
                "#2cc295",
                "#e2a0c6",
                "#e8eaed",
                "#e69f00",
                "#9bd3f5",
                "#d8cc3c",
                "#9a9a9a",
            ),
        ),
        "print": Theme(
            paper="#ffffff",
            ink="#000000",
            soft="#404040",
            grid="#dedede",
            fitted="#f2f2f2",
            tones=(
                "#000000",
                "#5e5e5e",
                "#303030",
                "#858585",
                "#000000",
                "#5e5e5e",
                "#303030",
                "#858585",
                "#707070",
            ),
            dashes=(
                (),
                (9.0, 3.0),
                (9.0, 3.0, 2.0, 3.0),
                (),
                (14.0, 3.0),
                (5.0, 2.0),
                (9.0, 3.0, 2.0, 3.0, 2.0, 3.0),
                (14.0, 3.0, 4.0, 3.0),
                (),
            ),
        ),
    }
)
"""The themes, by name."""


def theme_of(name: str) -> Theme:
    """Return a theme; raises UnknownNameError for another name."""
    if name not in THEMES:
        raise UnknownNameError("theme", name, THEMES)
    return THEMES[name]


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours by WCAG 2.2, from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    """Return the relative luminance of a colour in sRGB, by WCAG 2.2."""
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in _shares(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _shares(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _between(colour: str, other: str, share: float) -> str:
    mixed = (
        round(255 * (a + (b - a) * min(share, 1.0))) for a, b in zip(_shares(colour), _shares(other), strict=True)
    )
    return "#" + "".join(f"{value:02x}" for value in mixed)
