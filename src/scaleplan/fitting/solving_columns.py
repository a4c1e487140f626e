"""Fits of columns rather than of a surface: curves, products of powers, measured optima, repetition."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError, quote
from scaleplan.fitting.fitted import Fitted, Value, on_bound, plain_values
from scaleplan.fitting.points import Points
from scaleplan.fitting.robust import central_interval, half_width
from scaleplan.fitting.spread import curve_uncertainty

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.curves import CurveFit
    from scaleplan.fitting.runs import Runs

    Array = NDArray[float64]

__all__ = ["points_of", "solve_columns"]

_SIZES = ("params", "tokens", "flops", "loss")
_ALLOCATION = {"a": "scale", "n": "exponent"}


def solve_columns(start: Fitted) -> Fitted:
    """Fit the form that was asked for: any but the surfaces."""
    known = {"allocation": _allocation, "data_constrained": _repetition, "multiplicative": _product}
    return known.get(start.request.form, _curve)(start)


def points_of(runs: Runs) -> Points:
    """Return the runs as the points of a surface."""
    return Points.of(runs.params, runs.tokens, runs.loss, flops=runs.flops, weight=runs.weight, rows=runs.rows)


def _allocation(start: Fitted) -> Fitted:
    from scaleplan.fitting.allocation import fit_allocation

    runs, request = start.runs, start.request
    found = fit_allocation(
        runs.flops,
        params=runs.params,
        tokens=runs.tokens,
        samples=request.samples,
        seed=request.seed,
    )
    sides = tuple(
        (f"{name}_", side) for name, side in (("params", found.params), ("tokens", found.tokens)) if side is not None
    )
    values = tuple(
        replace(value, name=prefix + _ALLOCATION[value.name])
        for prefix, side in sides
        for value in _values(side, request.level)
    )
    columns = {
        prefix + _ALLOCATION[name]: column
        for prefix, side in sides
        for name, column in zip(side.names, side.draws.T, strict=True)
    }
    return replace(
        start,
        law=found.law,
        values=values,
        remarks=("least squares on logarithms through measured optima; it has no loss",),
        uncertainty=curve_uncertainty(found.law, columns),
    )


def _repetition(start: Fitted) -> Fitted:
    from scaleplan.fitting.repeated import fit_repetition
    from scaleplan.laws.additive import Additive

    runs, request = start.runs, start.request
    base = request.base
    assert base is not None
    if not isinstance(base.law, Additive):
        raise UsageError(f"preset '{base.id}' has form {base.form}; repetition is fitted over an additive law")
    if runs.unique_tokens is None:
        raise UsageError(
            "there is no column of distinct tokens", hint="--map unique_tokens=COLUMN says which one holds them"
        )
    known = np.isfinite(runs.unique_tokens)
    used = runs.select(known)
    assert used.unique_tokens is not None
    found = fit_repetition(
        points_of(used),
        used.unique_tokens,
        base=base.law,
        objective=request.objective,
        samples=request.samples,
        seed=request.seed,
    )
    values = tuple(
        Value(
            name=label,
            value=getattr(found, name),
            interval=found.interval(name, level=request.level) if len(found.draws) else None,
        )
        for label, name in (("R_D", "tokens_decay"), ("R_N", "params_decay"))
    )
    remarks = [f"over {base.id}: D' = U + U*R_D*(1 - e^(-(D/U - 1)/R_D)), and the same for surplus parameters"]
    remarks += [f"as good within 1 %: R_D {tokens:.3g}, R_N {params:.3g}" for tokens, params, _ in found.rivals[:3]]
    if len(used) < len(runs):
        remarks.append(f"{len(runs) - len(used)} runs without a number of distinct tokens are left out")
    return replace(
        start,
        runs=used,
        values=values,
        score=found.score,
        residuals=found.residuals,
        converged=found.converged,
        bounds=found.bounds,
        remarks=(*remarks, *on_bound(found.bounds)),
    )


def _curve(start: Fitted) -> Fitted:
    from scaleplan.fitting.curves import fit_curve

    runs, request = start.runs, start.request
    if len(request.x) != 1:
        raise UsageError(
            f"form '{request.form}' is a curve of one column", hint="--form multiplicative takes several"
        )
    found = fit_curve(
        request.form,
        _column(runs, request.x[0]),
        _column(runs, request.y),
        objective=request.objective,
        weight=runs.weight,
        quantities=(_quantity(request.x[0]), _quantity(request.y)),
        samples=request.samples,
        seed=request.seed,
    )
    return _from_curve(start, found)


def _product(start: Fitted) -> Fitted:
    from scaleplan.fitting.curves import fit_product

    runs, request = start.runs, start.request
    found = fit_product(
        {_quantity(name): _column(runs, name) for name in request.x},
        _column(runs, request.y),
        objective=request.objective,
        quantity=_quantity(request.y),
        weight=runs.weight,
        samples=request.samples,
        seed=request.seed,
    )
    return _from_curve(start, found)


def _from_curve(start: Fitted, found: CurveFit) -> Fitted:
    return replace(
        start,
        law=found.law,
        values=(*_values(found, start.request.level), *_at_target(start, found)),
        score=found.score,
        residuals=found.residuals,
        converged=found.converged,
        bounds=found.bounds,
        remarks=on_bound(found.bounds),
        uncertainty=curve_uncertainty(found.law, dict(zip(found.names, found.draws.T, strict=True))),
    )


def _at_target(start: Fitted, found: CurveFit) -> tuple[Value, ...]:
    """Return what a curve over compute says at the target, with its interval over the resamples."""
    flops = start.target_flops
    if start.request.x != ("flops",) or flops is None:
        return ()
    name = f"at {flops:.3g} FLOP"
    value = float(found.law.value(flops=flops))
    if not len(found.draws):
        return (Value(name=name, value=value),)
    drawn = found.law.with_coefficients(dict(zip(found.names, found.draws.T, strict=True)))
    values = np.asarray(drawn.value(flops=np.full(len(found.draws), flops)))
    return (Value(name=name, value=value, interval=central_interval(values, start.request.level)),)


def _values(found: CurveFit, level: float) -> tuple[Value, ...]:
    known = found.law.coefficients()
    if not len(found.draws):
        return plain_values(known)
    return tuple(
        Value(
            name=name,
            value=known[name],
            error=half_width(found.draws[:, found.names.index(name)]),
            interval=found.interval(name, level=level),
        )
        for name in found.names
    )


def _column(runs: Runs, name: str) -> Array:
    if name in runs.extra:
        return np.asarray(runs.extra[name])
    if name in _SIZES:
        return np.asarray(getattr(runs, name))
    raise UsageError(f"there is no column {quote(name)}")


def _quantity(column: str) -> str:
    """Return a column's name as a preset writes a quantity: lower case, digits and underscores."""
    words = "".join(c if c.isascii() and c.isalnum() else "_" for c in column.lower()).strip("_")
    return (words if words[:1].isalpha() else f"x_{words}")[:40]
