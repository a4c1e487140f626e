"""How many digits of a number its error justifies: the rule of the Particle Data Group.

The error keeps two digits when its three leading ones are 100 to 354, one digit from 355 to 949, and is rounded up to
1000 above; the value is rounded to the same place (Review of Particle Physics, section 5.3).
"""

from __future__ import annotations

import math

__all__ = ["rounded"]


def rounded(value: float, error: float) -> tuple[str, str]:
    """Return value and error as text.

    >>> rounded(0.347310, 0.0149)
    ('0.347', '0.015')
    >>> rounded(2143.4, 880.2)
    ('2100', '900')

    """
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return f"{value:.6g}", f"{error:.2g}"
    exponent = math.floor(math.log10(error))
    leading = round(error / 10.0 ** (exponent - 2))
    if leading >= 1000:  # 9.996 rounds into the next decade
        exponent, leading = exponent + 1, leading // 10
    place = exponent - 1 if leading <= 354 or leading >= 950 else exponent
    if leading >= 950:
        place = exponent
        error = 10.0 ** (exponent + 1)
    return _at(value, place), _at(error, place)


def _at(number: float, place: int) -> str:
    """Round to a power of ten and write no digit below it."""
    shown = round(number, -place)
    if -6 <= place <= 0:
        return f"{shown:.{-place}f}"
    if 0 < place < 7:
        return f"{shown:.0f}"
    digits = max(0, math.floor(math.log10(abs(shown))) - place) if shown else 0
    return f"{shown:.{digits}e}"
