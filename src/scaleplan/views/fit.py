"""A fitted law for people: the coefficients to the digits they deserve, what they mean, and what to beware of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.fitting.rounding import rounded
from scaleplan.fitting.writing import row_text
from scaleplan.formats.report import Fact, Grid, Report
from scaleplan.laws.base import Curve
from scaleplan.quantities import format_count, format_flops, format_fraction, format_number
from scaleplan.views.plan import plan_report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from scaleplan.fitting.fitted import Fitted, Value
    from scaleplan.fitting.methods import Approach
    from scaleplan.fitting.quality import Finding
    from scaleplan.fitting.result import Fit
    from scaleplan.fitting.runs import Runs

__all__ = ["fit_report", "reading_report"]

_LABELS = {"a": "a = β/(α + β)"}
_MOST_DROPPED, _MOST_PULLS = 12, 3
_EXACT = 1e-9  # relative: an error below is rounding, of runs without noise
_VAGUE = 0.5  # relative: above it the value would be rounded to one digit or none


def fit_report(
    fitted: Fitted, *, written: Sequence[Path] = (), report: bool = False, residuals: bool = False
) -> Report:
    """Return the report of one fit, with the checklist and plots of the residuals where asked for."""
    sections = [*_sections(fitted)]
    if report:
        from scaleplan.views.checklist import checklist_reports

        sections += checklist_reports(fitted)
    if residuals:
        from scaleplan.views.residuals import residual_reports

        sections += residual_reports(fitted)
    if written:
        sections.append(Report(lines=tuple(_written(fitted, written))))
    sure = any(value.interval for value in fitted.values)
    return Report(
        title=_title(fitted),
        facts=_facts(fitted),
        level=format_fraction(fitted.request.level) if sure else "",
        remarks=tuple(_remarks(fitted)),
        sections=tuple(sections),
    )


def reading_report(runs: Runs) -> Report | None:
    """Return which rows were left out or deserve a look, and why; None when there is nothing to say."""
    lines = [*runs.notes]
    for verb, findings in (("dropped", runs.dropped), ("flagged, and used", runs.flagged)):
        lines += [f"{verb}: {line}" for line in _by_reason(findings)]
    return Report(title=f"{runs.name}: {len(runs)} runs used", remarks=tuple(lines)) if lines else None


def _written(fitted: Fitted, places: Sequence[Path]) -> Iterator[str]:
    yield from (f"wrote {place}" for place in places)
    law = (fitted.members or (fitted,))[0].law
    if isinstance(law, Curve):
        return
    question = "optimal --flops 1e23" if fitted.refusal is None else "loss --params 7B --tokens 140B"
    yield f"plan with it: scaleplan {question} --preset {places[0]}"


def _title(fitted: Fitted) -> str:
    law = fitted.law
    formula = fitted.request.form if law is None else law.formula
    status = "" if fitted.diagnosis is None else f", {fitted.diagnosis.status}"
    group = "" if fitted.group is None else f", {fitted.group}"
    return f"{fitted.runs.name}{group}: {formula}, {len(fitted.runs)} runs{status}"


def _facts(fitted: Fitted) -> tuple[Fact, ...]:
    labels = _LABELS if fitted.diagnosis is not None else {}
    return tuple(_fact(value, labels.get(value.name, value.name), fitted.runs.loss_unit) for value in fitted.values)


def _fact(value: Value, label: str, unit: str) -> Fact:
    text = f"{value.value:.10g}"
    if value.error is not None and value.error > _EXACT * abs(value.value):
        known = value.error < _VAGUE * abs(value.value) or value.value == 0
        texts = rounded(value.value, value.error) if known else (f"{value.value:.2g}", f"{value.error:.1g}")
        text = " ± ".join(texts)
    low, high = ("", "") if value.interval is None else (f"{end:.4g}" for end in value.interval)
    return Fact(
        label=label,
        value=text,
        low=low,
        high=high,
        unit=unit if value.name == "E" else "",
    )


def _remarks(fitted: Fitted) -> Iterator[str]:
    yield from fitted.remarks
    found = fitted.diagnosis
    if found is None:
        if fitted.score is not None:
            yield f"objective {fitted.score:.10g}"
        return
    residuals = found.residuals
    inside = "" if residuals.inside is None else f"; {format_fraction(residuals.inside)} of the runs lie inside delta"
    yield (
        f"objective {found.solution.score:.10g}; residuals rms {format_number(residuals.rms)}, "
        f"typical {format_number(residuals.spread)}{inside}"
    )


def _sections(fitted: Fitted) -> Iterator[Report]:
    for member in fitted.members:
        yield Report(title=_title(member), facts=_facts(member))
    plan = fitted.plan()
    if plan is not None:
        told = plan_report(plan)
        beyond = plan.flops / float(fitted.runs.flops.max())
        title = f"at {format_flops(plan.flops)}, {format_number(beyond)} times the largest run"
        if fitted.refusal is not None:
            title += ", at the tokens per parameter of the runs"
        yield Report(title=title, facts=told.facts, level=told.level)
    found = fitted.diagnosis
    if found is not None:
        yield _coverage(found)
        tested = found.tested
        if tested is not None and tested.bins:
            yield Report(
                title="backtest: fitted to the smaller runs, the larger ones predicted",
                lines=tuple(f"  {line}" for line in tested.bins),
            )
        single = tuple(_single_runs(found))
        if single:
            yield Report(title="single runs", remarks=single)
        if found.alternatives:
            yield _alternatives(found)
    if fitted.approaches:
        yield _approaches(fitted.approaches)
    rows = reading_report(fitted.runs)
    if rows is not None:
        yield rows


def _coverage(found: Fit) -> Report:
    design = found.design
    spans = (
        ("parameters", design.params, format_count, f"{design.sizes} sizes"),
        ("tokens", design.tokens, format_count, f"{design.token_counts} token counts"),
        ("compute", design.flops, format_flops, f"{design.budgets} budgets" if design.budgets else ""),
        ("tokens/param", design.tokens_per_param, format_number, ""),
    )
    lines = []
    for label, (low, high), written, more in spans:
        lines.append(f"  {label:12}  {written(low)} – {written(high)}{f', {more}' if more else ''}")
    return Report(title="the runs cover", lines=tuple(lines))


def _single_runs(found: Fit) -> Iterator[str]:
    out = found.outliers
    if out.rows:
        worst = max(abs(deviation) for deviation in out.deviations)
        yield (
            f"rows {row_text(out.rows)} stand up to {worst:.0f} robust deviations from the fit of the others "
            "(and are used)"
        )
        if out.without is not None:
            law, other = found.law, out.without.law
            moved = ", ".join(
                f"{name} {getattr(law, name):.4g} → {getattr(other, name):.4g}" for name in ("E", "alpha", "beta")
            )
            yield f"without them: {moved}"
    if found.influence is None:
        return
    for name in ("E", "alpha", "beta"):
        strongest = found.influence.strongest(name, most=_MOST_PULLS)
        if abs(strongest[0][1]) > _EXACT:
            pulls = ", ".join(f"row {row} {change:+.2g}" for row, change in strongest)
            yield f"{name} changes most without: {pulls}"


def _alternatives(found: Fit) -> Report:
    rows = tuple(
        (
            item.name,
            f"{item.law.E:.4g}",
            f"{item.law.alpha:.4g}",
            f"{item.law.beta:.4g}",
            format_number(item.aicc_excess) if math.isfinite(item.aicc_excess) else "–",
        )
        for item in found.alternatives
    )
    best = min(item.aicc_excess for item in found.alternatives)
    verdict = (
        "a simpler form explains the runs as well: prefer it"
        if best < 2
        else "no simpler form explains the runs as well"
    )
    return Report(
        title="simpler forms",
        grid=Grid(columns=("form", "E", "alpha", "beta", "AICc excess"), rows=rows, text=frozenset({"form"})),
        remarks=(verdict,),
    )


def _approaches(approaches: Sequence[Approach]) -> Report:
    rows = tuple(
        (
            item.name,
            "" if item.exponent is None else f"{item.exponent:.4f}",
            "" if item.error is None else f"{item.error:.2g}",
            "" if item.params is None else format_count(item.params),
        )
        for item in approaches
    )
    return Report(
        title="the three approaches to N* ∝ C^a",
        grid=Grid(columns=("approach", "a", "error", "N* at target"), rows=rows, text=frozenset({"approach"})),
        remarks=tuple(f"{item.name}: {item.remark}" for item in approaches),
    )


def _by_reason(findings: Sequence[Finding]) -> Iterator[str]:
    for reason in dict.fromkeys(finding.reason for finding in findings):
        of_reason = [finding for finding in findings if finding.reason == reason]
        shown = row_text(finding.row for finding in of_reason[:_MOST_DROPPED])
        more = f" and {len(of_reason) - _MOST_DROPPED} more" if len(of_reason) > _MOST_DROPPED else ""
        yield f"{len(of_reason)} {reason}, row {shown}{more} ({of_reason[0].detail})"
