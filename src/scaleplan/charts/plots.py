"""A question in the words of the options → a chart: which pictures there are, and what each needs.

The pictures of a fitted law: what it leaves unexplained, and how well it would have predicted larger runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np

from scaleplan.api import COMPARED
from scaleplan.charts.chart import Axis, Chart, GuideLine, Mark, Series
from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.planning.context import Context
from scaleplan.planning.planner import Planner, budget_at, plan_budget
from scaleplan.planning.request import SWEPT, BudgetWords, Request, option_names
from scaleplan.units import format_flops, format_fraction, parse_flops

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.fitting.additive_fit import AdditiveFit
    from scaleplan.fitting.backtest import Backtest
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.request import Amount
    from scaleplan.presets.preset import Preset

__all__ = [
    "PICTURES",
    "ChartRequest",
    "Need",
    "backtest_chart",
    "cost_chart",
    "isoflop_budgets",
    "plot",
    "residuals_chart",
]

Need = Literal["range", "budget", "runs"]

PICTURES: dict[str, tuple[Need, str]] = {
    "frontier": ("range", "optimal parameters and tokens against compute"),
    "isoflop": ("range", "loss of each size at fixed compute, with the optimum and near-optimal sizes"),
    "loss": ("range", "least loss against compute, with its interval"),
    "compare": ("range", "optimal size against compute by several laws"),
    "cost": ("budget", "loss against money or compute: what the next percent costs"),
    "break-even": ("budget", "whole cost against the tokens served: when the smaller model pays back"),
    "residuals": ("runs", "what a law fitted to runs leaves unexplained"),
    "backtest": ("runs", "how well smaller runs predicted larger ones"),
}
"""Every picture: whether it needs a budget, a file of runs, or shows a range of budgets; and what it shows."""

_CURVES = 4


@dataclass(frozen=True, kw_only=True)
class ChartRequest:
    """What a picture shows: the law within its bounds, the hardware, and a budget with its plan, if any."""

    request: Request
    planner: Planner
    flops: float | None
    plan: Plan | None = None
    start: float | None = None
    stop: float | None = None

    @classmethod
    def of(
        cls, request: Request, context: Context, *, start: float | None = None, stop: float | None = None
    ) -> ChartRequest:
        """Plan the budget of a request, which may be missing."""
        planner, plan, flops = Planner.of(request, context), None, None
        if any(getattr(request, form) is not None for form in SWEPT):
            plan = plan_budget(planner, request)
            planner = planner.on(plan.budget)
            flops = planner.cost.flops(plan.params, plan.tokens) if planner.constraints.terms else plan.flops
        return cls(request=request, planner=planner, flops=flops, plan=plan, start=start, stop=stop)

    def budgets(self) -> list[float]:
        """Return the budgets of a curve."""
        from scaleplan.charts.planning_plots import budgets_around

        at = () if self.flops is None else (self.flops,)
        return budgets_around(self.planner.preset, at, low=self.start, high=self.stop)

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


def plot(
    kind: str,
    *,
    start: Amount | None = None,
    stop: Amount | None = None,
    laws: Sequence[str | Preset] = (),
    runs: str | None = None,
    **words: Unpack[BudgetWords],
) -> Chart:
    """Return a picture as data.

    Parameters
    ----------
    kind
        One of :data:`PICTURES`.
    start, stop
        The range of compute to show, for pictures of a range; around the law's own range by default.
    laws
        The laws of ``compare``, beside ``preset``.
    runs
        The file of runs for ``residuals`` and ``backtest``.
    words
        As for :func:`scaleplan.api.optimal`; the budget may be left out where the picture shows a range.

    Raises
    ------
    UsageError
        For an unknown picture, or one that lacks what it needs.

    """
    if kind not in PICTURES:
        raise UnknownNameError("picture", kind, PICTURES)
    need = PICTURES[kind][0]
    if (runs is not None) != (need == "runs"):
        raise UsageError(
            f"{kind} needs a file of runs" if need == "runs" else f"{kind} takes no file of runs",
            hint=f"scaleplan plot {kind} runs.csv" if need == "runs" else "leave it out",
        )
    if laws and kind != "compare":
        raise UsageError(f"{kind} shows one law", hint="choose it with --preset")
    if runs is not None:
        return _of_runs(kind, runs)
    context = Context()
    request = ChartRequest.of(
        Request.of(words, context),
        context,
        start=None if start is None else parse_flops(start),
        stop=None if stop is None else parse_flops(stop),
    )
    return _DRAWN[kind](request) if kind != "compare" else _compare(request, laws)


def cost_chart(asked: ChartRequest) -> Chart:
    """Return the picture of what the next percent costs, from a thirtieth of the budget on."""
    from scaleplan.charts.planning_plots import budgets_around, money_chart, next_steps

    if asked.flops is None:
        raise UsageError("cost needs a budget to count from", hint="give one, such as --flops 1e21")
    steps = [flops for _, flops, _ in next_steps(asked.planner, asked.flops)]
    low = asked.start or asked.flops / 30
    high = asked.stop or 3 * max([asked.flops, *steps])
    budgets = budgets_around(asked.planner.preset, (asked.flops,), low=low, high=high)
    return money_chart(asked.planner, budgets, at=asked.flops, price=asked.price)


def isoflop_budgets(asked: ChartRequest) -> list[float]:
    """Return the budgets of isoFLOP curves: around the one asked about, or spread over the range."""
    if asked.start is None and asked.stop is None and asked.flops is not None:
        return [asked.flops / 10, asked.flops, asked.flops * 10]
    shown = asked.budgets()
    step = math.log(shown[-1] / shown[0]) / (_CURVES - 1)
    spread = [shown[0] * math.exp(step * i) for i in range(_CURVES)]
    return spread if asked.flops is None else sorted({*spread, asked.flops})


def _frontier(asked: ChartRequest) -> Chart:
    from scaleplan.charts.planning_plots import frontier_chart

    return frontier_chart(asked.planner, asked.budgets(), at=asked.flops)


def _isoflop(asked: ChartRequest) -> Chart:
    from scaleplan.charts.planning_plots import isoflop_chart

    return isoflop_chart(asked.planner, isoflop_budgets(asked))


def _loss(asked: ChartRequest) -> Chart:
    from scaleplan.charts.planning_plots import loss_chart

    return loss_chart(asked.planner, asked.budgets(), at=asked.flops)


def _break_even(asked: ChartRequest) -> Chart:
    from scaleplan.charts.planning_plots import break_even_chart

    if asked.plan is None:
        raise UsageError("break-even needs a budget", hint="give one, such as --flops 1e21")
    return break_even_chart(asked.planner, asked.plan)


_DRAWN: dict[str, Callable[[ChartRequest], Chart]] = {
    "frontier": _frontier,
    "isoflop": _isoflop,
    "loss": _loss,
    "cost": cost_chart,
    "break-even": _break_even,
}


def _compare(request: ChartRequest, laws: Sequence[str | Preset]) -> Chart:
    from scaleplan.charts.planning_plots import compare_chart

    own = request.request.preset
    planners = request.other_laws([*([own] if own else []), *(laws or COMPARED)])
    return compare_chart(planners, request.budgets(), at=request.flops)


def _of_runs(kind: str, path: str) -> Chart:
    from scaleplan.fitting.additive_fit import fit_points
    from scaleplan.fitting.reading import read_runs
    from scaleplan.fitting.runs import Points

    runs = read_runs(path)
    points = Points.of(runs.params, runs.tokens, runs.loss, flops=runs.flops, weight=runs.weight, rows=runs.rows)
    result = fit_points(points, samples=0, test_cuts=False)
    if kind == "residuals":
        return residuals_chart(result)
    from scaleplan.fitting.backtest import backtest_points

    return backtest_chart(backtest_points(points, result.solution, samples=0))


_ZERO = GuideLine(axis="y", at=0.0, label="")


def residuals_chart(fit: AdditiveFit) -> Chart:
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


def backtest_chart(tested: Backtest) -> Chart:
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
