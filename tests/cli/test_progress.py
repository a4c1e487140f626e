"""Progress is for people who wait: late, on a terminal, and gone at the end."""

import io
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from scaleplan.cli.fit import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Return a list whose only entry is the time that progress sees."""
    now = [100.0]
    monkeypatch.setattr("scaleplan.cli.fit.monotonic", lambda: now[0])
    return now


def test_work_under_a_second_shows_nothing(clock, monkeypatch):
    """Nothing is written before a second has passed."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("resamples", 2000) as progress:
        clock[0] += 0.9
        progress(100)
    assert sys.stderr.getvalue() == ""


def test_longer_work_shows_a_line_that_is_removed(clock, monkeypatch):
    """The line says how far the work is, is not rewritten more than ten times a second, and is erased."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("resamples", 2000) as progress:
        clock[0] += 1.1
        progress(100)
        progress(200)  # too soon
        clock[0] += 0.2
        progress(1300)
    assert sys.stderr.getvalue() == "\rresamples 100 of 2,000\x1b[K\rresamples 1,300 of 2,000\x1b[K\r\x1b[K"


def test_a_pipe_sees_no_progress(clock, monkeypatch):
    """Standard error that is no terminal stays empty."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Progress("resamples") as progress:
        clock[0] += 5
        progress(100)
    assert sys.stderr.getvalue() == ""


@pytest.mark.slow
def test_an_interrupt_ends_a_fit_without_a_traceback_or_a_file(process, tmp_path):
    """Ctrl-C in the middle of the resamples: exit status 130, nothing said, nothing written."""
    psutil = pytest.importorskip("psutil")
    params, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(5e7, 3e9, 40), np.geomspace(1e9, 6e10, 40)))
    loss = (1.8 + 480 / params**0.35 + 2000 / tokens**0.37) * np.exp(
        0.01 * np.random.default_rng(0).standard_normal(1600)
    )
    runs = tmp_path / "runs.csv"
    rows = zip(params.tolist(), tokens.tolist(), loss.tolist(), strict=True)
    runs.write_text("\n".join(["params,tokens,loss", *(",".join(map(repr, row)) for row in rows)]))
    command, environment = process("fit", runs, "-o", tmp_path / "law.toml", "--samples", "100000")
    work = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    while work.poll() is None and sum(psutil.Process(work.pid).cpu_times()[:2]) < 2:  # it starts in half a second
        time.sleep(0.05)
    work.send_signal(signal.SIGINT)
    out, err = work.communicate(timeout=240)
    assert (work.returncode, out, err) == (130, "", "")
    assert [item.name for item in tmp_path.iterdir()] == ["runs.csv"]
