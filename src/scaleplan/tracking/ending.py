"""Forecast the loss at the end of a run from the part that was seen, its schedule and smaller runs.

What is forecast is the loss over the last 2 % of the run (the last value of a log with fewer), as the end of the
smooth curve through it; the interval includes the noise of such a mean. One logged value lies about the curve by
``Ending.noise``.
Three methods forecast: the law along the schedule, the shape of runs of the recipe, and a power law with a floor.
Each is asked for the ends of the references too, from as much of them as was seen of the run, and its interval and
weight follow from how far it missed there.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.record import Record
from scaleplan.tracking.kriging import heavier_tail, mixed_sd
from scaleplan.tracking.recipe_shape import TREND, RecipeRun, forecast_by_shape
from scaleplan.tracking.schedule_law import forecast_by_law, outline, summarise
from scaleplan.tracking.seen_part import level_at_end, noise_beside, seen_part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scaleplan.arrays import Array
    from scaleplan.tracking.loss_curve import LossCurve
    from scaleplan.tracking.schedule_law import Summary
    from scaleplan.tracking.seen_part import SeenPart

__all__ = ["Ending", "MethodForecast", "forecast_end"]

_LEAST_SEEN, _LEAST_POINTS, _LEAST_BESIDE = 0.05, 4, 2
"""Of less no method tells the fall to come from the transient of the start; beside references two points do."""
_ENOUGH_POINTS = 12  # that tell their own noise to a fifth; fewer are taken to be as noisy as the references
_SHARED = 0.5  # correlation of the errors of two methods, which see one curve: their mean errs by less than each
_LAST = 0.02  # of the run, over which its loss is taken
_LEAST_SHARE = 0.01  # of the run, where the start-up is over at the earliest
_LEAST_FALL, _LEAST_SD = 1e-5, 1e-6
_MOST_LN = 5.0  # beyond which a curve is no fall of a loss
_MOST_REFERENCES = 12  # the closest ones; more would tell little of a larger run and take time
_FINISHED = 0.97  # of a reference: what is left to fall is within the noise of most logs
_SAME_SHAPE = 0.06  # rms difference of two schedules, relative to the peak: warm-ups of other length stay below it
_WAY = 40  # points of the way to the end

_MISSES = {"law": 0.18, "power": 0.35}
"""Share of the fall still to come that a method misses by beyond its own sd, before references say: the law and the
power law are only nearly true; the shape's scatter is measured from the references already."""
_MISSES_COUNT = 3.0  # references that this expectation counts for
_TRUSTED, _TRIAL = 3.0, 0.5
"""What the shape's own sd counts for, as the expected misses above, and a trial: half, as the references that are
tried have been used for the sd already, and two trials of the run itself see one course."""
_EARLIER = (0.5, 0.7)
"""Of the part seen: from there the present is forecast as a trial. Later ones would try the noise of the present."""
_MOST_SQUARE = 16.0  # in sd of one trial: a restart or spike in one reference tells nothing of the others
_UNLIKE = 0.5  # of what a reference of another schedule counts
_POWER_FROM = 0.1  # of the part seen, where the power law of an unknown start-up begins
_UNSEEN_GAIN, _MOST_UNSEEN = 1.2, 0.15
"""What a decay not known of gains at most: 0.75 of the fall after a quarter, times 1.6 (0.4 of ln, 88 %), and no more
than twice the largest of published constants."""
_UNSEEN_SPEED = 300.0  # of its saturation with the share left: a ninth of the published one, as rates fall slowly


class MethodForecast(Record):
    """What one method forecasts: its name, its weight, the loss at the end, and the sd of ln loss."""

    name: str
    weight: float
    loss: float
    sd: float


class Ending(Record):
    """The forecast of the loss at the end of a run: the mixture of the ``methods``.

    ``loss`` is the smooth curve's loss at the last step, ``interval`` holds it with probability ``level``, ``sd`` is
    of its logarithm. ``noise`` is the sd of ln loss of one logged value about the smooth curve. ``upper_bound`` where
    a decay of the learning rate that is not known of may still lower it.
    ``path`` is the forecast on the way: steps, loss, low and high, from the last step seen to the end.
    """

    loss: float
    level: float
    interval: tuple[float, float]
    sd: float
    upper_bound: bool
    methods: tuple[MethodForecast, ...]
    path: tuple[tuple[float, float, float, float], ...] = ()
    noise: float = 0.0


class _Run(Record, eq=False):
    """A curve with its part, ln N and ln D, and the outline of its schedule.

    ``reference`` where its end is known, or forecast from that of others.
    """

    curve: LossCurve
    part: SeenPart
    features: Array
    shape: Array | None
    reference: RecipeRun | None = None
    summary: Summary | None = None


class _Guess(Record, eq=False):
    """What a method says: ln loss at the end, its sd, ln loss on the way, and the fall after a quarter of the run.

    ``leap`` is the part of the sd that references elsewhere cannot try.
    """

    loss: float
    sd: float
    way: Array
    fall: float = 0.0
    leap: float = 0.0


class _Question(Record, eq=False):
    """What is known when a run is forecast: ``by_share`` compares the law of runs at the same share of each."""

    shares: Array
    scale: float
    by_share: bool


def forecast_end(curve: LossCurve, references: Sequence[LossCurve] = (), *, level: float = 0.9) -> Ending | None:
    """Forecast the end of a run; None where too little was seen to say.

    ``curve`` is the part seen of the run, with its ``total`` and, where known, its ``schedule``. ``references`` are
    runs of the same recipe seen to their end: smaller ones, or other schedules.
    """
    curve, references = _planned(curve), [_planned(one) for one in references]
    part = seen_part(curve)
    if len(part.shares) < _LEAST_BESIDE or part.last < _LEAST_SEEN:
        return None
    run, others = _prepared(curve, part, references)
    part = run.part
    seen = part.last
    question = _Question(
        shares=np.linspace(seen, 1.0, _WAY + 1)[1:],
        scale=curve.total,
        by_share=all(_alike(one, run) for one in others),
    )
    if curve.schedule is not None:
        others = [replace(one, summary=_summary(one, question)) for one in others]
    now = level_at_end(part)[0]
    guesses = {}
    for name, method in _METHODS.items():
        if name == "power" and "shape" in guesses:  # the references know of a decay, which it does not
            continue
        guess = method(run, others, question)
        if guess is not None and np.ptp(np.append(guess.way, [now, guess.loss])) < _MOST_LN:
            guesses[name] = guess
    if not guesses:
        return None
    left = max(abs(now - guess.loss) for guess in guesses.values())
    sds = {
        name: _with_misses(name, guess, run, others, question, left=left, seen=seen)
        for name, guess in guesses.items()
    }
    return _mixture(run, guesses, sds, question, level=level, now=now, informed=_informed(curve, guesses))


def _planned(curve: LossCurve) -> LossCurve:
    """Return a curve without its schedule where that has no rates to speak of."""
    schedule = curve.schedule
    if schedule is None or (
        len(schedule.rates) > 1 and 0.5 * schedule.peak <= schedule.rates.max() <= 2 * schedule.peak > 0
    ):
        return curve
    return replace(curve, schedule=None)


def _prepared(curve: LossCurve, part: SeenPart, references: Sequence[LossCurve]) -> tuple[_Run, list[_Run]]:
    """Return the run and its references, the closest where there are many."""
    listed = [curve, *references]
    params = _logs([one.params for one in listed])
    tokens = _logs([one.tokens for one in listed])
    if not tokens.any():
        tokens = _logs([one.total for one in listed])
    features = np.stack([params, tokens], axis=1)
    shapes = [None if one.schedule is None else outline(one.schedule, one.total) for one in listed]
    run = _Run(curve=curve, part=part, features=features[0], shape=shapes[0])
    others = []
    for k, one in enumerate(references, start=1):
        other = seen_part(one)
        if len(other.shares) < _LEAST_POINTS:
            continue
        found = _Run(curve=one, part=other, features=features[k], shape=shapes[k])
        if other.last >= _FINISHED:
            end, end_sd = level_at_end(other)
            found = replace(found, reference=RecipeRun(part=other, end=end, end_sd=end_sd, features=features[k]))
        others.append(found)
    away = np.abs(features[0] - [one.features for one in others]) @ np.abs(TREND) if others else np.empty(0)
    order = sorted(range(len(others)), key=lambda k: (not _alike(others[k], run), float(away[k]), k))
    chosen = _less_noisy([others[k] for k in order[:_MOST_REFERENCES]])
    if chosen and len(part.shares) < _ENOUGH_POINTS:
        run = replace(run, part=part.with_noise(float(np.median([one.part.noise for one in chosen]))))
    elif chosen:
        run = replace(run, part=part.with_noise(noise_beside(part, [one.part for one in chosen if _alike(one, run)])))
    return run, [_ended(one, chosen) for one in chosen]


def _less_noisy(runs: Sequence[_Run]) -> list[_Run]:
    """Return the references with the noise that is left when they are held against each other."""
    quieter = []
    for run in runs:
        beside = [one.part for one in runs if one is not run and _alike(one, run)]
        part = run.part.with_noise(noise_beside(run.part, beside))
        reference = run.reference
        if reference is not None:
            end, end_sd = level_at_end(part)
            reference = replace(reference, part=part, end=end, end_sd=end_sd)
        quieter.append(replace(run, part=part, reference=reference))
    return quieter


def _ended(run: _Run, others: Sequence[_Run]) -> _Run:
    """Return a reference that was not seen to its end with the end that the finished ones let expect."""
    if run.reference is not None:
        return run
    shares = np.linspace(run.part.last, 1.0, _WAY + 1)[1:]
    guess = _by_shape(run, others, _Question(shares=shares, scale=run.curve.total, by_share=True))
    if guess is None or np.ptp(np.append(guess.way, run.part.loss[-1])) > _MOST_LN:
        return run
    part = run.part
    whole = replace(
        part,
        shares=np.concatenate([part.shares, shares]),
        loss=np.concatenate([part.loss, guess.way]),
        spread=np.concatenate([part.spread, np.full(len(shares), guess.sd)]),
        last=1.0,
    )
    reference = RecipeRun(part=whole, end=guess.loss, end_sd=guess.sd, features=run.features)
    return replace(run, reference=reference)


def _logs(values: Sequence[float | None]) -> Array:
    """Return the logarithms of values that all runs state; zeros otherwise, which compare nothing."""
    if any(value is None or not value > 0 for value in values):
        return np.zeros(len(values))
    return np.log(np.array(values, dtype=float))


def _alike(one: _Run, other: _Run) -> bool:
    """Tell whether two runs have one schedule by the share of the run; schedules that are not known are shared."""
    if one.shape is None or other.shape is None:
        return True
    apart = one.shape - other.shape
    return float(np.sqrt(apart @ apart)) < _SAME_SHAPE


def _summary(run: _Run, question: _Question) -> Summary | None:
    """Return what a reference tells of the law along its schedule."""
    schedule, total = run.curve.schedule, run.curve.total
    if schedule is None:
        return None
    length = total if question.by_share else question.scale
    return summarise(
        _after_warmup(run),
        schedule,
        total=total,
        unit=length,
        length=length,
        features=run.features if question.by_share else run.features[:1],
    )


def _after_warmup(run: _Run) -> SeenPart:
    schedule = run.curve.schedule
    begin = _LEAST_SHARE if schedule is None else max(schedule.warmup / run.curve.total, _LEAST_SHARE)
    late = run.part.after(begin)
    return late if len(late.shares) >= _LEAST_POINTS else run.part


def _by_law(run: _Run, others: Sequence[_Run], question: _Question) -> _Guess | None:
    """Forecast along the schedule of the learning rate."""
    schedule, total = run.curve.schedule, run.curve.total
    part = _after_warmup(run)
    if schedule is None or len(part.shares) < _LEAST_POINTS:
        return None
    length = total if question.by_share else question.scale
    found = forecast_by_law(
        part,
        schedule,
        [one.summary for one in others if one.summary is not None],
        question.shares,
        total=total,
        unit=length,
        features=run.features if question.by_share else run.features[:1],
        length=length,
    )
    return None if found is None else _Guess(loss=found.loss, sd=found.sd, way=found.path, fall=found.fall)


def _by_shape(run: _Run, others: Sequence[_Run], question: _Question) -> _Guess | None:
    """Forecast by the curves of the references at the same shares of their runs."""
    known = [one.reference for one in others if one.reference is not None and _alike(one, run)]
    known = [one for one in known if one.part.shares[0] < run.part.shares[-1]]
    found = forecast_by_shape(run.part, known, run.features, question.shares) if known else None
    return None if found is None else _Guess(loss=found.loss, sd=found.sd, way=found.way, leap=found.leap)


def _by_power(run: _Run, _: Sequence[_Run], question: _Question) -> _Guess | None:
    """Forecast by a power law of the progress with a floor, where the schedule is not known."""
    if run.curve.schedule is not None or len(run.part.shares) < _LEAST_POINTS:
        return None
    part = run.part.after(_POWER_FROM * float(run.part.shares[-1]))
    part = part if len(part.shares) >= _LEAST_POINTS else run.part
    found = forecast_by_law(part, None, (), question.shares, total=1.0, unit=1.0, features=run.features, length=1.0)
    return None if found is None else _Guess(loss=found.loss, sd=found.sd, way=found.path, fall=found.fall)


_METHODS: Mapping[str, Callable[[_Run, Sequence[_Run], _Question], _Guess | None]] = {
    "law": _by_law,
    "shape": _by_shape,
    "power": _by_power,
}


def _with_misses(
    name: str, guess: _Guess, run: _Run, others: Sequence[_Run], question: _Question, *, left: float, seen: float
) -> float:
    """Return the sd of a method's guess with what it misses beyond it, measured on the references' ends."""
    alike = any(_alike(one, run) for one in others)  # else no held run has one of its own schedule either
    briefly = replace(question, shares=np.empty(0))
    if name == "shape":
        return _tried(guess, run, others, briefly, seen=seen)
    expected = _MISSES[name] ** 2
    total, count = _MISSES_COUNT * expected, _MISSES_COUNT
    for one in others:
        part = one.part.upto(seen)
        if one.reference is None or one.reference.part is not one.part or len(part.shares) < _LEAST_BESIDE:
            continue
        rest = [other for other in others if other is not one and (alike or not _alike(other, one))]
        held = _METHODS[name](replace(one, part=part), rest, briefly)
        if held is None:
            continue
        miss = held.loss - one.reference.end
        fall = max(level_at_end(part)[0] - one.reference.end, _LEAST_FALL)
        weight = 1.0 if _alike(one, run) else _UNLIKE
        total += weight * max((miss**2 - held.sd**2 - one.reference.end_sd**2) / fall**2, -expected)
        count += weight
    return float(np.sqrt(guess.sd**2 + max(total / count, expected / 4) * left**2))


def _tried(guess: _Guess, run: _Run, others: Sequence[_Run], question: _Question, *, seen: float) -> float:
    """Return the sd of the shape's guess by trials on what is known already.

    These are the ends of the references, each forecast from as much of it as was seen of the run, and what the run
    has come to since earlier. The mean square of the misses, in sd, is that of the factor for the sd; as few trials
    tell it badly, the interval is Student's as far as the factor rests on them. References of one length cannot
    confirm the trend to a run of another: what comes of it is reduced by the run's own trials alone.
    """
    squares: list[float] = []
    own: list[float] = []
    for one in others:
        part = one.part.upto(seen)
        if one.reference is None or one.reference.part is not one.part or len(part.shares) < _LEAST_BESIDE:
            continue
        held = _by_shape(replace(one, part=part), [other for other in others if other is not one], question)
        if held is not None:
            squares.append((held.loss - one.reference.end) ** 2 / (held.sd**2 + one.reference.end_sd**2))
    until = [_ended_at(one, seen) for one in others if one.reference is not None and _alike(one, run)]
    until = [one for one in until if len(one.part.shares) >= _LEAST_BESIDE]
    now, now_sd = level_at_end(run.part)
    for earlier in _EARLIER:
        part = run.part.upto(earlier * seen)
        held = _by_shape(replace(run, part=part), until, question) if len(part.shares) >= _LEAST_BESIDE else None
        if held is not None:
            own.append((held.loss - now) ** 2 / (held.sd**2 + now_sd**2))
    factor = _factor(squares + own)
    leap = min(guess.leap, guess.sd)
    return float(np.hypot(factor * sqrt(guess.sd**2 - leap**2), max(factor, _factor(own)) * leap))


def _factor(squares: Sequence[float]) -> float:
    """Return the factor for an sd by the squares of trials of it."""
    tried = _TRIAL * len(squares)
    count = _TRUSTED + tried
    factor = sqrt((_TRUSTED + _TRIAL * sum(min(square, _MOST_SQUARE) for square in squares)) / count)
    return factor * (1 + heavier_tail(count) * tried / count)


def _ended_at(run: _Run, share: float) -> _Run:
    """Return a reference as if it had ended at a share of its run."""
    if run.reference is None:
        return run
    part = run.reference.part.upto(share)
    if not len(part.shares):
        return replace(run, part=part, reference=None)
    end, end_sd = level_at_end(part)
    return replace(run, part=part, reference=RecipeRun(part=part, end=end, end_sd=end_sd, features=run.features))


def _informed(curve: LossCurve, guesses: Mapping[str, _Guess]) -> bool:
    """Tell whether a decay still to come would be known of: by a schedule, or by runs of the recipe."""
    schedule = curve.schedule
    if schedule is None:
        return "shape" in guesses
    return schedule.stated or schedule.kind not in ("constant", "table", "steps") or "shape" in guesses


def _mixture(
    run: _Run,
    guesses: Mapping[str, _Guess],
    sds: Mapping[str, float],
    question: _Question,
    *,
    level: float,
    now: float,
    informed: bool,
) -> Ending:
    """Return the mixture of the methods, each with the weight of its variance."""
    seen = run.part.last
    precision = np.array([max(sds[name], _LEAST_SD) ** -2 for name in guesses])
    weights = precision / precision.sum()
    ends = np.array([guess.loss for guess in guesses.values()])
    end = float(weights @ ends)
    shared = float(np.sqrt(_SHARED + (1 - _SHARED) * weights @ weights))
    sd = mixed_sd(weights, ends, shared * np.array([sds[name] for name in guesses]), end)
    sd = float(np.hypot(sd, run.part.noise / np.sqrt(max(_LAST * len(run.curve.steps) / seen, 1.0))))
    margin = min(NormalDist().inv_cdf(0.5 + level / 2) * sd, _MOST_LN)
    below = margin
    if not informed:
        gain = min(_UNSEEN_GAIN * max(guess.fall for guess in guesses.values()), _MOST_UNSEEN)
        gain *= 1 - (1 + _UNSEEN_SPEED * (1 - seen)) ** -0.5
        below = float(np.hypot(margin, gain))
    way = weights @ np.array([guess.way for guess in guesses.values()])
    way = way + (end - way[-1])
    noise_here = min(level_at_end(run.part)[1] * margin / max(sd, _LEAST_SD), margin)
    fall = np.abs(now - way)
    grown = (
        np.minimum(fall / max(fall[-1], _LEAST_FALL), 1.0) if fall[-1] > _LEAST_FALL else np.linspace(0, 1, len(way))
    )
    lows = np.hypot(noise_here * (1 - grown), below * grown)
    highs = np.hypot(noise_here * (1 - grown), margin * grown)
    path = [(seen, now, now - noise_here, now + noise_here)]
    path += zip(question.shares, way, way - lows, way + highs, strict=True)
    methods = tuple(
        MethodForecast(name=name, weight=float(weight), loss=float(np.exp(guess.loss)), sd=float(sds[name]))
        for (name, guess), weight in zip(guesses.items(), weights, strict=True)
    )
    return Ending(
        loss=float(np.exp(end)),
        level=level,
        interval=(float(np.exp(end - below)), float(np.exp(end + margin))),
        sd=sd,
        upper_bound=not informed,
        methods=methods,
        path=tuple(
            (float(share) * run.curve.total, float(np.exp(loss)), float(np.exp(low)), float(np.exp(high)))
            for share, loss, low, high in path
        ),
        noise=run.part.noise,
    )
