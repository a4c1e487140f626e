"""How far long work is: one line on standard error, only after a second, only on a terminal, gone at the end."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Progress"]

_QUIET_SECONDS, _BETWEEN_SECONDS = 1.0, 0.1


class Progress:
    """A line such as ``resamples 1,200 of 2,000``; used as a context, and called with the number done."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what, self._total = what, total
        self._shown = False
        self._due = monotonic() + _QUIET_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, done: int) -> None:
        """Show the number done, unless it is too early or nobody watches."""
        now = monotonic()
        if now < self._due or not sys.stderr.isatty():
            return
        self._due, self._shown = now + _BETWEEN_SECONDS, True
        total = "" if self._total is None else f" of {self._total:,}"
        sys.stderr.write(f"\r{self._what} {done:,}{total}\x1b[K")
        sys.stderr.flush()
