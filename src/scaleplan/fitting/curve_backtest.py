"""Backtest a fitted curve: how far smaller rows would have missed the larger ones, by factor of extrapolation.

A curve has no model of what it misses. Its interval far out takes the error that the curve itself made at such a
factor, when fitted to the smaller of its own rows, and where too few rows lie above any cut that of public sweeps.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.backtest import comparable
from scaleplan.fitting.noise import cells_by_rounding
from scaleplan.fitting.objective import robust_rms
from scaleplan.planning.uncertainty import backtest_rms
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.arrays import Array, Mask
    from scaleplan.laws.base import Curve

__all__ = ["CurveBacktest", "backtest_curve"]

_MOST_CUTS = 4
_LEFT_OVER = 2  # rows below a cut beyond the coefficients
_LEAST_ABOVE = 3  # predictions from which the errors of a curve stand for themselves

_PUBLIC = ((5.0, 0.012), (23.0, 0.019), (100.0, 0.07))
"""How far the additive law misses at factors beyond the runs: the middle of six public sweeps, cut at every budget.

They stand in where no cut of the rows themselves is possible: a fit inside its own data says nothing of this.
"""


class CurveBacktest(Record):
    """The relative error ``rms`` to expect of a curve at ``factors`` times its largest row, which begin with 1.

    An error stands for its bin from the least factor on: up to the middle of the first bin it would else be mixed
    with the scatter inside the data, which on public sweeps promised less than runs just beyond a cut showed. It
    never falls with distance: few rows with small errors by chance must not promise more far out than near by.
    """

    factors: tuple[float, ...]
    rms: tuple[float, ...]

    def expected(self, factor: float) -> float:
        """Return the relative error to expect at a factor."""
        return backtest_rms(self.factors, self.rms, max(factor, 1.0))


def backtest_curve(
    refit: Callable[[Mask], Curve], base: Curve, x: Array, observed: Array, *, coefficients: int
) -> CurveBacktest:
    """Fit a curve below and predict above each of four cuts in x, those at the largest gaps.

    ``refit`` fits the rows of a mask, of which there are two more below a cut than ``coefficients``, and one above.
    """
    cells = cells_by_rounding(x)
    values = np.array([np.max(x[cells == k]) for k in range(int(cells.max()) + 1)])
    last = np.arange(1, len(values))
    usable = last[last >= coefficients + _LEFT_OVER]
    chosen = usable[np.argsort(-np.diff(np.log(values))[usable - 1], kind="stable")[:_MOST_CUTS]]
    factors, errors = [np.empty(0)], [np.empty(0)]
    for most in np.sort(values[chosen - 1]).tolist():
        below = x <= most
        factors.append(x[~below] / most)
        errors.append(_missed(refit(below), x[~below], observed[~below]))
    factor, error = np.concatenate(factors), np.concatenate(errors)
    known = [(float(np.min(factor[members])), robust_rms(error[members])) for members in comparable(factor)]
    if len(factor) < _LEAST_ABOVE:
        known = sorted([*known, *_PUBLIC])
    taken = math.sqrt(len(x) / max(len(x) - coefficients, 1))  # what the coefficients took from the residuals
    scatter = taken * robust_rms(_missed(base, x, observed))
    rms = np.maximum.accumulate([scatter, *(spread for _, spread in known)]).tolist()
    return CurveBacktest(factors=(1.0, *(least for least, _ in known)), rms=tuple(rms))


def _missed(law: Curve, x: Array, observed: Array) -> Array:
    """Return the relative errors of a curve of one input."""
    (name,) = law.inputs
    errors: Array = np.asarray(law.value(**{name: x})) / observed - 1.0
    return errors
