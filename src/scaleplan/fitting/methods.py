"""The three ways to an allocation side by side, and why they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError
from scaleplan.fitting.additive import fit_additive
from scaleplan.fitting.envelope import fit_envelope
from scaleplan.fitting.isoflop import Allocation, fit_isoflop

if TYPE_CHECKING:
    from scaleplan.fitting.objective import Objective
    from scaleplan.fitting.points import Points

__all__ = ["Approach", "compare_methods"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """What one method says: N* = scale * C^exponent, or why it says nothing.

    ``error`` is the standard error of the exponent where the method gives one; ``params`` is N* at the compute
    asked for; ``remark`` says what sets the method apart on these runs.
    """

    name: str
    exponent: float | None
    error: float | None
    params: float | None
    remark: str


def compare_methods(points: Points, *, flops: float, objective: Objective | None = None) -> tuple[Approach, ...]:
    """Fit the surface, the parabolas (corrected and plain) and the envelope to the same runs.

    ``flops`` is the budget at which their sizes are compared.
    """
    surface = fit_additive(points, objective=objective)
    law = surface.law
    params = law.best_split(flops / 6)[0]
    approaches = [
        Approach(
            name="surface",
            exponent=law.params_exponent,
            error=None,
            params=params,
            remark=f"uses all {len(points)} runs and five coefficients; the reference for the others",
        )
    ]
    try:
        corrected = fit_isoflop(points, law=law, samples=0)
        plain = fit_isoflop(points, window=None, weighted=False, samples=0)
    except UsageError as error:
        approaches.append(
            Approach(
                name="parabolas", exponent=None, error=None, params=None, remark=f"not possible: {error.message}"
            )
        )
    else:
        approaches += [_parabolas(corrected, flops, params), _plain(plain, flops, params, corrected)]
    try:
        envelope = fit_envelope(points)
    except UsageError as error:
        remark = f"not possible: {error.message}"
        approaches.append(Approach(name="envelope", exponent=None, error=None, params=None, remark=remark))
    else:
        share = f"{len(envelope.rows)} of {len(points)} runs"
        remark = f"uses the luckiest {share}, so that noise chooses the sizes; {_apart(envelope.at(flops), params)}"
        approaches.append(
            Approach(
                name="envelope", exponent=envelope.exponent, error=None, params=envelope.at(flops), remark=remark
            )
        )
    return tuple(approaches)


def _parabolas(fit: Allocation, flops: float, params: float) -> Approach:
    refused = sum(budget.refused is not None for budget in fit.budgets)
    used = len(fit.budgets) - refused
    left = f", {refused} refused" if refused else ""
    remark = (
        f"spends three coefficients on each of {used} budgets{left}; runs far from the best, the bias of a parabola "
        f"and unequal errors are accounted for; {_apart(fit.at(flops), params)}"
    )
    return Approach(name="parabolas", exponent=fit.exponent, error=fit.error, params=fit.at(flops), remark=remark)


def _plain(fit: Allocation, flops: float, params: float, corrected: Allocation) -> Approach:
    factor = fit.at(flops) / corrected.at(flops)
    remark = (
        f"all runs of each budget alike: far runs and the bias of a parabola multiply N* by {factor:.3g}; "
        f"{_apart(fit.at(flops), params)}"
    )
    return Approach(
        name="plain parabolas", exponent=fit.exponent, error=fit.error, params=fit.at(flops), remark=remark
    )


def _apart(params: float, reference: float) -> str:
    return f"{params / reference:.3g} times the size that the surface gives"
