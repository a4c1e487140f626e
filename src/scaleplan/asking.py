"""A question in the words of the options → typed requests: texts become numbers, names become laws and bounds.

The command line and the Python API ask in the same words; an amount may be a text (``"1e21"``) or a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.budget import BudgetRequest
from scaleplan.errors import UsageError, quote
from scaleplan.frontier import Bounds
from scaleplan.quantities import (
    parse_count,
    parse_flops,
    parse_fraction,
    parse_hours,
    parse_integer,
    parse_seconds,
    parse_usd,
    parse_usd_per_hour,
)
from scaleplan.quantities.limits import parse_limit
from scaleplan.solver import ANY, COUNT, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.quantities.limits import Limit

__all__ = ["Amount", "Hardware", "bounds_of", "request_of"]

Amount = str | float
"""An amount as a person gives it: ``"1e21"``, ``"2.5 ZFLOP"``, or a number in the base unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What the compute runs on, as asked for; see :class:`scaleplan.budget.BudgetRequest`."""

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
    from scaleplan.hardware import Accelerators

    known = Accelerators()
    return known.get(one).id != known.get(other).id


def _read(parser: Callable[[Amount], float], amount: Amount | None) -> float | None:
    return None if amount is None else parser(amount)


def _price(price: Amount | None) -> float | str | None:
    """Return a price per hour, or the name of one: a text that starts with a letter names a price preset."""
    if isinstance(price, str) and price.strip()[:1].isalpha():
        return price
    return _read(parse_usd_per_hour, price)


def bounds_of(*, params: Amount | None = None, tokens: Amount | None = None, limits: Sequence[str] = ()) -> Bounds:
    """Return the bounds on a plan: fixed quantities, and limits on size, tokens and their ratio.

    Raises
    ------
    UsageError
        For a limit on anything else, a limit at a confidence, and limits that exclude each other.

    """
    spans = {"params": COUNT, "tokens": COUNT, "tokens_per_param": ANY}
    if params is not None:
        fixed = parse_count(params, what="params")
        spans["params"] = Span(fixed, fixed)
    if tokens is not None:
        fixed = parse_count(tokens, what="tokens")
        spans["tokens"] = Span(fixed, fixed)
    for text in limits:
        for limit in parse_limit(text):
            if limit.quantity not in spans or limit.level is not None:
                raise UsageError(
                    f"{quote(text)} cannot bound a plan", hint=f"quantities that can: {', '.join(spans)}"
                )
            spans[limit.quantity] = _narrowed(spans[limit.quantity], limit)
    return Bounds(**spans)


def _narrowed(span: Span, limit: Limit) -> Span:
    low = max(span.low, limit.value) if limit.op in (">=", ">", "=") else span.low
    high = min(span.high, limit.value) if limit.op in ("<=", "<", "=") else span.high
    if low > high:
        raise UsageError(f"the limits on {limit.quantity} exclude each other: {limit.text}", hint="relax one of them")
    return Span(low, high)
