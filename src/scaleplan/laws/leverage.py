"""Compute that a mixture of experts saves against a dense model of equal loss (Ling Team 2025, arXiv:2507.17702).

EL = C_dense/C_moe = X^(alpha(C) + gamma*(log2 G)^2 + beta*log2 G), alpha(C) = a + d*log10 C, with X the saturating
transform of the activation ratio A. The paper does not state the bases of its logarithms: base 2 for G and 10 for C
give its "exceeds 7" at (0.031, 12, 1e22) and its best granularities of 8 to 12; natural ones give neither.
"""

from __future__ import annotations

import math

from scaleplan.errors import UsageError
from scaleplan.laws.expert_count import saturated

__all__ = ["BEST_GRANULARITY", "FITTED_FLOPS", "efficiency_leverage"]

_A, _D = 1.23, -0.0761  # the text calls d positive; its table prints it negative, and only that gives EL above 1
_GAMMA, _BETA = 0.0167, -0.117
_START, _MOST = 0.0163, 5.28e16

FITTED_FLOPS = (3e17, 3e20)
"""The compute, in FLOP, of the runs behind the fit."""

BEST_GRANULARITY = 2 ** (-_BETA / (2 * _GAMMA))
"""The granularity of the greatest leverage, 11.3, at every activation ratio and compute."""


def efficiency_leverage(*, activation: float, granularity: float, flops: float) -> float:
    """Return how many times the compute a dense model needs for the loss of this mixture.

    Parameters
    ----------
    activation
        (activated + shared)/(routable + shared) experts, between 0 and 1.
    granularity
        2*width/(width of an expert), at least 1.
    flops
        Training compute of the mixture in FLOP.

    Returns
    -------
    float
        At least 1: the formula gives 0.99 for a dense model, which is 1 by definition.

    Raises
    ------
    UsageError
        For a ratio or a granularity that cannot be.

    """
    if not 0 < activation <= 1:
        raise UsageError(
            f"an activation ratio lies between 0 and 1, not at {activation:g}",
            hint="it is the active experts over all experts, such as 0.031 for 8 of 256",
        )
    if not (granularity >= 1 and math.isfinite(granularity)):
        raise UsageError(f"a granularity is at least 1, not {granularity:g}", hint="2*width/(width of an expert)")
    log = math.log2(granularity)
    count = saturated(activation, start=_START, most=_MOST)
    return max(1.0, count ** (_A + _D * math.log10(flops) + _GAMMA * log**2 + _BETA * log))
