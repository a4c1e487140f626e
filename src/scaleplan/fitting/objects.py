"""The rows and columns in a JSON document or a stream of JSON lines.

Read are a list of objects, an object of columns, an object with one list of objects, an object of runs by name, and
one object a line. Nested keys become dotted paths: ``config.data.train_tokens``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, quote
from scaleplan.fitting.cells import MAX_CELLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scaleplan.fitting.cells import Cell

__all__ = ["read_objects"]

_DEEPEST = 20  # levels of nesting; trackers write four or five
_SHAPES = "a list of objects, an object of columns, or one object a line is read"

Rows = tuple[tuple[str, ...], list[list["Cell"]], tuple[int, ...]]


def read_objects(text: str, *, source: str, lines: bool) -> Rows:
    """Return column names, records and row numbers of a JSON document, or of one object a line.

    Raises
    ------
    FileError
        When the text is not JSON, nested too deeply, or not a table; with the row where one is to blame.

    """
    if lines or _starts_with_whole_object(text):
        return _read_lines(text, source)
    document = _parse(text, where=source)
    objects = _objects(document, source)
    return _tabulated(enumerate(objects, 1), source)


def _starts_with_whole_object(text: str) -> bool:
    """Whether the first line is an object by itself and something follows: JSON Lines without the suffix."""
    first, _, rest = text.lstrip().partition("\n")
    if not (first.startswith("{") and first.rstrip().endswith("}") and rest.strip()):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _read_lines(text: str, source: str) -> Rows:
    found = []
    for row, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        value = _parse(line, where=f"{source}: row {row}")
        if not isinstance(value, dict):
            raise FileError(f"{source}: row {row}: expected an object, found {_kind(value)}")
        found.append((row, value))
    return _tabulated(found, source)


def _parse(text: str, *, where: str) -> object:
    try:
        return json.loads(text)
    except RecursionError:
        raise FileError(f"{where}: nested too deeply") from None
    except json.JSONDecodeError as error:
        line = f"row {error.lineno}, " if error.lineno > 1 else ""
        raise FileError(f"{where}: not valid JSON ({line}character {error.colno}: {error.msg.lower()})") from None
    except ValueError:  # an integer of more digits than Python converts
        raise FileError(f"{where}: a number has too many digits") from None


def _objects(document: object, source: str) -> list[Mapping[str, object]]:
    """Return one mapping a run from any of the shapes that are read."""
    if isinstance(document, list):
        for row, item in enumerate(document, 1):
            if not isinstance(item, dict):
                raise FileError(f"{source}: row {row}: expected an object, found {_kind(item)}", hint=_SHAPES)
        return document
    if not isinstance(document, dict):
        raise FileError(f"{source}: this JSON document is {_kind(document)}", hint=_SHAPES)
    tables = [
        value for value in document.values() if isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    if len(tables) == 1:
        return _objects(tables[0], source)
    values = list(document.values())
    if values and all(isinstance(value, list) for value in values):
        return _from_columns(document, source)
    if values and all(isinstance(value, dict) for value in values):
        keys = [tuple(value) for value in values]
        if len(set(keys)) == 1 and all(key.isdigit() for key in keys[0]):  # pandas' to_json
            return _from_columns({name: list(column.values()) for name, column in document.items()}, source)
        return [{"key": key, **value} for key, value in document.items()]
    if len(values) > 1 and not any(isinstance(value, list | dict) for value in values):
        return [{"key": key, "value": value} for key, value in document.items()]
    raise FileError(f"{source}: this JSON document is not a table of runs", hint=_SHAPES)


def _from_columns(columns: Mapping[str, list[object]], source: str) -> list[Mapping[str, object]]:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        longest = max(lengths, key=lambda name: lengths[name])
        shortest = min(lengths, key=lambda name: lengths[name])
        sizes = f"{quote(longest)} has {lengths[longest]} values, {quote(shortest)} has {lengths[shortest]}"
        raise FileError(f"{source}: the columns differ in length: {sizes}")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _tabulated(objects: Iterable[tuple[int, Mapping[str, object]]], source: str) -> Rows:
    positions: dict[str, int] = {}
    flat: list[tuple[int, dict[str, Cell]]] = []
    for row, item in objects:
        cells: dict[str, Cell] = {}
        _flatten(item, "", cells, depth=0, where=f"{source}: row {row}")
        for name in cells:
            positions.setdefault(name, len(positions))
        if len(positions) * (len(flat) + 1) > MAX_CELLS:
            raise FileError(f"{source}: row {row}: more than {MAX_CELLS:,} cells, counting every key for every row")
        flat.append((row, cells))
    records = [[cells.get(name) for name in positions] for _, cells in flat]
    return tuple(positions), records, tuple(row for row, _ in flat)


def _flatten(item: Mapping[str, object], prefix: str, cells: dict[str, Cell], *, depth: int, where: str) -> None:
    """Collect the scalars of nested objects under dotted paths; lists inside a run are histories, not values."""
    if depth > _DEEPEST:
        raise FileError(f"{where}: nested more than {_DEEPEST} levels deep")
    for key, value in item.items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            _flatten(value, path, cells, depth=depth + 1, where=where)
        elif value is None or isinstance(value, str | int | float):
            if path in cells:
                raise FileError(f"{where}: two keys are called {quote(path)} once nested keys are joined by dots")
            cells[path] = value


def _kind(value: object) -> str:
    names = {list: "a list", dict: "an object", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
