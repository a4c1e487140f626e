"""The GPUs that finish in a time: the least whole number, in the median and at the high end of the band."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.errors import UnreachableError
from scaleplan.record import Record
from scaleplan.units import format_number

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["MOST_GPUS", "Deadline", "least_gpus"]

MOST_GPUS = 10_000_000
"""More GPUs of one kind than any maker has delivered: a deadline that needs more is none that can be kept."""

_ROUNDING = 1e-12  # relative: hours that divide by the deadline without a rest must not take one more


class Deadline(Record):
    """How many GPUs finish within some ``days``.

    ``gpus`` are the fewest in the median, ``safe_gpus`` those that finish at the high end of the band, too; None
    without a band. ``server`` is how many GPUs a server has, and the numbers in servers are the fewest in
    whole ones; None where one server is enough. ``chance`` is the probability that the GPUs of the budget
    finish, which are ``gpus`` unless their number was given or ``memory_gpus`` are needed to hold the model.
    """

    days: float
    gpus: int
    safe_gpus: int | None
    server: int
    gpus_in_servers: int | None
    safe_gpus_in_servers: int | None
    chance: float | None = None
    memory_gpus: int | None = None

    @property
    def exact(self) -> Self:
        """The same of hours that are given and do not scatter."""
        return replace(self, safe_gpus=None, safe_gpus_in_servers=None, chance=None)


def least_gpus(hours_on: Callable[[int], float], most_hours: float, *, step: int = 1) -> int:
    """Return the least multiple of ``step`` GPUs that finish within ``most_hours``.

    ``hours_on`` gives the GPU-hours on a number of them, which must not fall with the number. So the number
    that the hours on ``n`` take rises with ``n`` too, and going from one to the next, from the least number on, stops
    at the first that is enough. Raises UnreachableError where more are needed than there are.
    """
    gpus = step
    while True:
        needed = hours_on(gpus) / most_hours * (1 - _ROUNDING)
        if needed <= gpus:
            return gpus
        if needed > MOST_GPUS:
            raise UnreachableError(
                f"this takes {format_number(needed)} GPUs at once: more than there are", hint="give it more time"
            )
        gpus = step * math.ceil(needed / step)
