"""A run of a design with what it is trained with, before its seeds have names."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from scaleplan.advice.batch import RuleAnswer
    from scaleplan.errors import Notice
    from scaleplan.models import Model

__all__ = ["SLOW_LAYER", "SizedRun"]

SLOW_LAYER = 3.5e-3
"""Seconds a step for each layer that a program may take however small its model is, because it starts one kernel
after another: eager PyTorch 2.11 took 10.7 ms for 3 layers, 14.2 to 15.4 for 4 and 17.3 for 6, alone on an H200."""


class SizedRun(NamedTuple):
    """A run of a design: ``seeds`` of one shape, batch, rate and number of steps, with the time of each."""

    label: str
    seeds: int
    model: Model
    context: int
    sequences: int
    steps: int
    rate: float
    flops: float
    hours: float | None
    answer: RuleAnswer
    notices: tuple[Notice, ...]

    @property
    def tokens(self) -> int:
        """The tokens that are trained."""
        return self.steps * self.sequences * self.context

    @property
    def least_hours(self) -> float:
        """The hours that a program takes which starts one kernel after another, were its GPU infinitely fast."""
        return self.steps * self.model.architecture.layers * SLOW_LAYER / 3600
