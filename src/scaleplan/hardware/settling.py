"""Which utilisation agrees with the model it pays for: the size decides the utilisation, and that the size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scaleplan.hardware.utilisation import Utilisation

__all__ = ["Settled", "settle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A utilisation and the model size it leads to.

    ``consistent`` is False where no size agrees with its own utilisation and a lower one was taken.
    """

    utilisation: Utilisation
    params: float
    consistent: bool


def settle(
    utilisation_at: Callable[[float], Utilisation], params_at: Callable[[float], float], edges: Iterable[float]
) -> Settled:
    """Find a utilisation that agrees with the model size that it pays for.

    The utilisation is constant between ``edges``, so there are only so many candidates, and all of them are
    tried: the answer neither depends on a starting point nor on luck.

    * A size whose utilisation leads back to it is a solution. Where there are several (the utilisation rises
      with the size) the lowest utilisation is taken, which promises least.
    * Where there is none (the utilisation falls with the size: the larger value buys a model so large that
      only the smaller applies, and the smaller value one so small that the larger would), the lower of the
      two is taken: of the candidates whose own plan would reach at least what was assumed, the highest.

    Parameters
    ----------
    utilisation_at
        The utilisation for a model size.
    params_at
        The best model size for a utilisation (``Utilisation.value``).
    edges
        The sizes at which the utilisation may jump, at least one.

    """
    rising = sorted(edges)
    sizes = [rising[0] / 2, *rising]  # each stands for the range from it upwards
    candidates = {round(each.value, 15): each for each in map(utilisation_at, sizes)}
    fallback: Settled | None = None
    for _, assumed in sorted(candidates.items()):
        params = params_at(assumed.value)
        reached = utilisation_at(params)
        if math.isclose(reached.value, assumed.value, rel_tol=1e-12):
            return Settled(utilisation=reached, params=params, consistent=True)
        if fallback is None or reached.value > assumed.value:
            fallback = Settled(utilisation=assumed, params=params, consistent=False)
    assert fallback is not None
    return fallback
