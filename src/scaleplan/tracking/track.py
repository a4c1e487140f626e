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
from scaleplan.errors import Notice
from scaleplan.logs.log_reading import read_logs
from scaleplan.planning.context import Context
from scaleplan.tables.frames import source_name
from scaleplan.tracking.alarm import FEWEST_POINTS, Alarm, CourseCheck, check_course
from scaleplan.tracking.ending import forecast_end
from scaleplan.tracking.loss_curve import averaged
from scaleplan.tracking.pace import pace_of
from scaleplan.tracking.planned import in_unit, of_run, planned_by_law, planned_by_runs
from scaleplan.tracking.recipe_alarm import FEWEST_FOR_SHAPE
from scaleplan.tracking.registered import LossInterval
from scaleplan.tracking.stopping import parse_condition
from scaleplan.tracking.track_request import TrackRequest, track_request
from scaleplan.tracking.tracked_curve import (
    chosen_curve,
    chosen_run,
    end_of,
    loss_curve,
    lost_since,
    reference_curves,
    row_of,
    schedule_in,
    usable_points,
)
from scaleplan.tracking.tracked_run import Departure, Moment, NextLook, Tracked, Tracking
from scaleplan.tracking.verdict import compared, look_again, since_when, verdict_of
from scaleplan.tracking.watching import looks
from scaleplan.units import (
    counted,
    format_fraction,
    parse_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from scaleplan.hardware.budget import BudgetRequest
    from scaleplan.logs.logged_run import LoggedRun
    from scaleplan.logs.run_log import RunLog
    from scaleplan.planning.plan import Plan
    from scaleplan.presets.preset import Preset
    from scaleplan.tables.frames import TableLike
    from scaleplan.tracking.ending import Ending
    from scaleplan.tracking.loss_curve import LossCurve
    from scaleplan.tracking.planned import Metric, Planned
    from scaleplan.tracking.registered import RegisteredForecast
    from scaleplan.tracking.stopping import StopCondition
    from scaleplan.tracking.verdict import Verdict
    from scaleplan.units import Amount

__all__ = ["track", "track_run", "tracked", "watched"]

_EARLY = 0.1
"""The share of a run before which there is no verdict: forecasts are measured from a fifth of the run on, and their
errors at a tenth are twice as large."""

_SMOOTH = 200  # means of a training loss that validations are compared with

_LATEST = 0.02  # the share of the points seen that the loss now is the mean of


def track(
    log: TableLike,
    *,
    plan: str | Path | Plan | RegisteredForecast | None = None,
    preset: str | Preset | None = None,
    pilots: TableLike | None = None,
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
    bytes_per_token: Amount | None = None,
    fail_on: Sequence[str] = (),
    data: Context | None = None,
) -> Tracking:
    """Forecast the end of a running training from its log, and judge it by what was planned.

    Parameters
    ----------
    log
        The log of the run, in any format that :func:`scaleplan.runs` reads: its path, a folder, ``-`` for standard
        input, or a data frame with a row a step.
    plan
        The planned loss: a plan or a registered forecast, or the file that ``--json`` wrote of one.
    preset
        Instead of it, the law that gives it, at the size and the tokens of the run.
    pilots
        Smaller runs of the same recipe: a table, a log or a folder. Their curves show the shape, and their final
        losses, without another plan, the loss to expect.
    schedule
        The learning rate where the log does not have it: ``"cosine"``, ``"wsd:decay=20%"``.
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
    bytes_per_token
        Bytes of text in a token, for the loss in bits per byte.
    fail_on
        Conditions such as ``"loss > 2.1@90%"`` or ``"verdict = diverging"``: those that are met are ``stopped_by``.
    data
        The data files; read anew by default.

    Returns
    -------
    Tracking
        The keys of the JSON as attributes: ``loss`` with ``interval.loss``, ``plan_loss``, ``verdict`` and ``since``,
        ``days_left``, ``cost_left``, ``next_look``, ``warnings``, …; ``to_dict()`` has them all.

    Raises
    ------
    ScaleplanError
        When the log or the plan cannot be read, or an option is wrong.

    """
    return tracked(
        log, plan=plan, preset=preset, pilots=pilots, schedule=schedule, tokens=tokens, steps=steps, params=params,
        run=run, loss=loss, gpu=gpu, gpus=gpus, precision=precision, price=price, mfu=mfu, level=level,
        bytes_per_token=bytes_per_token, fail_on=fail_on, data=data,
    ).tracking  # fmt: skip


def tracked(
    log: TableLike,
    *,
    run: str | None = None,
    fail_on: Sequence[str] = (),
    data: Context | None = None,
    **options: Any,  # noqa: ANN401  those of track
) -> Tracked:
    """Return the answer of :func:`track` with the curves behind it."""
    conditions = [parse_condition(text) for text in fail_on]
    request = track_request(data or Context(), **options)
    return track_run(chosen_run(read_logs([log]), run, source_name(log)), request, conditions)


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
    request = track_request(data or Context(), **options)
    yield from looks(
        log,
        lambda: chosen_run(read_logs([log]), run, str(log)),
        lambda found: track_run(found, request, conditions),
        lambda each: each.tracking.finished or bool(each.tracking.stopped_by),
        every=parse_seconds(every),
        spent=spent,
    )


@np.errstate(all="ignore")  # of logarithms of what is no loss, which is left out
def track_run(run: RunLog, request: TrackRequest, conditions: Sequence[StopCondition] = ()) -> Tracked:
    """Return the tracking of one run that was read."""
    row = row_of(run, request.params, request.steps)
    warnings = [*run.warnings, *row.warnings]
    step = run.last_step
    total, per_step = end_of(run, row, request, warnings)
    params = row.params or (request.planned.params if request.planned else None)
    tokens = None if per_step is None else per_step * total
    finished = row.state == "finished" or step + 1 >= total  # steps that count from 0 end at the last but one
    schedule = schedule_in(run, request, total)
    planned = _planned(request, params, tokens, run.stated.loss_unit, warnings)
    metric, raw = chosen_curve(run, request, planned, warnings)
    curve = loss_curve(run.name, raw, total=total, schedule=schedule, params=params, tokens=tokens)
    lost = lost_since(run)
    references = reference_curves(request, metric, run, params, warnings)
    course = _course(curve, references, lost)
    alarm = course.alarm
    ending = forecast_end(_rejoined(curve, alarm), references, level=request.level) if lost is None else None
    if finished and ending is not None:
        ending = replace(ending, upper_bound=False)  # no decay is to come
    if planned is not None and planned.source.judges and planned.metric != metric:
        planned = _as_tracked(planned, run, warnings)
    comparison = _comparison(curve, references, ending, planned, request.level)
    if not _judges(planned) and course.conclusive and len(references) >= FEWEST_FOR_SHAPE:
        comparison = "on course" if curve.seen >= _EARLY else "too early"  # as the smaller runs went
    elif planned is None and not course.conclusive:
        comparison = "too few points"
    verdict = verdict_of(comparison, alarm)
    since = alarm.since if alarm is not None and verdict == alarm.kind else None
    if since is None and planned is not None and verdict in ("on course", "better", "worse"):
        since = _since(verdict, curve, references, planned, request.level)
    pace = pace_of(
        run,
        request.context,
        steps_left=0.0 if finished else max(total - step, 0.0),
        tokens_per_step=per_step,
        params=params,
        request=_with_own(request.hardware, row),
    )
    clock = _Clock(run, per_step)
    warnings += [*_about_forecast(run, ending, curve), *_about_course(course, ending)]
    again = None
    if ending is not None and not finished and verdict != "diverging":  # which is to be looked at now
        again = look_again(curve.seen, ending, planned if _judges(planned) else None, verdict, level=request.level)
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
        params=None if params is None else whole(params),
        loss_now=_loss_now(curve),
        metric=metric,
        label=run.val_label if metric == "validation" else run.label,
        smoothing=_smoothing(run, metric, curve),
        loss_unit=run.stated.loss_unit,
        bytes_per_token=request.bytes_per_token if run.stated.loss_unit == "nats" else None,
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
        planned_mfu=request.hardware.mfu,
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
    unknown = (each.unknown(tracking) for each in conditions)
    tracking = replace(
        tracking,
        stopped_by=tuple(reason for reason in reasons if reason is not None),
        warnings=(*tracking.warnings, *(notice for notice in unknown if notice is not None)),
    )
    return Tracked(tracking=tracking, curve=curve, references=references, ending=ending)


def _judges(planned: Planned | None) -> bool:
    return planned is not None and planned.source.judges


def _with_own(hardware: BudgetRequest, row: LoggedRun) -> BudgetRequest:
    """Return the hardware with the number of devices that the log has, where none is given."""
    if hardware.gpus is not None or row.devices is None:
        return hardware
    return replace(hardware, gpus=float(row.devices))


def _planned(
    request: TrackRequest, params: float | None, tokens: float | None, loss_unit: str, warnings: list[Notice]
) -> Planned | None:
    """Return the planned loss: of a file, of a law, or of smaller runs; None where nothing gives one in this unit."""
    run = {"params": params, "tokens": tokens}
    planned = request.planned
    if request.preset is not None:
        planned = planned_by_law(request.preset, **run, level=request.level, context=request.context)
    elif planned is None and request.pilots is not None:
        found = planned_by_runs(
            request.pilots, **run, level=request.level, context=request.context, loss_unit=loss_unit
        )
        if isinstance(found, Notice):
            warnings.append(found)
        else:
            planned = found
    if planned is None:
        if request.pilots is None:
            message = "nothing judges this run: give --plan, --preset with a law of your own, or --pilots"
            warnings.append(Notice(code="no_plan", message=message))
        return None
    judge = in_unit(planned, loss_unit)
    if isinstance(judge, Notice):
        warnings.append(judge)
        return None
    planned = of_run(judge, params=params, tokens=tokens)
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
    if train is not None and val is not None and len(val) > 2 and (kept := usable_points(train)).any():
        later = slice(len(val) // 2, None)
        steps, values, _ = averaged(train.steps[kept], train.values[kept], _SMOOTH)
        ratios = np.log(val.values[later] / np.interp(val.steps[later], steps, values))
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


def _course(curve: LossCurve, references: Sequence[LossCurve], lost: float | None) -> CourseCheck:
    """Return what a curve shows of a departure; a loss that is no number any more diverges."""
    if lost is not None:
        return CourseCheck(alarm=Alarm(kind="diverging", since=lost, size=math.inf), conclusive=True)
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
        part = curve.until(share * last)
        then = None if part.seen < _EARLY else forecast_end(part, references, level=level)
        return None if then is None else compared(then, planned, level=level)

    return last * (since_when(verdict, at) or 1.0)


def _about_course(course: CourseCheck, ending: Ending | None) -> list[Notice]:
    """Return the warnings about departures of the loss from its course."""
    found = []
    alarm = course.alarm
    if not course.conclusive:
        message = "the points are too few to tell a departure from the course without smaller runs (--pilots)"
        found.append(Notice(code="few_points", message=message))
    if alarm is not None and ending is not None:
        message = f"the loss left its course at step {alarm.since:,.0f}: the forecast assumes that it stays there"
        if alarm.kind == "diverging":
            message = (
                f"the loss diverges since step {alarm.since:,.0f}: a forecast of its end means little; go back to a "
                "checkpoint before"
            )
        found.append(Notice(code="departure", message=message))
    if course.spikes:
        highest = max(course.spikes, key=lambda spike: spike.height)
        some = counted(len(course.spikes), "spike")
        place = f"step {highest.step:,.0f} by {format_fraction(highest.height, digits=2)}"
        message = f"{some} of the loss, from which it recovered: the highest at {place}"
        found.append(Notice(code="spikes", message=message))
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
