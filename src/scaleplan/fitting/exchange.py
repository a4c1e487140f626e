"""Choose runs by what they would tell: greedily, and then by exchanges until none helps.

A list is as good as the variances that it leaves (:mod:`~scaleplan.fitting.expected_error`), each in the logarithm,
so that halving any counts alike. Greedy steps take the run that helps most for its cost to a power; exchanges then
give up one run for another that the compute allows, as in Fedorov's and Mitchell's algorithms for optimal designs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.fitting.expected_error import Belief

__all__ = ["Candidates", "Merit", "Schedule", "best_list", "greedy_list"]

_COST_POWERS = (0.4, 0.7)
"""Powers of the cost in greedy steps: Li et al. 2026 (arXiv:2604.22753) recommend 0.4; 0.7 takes smaller runs."""
_LEAST_GAIN = 1e-3  # in a merit: an exchange below it is not worth another look
_MOST_EXCHANGES = 60
_EXCESS = 20.0
"""Weight of a logarithm beyond its limit against one of the merit: a list within its limits is found if any is."""
_ROUNDING = 1e-9


class Schedule(Record):
    """The cost of several token counts of one size together.

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


class Candidates(Record, eq=False):
    """The runs that may be on a list: sizes and tokens, the number of each size, and what they cost.

    A run costs ``per_product * params * tokens`` and ``each`` besides; a run repeated, at most ``seeds`` times, needs
    a trunk of its own. ``most`` is the number of runs of a list, ``flops`` what they may cost together.
    """

    params: Array
    tokens: Array
    size: Index
    per_product: float
    each: float
    schedule: Schedule
    seeds: int
    most: int
    flops: float

    def cost(self, counts: Index) -> float:
        """Return what a list costs, as the number of runs of each candidate."""
        return float(np.sum(self._trunk_tokens(counts) @ self._sizes)) * self.per_product + self.each * int(
            np.sum(counts)
        )

    def added_cost(self, counts: Index) -> Array:
        """Return what one more run of each candidate would cost."""
        trunk = np.minimum(counts, self.seeds - 1)
        longest, branches = self._trunks(counts)
        at = (trunk, self.size)
        added = self.schedule.added_tokens(self.tokens, longest[at], branches[at])
        cost: Array = self.per_product * self.params * added + self.each
        return cost

    def allowed(self, counts: Index, spent: float) -> Mask:
        """Return which candidates may be added to a list that costs ``spent``."""
        if int(np.sum(counts)) >= self.most:
            return np.zeros(len(counts), dtype=bool)
        within = spent + self.added_cost(counts) <= self.flops * (1 + _ROUNDING)
        affordable: Mask = (counts < self.seeds) & within
        return affordable

    def nearest(self, params: Array, tokens: Array) -> Index:
        """Return how many of some runs are nearest to each candidate, in (ln N, ln D)."""
        off = np.square(np.log(params)[:, None] - np.log(self.params))
        off += np.square(np.log(tokens)[:, None] - np.log(self.tokens))
        return np.bincount(np.argmin(off, axis=1), minlength=len(self.params))

    @property
    def _sizes(self) -> Array:
        sizes = np.zeros(int(self.size.max()) + 1)
        sizes[self.size] = self.params
        return sizes

    def _trunks(self, counts: Index) -> tuple[Array, Array]:
        """Return the tokens of the longest branch (seed, size) of each trunk, and how many it has."""
        longest = np.zeros((self.seeds, int(self.size.max()) + 1))
        branches = np.zeros_like(longest)
        for seed in range(self.seeds):
            there = counts > seed
            np.maximum.at(longest[seed], self.size[there], self.tokens[there])
            np.add.at(branches[seed], self.size[there], 1.0)
        return longest, branches

    def _trunk_tokens(self, counts: Index) -> Array:
        """Return the tokens (seed, size) that are trained."""
        total = np.zeros((self.seeds, int(self.size.max()) + 1))
        for seed in range(self.seeds):
            there = counts > seed
            np.add.at(total[seed], self.size[there], self.tokens[there])
        if self.schedule.cooldown is None:
            return total
        longest, _ = self._trunks(counts)
        share = self.schedule.cooldown
        tokens: Array = (1 - share) * longest + share * total
        return tokens


class Merit(Record, eq=False):
    """How good variances (2, sum) are: their logarithms by ``weights``, and what exceeds the ``limits`` far more."""

    rows: Array
    weights: Array
    limits: Array

    def __call__(self, variances: Array) -> Array:
        """Return the merit, the less the better, of variances (2, sum, ...)."""
        extra = (1,) * (variances.ndim - 2)
        logs = np.log(np.maximum(variances, 1e-300))
        over = np.maximum(logs - np.log(self.limits).reshape(*self.limits.shape, *extra), 0.0)
        weights = self.weights.reshape(*self.weights.shape, *extra)
        merit: Array = np.sum(weights * logs + _EXCESS * over, axis=(0, 1))
        return merit


def best_list(
    candidates: Candidates, belief: Belief, merit: Merit, *, kept: Index, starts: Sequence[Index]
) -> tuple[Index, Belief]:
    """Return the number of runs of each candidate on the best list found, and what is believed after them.

    The points of ``belief`` are the candidates, and then those of the merit's sums. ``kept`` are runs that every list
    has; ``starts`` lists to begin from, beside greedy ones.
    """
    begun = [_greedy(candidates, *_with(belief, kept), merit, power) for power in _COST_POWERS]
    begun += [
        _shortened(candidates, *_with(belief, np.maximum(np.minimum(start, candidates.seeds), kept)), merit, kept)
        for start in starts
    ]
    found = [_exchanged(candidates, *start, merit, kept) for start in begun]
    return min(found, key=lambda one: float(merit(one[1].variances(merit.rows))))


def greedy_list(candidates: Candidates, belief: Belief, merit: Merit) -> tuple[Index, Belief]:
    """Return the number of runs of each candidate on a greedy list, and what is believed after them."""
    return _greedy(
        candidates, *_with(belief, np.zeros(len(candidates.params), dtype=np.intp)), merit, _COST_POWERS[0]
    )


def _with(belief: Belief, counts: Index) -> tuple[Index, Belief]:
    there = np.flatnonzero(counts)
    return counts.copy(), belief.given(there, seeds=counts[there])


def _greedy(
    candidates: Candidates, counts: Index, belief: Belief, merit: Merit, power: float
) -> tuple[Index, Belief]:
    """Add the run of the largest gain in merit for its cost to a power until none can be afforded."""
    spent = candidates.cost(counts)
    for _ in range(candidates.most):
        allowed = candidates.allowed(counts, spent)
        if not allowed.any():
            break
        variances = belief.variances(merit.rows)
        gained = merit(variances) - merit(variances[..., None] - belief.gains(merit.rows)[..., : len(counts)])
        best = int(np.argmax(np.where(allowed, gained / candidates.added_cost(counts) ** power, -np.inf)))
        counts[best] += 1
        belief = belief.after(best)
        spent = candidates.cost(counts)
    return counts, belief


def _shortened(
    candidates: Candidates, counts: Index, belief: Belief, merit: Merit, kept: Index
) -> tuple[Index, Belief]:
    """Leave out the runs that tell least for their cost until a list can be afforded."""
    while np.sum(counts) > candidates.most or candidates.cost(counts) > candidates.flops:
        free = np.flatnonzero(counts > kept)
        if not len(free):
            break
        worse = [float(merit(belief.without(i).variances(merit.rows))) for i in free.tolist()]
        price = candidates.per_product * candidates.params[free] * candidates.tokens[free] + candidates.each
        out = int(free[np.argmin((np.array(worse) - float(merit(belief.variances(merit.rows)))) / price)])
        counts[out] -= 1
        belief = belief.without(out)
    return counts, belief


def _exchanged(
    candidates: Candidates, counts: Index, belief: Belief, merit: Merit, kept: Index
) -> tuple[Index, Belief]:
    """Exchange a run for another, or add one, by the best such move, until none helps."""
    for _ in range(_MOST_EXCHANGES):
        variances = belief.variances(merit.rows)
        now = float(merit(variances))
        best: tuple[float, int | None, int] = (now - _LEAST_GAIN, None, -1)
        moves: list[int | None] = [None, *np.flatnonzero(counts > kept).tolist()]
        for out in moves:
            others = counts.copy()
            if out is not None:
                others[out] -= 1
            allowed = candidates.allowed(others, candidates.cost(others))
            if not allowed.any():
                continue
            left = variances[..., None] - belief.gains(merit.rows, without=out)[..., : len(counts)]
            merits = np.where(allowed, merit(left), np.inf)
            into = int(np.argmin(merits))
            if merits[into] < best[0]:
                best = float(merits[into]), out, into
        _, out, into = best
        if into < 0:
            break
        if out is not None:
            counts[out] -= 1
            belief = belief.without(out)
        counts[into] += 1
        belief = belief.after(into)
    return counts, belief
