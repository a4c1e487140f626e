"""The pictures of a fitted law: what it leaves unexplained, and how well it would have predicted larger runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaleplan.charts.chart import Axis, Chart, Mark, Rule, Series
from scaleplan.errors import UsageError
from scaleplan.quantities import format_flops, format_fraction

if TYPE_CHECKING:
    from scaleplan.fitting.backtest import Backtest
    from scaleplan.fitting.result import Fit

__all__ = ["backtest", "residuals"]

_ZERO = Rule(axis="y", at=0.0, label="")


def residuals(fit: Fit) -> Chart:
    """Return the relative residual of every run, fitted over observed loss minus 1, against its compute."""
    points = fit.points
    wrong = fit.law.loss(points.params, points.tokens) / points.loss - 1.0
    far = int(np.argmax(np.abs(wrong)))
    order = np.argsort(points.flops, kind="stable")
    rms = float(np.sqrt(np.mean(wrong**2)))
    return Chart(
        kind="residuals",
        title="What the fitted law leaves unexplained",
        x=Axis(label="training compute", kind="flops", unit="FLOP"),
        y=Axis(label="fitted over observed loss, minus 1", kind="percent", scale="linear"),
        series=(
            Series(
                label="runs",
                x=tuple(points.flops[order].tolist()),
                y=tuple(wrong[order].tolist()),
                style="points",
            ),
        ),
        marks=(Mark(x=float(points.flops[far]), y=float(wrong[far]), label=f"row {int(points.rows[far])}", tone=1),),
        rules=(_ZERO,),
        caption=(
            f"One point a run of {len(points)}; root mean square {format_fraction(rms)}. A trend along the compute "
            "means that the form is wrong there; the run farthest from the law is marked."
        ),
    )


def backtest(tested: Backtest) -> Chart:
    """Return the relative error of predictions against how far beyond the fitted runs they reach.

    Raises
    ------
    UsageError
        When the runs were too few to test on.

    """
    if not tested.cuts:
        raise UsageError(
            "the runs are too few to backtest: none are left to fit, or to predict",
            hint="at least 12 runs below a cut and 3 above it are needed",
        )
    series = []
    for tone, cut in enumerate(tested.cuts):
        order = np.argsort(cut.factor, kind="stable")
        series.append(
            Series(
                label=f"fitted up to {format_flops(cut.flops)}",
                x=tuple(cut.factor[order].tolist()),
                y=tuple(cut.error[order].tolist()),
                style="points",
                tone=tone + 1,
            )
        )
    series += [
        Series(label="error to expect", x=tested.factors, y=tuple(sign * value for value in tested.rms))
        for sign in (1.0, -1.0)
    ]
    return Chart(
        kind="backtest",
        title="How well smaller runs predicted larger ones",
        x=Axis(label="compute beyond the fitted runs", kind="factor"),
        y=Axis(label="predicted over observed loss, minus 1", kind="percent", scale="linear"),
        series=tuple(series),
        rules=(_ZERO,),
        caption=(
            "Each point is a run above a cut, predicted by the law fitted to the runs below it. The lines are the "
            "root mean square error to expect at that distance; points on one side of zero mean that the law is "
            "wrong there."
        ),
    )
