"""A question in the words of the options → a chart: which pictures there are, and what each needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack

from scaleplan import api
from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.hardware.funding import Catalogue, resolve
from scaleplan.planning import posing
from scaleplan.planning.asking import Hardware, request_of
from scaleplan.planning.words import SWEPT, BudgetWords, HardwareWords, split_words
from scaleplan.quantities import parse_flops

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.charts.chart import Chart
    from scaleplan.planning.asking import Amount
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.planner import Planner
    from scaleplan.presets.preset import Preset

__all__ = ["PICTURES", "Asked", "Need", "cost_chart", "isoflop_budgets", "plot"]

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
class Asked:
    """What a picture is asked about: the law within its bounds, the hardware, and a budget with its plan, if any."""

    planner: Planner
    hardware: Hardware
    flops: float | None
    plan: Plan | None = None
    start: float | None = None
    stop: float | None = None

    @classmethod
    def of(cls, words: dict[str, Any], *, start: Amount | None = None, stop: Amount | None = None) -> Asked:
        """Read the words of a question; the budget may be missing."""
        hardware, rest, budget = split_words(words)
        planner, plan, flops = posing.planner_of(**rest), None, None
        if any(amount is not None for amount in budget.values()):
            plan = api.optimal(**words)
            planner = planner.on(plan.budget)
            flops = planner.cost.flops(plan.params, plan.tokens) if planner.constraints.terms else plan.flops
        return cls(
            planner=planner,
            hardware=hardware,
            flops=flops,
            plan=plan,
            start=None if start is None else parse_flops(start),
            stop=None if stop is None else parse_flops(stop),
        )

    def budgets(self) -> list[float]:
        """Return the budgets of a curve."""
        from scaleplan.charts.curves import budgets_around

        at = () if self.flops is None else (self.flops,)
        return budgets_around(self.planner.preset, at, low=self.start, high=self.stop)

    @property
    def price(self) -> Callable[[float, float], float] | None:
        """The money for (params, FLOP) on the hardware asked for; None without hardware or price."""
        if self.hardware.gpu is None:
            return None
        catalogue = Catalogue()

        def cost(params: float, flops: float) -> float | None:
            request = request_of(self.hardware, flops=flops)
            return resolve(request, params=params, moe=self.planner.preset.is_moe, catalogue=catalogue).budget.cost

        def price(params: float, flops: float) -> float:
            found = cost(params, flops)
            assert found is not None
            return found

        return price if cost(1e9, 1e21) is not None else None


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
    asked = Asked.of(dict(words), start=start, stop=stop)
    return _DRAWN[kind](asked) if kind != "compare" else _compare(asked, laws, words)


def cost_chart(asked: Asked) -> Chart:
    """Return the picture of what the next percent costs, from a thirtieth of the budget on."""
    from scaleplan.charts.curves import budgets_around
    from scaleplan.charts.planning import cost, next_steps

    if asked.flops is None:
        raise UsageError("cost needs a budget to count from", hint="give one, such as --flops 1e21")
    steps = [flops for _, flops, _ in next_steps(asked.planner, asked.flops)]
    low = asked.start or asked.flops / 30
    high = asked.stop or 3 * max([asked.flops, *steps])
    budgets = budgets_around(asked.planner.preset, (asked.flops,), low=low, high=high)
    return cost(asked.planner, budgets, at=asked.flops, price=asked.price)


def isoflop_budgets(asked: Asked) -> list[float]:
    """Return the budgets of isoFLOP curves: around the one asked about, or spread over the range."""
    if asked.start is None and asked.stop is None and asked.flops is not None:
        return [asked.flops / 10, asked.flops, asked.flops * 10]
    shown = asked.budgets()
    step = math.log(shown[-1] / shown[0]) / (_CURVES - 1)
    spread = [shown[0] * math.exp(step * i) for i in range(_CURVES)]
    return spread if asked.flops is None else sorted({*spread, asked.flops})


def _frontier(asked: Asked) -> Chart:
    from scaleplan.charts.planning import frontier

    return frontier(asked.planner, asked.budgets(), at=asked.flops)


def _isoflop(asked: Asked) -> Chart:
    from scaleplan.charts.planning import isoflop

    return isoflop(asked.planner, isoflop_budgets(asked))


def _loss(asked: Asked) -> Chart:
    from scaleplan.charts.planning import loss

    return loss(asked.planner, asked.budgets(), at=asked.flops)


def _break_even(asked: Asked) -> Chart:
    from scaleplan.charts.inference import break_even

    if asked.plan is None:
        raise UsageError("break-even needs a budget", hint="give one, such as --flops 1e21")
    return break_even(asked.planner, asked.plan)


_DRAWN: dict[str, Callable[[Asked], Chart]] = {
    "frontier": _frontier,
    "isoflop": _isoflop,
    "loss": _loss,
    "cost": cost_chart,
    "break-even": _break_even,
}


def _compare(asked: Asked, laws: Sequence[str | Preset], words: BudgetWords) -> Chart:
    from scaleplan.charts.planning import compare

    own = words.get("preset")
    presets = [*([own] if own else []), *(laws or api.COMPARED)]
    rest = {
        name: value for name, value in words.items() if name not in {*SWEPT, *HardwareWords.__annotations__, "preset"}
    }
    found: dict[str, Planner] = {}
    for preset in presets:
        planner = posing.planner_of(**{**rest, "preset": preset})  # type: ignore[arg-type]
        if planner.may_choose and _answers(planner):
            found.setdefault(planner.preset.id, planner)
    return compare(list(found.values()), asked.budgets(), at=asked.flops)


def _answers(planner: Planner) -> bool:
    """Whether a law can answer under these constraints: one that measured sizes only cannot trade them."""
    try:
        return planner.frontier is not None
    except UsageError:
        return False


def _of_runs(kind: str, path: str) -> Chart:
    from scaleplan.charts import fitted
    from scaleplan.fitting.fit import fit
    from scaleplan.fitting.points import Points
    from scaleplan.fitting.reading import read_runs

    runs = read_runs(path)
    points = Points.of(runs.params, runs.tokens, runs.loss, flops=runs.flops, weight=runs.weight, rows=runs.rows)
    result = fit(points, samples=0, test_cuts=False)
    if kind == "residuals":
        return fitted.residuals(result)
    from scaleplan.fitting.backtest import backtest

    return fitted.backtest(backtest(points, result.solution, samples=0))
