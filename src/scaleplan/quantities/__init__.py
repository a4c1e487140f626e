"""Amounts and their texts: ``1e21``, ``2.5 ZFLOP``, ``7B``, ``30d``, ``$250k`` ↔ float, and back."""

from scaleplan.quantities.amounts import parse_count, parse_fraction, parse_integer, parse_positive, parse_ratio
from scaleplan.quantities.compute import FLOP_PER_PF_DAY, parse_flops
from scaleplan.quantities.duration import parse_days, parse_hours, parse_seconds
from scaleplan.quantities.kinds import KINDS, exact, parse
from scaleplan.quantities.money import parse_usd, parse_usd_per_hour
from scaleplan.quantities.physical import parse_gigabytes, parse_kilograms, parse_kwh
from scaleplan.quantities.text import (
    format_count,
    format_flops,
    format_fraction,
    format_gigabytes,
    format_hours,
    format_kilograms,
    format_kwh,
    format_number,
    format_pf_days,
    format_seconds,
    format_usd,
    format_usd_per_hour,
)

__all__ = [
    "FLOP_PER_PF_DAY",
    "KINDS",
    "exact",
    "format_count",
    "format_flops",
    "format_fraction",
    "format_gigabytes",
    "format_hours",
    "format_kilograms",
    "format_kwh",
    "format_number",
    "format_pf_days",
    "format_seconds",
    "format_usd",
    "format_usd_per_hour",
    "parse",
    "parse_count",
    "parse_days",
    "parse_flops",
    "parse_fraction",
    "parse_gigabytes",
    "parse_hours",
    "parse_integer",
    "parse_kilograms",
    "parse_kwh",
    "parse_positive",
    "parse_ratio",
    "parse_seconds",
    "parse_usd",
    "parse_usd_per_hour",
]
