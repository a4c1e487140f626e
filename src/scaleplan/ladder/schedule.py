"""Which place takes which runs of a ladder, one after the other, and when the last run ends."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["time_of_all", "turns"]


def turns(hours: Sequence[float], at_once: int) -> tuple[tuple[int, ...], ...]:
    """Return which runs each of ``at_once`` places takes, one after the other: the next free place the next run.

    Of runs that stand longest first this is at most 4/3 of the shortest time there is (Graham 1969, Bounds on
    multiprocessing timing anomalies).
    """
    places = [(0.0, place) for place in range(min(at_once, max(1, len(hours))))]
    taken: list[list[int]] = [[] for _ in places]
    for run, length in enumerate(hours):
        free, place = heapq.heappop(places)
        taken[place].append(run)
        heapq.heappush(places, (free + length, place))
    return tuple(map(tuple, taken))


def time_of_all(times: Sequence[float], at_once: int) -> float:
    """Return when the last of some runs has ended, in the unit of their times; 0 without runs."""
    return max((math.fsum(times[run] for run in place) for place in turns(times, at_once)), default=0.0)
