"""Read the headings of columns: names in any spelling, and the units in them (``Model Size (B)``, ``params_M``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import escape_control

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["SIZE_ROLES", "Heading", "forms", "headings", "listed", "normalised"]

_CAMEL, _NOT_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])"), re.compile(r"[^a-z0-9]+")
_BRACKETS = re.compile(r"[\[(][^\])]*[\])]")


def normalised(name: str) -> str:
    """Return a column name in lower case with single spaces: ``trainTokens`` and ``train_tokens`` are one name."""
    return _NOT_WORD.sub(" ", _CAMEL.sub(" ", name.rpartition("#")[0] or name).lower()).strip()


def listed(names: Sequence[str], *, most: int = 12) -> str:
    """Return column names for a message, shortened when there are many."""
    shown = ", ".join(f"'{escape_control(name)[:60]}'" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def forms(name: str) -> Iterator[str]:
    """Yield the name, then the name without brackets, then the ends of its path: a.b.c, b.c, c."""
    yield normalised(name)
    yield normalised(_BRACKETS.sub(" ", name))
    parts = re.split(r"[./]", name)
    if parts[-1] in {"value", "_value"} and len(parts) > 1:  # W&B nests each setting once more
        parts = parts[:-1]
        yield normalised(parts[-1])
    for start in range(1, len(parts)):
        yield normalised(".".join(parts[start:]))


SIZE_ROLES = frozenset({"params", "tokens", "flops", "unique_tokens"})
"""The roles whose headings may hold a unit."""

_PREFIXES = {"k": 3, "m": 6, "g": 9, "t": 12, "p": 15, "e": 18, "z": 21, "y": 24} | {
    name: 3 * power for power, name in enumerate(("kilo", "mega", "giga", "tera", "peta", "exa", "zetta", "yotta"), 1)
}
_COUNTS = {
    **dict.fromkeys(("k", "thousand", "thousands"), 3),
    **dict.fromkeys(("m", "mn", "mm", "mio", "mil", "million", "millions"), 6),
    **dict.fromkeys(("b", "bn", "g", "billion", "billions", "mrd"), 9),
    **dict.fromkeys(("t", "tn", "trn", "trillion", "trillions"), 12),
}
_PF_DAYS = re.compile(r"(?:pf|p ?flops?|peta ?flops?)(?: s)? ?days?")
_PF_DAY = 8.64e19  # FLOP
_FLOP_WORD = re.compile(rf"\b({'|'.join(sorted(_PREFIXES, key=len, reverse=True))}) ?flops?\b")
_POWER = re.compile(r"x?(?:1?e ?|10 )(\d{1,2})")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_COUNTED = frozenset({"params", "param", "parameters", "tokens", "token", "toks", "tok", "flop", "flops"})
_LOG10 = re.compile(r"(?i)\s*log_?10[\s_(]+(.*?)\)?\s*")


class Heading(NamedTuple):
    """A reading of a heading: the name without its unit, the factor it means, whether the cells are logarithms."""

    bare: str
    factor: float = 1.0
    log10: bool = False


def headings(name: str, role: str) -> Iterator[Heading]:
    """Yield the readings of a heading with a unit; none for one without.

    The unit stands in brackets (``Model Size (B)``, ``FLOPs [1E21]``, ``tokens (in billions)``), at the end
    (``params_M``, ``D in billions``, ``compute, PF-days``), before the name (``million tokens``) or in it
    (``ZFLOPs``). The end of a path is read like a name: ``config.params_M``.
    """
    text = name.rpartition("#")[0] or name
    if match := _LOG10.fullmatch(text):
        yield Heading(match[1], log10=True)
        return
    for match in _BRACKETS.finditer(text):
        inside = match[0][1:-1]
        factor = _unit(inside, role) or _unit(inside.partition(",")[0], role)
        if factor is not None:
            yield Heading(f"{text[: match.start()]} {text[match.end() :]}".strip() or text, factor)
    parts = re.split(r"[./]", text)
    for part in dict.fromkeys((text, parts[-1])):
        yield from _unbracketed(normalised(part).split(), role)


def _unbracketed(words: Sequence[str], role: str) -> Iterator[Heading]:
    whole = " ".join(words)
    for count in range(min(4, len(words) - 1), 0, -1):
        rest, unit = " ".join(words[:-count]), " ".join(words[-count:])
        factor = _unit(unit, role)
        if factor is not None and not (len(rest) == 1 and len(unit) == 1):
            yield Heading(rest.removesuffix(" in"), factor)
    if role != "flops":
        if len(words) > 1 and len(words[0]) > 1 and words[0] in _COUNTS:
            yield Heading(" ".join(words[1:]), 10.0 ** _COUNTS[words[0]])
    elif _PF_DAYS.fullmatch(whole):
        yield Heading("flops", _PF_DAY)
    elif match := _FLOP_WORD.search(whole):
        yield Heading(f"{whole[: match.start()]}flops{whole[match.end() :]}", 10.0 ** _PREFIXES[match[1]])


def _unit(text: str, role: str) -> float | None:
    """Return the factor that a text means as a unit (B, in millions, x10^21, ZFLOPs, PF-days); None for others."""
    plain = _SUPERSCRIPT.sub(lambda match: f" {match[0].translate(_DIGITS)}", text).replace("×", "x ")
    words = _NOT_WORD.sub(" ", plain.lower()).split()
    if len(words) > 1 and words[0] in _COUNTED:
        words = words[1:]
    if words[:1] in (["in"], ["x"], ["of"]):
        words = words[1:]
    joined = " ".join(words)
    if role == "flops" and _PF_DAYS.fullmatch(joined):
        return _PF_DAY
    if role == "flops" and (match := _FLOP_WORD.fullmatch(joined)):
        return 10.0 ** _PREFIXES[match[1]]
    if len(words) > 1 and words[-1] in _COUNTED:
        joined = " ".join(words[:-1])
    if match := _POWER.fullmatch(joined):
        return 10.0 ** int(match[1])
    known = _COUNTS if role != "flops" or len(joined) > 1 else {**_PREFIXES, **_COUNTS}
    return 10.0 ** known[joined] if joined in known else None
