"""The loss of one run along its training, as every method of this package takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.record import Record

if TYPE_CHECKING:
    from scaleplan.arrays import Array
    from scaleplan.logs.learning_rate import LearningRate

__all__ = ["LossCurve"]


class LossCurve(Record, eq=False):
    """The loss (nats or any one unit, positive) of a run at rising ``steps``, of ``total`` planned ones.

    ``steps`` count optimizer steps or tokens, as ``total`` does; only shares of the run matter but for the schedule,
    which counts the same. ``params`` and ``tokens`` (of the whole run) are None where unknown. ``stride`` is how many
    entries of the log one point averages.
    """

    name: str
    steps: Array
    loss: Array
    total: float
    schedule: LearningRate | None = None
    params: float | None = None
    tokens: float | None = None
    stride: int = 1

    @property
    def seen(self) -> float:
        """The share of the run that was seen."""
        return float(self.steps[-1]) / self.total if len(self.steps) else 0.0
