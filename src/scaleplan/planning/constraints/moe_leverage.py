"""The compute that a mixture of experts would save, as advice on a dense plan (see :mod:`scaleplan.laws.mixtures`).

The plan stays the dense one: the leverage is its compute over that with which a mixture reaches its loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.errors import Notice, UsageError, quote
from scaleplan.laws.mixtures import FITTED_FLOPS, efficiency_leverage
from scaleplan.planning.constraints.base import EffectiveQuantity
from scaleplan.planning.constraints.recipe import Scaled
from scaleplan.planning.solver import bisect
from scaleplan.units import format_factor, format_flops, parse_fraction, parse_positive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.laws.base import LossSurface
    from scaleplan.planning.constraints.base import Point

__all__ = ["MixtureLeverage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureLeverage(EffectiveQuantity):
    """A mixture with this share of its experts active, and this granularity (2*width/(width of an expert))."""

    scarcity: ClassVar[bool] = False
    advice: ClassVar[bool] = True

    activation: float
    granularity: float

    @classmethod
    def from_options(cls, options: Mapping[str, str | float | None]) -> Self:
        """Read ``A,G``: the share of active experts and the granularity.

        Raises UsageError for anything but two numbers that can be.
        """
        text = str(options["moe_leverage"])
        first, comma, second = text.partition(",")
        if not comma:
            raise UsageError(
                f"{quote(text)} is not a share and a granularity", hint="write both, such as --moe-leverage 0.031,12"
            )
        found = cls(activation=parse_fraction(first.strip()), granularity=parse_positive(second.strip()))
        found.factor(1e21)  # refuses what cannot be
        return found

    def factor(self, flops: float) -> float:
        """Return the leverage of the mixture trained with ``flops``."""
        return efficiency_leverage(activation=self.activation, granularity=self.granularity, flops=flops)

    def equivalent_flops(self, flops: float) -> float:
        """Return the compute with which the mixture reaches what a dense model reaches with ``flops``.

        The leverage depends on the mixture's own compute: C_moe * EL(C_moe) = C_dense, which rises with C_moe.
        """

        def excess(log_flops: float) -> float:
            compute = math.exp(log_flops)
            return compute * self.factor(compute) - flops

        return math.exp(bisect(excess, 0.0, math.log(flops)))

    def on(self, surface: LossSurface) -> Scaled:
        """Return the map that changes nothing: the plan is the dense one."""
        return Scaled(most=(1.0, 1.0))

    def facts(self, point: Point) -> dict[str, object]:
        """Return the leverage and the compute of the mixture."""
        compute = self.equivalent_flops(point.flops)
        return {"moe_leverage": point.flops / compute, "moe_flops": compute}

    def notices(self, point: Point) -> tuple[Notice, ...]:
        """Refuse mixtures as the base, and warn where the fit ends."""
        if point.preset.is_moe:
            raise UsageError(
                f"--moe-leverage compares with a dense model, and {point.preset.id} is a law of mixtures",
                hint="choose a dense law, such as besiroglu-2024",
            )
        low, high = FITTED_FLOPS
        compute = self.equivalent_flops(point.flops)
        message = "the leverage of a mixture is advice carried over from Ling 2025"
        if compute > high:
            message += f", here {format_factor(compute / high)} above the compute of its runs"
        elif compute < low:
            message += f", here {format_factor(low / compute)} below the compute of its runs"
        return (Notice(code="carried_over", message=message),)

    @staticmethod
    def remarks(facts: Mapping[str, object]) -> tuple[str, ...]:
        """Return what the mixture would save."""
        factor, compute = facts["moe_leverage"], facts["moe_flops"]
        if not isinstance(factor, float) or not isinstance(compute, float):
            return ()
        less = f"{format_factor(factor)} less compute, {format_flops(compute)}"
        return (f"such a mixture reaches this dense plan's loss with {less}",)
