"""Measure how fast printed logs are read, and in how much memory: ``python tests/benchmarks/log_reading.py [lines]``.

Each format is written to a temporary file and read in a process of its own; ``lines`` may be such that a file has a
gigabyte (memory must not grow with it).
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from logs.writers import WRITERS, Point, written


def main(lines: int) -> None:
    """Print seconds and peak memory by format."""
    with tempfile.TemporaryDirectory() as folder:
        for name in WRITERS:
            path = Path(folder) / "run.log"
            piece = [Point(step, 4.0 - step * 1e-6, val=3.5 if step % 1000 == 0 else None) for step in range(1, 2001)]
            each = len(WRITERS[name][0](piece, lines)) / len(piece)
            count = int(lines / each)
            with path.open("wb") as file:
                for start in range(1, count, 20_000):
                    steps = range(start, min(start + 20_000, count + 1))
                    points = [Point(s, 4.0 - s * 1e-6, val=3.5 if s % 1000 == 0 else None) for s in steps]
                    file.write(written(name, points, count))
            subprocess.run([sys.executable, __file__, "--read", str(path), name], check=True)


def read(path: Path, name: str) -> None:
    """Read a log and print what it took."""
    from scaleplan.logs.formats import FORMATS, format_of
    from scaleplan.logs.log_file import LogFile

    for known in FORMATS:
        known.recognises(LogFile(Path(__file__)))  # imports and first compilations
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    file = LogFile(path)
    known = format_of(file)
    assert known is not None
    recognised = time.process_time() - start
    runs = [recorder.run() for recorder in known.read(file)]
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = path.stat().st_size / 1e6
    print(
        f"{name:17} {size:7.1f} MB  {seconds:6.3f} s (recognised in {recognised:.3f})  peak {peak / 1e3:4.0f} MB "
        f"(before {before / 1e3:.0f})  runs {len(runs)}, points {len(runs[0].curves['loss'])}, last "
        f"{runs[0].last_step:g}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read(Path(sys.argv[2]), sys.argv[3])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
