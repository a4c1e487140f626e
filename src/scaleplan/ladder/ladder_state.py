"""Read the folder of a ladder's run: its state, its last step and loss, the hours it took, and why it failed."""

from __future__ import annotations

import math
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from scaleplan.errors import FileError, Notice, quote
from scaleplan.files import beginning_of, is_file, is_folder, is_readable
from scaleplan.logs.ladder_run import (
    ALIVE,
    EXIT,
    LOG,
    PAST_LIMIT,
    RUN_FILE,
    STARTED,
    STOPPED,
    LadderRunFile,
    exit_status_in,
    read_run_file,
)
from scaleplan.logs.last_part import final_loss, last_entry, reaches, step_text
from scaleplan.logs.log_ends import ends_of
from scaleplan.logs.log_file import plain
from scaleplan.logs.log_reading import read_run_folder
from scaleplan.logs.run_sizes import last_step
from scaleplan.units import format_plain, format_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.ladder.ladder import LadderRun

__all__ = ["QUIET_HOURS", "PilotRunState", "RunFolder", "run_folder"]

PilotRunState = Literal["finished", "short", "running", "failed", "stopped", "to run"]
"""``short``: exit status 0 before the last step of the log; ``stopped``: no exit status, and no sign of life."""

QUIET_HOURS = 1.0
"""Hours in which a run that shows no signs of life has written nothing, after which it counts as stopped. Trainers
print or save every few minutes at the longest, but Python writes what it prints to a file by 8 KiB: a line of 80
bytes every 30 s takes an hour."""

_LIFELESS_HOURS = 10 / 60
"""Hours without a sign of life, which a run shows each minute, after which it counts as stopped: by then disks that
keep times for a minute, and clocks that differ by a few, have shown one."""

_LATE = 600.0
"""Seconds after its limit at which a run cannot be running: its shell kills it a minute after the limit."""

_SAME_CLOCK = 120.0
"""Seconds by which the clock of a machine may differ from that of the disk it writes to. Where the time that a run
was started is not that at which its file was written, the folder was copied, and its times are those of the copy."""

_MOST_ENTRIES = 2000  # of a run's folder that are looked at for the last time of writing

_LAST = 1 << 16  # bytes of the end of a log that its last line is looked for in

_SIGNALS = 128
"""Above it an exit status is that of a command that a signal ended, by POSIX's shells."""

_EXPLAINED = {
    PAST_LIMIT: "stopped at its limit of time",
    STOPPED: "stopped by a signal: the engine's limit, preemption, or a person",
    137: "killed by signal 9: often out of memory, or ended by the engine at once",
    126: "its program cannot be run",
    127: "its program was not found",
}

_NOT_WRITTEN = "no exit status could be written"

_SHOWN = 40  # bytes that are shown of a file that does not hold what it should

_OF_SHELL = "this run: "
"""How the line begins that the shell of a run puts behind what its command printed."""

_AGAIN = frozenset({"restarted", "started_again"})
"""Warnings of a log that was written by several starts."""

_LONGER = 1.1
"""Times the hours since a start that its steps cannot have taken: only clocks and rounded times lie between."""

_WORD = re.compile(r"\w")


class RunFolder(NamedTuple):
    """What is known of a run by its folder.

    ``step`` is the last one of its log, ``share`` that of its steps; ``hours`` have been used since it last started,
    ``quiet`` are the hours since anything in its folder was written, of a run that has not ended; signs of life are
    no writing. ``reason`` says why it is not finished. ``restarted`` is whether it had started before, and so took
    longer than ``hours``; ``began`` is when it last started, as its folder says it.
    """

    state: PilotRunState
    exit_status: int | None = None
    reason: str | None = None
    step: float | None = None
    share: float | None = None
    loss: float | None = None
    val_loss: float | None = None
    hours: float | None = None
    quiet: float | None = None
    log: str | None = None
    restarted: bool = False
    began: str = ""
    warnings: tuple[Notice, ...] = ()


def run_folder(folder: Path, run: LadderRun, *, now: float) -> RunFolder:
    """Return the state of a run by its folder; raises FileError where it cannot be read."""
    if not is_folder(folder):
        if is_file(folder):
            raise FileError(f"{quote(folder)} is a file, not the folder of a run", hint="move it away")
        return RunFolder(state="to run")
    return _FolderReader(folder, run, now).found()


class _FolderReader:
    """What lies in the folder of a run, and what follows from it at a time."""

    def __init__(self, folder: Path, run: LadderRun, now: float) -> None:
        self.folder, self.run, self.now = folder, run, now
        self.warnings: list[Notice] = []
        self.written = _last_written(folder)
        self.began = _began(folder / STARTED)
        self.started = float(self.began) if self.began else None
        self.started_written = _written(folder / STARTED)
        self.log = read_run_folder(folder, self._about(), opened=ends_of, tell=self.warnings.append)

    def found(self) -> RunFolder:
        """Return what is known of the run."""
        status = exit_status_in(self.folder)
        state, reason = self._state(status)
        step = None if self.log is None or math.isnan(last := last_step(self.log)) else last
        share = None if step is None else 1.0 if state == "finished" else min(1.0, step / self.run.steps)
        lost = self.log is None or self.log.lost
        train = None if self.log is None or lost else self.log.curves.get("loss")
        val = None if self.log is None or lost else last_entry(self.log.curves.get("val_loss"))
        if self.log is not None and lost:
            self._warn("not_finite", "the loss is NaN or infinite to the end of the log")
        if state == "finished" and step is None:
            self._warn("not_in_log", "exit status 0, and no readable log says how far it came")
        return RunFolder(
            state=state,
            exit_status=status,
            reason=reason,
            step=step,
            share=share,
            loss=None if train is None else final_loss(train).value,
            val_loss=None if val is None else val[1],
            hours=self._hours(state),
            quiet=self._quiet() if state in ("running", "stopped") else None,
            log=None if self.log is None else self.log.source,
            restarted=self._restarted(state),
            began=self.began,
            warnings=tuple(self.warnings),
        )

    def _about(self) -> LadderRunFile:
        """Return what the run is by its ladder; a file of another run in its folder is warned of."""
        own = self.run.of_file()
        try:
            there = read_run_file(self.folder)
        except FileError:  # of which the reader of its logs tells
            return own
        if there is not None and there._replace(source=own.source) != own:
            other = next(key for key in own._fields if getattr(there, key) != getattr(own, key))
            self._warn(
                "other_run",
                f"{RUN_FILE} in its folder is of another run ({other} {_short(getattr(there, other))}, not "
                f"{_short(getattr(own, other))}); move the folder away to start this one",
            )
        return own

    def _state(self, status: int | None) -> tuple[PilotRunState, str | None]:
        """Return the state of the run, and why it is not finished."""
        at_end = self._at_end()
        if status == 0:
            return ("finished", None) if at_end is not False else ("short", f"exit status 0 {self._place()}")
        if is_file(self.folder / EXIT):
            return "failed", self._failure(status)
        if self.started is None and not is_file(self.folder / STARTED):
            if self.log is None:
                return "to run", None
            if at_end:
                return "finished", None
        silent = self._silence()
        return ("running", None) if silent is None else ("stopped", silent)

    def _place(self) -> str:
        """Return how far the log is, in words."""
        assert self.log is not None
        return f"at step {step_text(last_step(self.log))} of {self.run.steps:,}"

    def _at_end(self) -> bool | None:
        """Return whether the log has the last step of the run; None where it has no step."""
        if self.log is None or math.isnan(last_step(self.log)):
            return None
        lost = self.log.not_finite
        if lost is not None and lost.last > self.log.last_step:
            return lost.last + max(1.0, (lost.last - lost.first) / max(1, lost.count - 1)) >= self.run.steps
        return reaches(self.run.steps, self.log)

    def _failure(self, status: int | None) -> str:
        last = _last_line(self.folder / LOG)
        shown = "" if last is None else f": {quote(last)}"
        if status is None:
            return f"{self._without_status()}{shown}"
        meaning = _EXPLAINED.get(status)
        if status == PAST_LIMIT and self.run.limit_hours is not None:
            meaning = f"stopped at its limit of {format_seconds(3600 * self.run.limit_hours)}"
        if meaning is None and status > _SIGNALS:
            meaning = f"ended by {_signal_name(status - _SIGNALS)}"
        return f"exit status {status}{'' if meaning is None else f', {meaning}'}{shown}"

    def _without_status(self) -> str:
        """Return why the file of the exit status has none: its shell may have found no room for it."""
        path = self.folder / EXIT
        if not is_readable(path):
            return f"{quote(EXIT)} in its folder cannot be read"
        text = (beginning_of(path, _SHOWN) or b"").decode("utf-8", errors="replace").strip()
        return f"{quote(EXIT)} in its folder holds no exit status: {quote(text)}" if text else _NOT_WRITTEN

    def _silence(self) -> str | None:
        """Return why a run that has no exit status cannot be running; None where it can be."""
        limit = self.run.limit_hours
        if self.started is not None and limit is not None and self.now > self.started + 3600 * limit + _LATE:
            return f"no exit status, though its limit of {format_seconds(3600 * limit)} is over"
        lifeless, quiet = self._lifeless(), self._quiet()
        if lifeless is not None:
            said = f"no exit status, and no sign of life for {format_seconds(3600 * lifeless)}"
            return said if lifeless > _LIFELESS_HOURS else None
        if quiet is None:
            return "no exit status, and nothing written"
        return f"no exit status, and nothing written for {format_seconds(3600 * quiet)}" if quiet > QUIET_HOURS else None

    def _quiet(self) -> float | None:
        """Return the hours since anything was written, in whole minutes: clocks of disks differ by seconds."""
        return None if self.written is None else self._hours_since(self.written)

    def _lifeless(self) -> float | None:
        """Return the hours since the last sign of life; None where this start shows none, or was copied."""
        began, alive = self._clocked_start(), _written(self.folder / ALIVE)
        if began is None or alive is None or alive < began - _SAME_CLOCK:
            return None
        return self._hours_since(max(alive, self.written or 0.0))

    def _clocked_start(self) -> float | None:
        """Return when the run last started by the clock of its disk; None where its files are copies."""
        began, written = self.started, self.started_written
        return written if began is not None and written is not None and abs(written - began) <= _SAME_CLOCK else None

    def _hours_since(self, time: float) -> float:
        return max(0.0, self.now - time) // 60 / 60

    def _hours(self, state: PilotRunState) -> float | None:
        """Return the hours since the last start, by the clock, else by the log; None where neither has them."""
        if state == "to run":
            return None
        end = _written(self.folder / EXIT)
        if end is None:
            end = self.now if state == "running" else self.written
        if self.started is not None and end is not None and self._clocked_start() is not None:
            return max(0.0, end - self.started) / 3600
        seconds = None if self.log is None else last_entry(self.log.curves.get("seconds"))
        return None if seconds is None else seconds[1] / 3600

    def _restarted(self, state: PilotRunState) -> bool:
        """Return whether the log has more in it than the last start: by its steps, or by its own clock."""
        if self.log is None:
            return False
        hours, seconds = self._hours(state), last_entry(self.log.curves.get("seconds"))
        longer = hours is not None and seconds is not None and seconds[1] / 3600 > _LONGER * hours
        return longer or not _AGAIN.isdisjoint(notice.code for notice in self.log.warnings)

    def _warn(self, code: str, message: str) -> None:
        self.warnings.append(Notice(code=code, message=message))


def _short(value: object) -> str:
    return format_plain(value) if isinstance(value, float) else quote(value) if isinstance(value, str) else f"{value}"


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def _began(path: Path) -> str:
    """Return the seconds since 1970 at which a run last started; an empty text where its file does not say."""
    text = (beginning_of(path, 64) or b"").decode("ascii", errors="replace").strip()
    return text if text.isdecimal() and len(text) < 12 else ""


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except (OSError, ValueError):
        return None


def _last_written(folder: Path) -> float | None:
    """Return when anything in a folder, or in those below it, was last written.

    Raises FileError where the folder cannot be looked into.
    """
    try:
        with os.scandir(folder):
            pass
    except OSError as error:
        reason = (error.strerror or "not readable").lower()
        raise FileError(f"cannot read {quote(folder)}: {reason}", hint="make it readable, or move it away") from None
    times = [time for time, _ in zip(_times(folder), range(_MOST_ENTRIES), strict=False)]
    return max(times, default=None)


def _times(folder: Path) -> Iterator[float]:
    """Yield when each file of a folder was last written, then those of the folders below."""
    waiting = [folder]
    while waiting:
        place = waiting.pop(0)
        try:
            entries = list(os.scandir(place))
        except OSError:
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif place is not folder or entry.name != ALIVE:
                    yield entry.stat().st_mtime
            except OSError:
                continue


def _last_line(path: Path) -> str | None:
    """Return the last line with a word of what a command printed; None without one."""
    if not is_file(path):
        return None
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LAST))
            text = plain(file.read()).decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return None
    lines = [line.strip() for line in text.split("\n") if _WORD.search(line)]
    own = [line for line in lines if not line.startswith(_OF_SHELL)]
    return own[-1] if own else None
