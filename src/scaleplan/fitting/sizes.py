"""The parameters, tokens and FLOP of each run, when the file gives only two of the three.

The third follows from the compute convention, ``C = k N D + c D`` (:class:`scaleplan.cost.Cost`), in floating point:
products of 64-bit integers overflow at the sizes of today's runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import FileError, inert, quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.cost import Cost

__all__ = ["Sizes", "complete", "require_raw_units"]

_LEAST = {
    "params": 100.0,
    "tokens": 100.0,
    "flops": 1e6,
}  # a median below is a logarithm or a multiple of another unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Parameters, tokens and FLOP of each row, NaN where unknown, and how the derived ones came about."""

    params: NDArray[float64]
    tokens: NDArray[float64]
    flops: NDArray[float64]
    notes: tuple[str, ...]


def complete(given: Mapping[str, NDArray[float64]], *, count: int, cost: Cost, convention: str) -> Sizes:
    """Return all three sizes of ``count`` rows from those that are given, and ``tokens_per_param`` if it is."""
    missing = np.full(count, np.nan)
    params = given.get("params", missing)
    tokens = given.get("tokens", missing)
    flops = given.get("flops", missing)
    ratio = given.get("tokens_per_param", missing)
    k, c = cost.per_param_token, cost.per_token
    with np.errstate(all="ignore"):
        by_flops = (flops / tokens - c) / k
        by_both = (np.sqrt((c * ratio) ** 2 + 4 * k * ratio * flops) - c * ratio) / (
            2 * k * ratio
        )  # C = (kN + c) r N
        full_params = _first(params, by_flops, tokens / ratio, by_both)
        full_tokens = _first(tokens, cost.tokens(full_params, flops), full_params * ratio)
        counted = cost.flops(full_params, full_tokens)
    full_flops = _first(flops, counted)
    notes = [
        f"{role} derived from the other sizes (C = {convention}) for {derived} of {count} rows"
        for role, before, after in (
            ("params", params, full_params),
            ("tokens", tokens, full_tokens),
            ("flops", flops, full_flops),
        )
        if (derived := int(np.sum(np.isnan(before) & np.isfinite(after))))
    ]
    all_given = (params > 0) & (tokens > 0) & (flops > 0) & np.isfinite(flops) & np.isfinite(counted)
    if all_given.any():
        factor = flops[all_given] / counted[all_given]
        if np.abs(np.log(factor)).max() > 0.02:  # more than rounding to two or three digits explains
            notes.append(f"the given flops are {factor.min():.3g} to {factor.max():.3g} times {convention}")
    return Sizes(params=full_params, tokens=full_tokens, flops=full_flops, notes=tuple(notes))


def require_raw_units(given: Mapping[str, NDArray[float64]], *, columns: Mapping[str, str], source: str) -> None:
    """Refuse sizes that cannot be counts: logarithms, billions, PF-days.

    Raises
    ------
    FileError
        When the median of a size is below what any training run has.

    """
    for role, least in _LEAST.items():
        values = given.get(role)
        if values is None or not np.isfinite(values).any():
            continue
        middle = float(np.median(values[np.isfinite(values)]))
        if middle < least:
            column = inert(columns[role])
            unit = "8.64e19 (PF-days)" if role == "flops" else "1e9 (billions)"
            raise FileError(
                f"{source}: {role} in {quote(column)} are around {middle:.3g}, too few to be a count",
                hint=f"--map '{role}=log10({column})' reads logarithms, '{role}={column}*FACTOR' units like {unit}",
            )


def _first(*values: NDArray[float64]) -> NDArray[float64]:
    """Return, row by row, the first value that is not NaN."""
    result = values[0]
    for other in values[1:]:
        result = np.where(np.isnan(result), other, result)
    return result
