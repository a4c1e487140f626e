"""The speed of a run as its log measures it, and the time and the money that the rest takes at this speed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import Notice, UsageError
from scaleplan.hardware.budget import BudgetRequest
from scaleplan.hardware.device_budget import resolve_budget
from scaleplan.record import Record
from scaleplan.units import SECONDS_PER_DAY, format_count, format_fraction, format_plain

if TYPE_CHECKING:
    from scaleplan.hardware.budget import Catalogue
    from scaleplan.logs.run_log import LoggedCurve, RunLog

__all__ = ["Pace", "pace_of", "steps_per_second"]

_RECENT = 0.2
"""The share of the part seen whose speed counts: long enough for a median, short enough for today's cluster."""

_LEAST, _MOST = 10, 2000  # intervals between two entries that the median is of

_NO_SPEED = "the log holds no times and no speed, so that the time left is not known"


class Pace(Record):
    """The speed of a run and what is left; None where the log or the options do not tell.

    ``tokens_per_second`` is of all devices, ``days_left`` at the median speed of the recent part, pauses excluded,
    ``cost_left`` in US dollars. ``mfu`` is 6 times params times that speed over the peak of all devices, or what the
    log itself says, by ``mfu_source``.
    """

    seconds_per_step: float | None = None
    tokens_per_second: float | None = None
    days_left: float | None = None
    cost_left: float | None = None
    currency: str | None = None
    mfu: float | None = None
    mfu_source: str | None = None
    gpu: str | None = None
    gpus: int | None = None
    precision: str | None = None
    price_per_hour: float | None = None
    price_source: str | None = None
    warnings: tuple[Notice, ...] = ()


def steps_per_second(run: RunLog, tokens_per_step: float | None, devices: float | None) -> float | None:
    """Return the median speed of the recent part of a run; None where the log does not tell it.

    Times are preferred to a logged speed: they include what lies between two steps. A pause is one long interval,
    which a median leaves out.
    """
    times = run.curves.get("seconds")
    if times is not None and len(times) > 1:
        recent = _recent(times)
        steps, seconds = np.diff(times.steps[recent]), np.diff(times.values[recent])
        moving = (seconds > 0) & (steps > 0)
        if np.any(moving):
            return float(np.median(steps[moving] / seconds[moving]))
    if tokens_per_step is None:
        return None
    for name, each in (("tokens_per_second", 1.0), ("device_tokens_per_second", devices)):
        speed = run.curves.get(name)
        if speed is not None and len(speed) and each is not None:
            values = speed.values[_recent(speed)]
            values = values[np.isfinite(values) & (values > 0)]
            if len(values):
                return float(np.median(values)) * each / tokens_per_step
    return None


def _recent(curve: LoggedCurve) -> slice:
    """Return the recent part of a curve."""
    since = curve.steps[-1] - _RECENT * (curve.steps[-1] - curve.steps[0])
    first = int(np.searchsorted(curve.steps, since))
    count = min(max(len(curve) - first, _LEAST), _MOST)
    return slice(max(len(curve) - count - 1, 0), len(curve))


def pace_of(
    run: RunLog,
    catalogue: Catalogue,
    *,
    steps_left: float,
    tokens_per_step: float | None,
    params: float | None,
    request: BudgetRequest,
) -> Pace:
    """Return the pace of a run.

    Parameters
    ----------
    run
        The log.
    catalogue
        The accelerators and their prices.
    steps_left
        The steps to its end.
    tokens_per_step
        The tokens of a step of all devices, where they are known.
    params
        The parameters that compute, where they are known.
    request
        The hardware, by ``gpu``, ``gpus``, ``precision``, ``price``, and the ``mfu`` that counts where the log
        has no speed.

    """
    devices = request.gpus or run.stated.devices
    speed = steps_per_second(run, tokens_per_step, devices)
    tokens = None if speed is None or tokens_per_step is None else speed * tokens_per_step
    logged = _logged_mfu(run)
    count = None if devices is None else int(devices)
    if request.gpu is None:
        return Pace(
            seconds_per_step=None if speed is None else 1 / speed,
            tokens_per_second=tokens,
            days_left=None if speed is None else steps_left / speed / SECONDS_PER_DAY,
            mfu=logged,
            mfu_source=None if logged is None else "log",
            gpus=count,
            warnings=() if speed is not None else _no_speed(steps_left),
        )
    return _on_devices(
        catalogue, request, devices=devices, speed=speed, tokens=tokens, logged=logged, params=params,
        steps_left=steps_left, tokens_per_step=tokens_per_step,
    )  # fmt: skip


def _on_devices(
    catalogue: Catalogue,
    request: BudgetRequest,
    *,
    devices: float | None,
    speed: float | None,
    tokens: float | None,
    logged: float | None,
    params: float | None,
    steps_left: float,
    tokens_per_step: float | None,
) -> Pace:
    """Return the pace on devices that are known, by the budget that the rest of the run is."""
    accelerator = catalogue.accelerators.get(str(request.gpu))
    precision = accelerator.precision(request.precision)
    warnings: list[Notice] = []
    mfu, source = logged, None if logged is None else "log"
    if tokens is not None and params is not None and devices:
        mfu, source = 6 * params * tokens / (devices * accelerator.peak(precision)), "6ND"
        if mfu > 1:
            raise UsageError(
                f"the log's {tokens:,.0f} tokens/s of a model of {format_count(params)} parameters are "
                f"{format_fraction(mfu, digits=2)} of "
                f"the peak of {format_plain(devices)} {accelerator.id}",
                hint="check --params, --gpus and --gpu, and the tokens of a step",
            )
    days = None if speed is None else steps_left / speed / SECONDS_PER_DAY
    if days is None and None not in (params, devices, tokens_per_step, request.mfu):
        assert params is not None
        assert devices is not None
        assert tokens_per_step is not None
        assert request.mfu is not None
        flops = 6 * params * tokens_per_step * steps_left
        days = flops / (devices * accelerator.peak(precision) * request.mfu) / SECONDS_PER_DAY
        warnings.append(Notice(code="no_speed", message=f"{_NO_SPEED}; it is that of the given MFU"))
    elif days is None:
        warnings += _no_speed(steps_left)
    cost = currency = price = origin = None
    if days is not None and devices is not None:
        hours = max(days, math.ulp(1.0)) * 24 * devices
        paid = BudgetRequest(
            gpu=request.gpu, gpus=float(devices), gpu_hours=hours, price=request.price, mfu=mfu or 1.0,
            precision=request.precision,
        )  # fmt: skip
        found = resolve_budget(catalogue, paid, params=params)
        cost, currency = found.budget.cost, found.budget.currency
        price, origin = found.budget.price_per_hour, found.budget.price_source
        warnings += [notice for notice in found.notices if notice.code == "no_price"]
        cost = 0.0 if cost is not None and days == 0 else cost
    elif devices is None:
        warnings.append(Notice(code="no_devices", message="the cost left needs the number of GPUs: give --gpus"))
    return Pace(
        seconds_per_step=None if speed is None else 1 / speed,
        tokens_per_second=tokens,
        days_left=days,
        cost_left=cost,
        currency=currency,
        mfu=mfu,
        mfu_source=source,
        gpu=accelerator.id,
        gpus=None if devices is None else int(devices),
        precision=precision,
        price_per_hour=price,
        price_source=origin,
        warnings=tuple(warnings),
    )


def _no_speed(steps_left: float) -> tuple[Notice, ...]:
    return (Notice(code="no_speed", message=_NO_SPEED),) if steps_left else ()


def _logged_mfu(run: RunLog) -> float | None:
    """Return the recent median of the utilisation that the log has."""
    curve = run.curves.get("mfu")
    if curve is None or not len(curve):
        return None
    values = curve.values[_recent(curve)]
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if len(values) else None
