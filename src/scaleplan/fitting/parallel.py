"""Share work among processes: the same results in the same order, and the same error, as one process gives.

``--jobs`` is read here (:class:`Jobs`), and :func:`spread` is the one place where work is shared: by joblib, among
processes of this machine (:mod:`.processes`) or the workers of a Dask cluster (:mod:`.dask_cluster`).
"""

from __future__ import annotations

import re
import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from scaleplan.errors import ScaleplanError, UsageError, quote
from scaleplan.fitting.blas import one_thread
from scaleplan.fitting.heap import keep_freed_memory
from scaleplan.record import Record
from scaleplan.units import parse_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from scaleplan.units import Amount

__all__ = ["ALONE", "Jobs", "release", "spread"]

Part = TypeVar("Part")
Found = TypeVar("Found")

_MOST = 256  # processes of one machine
_AHEAD = 64  # parts a worker that may be in work, or done and not taken: what bounds the memory
_LOCAL, _CLUSTER = "scaleplan.fitting.processes", "scaleplan.fitting.dask_cluster"
_PROTOCOLS = ("tcp", "tls", "ws", "wss", "ucx", "ucxx")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[\w.-]+)(?P<port>:[0-9]{1,5})?")
_PORT = 8786  # where the scheduler of Dask listens unless it is started with another


class Jobs(Record):
    """Who shares the work: so many ``processes`` of this machine, or the workers of a ``cluster`` of Dask.

    ``cluster`` is the address of its scheduler, or the scheduler file with which it was started.
    """

    processes: int = 1
    cluster: str | None = None

    def __repr__(self) -> str:
        """Return what it is given as, for the default in the help of functions."""
        return str(self.processes) if self.cluster is None else repr(f"dask:{self.cluster}")

    @classmethod
    def parse(cls, value: Amount) -> Self:
        """Return what ``2``, ``auto`` (the cores that this process may use) or ``dask:ADDRESS`` stands for.

        Raises UsageError for anything else, and where a library that shares the work is not installed.
        """
        text = value.strip() if isinstance(value, str) else ""
        kind, colon, place = (each.strip() for each in text.partition(":"))
        if colon:
            if kind.casefold() != "dask":
                raise UsageError(f"{quote(kind)} in --jobs {quote(text)} is no kind of workers", hint=_HINT)
            jobs = cls(processes=0, cluster=_address(place))
            _require("joblib", "distributed", extra="dask")
            return jobs
        if text.casefold() == "auto":
            _require("joblib")
            return cls(processes=min(_MOST, import_module("joblib").cpu_count()))
        try:
            count = 0 if value in (0, "0") else parse_integer(value)
        except UsageError:
            raise UsageError(f"{quote(value)} is no number of processes", hint=_HINT) from None
        if not 1 <= count <= _MOST:
            raise UsageError(f"{count} jobs cannot share the work", hint=f"between 1 and {_MOST}, or 'auto'")
        if count > 1:
            _require("joblib")
        return cls(processes=count)


ALONE = Jobs()
"""This process alone."""

_HINT = "--jobs takes a number, 'auto', or dask:ADDRESS, as in dask:tcp://10.0.0.1:8786"


def _address(place: str) -> str:
    """Return where a scheduler is, with its protocol and port, or the path of a scheduler file."""
    if not place:
        raise UsageError("--jobs dask: lacks the address of the scheduler", hint="as in dask:tcp://10.0.0.1:8786")
    if place.endswith(".json"):
        if not Path(place).is_file():
            raise UsageError(
                f"there is no scheduler file {quote(place)}",
                hint="'dask scheduler --scheduler-file FILE' writes one, on a disk that both see",
            )
        return place
    protocol, sign, host = place.rpartition("://")
    if sign and protocol.casefold() not in _PROTOCOLS:
        dashboard = protocol.casefold() in ("http", "https")
        raise UsageError(
            f"{quote(place)} is no address of a Dask scheduler",
            hint="that is its dashboard; the scheduler is at tcp://HOST:8786 unless started otherwise"
            if dashboard
            else f"known protocols: {', '.join(_PROTOCOLS)}",
        )
    match = _HOST.fullmatch(host)
    if match is None or (match["port"] and not 0 < int(match["port"][1:]) < 2**16):
        raise UsageError(f"{quote(place)} is no address of a Dask scheduler", hint="as in tcp://10.0.0.1:8786")
    return f"{protocol.casefold() or 'tcp'}://{host}{'' if match['port'] else f':{_PORT}'}"


def _require(*libraries: str, extra: str = "parallel") -> None:
    for name in libraries:
        if find_spec(name) is None:
            raise UsageError(
                f"{name}, which shares work among processes, is not installed",
                hint=f"pip install 'scaleplan[{extra}]', or --jobs 1",
            )


class Shared(Record, Generic[Part, Found]):
    """A task as workers do it: what a part cannot be used for is a result, in its place among the others."""

    task: Callable[[Part], Found]

    def __call__(self, part: Part) -> tuple[Found | None, ScaleplanError | None]:
        """Return what the task finds, or the error that it ends with."""
        try:
            return self.task(part), None
        except ScaleplanError as error:
            return None, error


def spread(task: Callable[[Part], Found], parts: Iterable[Part], *, jobs: Jobs = ALONE) -> Iterator[Found]:
    """Yield the task done for each part, in order.

    Parts are taken as workers need them, and no more than a bounded number are in work or done and not yet taken. A
    part should be worth a tenth of a second of work or more, since each is sent on its own. Raises UsageError where
    the workers cannot be had or end early.
    """
    if jobs == ALONE:
        keep_freed_memory()
        for part in parts:
            with one_thread():
                found = task(part)
            yield found
        return
    workers: AbstractContextManager[tuple[Callable[[Iterable[Any]], Any], int]] = (
        import_module(_LOCAL).processes(jobs.processes)
        if jobs.cluster is None
        else import_module(_CLUSTER).cluster(jobs.cluster)
    )
    with workers as (run, count):
        yield from _in_order(Shared(task=task), iter(parts), run=run, count=count)


def _in_order(
    task: Shared[Part, Found], parts: Iterator[Part], *, run: Callable[[Iterable[Any]], Any], count: int
) -> Iterator[Found]:
    """Yield what ``run``, a call of joblib, makes of a task for each part; ``count`` workers share them.

    joblib goes on whether or not its results are taken. The parts that it gets therefore end where too many are done
    and not taken, and a further call goes on with the rest: workers wait then, and memory is bounded.
    """
    given = taken = 0

    def some(first: list[Part]) -> Iterator[tuple[Any, tuple[Part], dict[str, Any]]]:
        nonlocal given
        for part in chain(first, parts):
            given += 1
            yield task, (part,), {}
            if given - taken >= _AHEAD * count:
                return

    while first := list(islice(parts, 2 * count)):  # read before the workers are started, which nothing interrupts
        results = run(some(first))
        try:
            for found, error in results:
                if error is not None:
                    raise error
                taken += 1
                yield found
        finally:
            with warnings.catch_warnings():  # of results that are not taken
                warnings.simplefilter("ignore")
                results.close()


def release() -> None:
    """End the processes that wait for further work."""
    if (local := sys.modules.get(_LOCAL)) is not None:
        local.release()
