"""The user's runs in the pictures of plans: as markers on the curves of a law, their own or a published one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.charts.chart import Series
from scaleplan.errors import UsageError
from scaleplan.fitting.approaches import fit_envelope
from scaleplan.fitting.diagnosis import isoflop_budgets
from scaleplan.units import counted, format_factor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.charts.chart import Chart
    from scaleplan.fitting.runs import Points, Runs
    from scaleplan.presets.preset import Preset

__all__ = ["best_of", "budgets_of", "on_isoflop", "on_loss", "on_sizes", "require_comparable", "runs_and_best"]

_BEST, _OTHERS = 4, 8
"""Tones: the runs are black and grey, so that they do not belong to a curve."""

_SAME = 1.1  # runs closer to a budget are of it

_MOST_BUDGETS = 6
"""Curves for runs of any compute: each run has the colour of the nearest one."""


def require_comparable(runs: Runs, preset: Preset) -> None:
    """Refuse to draw losses of one unit beside a law of another; raises UsageError."""
    unit = preset.conventions.loss
    if runs.loss_unit != unit:
        raise UsageError(
            f"the runs have losses in {runs.loss_unit}, and preset '{preset.id}' in {unit}",
            hint="leave --preset out to draw the law of the runs, or give --loss-unit",
        )


def budgets_of(points: Points) -> list[float]:
    """Return the budgets of runs: of an IsoFLOP sweep its own, of others a few from the least compute to the most."""
    labels = isoflop_budgets(points)
    if labels is not None:
        return [float(np.median(points.flops[labels == each])) for each in range(int(labels.max()) + 1)]
    low, high = float(np.min(points.flops)), float(np.max(points.flops))
    number = min(_MOST_BUDGETS, 1 + math.ceil(math.log10(high / low) * 1.5))
    if number < 2:
        return [low]
    return [low * (high / low) ** (each / (number - 1)) for each in range(number)]


def best_of(points: Points) -> Mask:
    """Return which runs are the best of their compute; all of them where there are too few budgets to tell."""
    try:
        best: Mask = np.isin(points.rows, fit_envelope(points).rows)
    except UsageError:
        best = np.ones(len(points), dtype=bool)
    return best


def on_isoflop(chart: Chart, points: Points, at: Mapping[str, float]) -> Chart:
    """Add runs to isoFLOP curves in the colour of the nearest budget; ``at`` has the FLOP of each label."""
    labels, tones = list(at), chart.labels
    budgets = np.log([at[label] for label in labels])
    nearest = np.argmin(np.abs(np.log(points.flops)[:, None] - budgets[None, :]), axis=1)
    found = [
        _points(label, points.params, points.loss, np.flatnonzero(nearest == number), tones.get(label, number))
        for number, label in enumerate(labels)
    ]
    off = math.exp(float(np.max(np.abs(np.log(points.flops) - budgets[nearest]))))
    apart = f", from which theirs differs by up to {format_factor(off)}" if off > _SAME else ""
    text = f" Markers are {counted(len(points), 'run')}, each with the nearest budget{apart}."
    return replace(
        chart, series=(*chart.series, *(each for each in found if each.x)), caption=f"{chart.caption}{text}"
    )


def on_loss(chart: Chart, points: Points) -> Chart:
    """Add runs to the picture of the least loss; runs far above the curve are counted and left out."""
    ends = max(chart.values("x"))
    series, left_out = runs_and_best(points, (0.0, ends), max(chart.values("y")))
    omitted = f"; {counted(left_out, 'run')} of higher loss left out" if left_out else ""
    return replace(chart, series=(*chart.series, *series), caption=f"{chart.caption} Markers are runs{omitted}.")


def on_sizes(chart: Chart, points: Points) -> Chart:
    """Add the sizes of the best runs by compute to the picture of laws."""
    best = np.flatnonzero(best_of(points))
    runs = _points("best runs by compute", points.flops, points.params, best, _BEST)
    text = " Markers are the runs with the least loss for their compute, in parameters as their file counts them."
    return replace(chart, series=(*chart.series, runs), caption=f"{chart.caption}{text}")


def runs_and_best(points: Points, span: tuple[float, float], top: float) -> tuple[list[Series], int]:
    """Return the best runs of each budget and the others up to a loss, and how many are above it."""
    best = best_of(points)
    within = (span[0] * (1 - 1e-9) <= points.flops) & (points.flops <= span[1])
    top = max(top, float(np.max(points.loss[best & within], initial=0.0)))
    shown = within & (points.loss <= top)
    found = [
        _points(name, points.flops, points.loss, np.flatnonzero(shown & some), tone)
        for name, some, tone in (("other runs", ~best, _OTHERS), ("best runs by compute", best, _BEST))
    ]
    return [each for each in found if each.x], int(np.count_nonzero(within & ~shown))


def _points(label: str, x: Array, y: Array, chosen: Index, tone: int) -> Series:
    """Return some runs as separate points, from left to right."""
    order = chosen[np.argsort(x[chosen], kind="stable")]
    return Series(label=label, x=tuple(x[order].tolist()), y=tuple(y[order].tolist()), style="points", tone=tone)
