"""A backtest for people: one line a factor of extrapolation, then the cuts, then the largest budget held out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaleplan.formats.report import Grid, Report
from scaleplan.quantities import format_flops, format_fraction, format_number
from scaleplan.views.fit import reading_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.fitting.tested import Tested

__all__ = ["backtest_report"]


def backtest_report(tested: Tested) -> Report:
    """Return the report of one backtest."""
    ladder = tested.ladder
    rows = tuple(
        (
            format_flops(cut.flops),
            str(cut.runs),
            str(len(cut.rows)),
            f"{float(np.mean(cut.error)):+.2%}",
            f"{float(np.sqrt(np.mean(cut.error**2))):.2%}",
            f"{cut.law.E:.4g}",
            f"{cut.law.alpha:.4g}",
            f"{cut.law.beta:.4g}",
        )
        for cut in ladder.cuts
    )
    columns = ("fitted up to", "runs", "predicted", "bias", "rms", "E", "alpha", "beta")
    sections = [Report(title="cuts", grid=Grid(columns=columns, rows=rows))]
    reading = reading_report(tested.runs)
    return Report(
        title=f"{tested.runs.name}: fitted to the smaller of {len(tested.runs)} runs, the larger ones predicted",
        lines=tuple(f"  {item}" for item in ladder.bins),
        remarks=tuple(_remarks(tested)),
        sections=tuple(sections if reading is None else [*sections, reading]),
    )


def _remarks(tested: Tested) -> Iterator[str]:
    ladder, held = tested.ladder, tested.holdout
    yield f"the fit to all runs misses them by {format_fraction(ladder.inside)} (rms)"
    if tested.samples:
        level = format_fraction(ladder.level)
        yield (
            f"coverage: runs inside the {level} interval of resampling alone, which knows nothing of a law that is "
            "wrong; plans add the rms above"
        )
    if ladder.one_sided:
        yield "all cuts err in one direction by more than the scatter of the fit: the form is wrong, not the noise"
    if held is not None:
        count = len(held.rows)
        yield (
            f"largest budget held out ({format_number(held.factor)} times the rest): bias {held.bias:+.2%}, rms "
            f"{held.rms:.2%}, {round(held.coverage * count)}/{count} inside the combined band of width "
            f"{held.width:.2%} ({round(held.resampling_coverage * count)}/{count} by resampling alone)"
        )
