"""Reports of plans: one plan, several budgets, laws side by side, inference demands, marginal gains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.hardware.budget import BAND_LEVEL
from scaleplan.output import Fact, Report, ReportTable
from scaleplan.planning.constraints import CONSTRAINTS, constraint_keys
from scaleplan.units import (
    SECONDS_PER_DAY,
    counted,
    format_count,
    format_factor,
    format_flops,
    format_fraction,
    format_fractions,
    format_hours,
    format_number,
    format_pf_days,
    format_plain,
    format_range,
    format_seconds,
    money_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scaleplan.advice.marginal import Marginal
    from scaleplan.hardware.budget import Budget
    from scaleplan.planning.evaluation import Evaluation
    from scaleplan.planning.plan import Plan, Plans
    from scaleplan.presets.preset import LossText
    from scaleplan.tracking.tracked_run import Tracking

__all__ = [
    "SIZES",
    "binding_remarks",
    "comparison_report",
    "format_loss",
    "loss_facts",
    "loss_remark",
    "marginal_report",
    "plan_columns",
    "plan_report",
    "several_report",
]

_ROUNDING = 1e-9
"""A compute overhead below this is rounding of an inverse, and is not shown."""

SIZES = {  # what ``params`` counts, by convention
    "total": "parameters",
    "non_embedding": "parameters (non-embedding)",
    "active": "parameters (active)",
    "total_minus_input_embedding": "parameters (no input emb.)",
    "flops_per_token": "FLOP per token (M)",
}

_WRITTEN: dict[str, Callable[[float], str]] = {
    "number": format_number,
    "count": format_number,
    "tokens": format_count,
    "params": format_count,
    "flops": format_flops,
}
"""How the facts of constraints are written, by kind, but for money."""


def format_loss(value: float) -> str:
    """Write a loss with four significant digits, as far as any law of this field can be trusted."""
    return format_number(value, digits=4)


def plan_report(plan: Plan) -> Report:
    """Return the report of one plan, with the sections of its run where it has one."""
    interval = plan.interval
    size = SIZES[plan.params_convention]
    facts = [
        Fact.of(size, plan.params, format_count, interval.params if interval else None),
        Fact.of("tokens", plan.tokens, format_count, interval.tokens if interval else None),
    ]
    if plan.tokens_per_param is not None:
        ratios = interval.tokens_per_param if interval else None
        facts.append(Fact.of("tokens/param", plan.tokens_per_param, format_number, ratios))
    if plan.loss is not None:
        facts.append(
            Fact.of("loss", plan.loss, format_loss, interval.loss if interval else None, unit=plan.loss_unit)
        )
    facts += loss_facts(plan)
    money = money_in(plan.budget.currency)
    facts += [
        Fact.of(key.label, value, money if key.kind == "usd" else _WRITTEN[key.kind])
        for key in constraint_keys()
        if key.label and isinstance(value := plan.constraints.get(key.name), float | int)
    ]
    if plan.converted is not None and plan.converted.params is not None and plan.converted.params != plan.params:
        facts.insert(1, Fact.of(SIZES[plan.converted.convention], plan.converted.params, format_count))
    sections: tuple[Report, ...] = ()
    if plan.blueprint is not None:
        from scaleplan.output.views.model import run_sections

        sections = tuple(run_sections(plan.blueprint, plan))
    elif plan.budget.gpu is not None:
        from scaleplan.output.views.bill import bill_section  # a plan in FLOP has none

        sections = (bill_section(plan.budget, chances=plan.chances),)
    return Report(
        title=f"{format_flops(plan.flops)} ({format_pf_days(plan.flops)}), {plan.preset}",
        facts=facts,
        level=format_fraction(interval.level) if interval else "",
        remarks=[*_remarks(plan)],
        sections=sections,
    )


def loss_facts(result: Plan | Evaluation | Tracking) -> Iterator[Fact]:
    """Yield a loss per token in the other forms in which it is quoted."""
    if result.perplexity is not None:
        yield Fact.of("perplexity", result.perplexity, format_loss, result.perplexity_interval)
    if result.bits_per_byte is not None:
        yield Fact.of("bits/byte", result.bits_per_byte, format_loss, result.bits_per_byte_interval)


def loss_remark(text: LossText | None, *, interval: bool = False) -> Iterator[str]:
    """Yield the line that says whose text a published law's loss is of; none for a law of the user's runs."""
    if text is None:
        return
    measured = text.corpus or "a text that its source does not name"
    if text.tokenizer is not None:
        measured += f" ({text.tokenizer})"
    yield f"loss{' and interval' if interval else ''}: of this law on {measured}, not of your run"


def _remarks(plan: Plan) -> Iterator[str]:
    yield from loss_remark(plan.loss_text, interval=plan.interval is not None)
    if plan.interval is not None and plan.interval.expected_loss is not None:
        mean = format_range(*plan.interval.expected_loss, format_loss)
        yield f"the loss is that of one run; the mean of many alike: {mean}"
    if plan.interval is not None and plan.interval.flops is not None:
        yield f"to reach this loss on average takes {format_range(*plan.interval.flops, format_flops)}"
    if plan.near_optimal is not None:
        near = plan.near_optimal
        sizes = format_range(*near.params, format_count)
        line = f"within {format_fraction(near.compute_overhead)} of the compute: {sizes} parameters"
        errors = plan.size_errors
        if errors is not None and errors.half is not None and errors.double is not None:
            wasted = format_fractions(*sorted((errors.half, errors.double)), digits=2)
            line += f"; half or twice the size wastes {wasted}"
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
    if plan.flops_convention != "6ND":
        yield f"compute counted as {plan.flops_convention}"


def _constrained(plan: Plan) -> Iterator[str]:
    """Yield the effects of the constraints and the limits of a plan."""
    for entry in CONSTRAINTS.values():
        if plan.constraints.get(entry.keys[0].name) is not None:
            yield from entry.load().remarks(plan.constraints)
    yield from binding_remarks(plan)


def binding_remarks(plan: Plan) -> Iterator[str]:
    """Yield what each limit that binds costs."""
    for each in plan.binding:
        line = f"{each.limit} binds"
        if each.excess_loss is not None:
            line += f": without it the loss would be {format_number(each.excess_loss)} lower"
        if each.compute_overhead is not None and each.compute_overhead > _ROUNDING:
            spared = format_fraction(1 - 1 / (1 + each.compute_overhead))
            line += f", or the budget for the same loss {spared} smaller"
        yield line


def several_report(plans: Plans) -> Report:
    """Return the table that suits several plans: of inference demands, of laws, or of budgets."""
    laws = sorted({plan.preset for plan in plans})
    if all(plan.training_only for plan in plans) and len({plan.inference_tokens for plan in plans}) == len(plans) > 1:
        return _demand_report(plans)
    one_budget = len({plan.flops for plan in plans}) == 1
    if all(plan.converted is not None for plan in plans) and (len(laws) > 1 or one_budget):
        return comparison_report(plans)
    written: dict[str, Callable[[Plan], str]] = {
        "flops": lambda plan: format_flops(plan.flops),
        "preset": lambda plan: plan.preset if len(laws) > 1 else "",
        "params": lambda plan: format_count(plan.params),
        "tokens": lambda plan: format_count(plan.tokens),
        "tokens_per_param": lambda plan: _cell(plan.tokens_per_param, format_number),
        "loss": lambda plan: _cell(plan.loss, format_loss),
        "budget.days": lambda plan: _cell(plan.budget.days, lambda days: format_seconds(days * SECONDS_PER_DAY)),
        "budget.gpu_hours": lambda plan: _cell(
            plan.budget.gpu_hours, lambda value: format_hours(value, unit="").strip()
        ),
        "budget.cost": lambda plan: _cell(plan.budget.cost, money_in(plan.budget.currency)),
    }
    titles = plan_columns(_ranged_over(plans), hardware=True)
    columns = {title: written[name] for name, title in titles.items()}
    cells = {title: [write(plan) for plan in plans] for title, write in columns.items()}
    filled = {name: column for name, column in cells.items() if any(column)}
    return Report(
        title=f"{counted(len(plans), 'budget')}, {', '.join(laws)}",
        grid=ReportTable([*filled], rows=[*zip(*filled.values(), strict=True)], text={"preset"}),
        remarks=[
            *(loss_remark(plans.plans[0].loss_text) if len(laws) == 1 else ()),
            *_band_remarks((plan.budget for plan in plans), what="hours, time and cost"),
        ],
    )


_SOURCES = {"gpu_hours": "gpu_hours", "cluster": "time", "cost": "cost"}
"""The forms of budgets by the source that plans name; compute is that of all others."""


def _ranged_over(plans: Plans) -> str:
    """Return the form of the budgets that several plans range over."""
    (source, *others) = {plan.budget.source for plan in plans}
    return "flops" if others else _SOURCES.get(source, "flops")


_COLUMNS = {
    "flops": "compute",
    "preset": "preset",
    "params": "parameters",
    "tokens": "tokens",
    "tokens_per_param": "tokens/param",
    "loss": "loss",
    "budget.gpu_hours": "GPU-hours",
    "budget.cost": "cost",
}
"""The columns of a table of plans for several budgets: the fields, and their titles."""

_BY = {"gpu_hours": "budget.gpu_hours", "time": "budget.days", "cost": "budget.cost"}
"""The field that budgets of a form are given in."""


def plan_columns(by: str, *, hardware: bool) -> dict[str, str]:
    """Return the columns of plans for budgets of a form, which come first: fields and their titles.

    Beside hours and money there is no room for tokens per parameter on a line of 80 characters.
    """
    if by not in _BY:
        return {name: title for name, title in _COLUMNS.items() if hardware or not name.startswith("budget.")}
    first = {_BY[by]: _COLUMNS.get(_BY[by], "time")}
    return {name: title for name, title in (first | _COLUMNS).items() if name != "tokens_per_param"}


def _band_remarks(budgets: Iterable[Budget], *, what: str) -> Iterator[str]:
    """Yield the bands and the prices behind ``what`` of several plans; nothing without hardware."""
    budgets = [budget for budget in budgets if budget.gpu is not None]
    if budgets:
        from scaleplan.output.views.bill import band_remarks  # a sweep in FLOP has none

        yield from band_remarks(budgets, what=what)


def _cell(value: float | None, written: Callable[[float], str]) -> str:
    """Write a value; a blank where there is none."""
    return "" if value is None else written(value)


def comparison_report(comparison: Plans) -> Report:
    """Return several laws' answers to one budget: sizes in one convention, losses each in its own unit."""
    first = comparison.plans[0].converted if comparison.plans else None
    convention = first.convention if first else ""
    rows = [
        (
            plan.preset,
            format_count(plan.converted.params) if plan.converted and plan.converted.params is not None else "–",
            format_count(plan.params),
            plan.params_convention.replace("_", " "),
            format_count(plan.tokens),
            "–" if plan.loss is None else format_loss(plan.loss),
            plan.loss_unit if plan.loss is not None else "",
        )
        for plan in comparison
    ]
    flops = [plan.flops for plan in comparison]
    return Report(
        title=format_range(min(flops), max(flops), format_flops) if flops else "",
        grid=ReportTable(
            ("law", convention, "own count", "which", "tokens", "loss", "in"), rows=rows, text={"law", "which", "in"}
        ),
        remarks=(
            f"{convention} parameters by the mapping of Pearce and Song 2024; – where a count cannot be converted",
            "losses of different laws stand on different text and tokenizers: do not compare them",
            *_band_remarks((plan.budget for plan in comparison), what="the compute, and its hours, time and cost"),
        ),
    )


def marginal_report(result: Marginal) -> Report:
    """Return the gains of slightly more compute, then of doublings."""
    unit = result.loss_unit
    facts = [
        Fact("loss", format_loss(result.loss), unit=unit),
        Fact("the next doubling gains", format_number(result.gain_per_doubling), unit=unit),
        Fact("the next 1 % gains", format_number(result.gain_of_next_percent), unit=unit),
    ]
    if result.cost_of_next_percent is not None:
        span = result.cost_of_next_percent_interval
        facts.append(Fact.of("the next 1 % costs", result.cost_of_next_percent, money_in(result.currency), span))
    if result.flops_per_hundredth is not None:
        more = format_fraction(result.flops_per_hundredth / result.flops)
        facts.append(Fact("0.01 less loss takes", more, unit="more compute"))
    if result.cost_per_hundredth is not None:
        span = result.cost_per_hundredth_interval
        facts.append(Fact.of("0.01 less loss costs", result.cost_per_hundredth, money_in(result.currency), span))
    return Report(
        title=f"{format_flops(result.flops)}, {result.preset}: what more compute buys",
        facts=facts,
        level="" if result.budget is None or not result.budget.band else format_fraction(BAND_LEVEL),
        grid=_grid(result),
        remarks=[*_remarks_marginal(result)],
    )


def _grid(result: Marginal) -> ReportTable:
    priced, money = any(step.cost is not None for step in result.steps), money_in(result.currency)
    has_intervals = any(step.gain_interval is not None for step in result.steps)
    columns = ["compute", "parameters", "tokens", "loss", "gain"]
    if has_intervals and result.level is not None:
        columns.append(format_fraction(result.level))
    if priced:
        columns += ["cost", "the doubling"]
    rows = []
    for step in result.steps:
        row = [
            f"{format_plain(step.factor)}x",
            format_count(step.params),
            format_count(step.tokens),
            format_loss(step.loss),
            _cell(step.gain, format_number),
        ]
        if has_intervals and result.level is not None:
            span = step.gain_interval
            row.append("" if span is None else format_range(*span, format_number))
        if priced:
            row.append(_cell(step.cost, money))
            row.append("" if step.extra_cost is None else f"+{money(step.extra_cost)}")
        rows.append(row)
    return ReportTable(columns, rows)


def _remarks_marginal(result: Marginal) -> Iterator[str]:
    yield from loss_remark(result.loss_text)
    if result.exponent is not None:
        shrinks = 2.0**-result.exponent
        floor = "" if result.floor is None else f" above the floor of {format_loss(result.floor)}"
        yield (
            f"each doubling costs twice the one before and gains about {format_number(shrinks, digits=2)} of it: "
            f"the loss{floor} falls as compute to the power {format_number(-result.exponent)}"
        )
    if result.halving_factor is not None:
        what = "the loss" if result.floor is None else "what is left above the floor"
        yield f"to halve {what} takes {format_factor(result.halving_factor)} the compute"
    if result.budget is not None:
        yield from _band_remarks([result.budget], what="hours and cost")


def _demand_report(plans: Plans) -> Report:
    """Return one inference demand a row, against the optimum for training alone at the same loss."""
    first = plans.plans[0]
    only = first.training_only
    assert only is not None  # each of these plans has it
    columns = ("inference tokens", "parameters", "tokens", "size", "training", "total", "saving", "pays back at")
    return Report(
        title=f"loss {_cell(first.loss, format_loss)}, {first.preset}",
        grid=ReportTable(columns, rows=[_demand_row(plan) for plan in plans]),
        remarks=(
            *loss_remark(first.loss_text),
            f"best for training alone: {format_count(only.params)} on {format_count(only.tokens)} tokens",
            "training, size and tokens are multiples of that; it pays back where the total falls below its total",
        ),
    )


def _demand_row(plan: Plan) -> tuple[str, ...]:
    only = plan.training_only
    assert only is not None
    return (
        _cell(plan.inference_tokens, format_count),
        format_count(plan.params),
        format_count(plan.tokens),
        format_factor(only.params_ratio, digits=3),
        format_factor(only.flops_ratio, digits=3),
        _cell(plan.total_flops, format_flops),
        format_fraction(only.saving),
        _cell(only.pays_back_at_tokens, format_count),
    )
