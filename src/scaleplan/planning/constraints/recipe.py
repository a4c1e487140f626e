"""The worth of a better recipe: an explicit multiplier of compute, chosen by the user.

No value is offered, because the published ones disagree: Moonshot reports that Muon needs 0.519 of AdamW's compute
(arXiv:2502.16982), a later study finds 1.4x at 0.1B parameters falling to 1.1x at 1.2B (arXiv:2509.02046).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.errors import Notice
from scaleplan.planning.constraints.base import EffectiveQuantity
from scaleplan.units import format_plain, parse_positive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.laws.base import LossSurface, Number
    from scaleplan.planning.constraints.base import Point

__all__ = ["Recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(EffectiveQuantity):
    """A recipe that reaches with C what the law's own reaches with ``multiplier * C``.

    Size and tokens both count for sqrt(multiplier) of themselves, since a multiplier alone does not determine
    which of the two the recipe uses better; the optimum keeps its shape where the law's exponents are equal.
    """

    scarcity: ClassVar[bool] = False

    multiplier: float

    @classmethod
    def from_options(cls, options: Mapping[str, str | float | None]) -> Self:
        """Read the multiplier."""
        amount = options["compute_multiplier"]
        assert amount is not None
        return cls(multiplier=parse_positive(amount))

    def on(self, surface: LossSurface) -> Scaled:
        """Return the map, the same in front of every law."""
        root = math.sqrt(self.multiplier)
        return Scaled(most=(root, root))

    def facts(self, point: Point) -> dict[str, object]:
        """Return the multiplier."""
        return {"compute_multiplier": self.multiplier}

    def notices(self, point: Point) -> tuple[Notice, ...]:
        """Warn that the multiplier is an assumption."""
        if self.multiplier == 1:
            return ()
        message = (
            f"a compute multiplier of {format_plain(self.multiplier)} is your assumption, applied at every scale; "
            "published gains range from 1.1x to 1.9x and disagree on whether they last"
        )
        return (Notice(code="assumed_multiplier", message=message),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """Constant factors on size and tokens."""

    most: tuple[float, float]

    def apply(self, params: Number, tokens: Number) -> tuple[Number, Number]:
        """Return the effective (params, tokens)."""
        return self.most[0] * params, self.most[1] * tokens

    def kinks(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return none."""
        return (), ()
