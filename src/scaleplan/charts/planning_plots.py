"""The pictures of plans: the frontier, isoFLOP curves, loss and money against compute, laws side by side, inference.

Each function takes planners and budgets in FLOP and returns the chart as data. Curves are the plans that the
planner gives for each budget; nothing is smoothed or interpolated.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.api import evenly_spaced
from scaleplan.arrays import whole
from scaleplan.charts.chart import Axis, Chart, GuideLine, Mark, Series
from scaleplan.charts.sources import law_source, laws_source
from scaleplan.errors import UnreachableError, UsageError
from scaleplan.hardware.budget import BAND_LEVEL
from scaleplan.laws.forecast import REACH
from scaleplan.planning.constraints.inference import TrainingOnly
from scaleplan.planning.frontier import SolvedFrontier
from scaleplan.planning.plan import edges
from scaleplan.planning.planner import ImplausibleError
from scaleplan.planning.posterior import gain_interval
from scaleplan.planning.solver_array import plan_array
from scaleplan.planning.uncertainty import interval, sigmas_of
from scaleplan.presets.conventions import convert_params, unconvertible
from scaleplan.units import (
    SECONDS_PER_HOUR,
    USD,
    format_count,
    format_factor,
    format_flops,
    format_fraction,
    format_number,
    format_plain,
    format_range,
    money_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.charts.chart import Style
    from scaleplan.laws.base import Law
    from scaleplan.planning.plan import Edge, Plan
    from scaleplan.planning.planner import Planner
    from scaleplan.planning.solver_array import PlanArray
    from scaleplan.presets.preset import Preset

    Floats = NDArray[float64]

__all__ = [
    "break_even_chart",
    "budgets_around",
    "compare_chart",
    "curve",
    "end_of_forecast",
    "frontier_chart",
    "isoflop_chart",
    "loss_chart",
    "money_chart",
    "next_steps",
    "parted",
    "plans_of",
]

COMPUTE = Axis(label="training compute", kind="flops", unit="FLOP")
"""The axis of budgets that are spent on training alone."""

_POINTS = 61

_EDGE = 1e-9  # rounding of compute that is computed back from a plan

_DEFAULT_RANGE = (1e18, 1e24)


def budgets_around(
    preset: Preset, at: Sequence[float] = (), *, low: float | None = None, high: float | None = None
) -> list[float]:
    """Return budgets in FLOP for a curve, evenly spaced in the logarithm, and the ends of the fitted range.

    The curve reaches ten times beyond the budgets ``at``; without any, a hundred times above the fitted range. The
    budget to which a forecast has intervals is among them. ``low`` and ``high`` are the ends where given. Raises
    UsageError when they are in the wrong order.
    """
    known = preset.range.flops
    first, last = known or _DEFAULT_RANGE
    if not at and known:
        last *= REACH
    reach = (known[1] * preset.forecast.reach,) if known and preset.forecast is not None else ()
    first = min([first, *(flops / 10.0 for flops in at)]) if low is None else low
    last = max([last, *(flops * 10.0 for flops in at)]) if high is None else high
    if not first < last:
        raise UsageError(
            f"the range from {format_plain(first)} to {format_flops(last)} is empty",
            hint="the first budget must be the smaller",
        )
    spaced = evenly_spaced(first, last, _POINTS)
    return sorted({*spaced, *(flops for flops in (*(known or ()), *reach, *at) if first < flops < last)})


def compute_axis(planner: Planner) -> Axis:
    """Return the axis of budgets, which pay for more than training where the cost has further terms."""
    return COMPUTE if not planner.constraints.terms else Axis(label="whole budget", kind="flops", unit="FLOP")


def plans_of(planner: Planner, budgets: Sequence[float]) -> PlanArray:
    """Return the plans of the budgets that the bounds allow, and that are of a size that runs have."""
    try:
        return plan_array(planner, list(budgets))
    except (UnreachableError, ImplausibleError):
        possible = [flops for flops in budgets if _reachable(planner, flops)]
        if not possible:
            raise
        return plan_array(planner, possible)


def _reachable(planner: Planner, flops: float) -> bool:
    try:
        planner.best_counts(flops)
    except (UnreachableError, ImplausibleError):
        return False
    return True


def fitted_range(planner: Planner) -> tuple[float, float] | None:
    """Return the fitted range of training compute, where the axis counts that alone."""
    return None if planner.constraints.terms else planner.preset.range.flops


def curve(
    label: str,
    plans: PlanArray,
    y: Sequence[float],
    interval: tuple[Floats, Floats] | None,
    *,
    x: Sequence[float] | None = None,
    tone: int = 0,
) -> list[Series]:
    """Return the curve of plans, parted where they leave the range that the law was fitted on.

    ``x`` is the budget unless given.
    """
    return parted(
        Series(
            label=label,
            x=tuple(plans.flops.tolist() if x is None else x),
            y=tuple(y),
            low=() if interval is None else tuple(interval[0].tolist()),
            high=() if interval is None else tuple(interval[1].tolist()),
            tone=tone,
        ),
        beyond(plans.planner, plans.params.tolist(), plans.tokens.tolist()),
    )


def beyond(planner: Planner, params: Sequence[float], tokens: Sequence[float]) -> list[bool]:
    """Return for each plan whether it leaves the range of the law: of compute, size, tokens, or tokens per parameter.

    Those are the quantities that a plan warns of.
    """
    watched, training = edges(planner.preset), planner.cost.training
    found = []
    for size, data in zip(params, tokens, strict=True):
        spent = training.flops(size, data)
        values = {"params": size, "tokens": data, "tokens_per_param": data / size, "flops": spent}
        found.append(any(_leaves(edge, values[edge.name]) for edge in watched))
    return found


def _leaves(edge: Edge, value: float) -> bool:
    """Return whether a value lies beyond an end of the fitted range, by more than rounding."""
    return value > edge.value * (1 + _EDGE) if edge.above else value < edge.value * (1 - _EDGE)


def parted(line: Series, outside: Sequence[bool]) -> list[Series]:
    """Part a curve where its plans leave the range of the law, and where its band ends.

    A piece outside reaches to the last point inside, so that no gap shows. A band is not a number where nothing is
    known of the values; there the line goes on without one.
    """
    styled: list[tuple[Style, range]] = []
    last = len(outside) - 1
    for out, group in groupby(range(len(outside)), key=outside.__getitem__):
        part = [*group]
        if out:
            styled.append(("extrapolated", range(max(part[0] - 1, 0), min(part[-1] + 1, last) + 1)))
        else:
            styled.append(("measured", range(part[0], part[-1] + 1)))
    known = [math.isfinite(value) for value in line.low]
    return [
        replace(
            line,
            style=style,
            x=tuple(line.x[i] for i in part),
            y=tuple(line.y[i] for i in part),
            low=tuple(line.low[i] for i in part) if banded else (),
            high=tuple(line.high[i] for i in part) if banded else (),
        )
        for style, indices in styled
        for banded, part in _banded(indices, known)
    ]


def _banded(indices: range, known: Sequence[bool]) -> Iterator[tuple[bool, range]]:
    """Part indices where a band begins or ends; a part without one reaches to the next that has it: no gap shows."""
    if not known:
        if len(indices) > 1:
            yield False, indices
        return
    for banded, group in groupby(indices, key=lambda i: known[i]):
        part = [*group]
        first, last = part[0], part[-1]
        if not banded:
            first, last = max(first - 1, indices[0]), min(last + 1, indices[-1])
        if last > first:
            yield banded, range(first, last + 1)


def end_of_forecast(planner: Planner, budgets: Sequence[float]) -> tuple[GuideLine, ...]:
    """Return the line beyond which the runs of a forecast can vouch for no optimum, where budgets go beyond it."""
    fitted = fitted_range(planner)
    forecast = planner.preset.forecast
    if forecast is None or fitted is None or not budgets[-1] > fitted[1] * forecast.reach * (1 + _EDGE):
        return ()
    return (
        GuideLine(axis="x", at=fitted[1] * forecast.reach, label=f"{format_factor(forecast.reach)} the largest run"),
    )


NEXT_STEPS = (0.01, 0.02, 0.03)
"""Shares of the loss whose cost the picture of cost shows."""

_SIZES_EACH_WAY = 30

_REACH = math.log(12.0)  # isoFLOP curves show sizes up to this factor from the optimum


def frontier_chart(planner: Planner, budgets: Sequence[float], *, at: float | None = None) -> Chart:
    """Return the compute-optimal parameters and tokens against compute, with their intervals."""
    plans = plans_of(planner, budgets)
    interval = plans.interval
    sizes, data = ([*map(whole, column.tolist())] for column in (plans.params, plans.tokens))
    series = [
        *curve("tokens", plans, data, interval.tokens if interval else None, tone=1),
        *curve("parameters", plans, sizes, interval.params if interval else None, tone=0),
    ]
    marks = []
    if at is not None:
        params, tokens, _ = planner.best_counts(at)
        marks = [
            Mark(x=at, y=tokens, label=f"{format_count(tokens)} tokens", tone=1),
            Mark(x=at, y=params, label=f"{format_count(params)} parameters", tone=0),
        ]
    return Chart(
        kind="frontier",
        title=f"Compute-optimal size and tokens, {planner.preset.id}",
        x=compute_axis(planner),
        y=Axis(label="parameters, tokens", kind="count"),
        series=tuple(series),
        marks=tuple(marks),
        rules=end_of_forecast(planner, budgets),
        fitted=fitted_range(planner),
        caption=(
            f"The size and training tokens with the least loss for each budget{_within(planner)}"
            f"{_band_text(planner, plans)}."
        ),
        source=law_source(planner.preset),
    )


def isoflop_chart(planner: Planner, budgets: Sequence[float], *, span: tuple[float, float] | None = None) -> Chart:
    """Return the loss of every size at fixed compute: one curve a budget, its optimum and its near-optimal sizes.

    Curves reach twelve times smaller and larger than the optimum, and not beyond ``span``, the sizes of runs.

    Raises UsageError when the law has no loss for sizes away from the optimum.
    """
    planner.preset.require_everywhere()
    line = planner.frontier
    if not isinstance(line, SolvedFrontier):
        raise UsageError(
            f"preset '{planner.preset.id}' gives no loss for a chosen size, so it has no isoFLOP curves",
            hint="choose a preset with a loss, such as besiroglu-2024",
        )
    planner.require_choice()
    series, marks = [], []
    spent = _spendable(planner, budgets)
    for tone, (flops, best, least) in enumerate(spent):
        near = line.near_optimal(flops, planner.overhead) or (best, best)
        low, high = line.problem.sizes(flops)
        ends = [max(min(size, high), low) for size in near]
        sizes = [
            size
            for size in sorted({best, *ends, *_sizes(best, *_shown(low, high, best, span))})
            if planner.cost.flops(size, line.problem.most_tokens(size, flops)) >= flops * (1 - _SPENT)
        ]
        tokens = [line.problem.most_tokens(size, flops) for size in sizes]
        losses = [line.problem.loss(size, data) for size, data in zip(sizes, tokens, strict=True)]
        label = format_flops(flops)
        whole_curve = Series(label=label, x=tuple(sizes), y=tuple(losses), tone=tone)
        kept = [i for i, size in enumerate(sizes) if near[0] <= size <= near[1]]
        near_x, near_y = tuple(sizes[i] for i in kept), tuple(losses[i] for i in kept)
        series += parted(whole_curve, beyond(planner, sizes, tokens))
        if len(near_x) > 1:
            series.append(Series(label=label, x=near_x, y=near_y, style="near_optimal", tone=tone))
        marks.append(Mark(x=best, y=least, label=format_count(best), tone=tone))
    if len({each.label for each in series}) < len(marks) or len(marks) == 1:  # no line to name the budget beside
        named = [f"{mark.label} at {format_flops(flops)}" for mark, (flops, *_) in zip(marks, spent, strict=True)]
        marks = [replace(mark, label=label) for mark, label in zip(marks, named, strict=True)]
    return Chart(
        kind="isoflop",
        title=f"Loss of each size at fixed compute, {planner.preset.id}",
        x=Axis(label=_size_text(planner.preset), kind="count"),
        y=Axis(label="loss", kind="number", unit=planner.preset.conventions.loss, scale="linear"),
        series=tuple(series),
        marks=tuple(marks),
        caption=(
            "Each curve spends one budget on models of different size. The marked point is the optimum; the thick "
            f"part needs at most {format_fraction(planner.overhead)} more compute than the optimum for the same loss."
            + _held_back(planner, budgets, spent)
        ),
        source=law_source(planner.preset),
    )


def _shown(low: float, high: float, best: float, span: tuple[float, float] | None) -> tuple[float, float]:
    """Return the sizes between which a curve is drawn: those possible, near the runs where there are some."""
    if span is None:
        return low, high
    return max(low, min(span[0] / _BEYOND_RUNS, best)), min(high, max(span[1] * _BEYOND_RUNS, best))


_BEYOND_RUNS = 1.5

_SPENT = 1e-6  # relative: the rounding of whole tokens


def _spendable(planner: Planner, budgets: Sequence[float]) -> list[tuple[float, float, float]]:
    """Return (FLOP, size, loss) of the optimum of each budget: of what limits let it spend, each once."""
    found: dict[float, tuple[float, float, float]] = {}
    for flops in sorted(budgets):
        params, tokens, least = planner.frontier.best(flops)
        assert least is not None
        used = min(planner.cost.flops(params, tokens), flops)
        used = flops if used >= flops * (1 - _SPENT) else used
        if all(abs(used / other - 1) > _SAME_BUDGET for other in found):
            found[used] = used, params, least
    return list(found.values())


_SAME_BUDGET = 1e-3  # relative: nobody tells curves apart that are closer


def _held_back(planner: Planner, budgets: Sequence[float], spent: Sequence[tuple[float, float, float]]) -> str:
    """Return what is not drawn since limits keep compute from being spent."""
    used = [flops for flops, *_ in spent]
    left = [format_flops(flops) for flops in sorted(budgets) if all(abs(flops / each - 1) > _SPENT for each in used)]
    if left:
        return f" The limits let no plan spend {', '.join(left)}: the curves are of what they allow."
    if planner.bounds.free:
        return ""
    return " Only sizes that can spend the whole budget within the limits are drawn."


def loss_chart(planner: Planner, budgets: Sequence[float], *, at: float | None = None) -> Chart:
    """Return the least loss against compute, with its interval and the loss that no budget reaches."""
    plans = plans_of(planner, budgets)
    losses = _losses(planner, plans)
    series = curve("loss", plans, losses, plans.interval.loss if plans.interval else None)
    marks = []
    if at is not None:
        value = planner.best_counts(at)[2]
        assert value is not None
        marks = [Mark(x=at, y=value, label=format_number(value, digits=4))]
    floor = getattr(planner.preset.law, "floor", 0.0)
    rules = (
        [GuideLine(axis="y", at=floor, label=f"irreducible, {format_number(floor, digits=4)}")] if floor > 0 else []
    )
    return Chart(
        kind="loss",
        title=f"Least loss against compute, {planner.preset.id}",
        x=compute_axis(planner),
        y=Axis(label="loss", kind="number", unit=planner.preset.conventions.loss, scale="linear"),
        series=tuple(series),
        marks=tuple(marks),
        rules=(*rules, *end_of_forecast(planner, budgets)),
        fitted=fitted_range(planner),
        caption=(
            f"The loss of the compute-optimal model for each budget{_within(planner)}"
            f"{_band_text(planner, plans, loss=True)}."
        ),
        source=law_source(planner.preset),
    )


def compare_chart(planners: Sequence[Planner], budgets: Sequence[float], *, at: float | None = None) -> Chart:
    """Return the compute-optimal size by several laws, in total parameters where their counts can be converted."""
    series: list[Series] = []
    shown = [planner for planner in planners if planner.preset.conventions.params != "flops_per_token"]
    left_out = [planner.preset.id for planner in planners if planner not in shown]
    unknown = [planner.preset.id for planner in shown if not edges(planner.preset)]
    for tone, planner in enumerate(shown):
        known = planner.preset.range.flops
        ends = [flops for flops in known or () if budgets[0] < flops < budgets[-1]]
        plans = plans_of(planner, sorted({*budgets, *ends}))
        own = planner.preset.conventions.params
        reason = unconvertible(own, "total")
        sizes = plans.params.tolist()
        if reason is None:
            sizes = [convert_params(size, source=own, target="total") for size in sizes]
        label = planner.preset.id if reason is None else f"{planner.preset.id} ({own.replace('_', ' ')})"
        series += curve(label, plans, [*map(whole, sizes)], None, tone=tone)
    return Chart(
        kind="compare",
        title="Compute-optimal size by law",
        x=COMPUTE,
        y=Axis(label="parameters", kind="count"),
        series=tuple(series),
        rules=() if at is None else (GuideLine(axis="x", at=at, label=format_flops(at)),),
        caption=(
            "The size each law finds compute-optimal, in total parameters unless the name says otherwise. Each law "
            "counts compute in its own way; their losses stand on different text and are not compared."
            + (f" No range is known, so nothing is dotted: {', '.join(unknown)}." if unknown else "")
            + (f" Sized in FLOP per token, and not drawn: {', '.join(left_out)}." if left_out else "")
        ),
        source=laws_source(planner.preset for planner in shown),
    )


class Increment(NamedTuple):
    """The compute that a share of the loss takes beyond a budget, with its interval in the law alone, if known."""

    share: float
    flops: float
    loss: float
    extra: float
    interval: tuple[float, float] | None


def money_chart(
    planner: Planner,
    budgets: Sequence[float],
    *,
    at: float,
    steps: Sequence[Increment],
    price: Callable[[float, float], float] | None = None,
    currency: str | None = None,
    band: float | None = None,
    spent: tuple[float, float] | None = None,
) -> Chart:
    """Return the loss against its cost, and what the next percents less loss cost beyond the budget ``at``.

    ``budgets`` are in FLOP; ``price`` gives the money for (params, FLOP) in the ``currency``, and without
    it compute itself is the cost.
    ``band`` is the factor within which real hours lie, and ``spent`` the range of the money of ``at``.
    """
    plans = plans_of(planner, budgets)
    losses = _losses(planner, plans)
    priced = price or (lambda _, flops: flops)
    costs = [priced(size, flops) for size, flops in zip(plans.params.tolist(), plans.flops.tolist(), strict=True)]
    series = curve("loss", plans, losses, None, x=costs)
    params, _, start = planner.best_counts(at)
    assert start is not None
    base = priced(params, at)
    written = format_flops if price is None else money_in(currency)
    marks = [Mark(x=base, y=start, label=f"{format_number(start, digits=4)} for {written(base)}", span=spent)]
    costs_text = []
    for step in steps:
        extra = priced(planner.frontier.best(step.flops)[0], step.flops) - base
        less, text = f"−{format_fraction(step.share)}", f"+{written(extra)}"
        reach = _reach_of(planner, step, band)
        ends = None if reach is None else (extra * math.exp(-reach), extra * math.exp(reach))
        span = None if ends is None else (base + ends[0], base + ends[1])
        marks.append(Mark(x=base + extra, y=step.loss, label=f"{less}: {text}", tone=1, span=span, since=base))
        costs_text.append(f"{less} for {text}" + (f" ({format_range(*ends, written)})" if ends else ""))
    missing = [format_fraction(share) for share in NEXT_STEPS if share not in {step.share for step in steps}]
    banded = any(mark.span for mark in marks[1:])
    what = " and ".join(
        filter(None, ("the law" if any(step.interval for step in steps) else "", "the hours" if band else ""))
    )
    return Chart(
        kind="cost",
        title=f"What the next percent costs, {planner.preset.id}",
        x=compute_axis(planner) if price is None else Axis(label="cost", kind="usd", unit=currency or USD),
        y=Axis(label="loss", kind="number", unit=planner.preset.conventions.loss, scale="linear"),
        series=tuple(series),
        marks=tuple(marks),
        fitted=fitted_range(planner) if price is None else None,
        caption="The loss of the compute-optimal model against what it costs"
        + (f", and what less loss costs on top: {'; '.join(costs_text)}." if costs_text else ".")
        + (f" Bars are {format_fraction(planner.level)} intervals, by the uncertainty of {what}." if banded else "")
        + (f" No budget reaches {' or '.join(missing)} less." if missing else ""),
        source=law_source(planner.preset),
    )


def _reach_of(planner: Planner, step: Increment, band: float | None) -> float | None:
    """Return how far the interval of an increment reaches in its logarithm, by law and hours together."""
    sigmas, parts = sigmas_of(planner.level), []
    if step.interval is not None:
        parts.append(0.5 * math.log(step.interval[1] / step.interval[0]))
    if band is not None:
        parts.append(math.log(band) * sigmas / sigmas_of(BAND_LEVEL))
    return math.hypot(*parts) if parts else None


def next_steps(planner: Planner, at: float) -> Iterator[Increment]:
    """Yield what each percent below the loss at a budget takes beyond it, of those that some budget reaches."""
    start = planner.best_counts(at)[2]
    if start is None:
        return
    for share in NEXT_STEPS:
        value = start * (1 - share)
        flops = planner.frontier.least_flops(value)
        if flops is not None and flops > at:
            yield Increment(share, flops, value, flops - at, _increment_interval(planner, at, share, flops))


def _increment_interval(planner: Planner, at: float, share: float, flops: float) -> tuple[float, float] | None:
    """Return the interval of the compute beyond ``at`` that a share of the loss takes; None where it is not known.

    Of a forecast that of the gain is known: a curve whose gains are larger by a factor needs as little more as gains
    smaller by it do here.
    """
    preset = planner.preset
    if preset.forecast is not None:
        frontier = planner.frontier
        assert isinstance(frontier, SolvedFrontier)
        before, after = (frontier.best(each) for each in (at, flops))
        gain = before[2] - after[2]  # type: ignore[operator]  # a surface has a loss
        places = (frontier.problem.counted(*each[:2]) for each in (before, after))
        found = gain_interval(preset.forecast, *places, level=planner.level)
        if found is None or not 0 < found[0] <= found[1]:
            return None
        low, high = found
        ends = [frontier.least_flops(before[2] - gain * gain / each) for each in (high, low)]  # type: ignore[operator]
        return None if None in ends or min(ends) <= at else (ends[0] - at, ends[1] - at)  # type: ignore[type-var, operator]

    def outcome(law: Law) -> tuple[float, float, float | None]:
        frontier = planner.frontier_for(law)
        params, tokens, loss = frontier.best(at)
        needed = None if loss is None else frontier.least_flops(loss * (1 - share))
        if needed is None or needed <= at:
            raise UnreachableError("no budget reaches it")
        return params, tokens, needed - at

    try:
        of_law = interval(preset, outcome, level=planner.level, factor=1.0)
    except UnreachableError:
        return None
    return None if of_law is None else of_law.loss


def _losses(planner: Planner, plans: PlanArray) -> list[float]:
    if plans.loss is None:
        raise UsageError(
            f"preset '{planner.preset.id}' has no loss: it was fitted to optimal sizes only",
            hint="choose a preset with a loss, such as besiroglu-2024",
        )
    losses: list[float] = plans.loss.tolist()
    return losses


def _sizes(best: float, low: float, high: float) -> Iterator[float]:
    for each in range(-_SIZES_EACH_WAY, _SIZES_EACH_WAY + 1):
        size = best * math.exp(_REACH * each / _SIZES_EACH_WAY)
        if low <= size <= high:
            yield size


def _size_text(preset: Preset) -> str:
    convention = preset.conventions.params
    return "parameters" if convention == "total" else f"parameters ({convention.replace('_', ' ')})"


def _within(planner: Planner) -> str:
    return "" if planner.bounds.free else " within the limits"


def _band_text(planner: Planner, plans: PlanArray, *, loss: bool = False) -> str:
    known = plans.interval
    if known is None or known.params is None:
        return ""
    of_one = " of one run" if loss and known.expected_loss is not None else ""
    ends = "" if loss or math.isfinite(sum(known.params[0])) else " as far as the runs can vouch for it"
    return f", with the {format_fraction(planner.level)} interval{of_one}{ends}"


_POINTS_INFERENCE = 49


def break_even_chart(planner: Planner, plan: Plan) -> Chart:
    """Return the whole bill against the tokens served: of this plan, and of the optimum for training alone.

    Both reach the same loss. The bill is in money where inference is counted in money, in FLOP otherwise. Raises
    UsageError when the question names no demand, or the plan has nothing to be compared with.
    """
    other, served = plan.constraints.get("training_only"), plan.constraints.get("inference_tokens")
    if not isinstance(served, float | int):
        raise UsageError("break-even needs a demand", hint="give --inference-tokens, such as 1T")
    if not isinstance(other, TrainingOnly):
        raise UsageError("the limits leave no plan for training alone to break even with", hint="relax one of them")
    unit, axis = _unit(planner, plan)
    each = planner.cost.per_param / served  # FLOP for a parameter and a token served, weighted as the plan does
    meeting = other.pays_back_at_tokens
    middle = [served, *([meeting] if meeting else [])]
    low, high = min(middle) / 30.0, max(middle) * 10.0
    step = math.log(high / low) / (_POINTS_INFERENCE - 1)
    tokens = sorted({*middle, *(low * math.exp(step * i) for i in range(_POINTS_INFERENCE))})
    models: tuple[tuple[str, Plan | TrainingOnly], ...] = (("this plan", plan), ("best for training alone", other))
    trained_beyond = beyond(planner, *zip(*((model.params, model.tokens) for _, model in models), strict=True))
    series = [
        Series(
            label=f"{name}, {format_count(model.params)}",
            x=tuple(tokens),
            y=tuple(unit * (model.flops + each * model.params * count) for count in tokens),
            style="extrapolated" if outside else "measured",
            tone=tone,
        )
        for tone, ((name, model), outside) in enumerate(zip(models, trained_beyond, strict=True))
    ]
    marks = []
    if meeting:
        cost = unit * (plan.flops + each * plan.params * meeting)
        marks.append(Mark(x=meeting, y=cost, label=f"pays back from {format_count(meeting)}"))
    return Chart(
        kind="break-even",
        title=f"Whole cost against tokens served, {plan.preset}",
        x=Axis(label="inference tokens", kind="count"),
        y=axis,
        series=tuple(series),
        marks=tuple(marks),
        rules=(GuideLine(axis="x", at=served, label=f"demand, {format_count(served)}"),),
        caption=(
            "Training and inference together for two models of the same loss. Left of the crossing the model that "
            "is best for training alone is cheaper, right of it the smaller one on more tokens."
        ),
        source=law_source(planner.preset),
    )


def _unit(planner: Planner, plan: Plan) -> tuple[float, Axis]:
    """Return the cost of a FLOP of training, and the axis of that cost."""
    rates = plan.budget
    if planner.constraints.priced and rates.price_per_hour and rates.peak_flops_per_s and rates.utilisation:
        usd = rates.price_per_hour / (rates.peak_flops_per_s * rates.utilisation * SECONDS_PER_HOUR)
        return usd, Axis(label="training and inference", kind="usd", unit=rates.currency or USD)
    return 1.0, Axis(label="training and inference", kind="flops", unit="FLOP")
