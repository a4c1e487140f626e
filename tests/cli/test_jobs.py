"""Who shares the work of a fit: the same bytes from each, and none is left when the command ends, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scaleplan.fitting.parallel import release

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs a list of processes in /proc")


@pytest.fixture
def runs(tmp_path):
    """Write runs whose resamples take far longer than a test waits."""
    rows = [
        f"{n:g},{r * n:g},{1.8 + 480 / n**0.35 + 2000 / (r * n) ** 0.37 + 1e-3 * ((7 * i) % 5)}"
        for i, n in enumerate(1e7 * 1.3**k for k in range(20))
        for r in (5, 20, 80)
    ]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["params,tokens,loss", *rows]))
    return path


@pytest.fixture
def start(process, runs):
    """Return how to start a long fit, in a group of processes of its own; what is left of it ends with the test."""
    started = []

    def long_fit(jobs):
        command, environment = process("fit", runs, "--jobs", jobs, "--samples", "100000")
        work = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        started.append(work)
        return work

    yield long_fit
    for work in started:
        if work.poll() is None:
            os.killpg(work.pid, signal.SIGKILL)
            work.communicate()


@pytest.mark.slow
def test_who_shares_the_work_changes_nothing(cli, cluster):
    """The file and the answer are the same to the byte; no jobs are refused."""
    lines = ["params,tokens,loss"]
    lines += [
        f"{n},{n * r},{1.8 + 480 / n**0.35 + 2000 / (n * r) ** 0.37 + 1e-3 * (i % 3)}"
        for i, (n, r) in enumerate((n, r) for n in (3e7, 1e8, 3e8, 1e9) for r in (3, 20, 90))
    ]
    Path("runs.csv").write_text("\n".join(lines))
    Path("groups.csv").write_text(
        "\n".join([f"{lines[0]},corpus", *(f"{line},{c}" for c in "abc" for line in lines[1:])])
    )
    one = ("runs.csv", "--id", "mine", "-o", "law.toml", "--samples", "2000")
    each = ("groups.csv", "--each", "corpus", "-o", "law-{corpus}.toml")
    for question in (one, each):
        answers = set()
        for jobs in ("1", "2", "auto", f"dask:{cluster.scheduler_address}"):
            done = cli("fit", *question, "--jobs", jobs, "--json")
            files = sorted(Path().glob("law*.toml"))
            assert (done.status, len(files)) == (0, 1 if question is one else 3)
            answers.add((done.out, *(file.read_bytes() for file in files)))
            for file in files:
                file.unlink()
        assert len(answers) == 1
    assert cli("fit", "runs.csv", "--jobs", "0").status == 2
    release()


def test_what_lies_in_the_folder_is_not_imported(cli, runs):
    """By none of the interpreters that are started: they look for modules where this one does."""
    release()
    for name in ("joblib", "numpy", "pickle", "argparse", "warnings", "signal", "scaleplan"):
        Path(f"{name}.py").write_text("open('imported', 'w').close(); raise SystemExit(1)")
    assert cli("fit", runs, "--samples", "200", "--jobs", "2").status == 0
    release()
    assert not Path("imported").exists()


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], ids=lambda ending: ending.name)
def test_workers_end_with_the_command(start, ending):
    """And the pipe that they inherited is closed: its reader gets to the end. An interrupt reaches all of them."""
    work = start("2")
    workers = _until(lambda: found if len(found := _workers(work.pid)) == 2 else None)
    time.sleep(0.3)
    others = _children(work.pid)
    (os.killpg if ending is signal.SIGINT else os.kill)(work.pid, ending)
    out, err = work.communicate(timeout=240)
    assert (out, err) == (b"", b"")
    assert work.returncode == (130 if ending is signal.SIGINT else -ending)
    assert len(workers) == 2
    assert _until(lambda: not any(map(_alive, [*workers, *others])))
    assert _until(lambda: not _left(work.pid))


@pytest.mark.slow
@needs_proc
def test_an_interrupt_while_workers_start_is_no_traceback(start):
    work = start("2")
    assert _until(lambda: _workers(work.pid), pause=0.001)
    os.killpg(work.pid, signal.SIGINT)
    out, err = work.communicate(timeout=240)
    assert (out, err, work.returncode) == (b"", b"", 130)
    assert _until(lambda: not _left(work.pid))


@pytest.mark.slow
@needs_proc
def test_a_worker_that_ends_early_is_one_error(start):
    """As where memory runs out."""
    work = start("2")
    workers = _until(lambda: found if len(found := _workers(work.pid)) == 2 else None)
    time.sleep(0.3)
    os.kill(int(workers[0]), signal.SIGKILL)
    out, err = work.communicate(timeout=240)
    assert (work.returncode, out) == (2, b"")
    assert err.decode() == (
        "error: 2 processes could not share the work: one of them ended early\n"
        "hint: where memory ran out, fewer processes need less, and --jobs 1 the least\n"
    )
    assert not any(map(_alive, workers))
    assert _until(lambda: not _left(work.pid))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_a_cluster_is_free_when_the_command_has_ended(start, cluster):
    work = start(f"dask:{cluster.scheduler_address}")
    assert _until(lambda: len(cluster.scheduler.tasks) > 2)
    os.killpg(work.pid, signal.SIGINT)
    out, err = work.communicate(timeout=240)
    assert (out, err, work.returncode) == (b"", b"", 130)
    assert _until(lambda: not cluster.scheduler.tasks)


def _children(parent):
    """Return the processes that another started and that still run."""
    numbers = [place.name for place in Path("/proc").iterdir() if place.name.isdigit()]
    return [number for number in numbers if _alive(number) and _stat(number)[1] == str(parent)]


def _workers(parent):
    """Return those of them that share work: others keep account of semaphores."""
    return [number for number in _children(parent) if b"popen_loky" in _read(f"/proc/{number}/cmdline")]


def _left(process):
    """Return what a process has left in shared memory and among temporary files."""
    places = Path("/dev/shm"), Path("/tmp")
    return [found for place in places for found in place.glob(f"*[-_]{process}[-_]*")]


def _stat(number):
    """Return the state of a process, and who started it."""
    return _read(f"/proc/{number}/stat").decode().rpartition(")")[2].split()[:2] or ["X", ""]


def _read(path):
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _alive(number):
    return _stat(number)[0] not in "ZX"


def _until(question, *, pause=0.05):
    """Return the first answer that is not empty; False after a while."""
    end = time.monotonic() + 240  # of a machine that is busy with other things
    while time.monotonic() < end:
        if answer := question():
            return answer
        time.sleep(pause)
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
