"""The schedule of the learning rate, by its formula or stated as text; its value at any step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from scaleplan.errors import FileError, ScaleplanError, UnknownNameError, UsageError, quote
from scaleplan.logs.csv_rows import csv_blocks, csv_names
from scaleplan.logs.log_file import LogFile
from scaleplan.logs.metrics import role_of
from scaleplan.record import Record
from scaleplan.tables.cells import read_numbers
from scaleplan.units.parse import parse_count, parse_fraction, parse_positive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.arrays import Array

__all__ = [
    "DECAY_KNOTS",
    "SCHEDULES",
    "DecayShape",
    "LearningRate",
    "ScheduleKind",
    "parse_schedule",
    "place_knots",
    "schedule_of",
    "tabled_schedule",
]

ScheduleKind = Literal["constant", "cosine", "linear", "wsd", "inverse_sqrt", "exponential", "steps", "table"]
"""``wsd``: constant, then a decay; ``steps``: constant pieces; ``table``: as logged, of no known shape."""

DecayShape = Literal["linear", "cosine", "1-sqrt", "1-square", "exponential"]
"""How the rate falls from the peak to the end over the share u of a decay: 1-u, (1+cos πu)/2, 1-√u, 1-u², and a
straight line of its logarithm."""

DECAY_KNOTS = 512
"""Pieces of a curved decay: the chord of a cosine is then within 5e-6 of the peak."""


class LearningRate(Record, eq=False):
    """The learning rate of a run by step, from 0 to its ``total`` steps.

    ``knots`` and ``rates`` are the schedule as a piecewise linear function of the step, dense enough for its
    curvature: what every method integrates over. ``end`` is the rate at the last step. Rates may be relative to the
    peak: only ratios matter. ``stated`` tells whether a user or the log gave the schedule beyond what was seen of it,
    rather than its shape. Beyond ``known_to`` the schedule is not known, and the rate there is only the last one
    seen, or the likeliest shape: while a rate is constant nothing tells whether a decay will come. ``shape`` is that
    of the decay, where there is one.
    """

    kind: ScheduleKind
    peak: float
    end: float
    total: float
    warmup: float
    decay_from: float
    knots: Array
    rates: Array
    stated: bool = False
    known_to: float = math.inf
    shape: DecayShape | None = None

    @property
    def known(self) -> bool:
        """Whether the schedule is known to the end of the run."""
        return self.known_to >= self.total

    def at(self, steps: Array) -> Array:
        """Return the rate at steps."""
        return np.interp(steps, self.knots, self.rates)

    def integral(self, steps: Array) -> Array:
        """Return the sum of the rates from step 0 to each of ``steps``."""
        areas = np.concatenate([[0.0], np.cumsum(0.5 * (self.rates[1:] + self.rates[:-1]) * np.diff(self.knots))])
        at = np.clip(np.asarray(steps, dtype=float), self.knots[0], self.knots[-1])
        index = np.clip(np.searchsorted(self.knots, at, side="right") - 1, 0, len(self.knots) - 2)
        inside = at - self.knots[index]
        mean: Array = areas[index] + inside * 0.5 * (self.rates[index] + self.at(at))
        return mean


def schedule_of(
    kind: ScheduleKind,
    *,
    total: float,
    peak: float = 1.0,
    end: float = 0.0,
    warmup: float = 0.0,
    initial: float = 0.0,
    decay_from: float | None = None,
    decay_to: float | None = None,
    shape: DecayShape | None = None,
    stated: bool = False,
    known_to: float = math.inf,
) -> LearningRate:
    """Return a schedule by its formula; ``steps`` and ``table`` have none (:func:`tabled_schedule`).

    The rate rises from ``initial`` to ``peak`` over ``warmup`` steps, stays to ``decay_from`` (the end of the
    warm-up), falls by ``shape`` to ``end`` at ``decay_to`` (the total), and stays there.
    """
    total = max(total, 1.0)
    warmup = min(max(warmup, 0.0), total)
    start = warmup if decay_from is None else min(max(decay_from, warmup), total)
    stop = total if decay_to is None else max(decay_to, start)
    if kind == "constant":
        start = stop = total
        shape, end = None, peak
    elif shape is None:
        shape = "cosine" if kind == "cosine" else "exponential" if kind == "exponential" else "linear"
    knots, rates = [0.0, warmup], [initial if warmup > 0 else peak, peak]
    if kind == "inverse_sqrt":
        shape = None
        at = np.geomspace(max(warmup, 1.0), max(total, warmup, 1.0), 4 * DECAY_KNOTS + 1)
        values = peak * np.sqrt(max(warmup, 1.0) / at)
        end = float(values[-1])
    else:
        share = np.linspace(0.0, 1.0, 2 if shape in (None, "linear") else DECAY_KNOTS + 1)
        if shape == "1-sqrt":
            share = share**2  # denser where its slope is steep
        at = start + (stop - start) * share
        values = _decayed(share, peak, end, shape)
    steps = np.concatenate([knots, at, [max(total, stop)]])
    return place_knots(
        kind,
        steps,
        np.concatenate([rates, values, [values[-1]]]),
        total=total,
        peak=peak,
        warmup=warmup,
        decay_from=start,
        shape=shape,
        stated=stated,
        known_to=known_to,
    )


def tabled_schedule(
    steps: Array,
    rates: Array,
    *,
    total: float,
    warmup: float = 0.0,
    stated: bool = False,
    known_to: float = math.inf,
) -> LearningRate:
    """Return the schedule through points; before the first and after the last the rate is theirs."""
    peak = float(np.max(rates))
    falling = np.flatnonzero(rates >= peak * (1 - 1e-9))[-1]
    return place_knots(
        "table",
        np.concatenate([[min(0.0, steps[0])], steps, [max(total, steps[-1])]]),
        np.concatenate([rates[:1], rates, rates[-1:]]),
        total=total,
        peak=peak,
        warmup=warmup,
        decay_from=float(steps[falling]),
        stated=stated,
        known_to=known_to,
    )


def place_knots(
    kind: ScheduleKind,
    steps: Array,
    rates: Array,
    *,
    total: float,
    **more: Any,  # noqa: ANN401  the other fields of the record
) -> LearningRate:
    """Return the record of a schedule through points in order, of which several may lie at one step."""
    knots = np.maximum.accumulate(np.asarray(steps, dtype=float))
    values = np.asarray(rates, dtype=float)
    last = np.append(np.diff(knots) > 0, True)  # of points at one step the first and the last count: a jump
    first = np.append(True, last[:-1])
    knots, values = knots[first | last].copy(), values[first | last]
    jumps = np.flatnonzero(np.diff(knots) <= 0)
    same = values[jumps] == values[jumps + 1]
    knots[jumps[~same] + 1] += 1e-9 * max(total, 1.0)
    keep = np.ones(len(knots), dtype=bool)
    keep[jumps[same]] = False
    knots, values = knots[keep], values[keep]
    if len(knots) < 2:
        knots, values = np.append(knots, knots[-1] + total), np.append(values, values[-1])
    return LearningRate(
        kind=kind, knots=knots, rates=values, total=total, end=float(np.interp(total, knots, values)), **more
    )


def _decayed(share: Array, peak: float, end: float, shape: DecayShape | None) -> Array:
    """Return the rate at shares of a decay."""
    if shape is None:
        return np.full_like(share, peak)
    if shape == "exponential":
        low = end if end > 0 else peak * 1e-3  # an exponential never ends at zero: a thousandth is written as one
        return peak * np.exp(share * math.log(low / peak))
    left = {
        "linear": 1 - share,
        "cosine": 0.5 * (1 + np.cos(math.pi * share)),
        "1-sqrt": 1 - np.sqrt(share),
        "1-square": 1 - share**2,
    }[shape]
    return end + (peak - end) * left


# --- stated as text -----------------------------------------------------------------------------------------------

SCHEDULES: Mapping[str, tuple[str, ...]] = {
    "constant": ("warmup", "peak"),
    "cosine": ("end", "warmup", "peak", "until"),
    "linear": ("end", "warmup", "peak", "until"),
    "wsd": ("decay", "end", "shape", "warmup", "peak"),
    "inverse_sqrt": ("warmup", "peak"),
    "exponential": ("end", "warmup", "peak", "until"),
    "steps": ("warmup", "peak"),
    "table": (),
}
"""The kinds that a user may state, with the settings of each."""

_SAME_KIND = {
    "linear_with_warmup": "linear",
    "cosine_with_warmup": "cosine",
    "constant_with_warmup": "constant",
    "warmup_stable_decay": "wsd",
    "trapezoid": "wsd",
    "trapezoidal": "wsd",
    "inverse_square_root": "inverse_sqrt",
    "inv_sqrt": "inverse_sqrt",
    "multistep": "steps",
    "cosine_with_min_lr": "cosine",
}
_SAME_SHAPE = {
    "sqrt": "1-sqrt",
    "minus_sqrt": "1-sqrt",
    "1_sqrt": "1-sqrt",
    "square": "1-square",
    "exp": "exponential",
}
_SHAPES: tuple[DecayShape, ...] = ("linear", "cosine", "1-sqrt", "1-square", "exponential")
_EXAMPLE = "e.g. cosine:end=10%, wsd:decay=20%,shape=1-sqrt or 'table rates.csv'"


def parse_schedule(
    text: str, *, total: float, peak: float = 1.0, warmup: float = 0.0, folder: Path | None = None
) -> LearningRate:
    """Return the schedule that a text states, of a run of ``total`` steps.

    The grammar is ``KIND[:NAME=VALUE,...]``:

    ``constant``
        no decay.
    ``cosine``, ``linear``, ``exponential``
        from the end of the warm-up to the ``end`` rate (a share of the peak: ``10%``, ``0.1``; default 0) at the
        end of the run, or at the step ``until``.
    ``wsd``
        constant, then over the last ``decay`` or ``cooldown`` (a share of the run, ``20%``, or a number of steps;
        default 20%, as in ``design --schedule wsd``) down to ``end`` by ``shape``: linear, cosine, 1-sqrt, 1-square
        or exponential.
    ``inverse_sqrt``
        peak · √(warmup / step) after the warm-up, which it needs.
    ``steps``
        ``80%=31.6%,90%=10%``: from each point (a share of the run or a step) on, a share of the peak.
    ``table FILE``
        a CSV with columns ``step`` and ``lr``.

    All but a table take ``warmup`` (steps, or a share of the run) and ``peak``; without them the keywords hold: what
    the log shows. ``folder`` is where the FILE of a table is looked for.

    Raises UsageError for any other text, and FileError for a table that cannot be read.
    """
    stripped = text.strip()
    name, _, rest = stripped.partition(":") if ":" in stripped else stripped.partition(" ")
    kind = name.strip().lower().replace("-", "_")
    kind = _SAME_KIND.get(kind, kind)
    if kind == "table":
        if not rest.strip():
            raise UsageError(f"schedule {quote(text)} names no file", hint="e.g. 'table rates.csv'")
        return _from_table((folder or Path()) / rest.strip(), total)
    if kind not in SCHEDULES:
        raise UnknownNameError("schedule", name.strip() or text, SCHEDULES)
    settings = _settings(text, kind, rest)
    peak = _value(text, "peak", settings.get("peak"), peak)
    rise = _steps(text, "warmup", settings.get("warmup"), total, warmup)
    if rise >= total:
        raise UsageError(f"the warm-up of schedule {quote(text)} is not shorter than the run of {total:,.0f} steps")
    if kind == "steps":
        return _stated_steps(text, settings, total=total, peak=peak, warmup=rise)
    end = _value(text, "end", settings.get("end"), 0.0, share=True) * peak
    shape = _stated_shape(settings.get("shape", "linear")) if kind == "wsd" else None
    if end <= 0 and "exponential" in (kind, shape):
        raise UsageError(f"schedule {quote(text)} needs the rate it ends at, above 0", hint="e.g. end=1%")
    if kind == "inverse_sqrt" and rise <= 0:
        raise UsageError("schedule inverse_sqrt needs its warm-up", hint="e.g. inverse_sqrt:warmup=2000")
    decay = _steps(text, "decay", settings.get("decay"), total, 0.2 * total) if kind == "wsd" else total - rise
    until = _steps(text, "until", settings.get("until"), total, total)
    if decay > total - rise or until <= rise:
        raise UsageError(
            f"the decay of schedule {quote(text)} does not fit between its warm-up and {total:,.0f} steps"
        )
    return schedule_of(
        cast("ScheduleKind", kind),
        total=total,
        peak=peak,
        end=end,
        warmup=rise,
        decay_from=total - decay,
        decay_to=until,
        shape=shape,
        stated=True,
    )


def _stated_shape(text: str) -> DecayShape:
    """Return the shape of a decay by its name."""
    name = text.lower().replace("_", "-")
    name = _SAME_SHAPE.get(name.replace("-", "_"), name)
    for shape in _SHAPES:
        if name == shape:
            return shape
    raise UnknownNameError("shape of a decay", text, _SHAPES)


def _settings(text: str, kind: str, rest: str) -> dict[str, str]:
    """Return the settings of a text by name; raises UsageError for one that the kind does not have."""
    settings: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in rest.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise UsageError(f"{quote(part)} in schedule {quote(text)} is not NAME=VALUE", hint=_EXAMPLE)
        free = kind == "steps" and not name.isidentifier()
        name = name if free else name.lower().replace("-", "_")
        name = "decay" if name == "cooldown" else name
        if name not in SCHEDULES[kind] and not free:
            raise UnknownNameError(f"setting of schedule {kind}", name, SCHEDULES[kind])
        if name in settings:
            raise UsageError(f"schedule {quote(text)} gives {name} twice")
        settings[name] = value
    return settings


def _value(text: str, name: str, value: str | None, default: float, *, share: bool = False) -> float:
    if value is None:
        return default
    try:
        if share and value.rstrip("0.%") == "":  # an end at nothing is no share that the parser takes
            return 0.0
        return parse_fraction(value) if share else parse_positive(value)
    except ScaleplanError as error:
        raise UsageError(f"{name} of schedule {quote(text)}: {error.message}", hint=error.hint) from None


def _steps(text: str, name: str, value: str | None, total: float, default: float) -> float:
    """Return a length in steps: a share of the run, or their number."""
    if value is None:
        return default
    try:
        number = float(value) if value.replace(".", "", 1).isdigit() else math.nan
        if value.endswith("%") or 0 < number < 1:
            return parse_fraction(value) * total
        return 0.0 if number == 0 else parse_count(value)
    except ScaleplanError as error:
        raise UsageError(f"{name} of schedule {quote(text)}: {error.message}", hint=error.hint) from None


def _stated_steps(
    text: str, settings: Mapping[str, str], *, total: float, peak: float, warmup: float
) -> LearningRate:
    pieces = [
        (_steps(text, at, at, total, 0.0), _value(text, at, rate, 0.0, share=True) * peak)
        for at, rate in settings.items()
        if at not in ("warmup", "peak")
    ]
    places = [at for at, _ in pieces]
    if not pieces or sorted(set(places)) != places or places[0] < warmup or places[-1] > total:
        raise UsageError(
            f"schedule {quote(text)} gives no rising points within the run", hint="e.g. steps:80%=31.6%,90%=10%"
        )
    knots, rates = [0.0, warmup], [0.0 if warmup > 0 else peak, peak]
    for at, rate in pieces:
        knots += [at, at]
        rates += [rates[-1], rate]
    return place_knots(
        "steps",
        np.array([*knots, total]),
        np.array([*rates, rates[-1]]),
        total=total,
        peak=peak,
        warmup=warmup,
        decay_from=places[0],
        stated=True,
    )


def _from_table(path: Path, total: float) -> LearningRate:
    """Read a schedule of columns step and lr, by any name that a log has for them."""
    file = LogFile(path)
    step, rate = _column(file, ("step", "tokens")), _column(file, ("lr", "relative_lr"))
    if step is None or rate is None:
        raise FileError(f"schedule {quote(path)} has no columns step and lr", file=str(path), line=1)
    points: list[tuple[float, float]] = []
    for block in csv_blocks(file):
        if block.damaged:
            raise FileError(f"line {block.damaged[0]} of schedule {quote(path)} is no step and rate", file=str(path))
        columns = (read_numbers(block.columns[name]).values.tolist() for name in (step, rate))
        for line, *point in zip(block.lines, *columns, strict=True):
            at, value = point
            if not (math.isfinite(at) and 0 <= value < math.inf):
                raise FileError(f"line {line} of schedule {quote(path)} is no step and rate", file=str(path))
            if points and at <= points[-1][0]:
                raise FileError(f"line {line} of schedule {quote(path)} is out of order", file=str(path))
            points.append((at, value))
    if len(points) < 2 or max(value for _, value in points) <= 0:
        raise FileError(f"schedule {quote(path)} has fewer than two points, or no rate above 0", file=str(path))
    steps, rates = np.array(points).T
    return tabled_schedule(steps, rates, total=total, stated=True, known_to=max(float(steps[-1]), 0.999 * total))


def _column(file: LogFile, wanted: tuple[str, ...]) -> str | None:
    """Return the column that plays the first of some roles that there is; a plain ``rate`` is a learning rate."""
    meant = {name: role_of("lr" if name.strip().lower() == "rate" else name) for name in csv_names(file)}
    found = [
        (wanted.index(meaning.role), meaning.rank, name)
        for name, meaning in meant.items()
        if meaning is not None and meaning.role in wanted
    ]
    return min(found)[2] if found else None
