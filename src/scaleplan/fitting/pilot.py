"""Which pilot runs to buy next: greedy, for what the target budget needs to know, per cost^0.4.

Each step takes the run that lowers the variance of ln N* and of ln L at the target most for its cost to the power
0.4 (Li et al. 2026, arXiv:2604.22753: V-optimal choice with that power came within a few points of their full
method), until the budget is spent. The best runs by the law alone are extreme in tokens per parameter, where a law
is trusted least, so the pool is bounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UnreachableError
from scaleplan.fitting.precision import Knowledge, Precision, Target, jacobian

if TYPE_CHECKING:
    from numpy import float64, intp
    from numpy.typing import NDArray

    from scaleplan.laws.additive import Additive

    Array = NDArray[float64]

__all__ = ["PilotRun", "Pool", "Rival", "Schedule", "choose_runs", "rivals"]

_COST_POWER = 0.4
_LOSS_WEIGHT = 100.0  # errors of ln L are about a tenth of those of ln N*: both count alike
_STEP = math.sqrt(2.0)  # between neighbouring sizes and ratios: finer runs tell nothing new
_MOST_RUNS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotRun:
    """A run to train, ``seeds`` times; ``flops`` is the compute of one, without reuse of a trunk."""

    params: float
    tokens: float
    flops: float
    seeds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another design of the same total compute, for comparison."""

    name: str
    runs: int
    flops: float
    tokens_per_param: tuple[float, float]
    precision: Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What several token counts of one size cost together.

    With ``cooldown`` None every run is trained from scratch. With a constant rate and a cooldown of the last share
    c of each branch (WSD), one trunk serves all: (1 - c)*D_max + c*sum(D_i) tokens instead of sum(D_i).
    """

    cooldown: float | None = None

    def added_tokens(self, tokens: Array, longest: Array, branches: Array) -> Array:
        """Return the tokens that a branch of ``tokens`` adds to trunks of the ``longest`` branch so far."""
        if self.cooldown is None:
            return tokens
        trunk = (1 - self.cooldown) * np.maximum(tokens - np.where(branches > 0, longest, 0.0), 0.0)
        added: Array = trunk + self.cooldown * tokens
        return added


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """The runs that may be bought: a grid of sizes and tokens per parameter; ``size`` numbers the sizes."""

    params: Array
    tokens: Array
    size: NDArray[intp]

    @classmethod
    def of(
        cls, *, params: tuple[float, float], tokens: tuple[float, float], ratio: tuple[float, float], product: float
    ) -> Pool:
        """Return the grid inside the bounds, each run of at most ``params * tokens = product``.

        Raises
        ------
        UnreachableError
            When no run is inside the bounds.

        """
        sizes = _grid(params[0], min(params[1], math.sqrt(product / ratio[0])))
        ratios = _grid(*ratio)
        size = np.repeat(np.arange(len(sizes)), len(ratios))
        count = sizes[size] * np.tile(ratios, len(sizes))
        inside = (count >= tokens[0]) & (count <= tokens[1]) & (sizes[size] * count <= product)
        if not inside.any():
            raise UnreachableError(
                "no run is inside the limits and affordable", hint="raise the budget, or allow smaller models"
            )
        return cls(params=sizes[size][inside], tokens=count[inside], size=size[inside])


def choose_runs(
    law: Additive,
    pool: Pool,
    *,
    known: Knowledge,
    target: Target,
    flops: float,
    per_product: float,
    seeds: int,
    schedule: Schedule,
) -> tuple[tuple[PilotRun, ...], Knowledge, float]:
    """Return the runs to buy, what will be known with them, and what they cost in FLOP.

    Parameters
    ----------
    law
        The law as far as it is known.
    pool
        The runs that may be bought, each at most ``seeds`` times.
    known, target
        What is known before, and the quantities that matter.
    flops
        The budget for all runs together.
    per_product
        FLOP for each params * tokens: 6 by the usual convention.
    schedule
        What several token counts of one size cost together; a repeated run needs a trunk of its own.

    """
    rows = jacobian(law, pool.params, pool.tokens)
    bought = np.zeros(len(rows), dtype=np.intp)
    longest = np.zeros((int(pool.size.max()) + 1, seeds))
    branches = np.zeros_like(longest)
    spent = 0.0
    for _ in range(_MOST_RUNS):
        trunk = np.minimum(bought, seeds - 1)
        at = (pool.size, trunk)
        cost = per_product * pool.params * schedule.added_tokens(pool.tokens, longest[at], branches[at])
        allowed = (bought < seeds) & (spent + cost <= flops * (1 + 1e-9))
        if not allowed.any():
            break
        gain = known.gain(rows, target.log_params) + _LOSS_WEIGHT * known.gain(rows, target.log_loss)
        best = int(np.argmax(np.where(allowed, gain / cost**_COST_POWER, -1.0)))
        spent += float(cost[best])
        place = (pool.size[best], trunk[best])
        longest[place] = max(longest[place], pool.tokens[best])
        branches[place] += 1
        bought[best] += 1
        known = known.with_runs(rows[best : best + 1])
    chosen = np.flatnonzero(bought)
    runs = tuple(
        PilotRun(
            params=float(pool.params[i]),
            tokens=float(pool.tokens[i]),
            flops=per_product * float(pool.params[i] * pool.tokens[i]),
            seeds=int(bought[i]),
        )
        for i in chosen[np.lexsort((pool.tokens[chosen], pool.params[chosen]))]
    )
    return runs, known, spent


def rivals(law: Additive, *, known: Knowledge, target: Target, flops: float, per_product: float) -> tuple[Rival, ...]:
    """Return the usual designs of the same total compute: IsoFLOP sweeps of several widths, rays."""
    product = flops / per_product
    designs = {f"6 IsoFLOP budgets, ±{width}x": _isoflop(law, product, width) for width in (2, 4, 8, 16)}
    designs["one ray, D/N = 20"] = _rays(product, (20.0,), repeats=3)
    designs["two rays, D/N = 5 and 80"] = _rays(product, (5.0, 80.0), repeats=1)
    return tuple(
        Rival(
            name=name,
            runs=len(params),
            flops=per_product * float(np.sum(params * tokens)),
            tokens_per_param=(float(np.min(tokens / params)), float(np.max(tokens / params))),
            precision=known.with_runs(jacobian(law, params, tokens)).precision(target),
        )
        for name, (params, tokens) in designs.items()
    )


def _isoflop(law: Additive, product: float, width: float) -> tuple[Array, Array]:
    """Return seven sizes within ``width`` of the optimum of each of six budgets over a factor of 170."""
    shares = np.geomspace(1 / 170, 1.0, 6)
    budgets = product * shares / (7 * float(np.sum(shares)))
    params = np.concatenate([law.best_split(float(x))[0] * np.geomspace(1 / width, width, 7) for x in budgets])
    return params, np.repeat(budgets, 7) / params


def _rays(product: float, ratios: tuple[float, ...], *, repeats: int) -> tuple[Array, Array]:
    """Return 14 sizes over a factor of 40 at each ratio, repeated."""
    sizes = np.tile(np.repeat(np.geomspace(1 / 40, 1.0, 14), repeats), len(ratios))
    ratio = np.repeat(ratios, 14 * repeats)
    params = sizes * math.sqrt(product / float(np.sum(sizes**2 * ratio)))
    return params, params * ratio


def _grid(low: float, high: float) -> Array:
    """Return values from ``low`` to at most ``high``, a factor of sqrt(2) apart; none when that is empty."""
    if high < low:
        return np.empty(0)
    count = int(math.log(high / low) / math.log(_STEP) + 1e-9) + 1
    return np.asarray(low * _STEP ** np.arange(count), dtype=np.float64)
