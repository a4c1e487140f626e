"""Recognise the schedule of a learning rate from the part of it that a log shows, and its rest where that tells it.

Every shape but a cosine is a straight line of the step once the rate is transformed: it is fitted within the digits
that the rates are printed with. A cosine is searched by where it begins and ends.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scaleplan.logs.learning_rate import DECAY_KNOTS, LearningRate, place_knots, schedule_of, tabled_schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.logs.learning_rate import DecayShape, ScheduleKind

__all__ = ["recognise_schedule"]


class _Climb(NamedTuple):
    """The lines that a warm-up may be on (slope, and level at step 0), and the last step that is seen of it."""

    lines: tuple[tuple[float, float], ...]
    last: float


class _Points(NamedTuple):
    """All points from the peak on, and what a right schedule may miss each rate by."""

    steps: Array
    rates: Array
    slack: Array


class _Seen(NamedTuple):
    """The part of a rate's curve from its peak on, with the half unit of the last digit that each is printed with."""

    steps: Array
    rates: Array
    half: Array
    top: float
    warmup: float | None
    initial: float
    total: float | None
    spacing: float
    whole: _Points
    climb: _Climb | None = None

    @property
    def slack(self) -> Array:
        """What a right schedule may miss each rate by: its digits, and those of single precision."""
        return self.half + 1e-6 * self.top


_MOST_FITTED = 600
"""Points of a log that a shape is fitted to: more tell nothing new of five numbers."""

_SAME_REST = 0.05
"""Share of the peak that two readings of the rest of a schedule may differ by and count as one: an end at 5 % or at
10 % of the peak moves a final loss by about a thousandth."""


_LARGEST = 1e100
"""A rate above it is a damaged number: its powers are none of double precision."""


def recognise_schedule(steps: Array, rates: Array, total: float | None = None) -> LearningRate | None:
    """Return the schedule that a logged rate follows, with its rest where the part seen determines it.

    A shape is right when it reproduces the rates to the digits that they are printed with, after the warm-up. Of
    several the simplest counts: one decay from the end of the warm-up before a constant part and a decay. Where
    readings as simple leave the rest open, it is not known (``known_to``). None for a curve without rates.
    """
    steps, rates = np.asarray(steps, dtype=float), np.asarray(rates, dtype=float)
    finite = np.isfinite(steps) & (rates >= 0) & (rates < _LARGEST)
    steps, rates = steps[finite], rates[finite]
    if len(steps) < 2 or rates.max() <= 0:
        return None
    last = float(steps[-1])
    spacing = float(np.median(np.diff(steps)))
    planned = last if total is None else max(float(total), last)
    ended = total is not None and last + 1.5 * spacing >= total
    rest = math.inf if ended else last
    half = _resolution(rates)
    top = float(rates.max())
    first = int(np.argmax(rates >= top * (1 - 1e-9)))
    rising = rates[:first]
    table = tabled_schedule(steps, rates, total=planned, known_to=rest)
    if first and np.any(np.diff(rates[: first + 1]) < -2 * half[:first] - 1e-9 * top):
        return table
    if first == len(steps) - 1:
        return tabled_schedule(steps, rates, total=planned, warmup=last, known_to=rest)
    warmup, initial = _rise(steps[: first + 1], rates[: first + 1])
    keep = _informative(rates[first:], half[first:])
    seen = _Seen(
        steps[first:][keep],
        rates[first:][keep],
        half[first:][keep],
        top,
        warmup,
        initial if len(rising) else 0.0,
        total,
        spacing,
        _Points(steps[first:], rates[first:], half[first:] + 1e-6 * top),
        _climb(steps[:first], rates[:first]),
    )
    after = rates[first:]
    if after.min() >= top * (1 - 1e-9):
        return schedule_of("constant", total=planned, peak=top, warmup=warmup or 0.0, initial=initial, known_to=rest)
    found = _simplest(seen, planned, ended=ended)
    if found is None:
        found = _pieces(steps[first:], after, half[first:], planned=planned, warmup=warmup or 0.0, known_to=rest)
    return found or table


def _resolution(rates: Array) -> Array:
    """Return half a unit of the last digit of each rate, as its neighbours in size are printed.

    Decimals or significant digits may be fixed, or the one above some size and the other below: each decade shows its
    own by the longest of three or more values, and a decade of fewer takes those of the nearest that does. A zero has
    those of the smallest values.
    """
    positive = np.unique(rates[rates > 0])
    decade = np.floor(np.log10(positive) + 1e-12).astype(int)
    found: dict[int, int] = {}
    few: dict[int, int] = {}
    for each in np.unique(decade):
        of = positive[decade == each]
        longest = 0
        for value in of[:: max(1, len(of) // _MOST_FITTED)].tolist():
            longest = max(longest, _digits(value))
            if longest >= _MOST_DIGITS:
                break
        (found if len(of) >= 3 else few)[int(each)] = longest - 1 - int(each)
    fixed = len(found) > 1 and len(set(found.values())) == 1
    for each, own in few.items():
        if found:
            near = min(found, key=lambda other: abs(other - each))
            significant = found[near] + 1 + near
            as_many = fixed or significant < 3  # no trainer prints one or two significant digits: decimals are fixed
            few[each] = max(own, found[near] if as_many else min(found[near], significant - 1 - each))
    decimals = found | few
    half = np.full(len(rates), 0.5 * 10.0 ** -decimals[min(decimals)])
    inside = rates > 0
    places = np.floor(np.log10(rates[inside]) + 1e-12).astype(int)
    least = min(decimals)
    units = [0.5 * 10.0 ** -decimals.get(place, 0) for place in range(least, max(decimals) + 1)]
    half[inside] = np.array(units)[places - least]
    return half


_MOST_DIGITS = 17
"""Significant digits that tell any number of double precision from its neighbours: none has more."""


def _digits(value: float) -> int:
    """Return the significant digits of a number's shortest decimal form."""
    return len(repr(value).partition("e")[0].replace(".", "").strip("0"))


def _informative(rates: Array, half: Array) -> Index:
    """Return indices of at most about twice :data:`_MOST_FITTED` points: evenly spread, and beside each change."""
    count = len(rates)
    if count <= 2 * _MOST_FITTED:
        return np.arange(count)
    even = np.linspace(0, count - 1, _MOST_FITTED // 2).astype(int)
    changes = np.flatnonzero(np.abs(np.diff(rates)) > half[1:])
    changes = (
        changes[np.unique(np.linspace(0, len(changes) - 1, _MOST_FITTED // 2).astype(int))]
        if len(changes)
        else changes
    )
    return np.unique(np.concatenate([even, changes, changes + 1]))


def _fewest_digits(low: float, high: float) -> float:
    """Return the number between two with the fewest digits; their mean where they are in the wrong order."""
    if not low < high or not math.isfinite(high - low):
        return 0.5 * (low + high)
    if low <= 0 <= high:
        return 0.0
    middle = 0.5 * (low + high)
    for digits in range(17):
        rounded = float(f"{middle:.{digits}e}")
        if low <= rounded <= high:
            return rounded
    return middle


def _rise(steps: Array, rates: Array) -> tuple[float | None, float]:
    """Return where a warm-up that ends at the last point is over, and the rate at step 0; None where none was seen.

    The end is where the line through the rising part meets the peak, no later than the first point there.
    """
    top = rates[-1]
    below = rates[:-1] < top * (1 - 1e-9)
    if not below.any():
        return None, 0.0
    at, value = steps[:-1][below], rates[:-1][below]
    if len(at) == 1:  # from zero at step 0, or at the step before, as the whole number of steps says
        lengths = [(at[0] + shift) * top / value[0] if value[0] > 0 else math.inf for shift in (0.0, 1.0)]
        whole = [abs(length - round(length)) if math.isfinite(length) else 1.0 for length in lengths]
        length = lengths[1] if whole[1] < whole[0] - 1e-3 else lengths[0]
        return float(np.clip(length, at[0], max(steps[-1], at[0] + 1))), 0.0
    slope, level = _least_squares(at, value)
    if slope <= 0:
        return float(steps[-1]), 0.0
    counted_from_one = abs(level - slope) < 0.2 * slope
    meets = top / slope if counted_from_one else (top - level) / slope
    return float(np.clip(meets, at[-1], steps[-1] + 1)), 0.0 if counted_from_one else float(np.clip(level, 0.0, top))


def _climb(steps: Array, rates: Array) -> _Climb | None:
    """Return the warm-up that rates below the first at the top show; None without one."""
    rising = rates > 0
    steps, rates = steps[rising], rates[rising]
    if not len(steps):
        return None
    if len(steps) == 1:  # from zero at step 0, or at the step before
        lines = [
            (float(rates[0] / at), float(rates[0] / at * shift)) for shift in (0, 1) if (at := steps[0] + shift) > 0
        ]
    else:
        lines = [_least_squares(steps, rates)]
    return _Climb(tuple((slope, level) for slope, level in lines if slope > 0), float(steps[-1]))


def _simplest(seen: _Seen, planned: float, *, ended: bool) -> LearningRate | None:
    """Return the simplest schedule that reproduces the rates; not known beyond them where as simple ones differ."""
    plateau = seen.rates >= seen.top * (1 - 1e-9)
    flat = int(np.argmin(plateau))  # points before the first below the top
    alone = ended or planned <= float(seen.steps[-1])  # what others would have of the rest is not compared
    for found in (_from_warmup(seen, planned, flat), _after_plateau(seen, planned, flat)):
        every = (each for each in found if _reproduces(each, seen))
        right = list(islice(every, 1) if alone else every)
        if not right:
            continue
        best = right[0]
        if ended:
            return replace(best, known_to=math.inf)
        rest = np.linspace(float(seen.steps[-1]), planned, 33)
        differ = any(np.abs(best.at(rest) - other.at(rest)).max() > _SAME_REST * best.peak for other in right[1:])
        enough = len(np.unique(seen.rates)) >= _FEWEST_RATES
        return replace(best, known_to=float(seen.steps[-1])) if differ or not enough else best
    return None


_FEWEST_RATES = 3
"""Different rates that a fall must show before its shape is clear: two numbers describe a line already."""


def _reproduces(schedule: LearningRate, seen: _Seen) -> bool:
    """Return whether a schedule reproduces the rates that were seen, to their digits."""
    misses = np.abs(schedule.at(seen.steps) - seen.rates) - 1.02 * seen.slack
    bends = np.array([schedule.decay_from, float(schedule.knots[-1])])
    near = np.abs(seen.steps[:, None] - bends).min(axis=1) <= 1.0  # where a bend lies between two steps
    near |= seen.steps < schedule.warmup
    return bool((misses <= np.where(near, 0.1 * seen.top, 2e-5 * seen.top)).all())


def _from_warmup(seen: _Seen, planned: float, flat: int) -> Iterator[LearningRate]:
    """Yield schedules that fall from the end of the warm-up on."""
    if seen.warmup is None:  # the log begins later: at the peak, or below it
        starts = [0.0, float(seen.steps[0]), float(seen.steps[flat - 1])]
    else:
        nearby = np.arange(math.floor(seen.warmup) - 1, math.ceil(seen.warmup) + 3)
        few = seen.half[0] > 0.01 * seen.top  # the peak is printed long before it is reached
        stretched = [seen.warmup * share for share in (1.05, 1.1, 1.15, 1.2, 1.3, 1.4)] if few else []
        starts = [seen.warmup, *stretched, *nearby[(nearby >= 0) & (nearby <= seen.steps[flat])].tolist()]
    latest = min(float(seen.steps[flat]), starts[-1] + 2 * seen.spacing)
    yield from _cosine(seen, planned, "cosine", starts, latest)
    fall = _falling(seen, flat)
    if fall is None:
        return
    before = seen.steps[0] if seen.warmup is None else seen.warmup
    for shape in ("linear", "exponential", "1-sqrt"):
        for found in _straight(seen, fall, planned, shape):
            if found.decay_from <= before + 2 * seen.spacing:
                kind: ScheduleKind = "exponential" if shape == "exponential" else "linear"
                if shape == "1-sqrt":
                    kind = "wsd"
                yield LearningRate(**{**vars(found), "kind": kind})
    yield from _inverse_sqrt(seen, fall, planned)


def _after_plateau(seen: _Seen, planned: float, flat: int) -> Iterator[LearningRate]:
    """Yield schedules that stay at the peak before they fall."""
    fall = _falling(seen, flat)
    if fall is not None:
        for shape in ("linear", "1-sqrt", "exponential", "1-square"):
            yield from _straight(seen, fall, planned, shape)
    yield from _cosine(seen, planned, "wsd", [float(seen.steps[flat - 1])], float(seen.steps[flat]))


def _falling(seen: _Seen, flat: int) -> _Seen | None:
    """Return the points between the peak and, where the rate stays there, the end; None of fewer than three."""
    ends = np.append(np.flatnonzero(np.diff(seen.rates)), len(seen.rates) - 1)  # the last point of each level
    lengths = np.diff(seen.steps[np.concatenate([[0], ends])])
    usual = float(lengths[1:-1].max()) if len(lengths) > 2 else 0.0  # a level that its few digits make lasts as long
    stays = len(ends) > 1 and ends[-1] - ends[-2] >= 3 and lengths[-1] > _STAYS * max(usual, seen.spacing)
    stop = int(ends[-2]) + 1 if stays else len(seen.rates)
    part = slice(flat, stop)
    if stop - flat < 3 or len(np.unique(seen.rates[part])) < 2:
        return None
    return seen._replace(steps=seen.steps[part], rates=seen.rates[part], half=seen.half[part])


_STAYS = 3.0
"""How much longer than any level before the last must last to be where the decay has ended."""


def _made(
    seen: _Seen,
    planned: float,
    kind: ScheduleKind,
    shape: DecayShape,
    *,
    peak: float,
    ends: tuple[float, float],
    start: float,
    stop: float,
) -> LearningRate:
    """Return a decay whose end rate lies between two; unknown beyond the log where they are far apart."""
    share = _fewest_digits(max(ends[0], 0.0) / peak, max(ends[1], 0.0) / peak)
    sure = ends[1] - ends[0] <= _SAME_REST * peak
    warmup = seen.warmup if seen.warmup is not None else (start if kind != "wsd" else 0.0)
    return schedule_of(
        kind,
        total=planned if seen.total is not None else max(stop, planned),
        peak=peak,
        end=share * peak,
        warmup=min(warmup, start),
        initial=seen.initial,
        decay_from=start,
        decay_to=stop,
        shape=shape,
        known_to=math.inf if sure else float(seen.steps[-1]),
    )


def _cosine(
    seen: _Seen, planned: float, kind: ScheduleKind, starts: list[float], latest: float
) -> Iterator[LearningRate]:
    """Yield the cosine from one of ``starts``, or where the rates put it, to the end of the run, or where they do."""
    if len(np.unique(seen.rates)) < _FEWEST_RATES or _is_no_cosine(seen, latest):
        return
    for start, stop in _places(seen, planned, kind, starts):
        if not (start < stop and start <= latest + 1e-6):
            continue
        share = np.clip((seen.steps - start) / (stop - start), 0.0, 1.0)
        found = _fall(seen, 0.5 * (1 + np.cos(math.pi * share)))
        if found is not None:
            peak, ends = found
            yield _made(seen, planned, kind, "cosine", peak=peak, ends=ends, start=start, stop=stop)
            return


def _places(seen: _Seen, planned: float, kind: ScheduleKind, starts: list[float]) -> Iterator[tuple[float, float]]:
    """Yield where a cosine may begin and end, the likeliest first: each is searched when those before it fail."""
    if seen.total is not None:
        if kind == "cosine":
            for stop in (planned, planned - 1, planned + 1):
                yield from ((start, stop) for start in starts)
        for start in starts[:2]:
            yield _refined(seen, start, planned, free=False)
    for stop in (planned,) if seen.total is not None else (planned, 1.3 * planned, 2.0 * planned, 4.0 * planned):
        found_at = _refined(seen, starts[0], stop, free=True)
        yield found_at
        if math.isfinite(found_at[1]):  # few digits leave room for the whole numbers that were meant
            for digits in range(5):
                yield from ((start, float(f"{found_at[1]:.{digits}e}")) for start in starts)


def _is_no_cosine(seen: _Seen, latest: float) -> bool:
    """Return whether no cosine that begins between step 0 and ``latest`` can have the rates, by a few of them.

    Of five points at equal distances within a cosine, the sum of the two neighbours of each of the inner three is
    the same linear function of its rate, whose slope is at most 2 (that of an exponential is above). And a cosine is
    no straight line.
    """
    steps, rates, slack = seen.whole
    begin = int(np.searchsorted(steps, latest))
    above = np.flatnonzero(rates > rates.min() + 2 * float(slack.max()))  # elsewhere the cosine may be over
    end = int(above[-1]) + 1 if len(above) else 0
    if end - begin < 5:
        return False
    steps, rates, slack = steps[begin:end], rates[begin:end], slack[begin:end]
    apart = (len(steps) - 1) // 4
    at = [shift + apart * _FIVE for shift in range(min(4, len(steps) - 4 * apart))]
    near = apart // 2
    at += [place + near * _FIVE for place in (0, 1, near, 2 * near, 2 * near + 1) if near]
    rows = np.array(at)
    gaps = np.diff(steps[rows], axis=1)
    rows = rows[np.ptp(gaps, axis=1) <= 1e-9 * gaps[:, 0]]
    impossible = int(np.count_nonzero(_is_bent(rates[rows], slack[rows])))
    if impossible >= _BENT:
        return True
    early = bool(steps[0] <= steps[-1] / 3)
    return impossible == 0 and early and _is_straight(steps, rates, slack)


_FIVE = np.arange(5)
_BENT = 2
"""Groups of points that no cosine goes through: one may have a rate that is not compared where points are many."""


def _is_bent(rates: Array, slack: Array) -> Mask:
    """Return which rows of five rates at equal distances are of no cosine, whatever the digits left out."""
    sums, sums_slack = rates[:, :-2] + rates[:, 2:], slack[:, :-2] + slack[:, 2:]
    moves, room = np.diff(rates[:, 1:-1]), slack[:, 1:-2] + slack[:, 2:-1]
    turns, room_of_turns = np.diff(sums), sums_slack[:, :-1] + sums_slack[:, 1:]
    left, right = turns[:, 0] * moves[:, 1], turns[:, 1] * moves[:, 0]
    bound = (np.abs(turns) + room_of_turns) * room[:, ::-1] + room_of_turns * np.abs(moves[:, ::-1])
    steeper = np.abs(turns) - 2 * np.abs(moves) > room_of_turns + 2 * room
    bent: Mask = (np.abs(left - right) > bound.sum(axis=1)) | steeper.any(axis=1)
    return bent


_LEAST_STRAIGHT = 6
"""Points of a line that a cosine cannot have: of as many one misses the line by 2 % of the fall at least."""


def _is_straight(steps: Array, rates: Array, slack: Array) -> bool:
    """Return whether rates fall along a line, so closely that no cosine does from its first third on.

    A cosine misses every line by more than a hundredth of what it falls between a third of its way, or less, and
    any later point.
    """
    fall = float(rates[0] - rates[-1])
    gaps = np.diff(steps)
    if len(steps) < _LEAST_STRAIGHT or gaps.max() > 2 * gaps.min() or not slack.max() < 1e-3 * fall:
        return False
    line = rates[0] - fall * (steps - steps[0]) / (steps[-1] - steps[0])
    return bool(np.abs(rates - line).max() < 1e-3 * fall)


def _fall(seen: _Seen, left: Array) -> tuple[float, tuple[float, float]] | None:
    """Return the roundest peak, and between which rates the end lies, with which a decay is as it was seen.

    ``left`` is the share of the fall that is left at each step. For one peak each rate bounds the end, so that no
    search is needed.
    """
    slope, level = _least_squares(left, seen.rates)
    fitted, half = slope + level, float(seen.half[0])
    peaks = [float(f"{fitted:.{digits}e}") for digits in range(7)]
    peaks += [fitted, *np.linspace(seen.top - half, seen.top + half, 41).tolist()]
    of = np.array(peaks)[:, None]
    gone = 1 - left
    if not (gone > _GONE).any():
        return None
    few = slice(None, None, 1 + len(gone) // _FEW)
    slack = seen.slack
    if not _ends(of, gone[few], seen.rates[few], slack[few])[0].any():
        return None
    fits, low, high = _ends(of, gone, seen.rates, slack)
    if not fits.any():
        return None
    best = int(np.argmax(fits))
    ends = of[:, 0] - high, of[:, 0] - low
    least, most = float(ends[0][best]), float(ends[1][best])
    spread = max(float(ends[1][fits].max() - ends[0][fits].min()) - (most - least), 0.0)
    beyond = spread / 2 if spread > _SAME_REST * seen.top else 0.0  # what other peaks leave open
    return peaks[best], (least - beyond, most + beyond)


_GONE = 1e-12  # of the fall, below which a rate is at the peak
_FEW = 24
"""Points that turn most places of a decay down before all are compared: they allow more, never less."""


def _ends(peaks: Array, gone: Array, rates: Array, slack: Array) -> tuple[Mask, Array, Array]:
    """Return which peaks are possible, and between which falls from each to its end: the least and the largest."""
    fallen = gone > _GONE
    fits = (np.abs(peaks - rates[~fallen]) <= slack[~fallen]).all(axis=1) & (peaks[:, 0] > 0)
    missing, slack, gone = peaks - rates[fallen], slack[fallen], gone[fallen]
    low = ((missing - slack) / gone).max(axis=1, initial=-math.inf)
    high = np.minimum(((missing + slack) / gone).min(axis=1, initial=math.inf), peaks[:, 0])
    return fits & (low <= high), low, high


def _least_squares(x: Array, y: Array) -> tuple[float, float]:
    """Return slope and level of the line through points."""
    middle, mean = float(np.add.reduce(x)) / len(x), float(np.add.reduce(y)) / len(y)  # means, in half the time
    spread = float(((x - middle) ** 2).sum())
    slope = float(((x - middle) * (y - mean)).sum()) / spread if spread > 0 else 0.0
    return slope, mean - slope * middle


def _refined(seen: _Seen, start: float, stop: float, *, free: bool) -> tuple[float, float]:
    """Return where a cosine begins and, where that is ``free``, ends, by damped Gauss-Newton steps."""
    length = max(stop - start, 1.0)

    def residual(place: Array) -> Array:
        begin = start + length * place[0]
        end = stop + (length * place[1] if free else 0.0)
        share = np.clip((seen.steps - begin) / max(end - begin, 1e-6 * length), 0.0, 1.0)
        left = 0.5 * (1 + np.cos(math.pi * share))
        slope, level = _least_squares(left, seen.rates)
        return (level + slope * left - seen.rates) / seen.top

    place, damping = np.zeros(2 if free else 1), 1e-3
    miss = residual(place)
    for _ in range(40):
        jacobian = np.stack([(residual(place + 1e-6 * unit) - miss) / 1e-6 for unit in np.eye(len(place))], axis=1)
        normal = jacobian.T @ jacobian
        try:
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-30), -jacobian.T @ miss)
        except np.linalg.LinAlgError:
            break
        tried = residual(place + step)
        if tried @ tried < miss @ miss:
            place, miss, damping = place + step, tried, damping * 0.1
            if np.abs(step).max() < 1e-9:
                break
        else:
            damping *= 10.0
            if damping > 1e9:
                break
    return start + length * float(place[0]), stop + (length * float(place[1]) if free else 0.0)


class _Line(NamedTuple):
    """A line within bounds at each point: slope and level, and the least and largest slopes with their levels."""

    slope: float
    level: float
    extremes: tuple[tuple[float, float], tuple[float, float]]

    def values(self, x: float) -> tuple[float, float, float]:
        """Return the value at ``x``, and the lowest and highest of all lines within the bounds."""
        values = [slope * x + level for slope, level in ((self.slope, self.level), *self.extremes)]
        return values[0], min(values), max(values)

    def crossings(self, y: float) -> tuple[float, float]:
        """Return between which places the lines reach ``y``."""
        places = [(y - level) / slope for slope, level in ((self.slope, self.level), *self.extremes) if slope]
        return (min(places), max(places)) if places else (math.inf, math.inf)


def _line(x: Array, low: Array, high: Array) -> _Line | None:
    """Return the line between bounds at each point; None where there is none.

    The room that a slope leaves for the level is concave in the slope: searched by golden section and bisection.
    """
    low, high = np.minimum(low, high), np.maximum(low, high)
    middle, reach = 0.5 * (low + high), float(np.ptp(x))
    if reach <= 0 or not (np.isfinite(low).all() and np.isfinite(high).all()) or _bulges(x, low, high):
        return None

    def room(slope: float) -> float:
        return float((high - slope * x).min() - (low - slope * x).max())

    def level(slope: float) -> float:
        return 0.5 * float((high - slope * x).min() + (low - slope * x).max())

    slope, _ = _least_squares(x, middle)
    width = 4 * float((high - low).max()) / reach + 1e-12 * abs(slope)
    if room(slope) < 0:
        left, right = slope - width, slope + width
        for _ in range(80):
            third = (right - left) / 3
            if room(left + third) < room(right - third):
                left += third
            else:
                right -= third
        slope = 0.5 * (left + right)
        if room(slope) < 0:
            return None
    ends = []
    for sign in (-1.0, 1.0):
        inside, outside = slope, slope + sign * 2 * width
        for _ in range(40):
            tried = 0.5 * (inside + outside)
            inside, outside = (tried, outside) if room(tried) >= 0 else (inside, tried)
        ends.append((inside, level(inside)))
    return _Line(slope, level(slope), (ends[0], ends[1]))


def _bulges(x: Array, low: Array, high: Array) -> bool:
    """Return whether some bounds lie beyond every line that keeps to the first and the last: seen at once."""
    share = (x - x[0]) / (x[-1] - x[0])
    rounding = 1e-9 * float((high - low).max())
    above, below = ((1 - share) * ends[0] + share * ends[-1] for ends in (high, low))
    return bool((low > above + rounding).any() or (high < below - rounding).any())


def _straight(seen: _Seen, fall: _Seen, planned: float, shape: DecayShape) -> Iterator[LearningRate]:
    """Yield the decay of a shape that is a straight line of the step, once the rate is transformed."""
    low, high = fall.rates - fall.slack, fall.rates + fall.slack
    half = float(seen.half[0])
    peak = _fewest_digits(seen.top - half, seen.top + half) if half > 1e-9 * seen.top else seen.top
    if shape == "exponential":
        usable = low > 0
        if usable.sum() < 3:
            return
        line = _line(fall.steps[usable], np.log(low[usable]), np.log(high[usable]))
    elif shape == "linear":
        line = _line(fall.steps, low, high)
    else:
        power = 2.0 if shape == "1-sqrt" else 0.5
        below = np.maximum(peak - high, 0.0) ** power, np.maximum(peak - low, 0.0) ** power
        line = _line(fall.steps, *below)
    if line is None or line.slope == 0:
        return
    if shape == "linear" and (top := _hidden_peak(seen, line)) is not None:
        at, peak = top
        seen = seen._replace(warmup=at, top=peak)
    earliest, latest = line.crossings(_transformed(peak, peak, shape))
    before = float(seen.steps[0]) if seen.warmup is None else seen.warmup
    flat = seen.steps[seen.steps < fall.steps[0]]
    sure = float(flat[-1]) if len(flat) > 1 else before  # the rate was still at its peak here
    start = _fewest_digits(max(earliest - 1e-6, min(sure, latest)), latest + 1e-6)
    floor = seen.rates[-1] if len(seen.rates) and seen.steps[-1] > fall.steps[-1] else None
    stop = planned
    if floor is not None:
        ends = float(floor), float(floor)
        stop = 0.5 * sum(line.crossings(_transformed(float(floor), peak, shape)))
    else:
        values = sorted(_back(value, peak, shape) for value in line.values(planned))
        ends = values[0], values[-1]
        if shape != "exponential" and (seen.total is None or ends[1] < -1e-6 * peak):
            stop, ends = 0.5 * sum(line.crossings(_transformed(0.0, peak, shape))), (0.0, 0.0)
            if shape == "linear":
                stop = _stop_of_line(fall, start, peak) or stop
    made = _made(seen, planned, "wsd", shape, peak=peak, ends=ends, start=start, stop=stop)
    implied = seen.total is not None or floor is not None
    yield made if implied else replace(made, known_to=float(seen.steps[-1]))


def _stop_of_line(fall: _Seen, start: float, peak: float) -> float | None:
    """Return the step of fewest digits at which a line from the peak at ``start`` is at nothing; None without a line.

    The end of the line in the middle of the bounds may not go with a start that was rounded.
    """
    later = fall.steps > start
    since, gone, slack = fall.steps[later] - start, peak - fall.rates[later], fall.slack[later]
    slowest, fastest = ((gone - slack) / since).max(initial=0.0), ((gone + slack) / since).min(initial=math.inf)
    if not 0 < slowest <= fastest < math.inf:
        return None
    return _fewest_digits(start + peak / fastest, start + peak / slowest)


def _hidden_peak(seen: _Seen, fall: _Line) -> tuple[float, float] | None:
    """Return step and rate of a peak between two entries, where the line of the warm-up meets that of the decay.

    Of lines of the warm-up that are as likely, the one counts that ends at a whole step. Without any warm-up in the
    log, the peak of fewest digits between step 0 and the first entry.
    """
    if seen.climb is None:
        first = float(seen.steps[0])
        if not 0 < first <= 1.5 * seen.spacing:
            return None  # the log begins later
        slack = float(seen.slack[0])
        peak = _fewest_digits(fall.values(first)[0] - slack, fall.values(0.0)[0] + slack)
        return min(max((peak - fall.level) / fall.slope, 0.0), first), peak
    found = []
    for slope, level in seen.climb.lines:
        at = (fall.level - level) / (slope - fall.slope)
        if seen.climb.last <= at <= float(seen.steps[0]) + 1e-6:
            found.append((abs(at - round(at)), at))
    if not found:
        return None
    off, at = min(found)
    at = float(round(at)) if off < _WHOLE else at
    peak, low, high = fall.values(at)
    slack = float(seen.slack[0])
    return at, _fewest_digits(min(low, peak) - slack, max(high, peak) + slack)


_WHOLE = 1e-2
"""How far from a whole step a warm-up may end by the digits of its rates."""


def _transformed(rate: float, peak: float, shape: DecayShape) -> float:
    """Return what is a straight line of the step in a decay of a shape."""
    if shape == "exponential":
        return math.log(max(rate, 1e-300))
    if shape == "linear":
        return rate
    return max(peak - rate, 0.0) ** (2.0 if shape == "1-sqrt" else 0.5)


def _back(value: float, peak: float, shape: DecayShape) -> float:
    """Return the rate of a transformed one."""
    if shape == "exponential":
        return math.exp(min(value, 700.0))
    if shape == "linear":
        return value
    return peak - max(value, 0.0) ** (0.5 if shape == "1-sqrt" else 2.0)


def _inverse_sqrt(seen: _Seen, fall: _Seen, planned: float) -> Iterator[LearningRate]:
    """Yield peak · √(warmup / step), also where the count of steps is shifted."""
    low, high = fall.rates - fall.slack, fall.rates + fall.slack
    if (low <= 0).any():
        return
    line = _line(fall.steps, 1 / high**2, 1 / low**2)
    if line is None or line.slope <= 0:
        return
    start = (seen.top**-2 - line.level) / line.slope
    begin = max(start, 0.0) if seen.warmup is None else min(max(start, 0.0), float(fall.steps[0]))
    shift = line.level / line.slope
    at = np.geomspace(begin + shift, max(planned, begin + 1) + shift, 4 * DECAY_KNOTS + 1) - shift
    rates = 1 / np.sqrt(np.maximum(line.level + line.slope * at, 1e-300))
    warm = seen.warmup if seen.warmup is not None else begin
    yield place_knots(
        "inverse_sqrt",
        np.concatenate([[0.0], at]),
        np.concatenate([[seen.initial if warm > 0 else rates[0]], rates]),
        total=planned,
        peak=float(rates[0]),
        warmup=begin,
        decay_from=begin,
        known_to=math.inf if seen.total is not None else float(seen.steps[-1]),
    )


def _pieces(
    at: Array, value: Array, half: Array, *, planned: float, warmup: float, known_to: float
) -> LearningRate | None:
    """Return constant pieces, each of several points; None where the rate moves otherwise.

    A step is put at the roundest place between the two points that show it.
    """
    jumps = np.flatnonzero(np.abs(np.diff(value)) > 2 * half[1:] + 1e-9 * value.max())
    lengths = np.diff(np.concatenate([[-1], jumps, [len(value) - 1]]))
    if not len(jumps) or lengths[:-1].min() < 3 or len(jumps) > max(1, len(value) // 8):
        return None
    knots, levels = [0.0, warmup], [0.0 if warmup > 0 else float(value[0]), float(value[0])]
    for jump in jumps:
        place = _fewest_digits(float(at[jump]), float(at[jump + 1]))
        knots += [place, place]
        levels += [levels[-1], float(value[jump + 1])]
    return place_knots(
        "steps",
        np.array([*knots, planned]),
        np.array([*levels, levels[-1]]),
        total=planned,
        peak=float(max(levels)),
        warmup=warmup,
        decay_from=knots[2],
        known_to=known_to,
    )
