"""Predict, before runs are trained, how surely they will tell of the optimum of a budget.

The model is that of the forecasts (:mod:`~scaleplan.fitting.forecaster`): a law, and a smooth discrepancy that no law
sees. With the law linearised at a guess the expected ln losses at any sizes are jointly normal, of covariance

    J P J' + tau^2 K

with J the derivatives of ln L by the coefficients, P their prior covariance, K a kernel. What runs leave of it
depends on where they are and not on what comes out (Rasmussen and Williams 2006, Gaussian Processes for Machine
Learning, section 2.2), so that it is known before. The kernels count equally, as in a forecast.
What the law alone would leave, with no discrepancy, is kept beside it: the least that can be hoped for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

import numpy as np

from scaleplan.fitting.discrepancy import MISFIT, log_law
from scaleplan.fitting.forecaster import KERNELS, prior_spread
from scaleplan.laws.additive import ThreeExponent
from scaleplan.laws.forecast import HALF
from scaleplan.record import Record

if TYPE_CHECKING:
    from scaleplan.arrays import Array, Floats, Index
    from scaleplan.fitting.surface_fit import SurfaceLaw

__all__ = ["Aim", "Belief", "StandardErrors", "law_terms"]

_EXPONENT_SPAN = math.log(100.0)  # below the target in ln C: the power of N* is measured over it
_STEP = 0.01  # in ln C, of the slope of the least loss: its error is of second order
_LEAST_FLOOR = 1e-3  # of ln E: an irreducible loss of zero has no logarithm


class StandardErrors(Record):
    """Standard errors of ln N* and ln L at the target, and of a in N* ∝ C^a, with what the law may miss.

    Those ``by_law`` are the same if the law of the guess held exactly. ``waste`` is the expected excess of the loss,
    as a share of it, of a run of the target's budget whose size is the N* that is then believed, and ``wasted_flops``
    the compute for which that loss could have been had less.
    """

    log_params: float
    log_loss: float
    exponent: float
    log_params_by_law: float | None = None
    log_loss_by_law: float | None = None
    waste: float | None = None
    wasted_flops: float | None = None


class Aim(Record, eq=False):
    """What is to be known at a budget, as sums of expected ln losses at a few points on budget lines.

    ``rows`` are the weights of the points in the loss of the optimum, in ln N* and in the exponent. N* is the
    vertex: where twice the size and half of it do equally well, as in a forecast.
    """

    params: Array
    tokens: Array
    rows: Array
    bend: float
    slope: float
    flops: float

    @classmethod
    def of(cls, law: SurfaceLaw, flops: float, per_product: float) -> Self:
        """Return the aim at the optimum of a budget, of which each params * tokens costs ``per_product``."""
        products = np.log(flops / per_product) - np.array([0.0, _EXPONENT_SPAN])
        sizes = np.array([math.log(float(law.best_split(math.exp(k))[0])) for k in products])
        x = np.concatenate([sizes[:1], sizes - HALF, sizes + HALF])
        y = np.concatenate([products[:1], products, products]) - x
        centres = np.log(np.asarray(law.loss(np.exp(sizes), np.exp(products - sizes))))
        losses = np.log(np.asarray(law.loss(np.exp(x), np.exp(y))))
        bends = (losses[1:3] + losses[3:5] - 2 * centres) / HALF**2
        per_slope = 1.0 / (2 * HALF * bends)
        size = np.array([0.0, per_slope[0], 0.0, -per_slope[0], 0.0])
        smaller = np.array([0.0, 0.0, per_slope[1], 0.0, -per_slope[1]])
        beyond = math.exp(float(products[0]) + _STEP)
        fall = float(centres[0]) - math.log(float(law.loss(*law.best_split(beyond))))
        return cls(
            params=np.exp(x),
            tokens=np.exp(y),
            rows=np.array([[1.0, 0.0, 0.0, 0.0, 0.0], size, (size - smaller) / _EXPONENT_SPAN]),
            bend=float(bends[0]),
            slope=fall / _STEP,
            flops=flops,
        )

    @property
    def determined(self) -> bool:
        """Whether the law has an optimum at the budget, at which the loss falls and which a size can miss."""
        numbers = (*self.params, *self.tokens, *self.rows.ravel(), self.bend, self.slope)
        return bool(np.all(np.isfinite(numbers))) and self.bend > 0 and self.slope > 0

    def errors(self, variances: Array) -> StandardErrors:
        """Return the standard errors from :meth:`Belief.variances` of :attr:`rows`.

        A size off by d in ln N costs bend/2 d^2 in ln L, to that order.
        """
        (loss, size, exponent), (law_loss, law_size, _) = np.sqrt(np.maximum(variances, 0.0)).tolist()
        waste = 0.5 * self.bend * size**2
        return StandardErrors(
            log_params=size,
            log_loss=loss,
            exponent=exponent,
            log_params_by_law=law_size,
            log_loss_by_law=law_loss,
            waste=waste,
            wasted_flops=self.flops * waste / self.slope,
        )


class Belief(Record, eq=False):
    """The covariances (member, point, point) of the expected ln loss at points, and the noise of one run there.

    The members are the kernels of the discrepancy, and last the law without one. The points come first that runs may
    be at, and last those of an :class:`Aim`.
    """

    covariance: Array
    noise: float

    @classmethod
    def prior(
        cls,
        law: SurfaceLaw,
        params: Floats,
        tokens: Floats,
        *,
        noise: float,
        misfit: float = MISFIT,
        centre: tuple[float, float] | None = None,
    ) -> Self:
        """Return what is believed before any run, of a law near a guess that errs by about ``misfit``.

        ``centre`` is ln N and ln D at the middle of the runs, where the two terms of the law are believed to be of
        the size of the loss; the middle of the points if not given.
        """
        x, y, half = law_terms(law, params, tokens, centre=centre)
        by_law = half @ half.T
        missed = [misfit**2 * kernel.between((x, y), (x, y)) for kernel in KERNELS]
        return cls(covariance=np.stack([by_law + part for part in (*missed, 0.0 * by_law)]), noise=noise)

    def given(self, runs: Index, *, seeds: Index | None = None) -> Belief:
        """Return what is believed after runs at the points of these positions, each of one seed or of ``seeds``."""
        if not len(runs):
            return self
        to_runs = self.covariance[:, :, runs]
        noise = self.noise**2 / (np.ones(len(runs)) if seeds is None else seeds)
        explained = np.linalg.solve(to_runs[:, runs] + np.diag(noise), np.swapaxes(to_runs, 1, 2))
        return Belief(covariance=self.covariance - to_runs @ explained, noise=self.noise)

    def after(self, run: int) -> Belief:
        """Return what is believed after one more run at a point."""
        return self._moved(run, 1.0)

    def without(self, run: int) -> Belief:
        """Return what would be believed without one of the runs at a point."""
        return self._moved(run, -1.0)

    def only(self, points: Index) -> Belief:
        """Return what is believed of some of the points."""
        return Belief(covariance=self.covariance[:, points[:, None], points], noise=self.noise)

    def variances(self, rows: Array) -> Array:
        """Return the variances of sums of the last points, (2, sum): the mean of the kernels, and by the law alone.

        ``rows`` are the weights of those points in each sum.
        """
        count = rows.shape[1]
        return _cases(np.einsum("qi,mij,qj->mq", rows, self.covariance[:, -count:, -count:], rows))

    def gains(self, rows: Array, without: int | None = None) -> Array:
        """Return by how much (2, sum, point) one more run at each point would lower the variances.

        ``without`` is a point of which one run is left out: the gain is then over all runs that remain with that one
        left out, and may be negative against those that are there.
        """
        count = rows.shape[1]
        moved = rows @ self.covariance[:, -count:, :]
        own = np.diagonal(self.covariance, axis1=1, axis2=2)[:, None, :]
        lost: Array | float = 0.0
        if without is not None:
            column = self.covariance[:, :, without]
            share = 1.0 / (self.noise**2 - column[:, without])
            told = column[:, -count:] @ rows.T
            moved = moved + (share[:, None] * told)[:, :, None] * column[:, None, :]
            own = own + share[:, None, None] * np.square(column)[:, None, :]
            lost = (share[:, None] * np.square(told))[:, :, None]
        return _cases(np.square(moved) / (self.noise**2 + own) - lost)

    def _moved(self, run: int, sign: float) -> Belief:
        column = self.covariance[:, :, run]
        share = sign / (self.noise**2 + sign * column[:, run])
        moved = self.covariance - (share[:, None] * column)[:, :, None] * column[:, None, :]
        return Belief(covariance=moved, noise=self.noise)


def law_terms(
    law: SurfaceLaw, params: Floats, tokens: Floats, *, centre: tuple[float, float] | None = None
) -> tuple[Array, Array, Array]:
    """Return centred ln N and ln D, and the derivatives of ln L by each coefficient of a law, times its prior sd.

    ``centre`` is as for :meth:`Belief.prior`.
    """
    x, y = np.log(params), np.log(tokens)
    middle = (float(np.mean(x)), float(np.mean(y))) if centre is None else centre
    x, y = x - middle[0], y - middle[1]
    _, slopes = log_law(_centred(law, middle), x, y)
    return x, y, slopes * prior_spread()


def _cases(values: Array) -> Array:
    """Return the mean over the kernels, and the value of the law alone, of what the members have."""
    return np.stack([np.mean(values[:-1], axis=0), values[-1]])


def _centred(law: SurfaceLaw, middle: tuple[float, float]) -> Array:
    """Return the coefficients of a law as a forecast has them: (a, b, e, ln alpha, ln beta, ln gamma)."""
    gamma = law.gamma if isinstance(law, ThreeExponent) else 1.0
    alpha, beta = gamma * law.alpha, gamma * law.beta
    level = gamma * math.log(law.A) - alpha * middle[0], gamma * math.log(law.B) - beta * middle[1]
    return np.array([*level, math.log(max(law.E, _LEAST_FLOOR)), *np.log([alpha, beta, gamma])])
