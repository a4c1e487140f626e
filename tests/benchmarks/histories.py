"""Measure how a history of 5 million rows is reduced to runs: ``python -m tests.benchmarks.histories [rows]``.

A history of runs with a row a step is written as Parquet, Arrow and CSV, plain and compressed, in the order of the
runs and in that of the steps, and each file is read by ``read_runs(…, last=True)`` in a process of its own. Printed
are the seconds with the imports, and the peak memory of the process, to be held against 15 s and 500 MB; then the
same of ``runs``, which keeps every curve.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, ipc, parquet

_RUNS = 5000
_BATCH = 250_000


def main(rows: int) -> None:
    """Print seconds and peak memory of each kind of file."""
    for order in ("runs", "steps"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _write(folder, rows, by_run=order == "runs")
            with (folder / "h.csv").open("rb") as plain, gzip.open(folder / "h.csv.gz", "wb", 1) as packed:
                shutil.copyfileobj(plain, packed, 1 << 20)
            for path in sorted(folder.iterdir()):
                print(f"by {order}: {path.name:12} {path.stat().st_size / 1e6:6.0f} MB", end="  ", flush=True)
                subprocess.run([sys.executable, "-m", "tests.benchmarks.histories", "--read", str(path)], check=True)
                print(f"  runs: {path.name:25}", end="  ", flush=True)
                command = [sys.executable, "-m", "tests.benchmarks.histories", "--runs", str(path)]
                subprocess.run(command, check=True)


def history(first: int, count: int, rows: int, *, by_run: bool) -> pa.Table:
    """Return some rows of a history: its runs one after the other, or all of them step by step."""
    number = np.arange(first, first + count)
    steps = rows // _RUNS
    run, step = (number // steps, number % steps) if by_run else (number % _RUNS, number // _RUNS)
    rng = np.random.default_rng(first)
    params = np.round(10 ** (7.5 + 2 * (run * 0.618 % 1)))
    tokens = (step + 1) * 1e6 * (1 + run % 97)
    loss = 1.7 + 400 / params**0.34 + 410 / tokens**0.28 + rng.normal(0, 0.003, count)
    val = np.where(step % 10 == 9, loss + 0.02, np.nan)
    names = pa.array([f"run-{i:05d}" for i in range(_RUNS)])
    return pa.table(
        {
            "run": pa.DictionaryArray.from_arrays(pa.array(run, pa.int32()), names).cast(pa.string()),
            "corpus": pa.array(np.array(["c4", "code", "wiki", "books"])[run % 4]),
            "step": 100 * (step + 1),
            "params": params.astype(np.int64),
            "tokens": tokens,
            "loss": loss,
            "code_loss": pa.array(val, from_pandas=True),
            "lr": np.full(count, 3e-4),
        }
    )


def _write(folder: Path, rows: int, *, by_run: bool) -> None:
    schema = history(0, 1, rows, by_run=by_run).schema
    with (
        parquet.ParquetWriter(folder / "h.parquet", schema) as columns,
        ipc.new_file(folder / "h.arrow", schema) as arrow,
        csv.CSVWriter(folder / "h.csv", schema) as text,
    ):
        for first in range(0, rows, _BATCH):
            table = history(first, min(_BATCH, rows - first), rows, by_run=by_run)
            for writer in (columns, arrow, text):
                writer.write_table(table)


def read(path: Path, *, curves: bool) -> None:
    """Reduce a history, or make the table of its runs, and print what it took."""
    start = time.perf_counter()
    if curves:
        from scaleplan.logs import collect

        runs = collect.runs(path).runs
    else:
        from scaleplan.fitting.reading import read_runs

        runs = read_runs(path, last=True)
    seconds = time.perf_counter() - start
    # not that of getrusage, which begins with the memory of the process that started this one
    peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1e3
    print(f"{len(runs):,} runs in {seconds:5.1f} s, peak {peak:4.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] in (["--read"], ["--runs"]):
        read(Path(sys.argv[2]), curves=sys.argv[1] == "--runs")
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 5_000_000)
