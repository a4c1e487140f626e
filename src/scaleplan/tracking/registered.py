"""Forecasts that are registered before a run, their outcomes, and the record of a folder of both.

A registered forecast is a file that holds the question, the law with the hash of its file, the numbers with intervals
at several levels, the program's version and the date; ``sha256`` covers all of it, so that none of it can be changed
unseen. An outcome names the forecast by that hash. Intervals are scored by the interval score of Gneiting and Raftery
(JASA 102, 2007, section 6.2): the width, and 2/(1 - level) times the distance by which the outcome lies outside.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, ClassVar, Literal

from scaleplan.errors import FileError
from scaleplan.record import Record, Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.errors import Notice

__all__ = [
    "LEVELS",
    "Coverage",
    "KeptForecast",
    "LossInterval",
    "Outcome",
    "RegisteredForecast",
    "ScoredInterval",
    "TrackRecord",
    "changed_error",
    "content_hash",
    "score",
    "track_record",
]

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""The levels of the intervals that a forecast registers: enough to see a distribution that is too wide or narrow."""

_NORMAL_90 = 1.6448536269514722  # two-sided 90 % of the normal distribution, for the interval of a share


def content_hash(content: Mapping[str, object]) -> str:
    """Return the SHA-256 of the content of a JSON object apart from its own ``sha256``.

    It is taken of the keys in order and of numbers as floats, so that no way to write the same JSON changes it.
    """
    plain = {key: value for key, value in content.items() if key != "sha256"}
    text = json.dumps(_canonical(plain), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def changed_error(name: str) -> FileError:
    """Return the error for a registered forecast whose content is not that of its hash."""
    return FileError(
        f"{name}: changed after it was registered: its content has another hash",
        hint="take the file as it was registered, from version control or a copy",
    )


def _canonical(value: object) -> object:
    """Return a value of JSON whose numbers are floats, written in one way."""
    if isinstance(value, dict):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return value


class LossInterval(Record):
    """The central interval of the loss of one run, (low, high), at a confidence level."""

    level: float
    loss: tuple[float, float]


class RegisteredForecast(Record, Result):
    """A forecast as it was written before its run.

    ``question`` are the options that were given; ``preset_sha256`` is the hash of the file of the law, and
    ``runs_sha256`` that of the runs that it was fitted to, None for a published law. Units as those of a plan; the
    ``intervals`` are those of one run, None where the law has none. ``registered`` is the date and time in UTC.
    """

    schema: ClassVar[str] = "scaleplan/forecast/1"

    name: str
    registered: str
    version: str
    question: Mapping[str, object]
    preset: str
    preset_sha256: str
    runs: str | None
    runs_sha256: str | None
    form: str
    flops: float
    params: float
    tokens: float
    params_convention: str
    flops_convention: str
    loss_unit: str
    tokenizer: str | None
    corpus: str | None
    loss: float
    intervals: tuple[LossInterval, ...]
    note: str | None = None
    warnings: tuple[Notice, ...] = ()
    sha256: str = ""

    @property
    def unchanged(self) -> bool:
        """Whether the content is that of the hash."""
        return content_hash(self.to_dict()) == self.sha256

    def at(self, level: float) -> tuple[float, float] | None:
        """Return the interval at a level; None where it has none at this one."""
        return next((each.loss for each in self.intervals if math.isclose(each.level, level)), None)


class ScoredInterval(Record):
    """An interval with its outcome: whether it held, and its score in units of the loss, where less is better."""

    level: float
    loss: tuple[float, float]
    inside: bool
    score: float


class Outcome(Record, Result):
    """What came out of a registered forecast.

    ``source`` is where the loss comes from: ``stated``, or the log with what was taken of it. ``error`` is the loss
    minus that forecast, ``relative_error`` as a share of the loss.
    """

    schema: ClassVar[str] = "scaleplan/outcome/1"

    name: str
    forecast_sha256: str
    registered: str
    resolved: str
    source: str
    loss: float
    forecast: float
    loss_unit: str
    error: float
    relative_error: float
    intervals: tuple[ScoredInterval, ...]
    warnings: tuple[Notice, ...] = ()


def score(interval: tuple[float, float], level: float, outcome: float) -> float:
    """Return the interval score of an outcome: the width, and a penalty for what lies outside."""
    low, high = interval
    return high - low + 2 / (1 - level) * max(low - outcome, outcome - high, 0.0)


def scored(
    forecast: RegisteredForecast, loss: float, *, resolved: str, source: str, warnings: Sequence[Notice] = ()
) -> Outcome:
    """Return the outcome of a forecast whose run ended with ``loss``, in the unit of the forecast."""
    return Outcome(
        name=forecast.name,
        forecast_sha256=forecast.sha256,
        registered=forecast.registered,
        resolved=resolved,
        source=source,
        loss=loss,
        forecast=forecast.loss,
        loss_unit=forecast.loss_unit,
        error=loss - forecast.loss,
        relative_error=loss / forecast.loss - 1,
        intervals=tuple(
            ScoredInterval(
                level=each.level,
                loss=each.loss,
                inside=each.loss[0] <= loss <= each.loss[1],
                score=score(each.loss, each.level, loss),
            )
            for each in forecast.intervals
        ),
        warnings=tuple(warnings),
    )


class KeptForecast(Record):
    """A forecast of a folder: open, resolved with its outcome, or changed after it was registered.

    ``interval`` is that of the level of the record, ``score`` its score over the outcome.
    """

    file: str
    name: str
    status: Literal["open", "resolved", "changed"]
    registered: str
    flops: float
    params: float
    tokens: float
    loss: float
    interval: tuple[float, float] | None
    outcome: float | None = None
    relative_error: float | None = None
    inside: bool | None = None
    score: float | None = None


class Coverage(Record):
    """How many intervals of a level held: ``inside`` of ``resolved``, and the 90 % interval of their share.

    That interval is Wilson's (1927), which stays within 0 and 1 and does for a handful of forecasts.
    """

    level: float
    resolved: int
    inside: int
    share: float
    interval: tuple[float, float]


class TrackRecord(Record, Result):
    """The record of a folder of forecasts.

    ``bias`` and ``rms`` are of the relative errors, positive where the runs came out worse than forecast;
    ``score`` is the mean interval score at ``level`` as a share of the outcome. None while nothing is resolved.
    """

    schema: ClassVar[str] = "scaleplan/forecasts/1"

    folder: str
    level: float
    forecasts: tuple[KeptForecast, ...]
    coverage: tuple[Coverage, ...]
    bias: float | None
    rms: float | None
    score: float | None
    warnings: tuple[Notice, ...] = ()

    @property
    def changed(self) -> int:
        """The number of forecasts that were changed after they were registered."""
        return sum(each.status == "changed" for each in self.forecasts)


def _kept(file: str, forecast: RegisteredForecast, outcome: Outcome | None, level: float) -> KeptForecast:
    """Return one row of a record."""
    at = (
        None
        if outcome is None
        else next((each for each in outcome.intervals if math.isclose(each.level, level)), None)
    )
    status: Literal["open", "resolved", "changed"] = "open" if outcome is None else "resolved"
    return KeptForecast(
        file=file,
        name=forecast.name,
        status=status if forecast.unchanged else "changed",
        registered=forecast.registered,
        flops=forecast.flops,
        params=forecast.params,
        tokens=forecast.tokens,
        loss=forecast.loss,
        interval=forecast.at(level),
        outcome=None if outcome is None else outcome.loss,
        relative_error=None if outcome is None else outcome.relative_error,
        inside=None if at is None else at.inside,
        score=None if at is None or outcome is None else at.score / outcome.loss,
    )


def track_record(
    folder: str,
    forecasts: Mapping[str, RegisteredForecast],
    outcomes: Sequence[Outcome],
    *,
    level: float,
    warnings: Sequence[Notice] = (),
) -> TrackRecord:
    """Return the record of ``forecasts`` by file, of which a changed one counts for nothing.

    An outcome is scored anew against its forecast, so that nothing of it but the loss is believed.
    """
    rows, kept = [], []
    once: set[str] = set()  # a copy of a forecast is no second one
    for file, forecast in forecasts.items():
        found = next((each for each in outcomes if each.forecast_sha256 == forecast.sha256), None)
        outcome = None
        if found is not None:
            outcome = scored(forecast, found.loss, resolved=found.resolved, source=found.source)
        row = _kept(file, forecast, outcome, level)
        rows.append(row)
        if row.status == "resolved" and outcome is not None and forecast.sha256 not in once:
            once.add(forecast.sha256)
            kept.append((row, outcome))
    errors = [outcome.relative_error for _, outcome in kept]
    scores = [row.score for row, _ in kept if row.score is not None]
    return TrackRecord(
        folder=folder,
        level=level,
        forecasts=tuple(rows),
        coverage=_coverage([outcome for _, outcome in kept]),
        bias=math.fsum(errors) / len(errors) if errors else None,
        rms=math.sqrt(math.fsum(error**2 for error in errors) / len(errors)) if errors else None,
        score=math.fsum(scores) / len(scores) if scores else None,
        warnings=tuple(warnings),
    )


def _coverage(outcomes: Sequence[Outcome]) -> tuple[Coverage, ...]:
    """Return how often the intervals of each level held."""
    held: dict[float, list[bool]] = {}
    for outcome in outcomes:
        for each in outcome.intervals:
            held.setdefault(round(each.level, 6), []).append(each.inside)
    return tuple(
        Coverage(
            level=level,
            resolved=len(inside),
            inside=sum(inside),
            share=sum(inside) / len(inside),
            interval=_wilson(sum(inside), len(inside)),
        )
        for level, inside in sorted(held.items())
    )


def _wilson(inside: int, count: int) -> tuple[float, float]:
    """Return Wilson's 90 % interval of a share."""
    share, z = inside / count, _NORMAL_90
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)
