"""The surface that a fit forecasts with: a law, what the law misses, and how surely both are known.

A fit models ln L as a law plus a smooth discrepancy (:mod:`scaleplan.fitting.forecaster`). Its posterior is smooth,
and kept as a polynomial correction of the law's logarithm with the covariance of its coefficients:

    ln L(N, D) = ln f(N, D) + w . T(s, t),  Var = |R' T(s, t)|^2

with f the law, T the products T_i(s) T_j(t) of Chebyshev polynomials in u = ln N D and v = ln D/N scaled to [-1, 1]
over the span, w their weights, and R the lower Cholesky factor of the covariance of the weights. The uncertainty of
the law's coefficients is part of that covariance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.arrays import choose, exceeds, exp, log, maximum, minimum, somewhere
from scaleplan.laws.additive import ThreeExponent
from scaleplan.laws.base import LossSurface, Number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.arrays import Mask
    from scaleplan.toml_table import Table

__all__ = ["FARTHEST_REACH", "HALF", "MARGIN", "REACH", "Forecast"]

HALF = 0.7
"""Half the span in ln N over which an optimum is measured: a factor of 2 either way, as sizes are tried."""

REACH = 100.0
"""How many times the compute of the largest run the span holds: beyond it no optimum has an interval."""

FARTHEST_REACH = 1e5
"""How many times the compute of the largest run a fit for a target may reach: a thousandth of it in pilots, and the
largest of these a hundredth of them. Its intervals are those of the model, and have no record so far out."""

MARGIN = 2.0
"""How far the span reaches beyond the ratios of the runs in ln D/N."""

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

_GRID = HALF  # in ln N, of the scan for optima: averaged over twice as much the surface does not bend twice within it
_FARTHEST = 128.0  # in ln N, where an optimum beyond the span is searched for: more than all that can be trained
_STEPS = 100  # of the search for a crossing, which takes ten
_SETTLED = 1e-13  # a last step in a logarithm below it is rounding
_STRIDE = 2.0  # in ln N*D, to bracket the least one that reaches a loss
_MOST_PRODUCT = math.log(1e60)  # more than can ever be trained
_ROUNDED = 1e-3  # of a logarithm: the span is a little longer than the reach
_MOST_LOG = math.log(1e100)  # of a number that a float, and its powers, can hold with room
_MOST_DEGREE = 12  # as powers of s and t, polynomials up to it keep ten digits


@dataclass(frozen=True, kw_only=True)
class Forecast(LossSurface):
    """The forecast of a fit: ``base`` is the law f, ``noise`` the standard deviation of ln L of one run.

    ``span`` is (least u, greatest u, least v, greatest v); its greatest u is ``reach`` times the largest run. Beyond
    it the correction stays what it is at the edge, and its standard deviation goes on growing as it does there.
    """

    form: ClassVar[str] = "forecast"
    formula: ClassVar[str] = "L = (E + (A/N^alpha + B/D^beta)^gamma) * exp(correction)"

    base: ThreeExponent
    span: tuple[float, float, float, float]
    terms: tuple[tuple[int, int], ...]
    weights: tuple[float, ...]
    root: tuple[tuple[float, ...], ...]
    noise: float
    reach: float = REACH

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the ``[forecast]`` of a preset; raises FileError if anything is missing or does not go together."""
        base = ThreeExponent.from_table(table.table("law"))
        span = table.numbers("span")
        if len(span) != 4 or not (span[0] < span[1] and span[2] < span[3]) or max(map(abs, span)) > _MOST_LOG:
            raise table.error("span", "expected the least and greatest ln ND, and those of ln D/N")
        terms = tuple((int(i), int(j)) for i, j in _pairs(table, "terms"))
        weights, packed, count = table.numbers("weights"), table.numbers("root"), len(terms)
        if len(weights) != count:
            raise table.error("weights", f"expected {count} numbers, one for each term")
        if len(packed) != count * (count + 1) // 2:
            raise table.error("root", f"expected {count * (count + 1) // 2} numbers, the lower triangle row by row")
        if not any(packed):
            raise table.error("root", "expected some number other than 0: no loss is known exactly")
        # no polynomial leaves [-1, 1], so sums bound what they make of the loss and of its deviation
        for key, numbers in (("weights", weights), ("root", packed)):
            if sum(map(abs, numbers)) > _MOST_LOG:
                raise table.error(key, "these move the loss beyond the range of numbers")
        root = tuple(packed[i * (i + 1) // 2 : (i + 1) * (i + 2) // 2] for i in range(count))
        noise = table.number("noise", above=0, at_most=_MOST_LOG)
        reach = table.number("reach", REACH, at_least=REACH, at_most=FARTHEST_REACH)
        table.done()
        found = cls(base=base, span=span, terms=terms, weights=weights, root=root, noise=noise, reach=reach)
        found._require_losses(table)
        return found

    def _require_losses(self, table: Table) -> None:
        """Refuse a law that leaves the range of numbers within the span; raises FileError."""
        corners = [(0.5 * (u - v), 0.5 * (u + v)) for u in self.span[:2] for v in self.span[2:]]
        try:
            losses = [self.loss(math.exp(x), math.exp(y)) for x, y in corners]
        except ArithmeticError:
            losses = [math.inf]
        if not all(0 < loss < math.inf for loss in losses):
            raise table.error("law", "it gives no finite loss within the span")

    def to_table(self) -> dict[str, object]:
        """Return what :meth:`from_table` reads."""
        return {
            "span": list(self.span),
            "noise": self.noise,
            **({} if self.reach == REACH else {"reach": self.reach}),
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
        return self._laws(x, y, ((1.0, 1.0),))[0] + self._along(self._columns_at(x + y), y - x)

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
        law, total = 0.0 * x, self._laws(x, y, self._averaging)
        for (_, weight), value in zip(_NODES, total, strict=True):
            law = law + weight * value
        _, _, middle, factor = self._scales
        columns, t, half = self._columns_at(x + y), (y - x - middle) * factor, 2 * HALF * factor
        return law, (_integral(columns, t + half) - _integral(columns, t - half)) / (2 * half)

    def _laws(self, x: Number, y: Number, factors: Sequence[tuple[float, float]]) -> list[Number]:
        """Return ln f at (ln N, ln D) with the terms of size and of data times some factors, without overflow."""
        law = self.base
        size, data = self._logs[0] - law.alpha * x, self._logs[1] - law.beta * y
        top = maximum(size, data)
        size, data, scale = exp(size - top), exp(data - top), exp(law.gamma * top)
        return [log(law.E + scale * (size * one + data * other) ** law.gamma) for one, other in factors]

    def _shifted(self, shifts: Sequence[float]) -> tuple[tuple[float, float], ...]:
        """Return how the terms of the law change with a shift in ln N at the same N*D."""
        return tuple((math.exp(-self.base.alpha * shift), math.exp(self.base.beta * shift)) for shift in shifts)

    @cached_property
    def _averaging(self) -> tuple[tuple[float, float], ...]:
        return self._shifted([HALF * place for place, _ in _NODES])

    @cached_property
    def _halves(self) -> tuple[tuple[float, float], ...]:
        return self._shifted((-HALF, HALF))

    @cached_property
    def _logs(self) -> tuple[float, float]:
        return math.log(self.base.A), math.log(self.base.B)

    @cached_property
    def _degrees(self) -> tuple[int, int]:
        """The highest degrees of the terms in s and in t."""
        return max(i for i, _ in self.terms), max(j for _, j in self.terms)

    @cached_property
    def _rows(self) -> tuple[tuple[float, ...], ...]:
        """The weights as coefficients of powers s^i t^j, row by row from the highest i down."""
        most = self._degrees
        powers = [_powers(degree) for degree in most]
        rows = [[0.0] * (most[1] + 1) for _ in range(most[0] + 1)]
        for (i, j), weight in zip(self.terms, self.weights, strict=True):
            for p, left in enumerate(powers[0][i]):
                for q, right in enumerate(powers[1][j]):
                    rows[p][q] += weight * left * right
        return tuple(map(tuple, rows[::-1]))

    @cached_property
    def _scales(self) -> tuple[float, float, float, float]:
        """The middles of the span in u and v, and the factors that make its halves 1."""
        low_u, high_u, low_v, high_v = self.span
        return 0.5 * (low_u + high_u), 2 / (high_u - low_u), 0.5 * (low_v + high_v), 2 / (high_v - low_v)

    def _columns_at(self, u: Number) -> list[Number]:
        """Return the coefficients of the powers of t at one ln N*D, from the highest down."""
        middle, factor, _, _ = self._scales
        s = maximum(minimum((u - middle) * factor, 1.0), -1.0)
        first, *rest = self._rows
        columns: list[Number] = [value + 0.0 * s for value in first]
        for row in rest:
            columns = [column * s + value for column, value in zip(columns, row)]  # noqa: B905  of one length
        return columns[::-1]

    def _along(self, columns: Sequence[Number], ratio: Number) -> Number:
        """Return w . T at one ln D/N from the coefficients at one ln N*D."""
        _, _, middle, factor = self._scales
        return _value(columns, maximum(minimum((ratio - middle) * factor, 1.0), -1.0))

    # ---- how surely it is known -----------------------------------------------------------------------------

    def basis(self, params: Number, tokens: Number) -> list[Number]:
        """Return T: how ln L moves with each of the weights."""
        x, y = log(params), log(tokens)
        middle_u, factor_u, middle_v, factor_v = self._scales
        s = maximum(minimum((x + y - middle_u) * factor_u, 1.0), -1.0)
        t = maximum(minimum((y - x - middle_v) * factor_v, 1.0), -1.0)
        powers = [[1.0 + 0.0 * s, s], [1.0 + 0.0 * t, t]]
        for values, degree in zip(powers, self._degrees, strict=True):
            for _ in range(degree - 1):
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
        """Return the standard deviation of the expected ln L; beyond the span it grows as at its fastest edge."""
        x, y = log(params), log(tokens)
        u, v = x + y, y - x
        low_u, high_u, low_v, high_v = self.span
        edge_u, edge_v = maximum(minimum(u, high_u), low_u), maximum(minimum(v, high_v), low_v)
        known = self._deviation_at(edge_u, edge_v)
        if not exceeds(abs(u - edge_u) + abs(v - edge_v), 0.0):
            return known
        below, above, few, many = self._growth
        known = known + above * maximum(u - high_u, 0.0) + below * maximum(low_u - u, 0.0)
        return known + many * maximum(v - high_v, 0.0) + few * maximum(low_v - v, 0.0)

    @cached_property
    def _growth(self) -> tuple[float, float, float, float]:
        """How fast the deviation grows outward at each edge of the span, by unit: where along it that is the most.

        At least so that it doubles over the width of the span, as what is known of a slope is worth there.
        """
        low_u, high_u, low_v, high_v = self.span

        def fastest(edge: float, width: float, at: Callable[[float, float], tuple[float, float]]) -> float:
            found = []
            for share in (0.1, 0.3, 0.5, 0.7, 0.9):
                known, inner = (
                    self._deviation_at(*at(place, share)) for place in (edge, edge - math.copysign(1, width))
                )
                found.append(max(known - inner, known / abs(width)))
            return max(found)

        def by_product(u: float, share: float) -> tuple[float, float]:
            return u, low_v + share * (high_v - low_v)

        def by_ratio(v: float, share: float) -> tuple[float, float]:
            return low_u + share * (high_u - low_u), v

        return (
            fastest(low_u, low_u - high_u, by_product),
            fastest(high_u, high_u - low_u, by_product),
            fastest(low_v, low_v - high_v, by_ratio),
            fastest(high_v, high_v - low_v, by_ratio),
        )

    def _deviation_at(self, u: Number, v: Number) -> Number:
        return self.spread(self.basis(exp(0.5 * (u - v)), exp(0.5 * (u + v))))

    def vouches(self, params: Number, tokens: Number) -> bool | Mask:
        """Whether an optimum and the two sizes that it is measured by lie within the span; elementwise."""
        return self.covers(params, tokens, aside=2 * HALF)

    def covers(self, params: Number, tokens: Number, *, aside: float = 0.0) -> bool | Mask:
        """Whether sizes lie within the span, ``aside`` from its ends in ln D/N; elementwise."""
        x, y = log(params), log(tokens)
        low_u, high_u, low_v, high_v = self.span
        inside = (low_u <= x + y) & (x + y <= high_u)
        return inside & (low_v + aside <= y - x) & (y - x <= high_v - aside)

    def far(self, params: float, tokens: float) -> bool:
        """Whether sizes are beyond a hundred times the largest run, in a forecast that reaches farther."""
        return math.log(params) + math.log(tokens) > self.span[1] + math.log(REACH / self.reach) + _ROUNDED

    # ---- optima ---------------------------------------------------------------------------------------------

    @property
    def likely_ratios(self) -> tuple[float, float]:
        """Those of the span."""
        return math.exp(self.span[2]), math.exp(self.span[3])

    @property
    def vouched_ratios(self) -> tuple[float, float]:
        """The tokens per parameter of optima whose half and double lie within the span."""
        return math.exp(self.span[2] + 2 * HALF), math.exp(self.span[3] - 2 * HALF)

    def expansion_path(self) -> tuple[float, float] | None:
        """Return the path through the vertices at the largest run and a hundredfold; where it turns, the law's."""
        low = max(self.span[0], self.span[1] - math.log(self.reach))
        (size, data), (larger, more) = (self.best_split(math.exp(k)) for k in (low, self.span[1]))
        if more <= data or larger <= size:
            return self.base.expansion_path()
        power = math.log(larger / size) / math.log(more / data)
        return size * data**-power, power

    def best_split(self, product: Number) -> tuple[Number, Number]:
        """Return the vertex on ``params * tokens = product``; of several the one with the least aim.

        Raises ArithmeticError where the law of the forecast leaves the range of numbers.
        """
        k = log(product)
        columns = self._columns_at(k)

        def mean(x: Number) -> Number:
            return self._laws(x, k - x, ((1.0, 1.0),))[0] + self._along(columns, k - 2 * x)

        def tilt(x: Number) -> Number:
            smaller, larger = self._laws(x, k - x, self._halves)
            ratio = k - 2 * x
            return larger - smaller + self._along(columns, ratio - 2 * HALF) - self._along(columns, ratio + 2 * HALF)

        def averaged(x: Number) -> Number:
            law, correction = self.averaged(exp(x), exp(k - x))
            return law + correction

        start, count = 0.5 * (k - self.span[3]), math.ceil(0.5 * (self.span[3] - self.span[2]) / _GRID)
        means = [mean(start + i * _GRID) for i in range(max(count, 3) + 1)]
        tilts = [after - before for before, after in zip(means, means[2:], strict=False)]
        place, least = 0.0 * k, math.inf + 0.0 * k
        for i, (before, after) in enumerate(pairwise(tilts), start=1):
            crosses = (before < 0) & (after >= 0)
            if not somewhere(crosses):
                continue
            ends = choose(crosses, before, -1.0 + 0.0 * k), choose(crosses, after, 1.0 + 0.0 * k)
            found = _crossing(tilt, start + i * _GRID, start + (i + 1) * _GRID, *ends)
            value = averaged(found)
            better = crosses & (value < least)
            place, least = choose(better, found, place), choose(better, value, least)
        for sign, edge, falls in (
            (-1.0, start + _GRID, tilts[0] >= 0),
            (1.0, start + len(tilts) * _GRID, tilts[-1] < 0),
        ):
            if somewhere(falls):
                found = _outward(tilt, edge, sign)
                value = averaged(found)
                better = falls & (value < least)
                place, least = choose(better, found, place), choose(better, value, least)
        params = exp(place)
        return params, product / params

    def least_product(self, loss: float) -> float | None:  # type: ignore[override]  # a goal is one number
        """Return the least ``params * tokens`` whose best split reaches a loss; None if none does."""
        goal = math.log(loss)

        def below(k: float) -> float:
            return goal - self.log_loss(*self.best_split(math.exp(k)))

        low = high = 0.5 * (self.span[0] + self.span[1])
        at_low = at_high = below(low)
        while at_low >= 0:
            high, at_high = low, at_low
            low -= _STRIDE
            if low < 0:
                return None
            at_low = below(low)
        while at_high < 0:
            low, at_low = high, at_high
            high += _STRIDE
            if high > _MOST_PRODUCT:
                return None
            at_high = below(high)
        return math.exp(_crossing(below, low, high, at_low, at_high))


def _value(columns: Sequence[Number], t: Number) -> Number:
    """Return a polynomial of coefficients from the highest power down."""
    total, *others = columns
    for column in others:
        total = total * t + column
    return total


def _integral(columns: Sequence[Number], t: Number) -> Number:
    """Return the integral from 0 to ``t`` of a polynomial that beyond [-1, 1] stays what it is at the edge."""
    edge = maximum(minimum(t, 1.0), -1.0)
    count = len(columns)
    within = edge * _value([column / (count - i) for i, column in enumerate(columns)], edge)
    return within + _value(columns, edge) * (t - edge) if exceeds(t - edge, 0.0) else within


def _crossing(
    function: Callable[[Number], Number], low: Number, high: Number, at_low: Number, at_high: Number
) -> Number:
    """Return where a function crosses zero, by regula falsi from a place below zero and one that is not.

    Where one end stays twice its value counts for half (Illinois), so that both ends close in.
    """
    place = low
    side = 0.0 * low
    for _ in range(_STEPS):
        last, place = place, high - at_high * (high - low) / maximum(at_high - at_low, math.ulp(0.0))
        value = function(place)
        above = value >= 0
        at_low = choose(above, choose(side > 0, 0.5 * at_low, at_low), value)
        at_high = choose(above, value, choose(side < 0, 0.5 * at_high, at_high))
        low, high = choose(above, low, place), choose(above, place, high)
        side = choose(above, 1.0 + 0.0 * side, -1.0 + 0.0 * side)
        if not exceeds(place - last, _SETTLED):
            break
    return place


def _outward(tilt: Callable[[Number], Number], edge: Number, sign: float) -> Number:
    """Return where a fall outward from an edge ends, as a tilt tells; the farthest place searched if it does not."""

    def rise(way: Number) -> Number:
        return sign * tilt(edge + sign * way)

    near, far, step = 0.0 * edge, 0.5 + 0.0 * edge, 0.5
    at_near, at_far = rise(near), rise(far)
    while step < _FARTHEST and somewhere(at_far < 0):
        step *= 2
        falls = at_far < 0
        near, at_near, far = choose(falls, far, near), choose(falls, at_far, at_near), choose(falls, far + step, far)
        at_far = choose(falls, rise(far), at_far)
    ends = _crossing(rise, near, far, minimum(at_near, 0.0), maximum(at_far, 0.0))
    return edge + sign * choose(at_far < 0, far, ends)


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
    good = [len(row) == 2 and all(n == int(n) and 0 <= n <= _MOST_DEGREE for n in row) for row in rows]
    if not rows or not all(good) or len(set(rows)) < len(rows):
        raise table.error(key, f"expected different pairs of degrees from 0 to {_MOST_DEGREE}")
    return rows
