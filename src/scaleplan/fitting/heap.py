"""Keep memory that is freed for the next arrays: to give it back and ask again takes a sixth of the time of a fit.

By itself the C library of Linux returns large arrays and the free end of its heap to the system. A fit makes and
drops thousands of them, and the system clears every page anew.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt in glibc
_KEPT, _LARGE = 64 << 20, 32 << 20  # bytes: what is kept at most, and the largest array that the heap may hold


def keep_freed_memory() -> None:
    """Keep up to 64 MB of what this process frees, where the C library can."""
    with suppress(AttributeError, OSError, TypeError):  # another C library, or Windows
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_TRIM_THRESHOLD, _KEPT)
