"""A law together with what it misses: one Gaussian-process model of the runs, its fit and its forecast.

A law describes runs up to a discrepancy: a relative error that is smooth in (N, D), is shared by every resample of
the runs, and does not end where they end. Law and discrepancy are therefore modelled together (Kennedy and O'Hagan
2001, Bayesian calibration of computer models, JRSS B 63, 425-464). With x, y the centred logs of parameters and
tokens, u = x + y (log compute), v = y - x (log tokens per parameter) and z = ln L::

    z_i   = ln f(x_i, y_i; theta) + delta(u_i, v_i) + common_g(i) + noise_i
    f     = e^e + (e^((a - alpha x)/gamma) + e^((b - beta y)/gamma))^gamma
    delta ~ GP(0, tau^2 k(distance/length)),  common_g ~ N(0, q s^2),  noise_i ~ N(0, s^2 w_i/weight_i)

in theta = (a, b, e, ln alpha, ln beta, ln gamma). Here alpha and beta are the exponents of the loss far out along
each axis; the inner exponents of :class:`~scaleplan.laws.additive.ThreeExponent` are alpha/gamma and beta/gamma. All
of it is in ln L, so that a factor of the loss (bits for nats) moves e, a and b and nothing else.

:func:`fit_members` finds theta, s, tau and q for one kernel and several priors, and :class:`Member` is the Gaussian
posterior there. With theta linearised and given s and tau everything is linear, and one
eigendecomposition of the whitened kernel serves every s and tau (Rasmussen and Williams 2006, Gaussian Processes for
Machine Learning, sections 2.2, 2.7 and 4.2). Outliers are runs that disagree with their neighbours, not with the law:
w follows from leave-one-out residuals (section 5.4.2 there).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from scaleplan.fitting.objective import typical_deviation
from scaleplan.record import Record
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Array, Index, Mask

__all__ = [
    "MISFIT",
    "NO_COMMON",
    "TEMPER",
    "Common",
    "Kernel",
    "Member",
    "Observations",
    "Posterior",
    "Prior",
    "first_weights",
    "fit_members",
    "gross",
    "log_law",
    "tempered",
]

TEMPER = 0.3
"""Power of the evidence by which members that differ in their prior are weighted: its full power chooses one floor by
a difference that the misfit of the law decides, and the spread between floors is what the runs do not tell."""
_NOISE_RUNS, _NOISE = 5.0, 0.005  # five pseudo-runs with a noise of 0.5 %, so that six runs do not look exact
_LAW_RUNS = 5  # runs that a law of five coefficients fits whatever their noise
_LEAST_DEVIATION = 2e-4  # runs are rounded: no noise below that of a loss of 3 to 4 digits
_PASSES = 10  # linearisations; most fits of public runs converge in three to eight
_CONVERGED = 1e-3  # of the prior's sd
_HOPELESS = 1.0  # of log evidence behind the best, once outliers are known: passes that follow move it by less
_SAME_WEIGHTS = 0.01  # of a logarithm: weights that differ by less need no decomposition of their own
_GRID = 15  # values of ln s and of ln tau, 0.29 and 0.43 apart
_NOISE_SPAN = (-2.5, 1.5)  # of ln s about its first estimate, which holds the misfit too
MISFIT = 0.01
"""By how much a law is expected to err: published ones do by about 1 %."""
_MISFIT = (math.log(MISFIT), 1.0)  # of ln tau: 90 % lies from 0.2 % to 5 %
_MISFIT_SPAN = 3.0  # of ln tau, in sd of its prior
_OUTLIER = 3.0  # sd beyond which a run is given more noise, so that its pull falls as 1/distance
_GROSS = 8.0  # sd beyond which it falls faster still: no error of training, but a run that failed or was mistyped


class Kernel(Record):
    """How alike the discrepancies of two runs are, by their distance in (ln C, ln D/N) over a length."""

    shape: Literal["matern32", "gauss"]
    length: float

    @property
    def name(self) -> str:
        """The kernel in words."""
        return f"{'Matern 3/2' if self.shape == 'matern32' else 'Gaussian'}, length {format_plain(self.length)}"

    def between(self, one: tuple[Array, Array], other: tuple[Array, Array]) -> Array:
        """Return the correlations (len one, len other) of the discrepancies at two sets of (x, y)."""
        squared = np.zeros((len(one[0]), len(other[0])))
        for sign in (1.0, -1.0):
            squared += np.square((one[1] + sign * one[0])[:, None] - (other[1] + sign * other[0]))
        return self.at(squared)

    def at(self, squared: Array) -> Array:
        """Return the correlations at squared distances."""
        scaled = squared / self.length**2
        if self.shape == "gauss":
            return np.exp(-0.5 * scaled)
        distance = np.sqrt(3.0 * scaled)
        return (1.0 + distance) * np.exp(-distance)


class Prior(Record, eq=False):
    """Independent normal priors of theta: centres and standard deviations."""

    centre: Array
    spread: Array

    @property
    def precision(self) -> Array:
        """The inverse covariance."""
        return np.diag(self.spread**-2.0)


class Common(NamedTuple):
    """An error that the runs of a group share: the group of each run, its variance in that of a run's own noise.

    ``log_prior`` is the log prior probability of this against no common error.
    """

    groups: Index | None
    ratio: float
    log_prior: float


NO_COMMON = Common(None, 0.0, 0.0)


class Observations(Record, eq=False):
    """Runs as the model sees them: centred logs of size and data, ln loss, and the noise variance relative to s^2.

    ``commons`` are the errors that groups of runs may share; which one, if any, the evidence decides.
    """

    x: Array
    y: Array
    z: Array
    noise: Array
    commons: tuple[Common, ...] = (NO_COMMON,)

    def __len__(self) -> int:
        return len(self.z)


def log_law(theta: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Return ln f (..., n) at n points, and its derivatives (..., n, 6) by theta (..., 6).

    Every sum of exponentials goes through its largest term, so that no theta overflows.
    """
    a, b, floor = (theta[..., i, None] for i in range(3))
    alpha, beta, gamma = (np.exp(theta[..., i, None]) for i in range(3, 6))
    size, data = a - alpha * x, b - beta * y
    top = np.maximum(size, data)
    size_part, data_part = np.exp((size - top) / gamma), np.exp((data - top) / gamma)
    reducible = top + gamma * np.log(size_part + data_part)
    value = np.logaddexp(floor, reducible)
    above = np.exp(reducible - value)
    by_size = above * size_part / (size_part + data_part)
    by_data = above - by_size
    slopes = (
        by_size,
        by_data,
        np.exp(floor - value),
        -by_size * alpha * x,
        -by_data * beta * y,
        above * reducible - by_size * size - by_data * data,
    )
    return value, np.stack(slopes, axis=-1)


def tempered(evidence: Sequence[float]) -> Array:
    """Return the weights of members that differ in their prior alone, from their log evidence."""
    logs = TEMPER * (np.asarray(evidence) - max(evidence))
    return np.exp(logs) / np.sum(np.exp(logs))


class Posterior(NamedTuple):
    """What a member tells of the expected ln loss at points: the mean, and the covariance by its two sources."""

    mean: Array
    law: Array
    discrepancy: Array


class Whitened(Record, eq=False):
    """The coordinates in which runs with noise M and discrepancy K have the covariance diag(s^2 + tau^2 spectrum).

    M = diag(noise) + q [same group] is L L'; ``rows`` are U' L^-1 with U the eigenvectors of L^-1 K L^-T.
    ``run_weights`` are the w in the noise.
    """

    rows: Array
    spectrum: Array
    log_det: float
    common: Common
    run_weights: Array

    def precision(self, noise: float, misfit: float) -> Array:
        """Return the inverse variances of the whitened runs, given s^2 and tau."""
        return 1.0 / (misfit**2 * self.spectrum + noise)

    @classmethod
    def of(cls, kernel: Array, plain: Array, run_weights: Array, common: Common) -> Whitened:
        """Decompose the kernel matrix of runs with noise ``plain * run_weights`` and a common error."""
        noise = plain * run_weights
        if common.groups is None:
            scale = noise**-0.5
            spectrum, vectors = np.linalg.eigh(scale[:, None] * kernel * scale)
            rows, log_det = vectors.T * scale, float(np.sum(np.log(noise)))
        else:
            same = common.groups[:, None] == common.groups
            lower = np.linalg.cholesky(np.diag(noise) + common.ratio * same)
            inverse = np.linalg.inv(lower)
            spectrum, vectors = np.linalg.eigh(inverse @ kernel @ inverse.T)
            rows, log_det = vectors.T @ inverse, float(2.0 * np.sum(np.log(np.diag(lower))))
        return cls(
            rows=rows,
            spectrum=np.maximum(spectrum, 0.0),
            log_det=log_det,
            common=common,
            run_weights=run_weights,
        )


class _Linear(NamedTuple):
    """The law linearised at a theta: ``observed = slopes (theta - prior's centre) + discrepancy + noise``."""

    observed: Array
    slopes: Array
    prior: Prior

    @classmethod
    def at(cls, theta: Array, runs: Observations, prior: Prior) -> _Linear:
        value, slopes = log_law(theta, runs.x, runs.y)
        return cls(runs.z - value + slopes @ (theta - prior.centre), slopes, prior)


class _Estimate(NamedTuple):
    """Noise s^2 and misfit tau under one common error at one linearisation, their evidence, and theta there."""

    evidence: float
    whitened: Whitened
    noise: float
    misfit: float
    theta: Array

    @property
    def precision(self) -> Array:
        """The inverse variances of the whitened runs."""
        return self.whitened.precision(self.noise, self.misfit)


class Member(Record, eq=False):
    """The law with one kernel and one prior: estimates of theta, s, tau and q, and the posterior there.

    ``linearised`` is the theta at which the law was linearised last; theta is ``linearised + step``. ``noise`` is
    s^2, ``misfit`` tau.
    """

    kernel: Kernel
    prior: Prior
    at: tuple[Array, Array]
    linearised: Array
    step: Array
    noise: float
    misfit: float
    evidence: float
    whitened: Whitened
    residuals: Array
    slopes: Array
    covariance: Array

    @property
    def theta(self) -> Array:
        """The law's coefficients."""
        return self.linearised + self.step

    @property
    def common(self) -> Common:
        """The error that the runs of a group share."""
        return self.whitened.common

    @property
    def run_weights(self) -> Array:
        """The noise variance of each run over that of a run that is no outlier."""
        return self.whitened.run_weights

    @property
    def run_noise(self) -> float:
        """The noise variance of one run: its own, and the common error of a group that is new with it."""
        return self.noise * (1.0 + self.common.ratio)

    @cached_property
    def _precision(self) -> Array:
        return self.whitened.precision(self.noise, self.misfit)

    def _to_runs(self, points: tuple[Array, Array]) -> Array:
        """Return the covariances of the discrepancy at points with the runs, in the whitened coordinates."""
        return self.misfit**2 * (self.kernel.between(points, self.at) @ self.whitened.rows.T)

    def discrepancy(self, x: Array, y: Array) -> Array:
        """Return the posterior mean of delta, what the law of this member misses, in ln L."""
        return self._to_runs((x, y)) @ (self._precision * self.residuals)

    def summed(self, x: Array, y: Array, rows: Array, cross: Array, own: Array) -> tuple[Array, Array]:
        """Return the mean at points, and the covariance of ``rows`` (k, n) of sums over them.

        ``cross`` are the correlations of the discrepancy at the points with the runs, ``own`` (k, k) those of the
        sums among themselves. No covariance (n, n) is made, of which the sums need little.
        """
        value, slopes = log_law(self.linearised, x, y)
        to_runs = self.misfit**2 * (cross @ self.whitened.rows.T)
        explained = to_runs * self._precision
        rest = rows @ (slopes - explained @ self.slopes)
        law = rest @ self.covariance @ rest.T
        known = (rows @ explained) @ (rows @ to_runs).T
        return value + slopes @ self.step + explained @ self.residuals, law + self.misfit**2 * own - known

    def posterior(self, x: Array, y: Array) -> Posterior:
        """Return the posterior of the expected ln loss at points.

        With k* the covariances with the runs, C the runs' own and R = J* - k* C^-1 J: the mean is
        ln f* + J* step + k* C^-1 (z - ln f - J step), the covariance R cov(theta) R' + tau^2 k** - k* C^-1 k*'.
        """
        value, slopes = log_law(self.linearised, x, y)
        to_runs = self._to_runs((x, y))
        explained = to_runs * self._precision
        rest = slopes - explained @ self.slopes
        return Posterior(
            mean=value + slopes @ self.step + explained @ self.residuals,
            law=rest @ self.covariance @ rest.T,
            discrepancy=self.misfit**2 * self.kernel.between((x, y), (x, y)) - explained @ to_runs.T,
        )


def fit_members(kernel: Kernel, runs: Observations, priors: Sequence[Prior], starts: Sequence[Array]) -> list[Member]:
    """Fit the model with one kernel under each prior, from a start for each.

    The members share the weights of the runs: what is an outlier does not depend on the prior, evidences compare, and
    one decomposition serves them all.
    """
    correlations = kernel.between((runs.x, runs.y), (runs.x, runs.y))
    thetas = list(starts)
    deviation, weights = first_weights(runs, starts)
    bases: list[Whitened] = []
    commons = list(runs.commons[:1])  # the first weights are those of the start, and judge no common error
    for number in range(1, _PASSES + 1):
        if number == 2:
            bases, commons = [], list(runs.commons)
        if not bases or np.max(np.abs(np.log(weights / bases[0].run_weights))) > _SAME_WEIGHTS:
            bases = [Whitened.of(correlations, runs.noise, weights, common) for common in commons]
        linears = [_Linear.at(theta, runs, prior) for theta, prior in zip(thetas, priors, strict=True)]
        found_by, behind = _estimates(bases, linears, deviation)
        estimates, longest = [*zip(found_by, linears, strict=True)], 0.0
        for i, (found, linear) in enumerate(estimates):
            move = _shortened(found.theta - thetas[i], np.minimum(linear.prior.spread, 1.0))
            thetas[i] = thetas[i] + move
            longest = max(longest, float(np.max(np.abs(move / linear.prior.spread))))
        if number == _PASSES or (number > 1 and longest < _CONVERGED):
            break
        if number > 1:
            kept = np.flatnonzero(behind < _HOPELESS).tolist()
            bases, commons = [bases[k] for k in kept], [commons[k] for k in kept]
        outlying = [_left_out(found, linear, runs.noise) for found, linear in estimates]
        weights = _pooled(outlying, tempered([found.evidence for found, _ in estimates]))
    return [
        _member(kernel, runs, prior, theta, found)
        for prior, theta, (found, _) in zip(priors, thetas, estimates, strict=True)
    ]


def first_weights(runs: Observations, laws: Sequence[Array]) -> tuple[float, Array]:
    """Return the first estimate of s, and the weights of the runs, by their residuals from laws.

    The estimate holds the pseudo-runs of the prior of s.
    """
    count = len(runs)
    off = [(log_law(theta, runs.x, runs.y)[0] - runs.z) / np.sqrt(runs.noise) for theta in laws]
    middle = [typical_deviation(residuals) + _LEAST_DEVIATION for residuals in off]
    squared = float(np.exp(2.0 * np.mean(np.log(middle))))
    pooled = (count * squared + _NOISE_RUNS * _NOISE**2) / (max(count - _LAW_RUNS, 0) + _NOISE_RUNS)
    deviation = math.sqrt(pooled)
    return deviation, _pooled([_outlier_weights(residuals / deviation) for residuals in off], np.ones(len(laws)))


def gross(weights: Array) -> Mask:
    """Return which runs are so far off that they failed or were mistyped, by their weights."""
    return weights > (_GROSS / _OUTLIER) ** 2


def _outlier_weights(deviations: Array) -> Array:
    """Return noise variances by which outliers of so many sd are three sd away, and gross ones less."""
    size = np.abs(deviations)
    return np.square(np.maximum(size / _OUTLIER, 1.0) * np.maximum(size / _GROSS, 1.0))


def _pooled(weights: Sequence[Array], shares: Array) -> Array:
    """Return the geometric mean of several members' weights of the runs."""
    return np.exp(np.average(np.log(weights), axis=0, weights=shares))


_OFF, _FAR = (
    grid.ravel()
    for grid in np.meshgrid(np.linspace(*_NOISE_SPAN, _GRID), np.linspace(-_MISFIT_SPAN, _MISFIT_SPAN, _GRID))
)
"""The grid of ln s and ln tau, off their priors in sd."""


def _estimates(
    bases: Sequence[Whitened], linears: Sequence[_Linear], deviation: float
) -> tuple[list[_Estimate], Array]:
    """Return for each law the estimate under the common error of most evidence, and how far each error is behind.

    An estimate has the posterior means of ln s and ln tau over a grid, the evidence of the grid, and theta at the
    means. Means, where a mode would do: they move smoothly with the runs, and so do forecasts. How far an error is
    behind the best is the least of all laws.
    """
    columns = np.stack([np.concatenate([each.slopes, each.observed[:, None]], axis=1) for each in linears])
    whitened = np.stack([base.rows for base in bases])[:, None] @ columns
    evidence = _evidence(bases, whitened, [each.prior for each in linears], _variances(_OFF, _FAR, deviation))
    evidence += np.array([base.common.log_prior for base in bases])[:, None, None] - 0.5 * (_OFF**2 + _FAR**2)
    most = np.max(evidence, axis=2, keepdims=True)
    chances = np.exp(evidence - most)
    totals = np.sum(chances, axis=2)
    noise, misfit = _variances(chances @ _OFF / totals, chances @ _FAR / totals, deviation)
    total = most[:, :, 0] + np.log(totals)
    estimates = []
    for i, linear in enumerate(linears):
        best = int(np.argmax(total[:, i]))
        slopes, observed = whitened[best, i, :, :6], whitened[best, i, :, 6]
        weighted = slopes.T / (misfit[best, i] * bases[best].spectrum + noise[best, i])
        solution = np.linalg.solve(weighted @ slopes + linear.prior.precision, weighted @ observed)
        estimate = _Estimate(
            evidence=float(total[best, i]),
            whitened=bases[best],
            noise=float(noise[best, i]),
            misfit=math.sqrt(misfit[best, i]),
            theta=linear.prior.centre + solution,
        )
        estimates.append(estimate)
    return estimates, np.min(np.max(total, axis=0) - total, axis=1)


def _variances(off: Array, far: Array, deviation: float) -> tuple[Array, Array]:
    """Return s^2 and tau^2 of deviations of ln s and ln tau from their priors, in sd."""
    return np.square(deviation * np.exp(off)), np.exp(2.0 * (_MISFIT[0] + _MISFIT[1] * far))


_LOWER = np.tril_indices(7)
_DIAGONAL = np.arange(6)


def _evidence(
    bases: Sequence[Whitened], whitened: Array, priors: Sequence[Prior], variances: tuple[Array, Array]
) -> Array:
    """Return the log evidence (bases, laws, pairs) of linearised laws for many (s^2, tau^2), under each common error.

    ``whitened`` (bases, laws, runs, 7) are the slopes T and what is observed, t. With d = s^2 + tau^2 spectrum, P the
    prior covariance, A = T' d^-1 T + P^-1 and g = T' d^-1 t, the evidence is -1/2 (sum ln d + ln|M| + ln|A| + ln|P| +
    t' d^-1 t - g' A^-1 g) and a constant. One Cholesky factor of A bordered by g has both ln|A| and g' A^-1 g, which
    t' d^-1 t bounds: the corner is large enough for every rounding.
    """
    spectra = np.stack([base.spectrum for base in bases])
    spread = variances[1][:, None] * spectra[:, None] + variances[0][:, None]
    sums = (1.0 / spread)[:, None] @ (whitened[..., _LOWER[0]] * whitened[..., _LOWER[1]])
    matrix = np.zeros((*sums.shape[:-1], 7, 7))
    matrix[..., _LOWER[0], _LOWER[1]] = sums
    spreads = np.stack([prior.spread for prior in priors])
    matrix[..., _DIAGONAL, _DIAGONAL] += spreads[:, None] ** -2.0
    squares = sums[..., -1]
    corner = 2.0 * squares + 1.0
    matrix[..., 6, 6] = corner
    ends = np.diagonal(np.linalg.cholesky(matrix), axis1=-2, axis2=-1)
    log_dets = np.sum(np.log(spread), axis=-1)[:, None] + 2.0 * np.sum(np.log(ends[..., :6]), axis=-1)
    constant = np.array([base.log_det for base in bases])[:, None] + 2.0 * np.sum(np.log(spreads), axis=1)
    evidence: Array = -0.5 * (log_dets + constant[..., None] + squares - (corner - ends[..., 6] ** 2))
    return evidence


def _shortened(step: Array, longest: Array) -> Array:
    """Return a step of theta, shortened so that no coordinate moves by more than ``longest``."""
    return step / max(float(np.max(np.abs(step / longest))), 1.0)


def _left_out(found: _Estimate, linear: _Linear, plain: Array) -> Array:
    """Return the weights of the runs by what all others say of each (Rasmussen and Williams, equation 5.12).

    With C the covariance of the runs, theta's part in it, a run's residual is [C^-1 z]_i/[C^-1]_ii, of variance
    1/[C^-1]_ii; here less the noise that the run's present weight adds to the ``plain`` one.
    """
    rows, precision = found.whitened.rows, found.precision
    t, T = rows @ linear.observed, rows @ linear.slopes
    lower = np.linalg.cholesky(T.T @ (precision[:, None] * T) + linear.prior.precision)
    half = np.linalg.solve(lower, T.T * precision)
    weighted = rows.T @ (precision * t - half.T @ (half @ t))
    diagonal = precision @ np.square(rows) - np.sum(np.square(half @ rows), axis=0)
    added = found.noise * plain * (found.whitened.run_weights - 1.0)
    return _outlier_weights(weighted / diagonal / np.sqrt(np.maximum(1.0 / diagonal - added, found.noise * plain)))


def _member(kernel: Kernel, runs: Observations, prior: Prior, theta: Array, found: _Estimate) -> Member:
    """Return the member at its estimates, with the posterior around the last linearisation."""
    value, slopes = log_law(theta, runs.x, runs.y)
    rows, precision = found.whitened.rows, found.precision
    t, T = rows @ (runs.z - value), rows @ slopes
    covariance = np.asarray(np.linalg.inv(T.T @ (precision[:, None] * T) + prior.precision), dtype=np.float64)
    right = T.T @ (precision * t) + prior.precision @ (prior.centre - theta)
    step = _shortened(covariance @ right, prior.spread)
    return Member(
        kernel=kernel,
        prior=prior,
        at=(runs.x, runs.y),
        linearised=theta,
        step=step,
        noise=found.noise,
        misfit=found.misfit,
        evidence=found.evidence,
        whitened=found.whitened,
        residuals=t - T @ step,
        slopes=T,
        covariance=covariance,
    )
