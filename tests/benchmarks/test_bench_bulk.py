"""Many budgets against the fastest plain-Python writer of the same bytes; run with ``-s`` to see the ratios.

``SCALEPLAN_BENCH_POINTS`` budgets, a million by default.
"""

from __future__ import annotations

import os
import pickle
import re
import statistics
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import scaleplan as sp

SOURCE = Path(sp.__file__).parents[1]
POINTS = int(os.environ.get("SCALEPLAN_BENCH_POINTS", "1000000"))
MEGABYTES = 200

# measures a child: seconds, and the peak of its resident memory in MB
MEASURE = """
import os, resource, subprocess, sys, time
start = time.perf_counter()
with open(sys.argv[1], "wb") as out, open(sys.argv[2], "rb") as given:
    status = subprocess.run(sys.argv[3:], stdout=out, stdin=given).returncode
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, status)
"""

# the fastest writer there is in plain Python: it holds every number already, and puts them into a template
WRITER = """
import pickle, sys
template, rows, points = pickle.load(open(sys.argv[1], "rb"))
write = sys.stdout.write
while points > 0:
    write("".join([template % row for row in rows[:points]]))
    points -= len(rows)
"""


def measured(folder, *command, given=os.devnull):
    out = folder / "out.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    words = [sys.executable, "-c", MEASURE, out, given, *command]
    found = subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True, check=True)
    seconds, peak, status = map(float, found.stdout.split())
    assert status == 0
    return seconds, peak, out


def numbers_of(text):
    """Return a line of JSON with its numbers as slots, and the numbers as they stand."""
    number = re.compile(r"(?<=[:\[ ])-?\d+\.\d+(?:e[+-]?\d+)?(?=[,\]}])")
    return number.sub("%r", text.replace("%", "%%")), tuple(map(float, number.findall(text)))


@pytest.mark.parametrize("form", ["sweep", "stdin"])
def test_a_million_budgets_stream_at_the_speed_of_writing(form, tmp_path, capsys):
    """At most three times a writer that fills a template with numbers it holds already; in constant memory."""
    low, high = "1.5e18", "1.2e22"  # inside the fitted range, so that every line has the same words
    program, given = [sys.executable, "-m", "scaleplan"], os.devnull
    command = [*program, "sweep", "--from", low, "--to", high, "--points", POINTS, "--format", "jsonl"]
    if form == "stdin":
        given = tmp_path / "budgets"
        given.write_text("".join(f"{flops!r}\n" for flops in np.geomspace(float(low), float(high), POINTS).tolist()))
        command = [*program, "optimal", "-", "--format", "jsonl"]
    seconds, peak, out = measured(tmp_path, *command, given=given)

    with out.open(encoding="utf-8") as lines:
        templates, rows = zip(*(numbers_of(line) for line in islice(lines, 8192)), strict=True)
    assert len(set(templates)) == 1
    plan = tmp_path / "plan"
    plan.write_bytes(pickle.dumps((templates[0], rows, POINTS)))
    size = out.stat().st_size
    plain, _, rewritten = measured(tmp_path, sys.executable, "-c", WRITER, plan)
    same = rewritten.stat().st_size / size
    with capsys.disabled():
        print(
            f"\n{form}, {POINTS:,} budgets, {size / 1e6:.0f} MB: {seconds:.2f} s, peak {peak:.0f} MB; "
            f"plain writer of {100 * same:.1f} % of the bytes {plain:.2f} s; ratio {seconds / plain * same:.2f}"
        )
    assert peak < MEGABYTES
    assert seconds * same <= 3 * plain


def test_arrays_cost_little_more_than_the_formula(capsys):
    """The array API within three times of the bare NumPy expression of the closed form."""
    budgets = np.geomspace(1e18, 1e26, POINTS)
    law = sp.Library().load("besiroglu-2024").law
    A, B, E, alpha, beta = law.A, law.B, law.E, law.alpha, law.beta

    def bare():
        product = budgets / 6
        params = (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * product ** (beta / (alpha + beta))
        tokens = product / params
        return params, tokens, E + A * params**-alpha + B * tokens**-beta

    def timed(function):
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    pairs = [(timed(lambda: sp.optimal_array(budgets)), timed(bare)) for _ in range(9)]
    array, formula = (statistics.median(column) for column in zip(*pairs, strict=True))
    with capsys.disabled():
        shown = f"{1000 * array:.0f} ms, formula {1000 * formula:.0f} ms; ratio {array / formula:.2f}"
        print(f"\narrays of {POINTS:,}: {shown}")
    assert array <= 3 * formula
