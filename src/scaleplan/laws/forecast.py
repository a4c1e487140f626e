"""The surface that a fit forecasts with: a law, what the law misses, and how surely both are known.

A fit models ln L as a law plus a smooth discrepancy (:mod:`scaleplan.fitting.forecaster`). Its posterior is smooth, so
it is kept as a polynomial correction of the law's logarithm with the covariance of its coefficients:

    ln L(N, D) = ln f(N, D) + w . T(s, t),  Var = |R' T(s, t)|^2

with f the law, T the products T_i(s) T_j(t) of Chebyshev polynomials in u = ln N D and v = ln D/N scaled to [-1, 1]
over the span, w their weights, and R the lower Cholesky factor of the covariance of the weights. The uncertainty of
the law's coefficients is part of that covariance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.arrays import choose, exceeds, exp, log, maximum, minimum
from scaleplan.laws.additive import ThreeExponent
from scaleplan.laws.base import LossSurface, Number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.arrays import Mask
    from scaleplan.toml_table import Table

__all__ = ["HALF", "REACH", "Forecast"]

HALF = 0.7
"""Half the span in ln N over which an optimum is measured: a factor of 2 either way, as sizes are tried in practice."""

REACH = 100.0
"""How many times the compute of the largest run the span holds: beyond it no optimum has an interval."""

_NODES = tuple(
    (sign * place, weight)
    for place, weight, signs in (
        (0.0, 128 / 450, (1,)),
        (math.sqrt(5 - 2 * math.sqrt(10 / 7)) / 3, (322 + 13 * math.sqrt(70)) / 1800, (-1, 1)),
        (math.sqrt(5 + 2 * math.sqrt(10 / 7)) / 3, (322 - 13 * math.sqrt(70)) / 1800, (-1, 1)),
    )
    for sign in signs
)
"""Places and weights of the mean over [-1, 1] by Gauss and Legendre's rule of five points, exact to degree 9."""

_SCAN = 13  # places on a budget line from which the search for an optimum starts at the least
_STEPS = 30  # of Newton's method; two optima apart by its clipped step need as many
_CLIP = 0.5  # the longest step in ln N
_SETTLED = 1e-12  # a last step in ln N below it is rounding
_ROUNDING = 1e-15  # of ln L
_MOST_PRODUCT = math.log(1e60)  # more than can ever be trained


@dataclass(frozen=True, kw_only=True)
class Forecast(LossSurface):
    """The forecast of a fit: ``base`` is the law f, ``noise`` the standard deviation of ln L of one run.

    ``span`` is (least u, greatest u, least v, greatest v). Beyond it the correction stays what it is at the edge, and
    its standard deviation goes on growing as it does there.
    """

    form: ClassVar[str] = "forecast"
    formula: ClassVar[str] = "L = (E + (A/N^alpha + B/D^beta)^gamma) * exp(correction)"

    least_bend: ClassVar[float] = 1e-4
    """Of ln L along a budget line, per square of ln N: a flatter line has no optimum to speak of."""

    base: ThreeExponent
    span: tuple[float, float, float, float]
    terms: tuple[tuple[int, int], ...]
    weights: tuple[float, ...]
    root: tuple[tuple[float, ...], ...]
    noise: float

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the ``[forecast]`` of a preset; raises FileError if anything is missing or does not go together."""
        base = ThreeExponent.from_table(table.table("law"))
        span = table.numbers("span")
        if len(span) != 4 or not (span[0] < span[1] and span[2] < span[3]):
            raise table.error("span", "expected the least and greatest ln ND, and those of ln D/N")
        terms = tuple((int(i), int(j)) for i, j in _pairs(table, "terms"))
        weights, packed, count = table.numbers("weights"), table.numbers("root"), len(terms)
        if len(weights) != count:
            raise table.error("weights", f"expected {count} numbers, one for each term")
        if len(packed) != count * (count + 1) // 2:
            raise table.error("root", f"expected {count * (count + 1) // 2} numbers, the lower triangle row by row")
        root = tuple(packed[i * (i + 1) // 2 : (i + 1) * (i + 2) // 2] for i in range(count))
        found = cls(
            base=base, span=span, terms=terms, weights=weights, root=root, noise=table.number("noise", at_least=0)
        )
        table.done()
        return found

    def to_table(self) -> dict[str, object]:
        """Return what :meth:`from_table` reads."""
        return {
            "span": list(self.span),
            "noise": self.noise,
            "terms": [list(term) for term in self.terms],
            "weights": list(self.weights),
            "root": [value for row in self.root for value in row],
            "law": self.base.coefficients(),
        }

    def summary(self) -> dict[str, object]:
        """Return what a reader can use: the law inside, the span of ln ND and ln D/N, and the noise of one run."""
        return {"law": self.base.coefficients(), "span": list(self.span), "noise": self.noise}

    # ---- the expected loss ----------------------------------------------------------------------------------

    def log_loss(self, params: Number, tokens: Number) -> Number:
        """Return the expected logarithm of the loss."""
        x, y = log(params), log(tokens)
        return self._law(x, y) + self._correction(x + y, (y - x,))[0]

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return the loss of ``params`` on ``tokens``."""
        return exp(self.log_loss(params, tokens))

    def reducible(self, params: Number, tokens: Number) -> Number:
        """Return the loss: how low it can go is not told apart from how fast it falls, so no floor is named."""
        return self.loss(params, tokens)

    def aim(self, params: Number, tokens: Number) -> Number:
        """Return the loss averaged over half to twice the size at the same N*D, in the logarithm.

        Its least value on a budget line is the vertex, where twice the size and half of it do equally well: what
        people measure as an optimum, and blind to wiggles shorter than the sizes that they try.
        """
        law, correction = self.averaged(params, tokens)
        return exp(law + correction)

    def averaged(self, params: Number, tokens: Number) -> tuple[Number, Number]:
        """Return the averages of :meth:`aim` of the law's logarithm and of its correction."""
        x, y = log(params), log(tokens)
        shifts = [HALF * place for place, _ in _NODES]
        corrections = self._correction(x + y, [y - x - 2 * shift for shift in shifts])
        law, total = 0.0 * x, 0.0 * x
        for (_, weight), shift, correction in zip(_NODES, shifts, corrections, strict=True):
            law, total = law + weight * self._law(x + shift, y - shift), total + weight * correction
        return law, total

    def _law(self, x: Number, y: Number) -> Number:
        """Return ln f at (ln N, ln D), as a sum that cannot overflow."""
        law = self.base
        size, data = self._logs[0] - law.alpha * x, self._logs[1] - law.beta * y
        apart = abs(size - data)
        return log(law.E + exp(law.gamma * (0.5 * (size + data + apart) + log(1.0 + exp(-apart)))))

    @cached_property
    def _logs(self) -> tuple[float, float]:
        return math.log(self.base.A), math.log(self.base.B)

    @cached_property
    def _rows(self) -> tuple[tuple[float, ...], ...]:
        """The weights as coefficients of powers s^i t^j, row by row of i; of degree 8 they keep 12 digits."""
        most = [max((term[k] for term in self.terms), default=0) for k in (0, 1)]
        powers = [_powers(degree) for degree in most]
        rows = [[0.0] * (most[1] + 1) for _ in range(most[0] + 1)]
        for (i, j), weight in zip(self.terms, self.weights, strict=True):
            for p, left in enumerate(powers[0][i]):
                for q, right in enumerate(powers[1][j]):
                    rows[p][q] += weight * left * right
        return tuple(map(tuple, rows))

    @cached_property
    def _scales(self) -> tuple[float, float, float, float]:
        """The middles of the span in u and v, and the factors that make its halves 1."""
        low_u, high_u, low_v, high_v = self.span
        return 0.5 * (low_u + high_u), 2 / (high_u - low_u), 0.5 * (low_v + high_v), 2 / (high_v - low_v)

    def _correction(self, u: Number, ratios: Sequence[Number]) -> list[Number]:
        """Return w . T at one ln N*D and several ln D/N."""
        middle_u, factor_u, middle_v, factor_v = self._scales
        s = maximum(minimum((u - middle_u) * factor_u, 1.0), -1.0)
        first, *rest = self._rows[::-1]
        columns: list[Number] = [value + 0.0 * s for value in first]
        for row in rest:
            columns = [column * s + value for column, value in zip(columns, row)]  # noqa: B905  of one length
        highest, *others = columns[::-1]
        found = []
        for ratio in ratios:
            t = maximum(minimum((ratio - middle_v) * factor_v, 1.0), -1.0)
            total = highest
            for column in others:
                total = total * t + column
            found.append(total)
        return found

    # ---- how surely it is known -----------------------------------------------------------------------------

    def basis(self, params: Number, tokens: Number) -> list[Number]:
        """Return T: how ln L moves with each of the weights."""
        x, y = log(params), log(tokens)
        middle_u, factor_u, middle_v, factor_v = self._scales
        s = maximum(minimum((x + y - middle_u) * factor_u, 1.0), -1.0)
        t = maximum(minimum((y - x - middle_v) * factor_v, 1.0), -1.0)
        powers = [[1.0 + 0.0 * s, s], [1.0 + 0.0 * t, t]]
        for values in powers:
            for _ in range(max(max(term) for term in self.terms) - 1):
                values.append(2 * values[1] * values[-1] - values[-2])
        return [powers[0][i] * powers[1][j] for i, j in self.terms]

    def averaged_basis(self, params: Number, tokens: Number) -> list[Number]:
        """Return the average of :meth:`aim` of each of the terms."""
        total = [0.0 * log(params)] * len(self.terms)
        for place, weight in _NODES:
            shift = math.exp(HALF * place)
            row = self.basis(params * shift, tokens / shift)
            total = [so_far + weight * value for so_far, value in zip(total, row, strict=True)]
        return total

    def spread(self, row: Sequence[Number]) -> Number:
        """Return the standard deviation of a sum of the weights, each times its number in ``row``."""
        total = 0.0 * row[0]
        for column, start in zip(self._columns, range(len(row)), strict=True):
            part = 0.0 * row[0]
            for value, entry in zip(column, row[start:], strict=True):
                part = part + value * entry
            total = total + part * part
        return total**0.5

    @cached_property
    def _columns(self) -> tuple[tuple[float, ...], ...]:
        count = len(self.root)
        return tuple(tuple(self.root[i][j] for i in range(j, count)) for j in range(count))

    def deviation(self, params: Number, tokens: Number) -> Number:
        """Return the standard deviation of the expected ln L; beyond the span it grows on as it does at the edge."""
        x, y = log(params), log(tokens)
        u, v = x + y, y - x
        low_u, high_u, low_v, high_v = self.span
        edge_u, edge_v = maximum(minimum(u, high_u), low_u), maximum(minimum(v, high_v), low_v)
        known = self._deviation_at(edge_u, edge_v)
        out_u, out_v = u - edge_u, v - edge_v
        far = (out_u * out_u + out_v * out_v) ** 0.5
        if not exceeds(far, 0.0):
            return known
        aside = 1.0 / (far + (far == 0))  # one unit inward, against the direction that leads out
        inner = self._deviation_at(edge_u - out_u * aside, edge_v - out_v * aside)
        return known + maximum(known - inner, 0.0) * far

    def _deviation_at(self, u: Number, v: Number) -> Number:
        return self.spread(self.basis(exp(0.5 * (u - v)), exp(0.5 * (u + v))))

    def vouches(self, params: Number, tokens: Number) -> bool | Mask:
        """Whether an optimum and the two sizes that it is measured by lie within the span; elementwise."""
        x, y = log(params), log(tokens)
        low_u, high_u, low_v, high_v = self.span
        inside = (low_u <= x + y) & (x + y <= high_u)
        return inside & (low_v + 2 * HALF <= y - x) & (y - x <= high_v - 2 * HALF)

    # ---- optima ---------------------------------------------------------------------------------------------

    @property
    def likely_ratios(self) -> tuple[float, float]:
        """Those of the span."""
        return math.exp(self.span[2]), math.exp(self.span[3])

    def expansion_path(self) -> tuple[float, float] | None:
        """Return the path of the law alone."""
        return self.base.expansion_path()

    def best_split(self, product: Number) -> tuple[Number, Number]:
        """Return the vertex on ``params * tokens = product``, by Newton's method from the best of a few places."""
        k = log(product)
        low, high = (0.5 * (k - v) for v in (self.span[3], self.span[2]))
        place = log(self.base.best_split(product)[0])
        least = self._mean(place, k)
        for i in range(_SCAN):
            start = low + (high - low) * (i / (_SCAN - 1))
            value = self._mean(start, k)
            better = value < least
            place, least = choose(better, start, place), choose(better, value, least)
        return self._vertex(place, k)

    def _mean(self, x: Number, k: Number) -> Number:
        """Return ln L at ln N on the line of ln N*D = k."""
        return self._law(x, k - x) + self._correction(k, (k - 2 * x,))[0]

    def _vertex(self, x: Number, k: Number) -> tuple[Number, Number]:
        for _ in range(_STEPS):
            laws = [self._law(x + shift, k - x - shift) for shift in (-HALF, 0.0, HALF)]
            means = [
                law + correction
                for law, correction in zip(
                    laws, self._correction(k, [k - 2 * (x + shift) for shift in (-HALF, 0.0, HALF)]), strict=True
                )
            ]
            bends = [(left + right - 2 * middle) / HALF**2 for left, middle, right in (means, laws)]
            # a bend that is positive and never less than the law's own makes each step one downward
            bend = maximum(maximum(bends[0], bends[1]), self.least_bend)
            step = maximum(minimum((means[2] - means[0]) / (2 * HALF) / bend, _CLIP), -_CLIP)
            x = x - step
            if not exceeds(step, _SETTLED):
                break
        return exp(x), exp(k - x)

    def least_product(self, loss: float) -> float | None:  # type: ignore[override]  # a goal is one number
        """Return the least ``params * tokens`` whose best split reaches a loss, by regula falsi; None if none does."""
        goal = math.log(loss)

        last: tuple[float, float] | None = None

        def above(k: float) -> float:
            nonlocal last
            near = None if last is None or abs(k - last[0]) > 2.5 else last[1] + 0.5 * (k - last[0])
            split = self.best_split(math.exp(k)) if near is None else self._vertex(near, k)
            last = k, math.log(split[0])
            return self.log_loss(*split) - goal

        low = high = 0.5 * (self.span[0] + self.span[1])
        at_low = at_high = above(low)
        while at_low < 0:
            high, at_high = low, at_low
            low -= 2.0
            if low < 0:
                return None
            at_low = above(low)
        while at_high > 0:
            low, at_low = high, at_high
            high += 2.0
            if high > _MOST_PRODUCT:
                return None
            at_high = above(high)
        side = 0
        for _ in range(100):
            if at_high == 0 or high - low < 4e-15 * high:
                break
            middle = high - at_high * (high - low) / (at_high - at_low)
            value = above(middle)
            # where one end stays twice, it counts for half (Illinois), so that both ends close in
            if value > 0:
                low, at_low, at_high = middle, value, at_high * (0.5 if side > 0 else 1.0)
            else:
                high, at_high, at_low = middle, value, at_low * (0.5 if side < 0 else 1.0)
            side = 1 if value > 0 else -1
            if abs(value) < _ROUNDING:
                return math.exp(middle)
        return math.exp(high)


def _powers(degree: int) -> list[list[float]]:
    """Return the coefficients of the powers in each Chebyshev polynomial up to a degree."""
    found = [[1.0], [0.0, 1.0]]
    for _ in range(degree - 1):
        doubled = [0.0, *(2 * value for value in found[-1])]
        before = [*found[-2], 0.0, 0.0]
        found.append([value - other for value, other in zip(doubled, before, strict=True)])
    return found


def _pairs(table: Table, key: str) -> Sequence[Sequence[float]]:
    """Read pairs of degrees."""
    rows = table.matrix(key)
    if not rows or any(len(row) != 2 or any(n != int(n) or not 0 <= n <= 20 for n in row) for row in rows):
        raise table.error(key, "expected pairs of degrees from 0 to 20")
    return rows
