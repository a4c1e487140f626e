"""The checklist of a fit, and the same runs fitted by other choices, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.fitting.checklist import checklist, variations
from scaleplan.formats.report import Fact, Grid, Report
from scaleplan.quantities import format_count, format_flops, format_number

if TYPE_CHECKING:
    from scaleplan.fitting.fitted import Fitted

__all__ = ["checklist_reports"]


def checklist_reports(fitted: Fitted) -> list[Report]:
    """Return the checklist, and the table of variations where the form has one."""
    facts = tuple(Fact(label=item, value=text, prose=True) for item, text in checklist(fitted))
    reports = [Report(title="to repeat this fit", facts=facts)]
    found = variations(fitted)
    if found:
        rows = tuple(
            (
                item.name,
                f"{item.E:.4g}",
                f"{item.alpha:.4g}",
                f"{item.beta:.4g}",
                format_count(item.params),
                format_number(item.loss, digits=4),
            )
            for item in found
        )
        flops = fitted.target_flops
        assert flops is not None  # there are no variations without a target
        reports.append(
            Report(
                title=f"by other choices, at {format_flops(flops)}",
                grid=Grid(
                    columns=("choice", "E", "alpha", "beta", "parameters", "loss"),
                    rows=rows,
                    text=frozenset({"choice"}),
                ),
            )
        )
    return reports
