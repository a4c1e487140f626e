"""Show what compute takes, of a plan or converted: hours, days, money, energy, carbon, with range and origin."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from scaleplan.hardware.budget import BAND_LEVEL, GIVEN, MEASURED, band_text, dated_price
from scaleplan.hardware.chances import chance_text
from scaleplan.output import Fact, Report
from scaleplan.units import (
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    format_days,
    format_flops,
    format_fraction,
    format_hours,
    format_kilograms,
    format_kwh,
    format_number,
    format_pf_days,
    format_range,
    format_seconds,
    money_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from scaleplan.hardware.bill import Bill
    from scaleplan.hardware.budget import Budget
    from scaleplan.hardware.chances import LimitChance
    from scaleplan.hardware.convert import Conversion

__all__ = [
    "band_remarks",
    "bill_section",
    "conversion_report",
    "keeping_remarks",
    "power_text",
    "price_text",
    "speed_text",
]


def bill_section(
    budget: Budget, bill: Bill | None = None, *, chances: Mapping[str, LimitChance] = MappingProxyType({})
) -> Report:
    """Return the section of a plan on hardware; ``bill`` adds the carbon, ``chances`` those of keeping limits."""
    band = f" ({band_text(budget.band)})" if budget.band else ""
    return Report(
        title=f"the bill{band}",
        facts=[*_facts(budget, bill)],
        level=format_fraction(BAND_LEVEL) if budget.band else "",
        remarks=[*keeping_remarks(budget, chances), *_origins(budget, bill)],
    )


def keeping_remarks(budget: Budget | Conversion, chances: Mapping[str, LimitChance]) -> Iterator[str]:
    """Yield how many GPUs a deadline takes, and the chance that a run keeps its limits."""
    deadline = budget.deadline
    if deadline is not None:
        sure = "" if deadline.safe_gpus is None else f" in the median, {deadline.safe_gpus:,} to be {_SURE} sure"
        time = format_seconds(deadline.days * SECONDS_PER_DAY)
        servers = [f"{n:,}" for n in (deadline.gpus_in_servers, deadline.safe_gpus_in_servers) if n is not None]
        whole = f"; in servers of {deadline.server}: {' and '.join(servers)}" if servers else ""
        yield f"{time} take {deadline.gpus:,} x {budget.gpu}{sure}{whole}"
        if deadline.memory_gpus is not None:
            yield f"the memory of the model takes {deadline.memory_gpus:,}, which are counted here"
    text = chance_text(chances)
    if text is not None:
        yield text


_SURE = format_fraction((1 + BAND_LEVEL) / 2)
"""The chance of what keeps a limit at the high end of the band."""


def _facts(budget: Budget, bill: Bill | None) -> Iterator[Fact]:
    rows: list[tuple[str, float | None, tuple[float, float] | None, Callable[[float], str]]] = [
        ("GPU-hours", budget.gpu_hours, budget.gpu_hours_interval, format_hours),
        ("time", budget.days, budget.days_interval, partial(format_days, like=budget.days)),
        ("cost", budget.cost, budget.cost_interval, money_in(budget.currency)),
        ("energy", budget.energy_kwh, budget.energy_kwh_interval, format_kwh),
    ]
    if bill is not None:
        rows.append(("carbon", bill.carbon_kg, bill.carbon_kg_interval, format_kilograms))
    for label, value, span, written in rows:
        if value is not None:
            yield Fact.of(label, value, written, span)


def _origins(budget: Budget, bill: Bill | None) -> Iterator[str]:
    devices = f"{budget.gpus:,.0f} x {budget.gpu}" if budget.gpus is not None else f"{budget.gpu}"
    yield f"{devices}, {speed_text(budget)}"
    if budget.bought_flops_interval is not None:
        bought = format_range(*budget.bought_flops_interval, format_flops)
        yield (
            f"these GPU-hours do {bought} ({format_fraction(BAND_LEVEL)}); "
            "the ranges above are what all the compute of this plan may take"
        )
    yield from interruption_texts(budget)
    if budget.price_per_hour is not None:
        yield price_text(budget)
    if budget.chip_w is not None:
        yield power_text(budget)
    if bill is not None and bill.grid is not None:
        intensity = format_number(bill.grid_g_co2_per_kwh or 0.0)
        yield f"carbon: {bill.grid}, {intensity} g CO2e/kWh in {bill.grid_year}, location-based"


def speed_text(budget: Budget | Conversion) -> str:
    """Return the peak and the utilisation, and what that stands for: a default, a figure given, a measurement."""
    if budget.peak_flops_per_s is None or budget.utilisation is None:
        return ""
    peak = format_number(budget.peak_flops_per_s / 1e12, digits=4)
    text = f"{peak} TFLOP/s {budget.precision} at {format_fraction(budget.utilisation)} utilisation"
    source = budget.utilisation_source or ""
    if source.startswith((GIVEN, MEASURED)):
        lost = (budget.goodput or 1.0) < 1
        time = f"{format_fraction(budget.goodput or 1.0)} of the time" if lost else "assumed for every paid hour"
        return f"{text} ({source}; {time})"
    return f"{text} ({source.partition(': ')[0]})" if source else text


def price_text(budget: Budget | Conversion) -> str:
    """Return the price of an hour with its source and its date."""
    price = dated_price(
        budget.price_per_hour or 0.0, budget.price_source, budget.price_date, currency=budget.currency
    )
    return f"price: {price}"


def interruption_texts(budget: Budget | Conversion) -> Iterator[str]:
    """Yield what interruptions and the saves against them take of the time, and how often to save."""
    found = budget.interruptions
    if found is None:
        return
    count = budget.expected_interruptions
    number = "" if count is None else f", {format_number(count)} in all"
    of_each = "" if found.every_gpu_hours is None else f" (each GPU one in {format_hours(found.every_gpu_hours)})"
    shares = ", ".join(
        f"{format_fraction(share, digits=2)} {name}"
        for name, share in (
            ("saving", found.saving),
            ("redoing lost work", found.redone),
            ("restarting", found.restarting),
        )
    )
    every = format_seconds(found.every_hours * SECONDS_PER_HOUR)
    trains = f"{format_fraction(found.goodput)} of the time trains"
    yield f"one interruption every {every}{of_each}{number}: {trains}, {shares}"
    best, young = format_seconds(found.best_interval_seconds), format_seconds(found.young_interval_seconds)
    saved = f"saved every {format_seconds(found.interval_seconds)}; " if found.interval_given else ""
    yield f"{saved}best is to save every {best} (Daly 2006; {young} by Young 1974)"
    if budget.profile is not None:
        yield f"this replaces the time that the profile {budget.profile} takes as lost; its speed and its band stay"


def power_text(budget: Budget | Conversion) -> str:
    """Return the three numbers behind an energy."""
    chip, host = (format_number(watts) for watts in (budget.chip_w or 0.0, budget.host_w or 0.0))
    return (
        f"power: {chip} W for each chip and {host} W for its host, times a PUE of {format_number(budget.pue or 1.0)}"
    )


def band_remarks(budgets: Iterable[Budget], *, what: str) -> Iterator[str]:
    """Yield the bands and the prices behind ``what`` of several plans, each once."""
    budgets = [budget for budget in budgets if budget.gpu is not None]
    for band in sorted({budget.band for budget in budgets if budget.band is not None}):
        profiles = sorted({str(budget.profile) for budget in budgets if budget.band == band})
        yield f"{what}: {band_text(band)} (default utilisation, {' and '.join(profiles)})"
    if any(budget.band is None for budget in budgets):
        sources = sorted({str(budget.utilisation_source) for budget in budgets if budget.band is None})
        yield f"{what}: utilisation {'; '.join(sources)}"
    yield from dict.fromkeys(price_text(budget) for budget in budgets if budget.price_per_hour is not None)


def conversion_report(result: Conversion) -> Report:
    """Return the amounts, and below them their assumptions."""
    rows: tuple[tuple[str, float | None, Callable[[float], str], tuple[float, float] | None], ...] = (
        ("compute", result.flops, lambda flops: format_flops(flops, digits=4), result.flops_interval),
        ("", result.flops, format_pf_days, None),
        ("GPU-hours", result.gpu_hours, format_hours, result.gpu_hours_interval),
        ("time", result.days, partial(format_days, like=result.days), result.days_interval),
        ("cost", result.cost, money_in(result.currency), result.cost_interval),
        ("energy", result.energy_kwh, format_kwh, result.energy_kwh_interval),
        ("carbon", result.carbon_kg, format_kilograms, result.carbon_kg_interval),
    )
    remarks = [*keeping_remarks(result, result.chances)]
    if result.peak_flops_per_s is not None:
        devices = f"{result.gpus:,} x {result.gpu}" if result.gpus else f"{result.gpu}"
        remarks.append(f"{devices}, {speed_text(result)}")
        if result.profile is not None:
            remarks.append(f"utilisation: {result.utilisation_source}")
    remarks += interruption_texts(result)
    if result.price_per_hour is not None:
        remarks.append(price_text(result))
    if result.chip_w is not None:
        remarks.append(power_text(result))
    if result.grid is not None:
        intensity = format_number(result.grid_g_co2_per_kwh or 0.0)
        remarks.append(f"carbon: {result.grid}, {intensity} g CO2e/kWh in {result.grid_year}, location-based")
    return Report(
        title=format_flops(result.flops),
        facts=[Fact.of(label, value, written, span) for label, value, written, span in rows if value is not None],
        level="" if result.interval_level is None else format_fraction(result.interval_level),
        remarks=remarks,
    )
