"""What tests of several modules share.

Properties are tried on the same examples in every run; ``SCALEPLAN_FUZZ=long`` tries
fifty times as many where a test does not say how many, other ones each time.
"""

from __future__ import annotations

import os
import signal
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


@pytest.fixture(scope="session")
def hidden():
    """Return how to hide the closed forms of a surface."""
    return lambda law: Hidden(law=law)
