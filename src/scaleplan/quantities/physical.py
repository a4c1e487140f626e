"""How much energy, carbon dioxide, memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.errors import quote
from scaleplan.quantities.amounts import case_hint
from scaleplan.quantities.numeral import convert, scan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import SupportsFloat

    from scaleplan.quantities.numeral import Scanned

__all__ = ["parse_gigabytes", "parse_kilograms", "parse_kwh"]

_KWH = {"Wh": -3, "kWh": 0, "MWh": 3, "GWh": 6, "TWh": 9}
_KILOGRAMS = {"g": -3, "kg": 0, "t": 3, "kt": 6}
_GIGABYTES = {"B": -9, "kB": -6, "KB": -6, "MB": -3, "GB": 0, "TB": 3, "PB": 6}
_BINARY = {"KiB": 2**10 / 1e9, "MiB": 2**20 / 1e9, "GiB": 2**30 / 1e9, "TiB": 2**40 / 1e9}


def parse_kwh(value: str | SupportsFloat) -> float:
    """Return an energy in kWh: ``800 kWh``, ``1.2 MWh``; a plain number is kWh.

    Raises
    ------
    QuantityError
        For any other unit: a power (``kW``) is not an energy.

    """
    if not isinstance(value, str):
        return convert(value)
    return _decimal(scan(value, example="1.2 MWh"), _KWH, base="kWh", what="energy")


def parse_kilograms(value: str | SupportsFloat) -> float:
    """Return a mass of carbon dioxide in kg: ``500 kg``, ``1.2 t``, ``3 tCO2e``; a plain number is kg.

    Raises
    ------
    QuantityError
        For any other unit.

    """
    if not isinstance(value, str):
        return convert(value)
    scanned = scan(value, example="500 kg")
    bare = re.sub(r"(?<=[gt]) ?CO2(?:eq?)?$", "", scanned.unit)
    return _decimal(scanned._replace(unit=bare), _KILOGRAMS, base="kg", what="mass")


def parse_gigabytes(value: str | SupportsFloat) -> float:
    """Return an amount of memory in GB (1e9 bytes): ``80GB``, ``80 GiB`` (85.9 GB); a plain number is GB.

    Raises
    ------
    QuantityError
        For any other unit.

    """
    if not isinstance(value, str):
        return convert(value)
    scanned = scan(value, example="80GB")
    if scanned.unit in _BINARY:
        return scanned.value(factor=_BINARY[scanned.unit])
    return _decimal(scanned, _GIGABYTES, base="GB", what="memory")


def _decimal(scanned: Scanned, units: Mapping[str, int], *, base: str, what: str) -> float:
    if scanned.unit and scanned.unit not in units:
        hint = case_hint(scanned, units) or f"for example {scanned.numeral} {base}"
        message = f"{quote(scanned.unit)} in {quote(scanned.text)} is not a unit of {what}"
        raise scanned.refuse_unit(message, hint=hint)
    return scanned.value(shift=units[scanned.unit or base])
