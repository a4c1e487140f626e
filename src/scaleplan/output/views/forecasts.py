"""Reports of registered forecasts: one, its outcome, and the record of a folder."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.charts.terminal import CHART_WIDTH, chart_lines
from scaleplan.charts.track_plots import calibration_chart
from scaleplan.output import Fact, Report, ReportTable
from scaleplan.output.views.plan import SIZES, format_loss
from scaleplan.units import (
    counted,
    format_change,
    format_count,
    format_flops,
    format_fraction,
    format_fractions,
    format_range,
    format_signed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.tracking.registered import KeptForecast, Outcome, RegisteredForecast, TrackRecord

__all__ = ["outcome_report", "record_report", "registered_report"]


def registered_report(forecast: RegisteredForecast) -> Report:
    """Return a forecast: its run, its law, the loss with each interval, and the hash."""
    facts = [
        Fact.of(SIZES[forecast.params_convention], forecast.params, format_count),
        Fact.of("tokens", forecast.tokens, format_count),
        Fact.of("compute", forecast.flops, format_flops),
        Fact.of("loss", forecast.loss, format_loss, unit=forecast.loss_unit),
    ]
    for each in forecast.intervals:
        low, high = map(format_loss, each.loss)
        facts.append(Fact(f"{format_fraction(each.level)} interval", "", low=low, high=high))
    remarks = [f"registered {forecast.registered} by scaleplan {forecast.version}"]
    law = f"law: {forecast.preset}, SHA-256 {forecast.preset_sha256[:16]}…"
    if forecast.runs_sha256 is not None:
        law += f", fitted to {forecast.runs or 'runs'}, SHA-256 {forecast.runs_sha256[:16]}…"
    remarks.append(law)
    if forecast.note is not None:
        remarks.append(forecast.note)
    remarks.append(f"SHA-256 of this forecast: {forecast.sha256}")
    if not forecast.unchanged:
        remarks.append("changed after it was registered: the content has another hash")
    return Report(title=forecast.name, facts=facts, remarks=remarks)


def outcome_report(outcome: Outcome) -> Report:
    """Return what came out of a forecast: the error, and each interval with its score."""
    facts = [
        Fact.of("loss", outcome.loss, format_loss, unit=outcome.loss_unit),
        Fact.of("forecast", outcome.forecast, format_loss),
        Fact("error", format_signed(outcome.error, digits=4)),
        Fact("relative error", format_change(outcome.relative_error)),
    ]
    rows = [
        (
            format_fraction(each.level),
            format_range(*each.loss, format_loss),
            "inside" if each.inside else "outside",
            format_loss(each.score),
        )
        for each in outcome.intervals
    ]
    return Report(
        title=outcome.name,
        facts=facts,
        grid=ReportTable(("level", "interval", "outcome", "score"), rows=rows, text={"outcome"}),
        remarks=(
            f"registered {outcome.registered}, resolved {outcome.resolved}; loss: {outcome.source}",
            "score: the width, and a penalty outside (interval score; less is better)",
        ),
    )


def record_report(record: TrackRecord) -> Report:
    """Return the record: a row a forecast, then how often each level held, and the picture of it."""
    resolved = max((each.resolved for each in record.coverage), default=0)  # a copy of a forecast counts once
    title = f"{counted(len(record.forecasts), 'forecast')} in {record.folder}, {resolved} resolved"
    level = format_fraction(record.level)
    held = next((each for each in record.coverage if math.isclose(each.level, record.level)), None)
    if held is not None:
        title += f": {held.inside} of {held.resolved} inside their {level} interval"
    columns = ("run", "registered", "forecast", level, "outcome", "error", "")
    grid = ReportTable(columns, rows=[*map(_row, record.forecasts)], text={"run", "registered", ""})
    if not record.coverage:
        remarks = ("none is resolved yet: 'scaleplan resolve FORECAST --loss L' scores one",)
        return Report(title=title, grid=grid, remarks=remarks)
    return Report(title=title, grid=grid, remarks=[*_remarks(record)], sections=(_calibration(record),))


def _row(kept: KeptForecast) -> tuple[str, ...]:
    held = "" if kept.inside is None else "inside" if kept.inside else "outside"
    return (
        kept.name,
        kept.registered[:10],
        format_loss(kept.loss),
        "–" if kept.interval is None else format_range(*kept.interval, format_loss),
        "–" if kept.outcome is None else format_loss(kept.outcome),
        "–" if kept.relative_error is None else format_change(kept.relative_error),
        held if kept.status == "resolved" else kept.status,
    )


def _remarks(record: TrackRecord) -> Iterator[str]:
    if record.bias is not None and record.rms is not None:
        bias, rms = f"{format_change(record.bias)} on average (bias)", f"{format_fraction(record.rms)} rms"
        yield f"error, + where the run came out worse: {bias}, {rms}"
    if record.score is not None:
        yield f"mean interval score at {format_fraction(record.level)}: {format_fraction(record.score)} of the loss"


def _calibration(record: TrackRecord) -> Report:
    rows = [
        (
            format_fraction(each.level),
            f"{each.inside} of {each.resolved}",
            format_fraction(each.share, digits=2),
            format_fractions(*each.interval, digits=2),
        )
        for each in record.coverage
    ]
    return Report(
        title="calibration",
        grid=ReportTable(("level", "held", "share", "90 % interval of the share"), rows=rows),
        drawing=lambda width: chart_lines(calibration_chart(record), width=min(width, CHART_WIDTH)),
    )
