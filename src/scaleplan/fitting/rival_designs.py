"""The usual lists of pilot runs of a budget, within the bounds and at the prices of a design that they stand beside."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scaleplan.arrays import Array, Mask
    from scaleplan.fitting.surface_fit import SurfaceLaw

__all__ = ["Bounds", "rival_lists"]

_ISOFLOP_SPAN, _ISOFLOP_BUDGETS, _ISOFLOP_SIZES = 170.0, 6, 7  # Hoffmann et al. 2022: nine budgets over 500, 7 to 10
_WIDTHS = {"±2x": 2.0, "±4x": 4.0, "as wide as the bounds": math.inf}
_LADDER_SPAN = 40.0  # between the sizes of a ladder, as of Gadre et al. 2024
_SCALES = np.geomspace(1.0, 1e-4, 120)  # 8 % apart: what a rival leaves of its budget
_ROUNDING = 1e-9


class Bounds(Record):
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
    law: SurfaceLaw, bounds: Bounds, *, flops: float, per_product: float, each: float
) -> Iterator[tuple[str, Array, Array]]:
    """Yield the name, parameters and tokens of the usual lists: IsoFLOP sweeps, ladders, rays.

    Each is as large as the budget allows, at ``each`` FLOP a run besides its compute. Runs out of bounds are left out.
    """
    shapes: dict[str, Callable[[float], tuple[Array, Array]]] = {
        f"{_ISOFLOP_BUDGETS} IsoFLOP budgets, {name}": partial(_isoflop, law, bounds, width)
        for name, width in _WIDTHS.items()
    }
    shapes["ladder, D/N = 10, 20 and 40"] = partial(_rays, (10.0, 20.0, 40.0), sizes=12, repeats=1)
    shapes["one ray, D/N = 20"] = partial(_rays, (20.0,), sizes=14, repeats=3)
    shapes["two rays, D/N = 5 and 80"] = partial(_rays, (5.0, 80.0), sizes=14, repeats=1)
    for name, shape in shapes.items():
        most, found = 0.0, None
        for scale in _SCALES.tolist():
            params, tokens = shape(flops / per_product * scale)
            held = bounds.hold(params, tokens, per_product)
            cost = per_product * float(np.sum((params * tokens)[held])) + each * int(np.sum(held))
            if most < cost <= flops:
                most, found = cost, (params[held], tokens[held])
        if found is not None:
            yield name, *found


def _isoflop(law: SurfaceLaw, bounds: Bounds, width: float, product: float) -> tuple[Array, Array]:
    """Return seven sizes within ``width`` of the optimum, and the bounds, of each of six budgets over a factor of 170.

    ``product`` is the params * tokens of all.
    """
    shares = np.geomspace(1.0 / _ISOFLOP_SPAN, 1.0, _ISOFLOP_BUDGETS)
    budgets = product * shares / (_ISOFLOP_SIZES * float(np.sum(shares)))
    sizes = []
    for budget in budgets.tolist():
        best = float(law.best_split(budget)[0])
        few, many = bounds.tokens_per_param
        low = max(best / width, bounds.params[0], budget / bounds.tokens[1], math.sqrt(budget / many))
        high = min(best * width, bounds.params[1], budget / bounds.tokens[0], math.sqrt(budget / few))
        sizes.append(np.geomspace(low, max(low, high), _ISOFLOP_SIZES))
    params = np.concatenate(sizes)
    return params, np.repeat(budgets, _ISOFLOP_SIZES) / params


def _rays(ratios: Sequence[float], product: float, *, sizes: int, repeats: int) -> tuple[Array, Array]:
    """Return sizes over a factor of 40 at each ratio, repeated; the largest run takes ``product`` at the last ratio."""
    steps = np.tile(np.repeat(np.geomspace(1.0 / _LADDER_SPAN, 1.0, sizes), repeats), len(ratios))
    ratio = np.repeat(ratios, sizes * repeats)
    params = steps * math.sqrt(product / max(ratios))
    return params, params * ratio
