"""The HTML report as one file that needs nothing else.

The policy forbids everything but the one style sheet and the one script, each by its hash: nothing is loaded and
nothing is sent. The script plans again where the page has a "What if" (:mod:`scaleplan.output.html.what_if`); without
it the page is complete but for that section. The data is JSON that no browser executes. All text passes through
:mod:`scaleplan.markup`, which escapes it.
"""

from __future__ import annotations

import base64
import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from scaleplan.charts.chart import value_text
from scaleplan.charts.svg import inline_svg
from scaleplan.files import read_text
from scaleplan.markup import Markup, element, joined
from scaleplan.output.data import encode, flat, plain
from scaleplan.output.html.subject import gather
from scaleplan.output.html.what_if import what_if_section
from scaleplan.output.views.bill import bill_section, keeping_remarks
from scaleplan.output.views.lists import preset_report
from scaleplan.output.views.model import run_sections
from scaleplan.output.views.plan import binding_remarks, comparison_report, format_loss, plan_report
from scaleplan.planning.plan import Plans, one_a_cause
from scaleplan.units import (
    SECONDS_PER_DAY,
    format_count,
    format_days,
    format_flops,
    format_fraction,
    format_hours,
    format_number,
    format_pf_days,
    format_seconds,
    format_usd,
    money_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from scaleplan.advice.sensitivity import Scenario, Swing
    from scaleplan.charts.chart import Chart
    from scaleplan.output import Fact
    from scaleplan.output.html.subject import Subject
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.request import BudgetKeywords

__all__ = ["page", "report"]

_HARMLESS = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def page(subject: Subject) -> str:
    """Return the report as the text of an HTML file."""
    style = _part("style.css", what="style sheet")
    computes = subject.what_if.data is not None
    script = "".join(_part(name, what="script") for name in ("planner.js", "what_if.js")) if computes else ""
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            *([f"script-src '{_digest(script)}'"] if computes else []),
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    parts = list(_sections(subject))
    links = [
        element("li", element("a", name, href=f"#{ident}"), hidden=_hidden_without_script(subject, ident))
        for ident, name, _ in parts
    ]
    title = _headline(subject.plan)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="generator", content=subject.versions),
        element("link", rel="icon", href="data:,"),
        element("title", f"{title} – {subject.plan.preset}"),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        element("a", "Skip to the answer", href="#answer", class_="skip"),
        element(
            "header",
            element("p", f"Training plan by the scaling law {subject.plan.preset}", class_="soft"),
            element("h1", title),
            element("nav", element("ul", *links), aria_label="Sections"),
        ),
        element("main", *(part for _, _, part in parts)),
        element("footer", element("p", f"Computed by {subject.versions}.", class_="soft")),
        _data("plan", subject.plan.to_dict()),
        _data("comparison", {"plans": [plan.to_dict() for plan in subject.others]}),
        _data("question", subject.what_if.data) if subject.what_if.data is not None else None,
        element("script", Markup(script)) if computes else None,
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _part(name: str, *, what: str) -> str:
    """Return the text of a file beside this module that becomes part of the page."""
    return read_text(Path(__file__).with_name(name), what=what)


def _digest(text: str) -> str:
    """Return the hash by which a policy lets a text in."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _hidden_without_script(subject: Subject, ident: str) -> str | None:
    """Return the attribute of what the script alone makes useful, and shows."""
    return "" if ident == _WHAT_IF and subject.what_if.data is not None else None


_WHAT_IF = "what-if"


def _data(ident: str, value: Mapping[str, object]) -> Markup:
    """Return JSON that a program can read from the page, written so that nothing in it can end the element."""
    return element("script", Markup(encode(value).translate(_HARMLESS)), type_="application/json", id=ident)


def report(**options: Unpack[BudgetKeywords]) -> str:
    """Return the answer to a question as an HTML page that loads nothing.

    Parameters
    ----------
    options
        As for :func:`scaleplan.api.optimal`.

    Raises
    ------
    ScaleplanError
        When the request is wrong, or no model satisfies it.

    """
    return page(gather({name: value for name, value in options.items() if value is not None}))


def _section(ident: str, heading: str, *content: str | None, hidden: str | None = None) -> Markup:
    """Return a section with its heading, to which the navigation can point."""
    label = f"{ident}-heading"
    title = element("h2", heading, id=label)
    return element("section", title, *content, id=ident, aria_labelledby=label, hidden=hidden)


def _exact_value(value: float | str, text: str, *, key: str | None = None) -> Markup:
    """Return a value as text, with every digit for programs; ``key`` names it among the values of the page."""
    return element("data", text, value=value if isinstance(value, str) else repr(value), data_key=key)


def _table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, text: Collection[str] = ()
) -> Markup:
    """Return a table whose first column names its rows; columns in ``text`` are not numbers."""

    def style(name: str) -> str | None:
        return "words" if name in text else None

    first, *rest = columns
    head = [element("th", first, scope="col", class_="words")]
    head += [element("th", name, scope="col", class_=style(name)) for name in rest]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, class_=style(name)) for name, cell in zip(rest, row[1:], strict=True)),
        )
        for row in rows
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", element("span", caption)),
            element("thead", element("tr", *head)),
            element("tbody", *body),
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def _definitions(pairs: Iterable[tuple[str, str | Markup]]) -> Markup:
    """Return a definition list."""
    return element(
        "dl", *(joined(element("dt", name), element("dd", text)) for name, text in pairs), class_="definitions"
    )


_WRITTEN: dict[str, tuple[str, Callable[[float], str]]] = {
    "params": ("parameters", format_count),
    "loss": ("loss", format_loss),
    "cost": ("cost", format_usd),
}


def _sensitivity_tables(subject: Subject) -> list[Markup]:
    """Return what moves the answer: a sentence, and a table with bars for each quantity that moves."""
    tables, most = [], []
    for quantity in _WRITTEN:
        found = _swing_table(subject, quantity)
        if found is not None:
            tables.append(found)
            most.append(f"the {_WRITTEN[quantity][0]} with {_ranked(subject, quantity)[0].assumption}")
    if not tables:
        return []
    sentence = f"The plan again, with one assumption changed at a time. What moves most: {'; '.join(most)}."
    return [element("p", sentence), *tables]


def _ranked(subject: Subject, quantity: str) -> list[Swing]:
    """Return the assumptions that move a quantity, the largest first."""
    moving = (swing for swing in subject.swings if swing.factor(quantity) > 1)
    return sorted(moving, key=lambda swing: -swing.factor(quantity))


def _swing_table(subject: Subject, quantity: str) -> Markup | None:
    """Return how far each assumption moves one quantity, the largest first; None where nothing does."""
    swings = _ranked(subject, quantity)
    label, show = _WRITTEN[quantity]
    if quantity == "cost":
        show = money_in(subject.plan.budget.currency)
    own = subject.plan.budget.cost if quantity == "cost" else getattr(subject.plan, quantity)
    if not swings or own is None:
        return None
    values = [getattr(case, quantity) for swing in swings for case in (swing.low, swing.high)]
    ends = min([own, *values]), max([own, *values])
    rows = [
        (
            joined(swing.assumption, _bar(swing, quantity, own, ends), element("span", swing.why, class_="why")),
            _end(swing.low, quantity, show),
            _end(swing.high, quantity, show),
        )
        for swing in swings
    ]
    return _table(
        f"What moves the {label}, {show(own)} as planned",
        ("assumption", "one end", "other end"),
        rows,
        text={"one end", "other end"},
    )


def _end(case: Scenario, quantity: str, show: Callable[[float], str]) -> Markup:
    value = getattr(case, quantity)
    return joined(_exact_value(value, show(value)), element("span", case.assumed, class_="why"))


def _bar(swing: Swing, quantity: str, own: float, ends: tuple[float, float]) -> Markup:
    """Draw the range of a swing on the scale of all of them, with a line at the plan."""

    def place(value: float) -> float:
        return 2 + 196 * math.log(value / ends[0]) / (math.log(ends[1] / ends[0]) or 1.0)

    low, high = sorted((getattr(swing.low, quantity), getattr(swing.high, quantity)))
    return element(
        "svg",
        element("rect", x=place(low), y=3, width=max(place(high) - place(low), 1.0), height=14),
        element("line", x1=place(own), x2=place(own), y1=0, y2=20),
        class_="bar",
        viewBox="0 0 200 20",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"times {format_number(swing.factor(quantity))} from end to end",
    )


def _headline(plan: Plan) -> str:
    """Return the question as one sentence."""
    budget = plan.budget
    if budget.source == "gpu_hours" and budget.gpu_hours is not None:
        means = f"{format_hours(budget.gpu_hours, unit='GPU-hours')} on {budget.gpu}"
    elif budget.source == "cluster" and budget.days is not None:
        means = f"{budget.gpus:,} {budget.gpu} for {format_days(budget.days)}"
    elif budget.source == "cost" and budget.cost is not None:
        means = f"{money_in(budget.currency)(budget.cost)} of {budget.gpu}"
    else:
        means = format_flops(plan.flops)
    return f"{means}: how large a model, on how many tokens?"


def _sections(subject: Subject) -> Iterator[tuple[str, str, Markup]]:
    """Yield (id, name, section) in the order of the page."""
    for ident, name, build in (
        ("answer", "Answer", _answer),
        ("warnings", "Warnings", _warnings),
        ("limits", "Limits", _limits),
        (_WHAT_IF, "What if", _what_if),
        ("budget", "Budget" if subject.plan.budget.gpu is None else "The bill", _budget),
        ("layout", "Layout", _layout),
        ("pictures", "Pictures", _pictures),
        ("sensitivity", "What moves the answer", _sensitivity_tables),
        ("laws", "Other laws", _laws),
        ("provenance", "Where it comes from", _provenance),
        ("reproduce", "Reproduce it", _reproduce),
        ("values", "Every value", _values),
    ):
        content = build(subject)
        if content:
            yield ident, name, _section(ident, name, *content, hidden=_hidden_without_script(subject, ident))


def _tiles(facts: Iterable[Fact], level: str) -> Markup:
    """Return facts in large type, each with its range."""
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", fact.label),
                element(
                    "dd",
                    element("span", fact.value, class_="value"),
                    element("span", f" {fact.unit}", class_="unit") if fact.unit else None,
                    element("br"),
                    element("span", f"{level}: {fact.low} – {fact.high}", class_="range") if fact.low else None,
                ),
            )
            for fact in facts
        ),
        class_="tiles",
    )


def _answer(subject: Subject) -> list[Markup]:
    report = plan_report(subject.plan)
    elsewhere = set(binding_remarks(subject.plan))  # in the section of the limits
    options = [
        (f"--{name.replace('_', '-')}", ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
        for name, value in subject.options.items()
        if value not in (None, False, [], ())
    ]
    return [
        _tiles(report.facts, report.level),
        *(element("p", _sentence(remark)) for remark in report.remarks if remark not in elsewhere),
        element("details", element("summary", "The question in full"), _definitions(options)),
    ]


def _warnings(subject: Subject) -> list[Markup]:
    if not subject.plan.warnings:
        return []
    messages = _bullets(_sentence(notice.message) for notice in one_a_cause(subject.plan.warnings))
    return [element("div", messages, class_="warnings", role="note")]


def _bullets(texts: Iterable[str]) -> Markup:
    return element("ul", *(element("li", text) for text in texts))


def _limits(subject: Subject) -> list[Markup]:
    """Return which limits bind and what each costs, and those that cost nothing."""
    if not subject.limits:
        return []
    binding = {each.limit: each for each in subject.plan.binding}
    rows = []
    for limit in subject.limits:
        each = binding.get(limit)
        if each is None:
            rows.append((limit, "no", "the same", ""))
            continue
        overhead = each.compute_overhead
        spared = "" if overhead is None else f"{format_fraction(1 - 1 / (1 + overhead))} less compute"
        lower = "" if each.excess_loss is None else f"{format_number(each.excess_loss)} lower"
        rows.append((each.limit, "yes", lower, spared))
    columns = ("limit", "binds", "the loss without it", "the same loss without it")
    return [_table("What each limit costs, the others kept", columns, rows, text=set(columns))]


def _what_if(subject: Subject) -> list[Markup]:
    """Return the controls; in one line why there are none otherwise."""
    found = subject.what_if
    if found.data is None:
        return [element("p", f"This page cannot plan again by itself: {found.refusal}.")]
    return what_if_section(found.data)


def _budget(subject: Subject) -> list[Markup]:
    """Return what the compute takes, as ranges; how it is counted; and the chance of keeping a limit."""
    plan, budget = subject.plan, subject.plan.budget
    compute = joined(_exact_value(plan.flops, format_flops(plan.flops)), f", {format_pf_days(plan.flops)}")
    facts: list[tuple[str, Markup]] = [("training compute", compute)]
    if budget.gpu is None:
        return [_formula(plan), _definitions(facts)]
    keeping = list(keeping_remarks(budget, plan.chances))
    bill = bill_section(budget, None if plan.blueprint is None else plan.blueprint.bill, chances=plan.chances)
    written: tuple[tuple[str, float | None, Callable[[float], str]], ...] = (
        ("GPUs", budget.gpus, lambda value: f"{value:,.0f}"),
        ("peak", budget.peak_flops_per_s, lambda value: f"{format_number(value / 1e12, digits=4)} TFLOP/s"),
        ("model FLOP utilisation", budget.mfu, format_fraction),
        ("share of paid time that trains", budget.goodput, format_fraction),
        ("price of an hour", budget.price_per_hour, lambda value: f"{money_in(budget.currency)(value)}/h"),
    )
    facts.append(("GPU", joined(f"{budget.gpu}, {budget.precision}")))
    facts += [(name, _exact_value(value, show(value))) for name, value, show in written if value is not None]
    return [
        _tiles(bill.facts, bill.level),
        *(element("p", _sentence(line)) for line in keeping),
        *_chances(plan),
        element("h3", "How it is counted"),
        _formula(plan),
        _definitions(facts),
        *(element("p", _sentence(origin)) for origin in bill.remarks if origin not in keeping),
    ]


def _formula(plan: Plan) -> Markup:
    budget = plan.budget
    if budget.gpu_hours is None or budget.peak_flops_per_s is None or budget.utilisation is None:
        return element("p", f"The budget is given in compute. The law counts it as C = {plan.flops_convention}.")
    return element(
        "p",
        f"{format_hours(budget.gpu_hours, unit='h')} x 3,600 s/h x "
        f"{format_number(budget.peak_flops_per_s / 1e12, digits=4)} TFLOP/s x "
        f"{format_fraction(budget.utilisation)} = {format_flops(plan.flops)}",
    )


def _chances(plan: Plan) -> list[Markup]:
    """Return how long and how much to allow for the compute of a plan, by the chance that it is enough."""
    budget = plan.budget
    if budget.band is None or budget.gpu_hours is None:
        return []
    columns: dict[str, tuple[float, Callable[[float], str]]] = {"GPU-hours": (budget.gpu_hours, format_hours)}
    if budget.days is not None:
        columns["time"] = (budget.days, lambda days: format_seconds(days * SECONDS_PER_DAY))
    if budget.cost is not None:
        columns["cost"] = (budget.cost, money_in(budget.currency))
    rows = []
    for chance in _CHANCES:
        ends = budget.interval_at("gpu_hours", 2 * chance - 1) if chance > _EVEN else None
        share = 1.0 if ends is None else ends[1] / budget.gpu_hours
        rows.append((format_fraction(chance), *(show(share * value) for value, show in columns.values())))
    return [_table("How much to allow, by the chance that it is enough", ("chance", *columns), rows)]


_EVEN = 0.5
_CHANCES = (_EVEN, 0.8, 0.9, 0.95)


def _layout(subject: Subject) -> list[Markup]:
    """Return the architecture, the division over the GPUs, the steps, and the memory of each."""
    run = subject.plan.blueprint
    if run is None:
        why = subject.without_layout
        return [element("p", f"No layout is shown: {why}.")] if why is not None else []
    memory = run.layout is not None or run.closest is not None
    schedule, *others = list(run_sections(run, subject.plan))[: 2 if memory else 1]  # the bill has its own
    content = [_definitions(_labelled(schedule.facts))]
    for part in others:
        rows = [(fact.label, fact.value, fact.unit) for fact in part.facts]
        content += [
            element("h3", _sentence(part.title)),
            _table("The memory of a GPU", ("part", "memory", "share"), rows),
        ]
        content += [element("p", _sentence(remark)) for remark in part.remarks]
    return content


def _labelled(facts: Iterable[Fact]) -> list[tuple[str, str]]:
    """Return facts as pairs; one without a label goes on in the line of the one before."""
    pairs: list[tuple[str, str]] = []
    for fact in facts:
        if fact.label or not pairs:
            pairs.append((fact.label, fact.value))
        else:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]} ({fact.value})")
    return pairs


def _pictures(subject: Subject) -> list[Markup]:
    return [element("div", *(_figure(chart) for chart in subject.charts), class_="figures")]


def _figure(chart: Chart) -> Markup:
    ident = f"picture-{chart.kind}"
    values = f"Values of this picture ({chart.kind})"
    return element(
        "figure",
        element("h3", chart.title),
        inline_svg(chart, ident=f"{ident}-wide", width=600, height=400, class_="wide"),
        inline_svg(chart, ident=f"{ident}-narrow", width=340, height=340, class_="narrow"),
        element("figcaption", " ".join(filter(None, (chart.caption, chart.source)))),
        element("details", element("summary", values), _chart_table(chart)),
    )


def _chart_table(chart: Chart) -> Markup:
    """Return every third point of the curves: enough to read, and the JSON of ``plot`` has all."""
    bands = any(series.low for series in chart.series)
    rows = []
    for series in chart.series:
        for i in range(0, len(series.x), 3):
            x, y = value_text(chart.x, series.x[i]), value_text(chart.y, series.y[i])
            sides = (series.low, series.high) if bands else ()
            band = [value_text(chart.y, side[i]) if side else "" for side in sides]
            rows.append((series.label, x, y, *band, series.style.replace("_", "-")))
    columns = ("series", chart.x.label, chart.y.label, *(("low", "high") if bands else ()), "kind")
    return _table(f"{chart.title}: values", columns, rows, text={"kind"})


def _laws(subject: Subject) -> list[Markup]:
    report = comparison_report(Plans(plans=subject.others))
    assert report.grid is not None
    content = [
        _table("The same budget by other laws", report.grid.columns, report.grid.rows, text=report.grid.text),
        *(element("p", _sentence(remark), class_="soft") for remark in report.remarks),
    ]
    if subject.left_out:
        reasons = _bullets(_sentence(f"{name}: {reason}") for name, reason in subject.left_out)
        content.append(element("details", element("summary", "Laws that cannot answer"), reasons))
    return content


def _provenance(subject: Subject) -> list[Markup]:
    law = preset_report(subject.preset.summary())
    facts = [(fact.label.strip(), fact.value) for fact in law.facts]
    pairs = [("law", law.title), *facts, *subject.sources, ("computed by", subject.versions)]
    notes = subject.preset.notes
    return [_definitions(pairs), *([element("h3", "Notes of the law"), _bullets(notes)] if notes else [])]


def _reproduce(subject: Subject) -> list[Markup]:
    return [
        element("p", "This page, byte for byte, with the same version and the same files of laws and prices:"),
        element("pre", element("code", subject.command), tabindex="0", aria_label="command"),
    ]


def _values(subject: Subject) -> list[Markup]:
    rows = [
        (key, "" if value is None else _exact_value(plain(value), plain(value), key=key))
        for key, value in flat(subject.plan.to_dict())
    ]
    return [
        element(
            "details",
            element("summary", "The plan, every key and digit"),
            _table("The plan as its JSON has it", ("key", "value"), rows, text={"value"}),
        )
    ]


def _sentence(text: str) -> str:
    """Return a message as a sentence of its own."""
    first = text.split(" ", 1)[0].rstrip(":,")
    return f"{text[:1].upper()}{text[1:]}" if text[:1].islower() and first.isalpha() else text
