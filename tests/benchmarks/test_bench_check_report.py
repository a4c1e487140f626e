"""Judging a thousand runs takes under two seconds, a report under three.

Run on demand: ``pytest -s tests/benchmarks/test_bench_check_report.py``; whole processes, the best of three.
"""

import subprocess
import sys
from time import perf_counter

POLICY = '[policy]\nerror = ["cost <= 250k USD", "days <= 30", "loss@95% <= 2.5"]\n'


def best(*arguments, cwd):
    """Return the least time of the command in seconds."""
    times = []
    for _ in range(3):
        start = perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "scaleplan", *arguments], cwd=cwd, capture_output=True, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        times.append(perf_counter() - start)
    return min(times)


def test_a_thousand_runs(tmp_path):
    """Each with its own size, tokens and devices."""
    runs = "".join(
        f'[[run]]\nname = "r{i}"\nparams = {7e9 + i}\ntokens = "{1000 + i}B"\ngpus = {8 + i}\n' for i in range(1000)
    )
    (tmp_path / "scaleplan.toml").write_text(f'{POLICY}[defaults]\ngpu = "h100-sxm"\n{runs}')
    took = best("check", "--json", "-q", cwd=tmp_path)
    print(f"\n1,000 runs judged in {took:.2f} s")
    assert took < 2


def test_a_report(tmp_path):
    """With hardware, so that all its sections are there."""
    took = best("report", "--gpus", "512", "--gpu", "h100-sxm", "--time", "60d", "-o", "r.html", cwd=tmp_path)
    print(f"\na report in {took:.2f} s")
    assert took < 3
