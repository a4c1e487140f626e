"""Processes of this machine that share work, by joblib: fresh interpreters, which wait for more work for a while.

They end with their parent, however that ends, and leave interrupts to it. Arrays reach them as copies, never as maps
of files, so that a task may write into its part and nothing is left in temporary folders. Each has one BLAS thread.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from joblib.externals.loky.process_executor import _ExecutorManagerThread

from scaleplan.errors import UsageError
from scaleplan.fitting.heap import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["processes", "release"]

_IDLE = 60.0  # seconds after which a process without work ends; it took about one to start
_SAFE = "PYTHONSAFEPATH"
_LOOK = 0.2  # seconds between two looks whether the parent still runs


@contextmanager
def processes(count: int) -> Iterator[tuple[Callable[[Iterable[Any]], Any], int]]:
    """Give what runs tasks, and the number of workers; raises UsageError where one ends early."""
    start = {"initializer": _follow, "initargs": (os.getpid(),), "idle_worker_timeout": _IDLE}
    try:
        with (
            _apart_from_folder(),
            _quiet_end(),
            joblib.parallel_config("loky", inner_max_num_threads=1, **start),
            joblib.Parallel(count, return_as="generator", batch_size=1, max_nbytes=None) as parallel,
        ):

            def run(tasks: Iterable[Any]) -> Any:  # noqa: ANN401  joblib is not typed
                try:
                    with _uninterrupted():
                        return parallel(tasks)
                except OSError as error:
                    raise _failed(count, str(error.strerror).lower(), hint="try --jobs 1") from None

            yield run, count
    except BrokenExecutor:
        hint = "where memory ran out, fewer processes need less, and --jobs 1 the least"
        raise _failed(count, "one of them ended early", hint=hint) from None


def _failed(count: int, reason: str, *, hint: str) -> UsageError:
    """End the processes, and return the error that says why they could not go on."""
    release()
    return UsageError(f"{count} processes could not share the work: {reason}", hint=hint)


def release() -> None:
    """End the processes, whether they work or wait, with what joblib keeps for them in shared memory."""
    executor = get_reusable_executor(reuse=True)
    end = getattr(executor, "terminate", executor.shutdown)  # the latter where there have been none
    end(kill_workers=True)


_environment = threading.Lock()
_before: list[str | None] = []
"""What the environment had when each thread that starts processes began."""


@contextmanager
def _apart_from_folder() -> Iterator[None]:
    """Start interpreters that do not import what happens to lie in the user's folder, such as a ``random.py``.

    Of several threads that do so, the last to end leaves the environment as the first has found it.
    """
    with _environment:
        _before.append(os.environ.get(_SAFE))
        os.environ[_SAFE] = "1"
    try:
        yield
    finally:
        with _environment:
            found = _before.pop()
            if not _before:
                os.environ.pop(_SAFE, None)
                if found is not None:
                    os.environ[_SAFE] = found


_hooks: list[Callable[[threading.ExceptHookArgs], object]] = []
"""What reports errors of threads, as each thread that shares work has found it."""


@contextmanager
def _quiet_end() -> Iterator[None]:
    """Report no error of the thread by which loky manages processes, when it has ended them.

    It forgets the parts that wait and ends the processes, and then looks for a part to send: one that was handed over
    in that moment is a KeyError, which Python would print.
    """

    def report(args: threading.ExceptHookArgs) -> None:
        if not (isinstance(args.exc_value, KeyError) and isinstance(args.thread, _ExecutorManagerThread)):
            before(args)

    with _environment:
        _hooks.append(threading.excepthook)
        before = _hooks[0]
        threading.excepthook = report
    try:
        yield
    finally:
        with _environment:
            first = _hooks[0]
            _hooks.pop()
            if not _hooks:
                threading.excepthook = first


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Start processes that leave interrupts to their parent from their first instruction on.

    A blocked signal stays blocked in what is started meanwhile; the parent gets it at the end. What keeps account of
    semaphores is started before: starting it lifts the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()
    loky_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow(parent: int) -> None:
    """Make a worker end with its parent: left alone it would hold the streams that it has inherited.

    A crash is reported by the parent alone.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("PYTHONFAULTHANDLER", "0")  # joblib would have tracebacks of crashes printed
    keep_freed_memory()
    threading.Thread(target=watch, daemon=True).start()
