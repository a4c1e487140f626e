"""What of a log is tracked: where its run ends, its schedule, and the curve of its loss; likewise of smaller runs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import FileError, Notice, UnknownNameError, UsageError, quote
from scaleplan.logs.collect import collected
from scaleplan.logs.learning_rate import parse_schedule
from scaleplan.logs.schedule_recognition import recognise_schedule
from scaleplan.logs.sizes_given import GivenSizes
from scaleplan.tracking.alarm import FEWEST_POINTS
from scaleplan.tracking.loss_curve import LossCurve, averaged
from scaleplan.units import counted, format_count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scaleplan.arrays import Mask
    from scaleplan.logs.learning_rate import LearningRate
    from scaleplan.logs.logged_run import LoggedRun
    from scaleplan.logs.run_log import LoggedCurve, RunLog
    from scaleplan.tracking.planned import Metric, Planned
    from scaleplan.tracking.track_request import TrackRequest

__all__ = [
    "chosen_curve",
    "chosen_run",
    "end_of",
    "loss_curve",
    "lost_since",
    "reference_curves",
    "row_of",
    "schedule_in",
    "usable_points",
]

_QUANTITY: dict[Metric, str] = {"training": "loss", "validation": "val_loss"}

_POINTS = 2000
"""Points of a curve that the methods get: neighbours are averaged, which keeps what they hold of its course."""

_LOST = 3  # entries without a number at the end of a log that mean a run is lost: one is skipped by a loss scale

_LARGEST = 1e100  # of what is taken for a loss

_DIFFERS = 0.01  # of the tokens: two statements of where a run ends that agree as well as round numbers do


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


def row_of(run: RunLog, params: float | None = None, steps: float | None = None) -> LoggedRun:
    """Return what the log of a run and the files beside it tell of its sizes, as ``runs`` reads them."""
    given = {name: {"*": value} for name, value in (("params", params), ("steps", steps)) if value is not None}
    return collected([run], GivenSizes.read(given)).runs[0]


def end_of(run: RunLog, row: LoggedRun, request: TrackRequest, warnings: list[Notice]) -> tuple[float, float | None]:
    """Return the steps of the whole run, and the tokens of a step.

    Raises UsageError where nothing says where the run ends, and for an end that it has passed.
    """
    step, per_step = run.last_step, row.tokens_per_step
    if per_step is None and request.tokens is not None:
        whole = request.steps or row.total_steps or (step if run.ended == "finished" else None)
        per_step = None if whole is None else request.tokens / whole
    given, option = _given_end(request, per_step)
    if given is not None:
        if step > given + 1:
            raise UsageError(
                f"{run.source}: is at step {step:,.0f} already, beyond {option}", hint=f"correct {option}"
            )
        return max(given, step), per_step
    if run.ended == "finished":
        return step, per_step
    planned = None if request.planned is None or not per_step else request.planned.tokens
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


def _given_end(request: TrackRequest, per_step: float | None) -> tuple[float | None, str]:
    """Return the last step by the options, if any, and the option that says so."""
    steps, tokens = request.steps, request.tokens
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


def schedule_in(run: RunLog, request: TrackRequest, total: float) -> LearningRate | None:
    """Return the schedule that is given, or the one that the logged rates follow."""
    rates = run.curves.get("lr")
    seen = None if rates is None or len(rates) < 2 else recognise_schedule(rates.steps, rates.values, total)
    if request.schedule is None:
        return seen
    if seen is None:
        return parse_schedule(request.schedule, total=total)
    return parse_schedule(request.schedule, total=total, peak=seen.peak, warmup=seen.warmup)


def chosen_curve(
    run: RunLog, request: TrackRequest, planned: Planned | None, warnings: list[Notice]
) -> tuple[Metric, LoggedCurve]:
    """Return which loss is tracked, and its curve.

    The validation loss is tracked where a plan is of it and there are points enough, or nothing else.
    """
    counts: dict[Metric, int] = {
        metric: int(usable_points(run.curves[name]).sum()) if name in run.curves else 0
        for metric, name in _QUANTITY.items()
    }
    if request.metric is not None:
        if not counts[request.metric]:
            other = next((metric for metric, count in counts.items() if count), None)
            hint = None if other is None else f"the log has a {other} loss"
            raise UsageError(f"{run.source}: holds no {request.metric} loss", hint=hint)
        return request.metric, run.curves[_QUANTITY[request.metric]]
    compares = planned is not None and planned.metric == "validation"
    if not counts["training"] and not counts["validation"]:
        raise FileError(
            f"{run.source}: its losses are no numbers above 0", hint="'scaleplan runs' shows what was read"
        )
    if not counts["training"] or (compares and counts["validation"] >= FEWEST_POINTS):
        return "validation", run.curves["val_loss"]
    if compares and counts["validation"]:
        what = f"the validation loss has only {counts['validation']} points"
        message = f"the training loss is tracked, as {what}; --loss val takes it"
        warnings.append(Notice(code="few_validations", message=message))
    return "training", run.curves["loss"]


def loss_curve(
    name: str,
    curve: LoggedCurve,
    *,
    total: float,
    schedule: LearningRate | None,
    params: float | None,
    tokens: float | None,
) -> LossCurve:
    """Return the points of a loss that are numbers, thinned."""
    kept = usable_points(curve)
    steps, values, group = averaged(curve.steps[kept], curve.values[kept], _POINTS)
    return LossCurve(
        name=name, steps=steps, loss=values, total=total, schedule=schedule, params=params, tokens=tokens,
        stride=curve.stride * group,
    )  # fmt: skip


def usable_points(curve: LoggedCurve) -> Mask:
    """Return where a loss has a logarithm, and a square and its inverse as well."""
    found: Mask = (curve.values > 1 / _LARGEST) & (curve.values < _LARGEST)
    return found


def lost_since(run: RunLog) -> float | None:
    """Return the step since which the loss is no number; None while it is one."""
    if not run.lost or run.not_finite is None or run.not_finite.count < _LOST:
        return None
    finite = [float(run.curves[name].steps[-1]) for name in _QUANTITY.values() if name in run.curves]
    return max(run.not_finite.first, max(finite, default=0.0))


def reference_curves(
    request: TrackRequest, metric: Metric, tracked: RunLog, params: float | None, warnings: list[Notice]
) -> tuple[LossCurve, ...]:
    """Return the curves of the smaller runs, of the same loss in the same unit as the tracked run, without itself."""
    name, unit = _QUANTITY[metric], tracked.stated.loss_unit
    usable = [
        run
        for run in request.references
        if len(run.curves.get(name, ())) > 1 and not run.lost and run.stated.loss_unit == unit and run.last_step > 0
    ]
    fine = [run for run in usable if not _same(run.curves[name], tracked.curves[name])]
    if len(fine) < len(usable):
        message = "the tracked run itself is among the smaller runs: it is left out of their curves"
        warnings.append(Notice(code="own_pilot", message=message))
    rows = collected(fine, GivenSizes.read({})).runs  # at once, so that the files beside them are read once
    larger = [row.run for row in rows if params is not None and row.params is not None and row.params > params]
    if larger:
        runs = counted(len(larger), "run")
        message = f"{runs} of --pilots, such as {larger[0]}, have more parameters than this one"
        warnings.append(Notice(code="larger_pilots", message=message))
    return tuple(_reference(request, run, run.curves[name], row) for run, row in zip(fine, rows, strict=True))


def _same(one: LoggedCurve, other: LoggedCurve) -> bool:
    """Tell whether two curves are of one run, by the points that both may hold."""
    count = min(len(one), len(other))
    return bool(
        count
        and one.stride == other.stride
        and np.array_equal(one.steps[:count], other.steps[:count])
        and np.array_equal(one.values[:count], other.values[:count], equal_nan=True)
    )


def _reference(request: TrackRequest, run: RunLog, raw: LoggedCurve, row: LoggedRun) -> LossCurve:
    """Return the curve of a smaller run, which may not have come to its end."""
    ended = row.state == "finished" or row.total_steps is None
    total = run.last_step if ended else max(run.last_step, row.total_steps or 0.0)
    return loss_curve(
        run.name,
        raw,
        total=total,
        schedule=schedule_in(run, replace(request, schedule=None), total),
        params=row.params,
        tokens=row.tokens if row.tokens is None else row.tokens * total / run.last_step,
    )
