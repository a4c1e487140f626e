"""The answer about a running training: its forecast, verdict, since when, what is left, and when to look again."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from scaleplan.presets.conventions import NATS, bits_per_byte, perplexity
from scaleplan.record import Record, Result, computed

if TYPE_CHECKING:
    from scaleplan.errors import Notice
    from scaleplan.tracking.ending import Ending, MethodForecast
    from scaleplan.tracking.loss_curve import LossCurve
    from scaleplan.tracking.planned import Metric, PlanSource
    from scaleplan.tracking.registered import LossInterval
    from scaleplan.tracking.verdict import Verdict

__all__ = ["Departure", "Moment", "NextLook", "Tracked", "Tracking"]


class Moment(Record):
    """A place of a run: its step, its tokens, and the date and time in UTC where the log has times."""

    step: float
    tokens: float | None = None
    date: str | None = None


class NextLook(Record):
    """The next useful moment to look: its step, tokens, share of the run, days from now, and why then."""

    step: float
    tokens: float | None
    seen: float
    days: float | None
    reason: str


class Departure(Record):
    """A departure of the loss from its course: its kind, since when, and its size as a share (+0.01: higher).

    The size is None where the loss is no number any more.
    """

    kind: str
    since: Moment
    size: float | None


def _unit(tracking: Tracking) -> str | None:
    return NATS if tracking.loss_unit == "nats" else None


def _perplexity_ends(tracking: Tracking) -> tuple[float, float] | None:
    ends = None if tracking.interval is None else tracking.interval.loss
    low, high = (perplexity(end, _unit(tracking)) for end in ends or (None, None))
    return None if low is None or high is None else (low, high)


def _bits_per_byte_ends(tracking: Tracking) -> tuple[float, float] | None:
    ends = None if tracking.interval is None else tracking.interval.loss
    low, high = (bits_per_byte(end, _unit(tracking), tracking.bytes_per_token) for end in ends or (None, None))
    return None if low is None or high is None else (low, high)


class Tracking(Record, Result):
    """What the log of a running training lets expect of its end.

    Losses are in nats per token, or in the unit of the log. ``loss`` is the forecast at the end of the run of the
    tracked ``metric``, which the log calls ``label`` and whose values are as ``smoothing`` says; ``interval`` holds
    it, and ``upper_bound`` tells that a decay of the learning rate that is not known of may still lower it.
    ``plan_loss`` is that of ``plan_source``, which judges or only stands beside. ``verdict`` is None where nothing
    judges, and holds ``since`` a moment. ``seen`` is the share of the run, times left are at the measured speed. None
    where a value is not known.
    """

    schema: ClassVar[str] = "scaleplan/track/1"

    run: str
    source: str
    format: str
    loss: float | None
    interval: LossInterval | None
    upper_bound: bool
    plan_loss: float | None
    plan_interval: LossInterval | None
    plan_source: PlanSource | None
    verdict: Verdict | None
    since: Moment | None
    departure: Departure | None
    seen: float
    step: float
    total_steps: float
    tokens: float | None
    total_tokens: float | None
    params: float | None
    loss_now: float | None
    metric: Metric
    label: str | None
    smoothing: str
    loss_unit: str
    points: int
    finished: bool
    updated: str | None
    schedule: str
    smaller_runs: int
    methods: tuple[MethodForecast, ...]
    days_left: float | None
    cost_left: float | None
    currency: str | None
    mfu: float | None
    mfu_source: str | None
    planned_mfu: float | None
    tokens_per_second: float | None
    seconds_per_step: float | None
    gpu: str | None
    gpus: int | None
    precision: str | None
    price_per_hour: float | None
    price_source: str | None
    next_look: NextLook | None
    stopped_by: tuple[str, ...] = ()
    warnings: tuple[Notice, ...] = ()
    perplexity: float | None = computed(lambda tracking: perplexity(tracking.loss, _unit(tracking)))
    perplexity_interval: tuple[float, float] | None = computed(_perplexity_ends)
    bytes_per_token: float | None = None
    bits_per_byte: float | None = computed(
        lambda tracking: bits_per_byte(tracking.loss, _unit(tracking), tracking.bytes_per_token)
    )
    bits_per_byte_interval: tuple[float, float] | None = computed(_bits_per_byte_ends)


class Tracked(Record, eq=False):
    """A tracking with the curves behind it, for a picture: those of smaller runs are ``references``."""

    tracking: Tracking
    curve: LossCurve
    references: tuple[LossCurve, ...]
    ending: Ending | None
