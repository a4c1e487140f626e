"""Tell whether a running training has left the course that its own past, or runs of its recipe, let expect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.tracking.loss_curve import LossCurve

__all__ = ["Alarm", "find_alarm"]


class Alarm(Record):
    """A departure: what it is, ``since`` which step, and by how much the loss departs, as a share (+0.01: higher)."""

    kind: Literal["worse", "better", "diverging"]
    since: float
    size: float


def find_alarm(curve: LossCurve, references: Sequence[LossCurve] = ()) -> Alarm | None:
    """Return the departure that the part seen of a run shows; None where it shows none.

    With references the pooled spread of their log ratio is the yardstick; without any, the run's own local trend.
    """
    raise NotImplementedError
