"""The cost of quantising a trained model (Kumar et al. 2024, arXiv:2411.04330).

delta = C_T * D^gamma_D / N^gamma_N * exp(-P/gamma + b) is added to the loss. It grows with the tokens, so that
beyond some number of them further training makes the quantised model worse. The sign of b follows that of the other
biases. Nothing changes in training: the plan is the same, and so is its loss before quantisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.errors import Notice, UsageError
from scaleplan.planning.constraints.base import EffectiveQuantity
from scaleplan.planning.constraints.recipe import Scaled
from scaleplan.planning.solver import minimum
from scaleplan.units import format_count, format_number, format_plain, parse_positive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.laws.base import LossSurface
    from scaleplan.planning.constraints.base import Point

__all__ = ["Quantisation"]

_SCALE, _GAMMA_TOKENS, _GAMMA_PARAMS, _GAMMA_BITS, _BIAS = 0.0598, 0.5068, 0.3439, 0.5907, 1.1277

_LEAST_BITS, _MOST_BITS = 3.0, 16.0

_SEARCHED = (math.log(1e3), math.log(1e30))

_OWN = "kumar-2024"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation(EffectiveQuantity):
    """Weights quantised to ``bits`` after training."""

    scarcity: ClassVar[bool] = False

    bits: float

    @classmethod
    def from_options(cls, options: Mapping[str, str | float | None]) -> Self:
        """Read the bits; raises UsageError for bits outside 3 to 16."""
        amount = options["ptq_bits"]
        assert amount is not None
        bits = parse_positive(amount)
        if not _LEAST_BITS <= bits <= _MOST_BITS:
            raise UsageError(
                f"{format_plain(bits)} bits are outside the 3 to 16 that were measured", hint="try --ptq-bits 4"
            )
        return cls(bits=bits)

    def increase(self, params: float, tokens: float) -> float:
        """Return what quantisation adds to the loss, in nats per token."""
        size = _SCALE * tokens**_GAMMA_TOKENS / params**_GAMMA_PARAMS
        return size * math.exp(-self.bits / _GAMMA_BITS + _BIAS)

    def critical_tokens(self, surface: LossSurface, params: float) -> float:
        """Return the tokens beyond which more training raises the loss after quantisation."""

        def objective(place: float) -> float:
            tokens = math.exp(place)
            return surface.reducible(params, tokens) + self.increase(params, tokens)

        return math.exp(minimum(objective, *_SEARCHED))

    def on(self, surface: LossSurface) -> Scaled:
        """Return the map that changes nothing: quantisation comes after training."""
        return Scaled(most=(1.0, 1.0))

    def facts(self, point: Point) -> dict[str, object]:
        """Return what quantisation adds to the loss, the loss after it, and the critical tokens."""
        increase = self.increase(point.params, point.tokens)
        return {
            "ptq_bits": self.bits,
            "ptq_loss_increase": increase,
            "ptq_loss": point.loss + increase,
            "ptq_critical_tokens": self.critical_tokens(point.surface, point.params),
        }

    def notices(self, point: Point) -> tuple[Notice, ...]:
        """Warn of training that hurts, and name the source of the constants."""
        found = []
        critical = self.critical_tokens(point.surface, point.params)
        if point.tokens > critical:
            message = (
                f"quantised to {format_number(self.bits)} bits, this model gets worse with training beyond "
                f"{format_count(critical)} tokens; train fewer, or keep more bits"
            )
            found.append(Notice(code="quantisation_hurts", message=message))
        if point.preset.id != _OWN:
            message = (
                f"the loss of quantisation is carried over from {_OWN} to {point.preset.id}, in nats per token of "
                "its own text: read it as a size, not as a figure"
            )
            found.append(Notice(code="carried_over", message=message))
        return tuple(found)

    @staticmethod
    def remarks(facts: Mapping[str, object]) -> tuple[str, ...]:
        """Return the tokens up to which training helps a model that will be quantised."""
        bits, critical = facts["ptq_bits"], facts["ptq_critical_tokens"]
        if not isinstance(bits, float) or not isinstance(critical, float):
            return ()
        return (
            f"quantised to {format_number(bits)} bits, this size gains from up to {format_count(critical)} tokens",
        )
