"""Following a log that grows, is rotated or truncated, at little cost."""

from __future__ import annotations

import os

import pytest

from scaleplan.errors import FileError, UsageError
from scaleplan.logs.recorder import Recorder
from scaleplan.tracking.watching import continued, looks


def part(first, last, *, seconds=0.0, **stated):
    """Return the log of some steps, of two seconds each."""
    recorder = Recorder("run", "run.log", line=1, format_name="test")
    recorder.state(**stated)
    for step in range(first, last + 1):
        recorder.add(step, {"loss": 3.0 - step / 1000, "seconds": seconds + 2.0 * (step - first)})
    return recorder.run()


class Scene:
    """A log with what happens to it between the looks, in turn."""

    def __init__(self, path, *events):
        self.path, self.events, self.slept, self.used = path, list(events), [], 0.0
        self.spent = 0.0

    def sleep(self, seconds):
        self.slept.append(seconds)
        assert self.events, "nothing more happens"
        self.events.pop(0)()

    def clock(self):
        self.used += 0.3
        return self.used

    def steps(self):
        """Return the steps of each answer, until one reaches 1000."""

        def read():
            if not self.path.exists():
                raise FileError("gone")
            first, last = map(int, self.path.read_text().split()[:2])
            return part(first, last)

        found = looks(
            self.path, read, lambda run: run, lambda run: run.last_step >= 1000,
            every=10, sleep=self.sleep, clock=self.clock, spent=self.spent,
        )  # fmt: skip
        return [(run.curves["loss"].steps[0], run.last_step) for run in found]


def test_it_looks_when_the_log_has_grown_until_the_end(tmp_path):
    """And waits a hundred times as long as the look took of the processor."""
    path = tmp_path / "run.log"
    path.write_text("1 100")
    scene = Scene(path, lambda: path.write_text("1 500"), lambda: None, lambda: path.write_text("1 1000 "))
    assert scene.steps() == [(1, 100), (1, 500), (1, 1000)]
    assert all(seconds == pytest.approx(30.0) for seconds in scene.slept)


def test_a_rotated_or_truncated_log_goes_on(tmp_path):
    """What was read before stands up to where the new log begins, while the log is gone too."""
    path = tmp_path / "run.log"
    path.write_text("1 100 and something more")

    def rotate():
        path.rename(tmp_path / "run.log.1")

    def truncate():
        inode = path.stat().st_ino
        path.write_text("451 1000")
        assert path.stat().st_ino == inode

    first, more = "101 300 and more", "101 450 and much, much more"  # the new log grows before it is truncated
    scene = Scene(path, rotate, lambda: path.write_text(first), lambda: path.write_text(more), truncate)
    assert scene.steps() == [(1, 100), (1, 300), (1, 450), (1, 1000)]


def test_the_start_of_the_program_counts_as_the_first_look(tmp_path):
    """A second before it, and 0.3 for each look."""
    path = tmp_path / "run.log"
    path.write_text("1 100")
    scene = Scene(path, lambda: path.write_text("1 500"), lambda: path.write_text("1 1000 "))
    scene.spent = 1.0
    scene.steps()
    assert scene.slept == pytest.approx([130.0, 30.0])


def test_a_log_that_is_written_anew_as_a_whole_counts_alone():
    """So does that of another run."""
    assert continued(part(1, 300), part(1, 100)).last_step == 100


def test_a_new_log_keeps_what_only_the_old_one_stated():
    """The clock goes on where a new process begins at 0."""
    found = continued(part(1, 300, total_steps=1000), part(301, 400))
    assert found.stated.total_steps == 1000
    assert len(found.curves["loss"]) == 400
    seconds = found.curves["seconds"].values
    assert all(seconds[1:] >= seconds[:-1])


def test_the_first_look_tells_what_is_wrong(tmp_path):
    """Later a log may be away for a moment."""
    scene = Scene(tmp_path / "nosuch.log")
    with pytest.raises(FileError):
        scene.steps()
    with pytest.raises(UsageError):
        next(looks("-", lambda: part(1, 2), lambda run: run, lambda _: True, every=1))


def test_watching_a_still_log_costs_no_look(tmp_path):
    """Only the size and the time of the file are asked for."""
    path, reads = tmp_path / "run.log", []
    path.write_text("x")

    def read():
        reads.append(path)
        return part(1, 1000 if len(reads) > 1 else 10)

    def sleep(_):
        sleeps.append(None)
        if len(sleeps) == 50:
            os.utime(path, (1, 1))

    sleeps = []
    found = looks(path, read, lambda run: run, lambda run: run.last_step >= 1000, every=1, sleep=sleep)
    assert [run.last_step for run in found] == [10, 1000]
    assert (len(reads), len(sleeps)) == (2, 50)
