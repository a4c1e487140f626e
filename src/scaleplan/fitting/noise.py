"""What the runs tell of their own noise: how surely it is known, and whether repeated runs reject the fitted form.

A fit of p coefficients to n runs leaves n - p residuals to judge the noise by. Student's t widens intervals for what
so few cannot tell, and below two left over there is no interval: with one, the noise may be 16 times what it seems
(the 5 % point of chi-square with one degree of freedom is 0.0039), with two 4.4 times.

Where inputs repeat, the scatter of the repeats is noise that no form explains, and the misfit of the cells beyond it
is the form's (the F test of lack of fit; Draper and Smith 1998, Applied Regression Analysis, section 2.1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.cleaning import CELL_WIDTH, cells_of
from scaleplan.planning.uncertainty import beta_share
from scaleplan.record import Record
from scaleplan.units import counted, format_factor, format_number

if TYPE_CHECKING:
    from scaleplan.arrays import Array, Index

__all__ = [
    "BUDGET_GAP",
    "LackOfFit",
    "cells_by_rounding",
    "count_distinct",
    "lack_of_fit",
    "last_digit",
    "require_distinct",
    "rises",
]

BUDGET_GAP = 0.12
"""In ln C: budgets of a sweep differ by a factor of 1.5 or more, runs of one budget by a few per cent."""

_LEFT_OVER = 2  # residuals beyond the coefficients, see above
_MOST_PLACES = 9  # decimals of a loss; more are those of a float
_REJECTED = 0.01  # a right form is rejected once in a hundred fits


class LackOfFit(Record):
    """The F test of a form against repeated runs.

    ``ratio`` is the misfit of the cells over the scatter within them, as variances, with ``between`` and ``within``
    degrees of freedom; ``probability`` is how often a right form would show as much.
    """

    ratio: float
    between: int
    within: int
    probability: float

    @property
    def rejected(self) -> bool:
        """Whether the runs reject the form, at 1 %."""
        return self.probability < _REJECTED

    def __str__(self) -> str:
        times = math.sqrt(self.ratio)
        return (
            f"the form misses these runs by {format_factor(times)} the scatter of repeats "
            f"(F({self.between}, {self.within}) = {format_number(self.ratio, digits=2)}, p = "
            f"{format_number(self.probability, digits=1)})"
        )


def cells_by_rounding(*inputs: Array) -> Index:
    """Return the number of each row's cell: rows whose inputs are equal, or differ by rounding."""
    return cells_of(np.zeros(len(inputs[0]), dtype=np.intp), *inputs)


def count_distinct(*inputs: Array) -> int:
    """Return how many rows differ in their inputs by more than rounding."""
    return int(cells_by_rounding(*inputs).max(initial=-1)) + 1


def require_distinct(*inputs: Array, coefficients: int) -> None:
    """Refuse fewer different inputs than the coefficients and two; raises UsageError."""
    least = coefficients + _LEFT_OVER
    boxes = np.unique(np.floor(np.log(np.stack(inputs)) / CELL_WIDTH), axis=1).shape[1]
    if boxes >= least * 2 ** len(inputs):  # a cell lies in at most two boxes a side, so many rows need no closer look
        return
    distinct = count_distinct(*inputs)
    if distinct >= least:
        return
    rows = len(inputs[0])
    repeated = "" if distinct == rows else f" at {distinct} different inputs"
    raise UsageError(
        f"{counted(rows, 'row')}{repeated} {'is' if rows == 1 else 'are'} too few for {coefficients} coefficients",
        hint=f"{least} different ones or more leave {_LEFT_OVER} to judge the noise by; a form of fewer coefficients "
        "needs fewer",
    )


def last_digit(values: Array) -> float:
    """Return the step of the last decimal place that any of some values uses; 0 where there is no such place."""
    for places in range(_MOST_PLACES):
        scaled = values * 10.0**places
        if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-9 * np.maximum(np.abs(scaled), 1.0)):
            return 10.0**-places
    return 0.0


def lack_of_fit(cells: Index, residuals: Array, coefficients: int, *, rounding: float = 0.0) -> LackOfFit | None:
    """Test residuals of least squares by their cells; None where too little repeats, or nothing but rounding is left.

    Residuals and not losses are compared, so that inputs of one cell may differ by rounding. Repeats that were
    rounded to steps of ``rounding`` may agree by it and share its error, which counts as theirs.
    """
    counts = np.bincount(cells)
    between, within = len(counts) - coefficients, len(cells) - len(counts)
    if between < 1 or within < 1:
        return None
    means = np.bincount(cells, weights=residuals) / counts
    scatter = float(np.sum((residuals - means[cells]) ** 2)) / within
    scatter = max(scatter, float(np.mean(counts[cells])) * rounding**2 / 12)
    misfit = float(counts @ means**2) / between
    if misfit <= 1e-24:  # of residuals relative to one: runs without noise
        return None
    ratio = min(misfit / max(scatter, 1e-300), 1e12)
    share = within / (within + between * ratio)
    return LackOfFit(
        ratio=ratio, between=between, within=within, probability=beta_share(within / 2, between / 2, share)
    )


def rises(x: Array, y: Array) -> bool:
    """Whether y rises with x by ranks (Spearman), so surely that noise would do so once in a hundred."""
    if np.ptp(np.log(x)) <= BUDGET_GAP:
        return False
    ranks = [np.unique(values, return_inverse=True)[1] - 0.0 for values in (x, y)]
    first, second = (rank - rank.mean() for rank in ranks)
    length = float(np.sqrt((first @ first) * (second @ second)))
    together = float(first @ second) / length if length else 0.0
    chance = beta_share(0.5 * (len(x) - 2), 0.5, max(1.0 - together * together, 0.0)) if len(x) > 2 else 1.0
    return together > 0 and chance < _REJECTED
