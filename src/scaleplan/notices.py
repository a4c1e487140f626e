"""Warnings that belong to a result; the command line prints them."""

from __future__ import annotations

from scaleplan.record import Record

__all__ = ["Notice"]


class Notice(Record):
    """A warning that belongs to a result: a code for scripts and a sentence for readers."""

    code: str
    message: str
