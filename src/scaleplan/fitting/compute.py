"""Find how the compute column of a file counts its runs: 6ND, a multiple of it, or a function of the size.

Trackers count compute in their own way: without the embeddings, with attention, or with recomputation. Where that
count is a function of N and D, plans are made in it: ``8ND``, ``6.1ND + 3e8D``, ``0.035N^1.19D``. Where it jumps from
row to row, one of N, D and C of a row is wrong, and nobody can tell which.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import Notice
from scaleplan.fitting.objective import rms, typical_deviation
from scaleplan.fitting.runs import row_text
from scaleplan.laws.base import Cost
from scaleplan.record import Record
from scaleplan.units import format_number, format_plain

if TYPE_CHECKING:
    from scaleplan.arrays import Array, Index, Mask

__all__ = ["OwnCount", "own_count"]

_USUAL = "6ND"

_ROUNDED = 0.02  # in ln C: sizes written with two or three digits
_SNAPPED = 0.12  # in ln C: budgets to which the runs of an IsoFLOP sweep are rounded; 0.10 in Hoffmann et al.'s
_MATTERS = 0.05  # in ln C, over the sizes of the file: a smaller trend moves no plan by more than it is sure of
_JUMP_Z = 8.0  # scaled median deviations from the count of the others: no rounding makes such a row
_LEAST, _MOST = 1e-3, 1e40
_FEW = 0.2  # of the rows; when more jump there is no count of the others to speak of
_LEAST_ROWS = 4


class OwnCount(Record):
    """How a file counts compute: its ``convention``, and the cost by it.

    The compute of the rows ``counted`` is taken from their sizes instead, and ``jumps`` are those of them that differ
    from the others.
    """

    cost: Cost
    convention: str
    counted: Mask
    jumps: Mask
    warnings: tuple[Notice, ...] = ()


def own_count(params: Array, tokens: Array, flops: Array, *, stated: str | None, rows: Index) -> OwnCount:
    """Return the convention of the file's compute, of rows with NaN where a size is not given.

    ``stated`` is the convention that the user gives, which is never replaced. Without one it is 6ND where the compute
    agrees, to the rounding of budgets, or where the file has no compute of its own to compare.
    """
    convention = stated or _USUAL
    cost = Cost.from_convention(convention)
    assert cost is not None  # the caller has checked it
    none = np.zeros(len(rows), dtype=bool)
    # what lies beyond is no run, and is left out by the cleaning of rows
    given = np.logical_and.reduce([(values > _LEAST) & (values < _MOST) for values in (params, tokens, flops)])
    if not given.any():
        return OwnCount(cost=cost, convention=convention, counted=none, jumps=none)
    size, data, spent = params[given], tokens[given], flops[given]
    offset = np.log(spent / cost.flops(size, data))
    if stated is not None:
        if np.abs(offset).max() <= _SNAPPED:
            return OwnCount(cost=cost, convention=convention, counted=none, jumps=none)
        low, high = np.exp(offset.min()), np.exp(offset.max())
        message = (
            f"the file's compute is {format_number(low)} to {format_number(high)} times {convention}, by which "
            "plans count it"
        )
        notice = Notice(code="own_compute", message=message)
        return OwnCount(cost=cost, convention=convention, counted=given, jumps=none, warnings=(notice,))
    far = np.abs(offset - np.median(offset))
    found, rest = _follow(size, offset, far <= np.quantile(far, 1 - _FEW))
    spread = max(typical_deviation(rest), _ROUNDED / 4)
    jumps = np.abs(rest) > max(_SNAPPED, _JUMP_Z * spread)
    if np.abs(rest[~jumps]).max(initial=0.0) > 2 * _SNAPPED or np.mean(jumps) > _FEW:
        return OwnCount(
            cost=cost, convention=_USUAL, counted=given, jumps=none, warnings=(_disagreement(offset, rows[given]),)
        )
    kept = ~jumps
    found, rest = _follow(size, offset, kept)
    jumps = np.abs(rest) > max(_SNAPPED, _JUMP_Z * max(typical_deviation(rest[kept]), _ROUNDED / 4))
    own = Cost.from_convention(found)
    assert own is not None
    warnings = []
    if found != _USUAL:
        low, high = np.exp(offset[~jumps].min()), np.exp(offset[~jumps].max())
        share = (
            format_number(low) if high < low * (1 + _ROUNDED) else f"{format_number(low)} to {format_number(high)}"
        )
        message = f"the file's compute is {share} times 6ND, so that plans count it as C = {found}"
        way = "--flops-convention 6ND counts by 6ND"
        warnings.append(Notice(code="own_compute", message=f"{message}; {way}"))
    if jumps.any():
        where = rows[given][jumps]
        times = np.exp(rest[jumps])
        same = times.max() < times.min() * (1 + _ROUNDED)
        factor = (
            format_number(times.min()) if same else f"{format_number(times.min())} to {format_number(times.max())}"
        )
        message = (
            f"params, tokens and flops disagree in row {row_text(where.tolist())}: the compute is {factor} times "
            "that of the other rows; --drop compute_differs leaves them out"
        )
        warnings.append(Notice(code="compute_differs", message=message))
    return _result(own, found, given, jumps, *warnings)


def _result(cost: Cost, convention: str, given: Mask, jumps: Mask, *warnings: Notice) -> OwnCount:
    mask = np.zeros(len(given), dtype=bool)
    mask[np.flatnonzero(given)[jumps]] = True
    return OwnCount(cost=cost, convention=convention, counted=mask, jumps=mask, warnings=warnings)


def _disagreement(offset: Array, rows: Index) -> Notice:
    """Return the warning that the compute is no function of the sizes, and is counted from them by 6ND."""
    low, high = np.exp(offset.min()), np.exp(offset.max())
    first, last = rows[np.argmin(offset)], rows[np.argmax(offset)]
    message = (
        f"params, tokens and flops disagree: the compute is {format_number(low)} (row {first}) to "
        f"{format_number(high)} (row {last}) times "
        f"{_USUAL}, with no pattern in the size, and is counted as {_USUAL}; --map flops=… names another column"
    )
    return Notice(code="compute_differs", message=message)


def _follow(size: Array, offset: Array, near: Mask) -> tuple[str, Array]:
    """Return the count that the rows ``near`` one follow, and what is left of each row's logarithm.

    The simplest of four: 6ND, kND, kND + cD (compute that does not depend on the size: embeddings, attention), and
    kN^pD (a share of parameters that compute which changes with the size).
    """
    middle = float(np.median(offset[near]))
    constant = offset - middle
    line = _line(np.log(size[near]), offset[near])
    if line is not None:
        level, slope = line
        trend = offset - level - slope * np.log(size)
        reach = abs(slope) * float(np.ptp(np.log(size[near])))
        if reach > _MATTERS and rms(trend[near]) < 0.5 * rms(constant[near]):
            affine = _affine(size, offset, near)
            if affine is not None and rms(affine[1][near]) <= max(1.2 * rms(trend[near]), _ROUNDED / 2):
                return affine
            power = max(1 + slope, 0.0)
            scale = 6 * math.exp(level)
            return f"{format_plain(scale)}N^{format_plain(power)}D", trend
    if abs(middle) <= _MATTERS:
        return _USUAL, offset
    return f"{format_number(6 * math.exp(middle), digits=4)}ND", constant


def _line(x: Array, y: Array) -> tuple[float, float] | None:
    """Return (level, slope) of a line; None for too few points or a single place."""
    if len(x) < _LEAST_ROWS or np.ptp(x) < _ROUNDED:
        return None
    slope, level = np.polyfit(x - x.mean(), y, 1)
    return float(level - slope * x.mean()), float(slope)


def _affine(size: Array, offset: Array, near: Mask) -> tuple[str, Array] | None:
    """Return kND + cD by least squares on relative differences; None where c is not positive."""
    per_token = np.exp(offset + np.log(6 * size))  # FLOP
    design = np.stack([size / per_token, 1 / per_token], axis=1)
    scale = np.abs(design).max(axis=0)
    (k, c), *_ = np.linalg.lstsq(design[near] / scale, np.ones(int(near.sum())), rcond=None)
    k, c = float(k / scale[0]), float(c / scale[1])
    if k <= 0 or c <= 0:
        return None
    return f"{format_plain(k)}ND + {format_number(c, digits=4)}D", np.log(per_token / (k * size + c))
