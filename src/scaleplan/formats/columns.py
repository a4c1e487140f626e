"""Many plans a second: JSON lines from columns, by filling a template instead of building objects.

The template is made from the JSON of one plan: what is the same in every plan is encoded once, what varies is
a slot. The bytes are those that encoding each plan by itself would give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.structured import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Template"]


class Template:
    """A record with slots.

    Parameters
    ----------
    record
        One record, as plain mappings and lists.
    slots
        The dotted keys that vary from record to record, each with how its value is written: ``"number"`` for a
        float, ``"json"`` for text that is JSON already.

    """

    def __init__(self, record: Mapping[str, object], slots: Mapping[str, str]) -> None:
        self.keys = tuple(slots)
        marks = {f"\x00{key}\x00": kind for key, kind in slots.items()}
        text = encode(_marked(record, set(slots), "")).replace("%", "%%")
        for mark, kind in marks.items():
            text = text.replace(encode(mark), "%r" if kind == "number" else "%s")
        self.text = text + "\n"

    def lines(self, columns: Sequence[Sequence[object]]) -> Iterator[str]:
        """Yield one line a record; ``columns`` are in the order of ``keys``."""
        return map(self.text.__mod__, zip(*columns, strict=True))


def _marked(value: object, slots: set[str], path: str) -> object:
    if path in slots:
        return f"\x00{path}\x00"
    if isinstance(value, dict):
        return {key: _marked(item, slots, f"{path}.{key}" if path else key) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item, slots, f"{path}.{i}") for i, item in enumerate(value)]
    return value
