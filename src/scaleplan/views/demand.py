"""The table of inference demands for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.report import Grid, Report
from scaleplan.quantities import format_count, format_flops, format_fraction, format_number
from scaleplan.views.plan import format_loss

if TYPE_CHECKING:
    from scaleplan.planning.plan import Plan, Plans

__all__ = ["demand_report"]


def demand_report(plans: Plans) -> Report:
    """Return the report: one demand a row, against the optimum for training alone at the same loss."""
    first = plans.plans[0]
    only = first.training_only
    remarks = (
        [f"best for training alone: {format_count(only.params)} on {format_count(only.tokens)} tokens"]
        if only
        else []
    )
    remarks.append(
        "training, size and tokens are multiples of that; it pays back where the total falls below its total"
    )
    return Report(
        title=f"loss {format_loss(first.loss) if first.loss is not None else ''}, {first.preset}",
        grid=Grid(
            columns=(
                "inference tokens",
                "parameters",
                "tokens",
                "size",
                "training",
                "total",
                "saving",
                "pays back at",
            ),
            rows=tuple(_row(plan) for plan in plans),
        ),
        remarks=tuple(remarks),
    )


def _row(plan: Plan) -> tuple[str, ...]:
    only = plan.training_only
    back = None if only is None else only.pays_back_at_tokens
    return (
        format_count(plan.inference_tokens),
        format_count(plan.params),
        format_count(plan.tokens),
        "" if only is None else f"{format_number(only.params_ratio)}x",
        "" if only is None else f"{format_number(only.flops_ratio)}x",
        format_flops(plan.total_flops),
        "" if only is None else format_fraction(only.saving),
        "" if back is None else format_count(back),
    )
