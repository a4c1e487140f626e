"""Small writers of logs, independent of the readers that they try."""

from __future__ import annotations

import struct

_POLYNOMIAL = 0x82F63B78


def _crc_table():
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _crc_table()


def masked_crc(data):
    """Return the masked CRC-32C of bytes, a byte at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(number):
    """Return a whole number as a varint."""
    number &= (1 << 64) - 1
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def field(number, content):
    """Return a field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(value, form):
    """Return a scalar tensor: its number in ``content``, ``float`` or ``double`` lists."""
    if form == "content":
        return b"\x08\x01" + field(2, b"") + field(4, struct.pack("<f", value))
    if form == "float":
        return b"\x08\x01" + field(2, b"") + field(5, struct.pack("<f", value))
    return b"\x08\x02" + field(2, b"") + field(6, struct.pack("<d", value))


def event(wall, step, values, *, form="simple"):
    """Return the bytes of an event with scalars by their tags."""
    summary = b""
    for tag, value in values.items():
        inner = field(1, tag.encode())
        if form == "simple":
            inner += b"\x15" + struct.pack("<f", value)
        else:  # newer writers name the plugin too
            inner += field(9, field(1, field(1, b"scalars"))) + field(8, tensor(value, form))
        summary += field(1, inner)
    counted = b"\x10" + varint(step) if step else b""
    return b"\x09" + struct.pack("<d", wall) + counted + field(5, summary)


def record(data):
    """Return bytes as a record with its checksums."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def event_records(events, *, form="simple"):
    """Return the records of events: (wall time, step, values by tag)."""
    return b"".join(record(event(wall, step, values, form=form)) for wall, step, values in events)


def event_file(events, *, form="simple"):
    """Return an event file, which begins with its version."""
    version = b"\x09" + struct.pack("<d", 1.7e9) + field(3, b"brain.Event:2")
    return record(version) + event_records(events, form=form)
