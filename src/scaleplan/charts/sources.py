"""What a picture stands on, in a line below it: its laws with their citations, and the runs they were fitted to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.units import format_count, format_flops, format_number, format_range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scaleplan.presets.preset import Preset

__all__ = ["law_source", "laws_source", "range_of_runs"]

_CITED = re.compile(r"(?P<authors>[^,]*\d{4}).*?(?P<number>arXiv:\S+)")

_WRITTEN: dict[str, tuple[Callable[[float], str], str]] = {
    "flops": (lambda value: format_flops(value).removesuffix(" FLOP"), "FLOP"),
    "params": (format_count, "parameters"),
    "tokens": (format_count, "tokens"),
    "tokens_per_param": (format_number, "tokens per parameter"),
}


def range_of_runs(preset: Preset) -> str:
    """Return the ranges that a law was fitted on, in words; empty where none is stated."""
    found = []
    for name, (written, unit) in _WRITTEN.items():
        span: tuple[float, float] | None = getattr(preset.range, name)
        if span is not None:
            found.append(f"{format_range(*span, written)} {unit}")
    return ", ".join(found)


def law_source(preset: Preset) -> str:
    """Return the law of a picture with its citation and its range."""
    known = range_of_runs(preset)
    fitted = f"fitted to runs of {known}" if known else "the range it was fitted on is not stated"
    return f"Law: {preset.id}, {preset.source}; {fitted}."


def laws_source(presets: Iterable[Preset]) -> str:
    """Return the laws of a picture with short citations, those of one source together."""
    by_source: dict[str, list[str]] = {}
    for preset in presets:
        by_source.setdefault(_short(preset.source), []).append(preset.id)
    cited = "; ".join(f"{', '.join(ids)}: {source}" for source, ids in by_source.items())
    return f"Laws: {cited}." if cited else ""


def _short(source: str) -> str:
    """Return authors, year and number of a paper; another source as it stands."""
    found = _CITED.match(source)
    return f"{found['authors']} ({found['number'].rstrip('.,;')})" if found else source
