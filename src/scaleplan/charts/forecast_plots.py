"""The pictures of a forecast: its cone around the runs and beyond them, and what the plain law misses.

The cone is the surface that plans are made by, as the preset of the fit stores it; what the law misses is shown down
to the smallest runs, where that form is coarser, and comes from the forecaster itself.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.charts.chart import Axis, Chart, GuideLine, Mark, Series
from scaleplan.charts.planning_plots import COMPUTE, beyond, budgets_around, end_of_forecast, parted, plans_of
from scaleplan.charts.run_overlays import runs_and_best
from scaleplan.charts.sources import law_source
from scaleplan.errors import UnreachableError, UsageError
from scaleplan.fitting.fit_tables import DOWN_WEIGHTED
from scaleplan.fitting.objective import rms
from scaleplan.planning.planner import ImplausibleError, Planner
from scaleplan.planning.posterior import loss_intervals
from scaleplan.planning.uncertainty import sigmas_of
from scaleplan.units import counted, format_flops, format_fraction, format_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Array, Index
    from scaleplan.fitting.fit_result import FitResult
    from scaleplan.fitting.forecaster import Forecaster
    from scaleplan.laws.base import LossSurface
    from scaleplan.laws.forecast import Forecast

__all__ = ["discrepancy_chart", "forecast_chart"]

_FORECAST, _LAW, _ONE_RUN = 0, 1, 6
"""Tones; the runs are black and grey, so that they do not belong to a curve."""

_SLICES = 3  # of the runs by compute, each with its own curve
_ONE_BUDGET = 0.05  # in ln C: runs closer together than 5 % were meant to spend the same
_RATIOS = 41
_BESIDE = math.log(1.5)  # curves reach so far beyond the runs in ln D/N
_AHEAD = 10.0  # times the largest run: the budget whose curve has no runs yet


def forecast_chart(fit: FitResult, *, low: float | None = None, high: float | None = None) -> Chart:
    """Return the runs, the forecast along its optimum with its bands, and the law that it corrects.

    The bands are those of one run and of the expected loss. ``low`` and ``high`` are the ends in FLOP, which are the
    smallest run and a hundred times the largest unless given. Where the runs determine no split, the curves follow
    the line of the runs, or the tokens per parameter of the largest.

    Raises UsageError for a fit without a forecast.
    """
    surface, planner = _forecast(fit)[1], Planner(preset=fit.preset, level=fit.request.level)
    budgets = budgets_around(planner.preset, low=low, high=high)
    flops, params, tokens = _path(fit, planner, budgets)
    if not len(flops) or flops[-1] < flops[0] * math.exp(_ONE_BUDGET):
        ends = f"{format_flops(budgets[0])} to {format_flops(budgets[-1])}"
        raise UsageError(
            f"these runs determine no curve of the loss from {ends}",
            hint="scaleplan plot discrepancy shows them by tokens per parameter",
        )
    loss = np.asarray(surface.loss(params, tokens))
    outside = beyond(planner, params.tolist(), tokens.tolist())
    bands = loss_intervals(surface, (params, tokens), loss, level=planner.level)
    names = ("forecast of one run", _ONE_RUN), ("forecast of the expected loss", _FORECAST)
    curves = _law_alone(fit, planner, budgets)
    curves += [
        part
        for (name, tone), (least, most) in zip(names, bands, strict=True)
        for part in parted(_series(name, flops, loss, (least, most), tone=tone), outside)
    ]
    runs, left_out = runs_and_best(
        fit.runs.points(), (flops[0], flops[-1]), max(max(*each.y, *each.high) for each in curves)
    )
    target = fit.target_flops
    marks = []
    if target is not None and flops[0] <= target <= flops[-1]:
        at, size, data = _path(fit, planner, [target])
        values = np.asarray(surface.loss(size, data)).tolist()
        marks = [
            Mark(x=x, y=y, label=f"{format_number(y, digits=4)} at {format_flops(x)}")
            for x, y in zip(at.tolist(), values, strict=True)
        ]
    level = format_fraction(planner.level)
    return Chart(
        kind="forecast",
        title=f"Runs and their forecast, {planner.preset.id}",
        x=COMPUTE,
        y=Axis(label="loss", kind="number", unit=planner.preset.conventions.loss, scale="linear"),
        series=(*curves, *runs),
        marks=tuple(marks),
        rules=end_of_forecast(planner, budgets),
        fitted=_spent(fit),
        caption=(
            f"The forecast {_course(fit, planner)}, with the {level} intervals of the loss of one run and, darker, "
            f"of the mean of many alike. The law alone is the formula without its correction{_omitted(left_out)}."
        ),
        source=law_source(planner.preset),
    )


def discrepancy_chart(fit: FitResult) -> Chart:
    """Return what the law misses against tokens per parameter: runs and forecast, by their compute, over the law.

    The runs are in three parts of equal number by compute, each with the forecast at its mean and its interval; one
    more curve is at ten times the largest run.

    Raises UsageError for a fit without a forecast.
    """
    forecaster, preset, points = _forecast(fit)[0], fit.preset, fit.runs.points()
    law: LossSurface = preset.published  # type: ignore[assignment]  # a forecast corrects a surface
    cost = Planner(preset=preset).cost.training
    ratio = points.tokens / points.params
    off = points.loss / np.asarray(law.loss(points.params, points.tokens)) - 1.0
    lines, dots = [], []
    far = float(np.max(points.flops)) * _AHEAD
    slices: list[Index | None] = [*_slices(points.flops), None]
    shown = np.ones(len(points), dtype=bool)
    shown[forecaster.used[forecaster.run_weights > DOWN_WEIGHTED]] = False
    for tone, part in enumerate(slices):
        flops = far if part is None else math.exp(float(np.mean(np.log(points.flops[part]))))
        among = ratio if part is None else ratio[part]
        ratios = np.exp(np.linspace(math.log(np.min(among)) - _BESIDE, math.log(np.max(among)) + _BESIDE, _RATIOS))
        params = cost.params_at_ratio(ratios, np.full(_RATIOS, flops))
        tokens = params * ratios
        mean, error = forecaster.predict(params, tokens, noise=False)
        apart, reach = mean - np.log(np.asarray(law.loss(params, tokens))), sigmas_of(fit.request.level) * error
        label = f"about {format_flops(flops)}" if part is not None else f"forecast at {format_flops(flops)}"
        band = np.expm1(apart - reach), np.expm1(apart + reach)
        line = _series(label, ratios, np.expm1(apart), band, tone=tone)
        lines.append(replace(line, style="extrapolated") if part is None else line)
        if part is not None and (kept := part[shown[part]]).size:
            kept = kept[np.argsort(ratio[kept], kind="stable")]
            dots.append(replace(_series(label, ratio[kept], off[kept], tone=tone), style="points"))
    at_runs = forecaster.predict(points.params, points.tokens)[0] - np.log(law.loss(points.params, points.tokens))
    typical, left_out = format_fraction(rms(np.expm1(at_runs)), digits=2), int(np.count_nonzero(~shown))
    return Chart(
        kind="discrepancy",
        title=f"What the law misses, {preset.id}",
        x=Axis(label="tokens per parameter", kind="number"),
        y=Axis(label="loss over that of the law, minus 1", kind="percent", scale="linear"),
        series=(*lines, *dots),
        rules=(GuideLine(axis="y", at=0.0, label=""),),
        caption=(
            "Runs and forecast relative to the law alone, by compute; bands are the "
            f"{format_fraction(fit.request.level)} interval of the expected loss. At the runs the "
            f"root mean square of what the law misses is {typical}."
            f"{f' Outliers left out: {left_out}.' if left_out else ''}"
        ),
        source=law_source(preset),
    )


def _forecast(fit: FitResult) -> tuple[Forecaster, Forecast]:
    """Return the forecaster of a fit and its compact form; raises UsageError where the fit has none."""
    if fit.forecaster is None or fit.forecast is None:
        raise UsageError("this fit has no forecast to draw", hint="fit one surface: a form with params and tokens")
    return fit.forecaster, fit.forecast


def _path(fit: FitResult, planner: Planner, budgets: Sequence[float]) -> tuple[Array, Array, Array]:
    """Return budgets with the size and tokens at each: the optimum, or what the runs support without one."""
    if planner.may_choose:
        plans = plans_of(planner, budgets)
        return plans.flops, plans.params, plans.tokens
    places = [(flops, fit.supported(flops, planner.cost.training)) for flops in budgets]
    found = [(flops, *place) for flops, place in places if place is not None]
    flops, params, tokens = np.array(found).reshape(-1, 3).T
    return flops, params, tokens


def _course(fit: FitResult, planner: Planner) -> str:
    if planner.may_choose:
        return "for the optimal size at each budget"
    return "along the line of the runs" if fit.line is not None else "at the tokens per parameter of the largest run"


def _law_alone(fit: FitResult, planner: Planner, budgets: Sequence[float]) -> list[Series]:
    """Return the law without its correction, along its own optimum where it has one."""
    preset = planner.preset
    law: LossSurface = preset.published  # type: ignore[assignment]  # a forecast corrects a surface
    try:
        flops, params, tokens = _path(fit, Planner(preset=replace(preset, law=law, forecast=None)), budgets)
    except (ImplausibleError, UnreachableError):  # of coefficients of no use without the correction
        return []
    line = _series("law alone", flops, np.asarray(law.loss(params, tokens)), tone=_LAW)
    return parted(line, beyond(planner, params.tolist(), tokens.tolist()))


def _slices(flops: Array) -> list[Index]:
    """Return the positions of the runs in parts of about equal number by compute, no budget in two of them."""
    order = np.argsort(flops, kind="stable")
    logs = np.log(flops[order])
    ends = [len(logs) * number // _SLICES for number in range(1, _SLICES)]
    # a part begins where a budget does
    starts = {int(np.searchsorted(logs, logs[end] - _ONE_BUDGET)) for end in ends if end}
    return [part for part in np.split(order, sorted(starts)) if len(part)]


def _spent(fit: FitResult) -> tuple[float, float]:
    return float(np.min(fit.runs.flops)), float(np.max(fit.runs.flops))


def _omitted(count: int) -> str:
    return f"; {counted(count, 'run')} of higher loss {'is' if count == 1 else 'are'} left out" if count else ""


def _series(label: str, x: Array, y: Array, band: tuple[Array, Array] | None = None, *, tone: int) -> Series:
    low, high = ((), ()) if band is None else (tuple(np.asarray(side).tolist()) for side in band)
    return Series(label=label, x=tuple(x.tolist()), y=tuple(y.tolist()), low=low, high=high, tone=tone)
