"""What is reported of an additive fit beside its coefficients: the diagnosis as plain data, and other choices."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.backtest import below_largest_budget
from scaleplan.fitting.runs import row_text
from scaleplan.fitting.surface_fit import fit_additive
from scaleplan.planning.planner import Planner
from scaleplan.toml_table import as_mapping

if TYPE_CHECKING:
    from scaleplan.fitting.additive_fit import AdditiveFit
    from scaleplan.fitting.backtest import Backtest
    from scaleplan.presets.preset import Preset

__all__ = ["Variation", "backtest_data", "diagnosis_data", "residuals_data", "scores", "variations"]

_PULLS = 5  # the strongest runs that are named for each coefficient


def diagnosis_data(found: AdditiveFit) -> dict[str, object]:
    """Return what ``--json`` prints of an additive fit and of no other."""
    known, out, influence = found.known, found.outliers, found.influence
    tested, resamples = found.tested, found.resamples
    data: dict[str, object] = {
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
            "without": None if out.without is None else as_mapping(out.without.law.coefficients()),
        },
        "alternatives": [
            {
                "name": item.name,
                "coefficients": as_mapping(item.law.coefficients()),
                "score": item.score,
                "aicc_excess": as_mapping(item.aicc_excess),
            }
            for item in found.alternatives
        ],
    }
    if influence is not None:
        data["influence"] = {
            name: [{"row": row, "change": change} for row, change in influence.strongest(name, most=_PULLS)]
            for name in ("E", "alpha", "beta")
        }
    if resamples is not None:
        names = ("samples", "seed", "unit", "strata", "failed", "floor_at_zero", "exponents_at_bound")
        data["resampling"] = {name: getattr(resamples, name) for name in names}
    if tested is not None:
        data["backtest"] = backtest_data(tested)
    return data


def backtest_data(tested: Backtest) -> dict[str, object]:
    """Return what ``--json`` prints of a backtest, beside its cuts."""
    return {
        "rms_inside": tested.inside,
        "one_sided": tested.one_sided,
        "largest_factor": tested.largest_factor,
        "by_factor": as_mapping(_by_factor(tested)),
    }


def residuals_data(found: AdditiveFit) -> dict[str, object]:
    """Return the summary of the residuals, beside their root mean square."""
    residuals = found.residuals
    return {
        "spread": residuals.spread,
        "inside_delta": residuals.inside,
        "kurtosis": residuals.kurtosis,
        "skewness": residuals.skewness,
        "largest": {"row": residuals.largest[0], "residual": residuals.largest[1]},
    }


def scores(found: AdditiveFit) -> dict[str, object]:
    """Return the scores of an additive fit that its preset repeats."""
    residuals = found.residuals
    return {
        "spread": residuals.spread,
        "share_inside_delta": residuals.inside,
        "aicc_excess": {item.name: item.aicc_excess for item in found.alternatives if np.isfinite(item.aicc_excess)},
        "backtest": [] if found.tested is None else _by_factor(found.tested),
    }


def _by_factor(tested: Backtest) -> list[dict[str, object]]:
    """Return the errors by factor of extrapolation as plain mappings."""
    names = ("runs", "bias", "rms", "coverage")
    return [
        {"factor": item.middle, "factors": list(item.factors), **{name: getattr(item, name) for name in names}}
        for item in tested.bins
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """The fit by another choice; ``params`` and ``loss`` are the optimum's at the target budget."""

    name: str
    E: float
    alpha: float
    beta: float
    params: float
    loss: float


def variations(found: AdditiveFit, preset: Preset, *, flops: float) -> tuple[Variation, ...]:
    """Fit without outliers, with tied exponents, to the other kind of residuals, and without the largest budget.

    ``flops`` is the budget of the optima, and ``preset`` the fit's own, whose cost they take.
    """
    points, base = found.points, found.solution
    objective, coordinates = base.objective, base.coordinates
    refit = partial(fit_additive, objective=objective, tied=coordinates.tied, floor=coordinates.floor)
    solutions = {"as fitted": base}
    if found.outliers.without is not None:
        solutions[f"without rows {row_text(found.outliers.rows)}"] = found.outliers.without
    if not coordinates.tied:
        solutions["alpha = beta"] = refit(points, tied=True)
    middle = float(np.median(points.loss))  # a step of log loss is a step of loss over the loss
    other = replace(
        objective,
        residual="linear" if objective.is_log else "log",
        delta=objective.delta * middle if objective.is_log else objective.delta / middle,
    )
    name = "raw-loss residuals" if objective.is_log else "log-loss residuals"
    solutions[name] = refit(points, objective=other)
    rest = points.select(below_largest_budget(points))
    if len(rest) >= coordinates.count:
        solutions["without the largest budget"] = refit(rest)
    planner = Planner(preset=preset)
    found_by = []
    for name, solution in solutions.items():
        law = solution.law
        params, _, loss = planner.frontier_for(law).best(flops)
        assert loss is not None  # a surface has one
        found_by.append(Variation(name=name, E=law.E, alpha=law.alpha, beta=law.beta, params=params, loss=loss))
    return tuple(found_by)
