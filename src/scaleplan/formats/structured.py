"""Results for programs: JSON, one object or one a line, with every digit and never a NaN."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["encode", "render_json", "render_jsonl"]

_LINE = json.JSONEncoder(allow_nan=False, ensure_ascii=False)
_PAGE = json.JSONEncoder(allow_nan=False, ensure_ascii=False, indent=2)


def encode(value: object) -> str:
    """Return a value as JSON on one line; ValueError for a number that JSON does not have."""
    return _LINE.encode(value)


def render_json(result: dict[str, object]) -> str:
    """Return one indented JSON object, ending in a newline."""
    return _PAGE.encode(result) + "\n"


def render_jsonl(records: Iterable[dict[str, object]]) -> str:
    """Return one compact JSON object a line."""
    return "".join(encode(record) + "\n" for record in records)
