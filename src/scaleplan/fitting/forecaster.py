"""Forecast losses from runs: the mixture of laws with a discrepancy, and the compact surface that a preset stores.

No one kernel is right: Gaussian ones carry a trend of the residuals onward, the Matern lets it die away, and the runs
cannot show which. Nor do they tell the floor E of the law from its outer exponent gamma. So the law with its
discrepancy (:mod:`~scaleplan.fitting.discrepancy`) is fitted with three kernels, each under three priors of E,
and the forecast is the mixture: the mean of the means, and the mean of the variances with the variance of the means.
Kernels count equally; floors by tempered evidence. Nothing is drawn at random.
"""

from __future__ import annotations

import math
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from scaleplan.fitting.discrepancy import (
    NO_COMMON,
    Common,
    Kernel,
    Observations,
    Prior,
    first_weights,
    fit_members,
    gross,
    log_law,
    tempered,
)
from scaleplan.fitting.noise import cells_by_rounding
from scaleplan.fitting.objective import typical_deviation
from scaleplan.fitting.runs import group_codes
from scaleplan.fitting.solvers import minimise
from scaleplan.laws.additive import ThreeExponent
from scaleplan.laws.forecast import FARTHEST_REACH, MARGIN, REACH, Forecast
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Array, Floats, Index
    from scaleplan.fitting.discrepancy import Member, Posterior
    from scaleplan.fitting.runs import Points

__all__ = ["FLOORS", "KERNELS", "MOST_RUNS", "Forecaster", "MemberForecast", "Shares", "fit_forecast", "prior_spread"]

KERNELS = (
    Kernel(shape="matern32", length=8.0),
    Kernel(shape="gauss", length=3.0),
    Kernel(shape="gauss", length=5.0),
)
"""Lengths in units of ln C and ln D/N: a discrepancy stays alike over one to three decades of compute."""
FLOORS = ((0.7, 0.3), (0.35, 0.4), (0.05, 0.7))
"""Priors of ln(E / least loss): centre of the ratio, and sd of its logarithm. Published laws have 0.3 to 0.9; a
ladder of small runs may have one near zero, and one normal mode does not see the ridge of (E, gamma) to its end."""
MOST_RUNS = 240
"""Runs that are used; of more, those evenly spaced in the order of compute. The cost is cubic, and 240 determine a
smooth surface to less than what no run tells of it."""
_COMMON_RATIOS = (1.0, 5.0, 25.0)  # of the variances of a group's common error and a run's own: equal to nearly total
_TRUNK_RATIOS = _COMMON_RATIOS[1:]
_TRUNKS_UNNAMED = -25.0  # log odds: 72 checkpoints of 12 runs are worth 60 to 100, a law that errs by size up to 20
_LEAST_GROUPS = 3  # with several runs each: fewer leave less than two degrees of freedom between groups
_HELD, _NO_FLOOR = 0.01, 1e-3  # the spread of ln E where E is known, and its least share: ln E of zero is no number
_EXPONENT = (math.log(0.35), 0.4)  # of ln alpha, ln beta: 30 published laws have 0.354 +- 0.184 and 0.344 +- 0.163
_GAMMA = (math.log(0.65), 0.5)  # of ln gamma: fits of public runs have 0.2 to 1.0; the additive law (1) is one sd off
_LEVEL, _LEVEL_SPREAD = 0.4, 2.0  # a, b: terms of 0.4 of the median loss; keeps designs on one line proper
_STARTS = ((0.0, 0.0), (0.0, -0.6), (0.25, 0.4))  # of ln exponents and ln gamma off their priors, along the ridge
_START_TIE = 1e-6  # relative: ends nearer than that are one optimum up to rounding
_START_BOX = 6.0  # sd of the prior
_START_SCALE, _START_LEAST = 0.02, 2e-3  # of soft-L1: 2 % of the spread of ln L
_LEAST_WEIGHT, _MOST_WEIGHT = 1e-6, 1e2  # against the median run: next to none, and a tenth of its noise

_REACH_DIGITS, _REACH_ROOM = 3, 1.01  # of a target's factor, so that what is rounded holds it
_ENDS = 0.02  # share of the runs beyond the ends of D/N: one odd run does not stretch the span
_DEGREE, _TRIANGLE = (8, 7), 1.3  # Chebyshev terms with i/8 + j/7 <= 1.3: 52 of them
_NODES = (24, 20)  # of the grid: three times the degrees, so that least squares do not follow single nodes
_BELOW = (2.0, 0.1)  # weight e^(-below/2) of nodes below the largest run in ln C, at least 0.1: plans are made above
_DIGITS = 5  # of a stored number: what rounding leaves is far below the noise of a run
_BLOCK = 128  # sizes whose joint covariance is made to read its diagonal
_JITTER = 1e-12  # of the trace, so that a covariance of fewer ranks than terms has a root
_LEAST_FLOAT = 1e-300  # for a floor of zero, which has no logarithm
_LARGEST_LOG = 690.0  # of a coefficient of the stored law: what a float can hold


class Shares(NamedTuple):
    """Shares of the variance of one run's ln loss: the law's coefficients, the discrepancy, noise, the members."""

    law: Array
    discrepancy: Array
    noise: Array
    members: Array


class MemberForecast(NamedTuple):
    """What one member forecasts: its kernel, the ratio of floor to least loss it expects, its weight, ln loss, sd."""

    kernel: str
    floor: float
    weight: float
    mean: Array
    sd: Array


def _nodes() -> list[Array]:
    """Return the Chebyshev nodes of the grid along ln ND and across it."""
    return [np.cos(np.pi * (np.arange(count) + 0.5) / count) for count in _NODES]


@cache
def _basis() -> tuple[tuple[tuple[int, int], ...], Array]:
    """Return the terms of the stored correction, and their values at the nodes of the grid."""
    terms = tuple(
        (i, j)
        for i in range(_DEGREE[0] + 1)
        for j in range(_DEGREE[1] + 1)
        if i / _DEGREE[0] + j / _DEGREE[1] <= _TRIANGLE
    )
    along, across = (chebvander(node, degree) for node, degree in zip(_nodes(), _DEGREE, strict=True))
    return terms, np.stack([np.outer(along[:, i], across[:, j]).ravel() for i, j in terms], axis=1)


class Forecaster(Record, eq=False):
    """The mixture of members fitted to runs; ln losses and their joint covariance at any sizes.

    ``used`` are the positions of the runs that were used, in the order of ``run_weights``. ``centre`` are the means
    of their ln N and ln D, ``box`` their range: ln ND from and to, ln D/N from and to.
    """

    members: tuple[Member, ...]
    weights: Array
    floors: tuple[float, ...]
    centre: tuple[float, float]
    box: tuple[float, float, float, float]
    used: Index

    def log_loss(self, params: Floats, tokens: Floats) -> tuple[Array, Array]:
        """Return the mean and the covariance of the expected ln loss at sizes."""
        parts = self._posteriors(params, tokens)
        means = np.array([part.mean for part in parts])
        mean = self.weights @ means
        apart = means - mean
        within = sum(w * (part.law + part.discrepancy) for w, part in zip(self.weights, parts, strict=True))
        return mean, within + apart.T @ (self.weights[:, None] * apart)

    def predict(self, params: Floats, tokens: Floats, *, noise: bool = True) -> tuple[Array, Array]:
        """Return the mean and the sd of ln loss: of one run, or without noise of the expected loss."""
        sizes = [np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (params, tokens)]
        starts = range(0, max(len(sizes[0]), 1), _BLOCK)
        parts = [self.log_loss(*(values[start : start + _BLOCK] for values in sizes)) for start in starts]
        mean = np.concatenate([part for part, _ in parts])
        variance = np.concatenate([np.maximum(np.diag(part), 0.0) for _, part in parts])
        return mean, np.sqrt(variance + (self.noise**2 if noise else 0.0))

    @property
    def noise(self) -> float:
        """The sd of one run's ln loss about its expectation; the run is its own group."""
        return math.sqrt(self._average([member.run_noise for member in self.members]))

    @property
    def misfit(self) -> float:
        """Tau, the size of what the law misses in ln L, as the mean of the members."""
        return self._average([member.misfit for member in self.members])

    @property
    def run_weights(self) -> Array:
        """The noise variance of each run used over that of a run that is no outlier."""
        return self.weights @ np.array([member.run_weights for member in self.members])

    def discrepancy(self, params: Floats, tokens: Floats) -> Array:
        """Return what the laws inside the members miss at sizes, in ln L, as the mean of the members."""
        x, y = self._logs(params, tokens)
        return self.weights @ np.array([member.discrepancy(x, y) for member in self.members])

    def member_forecasts(self, params: Floats, tokens: Floats) -> list[MemberForecast]:
        """Return what each member forecasts of the expected loss."""
        return [
            MemberForecast(
                member.kernel.name,
                floor,
                float(weight),
                part.mean,
                np.sqrt(np.maximum(np.diag(part.law + part.discrepancy), 0.0)),
            )
            for member, floor, weight, part in zip(
                self.members, self.floors, self.weights, self._posteriors(params, tokens), strict=True
            )
        ]

    def shares(self, params: Floats, tokens: Floats) -> Shares:
        """Return where the variance of one run's ln loss comes from, at each size; the shares add to one."""
        parts = self._posteriors(params, tokens)
        means = np.array([part.mean for part in parts])
        law, discrepancy = (
            self.weights @ np.maximum([np.diag(getattr(part, source)) for part in parts], 0.0)
            for source in ("law", "discrepancy")
        )
        members = self.weights @ np.square(means - self.weights @ means)
        noise = np.full(len(law), self.noise**2)
        total = law + discrepancy + noise + members
        return Shares(law / total, discrepancy / total, noise / total, members / total)

    @cached_property
    def law(self) -> ThreeExponent:
        """The law inside the first member, in raw units: the base of the stored correction."""
        a, b, floor = self.members[0].theta[:3]
        alpha, beta, gamma = np.exp(self.members[0].theta[3:])
        # A or B beyond what a float holds: a larger outer exponent, whose difference the correction takes up
        logs = a + alpha * self.centre[0], b + beta * self.centre[1]
        gamma = max(gamma, *(abs(value) / _LARGEST_LOG for value in logs))
        A, B = (math.exp(value / gamma) for value in logs)
        numbers = {"E": math.exp(floor), "A": A, "B": B, "alpha": alpha / gamma, "beta": beta / gamma, "gamma": gamma}
        return ThreeExponent(**{name: _rounded(value) for name, value in numbers.items()})

    def surface(self, target: float | None = None) -> Forecast:
        """Return the mean and covariance as the preset stores them: a polynomial correction of :attr:`law`.

        The posterior is smooth, so Chebyshev polynomials in (ln ND, ln D/N) hold it from the runs to a hundredfold of
        the largest, or as far as the params * tokens of a ``target``: least squares on a grid of Chebyshev nodes,
        which weigh less below the largest run.
        """
        low, high, narrow, wide = self.box
        farther = 1.0 if target is None else target / math.exp(high)
        reach = min(max(REACH, float(f"{farther:.{_REACH_DIGITS}g}") * _REACH_ROOM), FARTHEST_REACH)
        span = (
            round(low, 6),
            round(high + math.log(reach) + 1e-6, 6),
            round(narrow - MARGIN, 6),
            round(wide + MARGIN, 6),
        )
        nodes = _nodes()
        ends = (span[:2], span[2:])
        axes = [0.5 * (a + b) + 0.5 * (b - a) * node for (a, b), node in zip(ends, nodes, strict=True)]
        product, ratio = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
        params, tokens = np.exp(0.5 * (product - ratio)), np.exp(0.5 * (product + ratio))
        terms, basis = _basis()
        weight = np.maximum(_BELOW[1], np.exp(-np.maximum(high - product, 0.0) / _BELOW[0]))
        orthogonal, triangle = np.linalg.qr(basis * weight[:, None])
        project = np.linalg.solve(triangle, orthogonal.T) * weight
        mean, spread = self._summed(params, tokens, project)
        law = self.law
        held = [law.gamma * math.log(law.A), law.gamma * math.log(law.B), math.log(max(law.E, _LEAST_FLOAT))]
        outer = np.log([law.gamma * law.alpha, law.gamma * law.beta, law.gamma])
        base, _ = log_law(np.array([*held, *outer]), np.log(params), np.log(tokens))
        coefficients = project @ (mean - base)
        root = np.linalg.cholesky(spread + _JITTER * np.trace(spread) * np.eye(len(terms)))
        return Forecast(
            base=law,
            span=span,
            terms=terms,
            weights=tuple(map(_rounded, coefficients.tolist())),
            root=tuple(tuple(map(_rounded, row[: i + 1])) for i, row in enumerate(root.tolist())),
            noise=_rounded(self.noise),
            reach=reach,
        )

    def _summed(self, params: Array, tokens: Array, rows: Array) -> tuple[Array, Array]:
        """Return the mean of the expected ln loss at sizes, and the covariance of ``rows`` of sums over them."""
        x, y = self._logs(params, tokens)
        found = []
        shared: dict[Kernel, tuple[Array, Array]] = {}
        for member in self.members:
            if member.kernel not in shared:
                own = rows @ member.kernel.between((x, y), (x, y)) @ rows.T
                shared[member.kernel] = member.kernel.between((x, y), member.at), own
            found.append(member.summed(x, y, rows, *shared[member.kernel]))
        means = np.array([mean for mean, _ in found])
        mean = self.weights @ means
        apart = (means - mean) @ rows.T
        within = sum(w * spread for w, (_, spread) in zip(self.weights, found, strict=True))
        return mean, within + apart.T @ (self.weights[:, None] * apart)

    def _average(self, values: Sequence[float]) -> float:
        return float(self.weights @ np.asarray(values))

    def _logs(self, params: Floats, tokens: Floats) -> tuple[Array, Array]:
        sizes = (np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (params, tokens))
        x, y = (np.log(values) - middle for values, middle in zip(sizes, self.centre, strict=True))
        return x, y

    def _posteriors(self, params: Floats, tokens: Floats) -> list[Posterior]:
        x, y = self._logs(params, tokens)
        return [member.posterior(x, y) for member in self.members]


def fit_forecast(
    points: Points,
    groups: Sequence[object] | None = None,
    *,
    floor: float | None = None,
    floors: Sequence[tuple[float, float]] = FLOORS,
) -> Forecaster:
    """Fit the forecast of a loss to runs; runs of equal ``groups`` (of one trunk, or cluster) may share an error.

    A ``floor`` is an irreducible loss that is known, and held to a hundredth; without one ``floors`` are its priors.
    """
    used = _used(points)
    chosen = points.select(used)
    x, y = chosen.logs
    z = np.log(chosen.loss)
    runs = Observations(
        x=x,
        y=y,
        z=z,
        noise=_relative_noise(chosen.weight, len(z)),
        commons=_commons(chosen, None if groups is None else [groups[i] for i in used.tolist()]),
    )

    def begun(logs: Array) -> tuple[Sequence[tuple[float, float]], list[Prior], list[Array]]:
        """Return the priors of the floor over the least loss, those of the laws, and the laws to start from."""
        likely = floors if floor is None else _held(logs, floor)
        priors = _priors(logs, likely)
        return likely, priors, _starts(runs, priors)

    likely, priors, starts = begun(z)
    sound = z[~gross(first_weights(runs, starts)[1])]
    if len(sound) and np.min(sound) > np.min(z):  # the least loss, below which a floor is expected, was none
        likely, priors, starts = begun(sound)
    found = [fit_members(kernel, runs, priors, starts) for kernel in KERNELS]
    shares = [tempered([member.evidence for member in members]) / len(KERNELS) for members in found]
    product, ratio = np.log(chosen.params) + np.log(chosen.tokens), np.log(chosen.tokens) - np.log(chosen.params)
    return Forecaster(
        members=tuple(member for members in found for member in members),
        weights=np.concatenate(shares),
        floors=tuple(floor for _ in KERNELS for floor, _ in likely),
        centre=chosen.centre,
        box=(
            float(np.min(product)),
            float(np.max(product)),
            float(np.quantile(ratio, _ENDS)),
            float(np.quantile(ratio, 1.0 - _ENDS)),
        ),
        used=used,
    )


def _held(z: Array, floor: float) -> tuple[tuple[float, float], ...]:
    """Return the one prior of a floor that is known, over the least loss; of none, of next to none."""
    return ((max(floor / math.exp(float(np.min(z))), _NO_FLOOR), _HELD),)


def _priors(z: Array, floors: Sequence[tuple[float, float]]) -> list[Prior]:
    """Return the prior of the law for each prior of its floor, from ln losses."""
    level = math.log(_LEVEL) + float(np.median(z))
    return [
        Prior(
            centre=np.array([level, level, math.log(ratio) + float(np.min(z)), *2 * [_EXPONENT[0]], _GAMMA[0]]),
            spread=np.array([_LEVEL_SPREAD, _LEVEL_SPREAD, spread, *2 * [_EXPONENT[1]], _GAMMA[1]]),
        )
        for ratio, spread in floors
    ]


def prior_spread() -> Array:
    """Return the sd of the priors of the law's coefficients: of ln E that of the mixture of its priors."""
    logs = [math.log(ratio) for ratio, _ in FLOORS]
    floor = math.sqrt(float(np.var(logs)) + float(np.mean([spread**2 for _, spread in FLOORS])))
    return np.array([_LEVEL_SPREAD, _LEVEL_SPREAD, floor, *2 * [_EXPONENT[1]], _GAMMA[1]])


def _used(points: Points) -> Index:
    """Return the positions of the runs to use, ordered by compute and then by all that tells runs apart."""
    keys = [points.loss, points.params, points.params * points.tokens]
    order = np.lexsort(keys if points.weight is None else [points.weight, *keys])
    if len(order) <= MOST_RUNS:
        return order
    return order[np.linspace(0, len(order) - 1, MOST_RUNS).round().astype(np.intp)]


def _relative_noise(weight: Array | None, count: int) -> Array:
    """Return the noise variance of each run over that of the run of median weight."""
    if weight is None:
        return np.ones(count)
    return 1.0 / np.clip(weight / np.median(weight), _LEAST_WEIGHT, _MOST_WEIGHT)


def _commons(points: Points, groups: Sequence[object] | None) -> tuple[Common, ...]:
    """Return the errors that runs may share: none, or one of the groups given, of equal sizes, of equal cells.

    Runs of one size on several numbers of tokens may be checkpoints of one run, which then share nearly all of their
    error. Groups that nobody named are looked for where three or more have several runs: fewer leave less than two
    degrees of freedom for the errors between groups, and one repeated cell may be no more than a quiet one.
    """
    cells = group_codes(cells_by_rounding(points.params, points.tokens).tolist())
    sizes = group_codes(cells_by_rounding(points.params).tolist())
    unnamed = [(cells, _COMMON_RATIOS, 0.0), (sizes, _TRUNK_RATIOS, _TRUNKS_UNNAMED)]
    ways = [way for way in unnamed if np.sum(np.bincount(way[0]) > 1) >= _LEAST_GROUPS]
    if groups is not None:
        ways.insert(0, (group_codes(groups), _COMMON_RATIOS, 0.0))
    found, seen = [NO_COMMON], set()
    for codes, ratios, log_prior in ways:
        key = tuple(codes.tolist())
        if key not in seen and 1 < len(set(key)) < len(key):  # every run, or all runs, in one group: none
            found += [Common(codes, ratio, log_prior) for ratio in ratios]
        seen.add(key)
    return tuple(found)


class _SoftResiduals(Record, eq=False):
    """Soft-L1 deviations of laws from the runs and from the prior of each: the sum of sqrt(1 + r^2) - 1.

    Coordinates are deviations from the prior in its sd, so that one box serves all priors.
    """

    runs: Observations
    scale: Array
    centres: Array
    spreads: Array

    def derivatives(self, theta: Array, index: Index, *, delta: float, majorise: bool) -> tuple[Array, Array, Array]:
        """Return values, gradients and positive Hessians; soft-L1 has no ``delta``."""
        value, slopes = log_law(self.law(theta, index), self.runs.x, self.runs.y)
        residuals = np.concatenate([(value - self.runs.z) / self.scale, theta], axis=1)
        among_runs = slopes * self.spreads[index, None] / self.scale[:, None]
        own = np.broadcast_to(np.eye(theta.shape[1]), (len(index), theta.shape[1], theta.shape[1]))
        jacobian = np.concatenate([among_runs, own], axis=1)
        length = np.sqrt(1.0 + np.square(residuals))
        gradient = np.matmul((residuals / length)[:, None], jacobian)[:, 0]
        bend = 1.0 / length if majorise else length**-3.0
        hessian = np.matmul(np.swapaxes(jacobian * bend[:, :, None], 1, 2), jacobian)
        return np.sum(length - 1.0, axis=1), gradient, hessian

    def law(self, deviations: Array, index: Index) -> Array:
        """Return the coefficients of laws so far from their priors."""
        return self.centres[index] + self.spreads[index] * deviations


def _starts(runs: Observations, priors: Sequence[Prior]) -> list[Array]:
    """Return for each prior the law of least soft-L1 deviations, of three starts along the ridge of (E, gamma)."""
    centres = np.repeat([prior.centre for prior in priors], len(_STARTS), axis=0)
    spreads = np.repeat([prior.spread for prior in priors], len(_STARTS), axis=0)
    off = np.array([[0.0, 0.0, 0.0, exponents, exponents, outer] for exponents, outer in _STARTS])
    scale = np.sqrt(runs.noise) * max(_START_SCALE * typical_deviation(runs.z - np.median(runs.z)), _START_LEAST)
    problem = _SoftResiduals(runs=runs, scale=scale, centres=centres, spreads=spreads)
    box = np.full(centres.shape[1], _START_BOX)
    first = np.tile(off, (len(priors), 1)) / spreads
    ends, _ = minimise(problem, first, lower=-box, upper=box, deltas=(1.0,), zero=0.0)
    every = np.arange(len(ends))
    values = problem.derivatives(ends, every, delta=1.0, majorise=False)[0].reshape(len(priors), len(_STARTS))
    laws = problem.law(ends, every).reshape(len(priors), len(_STARTS), -1)
    least = np.min(values, axis=1, keepdims=True)
    first_of_equals = np.argmax(values <= least + _START_TIE * (1.0 + least), axis=1)  # rounding does not choose
    return [laws[i, best] for i, best in enumerate(first_of_equals.tolist())]


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
