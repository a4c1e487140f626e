"""What an effective quantity is: a map (N, D) → (effective N, effective D) in front of any loss surface."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from scaleplan.planning.constraint import Constraint

if TYPE_CHECKING:
    from scaleplan.laws.base import LossSurface
    from scaleplan.planning.problem import Effective

__all__ = ["EffectiveQuantity"]


class EffectiveQuantity(Constraint):
    """An effective quantity as asked for; :meth:`on` fits it to a law.

    Both effective quantities must rise with both nominal ones.
    """

    __slots__ = ()

    scarcity: ClassVar[bool] = True
    """Whether it is a shortage, which the optimum that plans are measured against does not have."""

    @abstractmethod
    def on(self, surface: LossSurface) -> Effective:
        """Return the map in front of this law."""
