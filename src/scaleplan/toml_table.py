"""A TOML table: read by typed getters whose errors name the key, written so that equal tables give equal bytes.

A getter checks the type and the domain of one key and names the whole key path when it refuses:
``law.toml: coefficients.alpha: expected a number above 0``.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, TypeVar

from scaleplan.errors import FileError, did_you_mean, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["Table", "toml_text"]

_T = TypeVar("_T")


class Table:
    """A mapping read from the file ``source``, with typed getters; ``path`` is its key path inside the file."""

    __slots__ = ("_seen", "data", "path", "source")

    def __init__(self, data: Mapping[str, object], *, source: str, path: str = "") -> None:
        self.data = data
        self.source = source
        self.path = path
        self._seen: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self.data

    @property
    def read(self) -> frozenset[str]:
        """The keys that a getter was called for."""
        return frozenset(self._seen)

    def _where(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def error(self, key: str, expected: str, *, hint: str | None = None) -> FileError:
        """Return the error for one key: where it is, what was expected, what was found."""
        found = f", found {quote(self.data[key])}" if key in self.data else ""
        return FileError(f"{self.source}: {self._where(key)}: {expected}{found}", hint=hint)

    def _read(self, key: str, default: _T | None, check: Callable[[object], _T | None], expected: str) -> _T:
        """Return the value that ``check`` accepts, None being its refusal; ``default`` where the key is absent."""
        self._seen.add(key)
        if key not in self.data:
            if default is None:
                raise self.error(key, "this key is missing")
            return default
        value = check(self.data[key])
        if value is None:
            raise self.error(key, f"expected {expected}")
        return value

    def raw(self, key: str) -> object:
        """Return whatever stands at ``key``, None when it is absent; the caller checks what it is."""
        self._seen.add(key)
        return self.data.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; ``default`` when absent, an error when there is no default."""
        return self._read(key, default, lambda value: value if isinstance(value, str) else None, "text in quotes")

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

        def check(value: object) -> float | None:
            number = _finite(value)
            outside = number is None or (
                (above is not None and number <= above)
                or (at_least is not None and number < at_least)
                or (at_most is not None and number > at_most)
            )
            return None if outside else number

        bounds = (("above", above), ("of at least", at_least), ("of at most", at_most))
        expected = "".join(f" {name} {bound:g}" for name, bound in bounds if bound is not None)
        return self._read(key, default, check, f"a finite number{expected}")

    def optional_number(self, key: str, *, above: float | None = None, at_least: float | None = None) -> float | None:
        """Return a number, or None when the key is absent."""
        self._seen.add(key)
        return self.number(key, above=above, at_least=at_least) if key in self.data else None

    def integer(self, key: str, default: int | None = None, *, at_least: int = 0) -> int:
        """Return a whole number of at least ``at_least``."""

        def check(value: object) -> int | None:
            whole = isinstance(value, int) and not isinstance(value, bool)
            return value if whole and value >= at_least else None  # type: ignore[operator, return-value]

        return self._read(key, default, check, f"a whole number of at least {at_least}")

    def boolean(self, key: str, *, default: bool | None = None) -> bool:
        """Return true or false."""
        return self._read(key, default, lambda value: value if isinstance(value, bool) else None, "true or false")

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return a list of strings."""

        def check(value: object) -> tuple[str, ...] | None:
            good = isinstance(value, list) and all(isinstance(item, str) for item in value)
            return tuple(value) if good else None  # type: ignore[arg-type]

        return self._read(key, default, check, "a list of texts")

    def numbers(self, key: str, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """Return a list of finite floats."""
        return self._read(key, default, _all_finite, "a list of numbers")

    def matrix(self, key: str) -> tuple[tuple[float, ...], ...]:
        """Return a list of equally long lists of finite floats."""
        lists = self._read(
            key,
            None,
            lambda value: value if isinstance(value, list) and all(isinstance(row, list) for row in value) else None,
            "a list of lists of numbers",
        )
        rows = [row for row in map(_all_finite, lists) if row is not None]
        if len(rows) < len(lists) or len({len(row) for row in rows}) > 1:
            raise self.error(key, "expected lists of numbers, all of one length")
        return tuple(rows)

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
        return Table(value, source=self.source, path=self._where(key))

    def tables(self, key: str) -> list[Table]:
        """Return the array of tables at ``key``; an empty list when absent."""
        self._seen.add(key)
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, "expected an array of tables")
        return [Table(item, source=self.source, path=f"{self._where(key)}[{i}]") for i, item in enumerate(value)]

    def done(self) -> None:
        """Refuse keys that no getter has read: a misspelt key must not be ignored in silence."""
        for key in self.data:
            if key not in self._seen:
                close = did_you_mean(key, self._seen)
                known = f"known keys: {', '.join(sorted(self._seen))}" if self._seen else "no key is known here"
                hint = f"did you mean '{close}'?" if close else known
                raise FileError(f"{self.source}: {quote(self._where(key))}: unknown key", hint=hint)


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _all_finite(value: object) -> tuple[float, ...] | None:
    numbers = [_finite(item) for item in value] if isinstance(value, list) else [None]
    return None if None in numbers else tuple(item for item in numbers if item is not None)


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(table: Mapping[str, object]) -> str:
    """Return a mapping of texts, booleans, finite numbers, lists and mappings as a TOML document.

    Lists of mappings become arrays of tables, lists of lists one row a line.

    >>> print(toml_text({"id": "mine", "range": {"params": [1e8, 7e9]}}), end="")
    id = "mine"
    <BLANKLINE>
    [range]
    params = [100000000.0, 7000000000.0]
    """
    return "\n".join(_lines(table, ())).strip("\n") + "\n"


def _lines(table: Mapping[str, object], path: tuple[str, ...]) -> Iterator[str]:
    """Yield the scalars of a table first: what follows a header belongs to it."""
    nested = {key: _tables(value) for key, value in table.items()}
    for key, value in table.items():
        if not nested[key]:
            yield f"{_key(key)} = {_value(value)}"
    for key, tables in nested.items():
        name = ".".join(map(_key, (*path, key)))
        for item in tables:
            yield ""
            yield f"[{name}]" if isinstance(table[key], dict) else f"[[{name}]]"
            yield from _lines(item, (*path, key))


def _tables(value: object) -> list[dict[str, object]]:
    """Return the table or the tables that a value is; none for a scalar or a list of scalars."""
    items = [value] if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    return list(items) if all(isinstance(item, dict) for item in items) else []


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
