"""Show the tracking of a run: the forecast with the plan beside it, the verdict, and what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.output import Fact, Report
from scaleplan.output.views.plan import format_loss, loss_facts
from scaleplan.units import (
    SECONDS_PER_DAY,
    counted,
    format_count,
    format_fraction,
    format_number,
    format_range,
    format_seconds,
    format_usd,
    format_usd_per_hour,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.tracking.tracked_run import Departure, Moment, Tracking

__all__ = ["track_line", "track_report"]

_PLANNED = {
    "law": "planned loss", "plan": "planned loss", "forecast": "registered loss", "pilots": "loss by smaller runs",
}  # fmt: skip

_BESIDE = {"law": "published law", "plan": "other plan", "forecast": "other forecast", "pilots": "smaller runs"}
"""Of a loss that does not judge."""

_NO_VERDICT = "none"

_METHODS = 4  # of a forecast that are listed


def track_report(tracking: Tracking) -> Report:
    """Return the report of a tracking."""
    interval = tracking.interval
    levels = {each.level for each in (interval, tracking.plan_interval) if each is not None}
    facts = [
        _loss("final loss", tracking.loss, None if interval is None else interval.loss, tracking.loss_unit),
        *loss_facts(tracking),
        *_planned(tracking),
        Fact("verdict", _verdict(tracking), prose=True),
        *_left(tracking),
        *_next(tracking),
    ]
    return Report(
        title=_title(tracking),
        facts=facts,
        level=format_fraction(min(levels)) if len(levels) == 1 else "",
        remarks=[*_remarks(tracking)],
    )


def track_line(tracking: Tracking) -> str:
    """Return the tracking as one short line, for a run that is watched."""
    parts = [f"{_share(tracking.seen)} {_place(tracking, tracking.step)}"]
    if tracking.loss_now is not None:
        parts.append(f"loss {format_loss(tracking.loss_now)}")
    if tracking.loss is not None and tracking.interval is not None:
        span = format_range(*tracking.interval.loss, format_loss)
        parts.append(f"end {format_loss(tracking.loss)} ({span})")
    if tracking.plan_loss is not None:
        parts.append(f"plan {format_loss(tracking.plan_loss)}")
    if tracking.verdict is not None:
        parts.append(tracking.verdict)
    if tracking.finished:
        parts.append("finished")
    elif tracking.days_left is not None:
        parts.append(f"{format_seconds(tracking.days_left * SECONDS_PER_DAY)} left")
    unknown = (each.message for each in tracking.warnings if each.code == "condition_unknown")
    parts += [message.partition(":")[0] for message in unknown]  # a job that trusts in it would never stop
    return ", ".join(parts)


def _title(tracking: Tracking) -> str:
    state = "finished" if tracking.finished else f"{_share(tracking.seen)} seen"
    total = _place(tracking, tracking.total_steps, bare=True)
    return f"{tracking.run}: {_place(tracking, tracking.step)} of {total}, {state}"


def _place(tracking: Tracking, step: float, *, bare: bool = False) -> str:
    """Return a step as text; of a log by tokens they are its steps."""
    if tracking.total_tokens == tracking.total_steps:
        return format_count(step) if bare else f"token {format_count(step)}"
    return f"{step:,.0f}" if bare else f"step {step:,.0f}"


def _share(share: float) -> str:
    return format_fraction(share, digits=2) if share < 1 else "100 %"


def _loss(label: str, loss: float | None, ends: tuple[float, float] | None, unit: str) -> Fact:
    if loss is None:
        return Fact(label, "unknown")
    return Fact.of(label, loss, format_loss, ends, unit=f"{unit}/token" if unit == "nats" else unit)


def _planned(tracking: Tracking) -> Iterator[Fact]:
    if tracking.plan_loss is None or tracking.plan_source is None:
        return
    source = tracking.plan_source
    label = (_PLANNED if source.judges else _BESIDE)[source.kind]
    ends = None if tracking.plan_interval is None else tracking.plan_interval.loss
    yield _loss(label, tracking.plan_loss, ends, tracking.loss_unit)


def _verdict(tracking: Tracking) -> str:
    if tracking.verdict is None:
        return _NO_VERDICT
    text = f"{tracking.verdict}{' to say' if tracking.verdict.startswith('too') else ''}"
    since, departure = tracking.since, tracking.departure
    if since is not None:
        text += f" since {_moment(since, tracking)}"
    if departure is not None and departure.kind == tracking.verdict and departure.size is not None:
        text += f": {_size(departure)} than expected"
    return text


def _size(departure: Departure) -> str:
    size = departure.size or 0.0
    return f"{format_fraction(abs(size), digits=2)} {'higher' if size > 0 else 'lower'}"


def _moment(moment: Moment, tracking: Tracking) -> str:
    parts = [_place(tracking, moment.step)]
    if moment.tokens is not None and tracking.total_tokens != tracking.total_steps:
        parts.append(f"{format_count(moment.tokens)} tokens")
    else:
        parts.append(_share(moment.step / tracking.total_steps))
    if moment.date is not None:
        parts.append(moment.date.replace("T", " ").removesuffix("Z") + " UTC")
    return parts[0] + f" ({', '.join(parts[1:])})"


def _left(tracking: Tracking) -> Iterator[Fact]:
    if tracking.days_left is not None and not tracking.finished:
        yield Fact("time left", format_seconds(tracking.days_left * SECONDS_PER_DAY), prose=True)
    if tracking.cost_left is not None and not tracking.finished:
        text = format_usd(tracking.cost_left)
        if tracking.price_per_hour is not None:
            text += f", {tracking.gpus} {tracking.gpu} at {format_usd_per_hour(tracking.price_per_hour)}"
        yield Fact("cost left", text, prose=True)
    if tracking.mfu is not None:
        text = format_fraction(tracking.mfu)
        if tracking.planned_mfu is not None:
            text += f" (planned {format_fraction(tracking.planned_mfu)})"
        yield Fact("MFU", text, prose=True)


def _next(tracking: Tracking) -> Iterator[Fact]:
    look = tracking.next_look
    if look is None:
        return
    text = f"at {_place(tracking, look.step)} ({_share(look.seen)})"
    if look.days is not None:
        text += f", in {format_seconds(look.days * SECONDS_PER_DAY)}"
    yield Fact("look again", f"{text}: {look.reason}", prose=True)


def _remarks(tracking: Tracking) -> Iterator[str]:
    name = f" ({tracking.label})" if tracking.label else ""
    values = f"{tracking.smoothing}, {tracking.points:,} points"
    yield f"{tracking.metric} loss{name}, {values}; schedule: {tracking.schedule}"
    if tracking.upper_bound:
        yield "the final loss is an upper bound: the rest of the learning rate is not known"
    source = tracking.plan_source
    if source is not None:
        kind = {"plan": "a plan by", "law": "the law", "forecast": "the registered forecast", "pilots": "runs in"}
        verdict = "" if source.reason is None else f", without a verdict: {source.reason}"
        yield f"compared with {kind[source.kind]} {source.name}{verdict}"
    if tracking.methods:
        ranked = sorted(tracking.methods, key=lambda method: -method.weight)[:_METHODS]
        shown = ", ".join(
            f"{method.name} {format_loss(method.loss)} ({format_fraction(method.weight, digits=2)})"
            for method in ranked
            if method.weight > 0
        )
        runs = f" with {counted(tracking.smaller_runs, 'smaller run')}" if tracking.smaller_runs else ""
        yield f"forecast{runs}: {shown}"
    if tracking.tokens_per_second is not None:
        yield f"measured speed: {format_number(tracking.tokens_per_second)} tokens/s, without pauses"
