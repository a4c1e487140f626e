"""Share work among processes: the same results in the same order as one process gives."""

from __future__ import annotations

import os
import signal
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from scaleplan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["spread"]

Part = TypeVar("Part")
Found = TypeVar("Found")


def spread(task: Callable[[Part], Found], parts: Iterable[Part], *, jobs: int) -> Iterator[Found]:
    """Yield the task done for each part, in order, by ``jobs`` processes."""
    if jobs == 1:
        yield from map(task, parts)
        return
    from concurrent.futures import ProcessPoolExecutor  # one job need not pay for these
    from concurrent.futures.process import BrokenProcessPool

    pool = ProcessPoolExecutor(jobs, initializer=_follow_parent)
    try:
        yield from pool.map(task, parts)
    except (BrokenProcessPool, OSError) as error:
        reason = "one of them ended early" if isinstance(error, BrokenProcessPool) else str(error.strerror).lower()
        raise UsageError(f"{jobs} processes could not share the work: {reason}", hint="try --jobs 1") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Make a worker leave interrupts to its parent, and end with it, however that ends.

    A worker that is left alone would wait for work forever, and hold the streams that it has inherited.
    """
    from multiprocessing import parent_process

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=watch, daemon=True).start()
