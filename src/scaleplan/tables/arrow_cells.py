"""The columns of Parquet and Arrow files as cells: numbers and texts at once, and only those that are wanted as text.

Cells are the texts of the CSV file that the table would be, so that a column is read alike from every kind of file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from scaleplan.tables.arrow_files import library
from scaleplan.tables.cells import ColumnCells, Numbers
from scaleplan.tables.frames import text_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.arrays import Index
    from scaleplan.tables.arrow_files import ArrowTable
    from scaleplan.tables.cells import Cell

__all__ = ["ArrowCells", "column_blocks", "text_columns"]

_AT_ONCE = 1000
"""Cells that are made text at once where they are looked through for the first of a kind."""


class ArrowCells(ColumnCells):
    """A column of a batch of PyArrow."""

    def __init__(self, array: Any) -> None:  # noqa: ANN401  of PyArrow
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    @overload
    def __getitem__(self, place: int) -> Cell: ...

    @overload
    def __getitem__(self, place: slice) -> list[Cell]: ...

    def __getitem__(self, place: int | slice) -> Cell | list[Cell]:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step == 1:
                return [*_texts(self._array.slice(start, max(stop - start, 0)))]
            return [*_texts(self._array.take(np.arange(start, stop, step)))]
        return _texts(self._array.slice(range(len(self))[place], 1))[0]

    def __iter__(self) -> Iterator[Cell]:
        for start in range(0, len(self), _AT_ONCE):
            yield from _texts(self._array.slice(start, _AT_ONCE))

    def numbers(self) -> Numbers | None:
        """Return the cells as numbers, of which a null is absent and a NaN is not; None of a column of texts."""
        pa = library()
        if not _is_number(self._array.type):
            return None
        single = self._array.type in (pa.float16(), pa.float32())
        # single precision in its own digits, as its text is
        array = self._array.cast(pa.float32()).cast(pa.string()) if single else self._array
        values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return Numbers(values, np.asarray(self._array.is_null().to_numpy(zero_copy_only=False), dtype=bool))

    def distinct(self) -> tuple[list[str], Index]:
        """Return different cells, of which few may be alike, and which of them each cell is."""
        pa, types = library(), library("pyarrow.types")
        array = self._array
        if types.is_nested(array.type):
            array = pa.array(_texts(array), pa.string())
        encoded = array if types.is_dictionary(array.type) else array.dictionary_encode()
        texts = _texts(encoded.dictionary)
        places = encoded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False).astype(np.intp)
        return [*texts, ""], places


def column_blocks(table: ArrowTable, rows: int) -> Iterator[tuple[int, dict[str, ArrowCells]]]:
    """Yield the row of the first cells, and the columns of at least as many rows, as far as the table goes."""
    pa = library()
    gathered: list[Any] = []
    first, count = 2, 0
    for _, batch in table.batches():
        if gathered and (count >= rows or batch.schema != gathered[0].schema):
            yield first, _columns(pa.Table.from_batches(gathered))
            first, count = first + count, 0
            gathered = []
        gathered.append(batch)
        count += batch.num_rows
    if count:
        yield first, _columns(pa.Table.from_batches(gathered))


def _columns(table: Any) -> dict[str, ArrowCells]:  # noqa: ANN401  of PyArrow
    columns = table.combine_chunks()
    return {
        name: ArrowCells(column.chunk(0) if column.num_chunks == 1 else column.combine_chunks())
        for name, column in zip(columns.column_names, columns.columns, strict=True)
    }


def text_columns(table: ArrowTable) -> list[str]:
    """Return the names of the columns that are no numbers."""
    batch = next((batch for _, batch in table.batches() if batch.num_rows), None)
    if batch is None:
        return []
    return [field.name for field in batch.schema if not _is_number(field.type)]


def _is_number(kind: Any) -> bool:  # noqa: ANN401  a type of PyArrow
    types = library("pyarrow.types")
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind))


def _texts(array: Any) -> list[str]:  # noqa: ANN401  of PyArrow
    """Return the texts that a CSV file has for an array."""
    pa = library()
    if not len(array):
        return []
    if array.type == pa.string():
        return [cell or "" for cell in array.to_pylist()]
    return [row[0] for row in text_table(pa.table([array], names=["cell"])).rows]
