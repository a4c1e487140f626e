"""Curves of one quantity, and products of powers: what is fitted to learning curves and rules of thumb.

M1 to M4 of Alabdulmohsin et al. 2022 (arXiv:2209.06640) are the forms ``power``, ``offset_power``, ``shifted_power``
and ``chance_power``; ``bnsl`` is the broken power law of Caballero et al. 2022. The names of the input and the output
stand in the file. The loss along a schedule of learning rates is a curve of all its steps.

A form of one input that can be fitted declares how beside its formula (:meth:`FittedCurve.search`).
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from scaleplan.arrays import exceeds, exp, log, maximum, minimum, softplus
from scaleplan.laws.base import Curve, Number, Units, coefficient

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.arrays import Array
    from scaleplan.toml_table import Table

__all__ = [
    "ALIASES",
    "BNSL",
    "BREAK_PARTS",
    "FITTED",
    "Break",
    "ChancePower",
    "Logarithmic",
    "MultiPower",
    "MultiplicativePower",
    "OffsetPower",
    "PerInput",
    "Power",
    "ShiftedPower",
    "Sigmoid",
]

_QUANTITY = re.compile(r"[a-z][a-z0-9_]{0,39}")

_RATES = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6)
_FLOORS = (0.0, 0.3, 0.6, 0.85, 0.95, 0.99)
_MOST_LOG, _MOST_RATE = 300.0, 8.0


def _named_quantity(table: Table, key: str) -> str:
    name = table.text(key)
    if not _QUANTITY.fullmatch(name):
        raise table.error(key, "expected the name of a quantity in lower case, such as flops or loss")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class OneInput(Curve):
    """A curve of one quantity; ``x`` and ``y`` name the input and the output."""

    x: str = "x"
    y: str = "y"

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the coefficients, and the names of the input and the output."""
        x, y = _named_quantity(table, "x"), _named_quantity(table, "y")
        return replace(super(OneInput, cls).from_table(table), x=x, y=y)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantity that ``x`` names."""
        return (self.x,)


class Search(NamedTuple):
    """Where a fit looks for coefficients: coordinates that are logarithms, starts (rows of p), and bounds (p)."""

    logs: Sequence[bool]
    starts: Sequence[Sequence[float]]
    lower: Sequence[float]
    upper: Sequence[float]


class FittedCurve(OneInput):
    """A curve of one quantity that can be fitted to a table of positive x and y."""

    __slots__ = ()

    floor_name: ClassVar[str | None] = None
    """The coefficient that y approaches, which a fit can hold at a value; None for a form without one."""

    falls: ClassVar[bool] = True
    """Whether the form is made to fall as x grows, so that it means nothing for what rises."""

    @abstractmethod
    def search(self, x: Array, y: Array) -> Search:
        """Return the search of its coefficients, in their order."""


def _floor_starts(x: Array, y: Array) -> list[list[float]]:
    """Put the scale such that a*x^-c + e passes through the middle of the data, for each rate and floor."""
    import numpy as np

    middle_x, middle_y = float(np.median(np.log(x))), float(np.median(y))
    least = float(np.min(y))
    return [
        [np.log(max(middle_y - share * least, 1e-9 * middle_y)) + rate * middle_x, rate, share * least]
        for rate, share in product(_RATES, _FLOORS)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Power(FittedCurve):
    """y = a*x^n."""

    form: ClassVar[str] = "power"
    formula: ClassVar[str] = "y = a*x^n"
    falls: ClassVar[bool] = False

    a: float = coefficient("y at x = 1", above=0, raw=lambda law, to: law.a * to.of(law.y) * to.of(law.x) ** -law.n)
    n: float = coefficient("exponent")

    def value(self, **inputs: Number) -> Number:
        """Return a*x^n for the input that ``x`` names."""
        return self.a * inputs[self.x] ** self.n

    def search(self, x: Array, y: Array) -> Search:
        """Start from the line through the logarithms."""
        import numpy as np

        place, height = np.log(x), np.log(y)
        centre = place.mean()
        slope = np.polyfit(place - centre, height, 1)[0] if np.ptp(place) > 0 else 0.0  # no line through one place
        level = height.mean() - slope * centre
        return Search((True, False), [[level, slope]], [-_MOST_LOG, -_MOST_RATE], [_MOST_LOG, _MOST_RATE])


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetPower(FittedCurve):
    """y = a*x^-c + e."""

    form: ClassVar[str] = "offset_power"
    formula: ClassVar[str] = "y = a*x^-c + e"
    floor_name: ClassVar[str | None] = "e"

    a: float = coefficient(
        "y above the offset at x = 1", above=0, raw=lambda law, to: law.a * to.of(law.y) * to.of(law.x) ** law.c
    )
    c: float = coefficient("rate of the fall, positive", above=0)
    e: float = coefficient("what y approaches", at_least=0, raw=lambda law, to: law.e * to.of(law.y))

    def value(self, **inputs: Number) -> Number:
        """Return a*x^-c + e for the input that ``x`` names."""
        return self.a * inputs[self.x] ** -self.c + self.e

    def search(self, x: Array, y: Array) -> Search:
        """Start from every rate and floor."""
        upper = [_MOST_LOG, _MOST_RATE, float(y.min())]
        return Search((True, False, False), _floor_starts(x, y), [-_MOST_LOG, 1e-4, 0.0], upper)


class PerInput(Curve):
    """A curve with one coefficient for each input, in a table of their own that names the inputs."""

    __slots__ = ()

    per_input: ClassVar[str]
    """The name of the table, and of the field with its (input, number) pairs."""
    input_kind: ClassVar[str] = ""
    """How every input is read; by its name if empty."""

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the scalar coefficients and the table."""
        listed = table.table(cls.per_input)
        if not listed.data or not all(_QUANTITY.fullmatch(name) for name in listed.data):
            raise table.error(cls.per_input, "expected a number for each quantity, such as { params = -0.7 }")
        numbers = tuple((name, listed.number(name)) for name in listed.data)
        return replace(super().from_table(table), **{cls.per_input: numbers})

    def _numbers(self) -> dict[str, float]:
        return dict(getattr(self, self.per_input))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The quantities that have a coefficient."""
        return tuple(self._numbers())

    @property
    def kinds(self) -> Mapping[str, str]:  # type: ignore[override]
        """The same for every input."""
        return dict.fromkeys(self.inputs, self.input_kind) if self.input_kind else {}

    def coefficients(self) -> dict[str, float]:
        """Return the scalar coefficients and, as ``TABLE.NAME``, those of the inputs."""
        return super().coefficients() | {f"{self.per_input}.{name}": value for name, value in self._numbers().items()}

    def with_coefficients(self, values: Mapping[str, float]) -> Self:
        """Return the law with some of the coefficients changed."""
        scalars = {name: value for name, value in values.items() if "." not in name}
        numbers = tuple(
            (name, values.get(f"{self.per_input}.{name}", value)) for name, value in self._numbers().items()
        )
        return replace(self, **scalars, **{self.per_input: numbers})


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplicativePower(PerInput):
    """y = a * product of x_i^n_i; a preset writes ``exponents = { params = -0.7, tokens = 0.3 }``."""

    form: ClassVar[str] = "multiplicative_power"
    formula: ClassVar[str] = "y = a * product of x_i^n_i"
    per_input: ClassVar[str] = "exponents"

    a: float = coefficient("y where every input is 1", above=0)
    exponents: tuple[tuple[str, float], ...] = ()
    y: str = "y"

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the scale, the exponent of each input, and the name of the output."""
        y = _named_quantity(table, "y")
        return replace(super(MultiplicativePower, cls).from_table(table), y=y)

    def value(self, **inputs: Number) -> Number:
        """Return the product for the inputs that ``exponents`` names."""
        (first, exponent), *rest = self.exponents
        product = self.a * inputs[first] ** exponent
        for name, power in rest:
            product = product * inputs[name] ** power
        return product

    def in_raw_units(self, units: Units | None) -> Self:
        """Rescale a by the unit of each input to its exponent."""
        if units is None:
            return self
        a = self.a * units.of(self.y)
        for name, exponent in self.exponents:
            a *= units.of(name) ** -exponent
        return replace(self, a=a)


_FAR = 700.0

_STEPS = 20  # of Newton's method, which doubles the digits: three times what smooth curves need
_SETTLED = 1e-8  # a step after which half its square, below the rounding error, is left


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedPower(FittedCurve):
    """M3: y = a (1/x + g)^c + e."""

    form: ClassVar[str] = "shifted_power"
    formula: ClassVar[str] = "y = a*(1/x + g)^c + e"
    floor_name: ClassVar[str | None] = "e"

    a: float = coefficient("scale of the fall", above=0)
    g: float = coefficient("1/x at which the fall ends", at_least=0)
    c: float = coefficient("rate of the fall, positive", above=0)
    e: float = coefficient("offset of y", at_least=0)

    def value(self, **inputs: Number) -> Number:
        """Return a*(1/x + g)^c + e."""
        return self.a * (1.0 / inputs[self.x] + self.g) ** self.c + self.e

    def search(self, x: Array, y: Array) -> Search:
        """Start from every rate and floor, with the end of the fall before, at and after the end of the data."""
        import numpy as np

        logs, middle = np.log(x), np.exp(-np.median(np.log(x)))
        starts = [
            [a + c * np.log(middle) - c * np.log(middle + np.exp(g)), g, c, e]
            for a, c, e in _floor_starts(x, y)
            for g in np.log(1.0 / np.max(x)) + np.array([-4.0, -1.0, 1.0])
        ]
        lower = [-_MOST_LOG, -float(np.max(logs)) - 20.0, 1e-4, 0.0]
        upper = [_MOST_LOG, -float(np.min(logs)), _MOST_RATE, float(np.min(y))]
        return Search((True, True, False, False), starts, lower, upper)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChancePower(FittedCurve):
    """M4: (y - e)/(y0 - y)^k = a x^-c, between the floor e and the loss of chance y0; k = 0 gives M2."""

    form: ClassVar[str] = "chance_power"
    formula: ClassVar[str] = "(y - e)/(y0 - y)^k = a*x^-c"
    floor_name: ClassVar[str | None] = "e"

    a: float = coefficient("scale of the fall", above=0)
    c: float = coefficient("rate of the fall, positive", above=0)
    e: float = coefficient("what y approaches", at_least=0)
    y0: float = coefficient("y of chance, above e", above=0)
    k: float = coefficient("how long y stays near chance", at_least=0)

    def value(self, **inputs: Number) -> Number:
        """Return the root y between e and y0, by Newton's method in the logit of (y - e)/(y0 - e).

        With t the logit the equation is ln s(t) - k ln s(-t) = ln a - c ln x + (k - 1) ln(y0 - e), s the logistic
        function. Its left side rises with t and bends one way only, from slope 1 far below 0 to slope k far above, so
        that the steps from these lines converge from one side.
        """
        span = self.y0 - self.e
        wanted = log(self.a) - self.c * log(inputs[self.x]) + (self.k - 1.0) * log(span)
        place = _within(minimum(wanted, 0.0) + maximum(wanted, 0.0) / (self.k + 1e-300))
        for _ in range(_STEPS):
            above = softplus(place)
            slope = self.k + (1.0 - self.k) * exp(-above)
            step = (wanted - place + (1.0 - self.k) * above) / (slope + 1e-300)
            place = _within(place + step)
            if not exceeds(step, _SETTLED):
                break
        return self.e + span / (1.0 + exp(-place))

    def search(self, x: Array, y: Array) -> Search:
        """Start from every rate and floor, with several losses of chance and exponents k."""
        import numpy as np

        largest, middle = float(np.max(y)), np.argsort(y)[len(y) // 2]
        at, level_at = np.log(x[middle]), y[middle]
        starts = []
        for (_, c, e), excess, k in product(_floor_starts(x, y), (1.02, 1.3), (0.3, 1.0, 2.5)):
            chance = largest * excess
            level = np.log(max(level_at - e, 1e-9)) - k * np.log(chance - level_at)
            starts.append([level + c * at, c, e, np.log(chance), np.log(k)])
        top = float(np.log(np.max(y)))
        lower = [-_MOST_LOG, 1e-4, 0.0, top + 1e-6, -6.0]
        upper = [_MOST_LOG, _MOST_RATE, float(np.min(y)), top + 3.0, 4.0]
        return Search((True, False, False, True, True), starts, lower, upper)


def _within(value: Number) -> Number:
    """Hold a logit where its exponential neither overflows nor matters."""
    return maximum(minimum(value, _FAR), -_FAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sigmoid(FittedCurve):
    """y = e + (u - e)/(1 + (m/x)^k): a quantity that rises from e to u, as an accuracy does with compute."""

    form: ClassVar[str] = "sigmoid"
    formula: ClassVar[str] = "y = e + (u - e)/(1 + (m/x)^k)"
    falls: ClassVar[bool] = False

    e: float = coefficient("level before the rise", at_least=0, raw=lambda law, to: law.e * to.of(law.y))
    u: float = coefficient("level that the rise ends at", above=0, raw=lambda law, to: law.u * to.of(law.y))
    m: float = coefficient("x half-way", above=0, raw=lambda law, to: law.m * to.of(law.x))
    k: float = coefficient("steepness", above=0)

    def value(self, **inputs: Number) -> Number:
        """Return the value between e and u; (m/x)^k is held where it neither overflows nor matters."""
        place = _within(self.k * (log(self.m) - log(inputs[self.x])))
        return self.e + (self.u - self.e) / (1.0 + exp(place))

    def search(self, x: Array, y: Array) -> Search:
        """Start from several levels, middles and steepnesses; a share ends at 1 and a percentage at 100."""
        import numpy as np

        least, most = float(np.min(y)), float(np.max(y))
        ceiling = next((end for end in (1.0, 100.0) if most <= end), 10.0 * most)
        first, last = float(np.log(np.min(x))), float(np.log(np.max(x)))
        width = max(last - first, 1e-3)
        starts = [
            [share * least, most + rise * (ceiling - most), first + place * width, steep * 4.0 / width]
            for share, rise, place, steep in product(
                (0.0, 0.5, 0.95), (0.02, 0.3, 0.9), (0.2, 0.5, 0.8, 1.3), (0.3, 1.0, 3.0)
            )
        ]
        lower = [0.0, most, first - 5 * width, 1e-3]
        upper = [least, ceiling * (1 + 1e-9), last + 5 * width, 50.0 / width]
        return Search((False, False, True, False), starts, lower, upper)


BREAK_PARTS = ("c", "d", "f")


@dataclass(frozen=True, slots=True)
class Break:
    """One bend: the slope changes by ``c`` around x = ``d``, over a width of ``f`` in ln x; ``c`` may be negative."""

    c: float
    d: float
    f: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BNSL(FittedCurve):
    """y = a + b x^-c0 times (1 + (x/d_i)^(1/f_i))^(-c_i f_i) for each break; the slope is -c0 before the first.

    Equation 1 of Caballero et al. 2022 (arXiv:2210.14891). A preset writes the breaks as ``c1, d1, f1, c2, d2, ...``.
    """

    form: ClassVar[str] = "bnsl"
    formula: ClassVar[str] = "y = a + b*x^-c0 * product of (1 + (x/d_i)^(1/f_i))^(-c_i*f_i)"
    floor_name: ClassVar[str | None] = "a"

    a: float = coefficient("what y approaches", at_least=0)
    b: float = coefficient("scale of the fall", above=0)
    c0: float = coefficient("rate of the fall before the first break")
    breaks: tuple[Break, ...] = ()

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the coefficients and the breaks, numbered from 1 without gaps."""
        breaks: list[Break] = []
        while any(f"{part}{len(breaks) + 1}" in table for part in BREAK_PARTS):
            number = len(breaks) + 1
            change, *positive = (table.number(f"c{number}"), *(table.number(f"{k}{number}", above=0) for k in "df"))
            breaks.append(Break(change, *positive))
        return replace(super(BNSL, cls).from_table(table), breaks=tuple(breaks))

    def coefficients(self) -> dict[str, float]:
        """Return a, b, c0 and the parts of every break."""
        parts = {
            f"{part}{number}": getattr(bend, part)
            for number, bend in enumerate(self.breaks, start=1)
            for part in BREAK_PARTS
        }
        return {"a": self.a, "b": self.b, "c0": self.c0, **parts}

    def with_coefficients(self, values: Mapping[str, float]) -> Self:
        """Return the law with some of the coefficients changed."""
        known = {**self.coefficients(), **values}
        breaks = tuple(
            Break(c=known[f"c{number}"], d=known[f"d{number}"], f=known[f"f{number}"])
            for number in range(1, len(self.breaks) + 1)
        )
        return replace(self, a=known["a"], b=known["b"], c0=known["c0"], breaks=breaks)

    def value(self, **inputs: Number) -> Number:
        """Return y, with the breaks computed in logarithms: (x/d)^(1/f) overflows for a sharp one."""
        place = log(inputs[self.x])
        power = -self.c0 * place
        for bend in self.breaks:
            power = power - bend.c * bend.f * softplus((place - log(bend.d)) / bend.f)
        return self.a + self.b * exp(power)

    def search(self, x: Array, y: Array) -> Search:
        """Start from breaks at quantiles of the data, of several widths and changes of slope."""
        import numpy as np

        count, least = len(self.breaks), float(np.min(y))
        low, high = float(np.min(np.log(x))), float(np.max(np.log(x)))
        places = np.quantile(np.log(x), (0.15, 0.35, 0.5, 0.65, 0.85)).tolist()
        grid = product((0.0, 0.5, 0.9), (-3.0, -1.5, 0.0), (-0.3, 0.3, 1.5), (0.02, 0.2, 0.6))
        starts = []
        for where, (share, width, change, c0) in product(combinations(places, count), grid):
            if len(set(where)) == count:
                level = np.log(max(float(np.max(y)) - share * least, 1e-9)) + c0 * np.log(np.min(x))
                starts.append([share * least, level, c0, *(part for at in where for part in (change, at, width))])
        margin = 0.5 * (high - low)
        lower = [0.0, -_MOST_LOG, -2.0, *([-20.0, low - margin, np.log(0.005)] * count)]
        upper = [least, _MOST_LOG, _MOST_RATE, *([20.0, high + margin, np.log(10.0)] * count)]
        return Search((False, True, False, *((False, True, True) * count)), starts, lower, upper)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logarithmic(OneInput):
    """y = a + b*ln x."""

    form: ClassVar[str] = "logarithmic"
    formula: ClassVar[str] = "y = a + b*ln x"

    a: float = coefficient("y at x = 1", raw=lambda law, to: (law.a - law.b * math.log(to.of(law.x))) * to.of(law.y))
    b: float = coefficient("change of y per unit of ln x", raw=lambda law, to: law.b * to.of(law.y))

    def value(self, **inputs: Number) -> Number:
        """Return a + b*ln x for the input that ``x`` names."""
        return self.a + self.b * log(inputs[self.x])


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiPower(Curve):
    """L(t) = L0 + A*S(t)^-alpha + B*sum_k (eta_k - eta_(k-1))*(1 - (1 + C*eta_k^-gamma*(S(t) - S(k-1)))^-beta).

    Luo et al. 2025 (arXiv:2503.12811). S is the cumulative learning rate, warm-up included. The sum runs over the
    steps of the schedule and is negative while the rate decays; the first step has no gap.
    """

    form: ClassVar[str] = "multi_power"
    formula: ClassVar[str] = (
        "L = L0 + A*S^-alpha + B*sum_k (eta_k - eta_(k-1))*(1 - (1 + C*eta_k^-gamma*(S - S_(k-1)))^-beta)"
    )

    inputs: ClassVar[tuple[str, ...]] = ("rates",)
    kinds: ClassVar[Mapping[str, str]] = {"rates": "rates"}

    L0: float = coefficient("irreducible loss of this size", at_least=0)
    A: float = coefficient("scale of the power of the cumulative rate", above=0)
    alpha: float = coefficient("exponent of the cumulative rate", above=0)
    B: float = coefficient("scale of the gain by decay", at_least=0)
    C: float = coefficient("scale of the saturation of the gain", above=0)
    beta: float = coefficient("exponent of the saturation", above=0)
    gamma: float = coefficient("exponent of the rate in the saturation")

    def value(self, **inputs: Number) -> Number:
        """Return the loss after the last of the steps with these ``rates``, an array of positive numbers."""
        import numpy as np

        rates = np.asarray(inputs["rates"], dtype=float)
        cumulative = np.cumsum(rates)
        since = cumulative[-1] - cumulative[:-1]
        gaps, later = np.diff(rates), np.maximum(rates[1:], np.finfo(float).tiny)
        gain = gaps * (1 - (1 + self.C * later**-self.gamma * since) ** -self.beta)
        loss: Any = float(self.L0 + self.A * cumulative[-1] ** -self.alpha + self.B * gain.sum())
        return loss


FITTED: Mapping[str, FittedCurve] = {
    "power": Power(a=1.0, n=1.0),
    "offset_power": OffsetPower(a=1.0, c=1.0, e=1.0),
    "shifted_power": ShiftedPower(a=1.0, g=1.0, c=1.0, e=1.0),
    "chance_power": ChancePower(a=1.0, c=1.0, e=1.0, y0=1.0, k=1.0),
    "sigmoid": Sigmoid(e=0.0, u=1.0, m=1.0, k=1.0),
    **{
        f"bnsl{count}".removesuffix("1"): BNSL(a=0.0, b=1.0, c0=0.0, breaks=(Break(c=0.0, d=1.0, f=1.0),) * count)
        for count in (1, 2, 3)
    },
}
"""The curves that can be fitted, with any coefficients; ``bnsl2`` and ``bnsl3`` have two and three breaks."""

ALIASES = {"m1": "power", "m2": "offset_power", "m3": "shifted_power", "m4": "chance_power"}
