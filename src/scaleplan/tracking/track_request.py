"""What is known of a run beside its log, read from the texts of options."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.hardware.budget import BudgetRequest
from scaleplan.logs.log_reading import is_log, read_logs
from scaleplan.planning.request import parse_price
from scaleplan.planning.uncertainty import require_level
from scaleplan.presets.conventions import token_bytes
from scaleplan.record import Record
from scaleplan.tracking.planned import planned_in
from scaleplan.units import parse_count, parse_fraction, parse_integer, parse_positive

if TYPE_CHECKING:
    from pathlib import Path

    from scaleplan.logs.run_log import RunLog
    from scaleplan.planning.context import Context
    from scaleplan.planning.plan import Plan
    from scaleplan.presets.preset import Preset
    from scaleplan.tables.frames import TableLike
    from scaleplan.tracking.planned import Metric, Planned
    from scaleplan.tracking.registered import RegisteredForecast
    from scaleplan.units import Amount

__all__ = ["TrackRequest", "track_request"]

_METRICS: dict[str, Metric] = {
    "train": "training",
    "training": "training",
    "val": "validation",
    "validation": "validation",
}


class TrackRequest(Record):
    """What is known of a run beside its log, read from the texts of options."""

    planned: Planned | None
    preset: str | Preset | None
    references: tuple[RunLog, ...]
    pilots: TableLike | None
    schedule: str | None
    tokens: float | None
    steps: float | None
    params: float | None
    metric: Metric | None
    hardware: BudgetRequest
    level: float
    context: Context
    bytes_per_token: float | None = None


def track_request(
    context: Context,
    *,
    plan: str | Path | Plan | RegisteredForecast | None = None,
    preset: str | Preset | None = None,
    pilots: TableLike | None = None,
    schedule: str | None = None,
    tokens: Amount | None = None,
    steps: Amount | None = None,
    params: Amount | None = None,
    loss: str | None = None,
    gpu: str | None = None,
    gpus: Amount | None = None,
    precision: str | None = None,
    price: Amount | None = None,
    mfu: Amount | None = None,
    level: Amount = 0.9,
    bytes_per_token: Amount | None = None,
) -> TrackRequest:
    """Read the texts of options; raises UsageError for two plans."""
    if plan is not None and preset is not None:
        raise UsageError("the planned loss is given twice: --plan and --preset", hint="give one of them")
    planned = None if plan is None else planned_in(plan)
    if loss is not None and loss not in _METRICS:
        raise UnknownNameError("loss to track", loss, ("val", "train"))
    return TrackRequest(
        planned=planned,
        preset=preset,
        references=() if pilots is None or not is_log(pilots) else tuple(read_logs([pilots])),
        pilots=pilots,
        schedule=schedule,
        tokens=None if tokens is None else parse_count(tokens, what="tokens"),
        steps=None if steps is None else float(parse_integer(steps)),
        params=None if params is None else parse_count(params, what="params"),
        metric=None if loss is None else _METRICS[loss],
        hardware=_hardware(planned, gpu=gpu, gpus=gpus, precision=precision, price=price, mfu=mfu),
        level=require_level(parse_fraction(level)),
        context=context,
        bytes_per_token=None if bytes_per_token is None else token_bytes(parse_positive(bytes_per_token)),
    )


def _hardware(planned: Planned | None, **given: Amount | None) -> BudgetRequest:
    """Return the hardware that is given, or that of the plan where none is."""
    found = BudgetRequest(
        gpu=None if given["gpu"] is None else str(given["gpu"]),
        gpus=None if given["gpus"] is None else float(parse_integer(given["gpus"])),
        precision=None if given["precision"] is None else str(given["precision"]),
        price=None if given["price"] is None else parse_price(given["price"]),
        mfu=None if given["mfu"] is None else parse_fraction(given["mfu"]),
    )
    if found.gpu is None:
        for name in ("precision", "price", "mfu"):
            if given[name] is not None and (planned is None or planned.gpu is None):
                raise UsageError(f"--{name} belongs to a GPU", hint="name it with --gpu")
    if planned is None or planned.gpu is None or found.gpu not in (None, planned.gpu):
        return found
    own = {name: getattr(planned, name) for name in ("gpu", "gpus", "precision", "price", "mfu")}
    return replace(found, **{name: value for name, value in own.items() if getattr(found, name) is None})
