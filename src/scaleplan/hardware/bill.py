"""Bill a run: its hours, days, money, energy and carbon as ranges, with the dates of the figures behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan.record import Record

if TYPE_CHECKING:
    from scaleplan.hardware.budget import Budget, Catalogue
    from scaleplan.hardware.energy import PowerGrid

__all__ = ["Bill", "bill_of", "carbon_of"]


class Bill(Record):
    """Hours, days, cost, energy and carbon of a run, as ranges, and the dates of the figures behind them.

    Real accelerator-hours lie within ``factor`` either way; None where the utilisation was given. Units: hours of one
    accelerator, days on all, US dollars, kWh from the grid, kg CO2e.
    """

    factor: float | None
    gpu_hours: tuple[float, float] | None
    days: tuple[float, float] | None
    cost: tuple[float, float] | None
    energy_kwh: tuple[float, float] | None
    carbon_kg: float | None
    grid: str | None
    grid_g_co2_per_kwh: float | None
    grid_year: int | None
    price_date: str | None
    utilisation_date: str | None
    carbon_kg_interval: tuple[float, float] | None = None


def bill_of(budget: Budget, grid: str | None, catalogue: Catalogue) -> Bill:
    """Return the bill of a run, with the range that the error of a default utilisation leaves."""
    where = None if grid is None else catalogue.grids.get(grid)

    def point(value: float | None) -> tuple[float, float] | None:
        return None if value is None else (value, value)

    return Bill(
        factor=budget.band,
        gpu_hours=budget.gpu_hours_interval or point(budget.gpu_hours),
        days=budget.days_interval or point(budget.days),
        cost=budget.cost_interval or point(budget.cost),
        energy_kwh=budget.energy_kwh_interval or point(budget.energy_kwh),
        price_date=budget.price_date,
        utilisation_date=None if budget.band is None else catalogue.utilisations.as_of,
        **carbon_of(budget, where),
    )


def carbon_of(budget: Budget, grid: PowerGrid | None) -> dict[str, Any]:
    """Return the fields of a result that state carbon on a grid: amount, range, and the intensity behind them."""
    if grid is None:
        return dict.fromkeys(("carbon_kg", "carbon_kg_interval", "grid", "grid_g_co2_per_kwh", "grid_year"))
    span = budget.energy_kwh_interval
    return {
        "carbon_kg": None if budget.energy_kwh is None else grid.carbon_kg(budget.energy_kwh),
        "carbon_kg_interval": None if span is None else (grid.carbon_kg(span[0]), grid.carbon_kg(span[1])),
        "grid": grid.code,
        "grid_g_co2_per_kwh": grid.g_co2_per_kwh,
        "grid_year": grid.year,
    }
