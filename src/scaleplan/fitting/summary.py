"""A fit as plain data, ``scaleplan/fit/1``: everything that a person is shown, with every digit.

What a paper, or a colleague, must be told of a fit to repeat it, and how far other choices would move it.

The list is that of Li, Kudugunta and Zettlemoyer 2025 (arXiv:2502.18969), who found most of it missing in most of
fifty papers. Where only the person who trained the models knows, it says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.preset_file import backtest_rows, params_convention, preset_id, row_text
from scaleplan.fitting.surface_fit import fit_additive
from scaleplan.planning.planner import Planner
from scaleplan.toml_table import as_mapping
from scaleplan.units import format_count, format_flops, format_number

if TYPE_CHECKING:
    from scaleplan.fitting.additive_fit import AdditiveFit
    from scaleplan.fitting.fit_result import FitResult
    from scaleplan.fitting.surface_fit import Solution
    from scaleplan.laws.additive import Additive
    from scaleplan.laws.base import Law

__all__ = ["Variation", "checklist", "summary", "variations"]

SCHEMA = "scaleplan/fit/1"

_PULLS = 5  # the strongest runs that are named for each coefficient


def summary(fitted: FitResult, *, report: bool = False, residuals: bool = False) -> dict[str, object]:
    """Return a fit as the mapping that ``--json`` prints; what does not apply to its form is None."""
    runs, request, law = fitted.runs, fitted.request, fitted.law
    found = fitted.diagnosis
    plan = fitted.plan()
    data: dict[str, object] = {
        "schema": SCHEMA,
        "id": preset_id(fitted),
        "form": request.form,
        "formula": None if law is None else law.formula,
        "method": request.method,
        "group": fitted.group,
        "file": runs.name,
        "sha256": runs.sha256,
        "columns": dict(runs.columns),
        "reading": dict(fitted.reading),
        "rows_used": len(runs),
        "dropped": as_mapping(runs.dropped),
        "flagged": as_mapping(runs.flagged),
        "notes": list(runs.notes),
        "status": None if found is None else found.status,
        "identified": fitted.identified,
        "refusal": fitted.refusal,
        "coefficients": as_mapping(dict(fitted.coefficients)),
        "errors": {item.name: item.error for item in fitted.values},
        "interval": {"level": request.level, **{item.name: as_mapping(item.interval) for item in fitted.values}},
        "objective": _objective(fitted),
        "remarks": list(fitted.remarks),
        "params_convention": params_convention(fitted),
        "flops_convention": runs.flops_convention,
        "loss_unit": runs.loss_unit,
        "samples": request.samples,
        "seed": request.seed,
        "target": None if plan is None else plan.to_dict(),
        "range": None,
        "residuals": None if fitted.residuals is None else _residuals(fitted, by_row=residuals),
        "flags": None,
        "information": None,
        "outliers": None,
        "influence": None,
        "alternatives": None,
        "resampling": None,
        "backtest": None,
        "approaches": as_mapping(fitted.approaches) if fitted.approaches else None,
        "groups": [summary(member) for member in fitted.members] or None,
    }
    if found is not None:
        data |= _diagnosis(found)
    if report:
        data["checklist"] = [{"item": item, "text": text} for item, text in checklist(fitted)]
        data["variations"] = as_mapping(variations(fitted))
    return data


def _objective(fitted: FitResult) -> dict[str, object]:
    objective = fitted.request.objective
    return {
        "residual": objective.residual,
        "robust": objective.robust,
        "delta": objective.delta if objective.robust == "huber" else None,
        "tied": fitted.request.tied,
        "floor": fitted.request.floor,
        "score": fitted.score,
        "converged": fitted.converged,
        "on_bound": list(fitted.bounds),
    }


def _residuals(fitted: FitResult, *, by_row: bool) -> dict[str, object]:
    values = fitted.residuals
    assert values is not None
    data: dict[str, object] = {"rms": float(np.sqrt(np.mean(values**2)))}
    if fitted.diagnosis is not None:
        found = fitted.diagnosis.residuals
        data |= {
            "spread": found.spread,
            "inside_delta": found.inside,
            "kurtosis": found.kurtosis,
            "skewness": found.skewness,
            "largest": {"row": found.largest[0], "residual": found.largest[1]},
        }
    if by_row:
        pairs = zip(fitted.runs.rows.tolist(), values.tolist(), strict=True)
        data["by_row"] = [{"row": row, "residual": value} for row, value in pairs]
    return data


def _diagnosis(found: AdditiveFit) -> dict[str, object]:
    known, out = found.known, found.outliers
    tested, resamples = found.tested, found.resamples
    return {
        "range": as_mapping(found.design),
        "flags": as_mapping(found.flags),
        "information": {
            "eigenvalues": list(known.eigenvalues),
            "condition": known.condition if math.isfinite(known.condition) else None,
            "log_params_error": known.log_params_error,
        },
        "outliers": {
            "rows": list(out.rows),
            "deviations": list(out.deviations),
            "without": None if out.without is None else _law(out.without.law),
        },
        "influence": None
        if found.influence is None
        else {
            name: [{"row": row, "change": change} for row, change in found.influence.strongest(name, most=_PULLS)]
            for name in ("E", "alpha", "beta")
        },
        "alternatives": [
            {
                "name": item.name,
                "coefficients": _law(item.law),
                "score": item.score,
                "aicc_excess": as_mapping(item.aicc_excess),
            }
            for item in found.alternatives
        ],
        "resampling": None
        if resamples is None
        else {
            "samples": resamples.samples,
            "seed": resamples.seed,
            "unit": resamples.unit,
            "strata": resamples.strata,
            "failed": resamples.failed,
            "floor_at_zero": resamples.floor_at_zero,
            "exponents_at_bound": resamples.exponents_at_bound,
        },
        "backtest": None
        if tested is None
        else {
            "rms_inside": tested.inside,
            "one_sided": tested.one_sided,
            "largest_factor": tested.largest_factor,
            "by_factor": as_mapping(backtest_rows(tested)),
        },
    }


def _law(law: Law) -> object:
    return as_mapping(law.coefficients())


_YOURS = "not in the file; state it with the law"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """The fit by another choice; ``params`` and ``loss`` are the optimum's at the target budget."""

    name: str
    E: float
    alpha: float
    beta: float
    params: float
    loss: float


def variations(fitted: FitResult) -> tuple[Variation, ...]:
    """Fit without outliers, with tied exponents, to raw-loss residuals, and without the largest budget.

    Empty for any form but the additive one, and where there is no target.
    """
    found, flops = fitted.diagnosis, fitted.target_flops
    if found is None or flops is None:
        return ()
    points, base = found.points, found.solution
    objective = base.objective
    coordinates = base.coordinates
    solutions: dict[str, Solution] = {"as fitted": base}
    if found.outliers.without is not None:
        solutions[f"without rows {row_text(found.outliers.rows)}"] = found.outliers.without
    if not coordinates.tied:
        solutions["alpha = beta"] = fit_additive(points, objective=objective, tied=True, floor=coordinates.floor)
    middle = float(np.median(points.loss))  # a step of log loss is a step of loss over the loss
    other = replace(
        objective,
        residual="linear" if objective.is_log else "log",
        delta=objective.delta * middle if objective.is_log else objective.delta / middle,
    )
    name = "raw-loss residuals" if objective.is_log else "log-loss residuals"
    solutions[name] = fit_additive(points, objective=other, tied=coordinates.tied, floor=coordinates.floor)
    below = _below_top(found)
    if np.count_nonzero(below) >= coordinates.count:
        rest = points.select(below)
        solutions["without the largest budget"] = fit_additive(
            rest, objective=objective, tied=coordinates.tied, floor=coordinates.floor
        )
    planner = Planner(preset=fitted.preset)
    return tuple(_variation(name, solution.law, planner, flops) for name, solution in solutions.items())


def checklist(fitted: FitResult) -> tuple[tuple[str, str], ...]:
    """Return the items as (what, answer), in the order of the paper's list."""
    runs, request, law = fitted.runs, fitted.request, fitted.law
    count = len(fitted.coefficients)
    free = count - request.tied - (request.floor is not None) if request.form == "additive" else count
    objective = request.objective
    delta = f", delta {objective.delta:g}" if objective.robust == "huber" else ""
    dropped = [f"{number} {reason}" for reason, number in runs.dropped_by_reason().items()]
    score = "none" if fitted.score is None else f"{fitted.score:.10g}"
    ended = "converged" if fitted.converged else "not converged"
    return (
        ("form", f"{request.form}: {law.formula if law else ''}, {free} free parameters".replace(": ,", ",")),
        ("N", f"{params_convention(fitted).replace('_', ' ')} parameters, column {_column(fitted, 'params')}"),
        ("D", f"tokens, column {_column(fitted, 'tokens')}; unique or repeated: {_YOURS}"),
        ("C", f"{runs.flops_convention}, column {_column(fitted, 'flops')}"),
        (
            "L",
            f"{runs.loss_unit}, column {_column(fitted, 'loss')}; {_corpus(fitted)}",
        ),
        ("runs", _ranges(fitted)),
        ("schedule and hyperparameters", _YOURS),
        ("final or intermediate losses", _resampled_together(fitted)),
        ("points dropped", ", ".join(dropped) or "none"),
        ("loss function", f"{objective.robust} on {objective.residual} residuals{delta}, weights {_weights(fitted)}"),
        ("optimiser", f"{_optimiser(fitted)}; objective {score}, {ended}"),
        ("intervals", _intervals(fitted)),
        ("held out", _held_out(fitted)),
        ("extrapolation", _extrapolation(fitted)),
    )


def _column(fitted: FitResult, role: str) -> str:
    text = fitted.runs.columns.get(role)
    return f"'{text}'" if text else "derived from the others"


def _corpus(fitted: FitResult) -> str:
    return f"corpus {fitted.request.corpus}, tokenizer {fitted.request.tokenizer}"


def _weights(fitted: FitResult) -> str:
    return "of one each" if fitted.runs.weight is None else f"from column {_column(fitted, 'weight')}"


def _ranges(fitted: FitResult) -> str:
    runs, found = fitted.runs, fitted.diagnosis
    parts = [f"{len(runs)} runs"]
    if found is not None:
        parts.append(f"{found.design.sizes} sizes, {found.design.token_counts} token counts")
    for name, values, written in (
        ("N", runs.params, format_count),
        ("D", runs.tokens, format_count),
        ("C", runs.flops, format_flops),
        ("D/N", runs.tokens / runs.params, format_number),
    ):
        if np.all(np.isfinite(values)):
            parts.append(f"{name} {written(float(np.min(values)))} – {written(float(np.max(values)))}")
    return ", ".join(parts)


def _resampled_together(fitted: FitResult) -> str:
    if fitted.request.cluster:
        return "several points a run, resampled together"
    return f"one point a run is assumed (--cluster otherwise); {_YOURS}"


def _optimiser(fitted: FitResult) -> str:
    found = fitted.diagnosis
    if found is None:
        return "robust Newton descent from many starts"
    basins = found.solution.basins
    starts = "1 basin and its neighbours" if basins == 1 else f"{basins} basins and their neighbours"
    return f"profile grid over the exponents, Newton descent from {starts}"


def _intervals(fitted: FitResult) -> str:
    known = fitted.uncertainty
    if known is None:
        return "none"
    return f"{known.method}, {known.samples} resamples, {fitted.request.level:.0%} percentiles"


def _held_out(fitted: FitResult) -> str:
    tested = None if fitted.diagnosis is None else fitted.diagnosis.tested
    if tested is None or not tested.bins:
        return "nothing: too few runs, or another form"
    return f"{len(tested.cuts)} cuts in compute; {tested.bins[-1]}"


def _extrapolation(fitted: FitResult) -> str:
    flops, largest = fitted.target_flops, float(np.max(fitted.runs.flops))
    if flops is None:
        return "not by compute"
    return f"{format_flops(flops)} is {format_number(flops / largest)} times the largest run"


def _below_top(found: AdditiveFit) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    from scaleplan.fitting.diagnosis import isoflop_budgets

    points = found.points
    labels = isoflop_budgets(points)
    if labels is None:
        return np.asarray(points.flops <= np.quantile(points.flops, 0.8))
    return np.asarray(points.flops <= np.max(points.flops[labels == labels.max() - 1]))


def _variation(name: str, law: Additive, planner: Planner, flops: float) -> Variation:
    params, _, loss = planner.frontier_for(law).best(flops)
    assert loss is not None  # a surface has one
    return Variation(name=name, E=law.E, alpha=law.alpha, beta=law.beta, params=params, loss=loss)
