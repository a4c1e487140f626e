"""Read a CSV or TSV file of any length in batches of rows, as the texts of its cells.

The head of the file is read as a small file is, which finds the delimiter and the names. The rest is read in pieces
of whole rows by PyArrow; a piece with anything that it reads in another way (comments, empty lines, rows that are cut
short) is read as a small file is, so that every row has the cells and the number that it has there.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from scaleplan.errors import FileError, escape_control, system_reason
from scaleplan.fitting.table import delimited_rows
from scaleplan.tables.arrow_files import library
from scaleplan.tables.cells import is_missing, is_number
from scaleplan.tables.delimited import SPACES, delimiter_of, unique_names, without_comments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.arrays import Index

__all__ = ["CsvTable", "is_csv"]

_PIECE = 1 << 22
"""Bytes that are read at once: 50,000 rows of ten numbers."""

_LONGEST = 1 << 26  # bytes in which a row has to end

_HEAD_BYTES = 1 << 18

_GZIP = b"\x1f\x8b"
_IRREGULAR = np.isin(np.arange(256), np.frombuffer(b'\n\r#"', dtype=np.uint8))
"""Bytes at the beginning of a line that is empty or a comment, or may be one."""


def is_csv(path: Path) -> bool:
    """Return whether a file is a CSV or TSV file by its ending, compressed by gzip or not."""
    suffix = path.suffix.lower()
    return (Path(path.stem).suffix.lower() if suffix == ".gz" else suffix) in {".csv", ".tsv", ".txt"}


class CsvTable:
    """The table in a CSV file: its columns, and its rows in batches.

    Raises FileError for what cannot be read, with the row where one is to blame.
    """

    columnwise = False

    def __init__(self, path: Path) -> None:
        self.name = escape_control(path.name)
        self._path = path
        head = next(self._pieces(), b"")
        text, skipped = without_comments(self._decoded(head, 0))
        if not text.strip():
            raise FileError(
                f"{self.name}: there are only comments", hint="add a row of column names, and a row a run"
            )
        self._delimiter, self._skipped = delimiter_of(text), skipped
        (names, _, _), _ = delimited_rows(text, self.name, self._delimiter, before=skipped)
        if all(is_number(cell) for cell in names if not is_missing(cell)):
            hint = "add a row of column names"
            raise FileError(f"{self.name}: the first row holds numbers, not column names", hint=hint)
        self._cells = len(names)
        self.names = unique_names(names)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[Index, Any]]:
        """Yield the numbers of rows, and the batch of them with the columns that are named; all without a name."""
        wanted = self.names if columns is None else tuple(columns)
        places = [self.names.index(name) for name in wanted]
        pieces = self._pieces()
        text, skipped = without_comments(self._decoded(next(pieces), 0))
        (_, records, rows), row = delimited_rows(text, self.name, self._delimiter, before=skipped)
        yield np.array(rows, dtype=np.intp), self._of_records(records, places, wanted)
        for piece in pieces:
            batch = self._parsed(piece, places, wanted)
            if batch is not None:
                yield np.arange(row + 1, row + 1 + batch.num_rows), batch
                row += batch.num_rows
                continue
            text = self._decoded(piece, row)
            (_, records, rows), row = delimited_rows(
                text, self.name, self._delimiter, before=row, names=("",) * self._cells
            )
            if rows:
                yield np.array(rows, dtype=np.intp), self._of_records(records, places, wanted)

    def _of_records(self, records: Sequence[Sequence[Any]], places: Sequence[int], wanted: Sequence[str]) -> Any:  # noqa: ANN401  of PyArrow
        pa = library()
        columns = [pa.array([record[place] for record in records], pa.string()) for place in places]
        return pa.record_batch(columns, names=list(wanted))

    def _parsed(self, piece: bytes, places: Sequence[int], wanted: Sequence[str]) -> Any:  # noqa: ANN401  of PyArrow
        """Return the rows of a piece as PyArrow reads them; None where it would read them in another way."""
        if self._delimiter == SPACES or _is_irregular(piece):
            return None
        pa, reader = library(), library("pyarrow.csv")
        names = [str(place) for place in range(self._cells)]
        try:
            # a piece at once: between blocks of it, earlier versions wait for ever where a row is wrong
            table = reader.read_csv(
                pa.BufferReader(piece),
                read_options=reader.ReadOptions(column_names=names, block_size=len(piece) + 1, use_threads=False),
                parse_options=reader.ParseOptions(
                    delimiter=self._delimiter, newlines_in_values=b'"' in piece, ignore_empty_lines=False
                ),
                convert_options=reader.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=[names[place] for place in places] or names[:1],
                    strings_can_be_null=False,
                ),
            )
        except (pa.ArrowException, ValueError):
            return None  # which has the row and the reason
        table = table.combine_chunks()
        arrays = [table.column(names[place]) for place in places]
        arrays = [array.chunk(0) if array.num_chunks else pa.array([], pa.string()) for array in arrays]
        if not arrays:
            return pa.record_batch([pa.nulls(table.num_rows)], names=[""])
        return pa.record_batch(arrays, names=list(wanted))

    def _pieces(self) -> Iterator[bytes]:
        """Yield the file in pieces of whole rows; the first, which has the names, is a short one."""
        rest, size, quotes = b"", _HEAD_BYTES, 0
        with self._opened() as file:
            while more := self._read(file, size):
                piece = rest + more
                # the last line feed outside of quotes, of which those before it are in pairs
                end = len(piece)
                while (end := piece.rfind(b"\n", 0, end)) >= 0:
                    quotes = piece.count(b'"', 0, end)
                    if quotes % 2 == 0:
                        break
                if end < 0:
                    if len(piece) > _LONGEST:
                        raise FileError(f"{self.name} has a row of more than {_LONGEST // 10**6} MB")
                    rest = piece
                    continue
                yield piece[: end + 1]
                rest, size = piece[end + 1 :], _PIECE
        if rest:
            yield rest

    def _opened(self) -> BinaryIO:
        try:
            with self._path.open("rb") as file:
                packed = file.read(len(_GZIP)) == _GZIP
            return cast("BinaryIO", gzip.open(self._path)) if packed else self._path.open("rb")
        except OSError as error:
            raise FileError(f"cannot read {self.name}: {system_reason(error)}") from None

    def _read(self, file: BinaryIO, size: int) -> bytes:
        try:
            return file.read(size)
        except (EOFError, OSError, zlib.error):
            raise FileError(f"{self.name}: the compressed file is damaged, or not whole") from None

    def _decoded(self, piece: bytes, row: int) -> str:
        if piece[:2] in {b"\xff\xfe", b"\xfe\xff"}:
            raise FileError(f"{self.name}: a file of this size is read in UTF-8", hint="save it as CSV in UTF-8")
        try:
            return piece.decode("utf-8-sig" if not row else "utf-8")
        except UnicodeDecodeError as error:
            row += piece.count(b"\n", 0, error.start) + 1
            raise FileError(f"{self.name}: row {row}: not UTF-8 text", hint="save the file as CSV in UTF-8") from None


def _is_irregular(piece: bytes) -> bool:
    """Return whether a piece may have empty lines or comments, ends lines in several ways, or is no text."""
    if b"\0" in piece or (b"\r" in piece and piece.count(b"\r") != piece.count(b"\r\n")):
        return True
    data = np.append(np.frombuffer(piece, dtype=np.uint8), np.uint8(0))
    begins = np.append(0, np.flatnonzero(data[:-2] == ord("\n")) + 1)
    doubtful = begins[_IRREGULAR[data[begins]]]
    quoted = data[doubtful] == ord('"')  # which begins a comment only before a number sign
    return bool((~quoted | (data[doubtful + 1] == ord("#"))).any())
