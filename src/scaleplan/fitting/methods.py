"""Fit the law of a request to runs: choose the routine for its form and its method."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scaleplan.errors import UsageError, quote
from scaleplan.fitting.approaches import compare_methods, fit_allocation, fit_envelope, fit_isoflop
from scaleplan.fitting.backtest import check_forecast
from scaleplan.fitting.curve_backtest import backtest_curve
from scaleplan.fitting.curve_fit import fit_curve, fit_product
from scaleplan.fitting.diagnosed_fit import Coefficient, fit_points
from scaleplan.fitting.diagnosis import find_line, find_strip
from scaleplan.fitting.fit_request import SURFACES, FitRequest
from scaleplan.fitting.fit_result import FitResult
from scaleplan.fitting.fit_tables import curve_uncertainty, surface_uncertainty
from scaleplan.fitting.forecaster import fit_forecast
from scaleplan.fitting.noise import rises
from scaleplan.fitting.objective import central_interval, half_width
from scaleplan.fitting.other_surfaces import fit_grouped, fit_kaplan, fit_repetition
from scaleplan.fitting.surface_fit import fit_additive
from scaleplan.laws.additive import Additive, DataConstrained
from scaleplan.laws.allocation import PowerAllocation
from scaleplan.laws.base import Cost
from scaleplan.laws.curves import FITTED, Power
from scaleplan.planning.uncertainty import add_error
from scaleplan.presets.preset import BacktestRms
from scaleplan.units import counted, format_factor, format_flops, format_number, format_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.arrays import Array, Mask
    from scaleplan.fitting.curve_backtest import CurveBacktest
    from scaleplan.fitting.curve_fit import CurveFit, FormulaFit
    from scaleplan.fitting.runs import Runs
    from scaleplan.laws.base import Curve
    from scaleplan.presets.preset import Line

    Progress = Callable[[int], None]

__all__ = ["fit_runs", "named_groups", "resampled_together"]

_LEAST_CELLS = 8  # fewer cannot be resampled: most resamples would lack what a coefficient depends on

_DOUBTFUL = ("crashed", "diverged", "outlier", "worse_than_smaller")
"""Reasons for which a row that is kept says nothing of the noise of the others."""

_LEVEL = 1e-3  # in the logarithm: a line along which a size or a token count does not change
_SPAN = 0.5  # in the logarithm: what a curve needs at least

_FEWEST_RUNS = 6  # of which one more is the least for the five coefficients of an additive law
_SOON = 100.0  # times the largest row: as far as curves are commonly extrapolated

_SHARED = 0.2  # the share of points with the name of another from which they look like checkpoints of one run


def fit_runs(
    request: FitRequest, runs: Runs, *, source: str | None = None, progress: Progress | None = None
) -> FitResult:
    """Fit the form of a request to runs, by its method; ``source`` is the file as a command would name it.

    Raises UsageError when the runs are too few, or not of the kind that the form or the method needs.
    """
    result = _fitted(request, runs, source or runs.name, progress)
    doubts = tuple(notice.message for notice in runs.warnings)
    return replace(result, remarks=(*doubts, *result.remarks)) if doubts else result


def _fitted(request: FitRequest, runs: Runs, source: str, progress: Progress | None) -> FitResult:
    if request.form in (*SURFACES, "kaplan"):
        _require_falling(request, runs.flops, runs.loss)
    if runs.group is not None:
        return _grouped(request, runs)
    if request.form in SURFACES and request.method in ("surface", "all"):
        return _surface(request, runs, source, progress)
    if request.form == "kaplan":
        return _kaplan(request, runs, source)
    fits = {
        "additive": _envelope if request.method == "envelope" else _isoflop,
        "allocation": _allocation,
        "data_constrained": _repetition,
    }
    return fits.get(request.form, _curve)(request, runs)


def _require_falling(request: FitRequest, x: Array, y: Array) -> None:
    """Refuse a form that falls for a quantity that rises; raises UsageError."""
    if not rises(x, y):
        return
    (x_name,), y_name = request.x[:1] or ("flops",), request.y
    rest = " --y COLUMN" if y_name == "loss" else f" --y {shlex.quote(y_name)}"
    what = "compute" if x_name == "flops" else f"'{x_name}'"
    raise UsageError(
        f"{y_name} rises with {what} in these runs, and form '{request.form}' can only fall",
        hint=f"for an accuracy or another score: --form sigmoid --x {shlex.quote(x_name)}{rest}",
    )


def _surface(request: FitRequest, runs: Runs, source: str, progress: Progress | None) -> FitResult:
    if request.cluster and runs.labels is None:
        raise UsageError(
            "there is no column of names to tell one training run from another", hint="--map name=COLUMN says it"
        )
    points, named = runs.points(), named_groups(runs)
    found = fit_points(
        points,
        coordinates=request.coordinates,
        objective=request.objective,
        samples=request.samples,
        seed=request.seed,
        clusters=runs.labels if request.cluster else resampled_together(runs),
        doubtful=[finding.row for finding in runs.flagged if finding.reason in _DOUBTFUL],
        jobs=request.jobs,
        progress=progress,
    )
    forecaster = fit_forecast(points, named, floor=request.floor)
    result = FitResult(
        runs=runs,
        request=request,
        law=found.law,
        values=found.coefficients(level=request.level),
        score=found.solution.score,
        residuals=found.solution.residuals,
        converged=found.solution.converged,
        bounds=found.solution.bounds,
        remarks=(
            *(flag.message for flag in found.flags),
            *_determined(request, found.design.along, source),
            *shared_names(request, runs),
        ),
        uncertainty=surface_uncertainty(found),
        diagnosis=found,
        forecaster=forecaster,
        forecast=forecaster.surface(_target_product(request, runs)),
        backtest=check_forecast(points, found.solution, level=request.level, groups=named),
        line=found.design.along or find_strip(points, found.solution.coordinates),
    )
    if request.method == "surface" or result.line is not None:  # a line has no split for methods to compare
        return result
    flops = result.target_flops
    assert flops is not None
    return replace(result, approaches=compare_methods(points, flops=flops, objective=request.objective))


def _target_product(request: FitRequest, runs: Runs) -> float | None:
    """Return the params * tokens of the target that was given, which a forecast is to reach."""
    cost = Cost.from_convention(runs.flops_convention)
    if request.target is None or cost is None or not cost.is_product:
        return None
    return request.target / cost.per_param_token


def named_groups(runs: Runs) -> list[object] | None:
    """Return the names of runs that may share an error, each without a name by itself; None where none repeats."""
    labels = runs.labels
    if labels is None or len(set(labels)) == len(labels):
        return None
    return [label or i for i, label in enumerate(labels)]


def resampled_together(runs: Runs) -> list[int] | None:
    """Return the codes by which runs of equal size are resampled together; None where each is by itself.

    Repeats of a run share what the law gets wrong there, so that resampling them apart would count it as noise.
    """
    if runs.replicates is None or len(np.unique(runs.replicates)) < _LEAST_CELLS:
        return None
    return [int(code) for code in runs.replicates]


def _determined(request: FitRequest, line: Line | None, source: str) -> tuple[str, ...]:
    """Return the remark that names the form which runs on a line do determine, as a command to paste."""
    if line is None:
        return ()
    spans = {
        name: math.log(max(values) / min(values))
        for name, values in (("params", line.params), ("tokens", line.tokens))
    }
    change = math.log(line.params[-1] * line.tokens[-1] / line.params[0] / line.tokens[0])
    if max(spans.values()) < _SPAN:
        return ("they lie too close together to determine a curve: train other sizes on other token counts",)
    if min(spans.values()) > _LEVEL and abs(change) < 0.2 * sum(spans.values()):
        return ("they determine the loss along this budget and no other: a second budget would show how it falls",)
    x = "flops" if min(spans.values()) > _LEVEL else max(spans, key=lambda name: spans[name])
    reading = []
    for name, value in request.reading.items():
        option = f"--{name.replace('_', '-')}"
        texts = value if isinstance(value, list) else [value]
        reading += [option] if value is True else [p for text in texts for p in (option, shlex.quote(str(text)))]
    command = " ".join(["scaleplan fit", shlex.quote(source), *reading, f"--form offset_power --x {x}"])
    return (f"what they determine is the curve along it: {command}",)


def shared_names(request: FitRequest, runs: Runs) -> tuple[str, ...]:
    """Return the remark that several points seem to be of one training run, and were resampled apart."""
    if runs.labels is None or request.cluster:
        return ()
    named = [label for label in runs.labels if label]
    if len(named) - len(set(named)) <= _SHARED * len(runs):
        return ()
    names = len(set(named))
    sizes = {(label, size) for label, size in zip(runs.labels, runs.params, strict=True) if label}
    if len(sizes) > names:  # a run has one size: these are names of groups
        return ()
    last = "--last keeps the final row of each, " if names > _FEWEST_RUNS else ""
    return (
        f"{len(runs)} points have {counted(names, 'name')}: {last}--cluster resamples points of one name together",
    )


def _isoflop(request: FitRequest, runs: Runs) -> FitResult:
    points = runs.points()
    surface = fit_additive(points, objective=request.objective).law
    assert isinstance(surface, Additive)
    size, data = (
        fit_isoflop(points, quantity=quantity, law=surface, samples=request.samples, seed=request.seed)
        for quantity in ("params", "tokens")
    )
    refused = [f"{format_flops(budget.flops)}: {budget.refused}" for budget in size.budgets if budget.refused]
    used = len(size.budgets) - len(refused)
    remark = (
        f"parabolas through {used} budgets measure the split alone, not the loss; the displacement of a parabola's "
        "vertex is taken off with the exponents of a surface fit"
    )
    remarks = [remark]
    if refused:
        remarks.append(f"budgets without a usable vertex: {'; '.join(refused)}")
    values = []
    for name, side in (("params", size), ("tokens", data)):
        values += [
            Coefficient(name=f"{name}_exponent", value=side.exponent, error=side.error, interval=side.interval),
            Coefficient(name=f"{name}_scale", value=side.scale),
        ]
    law = PowerAllocation(
        params_scale=size.scale,
        params_exponent=size.exponent,
        tokens_scale=data.scale,
        tokens_exponent=data.exponent,
    )
    return FitResult(runs=runs, request=request, law=law, values=tuple(values), remarks=tuple(remarks))


def _envelope(request: FitRequest, runs: Runs) -> FitResult:
    line = find_line(runs.points())
    if line is not None:
        raise UsageError(
            f"all runs lie on {line}: each size has one budget, and none is better than another",
            hint="an envelope needs several sizes at each budget",
        )
    found = fit_envelope(runs.points())
    law = PowerAllocation(params_scale=found.scale, params_exponent=found.exponent)
    remark = (
        f"a line through the {len(found.rows)} best runs of bins of compute: noise chooses among them; "
        "use it to look at runs, not to plan"
    )
    return FitResult(runs=runs, request=request, law=law, values=_plain(law.coefficients()), remarks=(remark,))


def _grouped(request: FitRequest, runs: Runs) -> FitResult:
    if request.form != "additive" or request.method != "surface" or request.tied or request.floor is not None:
        raise UsageError(
            "groups share the exponents of the additive surface with a floor",
            hint="--where 'COLUMN = VALUE' fits one group by itself in any form",
        )
    assert runs.group is not None
    found = fit_grouped(runs.points(), runs.group, objective=request.objective)
    groups = np.array(runs.group, dtype=object)
    members = []
    for name, law in found.laws.items():
        own = runs.select(groups == name)
        forecaster = fit_forecast(own.points(), named_groups(own))
        members.append(
            FitResult(
                runs=own,
                request=request,
                law=law,
                values=_plain(law.coefficients()),
                residuals=found.residuals[groups == name],
                converged=found.converged,
                remarks=("the exponents are shared with the other groups; the forecast is of these runs alone",),
                group=name,
                line=find_line(own.points()),
                forecaster=forecaster,
                forecast=forecaster.surface(_target_product(request, own)),
            )
        )
    excess = found.aicc_excess
    if excess is None:
        sharing = "a group has too few runs for a fit of its own, so sharing the exponents was not tested"
    else:
        verdict = "the runs support sharing" if excess < 0 else "the groups differ more than sharing allows"
        sharing = f"AICc of shared exponents less that of separate fits: {format_signed(excess)}; {verdict}"
    return FitResult(
        runs=runs,
        request=request,
        values=tuple(value for value in members[0].values if value.name in ("alpha", "beta")),
        score=found.score,
        residuals=found.residuals,
        converged=found.converged,
        remarks=(sharing,),
        members=tuple(members),
    )


def _kaplan(request: FitRequest, runs: Runs, source: str) -> FitResult:
    points = runs.points()
    found, line = fit_kaplan(points, objective=request.objective), find_line(points)
    remark = "this form has no floor, so extrapolated losses fall without end; it is fitted without intervals"
    return FitResult(
        runs=runs,
        request=request,
        law=found.law,
        values=_plain(found.law.coefficients()),
        remarks=(remark, *_along(line), *_determined(request, line, source), *_on_bound(found.bounds)),
        line=line,
        **_outcome(found),
    )


def _along(line: Line | None) -> tuple[str, ...]:
    return () if line is None else (f"all runs lie on {line}: the law is determined there and nowhere else",)


def _repetition(request: FitRequest, runs: Runs) -> FitResult:
    base = request.base
    assert base is not None
    if not isinstance(base.law, Additive):
        raise UsageError(f"preset '{base.id}' has form {base.form}; repetition is fitted over an additive law")
    if runs.unique_tokens is None:
        raise UsageError(
            "there is no column of distinct tokens", hint="--map unique_tokens=COLUMN says which one holds them"
        )
    used = runs.select(np.isfinite(runs.unique_tokens))
    assert used.unique_tokens is not None
    found = fit_repetition(
        used.points(),
        used.unique_tokens,
        base=base.law,
        objective=request.objective,
        samples=request.samples,
        seed=request.seed,
    )
    values = tuple(
        Coefficient(
            name=label,
            value=found.coefficients[name],
            interval=found.interval(name, level=request.level) if len(found.draws) else None,
        )
        for label, name in (("R_D", "tokens_decay"), ("R_N", "params_decay"))
    )
    remarks = [f"over {base.id}: D' = U + U*R_D*(1 - e^(-(D/U - 1)/R_D)), and the same for surplus parameters"]
    remarks += [
        f"as good within 1 %: R_D {format_number(tokens)}, R_N {format_number(params)}"
        for tokens, params, _ in found.rivals[:3]
    ]
    if len(used) < len(runs):
        remarks.append(f"{len(runs) - len(used)} runs without a number of distinct tokens are left out")
    law = DataConstrained(**base.law.coefficients(), **{value.name: value.value for value in values})
    return FitResult(
        runs=used,
        request=request,
        law=law,
        values=values,
        remarks=(*remarks, *_on_bound(found.bounds)),
        **_outcome(found),
    )


def _allocation(request: FitRequest, runs: Runs) -> FitResult:
    found = fit_allocation(
        runs.flops, params=runs.params, tokens=runs.tokens, samples=request.samples, seed=request.seed
    )
    values: list[Coefficient] = []
    draws: dict[str, Array] = {}
    for quantity, side in (("params", found.params), ("tokens", found.tokens)):
        if side is not None:
            names = {"a": f"{quantity}_scale", "n": f"{quantity}_exponent"}
            values += [replace(value, name=names[value.name]) for value in _coefficients(side, request.level)]
            draws |= {names[name]: column for name, column in side.columns.items()}
    return FitResult(
        runs=runs,
        request=request,
        law=found.law,
        values=tuple(values),
        remarks=("least squares on logarithms through measured optima; it has no loss",),
        uncertainty=curve_uncertainty(found.law, draws, freedom=max(len(runs) - 2, 1)),
    )


def _curve(request: FitRequest, runs: Runs) -> FitResult:
    """Fit a curve of one column, or a product of powers of several."""
    several = request.form == "multiplicative"
    if len(request.x) != 1 and not several:
        raise UsageError(
            f"form '{request.form}' is a curve of one column", hint="--form multiplicative takes several"
        )
    inputs = {_quantity(name): _column(runs, name) for name in request.x}
    observed, quantity = _column(runs, request.y), _quantity(request.y)
    if not several and FITTED[request.form].falls:
        _require_falling(request, next(iter(inputs.values())), observed)
    settings: dict[str, Any] = {name: getattr(request, name) for name in ("objective", "samples", "seed")}
    if several:
        found = fit_product(inputs, observed, quantity=quantity, weight=runs.weight, **settings)
    else:
        ((name, x),) = inputs.items()
        quantities = (name, quantity)
        settings |= {"quantities": quantities, "weight": runs.weight, "floor": request.floor}
        found = fit_curve(request.form, x, observed, **settings)
    known = curve_uncertainty(found.law, found.columns, freedom=found.freedom)
    tested = None
    if not several and quantity == "loss" and known is not None:
        tested = _curve_backtest(request, found, next(iter(inputs.values())), observed)
        known = replace(known, backtest=BacktestRms(factors=tested.factors, rms=tested.rms))
    result = FitResult(
        runs=runs,
        request=request,
        law=found.law,
        values=_coefficients(found, request.level),
        remarks=(*_on_bound(found.bounds), *(() if several else _past_one(found.law, x, observed))),
        uncertainty=known,
        **_outcome(found),
    )
    flops = result.target_flops
    if request.x != ("flops",) or flops is None:
        return result
    factor = flops / float(np.max(runs.flops))
    interval = None
    if len(found.draws):
        resampled = found.law.with_coefficients(found.columns)
        values = np.asarray(resampled.value(flops=np.full(len(found.draws), flops)))
        interval = central_interval(values, request.level, stretch=found.stretch(request.level))
        if tested is not None:
            interval = add_error(interval, tested.expected(factor), request.level)
    predicted = Coefficient(
        name=f"at {format_flops(flops)}", value=float(found.law.value(flops=flops)), interval=interval
    )
    remark = f"predicted at {format_factor(factor)} the largest row"
    return replace(result, values=(*result.values, predicted), remarks=(*result.remarks, remark))


def _past_one(law: Curve, x: Array, observed: Array) -> tuple[str, ...]:
    """Return the remark that a power of what may be a share soon exceeds 1, which no share does."""
    if not isinstance(law, Power) or float(np.max(observed)) > 1.0 or not rises(x, observed):
        return ()
    if float(law.value(**{law.x: _SOON * float(np.max(x))})) <= 1.0:
        return ()
    return (
        f"{law.y} passes 1 within {format_factor(_SOON)} the largest row: if it is a share, --form sigmoid ends at 1",
    )


def _curve_backtest(request: FitRequest, found: CurveFit, x: Array, observed: Array) -> CurveBacktest:
    """Fit the curve to the smaller rows, to see how it predicts the larger ones."""
    (name,) = found.law.inputs

    def refit(below: Mask) -> Curve:
        names = (name, "loss")
        return fit_curve(request.form, x[below], observed[below], objective=request.objective, quantities=names).law

    return backtest_curve(refit, found.law, x, observed, coefficients=len(found.coefficients))


def _coefficients(found: CurveFit, level: float) -> tuple[Coefficient, ...]:
    known = found.law.coefficients()
    if not len(found.draws):
        return _plain(known)
    return tuple(
        Coefficient(
            name=name, value=known[name], error=half_width(column), interval=found.interval(name, level=level)
        )
        if np.ptp(column) > 0  # held by the user, or on a bound in each resample: no width is no knowledge
        else Coefficient(name=name, value=known[name])
        for name, column in found.columns.items()
    )


def _plain(coefficients: Mapping[str, float]) -> tuple[Coefficient, ...]:
    """Return coefficients without errors."""
    return tuple(Coefficient(name=name, value=value) for name, value in coefficients.items())


def _outcome(found: FormulaFit[Any]) -> dict[str, Any]:
    """Return how a descent ended."""
    return {name: getattr(found, name) for name in ("score", "residuals", "converged", "bounds")}


def _on_bound(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the remark about coefficients that ended on a bound, if any did."""
    return (f"on a bound of the search, and so not determined: {', '.join(names)}",) if names else ()


def _column(runs: Runs, name: str) -> Array:
    if name in runs.extra:
        return np.asarray(runs.extra[name])
    if name in ("params", "tokens", "flops", "loss"):
        return np.asarray(getattr(runs, name))
    raise UsageError(f"there is no column {quote(name)}")


def _quantity(column: str) -> str:
    """Return a column's name as a preset writes a quantity: lower case, digits and underscores."""
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in column.lower()).strip("_")
    return (name if name[:1].isalpha() else f"x_{name}")[:40]
