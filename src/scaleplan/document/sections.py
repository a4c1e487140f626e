"""The sections of the report: question, answer, warnings, budget, pictures, laws, sensitivity, provenance, values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.charts.inline_svg import inline_svg
from scaleplan.charts.scale import value_text
from scaleplan.document.parts import exact_value, section, table, told
from scaleplan.document.swings import sensitivity_tables
from scaleplan.formats.delimited import flat
from scaleplan.markup import Markup, element, joined
from scaleplan.quantities import (
    format_flops,
    format_fraction,
    format_hours,
    format_kwh,
    format_number,
    format_pf_days,
    format_usd,
    format_usd_per_hour,
)
from scaleplan.views.plan import comparison_report, plan_report
from scaleplan.views.preset import preset_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scaleplan.charts.chart import Chart
    from scaleplan.document.subject import Subject
    from scaleplan.planning.plan import Plan

__all__ = ["headline", "sections"]


def headline(plan: Plan) -> str:
    """Return the question as one sentence."""
    budget = plan.budget
    if budget.source == "gpu_hours" and budget.gpu_hours is not None:
        means = format_hours(budget.gpu_hours, unit=f"{budget.gpu} hours")
    elif budget.source == "cluster" and budget.days is not None:
        means = f"{budget.gpus:,} {budget.gpu} for {format_number(budget.days)} days"
    elif budget.source == "cost" and budget.cost is not None:
        means = f"{format_usd(budget.cost)} of {budget.gpu}"
    else:
        means = format_flops(plan.flops)
    return f"{means}: how large a model, on how many tokens?"


def sections(subject: Subject) -> Iterator[tuple[str, str, Markup]]:
    """Yield (id, name, section) in the order of the page."""
    for ident, name, build in (
        ("answer", "Answer", _answer),
        ("warnings", "Warnings", _warnings),
        ("budget", "Budget", _budget),
        ("pictures", "Pictures", _pictures),
        ("sensitivity", "What moves the answer", sensitivity_tables),
        ("laws", "Other laws", _laws),
        ("provenance", "Where it comes from", _provenance),
        ("reproduce", "Reproduce it", _reproduce),
        ("values", "Every value", _values),
    ):
        content = build(subject)
        if content:
            yield ident, name, section(ident, name, *content)


def _answer(subject: Subject) -> list[Markup]:
    report = plan_report(subject.plan)
    tiles = [
        element(
            "div",
            element("dt", fact.label),
            element(
                "dd",
                element("span", fact.value, class_="value"),
                element("span", f" {fact.unit}", class_="unit") if fact.unit else None,
                element("br"),
                element("span", f"{report.level}: {fact.low} – {fact.high}", class_="range") if fact.low else None,
            ),
        )
        for fact in report.facts
    ]
    asked = [
        (f"--{name.replace('_', '-')}", ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
        for name, value in subject.words.items()
        if value not in (None, [], ())
    ]
    return [
        element("dl", *tiles, class_="tiles"),
        *(element("p", _sentence(remark)) for remark in report.remarks),
        element("details", element("summary", "The question in full"), told(asked)),
    ]


def _warnings(subject: Subject) -> list[Markup]:
    if not subject.plan.warnings:
        return []
    said = [element("li", _sentence(notice.message)) for notice in subject.plan.warnings]
    return [element("div", element("ul", *said), class_="warnings", role="note")]


def _budget(subject: Subject) -> list[Markup]:
    plan, budget = subject.plan, subject.plan.budget
    facts: list[tuple[str, Markup]] = [
        (
            "training compute",
            joined(exact_value(plan.flops, format_flops(plan.flops)), f", {format_pf_days(plan.flops)}"),
        )
    ]
    written: tuple[tuple[str, float | None, Callable[[float], str]], ...] = (
        ("accelerator-hours", budget.gpu_hours, lambda value: format_hours(value, unit="h")),
        ("accelerators", budget.gpus, lambda value: f"{value:,.0f}"),
        ("days", budget.days, format_number),
        ("peak", budget.peak_flops_per_s, lambda value: f"{format_number(value / 1e12, digits=4)} TFLOP/s"),
        ("model FLOP utilisation", budget.mfu, format_fraction),
        ("share of paid time that trains", budget.goodput, format_fraction),
        ("price of an hour", budget.price_per_hour, format_usd_per_hour),
        ("cost", budget.cost, format_usd),
        ("energy", budget.energy_kwh, format_kwh),
    )
    facts += [(name, exact_value(value, show(value))) for name, value, show in written if value is not None]
    if budget.gpu is not None:
        facts.insert(1, ("accelerator", joined(f"{budget.gpu}, {budget.precision}")))
    return [*_formula(plan), told(facts)]


def _formula(plan: Plan) -> Iterator[Markup]:
    budget = plan.budget
    if budget.gpu_hours is None or budget.peak_flops_per_s is None or budget.utilisation is None:
        counted = plan.flops_convention
        yield element("p", f"The budget is given in compute. The law counts it as C = {counted}.")
        return
    yield element(
        "p",
        f"{format_hours(budget.gpu_hours, unit='h')} × 3,600 s/h × "
        f"{format_number(budget.peak_flops_per_s / 1e12, digits=4)} TFLOP/s × "
        f"{format_fraction(budget.utilisation)} = {format_flops(plan.flops)}",
    )


def _pictures(subject: Subject) -> list[Markup]:
    return [element("div", *(_figure(chart) for chart in subject.charts), class_="figures")]


def _figure(chart: Chart) -> Markup:
    ident = f"picture-{chart.kind}"
    return element(
        "figure",
        element("h3", chart.title),
        inline_svg(chart, ident=f"{ident}-wide", width=600, height=400, class_="wide"),
        inline_svg(chart, ident=f"{ident}-narrow", width=340, height=340, class_="narrow"),
        element("figcaption", chart.caption),
        element("details", element("summary", f"Values of this picture ({chart.kind})"), _chart_table(chart)),
    )


def _chart_table(chart: Chart) -> Markup:
    """Return every third point of the curves: enough to read, and the JSON of ``plot`` has all."""
    bands = any(series.low for series in chart.series)
    rows = []
    for series in chart.series:
        for i in range(0, len(series.x), 3):
            band = [
                value_text(chart.y, side[i]) if side else "" for side in ((series.low, series.high) if bands else ())
            ]
            rows.append(
                (
                    series.label,
                    value_text(chart.x, series.x[i]),
                    value_text(chart.y, series.y[i]),
                    *band,
                    series.style.replace("_", "-"),
                )
            )
    columns = ("series", chart.x.label, chart.y.label, *(("low", "high") if bands else ()), "kind")
    return table(f"{chart.title}: values", columns, rows, words=frozenset({"kind"}))


def _laws(subject: Subject) -> list[Markup]:
    from scaleplan.planning.plan import Plans

    report = comparison_report(Plans(plans=subject.others))
    assert report.grid is not None
    content = [
        table("The same budget by other laws", report.grid.columns, report.grid.rows, words=report.grid.text),
        *(element("p", _sentence(remark), class_="soft") for remark in report.remarks),
    ]
    if subject.left_out:
        said = [element("li", _sentence(f"{name}: {reason}")) for name, reason in subject.left_out]
        content.append(element("details", element("summary", "Laws that cannot answer"), element("ul", *said)))
    return content


def _provenance(subject: Subject) -> list[Markup]:
    law = preset_report(subject.preset)
    pairs: list[tuple[str, str]] = [("law", law.title)]
    pairs += [(fact.label.strip(), fact.value) for fact in law.facts]
    pairs += [*subject.sources, ("computed by", subject.versions)]
    notes = [element("li", note) for note in subject.preset.notes]
    return [told(pairs), *([element("h3", "Notes of the law"), element("ul", *notes)] if notes else [])]


def _reproduce(subject: Subject) -> list[Markup]:
    return [
        element("p", "This page, byte for byte, with the same version and the same files of laws and prices:"),
        element("pre", element("code", subject.command), tabindex="0", aria_label="command"),
    ]


def _values(subject: Subject) -> list[Markup]:
    rows = [
        (key, "" if value is None else exact_value(_plain(value), _plain(value), key=key))
        for key, value in flat(subject.plan.to_dict())
    ]
    return [
        element(
            "details",
            element("summary", "The plan, every key and digit"),
            table("The plan as its JSON has it", ("key", "value"), rows, words=frozenset({"value"})),
        )
    ]


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else repr(value)


def _sentence(text: str) -> str:
    """Return a message as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:]}" if text[:1].islower() and text.split(" ", 1)[0].isalpha() else text
