"""Choose among candidate runs of any inputs those that let the loss at targets be predicted best.

No law is assumed, so that sizes, experts, vocabularies, repeats of data and settings of the optimizer are treated alike.
With z the inputs, by their logarithms and scaled to the span of the pool, ln loss is believed to be

    a quadratic in z  +  a smooth discrepancy  +  the noise of a run

with normal priors of the coefficients and a Gaussian process for the discrepancy, under three kernels that count
equally as in a forecast (:mod:`~scaleplan.fitting.forecaster`). What runs leave of the variance at the targets then
depends on where they are and not on what comes out (Rasmussen and Williams 2006, Gaussian Processes for Machine
Learning, section 2.2), so that it is known before any of them is trained. The choice is greedy by what a run tells for
its cost to a power (Li et al. 2026, arXiv:2604.22753), followed by exchanges of one run for another.

Each run counts as a share of the budget besides its compute: a law fitted to hundreds of tiny runs follows them where
it is wrong, and the independent errors of a model are not what it errs by.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Array, Index

__all__ = ["NOISE", "Belief", "Inputs", "cheapest", "choose", "dearest", "random_runs", "spread"]

NOISE = 0.01
"""Relative noise of a run: seeds differ by 0.1 to 0.5 %, and runs of pools by settings that no column names."""
_LEVEL, _SLOPE, _BEND = 3.0, 1.0, 0.1  # sd of ln loss: the constant, and at the ends of the pool the two orders
_CLASS, _CLASS_SLOPE = 0.3, 0.1  # sd of the offset of a class of runs in ln loss, and of its own slopes
_MISFIT = 0.02  # what a quadratic misses, in ln loss: twice what laws do (discrepancy._MISFIT)
_KERNELS = (("matern32", 1.0), ("gauss", 0.7), ("gauss", 1.5))  # lengths in halves of the span of an input
_POWERS = (0.0, 0.4, 0.8)  # of the cost in greedy steps: 0.4 by the article, none, and nearly a price per gain
_MOST_EXCHANGES = 40
_LEAST_GAIN = 1e-3  # of the variance: what a change of the list must save
_ROUNDING = 1e-9


class Inputs(NamedTuple):
    """What tells runs apart: scaled numbers (run, input), and the classes (run, class column) as codes."""

    numbers: Array
    classes: Index

    def terms(self) -> Array:
        """Return the terms (run, term) of the quadratic, each times the sd of its coefficient."""
        z = self.numbers
        first, second = np.triu_indices(z.shape[1])
        ones = np.ones((len(z), 1))
        columns = [_LEVEL * ones, _SLOPE * z, _BEND * z[:, first] * z[:, second]]
        for codes in self.classes.T:
            member = (codes[:, None] == np.arange(int(codes.max(initial=0)) + 1)).astype(np.float64)
            columns += [_CLASS * member, *(_CLASS_SLOPE * member * z[:, [i]] for i in range(z.shape[1]))]
        return np.concatenate(columns, axis=1)


def _between(one: Array, other: Array, shape: str, length: float) -> Array:
    squared = np.sum(np.square(one), 1)[:, None] + np.sum(np.square(other), 1) - 2.0 * (one @ other.T)
    squared = np.maximum(squared, 0.0) / length**2
    if shape == "gauss":
        return np.exp(-0.5 * squared)
    distance = np.sqrt(3.0 * squared)
    return (1.0 + distance) * np.exp(-distance)


class Belief(Record, eq=False):
    """What is believed of runs and targets before any run: their terms and scaled numbers, runs first.

    ``weights`` are those of the targets, ``noise`` the relative noise of a run.
    """

    terms: Array
    numbers: Array
    weights: Array
    noise: float

    @classmethod
    def of(cls, everything: Inputs, weights: Array, noise: float) -> Belief:
        """Return the belief of runs with their targets behind them, as many as there are ``weights``."""
        return cls(
            terms=everything.terms(),
            numbers=everything.numbers,
            weights=weights / np.sum(weights),
            noise=noise,
        )

    @property
    def count(self) -> int:
        """The number of runs."""
        return len(self.terms) - len(self.weights)

    def prior(self, points: Index) -> Array:
        """Return the covariances (kernel, point, all) of some points with all."""
        by_terms = self.terms[points] @ self.terms.T
        missed = [_MISFIT**2 * _between(self.numbers[points], self.numbers, *kernel) for kernel in _KERNELS]
        return np.stack([by_terms + part for part in missed])

    @cached_property
    def unknown(self) -> State:
        """The state before any run."""
        count = self.count
        targets = self.prior(np.arange(count, len(self.terms)))
        own = np.sum(np.square(self.terms), axis=1) + _MISFIT**2
        return State(
            belief=self,
            chosen=(),
            rows=np.zeros((len(_KERNELS), 0, len(self.terms))),
            told=targets[:, :, :count],
            own=np.tile(own, (len(_KERNELS), 1)),
        )

    def after(self, chosen: Sequence[int]) -> State:
        """Return the state after runs, of which one may be there several times."""
        if not len(chosen):
            return self.unknown
        at = np.array(chosen, dtype=np.intp)
        prior = self.prior(at)
        lower = np.linalg.cholesky(prior[:, :, at] + self.noise**2 * np.eye(len(at)))
        rows = np.linalg.solve(lower, prior)
        count = self.count
        return State(
            belief=self,
            chosen=tuple(chosen),
            rows=rows,
            told=self.unknown.told - np.swapaxes(rows[:, :, count:], 1, 2) @ rows[:, :, :count],
            own=self.unknown.own - np.sum(np.square(rows), axis=1),
        )

    def error(self, chosen: Sequence[int]) -> float:
        """Return the root of the mean variance at the targets after runs."""
        return float(np.sqrt(max(self.after(chosen).variance, 0.0)))


class State(Record, eq=False):
    """What is believed after runs: covariances ``told`` (kernel, target, run) and variances ``own`` (kernel, point).

    ``rows`` (kernel, chosen, point) are the prior covariances with the chosen runs, whitened.
    """

    belief: Belief
    chosen: tuple[int, ...]
    rows: Array
    told: Array
    own: Array

    @property
    def variance(self) -> float:
        """The mean variance at the targets, over the kernels and by the weights of the targets."""
        count = self.belief.count
        return float(np.mean(self.own[:, count:] @ self.belief.weights))

    def gains(self) -> Array:
        """Return by how much each run would lower the variance."""
        return self._gains(self.told, self.own[:, : self.belief.count])

    def _gains(self, told: Array, own: Array) -> Array:
        gained = np.einsum("t,ktr->kr", self.belief.weights, np.square(told))
        return np.asarray(np.mean(gained / (self.belief.noise**2 + own), axis=0))

    def gains_without(self, place: int) -> Array:
        """Return by how much each run would lower the variance in the place of one chosen, less what that one does."""
        run, count, noise = self.chosen[place], self.belief.count, self.belief.noise
        column = self._column(run)
        share = 1.0 / (noise**2 - column[:, run])
        to_targets, to_runs = column[:, count:], column[:, :count]
        told = self.told + (share[:, None] * to_targets)[:, :, None] * to_runs[:, None, :]
        own = self.own[:, :count] + share[:, None] * np.square(to_runs)
        lost = float(np.mean(share * (np.square(to_targets) @ self.belief.weights)))
        return self._gains(told, own) - lost

    def _column(self, run: int) -> Array:
        """Return the covariances (kernel, point) of one run with all points."""
        prior = self.belief.prior(np.array([run]))[:, 0, :]
        return prior - np.einsum("kc,kcp->kp", self.rows[:, :, run], self.rows)

    def with_run(self, run: int) -> State:
        """Return the state after one more run."""
        column, count = self._column(run), self.belief.count
        row = column / np.sqrt(self.belief.noise**2 + column[:, run])[:, None]
        return State(
            belief=self.belief,
            chosen=(*self.chosen, run),
            rows=np.concatenate([self.rows, row[:, None, :]], axis=1),
            told=self.told - row[:, count:, None] * row[:, None, :count],
            own=self.own - np.square(row),
        )


def choose(
    belief: Belief,
    cost: Array,
    budget: float,
    *,
    most: int,
    there: Sequence[int] = (),
    starts: Sequence[Sequence[int]] = (),
) -> list[int]:
    """Return the runs of the best list found: at most ``most``, which cost at most ``budget`` together.

    ``there`` are runs that are known already, at no cost; ``starts`` lists that the answer is to be no worse than.
    """
    lists = [_greedy(belief, cost, budget, most=most, there=there, power=power) for power in _POWERS]
    lists += [list(start) for start in starts if len(start) <= most]
    best = min(lists, key=lambda one: belief.after([*there, *one]).variance)
    return _exchanged(belief, cost, budget, best, most=most, there=there)


def _greedy(
    belief: Belief, cost: Array, budget: float, *, most: int, there: Sequence[int], power: float
) -> list[int]:
    state, spent = belief.after(there), 0.0
    chosen: list[int] = []
    free = np.ones(len(cost), dtype=bool)
    free[list(there)] = False
    price = (cost + budget / most) ** power
    while len(chosen) < most:
        allowed = free & (spent + cost <= budget * (1 + _ROUNDING))
        if not allowed.any():
            break
        best = int(np.argmax(np.where(allowed, state.gains() / price, -1.0)))
        chosen.append(best)
        free[best] = False
        spent += float(cost[best])
        state = state.with_run(best)
    return chosen


def _exchanged(
    belief: Belief, cost: Array, budget: float, chosen: list[int], *, most: int, there: Sequence[int]
) -> list[int]:
    """Exchange a run for another, or add one, by the best such move, until none helps."""
    chosen = list(chosen)
    for _ in range(_MOST_EXCHANGES):
        state = belief.after([*there, *chosen])
        spent = float(np.sum(cost[chosen]))
        free = np.ones(len(cost), dtype=bool)
        free[[*there, *chosen]] = False
        moves: list[tuple[float, int | None, int]] = []
        for place in [None, *range(len(chosen))]:
            rest = spent if place is None else spent - float(cost[chosen[place]])
            allowed = free & (rest + cost <= budget * (1 + _ROUNDING))
            if not allowed.any() or (place is None and len(chosen) >= most):
                continue
            gains = state.gains() if place is None else state.gains_without(len(there) + place)
            into = int(np.argmax(np.where(allowed, gains, -np.inf)))
            moves.append((float(gains[into]), place, into))
        gain, place, into = max(moves, key=lambda move: move[0], default=(0.0, None, -1))
        if gain <= _LEAST_GAIN * state.variance:
            break
        if place is not None:
            del chosen[place]
        chosen.append(into)
    return chosen


def cheapest(cost: Array, budget: float) -> list[int]:
    """Return the cheapest runs until the budget is spent, the first rival in the article."""
    order = np.argsort(cost, kind="stable")
    found: list[int] = order[np.cumsum(cost[order]) <= budget * (1 + _ROUNDING)].tolist()
    return found


def dearest(cost: Array, budget: float, most: int) -> list[int]:
    """Return the most expensive runs of which as many as allowed can be paid."""
    order = np.argsort(cost, kind="stable")
    windows = np.concatenate([[0.0], np.cumsum(cost[order])])
    count = min(most, int(np.sum(windows[1:] <= budget * (1 + _ROUNDING))))
    starts = np.arange(len(cost) - count + 1)
    paid = np.flatnonzero(windows[starts + count] - windows[starts] <= budget * (1 + _ROUNDING))
    found: list[int] = order[paid[-1] : paid[-1] + count].tolist() if count else []
    return found


def random_runs(cost: Array, budget: float, most: int, seed: int) -> list[int]:
    """Return runs at random, each that can still be paid."""
    found, spent = [], 0.0
    for run in np.random.default_rng(seed).permutation(len(cost)).tolist():
        if len(found) < most and spent + cost[run] <= budget * (1 + _ROUNDING):
            found.append(run)
            spent += float(cost[run])
    return found


def spread(numbers: Array, cost: Array, budget: float, most: int) -> list[int]:
    """Return runs as far from each other as can be (maximin), each that can still be paid, from the cheapest on."""
    free = cost <= budget * (1 + _ROUNDING)
    distance = np.full(len(cost), np.inf)
    found, spent = [], 0.0
    while len(found) < most:
        allowed = free & (spent + cost <= budget * (1 + _ROUNDING))
        if not allowed.any():
            break
        run = int(np.argmin(np.where(allowed, cost, np.inf))) if not found else _farthest(distance, allowed)
        found.append(run)
        free[run] = False
        spent += float(cost[run])
        distance = np.minimum(distance, np.sum(np.square(numbers - numbers[run]), axis=1))
    return found


def _farthest(distance: Array, allowed: Array) -> int:
    return int(np.argmax(np.where(allowed, distance, -1.0)))
