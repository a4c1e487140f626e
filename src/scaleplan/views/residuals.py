"""Residuals as text: whether a pattern is left that the law does not explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaleplan.formats.report import Report
from scaleplan.quantities import format_number

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.fitted import Fitted

    Array = NDArray[float64]

__all__ = ["residual_plot", "residual_reports"]

_WIDTH, _HEIGHT = 64, 11
_DENSITY = " .:+*#@"  # 0, 1, 2, 3, up to 5, up to 9, more
_STEPS = (1, 2, 3, 4, 6, 10)
_REACH = 8.0  # typical residuals from the middle to the edge: a single outlier must not flatten all others


def residual_reports(fitted: Fitted) -> list[Report]:
    """Return one plot each against compute, parameters and tokens per parameter, where the runs have them."""
    values = fitted.residuals
    if values is None:
        return []
    runs = fitted.runs
    unit = "log loss" if fitted.request.objective.is_log else "loss"
    reports = []
    for label, column in (
        ("compute", runs.flops),
        ("parameters", runs.params),
        ("tokens per parameter", runs.tokens / runs.params),
    ):
        if np.all(np.isfinite(column)) and np.ptp(column) > 0:
            title = f"residuals (fitted - observed, {unit}) by {label}"
            reports.append(Report(title=title, lines=residual_plot(column, values)))
    return reports


def residual_plot(column: Array, residuals: Array) -> tuple[str, ...]:
    """Return lines of a scatter plot, ``column`` logarithmic to the right, residuals upwards, zero in the middle.

    A denser character stands for more runs; the first and the last line hold all runs beyond their value too.
    """
    size = np.abs(residuals)
    reach = min(float(np.max(size)), _REACH * float(np.median(size))) or float(np.max(size)) or 1.0
    place = np.log(column)
    low, high = float(np.min(place)), float(np.max(place))
    across = np.minimum(((place - low) / (high - low) * _WIDTH).astype(int), _WIDTH - 1)
    up = np.clip(((residuals / reach + 1) / 2 * _HEIGHT).astype(int), 0, _HEIGHT - 1)
    counts = np.zeros((_HEIGHT, _WIDTH), dtype=int)
    np.add.at(counts, (_HEIGHT - 1 - up, across), 1)
    lines = []
    for row, cells in enumerate(counts):
        text = "".join(_DENSITY[int(np.searchsorted(_STEPS, count, side="right"))] for count in cells)
        middle = row == _HEIGHT // 2
        beyond = ">" if np.max(size) > reach else ""
        label = {0: f"{beyond}{reach:+.2g}", _HEIGHT // 2: "0", _HEIGHT - 1: f"{beyond}{-reach:+.2g}"}.get(row, "")
        lines.append(f"  {label:>8} {'+' if middle else '|'}{text}".rstrip())
    left, right = (format_number(float(np.exp(end))) for end in (low, high))
    ends = left + right.rjust(_WIDTH - len(left))
    return (*lines, f"  {'':8}  {ends}")
