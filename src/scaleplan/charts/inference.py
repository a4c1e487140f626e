"""The picture of inference: what training and serving cost together, and from where a smaller model pays back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.charts.chart import Axis, Chart, Mark, Rule, Series
from scaleplan.errors import UsageError
from scaleplan.planning.terms.inference import TrainingOnly
from scaleplan.quantities import format_count

if TYPE_CHECKING:
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.planner import Planner

__all__ = ["break_even"]

_POINTS = 49
_SECONDS_PER_HOUR = 3600.0


def break_even(planner: Planner, plan: Plan) -> Chart:
    """Return the whole bill against the tokens served: of this plan, and of the optimum for training alone.

    Both reach the same loss. The bill is in money where inference is counted in money, in FLOP otherwise.

    Raises
    ------
    UsageError
        When the question names no demand, or the plan has nothing to be compared with.

    """
    other, served = plan.constraints.get("training_only"), plan.constraints.get("inference_tokens")
    if not isinstance(served, float):
        raise UsageError("break-even needs a demand", hint="give --inference-tokens, such as 1T")
    if not isinstance(other, TrainingOnly):
        raise UsageError("the limits leave no plan for training alone to break even with", hint="relax one of them")
    unit, axis = _unit(planner, plan)
    each = planner.cost.per_param / served  # FLOP for a parameter and a token served, weighted as the plan does
    meeting = other.pays_back_at_tokens
    middle = [served, *([meeting] if meeting else [])]
    low, high = min(middle) / 30.0, max(middle) * 10.0
    step = math.log(high / low) / (_POINTS - 1)
    tokens = sorted({*middle, *(low * math.exp(step * i) for i in range(_POINTS))})
    models = (
        (f"this plan, {format_count(plan.params)}", plan.flops, plan.params),
        (f"best for training alone, {format_count(other.params)}", other.flops, other.params),
    )
    return Chart(
        kind="break-even",
        title=f"Whole cost against tokens served, {plan.preset}",
        x=Axis(label="inference tokens", kind="count"),
        y=axis,
        series=tuple(
            Series(
                label=label,
                x=tuple(tokens),
                y=tuple(unit * (flops + each * params * count) for count in tokens),
                tone=tone,
            )
            for tone, (label, flops, params) in enumerate(models)
        ),
        marks=()
        if not meeting
        else (
            Mark(
                x=meeting,
                y=unit * (plan.flops + each * plan.params * meeting),
                label=f"pays back from {format_count(meeting)}",
            ),
        ),
        rules=(Rule(axis="x", at=served, label=f"demand, {format_count(served)}"),),
        caption=(
            "Training and inference together for two models of the same loss. Left of the crossing the model that "
            "is best for training alone is cheaper, right of it the smaller one on more tokens."
        ),
    )


def _unit(planner: Planner, plan: Plan) -> tuple[float, Axis]:
    """Return what a FLOP of training costs, and the axis that counts it."""
    rates = plan.budget
    if planner.constraints.priced and rates.price_per_hour and rates.peak_flops_per_s and rates.utilisation:
        usd = rates.price_per_hour / (rates.peak_flops_per_s * rates.utilisation * _SECONDS_PER_HOUR)
        return usd, Axis(label="training and inference", kind="usd", unit="USD")
    return 1.0, Axis(label="training and inference", kind="flops", unit="FLOP")
