"""Conditions on a tracked run that stop a job: ``loss > 2.1@90%``, ``verdict = diverging``, ``days_left > 3``."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, ClassVar, get_args

from scaleplan.errors import Notice, ScaleplanError, UnknownNameError, UsageError, quote
from scaleplan.planning.uncertainty import sigmas_of
from scaleplan.record import Record
from scaleplan.tracking.verdict import Verdict
from scaleplan.units import format_fraction, format_number
from scaleplan.units.limits import Limit, parse_limit

if TYPE_CHECKING:
    from scaleplan.tracking.tracked_run import Tracking

__all__ = ["StopCondition", "StoppedError", "parse_condition"]

_QUANTITIES = {
    "loss": "number",
    "loss_now": "number",
    "plan_loss": "number",
    "days_left": "days",
    "cost_left": "usd",
    "mfu": "ratio",
    "seen": "ratio",
    "tokens_per_second": "number",
}
"""What a condition can be on, each with its kind: keys of the answer."""

_TOLD_BY = {
    "loss": "there is no forecast yet",
    "plan_loss": "give --plan, --preset or --pilots",
    "days_left": "the log has no times",
    "tokens_per_second": "the log has no times",
    "cost_left": "give --gpu and --gpus",
    "mfu": "give --gpu and --gpus, and --params where the log lacks them",
}
"""Why a quantity is not known, or what tells it."""

_VERDICT = re.compile(r"\s*verdict\s*(?P<operator><=|>=|!=|==?|<|>)\s*(?P<word>.*?)\s*")

_AFTER = re.compile(r"(?P<name>\s*[A-Za-z_]+)(?P<rest>\s*[<>=≤≥]+[^@]*)@(?P<level>[^@]*)")
"""A confidence that stands after the amount: ``loss > 2.1@90%``, which is ``loss@90% > 2.1``."""

_VERDICTS = get_args(Verdict)


class StoppedError(ScaleplanError):
    """A condition holds at which the run is to be stopped: the answer is there, and it is "no"."""

    code: ClassVar[str] = "stopped"
    exit_status: ClassVar[int] = 1


class StopCondition(Record):
    """One condition, by its text: a verdict, or a limit that holds where the run must stop."""

    text: str
    verdict: str | None = None
    limits: tuple[Limit, ...] = ()

    def met(self, tracking: Tracking) -> str | None:
        """Return the reason where the condition is met; None where it is not, or nothing is known of it."""
        if self.verdict is not None:
            since = tracking.since
            place = "" if since is None else f" since step {since.step:,.0f}"
            return f"the verdict is {self.verdict}{place}" if tracking.verdict == self.verdict else None
        reasons = [_reason(limit, tracking) for limit in self.limits]
        return None if None in reasons else " and ".join(str(reason) for reason in reasons)

    def unknown(self, tracking: Tracking) -> Notice | None:
        """Return a warning where the condition cannot hold, because a quantity of it is not known."""
        for limit in self.limits:
            if getattr(tracking, limit.quantity) is None:
                why = f"{limit.quantity} is not known; {_TOLD_BY.get(limit.quantity, 'the log does not tell it')}"
                return Notice(code="condition_unknown", message=f"--fail-on {quote(self.text)} cannot hold: {why}")
        return None


def parse_condition(text: str) -> StopCondition:
    """Return the condition of a text.

    Raises UsageError, or one of its kinds, for what is none.
    """
    found = _VERDICT.fullmatch(text)
    if found is not None:
        word = found["word"].strip("'\"").replace("_", " ").replace("-", " ").lower()
        if found["operator"] not in ("=", "=="):
            raise UsageError(f"{quote(text)}: a verdict is compared with =", hint="for example verdict = diverging")
        if word not in _VERDICTS:
            raise UnknownNameError("verdict", word, _VERDICTS)
        return StopCondition(text=f"verdict = {word}", verdict=word)
    moved = _AFTER.fullmatch(text)
    written = text if moved is None else f"{moved['name'].rstrip()}@{moved['level'].strip()}{moved['rest']}"
    limits = parse_limit(written, quantities=_QUANTITIES)
    for limit in limits:
        if limit.level is not None and limit.quantity != "loss":
            raise UsageError(
                f"{quote(text)}: {limit.quantity} has no interval",
                hint="a confidence belongs to loss: 'loss > 2.1@90%'",
            )
        if limit.level is not None and limit.op == "=":
            raise UsageError(
                f"{quote(text)}: no forecast is equal to a loss at a confidence", hint="compare with > or <"
            )
    return StopCondition(text=" and ".join(limit.text for limit in limits), limits=limits)


def _reason(limit: Limit, tracking: Tracking) -> str | None:
    """Return why a limit holds; None where it does not."""
    value = getattr(tracking, limit.quantity)
    if value is None:
        return None
    if limit.level is None:
        return f"{limit.quantity} is {format_number(value, digits=4)} ({limit.text})" if limit.holds(value) else None
    end = one_sided(tracking, limit.level, above=limit.op.startswith(">"))
    if end is None or not limit.holds(end):
        return None
    side = "above" if limit.op.startswith(">") else "below"
    chance = format_fraction(limit.level)
    return f"loss is {side} {format_number(end, digits=4)} with a probability of {chance} ({limit.text})"


def one_sided(tracking: Tracking, level: float, *, above: bool) -> float | None:
    """Return the loss that the end lies above, or below, with a probability; None without a forecast.

    The forecast is taken as normal in ln loss, with the half of its interval on that side.
    """
    if tracking.loss is None or tracking.interval is None:
        return None
    low, high = tracking.interval.loss
    half = math.log(tracking.loss / low) if above else math.log(high / tracking.loss)
    # the end of the interval at level 2p - 1 leaves 1 - p on its side
    reach = sigmas_of(2 * level - 1) if level > 0.5 else -sigmas_of(1 - 2 * level) if level < 0.5 else 0.0
    moved = half * reach / sigmas_of(tracking.interval.level)
    return tracking.loss * math.exp(-moved if above else moved)
