"""Notice ladders of runs that no law carries to larger runs: very small models, and shapes that change along them.

Repeats of a run show that a law is wrong inside its runs; these show that it may be wrong beyond them. On a ladder of
our own (89 byte-level models of 68k to 12.5M parameters, the smallest of two layers), five larger runs of six layers
and more came out 7 % and more below every forecast.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import Notice
from scaleplan.tables.cells import is_missing, to_number, to_text
from scaleplan.tables.headings import normalised
from scaleplan.units import format_count, format_number

if TYPE_CHECKING:
    from scaleplan.arrays import Array, Index
    from scaleplan.fitting.runs import Runs
    from scaleplan.fitting.table import RawTable

__all__ = ["SMALL_MODEL", "ladder_doubts"]

SMALL_MODEL = 5e6  # parameters; models below it have bent away from the laws of larger ones
_SHARE = 0.25  # of the runs
_SHALLOW = 3  # layers: models of one leave the trend of others (Kaplan et al. 2020, figure 6), of ours those of two
_CHANGE = 2.0  # the factor by which depth, or width over depth, must change to be a change of shape
_MOST_LAYERS, _LEAST_WIDTH = 1000, 8
_LEAST_RUNS = 6  # to compare the smallest third with the largest

_DEPTH = frozenset({"layers", "layer", "nlayers", "nlayer", "depth", "blocks"})
_WIDTH = frozenset({"width", "hidden", "dmodel", "embd", "nembd"})
_SHAPE = re.compile(r"(\d{1,6})\s*[x×]\s*(\d{1,6})")
_NAMED = "; forecasts of such ladders have missed larger runs"


def ladder_doubts(table: RawTable, runs: Runs, positions: Index) -> tuple[Notice, ...]:
    """Return a warning for very small models and one for shapes that change along the ladder, if either is there.

    ``runs`` are those that are used, at ``positions`` of the table.
    """
    found = []
    small = int(np.count_nonzero(runs.params < SMALL_MODEL))
    if small >= _SHARE * len(runs) and runs.flops_convention != "MD":
        message = f"{small} of {len(runs)} runs have models below {format_count(SMALL_MODEL)} parameters{_NAMED}"
        found.append(Notice(code="small_models", message=message))
    depth, width = _shapes(table, positions)
    change = None if depth is None or len(runs) < _LEAST_RUNS else _change(runs.params, depth, width)
    if change is not None:
        found.append(Notice(code="shape_changes", message=f"{change}{_NAMED}"))
    return tuple(found)


def _change(params: Array, depth: Array, width: Array | None) -> str | None:
    """Return how the shape of the models changes with their size; None where it does not."""
    least, most = float(depth.min()), float(depth.max())
    if least <= _SHALLOW and most >= _CHANGE * least:
        return f"the models have from {least:,.0f} to {most:,.0f} layers: of few, each changes the loss by itself"
    if width is None:
        return None
    order = np.argsort(params, kind="stable")
    third = len(order) // 3
    aspect = width / depth
    first, last = (float(np.median(aspect[part])) for part in (order[:third], order[-third:]))
    if abs(math.log(last / first)) < math.log(_CHANGE):
        return None
    return (
        f"the width per layer goes from {format_number(first)} in the smallest models to {format_number(last)} in "
        "the largest"
    )


def _shapes(table: RawTable, positions: Index) -> tuple[Array | None, Array | None]:
    """Return the layers and the widths of the models by columns of the table; None where no column has them."""
    depth = width = None
    for j, name in enumerate(table.names):
        words = set(normalised(name).split()) | ({"dmodel"} if normalised(name).endswith("d model") else set())
        shape = _SHAPE.fullmatch(to_text(table.records[int(positions[0])][j]).strip())
        if shape is None and not words & (_DEPTH | _WIDTH):  # most columns, of files with many rows
            continue
        cells = [table.records[i][j] for i in positions.tolist()]
        if shape is not None:
            pairs = [_SHAPE.fullmatch(to_text(cell).strip()) for cell in cells]
            if all(pairs):
                sides = np.array([sorted(map(int, pair.groups())) for pair in pairs if pair is not None], dtype=float)
                depth, width = sides[:, 0], sides[:, 1]
                break
            continue
        try:
            values = np.array([math.nan if is_missing(cell) else to_number(cell) for cell in cells])
        except ValueError:
            continue
        if not np.all(values == np.round(values)):  # which nothing that is missing is
            continue
        if words & _DEPTH and values.min() >= 1 and values.max() <= _MOST_LAYERS:
            depth = values
        elif words & _WIDTH and values.min() >= _LEAST_WIDTH:
            width = values
    return (None, None) if depth is None or depth.min() < 1 else (depth, width)
