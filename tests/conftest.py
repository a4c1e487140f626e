"""What tests of several modules share.

Properties are tried on the same examples in every run; ``SCALEPLAN_FUZZ=long`` tries
fifty times as many where a test does not say how many, other ones each time.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from dataclasses import dataclass
from typing import ClassVar

import pytest
from hypothesis import settings

from scaleplan.laws.base import LossSurface

# as the command line does; the threads of two workers would wait for each other (set before NumPy is imported)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# tests in the background ignore interrupts, and what they start would, too
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("usual", deadline=None, derandomize=True, database=None, max_examples=100)
settings.register_profile("long", deadline=None, derandomize=False, database=None, max_examples=5000, print_blob=True)
settings.load_profile("long" if os.environ.get("SCALEPLAN_FUZZ") == "long" else "usual")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden(LossSurface):
    """A surface without its closed forms, which leaves the work to the solver."""

    form: ClassVar[str] = "hidden"
    formula: ClassVar[str] = "that of another law"

    law: LossSurface

    @property
    def floor(self):
        return self.law.floor

    def loss(self, params, tokens):
        return self.law.loss(params, tokens)

    def reducible(self, params, tokens):
        return self.law.reducible(params, tokens)


@pytest.fixture(scope="session")
def local_cluster(tmp_path_factory):
    """Return how to start a scheduler of Dask with a number of workers, each a process."""
    from distributed import LocalCluster

    folder = tmp_path_factory.mktemp("dask")  # apart from what other tests of this machine have there

    def start(workers):
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=":0",
            silence_logs=50,
            local_directory=str(folder),
        )

    return start


@pytest.fixture(scope="session")
def session_cluster(local_cluster):
    with local_cluster(2) as started:
        yield started


@pytest.fixture
def cluster(session_cluster):
    """Return a cluster of Dask with two workers; those that a test has ended are there again before the next one."""

    def complete():
        session_cluster.scale(2)
        session_cluster.wait_for_workers(2, timeout=120)

    complete()
    yield session_cluster
    complete()


_USUAL = 0.002  # CPU seconds of _pace on the machine whose seconds the limits of tests are


def _pace():
    """Return the CPU seconds of a little work in the mixed style of this program."""
    start = time.thread_time()
    for _ in range(20):
        words = {f"key {number}": [number, str(number)] for number in range(500)}
        sorted(words, key=lambda word: words[word][1])
    return time.thread_time() - start


@pytest.fixture
def cpu_seconds():
    """Return how to measure work, in seconds of the processor that count alike on a slow or a busy machine."""

    def measured(work):
        gc.freeze()  # what other tests have left is not searched for garbage on this one's time
        try:
            pace = min(_pace() for _ in range(3))
            start = time.thread_time()
            work()
            return (time.thread_time() - start) / max(1.0, pace / _USUAL)
        finally:
            gc.unfreeze()

    return measured


@pytest.fixture(scope="session")
def hidden():
    """Return how to hide the closed forms of a surface."""
    return lambda law: Hidden(law=law)
