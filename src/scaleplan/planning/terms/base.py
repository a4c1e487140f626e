"""What a term of the cost is: something else that the budget pays for."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from scaleplan.planning.constraint import Constraint

if TYPE_CHECKING:
    from scaleplan.cost import Cost
    from scaleplan.hardware.budget import Budget

__all__ = ["Term"]


class Term(Constraint):
    """A term of the cost as asked for."""

    __slots__ = ()

    @property
    def priced(self) -> bool:
        """Whether it is counted in money, so that the money of a budget is shared with training."""
        return False

    @abstractmethod
    def on(self, cost: Cost, budget: Budget | None) -> Cost:
        """Return the cost with this term, in FLOP of training that cost as much; ``budget`` has the rates.

        Raises
        ------
        UsageError
            When it needs rates that are not there.

        """
