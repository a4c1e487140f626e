"""A question in the words of the options → typed requests: texts become numbers, limits are read.

The command line and the Python API ask in the same words; an amount may be a text (``"1e21"``) or a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import UsageError, quote
from scaleplan.hardware.budget import BudgetRequest
from scaleplan.planning.bounds import RULES
from scaleplan.quantities import (
    exact,
    parse,
    parse_flops,
    parse_fraction,
    parse_hours,
    parse_integer,
    parse_seconds,
    parse_usd,
    parse_usd_per_hour,
)
from scaleplan.quantities.limits import Limit, parse_limit
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Amount", "Hardware", "limits_of", "request_of"]

Amount = str | float
"""An amount as a person gives it: ``"1e21"``, ``"2.5 ZFLOP"``, or a number in the base unit."""


class Hardware(Record):
    """What the compute runs on, as asked for; see :class:`scaleplan.hardware.budget.BudgetRequest`."""

    gpu: str | None = None
    gpus: Amount | None = None
    mfu: Amount | None = None
    goodput: Amount | None = None
    precision: str | None = None
    profile: str | None = None
    price: Amount | None = None


def request_of(
    hardware: Hardware,
    *,
    flops: Amount | None = None,
    gpu_hours: Amount | None = None,
    time: Amount | None = None,
    cost: Amount | None = None,
) -> BudgetRequest:
    """Return the budget with every text read.

    Raises
    ------
    QuantityError
        For an amount that cannot be read.
    UsageError
        When the accelerator-hours name another accelerator than ``gpu``.

    """
    gpu = hardware.gpu
    hours: float | None = None
    if gpu_hours is not None:
        hours, named = parse_hours(gpu_hours)
        if named is not None and gpu is not None and _differ(named, gpu):
            raise UsageError(f"{quote(gpu_hours)} names {named}, and --gpu names {gpu}", hint="name one accelerator")
        gpu = gpu or named
    return BudgetRequest(
        flops=_read(parse_flops, flops),
        gpu_hours=hours,
        gpus=_read(parse_integer, hardware.gpus),
        seconds=_read(parse_seconds, time),
        cost_usd=_read(parse_usd, cost),
        price=_price(hardware.price),
        gpu=gpu,
        mfu=_read(parse_fraction, hardware.mfu),
        precision=hardware.precision,
        profile=hardware.profile,
        goodput=_read(parse_fraction, hardware.goodput),
    )


def _differ(one: str, other: str) -> bool:
    from scaleplan.hardware.accelerators import Accelerators

    known = Accelerators()
    return known.get(one).id != known.get(other).id


def _read(parser: Callable[[Amount], float], amount: Amount | None) -> float | None:
    return None if amount is None else parser(amount)


def _price(price: Amount | None) -> float | str | None:
    """Return a price per hour, or the name of one: a text that starts with a letter names a price preset."""
    if isinstance(price, str) and price.strip()[:1].isalpha():
        return price
    return _read(parse_usd_per_hour, price)


def limits_of(
    *, params: Amount | None = None, tokens: Amount | None = None, limits: Sequence[str] = ()
) -> tuple[Limit, ...]:
    """Return the limits on a plan; a fixed quantity is an equality.

    Raises
    ------
    UsageError
        For a limit on a quantity that cannot bound a plan, or at a confidence.

    """
    found = []
    for name, amount in (("params", params), ("tokens", tokens)):
        if amount is not None:
            value = parse(name, amount)
            found.append(Limit(name, "=", value, None, f"{name} = {exact(name, value)}"))
    for text in limits:
        for limit in parse_limit(text):
            if limit.quantity not in RULES:
                raise UsageError(
                    f"{quote(text)} cannot bound a plan", hint=f"quantities that can: {', '.join(RULES)}"
                )
            if limit.level is not None:
                raise UsageError(f"{quote(text)} is a limit at a confidence", hint="a plan is bounded by estimates")
            found.append(limit)
    return tuple(found)
