"""Read columns of a batch of PyArrow as those of a table that is whole are read: their numbers, and their texts.

Distinct cells are read once, by the same functions as the cells of a small table.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scaleplan.errors import FileError, quote
from scaleplan.fitting.mapping import ColumnMapping
from scaleplan.fitting.row_choice import is_written_nan
from scaleplan.fitting.table import RawTable
from scaleplan.tables.arrow_cells import ArrowCells
from scaleplan.tables.arrow_files import library
from scaleplan.tables.cells import to_text
from scaleplan.tables.frames import text_table

if TYPE_CHECKING:
    from scaleplan.arrays import Array, Index, Mask

__all__ = ["Batch", "distinct_cells", "numbers_of", "plain_column", "plain_numbers", "text_rows", "texts_of"]

Batch: TypeAlias = Any
"""A record batch of PyArrow, which has no types of its own."""


def plain_column(name: str) -> ColumnMapping:
    """Return the mapping of a column that is read as it stands."""
    return ColumnMapping(text=name, column=name)


def plain_numbers(name: str, batch: Batch) -> Array:
    """Return the numbers of a column of a batch, NaN where a cell has none."""
    return numbers_of(plain_column(name), batch)[0]


def numbers_of(mapped: ColumnMapping, batch: Batch) -> tuple[Array, Mask]:
    """Return the numbers of a batch as :meth:`ColumnMapping.numbers` has them, and where a NaN is written."""
    nowhere = np.zeros(batch.num_rows, dtype=bool)
    if mapped.factors:
        values = np.ones(batch.num_rows)
        for factor, exponent in mapped.factors:
            with np.errstate(all="ignore"):
                numbers = numbers_of(factor, batch)[0]
                values = values * numbers if exponent > 0 else values / numbers
        return values, nowhere
    if mapped.column is None:
        constant = math.nan if mapped.constant is None else mapped.constant
        return np.full(batch.num_rows, constant * mapped.scale), nowhere
    array = batch.column(mapped.column)
    plain = None if mapped.pattern is not None else _as_numbers(array)
    if plain is None:
        return _numbers_of_texts(mapped, array)
    values, written = plain
    with np.errstate(all="ignore"):
        return (10.0**values if mapped.log10 else values) * mapped.scale * mapped.heading, written


def _as_numbers(array: Any) -> tuple[Array, Mask] | None:  # noqa: ANN401  of PyArrow
    """Return an array of numbers, or of plain texts of them, at once; None for any other."""
    pa, types = library(), library("pyarrow.types")
    nowhere = np.zeros(len(array), dtype=bool)
    kind = array.type
    if types.is_null(kind):
        return np.full(len(array), math.nan), nowhere
    if types.is_integer(kind) or types.is_floating(kind):
        values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return values, _written_nans(values, array)
    if not (types.is_string(kind) or types.is_large_string(kind)):
        return None
    compute = library("pyarrow.compute")
    try:
        filled = compute.if_else(compute.equal(array, pa.scalar("", kind)), pa.scalar(None, kind), array)
        numbers = filled.cast(pa.float64())
    except pa.ArrowException:
        return None
    values = numbers.to_numpy(zero_copy_only=False)
    return values, _written_nans(values, numbers)


def _written_nans(values: Array, array: Any) -> Mask:  # noqa: ANN401  of PyArrow
    """Return where the values of an array are NaN, rather than null."""
    found = np.isnan(values)
    if found.any() and array.null_count:
        found &= array.is_valid().to_numpy(zero_copy_only=False)
    return found


_COMMAS = re.compile(r"[+-]?[\d.]*\d,\d[\d.,]*(?:[eE][+-]?\d+)?\s*[a-zA-Z%]*")
"""A number with a comma, of thousands or a decimal one, which only a whole column tells."""


def _numbers_of_texts(mapped: ColumnMapping, array: Any) -> tuple[Array, Mask]:  # noqa: ANN401  of PyArrow
    """Return the numbers in an array of texts: each text is read once."""
    table, places = distinct_cells(mapped, array)
    values = mapped.numbers(table)[0]
    texts = [to_text(cell) for cell in mapped.cells(table)]
    doubtful = next((text for text in texts if _COMMAS.fullmatch(text)), None)
    if doubtful is not None:
        hint = "write numbers without commas: 1439.5, 1000000"
        raise FileError(
            f"{quote(doubtful)} in column {quote(mapped.column or '')} of a table of this size", hint=hint
        )
    written = np.array([is_written_nan(text) for text in texts], dtype=bool) & np.isnan(values)
    return values[places], written[places]


def texts_of(mapped: ColumnMapping, batch: Batch) -> tuple[list[str], Index]:
    """Return the texts of a batch as :meth:`ColumnMapping.texts` has them: each once, and the place of each row's."""
    if mapped.factors or mapped.column is None:
        values, places = np.unique(numbers_of(mapped, batch)[0], return_inverse=True)
        return [to_text(value) for value in values.tolist()], places.reshape(-1)
    table, places = distinct_cells(mapped, batch.column(mapped.column))
    return mapped.texts(table), places


def distinct_cells(mapped: ColumnMapping, array: Any) -> tuple[RawTable, Index]:  # noqa: ANN401  of PyArrow
    """Return a table of the distinct cells of a column, and the place of each row in it."""
    texts, places = ArrowCells(array).distinct()
    records, rows = [[text] for text in texts], tuple(range(len(texts)))
    return RawTable(source="", sha256="", names=(mapped.column or "",), records=records, rows=rows), places


def text_rows(batch: Batch) -> list[list[str]]:
    """Return the cells of a batch as the texts that they have in a CSV file."""
    if not batch.num_rows:
        return []
    pa = library()
    if all(field.type == pa.string() for field in batch.schema):
        columns = [[cell or "" for cell in column.to_pylist()] for column in batch.columns]
        return [list(row) for row in zip(*columns, strict=True)]
    return text_table(pa.Table.from_batches([batch])).rows
