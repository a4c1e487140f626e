"""Judge the forecast of a run's end against its planned loss, find since when, and when to look again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from scaleplan.planning.uncertainty import sigmas_of
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.tracking.alarm import Alarm
    from scaleplan.tracking.ending import Ending
    from scaleplan.tracking.planned import Planned

__all__ = ["FALL", "LookAgain", "Verdict", "compared", "look_again", "since_when", "verdict_of"]

Verdict = Literal["on course", "better", "worse", "diverging", "too early", "too few points"]

_RESOLUTION = 0.025
"""The half-width of ln loss above which a forecast settles nothing: half the compute costs 2 to 3 % of the loss by
the published laws, so that a wider one cannot tell a run on course from one of half its size."""

FALL = 0.9
"""How the error of a forecast falls with the share s of the run that was seen: as ((1 - s) / s) ** 0.9, where the
forecast has no course of its own.

The median errors measured on public curves at 20, 30, 50 and 80 % are 2.5, 1.5, 0.6 and 0.2 % by a power law with a
floor, 1.3, 0.9, 0.4 and 0.1 % by the shape of a smaller run, 0.90, 0.44, 0.22 and 0.08 % by a ladder: exponents of
0.91, 0.93 and 0.87.
"""

_STILL = 1e-4  # ln loss: what is left to fall of a loss that falls no more

_HALVINGS = 6
"""How often the interval halves, by that rule, from a fifth of the run to 97 %: as many looks say something new."""

_LOOKS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""The shares of the part seen at which an earlier forecast is made, to find since when a verdict holds."""

_LAST_LOOK = 0.99  # of the run: a look beyond it says nothing before the end does


class LookAgain(Record):
    """The next useful moment to look: its share of the run, and why then."""

    seen: float
    reason: Literal["the verdict may change", "the interval is half as wide"]


def compared(ending: Ending, planned: Planned, *, level: float) -> Verdict:
    """Return how the forecast lies to the planned loss.

    It is worse or better where the difference exceeds what the uncertainties of both explain at ``level``, over all
    looks at a run together. An upper bound above the plan says nothing yet.
    """
    reach = sigmas_of(level)
    apart = math.log(ending.loss / planned.loss)
    margin = _beyond(level) * math.hypot(ending.sd, planned.sd)
    if apart < -margin:
        return "better"
    if ending.upper_bound:
        return (
            "on course"
            if ending.loss <= planned.loss * math.exp(margin) and _narrow(ending, planned, reach)
            else "too early"
        )
    if apart > margin:
        return "worse"
    return "on course" if _narrow(ending, planned, reach) else "too early"


def _beyond(level: float) -> float:
    """Return how many standard deviations a difference must exceed, with Bonferroni's share of each look."""
    return sigmas_of(1 - (1 - level) / _HALVINGS)


def _narrow(ending: Ending, planned: Planned, reach: float) -> bool:
    """Return whether a forecast is narrow enough for "on course" to mean something."""
    return reach * ending.sd <= max(_RESOLUTION, reach * planned.sd)


def verdict_of(comparison: Verdict | None, alarm: Alarm | None) -> Verdict | None:
    """Return the verdict of a comparison with the plan, None where nothing judges, and of an alarm.

    A departure from the run's own course counts unless the forecast, which knows of it, settles the opposite.
    """
    if alarm is None:
        return comparison
    if alarm.kind == "diverging" or comparison not in ("better", "worse"):
        return alarm.kind
    return comparison


def since_when(
    verdict: Verdict, judged_at: Callable[[float], Verdict | None], shares: Sequence[float] = _LOOKS
) -> float | None:
    """Return the share of the part seen since which a comparison comes out alike; None where it is new.

    ``judged_at`` is the verdict from a part of the part seen, None where there is none.
    """
    found = None
    for share in shares:
        if judged_at(share) != verdict:
            break
        found = share
    return found


def look_again(
    seen: float, ending: Ending, planned: Planned | None, verdict: Verdict | None, *, level: float
) -> LookAgain | None:
    """Return when to look again: when the interval can have shrunk enough to change the verdict, or has halved.

    The error falls with what is left to fall; the verdict changes where the forecast stays as it is and only its
    interval shrinks. The earlier of both moments counts; None at the end.
    """
    if not 0 < seen < _LAST_LOOK:
        return None
    halved = _when(0.5, seen, ending)
    if planned is not None and verdict in ("on course", "too early") and ending.sd > 0:
        apart = abs(math.log(ending.loss / planned.loss)) / _beyond(level)
        wanted = [max(_RESOLUTION / sigmas_of(level), planned.sd)] if verdict == "too early" else []
        if apart > planned.sd:
            wanted.append(math.sqrt(apart**2 - planned.sd**2))
        for sd in sorted(wanted, reverse=True):
            if sd < ending.sd:
                changed = _when(sd / ending.sd, seen, ending)
                if changed < halved:
                    return LookAgain(seen=changed, reason="the verdict may change")
                break
    return LookAgain(seen=halved, reason="the interval is half as wide")


def _when(ratio: float, seen: float, ending: Ending) -> float:
    """Return the share of the run at which the error has fallen to a share of what it is now.

    It is taken as proportional to what is left to fall, ln L(s) - ln L(1) on the way of the forecast, which knows the
    schedule: before a decay hardly less of it is left. A loss that falls no more has the rule of :data:`FALL`.
    """
    if len(ending.path) > 1:
        end_step, end_loss = ending.path[-1][:2]
        now = math.log(ending.path[0][1] / end_loss)
        later, least = 1.0, 0.0  # from the end backwards, so that a way that dips below its end counts once
        for step, loss, *_ in reversed(ending.path) if now > _STILL else ():
            share, left = step / end_step, max(math.log(loss / end_loss), least)
            if left >= ratio * now:
                part = (ratio * now - least) / (left - least) if left > least else 1.0
                return max(later + part * (share - later), seen)
            later, least = share, left
    return min(1 / (1 + (1 - seen) / seen * ratio ** (1 / FALL)), 1.0)
