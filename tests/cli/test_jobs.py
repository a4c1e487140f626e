"""The processes that share the resamples of a fit: they end with the command, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture
def runs(tmp_path):
    """Write runs whose resamples take far longer than a test waits."""
    rows = [
        f"{n:g},{r * n:g},{1.8 + 480 / n**0.35 + 2000 / (r * n) ** 0.37 + 1e-3 * ((7 * i) % 5)}"
        for i, n in enumerate(1e7 * 1.1**k for k in range(60))
        for r in (5, 20, 80)
    ]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["params,tokens,loss", *rows]))
    return path


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs a list of processes in /proc")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=lambda ending: ending.name)
def test_workers_end_with_the_command(process, runs, ending):
    """And the pipe that they inherited is closed: its reader gets to the end."""
    command, environment = process("fit", runs, "--jobs", "2", "--samples", "100000")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as work:
        workers = _until(lambda: found if len(found := _workers(work.pid)) == 2 else None)
        time.sleep(0.3)
        work.send_signal(ending)
        out, err = work.communicate(timeout=20)
    assert (out, err) == (b"", b"")
    assert work.returncode == (130 if ending is signal.SIGINT else -ending)
    assert _until(lambda: not any(map(_alive, workers)))


def _children(parent):
    """Return the processes that another started and that still run."""
    numbers = [place.name for place in Path("/proc").iterdir() if place.name.isdigit()]
    return [number for number in numbers if _alive(number) and _stat(number)[1] == str(parent)]


def _workers(parent):
    """Return those of them that share work: others keep account of semaphores."""
    return [number for number in _children(parent) if "popen_loky" in Path(f"/proc/{number}/cmdline").read_text()]


def _stat(number):
    """Return the state of a process, and who started it."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return ["X", ""]


def _alive(number):
    return _stat(number)[0] not in "ZX"


def _until(question):
    """Return the first answer that is not empty; False after a while."""
    for _ in range(200):
        if answer := question():
            return answer
        time.sleep(0.05)
    return False


INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["scaleplan", "optimal", "--flops", "1e21"]
from scaleplan.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["scaleplan.cli", "typer", "json", "scaleplan.api", "scaleplan.planning.solver"])
def test_an_interrupt_while_it_starts_is_no_traceback(process, module):
    """Also where an import would make something else of the exception."""
    _, environment = process()
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, env=environment | {"AT": module}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
