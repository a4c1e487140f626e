"""How finely are experts split? More granularity lowers the loss and costs routing (arXiv:2402.07871)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from scaleplan.laws.fine_grained_moe import FineGrainedMoE
from scaleplan.notices import Notice
from scaleplan.planning.variants.base import Variant, choice_of
from scaleplan.quantities import format_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.planning.constraint import Point
    from scaleplan.presets.preset import Preset
    from scaleplan.quantities.limits import Limit

__all__ = ["Granularity"]

_FITTED = 16.0  # the finest of the runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Granularity(Variant):
    """A granularity, 4*width/(width of an expert)."""

    value: float | None = None
    auto: bool = False

    @classmethod
    def from_words(cls, words: Mapping[str, str | float | None]) -> Self:
        """Read the granularity."""
        value, auto = choice_of("granularity", words)
        return cls(value=value, auto=auto)

    def limit(self, preset: Preset) -> Limit | None:
        """Return none."""
        return None

    def facts(self, point: Point) -> dict[str, object]:
        """Return the granularity, the experts and the parameters of all of them."""
        law = point.surface
        assert isinstance(law, FineGrainedMoE)
        return {
            "granularity": law.granularity,
            "experts": law.experts,
            "total_params": law.total_params(point.params),
        }

    def notices(self, point: Point) -> tuple[Notice, ...]:
        """Say what was assumed, and where the runs end."""
        law = point.surface
        assert isinstance(law, FineGrainedMoE)
        if self.value is None and not self.auto:
            message = f"a granularity of {law.granularity:g} is assumed; give --granularity, a number or auto"
            return (Notice(code="granularity_assumed", message=message),)
        if law.granularity > _FITTED:
            message = (
                f"a granularity of {law.granularity:g} is {format_number(law.granularity / _FITTED)}x the finest"
            )
            return (
                Notice(code="extrapolated_granularity", message=f"{message} this law was fitted on ({_FITTED:g})"),
            )
        return ()
