"""The registry of pictures, and the chart of each from a request or from a file of runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Unpack, cast

import numpy as np

from scaleplan.api import COMPARED
from scaleplan.charts.chart import Axis, Chart, GuideLine, Mark, Series
from scaleplan.charts.forecast_plots import discrepancy_chart, forecast_chart
from scaleplan.charts.planning_plots import (
    break_even_chart,
    budgets_around,
    compare_chart,
    frontier_chart,
    isoflop_chart,
    loss_chart,
    money_chart,
    next_steps,
)
from scaleplan.charts.run_overlays import budgets_of, on_isoflop, on_loss, on_sizes, require_comparable
from scaleplan.charts.sources import law_source
from scaleplan.charts.track_plots import track_chart
from scaleplan.errors import UnknownNameError, UsageError, either
from scaleplan.fitting.backtest import backtest_points
from scaleplan.fitting.fit import fit
from scaleplan.fitting.fit_request import ObjectiveKeywords, changed_reading, reading_arguments
from scaleplan.fitting.methods import named_groups
from scaleplan.fitting.objective import rms
from scaleplan.fitting.reading import read_runs
from scaleplan.hardware.budget import band_text, dated_price
from scaleplan.planning.context import Context
from scaleplan.planning.on_hardware import budget_at, plan_budget
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import SETTINGS, SWEPT, BudgetKeywords, Request, option_names
from scaleplan.tracking.track import tracked
from scaleplan.units import format_flops, format_fraction, parse_flops

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.errors import Notice
    from scaleplan.fitting.backtest import Backtest
    from scaleplan.fitting.diagnosed_fit import DiagnosedFit
    from scaleplan.fitting.fit_result import FitResult
    from scaleplan.fitting.runs import Points
    from scaleplan.hardware.budget import Budget
    from scaleplan.logs.logged_run import LoggedRuns
    from scaleplan.planning.plan import Plan
    from scaleplan.presets.preset import Preset
    from scaleplan.tables.frames import TableLike
    from scaleplan.units import Amount

    Array = NDArray[float64]

__all__ = ["PICTURES", "ChartRequest", "backtest_chart", "plot", "residuals_chart"]

_CURVES = 4

_HELD_BACK = 1e-6  # relative: the rounding of whole tokens


@dataclass(frozen=True, kw_only=True)
class ChartRequest:
    """The content of a picture: the law within its bounds, the hardware, and a budget with its plan, if any."""

    request: Request
    planner: Planner
    flops: float | None
    plan: Plan | None = None
    start: float | None = None
    stop: float | None = None
    laws: Sequence[str | Preset] = ()
    runs: Points | None = None

    @classmethod
    def of(
        cls,
        request: Request,
        context: Context,
        *,
        start: float | None = None,
        stop: float | None = None,
        laws: Sequence[str | Preset] = (),
        runs: Points | None = None,
    ) -> ChartRequest:
        """Plan the budget of a request, which may be missing."""
        planner, plan, flops = Planner.of(request, context), None, None
        if any(getattr(request, form) is not None for form in SWEPT):
            plan = plan_budget(planner, request)
            planner = planner.on(plan.budget)
            flops = planner.cost.flops(plan.params, plan.tokens) if planner.constraints.terms else plan.flops
        return cls(
            request=request, planner=planner, flops=flops, plan=plan, start=start, stop=stop, laws=laws, runs=runs
        )

    def budgets(self) -> list[float]:
        """Return the budgets of a curve."""
        at = () if self.flops is None else (self.flops,)
        low = self.start
        if self.runs is not None:
            spent = self.runs.flops.tolist()
            at, low = (*at, max(spent)), min(spent) if low is None else low
        return budgets_around(self.planner.preset, at, low=low, high=self.stop)

    @property
    def price(self) -> Callable[[float, float], float] | None:
        """The money for (params, FLOP) on the hardware of the request; None without hardware or price."""
        if self.request.gpu is None:
            return None

        def price(params: float, flops: float) -> float:
            cost = budget_at(self.planner, self.request, flops, params).cost
            assert cost is not None
            return cost

        return price if budget_at(self.planner, self.request, 1e21, 1e9).cost is not None else None

    def other_laws(self, presets: Sequence[str | Preset]) -> list[Planner]:
        """Return the planners of the same question by other laws, those that can answer it, each once."""
        plain = self.request.changed(**dict.fromkeys(option_names("hardware", "budget")))
        found: dict[str, Planner] = {}
        for preset in presets:
            planner = Planner.of(plain.changed(preset=preset), self.planner.context)
            if planner.may_choose and planner.may_trade and not planner.choices:
                found.setdefault(planner.preset.id, planner)
        return list(found.values())


def _cost(request: ChartRequest) -> Chart:
    """Return the picture of the cost of the next percent, from a thirtieth of the budget on."""
    if request.flops is None:
        raise UsageError("cost needs a budget to count from", hint="give one, such as --flops 1e21")
    planner, options = request.planner, request.request
    steps = [*next_steps(planner, request.flops)]
    low = request.start or request.flops / 30
    high = request.stop or 3 * max([request.flops, *(step.flops for step in steps)])
    budgets = budgets_around(planner.preset, (request.flops,), low=low, high=high)
    if request.price is None:
        return money_chart(planner, budgets, at=request.flops, steps=steps)
    paid = budget_at(planner, options, request.flops, planner.best_counts(request.flops)[0])
    spent = None if options.cost is not None else paid.cost_interval
    chart = money_chart(
        planner,
        budgets,
        at=request.flops,
        steps=steps,
        price=request.price,
        currency=paid.currency,
        band=paid.band,
        spent=spent,
    )
    return _priced(chart, paid)


def _priced(chart: Chart, paid: Budget) -> Chart:
    """Return a picture of money with its price, the source and date of it, and the range of the hours."""
    price = dated_price(paid.price_per_hour or 0.0, paid.price_source, paid.price_date, currency=paid.currency)
    hours = "" if paid.band is None else f" Hours, and cost with them: {band_text(paid.band)}."
    return replace(chart, source=f"{chart.source} Price: {price}.{hours}")


def _isoflop(request: ChartRequest) -> Chart:
    budgets, runs = _isoflop_budgets(request), request.runs
    if runs is None:
        return isoflop_chart(request.planner, budgets)
    sizes = runs.params.tolist()
    chart = isoflop_chart(request.planner, budgets, span=(min(sizes), max(sizes)))
    # a budget that limits hold back has no curve of its own, and its runs the colour of the nearest that has
    drawn = {label: flops for flops in budgets if (label := format_flops(flops)) in chart.labels}
    return on_isoflop(chart, runs, drawn or {format_flops(budgets[-1]): budgets[-1]})


def _loss(request: ChartRequest) -> Chart:
    chart = loss_chart(request.planner, request.budgets(), at=request.flops)
    return chart if request.runs is None else on_loss(chart, request.runs)


def _isoflop_budgets(request: ChartRequest) -> list[float]:
    """Return the budgets of isoFLOP curves: of the runs, around the given one, or spread over the range."""
    if request.runs is not None and request.start is None and request.stop is None:
        return sorted({*budgets_of(request.runs), *(() if request.flops is None else (request.flops,))})
    if request.start is None and request.stop is None and request.flops is not None:
        given = request.request.flops or 0.0
        held_back = given > request.flops * (1 + _HELD_BACK)
        return [request.flops / 10, request.flops, given if held_back else request.flops * 10]
    shown = request.budgets()
    step = math.log(shown[-1] / shown[0]) / (_CURVES - 1)
    spread = [shown[0] * math.exp(step * i) for i in range(_CURVES)]
    return spread if request.flops is None else sorted({*spread, request.flops})


def _compare(request: ChartRequest) -> Chart:
    own = request.request.preset
    planners = request.other_laws([*([own] if own else []), *(request.laws or COMPARED)])
    chart = compare_chart(planners, request.budgets(), at=request.flops)
    return chart if request.runs is None else on_sizes(chart, request.runs)


def _break_even(request: ChartRequest) -> Chart:
    if request.plan is None:
        raise UsageError("break-even needs a budget", hint="give one, such as --flops 1e21")
    chart = break_even_chart(request.planner, request.plan)
    return _priced(chart, request.plan.budget) if chart.y.kind == "usd" else chart


_ZERO = GuideLine(axis="y", at=0.0, label="")


def _points(label: str, x: Array, y: Array, *, tone: int = 0) -> Series:
    """Return separate points in the order of ``x``."""
    order = np.argsort(x, kind="stable")
    return Series(label=label, x=tuple(x[order].tolist()), y=tuple(y[order].tolist()), style="points", tone=tone)


def residuals_chart(fit: DiagnosedFit) -> Chart:
    """Return the relative residual of every run, fitted over observed loss minus 1, against its compute."""
    points = fit.points
    wrong = fit.law.loss(points.params, points.tokens) / points.loss - 1.0
    far = int(np.argmax(np.abs(wrong)))
    return Chart(
        kind="residuals",
        title="What the fitted law leaves unexplained",
        x=Axis(label="training compute", kind="flops", unit="FLOP"),
        y=Axis(label="fitted over observed loss, minus 1", kind="percent", scale="linear"),
        series=(_points("runs", points.flops, wrong),),
        marks=(
            Mark(
                x=float(points.flops[far]),
                y=float(wrong[far]),
                label=f"row {int(points.rows[far])}",
                tone=1,
                sign="run",
            ),
        ),
        rules=(_ZERO,),
        caption=(
            f"One point a run of {len(points)}; root mean square {format_fraction(rms(wrong))}. A trend along the "
            "compute means that the form is wrong there; the run farthest from the law is marked."
        ),
    )


def backtest_chart(backtest: Backtest) -> Chart:
    """Return the relative error of forecasts against how far beyond their runs they reach, and the intervals.

    Raises UsageError when the runs were too few to test on.
    """
    if not backtest.cuts:
        raise UsageError(
            "the runs are too few to backtest: none are left to fit, or to predict",
            hint="a backtest needs six different runs below a cut, not all on one line, and larger ones above",
        )
    factor, error, inside = (
        np.concatenate([getattr(cut, name) for cut in backtest.cuts]) for name in ("factor", "error", "inside")
    )
    level, bins = format_fraction(backtest.level), backtest.bins
    # to the nearest and the farthest prediction, so that each has a band to be compared with
    places = (bins[0].factors[0], *(item.middle for item in bins), bins[-1].factors[1])
    half = tuple(0.5 * item.scores.width for item in (bins[0], *bins, bins[-1]))
    band = Series(
        label=f"{level} interval of one run, on average",
        x=places,
        y=(0.0,) * len(half),
        low=tuple(-width for width in half),
        high=half,
    )
    points = [
        _points(label, factor[where], error[where], tone=tone)
        for tone, (label, where) in enumerate(
            ((f"inside the {level} interval", inside), (f"outside the {level} interval", ~inside)), start=1
        )
        if where.any()
    ]
    return Chart(
        kind="backtest",
        title="How well smaller runs predicted larger ones",
        x=Axis(label="compute beyond the fitted runs", kind="factor"),
        y=Axis(label="predicted over observed loss, minus 1", kind="percent", scale="linear"),
        series=(band, *points),
        rules=(_ZERO,),
        caption=(
            f"Each point is a run above a cut, as forecast from the runs below it: {backtest}. The band is the mean "
            "interval at that distance; points on one side of zero mean that the forecasts err in one direction."
        ),
    )


@dataclass(frozen=True, kw_only=True)
class RunsRequest:
    """The content of a picture of runs: their fit, and the range of compute to show."""

    fit: FitResult
    start: float | None = None
    stop: float | None = None

    @property
    def surface(self) -> DiagnosedFit:
        """The surface fitted to the runs, with its diagnosis."""
        assert self.fit.diagnosis is not None  # by the form that is fitted
        return self.fit.diagnosis

    def backtest(self) -> Backtest:
        """Return the forecasts of the larger runs from the smaller ones."""
        found, groups = self.surface, named_groups(self.fit.runs)
        return backtest_points(found.points, found.solution, level=self.fit.request.level, groups=groups)


class Picture(NamedTuple):
    """A picture: its need of a budget, a range of budgets, a file of runs or the log of one, and its function.

    ``draw`` takes a :class:`RunsRequest` where the picture needs runs, what was tracked where it needs a log, and a
    :class:`ChartRequest` otherwise. Of the options of a plan, a picture of runs ``takes`` those of its fit, each with
    its keyword there, and the range. Others may show ``runs`` beside a law: that of ``preset``, or the one fitted.
    """

    need: Literal["range", "budget", "runs", "log"]
    draw: Callable[[Any], Chart]
    takes: Mapping[str, str | None] = MappingProxyType({})
    runs: bool = False


PICTURES: Mapping[str, Picture] = {
    "frontier": Picture(
        "range",
        lambda request: frontier_chart(request.planner, request.budgets(), at=request.flops),
    ),
    "isoflop": Picture(
        "range",
        _isoflop,
        runs=True,
    ),
    "loss": Picture("range", _loss, runs=True),
    "compare": Picture("range", _compare, runs=True),
    "cost": Picture("budget", _cost),
    "break-even": Picture("budget", _break_even),
    "forecast": Picture(
        "runs",
        lambda request: forecast_chart(request.fit, low=request.start, high=request.stop),
        {"flops": "target", "level": "level", "from": None, "to": None},
    ),
    "discrepancy": Picture("runs", lambda request: discrepancy_chart(request.fit), {"level": "level"}),
    "residuals": Picture("runs", lambda request: residuals_chart(request.surface)),
    "backtest": Picture(
        "runs",
        lambda request: backtest_chart(request.backtest()),
        {"level": "level"},
    ),
    "track": Picture(
        "log",
        track_chart,
        {name: name for name in ("preset", "params", "tokens", "gpu", "gpus", "precision", "price", "mfu", "level")},
    ),
}
"""Every picture, by the name that ``scaleplan plot`` takes."""


def plot(
    kind: str,
    *,
    from_: Amount | None = None,
    to: Amount | None = None,
    presets: Sequence[str | Preset] = (),
    runs: TableLike | LoggedRuns | None = None,
    reading: Mapping[str, Any] | None = None,
    tracking: Mapping[str, Any] | None = None,
    start: Amount | None = None,
    stop: Amount | None = None,
    laws: Sequence[str | Preset] = (),
    **options: Unpack[BudgetKeywords],
) -> Chart:
    """Return a picture as data.

    Parameters
    ----------
    kind
        One of :data:`PICTURES`.
    from_, to
        The range of compute to show, for pictures of a range and ``forecast``; around the law's own range by default.
    presets
        The laws of ``compare``, beside ``preset``.
    runs
        The file of runs for ``forecast``, ``discrepancy``, ``residuals`` and ``backtest``; the log of one for
        ``track``. In ``isoflop``, ``loss`` and ``compare`` runs are drawn beside the law of ``preset``, or beside the
        one fitted to them.
    reading
        How that file is read: keywords of :func:`scaleplan.fit`, as in ``{"where": ["lr <= 1e-3"]}``, with
        the objective and ``form`` of their law.
    tracking
        What is known of the run of a log: further keywords of :func:`scaleplan.track`, as in ``{"steps": 20000}``.
    start, stop, laws
        Earlier names of ``from_``, ``to`` and ``presets``.
    options
        As for :func:`scaleplan.api.optimal`; the budget may be left out where the picture shows a range.

    Raises
    ------
    UsageError
        For an unknown picture, or one that lacks what it needs.

    """
    laws = either("presets", presets or None, "laws", laws or None) or ()
    beginning: Amount | None = either("from_", from_, "start", start)
    end: Amount | None = either("to", to, "stop", stop)
    if kind not in PICTURES:
        raise UnknownNameError("picture", kind, PICTURES)
    need = PICTURES[kind].need
    if (runs is not None) != (need in ("runs", "log")) and not (runs is not None and PICTURES[kind].runs):
        if need == "log":
            raise UsageError(f"{kind} needs the log of a run", hint=f"scaleplan plot {kind} train.log")
        if need == "runs":
            raise UsageError(f"{kind} needs a file of runs", hint=f"scaleplan plot {kind} runs.csv")
        shown = [name for name, picture in PICTURES.items() if picture.runs or picture.need == "runs"]
        raise UsageError(f"{kind} takes no file of runs", hint=f"{', '.join(shown[:-1])} and {shown[-1]} do")
    if laws and kind != "compare":
        raise UsageError(f"{kind} shows one law", hint="give --preset once")
    read: Mapping[str, Any] = {
        **changed_reading(reading or {}),
        **{name: (reading or {})[name] for name in _FIT if (reading or {}).get(name) not in (None, False)},
    }
    known = {name: value for name, value in (tracking or {}).items() if value not in (None, ())}
    idle = [*(read if runs is None or need == "log" else ()), *(known if need != "log" else ())]
    if idle:
        raise UsageError(f"{kind} has no use for --{idle[0].replace('_', '-')}", hint="leave it out")
    first, last = (None if each is None else parse_flops(each) for each in (beginning, end))
    if runs is not None and need == "log":
        return track_chart(
            tracked(cast("TableLike", runs), **known, **_taken(kind, {**options, "from": first, "to": last}))
        )
    if runs is not None and need == "runs":
        return _of_runs(kind, partial(fit, runs, **read), options, first, last)
    context = Context()
    given: dict[str, Any] = dict(options)
    points: Points | None = None
    warnings: tuple[Notice, ...] = ()
    if runs is not None:
        points, preset, warnings = _with_law(runs, read, given)
        given["preset"] = preset
    request = ChartRequest.of(
        Request.of(given, context),
        context,
        start=first,
        stop=last,
        laws=laws,
        runs=points,
    )
    chart = PICTURES[kind].draw(request)
    return replace(chart, warnings=(*chart.warnings, *warnings))


_FIT = (*ObjectiveKeywords.__annotations__, "form")
"""The keywords of a fit that a picture of it takes beside those of reading."""


@np.errstate(all="ignore")
def _with_law(
    runs: TableLike | LoggedRuns, read: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[Points, str | Preset, tuple[Notice, ...]]:
    """Return the runs, the law to draw them with, which is fitted to them unless one is named, and its warnings.

    Raises UsageError for options of a fit beside a law that is fitted already, or losses of different units.
    """
    preset = options.get("preset")
    if preset is None:
        level = {} if options.get("level") is None else {"level": options["level"]}
        found = fit(runs, samples=0, **level, **read)
        return found.runs.points(), found.preset, found.warnings
    fitting = [name for name in _FIT if name in read]
    if fitting:
        raise UsageError(
            f"--{fitting[0].replace('_', '-')} is about a fit, and --preset names a law that is fitted already",
            hint="leave one of them out",
        )
    shown = read_runs(runs, **reading_arguments(read))
    require_comparable(shown, Context().preset(preset))
    return shown.points(), preset, shown.warnings


@np.errstate(all="ignore")  # a search tries laws beyond the floats
def _of_runs(
    kind: str, fitted: Callable[..., FitResult], options: Mapping[str, Any], start: float | None, stop: float | None
) -> Chart:
    """Return a picture of a fit to runs; raises UsageError for an option that it has no use for."""
    found = fitted(samples=0, **_taken(kind, {**options, "from": start, "to": stop}))
    chart = PICTURES[kind].draw(RunsRequest(fit=found, start=start, stop=stop))
    return replace(chart, warnings=found.warnings, source=chart.source or law_source(found.preset))


def _taken(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a picture takes, by their keywords; raises UsageError for another."""
    taken = PICTURES[kind].takes
    given = {name: value for name, value in options.items() if value not in (None, False, (), [])}
    # settings are the same for every command, so that one without a use here is no mistake
    foreign = [name for name in given if name not in (*taken, *SETTINGS, "overhead")]
    if foreign:
        raise UsageError(f"{kind} has no use for --{foreign[0].replace('_', '-')}", hint="leave it out")
    return {keyword: given[name] for name, keyword in taken.items() if keyword is not None and name in given}
