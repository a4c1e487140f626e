"""The reports of the commands about training runs: a fit, a backtest, a design of pilot runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.objective import rounded
from scaleplan.fitting.runs import row_text
from scaleplan.laws.base import Curve
from scaleplan.output import Fact, Report, ReportTable
from scaleplan.output.views.plan import plan_report
from scaleplan.units import format_count, format_flops, format_fraction, format_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.additive_fit import AdditiveFit, Coefficient
    from scaleplan.fitting.approaches import Approach
    from scaleplan.fitting.fit import BacktestResult
    from scaleplan.fitting.fit_result import FitAnswer, FitResult
    from scaleplan.fitting.pilot import PilotDesign, StandardErrors
    from scaleplan.fitting.runs import Finding, Runs
    from scaleplan.fitting.surface_report import Variation
    from scaleplan.laws.additive import Additive

    Array = NDArray[float64]

__all__ = ["backtest_report", "design_report", "fit_report"]

_LABELS = {"a": "a = β/(α + β)"}

_MOST_DROPPED, _MOST_PULLS = 12, 3

_EXACT = 1e-9  # relative: an error below is rounding, of runs without noise

_VAGUE = 0.5  # relative: above it the value would be rounded to one digit or none


_WIDTH, _HEIGHT = 64, 11

_DENSITY = " .:+*#@"  # 0, 1, 2, 3, up to 5, up to 9, more

_STEPS = (1, 2, 3, 4, 6, 10)

_REACH = 8.0  # typical residuals from the middle to the edge: a single outlier must not flatten all others


def fit_report(answer: FitAnswer) -> Report:
    """Return the report of one fit, with the checklist and plots of the residuals where the answer has them."""
    fitted = answer.fit
    sections = [*_sections(fitted)]
    if answer.report:
        sections += _checklist(fitted)
    if answer.residuals:
        sections += _residuals(fitted)
    if answer.written:
        sections.append(Report(lines=[*_written(fitted, answer.written)]))
    has_intervals = any(value.interval for value in fitted.values)
    return Report(
        title=_title(fitted),
        facts=_facts(fitted),
        level=format_fraction(fitted.request.level) if has_intervals else "",
        remarks=[*_remarks(fitted)],
        sections=sections,
    )


def _reading(runs: Runs) -> Report | None:
    """Return the rows that were left out or flagged, with reasons; None where there are none."""
    lines = [*runs.notes]
    for verb, findings in (("dropped", runs.dropped), ("flagged, and used", runs.flagged)):
        lines += [f"{verb}: {line}" for line in _by_reason(findings)]
    return Report(title=f"{runs.name}: {len(runs)} runs used", remarks=lines) if lines else None


def _written(fitted: FitResult, places: Sequence[Path]) -> Iterator[str]:
    yield from (f"wrote {place}" for place in places)
    law = (fitted.members or (fitted,))[0].law
    if isinstance(law, Curve):
        return
    question = "optimal --flops 1e23" if fitted.refusal is None else "loss --params 7B --tokens 140B"
    yield f"plan with it: scaleplan {question} --preset {places[0]}"


def _title(fitted: FitResult) -> str:
    law = fitted.law
    formula = fitted.request.form if law is None else law.formula
    status = "" if fitted.diagnosis is None else f", {fitted.diagnosis.status}"
    group = "" if fitted.group is None else f", {fitted.group}"
    return f"{fitted.runs.name}{group}: {formula}, {len(fitted.runs)} runs{status}"


def _facts(fitted: FitResult) -> tuple[Fact, ...]:
    labels = _LABELS if fitted.diagnosis is not None else {}
    return tuple(_fact(value, labels.get(value.name, value.name), fitted.runs.loss_unit) for value in fitted.values)


def _fact(known: Coefficient, label: str, unit: str) -> Fact:
    value, error = known.value, known.error
    text = f"{value:.10g}"
    if error is not None and error > _EXACT * abs(value):
        precise = error < _VAGUE * abs(value) or value == 0
        text = " ± ".join(rounded(value, error) if precise else (f"{value:.2g}", f"{error:.1g}"))
    low, high = ("", "") if known.interval is None else (f"{end:.4g}" for end in known.interval)
    return Fact(label, text, low=low, high=high, unit=unit if known.name == "E" else "")


def _remarks(fitted: FitResult) -> Iterator[str]:
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


def _sections(fitted: FitResult) -> Iterator[Report]:
    for member in fitted.members:
        yield Report(title=_title(member), facts=_facts(member))
    plan = fitted.plan()
    if plan is not None:
        planned = plan_report(plan)
        beyond = plan.flops / float(fitted.runs.flops.max())
        title = f"at {format_flops(plan.flops)}, {format_number(beyond)} times the largest run"
        if fitted.refusal is not None:
            title += ", at the tokens per parameter of the runs"
        yield Report(title=title, facts=planned.facts, level=planned.level)
    found = fitted.diagnosis
    if found is not None:
        yield _coverage(found)
        tested = found.tested
        if tested is not None and tested.bins:
            yield Report(
                title="backtest: fitted to the smaller runs, the larger ones predicted",
                lines=[f"  {line}" for line in tested.bins],
            )
        single = tuple(_single_runs(found))
        if single:
            yield Report(title="single runs", remarks=single)
        if found.alternatives:
            yield _alternatives(found)
    if fitted.approaches:
        yield _approaches(fitted.approaches)
    rows = _reading(fitted.runs)
    if rows is not None:
        yield rows


def _coverage(found: AdditiveFit) -> Report:
    design = found.design
    spans = (
        ("parameters", design.params, format_count, f"{design.sizes} sizes"),
        ("tokens", design.tokens, format_count, f"{design.token_counts} token counts"),
        ("compute", design.flops, format_flops, f"{design.budgets} budgets" if design.budgets else ""),
        ("tokens/param", design.tokens_per_param, format_number, ""),
    )
    lines = [
        f"  {label:12}  {written(low)} – {written(high)}{f', {more}' if more else ''}"
        for label, (low, high), written, more in spans
    ]
    return Report(title="the runs cover", lines=lines)


def _single_runs(found: AdditiveFit) -> Iterator[str]:
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


def _alternatives(found: AdditiveFit) -> Report:
    rows = tuple(
        (
            item.name,
            *_law_cells(item.law),
            format_number(item.aicc_excess) if math.isfinite(item.aicc_excess) else "–",
        )
        for item in found.alternatives
    )
    best = min(item.aicc_excess for item in found.alternatives)
    verdict = "a simpler form explains the runs as well: prefer it"
    if best >= 2:
        verdict = "no simpler form explains the runs as well"
    return Report(
        title="simpler forms",
        grid=ReportTable(("form", "E", "alpha", "beta", "AICc excess"), rows=rows, text={"form"}),
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
        grid=ReportTable(("approach", "a", "error", "N* at target"), rows=rows, text={"approach"}),
        remarks=[f"{item.name}: {item.remark}" for item in approaches],
    )


def _law_cells(law: Additive | Variation) -> tuple[str, str, str]:
    return f"{law.E:.4g}", f"{law.alpha:.4g}", f"{law.beta:.4g}"


def _by_reason(findings: Sequence[Finding]) -> Iterator[str]:
    for reason in dict.fromkeys(finding.reason for finding in findings):
        of_reason = [finding for finding in findings if finding.reason == reason]
        shown = row_text(finding.row for finding in of_reason[:_MOST_DROPPED])
        more = f" and {len(of_reason) - _MOST_DROPPED} more" if len(of_reason) > _MOST_DROPPED else ""
        yield f"{len(of_reason)} {reason}, row {shown}{more} ({of_reason[0].detail})"


def backtest_report(tested: BacktestResult) -> Report:
    """Return the report of one backtest."""
    ladder = tested.ladder
    rows = tuple(
        (
            format_flops(cut.flops),
            str(cut.runs),
            str(len(cut.rows)),
            f"{float(np.mean(cut.error)):+.2%}",
            f"{float(np.sqrt(np.mean(cut.error**2))):.2%}",
            *_law_cells(cut.law),
        )
        for cut in ladder.cuts
    )
    columns = ("fitted up to", "runs", "predicted", "bias", "rms", "E", "alpha", "beta")
    sections = [Report(title="cuts", grid=ReportTable(columns, rows=rows))]
    reading = _reading(tested.runs)
    return Report(
        title=f"{tested.runs.name}: fitted to the smaller of {len(tested.runs)} runs, the larger ones predicted",
        lines=[f"  {item}" for item in ladder.bins],
        remarks=[*_remarks_backtest(tested)],
        sections=sections if reading is None else [*sections, reading],
    )


def _remarks_backtest(tested: BacktestResult) -> Iterator[str]:
    ladder, held = tested.ladder, tested.holdout
    yield f"the fit to all runs misses them by {format_fraction(ladder.inside)} (rms)"
    if tested.samples:
        level = format_fraction(ladder.level)
        yield (
            f"coverage: runs inside the {level} interval of resampling alone, which knows nothing of a law that is "
            "wrong; plans add the rms above"
        )
    if ladder.one_sided:
        yield "all cuts err in one direction by more than the scatter of the fit: the form is wrong, not the noise"
    if held is not None:
        count = len(held.rows)
        yield (
            f"largest budget held out ({format_number(held.factor)} times the rest): bias {held.bias:+.2%}, rms "
            f"{held.rms:.2%}, {round(held.coverage * count)}/{count} inside the combined band of width "
            f"{held.width:.2%} ({round(held.resampling_coverage * count)}/{count} by resampling alone)"
        )


def _checklist(fitted: FitResult) -> list[Report]:
    """Return the checklist, and the table of variations where the form has one."""
    facts = tuple(Fact(item, text, prose=True) for item, text in fitted.checklist())
    reports = [Report(title="to repeat this fit", facts=facts)]
    found = fitted.variations()
    if found:
        rows = tuple(
            (item.name, *_law_cells(item), format_count(item.params), format_number(item.loss, digits=4))
            for item in found
        )
        flops = fitted.target_flops
        assert flops is not None  # there are no variations without a target
        reports.append(
            Report(
                title=f"by other choices, at {format_flops(flops)}",
                grid=ReportTable(("choice", "E", "alpha", "beta", "parameters", "loss"), rows=rows, text={"choice"}),
            )
        )
    return reports


def design_report(design: PilotDesign) -> Report:
    """Return the report of one design."""
    count = sum(run.seeds for run in design.runs)
    rows = tuple(
        (
            format_count(run.params),
            format_count(run.tokens),
            format_number(run.tokens / run.params),
            format_flops(run.flops),
            str(run.seeds),
        )
        for run in design.runs
    )
    ratios = [run.tokens / run.params for run in design.runs]
    compared = [("this design", str(count), _span(min(ratios), max(ratios)), *_errors(design.after))]
    compared += [
        (item.name, str(item.runs), _span(*item.tokens_per_param), *_errors(item.precision)) for item in design.rivals
    ]
    if design.before is not None:
        compared.insert(0, ("the runs that are there", "", "", *_errors(design.before)))
    columns = ("design", "new runs", "tokens/param", "error of N*", "of loss", "of a")
    return Report(
        title=f"{count} pilot runs for {format_flops(design.spent)}, to know the optimum of "
        f"{format_flops(design.target)}",
        grid=ReportTable(("parameters", "tokens", "tokens/param", "compute each", "seeds"), rows=rows),
        sections=(
            Report(
                title="predicted standard errors at the target, each design for the same compute",
                grid=ReportTable(columns, rows=compared, text={"design"}),
                remarks=[*_remarks_design(design)],
            ),
        ),
    )


def _span(low: float, high: float) -> str:
    return f"{format_number(low, digits=2)} – {format_number(high, digits=2)}"


def _errors(precision: StandardErrors) -> tuple[str, str, str]:
    size = format_fraction(precision.log_params, digits=2) if precision.log_params < 3 else "unidentified"
    return size, format_fraction(precision.log_loss, digits=2), format_number(precision.exponent, digits=2)


def _remarks_design(design: PilotDesign) -> Iterator[str]:
    yield (
        f"by local linearisation of {design.law} with noise of {format_fraction(design.noise)} in each loss: true if "
        "the form is; keep a few central runs to test that"
    )
    if design.cooldown is not None:
        full = sum(run.flops * run.seeds for run in design.runs)
        yield (
            f"runs of one size branch off one trunk at a constant rate, each with a cooldown of "
            f"{format_fraction(design.cooldown)}; from scratch they would cost {format_flops(full)}"
        )
        yield "branches of one trunk share its noise, so that the errors are somewhat larger than predicted"


def _residuals(fitted: FitResult) -> list[Report]:
    """Return one plot each against compute, parameters and tokens per parameter, where the runs have them."""
    values = fitted.residuals
    if values is None:
        return []
    runs = fitted.runs
    unit = "log loss" if fitted.request.objective.is_log else "loss"
    reports = []
    for label, column in (
        ("compute", runs.flops),
        ("parameters", runs.params),
        ("tokens per parameter", runs.tokens / runs.params),
    ):
        if np.all(np.isfinite(column)) and np.ptp(column) > 0:
            title = f"residuals (fitted - observed, {unit}) by {label}"
            reports.append(Report(title=title, lines=_residual_plot(column, values)))
    return reports


def _residual_plot(column: Array, residuals: Array) -> tuple[str, ...]:
    """Return lines of a scatter plot, ``column`` logarithmic to the right, residuals upwards, zero in the middle.

    A denser character stands for more runs; the first and the last line hold all runs beyond their value too.
    """
    size = np.abs(residuals)
    reach = min(float(np.max(size)), _REACH * float(np.median(size))) or float(np.max(size)) or 1.0
    place = np.log(column)
    low, high = float(np.min(place)), float(np.max(place))
    across = np.minimum(((place - low) / (high - low) * _WIDTH).astype(int), _WIDTH - 1)
    up = np.clip(((residuals / reach + 1) / 2 * _HEIGHT).astype(int), 0, _HEIGHT - 1)
    counts = np.zeros((_HEIGHT, _WIDTH), dtype=int)
    np.add.at(counts, (_HEIGHT - 1 - up, across), 1)
    lines = []
    for row, cells in enumerate(counts):
        text = "".join(_DENSITY[int(np.searchsorted(_STEPS, count, side="right"))] for count in cells)
        middle = row == _HEIGHT // 2
        beyond = ">" if np.max(size) > reach else ""
        label = {0: f"{beyond}{reach:+.2g}", _HEIGHT // 2: "0", _HEIGHT - 1: f"{beyond}{-reach:+.2g}"}.get(row, "")
        lines.append(f"  {label:>8} {'+' if middle else '|'}{text}".rstrip())
    left, right = (format_number(float(np.exp(end))) for end in (low, high))
    ends = left + right.rjust(_WIDTH - len(left))
    return (*lines, f"  {'':8}  {ends}")
