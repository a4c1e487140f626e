"""A conversion for people: one amount of compute in every unit that is determined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.report import Fact, Report
from scaleplan.quantities import (
    format_flops,
    format_fraction,
    format_hours,
    format_kilograms,
    format_kwh,
    format_number,
    format_pf_days,
    format_usd,
    format_usd_per_hour,
)

if TYPE_CHECKING:
    from scaleplan.hardware.conversion import Conversion

__all__ = ["conversion_report"]


def conversion_report(result: Conversion) -> Report:
    """Return the amounts, and below them what they rest on."""
    amounts = {
        "compute": format_flops(result.flops, digits=4),
        "": format_pf_days(result.flops),
        "accelerator-hours": None if result.gpu_hours is None else format_hours(result.gpu_hours),
        "wall clock": None if result.days is None else f"{format_number(result.days)} days",
        "money": None if result.cost is None else format_usd(result.cost),
        "energy": None if result.energy_kwh is None else format_kwh(result.energy_kwh),
        "carbon": None if result.carbon_kg is None else format_kilograms(result.carbon_kg),
    }
    remarks = []
    if result.peak_flops_per_s is not None and result.utilisation is not None:
        devices = f"{result.gpus:,} x {result.gpu}" if result.gpus else f"{result.gpu}"
        peak = format_number(result.peak_flops_per_s / 1e12, digits=4)
        used = format_fraction(result.utilisation)
        remarks.append(
            f"{devices} at {peak} TFLOP/s {result.precision} and {used} utilisation ({result.utilisation_source})"
        )
    if result.price_per_hour is not None:
        remarks.append(f"{format_usd_per_hour(result.price_per_hour)} for one accelerator")
    if result.grid is not None:
        remarks.append(
            f"grid {result.grid}: {result.grid_g_co2_per_kwh:g} g CO2e/kWh ({result.grid_year}), location-based"
        )
    return Report(
        title=format_flops(result.flops),
        facts=tuple(Fact(label=label, value=value) for label, value in amounts.items() if value is not None),
        remarks=tuple(remarks),
    )
