"""Find room for the labels of a picture: beside what they name, and on nothing else.

Each label has candidate places. One that would lie on another label, on a marked point or outside the picture is
taken only where there is no other, one that covers curves costs, and so does distance. Labels choose in turn, twice.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Box", "Ink", "LabelPlace", "around", "placed", "spread"]

Spot = tuple[float, float]

_CELL = 4.0  # sides of the squares in which ink is remembered, in px
_STEP = 2.0  # between the spots of a line that are remembered
_ON_LABEL, _ON_POINT, _OUTSIDE, _CROSSED, _ON_LINE = 1e5, 1e5, 1e6, 150.0, 30.0
"""What a place costs, in px of distance: the first three are never worth it, a covered cell of a curve seldom."""

_DISTANCES = (7.0, 12.0, 19.0, 28.0, 40.0, 56.0, 78.0, 108.0, 150.0, 210.0)
_ANGLES = 16
_ROUNDS = 3


class Box(NamedTuple):
    """A rectangle, with y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def of(cls, x: float, y: float, width: float, height: float) -> Self:
        """Return the box of this size around a centre."""
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def meets(self, other: Box, *, room: float = 0.0) -> bool:
        """Return whether two boxes overlap, or are closer than ``room``."""
        return (
            self.left < other.right + room
            and other.left < self.right + room
            and self.top < other.bottom + room
            and other.top < self.bottom + room
        )

    def nearest(self, spot: Spot) -> Spot:
        """Return the point of the box that is nearest to another."""
        return min(max(spot[0], self.left), self.right), min(max(spot[1], self.top), self.bottom)

    def holds(self, other: Box) -> bool:
        """Return whether another box lies inside."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )


class LabelPlace(NamedTuple):
    """A place for a label, what it costs in itself, and the point that a line leads to from there, if any."""

    box: Box
    cost: float
    spot: Spot | None = None

    def crosses(self, box: Box) -> bool:
        """Return whether the line to the point passes through a box."""
        if self.spot is None:
            return False
        (x, y), (to_x, to_y) = self.spot, self.box.nearest(self.spot)
        steps = max(1, math.ceil(math.dist((x, y), (to_x, to_y)) / _CELL))
        spots = ((x + (to_x - x) * n / steps, y + (to_y - y) * n / steps) for n in range(steps))
        return any(box.left < a < box.right and box.top < b < box.bottom for a, b in spots)


class Ink:
    """What is drawn already: curves and runs, as the small squares that they touch, and marked points, as boxes."""

    def __init__(self) -> None:
        self._cells: set[tuple[int, int]] = set()
        self._runs: set[tuple[int, int]] = set()
        self.points: list[Box] = []

    def line(self, spots: Sequence[Spot]) -> None:
        """Remember a line."""
        for (x, y), (to_x, to_y) in pairwise(spots):
            steps = max(1, math.ceil(math.hypot(to_x - x, to_y - y) / _STEP))
            for step in range(steps + 1):
                share = step / steps
                self._cells.add((int((x + (to_x - x) * share) // _CELL), int((y + (to_y - y) * share) // _CELL)))

    def run(self, box: Box) -> None:
        """Remember the marker of a run, of which there may be thousands."""
        self._runs.update(_squares(box))

    def covered(self, box: Box) -> int:
        """Return how many squares of curves a box covers."""
        return sum(square in self._cells for square in _squares(box))

    def hides(self, box: Box) -> int:
        """Return how many marked points, and squares with runs, a box covers."""
        runs = sum(square in self._runs for square in _squares(box)) if self._runs else 0
        return runs + sum(box.meets(point, room=1.0) for point in self.points)


def _squares(box: Box) -> list[tuple[int, int]]:
    """Return the squares that a box touches."""
    columns = range(int(box.left // _CELL), int(box.right // _CELL) + 1)
    rows = range(int(box.top // _CELL), int(box.bottom // _CELL) + 1)
    return [(column, row) for column in columns for row in rows]


def around(x: float, y: float, width: float, height: float) -> Iterator[LabelPlace]:
    """Yield places around a point, the nearest and upper right ones first among equals."""
    for distance in _DISTANCES:
        for turn in range(_ANGLES):
            angle = math.tau * turn / _ANGLES
            across, up = math.cos(angle), math.sin(angle)
            # the nearest point of the box lies at the distance: its centre is farther by half of its size
            centre_x = x + across * distance + width / 2 * max(-1.0, min(1.0, 1.6 * across))
            centre_y = y - up * distance - height / 2 * max(-1.0, min(1.0, 1.6 * up))
            preference = 2.0 - up - 0.5 * across
            yield LabelPlace(Box.of(centre_x, centre_y, width, height), distance + preference, (x, y))


def placed(wanted: Sequence[Sequence[LabelPlace]], ink: Ink, frame: Box) -> list[Box]:
    """Return the chosen box of each label, in order."""
    own = [[place._replace(cost=place.cost + _own_cost(place.box, ink, frame)) for place in each] for each in wanted]
    chosen: list[LabelPlace | None] = [None] * len(own)
    for _ in range(_ROUNDS):
        before = list(chosen)
        for index, places in enumerate(own):
            others = [place for at, place in enumerate(chosen) if at != index and place is not None]
            chosen[index] = min(places, key=lambda place: place.cost + sum(_beside(place, each) for each in others))
        if chosen == before:
            break
    return [place.box for place in chosen if place is not None]


def _beside(place: LabelPlace, other: LabelPlace) -> float:
    """Return what a place costs for another label: for lying on it, and for a line through one of them."""
    crossed = place.crosses(other.box) or other.crosses(place.box)
    return _ON_LABEL * place.box.meets(other.box, room=2.0) + _CROSSED * crossed


def _own_cost(box: Box, ink: Ink, frame: Box) -> float:
    """Return what a place costs for what it covers."""
    cost = 0.0 if frame.holds(box) else _OUTSIDE
    cost += _ON_POINT * ink.hides(box)
    return cost + _ON_LINE * ink.covered(box)


def spread(wanted: Iterable[float], height: float, top: float, bottom: float) -> list[float]:
    """Return heights at least ``height`` apart and between the ends, as near as can be to those that are wanted.

    Neighbours that would meet share the mean of what they want. Where not all fit they are closer together.
    """
    order = sorted(range(len(items := list(wanted))), key=items.__getitem__)
    if len(order) > 1:
        height = min(height, (bottom - top) / (len(order) - 1))
    groups: list[list[int]] = []
    for index in order:
        groups.append([index])
        while len(groups) > 1 and _last(groups[-2], items, height, top, bottom) + height > _first(
            groups[-1], items, height, top, bottom
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    found = [0.0] * len(items)
    for group in groups:
        first = _first(group, items, height, top, bottom)
        for place, index in enumerate(group):
            found[index] = first + place * height
    return found


def _first(group: Sequence[int], items: Sequence[float], height: float, top: float, bottom: float) -> float:
    span = (len(group) - 1) * height
    middle = sum(items[index] for index in group) / len(group)
    return min(max(middle - span / 2, top), bottom - span)


def _last(group: Sequence[int], items: Sequence[float], height: float, top: float, bottom: float) -> float:
    return _first(group, items, height, top, bottom) + (len(group) - 1) * height
