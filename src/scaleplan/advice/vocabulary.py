"""Advise on the size of the vocabulary, by the three approaches of Tao et al. 2024 (arXiv:2407.13623, authors' code).

Sizes are *non-vocabulary* parameters; a vocabulary of V entries adds V*width parameters, counted once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from scaleplan.arrays import whole
from scaleplan.errors import Notice, UsageError
from scaleplan.planning.solver import bisect
from scaleplan.record import Record, Result
from scaleplan.units import format_count, format_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Vocabulary", "advise_vocabulary", "best_by_loss", "default_width", "optimal_flops"]

# approach 1: N_nv* = e^-2.48*C^0.5 and V = e^-1.589*C^0.416/width
_ISOFLOP_SIZE = math.exp(-2.4846510161625193)
_ISOFLOP_VOCABULARY, _ISOFLOP_EXPONENT = math.exp(-1.589031299255507), 0.4163622634135234

# approach 2, the derivative of the compute: V = 3145728*(N/3.3e7)^0.835/width
_DERIVATIVE_VOCABULARY, _DERIVATIVE_SIZE, _DERIVATIVE_EXPONENT = 3145728.0, 3.3e7, 0.8353974035228025

# approach 3, in millions of parameters and billions of tokens
_A2, _B, _BETA, _ALPHA2 = 0.19584238398665638, 2.1241123120064955, 0.44660634152009615, 0.6707374679896795
_MILLION, _BILLION = 1e6, 1e9

# the widths of the paper's predictions; it shows the last two only at single sizes, so their edge is ours
_WIDTHS = ((5e9, 3200.0), (1e10, 4096.0), (2e10, 5120.0), (5e10, 6048.0), (1e11, 8192.0), (2e11, 12288.0))

_SMALLEST, _WIDEST = 2e9, 16384.0

# far beyond any model, and within what the three approaches can be computed for
_BOUNDS = {"model size": (1.0, 1e20), "compute": (1.0, 1e60), "width": (1.0, 1e9)}

_FITTED = {"params": ("model size", 3.3e7, 3e9), "vocabulary": ("vocabulary", 4e3, 9.6e4)}


class Vocabulary(Record, Result):
    """The best size of the vocabulary by three approaches.

    ``params`` are non-vocabulary parameters, ``flops`` the compute of the first and third approach, ``spread`` the
    largest over the smallest size.
    """

    schema: ClassVar[str] = "scaleplan/vocabulary/1"

    params: float
    width: float
    flops: float
    isoflop: float
    derivative: float
    parametric: float
    vocabulary: float
    vocabulary_params: float
    spread: float
    warnings: tuple[Notice, ...] = ()


def default_width(params: float) -> float:
    """Return the width that the paper's predictions assume; UsageError below 2e9 parameters, where it names none."""
    if params < _SMALLEST:
        raise UsageError(
            f"no width is known for {format_count(params)} parameters",
            hint="give --width, the embedding size of the model",
        )
    return next((width for most, width in _WIDTHS if params < most), _WIDEST)


def optimal_flops(params: float) -> float:
    """Return the compute for which the size is optimal by approach 1: the inverse of N_nv* = e^-2.48*C^0.5."""
    return (params / _ISOFLOP_SIZE) ** 2


def best_by_loss(params: float, *, flops: float, width: float) -> float:
    """Return the vocabulary by approach 3: the zero of the parametric loss's derivative at D = C/(6 (N + V*width)).

    Only this zero is used: the absolute scale of that loss depends on how the authors' code converts characters to
    tokens. The derivative rises through its only zero, since the one term falls with V and the other grows.
    """

    def slope(vocabulary: float) -> float:
        embedding = vocabulary * width / _MILLION
        tokens = flops / (6 * (params + vocabulary * width)) / _BILLION
        total = params / _MILLION + embedding
        return _B * _BETA * tokens**-_BETA / total - _A2 * _ALPHA2 * embedding ** -(_ALPHA2 + 1)

    return math.exp(bisect(lambda place: slope(math.exp(place)), 0.0, math.log(1e12)))


def advise_vocabulary(params: float, *, flops: float | None = None, width: float | None = None) -> Vocabulary:
    """Return the best vocabulary for a model of so many non-vocabulary parameters by three approaches.

    The compute is that for which the size is optimal by approach 1 unless given, in FLOP: more than that
    (over-training) needs a larger vocabulary. The width is the paper's choice for the size unless given. Raises
    UsageError for a size, compute or width beyond any model.
    """
    for (name, (low, high)), value in zip(_BOUNDS.items(), (params, flops, width), strict=True):
        if value is not None and not low <= value <= high:
            raise UsageError(
                f"a {name} of {format_plain(value)} is beyond any model",
                hint=f"give {format_plain(low)} to {format_plain(high)}",
            )
    wide = default_width(params) if width is None else width
    compute = optimal_flops(params) if flops is None else flops
    isoflop = _ISOFLOP_VOCABULARY * compute**_ISOFLOP_EXPONENT / wide
    derivative = _DERIVATIVE_VOCABULARY * (params / _DERIVATIVE_SIZE) ** _DERIVATIVE_EXPONENT / wide
    parametric = best_by_loss(params, flops=compute, width=wide)
    least, middle, greatest = sorted((isoflop, derivative, parametric))
    return Vocabulary(
        params=whole(params),
        width=whole(wide),
        flops=compute,
        isoflop=whole(isoflop),
        derivative=whole(derivative),
        parametric=whole(parametric),
        vocabulary=whole(middle),
        vocabulary_params=whole(middle) * whole(wide),
        spread=greatest / least,
        warnings=tuple(_outside(params=params, vocabulary=middle)),
    )


def _outside(**quantities: float) -> Iterator[Notice]:
    """Yield a warning for each quantity outside the range of the experiments."""
    for name, value in quantities.items():
        label, low, high = _FITTED[name]
        if not low <= value <= high:
            message = (
                f"{label} of {format_count(value)} is outside what the experiments saw, "
                f"{format_count(low)} to {format_count(high)}: extrapolated, so take it as a rough guide"
            )
            yield Notice(code=f"extrapolated_{name}", message=message)
