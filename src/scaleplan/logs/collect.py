"""Collect the runs of logs in one table: a row for each, with its sizes, its losses, its schedule and how it ended.

A log tells steps and losses; what a run cost and reached needs its sizes, which come, in this order, from the user,
the log itself, and the files beside it. Runs are read one after the other, and of each only its row is kept.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scaleplan.errors import Notice, UsageError, quote
from scaleplan.logs.config_beside import ConfigBeside, ConfigsBeside, read_config_of_run
from scaleplan.logs.last_part import final_loss, has_risen, is_growing, last_entry, lowest, rise, state_of, step_text
from scaleplan.logs.logged_run import LoggedRun, LoggedRuns
from scaleplan.logs.reading import read_logs
from scaleplan.logs.schedule_recognition import recognise_schedule
from scaleplan.logs.sizes_given import GivenSizes
from scaleplan.units import SECONDS_PER_DAY, format_count, parse_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from scaleplan.logs.learning_rate import LearningRate
    from scaleplan.logs.run_log import Curve, RunLog
    from scaleplan.units import Amount

    PerRun = Amount | Sequence[str] | Mapping[str, Amount] | None

__all__ = ["collected", "runs"]

_AGREE = 0.05
"""Two statements of one quantity that differ by more contradict each other: a last partial batch or a warm-up of the
batch moves tokens by less."""

_SAME_COUNT = 0.01  # of parameters: 124M and 124,439,808 are one size

_ENDING = ("cosine", "linear", "wsd", "exponential")
"""Schedules that are over where their decay is."""

_ALIKE = 0.3
"""The logarithm of a count of a config and one that a log prints, for one model: some leave out the embeddings, which
small models have a quarter of their parameters in."""

_NAMED = {
    "batch": "a batch of",
    "sequence": "sequences of",
    "gpus": "devices:",
    "steps": "steps:",
    "batch_tokens": "tokens of a step:",
}
"""Values of a training config that a log may state too, in words."""

_MOST_NAMED = 4

_SIZE_IN_NAME = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?[mMbB])(?![A-Za-z0-9])")


def runs(
    paths: str | Path | Sequence[str | Path],
    *,
    params: PerRun = None,
    model: str | Sequence[str] | Mapping[str, str] | None = None,
    tokens_per_step: PerRun = None,
    batch: PerRun = None,
    sequence: PerRun = None,
    steps: PerRun = None,
    vocab: Amount | None = None,
    params_from_name: bool = False,
    now: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> LoggedRuns:
    """Collect the runs of training logs in one table.

    Parameters
    ----------
    paths
        Logs in any format that is known, and folders of them; ``-`` is standard input.
    params, model
        Parameters, or the config of the model (a ``config.json``, a training config, the name of a published model):
        for every run, as texts such as ``"small=125M"``, or as a mapping by the name of the run, in which ``*``
        stands for any text. Without them the log, or a config beside it, tells the size.
    tokens_per_step, batch, sequence
        Tokens of an optimizer step, sequences of one, tokens of a sequence, of all devices together; likewise.
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
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    if not listed:
        raise UsageError("there is no log", hint="name a log, or a folder of logs")
    given = GivenSizes.read(
        {
            "params": params,
            "model": model,
            "tokens_per_step": tokens_per_step,
            "batch": batch,
            "sequence": sequence,
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


class _Sizes(NamedTuple):
    """What is known of the sizes of a run, and from where."""

    params: float | None
    params_from: str | None
    flops_per_token: float | None
    tokens: float | None
    tokens_from: str | None
    tokens_per_step: float | None
    batch: float | None
    sequence: int | None
    devices: int | None
    total: float | None


class _Table:
    """The table while it is made."""

    def __init__(self, *, given: GivenSizes, vocab: int | None, by_name: bool, now: float) -> None:
        self._given, self._vocab, self._by_name, self._now = given, vocab, by_name, now
        self._beside = ConfigsBeside(vocab=vocab)
        self._models: dict[str, ConfigBeside] = {}
        self._notices: dict[tuple[str, str], list[str]] = {}

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
        shared = [
            Notice(code=code, message=f"{_listed(names)}: {message}")
            for (code, message), names in self._notices.items()
        ]
        return LoggedRuns(runs=tuple(rows), warnings=(*_of_rows(rows), *shared, *_lacking(rows)))

    def _row(self, log: RunLog) -> LoggedRun:
        curves, stated = log.curves, log.stated
        last = _last_step(log)
        sizes = self._sizes(log)
        schedule = _schedule(curves.get("lr"), sizes.total)
        known = schedule is not None and schedule.known and (sizes.total is not None or schedule.kind != "constant")
        total = sizes.total
        if total is None and known and schedule is not None and schedule.kind in _ENDING:
            total = float(round(schedule.total))  # where the decay that the rate is in leads to
        train = curves.get("loss")
        final = None if train is None or log.lost else final_loss(train, stated.smoothing)
        warnings = [*log.warnings, *_not_finite(log)]
        state = state_of(log, total=total, growing=is_growing(log, now=self._now))
        if train is not None and final is not None and has_risen(factor := rise(train, final)):
            lowest_at = lowest(train)
            at = "" if lowest_at is None else f", which it had before step {step_text(train.steps[-1])}"
            message = f"the training loss ends {factor - 1:.0%} above its lowest part{at}"
            warnings.append(Notice(code="loss_rises", message=message))
        val, best = last_entry(curves.get("val_loss")), lowest(curves.get("val_loss"))
        rates = log.curves.get("lr")
        peak = None if stated.relative_rate or rates is None else float(rates.values.max())
        if peak is not None and schedule is not None and schedule.kind != "table":
            peak = max(peak, schedule.peak)  # which may lie between two entries
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
            lr=peak,
            schedule="unknown" if schedule is None or schedule.kind == "table" else schedule.kind,
            warmup=None if schedule is None else round(schedule.warmup),
            end_lr=None if peak is None or schedule is None or not known else schedule.end,
            steps=None if math.isnan(last) else _whole(last),
            total_steps=_whole(total),
            tokens_per_step=_whole(sizes.tokens_per_step),
            batch=_whole(sizes.batch),
            sequence=sizes.sequence,
            seed=stated.seed,
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

    def _sizes(self, log: RunLog) -> _Sizes:
        """Return the sizes of a run: as given, as the log states or counts them, as a config beside it has them."""
        name, stated, given = log.name, log.stated, self._given
        configs = self._configs(log)
        values = self._agreeing(log, configs)
        params, params_from, per_token = self._params(log, configs)
        sequence = _first(given.sequence.of(name), stated.sequence, values.get("sequence"))
        devices = _first(stated.devices, values.get("gpus"))
        batch = _first(given.batch.of(name), stated.batch, values.get("batch"))
        per_step, source = self._tokens_per_step(log, values, batch=batch, sequence=sequence)
        tokens, tokens_from = None, None
        counted = _counted(log, sequence)
        if counted is not None:
            tokens, tokens_from = counted, "counted in the log"
            own = tokens / _last_step(log)
            if per_step is not None and abs(math.log(per_step / own)) > _AGREE:
                self._note(
                    "tokens_differ",
                    f"the log counts other tokens than its steps times the tokens of a step, {source}; "
                    "those of the log count",
                    f"{name} ({format_count(tokens)}, not {format_count(per_step * _last_step(log))})",
                )
                per_step = own
            per_step = per_step if per_step is not None and source != "given" else own
        elif per_step is not None and not math.isnan(_last_step(log)):
            tokens, tokens_from = _last_step(log) * per_step, f"steps × tokens of a step, {source}"
        total = _first(given.steps.of(name), stated.total_steps, values.get("steps"))
        planned = _first(stated.total_tokens, values.get("tokens"))
        if total is None and planned is not None and per_step:
            total = float(planned) / per_step
        if batch is None and per_step and sequence:
            batch = per_step / float(sequence)
        return _Sizes(
            params=params,
            params_from=params_from,
            flops_per_token=per_token,
            tokens=tokens,
            tokens_from=tokens_from,
            tokens_per_step=per_step,
            batch=None if batch is None else float(batch),
            sequence=None if sequence is None else int(sequence),
            devices=None if devices is None else int(devices),
            total=None if total is None else float(total),
        )

    def _agreeing(self, log: RunLog, configs: Sequence[ConfigBeside]) -> Mapping[str, Any]:
        """Return the values of a training config that the log does not contradict: it may be that of another run."""
        stated = log.stated
        in_log = {"batch": stated.batch, "sequence": stated.sequence, "gpus": stated.devices}
        in_log |= {"steps": stated.total_steps, "batch_tokens": stated.tokens_per_step}
        kept: dict[str, Any] = {}
        for config in reversed(configs):
            kept |= config.values
        source = next((config.source for config in configs if config.values), "")
        for key, amount in in_log.items():
            own = kept.get(key)
            if amount and own and abs(math.log(float(own) / float(amount))) > _AGREE:
                self._differs(source, f"{_NAMED[key]} {own:,}", f"{amount:,.0f}", log.name)
                for name in (key, "batch_tokens") if key in ("batch", "sequence") else (key,):
                    kept.pop(name, None)
        planned = kept.get("steps")
        if planned is None and kept.get("tokens") and kept.get("batch_tokens"):
            planned = kept["tokens"] / kept["batch_tokens"]
        if planned is not None and _last_step(log) > (1 + _AGREE) * float(planned):
            self._differs(source, f"{_NAMED['steps']} {planned:,.0f}", f"{_last_step(log):,.0f}", log.name)
            kept.pop("steps", None)
            kept.pop("tokens", None)
        return kept

    def _differs(self, source: str, own: str, in_log: str, run: str) -> None:
        message = f"{source} has {own}, the log {in_log}, which counts; it may be the config of another run"
        self._note("config_differs", message, run)

    def _tokens_per_step(
        self, log: RunLog, values: Mapping[str, Any], *, batch: float | None, sequence: float | None
    ) -> tuple[float | None, str]:
        """Return the tokens of a step and where they are from."""
        given, stated = self._given, log.stated
        product = float(batch) * float(sequence) if batch and sequence else None
        own = [given.batch.of(log.name), given.sequence.of(log.name)]
        for amount, source in (
            (given.tokens_per_step.of(log.name), "given"),
            (product if any(own) else None, "given"),
            (stated.tokens_per_step, "stated in the log"),
            (product if stated.batch and stated.sequence else None, "stated in the log"),
            (product if stated.batch or stated.sequence else None, "of the log and the training config"),
            (values.get("batch_tokens"), "of the training config"),
            (product, "of the training config"),
        ):
            if amount:
                return float(amount), source
        return None, ""

    def _params(self, log: RunLog, configs: Sequence[ConfigBeside]) -> tuple[float | None, str | None, float | None]:
        """Return the parameters of a run, where they are from, and the FLOP of a token where a config tells them."""
        given = self._given.params.of(log.name)
        config = next((config for config in configs if config.model is not None), None)
        counted = None if config is None or config.model is None else float(config.model.params)
        per_token = None if config is None or config.model is None else config.model.flops_per_token
        if given is not None:
            if counted is not None and config is not None and abs(math.log(float(given) / counted)) > _SAME_COUNT:
                self._note(
                    "params_differ",
                    f"--params is not what {config.source} has; the option counts",
                    f"{log.name} ({format_count(float(given))}, not {format_count(counted)})",
                )
                per_token = None
            return float(given), "given", per_token
        printed = log.stated.params
        if config is not None and counted is not None:
            if printed is None or abs(math.log(printed / counted)) <= _ALIKE:
                return counted, config.source, per_token
            self._differs(config.source, f"{format_count(counted)} parameters", format_count(printed), log.name)
        if printed is not None:
            return float(printed), "log", None
        for other in configs:
            if other.problem is not None:
                self._note("config_unread", f"no model from the config beside it: {other.problem}", log.name)
        guess = _in_name(log.name)
        if self._by_name and guess is not None:
            self._note("params_from_name", "params are read from the name alone, not counted", f"{log.name}")
            return guess, "name", None
        return None, None, None

    def _configs(self, log: RunLog) -> tuple[ConfigBeside, ...]:
        """Return the config that is given for a run, else those beside its log."""
        named = self._given.model.of(log.name)
        if named is None:
            return () if log.source == "-" else self._beside.of(Path(log.source), log.name)
        text = str(named)
        if text not in self._models:
            self._models[text] = read_config_of_run(text, vocab=self._vocab)
            if self._models[text].model is None:
                raise UsageError(f"--model {quote(text)}: {self._models[text].problem}")
        return (self._models[text],)

    def _note(self, code: str, message: str, run: str) -> None:
        names = self._notices.setdefault((code, message), [])
        if run not in names:
            names.append(run)


def _first(*values: Any) -> Any:  # noqa: ANN401  numbers and texts of three sources
    return next((value for value in values if value is not None), None)


def _distinct(log: RunLog, names: set[str]) -> str:
    """Return a name that no run before has, of logs that were named one by one: with the file, or a number."""
    name = log.name if log.name not in names else f"{log.name}/{Path(log.source).stem}"
    numbered = (f"{name}#{number}" for number in count(2))
    return name if name not in names else next(each for each in numbered if each not in names)


def _last_step(log: RunLog) -> float:
    """Return the last step of a log, with a loss that is a number or not; NaN of an empty one."""
    lost = math.nan if log.not_finite is None else log.not_finite.last
    return max((step for step in (log.last_step, lost) if not math.isnan(step)), default=math.nan)


def _counted(log: RunLog, sequence: float | None) -> float | None:
    """Return the tokens that a log counts, to its last step; None where it counts none."""
    counted, factor = last_entry(log.curves.get("tokens")), 1.0
    if counted is None and sequence:
        counted, factor = last_entry(log.curves.get("samples")), float(sequence)
    if counted is None or min(counted) <= 0:
        return None
    return factor * (counted[1] + max(_last_step(log) - counted[0], 0.0) * counted[1] / counted[0])


def _not_finite(log: RunLog) -> Iterator[Notice]:
    """Yield a warning for a loss that was no number on the way, or to the end."""
    found = log.not_finite
    if found is None or any(notice.code == "not_finite" for notice in log.warnings):
        return
    steps = step_text(found.first) if found.count == 1 else f"{step_text(found.first)} to {step_text(found.last)}"
    many = f"step {steps}" if found.count == 1 else f"{found.count} entries, steps {steps}"
    after = "to the end of the log" if log.lost else "and a number again after it"
    yield Notice(code="not_finite", message=f"the loss is NaN or infinite at {many}, {after}")


def _whole(value: float | None) -> float | None:
    """Return a count as a whole number where it is one; None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else value


def _flops(sizes: _Sizes) -> float | None:
    """Return the compute of a run: 6 FLOP for each active parameter and token."""
    if sizes.tokens is None or sizes.params is None:
        return None
    per_token = 6.0 * sizes.params if sizes.flops_per_token is None else sizes.flops_per_token
    return per_token * sizes.tokens


def _schedule(curve: Curve | None, total: float | None) -> LearningRate | None:
    return None if curve is None or not len(curve) else recognise_schedule(curve.steps, curve.values, total)


def _typical(curve: Curve | None) -> float | None:
    """Return the median of the second half of a curve: without the slow first steps."""
    if curve is None:
        return None
    return float(np.median(curve.values[len(curve) // 2 :]))


def _speed(log: RunLog, sizes: _Sizes) -> float | None:
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


def _days(curve: Curve | None) -> float | None:
    entry = last_entry(curve)
    return None if entry is None else entry[1] / SECONDS_PER_DAY


def _in_name(name: str) -> float | None:
    """Return the size that a name holds; None for none, and for several, of which one may be the tokens."""
    found = _SIZE_IN_NAME.findall(name)
    if len(found) != 1:
        return None
    return float(found[0][:-1]) * (1e6 if found[0][-1] in "mM" else 1e9)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"


def _of_rows(rows: Sequence[LoggedRun]) -> Iterator[Notice]:
    """Yield the warnings of rows with the names of their runs; of many alike the first."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        for notice in row.warnings:
            alike.setdefault(notice.code, []).append((row.run, notice.message))
    for code, found in alike.items():
        many = len(found) > _MOST_NAMED
        for run, message in found[:1] if many else found:
            others = list(dict.fromkeys(name for name, _ in found[1:] if name != run))
            more = f"; the like of {_listed(others)}" if many and others else ""
            yield Notice(code=code, message=f"{run}: {message}{more}")


def _lacking(rows: Sequence[LoggedRun]) -> Iterator[Notice]:
    """Yield what could not be told of the runs, and the option that tells it."""
    sizes = [row.run for row in rows if row.params is None]
    if sizes:
        named = next(((name, size) for name in sizes if (size := _in_name(name)) is not None), None)
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
        ("give --sequence", [row.run for row in tokens if row.batch is not None]),
        ("give --batch, or --tokens-per-step", [row.run for row in tokens if row.batch is None and row.sequence]),
        (
            "give --tokens-per-step, or --batch and --sequence",
            [row.run for row in tokens if row.batch is None and not row.sequence],
        ),
    ):
        if some:
            yield _unknown("tokens", "tokens", some, rows, way)
    ends = [row.run for row in rows if row.state is None and row.steps is not None]
    if ends:
        of = f"{len(ends)} of {len(rows)} runs" if len(rows) > 1 else "the run"
        they = "it was" if len(ends) == 1 else "they were"
        message = f"{_listed(ends)}: whether {of} finished is not known; give --steps, where {they} to end"
        yield Notice(code="state_unknown", message=message)
    lossless = [row.run for row in rows if row.loss is None and row.val_loss is None and row.state != "diverged"]
    if lossless:
        yield _unknown("loss", "losses", lossless, rows, "the log has none that is known by name")


def _unknown(code: str, what: str, names: Sequence[str], rows: Sequence[LoggedRun], way: str) -> Notice:
    of = f"{len(names)} of {len(rows)} runs" if len(rows) > 1 else "the run"
    return Notice(code=f"{code}_unknown", message=f"{_listed(names)}: the {what} of {of} are not known; {way}")
