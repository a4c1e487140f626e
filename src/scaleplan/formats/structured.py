"""Results for programs: JSON, one object or one a line, with every digit and never a NaN."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["render_json", "render_jsonl"]

_LINE = json.JSONEncoder(allow_nan=False, ensure_ascii=False)
_PAGE = json.JSONEncoder(allow_nan=False, ensure_ascii=False, indent=2)


def render_json(result: dict[str, object]) -> str:
    """Return one indented JSON object, ending in a newline."""
    return _PAGE.encode(result) + "\n"


def render_jsonl(records: Iterable[dict[str, object]]) -> str:
    """Return one compact JSON object a line."""
    return "".join(_LINE.encode(record) + "\n" for record in records)
