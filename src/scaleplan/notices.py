"""A warning that belongs to a result; whoever finds a reason to warn makes one, the command line says it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Notice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A warning that belongs to a result: a code for scripts and a sentence for people."""

    code: str
    message: str
