"""How far a ladder is: the state of each run by its folder, what it took, what is left, and the file of the rest.

A run is looked for at ``FOLDER/NAME``, wherever the folder lies now: what ran elsewhere is copied there.
"""

from __future__ import annotations

import math
import shlex
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from scaleplan.errors import Notice, UsageError, quote
from scaleplan.ladder.engines import engine_of
from scaleplan.ladder.ladder_folder import read_ladder
from scaleplan.ladder.ladder_state import PilotRunState, run_folder
from scaleplan.ladder.schedule import time_of_all
from scaleplan.logs.ladder_run import EXIT, MANIFEST, STOPPED
from scaleplan.logs.run_sizes import names_listed
from scaleplan.record import Record, Result
from scaleplan.units.format import format_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scaleplan.ladder.ladder import Ladder, LadderRun
    from scaleplan.ladder.ladder_state import RunFolder

__all__ = ["LadderStatus", "LookedAt", "PilotStatus", "RestOfLadder", "ladder_status", "look_at"]

_REST: tuple[PilotRunState, ...] = ("short", "failed", "stopped", "to run")
"""The states of runs that are to be started, or started again."""


class PilotStatus(Record):
    """How far one run of a ladder is.

    ``step`` is the last one that its log has, and ``share`` that of its ``steps``. ``loss`` is the training loss over
    the last part of the log, ``val_loss`` the last validation loss. ``hours`` have been used since its last start,
    ``quiet_hours`` have passed since a run that has not ended wrote anything into its folder, and ``hours_left`` are
    expected; a run that starts again is expected to do all of its steps. ``reason`` says why a run is not finished.
    """

    run: str
    state: PilotRunState
    params: int
    tokens: int
    steps: int
    step: float | None
    share: float | None
    loss: float | None
    val_loss: float | None
    hours: float | None
    quiet_hours: float | None
    hours_left: float | None
    exit_status: int | None
    reason: str | None
    log: str | None


class LadderStatus(Record, Result):
    """How far the runs of a ladder are, in its order.

    ``total`` runs are ``finished``, ``short`` (exit status 0 before their last step), ``running``, ``failed``,
    ``stopped`` (no exit status, and no sign of life) or ``to_run``. ``gpu_hours`` and ``cost`` are those used since
    the last start of each run; ``gpu_hours_left``, ``days_left`` and ``cost_left`` are expected for all that is left.
    ``speed_factor`` is the time that finished runs took over the time that was predicted; None where the prediction
    stands alone. ``rest`` is the file that was written of what is to be started, and ``submit`` the command for it.
    ``next_command`` is what to do next: submit the ladder or its rest, write the file of the rest, or fit the runs.
    """

    schema: ClassVar[str] = "scaleplan/ladder-status/1"

    folder: str
    engine: str
    total: int
    finished: int
    short: int
    running: int
    failed: int
    stopped: int
    to_run: int
    share: float
    gpus: int
    at_once: int
    gpu_hours: float | None
    cost: float | None
    gpu_hours_left: float | None
    days_left: float | None
    cost_left: float | None
    currency: str | None
    speed_factor: float | None
    runs: tuple[PilotStatus, ...]
    rest: str | None = None
    submit: str | None = None
    next_command: str | None = None
    warnings: tuple[Notice, ...] = ()

    @property
    def to_start(self) -> int:
        """The runs that are to be started, or started again."""
        return sum(run.state in _REST for run in self.runs)


class RestOfLadder(NamedTuple):
    """The file that starts the rest of a ladder: its ``text``, the command that submits it, what to know before."""

    text: str
    submit: str
    names: tuple[str, ...]
    notices: tuple[Notice, ...]


def ladder_status(folder: str | Path, *, now: float | None = None) -> LadderStatus:
    """Return how far the runs of a ladder are, by what lies in its folder.

    Parameters
    ----------
    folder
        The folder that ``design`` wrote, with the folders of runs in it; it may have been moved or copied.
    now
        The time in seconds since 1970, from which the silence of runs is counted; the present by default.

    Raises
    ------
    FileError
        For a folder that is no ladder, and for the folder of a run that cannot be looked into.

    Examples
    --------
    >>> import scaleplan as sp
    >>> sp.ladder_status("pilots/").finished  # doctest: +SKIP
    5

    """
    return look_at(folder, now=now).status()


class LookedAt(NamedTuple):
    """What was found of a ladder in its folder at one time: its record, and each run by its name."""

    ladder: Ladder
    folder: str | Path
    found: Mapping[str, RunFolder]

    def status(self) -> LadderStatus:
        """Return how far the runs are."""
        ladder, folder, found = self
        left = _Remaining.of(ladder, found)
        rows = tuple(_row(run, found[run.name], left.hours[run.name]) for run in ladder.runs)
        states = [row.state for row in rows]
        used = [row.hours for row in rows if row.hours is not None]
        hours = ladder.gpus * math.fsum(used) if used else None
        trained = math.fsum(run.flops * (found[run.name].share or 0.0) for run in ladder.runs)
        return LadderStatus(
            folder=str(folder),
            engine=ladder.engine,
            total=len(rows),
            finished=states.count("finished"),
            short=states.count("short"),
            running=states.count("running"),
            failed=states.count("failed"),
            stopped=states.count("stopped"),
            to_run=states.count("to run"),
            share=1.0 if set(states) <= {"finished"} else trained / math.fsum(run.flops for run in ladder.runs),
            gpus=ladder.gpus,
            at_once=ladder.at_once,
            gpu_hours=hours,
            cost=ladder.cost_of(hours),
            gpu_hours_left=left.gpu_hours,
            days_left=left.days,
            cost_left=ladder.cost_of(left.gpu_hours),
            currency=ladder.currency,
            speed_factor=left.factor,
            runs=rows,
            next_command=_next_command(ladder, folder, states),
            warnings=tuple(_warnings(found)),
        )

    def rest(self, file: str | Path) -> RestOfLadder | None:
        """Return the file that starts the runs that are neither finished nor running, in their order.

        None where there are none left. Raises UsageError for a file that the ladder keeps.
        """
        ladder, place, target = self.ladder, Path(self.folder), Path(file)
        _refuse_own(ladder, place, target)
        runs = tuple(run for run in ladder.runs if self.found[run.name].state in _REST)
        if not runs:
            return None
        short = [run.name for run in runs if self.found[run.name].state == "short"]
        again = {name: began for name in short if (began := self.found[name].began)}
        engine = engine_of(ladder.engine)
        submit = engine.submission(str(file), min(ladder.at_once, len(runs)))
        text = engine.write(replace(ladder, file=target.name, submit=submit), runs, again)
        notices = (*_still_there(self.found), *_short_again(ladder, short, again), *_moved(ladder, place))
        return RestOfLadder(text, submit, tuple(run.name for run in runs), notices)


def look_at(folder: str | Path, *, now: float | None = None) -> LookedAt:
    """Return what is in the folder of a ladder; raises FileError as :func:`ladder_status` does."""
    ladder = read_ladder(folder)
    at = time.time() if now is None else now
    return LookedAt(
        ladder, folder, {run.name: run_folder(Path(folder) / run.name, run, now=at) for run in ladder.runs}
    )


def _next_command(ladder: Ladder, folder: str | Path, states: Sequence[PilotRunState]) -> str | None:
    """Return the command for what comes next; None while the last runs are at work, and for a list of runs."""
    place = shlex.quote(str(Path(folder)))
    if set(states) == {"finished"}:
        return f"scaleplan fit {place} --target {format_plain(ladder.target, digits=4)} -o law.toml"
    if set(states) == {"to run"}:
        return ladder.submit or None
    if set(states).isdisjoint(_REST):
        return None
    return f"scaleplan ladder status {place} -o {_rest_file(ladder, Path(folder))}"


def _rest_file(ladder: Ladder, place: Path) -> str:
    """Return a file for the rest of a ladder that is none of its own, quoted for a shell."""
    return shlex.quote(str(place / f"rest-{ladder.file}"))


def _row(run: LadderRun, found: RunFolder, hours_left: float | None) -> PilotStatus:
    return PilotStatus(
        run=run.name,
        state=found.state,
        params=run.params,
        tokens=run.tokens,
        steps=run.steps,
        step=int(found.step) if found.step is not None and found.step.is_integer() else found.step,
        share=found.share,
        loss=found.loss,
        val_loss=found.val_loss,
        hours=found.hours,
        quiet_hours=found.quiet,
        hours_left=hours_left,
        exit_status=found.exit_status,
        reason=found.reason,
        log=found.log,
    )


def _warnings(found: Mapping[str, RunFolder]) -> Iterator[Notice]:
    """Yield the warnings of runs, each with the names of its runs."""
    alike: dict[Notice, list[str]] = {}
    for name, run in found.items():
        for notice in run.warnings:
            alike.setdefault(notice, []).append(name)
    for notice, names in alike.items():
        yield Notice(code=notice.code, message=f"{names_listed(names)}: {notice.message}")


class _Remaining(NamedTuple):
    """What is left: the hours of each run, and of all of them the GPU-hours and the days; None where unknown.

    ``factor`` is the time of finished runs over the time that was predicted for them.
    """

    hours: Mapping[str, float | None]
    gpu_hours: float | None
    days: float | None
    factor: float | None

    @classmethod
    def of(cls, ladder: Ladder, found: Mapping[str, RunFolder]) -> _Remaining:
        """Return what is left of a ladder: by the prediction, times what finished runs took of theirs.

        Where none was predicted, finished runs tell the time of a FLOP.
        """
        predicted = all(run.hours is not None for run in ladder.runs)
        expected = {run.name: run.hours if predicted and run.hours is not None else run.flops for run in ladder.runs}
        ratios = [
            each.hours / expected[name]
            for name, each in found.items()
            if each.state == "finished" and not each.restarted and each.hours is not None and each.hours > 0
        ]
        factor = statistics.median(ratios) if ratios else 1.0 if predicted else None
        left = {run.name: _hours_left(found[run.name], expected[run.name], factor) for run in ladder.runs}
        known = [hours for hours in left.values() if hours is not None]
        if len(known) < len(left):
            return cls(left, None, None, None)
        working = [left[name] or 0.0 for name, each in found.items() if each.state == "running"]
        waiting = [left[name] or 0.0 for name, each in found.items() if each.state in _REST]
        return cls(
            left,
            ladder.gpus * math.fsum(known),
            time_of_all([*working, *waiting], max(ladder.at_once, len(working))) / 24,
            factor if ratios and predicted else None,
        )


def _hours_left(found: RunFolder, expected: float, factor: float | None) -> float | None:
    if found.state == "finished":
        return 0.0
    if factor is None:
        return None
    whole = expected * factor
    if found.state != "running":
        return whole
    return whole * (1 - found.share) if found.share is not None else max(0.0, whole - (found.hours or 0.0))


def _refuse_own(ladder: Ladder, place: Path, target: Path) -> None:
    """Refuse to write over what starts the whole ladder, or says what it is, or what a run has written."""
    kept = [place / ladder.file, place / MANIFEST]
    real = target.resolve()
    if any(real == each.resolve() for each in kept):
        raise UsageError(
            f"{quote(target)} is the ladder's own file",
            hint=f"name another one: -o {_rest_file(ladder, place)}",
        )
    within = next((run.name for run in ladder.runs if (place / run.name).resolve() in real.parents), None)
    if within is not None:
        raise UsageError(
            f"{quote(target)} is in the folder of run {within}", hint="name a file outside the folders of runs"
        )


def _still_there(found: Mapping[str, RunFolder]) -> Iterator[Notice]:
    """Yield a warning for runs that may still be running, and for those that may be in the queue again."""
    names = [name for name, run in found.items() if run.state == "stopped"]
    if names:
        they = "it has" if len(names) == 1 else "they have"
        message = f"{names_listed(names)}: no sign of life; make sure that {they} ended before you submit the file"
        yield Notice(code="may_be_running", message=message)
    names = [name for name, run in found.items() if run.exit_status == STOPPED]
    if names:
        them = "it" if len(names) == 1 else "them"
        message = f"{names_listed(names)}: stopped by a signal; make sure that the engine does not start {them} again"
        yield Notice(code="may_be_requeued", message=message)


def _short_again(ladder: Ladder, short: Sequence[str], again: Mapping[str, str]) -> Iterator[Notice]:
    """Yield a warning for runs that ended early with exit status 0: whether their shell starts them again."""
    if not engine_of(ladder.engine).submit:
        return
    names = [name for name in short if name in again]
    if names:
        they = "it ends" if len(names) == 1 else "they end"
        message = f"{names_listed(names)}: started again, though exit status 0; see first why {they} early"
        yield Notice(code="short_again", message=message)
    names = [name for name in short if name not in again]
    if names:
        where = "its folder" if len(names) == 1 else "their folders"
        message = f"{names_listed(names)}: exit status 0 is not started again; remove '{EXIT}' in {where} first"
        yield Notice(code="not_started_again", message=message)


def _moved(ladder: Ladder, place: Path) -> Iterator[Notice]:
    """Yield a warning where the runs write to another folder than the one that was looked at, or from elsewhere."""
    if engine_of(ladder.engine).remote:
        return
    named, real = Path(ladder.folder), place.resolve()
    if named.resolve() == real:
        return
    parts = [part for part in named.parts if part != "."]
    above = len(real.parts) - len(parts)
    if not named.is_absolute() and ".." not in parts and list(real.parts[above:]) == parts:
        start = Path(*real.parts[:above])
        yield Notice(code="submit_there", message=f"runs write to {quote(named)}: submit the file in {quote(start)}")
        return
    now = f"it is now {quote(place)}: move it back, or link it"
    message = f"runs write to {quote(named)}, where the ladder was made, and {now}"
    yield Notice(code="moved", message=message)
