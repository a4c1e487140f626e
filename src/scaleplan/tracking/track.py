"""Track a running training by its log: where its loss will end, whether that is the planned loss, what is left.

The loss curve of the log, its learning rate and, where there are, the curves of smaller runs give the forecast of the
end; a law, a registered forecast or the smaller runs give the loss to compare it with.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from scaleplan.arrays import whole
from scaleplan.errors import FileError, Notice, UnknownNameError, UsageError, quote
from scaleplan.hardware.budget import BudgetRequest
from scaleplan.logs.collect import collected
from scaleplan.logs.learning_rate import parse_schedule
from scaleplan.logs.log_reading import is_log, read_logs
from scaleplan.logs.schedule_recognition import recognise_schedule
from scaleplan.logs.sizes_given import GivenSizes
from scaleplan.planning.context import Context
from scaleplan.planning.request import parse_price
from scaleplan.planning.uncertainty import require_level
from scaleplan.record import Record
from scaleplan.tracking.alarm import FEWEST_POINTS, Alarm, CourseCheck, check_course
from scaleplan.tracking.ending import forecast_end
from scaleplan.tracking.loss_curve import LossCurve
from scaleplan.tracking.pace import pace_of
from scaleplan.tracking.planned import LossInterval, planned_by_law, planned_by_runs, planned_in
from scaleplan.tracking.recipe_alarm import FEWEST_FOR_SHAPE
from scaleplan.tracking.stopping import parse_condition
from scaleplan.tracking.tracked_run import Departure, Moment, NextLook, Tracked, Tracking
from scaleplan.tracking.verdict import compared, look_again, since_when, verdict_of
from scaleplan.tracking.watching import looks
from scaleplan.units import (
    counted,
    format_count,
    format_fraction,
    parse_count,
    parse_fraction,
    parse_integer,
    parse_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from scaleplan.arrays import Array, Mask
    from scaleplan.logs.learning_rate import LearningRate
    from scaleplan.logs.logged_run import LoggedRun
    from scaleplan.logs.run_log import LoggedCurve, RunLog
    from scaleplan.presets.preset import Preset
    from scaleplan.tracking.ending import Ending
    from scaleplan.tracking.planned import Metric, Planned
    from scaleplan.tracking.stopping import StopCondition
    from scaleplan.tracking.verdict import Verdict
    from scaleplan.units import Amount

__all__ = ["Question", "chosen_run", "question_of", "track", "track_run", "tracked", "watched"]

_QUANTITY: dict[Metric, str] = {"training": "loss", "validation": "val_loss"}

_METRICS: dict[str, Metric] = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "validation": "validation",
}

_EARLY = 0.1
"""The share of a run before which there is no verdict: forecasts are measured from a fifth of the run on, and their
errors at a tenth are twice as large."""

_POINTS = 2000
"""Points of a curve that the methods get: neighbours are averaged, which keeps what they hold of its course."""

_LATEST = 0.02  # the share of the points seen that the loss now is the mean of

_LOST = 3  # entries without a number at the end of a log that mean a run is lost: one is skipped by a loss scale

_LARGEST = 1e100  # of what is taken for a loss

_DIFFERS = 0.01  # of the tokens: two statements of where a run ends that agree as well as round numbers do


class Question(Record):
    """What is known of a run beside its log, read from the texts of options."""

    planned: Planned | None
    preset: str | Preset | None
    references: tuple[RunLog, ...]
    pilots: str | None
    schedule: str | None
    tokens: float | None
    steps: float | None
    params: float | None
    metric: Metric | None
    hardware: BudgetRequest
    level: float
    context: Context


def track(
    log: str | Path,
    *,
    plan: str | Path | None = None,
    preset: str | Preset | None = None,
    pilots: str | Path | None = None,
    schedule: str | None = None,
    tokens: Amount | None = None,
    steps: Amount | None = None,
    params: Amount | None = None,
    run: str | None = None,
    loss: str | None = None,
    gpu: str | None = None,
    gpus: Amount | None = None,
    precision: str | None = None,
    price: Amount | None = None,
    mfu: Amount | None = None,
    level: Amount = 0.9,
    fail_on: Sequence[str] = (),
    data: Context | None = None,
) -> Tracking:
    """Forecast the end of a running training from its log, and judge it by what was planned.

    Parameters
    ----------
    log
        The log of the run, in any format that :func:`scaleplan.runs` reads, a folder, or ``-`` for standard input.
    plan
        The planned loss: a plan that ``--json`` wrote, or a registered forecast.
    preset
        Instead of it, the law that gives it, at the size and the tokens of the run.
    pilots
        Smaller runs of the same recipe: a table, a log or a folder. Their curves show the shape, and their final
        losses, without another plan, the loss to expect.
    schedule
        The learning rate where the log does not have it: ``"cosine"``, ``"wsd decay=20%"``.
    tokens, steps
        Where the run will end, if the log does not say so.
    params
        The parameters of the model, where neither the log nor a config.json beside it has them.
    run
        The name of the run, of a log that holds several.
    loss
        Which loss is tracked: ``"val"`` or ``"train"``; by default the validation loss where a plan is one and there
        are enough points of it.
    gpu, gpus, precision, price, mfu
        The hardware; by default that of the plan. ``mfu`` is the planned utilisation.
    level
        Confidence level of the intervals.
    fail_on
        Conditions such as ``"loss > 2.1@90%"`` or ``"verdict = diverging"``: those that are met are ``stopped_by``.
    data
        The data files; read anew by default.

    Raises
    ------
    ScaleplanError
        When the log or the plan cannot be read, or an option is wrong.

    """
    return tracked(
        log, plan=plan, preset=preset, pilots=pilots, schedule=schedule, tokens=tokens, steps=steps, params=params,
        run=run, loss=loss, gpu=gpu, gpus=gpus, precision=precision, price=price, mfu=mfu, level=level,
        fail_on=fail_on, data=data,
    ).tracking  # fmt: skip


def tracked(
    log: str | Path,
    *,
    run: str | None = None,
    fail_on: Sequence[str] = (),
    data: Context | None = None,
    **options: Any,  # noqa: ANN401  those of track
) -> Tracked:
    """Return the answer of :func:`track` with the curves behind it."""
    conditions = [parse_condition(text) for text in fail_on]
    question = question_of(data or Context(), **options)
    return track_run(chosen_run(read_logs([log]), run, str(log)), question, conditions)


def watched(
    log: str | Path,
    *,
    every: Amount = 60.0,
    spent: float = 0.0,
    run: str | None = None,
    fail_on: Sequence[str] = (),
    data: Context | None = None,
    **options: Any,  # noqa: ANN401  those of track
) -> Iterator[Tracked]:
    """Yield the answer of :func:`track` now and whenever the log has grown, until the run ends or must stop.

    ``spent`` is the processor time of the start of the program, which counts as that of the first look.
    """
    conditions = [parse_condition(text) for text in fail_on]
    question = question_of(data or Context(), **options)
    yield from looks(
        log,
        lambda: chosen_run(read_logs([log]), run, str(log)),
        lambda found: track_run(found, question, conditions),
        lambda each: each.tracking.finished or bool(each.tracking.stopped_by),
        every=parse_seconds(every),
        spent=spent,
    )


def question_of(
    context: Context,
    *,
    plan: str | Path | None = None,
    preset: str | Preset | None = None,
    pilots: str | Path | None = None,
    schedule: str | None = None,
    tokens: Amount | None = None,
    steps: Amount | None = None,
    params: Amount | None = None,
    loss: str | None = None,
    gpu: str | None = None,
    gpus: Amount | None = None,
    precision: str | None = None,
    price: Amount | None = None,
    mfu: Amount | None = None,
    level: Amount = 0.9,
) -> Question:
    """Read the texts of options; raises UsageError for two plans."""
    if plan is not None and preset is not None:
        raise UsageError("the planned loss is given twice: --plan and --preset", hint="give one of them")
    planned = None if plan is None else planned_in(plan)
    if loss is not None and loss not in _METRICS:
        raise UnknownNameError("loss to track", loss, ("val", "train"))
    return Question(
        planned=planned,
        preset=preset,
        references=() if pilots is None or not is_log(pilots) else tuple(read_logs([pilots])),
        pilots=None if pilots is None else str(pilots),
        schedule=schedule,
        tokens=None if tokens is None else parse_count(tokens, what="tokens"),
        steps=None if steps is None else float(parse_integer(steps)),
        params=None if params is None else parse_count(params, what="params"),
        metric=None if loss is None else _METRICS[loss],
        hardware=_hardware(planned, gpu=gpu, gpus=gpus, precision=precision, price=price, mfu=mfu),
        level=require_level(parse_fraction(level)),
        context=context,
    )


def _hardware(planned: Planned | None, **given: Amount | None) -> BudgetRequest:
    """Return the hardware that is given, or that of the plan where none is."""
    found = BudgetRequest(
        gpu=None if given["gpu"] is None else str(given["gpu"]),
        gpus=None if given["gpus"] is None else float(parse_integer(given["gpus"])),
        precision=None if given["precision"] is None else str(given["precision"]),
        price=None if given["price"] is None else parse_price(given["price"]),
        mfu=None if given["mfu"] is None else parse_fraction(given["mfu"]),
    )
    if found.gpu is None:
        for name in ("precision", "price", "mfu"):
            if given[name] is not None and (planned is None or planned.gpu is None):
                raise UsageError(f"--{name} belongs to an accelerator", hint="name it with --gpu")
    if planned is None or planned.gpu is None or found.gpu not in (None, planned.gpu):
        return found
    own = {name: getattr(planned, name) for name in ("gpu", "gpus", "precision", "price", "mfu")}
    return replace(found, **{name: value for name, value in own.items() if getattr(found, name) is None})


def chosen_run(runs: Iterable[RunLog], name: str | None, log: str) -> RunLog:
    """Return the run of a log that is tracked: its only one with a loss, or the one of a name."""
    found = [run for run in runs if any(each in run.curves for each in _QUANTITY.values())]
    if not found:
        raise FileError(f"{log}: holds no loss of a run", hint="'scaleplan runs' shows what it reads of a log")
    if name is None and len(found) == 1:
        return found[0]
    names = list(dict.fromkeys(run.name for run in found))
    if name is None:
        some = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        raise UsageError(
            f"{log}: holds {len(found)} runs: {some}", hint=f"choose one, such as --run {quote(names[-1])}"
        )
    chosen = [run for run in found if run.name == name]
    if not chosen:
        raise UnknownNameError("run", name, names)
    if len(chosen) > 1:
        raise UsageError(
            f"{log}: holds {len(chosen)} runs of the name {quote(name)}", hint="name the file of one of them"
        )
    return chosen[0]


@np.errstate(all="ignore")  # of logarithms of what is no loss, which is left out
def track_run(run: RunLog, question: Question, conditions: Sequence[StopCondition] = ()) -> Tracked:
    """Return the tracking of one run that was read."""
    row = _row(run, question.params, question.steps)
    warnings = [*run.warnings, *row.warnings]
    step = run.last_step
    total, per_step = _end_of(run, row, question, warnings)
    params = row.params or (question.planned.params if question.planned else None)
    tokens = None if per_step is None else per_step * total
    finished = row.state == "finished" or step + 1 >= total  # steps that count from 0 end at the last but one
    schedule = _schedule(run, question, total)
    planned = _planned(question, params, tokens, warnings)
    metric, raw = _chosen_curve(run, question, planned, warnings)
    curve = _loss_curve(run.name, raw, total=total, schedule=schedule, params=params, tokens=tokens)
    lost = _lost_since(run)
    references = _references(question, metric, run, params, warnings)
    course = _course(curve, references, lost)
    alarm = course.alarm
    ending = forecast_end(_rejoined(curve, alarm), references, level=question.level) if lost is None else None
    if finished and ending is not None:
        ending = replace(ending, upper_bound=False)  # no decay is to come
    if planned is not None and planned.source.judges and planned.metric != metric:
        planned = _as_tracked(planned, run, warnings)
    comparison = _comparison(curve, references, ending, planned, question.level)
    if not _judges(planned) and course.told and len(references) >= FEWEST_FOR_SHAPE:
        comparison = "on course" if curve.seen >= _EARLY else "too early"  # as the smaller runs went
    elif planned is None and not course.told:
        comparison = "too few points"
    verdict = verdict_of(comparison, alarm)
    since = alarm.since if alarm is not None and verdict == alarm.kind else None
    if since is None and planned is not None and verdict in ("on course", "better", "worse"):
        since = _since(verdict, curve, references, planned, question.level)
    pace = pace_of(
        run,
        question.context,
        steps_left=0.0 if finished else max(total - step, 0.0),
        tokens_per_step=per_step,
        params=params,
        request=_with_own(question.hardware, row),
    )
    clock = _Clock(run, per_step)
    warnings += [*_about_forecast(run, ending, curve), *_about_course(course, ending)]
    again = None
    if ending is not None and not finished:
        again = look_again(curve.seen, ending, planned if _judges(planned) else None, verdict, level=question.level)
    at = None if again is None else again.seen * total
    tracking = Tracking(
        run=run.name,
        source=run.source,
        format=run.format,
        loss=None if ending is None else ending.loss,
        interval=None if ending is None else LossInterval(level=ending.level, loss=ending.interval),
        upper_bound=ending is not None and ending.upper_bound,
        plan_loss=None if planned is None else planned.loss,
        plan_interval=None if planned is None else planned.interval,
        plan_source=None if planned is None else planned.source,
        verdict=verdict,
        since=None if since is None else clock.moment(since),
        departure=None
        if alarm is None
        else Departure(
            kind=alarm.kind, since=clock.moment(alarm.since), size=alarm.size if math.isfinite(alarm.size) else None
        ),
        seen=min(step / total, 1.0),
        step=whole(step),
        total_steps=whole(total),
        tokens=clock.tokens(step),
        total_tokens=None if tokens is None else whole(tokens),
        params=params,
        loss_now=_loss_now(curve),
        metric=metric,
        label=run.val_label if metric == "validation" else run.label,
        smoothing=_smoothing(run, metric, curve),
        loss_unit=run.stated.loss_unit,
        points=len(raw) * raw.stride,
        finished=finished,
        updated=clock.moment(step).date,
        schedule="unknown" if schedule is None else schedule.kind,
        smaller_runs=len(references),
        methods=() if ending is None else ending.methods,
        days_left=pace.days_left,
        cost_left=pace.cost_left,
        currency=pace.currency,
        mfu=pace.mfu,
        mfu_source=pace.mfu_source,
        planned_mfu=question.hardware.mfu,
        tokens_per_second=pace.tokens_per_second,
        seconds_per_step=pace.seconds_per_step,
        gpu=pace.gpu,
        gpus=pace.gpus,
        precision=pace.precision,
        price_per_hour=pace.price_per_hour,
        price_source=pace.price_source,
        next_look=None
        if again is None or at is None
        else NextLook(
            step=whole(at),
            tokens=clock.tokens(at),
            seen=again.seen,
            days=None if pace.days_left is None else pace.days_left * (at - step) / (total - step),
            reason=again.reason,
        ),
        warnings=tuple(dict.fromkeys((*warnings, *pace.warnings))),
    )
    reasons = (each.met(tracking) for each in conditions)
    tracking = replace(tracking, stopped_by=tuple(reason for reason in reasons if reason is not None))
    return Tracked(tracking=tracking, curve=curve, references=references, ending=ending)


def _judges(planned: Planned | None) -> bool:
    return planned is not None and planned.source.judges


def _row(run: RunLog, params: float | None = None, steps: float | None = None) -> LoggedRun:
    """Return what the log of a run and the files beside it tell of its sizes, as ``runs`` reads them."""
    given = {name: {"*": value} for name, value in (("params", params), ("steps", steps)) if value is not None}
    return collected([run], GivenSizes.read(given)).runs[0]


def _with_own(hardware: BudgetRequest, row: LoggedRun) -> BudgetRequest:
    """Return the hardware with the number of devices that the log has, where none is given."""
    if hardware.gpus is not None or row.devices is None:
        return hardware
    return replace(hardware, gpus=float(row.devices))


def _end_of(run: RunLog, row: LoggedRun, question: Question, warnings: list[Notice]) -> tuple[float, float | None]:
    """Return the steps of the whole run, and the tokens of a step.

    Raises UsageError where nothing says where the run ends, and for an end that it has passed.
    """
    step, per_step = run.last_step, row.tokens_per_step
    if per_step is None and question.tokens is not None:
        whole = question.steps or row.total_steps or (step if run.ended == "finished" else None)
        per_step = None if whole is None else question.tokens / whole
    given, option = _given_end(question, per_step)
    if given is not None:
        if step > given + 1:
            raise UsageError(
                f"{run.source}: is at step {step:,.0f} already, beyond {option}", hint=f"correct {option}"
            )
        return max(given, step), per_step
    if run.ended == "finished":
        return step, per_step
    planned = None if question.planned is None or not per_step else question.planned.tokens
    total = planned / per_step if row.total_steps is None and planned and per_step else row.total_steps
    if total is None:
        raise UsageError(
            f"{run.source}: the log does not say where the run will end", hint="give --steps, or --tokens"
        )
    if planned and per_step and abs(math.log(total * per_step / planned)) > _DIFFERS:
        message = f"the run ends at {format_count(total * per_step)} tokens, and its plan has {format_count(planned)}"
        warnings.append(Notice(code="other_tokens", message=message))
    if step > total + 1:
        message = f"the run is at step {step:,.0f}, beyond the {total:,.0f} that its log states"
        warnings.append(Notice(code="beyond_end", message=message))
    return max(total, step), per_step


def _given_end(question: Question, per_step: float | None) -> tuple[float | None, str]:
    """Return the last step by the options, if any, and the option that says so."""
    steps, tokens = question.steps, question.tokens
    if tokens is None:
        return steps, "--steps"
    if per_step is None:
        raise UsageError(
            "--tokens ends no run whose log has no tokens of a step", hint="give --steps, alone or beside it"
        )
    if steps is not None and abs(math.log(steps * per_step / tokens)) > _DIFFERS:
        raise UsageError(
            f"--steps and --tokens end the run in two places: {steps:,.0f} steps are "
            f"{format_count(steps * per_step)} tokens",
            hint="give one of them",
        )
    return (steps, "--steps") if steps is not None else (tokens / per_step, "--tokens")


def _schedule(run: RunLog, question: Question, total: float) -> LearningRate | None:
    """Return the schedule that is given, or the one that the logged rates follow."""
    rates = run.curves.get("lr")
    seen = None if rates is None or len(rates) < 2 else recognise_schedule(rates.steps, rates.values, total)
    if question.schedule is None:
        return seen
    if seen is None:
        return parse_schedule(question.schedule, total=total)
    return parse_schedule(question.schedule, total=total, peak=seen.peak, warmup=seen.warmup)


def _chosen_curve(
    run: RunLog, question: Question, planned: Planned | None, warnings: list[Notice]
) -> tuple[Metric, LoggedCurve]:
    """Return which loss is tracked, and its curve.

    The validation loss is tracked where a plan is of it and there are points enough, or nothing else.
    """
    counts: dict[Metric, int] = {
        metric: int(_usable(run.curves[name]).sum()) if name in run.curves else 0
        for metric, name in _QUANTITY.items()
    }
    if question.metric is not None:
        if not counts[question.metric]:
            other = next((metric for metric, count in counts.items() if count), None)
            hint = None if other is None else f"the log has a {other} loss"
            raise UsageError(f"{run.source}: holds no {question.metric} loss", hint=hint)
        return question.metric, run.curves[_QUANTITY[question.metric]]
    compares = planned is not None and planned.metric == "validation"
    if not counts["training"] and not counts["validation"]:
        raise FileError(
            f"{run.source}: its losses are no numbers above 0", hint="'scaleplan runs' shows what was read"
        )
    if not counts["training"] or (compares and counts["validation"] >= FEWEST_POINTS):
        return "validation", run.curves["val_loss"]
    if compares and counts["validation"]:
        what = f"the validation loss has {counts['validation']} points"
        message = f"the training loss is tracked: {what}; --loss val takes it"
        warnings.append(Notice(code="few_validations", message=message))
    return "training", run.curves["loss"]


def _loss_curve(
    name: str,
    curve: LoggedCurve,
    *,
    total: float,
    schedule: LearningRate | None,
    params: float | None,
    tokens: float | None,
) -> LossCurve:
    """Return the points of a loss that are numbers, thinned."""
    usable = _usable(curve)
    steps, values, group = _thinned(curve.steps[usable], curve.values[usable])
    return LossCurve(
        name=name, steps=steps, loss=values, total=total, schedule=schedule, params=params, tokens=tokens,
        stride=curve.stride * group,
    )  # fmt: skip


def _usable(curve: LoggedCurve) -> Mask:
    """Return where a loss has a logarithm, and a square and its inverse as well."""
    found: Mask = (curve.values > 1 / _LARGEST) & (curve.values < _LARGEST)
    return found


def _lost_since(run: RunLog) -> float | None:
    """Return the step since which the loss is no number; None while it is one."""
    if not run.lost or run.not_finite is None or run.not_finite.count < _LOST:
        return None
    finite = [float(run.curves[name].steps[-1]) for name in _QUANTITY.values() if name in run.curves]
    return max(run.not_finite.first, max(finite, default=0.0))


def _thinned(steps: Array, values: Array) -> tuple[Array, Array, int]:
    """Return at most :data:`_POINTS` points, each the mean of as many neighbours; the last may be of fewer."""
    group = -(-len(steps) // _POINTS)
    if group <= 1:
        return steps, values, 1
    starts = np.arange(0, len(steps), group)
    counts = np.diff(np.append(starts, len(steps)))
    return np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts, group


def _references(
    question: Question, metric: Metric, tracked: RunLog, params: float | None, warnings: list[Notice]
) -> tuple[LossCurve, ...]:
    """Return the curves of the smaller runs, of the same loss as the tracked one, which is none of them."""
    name = _QUANTITY[metric]
    usable = [run for run in question.references if len(run.curves.get(name, ())) > 1 and not run.lost]
    fine = [run for run in usable if run.last_step > 0 and not _same(run.curves[name], tracked.curves[name])]
    if len(fine) < len(usable):
        message = "the tracked run itself is among the smaller runs: it is left out of their curves"
        warnings.append(Notice(code="own_pilot", message=message))
    rows = collected(fine, GivenSizes.read({})).runs  # at once, so that the files beside them are read once
    larger = [row.run for row in rows if params is not None and row.params is not None and row.params > params]
    if larger:
        message = (
            f"{counted(len(larger), 'run')} of --pilots, such as {larger[0]}, have more parameters than this one"
        )
        warnings.append(Notice(code="larger_pilots", message=message))
    return tuple(
        _reference(question, run, run.curves[name], row, max(run.last_step, row.total_steps or 0.0))
        for run, row in zip(fine, rows, strict=True)
    )


def _same(one: LoggedCurve, other: LoggedCurve) -> bool:
    """Tell whether two curves are of one run, by the points that both may hold."""
    count = min(len(one), len(other))
    return bool(
        count
        and one.stride == other.stride
        and np.array_equal(one.steps[:count], other.steps[:count])
        and np.array_equal(one.values[:count], other.values[:count], equal_nan=True)
    )


def _reference(question: Question, run: RunLog, raw: LoggedCurve, row: LoggedRun, total: float) -> LossCurve:
    """Return the curve of a smaller run, which may not have come to its end."""
    return _loss_curve(
        run.name,
        raw,
        total=total,
        schedule=_schedule(run, replace(question, schedule=None), total),
        params=row.params,
        tokens=row.tokens if row.tokens is None else row.tokens * total / run.last_step,
    )


def _planned(
    question: Question, params: float | None, tokens: float | None, warnings: list[Notice]
) -> Planned | None:
    """Return the planned loss: of a file, of a law, or of smaller runs; None where nothing gives one."""
    run = {"params": params, "tokens": tokens}
    planned = question.planned
    if question.preset is not None:
        planned = planned_by_law(question.preset, **run, level=question.level, context=question.context)
    elif planned is None and question.pilots is not None:
        found = planned_by_runs(question.pilots, **run, level=question.level, context=question.context)
        if isinstance(found, Notice):
            warnings.append(found)
        else:
            planned = found
    if planned is None:
        if question.pilots is None:
            message = "nothing judges this run: give --plan, --preset with a law of your own, or --pilots"
            warnings.append(Notice(code="no_plan", message=message))
        return None
    warnings += planned.warnings
    if not planned.source.judges:
        message = f"there is no verdict by {planned.source.name}: {planned.source.reason}"
        warnings.append(Notice(code="no_verdict", message=message))
    return planned


def _as_tracked(planned: Planned, run: RunLog, warnings: list[Notice]) -> Planned:
    """Return a planned loss of one metric as the loss of the other that it comes to in this run.

    It is moved by the median ratio of both in the later half of the validations, where that is more than its error.
    Without validations both are taken as the same, with a warning.
    """
    train, val = run.curves.get("loss"), run.curves.get("val_loss")
    ratios = np.empty(0)
    if train is not None and val is not None and len(val) > 2 and _usable(train).any():
        later = slice(len(val) // 2, None)
        ratios = np.log(val.values[later] / np.interp(val.steps[later], *_blocks(train.steps, train.values)))
        ratios = ratios[np.isfinite(ratios)]
    if len(ratios) < 2:
        message = f"the planned loss is a {planned.metric} loss, of which the log has too little: taken as the same"
        warnings.append(Notice(code="other_loss", message=message))
        return planned
    offset, error = float(np.median(ratios)), float(np.std(ratios, ddof=1) / math.sqrt(len(ratios)))
    if abs(offset) <= 2 * error:
        return planned
    apart = f"{format_fraction(abs(math.expm1(offset)), digits=2)} {'above' if offset > 0 else 'below'}"
    message = f"the validation loss lies {apart} the training loss, and the planned loss is moved by as much"
    warnings.append(Notice(code="moved_plan", message=message))
    factor = math.exp(-offset if planned.metric == "validation" else offset)
    interval = planned.interval
    if interval is not None:
        interval = replace(interval, loss=(interval.loss[0] * factor, interval.loss[1] * factor))
    return replace(planned, loss=planned.loss * factor, interval=interval)


def _blocks(steps: Array, values: Array, count: int = 200) -> tuple[Array, Array]:
    """Return a curve as means of equal parts."""
    usable = np.isfinite(values) & (values > 0)
    steps, values = steps[usable], values[usable]
    starts = np.unique(np.linspace(0, max(len(steps) - 1, 0), count).astype(int))
    sizes = np.diff(np.append(starts, len(steps)))
    return np.add.reduceat(steps, starts) / sizes, np.add.reduceat(values, starts) / sizes


def _course(curve: LossCurve, references: Sequence[LossCurve], lost: float | None) -> CourseCheck:
    """Return what a curve shows of a departure; a loss that is no number any more diverges."""
    if lost is not None:
        return CourseCheck(alarm=Alarm(kind="diverging", since=lost, size=math.inf), told=True)
    return check_course(curve, references)


def _rejoined(curve: LossCurve, alarm: Alarm | None) -> LossCurve:
    """Return a curve whose part before a departure is moved by its size, as if the whole run had it.

    A lasting cause, such as other data or a broken layer, multiplies the loss from then on: the shape of the earlier
    part still tells how the later one goes on.
    """
    if alarm is None or alarm.kind == "diverging" or not math.isfinite(alarm.size):
        return curve
    return replace(curve, loss=np.where(curve.steps < alarm.since, curve.loss * (1 + alarm.size), curve.loss))


def _comparison(
    curve: LossCurve, references: Sequence[LossCurve], ending: Ending | None, planned: Planned | None, level: float
) -> Verdict | None:
    """Return the verdict by the planned loss; None where nothing judges."""
    if planned is None or not planned.source.judges:
        return None
    if ending is None or (len(curve.steps) < FEWEST_POINTS and not references):
        return "too few points"
    return "too early" if curve.seen < _EARLY else compared(ending, planned, level=level)


def _since(
    verdict: Verdict, curve: LossCurve, references: Sequence[LossCurve], planned: Planned, level: float
) -> float:
    """Return the step since which the forecasts come out alike, by those that earlier looks would have made."""
    last = float(curve.steps[-1])

    def at(share: float) -> Verdict | None:
        part = _part(curve, share * last)
        then = None if part.seen < _EARLY else forecast_end(part, references, level=level)
        return None if then is None else compared(then, planned, level=level)

    return last * (since_when(verdict, at) or 1.0)


def _part(curve: LossCurve, until: float) -> LossCurve:
    """Return the part of a curve up to a step."""
    count = int(np.searchsorted(curve.steps, until, side="right"))
    return replace(curve, steps=curve.steps[:count], loss=curve.loss[:count])


def _about_course(course: CourseCheck, ending: Ending | None) -> list[Notice]:
    """Return the warnings about departures of the loss from its course."""
    found = []
    alarm = course.alarm
    if not course.told:
        message = "the points are too few to tell a departure from the course without smaller runs (--pilots)"
        found.append(Notice(code="few_points", message=message))
    if alarm is not None and ending is not None:
        message = f"the loss left its course at step {alarm.since:,.0f}: the forecast takes it that it stays so"
        found.append(Notice(code="departure", message=message))
    if course.spikes:
        highest = max(course.spikes, key=lambda spike: spike.height)
        some = counted(len(course.spikes), "spike")
        place = f"step {highest.step:,.0f} by {format_fraction(highest.height, digits=2)}"
        found.append(Notice(code="spikes", message=f"{some} of the loss, over again: the highest at {place}"))
    return found


def _about_forecast(run: RunLog, ending: Ending | None, curve: LossCurve) -> list[Notice]:
    """Return the warnings about a forecast."""
    found = []
    if ending is None:
        few = f"{counted(len(curve.steps), 'point')} in {format_fraction(min(curve.seen, 1.0), digits=2)} of the run"
        enough = len(curve.steps) >= FEWEST_POINTS and curve.seen >= _EARLY
        why = f"{few} are too few" if not enough else "the loss shows no course that could go on"
        why = "the loss is no number any more" if run.lost else why
        found.append(Notice(code="no_forecast", message=f"there is no forecast: {why}"))
    if ending is not None and ending.upper_bound:
        rate = "the log has no learning rate" if curve.schedule is None else "the rest of the schedule is not known"
        message = f"{rate}: the forecast is an upper bound, because a decay lowers the loss; give --schedule"
        found.append(Notice(code="upper_bound", message=message))
    if run.stated.digits is not None and run.stated.digits <= 3:
        message = f"the log prints losses with {run.stated.digits} digits, which widens what it can tell"
        found.append(Notice(code="few_digits", message=message))
    return found


def _loss_now(curve: LossCurve) -> float | None:
    """Return the mean of the latest points."""
    if not len(curve.steps):
        return None
    return float(np.mean(curve.loss[-max(5, round(_LATEST * len(curve.loss))) :]))


def _smoothing(run: RunLog, metric: Metric, curve: LossCurve) -> str:
    """Return what a value of the tracked loss is, and how many of them a point averages."""
    value = run.stated.smoothing if metric == "training" and run.stated.smoothing else "as logged"
    return value if curve.stride == 1 else f"{value}, means of {curve.stride}"


class _Clock:
    """The tokens and the date of a step of a run."""

    def __init__(self, run: RunLog, per_step: float | None) -> None:
        self._run, self._per_step = run, per_step

    def tokens(self, step: float) -> float | None:
        """Return the tokens trained on up to a step; counted where the log does."""
        curve = self._run.curves.get("tokens")
        if curve is not None and len(curve) and curve.steps[0] <= step <= curve.steps[-1]:
            return whole(float(np.interp(step, curve.steps, curve.values)))
        return None if self._per_step is None else whole(step * self._per_step)

    def moment(self, step: float) -> Moment:
        """Return the moment of a step; its date is counted back from the last entry."""
        times, date = self._run.curves.get("seconds"), None
        if times is not None and len(times) and self._run.written is not None:
            passed = float(times.values[-1]) - float(np.interp(step, times.steps, times.values))
            date = _date(self._run.written - passed)
        return Moment(step=whole(step), tokens=self.tokens(step), date=date)


_LAST_DATE = 253_402_300_799.0  # the end of the year 9999, the last that a date is written of


def _date(seconds: float) -> str | None:
    """Return a date and time in UTC; None for a time that is none."""
    if not 0 <= seconds <= _LAST_DATE:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
