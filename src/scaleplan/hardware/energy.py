"""The electricity that a run takes, and the carbon that this emits where it runs.

``E_kWh = accelerator-hours * (chip_kW + host_kW) * PUE`` and ``CO2_kg = E_kWh * intensity_g / 1000``. Chip and host
are measured where a measurement is known; else the chip takes a share of its design power (``load``), and the host a
share of that. Emissions are location-based: the grid's own intensity of a named year, and offsets are never
subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.files import read_data
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scaleplan.hardware.accelerators import Accelerator

__all__ = ["HOST", "LOAD", "PUE", "MeanPower", "PowerDraw", "PowerGrid", "PowerGrids"]

LOAD = {"tuned": 0.85, "input-bound": 0.65, "full": 1.0}
"""Mean share of the design power: tuned large-model training; small or input-bound jobs (0.6 to 0.7); the
convention of most papers (Llama 2, Llama 3, BLOOM: design power times hours)."""

HOST = {"server": 1.25, "none": 1.0}
"""Power of processor, fans, network and storage on top of the accelerators': 1.2 to 1.4 is typical of 8-GPU
servers (their nameplate maxima suggest 1.8 to 2.0); papers mostly leave it out."""

PUE = {"hyperscale": 1.10, "colocation": 1.25, "world-average": 1.56}
"""Power usage effectiveness of the building: Google 1.09 to 1.10 and Meta 1.08; a colocation site; the mean of
the 2024 world-wide survey."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanPower:
    """The mean power of one accelerator: its own, its share of the host, and the factor of the building."""

    chip_w: float
    host_w: float
    pue: float

    @property
    def kw(self) -> float:
        """Kilowatts from the grid."""
        return (self.chip_w + self.host_w) * self.pue / 1000

    def kwh(self, gpu_hours: float) -> float:
        """Return the kilowatt-hours of so many accelerator-hours."""
        return gpu_hours * self.kw

    def gpu_hours(self, kwh: float) -> float:
        """Return the accelerator-hours that so many kilowatt-hours feed."""
        return kwh / self.kw


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerDraw:
    """The factors from the design power of the accelerators to the power taken from the grid.

    A factor of None leaves the choice to what was measured on the device, and to the defaults of :data:`LOAD` and
    :data:`HOST` where nothing was.
    """

    load: float | None = None
    """Mean share of the design power, above 0; measured whole-system power may exceed 1."""
    host: float | None = None
    """The rest of the server, as a factor of at least 1."""
    pue: float = PUE["hyperscale"]
    """Power usage effectiveness of the building, as a factor of at least 1."""

    def __post_init__(self) -> None:
        if self.load is not None and not 0 < self.load <= 2:
            raise UsageError(
                f"a load lies between 0 and 2, not at {format_plain(self.load)}",
                hint=f"try {format_plain(LOAD['tuned'])}",
            )
        for name, value in (("host", self.host), ("pue", self.pue)):
            if value is not None and not 1 <= value <= 5:
                raise UsageError(
                    f"{name} is a factor between 1 and 5, not {format_plain(value)}", hint="1 means no overhead"
                )

    def of(self, device: Accelerator) -> MeanPower | None:
        """Return the mean power of one device while it trains; None where its power is not published."""
        chip, host = device.power_w, device.host_power_w
        if self.load is not None or chip is None:
            if device.tdp_w is None:
                return None
            chip = device.tdp_w * (LOAD["tuned"] if self.load is None else self.load)
        if self.host is not None or host is None:
            host = chip * ((HOST["server"] if self.host is None else self.host) - 1)
        return MeanPower(chip_w=chip, host_w=host, pue=self.pue)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerGrid:
    """The carbon intensity of a country's or a cloud region's electricity in one year."""

    code: str
    name: str
    kind: str
    g_co2_per_kwh: float
    year: int
    source: str

    def carbon_kg(self, kwh: float) -> float:
        """Return the emissions in kg CO2e."""
        return kwh * self.g_co2_per_kwh / 1000


class PowerGrids:
    """The grids by code or name, from ``grid_carbon.toml``: the bundled ones, and the user's own, which win."""

    def __init__(self, folders: Iterable[Path] | None = None) -> None:
        self._grids: dict[str, PowerGrid] = {}
        for top in read_data("grid_carbon.toml", folders):
            for table in top.tables("grid"):
                grid = PowerGrid(
                    code=table.text("code"),
                    name=table.text("name"),
                    kind=table.choice("kind", ("country", "cloud-region"), "country"),
                    g_co2_per_kwh=table.number("g_co2_per_kwh", at_least=0),
                    year=table.integer("year", at_least=1990),
                    source=table.text("source"),
                )
                table.done()
                self._grids[grid.code] = grid
            top.done()

    def all(self) -> tuple[PowerGrid, ...]:
        """Return every grid."""
        return tuple(self._grids.values())

    def get(self, name: str) -> PowerGrid:
        """Return the grid of a code (``FRA``, ``gcp:us-central1``, ``us-central1``) or a name (``France``)."""
        wanted = name.strip().casefold()
        for grid in self._grids.values():
            if wanted in {grid.code.casefold(), grid.name.casefold(), grid.code.rpartition(":")[2].casefold()}:
                return grid
        names = [text for grid in self._grids.values() for text in (grid.code, grid.name)]
        raise UnknownNameError("grid", name, names)
