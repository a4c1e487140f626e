"""Functional forms of scaling laws: one form a module, registered here by name and imported when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError

if TYPE_CHECKING:
    from scaleplan.laws.base import Law

__all__ = ["LAWS", "law_class"]

LAWS = {
    "abnar": "scaleplan.laws.abnar:Abnar",
    "additive": "scaleplan.laws.additive:Additive",
    "bnsl": "scaleplan.laws.bnsl:BNSL",
    "chance_power": "scaleplan.laws.learning_curve:ChancePower",
    "clark": "scaleplan.laws.clark:Clark",
    "filtered_pool": "scaleplan.laws.data_mix:FilteredPool",
    "fine_grained_moe": "scaleplan.laws.fine_grained_moe:FineGrainedMoE",
    "joint_moe": "scaleplan.laws.joint_moe:JointMoE",
    "kaplan": "scaleplan.laws.kaplan:Kaplan",
    "kaplan_surface": "scaleplan.laws.kaplan_surface:KaplanSurface",
    "logarithmic": "scaleplan.laws.logarithmic:Logarithmic",
    "loss_to_loss": "scaleplan.laws.saturating:LossToLoss",
    "mixture": "scaleplan.laws.data_mix:Mixture",
    "modality": "scaleplan.laws.modality:Modality",
    "multi_power": "scaleplan.laws.multi_power:MultiPower",
    "multiplicative_power": "scaleplan.laws.power:MultiplicativePower",
    "offset_power": "scaleplan.laws.power:OffsetPower",
    "overtraining": "scaleplan.laws.overtraining:Overtraining",
    "power": "scaleplan.laws.power:Power",
    "power_allocation": "scaleplan.laws.allocation:PowerAllocation",
    "rl_sigmoid": "scaleplan.laws.sigmoid:RewardSigmoid",
    "saturating_multi_epoch": "scaleplan.laws.saturating:SaturatingMultiEpoch",
    "shape": "scaleplan.laws.shape:ShapedLoss",
    "shifted_power": "scaleplan.laws.learning_curve:ShiftedPower",
    "task_error": "scaleplan.laws.overtraining:TaskError",
    "task_sigmoid": "scaleplan.laws.sigmoid:TaskSigmoid",
    "three_exponent": "scaleplan.laws.three_exponent:ThreeExponent",
}
"""Where each form lives, as ``module:class``."""


def law_class(form: str) -> type[Law]:
    """Import and return the class of a form.

    Raises
    ------
    UnknownNameError
        When no form has this name.

    """
    if form not in LAWS:
        raise UnknownNameError("form", form, LAWS)
    module, name = LAWS[form].split(":")
    found: type[Law] = getattr(import_module(module), name)
    return found
