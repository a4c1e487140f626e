"""Fit many groups by one process and by several, and compare what that takes; the answers must be the same.

``python -m tests.benchmarks.fleet [GROUPS] [JOBS]``: 2,000 groups by 1 and by 2 processes unless said otherwise.
"""

from __future__ import annotations

import hashlib
import pickle
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from scaleplan.fitting.fleet import _fit_block, plan_fleet
from scaleplan.fitting.parallel import Jobs, release, spread

TARGET = 1.7
"""How much faster two processes are to be than one."""


def table(groups, seed=0):
    """Return runs of a law for each group, with coefficients and noise of their own."""
    random = np.random.default_rng(seed)
    lines = ["group,params,tokens,loss"]
    for group in range(groups):
        floor, size, data = random.uniform([1.5, 300, 300], [2.0, 600, 600])
        alpha, beta = random.uniform(0.28, 0.36, 2)
        for n in np.geomspace(2e7, 1e9, 4):
            for ratio in (5, 20, 80):
                loss = floor + size / n**alpha + data / (ratio * n) ** beta
                loss *= np.exp(0.002 * random.standard_normal())
                lines.append(f"g{group},{n:.6g},{ratio * n:.6g},{loss:.6f}")
    return "\n".join(lines) + "\n"


def command(path, jobs):
    """Return the seconds that the command takes, and a digest of its answer."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = [sys.executable, "-m", "scaleplan", "fit", path, "--each", "group", "--jobs", str(jobs), "--json"]
    done = subprocess.run(arguments, capture_output=True, check=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{jobs} at once: {seconds:.1f} s, in which processors worked {work:.1f} s")
    return seconds, hashlib.sha256(done.stdout).hexdigest()


def pieces(path, jobs):
    """Print what the sharing itself costs: the start of the processes, a part without work, and what is sent."""
    for name in ("start of the processes", "a part, once they run"):
        start = time.perf_counter()
        parts = 2 if name.startswith("start") else 500
        list(spread(partial(len), [()] * parts, jobs=Jobs(processes=jobs)))
        print(f"{name:24} {1e3 * (time.perf_counter() - start) / (1 if parts == 2 else parts):10.2f} ms")
    release()
    block = next(plan_fleet(path, each="group")._blocks(16, with_presets=False))
    for name, sent in (("16 groups", block), ("their laws", _fit_block(block))):
        start = time.perf_counter()
        packed = pickle.dumps(sent)
        pickle.loads(packed)
        print(f"{name:24} {1e3 * (time.perf_counter() - start):10.2f} ms, {len(packed):,} bytes")


def main(groups=2000, jobs=2):
    """Compare; exit with 1 where the answers differ or several processes are too slow."""
    with TemporaryDirectory() as folder:
        path = str(Path(folder) / "runs.csv")
        Path(path).write_text(table(groups))
        pieces(path, jobs)
        (alone, answer), (shared, other) = command(path, 1), command(path, jobs)
    print(
        f"{groups:,} fits: {alone:.1f} s by 1 process, {shared:.1f} s by {jobs}: {alone / shared:.2f} times as fast"
    )
    print("the same answer" if answer == other else "ANOTHER ANSWER")
    return int(answer != other or alone / shared < TARGET)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
