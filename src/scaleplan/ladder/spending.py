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
    """What runs take: GPU-hours, days until the last has ended, money; all None where the time of a run is not known.

    The money is None without a price, too.
    """

    gpu_hours: float | None
    days: float | None
    cost: float | None

    @classmethod
    def of(cls, hours: Sequence[float | None], *, gpus: int, at_once: int, price: float | None) -> Spending:
        """Return what runs of some hours take on ``gpus`` each, at a price of a GPU-hour."""
        known = [each for each in hours if each is not None]
        if len(known) < len(hours):
            return cls(None, None, None)
        total = math.fsum(known) * gpus
        return cls(total, time_of_all(known, at_once) / 24, None if price is None else price * total)


def predicted(ladder: Ladder, runs: Sequence[LadderRun]) -> Spending:
    """Return what runs of a ladder are predicted to take."""
    return _of_ladder(ladder, [run.hours for run in runs])


def at_most(ladder: Ladder, runs: Sequence[LadderRun]) -> Spending:
    """Return what runs of a ladder take if each is stopped at its limit of time."""
    return _of_ladder(ladder, [run.limit_hours for run in runs])


def _of_ladder(ladder: Ladder, hours: Sequence[float | None]) -> Spending:
    return Spending.of(hours, gpus=ladder.gpus, at_once=ladder.at_once, price=ladder.price)


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
    likely, most, money = predicted(ladder, runs), at_most(ladder, runs), money_in(ladder.currency)
    listed.append(("time", _time(likely) or "not predicted, as the GPU is not known"))
    if likely.cost is not None:
        listed.append(("cost", money(likely.cost)))
    limit = _time(most)
    if limit is None:
        listed.append(("at most", "without a limit of time: what the engine allows"))
    else:
        price = "" if most.cost is None else f", {money(most.cost)}"
        listed.append(("at most", f"{limit}{price}: if each run is started once, and stopped at its limit"))
    return tuple((name, escape_control(line)) for name, line in listed)


def _time(spending: Spending) -> str | None:
    """Return GPU-hours and days in words; None where they are not known."""
    if spending.gpu_hours is None or spending.days is None:
        return None
    return f"{format_hours(spending.gpu_hours, unit='GPU-hours')}, {format_days(spending.days)}"
