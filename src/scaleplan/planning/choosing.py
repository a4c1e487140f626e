"""Plans by a law that leaves a quantity open: the best of several planners, one for each value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, TypeVar

from scaleplan.errors import UnreachableError, UsageError
from scaleplan.planning.planner import Planner

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.hardware.budget import Budget
    from scaleplan.planning.frontier import Frontier
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.variants.base import Variant

Found = TypeVar("Found")

__all__ = ["ChoosingPlanner", "varied"]


def varied(planner: Planner, variant: Variant) -> Planner:
    """Return the planner for the values that a law's quantity may take, each with the limit that follows from it."""
    made = []
    for preset in variant.presets(planner.preset):
        limit = variant.limit(preset)
        limits = planner.limits if limit is None else (*planner.limits, limit)
        made.append(replace(planner, preset=preset, limits=limits))
    if len(made) == 1:
        return made[0]
    own = {name: getattr(made[0], name) for name in made[0].__dataclass_fields__}
    return ChoosingPlanner(**own, options=tuple(made))


@dataclass(frozen=True, kw_only=True)
class ChoosingPlanner(Planner):
    """Plans by the best of some ``options``; what is not a plan is told of the first of them."""

    options: tuple[Planner, ...] = ()

    def on(self, hardware: Budget) -> Self:
        """Return the planner for some hardware."""
        return replace(self, options=tuple(option.on(hardware) for option in self.options))

    @property
    def frontier(self) -> Frontier:
        """Refuse: what is told of all budgets at once needs the quantity to be chosen."""
        raise UsageError(
            "this question needs one number of experts or one granularity", hint="give it in place of auto"
        )

    def best(self, flops: float) -> tuple[float, float, float | None]:
        """Return the split with the least loss of all options."""
        return self._least(lambda option: option.best(flops), lambda found: found[2])

    def optimal(self, flops: float, *, budget: Budget | None = None) -> Plan:
        """Return the plan with the least loss of all options."""
        option, _ = self._least(lambda option: (option, option.best(flops)), lambda found: found[1][2])
        return option.optimal(flops, budget=budget)

    def loss(self, params: float, tokens: float, *, budget: Budget | None = None) -> Plan:
        """Return the plan for a given model and data with the least loss of all options."""
        return self._least(lambda option: option.loss(params, tokens, budget=budget), lambda plan: plan.loss)

    def target_loss(self, loss: float) -> Plan:
        """Return the plan with the least budget of all options."""
        return self._least(lambda option: option.target_loss(loss), lambda plan: plan.flops)

    def _target(self, index: int, goal: float, what: str) -> Plan:
        """Refuse: each option is optimal at a budget of its own."""
        raise UsageError(
            f"{goal:g} {what} are optimal at another budget for each number of experts or granularity",
            hint="give it in place of auto",
        )

    def _least(self, ask: Callable[[Planner], Found], value: Callable[[Found], float | None]) -> Found:
        """Return the answer of least value; the error of the first option where none has an answer."""
        answers: list[Found] = []
        failures: list[UnreachableError] = []
        for option in self.options:
            try:
                answers.append(ask(option))
            except UnreachableError as error:
                failures.append(error)
        if not answers:
            raise failures[0]
        return min(answers, key=lambda found: value(found) or 0.0)
