"""One request and one table of runs → one fitted law: which routine fits which form by which method."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.fitted import Fitted, Value, on_bound, plain_values
from scaleplan.fitting.solving_columns import points_of, solve_columns
from scaleplan.fitting.spread import surface_uncertainty

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.fitting.isoflop import Allocation
    from scaleplan.fitting.request import FitRequest
    from scaleplan.fitting.runs import Runs

    Progress = Callable[[int], None]

__all__ = ["needed_roles", "solve"]

_SHARED = 0.2  # the share of points with the name of another from which they look like checkpoints of one run
_ROLES = ("params", "tokens", "flops", "loss")


def needed_roles(request: FitRequest) -> tuple[str, ...]:
    """Return what every run must have for a request."""
    if request.form in ("additive", "kaplan", "data_constrained"):
        return _ROLES
    if request.form == "allocation":
        return ("params", "tokens", "flops")
    return tuple(role for role in _ROLES if role in (*request.x, request.y))


def solve(
    runs: Runs, request: FitRequest, *, reading: Mapping[str, object], progress: Progress | None = None
) -> Fitted:
    """Fit what was asked for.

    Raises
    ------
    UsageError
        When the runs are too few, or not of the kind that the form or the method needs.

    """
    start = Fitted(runs=runs, request=request, reading=reading, law=None)
    if runs.group is not None:
        return _grouped(start)
    if request.form == "additive":
        return _by_method(start, progress)
    return _kaplan(start) if request.form == "kaplan" else solve_columns(start)


def _by_method(start: Fitted, progress: Progress | None) -> Fitted:
    method = start.request.method
    if method == "isoflop":
        return _isoflop(start)
    if method == "envelope":
        return _envelope(start)
    fitted = _surface(start, progress)
    if method == "surface":
        return fitted
    from scaleplan.fitting.methods import compare_methods

    points, flops = points_of(start.runs), fitted.target_flops
    assert flops is not None
    approaches = compare_methods(points, flops=flops, objective=start.request.objective)
    return replace(fitted, approaches=approaches)


def _surface(start: Fitted, progress: Progress | None) -> Fitted:
    from scaleplan.fitting.fit import fit

    runs, request = start.runs, start.request
    if request.cluster and runs.labels is None:
        raise UsageError(
            "there is no column of names to tell one training run from another", hint="--map name=COLUMN says it"
        )
    found = fit(
        points_of(runs),
        objective=request.objective,
        tied=request.tied,
        floor=request.floor,
        samples=request.samples,
        seed=request.seed,
        clusters=runs.labels if request.cluster else None,
        jobs=request.jobs,
        progress=progress,
    )
    law = found.law
    known = found.coefficients(level=request.level)
    plain = {
        "E": law.E,
        "alpha": law.alpha,
        "beta": law.beta,
        "a": law.params_exponent,
        "A": law.A,
        "B": law.B,
    }
    return replace(
        start,
        law=law,
        values=tuple(
            Value(name=item.name, value=item.value, error=item.error, interval=(item.low, item.high))
            for item in known
        )
        or tuple(Value(name=name, value=value) for name, value in plain.items()),
        score=found.solution.score,
        residuals=found.solution.residuals,
        converged=found.solution.converged,
        bounds=found.solution.bounds,
        remarks=(*(flag.message for flag in found.flags), *_shared_names(start)),
        uncertainty=surface_uncertainty(found),
        diagnosis=found,
    )


def _shared_names(start: Fitted) -> tuple[str, ...]:
    """Return the remark that several points seem to be of one training run, and were resampled apart."""
    labels = start.runs.labels
    if labels is None or start.request.cluster:
        return ()
    named = [label for label in labels if label]
    if len(named) - len(set(named)) <= _SHARED * len(labels):
        return ()
    return (f"{len(labels)} points have {len(set(named))} names: --cluster resamples points of one name together",)


def _kaplan(start: Fitted) -> Fitted:
    from scaleplan.fitting.kaplan import fit_kaplan

    found = fit_kaplan(points_of(start.runs), objective=start.request.objective)
    return replace(
        start,
        law=found.law,
        values=plain_values(found.law.coefficients()),
        score=found.score,
        residuals=found.residuals,
        converged=found.converged,
        bounds=found.bounds,
        remarks=(
            "this form has no floor, so extrapolated losses fall without end; it is fitted without intervals",
            *on_bound(found.bounds),
        ),
    )


def _isoflop(start: Fitted) -> Fitted:
    from scaleplan.fitting.additive import fit_additive
    from scaleplan.fitting.isoflop import fit_isoflop
    from scaleplan.laws.allocation import PowerAllocation

    points, request = points_of(start.runs), start.request
    surface = fit_additive(points, objective=request.objective).law
    size, data = (
        fit_isoflop(points, quantity=quantity, law=surface, samples=request.samples, seed=request.seed)
        for quantity in ("params", "tokens")
    )
    law = PowerAllocation(
        params_scale=size.scale,
        params_exponent=size.exponent,
        tokens_scale=data.scale,
        tokens_exponent=data.exponent,
    )
    refused = [f"{budget.flops:.3g} FLOP: {budget.refused}" for budget in size.budgets if budget.refused]
    used = len(size.budgets) - len(refused)
    remark = (
        f"parabolas through {used} budgets measure the split alone, not the loss; the displacement of a parabola's "
        "vertex is taken off with the exponents of a surface fit"
    )
    remarks = [remark]
    if refused:
        remarks.append(f"budgets without a usable vertex: {'; '.join(refused)}")
    return replace(start, law=law, values=(*_side("params", size), *_side("tokens", data)), remarks=tuple(remarks))


def _side(quantity: str, found: Allocation) -> tuple[Value, Value]:
    exponent = Value(name=f"{quantity}_exponent", value=found.exponent, error=found.error, interval=found.interval)
    return exponent, Value(name=f"{quantity}_scale", value=found.scale)


def _envelope(start: Fitted) -> Fitted:
    from scaleplan.fitting.envelope import fit_envelope
    from scaleplan.laws.allocation import PowerAllocation

    found = fit_envelope(points_of(start.runs))
    law = PowerAllocation(params_scale=found.scale, params_exponent=found.exponent)
    remark = (
        f"a line through the {len(found.rows)} best runs of bins of compute: noise chooses among them; "
        "use it to look at runs, not to plan"
    )
    return replace(start, law=law, values=plain_values(law.coefficients()), remarks=(remark,))


def _grouped(start: Fitted) -> Fitted:
    from scaleplan.fitting.grouped import fit_grouped

    runs, request = start.runs, start.request
    if request.form != "additive" or request.method != "surface" or request.tied or request.floor is not None:
        raise UsageError(
            "groups share the exponents of the additive surface with a floor",
            hint="--where 'COLUMN = VALUE' fits one group by itself in any form",
        )
    assert runs.group is not None
    found = fit_grouped(points_of(runs), runs.group, objective=request.objective)
    groups = np.array(runs.group, dtype=object)
    members = tuple(
        replace(
            start,
            runs=runs.select(groups == name),
            law=law,
            values=plain_values(law.coefficients()),
            residuals=found.residuals[groups == name],
            converged=found.converged,
            remarks=("the exponents are shared with the other groups; fitted without intervals",),
            group=name,
        )
        for name, law in found.laws.items()
    )
    first = members[0].law
    assert first is not None
    shared = {name: value for name, value in first.coefficients().items() if name in ("alpha", "beta")}
    return replace(
        start,
        values=plain_values(shared),
        score=found.score,
        residuals=found.residuals,
        converged=found.converged,
        remarks=(_sharing(found.aicc_excess),),
        members=members,
    )


def _sharing(excess: float | None) -> str:
    if excess is None:
        return "a group has too few runs for a fit of its own, so sharing the exponents was not tested"
    verdict = "the runs support sharing" if excess < 0 else "the groups differ more than sharing allows"
    return f"AICc of shared exponents less that of separate fits: {excess:+.1f}; {verdict}"
