"""Amounts and their texts: ``1e21``, ``2.5 ZFLOP``, ``7B``, ``30d``, ``$250k`` ↔ float, and back."""

from scaleplan.quantities.amounts import parse_count, parse_fraction, parse_integer, parse_positive, parse_ratio
from scaleplan.quantities.compute import FLOP_PER_PF_DAY, parse_flops

__all__ = [
    "FLOP_PER_PF_DAY",
    "parse_count",
    "parse_flops",
    "parse_fraction",
    "parse_integer",
    "parse_positive",
    "parse_ratio",
]
