"""The share of the paid time that trains where jobs are interrupted, and how often to save, by Young and Daly.

Interruptions come at random, one every ``M`` on average. Work is saved every ``tau``, which takes ``delta``; after an
interruption the job takes ``R`` to start again, and what was done since the last save is done again. Then ``T_s`` of
work takes ``T = M exp(R/M) (exp((tau + delta)/M) - 1) T_s/tau`` on average (Daly, "A higher order estimate of the
optimum checkpoint interval for restart dumps", Future Generation Computer Systems 22, 2006), and the goodput is
``T_s / T``.
"""

from __future__ import annotations

import math
import re

from scaleplan.errors import UsageError, quote
from scaleplan.record import Record
from scaleplan.units import SECONDS_PER_HOUR, format_seconds, parse, parse_seconds
from scaleplan.units.pairs import read_pairs

__all__ = ["Interruptions", "daly_interval", "goodput_of", "read_interruptions", "young_interval"]

_EXAMPLE = "every=6h, save=2min, restart=10min, interval=30min"

_LEAST_GOODPUT = 0.01
"""Of a job that trains less than a hundredth of its paid time nobody would pay for the rest."""

_FAR = 700.0  # the largest logarithm of a float, nearly


class Interruptions(Record):
    """Interruptions of a job, what is lost to them, and how often it saves.

    ``every_hours`` is the mean time between two of the whole job; ``every_gpu_hours`` what was given instead, None
    where it was a time. ``best_interval_seconds`` is by Daly's estimate and ``young_interval_seconds`` by Young's
    (1974); ``interval_seconds`` is the one that was given, else the best. ``goodput``, ``saving``, ``redone`` and
    ``restarting`` are shares of the paid time and add up to 1.
    """

    every_hours: float
    every_gpu_hours: float | None
    save_seconds: float
    restart_seconds: float
    interval_seconds: float
    interval_given: bool
    best_interval_seconds: float
    young_interval_seconds: float
    goodput: float
    saving: float
    redone: float
    restarting: float


def young_interval(save: float, every: float) -> float:
    """Return Young's first-order estimate of the best time between two saves; all times in one unit.

    J. W. Young, "A first order approximation to the optimum checkpoint interval", CACM 17 (1974).
    """
    return math.sqrt(2 * save * every)


def daly_interval(save: float, every: float) -> float:
    """Return Daly's higher-order estimate of the best time between two saves; all times in one unit."""
    if save >= 2 * every:
        return every
    ratio = save / (2 * every)
    return young_interval(save, every) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - save


def goodput_of(interval: float, *, save: float, restart: float, every: float) -> float:
    """Return the share of the time that does new work, by Daly's complete model; all times in one unit."""
    if (restart + interval + save) / every > _FAR:
        return 0.0
    return interval / (every * math.exp(restart / every) * math.expm1((interval + save) / every))


def read_interruptions(text: str, gpus: float | None) -> Interruptions:
    """Read interruptions such as ``every=6h, save=2min, restart=10min``, or ``every=50k GPU-hours`` on ``gpus``.

    Raises UsageError for a part that is missing or no part, for GPU-hours on an unknown number of GPUs, and where
    next to nothing of the time would train.
    """
    written = read_pairs(
        text, ("every", "save", "restart", "interval"), noun="part of --interruptions", example=_EXAMPLE
    )
    for name in ("every", "save", "restart"):
        if name not in written:
            raise UsageError(f"--interruptions {quote(text)} lacks {name}", hint=f"for example '{_EXAMPLE}'")
    every, of_each = _every(written["every"], gpus)
    save = parse_seconds(written["save"])
    restart = 0.0 if re.fullmatch(r"0 ?[a-z]*", written["restart"]) else parse_seconds(written["restart"])
    best = daly_interval(save, every)
    interval = parse_seconds(written["interval"]) if "interval" in written else best
    goodput = goodput_of(interval, save=save, restart=restart, every=every)
    if goodput < _LEAST_GOODPUT:
        helps = goodput_of(best, save=save, restart=restart, every=every) >= _LEAST_GOODPUT
        way = f"save every {format_seconds(best)}" if helps else "save and restart in less, or use fewer GPUs"
        raise UsageError(
            f"with --interruptions {quote(text)} less than 1 % of the time trains",
            hint=f"one comes every {format_seconds(every)}: {way}",
        )
    saving = goodput * save / interval
    restarting = -math.expm1(-restart / every)  # attempts that are interrupted in turn included
    return Interruptions(
        every_hours=every / SECONDS_PER_HOUR,
        every_gpu_hours=of_each,
        save_seconds=save,
        restart_seconds=restart,
        interval_seconds=interval,
        interval_given="interval" in written,
        best_interval_seconds=best,
        young_interval_seconds=young_interval(save, every),
        goodput=goodput,
        saving=saving,
        redone=max(0.0, 1 - goodput - saving - restarting),
        restarting=restarting,
    )


def _every(text: str, gpus: float | None) -> tuple[float, float | None]:
    """Return the seconds between two interruptions of the job, and the GPU-hours where those were given."""
    if re.search(r"(?i)gpu|accelerator|device|chip", text) is None:
        return parse_seconds(text), None
    hours = parse("hours", text)
    if gpus is None:
        raise UsageError(
            f"every={text} needs the number of GPUs", hint="give --gpus, or the time between two of the whole job"
        )
    return hours / gpus * SECONDS_PER_HOUR, hours
