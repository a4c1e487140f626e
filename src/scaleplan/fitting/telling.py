"""What a fitted law says at a budget: asked of the planner, so that the answer is the one its preset will give."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import FileError
from scaleplan.laws.base import Curve
from scaleplan.planning.planner import Planner

if TYPE_CHECKING:
    from scaleplan.fitting.fitted import Fitted
    from scaleplan.planning.plan import Plan

__all__ = ["told"]


def told(fitted: Fitted) -> Plan | None:
    """Return the plan at the target of a fit, along the runs' own ratio where the split is not identified."""
    flops = fitted.target_flops
    if fitted.law is None or flops is None or isinstance(fitted.law, Curve):
        return None
    try:
        preset = fitted.preset
    except FileError:  # coefficients that no preset may hold are still shown
        return None
    planner = Planner(preset=preset, level=fitted.request.level)
    if planner.may_choose:
        return planner.optimal(flops)
    largest = int(np.argmax(fitted.runs.flops))
    ratio = float(fitted.runs.tokens[largest] / fitted.runs.params[largest])
    diagnosis = fitted.diagnosis
    if diagnosis is not None and diagnosis.design.ratio is not None:
        ratio = diagnosis.design.ratio
    params = float(planner.cost.training.params_at_ratio(ratio, flops))
    if not math.isfinite(params):
        return None
    return planner.loss(params, params * ratio)
