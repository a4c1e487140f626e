"""The curves that can be fitted: how each turns coordinates into its law, and where to start.

Coordinates are logarithms of positive coefficients and plain values of the others. The law of a whole table of
coordinates has columns as coefficients, so that the formula of :mod:`scaleplan.laws` is the only one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import UnknownNameError
from scaleplan.laws.bnsl import BNSL, Break
from scaleplan.laws.learning_curve import ChancePower, ShiftedPower
from scaleplan.laws.power import OffsetPower, Power

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.laws.base import Curve

    Array = NDArray[float64]

__all__ = ["CURVES", "CurveForm", "bnsl_form", "curve_form"]

_RATES = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.6)
_FLOORS = (0.0, 0.3, 0.6, 0.85, 0.95, 0.99)
_MOST_LOG, _MOST_RATE = 300.0, 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveForm:
    """One form of a curve of one quantity.

    Attributes
    ----------
    names
        Names of the coefficients, in the order of the coordinates.
    logs
        Which coordinates are logarithms.
    build
        The law for coefficients in that order (floats, or columns of them) and the names of x and y.
    starts, bounds
        Starts (S, p) and the box, in coordinates, for data (x, y).

    """

    name: str
    names: tuple[str, ...]
    logs: tuple[bool, ...]
    build: Callable[[Sequence[Array | float], str, str], Curve]
    starts: Callable[[Array, Array], Array]
    bounds: Callable[[Array, Array], tuple[Array, Array]]

    def coefficients(self, theta: Array) -> list[Array]:
        """Return the coefficients (S,) of coordinates (S, p)."""
        return [np.exp(theta[..., k]) if log else theta[..., k] for k, log in enumerate(self.logs)]

    def law(self, theta: Array, x: str, y: str) -> Curve:
        """Return the law of one row of coordinates."""
        return self.build([float(value) for value in self.coefficients(theta)], x, y)

    def predict(self, theta: Array, x: Array) -> Array:
        """Return y (S, n) of coordinates (S, p)."""
        columns = [value[:, None] for value in self.coefficients(theta)]
        return np.asarray(self.build(columns, "x", "y").value(x=x), dtype=np.float64)


def curve_form(name: str) -> CurveForm:
    """Return a form by its name, or by M1, M2, M3, M4, or ``bnsl2`` for the number of breaks.

    Raises
    ------
    UnknownNameError
        When there is no such form.

    """
    key = _ALIASES.get(name.casefold(), name.casefold())
    if key not in CURVES:
        raise UnknownNameError("form of a curve", name, [*CURVES, *_ALIASES])
    return CURVES[key]


def _power_starts(x: Array, y: Array) -> Array:
    slope, level = np.polyfit(np.log(x), np.log(y), 1)
    return np.array([[level, slope]])


def _floor_starts(x: Array, y: Array) -> Array:
    """Put the scale such that the curve passes through the middle of the data, for each rate and floor."""
    middle_x, middle_y = float(np.median(np.log(x))), float(np.median(y))
    least = float(np.min(y))
    return np.array(
        [
            [np.log(max(middle_y - share * least, 1e-9 * middle_y)) + rate * middle_x, rate, share * least]
            for rate, share in product(_RATES, _FLOORS)
        ]
    )


def _shifted_starts(x: Array, y: Array) -> Array:
    ends = np.log(1.0 / np.max(x)) + np.array([-4.0, -1.0, 1.0])
    plain = _floor_starts(x, y)
    middle = np.exp(-np.median(np.log(x)))
    rows = []
    for a, c, e in plain:
        level = a + c * np.log(middle)
        rows += [[level - c * np.log(middle + np.exp(g)), g, c, e] for g in ends]
    return np.array(rows)


def _chance_starts(x: Array, y: Array) -> Array:
    top = float(np.max(y))
    rows = []
    for _, c, e in _floor_starts(x, y):
        for excess, k in product((1.02, 1.3), (0.3, 1.0, 2.5)):
            chance = top * excess
            at = np.argsort(y)[len(y) // 2]
            level = np.log(max(y[at] - e, 1e-9)) - k * np.log(chance - y[at])
            rows.append([level + c * np.log(x[at]), c, e, np.log(chance), np.log(k)])
    return np.array(rows)


def _bnsl_starts(breaks: int) -> Callable[[Array, Array], Array]:
    def starts(x: Array, y: Array) -> Array:
        places = np.quantile(np.log(x), (0.15, 0.35, 0.5, 0.65, 0.85))
        least, rows = float(np.min(y)), []
        chosen = [(places[k],) for k in range(5)] if breaks == 1 else list(product(places, repeat=breaks))
        for where in chosen:
            if list(where) != sorted(set(where)):
                continue
            for share, width, change in product((0.0, 0.5, 0.9), (-3.0, -1.5, 0.0), (-0.3, 0.3, 1.5)):
                for c0 in (0.02, 0.2, 0.6):
                    level = np.log(max(float(np.max(y)) - share * least, 1e-9)) + c0 * np.log(np.min(x))
                    row = [share * least, level, c0]
                    for at in where:
                        row += [change, at, width]
                    rows.append(row)
        return np.array(rows)

    return starts


def _box(lower: Sequence[float], upper: Sequence[float]) -> tuple[Array, Array]:
    return np.array(lower), np.array(upper)


def bnsl_form(breaks: int) -> CurveForm:
    """Return the broken power law with a number of breaks."""
    parts = tuple(f"{part}{number}" for number in range(1, breaks + 1) for part in ("c", "d", "f"))

    def build(values: Sequence[Array | float], x: str, y: str) -> Curve:
        bends = tuple(Break(c=values[k], d=values[k + 1], f=values[k + 2]) for k in range(3, 3 + 3 * breaks, 3))  # type: ignore[arg-type]
        return BNSL(a=values[0], b=values[1], c0=values[2], breaks=bends, x=x, y=y)  # type: ignore[arg-type]

    def bounds(x: Array, y: Array) -> tuple[Array, Array]:
        low, high = float(np.min(np.log(x))), float(np.max(np.log(x)))
        span = high - low
        lower, upper = [0.0, -_MOST_LOG, -2.0], [float(np.min(y)), _MOST_LOG, _MOST_RATE]
        for _ in range(breaks):
            lower += [-20.0, low - 0.5 * span, np.log(0.005)]
            upper += [20.0, high + 0.5 * span, np.log(10.0)]
        return _box(lower, upper)

    return CurveForm(
        name="bnsl",
        names=("a", "b", "c0", *parts),
        logs=(False, True, False, *((False, True, True) * breaks)),
        build=build,
        starts=_bnsl_starts(breaks),
        bounds=bounds,
    )


CURVES = {
    "power": CurveForm(
        name="power",
        names=("a", "n"),
        logs=(True, False),
        build=lambda v, x, y: Power(a=v[0], n=v[1], x=x, y=y),  # type: ignore[arg-type]
        starts=_power_starts,
        bounds=lambda _x, _y: _box([-_MOST_LOG, -_MOST_RATE], [_MOST_LOG, _MOST_RATE]),
    ),
    "offset_power": CurveForm(
        name="offset_power",
        names=("a", "c", "e"),
        logs=(True, False, False),
        build=lambda v, x, y: OffsetPower(a=v[0], c=v[1], e=v[2], x=x, y=y),  # type: ignore[arg-type]
        starts=_floor_starts,
        bounds=lambda _x, y: _box([-_MOST_LOG, 1e-4, 0.0], [_MOST_LOG, _MOST_RATE, float(np.min(y))]),
    ),
    "shifted_power": CurveForm(
        name="shifted_power",
        names=("a", "g", "c", "e"),
        logs=(True, True, False, False),
        build=lambda v, x, y: ShiftedPower(a=v[0], g=v[1], c=v[2], e=v[3], x=x, y=y),  # type: ignore[arg-type]
        starts=_shifted_starts,
        bounds=lambda x, y: _box(
            [-_MOST_LOG, -float(np.max(np.log(x))) - 20.0, 1e-4, 0.0],
            [_MOST_LOG, -float(np.min(np.log(x))), _MOST_RATE, float(np.min(y))],
        ),
    ),
    "chance_power": CurveForm(
        name="chance_power",
        names=("a", "c", "e", "y0", "k"),
        logs=(True, False, False, True, True),
        build=lambda v, x, y: ChancePower(a=v[0], c=v[1], e=v[2], y0=v[3], k=v[4], x=x, y=y),  # type: ignore[arg-type]
        starts=_chance_starts,
        bounds=lambda _x, y: _box(
            [-_MOST_LOG, 1e-4, 0.0, float(np.log(np.max(y))) + 1e-6, -6.0],
            [_MOST_LOG, _MOST_RATE, float(np.min(y)), float(np.log(np.max(y))) + 3.0, 4.0],
        ),
    ),
    **{"bnsl" if breaks == 1 else f"bnsl{breaks}": bnsl_form(breaks) for breaks in (1, 2, 3)},
}
"""The forms by name; ``bnsl2`` and ``bnsl3`` have two and three breaks."""

_ALIASES = {"m1": "power", "m2": "offset_power", "m3": "shifted_power", "m4": "chance_power"}
