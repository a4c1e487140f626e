"""How much room text takes in a picture, measured without a font: by the widths of DejaVu Sans, which is a wide one.

PNG and PDF files are set in that font; an SVG takes one of the reader's own, which is as wide or narrower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["text_width", "wrapped"]

# advance widths of DejaVu Sans 2.37 in thousandths of the size, from the space to the tilde
_WIDTHS = (
    (318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337)
    + (636,) * 10
    + (337, 337, 838, 838, 838, 531, 1000)
    + (684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787, 603, 787, 695, 635, 611, 732, 684)
    + (989, 685, 611, 685, 390, 337, 390, 838, 500, 500)
    + (613, 635, 550, 635, 615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592)
    + (818, 592, 592, 525, 636, 337, 636, 838)
)
_OTHER = 838  # signs such as a minus; letters of other alphabets are no wider on average
_WIDE = 1000
_FIRST_WIDE = 0x1100  # from here on come scripts that are as wide as high
_BOLD = 1.13  # the mean of the bold letters over that of the regular ones


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a line of text of a size, in the unit of the size."""
    width = sum(
        _WIDTHS[ord(sign) - 32]
        if " " <= sign <= "~"
        else _OTHER
        if ord(sign) < _FIRST_WIDE or sign in "–—−…×"
        else _WIDE
        for sign in text
    )
    return width * size / 1000 * (_BOLD if bold else 1.0)


def wrapped(text: str, width: float, size: float, *, bold: bool = False) -> Iterator[str]:
    """Yield the lines of a text that is at most ``width`` wide; a longer word stands alone on a line."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if line and text_width(longer, size, bold=bold) > width:
            yield line
            line = word
        else:
            line = longer
    if line:
        yield line
