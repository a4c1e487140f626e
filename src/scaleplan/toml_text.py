"""Plain mappings as TOML text: the writing half of what the standard library only reads.

Tables keep the order of their keys and every digit of a float, so that equal mappings give equal bytes.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["toml_text"]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(table: Mapping[str, object]) -> str:
    """Return a mapping of texts, booleans, finite numbers, lists and mappings as a TOML document.

    Lists of mappings become arrays of tables, lists of lists one row a line.

    Raises
    ------
    TypeError, ValueError
        For a value of another type, or a float that is not finite.

    Examples
    --------
    >>> print(toml_text({"id": "mine", "range": {"params": [1e8, 7e9]}}), end="")
    id = "mine"
    <BLANKLINE>
    [range]
    params = [100000000.0, 7000000000.0]

    """
    return "\n".join(_lines(table, ())).strip("\n") + "\n"


def _lines(table: Mapping[str, object], path: tuple[str, ...]) -> Iterator[str]:
    """Yield the scalars of a table first: what follows a header belongs to it."""
    tables = {key: value for key, value in table.items() if _is_table(value) or _is_tables(value)}
    for key, value in table.items():
        if key not in tables:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in tables.items():
        where = (*path, key)
        name = ".".join(map(_key, where))
        for item in [value] if isinstance(value, dict) else _items(value):
            yield ""
            yield f"[{name}]" if isinstance(value, dict) else f"[[{name}]]"
            yield from _lines(_mapping(item), where)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _is_tables(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, dict) for item in value)


def _items(value: object) -> list[object]:
    assert isinstance(value, list | tuple)
    return list(value)


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    """JSON's escapes are TOML's, except that TOML also wants the delete character escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            msg = f"{value} does not belong in a file that is read back"
            raise ValueError(msg)
        return repr(float(value))
    if isinstance(value, list | tuple):
        cells = [_value(item) for item in value]
        if any(isinstance(item, list | tuple) for item in value):
            return "[\n" + "".join(f"  {cell},\n" for cell in cells) + "]"
        return f"[{', '.join(cells)}]"
    msg = f"{type(value).__name__} has no form in TOML"
    raise TypeError(msg)
