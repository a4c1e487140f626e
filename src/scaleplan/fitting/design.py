"""What the runs cover: ranges, distinct sizes, one ray of tokens per parameter, budgets of an IsoFLOP sweep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy import float64, intp
    from numpy.typing import NDArray

    from scaleplan.fitting.points import Points

    Array = NDArray[float64]

__all__ = ["Design", "describe", "isoflop_budgets"]

_RAY = 1.3  # D/N within ±14 %: one ratio, up to rounding of step counts
_BUDGET_GAP = 0.12  # in ln C: budgets of a sweep differ by a factor of 1.5 or more, runs of one by a few per cent
_BUDGET_WIDTH = 0.35
_RUNS_PER_BUDGET, _SHARE_IN_BUDGETS = 4, 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Ranges (low, high) over the runs, and the shape of the sweep.

    Attributes
    ----------
    sizes, token_counts
        Distinct values, equal within 1 %.
    ratio
        The D/N of a design on one ray, or None.
    line
        The standard deviation of the runs across the line that fits them best in (ln N, ln D).
    budgets
        The number of IsoFLOP budgets, 0 when it is not such a sweep.

    """

    runs: int
    params: tuple[float, float]
    tokens: tuple[float, float]
    flops: tuple[float, float]
    tokens_per_param: tuple[float, float]
    sizes: int
    token_counts: int
    ratio: float | None
    line: float
    budgets: int

    @property
    def one_ray(self) -> bool:
        """Whether all runs have one D/N, so that size and data terms cannot be told apart."""
        return self.ratio is not None


def describe(points: Points) -> Design:
    """Return what the runs cover."""
    x, y = points.logs
    ratios = points.tokens / points.params
    low, high = _span(ratios)
    spread = np.linalg.eigvalsh(np.cov(np.stack([x, y]))) if len(points) > 1 else np.zeros(2)
    labels = isoflop_budgets(points)
    return Design(
        runs=len(points),
        params=_span(points.params),
        tokens=_span(points.tokens),
        flops=_span(points.flops),
        tokens_per_param=(low, high),
        sizes=_distinct(x),
        token_counts=_distinct(y),
        ratio=math.exp(float(np.mean(np.log(ratios)))) if high <= low * _RAY else None,
        line=math.sqrt(max(float(spread[0]), 0.0)),
        budgets=0 if labels is None else len(set(labels.tolist()) - {-1}),
    )


def isoflop_budgets(points: Points) -> NDArray[intp] | None:
    """Return the budget of each run, numbered from the smallest with -1 for runs of none, or None.

    A budget is a set of at least four sizes with nearly equal compute; a sweep has at least two budgets that
    hold four fifths of the runs.
    """
    logs = np.log(points.flops)
    order = np.argsort(logs, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(logs[order]) > _BUDGET_GAP) + 1, len(order))
    labels = np.full(len(points), -1, dtype=np.intp)
    begin, found = 0, 0
    for end in ends.tolist():
        members = order[begin:end]
        narrow = np.ptp(logs[members]) <= _BUDGET_WIDTH
        if narrow and _distinct(points.logs[0][members]) >= _RUNS_PER_BUDGET:
            labels[members] = found
            found += 1
        begin = end
    inside = np.count_nonzero(labels >= 0)
    return labels if found >= 2 and inside >= _SHARE_IN_BUDGETS * len(points) else None


def _span(values: Array) -> tuple[float, float]:
    return float(np.min(values)), float(np.max(values))


def _distinct(logs: Array) -> int:
    return 1 + int(np.count_nonzero(np.diff(np.sort(logs)) > 0.01))
