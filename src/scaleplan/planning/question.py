"""What is asked: a law, the limits and constraints of the plan, and the hardware they are counted by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from scaleplan.errors import UnreachableError, UsageError
from scaleplan.laws.base import Allocation, LossSurface
from scaleplan.planning.binding import conflict
from scaleplan.planning.bounds import HARDWARE, UNBOUNDED, Bounds, Situation, bounds_of_limits
from scaleplan.planning.constraint import Point
from scaleplan.planning.constraints import NONE, Constraints
from scaleplan.planning.domain import in_range, require_budget
from scaleplan.planning.frontier import Frontier, SolvedFrontier, frontier_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from scaleplan.cost import Cost
    from scaleplan.hardware.budget import Budget
    from scaleplan.laws.base import Law
    from scaleplan.notices import Notice
    from scaleplan.planning.constraint import Constraint
    from scaleplan.planning.problem import Problem
    from scaleplan.planning.uncertainty import Outcome
    from scaleplan.presets.preset import Preset
    from scaleplan.quantities.limits import Limit

__all__ = ["Question"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A law, and what a plan by it must keep to.

    Parameters
    ----------
    preset
        The law, with its conventions, range and uncertainty.
    limits
        What every plan must stay within.
    constraints
        What nominal quantities are worth, and what the budget pays for beside training.
    hardware
        The rates by which limits in hours, days, money and energy, and money for inference, are counted in FLOP.

    """

    preset: Preset
    limits: tuple[Limit, ...] = ()
    constraints: Constraints = NONE
    hardware: Budget | None = None

    @property
    def fixed(self) -> bool:
        """Whether one side of the split is given."""
        return bounds_of_limits(
            [each for each in self.limits if each.quantity in ("params", "tokens")], Situation()
        ).fixed

    @property
    def may_trade(self) -> bool:
        """Whether the law can weigh size against tokens, or nothing asks it to."""
        if not isinstance(self.preset.law, Allocation):
            return True
        return self.constraints == NONE and all(
            limit.quantity == "params" or (limit.quantity == "tokens" and limit.op[0] == ">") for limit in self.limits
        )

    @property
    def by_hardware(self) -> bool:
        """Whether the best plan depends on the hardware, beside its budget."""
        return self.constraints.priced or any(limit.quantity in HARDWARE for limit in self.limits)

    def on(self, hardware: Budget) -> Self:
        """Return the planner for some hardware."""
        return replace(self, hardware=hardware) if self.by_hardware else self

    @cached_property
    def bounds(self) -> Bounds:
        """What the limits leave."""
        if not self.limits:
            return UNBOUNDED
        unique = next((item.unique_tokens for item in self.constraints if hasattr(item, "unique_tokens")), None)
        situation = Situation(
            budget=self.hardware,
            unique_tokens=unique,
            priced=self.constraints.priced,
            sizes_in_memory=self._sizes_in_memory,
        )
        return bounds_of_limits(self.limits, situation)

    @property
    def _sizes_in_memory(self) -> Callable[[float], float] | None:
        """What turns GB on each device into the largest size; None without devices."""
        if self.hardware is None or self.hardware.gpu is None or self.hardware.gpus is None:
            return None
        from scaleplan.planning.siting import sizes_in_memory  # only for a limit on memory

        return sizes_in_memory(self.preset, self.hardware)

    @cached_property
    def cost(self) -> Cost:
        """What the budget pays for: training by the law's convention, and the terms beside it."""
        cost = self.preset.cost
        for term in self.constraints.terms:
            cost = term.on(cost, self.hardware)
        return cost

    @property
    def frontier(self) -> Frontier:
        """The compute-optimal frontier of the law within the bounds."""
        return self.frontier_for(self.preset.law)

    def frontier_for(self, law: Law) -> Frontier:
        """Return the frontier of another law under the same conventions and bounds."""
        return frontier_of(law, self.cost, self.bounds, self.constraints.effective)

    @in_range
    def best(self, flops: float) -> tuple[float, float, float | None]:
        """Return the split with the least loss within ``flops``, and that loss.

        Raises
        ------
        UsageError
            For a budget that is beyond any run.
        UnreachableError
            When no model keeps the limits; it names those that conflict, and the least budget that would do.

        """
        require_budget(flops)
        try:
            found = self.frontier.best(min(flops, self.bounds.total.high))
        except UnreachableError:
            if isinstance(self.frontier, SolvedFrontier):
                raise conflict(self.problem, self.bounds, flops) from None
            raise
        if found[2] is not None and found[2] > self.bounds.loss.high * (1 + 1e-12):
            raise conflict(self.problem, self.bounds, flops)
        return found

    def problem(self, bounds: Bounds) -> Problem:
        """Return the problem of this question within other bounds."""
        frontier = frontier_of(self.preset.law, self.cost, bounds, self.constraints.effective)
        assert isinstance(frontier, SolvedFrontier)
        return frontier.problem

    def accounts(
        self, flops: float, outcome: Outcome[float], budget: Budget, spent: float | None
    ) -> tuple[dict[str, object], tuple[Notice, ...]]:
        """Return the keys that the constraints add to a plan, and what they say about it."""
        params, tokens, loss = outcome
        law = self.preset.law
        facts: dict[str, object] = {}
        said: list[Notice] = []
        if loss is None or not isinstance(law, LossSurface) or self.constraints == NONE:
            return facts, ()

        def changed(old: Constraint, new: Constraint | None) -> SolvedFrontier:
            frontier = replace(self, constraints=self.constraints.changed(old, new)).frontier
            assert isinstance(frontier, SolvedFrontier)
            return frontier

        point = Point(
            preset=self.preset,
            surface=law,
            params=params,
            tokens=tokens,
            flops=flops,
            loss=loss,
            budget=self.hardware or budget,
            spent=spent,
            changed=changed,
        )
        for item in self.constraints:
            facts |= item.facts(point)
            said += item.notices(point)
        stacked = self.constraints.stacked()
        return facts, (*said, *([stacked] if stacked else []))

    def outcome(self, params: float, tokens: float) -> Callable[[Law], Outcome[float]]:
        """Return what a law says of a chosen split; raises UsageError for a law that says nothing."""

        def outcome(law: Law) -> Outcome[float]:
            frontier = self.frontier_for(law)
            if not isinstance(frontier, SolvedFrontier):
                raise UsageError(
                    f"preset '{self.preset.id}' gives no loss for a chosen size: it was fitted to optimal sizes only",
                    hint="choose a preset with a loss, such as besiroglu-2024",
                )
            return params, tokens, frontier.loss_at(params, tokens)

        return outcome
