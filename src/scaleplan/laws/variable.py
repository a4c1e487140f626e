"""A law of size and tokens with one more quantity that is chosen rather than fitted: experts, granularity."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.laws.base import LossSurface, Number

if TYPE_CHECKING:
    from scaleplan.laws.additive import Additive

__all__ = ["VariableSurface"]


class VariableSurface(LossSurface):
    """A law of mixtures of experts that is additive once the further quantity is chosen; sizes are active ones."""

    __slots__ = ()

    variable: ClassVar[str]
    """The name of the quantity, which is an attribute of the law."""
    choices: ClassVar[tuple[float, ...]]
    """The values it may be chosen among."""

    @abstractmethod
    def choose(self, value: float) -> Self:
        """Return the law for another value of the quantity."""

    @property
    @abstractmethod
    def reduced(self) -> Additive:
        """The additive law of active parameters and tokens for the chosen value."""

    @abstractmethod
    def total_params(self, params: float) -> float:
        """Return the parameters of all experts together, for ``params`` active ones."""

    @property
    def routing_flops(self) -> float:
        """FLOP per token of the routers of a model of one active parameter; they grow with N^(2/3)."""
        return 0.0

    @property
    def floor(self) -> float:
        """The irreducible loss."""
        return self.reduced.floor

    def reducible(self, params: Number, tokens: Number) -> Number:
        """Return the terms of size and tokens."""
        return self.reduced.reducible(params, tokens)

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return the loss of ``params`` active parameters on ``tokens``."""
        return self.reduced.loss(params, tokens)

    def best_split(self, product: Number) -> tuple[Number, Number]:
        """Return (active params, tokens) of least loss at ``params * tokens = product``."""
        return self.reduced.best_split(product)

    def least_product(self, loss: Number) -> Number:
        """Return the least ``params * tokens`` that reaches a loss above the floor."""
        return self.reduced.least_product(loss)

    def size_overhead(self, factor: float) -> float:
        """Return the compute that a size ``factor`` times the optimum wastes, at every budget spent as k*N*D."""
        return self.reduced.size_overhead(factor)

    def expansion_path(self) -> tuple[float, float] | None:
        """Return (c, p) where the size for which D tokens are optimal is c*D^p."""
        return self.reduced.expansion_path()

    def tokens_for(self, loss: Number, params: Number) -> Number:
        """Return the tokens with which ``params`` reach ``loss``."""
        return self.reduced.tokens_for(loss, params)

    def params_for(self, loss: Number, tokens: Number) -> Number:
        """Return the active parameters with which ``tokens`` reach ``loss``."""
        return self.reduced.params_for(loss, tokens)
