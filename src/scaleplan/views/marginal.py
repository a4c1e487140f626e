"""What more compute buys, for people: the next doubling, the next percent, and how the returns diminish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.report import Fact, Grid, Report
from scaleplan.quantities import format_count, format_flops, format_fraction, format_number, format_usd
from scaleplan.views.plan import format_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.advice.marginal import Marginal

__all__ = ["marginal_report"]


def marginal_report(result: Marginal) -> Report:
    """Return the report: what the next bit buys, then the doublings."""
    unit = result.loss_unit
    facts = [
        Fact(label="loss", value=format_loss(result.loss), unit=unit),
        Fact(label="the next doubling gains", value=format_number(result.gain_per_doubling), unit=unit),
        Fact(label="the next 1 % gains", value=format_number(result.gain_of_next_percent), unit=unit),
    ]
    if result.cost_of_next_percent is not None:
        facts.append(Fact(label="the next 1 % costs", value=format_usd(result.cost_of_next_percent)))
    if result.flops_per_hundredth is not None:
        more = format_fraction(result.flops_per_hundredth / result.flops)
        facts.append(Fact(label="0.01 less loss takes", value=more, unit="more compute"))
    if result.cost_per_hundredth is not None:
        facts.append(Fact(label="0.01 less loss costs", value=format_usd(result.cost_per_hundredth)))
    return Report(
        title=f"{format_flops(result.flops)}, {result.preset}: what more compute buys",
        facts=tuple(facts),
        grid=_grid(result),
        remarks=tuple(_remarks(result)),
    )


def _grid(result: Marginal) -> Grid:
    priced = any(step.cost is not None for step in result.steps)
    sure = any(step.gain_interval is not None for step in result.steps)
    columns = ["compute", "parameters", "tokens", "loss", "gain"]
    if sure and result.level is not None:
        columns.append(format_fraction(result.level))
    if priced:
        columns += ["cost", "the doubling"]
    rows = []
    for step in result.steps:
        row = [
            f"{step.factor:g}x",
            format_count(step.params),
            format_count(step.tokens),
            format_loss(step.loss),
            "" if step.gain is None else format_number(step.gain),
        ]
        if sure and result.level is not None:
            span = step.gain_interval
            row.append("" if span is None else f"{format_number(span[0])} – {format_number(span[1])}")
        if priced:
            row.append("" if step.cost is None else format_usd(step.cost))
            row.append("" if step.extra_cost is None else f"+{format_usd(step.extra_cost)}")
        rows.append(tuple(row))
    return Grid(columns=tuple(columns), rows=tuple(rows))


def _remarks(result: Marginal) -> Iterator[str]:
    if result.exponent is not None:
        shrinks = 2.0**-result.exponent
        floor = "" if result.floor is None else f" above the floor of {format_loss(result.floor)}"
        yield (
            f"each doubling costs twice the one before and gains about {shrinks:.2f} of it: "
            f"the loss{floor} falls as compute to the power {-result.exponent:.3f}"
        )
    if result.halving_factor is not None:
        what = "the loss" if result.floor is None else "what is left above the floor"
        yield f"to halve {what} takes {format_number(result.halving_factor)} times the compute"
