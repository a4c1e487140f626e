"""Curves of plans: which budgets they show, and where they leave the range that their law was fitted on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.charts.chart import Axis, Series
from scaleplan.errors import UnreachableError, UsageError
from scaleplan.planning.plan_array import plan_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.planning.plan_array import PlanArray
    from scaleplan.planning.planner import Planner
    from scaleplan.presets.preset import Preset

    Floats = NDArray[float64]

__all__ = ["COMPUTE", "budgets_around", "compute_axis", "curve", "fitted_range", "plans_of"]

COMPUTE = Axis(label="training compute", kind="flops", unit="FLOP")
"""The axis of budgets that are spent on training alone."""

_POINTS = 61
_EDGE = 1e-9  # rounding of compute that is computed back from a plan
_DEFAULT_RANGE = (1e18, 1e24)


def budgets_around(
    preset: Preset, at: Sequence[float] = (), *, low: float | None = None, high: float | None = None
) -> list[float]:
    """Return budgets in FLOP for a curve, evenly spaced in the logarithm, and the ends of the fitted range.

    Parameters
    ----------
    preset
        The law: its fitted range is shown, and a hundred times more at the top when no budget is asked about.
    at
        The budgets asked about, which the curve must reach beyond.
    low, high
        The ends, where they are given.

    Raises
    ------
    UsageError
        When the ends are in the wrong order.

    """
    known = preset.range.flops
    first, last = known or _DEFAULT_RANGE
    if not at and known:
        last *= 100.0
    first = min([first, *(flops / 10.0 for flops in at)]) if low is None else low
    last = max([last, *(flops * 10.0 for flops in at)]) if high is None else high
    if not first < last:
        raise UsageError(
            f"the range from {first:g} to {last:g} FLOP is empty", hint="the first budget must be the smaller"
        )
    step = math.log(last / first) / (_POINTS - 1)
    inner = {first * math.exp(step * i) for i in range(1, _POINTS - 1)}
    return sorted({first, last, *inner, *(flops for flops in (*(known or ()), *at) if first < flops < last)})


def compute_axis(planner: Planner) -> Axis:
    """Return the axis of budgets, which pay for more than training where a term of the cost says so."""
    return COMPUTE if not planner.constraints.terms else Axis(label="whole budget", kind="flops", unit="FLOP")


def plans_of(planner: Planner, budgets: Sequence[float]) -> PlanArray:
    """Return the plans of the budgets that the bounds allow."""
    try:
        return plan_array(planner, list(budgets))
    except UnreachableError:
        possible = [flops for flops in budgets if _reachable(planner, flops)]
        if not possible:
            raise
        return plan_array(planner, possible)


def _reachable(planner: Planner, flops: float) -> bool:
    try:
        planner.frontier.best(flops)
    except UnreachableError:
        return False
    return True


def fitted_range(planner: Planner) -> tuple[float, float] | None:
    """Return the fitted range of training compute, where the axis counts that alone."""
    return None if planner.constraints.terms else planner.preset.range.flops


def curve(
    label: str,
    plans: PlanArray,
    y: Sequence[float],
    interval: tuple[Floats, Floats] | None,
    *,
    x: Sequence[float] | None = None,
    tone: int = 0,
) -> list[Series]:
    """Part a curve of plans where their training compute leaves the range that the law was fitted on.

    ``x`` is the budget unless given. The points at the edges belong to both parts, so that no gap shows.
    """
    x = plans.flops.tolist() if x is None else x
    band = None if interval is None else [side.tolist() for side in interval]
    trained = plans.planner.cost.training.flops(plans.params, plans.tokens).tolist()
    low, high = plans.planner.preset.range.flops or (-math.inf, math.inf)
    last = max((i for i, flops in enumerate(trained) if flops <= low * (1 + _EDGE)), default=-1)
    first = min((i for i, flops in enumerate(trained) if flops >= high * (1 - _EDGE)), default=len(trained))
    parts = (
        ("extrapolated", range(last + 1)),
        ("measured", range(max(last, 0), min(first + 1, len(trained)))),
        ("extrapolated", range(first, len(trained))),
    )
    found = []
    for style, indices in parts:
        if len(indices) < 2:
            continue
        found.append(
            Series(
                label=label,
                x=tuple(x[i] for i in indices),
                y=tuple(y[i] for i in indices),
                low=tuple(band[0][i] for i in indices) if band else (),
                high=tuple(band[1][i] for i in indices) if band else (),
                style="measured" if style == "measured" else "extrapolated",
                tone=tone,
            )
        )
    return found
