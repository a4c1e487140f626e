"""The precisions of an accelerator for people: speed on one side, worth of a parameter on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.report import Grid, Report
from scaleplan.quantities import format_count, format_flops, format_fraction, format_number

if TYPE_CHECKING:
    from scaleplan.advice.precisions import PrecisionChoice, PrecisionRow

__all__ = ["precisions_report"]


def precisions_report(choice: PrecisionChoice) -> Report:
    """Return a row for each precision, and the verdict."""
    best = next(row for row in choice.rows if row.precision == choice.best)
    if choice.best == choice.reference:
        verdict = f"{choice.best}: fewer bits cost more than their speed buys here"
    else:
        gain = format_fraction(best.advantage)
        verdict = f"{choice.best}: its loss would take {gain} more compute in {choice.reference}"
    return Report(
        title=f"{choice.gpu}, {choice.preset}",
        grid=Grid(
            columns=(
                "precision",
                "speed",
                "compute",
                "worth",
                "parameters",
                "tokens",
                "loss",
                f"vs {choice.reference}",
            ),
            rows=tuple(_row(row) for row in choice.rows),
            text=frozenset({"precision"}),
        ),
        remarks=(
            verdict,
            f"speed is peak times utilisation, in {choice.reference}'s; worth is N_eff/N by Kumar et al. 2024",
        ),
    )


def _row(row: PrecisionRow) -> tuple[str, ...]:
    return (
        row.precision,
        f"{format_number(row.speed)}x",
        format_flops(row.flops),
        format_number(row.params_worth),
        format_count(row.params),
        format_count(row.tokens),
        format_number(row.loss, digits=4),
        f"{100 * row.advantage:+.0f} %",
    )
