"""What some runs of a ladder take, as the files that start them say it before anything is submitted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import escape_control
from scaleplan.ladder.schedule import time_of_all
from scaleplan.units.format import (
    counted,
    format_count,
    format_days,
    format_flops,
    format_hours,
    format_range,
    money_in,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.ladder.ladder import Ladder, LadderRun

__all__ = ["Spending", "at_most", "facts", "predicted"]


class Spending(NamedTuple):
    """What runs take: GPU-hours, days until the last has ended, money at the price of the ladder."""

    gpu_hours: float
    days: float
    cost: float | None


def predicted(ladder: Ladder, runs: Sequence[LadderRun]) -> Spending | None:
    """Return what runs of a ladder are predicted to take; None where the GPU is not known."""
    return _spending(ladder, [run.hours for run in runs])


def at_most(ladder: Ladder, runs: Sequence[LadderRun]) -> Spending | None:
    """Return what runs of a ladder take if each is stopped at its limit of time; None where there is none."""
    return _spending(ladder, [run.limit_hours for run in runs])


def _spending(ladder: Ladder, hours: Sequence[float | None]) -> Spending | None:
    known = [each for each in hours if each is not None]
    if len(known) < len(hours):
        return None
    total = math.fsum(known) * ladder.gpus
    return Spending(total, time_of_all(known, ladder.at_once) / 24, ladder.cost_of(total))


def facts(ladder: Ladder, runs: Sequence[LadderRun]) -> tuple[tuple[str, str], ...]:
    """Return what to know before runs are submitted, a name and a line of characters that show for each."""
    sizes = sorted(run.params for run in runs)
    some = "" if len(runs) == len(ladder.runs) else f" of {len(ladder.runs):,}"
    size = format_count(sizes[0]) if sizes[0] == sizes[-1] else format_range(sizes[0], sizes[-1], format_count)
    kind = "" if ladder.gpu is None else f" ({ladder.gpu})"
    at_once = min(ladder.at_once, len(runs))
    each = f"on {counted(ladder.gpus, 'GPU')}{kind} each, at most {at_once:,} at a time, longest first"
    listed = [
        (
            "design",
            f"pilots for a run of {format_flops(ladder.target)}, by {ladder.law}; batch and rate by {ladder.rule}",
        ),
        ("runs", f"{len(runs):,}{some}, of {size} parameters, {each}"),
    ]
    likely, most = predicted(ladder, runs), at_most(ladder, runs)
    money = money_in(ladder.currency)
    if likely is None:
        listed.append(("time", "not predicted, as the GPU is not known"))
    else:
        listed.append(("time", f"{format_hours(likely.gpu_hours, unit='GPU-hours')}, {format_days(likely.days)}"))
    if likely is not None and likely.cost is not None:
        listed.append(("cost", money(likely.cost)))
    if most is None:
        listed.append(("at most", "without a limit of time: what the engine allows"))
    else:
        time = f"{format_hours(most.gpu_hours, unit='GPU-hours')}, {format_days(most.days)}"
        price = "" if most.cost is None else f", {money(most.cost)}"
        listed.append(("at most", f"{time}{price}: if each run is started once, and stopped at its limit"))
    return tuple((name, escape_control(line)) for name, line in listed)
