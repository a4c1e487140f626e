"""A plan, or several, for people: the answer first, its uncertainty beside it, where it comes from below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.report import Fact, Grid, Report
from scaleplan.planning.constraints import entries
from scaleplan.planning.constraints import keys as constraint_keys
from scaleplan.quantities import (
    format_count,
    format_flops,
    format_fraction,
    format_hours,
    format_kwh,
    format_number,
    format_pf_days,
    format_usd,
    format_usd_per_hour,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scaleplan.hardware.budget import Budget
    from scaleplan.planning.plan import Plan, Plans

__all__ = ["comparison_report", "format_loss", "plan_report", "plans_report", "size_label"]

_ROUNDING = 1e-9
"""A compute overhead below this is the digits of an inverse, and is not told."""

_SIZES = {
    "total": "parameters",
    "non_embedding": "parameters (non-embedding)",
    "active": "parameters (active)",
    "total_minus_input_embedding": "parameters (no input emb.)",
    "flops_per_token": "FLOP per token (M)",
}


_WRITTEN: dict[str, Callable[[float], str]] = {
    "number": format_number,
    "tokens": format_count,
    "params": format_count,
    "flops": format_flops,
    "usd": format_usd,
}
"""How the facts of constraints are written, by kind."""


def size_label(convention: str) -> str:
    """Return what ``params`` counts under a convention, in words."""
    return _SIZES[convention]


def format_loss(value: float) -> str:
    """Write a loss with four significant digits, as far as any law of this field can be trusted."""
    return format_number(value, digits=4)


def plan_report(plan: Plan) -> Report:
    """Return the report of one plan."""
    sure = plan.interval
    size = size_label(plan.params_convention)
    facts = [
        _fact(size, plan.params, sure.params if sure else None, format_count),
        _fact("tokens", plan.tokens, sure.tokens if sure else None, format_count),
    ]
    if plan.tokens_per_param is not None:
        ratios = sure.tokens_per_param if sure else None
        facts.append(_fact("tokens/param", plan.tokens_per_param, ratios, format_number))
    if plan.loss is not None:
        facts.append(_fact("loss", plan.loss, sure.loss if sure else None, format_loss, unit=plan.loss_unit))
    facts += [
        _fact(key.label, value, None, _WRITTEN[key.kind])
        for key in constraint_keys()
        if key.label and isinstance(value := plan.constraints.get(key.name), float)
    ]
    if plan.converted is not None and plan.converted.params is not None and plan.converted.params != plan.params:
        facts.insert(1, _fact(size_label(plan.converted.convention), plan.converted.params, None, format_count))
    return Report(
        title=f"{format_flops(plan.flops)} ({format_pf_days(plan.flops)}), {plan.preset}",
        facts=tuple(facts),
        level=format_fraction(sure.level) if sure else "",
        remarks=tuple(_remarks(plan)),
    )


def _fact(
    label: str,
    value: float,
    interval: tuple[float, float] | None,
    written: Callable[[float], str],
    *,
    unit: str = "",
) -> Fact:
    low, high = ("", "")
    if interval is not None and interval[0] < interval[1]:
        low, high = written(interval[0]), written(interval[1])
    return Fact(label=label, value=written(value), low=low, high=high, unit=unit)


def _remarks(plan: Plan) -> Iterator[str]:
    if plan.near_optimal is not None:
        low, high = (format_count(size) for size in plan.near_optimal.params)
        line = (
            f"within {format_fraction(plan.near_optimal.compute_overhead)} of the compute: {low} – {high} parameters"
        )
        errors = plan.size_errors
        if errors is not None and errors.half is not None and errors.double is not None:
            least, most = (f"{100 * wasted:.0f}" for wasted in sorted((errors.half, errors.double)))
            line += f"; half or twice the size wastes {least if least == most else f'{least} – {most}'} %"
        yield line
    if plan.optimum is not None:
        best = plan.optimum
        yield f"optimum at this compute: {format_count(best.params)} on {format_count(best.tokens)} tokens" + (
            f", loss {format_loss(best.loss)}" if best.loss is not None else ""
        )
    if plan.excess_loss is not None and (plan.compute_overhead or 0.0) > _ROUNDING:
        yield (
            f"this plan: {format_number(plan.excess_loss)} above the optimum's loss; "
            f"{format_fraction(plan.compute_overhead or 0.0)} more compute than that loss needs"
        )
    yield from _constrained(plan)
    if plan.budget.gpu is not None:
        yield _derivation(plan.budget)
    if plan.flops_convention != "6ND":
        yield f"compute counted as {plan.flops_convention}"


def _constrained(plan: Plan) -> Iterator[str]:
    """Say what the constraints and the limits of a plan do to it."""
    for entry in entries():
        if plan.constraints.get(entry.keys[0].name) is not None:
            yield from entry.load().remarks(plan.constraints)
    for each in plan.binding:
        line = f"{each.limit} binds"
        if each.excess_loss is not None:
            line += f": without it the loss would be {format_number(each.excess_loss)} lower"
        if each.compute_overhead is not None and each.compute_overhead > _ROUNDING:
            spared = format_fraction(1 - 1 / (1 + each.compute_overhead))
            line += f", or the budget for the same loss {spared} smaller"
        yield line


def _derivation(budget: Budget) -> str:
    parts = []
    if budget.gpu_hours is not None:
        parts.append(format_hours(budget.gpu_hours, unit=f"{budget.gpu} hours"))
    if budget.gpus is not None and budget.days is not None:
        parts.append(f"{budget.gpus:,.0f} devices for {format_number(budget.days)} days")
    if budget.peak_flops_per_s is not None and budget.utilisation is not None:
        parts.append(
            f"{format_number(budget.peak_flops_per_s / 1e12, digits=4)} TFLOP/s {budget.precision} "
            f"at {format_fraction(budget.utilisation)} utilisation"
        )
    if budget.cost is not None:
        price = f" at {format_usd_per_hour(budget.price_per_hour)}" if budget.price_per_hour is not None else ""
        parts.append(format_usd(budget.cost) + price)
    if budget.energy_kwh is not None:
        parts.append(format_kwh(budget.energy_kwh))
    return "; ".join(parts)


def plans_report(plans: Sequence[Plan], *, title: str) -> Report:
    """Return a table of plans, one a row, with the columns that any of them fills."""
    columns: dict[str, Callable[[Plan], str]] = {
        "compute": lambda plan: format_flops(plan.flops),
        "preset": lambda plan: plan.preset,
        "parameters": lambda plan: format_count(plan.params),
        "tokens": lambda plan: format_count(plan.tokens),
        "tokens/param": lambda plan: "" if plan.tokens_per_param is None else format_number(plan.tokens_per_param),
        "loss": lambda plan: "" if plan.loss is None else format_loss(plan.loss),
        "GPU-hours": lambda plan: _hours(plan.budget),
        "cost": lambda plan: "" if plan.budget.cost is None else format_usd(plan.budget.cost),
    }
    rows = [[written(plan) for written in columns.values()] for plan in plans]
    same_preset = len({plan.preset for plan in plans}) == 1
    keep = [
        i for i, name in enumerate(columns) if any(row[i] for row in rows) and not (name == "preset" and same_preset)
    ]
    names = tuple(columns)
    return Report(
        title=title,
        grid=Grid(
            columns=tuple(names[i] for i in keep),
            rows=tuple(tuple(row[i] for i in keep) for row in rows),
            text=frozenset({"preset"}),
        ),
    )


def _hours(budget: Budget) -> str:
    return "" if budget.gpu_hours is None else format_hours(budget.gpu_hours, unit="").strip()


def comparison_report(comparison: Plans) -> Report:
    """Return several laws' answers to one budget: sizes in one convention, losses each in its own unit."""
    convention = (
        comparison.plans[0].converted.convention if comparison.plans and comparison.plans[0].converted else ""
    )
    rows = []
    for plan in comparison:
        size = plan.converted.params if plan.converted else None
        rows.append(
            (
                plan.preset,
                "–" if size is None else format_count(size),
                format_count(plan.params),
                plan.params_convention.replace("_", " "),
                format_count(plan.tokens),
                "–" if plan.loss is None else format_loss(plan.loss),
                plan.loss_unit if plan.loss is not None else "",
            )
        )
    flops = sorted({plan.flops for plan in comparison})
    return Report(
        title=" – ".join(format_flops(value) for value in flops[:: max(1, len(flops) - 1)]),
        grid=Grid(
            columns=("law", convention, "own count", "which", "tokens", "loss", "in"),
            rows=tuple(rows),
            text=frozenset({"law", "which", "in"}),
        ),
        remarks=(
            f"{convention} parameters by the mapping of Pearce and Song 2024; – where a count cannot be converted",
            "losses of different laws stand on different text and tokenizers: do not compare them",
        ),
    )
