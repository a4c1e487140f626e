"""The usual lists of pilot runs of a budget, within the bounds and at the prices of the design they stand beside."""

from __future__ import annotations

import math
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scaleplan.arrays import Array, Mask
    from scaleplan.fitting.surface_fit import SurfaceLaw

__all__ = ["RunBounds", "rival_lists"]

_ISOFLOP_SPAN, _ISOFLOP_BUDGETS, _ISOFLOP_SIZES = 170.0, 6, 7  # Hoffmann et al. 2022: nine budgets over 500, 7 to 10
_WIDTHS = {"±2x": 2.0, "±4x": 4.0, "full width": math.inf}
_LADDER_SPAN = 40.0  # between the sizes of a ladder, as of Gadre et al. 2024
_RAYS = {
    "ladder, D/N = 10, 20 and 40": ((10.0, 20.0, 40.0), 12),
    "one ray, D/N = 20": ((20.0,), 14),
    "two rays, D/N = 5 and 80": ((5.0, 80.0), 14),
}
_MOST_RUNS = 60  # of a ladder with its repeats
_SPENT = 0.9  # of the budget is as good as all of it
_SCALES = np.geomspace(1.0, 1e-4, 120)  # 8 % apart: what a rival leaves of its budget
_ROUNDING = 1e-9


class RunBounds(Record):
    """Least and largest parameters, tokens, tokens per parameter and FLOP of a run."""

    params: tuple[float, float]
    tokens: tuple[float, float]
    tokens_per_param: tuple[float, float]
    flops: tuple[float, float]

    def hold(self, params: Array, tokens: Array, per_product: float) -> Mask:
        """Return which runs are within."""
        values = (params, tokens, tokens / params, per_product * params * tokens)
        held = np.ones(len(params), dtype=bool)
        for value, (low, high) in zip(
            values, (self.params, self.tokens, self.tokens_per_param, self.flops), strict=True
        ):
            held &= (value >= low * (1 - _ROUNDING)) & (value <= high * (1 + _ROUNDING))
        return held


def rival_lists(
    law: SurfaceLaw, bounds: RunBounds, *, flops: float, per_product: float, each: float
) -> Iterator[tuple[str, Array, Array]]:
    """Yield the name, parameters and tokens of the usual lists: IsoFLOP sweeps, ladders, rays.

    Each spends as much of the budget as it can, at ``each`` FLOP a run beside its compute. Runs out of bounds are
    left out, and rays repeated as far as that helps to spend it.
    """
    shapes: dict[str, list[Callable[[float], tuple[Array, Array]]]] = {
        f"{_ISOFLOP_BUDGETS} IsoFLOP budgets, {name}": [partial(_isoflop, law, bounds, width)]
        for name, width in _WIDTHS.items()
    }
    for name, (ratios, sizes) in _RAYS.items():
        repeats = range(1, 1 + _MOST_RUNS // (sizes * len(ratios)))
        shapes[name] = [partial(_rays, ratios, sizes=sizes, repeats=count) for count in repeats]
    for name, ways in shapes.items():
        most, found = 0.0, None
        for shape, scale in product(ways, _SCALES.tolist()):
            params, tokens = shape(flops / per_product * scale)
            held = bounds.hold(params, tokens, per_product)
            cost = per_product * float(np.sum((params * tokens)[held])) + each * int(np.sum(held))
            if most < cost <= flops:
                most, found = cost, (params[held], tokens[held])
            if most > _SPENT * flops:
                break
        if found is not None:
            yield name, *found


def _isoflop(law: SurfaceLaw, bounds: RunBounds, width: float, total: float) -> tuple[Array, Array]:
    """Return six budgets over a factor of 170, with seven sizes each within ``width`` of its optimum and the bounds.

    ``total`` is the params * tokens of all.
    """
    shares = np.geomspace(1.0 / _ISOFLOP_SPAN, 1.0, _ISOFLOP_BUDGETS)
    budgets = total * shares / (_ISOFLOP_SIZES * float(np.sum(shares)))
    sizes = []
    for budget in budgets.tolist():
        best = float(law.best_split(budget)[0])
        few, many = bounds.tokens_per_param
        low = max(best / width, bounds.params[0], budget / bounds.tokens[1], math.sqrt(budget / many))
        high = min(best * width, bounds.params[1], budget / bounds.tokens[0], math.sqrt(budget / few))
        sizes.append(np.geomspace(low, max(low, high), _ISOFLOP_SIZES))
    params = np.concatenate(sizes)
    return params, np.repeat(budgets, _ISOFLOP_SIZES) / params


def _rays(ratios: Sequence[float], largest: float, *, sizes: int, repeats: int) -> tuple[Array, Array]:
    """Return sizes over a factor of 40 at each ratio, repeated; ``largest`` is N*D of the largest run."""
    steps = np.tile(np.repeat(np.geomspace(1.0 / _LADDER_SPAN, 1.0, sizes), repeats), len(ratios))
    ratio = np.repeat(ratios, sizes * repeats)
    params = steps * math.sqrt(largest / max(ratios))
    return params, params * ratio
