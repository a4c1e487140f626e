"""What a preset file says of its coefficients: a covariance where one describes the resamples, or some of them.

A covariance serves every question, takes the backtest on top, and is short. It does not describe resamples that
pile up on a bound (a floor at zero, an exponent at its limit) or run off to infinity (a law that is not identified):
there the resamples themselves are written, thinned to what gives a 90 % interval to about a tenth of its width.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.presets.preset import LN, Backtest, Uncertainty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy import bool_, float64
    from numpy.typing import NDArray

    from scaleplan.fitting.bootstrap import Bootstrap
    from scaleplan.fitting.result import Fit
    from scaleplan.laws.base import Law

    Array = NDArray[float64]

__all__ = ["curve_uncertainty", "surface_uncertainty"]

_DRAWS = 400
_OFTEN = 0.05  # the share of resamples on a bound from which a covariance misleads
_PROBES = (1e12, 1e30)  # FLOP: a preset must answer between these


def surface_uncertainty(fit: Fit) -> Uncertainty | None:
    """Return the uncertainty of an additive fit with its backtest, or None without resamples."""
    resamples = fit.resamples
    if resamples is None:
        return None
    tested = fit.tested
    backtest = None if tested is None else Backtest(factors=tested.factors, rms=tested.rms)
    method = _method(fit, resamples)
    piled_up = resamples.exponents_at_bound > _OFTEN or "E" in resamples.parameters
    if fit.identified and not piled_up:
        covariance = resamples.covariance()
        return Uncertainty(
            parameters=resamples.parameters,
            covariance=_rows(0.5 * (covariance + covariance.T)),
            method=method,
            samples=resamples.samples,
            backtest=backtest,
        )
    usable = _usable(resamples)
    if not usable.any():
        return None
    kept = resamples.draws[usable][:_DRAWS]
    lost = int(np.count_nonzero(~usable))
    note = f"; the first {len(kept)} of them{_lost(lost)}"
    return Uncertainty(
        parameters=("ln A", "ln B", "E", "alpha", "beta"),
        draws=_rows(kept),
        method=method + note,
        samples=resamples.samples,
        backtest=backtest,
    )


def curve_uncertainty(law: Law, columns: dict[str, Array]) -> Uncertainty | None:
    """Return the draws of coefficients that were resampled together, or None without resamples.

    ``columns`` holds the draws of each coefficient of ``law`` by its name in the law. A draw outside the domain of
    the law, such as an exponent of the wrong sign, is left out, and ``method`` says how many were.
    """
    if not columns or not all(len(column) for column in columns.values()):
        return None
    domains = {item.name: item.metadata for item in fields(law)}
    usable = np.ones(len(next(iter(columns.values()))), dtype=bool)
    told, parameters = [], []
    for name, column in columns.items():
        domain: Mapping[str, float | None] = domains.get(name, {})
        above, least = domain.get("above"), domain.get("at_least")
        usable &= np.isfinite(column)
        usable &= (column > above) if above is not None else True
        usable &= (column >= least) if least is not None else True
        logarithmic = above == 0 and bool(np.all(column > 0))
        told.append(np.log(column) if logarithmic else column)
        parameters.append(f"{LN}{name}" if logarithmic else name)
    kept = np.stack(told, axis=1)[usable][:_DRAWS]
    if not len(kept):
        return None
    lost = int(np.count_nonzero(~usable))
    return Uncertainty(
        parameters=tuple(parameters),
        draws=_rows(kept),
        method=f"case bootstrap of the rows; the first {len(kept)} resamples{_lost(lost)}",
        samples=len(usable),
    )


def _lost(count: int) -> str:
    return f" that give finite answers ({count} do not)" if count else ""


def _method(fit: Fit, resamples: Bootstrap) -> str:
    drawn = "training runs (all points of one together)" if resamples.unit == "cluster" else "runs"
    layers = f" within {resamples.strata} budgets" if resamples.strata > 1 else ""
    objective = fit.solution.objective
    delta = f" {objective.delta:g}" if objective.robust == "huber" else ""
    return (
        f"bootstrap of {drawn}{layers}, {objective.robust}{delta} on {objective.residual} loss, seed {resamples.seed}"
    )


def _usable(resamples: Bootstrap) -> NDArray[bool_]:
    """Return which resamples a preset may hold: finite, positive answers over all budgets."""
    with np.errstate(all="ignore"):
        laws = resamples.laws()
        good = np.isfinite(resamples.draws).all(axis=1) & (laws.A > 0) & (laws.B > 0) & (laws.E >= 0)
        for flops in _PROBES:
            side = np.full(resamples.samples, (flops / 6) ** 0.5)
            for answer in (laws.loss(side, side), *laws.best_split(np.full(resamples.samples, flops / 6))):
                good &= np.isfinite(answer) & (np.asarray(answer) > 0)
    return np.asarray(good, dtype=bool)


def _rows(matrix: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in matrix)
