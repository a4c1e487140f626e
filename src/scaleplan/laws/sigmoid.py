"""Quantities that rise from one level to another: accuracy with falling loss, reward with compute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from scaleplan.elementary import exp
from scaleplan.laws.base import Curve, Number, Units, coefficient

__all__ = ["RewardSigmoid", "TaskSigmoid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSigmoid(Curve):
    """accuracy = a/(1 + e^(-k*(L - L0))) + b, the second step of a ladder (Bhagia et al. 2024, arXiv:2412.04403).

    Accuracy falls with the loss: k and a have opposite signs. The first step is an additive law of the task's loss.
    """

    form: ClassVar[str] = "task_sigmoid"
    formula: ClassVar[str] = "accuracy = a/(1 + e^(-k*(L - L0))) + b"

    a: float = coefficient("difference of the two levels")
    b: float = coefficient("level at the far end")
    k: float = coefficient("steepness")
    L0: float = coefficient("loss half-way")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The loss on the task."""
        return ("loss",)

    def value(self, **inputs: Number) -> Number:
        """Return the accuracy at a ``loss``."""
        return self.a / (1.0 + exp(-self.k * (inputs["loss"] - self.L0))) + self.b


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSigmoid(Curve):
    """R = R_0 + (A - R_0)/(1 + (C_mid/C)^B) of reinforcement learning (Khatri et al. 2025, arXiv:2510.13786)."""

    form: ClassVar[str] = "rl_sigmoid"
    formula: ClassVar[str] = "R = R_0 + (A - R_0)/(1 + (C_mid/C)^B)"

    A: float = coefficient("ceiling")
    B: float = coefficient("steepness", above=0)
    C_mid: float = coefficient("compute half-way", above=0)
    R_0: float = coefficient("reward before training")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Compute."""
        return ("flops",)

    def value(self, **inputs: Number) -> Number:
        """Return the reward after ``flops`` (or whatever unit of compute C_mid is in)."""
        return self.R_0 + (self.A - self.R_0) / (1.0 + (self.C_mid / inputs["flops"]) ** self.B)

    def in_raw_units(self, units: Units) -> Self:
        """Rescale the compute half-way."""
        return replace(self, C_mid=self.C_mid * units.flops)
