"""Choose among candidate runs of any inputs those that let the loss at targets be predicted best.

No law is assumed, so that sizes, experts, vocabularies, repeats of data and settings of the optimizer are treated
alike. With z the inputs, by their logarithms and scaled to the span of the pool, ln loss is believed to be

    a quadratic in z  +  a smooth discrepancy  +  the noise of a run

with normal priors of the coefficients and a Gaussian process for the discrepancy, under three kernels that count
equally as in a forecast (:mod:`~scaleplan.fitting.forecaster`). Where the inputs are parameters and tokens alone,
a law at a guess stands in place of the quadratic, and the discrepancy is that of the forecasts. What runs leave of
the variance at the targets then depends on where they are and not on what comes out (Rasmussen and Williams 2006,
Gaussian Processes for Machine Learning, section 2.2), so that it is known before any of them is trained.

The choice is greedy by what a run tells for its cost to a power (Li et al. 2026, arXiv:2604.22753). Exchanges of
single runs afterwards lower the variance that the model expects and not the errors that are then made on public
pools, so that there are none. Each run counts as a share of the budget besides its compute: a law fitted to hundreds
of tiny runs follows them where it is wrong, which no independent error of a run tells.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scaleplan.fitting.discrepancy import MISFIT, Kernel
from scaleplan.fitting.expected_error import law_terms
from scaleplan.fitting.forecaster import KERNELS as LAW_KERNELS
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.fitting.surface_fit import SurfaceLaw

__all__ = ["NOISE", "PoolInputs", "PoolModel", "cheapest", "choose", "dearest", "random_runs", "spread"]

NOISE = 0.01
"""Relative noise of a run: seeds differ by 0.1 to 0.5 %, and runs of pools by settings that no column names."""
_LEVEL, _SLOPE, _BEND = 3.0, 1.0, 0.1  # sd of ln loss: the constant, and at the ends of the pool the two orders
_CLASS, _CLASS_SLOPE = 0.3, 0.1  # sd of the offset of a class of runs in ln loss, and of its own slopes
_MISFIT = 0.02  # what a quadratic misses, in ln loss: twice what laws do (MISFIT)
_KERNELS = (
    Kernel(shape="matern32", length=1.0),
    Kernel(shape="gauss", length=0.7),
    Kernel(shape="gauss", length=1.5),
)
"""Lengths in halves of the span of an input."""
_POWERS = (0.0, 0.4, 0.8)  # of the cost in greedy steps: 0.4 by the article, none, and nearly a price per gain
_USUAL = 48  # runs of a list, as for pilots without a pool: each of a longer one counts as much as of this
_ROUNDING = 1e-9


class PoolInputs(NamedTuple):
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


class PoolModel(Record, eq=False):
    """What is believed of runs and targets before any run: their terms and scaled numbers, runs first.

    ``weights`` are those of the targets, ``noise`` the relative noise of a run.
    """

    terms: Array
    numbers: Array
    weights: Array
    noise: float
    kernels: tuple[Kernel, ...]
    misfit: float

    @classmethod
    def of(cls, everything: PoolInputs, weights: Array, noise: float) -> PoolModel:
        """Return what is believed of runs with their targets behind them, as many as there are ``weights``."""
        return cls(
            terms=everything.terms(),
            numbers=everything.numbers,
            weights=weights / np.sum(weights),
            noise=noise,
            kernels=_KERNELS,
            misfit=_MISFIT,
        )

    @classmethod
    def by_law(cls, law: SurfaceLaw, params: Array, tokens: Array, weights: Array, noise: float) -> PoolModel:
        """Return the same of sizes alone: near a law that is guessed, with the discrepancy of the forecasts."""
        x, y, terms = law_terms(law, params, tokens)
        return cls(
            terms=terms,
            numbers=np.stack([x + y, y - x], axis=1),
            weights=weights / np.sum(weights),
            noise=noise,
            kernels=LAW_KERNELS,
            misfit=MISFIT,
        )

    @property
    def count(self) -> int:
        """The number of runs."""
        return len(self.terms) - len(self.weights)

    def prior(self, points: Index) -> Array:
        """Return the covariances (kernel, point, all) of some points with all."""
        by_terms = self.terms[points] @ self.terms.T
        z, own = self.numbers, self.numbers[points]
        squared = np.sum(np.square(own), 1)[:, None] + np.sum(np.square(z), 1) - 2.0 * (own @ z.T)
        missed = [self.misfit**2 * kernel.at(np.maximum(squared, 0.0)) for kernel in self.kernels]
        return np.stack([by_terms + part for part in missed])

    @cached_property
    def unknown(self) -> Outlook:
        """The state before any run."""
        count = self.count
        targets = self.prior(np.arange(count, len(self.terms)))
        own = np.sum(np.square(self.terms), axis=1) + self.misfit**2
        return Outlook(
            model=self,
            chosen=(),
            rows=np.zeros((len(self.kernels), 0, len(self.terms))),
            told=targets[:, :, :count],
            own=np.tile(own, (len(self.kernels), 1)),
        )

    def after(self, chosen: Sequence[int]) -> Outlook:
        """Return the state after runs, of which one may be there several times."""
        if not len(chosen):
            return self.unknown
        at = np.array(chosen, dtype=np.intp)
        prior = self.prior(at)
        lower = np.linalg.cholesky(prior[:, :, at] + self.noise**2 * np.eye(len(at)))
        rows = np.linalg.solve(lower, prior)
        count = self.count
        return Outlook(
            model=self,
            chosen=tuple(chosen),
            rows=rows,
            told=self.unknown.told - np.swapaxes(rows[:, :, count:], 1, 2) @ rows[:, :, :count],
            own=self.unknown.own - np.sum(np.square(rows), axis=1),
        )

    def error(self, chosen: Sequence[int]) -> float:
        """Return the root of the mean variance at the targets after runs."""
        return float(np.sqrt(max(self.after(chosen).variance, 0.0)))


class Outlook(Record, eq=False):
    """What is believed after runs: covariances ``told`` (kernel, target, run) and variances ``own`` (kernel, point).

    ``rows`` (kernel, chosen, point) are the prior covariances with the chosen runs, whitened.
    """

    model: PoolModel
    chosen: tuple[int, ...]
    rows: Array
    told: Array
    own: Array

    @property
    def variance(self) -> float:
        """The mean variance at the targets, over the kernels and by the weights of the targets."""
        count = self.model.count
        return float(np.mean(self.own[:, count:] @ self.model.weights))

    def gains(self) -> Array:
        """Return by how much each run would lower the variance."""
        gained = np.einsum("t,ktr->kr", self.model.weights, np.square(self.told))
        own = self.own[:, : self.model.count]
        return np.asarray(np.mean(gained / (self.model.noise**2 + own), axis=0))

    def _column(self, run: int) -> Array:
        """Return the covariances (kernel, point) of one run with all points."""
        prior = self.model.prior(np.array([run]))[:, 0, :]
        return prior - np.einsum("kc,kcp->kp", self.rows[:, :, run], self.rows)

    def with_run(self, run: int) -> Outlook:
        """Return the state after one more run."""
        column, count = self._column(run), self.model.count
        row = column / np.sqrt(self.model.noise**2 + column[:, run])[:, None]
        return Outlook(
            model=self.model,
            chosen=(*self.chosen, run),
            rows=np.concatenate([self.rows, row[:, None, :]], axis=1),
            told=self.told - row[:, count:, None] * row[:, None, :count],
            own=self.own - np.square(row),
        )


def choose(
    model: PoolModel,
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
    lists = [_greedy(model, cost, budget, most=most, there=there, power=power) for power in _POWERS]
    lists += [list(start) for start in starts if len(start) <= most]
    return min(lists, key=lambda one: model.after([*there, *one]).variance)


def _greedy(
    model: PoolModel, cost: Array, budget: float, *, most: int, there: Sequence[int], power: float
) -> list[int]:
    state, spent = model.after(there), 0.0
    chosen: list[int] = []
    free = np.ones(len(cost), dtype=bool)
    free[list(there)] = False
    price = (cost + budget / min(most, _USUAL)) ** power
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
    found: list[int] = []
    spent = 0.0
    for run in np.random.default_rng(seed).permutation(len(cost)).tolist():
        if len(found) < most and spent + cost[run] <= budget * (1 + _ROUNDING):
            found.append(run)
            spent += float(cost[run])
    return found


def spread(numbers: Array, cost: Array, budget: float, most: int) -> list[int]:
    """Return runs as far from each other as can be (maximin), each that can still be paid, from the cheapest on."""
    free = cost <= budget * (1 + _ROUNDING)
    distance = np.full(len(cost), np.inf)
    found: list[int] = []
    spent = 0.0
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


def _farthest(distance: Array, allowed: Mask) -> int:
    return int(np.argmax(np.where(allowed, distance, -1.0)))
