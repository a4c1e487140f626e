"""The schedule of the learning rate: recognised from a log, or stated as text; its value at any step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from scaleplan.arrays import Array

__all__ = ["LearningRate", "ScheduleKind"]

ScheduleKind = Literal["constant", "cosine", "linear", "wsd", "inverse_sqrt", "exponential", "steps", "table"]
"""``wsd``: constant, then a decay; ``steps``: constant pieces; ``table``: as logged, of no known shape."""


class LearningRate(Record, eq=False):
    """The learning rate of a run by step, from 0 to its ``total`` steps.

    ``knots`` and ``rates`` are the schedule as a piecewise linear function of the step, dense enough for its
    curvature: what every method integrates over. ``end`` is the rate at the last step. Rates may be relative to the
    peak: only ratios matter. ``stated`` tells whether a user or the log gave the schedule beyond what was seen of it,
    rather than its shape.
    """

    kind: ScheduleKind
    peak: float
    end: float
    total: float
    warmup: float
    decay_from: float
    knots: Array
    rates: Array
    stated: bool = False

    def at(self, steps: Array) -> Array:
        """Return the rate at steps."""
        return np.interp(steps, self.knots, self.rates)

    def integral(self, steps: Array) -> Array:
        """Return the sum of the rates from step 0 to each of ``steps``."""
        areas = np.concatenate([[0.0], np.cumsum(0.5 * (self.rates[1:] + self.rates[:-1]) * np.diff(self.knots))])
        at = np.clip(np.asarray(steps, dtype=float), self.knots[0], self.knots[-1])
        index = np.clip(np.searchsorted(self.knots, at, side="right") - 1, 0, len(self.knots) - 2)
        inside = at - self.knots[index]
        mean: Array = areas[index] + inside * 0.5 * (self.rates[index] + self.at(at))
        return mean
