"""The memory of a plan by its size alone, in the usual proportions of a model: no shape is looked for.

It bounds a plan, is judged by policies, and settles at once that a plan far from filling its devices fits them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.models.feasibility import Feasibility, FixedLayout, device_bytes
from scaleplan.models.margins import read_margins
from scaleplan.models.memory import typical
from scaleplan.models.sequences import DEFAULT_CONTEXT
from scaleplan.presets.conventions import convert_params, unconvertible
from scaleplan.units import GIGA

if TYPE_CHECKING:
    from scaleplan.models import Model
    from scaleplan.planning.context import Context
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.request import Request

__all__ = ["memory_per_device", "surely_fits", "total_params"]

_LARGER = 1.25
"""Where a model of the usual proportions and so much more parameters and sequence fits, any shape of a style does:
they differ by a few percent."""


def surely_fits(plan: Plan, request: Request, context: Context) -> bool:
    """Whether a plan's model is so far from filling its devices that no shape need be found to know that it fits."""
    total = total_params(plan, None)
    if total is None or plan.total_params is not None or plan.budget.gpu is None or plan.budget.gpus is None:
        return False
    memory = context.accelerators.get(plan.budget.gpu).memory_bytes
    found = Feasibility(
        typical(_LARGER * total),
        memory_bytes=memory,
        sequence=round(_LARGER * DEFAULT_CONTEXT),
        fixed=_WHOLE,
        margins=read_margins(request.margins),
    )
    return found.fits(plan.budget.gpus)


_WHOLE = FixedLayout(tensor=1, pipeline=1, context=1)
"""Nothing but shared states, which any shape can have."""


def memory_per_device(plan: Plan, model: Model | None, context: Context) -> float | None:
    """Return the least memory of each device in GB of 1e9 bytes, by whatever layout needs the least.

    All parameters of a mixture count; None without devices, or where a law does not determine them.
    """
    budget, total = plan.budget, total_params(plan, model)
    if budget.gpu is None or budget.gpus is None or total is None:
        return None
    node = context.accelerators.get(budget.gpu).link_devices
    return device_bytes(total, gpus=budget.gpus, sequence=DEFAULT_CONTEXT, node=node) / GIGA


def total_params(plan: Plan, model: Model | None) -> float | None:
    """Return all parameters of a plan's model; None where its law does not determine them."""
    if model is not None:
        return float(model.params)
    if plan.total_params is not None:
        return float(plan.total_params)
    if unconvertible(plan.params_convention, "total") is not None:
        return None
    return convert_params(plan.params, source=plan.params_convention, target="total")
