"""Read TensorBoard event files: records with checksums, and in each the bytes of one event.

A record is its length, a checksum of the length, the event, and a checksum of the event; the checksums are CRC-32C,
rotated and shifted ("masked"). Of an event the time, the step and the scalars of its summary are read: as
``simple_value``, or as a ``tensor`` of one number, as newer writers have it. Records of one length mostly differ in
these numbers alone: one of them is parsed, and tells where they stand in all that equal it elsewhere.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from scaleplan.logs.log_file import run_name
from scaleplan.logs.metric_run import MetricRun, by_step
from scaleplan.logs.metrics import EVALUATION, role_of, split_named
from scaleplan.logs.recorder import Recorder
from scaleplan.tables.cells import Numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy import uint8, uint32
    from numpy.typing import NDArray

    from scaleplan.arrays import Array, Index
    from scaleplan.logs.log_file import LogFile

__all__ = ["masked_crc", "read", "read_files", "recognise"]

_HEADER, _FOOTER = 12, 4  # bytes: length and its checksum; checksum of the event
_LONGEST_SCALAR = 4096
"""Bytes of an event beyond which it is a picture, a histogram or a graph, and is not looked into."""

_LONGEST_RECORD = 1 << 30  # bytes; a record that claims more is damaged
_CHUNK = 1 << 23
_FEW = 8  # records of one shape that are parsed one by one
_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected
_MASK_DELTA = 0xA282EAD8


def recognise(file: LogFile) -> bool:
    """Return whether a file is one of events: the file's mark, or a length with its checksum."""
    head = file.head[:64]
    if b"brain.Event:" in head:
        return True
    if len(head) < _HEADER or not file.name.startswith("events.out.tfevents"):
        return False
    return (
        int(masked_crc(np.frombuffer(head[:8], dtype=np.uint8)[None, :])[0]) == struct.unpack_from("<I", head, 8)[0]
    )


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the run of an event file."""
    yield from read_files([file])


def read_files(files: Sequence[LogFile]) -> Iterator[Recorder]:
    """Yield the run of event files that were written one after the other, in the order of their first events."""
    first = files[0]
    recorder = Recorder(run_name(first.path), first.source, line=1, format_name="tensorboard-events")
    run = MetricRun(recorder)
    damaged, cut = 0, False
    for file in sorted(files, key=_began) if len(files) > 1 else files:
        stream = _Records(file)
        folder = "" if file.path is None else file.path.parent.name
        evaluated = len(files) > 1 and split_named(folder) in EVALUATION
        for found in stream:
            _add(
                run, {f"{folder}/{tag}": columns for tag, columns in found.items()} if evaluated else found, evaluated
            )
        damaged += stream.damaged
        cut = cut or stream.cut
        if stream.damaged:
            records = "record" if stream.damaged == 1 else "records"
            recorder.warn(
                "damaged_records",
                f"{stream.damaged} {records} of {file.name} do not match their checksum, and are left out",
            )
    if cut:
        recorder.warn("cut", "the last record is cut off: the file was being written, or its writer was stopped")
    yield recorder


def _began(file: LogFile) -> tuple[float, str]:
    """Return the time of the first event of a file, and its name."""
    try:
        wall = _parse(file.head[_HEADER : _HEADER + struct.unpack_from("<Q", file.head)[0]])
    except (struct.error, ValueError, IndexError):
        return float("inf"), file.name
    return (float("inf") if wall is None else wall.wall), file.name


def _add(run: MetricRun, found: dict[str, tuple[Array, Array, Array, Index]], evaluated: bool) -> None:
    """Give the values of a stretch of the file to the run, in the order of the records.

    The times of a file that a validation alone is written to are none of the training.
    """
    names = [name for name in found if role_of(name) is not None]
    if not names:
        return
    places = np.unique(np.concatenate([found[name][3] for name in names]))
    steps, walls = np.full(len(places), np.nan), np.full(len(places), np.nan)
    numbers: dict[str, Numbers] = {}
    for name in names:
        of_name, values, wall, place = found[name]
        rows = np.searchsorted(places, place)
        column, absent = np.full(len(places), np.nan), np.ones(len(places), dtype=bool)
        column[rows], absent[rows] = values, False
        steps[rows], walls[rows] = of_name, wall
        numbers[name] = Numbers(column, absent)
    if not evaluated:
        numbers["wall_time"] = Numbers(walls, np.zeros(len(places), dtype=bool))
    order = by_step(numbers, steps)
    if order is not None:
        numbers = {name: each.take(order) for name, each in numbers.items()}
        steps, places = steps[order], places[order]
    run.extend(numbers, steps, lambda row: int(places[row]) + 1)


class _Scalar(NamedTuple):
    """A scalar of an event: its tag, its value, and where in the event its number stands, in which NumPy type."""

    tag: str
    value: float
    place: int
    kind: str


class _Event(NamedTuple):
    """An event: its time and step with their places, the end of the step, and its scalars."""

    wall: float
    wall_place: int
    step: int
    step_place: int
    step_end: int
    scalars: tuple[_Scalar, ...]


class _Records:
    """The scalars of a file, as columns for each stretch of it; how many records were damaged, and a cut last one."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self.damaged = 0
        self.cut = False
        self._count = 0

    def __iter__(self) -> Iterator[dict[str, tuple[Array, Array, Array, Index]]]:
        """Yield, by tag, the steps, values, times and numbers of records."""
        rest = b""
        skip = 0  # bytes of a long record that are not looked at
        for chunk in self._file.raw(_CHUNK):
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            data = rest + chunk[skip:]
            starts, lengths, position = self._frames(data)
            skip = max(0, position - len(data))
            rest = data[position:] if position < len(data) else b""
            if starts:
                yield self._scalars(np.frombuffer(data, dtype=np.uint8), starts, lengths)
        self.cut = bool(rest) or skip > 0

    def _frames(self, data: bytes) -> tuple[list[int], list[int], int]:
        """Return where the events of whole records begin, their lengths, and where the first other record begins."""
        position = 0
        starts: list[int] = []
        lengths: list[int] = []
        while True:
            checked = len(starts)
            position, is_stuck = _walk(data, position, starts, lengths)
            wrong = _first_wrong(data, starts, checked)
            if wrong is not None:  # a wrong length leads anywhere
                position = starts[wrong] - _HEADER
                del starts[wrong:], lengths[wrong:]
            elif not is_stuck:
                return starts, lengths, position
            if starts and not _is_whole(data, starts[-1], lengths[-1]):  # bytes of it are missing, and it led too far
                position = starts.pop() - _HEADER
                del lengths[-1]
            self.damaged += 1
            position = _next_record(data, position + 1)

    def _scalars(
        self, data: NDArray[uint8], starts: list[int], lengths: list[int]
    ) -> dict[str, tuple[Array, Array, Array, Index]]:
        begins, sizes = np.array(starts), np.array(lengths)
        numbers = self._count + np.arange(len(begins))
        self._count += len(begins)
        found: dict[str, list[tuple[Array, Array, Array, Index]]] = {}
        for size in np.unique(sizes).tolist():
            rows = np.flatnonzero(sizes == size)
            events = sliding_window_view(data, size)[begins[rows]]
            sums = sliding_window_view(data, _FOOTER)[begins[rows] + size].view("<u4")[:, 0]
            right = masked_crc(events) == sums
            self.damaged += int(np.count_nonzero(~right))
            for tag, columns in _by_shape(events[right], numbers[rows[right]]):
                found.setdefault(tag, []).append(columns)
        merged = {}
        for tag, pieces in found.items():
            steps, values, walls, places = (np.concatenate(each) for each in zip(*pieces, strict=True))
            order = np.argsort(places, kind="stable")
            merged[tag] = steps[order], values[order], walls[order], places[order]
        return merged


def _by_shape(events: NDArray[uint8], numbers: Index) -> Iterator[tuple[str, tuple[Array, Array, Array, Index]]]:
    """Yield the tag and the columns of the scalars of events of one length.

    One event is parsed; all that have the same bytes where it has no number are read at its places.
    """
    left = np.arange(len(events))
    while len(left):
        sample = events[left[0]]
        event = _parse(sample.tobytes())
        if event is None or not event.scalars or event.wall_place < 0:
            same = np.zeros(len(left), dtype=bool)
            same[0] = True
            if event is not None and not event.scalars:
                left = left[1:]
                continue
        else:
            fixed = np.ones(len(sample), dtype=bool)
            fixed[event.wall_place : event.wall_place + 8] = False
            fixed[event.step_place : event.step_end] = False
            for scalar in event.scalars:
                fixed[scalar.place : scalar.place + np.dtype(scalar.kind).itemsize] = False
            of_left = events[left]
            same = (of_left[:, fixed] == sample[fixed]).all(axis=1)
            if event.step_end > event.step_place:  # the step has as many bytes
                bits = of_left[:, event.step_place : event.step_end] >= 0x80
                same &= bits[:, :-1].all(axis=1) & ~bits[:, -1]
        if event is not None and event.scalars:
            rows = left[same]
            walls = (
                _numbers(events[rows], event.wall_place, "<f8")
                if event.wall_place >= 0
                else np.full(len(rows), np.nan)
            )
            steps = _varints(events[rows], event.step_place, event.step_end)
            for scalar in event.scalars:
                yield scalar.tag, (steps, _numbers(events[rows], scalar.place, scalar.kind), walls, numbers[rows])
        left = left[~same]


def _numbers(events: NDArray[uint8], place: int, kind: str) -> Array:
    size = np.dtype(kind).itemsize
    column = np.ascontiguousarray(events[:, place : place + size]).view(kind)[:, 0]
    return column.astype(float)


def _varints(events: NDArray[uint8], begin: int, end: int) -> Array:
    """Return the steps, which the last 7 bits of each byte hold, the lowest first; 0 is not written."""
    steps = np.zeros(len(events), dtype=np.uint64)
    for shift, place in enumerate(range(begin, end)):
        steps |= (events[:, place] & 0x7F).astype(np.uint64) << np.uint64(7 * shift)
    return steps.astype(np.int64).astype(float)


def _parse(data: bytes) -> _Event | None:
    """Return an event; None for bytes that are none."""
    wall, wall_place, step, step_place, step_end = 0.0, -1, 0, 0, 0
    scalars: list[_Scalar] = []
    try:
        for field, kind, begin, end in _fields(data, 0, len(data)):
            if field == 1 and kind == 1:
                (wall,), wall_place = struct.unpack_from("<d", data, begin), begin
            elif field == 2 and kind == 0:
                step, step_place, step_end = _varint(data, begin)[0], begin, end
            elif field == 5 and kind == 2:
                for inner, inner_kind, value_begin, value_end in _fields(data, begin, end):
                    if inner == 1 and inner_kind == 2:
                        scalar = _scalar(data, value_begin, value_end)
                        if scalar is not None:
                            scalars.append(scalar)
    except (IndexError, struct.error, ValueError):
        return None
    return _Event(wall, wall_place, step, step_place, step_end, tuple(scalars))


def _scalar(data: bytes, begin: int, end: int) -> _Scalar | None:
    """Return the scalar of a value of a summary; None for a picture, a text, a histogram."""
    tag = ""
    found: tuple[float, int, str] | None = None
    for field, kind, at, stop in _fields(data, begin, end):
        if field == 1 and kind == 2:
            tag = data[at:stop].decode("utf-8", errors="replace")
        elif field == 2 and kind == 5:
            found = struct.unpack_from("<f", data, at)[0], at, "<f4"
        elif field == 8 and kind == 2:
            found = _tensor(data, at, stop) or found
    return None if found is None or not tag else _Scalar(tag, *found)


_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
"""Types of a tensor's numbers, by TensorFlow's DataType."""


def _tensor(data: bytes, begin: int, end: int) -> tuple[float, int, str] | None:
    """Return the one number of a tensor: of its content, or of the list of its type."""
    kind_of_number = 1
    for field, kind, at, stop in _fields(data, begin, end):
        if field == 1 and kind == 0:
            kind_of_number = _varint(data, at)[0]
        elif field == 4 and kind == 2 and kind_of_number in _TYPES:
            form = _TYPES[kind_of_number]
            if stop - at == np.dtype(form).itemsize:
                return float(np.frombuffer(data, dtype=form, count=1, offset=at)[0]), at, form
        elif field in {5, 6}:  # float_val, double_val: packed, or one alone
            form = "<f4" if field == 5 else "<f8"
            if stop - at == np.dtype(form).itemsize:
                return float(np.frombuffer(data, dtype=form, count=1, offset=at)[0]), at, form
    return None


def _fields(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type, and begin and end of the content of the fields of a message."""
    while position < end:
        key, position = _varint(data, position)
        kind = key & 7
        if kind == 0:
            stop = _varint(data, position)[1]
        elif kind == 1:
            stop = position + 8
        elif kind == 5:
            stop = position + 4
        elif kind == 2:
            length, position = _varint(data, position)
            stop = position + length
        else:
            raise ValueError(kind)
        if stop > end:
            raise ValueError(stop)
        yield key >> 3, kind, position, stop
        position = stop


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError(shift)


def _is_length(data: bytes, position: int) -> bool:
    """Whether eight bytes are a length that the checksum behind it agrees with."""
    header = np.frombuffer(data, dtype=np.uint8, count=8, offset=position)
    return int(masked_crc(header[None, :])[0]) == struct.unpack_from("<I", data, position + 8)[0]


def _walk(data: bytes, position: int, starts: list[int], lengths: list[int]) -> tuple[int, bool]:
    """Go from record to record by their lengths, and add where the short ones stand.

    Returns where the first record begins that is not whole, and whether its length cannot be one.
    """
    unpack = struct.Struct("<Q").unpack_from
    end = len(data)
    while position + _HEADER <= end:
        (length,) = unpack(data, position)
        after = position + _HEADER + length + _FOOTER
        if length > _LONGEST_SCALAR or after > end:
            if length > _LONGEST_RECORD or not _is_length(data, position):
                return position, True
            if length <= _LONGEST_SCALAR:
                return position, False
        else:
            starts.append(position + _HEADER)
            lengths.append(length)
        position = after  # beyond the end for a long record, of which the rest is passed over
    return position, False


def _is_whole(data: bytes, start: int, length: int) -> bool:
    """Whether an event agrees with its checksum."""
    event = np.frombuffer(data, dtype=np.uint8, count=length, offset=start)
    return int(masked_crc(event[None, :])[0]) == struct.unpack_from("<I", data, start + length)[0]


def _first_wrong(data: bytes, starts: list[int], begin: int) -> int | None:
    """Return the first record, from ``begin`` on, whose length does not match its checksum; None for none."""
    if begin >= len(starts):
        return None
    places = np.array(starts[begin:]) - _HEADER
    raw = np.frombuffer(data, dtype=np.uint8)
    windows = sliding_window_view(raw, _HEADER)[places]
    headers, sums = windows[:, :8], np.ascontiguousarray(windows[:, 8:]).view("<u4")[:, 0]
    wrong = np.flatnonzero(masked_crc(headers) != sums)
    return begin + int(wrong[0]) if len(wrong) else None


def _next_record(data: bytes, position: int) -> int:
    """Return where the next length with its checksum stands, or the end of what could begin one."""
    end = len(data) - _HEADER
    step = 1 << 16
    raw = np.frombuffer(data, dtype=np.uint8)
    while position <= end:
        count = min(step, end - position + 1)
        places = position + np.arange(count)
        plausible = places[(raw[places + 5] == 0) & (raw[places + 6] == 0) & (raw[places + 7] == 0)]
        if len(plausible):
            sums = np.ascontiguousarray(raw[plausible[:, None] + 8 + np.arange(4)]).view("<u4")[:, 0]
            right = np.flatnonzero(masked_crc(raw[plausible[:, None] + np.arange(8)]) == sums)
            if len(right):
                return int(plausible[right[0]])
        position += count
    return max(position, 0) if position <= len(data) else len(data)


@cache
def _table() -> NDArray[uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)


def masked_crc(rows: NDArray[uint8]) -> NDArray[uint32]:
    """Return the masked CRC-32C of each row of bytes."""
    table = _table()
    crc: NDArray[uint32] = np.full(len(rows), 0xFFFFFFFF, dtype=np.uint32)
    for column in np.ascontiguousarray(rows.T):
        crc = table[(crc ^ column) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    crc = ~crc
    masked: NDArray[uint32] = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(_MASK_DELTA)
    return masked
