"""A warning that belongs to a result; whoever finds a reason to warn makes one, the command line says it."""

from __future__ import annotations

from scaleplan.record import Record

__all__ = ["Notice"]


class Notice(Record):
    """A warning that belongs to a result: a code for scripts and a sentence for people."""

    code: str
    message: str
