"""A fit as plain data, ``scaleplan/fit/1``: everything that a person is shown, with every digit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.writing import backtest_rows, params_convention, preset_id
from scaleplan.records import as_mapping

if TYPE_CHECKING:
    from scaleplan.fitting.fitted import Fitted
    from scaleplan.fitting.result import Fit
    from scaleplan.laws.base import Law

__all__ = ["summary"]

SCHEMA = "scaleplan/fit/1"

_PULLS = 5  # the strongest runs that are named for each coefficient


def summary(fitted: Fitted, *, report: bool = False, residuals: bool = False) -> dict[str, object]:
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
        from scaleplan.fitting.checklist import checklist, variations

        data["checklist"] = [{"item": item, "text": text} for item, text in checklist(fitted)]
        data["variations"] = as_mapping(variations(fitted))
    return data


def _objective(fitted: Fitted) -> dict[str, object]:
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


def _residuals(fitted: Fitted, *, by_row: bool) -> dict[str, object]:
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


def _diagnosis(found: Fit) -> dict[str, object]:
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
