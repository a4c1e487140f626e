"""The worth of repeated data (Muennighoff et al. 2023, arXiv:2305.16264, equations 5, 10 and 11).

With ``U`` unique tokens of ``D`` seen, ``D' = U + U*R*(1 - e^(-r/R))`` at ``r = D/U - 1`` repetitions, and the same
for parameters beyond those that ``U`` tokens can use: the size for which ``U`` are optimal by the base law. That
clamp is essential: without it extra parameters never lose value and the optimum drifts to models too large.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from scaleplan.arrays import minimum
from scaleplan.errors import Notice, UnreachableError
from scaleplan.laws.additive import DataConstrained, worth
from scaleplan.planning.constraints.base import EffectiveQuantity
from scaleplan.units import format_number, parse_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.laws.base import LossSurface, Number
    from scaleplan.planning.constraints.base import Point

__all__ = ["R_PARAMS", "R_TOKENS", "Repetition"]

R_TOKENS, R_PARAMS = 15.387756, 5.309743  # R_D* and R_N*, fitted on the authors' 182 runs

_OWN = "muennighoff-2023"

_EPOCHS = (
    (40.0, "data_exhausted", "little is left to learn beyond 40; this plan is not useful without more data"),
    (16.0, "data_worn", "beyond 16 a further pass is worth little over a third of fresh data; get more data"),
    (4.0, "data_repeated", "up to 4 repeated tokens are nearly as good as new ones; more data would help"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition(EffectiveQuantity):
    """A limited number of unique tokens."""

    unique_tokens: float

    @classmethod
    def from_options(cls, options: Mapping[str, str | float | None]) -> Self:
        """Read the number of unique tokens."""
        amount = options["unique_tokens"]
        assert amount is not None
        return cls(unique_tokens=parse_count(amount, what="tokens"))

    def on(self, surface: LossSurface) -> RepeatedData:
        """Return the map in front of a law, with the law's own optimal size for the unique tokens.

        A law that was fitted to repeated data has decays of its own.
        """
        decays = (surface.R_D, surface.R_N) if isinstance(surface, DataConstrained) else (R_TOKENS, R_PARAMS)
        return RepeatedData(unique_tokens=self.unique_tokens, path=surface.expansion_path(), decays=decays)

    def facts(self, point: Point) -> dict[str, object]:
        """Return epochs, effective quantities, and the loss with twice the data."""
        params, tokens = self.on(point.surface).apply(point.params, point.tokens)
        return {
            "unique_tokens": self.unique_tokens,
            "epochs": self.epochs(point.tokens),
            "effective_tokens": tokens,
            "effective_params": params,
            "loss_if_data_doubled": self._doubled(point),
        }

    def epochs(self, tokens: float) -> float:
        """Return how often each unique token that is used is seen."""
        return tokens / min(tokens, self.unique_tokens)

    def notices(self, point: Point) -> tuple[Notice, ...]:
        """Warn of many epochs, and of a law that repetition was not measured on."""
        notices = []
        epochs = self.epochs(point.tokens)
        for most, code, meaning in _EPOCHS:
            if epochs > most:
                message = f"the data repeat for {format_number(epochs)} epochs: {meaning}"
                notices.append(Notice(code=code, message=message))
                break
        if point.preset.id != _OWN and not isinstance(point.surface, DataConstrained):
            part = "" if point.surface.expansion_path() else ", for the tokens alone"
            message = (
                f"the value of repeated data is carried over from {_OWN} to {point.preset.id}{part}; "
                "it was not measured on this law"
            )
            notices.append(Notice(code="carried_over", message=message))
        return tuple(notices)

    @staticmethod
    def remarks(facts: Mapping[str, object]) -> tuple[str, ...]:
        """Return the loss with more unique data."""
        better = facts["loss_if_data_doubled"]
        if not isinstance(better, float):
            return ()
        return (f"with twice the unique data the loss would be {format_number(better, digits=4)}",)

    def _doubled(self, point: Point) -> float | None:
        more = replace(self, unique_tokens=2 * self.unique_tokens)
        frontier = point.changed(self, more)
        if point.spent is None:
            return frontier.loss_at(point.params, point.tokens)
        try:
            return frontier.best(point.spent)[2]
        except UnreachableError:  # a limit on epochs may need the data to be few
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedData:
    """The map of :class:`Repetition` for one law; ``path`` is (c, p) of its optimal size c*D^p, if it has one.

    ``decays`` are how many repetitions of tokens, and of surplus parameters, wear off to 1/e.
    """

    unique_tokens: float
    path: tuple[float, float] | None
    decays: tuple[float, float] = (R_TOKENS, R_PARAMS)

    most: tuple[float, float] = (1.0, 1.0)

    def apply(self, params: Number, tokens: Number) -> tuple[Number, Number]:
        """Return the effective (params, tokens)."""
        unique = minimum(tokens, self.unique_tokens)
        effective = unique * worth(tokens / unique - 1.0, self.decays[0])
        if self.path is None:
            return params, effective
        scale, power = self.path
        usable = minimum(params, scale * unique**power)
        return usable * worth(params / usable - 1.0, self.decays[1]), effective

    def kinks(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the sizes and the tokens at which the map has a kink."""
        sizes = () if self.path is None else (self.path[0] * self.unique_tokens ** self.path[1],)
        return sizes, (self.unique_tokens,)
