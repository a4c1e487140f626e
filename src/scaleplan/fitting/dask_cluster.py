"""The workers of a Dask cluster that share work, as a backend of joblib.

joblib's own backend for Dask waits forever for a part that ends its workers or whose workers are all gone, keeps
parts in the memory of single workers, which are lost with them, and leaves a cluster of one thread without work. This
one sends each part with its task, and has an eye on the cluster while it waits.
"""

from __future__ import annotations

import logging
import pickle
import re
import sys
import time
import traceback
import warnings
from asyncio import (
    FIRST_COMPLETED,
    Event,
    Runner,
    SelectorEventLoop,
    ensure_future,
    get_running_loop,
    run_coroutine_threadsafe,
    wait,
)
from asyncio import CancelledError as AsyncCancelled
from concurrent.futures import CancelledError
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import joblib
from distributed import Client, KilledWorker, get_worker
from joblib.parallel import ParallelBackendBase

from scaleplan.errors import UsageError, quote
from scaleplan.fitting import worker
from scaleplan.record import Record
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Coroutine, Iterable, Iterator

__all__ = ["cluster"]

Answer = TypeVar("Answer")

_CONNECT = 10.0  # seconds for the scheduler to answer, a third of what the library gives it
_WORKERS = 10.0  # seconds for a worker to be there, at the beginning and when all are gone: restarts take a few
_ANSWER = 30.0  # seconds for the workers to say what they compute with: they may read it from a slow disk
_PAUSE = 3.0  # seconds until a result that is there is asked for again, then twice as many
_LOOK = 1.0  # seconds between two looks at the cluster while nothing arrives


@contextmanager
def cluster(address: str) -> Iterator[tuple[Callable[[Iterable[Any]], Any], int]]:
    """Give what runs tasks, and the number of threads of the workers.

    Raises UsageError where the scheduler or its workers do not answer, or a worker would compute other results.
    """
    with _quiet(), _loop() as loop, _client(address, loop) as client:
        count = _threads(client, address)
        facts = worker.facts()
        _check(client, facts, loop)
        backend = _Backend(client, address, facts)
        with joblib.Parallel(-1, backend=backend, return_as="generator", batch_size=1) as parallel:
            yield parallel, count


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the library logs from standard error: what matters of it is an error here.

    By a filter of its own, whose end leaves to other threads what they keep back meanwhile.
    """

    def nothing(_: logging.LogRecord) -> bool:
        return False

    loggers = [
        logging.getLogger(name) for name in [*logging.root.manager.loggerDict] if name.startswith("distributed")
    ]
    for each in loggers:
        each.addFilter(nothing)
    try:
        yield
    finally:
        for each in loggers:
            each.removeFilter(nothing)


@contextmanager
def _loop() -> Iterator[AbstractEventLoop]:
    """Run an event loop in a thread, for a client that is not to start its own.

    A client that fails leaves its own loop running until it is collected as garbage, by whichever thread. Where that
    is the thread of the loop that a next client starts, each waits for the other.
    """
    started: SimpleQueue[tuple[AbstractEventLoop, Event]] = SimpleQueue()

    async def run_until_end() -> None:
        end = Event()
        started.put((get_running_loop(), end))
        await end.wait()

    def run() -> None:
        with Runner(loop_factory=SelectorEventLoop if sys.platform == "win32" else None) as runner:
            runner.run(run_until_end())

    thread = Thread(target=run, daemon=True, name="loop of Dask")
    thread.start()
    loop, end = started.get()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(_CONNECT)


@contextmanager
def _client(address: str, loop: AbstractEventLoop) -> Iterator[Client]:
    """Connect to a scheduler; what is left of the work is given up when the client ends."""
    place = {"scheduler_file": address} if address.endswith(".json") else {"address": address}

    async def connect() -> Client:
        with warnings.catch_warnings():  # of versions, which are checked here
            warnings.simplefilter("ignore")
            client = Client(**place, timeout=_CONNECT, set_as_default=False, name="scaleplan", asynchronous=True)
            try:
                return await client
            except BaseException:
                await client.close()
                raise

    try:
        client = _within(2 * _CONNECT, connect(), loop)
    except Exception as error:  # another program that listens there answers anything, and a file may hold anything
        raise UsageError(
            f"the Dask scheduler at {quote(address)} does not answer",
            hint="is it running, and can this machine reach it? 'dask scheduler' prints its address",
        ) from error
    try:
        yield client
    finally:
        client.close()


def _threads(client: Client, address: str) -> int:
    """Return how many threads the workers have, after a while in which they may still be starting."""
    end = time.monotonic() + _WORKERS
    while not (threads := sum(client.nthreads().values())):
        if time.monotonic() > end:
            place = f"--scheduler-file {address}" if address.endswith(".json") else address
            raise UsageError(
                f"the Dask scheduler at {quote(address)} has no workers", hint=f"'dask worker {place}' starts one"
            )
        time.sleep(0.1)
    return threads


def _check(client: Client, here: dict[str, str], loop: AbstractEventLoop) -> None:
    """Refuse workers that lack scaleplan, or would compute other results."""
    for place, found in sorted(_answers(client, loop).items()):
        if missing := re.search(r"No module named '([\w.]+)'", str(found)):
            raise UsageError(
                f"worker {place} cannot import {missing[1]}",
                hint=f"pip install 'scaleplan[dask]=={here['scaleplan']}' there",
            )
        if isinstance(found, OSError):  # it has left meanwhile
            continue
        if isinstance(found, Exception):
            raise UsageError(f"worker {place} failed: {type(found).__name__}: {found}")
        if (error := worker.differing(here, found, worker=place)) is not None:
            raise error


def _answers(client: Client, loop: AbstractEventLoop) -> dict[str, Any]:
    """Return what all workers compute with, which one that hangs would keep from coming."""

    async def ask() -> dict[str, Any]:
        return await client.run(worker.introduce, on_error="return")

    try:
        return _within(_ANSWER, ask(), loop)
    except TimeoutError:
        raise UsageError(
            f"the workers of the Dask cluster did not answer within {format_plain(_ANSWER)} seconds",
            hint="does one of them hang? the dashboard of the scheduler shows them",
        ) from None


def _within(seconds: float, question: Coroutine[Any, Any, Answer], loop: AbstractEventLoop) -> Answer:
    """Return an answer; raises TimeoutError where it does not come in time, as the library alone does not."""
    asked = run_coroutine_threadsafe(question, loop)
    try:
        return asked.result(seconds)
    finally:
        asked.cancel()  # does nothing to an answer


def _do(packed: bytes, here: dict[str, str]) -> bytes:
    """Do a part on the worker that runs this."""
    return worker.work(packed, here, worker=get_worker().address)


class _ThereError(Exception):
    """The traceback of an error on the worker where it happened."""


class _Failure(Record):
    """What a part ended with instead of a result."""

    error: BaseException


class _Backend(ParallelBackendBase):  # type: ignore[misc]  # joblib is not typed
    """Parts of the work as tasks of Dask.

    A coroutine of the client fetches each result; a thread hands them to joblib, which then takes the next part, and
    looks at the cluster when nothing arrives.
    """

    supports_retrieve_callback = True

    def __init__(self, client: Client, address: str, facts: dict[str, str]) -> None:
        super().__init__(nesting_level=0)
        self._client, self._address, self._facts = client, address, facts
        self._waiting: dict[str, tuple[Any, Callable[[object], None]]] = {}
        self._arrived: SimpleQueue[tuple[str, bytes | _Failure] | None] = SimpleQueue()
        self._hand: Thread | None = None

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the number of threads, at least 2: joblib would do the work of one itself."""
        return max(2, sum(self._client.nthreads().values()))

    def start_call(self) -> None:
        """Begin to hand over results."""
        self._hand = Thread(target=self._hand_over, daemon=True)
        self._hand.start()

    def stop_call(self) -> None:
        """End to hand over results."""
        self._arrived.put(None)
        if self._hand is not None:
            self._hand.join()

    def submit(self, func: Any, callback: Callable[[object], None]) -> object:  # noqa: ANN401  joblib is not typed
        """Send a part: joblib's batch of one."""
        ((task, (part,), _),) = func.items
        key = f"scaleplan-{uuid4().hex}"
        future = self._client.submit(_do, pickle.dumps((task, part)), self._facts, key=key, pure=False)
        self._waiting[key] = future, callback
        self._client.loop.add_callback(self._fetch, key, future)
        return future

    async def _fetch(self, key: str, future: Any) -> None:  # noqa: ANN401  a future of Dask
        try:
            found: bytes | _Failure = await self._gathered(future)
        except BaseException as error:  # noqa: BLE001  raised where the result is taken
            error.__cause__ = _ThereError("".join(traceback.format_exception(error)))
            found = _Failure(error=error)
        self._arrived.put((key, found))

    async def _gathered(self, future: Any) -> bytes:  # noqa: ANN401  a future of Dask
        """Return a result, which is asked for again where it does not come: its worker may be no more.

        The scheduler knows that at once, but a request on its way to the worker takes half a minute to give up.
        """
        pause, requests = _PAUSE, {ensure_future(self._client.gather(future, asynchronous=True))}
        while not (done := (await wait(requests, timeout=pause, return_when=FIRST_COMPLETED))[0]):
            if future.status == "finished":
                requests.add(ensure_future(self._client.gather(future, asynchronous=True)))
                pause *= 2
        for request in requests - done:
            request.cancel()
        found: bytes = done.pop().result()
        return found

    def _hand_over(self) -> None:
        empty_since: float | None = None
        while True:
            try:
                arrived = self._arrived.get(timeout=_LOOK)
            except Empty:
                error, empty_since = self._look(empty_since)
                if error is None:
                    continue
                arrived = next(iter(self._waiting)), _Failure(error=error)
            if arrived is None:
                return
            key, found = arrived
            _, callback = self._waiting.pop(key, (None, None))
            if callback is not None:
                empty_since = None
                callback(found)

    def _look(self, empty_since: float | None) -> tuple[UsageError | None, float | None]:
        """Return an error where the cluster will not answer any more, and since when it has had no workers."""
        try:
            there = bool(self._client.nthreads())
        except Exception:  # noqa: BLE001  whatever it is, the scheduler does not answer
            return self._gone(), empty_since
        now = time.monotonic()
        if there or not self._waiting:
            return None, None
        if empty_since is None or now - empty_since < _WORKERS:
            return None, empty_since or now
        return UsageError(
            f"all workers of the Dask scheduler at {quote(self._address)} have gone",
            hint="where memory ran out, give them more; fewer threads a worker need less",
        ), empty_since

    def _gone(self) -> UsageError:
        return UsageError(
            f"the Dask scheduler at {quote(self._address)} has gone, and the work with it", hint="start it again"
        )

    def retrieve_result_callback(self, out: bytes | _Failure) -> list[object]:
        """Return the result of a batch of one."""
        if not isinstance(out, _Failure):
            return [pickle.loads(out)]  # noqa: S301  what the cluster of the user sends is trusted
        error = out.error
        if isinstance(error, KilledWorker):
            raise UsageError(
                "a part of the work ended every worker that took it", hint="where memory ran out, give them more"
            )
        raise self._gone() if isinstance(error, AsyncCancelled | CancelledError) else error

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: FBT002  as joblib has it
        """Give up what is not done."""
        futures = [future for future, _ in self._waiting.values()]
        self._waiting.clear()
        self._client.cancel(futures, force=True)
