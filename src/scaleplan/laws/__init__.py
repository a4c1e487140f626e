"""Functional forms of scaling laws, each a class that is registered here by name and imported when it is needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError

if TYPE_CHECKING:
    from scaleplan.laws.base import Law

LAWS = {
    "abnar": "scaleplan.laws.mixtures:Abnar",
    "additive": "scaleplan.laws.additive:Additive",
    "bnsl": "scaleplan.laws.curves:BNSL",
    "chance_power": "scaleplan.laws.curves:ChancePower",
    "clark": "scaleplan.laws.mixtures:Clark",
    "data_constrained": "scaleplan.laws.additive:DataConstrained",
    "farseer": "scaleplan.laws.farseer:Farseer",
    "filtered_pool": "scaleplan.laws.downstream:FilteredPool",
    "fine_grained_moe": "scaleplan.laws.mixtures:FineGrainedMoE",
    "joint_moe": "scaleplan.laws.mixtures:JointMoE",
    "kaplan": "scaleplan.laws.kaplan:Kaplan",
    "kaplan_surface": "scaleplan.laws.kaplan:KaplanSurface",
    "logarithmic": "scaleplan.laws.curves:Logarithmic",
    "loss_to_loss": "scaleplan.laws.downstream:LossToLoss",
    "mixture": "scaleplan.laws.downstream:Mixture",
    "modality": "scaleplan.laws.allocation:Modality",
    "multi_power": "scaleplan.laws.curves:MultiPower",
    "multiplicative_power": "scaleplan.laws.curves:MultiplicativePower",
    "offset_power": "scaleplan.laws.curves:OffsetPower",
    "overtraining": "scaleplan.laws.additive:Overtraining",
    "power": "scaleplan.laws.curves:Power",
    "power_allocation": "scaleplan.laws.allocation:PowerAllocation",
    "rl_sigmoid": "scaleplan.laws.downstream:RewardSigmoid",
    "saturating_multi_epoch": "scaleplan.laws.downstream:SaturatingMultiEpoch",
    "shape": "scaleplan.laws.additive:ShapedLoss",
    "shifted_power": "scaleplan.laws.curves:ShiftedPower",
    "sigmoid": "scaleplan.laws.curves:Sigmoid",
    "task_error": "scaleplan.laws.additive:TaskError",
    "task_sigmoid": "scaleplan.laws.downstream:TaskSigmoid",
    "three_exponent": "scaleplan.laws.additive:ThreeExponent",
}
"""Where each form lives, as ``module:class``."""


def law_class(form: str) -> type[Law]:
    """Import and return the class of a form; raises UnknownNameError when there is none."""
    if form not in LAWS:
        raise UnknownNameError("form", form, LAWS)
    module, name = LAWS[form].split(":")
    found: type[Law] = getattr(import_module(module), name)
    return found
