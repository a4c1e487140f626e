"""The reports of the commands about training runs: a fit, a backtest.

Fit and backtest are shown from the mapping that ``--json`` prints, so that a saved one reads like a new one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scaleplan.fitting.diagnosed_fit import Coefficient
from scaleplan.fitting.runs import row_text, rows_text
from scaleplan.output import Fact, Report, ReportTable
from scaleplan.output.views.plan import format_loss, plan_report
from scaleplan.presets.preset import Line
from scaleplan.units import (
    counted,
    format_change,
    format_count,
    format_factor,
    format_flops,
    format_fraction,
    format_measured,
    format_number,
    format_plain,
    format_range,
    format_signed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.fit import BacktestResult
    from scaleplan.fitting.fit_result import FitAnswer
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.uncertainty import Interval
    from scaleplan.project.saved import SavedResult

    Array = NDArray[float64]

__all__ = ["backtest_report", "fit_report", "saved_report"]

_LABELS = {"a": "a = β/(α + β)"}
_LAW_NAMES = ("E", "alpha", "beta")

_MOST_DROPPED, _MOST_PULLS = 12, 3

_EXACT = 1e-9  # relative: an error below is rounding, of runs without noise
_EXACT_DIGITS = 10  # of such
_DIGITS = 6  # of a coefficient without an error: about as many as papers print
_VAGUE = 0.5  # relative: above it the value would be rounded to one digit or none

_WIDTH, _HEIGHT = 64, 11
_DENSITY = " .:+*#@"  # 0, 1, 2, 3, up to 5, up to 9, more
_STEPS = (1, 2, 3, 4, 6, 10)
_TWO_SIGMA = 2.0
_REACH = 8.0  # typical residuals from the middle to the edge: a single outlier must not flatten all others


def fit_report(answer: FitAnswer) -> Report:
    """Return the report of one fit, with the checklist and plots of the residuals where the answer has them."""
    return _fit_report(answer.to_dict(), answer.fit.plan())


def saved_report(saved: SavedResult) -> Report:
    """Return the report of a saved fit or backtest: as of the command."""
    report = _backtest_report if saved.schema == "scaleplan/backtest/1" else _fit_report
    return report(saved.data, saved.target)


def _fit_report(data: dict[str, Any], plan: Plan | None) -> Report:
    """Return the report of the JSON of a fit, and of its plan at the target."""
    sections = [*_sections(data, plan), *_checklist(data), *_residuals(data)]
    if data["written"]:
        sections.append(Report(lines=[*_written(data)]))
    has_intervals = any(value.interval for value in _values(data))
    return Report(
        title=_title(data),
        facts=_facts(data),
        level=format_fraction(data["interval"]["level"]) if has_intervals else "",
        remarks=[*_remarks(data)],
        sections=sections,
    )


def _values(data: dict[str, Any]) -> Sequence[Coefficient]:
    """Return the coefficients and what follows from them, of which the JSON has errors and intervals alone."""
    known: dict[str, float] = {**data["coefficients"], **data.get("derived", {})}
    return [
        Coefficient(name=name, value=known[name], error=error, interval=data["interval"].get(name))
        for name, error in data["errors"].items()
        if name in known
    ]


def _reading(data: dict[str, Any]) -> list[Report]:
    """Return the rows that were left out or flagged, with reasons."""
    lines = [*data.get("notes", ())]
    for verb, findings in (("dropped", data["dropped"]), ("flagged, and used", data.get("flagged", ()))):
        lines += [f"{verb}: {line}" for line in _by_reason(findings)]
    return [Report(title=f"{data['file']}: {counted(data['rows_used'], 'run')} used", remarks=lines)] if lines else []


def _written(data: dict[str, Any]) -> Iterator[str]:
    if (data["groups"] or [data])[0]["target"] is None:  # a curve plans nothing
        yield f"evaluate it: scaleplan evaluate {data['written'][0]} NAME=VALUE"
        return
    line, target = data.get("line"), (data["groups"] or [data])[0]["target"]
    if line is not None:
        question = Line(params=tuple(line["params"]), tokens=tuple(line["tokens"]), within=line["within"]).question
    elif data["refusal"] is None:
        question = f"optimal --flops {format_flops(target['flops']).partition(' ')[0]}"
    else:
        question = f"loss --params {format_count(target['params'])} --tokens {format_count(target['tokens'])}"
    yield f"plan with it: scaleplan {question} --preset {data['written'][0]}"


def _title(data: dict[str, Any]) -> str:
    status = "" if data["status"] is None else f", {data['status']}"
    forecast = data.get("forecast")
    if data.get("line") is not None:
        status += ", determined on one line only"
    elif forecast is not None:
        factor = forecast["known_within"]
        known = "not known" if factor is None else f"within a factor of {format_number(factor, digits=2)}"
        status += f" (N* at {format_flops(forecast['target_flops'])} {known})"
    if _rejected(data):
        status += ", law rejected by repeated runs"
    elif forecast is not None:
        status += f", law off by {format_fraction(forecast['misfit'], digits=2)} of the loss (rms)"
    group = "" if data["group"] is None else f", {data['group']}"
    runs = f"{counted(data['rows_used'], 'run')}{_unlike(data)}"
    return f"{data['file']}{group}: {data['formula'] or data['form']}, {runs}{status}"


_UNLIKE = {
    "groups": "of several groups",
    "sweep": "with a sweep",
    "compute_differs": "whose compute disagrees",
    "small_models": "of very small models",
    "shape_changes": "of shapes that change",
}


def _rejected(data: dict[str, Any]) -> bool:
    """Return whether repeated runs reject the fitted form."""
    return bool((data.get("lack_of_fit") or {}).get("rejected"))


def _unlike(data: dict[str, Any]) -> str:
    """Return what makes the runs doubtful as runs of one law, with the options that help."""
    found = [notice for notice in data.get("warnings", ()) if notice["code"] in _UNLIKE]
    if not found:
        return ""
    ways = dict.fromkeys(notice["message"].rpartition("; ")[2] for notice in found)
    return f" {' and '.join(_UNLIKE[notice['code']] for notice in found)} ({'; '.join(ways)})"


def _facts(data: dict[str, Any]) -> list[Fact]:
    labels = {} if data["status"] is None else _LABELS
    return [_fact(value, labels.get(value.name, value.name), data["loss_unit"]) for value in _values(data)]


def _fact(known: Coefficient, label: str, unit: str) -> Fact:
    value, error = known.value, known.error
    text = format_plain(value, digits=_DIGITS if error is None else _EXACT_DIGITS)
    if error is not None and error > _EXACT * abs(value):
        precise = error < _VAGUE * abs(value) or value == 0
        vague = f"{format_number(value, digits=2)} ± {format_number(error, digits=1)}"
        text = format_measured(value, error) if precise else vague
    low, high = ("", "") if known.interval is None else (format_plain(end, digits=4) for end in known.interval)
    return Fact(label, text, low=low, high=high, unit=unit if known.name == "E" else "")


def _remarks(data: dict[str, Any]) -> Iterator[str]:
    yield from data["remarks"]
    if data.get("forecast") is not None:
        yield from _misfit(data["forecast"])
    score, residuals = data["objective"]["score"], data["residuals"]
    if data["status"] is None:
        if score is not None:
            yield f"objective {format_plain(score, digits=10)}"
        return
    inside = residuals["inside_delta"]
    runs_inside = "" if inside is None else f"; {format_fraction(inside)} of the runs lie inside delta"
    yield (
        f"objective {format_plain(score, digits=10)}; residuals rms {format_number(residuals['rms'])}, "
        f"typical {format_number(residuals['spread'])}{runs_inside}"
    )


_BENDS = 2.0  # times its usual size: a misfit at the largest budget that larger runs will have too


def _misfit(forecast: dict[str, Any]) -> Iterator[str]:
    """Yield how far the law is off, where most, and what the forecast made of single runs."""
    most, last = forecast["largest_misfit"], forecast["at_largest_budget"]
    yield (
        "the coefficients are for citing; plans are made by a forecast, which corrects the law by "
        f"{format_fraction(forecast['misfit'], digits=2)} at these runs (rms), most at {format_flops(most['flops'])} "
        f"and {format_number(most['tokens_per_param'])} tokens per parameter: the loss lies {_apart(most['value'])}"
    )
    if abs(last["value"]) > max(_BENDS * forecast["misfit"], forecast["noise"]):
        budget = format_flops(last["flops"])
        yield f"the runs bend away from the law: at the largest budget, {budget}, they lie {_apart(last['value'])}"
    yield f"the loss of one run scatters by {format_fraction(forecast['noise'], digits=2)}"
    down = forecast["down_weighted"]
    if down:
        rows = rows_text(
            (item["row"] for item in down),
            "disagrees with runs like it and counts for less in the forecast",
            "disagree with runs like them and count for less in the forecast",
        )
        yield (
            f"{rows}: the noise of row {down[0]['row']} is "
            f"taken to be {format_factor(math.sqrt(down[0]['factor']))} that of the others"
        )


def _apart(value: float) -> str:
    """Return on which side of the law something lies, and how far."""
    return f"{format_fraction(abs(value), digits=2)} {'above' if value > 0 else 'below'} it"


def _sections(data: dict[str, Any], plan: Plan | None) -> Iterator[Report]:
    for member in data["groups"] or ():
        yield Report(title=_title(member), facts=_facts(member), remarks=[*_at_target(member)])
    if plan is not None:
        yield _target(data, plan)
    checked = _check_line(data)
    if checked:
        yield Report(title="check: forecasts from the smaller runs", remarks=(checked,))
    if data["range"] is not None:
        yield _coverage(data["range"])
    single = [*_single_runs(data)]
    if single:
        yield Report(title="single runs", remarks=single)
    if data["alternatives"]:
        yield _alternatives(data["alternatives"], rejected=_rejected(data))
    if data["approaches"]:
        yield _approaches(data["approaches"])
    yield from _reading(data)


def _at_target(member: dict[str, Any]) -> Iterator[str]:
    """Yield the forecast of one of several groups at its target, in a line."""
    plan = member["target"]
    if plan is None or member.get("forecast") is None:
        return
    interval = plan["interval"]

    def between(ends: tuple[float, float] | None, written: Callable[[float], str]) -> str:
        return "" if ends is None else f" ({format_range(*ends, written)})"

    yield (
        f"forecast at {format_flops(plan['flops'])}: {format_count(plan['params'])} parameters"
        f"{between(interval['params'], format_count)}, loss {format_loss(plan['loss'])}"
        f"{between(interval['loss'], format_loss)}, {format_fraction(interval['level'])}"
    )


def _target(data: dict[str, Any], plan: Plan) -> Report:
    """Return the plan at the target, with how far beyond the runs and where it lies."""
    forecast = data.get("forecast")
    title = f"{'' if forecast is None else 'forecast '}at {format_flops(plan.flops)}"
    if data.get("largest_flops"):
        title += f", {format_factor(plan.flops / data['largest_flops'])} the largest run"
    remarks = [notice.message for notice in plan.warnings if notice.code in {"not_vouched", "far_beyond"}]
    if data.get("line") is not None:
        title += ", on the line of the runs"
    elif data["refusal"] is not None:
        title += ", at the tokens per parameter of the largest run"
        remarks.append(f"no size is chosen: {data['refusal']}")
    planned = plan_report(plan)
    if forecast is not None and plan.interval is not None:
        remarks = [*_reasons(forecast, plan.interval), *remarks]
    return Report(title=title, facts=planned.facts, level=planned.level, remarks=remarks)


def _reasons(forecast: dict[str, Any], interval: Interval[float]) -> Iterator[str]:
    """Yield the interval without the noise of one run, and where the width of the other comes from."""
    if interval.expected_loss is not None:
        mean = format_range(*interval.expected_loss, format_loss)
        yield f"the loss is that of one run; the mean of many alike lies in {mean}"
    if forecast["shares"] is not None:
        shares = forecast["shares"]
        named = {
            "law": "the coefficients of the law",
            "discrepancy": "what the law misses",
            "members": "how the averaged forecasts differ",
            "noise": "the noise of one run",
        }
        order = sorted(named, key=lambda key: -shares[key])
        yield f"its variance: {', '.join(f'{format_fraction(round(shares[key], 2))} {named[key]}' for key in order)}"


def _check_line(data: dict[str, Any]) -> str:
    """Return how often the forecasts from the smaller runs held the larger ones, or nothing where none was made."""
    cuts = [cut for cut in (data["backtest"] or {}).get("cuts") or () if cut["share"] is not None]
    level = data["interval"]["level"]
    parts = []
    for cut in reversed(cuts):
        first, count = cut is cuts[-1], cut["predicted"]
        part = f"below {format_fraction(cut['share'])}{' of the range of log compute' if first else ''}: "
        part += _inside(cut["coverage"], count, " of ")
        part += f" larger runs inside the {format_fraction(level)} interval of one run" if first else ""
        parts.append(
            part + (" (fewer than chance would leave)" if _falls_short(cut["coverage"], level, count) else "")
        )
    return f"fitted to the runs {'; '.join(parts)}" if parts else ""


def _falls_short(coverage: float, level: float, count: int) -> bool:
    """Whether so few of ``count`` runs lie inside intervals of a level that chance leaves fewer once in 40 tests."""
    return coverage < level - _TWO_SIGMA * math.sqrt(level * (1.0 - level) / max(count, 1))


def _inside(coverage: float | None, count: int, of: str = "/") -> str:
    """Return how many predictions lie inside their interval."""
    return "–" if coverage is None else f"{round(coverage * count):,}{of}{count:,}"


def _coverage(design: dict[str, Any]) -> Report:
    spans = (
        ("parameters", design["params"], format_count, counted(design["sizes"], "size")),
        ("tokens", design["tokens"], format_count, counted(design["token_counts"], "token count")),
        ("compute", design["flops"], format_flops, counted(design["budgets"], "budget") if design["budgets"] else ""),
        ("tokens/param", design["tokens_per_param"], format_number, ""),
    )
    lines = [
        f"  {label:12}  {format_range(low, high, written)}{f', {more}' if more else ''}"
        for label, (low, high), written, more in spans
    ]
    return Report(title="the runs cover", lines=lines)


def _single_runs(data: dict[str, Any]) -> Iterator[str]:
    out = data["outliers"]
    if out is not None and out["rows"]:
        worst = max(abs(deviation) for deviation in out["deviations"])
        yield (
            f"{rows_text(out['rows'], 'stands', 'stand up to')} {format_number(worst, digits=2)} robust "
            "deviations from the fit of the "
            f"others (and {'is' if len(out['rows']) == 1 else 'are'} used)"
        )
        if out["without"] is not None:
            law, other = data["coefficients"], out["without"]
            moved = ", ".join(
                f"{name} {format_plain(law[name], digits=4)} → {format_plain(other[name], digits=4)}"
                for name in _law_names([other])
            )
            yield f"without {'it' if len(out['rows']) == 1 else 'them'}: {moved}"
    for name, strongest in (data["influence"] or {}).items():
        if abs(strongest[0]["change"]) > _EXACT:
            pulls = ", ".join(
                f"row {item['row']} {format_signed(item['change'], digits=2)}" for item in strongest[:_MOST_PULLS]
            )
            yield f"{name} changes most without: {pulls}"


def _alternatives(items: Sequence[dict[str, Any]], *, rejected: bool) -> Report:
    # so few runs that the AICc of the full form is infinite; the simpler ones have fewer coefficients
    excesses = [-math.inf if item["aicc_excess"] is None else item["aicc_excess"] for item in items]
    further = [item.get("held_out_excess") for item in items]
    held_out = ("held out",) if any(missed is not None for missed in further) else ()
    names = _law_names(item["coefficients"] for item in items)
    rows = [
        (
            item["name"],
            *_law_cells(item["coefficients"], names),
            format_number(excess) if math.isfinite(excess) else "–",
            *("–" if missed is None else format_change(missed, digits=2) for _ in held_out),
        )
        for item, excess, missed in zip(items, excesses, further, strict=True)
    ]
    as_well = [
        item["name"] for item, missed in zip(items, further, strict=True) if missed is not None and missed <= 0
    ]
    verdict = (
        "by AICc a simpler form explains the runs as well, which says little of larger ones: try a backtest of it"
    )
    if min(excesses) >= 2:
        verdict = "no simpler form explains the runs as well"
    elif as_well:
        verdict = f"{as_well[0]} explains the runs as well, and predicts the largest from the rest as well"
    elif held_out:
        verdict = (
            "by AICc a simpler form explains the runs as well, but it predicts the largest from the rest less well"
        )
    if rejected:
        verdict = "repeated runs reject the fitted form, of which these are special cases"
    return Report(
        title="simpler forms",
        grid=ReportTable(("form", *names, "AICc excess", *held_out), rows=rows, text={"form"}),
        remarks=(
            verdict,
            *("held out: by how much more it misses the largest runs, fitted to the others" for _ in held_out),
        ),
    )


def _approaches(approaches: Sequence[dict[str, Any]]) -> Report:
    rows = [
        (
            item["name"],
            "" if item["exponent"] is None else format_number(item["exponent"], digits=4),
            "" if item["error"] is None else format_number(item["error"], digits=2),
            "" if item["params"] is None else format_count(item["params"]),
        )
        for item in approaches
    ]
    return Report(
        title="the three approaches to N* ∝ C^a",
        grid=ReportTable(("approach", "a", "error", "N* at target"), rows=rows, text={"approach"}),
        remarks=[f"{item['name']}: {item['remark']}" for item in approaches],
    )


def _law_names(laws: Iterable[dict[str, float]]) -> tuple[str, ...]:
    """Return the coefficients to show of some laws: gamma where any of them has it."""
    return (*_LAW_NAMES, "gamma") if any("gamma" in law for law in laws) else _LAW_NAMES


def _law_cells(law: dict[str, float], names: Sequence[str] = _LAW_NAMES) -> tuple[str, ...]:
    return tuple(format_plain(law.get(name, 1.0), digits=4) for name in names)  # without gamma it is 1


def _by_reason(findings: Sequence[dict[str, Any]]) -> Iterator[str]:
    for reason in dict.fromkeys(finding["reason"] for finding in findings):
        of_reason = [finding for finding in findings if finding["reason"] == reason]
        shown = row_text(finding["row"] for finding in of_reason[:_MOST_DROPPED])
        more = f" and {len(of_reason) - _MOST_DROPPED} more" if len(of_reason) > _MOST_DROPPED else ""
        row = "row" if len(of_reason) == 1 else "rows"
        yield f"{len(of_reason)} {reason}, {row} {shown}{more} ({of_reason[0]['detail']})"


def backtest_report(result: BacktestResult) -> Report:
    """Return the report of one backtest."""
    return _backtest_report(result.to_dict())


def _backtest_report(data: dict[str, Any], _: Plan | None = None) -> Report:
    """Return the report of the JSON of a backtest."""
    return Report(
        title=f"{data['file']}: the larger of {data['rows_used']:,} runs, as forecast from the smaller",
        remarks=[*_headline(data), *_remarks_backtest(data)],
        sections=[_factors(data["by_factor"]), *_cuts(data["cuts"]), *_reading(data)],
    )


_JUDGED = ("inside", "width", "score", "bias", "rms")


def _judged(row: dict[str, Any], count: int) -> tuple[str, ...]:
    """Return the cells of :data:`_JUDGED`: without a width the coverage is not that of the interval of a run."""
    inside = _inside(row["coverage"], count) if "width" in row else "–"
    return inside, *(_percent(row, name) for name in ("width", "score", "bias", "rms"))


def _percent(row: dict[str, Any], name: str) -> str:
    """Return a share of the loss, or a dash where it is not known or no number."""
    written = format_change if name == "bias" else format_fraction
    return "–" if row.get(name) is None else written(row[name], digits=2)


def _headline(data: dict[str, Any]) -> Iterator[str]:
    """Yield how often the intervals held over all predictions."""
    overall = data.get("overall")
    if overall is None:
        return
    count, level = overall["runs"], format_fraction(data["level"])
    yield (
        f"of {counted(count, 'prediction')} {round(overall['coverage'] * count):,} "
        f"({format_fraction(overall['coverage'], digits=2)}) inside the {level} interval of one run; width "
        f"{_percent(overall, 'width')}, interval score {_percent(overall, 'score')} of the loss"
    )
    # a run is predicted above several cuts, and its errors there are nearly one
    if _falls_short(overall["coverage"], data["level"], max((cut["predicted"] for cut in data["cuts"]), default=1)):
        yield "fewer than chance would leave: expect plans beyond the largest run to miss more often than they say"


def _factors(bins: Sequence[dict[str, Any]]) -> Report:
    """Return the predictions by factor of extrapolation."""
    rows = [
        (
            format_range(row["factors"][0], row["factors"][-1], format_factor),
            f"{row['runs']:,}",
            *_judged(row, row["runs"]),
            _percent(row, "law_rms"),
        )
        for row in bins
    ]
    columns = ("beyond the runs", "predicted", *_JUDGED, "rms of the law")
    return Report(title="by factor of extrapolation", grid=ReportTable(columns, rows=rows, text={"beyond the runs"}))


def _cuts(cuts: Sequence[dict[str, Any]]) -> Iterator[Report]:
    """Yield the forecasts of the cuts, and the plain law fitted beside each, those at the largest gaps first."""
    # equal gaps are so up to rounding, and stay in the order of compute
    shown = sorted(cuts, key=lambda cut: (-float(f"{cut.get('gap', 1.0):.2g}"), cut["flops"]))
    rows = [
        (
            format_flops(cut["flops"]),
            format_factor(cut["gap"]) if "gap" in cut else "–",
            f"{cut['runs']:,}",
            f"{cut['predicted']:,}",
            *_judged(cut, cut["predicted"]),
        )
        for cut in shown
    ]
    columns = ("runs up to", "next", "runs", "predicted", *_JUDGED)
    yield Report(title="by cut, the largest gap first", grid=ReportTable(columns, rows=rows))
    names = _law_names(cut["coefficients"] for cut in cuts)
    resampled = any(cut.get("resampling_coverage") is not None for cut in cuts)
    rows = [
        (
            format_flops(cut["flops"]),
            _percent(cut, "law_rms"),
            *((_inside(cut.get("resampling_coverage"), cut["predicted"]),) if resampled else ()),
            *_law_cells(cut["coefficients"], names),
        )
        for cut in shown
    ]
    columns = ("runs up to", "rms", *(("inside",) if resampled else ()), *names)
    remark = "inside: the interval of resampling alone, which knows nothing of what the law misses"
    yield Report(
        title="the plain law at the same cuts",
        grid=ReportTable(columns, rows=rows),
        remarks=(remark,) if resampled else (),
    )


def _remarks_backtest(data: dict[str, Any]) -> Iterator[str]:
    held, overall = data["holdout"], data.get("overall")
    fitted = f"fitted to all runs, the plain law misses them by {format_fraction(data['rms_inside'])} (rms)"
    if overall is None:
        yield fitted
    else:
        yield (
            f"the forecast misses the larger runs by {_percent(overall, 'rms')} (rms; bias "
            f"{_percent(overall, 'bias')}), the plain law by {_percent(overall, 'law_rms')}; {fitted}"
        )
    if data["one_sided"]:
        yield "all cuts err in one direction by more than the scatter of the runs: expect the same beyond the largest"
    if held is not None:
        count = len(held["rows"])
        yield (
            f"largest runs held out ({format_factor(held['factor'])} the rest): "
            f"{_inside(held['coverage'], count)} inside, width {_percent(held, 'width')}, "
            f"bias {_percent(held, 'bias')}, rms {_percent(held, 'rms')}"
        )


def _checklist(data: dict[str, Any]) -> Iterator[Report]:
    """Yield the checklist, the members of the forecast and the table of variations, where the fit has them."""
    if "checklist" in data:
        facts = [Fact(entry["item"], entry["text"], prose=True) for entry in data["checklist"]]
        yield Report(title="to repeat this fit", facts=facts)
        members = (data.get("forecast") or {}).get("members")
        if members:
            yield _members(members, data)
    if data.get("variations"):
        rows = [
            (item["name"], *_law_cells(item), format_count(item["params"]), format_number(item["loss"], digits=4))
            for item in data["variations"]
        ]
        columns = ("choice", "E", "alpha", "beta", "parameters", "loss")
        yield Report(
            title=f"the plain law by other choices, at {format_flops(data['target']['flops'])}",
            grid=ReportTable(columns, rows=rows, text={"choice"}),
        )


def _members(members: Sequence[Mapping[str, Any]], data: dict[str, Any]) -> Report:
    rows = [
        (
            item["kernel"],
            format_number(item["floor"]),
            format_fraction(item["weight"], digits=2),
            format_loss(item["loss"]),
            format_range(item["expected_loss"][0], item["expected_loss"][1], format_loss),
        )
        for item in members
    ]
    level = format_fraction(data["forecast"]["level"])
    return Report(
        title=f"the forecasts that are averaged, at {format_flops(data['target']['flops'])}",
        grid=ReportTable(("discrepancy", "floor", "weight", "loss", level), rows=rows, text={"discrepancy", level}),
        remarks=("floor: the prior of E over the least loss; how far these lie apart is a part of the interval",),
    )


def _residuals(data: dict[str, Any]) -> list[Report]:
    """Return one plot each against compute, parameters and tokens per parameter, where the runs have them."""
    rows = (data["residuals"] or {}).get("by_row")
    if not rows:
        return []
    values = np.array([row["residual"] for row in rows], dtype=float)
    params, tokens, flops = (
        np.array([row[name] for row in rows], dtype=float) for name in ("params", "tokens", "flops")
    )
    unit = "log loss" if data["objective"]["residual"] == "log" else "loss"
    reports = []
    with np.errstate(all="ignore"):  # a size that is not known is no number
        columns = {"compute": flops, "parameters": params, "tokens per parameter": tokens / params}
    for label, column in columns.items():
        if np.all(np.isfinite(column)) and np.min(column) > 0 and np.ptp(column) > 0:
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
    up = np.clip((residuals / reach + 1) / 2 * _HEIGHT, 0, _HEIGHT - 1).astype(int)
    counts = np.zeros((_HEIGHT, _WIDTH), dtype=int)
    np.add.at(counts, (_HEIGHT - 1 - up, across), 1)
    lines = []
    for row, cells in enumerate(counts):
        text = "".join(_DENSITY[int(np.searchsorted(_STEPS, count, side="right"))] for count in cells)
        middle = row == _HEIGHT // 2
        beyond = ">" if np.max(size) > reach else ""
        extremes = {0: reach, _HEIGHT - 1: -reach}
        label = f"{beyond}{format_signed(extremes[row], digits=2)}" if row in extremes else "0" if middle else ""
        lines.append(f"  {label:>8} {'+' if middle else '|'}{text}".rstrip())
    left, right = (format_number(float(np.exp(end))) for end in (low, high))
    ends = left + right.rjust(_WIDTH - len(left))
    return (*lines, f"  {'':8}  {ends}")
