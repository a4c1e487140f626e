"""What a paper, or a colleague, must be told of a fit to repeat it, and how far other choices would move it.

The list is that of Li, Kudugunta and Zettlemoyer 2025 (arXiv:2502.18969), who found most of it missing in most of
fifty papers. Where only the person who trained the models knows, it says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.additive import fit_additive
from scaleplan.fitting.writing import params_convention, row_text
from scaleplan.planning.planner import Planner
from scaleplan.quantities import format_count, format_flops, format_number

if TYPE_CHECKING:
    from scaleplan.fitting.additive import Solution
    from scaleplan.fitting.fitted import Fitted
    from scaleplan.fitting.result import Fit
    from scaleplan.laws.additive import Additive

__all__ = ["Variation", "checklist", "variations"]

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


def variations(fitted: Fitted) -> tuple[Variation, ...]:
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


def checklist(fitted: Fitted) -> tuple[tuple[str, str], ...]:
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


def _column(fitted: Fitted, role: str) -> str:
    text = fitted.runs.columns.get(role)
    return f"'{text}'" if text else "derived from the others"


def _corpus(fitted: Fitted) -> str:
    return f"corpus {fitted.request.corpus}, tokenizer {fitted.request.tokenizer}"


def _weights(fitted: Fitted) -> str:
    return "of one each" if fitted.runs.weight is None else f"from column {_column(fitted, 'weight')}"


def _ranges(fitted: Fitted) -> str:
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


def _resampled_together(fitted: Fitted) -> str:
    if fitted.request.cluster:
        return "several points a run, resampled together"
    return f"one point a run is assumed (--cluster otherwise); {_YOURS}"


def _optimiser(fitted: Fitted) -> str:
    found = fitted.diagnosis
    if found is None:
        return "robust Newton descent from many starts"
    basins = found.solution.basins
    starts = "1 basin and its neighbours" if basins == 1 else f"{basins} basins and their neighbours"
    return f"profile grid over the exponents, Newton descent from {starts}"


def _intervals(fitted: Fitted) -> str:
    known = fitted.uncertainty
    if known is None:
        return "none"
    return f"{known.method}, {known.samples} resamples, {fitted.request.level:.0%} percentiles"


def _held_out(fitted: Fitted) -> str:
    tested = None if fitted.diagnosis is None else fitted.diagnosis.tested
    if tested is None or not tested.bins:
        return "nothing: too few runs, or another form"
    return f"{len(tested.cuts)} cuts in compute; {tested.bins[-1]}"


def _extrapolation(fitted: Fitted) -> str:
    flops, largest = fitted.target_flops, float(np.max(fitted.runs.flops))
    if flops is None:
        return "not by compute"
    return f"{format_flops(flops)} is {format_number(flops / largest)} times the largest run"


def _below_top(found: Fit) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    from scaleplan.fitting.design import isoflop_budgets

    points = found.points
    labels = isoflop_budgets(points)
    if labels is None:
        return np.asarray(points.flops <= np.quantile(points.flops, 0.8))
    return np.asarray(points.flops <= np.max(points.flops[labels == labels.max() - 1]))


def _variation(name: str, law: Additive, planner: Planner, flops: float) -> Variation:
    params, _, loss = planner.frontier_for(law).best(flops)
    assert loss is not None  # a surface has one
    return Variation(name=name, E=law.E, alpha=law.alpha, beta=law.beta, params=params, loss=loss)
