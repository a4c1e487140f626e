"""Approach 1: the best run of each compute bin, and a line through their sizes.

It needs dense curves and picks favourable noise: the best of many runs is the one with the luckiest error. Use it to
look at runs, not to plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError

if TYPE_CHECKING:
    from scaleplan.fitting.points import Points

__all__ = ["Envelope", "fit_envelope"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """ln N = exponent * ln C + ln(scale) through the best runs, ``rows``, of the compute bins."""

    exponent: float
    scale: float
    rows: tuple[int, ...]
    bins_per_decade: float

    def at(self, flops: float) -> float:
        """Return the size of the best run to expect at a budget."""
        return self.scale * flops**self.exponent


def fit_envelope(points: Points, *, bins_per_decade: float = 8.0) -> Envelope:
    """Take the run of least loss in each bin of ln C and regress ln N on ln C.

    Raises
    ------
    UsageError
        When fewer than three bins hold runs, or the bins are not positive.

    """
    if not bins_per_decade > 0:
        raise UsageError(f"{bins_per_decade:g} bins per decade of compute: a positive number is needed")
    compute = np.log10(points.flops)
    bins = np.floor((compute - np.min(compute)) * bins_per_decade)
    best = [
        int(members[np.argmin(points.loss[members])])
        for members in (np.flatnonzero(bins == k) for k in np.unique(bins))
    ]
    if len(best) < 3:
        raise UsageError(
            f"the runs fill {len(best)} bins of compute, too few for an envelope",
            hint="more bins per decade, or fit the surface instead",
        )
    slope, level = np.polyfit(np.log(points.flops[best]), np.log(points.params[best]), 1)
    return Envelope(
        exponent=float(slope),
        scale=float(np.exp(level)),
        rows=tuple(int(points.rows[i]) for i in best),
        bins_per_decade=bins_per_decade,
    )
