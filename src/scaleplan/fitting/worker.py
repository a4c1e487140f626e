"""What the workers of a cluster do: tell what they compute with, and do a part of the work.

Workers must compute the same bytes as this process, or the answer would depend on which of them took which part.
Versions decide what is computed, and the processor and the BLAS library the last digits of it.
"""

from __future__ import annotations

import hashlib
import pickle
import platform
from functools import cache
from pathlib import Path

import numpy as np
import scipy

from scaleplan.errors import UsageError
from scaleplan.fitting.blas import one_thread
from scaleplan.version import __version__

__all__ = ["differing", "facts", "introduce", "work"]

_ARITHMETIC, _SOURCES = "arithmetic", "sources"


@cache
def introduce() -> dict[str, str]:
    """Return the facts of a worker, which has one thread of BLAS from now on, for all that it does at once."""
    one_thread().__enter__()
    return facts()


@cache
def facts() -> dict[str, str]:
    """Return what the results of this process depend on, by name."""
    python = platform.python_version_tuple()
    return {
        "Python": ".".join(python[:2]),  # bug fixes do not change arithmetic
        "scaleplan": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        _SOURCES: _sources(),
        _ARITHMETIC: _arithmetic(),
    }


def _sources() -> str:
    """Return a digest of the source of this package: a working copy is no release."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _arithmetic() -> str:
    """Return a digest of results that processors and BLAS libraries round each in their own way."""
    with one_thread():
        numbers = np.random.Generator(np.random.PCG64(0)).uniform(0.5, 2.0, (40, 300))
        square = numbers @ numbers.T
        many = numbers.ravel()
        found = (
            many @ many,
            numbers.T @ numbers,
            np.exp(numbers),
            np.log(numbers),
            numbers**0.34,
            numbers.sum(axis=1),
            square,
            numbers[:6] @ numbers.T[:, :4],
            np.einsum("ij,kj->ik", numbers[:6], numbers),
            np.linalg.solve(square, numbers[:, :3]),
            np.linalg.cholesky(square),
            np.linalg.eigvalsh(square),
            np.linalg.lstsq(numbers.T[:, :5], numbers.T[:, 5], rcond=None)[0],
        )
    return hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in found)).hexdigest()


def differing(here: dict[str, str], there: dict[str, str], *, worker: str) -> UsageError | None:
    """Return why a worker with the facts ``there`` cannot share the work, or None where it can."""
    names = [name for name, value in here.items() if there.get(name) != value]
    versions = [name for name in names if name not in (_SOURCES, _ARITHMETIC)]
    if versions:
        named = ", ".join(f"{name} {there.get(name, '')} (here {here[name]})" for name in versions)
        hint = "results must be the same wherever they are computed: install the same versions there"
        return UsageError(f"worker {worker} has {named}", hint=hint)
    if _SOURCES in names:
        hint = "results must be the same wherever they are computed: install the same there"
        return UsageError(f"worker {worker} has scaleplan {here['scaleplan']} with other sources", hint=hint)
    if names:
        hint = "its processor or BLAS differs: start scaleplan on a machine like the workers, which must be alike"
        return UsageError(f"worker {worker} computes other last digits than this machine", hint=hint)
    return None


def work(packed: bytes, here: dict[str, str], *, worker: str) -> bytes:
    """Do a part of the work, and return what comes of it; one that joined meanwhile is refused as the others are."""
    if (error := differing(here, introduce(), worker=worker)) is not None:
        return pickle.dumps((None, error))
    task, part = pickle.loads(packed)  # noqa: S301  what the client of this worker sends is trusted
    return pickle.dumps(task(part))
