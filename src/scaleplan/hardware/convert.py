"""Convert an amount of compute: FLOP, PF-days, GPU-hours, days, money, energy, carbon.

Any of them may be given; it goes back to FLOP or GPU-hours and from there to all the others that the
GPU, its utilisation, price, power and grid determine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import Notice, UsageError, did_you_mean, quote
from scaleplan.hardware.bill import carbon_of
from scaleplan.hardware.chances import chances_of
from scaleplan.hardware.device_budget import resolve_budget
from scaleplan.record import Result
from scaleplan.units import FLOP_PER_PF_DAY, SECONDS_PER_DAY, format_plain
from scaleplan.units.limits import upper_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.hardware.budget import BudgetRequest, Catalogue
    from scaleplan.hardware.chances import LimitChance
    from scaleplan.hardware.deadline import Deadline
    from scaleplan.hardware.energy import MeanPower, PowerGrid
    from scaleplan.hardware.interruptions import Interruptions
    from scaleplan.hardware.owned import OwnedPrice

__all__ = ["QUANTITIES", "Conversion", "convert"]


QUANTITIES = ("flops", "pf_days", "gpu_hours", "days", "cost", "energy_kwh", "carbon_kg")
"""What can be converted, by the names of the arguments and the fields of the result."""

_NO_POWER = "leave it out, or give tdp_w in an accelerators.toml of your own"

_UNCERTAIN = ("gpu_hours_interval", "days_interval", "cost_interval", "energy_kwh_interval", "carbon_kg_interval")

_NEEDS = {
    "gpu_hours": "--gpu",
    "days": "--gpu and --gpus",
    "cost": "--gpu and --price",
    "energy_kwh": "--gpu",
    "carbon_kg": "--gpu and --region",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion(Result):
    """One amount of compute in every unit; None where the request does not determine it.

    Units: FLOP, PF-days (8.64e19 FLOP), hours of one GPU, days on all ``gpus``, ``currency``, kWh from the
    grid, kg CO2e by the grid's intensity of ``grid_year``. What a default utilisation lies between has its
    interval, within a factor of ``band`` either way: the hours, days, money, energy and carbon of an amount of
    compute, or the compute of an amount of any of those.
    """

    schema: ClassVar[str] = "scaleplan/conversion/1"

    flops: float
    pf_days: float
    gpu_hours: float | None
    days: float | None
    cost: float | None
    energy_kwh: float | None
    carbon_kg: float | None
    currency: str | None
    gpu: str | None
    gpus: int | None
    peak_flops_per_s: float | None
    precision: str | None
    utilisation: float | None
    mfu: float | None
    goodput: float | None
    profile: str | None
    utilisation_source: str | None
    price_per_hour: float | None
    grid: str | None
    grid_g_co2_per_kwh: float | None
    grid_year: int | None
    warnings: tuple[Notice, ...]
    band: float | None = None
    interval_level: float | None = None
    flops_interval: tuple[float, float] | None = None
    gpu_hours_interval: tuple[float, float] | None = None
    days_interval: tuple[float, float] | None = None
    cost_interval: tuple[float, float] | None = None
    energy_kwh_interval: tuple[float, float] | None = None
    carbon_kg_interval: tuple[float, float] | None = None
    price_source: str | None = None
    price_date: str | None = None
    chip_w: float | None = None
    host_w: float | None = None
    pue: float | None = None
    deadline: Deadline | None = None
    chances: Mapping[str, LimitChance] = field(default_factory=dict)
    exchange_rate: float | None = None
    owned: OwnedPrice | None = None
    interruptions: Interruptions | None = None
    expected_interruptions: float | None = None


def convert(
    catalogue: Catalogue,
    amounts: Mapping[str, float | None],
    hardware: BudgetRequest,
    *,
    params: float | None = None,
    grid: str | None = None,
    to: str | None = None,
) -> Conversion:
    """Convert exactly one of the ``amounts`` (by names of :data:`QUANTITIES`) into every other unit.

    All but the first two need a GPU in ``hardware``, a request without a budget; ``days`` also need a number
    of them, ``cost`` a price and ``carbon_kg`` a ``grid``, a country or cloud region. The default utilisation depends
    on the active ``params``; ``to`` is a quantity that must be part of the result. Raises UsageError
    for none or several amounts, and for an amount or ``to`` that the request does not determine.
    """
    name, amount = _single(amounts)
    if to is not None and to not in QUANTITIES:
        close = did_you_mean(to, QUANTITIES)
        hint = f"did you mean '{close}'?" if close else f"known: {', '.join(QUANTITIES)}"
        raise UsageError(f"cannot convert to {quote(to)}", hint=hint)
    where = None if grid is None else catalogue.grids.get(grid)
    request = _request(catalogue, name, amount, hardware, where)
    resolved = resolve_budget(catalogue, request, params=params)
    budget = resolved.budget
    if where is not None and budget.energy_kwh is None:
        if budget.gpu is not None:
            raise UsageError(f"the power of {budget.gpu} is not known, so its carbon is not", hint=_NO_POWER)
        raise UsageError("--region needs --gpu to become carbon", hint="name the GPU, such as --gpu h100-sxm")
    derivation = {item.name: getattr(budget, item.name) for item in fields(Conversion) if hasattr(budget, item.name)}
    derivation |= carbon_of(budget, where)
    days = request.deadline and request.deadline / SECONDS_PER_DAY
    if name in {"flops", "pf_days"}:
        derivation["chances"] = {} if days is None else chances_of(budget, [upper_limit("days", days)])
    else:  # the given amount and what follows from it without a utilisation is exact
        derivation |= dict.fromkeys(_UNCERTAIN)
        if budget.deadline is not None:
            derivation["deadline"] = budget.deadline.exact
    result = Conversion(
        **derivation,
        flops=resolved.flops,
        pf_days=resolved.flops / FLOP_PER_PF_DAY,
        warnings=resolved.notices,
        flops_interval=budget.bought_flops_interval,
    )
    if to is not None and getattr(result, to) is None:
        raise UsageError(f"{name} alone does not determine {to}", hint=f"add {_NEEDS[to]}")
    return result


def _single(amounts: Mapping[str, float | None]) -> tuple[str, float]:
    given = {name: amount for name, amount in amounts.items() if amount is not None}
    if len(given) != 1:
        problem = f"more than one amount: {' and '.join(given)}" if given else "there is no amount to convert"
        raise UsageError(problem, hint=f"give exactly one of {', '.join(QUANTITIES)}")
    name, amount = given.popitem()
    if not (math.isfinite(amount) and amount > 0):
        raise UsageError(f"{name} is a number above 0, not {format_plain(amount)}")
    return name, amount


def _request(
    catalogue: Catalogue, name: str, amount: float, hardware: BudgetRequest, grid: PowerGrid | None
) -> BudgetRequest:
    """Return the amount as one of the budget forms; energy and carbon become GPU-hours."""
    if name == "flops":
        return replace(hardware, flops=amount)
    if name == "pf_days":
        return replace(hardware, flops=amount * FLOP_PER_PF_DAY)
    if hardware.gpu is None:
        raise UsageError(
            f"{name} needs --gpu to become FLOP",
            hint="name the GPU, such as --gpu h100-sxm; 'scaleplan gpus list' lists them",
        )
    if name == "gpu_hours":
        return replace(hardware, gpu_hours=amount)
    if name == "cost":
        return replace(hardware, cost=amount)
    if name == "days":
        if hardware.gpus is None:
            raise UsageError("days need --gpus to become FLOP", hint="say how many GPUs with --gpus")
        return replace(hardware, time=amount * SECONDS_PER_DAY)
    if name == "carbon_kg":
        if grid is None or grid.g_co2_per_kwh == 0:
            raise UsageError(
                "carbon needs --region to become energy", hint="name a country or region, such as --region FRA"
            )
        amount *= 1000 / grid.g_co2_per_kwh
    return replace(hardware, gpu_hours=_power(catalogue, hardware, hardware.gpu).gpu_hours(amount))


def _power(catalogue: Catalogue, hardware: BudgetRequest, gpu: str) -> MeanPower:
    """Return the mean power of a GPU; raises UsageError where it is not known."""
    power = hardware.draw().of(catalogue.accelerators.get(gpu))
    if power is None:
        raise UsageError(f"the power of {gpu} is not known, so energy is no budget on it", hint=_NO_POWER)
    return power
