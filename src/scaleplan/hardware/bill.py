"""What a run takes, how sure that is, and of what date the figures are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.hardware.energy import Grids

if TYPE_CHECKING:
    from scaleplan.hardware.budget import Budget
    from scaleplan.hardware.funding import Catalogue

__all__ = ["Bill", "bill_of"]

_GIVEN = "given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What the run takes, each with the range that the error of utilisation leaves, and the dates of the figures.

    ``factor`` is that error: real accelerator-hours lie within a factor of it either way; None where the utilisation
    was given. Units: hours of one accelerator, days on all, US dollars, kWh from the grid, kg CO2e.
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


def bill_of(budget: Budget, grid: str | None, catalogue: Catalogue) -> Bill:
    """Return what the run takes, with the range that the error of a default utilisation leaves."""
    table = None if budget.utilisation_source in {None, _GIVEN} else catalogue.utilisations
    factor = None if table is None else table.band
    price = catalogue.prices.default(budget.gpu or "")
    usual = price is not None and budget.price_per_hour == price.usd_per_hour
    where = None if grid is None else Grids().get(grid)

    def spread(value: float | None) -> tuple[float, float] | None:
        return None if value is None else (value / (factor or 1.0), value * (factor or 1.0))

    return Bill(
        factor=factor,
        gpu_hours=spread(budget.gpu_hours),
        days=spread(budget.days),
        cost=spread(budget.cost),
        energy_kwh=spread(budget.energy_kwh),
        carbon_kg=None if where is None or budget.energy_kwh is None else where.carbon_kg(budget.energy_kwh),
        grid=None if where is None else where.code,
        grid_g_co2_per_kwh=None if where is None else where.g_co2_per_kwh,
        grid_year=None if where is None else where.year,
        price_date=price.date if price is not None and usual else None,
        utilisation_date=None if table is None else table.as_of,
    )
