"""The picture of a tracked run (its curve, the cone of its forecast, plan and smaller runs), and of kept forecasts.

Little is imported: a look at a run, or at the record of forecasts, does not wait for what fits laws.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.charts.chart import Axis, Chart, GuideLine, Mark, Series
from scaleplan.errors import UsageError
from scaleplan.tracking.loss_curve import averaged
from scaleplan.units import counted, format_count, format_fraction, format_number

if TYPE_CHECKING:
    from scaleplan.arrays import Array
    from scaleplan.tracking.loss_curve import LossCurve
    from scaleplan.tracking.registered import TrackRecord
    from scaleplan.tracking.tracked_run import Tracked, Tracking

__all__ = ["calibration_chart", "track_chart"]

_RUN, _FORECAST, _GREY, _PLAN = 4, 0, 8, 1

_POINTS = 100
"""Points of a curve that are drawn: neighbours are averaged."""

_MOST_RUNS = 6  # smaller runs that are drawn, the largest ones

_BEGIN = 0.1
"""The share of the run from which on it is drawn: the first tenth falls by more than all the rest."""


def track_chart(tracked: Tracked) -> Chart:
    """Return the loss by the share of the run: seen, forecast and planned; smaller runs by the share of theirs."""
    tracking, level = tracked.tracking, 0.9 if tracked.ending is None else tracked.ending.level
    own = _curve("this run", tracked.curve, tone=_RUN)
    largest = sorted(tracked.references, key=lambda each: each.params or 0.0)[-_MOST_RUNS:]
    smaller = [_curve("smaller runs, moved", curve, tone=_GREY) for curve in largest]
    series = [*(_moved(each, own) for each in smaller if each.x and own.x), own]
    marks = []
    if tracked.ending is not None and tracking.verdict != "diverging":  # whose end no curve leads to
        path = np.array(tracked.ending.path).reshape(-1, 4)
        if len(path) > 1:
            x, y, low, high = ((path[:, 0] / tracked.curve.total), *path[:, 1:].T)
            series.append(
                Series(
                    label=f"forecast, {format_fraction(level)} interval",
                    x=_floats(x),
                    y=_floats(y),
                    low=_floats(low),
                    high=_floats(high),
                    style="dashed",
                    tone=_FORECAST,
                )
            )
        marks.append(
            Mark(x=1.0, y=tracked.ending.loss, label=format_number(tracked.ending.loss, digits=4), tone=_FORECAST)
        )
    rules: tuple[GuideLine, ...] = ()
    if tracking.plan_loss is not None:
        source = tracking.plan_source
        beside = "published law" if source is not None and source.kind == "law" else "other plan"
        name = "plan" if source is None or source.judges else beside
        rules = (
            GuideLine(axis="y", at=tracking.plan_loss, label=f"{name} {format_number(tracking.plan_loss, digits=4)}"),
        )
        if tracking.plan_interval is not None:
            low_end, high_end = tracking.plan_interval.loss
            series.append(
                Series(
                    label=f"{name}, {format_fraction(tracking.plan_interval.level)} interval",
                    x=(0.97, 1.0),
                    y=(tracking.plan_loss, tracking.plan_loss),
                    low=(low_end, low_end),
                    high=(high_end, high_end),
                    tone=_PLAN,
                )
            )
    verdict = "" if tracking.verdict is None else f": {tracking.verdict}"
    since = tracking.since
    if since is not None and tracking.verdict in ("worse", "better", "diverging"):
        rules = (
            *rules,
            GuideLine(
                axis="x",
                at=min(since.step / tracking.total_steps, 1.0),
                label=f"{tracking.verdict} since {_place(tracking, since.step)}",
            ),
        )
    return Chart(
        kind="track",
        title=f"Loss of {tracking.run}{verdict}",
        x=Axis(label="share of the run", kind="percent", scale="linear"),
        y=Axis(label=f"{tracking.metric} loss", kind="number", unit=_per_token(tracking.loss_unit), scale="linear"),
        series=tuple(each for each in series if each.x),
        marks=tuple(marks),
        rules=rules,
        caption=_caption(tracked, level),
        source=_source(tracked),
        warnings=tracking.warnings,
    )


def _place(tracking: Tracking, step: float) -> str:
    """Return a step as text; of a log by tokens they are its steps."""
    by_tokens = tracking.total_tokens == tracking.total_steps
    return f"token {format_count(step)}" if by_tokens else f"step {step:,.0f}"


def _per_token(unit: str) -> str:
    return f"{unit}/token" if unit == "nats" else unit


def _caption(tracked: Tracked, level: float) -> str:
    bound = ", an upper bound" if tracked.tracking.upper_bound else ""
    rest = f", and the forecast of the rest with its {format_fraction(level)} interval{bound}"
    text = f"The loss so far, averaged{'' if tracked.tracking.verdict == 'diverging' else rest}."
    if tracked.references:
        text += (
            " Smaller runs are drawn by the share of their training, and moved to the loss of this one where it is."
        )
    return text


def _source(tracked: Tracked) -> str:
    """Return which runs are drawn, and where the plan is from."""
    smaller = f", beside {counted(len(tracked.references), 'smaller run')}" if tracked.references else ""
    plan = tracked.tracking.plan_source
    return f"Run: {tracked.tracking.run}{smaller}." + (f" Plan: {plan.name}." if plan is not None else "")


def _moved(smaller: Series, run: Series) -> Series:
    """Return the curve of a smaller run, multiplied so that it meets the run in the latest part of it."""
    latest = [i for i in range(len(run.x)) if run.x[i] >= run.x[-1] * (1 - _BEGIN)]
    at = np.interp([run.x[i] for i in latest], smaller.x, smaller.y)
    factor = float(np.mean([run.y[i] for i in latest]) / np.mean(at))
    return replace(smaller, y=tuple(factor * value for value in smaller.y))


def _curve(label: str, curve: LossCurve, *, tone: int) -> Series:
    """Return a curve without its beginning, as means of neighbours."""
    share = curve.steps / curve.total
    shown = share >= min(_BEGIN, float(share[-1]) / 2) if len(share) else share > 0
    share, loss, _ = averaged(share[shown], curve.loss[shown], _POINTS)
    return Series(label=label, x=_floats(share), y=_floats(loss), tone=tone)


def _floats(values: Array) -> tuple[float, ...]:
    found: list[float] = np.asarray(values, dtype=float).tolist()
    return tuple(found)


def calibration_chart(record: TrackRecord) -> Chart:
    """Return how often the intervals of registered forecasts held, against the level that they promised.

    Raises UsageError while no forecast is resolved.
    """
    if not record.coverage:
        raise UsageError(
            "no forecast is resolved yet: there is no calibration to draw", hint="'scaleplan resolve' scores one"
        )
    levels = tuple(each.level for each in record.coverage)
    resolved = max(each.resolved for each in record.coverage)
    return Chart(
        kind="calibration",
        title="How often the intervals of registered forecasts held",
        x=Axis(label="level of the interval", kind="percent", scale="linear"),
        y=Axis(label="share of the outcomes inside", kind="percent", scale="linear"),
        series=(
            Series(label="as promised", x=(0.0, 1.0), y=(0.0, 1.0), style="dashed", tone=_GREY),
            Series(
                label="held, 90 % interval of the share",
                x=levels,
                y=tuple(each.share for each in record.coverage),
                low=tuple(each.interval[0] for each in record.coverage),
                high=tuple(each.interval[1] for each in record.coverage),
                style="points",
            ),
        ),
        caption=(
            f"{counted(resolved, 'resolved forecast')}. The band is the 90 % interval of the share (Wilson). Below "
            "the line the intervals promised too much, above it too little."
        ),
    )
