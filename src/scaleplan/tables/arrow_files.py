"""Read Parquet files and Arrow files (Feather, IPC, streams) in batches of rows, and a folder of them as one table.

They are recognised by their first bytes, and read by PyArrow, an extra of the package. A struct becomes a column for
each of its fields, joined by dots; the folders of a partitioned table, ``corpus=c4/part-0.parquet``, become columns.
No more of a file than the columns and the batch that are read is in memory, whatever the size of its row groups.
"""

from __future__ import annotations

import io
import os
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast
from urllib.parse import unquote

import numpy as np

from scaleplan.errors import FileError, UsageError, escape_control, quote, system_reason
from scaleplan.tables.frames import (
    FRAME,
    MOST_CELLS,
    TOO_LARGE,
    TextTable,
    TooLargeError,
    frame_slice,
    require_names,
    table_shape,
    text_table,
    too_many_cells,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scaleplan.arrays import Index

    Batch = Any
    """A record batch of PyArrow, which has no types of its own."""

__all__ = [
    "ENDINGS",
    "ArrowTable",
    "FrameTable",
    "arrow_kind",
    "arrow_parts",
    "csv_stream",
    "has_library",
    "is_arrow",
    "library",
]

ENDINGS = frozenset({".parquet", ".pq", ".arrow", ".feather", ".ipc", ".arrows"})
"""Endings of files that are recognised by their content as well."""

_PARQUET, _ENCRYPTED, _ARROW, _FEATHER_1, _STREAM = b"PAR1", b"PARE", b"ARROW1", b"FEA1", b"\xff\xff\xff\xff"

_ROWS = 1 << 16
"""Rows of a batch: 65,536 rows of ten numbers take 5 MB."""

_BUFFER = 1 << 20  # bytes of a column that are read at once, rather than all of a row group

_MOST_ROWS = 2_000_000_000
"""The longest table: a damaged file can claim any number of rows in a few bytes."""

_LARGEST_TEXT = 32_000_000  # bytes of the texts of a table that is read whole, as of a CSV file

_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def arrow_kind(head: bytes) -> str | None:
    """Return ``parquet``, ``arrow`` or ``stream`` for the first bytes of a file; None for what is none of them.

    Raises FileError for a file that is encrypted, or of a form that is no longer written.
    """
    if head.startswith(_PARQUET):
        return "parquet"
    if head.startswith(_ENCRYPTED):
        raise FileError("this Parquet file is encrypted", hint="write it without encryption, or as CSV")
    if head.startswith(_ARROW):
        return "arrow"
    if head.startswith(_FEATHER_1):
        raise FileError("this is a Feather file of version 1", hint="write it again: Feather 2 is an Arrow file")
    return "stream" if head.startswith(_STREAM) and len(head) > len(_STREAM) else None


def is_arrow(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a Parquet or Arrow file that can be read."""
    try:
        return arrow_kind(head) is not None
    except FileError:
        return False


def library(name: str = "pyarrow") -> Any:  # noqa: ANN401  it has no types
    """Return PyArrow, or a module of it; raises UsageError where it is not installed, or does not work here."""
    try:
        return import_module(name)
    except ImportError as error:
        needs = "Parquet and Arrow files, and long histories, are read by PyArrow"
        if not isinstance(error, ModuleNotFoundError):  # as beside a NumPy that is too old for it
            reason = " ".join(str(error).split())
            hint = "pip install --upgrade numpy pyarrow"
            raise UsageError(f"{needs}, which cannot be loaded: {reason}", hint=hint) from None
        raise UsageError(f"{needs}, which is not installed", hint="pip install 'scaleplan[tables]'") from None


def has_library() -> bool:
    """Return whether PyArrow is installed."""
    return find_spec("pyarrow") is not None


def arrow_parts(folder: Path) -> list[Path]:
    """Return the Parquet and Arrow files of a partitioned table, by name; none of a folder that holds something else.

    Names that begin with ``.`` or ``_`` are those of what writers keep beside a table.
    """
    found: list[Path] = []
    for above, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        seen = [Path(above, name) for name in names if not name.startswith((".", "_"))]
        if any(path.suffix.lower() not in ENDINGS for path in seen):
            return []
        found += seen
    return sorted(found)


class ArrowTable:
    """The table in Parquet or Arrow files: its columns, and its rows in batches.

    ``parts`` are the files, or what is in memory of one, each with the columns that its folders give. Rows have the
    numbers of the CSV file that the table would be, whose header is row 1.

    Raises FileError for what cannot be read, with the name of the file.
    """

    def __init__(self, name: str, parts: Sequence[tuple[Path | bytes, dict[str, str]]]) -> None:
        self.name = name
        self._parts = [_Part(content, given, name) for content, given in parts]
        names = dict.fromkeys(column for part in self._parts for column in part.names)
        names |= dict.fromkeys(column for part in self._parts for column in part.given)
        for part in self._parts:
            # a file may have the columns of its folders too, of which those of the folders count, as elsewhere
            require_names([*part.names, *(key for key in part.given if key not in part.names)], name)
        self.names = tuple(names)
        if not self.names:
            raise FileError(f"{name}: the table has no columns")
        counts = [part.count for part in self._parts]
        self.count = None if None in counts else sum(count for count in counts if count is not None)
        if (self.count or 0) > _MOST_ROWS:
            raise FileError(f"{name} claims {self.count:,} rows, more than {_MOST_ROWS:,}")

    @property
    def size(self) -> int:
        """How many bytes the files have."""
        return sum(part.size for part in self._parts)

    @property
    def columnwise(self) -> bool:
        """Whether a batch may be as large as the file, so that it is better read column by column."""
        return any(part.kind != "parquet" for part in self._parts)

    @classmethod
    def of_folder(cls, folder: Path, name: str) -> ArrowTable:
        """Return the table that the files of a folder are."""
        parts: list[tuple[Path | bytes, dict[str, str]]] = []
        for path in arrow_parts(folder):
            pairs = [part.partition("=") for part in path.relative_to(folder).parts[:-1]]
            parts.append((path, {unquote(key): unquote(value) for key, equals, value in pairs if equals}))
        return cls(name, parts)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[Index, Batch]]:
        """Yield the numbers of rows, and the batch of them with the columns that are named; all without a name."""
        pa = library()
        wanted = self.names if columns is None else tuple(columns)
        start = 2
        for part in self._parts:
            for batch in part.batches([name for name in wanted if name in part.names]):
                arrays = [part.column(batch, name) for name in wanted]
                yield np.arange(start, start + batch.num_rows), pa.record_batch(arrays, names=list(wanted))
                start += batch.num_rows
                if start > _MOST_ROWS:
                    raise FileError(f"{self.name} has more than {_MOST_ROWS:,} rows")

    def text(self) -> TextTable:
        """Return the table as the text of its cells.

        Raises FileError for a table without rows, TooLargeError for one that is too large to be read whole.
        """
        if (self.count or 0) * len(self.names) > MOST_CELLS:
            raise too_many_cells(self.name)
        found: TextTable | None = None
        size = 0
        for _, batch in self.batches():
            if not batch.num_rows:
                continue
            if batch.nbytes > _LARGEST_TEXT * 4:  # text of numbers is shorter than 4 times their bytes
                raise TooLargeError(f"{self.name} has more than {_LARGEST_TEXT // 10**6} MB of text", hint=TOO_LARGE)
            more = text_table(library().Table.from_batches([batch]), name=self.name)
            found = more if found is None else found
            if found is not more:
                found.rows.extend(more.rows)
            size += sum(len(cell) + 1 for row in more.rows for cell in row)
            if size > _LARGEST_TEXT:
                raise TooLargeError(f"{self.name} has more than {_LARGEST_TEXT // 10**6} MB of text", hint=TOO_LARGE)
        if found is None:
            raise FileError(f"{self.name} has no rows", hint="give one row for each run")
        return found


def csv_stream(table: ArrowTable) -> BinaryIO:
    """Return a table as the CSV file that it would be, written as it is read."""
    return cast("BinaryIO", io.BufferedReader(_CsvStream(table), buffer_size=_BUFFER))


class _CsvStream(io.RawIOBase):
    """The CSV file of a table, a batch at a time."""

    def __init__(self, table: ArrowTable) -> None:
        self._pieces = self._written(table)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return that this can be read."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  any writable buffer
        """Fill a buffer as far as a batch goes; returns how many bytes it has, none at the end."""
        while not self._rest and (piece := next(self._pieces, None)) is not None:
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    @staticmethod
    def _written(table: ArrowTable) -> Iterator[bytes]:
        yield TextTable(table.names, []).csv()
        for _, batch in table.batches():
            if batch.num_rows:
                rows = text_table(library().Table.from_batches([batch]), name=table.name).rows
                yield TextTable(rows[0], rows[1:]).csv()


class FrameTable:
    """A data frame, a dict of columns or a list of records, and its rows in batches."""

    columnwise = False

    def __init__(self, value: object) -> None:
        self.name = FRAME
        self._value = value
        self.count = table_shape(value)[0]
        first = next(self._slices(None), None)
        self.names: tuple[str, ...] = () if first is None else tuple(first.schema.names)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[Index, Batch]]:
        """Yield the numbers of rows, and the batch of them with the columns that are named; all without a name."""
        start = 2
        for batch in self._slices(columns):
            yield np.arange(start, start + batch.num_rows), batch
            start += batch.num_rows

    def _slices(self, columns: Sequence[str] | None) -> Iterator[Batch]:
        for start in range(0, self.count, _ROWS):
            batch = _arrow_slice(self._value, start, start + _ROWS)
            yield batch if columns is None else batch.select(list(columns))


def _arrow_slice(value: object, start: int, end: int) -> Batch:
    """Return some rows of a table in memory; a column that Arrow has no type for as the text of its cells."""
    pa = library()
    part = frame_slice(value, start, end)
    try:
        if hasattr(part, "to_arrow"):  # a frame of narwhals
            table = part.to_arrow()
            columns = [_whole(column) for column in table.columns]
            return _flattened(pa.record_batch(columns, names=table.column_names))
        if isinstance(part, dict) and all(hasattr(cells, "dtype") for cells in part.values()):
            arrays = [pa.array(cells, from_pandas=True) for cells in part.values()]
            return _flattened(pa.record_batch(arrays, names=[*map(str, part)]))
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError):
        part = part.to_native() if hasattr(part, "to_native") else part
    found = text_table(part)
    texts = [pa.array(cells, pa.string()) for cells in zip(*found.rows, strict=True)]
    return pa.record_batch(texts, names=list(found.names))


class _Part:
    """One file of a table."""

    def __init__(self, content: Path | bytes, given: dict[str, str], name: str) -> None:
        self.given = given
        self._content = content
        self._name = name if isinstance(content, bytes) else escape_control(content.name)
        self.size = len(content) if isinstance(content, bytes) else _size(content)
        self.count: int | None = None
        with self._reading() as reading:
            self.kind = reading.kind
            schema = reading.schema()
            self.count = reading.count(len(schema))
            # by position: a file may have columns of one name
            self._fields = {name: field for field in schema for name in _flat_names(field)}
            self.names = tuple(name for field in schema for name in _flat_names(field))
            self._top = [field.name for field in schema]

    def _reading(self) -> _Reading:
        return _Reading(self._content, self._name)

    def batches(self, columns: Sequence[str]) -> Iterator[Batch]:
        """Yield batches with the columns that are named, flat; of no name, with none but the number of their rows."""
        fields = list(dict.fromkeys(self._fields[name].name for name in columns)) or self._top[:1]
        with self._reading() as reading:
            yield from reading.batches(fields, self._top)

    def column(self, batch: Batch, name: str) -> Any:  # noqa: ANN401  an array of PyArrow
        """Return a column of a batch of this file, of its folders, or without a value."""
        pa = library()
        if name in self.given:
            value = self.given[name]
            dictionary = pa.array([None if value == _NULL_PARTITION else value], pa.string())
            indices = pa.array(np.zeros(batch.num_rows, dtype=np.int32))
            return pa.DictionaryArray.from_arrays(indices, dictionary)
        return batch.column(name) if name in self.names else pa.nulls(batch.num_rows)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise FileError(f"cannot read {escape_control(path.name)}: {system_reason(error)}") from None


class _Reading:
    """A file that is open, whose errors are those of the file."""

    def __init__(self, content: Path | bytes, name: str) -> None:
        self._content = content
        self._name = name
        self.kind = "parquet"
        self.opened: Any = None
        self._handle: Any = None

    def __enter__(self) -> Self:
        self._guarded(self._open)
        return self

    def __exit__(self, *error: object) -> None:
        self.opened = None
        if self._handle is not None:
            self._handle.close()
            if self.kind != "parquet":  # a batch may have been as large as the file
                library().default_memory_pool().release_unused()

    def _open(self) -> None:
        content, pa = self._content, library()
        # a file of Arrow reads the columns that are wanted; of another file it reads all that lies between
        self._handle = pa.BufferReader(content) if isinstance(content, bytes) else pa.OSFile(str(content))
        kind = arrow_kind(self._handle.read(8))
        if kind is None:
            raise FileError(f"{self._name}: this is no Parquet or Arrow file")
        self.kind = kind
        self._handle.seek(0)
        if kind == "parquet":
            parquet = library("pyarrow.parquet")
            self.opened = parquet.ParquetFile(self._handle, buffer_size=_BUFFER, pre_buffer=False)
        else:
            self.opened = self._ipc(None)

    def _ipc(self, fields: list[int] | None) -> Any:  # noqa: ANN401  a reader of PyArrow
        ipc = library("pyarrow.ipc")
        self._handle.seek(0)
        options = ipc.IpcReadOptions(included_fields=fields)
        opening = ipc.open_file if self.kind == "arrow" else ipc.open_stream
        return opening(self._handle, options=options)

    def count(self, columns: int) -> int | None:
        """Return how many rows the file has; None for a stream, which does not tell."""
        if self.kind == "parquet":
            rows: int = self.opened.metadata.num_rows
            return rows
        if self.kind == "stream" or not columns:
            return None
        reader = self._guarded(lambda: self._ipc([0]))
        parts = range(reader.num_record_batches)
        return sum(self._guarded(partial(reader.get_batch, part)).num_rows for part in parts)

    def schema(self) -> Any:  # noqa: ANN401  of PyArrow
        """Return the columns of the file, whose names are text: those of a damaged one fail where they are read."""
        schema = self.opened.schema_arrow if self.kind == "parquet" else self.opened.schema
        self._guarded(lambda: [_flat_names(field) for field in schema])
        return schema

    def batches(self, fields: Sequence[str], top: Sequence[str]) -> Iterator[Batch]:
        """Yield batches of at most :data:`_ROWS` rows."""
        found = iter(self._guarded(lambda: self._batches(fields, top)))
        while (batch := self._guarded(lambda: next(found, None))) is not None:
            self._guarded(partial(batch.validate, full=True))  # what is damaged is found here, or crashes later
            for start in range(0, batch.num_rows, _ROWS):
                yield self._guarded(partial(_flattened, batch.slice(start, _ROWS)))

    def _batches(self, fields: Sequence[str], top: Sequence[str]) -> Iterator[Batch]:
        if self.kind == "parquet":
            yield from self.opened.iter_batches(batch_size=_ROWS, columns=list(fields))
            return
        reader = self._ipc([top.index(field) for field in fields])
        if self.kind == "stream":
            yield from reader
            return
        for position in range(reader.num_record_batches):
            yield reader.get_batch(position)

    def _guarded(self, do: Callable[[], Any]) -> Any:  # noqa: ANN401  what it does returns anything
        """Do what reads the file; raises FileError where it is damaged."""
        pa = library()
        try:
            return do()
        except FileError as error:
            found = error.message if self._name in error.message else f"{self._name}: {error.message}"
            raise FileError(found, hint=error.hint) from None
        except NotImplementedError as error:  # Arrow's derives from it
            raise FileError(f"{self._name} has a type that is not read: {_first_line(error)}") from None
        except MemoryError:
            raise FileError(f"{self._name} does not fit the memory") from None
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, EOFError) as error:
            if "crypt" in str(error).lower():
                hint = "write it without encryption, or as CSV"
                raise FileError(f"{self._name}: this Parquet file is encrypted", hint=hint) from None
            raise FileError(f"{self._name} is damaged, or not whole: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    text = (str(error).strip().splitlines() or ["no reason is given"])[0]
    return quote(text[:150])


def _flat_names(field: Any) -> list[str]:  # noqa: ANN401  of PyArrow
    """Return the columns that a field becomes: those of a struct, joined by dots."""
    types = library("pyarrow.types")
    if not types.is_struct(field.type) or not field.type.num_fields:
        return [field.name]
    inner = [field.type.field(position) for position in range(field.type.num_fields)]
    return [f"{field.name}.{name}" for each in inner for name in _flat_names(each)]


def _flattened(batch: Batch) -> Batch:
    """Return a batch whose structs are columns of their fields, and whose texts are of the type that all can read."""
    pa, types = library(), library("pyarrow.types")
    while any(types.is_struct(field.type) and field.type.num_fields for field in batch.schema):
        table = pa.Table.from_batches([batch]).flatten()
        batch = pa.record_batch([_whole(column) for column in table.columns], names=table.column_names)
    if any(types.is_string_view(_values(field.type)) for field in batch.schema):
        views = [types.is_string_view(_values(column.type)) for column in batch.columns]
        arrays = [_as_string(column) if view else column for column, view in zip(batch.columns, views, strict=True)]
        batch = pa.record_batch(arrays, names=batch.schema.names)
    return batch


def _as_string(column: Any) -> Any:  # noqa: ANN401  of PyArrow
    pa = library()
    try:
        return column.cast(pa.string())
    except NotImplementedError:  # of earlier versions
        return pa.array(column.to_pylist(), pa.string())


def _values(kind: Any) -> Any:  # noqa: ANN401  a type of PyArrow
    """Return the type of the values of a column, which may be coded."""
    return kind.value_type if library("pyarrow.types").is_dictionary(kind) else kind


def _whole(column: Any) -> Any:  # noqa: ANN401  of PyArrow
    """Return a column as one array."""
    if not hasattr(column, "num_chunks"):
        return column
    joined = column if column.num_chunks == 1 else column.combine_chunks()
    if not hasattr(joined, "num_chunks"):
        return joined
    return joined.chunk(0) if joined.num_chunks else library().array([], column.type)
