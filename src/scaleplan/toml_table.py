"""Tables from files → typed values, and results → plain mappings.

A :class:`Table` is a mapping that knows where it came from. Its getters check the type and the domain of one
key and name the whole key path when they refuse: ``law.toml: coefficients.alpha: expected a number above 0``.


Plain mappings as TOML text: the writing half of what the standard library only reads.

Tables keep the order of their keys and every digit of a float, so that equal mappings give equal bytes.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from scaleplan.errors import FileError, did_you_mean, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from dataclasses import Field

__all__ = ["Result", "Table", "as_mapping", "as_record", "toml_text"]


class Table:
    """A mapping read from a file, with typed getters.

    Parameters
    ----------
    data
        The mapping as parsed.
    source
        The file it came from, as shown to the user.
    path
        The key path of this table inside the file, ``""`` at the top.

    """

    __slots__ = ("_seen", "data", "path", "source")

    def __init__(self, data: Mapping[str, object], *, source: str, path: str = "") -> None:
        self.data = data
        self.source = source
        self.path = path
        self._seen: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def error(self, key: str, expected: str, *, hint: str | None = None) -> FileError:
        """Return the error for one key: where it is, what was expected, what was found."""
        where = f"{self.path}.{key}" if self.path else key
        found = f", found {quote(self.data[key])}" if key in self.data else ""
        return FileError(f"{self.source}: {where}: {expected}{found}", hint=hint)

    def _get(self, key: str) -> object:
        self._seen.add(key)
        if key not in self.data:
            raise self.error(key, "this key is missing")
        return self.data[key]

    def raw(self, key: str) -> object:
        """Return whatever stands at ``key``, None when it is absent; the caller checks what it is."""
        self._seen.add(key)
        return self.data.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; ``default`` when absent, an error when there is no default."""
        self._seen.add(key)
        if default is not None and key not in self.data:
            return default
        value = self._get(key)
        if not isinstance(value, str):
            raise self.error(key, "expected text in quotes")
        return value

    def choice(self, key: str, choices: Iterable[str], default: str | None = None) -> str:
        """Return one of ``choices``."""
        value = self.text(key, default)
        known = list(choices)
        if value not in known:
            close = did_you_mean(value, known)
            hint = f"did you mean '{close}'?" if close else None
            raise self.error(key, f"expected one of {', '.join(known)}", hint=hint)
        return value

    def number(
        self,
        key: str,
        default: float | None = None,
        *,
        above: float | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> float:
        """Return a finite float inside the bounds; ``default`` when absent."""
        self._seen.add(key)
        if default is not None and key not in self.data:
            return default
        value = self._get(key)
        expected = _expected_number(above, at_least, at_most)
        number = _finite(value)
        if number is None:
            raise self.error(key, f"expected {expected}")
        if (
            (above is not None and number <= above)
            or (at_least is not None and number < at_least)
            or (at_most is not None and number > at_most)
        ):
            raise self.error(key, f"expected {expected}")
        return number

    def optional_number(self, key: str, *, above: float | None = None, at_least: float | None = None) -> float | None:
        """Return a number, or None when the key is absent."""
        self._seen.add(key)
        return self.number(key, above=above, at_least=at_least) if key in self.data else None

    def integer(self, key: str, default: int | None = None, *, at_least: int = 0) -> int:
        """Return a whole number of at least ``at_least``."""
        self._seen.add(key)
        if default is not None and key not in self.data:
            return default
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise self.error(key, f"expected a whole number of at least {at_least}")
        return value

    def boolean(self, key: str, *, default: bool | None = None) -> bool:
        """Return true or false."""
        self._seen.add(key)
        if default is not None and key not in self.data:
            return default
        value = self._get(key)
        if not isinstance(value, bool):
            raise self.error(key, "expected true or false")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a list of strings."""
        self._seen.add(key)
        if default is not None and key not in self.data:
            return default
        value = self._get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, "expected a list of texts")
        return tuple(value)

    def numbers(self, key: str, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """Return a list of finite floats."""
        self._seen.add(key)
        if default is not None and key not in self.data:
            return default
        value = self._get(key)
        numbers = [_finite(item) for item in value] if isinstance(value, list) else [None]
        if any(item is None for item in numbers):
            raise self.error(key, "expected a list of numbers")
        return tuple(item for item in numbers if item is not None)

    def matrix(self, key: str) -> tuple[tuple[float, ...], ...]:
        """Return a list of equally long lists of finite floats."""
        value = self._get(key)
        if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
            raise self.error(key, "expected a list of lists of numbers")
        rows = [[_finite(item) for item in row] for row in value]
        if any(item is None for row in rows for item in row) or len({len(row) for row in rows}) > 1:
            raise self.error(key, "expected lists of numbers, all of one length")
        return tuple(tuple(item for item in row if item is not None) for row in rows)

    def interval(self, key: str) -> tuple[float, float] | None:
        """Return ``[low, high]`` with 0 < low <= high, or None when absent."""
        self._seen.add(key)
        if key not in self.data:
            return None
        values = self.numbers(key)
        if len(values) != 2 or not 0 < values[0] <= values[1]:
            raise self.error(key, "expected [low, high] with 0 < low <= high")
        return values[0], values[1]

    def table(self, key: str) -> Table:
        """Return the table at ``key``; an empty one when absent."""
        self._seen.add(key)
        value = self.data.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, "expected a table")
        return Table(value, source=self.source, path=f"{self.path}.{key}" if self.path else key)

    def tables(self, key: str) -> list[Table]:
        """Return the array of tables at ``key``; an empty list when absent."""
        self._seen.add(key)
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, "expected an array of tables")
        where = f"{self.path}.{key}" if self.path else key
        return [Table(item, source=self.source, path=f"{where}[{i}]") for i, item in enumerate(value)]

    def done(self) -> None:
        """Refuse keys that no getter has asked for: a misspelt key must not be ignored in silence."""
        for key in self.data:
            if key not in self._seen:
                close = did_you_mean(key, self._seen)
                hint = f"did you mean '{close}'?" if close else f"known keys: {', '.join(sorted(self._seen))}"
                where = f"{self.path}.{key}" if self.path else key
                raise FileError(f"{self.source}: {quote(where)}: unknown key", hint=hint)


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _expected_number(above: float | None, at_least: float | None, at_most: float | None) -> str:
    parts = []
    if above is not None:
        parts.append(f"above {above:g}")
    if at_least is not None:
        parts.append(f"of at least {at_least:g}")
    if at_most is not None:
        parts.append(f"of at most {at_most:g}")
    return " ".join(["a finite number", *parts])


class Result(Protocol):
    """A dataclass that names the schema of its JSON form."""

    schema: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


def as_record(result: Result) -> dict[str, object]:
    """Return a result as the mapping that ``--json`` prints: its schema, then its fields."""
    return {"schema": result.schema, **{item.name: as_mapping(getattr(result, item.name)) for item in fields(result)}}


def as_mapping(value: object) -> object:
    """Return a result as plain mappings, lists and scalars; numbers that are not finite become None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_mapping(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): as_mapping(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_mapping(item) for item in value]
    return value


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
