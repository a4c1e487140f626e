"""Clean and thin the curve of one run: what every method of a forecast works on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Array, Mask
    from scaleplan.tracking.loss_curve import LossCurve

__all__ = ["SeenPart", "level_at_end", "noise_beside", "seen_part"]

_MEDIAN = 0.6744897501960817  # of the absolute value of a standard normal variable
_MEAN = 0.7978845608028654  # likewise its mean
_OUTLIER = 6.0  # standard deviations from a running median: one in 5e8 of normal noise
_PER_E_FOLD = 40  # bins: 2.5 % of the position wide, below which no curve of a smooth schedule bends
_ROUNDING = 1e-6  # of a bin: even shares of a run lie on the edges of bins
_WIDEST = 0.01  # of the run, so that a decay over its last tenth still has ten bins
_AGREE = 2.5  # standard deviations between two windows: noise alone goes beyond in one of 80
_COMPARED = 8  # points whose spread tells their noise to a quarter
_DENSE = 40  # points a run, between which a smooth schedule bends less than a cubic through four does
_FEWEST = 3  # points whose spread or slope can be told


class SeenPart(Record, eq=False):
    """The mean ln ``loss`` of bins at ``shares`` of the run, with its standard deviation in ``spread``.

    ``noise`` is the standard deviation of one logged ln loss about the smooth curve, ``last`` the last share seen,
    which lies half a bin beyond the last of ``shares``.
    """

    shares: Array
    loss: Array
    spread: Array
    noise: float
    last: float

    def upto(self, share: float) -> SeenPart:
        """Return the part up to a share of the run."""
        return replace(self._where(self.shares <= share * (1 + 1e-9)), last=min(share, self.last))

    def after(self, share: float) -> SeenPart:
        """Return the part from a share of the run on."""
        return self._where(self.shares >= share * (1 - 1e-9))

    def _where(self, keep: Mask) -> SeenPart:
        return replace(self, shares=self.shares[keep], loss=self.loss[keep], spread=self.spread[keep])

    def with_noise(self, noise: float) -> SeenPart:
        """Return the part with another noise."""
        spread = np.full(len(self.shares), noise) if self.noise == 0 else self.spread * (noise / self.noise)
        return replace(self, spread=spread, noise=noise)

    def at(self, shares: Array) -> Array:
        """Return ln loss at shares of the run, on the line between bins over the logarithm of the share."""
        return np.interp(np.log(shares), np.log(self.shares), self.loss)


def seen_part(curve: LossCurve) -> SeenPart:
    """Return what was seen of a run: without values that are no loss, spikes and what is beyond its end."""
    steps, values = np.asarray(curve.steps, dtype=float), np.asarray(curve.loss, dtype=float)
    usable = np.isfinite(steps) & np.isfinite(values) & (values > 0) & (steps > 0) & (0 < curve.total < np.inf)
    order = np.argsort(steps[usable], kind="stable")
    shares = np.minimum(steps[usable][order] / curve.total, 1.0)
    losses = np.log(values[usable][order])
    last_of_share = np.append(np.diff(shares) > 0, True)[: len(shares)]
    shares, losses = shares[last_of_share], losses[last_of_share]
    noise = _noise(shares, losses)
    regular = ~_outliers(losses, noise)
    shares, losses = shares[regular], losses[regular]
    noise = _noise(shares, losses)
    return _binned(shares, losses, noise)


def noise_beside(part: SeenPart, others: Sequence[SeenPart]) -> float:
    """Return the noise of one value about the smooth curve, as far as runs of the recipe show what is no noise.

    Where the schedule bends the curve of a sparse log, it bends theirs too, and differences are straighter. Noise
    that they share, as runs do that see the same data in the same order, is not left in them either. The median of
    the differences is taken; as each has the noise of both runs, it is rather too large. A dense log tells its own.
    """
    apart = []
    if len(part.shares) >= _DENSE * part.last:
        return part.noise
    for other in others:
        inside = part.after(float(other.shares[0])).upto(float(other.shares[-1]))
        if len(inside.shares) >= _COMPARED and part.noise > 0:
            unit = np.maximum(inside.spread / part.noise, _ROUNDING)
            apart.append(_noise(inside.shares, (inside.loss - other.at(inside.shares)) / unit))
    return min(part.noise, float(np.median(apart))) if apart else part.noise


def _noise(shares: Array, losses: Array) -> float:
    """Return the standard deviation of one value about a smooth curve.

    It is the least of what the distances from the line through two neighbours and from the cubic through four, over
    the logarithm of the share, speak for: a curve bends, and a cubic follows more of that than of noise. The later
    half of the points is taken where it is long enough.
    """
    place = np.log(shares)
    return min((_about(place, losses, reach) for reach in (1, 2) if len(losses) >= 2 * reach + _FEWEST), default=0.0)


def _about(place: Array, losses: Array, reach: int) -> float:
    """Return the standard deviation of values about the polynomials through ``reach`` neighbours on either side."""
    beside = [k for k in range(-reach, reach + 1) if k]
    centre = np.arange(reach, len(losses) - reach)
    apart, taken = losses[centre].copy(), np.ones(len(centre))
    for one in beside:
        share = np.ones(len(centre))
        for other in beside:
            if other != one:
                share *= (place[centre] - place[centre + other]) / (place[centre + one] - place[centre + other])
        apart -= share * losses[centre + one]
        taken += share**2
    size = np.abs(apart / np.sqrt(taken))
    late = size[-max(len(size) // 2, min(len(size), 8)) :]
    return float(np.mean(np.minimum(late, 4 * np.median(late) / _MEDIAN)) / _MEAN)


def _outliers(losses: Array, noise: float) -> Mask:
    """Return which values lie far from the running median, which of a falling curve is the value in the middle."""
    count = len(losses)
    far = np.zeros(count, dtype=bool)
    if count < 2 * _FEWEST + 1:
        return far
    limit = _OUTLIER * max(noise, 1e-4)
    for width in {5, min(max(count // 40 * 2 + 1, 5), 101)}:
        half = width // 2
        middle = np.median(np.lib.stride_tricks.sliding_window_view(losses, width), axis=1)
        far[half : count - half] |= np.abs(losses[half : count - half] - middle) > limit
        for k in range(count - half, count):  # the window shrinks towards the end, which the forecast hangs on
            before = losses[max(k - width, 0) : k][~far[max(k - width, 0) : k]]
            far[k] |= len(before) > 0 and losses[k] - np.median(before[-_FEWEST:]) > limit
    return far


def _binned(shares: Array, losses: Array, noise: float) -> SeenPart:
    """Return the means of bins that widen with the logarithm of the share."""
    if not len(shares):
        return SeenPart(shares=shares, loss=losses, spread=losses, noise=noise, last=0.0)
    late = shares >= _WIDEST * _PER_E_FOLD * (1 - _ROUNDING)
    place = np.where(late, 0.0, np.log(shares) * _PER_E_FOLD)
    place[late] = np.log(_WIDEST * _PER_E_FOLD) * _PER_E_FOLD + 1 + (shares[late] / _WIDEST - _PER_E_FOLD)
    edges = np.flatnonzero(np.diff(np.floor(place + _ROUNDING), prepend=-np.inf))
    count = np.diff(np.append(edges, len(shares)))
    mean_share, mean_loss = np.add.reduceat(shares, edges) / count, np.add.reduceat(losses, edges) / count
    return SeenPart(
        shares=mean_share, loss=mean_loss, spread=noise / np.sqrt(count), noise=noise, last=float(shares[-1])
    )


def level_at_end(part: SeenPart, *, sloping: bool = True, reach: float = 0.1) -> tuple[float, float]:
    """Return the ln loss of the smooth curve at the last share seen, and its standard deviation.

    A line (a level where not ``sloping``) through the last bins, as many as agree: the window grows as long as its
    estimate stays within :data:`_AGREE` standard deviations of every narrower window's (Lepski's rule), up to
    ``reach`` of what was seen. Where fewer than three lie there, as in sparse logs, the last value is the level.
    """
    shares, losses, spread = part.shares[::-1], part.loss[::-1], np.maximum(part.spread[::-1], 1e-7)
    level, deviation = float(losses[0]), float(spread[0])
    low, high = level - _AGREE * deviation, level + _AGREE * deviation
    widest = int(np.searchsorted(-shares, -(1 - reach) * (1 - 1e-9) * shares[0]))
    size = 3 if sloping else 2
    while size <= widest:
        weight = spread[:size] ** -2
        distance = (part.last - shares[:size]) if sloping else np.zeros(size)
        total, first, second = weight.sum(), weight @ distance, weight @ distance**2
        spoken = total * second - first**2
        if sloping and spoken > 0:
            new = (second * (weight @ losses[:size]) - first * (weight @ (distance * losses[:size]))) / spoken
            sd = float(np.sqrt(second / spoken))
        else:
            new, sd = (weight @ losses[:size]) / total, float(total**-0.5)
        low, high = max(low, new - _AGREE * sd), min(high, new + _AGREE * sd)
        if low > high:
            break
        if sd < deviation:
            level, deviation = float(new), sd
        size = max(size + 1, int(1.4 * size))
    return level, deviation
