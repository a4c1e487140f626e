"""What the command adds to the work of a fit: at most half of the imports and the numbers themselves.

Run on demand: ``pytest -s tests/benchmarks/test_bench_fit_command.py``.

Both sides are processes of their own with one thread, timed by the processor time they use, which other work on the
machine disturbs least.
"""

import os
import resource
import subprocess
import sys

import numpy as np

from scaleplan.laws.additive import Additive

EPOCH = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
ROUNDS = 3

WORK = """
import sys
import numpy, typer, csv, json, tomllib
from scaleplan.fitting.diagnosed_fit import fit_points
from scaleplan.fitting.runs import Points
table = numpy.loadtxt(sys.argv[1], delimiter=",", skiprows=1)
fit_points(Points.of(*table.T), samples=2000)
"""


def seconds(*arguments):
    """Return the least processor time of a few runs of a process."""
    found = []
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(found)


def test_the_command_costs_little_more_than_imports_and_numbers(tmp_path):
    """240 runs, 2,000 resamples: the command takes at most 1.5 times the imports and the numerical work alone."""
    generator = np.random.default_rng(0)
    params, tokens = 10 ** generator.uniform([[7.5], [9.0]], [[10.0], [11.5]], (2, 240))
    loss = EPOCH.loss(params, tokens) * np.exp(0.004 * generator.standard_t(3, 240))
    runs = tmp_path / "runs.csv"
    rows = zip(params.tolist(), tokens.tolist(), loss.tolist(), strict=True)
    runs.write_text("\n".join(["params,tokens,loss", *(",".join(map(repr, row)) for row in rows)]))
    work = seconds("-c", WORK, str(runs))
    command = seconds("-m", "scaleplan", "fit", str(runs), "-o", str(tmp_path / "law.toml"))
    print(f"imports and numbers {work:.2f} s, command {command:.2f} s: {command / work:.2f} times")
    assert command <= 1.5 * work
