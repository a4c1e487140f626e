"""The order in which runs of a ladder take their turns, and how long all of them take."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["turns"]


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
