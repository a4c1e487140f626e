"""Forecast the loss at the end of a run from the part that was seen, its schedule and smaller runs.

Several methods forecast; each is weighted by how well it predicts held-back parts of the same curves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.tracking.loss_curve import LossCurve

__all__ = ["Ending", "MethodForecast", "forecast_end"]


class MethodForecast(Record):
    """What one method forecasts: its name, its weight, the loss at the end, and the sd of ln loss."""

    name: str
    weight: float
    loss: float
    sd: float


class Ending(Record):
    """The forecast of the loss at the end of a run: the mixture of the ``methods``.

    ``loss`` is the expected loss smoothed over the last part of the run, ``interval`` holds it with probability
    ``level``. ``upper_bound`` where a decay of the learning rate that is not known of may still lower it.
    ``path`` is the forecast on the way: steps, loss, low and high, from the last step seen to the end.
    """

    loss: float
    level: float
    interval: tuple[float, float]
    sd: float
    upper_bound: bool
    methods: tuple[MethodForecast, ...]
    path: tuple[tuple[float, float, float, float], ...] = ()


def forecast_end(curve: LossCurve, references: Sequence[LossCurve] = (), *, level: float = 0.9) -> Ending:
    """Forecast the end of a run.

    ``curve`` is the part seen of the run, with its ``total`` and, where known, its ``schedule``. ``references`` are
    runs of the same recipe seen to their end: smaller ones, or other schedules.
    """
    raise NotImplementedError
