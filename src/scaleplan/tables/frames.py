"""Read a table in memory as the CSV file that it would be: of pandas, Polars, Arrow, columns in a dict, or records.

Every cell becomes the text that a CSV file has for it, so that what follows is that of a file: the same numbers, the
same rows (the header is row 1), the same warnings. The index of a data frame is left out, as it is no column.

A null is no value, and a NaN among numbers is one that was computed: the text ``nan``. pandas and NumPy know no null,
and their NaN is no value; nor is it one among texts.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard

import numpy as np

from scaleplan.errors import FileError, UsageError, quote

if TYPE_CHECKING:
    from pathlib import Path

    from narwhals.typing import IntoFrame

__all__ = [
    "FRAME",
    "MOST_CELLS",
    "TOO_LARGE",
    "TableLike",
    "TextTable",
    "TooLargeError",
    "collected",
    "frame_slice",
    "is_frame",
    "is_path",
    "opened_frame",
    "require_names",
    "source_name",
    "table_shape",
    "text_table",
    "too_many_cells",
]

TableLike: TypeAlias = "str | Path | IntoFrame | Mapping[str, Any] | Sequence[Any]"
"""A table as Python gives it: a file, or a data frame, a dict of columns, a list of records."""

FRAME = "data frame"
"""What a table in memory is called in place of the name of a file."""

_KINDS = (
    "a path, a data frame (pandas, Polars, PyArrow), a dict of columns, a list of dicts, or what scaleplan.runs gave"
)

MOST_CELLS = 10_000_000
"""The largest table, rows times columns, that is read whole."""

TOO_LARGE = "keep one row for each run, with its final loss; of a history with a row a step, --last keeps it"
"""The way out of a table that is too large."""


class TooLargeError(FileError):
    """A table is too large to be read whole; of a history the final rows can be."""


class TextTable(NamedTuple):
    """The names of columns, and the text of each cell by rows; an empty text is no value."""

    names: Sequence[str]
    rows: list[list[str]]

    def csv(self) -> bytes:
        """Return the table as a CSV file in UTF-8."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.names, *self.rows])
        return out.getvalue().encode()


def is_frame(value: object) -> bool:
    """Return whether a value is a table rather than a path, or an iterable of paths."""
    if isinstance(value, list | tuple):
        return bool(value) and not is_path(value[0])
    frame = any(hasattr(value, name) for name in ("columns", "column_names", "dtype"))
    return isinstance(value, Mapping) or (frame and not isinstance(value, str | os.PathLike))


def is_path(value: object) -> TypeGuard[str | Path]:
    """Return whether a value names a file, or standard input; whatever else a table is read from is in memory."""
    return isinstance(value, str | os.PathLike)


def source_name(source: object) -> str:
    """Return what a table is called: its path, or that it is in memory."""
    return str(source) if is_path(source) else FRAME


def text_table(value: object, *, name: str | None = None) -> TextTable:
    """Return a table in memory as the text of its cells; ``name`` is the file that it is from, for errors.

    Raises UsageError for what is no table, FileError for a table without rows, with columns of one name or of
    different lengths, or one that is too large.
    """
    called = name or FRAME
    columns = _columns(value, called)
    lengths = {name: len(cells) for name, cells in columns}
    if len(set(lengths.values())) > 1:
        longest, shortest = max(lengths, key=lengths.__getitem__), min(lengths, key=lengths.__getitem__)
        sizes = f"{quote(longest)} has {lengths[longest]} values, {quote(shortest)} has {lengths[shortest]}"
        raise FileError(f"{called}: the columns differ in length: {sizes}")
    count = max(lengths.values(), default=0)
    require_names([name for name, _ in columns], called)
    if not count:
        raise FileError(f"{_the(called)} has no rows", hint="give one row for each run")
    if count * len(columns) > MOST_CELLS:
        raise too_many_cells(called)
    names = tuple(name for name, _ in columns)
    return TextTable(names, [list(row) for row in zip(*(_texts(cells) for _, cells in columns), strict=True)])


def require_names(names: Sequence[str], called: str) -> None:
    """Refuse columns of one name, and names that are numbers.

    Raises FileError.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _twice(twice[0], called)
    if names and all(name.lstrip("-").isdecimal() for name in names):
        hint = "name them: params, tokens, loss"
        raise FileError(f"the columns of {_the(called)} have numbers, not names", hint=hint)


def too_many_cells(called: str) -> FileError:
    """Return the error for a table that is too large to be read whole."""
    return TooLargeError(f"{_the(called)} has more than {MOST_CELLS:,} cells", hint=TOO_LARGE)


def _the(called: str) -> str:
    return f"the {called}" if called == FRAME else called


_Columns = list[tuple[str, Sequence[Any]]]


def _columns(value: object, called: str) -> _Columns:
    """Return the columns of whatever has some, by name."""
    if isinstance(value, Mapping):
        return [(_name(name), _cells(cells, _name(name))) for name, cells in value.items()]
    if isinstance(value, list | tuple):
        return _of_records(value)
    if getattr(getattr(value, "dtype", None), "names", None):  # a structured array of NumPy
        return [(name, _without_nan(value[name].tolist())) for name in value.dtype.names]  # type: ignore[attr-defined, index]
    return _of_frame(value, called)


def _of_frame(value: object, called: str) -> _Columns:
    """Return the columns of a data frame of any library that narwhals knows."""
    return [(_name(series.name), _of_series(series)) for series in opened_frame(value, called).iter_columns()]


def opened_frame(value: object, called: str = FRAME) -> Any:  # noqa: ANN401  of narwhals
    """Return a data frame of any library that narwhals knows as one of narwhals.

    Raises UsageError for what is no data frame, FileError for one with columns of one name.
    """
    import narwhals as nw  # only where there is a data frame

    try:
        frame: Any = nw.from_native(value)
    except nw.exceptions.DuplicateError:
        listed: Any = getattr(value, "column_names", None)  # Arrow's; its columns are data
        names = [_name(name) for name in (getattr(value, "columns", ()) if listed is None else listed)]
        raise _twice(next((name for name in names if names.count(name) > 1), "?"), called) from None
    except TypeError:
        raise UsageError(f"runs are no {type(value).__name__}", hint=f"give {_KINDS}") from None
    return frame.collect() if isinstance(frame, nw.LazyFrame) else frame


def collected(value: object) -> Any:  # noqa: ANN401  of any library
    """Return a table in memory, of a lazy frame its rows, so that it can be read more than once."""
    return value if _is_plain(value) else opened_frame(value).to_native()


def table_shape(value: object) -> tuple[int, int]:
    """Return how many rows and columns a table in memory has; raises UsageError for what is none."""
    if isinstance(value, Mapping):
        return max((len(cells) for cells in value.values() if hasattr(cells, "__len__")), default=0), len(value)
    if isinstance(value, list | tuple):
        first = next(iter(value), ())
        return len(value), len(first) if hasattr(first, "__len__") else 1
    if _is_plain(value):
        return len(value), len(value.dtype.names)  # type: ignore[attr-defined, arg-type]
    rows, columns = opened_frame(value).shape
    return rows, columns


def frame_slice(value: Any, start: int, end: int) -> Any:  # noqa: ANN401  of any library
    """Return some rows of a table in memory: a dict, a list or an array as it is, another as a frame of narwhals."""
    if isinstance(value, Mapping):
        return {name: cells[start:end] for name, cells in value.items()}
    return value[start:end] if _is_plain(value) else opened_frame(value)[start:end]


def _is_plain(value: object) -> bool:
    """Return whether a table is none of a library of data frames."""
    return isinstance(value, Mapping | list | tuple) or bool(getattr(getattr(value, "dtype", None), "names", None))


def _of_series(series: Any) -> Sequence[Any]:  # noqa: ANN401  of narwhals
    """Return the values of a column; single precision in its own digits, as its text is."""
    values: list[Any] = series.to_list()
    if series.implementation.is_pandas_like():
        values = _without_nan(values)
    if str(series.dtype) != "Float32":
        return values
    return [np.float32(value) if isinstance(value, float) else value for value in values]


def _of_records(items: Sequence[object]) -> _Columns:
    """Return the columns of records: mappings, named tuples, dataclasses; nested keys are joined by dots."""
    rows: list[dict[str, object]] = []
    for position, item in enumerate(items, 1):
        if isinstance(item, Mapping):
            record: Mapping[Any, object] = item
        elif is_dataclass(item) and not isinstance(item, type):
            record = {each.name: getattr(item, each.name) for each in fields(item)}
        elif hasattr(item, "_asdict"):
            record = item._asdict()
        else:
            raise UsageError(
                f"item {position} of the runs is no record, but {type(item).__name__}", hint=f"give {_KINDS}"
            )
        rows.append(dict(_flat(record, "")))
    names = dict.fromkeys(name for row in rows for name in row)
    return [(name, [row.get(name) for row in rows]) for name in names]


def _flat(record: Mapping[Any, object], prefix: str) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for key, value in record.items():
        name = f"{prefix}{key}"
        found += _flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return found


def _cells(value: object, name: str) -> Sequence[Any]:
    """Return the values of a column of a dict: a list, a tuple, an array or a series."""
    if isinstance(value, list | tuple):
        return value
    for method in ("to_list", "to_pylist", "tolist"):
        if hasattr(value, method):
            found: object = getattr(value, method)()
            if isinstance(found, list):
                return _without_nan(found) if type(value).__module__.startswith(_WITHOUT_NULL) else found
    raise UsageError(f"column {quote(name)} is no list of values, but {type(value).__name__}", hint=f"give {_KINDS}")


_WITHOUT_NULL = ("pandas", "numpy")
"""Modules of series and arrays whose only sign for no value is NaN."""


def _without_nan(values: Sequence[Any]) -> list[Any]:
    """Return the values of a column of which a NaN is none."""
    return [None if isinstance(value, float) and value != value else value for value in values]  # noqa: PLR0124


def _name(name: object) -> str:
    """Return the name of a column; that of several levels as one, joined by dots."""
    return ".".join(str(part) for part in name if str(part)) if isinstance(name, tuple) else str(name)


def _twice(name: str, called: str) -> FileError:
    what = f"two columns of {_the(called)} are called {quote(name)}"
    return FileError(what, hint="rename one of them, or drop it")


def _texts(cells: Sequence[Any]) -> Iterable[str]:
    """Return the texts that a CSV file has for the cells of a column, which are mostly of one kind."""
    kinds = set(map(type, cells))
    if kinds == {str}:
        return cells
    if kinds == {int}:
        return map(str, cells)
    if kinds == {float}:
        return map(repr, cells)
    return map(_text, _without_nan(cells) if str in kinds else cells)


def _text(value: Any) -> str:  # noqa: ANN401  a cell of any library
    """Return the text that a CSV file has for a cell."""
    if isinstance(value, str):
        return value
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # of pandas, which may not be there
        return ""
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, default=_text, ensure_ascii=False)
    if isinstance(value, bytes):  # how some writers of Parquet have texts
        return value.decode(errors="backslashreplace")
    text = str(value)  # a decimal, a date, a number of NumPy
    return "" if text in ("NaT", "None", "<NA>") else text
