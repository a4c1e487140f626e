"""Fit an allocation alone: lines through measured optima in logarithms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.curves import CurveFit, fit_curve
from scaleplan.fitting.objective import Objective
from scaleplan.laws.allocation import PowerAllocation
from scaleplan.laws.power import Power

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import float64
    from numpy.typing import NDArray

    Floats = NDArray[float64] | Sequence[float]

__all__ = ["AllocationFit", "fit_allocation"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AllocationFit:
    """N and/or D as powers of the compute; each side with its own fit, None where it was not given."""

    law: PowerAllocation
    params: CurveFit | None
    tokens: CurveFit | None


def fit_allocation(
    flops: Floats,
    *,
    params: Floats | None = None,
    tokens: Floats | None = None,
    log_error: Floats | None = None,
    objective: Objective | None = None,
    samples: int = 0,
    seed: int = 0,
) -> AllocationFit:
    """Fit powers of the compute to compute-optimal sizes and/or token counts.

    Parameters
    ----------
    flops, params, tokens
        Budgets and their measured optima; one of the last two at least.
    log_error
        Standard errors of the logarithms of the optima; each then counts 1/error².
    objective
        Least squares on logarithms unless given: optima are few, and each was measured with care.
    samples, seed
        Resamples of the optima, and the seed.

    Raises
    ------
    UsageError
        When neither side is given, or a column is not of positive numbers of equal length.

    """
    if params is None and tokens is None:
        raise UsageError("an allocation needs the optimal params or the optimal tokens of each budget")
    objective = objective or Objective(robust="none")
    weight = None if log_error is None else 1.0 / np.asarray(log_error, dtype=np.float64) ** 2
    size, data = (
        None
        if column is None
        else fit_curve(
            "power",
            flops,
            column,
            objective=objective,
            weight=weight,
            quantities=("flops", name),
            samples=samples,
            seed=seed,
        )
        for name, column in (("params", params), ("tokens", tokens))
    )
    law = PowerAllocation(
        params_scale=_power(size).a if size else None,
        params_exponent=_power(size).n if size else None,
        tokens_scale=_power(data).a if data else None,
        tokens_exponent=_power(data).n if data else None,
    )
    return AllocationFit(law=law, params=size, tokens=data)


def _power(fit: CurveFit) -> Power:
    assert isinstance(fit.law, Power)
    return fit.law
