"""Collect the runs of logs in one table: a row for each, with its sizes, its losses, its schedule and how it ended.

A log tells steps and losses; what a run cost and reached needs its sizes, which come, in this order, from the user,
the log itself, and the files beside it. Runs are read one after the other, and of each only its row is kept.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scaleplan.errors import Notice, UsageError, either, quote
from scaleplan.logs.last_part import final_loss, has_risen, is_growing, last_entry, lowest, rise, state_of, step_text
from scaleplan.logs.log_reading import read_logs
from scaleplan.logs.logged_run import LoggedRun, LoggedRuns
from scaleplan.logs.run_sizes import SizesOfRuns, last_step, names_listed, size_in_name
from scaleplan.logs.schedule_recognition import recognise_schedule
from scaleplan.logs.sizes_given import GivenSizes
from scaleplan.tables.frames import is_frame, is_path
from scaleplan.units import SECONDS_PER_DAY, format_count, format_fraction, format_number, parse_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from scaleplan.logs.learning_rate import LearningRate
    from scaleplan.logs.run_log import LoggedCurve, RunLog
    from scaleplan.logs.run_sizes import RunSizes
    from scaleplan.tables.frames import TableLike
    from scaleplan.units import Amount

    PerRun = Amount | Sequence[str] | Mapping[str, Amount] | None

__all__ = ["collected", "runs"]

_ENDING = ("cosine", "linear", "wsd", "exponential")
"""Schedules that are over where their decay is."""

_MOST_SCHEDULES = 200
"""Schedules that are kept for the next runs: a sweep has some dozens, of up to 10 KB each."""

_MOST_ALIKE = 4  # warnings of one kind that are shown in full


def runs(
    paths: TableLike | Sequence[str | Path],
    *,
    params: PerRun = None,
    model: str | Sequence[str] | Mapping[str, str] | None = None,
    tokens_per_step: PerRun = None,
    batch: PerRun = None,
    context: PerRun = None,
    steps: PerRun = None,
    vocab: Amount | None = None,
    params_from_name: bool = False,
    now: float | None = None,
    progress: Callable[[int], None] | None = None,
    sequence: PerRun = None,
) -> LoggedRuns:
    """Collect the runs of training logs in one table.

    Parameters
    ----------
    paths
        Logs in any format that is known, and folders of them; ``-`` is standard input. A data frame of steps, a dict
        of its columns or a list of dicts is read as the CSV file it would be.
    params, model
        Parameters, or the config of the model (a ``config.json``, a training config, the name of a published model):
        for every run, as texts such as ``"small=125M"``, or as a mapping by the name of the run, in which ``*``
        stands for any text. Without them the log, or a config beside it, tells the size.
    tokens_per_step, batch, context
        Tokens of an optimizer step, sequences of one, tokens of a sequence, of all GPUs together; likewise.
    steps
        Where the runs were to end, by which they are finished or stopped; likewise.
    vocab
        The vocabulary of training configs that leave it to the tokenizer.
    params_from_name
        Read the size of a run from its name, ``pythia-1.4b``, where nothing else tells it.
    now
        Seconds since 1970, by which a log is still written to; the present by default.
    progress
        Called with the number of runs read.
    sequence
        Earlier name of ``context``.

    Raises
    ------
    FileError
        For a path that is no log, or a folder without any.
    UsageError
        For an amount that cannot be read, or a name that no run has.

    Examples
    --------
    >>> import scaleplan as sp
    >>> sp.runs("logs/", params={"small": "125M"}).runs[0].loss  # doctest: +SKIP
    2.87

    """
    listed: list[Any] = [paths] if is_path(paths) or is_frame(paths) else list(cast("Iterable[str | Path]", paths))
    if not listed:
        raise UsageError("there is no log", hint="name a log, or a folder of logs")
    given = GivenSizes.read(
        {
            "params": params,
            "model": model,
            "tokens_per_step": tokens_per_step,
            "batch": batch,
            "context": either("context", context, "sequence", sequence),
            "steps": steps,
        }
    )
    words = None if vocab is None else parse_integer(vocab)
    skipped: list[Notice] = []
    logs = read_logs(listed, skipped=skipped.append)
    found = collected(logs, given, vocab=words, params_from_name=params_from_name, now=now, progress=progress)
    return replace(found, warnings=(*found.warnings, *skipped))


def collected(
    logs: Iterable[RunLog],
    given: GivenSizes,
    *,
    vocab: int | None = None,
    params_from_name: bool = False,
    now: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> LoggedRuns:
    """Return the table of runs that are read one after the other; the keywords are those of :func:`runs`."""
    table = _Table(given=given, vocab=vocab, by_name=params_from_name, now=time.time() if now is None else now)
    return table.of(logs, progress)


class _Table:
    """The table while it is made."""

    def __init__(self, *, given: GivenSizes, vocab: int | None, by_name: bool, now: float) -> None:
        self._given, self._now = given, now
        self._sizes = SizesOfRuns(given, vocab=vocab, by_name=by_name)
        self._schedules: dict[tuple[bytes, float | None], LearningRate | None] = {}

    def of(self, logs: Iterable[RunLog], progress: Callable[[int], None] | None) -> LoggedRuns:
        """Return the rows, and what they lack, a line for each cause."""
        rows: list[LoggedRun] = []
        names: set[str] = set()
        for log in logs:
            name = _distinct(log, names)
            names.add(name)
            rows.append(self._row(log if name == log.name else replace(log, name=name)))
            del log  # with its curves, before the next is read
            if progress is not None:
                progress(len(rows))
        for amounts in self._given:
            amounts.require_met([row.run for row in rows])
        notices = (*_of_rows(rows), *self._sizes.notices(), *_lacking(rows))
        return LoggedRuns(runs=tuple(rows), warnings=notices)

    def _row(self, log: RunLog) -> LoggedRun:
        curves, stated = log.curves, log.stated
        last = last_step(log)
        sizes = self._sizes.of(log)
        schedule = self._schedule(curves.get("lr"), sizes.total)
        known = schedule is not None and schedule.known and (sizes.total is not None or schedule.kind != "constant")
        total = sizes.total
        if total is None and known and schedule is not None and schedule.kind in _ENDING:
            total = float(round(schedule.total))  # where the decay that the rate is in leads to
        train = curves.get("loss")
        final = None if train is None or log.lost else final_loss(train, stated.smoothing)
        warnings = [*log.warnings, *_not_finite(log)]
        state = state_of(log, total=total, growing=is_growing(log, now=self._now))
        if train is not None and final is not None and has_risen(factor := rise(train, final)):
            warnings.append(_rise_of(train, factor))
        val, best = last_entry(curves.get("val_loss")), lowest(curves.get("val_loss"))
        rates = log.curves.get("lr")
        peak = None if stated.relative_rate or rates is None else float(rates.values.max())
        if peak is not None and schedule is not None and schedule.kind != "table":
            peak = max(peak, schedule.peak)  # which may lie between two entries
        about = log.ladder
        if about is not None and rates is not None and _still_rises(rates):
            peak = max(peak or 0.0, about.lr)  # which the warm-up leads to
        return LoggedRun(
            run=log.name,
            state=state,
            params=_whole(sizes.params),
            tokens=_whole(sizes.tokens),
            flops=_flops(sizes),
            loss=None if final is None else final.value,
            smoothing=None if final is None else final.smoothing,
            val_loss=None if val is None else val[1],
            val_step=None if val is None else _whole(val[0]),
            best_val_loss=None if best is None else best[1],
            best_val_step=None if best is None else _whole(best[0]),
            lr=about.lr if peak is None and about is not None else peak,
            schedule="unknown" if schedule is None or schedule.kind == "table" else schedule.kind,
            warmup=None if schedule is None else round(schedule.warmup),
            end_lr=None if peak is None or schedule is None or not known else schedule.end,
            steps=None if math.isnan(last) else _whole(last),
            total_steps=_whole(total),
            tokens_per_step=_whole(sizes.tokens_per_step),
            batch=_whole(sizes.batch),
            sequence=sizes.sequence,
            seed=about.seed if stated.seed is None and about is not None else stated.seed,
            gpu=stated.gpu,
            devices=sizes.devices,
            tokens_per_second=_speed(log, sizes),
            mfu=_typical(curves.get("mfu")),
            days=_days(curves.get("seconds")),
            loss_unit=stated.loss_unit,
            loss_label=log.label,
            val_label=log.val_label,
            params_from=sizes.params_from,
            tokens_from=sizes.tokens_from,
            format=log.format,
            source=log.source,
            line=log.line,
            warnings=tuple(warnings),
        )

    def _schedule(self, curve: LoggedCurve | None, total: float | None) -> LearningRate | None:
        """Return the schedule of a rate, which many runs of a sweep share: each is recognised once."""
        if curve is None or not len(curve):
            return None
        key = sha256(curve.steps.tobytes() + curve.values.tobytes()).digest(), total
        if key not in self._schedules:
            if len(self._schedules) >= _MOST_SCHEDULES:
                del self._schedules[next(iter(self._schedules))]
            self._schedules[key] = recognise_schedule(curve.steps, curve.values, total)
        return self._schedules[key]


def _distinct(log: RunLog, names: set[str]) -> str:
    """Return a name that no run before has, of logs that were named one by one: with the file, or a number."""
    name = log.name if log.name not in names else f"{log.name}/{Path(log.source).stem}"
    numbered = (f"{name}#{number}" for number in count(2))
    return name if name not in names else next(each for each in numbered if each not in names)


def _rise_of(curve: LoggedCurve, factor: float) -> Notice:
    """Return the warning for a training loss that ends above its lowest part by a factor."""
    at = int(np.argmin(curve.values))
    least = (
        f"its lowest entry, {format_number(curve.values[at], digits=4)}, is at step "
        f"{step_text(float(curve.steps[at]))}"
    )
    message = f"the training loss ends {format_fraction((factor - 1), digits=2)} above its lowest part; {least}"
    return Notice(code="ends_above_lowest", message=message)


def _not_finite(log: RunLog) -> Iterator[Notice]:
    """Yield a warning for a loss that was no number on the way, or to the end."""
    found = log.not_finite
    if found is None or any(notice.code == "not_finite" for notice in log.warnings):
        return
    steps = step_text(found.first) if found.count == 1 else f"{step_text(found.first)} to {step_text(found.last)}"
    many = f"step {steps}" if found.count == 1 else f"{found.count} entries, steps {steps}"
    after = "to the end of the log" if log.lost else "and a number again after it"
    yield Notice(code="not_finite", message=f"the loss is NaN or infinite at {many}, {after}")


def _still_rises(rates: LoggedCurve) -> bool:
    """Return whether the last rate is the largest: the run has not left its warm-up, or has one entry."""
    return int(rates.values.argmax()) == len(rates) - 1


def _whole(value: float | None) -> float | None:
    """Return a count as a whole number where it is one; None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else value


def _flops(sizes: RunSizes) -> float | None:
    """Return the compute of a run: 6 FLOP for each active parameter and token."""
    if sizes.tokens is None or sizes.params is None:
        return None
    per_token = 6.0 * sizes.params if sizes.flops_per_token is None else sizes.flops_per_token
    return per_token * sizes.tokens


def _typical(curve: LoggedCurve | None) -> float | None:
    """Return the median of the second half of a curve: without the slow first steps."""
    if curve is None:
        return None
    return float(np.median(curve.values[len(curve) // 2 :]))


def _speed(log: RunLog, sizes: RunSizes) -> float | None:
    """Return the tokens a second of all devices: as logged, or by the clock between the middle and the end."""
    logged = _typical(log.curves.get("tokens_per_second"))
    if logged is not None:
        return logged
    device = _typical(log.curves.get("device_tokens_per_second"))
    if device is not None and sizes.devices is not None:
        return device * sizes.devices
    seconds = log.curves.get("seconds")
    if seconds is None or len(seconds) < 2 or sizes.tokens_per_step is None:
        return None
    middle = (len(seconds) - 1) // 2
    steps, spent = (float(values[-1] - values[middle]) for values in (seconds.steps, seconds.values))
    return steps * sizes.tokens_per_step / spent if spent > 0 and math.isfinite(spent) else None


def _days(curve: LoggedCurve | None) -> float | None:
    entry = last_entry(curve)
    return None if entry is None else entry[1] / SECONDS_PER_DAY


def _of_rows(rows: Sequence[LoggedRun]) -> Iterator[Notice]:
    """Yield the warnings of rows with the names of their runs; of many alike the first."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        for notice in row.warnings:
            alike.setdefault(notice.code, []).append((row.run, notice.message))
    for code, found in alike.items():
        many = len(found) > _MOST_ALIKE
        for run, message in found[:1] if many else found:
            others = list(dict.fromkeys(name for name, _ in found[1:] if name != run))
            more = f"; the like of {names_listed(others)}" if many and others else ""
            yield Notice(code=code, message=f"{run}: {message}{more}")


def _lacking(rows: Sequence[LoggedRun]) -> Iterator[Notice]:
    """Yield what is not known of the runs, and the option that gives it."""
    sizes = [row.run for row in rows if row.params is None]
    if sizes:
        named = next(((name, size) for name in sizes if (size := size_in_name(name)) is not None), None)
        way = "" if named is None else f"; --params-from-name takes {format_count(named[1])} from {quote(named[0])}"
        yield _unknown(
            "params",
            "parameters",
            sizes,
            rows,
            f"give --params or --model, or put its config.json beside the log{way}",
        )
    tokens = [row for row in rows if row.tokens is None and row.steps is not None]
    for way, some in (
        ("give --context", [row.run for row in tokens if row.batch is not None]),
        ("give --batch, or --tokens-per-step", [row.run for row in tokens if row.batch is None and row.sequence]),
        (
            "give --tokens-per-step, or --batch and --context",
            [row.run for row in tokens if row.batch is None and not row.sequence],
        ),
    ):
        if some:
            yield _unknown("tokens", "tokens", some, rows, way)
    ends = [row.run for row in rows if row.state is None and row.steps is not None]
    if ends:
        of = f"{len(ends)} of {len(rows)} runs" if len(rows) > 1 else "the run"
        they = "it was" if len(ends) == 1 else "they were"
        message = f"{names_listed(ends)}: whether {of} finished is not known; give --steps, where {they} to end"
        yield Notice(code="state_unknown", message=message)
    lossless = [row.run for row in rows if row.loss is None and row.val_loss is None and row.state != "diverged"]
    if lossless:
        yield _unknown("loss", "losses", lossless, rows, "the log has none that is known by name")


def _unknown(code: str, what: str, names: Sequence[str], rows: Sequence[LoggedRun], way: str) -> Notice:
    of = f"{len(names)} of {len(rows)} runs" if len(rows) > 1 else "the run"
    return Notice(code=f"{code}_unknown", message=f"{names_listed(names)}: the {what} of {of} are not known; {way}")
